"""The picture of a reliability analysis: artists made once, moved for every new result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from ...core.drawing import Handle, short
from ...core.style import (
    BLUE,
    BLUE_TINT,
    GREY,
    GREY_TINT,
    INK,
    LINES,
    MUTED,
    ORANGE,
    PANEL,
    PAPER,
    WIDTH,
    Sheet,
)
from ...core.wording import percent, span, typeset
from ...ops.calibration.bins import Bins, expected
from ...ops.calibration.calibrators import Temperature
from ...ops.calibration.metrics import METRICS

if TYPE_CHECKING:
    from .result import Reliability

STEP = np.log(10) / 100
"""By how much the logarithm of a temperature moves at least."""
USUAL = (0.5, 4.0)
"""Temperatures that are shown; all of them, where one lies outside."""
INSET = 34
"""Where the axis of temperatures begins in its half: its numbers and half a ring fit before it."""
LEFT, TOP = 44, 44
"""Where the diagram begins: its marks are named above, where no point can be."""
CURVE = 86
"""How high the curve of the loss is."""
DIGIT, HIGH = 6.6, 8.5
"""Pixels that a digit over a bar needs, aside and upwards."""


class Diagram(Sheet):
    """Reliability diagram and its counts on the left, four numbers and NLL(T) on the right."""

    height = 338
    wide, high, tall = 396, 194, 40  # the diagram, and the bars below it
    keys_at, letters = (0, 176, 304), 24  # where its marks are named, and how long what was pinned
    right = 480  # where the right half begins
    curve_at, span = 152, 356  # the curve of the loss, and how long its axis is
    places = ((480, 38, "left"), (566, 38, "left"), (710, 38, "left"), (WIDTH, 38, "right"))
    sharpen = "Sharpen or soften every confidence: temperature T"
    drag = "drag the handle; the predictions stay, only confidences change"
    no_drag = "this repair has no T; choose another one to drag it"

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self._make_diagram(self.chart(LEFT, TOP, self.wide, self.high))
        self._make_counts(self.chart(LEFT, TOP + self.high + 6, self.wide, self.tall))
        self._make_numbers()
        self._make_curve(self.chart(self.right + INSET, self.curve_at, self.span, CURVE))

    def _make_diagram(self, axes: Axes) -> None:
        self.title = self.heading(0)
        axes.set(xlim=(0, 1), ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        axes.tick_params(labelbottom=False)
        axes.spines["bottom"].set_visible(False)
        self.band = Rectangle((0, 0), 0, 1, color=BLUE_TINT, lw=0)
        self.under = Rectangle((0, -0.01), 0, 0.01, color=BLUE, lw=0, clip_on=False, zorder=4)
        self.empty = PolyCollection([], facecolor=PANEL, lw=0)
        self.boxes = PolyCollection([], facecolor=GREY_TINT, lw=1, zorder=1.5)
        self.stems = LineCollection([], lw=3, capstyle="butt", zorder=2.1)
        axes.add_patch(self.band)
        axes.add_patch(self.under)
        for collection in (self.empty, self.boxes, self.stems):
            axes.add_collection(collection)
        axes.plot([0, 1], [0, 1], ":", color=MUTED, lw=1.4, zorder=2)
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "ls": "", "clip_on": False}
        ring: dict[str, Any] = {
            "mfc": "none",
            "ls": "",
            "marker": "o",
            "mew": 1.2,
            "clip_on": False,
            "ms": 8,
        }
        (self.pinned,) = axes.plot([], [], **{**ring, "mec": INK, "marker": "D"})
        (self.before,) = axes.plot([], [], **{**ring, "mec": MUTED})
        self.inside = axes.scatter([], [], color=BLUE, ec=PAPER, lw=1, clip_on=False, zorder=3)
        (self.outside,) = axes.plot([], [], color=ORANGE, marker="D", ms=10, zorder=3, **edge)
        self.keys = [self.text(x, 31) for x in self.keys_at]
        self.nobody = [self.label(0, y, ha="center") for y in (128, 145)]
        self.legend = self.label(self.middle, TOP + self.high + 96, ha="center")
        self.axes = axes
        self.targets: list[Rectangle] = []

    def _make_counts(self, axes: Axes) -> None:
        axes.set(xlim=(0, 1), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
        axes.set_xticklabels(["0", "25", "50", "75", typeset("100 %")])
        axes.spines["bottom"].set_visible(False)
        self.axis = self.label(self.middle, TOP + self.high + 79, ha="center")
        self.counts = PolyCollection([], lw=0)
        axes.add_collection(self.counts)
        self.numbers = [
            axes.text(0, 0, "", fontsize=11, color=BLUE, ha="center") for _ in range(20)
        ]
        self.count_axes = axes

    def _make_numbers(self) -> None:
        self.heading(self.right, "In four numbers")
        names = ("accuracy", "calibration error (ECE)", "log loss (NLL)", "images")
        self.values, self.intervals = [], []
        for (x, y, side), name in zip(self.places, names, strict=True):
            self.label(x, y, name, ha=side)
            self.values.append(self.text(x, y + 24, fontsize=20, fontweight="bold", ha=side))
            self.intervals.append(self.label(x, y + 42, ha=side))
        x, y, side = self.places[1]
        self.floor = self.label(x, y + 59, ha=side, fontweight="bold")

    def _make_curve(self, axes: Axes) -> None:
        top, right = self.curve_at, self.right
        self.heading(right, self.sharpen, top - 26)
        self.label(right, top - 6, "log loss, nats")
        self.least = self.label(self.width, top - 6, ha="right")
        axes.set_xscale("log")
        axes.yaxis.grid(False)
        axes.tick_params(axis="y", pad=10, labelsize=11)
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 4, 10]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(["0.2", "0.5", "1", "2", "4", "10"])
        axes.tick_params(axis="x", pad=10)
        (self.nll,) = axes.plot([], [], color=INK, lw=2.2)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.one,) = axes.plot([1], [0], "o", ms=9, mfc=PAPER, mec=MUTED, mew=1.2, **foot)
        (self.best,) = axes.plot([], [], "v", ms=9, mec=MUTED, clip_on=False, zorder=4)
        (self.point,) = axes.plot([], [], "o", ms=8, color=BLUE, mec=PAPER, mew=1, zorder=4)
        (self.here,) = axes.plot([1], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.here.set_zorder(5)
        self.fitted = self.label(right, top + 171)
        style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
        self.fit = PolyCollection([], **style)
        self.page.add_collection(self.fit)
        self.label(right, top + 132, "sharper")
        self.label(self.width, top + 132, "softer", ha="right")
        bold: dict[str, Any] = {"color": BLUE, "fontweight": "bold", "fontsize": 13}
        self.at = self.text(0, top + 132, ha="center", **bold)
        self.hint = self.label(right, top + 154)
        self.curve_axes = axes

    @property
    def middle(self) -> float:
        """Where the middle of the diagram is."""
        return LEFT + self.wide / 2

    def show(
        self,
        result: Reliability,
        pinned: Reliability | None,
        selected: int,
        best: float | None,
    ) -> None:
        """Move every artist to the numbers of ``result``."""
        self._show_diagram(result, pinned, selected)
        self._show_counts(result, selected)
        self._show_numbers(result)
        self._show_curve(result, best)

    def _show_diagram(self, result: Reliability, pinned: Reliability | None, selected: int) -> None:
        bins = result.after
        filled = np.flatnonzero(bins.count).tolist()
        low, high = expected(bins, result.knobs["interval"])
        off = (bins.accuracy < low - 1e-9) | (bins.accuracy > high + 1e-9)
        x, y = bins.confidence, bins.accuracy
        self.boxes.set_verts([_box(bins, b, low[b], high[b]) for b in filled])
        # In grey the tint of what is chosen is that of its box: a rim tells them apart.
        self.boxes.set_edgecolor([GREY if b == selected else "none" for b in filled])
        self.stems.set_segments([((x[b], x[b]), (x[b], y[b])) for b in filled])
        self.stems.set_color([ORANGE if off[b] else BLUE for b in filled])
        kept = [b for b in filled if not off[b]]
        self.inside.set_offsets(np.stack([x[kept], y[kept]], axis=1).reshape(-1, 2))
        self.inside.set_sizes(36 + 110 * np.sqrt(bins.count[kept] / bins.count.sum()))
        self.outside.set_data(x[off], y[off])
        for ring, other in (
            (self.before, result.before if result.method != "none" else None),
            (self.pinned, None if pinned is None else pinned.after),
        ):
            ring.set_data(
                [] if other is None else other.confidence, [] if other is None else other.accuracy
            )
        self._show_empty(bins, filled)
        for patch in (self.band, self.under):
            patch.set_x(bins.low[selected])
            patch.set_width(bins.high[selected] - bins.low[selected])
        self.title.set_text(_title(result.label))
        keys = [(ORANGE, f"◆ outside: {off.sum()} of {len(filled)} bins")] * bool(off.any())
        keys += [(MUTED, f"○ before, {_given(result)}")] * (result.method != "none")
        beside = "" if pinned is None else short(result.beside(pinned), self.letters)
        keys += [(INK, f"◇ {beside}")] * (pinned is not None)
        for text, (colour, words) in zip(self.keys, [*keys, *[(INK, "")] * 3], strict=False):
            text.set(color=colour, text=words, fontweight="bold" if colour == ORANGE else "normal")
        level = percent(result.knobs["interval"], 0)
        self.legend.set_text(f"grey boxes: a perfect model’s points, {level} of the time")
        while len(self.targets) < len(bins.count):
            # Almost transparent, because what is not painted cannot be pointed at.
            patch = Rectangle((0, 0), 0, 1, facecolor=PAPER, alpha=0.004, lw=0, zorder=9)
            self.axes.add_patch(patch)
            self.targets.append(patch)
        for number, patch in enumerate(self.targets):
            patch.set_visible(number < len(bins.count))
            if number < len(bins.count):
                patch.set_x(bins.low[number])
                patch.set_width(bins.high[number] - bins.low[number])
                self.hover(patch, result.describe(number), f"bin:{number}")

    def _show_empty(self, bins: Bins, filled: list[int]) -> None:
        """Say where no image is, if that is a wide place at the lower end."""
        until = bins.low[filled[0]]
        self.empty.set_verts([[(0, 0), (until, 0), (until, 1), (0, 1)]])
        others = np.concatenate([it.get_xdata() for it in (self.pinned, self.before)])
        until *= not ((others > 0) & (others < until)).any()  # else their points lie there
        for text, words in zip(self.nobody, ("no images", "this unsure"), strict=True):
            text.set(x=LEFT + self.wide * until / 2, text=words if until > 0.22 else "")

    def _show_counts(self, result: Reliability, selected: int) -> None:
        bins = result.after
        heights = np.log1p(bins.count)
        filled = np.flatnonzero(bins.count).tolist()
        self.counts.set_verts([_box(bins, b, 0, heights[b]) for b in filled])
        self.counts.set_facecolor([BLUE if b == selected else BLUE_TINT for b in filled])
        self.count_axes.set_ylim(0, most := 1.5 * heights.max())
        wide = np.array([len(f"{count:,}") * DIGIT for count in bins.count])
        x = self.wide * (bins.low + bins.high) / 2
        # Beside the last bar there is room: its number goes there rather than over the next bar.
        x[-1] = max(x[-1], self.wide * bins.low[-1] + wide[-1] / 2)
        y = self.tall * (heights / most + 0.04)

        def apart(a: int, b: int) -> bool:
            aside, above = abs(x[a] - x[b]), abs(y[a] - y[b])
            return bool(aside > (wide[a] + wide[b]) / 2 + 3 or above > HIGH)

        taken: list[int] = []
        for b in dict.fromkeys((selected, int(bins.count.argmax()), *filled)):
            if bins.count[b] and all(apart(a, b) for a in taken):
                taken.append(b)
        for text in self.numbers:
            text.set_text("")
        for text, b in zip(self.numbers, taken, strict=False):
            text.set(x=x[b] / self.wide, y=y[b] / self.tall * most, text=f"{bins.count[b]:,}")
            text.set_fontweight("bold" if b == selected else "normal")
        kind = {"top": "the predicted class", "all": "every class"}.get(result.label, result.label)
        self.axis.set_text(f"confidence in {kind}; bars: images per bin (log)")

    def _show_numbers(self, result: Reliability) -> None:
        known = {name: k for k, name in enumerate(METRICS)}
        after, low, high = result.metrics_after, result.metrics_low, result.metrics_high
        same = result.method != "none" and result.metric("accuracy", "before") == after[0]
        ece, nll = known["ece"], known["nll"]
        values = (percent(after[0]), percent(after[ece]), f"{after[nll]:.3f}", f"{result.n:,}")
        notes = (
            "unchanged" if same else span(low[0], high[0]),
            span(low[ece], high[ece]),
            f"{low[nll]:.2f}–{high[nll]:.2f} nats",
            "evaluated",
        )
        for value, note, words, said in zip(
            self.values, self.intervals, values, notes, strict=True
        ):
            value.set_text(words)
            note.set_text(said)
        perfect = low[ece] <= result.ece_floor
        self.values[1].set_color(BLUE if perfect else ORANGE)
        self.floor.set_text(f"perfect model: {percent(result.ece_floor)}")

    def _show_curve(self, result: Reliability, best: float | None) -> None:
        calibrator = result.calibrator
        here = calibrator.temperature if isinstance(calibrator, Temperature) else 1.0
        known = result.curve_temperature
        low, high = USUAL if USUAL[0] <= here <= USUAL[1] else (known[0], known[-1])
        t = np.geomspace(low, high, 80)
        loss = np.interp(np.log(t), np.log(known), result.curve_nll)
        self.nll.set_data(t, loss)
        self.curve_axes.set_xlim(low, high)
        least, most = loss.min(), min(loss.max(), 3 * loss.min() + 0.05)
        self.curve_axes.set_ylim(least - 0.12 * (most - least), most)
        ticks = [least, (least + most) / 2]
        self.curve_axes.set_yticks(ticks, [f"{it:.2f}" for it in ticks])
        dragged = result.method in ("none", "temperature")
        self.point.set_data([here], [np.interp(np.log(here), np.log(known), result.curve_nll)])
        self.here.set_xdata([here])
        x = min(max(self._across(here), self.right + 84), self.width - 84)
        self.at.set(x=x, text=f"T = {here:.2f}")
        self.one.set_visible(abs(np.log(here)) > 0.05)
        for artist in (self.here, self.at, self.point):
            artist.set_visible(dragged)
        self.hint.set_text(self.drag if dragged else self.no_drag)
        self._show_best(result, best, here)
        handle = Handle(self.curve_axes, low, high, here, STEP, log=True)
        self.handle(self.here, "temperature", f"temperature T = {here:.2f}", handle)

    def _across(self, temperature: float) -> float:
        """Return where a temperature stands on the sheet."""
        low, high = self.curve_axes.get_xlim()
        return float(
            self.right + INSET + self.span * np.log(temperature / low) / np.log(high / low)
        )

    def _show_best(self, result: Reliability, best: float | None, here: float) -> None:
        """Offer the T that is fitted on other images; its value once it is known.

        Before that a hollow triangle stands where the loss of these images is least.
        """
        images = "other images" if result.knobs["corruption"] == "clean" else "other, clean images"
        taken = bool(result.n_fitted) and result.method == "temperature"
        words = f"fit T on {images}" if best is None else f"▼ best T on {images}: {best:.2f}"
        self.fitted.set(text=words, color=MUTED if taken else BLUE)
        foot = self.curve_at + CURVE
        targets: list[tuple[float, ...]] = [(self.right, self.width, foot + 72, foot + 90)]
        at = result.turning if best is None else best
        (low, high), (bottom, top) = self.curve_axes.get_xlim(), self.curve_axes.get_ylim()
        inside = low <= at <= high
        self.least.set_text(f"▽ least at T = {at:.1f}" if best is None and inside else "")
        self.best.set(visible=inside, markerfacecolor=PAPER if best is None else MUTED)
        loss = np.interp(np.log(at), np.log(result.curve_temperature), result.curve_nll)
        up = (loss - bottom) / (top - bottom) * CURVE + 9  # its tip is on the curve
        self.best.set_data([at], [bottom + up / CURVE * (top - bottom)])
        x, y = self._across(at), foot - up
        if inside and abs(x - self._across(here)) > 20:  # else the ring is near, and is dragged
            targets.append((x - 8, x + 8, y - 8, y + 8))
        self.fit.set_verts([[(a, c), (b, c), (b, d), (a, d)] for a, b, c, d in targets])
        self.hover(self.fit, f"fit T on {images} than those evaluated", "method:temperature")


class Narrow(Diagram):
    """The same on a narrow page, with the four numbers in two rows."""

    width, height = 640, 384
    wide, high = 300, 236
    keys_at, letters = (0, 172, 296), 12
    right = 388
    curve_at, span = 208, 208
    places = ((388, 38, "left"), (388, 98, "left"), (536, 98, "left"), (536, 38, "left"))
    sharpen = "Sharpen or soften: temperature T"
    drag = "drag: no prediction changes"
    no_drag = "this repair has no T"


def _box(bins: Bins, number: int, low: float, high: float) -> list[tuple[float, float]]:
    left, right = bins.low[number], bins.high[number]
    gap = 0.08 * (right - left)
    return [(left + gap, low), (right - gap, low), (right - gap, high), (left + gap, high)]


def _title(label: str) -> str:
    if label == "top":
        return "How often it is right, by how sure it says it is"
    what = "a class is the true one" if label == "all" else f"it is {label}"
    return f"How often {what}, by how sure it says so"


def _given(result: Reliability) -> str:
    return "T = 1" if result.method == "temperature" else "no repair"
