"""Files of trained networks in the package: read, and verified against their records."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).parents[2] / "zoo" / "weights"
"""Where all weights lie: ``<name>.safetensors``, and the record of its making, ``<name>.json``."""


def in_the_box(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that have a record."""
    return tuple(name for name in names if (WEIGHTS / f"{name}.json").exists())


def tensors(name: str, folder: Path = WEIGHTS, what: str = "") -> dict[str, Tensor]:
    """Read weights, or ``what`` else lies beside them, and make sure that it is what was shipped.

    Raises
    ------
    ValueError
        A file is missing, or is not what was shipped.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    path = folder / f"{name}{what and '.'}{what}.safetensors"
    facts = facts_of(folder / f"{name}.json")
    expected = facts[what]["sha256"] if what else facts["sha256"]
    try:
        content = path.read_bytes()
        seen = hashlib.sha256(content).hexdigest()
        if seen != expected:
            raise damaged(path, f"its sha256 is {seen}, expected {expected}")
        return safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise damaged(path, str(error)) from error


def facts_of(path: Path) -> dict[str, Any]:
    """Read a JSON file of the package."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    return facts


def damaged(path: Path, seen: str) -> ValueError:
    """Say which file of the package is not what was shipped, and what to do."""
    return ValueError(
        f"{path} is missing or damaged: {seen}. Reinstall reliab_widgets "
        "(`pip install --force-reinstall --no-deps`), which brings the file back."
    )
