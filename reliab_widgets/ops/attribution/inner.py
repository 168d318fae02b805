"""Maps from inside of a network: Grad-CAM, attention rollout, attention times its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...core.network import Network
from ...core.readings import check_slopes
from ...core.subject import Subject
from ...core.wording import problem
from ..features import layers
from ..features.attention import attending
from ..features.steps import FUNCTIONS, Step, watching
from ..features.tokens import Places, places


class Copy(NamedTuple):
    """A copy of a subject's network, which takes hooks while the subject is asked what is known.

    Attributes
    ----------
    subject : Subject
        Where places and attention were found.
    model : torch.nn.Module
        The copy.
    scores : callable
        Runs it: images (n, C, H, W) in pixel units to scores (n, K).
    """

    subject: Subject
    model: nn.Module
    scores: Callable[[Tensor], Tensor]


NOTHING = 1e-6  # of the largest gradient is none
_LAST: WeakKeyDictionary[Network, str] = WeakKeyDictionary()
_WHY: WeakKeyDictionary[Network, str] = WeakKeyDictionary()


def spatial_layers(subject: Subject) -> dict[str, tuple[int, int]]:
    """Return the layers and blocks that hold places of the image, with the size of their maps.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = spatial_layers(rw.demo("resnet20"))
    >>> list(found)[-1], found["layer3.2"]
    ('layer3.2', (8, 8))
    """
    network, image = subject.network, subject.images[:1]
    found = places(network, image)
    names: dict[str, None] = {}
    for group in ("weight", "activations", "blocks"):
        try:
            some, _ = layers.find(network, image, group)
        except layers.NoLayer:
            continue
        names |= dict.fromkeys(layer.module for layer in some if layer.module in found)
    return {name: found[name].grid for name in names}


def check_layer(subject: Subject, name: str | None) -> str:
    """Return the layer that Grad-CAM shall look at, by default the last block that it can be.

    The last block of a transformer holds places, but the answer may read its class token alone.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> check_layer(rw.demo("resnet20"), None)
    'layer3.2'
    """
    found = spatial_layers(subject)
    listed = ", ".join(found)
    if not found:
        fix = (
            "Choose another method=: occlusion and rise work on any network. Tokens have places "
            "where they come from a map: let forward cut the image by a convolution, or by a "
            "module such as nn.Unflatten(2, (rows, columns)) that gives one"
        )
        seen = f"no convolution or block of {subject.name} gives one"
        raise ValueError(problem("Grad-CAM needs a layer with a spatial map", seen, fix))
    if name is None:
        if subject.network not in _LAST:
            _LAST[subject.network] = _last(subject, list(found))
        return _LAST[subject.network]
    if name not in places(subject.network, subject.images[:1]):
        known = name in dict(subject.model.named_modules())
        why = "whose output is none" if known else "which is not there"
        seen = f"got layer={name!r}, {why}"
        fix = f"Pass layer= one of: {listed}"
        raise ValueError(problem("Grad-CAM needs a layer with a spatial map", seen, fix))
    return name


def _last(subject: Subject, names: list[str]) -> str:
    """Return the last layer with gradients where the places are."""
    known = places(subject.network, subject.images[:1])
    if known[names[-1]].extra is None or not subject.network.gradients:
        return names[-1]
    kept: dict[str, Tensor] = {}
    last = {name: known[name].layer.use for name in names}

    def see(step: Step) -> None:
        if step.use == last.get(step.name):
            kept[step.name] = step.output

    image = subject.images[:1].clone().requires_grad_()
    with torch.inference_mode(False), torch.enable_grad():
        with watching(subject.model, see, names, functions=any(_called(known[it]) for it in names)):
            score = subject.network.logits(image).max()
        slopes = torch.autograd.grad(score, list(kept.values()), allow_unused=True)
    felt_by = dict(zip(kept, slopes, strict=True))
    for name in reversed(names):
        if (slope := felt_by.get(name)) is not None:
            one = known[name]
            felt = one.maps(one.layer.rows.by_image(slope))
            if felt.abs().max() > NOTHING * slope.abs().max():
                return name
    return names[-1]


def _called(one: Places) -> bool:
    return one.layer.type in FUNCTIONS


def gradcam(copy: Copy, layer: str, images: Tensor, target: int) -> Tensor:
    """Return the Grad-CAM (1, 1, H, W) of one image at a layer.

    Selvaraju et al. 2017, arXiv 1610.02391, without the final ReLU: its sign says for or against.

    Parameters
    ----------
    copy : Copy
        Of the network that is explained.
    layer : str
        One that holds places, see `check_layer`.
    images : Tensor
        (1, C, H, W), requiring gradients.
    target : int
        The class.
    """
    one = places(copy.subject.network, images.detach())[layer]
    kept: list[Tensor] = []

    def see(step: Step) -> None:
        if step.use == one.layer.use:
            kept.append(step.output)

    with watching(copy.model, see, (layer,), functions=_called(one)):
        score = copy.scores(images)[:, target].sum()
    (slopes,) = torch.autograd.grad(score, kept)
    check_slopes(slopes)
    maps, felt = (one.maps(one.layer.rows.by_image(it)) for it in (kept[0], slopes))
    return _enlarged((felt.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True), images)


def _enlarged(maps: Tensor, images: Tensor) -> Tensor:
    # Under autocast it has 16 bits, which numpy does not know.
    small = maps.detach().float()
    return nn.functional.interpolate(small, images.shape[2:], mode="bilinear")


# --- attention --------------------------------------------------------------------------------


def rollout(copy: Copy, images: Tensor, target: int) -> Tensor:
    """Return the attention rollout (1, 1, H, W) of one image.

    The mean over heads, half of it the token itself, multiplied from block to block; read in the
    rows of the tokens that the answer needs. Abnar and Zuidema 2020, arXiv 2005.00928. The class
    counts for nothing but for which tokens the answer needs.

    Parameters
    ----------
    copy, images, target
        As for `gradcam`.

    Raises
    ------
    ValueError
        The network has no attention over all tokens; see `check_attention`.
    """

    def step(so_far: Tensor, weights: Tensor, _: Tensor) -> Tensor:
        own = torch.eye(len(so_far)).to(so_far)
        return (weights.mean(0) + own) / 2 @ so_far

    return _flow(copy, images, target, step)


def attention_x_gradient(copy: Copy, images: Tensor, target: int) -> Tensor:
    """Return the relevance (1, 1, H, W) of places by attention times its gradients.

    The positive part of attention times the score's gradient, its mean over heads, added to what
    came before. Chefer, Gur and Wolf 2021, arXiv 2103.15679, rule for self-attention.

    Parameters
    ----------
    copy, images, target
        As for `gradcam`.

    Raises
    ------
    ValueError
        As `rollout`.
    """

    def step(so_far: Tensor, weights: Tensor, slopes: Tensor) -> Tensor:
        return so_far + (weights * slopes).clamp(min=0).mean(0) @ so_far

    return _flow(copy, images, target, step)


def check_attention(subject: Subject) -> None:
    """Refuse a network without attention over all of its tokens.

    Raises
    ------
    ValueError
        It has none, or one that cannot be followed, such as within windows.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> check_attention(rw.demo("resnet20"))
    Traceback (most recent call last):
    ValueError: this network has no attention that can be followed: in resnet20 there is none. ...
    """
    if why := why_no_attention(subject):
        raise ValueError(
            problem(
                "this network has no attention that can be followed",
                f"in {subject.name} {why}",
                "Choose method='gradcam', 'ig' or 'occlusion'; attention is followed where every "
                "token looks at all the others, in all blocks",
            )
        )


def why_no_attention(subject: Subject) -> str:
    """Say why a network has no attention over all of its tokens, or nothing where it has."""
    network, image = subject.network, subject.images[:1]
    if network not in _WHY:
        _WHY[network] = "there is none"
        if layers.attends(network, image):
            _WHY[network] = "no step gives tokens that have places"
            if (last := _last_tokens(subject)) is not None:
                with torch.inference_mode(False), torch.enable_grad():
                    image = image.clone().requires_grad_(network.gradients)
                    itself = Copy(subject, subject.model, network.logits)
                    _WHY[network] = _attended(itself, last, image, 0).why
    return _WHY[network]


def _flow(
    copy: Copy,
    images: Tensor,
    target: int,
    step: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Follow tokens from block to block, and read how much of each place the answer holds."""
    check_attention(copy.subject)
    one = cast(Places, _last_tokens(copy.subject))
    seen = _attended(copy, one, images, target)
    slopes = torch.autograd.grad(seen.score, [*seen.weights, *seen.tokens])
    check_slopes(slopes[-1])
    tokens = one.layer.rows.by_image(slopes[-1]).movedim(1 + one.axis, 1).flatten(2)
    rows = tokens[0].abs().sum(1)
    so_far = torch.eye(len(rows)).to(rows)
    for weights, slope in zip(seen.weights, slopes[:-1], strict=True):
        each, felt = (it.detach().reshape(-1, *it.shape[-2:]) for it in (weights, slope))
        so_far = step(so_far, each, felt)
    found = (rows / rows.sum().clamp_min(1e-30)) @ so_far
    return _enlarged(found[one.extra :].reshape(1, 1, *one.grid), images)


