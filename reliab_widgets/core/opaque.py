"""TorchScript inside an ordinary module: it runs, but nothing in it can be seen or changed."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch
from torch import nn


class Opaque(nn.Module):
    """A copy of a scripted, traced or frozen module, for passes only.

    TorchScript takes no hooks, and a frozen one has no parameters either. So nobody who looks
    through the modules of a network finds the inside of this one.

    Parameters
    ----------
    saved : bytes
        What ``torch.jit.save`` writes.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     scripted = torch.jit.script(nn.Linear(2, 1))
    ...     hidden = Opaque(saved(scripted))
    >>> hidden(torch.ones(1, 2)).shape, [*hidden.parameters()]
    (torch.Size([1, 1]), [])
    """

    def __init__(self, saved: bytes) -> None:
        super().__init__()
        inner = torch.jit.load(io.BytesIO(saved), map_location="cpu")
        if hasattr(inner, "training"):
            inner.eval()
        for parameter in inner.parameters():
            parameter.requires_grad_(False)
        self._saved, self._inner = saved, (inner,)  # in a tuple, so that it is no child

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Do what the module does."""
        return self._inner[0](*inputs, **named)

    def _apply(self, fn: Any, recurse: bool = True) -> Opaque:
        self._inner[0]._apply(fn)
        return self

    def extra_repr(self) -> str:
        """Return what tells it from others, since it has no weights to be seen."""
        return hashlib.sha256(self._saved).hexdigest()

    def __reduce__(self) -> Any:
        return type(self), (self._saved,)


def saved(module: torch.jit.ScriptModule) -> bytes:
    """Write a TorchScript module to bytes."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def opaque(model: nn.Module) -> dict[int, Opaque]:
    """Give what stands for each TorchScript module of a model, by the id of that module.

    Examples
    --------
    >>> opaque(nn.Sequential(nn.Flatten()))
    {}
    """
    if isinstance(model, torch.jit.ScriptModule):
        return {id(model): Opaque(saved(model))}
    return {key: one for child in model.children() for key, one in opaque(child).items()}
