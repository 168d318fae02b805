"""Defences beside each other: what is left of them when the attacker knows them.

Athalye et al. 2018, arXiv 1802.00420; Tramèr et al. 2020, "On adaptive attacks to adversarial
example defenses", arXiv 2002.08347.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.analysis import checked
from ...core.batching import threads
from ...core.engine import Progress, stream
from ...core.fields import Array
from ...core.knobs import AnotherSubject, Auto, Real, Seed, Several, Whole
from ...core.network import Network
from ...core.randomness import draw, drawing
from ...core.result import Record
from ...core.selection import choose, halves, naming, spans
from ...core.subject import Subject
from ...core.wording import counted, grey_levels, percent, problem
from ..attacks.adversary import Seen
from ..attacks.attack import Attack
from ..attacks.doubts import ANOTHER
from ..attacks.knobs import MOST_STEPS, ImagesKnob
from ..attacks.noise import signs
from .catalogue import TRAINED, denoisers
from .denoiser import DenoiserName, safe

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 64
"""Images, where nobody says how many."""
RIGHT, WRONG, REFUSED = 0, 1, 2
"""What becomes of an image."""
ATTACKERS = ("nobody", "noise", "grey-box", "adaptive")
"""Who changes the images: random signs; an attack on the network alone; the strongest of that one
and of attacks through the defence."""
SMOOTHING, REFUSAL = "smoothing", "refusal"
VOTES, SIGMA = 16, 0.05
"""How many noisy copies of an image vote, and the standard deviation of their noise."""
SQUEEZERS = ("bits", "median")
"""What a detector compares the image with: Xu et al. 2018, arXiv 1704.01155."""
ALARMS = 0.05
"""Share of clean images that a detector may refuse."""
FITTED = 200
"""On at most so many other images its threshold is chosen."""


def _offered(about: Any) -> tuple[str, ...]:
    return ("none", *denoisers(), SMOOTHING, REFUSAL)


def _fitting(subject: Subject) -> tuple[str, ...]:
    """Return those that take such images."""
    channels, *sides = subject.images.shape[1:]
    fit = channels == 3 and not any(side % 4 for side in sides)
    return tuple(it for it in _offered(subject) if fit or it not in TRAINED)


_DEFENCE = DenoiserName(_offered, what="defence")
_BALL = Real(above=0, most=1, why="in pixel units, 4 / 255 for four grey levels")
Tried = Annotated[Sequence[Any] | None, Auto(Several(_DEFENCE, least=1, alone=True))]


@dataclass(frozen=True, eq=False, repr=False)
class Defences(Record):
    """What becomes of the same images behind several defences, under attackers who know more.

    Parameters
    ----------
    subject : str
        Its name.
    epsilon : float
        The most that a pixel may change.
    index, truth : numpy.ndarray
        (n,) positions in the subject, and labels.
    defences : tuple of str
        (D,) names; a twin's is that of its Subject.
    outcome : numpy.ndarray
        (D, 4, n): for each of ``ATTACKERS`` 0 where the answer is right, 1 where it is wrong, and 2
        where none is given.
    """

    facts: ClassVar[tuple[str, ...]] = ("n > 0 and D > 0 and len(set(defences)) == D",)

    subject: str
    epsilon: Annotated[float, Array("", least=0, most=1)]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0)]
    defences: Annotated[tuple[str, ...], Array("D")]
    outcome: Annotated[np.ndarray, Array("D 4 n", int, least=0, most=2)]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.index)

    def share(self, defence: str, attacker: str, what: int = RIGHT) -> float:
        """Return the share of images of which something became."""
        row = self.outcome[self.defences.index(defence), ATTACKERS.index(attacker)]
        return float((row == what).mean())

    def to_frame(self) -> DataFrame:
        """Return a row for each defence and attacker: shares, and the 95 % interval of right."""
        from pandas import DataFrame

        from ..calibration.bins import wilson

        rows = []
        for name, outcomes in zip(self.defences, self.outcome, strict=True):
            for attacker, outcome in zip(ATTACKERS, outcomes, strict=True):
                shares = [(outcome == what).mean() for what in (RIGHT, WRONG, REFUSED)]
                rows.append((name, attacker, self.n, *shares, *wilson(outcome == RIGHT)))
        columns = ["defence", "attacker", "n", "right", "wrong", "refused", "low", "high"]
        return DataFrame(rows, columns=columns)

    def summary(self) -> DataFrame:
        """Return the share of right answers, a row for each defence and a column an attacker."""
        from pandas import DataFrame, Index

        index = Index(self.defences, name="defence")
        return DataFrame((self.outcome == RIGHT).mean(2), index, list(ATTACKERS))

    def __str__(self) -> str:
        told = []
        for name in self.defences:
            grey, known, refused = (
                percent(self.share(name, *what), 0)
                for what in (("grey-box",), ("adaptive",), ("adaptive", REFUSED))
            )
            told.append(f"{name} {grey} → {known}" + f" ({refused} refused)" * (name == REFUSAL))
        best = max(self.defences, key=lambda name: self.share(name, "adaptive"))
        return (
            f"{self.subject} under changes of {grey_levels(self.epsilon)}, right with an attacker "
            f"who does not know the defence → who does: {'; '.join(told)}. Most is left of {best}. "
            f"Control: noise of that size leaves {percent(self.share(best, 'noise'), 0)} of it, no "
            f"change {percent(self.share(best, 'nobody'), 0)} ({counted(self.n)}; what is left "
            "may yet fall to a better attack)."
        )

    def __repr__(self) -> str:
        return str(self)


@checked
def defences(
    subject: Subject,
    *,
    tried: Tried = None,
    twin: Annotated[Subject | None, Auto(AnotherSubject())] = None,
    epsilon: Annotated[float, _BALL] = 4 / 255,
    steps: Annotated[int, Whole(1, MOST_STEPS)] = 10,
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Defences:
    """Lay defences of a network beside each other, each under an attacker who knows it.

    Parameters
    ----------
    subject : Subject
        Whose network is defended, on whose images.
    tried : sequence of str or callable, optional
        Names of `reliab_widgets.zoo.denoisers` (``"resize"`` draws size and place of the image
        anew for every answer), modules or functions of images; ``"smoothing"``, a vote over 16
        noisy copies; ``"refusal"``, no answer where filters change it much; ``"none"``. By default
        all that take such images.
    twin : Subject, optional
        Whose network was trained to withstand attacks: one row more.
    epsilon : float
        The most that a pixel may change.
    steps : int
        Steps of PGD.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 64, or all there are.
    seed : int
        Of the draw of images, of random starts and of the noise.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Defences
        What becomes of each image.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have, or the network blocks gradients.

    Notes
    -----
    Grey-box is PGD on the network alone; for the twin, its images come from the other network.
    Adaptive is for each image the strongest of that and of attacks through the defence: PGD, with
    the gradient of the identity where the defence has none (BPDA); where it draws, EOT-PGD, which
    averages over draws, and the answer that counts is that of a draw which no attack has made;
    against refusal, PGD on the mean logits of the image and of all that it is compared with, so
    that they are wrong alike. Smoothing adds noise of 0.05 here and proves nothing: what it proves
    says `reliab_widgets.certify`. The threshold of refusal lets 95 % of clean images pass, chosen
    on ``subject.validation``, or on half of the images.

    Left out is distillation (Papernot et al. 2016, arXiv 1511.04508): it makes logits so large that
    the cross-entropy drowns in rounding, and withstands nothing else (Carlini and Wagner 2017,
    arXiv 1608.04644). A copy with its logits times a number shows the same without training.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = rw.defences(rw.demo("resnet20"), tried=("none", "bits"), images=4, steps=2)
    >>> found.outcome.shape
    (2, 4, 4)
    """
    subject.network.check_gradients()
    chosen = _fitting(subject) if tried is None else tuple(dict.fromkeys(tried))
    index = choose(subject, MANY if images is None else images, seed=seed)
    sides = tuple(_side(subject, it, seed) for it in chosen)
    if twin is not None:
        twin.network.check_gradients()
        sides += (Side(twin.name, twin.network),)
    names = tuple(side.name for side in sides)
    if twice := [it for it in names if names.count(it) > 1]:
        fix = "Give functions, modules and Subjects a .name of their own"
        raise ValueError(problem("two defences are called alike", f"got {twice[0]!r}", fix))
    case = Case(subject, sides, epsilon, steps, seed, subject.plan.threads)
    cuts = [list(span) for span in spans(subject, np.arange(len(index)))]
    items = [(side, tuple(index[cut].tolist()), cut) for side in range(len(sides)) for cut in cuts]
    outcome = np.zeros((len(sides), len(ATTACKERS), len(index)), int)
    with (
        naming(image=(subject[index], index)),
        closing(stream(examine, case, items, executor=executor, progress=progress)) as found,  # type: ignore[type-var]
    ):
        for (side, _, cut), part in zip(items, found, strict=True):
            outcome[side][:, cut] = part
    return Defences(
        subject=subject.name,
        epsilon=epsilon,
        index=index,
        truth=subject.labels.numpy()[index],
        defences=names,
        outcome=outcome,
    )


# --- a defence --------------------------------------------------------------------------------


class Side(NamedTuple):
    """A defended network.

    Parameters
    ----------
    name : str
        Of the defence.
    network : Network
        With nothing before it.
    front : torch.nn.Module, optional
        What stands before it.
    squeezers : tuple of torch.nn.Module
        What the answer is compared with.
    threshold : float
        From which difference of probabilities (L1) on no answer is given.
    votes : int
        How many draws answer.
    """

    name: str
    network: Network
    front: Any = None
    squeezers: tuple[Any, ...] = ()
    threshold: float = np.inf
    votes: int = 1

    @property
    def draws(self) -> bool:
        """Whether its answers differ from draw to draw."""
        return bool(getattr(self.front, "draws", False)) or self.network.draws

    def outcome(self, images: Tensor, labels: Tensor) -> np.ndarray:
        """Return what becomes of images, (n,), in draws that no attack has made."""
        seen, answers = Seen(self.network, self.front), []
        with torch.no_grad():
            for vote in range(self.votes):
                with drawing(ANOTHER + vote):
                    answers.append(seen(images).argmax(1))
            wrong = torch.stack(answers).mode(0).values != labels
            refused = torch.zeros_like(wrong)
            if self.squeezers:
                refused = apart(self, images) > self.threshold
        found = torch.where(refused, REFUSED, torch.where(wrong, WRONG, RIGHT))
        return found.cpu().numpy()


class Noise(nn.Module):
    """Adds Gaussian noise that differs from draw to draw."""

    draws = True

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:
        """Change images ``(N, C, H, W)``."""
        generator = torch.Generator().manual_seed(self.seed + draw())
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float32)
        return x + SIGMA * drawn.to(x)


class Mean(nn.Module):
    """The mean logits of an image and of all that it is compared with."""

    def __init__(self, side: Side) -> None:
        super().__init__()
        self._side = side

    def forward(self, images: Tensor) -> Tensor:
        """Give (n, K) logits."""
        network = self._side.network
        each = [Seen(network, it)(images) for it in (None, *self._side.squeezers)]
        return torch.stack(each).mean(0)


def apart(side: Side, images: Tensor) -> Tensor:
    """Return how far squeezing moves the probabilities of images, (n,), at most 2."""
    plain = Seen(side.network)(images).softmax(1)
    far = torch.zeros_like(plain[:, 0])
    for squeeze in side.squeezers:
        moved = (Seen(side.network, squeeze)(images).softmax(1) - plain).abs().sum(1)
        far = torch.maximum(far, moved)
    return far


def _side(subject: Subject, defence: Any, seed: int) -> Side:
    network = subject.network
    if isinstance(defence, str) and defence == SMOOTHING:
        return Side(SMOOTHING, network, safe(Noise(seed), subject), votes=VOTES)
    if isinstance(defence, str) and defence == REFUSAL:
        side = Side(REFUSAL, network, squeezers=tuple(safe(it, subject) for it in SQUEEZERS))
        clean = subject.validation
        if clean is None:
            clean = subject[np.sort(halves(subject, seed)[0])]
        with torch.no_grad():
            parts = clean.images[:FITTED].to(subject.device).split(subject.plan.batch)
            far = torch.cat([apart(side, it) for it in parts]).double()
        return side._replace(threshold=float(far.quantile(1 - ALARMS)))
    front = safe(defence, subject)
    return Side("none" if front is None else front.name, network, front)


# --- one work item ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What all work items share."""

    subject: Subject
    sides: tuple[Side, ...]
    epsilon: float
    steps: int
    seed: int
    threads: int


