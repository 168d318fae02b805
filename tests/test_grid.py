"""A grid gives the same table wherever it runs; a failed cell is a row, a stopped run goes on."""

import inspect
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pandas import DataFrame
from pandas.testing import assert_frame_equal
from torch import nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core import pools
from reliab_widgets.core.engine import Cache
from tests.models import Brightness, flat_images
from tests.test_engine import EXECUTORS, ours, processes, stopping_at

GREYS = {"dim": 0.2, "pale": 0.7}


def named(name: str, n: int = 24) -> Subject:
    images = flat_images(np.linspace(GREYS.get(name, 0.5), 0.9, n).tolist())
    return Subject(Brightness(), images, torch.arange(n) % 3, name=name)


@pytest.fixture
def pair() -> list[Subject]:
    return [named(name) for name in GREYS]


class Scaled:
    """A result that knows its table."""

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def to_frame(self) -> DataFrame:
        return DataFrame({"half": ["low", "high"], "value": [self.mean, self.mean * 2]})


def scaled(subject: Subject, *, by: Any = 1, power: int = 1, norm: Any = None) -> Scaled:
    """An analysis of somebody's own; some cells fail."""
    if by == 0:
        raise ZeroDivisionError("by is zero")
    return Scaled(float(subject.images.mean()) ** power / by)


class Counting:
    """`rw.reliability` as one of the package's analyses that counts its calls."""

    def __init__(self, fails: Callable[[int], None] = lambda call: None) -> None:
        self.calls = 0
        self.fails = fails

    def word(self) -> Any:
        def counted(subject: Subject, **knobs: Any) -> Any:
            self.calls += 1
            self.fails(self.calls)
            return rw.reliability(subject, **knobs)

        return ours(counted)


# --- the table ------------------------------------------------------------------------------


def test_the_table_by_hand(pair: list[Subject]) -> None:
    frame = rw.grid(scaled, pair, by=[1, 0, 4], power=2)
    dim, pale = (float(subject.images.mean()) ** 2 for subject in pair)
    nan = float("nan")
    expected = DataFrame(
        [
            ("dim", 1, "low", dim, None),
            ("dim", 1, "high", dim * 2, None),
            ("dim", 0, nan, nan, "ZeroDivisionError: by is zero"),
            ("dim", 4, "low", dim / 4, None),
            ("dim", 4, "high", dim / 2, None),
            ("pale", 1, "low", pale, None),
            ("pale", 1, "high", pale * 2, None),
            ("pale", 0, nan, nan, "ZeroDivisionError: by is zero"),
            ("pale", 4, "low", pale / 4, None),
            ("pale", 4, "high", pale / 2, None),
        ],
        columns=["subject", "by", "half", "value", "error"],
        dtype=object,
    )
    assert_frame_equal(frame, expected, check_dtype=False)
    assert frame["by"].dtype.kind == "i"
    assert frame["value"].dtype.kind == "f"


def test_cells_are_what_the_analysis_gives(pair: list[Subject]) -> None:
    frame = rw.grid(rw.reliability, pair, bins=[3, 5], method="temperature", binning=["mass"])
    assert frame.columns.tolist()[:3] == ["subject", "bins", "binning"]
    assert frame["error"].isna().all()
    for subject in pair:
        for bins in (3, 5):
            result = rw.reliability(subject, bins=bins, method="temperature", binning="mass")
            cell = frame[(frame["subject"] == subject.name) & (frame["bins"] == bins)]
            expected = result.to_frame()
            assert_frame_equal(cell[expected.columns].reset_index(drop=True), expected)


def test_another_table_of_the_results(pair: list[Subject]) -> None:
    frame = rw.grid(rw.reliability, pair, table=rw.Reliability.summary)
    assert frame.columns.tolist()[:3] == ["subject", "metric", "before"]
    ece = frame.query("subject == 'pale' and metric == 'ece'")["before"].item()
    assert ece == rw.reliability(pair[1]).metric("ece", "before")


def test_a_table_that_fails_is_a_failed_cell(pair: list[Subject]) -> None:
    def table(result: Scaled) -> DataFrame:
        if result.mean > 0.7:
            raise KeyError("no such column")
        return result.to_frame()

    frame = rw.grid(scaled, pair, table=table)
    assert frame["subject"].tolist() == ["dim", "dim", "pale"]
    assert frame["error"].tolist()[-1] == "KeyError: 'no such column'"


def test_a_table_of_nothing_but_errors(pair: list[Subject]) -> None:
    frame = rw.grid(scaled, pair, by=0)
    assert frame.columns.tolist() == ["subject", "error"]
    assert len(frame) == 2


