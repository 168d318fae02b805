"""Small pictures of images, as HTML."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image


def strip(thumbnails: list[str]) -> str:
    """Return thumbnails side by side, as many as fit: the page keeps its height."""
    return f'<div class="rw-strip">{"".join(thumbnails)}</div>'


def thumbnail(image: np.ndarray, caption: str, title: str, side: int = 44) -> str:
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
    if len(image) not in (1, 3):
        image = image.mean(axis=0, keepdims=True)
    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(pixels if len(image) == 3 else pixels[..., 0]).save(stream, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    lines = "<br>".join(html.escape(line) for line in caption.split("\n"))
    words = html.escape(title)
    return (
        f'<figure title="{words}"><img src="{uri}" alt="{words}" height="{side}">'
        f"<figcaption>{lines}</figcaption></figure>"
    )
