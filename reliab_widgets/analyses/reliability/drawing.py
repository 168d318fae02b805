"""The picture of a reliability analysis: artists made once, moved for every new result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from ...core.drawing import BLUE, GREY, INK, SKY, VERMILLION, YELLOW, Drawing, plain
from ...ops.calibration.bins import Bins
from ...ops.calibration.calibrators import Temperature
from ...ops.calibration.metrics import METRICS, NAMES, value

if TYPE_CHECKING:
    from .result import Reliability

COUNT_TICKS = [step * 10**power for power in range(6) for step in (1, 2, 5)]


class Diagram(Drawing):
    """Reliability diagram and its counts on the left, metrics and NLL(T) on the right."""

    size = (6.6, 3.2)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self._make_diagram(figure.add_axes((0.088, 0.345, 0.462, 0.585)))
        self._make_counts(figure.add_axes((0.088, 0.115, 0.462, 0.155)))
        self._make_table(figure.add_axes((0.585, 0.44, 0.405, 0.50)))
        self._make_curve(figure.add_axes((0.645, 0.115, 0.285, 0.245)))

    def _make_diagram(self, axes: Axes) -> None:
        plain(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="")
        axes.tick_params(labelbottom=False)
        self.title = axes.set_title("", loc="left", y=1.0, fontsize=9, color=INK, parse_math=False)
        self.band = Rectangle((0, 0), 0, 1.02, color=YELLOW, alpha=0.25, lw=0)
        axes.add_patch(self.band)
        self.empty = PolyCollection(
            [], facecolor="none", edgecolor="#9a9a9a55", hatch="////", linewidth=0
        )
        (diagonal,) = axes.plot([0, 1], [0, 1], ":", color=GREY, lw=1.2)
        self.pinned = axes.scatter([], [], marker="D", facecolor="none", edgecolor=YELLOW, lw=1.3)
        self.stems = LineCollection([], colors=BLUE, lw=3, alpha=0.45)
        self.bars = LineCollection([], colors=INK, lw=0.9)
        for collection in (self.empty, self.stems, self.bars):
            axes.add_collection(collection)
        self.before = axes.scatter([], [], facecolor="none", edgecolor=VERMILLION, lw=1.3)
        self.after = axes.scatter([], [], facecolor=BLUE, edgecolor=BLUE, lw=1, zorder=3)
        for points in (self.pinned, self.before, self.after):
            points.set_clip_on(False)  # at 100 % sure and right, a point is a whole one too
        keys = [diagonal, *(axes.scatter([], [], s=34, marker=m) for m in "ooD")]
        keys[1].set(facecolor=BLUE, edgecolor=BLUE)
        keys[2].set(facecolor="none", edgecolor=VERMILLION)
        keys[3].set(facecolor="none", edgecolor=YELLOW)
        legend = axes.legend(
            keys,
            ["perfectly calibrated", "after", "before", "pinned"],
            loc="upper left",
            fontsize=8,
            frameon=False,
            labelcolor=INK,
            borderpad=0.1,
        )
        handles = [handle for handle in legend.legend_handles if handle is not None]
        self.keys = list(zip(handles, legend.get_texts(), strict=True))
        self.share = axes.yaxis.label
        self.share.set_parse_math(False)
        self.axes = axes
        self.targets: list[Rectangle] = []

    def _make_counts(self, axes: Axes) -> None:
        plain(axes)
        axes.set(xlim=(0, 1), ylabel="images")
        self.axis = axes.set_xlabel("", parse_math=False)
        self.counts = PolyCollection([], facecolor=SKY, edgecolor=BLUE, lw=0.5)
        axes.add_collection(self.counts)
        self.says = axes.axvline(0, color=VERMILLION, lw=1.4, ls="--")
        self.right = axes.axvline(0, color=INK, lw=1.4)
        self.count_axes = axes

    def _make_table(self, axes: Axes) -> None:
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(len(METRICS) + 1.9, -0.6))
        columns = ((0.0, "left"), (0.45, "right"), (0.66, "right"), (1.0, "right"))
        self.cells = [
            [
                axes.text(x, row, "", ha=side, va="center", fontsize=8, color=INK)
                for x, side in columns
            ]
            for row in range(len(METRICS) + 3)
        ]
        for cell in self.cells[0]:
            cell.set_fontweight("bold")

    def _make_curve(self, axes: Axes) -> None:
        plain(axes)
        axes.set_xscale("log")
        axes.set_xlabel("temperature T")
        axes.set_ylabel("NLL (nats) —")
        axes.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5, 10]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(["0.2", "0.5", "1", "2", "5", "10"])
        other = axes.twinx()
        plain(other)
        other.spines["right"].set_visible(True)
        other.spines["right"].set_color(INK)
        other.set_ylabel("ECE (%) ┄")
        other.yaxis.set_label_coords(1 + 24 / 135, 0.5)
        (self.nll,) = axes.plot([], [], color=BLUE, lw=1.5)
        (self.ece,) = other.plot([], [], color=VERMILLION, lw=1.5, ls="--")
        self.here = axes.axvline(1, color=INK, lw=1)
        self.curve_axes, self.ece_axes = axes, other

    def show(self, result: Reliability, pinned: Reliability | None, selected: int) -> None:
        """Move every artist to the numbers of ``result``."""
        self._show_diagram(result, pinned, selected)
        self._show_counts(result)
        self._show_table(result)
        self._show_curve(result)

    def _show_diagram(self, result: Reliability, pinned: Reliability | None, selected: int) -> None:
        bins = result.after
        filled = bins.count > 0
        x, y = bins.confidence[filled], bins.accuracy[filled]
        self.stems.set_segments(list(np.stack([[x, x], [y, x]]).transpose(2, 1, 0)))
        low, high = bins.accuracy_low[filled], bins.accuracy_high[filled]
        self.bars.set_segments(list(np.stack([[x, x], [low, high]]).transpose(2, 1, 0)))
        _points(self.after, bins)
        _points(self.before, result.before if result.method != "none" else None)
        _points(self.pinned, None if pinned is None else pinned.after)
        self.empty.set_verts(
            [_box(bins.low[b], bins.high[b], 1.02) for b in np.flatnonzero(~filled)]
        )
        self.band.set_x(bins.low[selected])
        self.band.set_width(bins.high[selected] - bins.low[selected])
        kind = {"top": "its answer", "all": "every class"}.get(result.label, result.label)
        self.title.set_text(f"Confidence in {kind}: is it kept?  (n = {result.n:,})")
        self.axis.set_text(f"confidence in {kind}")
        self.share.set_text(
            {"top": "share that is right", "all": "share that is true"}.get(
                result.label, f"share that is {result.label}"
            )
        )
        calibrated = result.method != "none"
        texts = ["perfectly calibrated", "after" if calibrated else "as it is"]
        texts += ["before"] * calibrated + ["pinned"] * (pinned is not None)
        used = [True, True, calibrated, pinned is not None]
        for (handle, text), shown in zip(self.keys, used, strict=True):
            handle.set_visible(shown)
            text.set_text(texts.pop(0) if shown else "")
        while len(self.targets) < len(bins.count):
            # Almost transparent, because what is not painted cannot be pointed at.
            patch = Rectangle((0, 0), 0, 1.02, facecolor="white", alpha=0.004, lw=0, zorder=9)
            self.axes.add_patch(patch)
            self.targets.append(patch)
        for number, patch in enumerate(self.targets):
            patch.set_visible(number < len(bins.count))
            if number < len(bins.count):
                patch.set_x(bins.low[number])
                patch.set_width(bins.high[number] - bins.low[number])
                self.hover(patch, result.describe(number))

    def _show_counts(self, result: Reliability) -> None:
        bins = result.after
        heights = np.sqrt(bins.count)
        self.counts.set_verts(
            [
                _box(low, high, height)
                for low, high, height in zip(bins.low, bins.high, heights, strict=True)
                if height
            ]
        )
        top = max(t for t in COUNT_TICKS if t <= max(bins.count.max(), 1))
        ticks = [t for t in (top // 10, top) if t]
        self.count_axes.set_ylim(0, max(heights.max(), 1) * 1.05)
        self.count_axes.set_yticks(
            np.sqrt(ticks), [f"{t}" if t < 1000 else f"{t // 1000}k" for t in ticks]
        )
        says, right = float(result.confidence.mean()), float(result.hit.mean())
        self.says.set_xdata([says, says])
        self.right.set_xdata([right, right])
        self.hover(self.says, f"mean confidence {says:.1%}")
        self.hover(self.right, f"{self.share.get_text()} {right:.1%}")

    def _show_table(self, result: Reliability) -> None:
        calibrated = result.method != "none"
        rows = [
            (
                "",
                "before" if calibrated else "",
                "after" if calibrated else "value",
                f"{result.knobs['interval'] * 100:g} % interval",
            )
        ]
        for k, name in enumerate(METRICS):
            before, after = (
                value(name, v[k]) for v in (result.metrics_before, result.metrics_after)
            )
            low, high = (value(name, v[k]) for v in (result.metrics_low, result.metrics_high))
            same = calibrated and before == after
            rows.append(
                (
                    NAMES[name],
                    before if calibrated else "",
                    ("= " if same else "") + after,
                    f"{low.removesuffix(' %')}–{high}",
                )
            )
        rows.append(("ECE if perfect", "", value("ece", result.ece_floor), "at this n"))
        fitted = not np.isnan(result.ece_fit)
        rows.append(
            ("ECE, fit set", "", value("ece", result.ece_fit), "not held out")
            if fitted
            else ("",) * 4
        )
        for cells, row in zip(self.cells, rows, strict=True):
            for cell, text in zip(cells, row, strict=True):
                cell.set_text(text)

    def _show_curve(self, result: Reliability) -> None:
        t = result.curve_temperature
        self.nll.set_data(t, result.curve_nll)
        self.ece.set_data(t, result.curve_ece * 100)
        self.curve_axes.set_xlim(t[0], t[-1])
        self.curve_axes.set_ylim(result.curve_nll.min() * 0.9, np.median(result.curve_nll) * 1.6)
        self.ece_axes.set_ylim(0, max(result.curve_ece.max() * 105, 1))
        calibrator = result.calibrator
        here = calibrator.temperature if isinstance(calibrator, Temperature) else 1.0
        self.here.set_xdata([here, here])
        self.here.set_visible(result.method in ("none", "temperature"))
        self.hover(self.here, f"T = {here:.2f}")


def _points(collection: PathCollection, bins: Bins | None) -> None:
    if bins is None:
        collection.set_offsets(np.empty((0, 2)))
        return
    filled = bins.count > 0
    collection.set_offsets(np.stack([bins.confidence[filled], bins.accuracy[filled]], axis=1))
    collection.set_sizes(8 + 60 * np.sqrt(bins.count[filled] / bins.count.sum()))


def _box(low: float, high: float, height: float) -> list[tuple[float, float]]:
    return [(low, 0), (high, 0), (high, height), (low, height)]
