"""What a value is known by in a cache: by what it is and does, not by where it lies in memory."""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Iterator, Mapping
from hashlib import blake2b
from numbers import Number
from typing import Any

import numpy as np


def known_by(value: Any) -> Hashable:
    """Return what is equal for values that do the same.

    A module is known by its class, attributes and weights, a function by its code and by what the
    code refers to, a Subject by its name and fingerprints.

    Raises
    ------
    TypeError
        It cannot be told: it is a list or an array, which may change, or holds what hides its
        state, such as a generator or an open file.

    Examples
    --------
    >>> def brighter(k):
    ...     return lambda images: images + k
    >>> known_by(brighter(1)) == known_by(brighter(1)) != known_by(brighter(2))
    True
    """
    if isinstance(value, list | dict | set) or _is_array(value):
        raise TypeError(f"a {type(value).__name__} may change")
    return _known(value, ())


def is_subject(value: Any) -> bool:
    """Tell a Subject from a result, which has the fingerprint of one: its numbers tell it apart."""
    return hasattr(value, "fingerprint") and not hasattr(value, "knobs")


def of_subject(subject: Any) -> tuple[Any, ...]:
    """Return name and fingerprints of a Subject."""
    validation = getattr(subject, "validation", None)
    return subject.name, subject.fingerprint, validation and validation.fingerprint


def _known(value: Any, above: tuple[int, ...]) -> Hashable:
    if value is None or isinstance(value, str | bytes | Number | type | types.ModuleType):
        return type(value), value  # equal is not the same: 1 and True are different
    if id(value) in above:  # something that holds itself
        return "again", above.index(id(value))
    if is_subject(value):
        return of_subject(value)
    above = (*above, id(value))
    if _is_array(value):
        content = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if content.dtype.hasobject:
            raise TypeError("an array of objects hides what it holds")
        digest = blake2b(np.ascontiguousarray(content).tobytes()).digest()
        return type(value), str(content.dtype), content.shape, digest
    if isinstance(value, types.CodeType | types.BuiltinFunctionType | np.ufunc):
        return value
    return type(value), *(_known(part, above) for part in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    """Yield what makes a value what it is."""
    if isinstance(value, tuple | list):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(value, key=repr)
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from pair
    elif isinstance(value, types.FunctionType):
        yield from _function(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif hasattr(value, "__dict__"):
        for name in ("forward", "__call__"):
            yield getattr(getattr(type(value), name, None), "__code__", None)
        yield vars(value)
    elif getattr(type(value), "__hash__", None) in (None, object.__hash__):
        raise TypeError(f"a {type(value).__name__} hides its state")
    else:
        yield hash(value)


def _function(fn: types.FunctionType) -> Iterator[Any]:
    yield from (fn.__code__, fn.__defaults__, fn.__kwdefaults__)
    for cell in fn.__closure__ or ():
        yield cell.cell_contents
    for name in sorted(_names(fn.__code__)):
        value = fn.__globals__.get(name)
        # What stands in other modules is as fixed as they are.
        elsewhere = getattr(value, "__module__", None) not in (None, fn.__module__)
        is_function = isinstance(value, types.FunctionType)
        yield from (name, getattr(value, "__code__", None) if is_function and elsewhere else value)


def _names(code: types.CodeType) -> set[str]:
    inner = (it for it in code.co_consts if isinstance(it, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "dtype"))
