"""Denoisers by name: those that were trained, and plain filters."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated

from ...core.analysis import checked
from ...core.knobs import Choice
from ..networks.files import in_the_box, tensors

if TYPE_CHECKING:
    from torch import nn

_FILTERS = ("median", "gaussian", "jpeg", "bits", "tv", "resize")
TRAINED = ("pixel", "guided")
"""Those that were trained: they take colour images with sides divisible by 4."""


def denoisers() -> tuple[str, ...]:
    """List the names: first those that were trained, then the plain filters.

    Examples
    --------
    >>> denoisers()
    (...'median', 'gaussian', 'jpeg', 'bits', 'tv', 'resize')
    """
    return (*in_the_box(TRAINED), *_FILTERS)


@checked
def denoiser(name: Annotated[str, Choice(lambda _: denoisers(), what="denoiser")]) -> nn.Module:
    """Give a denoiser: a module from images ``(N, C, H, W)`` in [0, 1] to the same.

    Parameters
    ----------
    name : str
        One of ``denoisers()``. ``"pixel"`` and ``"guided"`` are U-Nets for 32 x 32 colour images,
        trained on attacked images: the first to come near the clean pixels, the second near the
        logits that a classifier gives for the clean image (Liao et al. 2018, "Defense against
        adversarial attacks using high-level representation guided denoiser", arXiv 1712.02976).
        The others are filters for images of any size.

    Returns
    -------
    torch.nn.Module
        In eval mode, the same object on every call.

    Raises
    ------
    ValueError
        No such name, or a file of the package is damaged.

    Examples
    --------
    >>> import torch
    >>> denoiser("bits")(torch.full((1, 3, 2, 2), 0.5)).unique()
    tensor([0.5333])
    """
    return _made(name)


@cache
def _made(name: str) -> nn.Module:
    if name in _FILTERS:
        from .filters import FILTERS

        made = FILTERS[name]()
    else:
        from ...core.randomness import own_generators
        from .unet import UNet

        with own_generators():  # for its first weights, which are replaced
            made = UNet()
        made.load_state_dict(tensors(name))  # into float32, whatever the precision on disk
    return made.eval().requires_grad_(False)
