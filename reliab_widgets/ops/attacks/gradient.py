"""Attacks on images in pixel units: gradient ascent inside a ball, DeepFool, and random noise.

They work on tensors and on any differentiable function from images to logits; `Attack` is the one
way to call them. The loss is the cross-entropy of the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...core.engine import pulse
from ...core.randomness import own_generators
from ...core.readings import check_slopes
from ...core.validation import TOLERANCE
from ...core.wording import named, problem
from .balls import Ball, Cube, Sphere
from .deepfool import deepfool
from .objective import Model, logits_of, loss, score, succeeded

Method: TypeAlias = str | Callable[..., Tensor]

NORMS = {
    "none": "",
    "fgsm": "Linf",
    "bim": "Linf",
    "mim": "Linf",
    "pgd": "Linf",
    "pgd-l2": "L2",
    "deepfool": "",
}
"""Every method, with the norm in which epsilon bounds it."""
MOST_STEPS = 1000
RANDOM_STARTS = ("pgd", "pgd-l2")


class Attacked(NamedTuple):
    """What an attack gives.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1] and, where there is a ball, inside it without any rounding error.
    trajectory : Tensor
        (T + 1, n, K) logits after 0, 1, ..., T steps.
    success : Tensor
        (n,) bool: the label was left, or the target reached.
    blind : Tensor
        (n,) bool: every gradient was exactly 0, so the attack had nothing to go by.
    """

    images: Tensor
    trajectory: Tensor
    success: Tensor
    blind: Tensor


@dataclass(frozen=True)
class Attack:
    """An attack with its settings, to be called on a model and images.

    The kinds of `knobs` check the settings of those who call an analysis.

    Parameters
    ----------
    method : str or callable
        ``"none"``; ``"fgsm"`` (one step along the sign of the gradient); ``"bim"`` (several small
        ones); ``"mim"`` (with momentum 1); ``"pgd"`` (several, from a random start); ``"pgd-l2"``
        (the same in an L2 ball); ``"deepfool"`` (small steps over the nearest linearised boundary);
        or a function ``(model, images, labels) -> images``.
    epsilon : float
        Radius of the ball in pixel units: the most that a pixel may change or, for ``"pgd-l2"``,
        the L2 norm of the change of all pixels together.
    steps : int
        How many, for DeepFool the most; ``"fgsm"`` has one.
    step_size : float, optional
        In pixel units; by default ``1.25 epsilon / steps``, and ``2.5 epsilon / steps`` after a
        random start.
    restarts : int
        How many random starts the methods make that have one.
    target : str or int
        ``"any"`` (away from the label), ``"runner-up"`` (to the class with the second largest
        logit of the clean image), or the number of a class.
    seed : int
        Of the random starts; each image has its own stream.

    Raises
    ------
    ValueError
        A function of the user's is given a target; an epsilon above 1 does not bound an L2 norm.

    Notes
    -----
    FGSM: Goodfellow et al. 2015, arXiv 1412.6572. BIM: Kurakin et al. 2017, arXiv 1607.02533.
    MIM: Dong et al. 2018, arXiv 1710.06081. PGD: Madry et al. 2018, arXiv 1706.06083. DeepFool:
    Moosavi-Dezfooli et al. 2016, arXiv 1511.04599.

    Examples
    --------
    >>> def model(images):
    ...     mean = images.mean((1, 2, 3))
    ...     return torch.stack([1 - mean, mean], 1)
    >>> images, labels = torch.full((1, 1, 2, 2), 0.25), torch.tensor([0])
    >>> attacked = Attack("fgsm", epsilon=0.5)(model, images, labels)
    >>> attacked.images.flatten().tolist(), attacked.success.item()
    ([0.75, 0.75, 0.75, 0.75], True)
    """

    method: Method = "bim"
    epsilon: float = 8 / 255
    steps: int = 10
    step_size: float | None = None
    restarts: int = 1
    target: str | int = "any"
    seed: int = 0

    def __post_init__(self) -> None:
        if callable(self.method) and self.target != "any":
            fix = "Leave target= away, or give the function its target yourself"
            seen = f"got target={self.target!r} with {self.name}"
            raise ValueError(problem("a function of yours cannot be given a target", seen, fix))
        if self.norm != "L2" and self.epsilon > 1:
            fix = 'Pass it in pixel units, 8 / 255 for eight grey levels, or attack="pgd-l2"'
            seen = f"got {self.epsilon:g} with attack={self.name!r}"
            raise ValueError(problem("epsilon is more than the range of a pixel", seen, fix))

    @property
    def name(self) -> str:
        """The method's name, of a function its own."""
        return self.method if isinstance(self.method, str) else named(self.method)

    @property
    def norm(self) -> str:
        """The norm that epsilon bounds: "Linf", "L2", or "" where it bounds nothing."""
        return NORMS[self.method] if isinstance(self.method, str) else ""

    @property
    def stride(self) -> float:
        """The step size in units of epsilon."""
        if self.method == "fgsm":
            return 1.0
        if self.step_size is not None:
            return self.step_size / self.epsilon
        return (2.5 if self.method in RANDOM_STARTS else 1.25) / self.steps

    def __call__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        indices: Tensor | None = None,
        epsilon: Tensor | None = None,
    ) -> Attacked:
        """Attack images.

        Parameters
        ----------
        model : callable
            Gives (n, K) logits of (n, C, H, W) images, differentiably.
        images : Tensor
            (n, C, H, W) float32 in [0, 1].
        labels : Tensor
            (n,) the classes to lead away from.
        indices : Tensor, optional
            (n,) each image's number in its set, from which its random start is drawn.
        epsilon : Tensor, optional
            (n,) one for every image, instead of the attack's own.

        Returns
        -------
        Attacked
            On the device of ``images``.
        """
        labels = labels.to(images.device)
        indices = torch.arange(len(images)) if indices is None else indices
        with torch.inference_mode(False), torch.enable_grad():
            target = self.targets(model, images)
            if self.method == "none":
                found, rows = images.clone(), logits_of(model, images)[None]
                blind = torch.zeros_like(labels, dtype=torch.bool)
            elif self.method == "deepfool":
                found, rows, blind = deepfool(model, images, labels, target, self.steps)
            elif callable(self.method):
                found = _called(self.method, model, images, labels, self.seed + int(indices[0]))
                rows = torch.stack([logits_of(model, images), logits_of(model, found)])
                blind = torch.zeros_like(labels, dtype=torch.bool)
            else:
                if epsilon is None:
                    epsilon = torch.full((len(images),), self.epsilon, dtype=torch.float64)
                ball = (Sphere if self.norm == "L2" else Cube)(images, epsilon)
                found, rows, blind = self._best(model, images, labels, target, indices, ball)
        return Attacked(found, rows, succeeded(rows[-1], labels, target), blind)

    def targets(self, model: Model, images: Tensor) -> Tensor | None:
        """Return the (n,) classes that clean images are led to, None for any."""
        if self.target == "any":
            return None
        if self.target == "runner-up":
            return logits_of(model, images).topk(2, dim=1).indices[:, 1]
        return torch.full((len(images),), int(self.target), device=images.device)

    def _best(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,
        indices: Tensor,
        ball: Ball,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ascend from every start; keep for each image the first success, or the highest loss."""
        if self.method not in RANDOM_STARTS:
            return self._ascend(model, images, labels, target, ball)
        best = self._ascend(model, ball.start(indices, self.seed, 0), labels, target, ball)
        highest = score(best[1][-1], labels, target)
        for restart in range(1, self.restarts):
            start = ball.start(indices, self.seed, restart)
            found = self._ascend(model, start, labels, target, ball)
            now = score(found[1][-1], labels, target)
            better = now > highest
            highest = torch.where(better, now, highest)
            best = (
                torch.where(better.view(-1, 1, 1, 1), found[0], best[0]),
                torch.where(better.view(-1, 1), found[1], best[1]),
                best[2] & found[2],
            )
        return best

    def _ascend(
        self, model: Model, start: Tensor, labels: Tensor, target: Tensor | None, ball: Ball
    ) -> tuple[Tensor, Tensor, Tensor]:
        images, rows = start, []
        blind = torch.ones_like(labels, dtype=torch.bool)
        momentum = torch.zeros_like(images)
        for _ in range(1 if self.method == "fgsm" else self.steps):
            pulse()
            images = images.detach().requires_grad_()
            logits = model(images)
            (slope,) = torch.autograd.grad(loss(logits, labels, target).sum(), images)
            check_slopes(slope)
            rows.append(logits.detach())
            blind &= ~slope.flatten(1).any(1)
            if self.method == "mim":
                mean = slope.abs().mean((1, 2, 3), keepdim=True)
                momentum = momentum + slope / mean.clamp_min(torch.finfo(mean.dtype).tiny)
                slope = momentum
            images = ball.step(images.detach(), slope, self.stride)
        images = ball.exact(images)
        return images, torch.stack([*rows, logits_of(model, images)]), blind


def _called(
    method: Callable[..., Tensor], model: Model, images: Tensor, labels: Tensor, seed: int
) -> Tensor:
    name = named(method)
    with own_generators(seed):  # it may draw its own noise
        found = method(model, images.clone(), labels.clone())
    fix = "Pass attack= as a function (model, images, labels) -> images"
    if not isinstance(found, Tensor) or found.shape != images.shape:
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        seen = f"{name} made {given} of {tuple(images.shape)}"
        raise ValueError(problem("an attack must keep the shape of the images", seen, fix))
    found = found.detach().to(images)
    low, high = found.min().item(), found.max().item()
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        seen = f"{name} gave {low:.4g} to {high:.4g}"
        fix += " that clamps to [0, 1], e.g. with bounds=(0, 1)"
        raise ValueError(problem("an attack left [0, 1]", seen, fix))
    return found.clamp(0, 1)
