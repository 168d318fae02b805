"""Corruptions of images: noise, blur and less contrast at five severities.

Each is a hashable callable ``(images (n, C, H, W), indices (n,)) -> images`` in pixel units, so
that `Subject.evaluate` can keep what it computed for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# CIFAR-10-C's own numbers (Hendrycks and Dietterich 2019): standard deviation of the noise in
# pixel units, standard deviation of the blur in pixels, factor of the contrast.
SEVERITIES = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
}


def names() -> tuple[str, ...]:
    """Return the names of all corruptions, ``"clean"`` first.

    Returns
    -------
    tuple of str
        ``"clean"``, then every kind at its severities.

    Examples
    --------
    >>> names()[:3], len(names())
    (('clean', 'noise 1', 'noise 2'), 16)
    """
    levels = (f"{kind} {i + 1}" for kind, values in SEVERITIES.items() for i in range(len(values)))
    return ("clean", *levels)


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption at one severity, with the parameters of CIFAR-10-C.

    Parameters
    ----------
    kind : {"noise", "blur", "contrast"}
        Gaussian noise; Gaussian blur, edges repeated; contrast lowered towards the image's own mean
        per channel.
    severity : int
        1 to 5.
    seed : int
        Seed of the noise. An image's noise depends on the seed and the image's index alone, and
        severities only scale it.

    Raises
    ------
    ValueError
        No such kind or severity.

    Examples
    --------
    >>> grey = torch.full((1, 3, 8, 8), 0.5)
    >>> images = Corruption("noise", 1)(grey, torch.tensor([0]))
    >>> print(round((images - grey).std().item(), 2))
    0.04
    """

    kind: str
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        _known(f"{self.kind} {self.severity}")

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        """Return the corrupted images, (n, C, H, W) in [0, 1].

        Parameters
        ----------
        images : Tensor (n, C, H, W)
            In [0, 1].
        indices : Tensor (n,)
            Index of each image in its set.
        """
        level = SEVERITIES[self.kind][self.severity - 1]
        if self.kind == "noise":
            drawn = noise(images.shape[1:], indices.tolist(), self.seed).to(images)
            corrupted = drawn.mul_(level).add_(images)
        elif self.kind == "blur":
            height, width = (blur_matrix(size, level).to(images) for size in images.shape[-2:])
            corrupted = height @ images @ width.T
        else:
            mean = images.mean(dim=(2, 3), keepdim=True)
            corrupted = torch.lerp(mean, images, level)
        return corrupted.clamp_(0, 1)


def corruption(name: str, seed: int = 0) -> Corruption | None:
    """Return the corruption of that name, None for ``"clean"``.

    Parameters
    ----------
    name : str
        One of `names`, ``"blur 3"`` for instance.
    seed : int
        Seed of the noise.

    Returns
    -------
    Corruption or None
        What `Subject.evaluate` takes.

    Raises
    ------
    ValueError
        No such name.

    Examples
    --------
    >>> corruption("blur 3")
    Corruption(kind='blur', severity=3, seed=0)
    """
    _known(name)
    if name == "clean":
        return None
    kind, severity = name.split()
    return Corruption(kind, int(severity), seed)


def _known(name: str) -> None:
    if name not in names():
        raise ValueError(
            f"There is no corruption of that name; got {name!r}. Choose `corruption` from: "
            f"{', '.join(map(repr, names()))}."
        )


def noise(shape: Sequence[int], numbers: Iterable[int], seed: int) -> Tensor:
    """Draw standard normal noise: each part depends on nothing but the seed and its number.

    Parameters
    ----------
    shape : sequence of int
        Of a part, such as ``(C, H, W)``.
    numbers : iterable of int
        n of them, such as indices of images.
    seed : int
        Of them all.

    Returns
    -------
    Tensor (n, *shape)
        float32, on the CPU.

    Examples
    --------
    >>> torch.equal(noise((2, 2), [0, 7], seed=1)[1], noise((2, 2), [7], seed=1)[0])
    True
    """
    numbers = list(numbers)
    out = np.empty((len(numbers), *shape), dtype=np.float32)
    for row, number in zip(out, numbers, strict=True):
        # Philox takes (seed, number) as its key: the streams of two numbers cannot overlap.
        key = np.array([seed, number], dtype=np.uint64)
        np.random.Generator(np.random.Philox(key=key)).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(out)


def blur_matrix(size: int, sigma: float) -> Tensor:
    """Return the matrix (size, size) that blurs a line of pixels, its end pixels repeated.

    Parameters
    ----------
    size : int
        Length of the line.
    sigma : float
        Width of the Gaussian in pixels; it is cut at 4 sigma.

    Examples
    --------
    >>> blur_matrix(3, 0.1)
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]], dtype=torch.float64)
    """
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2).double()
    source = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (weights / weights.sum()).expand(size, -1))
