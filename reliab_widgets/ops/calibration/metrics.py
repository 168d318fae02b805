"""Calibration errors: confidences against what came true, in bins and without.

Everything is numpy float64. ``probabilities`` are rows that sum to 1, ``labels`` class indices,
``confidence`` a probability given to an event and ``hit`` whether that event came true. Which event
is the ``label`` of `pairs`: ``"top"`` (the predicted class is right), ``"all"`` (each class against
the rest) or a class index (that class against the rest).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import percent
from .bins import bin_index, edges

if TYPE_CHECKING:
    from scipy.sparse import csc_array

METRICS = ("accuracy", "ece", "mce", "ace", "smece", "nll", "brier", "confidence")
NAMES = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "mce": "MCE",
    "ace": "ACE",
    "smece": "smECE",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "confidence": "mean conf.",
}
SHARES = ("accuracy", "ece", "mce", "ace", "smece", "confidence")
"""The metrics that are shares of 1 and are printed in per cent."""

_ERRORS = slice(1, 5)  # of METRICS: those that chance can only make larger

AT_ONCE = 20_000_000
"""Numbers that are drawn and held at once: a million images are resampled twenty times."""
_GRID = 256  # cells of [0, 1] on which smooth ECE is computed; values move by less than 2e-4


def value(name: str, number: float) -> str:
    """Return the value of a metric with its unit."""
    return percent(number) if name in SHARES else f"{number:.3f}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return class probabilities whose argmax is that of the logits, whatever rounding does.

    Parameters
    ----------
    logits : array (N, K)
        Finite logits of any float type.

    Returns
    -------
    array (N, K)
        float64 rows that sum to 1.

    Raises
    ------
    ValueError
        The logits are not a finite matrix.

    Examples
    --------
    >>> softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    return tempered(checked(logits), 1.0)


def tempered(logits: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return the softmax of checked logits over a temperature, or one for each row."""
    # The gap between two logits may exceed the largest float; its exponential is 0 all the same.
    with np.errstate(over="ignore", under="ignore"):
        p = logits - logits.max(axis=1, keepdims=True)
        p /= temperature
        np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    # Rounding can let an earlier class draw level with the winner; one unit in the last place
    # keeps the answer.
    top = logits.argmax(axis=1)
    rows = np.flatnonzero(p.argmax(axis=1) != top)
    p[rows, top[rows]] = np.nextafter(p[rows].max(axis=1), 1)
    return p


def checked(logits: np.ndarray, classes: int = 0) -> np.ndarray:
    """Return logits as a finite float64 matrix (N, K), or say what is wrong with them."""
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "Logits must be a matrix, one row an image and one column a class; "
            f"got shape {logits.shape}. For one image pass `logits[None]`."
        )
    if classes and logits.shape[1] != classes:
        raise ValueError(
            f"This calibrator maps logits of {classes} classes; got {logits.shape[1]} columns. "
            "Pass logits of the model it was fitted on, or fit a new calibrator to these."
        )
    if not np.isfinite(logits).all():
        rows = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        raise ValueError(
            f"Logits must be finite; got NaN or infinity in {rows.size} of {len(logits)} rows, "
            f"first in row {rows[0]}. Check the model's output for those images, or leave them out "
            "of `logits`."
        )
    return logits


# Bins -----------------------------------------------------------------------------------------


# Errors of confidences ------------------------------------------------------------------------


def ece(confidence: np.ndarray, hit: np.ndarray, edges: np.ndarray) -> float:
    """Return the expected calibration error: mean |accuracy - confidence| of bins, by count.

    Naeini et al. 2015; with equal-count ``edges`` it is the adaptive error (ACE).

    Parameters
    ----------
    confidence, hit : array (n,)
        As for `binned`.
    edges : array (B + 1,)
        Bin edges.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> print(round(ece(np.array([0.6, 0.8, 0.9]), np.array([0, 1, 1]), np.array([0, 0.7, 1])), 3))
    0.3
    """
    gap = np.bincount(bin_index(confidence, edges), hit - confidence)
    return float(np.abs(gap).sum() / len(confidence))


