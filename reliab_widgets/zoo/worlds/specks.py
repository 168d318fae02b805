"""Specks: grey textures, plain, with bright dots of one or two pixels, or with large soft blobs.

A stand-in for the mammograms of Oleszkiewicz et al. 2020 (arXiv 2003.10041): dots for
microcalcifications, whose only trace is in the high frequencies, blobs for lesions of soft tissue,
whose trace is in the low ones. A low-pass filter takes the dots away and leaves the blobs, so a
network that does not mind it is wrong here.

What it is not: a mammogram. Nothing in it was measured, no radiologist has seen it, and what holds
here need not hold there.
"""

import numpy as np

from ..cifar10 import Images
from .texture import as_bytes, smooth

CLASSES = ("plain", "dots", "blobs")
SIDE = 32
DOTS, BLOBS = (5, 9), (1, 2)
"""At least and at most how many are in an image."""


def make(n: int, seed: int = 0) -> Images:
    """Make n images ``(n, 32, 32, 3)`` and their classes, which take turns.

    All have the same mean brightness, so that nothing is to be seen in it.

    Examples
    --------
    >>> make(5).labels
    array([0, 1, 2, 0, 1])
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    added = np.zeros((n, SIDE, SIDE))
    for index in np.flatnonzero(labels == 1):
        _dot(generator, added[index])
    for index in np.flatnonzero(labels == 2):
        _blob(generator, added[index])
    added -= added.mean((1, 2), keepdims=True)
    contrast = generator.uniform(0.06, 0.1, size=(n, 1, 1))
    grey = 0.45 + contrast * smooth(generator, n, SIDE, 1.0, 2.0) + added
    return Images(as_bytes(grey)[..., None].repeat(3, 3), labels)


def _dot(generator: np.random.Generator, image: np.ndarray) -> None:
    for _ in range(generator.integers(*DOTS, endpoint=True)):
        row, column = generator.integers(SIDE - 1, size=2)
        down, across = ((1, 1), (2, 1), (1, 2))[generator.integers(3)]
        image[row : row + down, column : column + across] += generator.uniform(0.2, 0.35)


def _blob(generator: np.random.Generator, image: np.ndarray) -> None:
    places = np.arange(SIDE)
    for _ in range(generator.integers(*BLOBS, endpoint=True)):
        row, column = generator.uniform(4, SIDE - 5, size=2)
        width = generator.uniform(3.5, 5.5)
        down, across = (np.exp(-((places - at) ** 2) / (2 * width**2)) for at in (row, column))
        image += generator.uniform(0.15, 0.25) * down[:, None] * across
