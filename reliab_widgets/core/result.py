"""What an analysis gives back: frozen numbers that know their table, picture and file."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .. import __version__
from .archive import Unreadable, opened, surplus, write
from .fields import check_shapes, check_values, contradiction
from .knobs import Kind, Knob, Knobs, Place, checked_knobs, declared, is_plain, without_kinds
from .wording import problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from .drawing import Picture

FORMAT = 1
_PACKAGE = f"{__name__.partition('.')[0]}."
_KINDS: dict[tuple[str, str], type[Record]] = {}


_ELSEWHERE = {
    **dict.fromkeys((".svg", ".png", ".pdf", ".jpg"), "result.plot().savefig(path)"),
    ".csv": "result.to_frame().to_csv(path)",
}


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

    facts: ClassVar[tuple[str, ...]] = ()
    """What holds between fields, as expressions of their names; ``load`` refuses other files."""

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
        OSError
            The disk is full, or the folder may not be written to.
        ValueError
            The name is that of a picture or a table.
        """
        path = Path(Place().check("path", path, None))
        if (instead := _ELSEWHERE.get(path.suffix.lower())) is not None:
            fix = f"Write {instead}, or save to {str(path.with_suffix('.npz'))!r}"
            seen = f"got path={str(path)!r}"
            raise ValueError(problem("a saved result is neither picture nor table", seen, fix))
        arrays: dict[str, np.ndarray] = {}
        header = {"format": FORMAT, "package": __version__, **_pack(self, "", arrays)}
        write(path, header, arrays)
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

    needs: ClassVar[Mapping[str, Kind]] = MappingProxyType({})
    """The knobs that its methods ask for, by name, and what their plain values are."""

    @property
    def examined(self) -> str:
        """Say which images it is about, and what was fitted on which others."""
        return ""

    def beside(self, other: Result) -> str:
        """Return what another result is called beside this one: "pinned", or its network."""
        return "pinned" if other.subject == self.subject else other.subject

    def versus(self, other: Result) -> str:
        """Return the beginning of a sentence that compares this one with another."""
        pinned = other.subject == self.subject
        return f"Against {'the pin' if pinned else other.subject}"

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

    def kept(self, **views: Any) -> Self:
        """Return what of it is kept when the picture with these views is pinned."""
        return self

    def against(self, pinned: Result, **views: Any) -> str:
        """Say in a sentence how this differs from ``pinned``, a result of the same analysis."""
        return ""

    def __str__(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self)

    def _repr_png_(self) -> Any:
        return self.plot()._repr_png_()


BEHIND = ("pinned", "control")
"""Results of the same class that ``draw`` takes to show them behind; not every one draws both."""


