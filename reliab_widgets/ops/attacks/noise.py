"""Noise of an attack's size: the control of every attack."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .balls import Cube, streams


def signs(images: Tensor, indices: Tensor, size: Tensor, seed: int = 0) -> Tensor:
    """Add random signs of a given size to images: the control of every attack.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1].
    indices : Tensor
        (n,) each image's number in its set, from which its noise is drawn.
    size : Tensor
        (n,) in pixel units.
    seed : int
        Of the noise.

    Returns
    -------
    Tensor
        (n, C, H, W) in [0, 1], no pixel further than ``size`` from the image.

    Examples
    --------
    >>> noisy = signs(torch.full((1, 1, 1, 4), 0.5), torch.tensor([0]), torch.tensor([0.25]))
    >>> sorted(set(noisy.flatten().tolist()))
    [0.25, 0.75]
    """
    ball = Cube(images, size)
    drawn = [
        generator.integers(2, size=images.shape[1:]) for generator in streams(indices, seed, 0)
    ]
    return torch.where(torch.from_numpy(np.stack(drawn)).to(images.device) > 0, ball.high, ball.low)
