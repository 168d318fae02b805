"""What an analysis gives back: frozen numbers that know their table, picture and file."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from uuid import uuid4

import numpy as np

from .. import __version__
from .knobs import Knob, Knobs, Place, checked_knobs, declared, without_kinds
from .wording import problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from .drawing import Picture

FORMAT = 1
_PACKAGE = f"{__name__.partition('.')[0]}."
_HEADER = "header.json"
_ZIP = b"PK\x03\x04"
_KINDS: dict[tuple[str, str], type[Record]] = {}


@dataclass(frozen=True, eq=False)
class Record:
    """A frozen set of named values that can be saved: arrays, numbers, strings, tuples, records.

    Examples
    --------
    >>> import tempfile
    >>> from reliab_widgets.ops.calibration.calibrators import Temperature
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Temperature(1.5).save(Path(folder) / "calibrator.npz")
    ...     load(path).temperature
    1.5
    """

    version: ClassVar[int] = 1
    """Raised when the meaning of a field changes; ``load`` refuses files of another version."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _KINDS[cls.__module__, cls.__qualname__] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.view()
                value.setflags(write=False)
                object.__setattr__(self, field.name, value)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one ``.npz`` file: the whole file appears, or none of it.

        Parameters
        ----------
        path : str or path
            Where to; a file already there is replaced, a folder not yet there is made.

        Returns
        -------
        Path
            ``path``.

        Raises
        ------
        TypeError
            A field holds something else than arrays, plain values, tuples of these, or records.
        """
        path = Path(Place().check("path", path, None))
        arrays: dict[str, np.ndarray] = {}
        header = {"format": FORMAT, "package": __version__, **_pack(self, "", arrays)}
        arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside its final place and then renamed: a full disk or a killed kernel leaves
        # the old file as it was.
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        try:
            with open(part, "xb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a saved record that must be of this class; see `reliab_widgets.load`."""
        record = load(path)
        if not isinstance(record, cls):
            raise ValueError(
                f"{path} holds a {type(record).__name__}, not a {cls.__name__}. "
                "Use `rw.load(path)` to open whatever it is."
            )
        return record


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Result(Record):
    """The base of all results of analyses.

    A subclass says ``@dataclass(frozen=True, eq=False, repr=False)``, because its ``repr`` is its
    sentence, and writes ``to_frame``, ``draw`` and ``__str__``. What only changes the picture is a
    keyword of ``draw`` that carries a kind, as a knob of an analysis does.

    Parameters
    ----------
    subject : str
        Name of the examined subject.
    fingerprint : str
        Its fingerprint.
    source : str
        Python text that computes this result again.
    knobs : Knobs
        What it was computed with, in plain values: functions, modules and Subjects by their names.
    """

    subject: str = ""
    fingerprint: str = ""
    source: str = ""
    knobs: Knobs = dataclasses.field(default_factory=Knobs)

    views: ClassVar[Mapping[str, Knob]] = MappingProxyType({})
    """The keywords of ``draw`` that only change the picture."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "draw" in cls.__dict__:
            cls.views = MappingProxyType(declared(cls.draw, complete=True))
            cls.draw = _checked_draw(cls.draw, cls.views)  # type: ignore[method-assign]

    def to_frame(self) -> DataFrame:
        """Return the numbers as a tidy table, one observation a row."""
        raise NotImplementedError

    def draw(self, figure: Figure, *, pinned: Any = None) -> None:
        """Draw on ``figure``; drawn again on the same figure, it only moves what is there.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Result, optional
            Another result of the same class, drawn behind as a ghost.
        """
        raise NotImplementedError

    def plot(self, *, pinned: Result | None = None, **views: Any) -> Picture:
        """Return a new figure of this result; it needs no pyplot and no closing.

        Parameters
        ----------
        pinned : Result, optional
            Another result of the same class, drawn behind as a ghost.
        **views
            As `draw` takes them.
        """
        from .drawing import Picture

        figure = Picture()
        self.draw(figure, pinned=pinned, **views)
        return figure

    def code(self) -> str:
        """Return the Python text that computes this result again."""
        return self.source

    def reading(self, **views: Any) -> str:
        """Say in a sentence what the picture shows, as the views of `draw` choose it."""
        return str(self)

    def against(self, pinned: Result, **views: Any) -> str:
        """Say in a sentence how this differs from ``pinned``, a result of the same analysis."""
        return ""

    def __str__(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self)

    def _repr_png_(self) -> Any:
        return self.plot()._repr_png_()


def _checked_draw(draw: Callable[..., None], views: Mapping[str, Knob]) -> Callable[..., None]:
    """Let ``draw`` take views in normal form only, hold the lock, and see ghosts of its class."""

    @functools.wraps(draw)
    def locked(self: Result, figure: Figure, *, pinned: Result | None = None, **given: Any) -> None:
        from .drawing import LOCK

        shown = checked_knobs(views, given, self, f"the picture of {type(self).__name__}")
        ghost: Any = pinned
        if not (ghost is None or isinstance(ghost, Result)):
            fix = "Pass pinned= as another result of the same analysis"
            raise TypeError(problem("pinned is no result", f"got {type(ghost).__name__}", fix))
        with LOCK:
            draw(self, figure, pinned=ghost if isinstance(ghost, type(self)) else None, **shown)

    locked.__signature__ = without_kinds(draw, views)  # type: ignore[attr-defined]
    return locked


def load(path: str | os.PathLike[str]) -> Record:
    """Open what ``save`` wrote: a result, or a calibrator.

    Parameters
    ----------
    path : str or path
        The file. It is only read.

    Returns
    -------
    Record
        An object of the class that was saved.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, was not written by reliab_widgets, or by a newer version of it.
    """
    path = Path(Place().check("path", path, None))
    foreign = ValueError(
        f"{path} was not written by reliab_widgets: it has no header of ours. "
        "`load` opens what `result.save(path)` wrote."
    )
    if not path.exists():
        fix = "Check the path given to `load`"
        raise FileNotFoundError(problem("there is no such file", f"got path {path}", fix))
    with open(path, "rb") as file:
        start = file.read(4)
        if start != _ZIP[: len(start)]:
            raise foreign
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                header = json.loads(archive[_HEADER].tobytes()) if _HEADER in archive else None
                arrays = dict(archive) if header else {}
                arrays.pop(_HEADER, None)
        # There is no end to what zipfile, zlib and numpy raise for a file that was cut or changed.
        except Exception as error:
            raise ValueError(_damaged(path)) from error
    if header is None:
        raise foreign
    try:
        if header["format"] > FORMAT:
            raise _Unreadable(_newer(path, header))
        return _unpack(header, "", arrays, path, header)
    except _Unreadable as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        raise ValueError(_damaged(path)) from error


class _Unreadable(Exception):
    """Carries the words for a file that is whole, and yet cannot be opened."""


def _damaged(path: Path) -> str:
    return f"{path} cannot be read: it is damaged or was not finished. Restore or save it again."


def _newer(path: Path, header: dict[str, Any]) -> str:
    return (
        f"{path} was written by reliab_widgets {header.get('package', '?')}, which keeps "
        f"{header.get('kind', 'its results')} in another form than this version "
        f"({__version__}). Install the version that wrote it."
    )


def _pack(record: Record, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            arrays[prefix + field.name] = value
        elif isinstance(value, Record):
            values[field.name] = _pack(value, f"{prefix}{field.name}.", arrays)
        elif isinstance(value, Knobs):
            items = tuple(value.items())
            values[field.name] = _plain(items, f"{type(record).__name__}.{field.name}")
        else:
            values[field.name] = _plain(value, f"{type(record).__name__}.{field.name}")
    cls = type(record)
    return {
        "kind": cls.__qualname__,
        "module": cls.__module__,
        "version": cls.version,
        "values": values,
    }


def _plain(value: Any, field: str) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, field) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{field} cannot be saved: it holds a {type(value).__name__}. Give it an array of numbers "
        "or strings, a plain value, a tuple of these, or a record."
    )


def _unpack(
    packed: dict[str, Any],
    prefix: str,
    arrays: dict[str, np.ndarray],
    path: Path,
    header: dict[str, Any],
) -> Record:
    kind, module = packed["kind"], packed["module"]
    # Only our own modules are imported on a file's word; a user's class must be there already.
    if (module, kind) not in _KINDS and module.startswith(_PACKAGE):
        try:
            import_module(module)
        except ModuleNotFoundError:
            raise _Unreadable(_newer(path, header)) from None
        if (module, kind) not in _KINDS:
            raise _Unreadable(_newer(path, header))
    if (module, kind) not in _KINDS:
        raise _Unreadable(
            f"{path} holds a {kind} of the module {module}, which is not loaded. "
            f"Import {module} first."
        )
    cls = _KINDS[module, kind]
    if packed["version"] != cls.version:
        raise _Unreadable(_newer(path, header))
    values = {
        name: _unpack(value, f"{prefix}{name}.", arrays, path, header)
        if isinstance(value, dict)
        else _tuples(value)
        for name, value in packed["values"].items()
    }
    values |= {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }
    if "knobs" in values and issubclass(cls, Result):
        values["knobs"] = Knobs(dict(cast(Any, values["knobs"])))
    names = {field.name for field in dataclasses.fields(cls)}
    if values.keys() != names:
        odd = sorted(values.keys() ^ names)
        raise _Unreadable(f"{_newer(path, header)} The fields that differ: {', '.join(odd)}.")
    return cls(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
