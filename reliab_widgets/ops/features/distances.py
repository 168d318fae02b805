"""How far apart feature maps are, image by image, without keeping any of them."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDING = 1e-5  # variances below this share of the mean square are rounding, not variance


def reduced(features: Tensor) -> Tensor:
    """Reduce the features of clean and changed images to all that their distances need.

    Parameters
    ----------
    features : Tensor
        (1 + k, n, ...), those of the clean images first, then k changed versions of each.

    Returns
    -------
    Tensor
        (3, 1 + k, n): Euclidean distance from the clean features, Euclidean norm, sum.

    Examples
    --------
    >>> reduced(torch.tensor([[[3.0, 4.0]], [[3.0, 9.0]]]))[:, :, 0]
    tensor([[ 0.0000,  5.0000],
            [ 5.0000,  9.4868],
            [ 7.0000, 12.0000]])
    """
    rows = features.flatten(2)
    numbers = rows.new_zeros(3, *rows.shape[:2])
    # This runs after every layer: three passes over the features, no copy but the difference.
    torch.linalg.vector_norm(rows[1:] - rows[:1], dim=2, out=numbers[0, 1:])
    torch.linalg.vector_norm(rows, dim=2, out=numbers[1])
    torch.sum(rows, dim=2, out=numbers[2])
    return numbers


def distances(numbers: Tensor, sizes: Tensor) -> Tensor:
    """Return the distances of changed from clean features at several layers.

    Parameters
    ----------
    numbers : Tensor
        (L, 3, 1 + k, n) what `reduced` gave for each layer.
    sizes : Tensor
        (L,) how many features each layer has.

    Returns
    -------
    Tensor
        (k, 4, L, n) float32. For d features, clean ones b and changed ones a: root mean square
        ``|a - b| / sqrt(d)``; relative ``|a - b| / |b|``, infinite where only b is 0; variance
        ``Var(a - b) / 2 (Var a + Var b)``, 0 to 1, and 0 where nothing varies; cosine
        ``1 - a . b / |a| |b|``, 0 where both are 0 and 1 where one of them is.

    Notes
    -----
    ``2 |a| |b| (1 - cos) = |a - b|^2 - (|a| - |b|)^2`` keeps small cosine distances exact, where
    one minus a cosine would leave nothing but rounding; where the lengths differ a thousandfold
    its own rounding reaches 1e-4.

    Examples
    --------
    >>> numbers = reduced(torch.tensor([[[3.0, 4.0]], [[3.0, 9.0]]]))
    >>> [round(it, 4) for it in distances(numbers[None], torch.tensor([2])).flatten().tolist()]
    [3.5355, 1.0, 0.3378, 0.0513]
    """
    size = sizes.cpu().double()[:, None, None]
    apart, norm, total = numbers.cpu().double().unbind(1)
    apart, clean, changed = apart[:, 1:], norm[:, :1], norm[:, 1:]
    mean = total / size

    spread = _variance(apart**2 / size, mean[:, 1:] - mean[:, :1])
    varies = _variance(norm**2 / size, mean)
    variance = _share(spread, 2 * (varies[:, 1:] + varies[:, :1])).clamp(0, 1)
    gap = (apart**2 - (changed - clean) ** 2).clamp_min(0)
    cosine = _share(gap, 2 * changed * clean)
    cosine = torch.where((changed > 0) == (clean > 0), cosine, 1).clamp(0, 2)
    relative = torch.where(apart > 0, apart / clean, 0)
    return (
        torch.stack([apart / size.sqrt(), relative, variance, cosine]).float().permute(2, 0, 1, 3)
    )


def _variance(mean_square: Tensor, mean: Tensor) -> Tensor:
    variance = mean_square - mean**2
    return torch.where(variance > ROUNDING * mean_square, variance, 0)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp_min(1e-300), 0)
