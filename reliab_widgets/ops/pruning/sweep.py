"""Networks pruned to many levels and measured, whatever is made of the numbers.

Networks that come out of the whole one are items of their own, for any executor; with rounds of
ranking or with training in between they are a chain, which is one item.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.batching import threads
from ...core.engine import Progress, Tick, stream, ticking
from ...core.selection import spans
from ...core.subject import Subject
from ..attacks.adversary import adversary, overcome
from ..attacks.attack import Attack
from ..attacks.doubts import doubt
from ..attribution.baselines import baseline
from ..attribution.explainer import Explainer
from ..attribution.methods import Method
from ..networks.tuning import plain, trained
from ..networks.untrained import has_signal, untrained
from ..statistics.agreement import spearman
from . import removal
from .gates import Gates
from .importance import Criterion, importance
from .plain import plain_weights
from .structure import Structure, cut, weight

CONTROLS = 5
"""How many random removals of the same size are drawn."""
FIRST = 0.1
"""The share near which a sweep begins: enough to see who pays, before all is lost."""
_TIMED = 32  # images in a pass whose time is taken, or whose logits are compared
_STEPS = 32  # of integrated gradients

RATE = 0.01
"""Of fine-tuning: that of Molchanov et al. 2019."""


@dataclass(frozen=True)
class Case:
    """What all networks share; sent to a cluster once.

    Parameters
    ----------
    subject, calibration : Subject
        The images that are reported, and those to rank and fit on, with the whole network.
    train : Subject or None
        Images to train on.
    found : Structure
        The network's units.
    free : numpy.ndarray of bool
        (U,) which may go.
    criterion, scope, rounds, finetune, explain, attacked, timed, seed
        As `reliab_widgets.pruning` takes them.
    attacks : tuple of (str, int)
        Methods, and epsilon in 1/255.
    scores, targets, maps : numpy.ndarray, optional
        Of the whole network: (U,) importance, (n,) answers, (E, H, W) explanations.
    """

    subject: Subject
    calibration: Subject
    train: Subject | None
    found: Structure
    free: np.ndarray
    criterion: Criterion
    scope: str
    rounds: int
    finetune: int
    explain: int
    attacked: int
    attacks: tuple[tuple[str, int], ...]
    timed: int
    seed: int
    scores: np.ndarray | None = None
    targets: np.ndarray | None = None
    maps: np.ndarray | None = None


class _Item(NamedTuple):
    """One network, or a chain of networks that come one out of the other."""

    control: int  # 0 is the criterion, others are random removals
    levels: tuple[float, ...]


class Point(NamedTuple):
    """One network measured; what the fields are, `Pruning` says."""

    logits: np.ndarray
    calibration_logits: np.ndarray
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
    doubt: str
    maps: np.ndarray
    tuned: Subject | None


# --- one network after the other --------------------------------------------------------------


class Measured(NamedTuple):
    """All networks so far.

    Attributes
    ----------
    levels : numpy.ndarray
        Ascending, from 0 on.
    dense : Point
        The whole network.
    points : list of list of Point
        For the criterion and for each control, the networks at the levels above 0.
    untrained : numpy.ndarray
        (E,) agreement of an untrained network's maps with those of the whole one.
    """

    levels: np.ndarray
    dense: Point
    points: list[list[Point]]
    untrained: np.ndarray


def measured(
    case: Case,
    levels: np.ndarray,
    known: dict[Any, Any],
    executor: Any,
    tick: Tick,
    show: Callable[[Measured], Any] = lambda _: None,
) -> Measured:
    """Return what is measured of the whole network and of those at each level.

    Parameters
    ----------
    case : Case
        What is measured.
    levels : numpy.ndarray
        From 0 on.
    known : dict
        What is there already; filled.
    executor, tick : optional
        Where to run, and whom to tell how many networks are done.
    show : callable, optional
        Given what is there whenever that is more, but not all; may return the level that is wanted
        next.
    """
    above = levels[1:].tolist()
    series = range(1 + CONTROLS)
    if case.rounds > 1 or case.finetune > 0:
        steps = [tuple(above)] * bool(above)
    else:
        steps = [(level,) for level in _coarse_first(above)]
    items = {step: [_Item(control, step) for control in series] for step in steps}
    every = ["dense", *(item for some in items.values() for item in some)]

    def beat(*_: int) -> None:
        # Often, so that Cancel need not wait for a whole network.
        tick(sum(one in known for one in every), len(every))

    beat()
    if "dense" not in known:
        known["dense"] = _look(case, case.subject, None, None, beat)
    dense = known["dense"]
    case = replace(case, targets=dense.logits.argmax(1), maps=dense.maps)
    dense = dense._replace(drift=_drift(case, dense.maps))
    if case.criterion == "magnitude":
        dense = dense._replace(left=_weights(case))
    if "untrained" not in known:
        known["untrained"] = _control(case, dense.logits)

    def there(drawn: int) -> Measured:
        """Return the levels that are measured with so many random removals."""
        seen = range(1 + drawn)
        steps = sorted(step for step, some in items.items() if known.keys() >= {*some[: 1 + drawn]})
        points = [[one for step in steps for one in known[items[step][k]]] for k in seen]
        at = [0.0, *(level for step in steps for level in step)]
        return Measured(np.array(at), dense, points, known["untrained"])

    # Seen within seconds, where the first level takes many.
    wanted = show(Measured(levels[:1], dense, [[] for _ in series], known["untrained"]))
    if case.rounds == 1 and not case.finetune and case.criterion not in ("magnitude", "random"):
        if "scores" not in known:
            known["scores"] = importance(
                case.calibration,
                case.found,
                case.criterion,
                seed=case.seed,
                executor=executor,
                progress=beat,
            )
        case = replace(case, scores=known["scores"])
    beat()
    prune = partial(_prune, beat=beat) if executor is None else _prune
    shown = 1
    while steps:
        step = next((it for it in steps if wanted in it), steps[0])
        steps.remove(step)
        missing = [item for item in items[step] if item not in known]
        parts = stream(prune, case, missing, executor=executor)
        for item, part in zip(missing, parts, strict=True):
            known[item] = part
            beat()
            if item.control == 1 and shown == 1:
                wanted = show(there(drawn=1))  # the other draws take twice as long again
        so_far = there(CONTROLS)
        if steps and len(so_far.levels) > shown:
            wanted, shown = show(so_far), len(so_far.levels)
    return there(CONTROLS)


def _coarse_first(levels: list[float]) -> list[float]:
    """Order levels: one that networks can stand, the last, then each into the largest gap."""
    if not levels:
        return []
    first = min(levels, key=lambda level: abs(level - FIRST))
    order, gaps = [levels[-1]], [(-1, len(levels) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(levels[middle])
            gaps += [(low, middle), (middle, high)]
    return [first, *(level for level in order if level != first)]


def _prune(case: Case, item: _Item, beat: Progress = None) -> list[Point]:
    if case.criterion == "magnitude":
        return [_sparse(case, item.control, level, beat) for level in item.levels]
    highest = item.levels[-1]
    marks = [highest * number / case.rounds for number in range(1, case.rounds)]
    removed = np.zeros(len(case.found), dtype=bool)
    current, found = case.calibration, case.found
    scores = _scores(case, item.control, current, found, removed)
    points = []
    for stop in sorted({*item.levels, *marks}):
        alive = np.flatnonzero(~removed)
        # What is gone already has the lowest score of all: levels grow one out of the other.
        scores = np.where(removed, -np.inf, scores)
        going = removal.remove(case.found, scores, stop, case.scope, case.free)[alive]
        smaller = cut(current, found, going)
        masked = None if item.control else (current, found, going)
        removed[alive[going]] = True
        current, found = smaller, found.without(going)
        if case.finetune and case.train is not None:
            steps, seed, code = case.finetune, case.seed, current.code
            with ticking(beat) as tick:
                current = trained(current, case.train, plain, steps, RATE, seed, tick, code)
        if stop in item.levels:
            points.append(_look(case, current, removed, masked, beat)._replace(scores=scores))
        if stop in marks:
            scores = _scores(case, item.control, current, found, removed)
    return points


def _scores(
    case: Case, control: int, current: Subject, found: Structure, removed: np.ndarray
) -> np.ndarray:
    """Return a score for each unit; those of what is gone already mean nothing."""
    if control or case.criterion == "random":
        return np.random.default_rng([case.seed, control]).random(len(removed))
    if case.scores is not None:
        return case.scores
    scores = np.zeros(len(removed))
    scores[~removed] = importance(current, found, case.criterion)
    return scores


def _look(
    case: Case,
    current: Subject,
    removed: np.ndarray | None,
    masked: tuple[Subject, Structure, np.ndarray] | None,
    beat: Progress,
) -> Point:
    """Measure a network; ``current`` carries it, whatever its images."""
    subject = case.subject.on(current.network)
    logits = subject.evaluate(progress=beat).numpy()
    calibration_logits = case.calibration.on(current.network).evaluate(progress=beat).numpy()
    gone = np.zeros(len(case.found), dtype=bool) if removed is None else removed
    parameters, operations = case.found.cost(gone)
    seconds = _seconds(case, subject.network.logits)
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
    robust, doubted = _robust(case, subject) if main else (np.empty(0), "")
    return Point(
        logits=logits,
        calibration_logits=calibration_logits,
        removed=gone.copy(),
        scores=np.zeros(len(gone)),
        left=_left(case.found, gone),
        parameters=parameters,
        multiply_adds=operations,
        size=size_on_disk(subject.model),
        seconds_masked=float(seconds_masked),
        seconds_cut=seconds,
        gap=gap,
        drift=_drift(case, maps) if main else np.empty(0),
        robust=robust,
        doubt=doubted,
        maps=maps,
        tuned=case.subject.on(current.network) if case.finetune and main else None,
    )


def _sparse(case: Case, control: int, level: float, beat: Progress) -> Point:
    """Set single weights to zero: the smallest, or for a control random ones."""
    names = [layer.name for layer in case.found.layers]
    whole = _weights(case)
    generator = torch.Generator().manual_seed(case.seed + control)
    left: list[int] = []

    def change(model: nn.Module) -> None:
        plain_weights(model)
        weights = [weight(model, name) for name in names]
        ranks = [
            torch.rand(one.shape, generator=generator, dtype=torch.float32)
            if control
            else one.abs().cpu()
            for one in weights
        ]
        count = int(level * whole.sum())
        limit = torch.cat([rank.flatten() for rank in ranks]).sort().values[count - 1]
        for one, rank in zip(weights, ranks, strict=True):
            gone = (rank <= limit) & (count > 0)
            one[gone.to(one.device)] = 0
            left.append(int((~gone).sum()))

    point = _look(case, case.subject.on(case.subject.network.copied(change)), None, None, beat)
    zeros = int(whole.sum()) - sum(left)
    return point._replace(left=np.array(left), parameters=point.parameters - zeros)


def _weights(case: Case) -> np.ndarray:
    layers = (layer.name for layer in case.found.layers)
    return np.array([weight(case.subject.model, name).numel() for name in layers])


# --- what is measured -------------------------------------------------------------------------


def _left(found: Structure, removed: np.ndarray) -> np.ndarray:
    stays = np.append(~removed, True)
    return np.array([stays[layer.outputs].sum() for layer in found.layers])


def size_on_disk(model: nn.Module) -> int:
    """Return what the weights take in a safetensors file, in bytes.

    Examples
    --------
    >>> size_on_disk(nn.Linear(2, 3))
    164
    """
    # Written without the numbers, which need not be copied to know how many bytes they take.
    state = {name: it for name, it in model.state_dict().items() if isinstance(it, Tensor)}
    header, end = {}, 0
    for name in sorted(state, key=lambda name: (-state[name].itemsize, name)):
        begin, end = end, end + state[name].numel() * state[name].itemsize
        kind = str(state[name].dtype).removeprefix("torch.").upper()
        for word, letters in (("FLOAT", "F"), ("UINT", "U"), ("INT", "I")):
            kind = kind.replace(word, letters)
        header[name] = {
            "dtype": kind,
            "shape": list(state[name].shape),
            "data_offsets": [begin, end],
        }
    words = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-words // 8) * 8 + end


def _seconds(case: Case, run: Callable[[Tensor], Tensor]) -> float:
    """Return the time that a pass takes for each image, NaN if it is not asked for."""
    images = case.subject.images[:_TIMED]
    plan = case.subject.plan
    took = []
    with threads(plan.threads), torch.inference_mode(False), torch.no_grad():
        for _ in range(case.timed + (case.timed > 0)):  # the first warms up
            start = time.perf_counter()
            run(images).cpu()
            took.append(time.perf_counter() - start)
    return min(took[1:], default=np.nan) / len(images)


def _maps(case: Case, subject: Subject, logits: np.ndarray) -> np.ndarray:
    """Return maps of the first images, for the answers of the whole network."""
    targets = logits.argmax(1) if case.targets is None else case.targets
    return _explained(subject, targets[: case.explain])


def _explained(subject: Subject, targets: np.ndarray) -> np.ndarray:
    """Return integrated gradients of the first images, one for each target class."""
    height, width = subject.images.shape[2:]
    if not len(targets):
        return np.empty((0, height, width))
    plan = subject.plan
    base = (baseline("mean", subject),)
    explainer = Explainer(Method("ig", steps=_STEPS), base, "logit", (height, width), plan)
    return np.stack(
        [
            explainer.add(
                explainer.part(subject, index, int(target), span) for span in explainer.spans
            ).maps[0]
            for index, target in enumerate(targets)
        ]
    )


def _control(case: Case, logits: np.ndarray) -> np.ndarray:
    """Return the agreement of an untrained network's maps, (E,), NaN if they show nothing."""
    if not case.explain:
        return np.empty(0)
    other = untrained(case.subject, case.seed)
    if not has_signal(other):
        return np.full(case.explain, np.nan)
    return _drift(case, _maps(case, other, logits))


