"""Object: one bright thing before a texture, and the box around it.

The smallest task for a detector, for questions like those of Hamdi et al. 2020 (arXiv 1812.02132):
a disc, a square, a triangle or a cross of any colour, turned and as large as you like, 32 x 32
pixels. The score of an answer is how much the two boxes overlap (`overlap`).

What it is not: object detection. There is always one thing, never two, and nothing is hidden.
"""

from typing import NamedTuple

import numpy as np

from ..cifar10 import Images
from .texture import as_bytes, smooth

KINDS = ("disc", "square", "triangle", "cross")
SIDE = 32


class Things(NamedTuple):
    """What n images show; arrays ``(n,)``, but ``colour`` ``(n, 3)``.

    Attributes
    ----------
    kind : ndarray of int
        Place in ``KINDS``.
    row, column : ndarray
        The middle, in pixels.
    size : ndarray
        From the middle to the farthest point, in pixels.
    turn : ndarray
        Radians.
    colour : ndarray
        In [0, 1].
    """

    kind: np.ndarray
    row: np.ndarray
    column: np.ndarray
    size: np.ndarray
    turn: np.ndarray
    colour: np.ndarray


def make(n: int, seed: int = 0) -> Images:
    """Make n images ``(n, 32, 32, 3)`` and their boxes ``(n, 4)``: left, top, right, bottom.

    Boxes are shares of the side, in [0, 1].

    Examples
    --------
    >>> pixels, boxes = make(3)
    >>> boxes.shape, bool((boxes[:, :2] < boxes[:, 2:]).all())
    ((3, 4), True)
    """
    generator = np.random.default_rng(seed)
    size = generator.uniform(4, 10, n)
    things = Things(
        generator.integers(len(KINDS), size=n),
        generator.uniform(size, SIDE - size),
        generator.uniform(size, SIDE - size),
        size,
        generator.uniform(0, 2 * np.pi, n),
        generator.uniform(0.2, 1, (n, 3)),
    )
    return paint(things, seed)


def paint(things: Things, seed: int = 0) -> Images:
    """Paint what is described; the seed is that of the textures behind."""
    generator = np.random.default_rng([seed, 1])
    n = len(things.kind)
    back = 0.4 + 0.12 * smooth(generator, n, SIDE, 1.0, 3.0)[..., None]
    back = back * generator.uniform(0.7, 1.2, (n, 1, 1, 3))
    covered = _covered(things)
    colour = things.colour[:, None, None]
    image = np.where(covered[..., None], 0.25 + 0.75 * colour, back)
    return Images(as_bytes(image), _boxes(covered))


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the area that boxes ``(n, 4)`` share, as part of what they cover together.

    Examples
    --------
    >>> overlap(np.array([[0, 0, 1, 1.0]]), np.array([[0.5, 0, 1.5, 1]]))
    array([0.33333333])
    """
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.maximum(sides, 0).prod(1)
    areas = [np.maximum(box[:, 2:] - box[:, :2], 0).prod(1) for box in (one, other)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)


def _covered(things: Things) -> np.ndarray:
    """Tell which pixels lie in each thing, ``(n, SIDE, SIDE)``."""
    kind, row, column, size, turn = (part[:, None, None] for part in things[:5])
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    y, x = (rows - row) / size, (columns - column) / size
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    arm = np.abs(np.stack([x, y]))
    shapes = [
        x**2 + y**2 <= 1,
        arm.max(0) <= 0.5**0.5,
        (y >= -0.5) & (3**0.5 * np.abs(x) + y <= 1),
        (arm.min(0) <= 0.3) & (arm.max(0) <= 0.95),
    ]
    return np.choose(kind, shapes)


def _boxes(covered: np.ndarray) -> np.ndarray:
    sides = []
    for axis in (1, 2):  # over rows are left and right, over columns top and bottom
        line = np.any(covered, axis=axis)
        sides += [line.argmax(1), SIDE - line[:, ::-1].argmax(1)]
    left, right, top, bottom = sides
    return (np.stack([left, top, right, bottom], 1) / SIDE).astype(np.float32)