def test_columns_of_the_table_make_way_for_those_of_the_grid(pair: list[Subject]) -> None:
    frame = rw.grid(scaled, pair[:1], by=[2], table=lambda it: DataFrame({"by": [7], "error": [8]}))
    assert frame.columns.tolist() == ["subject", "by", "result_by", "result_error", "error"]
    assert frame[["by", "result_by", "result_error"]].to_numpy().tolist() == [[2, 7, 8]]
    assert frame["error"].isna().all()


def blur(images: torch.Tensor) -> torch.Tensor:
    return images


def called(module: nn.Module, name: str) -> nn.Module:
    module.name = name  # type: ignore[assignment]
    return module


def test_knobs_have_names_in_their_column() -> None:
    subject = named("dim")
    knobs = [None, blur, nn.Sequential(), called(nn.Identity(), "mine"), Brightness, ("a", 2)]
    frame = rw.grid(scaled, subject, norm=[*knobs, named("other"), 0.5, True])
    names = ["None", "blur", "Sequential", "mine", "Brightness", "('a', 2)", "other", 0.5, True]
    assert frame["norm"].tolist()[::2] == names


def test_what_is_no_list_is_one_value_for_all(pair: list[Subject]) -> None:
    given: list[Any] = []

    def analysis(subject: Subject, *, layers: Any, by: int) -> Scaled:
        given.append((layers, by))
        return Scaled(1.0)

    frame = rw.grid(analysis, pair[0], layers=("a", "b"), by=[1, 2])
    assert given == [(("a", "b"), 1), (("a", "b"), 2)]
    assert "layers" not in frame


# --- where it runs --------------------------------------------------------------------------


@pytest.mark.parametrize("where", EXECUTORS)
def test_every_executor_gives_the_same_table(where: str, pair: list[Subject]) -> None:
    lists: dict[str, Any] = {"bins": [3, 5, 0], "method": ["none", "temperature"]}
    ticks: list[tuple[int, int]] = []
    with EXECUTORS[where]() as executor:
        frame = rw.grid(
            rw.reliability,
            pair,
            executor=executor,
            progress=lambda *tick: ticks.append(tick),
            **lists,
        )
    assert_frame_equal(frame, rw.grid(rw.reliability, pair, **lists))
    assert frame["error"].notna().sum() == 4  # bins=0
    assert sorted(ticks) == ticks
    assert sorted(set(ticks)) == [(done, 12) for done in range(13)]


COPIES: list[Subject] = []  # those that came to this process, which one is told by `is`


def copy_number(subject: Subject, *, cell: int) -> Scaled:
    if not any(subject is copy for copy in COPIES):
        COPIES.append(subject)
    return Scaled(next(n for n, copy in enumerate(COPIES) if subject is copy))


