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


def thumbnail(
    image: np.ndarray, caption: str, title: str, side: int = LARGE, below: str = ""
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
    below : str
        HTML between image and caption, see `bar`.
    """
    lines = "<br>".join(html.escape(line) for line in caption.split("\n"))
    words = html.escape(title)
    drawn = f'<img src="{uri(image)}" alt="{words}" height="{side}">'
    return f'<figure title="{words}">{drawn}{below}<figcaption>{lines}</figcaption></figure>'


def uri(image: np.ndarray, most: int = 400) -> str:
    """Return an image, ``(C, H, W)`` in [0, 1], as the address of a PNG that holds it.

    One with more than ``most`` pixels on a side is made smaller.

    Examples
    --------
    >>> uri(np.zeros((1, 2, 2)))[:26]
    'data:image/png;base64,iVBO'
    """
    stream, picture = io.BytesIO(), Image.fromarray(rgb(image))
    picture.thumbnail((most, most))
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def bar(limit: float, side: int = LARGE) -> str:
    """Return what the colours of `coloured` mean, as HTML; nothing where all are that of 0.

    Examples
    --------
    >>> "<span>−0.25</span><span>0</span><span>+0.25</span>" in bar(0.25)
    True
    """
    if not limit > 0:
        return ""
    colours = coloured(np.linspace(-limit, limit, 9)[None], limit)[:, 0].T
    stops = ", ".join("rgb({} {} {})".format(*np.rint(255 * it).astype(int)) for it in colours)
    ends = "".join(f"<span>{it}</span>" for it in (f"−{limit:.2g}", "0", f"+{limit:.2g}"))
    return (
        f'<div style="width: {side}px; margin-top: 4px"><div style="height: 6px; '
        f'background: linear-gradient(to right, {stops})"></div>'
        f'<div style="display: flex; justify-content: space-between">{ends}</div></div>'
    )


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
