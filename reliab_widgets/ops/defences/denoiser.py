"""Whatever stands before a network, made safe."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...core.knobs import Choice, Fact
from ...core.randomness import draw, own_generators
from ...core.subject import Subject
from ...core.wording import named, problem
from .catalogue import denoiser, denoisers

Denoise: TypeAlias = str | Callable[[Tensor], Tensor] | None


def _known(about: Any) -> tuple[str, ...]:
    return ("none", *denoisers())  # not a constant: the zoo brings more


@dataclass(frozen=True)
class DenoiserName(Choice):
    """A denoiser by its name, a module or function of the user's; "none", or None, for none.

    Examples
    --------
    >>> DenoiserName().check("denoiser", None, None)
    'none'
    """

    values: Fact = _known
    own: str = "a module or function of images"

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return a name, or the user's module or function."""
        return super().check(name, "none" if value is None else value, about)


class Denoiser(nn.Module):
    """A denoiser made safe: copied, in eval mode, frozen, its output in [0, 1] and checked.

    Parameters
    ----------
    denoise : callable
        (n, C, H, W) images in [0, 1] to images of the same shape; a module is copied.
    subject : Subject
        Whose images it must take.

    Attributes
    ----------
    name : str
        Its name.
    differentiable : bool
        Whether a gradient that is not zero everywhere comes through.
    draws : bool
        Whether it may draw by chance: then every pass is seeded alike.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> Denoiser(torch.nn.AvgPool2d(3, 1, 1), subject).differentiable
    True
    >>> Denoiser(torch.round, subject).differentiable
    False
    """

    def __init__(self, denoise: Callable[[Tensor], Tensor], subject: Subject) -> None:
        super().__init__()
        self.name = named(denoise)
        if isinstance(denoise, nn.Module):
            denoise = copy.deepcopy(denoise).eval().requires_grad_(False).to(subject.device)
        self.denoise = denoise
        image = subject.images[:1].to(subject.device)
        with own_generators() as draws, torch.inference_mode(False):
            with torch.no_grad():
                self._check(image, denoise(image.clone()))
            own = not isinstance(denoise, nn.Module) or getattr(denoise, "draws", False)
            self.draws = draws.drawn or own
            self.differentiable = self._differentiated(image)

    def forward(self, images: Tensor) -> Tensor:
        """Give the denoised images, (n, C, H, W) in [0, 1], with a gradient in any case.

        Where the denoiser lets no gradient through, that of the identity is taken instead: BPDA,
        Athalye et al. 2018, arXiv 1802.00420.
        """
        if self.differentiable or not images.requires_grad:
            return self._run(images)
        with torch.no_grad():
            denoised = self._run(images)
        return images + (denoised - images).detach()

    def extra_repr(self) -> str:
        """Give the name and, of a function, what it does: two may have the same name."""
        code = getattr(self.denoise, "__code__", None)
        if code is None:
            return repr(self.name)
        held = [it.cell_contents for it in getattr(self.denoise, "__closure__", None) or ()]
        return f"{self.name!r}, {code.co_code.hex()}, {code.co_consts}, {code.co_names}, {held}"

    def _run(self, images: Tensor) -> Tensor:
        if self.draws:
            with own_generators(draw()):
                denoised = self.denoise(images)
        else:
            denoised = self.denoise(images)
        self._check(images, denoised)
        return denoised.clamp(0, 1)

    def _check(self, images: Tensor, denoised: object) -> None:
        if not isinstance(denoised, Tensor) or denoised.shape != images.shape:
            made = (
                tuple(denoised.shape) if isinstance(denoised, Tensor) else type(denoised).__name__
            )
            seen = f"{self.name} made {made} of {tuple(images.shape)}"
            fix = "Pass denoiser= as a module or function (n, C, H, W) -> (n, C, H, W)"
            raise ValueError(problem("a denoiser must keep the shape of the images", seen, fix))

    def _differentiated(self, image: Tensor) -> bool:
        image = image.clone().requires_grad_()
        with torch.enable_grad():
            try:
                denoised = self.denoise(image)
                (slope,) = torch.autograd.grad(denoised.square().sum(), image)
            except RuntimeError:  # what blocks gradients may also refuse tensors that carry them
                return False
        return bool(slope.any())


def safe(given: Denoise, subject: Subject) -> Denoiser | None:
    """Return a denoiser made safe, from its name, a module or a function; None for "none"."""
    if given is None or given == "none":
        return None
    if not isinstance(given, str):
        return Denoiser(given, subject)
    made = Denoiser(denoiser(given), subject)
    made.name = given
    return made
