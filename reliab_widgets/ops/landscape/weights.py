"""Planes in the space of weights: two random directions, normalised filter by filter.

Li et al. 2018, "Visualizing the loss landscape of neural nets", arXiv 1712.09913: each filter of a
random direction gets the length of the filter that it changes, so that networks whose weights are
scaled otherwise, with the same answers, look alike. Biases and the numbers of normalisation layers
stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.network import Network
from ...core.wording import problem


@dataclass(frozen=True)
class Slice:
    """Two directions among the weights of a network.

    Parameters
    ----------
    network : Network
        In the middle; it is never changed.
    first, second : mapping of str to Tensor
        By the names of parameters; others stay.
    """

    network: Network
    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]

    def copied(self) -> Moving:
        """Return a copy of the network that can be moved over the plane."""
        return Moving(self)


class Moving:
    """A copy of a network whose weights are somewhere on a plane."""

    def __init__(self, plane: Slice) -> None:
        self._plane = plane
        self.network = plane.network.copied()
        known = dict(self.network.model.named_parameters())
        self._moved = {name: (known[name], known[name].detach().clone()) for name in plane.first}

    def to(self, a: float, b: float) -> Network:
        """Go to a point of the plane and return the network there, this very copy."""
        with torch.no_grad():
            for name, (parameter, middle) in self._moved.items():
                first, second = self._plane.first[name], self._plane.second[name]
                parameter.copy_(middle + a * first + b * second)
        return self.network


def slice_of(network: Network, seed: int, draw: int) -> Slice:
    """Draw a plane through the weights of a network.

    Parameters
    ----------
    network : Network
        In its middle.
    seed, draw : int
        Another draw of the same seed is another plane.

    Raises
    ------
    ValueError
        It has no weights besides biases.
    """
    generator = np.random.default_rng([seed, draw])
    # A parameter of two places is one: named_parameters gives it once.
    found = {name: it for name, it in network.model.named_parameters() if it.ndim > 1}
    if not found:
        fix = "Look at the space of images, with space='input'"
        seen = "it has no weights with filters, only biases or nothing"
        raise ValueError(problem("the network has no plane of weights", seen, fix))
    first, second = (
        {name: _like(it.detach(), generator) for name, it in found.items()} for _ in range(2)
    )
    return Slice(network, first, second)


def _like(weight: Tensor, generator: np.random.Generator) -> Tensor:
    """Draw a direction whose filters are as long as those of a weight (filters, ...).

    Examples
    --------
    >>> weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> _like(weight, np.random.default_rng(0)).norm(dim=1)
    tensor([5., 0.])
    """
    drawn = generator.standard_normal(tuple(weight.shape), np.float32)
    direction = torch.from_numpy(drawn).to(weight)
    dims = tuple(range(1, weight.ndim))
    length, wanted = (
        torch.linalg.vector_norm(it, dim=dims, keepdim=True) for it in (direction, weight)
    )
    return direction * (wanted / length.clamp_min(1e-10))
