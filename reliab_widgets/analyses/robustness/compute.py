"""How robustness is measured: several attacks, several sizes, the same images, and a control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import analysis
from ...core.batching import threads
from ...core.capabilities import Allowed
from ...core.engine import Progress, Tick, stream, ticking
from ...core.knobs import Auto, Choice, Flag, Seed, Whole
from ...core.randomness import drawing
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.wording import problem
from ...ops.attacks import rows as r
from ...ops.attacks.adversary import Adversary, Seen, adversary
from ...ops.attacks.attack import Attack
from ...ops.attacks.balls import norm as length
from ...ops.attacks.doubts import ANOTHER, glimpse
from ...ops.attacks.knobs import MOST_STEPS, DenoiserKnob, ImagesKnob, Knowledge, Restarts, Steps
from ...ops.attacks.noise import directions, signs
from ...ops.attacks.verdict import Verdict, verdict
from ...ops.certificates.certificate import Certificate
from ...ops.certificates.smoothing import SIGMA, Draws, certify, check_draws
from ...ops.defences.denoised import denoised
from .result import BROKEN, RIGHT, UNTRIED, Robustness

MANY = 64
"""Images, where nobody says how many."""
NOTHING = (False, False, False, False)
"""Of an image that is not attacked: neither broken nor misleading, see `attacked`."""
QUERIES = Whole(1, MOST_STEPS, "each is a pass of the network", stops=(100, 300, 1000, 5000))


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: without gradients, black boxes only.

    Raises
    ------
    ValueError
        There is no network.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> allowed(rw.demo("resnet20")).refused
    {}
    """
    network = subject.network
    if network.recorded:
        network.check_gradients("reliability needs none")
    words = f"gradients are blocked: {network.blocked}"
    return Allowed(refused=dict.fromkeys(r.NEEDING, words) if network.blocked else {})


