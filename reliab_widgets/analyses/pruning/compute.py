"""How pruning is measured: rank on some images, remove, report on others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import numpy as np

from ...core.analysis import analysis
from ...core.capabilities import Allowed
from ...core.engine import Progress, Recent, ticking
from ...core.knobs import (
    AnotherSubject,
    Auto,
    Choice,
    Images,
    Seed,
    Several,
    Text,
    Whole,
    is_whole,
    positions,
)
from ...core.selection import halves, naming
from ...core.subject import Subject
from ...core.validation import check_apart
from ...core.wording import problem
from ...ops.calibration.calibrators import fit_temperature
from ...ops.features.graph import plan
from ...ops.features.layers import find
from ...ops.features.plan import Plan
from ...ops.pruning import removal
from ...ops.pruning.importance import CRITERIA, Criterion
from ...ops.pruning.measures import ATTACKS
from ...ops.pruning.plain import plain_attention
from ...ops.pruning.structure import Structure, structure
from ...ops.pruning.sweep import Case, Measured, measured
from .result import Pruning

LEVELS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Without half of their filters networks only guess: more would push what is told aside."""
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The same of single weights, most of which can go."""
REPORTED, RANKED = 512, 500
"""At most so many images are reported, and ranked on, if nobody says how many."""


def _offered(subject: Subject) -> tuple[str, ...]:
    scales = ("bn-scale",) if any(scale.norm for scale in structure(subject).scales) else ()
    return ("taylor", "taylor-fg", "taylor-so", "weight", *scales, "random", "magnitude")


def _all(subject: Subject) -> int:
    return len(subject)


CRITERION = Choice((*CRITERIA, "magnitude"), own="a function of a Subject", offers=_offered)
SOME = Whole(0, _all, "0 leaves it out")


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: the layers that lose filters, and why others do not.

    Raises
    ------
    ValueError
        None can.
    """
    found = structure(subject)
    return Allowed(tuple(name for group in found.groups for name in group), found.tied)


