"""What opens below the picture of a propagation analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ipywidgets as W
import numpy as np

from ...core.engine import Cancelled, Recent, Tick
from ...core.wording import grey_levels
from ...ops.attacks.catalogue import METHODS
from ...ops.attacks.search import smallest_epsilon
from ...ui.panels.panel import Drawn
from ...ui.panels.player import Player, Walk
from .charts import Distances, NarrowSizes, Sizes, Steps
from .compute import channels
from .maps import Maps
from .result import Channels, Propagation
from .sentences import described, grades, times

HINT = "Click another layer above or another channel here; ← → walks through the network."


class ChannelMaps(Drawn):
    """The channels of the chosen layer for the first image, the most changed first."""

    name = "channels"
    question = "How does the chosen layer change?"
    height = Maps.height

    def made(self) -> Any:
        """Return a button that walks through the network, and the maps."""
        self._seen: tuple[Propagation, Channels] | None = None
        self._rank = 0
        walk = Walk(lambda: len(self._layers()) - 1, self._go)
        self.player = Player(self.explorer, walk, "Slow motion through the network")
        return W.VBox([self.player.widget, super().made()])

    def show(self, result: Propagation) -> None:
        """Show the channels of the chosen layer; on the worker, where they are computed."""
        layer = self.explorer.chosen(result)["layer"]
        if self._seen is None or self._seen[0] is not result or self._seen[1].layer != layer:
            if self._seen is not None and self._seen[1].layer != layer:
                self._rank = 0
            self._seen = result, channels(self.explorer.subject, result, layer)
        self._draw()

    def choose(self, kind: str, key: str) -> None:
        """Show another channel."""
        self._rank = int(key)
        self.explorer.repaint()

    def _layers(self) -> tuple[str, ...]:
        result = self.explorer.work.result
        return () if result is None else result.layers

    def _go(self, place: int) -> None:
        self.explorer.settings.move("layer", self._layers()[place])

    def _draw(self) -> None:
        assert self._seen is not None
        result, seen = self._seen
        self._rank = min(self._rank, len(seen.channel) - 1)
        ratio = result.first()[result.place(seen.layer)]
        far = f"the attack moves it {times(ratio)} times as far as noise (root mean square)"
        if not np.isfinite(ratio):
            far = "noise does not move it"
        told = f"{seen.layer}: {far}", f"{described(result, seen.layer)}. {HINT}"
        self.paint(
            lambda figure: Maps.on(figure).show(seen, names(result, seen), self._rank, told),
            told[0],
            {"channel": self._rank},
        )


class StepByStep(Drawn):
    """The way of the first image, step by step."""

    name = "attack step by step"
    question = "At which step does the prediction change?"
    height = Steps.height

    def made(self) -> Any:
        """Return a button that plays the steps, and the chart."""
        self._last = 0
        walk = Walk(lambda: self._last, self._go)
        self.player = Player(self.explorer, walk, "Play the attack, step by step")
        return W.VBox([self.player.widget, super().made()])

    def show(self, result: Propagation) -> None:
        """Draw the steps, with the chosen one marked."""
        self._last = len(result.trajectory) - 1
        views = self.explorer.views()
        step, narrow = views["step"], views["narrow"]
        self.paint(
            lambda figure: result.draw(figure, view="steps", step=step, narrow=narrow),
            self.question,
            {} if step is None else {"step": step},
        )

    def _go(self, step: int) -> None:
        self.explorer.settings.move("step", step)


@dataclass
class Found:
    """What is known of one attack on the same images: a result by its size, the smallest, words."""

    known: dict[float, Propagation] = field(default_factory=dict)
    least: float | None = None
    words: str = ""


class Sweep(Drawn):
    """The prediction over ε, with a ring to drag; two buttons compute it.

    What they find is told of the settings that they began with, whatever is chosen meanwhile.
    """

    name = "ε sweep"
    question = "How small an attack is enough?"
    height = Sizes.height

    def made(self) -> Any:
        """Return the buttons, what was found, and the chart."""
        self._found: Recent = Recent(50)
        self._said = W.HTML()
        sweep = self.button("Sweep ε", "Attack with every size of the slider", self._sweep)
        tip = "Search the smallest ε that changes the prediction of the first image"
        least = self.button("Smallest ε", tip, self._smallest)
        row = W.HBox([sweep, least, self._said])
        row.add_class("rw-row")
        return W.VBox([row, super().made()])

    def show(self, result: Propagation) -> None:
        """Draw what is known of such settings."""
        if not result.norm:
            self._said.value = f"{result.settings()} has no size ε to sweep: choose another attack."
            self.stage.layout.display = "none"
            return
        self.stage.layout.display = ""
        preview = self.explorer.is_preview
        found = self._of(self._asked(self.explorer.knobs()) if preview else _case(result.knobs))
        if not preview:
            found.known[result.epsilon] = result
        stops = self.explorer.controls["epsilon"].stops
        self._sizes = tuple(sorted({*stops, *found.known, result.epsilon}))
        self._said.value = found.words
        kind = NarrowSizes if self.explorer.views()["narrow"] else Sizes
        self.paint(
            lambda figure: kind.on(figure).show(
                self._sizes, found.known, result.epsilon, found.least, result.norm
            ),
            found.words or self.question,
            {},
        )

    def drag(self, name: str, value: float) -> None:
        """Take the size at a place of the axis."""
        sizes = self._sizes
        self.explorer.settings.move(name, sizes[min(max(round(value), 0), len(sizes) - 1)])

    def reset(self) -> None:
        """Forget what was found."""
        self._found = Recent(50)

    # ------------------------------------------------------------------ the buttons
    def _of(self, case: tuple[Any, ...]) -> Found:
        found: Found = self._found.get(case, Found())
        self._found[case] = found
        return found

    def _sweep(self) -> None:
        explorer, knobs = self.explorer, self.explorer.knobs()
        norm = _norm(knobs)
        sizes = explorer.controls["epsilon"].stops

        def compute(progress: Tick) -> list[Any]:
            found = self._of(self._asked(knobs))
            missing = [size for size in sizes if size not in found.known]
            done = known = len(sizes) - len(missing)
            try:
                for done, size in enumerate(missing, known):
                    # Cancel comes between the batches of each.
                    tick = partial(lambda done, *_: progress(done, len(sizes)), done)
                    result = explorer.work.compute(tick, knobs | {"epsilon": size})
                    progress(done + 1, len(sizes))  # what the status counts is what is drawn
                    found.known[size] = result
                return [found.known[size] for size in sizes]
            except Cancelled:
                if not found.words or found.words.startswith("Stopped"):
                    found.words = f"Stopped: {done} of {len(sizes)} sizes."
                explorer.repaint()
                raise

        def show(results: list[Propagation]) -> None:
            lost = [(it.answers[0] != it.answers[1]).mean() >= 0.5 for it in results]
            one = results[0].n == 1
            whose = "The prediction changes" if one else "Half of the predictions change"
            words = f"{whose} at none of {len(sizes)} sizes."
            if any(lost):
                words = f"{whose} from {grey_levels(sizes[lost.index(True)], norm)} on."
            found = self._of(self._asked(knobs))
            found.words = words
            explorer.refresh()

        explorer.runner.run(compute, show)

    def _smallest(self) -> None:
        explorer, knobs = self.explorer, self.explorer.knobs()
        norm = _norm(knobs, or_free=True)
        names = ("attack", "steps", "restarts", "target", "denoiser", "knowledge", "seed")
        asked = {name: knobs[name] for name in names}
        limit = self._limit(knobs)

        def search(progress: Tick) -> float:
            found = smallest_epsilon(
                explorer.subject,
                images=knobs["images"][:1],
                limit=limit,
                executor=explorer.work.executor,
                progress=progress,
                **asked,
            )
            return float(found.epsilon[0])

        def show(epsilon: float) -> None:
            succeeds = 0 < epsilon < np.inf
            if epsilon == 0:
                words = "No attack is needed: the clean image is taken for such a class already."
            elif succeeds:
                words = f"The smallest ε seen to succeed is {grey_levels(epsilon, norm)}."
                if knobs["step_size"]:
                    words += " It was searched with automatic step sizes."
            else:
                words = f"No ε up to {grey_levels(limit, norm)} is enough."
            still = self._asked(explorer.knobs()) == self._asked(knobs)
            found = self._of(self._asked(knobs))
            found.least, found.words = epsilon if succeeds else None, words
            if still and succeeds:
                explorer.set(epsilon=epsilon)
            else:
                explorer.refresh()

        explorer.runner.run(search, show)

    def _limit(self, knobs: Mapping[str, Any]) -> float:
        """Return above which ε nothing needs to be searched."""
        result = self.explorer.work.result
        told = ("attack", "epsilon", "steps", "target", "denoiser", "knowledge")
        if (
            isinstance(result, Propagation)
            and result.knobs["images"][0] == knobs["images"][0]
            and all(result.knobs[name] == knobs[name] for name in told)
            and result.target == "any"
            and result.answers[0, 0] == result.truth[0] != result.answers[1, 0]
        ):
            return result.epsilon
        return float(max(self.explorer.controls["epsilon"].stops))

    def _asked(self, knobs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the settings but ε, in the plain values that a result will have."""
        subject, known = self.explorer.subject, self.explorer.analysis.knobs
        return _case({n: known[n].kind.plain(value, subject) for n, value in knobs.items()})


