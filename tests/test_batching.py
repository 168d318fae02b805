"""Batches that fit the machine: everything here is told, nothing is timed."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reliab_widgets.core import batching
from reliab_widgets.core.batching import (
    Plan,
    cores,
    in_batches,
    memory_budget,
    out_of_memory,
    probe,
    threads,
    trace,
)
from tests.models import Brightness

MB = 10**6


# --- running in batches -----------------------------------------------------------------------


def means(images: Tensor, channels_last: bool = False) -> Tensor:
    return images.mean((2, 3))


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_rows_are_in_order_whatever_the_batch(batch: int) -> None:
    images = torch.arange(7.0).view(7, 1, 1, 1)
    rows, plan = in_batches(means, images, Plan(batch))
    assert rows.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert plan == Plan(batch)


def hungry(most: int, error: Exception, sizes: list[int]) -> Callable[[Tensor, bool], Tensor]:
    def run(images: Tensor, channels_last: bool) -> Tensor:
        if len(images) > most:
            raise error
        sizes.append(len(images))
        return means(images)

    return run


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_batch_and_loses_nothing(error: Exception) -> None:
    sizes: list[int] = []
    images = torch.arange(10.0).view(10, 1, 1, 1)
    rows, plan = in_batches(hungry(2, error, sizes), images, Plan(8))
    assert rows.flatten().tolist() == list(range(10))
    assert plan.batch == 2
    assert sizes == [2, 2, 2, 2, 2]


def test_halving_begins_at_what_was_tried() -> None:
    tried: list[int] = []

    def run(images: Tensor, channels_last: bool) -> Tensor:
        tried.append(len(images))
        return hungry(2, MemoryError(), [])(images, channels_last)

    in_batches(run, torch.ones(5, 1, 1, 1), Plan(256))
    assert tried == [5, 2, 2, 1]


def test_one_image_too_many_is_said_in_words() -> None:
    run = hungry(0, OUT_OF_MEMORY[1], [])
    with pytest.raises(MemoryError, match=r"does not fit.*got \(1, 2, 2\).*smaller images="):
        in_batches(run, torch.ones(4, 1, 2, 2), Plan(4))


def test_other_errors_pass_through() -> None:
    def run(images: Tensor, channels_last: bool) -> Tensor:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match=r"^something else$"):
        in_batches(run, torch.ones(4, 1, 2, 2), Plan(4))


def test_what_is_no_lack_of_memory() -> None:
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("n"))


# --- the probe, with a clock of its own -------------------------------------------------------


class Machine:
    """A pretended machine: `cost(batch, channels_last, threads)` seconds for a pass."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, cost: Callable[[int, bool, int], float]
    ) -> None:
        self.now = 0.0
        self.cost = cost
        self.runs: list[tuple[int, bool, int]] = []
        self.threads = 1
        monkeypatch.setattr(batching, "perf_counter", lambda: self.now)
        monkeypatch.setattr(batching, "thread_time", lambda: self.now)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(self, "threads", n))

    def __call__(self, batch: int, channels_last: bool) -> None:
        self.runs.append((batch, channels_last, self.threads))
        self.now += self.cost(*self.runs[-1])


def test_probe_keeps_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: 1e-3)
    assert probe(machine, 10 * MB, 95 * MB, 1).batch == 8  # the largest power of two
    assert max(batch for batch, _, _ in machine.runs) <= 8
    assert probe(machine, 10 * MB, 0, 1).batch == 1


def test_batches_are_larger_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: 1e-3)
    assert [probe(machine, 1, 300 * MB, 1, on_cpu).batch for on_cpu in (True, False)] == [32, 256]


def test_a_batch_takes_no_longer_than_cancel_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: 0.2 * b)
    assert probe(machine, 1, 300 * MB, 1).batch == 4
    assert machine.cost(4, False, 1) <= batching.LONGEST_PASS


def test_probe_of_a_slow_network_makes_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: 2.0 * b)
    assert probe(machine, 1, 300 * MB, 1).batch == 1
    assert machine.runs == [(1, False, 1), (1, False, 1), (1, True, 1)]


def test_probe_ends_in_time_on_a_small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: 1e-3 + 1e-3 * b)
    probe(machine, 1, 300 * MB, 2)
    assert machine.now < 0.2


def test_the_plan_is_the_same_however_loaded_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As measured on shared cores: a pass takes up to 30 % more of the processor's time.
    chance = random.Random(0)

    def cost(batch: int, channels_last: bool, count: int) -> float:
        return (1e-3 + batch * 1e-3) * (0.85 if channels_last else 1) * chance.uniform(1, 1.3)

    machine = Machine(monkeypatch, cost)
    assert {probe(machine, 1, 300 * MB, 1) for _ in range(100)} == {Plan(32, True)}


