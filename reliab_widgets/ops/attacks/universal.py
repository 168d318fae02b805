"""One pattern for all images, found from some of them, and two controls of the same size.

The pattern begins at 0 and goes through images in random order. Where the network still answers as
without it, one signed step is taken from the image with the pattern on it, and kept if the answer
changes; then the pattern is brought back into its ball. Moosavi-Dezfooli et al. 2017, arXiv
1610.08401; Hirano and Takemoto 2020, arXiv 1911.06502; from natural images of another task, Minagi
et al. 2022. As there, the image with the pattern is not clipped on the way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.readings import check_slopes
from .objective import Model, logits_of, loss, succeeded

STEP = 0.12
"""Length of a step, as a share of the radius: such small ones that the first do not fill it."""


def length(pattern: Tensor, norm: str) -> float:
    """Return the size of a pattern, over all its channels.

    Examples
    --------
    >>> length(torch.tensor([3.0, -4.0]), "L2"), length(torch.tensor([3.0, -4.0]), "Linf")
    (5.0, 4.0)
    """
    values = pattern.double().flatten()
    return float(torch.linalg.vector_norm(values, ord=2 if norm == "L2" else torch.inf))


def within(pattern: Tensor, norm: str, radius: float) -> Tensor:
    """Bring a pattern into its ball.

    Examples
    --------
    >>> within(torch.tensor([3.0, -4.0]), "L2", 1.0), within(torch.tensor([3.0, -4.0]), "Linf", 3.5)
    (tensor([ 0.6000, -0.8000]), tensor([ 3.0000, -3.5000]))
    """
    if norm == "Linf":
        return pattern.clamp(-radius, radius)
    return pattern * (radius / max(length(pattern, norm), radius))


def grown(
    model: Model,
    images: Tensor,
    answers: Tensor,
    *,
    norm: str,
    radius: float,
    target: int | None = None,
    passes: int = 1,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Yield a pattern after each image that it has gone through.

    Parameters
    ----------
    model : callable
        Gives (n, K) logits of (n, C, H, W) images, differentiably.
    images : Tensor
        (m, C, H, W) in [0, 1], of which the pattern is made.
    answers : Tensor
        (m,) what the model answers to them.
    norm : str
        ``"L2"`` or ``"Linf"``.
    radius : float
        The largest norm of the pattern, in pixel units.
    target : int, optional
        The class to lead all images to; by default away from their answers.
    passes : int
        How often it goes through all images.
    seed : int
        Of their order, another in each pass.

    Yields
    ------
    Tensor
        (C, H, W), ``passes * m`` times.

    Examples
    --------
    >>> def model(images):
    ...     mean = images.mean((1, 2, 3))
    ...     return torch.stack([0.6 - mean, mean], 1)
    >>> images, answers = torch.full((3, 1, 2, 2), 0.25), torch.tensor([0, 0, 0])
    >>> *_, pattern = grown(model, images, answers, norm="Linf", radius=1.0)
    >>> pattern.flatten().tolist()
    [0.11999999731779099, 0.11999999731779099, 0.11999999731779099, 0.11999999731779099]
    """
    draws = np.random.default_rng(seed)
    pattern = torch.zeros_like(images[:1])
    # Of the signs of all pixels: in L2 a signed step has that length too.
    stride = STEP * radius / (pattern.numel() ** 0.5 if norm == "L2" else 1.0)
    for _ in range(passes):
        for k in draws.permutation(len(images)).tolist():
            pulse()
            pushed = _pushed(model, images[k : k + 1], pattern, answers[k : k + 1], target, stride)
            if pushed is not None:
                pattern = within(pushed, norm, radius)
            yield pattern[0]


def _pushed(
    model: Model, image: Tensor, pattern: Tensor, answer: Tensor, target: int | None, stride: float
) -> Tensor | None:
    """Return the pattern with a step that changes the answer; None if none is needed, or none is.

    Its modes are set here and not by `grown`, which others interrupt.
    """
    aim = None if target is None else torch.full_like(answer, target)
    with torch.inference_mode(False), torch.enable_grad():
        point = (image + pattern).requires_grad_()
        logits = model(point)
        if bool(succeeded(logits, answer, aim)):
            return None
        (slope,) = torch.autograd.grad(loss(logits, answer, aim).sum(), point)
        check_slopes(slope)
        moved = pattern + stride * slope.sign()
        after = logits_of(model, image + moved)
        return moved if bool(succeeded(after, answer, aim)) else None


def like(pattern: Tensor, norm: str, seed: int = 0) -> Tensor:
    """Draw a pattern of the same norm: random signs, or in L2 a direction of all that there are.

    Examples
    --------
    >>> round(length(like(torch.ones(1, 2, 2), "L2"), "L2"), 6)
    2.0
    """
    draws = np.random.default_rng((seed, 1))
    if norm == "Linf":
        drawn = 2 * draws.integers(2, size=tuple(pattern.shape)) - 1.0
    else:
        drawn = draws.standard_normal(tuple(pattern.shape))
        drawn /= np.linalg.norm(drawn)
    return torch.from_numpy(drawn * length(pattern, norm)).to(pattern)


def shuffled(pattern: Tensor, seed: int = 0) -> Tensor:
    """Put the pixels of a pattern (C, H, W) at other places, each with all its channels.

    Examples
    --------
    >>> sorted(shuffled(torch.arange(4.0).view(1, 2, 2)).flatten().tolist())
    [0.0, 1.0, 2.0, 3.0]
    """
    places = np.random.default_rng((seed, 2)).permutation(pattern[0].numel())
    return pattern.flatten(1)[:, torch.from_numpy(places)].view_as(pattern)
