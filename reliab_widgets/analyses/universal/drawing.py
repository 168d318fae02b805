"""The picture of a universal analysis: an image with the pattern, its rate, where answers go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from ...core.drawing import short
from ...core.pixels import rgb
from ...core.placing import names_beside
from ...core.style import BLUE, GREY, HAIR, INK, ORANGE, PAPER, Coloured, Sheet
from ...core.wording import counted, percent, typeset
from . import sentences

if TYPE_CHECKING:
    from .result import Universal

SIDE, APART = 118, 18
"""Pixels of a picture, and between two."""
ROWS, STEP = 6, 21
"""Classes that have a bar, and pixels from bar to bar."""
DECADES = 2
"""Powers of ten, of more and of less energy than an even one, between which colours differ."""


class Places(NamedTuple):
    """Where the parts of the picture lie, in pixels.

    Parameters
    ----------
    chart : tuple of float
        Left, top, width and height of the curve.
    bars : tuple of float
        Where the bars begin and end.
    """

    chart: tuple[float, float, float, float]
    bars: tuple[float, float]


class Wide(Sheet):
    """An image, the pattern and both; what it does while it grows; and to whom answers go."""

    height = 352
    places: ClassVar = Places((600, 30, 256, 268), (112, 486))

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.shown = Pictures(self)
        self.curve = Curve(self, self.places.chart)
        self.bars = Bars(self, 196, self.places.bars)

    def show(self, result: Universal, pinned: Universal | None) -> None:
        """Move every artist to a result."""
        self.shown.show(result)
        self.curve.show(result, pinned)
        self.bars.show(result)


class Narrow(Wide):
    """The same on a narrow page, with the curve below the bars."""

    width, height = 640, 560
    places: ClassVar = Places((44, 386, 580, 126), (112, 560))


class Pictures:
    """An image, the pattern made visible, both together as they are, and the spectrum."""

    def __init__(self, sheet: Sheet) -> None:
        self.left = [k * (SIDE + APART) for k in range(4)]
        self.heads = [sheet.heading(x) for x in self.left]
        self.lines = [[sheet.text(x, SIDE + y) for y in (41, 58)] for x in self.left]
        self.images = [sheet.picture(x, 24, SIDE, SIDE) for x in self.left[:3]]
        self.spectrum = Coloured(sheet, self.left[3], 24, SIDE, SIDE)
        self.sheet = sheet

    def show(self, result: Universal) -> None:
        """Show them, with what is answered."""
        image, pattern = result.picture, result.pattern
        factor = amplified(pattern)
        pixels = (image, 0.5 + factor * pattern, image + pattern)
        for place, (artist, values) in enumerate(zip(self.images, pixels, strict=True)):
            artist.set_data(rgb(values))
            self._fit(artist, values.shape[1:], place)
        even = result.spectrum * result.spectrum.size
        decades = np.log10(np.maximum(even, 10.0**-DECADES))
        self.spectrum.show(decades, DECADES)
        for artist in (self.spectrum.light, self.spectrum.dark):
            self._fit(artist, decades.shape, 3)
        clean, changed = (
            str(result.classes[it]) for it in result.answers[0, [0, -1], result.example]
        )
        number = int(result.index[result.example])
        times = f"{factor:.0f}" if factor >= 2 else f"{factor:.1f}"
        heads = (f"Image {number}", f"+ pattern × {times}", "= both, as is", "Its spectrum")
        low, even_low = result.low
        words = (
            ("predicted", short(clean, 16)),
            (sentences.norm(result), f"{sentences.share(result)} of the mean"),
            ("predicted", short(changed, 16)),
            (f"{percent(low, 0)} in long waves", f"shuffled: {percent(even_low, 0)}"),
        )
        for head, told in zip(self.heads, heads, strict=True):
            head.set_text(told)
        for texts, pair in zip(self.lines, words, strict=True):
            for text, told in zip(texts, pair, strict=True):
                text.set_text(typeset(told))
        for place, lines in enumerate(self.lines):
            lines[1].set_fontweight("bold" if place in (0, 2) else "normal")
        self.lines[2][1].set_color(ORANGE if changed != clean else INK)
        self.sheet.hover(self.images[0], f"image {number}, predicted {clean}")
        self.sheet.hover(self.images[1], f"the pattern, {times} times as strong, around grey")
        self.sheet.hover(self.images[2], f"image {number} with the pattern, predicted {changed}")
        told = "energy of the pattern by frequency, 0 in the middle; blue: more than spread evenly"
        self.sheet.hover(self.spectrum.light, told)

    def _fit(self, artist: AxesImage, size: tuple[int, ...], place: int) -> None:
        """Keep the proportions of an image inside its place."""
        tall, wide = (SIDE * side / max(size) for side in size)
        left, top = self.left[place], 24 + (SIDE - tall) / 2
        artist.set_extent((left, left + wide, top + tall, top))


class Curve:
    """The rate while the pattern grows, beside its controls."""

    def __init__(self, sheet: Sheet, box: tuple[float, float, float, float]) -> None:
        left, top, wide, high = self.box = box
        self.sheet = sheet
        self.title = sheet.heading(left - 44, y=top - 16)
        axes: Axes = sheet.chart(*box)
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        edge: dict[str, Any] = {"clip_on": False, "zorder": 3}
        hollow: dict[str, Any] = {"mfc": PAPER, "ms": 5, **edge}
        (ghost,) = axes.plot([], [], color=INK, lw=1.4, marker="o", **hollow)
        (noise,) = axes.plot([], [], ":", color=GREY, lw=2, marker="s", **hollow)
        (other,) = axes.plot([], [], ":", color=GREY, lw=2, marker="D", **hollow)
        (main,) = axes.plot([], [], color=ORANGE, lw=2.4, marker="^", ms=8, mec=PAPER, **edge)
        (self.range,) = axes.plot([], [], color=ORANGE, lw=1.2, clip_on=False)
        self.lines = {"pattern": main, "random": noise, "shuffled": other, "pinned": ghost}
        style: dict[str, Any] = {"fontweight": "bold", "ha": "center", "va": "center", "zorder": 6}
        behind = {"facecolor": PAPER, "alpha": 0.9, "lw": 0, "pad": 1}
        self.names = {
            name: sheet.text(0, 0, color=line.get_color(), bbox=behind, **style)
            for name, line in self.lines.items()
        }
        self.hint = sheet.label(left + wide / 2, top + high + 38, ha="center")
        self.axes = axes

    def show(self, result: Universal, pinned: Universal | None) -> None:
        """Move the lines, and name them."""
        self.title.set_text(
            short(f"{sentences.aim(result).capitalize()}, of {counted(result.n)}", 36)
        )
        most = float(result.seen[-1])
        self.axes.set_xlim(0, most)
        self.axes.set_xticks([0, most / 2, most], [f"{it:,.0f}" for it in (0, most / 2, most)])
        self.hint.set_text("images the pattern has gone through")
        called = {"pattern": "the pattern", "random": "random noise", "shuffled": "shuffled"}
        curves = {kind: (result.seen, result.rate(kind)) for kind in called}
        curves["pinned"] = (np.empty(0),) * 2 if pinned is None else (pinned.seen, pinned.rate())
        called["pinned"] = "" if pinned is None else short(result.beside(pinned), 22)
        other = pinned is not None and pinned.subject != result.subject
        self.lines["pinned"].set(color=BLUE if other else INK, ls="-." if other else "-")
        self.names["pinned"].set_color(BLUE if other else INK)
        left, top, wide, high = self.box
        traced = []
        for kind, (seen, share) in curves.items():
            x = np.asarray(seen, float)
            inside = x <= most
            x, y = x[inside], np.asarray(share, float)[inside]
            self.lines[kind].set_data(x, y)
            traced.append(
                (np.stack([left + wide * x / most, top + high * (1 - y)], 1), called[kind])
            )
            told = f"{called[kind]}: {percent(float(y[-1]), 0)}" if len(y) else ""
            self.sheet.hover(self.lines[kind], told)
        for text, (_, name), at in zip(
            self.names.values(), traced, names_beside(traced, self.box), strict=True
        ):
            text.set(text=name, visible=at is not None)
            if at is not None:
                text.set_position(at)
        self.range.set_data([most, most], result.interval())


class Bars:
    """Which classes are answered with the pattern, and how often without."""

    def __init__(self, sheet: Sheet, top: float, ends: tuple[float, float]) -> None:
        self.sheet, self.ends = sheet, ends
        low, high = ends
        sheet.heading(0, "Where the predictions go", y=top + 14)
        sheet.label(high, top + 14, "bar: with the pattern · line: without", ha="right")
        self.rows = []
        for k in range(ROWS):
            y = top + 36 + STEP * k
            track = Rectangle((low, y - 10), high - low, 12, color=HAIR, lw=0, zorder=-1)
            bar = Rectangle((low, y - 10), 0, 12, lw=0)
            line = Rectangle((low, y - 13), 2.4, 18, color=INK, lw=0, zorder=2)
            for patch in (track, bar, line):
                sheet.page.add_patch(patch)
            self.rows.append((track, bar, line, sheet.text(0, y), sheet.text(high + 8, y)))

    def show(self, result: Universal) -> None:
        """Show the classes with most answers under the pattern."""
        before, after = result.driven
        low, high = self.ends
        order = np.lexsort((-before, -after))[:ROWS].tolist()
        gains = sentences.drawn_to(result)
        for k, parts in enumerate(self.rows):
            for artist in parts:
                artist.set_visible(k < len(order))
            if k >= len(order):
                continue
            track, bar, line, name, number = parts
            one = order[k]
            told = str(result.classes[one])
            bar.set(width=(high - low) * after[one], color=ORANGE if one == gains else GREY)
            line.set_x(low + (high - low) * before[one] - 1.2)
            name.set(text=short(told, 15), fontweight="bold" if one == result.target else "normal")
            number.set_text(typeset(percent(float(after[one]), 0)))
            words = f"{told}: {percent(float(after[one]), 0)} of the predictions with the pattern"
            self.sheet.hover(track, f"{words}, {percent(float(before[one]), 0)} without")


def amplified(pattern: np.ndarray) -> float:
    """Return by how much a pattern is amplified to be seen: nearly all of it fits around grey.

    Examples
    --------
    >>> amplified(np.full((1, 2, 2), 0.04)), amplified(np.zeros((1, 2, 2)))
    (12.0, 1.0)
    """
    most = float(np.quantile(np.abs(pattern), 0.995))
    if not most:
        return 1.0
    factor = 0.5 / most
    return float(np.floor(factor)) if factor >= 2 else round(factor, 1)
