"""Calibrators: maps from logits to probabilities, and how each is fitted.

Everything is numpy float64. Fit on images that are not reported on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.result import Record
from .bins import bin_index, binned, edges
from .metrics import checked, tempered

_TEMPERATURES = (0.05, 2000.0)  # logits may have been multiplied by a thousand
_BIN_TEMPERATURES = (0.2, 10.0)
_HIGH_CONFIDENCE = 0.999
_CLOSE, _STEPS = 1e-9, 100  # how near the best temperature is come, relatively, and in how many
_LEAST = 30  # fewer images than this cannot carry a temperature of their own


@dataclass(frozen=True, eq=False)
class Calibrator(Record):
    """A map from logits (N, K) to probabilities (N, K), fitted on other images.

    Parameters
    ----------
    classes : int
        K of the logits it was fitted on; 0 takes any.
    notes : tuple of str
        What the fit has to say, in plain words.
    """

    classes: Annotated[int, Array("", int, least=0)] = field(default=0, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K), float64 rows that sum to 1.

        Raises
        ------
        ValueError
            The logits are not a finite matrix, or have another number of classes.
        """
        return self._map(checked(logits, self.classes))

    def _map(self, logits: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Uncalibrated(Calibrator):
    """The plain softmax.

    Examples
    --------
    >>> Uncalibrated()(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """

    def _map(self, logits: np.ndarray) -> np.ndarray:
        return tempered(logits, 1.0)


@dataclass(frozen=True, eq=False)
class Temperature(Calibrator):
    """Softmax of the logits divided by one temperature; answers never change.

    Guo et al. 2017, "On calibration of modern neural networks".

    Parameters
    ----------
    temperature : float
        Above 1 lowers confidences.

    Raises
    ------
    ValueError
        The temperature is not above 0.

    Examples
    --------
    >>> Temperature(2.0)(np.array([[0.0, np.log(9.0)]]))
    array([[0.25, 0.75]])
    """

    temperature: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < np.inf:
            raise ValueError(
                f"A temperature divides logits and must be above 0; got {self.temperature}. "
                "Pass `temperature=1.0` for no change."
            )

    def _map(self, logits: np.ndarray) -> np.ndarray:
        return tempered(logits, self.temperature)


@dataclass(frozen=True, eq=False)
class BinwiseTemperature(Calibrator):
    """One temperature for each bin of the uncalibrated confidence; answers never change.

    Ji et al. 2019, "Bin-wise temperature scaling". The order of two images by confidence can
    change where a bin ends.

    Parameters
    ----------
    edges : array (M + 1,)
        Edges on the uncalibrated top confidence. Bin b is [edges[b], edges[b + 1]), the last one
        includes its end.
    temperatures : array (M,)
        One for each bin.

    Examples
    --------
    >>> split = BinwiseTemperature(np.array([0, 0.8, 1]), np.array([1.0, 2.0]))
    >>> split(np.log([[0.3, 0.7], [0.1, 0.9]]))
    array([[0.3 , 0.7 ],
           [0.25, 0.75]])
    """

    edges: Annotated[np.ndarray, Array("M+1", least=0, most=1, rising=True)]
    temperatures: Annotated[np.ndarray, Array("M", least=1e-3)]

    def _map(self, logits: np.ndarray) -> np.ndarray:
        index = _temperature_bin(tempered(logits, 1.0).max(axis=1), self.edges)
        return tempered(logits, self.temperatures[index, None])


def _temperature_bin(confidence: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges[1:-1], confidence, side="right")


@dataclass(frozen=True, eq=False)
class HistogramBinning(Calibrator):
    """Share of hits in each bin of each class's probability, then rows scaled to sum to 1.

    Zadrozny and Elkan 2001. Answers can change. A row of zeros keeps its own probabilities.

    Parameters
    ----------
    edges : array (B + 1,)
        Bin edges; a bin is (low, high], the first also holds 0.
    values : array (K, B)
        Share of hits; NaN where no image fell at the fit: there a probability passes unchanged.

    Examples
    --------
    >>> half = HistogramBinning(np.array([0, 0.5, 1]), np.array([[0.1, 0.9], [0.3, 0.9]]))
    >>> half(np.log([[0.2, 0.8]]))
    array([[0.1, 0.9]])
    """

    facts: ClassVar[tuple[str, ...]] = ("classes in (0, K)",)

    edges: Annotated[np.ndarray, Array("B+1", least=0, most=1, rising=True)]
    values: Annotated[np.ndarray, Array("K B", least=0, most=1, nan=True)]

    def _map(self, logits: np.ndarray) -> np.ndarray:
        p = tempered(logits, 1.0)
        found = self.values[np.arange(p.shape[1]), bin_index(p, self.edges)]
        return _rows_to_one(np.where(np.isnan(found), p, found), p)


@dataclass(frozen=True, eq=False)
class Isotonic(Calibrator):
    """A rising map of each class's probability, then rows scaled to sum to 1.

    Zadrozny and Elkan 2002. Answers can change. A row of zeros keeps its own probabilities.

    Parameters
    ----------
    thresholds, values : array (K, M)
        Corner points of each class's map, linear between them and flat outside; shorter rows
        repeat their last point.

    Examples
    --------
    >>> steps = Isotonic(np.array([[0.2, 0.8], [0.2, 0.8]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    >>> steps(np.log([[0.5, 0.5], [0.1, 0.9]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    facts: ClassVar[tuple[str, ...]] = ("classes in (0, K)",)

    thresholds: Annotated[np.ndarray, Array("K M", least=0, most=1, rising=True)]
    values: Annotated[np.ndarray, Array("K M", least=0, most=1, rising=True)]

    def _map(self, logits: np.ndarray) -> np.ndarray:
        p = tempered(logits, 1.0)
        maps = zip(p.T, self.thresholds, self.values, strict=True)
        return _rows_to_one(np.stack([np.interp(*one) for one in maps], axis=1), p)


def _rows_to_one(values: np.ndarray, original: np.ndarray) -> np.ndarray:
    total = values.sum(axis=1, keepdims=True)
    return np.where(total > 0, values / np.where(total > 0, total, 1), original)


@dataclass(frozen=True, eq=False)
class BaseRates(Calibrator):
    """How often each class occurs, whatever the image: calibrated, and useless.

    Parameters
    ----------
    rates : array (K,)
        Frequencies that sum to 1.

    Examples
    --------
    >>> BaseRates(np.array([0.25, 0.75]))(np.array([[9.0, 0.0]]))
    array([[0.25, 0.75]])
    """

    facts: ClassVar[tuple[str, ...]] = ("classes in (0, K)", "abs(rates.sum() - 1) < 1e-6")

    rates: Annotated[np.ndarray, Array("K", least=0, most=1)]

    def _map(self, logits: np.ndarray) -> np.ndarray:
        return np.tile(self.rates, (len(logits), 1))


# Fits -----------------------------------------------------------------------------------------


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Return the temperature with the least negative log-likelihood, searched in [0.05, 2000].

    Parameters
    ----------
    logits : array (N, K)
        Logits of images that are not reported on.
    labels : array (N,)
        Their classes.

    Returns
    -------
    Temperature
        Its ``notes`` say so where the search ran to a limit.

    Raises
    ------
    ValueError
        Logits or labels cannot be fitted to.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1]] * 4)  # says 90 %, is right 3 times of 4
    >>> print(round(fit_temperature(logits, np.array([0, 0, 0, 1])).temperature, 3))
    2.0
    """
    logits, labels = _fit_set(logits, labels)
    temperature = _best_temperature(logits, labels, *_TEMPERATURES)
    return Temperature(
        temperature, classes=logits.shape[1], notes=_limit_note(temperature, logits, labels)
    )


def _limit_note(temperature: float, logits: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    right, n = int((logits.argmax(axis=1) == labels).sum()), len(labels)
    if temperature == _TEMPERATURES[0]:
        limit = "lower"
        if right == n:
            why = "there is no over-confidence to learn from; fit on more images"
        else:
            why = "the logits are far too small; scale them up before the fit"
    elif temperature == _TEMPERATURES[1]:
        limit = "upper"
        why = "the logits say next to nothing about the labels; check that both belong together"
    else:
        return ()
    seen = f"the temperature runs to its {limit} limit {temperature:g}: {right} of {n} right"
    return (f"{seen}, {why}",)


def _best_temperature(logits: np.ndarray, labels: np.ndarray, low: float, high: float) -> float:
    # scipy has searches, but importing it takes longer than the first picture may. The loss is
    # convex in 1 / temperature: its slope has one root there, and Newton's steps find it.
    shifted = logits - logits.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(labels)), labels].mean()

    def slopes(scale: float) -> tuple[float, float]:
        """Return the first and the second derivative of the loss."""
        powers = shifted * scale
        with np.errstate(under="ignore"):
            np.exp(powers, out=powers)
            total = powers.sum(axis=1)
            powers *= shifted
            mean = powers.sum(axis=1) / total
            powers *= shifted
            square = powers.sum(axis=1) / total
        return float(mean.mean() - true), float((square - mean**2).mean())

    least, most = 1 / high, 1 / low
    if slopes(most)[0] <= 0:  # where the loss is flat to the last bit, too
        return low
    if slopes(least)[0] >= 0:
        return high
    scale = min(max(1.0, least), most)
    for _ in range(_STEPS):
        slope, curvature = slopes(scale)
        least, most = (scale, most) if slope < 0 else (least, scale)
        after = scale - slope / curvature if curvature > 0 else least
        after = after if least < after < most else math.sqrt(least * most)
        if abs(after - scale) <= _CLOSE * scale:
            return 1 / after
        scale = after
    return 1 / scale


