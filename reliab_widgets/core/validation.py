"""What users give, checked once and made uniform; what is wrong is said in three parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from hashlib import blake2b
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .knobs import is_whole
from .wording import problem, shape

TOLERANCE = 1e-4  # outside [0, 1]: the rounding of a resize or of undoing a normalisation
SIZES = (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 84, 96, 112, 128, 160, 192, 224, 240, 256)


# --- images -----------------------------------------------------------------------------------


def check_images(given: Any) -> tuple[Tensor, tuple[str, ...]]:
    """Return images as a new (N, C, H, W) float32 tensor in [0, 1] on the CPU, and notes.

    Examples
    --------
    >>> images, notes = check_images(np.full((1, 1, 2, 2), 255, dtype=np.uint8))
    >>> images.max().item(), notes
    (1.0, ('uint8 images were scaled from 0-255 to 0-1',))
    """
    images = _tensor(given)
    _check_layout(images)
    if not images.is_floating_point():
        scaled, note = rescaled(images)
        return scaled, (note,)
    images = images.detach().to("cpu", torch.float32, copy=True).contiguous()
    _check_range(images)
    return images.clamp_(0, 1), ()


def rescaled(images: Tensor, wish: str = "images=images{}") -> tuple[Tensor, str]:
    """Bring whole numbers to floats in [0, 1] by the range of their kind, and say so.

    Parameters
    ----------
    images : Tensor
        Of uint8, uint16 or bool.
    wish : str
        How a user would pass other ones, with a place for what to do with them.

    Raises
    ------
    TypeError
        They are of a kind whose range is no range of pixels.
    ValueError
        They use so little of their range that another one must be meant.

    Examples
    --------
    >>> rescaled(torch.tensor([0, 51], dtype=torch.uint8))
    (tensor([0.0000, 0.2000]), 'uint8 images were scaled from 0-255 to 0-1')
    """
    values = images.detach().cpu().numpy()
    if images.dtype == torch.bool:
        return torch.from_numpy(values.astype(np.float32)), "bool images are black and white"
    low, high = values.min(), values.max()
    seen, most = f"got {_dtype(images)} from {low} to {high}", _RANGES.get(images.dtype)
    if most is None:
        fix = f"Pass {wish.format('.float()')} if they are 0 and 1"
        if high > 1:
            white = 255 if high < 256 else 4095 if high < 4096 else 65535
            fix = f"Pass {wish.format(f' / {white}')} if {white} is white"
        raise TypeError(problem("images are neither uint8, uint16 nor floats", seen, fix))
    if most == 255 and high == 1:
        fix = f"Pass {wish.format('.float()')} if 1 is white, {wish.format(' / 255')} if 255 is"
        raise ValueError(problem("images may be black and white, or almost black", seen, fix))
    if most == 65535 and 0 < high < 4096:
        white = 4095 if high > 255 else 255
        fix = f"Pass {wish.format(f' / {white}')} if {white} is white, else divide by 65535"
        raise ValueError(problem("images use little of their 16 bits", seen, fix))
    scaled = torch.from_numpy(values.astype(np.float32) / np.float32(most))
    return scaled, f"{_dtype(images)} images were scaled from 0-{most} to 0-1"


_RANGES = {torch.uint8: 255, torch.uint16: 65535}


def _tensor(given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given.detach()
    if isinstance(given, Dataset | DataLoader):
        fix = "Use rw.Subject.from_dataset(model, dataset), which finds the labels, too"
        raise TypeError(problem("images are a data set", f"got {type(given).__name__}", fix))
    try:
        if isinstance(given, list | tuple) and given and isinstance(given[0], Tensor):
            return torch.stack(list(given)).detach()
        array = np.array(given)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            problem(
                "images cannot be made one array",
                f"got {type(given).__name__} ({str(error).splitlines()[0]})",
                "Pass images= as one tensor or numpy array of N x C x H x W, all of one size",
            )
        ) from error


def _check_layout(images: Tensor) -> None:
    size = tuple(images.shape)
    if images.numel() == 0:
        raise ValueError(
            problem("images is empty", f"got shape {size}", "Pass at least one image in images=")
        )
    if images.ndim != 4:
        if images.ndim == 3 and size[0] in (1, 3, 4):
            fix = "For one image of C x H x W pass images=images[None] and labels=[label]"
        elif images.ndim == 3 and size[-1] in (1, 3, 4):
            fix = "For one image of H x W x C pass images=images.transpose(2, 0, 1)[None] (numpy)"
        elif images.ndim == 3:
            fix = "For grey images of N x H x W pass images=images[:, None]"
        elif images.ndim == 2 and (side := math.isqrt(size[1])) ** 2 == size[1]:
            fix = f"For flat grey images pass images=images.reshape(-1, 1, {side}, {side})"
        elif images.ndim == 5 and 1 in size[1:]:
            axis = 1 + size[1:].index(1)
            fix = f"If that axis means nothing, pass images=images.squeeze({axis})"
        else:
            fix = "Pass images= as one tensor or numpy array with channels, rows and columns"
        raise ValueError(
            problem("images must be N x C x H x W", f"got {len(size)} dimensions, {size}", fix)
        )
    if size[-1] in (1, 3, 4) and size[1] not in (1, 3, 4):
        raise ValueError(
            problem(
                "images look like N x H x W x C, channels must come first",
                f"got shape {size}",
                "Pass images=images.permute(0, 3, 1, 2) (torch) or "
                "images=images.transpose(0, 3, 1, 2) (numpy)",
            )
        )


def _check_range(images: Tensor) -> None:
    bad = ~images.isfinite().flatten(1).all(1)
    if bad.any():
        raise ValueError(
            problem(
                "images hold NaN or infinity",
                f"in {int(bad.sum())} of {len(images)} images, first at {int(bad.nonzero()[0])}",
                "Pass images= without them, e.g. images[images.isfinite().flatten(1).all(1)]",
            )
        )
    low, high = images.min().item(), images.max().item()
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return
    if low >= -0.5 and high <= 1.5:
        fix = (
            "If a resize overshot, pass images=images.clamp(0, 1) (torch) or images.clip(0, 1) "
            "(numpy)"
        )
    elif low >= 0:
        fix = "If they are pixels of 0 to 255, pass images=images / 255"
    elif low >= -1 - TOLERANCE and high <= 1 + TOLERANCE:
        fix = (
            "If they were scaled to -1 to 1, pass images=(images + 1) / 2 and "
            "mean= and std= of 0.5 for each channel"
        )
    else:
        fix = (
            "If they were normalised, take Normalize out of the transform and pass its numbers as "
            "mean= and std=, or undo it: images=images * std + mean"
        )
    raise ValueError(
        problem("images must lie in [0, 1], in pixel units", f"got {low:.4g} to {high:.4g}", fix)
    )


# --- labels, classes, channels, device --------------------------------------------------------


def check_labels(given: Any, count: int) -> Tensor:
    """Return labels as a new (N,) int64 tensor on the CPU.

    Examples
    --------
    >>> check_labels([2, 0], count=2)
    tensor([2, 0])
    """
    if isinstance(given, list | tuple) and any(isinstance(label, Tensor) for label in given):
        given = [label.tolist() if isinstance(label, Tensor) else label for label in given]
    try:
        labels = np.array(given.detach().cpu().numpy() if isinstance(given, Tensor) else given)
    except ValueError as error:
        raise _label_error(
            "are not one array", str(error), "Pass one class number per image"
        ) from error
    seen = f"got {labels.dtype} of shape {labels.shape}"
    if labels.ndim == 2 and labels.dtype.kind in "biuf" and labels.shape[1] > 1:
        raise _label_error(
            "must be class numbers, (N,)", seen, "If they are one-hot, pass labels=labels.argmax(1)"
        )
    if labels.ndim != 1:
        fix = (
            "Pass labels=[label] for one image"
            if labels.ndim == 0
            else "Pass labels=labels.flatten()"
        )
        raise _label_error("must be one number per image, (N,)", seen, fix)
    if len(labels) != count:
        raise _label_error(
            "must be as many as the images",
            f"got {len(labels)} labels and {count} images",
            "Pass images= and labels= of the same items",
        )
    if labels.dtype.kind == "f":
        whole = bool((labels == np.floor(labels)).all())
        fix = (
            "Cast them: labels=labels.long() (torch) or labels.astype(int) (numpy)"
            if whole
            else "Pass the class number of each image; regression targets cannot be used"
        )
        raise _label_error("must be whole numbers", seen, fix, TypeError)
    if labels.dtype.kind not in "biu":
        fix = (
            "Pass class numbers, e.g. labels=[classes.index(name) for name in labels], and classes="
        )
        raise _label_error("must be class numbers", seen, fix, TypeError)
    return torch.from_numpy(labels.astype(np.int64))


def _label_error(
    happened: str, seen: str, fix: str, kind: type[Exception] = ValueError
) -> Exception:
    return kind(problem(f"labels {happened}", seen, fix))


def check_label_range(labels: Tensor, count: int) -> None:
    """Refuse labels that name no class of the model.

    Examples
    --------
    >>> check_label_range(torch.tensor([0, 9]), count=10)
    """
    low, high = int(labels.min()), int(labels.max())
    wrong = high if high >= count else low
    if not 0 <= wrong < count:
        fix = (
            "Pass labels=labels - 1 if they begin at 1"
            if low == 1 and high == count
            else "Pass labels= that belong to this model"
        )
        raise ValueError(
            problem(
                "labels are out of range",
                f"the model has {count} classes (0-{count - 1}), labels contain {wrong}",
                fix,
            )
        )


def other_classes(one: Sequence[str], other: Sequence[str]) -> str:
    """Say how the classes of one network are others than those of another, or nothing.

    Where nobody named them they have numbers, and may be any.

    Examples
    --------
    >>> other_classes(("cat", "dog"), ("cat", "bag")), other_classes(("0", "1"), ("cat", "bag"))
    ("class 1 is 'dog', not 'bag'", '')
    """
    if len(one) != len(other):
        return f"{len(one)} classes, not {len(other)}"
    numbers = tuple(map(str, range(len(one))))
    if numbers in (tuple(one), tuple(other)):
        return ""
    pairs = enumerate(zip(one, other, strict=True))
    told = (f"class {k} is {mine!r}, not {its!r}" for k, (mine, its) in pairs if mine != its)
    return next(told, "")


def check_classes(given: Iterable[str] | Mapping[Any, Any] | None, count: int) -> tuple[str, ...]:
    """Return one name per class: the given ones, or the class numbers.

    Examples
    --------
    >>> check_classes(None, 3), check_classes({"dog": 1, "cat": 0}, 2)
    (('0', '1', '2'), ('cat', 'dog'))
    """
    if given is None:
        return tuple(map(str, range(count)))
    if isinstance(given, Mapping):
        return _in_order(given, count)
    if isinstance(given, Set):
        seen, fix = f"got a {type(given).__name__}", "Pass classes= as a list, in order of outputs"
        raise TypeError(problem("classes in a set have no order", seen, fix))
    listed = not isinstance(given, str) and isinstance(given, Iterable)
    names = tuple(map(str, given)) if listed else ()
    if len(names) != count:
        seen = f"got {len(names)} names" if listed else f"got {given!r}"
        raise ValueError(
            problem(
                "classes must have one name per class",
                f"{seen}, the model has {count} classes",
                f"Pass classes= with {count} names in the order of the model's outputs",
            )
        )
    return names


def _in_order(given: Mapping[Any, Any], count: int) -> tuple[str, ...]:
    """Bring {index: name} or {name: index} into the order of the indices."""
    for pairs in (list(given.items()), [(index, name) for name, index in given.items()]):
        # JSON turns whole numbers that are keys into texts.
        numbers = [
            int(index) if is_whole(index) or (isinstance(index, str) and index.isdecimal()) else -1
            for index, _ in pairs
        ]
        if sorted(numbers) == list(range(count)):
            return tuple(str(pairs[numbers.index(index)][1]) for index in range(count))
    raise ValueError(
        problem(
            "classes must have one name per class",
            f"got a dict of {len(given)}, the model has {count} classes",
            f"Pass classes= as {{index: name}} or {{name: index}} with every index of 0 to "
            f"{count - 1} once",
        )
    )


def told_apart(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give classes of equal names their index, and say so.

    Examples
    --------
    >>> told_apart(("crane", "dog", "crane"))[0]
    ('crane (0)', 'dog', 'crane (2)')
    """
    found = names
    while len(set(found)) < len(found):
        counts = Counter(found)
        found = tuple(f"{it} ({k})" if counts[it] > 1 else it for k, it in enumerate(found))
    changed = [new for old, new in zip(names, found, strict=True) if old != new]
    if not changed:
        return names, ()
    few = ", ".join(name[:30] for name in changed[:4]) + ", ..." * (len(changed) > 4)
    return found, (f"classes of equal names have their index: {few}",)


