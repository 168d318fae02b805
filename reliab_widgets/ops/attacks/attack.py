"""The one way to call an attack, on images in pixel units and any function of them to logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...core.wording import named, problem
from . import apgd, foreign, queries
from .ascent import ascend, from_starts
from .balls import Cube, Sphere
from .carlini import carlini
from .catalogue import METHODS
from .deepfool import deepfool
from .objective import Model, logits_of, succeeded
from .task import Found, Task

Method: TypeAlias = str | Callable[..., Tensor]

SMALLEST = {"deepfool": deepfool, "cw": carlini}
BLACK_BOXES = {"square": queries.square, "simba": queries.simba, "nes": queries.nes}


class Attacked(NamedTuple):
    """What an attack gives.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1] and, where there is a ball, inside it without any rounding error.
    trajectory : Tensor
        (T + 1, n, K) logits after 0, 1, ..., T steps; where the way is no line of steps (queries,
        ``"cw"``, functions), before and after.
    success : Tensor
        (n,) bool: the label was left, or the target reached.
    blind : Tensor
        (n,) bool: every gradient was exactly 0, so the attack had nothing to go by.
    queries : Tensor
        (n,) how often an attack that sees answers only asked, until it succeeded or gave up; 0 for
        all others.
    """

    images: Tensor
    trajectory: Tensor
    success: Tensor
    blind: Tensor
    queries: Tensor


@dataclass(frozen=True)
class Attack:
    """An attack with its settings, to be called on a model and images.

    The kinds of `knobs` check the settings of those who call an analysis.

    Parameters
    ----------
    method : str or callable
        A name of `catalogue.METHODS`, a function ``(model, images, labels) -> images``, or an
        attack of foolbox with its settings.
    epsilon : float
        Radius of the ball in pixel units: the most that a pixel may change or, for attacks in L2,
        the norm of the change of all pixels together.
    steps : int
        How many, for DeepFool the most, for Carlini-Wagner for each of five weights; for black
        boxes how many queries. FGSM has one.
    step_size : float, optional
        In pixel units; by default ``1.25 epsilon / steps``, and ``2.5 epsilon / steps`` after a
        random start.
    restarts : int
        How many random starts the methods make that have one.
    target : str or int
        ``"any"`` (away from the label), ``"runner-up"`` (to the class with the second largest
        logit of the clean image), or the number of a class.
    seed : int
        Of what is drawn; each image has its own stream.
    loss : str
        What is climbed, by methods that do: ``"auto"`` (the cross-entropy, or its logarithm where
        it drowns in rounding; what else the method's authors chose), ``"cross-entropy"``, or
        ``"margin"``, which does not know the scale of the logits.

    Raises
    ------
    ValueError
        Something that tries every class, or a function of the user's, is given a target; an
        epsilon above 1 does not bound an L2 norm.

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
    loss: str = "auto"

    def __post_init__(self) -> None:
        if self.method == "apgd-targeted" and self.target != "any":
            fix = 'Leave target= away, or pass attack="apgd"'
            seen = f"got target={self.target!r} with apgd-targeted"
            raise ValueError(problem("an attack towards every class has no target", seen, fix))
        own = callable(self.method) and not foreign.is_foolbox(self.method)
        if own and self.target != "any":
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
        if isinstance(self.method, str):
            return METHODS[self.method].norm
        return foreign.norm_of(self.method)

    @property
    def stride(self) -> float:
        """The step size in units of epsilon, NaN where it cannot be chosen."""
        entry = METHODS.get(self.method) if isinstance(self.method, str) else None
        if entry is None or not entry.sized:
            return 1.0 if entry is not None and not entry.counts else float("nan")
        if self.step_size is not None:
            return self.step_size / self.epsilon
        return (2.5 if entry.starts else 1.25) / self.steps

    @property
    def climbed(self) -> str:
        """The loss that is climbed, a key of ``objective.RISES``; "" if there is none."""
        usual = METHODS[self.method].loss if isinstance(self.method, str) else ""
        return self.loss if usual and self.loss != "auto" else usual

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
            asked = torch.zeros_like(labels)
            blind = torch.zeros_like(labels, dtype=torch.bool)
            if self.method == "none":
                found, rows = images.clone(), logits_of(model, images)[None]
            elif not isinstance(self.method, str):
                found = self._foreign(model, images, labels, target, indices, epsilon)
                rows = torch.stack([logits_of(model, it) for it in (images, found)])
            elif self.method == "boundary":
                found, rows, asked = foreign.boundary(
                    model, images, labels, target, indices, self.steps, self.seed
                )
            elif self.method in SMALLEST:
                least = SMALLEST[self.method]
                found, rows, blind = least(model, images, labels, target, self.steps)
            else:
                ball = self._ball(images, epsilon)
                task = Task(model, labels, target, indices, ball, self.climbed)
                if self.method in BLACK_BOXES:
                    black_box = BLACK_BOXES[self.method]
                    found, rows, asked = black_box(task, images, self.steps, self.seed)
                else:
                    found, rows, blind = self._ascent(task, images)
        return Attacked(found, rows, succeeded(rows[-1], labels, target), blind, asked)

    def _ball(self, images: Tensor, epsilon: Tensor | None) -> Cube | Sphere:
        if epsilon is None:
            epsilon = torch.full((len(images),), self.epsilon, dtype=torch.float64)
        return (Sphere if self.norm == "L2" else Cube)(images, epsilon)

    def _ascent(self, task: Task, images: Tensor) -> Found:
        if self.method == "apgd-targeted":
            clean = logits_of(task.model, images)
            return apgd.targeted(task, clean, self.steps, self.restarts, self.seed)
        entry = METHODS[str(self.method)]
        run: Callable[[Task, Tensor], Found]
        if self.method in ("apgd", "apgd-l2"):
            run = partial(apgd.apgd, steps=self.steps)
        else:
            run = partial(
                ascend,
                steps=self.steps if entry.counts else 1,
                stride=self.stride,
                momentum=self.method in ("mim", "mim-l2"),
                averaged=self.method == "eot-pgd",
            )
        if not entry.starts:
            return run(task, images)
        return from_starts(task, run, self.restarts, self.seed)

    def _foreign(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,
        indices: Tensor,
        epsilon: Tensor | None,
    ) -> Tensor:
        seed = self.seed + int(indices[0])
        assert not isinstance(self.method, str)
        if not foreign.is_foolbox(self.method):
            return foreign.called(self.method, model, images, labels, seed)
        if not self.norm:
            return foreign.foolboxed(self.method, model, images, labels, target, None, seed)
        if epsilon is None:
            epsilon = torch.full((len(images),), self.epsilon, dtype=torch.float64)
        found = foreign.foolboxed(self.method, model, images, labels, target, epsilon, seed)
        return self._ball(images, epsilon).exact(found)

    def targets(self, model: Model, images: Tensor) -> Tensor | None:
        """Return the (n,) classes that clean images are led to, None for any."""
        if self.target == "any":
            return None
        if self.target == "runner-up":
            return logits_of(model, images).topk(2, dim=1).indices[:, 1]
        return torch.full((len(images),), int(self.target), device=images.device)
