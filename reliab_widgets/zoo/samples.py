"""The images in the box: 2,000 of CIFAR-10's validation and 2,000 of its test images, lossless."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..ops.networks.files import damaged, facts_of
from . import cifar10
from .cifar10 import Images

if TYPE_CHECKING:
    from torch import Tensor

DATA = Path(__file__).parent / "data"
FACTS = "cifar10.json"
SPLITS = {"validation": "train", "test": "test"}
"""Each split, and the part of CIFAR-10 it is taken from."""

# Any width from 4 to 400 images gives the same file size within 0.3 %; this one is nice to look at.
COLUMNS = 40

CITATION = (
    "Alex Krizhevsky. Learning multiple layers of features from tiny images. "
    "Technical report, University of Toronto, 2009."
)
ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar.html"
TERMS = (
    "The page of the data set asks for citation of the technical report and gives no explicit "
    "licence. The licence of this package covers its code, not these images."
)


def load(split: str) -> Images:
    """Read the shipped images of ``split`` ("validation" or "test") and verify them.

    Raises
    ------
    ValueError
        A file is missing, or is not what was shipped.

    Examples
    --------
    >>> images = load("test")
    >>> images.pixels.shape, images.labels[:3]
    ((2000, 32, 32, 3), array([3, 8, 8]))
    """
    facts = facts_of(DATA / FACTS)[split]
    labels = np.asarray(facts["labels"], dtype=np.int64)
    path = DATA / facts["file"]
    try:
        with Image.open(path) as sheet:
            images = Images(_tiles(np.asarray(sheet.convert("RGB"))), labels)
    except (OSError, EOFError, ValueError) as error:
        raise damaged(path, str(error)) from error
    seen = cifar10.digest(images)
    if seen != facts["sha256"]:
        raise damaged(path, f"sha256 of pixels and labels is {seen}, expected {facts['sha256']}")
    return images


def write(data: Path) -> None:
    """Choose the images from the full CIFAR-10 in the folder ``data`` and write them to the box."""
    DATA.mkdir(exist_ok=True)
    facts: dict[str, object] = {
        "dataset": "CIFAR-10",
        "origin": ORIGIN,
        "citation": CITATION,
        "terms": TERMS,
        "classes": cifar10.CLASSES,
        "mean": cifar10.MEAN,
        "std": cifar10.STD,
        "layout": f"images of 32 x 32 pixels, row by row, {COLUMNS} in a row",
        "indices": "places in the original file, counted from 0 over all its batches in order",
        "sha256": "of the pixels (image, row, column, RGB) followed by the labels, a byte each",
    }
    for split, part in SPLITS.items():
        indices, images = choose(cifar10.read(data, part), split)
        path = DATA / f"{split}.webp"
        Image.fromarray(_sheet(images.pixels)).save(path, lossless=True, quality=100, method=6)
        facts[split] = {
            "file": path.name,
            "part": part,
            "sha256": cifar10.digest(images),
            "indices": indices.tolist(),
            "labels": images.labels.tolist(),
        }
    (DATA / FACTS).write_text(as_json(facts), encoding="utf-8")
    for split in SPLITS:
        load(split)  # refuses what did not survive the way to disk and back


def choose(full: Images, split: str) -> tuple[np.ndarray, Images]:
    """Give the shipped images of ``split`` and where they lie in their part of CIFAR-10."""
    pool = (
        cifar10.validation_indices(full.labels)
        if split == "validation"
        else np.arange(len(full.labels))
    )
    indices = pool[cifar10.shipped_indices(full.labels[pool])]
    return indices, Images(full.pixels[indices], full.labels[indices])


def as_images(pixels: np.ndarray) -> "Tensor":
    """Turn uint8 pixels ``(N, H, W, C)`` into images ``(N, C, H, W)``, float32 in [0, 1]."""
    import torch

    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


def as_json(facts: dict) -> str:
    """Write one line a key, which keeps long lists short and differences readable."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _sheet(pixels: np.ndarray) -> np.ndarray:
    n, height, width, channels = pixels.shape
    tiles = pixels.reshape(n // COLUMNS, COLUMNS, height, width, channels)
    return tiles.swapaxes(1, 2).reshape(-1, COLUMNS * width, channels)


def _tiles(sheet: np.ndarray) -> np.ndarray:
    return sheet.reshape(-1, 32, COLUMNS, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
