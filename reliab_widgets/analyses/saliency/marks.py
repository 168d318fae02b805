"""What the pictures of a saliency analysis are made of: colours, numbers in words, cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ...core.pixels import edges
from ...core.style import SIGNED, SIGNED_DARK, Sheet
from .values import CELLS

MOST = 4
"""Baselines side by side."""
OPPOSES = 1 / 3
"""Share of the scale beyond which what opposes carries a dot."""


def picture(sheet: Sheet, x: float, y: float, width: float, height: float) -> AxesImage:
    """Keep a place for an image on a sheet; its pixels stay pixels."""
    image = AxesImage(
        sheet.page, extent=(x, x + width, y + height, y), interpolation="none", origin="upper"
    )
    image.set_data(np.zeros((1, 1, 4), np.uint8))
    sheet.page.add_image(image)
    return image


class Coloured:
    """A place for a map on a sheet, in the colours of a white page and of a dark one.

    Parameters
    ----------
    sheet : Sheet
        Where it is.
    x, y, width, height : float
        Its place.
    """

    def __init__(self, sheet: Sheet, x: float, y: float, width: float, height: float) -> None:
        self.light, self.dark = (picture(sheet, x, y, width, height) for _ in range(2))
        sheet.twin(self.light, self.dark)

    def show(self, values: np.ndarray, limit: float, polarity: str) -> None:
        """Show numbers ``(H, W)``, whose colours end at ``limit``."""
        self.light.set_data(colours(values, limit, polarity))
        self.dark.set_data(colours(values, limit, polarity, dark=True))


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


def colours(values: np.ndarray, limit: float, polarity: str, *, dark: bool = False) -> np.ndarray:
    """Return a map's colours ``(H, W, 3)`` as bytes; at ``limit`` they end."""
    scaled = np.clip(values / limit, -1, 1)
    scaled = np.abs(scaled) if polarity == "magnitude" else scaled
    return (SIGNED_DARK if dark else SIGNED)(scaled / 2 + 0.5, bytes=True)[..., :3]


def part(values: np.ndarray, polarity: str) -> np.ndarray:
    """Return what of the values a polarity shows."""
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
