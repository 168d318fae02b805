"""Maps by other people's code: captum's attributions, Grad-CAM among them, and one's own functions.

They are given a copy of the network that takes images in pixel units, so that 0 is black, and what
they hang into it or draw from global random generators leaves no trace.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.randomness import own_generators
from ...core.readings import check_slopes
from ...core.subject import Subject
from ...core.wording import problem, shape
from ..features import layers
from .scores import scores

if TYPE_CHECKING:
    from .methods import Method


class Scored(nn.Module):
    """A subject's network as a module: images (n, C, H, W) in pixel units to scores (n, K).

    Parameters
    ----------
    subject : Subject
        Whose network is run.
    kind : str
        One of ``scores.SCORES``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> Scored(subject, "probability")(subject.images[:2]).sum(1)
    tensor([1.0000, 1.0000])
    """

    def __init__(self, subject: Subject, kind: str) -> None:
        super().__init__()
        self.model = subject.model  # captum looks for the layers among the submodules
        self.subject, self.kind = subject, kind

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores, differentiable if the images require gradients."""
        return scores(self.subject.predict(images), self.kind)


def foreign_map(
    subject: Subject,
    method: Method,
    image: Tensor,
    base: Tensor,
    target: int,
    kind: str,
    batch: int,
) -> np.ndarray:
    """Let Grad-CAM, an attribution of captum or a function explain one image.

    Parameters
    ----------
    subject : Subject
        Whose network, which is copied.
    method : Method
        ``"gradcam"`` with a layer, or with ``own``: an attribution of captum (an object, or a class
        that is made with nothing but a model), or a function ``(model, images, target, baseline)``,
        where model maps (n, C, H, W) in pixel units to the scores (n, K), images and baseline are
        (1, C, H, W), and the map comes back as (H, W), (C, H, W) or (1, C, H, W).
    image, base : Tensor (C, H, W)
        What is explained and what it is compared with, pixel units.
    target : int
        The class.
    kind : str
        One of ``scores.SCORES``.
    batch : int
        How many images a pass of captum's takes.

    Returns
    -------
    numpy.ndarray (H, W)
        float64, channels summed.

    Raises
    ------
    ValueError
        It failed, or gave something that is no map of the image.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.attribution.methods import Method
    >>> subject = rw.demo("resnet20")
    >>> image = subject.images[0]
    >>> def redness(model, images, target, baseline):
    ...     return images[0, 0] - baseline[0, 0]
    >>> foreign_map(
    ...     subject, Method("redness", own=redness), image, 0 * image, 0, "logit", 64
    ... ).shape
    (32, 32)
    """
    from captum.attr import Attribution

    def calm(model: nn.Module) -> None:
        for module in model.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]

    if method.own is None:
        subject.network.check_gradients()
    model = Scored(subject.on(subject.network.copied(calm)), kind)
    images = image[None].to(subject.device).clone().requires_grad_()
    bases = base[None].to(subject.device).clone()
    own = method.own
    with own_generators(method.seed), torch.inference_mode(False), torch.enable_grad():
        if own is None:
            made = _gradcam(model, method.layer, images, target)
        elif isinstance(own, Attribution) or _is_class(own):
            attribution = own(model) if _is_class(own) else _rewrapped(own, model)
            made = _captum(attribution, method, images, bases, target, batch)
        else:
            made = own(model, images.detach(), target, bases)
    return _flat(made, tuple(image.shape), method.name)


def foreign_name(own: Any) -> str:
    """Return what to call somebody's method, or say that it is none.

    Examples
    --------
    >>> from captum.attr import DeepLift
    >>> foreign_name(DeepLift)
    'DeepLift'
    """
    from captum.attr import Attribution, LayerAttribution, NeuronAttribution

    if isinstance(own, LayerAttribution | NeuronAttribution):
        fix = "Pass method='gradcam', or a function (model, images, target, baseline) -> map"
        seen = f"got {type(own).__name__}, which belongs to a layer of another copy of the network"
        raise TypeError(problem("method explains a layer, not the image", seen, fix))
    if isinstance(own, Attribution):
        inner = getattr(own, "attribution_method", None)
        return type(own).__name__ + (f" of {foreign_name(inner)}" if inner is not None else "")
    if callable(own):
        return str(getattr(own, "__name__", type(own).__name__))
    fix = (
        "Pass one of its names in method=, an attribution of captum, or a function "
        "(model, images, target, baseline) -> map"
    )
    raise TypeError(problem("method cannot explain anything", f"got {type(own).__name__}", fix))


