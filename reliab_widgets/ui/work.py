"""What a widget computes and paints: one result at hand, one pinned, one figure."""

from __future__ import annotations

import html
import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ..core import drawing
from ..core.engine import Cache, Cancelled, Tick
from ..core.knobs import AnotherSubject
from ..core.result import Result
from ..core.validation import other_classes
from ..core.wording import problem
from . import export, worker
from .settings import said
from .shown import Shown, compared, of_images, told
from .static import StaticCopy

if TYPE_CHECKING:
    from ..core.subject import Subject
    from .explorer import Explorer


class Work:
    """The work of a widget.

    Parameters
    ----------
    explorer : Explorer
        Whose it is.
    cache : Cache
        Where results are remembered.
    executor : object
        What the analysis gets, besides progress, if it takes one.
    against : Subject, optional
        The explorer's images under another network, which is shown behind.
    """

    def __init__(
        self, explorer: Explorer, cache: Cache, executor: Any, against: Subject | None = None
    ) -> None:
        # Shown behind: the result of the first as a ghost, of a second, a control, in words.
        self.others: tuple[Subject, ...] = () if against is None else (against,)
        # Called before work begins; tells whether it changed the subject or settings.
        self.prepare: Callable[[Tick], bool] = lambda tick: False
        self._prepared = 0
        self.heard: list[Callable[[], object]] = []  # called after each picture
        self._explorer, self.cache, self.executor = explorer, cache, executor
        takes = inspect.signature(explorer.analysis).parameters
        handed = {"executor": executor, "partial": self._grown}
        self._handed = {name: value for name, value in handed.items() if name in takes}
        self._watched = "progress" in takes
        self.figure = drawing.Picture()
        self.copy = StaticCopy(explorer.guard)
        self.shown = Shown()
        self._complete: Shown | None = None  # the last one that is no preview
        self.error: Exception | None = None
        self.said = ""
        self.pinned: Any = None
        self._pin_next = False
        self._stopped = False
        self._doing: tuple[dict[str, Any], dict[str, Any] | None] = {}, None
        self._growing = False

    @property
    def result(self) -> Any:
        """What is shown; None before the first picture."""
        return self.shown.result

    @property
    def ghost(self) -> Any:
        """The result that is shown behind: a pinned one, or that of the other network."""
        return self.shown.other if self.pinned is None else self.pinned

    # ------------------------------------------------------------------ computing
    def compute(self, progress: Any, knobs: dict[str, Any], subject: Subject | None = None) -> Any:
        """Return what the analysis gives, remembered or computed; also for another subject."""
        watched = {"progress": progress} if self._watched else {}
        explorer = self._explorer
        handed = self._handed | watched
        if subject is not None:
            handed.pop("partial", None)  # what grows is shown as one's own
        return self.cache(explorer.analysis, subject or explorer.subject, **handed, **knobs)

    def refresh(self) -> None:
        """Compute and show what the controls say now."""
        explorer = self._explorer
        begun, knobs, state = time.monotonic(), explorer.knobs(), explorer.state()
        self._stopped = False

        def again() -> None:
            explorer.guard(lambda: explorer.set(**state))

        prepared = self._prepared

        def work(job: worker.Job) -> None:
            self._prepared += self.prepare(explorer.runner.ticks(job))
            known = prepared == self._prepared  # else the settings were those of another subject
            asked = (knobs, state) if known else (explorer.knobs(), explorer.state())
            self._do(job, begun, *asked)

        explorer.runner.work(work, again)

    def _do(
        self, job: worker.Job, begun: float, knobs: dict[str, Any], state: dict[str, Any]
    ) -> None:
        explorer, self._growing = self._explorer, False

        def later(job: worker.Job) -> None:
            self._do(job, begun, knobs, state)

        try:
            ticks = explorer.runner.ticks(job)
            known = job.due or self.cache.has(explorer.analysis, explorer.subject, **knobs)
            rough = None if known else explorer.preview(knobs)
            less = None if rough is None else _less(rough, knobs, state)
            self._doing = (state, less)
            if not known:
                explorer.runner.say("○ computing")
            result = self.compute(ticks, knobs if rough is None else rough)
            self._growing = False
            if job.cancelled:  # an analysis that does not watch ran to its end
                raise Cancelled
            self._show(result, state, less)
            if rough is None and self._pin_next:
                self.pinned, self._pin_next = _kept(result, explorer), False
                self.paint()
            if rough is None:
                for subject in self.others:
                    explorer.runner.say(f"○ computing {subject.name}")
                    self.shown.others += (self.compute(ticks, knobs, subject),)
                    self.paint()
        except Cancelled:
            if not job.due or job.cancelled:
                raise
            explorer.runner.put_off(later)  # somebody else came first
            return
        except Exception as error:
            self.error = error
            raise
        self.failed(None)
        explorer.page.trail.remember(state, explorer.start)
        if rough is not None:
            if job.cancelled:
                raise Cancelled
            explorer.runner.put_off(later)
        explorer.runner.ready(max(begun, job.due), rough is not None)

    # ------------------------------------------------------------------ painting
    def _show(self, result: Any, state: dict[str, Any], less: dict[str, Any] | None = None) -> None:
        """Show a result of these settings, or of some rougher ones."""
        is_preview = less is not None
        partial = is_preview or self._growing
        self.error, self.shown = None, Shown(result, dict(state), less or {}, is_preview, partial)
        if not is_preview:
            self._complete = self.shown
        self.paint()

    def _grown(self, result: Any) -> Any:
        """Show a result that has less in it than the last one; return what it wants next."""
        missing = self._explorer.missing(result)
        if missing is None or self.result is None:
            self._growing = True  # it is of the settings that are being computed
            self._explorer.page.mark_stale(False)
            self._show(result, *self._doing)
        return missing

    def repaint(self) -> None:
        """Show the result at hand as the views say now; what runs goes on."""
        explorer = self._explorer
        worker.repaint(explorer.runner.owner, lambda: explorer.guard(self.paint))

    def paint(self) -> None:
        """Draw the result at hand and tell the rest of the page."""
        explorer, result = self._explorer, self.result
        sentence, views = explorer.sentence(result), explorer.views()
        is_pin = self.pinned is not None
        control = None if is_pin else self.shown.control
        behind = {"pinned": self.ghost, "control": control}
        drawn, where = _drawn(explorer, result, self.figure, behind, views)
        ghost, more = None if self.shown.is_preview else self.ghost, ""
        if isinstance(result, Result) and ghost is not None:
            sentence, more = compared(sentence, result, ghost, control, views, is_pin)
        sentence = of_images(sentence, explorer.pictured)
        self.said = f"{sentence} {more}".strip() if isinstance(result, Result) else ""
        self.shown.state |= views
        if drawn:
            chosen = explorer.chosen(result) if explorer.marks else {}
            explorer.page.picture.show(drawn, self.said or explorer.question, chosen, **where)
        else:
            explorer.page.picture.show_html(_written(result, sentence), explorer.question)
        explorer.page.say(sentence if self.said else "", more)
        self.settled()
        explorer.shown(result)
        explorer.page.show_panels(result)
        self.copy.follow(self.said or sentence, self.figure if self.said else result)
        for heard in self.heard:
            explorer.guard(heard)

    def code(self) -> str:
        """Return Python text for what is shown, not for what is being computed."""
        explorer, result = self._explorer, self.result
        views = explorer.views() if isinstance(result, Result) else {}
        return export.code_of(explorer.analysis, explorer.subject, result, explorer.knobs(), views)

    # ------------------------------------------------------------------ what the page tells
    def stale(self, stale: bool) -> None:
        """Mark the picture as that of earlier settings, or not."""
        self._explorer.page.mark_stale(stale and not self._growing)
        if stale:
            self.settled()

    def stopped(self) -> None:
        """Go back to the last complete picture, and let the controls say what is shown.

        Resume asks again for what was asked.
        """
        explorer, self._growing = self._explorer, False
        if self.result is None:
            return
        before, self.shown = self.shown, (self.shown.is_preview and self._complete) or self.shown
        shown = {n: it for n, it in self.shown.settings.items() if n in explorer.controls}
        self._stopped = True
        if shown != explorer.state():
            explorer.settings.assign(shown)
            explorer.adapt()
        if before is not self.shown:
            self.repaint()

    def failed(self, error: BaseException | None) -> None:
        """Show an error, or none."""
        self._explorer.page.show_error(error)
        if error is not None:
            self.copy.ready.set()
            if self.result is None:
                self._explorer.page.picture.plain.value = ""  # no longer on its way

    def settled(self) -> None:
        """Say in a chip what the picture shows where that is not what the controls say."""
        explorer = self._explorer
        differs = said(self.shown.state, explorer.state(), explorer.controls)
        chips = explorer.chips(self.result)
        explorer.page.show_chips(told(chips, differs, self._stopped, self.shown.is_partial))

    def close(self) -> None:
        """Let go of pictures and remembered results: a notebook keeps what its cells showed."""
        self.copy.close()
        self.cache, self.figure = Cache(), drawing.Picture()
        self.others = self.shown.others = ()
        self._complete = self.pinned = None

    # ------------------------------------------------------------------ buttons
    def pin(self) -> None:
        """Keep the result as a ghost, or let it go; a preview is not kept but what it becomes."""
        if self.pinned is not None or self._pin_next:
            self.pinned, self._pin_next = None, False
        elif self.shown.is_preview or self.result is None:
            self._pin_next = True
        else:
            self.pinned = _kept(self.result, self._explorer)
        self._explorer.page.show_pin(self.pinned is not None or self._pin_next)
        if self.result is not None:
            self._explorer.repaint()

    def reset(self) -> None:
        """Go back to the start: settings, and nothing pinned."""
        explorer = self._explorer
        self.pinned, self._pin_next = None, False
        explorer.page.show_pin(False)
        explorer.page.reset()
        explorer.settings.assign(explorer.start)
        explorer.adapt()
        explorer.refresh()


