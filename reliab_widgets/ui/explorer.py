"""Explorer: controls, a picture and its sentence, over any analysis function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as W

from ..core.engine import Cache
from ..core.knobs import Knob, declared
from ..core.result import Result
from ..core.subject import Subject, check_subject
from ..core.wording import plainly, problem
from . import cells, export, worker
from .controls import Marked, Words, control
from .page import Page
from .running import Runner
from .settings import Settings
from .special import Special
from .work import Work, under


class Explorer(Special, W.VBox):
    """A live view over an analysis: change a control, and the picture and its sentence follow.

    Parameters
    ----------
    analysis : callable
        ``analysis(subject, **knobs)``. It may return a `Result`, a matplotlib figure, a table or
        anything that can be printed. If it takes ``progress``, ``executor`` or ``partial``, it gets
        them. Knobs that carry a kind of `reliab_widgets.knobs` need no control.
    subject : Subject
        What is examined.
    controls : mapping of str to ipywidgets.Widget
        One widget with a ``value`` for each other knob, or instead of the one that fits the kind.
    preset : mapping, str or path, optional
        Values to begin with, by knob, or a JSON file that a widget exported; "Reset" returns there.
    hide : sequence of str
        Knobs to leave out of sight; they keep their values.
    lock : mapping, optional
        Knobs a learner must not change freely: a ``(lowest, highest)`` pair narrows a slider, any
        other value is set and held, whatever the preset says.
    show_code : bool
        Whether "Copy code" is offered.
    cache : Cache, optional
        Where results are remembered; by default in this widget's memory.
    executor : optional
        Where the analysis runs its sweeps.
    against : Subject, optional
        Whose network is shown behind as a ghost: on the same images, with the same knobs.
    panels : sequence of str
        Which panels are open at first.
    **others
        Refused, with a word on how a knob is set.

    Examples
    --------
    >>> from typing import Annotated
    >>> import reliab_widgets as rw
    >>> def brightness(subject, *, k: Annotated[int, rw.knobs.Whole(1, 9)] = 2):
    ...     return f"{subject.images[:k].mean():.2f}"
    >>> explorer = Explorer(brightness, rw.demo("resnet20"))
    >>> explorer.set(k=3).result
    '0.52'
    >>> explorer.close()
    """

    _closed = True  # until it has been made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = plainly()(cls.__init__)  # type: ignore[method-assign]

    @plainly()
    def __init__(
        self,
        analysis: Callable[..., Any],
        subject: Subject,
        controls: Mapping[str, W.Widget] | None = None,
        *,
        preset: Mapping[str, Any] | str | Path | None = None,
        hide: Sequence[str] = (),
        lock: Mapping[str, Any] | None = None,
        show_code: bool = True,
        cache: Cache | None = None,
        executor: Any = None,
        panels: Sequence[str] = (),
        against: Subject | None = None,
        **others: Any,
    ) -> None:
        check_subject(subject)
        if isinstance(preset, str | Path):
            preset = export.settings_in(preset, analysis, subject)
        other = None if against is None else under(subject, against)
        self.analysis, self.subject = analysis, subject
        self.view_knobs = _views(analysis)
        known = {**(getattr(analysis, "knobs", None) or declared(analysis)), **self.view_knobs}
        known |= {knob.name: knob for knob in self.own}
        made = self._made(known, controls or {})
        _check_options(made, others, preset, hide, lock, cache, panels, self.panels)
        self._closed = False
        self.settings = Settings(known, made, self._about, self.changed, self.implied)
        self.controls = self.settings.controls
        self.work = Work(self, Cache() if cache is None else cache, executor, other)
        self.runner = Runner(f"rw{id(self):x}", self.work)
        self.page = Page(self, show_code, panels)
        super().__init__(self.arrange(), layout=W.Layout(width="100%"))
        for name in self.page.classes:
            self.add_class(name)
        cells.register(self)
        self.settings.assign({**(preset or {})})
        self.settings.lock(lock or {})
        for name in set(hide) - {it for it, c in self.controls.items() if isinstance(c, Marked)}:
            self.controls[name].layout.display = "none"
        self.start = self.state()
        self.adapt()
        self.refresh()

    # ------------------------------------------------------------------ what others call
    @property
    def result(self) -> Any:
        """What the analysis gave for the settings shown; waits while it is being computed."""
        return self.wait()

    @property
    def is_preview(self) -> bool:
        """Whether the picture shows a preview, which is refined in a rest of input."""
        return self.work.shown.is_preview

    def state(self) -> dict[str, Any]:
        """Return the value of every knob."""
        return self.settings.state()

    def set(self, **knobs: Any) -> Explorer:
        """Change several knobs at once, as if by hand.

        Raises
        ------
        TypeError
            There is no such knob.
        ValueError
            A knob cannot have that value, or is locked.
        """
        self.settings.assign(knobs)
        self.adapt()
        self._respond(knobs)
        return self

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the picture of the newest settings and return its result.

        Raises
        ------
        TimeoutError
            It was not finished after ``timeout`` seconds; it goes on.
        Exception
            Whatever the analysis raised for these settings.
        """
        if not worker.wait(self.runner.owner, timeout):
            raise TimeoutError(
                f"the analysis is still running after {timeout} s. Wait longer, or press Cancel."
            )
        if self.work.error is not None:
            raise self.work.error
        return self.work.result

    def code(self) -> str:
        """Return Python text that computes `result`, without a widget."""
        self.wait()
        return self.work.code()

    def cancel(self) -> None:
        """Stop what runs; the last complete picture stays."""
        self.runner.cancel()

    def close(self) -> None:
        """Stop the work and take the widget, with everything in it, off page and memory."""
        if self._closed or sys.is_finalizing():  # Python ends: ipywidgets asks once more
            return
        self._closed = self.runner.closed = True
        self.cancel()
        self.work.close()
        cells.close_tree(self)

    def export(self, kind: str, folder: str | Path = "exports") -> Path:
        """Write what is shown to a file and return its path.

        Parameters
        ----------
        kind : str
            ``"png"``, ``"svg"``, ``"csv"`` (the tidy table), ``"json"`` (the settings), or what
            else is in ``formats``.
        folder : str or path
            Where to; made if it is not there.

        Raises
        ------
        ValueError
            There is no such kind of file, or the result has none.
        """
        kind = export.check_kind(kind, self.formats)
        content = self.content(self.wait(), self.work.figure, kind)
        return export.written(content, type(self).__name__, self.state(), kind, folder)

    # ------------------------------------------------------------------ work
    def refresh(self) -> None:
        """Compute and show what the controls say now."""
        if not self._closed:
            self.work.refresh()

    def repaint(self) -> None:
        """Show the result at hand as the views say now; what runs goes on."""
        if not self._closed:
            self.work.repaint()

    def aside(self, part: str, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Do ``then(work())`` in the background for a part of the page, after what runs now.

        Of several that wait for a part only the newest is done.
        """
        if not self._closed:
            worker.submit((self.runner.owner, part), lambda _: self.guard(lambda: then(work())))

    def guard(self, act: Callable[[], object]) -> None:
        """Do something for a button: an exception in a callback is shown nowhere by Jupyter."""
        try:
            act()
        except Exception as error:
            self.page.show_error(error)

    def changed(self, name: str) -> None:
        """Answer to a knob that was changed by hand."""
        self.guard(self.adapt)
        self._respond((name,))

    def _respond(self, names: Iterable[str]) -> None:
        if self.work.result is not None and set(names) <= set(self.view_knobs):
            self.repaint()
        else:
            self.refresh()

    def _made(self, known: Mapping[str, Knob], given: Mapping[str, W.Widget]) -> dict[str, Any]:
        """Return the controls: the given ones, and those that fit the kinds."""
        names = known if self.front is None else (*self.front, *self.fold)
        made: dict[str, Any] = {}
        for name in dict.fromkeys([*names, *given, *self.marks]):
            widget = given.get(name)
            if name in self.marks and name not in names:
                widget = widget or Marked(value=known[name].default)
            elif widget is None and name in known:
                widget = control(known[name], self.subject, self.words.get(name, Words()))
            if widget is not None:
                made[name] = widget
            elif self.front is not None:
                whose = f"{type(self).__name__} names {name!r} in front or fold"
                fix = "Give it a control, a knob of such a name, or leave it out"
                raise TypeError(problem("a knob has no control", whose, fix))
        return made

    def _about(self, name: str) -> Any:
        return self.work.result if name in self.view_knobs else self.subject

    def _ipython_display_(self) -> None:
        self.page.picture.displayed()
        self.work.copy.display_with(self, super()._repr_mimebundle_())


def _views(analysis: Callable[..., Any]) -> Mapping[str, Knob]:
    """Return the views of the pictures that an analysis says it returns."""
    returned = inspect.signature(analysis).return_annotation
    if isinstance(returned, str):
        returned = getattr(inspect.unwrap(analysis), "__globals__", {}).get(returned)
    return returned.views if isinstance(returned, type) and issubclass(returned, Result) else {}


def _check_panels(opened: Any, kinds: Any) -> None:
    known = ["all settings", *(kind.name for kind in kinds)]
    if isinstance(opened, str) or not isinstance(opened, Iterable):
        fix = f"Pass panels=({known[-1]!r},)"
        raise TypeError(problem("panels is not a sequence", f"got {opened!r}", fix))
    for name in opened:
        if name not in known:
            fix = f"Use one of {', '.join(map(repr, known))}"
            raise ValueError(problem("this widget has no such panel", f"got {name!r}", fix))


def _check_options(
    known: Mapping[str, Any],
    others: Iterable[str],
    preset: Any,
    hide: Any,
    lock: Any,
    cache: Any,
    panels: Any,
    kinds: Any,
) -> None:
    _check_panels(panels, kinds)
    for name in others:
        options = "Use preset, hide, lock, panels, against, show_code, cache or executor"
        fix = f"Pass preset={{{name!r}: ...}}" if name in known else options
        raise TypeError(problem("a widget has no such option", f"got {name}=", fix))
    for name, value in (("preset", preset), ("lock", lock)):
        if value is not None and not isinstance(value, Mapping):
            fix = f"Pass {name}={{'{next(iter(known), 'knob')}': ...}}"
            raise TypeError(problem(f"{name} is not a dict", f"got {value!r}", fix))
    if isinstance(hide, str) or not isinstance(hide, Iterable):
        raise TypeError(problem("hide is not a sequence", f"got {hide!r}", "Pass hide=('seed',)"))
    if not (cache is None or isinstance(cache, Cache)):
        fix = "Pass cache=rw.Cache(folder), or leave it out"
        raise TypeError(problem("cache is no Cache", f"got {cache!r}", fix))
    for name in [*(preset or {}), *hide, *(lock or {})]:
        if name not in known:
            fix = f"Use one of {', '.join(known)}"
            raise TypeError(problem("this widget has no such knob", f"got {name!r}", fix))
