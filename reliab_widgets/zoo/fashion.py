"""Fashion-MNIST: grey pictures of garments, made as large and as colourful as CIFAR-10's.

Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", arXiv 1708.07747. Divided like CIFAR-10: of each class, the last 500 of the
training file are the validation split. What it is: 28 x 28 pixels, one garment, black around it.
What it is not: photographs of people, or anything seen in colour.
"""

import gzip
from pathlib import Path

import numpy as np

from .cifar10 import Images, digest

CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
MEAN, STD = (0.219,) * 3, (0.332,) * 3
"""Of the training images, enlarged."""
SIDE = 28
PLACES = ("fashion-mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist")
"""Below the data folder, as `make data` and torchvision leave it, and where Debian puts it."""
FILES = {"train": "train", "test": "t10k"}
SHA256 = {
    "train": "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
    "test": "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
}


def read(folder: Path, part: str) -> Images:
    """Read all images of ``part`` ("train" or "test"), 28 x 28 and grey, and verify their pixels.

    Raises
    ------
    FileNotFoundError
        The files lie in none of the three places.
    ValueError
        The pixels are not those of Fashion-MNIST.
    """
    places = [folder / place for place in PLACES]
    place = next((place for place in places if (place / _file(part, "images")).exists()), None)
    if place is None:
        raise FileNotFoundError(
            f"Fashion-MNIST is not there: none of {', '.join(map(str, places))} has "
            f"{_file(part, 'images')}. `make data` fetches it (torchvision's download, or Debian's "
            "package dataset-fashion-mnist); or pass a folder that has it as --data."
        )
    pixels = _idx(place / _file(part, "images"), 16).reshape(-1, SIDE, SIDE, 1)
    images = Images(pixels, _idx(place / _file(part, "labels"), 8).astype(np.int64))
    seen = digest(images)
    if seen != SHA256[part]:
        raise ValueError(
            f"the {part} images in {place} are not Fashion-MNIST: sha256 of pixels and labels is "
            f"{seen}, expected {SHA256[part]}. Delete them and run `make data`."
        )
    return images


def enlarged(images: Images) -> Images:
    """Put two black pixels around grey images and give them three equal channels.

    Examples
    --------
    >>> enlarged(Images(np.ones((5, 28, 28, 1), np.uint8), np.arange(5))).pixels.shape
    (5, 32, 32, 3)
    """
    padded = np.pad(images.pixels, [(0, 0), (2, 2), (2, 2), (0, 0)])
    return Images(padded.repeat(3, 3), images.labels)


def _file(part: str, what: str) -> str:
    return f"{FILES[part]}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8)[header:]