@pytest.mark.parametrize("best", [False, True])
def test_probe_takes_the_faster_memory_format(monkeypatch: pytest.MonkeyPatch, best: bool) -> None:
    machine = Machine(
        monkeypatch, lambda b, last, n: (1e-3 + b * 1e-4) * (1 if last == best else 2)
    )
    assert probe(machine, 1, 300 * MB, 1).channels_last is best


def test_probe_takes_more_threads_where_they_help(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: (1e-3 + b * 1e-4) / n)
    assert probe(machine, 1, 300 * MB, 2).threads == 2


def test_probe_tries_threads_that_do_not_help_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda b, last, n: n * (1e-3 + b * 1e-4))
    assert probe(machine, 1, 300 * MB, 2).threads == 1
    assert [run[2] for run in machine.runs].count(2) == 2  # the first of them warms up


def test_probe_prefers_the_better_worst_case(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two threads take half the time, but in every third pass they wait for each other.
    counts = {1: 0, 2: 0}

    def cost(batch: int, channels_last: bool, count: int) -> float:
        counts[count] += 1
        stuck = count == 2 and counts[2] % 3 == 0
        return (1e-3 + batch * 1e-4) / count * (10 if stuck else 1)

    assert probe(Machine(monkeypatch, cost), 1, 300 * MB, 2).threads == 1


def test_probe_drops_a_format_the_network_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(batch: int, channels_last: bool, count: int) -> float:
        if channels_last:
            raise RuntimeError("view size is not compatible with input tensor's size and stride")
        return 1e-3 + batch * 1e-4

    assert not probe(Machine(monkeypatch, cost), 1, 300 * MB, 1).channels_last


def test_probe_passes_a_real_error_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(batch: int, channels_last: bool, count: int) -> float:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        probe(Machine(monkeypatch, cost), 1, 300 * MB, 1)


# --- what a pass needs ------------------------------------------------------------------------


def test_trace_names_leaves_in_order_with_their_bytes() -> None:
    model = Brightness()
    sizes = trace(model, lambda: model(torch.zeros(1, 1, 4, 4)))
    # float32: 2 x 4 x 4, the same again, 2 x 1 x 1, 3
    assert list(sizes.items()) == [("conv", 128), ("relu", 128), ("pool", 8), ("fc", 12)]
    assert not any(module._forward_hooks for module in model.modules())


def test_trace_counts_only_its_own_thread() -> None:
    model = Brightness()
    image = torch.zeros(1, 1, 4, 4)

    def run() -> None:
        other = threading.Thread(target=model, args=(image,))
        other.start()
        other.join()
        model(image)

    assert trace(model, run) == trace(model, lambda: model(image))


def test_trace_leaves_no_hooks_after_an_error() -> None:
    model = Brightness()
    with pytest.raises(ZeroDivisionError):
        trace(model, lambda: 1 / 0)
    assert not any(module._forward_hooks for module in model.modules())


def test_trace_adds_up_a_module_used_twice() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(relu)
    assert trace(model, lambda: model(model(torch.zeros(1, 2)))) == {"0": 16}


# --- memory and cores -------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes files of a pretended /proc and /sys/fs/cgroup; without a call there are none."""
    monkeypatch.setattr(batching, "PROC", tmp_path / "proc")
    monkeypatch.setattr(batching, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    for name in ("MEM_LIMIT", "CPU_LIMIT"):
        monkeypatch.delenv(name, raising=False)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("DOT", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


def test_budget_is_300_mb_where_nothing_is_known(machine: Callable[..., None]) -> None:
    assert memory_budget() == 300 * MB


def test_budget_is_a_quarter_of_what_is_free(machine: Callable[..., None]) -> None:
    machine(proc__meminfo="MemTotal: 9000 kB\nMemAvailable: 400000 kB")
    assert memory_budget() == 400_000 * 1024 // 4


def test_budget_is_at_most_300_mb(machine: Callable[..., None]) -> None:
    machine(proc__meminfo="MemAvailable: 64000000 kB")
    assert memory_budget() == 300 * MB


def test_budget_reads_cgroup_2(machine: Callable[..., None]) -> None:
    machine(
        proc__self__cgroup="0::/",
        cgroup__memoryDOTmax="1000000000",
        cgroup__memoryDOTcurrent="700000000",
        cgroup__memoryDOTstat="anon 600000000\ninactive_file 100000000",
    )
    assert memory_budget() == (300 + 100) * MB // 4


def test_budget_reads_the_tightest_of_nested_groups(machine: Callable[..., None]) -> None:
    machine(
        proc__self__cgroup="0::/slice/job",
        cgroup__slice__job__memoryDOTmax="max",
        cgroup__slice__job__memoryDOTcurrent="100000000",
        cgroup__slice__memoryDOTmax="300000000",
        cgroup__slice__memoryDOTcurrent="100000000",
    )
    assert memory_budget() == 200 * MB // 4


def test_budget_reads_cgroup_1(machine: Callable[..., None]) -> None:
    machine(
        proc__self__cgroup="5:cpu,cpuacct:/\n4:memory:/docker/gone",
        cgroup__memory__memoryDOTlimit_in_bytes="500000000",
        cgroup__memory__memoryDOTusage_in_bytes="100000000",
        cgroup__memory__memoryDOTstat="total_inactive_file 20000000",
    )
    assert memory_budget() == 420 * MB // 4


def test_budget_reads_the_hubs_limit(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(proc__self__statm="9999 1000 0 0 0 0 0")
    monkeypatch.setenv("MEM_LIMIT", str(200 * MB))
    assert memory_budget() == (200 * MB - 1000 * os.sysconf("SC_PAGE_SIZE")) // 4
    monkeypatch.setenv("MEM_LIMIT", "unlimited")
    assert memory_budget() == 300 * MB


def test_budget_is_never_negative(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(proc__self__statm="9999 100000 0 0 0 0 0")
    monkeypatch.setenv("MEM_LIMIT", "1000")
    assert memory_budget() == 0


def test_budget_on_a_gpu_is_a_quarter_of_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8_000 * MB, 16_000 * MB))
    assert memory_budget(torch.device("cuda")) == 2_000 * MB


def test_cores_are_torchs_own_number(machine: Callable[..., None]) -> None:
    assert cores() == 64


def test_cores_read_cgroup_2(machine: Callable[..., None]) -> None:
    machine(proc__self__cgroup="0::/", cgroup__cpuDOTmax="150000 100000")
    assert cores() == 2
    machine(cgroup__cpuDOTmax="max 100000")
    assert cores() == 64


def test_cores_read_cgroup_1(machine: Callable[..., None]) -> None:
    machine(proc__self__cgroup="5:cpu,cpuacct:/")
    machine(**{"cgroup__cpu,cpuacct__cpuDOTcfs_quota_us": "300000"})
    machine(**{"cgroup__cpu,cpuacct__cpuDOTcfs_period_us": "100000"})
    assert cores() == 3
    machine(**{"cgroup__cpu,cpuacct__cpuDOTcfs_quota_us": "-1"})
    assert cores() == 64


def test_cores_read_the_hubs_limit_and_the_affinity(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert cores() == 4
    monkeypatch.setenv("CPU_LIMIT", "0.5")
    assert cores() == 1
    monkeypatch.setenv("CPU_LIMIT", "many")
    assert cores() == 4


def test_a_crowded_machine_has_one_core_for_us(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (7.5, 0.0, 0.0))
    assert cores() == 1


# --- settings that are put back ---------------------------------------------------------------


@pytest.fixture
def four_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_threads_are_put_back(four_threads: None) -> None:
    with pytest.raises(ZeroDivisionError), threads(2):
        assert torch.get_num_threads() == 2
        with threads(3):  # within a pass that already has its number
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
        raise ZeroDivisionError
    assert torch.get_num_threads() == 4


def test_overlapping_passes_put_threads_back(four_threads: None) -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> int:
        with threads(1):
            first_in.set()
            second_in.wait(10)
        first_out.set()
        return torch.get_num_threads()

    def second() -> int:
        first_in.wait(10)
        with threads(1):  # this thread begins while the number is 1
            second_in.set()
            first_out.wait(10)
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        assert [future.result(20) for future in (pool.submit(first), pool.submit(second))] == [4, 4]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result(10) == 4


def test_cores_do_not_count_the_threads_of_a_pass(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    current = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: current[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: current.__setitem__(0, count))
    with threads(1):
        assert cores() == 8


def test_plan_sets_threads_only_inside(four_threads: None) -> None:
    seen = []

    def run(images: Tensor, channels_last: bool) -> Tensor:
        seen.append(torch.get_num_threads())
        return means(images)

    in_batches(run, torch.ones(4, 1, 1, 1), Plan(2, False, 3))
    assert seen == [3, 3]
    assert torch.get_num_threads() == 4
