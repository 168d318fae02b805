"""The names of the areas under a curve, written where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.text import Text

from ...core.drawing import short
from ...core.style import BLUE, GREY_TINT, MUTED, ORANGE, PAPER, Sheet
from ...core.wording import typeset
from . import sentences

if TYPE_CHECKING:
    from .result import Robustness

LETTER = 7.2
"""Pixels of a letter, at most on the average."""
LOOKED = 80
"""Places along the size at which room for a name is looked for."""
CONTROL = 30
"""Pixels below the line of the noise that its own name takes."""
GROUNDS = {"proved": (PAPER, BLUE), "unknown": (MUTED, GREY_TINT), "broken": (ORANGE, PAPER)}
"""Colours of the names of areas, and what is behind them."""


class Zones:
    """Proved, unknown, broken: each area says what it is.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    curve : tuple of float
        Left, top, width and height of the chart, in pixels.
    """

    def __init__(self, sheet: Sheet, curve: tuple[float, float, float, float]) -> None:
        self.curve = curve
        self.texts: dict[str, tuple[Text, Text]] = {}
        for name, (colour, ground) in GROUNDS.items():
            behind = {"fc": ground, "alpha": 1 if ground == BLUE else 0.9, "lw": 0, "pad": 1.5}
            style: dict[str, Any] = {"ha": "center", "color": colour, "zorder": 4, "bbox": behind}
            self.texts[name] = (
                sheet.text(0, 0, fontweight="bold", **style),
                sheet.text(0, 0, **style),
            )

    def show(self, result: Robustness) -> None:
        """Write the names anew."""
        known, worst = np.isfinite(result.accuracy()), result.accuracy()
        at = np.linspace(0, float(result.epsilons[-1]), LOOKED)
        upper = np.interp(at, result.epsilons[known], worst[known])
        upper[at > result.epsilons[known][-1]] = np.nan
        proved = (result.proved[None] >= at[:, None]).mean(1)
        noise = np.interp(at, result.epsilons, result.accuracy("noise"))
        unknown = ("STILL RIGHT", "not broken, nothing proved")
        if result.certificate is not None:
            unknown = ("UNKNOWN", "neither proved nor broken")
        self._write(
            "proved",
            ("PROVED", "no change this small can flip it"),
            np.zeros(LOOKED),
            np.minimum(proved, upper),
        )
        self._write("unknown", unknown, proved, upper)
        self._write(
            "broken",
            ("BROKEN", f"by {short(sentences.attackers(result), 30)}"),
            np.maximum(upper, proved),
            np.minimum(noise, worst[0]) - CONTROL / self.curve[3],
        )

    def _write(self, name: str, words: tuple[str, str], low: np.ndarray, high: np.ndarray) -> None:
        """Write a name and what it means, the name alone, or nothing, as there is room."""
        left, top, wide, tall = self.curve
        for lines, need in ((2, 46), (1, 26)):
            longest = max(len(line) for line in words[:lines]) * LETTER + 16
            half = int(np.ceil(longest / 2 / wide * LOOKED))
            ends = [
                (high[k - half : k + half].min(), low[k - half : k + half].max())
                for k in range(half, LOOKED - half)
            ]
            free = np.array([upper - lower for upper, lower in ends])
            if np.nanmax([*free, -1]) * tall < need:
                continue
            best = int(np.nanargmax(free))
            x, y = (
                left + wide * (best + half) / (LOOKED - 1),
                top + tall * (1 - np.mean(ends[best])),
            )
            for k, text in enumerate(self.texts[name]):
                text.set(text=typeset(words[k]), x=x, y=y + 4 + (18 * k - 9) * (lines - 1))
                text.set_visible(k < lines)
            return
        for text in self.texts[name]:
            text.set_visible(False)
