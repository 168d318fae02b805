"""Small pictures of images, as HTML."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from ..core.drawing import BLUE, VERMILLION
from ..core.pixels import GRID

# Less, the same, more; an odd number of colours has one in the middle.
SIGNED = LinearSegmentedColormap.from_list("signed", [VERMILLION, "white", BLUE], 257)

LARGE = 150
"""Pixels at which an image is seen, not only chosen."""


def strip(thumbnails: list[str]) -> str:
    """Return thumbnails side by side, as many as fit: the page keeps its height."""
    return f'<div class="rw-strip">{"".join(thumbnails)}</div>'


def thumbnail(
    image: np.ndarray, caption: str, title: str, side: int = 44, cells: np.ndarray | None = None
) -> str:
    """Return one image with a caption below and a title when pointed at.

    Parameters
    ----------
    image : numpy.ndarray
        ``(C, H, W)`` in [0, 1]; other than one or three channels are shown as their mean.
    caption, title : str
        Text; the caption may hold line breaks.
    side : int
        Height on the page in pixels.
    cells : numpy.ndarray, optional
        ``(rows, 8)`` numbers that are shown when the part of the image is pointed at.
    """
    if len(image) not in (1, 3):
        image = image.mean(axis=0, keepdims=True)
    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(pixels if len(image) == 3 else pixels[..., 0]).save(stream, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    lines = "<br>".join(html.escape(line) for line in caption.split("\n"))
    words = html.escape(title)
    drawn = f'<img src="{uri}" alt="{words}" height="{side}">'
    if cells is not None and cells.shape[1] == GRID:
        grid = "".join(f'<i title="{words}: {number:.3g}"></i>' for number in cells.flat)
        drawn = f'<div style="position: relative">{drawn}<div class="rw-cells">{grid}</div></div>'
    return f'<figure title="{words}">{drawn}<figcaption>{lines}</figcaption></figure>'


def coloured(values: np.ndarray, low: float, high: float, *, signed: bool = False) -> np.ndarray:
    """Return numbers as colours, ``(3, H, W)`` in [0, 1], for `thumbnail`.

    Parameters
    ----------
    values : numpy.ndarray
        ``(H, W)``.
    low, high : float
        Where the colours begin and end.
    signed : bool
        From orange (less) over white to blue (more) instead of from dark to light (cividis);
        ``low`` is ``-high`` then.

    Examples
    --------
    >>> coloured(np.array([[-1.0, 0.0]]), -1, 1, signed=True)[:, 0].round(2).tolist()
    [[0.84, 1.0], [0.37, 1.0], [0.0, 1.0]]
    """
    share = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    colours = SIGNED if signed else colormaps["cividis"]
    return colours(share)[..., :3].transpose(2, 0, 1)


def scale(low: float, high: float, title: str, *, signed: bool = False) -> str:
    """Return the colours of `coloured` as a bar with its numbers."""
    bar = np.linspace(low, high, 64)[None].repeat(8, axis=0)
    numbers = f"{low + 0.0:.2g} to {high:.2g}"  # not "-0"
    colours = coloured(bar, low, high, signed=signed)
    return thumbnail(colours, numbers, f"{title}: colours from {numbers}", side=8)