def mce(confidence: np.ndarray, hit: np.ndarray, edges: np.ndarray) -> float:
    """Return the maximum calibration error: largest |accuracy - confidence| of a non-empty bin.

    Parameters
    ----------
    confidence, hit : array (n,)
        As for `binned`.
    edges : array (B + 1,)
        Bin edges.

    Returns
    -------
    float
        Between 0 and 1, never below `ece` with the same edges.

    Examples
    --------
    >>> print(round(mce(np.array([0.6, 0.8, 0.9]), np.array([0, 1, 1]), np.array([0, 0.7, 1])), 3))
    0.6
    """
    index = bin_index(confidence, edges)
    gap, count = np.bincount(index, hit - confidence), np.bincount(index)
    return float((np.abs(gap)[count > 0] / count[count > 0]).max())


def smece(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Return the smooth calibration error, which needs no bins.

    The gap ``hit - confidence`` is smoothed along the confidence by a Gaussian reflected at 0 and
    1; the bandwidth is the one at which the mean size of the smoothed gap equals the bandwidth.
    Blasiok and Nakkiran 2023, "Smooth ECE". The reflected Gaussian only scales the coefficients
    of a cosine transform, on a grid of 256 cells here.

    Parameters
    ----------
    confidence, hit : array (n,)
        As for `binned`.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> smece(np.full(8, 0.5), np.array([0, 1, 0, 1, 0, 1, 0, 1]))
    0.0
    """
    cells = np.bincount(_cell(confidence), hit - confidence, _GRID)
    return float(_smooth_error(cells[None], len(confidence))[0])


def _cell(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * _GRID).astype(np.int64), _GRID - 1)


def _smooth_error(cells: np.ndarray, n: int) -> np.ndarray:
    """Smooth ECE of each row of gap sums per grid cell: (R, _GRID) -> (R,)."""
    from scipy.fft import dct, idct

    spectrum = dct(cells, axis=1)
    decay = -0.5 * (np.pi * np.arange(_GRID)) ** 2

    def error(log_width: np.ndarray) -> np.ndarray:
        smoothed = idct(spectrum * np.exp(decay * np.exp(2 * log_width)[:, None]), axis=1)
        return np.abs(smoothed).sum(axis=1) / n

    # Secant steps on the logarithms. The error never grows with the width, so slopes above 0 are
    # rounding, and slopes far below stop a step from overshooting. The grid shows no width below
    # a cell.
    width = np.full(len(cells), np.log(0.05))
    slope = np.full(len(cells), -0.3)
    found, before = np.zeros(len(cells), dtype=bool), None
    for _ in range(12):
        value = np.log(np.maximum(error(width), 1e-9))
        if before is not None:
            step = width - before[0]
            moved = np.abs(step) > 1e-9
            slope[moved] = np.clip((value - before[1])[moved] / step[moved], -3, 0)
        before = width, value
        better = np.clip(width + (value - width) / (1 - slope), -np.log(_GRID), 0)
        width = np.where(found, width, better)  # whatever the others still do
        found |= np.abs(width - before[0]) < 2e-3
        if found.all():
            break
    return error(width)


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats.

    Parameters
    ----------
    probabilities : array (N, K)
        Rows that sum to 1. Zeros count as 2.2e-16, as in scikit-learn's ``log_loss``, so one
        impossible event costs 36 nats rather than infinity.
    labels : array (N,)
        True classes.

    Returns
    -------
    float
        Not below 0.

    Examples
    --------
    >>> print(round(nll(np.array([[0.5, 0.5]]), np.array([1])), 4))
    0.6931
    """
    return float(_log_losses(probabilities, labels).mean())


def _log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    given = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(given, np.finfo(np.float64).eps))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the Brier score: mean squared distance to the one-hot label, summed over classes.

    Parameters
    ----------
    probabilities : array (N, K)
        Rows that sum to 1.
    labels : array (N,)
        True classes.

    Returns
    -------
    float
        Between 0 and 2 (Brier 1950).

    Examples
    --------
    >>> brier(np.array([[0.5, 0.5]]), np.array([1]))
    0.5
    """
    return float(_squared_errors(probabilities, labels).mean())


def _squared_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    given = probabilities[np.arange(len(labels)), labels]
    return np.einsum("nk,nk->n", probabilities, probabilities) - 2 * given + 1


# All metrics of one state ---------------------------------------------------------------------


def pairs(
    probabilities: np.ndarray, labels: np.ndarray, label: str | int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidences and hits that a reliability diagram bins.

    Parameters
    ----------
    probabilities : array (N, K)
        Rows that sum to 1.
    labels : array (N,)
        True classes.
    label : {"top", "all"} or int
        ``"top"``: probability of the predicted class, and whether it is right. ``"all"``: all N K
        pairs (probability of a class, whether it is the true one), image by image. An index: that
        class against the rest.

    Returns
    -------
    confidence : array (n,)
        float64.
    hit : array (n,)
        bool.

    Raises
    ------
    ValueError
        No such ``label``.

    Examples
    --------
    >>> pairs(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1]), "top")
    (array([0.8, 0.6]), array([ True, False]))
    """
    confidence, hit = _columns(probabilities, labels, label)
    return confidence.ravel(), hit.ravel()


