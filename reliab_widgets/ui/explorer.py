"""Explorer: controls, a picture and its sentence, over any analysis function."""

from __future__ import annotations

import base64
import hashlib
import html
import inspect
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as W
from matplotlib.figure import Figure
from traitlets import TraitError

from .. import batching, drawing
from ..engine import Cache, Cancelled, Tick
from ..result import Result
from ..subject import Subject, check_subject
from ..validation import problem
from . import cells, words, worker

if TYPE_CHECKING:
    from pandas import DataFrame

TRAIL = 20
"""How many settings the trail remembers."""
SHOW_AFTER = 0.3
"""Seconds after which work shows its progress instead of only the finished picture."""
DISPLAY_WAIT = 3.0
"""Seconds that showing the widget waits for its first picture, so that a saved notebook has it."""
REST = 0.6
"""Seconds without input after which a preview is refined."""


class Explorer(W.VBox):
    """A live view over an analysis: change a control, and the picture and its sentence follow.

    Parameters
    ----------
    analysis : callable
        ``analysis(subject, **knobs)``. It may return a `Result`, a matplotlib figure, a table or
        anything that can be printed. If it takes ``progress`` or ``executor``, it gets them.
    subject : Subject
        What is examined.
    controls : mapping of str to ipywidgets.Widget
        One widget with a ``value`` for each knob.
    fold : sequence of str
        Knobs that stand under "More".
    preset : mapping, optional
        Values to begin with, by knob; "Reset" returns to them.
    hide : sequence of str
        Knobs to leave out of sight; they keep their values.
    lock : mapping, optional
        Knobs a learner must not change freely: a ``(lowest, highest)`` pair narrows a slider, any
        other value is set and held.
    show_code : bool
        Whether "Copy code" is offered.
    cache : Cache, optional
        Where results are remembered; by default in this widget's memory.
    executor : optional
        Where the analysis runs its sweeps.
    **others
        Refused, with a word on how a knob is set.

    Examples
    --------
    >>> import ipywidgets
    >>> def brightness(subject, k):
    ...     return f"{subject.images[:k].mean():.2f}"
    >>> import reliab_widgets as rw
    >>> explorer = Explorer(brightness, rw.demo("resnet20"), {"k": ipywidgets.IntSlider(2, 1, 9)})
    >>> explorer.set(k=3).result
    '0.52'
    >>> explorer.close()
    """

    question = ""
    """The headline: one question that the picture answers."""
    height = 0
    """Pixels kept free for the picture, so that the page does not jump when it arrives."""
    about = ""
    """What marks and colours mean, as HTML; shown on request."""
    formats: tuple[str, ...] = ("PNG", "SVG", "CSV", "JSON")
    """What `export` can write, without the dot."""
    is_preview = False
    """Whether the picture shows a preview, which is refined in a rest of input."""
    _closed = True  # until it has been made

    def __init__(
        self,
        analysis: Callable[..., Any],
        subject: Subject,
        controls: Mapping[str, W.Widget],
        *,
        fold: Sequence[str] = (),
        preset: Mapping[str, Any] | None = None,
        hide: Sequence[str] = (),
        lock: Mapping[str, Any] | None = None,
        show_code: bool = True,
        cache: Cache | None = None,
        executor: Any = None,
        **others: Any,
    ) -> None:
        check_subject(subject)
        for name in others:
            options = "Use preset, hide, lock, show_code, cache or executor"
            fix = f"Pass preset={{{name!r}: ...}}" if name in controls else options
            raise TypeError(problem("a widget has no such option", f"got {name}=", fix))
        self.analysis = analysis
        self.subject = subject
        self.controls = dict(controls)
        self._cache = Cache() if cache is None else cache
        takes = inspect.signature(analysis).parameters
        self._watched = "progress" in takes
        self._where = {"executor": executor} if "executor" in takes else {}
        self._figure = drawing.Picture()
        self._prefix = f"rw{id(self):x}"
        self._result: Any = None
        self._error: Exception | None = None
        self._refined: set[str] = set()
        self._again: Callable[[], None] = self.refresh
        self._pinned: Any = None
        self._trail: list[dict[str, Any]] = []
        self._here = threading.local()
        self._last_tick = 0.0
        self._reached = ""
        self._closed = False
        self._locked: set[str] = set()
        for name in [*(preset or {}), *hide, *(lock or {})]:
            self._known(name)
        self._make_parts()
        super().__init__(self._arrange(fold, show_code), layout=W.Layout(width="100%"))
        self.add_class("rw-explorer")
        cells.register(self)
        self._lock(lock or {})
        self._assign({**(preset or {})})
        for name in hide:
            self.controls[name].layout.display = "none"
        self._start = self.state()
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self.refresh()

    # ------------------------------------------------------------------ what others call
    @property
    def result(self) -> Any:
        """What the analysis gave for the settings shown; waits while it is being computed."""
        return self.wait()

    def state(self) -> dict[str, Any]:
        """Return the value of every knob."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **knobs: Any) -> Explorer:
        """Change several knobs at once, as if by hand.

        Raises
        ------
        TypeError
            There is no such knob.
        ValueError
            A control cannot have that value.
        """
        for name in knobs:
            self._known(name)
        self._assign(knobs)
        self.refresh()
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
        if not worker.wait(self._prefix, timeout):
            raise TimeoutError(
                f"the analysis is still running after {timeout} s. Wait longer, or press Cancel."
            )
        if self._error is not None:
            raise self._error
        return self._result

    def code(self) -> str:
        """Return Python text that computes `result`, without a widget."""
        return self._code_of(self.wait())

    def _code_of(self, result: Any) -> str:
        if isinstance(result, Result):
            return result.code()
        arguments = "".join(f", {name}={value!r}" for name, value in self.knobs().items())
        return (
            f"import reliab_widgets as rw\n\nsubject = {self.subject.code}\n"
            f"result = {self.analysis.__name__}(subject{arguments})\n"
        )

    def cancel(self) -> None:
        """Stop what runs; the last complete picture stays."""
        worker.cancel(self._prefix)

    def close(self) -> None:
        """Stop the work and take the widget, with everything in it, off page and memory."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        cells.close_tree(self)

    # ------------------------------------------------------------------ what subclasses change
    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        return self.state()

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return knobs that answer at once, shown until ``knobs`` are computed in a rest of input.

        None, if ``knobs`` themselves are quick enough.
        """
        return None

    def sentence(self, result: Any) -> str:
        """Return the finding in words."""
        return str(result)

    def chips(self, result: Any) -> list[str]:
        """Return the context of the picture, a few words each."""
        subject = self.subject
        return [subject.name, f"{len(subject):,} images", *subject.notes]

    def table(self, result: Any) -> DataFrame | None:
        """Return the numbers of the picture, for those who cannot see it; shown by "Help"."""
        return None

    def draw(self, result: Result, figure: Figure) -> None:
        """Draw ``result`` on the widget's figure."""
        result.draw(figure, pinned=self._pinned)

    def shown(self, result: Any) -> None:
        """Bring further parts of the widget up to date with a new result."""

    # ------------------------------------------------------------------ parts
    def _make_parts(self) -> None:
        self._title = W.HTML(
            words.STYLE + f'<div class="rw-title">{html.escape(self.question)}</div>',
            layout=W.Layout(width="auto"),
        )
        self._chips = W.HTML(words.chips(self.chips(None)), layout=W.Layout(width="auto"))
        self._card = W.HTML(layout=W.Layout(display="none"))
        self._card.add_class("rw-over")
        self._picture = W.HTML(
            words.status("The first picture is being computed."),
            layout=W.Layout(width="100%", min_height=f"{self.height}px"),
        )
        self.detail = W.VBox()
        self._readout = W.HTML(layout=W.Layout(min_height="53px", margin="0 2px"))
        self._status = W.HTML(words.status("starting"), layout=W.Layout(flex="1 1 150px"))
        self._bar = W.IntProgress(layout=W.Layout(width="120px", display="none"))
        self._stop = self._button("Cancel", "Stop the running job, or go on with it", self._on_stop)
        self._stop.layout.display = "none"
        self._code = W.Textarea(
            description="Code",
            layout=W.Layout(width="auto", height="150px", display="none"),
            tooltip="Select all and copy",
        )
        self._saved = W.HTML()
        self._help = W.HTML(self.about, layout=W.Layout(display="none"))
        self._past = W.Dropdown(
            options=[("no earlier settings", -1)],
            description="Trail",
            tooltip="Go back to earlier settings",
            layout=W.Layout(width="auto"),
        )
        self._past.observe(self._on_trail, "value")
        self.notes = W.Textarea(
            description="Notes",
            placeholder="Yours; exported with the JSON file",
            layout=W.Layout(width="auto", height="60px"),
        )

    def _arrange(self, fold: Sequence[str], show_code: bool) -> list[W.Widget]:
        for name, control in self.controls.items():
            control.layout.width = control.layout.width or "auto"
            if isinstance(control, W.Box):  # its parts have names; a tooltip would break its view
                continue
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "70px"
            if not control.tooltip:
                control.tooltip = control.description
        visible = [control for name, control in self.controls.items() if name not in fold]
        reset = self._button("Reset", "Go back to the settings at the start", self._on_reset)
        folded = [self.controls[name] for name in fold]
        self._folded = W.VBox([*folded, self._past, self.notes], layout=W.Layout(display="none"))
        self._more = self._button("▸ More", "Further knobs, the trail and notes", self._on_more)
        self._pin = self._button(
            "Pin", "Keep this picture as a ghost to compare with", self._on_pin
        )
        self._format = W.Dropdown(
            options=self.formats,
            description="as",
            layout=W.Layout(width="104px"),
            style={"description_width": "18px"},
            tooltip="File format",
        )
        export = self._button("Export", "Write a file into the folder exports", self._on_export)
        actions = [self._pin, reset, export, self._format]
        if show_code:
            tip = "Show the Python text of this picture"
            actions.insert(2, self._button("Copy code", tip, self._on_code))
        if self.about:
            tip = "What the marks and colours mean"
            actions.append(self._button("Help", tip, self._on_help))
        self.side = W.VBox(
            [*visible, self._more, self._folded],
            layout=W.Layout(width="226px", flex="0 0 auto"),
        )
        return [
            W.HBox([self._title, self._chips], layout=W.Layout(flex_flow="row wrap")),
            W.HBox(
                [
                    self.side,
                    W.VBox(
                        [self._card, self._picture, self.detail],
                        layout=W.Layout(flex="1 1 420px", min_width="0"),
                    ),
                ],
                layout=W.Layout(flex_flow="row wrap"),
            ),
            self._readout,
            W.HBox(
                [self._status, self._bar, self._stop, *actions],
                layout=W.Layout(flex_flow="row wrap", align_items="center"),
            ),
            self._saved,
            self._help,
            self._code,
        ]

    # ------------------------------------------------------------------ settings
    def _known(self, name: str) -> None:
        if name not in self.controls:
            raise TypeError(
                f"there is no knob {name!r}: this widget has {', '.join(self.controls)}. "
                "Use one of these names."
            )

    def _lock(self, lock: Mapping[str, Any]) -> None:
        for name, bound in lock.items():
            control = self.controls[name]
            if isinstance(bound, tuple) and len(bound) == 2 and hasattr(control, "max"):
                if isinstance(control, W.FloatLogSlider):  # has exponents for its bounds
                    low, high = (math.log(value, control.base) for value in bound)
                    bound = (low - 1e-9, high + 1e-9)  # so that the bounds themselves are inside
                with control.hold_trait_notifications():
                    control.min, control.max = bound
            else:
                self._assign({name: bound})
                control.disabled = True
                self._locked.add(name)

    def enable(self, useful: Mapping[str, bool]) -> None:
        """Let knobs be moved if that would change something and no teacher has locked them."""
        for name, wanted in useful.items():
            self.controls[name].disabled = not wanted or name in self._locked

    def _assign(self, knobs: Mapping[str, Any]) -> None:
        before = self.state()
        with self.quiet():
            try:
                for name, value in knobs.items():
                    self.assign(name, value)
            except (TraitError, ValueError) as error:
                for known, old in before.items():
                    self.assign(known, old)
                raise ValueError(
                    f"{name} cannot be {value!r}: {error}. It takes {self._range(name)}."
                ) from None

    @property
    def is_quiet(self) -> bool:
        """Whether this thread sets controls without wanting an answer."""
        return getattr(self._here, "quiet", False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let controls be set without an answer to each change.

        Only changes made by this thread are quiet: somebody may be moving a slider meanwhile.
        """
        before = self.is_quiet
        self._here.quiet = True
        try:
            yield
        finally:
            self._here.quiet = before

    def assign(self, name: str, value: Any) -> None:
        """Put one knob's value into its control."""
        control = self.controls[name]
        control.value = value
        if control.value != value:
            raise ValueError("it is out of range")

    def _range(self, name: str) -> str:
        control = self.controls[name]
        if hasattr(control, "options"):
            return "one of " + ", ".join(
                repr(option[1] if isinstance(option, tuple) else option)
                for option in control.options
            )
        if isinstance(control, W.FloatLogSlider):
            return f"{control.base**control.min:.3g} to {control.base**control.max:.3g}"
        if hasattr(control, "max"):
            return f"{control.min} to {control.max}"
        return f"values of a {type(control).__name__}"

    def _changed(self, change: Any) -> None:
        if not self.is_quiet:
            self.refresh()

    # ------------------------------------------------------------------ work
    def refresh(self) -> None:
        """Compute and show what the controls say now."""
        if self._closed:
            return
        begun, knobs, state = time.monotonic(), self.knobs(), self.state()
        worker.submit(self._prefix, lambda job: self._work(job, begun, knobs, state))
        self._again = self.refresh

    def run(self, work: Callable[[Tick], Any], then: Callable[[Any], object]) -> None:
        """Do ``then(work(progress))`` in the background, with progress, Cancel and Resume.

        For buttons whose work takes its time; ``then`` brings what came of it onto the widget.
        """

        def attended(job: worker.Job) -> None:
            with self._attending():
                outcome = work(partial(self._tick, job))
                if job.cancelled:
                    raise Cancelled
                self._card.layout.display = "none"
                self._say("● ready")
                then(outcome)

        worker.submit(self._prefix, attended)
        self._again = partial(self.run, work, then)

    @contextmanager
    def _attending(self) -> Iterator[None]:
        """Show on the widget that work was stopped, or why it failed."""
        self._reached, stopped = "", False
        try:
            yield
        except Cancelled:
            if not self._closed and not worker.waits(self._prefix):
                stopped = True
        except Exception as error:
            self._card.value = words.error_card(error)
            self._card.layout.display = ""
            self._say("the picture shows the last setting that worked")
        finally:
            self._bar.layout.display = "none"
            if stopped:
                self._stopped()
            else:  # hidden first: what reads "Cancel" can be pressed
                self._stop.layout.display = "none"
                self._stop.description = "Cancel"
            self._picture.remove_class("rw-stale")

    def _stopped(self) -> None:
        self._say(f"stopped{self._reached}; nothing is lost")
        self._stop.description = "Resume"
        self._stop.layout.display = ""

    def _work(
        self, job: worker.Job, begun: float, knobs: dict[str, Any], state: dict[str, Any]
    ) -> None:
        watched = {"progress": partial(self._tick, job)}
        key = repr(sorted(knobs.items()))
        later = partial(self._work, begun=begun, knobs=knobs, state=state)
        with self._attending():
            try:
                rough = None if job.due or key in self._refined else self.preview(knobs)
                result = self._cache(
                    self.analysis,
                    self.subject,
                    **self._where,
                    **(watched if self._watched else {}),
                    **(knobs if rough is None else rough),
                )
                if job.cancelled:  # an analysis that does not watch ran to its end
                    raise Cancelled
                self._error = None
                self._result = result
                self.is_preview = rough is not None
                self._paint(result)
            except Cancelled:
                if not job.due or job.cancelled:
                    raise
                worker.put_off(self._prefix, later, REST)  # somebody else came first
                return
            except Exception as error:
                self._error = error
                raise
            self._card.layout.display = "none"
            self._remember(state)
            if rough is None:
                self._refined.add(key)
            elif job.cancelled:
                raise Cancelled
            elif not self._closed:
                worker.put_off(self._prefix, later, REST)
            took = words.duration(time.monotonic() - max(begun, job.due))
            ready = "● ready" if rough is None else "≈ preview"
            self._say(f"{ready} · {took}{words.memory(*batching.memory())}")

    def _tick(self, job: worker.Job, done: int, total: int) -> None:
        job.check()
        now = time.monotonic()
        spent = now - job.started
        self._reached = f" at {done:,} of {total:,}"
        if spent < SHOW_AFTER or now - self._last_tick < 0.1:
            return
        self._last_tick = now
        left = f" · {words.duration(spent / done * (total - done))} left" if done else ""
        self._bar.max, self._bar.value = total, done
        self._stop.description = "Cancel"
        self._bar.layout.display = self._stop.layout.display = ""
        if not job.due:  # a preview is of the same settings
            self._picture.add_class("rw-stale")
        doing = "refining" if job.due else "running"
        self._say(f"{doing} · {done:,} of {total:,}{left}")

    def _say(self, sentence: str) -> None:
        self._status.value = words.status(sentence)

    def _paint(self, result: Any) -> None:
        sentence = self.sentence(result)
        with drawing.LOCK:
            if isinstance(result, Result):
                self.draw(result, self._figure)
                content = drawing.svg(self._figure, self._prefix, themed=True)
            elif isinstance(result, Figure):
                content, sentence = drawing.svg(result, self._prefix), ""
            elif hasattr(result, "_repr_html_"):
                content, sentence = result._repr_html_(), ""
            else:
                content, sentence = f"<pre>{html.escape(sentence)}</pre>", ""
        if isinstance(result, Result) and self._pinned is not None:
            sentence = f"{sentence} {result.against(self._pinned)}"
        self._picture.value = words.picture(content, sentence or self.question)
        self._readout.value = words.readout(sentence)
        self._chips.value = words.chips(self.chips(result))
        self._show_help()
        self.shown(result)

    def _remember(self, state: dict[str, Any]) -> None:
        if self._trail and self._trail[-1] == state:
            return
        self._trail = [*(past for past in self._trail if past != state), state][-TRAIL:]
        first = self._trail[0]
        options = []
        for number, past in reversed(list(enumerate(self._trail))):
            odd = [
                f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}"
                for k, v in past.items()
                if v != self._start.get(k, first.get(k))
            ]
            options.append((", ".join(odd) or "as at the start", number))
        self._past.unobserve(self._on_trail, "value")
        try:
            self._past.options = options
        finally:
            self._past.observe(self._on_trail, "value")

    # ------------------------------------------------------------------ buttons
    def _button(self, text: str, tip: str, act: Callable[[], None]) -> W.Button:
        button = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
        button.on_click(lambda _: self._guard(act))
        return button

    def _guard(self, act: Callable[[], object]) -> None:
        # An exception in a callback is shown nowhere by Jupyter: show it here.
        try:
            act()
        except Exception as error:
            self._card.value = words.error_card(error)
            self._card.layout.display = ""

    def _on_stop(self) -> None:
        if self._stop.description == "Resume":
            self._again()
        else:
            self._say("stopping")  # before the work can say that it has stopped
            if not worker.cancel(self._prefix):  # it was about to begin
                self._stopped()

    def _on_reset(self) -> None:
        self._assign(self._start)
        self.refresh()

    def _on_trail(self, change: Any) -> None:
        if change["new"] is not None and 0 <= change["new"] < len(self._trail):
            self._guard(lambda: self.set(**self._trail[change["new"]]))

    def _on_pin(self) -> None:
        self._pinned = None if self._pinned is not None else self._result
        self._pin.description = "Unpin" if self._pinned is not None else "Pin"
        self.refresh()

    def _on_code(self) -> None:
        # Not what is being computed, which may take long: what is shown.
        self._code.value = "" if self._result is None else self._code_of(self._result)
        _toggle(self._code)

    def _on_more(self) -> None:
        self._more.description = "▾ More" if _toggle(self._folded) else "▸ More"

    def _on_help(self) -> None:
        _toggle(self._help)
        self._show_help()

    def _show_help(self) -> None:
        if self._help.layout.display != "none":
            numbers = self.table(self._result) if self._result is not None else None
            self._help.value = self.about + ("" if numbers is None else words.table(numbers))

    def _on_export(self) -> None:
        path = self.export(self._format.value.lower())
        kind = {
            "png": "image/png",
            "svg": "image/svg+xml",
            "csv": "text/csv",
            "json": "application/json",
        }
        data = base64.b64encode(path.read_bytes()).decode()
        uri = f"data:{kind.get(path.suffix[1:], 'application/octet-stream')};base64,{data}"
        self._saved.value = (
            f'Written to {html.escape(str(path))} · <a download="{html.escape(path.name)}" '
            f'href="{uri}">download</a>'
        )

    def export(self, kind: str, folder: str | Path = "exports") -> Path:
        """Write what is shown to a file and return its path.

        Parameters
        ----------
        kind : str
            ``"png"``, ``"svg"``, ``"csv"`` (the tidy table), ``"json"`` (the settings), or what
            else is in ``formats``.
        folder : str or path
            Where to; made if it is not there.
        """
        content = self.content(self.wait(), kind)
        key = hashlib.sha256(repr(sorted(self.state().items())).encode()).hexdigest()[:8]
        path = Path(folder) / f"{type(self).__name__.lower()}_{key}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def content(self, result: Any, kind: str) -> bytes:
        """Return what a file of this kind holds."""
        if kind == "json":
            content = json.dumps(self._passport(), indent=1).encode()
        elif kind == "csv":
            if not hasattr(result, "to_frame"):
                raise ValueError(_no_export(kind, result, "a result with a table"))
            content = result.to_frame().to_csv(index=False).encode()
        else:
            figure = self._figure if isinstance(result, Result) else result
            if not isinstance(figure, Figure):
                raise ValueError(_no_export(kind, result, "a result or a matplotlib figure"))
            content = drawing.svg(figure).encode() if kind == "svg" else drawing.png(figure)
        return content

    def _passport(self) -> dict[str, Any]:
        from .. import __version__

        return {
            "reliab_widgets": __version__,
            "analysis": self.analysis.__name__,
            "subject": self.subject.name,
            "fingerprint": self.subject.fingerprint,
            "knobs": self.state(),
            "finding": str(self._result),
            "notes": self.notes.value,
        }

    # ------------------------------------------------------------------ display
    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        try:
            result = self.wait(DISPLAY_WAIT)
        except TimeoutError:
            result = self._result  # of an analysis that grows, as far as it is
        except Exception:
            result = None  # shown on the widget itself
        if result is None:
            return bundle
        # A reader without a kernel (GitHub, nbviewer, a printed page) sees these instead.
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = self.sentence(result)
        if isinstance(result, Result):
            data["image/png"] = base64.b64encode(drawing.png(self._figure, 120)).decode()
        return bundle


def _toggle(widget: W.Widget) -> bool:
    """Show a hidden widget, hide a shown one; tell whether it is shown now."""
    shown = widget.layout.display == "none"
    widget.layout.display = "" if shown else "none"
    return shown


def _no_export(kind: str, result: Any, needed: str) -> str:
    return (
        f"no {kind.upper()} can be written: the analysis returned a {type(result).__name__}. "
        f"Return {needed}, or export JSON."
    )
