"""The picture of how far all maps agree: with each other, and with their controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from ...core.drawing import short
from ...core.style import BLUE, INK, LINES, MUTED, ORANGE, PAPER, Sheet
from ...core.wording import counted
from . import sentences
from .marks import MOST
from .values import share, two

if TYPE_CHECKING:
    from .result import Saliency

LEFT, TOP, WIDE, HIGH, GAP = 84, 46, 50, 42, 2
CONTROLS = (302, 364)
"""Where the columns of the controls begin."""


class Agreement(Sheet):
    """A triangle of the maps, and apart the untrained network and half the steps."""

    width, height = 424, 220

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.note = self.label(0, 14)
        self.heads = [
            self.label(LEFT + WIDE * (at + 0.5), TOP - 10, ha="center") for at in range(MOST)
        ]
        self.apart = [self.label(x + 27, TOP - 10, ha="center") for x in CONTROLS]
        self.names = [
            self.text(LEFT - 10, TOP + HIGH * (at + 0.5) + 4, ha="right") for at in range(MOST)
        ]
        self.cells = {
            (row, column): self._cell(LEFT + WIDE * column, row, WIDE)
            for row in range(MOST)
            for column in range(row)
        }
        self.controls = {
            (row, at): self._cell(x, row, 54)
            for row in range(MOST)
            for at, x in enumerate(CONTROLS)
        }
        for rim, _ in self.controls.values():
            rim.set(fc=PAPER, alpha=1, ec=LINES, lw=1, ls=(0, (3, 2)))
        self.chosen = Rectangle((0, 0), 0, HIGH - GAP, fc="none", ec=INK, lw=2, zorder=4)
        self.page.add_patch(self.chosen)

    def _cell(self, x: float, row: int, width: float) -> tuple[Rectangle, Text]:
        box = Rectangle((x, TOP + HIGH * row), width - GAP, HIGH - GAP, lw=0, zorder=1)
        self.page.add_patch(box)
        text = self.text(x + (width - GAP) / 2, TOP + HIGH * (row + 0.5) + 3, ha="center", zorder=3)
        return box, text

    def show(self, result: Saliency, pair: tuple[int, int], versus: str) -> None:
        """Move everything to the numbers of a result."""
        count, n = len(result.baselines), len(result.index)
        called = [short(result.called(b), 10) for b in range(count)]
        pairs = result.between_baselines()
        many = "mean of " * (n > 1) + counted(n)
        self.note.set_text(f"Spearman’s ρ of signed maps, {many}. Click a cell to show that pair.")
        for b, (column, row) in enumerate(zip(self.heads, self.names, strict=True)):
            column.set_text(short(called[b], 7) if b < count - 1 else "")
            row.set_text(called[b] if b < count else "")
        self.titles.clear()
        for at, (box, text) in self.cells.items():
            box.set_visible(at[0] < count)
            text.set_text("")
            if at[0] < count:
                told = self._tell(result, box, text, float(pairs[at]), at)
                self.hover(box, told, f"pair:{at[1]},{at[0]}")
        self._show_controls(result)
        self._choose(result, pair, versus)

    def _show_controls(self, result: Saliency) -> None:
        columns, count = (result.control(), result.ceiling()), len(result.baselines)
        heads = ("untrained", "half steps" if result.method == "ig" else "drawn twice")
        for at, (values, head) in enumerate(zip(columns, heads, strict=True)):
            known = np.isfinite(values).any()
            self.apart[at].set_text(head if known else "")
            for row in range(MOST):
                box, text = self.controls[row, at]
                box.set_visible(bool(known) and row < count)
                text.set(text="", color=MUTED)
                if known and row < count:
                    gap = result.incomplete(row)
                    text.set_text("gap" if gap else two(float(values[row])))
                    said = f"{result.called(row)}, {head}: ρ = {two(float(values[row]))}"
                    self.hover(box, _gap(result, row) if gap else said,
                               "" if at else f"pair:{row},untrained")  # fmt: skip

    def _tell(
        self, result: Saliency, box: Rectangle, text: Text, value: float, at: tuple[int, int]
    ) -> str:
        names = " and ".join(result.called(b) for b in at[::-1])
        if result.incomplete(*at):
            box.set(facecolor=LINES, alpha=0.15)
            text.set(text="gap", color=MUTED)
            return "; ".join(_gap(result, b) for b in at[::-1] if result.incomplete(b))
        if np.isnan(value):
            box.set(facecolor=LINES, alpha=0.15)
            return f"{names}: one map is constant"
        box.set(facecolor=BLUE if value > 0 else ORANGE, alpha=0.06 + 0.3 * abs(value))
        text.set(text=two(value, sign=True), color=INK)
        return f"{names}: ρ = {two(value)}, {sentences.alike(result, at)}"

    def _choose(self, result: Saliency, pair: tuple[int, int], versus: str) -> None:
        row, column = max(pair), min(pair)
        self.chosen.set_visible(row != column or versus == "untrained")
        x, width = LEFT + WIDE * column, WIDE
        if versus == "untrained":
            row, x, width = pair[0], CONTROLS[0], 54
        self.chosen.set(x=x, y=TOP + HIGH * row, width=width - GAP)


def _gap(result: Saliency, b: int) -> str:
    return f"the map against {result.called(b)} does not add up, gap {share(result.gaps[b])}"
