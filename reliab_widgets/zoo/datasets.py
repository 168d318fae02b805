"""What networks are trained on: for each name, images to train on, others to watch, and a scale."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import cifar10, fashion
from .cifar10 import Images
from .worlds import object as things
from .worlds import road, scenes, specks

WATCHED = 300


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


def part(of: str, folder: Path, which: str) -> Images:
    """Read the part ``which`` ("train" or "test") of "cifar10" or "fashion", 32 x 32 in colour."""
    if of == "fashion":
        return fashion.enlarged(fashion.read(folder, which))
    return cifar10.read(folder, which)


def watched(held_out: Images) -> Images:
    """Give the images on which outputs are recorded in training: 300 of each class, or all."""
    if held_out.labels.ndim > 1:
        return held_out
    return held_out.part(cifar10.of_each_class(held_out.labels, slice(WATCHED)))


def _read(of: str, folder: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> Data:
    images = part(of, folder, "train")
    return Data(
        images.part(cifar10.training_indices(images.labels)),
        images.part(cifar10.validation_indices(images.labels)),
        mean,
        std,
    )


def _made(make: Callable[[int, int], Images], train: int, held_out: int) -> Data:
    # Seeds are far from those that a user tries first.
    return Data(make(train, 1_000_001), make(held_out, 1_000_002), (0.5,) * 3, (0.25,) * 3)


DATA: dict[str, Callable[[Path], Data]] = {
    "cifar10": lambda folder: _read("cifar10", folder, cifar10.MEAN, cifar10.STD),
    "fashion": lambda folder: _read("fashion", folder, fashion.MEAN, fashion.STD),
    "specks": lambda _: _made(specks.make, 12_000, 3_000),
    "road": lambda _: _made(road.make, 12_000, 2_000),
    "scenes": lambda _: _made(scenes.make, 3_000, 500),
    "scenes-street": lambda _: _made(partial(scenes.make, kind="street"), 3_000, 500),
    "object": lambda _: _made(things.make, 12_000, 2_000),
}
