"""Gates that let only some units through for a class, so that units come to stand for classes.

Liang et al. 2020, "Training interpretable convolutional neural networks by differentiating
class-specific filters", arXiv 2007.08194.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .tuning import Batch, Run


class Gated(nn.Module):
    """An objective: cross-entropy, in every third epoch behind the gates of the true class.

    Gates act on what goes into the last linear layer; where that is a mean over places it is the
    same as gates on the maps before. They are learnt with the network, and not used afterwards.

    Parameters
    ----------
    units, classes : int
        Size of that layer.
    every : int
        Length of the cycle, in epochs; gates are shut in the last of each.
    budget : float
        Share of all gates that may be open for nothing.
    weight : float
        Cost of each gate above the budget.

    Attributes
    ----------
    gate : Tensor
        (units, classes) in [0, 1]; the widest of a unit is 1.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> run, objective = Run(model, model), Gated(4, 3)
    >>> batch = Batch(torch.ones(2, 1, 2, 2), torch.tensor([0, 2]), torch.Generator(), epoch=2)
    >>> bool(objective(run, batch) > 0), objective.gate.shape
    (True, torch.Size([4, 3]))
    """

    def __init__(
        self,
        units: int,
        classes: int,
        *,
        every: int = 3,
        budget: float = 0.2,
        weight: float = 1e-3,
    ) -> None:
        super().__init__()
        self.every, self.budget, self.weight = every, budget, weight
        self.gate = nn.Parameter(torch.full((units, classes), 0.5))

    def forward(self, run: Run, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        self.normalise()
        logits = run(batch.images)
        if batch.epoch % self.every < self.every - 1 or run.head is None:
            return cross_entropy(logits, batch.targets)
        open_ones = run.features * self.gate[:, batch.targets].T
        above = (self.gate.sum() - self.budget * self.gate.numel()).clamp_min(0)
        return cross_entropy(run.head(open_ones), batch.targets) + self.weight * above

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring gates back into [0, 1], the widest of each unit to 1; call it after the last step.

        Examples
        --------
        >>> objective = Gated(1, 3)
        >>> _ = objective.gate.data.copy_(torch.tensor([[-1.0, 0.2, 0.4]]))
        >>> objective.normalise()
        >>> objective.gate.data
        tensor([[0.0000, 0.5000, 1.0000]])
        """
        widest = self.gate.max(1, keepdim=True).values.clamp_min(1e-6)
        self.gate.copy_((self.gate / widest).clamp(0, 1))
