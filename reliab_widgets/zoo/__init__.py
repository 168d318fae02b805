"""Sample data and trained networks that come with the package: nothing is ever downloaded."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..core.analysis import checked
from ..core.knobs import Auto, Choice, Whole
from ..core.wording import problem
from ..ops.defences.catalogue import denoiser, denoisers
from .recipes import CLASSIFIERS, NETWORKS, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from ..core.subject import Subject

__all__ = ["classifiers", "demo", "denoiser", "denoisers", "names", "network"]

_UNTRAINED = "-untrained"
_WEIGHTS = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """List what ``demo`` can load: every trained classifier, and each architecture untrained.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()
    ('vgg', ..., 'googlenet-untrained', ...)
    """
    trained = (name for name in _in_the_box(NETWORKS) if NETWORKS[name].objective not in NUMBERS)
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


@checked
def demo(
    name: Annotated[str, Choice(lambda _: names(), what="network")] = "resnet20",
    *,
    split: Annotated[str, Choice(("test", "validation"))] = "test",
    n: Annotated[int | None, Auto(Whole(1, 2000, "a split has no more"))] = None,
) -> "Subject":
    """Give a network of the zoo together with real images, ready for every analysis.

    Parameters
    ----------
    name : str
        One of ``names()``. ``-overfit`` was trained without augmentation and weight decay and is
        over-confident; ``-untrained`` has the random weights that training would begin with.
    split : {"test", "validation"}
        Which images of what the network was trained for: 2,000 of CIFAR-10, 1,000 of Fashion-MNIST
        or of specks, as many of each class. No network was trained on either. What is fitted
        belongs on the validation images, what is reported on the test images.
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
    test, validation = _pair(name)
    subject = test if split == "test" else validation
    if n is None:
        return subject
    if n > len(subject):
        fix = f"Pass n= from 1 to {len(subject):,}"
        raise ValueError(problem("there are not so many images of this kind", f"got {n}", fix))
    return subject[:n]


@checked
def network(
    name: Annotated[str, Choice(lambda _: _in_the_box(NETWORKS), what="network")],
) -> "nn.Module":
    """Give a trained network alone, in eval mode; also those whose outputs are numbers.

    Parameters
    ----------
    name : str
        Of a recipe whose weights are in the box.

    Returns
    -------
    torch.nn.Module
        A new one each time. It takes images scaled as ``datasets.SOURCES`` says for its data.

    Raises
    ------
    ValueError
        No such network, or a file of the package is damaged.

    Examples
    --------
    >>> type(network("resnet20")).__name__
    'ResNet20'
    """
    from . import weights

    return weights.load(name)


def _in_the_box(known: "Iterable[str]") -> tuple[str, ...]:
    return tuple(name for name in known if (_WEIGHTS / f"{name}.json").exists())


@cache
def _pair(name: str) -> "tuple[Subject, Subject]":
    import torch

    from ..core.subject import Subject
    from . import datasets, weights

    trained = name in NETWORKS
    model = weights.load(name) if trained else weights.untrained(name.removesuffix(_UNTRAINED))
    of = datasets.source(NETWORKS[name].data if trained else "cifar10")
    mean, std, classes = datasets.SOURCES[of]
    # Enough to study the network by; the rest was verified by its checksum.
    few = (part[:16] for part in _images("test", of))
    studied = Subject(model, *few, mean=mean, std=std, classes=classes, name=name)
    known = weights.answers(name) if trained else {}

    def on(split: str, **words: str) -> "Subject":
        images, labels = _images(split, of)
        subject = studied.replaced(
            images=images,
            labels=labels,
            positions=torch.arange(len(labels)),
            **words,
        )
        return subject.knowing(known[split]) if split in known else subject

    validation = on(
        "validation",
        name=f"{name} (validation)",
        code=f'rw.demo("{name}", split="validation")',
    )
    return on("test").with_validation(validation, code=f'rw.demo("{name}")'), validation


@cache
def _images(split: str, of: str) -> "tuple[Tensor, Tensor]":
    """Give images and labels, which all networks share: 25 MB a split of CIFAR-10."""
    import torch

    from . import samples

    pixels, labels = samples.load(split, of)
    return samples.as_images(pixels), torch.from_numpy(labels)
