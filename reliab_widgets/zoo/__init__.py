"""Sample data and trained networks that come with the package: nothing is ever downloaded."""

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from .recipes import RECIPES

if TYPE_CHECKING:
    import numpy as np

    from ..subject import Subject

__all__ = ["demo", "names"]

_UNTRAINED = "-untrained"


def names() -> tuple[str, ...]:
    """List what ``demo`` can load: every trained network, and each architecture untrained.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()
    ('resnet20', ..., 'resnet20-untrained')
    """
    architectures = dict.fromkeys(recipe.architecture for recipe in RECIPES.values())
    return (*RECIPES, *(architecture + _UNTRAINED for architecture in architectures))


def demo(name: str = "resnet20", *, split: str = "test") -> "Subject":
    """Give a network of the zoo together with real images, ready for every analysis.

    Parameters
    ----------
    name : str
        One of ``names()``. ``-overfit`` was trained without augmentation and weight decay and is
        over-confident; ``-untrained`` has the random weights that training would begin with.
    split : {"test", "validation"}
        Which 2,000 images of CIFAR-10, 200 of each class. No network was trained on either. What
        is fitted belongs on the validation images, what is reported on the test images.

    Returns
    -------
    Subject
        The same object on every call. That of the test images knows the validation images as
        ``.validation``; both share one network.

    Raises
    ------
    ValueError
        No such name or split, or a file of the package is damaged.

    Examples
    --------
    >>> subject = demo("resnet20")
    >>> len(subject), subject.classes[3]
    (2000, 'cat')
    """
    if name not in names():
        near = get_close_matches(str(name), names(), n=3, cutoff=0.4)
        nearest = f"The nearest: {', '.join(near)}. " if near else ""
        raise ValueError(
            f"The zoo has no network {name!r}. {nearest}"
            f"Pass one of these as name=: {', '.join(names())}."
        )
    if split not in ("test", "validation"):
        raise ValueError(
            f'The zoo has no split {split!r}. Pass split="test" or split="validation".'
        )
    test, validation = _pair(name)
    return test if split == "test" else validation


@cache
def _pair(name: str) -> "tuple[Subject, Subject]":
    import torch

    from ..subject import Subject
    from . import cifar10, samples, weights

    def images(split: str) -> "tuple[torch.Tensor, np.ndarray]":
        pixels, labels = samples.load(split)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255, labels

    architecture = name.removesuffix(_UNTRAINED)
    model = weights.load(name) if name in RECIPES else weights.untrained(architecture)
    test = Subject(
        model,
        *images("test"),
        mean=cifar10.MEAN,
        std=cifar10.STD,
        classes=cifar10.CLASSES,
        name=name,
    )
    validation = test.with_images(
        *images("validation"),
        name=f"{name} (validation)",
        code=f'rw.demo("{name}", split="validation")',
    )
    return test.with_validation(validation, code=f'rw.demo("{name}")'), validation
