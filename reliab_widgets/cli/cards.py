"""``reliab-widgets card``: every analysis that a model can have, on one page."""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..analyses import ANALYSES, function
from ..core.wording import counted, problem


def card(model: str, data: str, out: Path, n: int, size: int | None) -> int:
    """Examine a model with every analysis, write the card and return 0.

    What is done is kept beside ``out`` until the card is written, so that a second call goes on
    where a first one was stopped.

    Raises
    ------
    ValueError, TypeError, OSError
        Model, data or file cannot be used; the message says why.
    """
    from ..cards import card as write
    from ..cards import check_path
    from ..core.engine import Cache

    out = check_path(out)
    subject = subject_of(model, data, n, size)
    parts = out.with_suffix(".parts")
    cache, allowed = Cache(parts), subject.report().analyses
    results = []
    for word in ANALYSES:
        if why := allowed[word].impossible:
            print(f"{word}: left out, {why}", file=sys.stderr)
            continue
        print(f"{word} of {subject.name}, {counted(len(subject))}", file=sys.stderr)
        results.append(cache(function(word), subject, progress=True))
    write(results, out)
    shutil.rmtree(parts, ignore_errors=True)
    print(out)
    return 0


def subject_of(model: str, data: str, n: int, size: int | None) -> Any:
    """Return the Subject that a command names.

    Examples
    --------
    >>> subject_of("resnet20", "zoo", 50, None)
    Subject('resnet20': 50 images of 3 x 32 x 32, 10 classes, on cpu)
    """
    from .. import zoo
    from ..core.subject import Subject

    for name, count in (("--n", n), ("--size", size)):
        if count is not None and count < 1:
            raise ValueError(
                problem(f"{name} is too small", f"got {count}", f"Pass {name} 1 or more")
            )
    if ":" not in model:
        ours = zoo.demo(model)
        if data == "zoo":
            return ours[: min(n, len(ours))]
        known: dict[str, Any] = {"mean": ours.mean, "std": ours.std, "classes": ours.classes}
        given = _data(data, size, ours.classes)
        return Subject.from_dataset(ours.model, given, n=n, name=model, **known)
    own, name = made("--model", model), model.rpartition(":")[2]
    if data == "zoo":
        images = zoo.demo("resnet20", n=min(n, 2000))
        try:
            return Subject(own, images.images, images.labels, classes=images.classes, name=name)
        except (TypeError, ValueError) as error:
            fix = "Pass --data a folder of images for this model, or package.module:function"
            seen = f"got {model}: {str(error).split('. ')[0]}"
            raise ValueError(problem("the images in the box do not fit", seen, fix)) from error
    return Subject.from_dataset(own, _data(data, size), n=n, name=name)


def made(option: str, place: str) -> Any:
    """Return what the function at ``package.module:function`` returns.

    Examples
    --------
    >>> made("--data", "collections:OrderedDict")
    OrderedDict()
    """
    module, _, name = place.partition(":")
    fix = f"Pass {option} package.module:function, importable from here, without arguments"
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` has it, where the user's own module lies
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(problem(f"{option} is not found", f"got {place}: {error}", fix)) from error
    try:
        return function()
    except Exception as error:
        seen = f"{place} raised {type(error).__name__}: {error}"
        raise ValueError(problem(f"{option} could not be made", seen, fix)) from error


def _data(data: str, size: int | None, classes: tuple[str, ...] = ()) -> Any:
    """Return a torch data set: what a function gives, or a folder whose classes are known ones."""
    if ":" in data:
        return made("--data", data)
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    if not (folder := Path(data)).is_dir():
        fix = "Pass --data a folder, package.module:function, or zoo"
        raise ValueError(problem("--data is no folder", f"got {folder}", fix))
    scale = [] if size is None else [Resize(size), CenterCrop(size)]
    try:
        found = ImageFolder(str(folder), transform=Compose([*scale, ToTensor()]))
    except FileNotFoundError as error:
        fix = "Put the images of each class into a folder of its own inside it"
        within = [it.name for it in folder.iterdir() if it.is_dir()]
        seen = f"got {folder}, where not every folder holds pictures: {', '.join(within)}"
        seen = seen if within else f"got {folder}, which holds no folders"
        raise ValueError(problem("--data has no classes", seen, fix)) from error
    if strange := [name for name in found.classes if classes and name not in classes]:
        fix = f"Name the folders by classes of the network: {', '.join(classes)}"
        raise ValueError(problem("--data has other classes", f"got {', '.join(strange)}", fix))
    if classes:
        found.target_transform = lambda number: classes.index(found.classes[number])
    return found
