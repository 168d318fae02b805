"""The part of the picture that says how far the maps agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb

from ...core.drawing import short
from .marks import LOWER, MARKS, MOST, OPPOSES, SUPPORTS, Canvas, percent

if TYPE_CHECKING:
    from .result import Saliency

PLACE, CELL, ROW = (284, 228), 28, 25
COLUMNS = (0, 28, 56, 84, 119, 150)
"""Four baselines and, apart, two controls."""


class Table:
    """Agreement of the maps with each other, with the untrained network's, and with themselves.

    Parameters
    ----------
    canvas : Canvas
        What it is drawn on.
    """

    def __init__(self, canvas: Canvas) -> None:
        left, top = PLACE
        self.heading = canvas.text(left - 66, LOWER, fontsize=9)
        self.tints = canvas.image(left, top, COLUMNS[-1] + CELL, ROW * MOST)
        middles = [left + CELL / 2 + x for x in COLUMNS]
        rows = [top + ROW * (row + 0.5) for row in range(MOST)]
        self.values = [[canvas.text(x, y, ha="center") for x in middles] for y in rows]
        self.rows = [canvas.text(left - 4, y, ha="right") for y in rows]
        self.heads = [canvas.text(x, top - 8, ha="center") for x in middles]
        end = left + COLUMNS[-1] + CELL, top + ROW * MOST + 11
        self.controls = canvas.text(*end, ha="right")
        self.pairs = canvas.cells()

    def show(self, result: Saliency) -> None:
        """Move everything to the numbers of a result."""
        count = len(result.baselines)
        many = f", n = {len(result.index)}" if len(result.index) > 1 else ", signed"
        self.heading.set_text(f"agreement: Spearman{many}")
        table = np.full((MOST, MOST + 2), np.nan)
        table[:count, :count] = result.between_baselines()
        table[:count, MOST] = result.control()
        table[:count, MOST + 1] = result.ceiling()
        cells = np.zeros((MOST, COLUMNS[-1] + CELL, 4), np.uint8)
        for x, column in zip(COLUMNS, table.T, strict=True):
            cells[:, x : x + CELL] = _tinted(column)[:, None]
        self.tints.set_data(cells)
        for row, texts in zip(table, self.values, strict=True):
            for value, text in zip(row, texts, strict=True):
                text.set_text("" if np.isnan(value) else _two(value))
        for b, (name, head) in enumerate(zip(self.rows, self.heads, strict=False)):
            here = b < count
            name.set_text(f"{short(result.called(b), 12)} {MARKS[b]}" if here else "")
            head.set_text(MARKS[b] if here else "")
        told = [np.isfinite(column).any() for column in table.T[MOST:]]
        for head, word, here in zip(self.heads[MOST:], ("untr.", "ceil."), told, strict=True):
            head.set_text(word if here else "")
        names = np.array(["untrained network", "noise ceiling"])
        self.controls.set_text(", ".join(names[told]))
        self._show_pairs(result)

    def _show_pairs(self, result: Saliency) -> None:
        count, (left, top) = len(result.baselines), PLACE
        tables = [result.agree(measure) for measure in ("signed", "absolute", "top", "ssim")]
        names = [result.called(b) for b in range(count)]
        self.pairs.areas = []
        for row, name in enumerate(names):
            others = [*enumerate(names)]
            if result.untrained.shape[1]:
                others.append((len(tables[0]) - count + row, "the untrained network"))
            for x, (at, other) in zip((*COLUMNS[:count], COLUMNS[MOST]), others, strict=False):
                signed, absolute, shared, ssim = (table[row, at] for table in tables)
                box = (left + x, top + ROW * row, left + x + CELL, top + ROW * (row + 1))
                words = (
                    f"{name} and {other}: Spearman signed {signed:+z.2f}, magnitudes "
                    f"{absolute:+z.2f}, top 10 % shared {percent(shared)}, SSIM {ssim:.2f}"
                )
                self.pairs.areas.append(([box], words))


def _tinted(values: np.ndarray) -> np.ndarray:
    # Thin colours, through which the page is seen: its own text stays readable on them.
    known = np.nan_to_num(np.clip(values, -1, 1))[:, None]
    tint = np.where(known < 0, *(255 * np.array(to_rgb(it)) for it in (OPPOSES, SUPPORTS)))
    return np.concatenate([tint, np.abs(known) * 95], axis=1).astype(np.uint8)


def _two(value: float) -> str:
    text = f"{abs(value):.2f}".removeprefix("0")
    return ("−" if value < 0 and text != ".00" else "") + ("1" if text == "1.00" else text)
