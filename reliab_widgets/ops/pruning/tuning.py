"""A short training of a pruned network, so that what is left makes up for what is gone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ...core.batching import own_generators
from ...core.subject import Subject

BATCH = 64
RATE = 0.01


def tuned(subject: Subject, train: Subject, batches: int, seed: int) -> Subject:
    """Return the subject with its network trained a little, by SGD with Nesterov momentum.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    train : Subject
        Whose images and labels are trained on.
    batches : int
        Steps of 64 images, without replacement until all were seen.
    seed : int
        Of their order, and of what the network draws.

    Notes
    -----
    Learning rate 0.01 falling to 0 by half a cosine, momentum 0.9, no weight decay (that of
    Molchanov et al. 2019), no augmentation, batch norms in train mode.
    """

    def change(model: nn.Module) -> None:
        network = subject.network
        generator = torch.Generator().manual_seed(seed)
        size = min(BATCH, len(train))
        each = len(train) // size
        orders = [
            torch.randperm(len(train), generator=generator)[: each * size].view(-1, size)
            for _ in range(-(-batches // each))
        ]
        steps = torch.cat(orders)[:batches]
        model.train().requires_grad_(True)
        optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(steps))
        with torch.inference_mode(False), torch.enable_grad(), own_generators(seed):
            for step in steps:
                inputs = network.normalised(train.images[step])
                logits = network.pick(model(inputs), len(step))
                labels = train.labels[step].to(logits.device)
                optimiser.zero_grad()
                cross_entropy(logits, labels).backward()
                optimiser.step()
                schedule.step()
        model.eval().requires_grad_(False)

    return subject.on(subject.network.copied(change))
