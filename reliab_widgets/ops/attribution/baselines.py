"""What an explanation compares an image with: the "nothing" that its pixels are replaced by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import checked
from ...core.knobs import Kind, Seed, Several
from ...core.subject import Subject
from ...core.wording import nearest, problem, shape
from ..corruptions.severities import blur_matrix

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
            return self.values.to(image).expand(-1, *image.shape)
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


@dataclass(frozen=True)
class BaselineKind(Kind):
    """A baseline: a name, or values; its form is the name, a tuple of numbers, or a tensor.

    Parameters
    ----------
    words : tuple of str
        What else stands for one, such as ``"own"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> BaselineKind().check("baselines", np.array([0, 0.5, 1]), rw.demo("resnet20"))
    (0.0, 0.5, 1.0)
    """

    words: tuple[str, ...] = ()

    def check(self, name: str, value: Any, about: Any) -> str | tuple[float, ...] | Tensor:
        """Return a name, one number for each channel, or (C, H, W) values, all in pixel units."""
        if not isinstance(value, str):
            return _values(name, value, about)
        if value not in self.words:
            _check_name(name, value, about)
        return str(value)

    def plain(self, value: Any, about: Any) -> Any:
        """Return what the baseline is called in a result, or its numbers."""
        return "tensor" if isinstance(value, Tensor) else value


@dataclass(frozen=True)
class Baselines(Several):
    """One baseline or several different ones.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> Baselines(BaselineKind()).check("baselines", "black", rw.demo("resnet20"))
    ('black',)
    """

    def check(self, name: str, value: Any, about: Any) -> tuple[Any, ...]:
        """Return a tuple of baselines in their normal form."""
        found = super().check(name, several(value), about)
        names = [one for one in found if isinstance(one, str)]
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            fix = f"Leave one of them out of {name}="
            seen = f"got {twice!r} more than once"
            raise ValueError(problem("a baseline is given twice", seen, fix))
        return found


Given: TypeAlias = Annotated[Any, BaselineKind()]
SeveralGiven: TypeAlias = Annotated[Any, Baselines(BaselineKind(), least=1)]


def made(values: Sequence[Any], subject: Subject, seed: int) -> tuple[Baseline, ...]:
    """Make baselines of values in normal form, each under a name of its own.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> [one.name for one in made(("black", (0.1, 0.2, 0.3)), rw.demo("resnet20"), 0)]
    ['black', 'tensor']
    """
    many = sum(not isinstance(value, str) for value in values) > 1
    found, numbered = [], 0
    for value in values:
        numbered += not isinstance(value, str)
        found.append(_made(value, f"tensor {numbered}" if many else "tensor", subject, seed))
    return tuple(found)


def _made(value: Any, called: str, subject: Subject, seed: int) -> Baseline:
    if isinstance(value, Tensor):
        return Baseline(called, value[None])
    if isinstance(value, tuple):
        return Baseline(called, torch.tensor(value).view(1, -1, 1, 1))
    name, _, text = value.partition(":")
    if name == "color":
        return Baseline(value, torch.tensor(_floats(text)).view(1, -1, 1, 1))
    if name in ("black", "white"):
        channels = subject.images.shape[1]
        return Baseline(value, torch.full((1, channels, 1, 1), float(name == "white")))
    if name == "mean":
        mean, _ = training_mean(subject)
        return Baseline(value, mean.view(1, -1, 1, 1))
    number = float(text) if text else NUMBERS.get(name, 0.0)
    if name == "training":
        return Baseline(value, _samples(subject, int(number), seed))
    return Baseline(value, None, name, number, seed)


@checked
def baseline(baseline: Given, subject: Subject, seed: Seed = 0) -> Baseline:
    """Return the baseline of that name, or made of the values given, for images of a subject.

    Parameters
    ----------
    baseline : str or array_like
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
    return made((baseline,), subject, seed)[0]


