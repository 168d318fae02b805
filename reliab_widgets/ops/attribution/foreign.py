"""Maps that come out of one call: from inside of the network, captum's, and one's own functions.

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
from ...core.subject import Subject
from ...core.wording import problem, shape
from . import inner
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
    """Let a method of `inner`, an attribution of captum or a function explain one image.

    Parameters
    ----------
    subject : Subject
        Whose network, which is copied.
    method : Method
        ``"gradcam"`` with a layer, ``"rollout"``, ``"attention-x-gradient"``, or with ``own``: an
        attribution of captum (an object, or a class that is made with nothing but a model), or a
        function ``(model, images, target, baseline)``, where model maps (n, C, H, W) in pixel units
        to the scores (n, K), images and baseline are (1, C, H, W), and the map comes back as
        (H, W), (C, H, W) or (1, C, H, W).
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

    def calm(model: nn.Module) -> None:
        for module in model.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]

    own = method.own
    if own is None:
        subject.network.check_gradients()
    # What other people write into weights must leave no trace.
    model = Scored(subject.on(subject.network.copied(calm, shared=own is None)), kind)
    images = image[None].to(subject.device).clone().requires_grad_()
    bases = base[None].to(subject.device).clone()
    with own_generators(method.seed), torch.inference_mode(False), torch.enable_grad():
        if own is None:
            copy = inner.Copy(subject, model.model, model)
            made = _INNER[method.name](copy, method, images, target)
        elif attribution := _attribution(own, model):
            made = _captum(attribution, method, images, bases, target, batch)
        else:
            made = own(model, images.detach(), target, bases)
    return _flat(made, tuple(image.shape), method.name)


_INNER: dict[str, Any] = {
    "gradcam": lambda copy, method, *rest: inner.gradcam(copy, method.layer, *rest),
    "rollout": lambda copy, _, *rest: inner.rollout(copy, *rest),
    "attention-x-gradient": lambda copy, _, *rest: inner.attention_x_gradient(copy, *rest),
}


def _attribution(own: Any, model: Scored) -> Any:
    """Return an attribution of captum's that explains this model, or None for a function."""
    from captum.attr import Attribution

    if _is_class(own):
        return own(model)
    return _rewrapped(own, model) if isinstance(own, Attribution) else None


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