def fit_binwise(logits: np.ndarray, labels: np.ndarray, bins: int = 10) -> BinwiseTemperature:
    """Return one temperature per bin of uncalibrated confidence.

    The last bin is [0.999, 1]; the others hold equal counts of the confidences below 0.999. Each
    bin's temperature minimises its own negative log-likelihood within [0.2, 10]; a bin with fewer
    than 30 samples takes the temperature of all samples.

    For the variant fitted on augmented images pass the logits of the images and of their augmented
    copies, stacked: edges and the least count of 30 then refer to all samples, copies included.
    Copies of one image are not independent, so a bin's 30 samples may be few images.

    Parameters
    ----------
    logits : array (N, K)
        Logits of images that are not reported on.
    labels : array (N,)
        Their classes.
    bins : int
        Number of bins, the last one included; equal confidences share a bin, so ties can leave
        fewer. 10 suits up to 5,000 samples, 50 needs 20,000.

    Returns
    -------
    BinwiseTemperature
        Its ``notes`` name the bins that took the common temperature and those that ran to a limit.

    Raises
    ------
    ValueError
        Logits or labels cannot be fitted to, or fewer than 2 bins.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1]] * 40 + [[0.6, 0.4]] * 40)
    >>> labels = np.array([0, 0, 0, 1] * 10 + [0, 0, 0, 1, 1] * 8)
    >>> fit_binwise(logits, labels, bins=3).temperatures.round(2)  # none at 0.999: the common one
    array([1.  , 2.  , 1.92])
    """
    logits, labels = _fit_set(logits, labels)
    if bins < 2:
        raise ValueError(
            f"Bin-wise scaling needs the bin [0.999, 1] and one below it; got bins={bins}. "
            "Pass `bins=10`, or use one temperature for all."
        )
    confidence = tempered(logits, 1.0).max(axis=1)
    low = np.sort(confidence[confidence < _HIGH_CONFIDENCE])
    inner = low[np.arange(1, bins - 1) * len(low) // (bins - 1)] if len(low) else low
    cut = np.unique(np.concatenate([[0.0], inner, [_HIGH_CONFIDENCE, 1.0]]))
    index = _temperature_bin(confidence, cut)

    common = fit_temperature(logits, labels)
    temperatures = np.full(len(cut) - 1, np.clip(common.temperature, *_BIN_TEMPERATURES))
    few, sure, limit = [], [], []
    for b in range(len(temperatures)):
        at = index == b
        if at.sum() < _LEAST:
            few.append(b)
            continue
        temperatures[b] = _best_temperature(logits[at], labels[at], *_BIN_TEMPERATURES)
        if (logits[at].argmax(axis=1) == labels[at]).all():
            sure.append(b)
        elif temperatures[b] in _BIN_TEMPERATURES:
            limit.append(b)

    def named(found: list[int]) -> str:
        ranges = ", ".join(f"{cut[b]:.3g} to {cut[b + 1]:.3g}" for b in found)
        return f"{len(found)} of {len(temperatures)} bins (confidence {ranges})"

    notes = []
    if few:
        notes.append(
            f"{named(few)}: fewer than {_LEAST} samples, so the temperature of all samples, "
            f"{temperatures[few[0]]:.3g}, stands in"
        )
        notes += common.notes
    if sure:
        notes.append(
            f"{named(sure)}: all samples are right, so the temperature runs to its lower limit "
            f"{_BIN_TEMPERATURES[0]:g}; there is no over-confidence to learn from"
        )
    if limit:
        notes.append(
            f"{named(limit)}: the temperature runs to a limit of "
            f"[{_BIN_TEMPERATURES[0]:g}, {_BIN_TEMPERATURES[1]:g}]"
        )
    return BinwiseTemperature(cut, temperatures, classes=logits.shape[1], notes=tuple(notes))


def fit_histogram(logits: np.ndarray, labels: np.ndarray, bins: int = 10) -> HistogramBinning:
    """Return histogram binning, one class against the rest, in bins of equal width.

    Parameters
    ----------
    logits : array (N, K)
        Logits of images that are not reported on.
    labels : array (N,)
        Their classes.
    bins : int
        Number of bins.

    Returns
    -------
    HistogramBinning
        The fitted map.

    Raises
    ------
    ValueError
        Logits or labels cannot be fitted to.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1]] * 4)
    >>> fit_histogram(logits, np.array([0, 0, 0, 1]), bins=2)(logits[:1])
    array([[0.75, 0.25]])
    """
    logits, labels = _fit_set(logits, labels)
    p = tempered(logits, 1.0)
    cut = edges(p.ravel(), bins, "width")
    shares = [binned(one, labels == k, cut).accuracy for k, one in enumerate(p.T)]
    return HistogramBinning(cut, np.stack(shares), classes=p.shape[1])


def fit_isotonic(logits: np.ndarray, labels: np.ndarray) -> Isotonic:
    """Return isotonic regression (scikit-learn's), one class against the rest.

    Parameters
    ----------
    logits : array (N, K)
        Logits of images that are not reported on.
    labels : array (N,)
        Their classes.

    Returns
    -------
    Isotonic
        The fitted map.

    Raises
    ------
    ValueError
        Logits or labels cannot be fitted to.

    Examples
    --------
    >>> logits = np.log([[0.9, 0.1]] * 4)
    >>> fit_isotonic(logits, np.array([0, 0, 0, 1]))(logits[:1])
    array([[0.75, 0.25]])
    """
    from sklearn.isotonic import IsotonicRegression

    logits, labels = _fit_set(logits, labels)
    corners = []
    for k, p in enumerate(tempered(logits, 1.0).T):
        fitted = IsotonicRegression(y_min=0, y_max=1).fit(p, labels == k)
        corners.append((fitted.X_thresholds_, fitted.y_thresholds_))
    longest = max(len(x) for x, _ in corners)
    thresholds, values = (
        np.stack([np.pad(row, (0, longest - len(row)), mode="edge") for row in rows])
        for rows in zip(*corners, strict=True)
    )
    return Isotonic(thresholds, values, classes=logits.shape[1])


def fit_base_rates(logits: np.ndarray, labels: np.ndarray) -> BaseRates:
    """Return the frequencies of the classes; the logits only say how many classes there are.

    Parameters
    ----------
    logits : array (N, K)
        Logits of images that are not reported on.
    labels : array (N,)
        Their classes.

    Returns
    -------
    BaseRates
        The constant predictor.

    Raises
    ------
    ValueError
        Logits or labels cannot be fitted to.

    Examples
    --------
    >>> fit_base_rates(np.zeros((4, 2)), np.array([0, 0, 0, 1])).rates
    array([0.75, 0.25])
    """
    logits, labels = _fit_set(logits, labels)
    classes = logits.shape[1]
    return BaseRates(np.bincount(labels, minlength=classes) / len(labels), classes=classes)


def _fit_set(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = checked(logits), np.asarray(labels)
    if not len(logits) or labels.shape != (len(logits),):
        raise ValueError(
            f"A fit needs images and one label for each; got {len(logits)} rows of logits and "
            f"labels of shape {labels.shape}. Pass `labels` of the same, non-zero length."
        )
    last, low, high = logits.shape[1] - 1, labels.min(), labels.max()
    if not np.issubdtype(labels.dtype, np.integer) or low < 0 or high > last:
        raise ValueError(
            f"Labels must be class indices from 0 to {last}; got {labels.dtype} from {low} to "
            f"{high}. Check `labels` against the model's classes."
        )
    return logits, labels.astype(np.int64)
