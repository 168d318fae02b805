"""The picture of a robustness analysis: artists made once, moved for every new size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.drawing import Handle
from ...core.style import (
    BLUE,
    GREY,
    GREY_TINT,
    INK,
    LINES,
    MUTED,
    ORANGE,
    ORANGE_TINT,
    PAPER,
    Sheet,
)
from ...core.wording import counted, percent, typeset
from ...ops.calibration.bins import wilson
from . import sentences

if TYPE_CHECKING:
    from .result import Robustness

TOLD = 8
"""So many tests of a verdict are there at most."""
WIDE = 280
"""Pixels that a line of the verdict takes."""


class Curve(Sheet):
    """What stays right over the size of the change, numbers at one size, and the verdict."""

    height = 340
    curve = (44, 30, 500, 232)
    """Left, top, width and height of the axes of the accuracy, in pixels."""
    numbers_at = (600, 0)
    verdict_at = (600, 132)
    """Left and top of what stands beside it."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title = self.heading(0)
        self._make_curve(self.chart(*self.curve))
        self._make_numbers()
        self._make_verdict()

    # ------------------------------------------------------------------ making
    def _make_curve(self, axes: Axes) -> None:
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.tick_params(axis="x", pad=10)
        axes.yaxis.grid(False)
        flat: dict[str, Any] = {"lw": 0, "zorder": 0.5}
        self.before = axes.fill_between([0, 1], [1, 1], [1, 1], color=ORANGE_TINT, **flat)
        self.broken = axes.fill_between([0, 1], [1, 1], [1, 1], color=ORANGE, alpha=0.13, **flat)
        self.standing = axes.fill_between([0, 1], [0, 0], [0, 0], color=GREY_TINT, **flat)
        self.ranges = LineCollection([], colors=ORANGE, lw=1, alpha=0.6, zorder=2)
        axes.add_collection(self.ranges)
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "clip_on": False}
        square: dict[str, Any] = {"marker": "s", "ms": 5, "mfc": PAPER, "clip_on": False}
        (self.noise,) = axes.plot([], [], ":", color=INK, lw=2, zorder=3, **square)
        (self.one,) = axes.plot([], [], "--", color=GREY, lw=1.6, zorder=2.4)
        (self.ghost,) = axes.plot([], [], color=INK, lw=1.2, marker="o", ms=6, mfc="none")
        (self.worst,) = axes.plot([], [], color=ORANGE, lw=2.4, marker="^", ms=8, zorder=3, **edge)
        self.line = axes.axvline(0, color=BLUE, lw=1.6, zorder=2.5)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.here,) = axes.plot([0], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.here.set_zorder(12)
        self.columns: list[Rectangle] = []
        behind = {"facecolor": PAPER, "alpha": 0.9, "lw": 0, "pad": 1.5}
        style: dict[str, Any] = {"bbox": behind, "zorder": 4, "fontweight": "bold"}
        left, top, wide, high = self.curve
        right = left + wide - 6
        self.said = [
            self.text(right, 0, ha="right", color=ORANGE, **style),
            self.text(right, 0, ha="right", color=INK, **style),
            self.text(right, 0, ha="right", color=ORANGE, **style),
            self.text(left + 10, 0, color=MUTED, **style),
        ]
        self.hint = self.label(left + wide / 2, top + high + 46, ha="center")
        self.axes = axes

    def _make_numbers(self) -> None:
        left, top = self.numbers_at
        self.where = self.heading(left, y=top + 14)
        self.numbers, self.names, self.counts = [], [], []
        for k, colour in enumerate((INK, ORANGE, MUTED)):
            x = left + 96 * k
            big: dict[str, Any] = {"fontsize": 20, "fontweight": "bold", "color": colour}
            self.numbers.append(self.text(x, top + 50, **big))
            self.names.append(self.text(x, top + 72, color=colour, fontweight="bold"))
            self.counts.append(self.label(x, top + 90))

    def _make_verdict(self) -> None:
        left, top = self.verdict_at
        self.heading(left, "Can the attacks be believed?", top + 14)
        self.judged = self.label(left, top + 32)
        self.tests = []
        for k in range(TOLD):
            y = top + 54 + 19 * k
            mark = self.text(left, y, fontweight="bold")
            number = self.label(left + WIDE, y, ha="right")
            self.tests.append((mark, self.text(left + 20, y), number))

    # ------------------------------------------------------------------ showing
    def show(self, result: Robustness, pinned: Robustness | None, place: int, attack: str) -> None:
        """Move every artist to a result, at one of its sizes."""
        self._show_curve(result, pinned, place, attack)
        self._show_numbers(result, place)
        self._show_verdict(result)

    def _show_curve(
        self, result: Robustness, pinned: Robustness | None, place: int, attack: str
    ) -> None:
        sizes, worst, noise = result.epsilons, result.accuracy(), result.accuracy("noise")
        start, most = worst[0], float(sizes[-1])
        known = np.isfinite(worst)
        self.title.set_text(f"What is known of {counted(result.n)}, by the size of the change")
        self.before.set_data([0, most], [start, start], [1, 1])
        self.broken.set_data(sizes[known], worst[known], np.full(known.sum(), start))
        self.standing.set_data(sizes[known], np.zeros(known.sum()), worst[known])
        self.worst.set_data(sizes[known], worst[known])
        self.noise.set_data(sizes, noise)
        self.one.set_data([], [])
        if attack != "worst":
            self.one.set_data(sizes, result.accuracy(attack))
        self.ghost.set_data([], [])
        if pinned is not None and pinned.norm == result.norm:
            self.ghost.set_data(pinned.epsilons, pinned.accuracy())
        self.ranges.set_segments(
            [
                [(size, end) for end in wilson(~broken)]
                for size, broken in zip(sizes[known], result.broken[known], strict=True)
            ]
        )
        here = float(sizes[place])
        self.line.set_xdata([here, here])
        self.here.set_xdata([here])
        self.axes.set_xlim(0, most)
        ticks = [size for size in sizes if not size or size > most / 16]
        scale = 255 if result.norm == "Linf" else 1
        self.axes.set_xticks(ticks, [f"{scale * size:g}" for size in ticks])
        unit = "255ths of white, for each pixel" if scale > 1 else "L2 norm of the whole change"
        self.hint.set_text(f"drag: size of the change, {unit}")
        told = f"size: {sentences.size(result, place)}"
        handle = Handle(self.axes, 0, most, here, stops=tuple(sizes))
        self.handle(self.here, "epsilon", told, handle)
        self._show_columns(result)
        self._write(result, worst, noise, attack)

    def _write(self, result: Robustness, worst: np.ndarray, noise: np.ndarray, attack: str) -> None:
        """Say what the parts of the picture are, where there is room for it."""
        _, top, _, high = self.curve
        start, last = worst[0], np.nanmin(worst)
        many = len(result.attacks)
        by = f"the strongest of {many} attacks" if many > 1 else result.attacks[0]
        told = (
            (f"wrong without any change: {percent(1 - start, 0)}", (1 + start) / 2),
            (f"control: noise of that size leaves {percent(noise[-1], 0)}", noise[-1]),
            (f"broken by {by}", (start + last) / 2 - 0.04),
            ("not broken, not proved", last / 2),
        )
        for text, (words, share) in zip(self.said, told, strict=True):
            text.set(text=typeset(words), y=top + high * (1 - share) + 4)
        self.said[0].set_visible(1 - start > 0.05)
        self.said[1].set_y(self.said[1].get_position()[1] + (18 if noise[-1] < 0.9 else 14))
        self.said[3].set_visible(last > 0.12)

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

    def _show_numbers(self, result: Robustness, place: int) -> None:
        worst, start = result.accuracy()[place], result.accuracy()[0]
        self.where.set_text(f"At a change of {sentences.size(result, place)}")
        shares = (worst, start - worst, 1 - start)
        for number, name, count, share, words in zip(
            self.numbers, self.names, self.counts, shares, ("right", "broken", "wrong"), strict=True
        ):
            known = np.isfinite(share)
            number.set_text(percent(share, 0) if known else "–")
            name.set_text(words)
            count.set_text(
                f"{round(share * result.n):,} of {result.n:,}" if known else "comes next"
            )

    def _show_verdict(self, result: Robustness) -> None:
        tests = result.verdict.tests
        self.judged.set_text(sentences.judged(result))
        for k, (mark, words, number) in enumerate(self.tests):
            test = tests[k] if k < len(tests) else None
            mark.set_text("" if test is None else "✗" if test.fired else "✓")
            colour = ORANGE if test is not None and test.fired else BLUE
            mark.set_color(colour)
            told = "" if test is None else sentences.assured(test)
            words.set(text=told, color=ORANGE if colour == ORANGE else INK)
            number.set_text("" if test is None else f"{test.number} of {test.n}")


class Narrow(Curve):
    """The same on a narrow page, with the numbers and the verdict below the curve."""

    width, height = 640, 520
    curve = (44, 30, 580, 190)
    numbers_at = (0, 300)
    verdict_at = (310, 300)
