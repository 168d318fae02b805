"""The picture of a pruning analysis: artists made once, moved for every new level."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from ...core.drawing import BLUE, GREEN, GREY, INK, SKY, VERMILLION, YELLOW, Drawing, plain, short
from ...core.wording import percent
from ...ops.calibration.bins import binned

if TYPE_CHECKING:
    from .result import Pruning

BINS = np.linspace(0, 1, 11)
_NAME = 10  # letters of a class that fit under a bar


class Sweep(Drawing):
    """All levels above; classes, layers and confidences at one of them below."""

    size = (6.6, 3.4)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self._make_sweep(figure.add_axes((0.075, 0.60, 0.655, 0.34)))
        self.class_axes = figure.add_axes((0.075, 0.165, 0.27, 0.265))
        self.layer_axes = figure.add_axes((0.425, 0.165, 0.305, 0.265))
        self._make_mini(figure.add_axes((0.80, 0.165, 0.175, 0.265)))
        for axes in (self.class_axes, self.layer_axes):
            plain(axes)
        (self.zero,) = self.class_axes.plot([0, 1], [0, 0], color=INK, lw=0.8)
        self.class_title = _title(self.class_axes)
        self.layer_title = _title(self.layer_axes)
        self.layer_axes.set_xlabel("layers, from first to last")
        self.layer_axes.set_xticks([])
        self.bars: dict[Axes, list[Rectangle]] = {self.class_axes: [], self.layer_axes: []}

    def _make_sweep(self, axes: Axes) -> None:
        plain(axes)
        axes.set(ylim=(0, 1.02))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        self.title = _title(axes)
        self.below = axes.set_xlabel("", parse_math=False)
        self.here = axes.axvline(0, color=YELLOW, lw=6, alpha=0.35)
        self.chance = axes.axhline(0, color=GREY, lw=1, ls=":")
        self.spread = axes.fill_between([0, 1], [0, 0], [0, 0], color=GREY, alpha=0.2, lw=0)
        self.ranges = LineCollection([], colors=BLUE, lw=1)
        axes.add_collection(self.ranges)
        (self.random,) = axes.plot([], [], color=GREY, ls="--", lw=1.3)
        (self.ghost,) = axes.plot([], [], color=YELLOW, lw=1.5, marker="D", ms=4, mfc="none")
        (self.worst,) = axes.plot([], [], color=VERMILLION, lw=1, marker="X", ms=5)
        (self.ece,) = axes.plot([], [], color=GREEN, lw=1, marker="d", ms=4.5)
        (self.accuracy,) = axes.plot([], [], color=BLUE, lw=1.6, marker="o", ms=5)
        self.sweep_axes = axes
        # Beside the lines, where nothing can be in their way.
        beside = axes.get_figure().add_axes((0.745, 0.60, 0.25, 0.34))  # type: ignore[union-attr]
        beside.set_axis_off()
        self.legend = beside.legend(
            [self.accuracy, self.worst, self.ece, self.random, self.chance, self.ghost],
            [""] * 6,
            loc="upper left",
            fontsize=8,
            frameon=False,
            labelcolor=INK,
            borderpad=0,
            borderaxespad=0,
        )

    def _make_mini(self, axes: Axes) -> None:
        plain(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xlabel("confidence")
        axes.plot([0, 1], [0, 1], ":", color=GREY, lw=1.2)
        self.dense = axes.scatter(
            [], [], facecolor="none", edgecolor=GREY, lw=1.2, clip_on=False, zorder=3
        )
        self.pruned = axes.scatter(
            [], [], facecolor=BLUE, edgecolor=BLUE, marker="D", lw=0.8, clip_on=False, zorder=3
        )
        self.mini_title = _title(axes)
        self.mini_title.set_text("share right")

    def show(
        self,
        result: Pruning,
        pinned: Pruning | None,
        place: int,
        temperature: str,
        image: int | None,
    ) -> None:
        """Move every artist to a level of ``result``."""
        self._show_sweep(result, pinned, place, temperature)
        self._show_classes(result, place)
        self._show_layers(result, place)
        self._show_mini(result, place, temperature, image)

    def _show_sweep(
        self, result: Pruning, pinned: Pruning | None, place: int, temperature: str
    ) -> None:
        levels, accuracy = result.levels, result.accuracy
        ece = result.calibration[f"ece {temperature}"]
        self.accuracy.set_data(levels, accuracy[0])
        self.worst.set_data(levels, result.worst[0])
        self.ece.set_data(levels, ece[0])
        half = 1.96 * np.sqrt(accuracy[0] * (1 - accuracy[0]) / result.n)
        ends = np.stack([accuracy[0] - half, accuracy[0] + half]).clip(0, 1)
        self.ranges.set_segments(list(np.stack([np.stack([levels] * 2), ends]).transpose(2, 1, 0)))
        drawn = accuracy[1:]
        self.random.set_data(levels, drawn.mean(0))
        self.spread.set_data(levels, drawn.min(0), drawn.max(0))
        self.here.set_xdata([levels[place]] * 2)
        guess = np.bincount(result.truth).max() / result.n
        self.chance.set_ydata([guess, guess])
        shown = pinned is not None
        self.ghost.set_visible(shown)
        if pinned is not None:
            self.ghost.set_data(pinned.levels, pinned.accuracy[0])
        texts = [
            f"accuracy {percent(accuracy[0, place])}",
            f"worst class {percent(result.worst[0, place])}",
            f"ECE {percent(ece[0, place])}",
            f"random removal {percent(drawn[:, place].mean())}",
            f"largest class {percent(guess)}",
            "pinned" if shown else "",
        ]
        for text, words in zip(self.legend.get_texts(), texts, strict=True):
            text.set_text(words)
        for handle in self.legend.legend_handles[-1:]:
            if handle is not None:
                handle.set_visible(shown)
        for line, words in (
            (self.accuracy, "accuracy, with its 95 % interval"),
            (self.worst, "accuracy of the class that is worst off"),
            (self.ece, f"expected calibration error, temperature {temperature}"),
            (self.random, f"accuracy after {len(drawn)} random removals: mean, and range"),
            (self.chance, "share of the largest class: what always naming it gives"),
        ):
            self.hover(line, words)
        self.title.set_text(f"{result.criterion}: who pays?  (n = {result.n:,})")
        self.below.set_text(f"{result.unit} removed (%)")
        highest = max(levels[-1], 0.01)
        self.sweep_axes.set_xlim(-0.03 * highest, highest * 1.03)
        ticks = np.linspace(0, 1, 11)
        ticks = ticks[ticks <= highest + 1e-9] if highest >= 0.2 else levels
        self.sweep_axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])

    def _show_classes(self, result: Pruning, place: int) -> None:
        change = np.nan_to_num(result.class_accuracy[0, place] - result.class_accuracy[0, 0]) * 100
        drawn = result.class_accuracy[1:, place].mean(0) * 100
        order = np.argsort(change, kind="stable")
        worst = change.min()

        def words(spot: int) -> str:
            number = order[spot]
            before = result.class_accuracy[0, 0, number]
            after = result.class_accuracy[0, place, number]
            return (
                f"{result.classes[number]}: {percent(before)} before, {percent(after)} after; "
                f"random removal {drawn[number]:.1f} %"
            )

        bars = self._bars(self.class_axes, len(order), words)
        for bar, number in zip(bars, order, strict=False):
            bar.set_height(change[number])
            bar.set_facecolor(VERMILLION if change[number] < 0 else SKY)
        names = [short(result.classes[number], _NAME) for number in order]
        if len(names) > 12:
            names = [names[0], *[""] * (len(names) - 2), names[-1]]
        self.class_axes.set_xticks(
            np.arange(len(order)),
            names,
            rotation=60,
            ha="right",
            rotation_mode="anchor",
            parse_math=False,
        )
        self.class_axes.tick_params(axis="x", labelsize=7, length=0)
        self.class_axes.set_xlim(-0.6, len(order) - 0.4)
        self.zero.set_xdata([-0.6, len(order) - 0.4])
        self.class_axes.set_ylim(min(worst, -5) * 1.08, max(change.max(), 1) * 1.2)
        self.class_title.set_text(f"points, per class, at {result.levels[place]:.0%}")

    def _show_layers(self, result: Pruning, place: int) -> None:
        whole = result.left[0, 0]
        share = 1 - result.left[0, place] / whole
        drawn = 1 - result.left[1:, place].mean(0) / whole

        def words(spot: int) -> str:
            gone = whole[spot] - result.left[0, place, spot]
            what = "weights" if result.criterion == "magnitude" else "filters"
            return (
                f"{result.layers[spot]}: {gone:,} of {whole[spot]:,} {what} removed "
                f"({share[spot]:.0%}); at random {drawn[spot]:.0%}"
            )

        bars = self._bars(self.layer_axes, len(share), words)
        for bar, height in zip(bars, share, strict=False):
            bar.set_height(height)
            bar.set_facecolor(BLUE)
        self.layer_axes.set_xlim(-0.6, len(share) - 0.4)
        top = max(0.25, np.ceil(share.max() * 4) / 4)
        self.layer_axes.set_ylim(0, top * 1.02)
        self.layer_axes.set_yticks([0, top / 2, top], ["0", f"{50 * top:g}", f"{100 * top:g} %"])
        self.layer_title.set_text("really removed, per layer")

    def _bars(self, axes: Axes, count: int, words: Callable[[int], str]) -> list[Rectangle]:
        bars = self.bars[axes]
        while len(bars) < count:
            bar = Rectangle((len(bars) - 0.4, 0), 0.8, 0, lw=0)
            axes.add_patch(bar)
            # Almost transparent, because what is not painted cannot be pointed at.
            target = Rectangle(
                (len(bars) - 0.5, -200), 1, 400, facecolor="white", alpha=0.004, lw=0, zorder=9
            )
            axes.add_patch(target)
            bars.append(bar)
            bar._target = target  # type: ignore[attr-defined]
        for number, bar in enumerate(bars):
            bar.set_visible(number < count)
            bar._target.set_visible(number < count)  # type: ignore[attr-defined]
            if number < count:
                self.hover(bar._target, words(number))  # type: ignore[attr-defined]
        return bars

    def _show_mini(self, result: Pruning, place: int, temperature: str, image: int | None) -> None:
        names = ("the whole network", f"at {result.levels[place]:.0%}")
        for points, where, name in zip((self.dense, self.pruned), (0, place), names, strict=True):
            p = result.probabilities(where, temperature)
            bins = binned(p.max(1), result.hit[0, where], BINS)
            filled = bins.count > 0
            points.set_offsets(np.stack([bins.confidence[filled], bins.accuracy[filled]], axis=1))
            points.set_sizes(5 + 40 * np.sqrt(bins.count[filled] / result.n))
            words = "".join(
                f"; image {image}: says {result.classes[p[row].argmax()]} {p[row].max():.0%}"
                for row in np.flatnonzero(result.index == image)[:1]
            )
            self.hover(points, name + words)


def _title(axes: Axes) -> Text:
    return axes.set_title("", loc="left", y=1.0, fontsize=9, color=INK, parse_math=False)
