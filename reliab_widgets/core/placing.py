"""Where the name of a line can be written: beside it, and away from everything else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

STEP = 8.0
"""Pixels between two places of a line that are looked at."""
NEAR, FAR = 5.0, 14.0
"""Pixels to its own line, and to others, beyond which a name stands no better."""


LETTER, HIGH = 7.4, 13.0
"""Pixels that a letter of a name takes at most on the average, and a line of letters."""
ASIDE = 9.0
"""Pixels from an upright, with the marks that stand on it, to a name that makes way."""
CLEAR = 2.0
"""Pixels to a line below which a name lies on it."""


def names_beside(
    lines: Sequence[tuple[np.ndarray, str]],
    box: tuple[float, float, float, float],
    nameless: Sequence[np.ndarray] = (),
) -> list[tuple[float, float] | None]:
    """Return where the name of each line stands: on no line or name, nor on the foot of the chart.

    Parameters
    ----------
    lines : sequence of (numpy.ndarray, str)
        Each ``(N, 2)`` corners in pixels, NaN where it is interrupted, and what it is called.
    box : (float, float, float, float)
        Left, top, width and height of the chart.
    nameless : sequence of numpy.ndarray
        Other lines that no name may lie on, as those of ``lines``.

    Returns
    -------
    list
        Middles, and None for what is no line (fewer than two corners), or has no free place.

    Examples
    --------
    >>> flat = np.array([[0, 50], [100.0, 50]])
    >>> (_, high), (_, low) = names_beside([(flat - [0, 9], "a"), (flat, "b")], (0, 0, 100, 99))
    >>> high < 41 and low > 50
    True
    """
    left, top, wide, high = box
    room = (left, top - 4, left + wide, top + high - 3)
    taken = [np.array([[left, top + high], [left + wide, top + high]])]
    places: list[tuple[float, float] | None] = []
    names: list[np.ndarray] = []  # middle, width and height
    for number, (line, name) in enumerate(lines):
        if np.isfinite(line).all(1).sum() < 2:
            places.append(None)
            continue
        others = [other for k, (other, _) in enumerate(lines) if k != number]
        others = [it for it in (*others, *nameless) if np.isfinite(it).all(1).any()]
        size = (LETTER * len(name), HIGH)
        x, y = beside(line, size, [*others, *taken], room)
        name_at = np.array([x, y, *size])
        crossed = any(gap((x, y), size, it) < CLEAR for it in (line, *others))
        named = any((np.abs(it - name_at)[:2] < (it + name_at)[2:] / 2).all() for it in names)
        if crossed or named:
            places.append(None)
            continue
        names.append(name_at)
        ends = [x - size[0] / 2, x + size[0] / 2]
        taken += [np.array([[ends[0], at], [ends[1], at]]) for at in (y - 6, y, y + 6)]
        places.append((x, y))
    return places


def names_aside(
    lines: Sequence[tuple[np.ndarray, str]],
    box: tuple[float, float, float, float],
    at: float,
    places: list[tuple[float, float] | None],
    nameless: Sequence[np.ndarray] = (),
) -> list[tuple[float, float] | None]:
    """Return the places of names, others if an upright line comes to one of them.

    Parameters
    ----------
    lines, box, nameless
        As `names_beside` takes them.
    at : float
        Where the upright stands.
    places : list
        What `names_beside` gives.

    Examples
    --------
    >>> lines = [(np.array([[0, 50], [100.0, 50]]), "name")]
    >>> (first,) = places = names_beside(lines, (0, 0, 100, 99))
    >>> (aside,) = names_aside(lines, (0, 0, 100, 99), first[0], places)
    >>> abs(aside[0] - first[0]) > LETTER * 2
    True
    >>> names_aside(lines, (0, 0, 100, 99), 200, places) == places
    True
    """
    _, top, _, high = box
    for place, (_, name) in zip(places, lines, strict=True):
        if place is not None and abs(place[0] - at) - LETTER * len(name) / 2 < ASIDE:
            return names_beside(lines, box, [np.array([[at, top], [at, top + high]]), *nameless])
    return places


def beside(
    line: np.ndarray,
    size: tuple[float, float],
    others: Sequence[np.ndarray],
    room: tuple[float, float, float, float],
) -> tuple[float, float]:
    """Return the middle of a free place for a name beside a line.

    Parameters
    ----------
    line : numpy.ndarray
        ``(N, 2)`` corners of the line in pixels; NaN interrupts it.
    size : (float, float)
        Width and height of the name.
    others : sequence of numpy.ndarray
        Other lines, as ``line``.
    room : (float, float, float, float)
        Left, top, right and bottom of where it may stand.

    Examples
    --------
    >>> line = np.array([[0, 50], [100.0, 50]])
    >>> _, y = beside(line, (40, 12), [line - [0, 20]], (0, 0, 100, 100))
    >>> y > 50
    True
    """
    own, (wide, high) = _dense(line), size
    right, down = wide / 2 + NEAR, high / 2 + NEAR
    ways = [(right, 0), (-right, 0), (0, down), (0, -down)]
    ways += [(x, y) for x in (right, -right) for y in (down, -down)]
    middles = (own[:, None] + np.array(ways)).reshape(-1, 2)
    half = np.array([wide / 2, high / 2])
    first, last = np.array(room[:2]) + half, np.array(room[2:]) - half
    inside = ((middles >= first) & (middles <= last)).all(1)
    middles = middles[inside] if inside.any() else middles[:1]

    def away(points: np.ndarray) -> np.ndarray:
        """Return how far from each place the nearest of the points is."""
        gaps = np.maximum(np.abs(points - middles[:, None]) - half, 0)
        distance: np.ndarray = np.hypot(gaps[..., 0], gaps[..., 1]).min(1)
        return distance

    score = 2 * np.minimum(away(own), NEAR)
    if others:
        score += np.minimum(away(np.concatenate([_dense(it) for it in others])), FAR)
    x, y = middles[score.argmax()]
    return float(x), float(y)


def gap(middle: tuple[float, float], size: tuple[float, float], line: np.ndarray) -> float:
    """Return how many pixels lie between a name and a line: 0 where it lies on it.

    Examples
    --------
    >>> gap((50.0, 50.0), (40.0, 12.0), np.array([[80.0, 0.0], [80.0, 100.0]]))
    10.0
    """
    away = np.maximum(np.abs(_dense(line) - middle) - np.array(size) / 2, 0)
    return float(np.hypot(*away.T).min())


def _dense(line: np.ndarray) -> np.ndarray:
    """Return places along a line, so many that none is far from the next."""
    parts = []
    for start, stop in pairwise(line):
        count = np.ceil(np.hypot(*(stop - start)) / STEP)
        if np.isfinite(count):
            parts.append(start + (stop - start) * np.linspace(0, 1, int(count) + 1)[:, None])
    parts.append(line[np.isfinite(line).all(1)])
    return np.concatenate(parts)