def under(subject: Subject, against: Subject) -> Subject:
    """Return a subject's images under the network of another one.

    Raises
    ------
    TypeError, ValueError
        ``against`` is no Subject, or has other classes.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> under(rw.demo("resnet20")[:3], rw.demo("resnet20-robust")).name
    'resnet20-robust'
    """
    AnotherSubject().check("against", against, subject)
    if differ := other_classes(against.classes, subject.classes):
        seen = f"of {against.name}, {differ}"
        fix = f"Pass against= as a Subject with the classes of {subject.name}"
        raise ValueError(problem("only networks with the same classes are compared", seen, fix))
    return subject.on(against.network, name=against.name, code=against.code)


def _less(rough: dict[str, Any], knobs: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Return in which settings a preview is rougher, of those that a control says as they are."""
    same = {name for name, value in knobs.items() if name in state and state[name] == value}
    return {name: value for name, value in rough.items() if name in same and value != state[name]}


def _kept(result: Any, explorer: Explorer) -> Any:
    """Return what of a result the picture shows: another pair of maps is not what was seen."""
    return result.kept(**explorer.views()) if isinstance(result, Result) else result


def _drawn(
    explorer: Explorer, result: Any, figure: Figure, behind: dict[str, Any], views: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return a picture as SVG with where its handles and grids are; nothing for what is none."""
    owner = explorer.runner.owner
    with drawing.LOCK:
        if isinstance(result, Result):
            result.draw(figure, **behind, **views)
            drawn = drawing.svg(figure, owner, themed=True)
            free = explorer.settings.within(drawing.handles(figure))
            return drawn, {"handles": free, "grids": drawing.grids(figure)}
        return drawing.svg(result, owner) if isinstance(result, Figure) else "", {}


def _written(result: Any, sentence: str) -> str:
    """Return what stands on the page for a result that is no drawing."""
    if hasattr(result, "_repr_html_"):
        return str(result._repr_html_())
    return f"<pre>{html.escape(sentence)}</pre>"
