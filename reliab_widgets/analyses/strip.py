"""The network under a curve: its layers in a row, its stages named, and what leads around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text

from ..core.style import BLUE, BLUE_TINT, GREY_TINT, INK, LINES, MUTED, PAPER, Sheet

if TYPE_CHECKING:
    from ..ops.features.plan import Plan, Stage

LETTER = 7.0
"""Pixels that a letter takes at most, on the average."""
APART = 12
"""Pixels between what stands below two stages: with less it reads as one."""
BELOW = 34
"""Pixels below its line that a strip needs."""


class Strip:
    """A network from left to right on a sheet.

    Parameters
    ----------
    sheet : Sheet
        Where it is drawn.
    left, right, y : float
        Where the input stands, and the logits.
    top : float
        How far up the column of a layer reaches, which can be chosen.
    """

    def __init__(self, sheet: Sheet, left: float, right: float, y: float, top: float) -> None:
        self._sheet, self._left, self._right, self._y, self._top = sheet, left, right, y, top
        self._plan: Plan | None = None
        page = sheet.page
        self._column = page.add_patch(Rectangle((0, top), 0, y + 17 - top, color=BLUE_TINT, lw=0))
        self._column.set_zorder(-2)
        page.plot([left, right], [y, y], color=LINES, lw=2, zorder=-1)
        self._ways, self._ways_on, self._lines, self._boxes = (
            PathPatch(Path(np.zeros((1, 2))), fill=False, ec=colour, lw=width)
            for colour, width in ((LINES, 1.4), (MUTED, 1.4), (LINES, 1.6), (MUTED, 1.4))
        )
        for shape in (self._ways, self._ways_on, self._lines, self._boxes):
            page.add_patch(shape)
        self._boxes.set(fill=True, facecolor=GREY_TINT, zorder=2)
        self._here = page.add_patch(Rectangle((0, 0), 0, 0, color=BLUE, lw=0, zorder=3))
        page.plot([left, right], [y, y], "o", ms=9, color=INK, zorder=2, mec=PAPER)
        self._under: list[Text] = []
        self._targets: list[Rectangle] = []

    def unit(self, plan: Plan) -> float:
        """Return how many pixels stand between two layers."""
        return (self._right - self._left) / max(_end(plan), 1)

    def x(self, plan: Plan) -> np.ndarray:
        """Return where the layers of a plan stand, in pixels, ``(L,)``."""
        places: np.ndarray = self._left + plan.place * self.unit(plan)
        return places

    def show(self, plan: Plan, told: Mapping[str, str], chosen: str | None = None) -> None:
        """Draw a network.

        Parameters
        ----------
        plan : Plan
            Of its layers.
        told : mapping of str to str
            What is said of each layer that can be chosen, by its name; also of ``"input"`` and
            ``"logits"``.
        chosen : str, optional
            Which one is.
        """
        if plan is not self._plan:
            self._plan = plan
            self._draw(plan)
        places = dict(zip(plan.names, self.x(plan), strict=True))
        places |= {"input": self._left, "logits": self._right}
        if "logits" in told:  # the last layer gives them
            told = {k: v for k, v in told.items() if k == "logits" or places[k] < self._right}
        width = max(self.unit(plan), 3)
        for patch in self._targets[len(told) :]:
            patch.remove()
        del self._targets[len(told) :]
        while len(self._targets) < len(told):
            # Almost transparent, because what is not painted cannot be pointed at.
            style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            self._targets.append(Rectangle((0, 0), 0, 0, **style))
            self._sheet.page.add_patch(self._targets[-1])
        boxes = dict(zip(plan.names, self._boxes_of(plan), strict=True))
        beside = dict(zip(plan.names, plan.beside, strict=True))
        for patch, (name, words) in zip(self._targets, told.items(), strict=True):
            narrow = beside.get(name, False)
            half = min(width / 2, 9) if narrow else width / 2
            patch.set(x=places[name] - half, width=2 * half, zorder=10 if narrow else 9)
            low = self._y - 13 if narrow else self._y + 17  # between two layers of the main path
            high = self._y - 31 if narrow else self._top
            patch.set(y=high, height=low - high)
            self._sheet.hover(patch, words, f"layer:{name}")
        x = places.get(chosen or "")
        column = 0.0 if x is None else max(self.unit(plan), 8)
        self._column.set(x=(x or 0) - column / 2, width=column)
        drawn = boxes.get(chosen or "")
        self._here.set_visible(drawn is not None)
        if drawn is not None:
            middle, y, wide, high = drawn
            self._here.set(x=middle - wide / 2, y=y - high / 2, width=wide, height=high)

    def _boxes_of(self, plan: Plan) -> list[tuple[float, float, float, float] | None]:
        """Return middle and size of the box of each layer; the logits have none."""
        size = min(11.0, 0.6 * self.unit(plan))
        x, tall = self.x(plan), plan.sizes[:, 1].max()
        apart = np.diff(np.sort(x[plan.beside]))
        small = min([size, *(0.8 * apart[apart > 0])])
        boxes: list[tuple[float, float, float, float] | None] = []
        for k, side in enumerate(plan.beside):
            if side:
                boxes.append((x[k], self._y - 22, small, small))
            elif plan.place[k] < _end(plan) or not _answers(plan):
                high = max(0.9 * size, 26 * (plan.sizes[k, 1] / tall) ** 0.5)
                boxes.append((x[k], self._y, size, high))
            else:
                boxes.append(None)
        return boxes

    # ------------------------------------------------------------------ the drawing
    def _draw(self, plan: Plan) -> None:
        unit = self.unit(plan)
        around: list[Path] = []
        around_on: list[Path] = []
        beside = plan.place[plan.beside]
        for first, last in plan.arcs:
            on = bool(((beside > first) & (beside < last + 1)).any())
            start, stop = (self._left + unit * it for it in (first + 0.68, last + 0.32))
            high = 22 if on else min(22 + 3 * max(last - first - 2, 0), 34)
            (around_on if on else around).append(_arc(start, stop, self._y, high))
        boxes = [_box(*box) for box in self._boxes_of(plan) if box is not None]
        stages = plan.stages
        lines = [
            Path(
                [
                    (self._left + unit * (it.first - 0.2), self._y + 17),
                    (self._left + unit * (it.last + 0.2), self._y + 17),
                ]
            )
            for it in stages
            if it.last > it.first
        ]
        shapes = (self._ways, self._ways_on, self._lines, self._boxes)
        for shape, paths in zip(shapes, (around, around_on, lines, boxes), strict=True):
            shape.set_path(Path.make_compound_path(*paths) if paths else Path(np.zeros((1, 2))))
            shape.set_visible(bool(paths))
        self._name(plan, stages)

    def _name(self, plan: Plan, stages: tuple[Stage, ...]) -> None:
        """Write below what there is room for, the most telling first."""
        for text in self._under:
            text.remove()
        self._under = []
        y = self._y + 31
        taken: list[tuple[float, float]] = []

        def write(middle: float, words: str, detail: str = "", room: float = 1e9) -> None:
            heavy = "bold" if room < 1e9 or words in ("input", "logits") else "normal"
            bold = LETTER * (1.08 if heavy == "bold" else 0.92) * len(words)
            both = bold + (5 + LETTER * 0.92 * len(detail) if detail else 0)
            low, high = middle - both / 2, middle + both / 2
            if both + APART > room or any(low < b + APART and high > a - APART for a, b in taken):
                return write(middle, words, "", room) if detail else None
            taken.append((low, high))
            colour = INK if heavy == "bold" else MUTED
            if not detail:
                low, side = middle, "center"
            else:
                side = "left"
            self._under.append(
                self._sheet.text(low, y, words, fontweight=heavy, color=colour, ha=side)
            )
            if detail:
                self._under.append(self._sheet.label(low + bold + 5, y, detail))
            return None

        unit = self.unit(plan)
        write(self._left, "input")
        write(self._right, "logits")
        for it in sorted(stages, key=lambda it: it.first - it.last):
            middle = self._left + unit * (it.first + it.last) / 2
            if it.last > it.first:
                write(middle, it.title, it.detail, unit * (it.last - it.first + 1))
            elif it.first < _end(plan):
                write(middle, it.title)
        side = self.x(plan)[plan.beside]
        if 0 < len(side) <= 6:
            self._under.append(self._sheet.label(side[0] + 9, self._y - 24, "shortcut"))


def _answers(plan: Plan) -> bool:
    """Tell whether the last layer gives the logits."""
    return bool(plan.length) and bool((plan.sizes[~plan.beside][-1, 1:] == 1).all())


def _end(plan: Plan) -> int:
    """Return the place of the logits."""
    return plan.length + (not _answers(plan))


def _box(x: float, y: float, width: float, height: float) -> Path:
    left, right, low, high = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    corners = [(left, low), (right, low), (right, high), (left, high), (left, low)]
    return Path(corners, [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY])


def _arc(start: float, stop: float, y: float, high: float) -> Path:
    bend = min(10.0, (stop - start) / 3)
    top = y - high
    corners = [
        (start, y - 2),
        (start, top),
        (start + bend, top),
        (stop - bend, top),
        (stop, top),
        (stop, y - 2),
    ]
    return Path(
        corners, [Path.MOVETO, Path.CURVE3, Path.CURVE3, Path.LINETO, Path.CURVE3, Path.CURVE3]
    )
