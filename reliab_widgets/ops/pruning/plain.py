"""Layers whose weights are made from other numbers, and attention in one piece, made plain."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ...core.network import Network
from ...core.subject import Subject
from ..features.multihead import Attention

_MADE: WeakKeyDictionary[Network, Network] = WeakKeyDictionary()


def plain_weights(model: nn.Module) -> None:
    """Replace parametrised, normalised and masked weights by what they are in a pass.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; its answers stay.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> plain_weights(layer)
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight']
    """
    # By hand: torch's own functions write into parameters and classes, which copies may share.
    for module in list(model.modules()):
        made: dict[str, Tensor] = {}
        if parametrize.is_parametrized(module):
            names: Any = module.parametrizations
            made = {name: getattr(module, name) for name in names}
            del module.parametrizations
            module.__class__ = type(module).__bases__[0]
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, (WeightNorm, SpectralNorm, prune.BasePruningMethod)):
                hook(module, ())
                name = getattr(hook, "_tensor_name", "") or getattr(hook, "name", "")
                made[name] = getattr(module, name)
                del module._forward_pre_hooks[key]
                delattr(module, name)
                for part in ("orig", "g", "v", "u", "mask"):
                    if hasattr(module, f"{name}_{part}"):
                        delattr(module, f"{name}_{part}")
        for name, value in made.items():
            module.register_parameter(name, nn.Parameter(value.detach().clone()))
    model.requires_grad_(False)


def plain_attention(subject: Subject) -> Subject:
    """Return a Subject in which each `nn.MultiheadAttention` is an `Attention`, if there is any.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> plain_attention(subject) is subject
    True
    """
    network = subject.network
    if not any(map(_divisible, network.model.modules())):
        return subject
    if network not in _MADE:
        _MADE[network] = network.copied(_divide, shared=True)
    return subject.on(_MADE[network])


def _divisible(module: Any) -> bool:
    return Attention.can_be(module) and type(module).forward is nn.MultiheadAttention.forward


def _divide(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if _divisible(module):
            above, _, key = name.rpartition(".")
            setattr(model.get_submodule(above), key, Attention(module))
