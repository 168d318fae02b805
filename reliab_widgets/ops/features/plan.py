"""The plan of a network: its layers in a row, and what leads around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any, NamedTuple

import numpy as np

from ...core.fields import Array
from ...core.result import Record


class Stage(NamedTuple):
    """Neighbours on the main path that see images of one size.

    Attributes
    ----------
    first, last : int
        Their places.
    title, detail : str
        What they are called, and what they give.
    """

    first: int
    last: int
    title: str
    detail: str


@dataclass(frozen=True, eq=False)
class Plan(Record):
    """Where the layers of a network stand: in a row from 1 on, 0 is the input.

    Parameters
    ----------
    names : tuple of str
        Of L layers, in the order in which they run.
    sizes : numpy.ndarray of int
        ``(L, 3)``: channels, rows and columns of what they give; of tokens channels, number, 1.
    place : numpy.ndarray
        ``(L,)``: a whole number on the main path, which is that with most layers; between two
        of them for a layer that stands beside it.
    beside : numpy.ndarray of bool
        ``(L,)``.
    arcs : numpy.ndarray of int
        ``(A, 2)``: ways around layers, such as shortcuts, leave behind one place and come back
        behind another.
    """

    names: Annotated[tuple[str, ...], Array("L")]
    sizes: Annotated[np.ndarray, Array("L 3", int, least=1)]
    place: Annotated[np.ndarray, Array("L", least=0)]
    beside: Annotated[np.ndarray, Array("L", bool)]
    arcs: Annotated[np.ndarray, Array("A 2", int, least=0)]

    @property
    def length(self) -> int:
        """Number of layers on the main path."""
        return int((~self.beside).sum())

    @cached_property  # asked for each layer of each picture
    def stages(self) -> tuple[Stage, ...]:
        """What can be said of neighbours together, from the input on.

        Examples
        --------
        >>> import reliab_widgets as rw
        >>> for stage in rw.propagation(rw.demo("resnet20"), images=1).plan.stages[:2]:
        ...     print(*stage)
        1 1 conv1 16 maps of 32 × 32
        2 7 stage 1 16 maps of 32 × 32
        """
        main = np.flatnonzero(~self.beside)
        stages: list[Stage] = []
        number = 0
        for _, some in groupby(zip(_keys(self, main), main, strict=True), key=lambda it: it[0]):
            members = [k for _, k in some]
            first, last = (int(self.place[members[end]]) for end in (0, -1))
            number += len(members) > 1
            title = f"stage {number}" if len(members) > 1 else _alone(self.names, int(members[0]))
            stages.append(Stage(first, last, title, _detail(self.sizes[members])))
        return tuple(stages)


def _tops(names: Sequence[str]) -> list[str]:
    """Return for each name the first part in which not all of them agree."""
    parts = [name.split(".") for name in names]
    while len(parts) > 1 and len({it[0] for it in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [it[1:] for it in parts]
    return [it[0] for it in parts]


def _keys(drawn: Plan, main: np.ndarray) -> list[Any]:
    """Return what layers of one stage share: their part of the network, or the size they see."""
    every = _tops(drawn.names)
    tops = [every[k] for k in main]
    runs = [len(list(some)) for _, some in groupby(tops)]
    if sum(length > 1 for length in runs) > 2:
        return tops
    keys: list[Any] = []
    size: tuple[int, ...] = ()
    for top, k in zip(tops, main, strict=True):
        seen = tuple(drawn.sizes[k, 1:].tolist())
        size = seen if seen != (1, 1) or not size or k == main[-1] else size  # gates of channels
        keys.append((top, size))
    return keys


def _alone(names: Sequence[str], number: int) -> str:
    tops = _tops(names)
    name = names[number].split(" (")[0]
    return tops[number] if tops.count(tops[number]) == 1 else ".".join(name.split(".")[-2:])


def _detail(sizes: np.ndarray) -> str:
    channels = np.unique(sizes[:, 0])
    many = f"{channels[0]:,}" + f"–{channels[-1]:,}" * (len(channels) > 1)
    maps = sizes[(sizes[:, 1:] > 1).any(1)]  # not the gates of channels among them
    _, rows, columns = maps[-1] if len(maps) else sizes[-1]
    if columns > 1:
        return f"{many} maps of {rows} × {columns}"
    return f"{rows:,} tokens of {many} values" if rows > 1 else f"{many} values"
