"""An analysis over several subjects and lists of knobs, as one table."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import product
from numbers import Number
from typing import TYPE_CHECKING, Annotated, Any

from .analysis import checked
from .engine import Cache, Progress, Question, check_executor, ticking
from .knobs import Auto, Own, Place, Real, refuse_unknown
from .pools import Cell, Outcome, attempt, outcomes
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
    timeout: Annotated[float, Real(above=0, most=10**7, why="seconds")] = 86_400,
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
    timeout : float
        Seconds, a day by default, that a cell may take in a process pool; then its process is
        killed, and the cell has failed. On other executors, where nothing can be killed, seconds
        without any cell done; then all that are left have failed. No bound without an executor.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to run, one cell of the grid at a time; by default here, one after the other. A
        subject is sent to a process or a cluster once. Where a process dies, its cell has failed,
        and another pool like the one given goes on with those that are left.
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
        ``__name__`` or class, and None and tuples are written out; last come ``doubt``, of
        analyses that attack, what speaks for a network that hides, or nothing; and ``error``. A
        cell that failed is one row with the text of its error, and NaN where numbers would be; it
        is tried again by the next call. A column of a table that has one of these names already is
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
    questions = [
        attempt(store.question, analysis, *cell)[0] or Question(None, None) for cell in cells
    ]
    frames: dict[int, DataFrame] = {}
    with ticking(progress) as tick:

        def beat(*_: int) -> None:
            tick(len(frames), len(cells))

        beat()
        waiting = {}
        for number, cell in enumerate(cells):
            result = store.known(questions[number])
            if result is None:
                waiting[number] = cell
            else:
                frames[number] = _rows(fronts[number], result, None, table)
                beat()
        how = {"progress": beat} if watched else {}
        found = (
            _here(analysis, waiting, how)
            if executor is None
            else outcomes(analysis, waiting, executor, timeout)
        )
        with closing(found):
            for number, result, error in found:
                if error is None:
                    store.remember(questions[number], result)
                frames[number] = _rows(fronts[number], result, error, table)
                beat()
    return concat([frames[number] for number in range(len(cells))], ignore_index=True)


def _here(
    analysis: Callable[..., Any], cells: dict[int, Cell], how: dict[str, Any]
) -> Generator[Outcome]:
    for number, (subject, knobs) in cells.items():
        yield number, *attempt(functools.partial(analysis, subject, **knobs, **how))


def _rows(
    front: dict[str, Any], result: Any, error: str | None, table: Callable[[Any], Any] | None
) -> DataFrame:
    from pandas import DataFrame

    def tidy() -> DataFrame:
        frame = result.to_frame() if table is None else table(result)
        return frame.reset_index(drop=frame.index.names == [None])

    frame = None
    if error is None:
        frame, error = attempt(tidy)
    if frame is None:
        frame = DataFrame(index=[0])
    told = {"doubt": result.doubt} if error is None and hasattr(result, "doubt") else {}
    taken = frame.columns.intersection([*front, *told, "error"])
    frame = frame.rename(columns={name: f"result_{name}" for name in taken})
    for place, (name, value) in enumerate(front.items()):
        frame.insert(place, name, value)
    return frame.assign(**told, error=error)


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
