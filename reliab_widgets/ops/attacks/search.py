"""The smallest epsilon at which an attack succeeds, searched for each image."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch

from ...core.analysis import checked
from ...core.batching import threads
from ...core.engine import Progress, stream, ticking
from ...core.fields import Array
from ...core.knobs import Choice, Seed
from ...core.randomness import drawing
from ...core.result import Record
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.wording import grey_levels, problem
from .adversary import Adversary, Seen, adversary
from .attack import Attack
from .catalogue import METHODS, those
from .doubts import ANOTHER, doubt, glimpse
from .knobs import (
    AttackMethod,
    CorrectOnly,
    DenoiserKnob,
    Epsilon,
    ImagesKnob,
    Knowledge,
    Loss,
    Restarts,
    Steps,
    Target,
)
from .objective import succeeded

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 64  # images, where nobody says how many
HALVINGS = 6  # of the logarithm of epsilon
SPAN = 256  # the largest epsilon searched is so many times the smallest


@dataclass(frozen=True, eq=False, repr=False)
class SmallestEpsilon(Record):
    """For each image the smallest epsilon at which an attack was seen to succeed.

    Parameters
    ----------
    subject, attack : str
        Their names.
    norm : str
        What epsilon bounds: ``"Linf"`` or ``"L2"``.
    index, truth : numpy.ndarray
        (n,) positions in the subject, and labels.
    epsilon : numpy.ndarray
        (n,) in pixel units; 0 where the answer was wrong (or the target reached) without any
        attack, infinite where the attack failed at ``limit``.
    limit : float
        The largest epsilon tried.
    resolution : float
        By which factor an epsilon may be too large. None below ``limit / 256`` was tried.
    doubt : str
        What speaks for a network that hides from the attack, by the run at ``limit``, in a
        sentence; or nothing.
    """

    version: ClassVar[int] = 3

    subject: str
    attack: str
    facts: ClassVar[tuple[str, ...]] = (
        "np.all(np.isinf(epsilon) | (epsilon <= limit * (1 + 1e-6)))",
    )

    norm: Annotated[str, Choice(("Linf", "L2"))]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0)]
    epsilon: Annotated[np.ndarray, Array("n", least=0, inf=True)]
    limit: Annotated[float, Array("", least=0)]
    resolution: Annotated[float, Array("", least=1)]
    doubt: str

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
        limit, pixels = grey_levels(self.limit, self.norm), self.norm == "Linf"
        low, high, middle = (
            f"{size * 255:.1f}" if pixels else f"{size:.3g}"
            for size in (found.min(initial=np.inf), found.max(initial=0), self.median)
        )
        middle += "/255" if pixels else f" ({self.norm})"
        middle = middle if np.isfinite(self.median) else f"above {limit}"
        span = f"; found from {low} to {high}" if len(found) else ""
        return (
            f"{self.subject}: the median of the smallest epsilon of {self.attack} is {middle} "
            f"(n = {n:,}{span}; {wrong:,} need none, {never:,} withstand {limit}; "
            f"up to {self.resolution - 1:.0%} too large)."
            + f" Verdict: {self.doubt}."
            * bool(self.doubt)
        )

    def __repr__(self) -> str:
        return str(self)


@checked
def smallest_epsilon(
    subject: Subject,
    *,
    attack: AttackMethod = "bim",
    limit: Epsilon = 32 / 255,
    steps: Steps = 10,
    restarts: Restarts = 1,
    target: Target = "any",
    loss: Loss = "auto",
    denoiser: DenoiserKnob = "none",
    knowledge: Knowledge = "grey-box",
    images: ImagesKnob = None,
    correct_only: CorrectOnly = False,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> SmallestEpsilon:
    """Search for each image the smallest epsilon at which an attack succeeds, by bisection.

    Parameters
    ----------
    subject : Subject
        Whose images.
    attack : str
        One of `attack` that has a ball, or an attack of foolbox that takes an epsilon.
    limit : float
        The largest epsilon tried. Six halvings between it and ``limit / 256``, on a logarithmic
        scale, find each image's epsilon to 9 %: no image is attacked more than seven times.
    steps, restarts, target, loss, denoiser, knowledge, seed
        As for `attack`. An attack succeeds if the network, behind the denoiser if there is one,
        gives another class than the label or reaches the target.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 64, or all there are.
        It may be fewer, where ``target`` or ``correct_only`` leaves no more.
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
    which is mostly but not always so (FGSM overshoots). What is reported was seen to succeed, of a
    network that draws in a draw that no attack has made.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = rw.smallest_epsilon(rw.demo("resnet20"), images=[0], attack="fgsm")
    >>> len(found.epsilon), round(found.resolution, 2)
    (1, 1.09)
    """
    if isinstance(attack, str) and METHODS[attack].norm == "Linf" and limit > 1:
        seen, fix = f"got {limit:g}", 'Pass limit= in pixel units, at most 1, or attack="pgd-l2"'
        raise ValueError(problem("limit is more than the range of a pixel", seen, fix))
    how = Attack(attack, limit, steps, None, restarts, target, seed, loss)
    opponent = adversary(subject, how, denoiser, knowledge)
    if not how.norm:
        balls = those(lambda it: it.norm)[:10]
        fix = f"Pass attack= as one that has a ball, such as {', '.join(map(repr, balls))}"
        raise ValueError(problem("there is no epsilon to search", f"got {attack!r}", fix))
    wanted = MANY if images is None else images
    index = choose(subject, wanted, correct_only=correct_only, target=target, seed=seed)
    low, high = np.full(len(index), limit / SPAN), np.full(len(index), np.inf)
    first: list[np.ndarray] = []
    rounds = 1 + HALVINGS
    with ticking(progress) as tick, naming(image=(subject[index], index)):
        for turn in range(rounds):
            before = turn * len(index)
            tick(before, rounds * len(index))
            middle = np.sqrt(low * high) if turn else np.full(len(index), limit)
            places = np.flatnonzero(np.isfinite(high) & (high > 0)) if turn else np.arange(len(low))
            cuts = [list(span) for span in spans(subject, places)]
            items = [(tuple(index[cut].tolist()), middle[cut]) for cut in cuts]
            with closing(stream(_tried, opponent, items, executor=executor)) as tried:  # type: ignore[type-var]
                for cut, (needless, success, glimpsed) in zip(cuts, tried, strict=True):
                    first += [glimpsed] * (not turn)
                    high[cut] = np.where(needless, 0, np.where(success, middle[cut], high[cut]))
                    low[cut] = np.where(success, low[cut], middle[cut])
                    before += len(cut)
                    tick(before, rounds * len(index))
        tick(rounds * len(index), rounds * len(index))
    free = how.norm == "Linf" and limit == 1 and target == "any"
    known = {"epsilon 1": np.isfinite(high)} if free else {}
    return SmallestEpsilon(
        subject=subject.name,
        attack=how.name,
        norm=how.norm,
        index=index,
        truth=subject.labels.numpy()[index],
        epsilon=high,
        limit=limit,
        resolution=SPAN ** (1 / 2**HALVINGS),
        doubt=doubt(how, np.concatenate(first, axis=1), known),
    )


def _tried(
    opponent: Adversary, item: tuple[tuple[int, ...], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tell which images needed no attack, which attacks of these sizes succeeded, what they saw."""
    positions, epsilon = item
    images, labels = opponent.images(positions), opponent.labels(positions)
    network = Seen(opponent.subject.network, opponent.denoiser)
    with threads(opponent.threads):
        target = opponent.attack.targets(opponent.seen, images)
        found = opponent(positions, torch.from_numpy(epsilon))
        with torch.no_grad(), drawing(ANOTHER):
            logits = network(images), network(found.images)
        glimpsed = glimpse(opponent, positions, found)
    needless, success = (succeeded(it, labels, target).cpu().numpy() for it in logits)
    return needless, success, glimpsed