@checked
def baselines(baselines: SeveralGiven, subject: Subject, seed: Seed = 0) -> tuple[Baseline, ...]:
    """Return one baseline or several, each under a name of its own.

    Parameters
    ----------
    baselines : str, array_like, or sequence of these
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
    return made(baselines, subject, seed)


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
    pool = _pool(subject)
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=False)
    return pool.images[np.sort(chosen)]


def _pool(subject: Subject) -> Subject:
    return subject if subject.validation is None else subject.validation


def _check_name(knob: str, given: str, subject: Subject) -> None:
    name, _, text = given.partition(":")
    if name == "color":
        _check_colour(given, text, subject.images.shape[1])
    elif name not in BASELINES or (text and name not in NUMBERS):
        fix = (
            f"{nearest(name, BASELINES)}Choose {knob}= from {', '.join(map(repr, BASELINES))}, "
            "'color:r,g,b', 'blur:0.2', 'noise:0.1', 'training:32', or pass a tensor"
        )
        raise ValueError(problem("there is no baseline of that name", f"got {given!r}", fix))
    elif text:
        _check_number(given, name, text)
    if name == "training":
        count, most = int(float(text or NUMBERS[name])), len(_pool(subject))
        if count > most:
            happened = "'training' asks for too many images"
            seen = f"got {count}, there are {most} images to draw from"
            raise ValueError(problem(happened, seen, f"Pass 'training:{most}'"))


def _check_number(given: str, name: str, text: str) -> None:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        happened = f"the number after {name!r} must be greater than 0"
        fix = f"Write it as {f'{name}:{NUMBERS[name]:g}'!r}"
        raise ValueError(problem(happened, f"got {given!r}", fix))
    if name == "training" and number != int(number):
        happened = "'training' takes a whole number of images"
        raise ValueError(problem(happened, f"got {given!r}", "Write it as 'training:8'"))


def _check_colour(given: str, text: str, channels: int) -> None:
    values = _floats(text)
    if len(values) != channels or not all(0 <= value <= 1 for value in values):
        many = f"{channels} number{'s' * (channels > 1)}"
        happened = f"a colour needs {many} from 0 to 1, one for each channel"
        fix = f"Write it as {'color:' + ','.join(['0.5'] * channels)!r}"
        raise ValueError(problem(happened, f"got {given!r}", fix))


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def _values(name: str, given: Any, subject: Subject) -> tuple[float, ...] | Tensor:
    size = tuple(subject.images.shape[1:])
    try:
        values = np.asarray(given.detach().cpu().double() if isinstance(given, Tensor) else given)
        if values.dtype.kind not in "fiu":  # True is no number here, and a text none either
            raise TypeError
    except (TypeError, ValueError, RuntimeError) as error:
        seen = f"got {type(given).__name__}"
        fix = f"Pass a name, or a tensor of {shape(size)} in {name}="
        raise TypeError(problem("a baseline cannot be made an array", seen, fix)) from error
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    is_colour = values.ndim <= 1 and values.size in (1, size[0])
    if not is_colour and values.shape != size:
        side = values.ndim == 3 and values.shape[0] == size[0]
        fix = (
            f"Resize it: torch.nn.functional.interpolate(baseline[None], {size[1:]})"
            if side
            else f"Pass {shape(size)} values in {name}=, or {size[0]}, one for each channel"
        )
        seen = f"got {shape(values.shape) or 'a number'}, the images are {shape(size)}"
        raise ValueError(problem("a baseline has another shape than the images", seen, fix))
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # NaN fails both
        fix = f"Pass {name}= in pixel units, 0 to 1: 0-255 divided by 255, and not normalised"
        seen = f"got values from {low:g} to {high:g}"
        raise ValueError(problem("a baseline has another range than the images", seen, fix))
    if is_colour:
        return tuple(np.broadcast_to(values, size[:1]).astype(float).tolist())
    return torch.from_numpy(np.array(values, dtype=np.float32))  # a copy: it must not change
