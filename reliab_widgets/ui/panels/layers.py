"""The choice of a layer in a picture."""

from __future__ import annotations

from typing import Any

from ...core.subject import Subject
from ..controls import Marked


class LayerMark(Marked):
    """A layer that is chosen in the picture; any layer of the network, also of a later result.

    Parameters
    ----------
    subject : Subject
        Whose network.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.examine(subject)

    def examine(self, subject: Subject) -> None:
        """Choose among the layers of this network; what it has not is chosen no longer."""
        modules = {name for name, _ in subject.model.named_modules() if name}
        self._known = {"input", "logits", "probabilities"} | modules
        if self.value is not None and self.value.split(" (")[0] not in self._known:
            self.value = None

    def take(self, value: Any) -> None:
        """Choose a layer that the network has."""
        if value is not None and value.split(" (")[0] not in self._known:
            raise ValueError("the network has no such layer")
        super().take(value)
