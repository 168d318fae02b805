"""Numbers of a saliency analysis as its pictures and sentences tell them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.pixels import in_cells
from ...core.wording import percent

if TYPE_CHECKING:
    from .result import Saliency

CELLS = 32
"""Cells along a side of a map, at most: what is smaller cannot be hit."""


def accumulated(result: Saliency, alpha: float) -> np.ndarray:
    """Return the first image's maps ``(B, H, W)``, accumulated up to ``alpha`` on the path.

    Methods that walk no path have their whole map at once.
    """
    if alpha == 1 or not result.path_maps.size:
        return result.maps[0]
    at = step(result, alpha)
    return np.stack([result.accumulated(b, at) for b in range(len(result.baselines))])


def step(result: Saliency, alpha: float) -> int:
    """Return the step of the path that is nearest to ``alpha``."""
    return round(alpha * (result.path.shape[-1] - 1))


def contested(maps: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the cell over which maps ``(H, W)`` disagree most; of one map, the largest.

    Examples
    --------
    >>> contested([np.array([[1.0, 0.5]]), np.array([[0.1, -1.0]])])
    (0, 1)
    """
    cells = [in_cells(it, CELLS) for it in maps]
    cells = [it / (np.abs(it).max() or 1.0) for it in cells]
    odd = -cells[0] * cells[1] if len(cells) > 1 else np.abs(cells[0])
    row, column = np.unravel_index(int(odd.argmax()), odd.shape)
    return int(row), int(column)


def place(result: Saliency, pair: tuple[int, int], cell: tuple[int, int] | None) -> tuple[int, int]:
    """Return the row and column, from 0, of the cell whose credit is told."""
    if cell is None:
        return contested([result.maps[0, b] for b in dict.fromkeys(pair)])
    return tuple(
        min(at, CELLS, side) - 1 for at, side in zip(cell, result.images.shape[2:], strict=True)
    )


def number(value: float, *, sign: bool = True) -> str:
    """Return two decimals, of small numbers two significant figures.

    Examples
    --------
    >>> number(-1.056), number(0.2), number(-32.1), number(0.00456), number(0.00012), number(0)
    ('−1.06', '+0.20', '−32.1', '+0.0046', '+1.2e-4', '0')
    """
    if value == 0:
        return "0"
    size = int(np.floor(np.log10(abs(value))))
    digits = max(1, 2 - size) if size >= 0 else max(2, 1 - size)
    text = f"{abs(value):.{digits}f}"
    if size < -3:
        text = f"{abs(value) / 10.0**size:.1f}e{size}"
    return (("−" if value < 0 else "+") if sign else "") + text


def two(value: float, *, sign: bool = False) -> str:
    """Return a correlation to two decimals, with a true minus and no minus of zero.

    Examples
    --------
    >>> two(-0.482), two(-0.001), two(0.27, sign=True)
    ('−0.48', '0.00', '+0.27')
    """
    return f"{value:{'+' if sign else ''}z.2f}".replace("-", "−")


def share(part: float) -> str:
    """Return a share of 1 in per cent, with a decimal where it is small.

    Examples
    --------
    >>> share(0.25), share(0.0049), share(0)
    ('25 %', '0.5 %', '0 %')
    """
    return percent(part, 0 if part >= 0.1 or part == 0 else 1)
