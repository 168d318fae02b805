"""Whom a network is attacked by: the attack, the denoiser in the way, and what is known of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..batching import own_generators, threads
from ..engine import Progress, stream, sweep, ticking
from ..network import Network
from ..result import Record
from ..subject import Subject, check_subject
from ..validation import check_choice, check_index, check_whole, is_whole, problem
from .attacks import Attack, Attacked, Method, check_epsilon, succeeded
from .calls import arguments

if TYPE_CHECKING:
    from pandas import DataFrame

Denoise: TypeAlias = str | Callable[[Tensor], Tensor] | None

THREATS = ("grey", "white")
TOGETHER = 8  # images: more would be up to a fifth quicker, but Cancel comes between batches
MOST_BYTES = 60e6  # of features in a batch: large images go by ones
HALVINGS = 6  # of the logarithm of epsilon
SPAN = 256  # the largest epsilon searched is so many times the smallest


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
        self.name = getattr(denoise, "__name__", type(denoise).__name__)
        if isinstance(denoise, nn.Module):
            denoise = copy.deepcopy(denoise).eval().requires_grad_(False).to(subject.device)
        self.denoise = denoise
        image = subject.images[:1].to(subject.device)
        with own_generators(), torch.inference_mode(False):
            before = torch.get_rng_state()
            with torch.no_grad():
                self._check(image, denoise(image.clone()))
            # Only where needed: putting generators back undoes draws of the user's other threads.
            drawn = not torch.equal(before, torch.get_rng_state())
            self._random = drawn or not isinstance(denoise, nn.Module)
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

    def _run(self, images: Tensor) -> Tensor:
        if self._random:
            with own_generators():
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


class Seen(nn.Module):
    """What an attacker sees: images in pixel units to logits, through a denoiser or not.

    A module, because attacks of other libraries ask for one; it owns no part of the network, so
    that nothing they do to a module can reach it.
    """

    def __init__(self, network: Network, denoiser: Denoiser | None = None) -> None:
        super().__init__()
        self._parts = (network, denoiser)
        # Where such libraries look for the device.
        self.device = nn.Parameter(torch.empty(0, device=network.device), requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Give (n, K) logits of (n, C, H, W) images, in one differentiable pass."""
        network, denoiser = self._parts
        return network.logits(images if denoiser is None else denoiser(images))


