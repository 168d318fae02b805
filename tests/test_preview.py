"""A preview comes at once; the full answer follows in a rest of input, in nobody's way."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reliab_widgets import Cancelled, Explorer
from reliab_widgets.ui import worker
from reliab_widgets.ui.worker import Job
from tests.test_explorer import LONG, SUBJECT, button, shown, slider, until


@pytest.fixture(autouse=True)
def idle() -> Iterator[None]:
    yield
    for owner in ("a", "b"):
        assert worker.wait(owner, LONG)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.01)


class Refining(Explorer):
    """Shows ``k`` in tenths first, in hundredths later."""

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any]:
        return knobs | {"digits": 1}


class Thirds:
    """An analysis that counts its calls; those of two digits wait until they are let through."""

    __name__ = "thirds"

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.begun, self.open = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, subject: Any, k: int, digits: int = 2, progress: Any = None) -> str:
        self.calls.append((k, digits))
        if digits == 2:
            self.begun.set()
            while not self.open.wait(0.005):
                progress(1, 2)
        return f"{k / 3:.{digits}f}"


def refining() -> tuple[Refining, Thirds]:
    analysis = Thirds()
    explorer = Refining(analysis, SUBJECT, {"k": slider()})
    assert explorer.wait(LONG) == "0.67"
    return explorer, analysis


# --- the widget -----------------------------------------------------------------------------


def test_cancel_before_the_refinement_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    analysis = Thirds()
    explorer = Refining(analysis, SUBJECT, {"k": slider()})
    until(lambda: "≈ preview" in explorer.runner.status.value)
    button(explorer, "Cancel").click()  # on its way when the preview was finished
    assert explorer.wait(LONG) == "0.7"
    assert "stopped" in explorer.runner.status.value
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.01)
    button(explorer, "Resume").click()
    assert explorer.wait(LONG) == "0.67"
    assert analysis.calls == [(2, 1), (2, 2)]


def test_a_preview_is_shown_and_then_refined(soon: None) -> None:
    explorer, analysis = refining()
    assert analysis.calls == [(2, 1), (2, 2)]
    assert "ready" in explorer.runner.status.value
    analysis.open.clear()
    explorer.set(k=4)
    until(lambda: "≈ preview" in explorer.runner.status.value)
    assert explorer.is_preview
    assert "<pre>1.3</pre>" in shown(explorer)
    analysis.open.set()
    assert explorer.wait(LONG) == "1.33"
    assert not explorer.is_preview
    assert "<pre>1.33</pre>" in shown(explorer)


def test_what_was_refined_needs_no_preview_again(soon: None) -> None:
    explorer, analysis = refining()
    explorer.set(k=3).wait(LONG)
    explorer.set(k=2).wait(LONG)
    assert analysis.calls == [(2, 1), (2, 2), (3, 1), (3, 2)]


def test_nothing_is_refined_while_input_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    analysis = Thirds()
    explorer = Refining(analysis, SUBJECT, {"k": slider()})
    for k in (2, 3, 4):
        explorer.controls["k"].value = k
        until(lambda k=k: (k, 1) in analysis.calls)
    until(lambda: "<pre>1.3</pre>" in shown(explorer))
    assert [digits for _, digits in analysis.calls] == [1, 1, 1]
    assert worker.busy(explorer.runner.owner)  # the refinement is still to come
    explorer.cancel()
    assert explorer.wait(LONG) == "1.3"


def test_new_input_ends_a_refinement_at_once(soon: None) -> None:
    explorer, analysis = refining()
    analysis.open.clear()
    analysis.begun.clear()
    explorer.controls["k"].value = 4
    assert analysis.begun.wait(LONG)  # it would go on for ever
    explorer.controls["k"].value = 5
    until(lambda: "<pre>1.7</pre>" in shown(explorer))
    analysis.open.set()
    assert explorer.wait(LONG) == "1.67"


def test_a_refinement_can_be_cancelled_and_resumed(
    soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.SHOW_AFTER", 0.0)
    explorer, analysis = refining()
    analysis.open.clear()
    explorer.controls["k"].value = 4
    until(lambda: "refining · 1 of 2" in explorer.runner.status.value)
    assert "rw-stale" not in explorer.page.picture._dom_classes
    button(explorer, "Cancel").click()
    assert explorer.wait(LONG) == "0.67"  # the last complete picture, not the preview
    assert not explorer.is_preview
    assert "<pre>0.67</pre>" in shown(explorer)
    assert explorer.state() == {"k": 2}
    assert "(subject, k=2)" in explorer.code()
    assert "cancelled" in explorer.page.chips.value
    assert "stopped at 1 of 2" in explorer.runner.status.value
    analysis.open.set()
    button(explorer, "Resume").click()
    assert explorer.wait(LONG) == "1.33"


def test_cancel_in_a_rest_brings_the_last_complete_picture_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.01)
    explorer, _ = refining()
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    for k in (3, 4):
        explorer.controls["k"].value = k
        until(lambda k=k: f"<pre>{k / 3:.1f}</pre>" in shown(explorer))
    explorer.cancel()
    assert explorer.wait(LONG) == "0.67"
    assert "<pre>0.67</pre>" in shown(explorer)
    assert explorer.state() == {"k": 2}
    assert "stopped" in explorer.runner.status.value


def test_a_closed_widget_refines_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.05)
    analysis = Thirds()
    explorer = Refining(analysis, SUBJECT, {"k": slider()})
    until(lambda: explorer.is_preview)
    explorer.close()
    assert worker.wait(explorer.runner.owner, LONG)
    time.sleep(0.1)
    assert analysis.calls == [(2, 1)]


# --- the thread -----------------------------------------------------------------------------


def putting_off(
    work: Callable[[Job], None], seconds: float, owner: str = "a"
) -> Callable[[Job], None]:
    return lambda job: worker.put_off(owner, work, seconds)


def test_what_is_put_off_waits_its_time_and_others_go_first() -> None:
    ran: list[str] = []
    worker.submit("a", putting_off(lambda job: ran.append("late"), 0.2))
    until(lambda: worker.waits("a"))
    worker.submit("b", lambda job: ran.append("other"))
    assert worker.wait("b", LONG)
    assert worker.busy("a")
    assert worker.wait("a", LONG)
    assert ran == ["other", "late"]


def test_newer_work_replaces_what_is_put_off() -> None:
    ran: list[str] = []
    worker.submit("a", putting_off(lambda job: ran.append("late"), LONG))
    until(lambda: worker.waits("a"))
    worker.submit("a", lambda job: ran.append("newer"))
    assert worker.wait("a", LONG)
    assert ran == ["newer"]


def test_newer_work_that_waits_already_is_not_put_off() -> None:
    ran: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def first(job: Job) -> None:
        begun.set()
        assert go_on.wait(LONG)
        worker.put_off("a", lambda job: ran.append("late"), 0.0)

    worker.submit("a", first)
    assert begun.wait(LONG)
    worker.submit("a", lambda job: ran.append("newer"))
    go_on.set()
    assert worker.wait("a", LONG)
    assert ran == ["newer"]


def test_what_was_put_off_stops_for_anybody() -> None:
    begun, stopped = threading.Event(), threading.Event()

    def late(job: Job) -> None:
        begun.set()
        try:
            while True:
                job.check()
                time.sleep(0.002)
        except Cancelled:
            stopped.set()

    worker.submit("a", putting_off(late, 0.01))
    assert begun.wait(LONG)
    worker.submit("b", lambda job: None)
    assert worker.wait("b", LONG)
    assert stopped.is_set()


def test_what_was_put_off_does_not_stop_for_what_was_put_off_too() -> None:
    finished: list[str] = []

    def late(owner: str) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            for _ in range(30):
                job.check()
                time.sleep(0.002)
            finished.append(owner)

        return work

    for owner in "ab":
        worker.submit(owner, putting_off(late(owner), 0.01, owner))
    for owner in "ab":
        assert worker.wait(owner, LONG)
    assert sorted(finished) == ["a", "b"]
