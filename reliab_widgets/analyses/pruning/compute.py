"""How pruning is measured: rank on some images, remove, report on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from ...engine import Progress, ticking
from ...ops import adversary
from ...ops.calibrators import fit_temperature
from ...ops.calls import call
from ...ops.pruning import removal
from ...ops.pruning.importance import CRITERIA, Criterion
from ...ops.pruning.structure import Structure, structure
from ...ops.pruning.sweep import Case, Measured, measured, on_network
from ...subject import Subject, check_subject
from ...validation import check_apart, check_choice, check_whole, problem
from .result import ATTACKS, Pruning

LEVELS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


def pruning(
    subject: Subject,
    *,
    criterion: Criterion = "taylor",
    levels: Sequence[float] = LEVELS,
    scope: str = "filters",
    rounds: int = 1,
    protect: Sequence[str] = (),
    images: int | Sequence[int] = 512,
    fit: Subject | None = None,
    fit_images: int = 500,
    train: Subject | None = None,
    finetune: int = 0,
    explain: int = 0,
    attacked: int = 0,
    timed: int = 0,
    seed: int = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Pruning:
    """Remove filters step by step and measure what changes, for whom, next to random removal.

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
        Which parts are removed, each in [0, 1).
    scope : str
        Parts of what: ``"filters"``, or ``"flops"`` (multiply-adds).
    rounds : int
        How many times the filters are ranked, at equal distances up to the highest level: 1 ranks
        once, with all of them there.
    protect : sequence of str
        Layers that keep all their filters, ``"first"`` and ``"last"`` among them.
    images : int or sequence of int
        At most how many are reported, drawn by ``seed``; or which, by their positions.
    fit : Subject, optional
        The images that filters are ranked on and temperatures fitted on. By default
        ``subject.validation``; where there is none, half of the images, drawn by ``seed``.
    fit_images : int
        At most how many of them.
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
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts networks.

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
    >>> result = rw.pruning(subject, levels=(0.2,), images=50, fit_images=50)
    >>> result.levels.tolist(), result.logits.shape
    ([0.0, 0.2], (6, 2, 50, 10))
    """
    knobs: dict[str, Any] = {
        "criterion": criterion,
        "levels": levels,
        "scope": scope,
        "rounds": rounds,
        "protect": protect,
        "images": images,
        "fit": fit,
        "fit_images": fit_images,
        "train": train,
        "finetune": finetune,
        "explain": explain,
        "attacked": attacked,
        "timed": timed,
        "seed": seed,
    }
    *_, result = growing(subject, executor=executor, progress=progress, **knobs)
    return result


def growing(
    subject: Subject,
    *,
    known: dict[Any, Any] | None = None,
    executor: Any = None,
    progress: Progress = None,
    **knobs: Any,
) -> Iterator[Pruning]:
    """Yield results with more and more levels, so that the shape of the curve is seen early.

    Parameters
    ----------
    subject : Subject
        As for `pruning`.
    known : dict, optional
        Filled with what was measured; given again with the same subject and knobs, it is not
        measured again.
    executor, progress : optional
        As for `pruning`.
    **knobs
        All other arguments of `pruning`.

    Yields
    ------
    Pruning
        The last one has all levels. With rounds or fine-tuning, where networks come one out of the
        other, it is the only one.
    """
    check_subject(subject)
    for name in ("fit", "train"):
        if knobs[name] is not None:
            check_subject(knobs[name], name)
    fractions = _levels(knobs["levels"])
    check_choice("scope", knobs["scope"], removal.SCOPES)
    for name, low, high, why in (
        ("rounds", 1, 100, "1 ranks once"),
        ("fit_images", 1, 10**9, "50 make one batch"),
        ("finetune", 0, 10**9, "0 does not train"),
        ("explain", 0, 10**9, "0 leaves it out"),
        ("attacked", 0, 10**9, "0 leaves it out"),
        ("timed", 0, 1000, "0 leaves it out"),
        ("seed", 0, 2**32 - 1, ""),
    ):
        check_whole(name, knobs[name], low, high, why)
    _check_criterion(**{name: knobs[name] for name in _BOUND_TO_CRITERION})
    if knobs["train"] is not None:
        check_apart(knobs["train"].images, subject.images, "train")
    knobs |= {"levels": tuple(fractions[1:].tolist()), "protect": tuple(knobs["protect"])}
    split = _split(subject, knobs["fit"], knobs["images"], knobs["fit_images"], knobs["seed"])
    found = structure(subject)
    case = Case(
        subject=split.reported,
        fit=split.fitted,
        found=found,
        free=removal.free(found, knobs["protect"]),
        attacks=ATTACKS,
        **{name: knobs[name] for name in _SHARED},
    )
    known = {} if known is None else known
    with ticking(progress) as tick:
        for so_far in measured(case, fractions, known, executor, tick):
            yield _result(subject, knobs, split, case, so_far)


_KNOBS = [name for name in list(signature(pruning).parameters)[1:-2]]
_BOUND_TO_CRITERION = ("criterion", "scope", "rounds", "finetune", "train", "protect")
_SHARED = (
    "train", "criterion", "scope", "rounds", "finetune", "explain", "attacked", "timed", "seed",
)  # fmt: skip


def _result(
    subject: Subject, knobs: dict[str, Any], split: _Split, case: Case, so_far: Measured
) -> Pruning:
    levels, dense, points, control = so_far
    main = [dense, *points[0]]
    criterion, found = knobs["criterion"], case.found

    def table(field: str) -> np.ndarray:
        return np.array([[getattr(one, field) for one in (dense, *some)] for some in points])

    fit_truth = split.fitted.labels.numpy()
    temperatures = [
        [fit_temperature(one.astype(np.float64), fit_truth).temperature for one in some]
        for some in table("fit_logits")
    ]
    removed = table("removed")
    result = Pruning(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        source=call("pruning", subject, {name: knobs[name] for name in _KNOBS}),
        classes=subject.classes,
        criterion=criterion if isinstance(criterion, str) else _name(criterion),
        scope=knobs["scope"],
        rounds=int(knobs["rounds"]),
        protect=knobs["protect"],
        finetune=int(knobs["finetune"]),
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
        robust_n=min(int(knobs["attacked"]), len(split.reported)),
        notes=_notes(found, levels, removed[0], knobs["scope"], criterion),
    )
    # Not fields, neither saved nor compared: what `variant` cuts again.
    object.__setattr__(result, "_subject", subject)
    object.__setattr__(result, "_tuned", [one.tuned for one in main] if case.finetune else None)
    return result


def _name(criterion: Any) -> str:
    return str(getattr(criterion, "__name__", "own"))


# --- settings ---------------------------------------------------------------------------------


def _levels(given: Sequence[float]) -> np.ndarray:
    values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    wrong = values[~((values >= 0) & (values < 1))]
    if len(wrong) or not len(values):
        seen = f"got {wrong[0] if len(wrong) else 'none'}"
        fix = "Pass levels= as fractions from 0 up to, but not including, 1, such as (0.2, 0.5)"
        raise ValueError(problem("a level is no part that can be removed", seen, fix))
    return np.unique([0.0, *values])


def _check_criterion(
    criterion: Criterion,
    scope: str,
    rounds: int,
    finetune: int,
    train: Subject | None,
    protect: Sequence[str],
) -> None:
    if isinstance(protect, str):
        fix = f"Pass protect=({protect!r},)"
        raise TypeError(problem("protect is not a sequence of names", f"got {protect!r}", fix))
    if not callable(criterion):
        check_choice("criterion", criterion, (*CRITERIA, "magnitude"))
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
    fit: Subject | None,
    images: int | Sequence[int],
    fit_images: int,
    seed: int,
) -> _Split:
    given = fit if fit is not None else subject.validation
    everything = np.arange(len(subject))
    if given is None:
        if len(subject) < 2:
            fix = "Pass more images=, or fit= as another Subject"
            seen = f"{subject.name} has {len(subject)}"
            raise ValueError(problem("two images are needed, one to rank on", seen, fix))
        order = np.random.default_rng(seed).permutation(len(subject))
        half = len(order) // 2
        given, everything = subject[np.sort(order[:half])], np.sort(order[half:])
        where = f"of the other half (split by seed {seed})"
    else:
        if fit is not None:
            check_apart(fit.images, subject.images, "fit")
        where = "others"
    available = subject[everything]
    chosen = adversary.choose(available, images, correct_only=False, goal="any", seed=seed)
    some = np.random.default_rng(seed).permutation(len(given))[:fit_images]
    fitted = given[np.sort(some)]
    words = f"{len(chosen):,} reported, ranked and fitted on {len(fitted):,} {where}"
    return _Split(available[chosen], on_network(fitted, subject), everything[chosen], words)


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
