"""APGD: gradient ascent that sizes its own steps, and goes back to the best when it is stuck.

Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", arXiv 2003.01690; letters as there. Every image has a step size of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ...core.engine import pulse
from .ascent import from_starts
from .objective import logits_of
from .task import Found, Task, better, standing

ALPHA = 0.75  # share of a step in the way taken; the rest is the last way again
RHO = 0.75  # share of steps that must have risen since the last checkpoint
TARGETS = 9  # classes that the targeted form tries
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06  # lengths between checkpoints, in shares of N


def checkpoints(steps: int) -> list[int]:
    """Return the steps at which the step size is looked at.

    Examples
    --------
    >>> checkpoints(100)[:4]
    [22, 41, 57, 70]
    """
    found, share, length = [], _FIRST, _FIRST
    while share <= 1:
        found.append(math.ceil(round(share * steps, 6)))
        length = max(length - _SHORTER, _SHORTEST)
        share += length
    return found


def apgd(task: Task, start: Tensor, steps: int) -> Found:
    """Climb from somewhere in the ball; the first success is kept, or else the highest loss.

    The rows are those of the best image so far.
    """
    ball, count = task.ball, len(start)
    now, last, best = start, start, start
    stride = start.new_full((count, 1, 1, 1), 2.0)  # epsilons
    blind = torch.ones(count, dtype=torch.bool, device=start.device)
    done, halved = ~blind, ~blind
    rises = torch.zeros(count, dtype=torch.int64, device=start.device)
    before = peak = at_check = start.new_full((count,), -torch.inf)
    uphill = torch.zeros_like(start)
    checks, check, rows = checkpoints(steps), 0, list[Tensor]()
    for step in range(steps + 1):
        pulse()
        logits, rise, slope = task.climb(now) if step < steps else _seen(task, now)
        reached = task.reached(logits)
        higher = ~done & (reached | (rise > peak))
        best, uphill = (torch.where(_wide(higher), *it) for it in ((now, best), (slope, uphill)))
        rows.append(torch.where(higher[:, None], logits, rows[-1] if rows else logits))
        peak = torch.where(higher, rise, peak)
        done = done | reached
        if step == steps or done.all():
            break
        blind &= ~slope.flatten(1).any(1)
        rises += rise > before
        before = rise
        if step == 0:
            at_check, rises = peak, torch.zeros_like(rises)
        elif step in checks:
            stuck = (rises < RHO * (step - check)) | (~halved & (peak <= at_check))
            stride = torch.where(_wide(stuck), stride / 2, stride)
            now, slope = (torch.where(_wide(stuck), *it) for it in ((best, now), (uphill, slope)))
            before = torch.where(stuck, peak, before)
            check, halved, at_check, rises = step, stuck, peak, torch.zeros_like(rises)
        ahead = ball.step(now, slope, stride)
        if step:
            ahead = now + ALPHA * (ahead - now) + (1 - ALPHA) * (now - last)
        now, last = ball.exact(ahead), now
    rows += rows[-1:] * (steps + 1 - len(rows))
    return Found(best, torch.stack(rows), blind & ~done)


def targeted(task: Task, clean: Tensor, steps: int, restarts: int, seed: int) -> Found:
    """Lead each image to the other classes in turn, the likeliest first, until one succeeds.

    Parameters
    ----------
    task : Task
        Without a target of its own.
    clean : Tensor
        (n, K) logits of the clean images.
    steps, restarts, seed
        Of the way to each class.
    """
    others = clean.scatter(1, task.labels[:, None], -torch.inf)
    rivals = others.topk(min(TARGETS, clean.shape[1] - 1), dim=1).indices
    best, places = None, torch.arange(len(clean), device=clean.device)
    for number, target in enumerate(rivals.unbind(1)):
        aimed = replace(task.only(places), aim=target[places])
        run = partial(apgd, steps=steps)
        found = from_starts(aimed, run, restarts, seed, number * restarts)
        best = found if best is None else better(task, best, places, found)
        places = standing(task, best.rows[-1])
        if not len(places):
            break
    assert best is not None
    return best


def _seen(task: Task, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logits = logits_of(task.model, images)
    return logits, task.rise(logits), torch.zeros_like(images)


def _wide(mask: Tensor) -> Tensor:
    return mask.view(-1, 1, 1, 1)
