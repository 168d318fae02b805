"""What an explanation compares an image with: the "nothing" that its pixels are replaced by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...subject import Subject
from ...validation import problem, shape
from ..shifts import blur_matrix

BASELINES = (
    "black",
    "white",
    "mean",
    "image-mean",
    "blur",
    "noise",
    "uniform",
    "max-distance",
    "training",
)
"""The names; ``"color:r,g,b"`` is one more."""
NUMBERS = {"blur": 0.1, "noise": 0.5, "training": 8.0}
"""The number that may follow a name, as in ``"blur:0.2"``, and what it is by default."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A baseline for any image: fixed values, or a rule that makes them of the image.

    Parameters
    ----------
    name : str
        What to call it.
    values : Tensor (k, C, H, W) or (k, C, 1, 1), optional
        Pixel units; if there are several, an explanation is averaged over them.
    rule : str
        Without values, one of the names that depend on the image.
    number : float
        Standard deviation of the blur (in sides of the image) or of the noise (pixel units).
    seed : int
        Of the noise; an image's noise depends on this and its index alone.

    Examples
    --------
    >>> Baseline("grey", torch.full((1, 1, 1, 1), 0.5))(torch.zeros(1, 2, 2), 0)
    tensor([[[[0.5000, 0.5000],
              [0.5000, 0.5000]]]])
    """

    name: str
    values: Tensor | None = None
    rule: str = ""
    number: float = 0.0
    seed: int = 0

    @property
    def draws(self) -> int:
        """How many baselines there are for one image."""
        return 1 if self.values is None else len(self.values)

    def __call__(self, image: Tensor, index: int) -> Tensor:
        """Return the baselines (k, C, H, W) of an image (C, H, W), the index-th of its set."""
        if self.values is not None:
            return self.values.expand(-1, *image.shape)
        if self.rule == "image-mean":
            made = image.mean((1, 2), keepdim=True).expand_as(image)
        elif self.rule == "blur":
            rows, columns = (
                blur_matrix(side, self.number * side).to(image) for side in image.shape[1:]
            )
            made = rows @ image @ columns.T
        elif self.rule == "max-distance":
            made = (image <= 0.5).to(image)
        else:
            key = np.array([self.seed, index], dtype=np.uint64)
            generator = np.random.Generator(np.random.Philox(key=key))
            if self.rule == "uniform":
                made = torch.from_numpy(generator.random(image.shape, dtype=np.float32))
            else:
                noise = generator.standard_normal(image.shape, dtype=np.float32)
                made = image + self.number * torch.from_numpy(noise)
        return made.clamp(0, 1)[None]


def baseline(given: Any, subject: Subject, seed: int = 0) -> Baseline:
    """Return the baseline of that name, or made of the values given, for images of a subject.

    Parameters
    ----------
    given : str or array_like
        One of:

        - ``"black"``, ``"white"``;
        - ``"mean"``: the mean of each channel over the training images: ``subject.mean`` if the
          images are normalised, else taken from the validation images, else from the images;
        - ``"image-mean"``: the mean of each channel of the image itself;
        - ``"blur"``: the image blurred, ``"blur:0.1"`` with a standard deviation of a tenth of its
          side;
        - ``"noise"``: the image with Gaussian noise, ``"noise:0.5"`` of that standard deviation;
        - ``"uniform"``: uniform noise;
        - ``"max-distance"``: black or white, whichever is farther, in each channel of each pixel;
        - ``"training"``: ``"training:8"`` images drawn from the validation images, over which
          explanations are averaged;
        - ``"color:r,g,b"``: one colour, each channel from 0 to 1;
        - a tensor or array: (C, H, W), or one number for each channel, in [0, 1].
    subject : Subject
        Whose images it is for.
    seed : int
        Of noise and drawn images.

    Returns
    -------
    Baseline

    Raises
    ------
    ValueError
        No such name, or values of another shape or range than the images.

    Notes
    -----
    Sturmfels, Lundberg and Lee 2020, doi 10.23915/distill.00022, compare most of these.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")[:4]
    >>> blurred = baseline("blur:0.2", subject)
    >>> blurred(subject.images[0], 0).shape
    torch.Size([1, 3, 32, 32])
    """
    if not isinstance(given, str):
        return Baseline("tensor", _values(given, subject))
    name, _, text = given.partition(":")
    channels = subject.images.shape[1]
    if name == "color":
        return Baseline(given, _color(given, text, channels))
    if name not in BASELINES or (text and name not in NUMBERS):
        raise ValueError(
            problem(
                "there is no baseline of that name",
                f"got {given!r}",
                f"Choose baselines= from {', '.join(map(repr, BASELINES))}, 'color:r,g,b', "
                "'blur:0.2', 'noise:0.1', 'training:32', or pass a tensor",
            )
        )
    number = _number(given, name, text)
    if name in ("black", "white"):
        return Baseline(given, torch.full((1, channels, 1, 1), float(name == "white")))
    if name == "mean":
        mean, _ = training_mean(subject)
        return Baseline(given, mean.view(1, -1, 1, 1))
    if name == "training":
        return Baseline(given, _samples(subject, int(number), seed))
    return Baseline(given, None, name, number, seed)


def baselines(given: Any, subject: Subject, seed: int = 0) -> tuple[Baseline, ...]:
    """Return one baseline or several, each under a name of its own.

    Parameters
    ----------
    given : str, array_like, or sequence of these
        See `baseline`.
    subject, seed
        As for `baseline`.

    Raises
    ------
    ValueError
        None is given, or one twice.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> [one.name for one in baselines(("black", "blur"), rw.demo("resnet20"))]
    ['black', 'blur']
    """
    made = [baseline(one, subject, seed) for one in several(given)]
    tensors = [one for one in made if one.name == "tensor"]
    if len(tensors) > 1:
        numbers = {id(one): number for number, one in enumerate(tensors, 1)}
        made = [
            replace(one, name=f"tensor {numbers[id(one)]}") if id(one) in numbers else one
            for one in made
        ]
    names = [one.name for one in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not made:
        happened = "a baseline is given twice" if made else "no baseline is given"
        seen = f"got {twice!r} more than once" if made else "baselines is empty"
        fix = "Leave one of them out of baselines=" if made else "Pass baselines='black'"
        raise ValueError(problem(happened, seen, fix))
    return tuple(made)


def several(given: Any) -> list[Any]:
    """Return one thing or several as a list; names and arrays are one thing.

    Examples
    --------
    >>> several("black"), several(("black", "white"))
    (['black'], ['black', 'white'])
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        return [given]
    is_color = len(given) > 0 and all(isinstance(value, int | float) for value in given)
    return [given] if is_color else list(given)


