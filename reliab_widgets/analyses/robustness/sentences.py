"""What a robustness analysis says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import counted, grey_levels, percent, signed
from ...ops.attacks.verdict import Finding

if TYPE_CHECKING:
    from .result import Robustness


def size(result: Robustness, place: int) -> str:
    """Write a size: in grey levels, or as a length.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> size(SimpleNamespace(epsilons=[0, 4 / 255], norm="Linf"), 1)
    '4/255'
    """
    return grey_levels(float(result.epsilons[place]), result.norm)


def found(result: Robustness, place: int) -> str:
    """Say what is proved, unknown and broken at a size, and what noise of that size does."""
    worst, noise = result.accuracy(), result.accuracy("noise")
    here, before = size(result, place), percent(worst[0], 0)
    control = f"Control: random noise of the same size leaves {percent(noise[place], 0)} right"
    who = f"{counted(result.n)}; broken is a lower bound"
    if not place:
        return f"Without any change {before} of the predictions are right ({who})."
    if np.isnan(worst[place]):
        return f"Changes of {here} come next. Without any change {before} are right ({who})."
    by = f"the strongest of {len(result.attacks)} attacks" * (len(result.attacks) > 1)
    by = by or result.attacks[0]
    told = f"With changes of at most {here} {by} leaves {percent(worst[place], 0)} of the "
    told += f"predictions right, of {before} without any. "
    return f"{told}{control} ({who}). {result.verdict}"


def against(result: Robustness, pinned: Robustness, place: int) -> str:
    """Say how much more, or less, is left right at a size than with another network."""
    epsilon = float(result.epsilons[place])
    there = pinned.at(epsilon)
    if result.norm != pinned.norm or not np.isclose(pinned.epsilons[there], epsilon):
        return f"{result.versus(pinned)}: it was not tried at {size(result, place)}."
    mine, its = result.accuracy()[place], pinned.accuracy()[there]
    points = signed((mine - its) * 100, 0)
    words = f"{percent(mine, 0)} instead of {percent(its, 0)} right at {size(result, place)}"
    start = f"{percent(result.accuracy()[0], 0)} instead of {percent(pinned.accuracy()[0], 0)}"
    return f"{result.versus(pinned)}: {words} ({points} points), {start} without any change."


def of_size(result: Robustness, place: int) -> str:
    """Say of each attack what it leaves right at a size."""
    known = {name: result.accuracy(name)[place] for name in (*result.attacks, "noise")}
    told = [f"{name} {percent(share, 0)}" for name, share in known.items() if np.isfinite(share)]
    return f"{size(result, place)}, right after: {', '.join(told)}"


ASSURED = {
    "gradients are zero": "gradients are not zero",
    "one step is better than several": "several steps beat one",
    "a random start is needed": "no random start is needed",
    "the margin is better than the cross-entropy": "the margin loss is no stronger",
    "more steps or restarts still help": "more steps add little",
    "the black box is better than the gradient": "a black box is no better",
    "noise is as good as the attack": "noise breaks less",
    "epsilon 1 does not break all": "without a bound all break",
}
"""What a test of the verdict assures where it does not fire."""


def assured(test: Finding) -> str:
    """Say what a test of the verdict found, in a few words.

    Examples
    --------
    >>> assured(Finding("gradients are zero", False, 0, 0, 64, 1.0))
    'gradients are not zero'
    """
    return test.name if test.fired else ASSURED[test.name]


def judged(result: Robustness) -> str:
    """Say of how many images the verdict is, or why there is none."""
    found = result.verdict
    if not found.names:
        return str(found)
    return f"of the {found.n} that are right, at all sizes together"
