"""The ruler from "opposite" to "same" that says how far two maps agree, beside their controls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.style import BLUE, GREY, INK, LINES, MUTED, ORANGE, PAPER, Sheet
from .values import two

WORDS = 16
"""Pixels from the line to what is said."""
ENDS = ((1, "same"), (0, "unrelated"), (-1, "opposite"))


class Reading(NamedTuple):
    """One value on the ruler: of the two maps, of a control, or of what was pinned."""

    value: float
    name: str
    kind: str
    text: str
    mark: str = ""


class Ruler:
    """An upright line with words at its ends and in its middle, and what stands on it.

    Parameters
    ----------
    sheet : Sheet
        Where it is.
    """

    x, y, length = 728, 30, 192
    """Where it begins, at "same", and how long it is."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        line: dict[str, Any] = {"solid_capstyle": "butt", "zorder": 1}
        (self.line,) = sheet.page.plot(*self._from(-1, 1), color=LINES, lw=2, **line)
        self.ticks = [
            sheet.page.plot(*self._tick(at), color=LINES, lw=1.4, **line)[0] for at, _ in ENDS
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
        self.told = [(sheet.label(0, 0, fontweight="bold"), sheet.label(0, 0)) for _ in range(4)]
        self._make_words()

    def _make_words(self) -> None:
        sheet, x = self._sheet, self.x
        self.heading = sheet.heading(672)
        self.words = [
            sheet.label(x - 11, self.point(at)[1] + 4, word, ha="right") for at, word in ENDS
        ]
        self.big = sheet.text(x + WORDS, 0, fontsize=22, fontweight="bold")
        self.under = sheet.text(x + WORDS, 0, fontweight="bold")
        self.reasons = [sheet.label(672, 100 + 19 * row) for row in range(4)]
        self.notes = [sheet.label(672, y) for y in (253, 272)]

    def point(self, value: float) -> tuple[float, float]:
        """Return where a value stands."""
        return self.x, self.y + self.length * (1 - value) / 2

    def _tick(self, value: float) -> tuple[list[float], list[float]]:
        x, y = self.point(value)
        return [x - 6, x], [y, y]

    def _from(self, low: float, high: float) -> tuple[list[float], list[float]]:
        first, last = self.point(low), self.point(high)
        return [first[0], last[0]], [first[1], last[1]]

    def show(
        self, heading: str, readings: list[Reading], notes: tuple[str, str], reason: tuple[str, ...]
    ) -> None:
        """Move everything to these values; with a reason nothing is drawn but that."""
        self.heading.set_text(heading)
        known = [] if reason else [it for it in readings if np.isfinite(it.value)]
        for artist in (self.line, *self.ticks, *self.words):
            artist.set_visible(not reason)
        for text, words in zip(self.reasons, [*reason, *[""] * 4], strict=False):
            text.set_text(words)
        for text, words in zip(self.notes, ("", "") if reason else notes, strict=True):
            text.set_text(words)
        self._show_main([it for it in known if it.kind == "main"])
        controls = {it.mark: it for it in known if it.kind == "control"}
        for mark, square in self.squares.items():
            square.set_visible(mark in controls)
            if mark in controls:
                square.set_data(*self._from(controls[mark].value, controls[mark].value))
                self._sheet.hover(square, controls[mark].text, mark)
        ghosts = [it for it in known if it.kind == "pinned"]
        where = [self.point(it.value) for it in ghosts]
        self.pinned.set_data(*zip(*where, strict=True) if where else ([], []))
        for it in ghosts:
            self._sheet.hover(self.pinned, it.text, it.mark)
        for texts in self.told:
            for text in texts:
                text.set_text("")
        self._write(known)

    def _show_main(self, main: list[Reading]) -> None:
        for artist in (self.bar, self.dot, self.big, self.under):
            artist.set_visible(bool(main))
        for it in main:
            colour = ORANGE if it.value < 0 else BLUE
            self.bar.set(data=self._from(0, it.value), color=colour)
            self.dot.set(data=self._from(it.value, it.value), color=colour, mec=PAPER)
            self._sheet.hover(self.dot, it.text, it.mark)
            self.big.set(text=two(it.value), color=colour)
            self.under.set(text=it.name, color=colour)

    def _write(self, readings: list[Reading]) -> None:
        """Write what each value is beside it, and below what would lie on it."""
        readings = sorted(readings, key=lambda it: -it.value)
        sizes = [40 if it.kind == "main" else 19 for it in readings]
        wanted = [self.point(it.value)[1] for it in readings]
        places = apart(wanted, sizes, self.y - 12, self.y + self.length + 12)
        rows = iter(self.told)
        for it, y in zip(readings, places, strict=True):
            if it.kind == "main":
                self.big.set_y(y - 1)
                self.under.set_y(y + 16)
                continue
            value, name = next(rows)
            colour = INK if it.kind == "pinned" else GREY
            value.set(x=self.x + WORDS, y=y + 4, text=two(it.value), color=colour)
            name.set(x=self.x + WORDS + 46, y=y + 4, text=it.name, color=MUTED)


class Level(Ruler):
    """The same lying below the maps, for a narrow page."""

    x, y, length = 230, 318, 380
    """Where it begins, at "opposite", and how long it is."""

    def _make_words(self) -> None:
        sheet = self._sheet
        self.heading = sheet.heading(0, y=314)
        self.words = [
            sheet.label(self.point(at)[0], self.y - 12, word, ha="center") for at, word in ENDS
        ]
        self.big = sheet.text(0, self.y + 28, fontsize=16, fontweight="bold", ha="center")
        self.under = sheet.text(0, self.y + 46, fontweight="bold", ha="center")
        self.reasons = [sheet.label(self.x + 10, 300 + 19 * row) for row in range(4)]
        self.notes = [sheet.label(0, y) for y in (333, 352)]

    def point(self, value: float) -> tuple[float, float]:
        """Return where a value stands."""
        return self.x + self.length * (1 + value) / 2, self.y

    def _tick(self, value: float) -> tuple[list[float], list[float]]:
        x, y = self.point(value)
        return [x, x], [y - 6, y]

    def _write(self, readings: list[Reading]) -> None:
        """Write what each value is below it, and aside of what would lie on it."""
        readings = sorted(readings, key=lambda it: it.value)
        sizes = [max(8 * len(it.name), 44) + 8 for it in readings]
        wanted = [self.point(it.value)[0] for it in readings]
        places = apart(wanted, sizes, 190, self._sheet.width + 6)
        rows = iter(self.told)
        for it, x in zip(readings, places, strict=True):
            if it.kind == "main":
                self.big.set_x(x)
                self.under.set_x(x)
                continue
            colour = INK if it.kind == "pinned" else GREY
            for text, words, down in zip(
                next(rows), (two(it.value), it.name), (26, 44), strict=True
            ):
                text.set(x=x, y=self.y + down, text=words, color=colour, ha="center")


def apart(wanted: list[float], sizes: list[int], low: float, high: float) -> list[float]:
    """Return places near the wanted ones, in their order, at which nothing lies on another.

    Examples
    --------
    >>> apart([5.0, 6.0, 90.0], [10, 20, 20], 0.0, 100.0)
    [5.0, 20.0, 90.0]
    """
    places = list(wanted)
    for number, size in enumerate(sizes):
        before = places[number - 1] + sizes[number - 1] / 2 if number else low
        places[number] = max(places[number], before + size / 2)
    for number in reversed(range(len(sizes))):
        after = places[number + 1] - sizes[number + 1] / 2 if number + 1 < len(sizes) else high
        places[number] = min(places[number], after - sizes[number] / 2)
    return places
