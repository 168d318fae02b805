"""A ruler of divergences: what was found for the image beside its controls, and the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from ...core.drawing import short
from ...core.style import BLUE, BLUE_TINT, GREY, INK, LINES, MUTED, PAPER, Sheet
from .sentences import LEAST, nats

if TYPE_CHECKING:
    from .result import Landscape

LETTER = 6.6
"""Pixels of a letter, at most."""


class Ruler:
    """A logarithmic line with marks: found, calibrated, and the two controls.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    left, right, y : float
        Its ends, and its height.
    """

    def __init__(self, sheet: Sheet, left: float, right: float, y: float) -> None:
        self.sheet, self.left, self.right, self.y = sheet, left + 44, right - 34, y
        page = sheet.page
        (self.track,) = page.plot(
            [self.left, self.right], [y, y], color=LINES, lw=4, solid_capstyle="round", zorder=2
        )
        self.band = Rectangle((0, y - 7), 0, 14, fc=BLUE_TINT, ec=BLUE, lw=0.8, zorder=2.5)
        page.add_patch(self.band)
        self.ends = [
            sheet.label(self.left - 10, y + 4, ha="right"),
            sheet.label(self.right + 10, y + 4),
        ]
        edge: dict[str, Any] = {"mew": 1.2, "zorder": 5, "clip_on": False}
        styles: dict[str, dict[str, Any]] = {
            "noise": {"marker": "s", "mfc": PAPER, "mec": GREY, "ms": 7},
            "search": {"marker": "s", "mfc": PAPER, "mec": GREY, "ms": 7},
            "calibrated": {"marker": "|", "mec": BLUE, "ms": 15},
            "mean": {"marker": "|", "mec": BLUE, "ms": 14},
            "pinned": {"marker": "o", "mfc": PAPER, "mec": INK, "ms": 9},
            "ascent": {"marker": "o", "mfc": BLUE, "mec": PAPER, "ms": 10},
        }
        styles["calibrated"]["mew"] = 3
        self.marks = {name: page.plot([], [], "", **(edge | it))[0] for name, it in styles.items()}
        self.words = [sheet.text(0, 0, ha="center") for _ in styles]

    def hide(self) -> None:
        """Leave the place free."""
        for artist in (self.track, self.band, *self.ends, *self.words, *self.marks.values()):
            artist.set_visible(False)

    def show(self, result: Landscape, pinned: Landscape | None) -> None:
        """Show the divergences of a result."""
        values = dict(
            zip(("ascent", "calibrated", "search", "noise"), result.own.tolist(), strict=True)
        )
        kind = "search" if np.isnan(values["ascent"]) else "ascent"
        if result.n > 1:
            values["mean"] = result.mean(kind)
        if pinned is not None and pinned.epsilon == result.epsilon:
            values["pinned"] = float(pinned.own[0])
        values = {name: it for name, it in values.items() if np.isfinite(it)}
        self.hide()
        if not values:
            return
        low = 10 ** np.floor(np.log10(max(LEAST, min(values.values()))))
        high = 10 ** np.ceil(np.log10(max(*values.values(), 10 * low)))

        def place(value: float) -> float:
            share = np.log10(np.clip(value, low, high) / low) / np.log10(high / low)
            return float(self.left + share * (self.right - self.left))

        for artist in (self.track, *self.ends):
            artist.set_visible(True)
        unit = "" if self.sheet.width < 700 else " nats"
        for text, end in zip(self.ends, (f"{low:g}", f"{high:g}{unit}"), strict=True):
            text.set_text(end)
        for name, value in values.items():
            self.marks[name].set(visible=True)
            self.marks[name].set_data([place(value)], [self.y])
        ends = result.interval(kind)
        if result.n > 1 and np.isfinite(ends).all():
            left, right = map(place, ends)
            self.band.set(visible=True, x=left, width=max(right - left, 1))
        said = {
            "ascent": "found",
            "calibrated": "calibrated",
            "mean": "mean" if self.sheet.width < 700 else f"mean of {result.known}:",
            "pinned": "" if pinned is None else short(result.beside(pinned), 15),
            "noise": "noise",
            "search": "random search",
        }
        above = [name for name in ("calibrated", "ascent", "pinned") if name in values]
        below = [name for name in ("noise", "search", "mean") if name in values]
        texts = iter(self.words)
        for names, y in ((above, self.y - 13), (below, self.y + 24)):
            written: list[tuple[float, str, str]] = sorted(
                (place(values[it]), f"{said[it]} {nats(values[it])}", it) for it in names
            )
            placed = _apart(written, self.sheet.width)
            for (x, words, name), text in zip(placed, texts, strict=False):
                control = name in ("noise", "search")
                colour = MUTED if control else INK if name == "pinned" else BLUE
                text.set(x=x, y=y, text=words, color=colour, visible=True)
        mark = self.marks["ascent" if "ascent" in values else "search"]
        told = ", ".join(f"{said[name]} {nats(value)}" for name, value in values.items())
        self.sheet.hover(mark, f"Divergence in nats: {told}")


def _apart(written: list[tuple[float, str, str]], width: float) -> list[tuple[float, str, str]]:
    """Move words to the right until none lies on another, and back where they leave the page.

    Examples
    --------
    >>> [round(x) for x, *_ in _apart([(50, "ten letters", ""), (60, "ten letters", "")], 200)]
    [50, 133]
    """
    halves = [len(words) * LETTER / 2 for _, words, _ in written]
    places: list[float] = []
    end = -np.inf
    for (x, *_), half in zip(written, halves, strict=True):
        places.append(max(x, end + half + 10))
        end = places[-1] + half
    limit = width
    for k in reversed(range(len(places))):
        places[k] = min(places[k], limit - halves[k])
        limit = places[k] - halves[k] - 10
    return [(x, words, name) for x, (_, words, name) in zip(places, written, strict=True)]
