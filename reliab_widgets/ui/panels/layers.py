"""A slider over the layers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as W

from ...core.subject import Subject
from ..controls import offer


class LayerSlider(W.SelectionSlider):
    """A slider over the layers of a result that can take any layer of the network.

    Parameters
    ----------
    subject : Subject
        Whose network.
    **named
        Of `ipywidgets.SelectionSlider`.
    """

    options: Any

    def __init__(self, subject: Subject, **named: Any) -> None:
        modules = {name for name, _ in subject.model.named_modules() if name}
        self._known = {"input", "logits", "probabilities"} | modules
        self.offered: Sequence[str] = ("input", "logits")
        super().__init__(options=self.offered, readout=False, **named)

    def take(self, layer: str) -> None:
        """Go to a layer, also to one that comes with the next result only."""
        if layer.split(" (")[0] not in self._known:
            raise ValueError("the network has no such layer")
        offer(self, dict.fromkeys([*self.offered, layer]), layer)
