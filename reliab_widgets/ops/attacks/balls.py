"""What an attack may reach: balls around images, without any rounding error, and starts in them."""

from __future__ import annotations

import copy
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

B = TypeVar("B", bound="_Balls")


class _Balls:
    """Balls around images, one for each: all they know is in tensors, a row for each image."""

    def only(self: B, places: Tensor) -> B:
        """Return the balls around some of the images."""
        some = copy.copy(self)
        some.__dict__ = {name: it[places.to(it.device)] for name, it in vars(self).items()}
        return some


class Cube(_Balls):
    """What is at most epsilon away in every pixel, and in [0, 1]."""

    def __init__(self, images: Tensor, epsilon: Tensor) -> None:
        # Rounded towards the image, so that clamping to these bounds can never leave the ball.
        exact, reach = images.cpu().double(), epsilon.cpu().double().view(-1, 1, 1, 1)
        low, high = (exact - reach).clamp(0, 1), (exact + reach).clamp(0, 1)
        self.epsilon = epsilon.to(images).view(-1, 1, 1, 1)
        self.low, self.high = (towards(images, bound) for bound in (low, high))

    def start(self, indices: Tensor, seed: int, restart: int) -> Tensor:
        """Draw a point of the ball for each image."""
        shape = self.low.shape[1:]
        share = np.stack([g.random(shape, np.float32) for g in streams(indices, seed, 1 + restart)])
        return self.exact(torch.lerp(self.low, self.high, torch.from_numpy(share).to(self.low)))

    def step(self, images: Tensor, slope: Tensor, stride: float | Tensor) -> Tensor:
        """Go ``stride`` epsilons along the sign of the slope, and no further than the ball."""
        return self.exact(images + stride * self.epsilon * slope.sign())

    def exact(self, images: Tensor) -> Tensor:
        """Bring images into the ball without any rounding error."""
        return torch.minimum(torch.maximum(images, self.low), self.high)


class Sphere(_Balls):
    """What is at most epsilon away in Euclidean distance, and in [0, 1]."""

    def __init__(self, images: Tensor, epsilon: Tensor) -> None:
        self.images, self.epsilon = images, epsilon.to(images).view(-1, 1, 1, 1)
        self.reach = epsilon.cpu().double().view(-1, 1, 1, 1)

    def start(self, indices: Tensor, seed: int, restart: int) -> Tensor:
        """Draw a point of the ball for each image."""
        shape = self.images.shape[1:]
        drawn = []
        for generator in streams(indices, seed, 1 + restart):
            direction = generator.standard_normal(shape, np.float32)
            length = generator.random() ** (1 / direction.size)  # uniform in the ball
            drawn.append(direction * np.float32(length / np.linalg.norm(direction)))
        return self._within(torch.from_numpy(np.stack(drawn)).to(self.images) * self.epsilon)

    def step(self, images: Tensor, slope: Tensor, stride: float | Tensor) -> Tensor:
        """Go ``stride`` epsilons along the slope, and no further than the ball."""
        unit = slope / norm(slope).clamp_min(torch.finfo(slope.dtype).tiny)
        return self._within(images + stride * self.epsilon * unit - self.images)

    def _within(self, change: Tensor) -> Tensor:
        shrink = self.epsilon / torch.maximum(norm(change), self.epsilon)
        return (self.images + change * shrink).clamp(0, 1)

    def exact(self, images: Tensor) -> Tensor:
        """Bring images into the ball without any rounding error."""
        clean = self.images.cpu().double()
        change = images.cpu().double() - clean
        change *= self.reach / torch.maximum(norm(change), self.reach)
        return towards(self.images, (clean + change).clamp(0, 1))


Ball: TypeAlias = Cube | Sphere


def towards(images: Tensor, wanted: Tensor) -> Tensor:
    """Round ``wanted`` (float64, CPU) to the type of ``images``, never away from them."""
    near = images.cpu()
    rounded = wanted.to(near.dtype)
    beyond = (rounded.double() - near.double()).abs() > (wanted - near.double()).abs()
    return torch.where(beyond, torch.nextafter(rounded, near), rounded).to(images.device)


def streams(indices: Tensor, seed: int, purpose: int) -> list[np.random.Generator]:
    """Make a generator for each image: it depends on nothing but seed, image and purpose."""
    # Philox takes (seed, index) as its key: streams of different images cannot overlap.
    keys = [np.array([seed % 2**64, index], dtype=np.uint64) for index in indices.tolist()]
    start = np.array([0, 0, 0, purpose], dtype=np.uint64)
    return [np.random.Generator(np.random.Philox(key=key, counter=start)) for key in keys]


def norm(change: Tensor) -> Tensor:
    """Give the Euclidean length of each image's change, (n, 1, 1, 1)."""
    return torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
