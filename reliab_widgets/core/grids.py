"""An analysis over several subjects and lists of knobs, as one table."""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from itertools import product
from numbers import Number
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

from .analysis import checked
from .engine import Cache, Cancelled, Progress, check_executor, ticking
from .knobs import Auto, Own, Place, refuse_unknown
from .wording import named, problem

if TYPE_CHECKING:
    from pandas import DataFrame

    from .subject import Subject


@checked
def grid(
    analysis: Callable[..., Any],
    subjects: Subject | Iterable[Subject],
    *,
    table: Annotated[Any, Auto(Own("a function of a result that gives a table"))] = None,
    cache: Annotated[Any, Auto(Place())] = None,
    executor: Any = None,
    progress: Progress = None,
    **lists: Any,
) -> DataFrame:
    """Run an analysis for every Subject and every combination of knobs; return one table.

    Parameters
    ----------
    analysis : callable
        Any analysis of this package, or a function of yours: ``analysis(subject, **knobs)``.
    subjects : Subject or iterable of Subject
        What is examined. Their names tell the rows apart, so each has its own.
    table : callable, optional
        Makes the table of one result, such as ``rw.Reliability.summary`` or a function of yours;
        by default ``result.to_frame()``. It is called here, wherever the results come from.
    cache : str or path, optional
        A folder that keeps each result of an analysis of this package as soon as it is there. The
        same call goes on from what it holds, after it was stopped or killed, and another
        ``table`` of the same grid costs no computing. See `Cache` for what cannot be kept.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to run, one cell of the grid at a time; by default here, one after the other. A
        subject is sent to a process or a cluster once.
    progress : callable or True, optional
        Called as ``progress(done, total)`` in cells, at least once for each; ``True`` shows a tqdm
        bar. Raising `Cancelled` from it ends the grid: at once where it runs here, else after the
        cells that have begun.
    **lists
        Knobs of the analysis. Each element of a list is tried, in all combinations; whatever is
        no list, such as a tuple, is one value for all.

    Returns
    -------
    pandas.DataFrame
        The tables below one another, in the order of subjects and lists. First come the columns
        ``subject`` and one for each list, where functions and modules are called by their ``name``,
        ``__name__`` or class, and None and tuples are written out; last comes ``error``. A cell
        that failed is one row with the text of its error, and NaN where numbers would be; it is
        tried again by the next call. A column of a table that has one of these names already is
        called ``result_...``.

    Raises
    ------
    ValueError
        There are no subjects, a list is empty, or two rows could not be told apart.
    TypeError
        The analysis has no such knob, or something else than Subjects is to be examined.

    Notes
    -----
    A table may join what a result tells in several. Accuracies and distances of classifiers under
    attacks, before and behind denoisers::

        def figures(result):
            return result.summary().merge(result.outcomes(), on=["kind", "n"])

        rw.grid(
            rw.propagation,
            [rw.demo("resnet20"), rw.demo("resnet20-overfit")],
            attack=["fgsm", "bim", "deepfool"],
            denoiser=[None, "pixel", "guided"],
            images=500,
            table=figures,
            cache="propagation",
        )

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")[:64]
    >>> frame = rw.grid(rw.reliability, subject, bins=[5, 10], table=rw.Reliability.summary)
    >>> frame.columns.tolist()
    ['subject', 'bins', 'metric', 'before', 'after', 'low', 'high', 'floor', 'error']
    >>> len(frame)
    16
    """
    from pandas import concat

    if isinstance(subjects, str | dict) or not (
        hasattr(subjects, "name") or isinstance(subjects, Iterable)
    ):
        fix = "Pass subjects= as a Subject or a list of them"
        raise TypeError(problem("subjects are no Subjects", f"got {subjects!r}", fix))
    examined: list[Any] = [subjects] if hasattr(subjects, "name") else list(subjects)
    watched = _check_grid(analysis, examined, lists)
    if executor is not None:
        check_executor(executor, "submit")
    varied = {name: values for name, values in lists.items() if isinstance(values, list)}
    shown = {"subject": [subject.name for subject in examined]}
    shown |= {name: [_shown(value) for value in values] for name, values in varied.items()}
    _check_told_apart(shown)
    fronts = [dict(zip(shown, values, strict=True)) for values in product(*shown.values())]
    cells = [
        (subject, lists | dict(zip(varied, values, strict=True)))
        for subject, *values in product(examined, *varied.values())
    ]
    store = Cache(cache, keep=0)
    # A value that the knob cannot have has no question: its cell fails, and says why.
    questions: list[tuple[Any, Any]] = [
        _attempt(store.question, analysis, *cell)[0] or (None, None) for cell in cells
    ]
    frames: dict[int, DataFrame] = {}
    with ticking(progress) as tick:

        def beat(*_: int) -> None:
            tick(len(frames), len(cells))

        beat()
        waiting = {}
        for number, cell in enumerate(cells):
            result = store.known(*questions[number])
            if result is None:
                waiting[number] = cell
            else:
                frames[number] = _rows(fronts[number], result, None, table)
                beat()
        how = {"progress": beat} if watched and executor is None else {}
        with closing(_run(analysis, waiting, executor, how)) as outcomes:
            for number, result, error in outcomes:
                if error is None:
                    store.remember(*questions[number], result)
                frames[number] = _rows(fronts[number], result, error, table)
                beat()
    return concat([frames[number] for number in range(len(cells))], ignore_index=True)


