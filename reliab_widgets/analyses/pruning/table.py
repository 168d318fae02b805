"""The table of a pruning analysis: every figure, with the interval it is known to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pandas import DataFrame

from ...ops.calibration.bins import wilson
from ...ops.calibration.metrics import METRICS, bootstrap
from ...ops.pruning.measures import ATTACKS, BINS, TEMPERATURES

if TYPE_CHECKING:
    from .result import Pruning

COLUMNS = ["criterion", "level", "round", "class", "metric", "value", "low", "high"]


def frame(result: Pruning) -> DataFrame:
    """Return one row a figure, the criterion first."""
    return DataFrame([*_own_rows(result), *_control_rows(result)], columns=COLUMNS)


def _round(result: Pruning, place: int) -> int:
    """Return in which ranking, from 1, the filters of a level were chosen."""
    highest = result.levels[-1]
    if place == 0 or highest == 0:
        return 0
    return int(np.ceil(result.levels[place] / highest * result.knobs["rounds"] - 1e-9))


def _shared(result: Pruning) -> dict[str, np.ndarray]:
    """Return what every series has, ``(S, L)``."""
    return {
        "accuracy": result.accuracy,
        "worst class": result.worst,
        "flips": result.flipped.mean(-1),
        **result.calibration,
        "temperature": result.temperatures,
        "parameters": result.parameters,
        "multiply-adds": result.multiply_adds,
        "size": result.size,
    }


def _own_rows(result: Pruning) -> list[tuple[Any, ...]]:
    nothing = (np.nan, np.nan)
    rows: list[tuple[Any, ...]] = []
    for place, level in enumerate(result.levels):
        start = (result.criterion, float(level), _round(result, place))
        intervals = {
            "accuracy": wilson(result.hit[0, place]),
            "flips": wilson(result.flipped[0, place]),
        }
        for temperature in TEMPERATURES:
            low, high = bootstrap(
                result.probabilities(place, temperature),
                result.truth,
                "top",
                bins=BINS,
                binning="width",
                interval=0.95,
                seed=0,
            )
            for name in ("confidence", "ece", "nll"):
                column = METRICS.index(name)
                intervals[f"{name} {temperature}"] = (low[column], high[column])
        for name, table in _shared(result).items():
            value = float(table[0, place])
            rows.append((*start, "all", name, value, *intervals.get(name, nothing)))
        for name, seconds in (
            ("seconds masked", result.seconds_masked[place]),
            ("seconds cut", result.seconds_cut[place]),
        ):
            if np.isfinite(seconds):
                rows.append((*start, "all", name, float(seconds), *nothing))
        if result.drift.size:
            value = float(np.median(result.drift[place]))
            low, high = np.quantile(result.drift[place], (0.25, 0.75))
            rows.append((*start, "all", "drift", value, low, high))
        for (method, epsilon), share in zip(ATTACKS, result.robust[place], strict=False):
            count = result.knobs["attacked"]
            hits = np.arange(count) < round(share * count)
            rows.append((*start, "all", f"{method} {epsilon}/255", share, *wilson(hits)))
        for number, name in enumerate(result.classes):
            members = result.hit[0, place][result.truth == number]
            if len(members):
                value = float(members.mean())
                rows.append((*start, name, "accuracy", value, *wilson(members)))
    return rows


def _control_rows(result: Pruning) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for place, level in enumerate(result.levels):
        start = ("random", float(level), _round(result, place))
        for name, table in _shared(result).items():
            drawn = table[1:, place]
            ends = (float(drawn.min()), float(drawn.max()))
            rows.append((*start, "all", name, float(drawn.mean()), *ends))
        for number, name in enumerate(result.classes):
            drawn = result.class_accuracy[1:, place, number]
            if np.isfinite(drawn).all():
                ends = (float(drawn.min()), float(drawn.max()))
                rows.append((*start, name, "accuracy", float(drawn.mean()), *ends))
    return rows
