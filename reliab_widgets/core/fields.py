"""What the fields of a record may hold: declared once, beside their types, and checked in files.

A field says more than its type by ``typing.Annotated``::

    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K - 1")]

Axes have names; wherever a name comes again in a record, the size is the same.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np

from .knobs import Kind, is_plain
from .wording import problem, shape

_LETTERS = {float: "f", int: "iu", bool: "b", str: "U"}
_CALLED = {float: "real numbers", int: "whole numbers", bool: "True and False", str: "texts"}
_SLACK = 1e-6  # of rounding, relative to a bound of 1 or more


@dataclass(frozen=True)
class Array:
    """An array of numbers, or one number; of a tuple, how long it is.

    Parameters
    ----------
    axes : str
        One word an axis: a name, a number, or a sum such as ``"B+1"`` of names that stand alone
        elsewhere. Empty for one number.
    of : type
        float (of any precision), int, bool or str.
    least, most : float or str, optional
        Bounds that belong to it; a text is an expression of names of axes and fields.
    nan : bool
        Whether some may be missing.
    inf : bool
        Whether some may be infinite.
    rising : bool
        Whether they never fall along the last axis.

    Examples
    --------
    >>> Array("n", least=0, most=1)
    Array(axes='n', of=<class 'float'>, least=0, most=1, nan=False, inf=False, rising=False)
    """

    axes: str = ""
    of: type = float
    least: float | str | None = None
    most: float | str | None = None
    nan: bool = False
    inf: bool = False
    rising: bool = False

    def sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """Return the sizes of the axes that stand alone under a name."""
        words = self.axes.split()
        if len(words) != len(shape):
            return {}
        return {word: n for word, n in zip(words, shape, strict=True) if word.isidentifier()}

    def fits(self, shape: tuple[int, ...], known: Mapping[str, Any]) -> bool:
        """Tell whether a shape is the declared one."""
        words = self.axes.split()
        return len(words) == len(shape) and all(map(_Told(known).equal, words, shape))

    def wrong(self, values: np.ndarray, known: Mapping[str, Any]) -> str:
        """Say what is wrong with the values, if anything is."""
        if self.of is float:
            if not self.nan and np.isnan(values).any():
                return "has values that are no numbers (NaN)"
            if not self.inf and np.isinf(values).any():
                return "has infinite values"
        elif self.of is not int:
            return ""
        told = _Told(known)
        for bound, sign in ((self.least, 1), (self.most, -1)):
            if bound is None or (limit := told(bound)) is None:
                continue
            slack = _SLACK * np.maximum(1, np.abs(np.nan_to_num(limit, posinf=0, neginf=0)))
            with np.errstate(invalid="ignore"):
                outside = sign * (limit - values.astype(np.float64)) > slack
            if outside.any():
                seen = values[outside].flat[0]
                return f"has {seen:.6g}, which is {'below' if sign > 0 else 'above'} {bound}"
        if self.rising and values.size and (np.diff(values.astype(np.float64)) < 0).any():
            return "falls where it should rise"
        return ""


class _Told:
    """Reads expressions of names of axes and fields."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known

    def __call__(self, expression: float | str) -> Any:
        if not isinstance(expression, str):
            return expression
        try:  # ours, from the class of the record: nothing of a file is evaluated
            return eval(expression, {}, dict(self._known))
        except NameError:
            return None  # of an axis that no array of this record has

    def equal(self, expression: str, size: int) -> bool:
        told = self(expression)
        return told is None or bool(told == size)


def check_shapes(cls: type, values: Mapping[str, Any]) -> str:
    """Say what is wrong with types and shapes of the fields of a record, if anything is.

    Parameters
    ----------
    cls : type
        The class of the record, a dataclass.
    values : mapping
        What its fields are to hold; only the outlines of arrays are looked at.
    """
    kinds = declarations(cls)
    known = _sizes(kinds, values)
    for name, (annotation, fact) in kinds.items():
        value = values[name]
        if not _is(value, annotation):
            return f"{name} is {_seen(value)}, not {_wanted(annotation)}"
        if isinstance(fact, Array) and isinstance(value, np.ndarray | tuple):
            if isinstance(value, np.ndarray) and value.dtype.kind not in _LETTERS[fact.of]:
                return f"{name} holds {value.dtype}, not {_CALLED[fact.of]}"
            size = value.shape if isinstance(value, np.ndarray) else (len(value),)
            if not fact.fits(size, known):
                return (
                    f"{name} has the shape {shape(size) or '()'}, not {_shaped(fact.axes, known)}"
                )
    return ""


