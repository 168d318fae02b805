"""What the picture of a saliency analysis is made of: marks, colours, texts, numbers in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from ...core.drawing import BLUE, GREEN, INK, SKY, VERMILLION

if TYPE_CHECKING:
    from .result import Saliency

MOST = 4
"""Baselines side by side."""
MARKS = "●▲■◆"
SERIES: tuple[dict[str, Any], ...] = (
    {"color": GREEN, "marker": "o", "ls": "-"},
    {"color": "#CC79A7", "marker": "^", "ls": (0, (4, 1.5))},
    {"color": SKY, "marker": "s", "ls": (0, (5, 1.5, 1, 1.5))},
    {"color": INK, "marker": "D", "ls": (0, (9, 2))},
)
SUPPORTS, OPPOSES = BLUE, VERMILLION
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#7a3000", OPPOSES, "white", SUPPORTS, "#00304f"], N=255
)  # an odd number of colours, so that one is white
MAGNITUDE = colormaps["cividis"]

# Places are in pixels from the upper left corner of the picture, as the widget shows it.
WIDTH, HEIGHT = 654, 366
LOWER = 200
"""Titles of the lower row."""


class Cells(Artist):
    """Areas that are not seen and say something when pointed at, in an SVG only."""

    def __init__(self) -> None:
        super().__init__()
        self.areas: list[tuple[list[tuple[float, float, float, float]], str]] = []
        self.set_zorder(9)

    def draw(self, renderer: Any) -> None:
        """Write one path with its title for each area: boxes (x, y, x, y) and what they say."""
        if not isinstance(renderer, RendererSVG) or not self.areas:
            return
        writer, height = renderer.writer, renderer.height
        corners = np.concatenate([np.reshape(boxes, (-1, 2)) for boxes, _ in self.areas])
        points = iter(self.get_transform().transform(corners).reshape(-1, 4).round(1).tolist())
        writer.start("g", {"fill": "none", "pointer-events": "all"})
        for boxes, words in self.areas:
            lines = []
            for (left, top, right, bottom), _ in zip(points, boxes, strict=False):
                lines.append(f"M{left:g} {height - top:g}H{right:g}V{height - bottom:g}H{left:g}z")
            writer.start("path", {"d": "".join(lines)})
            writer.element("title", words)
            writer.end("path")
        writer.end("g")


def cells_on(axes: Axes) -> Cells:
    """Put areas on axes."""
    cells = Cells()
    axes.add_artist(cells)
    return cells


class Canvas:
    """Axes over the whole picture, whose units are its pixels.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Which they cover.
    """

    def __init__(self, figure: Figure) -> None:
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))

    def text(self, x: float, y: float, words: str = "", **style: Any) -> Text:
        """Write something, in the middle of its line unless told otherwise."""
        usual: dict[str, Any] = {"fontsize": 8, "color": INK, "va": "center", "parse_math": False}
        return self.axes.text(x, y, words, **(usual | style))

    def image(self, x: float, y: float, width: float, height: float) -> AxesImage:
        """Keep a place for an image, empty at first."""
        extent = (x, x + width, y + height, y)
        image = AxesImage(self.axes, extent=extent, interpolation="none", origin="upper")
        image.set_data(np.zeros((1, 1, 4), np.uint8))
        self.axes.add_image(image)
        return image

    def cells(self) -> Cells:
        """Return areas on these axes."""
        return cells_on(self.axes)


def accumulated(result: Saliency, alpha: float) -> np.ndarray:
    """Return the first image's maps ``(B, H, W)``, accumulated up to ``alpha`` on the path.

    Methods that walk no path have their whole map at once.
    """
    if alpha == 1 or not result.path_maps.size:
        return result.maps[0]
    at = step(result, alpha)
    return np.stack([result.accumulated(b, at) for b in range(len(result.baselines))])


def tell(names: Sequence[str], credit: np.ndarray, row: int, column: int) -> str:
    """Say what the maps give to one cell, counted from 1.

    Examples
    --------
    >>> tell(["black", "white"], np.array([0.012, -0.0041]), 2, 4)
    'row 3, col 5: black +0.012, white −0.0041'
    """
    parts = ", ".join(f"{name} {number(c)}" for name, c in zip(names, credit, strict=True))
    return f"row {row + 1}, col {column + 1}: {parts}"


def number(value: float, *, sign: bool = True) -> str:
    """Return two significant figures.

    Examples
    --------
    >>> number(0.01234), number(-32.1), number(0.00012), number(0)
    ('+0.012', '−32', '+1.2e-4', '0')
    """
    if value == 0:
        return "0"
    size = int(np.floor(np.log10(abs(value))))
    text = f"{abs(value):.{max(0, 1 - size)}f}"
    if size < -3:
        text = f"{abs(value) / 10.0**size:.1f}e{size}"
    return (("−" if value < 0 else "+") if sign else "") + text


def colours(values: np.ndarray, limit: float, polarity: str) -> np.ndarray:
    """Return a map's colours ``(H, W, 3)`` as bytes; at ``limit`` they end."""
    if polarity == "magnitude":
        return MAGNITUDE(np.clip(np.abs(values) / limit, 0, 1), bytes=True)[..., :3]
    return SIGNED(np.clip(values / limit, -1, 1) / 2 + 0.5, bytes=True)[..., :3]


def step(result: Saliency, alpha: float) -> int:
    """Return the step of the path that is nearest to ``alpha``."""
    return round(alpha * (result.path.shape[-1] - 1))


def twin(result: Saliency, pinned: Saliency, b: int) -> int | None:
    """Return which of the pinned baselines is the same as baseline ``b``."""
    names = [pinned.called(k) for k in range(len(pinned.baselines))]
    if b >= len(result.baselines) or result.called(b) not in names:
        return None
    return names.index(result.called(b))


def percent(share: float) -> str:
    """Return a share of 1 in whole per cent."""
    return f"{100 * share:.0f} %"
