"""A Subject whose network has lost filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from ...core.analysis import arguments, checked
from ...core.knobs import Auto, Choice, Real, Seed, Several, Text, Whole
from ...core.selection import halves
from ...core.subject import Subject
from ...core.wording import percent
from .importance import CRITERIA, importance
from .removal import SCOPES, free, remove
from .structure import cut, structure

RANKED = 500
"""On how many images filters are ranked."""
_LEVEL = Real(least=0, below=1, why="the part that goes", slider=(0.05, 0.95, 0.05))


@checked
def pruned(
    subject: Subject,
    level: Annotated[float, _LEVEL],
    *,
    criterion: Annotated[str, Choice(tuple(CRITERIA))] = "taylor",
    scope: Annotated[str, Choice(SCOPES)] = "filters",
    protect: Annotated[Sequence[str], Several(Text())] = (),
    calibration_images: Annotated[int | None, Auto(Whole(1, 10**9, "50 make one batch"))] = None,
    seed: Seed = 0,
) -> Subject:
    """Cut filters out of the network: the result is one more Subject, for every other analysis.

    It is the network that `reliab_widgets.pruning` has at that level, without the measurements.

    Parameters
    ----------
    subject : Subject
        Whose network loses filters, in a copy.
    level : float
        The part that goes, in [0, 1).
    criterion : str
        What goes first: ``"taylor"``, ``"taylor-fg"``, ``"taylor-so"``, ``"weight"``,
        ``"bn-scale"`` or, as a control, ``"random"``.
    scope : str
        Parts of what: ``"filters"``, or ``"flops"`` (multiply-adds).
    protect : sequence of str
        Layers that keep all their filters, ``"first"`` and ``"last"`` among them.
    calibration_images : int, optional
        How many images filters are ranked on, of ``subject.validation`` or, where there is none, of
        one half of the images. By default 500, or all where there are fewer.
    seed : int
        Of the drawn images and of random removal.

    Returns
    -------
    Subject
        The same images under the smaller network.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; no filter can be removed.

    Notes
    -----
    Molchanov et al. 2019, "Importance estimation for neural network pruning", arXiv 1906.10771.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> thin = rw.pruned(rw.demo("resnet20")[:8], 0.1, criterion="weight")
    >>> thin.name
    'resnet20, 10 % pruned'
    """
    found = structure(subject)
    ranked, notes = _ranked(subject, calibration_images, seed)
    scores = importance(ranked, found, criterion, seed=seed)
    smaller = cut(subject, found, remove(found, scores, level, scope, free(found, protect)))
    code = _code(
        subject,
        level=level,
        criterion=criterion,
        scope=scope,
        protect=protect,
        calibration_images=calibration_images,
        seed=seed,
    )
    name = f"{subject.name}, {percent(level, 0)} pruned"
    if criterion == "random":
        name += " at random"
    return smaller.replaced(name=name, code=code, notes=(*subject.notes, *notes))


def _ranked(subject: Subject, most: int | None, seed: int) -> tuple[Subject, tuple[str, ...]]:
    """Return the images that filters are ranked on, and what must be known of them."""
    images = subject.validation
    notes: tuple[str, ...] = ()
    if images is None:
        chosen, _, words = halves(subject, seed)
        images = subject[np.sort(chosen)]
        notes = (f"filters were ranked on images {words}: results on these images flatter it",)
    count = Whole(1, len(images), "there are no more").check(
        "calibration_images", min(RANKED, len(images)) if most is None else most, None
    )
    few = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    return images[few].on(subject.network), notes


def _code(subject: Subject, **values: Any) -> str:
    knobs = pruned.knobs  # type: ignore[attr-defined]
    usual = {name: knob.default for name, knob in knobs.items()}
    told = {name: value for name, value in values.items() if value != usual[name]}
    return f"rw.pruned({', '.join([subject.code, *arguments(subject, knobs, told)])})"
