"""The methods that say which pixels a score depends on, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...subject import Subject
from ...validation import check_choice, check_whole, problem
from .foreign import check_layer, foreign_name

KNOBS: dict[str, tuple[str, ...]] = {
    "ig": ("steps",),
    "gradient": (),
    "input-x-gradient": (),
    "smoothgrad": ("steps", "noise"),
    "expected-gradients": ("steps",),
    "occlusion": ("window", "stride"),
    "rise": ("masks", "grid"),
    "gradcam": ("layer",),
}
"""The methods, and the settings that change their maps."""
WITHOUT_BASELINE = ("gradient", "smoothgrad", "gradcam")
DRAWN = ("smoothgrad", "expected-gradients", "rise")
"""The methods that take samples, so that their maps have an error of chance."""
_WORDS = {"steps": "{} steps", "masks": "{} masks", "noise": "noise {:g}"}


@dataclass(frozen=True)
class Method:
    """A method with all its settings; `reliab_widgets.saliency` says what they mean.

    Parameters
    ----------
    name : str
        One of ``KNOBS``, or what to call ``own``.
    steps, masks, grid, window, stride, noise, layer, seed
        As `reliab_widgets.saliency` takes them.
    own : captum.attr.Attribution or callable, optional
        Somebody else's method.

    Examples
    --------
    >>> Method("occlusion", window=8, stride=4).words
    'window 8, stride 4'
    """

    name: str
    steps: int = 32
    masks: int = 400
    grid: int = 4
    window: int = 8
    stride: int = 4
    noise: float = 0.15
    layer: str = ""
    seed: int = 0
    own: Any = None

    @property
    def words(self) -> str:
        """The settings that matter."""
        if self.own is not None:
            return "as given"
        knobs = [_WORDS.get(knob, knob + " {}").format(getattr(self, knob)) for knob in self.knobs]
        return ", ".join(knobs) or "one gradient"

    @property
    def knobs(self) -> tuple[str, ...]:
        """The names of the settings that matter."""
        return () if self.own is not None else KNOBS[self.name]

    @property
    def has_baseline(self) -> bool:
        """Whether it compares the image with something."""
        return self.own is not None or self.name not in WITHOUT_BASELINE

    @property
    def is_drawn(self) -> bool:
        """Whether its maps have an error of chance."""
        return self.own is None and self.name in DRAWN

    @property
    def is_foreign(self) -> bool:
        """Whether a map comes out of one call of other people's code."""
        return self.own is not None or self.name == "gradcam"


def methods(
    given: Any, subject: Subject, hyper: Mapping[str, Any] | None = None, **settings: Any
) -> tuple[Method, ...]:
    """Return a method with the chosen settings, and again with each other value to compare.

    Parameters
    ----------
    given : str, captum.attr.Attribution or callable
        As `reliab_widgets.saliency` takes it.
    subject : Subject
        Whose images are explained.
    hyper : dict, optional
        Other values, by the name of the setting, tried one at a time.
    **settings
        Of `Method`; None is replaced by what suits the size of the images.

    Raises
    ------
    TypeError, ValueError
        No such method or setting, or a value that it cannot have.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> [it.words for it in methods("occlusion", subject, {"window": (4, 16)}, stride=4)]
    ['window 8, stride 4', 'window 4, stride 4', 'window 16, stride 4']
    """
    own = None if isinstance(given, str) else given
    if own is None:
        check_choice("method", given, tuple(KNOBS))
    settings["name"] = given if own is None else foreign_name(own)
    short = min(subject.images.shape[2:])
    if settings.get("window") is None:
        settings["window"] = max(1, round(short / 4))
    if settings.get("stride") is None:
        settings["stride"] = 1
        check_whole("window", settings["window"], 1, short, "it must fit the image")
        settings["stride"] = max(1, settings["window"] // 2)
    chosen = Method(own=own, **settings | {"layer": settings.get("layer") or ""})
    made = [chosen]
    if hyper is not None and not hasattr(hyper, "items"):
        fix = "Pass hyper= as a dict, such as {'steps': (8, 64)}"
        raise TypeError(problem("hyper is not a dict", f"got {type(hyper).__name__}", fix))
    for knob, values in (hyper or {}).items():
        if knob not in chosen.knobs:
            fix = f"Its settings are: {', '.join(chosen.knobs) or 'none'}; leave the others out"
            seen = f"hyper has {knob!r}"
            raise ValueError(problem(f"{chosen.name} has no such setting", seen, fix))
        several = [values] if np.ndim(values) == 0 else list(values)
        made += [replace(chosen, **{knob: value}) for value in several]
    return tuple(dict.fromkeys(_checked(one, subject) for one in made))


def _checked(method: Method, subject: Subject) -> Method:
    short = min(subject.images.shape[2:])
    limits = {
        "steps": (1, 100_000, ""),
        "masks": (2, 1_000_000, ""),
        "grid": (2, short, "a cell must hold a pixel"),
        "window": (1, short, "it must fit the image"),
        "stride": (1, method.window, "pixels between two windows would never be removed"),
    }
    for knob in method.knobs:
        value = getattr(method, knob)
        if knob in limits:
            check_whole(knob, value, *limits[knob])
        elif knob == "noise" and not (isinstance(value, int | float) and 0 < value < np.inf):
            fix = "Pass noise= as a standard deviation in pixel units, such as 0.15"
            raise ValueError(problem("noise must be greater than 0", f"got {value!r}", fix))
        elif knob == "layer":
            method = replace(method, layer=check_layer(subject, value or None))
    return method
