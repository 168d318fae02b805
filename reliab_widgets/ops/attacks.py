"""Attacks on images in pixel units: gradient ascent inside a ball, DeepFool, and random noise.

They work on tensors and on any differentiable function from images to logits; `Attack` is the one
way to call them. The loss is the cross-entropy of the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple, TypeAlias, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..batching import own_generators
from ..validation import TOLERANCE, check_whole, problem

Model: TypeAlias = Callable[[Tensor], Tensor]
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
CANDIDATES = 9  # classes that DeepFool looks at besides the label
OVERSHOOT = 0.02  # by how much DeepFool goes beyond the boundary, in per unit


class Attacked(NamedTuple):
    """What an attack gives.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1] and, where there is a ball, inside it without any rounding error.
    trajectory : Tensor
        (T + 1, n, K) logits after 0, 1, ..., T steps.
    success : Tensor
        (n,) bool: the label was left, or the goal reached.
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
    goal : str or int
        ``"any"`` (away from the label), ``"runner-up"`` (to the class with the second largest
        logit of the clean image), or the number of a class.
    seed : int
        Of the random starts; each image has its own stream.

    Raises
    ------
    ValueError, TypeError
        A setting that cannot be.

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
    goal: str | int = "any"
    seed: int = 0

    def __post_init__(self) -> None:
        if not callable(self.method) and self.method not in NORMS:
            fix = f"Choose attack= from {', '.join(map(repr, NORMS))}, or pass a function of "
            fix += "(model, images, labels)"
            raise ValueError(problem("there is no such attack", f"got {self.method!r}", fix))
        check_epsilon("epsilon", self.epsilon)
        check_whole("steps", self.steps, 1, MOST_STEPS)
        check_whole("restarts", self.restarts, 1, MOST_STEPS)
        if self.step_size is not None and not (_is_real(self.step_size) and self.step_size > 0):
            fix = "Pass step_size= in pixel units, or None for one that goes with epsilon and steps"
            raise ValueError(
                problem("step_size must be a number above 0", f"got {self.step_size!r}", fix)
            )
        if callable(self.method) and self.goal != "any":
            fix = "Leave goal= away, or give the function its goal yourself"
            seen = f"got goal={self.goal!r} with {self.name}"
            raise ValueError(problem("a function of yours cannot be given a goal", seen, fix))

    @property
    def name(self) -> str:
        """The method's name, of a function its own."""
        return self.method if isinstance(self.method, str) else _name(self.method)

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
            target = self.target(model, images)
            if self.method == "none":
                found, rows = images.clone(), _logits(model, images)[None]
                blind = torch.zeros_like(labels, dtype=torch.bool)
            elif self.method == "deepfool":
                found, rows, blind = _deepfool(model, images, labels, target, self.steps)
            elif callable(self.method):
                found = _called(self.method, model, images, labels, self.seed + int(indices[0]))
                rows = torch.stack([_logits(model, images), _logits(model, found)])
                blind = torch.zeros_like(labels, dtype=torch.bool)
            else:
                if epsilon is None:
                    epsilon = torch.full((len(images),), self.epsilon, dtype=torch.float64)
                found, rows, blind = self._best(model, images, labels, target, indices, epsilon)
        return Attacked(found, rows, succeeded(rows[-1], labels, target), blind)

    def target(self, model: Model, images: Tensor) -> Tensor | None:
        """Return the (n,) classes that the goal leads clean images to, None for any."""
        if self.goal == "any":
            return None
        if self.goal == "runner-up":
            return _logits(model, images).topk(2, dim=1).indices[:, 1]
        return torch.full((len(images),), int(self.goal), device=images.device)

    def _best(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,
        indices: Tensor,
        epsilon: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ascend from every start; keep for each image the first success, or the highest loss."""
        ball = (_Sphere if self.norm == "L2" else _Cube)(images, epsilon)
        if self.method not in RANDOM_STARTS:
            return self._ascend(model, images, labels, target, ball)
        best = self._ascend(model, ball.start(indices, self.seed, 0), labels, target, ball)
        score = _score(best[1][-1], labels, target)
        for restart in range(1, self.restarts):
            start = ball.start(indices, self.seed, restart)
            found = self._ascend(model, start, labels, target, ball)
            now = _score(found[1][-1], labels, target)
            better = now > score
            score = torch.where(better, now, score)
            best = (
                torch.where(better.view(-1, 1, 1, 1), found[0], best[0]),
                torch.where(better.view(-1, 1), found[1], best[1]),
                best[2] & found[2],
            )
        return best

    def _ascend(
        self, model: Model, start: Tensor, labels: Tensor, target: Tensor | None, ball: _Ball
    ) -> tuple[Tensor, Tensor, Tensor]:
        images, rows = start, []
        blind = torch.ones_like(labels, dtype=torch.bool)
        momentum = torch.zeros_like(images)
        for _ in range(1 if self.method == "fgsm" else self.steps):
            images = images.detach().requires_grad_()
            logits = model(images)
            (slope,) = torch.autograd.grad(_loss(logits, labels, target).sum(), images)
            rows.append(logits.detach())
            blind &= ~slope.flatten(1).any(1)
            if self.method == "mim":
                mean = slope.abs().mean((1, 2, 3), keepdim=True)
                momentum = momentum + slope / mean.clamp_min(torch.finfo(mean.dtype).tiny)
                slope = momentum
            images = ball.step(images.detach(), slope, self.stride)
        images = ball.exact(images)
        return images, torch.stack([*rows, _logits(model, images)]), blind


def check_epsilon(name: str, value: object) -> None:
    """Refuse an epsilon that is not above 0 and at most 1; ``name`` is what the user calls it.

    Examples
    --------
    >>> check_epsilon("limit", 32 / 255)
    """
    if not (_is_real(value) and 0 < value <= 1):
        fix = f"Pass {name}= in pixel units, 8 / 255 for eight grey levels"
        raise ValueError(problem(f"{name} must be above 0 and at most 1", f"got {value!r}", fix))


def succeeded(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Tell where the answers left the labels or, with a target (n,), reached it; (n,) bool.

    Examples
    --------
    >>> succeeded(torch.eye(3), torch.tensor([0, 0, 0]), None)
    tensor([False,  True,  True])
    """
    answers = logits.argmax(1)
    return answers != labels if target is None else answers == target


def signs(images: Tensor, indices: Tensor, size: Tensor, seed: int = 0) -> Tensor:
    """Add random signs of a given size to images: the control of every attack.

    Parameters
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1].
    indices : Tensor
        (n,) each image's number in its set, from which its noise is drawn.
    size : Tensor
        (n,) in pixel units.
    seed : int
        Of the noise.

    Returns
    -------
    Tensor
        (n, C, H, W) in [0, 1], no pixel further than ``size`` from the image.

    Examples
    --------
    >>> noisy = signs(torch.full((1, 1, 1, 4), 0.5), torch.tensor([0]), torch.tensor([0.25]))
    >>> sorted(set(noisy.flatten().tolist()))
    [0.25, 0.75]
    """
    ball = _Cube(images, size)
    drawn = [
        generator.integers(2, size=images.shape[1:]) for generator in _streams(indices, seed, 0)
    ]
    return torch.where(torch.from_numpy(np.stack(drawn)).to(images.device) > 0, ball.high, ball.low)


# --- balls ------------------------------------------------------------------------------------


class _Cube:
    """What is at most epsilon away in every pixel, and in [0, 1]."""

    def __init__(self, images: Tensor, epsilon: Tensor) -> None:
        # Rounded towards the image, so that clamping to these bounds can never leave the ball.
        exact, reach = images.cpu().double(), epsilon.cpu().double().view(-1, 1, 1, 1)
        low, high = (exact - reach).clamp(0, 1), (exact + reach).clamp(0, 1)
        self.epsilon = epsilon.to(images).view(-1, 1, 1, 1)
        self.low, self.high = (_towards(images, bound) for bound in (low, high))

    def start(self, indices: Tensor, seed: int, restart: int) -> Tensor:
        shape = self.low.shape[1:]
        share = np.stack(
            [g.random(shape, np.float32) for g in _streams(indices, seed, 1 + restart)]
        )
        return self.exact(torch.lerp(self.low, self.high, torch.from_numpy(share).to(self.low)))

    def step(self, images: Tensor, slope: Tensor, stride: float) -> Tensor:
        return self.exact(images + stride * self.epsilon * slope.sign())

    def exact(self, images: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(images, self.low), self.high)


class _Sphere:
    """What is at most epsilon away in Euclidean distance, and in [0, 1]."""

    def __init__(self, images: Tensor, epsilon: Tensor) -> None:
        self.images, self.epsilon = images, epsilon.to(images).view(-1, 1, 1, 1)
        self.reach = epsilon.cpu().double().view(-1, 1, 1, 1)

    def start(self, indices: Tensor, seed: int, restart: int) -> Tensor:
        shape = self.images.shape[1:]
        drawn = []
        for generator in _streams(indices, seed, 1 + restart):
            direction = generator.standard_normal(shape, np.float32)
            length = generator.random() ** (1 / direction.size)  # uniform in the ball
            drawn.append(direction * np.float32(length / np.linalg.norm(direction)))
        return self._within(torch.from_numpy(np.stack(drawn)).to(self.images) * self.epsilon)

    def step(self, images: Tensor, slope: Tensor, stride: float) -> Tensor:
        unit = slope / _norm(slope).clamp_min(torch.finfo(slope.dtype).tiny)
        return self._within(images + stride * self.epsilon * unit - self.images)

    def _within(self, change: Tensor) -> Tensor:
        shrink = self.epsilon / torch.maximum(_norm(change), self.epsilon)
        return (self.images + change * shrink).clamp(0, 1)

    def exact(self, images: Tensor) -> Tensor:
        clean = self.images.cpu().double()
        change = images.cpu().double() - clean
        change *= self.reach / torch.maximum(_norm(change), self.reach)
        return _towards(self.images, (clean + change).clamp(0, 1))


_Ball: TypeAlias = _Cube | _Sphere


def _towards(images: Tensor, wanted: Tensor) -> Tensor:
    """Round ``wanted`` (float64, CPU) to the type of ``images``, never away from them."""
    near = images.cpu()
    rounded = wanted.to(near.dtype)
    beyond = (rounded.double() - near.double()).abs() > (wanted - near.double()).abs()
    return torch.where(beyond, torch.nextafter(rounded, near), rounded).to(images.device)


def _streams(indices: Tensor, seed: int, purpose: int) -> list[np.random.Generator]:
    """Make a generator for each image: it depends on nothing but seed, image and purpose."""
    # Philox takes (seed, index) as its key: streams of different images cannot overlap.
    keys = [np.array([seed % 2**64, index], dtype=np.uint64) for index in indices.tolist()]
    start = np.array([0, 0, 0, purpose], dtype=np.uint64)
    return [np.random.Generator(np.random.Philox(key=key, counter=start)) for key in keys]


def _norm(change: Tensor) -> Tensor:
    return torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)