@dataclass(frozen=True)
class Adversary:
    """An attack on a Subject's network, with all that decides what it does.

    Parameters
    ----------
    subject : Subject
        Who is attacked.
    attack : Attack
        How.
    denoiser : Denoiser, optional
        What stands before the network.
    threat : str
        ``"grey"``: the attack does not know the denoiser; ``"white"``: it attacks through it.
    threads : int
        On how many threads a pass runs.
    """

    subject: Subject
    attack: Attack
    denoiser: Denoiser | None = None
    threat: str = "grey"
    threads: int = 1

    @property
    def seen(self) -> Seen:
        """What the attack works on."""
        return Seen(self.subject._network, self.denoiser if self.threat == "white" else None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is approximated."""
        denoiser = self.denoiser
        if denoiser is None or self.threat == "grey" or denoiser.differentiable:
            return ()
        return (
            f"the denoiser {denoiser.name} lets no gradient through: the attack takes that of the "
            "identity instead (BPDA)",
        )

    def images(self, positions: Sequence[int]) -> Tensor:
        """Return these images of the subject, on its device."""
        return self.subject.images[list(positions)].to(self.subject.device)

    def labels(self, positions: Sequence[int]) -> Tensor:
        """Return their labels, on its device."""
        return self.subject.labels[list(positions)].to(self.subject.device)

    def indices(self, positions: Sequence[int]) -> Tensor:
        """Return from what the images' random numbers are drawn: a slice draws the same."""
        return self.subject._positions[list(positions)]

    def __call__(self, positions: Sequence[int], epsilon: Tensor | None = None) -> Attacked:
        """Attack these images of the subject."""
        with torch.inference_mode(False):  # what is indexed inside could carry no gradient
            images, labels = self.images(positions), self.labels(positions)
            return self.attack(self.seen, images, labels, self.indices(positions), epsilon)


def adversary(
    subject: Subject,
    *,
    attack: Method,
    epsilon: float,
    steps: int,
    step_size: float | None,
    restarts: int,
    goal: str | int,
    denoiser: Denoise,
    threat: str,
    seed: int,
) -> Adversary:
    """Check the knobs of an attack on a Subject; they are those of `attack`.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; the network blocks gradients that the attack needs.
    """
    check_subject(subject)
    check_choice("threat", threat, THREATS)
    made = Attack(attack, epsilon, steps, step_size, restarts, _goal(subject, goal), seed)
    if isinstance(attack, str) and attack != "none":
        with torch.inference_mode(False), torch.enable_grad():
            subject.predict(subject.images[:1].clone().requires_grad_())  # says what blocks them
    plan = subject._network.plan(tuple(subject.images.shape[1:]))
    return Adversary(subject, made, _denoiser(denoiser, subject), threat, plan.threads)


def _goal(subject: Subject, goal: str | int) -> str | int:
    if goal in ("any", "runner-up"):
        return goal
    count = len(subject.classes)
    if is_whole(goal) and 0 <= int(goal) < count:
        return int(goal)
    if goal in subject.classes:
        return subject.classes.index(str(goal))
    fix = f"Pass goal= as 'any', 'runner-up', one of {', '.join(map(repr, subject.classes))}, "
    fix += f"or an index from 0 to {count - 1}"
    raise ValueError(problem("there is no such goal", f"got {goal!r}", fix))


def _denoiser(given: object, subject: Subject) -> Denoiser | None:
    if given is None:
        return None
    if isinstance(given, str):
        from ..zoo import denoiser

        made = Denoiser(denoiser(given), subject)
        made.name = given
        return made
    if not callable(given):
        fix = "Pass denoiser= as a name, a module, a function of images, or None"
        raise TypeError(problem("that is no denoiser", f"got {type(given).__name__}", fix))
    return Denoiser(given, subject)


# --- which images -----------------------------------------------------------------------------


def choose(
    subject: Subject, images: int | Sequence[int], *, correct_only: bool, goal: str | int, seed: int
) -> np.ndarray:
    """Choose the images to attack.

    Parameters
    ----------
    subject : Subject
        Of whose images.
    images : int or sequence of int
        At most how many, drawn by ``seed``; or which, by their positions.
    correct_only : bool
        Only those that the network classifies correctly.
    goal : str or int
        Images of the class that an attack leads to are left out: they are there already.
    seed : int
        Of the draw.

    Returns
    -------
    numpy.ndarray
        (n,) positions, sorted if drawn.

    Raises
    ------
    ValueError
        None is left.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> choose(rw.demo("resnet20"), [3, 7], correct_only=False, goal="any", seed=0)
    array([3, 7])
    """
    drawn = isinstance(images, int | np.integer)
    if isinstance(images, int | np.integer):
        check_whole("images", images, 1, 10**9, "or a list of positions")
        order, most = np.random.default_rng(seed).permutation(len(subject)), int(images)
    else:
        order, most = check_index(images, len(subject)).numpy(), len(subject)
    if isinstance(goal, int):
        order = order[subject.labels.numpy()[order] != goal]
        if not len(order):
            seen = f"all of them are of the class {subject.classes[goal]}"
            raise ValueError(
                problem("no image is left to attack", seen, "Choose another goal= or other images=")
            )
    if not correct_only:
        chosen = order[:most]
    else:
        chosen = order[:0]
        for start in range(0, len(order), most):  # no more passes than needed
            some = order[start : start + most]
            answers = subject.predict(subject.images[some]).argmax(1).cpu().numpy()
            chosen = np.append(chosen, some[answers == subject.labels.numpy()[some]])[:most]
            if len(chosen) == most:
                break
        if not len(chosen):
            raise ValueError(
                problem(
                    "no image is left to attack",
                    f"all {len(order):,} are misclassified before any attack",
                    "Pass correct_only=False, or other images=",
                )
            )
    return np.sort(chosen) if drawn else chosen


def spans(subject: Subject, positions: np.ndarray) -> list[tuple[int, ...]]:
    """Cut positions into batches, the work items.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> spans(rw.demo("resnet20"), np.arange(10))
    [(0, 1, 2, 3, 4, 5, 6, 7), (8, 9)]
    """
    if subject.device.type == "cpu":
        # Not by the clock: another batch may round otherwise, and results are to be repeatable.
        needed = sum(subject._network.trace(subject.images[:1]).values())
        batch = max(1, min(TOGETHER, int(MOST_BYTES / max(1, needed))))
    else:
        batch = subject.report().batch
    cuts = range(0, len(positions), batch)
    return [tuple(positions[cut : cut + batch].tolist()) for cut in cuts]


# --- for users --------------------------------------------------------------------------------


def attack(
    subject: Subject,
    *,
    attack: Method = "bim",
    epsilon: float = 8 / 255,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    goal: str | int = "any",
    denoiser: Denoise = None,
    threat: str = "grey",
    seed: int = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Subject:
    """Attack all images of a Subject: the result is one more Subject, for every other analysis.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked; ``subject[:100]`` attacks a hundred.
    attack : str or callable
        ``"fgsm"``, ``"bim"``, ``"mim"``, ``"pgd"``, ``"pgd-l2"``, ``"deepfool"``, ``"none"``, or a
        function ``(model, images, labels) -> images``.
    epsilon : float
        Radius of the ball in pixel units, above 0 and at most 1: the most that a pixel may change,
        for ``"pgd-l2"`` the L2 norm of the whole change. ``"deepfool"`` has no ball.
    steps : int
        How many, for DeepFool the most; ``"fgsm"`` always has one.
    step_size : float, optional
        In pixel units; by default ``1.25 epsilon / steps``, for PGD ``2.5 epsilon / steps``.
    restarts : int
        How many random starts PGD makes; the first success or the highest loss is kept.
    goal : str or int
        ``"any"`` wrong class, ``"runner-up"`` (second in the answer to the clean image), or a
        class by its name or number.
    denoiser : str, callable or None
        What stands before the network: a name of `reliab_widgets.zoo.denoisers`, a module or a
        function of images. The images given back have passed through it.
    threat : str
        ``"grey"``: the attack does not know the denoiser; ``"white"``: it attacks through it.
    seed : int
        Of random starts.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Subject
        With the same network, labels and validation images, which are not attacked.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> attacked = rw.attack(rw.demo("resnet20")[:8], attack="fgsm")
    >>> attacked.name
    'resnet20, fgsm 8/255'
    """
    knobs: dict[str, Any] = {
        "attack": attack,
        "epsilon": epsilon,
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "goal": goal,
        "denoiser": denoiser,
        "threat": threat,
        "seed": seed,
    }
    opponent = adversary(subject, **knobs)
    items = spans(subject, np.arange(len(subject)))
    parts = sweep(_attacked, opponent, items, executor=executor, progress=progress)  # type: ignore[arg-type]
    name = f"{subject.name}, {opponent.attack.name}"
    if opponent.attack.norm:
        name += f" {epsilon * 255:.3g}/255"
    if opponent.denoiser is not None:
        name += f", {opponent.denoiser.name}"
    code = f"rw.attack({', '.join([subject.code, *arguments(knobs)])})"
    made = subject.with_images(np.concatenate(parts), name=name, code=code)
    if subject.validation is not None:
        made = made.with_validation(subject.validation, code=code)
    return made


def _attacked(opponent: Adversary, positions: tuple[int, ...]) -> np.ndarray:
    with threads(opponent.threads):
        images = opponent(positions).images
        if opponent.denoiser is not None:
            with torch.no_grad():
                images = opponent.denoiser(images)
    return images.cpu().numpy()


@dataclass(frozen=True, eq=False, repr=False)
class SmallestEpsilon(Record):
    """For each image the smallest epsilon at which an attack was seen to succeed.

    Parameters
    ----------
    subject, attack : str
        Their names.
    index, truth : numpy.ndarray
        (n,) positions in the subject, and labels.
    epsilon : numpy.ndarray
        (n,) in pixel units; 0 where the answer was wrong (or the goal reached) without any attack,
        infinite where the attack failed at ``limit``.
    limit : float
        The largest epsilon tried.
    resolution : float
        By which factor an epsilon may be too large. None below ``limit / 256`` was tried.
    """

    subject: str
    attack: str
    index: np.ndarray
    truth: np.ndarray
    epsilon: np.ndarray
    limit: float
    resolution: float

    @property
    def median(self) -> float:
        """Median over the images, infinite where more than half of them withstand."""
        return float(np.median(self.epsilon))

    def to_frame(self) -> DataFrame:
        """Return one row for each image: image, truth, epsilon."""
        from pandas import DataFrame

        return DataFrame({"image": self.index, "truth": self.truth, "epsilon": self.epsilon})

    def __str__(self) -> str:
        n, found = len(self.epsilon), self.epsilon[(self.epsilon > 0) & np.isfinite(self.epsilon)]
        wrong, never = int((self.epsilon == 0).sum()), int(np.isinf(self.epsilon).sum())
        middle = (
            f"{self.median * 255:.1f}/255"
            if np.isfinite(self.median)
            else f"above {self.limit * 255:.3g}/255"
        )
        span = (
            f"; found from {found.min() * 255:.1f} to {found.max() * 255:.1f}" if len(found) else ""
        )
        return (
            f"{self.subject}: the median of the smallest epsilon of {self.attack} is {middle} "
            f"(n = {n:,}{span}; {wrong:,} need none, {never:,} withstand "
            f"{self.limit * 255:.3g}/255; up to {self.resolution - 1:.0%} too large)."
        )

    def __repr__(self) -> str:
        return str(self)


def smallest_epsilon(
    subject: Subject,
    *,
    attack: str = "bim",
    limit: float = 32 / 255,
    steps: int = 10,
    restarts: int = 1,
    goal: str | int = "any",
    denoiser: Denoise = None,
    threat: str = "grey",
    images: int | Sequence[int] = 64,
    correct_only: bool = False,
    seed: int = 0,
    executor: Any = None,
    progress: Progress = None,
) -> SmallestEpsilon:
    """Search for each image the smallest epsilon at which an attack succeeds, by bisection.

    Parameters
    ----------
    subject : Subject
        Whose images.
    attack : str
        One that has a ball: ``"fgsm"``, ``"bim"``, ``"mim"``, ``"pgd"`` or ``"pgd-l2"``.
    limit : float
        The largest epsilon tried. Six halvings between it and ``limit / 256``, on a logarithmic
        scale, find each image's epsilon to 9 %: no image is attacked more than seven times.
    steps, restarts, goal, denoiser, threat, seed
        As for `attack`. An attack succeeds if the network, behind the denoiser if there is one,
        gives another answer than the label or reaches the goal.
    images : int or sequence of int
        At most how many, drawn by ``seed``; or which, by their positions.
    correct_only : bool
        Only those that the network classifies correctly without any attack.
    executor, progress : optional
        Where to run and whom to tell; progress counts attacked images.

    Returns
    -------
    SmallestEpsilon

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have.

    Notes
    -----
    Bisection takes for granted that whoever succeeds at one epsilon succeeds at all larger ones,
    which is mostly but not always so (FGSM overshoots). What is reported was seen to succeed.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = rw.smallest_epsilon(rw.demo("resnet20"), images=[0], attack="fgsm")
    >>> len(found.epsilon), round(found.resolution, 2)
    (1, 1.09)
    """
    check_epsilon("limit", limit)
    opponent = adversary(
        subject,
        attack=attack,
        epsilon=limit,
        steps=steps,
        step_size=None,
        restarts=restarts,
        goal=goal,
        denoiser=denoiser,
        threat=threat,
        seed=seed,
    )
    if not opponent.attack.norm:
        fix = "Pass attack= as 'fgsm', 'bim', 'mim', 'pgd' or 'pgd-l2'"
        raise ValueError(problem("there is no epsilon to search", f"got {attack!r}", fix))
    goal = opponent.attack.goal
    index = choose(subject, images, correct_only=correct_only, goal=goal, seed=seed)
    low, high = np.full(len(index), limit / SPAN), np.full(len(index), np.inf)
    rounds = 1 + HALVINGS
    with ticking(progress) as tick:
        for turn in range(rounds):
            before = turn * len(index)
            tick(before, rounds * len(index))
            middle = np.sqrt(low * high) if turn else np.full(len(index), float(limit))
            places = np.flatnonzero(np.isfinite(high) & (high > 0)) if turn else np.arange(len(low))
            cuts = [list(span) for span in spans(subject, places)]
            items = [(tuple(index[cut].tolist()), middle[cut]) for cut in cuts]
            with closing(stream(_tried, opponent, items, executor=executor)) as tried:  # type: ignore[type-var, arg-type]
                for cut, (needless, success) in zip(cuts, tried, strict=True):
                    high[cut] = np.where(needless, 0, np.where(success, middle[cut], high[cut]))
                    low[cut] = np.where(success, low[cut], middle[cut])
                    before += len(cut)
                    tick(before, rounds * len(index))
        tick(rounds * len(index), rounds * len(index))
    return SmallestEpsilon(
        subject=subject.name,
        attack=opponent.attack.name,
        index=index,
        truth=subject.labels.numpy()[index],
        epsilon=high,
        limit=float(limit),
        resolution=SPAN ** (1 / 2**HALVINGS),
    )


def _tried(
    opponent: Adversary, item: tuple[tuple[int, ...], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which images needed no attack, and which attacks of these sizes succeeded."""
    positions, epsilon = item
    images, labels = opponent.images(positions), opponent.labels(positions)
    network = Seen(opponent.subject._network, opponent.denoiser)
    with threads(opponent.threads):
        target = opponent.attack.target(opponent.seen, images)
        attacked = opponent(positions, torch.from_numpy(epsilon)).images
        with torch.no_grad():
            logits = network(images), network(attacked)
    needless, success = (succeeded(it, labels, target).cpu().numpy() for it in logits)
    return needless, success
