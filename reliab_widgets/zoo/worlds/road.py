"""Road: the view over a road that bends, by day or dusk, in fog and rain, and how to steer there.

A stand-in for the driving simulators of Zhong et al. 2021 (arXiv 2010.04821) and Hamdi et al. 2020
(arXiv 1812.02132): a flat world, a camera 1.5 m above the road, 32 x 32 pixels. The car lies
``offset`` metres right of the middle of the road and points ``heading`` radians to its right; the
road bends to the right with ``curvature`` times 0.025 per metre. The steering that belongs to a
view is the curvature to drive, in the same unit: that of the road, less what brings the car back to
the middle. `drive` lets a network steer and shows it what comes next.

What it is not: a street with traffic, hills or crossings, nor a car with mass or tyres. A network
that stays on this road can drive nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..cifar10 import Images
from .texture import as_bytes, smooth

SIDE = 32
UNIT = 0.025  # per metre, of curvature and steering
HALF = 3.5  # metres from the middle of the road to its edge
STEP = 3.0  # metres between two views of a drive
_BACK, _TURN = 0.01 / UNIT, 0.2 / UNIT  # brings the car back to the middle without swinging
_FOCUS, _HEIGHT, _HORIZON = 23.0, 1.5, 11
_SKY, _GRASS, _TAR = (0.55, 0.7, 0.9), (0.25, 0.45, 0.2), (0.35, 0.35, 0.37)
_LINE, _FOG = (0.95, 0.95, 0.9), (0.75, 0.76, 0.78)


class Places(NamedTuple):
    """Where n cars are, and in which weather; arrays ``(n,)``.

    Attributes
    ----------
    curvature : ndarray
        Of the road, in [-1, 1].
    offset, heading : ndarray
        Metres and radians to the right of the road's middle.
    light, fog, rain : ndarray
        In [0, 1]: from dusk to noon, from clear to dense, from none to heavy.
    """

    curvature: np.ndarray
    offset: np.ndarray
    heading: np.ndarray
    light: np.ndarray
    fog: np.ndarray
    rain: np.ndarray


def make(n: int, seed: int = 0, fog: float = 0.0, rain: float = 0.0) -> Images:
    """Make n views ``(n, 32, 32, 3)`` of places that are drawn, with the steering ``(n, 1)``.

    Light, bend and place of the car differ from view to view; fog and rain are the same in all.

    Examples
    --------
    >>> pixels, steering = make(4)
    >>> pixels.shape, steering.shape
    ((4, 32, 32, 3), (4, 1))
    """
    generator = np.random.default_rng(seed)
    places = Places(
        generator.uniform(-1, 1, n),
        generator.uniform(-1.5, 1.5, n),
        generator.uniform(-0.1, 0.1, n),
        generator.uniform(0, 1, n),
        np.full(n, fog),
        np.full(n, rain),
    )
    return Images(view(places, seed), steering(places).astype(np.float32)[:, None])


def steering(places: Places) -> np.ndarray:
    """Give the steering ``(n,)`` that keeps or brings a car to the middle of the road.

    Examples
    --------
    >>> zero, one = np.zeros(1), np.ones(1)
    >>> steering(Places(0.5 * one, zero, zero, one, zero, zero))
    array([0.5])
    """
    return places.curvature - _BACK * places.offset - _TURN * places.heading


def view(places: Places, seed: int = 0) -> np.ndarray:
    """Paint what n cars see, ``(n, 32, 32, 3)`` uint8; the seed is that of grass, tar and drops."""
    generator = np.random.default_rng(seed)
    n = len(places.curvature)
    rows = np.arange(SIDE)
    below = np.maximum(rows - _HORIZON + 0.5, 0.25)
    ahead = (_FOCUS * _HEIGHT / below)[None, :, None]
    bend, offset, heading, light, fog, rain = (part[:, None, None] for part in places)
    middle = UNIT * bend * ahead**2 / 2 - heading * ahead - offset
    pixel = ahead / _FOCUS  # metres across
    across = (np.arange(SIDE) - SIDE / 2 + 0.5)[None, None] * pixel - middle

    def strip(low: float, high: float) -> np.ndarray:
        # How much of a pixel lies between two distances from the middle of the road.
        inside = np.minimum(across + pixel / 2, high) - np.maximum(across - pixel / 2, low)
        return np.clip(inside / pixel, 0, 1)[..., None]

    image = np.broadcast_to(np.array(_GRASS), (n, SIDE, SIDE, 3))
    image = _over(image, _TAR, strip(-HALF, HALF))
    for edge in (-HALF + 0.3, HALF - 0.5):
        image = _over(image, _LINE, strip(edge, edge + 0.2))
    start = generator.uniform(0, 8, size=(n, 1, 1))
    dashes = ((ahead + start) % 8 < 4)[..., None]
    image = _over(image, _LINE, strip(-0.1, 0.1) * dashes)
    image = image * (1 + 0.08 * smooth(generator, n, SIDE, 0.4, 0.8)[..., None])

    sky = (rows < _HORIZON)[None, :, None, None]
    image = np.where(sky, np.array(_SKY) * (1.1 - 0.02 * rows[None, :, None, None]), image)
    lit = 0.35 + 0.65 * light[..., None]
    far = np.where(sky, 60.0, ahead[..., None])
    image = _over(image * lit, np.array(_FOG) * lit, 1 - np.exp(-fog[..., None] * far / 12))
    return as_bytes(_rained(generator, image, rain[..., None]))


def drive(
    agent: Callable[[np.ndarray], np.ndarray],
    shape: np.ndarray,
    *,
    views: int = 60,
    light: float = 1.0,
    fog: float = 0.0,
    rain: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Let an agent steer n cars along n tracks, and tell how far from the middle they were.

    Parameters
    ----------
    agent : callable
        From views ``(n, 32, 32, 3)`` uint8 to steering ``(n,)``.
    shape : ndarray
        ``(n, k)`` curvatures in [-1, 1], at places that divide a track into equal parts.
    views : int
        How many the agent is shown, one every 3 metres.
    light, fog, rain : float
        The weather, as in `Places`.
    seed : int
        Of what is drawn in the views.

    Returns
    -------
    ndarray
        ``(n, views)`` metres to the right of the middle; from 3.5 on a car is off the road, and
        stays where it left it.

    Examples
    --------
    >>> straight = np.zeros((1, 2))
    >>> drive(lambda seen: np.zeros(len(seen)), straight, views=3)
    array([[0., 0., 0.]])
    """
    n, knots = shape.shape
    offset, heading = np.zeros(n), np.zeros(n)
    offsets = []
    for step in range(views):
        at = step / max(1, views - 1) * (knots - 1)
        curvature = np.array([np.interp(at, np.arange(knots), track) for track in shape])
        weather = (np.full(n, value) for value in (light, fog, rain))
        seen = view(Places(curvature, offset, heading, *weather), seed + step)
        turn = np.asarray(agent(seen), dtype=float).reshape(n)
        on = np.abs(offset) < HALF
        offset = np.where(on, offset + STEP * heading, offset)
        heading = np.where(on, heading + STEP * UNIT * (turn - curvature), heading)
        offsets.append(offset)
    return np.stack(offsets, 1)


def _over(
    image: np.ndarray, colour: tuple[float, ...] | np.ndarray, share: np.ndarray
) -> np.ndarray:
    return image + share * (np.asarray(colour) - image)


def _rained(generator: np.random.Generator, image: np.ndarray, rain: np.ndarray) -> np.ndarray:
    """Draw bright slanted streaks, six pixels long, over a view that is a little greyer."""
    n = len(image)
    drops = generator.random((n, SIDE, SIDE)) < 0.04
    streaks = np.zeros((n, SIDE, SIDE))
    for length in range(6):
        streaks += np.roll(drops, (length, -(length // 3)), axis=(1, 2))
    grey = image.mean((1, 2, 3), keepdims=True)
    image = _over(image, grey, 0.3 * rain)
    return _over(image, (0.8, 0.82, 0.85), 0.5 * rain * np.minimum(streaks, 1)[..., None])
