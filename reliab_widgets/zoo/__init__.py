"""Sample data and trained networks that come with the package: nothing is ever downloaded."""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .recipes import CLASSIFIERS, DENOISERS, NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from ..subject import Subject

__all__ = ["classifiers", "demo", "denoiser", "denoisers", "names"]

_UNTRAINED = "-untrained"
_WEIGHTS = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """List what ``demo`` can load: every trained network, and each architecture untrained.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()
    ('vgg', ..., 'googlenet-untrained', ...)
    """
    trained = _in_the_box(NETWORKS)
    recipes = (recipe for recipe in NETWORKS.values() if recipe.data == "cifar10")
    architectures = dict.fromkeys(recipe.architecture for recipe in recipes)
    return (*trained, *(architecture + _UNTRAINED for architecture in architectures))


def classifiers() -> tuple[str, ...]:
    """List the classifiers that were trained alike and well, one of each family.

    Examples
    --------
    >>> "resnet20" in classifiers()
    True
    """
    return _in_the_box(CLASSIFIERS)


def denoisers() -> tuple[str, ...]:
    """List what ``denoiser`` can give: first those that were trained, then the plain filters.

    Examples
    --------
    >>> denoisers()
    (...'median', 'gaussian', 'jpeg', 'bits', 'tv')
    """
    from .filters import FILTERS

    return (*_in_the_box(DENOISERS), *FILTERS)


def demo(name: str = "resnet20", *, split: str = "test", n: int | None = None) -> "Subject":
    """Give a network of the zoo together with real images, ready for every analysis.

    Parameters
    ----------
    name : str
        One of ``names()``. ``-overfit`` was trained without augmentation and weight decay and is
        over-confident; ``-untrained`` has the random weights that training would begin with.
    split : {"test", "validation"}
        Which 2,000 images of CIFAR-10, 200 of each class. No network was trained on either. What
        is fitted belongs on the validation images, what is reported on the test images.
    n : int, optional
        Only the first n of them; they are in no particular order.

    Returns
    -------
    Subject
        Without ``n``, the same object on every call. That of the test images knows the
        validation images as ``.validation``; both share one network.

    Raises
    ------
    ValueError
        No such name, split or number of images, or a file of the package is damaged.

    Examples
    --------
    >>> subject = demo("resnet20")
    >>> len(subject), subject.classes[3]
    (2000, 'cat')
    """
    _known("network", name, names())
    if split not in ("test", "validation"):
        raise ValueError(
            f'The zoo has no split {split!r}. Pass split="test" or split="validation".'
        )
    test, validation = _pair(name)
    subject = test if split == "test" else validation
    if n is None:
        return subject
    if not (isinstance(n, int) and 1 <= n <= len(subject)):
        raise ValueError(
            f"The zoo has {len(subject):,} images in a split, {n!r} were asked for. Pass n= from 1 "
            f"to {len(subject):,}, or leave it out to have all."
        )
    return subject[:n]


@cache
def denoiser(name: str) -> "nn.Module":
    """Give a denoiser: a module from images ``(N, C, H, W)`` in [0, 1] to the same.

    Parameters
    ----------
    name : str
        One of ``denoisers()``. ``"pixel"`` and ``"guided"`` are U-Nets for 32 x 32 colour images,
        trained on attacked images: the first to come near the clean pixels, the second near the
        logits that a classifier gives for the clean image (Liao et al. 2018, "Defense against
        adversarial attacks using high-level representation guided denoiser", arXiv 1712.02976).
        The others are filters for images of any size.

    Returns
    -------
    torch.nn.Module
        In eval mode, the same object on every call.

    Raises
    ------
    ValueError
        No such name, or a file of the package is damaged.

    Examples
    --------
    >>> import torch
    >>> denoiser("bits")(torch.full((1, 3, 2, 2), 0.5)).unique()
    tensor([0.5333])
    """
    from . import weights
    from .filters import FILTERS

    _known("denoiser", name, denoisers())
    model = FILTERS[name]() if name in FILTERS else weights.load(name)
    return model.eval().requires_grad_(False)


def _in_the_box(known: "Iterable[str]") -> tuple[str, ...]:
    return tuple(name for name in known if (_WEIGHTS / f"{name}.json").exists())


def _known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        near = get_close_matches(str(name), known, n=3, cutoff=0.4)
        nearest = f"The nearest: {', '.join(near)}. " if near else ""
        raise ValueError(
            f"The zoo has no {kind} {name!r}. {nearest}"
            f"Pass one of these as name=: {', '.join(known)}."
        )


@cache
def _pair(name: str) -> "tuple[Subject, Subject]":
    import torch

    from ..subject import Subject
    from . import cifar10, weights

    architecture = name.removesuffix(_UNTRAINED)
    model = weights.load(name) if name in NETWORKS else weights.untrained(architecture)
    # Enough to study the network by; the rest was verified by its checksum.
    few = (part[:16] for part in _images("test"))
    studied = Subject(
        model, *few, mean=cifar10.MEAN, std=cifar10.STD, classes=cifar10.CLASSES, name=name
    )

    def on(split: str, **words: str) -> "Subject":
        images, labels = _images(split)
        return studied._with(
            images=images,
            labels=labels,
            _positions=torch.arange(len(labels)),
            _evaluations={},
            **words,
        )

    validation = on(
        "validation",
        name=f"{name} (validation)",
        code=f'rw.demo("{name}", split="validation")',
    )
    return on("test").with_validation(validation, code=f'rw.demo("{name}")'), validation


@cache
def _images(split: str) -> "tuple[Tensor, Tensor]":
    """Give images and labels, which all networks share: 25 MB a split."""
    import torch

    from . import samples

    pixels, labels = samples.load(split)
    return samples.as_images(pixels), torch.from_numpy(labels)
