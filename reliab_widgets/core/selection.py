"""Which images are examined, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .knobs import positions
from .readings import NonFinite, nonfinite
from .subject import Subject
from .validation import pictures
from .wording import counted, problem

TOGETHER = 8  # images: more would be up to a fifth quicker, but Cancel comes between batches
MOST_BYTES = 60e6  # of features in a batch: large images go by ones


def choose(
    subject: Subject,
    images: int | Sequence[int],
    *,
    correct_only: bool = False,
    target: str | int = "any",
    seed: int,
) -> np.ndarray:
    """Choose the images to examine.

    Parameters
    ----------
    subject : Subject
        Of whose images.
    images : int or sequence of int
        At most how many, drawn by ``seed``; or which, by their positions.
    correct_only : bool
        Only those that the network classifies correctly.
    target : str or int
        Images of the class that an attack leads to are left out: they are there already.
    seed : int
        Of the draw.

    Returns
    -------
    numpy.ndarray
        (n,) positions, sorted if drawn.

    Raises
    ------
    ValueError
        None is left.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> choose(rw.demo("resnet20"), [3, 7], seed=0)
    array([3, 7])
    """
    drawn = isinstance(images, int | np.integer)
    if isinstance(images, int | np.integer):
        order, most = np.random.default_rng(seed).permutation(len(subject)), int(images)
    else:
        order, most = np.array(positions("images", images, len(subject))), len(subject)
    if isinstance(target, int):
        order = order[subject.labels.numpy()[order] != target]
        if not len(order):
            seen = f"all of them are of the class {subject.classes[target]}"
            fix = "Choose another target= or other images="
            raise ValueError(problem("no image is left to attack", seen, fix))
    if not correct_only:
        chosen = order[:most]
    else:
        chosen = order[:0]
        for start in range(0, len(order), most):  # no more passes than needed
            some = order[start : start + most]
            with naming(image=(subject[some], some)):
                answers = subject.predict(subject.images[some]).argmax(1).cpu().numpy()
            chosen = np.append(chosen, some[answers == subject.labels.numpy()[some]])[:most]
            if len(chosen) == most:
                break
        if not len(chosen):
            seen = f"all {len(order):,} are misclassified before any attack"
            fix = "Pass correct_only=False, or other images="
            raise ValueError(problem("no image is left to attack", seen, fix))
    return np.sort(chosen) if drawn else chosen


def halves(subject: Subject, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Divide the images of a Subject: one half to fit on, another to report on.

    A picture that is there more than once stays on one side.

    Parameters
    ----------
    subject : Subject
        Without a validation split.
    seed : int
        Of the draw.

    Returns
    -------
    fitted, reported : numpy.ndarray
        Positions, the former as they were drawn, the latter sorted.
    words : str
        How they were divided.

    Raises
    ------
    ValueError
        There are not two different pictures.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> [len(half) for half in halves(rw.demo("resnet20")[:9], seed=0)[:2]]
    [4, 5]
    """
    order = np.random.default_rng(seed).permutation(len(subject))
    # Of recorded logits nobody knows which belong to the same picture.
    names: Sequence[Any] = range(len(order))
    if not subject.network.recorded:
        names = pictures(subject.images)
    copies: dict[Any, list[int]] = {}
    for position in order:
        copies.setdefault(names[position], []).append(position)
    if len(copies) < 2:
        seen = f"{subject.name} has {len(subject)}"
        seen += " copies of one" * (len(subject) > 1)
        fix = "Pass other images as calibration_set=, or give the Subject more"
        raise ValueError(
            problem("two pictures are needed, one to fit on and one to report on", seen, fix)
        )
    fitted: list[int] = []
    for same in list(copies.values())[:-1]:
        if len(fitted) + len(same) <= max(len(order) // 2, len(same) * (not fitted)):
            fitted += same
    words = f"of the other half (split by seed {seed})"
    repeated = sum(len(same) > 1 for same in copies.values())
    if repeated:
        one = repeated == 1
        words += f"; {repeated:,} picture{'s' * (not one)} that {'is' if one else 'are'} there "
        words += "more than once stayed on one side"
    reported = np.setdiff1d(order, fitted)
    return np.array(fitted), reported, words


@contextmanager
def naming(**examined: tuple[Subject, Sequence[int] | np.ndarray]) -> Iterator[None]:
    """Say which image it was, where a network gives NaN or infinity inside the block.

    Parameters
    ----------
    **examined
        For each word, such as ``image=``: a Subject, and the numbers its images go by.

    Raises
    ------
    NonFinite
        Instead of the one that knows only the row of a batch.
    """
    try:
        yield
    except NonFinite:
        for word, (subject, numbers) in examined.items():
            # Only now: asking before the work about what is asked anyway would take time.
            answers = subject.network.infer(subject.images, checked=False)
            rows = (~answers.isfinite().all(1)).nonzero().flatten().tolist()
            if rows:
                broken = tuple(int(numbers[row]) for row in rows)
                told = nonfinite(broken, counted(len(subject)), word.replace("_", " "))
                raise NonFinite(told, broken) from None
        fix = "Attack or change the images less, or look for the layer by torch.isfinite"
        seen = "for a changed copy of an image, for none as it is"
        told = problem("the model's output holds NaN or infinity", seen, fix)
        raise NonFinite(told, ()) from None


def spans(subject: Subject, positions: np.ndarray) -> list[tuple[int, ...]]:
    """Cut positions into batches, the work items.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> spans(rw.demo("resnet20"), np.arange(10))
    [(0, 1, 2, 3, 4, 5, 6, 7), (8, 9)]
    """
    if subject.device.type == "cpu":
        # Not by the clock: another batch may round otherwise, and results are to be repeatable.
        needed = sum(subject.network.trace(subject.images[:1]).values())
        batch = max(1, min(TOGETHER, int(MOST_BYTES / max(1, needed))))
    else:
        batch = subject.plan.batch
    cuts = range(0, len(positions), batch)
    return [tuple(positions[cut : cut + batch].tolist()) for cut in cuts]
