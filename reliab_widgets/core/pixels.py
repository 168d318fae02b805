"""Images and maps as numpy arrays of pixels: their bytes, their outlines, a coarse grid on them."""

from __future__ import annotations

import numpy as np

GRID = 8
"""Cells along a side of the coarse grid."""


def rgb(image: np.ndarray) -> np.ndarray:
    """Return an image as bytes; other than one or three channels are shown as their mean.

    Parameters
    ----------
    image : array (C, H, W)
        In [0, 1].

    Returns
    -------
    array (H, W, 3) of uint8

    Examples
    --------
    >>> rgb(np.full((1, 1, 1), 0.5))
    array([[[128, 128, 128]]], dtype=uint8)
    """
    if len(image) not in (1, 3):
        image = image.mean(0, keepdims=True)
    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def edges(length: int, most: int = GRID) -> np.ndarray:
    """Return where the cells of a grid begin and end along so many pixels.

    Examples
    --------
    >>> edges(20)
    array([ 0,  2,  5,  8, 10, 12, 15, 18, 20])
    """
    return np.linspace(0, length, min(most, length) + 1).round().astype(int)


def in_cells(maps: np.ndarray, most: int = GRID) -> np.ndarray:
    """Return the sum of maps (..., H, W) in every cell of a grid, (..., rows, columns).

    Examples
    --------
    >>> in_cells(np.ones((16, 8))).shape, in_cells(np.ones((16, 8)))[0, 0]
    ((8, 8), np.float64(2.0))
    """
    rows, columns = (edges(side, most)[:-1] for side in maps.shape[-2:])
    return np.add.reduceat(np.add.reduceat(maps, rows, axis=-2), columns, axis=-1)


def outline(inside: np.ndarray) -> np.ndarray:
    """Return the edges between pixels inside and outside.

    Parameters
    ----------
    inside : array (H, W) of bool
        Beyond its rim everything is outside.

    Returns
    -------
    array (J, 2, 2)
        Both ends of each edge as (x, y), in pixels from the upper left corner.

    Examples
    --------
    >>> outline(np.array([[True]])).tolist()
    [[[0, 0], [0, 1]], [[1, 0], [1, 1]], [[0, 0], [1, 0]], [[0, 1], [1, 1]]]
    """
    padded = np.pad(inside, 1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    v, u = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    upright, level = ([[x, y], [x, y + 1]], [[u, v], [u + 1, v]])
    return np.concatenate([np.stack(lines).transpose(2, 0, 1) for lines in (upright, level)])