class Far(Drawn):
    """How far each layer is from the clean image, in numbers of its own."""

    name = "distances"
    question = "How far is each layer from the clean image?"
    height = Distances.height

    def made(self) -> Any:
        """Return the controls of the distances, the chart and a count."""
        controls = W.HBox([self.explorer.controls[name] for name in ("metric", "log", "amplify")])
        controls.add_class("rw-controls")
        self._counted = W.HTML()
        return W.VBox([controls, super().made(), self._counted])

    def show(self, result: Propagation) -> None:
        """Draw the distances of all lines."""
        views = self.explorer.views()
        pinned, layer = self.explorer.work.ghost, self.explorer.chosen(result)["layer"]
        shown = {"view": "distance"} | {it: views[it] for it in ("metric", "log", "narrow")}
        self.paint(
            lambda figure: result.draw(figure, pinned=pinned, layer=layer, **shown),
            self.question,
            {"layer": layer},
        )
        words = grades(result) if result.n > 1 else ""
        self._counted.value = f'<span class="rw-muted">{words}</span>'


def names(result: Propagation, seen: Channels) -> list[str]:
    """Return what the channels of a layer are called, the most changed first."""
    if seen.layer in ("logits", "probabilities"):
        return [result.classes[number] for number in seen.channel]
    if seen.layer == "input" and len(seen.channel) == 3:
        return [("red", "green", "blue")[number] for number in seen.channel]
    return [str(number) for number in seen.channel]


def _norm(knobs: Mapping[str, Any], or_free: bool = False) -> str:
    norm = METHODS[knobs["attack"]].norm
    if not norm and not or_free:
        raise ValueError(
            f"there is no ε to sweep: the attack is {knobs['attack']!r}, which has none. "
            "Choose another attack."
        )
    return norm


def _case(plain: Mapping[str, Any]) -> tuple[Any, ...]:
    # What the widget has no control for stays as it is by default.
    odd = ("epsilon", "correct_only")
    return tuple((name, plain[name]) for name in sorted(plain) if name not in odd)
