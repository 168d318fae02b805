"""What a universal analysis says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import counted, grey_levels, percent, signed, span

if TYPE_CHECKING:
    from .result import Universal

CALLED = {
    "pattern": "the pattern",
    "unclipped": "without clipping",
    "random": "random noise",
    "shuffled": "its pixels shuffled",
}
"""What is put on the images."""


def size(result: Universal) -> str:
    """Write the norm of the pattern, and its share of that of the images."""
    return f"{norm(result)}, {share(result)} of the images’ mean norm"


def norm(result: Universal) -> str:
    """Write the norm of the pattern.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> norm(SimpleNamespace(norms=[0, 2.34], norm="L2"))
    'L2 norm 2.34'
    >>> norm(SimpleNamespace(norms=[0, 8 / 255], norm="Linf"))
    '8/255 in each pixel'
    """
    reached = float(result.norms[-1])
    if result.norm == "L2":
        return f"L2 norm {reached:.3g}"
    return f"{grey_levels(reached)} in each pixel"


def share(result: Universal) -> str:
    """Write the norm of the pattern as a share of the mean norm of the images."""
    part = float(result.norms[-1]) / result.unit if result.unit else 0.0
    return percent(part, 0 if part >= 0.0995 or round(100 * part, 1).is_integer() else 1)


def aim(result: Universal) -> str:
    """Say what the rate counts.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> aim(SimpleNamespace(target=1, classes=("cat", "dog")))
    'predicted as dog'
    """
    return (
        "predicted otherwise"
        if result.target < 0
        else f"predicted as {result.classes[result.target]}"
    )


def rate(result: Universal, kind: str) -> str:
    """Write the last rate."""
    return percent(float(result.rate(kind)[-1]), 0)


def drawn_to(result: Universal) -> int:
    """Return the class that gains most predictions."""
    return int((result.driven[1] - result.driven[0]).argmax())


def found(result: Universal) -> str:
    """Say what the pattern does to images it was not made of, and what its controls do."""
    ends = result.interval()
    sure = f" ({span(*ends, digits=0)}, 95 %)" if np.isfinite(ends[0]) else ""
    count = counted(result.n)
    many = f"{rate(result, 'pattern')}{sure} of {count} it never saw"
    if result.target < 0:
        said = f"One pattern changes the predictions of {many}."
    else:
        said = f"One pattern leads {many} to {result.classes[result.target]}, "
        said += f"{percent(float(result.rate()[0]), 0)} before."
    said += f" Made of {counted(result.used)} of {result.origin}, {size(result)}"
    said += f"; {rate(result, 'unclipped')} without clipping. Control: random noise of that norm "
    said += f"{rate(result, 'random')}, the same pixels shuffled {rate(result, 'shuffled')}."
    more, low, _ = result.gain()
    if low <= 0:
        said += " No more than noise, as far as so few images tell."
    if result.target < 0 and more > 0:
        here = drawn_to(result)
        before, after = result.driven[:, here]
        share = percent(float(after), 0)
        said += f" It leads to {result.classes[here]}: {share} of the predictions,"
        said += f" {percent(float(before), 0)} before."
    return said


def against(result: Universal, pinned: Universal) -> str:
    """Say how a rate differs from a pinned one."""
    if result.target != pinned.target:
        return f"{result.versus(pinned)}: it has another target."
    mine, other = (float(it.rate()[-1]) for it in (result, pinned))
    sizes = "" if np.isclose(result.epsilon, pinned.epsilon) else ", of another size"
    points = signed((mine - other) * 100, 0)
    words = f"{percent(mine, 0)} instead of {percent(other, 0)} {aim(result)}"
    return f"{result.versus(pinned)}{sizes}: {words} ({points} points)."
