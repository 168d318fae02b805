"""DeepFool: small steps over the nearest linearised boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.readings import check_slopes
from .balls import norm
from .objective import Model, logits_of, succeeded

CANDIDATES = 9  # classes that DeepFool looks at besides the label


OVERSHOOT = 0.02  # by how much DeepFool goes beyond the boundary, in per unit
_TIE = 1e-6  # of the largest logit: no gap at all
_NUDGE = 1e-4  # the Euclidean length of a step from exactly on a boundary


def deepfool(
    model: Model, images: Tensor, labels: Tensor, target: Tensor | None, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, logits at every step and where every gradient was 0.

    Moosavi-Dezfooli et al. 2016, arXiv 1511.04599.
    """
    logits = logits_of(model, images)
    rows = logits.repeat(steps + 1, 1, 1)
    if target is None:
        others = logits.scatter(1, labels[:, None], -torch.inf)
        rivals = others.topk(min(CANDIDATES, logits.shape[1] - 1), dim=1).indices
    else:
        rivals = target[:, None]
    found, change = images.clone(), torch.zeros_like(images)
    blind = torch.zeros_like(labels, dtype=torch.bool)
    active = (~succeeded(logits, labels, target)).nonzero()[:, 0]
    for step in range(1, steps + 1):
        pulse()
        if not len(active):
            break
        here = (images[active] + change[active]).clamp(0, 1)
        base = labels if target is None else rows[step - 1].argmax(1)
        move, still = _over_the_nearest(model, here, base[active], rivals[active])
        blind[active] |= still
        change[active] += move
        # The boundary is looked for without the overshoot and left with it: where each step has
        # its own, the last one is so short that rounding takes the answer back.
        found[active] = (images[active] + (1 + OVERSHOOT) * change[active]).clamp(0, 1)
        rows[step:, active] = logits_of(model, found[active])
        wanted = None if target is None else target[active]
        active = active[~succeeded(rows[step, active], labels[active], wanted)]
    return found, rows, blind


def _over_the_nearest(
    model: Model, images: Tensor, base: Tensor, rivals: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the shortest step to where, by its gradient, a rival's logit reaches the base's."""
    images = images.detach().requires_grad_()
    logits = model(images)
    gaps = logits.gather(1, base[:, None]) - logits.gather(1, rivals)
    least = _TIE * logits.detach().abs().amax(1)
    shortest = torch.full_like(gaps[:, 0], torch.inf, requires_grad=False)
    move = torch.zeros_like(images, requires_grad=False)
    for gap in gaps.unbind(1):
        (slope,) = torch.autograd.grad(gap.sum(), images, retain_graph=True)
        check_slopes(slope)
        length = norm(slope)
        # On a boundary there is a direction and no distance.
        tie = gap.detach().abs() <= least
        gap = torch.where(tie, _NUDGE * length.flatten(), gap.detach())
        distance = gap.abs() / length.flatten()
        nearer = distance < shortest
        shortest = torch.where(nearer, distance, shortest)
        step = -slope * (gap.view(-1, 1, 1, 1) / length**2)
        move = torch.where(nearer.view(-1, 1, 1, 1), step, move)
    return move, shortest.isinf()
