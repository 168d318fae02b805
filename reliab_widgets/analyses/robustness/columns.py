"""What stands beside the curve: the parts at one size, the verdict, and what was proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from ...core.style import BLUE, INK, MUTED, ORANGE, PAPER, Sheet
from ...core.wording import percent
from ...ops.attacks.verdict import TESTS
from . import sentences

if TYPE_CHECKING:
    from .result import Robustness

WIDE = 280
"""Pixels that a line takes."""
FEW = 4
"""Lines of tests where a proof stands below them."""
STEP = 19
"""Pixels from line to line."""
COLOURS = {"proved": BLUE, "unknown": MUTED, "broken": ORANGE, "wrong": INK}
CALLED = {"unknown": "still right"}
"""Of parts, where nothing was proved."""


class Parts:
    """Big numbers: how many images are proved, unknown, broken and wrong at a size.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    left, top : float
        In pixels.
    """

    def __init__(self, sheet: Sheet, left: float, top: float) -> None:
        self.sheet, self.left, self.top = sheet, left, top
        self.where = sheet.heading(left, y=top + 14)
        self.numbers, self.names, self.counts, self.targets = [], [], [], []
        for name, colour in COLOURS.items():
            bold: dict[str, Any] = {"color": colour, "fontweight": "bold"}
            self.numbers.append(sheet.text(0, top + 50, fontsize=20, **bold))
            self.names.append(sheet.text(0, top + 72, name, **bold))
            self.counts.append(sheet.label(0, top + 90))
            style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            self.targets.append(Rectangle((0, top + 24), 0, 84, **style))
            sheet.page.add_patch(self.targets[-1])
        self.bar = Rectangle((0, top + 97), 44, 2.5, color=BLUE, lw=0)
        sheet.page.add_patch(self.bar)

    def show(self, result: Robustness, place: int, chosen: str) -> None:
        """Write the parts that there are, and underline the chosen one."""
        self.where.set_text(f"At a change of {sentences.size(result, place)}")
        known = bool(np.isfinite(result.accuracy()[place]))
        shown = [name for name in COLOURS if name != "proved" or result.certificate is not None]
        self.bar.set_visible(chosen in shown)
        lines = zip(self.numbers, self.names, self.counts, self.targets, COLOURS, strict=True)
        for number, name, count, target, part in lines:
            for artist in (number, name, count, target):
                artist.set_visible(part in shown)
            if part not in shown:
                continue
            wide = WIDE / len(shown)
            x = self.left + wide * shown.index(part)
            those = int(result.part(part, place).sum())
            told = known or part == "wrong"
            number.set(x=x, text=percent(those / result.n, 0) if told else "–")
            called = part if result.certificate is not None else CALLED.get(part, part)
            name.set(x=x, text=called)
            count.set(x=x, text=f"{those:,} of {result.n:,}" if told else "comes next")
            target.set(x=x - 4, width=wide - 4)
            if part == chosen:
                self.bar.set_x(x)
            self.sheet.hover(target, f"{called}: {those:,} images; click for them", f"part:{part}")


class Tests:
    """The tests of the verdict, a line each; a proof leaves room for a few.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    left, top : float
        In pixels.
    """

    def __init__(self, sheet: Sheet, left: float, top: float) -> None:
        self.sheet = sheet
        sheet.heading(left, "Can the attacks be believed?", top + 14)
        self.judged = sheet.label(left, top + 32)
        self.lines = []
        for k in range(len(TESTS)):
            y = top + 54 + STEP * k
            mark = sheet.text(left, y, fontweight="bold")
            number = sheet.label(left + WIDE, y, ha="right")
            self.lines.append((mark, sheet.text(left + 20, y), number))

    def show(self, result: Robustness, most: int) -> None:
        """Write the tests, those that fired first; what has no room stands in the panel."""
        self.judged.set_text(sentences.judged(result))
        tests = sorted(result.verdict.tests, key=lambda test: not test.fired)
        cut = len(tests) > most
        told = tests[: most - 1] if cut else tests
        for k, (mark, words, number) in enumerate(self.lines):
            test = told[k] if k < len(told) else None
            if test is None:
                mark.set_text("")
                number.set_text("")
                left = len(tests) - len(told) if cut and k == len(told) else 0
                words.set(text=f"and {left} more: panel “verdict”" if left else "", color=MUTED)
                self.sheet.hover(words, "")
                continue
            mark.set(text="✗" if test.fired else "✓", color=ORANGE if test.fired else BLUE)
            words.set(text=sentences.assured(test), color=ORANGE if test.fired else INK)
            number.set_text(sentences.counts(test))
            self.sheet.hover(words, f"{test}; by chance with p = {test.chance:.2g}")


class Proof:
    """What was proved, and of which network.

    Parameters
    ----------
    sheet : Sheet
        Where to.
    left, top : float
        In pixels.
    """

    def __init__(self, sheet: Sheet, left: float, top: float) -> None:
        self.title = sheet.heading(left, "Proved of the smoothed network", top + 14)
        self.lines = [sheet.label(left, top + 33 + 17 * k) for k in range(3)]

    def show(self, result: Robustness) -> bool:
        """Write it; tell whether there is anything to write."""
        told = sentences.of_proof(result)
        self.title.set_visible(bool(told))
        for k, line in enumerate(self.lines):
            line.set_text(told[k] if told else "")
        return bool(told)
