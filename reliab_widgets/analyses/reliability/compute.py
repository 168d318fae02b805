"""How a reliability diagram is computed: calibrate on some images, report on others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from ...core.analysis import analysis
from ...core.capabilities import Allowed
from ...core.engine import Progress, Recent, ticking
from ...core.knobs import AnotherSubject, Auto, Choice, ClassOf, Real, Seed, Whole
from ...core.selection import halves
from ...core.subject import Subject
from ...core.validation import check_apart
from ...core.wording import counted, problem
from ...ops.calibration import bins as cut
from ...ops.calibration import calibrators, metrics
from ...ops.calibration.bins import BINNINGS
from ...ops.corruptions import moves, severities
from .result import Reliability

METHODS = (
    "none",
    "temperature",
    "binwise",
    "binwise-augmented",
    "histogram",
    "isotonic",
    "base-rates",
)
TEMPERATURES = np.geomspace(0.2, 10, 25)
TEMPERATURE = Real(
    above=0,
    why="logits are divided by it; leave it out to have it fitted",
    slider=(10**-0.7, 10, 0.005),
    log=True,
)
MANY = "15 is usual; many bins need many images"
LEVELS = (0.9, 0.95, 0.99)

NEAR = 1_000_000
"""Numbers that stay in a processor's cache, or near it."""


