"""The charts that open below the picture: distances, steps, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.drawing import Handle, short
from ...core.style import (
    BLUE,
    BLUE_TINT,
    GREY,
    INK,
    LINES,
    MUTED,
    ORANGE,
    PAPER,
    Sheet,
)
from ...core.wording import grey_levels, percent
from ...ops.calibration.metrics import softmax
from .course import Course, Line, height, spread
from .drawing import of_pinned, told

if TYPE_CHECKING:
    from .result import Propagation

UNITS = {
    "rms": "root mean square, feature units",
    "relative": "L2, relative to the clean features",
    "variance": "share of variance",
    "cosine": "cosine distance",
}
COMING = ("and draws two lines: ▲ attacked,", "□ noise of the same size")
"""What a chart of sizes will show that is almost empty,"""
FEW = 4
"""with fewer of them than these."""
NAMED = {
    "adversarial": "attacked",
    "undefended": "not denoised",
    "random": "noise (control)",
    "clean-denoised": "clean, denoised",
}


class Distances(Sheet):
    """How far each layer is from that of the clean image, over the network."""

    height = height(172)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title = self.heading(0)
        self.course = Course(self, 26, 172)

    def show(
        self, result: Propagation, pinned: Propagation | None, metric: str, log: bool, layer: str
    ) -> None:
        """Draw medians over the images, with quartiles where there are several."""
        images = "1 image" if result.n == 1 else f"median of {result.n} images, and quartiles"
        self.title.set_text(f"Distance from the clean image: {UNITS[metric]}; {images}")
        names = NAMED | ({"adversarial": "denoised"} if "undefended" in result.kinds else {})
        lines = [
            Line(kind, _finite(np.median(result.of(kind, metric), 1)), "", names[kind])
            for kind in result.kinds
        ]
        if pinned is not None:
            values = np.median(pinned.of("adversarial", metric), 1)
            lines.append(of_pinned(result, pinned, values, result.beside(pinned), False))
        band = None
        if result.n > 1:
            with np.errstate(invalid="ignore"):  # between two infinite values lies NaN
                quartiles = np.quantile(result.of("adversarial", metric), (0.5, 0.25, 0.75), axis=1)
            band = np.stack([_finite(it) for it in quartiles])
        self.course.show(
            result.plan,
            lines,
            told(result, metric),
            layer,
            log=log,
            write="{:.2g}".format,
            ratios=False,
            band=band,
        )


class NarrowDistances(Distances):
    """The same on a narrow page."""

    width = 640


class Steps(Sheet):
    """The logits of the true class and of the strongest other one, step by step."""

    height = 230
    wide: ClassVar = 600
    """How long the axis is; words stand beyond."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title = self.heading(0)
        self.axes = axes = self.chart(44, 30, self.wide, 150)
        self.label(44 + self.wide / 2, 222, "step of the attack", ha="center")
        self.column = axes.add_patch(Rectangle((0, 0), 1, 1, color=BLUE_TINT, lw=0, zorder=0))
        self.column.set_transform(axes.get_xaxis_transform())
        self.crossing = axes.axvline(0, color=INK, lw=1.2, ls=":")
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "clip_on": False}
        (self.true,) = axes.plot([], [], "o-", color=INK, lw=2.2, ms=7, **edge)
        (self.other,) = axes.plot([], [], "^--", color=ORANGE, lw=2.2, ms=8, **edge)
        self.ends = [
            self.text(self.wide + 64, 0, fontweight="bold", color=it) for it in (INK, ORANGE)
        ]
        self.rows = [self.label(self.wide + 64, 0) for _ in range(2)]
        self.targets: list[Rectangle] = []

    def show(self, result: Propagation, step: int | None) -> None:
        """Draw the way of the first image, and mark a step."""
        truth, logits = int(result.truth[0]), result.trajectory[:, 0]
        others = np.delete(logits, truth, axis=1)
        true, other = logits[:, truth], others.max(axis=1)
        last = len(logits) - 1
        lost = crossing(true, other)
        here = lost if step is None else min(step, last)
        around = 0.5 if last else 1.0
        self.axes.set_xlim(-around, last + around)
        apart = next(size for size in (1, 2, 5, 10, 20, 50, max(last, 1)) if last <= 12 * size)
        self.axes.set_xticks(range(0, last + 1, apart))
        low, high = min(true.min(), other.min()), max(true.max(), other.max())
        room = max(high - low, 1e-3) * 0.08
        self.axes.set_ylim(low - room, high + room)
        for line, values in ((self.true, true), (self.other, other)):
            line.set_data(np.arange(last + 1), values)
        self.crossing.set_visible(lost > 0)
        self.crossing.set_xdata([max(lost, 0)] * 2)
        words = {-1: "The prediction holds", 0: "Wrong from the start"}
        self.title.set_text(
            f"{words.get(lost, f'The prediction changes at step {lost}')}; logits, "
            f"{'1 image' if result.n == 1 else f'image {result.index[0]}'}"
        )
        here = last if here < 0 else here
        self.column.set_x(here - 0.5)
        self._say(result, here)
        told = [self._told(result, k) for k in range(last + 1)]
        for k, patch in enumerate(_targets(self.axes, self.targets, last + 1)):
            patch.set_x(k - 0.5)
            self.hover(patch, told[k], f"step:{k}")

    def _say(self, result: Propagation, here: int) -> None:
        truth, logits = int(result.truth[0]), result.trajectory[here, 0]
        rival = int(np.argmax(np.where(np.arange(len(logits)) == truth, -np.inf, logits)))
        sure = softmax(logits[None])[0]
        places = [logits[truth], logits[rival]]
        low, high = self.axes.get_ylim()
        wanted = [180 - 150 * (it - low) / (high - low) - 4 for it in places]
        order = sorted((0, 1), key=lambda k: wanted[k])
        for k, y in zip(order, spread([wanted[k] for k in order], 40, 164, 34), strict=True):
            name = result.classes[(truth, rival)[k]]
            share = percent(sure[(truth, rival)[k]], 0)
            self.ends[k].set(y=y, text=f"{short(name, 14)} {share}")
            role = "true class" if k == 0 else "strongest other"
            self.rows[k].set(y=y + 16, text=f"{role}, step {here}: {places[k]:.2f}")

    def _told(self, result: Propagation, step: int) -> str:
        truth, logits = int(result.truth[0]), result.trajectory[step, 0]
        other = np.delete(logits, truth).max()
        name = result.classes[truth]
        return f"step {step}: logit of {name} {logits[truth]:.3g}, strongest other {other:.3g}"


