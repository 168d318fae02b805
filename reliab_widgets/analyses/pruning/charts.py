"""The picture of what confidences are worth while filters are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ...core.placing import names_beside
from ...core.style import BLUE, GREY, INK, MUTED, PANEL, PAPER, Sheet
from ...core.wording import percent, typeset
from ...ops.calibration.bins import binned
from ...ops.pruning.measures import BINS, TEMPERATURES

if TYPE_CHECKING:
    from .result import Pruning

CALLED = {
    "raw": "no temperature",
    "old": "T of the whole network",
    "refitted": "T fitted again",
}
"""How the temperatures are called."""
ERRORS = (44, 28, 300, 160)
"""Left, top, width and height of the axes of the errors, in pixels."""
BEHIND = {"facecolor": PANEL, "alpha": 0.92, "lw": 0, "pad": 1}
"""Behind a name that lies on something."""


class Confidences(Sheet):
    """Calibration error over all levels on the left, the diagram at one of them on the right."""

    height = 236

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.heading(0, "Calibration error (ECE) over what is removed")
        self.errors = self.chart(*ERRORS)
        self.errors.spines["bottom"].set_color(MUTED)
        self.title = self.heading(560)
        self.diagram = self.chart(596, 28, 230, 160)
        self.below = self.label(704, 226, ha="center")

    def show(self, result: Pruning, place: int, temperature: str, image: int | None) -> None:
        """Draw a level of ``result`` under one of the temperatures."""
        axes, levels, asked = self.errors, result.levels, np.array(result.asked)
        most = 0.05
        ends: list[tuple[float, str, bool | None]] = []
        lines: dict[str, np.ndarray] = {}
        for name in TEMPERATURES:
            ece = result.calibration[f"ece {name}"][0]
            mine = name == temperature
            style: dict[str, Any] = {"color": BLUE, "lw": 2.2, "marker": "o", "ms": 6}
            if not mine:
                style = {
                    "color": GREY,
                    "lw": 1.4,
                    "ls": {"raw": "--"}.get(name, "-"),
                    "marker": ".",
                }
            axes.plot(asked, result.spread(ece), mec=PAPER, **style)
            ends.append((float(ece[place]), CALLED[name], mine))
            most = max(most, ece.max())
            lines[name] = result.spread(ece)
        drawn = result.calibration[f"ece {temperature}"][1:, place].mean()
        axes.plot([levels[place]], [drawn], "s", ms=8, mfc=PAPER, mec=GREY, mew=1.6)
        axes.axvline(levels[place], color=BLUE, lw=1.4)
        top = np.ceil(most * 20) / 20
        axes.set(xlim=(0, max(asked[-1], 0.01)), ylim=(0, top), yticks=[0, top / 2, top])
        axes.set_yticklabels([f"{50 * top * k:g}" for k in (0, 1)] + [typeset(f"{100 * top:g} %")])
        highest = max(asked[-1], 0.01)
        self._call_lines(lines, asked / highest, top, temperature)
        ticks = np.linspace(0, highest, 5)
        axes.set_xticks(ticks, [typeset(f"{100 * tick:.0f} %") for tick in ticks])
        self.label(356, 42, f"at {percent(levels[place], 0)} removed")
        told = sorted([*ends, (float(drawn), "random removal", None)], key=lambda it: -it[0])
        for k, (error, words, own) in enumerate(told):
            colour = BLUE if own else (GREY if own is None else INK)
            y, weight = 66 + 22 * k, "bold" if own else "normal"
            self.text(356, y, percent(error), color=colour, fontweight="bold")
            self.text(412, y, words, color=colour, fontweight=weight)
        self._show_diagram(result, place, temperature, image)

    def _call_lines(
        self, lines: dict[str, np.ndarray], across: np.ndarray, top: float, mine: str
    ) -> None:
        """Write beside each line which temperature it is of."""
        left, y, wide, high = ERRORS
        order = sorted(lines, key=lambda it: it != mine)
        paths = [
            np.stack([left + wide * across, y + high * (1 - lines[name] / top)], axis=1)
            for name in order
        ]
        called = [(path, CALLED[name]) for path, name in zip(paths, order, strict=True)]
        for name, place in zip(order, names_beside(called, ERRORS), strict=True):
            if place is not None:
                style: dict[str, Any] = {"ha": "center", "va": "center", "bbox": BEHIND}
                self.text(*place, CALLED[name], color=BLUE if name == mine else GREY, **style)

    def _show_diagram(
        self, result: Pruning, place: int, temperature: str, image: int | None
    ) -> None:
        axes = self.diagram
        axes.plot([0, 1], [0, 1], ":", color=MUTED, lw=1.4)
        styles: tuple[dict[str, Any], ...] = (
            {"facecolor": "none", "edgecolor": MUTED, "lw": 1.2},
            {"facecolor": BLUE, "edgecolor": PAPER, "lw": 1},
        )
        names = ("the whole network", f"{percent(result.levels[place], 0)} removed")
        for where, name, style in zip((0, place), names, styles, strict=True):
            p = result.probabilities(where, temperature)
            bins = binned(p.max(1), result.hit[0, where], np.linspace(0, 1, BINS + 1))
            filled = bins.count > 0
            points = axes.scatter(
                bins.confidence[filled],
                bins.accuracy[filled],
                s=20 + 110 * np.sqrt(bins.count[filled] / result.n),
                clip_on=False,
                zorder=3,
                **style,
            )
            said = "".join(
                f"; image {image}: says {result.classes[p[row].argmax()]} "
                f"{percent(p[row].max(), 0)}"
                for row in np.flatnonzero(result.index == image)[:1]
            )
            self.hover(points, name + said)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        for set_labels in (axes.set_xticklabels, axes.set_yticklabels):
            set_labels(["0", "50", typeset("100 %")])
        self.title.set_text("How often it is right, by its confidence")
        self.below.set_text(f"confidence, {CALLED[temperature]}; ○ whole, ● pruned")
