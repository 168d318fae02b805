"""Attacks of others: functions of the user's, attacks of foolbox, and its boundary attack.

foolbox (Rauber et al. 2020) is imported where it is asked for; nothing else needs it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from ...core.engine import pulse
from ...core.randomness import own_generators
from ...core.validation import TOLERANCE
from ...core.wording import named, problem
from .balls import streams
from .objective import Model, logits_of, succeeded

NOISES = 100  # drawn in search of one that is answered wrongly, to begin from
HALVINGS = 10  # of the way from such noise to the image


def called(
    method: Callable[..., Tensor], model: Model, images: Tensor, labels: Tensor, seed: int
) -> Tensor:
    """Call a function of the user's with generators of its own, and look at what it gives.

    Raises
    ------
    ValueError
        That has another shape, or leaves [0, 1].
    """
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


# --- foolbox ----------------------------------------------------------------------------------


class Watched(nn.Module):
    """A model as foolbox wants one; whoever waits can stop it at every pass, which it counts."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = (model,)  # no part of it: nothing done to a module can reach it
        self.passes = 0
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Give (n, K) logits."""
        pulse()
        self.passes += 1
        return self._model[0](images)


def is_foolbox(method: Any) -> bool:
    """Tell whether it is an attack of foolbox, or made of one."""
    foolbox = sys.modules.get("foolbox")  # who has one has imported it
    return foolbox is not None and isinstance(method, foolbox.attacks.base.Attack)


def norm_of(method: Any) -> str:
    """Return the norm that epsilon bounds for an attack of foolbox, "" for anything else."""
    if not is_foolbox(method):
        return ""
    base = sys.modules["foolbox"].attacks.base
    while isinstance(method, base.Repeated):
        method = method.attack
    if not isinstance(method, base.FixedEpsilonAttack):
        return ""
    return {"inf": "Linf", "2": "L2"}.get(str(getattr(method.distance, "p", "")), "")


def foolboxed(
    method: Any,
    model: Model,
    images: Tensor,
    labels: Tensor,
    target: Tensor | None,
    epsilon: Tensor | None,
    seed: int,
) -> Tensor:
    """Run an attack of foolbox.

    Parameters
    ----------
    method : foolbox.attacks.base.Attack
        With its settings.
    model, images, labels, target
        As for every attack.
    epsilon : Tensor, optional
        (n,) for those that take one.
    seed : int
        Of what it draws.
    """
    found = images.clone()
    sizes = labels.new_zeros(len(images)) if epsilon is None else epsilon.to(images.device)
    watched = wrapped(model, images)
    for size in sizes.unique():
        some = sizes == size
        goal = _criterion(labels[some], None if target is None else target[some])
        with own_generators(seed):
            _, given, _ = method(
                watched, images[some], goal, epsilons=None if epsilon is None else size.item()
            )
        found[some] = given.detach().to(found)
    return found


def boundary(
    model: Model,
    images: Tensor,
    labels: Tensor,
    target: Tensor | None,
    indices: Tensor,
    steps: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, logits before and after, and queries of a walk along the boundary.

    Brendel et al. 2018, arXiv 1712.04248, as foolbox has it. It begins at noise that is answered as
    it should be; where none of a hundred is, the image stays as it is. Each image goes alone: in
    foolbox those of a batch share their steps.

    Raises
    ------
    ModuleNotFoundError
        foolbox is not installed.
    """
    walk = foolbox().attacks.BoundaryAttack(steps=steps)
    clean = logits_of(model, images)
    found, queries = images.clone(), torch.zeros_like(labels)
    for place in (~succeeded(clean, labels, target)).nonzero()[:, 0].tolist():
        one = slice(place, place + 1)
        aim = None if target is None else target[one]
        watched = Watched(model)
        begin = _noise(watched, images[one], labels[one], aim, indices[one], seed)
        if begin is not None:
            goal = _criterion(labels[one], aim)
            with own_generators(seed + int(indices[place])):
                given = walk.run(wrapped(watched, images), images[one], goal, starting_points=begin)
            found[one] = given.detach().clamp(0, 1)
        queries[place] = watched.passes
    return found, torch.stack([clean, logits_of(model, found)]), queries


def foolbox() -> Any:
    """Import foolbox.

    Raises
    ------
    ModuleNotFoundError
        It is not installed; it says how to do that.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names what scipy will drop
            return import_module("foolbox")
    except ModuleNotFoundError as error:
        fix = 'Install it, "pip install foolbox", or pass attack="square", which needs nothing'
        happened = 'attack="boundary" is an attack of foolbox'
        raise ModuleNotFoundError(problem(happened, str(error), fix)) from None


def wrapped(model: Model, images: Tensor) -> Any:
    """Return a model as foolbox takes it."""
    watched = model if isinstance(model, Watched) else Watched(model)
    return foolbox().PyTorchModel(watched, bounds=(0, 1), device=images.device)


def _criterion(labels: Tensor, target: Tensor | None) -> Any:
    if target is None:
        return foolbox().criteria.Misclassification(labels)
    return foolbox().criteria.TargetedMisclassification(target)


def _noise(
    model: Model,
    image: Tensor,
    label: Tensor,
    target: Tensor | None,
    index: Tensor,
    seed: int,
) -> Tensor | None:
    """Draw noise that is answered as it should be, and mix in as much of the image as it bears."""
    (drawn,) = streams(index, seed, 0)

    def reached(tried: Tensor) -> bool:
        return bool(succeeded(logits_of(model, tried), label, target))

    for _ in range(NOISES):
        noise = torch.from_numpy(drawn.random(image.shape, "float32")).to(image)
        if reached(noise):
            break
    else:
        return None
    share, step, best = 1.0, 0.5, noise
    for _ in range(HALVINGS):
        tried = torch.lerp(image, noise, share - step)
        if reached(tried):
            share, best = share - step, tried
        step /= 2
    return best