def _run(
    analysis: Callable[..., Any],
    cells: dict[int, tuple[Any, dict[str, Any]]],
    executor: Any,
    how: dict[str, Any],
) -> Generator[tuple[int, Any, str | None]]:
    """Yield number, result and error of each cell as it is done."""
    if executor is None:
        for number, (subject, knobs) in cells.items():
            yield number, *_attempt(_cell, analysis, subject, knobs | how)
        return
    with _sender(executor) as (pool, send):

        def submit(subject: Any, knobs: dict[str, Any]) -> Any:
            return pool.submit(_attempt, _cell, analysis, send(subject), knobs)

        numbers = {}
        try:
            for number, cell in cells.items():
                future, error = _attempt(submit, *cell)
                if error is None:
                    numbers[future] = number
                else:
                    yield number, None, error
            for future in as_completed(numbers):
                # A future fails where no cell did: something cannot travel, a worker was killed.
                outcome, lost = _attempt(future.result)
                yield numbers.pop(future), *(outcome or (None, lost))
        finally:
            for future in numbers:
                future.cancel()


@contextmanager
def _sender(executor: Any) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Give what takes calls, and a function that sends a subject ahead of them, once."""
    if hasattr(executor, "get_executor"):  # a Dask client; a call that failed is not remembered
        pool = executor.get_executor(pure=False)
        yield pool, functools.cache(lambda subject: executor.scatter(subject, broadcast=True))
    elif isinstance(executor, ProcessPoolExecutor):
        with TemporaryDirectory() as folder:

            @functools.cache
            def send(subject: Any) -> Path:
                path = Path(folder) / f"{id(subject)}.pickle"
                path.write_bytes(pickle.dumps(subject))
                return path

            yield executor, send
    else:
        yield executor, lambda subject: subject


@functools.lru_cache(maxsize=1)  # cells come subject by subject
def _received(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def _cell(analysis: Callable[..., Any], subject: Any, knobs: dict[str, Any]) -> Any:
    return analysis(_received(subject) if isinstance(subject, Path) else subject, **knobs)


def _attempt(fn: Callable[..., Any], *given: Any) -> tuple[Any, str | None]:
    """Return what a call gives and None, or None and its error in words: words always travel."""
    try:
        return fn(*given), None
    except Cancelled:
        raise
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _rows(
    front: dict[str, Any], result: Any, error: str | None, table: Callable[[Any], Any] | None
) -> DataFrame:
    from pandas import DataFrame

    def tidy() -> DataFrame:
        frame = result.to_frame() if table is None else table(result)
        return frame.reset_index(drop=frame.index.names == [None])

    frame = None
    if error is None:
        frame, error = _attempt(tidy)
    if frame is None:
        frame = DataFrame(index=[0])
    taken = frame.columns.intersection([*front, "error"])
    frame = frame.rename(columns={name: f"result_{name}" for name in taken})
    for place, (name, value) in enumerate(front.items()):
        frame.insert(place, name, value)
    return frame.assign(error=error)


def _shown(value: Any) -> Any:
    """Return what stands for a knob's value in a column."""
    if isinstance(value, str | Number):
        return value
    return str(value) if value is None or isinstance(value, tuple) else named(value)


def _check_grid(analysis: Callable[..., Any], subjects: list[Any], knobs: dict[str, Any]) -> bool:
    """Refuse what cannot be run, before anything runs; return whether progress can be handed on."""
    if not callable(analysis):
        raise TypeError(
            f"analysis cannot be called: got {analysis!r}. Pass a function, such as rw.reliability."
        )
    for subject in subjects:
        if not hasattr(subject, "name"):
            raise TypeError(
                f"subjects holds something that is no Subject: got {type(subject).__name__}. "
                "Pass a Subject or a list of them."
            )
    _, *parameters = inspect.signature(analysis).parameters.values()
    known = [it.name for it in parameters if it.kind is not it.VAR_KEYWORD]
    if len(known) == len(parameters):
        refuse_unknown(known, knobs, named(analysis))
    return "progress" in known


def _check_told_apart(shown: dict[str, list[Any]]) -> None:
    """Refuse lists that are empty, and two values that would read alike in the table."""
    for name, values in shown.items():
        which = "subjects" if name == "subject" else name
        if not values:
            raise ValueError(
                f"there is nothing to run: {which} is empty. Put at least one into the list."
            )
        alike = [value for place, value in enumerate(values) if value in values[:place]]
        if alike:
            fix = "Pass each value once, and give functions and modules a .name of their own."
            if name == "subject":
                fix = "Make each with a name= of its own."
            raise ValueError(
                f"rows could not be told apart: {which} holds {alike[0]!r} more than once. {fix}"
            )
