"""What networks are trained for, as functions: a loss for a batch of images in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Run: TypeAlias = Callable[[Tensor], Tensor]
"""From images (n, C, H, W) in [0, 1] to logits (n, K), normalisation included."""


class Batch(NamedTuple):
    """What an objective sees in one step.

    Attributes
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1].
    targets : Tensor
        (n,) class indices.
    generator : torch.Generator
        Of whatever is drawn; it lives on the CPU.
    """

    images: Tensor
    targets: Tensor
    generator: torch.Generator


Objective: TypeAlias = Callable[[Run, Batch], Tensor]
"""From how images become logits, and a batch, to the loss."""


def plain(run: Run, batch: Batch) -> Tensor:
    """Return the cross-entropy of the images as they are."""
    return cross_entropy(run(batch.images), batch.targets)


def adversarial(
    run: Run, batch: Batch, *, epsilon: float = 8 / 255, step: float = 10 / 255, steps: int = 1
) -> Tensor:
    """Return the cross-entropy of the images attacked, as `attacked` does it.

    One step of 1.25 epsilon from a random start is that of Wong et al. 2020, "Fast is better than
    free", arXiv 2001.03994; many small ones are that of Madry et al. 2018, arXiv 1706.06083. One
    step can end in catastrophic over-fitting, right under one step and wrong under many, so look
    at the network with more.
    """
    changed = attacked(run, batch, epsilon=epsilon, step=step, steps=steps)
    return cross_entropy(run(changed), batch.targets)


def noisy(run: Run, batch: Batch, *, sigma: float = 0.25) -> Tensor:
    """Return the cross-entropy of the images with Gaussian noise, not clipped.

    What randomised smoothing wants of a network: Cohen et al. 2019, arXiv 1902.02918.
    """
    noise = torch.randn(batch.images.shape, generator=batch.generator).to(batch.images.device)
    return cross_entropy(run(batch.images + sigma * noise), batch.targets)


def attacked(run: Run, batch: Batch, *, epsilon: float, step: float, steps: int) -> Tensor:
    """Climb the cross-entropy by signs of its gradient, from a random start in the ball.

    Parameters
    ----------
    run : callable
        From images to logits.
    batch : Batch
        The images to change and their true classes.
    epsilon, step : float
        Radius in the L-infinity norm and length of a step, in pixel units.
    steps : int
        How many; each is brought back into the ball and into [0, 1].

    Examples
    --------
    >>> batch = Batch(torch.full((2, 3, 1, 1), 0.5), torch.tensor([0, 2]), torch.Generator())
    >>> changed = attacked(lambda x: x.flatten(1), batch, epsilon=0.1, step=0.2, steps=1)
    >>> changed[0].flatten()
    tensor([0.4000, 0.6000, 0.6000])
    """
    images = batch.images
    draw = torch.rand(images.shape, generator=batch.generator).to(images.device)
    changed = (images + epsilon * (2 * draw - 1)).clamp(0, 1)
    for _ in range(steps):
        changed.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(run(changed), batch.targets), changed)
        change = changed.detach() + step * gradient.sign() - images
        changed = (images + change.clamp(-epsilon, epsilon)).clamp(0, 1)
    return changed


OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "cross-entropy": plain,
    "adversarial": adversarial,
    "noise": noisy,
}
