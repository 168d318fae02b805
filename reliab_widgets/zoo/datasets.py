"""What networks are trained on: for each name, images to train on, others to watch, and a scale."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import cifar10, fashion
from .cifar10 import Images
from .worlds import object as things
from .worlds import road, specks


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


def _cifar10(folder: Path) -> Data:
    return _divided(cifar10.read(folder, "train"), cifar10.MEAN, cifar10.STD)


def _fashion(folder: Path) -> Data:
    images = fashion.enlarged(fashion.read(folder, "train"))
    return _divided(images, fashion.MEAN, fashion.STD)


def _divided(images: Images, mean: tuple[float, ...], std: tuple[float, ...]) -> Data:
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
    "cifar10": _cifar10,
    "fashion": _fashion,
    "specks": lambda _: _made(specks.make, 12_000, 3_000),
    "road": lambda _: _made(road.make, 12_000, 2_000),
    "object": lambda _: _made(things.make, 12_000, 2_000),
}
