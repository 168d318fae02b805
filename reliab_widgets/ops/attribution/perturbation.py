"""What occlusion and RISE do to an image: keep some of it, put a baseline in place of the rest.

Images are in pixel units, (..., C, H, W) in [0, 1]. A mask (..., 1, H, W) says how much of each
pixel is kept: 1 all of it, 0 none.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

KEPT = 0.5
"""The share of a grid that a mask of RISE keeps, on average."""


def phi(image: Tensor, mask: Tensor, baseline: Tensor) -> Tensor:
    """Return ``mask * image + (1 - mask) * baseline``; exact where the mask is 0 or 1.

    Parameters
    ----------
    image, baseline : Tensor (..., C, H, W)
        Pixel units.
    mask : Tensor (..., 1, H, W)
        In [0, 1].

    Returns
    -------
    Tensor (..., C, H, W)

    Examples
    --------
    >>> image, baseline = torch.full((1, 2, 2), 0.8), torch.zeros(1, 2, 2)
    >>> phi(image, torch.tensor([[[1.0, 0.5], [0.25, 0.0]]]), baseline)
    tensor([[[0.8000, 0.4000],
             [0.2000, 0.0000]]])
    """
    return torch.lerp(baseline, image, mask.to(image))


def windows(
    size: tuple[int, int], window: int, stride: int, chosen: np.ndarray | None = None
) -> Tensor:
    """Return the masks of occlusion: each removes one square window.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    window, stride : int
        Side of the square and distance between neighbours, in pixels. The first window begins in
        the upper left corner; the last ones are cut at the edge, so that every pixel that
        stride <= window can reach is removed at least once.
    chosen : array of int, optional
        Which of the masks to make, row by row, by default all.

    Returns
    -------
    Tensor (J, 1, H, W)

    Notes
    -----
    Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks".

    Examples
    --------
    >>> windows((2, 4), window=2, stride=2)[:, 0, 0]
    tensor([[0., 0., 1., 1.],
            [1., 1., 0., 0.]])
    """
    rows, columns = (_spans(side, window, stride) for side in size)
    every = np.arange(len(rows) * len(columns)) if chosen is None else chosen
    down, across = map(torch.from_numpy, np.divmod(every, len(columns)))
    removed = rows[down][:, :, None] & columns[across][:, None, :]
    return 1 - removed[:, None].float()


def count_windows(size: tuple[int, int], window: int, stride: int) -> int:
    """Return how many masks of occlusion there are.

    Examples
    --------
    >>> count_windows((2, 4), window=2, stride=2)
    2
    """
    down, across = (_count(side, window, stride) for side in size)
    return down * across


def _count(side: int, window: int, stride: int) -> int:
    return max(0, -(-(side - window) // stride)) + 1


def _spans(side: int, window: int, stride: int) -> Tensor:
    begins = torch.arange(_count(side, window, stride))[:, None] * stride
    places = torch.arange(side)
    return (places >= begins) & (places < begins + window)


def rise_masks(
    size: tuple[int, int], masks: int, grid: int, seed: int, chosen: np.ndarray | None = None
) -> Tensor:
    """Return masks of RISE: random coarse grids, enlarged smoothly and shifted at random.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    masks : int
        How many there are in all.
    grid : int
        Cells along each side; half of them are kept on average.
    seed : int
        The same masks for the same seed, whichever are asked for.
    chosen : array of int, optional
        Which of the masks to make, by default all.

    Returns
    -------
    Tensor (J, 1, H, W)
        In [0, 1].

    Notes
    -----
    Petsiuk, Das and Saenko 2018, "RISE", arXiv 1806.07421.

    Examples
    --------
    >>> rise_masks((8, 8), masks=100, grid=4, seed=0, chosen=np.array([7, 3])).shape
    torch.Size([2, 1, 8, 8])
    """
    generator = np.random.default_rng(seed)
    kept = generator.random((masks, 1, grid, grid)) < KEPT
    cells = [-(-side // grid) for side in size]
    shifts = [torch.from_numpy(generator.integers(0, cell, masks)) for cell in cells]
    where = torch.arange(masks) if chosen is None else torch.from_numpy(chosen)
    enlarged = interpolate(
        torch.from_numpy(kept)[where].float(),
        size=tuple((grid + 1) * cell for cell in cells),
        mode="bilinear",
    ).clamp_(0, 1)
    rows, columns = (
        shift[where, None] + torch.arange(side) for shift, side in zip(shifts, size, strict=True)
    )
    each = torch.arange(len(where))[:, None, None]
    return enlarged[each, 0, rows[:, :, None], columns[:, None, :]][:, None]