def spatial_layers(subject: Subject) -> dict[str, tuple[int, int]]:
    """Return the layers and blocks that give a map of more than one pixel, with its last size.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = spatial_layers(rw.demo("resnet20"))
    >>> list(found)[-1], found["layer3.2"]
    ('layer3.2', (8, 8))
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for group in ("weight", "activations", "blocks"):
        try:
            some, _ = layers.find(subject.network, subject.images[:1], group)
        except layers.NoLayer:
            continue
        for layer in some:
            if subject.network.gradients and not layer.differs:
                continue  # made of constants, such as an encoding of places
            shapes.setdefault(layer.module, []).append(layer.shape)
    found = {}
    for name, uses in shapes.items():
        if all(len(one) == 3 for one in uses):
            first = 0 if channels_last(subject, name, uses[-1]) else 1
            if all(one[first] * one[first + 1] > 1 for one in uses):
                found[name] = (uses[-1][first], uses[-1][first + 1])
    return found


def channels_last(subject: Subject, name: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a layer's output is (n, H, W, C) and not (n, C, H, W).

    Parameters
    ----------
    subject : Subject
        Whose images show which proportions a map has.
    name : str
        Of the layer.
    shape : tuple of int
        Of its output, for one image.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> channels_last(rw.demo("resnet20"), "layer3.2", (64, 8, 8))
    False
    """
    rows, columns = subject.images.shape[2:]

    def fits(height: int, width: int) -> bool:
        """Tell whether this could be the image, made smaller."""
        if rows == columns:
            return height == width
        return abs(height * columns - width * rows) < max(rows, columns)  # but for rounding

    if not fits(*shape[:2]):
        return False
    first, last = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm), (nn.Linear, nn.LayerNorm)
    if fits(*shape[1:]):
        own = list(subject.model.get_submodule(name).modules())
        if not any(isinstance(module, last) for module in own):
            return False
        return not any(isinstance(module, first) for module in own)
    widths = {
        module.out_features if isinstance(module, nn.Linear) else module.normalized_shape[-1]
        for module in subject.model.modules()
        if isinstance(module, last)
    }
    return shape[2] in widths


def check_layer(subject: Subject, name: str | None) -> str:
    """Return the layer that Grad-CAM shall look at, by default the last one with a map.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> check_layer(rw.demo("resnet20"), None)
    'layer3.2'
    """
    found = spatial_layers(subject)
    listed = ", ".join(found)
    if not found:
        fix = "Choose another method=: occlusion and rise work on any network"
        seen = f"no convolution or block of {subject.name} gives one"
        raise ValueError(problem("Grad-CAM needs a layer with a spatial map", seen, fix))
    if name is None:
        return list(found)[-1]
    if name not in found:
        known = name in dict(subject.model.named_modules())
        why = "whose output is none" if known else "which is not there"
        seen = f"got layer={name!r}, {why}"
        fix = f"Pass layer= one of: {listed}"
        raise ValueError(problem("Grad-CAM needs a layer with a spatial map", seen, fix))
    return name


def _gradcam(model: Scored, name: str, images: Tensor, target: int) -> Tensor:
    layer = model.model.get_submodule(name)
    kept: list[Tensor] = []
    with layer.register_forward_hook(lambda _m, _i, output: kept.append(output)):
        score = model(images)[:, target].sum()
    maps = kept[-1]
    (slopes,) = torch.autograd.grad(score, maps)
    check_slopes(slopes)
    channel = 3 if channels_last(model.subject, name, tuple(maps.shape[1:])) else 1
    places = (1, 2) if channel == 3 else (2, 3)
    made = (slopes.mean(places, keepdim=True) * maps).sum(channel).unsqueeze(1).detach()
    # Under autocast it has 16 bits, which numpy does not know.
    return nn.functional.interpolate(made.float(), images.shape[2:], mode="bilinear")


def _captum(
    attribution: Any, method: Method, images: Tensor, bases: Tensor, target: int, batch: int
) -> Tensor:
    inner = getattr(attribution, "attribution_method", attribution)  # NoiseTunnel hands on the rest
    known = {
        name for one in (attribution, inner) for name in inspect.signature(one.attribute).parameters
    }
    side = (images.shape[1], method.window, method.window)
    given = {
        "target": target,
        "baselines": bases,
        "internal_batch_size": batch,
        "perturbations_per_eval": batch,
        "sliding_window_shapes": side,
        "strides": (images.shape[1], method.stride, method.stride),
    }
    try:
        return attribution.attribute(
            images, **{name: value for name, value in given.items() if name in known}
        )
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        again = "more than once" in first_line
        fix = (
            "Give each use of the layer a module of its own in model=, or choose a method= without "
            "hooks, such as 'ig'"
            if again
            else "Try it on your model alone, or choose another method="
        )
        seen = f"{type(error).__name__}: {first_line}"
        network = type(attribution.forward_func.model).__name__
        happened = f"captum's {type(attribution).__name__} failed on {network}"
        raise ValueError(problem(happened, seen, fix)) from error


def _is_class(own: Any) -> bool:
    from captum.attr import Attribution

    return isinstance(own, type) and issubclass(own, Attribution)


def _rewrapped(attribution: Any, model: nn.Module) -> Any:
    """Copy an attribution that was made for the user's model, and let it explain this one."""
    new = copy.copy(attribution)
    for name in ("forward_func", "model"):
        if hasattr(new, name):
            setattr(new, name, model)
    if hasattr(new, "attribution_method"):
        new.attribution_method = _rewrapped(new.attribution_method, model)
    return new


def _flat(made: Any, size: tuple[int, ...], name: str) -> np.ndarray:
    if isinstance(made, tuple) and len(made) == 1:
        made = made[0]
    values = made.detach().cpu().numpy() if isinstance(made, Tensor) else np.asarray(made)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.shape not in (size, size[1:]) or values.dtype.kind not in "fiu":
        fix = f"Let method= return a map of {shape(size[1:])} or {shape(size)}"
        seen = f"got {shape(values.shape) or type(made).__name__} for an image of {shape(size)}"
        raise ValueError(problem(f"{name} gives no map of the image", seen, fix))
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        fix = "Look for a division by 0 in method="
        seen = f"{int((~np.isfinite(values)).sum())} of {values.size} values"
        raise ValueError(problem(f"the map of {name} holds NaN or infinity", seen, fix))
    return values.sum(0) if values.ndim == 3 else values