@analysis
def pruning(
    subject: Subject,
    *,
    criterion: Annotated[Criterion, CRITERION] = "taylor",
    levels: Annotated[Sequence[float], removal.Levels()] = LEVELS,
    scope: Annotated[str, Choice(removal.SCOPES)] = "filters",
    rounds: Annotated[int, Whole(1, 100, "1 ranks once", stops=(1, 2, 5, 10))] = 1,
    protect: Annotated[Sequence[str], Several(Text())] = (),
    images: Annotated[int | Sequence[int] | None, Auto(Images(within=True))] = None,
    calibration_set: Annotated[Subject | None, Auto(AnotherSubject())] = None,
    calibration_images: Annotated[int | None, Auto(Whole(1, 10**9, "50 make one batch"))] = None,
    train: Annotated[Subject | None, Auto(AnotherSubject())] = None,
    finetune: Annotated[int, Whole(0, 10**9, "0 does not train", stops=(0, 20, 50, 100, 200))] = 0,
    explain: Annotated[int, SOME] = 0,
    attacked: Annotated[int, SOME] = 0,
    timed: Annotated[int, Whole(0, 1000, "0 leaves it out")] = 0,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
    partial: Callable[[Pruning], object] | None = None,
) -> Pruning:
    """Remove filters step by step and measure what changes, for whom, next to random removal.

    What was measured before it was stopped is not measured again by the next call with the same
    subject and knobs.

    Parameters
    ----------
    subject : Subject
        Whose network loses filters, in copies.
    criterion : str or callable
        What goes first: ``"taylor"``, ``"taylor-fg"``, ``"taylor-so"``, ``"weight"``,
        ``"bn-scale"``, ``"random"`` or a function of a Subject, see
        `reliab_widgets.ops.pruning.importance.importance`; or ``"magnitude"``: not filters but
        single weights of all layers, the smallest first, become zero.
    levels : sequence of float
        Which parts are removed, each in [0, 1). By default up to half, which is little for
        ``criterion="magnitude"``: look there up to 0.95.
    scope : str
        Parts of what: ``"filters"``, or ``"flops"`` (multiply-adds).
    rounds : int
        How many times the filters are ranked, at equal distances up to the highest level: 1 ranks
        once, with all of them there.
    protect : sequence of str
        Layers that keep all their filters, ``"first"`` and ``"last"`` among them.
    images : int or sequence of int, optional
        How many are reported, drawn by ``seed``; or which, by their positions among those that can
        be. By default 512, or all where there are fewer.
    calibration_set : Subject, optional
        The images that filters are ranked on and temperatures fitted on, by the answers of
        ``subject``'s network to them. By default ``subject.validation``; where there is none, half
        of the images, drawn by ``seed``.
    calibration_images : int, optional
        How many of them. By default 500, or all where there are fewer.
    train : Subject, optional
        What is trained on between levels, if ``finetune`` is not 0.
    finetune : int
        Batches of 64 images trained on after each removal; 0 does not train.
    explain : int
        For how many of the reported images saliency maps (integrated gradients) of the pruned
        networks are compared with those of the whole one.
    attacked : int
        For how many of them the accuracy under FGSM and BIM, 2/255 and 8/255, is measured.
    timed : int
        How many passes of 32 images are timed, with filters silent and with filters gone; the
        shortest counts. Other work on the machine falsifies times, and an ``executor`` is such.
    seed : int
        Of the drawn images, the random removals and the order of training.
    executor, progress, partial : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts networks.
        ``partial`` is called with results that have fewer levels, or fewer random removals, the
        roughest first; it may return the level to measure next.

    Returns
    -------
    Pruning
        Logits of all pruned networks, what was removed, what it costs and saves.

    Raises
    ------
    ValueError, TypeError
        There is no Subject; a knob has a value it cannot have; no filter can be removed; images
        would be ranked on and reported at once.

    Notes
    -----
    Removed filters are cut out of the network, together with all that is tied to them. Molchanov et
    al. 2019, arXiv 1906.10771.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> result = rw.pruning(subject, levels=(0.2,), images=50, calibration_images=50)
    >>> result.levels.tolist(), result.logits.shape
    ([0.0, 0.2], (6, 2, 50, 10))
    """
    _check_together(criterion, scope, rounds, protect, train, finetune)
    if train is not None:
        check_apart(train.images, subject.images, "train")
    split = _split(subject, calibration_set, images, calibration_images, seed)
    for name, count in (("explain", explain), ("attacked", attacked)):
        Whole(0, len(split.reported), "so many are reported").check(name, count, subject)
    found = structure(subject)
    case = Case(
        subject=plain_attention(split.reported),
        calibration=plain_attention(split.fitted),
        train=train,
        found=found,
        free=removal.free(found, protect),
        criterion=criterion,
        scope=scope,
        rounds=rounds,
        finetune=finetune,
        explain=explain,
        attacked=attacked,
        attacks=ATTACKS,
        timed=timed,
        seed=seed,
    )
    # All that decides the numbers, and which of them are asked for.
    asked = (
        (subject.device.type, split.reported.fingerprint, split.fitted.fingerprint),
        (train and train.fingerprint, protect, levels, criterion, scope, rounds),
        (finetune, explain, attacked, timed, seed),
    )
    fractions = np.unique([0.0, *levels])
    numbers = range(len(split.fitted))
    seen = naming(
        image=(split.reported, split.positions), calibration_image=(split.fitted, numbers)
    )

    def show(so_far: Measured) -> object:
        return None if partial is None else partial(_result(subject, split, case, so_far))

    with seen, _unfinished(asked) as known, ticking(progress) as tick:
        everything = measured(case, fractions, known, executor, tick, show)
    return _result(subject, split, case, everything)


def _result(subject: Subject, split: _Split, case: Case, so_far: Measured) -> Pruning:
    levels, dense, points, control = so_far
    main = [dense, *points[0]]
    found = case.found

    def table(field: str) -> np.ndarray:
        return np.array([[getattr(one, field) for one in (dense, *some)] for some in points])

    truth = split.fitted.labels.numpy()
    temperatures = [
        [fit_temperature(one.astype(np.float64), truth).temperature for one in some]
        for some in table("calibration_logits")
    ]
    removed = table("removed")
    result = Pruning(
        classes=subject.classes,
        split=split.words,
        index=split.positions,
        truth=split.reported.labels.numpy(),
        levels=levels,
        logits=table("logits"),
        temperatures=np.array(temperatures),
        groups=found.groups,
        group=found.group,
        channel=found.channel,
        scores=main[min(1, len(main) - 1)].scores,
        removed=removed,
        layers=tuple(layer.name for layer in found.layers),
        plan=_plan(case.subject, found),
        left=table("left"),
        parameters=table("parameters"),
        multiply_adds=table("multiply_adds"),
        size=table("size"),
        seconds_masked=np.array([one.seconds_masked for one in main]),
        seconds_cut=np.array([one.seconds_cut for one in main]),
        gap=np.array([one.gap for one in main]),
        drift=np.array([one.drift for one in main]),
        drift_untrained=control,
        robust=np.array([one.robust for one in main]),
        doubts=tuple(one.doubt for one in main),
        notes=(
            *_notes(found, levels, removed[0], case.scope, case.criterion),
            *["no control by an untrained network: its answers do not depend on the image"]
            * bool(np.isnan(control).any()),
        ),
    )
    result.remember(subject, [one.tuned for one in main] if case.finetune else None)
    return result


