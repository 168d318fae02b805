"""Layers whose weights are made from other numbers, made plain."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


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
