"""Planes in the space of images: two directions from one image, of unit length in L-infinity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.wording import problem
from ..attacks.balls import streams

ANGLES = 180
"""Directions of a plane in whole degrees; the other half are their opposites."""
_DRAWN = 2**21
"""Random numbers of planes: not those of attacks and noise."""
_SAME = 1e-6
"""Of what is left of a second direction beside the first: less is rounding."""


@dataclass(frozen=True)
class Plane:
    """Points ``image + a first + b second``, brought back into [0, 1].

    Parameters
    ----------
    image : Tensor
        (C, H, W) in [0, 1], in the middle.
    first, second : Tensor
        (C, H, W) at right angles, the largest change of a pixel 1.
    """

    image: Tensor
    first: Tensor
    second: Tensor

    def points(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images at (n,) coordinates, and the share of numbers cut off at 0 or 1, (n,).

        Examples
        --------
        >>> black, up = torch.zeros(1, 1, 2), torch.tensor([[[1.0, -1.0]]])
        >>> Plane(black, up, up.abs()).points(torch.tensor([0.5]), torch.tensor([0.0]))
        (tensor([[[[0.5000, 0.0000]]]]), tensor([0.5000]))
        """
        a, b = a.view(-1, 1, 1, 1).to(self.image), b.view(-1, 1, 1, 1).to(self.image)
        wanted = self.image + a * self.first + b * self.second
        images = wanted.clamp(0, 1)
        return images, (images != wanted).flatten(1).float().mean(1)

    def coordinates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return where (n, C, H, W) images fall on the plane, (n, 2), and how much of each does.

        The second, (n,), is the share of the length of the change that lies in the plane; 1 for
        the image in the middle.

        Examples
        --------
        >>> black, up = torch.zeros(1, 1, 2), torch.tensor([[[1.0, -1.0]]])
        >>> Plane(black, up, up.abs()).coordinates(torch.tensor([[[[0.5, 0.0]]]]))
        (tensor([[0.2500, 0.2500]]), tensor([1.]))
        """
        change = (images - self.image).flatten(1).double()
        axes = torch.stack([self.first, self.second]).flatten(1).double()
        along = change @ axes.T / axes.square().sum(1)
        inside, whole = (along @ axes).norm(dim=1), change.norm(dim=1)
        held = torch.where(whole > 0, inside / whole.clamp_min(1e-30), 1.0)
        return along.float(), held.float().clamp(max=1)

    def stretch(self) -> np.ndarray:
        """Return for each whole degree how far a step of length 1 moves a pixel at most, (180,).

        Examples
        --------
        >>> up = torch.tensor([[[1.0, -1.0]]])
        >>> Plane(torch.zeros(1, 1, 2), up, up.abs()).stretch()[[0, 45, 90]].round(2)
        array([1.  , 1.41, 1.  ])
        """
        angle = np.deg2rad(np.arange(ANGLES))
        pairs = np.stack([it.cpu().double().flatten().numpy() for it in (self.first, self.second)])
        corners = np.unique(pairs.round(9), axis=1)
        every = np.stack([np.cos(angle), np.sin(angle)], 1)
        return np.array([np.abs(one @ corners).max() for one in every])


def random_signs(image: Tensor, index: int, seed: int, draw: int) -> Tensor:
    """Draw a direction: 1 or -1 for every number of an image, by its place in the set.

    Examples
    --------
    >>> random_signs(torch.zeros(1, 1, 3), 0, 0, 0).abs()
    tensor([[[1., 1., 1.]]])
    """
    (generator,) = streams(torch.tensor([index]), seed, _DRAWN + draw)
    drawn = generator.integers(2, size=tuple(image.shape)) * 2 - 1
    return torch.from_numpy(drawn).to(image)


def spanned(image: Tensor, first: Tensor, second: Tensor, what: str) -> Plane:
    """Return the plane of two directions, the second made orthogonal to the first.

    Parameters
    ----------
    image, first, second : Tensor
        (C, H, W).
    what : str
        What gave the two, for the error.

    Raises
    ------
    ValueError
        They span no plane.

    Examples
    --------
    >>> plane = spanned(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.eye(2)[:1, None], "two")
    >>> plane.second
    tensor([[[ 1., -1.]]])
    """
    one, two = first.double(), second.double()
    one = one / one.abs().max().clamp_min(1e-30)
    two = two / two.abs().max().clamp_min(1e-30)
    two = two - (two * one).sum() / one.square().sum().clamp_min(1e-30) * one
    left = two.abs().max()
    if not bool(one.any()) or left < _SAME:
        seen = f"{what}: one direction, or none"
        fix = "Choose another plane=, or plane='random', which always has two"
        raise ValueError(problem("two directions are needed for a plane", seen, fix))
    return Plane(image, one.to(image), (two / left).to(image))
