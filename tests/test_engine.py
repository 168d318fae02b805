"""Sweeps give the same numbers wherever they run and stop when told; caches remember."""

import copy
import errno
import functools
import logging
import multiprocessing
import operator
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reliab_widgets as rw
from reliab_widgets import Cache, Cancelled, sweep
from reliab_widgets.core import archive, result
from reliab_widgets.core.engine import stream, ticking
from reliab_widgets.core.result import Record
from tests.test_pruning import varied


@dataclass
class Named:
    """All that a cache asks of a Subject."""

    fingerprint: str
    name: str = "named"
    validation: "Named | None" = None


@dataclass(frozen=True, eq=False)
class Number(Record):
    value: float


@dataclass(frozen=True)
class Numbers(Record):
    values: np.ndarray


def stopping_at(number: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == number:
            raise Cancelled

    return progress


# --- sweep ----------------------------------------------------------------------------------


@contextmanager
def here() -> Iterator[None]:
    yield None


@contextmanager
def dask() -> Iterator[Any]:
    from distributed import Client

    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"
    ) as client:
        yield client


# Workers are forked from one server that has imported torch already: that takes seconds each.
# What a spawned one does is tested in test_subject.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.test_grid"])


def processes(workers: int = 1) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=CONTEXT)


EXECUTORS: dict[str, Callable[[], Any]] = {
    "here": here,
    "threads": lambda: ThreadPoolExecutor(4),
    "processes": processes,
    "dask": dask,
}


@pytest.mark.parametrize("where", EXECUTORS)
def test_every_executor_gives_the_same_numbers_in_order_and_ticks(where: str) -> None:
    ticks: list[tuple[int, int]] = []
    items = [5, 3, 8, 1, 3]
    with EXECUTORS[where]() as executor:
        # A list is a subject that a cluster must not take for many subjects.
        values = sweep(
            operator.mul,
            [1, 2],
            items,
            executor=executor,
            progress=lambda done, total: ticks.append((done, total)),
        )
    assert values == [[1, 2] * item for item in items]
    assert ticks == [(done, 5) for done in range(6)]


def test_a_dask_client_is_sent_the_subject_once() -> None:
    sent: list[Any] = []
    mapped: list[Any] = []

    class Client:
        def scatter(self, subject: Any, broadcast: bool) -> str:
            sent.append(subject)
            return "reference"

        def get_executor(self) -> Any:
            return self

        def map(self, fn: Any, subjects: list[Any], items: list[Any]) -> Iterator[Any]:
            mapped.extend(subjects)
            return map(fn, subjects, items)

    sweep(lambda subject, item: item, "heavy", range(3), executor=Client())
    assert sent == ["heavy"]
    assert mapped == ["reference"] * 3


def test_order_is_kept_when_the_first_item_is_the_last_to_finish() -> None:
    others = threading.Barrier(3)

    def fn(subject: Any, item: int) -> int:
        others.wait(30)  # nobody is done before all have begun
        return item

    with ThreadPoolExecutor(3) as executor:
        assert sweep(fn, None, [2, 0, 1], executor=executor) == [2, 0, 1]


def test_a_stream_is_lazy() -> None:
    begun: list[int] = []
    values = stream(lambda subject, item: begun.append(item), None, range(3))
    assert begun == []
    next(values)
    assert begun == [0]


def test_nothing_is_a_sweep_too() -> None:
    ticks: list[tuple[int, int]] = []
    assert sweep(operator.mul, 2, [], progress=lambda *tick: ticks.append(tick)) == []
    assert ticks == [(0, 0)]


def test_cancelling_here_begins_nothing_more() -> None:
    begun: list[int] = []
    with pytest.raises(Cancelled):
        sweep(
            lambda subject, item: begun.append(item),
            None,
            range(9),
            progress=stopping_at(3),
        )
    assert begun == [0, 1, 2]


def test_cancelling_at_the_start_begins_nothing() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as executor, pytest.raises(Cancelled):
        sweep(
            lambda subject, item: begun.append(item),
            None,
            range(9),
            executor=executor,
            progress=stopping_at(0),
        )
    assert begun == []


