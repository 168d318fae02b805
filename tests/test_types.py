"""The types are right: a test like any other, so that it runs beside the others."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow("mypy reads the whole package, and torch")
def test_mypy_finds_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mypy"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
