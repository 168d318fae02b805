"""How a widget's work runs: in the background, with progress, Cancel and Resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as W

from ..core import batching
from ..core.engine import Cancelled, Tick
from . import words, worker

if TYPE_CHECKING:
    from .work import Work

SHOW_AFTER = 0.3
"""Seconds after which work shows its progress instead of only the finished picture."""
EVERY = 0.1
"""Seconds between two words on how far it is."""
REST = 0.6
"""Seconds without input after which a preview is refined."""


class _Pace(NamedTuple):
    """When a sweep began, how much an earlier run had done then, how much is done, of how much."""

    begun: float
    first: int
    done: int
    total: int


class Runner:
    """The status line of a widget, its bar and its button, and the work that they tell of.

    Parameters
    ----------
    owner : str
        Whose work it is.
    told : Work
        Is told when the picture is stale, work failed or came to an end.
    """

    def __init__(self, owner: str, told: Work) -> None:
        self.owner, self._told = owner, told
        self._again: Callable[[], None] = lambda: None
        self._last_tick, self._reached = 0.0, ""
        self._pace: _Pace | None = None
        self.closed = False
        self.status = W.HTML(words.status("starting"), layout=W.Layout(flex="1 1 150px"))
        self.bar = W.IntProgress(layout=W.Layout(width="90px", display="none"))
        self.stop = W.Button(
            description="Cancel",
            tooltip="Stop the running job, or go on with it",
            layout=W.Layout(width="auto", display="none"),
        )
        self.stop.on_click(lambda _: self._on_stop())

    def say(self, sentence: str, more: str = "") -> None:
        """Show what the widget is doing, and more where it is pointed at."""
        self.status.value = words.status(sentence, more)

    def ready(self, begun: float, preview: bool) -> None:
        """Say that the picture is there, and how long it took."""
        took = time.monotonic() - begun
        mark = "≈ preview" if preview else "● ready"
        waited = f" · {words.duration(took)}" if took >= 1 else ""  # less is not noticed
        more = (f"after {words.duration(took)}", words.memory(*batching.memory()))
        self.say(mark + waited, "; ".join(filter(None, more)))

    def work(self, work: Callable[[worker.Job], Any], again: Callable[[], None]) -> None:
        """Do ``work(job)`` in the background; ``again`` is what Resume does."""
        worker.submit(self.owner, partial(self._attended, work))
        self._again = again

    def put_off(self, work: Callable[[worker.Job], Any]) -> None:
        """Do ``work(job)`` in a rest of input."""
        if not self.closed:
            worker.put_off(self.owner, partial(self._attended, work), REST)

    def run(self, work: Callable[[Tick], Any], then: Callable[[Any], object]) -> None:
        """Do ``then(work(progress))`` in the background: work of buttons takes its time."""

        def both(job: worker.Job) -> None:
            outcome = work(self.ticks(job))
            if job.cancelled:
                raise Cancelled
            self._told.failed(None)
            self.say("● ready")
            then(outcome)

        self.work(both, partial(self.run, work, then))

    def ticks(self, job: worker.Job) -> Tick:
        """Return a progress callable that shows the work of this job, and stops it."""
        return partial(self._tick, job)

    def _attended(self, work: Callable[[worker.Job], Any], job: worker.Job) -> None:
        with self._attending():
            work(job)

    @contextmanager
    def _attending(self) -> Iterator[None]:
        """Show on the widget that work was stopped, or why it failed."""
        self._reached, self._pace, stopped = "", None, False
        try:
            yield
        except Cancelled:
            if not self.closed and not worker.waits(self.owner):
                stopped = True
        except Exception as error:
            self._told.failed(error)
            none = getattr(self._told, "result", None) is None
            self.say("no picture" if none else "the picture shows the last setting that worked")
        finally:
            self.bar.layout.display = "none"
            if stopped:
                self._stopped()
            else:  # hidden first: what reads "Cancel" can be pressed
                self.stop.layout.display = "none"
                self.stop.description = "Cancel"
            self._told.stale(False)
            self._told.settled()

    def _stopped(self) -> None:
        self._told.stopped()
        self.say(f"stopped{self._reached}", "nothing is lost")
        self.stop.description = "Resume"
        self.stop.layout.display = ""

    def _tick(self, job: worker.Job, done: int, total: int) -> None:
        job.check()
        now = time.monotonic()
        if self._pace is None or self._pace.total != total or done < self._pace.done:
            self._pace = _Pace(now, done, done, total)  # several sweeps may be one job
        pace = self._pace = self._pace._replace(done=done)
        self._reached = f" at {done:,} of {total:,}"
        if now - job.started < SHOW_AFTER or now - self._last_tick < EVERY:
            return
        self._last_tick = now
        rest = (now - pace.begun) / mine * (total - done) if (mine := done - pace.first) > 0 else 0
        left = f" · {words.duration(rest)} left" if rest >= 1 else ""
        self.bar.max, self.bar.value = total, done
        self.stop.description = "Cancel"
        self.bar.layout.display = self.stop.layout.display = ""
        if not job.due:  # a preview is of the same settings
            self._told.stale(True)
        doing = "refining" if job.due else "running"
        self.say(f"{doing} · {done:,} of {total:,}{left}" if total > 1 else doing)

    def _on_stop(self) -> None:
        if self.stop.description == "Resume":
            self._again()
        else:
            self.say("stopping")  # before the work can say that it has stopped
            if not worker.cancel(self.owner):  # it was about to begin
                self._stopped()

    def cancel(self) -> None:
        """Stop what runs, and what waits for a rest of input."""
        waited = worker.waits(self.owner)
        if not worker.cancel(self.owner) and waited and not self.closed:
            self._stopped()