@pytest.mark.parametrize("end", ["cancelled", "failed", "closed"])
def test_what_waits_in_an_executor_never_begins(end: str) -> None:
    begun: list[int] = []
    ended = threading.Event()

    def fn(subject: Any, item: int) -> int:
        begun.append(item)
        if item == 1 and end == "failed":
            raise ZeroDivisionError
        if item > 1:
            ended.wait(30)  # the only thread is held until the sweep has ended
        return item

    with ThreadPoolExecutor(1) as executor:
        progress = stopping_at(2) if end == "cancelled" else None
        values = stream(fn, None, range(50), executor=executor, progress=progress)
        next(values)
        if end == "closed":
            values.close()
        else:
            with pytest.raises((Cancelled, ZeroDivisionError)) as kept:  # as IPython keeps it
                list(values)
        ended.set()
    assert begun == list(range(len(begun)))
    assert len(begun) <= 3  # two that gave their value and the one already running
    assert end == "closed" or kept.tb


def test_an_executor_without_map_is_named() -> None:
    with pytest.raises(TypeError, match=r"got int, which has no `map`. Pass a"):
        sweep(operator.mul, 2, [1], executor=4)


# --- progress -------------------------------------------------------------------------------


def test_progress_that_cannot_be_called_is_named() -> None:
    with pytest.raises(TypeError, match=r"got 'yes'. Pass a function of \(done, total\)"):
        sweep(operator.mul, 2, [1], progress="yes")


@pytest.mark.parametrize("fails", [False, True])
def test_the_bar_is_filled_and_closed(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm.auto

    bars: list[Any] = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self) -> None:
            super().__init__(disable=False)
            self.closed = False
            bars.append(self)

        def close(self) -> None:
            self.closed = True
            super().close()

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    if fails:
        with pytest.raises(ZeroDivisionError):
            sweep(operator.floordiv, 2, [1, 1, 0, 1], progress=True)
    else:
        sweep(operator.floordiv, 2, [1, 1, 1, 1], progress=True)
    (bar,) = bars
    assert bar.closed
    assert (bar.n, bar.total) == (2 if fails else 4, 4)


def test_a_callable_is_handed_on_as_it_is() -> None:
    def progress(done: int, total: int) -> None: ...

    with ticking(progress) as tick:
        assert tick is progress


# --- Cache ----------------------------------------------------------------------------------


