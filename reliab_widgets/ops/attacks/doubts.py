"""What an attack's own run tells, at no cost, of a network that hides: one sentence for its result.

A whole verdict needs several attacks, as `reliab_widgets.robustness` makes them. One attack sees
less: slopes of zero, a loss that drowns, and of a network that draws whether another draw answers
alike. Athalye et al. 2018, arXiv 1802.00420.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.randomness import drawing
from .attack import Attack, Attacked
from .objective import is_saturated
from .verdict import verdict

if TYPE_CHECKING:
    from .adversary import Adversary

ANOTHER = 2**20
"""A draw that no attack makes, in which a network that draws is asked again."""
USED = {
    "auto": "its logarithm was climbed instead",
    "margin": "the margin was climbed instead",
    "cross-entropy": 'it was climbed all the same: loss="auto" climbs its logarithm',
}
"""What became of a loss that drowns, by the loss that was asked for."""


def glimpse(opponent: Adversary, positions: Sequence[int], found: Attacked) -> np.ndarray:
    """Tell what an attack saw of each image, (4, n) bool, for `doubt`.

    Parameters
    ----------
    opponent : Adversary
        Who attacked.
    positions : sequence of int
        Which images.
    found : Attacked
        What came of it.

    Returns
    -------
    numpy.ndarray
        By rows: whether the answer was wrong before, every slope exactly zero, the cross-entropy
        that is climbed exactly zero, and the attack undone by another draw.
    """
    labels, before = opponent.labels(positions), found.trajectory[0]
    wrong = before.argmax(1) != labels
    drowned = torch.zeros_like(wrong)
    if opponent.attack.climbed in USED and opponent.attack.target == "any":
        drowned = is_saturated(before, labels)
    undone = found.success & ~again(opponent, positions, found)
    return torch.stack([wrong, found.blind, drowned, undone & ~wrong]).cpu().numpy()


def again(opponent: Adversary, positions: Sequence[int], found: Attacked) -> torch.Tensor:
    """Tell where an attack succeeds in another draw, too, of what it was made for; (n,) bool."""
    if not opponent.draws:
        return found.success
    with torch.no_grad(), drawing(ANOTHER):
        answers = opponent.seen(found.images).argmax(1)
    if opponent.attack.target == "any":
        return answers != opponent.labels(positions)
    return answers == found.trajectory[-1].argmax(1)


def doubt(
    attack: Attack,
    glimpsed: np.ndarray,
    broken: Mapping[str, Any] | None = None,
) -> str:
    """Say in a sentence what speaks for a network that hides, or nothing.

    Parameters
    ----------
    attack : Attack
        How it was attacked.
    glimpsed : numpy.ndarray
        (4, n) bool, from `glimpse`.
    broken : mapping, optional
        What else is known, as `verdict` takes it.

    Examples
    --------
    >>> seen = np.zeros((4, 16), bool)
    >>> doubt(Attack("bim"), seen)
    ''
    >>> seen[2] = True
    >>> told, used = doubt(Attack("bim"), seen).split("; ")
    >>> told
    'hidden: the cross-entropy of 16 of 16 images is exactly 0, and so is its slope'
    >>> used
    'its logarithm was climbed instead'
    """
    wrong, blind, drowned, undone = glimpsed
    found = verdict({"clean": wrong, **(broken or {})}, blind, drowned, undone)
    if not found.hidden:
        return ""
    fired = {test.name for test in found.tests if test.fired}
    used = f"; {USED[attack.climbed]}" * ("the cross-entropy drowns" in fired)
    return f"{found}{used}"
