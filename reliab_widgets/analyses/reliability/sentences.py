"""What a reliability analysis found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.wording import counted, percent, signed, span
from ...ops.calibration.calibrators import BinwiseTemperature, Temperature
from ...ops.calibration.metrics import METRICS

if TYPE_CHECKING:
    from .result import Reliability

FEW = 50
"""Images below which calibration is not judged."""
EVEN = 0.005
"""Up to this gap a promise is kept."""


def reading(result: Reliability, bin: int | None = None) -> str:
    """Say what was found, by how much it may be off, and what a perfect model would show.

    Of a chosen bin it says what lies in it, instead of the numbers that stand in the picture.
    """
    if result.method == "none":
        finding, told = _promise(result), f"ECE {percent(result.metric('ece'))} ({_n(result)})"
    else:
        finding, told = _repair(result), f"{_n(result)}{_turned(result)}"
    told = told if bin is None else f"Bin {described(result, bin)}"
    return f"{finding}. {told[0].upper()}{told[1:]}. {_control(result)}."


def reach(result: Reliability, number: int) -> str:
    """Say between which confidences a bin lies: "80–87 %", with decimals where it is narrow."""
    low, high = result.after.low[number], result.after.high[number]
    apart = (k for k in range(9) if f"{100 * low:.{k}f}" != f"{100 * high:.{k}f}")
    return span(low, high, next(apart, 9))


def described(result: Reliability, number: int) -> str:
    """Say what lies in a bin of the diagram after calibration."""
    bins, count = result.after, int(result.after.count[number])
    if count == 0:
        return f"{reach(result, number)}: no data"
    right = round(bins.accuracy[number] * count)
    what = {"top": "right", "all": "true"}.get(result.label, result.label)
    return (
        f"{reach(result, number)}: {what} {right:,} of {count:,} = "
        f"{percent(bins.accuracy[number])} "
        f"({span(bins.accuracy_low[number], bins.accuracy_high[number])}), "
        f"says {percent(bins.confidence[number])}"
    )


def _promise(result: Reliability) -> str:
    """Say what the network says of itself, and how often that comes true."""
    says, right = _sides(result)
    what = "is right" if result.label in ("top", "all") else f"is {result.label}"
    topic = "" if what == "is right" else f" about {result.label}"
    told = f"says {percent(says)} on average and {what} {percent(right)} of the time"
    if result.n < FEW or result.metric("ece", "before") <= result.ece_floor:
        return f"{result.subject} {told}"
    if abs(says - right) < EVEN:
        return f"{result.subject} keeps its promise{topic} on average: it {told}"
    gap = says - right
    return f"{result.subject} is {_side(gap)}-confident{topic} by {_points(gap)}: it {told}"


def _sides(result: Reliability) -> tuple[float, float]:
    """Return what the network says before the repair, and how often that comes true."""
    right = result.metric("accuracy", "before")
    if result.label not in ("top", "all"):  # one class: how often it is the true one
        right = float(result.hit.mean())
    return result.metric("confidence", "before"), right


def _repair(result: Reliability) -> str:
    before, after = (percent(result.metric("ece", it)) for it in ("before", "after"))
    change = result.metric("accuracy") - result.metric("accuracy", "before")
    # One accuracy may be that of other predictions; these two can change none.
    kept = isinstance(result.calibrator, Temperature | BinwiseTemperature)
    kept = kept and result.label in ("top", "all")
    does = "no prediction changes"
    does = does if kept else f"accuracy changes by {signed(change * 100)} points"
    return f"{_calibration(result)} ECE from {before} to {after}, {does}"


def _calibration(result: Reliability) -> str:
    calibrator = result.calibrator
    if isinstance(calibrator, Temperature):
        return f"Temperature {calibrator.temperature:.2f} takes"
    if isinstance(calibrator, BinwiseTemperature):
        low, high = calibrator.temperatures.min(), calibrator.temperatures.max()
        return f"Temperatures for each bin ({low:.2f}–{high:.2f}) take"
    return {
        "histogram": "Histogram binning takes",
        "isotonic": "Isotonic regression takes",
        "base-rates": "Always answering with base rates takes",
    }[result.method]


def _turned(result: Reliability) -> str:
    """Say on which side the promises were, and are."""
    says, right = _sides(result)
    gap = {"before": says - right if result.metric("ece", "before") > result.ece_floor else 0.0}
    if result.label in ("top", "all") and result.metric("ece") > result.ece_floor:
        gap["now"] = result.metric("confidence") - result.metric("accuracy")
    gap = {when: it for when, it in gap.items() if abs(it) >= EVEN and result.n >= FEW}
    told = [f"{_side(it)}-confident by {_points(it)} {when}" for when, it in gap.items()]
    if len(told) == 2:
        same = _side(gap["before"]) == _side(gap["now"])
        side = "" if same else f"{_side(gap['now'])}-confident "
        told[1] = f"{side}by {abs(gap['now']) * 100:.1f} now"
    return f"; {', '.join(told)}" if told else ""


def _n(result: Reliability) -> str:
    """Say between which values the error lies, and on how many images."""
    low, high = (it[METRICS.index("ece")] for it in (result.metrics_low, result.metrics_high))
    corrupted = result.knobs["corruption"]
    where = counted(result.n) + ("" if corrupted == "clean" else f", {corrupted}")
    return f"{result.knobs['interval'] * 100:g} % interval {span(low, high)}; {where}"


def _control(result: Reliability) -> str:
    floor = percent(result.ece_floor)
    if result.n >= FEW:
        return f"Control: a perfectly calibrated model would show {floor}"
    return (
        f"n = {result.n}: too few to judge calibration; a perfectly calibrated model would show "
        f"an ECE of {floor} at this n"
    )


def _side(gap: float) -> str:
    return "over" if gap > 0 else "under"


def _points(gap: float) -> str:
    return f"{abs(gap) * 100:.1f} points"
