"""How a reliability diagram is computed: fit a repair on some images, report on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...engine import Progress, ticking
from ...ops import calibration, calibrators, shifts
from ...ops.calls import call
from ...subject import Subject, check_subject
from ...validation import check_apart
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
MOST_BINS = 100
TEMPERATURES = np.geomspace(0.2, 10, 25)


def reliability(
    subject: Subject,
    *,
    fit: Subject | None = None,
    method: str = "none",
    temperature: float | None = None,
    bins: int = 15,
    binning: str = "width",
    label: str | int = "top",
    calibration_bins: int = 10,
    fit_images: int | None = None,
    shift: str = "clean",
    interval: float = 0.95,
    seed: int = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Reliability:
    """Compare confidence with accuracy before and after a repair fitted on other images.

    Parameters
    ----------
    subject : Subject
        Whose logits are examined; each image is passed through the network once, ever.
    fit : Subject, optional
        The images a repair is fitted on. By default ``subject.validation``; where there is none,
        half of the images, drawn by ``seed``, are fitted on and the other half is reported.
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
    fit_images : int, optional
        Fit on that many of the images to fit on, drawn by ``seed``; by default on all.
    shift : str
        ``"clean"``, or a corruption of the reported images with its severity, such as
        ``"noise 3"``; the repair is still fitted on clean images.
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
    check_subject(subject)
    if fit is not None:
        check_subject(fit, "fit")
    _check(method, temperature, bins, binning, calibration_bins, fit_images, interval)
    which = _label(subject, label)
    corruption = shifts.shift(shift, seed)
    needs_fit = method != "none" and temperature is None
    if needs_fit and fit is None and subject.validation is not None:
        fit = subject.validation
    elif fit is not None:
        check_apart(fit.images, subject.images, "fit")
    other = fit is not None and fit is not subject.validation
    source = call(
        "reliability",
        subject,
        ({"fit": fit} if other else {})
        | {
            "method": method,
            "temperature": temperature,
            "bins": bins,
            "binning": binning,
            "label": label,
            "calibration_bins": calibration_bins,
            "fit_images": fit_images,
            "shift": shift,
            "interval": interval,
            "seed": seed,
        },
    )

    split = _split(subject, fit, needs_fit, fit_images, seed)
    copies = (None, *shifts.FLIP_AND_SHIFTS) if method == "binwise-augmented" else (None,)
    passes = [(split.fit, transform) for transform in copies] if needs_fit else []
    with ticking(progress) as tick:
        *fitted, reported = _evaluate([*passes, (subject, corruption)], executor, tick)
    logits = reported[split.reported]
    labels = subject.labels.numpy()[split.reported]

    calibrator: calibrators.Calibrator = calibrators.Uncalibrated()
    ece_fit = float("nan")
    if needs_fit:
        fit_logits = [array[split.fitted] for array in fitted]
        fit_labels = split.fit.labels.numpy()[split.fitted]
        calibrator = _fit(method, fit_logits, fit_labels, calibration_bins)
        ece_fit = _ece(calibrator(fit_logits[0]), fit_labels, which, bins, binning)
    elif temperature is not None:
        calibrator = calibrators.Temperature(float(temperature))

    raw, repaired = calibration.softmax(logits), calibrator(logits)
    before, after = (_Side(p, labels, which, bins, binning) for p in (raw, repaired))
    low, high = calibration.bootstrap(
        repaired, labels, which, bins=bins, binning=binning, interval=interval, seed=seed
    )
    curve_nll, curve_ece = _curve(logits, labels, which, bins, binning)
    points = len(after.confidence) // len(labels)
    return Reliability(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        source=source,
        classes=subject.classes,
        method=method,
        bins=bins,
        binning=binning,
        label=label if label in ("top", "all") else subject.classes[int(which)],
        shift=shift,
        interval=interval,
        n=len(labels),
        split=split.words,
        before=before.binned(interval),
        after=after.binned(interval),
        metrics_before=before.metrics,
        metrics_after=after.metrics,
        metrics_low=low,
        metrics_high=high,
        ece_floor=calibration.ece_floor(repaired, which, bins=bins, binning=binning, seed=seed),
        ece_fit=ece_fit,
        calibrator=calibrator,
        image=np.repeat(split.reported, points),
        truth=np.repeat(labels, points),
        answer=np.repeat(repaired.argmax(1), points),
        confidence=after.confidence,
        hit=after.hit,
        curve_temperature=TEMPERATURES,
        curve_nll=curve_nll,
        curve_ece=curve_ece,
    )