class _Attended(NamedTuple):
    """A pass: the last tokens, all weights, the score, and why they cannot be followed."""

    tokens: list[Tensor]
    weights: list[Tensor]
    score: Tensor
    why: str


def _attended(copy: Copy, last: Places, images: Tensor, target: int) -> _Attended:
    weights: list[Tensor] = []
    kept: list[Tensor] = []

    def see(step: Step) -> None:
        if step.use == last.layer.use:
            kept.append(step.output)

    with (
        watching(copy.model, see, (last.layer.module,), functions=_called(last)),
        attending(copy.model, weights.append),
    ):
        score = copy.scores(images)[:, target].sum()
    count, why = last.layer.shape[last.axis], ""
    odd = [tuple(it.shape[-2:]) for it in weights if it.shape[-2:] != (count, count)]
    if any(it.ndim > 3 and it.shape[:-3].numel() > 1 for it in weights):
        why = "attention is within windows"
    elif odd:
        why = f"{len(odd)} of {len(weights)} attentions are between {odd[0][0]} and {odd[0][1]} "
        why += f"of {count} tokens"
    return _Attended(kept, weights, score, why)


def _last_tokens(subject: Subject) -> Places | None:
    """Return where the last tokens are that have places."""
    known = places(subject.network, subject.images[:1]).values()
    return next((one for one in reversed(list(known)) if one.extra is not None), None)
