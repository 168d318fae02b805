"""The ruler from "opposite" to "same" that says how far two maps agree, beside their controls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.style import BLUE, GREY, INK, LINES, MUTED, ORANGE, PAPER, Sheet
from .values import two

X, TOP, LENGTH = 728, 30, 192
"""Where its line is, where it begins, and how long it is."""
WORDS = 16
"""From the line to what is said."""


class Reading(NamedTuple):
    """One value on the ruler: of the two maps, of a control, or of what was pinned."""

    value: float
    name: str
    kind: str
    text: str
    mark: str = ""


class Ruler:
    """A line with words at its ends and in its middle, and what stands on it.

    Parameters
    ----------
    sheet : Sheet
        Where it is.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.heading = sheet.heading(672)
        line: dict[str, Any] = {"solid_capstyle": "butt", "zorder": 1}
        (self.line,) = sheet.page.plot([X, X], [TOP, TOP + LENGTH], color=LINES, lw=2, **line)
        self.ticks = [
            sheet.page.plot([X - 6, X], [_at(it)] * 2, color=LINES, lw=1.4, **line)[0]
            for it in (1, 0, -1)
        ]
        self.words = [
            sheet.label(X - 11, _at(at) + 4, word, ha="right")
            for at, word in ((1, "same"), (0, "unrelated"), (-1, "opposite"))
        ]
        (self.bar,) = sheet.page.plot([], [], lw=4, **line)
        dot: dict[str, Any] = {"ls": "", "ms": 12, "mec": PAPER, "mew": 1, "zorder": 4}
        (self.dot,) = sheet.page.plot([], [], "o", **dot)
        small: dict[str, Any] = {"ls": "", "ms": 8, "mfc": PAPER, "mew": 1.6, "zorder": 3}
        self.squares = {
            mark: sheet.page.plot([], [], "s", mec=GREY, **small)[0]
            for mark in ("versus:baseline", "versus:untrained", "")
        }
        (self.pinned,) = sheet.page.plot([], [], "o", mec=INK, **(small | {"mew": 1.2}))
        self.big = sheet.text(X + WORDS, 0, fontsize=22, fontweight="bold")
        self.under = sheet.text(X + WORDS, 0, fontweight="bold")
        self.told = [
            (
                sheet.label(X + WORDS, 0, color=GREY, fontweight="bold"),
                sheet.label(X + WORDS + 46, 0, color=GREY),
            )
            for _ in range(4)
        ]
        self.reasons = [sheet.label(672, 100 + 19 * row) for row in range(5)]
        self.notes = [sheet.label(672, y) for y in (253, 272)]

    def show(
        self, heading: str, readings: list[Reading], notes: tuple[str, str], reason: tuple[str, ...]
    ) -> None:
        """Move everything to these values; with a reason nothing is drawn but that."""
        self.heading.set_text(heading)
        known = [] if reason else [it for it in readings if np.isfinite(it.value)]
        for artist in (self.line, *self.ticks, *self.words):
            artist.set_visible(not reason)
        for text, words in zip(self.reasons, [*reason, *[""] * 5], strict=False):
            text.set_text(words)
        for text, words in zip(self.notes, ("", "") if reason else notes, strict=True):
            text.set_text(words)
        self._show_main([it for it in known if it.kind == "main"])
        controls = {it.mark: it for it in known if it.kind == "control"}
        for mark, square in self.squares.items():
            square.set_visible(mark in controls)
            if mark in controls:
                square.set_data([X], [_at(controls[mark].value)])
                self._sheet.hover(square, controls[mark].text, mark)
        ghosts = [it for it in known if it.kind == "pinned"]
        self.pinned.set_data([X] * len(ghosts), [_at(it.value) for it in ghosts])
        self._write(known)

    def _show_main(self, main: list[Reading]) -> None:
        for artist in (self.bar, self.dot, self.big, self.under):
            artist.set_visible(bool(main))
        for it in main:
            colour = ORANGE if it.value < 0 else BLUE
            self.bar.set(data=([X, X], [_at(0), _at(it.value)]), color=colour)
            self.dot.set(data=([X], [_at(it.value)]), color=colour, mec=PAPER)
            self._sheet.hover(self.dot, it.text, it.mark)
            self.big.set(text=two(it.value), color=colour)
            self.under.set(text=it.name, color=colour)

    def _write(self, readings: list[Reading]) -> None:
        """Write what each value is beside it, and below what would lie on it."""
        readings = sorted(readings, key=lambda it: -it.value)
        heights = [40 if it.kind == "main" else 19 for it in readings]
        tops = [_at(it.value) - (20 if it.kind == "main" else 10) for it in readings]
        for number in range(1, len(tops)):
            tops[number] = max(tops[number], tops[number - 1] + heights[number - 1])
        limit = TOP + LENGTH + 10.0
        for number in reversed(range(len(tops))):
            tops[number] = min(tops[number], limit - heights[number])
            limit = tops[number]
        rows = iter(self.told)
        for it, top in zip(readings, tops, strict=True):
            if it.kind == "main":
                self.big.set_y(top + 19)
                self.under.set_y(top + 36)
                continue
            value, name = next(rows)
            colour = INK if it.kind == "pinned" else GREY
            value.set(y=top + 14, text=two(it.value), color=colour)
            name.set(y=top + 14, text=it.name, color=MUTED)
        for value, name in rows:
            value.set_text("")
            name.set_text("")


def _at(value: float) -> float:
    return TOP + LENGTH * (1 - value) / 2
