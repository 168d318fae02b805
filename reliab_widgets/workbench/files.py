"""A workbench as a file: everything but weights and images."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..core.archive import replacing
from ..core.knobs import Place
from ..core.subject import Subject
from ..core.wording import named, problem
from ..ui.export import tuples
from .story import Story
from .variants import Variant, variant

if TYPE_CHECKING:
    from .widget import Workbench

FORMAT = "reliab_widgets workbench"
_FIX = "Pass a file that Workbench.save wrote, or that a widget exported as JSON"


def write(path: Any, subject: Subject, state: dict[str, Any]) -> Path:
    """Write a state and what it belongs to; the file is there whole or not at all.

    Raises
    ------
    OSError
        It cannot be written; what was there before is as it was.
    """
    place = Path(Place().check("path", path, None))
    told = {
        "format": FORMAT,
        "reliab_widgets": __version__,
        "subject": subject.name,
        "fingerprint": subject.fingerprint,
        "images": len(subject),
        **state,
    }
    text = json.dumps(told, indent=1, default=named)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as stream:
        stream.write(text.encode())
    return place


def read(path: Any, subject: Subject) -> dict[str, Any]:
    """Return what a file holds; it warns where the file is of another network or other images.

    Raises
    ------
    ValueError
        There is no such file, or it is something else.
    """
    place = Path(Place().check("path", path, None))
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        seen = f"got {os.fspath(place)!r}: {error.strerror}"
        raise ValueError(problem("the file cannot be read", seen, _FIX)) from error
    except ValueError as error:
        seen = f"{place.name} holds no JSON: {error}"
        raise ValueError(problem("the file is damaged", seen, _FIX)) from error
    if not isinstance(told, dict) or not ({"format", "analysis"} & told.keys()):
        raise ValueError(problem("it is a file of something else", f"got {place.name}", _FIX))
    if told.get("format", FORMAT) != FORMAT:
        seen = f"{place.name} says {told['format']!r}"
        raise ValueError(problem("it is a file of something else", seen, _FIX))
    mark = str(told.get("fingerprint", ""))
    if mark != subject.fingerprint:
        seen = (
            f"{place.name} is of {told.get('subject')} ({mark[:8]}), this is {subject.name} "
            f"({subject.fingerprint[:8]})"
        )
        fix = "Make the same Subject to see the same numbers; what was chosen is chosen here too"
        said = problem("the file is of another network or of other images", seen, fix)
        warnings.warn(said, stacklevel=4)
    return told


def state(workbench: Workbench) -> dict[str, Any]:
    """Return all that was chosen on a workbench, as JSON holds it."""
    bench = workbench.bench
    return {
        "variants": [it.plain() for it in bench.variants.values()],
        "photographs": [(os.fspath(it.photo), it.label) for it in bench.photos if _is_file(it)],
        "chosen": bench.state(),
        "sets": workbench.strip.sets,
        "tab": workbench.tabs.tab,
        "widgets": {word: it.state() for word, it in workbench.tabs.explorers.items()},
        "story": workbench.story.plain(),
    }


def restore(workbench: Workbench, told: dict[str, Any], path: Any) -> None:
    """Choose on a workbench what a file holds: all that was chosen there, or one widget's settings.

    Raises
    ------
    ValueError
        It does not hold what it should; the workbench is closed.
    """
    try:
        _restore(workbench, told)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        workbench.close()
        seen = f"{Path(path).name}: {type(error).__name__}: {error}"
        raise ValueError(problem("the file is damaged", seen, _FIX)) from error


def _restore(workbench: Workbench, told: dict[str, Any]) -> None:
    bench, tabs = workbench.bench, workbench.tabs
    if "analysis" in told:
        word, settings = told["analysis"], _settings(told["settings"])
        shared = {knob: name for name, knob in tabs.explorer(word).shares.items()}
        kept = {shared[k]: v for k, v in settings.items() if k in shared and type(v) is int}
        bench.select(**kept)
        workbench.show(word).set(**settings)
        return
    for it in told["variants"]:
        if it["word"] != "another":
            bench.add(variant(it["word"], _settings(it["knobs"]), bench.given))
        elif it["knobs"]["name"] not in bench.variants:  # its chip says that it is not at hand
            bench.add(Variant("another", it["knobs"]))
    for name, images in told["sets"].items():
        workbench.strip.put(name, tuple(images))
    for photo, label in told.get("photographs", ()):
        try:
            workbench.photograph(photo, label)
        except ValueError as error:
            fix = "Put it there and load the file again"
            said = problem("a photograph of the file is not at hand", str(error), fix)
            warnings.warn(said, stacklevel=5)
    index = min(told["chosen"]["index"], len(bench.given) - 1)
    bench.select(**{**told["chosen"], "index": index})
    for word, settings in told["widgets"].items():
        tabs.explorer(word).set(**_settings(settings))
    workbench.show(told["tab"])
    workbench.story.put(Story.read(told["story"]))


def choose(workbench: Workbench, told: Mapping[str, Any]) -> None:
    """Choose the tab, what all share, and whatever else is told as settings of the tab's widget.

    Raises
    ------
    TypeError, ValueError
        There is no such thing, or it cannot have that value.
    """
    rest = dict(told)
    tab = rest.pop("tab", workbench.tabs.tab)
    shared = {name: rest.pop(name) for name in workbench.bench.state() if name in rest}
    workbench.show(tab)  # first: what is seen until now need not follow
    workbench.select(**shared)
    widget = workbench.widget
    if settings := {**rest.pop("settings", {}), **rest}:
        widget.set(**settings)


def _is_file(it: Any) -> bool:
    return isinstance(it.photo, str | os.PathLike)


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuples(value) for name, value in values.items()}