@analysis
def robustness(
    subject: Subject,
    *,
    attacks: Annotated[Sequence[Any] | None, Auto(r.Attacks())] = None,
    norm: Annotated[str, Choice(("Linf", "L2"))] = "Linf",
    epsilons: Annotated[Sequence[float] | None, Auto(r.Sizes())] = None,
    steps: Steps = 20,
    restarts: Restarts = 1,
    queries: Annotated[int, QUERIES] = 300,
    thorough: Annotated[bool, Flag()] = True,
    sigma: Annotated[float | None, Auto(SIGMA)] = None,
    draws: Draws = 1000,
    denoiser: DenoiserKnob = "none",
    knowledge: Knowledge = "grey-box",
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
    partial: Callable[[Robustness], object] | None = None,
) -> Robustness:
    """Attack the same images in several ways and sizes: what stays right, beside random noise.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked.
    attacks : sequence of str or callable, optional
        Names of attacks as `rw.attack` has them, without the norm: ``"pgd"``; with a loss after a
        colon: ``"pgd:margin"``. Or functions ``(model, images, labels) -> images``, and attacks of
        foolbox. By default FGSM, BIM, PGD, APGD on the margin, and a black box; the last alone
        where the network blocks gradients.
    norm : str
        What the sizes bound: ``"Linf"``, each pixel, or ``"L2"``, the whole change.
    epsilons : sequence of float, optional
        Sizes in pixel units, rising; by default six, up to 16/255 or an L2 norm of 1.6, or beside a
        proof of six times ``sigma``.
    steps : int
        Steps of those attacks that make several.
    restarts : int
        Random starts of those that have one.
    queries : int
        Passes for each image that a black box may ask for.
    thorough : bool
        Whether what withstands PGD on the cross-entropy, if that is among the attacks, is attacked
        once more with four times the steps, and once with pixels free to take any value: two tests
        of the verdict.
    sigma : float, optional
        With it, what can be proved is drawn beside what was tried, in L2 only: how far each image
        may be moved before the network, smoothed by noise of that standard deviation, may answer
        otherwise; see `rw.certify`. That is another network than the one attacked.
    draws : int
        How many noisy copies of each image such a proof counts.
    denoiser : str or callable
        What stands before the network, see `rw.attack`.
    knowledge : str
        ``"grey-box"``: the attacks do not know the denoiser; ``"white-box"``: they attack through
        it.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 64, or all there are.
    seed : int
        Of the draw of images, of random starts and of the noise.
    executor, progress, partial : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts attacked images.
        ``partial`` is called with results in which not everything is tried.

    Returns
    -------
    Robustness
        Which image broke under which attack at which size, a verdict, and what was proved.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; an attack does not bound that norm, or needs gradients
        that the network blocks; a proof is asked for in another norm than L2.

    Notes
    -----
    An attack goes on only with those images that it has not broken with a smaller change. Carlini
    et al. 2019, arXiv 1902.06705. A network that draws is asked in a draw that no attack has made.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> result = rw.robustness(rw.demo("resnet20"), attacks="fgsm", images=8, thorough=False)
    >>> result.outcome.shape, result.accuracy("fgsm").shape
    ((1, 7, 8), (7,))
    """
    if sigma is not None:
        _check_proof(sigma, draws, norm)
    sizes = r.sizes(epsilons, norm, sigma)
    chosen = r.rows(r.USUAL[norm] if attacks is None else attacks, norm)
    notes: tuple[str, ...] = ()
    if attacks is None and (why := subject.network.blocked):
        chosen = tuple(row for row in chosen if row.is_black)
        notes = (f"gradients are blocked ({why}), so only a black box was tried",)
    index = choose(subject, MANY if images is None else images, seed=seed)
    labels = subject.labels.numpy()[index]

    def opponent(row: r.Row, steps: int, epsilon: float) -> Adversary:
        count = queries if row.is_black else steps
        size = epsilon if row.norm else 1.0  # what looks for the smallest change has no ball
        how = Attack(row.method, size, count, None, restarts, "any", seed, row.loss)
        return adversary(subject, how, denoiser, knowledge)

    opponents = [opponent(row, steps, sizes[-1]) for row in chosen]
    every, control = np.ones(len(index), bool), Control(opponents[0], norm)
    ours = (row for row in chosen if row.method == r.method(r.PGD, norm) and row.loss != "margin")
    pgd = next(ours, None) if thorough else None
    passes = len(sizes) + sum(len(sizes) - 1 if row.norm else 1 for row in chosen)
    passes += len(sizes) * (pgd is not None)
    # A proof of an image takes as long as so many attacks of it, each step three passes.
    weight = 0 if sigma is None else 1 + draws // (3 * steps)
    passes += weight
    with naming(image=(subject[index], index)), ticking(progress) as tick:
        work = _Work(subject, index, executor, tick, passes * len(index))
        noise = np.stack([work(noisy, control, size, every, False) for size in sizes])
        wrong = noise[0]
        outcome = np.full((len(chosen), len(sizes), len(index)), UNTRIED, np.int8)
        outcome[:, 0] = wrong
        seen = np.zeros((len(chosen), len(index), 3), bool)

        extra: dict[str, np.ndarray] = {}

        def told(proof: Certificate | None = None) -> Robustness:
            return Robustness(
                classes=subject.classes,
                index=index,
                truth=labels,
                attacks=tuple(row.name for row in chosen),
                epsilons=sizes,
                outcome=outcome.copy(),
                noise=noise | wrong,
                verdict=_judged(chosen, outcome, noise | wrong, seen, extra),
                certificate=proof,
                notes=(*notes, *opponents[0].notes),
            )

        if partial is not None:
            partial(told())

        for place, (row, how) in enumerate(zip(chosen, opponents, strict=True)):
            for size, broken, saw in _growing(work, row, how, sizes, ~wrong, norm):
                outcome[place, size], seen[place] = broken | wrong, saw
                if partial is not None:
                    partial(told())
        if pgd is not None:
            extra["longer"] = np.zeros(noise.shape, bool)
            how = opponent(pgd, r.LONGER * steps, sizes[-1])
            for size in range(1, len(sizes)):
                left = (outcome[:, size] == RIGHT).all(0) & ~extra["longer"][size - 1]
                more = work(attacked, how, sizes[size], left, NOTHING)[:, 0]
                extra["longer"][size] = extra["longer"][size - 1] | more
            free = opponent(r.Row(r.PGD, r.PGD, pgd.loss), steps, 1.0)
            extra["epsilon 1"] = work(attacked, free, 1.0, ~wrong, NOTHING)[:, 0]
        proof = None
        if sigma is not None:
            if partial is not None and extra:
                partial(told())
            proof = certify(
                subject if opponents[0].denoiser is None else denoised(subject, denoiser),
                sigma=sigma,
                draws=draws,
                images=index.tolist(),
                seed=seed,
                executor=executor,
                progress=work.share(weight * len(index)),
            )
    return told(proof)


def _check_proof(sigma: float, draws: int, norm: str) -> None:
    """Refuse at once a proof that would fail after all attacks."""
    if norm != "L2":
        seen = f"got sigma={sigma:g} with norm={norm!r}"
        fix = 'Pass norm="L2", or leave sigma= out'
        raise ValueError(problem("what noise proves is about the L2 length", seen, fix))
    check_draws(draws)


