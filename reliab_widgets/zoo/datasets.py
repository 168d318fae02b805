"""What networks are trained on: for each name, images to train on, others to watch, and a scale."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import cifar10, fashion
from .cifar10 import Images
from .worlds import object as things
from .worlds import road, scenes, specks

WATCHED = 300
BALANCED, UNBALANCED = (1_000,) * 10, (1_800,) * 5 + (200,) * 5
"""Images of each class, for the short trainings of which outputs are studied; 10,000 each."""


class Data(NamedTuple):
    """Images a network is trained on, and how it wants them.

    Attributes
    ----------
    train, held_out : Images
        Without an image in common.
    mean, std : tuple of float
        Of each channel, in pixel units.
    """

    train: Images
    held_out: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Source(NamedTuple):
    """What all images of a name have in common; worlds have no classes where targets are numbers.

    Attributes
    ----------
    mean, std : tuple of float
        Of each channel, in pixel units: the scale that networks want.
    classes : tuple of str
        Their names.
    """

    mean: tuple[float, ...] = (0.5,) * 3
    std: tuple[float, ...] = (0.25,) * 3
    classes: tuple[str, ...] = ()


SOURCES = {
    "cifar10": Source(cifar10.MEAN, cifar10.STD, cifar10.CLASSES),
    "fashion": Source(fashion.MEAN, fashion.STD, fashion.CLASSES),
    "specks": Source(classes=specks.CLASSES),
    "road": Source(),
    "scenes": Source(),
    "object": Source(),
}
WORLDS: dict[str, tuple[Callable[[int, int], Images], int, int]] = {
    "specks": (specks.make, 12_000, 3_000),
    "road": (road.make, 12_000, 2_000),
    "scenes": (scenes.make, 3_000, 500),
    "scenes-street": (partial(scenes.make, kind="street"), 3_000, 500),
    "object": (things.make, 12_000, 2_000),
}
"""How images are made, how many to train on, and how many to watch and to report on."""
SEEDS = {"train": 1_000_001, "validation": 1_000_002, "test": 1_000_003}
"""Far from those that a user tries first."""


def source(of: str) -> str:
    """Name the images that those of a recipe's data are a part or a kind of.

    Examples
    --------
    >>> source("cifar10-balanced"), source("road")
    ('cifar10', 'road')
    """
    return of.partition("-")[0]


def made(of: str, which: str) -> Images:
    """Draw the images of a small world: "train", "validation" or "test"."""
    make, train, held_out = WORLDS[of]
    return make(train if which == "train" else held_out, SEEDS[which])


def reported(of: str, folder: Path) -> Images:
    """Give the images that are reported on: the test file, or a part of a world of its own."""
    return made(of, "test") if of in WORLDS else _file(source(of), folder, "test")


def watched(held_out: Images) -> Images:
    """Give the images on which outputs are recorded in training: 300 of each class, or all."""
    if held_out.labels.ndim > 1:
        return held_out
    return held_out.part(cifar10.of_each_class(held_out.labels, slice(WATCHED)))


def _file(of: str, folder: Path, which: str) -> Images:
    if of == "fashion":
        return fashion.enlarged(fashion.read(folder, which))
    return cifar10.read(folder, which)


def _read(of: str, folder: Path, counts: tuple[int, ...] = ()) -> Data:
    """Divide a training file; of the images to train on take so many of each class."""
    images = _file(of, folder, "train")
    chosen = cifar10.training_indices(images.labels)
    if counts:
        labels = images.labels[chosen]
        parts = [chosen[labels == k][:count] for k, count in enumerate(counts)]
        chosen = np.sort(np.concatenate(parts))
    held_out = images.part(cifar10.validation_indices(images.labels))
    return Data(images.part(chosen), held_out, *SOURCES[of][:2])


def _made(of: str, _folder: Path) -> Data:
    return Data(made(of, "train"), made(of, "validation"), *SOURCES[source(of)][:2])


DATA: dict[str, Callable[[Path], Data]] = {
    "cifar10": partial(_read, "cifar10"),
    "cifar10-balanced": partial(_read, "cifar10", counts=BALANCED),
    "cifar10-unbalanced": partial(_read, "cifar10", counts=UNBALANCED),
    "fashion": partial(_read, "fashion"),
    **{of: partial(_made, of) for of in WORLDS},
}
