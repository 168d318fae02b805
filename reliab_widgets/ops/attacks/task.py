"""Images under attack: what is wanted of each, by which loss, and how far it may change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.readings import check_slopes
from .balls import Ball
from .objective import RISES, Model, score, succeeded
from .sources import OfLosses


class Found(NamedTuple):
    """What an ascent gives.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) inside their balls.
    rows : Tensor
        (T + 1, n, K) logits after 0, 1, ..., T steps; the last are those of ``images``.
    blind : Tensor
        (n,) bool: every gradient was exactly 0.
    """

    images: Tensor
    rows: Tensor
    blind: Tensor


@dataclass(frozen=True)
class Task:
    """What an attack in a ball is given.

    Parameters
    ----------
    model : callable
        Gives (n, K) logits of (n, C, H, W) images.
    labels : Tensor
        (n,) the classes to lead away from.
    target : Tensor, optional
        (n,) the classes to lead to.
    indices : Tensor
        (n,) what the images' random numbers are drawn from.
    ball : Ball
        How far they may go.
    loss : str
        What is climbed, a key of ``objective.RISES``.
    aim : Tensor, optional
        (n,) the classes that are climbed to, where that is only a way to leave the labels.
    """

    model: Model
    labels: Tensor
    target: Tensor | None
    indices: Tensor
    ball: Ball
    loss: str = "auto"
    aim: Tensor | None = None

    def only(self, places: Tensor) -> Task:
        """Return the same for some of the images."""
        return replace(
            self,
            labels=self.labels[places],
            target=None if self.target is None else self.target[places],
            aim=None if self.aim is None else self.aim[places],
            indices=self.indices[places.to(self.indices.device)],
            ball=self.ball.only(places),
        )

    def rise(self, logits: Tensor) -> Tensor:
        """Give for each image what the attack increases."""
        aim = self.target if self.aim is None else self.aim
        return RISES[self.loss](logits, self.labels, aim)

    def reached(self, logits: Tensor) -> Tensor:
        """Tell where the attack has succeeded."""
        return succeeded(logits, self.labels, self.target)

    def score(self, logits: Tensor) -> Tensor:
        """Rank results of one image, whatever was climbed: nothing is better than a success."""
        return score(logits, self.labels, self.target)

    def climb(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give logits, what is increased, and its slope at the images."""
        images = images.detach().requires_grad_()
        if not isinstance(self.model, OfLosses):
            logits = self.model(images)
            rise = self.rise(logits)
        else:  # the mean of losses, not the loss of a mean
            parts = self.model.each(images)
            logits, rise = parts.mean(0), torch.stack([self.rise(it) for it in parts]).mean(0)
        (slope,) = torch.autograd.grad(rise.sum(), images)
        check_slopes(slope)
        return logits.detach(), rise.detach(), slope

    def start(self, seed: int, number: int) -> Tensor:
        """Draw where each image begins for the so-manieth time."""
        return self.ball.start(self.indices, seed, number)


def standing(task: Task, logits: Tensor) -> Tensor:
    """Give the places of images that have not been led where they should be."""
    return (~task.reached(logits)).nonzero()[:, 0]


def better(task: Task, best: Found, places: Tensor, found: Found) -> Found:
    """Return the best of two results for the images at some places, the first where they tie.

    Nothing is better than a success; without one the higher loss is.
    """
    ahead = task.only(places).score(found.rows[-1]) > task.only(places).score(best.rows[-1, places])
    images, rows, blind = (it.clone() for it in best)
    images[places[ahead]] = found.images[ahead]
    rows[:, places[ahead]] = found.rows[:, ahead]
    blind[places] &= found.blind
    return Found(images, rows, blind)
