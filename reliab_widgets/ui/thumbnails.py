"""Small pictures of images, as HTML."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from ..core.pixels import rgb
from ..core.style import SIGNED

LARGE = 150
"""Pixels at which an image is seen, not only chosen."""


def strip(thumbnails: list[str]) -> str:
    """Return thumbnails side by side, as many as fit: the page keeps its height."""
    return f'<div class="rw-strip">{"".join(thumbnails)}</div>'


def thumbnail(image: np.ndarray, caption: str, title: str, side: int = LARGE) -> str:
    """Return one image with a caption below and a title when pointed at.

    Parameters
    ----------
    image : numpy.ndarray
        ``(C, H, W)`` in [0, 1]; other than one or three channels are shown as their mean.
    caption, title : str
        Text; the caption may hold line breaks.
    side : int
        Height on the page in pixels.
    """
    stream = io.BytesIO()
    Image.fromarray(rgb(image)).save(stream, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    lines = "<br>".join(html.escape(line) for line in caption.split("\n"))
    words = html.escape(title)
    drawn = f'<img src="{uri}" alt="{words}" height="{side}">'
    return f'<figure title="{words}">{drawn}<figcaption>{lines}</figcaption></figure>'


def coloured(values: np.ndarray, limit: float) -> np.ndarray:
    """Return signed numbers as colours, ``(3, H, W)`` in [0, 1], for `thumbnail`.

    Parameters
    ----------
    values : numpy.ndarray
        ``(H, W)``.
    limit : float
        Where the colours end, on both sides of 0.

    Examples
    --------
    >>> coloured(np.array([[-1.0, 0.0]]), 1.0)[:, 0].round(2).tolist()
    [[0.83, 0.97], [0.45, 0.97], [0.16, 0.96]]
    """
    share = values / limit / 2 + 0.5 if limit > 0 else np.full(values.shape, 0.5)
    colours: np.ndarray = SIGNED(share)[..., :3].transpose(2, 0, 1)
    return colours
