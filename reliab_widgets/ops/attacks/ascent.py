"""Gradient ascent in a ball: steps along the sign of a slope, or along the slope itself.

FGSM: Goodfellow et al. 2015, arXiv 1412.6572. BIM: Kurakin et al. 2017, arXiv 1607.02533. MIM: Dong
et al. 2018, arXiv 1710.06081. PGD: Madry et al. 2018, arXiv 1706.06083. EOT: Athalye et al. 2018,
arXiv 1707.07397.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.randomness import drawing
from .objective import logits_of
from .task import Found, Task, better, standing

DRAWS = 5
"""Over how many draws of a network that draws a slope is averaged in each step."""


def ascend(
    task: Task,
    images: Tensor,
    steps: int,
    stride: float,
    *,
    momentum: bool = False,
    averaged: bool = False,
) -> Found:
    """Climb from somewhere in the ball.

    Parameters
    ----------
    task : Task
        What is climbed, and how far.
    images : Tensor
        (n, C, H, W) where it begins.
    steps : int
        How many.
    stride : float
        How long each is, in units of epsilon.
    momentum : bool
        Whether slopes add up, each divided by its mean size.
    averaged : bool
        Whether a slope is the mean over draws of the network; the logits are their mean then too.
    """
    rows = []
    blind = torch.ones_like(task.labels, dtype=torch.bool)
    pushed = torch.zeros_like(images)
    for step in range(steps):
        pulse()
        logits, slope = _over_draws(task, images, step) if averaged else _once(task, images)
        rows.append(logits)
        blind &= ~slope.flatten(1).any(1)
        if momentum:
            mean = slope.abs().mean((1, 2, 3), keepdim=True)
            pushed = pushed + slope / mean.clamp_min(torch.finfo(mean.dtype).tiny)
            slope = pushed
        images = task.ball.step(images.detach(), slope, stride)
    images = task.ball.exact(images)
    return Found(images, torch.stack([*rows, logits_of(task.model, images)]), blind)


def _once(task: Task, images: Tensor) -> tuple[Tensor, Tensor]:
    logits, _, slope = task.climb(images)
    return logits, slope


def _over_draws(task: Task, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Give the mean logits and slope over draws that no other step, and no answer, makes."""
    logits, slopes = [], []
    for draw in range(DRAWS):
        pulse()
        with drawing(1 + step * DRAWS + draw):
            seen, slope = _once(task, images)
        logits.append(seen)
        slopes.append(slope)
    return torch.stack(logits).mean(0), torch.stack(slopes).mean(0)


def from_starts(
    task: Task, run: Callable[[Task, Tensor], Found], restarts: int, seed: int, first: int = 0
) -> Found:
    """Climb from random starts; keep for each image the first success, or the highest loss."""
    best = run(task, task.start(seed, first))
    for number in range(first + 1, first + restarts):
        places = standing(task, best.rows[-1])
        if not len(places):
            break
        part = task.only(places)
        best = better(task, best, places, run(part, part.start(seed, number)))
    return best
