"""Noise of an attack's size: the control of every attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import checked
from ...core.knobs import Auto, Positions, Seed
from ...core.subject import Subject
from ...core.wording import grey_levels
from .balls import Cube, Sphere, streams
from .balls import norm as length
from .knobs import Epsilon


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


def directions(images: Tensor, indices: Tensor, size: Tensor, seed: int = 0) -> Tensor:
    """Add random changes of a given L2 length to images: the control of attacks in L2.

    Parameters and what is returned are those of `signs`; ``size`` is the length of the whole
    change, which pixels at the ends of their range make shorter.

    Examples
    --------
    >>> grey = torch.full((1, 1, 1, 4), 0.5)
    >>> noisy = directions(grey, torch.tensor([0]), torch.tensor([0.25]))
    >>> round(float((noisy - grey).norm()), 4)
    0.25
    """
    drawn = [
        generator.standard_normal(images.shape[1:], np.float32)
        for generator in streams(indices, seed, 0)
    ]
    change = torch.from_numpy(np.stack(drawn)).to(images.device)
    change *= size.to(change).view(-1, 1, 1, 1) / length(change)
    return Sphere(images, size).exact(images + change)


@checked
def noisy(
    subject: Subject,
    *,
    epsilon: Epsilon = 8 / 255,
    seed: Seed = 0,
    images: Annotated[Sequence[int] | None, Auto(Positions())] = None,
) -> Subject:
    """Add random signs of an attack's size to images of a Subject: the control of an attack.

    Parameters
    ----------
    subject : Subject
        Whose images are changed.
    epsilon : float
        By how much every pixel changes, where it stays in [0, 1]; in pixel units.
    seed : int
        Of the noise, which an image has by its number in the set.
    images : sequence of int, optional
        Which of them, by their positions: the others stay as they are. By default all.

    Returns
    -------
    Subject
        With the same network, labels and validation images, which are not changed.

    Raises
    ------
    ValueError
        A knob has a value it cannot have.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> rw.noisy(rw.demo("resnet20")[:8], epsilon=4 / 255).name
    'resnet20, noise 4/255'
    """
    where = slice(None) if images is None else list(images)
    pixels, numbers = subject.images[where], subject.positions[where]
    size = torch.full((len(pixels),), epsilon, dtype=pixels.dtype)
    told = "" if images is None else f", images={list(images)}"
    code = f"rw.noisy({subject.code}, epsilon={epsilon!r}, seed={seed}{told})"
    name = f"{subject.name}, noise {grey_levels(epsilon)}"
    return subject.changed(signs(pixels, numbers, size, seed), name, code, where)
