"""One thread for all widgets: newest first, nobody starved, stopped when told, gone when idle."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from reliab_widgets import Cancelled
from reliab_widgets.ui import running, worker
from reliab_widgets.ui.worker import Job

LONG = 60
"""Seconds after which a test has failed; nothing takes that long."""


@pytest.fixture(autouse=True)
def idle() -> Iterator[None]:
    yield
    for owner in ("a", "b", "c"):
        assert worker.wait(owner, LONG)


class Gate:
    """Work that runs, checking, until it is let through."""

    def __init__(self) -> None:
        self.begun, self.open, self.stopped = (threading.Event() for _ in range(3))

    def __call__(self, job: Job) -> None:
        self.begun.set()
        try:
            while not self.open.wait(0.005):
                job.check()
        except Cancelled:
            self.stopped.set()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def test_of_many_quick_submissions_the_first_and_the_last_run() -> None:
    ran: list[int] = []
    gate = Gate()

    def first(job: Job) -> None:
        gate(job)
        ran.append(0)

    worker.submit("a", first)
    assert gate.begun.wait(LONG)
    for number in range(1, 12):
        worker.submit("a", lambda job, number=number: ran.append(number))
    gate.open.set()
    assert worker.wait("a", LONG)
    assert ran == [0, 11]


def test_a_young_job_finishes_although_a_newer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", LONG)
    gate = Gate()
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.submit("a", lambda job: None)
    assert not gate.stopped.wait(0.1)
    gate.open.set()
    assert worker.wait("a", LONG)
    assert not gate.stopped.is_set()


def test_an_old_job_stops_for_a_newer_of_the_same_owner_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.0)
    gate, ran = Gate(), []
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.submit("b", lambda job: ran.append("b"))
    assert not gate.stopped.wait(0.1)
    worker.submit("a", lambda job: ran.append("a"))
    assert gate.stopped.wait(LONG)
    assert worker.wait("a", LONG)
    assert worker.wait("b", LONG)
    assert ran == ["b", "a"]


def test_nobody_is_starved_by_one_who_asks_all_the_time() -> None:
    gate, ran = Gate(), []
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    for _ in range(3):
        worker.submit("b", lambda job: ran.append("b"))
        worker.submit("c", lambda job: ran.append("c"))
    worker.submit("b", lambda job: ran.append("b"))
    gate.open.set()
    assert worker.wait("b", LONG)
    assert ran == ["c", "b"]


def test_cancel_stops_what_runs_and_drops_what_waits() -> None:
    gate, ran = Gate(), []
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.submit("a", lambda job: ran.append("a"))
    worker.submit("b", lambda job: ran.append("b"))
    assert worker.waits("a")
    worker.cancel("a")
    assert gate.stopped.wait(LONG)
    assert worker.wait("a", LONG)
    assert worker.wait("b", LONG)
    assert ran == ["b"]


def test_cancelling_one_does_not_disturb_another() -> None:
    gate = Gate()
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.cancel("b")
    assert not gate.stopped.wait(0.1)
    gate.open.set()
    assert worker.wait("a", LONG)
    assert not gate.stopped.is_set()


def test_wait_tells_whether_it_was_in_time() -> None:
    gate = Gate()
    worker.submit("a", gate)
    assert worker.wait("a", 0.01) is False
    assert worker.busy("a")
    assert worker.wait("b", 0.01) is True
    gate.open.set()
    assert worker.wait("a", LONG) is True
    assert not worker.busy("a")


@pytest.mark.parametrize("fault", [ZeroDivisionError("oh"), SystemExit(1), KeyboardInterrupt()])
def test_a_raising_job_is_logged_and_the_thread_lives_on(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def work(job: Job) -> None:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise fault

    threads: list[threading.Thread] = []
    with caplog.at_level(logging.ERROR):
        worker.submit("a", work)
        assert worker.wait("a", LONG)
    worker.submit("a", work)
    assert worker.wait("a", LONG)
    assert threads[0] is threads[1]
    assert type(fault).__name__ in caplog.text


def test_the_thread_ends_when_idle_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE", 0.01)
    threads: list[threading.Thread] = []
    for _ in range(2):
        worker.submit("a", lambda job: threads.append(threading.current_thread()))
        assert worker.wait("a", LONG)
        until(lambda: not threads[-1].is_alive())
    assert threads[0] is not threads[1]
    assert all(thread.daemon for thread in threads)


def test_work_that_waits_for_work_is_told_so_instead_of_hanging() -> None:
    said: list[str] = []

    def work(job: Job) -> None:
        with pytest.raises(RuntimeError) as caught:
            worker.wait("b")
        said.append(str(caught.value))

    worker.submit("a", work)
    assert worker.wait("a", LONG)
    assert "both run on one thread" in said[0]


ENDS = """
import time
import torch
from reliab_widgets.ui import worker

