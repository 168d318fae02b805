"""The attack of Carlini and Wagner: the smallest Euclidean change, weighed against the margin."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.readings import check_slopes
from .balls import norm
from .objective import Model, difference, logits_of, succeeded

SEARCHES = 5  # weights that are tried, each between those that were too large and too small
RATE = 0.01  # the longest step at first, in the variable whose tanh is the image, or
REACH = 4  # as long as all need that shrink from it, to lead so many times as far as must be
_FLAT = 1 - 1e-6  # black and white, where tanh still has a slope
_MOMENTUM, _SPREAD, _TINY = 0.9, 0.999, 1e-8  # of Adam, as usual


def carlini(
    model: Model, images: Tensor, labels: Tensor, target: Tensor | None, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, logits before and after, and where the gradient was 0.

    Carlini and Wagner 2017, arXiv 1608.04644, with Adam and no confidence. Two things differ: the
    weight of the margin is in units of each image's distance from the boundary, as its slope has
    it, so that larger logits change nothing; and steps shrink to nothing, so that a hundred are
    enough to come to rest at the boundary.
    """
    clean = logits_of(model, images)
    found, last = images.clone(), clean.clone()
    done = succeeded(clean, labels, target)
    least = torch.where(done, 0.0, torch.inf)
    missed, slope = _margin(model, images, labels, target)
    length = norm(slope).flatten()
    blind = ~done & (length == 0)
    unit = torch.where(length > 0, length, 1.0)
    # On a linear model the image is led exactly over the boundary by twice its distance.
    weight = (-4 * missed / unit).clamp_min(torch.finfo(images.dtype).tiny)
    # Of a step half arrives in mid-grey, and half of that is left when steps shrink to nothing.
    needed = weight / 4 * slope.abs().amax((1, 2, 3)) / unit
    rate = (4 * REACH / steps * needed).clamp_min(RATE).view(-1, 1, 1, 1)
    low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
    origin = ((2 * images - 1) * _FLAT).atanh()
    for _ in range(SEARCHES):
        inner, hit = origin, done
        mean, spread = torch.zeros_like(inner), torch.zeros_like(inner)
        for step in range(steps):
            pulse()
            if (blind | done).all():
                break
            inner = inner.detach().requires_grad_()
            tried = ((inner.tanh() + 1) / 2).clamp(0, 1)
            logits = model(tried)
            margin = difference(logits, labels, target)
            change = (tried - images).square().sum((1, 2, 3))
            (slope,) = torch.autograd.grad((change + weight * (-margin / unit).relu()).sum(), inner)
            check_slopes(slope)
            # --- what is led away and nearer than before
            reached = succeeded(logits.detach(), labels, target)
            nearer = reached & (change.detach() < least)
            found = torch.where(nearer.view(-1, 1, 1, 1), tried.detach(), found)
            last = torch.where(nearer[:, None], logits.detach(), last)
            least, hit = torch.where(nearer, change.detach(), least), hit | reached
            # --- Adam, with shrinking steps
            mean = _MOMENTUM * mean + (1 - _MOMENTUM) * slope
            spread = _SPREAD * spread + (1 - _SPREAD) * slope.square()
            first, second = (
                mean / (1 - _MOMENTUM ** (step + 1)),
                spread / (1 - _SPREAD ** (step + 1)),
            )
            stride = rate * (1 - step / steps)
            inner = inner.detach() - stride * first / (second.sqrt() + _TINY)
        high, low = torch.where(hit, weight, high), torch.where(hit, low, weight)
        weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
    return found, torch.stack([clean, last]), blind


def _margin(
    model: Model, images: Tensor, labels: Tensor, target: Tensor | None
) -> tuple[Tensor, Tensor]:
    images = images.detach().requires_grad_()
    margin = difference(model(images), labels, target)
    (slope,) = torch.autograd.grad(margin.sum(), images)
    check_slopes(slope)
    return margin.detach(), slope