def examine(case: Case, item: tuple[int, tuple[int, ...], Any]) -> np.ndarray:
    """Return what becomes of a batch behind one defence, (4, n)."""
    side, positions, subject = case.sides[item[0]], list(item[1]), case.subject
    labels, numbers = subject.labels[positions].to(subject.device), subject.positions[positions]
    clean = subject.images[positions].to(subject.device)
    size = torch.full((len(clean),), case.epsilon, dtype=torch.float64)

    def attacked(model: Any, method: str = "pgd") -> Tensor:
        attack = Attack(method, case.epsilon, case.steps, seed=case.seed)
        return attack(model, clean, labels, numbers).images

    with threads(case.threads), torch.inference_mode(False):
        grey = attacked(Seen(subject.network))
        changed = [clean, signs(clean, numbers, size, case.seed), grey]
        through: Any = Mean(side) if side.squeezers else Seen(side.network, side.front)
        if side.squeezers or side.front is not None or side.network is not subject.network:
            changed.append(attacked(through))
        if side.draws:
            changed.append(attacked(through, "eot-pgd"))
        found = np.stack([side.outcome(images, labels) for images in changed])
    known = found[2:]  # who knows the defence may also do what the others do
    worst = np.where((known == WRONG).any(0), WRONG, known.max(0))
    return np.concatenate([found[:3], worst[None]])