class NarrowSteps(Steps):
    """The same on a narrow page."""

    width, wide = 640, 376


class Sizes(Sheet):
    """What becomes of the prediction over the size of the attack, and a ring to drag."""

    height = 236
    wide: ClassVar = 600
    """How long the axis is; words stand beyond."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title = self.heading(0)
        self.axes = axes = self.chart(44, 30, self.wide, 140)
        axes.set(ylim=(-0.07, 1.03), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", "100 %"])
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.tick_params(axis="x", pad=10)
        self.unit = self.label(44 + self.wide / 2, 230, ha="center")
        edge: dict[str, Any] = {"mew": 1.2, "clip_on": False}
        (self.noise,) = axes.plot([], [], "s:", color=GREY, lw=1.8, ms=6, mfc=PAPER, **edge)
        (self.attack,) = axes.plot(
            [], [], "^--", color=ORANGE, lw=2.2, ms=8, mec=PAPER, mew=1, clip_on=False
        )
        self.line = axes.axvline(0, color=BLUE, lw=1)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.least,) = axes.plot([], [], "v", ms=9, color=ORANGE, **foot)
        (self.here,) = axes.plot([0], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.here.set_zorder(5)
        self.ends = [
            self.text(self.wide + 64, 0, color=it, fontweight=weight)
            for it, weight in ((ORANGE, "bold"), (MUTED, "normal"))
        ]
        self.notes = [self.label(self.wide + 64, y) for y in (186, 203, 220)]
        behind = {"facecolor": PAPER, "alpha": 0.92, "lw": 0, "pad": 2}
        self.empty, *self.coming = (
            self.label(0, y, ha="center", bbox=behind) for y in (84, 103, 122)
        )

    def show(
        self,
        sizes: Sequence[float],
        known: Mapping[float, Propagation],
        epsilon: float,
        least: float | None,
        norm: str,
    ) -> None:
        """Draw what is known at some of the sizes, and the ring at one of them."""
        write = (lambda it: f"{it * 255:.2g}") if norm == "Linf" else "{:.2g}".format
        self.axes.set_xlim(-0.3, max(len(sizes) - 0.7, 0.3))
        self.axes.set_xticks(range(len(sizes)), [write(it) for it in sizes])
        self.unit.set_text(f"size ε of the attack, {'/255' if norm == 'Linf' else norm}")
        for line, kind in ((self.attack, "adversarial"), (self.noise, "random")):
            # Only neighbours are joined: between others nothing was measured.
            values = [_value(known[size], kind) if size in known else np.nan for size in sizes]
            line.set_data(range(len(sizes)), values)
        left = sum(size not in known for size in sizes)
        few = len(sizes) - left < FEW
        self.empty.set_text(f"“Sweep ε” computes the other {left} sizes" if left and few else "")
        for text, words in zip(self.coming, COMING, strict=True):
            text.set_text(words if left and few else "")
        self.title.set_text(f"{_measure(known)} over the size of the attack")
        at = sizes.index(epsilon)
        place = (at + 0.3) / max(len(sizes) - 0.4, 0.6)  # as a part of the axis
        for text in (self.empty, *self.coming):  # where the ring’s line is not
            text.set_x(44 + self.wide * (place / 2 if place > 0.5 else (1 + place) / 2))
        self.here.set_xdata([at])
        self.line.set_xdata([at, at])
        foot = [] if least is None or least not in sizes else [sizes.index(least)]
        self.least.set_data(foot, [0.07] * len(foot))
        self._say(known.get(epsilon), least, norm)
        if left and len(sizes) - left > 1:
            self.notes[2].set_text(f"{left} sizes not computed")
        handle = Handle(self.axes, 0, len(sizes) - 1, at, 1)
        self.handle(self.here, "epsilon", f"size ε = {grey_levels(epsilon, norm)}", handle)

    def _say(self, here: Propagation | None, least: float | None, norm: str) -> None:
        for text in (*self.ends, *self.notes):
            text.set_text("")
        if here is not None:
            shares = [_value(here, kind) for kind in ("adversarial", "random")]
            wanted = [165 - 128 * it for it in shares]
            order = sorted((0, 1), key=lambda k: wanted[k])
            for k, y in zip(order, spread([wanted[k] for k in order], 36, 170), strict=True):
                words = ("attacked", "noise (control)")[k]
                self.ends[k].set(y=y, text=f"{percent(shares[k], 0)} {words}")
        if least is not None:
            self.notes[0].set_text("▼ smallest ε seen to")
            self.notes[1].set_text(f"succeed: {grey_levels(least, norm)}")


class NarrowSizes(Sizes):
    """The same on a narrow page."""

    width, wide = 640, 376


def crossing(true: np.ndarray, other: np.ndarray) -> int:
    """Return the first step at which the true class is not the strongest, −1 if there is none.

    Examples
    --------
    >>> crossing(np.array([3, 2, 1]), np.array([0, 1, 2]))
    2
    """
    lost = np.flatnonzero(true < other)
    return int(lost[0]) if len(lost) else -1


def _value(result: Propagation, kind: str) -> float:
    """Return how sure it is of the true class, or of many images the accuracy."""
    if result.n > 1:
        return result.accuracy(kind)
    row = 1 + result.kinds.index(kind)
    return float(softmax(result.logits[row, :1])[0, result.truth[0]])


def _measure(known: Mapping[float, Propagation]) -> str:
    if not known:
        return "The prediction"
    first = next(iter(known.values()))
    if first.n > 1:
        return f"Accuracy of {first.n} images"
    return f"Probability of {first.classes[first.truth[0]]}, the true class,"


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)[:-1]


def _targets(axes: Any, targets: list[Rectangle], count: int) -> list[Rectangle]:
    """Return so many columns that can be pointed at; what is not painted cannot."""
    while len(targets) < count:
        patch = Rectangle((0, 0), 1, 1, facecolor=PAPER, alpha=0.004, lw=0, zorder=9)
        patch.set_transform(axes.get_xaxis_transform())
        axes.add_patch(patch)
        targets.append(patch)
    for patch in targets[count:]:
        patch.remove()
    del targets[count:]
    return targets
