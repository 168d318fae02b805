"""For every test: global settings stay as they were, and under CI no browser test skips."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

import random
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest
import torch


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
