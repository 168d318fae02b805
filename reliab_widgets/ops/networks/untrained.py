"""The control of every explanation: the same network with weights drawn anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.analysis import checked
from ...core.knobs import Seed
from ...core.randomness import own_generators
from ...core.subject import Subject


@checked
def untrained(subject: Subject, seed: Seed = 0) -> Subject:
    """Return the subject with a copy of its network whose weights were drawn anew.

    An explanation that looks the same for a network which has learnt nothing says nothing about
    what the other one has learnt.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    seed : int
        Of the weights.

    Returns
    -------
    Subject
        The same images, labels and validation images, another network.

    Raises
    ------
    TypeError, ValueError
        There is no Subject, or the seed cannot be one.

    Notes
    -----
    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292. Every module that has
    ``reset_parameters`` is reset, batch normalisation with its statistics; parameters that this
    leaves as they are (a module's own, masked or parametrised ones) are shuffled among themselves.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1], name="linear")
    >>> untrained(subject).name
    'linear (untrained)'
    >>> torch.equal(untrained(subject).logits, untrained(subject, seed=1).logits)
    False
    """

    def draw(model: nn.Module) -> None:
        device = next(model.parameters(), torch.empty(0)).device
        model.cpu()  # the same weights whatever the device
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        generator = torch.Generator().manual_seed(seed)
        with own_generators(seed), torch.no_grad():
            for module in model.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
            for name, parameter in model.named_parameters():
                if torch.equal(parameter, before[name]):
                    _shuffle(parameter, generator)
        model.to(device)

    name = f"{subject.name} (untrained)"
    return subject.on(
        subject.network.copied(draw), name=name, code=f"rw.untrained({subject.code}, seed={seed})"
    )


def _shuffle(parameter: Tensor, generator: torch.Generator) -> None:
    order = torch.randperm(parameter.numel(), generator=generator)
    parameter.copy_(parameter.flatten()[order].view_as(parameter))
