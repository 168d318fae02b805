"""How much saliency maps agree: rank correlation, shared top pixels, structural similarity.

Everything is numpy; maps are ``(M, H, W)`` and are compared pairwise. Where a map is constant there
is nothing to compare, and the answer is NaN.
"""

from __future__ import annotations

import numpy as np

MEASURES = ("signed", "absolute", "top", "ssim")
"""Spearman of the values, of the magnitudes; overlap of the top 10 %; structural similarity."""
TOP = 0.1


def agreement(maps: np.ndarray) -> np.ndarray:
    """Return all ``MEASURES`` between all pairs of maps.

    Parameters
    ----------
    maps : array (M, H, W)
        Signed maps.

    Returns
    -------
    array (4, M, M)
        Symmetric; NaN in the rows of constant maps.

    Examples
    --------
    >>> rows, columns = np.indices((8, 8), dtype=float)
    >>> agreement(np.stack([rows, 1 - rows]))[:3, 0, 1].round(2)
    array([-1.  ,  0.96,  0.  ])
    """
    return np.stack([spearman(maps), spearman(np.abs(maps)), top_overlap(maps), ssim(maps)])


def spearman(maps: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation between all pairs of maps.

    Parameters
    ----------
    maps : array (M, ...)
        Equal values share the mean of their ranks.

    Returns
    -------
    array (M, M)
        From -1 to 1.

    Examples
    --------
    >>> spearman(np.array([[1.0, 2.0, 9.0], [3.0, 2.0, 1.0]]))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    ranks = np.stack([_ranks(row) for row in _rows(maps)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    unit = np.divide(ranks, lengths, out=np.full_like(ranks, np.nan), where=lengths > 0)
    return np.clip(unit @ unit.T, -1, 1)


def top_overlap(maps: np.ndarray, share: float = TOP) -> np.ndarray:
    """Return intersection over union of the pixels with the largest values, for all pairs.

    Parameters
    ----------
    maps : array (M, ...)
        Of equal values the first ones count as larger.
    share : float
        Which share of the pixels is the top, rounded up.

    Returns
    -------
    array (M, M)
        From 0 to 1; two random maps would give about share / (2 - share).

    Examples
    --------
    >>> top_overlap(np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 4.0, 3.0, 2.0]]), share=0.25)[0, 1]
    np.float64(0.0)
    """
    values = _rows(maps)
    size = int(np.ceil(share * values.shape[1]))
    order = np.argsort(-values, axis=1, kind="stable")
    inside = np.zeros(values.shape)
    np.put_along_axis(inside, order[:, :size], 1.0, axis=1)
    both = inside @ inside.T
    overlap = both / (2 * size - both)
    return _without(overlap, np.ptp(values, axis=1) == 0)


def ssim(maps: np.ndarray) -> np.ndarray:
    """Return the structural similarity between all pairs of maps, as the pictures of them look.

    Parameters
    ----------
    maps : array (M, H, W)
        The largest magnitude of each becomes 0 (negative) or 1 (positive), and 0 becomes 1/2: with
        negative values a map would resemble its own opposite.

    Returns
    -------
    array (M, M)
        Mean over the pixels, at most 1.

    Notes
    -----
    Wang et al. 2004, "Image quality assessment": Gaussian window of standard deviation 1.5 cut at
    11 x 11, constants 0.01 and 0.03; edges are mirrored.

    Examples
    --------
    >>> rows, columns = np.indices((8, 8), dtype=float)
    >>> ssim(np.stack([rows, 3 * rows]))[0, 1].round(6)
    np.float64(1.0)
    """
    maps = np.asarray(maps, dtype=np.float64)
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    maps = np.divide(maps, 2 * largest, out=np.zeros_like(maps), where=largest > 0) + 0.5

    rows, columns = (_gaussian(side) for side in maps.shape[1:])

    def local(values: np.ndarray) -> np.ndarray:
        return rows @ values @ columns.T

    c1, c2 = 0.01**2, 0.03**2
    mean = local(maps)
    variance = local(maps**2) - mean**2
    similar = np.ones((len(maps), len(maps)))
    for i in range(len(maps) - 1):
        product = mean[i] * mean[i + 1 :]
        covariance = local(maps[i] * maps[i + 1 :]) - product
        ratio = (2 * product + c1) / (mean[i] ** 2 + mean[i + 1 :] ** 2 + c1)
        ratio *= (2 * covariance + c2) / (variance[i] + variance[i + 1 :] + c2)
        similar[i, i + 1 :] = similar[i + 1 :, i] = ratio.mean(axis=(1, 2))
    return _without(similar, np.ptp(_rows(maps), axis=1) == 0)


def kendall(values: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b between all pairs of rows: whether two judges rank alike.

    Parameters
    ----------
    values : array (R, B)
        What each of R judges gives each of B competitors.

    Returns
    -------
    array (R, R)
        From -1 to 1; NaN where a judge tells no two apart.

    Examples
    --------
    >>> kendall(np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))[0, 1].round(2)
    np.float64(0.33)
    """
    values = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(values.shape[1], 1)
    signs = np.sign(values[:, second] - values[:, first])
    told = np.sqrt((signs != 0).sum(axis=1, dtype=np.float64))
    with np.errstate(invalid="ignore"):
        return (signs @ signs.T) / np.outer(told, told)


def _rows(maps: np.ndarray) -> np.ndarray:
    maps = np.asarray(maps, dtype=np.float64)
    return maps.reshape(len(maps), -1)


# scipy has both of these, but importing it takes longer than the first picture may.


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[which]


def _gaussian(side: int) -> np.ndarray:
    """Matrix (side, side) of a Gaussian window of 11 pixels along a line, mirrored at its ends."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    source = (np.arange(side)[:, None] + offsets) % (2 * side)
    source = np.minimum(source, 2 * side - 1 - source)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], source), weights / weights.sum())
    return matrix


def _without(table: np.ndarray, constant: np.ndarray) -> np.ndarray:
    table[constant] = np.nan
    table[:, constant] = np.nan
    return table
