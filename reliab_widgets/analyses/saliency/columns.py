"""What stands in the columns of the picture: which maps, and what they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...core.drawing import short
from ...core.pixels import rgb
from ...core.wording import differing
from . import sentences
from .values import CELLS, accumulated

if TYPE_CHECKING:
    from .result import Saliency

NAME = 26
"""Letters of a heading."""


class Column(NamedTuple):
    """One map of the picture.

    Attributes
    ----------
    values, whole : numpy.ndarray
        ``(H, W)``: the map as far as it is accumulated, and all of it, which ends the colours.
    heading, called : str
        What stands above it, and what it is called in the text of a pixel.
    gap : float
        What its sum misses.
    swatch : numpy.ndarray, optional
        The “nothing” that it compares with, as a small image.
    top : numpy.ndarray, optional
        ``(H, W)``, where the map of a pinned result is largest.
    """

    values: np.ndarray
    whole: np.ndarray
    heading: str
    called: str
    gap: float = 0.0
    swatch: np.ndarray | None = None
    top: np.ndarray | None = None


def of_nothings(
    result: Saliency, pinned: Saliency | None, pair: tuple[int, int], versus: str, alpha: float
) -> list[Column]:
    """Return the maps against two “nothings”, or one and that of the untrained network."""
    maps, columns = accumulated(result, alpha), []
    for b in dict.fromkeys(pair if versus == "baseline" else pair[:1]):
        heading = _heading(result.called(b))
        if not result.has_baseline:
            heading = f"By {short(sentences.method(result), 22)}"
        columns.append(
            Column(maps[b], result.maps[0, b], heading, result.called(b), result.gaps[b],
                   _swatch(result, b), _top(result, pinned, b))
        )  # fmt: skip
    if versus == "untrained" and result.untrained.shape[1]:
        twin = result.untrained[0, pair[0]]
        columns.append(Column(twin, twin, "The same, untrained", "untrained",
                              swatch=_swatch(result, pair[0])))  # fmt: skip
    return columns


def beside(
    result: Saliency, pinned: Saliency, control: Saliency | None, pair: tuple[int, int]
) -> list[Column]:
    """Return a map after that of a pinned result, and before that of the control."""
    every = [pinned, result, *([] if control is None else [control])]
    names = differing([it.subject for it in every])
    columns = []
    for at, (it, name) in enumerate(zip(every, names, strict=True)):
        b = it.baselines.index(result.baselines[pair[0]])
        map_ = it.maps[0, b]
        heading = f"Control: {name}" if at == 2 else name
        if len(heading) > NAME:  # the square stands for a control on the ruler, too
            heading = "□ " * (at == 2) + short(name, NAME - 2)
        columns.append(Column(map_, map_, heading, name, it.gaps[b]))
    return columns


def has_beside(result: Saliency, other: Saliency | None, pair: tuple[int, int]) -> bool:
    """Tell whether another result has a map that can stand beside the first one of a pair."""
    return (
        other is not None
        and asked(other) == asked(result)
        and result.baselines[pair[0]] in other.baselines
    )


def asked(result: Saliency) -> tuple[object, ...]:
    """Return what two results have in common whose maps can be compared."""
    return result.index[0], result.target[0], result.score, result.images.shape[2:]


def _swatch(result: Saliency, b: int) -> np.ndarray | None:
    """Return no more pixels of a “nothing” than a swatch shows."""
    if not result.has_baseline:
        return None
    pixels = rgb(result.baseline_images[0, b])
    every = -(-max(pixels.shape[:2]) // CELLS)
    few: np.ndarray = pixels[::every, ::every]
    return few


def _top(result: Saliency, pinned: Saliency | None, b: int) -> np.ndarray | None:
    """Return the tenth of the pixels that the pinned map with the same baseline rates highest."""
    if pinned is None or result.baselines[b] not in pinned.baselines:
        return None
    magnitude = np.abs(pinned.maps[0, pinned.baselines.index(result.baselines[b])])
    top: np.ndarray = magnitude >= np.quantile(magnitude, 0.9)
    return top


def _heading(name: str) -> str:
    return f"Compared with {name}" if len(name) <= 8 else f"With {short(name, 14)}"
