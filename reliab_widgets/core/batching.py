"""Forward passes that fit the machine, and leave its global settings as they found them."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, thread_time

import torch
from torch import Tensor, nn

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")

LARGEST_BATCH = 32
"""On a CPU, where an image in a batch of 64 costs no less; a GPU takes eight times as many."""
LARGEST_BUDGET = 300_000_000  # bytes: what a 2 GB classroom container can spare
LONGEST_PASS = 1.0  # seconds, so that Cancel, which comes between two batches, answers in time
QUICK_PASS = 0.0125  # seconds of one image: where so few tell little, eight are timed
TURNS = 4


@dataclass(frozen=True)
class Plan:
    """How many images a pass takes, in which memory format, on how many threads.

    Examples
    --------
    >>> Plan(64).halved()
    Plan(batch=32, channels_last=False, threads=1)
    """

    batch: int
    channels_last: bool = False
    threads: int = 1

    def halved(self) -> Plan:
        """Return the plan to go on with when memory ran out."""
        return replace(self, batch=max(1, self.batch // 2))


def in_batches(
    run: Callable[[Tensor, bool], Tensor], images: Tensor, plan: Plan
) -> tuple[Tensor, Plan]:
    """Run a function over images batch by batch; out of memory, go on with half the batch.

    Parameters
    ----------
    run : callable
        ``run(images, channels_last)`` for a part of ``images``; gives one row per image.
    images : Tensor
        (n, C, H, W) with n >= 1.
    plan : Plan
        What to begin with.

    Returns
    -------
    tuple of Tensor and Plan
        The rows of all images, and the plan that worked.

    Raises
    ------
    MemoryError
        If not even one image fits.

    Examples
    --------
    >>> images = torch.ones(5, 1, 2, 2)
    >>> rows, plan = in_batches(lambda images, _: images.mean((2, 3)), images, Plan(2))
    >>> rows.shape, plan.batch
    (torch.Size([5, 1]), 2)
    """
    parts: list[Tensor] = []
    start = 0
    with threads(plan.threads):
        while start < len(images):
            part = images[start : start + plan.batch]
            try:
                parts.append(run(part, plan.channels_last))
                start += len(part)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise MemoryError(
                        f"one image does not fit into memory: got {tuple(part.shape[1:])}, with "
                        f"{memory_budget() / 1e6:.0f} MB of main memory to spare. Free some "
                        "memory, give smaller images=, or choose another device=."
                    ) from error
                plan = replace(plan, batch=len(part)).halved()
    return torch.cat(parts), plan


def out_of_memory(error: BaseException) -> bool:
    """Tell whether this is how torch, on any device, says that memory ran out.

    Examples
    --------
    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    """
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        words in text for words in ("can't allocate memory", "not enough memory", "out of memory")
    )


def probe(
    run: Callable[[int, bool], object],
    image_bytes: int,
    budget: int,
    most_threads: int,
    on_cpu: bool = True,
) -> Plan:
    """Find a good plan, the same one each time, by a few passes of at most eight images.

    The batch is as large as pays, fits the memory budget and, as far as one can tell, takes no more
    than a second. The memory format is compared by the processor time of one thread, which other
    work hardly changes, and channels_last is taken if in doubt: it gains with the batch. Threads
    are compared by their worst pass, not their typical one: on a shared machine two threads that
    wait for each other can be ten times slower now and then.

    Parameters
    ----------
    run : callable
        ``run(batch, channels_last)`` makes one pass; it may raise where the network cannot work
        with that memory format or where memory runs out, then that choice is not taken.
    image_bytes : int
        What one image needs, in bytes.
    budget : int
        What a batch may need, in bytes.
    most_threads : int
        The largest number of threads to try.
    on_cpu : bool
        Whether the passes are computed there.

    Returns
    -------
    Plan
        Its batch is a power of two.

    Examples
    --------
    >>> probe(lambda batch, channels_last: None, image_bytes=100, budget=250, most_threads=1).batch
    2
    """
    clock = thread_time if on_cpu else perf_counter
    one = _seconds(run, Plan(1), clock)
    if one < LONGEST_PASS / 8:  # the first pass of a network is slow and tells little
        one = min(_seconds(run, Plan(1), clock) for _ in range(3))
    largest = LARGEST_BATCH if on_cpu else 8 * LARGEST_BATCH
    fits = min(largest, budget / max(1, image_bytes), LONGEST_PASS / max(one, 1e-6))
    plan = Plan(_power_of_two(fits))
    sample = min(plan.batch, 8 if one < QUICK_PASS else 1)

    turns = TURNS if one < QUICK_PASS else 1

    def times(clock: Callable[[], float], *choices: Plan) -> Iterator[list[list[float]]]:
        # In turns, so that a busy moment hits all; the first time warms up.
        rounds = []
        for turn in range(turns):
            rounds.append([_seconds(run, it, clock) for it in choices])
            if turn or turns == 1:
                yield [list(column)[turns > 1 :] for column in zip(*rounds, strict=True)]

    *_, (usual, last) = times(clock, Plan(sample), Plan(sample, True))
    plan = replace(plan, channels_last=min(last) < 1.1 * min(usual))
    if most_threads > 1:
        formats = (replace(plan, batch=sample, threads=n) for n in (1, most_threads))
        both = times(perf_counter, *formats)
        # It ends with the first time that did not help: on a busy machine trying takes long.
        if all(max(several) < 0.9 * min(single) for single, several in both):
            plan = replace(plan, threads=most_threads)
    return plan


def _seconds(run: Callable[[int, bool], object], plan: Plan, clock: Callable[[], float]) -> float:
    with threads(plan.threads):
        start = clock()
        try:
            run(plan.batch, plan.channels_last)
        except (RuntimeError, MemoryError) as error:
            # `view` refuses channels_last; anything else is for the real pass to report.
            if plan.channels_last or out_of_memory(error):
                return math.inf
            raise
        return clock() - start


def _power_of_two(value: float) -> int:
    return 2 ** max(0, int(math.log2(max(1.0, value))))


def trace(model: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Name the `leaves` that take part in a pass, in order, with the bytes of their output.

    Parameters
    ----------
    model : torch.nn.Module
        Left without hooks afterwards; passes of other threads are not counted.
    run : callable
        Makes the pass.

    Returns
    -------
    dict
        Bytes by module name; their sum is what a backward pass would have to keep.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> trace(model, lambda: model(torch.zeros(1, 1, 2, 2)))
    {'0': 16, '1': 8}
    """
    sizes: dict[str, int] = {}
    me = threading.get_ident()

    def note(name: str, output: object) -> None:
        # A hook belongs to the module, not to the thread that asked for it.
        if threading.get_ident() == me and isinstance(output, Tensor):
            sizes[name] = sizes.get(name, 0) + output.nbytes

    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
        for name, module in leaves(model).items()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without children, and convolutions and linear layers, whatever is inside.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> list(leaves(nn.Sequential(layer, nn.ReLU())))
    ['0', '1']
    """
    whole = {module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    inside = {child for module in whole for child in module.modules() if child is not module}
    return {
        name: module
        for name, module in model.named_modules()
        if module in whole or not any(module.children())
        if module not in inside
    }


# --- what the machine gives -------------------------------------------------------------------


def memory_budget(device: torch.device | None = None) -> int:
    """Return the bytes that one batch may take: a quarter of what is free, at most 300 MB on a CPU.

    What is free is the least of what the machine, the container (cgroup 1 or 2) and a JupyterHub's
    ``MEM_LIMIT`` leave; on a GPU, what the GPU says.

    Examples
    --------
    >>> 0 <= memory_budget() <= 300_000_000
    True
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    return min(LARGEST_BUDGET, max(0, min(_free_memory(), default=4 * LARGEST_BUDGET)) // 4)


def memory() -> tuple[int, int]:
    """Return the bytes that this process has in memory and those that are free; 0 if unknown.

    Examples
    --------
    >>> used, free = memory()
    >>> used >= 0 and free >= 0
    True
    """
    return _resident(), max(0, min(_free_memory(), default=0))


def _free_memory() -> Iterator[int]:
    for line in _read(PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])
    limit = os.environ.get("MEM_LIMIT", "")
    if limit.isdecimal():
        yield int(limit) - _resident()
    for group in _groups("memory"):
        stat = dict(line.split() for line in _read(group / "memory.stat").splitlines())
        for most, used, file in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            bounds = _read(group / most).strip(), _read(group / used).strip()
            if all(bound.isdecimal() for bound in bounds):
                # Pages of files are counted as used, but are given back on demand.
                yield int(bounds[0]) - int(bounds[1]) + int(stat.get(file, 0))


