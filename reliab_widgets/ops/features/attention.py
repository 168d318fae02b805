"""The attention weights of a pass, recomputed where a fused operation does not return them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...core.wording import problem
from .multihead import Attention
from .steps import SOFTMAX

_CLOSE = 1e-3


@contextmanager
def attending(model: nn.Module, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Let ``see(weights)`` be called with each attention of one forward pass of this thread.

    Parameters
    ----------
    model : torch.nn.Module
        Without the hooks again afterwards.
    see : callable
        Given weights (..., queries, keys) that sum to 1 over the keys, in their order, with the
        graph that leads from them to the answer.

    Raises
    ------
    ValueError
        In the pass, where an attention cannot be recomputed.

    Examples
    --------
    >>> attention = nn.MultiheadAttention(4, 2, batch_first=True)
    >>> tokens = torch.zeros(3, 5, 4)
    >>> with attending(attention, lambda weights: print(tuple(weights.shape))):
    ...     _ = attention(tokens, tokens, tokens, need_weights=False)
    (3, 2, 5, 5)
    """
    me = threading.get_ident()

    def again(name: str, module: nn.Module, args: Any, given: Any, output: Any) -> Any:
        if threading.get_ident() != me:
            return None
        made = Attention(module)(*args, **given)[0] if Attention.can_be(module) else None
        if made is None or (made - output[0]).abs().max() > _CLOSE * output[0].abs().max():
            fix = "Choose method='gradcam', 'ig' or 'occlusion', which do not need it"
            seen = f"{name or 'the model'} has options of nn.MultiheadAttention that are not known"
            raise ValueError(problem("an attention cannot be recomputed", seen, fix))
        return (made, *output[1:])

    handles = [
        module.register_forward_hook(
            lambda m, args, given, out, name=name: again(name, m, args, given, out),
            with_kwargs=True,
        )
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    ]
    try:
        with _Fused(see):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Fused(TorchFunctionMode):
    """Computes fused attention in its parts, and sees the softmax of what is in parts already."""

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._see = see

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            with self:  # which is not on in here, and shall see the softmax
                return _attention(*args, **(kwargs or {}))
        output = func(*args, **(kwargs or {}))
        if func in SOFTMAX and output.ndim > 2 and output.shape[-1] > 1:
            self._see(output)
        return output


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # a trained network drops nothing
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Do what ``F.scaled_dot_product_attention`` does, whose arguments these are."""
    if enable_gqa:
        key, value = (
            it.repeat_interleave(query.shape[-3] // it.shape[-3], -3) for it in (key, value)
        )
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones_like(scores, dtype=torch.bool).tril()
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        else:
            scores = scores + attn_mask
    return scores.softmax(-1) @ value
