"""The file of a record: a header and arrays in one ``.npz``, written whole, read with care."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from .wording import problem

if sys.platform != "win32":
    import fcntl

HEADER = "header.json"
_ZIP = b"PK\x03\x04"
_SUFFIX = ".npy"
_PART = re.compile(r"(^|\.)[0-9a-f]{32}\.part$")

# What a file may grow to when it is unpacked: zeros shrink a thousand times, and a small file that
# fills the memory is no result of ours.
_GROWTH = 100
_MOST = 64_000_000  # bytes, whatever it grew from
_MOST_HEADER = 4_000_000  # bytes: text takes many times its size when it is read


class Unreadable(ValueError):
    """Carries the words for a file that is whole, and yet cannot be opened."""


# --- writing ----------------------------------------------------------------------------------


def write(path: Path, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file: it appears whole or not at all, and what killed writers left is removed.

    Parameters
    ----------
    path : Path
        A file already there is replaced, a folder not yet there is made.
    header : dict
        Plain values.
    arrays : mapping
        Arrays by name.

    Raises
    ------
    OSError
        The disk is full, or it may not be written to; the old file is as it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a.npz", {"n": 3}, {"a": np.arange(3)})
    ...     with opened(Path(folder) / "a.npz") as archive:
    ...         archive.header, archive.read("a")
    ({'n': 3}, array([0, 1, 2]))
    """
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    members: dict[str, Any] = {**arrays, HEADER: text}
    with replacing(path) as file:
        np.savez_compressed(file, **members)
        with zipfile.ZipFile(file) as made:
            bomb = _grown(made.infolist())
        if bomb:  # what would be refused is kept as it is
            file.seek(0)
            file.truncate()
            np.savez(file, **members)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its place when all is written, or never.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "new" / "a.txt") as file:
    ...         file.write(b"all")
    ...     (Path(folder) / "new" / "a.txt").read_text()
    3
    'all'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Written beside its final place and then renamed: a full disk or a killed kernel leaves the
    # old file as it was.
    part, file = _part(path.parent)
    try:
        with file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _part(folder: Path) -> tuple[Path, BinaryIO]:
    """Begin a file that nobody takes for an orphan while it is written."""
    while True:
        part = folder / f"{uuid4().hex}.part"
        file = open(part, "x+b")  # noqa: SIM115, closed by whoever writes
        if _locked(file) is not False and part.exists():
            return part, file
        file.close()  # somebody who swept was faster than the lock


def _sweep(folder: Path) -> None:
    """Remove what killed writers left: a lock ends with the process that holds it."""
    for orphan in folder.glob("*.part"):
        if _PART.search(orphan.name):
            with suppress(OSError):
                if sys.platform == "win32":
                    orphan.unlink()  # which fails where somebody has it open
                else:
                    with open(orphan, "r+b") as file:
                        if _locked(file):
                            orphan.unlink()


def _locked(file: BinaryIO) -> bool | None:
    """Lock a file unless somebody else does; None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network drives
        return None
    return True


# --- reading ----------------------------------------------------------------------------------


class Archive:
    """An open file: its header, and arrays that are only read when asked for.

    Attributes
    ----------
    header : dict
        What was written.
    outlines : dict
        For each array one of its type and shape that takes no memory and holds zeros.
    """

    def __init__(self, file: zipfile.ZipFile, path: Path) -> None:
        self._file, self._path = file, path
        members = file.infolist()
        names = [member.filename for member in members]
        if f"{HEADER}{_SUFFIX}" not in names:
            raise foreign(path)
        strange = [name for name in names if not name.endswith(_SUFFIX) or names.count(name) > 1]
        if strange or any(it.compress_type not in _KNOWN for it in members):
            raise surplus(path, strange or names)
        if bomb := _grown(members):
            raise Unreadable(
                problem(
                    f"{path} is refused: it would take far more memory than a result does",
                    bomb,
                    "Get the file from where it was saved",
                )
            )
        self.header = json.loads(self.read(HEADER).tobytes())
        found = [name.removesuffix(_SUFFIX) for name in names]
        self.outlines = {name: self._outline(name) for name in found if name != HEADER}

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        with self._file.open(name + _SUFFIX) as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            if stream.read(1):
                raise ValueError(f"{name} goes on after its end")
        return array

    def _outline(self, name: str) -> np.ndarray:
        with self._file.open(name + _SUFFIX) as stream:
            version = np.lib.format.read_magic(stream)
            reader = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = reader(stream)
            begins = stream.tell()
        size = self._file.getinfo(name + _SUFFIX).file_size - begins
        if dtype.hasobject or np.prod([*shape, dtype.itemsize], dtype=object) != size:
            raise ValueError(f"{name} is not what it says")
        return np.broadcast_to(np.zeros((), dtype), shape)


_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a file and look at its header and outlines, before anything is unpacked.

    Whatever goes wrong inside the block counts as damage of the file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, foreign, a folder, or would take far more memory than it should.
    OSError
        It may not be read.
    """
    with _begun(path) as file:
        try:
            start = file.read(len(_ZIP))
            if start != _ZIP[: len(start)]:
                raise foreign(path)
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                yield Archive(archive, path)
        except (Unreadable, MemoryError):
            raise
        # There is no end to what zipfile, zlib and numpy raise for a file that was cut or changed.
        except Exception as error:
            raise Unreadable(
                f"{path} cannot be read: it is damaged or was not finished. "
                "Restore or save it again."
            ) from error


def _begun(path: Path) -> BinaryIO:
    try:
        if path.exists() and not path.is_file():
            seen = f"got {path}, a {'folder' if path.is_dir() else 'device'}"
            raise Unreadable(problem("path is not a file", seen, "Pass path= as one file"))
        return open(path, "rb")
    except FileNotFoundError:
        fix = "Check the path given to `load`"
        words = problem("there is no such file", f"got path {path}", fix)
        raise FileNotFoundError(words) from None
    except OSError as error:
        fix = "Check the path, and who may read it"
        seen = f"{path}: {error.strerror or error}"
        raise type(error)(problem("the file cannot be opened", seen, fix)) from error


def foreign(path: Path) -> Unreadable:
    """Make the error for a file of others."""
    return Unreadable(
        f"{path} was not written by reliab_widgets: it has no header of ours. "
        "`load` opens what `result.save(path)` wrote."
    )


def surplus(path: Path, names: list[str]) -> Unreadable:
    """Make the error for a file that holds something beside a record."""
    return Unreadable(
        problem(
            f"{path} is refused: it holds what no result has",
            ", ".join(sorted(set(names))[:5]),
            "Get the file from where it was saved",
        )
    )


def _grown(members: list[zipfile.ZipInfo]) -> str:
    """Say by how much a file would grow, if that is too much."""
    whole = sum(it.file_size for it in members), sum(it.compress_size for it in members)
    limits = [(whole, _MOST)]
    limits += [
        ((it.file_size, it.compress_size), _MOST_HEADER)
        for it in members
        if it.filename == HEADER + _SUFFIX
    ]
    for (size, packed), most in limits:
        if size > max(most, _GROWTH * packed):
            return f"{packed / 1e6:.1f} MB grow to {size / 1e6:,.0f} MB"
    return ""
