"""What the panels of a robustness analysis draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.drawing import short
from ...core.style import BLUE_TINT, GREY, HAIR, INK, ORANGE, PAPER, Sheet
from ...core.wording import percent, typeset
from . import sentences

if TYPE_CHECKING:
    from .result import Robustness

MOST = 10
"""So many attacks have a bar."""
STEP = 24
"""Pixels from bar to bar."""


class Bars(Sheet):
    """What each attack leaves right at a size, the worst case first, noise last."""

    ends = (190, 800)
    """Where 0 and 100 % lie."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.rows: list[Any] = []
        low, high = self.ends
        for k in range(MOST + 2):
            y = 26 + STEP * k
            front: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            tint = Rectangle((0, y - 15), self.width, STEP - 2, color=BLUE_TINT, lw=0, zorder=-2)
            track = Rectangle((low, y - 10), high - low, 12, color=HAIR, lw=0, zorder=-1)
            bar = Rectangle((low, y - 10), 0, 12, lw=0)
            target = Rectangle((0, y - 15), self.width, STEP - 2, **front)
            for patch in (tint, track, bar, target):
                self.page.add_patch(patch)
            name, number = self.text(0, y, "", ha="left"), self.text(high + 12, y)
            self.rows.append((tint, track, bar, target, name, number))

    def show(self, result: Robustness, place: int, chosen: str) -> None:
        """Show a row for each attack, the chosen one tinted."""
        known = ("worst", *result.attacks[:MOST], "noise")
        tall, (low, high) = 14 + STEP * len(known), self.ends
        self.figure.set_size_inches(self.width / 72, tall / 72)
        self.page.set_ylim(tall, 0)
        for k, parts in enumerate(self.rows):
            for artist in parts:
                artist.set_visible(k < len(known))
            if k >= len(known):
                continue
            tint, _, bar, target, words, number = parts
            name = known[k]
            share = float(result.accuracy(name)[place])
            tried = bool(np.isfinite(share))
            tint.set_visible(name == chosen)
            colour = {"worst": ORANGE, "noise": GREY}.get(name, INK)
            bar.set(width=(high - low) * share if tried else 0, color=colour)
            called = self._called(result, name)
            words.set(text=short(called, 26), fontweight="bold" if name == "worst" else "normal")
            number.set_text(typeset(percent(share, 0)) if tried else "comes next")
            told = f"{called}: leaves {percent(share, 0)} right" if tried else f"{called}: next"
            self.hover(target, told, "" if name == "noise" else f"attack:{name}")

    @staticmethod
    def _called(result: Robustness, name: str) -> str:
        if name == "worst":
            return (
                f"all {len(result.attacks)} together" if len(result.attacks) > 1 else "worst case"
            )
        return "control: noise" if name == "noise" else sentences.called(name)


class NarrowBars(Bars):
    """The same on a narrow page."""

    width = 640
    ends = (190, 560)