def _columns(
    probabilities: np.ndarray, labels: np.ndarray, label: str | int
) -> tuple[np.ndarray, np.ndarray]:
    classes = probabilities.shape[1]
    if label == "top":
        top = probabilities.argmax(axis=1)[:, None]
        return np.take_along_axis(probabilities, top, axis=1), top == labels[:, None]
    if label == "all":
        return probabilities, np.arange(classes) == labels[:, None]
    if not isinstance(label, str) and 0 <= label < classes:
        return probabilities[:, [label]], (labels == label)[:, None]
    raise ValueError(
        f'Confidences can be taken from the predicted class ("top"), from every class ("all") or '
        f"from one class; got label={label!r}. Pass `label` = 'top', 'all' or an index from 0 to "
        f"{classes - 1}."
    )


def measure(
    probabilities: np.ndarray, labels: np.ndarray, label: str | int, *, bins: int, binning: str
) -> np.ndarray:
    """Return all metrics of one set of predictions, in the order of ``METRICS``.

    Parameters
    ----------
    probabilities : array (N, K)
        Rows that sum to 1.
    labels : array (N,)
        True classes.
    label : {"top", "all"} or int
        ``"top"``: ece, mce, ace (equal-mass ECE) and smece of the predicted class; accuracy, nll
        and brier over all classes; mean confidence of the predicted class. ``"all"``: ece, mce,
        ace and smece are computed for each class against the rest and averaged over classes
        (class-wise ECE, Kull et al. 2019), the others are as for ``"top"``. An index k: the
        two-class problem of class k against the rest, that is accuracy of ``p_k > 1/2``, binary
        log loss, mean ``(p_k - hit)^2`` and mean ``p_k``.
    bins : int
        Number of bins for ece, mce and ace.
    binning : {"width", "mass"}
        Bins for ece and mce; see `edges`. Equal-mass bins are each class's own with ``"all"``.

    Returns
    -------
    array (8,)
        One number for each of ``METRICS``.

    Examples
    --------
    >>> probabilities = np.array([[0.2, 0.8], [0.6, 0.4]])
    >>> found = measure(probabilities, np.array([1, 1]), "top", bins=2, binning="width")
    >>> print(METRICS[0], found[0], METRICS[1], round(found[1], 3))
    accuracy 0.5 ece 0.2
    """
    sums = _Sums(probabilities, labels, label, bins, binning)
    return sums.metrics(np.ones((len(labels), 1)))[:, 0]


