"""How pruning is measured: rank on some images, remove, report on others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...batching import threads
from ...engine import Progress, Tick, stream, ticking
from ...ops import adversary
from ...ops.agreement import spearman
from ...ops.baselines import baseline
from ...ops.calibrators import fit_temperature
from ...ops.copies import copied
from ...ops.explainer import Explainer
from ...ops.methods import Method
from ...ops.pruning import removal
from ...ops.pruning.gates import Gates
from ...ops.pruning.importance import CRITERIA, Criterion, importance
from ...ops.pruning.structure import Structure, cut, structure, weight
from ...ops.pruning.tuning import tuned
from ...ops.untrained import untrained
from ...validation import check_apart, check_choice, check_whole, problem
from .result import ATTACKS, Pruning

if TYPE_CHECKING:
    from ...subject import Subject

LEVELS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
CONTROLS = 5
"""How many random removals of the same size are drawn."""
_TIMED = 32  # images in a pass whose time is taken, or whose logits are compared
_STEPS = 32  # of integrated gradients


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
        A knob has a value it cannot have; no filter can be removed; images would be ranked on and
        reported at once.

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
    fractions = _levels(levels)
    check_choice("scope", scope, removal.SCOPES)
    for name, value, low, high, why in (
        ("rounds", rounds, 1, 100, "1 ranks once"),
        ("fit_images", fit_images, 1, 10**9, "50 make one batch"),
        ("finetune", finetune, 0, 10**9, "0 does not train"),
        ("explain", explain, 0, 10**9, "0 leaves it out"),
        ("attacked", attacked, 0, 10**9, "0 leaves it out"),
        ("timed", timed, 0, 1000, "0 leaves it out"),
        ("seed", seed, 0, 2**32 - 1, ""),
    ):
        check_whole(name, value, low, high, why)
    _check_criterion(criterion, scope, rounds, finetune, train, protect)
    source = _source(
        subject,
        criterion=criterion,
        levels=tuple(fractions[1:].tolist()),
        scope=scope,
        rounds=rounds,
        protect=tuple(protect),
        images=images,
        fit=fit,
        fit_images=fit_images,
        train=train,
        finetune=finetune,
        explain=explain,
        attacked=attacked,
        timed=timed,
        seed=seed,
    )
    reported, fitted, index, words = _split(subject, fit, images, fit_images, seed)
    found = structure(subject)
    free = removal.free(found, protect)
    case = _Case(
        subject=reported,
        fit=fitted,
        train=train,
        found=found,
        free=free,
        criterion=criterion,
        scope=scope,
        rounds=rounds,
        finetune=finetune,
        explain=explain,
        attacked=attacked,
        timed=timed,
        seed=seed,
    )
    with ticking(progress) as tick:
        dense, points = _measured(case, fractions, executor, tick)
    main = [dense, *points[0]]
    name = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", "own")

    def table(field: str) -> np.ndarray:
        rows = [[getattr(one, field) for one in (dense, *series)] for series in points]
        return np.array(rows)

    fit_truth = fitted.labels.numpy()
    fit_logits = table("fit_logits")
    temperatures = [
        [fit_temperature(one.astype(np.float64), fit_truth).temperature for one in series]
        for series in fit_logits
    ]
    removed = table("removed")
    result = Pruning(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        source=source,
        classes=subject.classes,
        criterion=name,
        scope=scope,
        rounds=int(rounds),
        protect=tuple(protect),
        finetune=int(finetune),
        split=words,
        index=index,
        truth=reported.labels.numpy(),
        levels=fractions,
        logits=table("logits"),
        temperatures=np.array(temperatures),
        groups=found.groups,
        group=found.group,
        channel=found.channel,
        scores=main[-1].scores if rounds == 1 else main[1].scores,
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
        drift_untrained=_control(case, dense),
        robust=np.array([one.robust for one in main]),
        robust_n=min(int(attacked), len(reported)),
        notes=_notes(found, fractions, removed[0], scope, criterion),
    )
    # Not a field: it is neither saved nor compared, it is what `model` cuts again.
    object.__setattr__(result, "_subject", subject)
    object.__setattr__(result, "_tuned", [one.tuned for one in main] if finetune else None)
    return result


@dataclass(frozen=True)
class _Case:
    """What all work items share; sent to a cluster once."""

    subject: Subject
    fit: Subject
    train: Subject | None
    found: Structure
    free: np.ndarray
    criterion: Criterion
    scope: str
    rounds: int
    finetune: int
    explain: int
    attacked: int
    timed: int
    seed: int
    scores: np.ndarray | None = None
    targets: np.ndarray | None = None
    maps: np.ndarray | None = None


class _Item(NamedTuple):
    """One network, or a chain of networks that come one out of the other."""

    control: int  # 0 is the criterion, others are random removals
    levels: tuple[float, ...]


class _Point(NamedTuple):
    """One network measured."""

    logits: np.ndarray
    fit_logits: np.ndarray
    removed: np.ndarray
    scores: np.ndarray
    left: np.ndarray
    parameters: int
    multiply_adds: int
    size: int
    seconds_masked: float
    seconds_cut: float
    gap: float
    drift: np.ndarray
    robust: np.ndarray
    maps: np.ndarray
    tuned: Subject | None


# --- one network after the other --------------------------------------------------------------


def _measured(
    case: _Case, levels: np.ndarray, executor: Any, tick: Tick
) -> tuple[_Point, list[list[_Point]]]:
    """Return the whole network, and for the criterion and each control all pruned ones."""
    above = tuple(levels[1:].tolist())
    chained = case.rounds > 1 or case.finetune > 0
    chains = [above] if chained else [(level,) for level in above]
    items = [_Item(control, chain) for control in range(1 + CONTROLS) for chain in chains]
    total = len(items) + 1
    tick(0, total)
    dense = _look(case, case.subject, None, None)
    case = replace(case, targets=dense.logits.argmax(1), maps=dense.maps)
    dense = dense._replace(drift=_drift(case, dense.maps))
    if case.criterion == "magnitude":
        dense = dense._replace(left=_weights(case))
    if not chained and case.criterion not in ("magnitude", "random"):
        scores = importance(case.fit, case.found, case.criterion, seed=case.seed, executor=executor)
        case = replace(case, scores=scores)

    def watch(done: int, _: int) -> None:
        tick(1 + done, total)

    parts = stream(_prune, case, items, executor=executor, progress=watch)  # type: ignore[arg-type]
    points: list[list[_Point]] = [[] for _ in range(1 + CONTROLS)]
    for item, part in zip(items, parts, strict=True):
        points[item.control] += part
    return dense, points


def _prune(case: _Case, item: _Item) -> list[_Point]:
    if case.criterion == "magnitude":
        return [_sparse(case, item.control, level) for level in item.levels]
    highest = item.levels[-1]
    marks = [highest * number / case.rounds for number in range(1, case.rounds)]
    removed = np.zeros(len(case.found), dtype=bool)
    current, found = case.fit, case.found
    points, scores = [], _scores(case, item.control, current, found, removed)
    for stop in sorted({*item.levels, *marks}):
        alive = np.flatnonzero(~removed)
        # What is gone already has the lowest score of all: levels grow one out of the other.
        everywhere = np.full(len(removed), -np.inf)
        everywhere[alive] = scores
        goal = removal.remove(case.found, everywhere, stop, case.scope, case.free)
        going = (goal | removed)[alive]
        smaller = cut(current, found, going)
        masked = None if item.control else (current, found, going)
        removed[alive[going]] = True
        current, found = smaller, found.without(going)
        if case.finetune and case.train is not None:
            current = tuned(current, case.train, case.finetune, case.seed)
        if stop in item.levels:
            points.append(_look(case, current, removed, masked)._replace(scores=everywhere))
        if stop in marks:
            scores = _scores(case, item.control, current, found, removed)
    return points


def _scores(
    case: _Case, control: int, current: Subject, found: Structure, removed: np.ndarray
) -> np.ndarray:
    if control or case.criterion == "random":
        drawn = np.random.default_rng([case.seed, control]).random(len(removed))
        return drawn[~removed]
    if case.scores is not None:
        return case.scores
    return importance(current, found, case.criterion)


def _look(
    case: _Case,
    current: Subject,
    removed: np.ndarray | None,
    masked: tuple[Subject, Structure, np.ndarray] | None,
) -> _Point:
    """Measure a network; ``current`` carries it, whatever its images."""
    subject = _with_network(case.subject, current)
    logits = subject.evaluate().numpy()
    fit_logits = _with_network(case.fit, current).evaluate().numpy()
    gone = np.zeros(len(case.found), dtype=bool) if removed is None else removed
    parameters, operations = case.found.cost(gone)
    seconds = _seconds(case, subject._network.logits)
    seconds_masked, gap = (seconds, 0.0) if removed is None else (np.nan, np.nan)
    if masked is not None:
        before, found, going = masked
        gates = Gates(before, found)
        open = torch.from_numpy(1.0 - going).float()
        seconds_masked = _seconds(case, lambda images: gates.logits(images, open))
        if not case.finetune:
            first = case.subject.images[:_TIMED]
            with torch.no_grad():
                masked_logits = gates.logits(first, open).cpu()
            gap = (masked_logits - subject.predict(first).cpu()).abs().max().item()
    main = removed is None or masked is not None
    maps = _maps(case, subject, logits) if main else np.empty(0)
    return _Point(
        logits=logits,
        fit_logits=fit_logits,
        removed=gone.copy(),
        scores=np.zeros(len(gone)),
        left=_left(case.found, gone),
        parameters=parameters,
        multiply_adds=operations,
        size=_size(subject.model),
        seconds_masked=float(seconds_masked),
        seconds_cut=seconds,
        gap=gap,
        drift=_drift(case, maps) if main else np.empty(0),
        robust=_robust(case, subject) if main else np.empty(0),
        maps=maps,
        tuned=_with_network(case.subject, current) if case.finetune and main else None,
    )


def _sparse(case: _Case, control: int, level: float) -> _Point:
    """Set single weights to zero: the smallest, or for a control random ones."""
    names = [layer.name for layer in case.found.layers]
    whole = _weights(case)
    generator = torch.Generator().manual_seed(case.seed + control)
    left: list[int] = []

    def change(model: nn.Module) -> None:
        weights = [weight(model, name) for name in names]
        ranks = [
            torch.rand(one.shape, generator=generator) if control else one.abs().cpu()
            for one in weights
        ]
        count = int(level * whole.sum())
        limit = torch.cat([rank.flatten() for rank in ranks]).sort().values[count - 1]
        for one, rank in zip(weights, ranks, strict=True):
            gone = (rank <= limit) & (count > 0)
            one[gone.to(one.device)] = 0
            left.append(int((~gone).sum()))

    point = _look(case, copied(case.subject, change), None, None)
    zeros = int(whole.sum()) - sum(left)
    return point._replace(left=np.array(left), parameters=point.parameters - zeros)


def _weights(case: _Case) -> np.ndarray:
    layers = (layer.name for layer in case.found.layers)
    return np.array([weight(case.subject.model, name).numel() for name in layers])


# --- what is measured -------------------------------------------------------------------------


def _with_network(subject: Subject, current: Subject) -> Subject:
    if subject._network is current._network:
        return subject
    return subject._with(_network=current._network, validation=None, _evaluations={})


def _left(found: Structure, removed: np.ndarray) -> np.ndarray:
    stays = np.append(~removed, True)
    return np.array([stays[layer.outputs].sum() for layer in found.layers])


def _size(model: nn.Module) -> int:
    """Return what the weights take on disk, in bytes."""
    from safetensors.torch import save

    return len(save({name: value.clone() for name, value in model.state_dict().items()}))


def _seconds(case: _Case, run: Callable[[Tensor], Tensor]) -> float:
    """Return the time that a pass takes for each image, NaN if it is not asked for."""
    images = case.subject.images[:_TIMED]
    plan = case.subject._network.plan(tuple(images.shape[1:]))
    took = []
    with threads(plan.threads), torch.inference_mode(False), torch.no_grad():
        for _ in range(case.timed + (case.timed > 0)):  # the first warms up
            start = time.perf_counter()
            run(images).cpu()
            took.append(time.perf_counter() - start)
    return min(took[1:], default=np.nan) / len(images)


def _maps(case: _Case, subject: Subject, logits: np.ndarray) -> np.ndarray:
    """Return integrated gradients of the first images, for the answers of the whole network."""
    count = min(case.explain, len(subject))
    height, width = subject.images.shape[2:]
    if not count:
        return np.empty((0, height, width))
    targets = logits.argmax(1) if case.targets is None else case.targets
    plan = subject._network.plan(tuple(subject.images.shape[1:]))
    base = (baseline("mean", subject),)
    explainer = Explainer(Method("ig", steps=_STEPS), base, "logit", (height, width), plan)
    return np.stack(
        [
            explainer.add(
                explainer.part(subject, index, int(targets[index]), span)
                for span in explainer.spans
            ).maps[0]
            for index in range(count)
        ]
    )


def _drift(case: _Case, maps: np.ndarray) -> np.ndarray:
    """Return the rank correlation of signed maps with those of the whole network, (E,)."""
    if case.maps is None:
        return np.ones(len(maps))
    return np.array([spearman(np.stack(pair))[0, 1] for pair in zip(case.maps, maps, strict=True)])


def _control(case: _Case, dense: _Point) -> np.ndarray:
    if not len(dense.maps):
        return np.empty(0)
    case = replace(case, targets=dense.logits.argmax(1), maps=dense.maps)
    return _drift(case, _maps(case, untrained(case.subject, case.seed), dense.logits))


def _robust(case: _Case, subject: Subject) -> np.ndarray:
    """Return the accuracy of the first images under each attack, (A,)."""
    if not case.attacked:
        return np.empty(0)
    some = subject[: case.attacked]
    return np.array(
        [
            (attacked.logits.argmax(1) == some.labels).double().mean().item()
            for attacked in (
                adversary.attack(some, attack=method, epsilon=epsilon / 255, seed=case.seed)
                for method, epsilon in ATTACKS
            )
        ]
    )


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


def _split(
    subject: Subject,
    fit: Subject | None,
    images: int | Sequence[int],
    fit_images: int,
    seed: int,
) -> tuple[Subject, Subject, np.ndarray, str]:
    """Return what is reported and what is fitted on, where the former lies, and this in words."""
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
    reported = available[chosen]
    return reported, _with_network(fitted, subject), everything[chosen], words


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
    dense = found.cost(np.zeros(len(found), dtype=bool))[1]
    for level, gone in zip(levels, removed, strict=True):
        if scope == "filters":
            part = found.filters[gone].sum() / found.filters.sum()
        else:
            part = 1 - found.cost(gone)[1] / dense
        if part < level - 0.02:
            notes.append(
                f"at {level:.0%} only {part:.0%} could be removed: every layer keeps a filter, and "
                "protected ones keep all"
            )
            break
    return tuple(notes)


def _source(subject: Subject, **knobs: Any) -> str:
    """Return the Python text of the call; what has no text of its own is a name."""

    def text(name: str, value: Any) -> str:
        if hasattr(value, "fingerprint"):
            return str(value.code)
        if callable(value):
            return name
        return repr(value) if not isinstance(value, np.ndarray) else repr(value.tolist())

    lines = "".join(f"    {name}={text(name, value)},\n" for name, value in knobs.items())
    return (
        f"import reliab_widgets as rw\n\n"
        f"subject = {subject.code}  # fingerprint {subject.fingerprint[:12]}\n"
        f"result = rw.pruning(\n    subject,\n{lines})\n"
    )
