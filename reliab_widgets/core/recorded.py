"""Logits without the network that gave them: what most people who calibrate have."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from .network import Network
from .readings import check_finite
from .wording import problem


class Recorded(Network):
    """Stands for a network that is not there: nothing can be passed through it.

    Parameters
    ----------
    classes : int
        The number of columns of the logits.

    Raises
    ------
    ValueError
        Whatever needs a network says so.
    """

    recorded = True
    kind = "logits"
    draws = False
    gradients = False
    blocked = "there are recorded logits, no network that could be differentiated"

    def __init__(self, classes: int) -> None:
        self.classes, self.device = classes, torch.device("cpu")
        self.mean = self.std = self.output = None
        self.notes = ("logits only: what needs a network or images cannot be examined",)
        self.lock = threading.RLock()
        self._plans = {}

    def missing(self, *_: Any, **__: Any) -> NoReturn:
        """Say that there is no network."""
        raise ValueError(
            problem(
                "there are only logits",
                "this needs the network that gave them, or images",
                "Pass subject=rw.Subject(model, images, labels); "
                "rw.reliability works without, on clean images",
            )
        )

    model = property(missing)
    check_gradients = logits = infer = plan = trace = copied = accept = missing

    @cached_property
    def digest(self) -> bytes:
        """Hash of what is known of the network."""
        return hashlib.sha256(f"recorded {self.classes}".encode()).digest()


def check_logits(given: Any, name: str = "logits") -> Tensor:
    """Return logits as a new (N, K) float32 tensor on the CPU, K >= 2.

    Raises
    ------
    TypeError, ValueError
        They are no table of finite numbers.

    Examples
    --------
    >>> check_logits([[0, 1], [2.5, 0]])
    tensor([[0.0000, 1.0000],
            [2.5000, 0.0000]])
    """
    try:
        array = given.detach().cpu() if isinstance(given, Tensor) else torch.tensor(np.array(given))
    except (TypeError, ValueError, RuntimeError) as error:
        fix = f"Pass {name}= as a tensor or numpy array of (N, K)"
        seen = f"got {type(given).__name__}"
        raise TypeError(problem(f"{name} cannot be made one table", seen, fix)) from error
    seen = f"got {str(array.dtype).removeprefix('torch.')} of shape {tuple(array.shape)}"
    if array.is_complex() or array.dtype == torch.bool:
        raise TypeError(problem(f"{name} must be numbers", seen, f"Pass {name}= as floats"))
    if array.ndim != 2 or not array.numel() or array.shape[1] < 2:
        fix = f"Pass {name}= as (N, K), a column for each class"
        if array.ndim == 1 or array.shape[-1] == 1:
            fix += "; of one logit z for two classes, make np.stack([0 * z, z], 1)"
        raise ValueError(problem(f"{name} must be a table", seen, fix))
    logits = array.to(torch.float32, copy=True).contiguous()
    check_finite(logits, "given")
    inside = bool(((logits >= 0) & (logits <= 1)).all())
    if inside and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        fix = f"Pass {name}=np.log(probabilities + 1e-12), which softmax turns back"
        raise ValueError(problem(f"{name} are probabilities", "every row sums to 1", fix))
    return logits
