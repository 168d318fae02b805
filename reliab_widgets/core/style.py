"""How all pictures look: colours by their role, with twins on a dark page, axes and texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from .drawing import COLOURS, WIDEST, Drawing

INK, MUTED, PAPER, BLUE, ORANGE, GREY, BLUE_TINT, ORANGE_TINT, GREY_TINT, LINES, HAIR, PANEL = (
    light for light, _ in COLOURS.values()
)
WIDTH = WIDEST
# From what opposes over nothing to what supports; an odd number of colours has one in the middle,
# and the ends differ in lightness.
SIGNED, SIGNED_DARK = (
    LinearSegmentedColormap.from_list("signed", ends, 257)
    for ends in (("#d4742a", "#f7f7f5", "#0b4595"), ("#d98a4e", "#22262b", "#9ccbff"))
)


class Sheet(Drawing):
    """A drawing laid out in pixels of the page, from its upper left corner.

    A subclass sets ``width`` and ``height`` and makes its artists in ``__init__``.
    """

    width = WIDTH
    height = 330

    def __init_subclass__(cls) -> None:
        cls.size = (cls.width / 72, cls.height / 72)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.page = figure.add_axes((0, 0, 1, 1), zorder=5)
        self.page.set_axis_off()
        self.page.set(xlim=(0, self.width), ylim=(self.height, 0))

    def chart(self, x: float, y: float, width: float, height: float) -> Any:
        """Return axes in the house style: a hairline grid, no frame, small words."""
        wide, high = self.width, self.height
        box = (x / wide, 1 - (y + height) / high, width / wide, height / high)
        axes = self.figure.add_axes(box)
        axes.set_facecolor("none")
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.spines["bottom"].set_color(LINES)
        axes.tick_params(colors=MUTED, labelcolor=MUTED, labelsize=12, length=0, pad=6)
        axes.yaxis.grid(True, color=HAIR, lw=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_label_coords(0, 0)  # there is none: else its place is looked for each time
        axes.set_axisbelow(True)
        return axes

    def text(self, x: float, y: float, words: str = "", **style: Any) -> Text:
        """Write a line whose baseline is at y."""
        usual: dict[str, Any] = {"fontsize": 12, "color": INK, "parse_math": False}
        return self.page.text(x, y, words, **(usual | style))

    def heading(self, x: float, words: str = "", y: float = 14) -> Text:
        """Write what a part of the picture shows."""
        return self.text(x, y, words, fontsize=13, fontweight="bold")

    def label(self, x: float, y: float, words: str = "", **style: Any) -> Text:
        """Write what is less important."""
        return self.text(x, y, words, **({"color": MUTED} | style))

    def picture(self, x: float, y: float, width: float, height: float) -> AxesImage:
        """Keep a place for an image; its pixels stay pixels."""
        extent = (x, x + width, y + height, y)
        image = AxesImage(self.page, extent=extent, interpolation="none", origin="upper")
        image.set_data(np.zeros((1, 1, 4), np.uint8))
        self.page.add_image(image)
        return image


class Coloured:
    """A place for numbers with a sign, in the colours of a white page and of a dark one.

    Parameters
    ----------
    sheet : Sheet
        Where it is.
    x, y, width, height : float
        Its place.
    """

    def __init__(self, sheet: Sheet, x: float, y: float, width: float, height: float) -> None:
        self.light, self.dark = (sheet.picture(x, y, width, height) for _ in range(2))
        sheet.twin(self.light, self.dark)

    def show(self, values: np.ndarray, limit: float) -> None:
        """Show ``(H, W)``, whose colours end at ``limit``; below 0 it turns them round."""
        share = np.clip(values / limit, -1, 1) / 2 + 0.5
        for image, colours in ((self.light, SIGNED), (self.dark, SIGNED_DARK)):
            image.set_data(colours(share, bytes=True)[..., :3])
