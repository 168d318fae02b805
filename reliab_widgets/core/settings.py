"""Settings of the caller's thread that must not change what is computed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

NUMPYS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""What numpy does about such numbers unless it is told otherwise."""


@contextmanager
def usual() -> Iterator[None]:
    """Set inference mode, autocast, a default device and numpy's errors aside, in this thread.

    Examples
    --------
    >>> import torch
    >>> with torch.inference_mode(), usual():
    ...     print(torch.is_inference_mode_enabled())
    False
    """
    torch: Any = sys.modules.get("torch")  # who has not imported it has not set anything either
    with ExitStack() as stack:
        stack.enter_context(np.errstate(**NUMPYS))
        if torch is not None:
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
        yield
