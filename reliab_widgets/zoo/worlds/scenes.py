"""Scenes: boxes and spheres on a floor, and the exact distance of everything that is seen.

A stand-in for the depth data of You et al. 2021 (arXiv 2108.05312): 48 x 48 pixels, seen from
1.6 m above the floor, 1 to 10 m deep. ``room`` ends in a wall at 10 m; ``street`` has a wall at
each side besides, other colours and another light. Distances are those along the line of sight's
middle axis, as depth cameras give them.

What it is not: a photograph. There are no shadows, no reflections and no noise, and sizes are of
the same range in all, so that a network can know distance from size and from height in the picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..cifar10 import Images
from .texture import as_bytes

KINDS = ("room", "street")
SIDE = 48
NEAR, FAR = 1.0, 10.0  # metres
_HEIGHT, _FOCUS, _HORIZON = 1.6, 40.0, 18
_PALETTE = {
    "room": ((0.55, 0.45, 0.35), (0.75, 0.72, 0.65)),
    "street": ((0.4, 0.4, 0.42), (0.6, 0.7, 0.85)),
}
"""Colours of floor and far wall."""


class _Hit(NamedTuple):
    depth: np.ndarray  # (SIDE, SIDE), infinite where nothing is hit
    normal: np.ndarray  # (SIDE, SIDE, 3)


def make(n: int, seed: int = 0, kind: str = "room") -> Images:
    """Make n images ``(n, 48, 48, 3)`` of scenes, and their depth in metres ``(n, 1, 48, 48)``.

    Examples
    --------
    >>> pixels, depth = make(2)
    >>> depth.shape, bool((depth >= 1).all()), bool((depth <= 10).all())
    ((2, 1, 48, 48), True, True)
    """
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    scenes = [_scene(generator, kind) for _ in range(n)]
    pixels = np.stack([image for image, _ in scenes])
    depths = np.stack([depth for _, depth in scenes])
    return Images(as_bytes(pixels), depths.astype(np.float32)[:, None])


def _scene(generator: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray]:
    rays = _rays()
    floor, wall = _PALETTE[kind]
    light = np.array([generator.uniform(-0.8, 0.8), -1.0, generator.uniform(-0.9, -0.2)])
    light /= np.linalg.norm(light)
    surfaces: list[tuple[_Hit, Sequence[float] | np.ndarray]]
    surfaces = [(_plane(rays, 1, _HEIGHT), floor), (_plane(rays, 2, FAR), wall)]
    if kind == "street":
        for side in (-1, 1):
            shade = generator.uniform(0.25, 0.7, size=3)
            surfaces.append((_plane(rays, 0, side * generator.uniform(1.8, 3.0)), shade))
    for _ in range(generator.integers(3, 5, endpoint=True)):
        colour = generator.uniform(0.15, 0.95, size=3)
        across, ahead = generator.uniform(-1.6, 1.6), generator.uniform(2.0, 8.5)
        size = generator.uniform(0.3, 0.7)
        if generator.random() < 0.5:
            hit = _sphere(rays, np.array([across, _HEIGHT - size, ahead]), size)
        else:
            high = size * generator.uniform(0.8, 2.0)
            corner = np.array([across - size / 2, _HEIGHT - high, ahead])
            hit = _box(rays, corner, corner + np.array([size, high, size]))
        surfaces.append((hit, colour))
    depths = np.stack([hit.depth for hit, _ in surfaces])
    first = depths.argmin(0)
    depth = np.clip(depths.min(0), NEAR, FAR)
    normal = np.stack([hit.normal for hit, _ in surfaces])[first, *np.indices(first.shape)]
    colour = np.array([colour for _, colour in surfaces])[first]
    # Tiles of one metre on the floor, fading where they are smaller than pixels.
    points = rays * depth[..., None]
    tiles = (np.floor(points[..., 0]) + np.floor(points[..., 2])) % 2 - 0.5
    colour = colour * (1 + 0.3 * (tiles * (first == 0) * np.exp(-depth / 6))[..., None])
    lit = 0.45 + 0.55 * np.clip((normal * light).sum(-1), 0, 1)
    return colour * lit[..., None], depth


def _rays() -> np.ndarray:
    """Directions ``(SIDE, SIDE, 3)``: right, down, ahead; one metre ahead each."""
    rows, columns = np.indices((SIDE, SIDE))
    right = (columns - SIDE / 2 + 0.5) / _FOCUS
    down = (rows - _HORIZON + 0.5) / _FOCUS
    return np.stack([right, down, np.ones_like(right)], -1)


def _plane(rays: np.ndarray, axis: int, at: float) -> _Hit:
    """Meet the plane where one coordinate is ``at``; it faces the camera."""
    with np.errstate(divide="ignore"):
        depth = at / rays[..., axis]
    normal = np.zeros_like(rays)
    normal[..., axis] = -np.sign(at)
    return _Hit(np.where(depth > 0, depth, np.inf), normal)


def _sphere(rays: np.ndarray, centre: np.ndarray, radius: float) -> _Hit:
    squares = (rays**2).sum(-1)
    along = (rays * centre).sum(-1) / squares
    inside = along**2 - ((centre**2).sum() - radius**2) / squares
    depth = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0)), np.inf)
    at = rays * np.where(np.isfinite(depth), depth, 0)[..., None]
    return _Hit(depth, (at - centre) / radius)


def _box(rays: np.ndarray, low: np.ndarray, high: np.ndarray) -> _Hit:
    """Meet a box: behind the last of its near sides and before the first of its far ones."""
    rays = np.where(rays == 0, 1e-9, rays)
    sides = np.sort(np.stack([low / rays, high / rays]), axis=0)
    entry, leave = sides[0].max(-1), sides[1].min(-1)
    met = (entry <= leave) & (entry > 0)
    axis = sides[0].argmax(-1)
    normal = np.zeros_like(rays)
    np.put_along_axis(normal, axis[..., None], 1.0, -1)
    return _Hit(np.where(met, entry, np.inf), -normal * np.sign(rays))
