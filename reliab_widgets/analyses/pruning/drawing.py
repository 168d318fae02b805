"""The picture of a pruning analysis: artists made once, moved for every new level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from ...core.drawing import Handle, short
from ...core.placing import names_aside, names_beside
from ...core.style import (
    BLUE,
    BLUE_TINT,
    GREY,
    GREY_TINT,
    HAIR,
    INK,
    LINES,
    MUTED,
    ORANGE,
    PAPER,
    Sheet,
)
from ...core.wording import percent, signed, span, typeset
from ...ops.calibration.bins import wilson
from ..strip import Strip
from . import sentences

if TYPE_CHECKING:
    from .result import Pruning

SHOWN = 10
"""At most so many classes."""
LABELLED = 4
"""So many bars have their share written above, and those equal to the least of them."""
HIGHEST = 24
"""Pixels of the bar of a layer that has lost all."""


class Sweep(Sheet):
    """Accuracy over what is removed, who pays at one level, and where it was removed."""

    height = 356
    curve = (44, 28, 296, 155)
    """Left, top, width and height of the axes of the accuracy, in pixels."""
    list_at = 356
    """Where the numbers at the level stand."""
    payers = (520, 0)
    """Left and top of the picture of the classes."""
    ends = (616, 800)
    """Where 0 and 100 % lie in it."""
    layers_at = 238
    """Where the heading of the layers stands."""
    bar_is = "bar: share of the layer’s {} removed, full is 100 %"

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.heading(0, "Accuracy while filters are removed")
        self._make_curve(self.chart(*self.curve))
        self._make_payers()
        at = self.layers_at
        self.heading(0, "Where the filters went", at)
        self.where = self.label(self.width, at, ha="right")
        self.strip = Strip(self, 20, self.width - 24, at + 78, at + 10)
        self.foot = at + 42
        self.slots = PolyCollection([], facecolor=GREY_TINT, lw=0, zorder=1)
        self.bars = PolyCollection([], facecolor=BLUE, lw=0, zorder=2)
        for collection in (self.slots, self.bars):
            self.page.add_collection(collection)
        self.shares: list[Text] = []
        self.figure_texts: list[Text] = []

    # ------------------------------------------------------------------ making
    def _make_curve(self, axes: Axes) -> None:
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.set_yticklabels(["0", "50", typeset("100 %")])
        axes.spines["bottom"].set(lw=4, color=LINES)
        axes.tick_params(axis="x", pad=13)  # below the ring
        self.columns: list[Rectangle] = []
        self.band = axes.fill_between([0, 1], [0, 0], [0, 0], color=GREY_TINT, lw=0, zorder=1)
        self.ranges = LineCollection([], colors=BLUE, lw=1, alpha=0.6, zorder=2)
        axes.add_collection(self.ranges)
        edge: dict[str, Any] = {"mec": PAPER, "mew": 1, "clip_on": False}
        ring: dict[str, Any] = {"mfc": PAPER, "mec": GREY, "mew": 1.6, "ls": "", "clip_on": False}
        (self.random,) = axes.plot([], [], ":", color=GREY, lw=2, marker="s", ms=4, mfc=PAPER)
        (self.ghost,) = axes.plot([], [], color=INK, lw=1.2, marker="o", ms=6, mfc="none")
        (self.loser,) = axes.plot([], [], "--", color=ORANGE, lw=2.2, marker="D", ms=5, **edge)
        (self.accuracy,) = axes.plot([], [], color=BLUE, lw=2.2, marker="o", ms=6, **edge)
        self.loser.set_zorder(2.6)  # not under the axis
        self.line = axes.axvline(0, color=BLUE, lw=1.6, zorder=2.5)
        (self.at_random,) = axes.plot([], [], marker="s", ms=9, **ring)
        (self.at_loser,) = axes.plot([], [], "D", color=ORANGE, ms=10, zorder=4, **edge)
        (self.at,) = axes.plot([], [], "o", color=BLUE, ms=12, zorder=4, **edge)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        (self.here,) = axes.plot([0], [0], "o", ms=18, mfc=PAPER, mec=BLUE, mew=2.2, **foot)
        self.here.set_zorder(12)
        left, _, wide, _ = self.curve
        self.hint = self.label(left + wide / 2, 217, ha="center")
        x = self.list_at
        self.listed = [(self.text(x, 0), self.text(x + 44, 0)) for _ in range(4)]
        self.level = self.label(x, 38)
        self.named: tuple[Any, ...] = ()
        self.places: list[tuple[float, float] | None] = []
        behind = {"facecolor": PAPER, "alpha": 0.92, "lw": 0, "pad": 1}
        self.called = [
            self.text(0, 0, ha="center", va="center", color=colour, fontweight=weight, bbox=behind)
            for colour, weight in ((BLUE, "bold"), (GREY, "normal"), (ORANGE, "bold"))
        ]
        self.axes = axes

    def _make_payers(self) -> None:
        (left, top), (low, high) = self.payers, self.ends
        self.paid = self.heading(left, y=top + 14)
        self.label(self.width, top + 14, "change, points", ha="right")
        self.rows = [top + 30 + 16.3 * k for k in range(SHOWN)]
        self.tint = Rectangle((left, 0), self.width - left, 16, color=BLUE_TINT, lw=0, zorder=-2)
        self.page.add_patch(self.tint)
        self.guides = LineCollection([], colors=HAIR, lw=1, zorder=-1)
        self.losses = LineCollection([], lw=3, capstyle="butt", zorder=1)
        for collection in (self.guides, self.losses):
            self.page.add_collection(collection)
        plain: dict[str, Any] = {"ls": "", "mec": PAPER, "mew": 1}
        ring: dict[str, Any] = {"ls": "", "mfc": PAPER, "mew": 1.4}
        (self.drawn,) = self.page.plot([], [], marker="s", ms=7, mec=GREY, **ring)
        (self.whole,) = self.page.plot([], [], marker="o", ms=8, mec=INK, **ring)
        (self.kept,) = self.page.plot([], [], "o", ms=7, color=INK, **plain)
        (self.lost,) = self.page.plot([], [], "D", ms=8, color=ORANGE, **plain)
        self.names = [self.text(low - 10, 0, ha="right") for _ in self.rows]
        self.points = [self.text(self.width, 0, ha="right") for _ in self.rows]
        for x, words in ((low, "0"), ((low + high) / 2, "50"), (high, "100 %")):
            self.label(x, top + 200, typeset(words), ha="center")
        self.label(low - 10, top + 200, "accuracy", ha="right")
        self.legend = self.label(left, top + 217)
        self.targets = []
        for y in self.rows:
            style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            target = Rectangle((left, y - 8), self.width - left, 16, **style)
            self.page.add_patch(target)
            self.targets.append(target)

    # ------------------------------------------------------------------ showing
    def show(
        self,
        result: Pruning,
        pinned: Pruning | None,
        level: float,
        layer: str | None,
        payer: int | None,
    ) -> None:
        """Move every artist to a level of ``result``, which may not be computed yet."""
        place = result.place_of(level)
        self._show_curve(result, pinned, level, place or 0, payer)
        if place is None:
            self._write_list(level, [])
            done, asked = len(result.levels), len(result.asked)
            words = ("comes next; evaluated", f"so far: {done} of {asked} levels")
            self.figure_texts += [
                self.label(self.list_at, 60 + 19 * k, it) for k, it in enumerate(words)
            ]
        else:
            self._show_list(result, pinned, place, payer)
        self._show_payers(result, level, place, payer)
        self._show_layers(result, place, layer)

    def _show_curve(
        self,
        result: Pruning,
        pinned: Pruning | None,
        here: float,
        place: int,
        payer: int | None,
    ) -> None:
        levels, accuracy, asked = result.levels, result.accuracy, result.asked
        one = result.loser(place) if payer is None else payer
        of_one = result.class_accuracy[0, :, one]
        drawn = accuracy[1:]
        self.accuracy.set_data(asked, result.spread(accuracy[0]))
        self.loser.set_data(asked, result.spread(of_one))
        self.random.set_data(asked, result.spread(drawn.mean(0)))
        self.band.set_data(asked, result.spread(drawn.min(0)), result.spread(drawn.max(0)))
        ends = [wilson(hit) for hit in result.hit[0]]
        self.ranges.set_segments(
            [[(x, low), (x, high)] for x, (low, high) in zip(levels, ends, strict=True)]
        )
        self.ghost.set_data([], [])
        if pinned is not None:
            self.ghost.set_data(pinned.asked, pinned.spread(pinned.accuracy[0]))
        self.line.set_xdata([here, here])
        self.at.set_data([here], [accuracy[0, place]])
        self.at_random.set_data([here], [drawn[:, place].mean()])
        self.at_loser.set_data([here], [of_one[place]])
        for artist in (self.loser, self.at_loser):
            artist.set_visible(payer is not None or result.hurts(place))
            artist.set_color(ORANGE if result.pays(one, place) else INK)
            artist.set_markeredgecolor(PAPER)
        self.at_random.set_visible(place > 0)
        self.at.set_visible(here == levels[place])
        highest = max(result.asked[-1], 0.01)
        self.axes.set_xlim(0, highest)
        ticks = np.linspace(0, 1, 11 if highest > 0.4 else 21)
        ticks = ticks[ticks <= highest + 1e-9] if highest >= 0.1 else levels
        if highest > 0.5:
            ticks = ticks[::2]
        words = [f"{100 * tick:g}" for tick in ticks]
        self.axes.set_xticks(ticks, [*words[:-1], typeset(f"{words[-1]} %")])
        self.here.set_xdata([here])
        total = f"{result.total:,} {result.unit}"
        self.hint.set_text(f"drag: share of all {total} removed")
        handle = Handle(self.axes, 0, highest, here, stops=result.asked)
        self.handle(self.here, "level", f"share removed: {percent(here, 0)}", handle)
        self._show_columns(result)
        self._call_lines(highest, here, short(result.classes[one], 14))

    def _call_lines(self, highest: float, here: float, name: str) -> None:
        """Write beside each line what it is, away from the others and from that of the ring."""
        left, top, wide, high = self.curve
        told = (self.accuracy, "all images"), (self.random, "random"), (self.loser, name)

        def places(line: Any) -> np.ndarray:
            across, up = (np.asarray(it, float) for it in line.get_data())
            if not line.get_visible():
                up = np.full(len(up), np.nan)
            return np.stack([left + wide * across / highest, top + high * (1 - up)], axis=1)

        lines = [(places(line), words) for line, words in told]
        for text, (_, words) in zip(self.called, told, strict=True):
            text.set_text(words)
        self.called[2].set_color(self.loser.get_color())
        ghost = places(self.ghost)
        what = (name, ghost.tobytes(), *(line.tobytes() for line, _ in lines))
        if what != self.named:  # else another level of the same lines, whose names stay
            self.named, self.places = what, names_beside(lines, self.curve, [ghost])
        at = left + wide * here / highest
        found = names_aside(lines, self.curve, at, self.places, [ghost])
        for text, place in zip(self.called, found, strict=True):
            text.set(position=place or (0, 0), visible=place is not None)

    def _show_columns(self, result: Pruning) -> None:
        """Let every level be pointed at, and chosen, in its column."""
        levels = np.array(result.asked)
        edges = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, levels[-1:]])
        for patch in self.columns[len(levels) :]:
            patch.remove()
        del self.columns[len(levels) :]
        while len(self.columns) < len(levels):
            style: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.004, "lw": 0, "zorder": 9}
            self.columns.append(Rectangle((0, 0), 0, 1, **style))
            self.axes.add_patch(self.columns[-1])
        for place, patch in enumerate(self.columns):
            patch.set(x=edges[place], width=edges[place + 1] - edges[place])
            self.hover(
                patch,
                sentences.of_level(result, float(levels[place])),
                f"level:{levels[place]:.6g}",
            )

    def _show_list(
        self, result: Pruning, pinned: Pruning | None, place: int, payer: int | None
    ) -> None:
        """Write what stands at the level, in the order of the marks."""
        accuracy, losers = result.accuracy, result.losers(place)
        interval = f"95 % CI {span(*wilson(result.hit[0, place]), 0)}"
        drawn = accuracy[1:, place]
        told = [(accuracy[0, place], "all images", interval, BLUE, "bold")]
        if payer is not None:
            hits = result.hit[0, place][result.truth == payer]
            more = f"n = {len(hits)}, CI {span(*wilson(hits), 0)}" if len(hits) else "no images"
            colour = ORANGE if result.pays(payer, place) else INK
            share = hits.mean() if len(hits) else np.nan
            told.append((share, short(result.classes[payer], 14), more, colour, "bold"))
        elif result.hurts(place):
            name, others = short(result.classes[losers[0]], 14), len(losers) - 1
            most = f"and {others} more lose most" if others else "loses most"
            share = result.class_accuracy[0, place, losers[0]]
            told.append((share, name, most, ORANGE, "bold"))
        if place:
            ends = f"{span(drawn.min(), drawn.max(), 0)} in {len(drawn)} draws"
            if len(drawn) == 1:
                ends = "1 draw so far"
            told.append((drawn.mean(), "random removal", ends, GREY, ""))
        if pinned is not None and (there := pinned.place_of(result.levels[place])) is not None:
            told.append((pinned.accuracy[0, there], short(result.beside(pinned), 18), "", INK, ""))
        self._write_list(float(result.levels[place]), sorted(told, key=lambda it: -it[0]))

    def _write_list(self, level: float, told: list[tuple[float, str, str, str, str]]) -> None:
        self.level.set_text(f"at {percent(level, 0)} removed")
        for text in self.figure_texts:
            text.remove()
        self.figure_texts = []
        for pair in self.listed:
            for text in pair:
                text.set_text("")
        y = 60.0
        for (number, label), (share, said, more, colour, weight) in zip(
            self.listed, told, strict=False
        ):
            number.set(y=y, text=percent(share, 0), color=colour, fontweight="bold")
            label.set(y=y, text=said, color=colour, fontweight=weight or "normal")
            if more:
                self.figure_texts.append(self.label(self.list_at + 44, y + 15, more))
            y += 37 if more else 23

    def _show_payers(
        self, result: Pruning, level: float, known: int | None, payer: int | None
    ) -> None:
        place = known or 0
        before, after = (result.class_accuracy[0, where] for where in (0, place))
        drawn = result.class_accuracy[1:, place].mean(0)
        counts = np.bincount(result.truth, minlength=len(result.classes))
        change = after - before
        order = [k for k in np.argsort(np.nan_to_num(change), kind="stable") if counts[k]]
        left_out = max(len(order) - SHOWN, 0)
        order = order[:SHOWN]
        low, high = self.ends
        rows = self.rows[: len(order)]

        def across(share: Any) -> Any:
            return low + (high - low) * share

        pays = [result.pays(k, place) for k in order]
        after_it = f"Who pays for it, at {percent(level, 0)}"
        self.paid.set_text("Each class before removal" if known is None else after_it)
        self.guides.set_segments([[(low, y), (high, y)] for y in rows])
        self.losses.set_segments(
            [
                [(across(before[k]), y), (across(after[k]), y)]
                for k, y in zip(order, rows, strict=True)
            ]
        )
        self.losses.set_color([ORANGE if pay else MUTED for pay in pays])
        self.losses.set_linewidth([3.4 if pay else 2 for pay in pays])
        self.whole.set_data([across(before[k]) for k in order], rows)
        self.drawn.set_data(
            [across(drawn[k]) for k in order] if place else [], rows if place else []
        )
        for marks, wanted in ((self.kept, False), (self.lost, True)):
            some = [
                (across(after[k]), y)
                for k, y, pay in zip(order, rows, pays, strict=True)
                if bool(pay) is wanted and known is not None
            ]
            marks.set_data([x for x, _ in some], [y for _, y in some])
        for number, (name, points, target) in enumerate(
            zip(self.names, self.points, self.targets, strict=True)
        ):
            there = number < len(order)
            target.set_visible(there)
            name.set_text("")
            points.set_text("")
            if not there:
                continue
            k, y, pay = order[number], rows[number], pays[number]
            colour, weight = (ORANGE, "bold") if pay else (INK, "normal")
            name.set(y=y + 4, text=short(result.classes[k], 13), color=colour, fontweight=weight)
            said = signed(change[k] * 100, 0) if round(change[k] * 100) else "0"
            said = said if known is not None else ""
            points.set(y=y + 4, text=said, color=colour, fontweight=weight)
            self.hover(target, sentences.of_class(result, k, place), f"payer:{k}")
        self.tint.set_visible(payer in order)
        if payer in order:
            self.tint.set_y(rows[order.index(payer)] - 8)
        few = sorted(counts[order].tolist())
        each = f"n = {few[0]:,}" + f"–{few[-1]:,}" * (few[-1] > few[0])
        every = f", {len(order)} of {len(order) + left_out:,} classes" if left_out else " each"
        count = len(result.logits) - 1
        mean = f"□ {count} random draw{'s' * (count > 1)}"
        told = ("○ whole", "●◆ pruned", mean, each + every)
        self.legend.set_text("\u00a0\u00a0 ".join(told))

    def _show_layers(self, result: Pruning, known: int | None, layer: str | None) -> None:
        place = known or 0
        whole = dict(zip(result.layers, result.left[0, 0], strict=True))
        left = dict(zip(result.layers, result.left[0, place], strict=True))
        names = result.plan.names
        share = np.array([1 - left[name] / whole[name] for name in names])
        x = self.strip.x(result.plan)
        wide = max(min(14.0, 0.5 * self.strip.unit(result.plan)), 2.0) / 2

        def boxes(shares: np.ndarray) -> list[list[tuple[float, float]]]:
            """Return upright boxes; all layers at all levels have one scale."""
            return [
                [(at - wide, foot), (at + wide, foot), (at + wide, y), (at - wide, y)]
                for at, y, gone in zip(x, foot - HIGHEST * shares, shares, strict=True)
                if gone > 0
            ]

        foot = self.foot
        free = {name for group in result.groups for name in group}
        can = [result.criterion == "magnitude" or name in free for name in names]
        self.slots.set_verts(boxes(np.array(can, float)))
        self.bars.set_verts(boxes(share))
        self._write_shares(x, share)
        told = {name: sentences.of_layer(result, name, place) for name in names}
        chosen = layer if layer in told else None
        what = "weights" if result.criterion == "magnitude" else "filters"
        words, colour = self.bar_is.format(what) + _most_removed(names, share), MUTED
        if known is None:
            words = "this level comes next"
        elif chosen is not None:
            words, colour = told[chosen], BLUE
        self.where.set(text=typeset(words), color=colour)
        self.strip.show(result.plan, told, chosen)

    def _write_shares(self, x: np.ndarray, share: np.ndarray) -> None:
        """Write the largest shares above their bars, and those that are equal to the least."""
        for text in self.shares:
            text.remove()
        self.shares, taken, least = [], list[float](), 0.0
        whole = np.rint(100 * share)
        for k in np.argsort(-whole, kind="stable"):
            enough = len(taken) >= LABELLED and whole[k] < least
            if not whole[k] or enough:
                break
            if all(abs(x[k] - other) > 34 for other in taken):
                taken.append(x[k])
                least = whole[k]
                style: dict[str, Any] = {"ha": "center", "color": BLUE, "fontweight": "bold"}
                y = self.foot - HIGHEST * share[k] - 4
                self.shares.append(self.text(x[k], y, percent(share[k], 0), **style))


def _most_removed(names: tuple[str, ...], share: np.ndarray) -> str:
    """Say which layer lost the largest share, and how many lost as much."""
    if not share.any():
        return ""
    most = np.flatnonzero(np.rint(100 * share) == np.rint(100 * share.max()))
    others = f" and {len(most) - 1} more" if len(most) > 1 else ""
    return f"; most in {short(names[most[0]], 24)}{others}"


class Narrow(Sweep):
    """The same on a narrow page, with the classes below the curve."""

    width, height = 640, 582
    curve = (44, 28, 380, 155)
    list_at = 448
    payers = (0, 226)
    ends = (110, 560)
    layers_at = 464
    bar_is = "bar: share removed"
