"""The picture of a transfer analysis: who fools whom, and one pair over the size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...core.drawing import Handle, short
from ...core.style import BLUE, GREY_TINT, INK, LINES, MUTED, ORANGE, PAPER, Sheet
from ...core.wording import differing, typeset
from . import sentences

if TYPE_CHECKING:
    from .result import Transfer

LETTER = 7.2
"""Pixels that a letter takes at most."""
TALLEST = 40
"""Pixels of a row, at most."""
APART = 16
"""Pixels between two labels."""
MADE = {
    "alone": "made on",
    "ghosts": "on ghosts of",
    "ensemble": "on all but",
    "ensemble of ghosts": "on ghosts of all but",
}
"""What stands above the names of the rows."""


class Places(NamedTuple):
    """Where the parts of the picture lie, in pixels.

    Parameters
    ----------
    matrix : tuple of float
        Left, top, width and height of the cells, without their names.
    curve : tuple of float
        The same of the chart.
    """

    matrix: tuple[float, float, float, float]
    curve: tuple[float, float, float, float]


class _Cell:
    """A number on its ground, with a frame that says what it is."""

    def __init__(self, sheet: Sheet) -> None:
        front: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
        self.ground = Rectangle((0, 0), 0, 0, lw=0, zorder=1)
        self.frame = Rectangle((0, 0), 0, 0, fill=False, zorder=3)
        self.target = Rectangle((0, 0), 0, 0, **front)
        self.number = sheet.text(0, 0, ha="center", zorder=4)
        for patch in (self.ground, self.frame, self.target):
            sheet.page.add_patch(patch)

    def show(self, box: tuple[float, float, float, float], words: str) -> None:
        """Stand somewhere with a number."""
        x, y, wide, high = box
        for patch, inset in ((self.ground, 1.0), (self.frame, 2.5), (self.target, 1.0)):
            patch.set_bounds(x + inset, y + inset, wide - 2 * inset, high - 2 * inset)
        self.number.set(x=x + wide / 2, y=y + high / 2 + 4.5, text=typeset(words))

    def see(self, is_seen: bool) -> None:
        """Be there or not."""
        for artist in (self.ground, self.frame, self.target, self.number):
            artist.set_visible(is_seen)


class Matrix(Sheet):
    """Rows: what changes were made on. Columns: whom they were shown to."""

    height = 344
    places: ClassVar = Places((150, 56, 384, 232), (592, 56, 150, 212))

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title, self.pair = self.heading(0), self.heading(0)
        right: dict[str, Any] = {"ha": "right"}
        x = self.places.matrix[0] - 10
        self.shown_to = self.label(x, 33, "shown to →", **right)
        self.made_on = self.label(x, 49, **right)
        self.legend = self.label(0, 0)
        self.cells: list[_Cell] = []
        self.rows: list[Any] = []
        self.columns: list[tuple[Any, Any]] = []
        self._make_curve()

    def _make_curve(self) -> None:
        left, top, wide, high = self.places.curve
        axes = self.axes = self.chart(left, top, wide, high)
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.tick_params(axis="x", pad=13)
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "clip_on": False, "zorder": 3}
        hollow: dict[str, Any] = {"marker": "s", "ms": 5, "mfc": PAPER, "clip_on": False}
        (self.home,) = axes.plot([], [], color=INK, lw=2, marker="o", ms=6, **edge)
        (self.noise,) = axes.plot([], [], ":", color=MUTED, lw=2, zorder=3, **hollow)
        (self.ghost,) = axes.plot([], [], color=BLUE, lw=1.6, ls="-.", marker="p", mfc=PAPER)
        (self.here,) = axes.plot([], [], "--", color=ORANGE, lw=2.4, marker="^", ms=8, **edge)
        halo = [withStroke(linewidth=4.5, foreground=PAPER)]
        self.line = axes.axvline(0, color=BLUE, lw=1.6, zorder=2.5, path_effects=halo)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.ring,) = axes.plot([0], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.ring.set_zorder(12)
        bold: dict[str, Any] = {"fontweight": "bold"}
        self.said = [self.text(0, 0, color=it, **bold) for it in (INK, ORANGE, MUTED, BLUE)]
        self.pair.set(x=left, y=14)
        self.of = self.label(left, 33)
        self.hint = self.label(left, top + high + 46)

    # ------------------------------------------------------------------ showing
    def show(
        self,
        result: Transfer,
        pinned: Transfer | None,
        place: int,
        kind: str,
        cell: tuple[int, int],
    ) -> None:
        """Move every artist to a result, at a size."""
        self._show_matrix(result, place, kind, cell)
        self._show_curve(result, pinned, place, kind, cell)

    def _show_matrix(self, result: Transfer, place: int, kind: str, cell: tuple[int, int]) -> None:
        left, top, width, height = self.places.matrix
        count, names = len(result.networks), differing(result.networks)
        wide, high = min(100, width / count), min(TALLEST, height / (count + 1.25))
        led = "fooled" if result.target < 0 else f"led to {result.classes[result.target]}"
        self.title.set_text(short(f"Share {led} by changes of {sentences.size(result, place)}", 60))
        while len(self.cells) < count * (count + 1):
            self.cells.append(_Cell(self))
        while len(self.rows) < count + 1:
            self.rows.append(self.text(left - 10, 0, ha="right"))
        while len(self.columns) < count:
            self.columns.append((self.text(0, 0, ha="center"), self.label(0, 0, ha="center")))
        for spare in self.cells[count * (count + 1) :]:
            spare.see(False)
        for row in self.rows[count + 1 :]:
            row.set_visible(False)
        for k, (name, known) in enumerate(self.columns):
            name.set_visible(k < count)
            known.set_visible(k < count)
            if k < count:
                x = left + wide * (k + 0.5)
                name.set(x=x, y=33, text=short(names[k], max(4, int(wide / LETTER))))
                known.set(x=x, y=49, text=f"n = {int(result.right[k].sum()):,}", fontsize=11)
        self.made_on.set_text(f"{MADE[kind]} ↓")
        share, home = result.share(kind, place), result.home(kind)
        noise = result.share("noise", place)
        for r in range(count + 1):
            y = top + high * (r + 0.25 * (r == count))
            named = names[r] if r < count else "control: noise"
            self.rows[r].set(y=y + high / 2 + 4.5, color=INK if r < count else MUTED)
            self.rows[r].set(text=short(named, int((left - 10) / LETTER)), visible=True)
            for c in range(count):
                mine = self.cells[r * count + c]
                mine.see(True)
                value = float(share[r, c] if r < count else noise[c])
                mine.show((left + wide * c, y, wide, high), sentences.share(value))
                if r == count:
                    mine.ground.set(facecolor=GREY_TINT, alpha=1)
                    mine.number.set(color=MUTED, fontweight="normal")
                    mine.frame.set_visible(False)
                    told = f"random noise, shown to {result.networks[c]}: {sentences.share(value)}"
                    self.hover(mine.target, told, f"noise:{c}")
                    continue
                mine.ground.set(facecolor=ORANGE, alpha=0.05 + 0.4 * np.nan_to_num(value))
                mine.number.set(color=INK, fontweight="bold" if (r, c) == cell else "normal")
                mine.frame.set_visible(bool(home[r, c]) or (r, c) == cell)
                mine.frame.set(edgecolor=INK, lw=1.2, linestyle="-")
                if (r, c) == cell:
                    mine.frame.set(edgecolor=BLUE, lw=2.4)
                words = sentences.of_cell(result, place, kind, r, c)
                self.hover(mine.target, words, f"cell:{r},{c}")
        end = top + high * (count + 1.25)
        words = "framed: at home, the network took part in the making (white-box)"
        self.legend.set(x=0, y=end + 22, text=words)

    def _show_curve(
        self,
        result: Transfer,
        pinned: Transfer | None,
        place: int,
        kind: str,
        cell: tuple[int, int],
    ) -> None:
        row, column = cell
        sizes = result.epsilons
        most, names = float(sizes[-1]) or 1.0, differing(result.networks)
        self.pair.set_text(short(f"made on {sentences.source(kind, names[row])}", 34))
        self.of.set_text(short(f"shown to {names[column]}", 34))
        every = range(len(sizes))
        lines = {
            self.home: [result.share("alone", k)[column, column] for k in every],
            self.here: [result.share(kind, k)[row, column] for k in every],
            self.noise: [result.share("noise", k)[column] for k in every],
        }
        for line, values in lines.items():
            line.set_data([0, *sizes], [0, *values])
        self.home.set_visible((kind, row) != ("alone", column))
        self.ghost.set_data([], [])
        if pinned is not None and kind in pinned.kinds and max(cell) < len(pinned.networks):
            its = [pinned.share(kind, k)[row, column] for k in range(len(pinned.epsilons))]
            inside = pinned.epsilons <= most * 1.001
            if pinned.norm == result.norm:
                self.ghost.set_data(pinned.epsilons[inside], np.array(its)[inside])
        here = float(sizes[place])
        self.line.set_xdata([here, here])
        self.ring.set_xdata([here])
        self.axes.set_xlim(0, most)
        scale = 255 if result.norm == "Linf" else 1
        ticks = [most]
        for size in sizes[-2::-1]:
            if ticks[-1] - size >= 36 / self.places.curve[2] * most:
                ticks.append(float(size))
        self.axes.set_xticks(ticks, [f"{scale * size:.3g}" for size in ticks])
        unit = "255ths of white" if result.norm == "Linf" else "L2 norm in [0, 1]"
        self.hint.set_text(f"drag: size of the change, {unit}")
        handle = Handle(self.axes, 0, most, here, stops=tuple(float(it) for it in sizes))
        self.handle(self.ring, "epsilon", f"size: {sentences.size(result, place)}", handle)
        self._show_words(result, pinned, place)

    def _show_words(self, result: Transfer, pinned: Transfer | None, place: int) -> None:
        """Name the lines beside their ends, with the numbers at the size."""
        left, top, wide, high = self.places.curve
        behind = "" if pinned is None else short(result.beside(pinned), 10)
        known = zip(
            self.said,
            (self.home, self.here, self.noise, self.ghost),
            ("white-box", "this pair", "noise", behind),
            strict=True,
        )
        placed: list[tuple[float, Any]] = []
        for text, line, words in known:
            heights = np.asarray(line.get_ydata(), dtype=float)
            is_seen = bool(line.get_visible() and len(heights) and np.isfinite(heights[-1]))
            text.set_visible(is_seen)
            if is_seen:
                number = "" if line is self.ghost else f" {sentences.share(heights[1 + place])}"
                text.set_text(typeset(words + number))
                placed.append((top + high * (1 - float(heights[-1])) + 4, text))
        placed.sort(key=lambda it: it[0])
        below = top - APART
        for k, (y, text) in enumerate(placed):  # apart, and above the axis
            below = max(min(y, top + high + 4 - APART * (len(placed) - 1 - k)), below + APART)
            text.set(x=left + wide + 12, y=below)


class Narrow(Matrix):
    """The same on a narrow page, the curve below the matrix."""

    width, height = 640, 620
    places: ClassVar = Places((150, 56, 470, 232), (44, 368, 430, 180))

    def _make_curve(self) -> None:
        super()._make_curve()
        top = self.places.curve[1]
        self.pair.set(x=0, y=top - 26)
        self.of.set(x=330, y=top - 26)
