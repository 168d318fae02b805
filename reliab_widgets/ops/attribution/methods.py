"""The methods that say which pixels a score depends on, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

from ...core.analysis import checked
from ...core.knobs import Auto, Choice, Kind, Knobs, Real, Seed, Several, Text, Whole
from ...core.subject import Subject
from ...core.wording import nearest, problem
from .foreign import foreign_name
from .inner import check_attention, check_layer, spatial_layers, why_no_attention

KNOBS: dict[str, tuple[str, ...]] = {
    "ig": ("steps",),
    "gradient": (),
    "input-x-gradient": (),
    "smoothgrad": ("steps", "noise"),
    "expected-gradients": ("steps",),
    "occlusion": ("window", "stride"),
    "rise": ("masks", "grid"),
    "gradcam": ("layer",),
    "rollout": (),
    "attention-x-gradient": (),
}
"""The methods, and the settings that change their maps."""
INNER = ("gradcam", "rollout", "attention-x-gradient")
"""The methods that look into the network, whose maps come out of one pass."""
ATTENTION = INNER[1:]
"""The methods that only networks with attention have."""
WITHOUT_BASELINE = ("gradient", "smoothgrad", *INNER)
MASKED = ("occlusion", "rise")
"""The methods that only ask for answers: all others follow gradients."""
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
    >>> Method("smoothgrad", steps=16, noise=0.1).words
    '16 samples, noise 0.1'
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
        if self.name in ATTENTION:
            return "all blocks"
        words = _WORDS | ({"steps": "{} samples"} if self.name in DRAWN else {})
        knobs = [words.get(knob, knob + " {}").format(getattr(self, knob)) for knob in self.knobs]
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
        return self.own is not None or self.name in INNER


class MethodKind(Choice):
    """One of the methods, an attribution of captum, or a function.

    Examples
    --------
    >>> MethodKind(tuple(KNOBS)).check("method", "rise", None)
    'rise'
    """

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return the name, or somebody's method if it can explain an image."""
        if isinstance(value, str):
            return super().check(name, value, about)
        foreign_name(value)
        return value

    def plain(self, value: Any, about: Any) -> str:
        """Return what the method is called."""
        return value if isinstance(value, str) else foreign_name(value)


class LayerKind(Choice):
    """A layer with a spatial map.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> LayerKind(spatial_layers).check("layer", "layer3.2", rw.demo("resnet20"))
    'layer3.2'
    """

    def check(self, name: str, value: Any, about: Any) -> str:
        """Return its name."""
        return check_layer(about, Text().check(name, value, about))