def check_channels(
    mean: Any, std: Any, channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return mean and std as tuples with one number per channel; a plain number means all channels.

    Examples
    --------
    >>> check_channels(0.5, torch.full((3, 1, 1), 0.25), channels=3)
    ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    """
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        missing, given = ("mean", "std") if mean is None else ("std", "mean")
        fix = f"Pass {missing}= too ({0 if missing == 'mean' else 1} changes nothing)"
        raise ValueError(problem("mean and std go together", f"only {given}= was given", fix))
    values = []
    for name, given in (("mean", mean), ("std", std)):
        numbers, seen = _channels(name, given)
        if numbers.ndim == 0:
            numbers = np.repeat(numbers, channels)
        # Shapes that broadcast over images, such as (1, C, 1, 1), mean the same.
        if not numbers.size == max(numbers.shape) == channels:
            fix = f"Pass {name}= with {channels} numbers, or one plain number for all"
            raise ValueError(
                problem(
                    f"{name} must have one number per channel",
                    f"{seen}, images have {channels} channels",
                    fix,
                )
            )
        if not np.isfinite(numbers).all() or (name == "std" and numbers.min() <= 0):
            fix = f"Pass {name}= as finite numbers" + (" above 0" if name == "std" else "")
            raise ValueError(problem(f"{name} cannot be used to normalise", seen, fix))
        if np.abs(numbers).max() > 1.5:
            fix = f"If they are in units of 0 to 255, pass {name}= divided by 255"
            raise ValueError(problem(f"{name} must be in pixel units of 0 to 1", seen, fix))
        values.append(tuple(numbers.flatten().tolist()))
    return values[0], values[1]


def _channels(name: str, given: Any) -> tuple[np.ndarray, str]:
    """Return numbers as an array and in words."""
    numbers: np.ndarray | None = None
    with suppress(TypeError, ValueError, RuntimeError):
        if isinstance(given, Tensor):
            given = given.detach().cpu().numpy()
        numbers = np.array(
            given if hasattr(given, "__array__") or isinstance(given, Real) else [*given]
        )
    if numbers is None or numbers.dtype.kind not in "fiu":
        fix = f"Pass {name}= as numbers, one per channel"
        raise TypeError(problem(f"{name} is no numbers", f"got {given!r}", fix))
    seen = tuple(round(float(number), 4) for number in numbers.flat[:10])
    layout = f" of shape {numbers.shape}" if numbers.ndim > 1 else ""
    return numbers.astype(float), f"got {seen}{layout}"


def check_device(given: Any, model: nn.Module) -> torch.device:
    """Return the device to work on; "auto" is the model's own accelerator, else CUDA, else the CPU.

    Examples
    --------
    >>> check_device("cpu", nn.Linear(2, 2))
    device(type='cpu')
    """
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    if given == "auto":
        if own.type != "cpu":
            return own
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fix = 'Pass device="auto" or device="cpu"'
    if str(given).startswith("cuda") and not torch.cuda.is_available():
        seen = f"device={str(given)!r} was asked for, torch sees no GPU"
        raise ValueError(problem("CUDA is not available", seen, fix))
    try:
        return torch.empty(0, device=given).device
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        seen = f"device={given!r} gave {type(error).__name__}"
        raise ValueError(problem("device cannot be used", seen, fix)) from error


def check_index(key: Any, count: int) -> Tensor:
    """Return which of ``count`` images an int, slice, index list or bool mask chooses, (n,) int64.

    Examples
    --------
    >>> check_index(slice(None, None, -2), 5), check_index([True, False], 2)
    (tensor([4, 2, 0]), tensor([0]))
    """
    everything = torch.arange(count, device="cpu")
    if isinstance(key, slice):
        chosen = torch.tensor(range(count)[key], dtype=torch.int64)
    else:
        fix = "Use an int, a slice, a list of indices, or a mask with one bool per image"
        if isinstance(key, np.ndarray):
            key = key.copy()  # those of results cannot be written to, which torch warns of
        try:
            chosen = torch.as_tensor(key, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            seen = f"got {key!r} for {count} images"
            raise TypeError(problem("images cannot be chosen like this", seen, fix)) from None
        whole = not (chosen.is_floating_point() or chosen.dtype == torch.bool)
        if chosen.dtype == torch.bool and chosen.shape == (count,):
            chosen = everything[chosen]
        elif not (whole and chosen.ndim <= 1) and chosen.numel():
            seen = f"got {_dtype(chosen)} of shape {tuple(chosen.shape)} for {count} images"
            raise TypeError(problem("images cannot be chosen like this", seen, fix))
        chosen = chosen.long().flatten()
    if len(chosen) == 0:
        seen = f"got [{key}] of {count} images"
        raise ValueError(problem("no image is chosen", seen, "Choose at least one"))
    if int(chosen.min()) < -count or int(chosen.max()) >= count:
        seen = f"got {key!r}, there are {count} images (0-{count - 1})"
        raise IndexError(problem("an index is out of range", seen, "Choose one of these"))
    return everything[chosen]


# --- what a model that does not run wants -----------------------------------------------------


def check_apart(fitted: Tensor, reported: Tensor, argument: str) -> None:
    """Make sure that no image is both fitted on and reported on.

    Parameters
    ----------
    fitted, reported : Tensor
        (n, C, H, W) each.
    argument : str
        Which argument gave ``fitted``.

    Raises
    ------
    ValueError
        If they share an image.
    """
    seen = set(pictures(reported))
    shared = sum(picture in seen for picture in pictures(fitted))
    if shared:
        raise ValueError(
            problem(
                "a calibration looks perfect on images it was fitted on",
                f"the images to fit on and those to report on share {shared:,} of {len(fitted):,}",
                f"Give `{argument}` images that are not reported on, or leave it out to have the "
                "images divided",
            )
        )


def pictures(images: Tensor) -> list[bytes]:
    """Return a short name for each of (n, C, H, W) images, the same for the same picture.

    Examples
    --------
    >>> one, two, other = pictures(torch.tensor([0.5, 0.5, 0.25]).view(3, 1, 1, 1))
    >>> one == two, one == other
    (True, False)
    """
    return [blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images]


def diagnose(model: nn.Module, run: Callable[[Tensor], object], image: Tensor) -> ValueError | None:
    """Find out why a model refused an image: its channels, or its size.

    Parameters
    ----------
    model : torch.nn.Module
        Looked through for its first convolution.
    run : callable
        Passes a (1, C, H, W) tensor through the model.
    image : Tensor
        (1, C, H, W) that was refused.

    Returns
    -------
    ValueError or None
        None if it is neither.
    """
    channels, height, width = image.shape[1:]
    first = next(((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first[1].in_channels != channels:
        name, wanted = first[0], first[1].in_channels
        fix = {
            (3, 1): "Make the images grey, e.g. images=images.mean(1, keepdim=True)",
            (1, 3): "Repeat the grey channel, e.g. images=images.expand(-1, 3, -1, -1)",
            (4, 3): "Drop the alpha channel, images=images[:, :3]",
        }.get((channels, wanted), f"Pass images= with {wanted} channels")
        return ValueError(
            problem(
                f"the model wants {wanted} channel{'s' * (wanted > 1)}, the images have {channels}",
                f"its first convolution {name!r} has in_channels={wanted}, "
                f"the images are {shape(image.shape[1:])} (C x H x W)",
                f"{fix}; or check the order of the dimensions, N x C x H x W",
            )
        )
    sizes = [size for size in SIZES if _runs(run, image.new_full((1, channels, size, size), 0.5))]
    if sizes:
        works = f"it runs at {', '.join(map(str, sizes[:3]))}"
        if len(sizes) > 3:
            works = f"it runs from {sizes[0]} to {sizes[-1]}"
        near = min(sizes, key=lambda size: abs(size - max(height, width)))
        return ValueError(
            problem(
                f"the model does not take images of {height} x {width}",
                f"{works} (found by trying squares from {SIZES[0]} to {SIZES[-1]})",
                "Resize the images, e.g. images=torch.nn.functional.interpolate(images, "
                f'{near}, mode="bilinear", antialias=True).clamp(0, 1)',
            )
        )
    return None


def unexplained(image: Tensor, error: Exception) -> ValueError:
    """Say that a model failed on a (1, C, H, W) image, with the first line of its own error."""
    first_line = (str(error).strip().splitlines() or [""])[0]
    return ValueError(
        problem(
            "the model failed on an image",
            f"{shape(image.shape[1:])} gave {type(error).__name__}: {first_line.rstrip('.')}",
            "Check that model(images[:1]) works in eval mode on a float32 tensor of that shape, "
            "and pass such a model=",
        )
    )


def _runs(run: Callable[[Tensor], object], image: Tensor) -> bool:
    try:
        run(image)
    except Exception:
        return False
    return True


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
