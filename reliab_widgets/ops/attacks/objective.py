"""What an attack climbs, and when it has succeeded.

The usual loss is the cross-entropy of the logits. Where a network is so sure that the loss drowns
in rounding, its logarithm is climbed, which leads the same way: otherwise a copy with all logits
times 30, which gives the same answers, would seem robust. The margin does not know the scale of the
logits at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Model: TypeAlias = Callable[[Tensor], Tensor]

FAINT = -9.0
"""The logarithm of a loss below which float32 holds fewer than four digits of its slope."""


def succeeded(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Tell where the answers left the labels or, with a target (n,), reached it; (n,) bool.

    Examples
    --------
    >>> succeeded(torch.eye(3), torch.tensor([0, 0, 0]), None)
    tensor([False,  True,  True])
    """
    answers = logits.argmax(1)
    return answers != labels if target is None else answers == target


def logits_of(model: Model, images: Tensor) -> Tensor:
    """Give the logits of images without a graph."""
    with torch.no_grad():
        return model(images)


def odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Give for each image the logarithm of the odds against a label, (n,).

    The cross-entropy is ``log(1 + exp(odds))``: where it is small, this is its logarithm.

    Examples
    --------
    >>> odds(torch.tensor([[90.0, 30.0, 0.0]]), torch.tensor([0]))
    tensor([-60.])
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]


def is_saturated(logits: Tensor, labels: Tensor) -> Tensor:
    """Tell where the cross-entropy is exactly 0, and so is its slope; (n,) bool.

    Examples
    --------
    >>> is_saturated(torch.tensor([[60.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 0]))
    tensor([ True, False])
    """
    return cross_entropy(logits, labels, reduction="none") == 0


def loss(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image what an attack increases: the loss, or minus that of the target."""
    if target is not None:
        return -cross_entropy(logits, target, reduction="none")
    against = odds(logits, labels)
    whole = cross_entropy(logits, labels, reduction="none")
    return torch.where(against < FAINT, against, whole)


def entropy(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image the cross-entropy of its label, or minus that of its target."""
    if target is not None:
        return -cross_entropy(logits, target, reduction="none")
    return cross_entropy(logits, labels, reduction="none")


def chances(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image the logarithm of the odds against its label, or for its target.

    It rises and falls with the probability, and never drowns in rounding.
    """
    return odds(logits, labels) if target is None else -odds(logits, target)


def difference(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image by how much a success is missed (below 0) or made, (n,).

    Examples
    --------
    >>> difference(torch.tensor([[3.0, 1.0, -1.0]]), torch.tensor([0]), None)
    tensor([-2.])
    """
    own = labels if target is None else target
    gap = logits.scatter(1, own[:, None], -torch.inf).amax(1) - logits.gather(1, own[:, None])[:, 0]
    return gap if target is None else -gap


def margin(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image the difference as a share of the spread of the largest logits, (n,).

    Difference-of-logits ratio, Croce and Hein 2020, arXiv 2003.01690: times 30, or 5 more, logits
    have the same. The spread is from the largest logit to the third or, with a target, to the mean
    of third and fourth, so that no class can be both its ends; where classes are too few for that,
    it is the plain difference.

    Examples
    --------
    >>> logits = torch.tensor([[3.0, 1.0, -1.0]])
    >>> margin(logits, torch.tensor([0]), None), margin(30 * logits, torch.tensor([0]), None)
    (tensor([-0.5000]), tensor([-0.5000]))
    """
    missed = difference(logits, labels, target)
    if logits.shape[1] < (3 if target is None else 4):
        return missed
    largest = logits.topk(3 if target is None else 4, dim=1).values
    spread = largest[:, 0] - largest[:, 2:].mean(1)
    return missed / torch.where(spread > 0, spread, torch.ones_like(spread))


RISES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "auto": loss,
    "cross-entropy": entropy,
    "margin": margin,
    "difference": difference,
    "odds": chances,
}
"""What an attack may increase: functions of logits, labels and target."""


def score(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Rank results of one image: no loss is better than a success."""
    reached = succeeded(logits, labels, target)
    return chances(logits, labels, target).masked_fill(reached, torch.inf)