def bootstrap(
    probabilities: np.ndarray,
    labels: np.ndarray,
    label: str | int,
    *,
    bins: int,
    binning: str,
    interval: float,
    seed: int,
    draws: int = 400,
) -> tuple[np.ndarray, np.ndarray]:
    """Return percentile intervals of all metrics over resampled images (Efron 1979).

    Bin edges stay where the given images put them; the bandwidth of smece is found anew for every
    draw. Resampling adds noise of its own to errors that cannot fall below zero (ece, mce, ace,
    smece): their draws lie too high on average, for a model that is all but calibrated so much
    that the value itself would be outside. So those draws are moved to have the value as their
    mean, and cut at 0. Compare with `ece_floor`.

    Parameters
    ----------
    probabilities, labels, label, bins, binning
        As for `measure`.
    interval : float
        Level, between 0 and 1.
    seed : int
        Seed of the draws: the same seed resamples the same images in every call.
    draws : int
        Number of resamples.

    Returns
    -------
    low, high : array (8,)
        In the order of ``METRICS``.

    Examples
    --------
    >>> right = np.tile([[0.9, 0.1]], (50, 1))
    >>> low, high = bootstrap(right, np.zeros(50, int), "top", bins=15, binning="width",
    ...                       interval=0.95, seed=0)
    >>> print(low[0], high[0])  # 50 of 50 right: every resample is, too
    1.0 1.0
    """
    sums = _Sums(probabilities, labels, label, bins, binning)
    drawn = np.concatenate(
        [sums.metrics(weights) for weights in _resamples(len(labels), seed, draws)], axis=1
    )
    value = sums.metrics(np.ones((len(labels), 1)))
    drawn[_ERRORS] += value[_ERRORS] - drawn[_ERRORS].mean(axis=1, keepdims=True)
    low, high = np.quantile(drawn, [0.5 - interval / 2, 0.5 + interval / 2], axis=1)
    return low.clip(min=0), high


