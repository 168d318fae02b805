"""Kinds of knobs: what a keyword of an analysis may be, declared once, in its signature.

A keyword carries its kind by ``typing.Annotated``::

    def brightness(subject, *, k: Annotated[int, Whole(1, 9)] = 2): ...

From it follow the check and its error, the value in normal form, the control of a widget and the
text in code. A kind holds facts only; words for controls stand in the widget.
"""

from __future__ import annotations

import inspect
import math
import os
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real as RealNumber
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias, get_args, get_origin

import numpy as np

from .wording import few, named, nearest, problem

HANDED_ON = ("executor", "progress", "partial", "pinned", "control")
"""Keywords that say how to run or what to draw behind; they are no knobs of a result."""

Fact: TypeAlias = Any
"""A fact, or a function that gives it for what the knob is about."""


def told(fact: Fact, about: Any) -> Any:
    """Return a fact, looked up in what the knob is about where it depends on that."""
    return fact(about) if callable(fact) else fact


class Kind:
    """What values a knob may have; ``about`` is the Subject or, for a view, the Result.

    A kind of yours says ``check`` and, where values are no plain ones, ``text`` and ``plain``.
    """

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return the value in normal form, or raise the three-part error."""
        raise NotImplementedError

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return the value as Python text; what has no short text is named like its knob."""
        return repr(value) if is_plain(value) else name

    def plain(self, value: Any, about: Any) -> Any:
        """Return what stands for the value in a file and in words."""
        if isinstance(value, tuple):
            return tuple(self.plain(one, about) for one in value)
        return value if is_plain(value) else named(value)


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number.

    Parameters
    ----------
    least, most : int or callable
        Its bounds, or functions ``(about) -> int``.
    why : str
        Why there is a bound, for the error.
    slider : tuple of int, optional
        What a slider offers at first, ``(low, high)``; by default the bounds.
    stops : sequence of int, optional
        The values that a control offers instead.

    Examples
    --------
    >>> Whole(1, 100).check("bins", np.int64(15), None)
    15
    """

    least: Fact
    most: Fact
    why: Fact = ""
    slider: Fact = None
    stops: Fact = None

    def check(self, name: str, value: Any, about: Any) -> int:
        """Return a Python int."""
        least, most, why = (told(it, about) for it in (self.least, self.most, self.why))
        value = _scalar(value)
        if not is_whole(value) or not least <= value <= most:
            fix = f"Pass {name}= from {least:,} to {most:,}" + (f": {why}" if why else "")
            seen = f"got {_seen(value)}"
            raise ValueError(problem(f"{name} must be a whole number in its range", seen, fix))
        return int(value)


@dataclass(frozen=True)
class Real(Kind):
    """A finite number in an interval.

    Parameters
    ----------
    least, most : float, optional
        Bounds that belong to it.
    above, below : float, optional
        Bounds that do not.
    why : str
        What to pass, for the error.
    slider : sequence of float, optional
        What a slider offers: ``(low, high, step)``.
    stops : sequence of float, optional
        The values that a control offers instead.
    log : bool
        Whether its slider is logarithmic; the step is in powers of ten then.

    Examples
    --------
    >>> Real(above=0, most=1).check("epsilon", 1, None)
    1.0
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    why: str = ""
    slider: Fact = None
    stops: Fact = None
    log: bool = False

    def check(self, name: str, value: Any, about: Any) -> float:
        """Return a Python float."""
        value = _scalar(value)
        number = isinstance(value, RealNumber) and not isinstance(value, bool | np.bool_)
        inside = (
            number
            and math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
        if not inside:
            fix = f"Pass {name}= as a number {self.interval}"
            fix += f": {self.why}" if self.why else ""
            happened = f"{name} must be a number {self.interval}"
            raise ValueError(problem(happened, f"got {_seen(value)}", fix))
        return float(value)

    @property
    def interval(self) -> str:
        """The bounds in words.

        Examples
        --------
        >>> Real(above=0, most=1).interval
        'above 0 and at most 1'
        """
        bounds = {
            "above": self.above,
            "of at least": self.least,
            "below": self.below,
            "at most": self.most,
        }
        words = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        return " and ".join(words) or "that is finite"


@dataclass(frozen=True)
class Flag(Kind):
    """True or False, nothing that merely counts as such.

    Examples
    --------
    >>> Flag().check("correct_only", np.True_, None)
    True
    """

    def check(self, name: str, value: Any, about: Any) -> bool:
        """Return a Python bool."""
        if not isinstance(value, bool | np.bool_):
            fix = f"Pass {name}=True or {name}=False"
            raise TypeError(problem(f"{name} must be True or False", f"got {_seen(value)}", fix))
        return bool(value)


@dataclass(frozen=True)
class Choice(Kind):
    """One of several values, or an object of the user's own where functions are welcome.

    Parameters
    ----------
    values : sequence or callable
        All there is, or a function ``(about) -> sequence``.
    own : str
        What else may be passed, such as ``"a function of (model, images, labels)"``; without it
        only the values are.
    offers : sequence or callable, optional
        The part of the values that a control offers.
    what : str
        What they are, for the error; by default the name of the knob.

    Examples
    --------
    >>> Choice(("width", "mass")).check("binning", "mass", None)
    'mass'
    """

    values: Fact
    own: str = ""
    offers: Fact = None
    what: str = ""

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return the value that is equal to the given one, or the user's object."""
        known = tuple(told(self.values, about))
        value = _scalar(value)
        for one in known:
            if type(one) is type(value) and one == value:
                return one
        if self.own and callable(value):
            return value
        fix = f"Choose {name}= from {few(value, known)}"
        fix += f", or pass {self.own}" if self.own else ""
        near = nearest(value, [one for one in known if isinstance(one, str)])
        happened = f"there is no such {self.what or name}"
        raise ValueError(problem(happened, f"got {_seen(value)}", near + fix))


@dataclass(frozen=True)
class ClassOf(Kind):
    """A class of the subject, by its name or index, or one of some words; its form is the index.

    Parameters
    ----------
    words : tuple of str
        What may stand for a class, such as ``"top"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> ClassOf(("top", "all")).check("label", "cat", rw.demo("resnet20"))
    3
    """

    words: tuple[str, ...] = ()

    def check(self, name: str, value: Any, about: Any) -> str | int:
        """Return a word or an index."""
        value, classes = _scalar(value), about.classes
        if isinstance(value, str):
            if value in self.words:
                return value
            if value in classes:
                return int(classes.index(value))
        elif is_whole(value) and 0 <= value < len(classes):
            return int(value)
        known = [*self.words, *classes]
        fix = f"{nearest(value, known)}Choose {name}= from {few(value, known)}"
        fix += f", or pass an index from 0 to {len(classes) - 1}"
        raise ValueError(problem(f"there is no such {name}", f"got {_seen(value)}", fix))

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return the name of the class, where it is that class's alone."""
        if isinstance(value, str) or about.classes.index(about.classes[value]) != value:
            return repr(value)
        return repr(about.classes[value])

    def plain(self, value: Any, about: Any) -> Any:
        """Return a word, or the name of the class."""
        return value if isinstance(value, str) else about.classes[value]


@dataclass(frozen=True)
class Several(Kind):
    """A sequence of values of one kind, as a tuple.

    Parameters
    ----------
    kind : Kind
        Of each.
    least, most : int
        How many.
    alone : bool
        Whether one value may stand without a sequence.

    Examples
    --------
    >>> Several(Real(least=0, below=1)).check("levels", [0, 0.5], None)
    (0.0, 0.5)
    """

    kind: Kind
    least: int = 0
    most: int | None = None
    alone: bool = False

    def check(self, name: str, value: Any, about: Any) -> tuple[Any, ...]:
        """Return a tuple of values in their normal form."""
        single = isinstance(value, str | bytes) or not isinstance(value, Iterable)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            single, value = True, value.item()
        if isinstance(value, Mapping) or (single and not self.alone):
            fix = f"Pass {name}=({value!r},)" if single else f"Pass {name}= as a tuple"
            raise TypeError(problem(f"{name} is not a sequence", f"got {_seen(value)}", fix))
        found = tuple(self.kind.check(name, one, about) for one in ((value,) if single else value))
        if len(found) < self.least or (self.most is not None and len(found) > self.most):
            bounds = f"{self.least} to {self.most}" if self.most else f"at least {self.least}"
            fix = f"Pass {bounds} of them as {name}="
            raise ValueError(problem(f"{name} has too few or too many", f"got {len(found)}", fix))
        return found

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return a tuple; what has no short text is named like its knob, in the singular."""
        one = name.removesuffix("s")
        texts = [self.kind.text(one, it, about) for it in value]
        return f"({', '.join(texts)}{',' * (len(texts) == 1)})"

    def plain(self, value: Any, about: Any) -> Any:
        """Return a tuple of plain values."""
        return tuple(self.kind.plain(one, about) for one in value)


@dataclass(frozen=True)
class Auto(Kind):
    """A value, or None for "auto": the analysis chooses, and its result says what.

    Examples
    --------
    >>> Auto(Real(above=0)).check("temperature", None, None)
    """

    kind: Kind

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return None or the value in its normal form."""
        return None if value is None else self.kind.check(name, value, about)

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return "None" or the value's text."""
        return "None" if value is None else self.kind.text(name, value, about)

    def plain(self, value: Any, about: Any) -> Any:
        """Return None or the plain value."""
        return None if value is None else self.kind.plain(value, about)


@dataclass(frozen=True)
class Images(Kind):
    """How many images are drawn, or which ones, by their positions.

    Parameters
    ----------
    least : int
        The smallest number that may be drawn.
    within : bool
        Whether a number above that of the images is refused; else it may mean "at most".

    Examples
    --------
    >>> Images().check("images", [3, -1], range(10))
    (3, 9)
    """

    least: int = 1
    within: bool = False

    def check(self, name: str, value: Any, about: Any) -> int | tuple[int, ...]:
        """Return a number, or a tuple of positions that are not negative."""
        value = _scalar(value)
        if is_whole(value):
            if self.within and value > len(about):
                seen, fix = f"got {value:,}, there are {len(about):,}", f"Pass {name}= up to that"
                raise ValueError(problem(f"{name} is more than there are", seen, fix))
            if value >= self.least:
                return int(value)
            seen, fix = f"got {value!r}", f"Pass {name}= as at least {self.least}, or positions"
            raise ValueError(problem(f"{name} is no number of images", seen, fix))
        return positions(name, value, len(about))


@dataclass(frozen=True)
class Positions(Kind):
    """Which images: one position, or several.

    Examples
    --------
    >>> Positions().check("index", -1, range(10))
    (9,)
    """

    def check(self, name: str, value: Any, about: Any) -> tuple[int, ...]:
        """Return a tuple of positions that are not negative."""
        value = _scalar(value)
        return positions(name, [value] if is_whole(value) else value, len(about))

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return a list of positions."""
        return repr(list(value))


@dataclass(frozen=True)
class Position(Kind):
    """Which image, by its position.

    Examples
    --------
    >>> Position().check("index", -1, range(10))
    9
    """

    def check(self, name: str, value: Any, about: Any) -> int:
        """Return a position that is not negative."""
        return positions(name, [_scalar(value)], len(about))[0]


@dataclass(frozen=True)
class AnotherSubject(Kind):
    """A Subject beside the examined one, such as a calibration set."""

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return it as it is; among recorded logits, a pair of logits and labels is one too."""
        known = getattr(about, "network", None)
        if known is not None and known.recorded and isinstance(value, tuple) and len(value) == 2:
            return about.from_logits(*value, classes=about.classes)
        if not (hasattr(value, "fingerprint") and hasattr(value, "network")):
            fix = f"Pass {name}=rw.Subject(model, images, labels)"
            seen = f"got {type(value).__name__}"
            raise TypeError(problem(f"{name} is not a Subject", seen, fix))
        return value

    def text(self, name: str, value: Any, about: Any) -> str:
        """Return the code that makes it."""
        return str(value.code)


@dataclass(frozen=True)
class Text(Kind):
    """Any text, such as the name of a layer; the analysis says which there are."""

    def check(self, name: str, value: Any, about: Any) -> str:
        """Return a Python str."""
        if not isinstance(value, str):
            fix = f"Pass {name}= as a text"
            raise TypeError(problem(f"{name} must be a text", f"got {_seen(value)}", fix))
        return str(value)


@dataclass(frozen=True)
class Own(Kind):
    """A function of the user's.

    Parameters
    ----------
    what : str
        What it does, such as ``"a function of a result"``.
    """

    what: str

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return it as it is."""
        if not callable(value):
            fix = f"Pass {name}= as {self.what}"
            raise TypeError(problem(f"{name} cannot be called", f"got {_seen(value)}", fix))
        return value


@dataclass(frozen=True)
class Place(Kind):
    """Where a file or folder is."""

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return a path."""
        if not isinstance(value, str | os.PathLike):
            fix = f"Pass {name}= as a text or a pathlib.Path"
            raise TypeError(problem(f"{name} is no path", f"got {_seen(value)}", fix))
        return Path(value)


SEED = Whole(0, 2**32 - 1, "it seeds a generator", slider=(0, 999))
Seed: TypeAlias = Annotated[int, SEED]
"""Of everything that is drawn by chance."""


class Knob(NamedTuple):
    """A keyword of a function with its kind and default."""

    name: str
    kind: Kind
    default: Any


class Knobs(Mapping[str, Any]):
    """The knobs of a result, by name, in plain values: read-only, hashable, saved with it.

    Examples
    --------
    >>> knobs = Knobs({"bins": 15})
    >>> knobs["bins"], dict(knobs)
    (15, {'bins': 15})
    """

    def __init__(self, values: Mapping[str, Any] = types.MappingProxyType({})) -> None:
        self._items = tuple(values.items())

    def __getitem__(self, name: str) -> Any:
        for known, value in self._items:
            if known == name:
                return value
        fix = f"{nearest(name, self)}They are: {', '.join(self)}"
        raise KeyError(problem("there is no such knob", f"got {name!r}", fix))

    def __iter__(self) -> Any:
        return iter(name for name, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Knobs({dict(self._items)})"


def declared(fn: Callable[..., Any], complete: bool = False) -> dict[str, Knob]:
    """Read the knobs of a function: its parameters that carry a kind.

    Parameters
    ----------
    fn : callable
        Whose signature is read.
    complete : bool
        Whether every keyword must carry one.

    Raises
    ------
    TypeError
        A keyword carries no kind and should, or an annotation cannot be evaluated.

    Examples
    --------
    >>> def brightness(subject, *, k: Annotated[int, Whole(1, 9)] = 2): ...
    >>> declared(brightness)["k"].kind.check("k", 3, None)
    3
    """
    found = {}
    for it in list(inspect.signature(fn).parameters.values()):
        if it.name in HANDED_ON or it.kind in (it.VAR_KEYWORD, it.VAR_POSITIONAL):
            continue
        kind = _kind_of(fn, it)
        if kind is not None:
            found[it.name] = Knob(it.name, kind, it.default)
        elif complete and it.kind is it.KEYWORD_ONLY:
            fix = f"Annotate {it.name} with a kind of reliab_widgets.knobs"
            seen = f"{it.name} of {named(fn)} has none"
            raise TypeError(problem("every knob of an analysis has a kind", seen, fix))
    return found


def _kind_of(fn: Callable[..., Any], parameter: inspect.Parameter) -> Kind | None:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        # One by one: what only types name must not hide the others.
        try:
            annotation = eval(annotation, getattr(inspect.unwrap(fn), "__globals__", {}))
        except Exception as error:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                return None
            fix = "Import what it names at run time, not for types only"
            seen = f"{named(fn)}({parameter.name}: {parameter.annotation}): {error}"
            raise TypeError(problem("an annotation cannot be evaluated", seen, fix)) from error
    if get_origin(annotation) is Annotated:
        return next((it for it in get_args(annotation)[1:] if isinstance(it, Kind)), None)
    return None


def without_kinds(fn: Callable[..., Any], knobs: Mapping[str, Knob]) -> inspect.Signature:
    """Return the signature that people read: types without their kinds."""
    signature = inspect.signature(fn)

    def bare(parameter: inspect.Parameter) -> inspect.Parameter:
        annotation = parameter.annotation
        if parameter.name in knobs and isinstance(annotation, str):
            annotation = eval(annotation, inspect.unwrap(fn).__globals__)
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        return parameter.replace(annotation=annotation)

    return signature.replace(parameters=[bare(it) for it in signature.parameters.values()])


def checked_knobs(
    knobs: Mapping[str, Knob], given: Mapping[str, Any], about: Any, whose: str
) -> dict[str, Any]:
    """Return every knob in normal form: the given ones checked, the others by their defaults.

    Raises
    ------
    TypeError, ValueError
        There is no such knob, or it cannot have the value.
    """
    refuse_unknown(knobs, given, whose)
    return {
        name: knob.kind.check(name, given.get(name, knob.default), about)
        for name, knob in knobs.items()
    }


def refuse_unknown(known: Iterable[str], given: Iterable[str], whose: str) -> None:
    """Refuse names of knobs that are not known.

    Examples
    --------
    >>> refuse_unknown(("bins", "seed"), ("bin",), "reliability")
    Traceback (most recent call last):
    TypeError: reliability has no knob 'bin': it has bins, seed. The nearest: bins. Pass one of ...
    """
    known = list(known)
    for name in given:
        if name not in known:
            own = [one for one in known if one not in (*HANDED_ON, "subject")]
            fix = f"{nearest(name, own)}Pass one of these"
            seen = f"it has {', '.join(own) or 'none'}"
            raise TypeError(problem(f"{whose} has no knob {name!r}", seen, fix))


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer of Python or numpy; True and False are not.

    Examples
    --------
    >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_plain(value: Any) -> bool:
    """Tell whether a value is None, a text, a number, or a tuple of such."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, str | int | float)


def positions(name: str, value: Any, count: int) -> tuple[int, ...]:
    """Return which of ``count`` images are meant by positions, none of them negative.

    Examples
    --------
    >>> positions("index", np.array([0, -1]), 5)
    (0, 4)
    """
    fix = f"Pass {name}= as a number, or as positions from 0 to {count - 1}"
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(problem(f"{name} chooses no images", f"got {_seen(value)}", fix))
    chosen = [_scalar(one) for one in value]
    wrong = [one for one in chosen if not is_whole(one)]
    if wrong:
        raise TypeError(problem(f"{name} chooses no images", f"got {_seen(wrong[0])}", fix))
    if not chosen:
        raise ValueError(problem("no image is chosen", f"got {name}={value!r}", fix))
    outside = [one for one in chosen if not -count <= one < count]
    if outside:
        seen = f"got {outside[0]}, there are {count} images (0-{count - 1})"
        raise IndexError(problem(f"a position in {name} is out of range", seen, fix))
    return tuple(int(one) % count for one in chosen)


def _scalar(value: Any) -> Any:
    """Return what numpy and torch hold alone as a Python value."""
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def _seen(value: Any) -> str:
    """Write a value that was not expected, short."""
    text = repr(value) if is_plain(value) or isinstance(value, list | dict | set) else ""
    return text if 0 < len(text) <= 60 else type(value).__name__
