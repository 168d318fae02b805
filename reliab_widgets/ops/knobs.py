"""Checks of the settings that people give: one of a few, or a whole number in a range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..validation import problem


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Refuse a value that is not one of the known ones.

    Examples
    --------
    >>> check_choice("sign", "signed", ("signed", "magnitude"))
    """
    if not (isinstance(value, str) and value in known):
        fix = f"Choose {name}= from {', '.join(map(repr, known))}"
        raise ValueError(problem(f"there is no such {name}", f"got {value!r}", fix))


def check_whole(name: str, value: Any, low: int, high: int, why: str = "") -> None:
    """Refuse what is not a whole number from ``low`` to ``high``, saying why there is a limit.

    Examples
    --------
    >>> check_whole("grid", 4, 2, 32, "a cell must hold a pixel")
    """
    if not is_whole(value) or not low <= value <= high:
        fix = f"Pass {name}= from {low:,} to {high:,}" + (f": {why}" if why else "")
        seen = f"got {value!r}"
        raise ValueError(problem(f"{name} must be a whole number in its range", seen, fix))


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer of Python or numpy; True and False are not.

    Examples
    --------
    >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
