"""What a number of hits says of the share they are drawn from: exact, by the binomial itself."""

from __future__ import annotations

from typing import Any

import numpy as np


def lower_bound(hits: Any, trials: Any, alpha: float) -> np.ndarray:
    """Return the share that is exceeded with confidence 1 - alpha, after Clopper and Pearson.

    Parameters
    ----------
    hits, trials : int or array
        How many of how many.
    alpha : float
        How often, at most, the true share may lie below.

    Returns
    -------
    array
        The share of which so many hits or more have the chance alpha; 0 where there is no hit. The
        upper bound is 1 minus the lower bound of the misses.

    Notes
    -----
    Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of
    the binomial".

    Examples
    --------
    >>> lower_bound([0, 1, 2], 2, alpha=0.25).round(3)  # 0, 1 - sqrt(0.75) and sqrt(0.25)
    array([0.   , 0.134, 0.5  ])
    """
    from scipy.special import betaincinv

    hits, trials = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    return np.where(hits > 0, betaincinv(np.maximum(hits, 1), trials - hits + 1, alpha), 0.0)


def at_least(hits: int, trials: int, share: float) -> float:
    """Return the chance of so many hits or more, where a share of all trials hits.

    Examples
    --------
    >>> at_least(3, 3, 0.5), at_least(0, 3, 0.5)
    (0.125, 1.0)
    """
    from scipy.special import betainc

    return float(betainc(hits, trials - hits + 1, share)) if hits > 0 else 1.0
