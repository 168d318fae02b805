"""Subjects with a network of their own, for whoever changes weights or hangs hooks."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from ..network import Network
from ..subject import Subject


def copied(
    subject: Subject,
    change: Callable[[nn.Module], object] = lambda model: None,
    *,
    name: str | None = None,
    code: str | None = None,
) -> Subject:
    """Return the subject with a copy of its network, changed as told.

    Parameters
    ----------
    subject : Subject
        Left as it is; images and labels are shared, logits are not.
    change : callable, optional
        Is given the copy of the model and changes it in place. Inputs and outputs must stay of
        their shapes: the copy is run and read like the original.
    name, code : str, optional
        By default those of ``subject``.

    Returns
    -------
    Subject
        On the same device, with the same validation images.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
    >>> silent = copied(subject, lambda model: nn.init.zeros_(model[1].weight))
    >>> bool((silent.model[1].weight == 0).all()), bool((subject.model[1].weight == 0).all())
    (True, False)
    """
    network = object.__new__(Network)
    # The plan is shared too: what the original was probed for fits its copy.
    network.__dict__.update(subject._network.__dict__, model=copy.deepcopy(subject.model))
    network.__dict__.pop("digest", None)
    change(network.model)
    validation = subject.validation
    if validation is not None:
        validation = validation._with(_network=network, _evaluations={})
    return subject._with(
        _network=network,
        name=name or subject.name,
        code=code or subject.code,
        validation=validation,
        _evaluations={},
    )