def training_mean(subject: Subject) -> tuple[Tensor, str]:
    """Return the mean of each channel over the training images, (C,), and where it is from.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> mean, source = training_mean(rw.demo("resnet20"))
    >>> mean, source
    (tensor([0.4914, 0.4822, 0.4465]), 'the mean= that images are normalised with')
    """
    if subject.mean is not None:
        return torch.tensor(subject.mean), "the mean= that images are normalised with"
    if subject.validation is not None:
        return subject.validation.images.mean((0, 2, 3)), "the validation images"
    return subject.images.mean((0, 2, 3)), f"the {len(subject)} images of the subject itself"


def _samples(subject: Subject, count: int, seed: int) -> Tensor:
    pool = subject if subject.validation is None else subject.validation
    if count > len(pool):
        seen = f"got {count}, there are {len(pool)} images to draw from"
        raise ValueError(
            problem("'training' asks for too many images", seen, f"Pass 'training:{len(pool)}'")
        )
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=False)
    return pool.images[np.sort(chosen)]


def _number(given: str, name: str, text: str) -> float:
    number = NUMBERS.get(name, 0.0)
    if text:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
    if name in NUMBERS and not (0 < number < float("inf")):
        fix = f"Write it as {name + f':{NUMBERS[name]:g}'!r}"
        raise ValueError(
            problem(f"the number after {name!r} must be greater than 0", f"got {given!r}", fix)
        )
    if name == "training" and number != int(number):
        fix = "Write it as 'training:8'"
        raise ValueError(
            problem("'training' takes a whole number of images", f"got {given!r}", fix)
        )
    return number


def _color(given: str, text: str, channels: int) -> Tensor:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != channels or not all(0 <= value <= 1 for value in values):
        example = "color:" + ",".join(["0.5"] * channels)
        raise ValueError(
            problem(
                f"a colour needs {channels} number{'s' * (channels > 1)} from 0 to 1, one for "
                "each channel",
                f"got {given!r}",
                f"Write it as {example!r}",
            )
        )
    return torch.tensor(values).view(1, -1, 1, 1)


def _values(given: Any, subject: Subject) -> Tensor:
    size = tuple(subject.images.shape[1:])
    try:
        values = torch.as_tensor(given).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError) as error:
        seen = f"got {type(given).__name__}"
        fix = f"Pass a name, or a tensor of {shape(size)} in baselines="
        raise TypeError(problem("a baseline cannot be made an array", seen, fix)) from error
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim <= 1 and values.numel() in (1, size[0]):
        values = values.view(-1, 1, 1).expand(size[0], 1, 1)
    elif tuple(values.shape) != size:
        side = values.ndim == 3 and values.shape[0] == size[0]
        fix = (
            f"Resize it: torch.nn.functional.interpolate(baseline[None], {size[1:]})"
            if side
            else f"Pass {shape(size)} values in baselines=, or {size[0]}, one for each channel"
        )
        seen = f"got {shape(values.shape) or 'a number'}, the images are {shape(size)}"
        raise ValueError(problem("a baseline has another shape than the images", seen, fix))
    low, high = values.min().item(), values.max().item()
    if not (low >= 0 and high <= 1):  # NaN fails both
        fix = "Pass it in pixel units, 0 to 1: 0-255 divided by 255, and not normalised"
        seen = f"got values from {low:g} to {high:g}"
        raise ValueError(problem("a baseline has another range than the images", seen, fix))
    return values[None]
