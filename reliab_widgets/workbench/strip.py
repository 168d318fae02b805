"""The images of a workbench in a row: filtered, sorted, and one of them chosen."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as W
import numpy as np

from ..core.drawing import short
from ..core.wording import counted, typeset
from ..ui import worker
from ..ui.controls import offer
from ..ui.page import toggle
from ..ui.picture import Stage
from ..ui.thumbnails import uri
from .bench import GIVEN, Bench

SHOWN = 8
"""Images in a row."""
SIDE, STEP, HEIGHT = 44, 88, 70
"""Pixels of an image, from one to the next, and of the row."""
UNSURE = 0.6
"""Below this probability of its answer the network is called unsure."""
SORTS = ("number", "p of the true class", "confidence")


class Strip(W.VBox):
    """A row of images and a list of which ones; below, folded, how they are sorted and a photo.

    Parameters
    ----------
    bench : Bench
        Whose images; the chosen one has a frame.
    guard : callable
        Does something and shows its error.
    photos : ipywidgets.Widget
        What adds an image.
    """

    def __init__(
        self, bench: Bench, guard: Callable[[Callable[[], object]], None], photos: W.Widget
    ) -> None:
        self._bench, self._guard, self._first = bench, guard, 0
        self._sets: dict[str, tuple[int, ...]] = {}
        self._known: tuple[np.ndarray, np.ndarray] | None = None
        self.which = W.Dropdown(options=[("all images", "all")], description="Show",
                                tooltip="Which images stand in the row")  # fmt: skip
        self.sort = W.Dropdown(options=SORTS, description="Sort by",
                               tooltip="How they are sorted, the lowest first")  # fmt: skip
        self.stage = Stage(HEIGHT, self._chosen, lambda *_: None)
        self._buttons = []
        for text, way, tip in (("◀", -1, "Earlier images"), ("▶", 1, "Later images")):
            button = W.Button(description=text, tooltip=tip, layout=W.Layout(width="28px"))
            button.on_click(lambda _, way=way: self._turn(way))
            self._buttons.append(button)
        below = W.HBox([self.sort, photos], layout=W.Layout(display="none"))
        unfold = W.Button(
            description="sort, your photo",
            tooltip="Sort the images, or add a picture of your own",
            layout=W.Layout(width="auto"),
        )
        unfold.on_click(lambda _: toggle(below))
        choice = W.VBox([self.which, unfold], layout=W.Layout(flex="0 0 170px"))
        for box in (choice, below):
            box.add_class("rw-controls")
        self.stage.layout.flex = "1 1 0"
        super().__init__([W.HBox([choice, self._buttons[0], self.stage, self._buttons[1]]), below])
        self.add_class("rw-images")
        for control in (self.which, self.sort):
            control.observe(lambda _: self._restart(), "value")
        bench.observe(lambda change: self._selected(change["name"]))
        self._offer()
        self._show()

    # ------------------------------------------------------------------ which
    def put(self, name: str, images: tuple[int, ...]) -> None:
        """Offer a set of images by its name, and show it."""
        self._sets[name] = images
        self._offer()
        self.which.value = name

    @property
    def sets(self) -> dict[str, tuple[int, ...]]:
        """The sets that were put there."""
        return dict(self._sets)

    @property
    def images(self) -> list[int]:
        """The images that are shown, in their order, all pages of them."""
        count = len(self._bench.given)
        if self._known is None or len(self._known[0]) != count:
            return list(range(count))
        p, before = self._known
        labels, answers = self._bench.given.labels.numpy(), p.argmax(1)
        sure, wanted = p.max(1), self.which.value
        if wanted in self._sets:
            chosen = np.array(self._sets[wanted])
        elif isinstance(wanted, int):
            chosen = np.flatnonzero(labels == wanted)
        else:
            kept = {
                "all": np.ones(count, dtype=bool),
                "wrong": answers != labels,
                "unsure": sure < UNSURE,
                "flipped": answers != before,
            }[wanted]
            chosen = np.flatnonzero(kept)
        by = {"number": chosen, "confidence": sure[chosen]}
        keys = by.get(self.sort.value, p[np.arange(count), labels][chosen])
        return [int(it) for it in chosen[np.argsort(keys, kind="stable")]]

    def _offer(self) -> None:
        bench = self._bench
        options: list[tuple[str, Any]] = [(f"all ({len(bench.given):,})", "all")]
        if self._known is not None:
            p, before = self._known
            labels, answers = bench.given.labels.numpy(), p.argmax(1)
            counts = {
                "wrong": int((answers != labels).sum()),
                "unsure": int((p.max(1) < UNSURE).sum()),
                "flipped": int((answers != before).sum()),
            }
            words = {"flipped": "changed by the variant"}
            some = [(f"{words.get(it, it)} ({n:,})", it) for it, n in counts.items()]
            options += [it for it in some if it[1] != "flipped" or bench.model != GIVEN]
            options += [(f"of {name}", k) for k, name in enumerate(bench.given.classes)][:30]
        options += [(f"{name} ({len(it):,})", name) for name, it in self._sets.items()]
        value = self.which.value if self.which.value in dict(options).values() else "all"
        offer(self.which, options, value)

    # ------------------------------------------------------------------ page
    def _selected(self, name: str) -> None:
        if name == "index":
            self._show(follow=True)
        elif name in ("model", "temperature"):
            self.refresh()

    def refresh(self) -> None:
        """Ask the chosen network about all images, in the background."""

        def work(job: worker.Job) -> None:
            bench = self._bench

            def look() -> None:
                def tick(*_: int) -> None:
                    job.check()

                p = bench.everything(tick)
                before = p.argmax(1)
                if bench.model != GIVEN:
                    before = bench.given.evaluate(progress=tick).argmax(1).numpy()
                self._known = (p, before)
                self._offer()
                self._show(follow=True)

            self._guard(look)

        worker.submit((id(self), "strip"), work)
        self._show(follow=True)

    def _restart(self) -> None:
        self._first = 0
        self._show()

    def _turn(self, way: int) -> None:
        most = max(0, (len(self.images) - 1) // SHOWN * SHOWN)
        self._first = min(max(0, self._first + way * SHOWN), most)
        self._show()

    def _show(self, follow: bool = False) -> None:
        images = self.images
        if follow and self._bench.index in images:
            self._first = images.index(self._bench.index) // SHOWN * SHOWN
        self._first = min(self._first, max(0, len(images) - 1))
        some = images[self._first : self._first + SHOWN]
        for button, able in zip(
            self._buttons, (self._first > 0, self._first + SHOWN < len(images)), strict=True
        ):
            button.disabled = not able
        words = f"{counted(len(images))}, {self._first + 1} to {self._first + len(some)} shown"
        self.stage.show(self._drawn(some), words, {"image": self._bench.index})

    def _drawn(self, some: list[int]) -> str:
        """Return the row as SVG: each image is a mark."""
        bench, parts = self._bench, []
        classes, labels = bench.given.classes, bench.given.labels.numpy()
        for place, index in enumerate(some):
            x, chosen = place * STEP + 2, index == bench.index
            told, colour = f"image {index}", "var(--rw-muted)"
            true = bench.given.true_class(index)
            full = f"image {index}, {f'true {true}' if true else 'true class not known'}"
            if self._known is not None and index < len(self._known[0]):
                p = self._known[0][index]
                right = p.argmax() == labels[index] or not true
                mark = f"{'✓' if right else '✗'} " * bool(true)
                told = f"{mark}{short(classes[p.argmax()], 6)} {100 * p.max():.0f}"
                full += f", says {classes[p.argmax()]} {100 * p.max():.0f} %"
                colour = "var(--rw-muted)" if right else "var(--rw-orange)"
            frame = "var(--rw-blue)" if chosen else "var(--rw-lines)"
            tint = "var(--rw-blue-tint)" if chosen else "none"
            source = uri(bench.given.images[index].numpy(), 2 * SIDE)
            parts.append(
                f'<g id="image:{index}"><title>{html.escape(typeset(full))}</title>'
                f'<rect x="{x}" y="1" width="{STEP - 6}" height="{HEIGHT - 4}" rx="3" '
                f'style="fill: {tint}; stroke: {frame}; stroke-width: {2 if chosen else 0}; '
                'pointer-events: all"/>'
                f'<image href="{source}" x="{x + (STEP - 6 - SIDE) / 2}" y="5" width="{SIDE}" '
                f'height="{SIDE}" preserveAspectRatio="xMidYMid meet" '
                'style="image-rendering: auto"/>'
                f'<text x="{x + (STEP - 6) / 2}" y="{HEIGHT - 10}" text-anchor="middle" '
                f'style="font-size: 11px; fill: {colour}">{html.escape(typeset(told))}</text></g>'
            )
        if not parts:
            parts = ['<text x="2" y="40" style="font-size: 13px; fill: var(--rw-muted)">'
                     "no image is like this</text>"]  # fmt: skip
        width = SHOWN * STEP
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
            f'style="font-family: inherit">{"".join(parts)}</svg>'
        )

    def _chosen(self, _: str, key: str) -> None:
        self._guard(lambda: self._bench.select(index=int(key)))
