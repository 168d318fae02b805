"""Bins of confidence, and what fell into each."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.result import Record

BINNINGS = ("width", "mass")


def edges(confidence: np.ndarray, bins: int, binning: str) -> np.ndarray:
    """Return strictly increasing bin edges from 0 to 1; bin b is (edges[b], edges[b + 1]].

    Parameters
    ----------
    confidence : array (n,)
        Values in [0, 1]; they matter for ``"mass"`` only.
    bins : int
        Number of bins.
    binning : {"width", "mass"}
        Equal width, or equal count. Equal values always share a bin, so where many confidences
        tie (saturated at 1, say) an equal-count bin swallows its neighbours and fewer edges come
        back.

    Returns
    -------
    array (bins + 1,), or shorter for ``"mass"`` with ties
        The first bin also holds 0.

    Raises
    ------
    ValueError
        An unknown ``binning``, or no bins.

    Examples
    --------
    >>> edges(np.array([0.1, 0.2, 0.3, 1.0, 1.0, 1.0]), 3, "mass")
    array([0. , 0.2, 1. ])
    """
    if bins < 1:
        raise ValueError(f"There must be at least one bin; got bins={bins}. Pass `bins=15`, say.")
    if binning == "width":
        return np.linspace(0, 1, bins + 1)
    if binning == "mass":
        last = np.ceil(np.arange(1, bins) * len(confidence) / bins).astype(int) - 1
        return np.unique(np.concatenate([[0.0], np.sort(confidence)[last], [1.0]]))
    raise ValueError(
        f'Confidences can be binned by equal width or equal mass; got binning="{binning}". '
        f"Pass one of `binning` = {', '.join(map(repr, BINNINGS))}."
    )


def bin_index(confidence: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the number of the bin (lo, hi] of each confidence; the first also holds 0."""
    return np.searchsorted(edges[1:-1], confidence, side="left")


@dataclass(frozen=True, eq=False)
class Bins(Record):
    """What fell into each bin of a reliability diagram; empty bins have count 0 and NaN.

    Parameters
    ----------
    low, high : array (B,)
        Edges; a bin is (low, high].
    count : array (B,)
        Number of samples.
    confidence, accuracy : array (B,)
        Mean confidence, and share of hits.
    accuracy_low, accuracy_high : array (B,)
        Wilson interval of the accuracy.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "B > 0 and np.array_equal(low[1:], high[:-1])",
        "all(np.array_equal(np.isnan(it), count == 0) for it in (confidence, accuracy))",
        "all(np.array_equal(np.isnan(it), count == 0) for it in (accuracy_low, accuracy_high))",
    )

    low: Annotated[np.ndarray, Array("B", least=0, most="high", rising=True)]
    high: Annotated[np.ndarray, Array("B", most=1, rising=True)]
    count: Annotated[np.ndarray, Array("B", int, least=0)]
    confidence: Annotated[np.ndarray, Array("B", least="low", most="high", nan=True)]
    accuracy: Annotated[np.ndarray, Array("B", least=0, most=1, nan=True)]
    accuracy_low: Annotated[np.ndarray, Array("B", least=0, most="accuracy", nan=True)]
    accuracy_high: Annotated[np.ndarray, Array("B", least="accuracy", most=1, nan=True)]


def expected(bins: Bins, interval: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return between which accuracies the bins of a perfectly calibrated model lie.

    Parameters
    ----------
    bins : Bins
        With their counts and mean confidences.
    interval : float
        How often they lie there, at least.

    Returns
    -------
    tuple of array (B,)
        Lowest and highest share of hits, of a binomial distribution with the mean confidence; NaN
        for empty bins.

    Examples
    --------
    >>> bins = binned(np.full(10, 0.5), np.ones(10), np.array([0.0, 1.0]))
    >>> expected(bins)
    (array([0.2]), array([0.8]))
    """
    from scipy.special import bdtr, bdtrik

    rest = (1 - interval) / 2
    ends = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for share in (rest, 1 - rest):
            # The least number of hits that so large a share of samples does not exceed.
            hits = np.ceil(bdtrik(share, bins.count, bins.confidence)).clip(0, bins.count)
            fewer = np.maximum(hits - 1, 0)
            hits = np.where(bdtr(fewer, bins.count, bins.confidence) >= share, fewer, hits)
            ends.append(np.where(bins.count > 0, hits / bins.count, np.nan))
    return ends[0], ends[1]


def binned(
    confidence: np.ndarray, hit: np.ndarray, edges: np.ndarray, interval: float = 0.95
) -> Bins:
    """Return count, mean confidence, accuracy and its Wilson interval of every bin.

    Parameters
    ----------
    confidence : array (n,)
        Values in [0, 1].
    hit : array (n,)
        Whether the event came true: booleans, or 0 and 1.
    edges : array (B + 1,)
        Bin edges, as `edges` returns them.
    interval : float
        Level of the interval (Wilson 1927), between 0 and 1.

    Returns
    -------
    Bins
        B bins, empty ones included.

    Examples
    --------
    >>> bins = binned(np.array([0.6, 0.8]), np.array([0, 1]), np.array([0.0, 0.5, 1.0]))
    >>> bins.count, bins.confidence, bins.accuracy
    (array([0, 2]), array([nan, 0.7]), array([nan, 0.5]))
    """
    index, size = bin_index(confidence, edges), len(edges) - 1
    count = np.bincount(index, minlength=size)
    z2 = NormalDist().inv_cdf(0.5 + interval / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = np.bincount(index, hit, size) / count
        centre = (accuracy + z2 / (2 * count)) / (1 + z2 / count)
        half = np.sqrt(z2 * (accuracy * (1 - accuracy) + z2 / (4 * count)) / count)
        half /= 1 + z2 / count
        return Bins(
            low=edges[:-1],
            high=edges[1:],
            count=count,
            confidence=np.bincount(index, confidence, size) / count,
            accuracy=accuracy,
            # Rounding must not push a bound past 0 or 1, where it is exact.
            accuracy_low=np.where(accuracy == 0, 0.0, centre - half),
            accuracy_high=np.where(accuracy == 1, 1.0, centre + half),
        )


def wilson(hits: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the share of hits, after Wilson.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(np.array([True, True, False, True]))]
    [0.301, 0.954]
    """
    one = binned(np.zeros(len(hits)), hits, np.array([0.0, 1.0]))
    return float(one.accuracy_low[0]), float(one.accuracy_high[0])