def _plan(subject: Subject, found: Structure) -> Plan:
    """Return where the layers stand that run; one may be there that no image goes through."""
    running, _ = find(subject.network, subject.images[:1])
    known = {layer.name for layer in found.layers}
    mine = [layer for layer in running if layer.name in known]
    return plan(subject.network, subject.images[:1], mine)


_UNFINISHED, _LOCK = Recent(2), threading.Lock()


@contextmanager
def _unfinished(asked: tuple[Any, ...]) -> Iterator[dict[Any, Any]]:
    """Lend what an earlier call with the same question measured before it was stopped.

    It is one caller's at a time, and kept only while there is something left to measure.
    """
    key: Hashable = tuple((type(it), it) for part in asked for it in part)  # 1 is not True
    try:
        with _LOCK:
            known = _UNFINISHED.pop(key, {})
    except TypeError:  # a criterion that cannot be hashed
        yield {}
        return
    try:
        yield known
    except BaseException:
        with _LOCK:
            _UNFINISHED[key] = known
        raise


# --- settings ---------------------------------------------------------------------------------


def _check_together(
    criterion: Criterion,
    scope: str,
    rounds: int,
    protect: Sequence[str],
    train: Subject | None,
    finetune: int,
) -> None:
    if bool(finetune) != (train is not None):
        seen = f"got finetune={finetune} and train={'None' if train is None else train.name}"
        fix = "Pass both train= (a Subject of training images) and finetune= (batches), or neither"
        raise ValueError(problem("train and finetune go together", seen, fix))
    if criterion == "magnitude" and (scope != "filters" or rounds > 1 or finetune or protect):
        fix = "Leave scope, rounds, protect, train and finetune out, or choose another criterion="
        seen = 'got criterion="magnitude" with one of them'
        raise ValueError(problem("single weights are removed once, all over", seen, fix))


class _Split(NamedTuple):
    """What is reported and what is fitted on, where the former lies, and this in words."""

    reported: Subject
    fitted: Subject
    positions: np.ndarray
    words: str


def _split(
    subject: Subject,
    given: Subject | None,
    images: int | Sequence[int] | None,
    calibration_images: int | None,
    seed: int,
) -> _Split:
    everything = np.arange(len(subject))
    if given is not None:
        check_apart(given.images, subject.images, "calibration_set")
    fitted = given if given is not None else subject.validation
    where = "others"
    if fitted is None:
        chosen, everything, where = halves(subject, seed)
        fitted = subject[np.sort(chosen)]
    chosen = _chosen("images", images, REPORTED, len(everything), seed)
    few = _chosen("calibration_images", calibration_images, RANKED, len(fitted), seed)
    words = f"{len(chosen):,} reported, ranked and fitted on {len(few):,} {where}"
    reported = subject[everything][chosen]
    return _Split(reported, fitted[few].on(subject.network), everything[chosen], words)


def _chosen(
    name: str, wanted: int | Sequence[int] | None, usual: int, there: int, seed: int
) -> np.ndarray:
    """Draw so many of those that are there, or take which are wanted."""
    if wanted is None:
        wanted = min(usual, there)
    if not is_whole(wanted):
        return np.array(positions(name, wanted, there))
    count = Whole(1, there, "there are no more").check(name, wanted, None)
    return np.sort(np.random.default_rng(seed).permutation(there)[:count])


def _notes(
    found: Structure,
    levels: np.ndarray,
    removed: np.ndarray,
    scope: str,
    criterion: Criterion,
) -> tuple[str, ...]:
    notes = []
    answer = "its outputs are the answer"
    if other := {name: why for name, why in found.tied.items() if why != answer}:
        name, why = next(iter(other.items()))
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        notes.append(f"filters of {name}{more} stay: {why}")
    if criterion == "magnitude":
        notes.append("single weights become zero: the network gets neither smaller nor faster")
        return tuple(notes)
    whole = found.cost(np.zeros(len(found), dtype=bool))[1]
    for level, gone in zip(levels, removed, strict=True):
        if scope == "filters":
            part = found.filters[gone].sum() / found.filters.sum()
            step = found.filters.max() / found.filters.sum()  # units are removed whole
        else:
            part, step = 1 - found.cost(gone)[1] / whole, 0.0
        if part + step < level:
            notes.append(
                f"at {level:.0%} only {part:.0%} could be removed: every layer keeps a filter, and "
                "protected ones keep all"
            )
            break
    return tuple(notes)
