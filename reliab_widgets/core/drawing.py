"""Figures without pyplot: drawn once, updated after, shown as SVG with hover titles or as PNG.

Matplotlib is not thread-safe and callbacks of widgets come on any thread, so everything that
draws holds `LOCK`.
"""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Self

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from .fonts import complete, measured
from .wording import typeset

LOCK = threading.RLock()

# Colours by their role, on a white page and on a dark one.
COLOURS = {
    "ink": ("#1f2933", "#e8ebee"),  # text, clean, reference
    "muted": ("#5a6672", "#a7b1bb"),  # labels, units
    "paper": ("#fffffe", "#111111"),  # behind marks
    "blue": ("#1a66c2", "#7fb5f5"),  # what can be moved or is chosen; the main curve
    "orange": ("#ad4a0b", "#f39a5f"),  # attacked, lost, outside
    "grey": ("#65707b", "#97a2ad"),  # controls
    "blue-tint": ("#e4eef9", "#1b3250"),
    "orange-tint": ("#fbeadf", "#43280f"),
    "grey-tint": ("#eef0f2", "#24292e"),
    "lines": ("#c4cbd2", "#59636d"),
    "hair": ("#e3e7eb", "#333a41"),
    "panel": ("#f6f7f9", "#1b1e22"),
}
_THEMED = {light: f"var(--rw-{name}, {light})" for name, (light, _) in COLOURS.items()}
WIDEST = 880
"""Pixels of a page that a picture takes at most."""
LONGEST = 200
"""Letters of a line, and lines of a text, that a picture shows."""
# What XML cannot hold and fonts cannot draw: control characters and halves of letters.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Picture(Figure):
    """A figure that shows itself at the end of a cell, with or without ``%matplotlib inline``."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        wide, high = self.get_size_inches()
        width, height = (round(min(100, WIDEST / wide) * inches) for inches in (wide, high))
        return png(self), {"width": width, "height": height}


class Handle(NamedTuple):
    """What can be dragged in a picture.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Along whose x axis it goes.
    low, high, value : float
        Its ends and where it stands, as the axis counts.
    step : float
        The least that it moves; on a logarithmic axis, of the natural logarithm.
    log : bool
        Whether the axis is logarithmic.
    stops : tuple of float
        The values that it can take, where these are not steps of one size.
    """

    axes: Axes
    low: float
    high: float
    value: float
    step: float = 1.0
    log: bool = False
    stops: tuple[float, ...] = ()


class Grid(NamedTuple):
    """Cells that are chosen like marks, though none is an element of its own.

    Parameters
    ----------
    rows, columns : int
        How many of them.
    row, column : int
        Which is chosen: where the ring stands.
    texts : sequence of str
        What each cell says, row by row.
    """

    rows: int
    columns: int
    row: int
    column: int
    texts: Sequence[str]


class Drawing:
    """The artists of one kind of picture: made once per figure, given new numbers ever after.

    A subclass makes its axes and artists in ``__init__`` and sets ``size`` (inches).
    """

    size: tuple[float, float] = (6.6, 3.3)

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.titles: dict[str, str] = {}
        self.handles: dict[str, Handle] = {}
        self.grids: dict[str, Grid] = {}
        self.twins: list[tuple[Artist, Artist]] = []

    @classmethod
    def on(cls, figure: Figure) -> Self:
        """Return the drawing that ``figure`` already carries, or begin a new one on it."""
        drawing = getattr(figure, "_drawing", None)
        if type(drawing) is not cls or not figure.axes:  # no axes: somebody cleared the figure
            figure.clear()
            figure.set_size_inches(*cls.size)
            drawing = cls(figure)
            figure._drawing = drawing  # type: ignore[attr-defined]
        return drawing

    def hover(self, artist: Artist, text: str, mark: str = "") -> None:
        """Let ``artist`` show ``text`` when pointed at; a new text replaces the old one.

        Parameters
        ----------
        artist : matplotlib.artist.Artist
            Anything that is drawn.
        text : str
            Its name: shown when pointed at, and read aloud.
        mark : str
            What a widget is told when it is chosen: ``"bin:3"``, a kind and a key.
        """
        gid = mark or artist.get_gid() or f"mark{len(self.titles)}"
        artist.set_gid(gid)
        self.titles[gid] = text

    def handle(self, artist: Artist, name: str, text: str, handle: Handle) -> None:
        """Let ``artist`` be dragged along an axis; see `hover`."""
        self.hover(artist, text, f"handle:{name}")
        self.handles[name] = handle

    def grid(self, kind: str, grid: Grid, places: Sequence[tuple[Artist, Artist]]) -> None:
        """Let cells of artists, rectangles, be chosen, and rings stand on the chosen one.

        Parameters
        ----------
        kind : str
            Of the marks that the cells are, whose keys are "row,column", counted from 0.
        grid : Grid
            The cells.
        places : sequence of (artist, ring)
            Where they lie, in one or several places.
        """
        chosen = grid.texts[grid.row * grid.columns + grid.column]
        for number, (artist, ring) in enumerate(places):
            self.hover(artist, chosen, f"grid:{kind}.{number}")
            self.hover(ring, "", f"ring:{kind}.{number}")
        self.grids[kind] = grid

    def twin(self, light: Artist, dark: Artist) -> None:
        """Show ``dark`` instead of ``light`` on a dark page: pixels cannot follow its colours."""
        number = len(self.twins)
        light.set_gid(f"rw-light-{number}")
        dark.set_gid(f"rw-dark-{number}")
        dark.set_visible(False)
        self.twins.append((light, dark))


class _TextSVG(RendererSVG):
    """Writes text as text whatever the user's rcParams say: selectable, small, read aloud.

    A renderer lives for one picture, and measuring text is half of what drawing costs, so the
    measures are remembered here rather than in the renderer.
    """

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        return _extent(s, prop, ismath)

    def _get_font_height_metrics(self, prop: Any) -> tuple[float, float, float]:
        # Matplotlib would otherwise read the font's tables for every text (3.11); one line of
        # text needs no more than this.
        _, height, descent = _extent("lp", prop, False)
        return height - descent, descent, 0.0

    def _draw_text_as_path(self, *args: Any) -> None:
        self._draw_text_as_text(*args)


@lru_cache(maxsize=4096)
def _extent(text: str, prop: Any, ismath: Any) -> Any:
    words = text if ismath else measured(text, prop)
    return text_to_path.get_text_width_height_descent(words, prop, ismath)


def svg(figure: Figure, prefix: str = "", *, themed: bool = False) -> str:
    """Return ``figure`` as an ``<svg>`` element whose marks carry their hover titles.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn by a `Drawing`, or any other.
    prefix : str
        Put before every id but those of marks, so that several pictures can stand on one page.
    themed : bool
        Follow the page's colours and let its background through.
    """
    stream = io.StringIO()
    with LOCK:
        dpi, alpha = figure.dpi, figure.patch.get_alpha()
        width, height = figure.get_size_inches()
        twins = getattr(getattr(figure, "_drawing", None), "twins", []) if themed else []
        try:
            figure.dpi = 72
            if themed:
                figure.patch.set_alpha(0.0)
            for light, dark in twins:
                dark.set_visible(light.get_visible())
            renderer = _TextSVG(width * 72, height * 72, stream, image_dpi=144)
            figure.draw(renderer)
            renderer.finalize()
        finally:
            figure.dpi = dpi
            figure.patch.set_alpha(alpha)
            for _, dark in twins:
                dark.set_visible(False)
        titles = dict(getattr(getattr(figure, "_drawing", None), "titles", {}))
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    # A style sheet in a picture would restyle every icon of the page: what it says is inherited
    # from the element instead.
    sheet = r"\s*<defs>\s*<style [^>]*>\*{(?P<rules>[^}<]*)}</style>\s*</defs>"
    rules = re.search(sheet, text)
    inherited = []
    if rules is not None:
        text = text[: rules.start()] + text[rules.end() :]
        inherited.append(rules["rules"])
    # Every text names the same dozen fonts, a fifth of the file: said once, it is inherited too.
    family = r"font-family: [^;\"]*; "
    if len(families := set(re.findall(family, text))) == 1:
        text = re.sub(family, "", text)
        family = families.pop().removesuffix("; ")
        inherited += [] if themed else [family]  # a page has a font of its own
    if inherited:
        text = text.replace("<svg ", f'<svg style="{"; ".join(inherited)}" ', 1)

    def tag(match: re.Match[str]) -> str:
        tag = match[0]
        mark = re.match(r'<g id="(.*?)">', tag)
        words = titles.get(html.unescape(mark[1])) if mark else None
        if words is not None:  # nothing refers to it: its name may stay as it is
            return f"{tag}<title>{html.escape(words)}</title>"
        if prefix:
            tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", tag)
        if themed:
            tag = re.sub("#[0-9a-f]{6}", lambda it: _THEMED.get(it[0], it[0]), tag)
        return tag

    text = re.sub("<[^>]+>", tag, text)  # only tags: what a text says stays as it is
    return _UNWRITABLE.sub("\ufffd", text)


def handles(figure: Figure) -> dict[str, dict[str, Any]]:
    """Return where the handles of a figure lie in its SVG, by name."""
    width = 72 * figure.get_size_inches()[0]
    found = {}
    for name, handle in getattr(getattr(figure, "_drawing", None), "handles", {}).items():
        ends = [(handle.low, 0), (handle.high, 0)]
        across = handle.axes.get_xaxis_transform() + figure.transFigure.inverted()
        (start, _), (end, _) = across.transform(ends)
        found[name] = {
            **{key: float(getattr(handle, key)) for key in ("low", "high", "value", "step")},
            "log": handle.log,
            "stops": [float(stop) for stop in handle.stops],
            "least": float(handle.low),
            "most": float(handle.high),
            "from": float(start * width),
            "to": float(end * width),
        }
    return found


def grids(figure: Figure) -> dict[str, dict[str, Any]]:
    """Return the grids of a figure, by kind."""
    found = getattr(getattr(figure, "_drawing", None), "grids", {})
    return {name: {**grid._asdict(), "texts": list(grid.texts)} for name, grid in found.items()}


def png(figure: Figure, dpi: int = 200) -> bytes:
    """Return ``figure`` as the bytes of a PNG file, at twice the screen's usual resolution.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure; it is as before afterwards.
    dpi : int
        Pixels per inch.

    Returns
    -------
    bytes
    """
    stream = io.BytesIO()
    with LOCK:
        old, canvas = figure.dpi, figure.canvas
        try:
            figure.dpi = dpi
            FigureCanvasAgg(figure).print_png(stream)
        finally:
            figure.dpi = old
            figure.set_canvas(canvas)
    return stream.getvalue()


def short(words: str, most: int) -> str:
    """Return at most so many letters in one line, the last of which says that there were more.

    Examples
    --------
    >>> short("aeroplane", 6), short("a" + chr(27) + "b", 6)
    ('aerop…', 'a�b')
    """
    words = _UNWRITABLE.sub("\ufffd", re.sub(r"[\t\n\r]", " ", words[: most + 1]))
    return words if len(words) <= most else words[: most - 1] + "…"


def readable(figure: Figure) -> None:
    """Shorten and clean whatever is written on a figure: names of users may hold anything."""
    texts = figure.findobj(Text)
    for text in texts:
        words = text.get_text()
        lines = "\n".join(short(line, LONGEST) for line in typeset(words).split("\n")[:LONGEST])
        if lines != words:
            text.set_text(lines)
    complete(texts)