@pytest.mark.parametrize("where", ["processes", "dask"])
def test_a_subject_travels_once(
    where: str, pair: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[str] = []
    state = Subject.__getstate__

    def getstate(subject: Subject) -> dict[str, Any]:
        packed.append(subject.name)
        return state(subject)

    monkeypatch.setattr(Subject, "__getstate__", getstate)
    with EXECUTORS[where]() as executor:
        frame = rw.grid(copy_number, pair, cell=[1, 2, 3, 4], executor=executor)
    COPIES.clear()
    copies = frame.query("half == 'low'").groupby("subject", sort=False)["value"].unique()
    assert [list(numbers) for numbers in copies] == [[0], [1]]  # one worker: one copy of each
    if where == "processes":  # Dask with threads need not pack at all
        assert packed == ["dim", "pale"]


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raising(subject: Subject, *, what: str) -> Scaled:
    if what == "own":
        raise Unpicklable(1, 2)
    return Scaled(1.0)


def test_errors_that_cannot_travel_are_rows_too() -> None:
    with EXECUTORS["processes"]() as executor:
        frame = rw.grid(raising, named("dim"), what=["fine", "own"], executor=executor)
    assert frame["error"].tolist()[:2] == [None, None]
    assert frame["error"].tolist()[2] == "Unpicklable: 1 and 2"


def test_what_cannot_be_sent_is_a_row_and_the_rest_runs() -> None:
    class Local(Brightness):
        """No other process can find this class."""

    local = Subject(Local(), flat_images([0.5]), [0], name="local")
    with EXECUTORS["processes"]() as executor:
        frame = rw.grid(scaled, [local, named("dim")], norm=[lambda: 0, None], executor=executor)
    errors = frame.groupby(["subject", "norm"])["error"].first()
    assert "Local" in errors["local", "None"]
    assert "lambda" in errors["dim", "<lambda>"]
    assert frame.query("subject == 'dim' and norm == 'None'")["half"].tolist() == ["low", "high"]


def dying(subject: Subject, *, by: int) -> Scaled:
    if by == 2:
        os._exit(1)
    return Scaled(1.0)


def test_a_worker_that_dies_leaves_the_table_of_the_others() -> None:
    with EXECUTORS["processes"]() as executor:
        frame = rw.grid(dying, named("dim"), by=[1, 2], executor=executor)
    assert frame["by"].tolist() == [1, 1, 2]
    assert "BrokenProcessPool" in frame["error"].tolist()[-1]


def test_rows_are_in_order_when_the_first_cell_is_the_last_to_finish() -> None:
    last = threading.Event()

    def analysis(subject: Subject, *, by: int) -> Scaled:
        if by == 1:
            assert last.wait(30)
        return Scaled(float(by))

    def progress(done: int, total: int) -> None:
        if done == 2:  # both others are in the table although the first is not
            last.set()

    with ThreadPoolExecutor(2) as executor:
        frame = rw.grid(analysis, named("dim"), by=[1, 2, 3], executor=executor, progress=progress)
    assert frame["value"].tolist() == [1, 2, 2, 4, 3, 6]


# --- stopping, and going on -----------------------------------------------------------------


def interrupt(call: int) -> None:
    if call == 3:
        raise KeyboardInterrupt


def fail(call: int) -> None:
    if call == 3:
        raise RuntimeError("out of memory")


def test_a_stopped_grid_goes_on_where_it_was(tmp_path: Path, pair: list[Subject]) -> None:
    counting = Counting()
    lists: dict[str, Any] = {"bins": [3, 5, 7], "cache": tmp_path}
    with pytest.raises(rw.Cancelled):
        rw.grid(counting.word(), pair, progress=stopping_at(2), **lists)
    assert counting.calls == 2
    ticks: list[int] = []
    frame = rw.grid(counting.word(), pair, progress=lambda n, _: ticks.append(n), **lists)
    assert counting.calls == 6  # four more
    assert sorted(set(ticks)) == list(range(7))
    assert_frame_equal(frame, rw.grid(rw.reliability, pair, bins=[3, 5, 7]))


def test_an_interrupted_grid_goes_on_where_it_was(tmp_path: Path, pair: list[Subject]) -> None:
    counting = Counting(interrupt)
    with pytest.raises(KeyboardInterrupt):
        rw.grid(counting.word(), pair, bins=[3, 5, 7], cache=tmp_path)
    assert counting.calls == 3
    rw.grid(counting.word(), pair, bins=[3, 5, 7], cache=tmp_path)
    assert counting.calls == 3 + 4


def test_a_failed_cell_is_tried_again(tmp_path: Path, pair: list[Subject]) -> None:
    counting = Counting(fail)
    frame = rw.grid(counting.word(), pair, bins=[3, 5, 7], cache=tmp_path)
    assert frame.loc[frame["error"].notna(), ["subject", "bins"]].values.tolist() == [["dim", 7]]
    assert counting.calls == 6
    frame = rw.grid(counting.word(), pair, bins=[3, 5, 7], cache=tmp_path)
    assert frame["error"].isna().all()
    assert counting.calls == 7


def test_another_table_and_a_larger_grid_use_what_is_kept(
    tmp_path: Path, pair: list[Subject]
) -> None:
    counting = Counting()
    rw.grid(counting.word(), pair, bins=[3, 5], cache=tmp_path)
    rw.grid(counting.word(), pair, bins=[3, 5], cache=tmp_path, table=rw.Reliability.summary)
    assert counting.calls == 4
    rw.grid(counting.word(), pair, bins=[3, 5, 7], cache=tmp_path)
    assert counting.calls == 6


def test_executors_keep_what_is_done_too(tmp_path: Path, pair: list[Subject]) -> None:
    with EXECUTORS["processes"]() as executor, pytest.raises(rw.Cancelled):
        rw.grid(
            rw.reliability,
            pair,
            bins=[3, 5, 7],
            cache=tmp_path,
            executor=executor,
            progress=stopping_at(2),
        )
    assert len(list(tmp_path.iterdir())) == 2
    with ThreadPoolExecutor(2) as executor:
        frame = rw.grid(rw.reliability, pair, bins=[3, 5, 7], cache=tmp_path, executor=executor)
    assert len(list(tmp_path.iterdir())) == 6
    assert_frame_equal(frame, rw.grid(rw.reliability, pair, bins=[3, 5, 7]))


def killed(folder: Path) -> None:
    def progress(done: int, total: int) -> None:
        if done == 2:
            os._exit(1)

    rw.grid(rw.reliability, named("dim"), bins=[3, 5, 7], cache=folder, progress=progress)


def test_a_killed_grid_goes_on_where_it_was(tmp_path: Path) -> None:
    with EXECUTORS["processes"]() as executor, pytest.raises(BrokenProcessPool):
        executor.submit(killed, tmp_path).result()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 2
    rw.grid(rw.reliability, named("dim"), bins=[3, 5, 7], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_stopping_begins_nothing_more() -> None:
    begun: list[int] = []
    ended = threading.Event()

    def analysis(subject: Subject, *, by: int) -> Scaled:
        begun.append(by)
        if by > 1:
            ended.wait(30)  # the only thread is held until the grid has ended
        return Scaled(1.0)

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(rw.Cancelled):
            rw.grid(
                analysis,
                named("dim"),
                by=list(range(20)),
                executor=executor,
                progress=stopping_at(2),
            )
        ended.set()
    assert begun in ([0, 1], [0, 1, 2])


def test_here_a_cell_can_be_stopped_in_the_middle() -> None:
    steps: list[int] = []

    def analysis(subject: Subject, *, by: int, progress: Any = None) -> Scaled:
        for step in range(1000):
            steps.append(step)
            progress(step, 1000)
        return Scaled(1.0)

    def progress(done: int, total: int) -> None:
        assert (done, total) == (0, 2)
        if len(steps) == 5:
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        rw.grid(analysis, named("dim"), by=[1, 2], progress=progress)
    assert len(steps) == 5


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(2, 2), lambda: blur, lambda: (0.5, nn.ReLU())],
    ids=["module", "function", "pair"],
)
def test_modules_and_functions_as_knobs_stay_off_the_disk(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    """The text of a module says nothing of its weights, that of a function only its address."""
    subject, knob = named("dim"), make()
    analysis = ours(lambda subject, norm: rw.reliability(subject))
    cache = Cache(tmp_path)
    assert cache(analysis, subject, norm=knob) is cache(analysis, subject, norm=knob)
    assert list(tmp_path.iterdir()) == []
    cache(analysis, subject, norm=(None, True, "a", np.float32(0.5), subject.fingerprint))
    assert len(list(tmp_path.iterdir())) == 1


# --- what cannot be run ---------------------------------------------------------------------


def never(subject: Subject, *, by: int = 1, power: int = 2, executor: Any = None) -> Scaled:
    raise AssertionError("something ran")


def twin(subject: Subject) -> Subject:
    return subject[:3]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda s: rw.grid(never, []), ValueError, "subjects is empty. Put at least one"),
        (lambda s: rw.grid(never, s, by=[]), ValueError, "by is empty. Put at least one"),
        (
            lambda s: rw.grid(never, [s, twin(s)]),
            ValueError,
            "told apart: subjects holds 'dim' more than once. Make each with a name=",
        ),
        (
            lambda s: rw.grid(never, s, by=[1, 2, 1]),
            ValueError,
            "told apart: by holds 1 more than once. Pass each value once",
        ),
        (
            lambda s: rw.grid(never, s, by=[nn.ReLU(), nn.ReLU()]),
            ValueError,
            "told apart: by holds 'ReLU' more than once. .* a .name of their own",
        ),
        (
            lambda s: rw.grid(never, s, By=[1]),
            TypeError,
            "never has no knob 'By': it has by, power. The nearest: by. Pass one of these",
        ),
        (lambda s: rw.grid(never, [s, 3]), TypeError, "no Subject: got int. Pass a Subject"),
        (lambda s: rw.grid("never", s), TypeError, "cannot be called: got 'never'. Pass a fun"),
        (lambda s: rw.grid(never, s, executor=4), TypeError, "got int, which has no `submit`"),
    ],
)
def test_bad_calls_are_told_before_anything_runs(
    call: Callable[[Subject], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call(named("dim"))


def test_an_analysis_of_any_knobs_is_given_any() -> None:
    def analysis(subject: Subject, **knobs: Any) -> Scaled:
        return Scaled(float(knobs["whatever"]))

    assert rw.grid(analysis, named("dim"), whatever=[3])["value"].tolist() == [3, 6]


def test_no_knob_of_our_analyses_is_an_argument_of_the_grid() -> None:
    own = set(inspect.signature(rw.grid).parameters) - {"executor", "progress", "lists"}
    for word in rw.analyses.ANALYSES:
        assert not own & set(inspect.signature(getattr(rw, word)).parameters)


# --- cells that misbehave ---------------------------------------------------------------------


class NeverArrives:
    """Can be packed, and cannot be unpacked."""

    def __reduce__(self) -> Any:
        return sys.exit, (5,)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Hard(BaseException):
    pass


def misbehaving(subject: Subject, *, how: str) -> Any:
    if how == "exit":
        sys.exit(3)
    if how == "hard":
        raise Hard("outside of Exception")
    if how == "unsayable":
        raise Unsayable
    if how == "local":
        return lambda: 0
    if how == "never arrives":
        return NeverArrives()
    if how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hangs":
        time.sleep(600)
    return Scaled(1.0)


ERRORS = {
    "exit": "SystemExit: 3",
    "hard": "Hard: outside of Exception",
    "unsayable": "Unsayable",
}
FAR = {
    "local": "lambda",
    "never arrives": "SystemExit: 5",
    "dies": "BrokenProcessPool: the process that ran it died",
}


def errors_of(frame: DataFrame) -> dict[str, Any]:
    return {how: error for how, error in zip(frame["how"], frame["error"], strict=True)}


@pytest.mark.parametrize("where", EXECUTORS)
def test_a_cell_that_ends_itself_is_a_row(where: str) -> None:
    with EXECUTORS[where]() as executor:
        how = ["fine", *ERRORS, "also fine"]
        frame = rw.grid(misbehaving, named("dim"), how=how, executor=executor)
    assert errors_of(frame) == {"fine": None, **ERRORS, "also fine": None}


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is left: neither temporary folders nor processes of ours."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(multiprocessing.active_children())
    yield
    assert list(tmp_path.iterdir()) == []
    assert set(multiprocessing.active_children()) <= before


def test_a_pool_that_breaks_is_made_anew_for_the_cells_that_are_left(leftovers: None) -> None:
    with processes(2) as executor:
        how = ["dies", "fine", "local", "2", "never arrives", "3", "exit", "4"]
        frame = rw.grid(misbehaving, named("dim"), how=how, executor=executor)
    found = errors_of(frame)
    for cell, words in FAR.items():
        assert words in found.pop(cell)
    assert found.pop("exit") == "SystemExit: 3"
    assert set(found.values()) == {None}
    assert len(found) == 4


def test_a_pool_that_was_broken_before_is_made_anew(leftovers: None) -> None:
    with EXECUTORS["processes"]() as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(os._exit, 1).result()
        frame = rw.grid(misbehaving, named("dim"), how=["fine"], executor=executor)
    assert frame["error"].isna().all()


def test_nothing_waits_for_ever_for_a_process(leftovers: None) -> None:
    with processes(2) as executor:
        executor.submit(os.getpid).result()  # the first takes long to start
        how = ["hangs", "fine", "also fine"]
        frame = rw.grid(misbehaving, named("dim"), how=how, executor=executor, timeout=4)
    found = errors_of(frame)
    assert found.pop("hangs") == "TimeoutError: it took longer than 4 s, and was stopped"
    assert set(found.values()) == {None}


def test_nothing_waits_for_ever_for_a_thread() -> None:
    ended = threading.Event()

    def analysis(subject: Subject, *, how: str) -> Scaled:
        if how == "hangs":
            ended.wait(60)
        return Scaled(1.0)

    with ThreadPoolExecutor(1) as executor:
        how = ["fine", "hangs", "behind it"]
        frame = rw.grid(analysis, named("dim"), how=how, executor=executor, timeout=0.2)
        ended.set()
    found = errors_of(frame)
    assert found.pop("fine") is None
    assert set(found.values()) == {"TimeoutError: no cell was done for 0.2 s"}


def test_a_grid_that_is_stopped_leaves_nothing(leftovers: None) -> None:
    with EXECUTORS["processes"]() as executor, pytest.raises(rw.Cancelled):
        how = ["dies", "fine", "more", "hangs"]
        rw.grid(misbehaving, named("dim"), how=how, executor=executor, progress=stopping_at(2))


def test_where_nothing_can_be_written_subjects_travel_with_their_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pools, "mkdtemp", full)
    with EXECUTORS["processes"]() as executor:
        frame = rw.grid(misbehaving, named("dim"), how=["fine"], executor=executor)
    assert frame["error"].isna().all()


def test_a_full_disk_costs_no_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    frame = rw.grid(rw.reliability, named("dim"), bins=[3, 5], cache=folder)
    assert frame["error"].isna().all()
    assert caplog.text.count("nothing new is kept in") == 1