def _checked_draw(draw: Callable[..., None], views: Mapping[str, Knob]) -> Callable[..., None]:
    """Let ``draw`` take views in normal form only, hold the lock, and see ghosts of its class."""
    behind = [name for name in BEHIND if name in inspect.signature(draw).parameters]

    @functools.wraps(draw)
    def locked(self: Result, figure: Figure, **given: Any) -> None:
        from .drawing import LOCK, readable

        ghosts = {name: given.pop(name, None) for name in BEHIND}
        shown = checked_knobs(views, given, self, f"the picture of {type(self).__name__}")
        for name, ghost in ghosts.items():
            if not (ghost is None or isinstance(ghost, Result)):
                fix = f"Pass {name}= as another result of the same analysis"
                raise TypeError(problem(f"{name} is no result", f"got {type(ghost).__name__}", fix))
            if not isinstance(ghost, type(self)):
                ghosts[name] = None
        with LOCK:
            draw(self, figure, **{name: ghosts[name] for name in behind}, **shown)
            readable(figure)

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
        The file is damaged, was not written by reliab_widgets or by a newer version of it, holds
        wrong contents, or would take far more memory than it should.
    """
    return read(Path(Place().check("path", path, None)))[0]


def read(path: Path) -> tuple[Record, str]:
    """Open a file as `load` does; return with it the version of the package that wrote it."""
    with opened(path) as archive:
        header = archive.header
        if header["format"] > FORMAT:
            raise Unreadable(_newer(path, header))
        # All that can be told from header and outlines comes before anything is unpacked.
        file = _File(path, header)
        known = file.check(header, "", archive.outlines)
        if strange := archive.outlines.keys() - known:
            raise surplus(path, list(strange))
        arrays = {name: archive.read(name) for name in known}
        return file.unpacked(header, "", arrays), str(header["package"])


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


class _File:
    """A file whose header is read: what its records are, and whether that can be."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._path, self._header = path, header

    def check(
        self, packed: dict[str, Any], prefix: str, outlines: Mapping[str, np.ndarray]
    ) -> set[str]:
        """Refuse what cannot be opened; return the names of the arrays that belong to it."""
        cls, values = self._parts(packed, prefix, outlines)
        inner = {name: value for name, value in values.items() if isinstance(value, dict)}
        classes = {name: self._class(value) for name, value in inner.items()}
        if wrong := check_shapes(cls, values | classes):
            raise Unreadable(contradiction(self._path, cls, wrong))
        known = {prefix + name for name, value in values.items() if isinstance(value, np.ndarray)}
        return known.union(
            *(self.check(it, f"{prefix}{name}.", outlines) for name, it in inner.items())
        )

    def unpacked(
        self, packed: dict[str, Any], prefix: str, arrays: Mapping[str, np.ndarray]
    ) -> Record:
        """Make the record."""
        cls, values = self._parts(packed, prefix, arrays)
        for name, value in values.items():
            if isinstance(value, dict):
                values[name] = self.unpacked(value, f"{prefix}{name}.", arrays)
        if wrong := check_values(cls, values):
            raise Unreadable(contradiction(self._path, cls, wrong))
        try:
            return cls(**values)
        except ValueError as error:
            raise Unreadable(contradiction(self._path, cls, str(error).rstrip("."))) from None

    def _parts(
        self, packed: dict[str, Any], prefix: str, arrays: Mapping[str, np.ndarray]
    ) -> tuple[type[Record], dict[str, Any]]:
        """Return the class of a record, and its fields; records inside it are dicts still."""
        cls = self._class(packed)
        values = {name: _tuples(value) for name, value in packed["values"].items()}
        values |= {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix) and "." not in name.removeprefix(prefix)
        }
        names = {field.name for field in dataclasses.fields(cls)}
        if values.keys() != names:
            odd = ", ".join(sorted(values.keys() ^ names))
            words = _newer(self._path, self._header)
            raise Unreadable(f"{words} The fields that differ: {odd}.")
        if issubclass(cls, Result):
            try:
                values["knobs"] = Knobs(dict(values["knobs"]))
                plain = is_plain(tuple(values["knobs"].items()))
            except (TypeError, ValueError):
                plain = False
            if not plain:
                words = "knobs are no names with plain values"
                raise Unreadable(contradiction(self._path, cls, words))
        return cls, values

    def _class(self, packed: dict[str, Any]) -> type[Record]:
        kind, module = packed["kind"], packed["module"]
        # Only our own modules are imported on a file's word; a user's class must be there already.
        if (module, kind) not in _KINDS and module.startswith(_PACKAGE):
            try:
                import_module(module)
            except ModuleNotFoundError:
                raise Unreadable(_newer(self._path, self._header)) from None
            if (module, kind) not in _KINDS:
                raise Unreadable(_newer(self._path, self._header))
        if (module, kind) not in _KINDS:
            raise Unreadable(
                f"{self._path} holds a {kind} of the module {module}, which is not loaded. "
                f"Import {module} first."
            )
        cls = _KINDS[module, kind]
        if packed["version"] != cls.version:
            raise Unreadable(_newer(self._path, self._header))
        return cls


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
