"""Lines over the network: what an attack and its controls do to each layer, from left to right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ...core.style import BLUE, GREY, INK, LINES, MUTED, ORANGE, ORANGE_TINT, PAPER, Sheet
from ..strip import BELOW, Strip

if TYPE_CHECKING:
    from ...ops.features.plan import Plan

LEFT, WORDS = 62, 158
"""Where the input stands, and how much is left for words beyond the logits."""
ABOVE = 46
"""Pixels above its line that the network needs."""
NUMBERS = 52
"""Pixels from the logits to where numbers at the ends of the lines end, and words begin."""
APART = 17
"""Pixels between two lines of words."""
STYLES: dict[str, dict[str, Any]] = {
    "adversarial": {"color": ORANGE, "ls": "-", "marker": "^", "lw": 2.2, "ms": 8, "zorder": 5},
    "undefended": {"color": BLUE, "ls": "-.", "marker": "p", "lw": 1.6, "ms": 7, "zorder": 4},
    "random": {"color": GREY, "ls": ":", "marker": "s", "lw": 1.8, "ms": 5, "zorder": 3},
    "clean-denoised": {"color": LINES, "ls": "-", "marker": "", "lw": 1.4, "zorder": 2},
    "pinned": {"color": INK, "ls": "-", "marker": "o", "lw": 1.2, "ms": 6, "zorder": 4},
}
"""How each is drawn: never told by its colour alone."""
HOLLOW = ("undefended", "random", "pinned")


class Line(NamedTuple):
    """One line over the network.

    Parameters
    ----------
    kind : str
        One of `STYLES`.
    values : numpy.ndarray
        ``(2 + L,)``: at the input, at the layers of the plan, at the logits; NaN where nothing is.
    number, words : str
        What is written at its end; none without words.
    """

    kind: str
    values: np.ndarray
    number: str = ""
    words: str = ""


class Course:
    """Lines over a network on a sheet.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    top, bottom : float
        Between which the lines run; the network stands below.
    """

    def __init__(self, sheet: Sheet, top: float, bottom: float) -> None:
        self._top, self._bottom, self._right = top, bottom, sheet.width - WORDS
        right, numbers = self._right, self._right + NUMBERS
        self.strip = Strip(sheet, LEFT, right, bottom + ABOVE, top - 4)
        self.axes = axes = sheet.chart(44, top, right - 36, bottom - top)
        axes.set_xlim(44, right + 8)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_zorder(6)
        axes.yaxis.set_minor_locator(NullLocator())
        self.one = axes.axhline(1, color=MUTED, lw=1.8, ls=":", zorder=1)
        self.band = PolyCollection([], facecolor=ORANGE_TINT, lw=0, zorder=1.5)
        axes.add_collection(self.band)
        (self.middle,) = axes.plot([], [], color=ORANGE, alpha=0.3, lw=1.2, zorder=1.6)
        self.lines, self.beside = {}, {}
        for kind, style in STYLES.items():
            edge = {"mec": PAPER, "mew": 1}
            if kind in HOLLOW:
                edge = {"mec": style["color"], "mew": 1.2, "mfc": PAPER}
            (self.lines[kind],) = axes.plot([], [], clip_on=False, **{**style, **edge})
            ring = {**style, "ls": "", "mec": style["color"], "mew": 1.2, "mfc": PAPER}
            (self.beside[kind],) = axes.plot([], [], clip_on=False, **ring)
        self.begin = sheet.text(LEFT, 0, ha="center", fontweight="bold")
        self.ends = [
            (sheet.text(numbers, 0, ha="right", fontweight="bold"), sheet.text(numbers + 5, 0))
            for _ in range(6)
        ]

    def show(
        self,
        plan: Plan,
        lines: Sequence[Line],
        told: dict[str, str],
        chosen: str,
        *,
        log: bool,
        write: Any,
        ratios: bool,
        band: np.ndarray | None = None,
        begin: str = "",
    ) -> None:
        """Draw lines, and what is said at their ends and of each layer; see `Strip.show`."""
        self.strip.show(plan, told, chosen)
        x = np.concatenate([[LEFT], self.strip.x(plan), [self._right]])
        # The last layer gives the logits: it stands where they do.
        main = np.concatenate([[True], ~plan.beside & (x[1:-1] < self._right - 1), [True]])
        aside = np.concatenate([[False], plan.beside, [False]])
        shown = {
            line.kind: np.where(np.isfinite(line.values), line.values, np.nan) for line in lines
        }
        for kind in STYLES:
            values = shown.get(kind)
            for artist, where in ((self.lines[kind], main), (self.beside[kind], aside)):
                artist.set_data(*(([], []) if values is None else (x[where], values[where])))
            # Where marks would touch, the line alone is clearer.
            crowded = self.strip.unit(plan) < STYLES[kind].get("ms", 0) + 2
            size = 0 if crowded else STYLES[kind].get("ms", 0)
            self.lines[kind].set_markersize(size)
        self.one.set_visible(ratios)
        self._show_band(x[main], None if band is None else band[:, main])
        every = [*shown.values(), *([] if band is None else list(band))]
        self._scale(every, log, write, ratios)
        self._name(lines, write if ratios else None)
        self.begin.set_text("")
        if ratios and len(lines) == 1:  # else it would lie on another one
            first = lines[0].values[0]
            self.begin.set(y=self._y(first) + 20, text=begin, color=STYLES[lines[0].kind]["color"])

    def _show_band(self, x: np.ndarray, band: np.ndarray | None) -> None:
        self.band.set_verts([])
        self.middle.set_data([], [])
        if band is None:
            return
        middle, low, high = band
        there = np.isfinite(low) & np.isfinite(high)
        if not there.any():
            return
        way = [*zip(x[there], low[there], strict=True)]
        self.band.set_verts([way + [*zip(x[there], high[there], strict=True)][::-1]])
        self.middle.set_data(x, middle)

    def _scale(self, every: Sequence[np.ndarray], log: bool, write: Any, ratios: bool) -> None:
        values = np.concatenate([np.ravel(one) for one in every])
        values = values[np.isfinite(values)]
        above = values[values > 0]
        log = log and len(above) > 0
        self.axes.set_yscale("log" if log else "linear")
        self.axes.yaxis.set_minor_locator(NullLocator())
        if log:
            low, high = above.min(), above.max()
            if ratios:
                low, high = min(low, 0.6), max(high, 3.0)
            low, high = rounded(low, np.floor), rounded(high, np.ceil)
            if low == high:
                low, high = low / 2, high * 2
            ticks = _ticks(low, high, 1 + int((self._bottom - self._top) / 24), ratios)
        else:
            # Of ratios noise is 1, also where nothing was attacked.
            low, high = 0.0, rounded(max(values.max(initial=0), 1.0 if ratios else 1e-6), np.ceil)
            ticks = [high * share for share in (0, 0.5, 1)]
        self.axes.set_ylim(low, high)
        self.axes.yaxis.set_major_locator(FixedLocator(ticks))
        self.axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))

    def _y(self, value: float) -> float:
        """Return where a value stands on the sheet."""
        low, high = self.axes.get_ylim()
        value = min(max(value if np.isfinite(value) else low, low), high)
        zero, full, here = (self.axes.transData.transform((0, it))[1] for it in (low, high, value))
        return float(self._bottom - (here - zero) / (full - zero) * (self._bottom - self._top))

    def _name(self, lines: Sequence[Line], write: Any) -> None:
        """Write what the lines are at their ends, as near to them as there is room."""
        named = [(_last(line.values), line) for line in lines if line.words]
        if write is not None:
            named.append((1.0, Line("random", np.ones(1), write(1), "noise (control)")))
        wanted = [self._y(value) + 4 for value, _ in named]
        order = sorted(range(len(named)), key=lambda k: wanted[k])
        heights = spread([wanted[k] for k in order], self._top + 2, self._bottom + 22)
        for number, words in self.ends:
            number.set_text("")
            words.set_text("")
        for k, y, (number, words) in zip(order, heights, self.ends, strict=False):
            line = named[k][1]
            colour = {"clean-denoised": MUTED, "median": MUTED}.get(
                line.kind, STYLES.get(line.kind, {}).get("color", MUTED)
            )
            number.set(y=y, text=line.number, color=colour)
            left = self._right + (NUMBERS + 5 if write is not None else 16)
            words.set(x=left, y=y, text=line.words, color=colour)


def _last(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there[-1]) if len(there) else np.nan


def _ticks(low: float, high: float, most: int, ratios: bool) -> list[float]:
    """Return round numbers between two, and 1 among ratios."""
    for mantissas in ((1, 3), (1,)):
        ticks = [
            m * 10.0**k
            for k in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
            for m in mantissas
            if low <= m * 10.0**k <= high
        ]
        if len(ticks) <= most:
            break
    step = max(1, -(-len(ticks) // most))
    at = ticks.index(1.0) % step if ratios and 1.0 in ticks else 0
    return ticks[at::step] or [float(f"{(low * high) ** 0.5:.1g}")]


def rounded(value: float, way: Callable[[float], float]) -> float:
    """Return the next of 1, 2, 5, 10, 20, ...: an axis that ends there stays while numbers change.

    Parameters
    ----------
    value : float
        Above 0.
    way : callable
        `numpy.ceil` or `numpy.floor`.

    Examples
    --------
    >>> rounded(12, np.ceil), rounded(0.61, np.floor), rounded(5, np.ceil)
    (20.0, 0.5, 5.0)
    """
    size = 10.0 ** np.floor(np.log10(value))
    steps = size * np.array([1, 2, 5, 10])
    at = np.interp(value, steps, range(4))
    return float(steps[int(way(round(at, 9)))])


def spread(wanted: Sequence[float], low: float, high: float, apart: float = APART) -> list[float]:
    """Return heights near those wanted (in their order), so far apart, and between two if they fit.

    Examples
    --------
    >>> spread([10, 12, 60], 0, 100, apart=16)
    [10, 26, 60]
    >>> spread([90, 95], 0, 100, apart=16)
    [84, 100]
    """
    heights: list[float] = []
    for height in wanted:
        heights.append(max(height, low, heights[-1] + apart if heights else low))
    limit = high
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], limit)
        limit = heights[k] - apart
    return heights


def height(bottom: float) -> int:
    """Return how high a sheet is whose lines end there."""
    return int(bottom + ABOVE + BELOW)
