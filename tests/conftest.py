"""For every test: global settings stay as they were, under CI no browser test skips, and one that
takes long has a reason."""

import os

os.environ.setdefault("MPLBACKEND", "agg")
# In workers, kernels and scripts too: on a shared core, threads wait for each other for minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest
import torch

SECONDS = 20  # what a test may need without a reason


def _settings() -> dict[str, object]:
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "number of threads": torch.get_num_threads(),
        "grad mode": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": np.geterr(),
        "working directory": os.getcwd(),
    }


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    """Seed the global generators, so that order does not matter, and put them back afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    before = _settings()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    after = _settings()
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, f"the test left global settings changed: {changed}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Under CI a browser or kernel test that skips has failed: nobody would notice otherwise."""
    report = yield
    needed = item.get_closest_marker("browser") or item.get_closest_marker("kernel")
    if report.skipped and needed and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though CI must run it: {report.longrepr[2]}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker waits for the other at the end."""
    for item in items:
        for mark in item.iter_markers("slow"):
            assert mark.args, f"{item.nodeid} is slow without a reason"
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what took long without a reason. That fails nobody: the machine may be to blame."""
    took: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and "slow" not in report.keywords:
                took[report.nodeid] += report.duration
    for name, seconds in took.most_common():
        if seconds > SECONDS:
            terminalreporter.write_line(
                f"{name} took {seconds:.0f} s: make it faster, or mark it slow with the reason"
            )