def _drift(case: Case, maps: np.ndarray) -> np.ndarray:
    """Return the rank correlation of signed maps with those of the whole network, (E,)."""
    if case.maps is None:
        return np.ones(len(maps))
    return np.array([spearman(np.stack(pair))[0, 1] for pair in zip(case.maps, maps, strict=True)])


def _robust(case: Case, subject: Subject) -> tuple[np.ndarray, str]:
    """Return the accuracy of the first images under each attack, (A,), and what is doubtful."""
    if not case.attacked:
        return np.empty(0), ""
    some = subject[: case.attacked]
    batches, truth = spans(some, np.arange(len(some))), some.labels.numpy()
    wrong, glimpsed = [], []
    for method, epsilon in case.attacks:
        how = Attack(method, epsilon / 255, seed=case.seed)
        images, seen = overcome(adversary(some, how, "none", "grey-box"), batches)
        answers = some.predict(torch.from_numpy(images)).argmax(1).cpu().numpy()
        wrong.append(answers != truth)
        glimpsed.append(seen)
    roles = {"fgsm": "one step", "bim": "several steps"}
    known = {
        role: np.stack(
            [it for it, (name, _) in zip(wrong, case.attacks, strict=True) if name == method]
        )
        for method, role in roles.items()
    }
    told = doubt(how, np.logical_and.reduce(glimpsed), known)
    return 1 - np.mean(wrong, axis=1), told


def explanation(subject: Subject, index: int, target: int) -> np.ndarray:
    """Return integrated gradients of one image, signed, against the mean colour, (H, W).

    Parameters
    ----------
    subject : Subject
        A whole or a pruned one.
    index : int
        Which image.
    target : int
        The class whose logit is explained.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> explanation(rw.demo("resnet20"), 0, 3).shape
    (32, 32)
    """
    made: np.ndarray = _explained(subject[index], np.array([target]))[0]
    return made