def check_values(cls: type, values: Mapping[str, Any]) -> str:
    """Say what is wrong with the contents of the fields of a record, if anything is.

    Parameters
    ----------
    cls : type
        The class of the record, a dataclass.
    values : mapping
        What its fields are to hold, of the right types and shapes.
    """
    kinds = declarations(cls)
    known = {**values, **_sizes(kinds, values)}
    for name, (_, fact) in kinds.items():
        value = values[name]
        if isinstance(fact, Array) and not isinstance(value, tuple):
            if wrong := fact.wrong(np.asarray(value), known):
                return f"{name} {wrong}"
        elif isinstance(fact, Kind):
            try:
                fact.check(name, value, None)
            except (TypeError, ValueError) as error:
                return str(error).partition(". ")[0]
    needs: Mapping[str, Kind] = getattr(cls, "needs", {})
    for name, kind in needs.items():
        if name not in values["knobs"]:
            return f"knobs has no {name}"
        try:
            kind.check(name, values["knobs"][name], None)
        except (TypeError, ValueError) as error:
            return f"of knobs, {str(error).partition('. ')[0]}"
    for fact in getattr(cls, "facts", ()):
        if not eval(fact, {"np": np, **known}):
            return f"it is not true that {fact}"
    return ""


def _sizes(kinds: Mapping[str, tuple[Any, Any]], values: Mapping[str, Any]) -> dict[str, int]:
    known: dict[str, int] = {}
    for name, (_, fact) in kinds.items():
        value = values[name]
        if isinstance(fact, Array) and isinstance(value, np.ndarray | tuple):
            size = value.shape if isinstance(value, np.ndarray) else (len(value),)
            known = fact.sizes(size) | known  # what comes first counts
    return known


@cache
def declarations(cls: type) -> dict[str, tuple[Any, Any]]:
    """Return type and declared fact of each field of a record; None where nothing is declared."""
    return {field.name: _read(cls, field) for field in dataclasses.fields(cls)}


def _read(cls: type, field: dataclasses.Field[Any]) -> tuple[Any, Any]:
    annotation = field.type
    if isinstance(annotation, str):
        home = next(it for it in cls.__mro__ if field.name in inspect.get_annotations(it))
        try:
            annotation = eval(annotation, vars(sys.modules[home.__module__]))
        except Exception:  # what only types name, in a class of the user's
            annotation = Any
    if get_origin(annotation) is Annotated:
        annotation, *facts = get_args(annotation)
        return annotation, facts[0]
    return annotation, None


def _is(value: Any, annotation: Any) -> bool:
    """Tell whether a value has the annotated type, as far as a file can hold such."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is None:
        annotation = NoneType
    if origin in (Union, UnionType):
        return any(_is(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(inner) == 2 and inner[1] is ...:
            return all(_is(one, inner[0]) for one in value)
        return len(value) == len(inner) and all(map(_is, value, inner))
    if annotation is Any or not isinstance(annotation, type):
        return True
    if annotation is float:  # JSON writes 1.0 as 1 elsewhere
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, type):  # stands for a record that is not unpacked yet
        return issubclass(value, annotation)
    return isinstance(value, annotation)


def _seen(value: Any) -> str:
    if isinstance(value, type):
        return f"a {value.__name__}"
    text = repr(value)
    return text if is_plain(value) and len(text) <= 60 else f"a {type(value).__name__}"


def _wanted(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:\w+\.)+", "", text)


def _shaped(axes: str, known: Mapping[str, Any]) -> str:
    words = axes.split()
    told = _Told(known)
    sizes = [told(word) for word in words]
    return " x ".join(word if n is None else str(n) for word, n in zip(words, sizes, strict=True))


def contradiction(path: Any, cls: type, wrong: str) -> str:
    """Write the error for a file with wrong contents."""
    return problem(
        f"{path} holds wrong contents",
        f"{cls.__name__}: {wrong}",
        "Get the file from where it was saved, or compute it again",
    )
