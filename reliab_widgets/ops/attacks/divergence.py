"""How far predictions can be moved inside a ball: the largest divergence found.

`ascended` climbs the Kullback-Leibler divergence of the prediction by its gradient, `searched`
looks without any gradient, in as many passes. What either finds is a lower bound of the true
maximum: nobody knows whether there is more. Where the search finds more than the ascent, gradients
mislead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.readings import check_slopes
from .balls import Cube, streams
from .objective import FAINT, Model, logits_of, odds

OVERSHOOT = 2.5
"""Step sizes add up to so many epsilons: from any start, any point of the ball can be reached."""
LED = 4
"""One of so many steps of every second ascent, the first ones, climbs the odds against the answer.

A divergence grows both ways, and where the answer only becomes surer, it soon ends: ascents from a
random start were stuck there at a thousandth of what others found.
"""
_SEARCH = 2**20
"""The random numbers of the search: not those of noise (0) or of starts (1 and more)."""
_FIRST_SIDE = 0.7
"""Share of an image's side that the first squares of the search have; they shrink from there."""


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """Give KL(p || q) in nats, from the log-probabilities (n, K) of p and of q; (n,), not below 0.

    Examples
    --------
    >>> before, after = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    >>> divergence(before, after)  # half of log 2, half of log 2/3
    tensor([0.1438])
    """
    return (before.exp() * (before - after)).sum(1).clamp_min(0)


class Found(NamedTuple):
    """What was found.

    Parameters
    ----------
    largest : Tensor
        (n,) the largest divergence, in nats; at least 0, which the image itself has.
    first : Tensor
        (n,) that of the first try: of the search, random signs times epsilon.
    blind : Tensor
        (n,) bool: every gradient was exactly 0.
    """

    largest: Tensor
    first: Tensor
    blind: Tensor


def ascended(
    model: Model,
    images: Tensor,
    indices: Tensor,
    *,
    epsilon: float,
    steps: int,
    restarts: int,
    seed: int,
) -> Found:
    """Climb the divergence from random starts: at the image itself its gradient is 0.

    Parameters
    ----------
    model : callable
        Gives (n, K) logits of (n, C, H, W) images, differentiably.
    images, indices : Tensor
        (n, C, H, W) in [0, 1], and (n,) their numbers in the set, from which starts are drawn.
    epsilon : float
        The most that a pixel may change.
    steps, restarts : int
        How many of each. Starts are the same for every epsilon, steps and number of restarts.
    seed : int
        Of the starts.

    Examples
    --------
    >>> def model(images):
    ...     mean = images.mean((1, 2, 3))
    ...     return torch.stack([10 * mean, 0 * mean], 1)
    >>> grey = torch.full((1, 1, 2, 2), 0.5)
    >>> found = ascended(model, grey, torch.tensor([0]), epsilon=0.1, steps=3, restarts=1, seed=0)
    >>> after = torch.tensor([[4.0, 0.0]])  # all four pixels at 0.4
    >>> log_p, log_q = (it.log_softmax(1) for it in (torch.tensor([[5.0, 0.0]]), after))
    >>> torch.allclose(found.largest, divergence(log_p, log_q), rtol=1e-3)
    True
    """
    ball = Cube(images, torch.full((len(images),), epsilon, dtype=torch.float64))
    with torch.inference_mode(False), torch.enable_grad():
        clean = logits_of(model, images)
        before, answer = clean.log_softmax(1), clean.argmax(1)
        # Of a saturated answer the divergence has no slope that float32 could hold: the logarithm
        # of the odds leads the same way until there is one.
        sure = odds(clean, answer) < FAINT
        best = torch.zeros_like(before[:, 0])
        blind = torch.ones_like(sure)
        for restart in range(restarts):
            moved = ball.start(indices, seed, restart)
            for step in range(steps):
                pulse()
                moved = moved.detach().requires_grad_()
                logits = model(moved)
                value = divergence(before, logits.log_softmax(1))
                flat = sure & (value.detach() < np.exp(FAINT))
                if restart % 2 == 0 and step < max(1, steps // LED):
                    flat = torch.ones_like(flat)
                climbed = torch.where(flat, odds(logits, answer), value)
                (slope,) = torch.autograd.grad(climbed.sum(), moved)
                check_slopes(slope)
                blind &= ~slope.flatten(1).any(1)
                best = torch.maximum(best, value.detach())
                moved = ball.step(moved.detach(), slope, OVERSHOOT / steps)
            best = torch.maximum(best, divergence(before, logits_of(model, moved).log_softmax(1)))
    return Found(best, torch.zeros_like(best), blind)


def passes(steps: int, restarts: int) -> int:
    """Return how many passes an ascent takes; one backwards counts as one forwards.

    Examples
    --------
    >>> passes(20, 3)
    123
    """
    return restarts * (2 * steps + 1)


def searched(
    model: Model, images: Tensor, indices: Tensor, *, epsilon: float, passes: int, seed: int
) -> Found:
    """Look for a large divergence without gradients: random squares of the surface of the ball.

    It begins with random signs times epsilon, and keeps each square that helps; squares shrink.
    After Andriushchenko et al. 2020, "Square Attack", arXiv 1912.00049.

    Parameters
    ----------
    model, images, indices, epsilon, seed
        As for `ascended`.
    passes : int
        How many points are tried.

    Examples
    --------
    >>> def model(images):
    ...     mean = images.mean((1, 2, 3))
    ...     return torch.stack([10 * mean, 0 * mean], 1)
    >>> grey = torch.full((1, 1, 4, 4), 0.5)
    >>> found = searched(model, grey, torch.tensor([0]), epsilon=0.1, passes=60, seed=0)
    >>> bool(found.largest > found.first)
    True
    """
    ball = Cube(images, torch.full((len(images),), epsilon, dtype=torch.float64))
    generators = streams(indices, seed, _SEARCH)
    shape = tuple(images.shape[1:])
    with torch.inference_mode(False), torch.no_grad():
        before = model(images).log_softmax(1)
        up = np.stack([it.integers(2, size=shape) > 0 for it in generators])

        def measured(up: np.ndarray) -> Tensor:
            pulse()
            wanted = torch.from_numpy(up).to(images.device)
            moved = torch.where(wanted, ball.high, ball.low)
            return divergence(before, model(moved).log_softmax(1))

        first = best = measured(up)
        for turn in range(1, passes):
            tried = up.copy()
            size = _FIRST_SIDE * 0.5 ** (4 * turn / passes)
            for one, generator in zip(tried, generators, strict=True):
                _square(one, size, generator)
            value = measured(tried)
            better = (value > best).cpu().numpy()
            up[better] = tried[better]
            best = torch.maximum(best, value)
    return Found(best, first, torch.zeros_like(best, dtype=torch.bool))


def _square(up: np.ndarray, size: float, generator: np.random.Generator) -> None:
    """Set a square of one image (C, H, W) to new signs, one for each channel."""
    channels, height, width = up.shape
    side = max(1, round(size * min(height, width)))
    row, column = (int(generator.integers(it - side + 1)) for it in (height, width))
    signs = generator.integers(2, size=(channels, 1, 1)) > 0
    up[:, row : row + side, column : column + side] = signs