class Counting:
    """An analysis that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, subject: Any, **knobs: Any) -> Number:
        self.calls.append(knobs)
        return Number(float(len(self.calls)))


def ours(analysis: Any, name: str = "word") -> Any:
    """Dress a function as an analysis of the package: only those are kept on disk."""

    @functools.wraps(analysis, assigned=(), updated=())
    def word(subject: Any, **knobs: Any) -> Any:
        return analysis(subject, **knobs)

    word.__module__ = "reliab_widgets.analyses.word.compute"
    word.__name__ = word.__qualname__ = name
    return word


def test_a_question_is_answered_once() -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    first = cache(analysis, subject, bins=15, method="none")
    assert cache(analysis, subject, method="none", bins=15) is first
    assert analysis.calls == [{"bins": 15, "method": "none"}]


@pytest.mark.parametrize(
    "other",
    [
        {"subject": Named("b")},
        {"subject": Named("a", "another name")},
        {"subject": Named("a", validation=Named("v"))},
        {"bins": 16},
        {"bins": "15"},
        {"bins": 15.0},
        {"bins": (15,)},
        {"seed": 0},
        {"fit": Named("f")},
        {"analysis": Counting()},
    ],
    ids=" ".join,  # the keys
)
def test_another_question_is_computed(other: dict[str, Any]) -> None:
    cache, analysis = Cache(), Counting()
    asked = {"analysis": analysis, "subject": Named("a"), "bins": 15}
    first = cache(**asked)
    assert cache(**(asked | other)) is not first
    assert cache(**asked) is first


def test_subjects_as_knobs_are_known_by_their_fingerprints() -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    first = cache(analysis, subject, fit=Named("f"))
    assert cache(analysis, subject, fit=Named("f")) is first
    assert cache(analysis, subject, fit=Named("g")) is not first


def test_a_function_written_anew_is_computed_anew() -> None:
    cache, subject = Cache(), Named("a")

    def make(power: int) -> Callable[[Any], int]:
        def analysis(subject: Any, base: int = 3 * power) -> int:
            return base**power

        return analysis

    # Same name, same code: they differ in what they closed over and in a default.
    assert cache(make(1), subject) == 3
    assert cache(make(2), subject) == 36


def test_partial_functions_and_methods_can_be_analyses() -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    part = functools.partial(analysis, bins=3)
    assert cache(part, subject) is cache(part, subject)
    assert cache(analysis.__call__, subject) is cache(analysis.__call__, subject)
    assert len(analysis.calls) == 2


def test_what_cannot_be_hashed_is_computed_each_time() -> None:
    cache, analysis = Cache(), Counting()
    for _ in range(2):
        cache(analysis, Named("a"), edges=np.zeros(3))
    assert len(analysis.calls) == 2


def test_how_is_handed_on_but_is_no_part_of_the_question() -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    first = cache(analysis, subject, executor="E", progress=print, bins=3)
    assert cache(analysis, subject, bins=3) is first
    assert analysis.calls == [{"executor": "E", "progress": print, "bins": 3}]


def test_the_one_not_used_for_the_longest_time_goes_first() -> None:
    cache, analysis, subject = Cache(keep=2_000_000), Counting(), Named("a")
    one, two = cache(analysis, subject, k=1), cache(analysis, subject, k=2)
    assert cache(analysis, subject, k=1) is one
    cache(analysis, subject, k=3)
    assert cache(analysis, subject, k=1) is one
    assert cache(analysis, subject, k=2) is not two


def test_large_results_leave_room_for_fewer() -> None:
    cache, subject = Cache(keep=10_000_000), Named("a")
    calls: list[int] = []

    def analysis(subject: Any, megabytes: int) -> Numbers:
        calls.append(megabytes)
        return Numbers(np.zeros(megabytes * 125_000))

    for megabytes in (4, 5, 4, 6, 4, 5, 11, 11):
        cache(analysis, subject, megabytes=megabytes)
    # 6 sends 5 away, and 5 sends 6 away; 11 sends all away and itself, too.
    assert calls == [4, 5, 6, 5, 11, 11]
    assert not cache._memory


def test_what_raises_is_not_remembered() -> None:
    cache, subject = Cache(), Named("a")
    faults = iter([Cancelled(), ValueError("no")])

    def analysis(subject: Any) -> int:
        for fault in faults:
            raise fault
        return 7

    with pytest.raises(Cancelled):
        cache(analysis, subject)
    with pytest.raises(ValueError, match="no"):
        cache(analysis, subject)
    assert cache(analysis, subject) == 7


def test_a_folder_answers_another_process(tmp_path: Path) -> None:
    folder, analysis, subject = tmp_path / "not" / "yet", Counting(), Named("a")
    knobs = {"k": 1, "method": "none", "fit": Named("f"), "levels": (0.1, None)}
    assert Cache(folder)(ours(analysis), subject, **knobs).value == 1
    # A new cache and a new function object, as in a new process.
    assert Cache(folder)(ours(analysis), subject, **knobs).value == 1
    assert Cache(folder)(ours(analysis), Named("b"), **knobs).value == 2
    assert Cache(folder)(ours(analysis), subject, **knobs | {"k": 2}).value == 3
    assert Cache(folder)(ours(analysis, "other"), subject, **knobs).value == 4
    assert len(list(folder.iterdir())) == 4


def test_file_names_are_the_same_in_every_process(tmp_path: Path) -> None:
    Cache(tmp_path)(ours(Counting()), Named("a"), k=1)
    before = {path.name for path in tmp_path.iterdir()}
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.test_engine import Cache, Counting, Named, ours\n"
        "Cache(Path(sys.argv[1]))(ours(Counting()), Named('a'), k=1)"
    )
    import subprocess
    import sys

    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, tmp_path, root], check=True)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("damage", [b"", b"not a result", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_computed_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    analysis, subject = Counting(), Named("a")
    Cache(tmp_path)(ours(analysis), subject)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert Cache(tmp_path)(ours(analysis), subject).value == 2
    assert path.name in caplog.text
    assert Cache(tmp_path)(ours(analysis), subject).value == 2  # the file is whole again


def test_own_functions_and_what_is_no_record_stay_off_the_disk(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache(Counting(), Named("a"))
    assert cache(ours(lambda subject: 3), Named("a")) == 3
    assert list(tmp_path.iterdir()) == []


def test_many_threads_may_ask(tmp_path: Path) -> None:
    cache, analysis = Cache(tmp_path, keep=3_000_000), ours(lambda subject, k: Number(float(k)))
    executor: Executor
    with ThreadPoolExecutor(8) as executor:
        asked = [k % 5 for k in range(200)]
        results = list(executor.map(lambda k: cache(analysis, Named("a"), k=k).value, asked))
    assert results == asked
    assert len(list(tmp_path.iterdir())) == 5  # no unfinished file is left


# --- folders that cannot be used ---------------------------------------------------------------


def fails(error: Exception) -> Callable[..., None]:
    def save(*_: Any, **__: Any) -> None:
        raise error

    return save


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        PermissionError(errno.EACCES, "Permission denied"),
        TypeError("Number.value cannot be saved"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_costs_one_warning_and_no_result(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(Number, "save", fails(error))
    cache, analysis = Cache(tmp_path), ours(Counting())
    assert [cache(analysis, Named("a"), k=k).value for k in (1, 2, 1)] == [1, 2, 1]
    (record,) = caplog.records
    assert f"nothing new is kept in {tmp_path}: {error}" in record.message


def test_a_folder_that_cannot_be_made_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "folder")
    assert cache(ours(Counting()), Named("a")).value == 1
    assert "nothing new is kept in" in caplog.text


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^the cache's folder is a file: got .* Pass a folder"):
        Cache(tmp_path / "file")


def test_a_filled_folder_that_is_read_only_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    examined = varied(40)
    filled = Cache(tmp_path)(rw.reliability, examined, bins=3)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(archive, "write", fails(PermissionError("never")))
    monkeypatch.setattr(Path, "mkdir", fails(PermissionError("never")))
    tmp_path.chmod(0o555)
    try:
        found = Cache(tmp_path)(rw.reliability, examined, bins=3)
    finally:
        tmp_path.chmod(0o755)
    assert found is not filled
    assert str(found) == str(filled)
    assert not caplog.records
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# --- a file answers its own question only ------------------------------------------------------


def swap(tmp_path: Path, examined: Any, **other: Any) -> None:
    """Put the answer to another question where that of bins=3 is looked for."""
    Cache(tmp_path)(rw.reliability, examined, bins=3)
    (path,) = tmp_path.iterdir()
    rw.reliability(other.pop("subject", examined), **{"bins": 3, **other}).save(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path, s: swap(path, s, bins=4), "holds an answer to other knobs"),
        (lambda path, s: swap(path, s, subject=s[:30]), "holds an answer for "),
    ],
)
def test_another_answer_in_the_file_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any, words: str
) -> None:
    examined = varied(40)
    change(tmp_path, examined)
    found = Cache(tmp_path)(rw.reliability, examined, bins=3)
    assert (found.knobs["bins"], found.fingerprint) == (3, examined.fingerprint)
    assert words in caplog.text
    caplog.clear()
    Cache(tmp_path)(rw.reliability, examined, bins=3)
    assert not caplog.records  # it was replaced


def test_an_answer_of_another_version_or_kind_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined = varied(40)
    swap(tmp_path, examined)
    (path,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(result, "__version__", "0.0.9")
        rw.reliability(examined, bins=3).save(path)
    Cache(tmp_path)(rw.reliability, examined, bins=3)
    assert "holds an answer of version 0.0.9" in caplog.text
    Number(3.0).save(path)
    Cache(tmp_path)(rw.reliability, examined, bins=3)
    assert "holds a Number" in caplog.text


# --- modules and functions among the knobs -----------------------------------------------------

FACTOR = 2


def scaled(images: Any) -> Any:
    return images * FACTOR


def closed_over(value: Any) -> Callable[[Any], Any]:
    return lambda images: images + value


def test_a_module_is_known_by_its_weights_and_attributes() -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    first = cache(analysis, subject, denoiser=model)
    assert cache(analysis, subject, denoiser=copy.deepcopy(model)) is first
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    assert cache(analysis, subject, denoiser=model) is not first
    second = cache(analysis, subject, denoiser=model)
    model[1].p = 0.2
    assert cache(analysis, subject, denoiser=model) is not second


def test_a_function_is_known_by_its_code_and_what_it_refers_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, analysis, subject = Cache(), Counting(), Named("a")
    first = cache(analysis, subject, attack=scaled)
    assert cache(analysis, subject, attack=scaled) is first
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert cache(analysis, subject, attack=scaled) is not first
    array = np.zeros(3)
    second = cache(analysis, subject, attack=closed_over(array))
    assert cache(analysis, subject, attack=closed_over(np.zeros(3))) is second
    array[0] = 1
    assert cache(analysis, subject, attack=closed_over(array)) is not second


def test_what_hides_its_state_is_computed_each_time() -> None:
    cache, analysis = Cache(), Counting()
    drawing = closed_over(np.random.default_rng(0))
    assert cache(analysis, Named("a"), attack=drawing).value == 1
    assert cache(analysis, Named("a"), attack=drawing).value == 2
