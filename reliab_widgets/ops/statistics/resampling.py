"""Intervals by drawing the same images anew."""

from __future__ import annotations

import numpy as np

RESAMPLES = 1000
FEWEST = 8
"""Of fewer values a resampled interval says next to nothing."""


def interval_of_mean(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean (Efron 1979); NaN of too few values.

    Parameters
    ----------
    values : array (n,)
        One for each image.
    seed : int
        Of the draws.

    Examples
    --------
    >>> interval_of_mean(np.ones(10)), interval_of_mean(np.ones(7))
    ((1.0, 1.0), (nan, nan))
    """
    if len(values) < FEWEST:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    return float(low), float(high)
