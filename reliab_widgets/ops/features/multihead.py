"""`nn.MultiheadAttention` in linear layers and one attention, whose parts can be seen and cut."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """What `torch.nn.MultiheadAttention` computes, in linear layers that can lose heads.

    Parameters
    ----------
    of : torch.nn.MultiheadAttention
        Whose weights it shares; in eval mode.

    Examples
    --------
    >>> import torch
    >>> whole = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    >>> tokens = torch.rand(1, 3, 4)
    >>> part = Attention(whole)
    >>> torch.allclose(part(tokens, tokens, tokens)[0], whole(tokens, tokens, tokens)[0], atol=1e-6)
    True
    """

    in_proj_bias = None  # so that layers around it take no fast path

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.num_heads, self.batch_first = of.num_heads, of.batch_first
        weights = (
            [of.q_proj_weight, of.k_proj_weight, of.v_proj_weight]
            if of.in_proj_weight is None
            else of.in_proj_weight.detach().chunk(3)
        )
        biases = [None] * 3 if of.in_proj_bias is None else of.in_proj_bias.detach().chunk(3)
        self.q, self.k, self.v = map(_linear, weights, biases)
        self.out_proj = _linear(of.out_proj.weight, of.out_proj.bias)
        self.eval()

    @staticmethod
    def can_be(module: Any) -> bool:
        """Return whether a module is an attention without keys and values of its own."""
        return (
            isinstance(module, nn.MultiheadAttention)
            and module.bias_k is None
            and not module.add_zero_attn
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # says what attn_mask is
    ) -> tuple[Tensor, Tensor | None]:
        """Attend, see `torch.nn.MultiheadAttention`."""
        parts = [self.q(query), self.k(key), self.v(value)]
        if query.ndim == 3 and not self.batch_first:
            parts = [it.transpose(0, 1) for it in parts]
        q, k, v = (it.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3) for it in parts)
        mask = _added(attn_mask, key_padding_mask, q)
        weights = None
        if need_weights:
            scores = q @ k.mT / q.shape[-1] ** 0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            made = weights @ v
            weights = weights.mean(-3) if average_attn_weights else weights
        else:
            made = F.scaled_dot_product_attention(q, k, v, mask)
        made = self.out_proj(made.transpose(-2, -3).flatten(-2))
        return made.transpose(0, 1) if query.ndim == 3 and not self.batch_first else made, weights


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return made


def _added(mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """Return what is added to the scores (..., heads, queries, keys)."""
    found = None
    if mask is not None:
        # Of each head of each image, (n * heads, queries, keys), or of all.
        found = _numbers(mask, q)
        if mask.ndim == 3 and q.ndim == 4:
            found = found.unflatten(0, (len(q), -1))
    if padding is not None:
        blocked = _numbers(padding, q)[..., None, None, :]
        found = blocked if found is None else found + blocked
    return found


def _numbers(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:  # True is left out
        return like.new_zeros(mask.shape).masked_fill(mask, -torch.inf)
    return mask.to(like)
