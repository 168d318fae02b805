"""How one pattern for all is found from some images, and measured on others while it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import analysis
from ...core.batching import threads
from ...core.capabilities import Allowed
from ...core.datasets import sample
from ...core.engine import Progress, Tick, stream, ticking
from ...core.knobs import Auto, Choice, ClassOf, Kind, Real, Seed, Whole
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.validation import pictures
from ...core.wording import counted, named, problem, shape
from ...ops.attacks.knobs import ImagesKnob
from ...ops.attacks.universal import grown, length, like, shuffled
from .result import NORMS, Universal

MANY = 256
"""Images that are measured, where nobody says how many; at most half of what there is."""
GROWTH = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""After which part of the way the pattern is measured."""
_SHARE = Real(above=0, most=1, stops=(0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16))


@dataclass(frozen=True)
class Pictures(Kind):
    """Images of somebody else: a Subject, or a data set of (image, label) pairs."""

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return it as it is."""
        known = isinstance(value, Subject)
        known |= hasattr(value, "__getitem__") or isinstance(value, Iterable)
        if not known or isinstance(value, str | bytes | Mapping | Tensor | np.ndarray):
            fix = f"Pass {name}= as a Subject, or as a data set of (image, label) pairs"
            raise TypeError(problem(f"{name} has no images", f"got {named(value)}", fix))
        return value

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return the code that makes it, if it is a Subject."""
        return str(value.code) if isinstance(value, Subject) else name


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: nothing without gradients.

    Raises
    ------
    ValueError
        There are none, or there is no network.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> allowed(rw.demo("resnet20")).refused
    {}
    """
    subject.network.check_gradients()
    return Allowed()


@analysis
def universal(
    subject: Subject,
    *,
    source: Annotated[Any, Auto(Pictures())] = None,
    source_images: Annotated[int, Whole(1, 10**6, stops=(100, 250, 500, 1000, 2000))] = 500,
    target: Annotated[str | int, ClassOf(("any",))] = "any",
    norm: Annotated[str, Choice(NORMS)] = "L2",
    share: Annotated[float, _SHARE] = 0.08,
    epsilon: Annotated[float | None, Auto(Real(above=0, why="in pixel units"))] = None,
    passes: Annotated[int, Whole(1, 100, slider=(1, 5))] = 1,
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
    partial: Callable[[Universal], object] | None = None,
) -> Universal:
    """Find one pattern that changes the answers to images that it was not made from.

    Parameters
    ----------
    subject : Subject
        Whose network is fooled, and on whose images that is measured.
    source : Subject or data set, optional
        Of whose images the pattern is made, of the same size; their labels do not matter. By
        default the subject's own, those that are not measured. A picture that is measured is never
        taken, whoever has it.
    source_images : int
        How many of them, drawn by ``seed``, or all there are.
    target : str or int
        ``"any"`` other answer, or the class, by its name or number, that all are to be led to.
    norm : str
        What bounds the pattern: ``"L2"``, its length over all pixels and channels, or ``"Linf"``,
        each pixel.
    share : float
        The largest norm of the pattern, as a share of the mean norm of the subject's images (over
        all channels, in [0, 1], not centred).
    epsilon : float, optional
        That norm itself, in pixel units, instead of a share.
    passes : int
        How often the pattern goes through the images that it is made from.
    images : int or sequence of int, optional
        How many are measured, drawn by ``seed``; or which, by their positions. By default 256, or
        half of what there is.
    seed : int
        Of the draws, of the order, and of the controls.
    executor, progress, partial : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts images.
        ``partial`` is called with results of which the pattern has not grown to its end.

    Returns
    -------
    Universal
        The pattern, and what was answered to each image while it grew, with and without clipping
        to [0, 1], beside random noise of the same norm and a copy with its pixels shuffled.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; the source has images of another size, or none that is
        not measured; the network blocks gradients.

    Notes
    -----
    Moosavi-Dezfooli et al. 2017, arXiv 1610.08401, with one signed step for each image as Hirano
    and Takemoto 2020, arXiv 1911.06502, take it. ``rw.attack(subject, attack=result)`` puts the
    pattern on images.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")[:48]
    >>> result = rw.universal(subject, source_images=16, images=16)
    >>> result.answers.shape, bool(result.norms[-1] <= result.epsilon)
    ((4, 7, 16), True)
    >>> rw.attack(subject, attack=result).name
    'resnet20, pattern of resnet20'
    """
    network = subject.network
    network.check_gradients()
    wanted = min(MANY, max(1, len(subject) // 2)) if images is None else images
    index = choose(subject, wanted, seed=seed)
    measured = subject[index]
    crafted, notes = _crafted(subject, measured, source, source_images, seed)
    unit = float(torch.tensor([length(it, norm) for it in subject.images]).mean())
    radius = _radius(share, epsilon, unit)
    aim = None if target == "any" else int(target)
    every = passes * len(crafted)
    marks = sorted({int(np.ceil(part * every)) for part in GROWTH})
    total = len(crafted) + every + len(measured) * (1 + len(marks))
    named_by = naming(image=(measured, index), image_of_source=(crafted, np.arange(len(crafted))))
    with named_by, ticking(progress) as tick, threads(subject.plan.threads):
        work = _Work(executor, tick, total)
        clean, before = work.clean(measured), work.clean(crafted)
        growing = grown(
            network.logits,
            crafted.images,
            torch.from_numpy(before).to(network.device),
            norm=norm,
            radius=radius,
            target=aim,
            passes=passes,
            seed=seed,
        )
        seen, norms = [0], [0.0]
        answers = [np.stack([clean] * 4)]
        for step, pattern in enumerate(growing, 1):
            work.add(1)
            if step not in marks:
                continue
            last = pattern.cpu()
            patterns = torch.stack([last, like(last, norm, seed), shuffled(last, seed)]).numpy()
            answers.append(work.changed(Changed(measured, patterns)))
            seen.append(step)
            norms.append(length(last, norm))
            result = Universal(
                classes=subject.classes,
                index=index,
                truth=subject.labels.numpy()[index],
                target=-1 if aim is None else aim,
                unit=unit,
                epsilon=radius,
                origin=subject.name if source is None else named(source),
                used=len(crafted),
                seen=np.array(seen),
                norms=np.array(norms),
                answers=np.stack(answers, axis=1),
                pattern=patterns[0],
                example=(row := _telling(answers)),
                picture=subject.images[int(index[row])].numpy(),
                notes=notes if step < every or norms[-1] else (*notes, _NOTHING),
            )
            if partial is not None and step < every:
                partial(result)
    return result


_NOTHING = (
    "no step of that size changed an answer, so the pattern is 0: pass a larger share= or epsilon="
)


def _radius(share: float, epsilon: float | None, unit: float) -> float:
    """Return the largest norm of the pattern in pixel units."""
    if epsilon is None:
        return share * unit
    if epsilon > unit:
        seen = f"got epsilon={epsilon:g}, the mean norm of the images is {unit:.3g}"
        fix = "Pass a smaller epsilon=, in pixel units, or share= instead"
        raise ValueError(problem("the pattern would be larger than the images", seen, fix))
    return epsilon


def _crafted(
    subject: Subject, measured: Subject, source: Any, most: int, seed: int
) -> tuple[Subject, tuple[str, ...]]:
    """Return the images that the pattern is made of, none of them measured, and what to say."""
    pool = subject if source is None else _pool(subject, source, most + len(measured), seed)
    known = set(pictures(measured.images))
    free = np.array([it not in known for it in pictures(pool.images)])
    rows = np.flatnonzero(free)
    if not len(rows):
        seen = f"all {counted(len(pool))} of {'the subject' if source is None else 'source='}"
        fix = "Pass fewer images=, or a source= with others"
        raise ValueError(
            problem("no image is left to make a pattern of", f"{seen} are measured", fix)
        )
    drawn = np.random.default_rng((seed, 3)).permutation(rows)[:most]
    shared = len(free) - len(rows) - (len(measured) if source is None else 0)
    notes = (f"{counted(shared)} of the source left out: measured too",) if shared > 0 else ()
    return pool[np.sort(drawn)], notes


def _pool(subject: Subject, source: Any, most: int, seed: int) -> Subject:
    """Return the images of a source under the network of a Subject."""
    if isinstance(source, Subject):
        if source.network.recorded:
            fix = "Pass source=rw.Subject(model, images, labels), or a data set"
            raise ValueError(problem("source has no images", "there are only logits", fix))
        pixels = source.images
    else:
        pixels = sample(source, most, seed).images
    if pixels.shape[1:] != subject.images.shape[1:]:
        seen = f"{shape(pixels.shape[1:])} instead of {shape(subject.images.shape[1:])}"
        fix = "Pass source= with images of the subject's size, resized beforehand"
        raise ValueError(problem("images of the source have another size", seen, fix))
    if isinstance(source, Subject):
        return source.on(subject.network)
    return subject.with_images(pixels, np.zeros(len(pixels), np.int64))


def _telling(answers: list[np.ndarray]) -> int:
    """Return the first image of those that show best what the pattern does, and noise does not."""
    clean, (pattern, _, noise, _) = answers[0][0], answers[-1]
    changed, most = pattern != clean, np.bincount(pattern).argmax()
    return int((2 * changed + (changed & (pattern == most)) + (noise == clean)).argmax())


# --- one work item ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Changed:
    """Images, and what is put on them: the pattern, noise of its norm, its pixels shuffled."""

    subject: Subject
    patterns: np.ndarray


def answered(changed: Changed, positions: tuple[int, ...]) -> np.ndarray:
    """Return what is answered to images with patterns on them, (4, n), in the order of KINDS."""
    images = changed.subject.images[list(positions)]
    pattern, noise, other = torch.from_numpy(changed.patterns)
    free = images + pattern
    given = [free.clamp(0, 1), free, (images + noise).clamp(0, 1), (images + other).clamp(0, 1)]
    answers = [changed.subject.network.infer(it).argmax(1).cpu().numpy() for it in given]
    return np.stack(answers)


@dataclass
class _Work:
    """The progress of all that is done."""

    executor: Any
    tick: Tick
    total: int
    done: int = 0

    def add(self, images: int) -> None:
        """Count images."""
        self.done += images
        self.tick(self.done, self.total)

    def clean(self, subject: Subject) -> np.ndarray:
        """Return what is answered to images as they are."""
        begun = self.done

        def tick(done: int, _: int) -> None:
            self.tick(begun + done, self.total)

        logits = subject.evaluate(executor=self.executor, progress=tick)
        self.done += len(subject)
        answers: np.ndarray = logits.argmax(1).numpy()
        return answers

    def changed(self, changed: Changed) -> np.ndarray:
        """Return what is answered to images with patterns on them, (4, n)."""
        items = spans(changed.subject, np.arange(len(changed.subject)))
        parts = []
        with closing(stream(answered, changed, items, executor=self.executor)) as done:  # type: ignore[type-var]
            for item, part in zip(items, done, strict=True):
                parts.append(part)
                self.add(len(item))
        return np.concatenate(parts, axis=1)
