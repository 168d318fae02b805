"""Running work: over items, watched, stoppable, remembered. There is no scheduler here."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from .. import __version__
from .knobs import Auto, Own, Place, Whole, checked_knobs
from .result import Record, load
from .wording import problem

if TYPE_CHECKING:
    from .subject import Subject

Tick: TypeAlias = Callable[[int, int], None]
Progress: TypeAlias = Tick | Literal[True] | None
Shared = TypeVar("Shared")


class Cancelled(Exception):
    """Raised by a progress callable to stop the work that calls it."""


def stream(
    fn: Callable[[Shared, Any], Any],
    subject: Shared,
    items: Iterable[Any],
    *,
    executor: Any = None,
    progress: Progress = None,
) -> Iterator[Any]:
    """Yield ``fn(subject, item)`` for every item, in order, as each is done.

    Parameters
    ----------
    fn : callable
        A function of a module (processes and clusters find it by its name).
    subject : Subject
        Handed to every call; sent to a cluster once. Where all items need more than that, an object
        that holds both.
    items : iterable
        Small descriptions of the work, such as spans of indices. Keep an item between 50 and
        500 ms: that is how long stopping takes.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to run; by default here, one after the other.
    progress : callable or True, optional
        Called as ``progress(done, total)`` at the start and after each item; ``True`` shows a
        tqdm bar. Raising `Cancelled` from it ends the work: what has not begun never begins.

    Yields
    ------
    object
        The values, in the order of ``items``.
    """
    Own("a function (subject, item) -> value").check("fn", fn, None)
    if isinstance(items, str) or not isinstance(items, Iterable):
        fix = "Pass items= as a list of small descriptions of the work"
        raise TypeError(problem("items cannot be gone through", f"got {items!r}", fix))
    items = list(items)
    with ticking(progress) as tick:
        tick(0, len(items))
        values = _map(fn, subject, items, executor)
        try:
            for done, value in enumerate(values, 1):
                yield value
                tick(done, len(items))
        finally:
            # Closing the iterator of an executor's map cancels what is left in its queue.
            getattr(values, "close", lambda: None)()


def sweep(
    fn: Callable[[Shared, Any], Any],
    subject: Shared,
    items: Iterable[Any],
    *,
    executor: Any = None,
    progress: Progress = None,
) -> list[Any]:
    """Return ``[fn(subject, item) for item in items]``, computed by any executor.

    Parameters and the ways to watch and to stop are those of `stream`.

    Examples
    --------
    >>> sweep(lambda subject, item: subject * item, 10, [1, 2, 3])
    [10, 20, 30]
    """
    return list(stream(fn, subject, items, executor=executor, progress=progress))


def _map(
    fn: Callable[[Any, Any], Any], subject: Any, items: list[Any], executor: Any
) -> Iterator[Any]:
    if executor is None:
        return map(fn, [subject] * len(items), items)
    if hasattr(executor, "get_executor"):  # a Dask client: send the subject once, not per item
        subject = executor.scatter(subject, broadcast=True)
        executor = executor.get_executor()
    check_executor(executor, "map")
    return executor.map(fn, [subject] * len(items), items)


def check_executor(executor: Any, method: str) -> None:
    """Refuse what has not the method that work would be handed to."""
    if not hasattr(executor, method):
        raise TypeError(
            f"executor cannot run work: got {type(executor).__name__}, which has no `{method}`. "
            "Pass a concurrent.futures executor, a dask.distributed Client, or nothing."
        )


def check_progress(progress: Any) -> None:
    """Refuse what cannot be told how far the work is."""
    if not (progress is None or progress is True or callable(progress)):
        raise TypeError(
            f"progress is not something to call: got {progress!r}. Pass a function of "
            "(done, total), True for a tqdm bar, or nothing."
        )


@contextmanager
def ticking(progress: Progress) -> Iterator[Tick]:
    """Turn any ``progress`` argument into a plain callable; close the bar if there was one.

    Examples
    --------
    >>> with ticking(None) as tick:
    ...     tick(1, 2)
    """
    if progress is None:
        yield lambda done, total: None
    elif progress is True:
        from tqdm.auto import tqdm

        with tqdm() as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield show
    else:
        check_progress(progress)
        yield progress


class Cache:
    """Remembers what analyses returned, in memory and, if a folder is given, on disk.

    What was computed is known by the function, the subject's fingerprint, and the knobs. Knobs
    that cannot be hashed (lists, arrays) are not remembered; those that are neither plain values
    nor Subjects (functions, modules) are remembered in memory only.

    Parameters
    ----------
    folder : str or path, optional
        Where results of this package's analyses are kept as ``.npz`` files. A lab can ship a
        filled folder, so that heavy settings answer at once. Your own functions are remembered in
        memory only, because their code may change.
    keep : int
        How many bytes of results stay in memory, each counted as a megabyte at least; the result
        not used for the longest time goes first.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> cache = rw.Cache()
    >>> subject = rw.demo("resnet20")[:64]
    >>> cache(rw.reliability, subject) is cache(rw.reliability, subject)
    True
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, keep: int = 100_000_000
    ) -> None:
        self.folder = Auto(Place()).check("folder", folder, None)
        Whole(0, 2**63).check("keep", keep, None)
        self.keep = keep
        self._memory: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(
        self,
        analysis: Callable[..., Any],
        subject: Subject,
        *,
        executor: Any = None,
        progress: Progress = None,
        partial: Callable[[Any], object] | None = None,
        **knobs: Any,
    ) -> Any:
        """Return ``analysis(subject, **knobs)``, computed once unless two threads ask at once.

        ``executor``, ``progress`` and ``partial`` are handed on and are no part of the memory.
        """
        how = {"executor": executor, "progress": progress, "partial": partial}
        given = {name: value for name, value in how.items() if value is not None}
        key, path = self.question(analysis, subject, knobs)
        result = self.known(key, path)
        if result is None:
            result = analysis(subject, **knobs, **given)
            self.remember(key, path, result)
        return result

    def has(self, analysis: Callable[..., Any], subject: Subject, **knobs: Any) -> bool:
        """Tell whether the answer is in memory."""
        key, _ = self.question(analysis, subject, knobs)
        with self._lock:
            return key is not None and key in self._memory

    def question(
        self, analysis: Callable[..., Any], subject: Subject, knobs: dict[str, Any]
    ) -> tuple[Hashable, Path | None]:
        """Return under which key and in which file an answer is kept, if at all."""
        # The same question has one form, however it was asked.
        if declared := getattr(analysis, "knobs", None):
            knobs = checked_knobs(declared, knobs, subject, analysis.__name__)
        named = {name: _named(value) for name, value in sorted(knobs.items())}
        # Equal is not the same: bins=1 and bins=True are different questions.
        package = __name__.partition(".")[0]
        key = (analysis, _named(subject), *((n, type(v), v) for n, v in named.items()))
        try:
            hash(key)
        except TypeError:
            return None, None
        module = getattr(analysis, "__module__", None) or ""
        # The text of other knobs does not tell them apart: two modules may differ in weights only.
        plain = all(map(_is_plain, named.values()))
        if self.folder is None or not plain or not module.startswith(f"{package}."):
            return key, None
        question = repr((_named(subject), named))
        text = "\n".join([__version__, module, analysis.__qualname__, question])
        name = f"{analysis.__name__}-{sha256(text.encode()).hexdigest()[:24]}.npz"
        return key, self.folder / name

    def known(self, key: Hashable, path: Path | None) -> Any:
        """Return the answer to a question if it is kept, else None."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        result = _read(path)
        if result is not None:
            self.remember(key, None, result)
        return result

    def remember(self, key: Hashable, path: Path | None, result: Any) -> None:
        """Keep the answer to a question."""
        if path is not None and isinstance(result, Record):
            result.save(path)
        if key is None:
            return
        with self._lock:
            self._memory[key] = result
            while sum(map(_size, self._memory.values())) > self.keep:
                self._memory.popitem(last=False)


class Recent(OrderedDict[Hashable, Any]):
    """A dict that keeps only what was set last.

    Examples
    --------
    >>> recent = Recent(2)
    >>> for number in (1, 2, 3):
    ...     recent[number] = number
    >>> list(recent)
    [2, 3]
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: Hashable, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)


def _size(result: Any) -> int:
    # Less than a megabyte is not worth counting, and not all that is large knows its size.
    parts = vars(result).values() if isinstance(result, Record) else (result,)
    return max(1_000_000, sum(getattr(part, "nbytes", 0) for part in parts))


def _read(path: Path | None) -> Record | None:
    if path is None or not path.exists():
        return None
    try:
        return load(path)
    except ValueError as error:
        logging.getLogger(__name__).warning("computing again what a cache file held: %s", error)
        return None


def _named(value: Any) -> Any:
    """Return what stands for a value in a key: for a subject, its name and fingerprints."""
    if not hasattr(value, "fingerprint"):
        return value
    validation = getattr(value, "validation", None)
    return (value.name, value.fingerprint, validation and validation.fingerprint)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | Number)
