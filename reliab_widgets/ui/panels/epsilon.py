"""What goes with the slider of epsilon: how it is written, and step sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as W
import numpy as np

from ...core.wording import grey_levels
from ...ops.attacks.knobs import EPSILONS
from ..controls import offer


def written(norm: str) -> Callable[[float], str]:
    """Return what writes an epsilon: in grey levels, or where it is a length as that."""
    return partial(grey_levels, norm=norm)


class StepSizes(W.Dropdown):
    """A list of step sizes in the units of the norm that epsilon bounds; it can take any other."""

    options: Any

    def __init__(self, **named: Any) -> None:
        self.norm = "Linf"
        super().__init__(options=self._texts(self.usual[0]), **named)

    @property
    def usual(self) -> tuple[float, ...]:
        """The sizes that are offered."""
        return EPSILONS[self.norm][:8]

    def take(self, size: float) -> None:
        """Choose a size, whichever it is."""
        offer(self, self._texts(size), size)

    def near(self, size: float) -> float:
        """Return the offered size that a computed one is, but for rounding; or that itself."""
        return next((one for one in self.usual if np.isclose(one, size)), size)

    def _texts(self, size: float) -> list[tuple[str, float]]:
        write = written(self.norm)
        return [(write(one), one) for one in sorted({*self.usual, size})]