# --- what is climbed --------------------------------------------------------------------------


def _logits(model: Model, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)


def _loss(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    if target is None:
        return cross_entropy(logits, labels, reduction="none")
    return -cross_entropy(logits, target, reduction="none")


def _score(logits: Tensor, labels: Tensor, target: Tensor | None) -> Tensor:
    """Rank results of one image: no loss is better than a success."""
    reached = succeeded(logits, labels, target)
    return _loss(logits, labels, target).masked_fill(reached, torch.inf)


def _deepfool(
    model: Model, images: Tensor, labels: Tensor, target: Tensor | None, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    logits = _logits(model, images)
    rows = logits.repeat(steps + 1, 1, 1)
    if target is None:
        others = logits.scatter(1, labels[:, None], -torch.inf)
        rivals = others.topk(min(CANDIDATES, logits.shape[1] - 1), dim=1).indices
    else:
        rivals = target[:, None]
    found, change = images.clone(), torch.zeros_like(images)
    blind = torch.zeros_like(labels, dtype=torch.bool)
    active = (~succeeded(logits, labels, target)).nonzero()[:, 0]
    for step in range(1, steps + 1):
        if not len(active):
            break
        here = (images[active] + change[active]).clamp(0, 1)
        base = labels if target is None else rows[step - 1].argmax(1)
        move, still = _over_the_nearest(model, here, base[active], rivals[active])
        blind[active] |= still
        change[active] += move
        # The boundary is looked for without the overshoot and left with it: where each step has
        # its own, the last one is so short that rounding takes the answer back.
        found[active] = (images[active] + (1 + OVERSHOOT) * change[active]).clamp(0, 1)
        rows[step:, active] = _logits(model, found[active])
        wanted = None if target is None else target[active]
        active = active[~succeeded(rows[step, active], labels[active], wanted)]
    return found, rows, blind


def _over_the_nearest(
    model: Model, images: Tensor, base: Tensor, rivals: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the shortest step to where, by its gradient, a rival's logit reaches the base's."""
    images = images.detach().requires_grad_()
    logits = model(images)
    gaps = logits.gather(1, base[:, None]) - logits.gather(1, rivals)
    shortest = torch.full_like(gaps[:, 0], torch.inf, requires_grad=False)
    move = torch.zeros_like(images, requires_grad=False)
    for gap in gaps.unbind(1):
        (slope,) = torch.autograd.grad(gap.sum(), images, retain_graph=True)
        norm = _norm(slope)
        distance = gap.detach().abs() / norm.flatten()
        nearer = distance < shortest
        shortest = torch.where(nearer, distance, shortest)
        step = -slope * (gap.detach().view(-1, 1, 1, 1) / norm**2)
        move = torch.where(nearer.view(-1, 1, 1, 1), step, move)
    return move, shortest.isinf()


def _called(
    method: Callable[..., Tensor], model: Model, images: Tensor, labels: Tensor, seed: int
) -> Tensor:
    name = _name(method)
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


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)