def _most(subject: Subject) -> int:
    """Return how many images there are to fit on, if no other calibration set is given."""
    return max(1, len(subject) // 2) if subject.validation is None else len(subject.validation)


def _fewer(subject: Subject) -> tuple[int, ...]:
    most = _most(subject)
    return (*(n for n in (50, 100, 200, 300, 500, 1000) if n < most), most)


def _corruptions(subject: Subject) -> tuple[str, ...]:
    """Return those that there are images for."""
    return ("clean",) if subject.network.recorded else severities.names()


FEWER = Whole(1, 10**9, "None fits on all", stops=_fewer)


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: everything, since only its answers are asked for."""
    return Allowed()


@analysis
def reliability(
    subject: Subject,
    *,
    calibration_set: Annotated[Subject | None, Auto(AnotherSubject())] = None,
    method: Annotated[str, Choice(METHODS)] = "none",
    temperature: Annotated[float | None, Auto(TEMPERATURE)] = None,
    bins: Annotated[int, Whole(1, 100, MANY, slider=(3, 50))] = 15,
    binning: Annotated[str, Choice(BINNINGS)] = "width",
    label: Annotated[str | int, ClassOf(("top", "all"))] = "top",
    calibration_bins: Annotated[int, Whole(1, 100, MANY, slider=(2, 50))] = 10,
    calibration_images: Annotated[int | None, Auto(FEWER)] = None,
    corruption: Annotated[str, Choice(severities.names(), offers=_corruptions)] = "clean",
    interval: Annotated[float, Real(above=0, below=1, why="0.95 is usual", stops=LEVELS)] = 0.95,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Reliability:
    """Compare confidence with accuracy before and after a calibration fitted on other images.

    Parameters
    ----------
    subject : Subject
        Whose logits are examined; each image is passed through the network once, ever.
    calibration_set : Subject, optional
        The images a calibration is fitted on, by the answers of ``subject``'s network to them. By
        default ``subject.validation``; where there is none, half of the images, drawn by ``seed``,
        are fitted on and the other half is reported.
    method : str
        ``"none"``; ``"temperature"`` (one temperature for all); ``"binwise"`` (one for each bin of
        confidence); ``"binwise-augmented"`` (the same, fitted on the images with their mirrored and
        shifted copies); ``"histogram"`` and ``"isotonic"`` (one class against the rest);
        ``"base-rates"`` (always answers with the class frequencies: calibrated and useless).
    temperature : float, optional
        For ``method="temperature"``: this one instead of a fitted one.
    bins : int
        Number of confidence bins of the diagram and of the ECE, 1 to 100.
    binning : str
        ``"width"`` (bins equally wide) or ``"mass"`` (bins holding equally many images).
    label : str or int
        ``"top"`` (confidence of the answer), ``"all"`` (class-wise, every class against the rest),
        or one class by its name or index.
    calibration_bins : int
        Number of bins of the methods that have bins.
    calibration_images : int, optional
        Fit on that many images of the calibration set, drawn by ``seed``; by default on all.
    corruption : str
        ``"clean"``, or a corruption of the reported images with its severity, such as
        ``"noise 3"``; the calibration is still fitted on clean images.
    interval : float
        Level of the intervals, such as 0.95.
    seed : int
        Of the split, the drawn images, the bootstrap and the noise.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts images.

    Returns
    -------
    Reliability
        Numbers of the images that were not fitted on.

    Raises
    ------
    ValueError, TypeError
        There is no Subject; a knob has a value it cannot have; images would be fitted on and
        reported at once.

    Notes
    -----
    Temperature scaling and the usual 15 bins: Guo et al. 2017, arXiv 1706.04599. Bin-wise
    temperatures: Ji et al. 2019, arXiv 1908.11528. Histogram binning and isotonic regression:
    Zadrozny and Elkan 2002. Class-wise ECE: Kull et al. 2019. Smooth ECE: Blasiok and Nakkiran
    2023, arXiv 2309.12236.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> result = rw.reliability(rw.demo("resnet20")[:200], method="temperature")
    >>> result.summary().index.tolist()
    ['accuracy', 'ece', 'mce', 'ace', 'smece', 'nll', 'brier', 'confidence']
    """
    if temperature is not None and method != "temperature":
        seen = f"got method={method!r}"
        fix = "Leave one of the two out"
        raise ValueError(problem("a temperature goes with method='temperature' only", seen, fix))
    needs_fit = method != "none" and temperature is None
    if calibration_set is not None and not subject.network.recorded:
        check_apart(calibration_set.images, subject.images, "calibration_set")
    elif calibration_set is None and needs_fit:
        calibration_set = subject.validation
    split = _split(subject, calibration_set, needs_fit, calibration_images, seed)
    copies = (None, *moves.FLIP_AND_SHIFTS) if method == "binwise-augmented" else (None,)
    passes = [(split.fit, transform) for transform in copies] if needs_fit else []
    with ticking(progress) as tick:
        *fitted, reported = _evaluate(
            [*passes, (subject, severities.corruption(corruption, seed))], executor, tick
        )
    logits = reported[split.reported].astype(np.float64)
    labels = subject.labels.numpy()[split.reported]

    calibrator: calibrators.Calibrator = calibrators.Uncalibrated()
    ece_fit = float("nan")
    if needs_fit:
        fit_logits = [array[split.fitted].astype(np.float64) for array in fitted]
        fit_labels = split.fit.labels.numpy()[split.fitted]
        calibrator = _fit(method, fit_logits, fit_labels, calibration_bins)
        ece_fit = _ece(calibrator(fit_logits[0]), fit_labels, label, bins, binning)
    elif temperature is not None:
        calibrator = calibrators.Temperature(temperature)

    # One after the other: of a million images, each table is a large part of the memory.
    (curve_nll, curve_ece), before = _unrepaired(logits, labels, label, bins, binning)
    calibrated = calibrator(logits)
    after = _Side(calibrated, labels, label, bins, binning)
    low, high = metrics.bootstrap(
        calibrated, labels, label, bins=bins, binning=binning, interval=interval, seed=seed
    )
    points = len(after.confidence) // len(labels)
    return Reliability(
        classes=subject.classes,
        n=len(labels),
        n_fitted=len(split.fitted),
        split=split.words,
        before=before.binned(interval),
        after=after.binned(interval),
        metrics_before=before.metrics,
        metrics_after=after.metrics,
        metrics_low=low,
        metrics_high=high,
        ece_floor=metrics.ece_floor(calibrated, label, bins=bins, binning=binning, seed=seed),
        ece_fit=ece_fit,
        calibrator=calibrator,
        image=np.repeat(split.reported, points),
        truth=np.repeat(labels, points),
        answer=np.repeat(calibrated.argmax(1), points),
        confidence=after.confidence,
        hit=after.hit,
        curve_temperature=TEMPERATURES,
        curve_nll=curve_nll,
        curve_ece=curve_ece,
    )


class _Split(NamedTuple):
    """Where a calibration is fitted and what is reported: subjects and indices into them."""

    fit: Subject
    fitted: np.ndarray
    reported: np.ndarray
    words: str


def _split(
    subject: Subject, given: Subject | None, needs_fit: bool, most: int | None, seed: int
) -> _Split:
    everything = np.arange(len(subject))
    available = _most(subject) if given is None else len(given)
    if most is not None and most > available:
        fix = "Ask for at most as many, or leave calibration_images out to use all"
        seen = f"got {most:,}, there are {available:,} images to fit on"
        raise ValueError(problem("calibration_images is more than there are", seen, fix))
    if not needs_fit:
        words = f"{counted(len(subject))}, nothing fitted"
        return _Split(subject, everything[:0], everything, words)
    if given is not None:
        # What is fitted is fitted on the answers of the subject's own network.
        given = given.on(subject.network)
        fitted, reported = np.random.default_rng(seed).permutation(len(given)), everything
        where = "others"
    else:
        given = subject
        fitted, reported, where = halves(subject, seed)
    fitted = fitted[:most]
    words = f"{counted(len(reported))}, fitted on {len(fitted):,} {where}"
    return _Split(given, np.sort(fitted), reported, words)


def _evaluate(
    passes: list[tuple[Subject, Any]], executor: Any, tick: Callable[[int, int], None]
) -> list[np.ndarray]:
    total = sum(len(subject) for subject, _ in passes)
    logits, before = [], 0
    for subject, transform in passes:
        start = before

        def watch(done: int, _: int, start: int = start) -> None:
            tick(start + done, total)

        evaluated = subject.evaluate(transform, executor=executor, progress=watch)
        logits.append(evaluated.numpy())
        before += len(subject)
    return logits


def _fit(
    method: str, logits: list[np.ndarray], labels: np.ndarray, bins: int
) -> calibrators.Calibrator:
    if method == "temperature":
        return calibrators.fit_temperature(logits[0], labels)
    if method == "histogram":
        return calibrators.fit_histogram(logits[0], labels, bins=bins)
    if method == "isotonic":
        return calibrators.fit_isotonic(logits[0], labels)
    if method == "base-rates":
        return calibrators.fit_base_rates(logits[0], labels)
    # Bin-wise: an image and its copies are never divided, they are all fitted on.
    return calibrators.fit_binwise(np.concatenate(logits), np.tile(labels, len(logits)), bins=bins)


class _Side:
    """One of the two diagrams, before or after."""

    def __init__(
        self,
        probabilities: np.ndarray,
        labels: np.ndarray,
        which: str | int,
        bins: int,
        binning: str,
    ) -> None:
        self.confidence, self.hit = metrics.pairs(probabilities, labels, which)
        self.edges = cut.edges(self.confidence, bins, binning)
        self.metrics = metrics.measure(probabilities, labels, which, bins=bins, binning=binning)

    def binned(self, interval: float) -> cut.Bins:
        return cut.binned(self.confidence, self.hit, self.edges, interval)


_Unrepaired: TypeAlias = tuple[tuple[np.ndarray, np.ndarray], _Side]
_KNOWN, _LOCK = Recent(2), threading.Lock()


def _unrepaired(
    logits: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> _Unrepaired:
    """Return the curve over temperatures and the diagram before, which no repair changes.

    Of few images they are remembered: whoever drags T asks for them again and again.
    """
    asked = which, bins, binning
    if logits.size > NEAR:
        return _anew(logits, labels, *asked)
    key = (blake2b(logits.tobytes()).digest(), labels.tobytes(), *asked)
    with _LOCK:
        known: _Unrepaired | None = _KNOWN.get(key)
    if known is None:
        known = _anew(logits, labels, *asked)
        with _LOCK:
            _KNOWN[key] = known
    return known


def _anew(
    logits: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> _Unrepaired:
    curve = _curve(logits, labels, which, bins, binning)
    return curve, _Side(metrics.softmax(logits), labels, which, bins, binning)


def _ece(
    probabilities: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> float:
    columns = [
        array.reshape(len(labels), -1).T for array in metrics.pairs(probabilities, labels, which)
    ]
    errors = [
        metrics.ece(confidence, hit, cut.edges(confidence, bins, binning))
        for confidence, hit in zip(*columns, strict=True)
    ]
    return float(np.mean(errors))


def _curve(
    logits: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> tuple[np.ndarray, np.ndarray]:
    # A slider waits for this: classes come first, because sums over the first axis are quick.
    shifted = np.ascontiguousarray((logits - logits.max(axis=1, keepdims=True)).T)
    true = shifted[labels, np.arange(len(labels))]
    hit = logits.argmax(axis=1) == labels if which == "top" else labels == which
    losses, errors = [], []
    for temperature in TEMPERATURES:
        total, one = np.empty(len(labels)), np.empty(len(labels))
        for some in _parts(shifted):
            weights = shifted[:, some] / temperature
            np.exp(weights, out=weights)
            weights.sum(axis=0, out=total[some])
            one[some] = weights[which] if isinstance(which, int) else 1  # of the answer
        confidence = one / total
        loss = np.mean(np.log(total) - true / temperature)
        if which == "all":
            probabilities = np.exp(shifted / temperature)
            probabilities /= total
            error = _ece(probabilities.T, labels, which, bins, binning)
        else:
            error = metrics.ece(confidence, hit, cut.edges(confidence, bins, binning))
        if isinstance(which, int):
            rest = np.stack([1 - confidence, confidence], axis=1)
            loss = metrics.nll(rest, hit.astype(int))
        losses.append(loss)
        errors.append(error)
    return np.array(losses), np.array(errors)


def _parts(table: np.ndarray) -> Iterator[slice]:
    """Columns that a processor can hold close by."""
    most = max(1, NEAR // len(table))
    return (slice(begin, begin + most) for begin in range(0, table.shape[1], most))
