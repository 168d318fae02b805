"""Units that answer to one range of depth: how selective they are, and a loss that makes them so.

You et al. 2021, "Towards interpretable deep networks for monocular depth estimation", arXiv
2108.05312.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from .tuning import Batch, Run

WEIGHT = 0.1
BINS, NEAR, FAR = 16, 1.0, 10.0


def thresholds(bins: int = BINS, near: float = NEAR, far: float = FAR) -> Tensor:
    """Divide depths from 0 to ``far`` so that farther ranges are wider, ``(bins + 1,)``.

    The first range ends at ``near``, the others grow by the same factor, but for a shift.

    Examples
    --------
    >>> thresholds(3, near=1, far=9)
    tensor([0., 1., 3., 9.])
    """
    shift = 1 - near
    steps = torch.arange(1, bins) / (bins - 1)
    grown = torch.exp(steps * math.log(far + shift)) - shift
    return torch.cat([torch.tensor([0.0, near]), grown])


def responses(maps: Tensor, depth: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Average the size of each unit's activation over the pixels of each range of depth.

    Parameters
    ----------
    maps : Tensor
        (n, K, h, w) activations, enlarged bilinearly to the size of ``depth``.
    depth : Tensor
        (n, 1, H, W), in the unit of ``edges``.
    edges : Tensor
        (D + 1,), as `thresholds` gives them.

    Returns
    -------
    tuple of Tensor
        (K, D), zero where a range has no pixels, and (D,) how many it has.

    Examples
    --------
    >>> depth = torch.tensor([[[[0.5, 2.0], [2.0, 2.0]]]])
    >>> found, counts = responses(-depth, depth, torch.tensor([0.0, 1.0, 4.0]))
    >>> found, counts
    (tensor([[0.5000, 2.0000]]), tensor([1., 3.]))
    """
    size = interpolate(maps, depth.shape[2:], mode="bilinear", align_corners=False).abs()
    which = torch.bucketize(depth, edges[1:-1].to(depth.device), right=True).flatten()
    inside = nn.functional.one_hot(which, len(edges) - 1).to(size.dtype)
    counts = inside.sum(0)
    sums = size.transpose(0, 1).flatten(1) @ inside
    return sums / counts.clamp_min(1), counts


def selectivity(found: Tensor, counts: Tensor, chosen: Tensor) -> Tensor:
    """Compare each unit's response in one range with the mean over the others that have pixels.

    Parameters
    ----------
    found, counts : Tensor
        As `responses` gives them.
    chosen : Tensor
        (K,) the range of each unit.

    Returns
    -------
    Tensor
        (K,) from -1 to 1: 1 if the unit answers to its range only; 0 if that has no pixels.

    Examples
    --------
    >>> found = torch.tensor([[3.0, 0.0], [2.0, 2.0], [1.0, 3.0]])
    >>> selectivity(found, torch.ones(2), torch.tensor([0, 0, 0]))
    tensor([ 1.0000,  0.0000, -0.5000])
    """
    here = found.gather(1, chosen[:, None])[:, 0]
    present = counts > 0
    others = (found.sum(1) - here) / (present.sum() - 1).clamp_min(1)
    value = (here - others) / (here + others + 1e-15)
    return torch.where(present[chosen], value, torch.zeros_like(value))


def selective(run: Run, batch: Batch, *, weight: float = WEIGHT, bins: int = BINS) -> Tensor:
    """Return the squared error of the depth, less the selectivity of the units.

    Unit k of the K that a layer has is to answer to range ``floor(k D / K)``. Layers are the ReLUs
    with as many channels as there are ranges; ranges are those of depths from 1 to 10 m.
    """
    maps: list[Tensor] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        for module in run.model.modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        loss = mse_loss(run(batch.images), batch.targets)
    finally:
        for handle in handles:
            handle.remove()
    edges = thresholds(bins)
    for layer in maps:
        units = layer.shape[1]
        if units >= bins:
            found, counts = responses(layer.float(), batch.targets, edges)
            chosen = torch.arange(units, device=layer.device) * bins // units
            loss = loss - weight * selectivity(found, counts, chosen).mean()
    return loss
