"""The images in the box: some of CIFAR-10's and Fashion-MNIST's validation and test images.

Those of the small world of specks are drawn when they are asked for.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ..ops.networks.files import damaged, facts_of
from . import cifar10, datasets, fashion
from .cifar10 import Images

if TYPE_CHECKING:
    from torch import Tensor

DATA = Path(__file__).parent / "data"
FACTS = "cifar10.json"
SPLITS = {"validation": "train", "test": "test"}
"""Each split, and the part of the data set it is taken from."""

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


class Sheets(NamedTuple):
    """A data set that some images of are in the box, and what is said about it there."""

    dataset: str
    read: Callable[[Path, str], Images]
    files: str
    origin: str
    citation: str
    terms: str


SHEETS = {
    "cifar10": Sheets(
        "CIFAR-10",
        lambda data, part: cifar10.read(data, part),  # looked up late, for tests
        "{}.webp",
        ORIGIN,
        CITATION,
        TERMS,
    ),
    "fashion": Sheets(
        "Fashion-MNIST",
        lambda data, part: fashion.read(data, part),
        "fashion-{}.webp",
        "https://github.com/zalandoresearch/fashion-mnist",
        "Han Xiao, Kashif Rasul, Roland Vollgraf. Fashion-MNIST: a novel image dataset for "
        "benchmarking machine learning algorithms. arXiv 1708.07747, 2017.",
        "MIT licence, copyright 2017 Zalando SE.",
    ),
}
"""By the names that recipes have for data sets."""
SHOWN = 1000
"""Images of a small world in a split."""


def load(split: str, of: str = "cifar10") -> Images:
    """Read the shipped images of ``split`` ("validation" or "test") and verify them.

    Parameters
    ----------
    split : str
        Which images.
    of : str
        Of which data: 2,000 of "cifar10" in a split, 1,000 of "fashion" and of a small world, all
        of three channels and, but for scenes, 32 x 32 pixels.

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
    if of in datasets.WORLDS:
        images = datasets.made(of, split)
        return images.part(np.arange(min(SHOWN, len(images.labels))))
    facts = facts_of(DATA / f"{of}.json")[split]
    labels = np.asarray(facts["labels"], dtype=np.int64)
    path = DATA / facts["file"]
    try:
        with Image.open(path) as sheet:
            pixels = _tiles(np.asarray(sheet.convert("RGB")))
    except (OSError, EOFError, ValueError) as error:
        raise damaged(path, str(error)) from error
    images = Images(pixels if of == "cifar10" else pixels[..., :1], labels)
    seen = cifar10.digest(images)
    if seen != facts["sha256"]:
        raise damaged(path, f"sha256 of pixels and labels is {seen}, expected {facts['sha256']}")
    return images if of == "cifar10" else fashion.enlarged(images)


def write(data: Path, of: str = "cifar10") -> None:
    """Choose images from a full data set in the folder ``data`` and write them to the box."""
    DATA.mkdir(exist_ok=True)
    source, scale = SHEETS[of], datasets.SOURCES[of]
    facts: dict[str, object] = {
        "dataset": source.dataset,
        "origin": source.origin,
        "citation": source.citation,
        "terms": source.terms,
        "classes": scale.classes,
        "mean": scale.mean,
        "std": scale.std,
        "layout": f"images, row by row, {COLUMNS} in a row",
        "indices": "places in the original file, counted from 0 over all its batches in order",
        "sha256": "of the pixels (image, row, column, channel) followed by the labels, a byte each",
    }
    for split, part in SPLITS.items():
        indices, images = choose(source.read(data, part), split, of)
        path = DATA / source.files.format(split)
        sheet = _sheet(np.broadcast_to(images.pixels, (*images.pixels.shape[:3], 3)))
        Image.fromarray(sheet).save(path, lossless=True, quality=100, method=6)
        facts[split] = {
            "file": path.name,
            "part": part,
            "sha256": cifar10.digest(images),
            "indices": indices.tolist(),
            "labels": images.labels.tolist(),
        }
    (DATA / f"{of}.json").write_text(as_json(facts), encoding="utf-8")
    for split in SPLITS:
        load(split, of)  # refuses what did not survive the way to disk and back


def choose(full: Images, split: str, of: str = "cifar10") -> tuple[np.ndarray, Images]:
    """Give the shipped images of ``split`` and where they lie in their part of the data set."""
    pool = (
        cifar10.validation_indices(full.labels)
        if split == "validation"
        else np.arange(len(full.labels))
    )
    shipped = slice(cifar10.SHIPPED_PER_CLASS // (1 if of == "cifar10" else 2))
    indices = pool[cifar10.of_each_class(full.labels[pool], shipped)]
    return indices, full.part(indices)


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
    side = sheet.shape[1] // COLUMNS
    return sheet.reshape(-1, side, COLUMNS, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
