"""The picture of a robustness analysis: artists made once, moved for every new size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...core.drawing import Handle, short
from ...core.style import (
    BLUE,
    GREY,
    GREY_TINT,
    INK,
    LINES,
    ORANGE,
    ORANGE_TINT,
    PAPER,
    Sheet,
)
from ...core.wording import counted, percent, typeset
from ...ops.attacks.verdict import TESTS
from ...ops.calibration.bins import wilson
from . import sentences
from .columns import FEW, Parts, Proof, Tests
from .marks import LETTER, Zones

if TYPE_CHECKING:
    from .result import Robustness

TICK = 40
"""Pixels between two numbers below the axis, at least."""


class Places(NamedTuple):
    """Where the parts of the picture lie, in pixels.

    Parameters
    ----------
    curve : tuple of float
        Left, top, width and height of the chart.
    parts, tests, proof : tuple of float
        Left and top of what stands beside it, or below.
    """

    curve: tuple[float, float, float, float]
    parts: tuple[float, float]
    tests: tuple[float, float]
    proof: tuple[float, float]


class Curve(Sheet):
    """What is proved, unknown and broken over the size of the change, and what that is worth."""

    height = 344
    places: ClassVar = Places((44, 30, 500, 244), (600, 0), (600, 124), (600, 268))

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title = self.heading(0)
        self._make_curve(self.chart(*self.places.curve))
        self.parts = Parts(self, *self.places.parts)
        self.tests = Tests(self, *self.places.tests)
        self.proof = Proof(self, *self.places.proof)

    # ------------------------------------------------------------------ making
    def _make_curve(self, axes: Axes) -> None:
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.tick_params(axis="x", pad=10)
        axes.yaxis.grid(False)
        flat: dict[str, Any] = {"lw": 0, "zorder": 0.5}
        blank: Any = ([0, 1], [0, 0], [0, 0])
        self.before = axes.fill_between(*blank, color=ORANGE, alpha=0.3, **flat)
        hatch: dict[str, Any] = {"fc": ORANGE_TINT, "ec": ORANGE, "hatch": "///", "alpha": 0.4}
        self.broken = axes.fill_between(*blank, **(hatch | flat))
        self.standing = axes.fill_between(*blank, color=GREY_TINT, **flat)
        self.proved = axes.fill_between(*blank, color=BLUE, lw=0, zorder=0.6)
        self.ranges = LineCollection([], colors=ORANGE, lw=1, alpha=0.6, zorder=2)
        axes.add_collection(self.ranges)
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "clip_on": False}
        square: dict[str, Any] = {"marker": "s", "ms": 5, "mfc": PAPER, "clip_on": False}
        (self.noise,) = axes.plot([], [], ":", color=INK, lw=2, zorder=3, **square)
        (self.one,) = axes.plot([], [], "--", color=GREY, lw=1.8, zorder=2.4)
        (self.ghost,) = axes.plot([], [], lw=1.6, ms=7, mfc=PAPER, clip_on=False, zorder=2.8)
        (self.worst,) = axes.plot([], [], color=ORANGE, lw=2.4, marker="^", ms=8, zorder=3, **edge)
        (self.image,) = axes.plot([], [], "o", ms=13, mfc="none", mec=INK, mew=1.6, clip_on=False)
        halo = [withStroke(linewidth=4.5, foreground=PAPER)]
        self.line = axes.axvline(0, color=BLUE, lw=1.6, zorder=2.5, path_effects=halo)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.here,) = axes.plot([0], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.here.set_zorder(12)
        self.columns: list[Rectangle] = []
        behind = {"facecolor": PAPER, "alpha": 0.9, "lw": 0, "pad": 1.5}
        style: dict[str, Any] = {"bbox": behind, "zorder": 4, "fontweight": "bold"}
        self.said = [
            self.text(0, 0, ha="right", color=colour, **style)
            for colour in (ORANGE, INK, BLUE, GREY)
        ]
        self.zones = Zones(self, self.places.curve)
        left, top, wide, high = self.places.curve
        self.hint = self.label(left + wide / 2, top + high + 46, ha="center")
        self.axes = axes

    # ------------------------------------------------------------------ showing
    def show(
        self,
        result: Robustness,
        pinned: Robustness | None,
        place: int,
        attack: str,
        part: str,
        image: int | None,
    ) -> None:
        """Move every artist to a result, at one of its sizes."""
        self._show_areas(result)
        self._show_lines(result, pinned, attack, image)
        self._show_size(result, place)
        self._show_columns(result)
        self._show_words(result, pinned, attack)
        self.zones.show(result)
        self.parts.show(result, place, part)
        below = self.places.proof[0] == self.places.tests[0]
        self.tests.show(result, FEW if self.proof.show(result) and below else len(TESTS))

    def _show_areas(self, result: Robustness) -> None:
        sizes, worst = result.epsilons, result.accuracy()
        start, most = worst[0], float(sizes[-1])
        known = np.isfinite(worst)
        self.title.set_text(f"What is known of {counted(result.n)}, by the size of the change")
        self.before.set_data([0, most], [start, start], [1, 1])
        self.broken.set_data(sizes[known], worst[known], np.full(known.sum(), start))
        self.standing.set_data(sizes[known], np.zeros(known.sum()), worst[known])
        reach = np.sort(result.proved[result.proved >= 0])
        steps = [0, *np.repeat(np.minimum(reach, most), 2), most]
        # One image less is proved beyond each radius.
        left = np.repeat(np.arange(len(reach), -1, -1), 2) / result.n
        self.proved.set_data(steps, np.zeros(len(steps)), left)
        self.proved.set_visible(len(reach) > 0)
        self.ranges.set_segments(
            [
                [(size, end) for end in wilson(~broken)]
                for size, broken in zip(sizes[known], result.broken[known], strict=True)
            ]
        )

    def _show_lines(
        self, result: Robustness, pinned: Robustness | None, attack: str, image: int | None
    ) -> None:
        sizes, worst = result.epsilons, result.accuracy()
        known = np.isfinite(worst)
        self.worst.set_data(sizes[known], worst[known])
        self.noise.set_data(sizes, result.accuracy("noise"))
        self.one.set_data([], [])
        if attack != "worst":
            self.one.set_data(sizes, result.accuracy(attack))
        self.ghost.set_data([], [])
        if pinned is not None and pinned.norm == result.norm:
            inside = pinned.epsilons <= sizes[-1] * 1.001
            self.ghost.set_data(pinned.epsilons[inside], pinned.accuracy()[inside])
            other = pinned.subject != result.subject
            self.ghost.set(
                color=BLUE if other else INK,
                ls="-." if other else "-",
                marker="p" if other else "o",
                mec=BLUE if other else INK,
            )
        places = np.flatnonzero(result.index == (-1 if image is None else image))[:1]
        at = [result.at(result.smallest[k]) for k in places if np.isfinite(result.smallest[k])]
        self.image.set_data(sizes[at], worst[at])
        self.hover(
            self.image, sentences.of_image(result, image) if at and image is not None else ""
        )

    def _show_size(self, result: Robustness, place: int) -> None:
        sizes = result.epsilons
        here, most = float(sizes[place]), float(sizes[-1])
        self.line.set_xdata([here, here])
        self.here.set_xdata([here])
        self.axes.set_xlim(0, most)
        apart, ticks = TICK / self.places.curve[2] * most, [most]
        for size in sizes[-2::-1]:
            if not size or (ticks[-1] - size >= apart and size >= apart):
                ticks.append(float(size))
        scale = 255 if result.norm == "Linf" else 1
        self.axes.set_xticks(ticks, [f"{scale * size:.3g}" for size in ticks])
        unit = "255ths of white, for each pixel"
        if result.norm == "L2":
            unit = "L2 norm over all pixels in [0, 1]"
        self.hint.set_text(f"drag: size of the change, {unit}")
        handle = Handle(self.axes, 0, most, here, stops=tuple(sizes))
        self.handle(self.here, "epsilon", f"size: {sentences.size(result, place)}", handle)

    def _show_columns(self, result: Robustness) -> None:
        """Let every size be pointed at, and chosen, in its column."""
        sizes = result.epsilons
        edges = np.concatenate([sizes[:1], (sizes[1:] + sizes[:-1]) / 2, sizes[-1:]])
        for patch in self.columns[len(sizes) :]:
            patch.remove()
        del self.columns[len(sizes) :]
        while len(self.columns) < len(sizes):
            style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            self.columns.append(Rectangle((0, 0), 0, 1, **style))
            self.axes.add_patch(self.columns[-1])
        for place, patch in enumerate(self.columns):
            patch.set(x=edges[place], width=edges[place + 1] - edges[place])
            mark = f"epsilon:{sizes[place]:.6g}"
            self.hover(patch, sentences.of_size(result, place), mark)

    def _show_words(self, result: Robustness, pinned: Robustness | None, attack: str) -> None:
        """Name the lines at their ends."""
        left, top, wide, high = self.places.curve
        start, noise = result.accuracy()[0], result.accuracy("noise")[-1]
        wrong, control, ghost, one = self.said
        wrong.set(text=typeset(f"wrong without any change: {percent(1 - start, 0)}"))
        wrong.set(x=left + wide - 6, y=top + high * (1 - start) / 2 + 4)
        wrong.set_visible(1 - start > 0.08)
        control.set(text=typeset(f"control: noise of that size leaves {percent(noise, 0)} right"))
        below = self._height(noise) + 20
        span = 1 - len(control.get_text()) * LETTER / wide
        sizes, worst = result.epsilons, result.accuracy()
        inside = worst[np.isfinite(worst) & (sizes >= span * sizes[-1])]
        hidden = len(inside) and self._height(float(inside.max())) < below + 12
        control.set(x=left + wide - 6, y=below - 28 if hidden else below)
        if hidden and wrong.get_position()[1] > below - 48:
            wrong.set_y(max(top + 16, below - 48))
            wrong.set_visible(wrong.get_visible() and below - 48 > top + 8)
        behind = "" if pinned is None else short(result.beside(pinned), 24)
        for text, words, line in (
            (ghost, behind, self.ghost),
            (one, sentences.called(attack), self.one),
        ):
            x, y = (np.asarray(it, dtype=float) for it in line.get_data())
            ends = np.flatnonzero(np.isfinite(y))
            text.set_visible(len(ends) > 0)
            if len(ends):
                end = ends[-1]
                place = left + wide * float(x[end]) / float(result.epsilons[-1]) - 10
                text.set(text=words, x=place, y=self._height(float(y[end])) - 8)
        ghost.set_color(BLUE if pinned is not None and pinned.subject != result.subject else INK)

    def _height(self, share: float) -> float:
        """Return where a share stands on the sheet."""
        _, top, _, high = self.places.curve
        return top + high * (1 - share)


class Narrow(Curve):
    """The same on a narrow page, with the numbers and the verdict below the curve."""

    width, height = 640, 508
    places: ClassVar = Places((44, 30, 580, 190), (0, 290), (320, 290), (0, 408))