def _check(
    method: str,
    temperature: float | None,
    bins: int,
    binning: str,
    calibration_bins: int,
    fit_images: int | None,
    interval: float,
) -> None:
    for name, value, known in (
        ("method", method, METHODS),
        ("binning", binning, calibration.BINNINGS),
    ):
        if value not in known:
            raise ValueError(
                f"there is no {name} {value!r}. Choose one of {', '.join(map(repr, known))}."
            )
    for name, count in (("bins", bins), ("calibration_bins", calibration_bins)):
        if not (isinstance(count, int | np.integer) and 1 <= count <= MOST_BINS):
            raise ValueError(
                f"{name} must be a whole number from 1 to {MOST_BINS}, got {count!r}. "
                f"15 is usual; many bins need many images."
            )
    if temperature is not None and method != "temperature":
        raise ValueError(
            f"a temperature goes with method='temperature' only, got method={method!r}. "
            "Leave one of the two out."
        )
    if temperature is not None and not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"temperature must be greater than 0, got {temperature!r}: logits are divided by it. "
            "Leave it out to have it fitted."
        )
    if fit_images is not None and fit_images < 1:
        raise ValueError(f"fit_images must be at least 1, got {fit_images!r}; None fits on all.")
    if not 0 < interval < 1:
        raise ValueError(f"interval must lie between 0 and 1, got {interval!r}; 0.95 is usual.")


def _label(subject: Subject, label: str | int) -> str | int:
    classes = subject.classes
    if label in ("top", "all"):
        return label
    if isinstance(label, int | np.integer) and 0 <= label < len(classes):
        return int(label)
    if label in classes:
        return classes.index(str(label))
    raise ValueError(
        f"there is no label {label!r} in {subject.name}. Choose 'top', 'all', one of "
        f"{', '.join(map(repr, classes))}, or an index from 0 to {len(classes) - 1}."
    )


class _Split(NamedTuple):
    """Where a repair is fitted and what is reported: a subject and indices into it, for each."""

    fit: Subject
    fitted: np.ndarray
    reported: np.ndarray
    words: str


def _split(
    subject: Subject, fit: Subject | None, needs_fit: bool, fit_images: int | None, seed: int
) -> _Split:
    everything = np.arange(len(subject))
    if not needs_fit:
        words = f"all {len(subject):,} reported, nothing fitted"
        return _Split(subject, everything[:0], everything, words)
    generator = np.random.default_rng(seed)
    if fit is not None:
        fitted, reported = generator.permutation(len(fit)), everything
        where = "others"
    else:
        if len(subject) < 2:
            raise ValueError(
                f"{subject.name} has {len(subject)} image: a repair needs one to be fitted on and "
                "another to be reported. Give more images, or `fit` another Subject."
            )
        order = generator.permutation(len(subject))
        half = len(order) // 2
        fit, fitted, reported = subject, order[:half], np.sort(order[half:])
        where = f"of the other half (split by seed {seed})"
    if fit_images is not None and fit_images > len(fitted):
        raise ValueError(
            f"fit_images is {fit_images:,}, but there are {len(fitted):,} images to fit on. Ask "
            "for at most as many, or leave fit_images out to use all."
        )
    fitted = fitted[:fit_images]
    words = f"{len(reported):,} reported, fitted on {len(fitted):,} {where}"
    return _Split(fit, np.sort(fitted), reported, words)


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
        logits.append(evaluated.numpy().astype(np.float64))
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
        self.confidence, self.hit = calibration.pairs(probabilities, labels, which)
        self.edges = calibration.edges(self.confidence, bins, binning)
        self.metrics = calibration.measure(probabilities, labels, which, bins=bins, binning=binning)

    def binned(self, interval: float) -> calibration.Bins:
        return calibration.binned(self.confidence, self.hit, self.edges, interval)


def _ece(
    probabilities: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> float:
    columns = [
        array.reshape(len(labels), -1).T
        for array in calibration.pairs(probabilities, labels, which)
    ]
    errors = [
        calibration.ece(confidence, hit, calibration.edges(confidence, bins, binning))
        for confidence, hit in zip(*columns, strict=True)
    ]
    return float(np.mean(errors))


def _curve(
    logits: np.ndarray, labels: np.ndarray, which: str | int, bins: int, binning: str
) -> tuple[np.ndarray, np.ndarray]:
    # A slider waits for this: classes come first, because sums over the first axis are quick.
    shifted = np.ascontiguousarray((logits - logits.max(axis=1, keepdims=True)).T)
    true = shifted[labels, np.arange(len(labels))]
    losses, errors = [], []
    for temperature in TEMPERATURES:
        weights = np.exp(shifted / temperature)
        total = weights.sum(axis=0)
        probabilities = (weights / total).T
        if isinstance(which, int):
            one = probabilities[:, which]
            rest = np.stack([1 - one, one], axis=1)
            losses.append(calibration.nll(rest, (labels == which).astype(int)))
        else:
            losses.append(np.mean(np.log(total) - true / temperature))
        errors.append(_ece(probabilities, labels, which, bins, binning))
    return np.array(losses), np.array(errors)
