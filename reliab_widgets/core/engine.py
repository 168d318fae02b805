"""Running work: over items, watched, stoppable, remembered. There is no scheduler here."""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

from .. import __version__
from .knobs import Auto, Knobs, Own, Place, Whole, checked_knobs
from .known import is_subject, known_by, of_subject
from .result import Record, Result, read
from .wording import problem

if TYPE_CHECKING:
    from .subject import Subject

Tick: TypeAlias = Callable[[int, int], None]
Progress: TypeAlias = Tick | Literal[True] | None
Shared = TypeVar("Shared")


class Cancelled(Exception):
    """Raised by a progress callable to stop the work that calls it."""


_PULSE: ContextVar[tuple[int, Callable[[], None]]] = ContextVar("pulse")


@contextmanager
def pulsing(check: Callable[[], None]) -> Iterator[None]:
    """Let `pulse` call ``check`` meanwhile, in this thread and process.

    Examples
    --------
    >>> with pulsing(lambda: print("still wanted?")):
    ...     pulse()
    still wanted?
    """
    token = _PULSE.set((os.getpid(), check))
    try:
        yield
    finally:
        _PULSE.reset(token)


def pulse() -> None:
    """Let whoever waits for this work stop it: called between the steps of a long item."""
    process, check = _PULSE.get((0, _nothing))
    if process == os.getpid():  # what was forked has its own
        check()


def _nothing() -> None:
    pass


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

    What was computed is known by the function, the subject's fingerprint, and the knobs; modules
    and functions among these by their weights and code. Answers to knobs of which that cannot be
    told (lists, arrays) are not remembered; those to modules and functions in memory only.

    Parameters
    ----------
    folder : str or path, optional
        Where results of this package's analyses are kept as ``.npz`` files. A lab can ship a
        filled folder, read-only too, so that heavy settings answer at once; a folder that cannot
        be written to costs a warning. Your own functions are remembered in memory only, because
        their code may change.
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
        self.folder: Path | None = Auto(Place()).check("folder", folder, None)
        if self.folder is not None and os.path.isfile(self.folder):
            fix = "Pass a folder, which need not be there yet"
            raise ValueError(problem("the cache's folder is a file", f"got {self.folder}", fix))
        Whole(0, 2**63).check("keep", keep, None)
        self.keep = keep
        self._memory: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._warned = False

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
        question = self.question(analysis, subject, knobs)
        result = self.known(question)
        if result is None:
            result = analysis(subject, **knobs, **given)
            self.remember(question, result)
        return result

    def has(self, analysis: Callable[..., Any], subject: Subject, **knobs: Any) -> bool:
        """Tell whether the answer is in memory."""
        key = self.question(analysis, subject, knobs).key
        with self._lock:
            return key is not None and key in self._memory

    def question(
        self, analysis: Callable[..., Any], subject: Subject, knobs: dict[str, Any]
    ) -> Question:
        """Return under what an answer is kept, if at all."""
        # The same question has one form, however it was asked.
        plain: Knobs | None = None
        if declared := getattr(analysis, "knobs", None):
            knobs = checked_knobs(declared, knobs, subject, analysis.__name__)
            plain = Knobs({n: declared[n].kind.plain(v, subject) for n, v in knobs.items()})
        about = of_subject(subject)
        try:
            key: Hashable = (analysis, about, *((n, known_by(v)) for n, v in sorted(knobs.items())))
            hash(key)
        except Exception:  # what hides its state does so in many ways
            return Question(None, None)
        module = getattr(analysis, "__module__", None) or ""
        named = {name: _named(value) for name, value in sorted(knobs.items())}
        # The text of other knobs does not tell them apart: two modules may differ in weights only.
        written = all(map(_is_plain, named.values()))
        package = __name__.partition(".")[0]
        if self.folder is None or not written or not module.startswith(f"{package}."):
            return Question(key, None)
        text = "\n".join([__version__, module, analysis.__qualname__, repr((about, named))])
        name = f"{analysis.__name__}-{sha256(text.encode()).hexdigest()[:24]}.npz"
        gives = inspect.signature(analysis).return_annotation if declared else ""
        kind = getattr(gives, "__name__", str(gives))
        return Question(key, self.folder / name, kind, about[0], about[1], plain)

    def known(self, question: Question) -> Any:
        """Return the answer to a question if it is kept, else None."""
        key, path, *_ = question
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        result = None if path is None else _read(path, question)
        if result is not None:
            self.remember(question._replace(path=None), result)
        return result

    def remember(self, question: Question, result: Any) -> None:
        """Keep the answer to a question; where that fails, say so and go on."""
        key, path, *_ = question
        if path is not None and isinstance(result, Record):
            try:
                result.save(path)
            except Exception as error:  # whatever it is: the result is there, and is worth more
                if not self._warned:
                    _warn("nothing new is kept in %s: %s", path.parent, error)
                self._warned = True
        if key is None:
            return
        with self._lock:
            self._memory[key] = result
            while sum(map(_size, self._memory.values())) > self.keep:
                self._memory.popitem(last=False)


class Question(NamedTuple):
    """Under what the answer of an analysis is kept, and what tells it from other answers."""

    key: Hashable
    path: Path | None
    kind: str = ""
    subject: str = ""
    fingerprint: str = ""
    knobs: Knobs | None = None

    def other(self, result: Record, package: str) -> str:
        """Say in which way a record of a file is not the answer, if it is not."""
        if package != __version__:
            return f"an answer of version {package}"
        if self.kind and type(result).__name__ != self.kind:
            return f"a {type(result).__name__}"
        if isinstance(result, Result):
            if (result.subject, result.fingerprint) != (self.subject, self.fingerprint):
                return f"an answer for {result.subject} ({result.fingerprint[:12]})"
            if self.knobs is not None and dict(result.knobs) != dict(self.knobs):
                return "an answer to other knobs"
        return ""


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


def _read(path: Path, question: Question) -> Record | None:
    try:
        result, package = read(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, MemoryError) as error:
        _warn("computing again what a cache file held: %s", error)
        return None
    if other := question.other(result, package):
        _warn("computing again what a cache file should hold: %s holds %s", path, other)
        return None
    return result


def _warn(words: str, *parts: object) -> None:
    # No warning of Python: where these are errors, a finished result would be lost.
    logging.getLogger(__name__).warning(words, *parts)


def _named(value: Any) -> Any:
    """Return what stands for a value in the name of a file."""
    return of_subject(value) if is_subject(value) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | Number)
