"""What makes a function an analysis: its knobs are checked, its result knows where it is from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .engine import check_executor, check_progress
from .knobs import HANDED_ON, Knob, Knobs, checked_knobs, declared, refuse_unknown, without_kinds
from .result import Result
from .settings import usual
from .wording import plainly, problem

if TYPE_CHECKING:
    from .subject import Subject

P = ParamSpec("P")
R = TypeVar("R")
Found = TypeVar("Found", bound=Result)


def checked(fn: Callable[P, R]) -> Callable[P, R]:
    """Let a function get its ``subject`` and its knobs checked and in normal form.

    Examples
    --------
    >>> from typing import Annotated
    >>> from reliab_widgets.core.knobs import Whole
    >>> @checked
    ... def double(*, n: Annotated[int, Whole(1, 9)] = 1) -> int:
    ...     return 2 * n
    >>> double(n=10)
    Traceback (most recent call last):
    ValueError: n must be a whole number in its range: got 10. Pass n= from 1 to 9.
    """
    knobs, signature = declared(fn), inspect.signature(fn)
    names = [it.name for it in signature.parameters.values() if it.kind is not it.VAR_KEYWORD]
    open_ended = len(names) < len(signature.parameters)

    @functools.wraps(fn)
    @plainly()
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not open_ended:
            refuse_unknown(names, kwargs, fn.__name__)
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            called = "Subject" if fn.__name__ == "__init__" else fn.__name__
            fix = f"Its arguments are {', '.join(name for name in names if name != 'self')}"
            raise TypeError(
                problem(f"{called} cannot be called like this", str(error), fix)
            ) from None
        given.apply_defaults()
        about = given.arguments.get("subject")
        if "subject" in names:
            _examinable(about)
        check_progress(kwargs.get("progress"))
        for name, knob in knobs.items():
            given.arguments[name] = knob.kind.check(name, given.arguments[name], about)
        with usual():
            return fn(*given.args, **given.kwargs)

    return _presented(run, fn, knobs)


def analysis(fn: Callable[P, Found]) -> Callable[P, Found]:
    """Make an analysis of ``fn(subject, *, knobs..., executor, progress) -> Result``.

    Its knobs arrive checked and in normal form; it returns a result with only what it found, and
    subject, fingerprint, knobs and source are filled in. Where it takes ``partial``, a callable, it
    hands on results with less in them, before the last, and these are filled in too.

    Raises
    ------
    TypeError
        A knob has no kind.
    """
    knobs = declared(fn, complete=True)
    known = [name for name in inspect.signature(fn).parameters if name != "subject"]

    @functools.wraps(fn)
    @plainly()
    def run(subject: Subject, **given: Any) -> Found:
        _examinable(subject)
        refuse_unknown(known, given, fn.__name__)
        handed = {name: given.pop(name) for name in HANDED_ON if name in given}
        _check_handed(handed)
        values = checked_knobs(knobs, given, subject, fn.__name__)

        def filled(result: Found) -> Found:
            for name, value in (
                ("subject", subject.name),
                ("fingerprint", subject.fingerprint),
                ("source", call(fn.__name__, subject, knobs, values)),
                ("knobs", Knobs({n: knobs[n].kind.plain(v, subject) for n, v in values.items()})),
            ):
                object.__setattr__(result, name, value)  # frozen for all others
            return result

        if handed.get("partial") is not None:
            early = handed["partial"]
            handed["partial"] = lambda result: early(filled(result))
        with usual():
            return filled(fn(subject, **values, **handed))  # type: ignore[arg-type]

    return _presented(run, fn, knobs)


def _examinable(subject: Any) -> None:
    from .subject import check_subject  # here, because grids and the zoo are read without torch

    check_subject(subject)


def _check_handed(given: Mapping[str, Any]) -> None:
    """Refuse at once what would fail only when the work has begun, or not at all."""
    executor, partial = given.get("executor"), given.get("partial")
    if not (executor is None or hasattr(executor, "get_executor")):
        check_executor(executor, "map")
    check_progress(given.get("progress"))
    if not (partial is None or callable(partial)):
        fix = "Pass a function of a result, or nothing"
        raise TypeError(problem("partial is not something to call", f"got {partial!r}", fix))


def _presented(run: Callable[P, R], fn: Callable[..., Any], knobs: dict[str, Knob]) -> Any:
    """Show the plain signature to people and editors, and the knobs to whoever needs them."""
    run.__signature__ = without_kinds(fn, knobs)  # type: ignore[attr-defined]
    run.knobs = knobs  # type: ignore[attr-defined]
    return run


def call(word: str, subject: Subject, knobs: dict[str, Knob], values: dict[str, Any]) -> str:
    """Return Python text that computes a result again.

    Parameters
    ----------
    word : str
        The analysis.
    subject : Subject
        What is examined.
    knobs : dict
        What it can be given.
    values : dict
        What it was given, in normal form.
    """
    lines = "".join(f"    {argument},\n" for argument in arguments(subject, knobs, values))
    return (
        f"import reliab_widgets as rw\n\n"
        f"subject = {subject.code}  # fingerprint {subject.fingerprint[:12]}\n"
        f"result = rw.{word}(\n    subject,\n{lines})\n"
    )


def arguments(about: Any, knobs: Mapping[str, Knob], values: dict[str, Any]) -> list[str]:
    """Write knobs as arguments of a call; what has no short text is named like its knob.

    ``about`` is the Subject, or the Result whose views the knobs are.
    """
    return [f"{n}={knobs[n].kind.text(n, value, about)}" for n, value in values.items()]
