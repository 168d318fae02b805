"""From scores to what goes: so many of the filters, or so much of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.knobs import Kind, Real, Several
from ...core.wording import problem
from .structure import Structure

SCOPES = ("filters", "flops")
_PART = Real(least=0, below=1, why="the part that goes, several as in (0.2, 0.5)")


@dataclass(frozen=True)
class Levels(Several):
    """Which parts are removed: ascending, each once, without the 0 that is always there.

    Examples
    --------
    >>> Levels().check("levels", [0.5, 0, 0.2, 0.5], None)
    (0.2, 0.5)
    """

    kind: Kind = _PART
    least: int = 1
    alone: bool = True

    def check(self, name: str, value: Any, about: Any) -> tuple[float, ...]:
        """Return the levels above 0."""
        found = super().check(name, value, about)
        return tuple(sorted({*found} - {0.0})) or (0.0,)


def free(found: Structure, protect: Sequence[str]) -> np.ndarray:
    """Tell which units may go, (U,) bool: those of no protected layer.

    Parameters
    ----------
    found : Structure
        The units.
    protect : sequence of str
        Names of layers, ``"first"`` or ``"last"`` for those that run first and last.

    Raises
    ------
    ValueError
        There is no such layer, or nothing is left.
    """
    names = [layer.name for layer in found.layers]
    ends = {"first": names[0], "last": names[-1]}
    chosen = {ends.get(name, name) for name in protect}
    if unknown := chosen.difference(names):
        fix = f"Choose protect= from 'first', 'last', {', '.join(map(repr, names))}"
        raise ValueError(problem("there is no such layer", f"got {min(unknown)!r}", fix))
    kept = np.array([bool(chosen.intersection(layers)) for layers in found.groups])
    if kept.all():
        fix = "Leave some of protect= out"
        raise ValueError(problem("nothing is left to remove", "every layer is protected", fix))
    return ~kept[found.group]


def remove(
    found: Structure, scores: np.ndarray, level: float, scope: str, free: np.ndarray
) -> np.ndarray:
    """Choose what goes, lowest scores first; of each group the unit of highest score stays.

    Parameters
    ----------
    found : Structure
        The units.
    scores : numpy.ndarray
        (U,).
    level : float
        The part that goes, in [0, 1): at most that much of the filters, or as many filters as it
        takes for that much of the multiply-adds.
    scope : str
        ``"filters"`` or ``"flops"``.
    free : numpy.ndarray of bool
        (U,) what may go.

    Returns
    -------
    numpy.ndarray of bool
        (U,).

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.pruning.structure import structure
    >>> found = structure(rw.demo("resnet20"))
    >>> gone = remove(found, np.arange(448.0), 0.5, "filters", np.ones(448, dtype=bool))
    >>> int(found.filters[gone].sum()), int(found.filters.sum())
    (389, 784)
    """
    order = np.argsort(scores, kind="stable")
    free = free.copy()
    for number in range(len(found.groups)):
        free[order[found.group[order] == number][-1]] = False
    order = order[free[order]]
    if scope == "filters":
        count = np.cumsum(found.filters[order])
        # Rounding must not decide whether the last one goes.
        take = int(np.searchsorted(count, level * found.filters.sum() + 1e-9, side="right"))
        return _first(order, take, len(found))
    nothing = np.zeros(len(found), dtype=bool)
    most = (1 - level) * found.cost(nothing)[1]
    return _first(
        order, _bisected(lambda n: _cost(found, order, n) <= most, len(order)), len(found)
    )


def _cost(found: Structure, order: np.ndarray, count: int) -> int:
    return found.cost(_first(order, count, len(found)))[1]


def _first(order: np.ndarray, count: int, units: int) -> np.ndarray:
    removed = np.zeros(units, dtype=bool)
    removed[order[:count]] = True
    return removed


def _bisected(holds: Callable[[int], bool], most: int) -> int:
    """Return the smallest count for which it holds, or the most there is."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
