"""Images in a row that can be chosen by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..core import drawing
from ..core.pixels import rgb
from ..core.style import BLUE, INK, LINES, MUTED, ORANGE, PAPER, Sheet
from .picture import Stage

SIDE, GAP = 150, 26
"""Pixels of an image, and between two."""
MOST = 5
"""So many stand in a row."""


class Framed(NamedTuple):
    """An image and what is written below it.

    Attributes
    ----------
    image : numpy.ndarray
        ``(C, H, W)`` in [0, 1]; other than one or three channels are shown as their mean.
    title, caption : str
        Below it, in bold and in grey.
    words : str
        What is said when it is pointed at.
    key : str
        What is told when it is chosen; with none it cannot be.
    warns : bool
        Whether its title is in the colour of warnings.
    """

    image: np.ndarray
    title: str
    caption: str = ""
    words: str = ""
    key: str = ""
    warns: bool = False


class Row(Sheet):
    """At most `MOST` images."""

    height = SIDE + 44

    def show(self, items: Sequence[Framed], kind: str, chosen: str) -> None:
        """Draw them; ``kind`` is that of their marks, ``chosen`` the key of the framed one."""
        self.page.set_zorder(-1)
        for place, item in enumerate(items[:MOST]):
            x = place * (SIDE + GAP) + 2
            axes = self.chart(x, 2, SIDE, SIDE)
            axes.set_axis_off()
            axes.imshow(rgb(item.image), interpolation="nearest", aspect="equal")
            mine = bool(item.key) and item.key == chosen
            edge: dict[str, Any] = {"ec": BLUE if mine else LINES, "lw": 2.2 if mine else 1}
            self.page.add_patch(Rectangle((x - 1, 1), SIDE + 2, SIDE + 2, fill=False, **edge))
            colour = ORANGE if item.warns else INK
            self.text(x, SIDE + 19, item.title, color=colour, fontweight="bold")
            self.text(x, SIDE + 36, item.caption, color=MUTED)
            self.mark(x, item, kind)

    def mark(self, x: float, item: Framed, kind: str) -> None:
        """Let an image be pointed at, and chosen if it has a key."""
        front = self.figure.add_axes(
            (x / 880, 1 - (SIDE + 2) / self.height, SIDE / 880, SIDE / self.height), zorder=9
        )
        front.set_axis_off()
        target = Rectangle((0, 0), 1, 1, facecolor=PAPER, alpha=0.004, lw=0)
        front.add_patch(target)
        self.hover(target, item.words or item.title, f"{kind}:{item.key}" if item.key else "")


class Gallery(Stage):
    """A row of images on a page.

    Parameters
    ----------
    kind : str
        Of the marks.
    chosen : callable
        Called with the key of an image that was chosen.
    """

    def __init__(self, kind: str, chosen: Callable[[str], object]) -> None:
        super().__init__(Row.height, lambda _, key: chosen(key), lambda *_: None)
        self._kind = kind

    def fill(self, items: Sequence[Framed], chosen: str = "") -> None:
        """Show images, one of them framed."""
        with drawing.LOCK:
            figure = Figure()
            row = Row.on(figure)
            row.show(items, self._kind, chosen)
            drawing.readable(figure)
            drawn = drawing.svg(figure, f"rw{id(self):x}", themed=True)
        told = "; ".join(item.words or item.title for item in items)
        self.show(drawn, told or "no images", {self._kind: chosen} if chosen else {})
