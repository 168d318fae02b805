"""Cells of a grid on an executor: whatever becomes of one, the others get their turn."""

from __future__ import annotations

import functools
import pickle
import shutil
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Any, TypeAlias

from .engine import Cancelled

Cell: TypeAlias = tuple[Any, dict[str, Any]]
"""A subject and knobs."""
Outcome: TypeAlias = tuple[int, Any, str | None]
"""Number, result and error of a cell."""


def attempt(fn: Callable[..., Any], *given: Any) -> tuple[Any, str | None]:
    """Return what a call gives and None, or None and its error in words: words always travel.

    Examples
    --------
    >>> attempt(int, "3"), attempt(exit, 3)
    ((3, None), (None, 'SystemExit: 3'))
    """
    try:
        return fn(*given), None
    except (Cancelled, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # sys.exit in a cell ends that cell
        try:
            return None, f"{type(error).__name__}: {error}"
        except Exception:  # an error that has no words
            return None, type(error).__name__


def outcomes(
    analysis: Callable[..., Any], cells: dict[int, Cell], executor: Any, timeout: float
) -> Generator[Outcome]:
    """Yield number, result and error of each cell as it is done.

    Parameters
    ----------
    analysis : callable
        Called as ``analysis(subject, **knobs)``.
    cells : dict
        By number.
    executor : concurrent.futures.Executor or dask.distributed.Client
        Where to run. In place of a process pool that breaks, another like it is made.
    timeout : float
        Seconds that a cell may take in a process pool, and that may pass elsewhere without any
        being done.
    """
    if isinstance(executor, ProcessPoolExecutor):
        yield from _Processes(analysis, executor, timeout).outcomes(cells)
        return
    send: Callable[[Any], Any] = _same
    if hasattr(executor, "get_executor"):  # a Dask client: it is sent each subject once
        send = functools.cache(functools.partial(executor.scatter, broadcast=True))
        executor = executor.get_executor(pure=False)  # a call that failed is not remembered

    def submit(subject: Any, knobs: dict[str, Any]) -> Any:
        return executor.submit(attempt, _cell, analysis, send(subject), knobs)

    numbers: dict[Future[Any], int] = {}
    try:
        for number, cell in cells.items():
            future, error = attempt(submit, *cell)
            if error is None:
                numbers[future] = number
            else:
                yield number, None, error
        while numbers:
            done, _ = wait(numbers, timeout, FIRST_COMPLETED)
            for future in done:
                yield numbers.pop(future), *_outcome(future)
            if not done:
                words = f"TimeoutError: no cell was done for {timeout:,g} s"
                for future in list(numbers):
                    future.cancel()
                    yield numbers.pop(future), None, words
    finally:
        for future in numbers:
            future.cancel()


def _same(subject: Any) -> Any:
    return subject


def _outcome(future: Future[Any]) -> tuple[Any, str | None]:
    # A future fails where no cell did: something cannot travel, a worker was killed.
    found, lost = attempt(future.result)
    return found or (None, lost)


class _Processes:
    """A pool of processes, in place of which others are made when it breaks."""

    def __init__(
        self, analysis: Callable[..., Any], pool: ProcessPoolExecutor, timeout: float
    ) -> None:
        self._analysis, self._pool, self._timeout = analysis, pool, timeout
        self._given = pool
        self._width: int = pool._max_workers  # type: ignore[attr-defined]
        self._running: dict[Future[Any], tuple[int, float]] = {}
        self._waiting: deque[int] = deque()
        self._suspects: deque[int] = deque()  # ran when a pool broke: one of them is to blame

    def outcomes(self, cells: dict[int, Cell]) -> Generator[Outcome]:
        """Yield the outcome of each cell."""
        self._waiting.extend(cells)
        with ExitStack() as stack:
            send = functools.cache(_Sender(stack))
            stack.callback(self._end)
            while self._waiting or self._suspects or self._running:
                yield from self._begin(cells, send)
                now = monotonic()
                left = [begun + self._timeout - now for _, begun in self._running.values()]
                done, _ = wait(self._running, max(0, min(left, default=0)), FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    yield from self._broken()
                    continue
                for future in done:
                    yield self._running.pop(future)[0], *_received_from(future)
                if not done:
                    yield from self._overdue()

    def _begin(self, cells: dict[int, Cell], send: Callable[[Any], Any]) -> Generator[Outcome]:
        """Keep all workers busy; suspects run one at a time and alone."""
        while True:
            if self._suspects and not self._running:
                queue, most = self._suspects, 1
            elif self._suspects:
                return
            else:
                queue, most = self._waiting, self._width
            if not queue or len(self._running) >= most:
                return
            number = queue.popleft()
            subject, knobs = cells[number]
            try:
                future = self._pool.submit(
                    attempt, _travelling, self._analysis, send(subject), knobs
                )
            except BrokenProcessPool as error:
                if self._pool is not self._given:  # a new one that breaks at once
                    yield number, None, f"BrokenProcessPool: {error}"
                else:
                    queue.appendleft(number)
                self._renew()
                continue
            except Exception as error:
                yield number, None, f"{type(error).__name__}: {error}"
                continue
            self._running[future] = number, monotonic()
            if most == 1:
                return

    def _broken(self) -> Generator[Outcome]:
        numbers = [number for number, _ in self._running.values()]
        finished = {
            number: future
            for future, (number, _) in self._running.items()
            if future.done() and future.exception() is None
        }
        lost = [number for number in numbers if number not in finished]
        self._running.clear()
        self._renew()
        for number, future in finished.items():
            yield number, *_received_from(future)
        if len(lost) == 1:
            words = "BrokenProcessPool: the process that ran it died (killed, or out of memory)"
            yield lost[0], None, words
        else:
            self._suspects.extend(lost)

    def _overdue(self) -> Generator[Outcome]:
        now = monotonic()
        late = [n for n, begun in self._running.values() if now - begun >= self._timeout]
        if not late:
            return
        others = [n for n, _ in self._running.values() if n not in late]
        self._running.clear()
        self._renew()
        self._waiting.extendleft(reversed(others))
        for number in late:
            words = f"TimeoutError: it took longer than {self._timeout:,g} s, and was stopped"
            yield number, None, words

    def _renew(self) -> None:
        old, given = self._pool, self._given
        # A pool that breaks ends its processes, but not one that it begins meanwhile, and whoever
        # shuts it down would wait for that one for ever.
        _kill(old)
        self._pool = ProcessPoolExecutor(
            self._width,
            mp_context=given._mp_context,
            initializer=given._initializer,
            initargs=given._initargs,
        )
        if old is not given:
            old.shutdown(wait=True, cancel_futures=True)

    def _end(self) -> None:
        for future in self._running:
            future.cancel()
        if self._pool is not self._given:
            if self._running:  # stopped in the middle
                _kill(self._pool)
            self._pool.shutdown(wait=True, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        with suppress(Exception):
            process.kill()


class _Sender:
    """Writes a subject to a file, for all the processes that need it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._folder: Path | None = None

    def __call__(self, subject: Any) -> Any:
        try:
            if self._folder is None:
                self._folder = Path(mkdtemp(prefix="reliab_widgets-"))
                self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / f"{id(subject)}.pickle"
            path.write_bytes(pickle.dumps(subject))
        except OSError:  # a full disk: then it travels with each cell
            return subject
        return path


@functools.lru_cache(maxsize=1)  # cells come subject by subject
def _received(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def _cell(analysis: Callable[..., Any], subject: Any, knobs: dict[str, Any]) -> Any:
    return analysis(_received(subject) if isinstance(subject, Path) else subject, **knobs)


def _travelling(analysis: Callable[..., Any], subject: Any, knobs: dict[str, Any]) -> bytes:
    """Pack the result where it is made: one that cannot be unpacked would break the pool."""
    return pickle.dumps(_cell(analysis, subject, knobs))


def _received_from(future: Future[Any]) -> tuple[Any, str | None]:
    found, error = _outcome(future)
    return (None, error) if error is not None else attempt(pickle.loads, found)
