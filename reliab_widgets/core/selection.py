"""Which images are examined, and in which batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .knobs import positions
from .subject import Subject
from .wording import problem

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
            answers = subject.predict(subject.images[some]).argmax(1).cpu().numpy()
            chosen = np.append(chosen, some[answers == subject.labels.numpy()[some]])[:most]
            if len(chosen) == most:
                break
        if not len(chosen):
            seen = f"all {len(order):,} are misclassified before any attack"
            fix = "Pass correct_only=False, or other images="
            raise ValueError(problem("no image is left to attack", seen, fix))
    return np.sort(chosen) if drawn else chosen


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
        batch = subject.report().batch
    cuts = range(0, len(positions), batch)
    return [tuple(positions[cut : cut + batch].tolist()) for cut in cuts]
