"""What an attack climbs, and when it has succeeded: the loss is the cross-entropy of the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Model: TypeAlias = Callable[[Tensor], Tensor]


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


def loss(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Give for each image what an attack increases: the loss, or minus that of the target."""
    if target is None:
        return cross_entropy(logits, labels, reduction="none")
    return -cross_entropy(logits, target, reduction="none")


def score(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Rank results of one image: no loss is better than a success."""
    reached = succeeded(logits, labels, target)
    return loss(logits, labels, target).masked_fill(reached, torch.inf)