def works(job):
    while not job.cancelled:
        torch.rand(300, 300) @ torch.rand(300, 300)

worker.submit("somebody", works)
while not worker.busy("somebody") or worker.waits("somebody"):
    time.sleep(0.01)
"""


def test_python_ends_while_work_goes_on() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=LONG
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# --- pictures beside work -------------------------------------------------------------------


def test_a_picture_is_painted_within_the_ticks_of_what_runs_and_stops_nothing() -> None:
    gate, painted = Gate(), threading.Event()
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    threads: list[str] = []

    def paint() -> None:
        threads.append(threading.current_thread().name)
        painted.set()

    worker.repaint("a", paint)
    assert painted.wait(LONG)
    assert threads == ["reliab_widgets"]
    assert not gate.stopped.wait(0.1)
    gate.open.set()
    assert worker.wait("a", LONG)
    assert not gate.stopped.is_set()


def test_of_many_quick_pictures_the_newest_is_painted_and_cancel_takes_none() -> None:
    painted: list[int] = []
    gate = threading.Event()
    worker.submit("a", lambda job: gate.wait(LONG))
    for number in range(9):
        worker.repaint("a", lambda number=number: painted.append(number))
    worker.cancel("a")
    gate.set()
    assert worker.wait("a", LONG)
    assert painted == [8]


def test_a_picture_that_fails_ends_neither_the_thread_nor_the_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.repaint("b", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert worker.wait("b", LONG)
    assert "ZeroDivisionError" in caplog.text
    assert not gate.stopped.is_set()
    gate.open.set()
    assert worker.wait("a", LONG)


def test_parts_of_an_owner_are_waited_for_and_cancelled_with_it() -> None:
    ran: list[str] = []
    gate = Gate()
    worker.submit("a", gate)
    assert gate.begun.wait(LONG)
    worker.submit(("a", "part"), lambda job: ran.append("part"))
    assert not worker.wait("a", 0.01)
    worker.cancel("a")
    assert worker.wait("a", LONG)
    assert ran == []
    worker.submit(("a", "part"), lambda job: ran.append("part"))
    assert worker.wait("a", LONG)
    assert ran == ["part"]


def test_the_time_left_is_told_by_what_this_run_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic() + 100]
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: now[0]))
    runner = running.Runner("resumed", SimpleNamespace(stale=lambda _: None))  # type: ignore[arg-type]
    tick = runner.ticks(worker.Job("resumed", lambda _: None))
    tick(30, 60)  # all of it by an earlier run
    assert ">running · 30 of 60<" in runner.status.value
    now[0] += 10
    tick(40, 60)
    assert "running · 40 of 60 · 20 s left" in runner.status.value
    now[0] += 80  # the same job sweeps once more: what went before is not its pace
    tick(0, 60)
    assert ">running · 0 of 60<" in runner.status.value
    now[0] += 1
    tick(10, 60)
    assert "running · 10 of 60 · 5 s left" in runner.status.value
