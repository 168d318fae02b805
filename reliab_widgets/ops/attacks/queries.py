"""Black boxes: attacks that see answers only, and count how often they ask.

An image is asked about until its answer is wrong. What is drawn for it is its own, whatever other
images are attacked beside it. The answer to the clean image is known before, and not counted.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...core.engine import pulse
from .balls import Cube, streams
from .objective import logits_of
from .task import Task, standing

DRAWN = 2**32  # the first purpose of streams that are no random starts
LARGEST = 0.8  # share of an image that the first squares cover
HALVED = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)  # when that is halved, in 10,000 queries
PAIRS = 10  # of steps to and fro, from which a slope is estimated
SIGMA = 1e-3  # how long such a step is in each pixel, of 1


class Proposals(Protocol):
    """What a random search tries next."""

    anyway: bool
    """Whether the first is taken even where it is no better than the clean image."""

    def tried(self, query: int, left: Tensor, now: Tensor) -> Tensor:
        """Give one image for each that is left, from what there is of it now."""

    def told(self, left: Tensor, better: Tensor) -> None:
        """Hear which of them were better."""


def square(task: Task, images: Tensor, steps: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, logits before and after, and queries of a search among squares.

    Andriushchenko et al. 2020, arXiv 1912.00049: in a square somewhere, each channel goes to one
    end of its ball; it stays there if that leads further. Squares shrink.
    """
    return _searched(task, images, steps, _Squares(task, images, steps, seed))


def simba(task: Task, images: Tensor, steps: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, logits before and after, and queries of a search along single pixels.

    Guo et al. 2019, arXiv 1905.07121: a pixel of a channel goes up or else down, if either leads
    further. With steps of epsilon / sqrt(queries) their sum cannot leave the ball.
    """
    return _searched(task, images, steps, _Pixels(task, images, steps, seed))


def nes(task: Task, images: Tensor, steps: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, logits before and after, and queries of an ascent along an estimated slope.

    Ilyas et al. 2018, arXiv 1804.08598: the slope is the mean of random directions, each times by
    how much more the loss is forth than back.
    """
    clean = logits_of(task.model, images)
    found, last, queries = images.clone(), clean.clone(), torch.zeros_like(task.labels)
    pairs = min(PAIRS, (steps - 1) // 2)
    rounds = steps // (2 * pairs + 1) if pairs else 0
    drawn = streams(task.indices, seed, DRAWN)
    left = standing(task, clean)
    for _ in range(rounds):
        if not len(left):
            break
        part, here = task.only(left), found[left]
        slope = torch.zeros_like(here)
        for _ in range(pairs):
            shape = images.shape[1:]
            ways = [drawn[place].standard_normal(shape, np.float32) for place in left.tolist()]
            way = torch.from_numpy(np.stack(ways)).to(images)
            rise = []
            for sign in (1, -1):
                pulse()
                asked = (here + sign * SIGMA * way).clamp(0, 1)
                rise.append(part.rise(logits_of(task.model, asked)))
            slope += way * (rise[0] - rise[1]).view(-1, 1, 1, 1)
        pulse()
        found[left] = part.ball.exact(part.ball.step(here, slope, 2.5 / rounds))
        last[left] = logits_of(task.model, found[left])
        queries[left] += 2 * pairs + 1
        left = left[~part.reached(last[left])]
    return found, torch.stack([clean, last]), queries


# --- random search ----------------------------------------------------------------------------


def _searched(
    task: Task, images: Tensor, steps: int, proposals: Proposals
) -> tuple[Tensor, Tensor, Tensor]:
    """Ask about one proposal after the other, and keep what leads further."""
    clean = logits_of(task.model, images)
    found, last, queries = images.clone(), clean.clone(), torch.zeros_like(task.labels)
    best, left = task.rise(clean), standing(task, clean)
    part = task.only(left)
    for query in range(steps):
        pulse()
        if not len(left):
            break
        tried = proposals.tried(query, left, found[left])
        logits = logits_of(task.model, tried)
        queries[left] += 1
        rise, reached = part.rise(logits), part.reached(logits)
        further = reached | (rise > best[left])
        if query == 0 and proposals.anyway:
            further = torch.ones_like(further)
        places = left[further]
        found[places], last[places] = tried[further], logits[further]
        best[places] = rise[further]
        proposals.told(left, further)
        if reached.any():
            left = left[~reached]
            part = task.only(left)
    return found, torch.stack([clean, last]), queries


class _Squares:
    anyway = True

    def __init__(self, task: Task, images: Tensor, steps: int, seed: int) -> None:
        assert isinstance(task.ball, Cube)
        self.ball, self.steps = task.ball, steps
        channels, height, width = images.shape[1:]
        self.size = height, width
        drawn = streams(task.indices, seed, DRAWN)
        # First stripes as wide as a pixel; then where a square is, and to which end each channel
        # goes in it.
        stripes = [it.random((channels, 1, width), np.float32) for it in drawn]
        squares = [it.random((steps, 2 + channels), np.float32) for it in drawn]
        self.stripes = torch.from_numpy(np.stack(stripes)).to(images) < 0.5
        self.squares = torch.from_numpy(np.stack(squares))

    def tried(self, query: int, left: Tensor, now: Tensor) -> Tensor:
        ball = self.ball.only(left)
        if query == 0:
            return torch.where(self.stripes[left], ball.high, ball.low)
        drawn = self.squares[left.cpu(), query].to(now)
        inside = torch.ones_like(now[:, :1], dtype=torch.bool)
        side = self._side(query)
        for axis, length in enumerate(self.size):
            reach = min(side, length)
            first = (drawn[:, axis] * (length - reach + 1)).long().clamp(max=length - reach)
            along = torch.arange(length, device=now.device) - first[:, None]
            row = (along >= 0) & (along < reach)
            inside = inside & (row[:, None, :, None] if axis == 0 else row[:, None, None, :])
        ends = torch.where(drawn[:, 2:, None, None] < 0.5, ball.high, ball.low)
        return torch.where(inside, ends, now)

    def _side(self, query: int) -> int:
        halved = sum(query * 10_000 >= it * self.steps for it in HALVED)
        return max(1, round((LARGEST / 2**halved * self.size[0] * self.size[1]) ** 0.5))

    def told(self, left: Tensor, better: Tensor) -> None:
        pass


class _Pixels:
    anyway = False

    def __init__(self, task: Task, images: Tensor, steps: int, seed: int) -> None:
        self.ball = task.ball
        size = images[0].numel()
        self.stride = task.ball.epsilon.view(-1) / min(steps, size) ** 0.5
        turns = -(-steps // size)
        order = [
            np.concatenate([it.permutation(size) for _ in range(turns)])[:steps]
            for it in streams(task.indices, seed, DRAWN)
        ]
        self.order = torch.from_numpy(np.stack(order)).to(images.device)
        self.place = torch.zeros_like(task.labels)
        self.sign = torch.ones_like(self.stride)

    def tried(self, query: int, left: Tensor, now: Tensor) -> Tensor:
        pixel = self.order[left].gather(1, self.place[left, None])
        pushed = now.flatten(1).scatter_add(1, pixel, (self.sign * self.stride)[left, None])
        return self.ball.only(left).exact(pushed.view_as(now).clamp(0, 1))

    def told(self, left: Tensor, better: Tensor) -> None:
        onwards = better | (self.sign[left] < 0)
        self.place[left] += onwards
        self.sign[left] = torch.where(onwards, 1.0, -1.0)