class HyperKind(Kind):
    """Other values of settings, by the name of the setting; its form is a read-only mapping.

    Examples
    --------
    >>> HyperKind().check("hyper", {"steps": 8}, None)
    Knobs({'steps': (8,)})
    """

    def check(self, name: str, value: Any, about: Any) -> Knobs:
        """Return the settings, each with a tuple of values in normal form."""
        if not isinstance(value, Mapping):
            fix = f"Pass {name}= as a dict, such as {{'steps': (8, 64)}}"
            raise TypeError(problem(f"{name} is not a dict", f"got {type(value).__name__}", fix))
        for setting in value:
            if setting not in SETTINGS:
                fix = f"{nearest(setting, SETTINGS)}They are: {', '.join(SETTINGS)}"
                raise ValueError(
                    problem("there is no such setting", f"{name} has {setting!r}", fix)
                )
        return Knobs(
            {
                setting: Several(SETTINGS[setting], least=1, alone=True).check(setting, some, about)
                for setting, some in value.items()
            }
        )

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return a dict."""
        return repr(dict(value))

    def plain(self, value: Any, about: Any) -> Any:
        """Return pairs."""
        return tuple(value.items())


def _side(subject: Subject) -> int:
    return min(subject.images.shape[2:])


def _cells(subject: Subject) -> int:
    return max(4, _side(subject))  # the default fits the smallest image


def _offered_cells(subject: Subject) -> tuple[int, int]:
    return 2, min(16, _cells(subject))


def _layers(subject: Subject) -> tuple[str, ...]:
    return tuple(spatial_layers(subject))


def _offered_layers(subject: Subject) -> tuple[str, ...]:
    return _layers(subject)[::-1] or ("none",)  # the last is the one that is taken by default


def _offered_methods(subject: Subject) -> tuple[str, ...]:
    follows = subject.network.gradients and not why_no_attention(subject)
    return tuple(name for name in KNOBS if follows or name not in ATTENTION)


SETTINGS: dict[str, Kind] = {
    "steps": Whole(1, 100_000, stops=(8, 16, 32, 64, 128, 256)),
    "noise": Real(
        above=0,
        why="a standard deviation in pixel units, such as 0.15",
        stops=(0.05, 0.1, 0.15, 0.25, 0.5, 1.0),
    ),
    "window": Whole(1, _side, "it must fit the image"),
    "stride": Whole(1, _side, "it must fit the image"),
    "masks": Whole(2, 1_000_000, stops=(100, 400, 1600, 4000)),
    "grid": Whole(2, _cells, "a cell must hold a pixel", slider=_offered_cells),
    "layer": LayerKind(_layers, offers=_offered_layers),
}
"""What each setting may be."""
MethodGiven: TypeAlias = Annotated[
    Any,
    MethodKind(
        tuple(KNOBS),
        "an attribution of captum or a function (model, images, target, baseline)",
        offers=_offered_methods,
    ),
]
Steps: TypeAlias = Annotated[int, SETTINGS["steps"]]
Noise: TypeAlias = Annotated[float, SETTINGS["noise"]]
Window: TypeAlias = Annotated[int | None, Auto(SETTINGS["window"])]
Stride: TypeAlias = Annotated[int | None, Auto(SETTINGS["stride"])]
Masks: TypeAlias = Annotated[int, SETTINGS["masks"]]
Grid: TypeAlias = Annotated[int, SETTINGS["grid"]]
LayerGiven: TypeAlias = Annotated[str | None, Auto(SETTINGS["layer"])]
Hyper: TypeAlias = Annotated[Mapping[str, Any] | None, Auto(HyperKind())]


@checked
def methods(
    method: MethodGiven,
    subject: Subject,
    hyper: Hyper = None,
    *,
    steps: Steps = 32,
    masks: Masks = 400,
    grid: Grid = 4,
    window: Window = None,
    stride: Stride = None,
    noise: Noise = 0.15,
    layer: LayerGiven = None,
    seed: Seed = 0,
) -> tuple[Method, ...]:
    """Return a method with the chosen settings, and again with each other value to compare.

    Parameters
    ----------
    method : str, captum.attr.Attribution or callable
        As `reliab_widgets.saliency` takes it.
    subject : Subject
        Whose images are explained.
    hyper : dict, optional
        Other values, by the name of the setting, tried one at a time.
    steps, masks, grid, window, stride, noise, layer, seed
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
    if method in ATTENTION:
        subject.network.check_gradients()
        check_attention(subject)
    window = max(1, round(_side(subject) / 4)) if window is None else window
    chosen = Method(
        name=MethodKind(()).plain(method, subject),
        steps=steps,
        masks=masks,
        grid=grid,
        window=window,
        stride=max(1, window // 2) if stride is None else stride,
        noise=noise,
        layer=layer or (check_layer(subject, None) if method == "gradcam" else ""),
        seed=seed,
        own=None if isinstance(method, str) else method,
    )
    found = [chosen]
    for setting, values in (hyper or {}).items():
        if setting not in chosen.knobs:
            fix = f"Its settings are: {', '.join(chosen.knobs) or 'none'}; leave the others out"
            seen = f"hyper has {setting!r}"
            raise ValueError(problem(f"{chosen.name} has no such setting", seen, fix))
        found += [replace(chosen, **{setting: value}) for value in values]
    for one in found:
        if "stride" in one.knobs and one.stride > one.window:
            fix = f"Pass stride= from 1 to {one.window}, the side of the window"
            happened = "pixels between two windows would never be removed"
            raise ValueError(problem(happened, f"got stride={one.stride}", fix))
    return tuple(dict.fromkeys(found))