def _resident() -> int:
    pages = _read(PROC / "self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def cores() -> int:
    """Return how many threads are worth trying: torch's number, unless the container gives less.

    On a crowded machine that is one: threads that wait for each other there can turn a pass of
    milliseconds into seconds, so that even trying costs too much.

    Examples
    --------
    >>> 1 <= cores() <= torch.get_num_threads()
    True
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.1 * (os.cpu_count() or 1):
        return 1
    found: list[float] = [_outside if _inside_anywhere else torch.get_num_threads()]
    if hasattr(os, "sched_getaffinity"):
        found.append(len(os.sched_getaffinity(0)))
    with suppress(KeyError, ValueError):
        found.append(float(os.environ["CPU_LIMIT"]))
    for group in _groups("cpu"):
        quota = _read(group / "cpu.max").split() or [
            _read(group / f"cpu.cfs_{word}_us").strip() for word in ("quota", "period")
        ]
        if all(word.isdecimal() and int(word) > 0 for word in quota):
            found.append(int(quota[0]) / int(quota[1]))
    return max(1, math.ceil(min(found)))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, innermost first."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUP / controllers  # version 2 names no controllers and has one tree
        group = root / path.lstrip("/")
        yield group
        while group != root:
            group = group.parent
            yield group


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


# --- what is put back -------------------------------------------------------------------------

_lock = threading.Lock()
_here = threading.local()
_outside = 1  # the number of threads while no pass runs
_inside_anywhere = 0  # how many Python threads are in a pass


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use this many threads inside the block; nested in another block, do nothing.

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    global _inside_anywhere, _outside
    if getattr(_here, "inside", False):
        yield
        return
    with _lock:
        # A Python thread that is new inherits the number another pass has just set, so what to
        # go back to is what the first of the passes that overlap has found.
        if _inside_anywhere == 0:
            _outside = torch.get_num_threads()
        _inside_anywhere += 1
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
    _here.inside = True
    try:
        yield
    finally:
        _here.inside = False
        with _lock:
            _inside_anywhere -= 1
            if torch.get_num_threads() != _outside:
                torch.set_num_threads(_outside)