def _resamples(n: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each of n images is in each resample: (n, d) at once, columns sum to n."""
    if n * draws <= AT_ONCE:
        yield _few_resamples(n, seed, draws)
        return
    generator, most = np.random.default_rng(seed), max(1, AT_ONCE // n)
    for begin in range(0, draws, most):
        yield _times(generator, n, min(most, draws - begin))


@lru_cache(maxsize=2)  # a slider asks again and again
def _few_resamples(n: int, seed: int, draws: int) -> np.ndarray:
    weights = _times(np.random.default_rng(seed), n, draws)
    weights.flags.writeable = False
    return weights


def _times(generator: np.random.Generator, n: int, draws: int) -> np.ndarray:
    times = np.empty((draws, n), np.uint16)  # small, because turning a table around takes long
    for row in times:
        row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return np.ascontiguousarray(times.T).astype(np.float64)


class _Sums:
    """All sums over images that the metrics are made of, as one sparse matrix (sums, images).

    Its product with weights (images, D) gives the metrics of D weighted sets at once.
    """

    def __init__(
        self,
        probabilities: np.ndarray,
        labels: np.ndarray,
        label: str | int,
        bins: int,
        binning: str,
    ) -> None:
        from scipy.sparse import csc_array

        confidence, hit = _columns(probabilities, labels, label)
        if isinstance(label, str):
            right = probabilities.argmax(axis=1) == labels
            losses = _log_losses(probabilities, labels)
            squares = _squared_errors(probabilities, labels)
            said = probabilities.max(axis=1)
        else:
            said, true = confidence[:, 0], hit[:, 0]
            right = (said > 0.5) == true
            losses = _log_losses(np.stack([1 - said, said], axis=1), true.astype(np.int64))
            squares = (said - true) ** 2
        gap = hit - confidence
        n, columns = gap.shape
        self.bins, self.columns = bins, columns

        column = np.arange(columns)
        own = _indices(confidence, bins, binning) + bins * column
        mass = own if binning == "mass" else _indices(confidence, bins, "mass") + bins * column
        blocks = bins * columns
        self.cuts = np.cumsum([blocks, blocks, blocks, _GRID * columns])
        rows = np.concatenate(
            [
                own,
                self.cuts[0] + own,
                self.cuts[1] + mass,
                self.cuts[2] + _cell(confidence) + _GRID * column,
                np.tile(self.cuts[3] + np.arange(4), (n, 1)),
            ],
            axis=1,
        )
        image = np.stack([right, losses, squares, said], axis=1)
        values = np.concatenate([gap, np.ones_like(gap), gap, gap, image], axis=1)
        starts = np.arange(0, values.size + 1, values.shape[1])
        self.matrix: csc_array = csc_array(
            (values.ravel(), rows.ravel(), starts), shape=(self.cuts[3] + 4, n)
        )

    def metrics(self, weights: np.ndarray) -> np.ndarray:
        n, draws = weights.shape  # the weights of every draw sum to n
        gap, count, mass, cells, image = np.split(self.matrix @ weights, self.cuts)
        shape = (self.columns, self.bins, draws)
        gap, count = np.abs(gap).reshape(shape), count.reshape(shape)
        smooth = [_smooth_error(one.T, n) for one in cells.reshape(self.columns, _GRID, draws)]
        accuracy, losses, squares, said = image / n
        return np.stack(
            [
                accuracy,
                gap.sum(axis=1).mean(axis=0) / n,
                (gap / np.maximum(count, 1)).max(axis=1).mean(axis=0),
                np.abs(mass).reshape(shape).sum(axis=1).mean(axis=0) / n,
                np.mean(smooth, axis=0),
                losses,
                squares,
                said,
            ]
        )


def _indices(confidence: np.ndarray, bins: int, binning: str) -> np.ndarray:
    """Bin of every entry of (n, C); equal-mass bins are each column's own."""
    columns = [bin_index(column, edges(column, bins, binning)) for column in confidence.T]
    return np.stack(columns, axis=1)


def ece_floor(
    probabilities: np.ndarray,
    label: str | int,
    *,
    bins: int,
    binning: str,
    seed: int,
    draws: int = 200,
) -> float:
    """Return the mean ECE that a perfectly calibrated model with these probabilities would show.

    Finite samples leave every bin a little off. Outcomes are drawn from the probabilities
    themselves, so all error that is left is such noise; a smaller difference means nothing.

    Parameters
    ----------
    probabilities, label, bins, binning
        As for `measure`.
    seed : int
        Seed of the draws.
    draws : int
        Number of simulated sets of outcomes.

    Returns
    -------
    float
        Mean over the draws.

    Examples
    --------
    >>> sure = np.tile([[1.0, 0.0]], (20, 1))
    >>> ece_floor(sure, "top", bins=15, binning="width", seed=0)  # nothing left to chance
    0.0
    """
    from scipy.sparse import csc_array

    n = len(probabilities)
    confidence, _ = _columns(probabilities, np.zeros(n, dtype=np.int64), label)
    index, columns = _indices(confidence, bins, binning), confidence.shape[1]
    gaps, generator = np.zeros((columns, bins, draws)), np.random.default_rng(seed)
    most = max(1, AT_ONCE // draws)
    for begin in range(0, n, most):
        some = slice(begin, begin + most)
        # The mean over classes needs each class's own chance only: one draw serves all of them.
        uniform = generator.random((len(confidence[some]), draws))
        for gap, column, bin_of in zip(gaps, confidence[some].T, index[some].T, strict=True):
            rows = np.arange(len(column) + 1)
            member = csc_array((np.ones(len(column)), bin_of, rows), shape=(bins, len(column)))
            gap += member @ ((uniform < column[:, None]) - column[:, None])
    return float(np.abs(gaps).sum() / (n * draws * columns))
