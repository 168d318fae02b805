"""What the pictures of a saliency analysis are made of: colours, numbers in words, cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ...core.pixels import edges
from ...core.style import Sheet
from .values import CELLS

MOST = 4
"""Baselines side by side."""
OPPOSES = 1 / 3
"""Share of the scale beyond which what opposes carries a dot."""


class Lines:
    """Many closed boxes or open lines that are one element of the picture.

    Parameters
    ----------
    sheet : Sheet
        Where they are.
    **style
        As patches of matplotlib take it.
    """

    def __init__(self, sheet: Sheet, **style: Any) -> None:
        self.patch = PathPatch(Path(np.empty((0, 2))), **style)
        sheet.page.add_patch(self.patch)

    def show(self, corners: np.ndarray) -> None:
        """Draw lines ``(count, corners, 2)``, in pixels of the sheet."""
        count, each = corners.shape[:2]
        codes = np.tile([Path.MOVETO, *[Path.LINETO] * (each - 1)], count)
        self.patch.set_path(Path(corners.reshape(-1, 2), codes if count else None))
        self.patch.set_visible(count > 0)


def part(values: np.ndarray, polarity: str) -> np.ndarray:
    """Return what of the values a polarity shows."""
    if polarity == "magnitude":
        return np.abs(values)
    if polarity == "positive":
        return np.maximum(values, 0)
    return np.minimum(values, 0) if polarity == "negative" else values


def limit(values: np.ndarray, clip: float) -> float:
    """Return where the colours of a map end: a percentile of its magnitudes."""
    return float(np.percentile(np.abs(values), clip)) or float(np.abs(values).max()) or 1.0


def boxes(cells: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """Return the corners ``(count, 2, 2)`` of cells ``(count, 2)``, in pixels of the sheet."""
    down, across = (scale * edges(side, CELLS) for side in size)
    rows, columns = cells.T
    first = np.stack([across[columns], down[rows]], axis=1)
    return np.stack([first, np.stack([across[columns + 1], down[rows + 1]], axis=1)], axis=1)
