"""Images, labels and normalisation out of any torch data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from .randomness import own_generators
from .validation import rescaled
from .wording import problem, shape

OTHERS = "transform=lambda image: torch.as_tensor(np.array(image)){}"


@dataclass(frozen=True)
class Sample:
    """Items of a data set, in pixel units where its normalisation could be undone."""

    images: Tensor
    labels: list[Any]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def sample(
    dataset: Any, n: int, seed: int, transform: Callable[[Any], Any] | None = None
) -> Sample:
    """Take ``n`` items of a data set at random (of one that only iterates, the first ``n``).

    A ``Normalize`` in the transforms is undone and its numbers are returned. Random transforms
    draw from generators of our own, seeded by ``seed``.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> items = TensorDataset(torch.rand(5, 1, 2, 2, generator=torch.Generator()), torch.arange(5))
    >>> sorted(sample(items, n=9, seed=0).labels), sample(items, n=9, seed=0).notes
    ([0, 1, 2, 3, 4], ('the data set has only 5 items: all are used',))
    """
    if isinstance(dataset, DataLoader):
        dataset = dataset.dataset
    notes: list[str] = []
    pictures, labels = [], []
    with own_generators(seed):
        for index, item in _items(dataset, n, seed):
            picture, label = _pair(item, index)
            pictures.append(_to_tensor(transform(picture) if transform else picture, index))
            if isinstance(label, Tensor | np.ndarray):
                label = label.item() if math.prod(label.shape) == 1 else label.tolist()
            labels.append(label)
    if len(pictures) < n:
        notes.append(f"the data set has only {len(pictures)} items: all are used")
    images = _stacked(pictures)
    if not images.is_floating_point():
        kind = images.dtype
        images, note = rescaled(images, OTHERS)
        if kind != torch.uint8:  # which every picture is that says nothing else
            notes.append(note)

    mean = std = None
    found = [*_normalisations(transform)]
    for layer in _layers(dataset):
        own = getattr(layer, "transform", None) or getattr(layer, "transforms", None)
        found += _normalisations(own)
    if len(found) > 1:
        seen = " and ".join(f"mean={tuple(mean)}" for mean, _ in found)
        fix = "Take all but one out, or all and pass mean= and std="
        raise ValueError(problem("the transforms normalise more than once", seen, fix))
    if found:
        channels = images.shape[1]
        mean, std = (tuple(map(float, x)) * (channels if len(x) == 1 else 1) for x in found[0])
        scale, offset = (torch.tensor(x, device="cpu").view(-1, 1, 1) for x in (std, mean))
        images = images * scale + offset
        notes.append("Normalize was undone in the images and given to the model as mean= and std=")
    return Sample(images, labels, mean, std, _class_names(dataset), tuple(notes))


def _items(dataset: Any, n: int, seed: int) -> Iterator[tuple[int, Any]]:
    iterates = isinstance(dataset, IterableDataset)  # it may have a length and still no items
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__") and not iterates:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(dataset), generator=generator, device="cpu")[:n].tolist()
        for index in order if n < len(dataset) else range(len(dataset)):
            try:
                item = dataset[index]
            except Exception as error:
                seen = f"item {index} gave {type(error).__name__}: {str(error).rstrip('.')}"
                fix = f"Check that dataset[{index}] works"
                raise ValueError(problem("the data set cannot be read", seen, fix)) from error
            yield index, item
    elif hasattr(dataset, "__iter__"):
        yield from enumerate(islice(dataset, n))
    else:
        seen = f"got {type(dataset).__name__}"
        fix = "Pass dataset= as a torch Dataset, an IterableDataset or a DataLoader"
        raise TypeError(problem("dataset is not a data set", seen, fix))


def _pair(item: Any, index: int) -> tuple[Any, Any]:
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    seen = f"item {index} is a {type(item).__name__}"
    if hasattr(item, "keys"):
        seen += f" with {', '.join(map(repr, item.keys()))}"
    elif isinstance(item, tuple | list):
        seen += f" of {len(item)}"
    fix = "Wrap dataset= so that its items are (image, label), or pass tensors to rw.Subject"
    raise ValueError(problem("an item of the data set is not an (image, label) pair", seen, fix))


def _to_tensor(picture: Any, index: int) -> Tensor:
    """Bring a PIL image, array or tensor to C x H x W, in the numbers that it has."""
    if hasattr(picture, "getbands"):  # PIL, which need not be installed to say so
        if picture.mode[0] not in "IF":  # 16 and 32 bits: convert() would make them white
            picture = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        picture = np.array(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim == 3 and picture.shape[-1] in (1, 3, 4) and picture.shape[0] > 4:
            picture = picture.transpose(2, 0, 1)
        picture = torch.from_numpy(picture.astype(picture.dtype.newbyteorder("=")))
    if not isinstance(picture, Tensor) or picture.ndim not in (2, 3):
        seen = f"item {index} holds a {type(picture).__name__}"
        seen += f" of {tuple(picture.shape)}" if isinstance(picture, Tensor) else ""
        fix = "Give the data set a transform that ends in ToTensor, or pass transform="
        raise ValueError(problem("an item of the data set holds no image", seen, fix))
    picture = picture.detach().as_subclass(Tensor).cpu()
    if picture.ndim == 2:
        picture = picture[None]
    return picture.float() if picture.is_floating_point() else picture


def _stacked(pictures: list[Tensor]) -> Tensor:
    if not pictures:
        fix = "Pass dataset= with at least one item"
        raise ValueError(problem("the data set is empty", "got 0 items", fix))
    sizes = list(dict.fromkeys(tuple(picture.shape) for picture in pictures))
    if len(sizes) > 1:
        raise ValueError(
            problem(
                "the images of the data set differ in size",
                f"got {shape(sizes[0])} and {shape(sizes[1])} (C x H x W)",
                "Pass transform= with Resize and CenterCrop, e.g. that of the model's weights, "
                'and image.convert("RGB") where some are grey',
            )
        )
    kinds = list(dict.fromkeys(picture.dtype for picture in pictures))
    if len(kinds) > 1:
        seen = f"got {' and '.join(str(kind).removeprefix('torch.') for kind in kinds[:2])}"
        fix = "Pass transform= that gives all of one kind, floats in [0, 1]"
        raise ValueError(problem("the images of the data set differ in kind", seen, fix))
    return torch.stack(pictures)


def _layers(dataset: Any) -> Iterator[Any]:
    """Yield the data set and what it is a subset of, outermost first."""
    while dataset is not None:
        yield dataset
        dataset = getattr(dataset, "dataset", None)


def _normalisations(transform: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (mean, std) of each normalising step, by its attributes: no torchvision needed here."""
    mean, std = getattr(transform, "mean", None), getattr(transform, "std", None)
    if hasattr(mean, "__len__") and hasattr(std, "__len__"):
        yield mean, std
    elif hasattr(transform, "transforms") and isinstance(transform.transforms, list | tuple):
        for step in transform.transforms:
            yield from _normalisations(step)
    elif isinstance(transform, torch.nn.Sequential):
        for step in transform:
            yield from _normalisations(step)


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    for layer in _layers(dataset):
        names = getattr(layer, "classes", None)
        if isinstance(names, list | tuple):  # ImageNet gives each class a tuple of synonyms
            return tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
    return None