def _growing(
    work: _Work, row: r.Row, opponent: Adversary, sizes: np.ndarray, right: np.ndarray, norm: str
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for each size which images are broken by then, and what misled the attack, (n, 3)."""
    broken, dark = np.zeros(len(right), bool), right.copy()
    drowned, undone = np.zeros((2, len(right)), bool)
    if row.norm != norm:  # it looks for the smallest change by itself
        far = work(measured, Control(opponent, norm), 0.0, right, np.inf)
        for size in range(1, len(sizes)):
            yield size, right & (far <= sizes[size]), np.zeros((len(right), 3), bool)
        return
    for size in range(1, len(sizes)):
        left = right & ~broken
        found = work(attacked, opponent, sizes[size], left, NOTHING)
        broken |= found[:, 0]
        dark &= found[:, 1] | ~left
        drowned |= found[:, 2]
        undone |= found[:, 3] & ~broken
        yield size, broken, np.stack([dark, drowned, undone], axis=1)


def _judged(
    chosen: Sequence[r.Row],
    outcome: np.ndarray,
    noise: np.ndarray,
    seen: np.ndarray,
    extra: dict[str, np.ndarray],
) -> Verdict:
    """Judge by the attacks that were tried at all sizes."""
    known = {"clean": noise[0], "noise": noise[1:]}
    dark = []
    for row, mine, saw in zip(chosen, outcome, seen, strict=True):
        if row.role and (mine != UNTRIED).all():
            known[row.role] = known.get(row.role, False) | (mine[1:] == BROKEN)
            dark += [saw[:, 0]] * (not row.is_black)
    if "longer" in extra:  # only what had withstood everything was attacked again
        known["longer"] = known["random start"] | extra["longer"][1:]
        known["epsilon 1"] = extra["epsilon 1"]
    _, drowned, undone = np.moveaxis(np.logical_or.reduce(seen), 1, 0)
    return verdict(known, np.logical_and.reduce(dark) if dark else None, drowned, undone)


# --- one work item ----------------------------------------------------------------------------


class Item(NamedTuple):
    """A batch of images, and the size of their change."""

    positions: tuple[int, ...]
    size: float


@dataclass(frozen=True)
class Control:
    """A norm beside an attack: that of the noise instead of it, or of its change."""

    opponent: Adversary
    norm: str


def attacked(opponent: Adversary, item: Item) -> np.ndarray:
    """Tell what became of images, (n, 4) bool.

    Columns: broken by a size, without a gradient, drowned and undone as `glimpse` has them.
    """
    size = torch.full((len(item.positions),), item.size, dtype=torch.float64)
    with threads(opponent.threads):
        found = opponent(item.positions, size)
        _, *saw = glimpse(opponent, item.positions, found)
        return np.stack([_wrong(opponent, item, found.images), *saw], axis=1)


def measured(control: Control, item: Item) -> np.ndarray:
    """Measure the change that breaks each image, (n,); infinite where none was found."""
    opponent, clean = control.opponent, control.opponent.images(item.positions)
    with threads(opponent.threads):
        images = opponent(item.positions).images
        change = (images - clean).double()
        far = length(change).flatten() if control.norm == "L2" else change.abs().amax((1, 2, 3))
        broken = _wrong(opponent, item, images)
    found: np.ndarray = np.where(broken, far.cpu().numpy(), np.inf)
    return found


def noisy(control: Control, item: Item) -> np.ndarray:
    """Tell which images are broken by random changes of a size, (n,) bool."""
    opponent = control.opponent
    clean, numbers = opponent.images(item.positions), opponent.indices(item.positions)
    size = torch.full((len(clean),), item.size, dtype=torch.float64)
    change = signs if control.norm == "Linf" else directions
    with threads(opponent.threads), torch.inference_mode(False):
        images = change(clean, numbers, size, opponent.attack.seed) if item.size else clean
        return _wrong(opponent, item, images)


def _wrong(opponent: Adversary, item: Item, images: Tensor) -> np.ndarray:
    """Tell what the network, behind the denoiser, answers wrongly."""
    with torch.no_grad(), drawing(ANOTHER):
        answers = Seen(opponent.subject.network, opponent.denoiser)(images).argmax(1)
    wrong: np.ndarray = (answers != opponent.labels(item.positions)).cpu().numpy()
    return wrong


@dataclass
class _Work:
    """The same images for all attacks, and the progress of all of them.

    Parameters
    ----------
    subject : Subject
        Whose images.
    index : numpy.ndarray
        (n,) their positions.
    executor, tick
        Where to run and whom to tell.
    total : int
        How often images are changed, if none breaks.
    """

    subject: Subject
    index: np.ndarray
    executor: Any
    tick: Tick
    total: int
    done: int = 0

    def __call__(
        self, fn: Any, shared: Any, size: float, which: np.ndarray, blank: Any
    ) -> np.ndarray:
        """Return what a function finds for some of the images, (n, ...); for others a blank."""
        cuts = [list(span) for span in spans(self.subject, np.flatnonzero(which))]
        items = [Item(tuple(self.index[cut].tolist()), float(size)) for cut in cuts]
        found = np.array([blank] * len(which))
        self.done += len(which) - int(which.sum())
        self.tick(self.done, self.total)
        with closing(stream(fn, shared, items, executor=self.executor)) as parts:  # type: ignore[type-var]
            for cut, part in zip(cuts, parts, strict=True):
                found[cut] = part
                self.done += len(cut)
                self.tick(self.done, self.total)
        return found

    def share(self, units: int) -> Tick:
        """Return a progress callable for work that counts otherwise, worth so many images."""
        begun = self.done

        def tick(done: int, total: int) -> None:
            self.done = begun + units * done // max(1, total)
            self.tick(self.done, self.total)

        return tick
