"""The control that chooses one image of a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np
import torch
import traitlets

if TYPE_CHECKING:
    from ..core.subject import Subject

CHUNK = 32
"""Images looked at in one go when searching, so that a hit near by costs little."""
CERTAIN, UNSURE = 0.95, 0.6


class Picker(W.HBox):
    """A number box with ◀ ▶ ⚂: the next, the previous, or any image of those that ``which`` admits.

    It begins with the first image of which the model is right but not certain.

    Parameters
    ----------
    subject : Subject
        Whose images are chosen from.
    certain : bool
        Whether it begins instead with the one, of the first 32, of which the model is right and
        most certain: where something is to change its mind, that should take some doing.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> picker = Picker(rw.demo("resnet20"))
    >>> picker.value = 7
    >>> picker.step(1)
    >>> picker.value
    8
    """

    value = traitlets.Int(0, help="Index of the chosen image.")
    min = traitlets.Int(0, help="The first image that can be chosen.")
    max = traitlets.Int(0, help="The last one.")
    description = "image"
    disabled = traitlets.Bool(False, help="Whether the image is given.")

    def __init__(self, subject: Subject, certain: bool = False) -> None:
        self._subject = subject
        self._dice = np.random.default_rng(0)
        self.which = W.Dropdown(
            options=[("all images", "all"), ("wrong ones", "wrong"), ("unsure ones", "unsure")],
            description="◀ ▶ in",
            tooltip="Which images the buttons beside the image's number stop at",
        )
        box = W.BoundedIntText(
            0,
            0,
            len(subject) - 1,
            description=self.description,
            tooltip=f"Index of the image, 0 to {len(subject) - 1}",
            layout=W.Layout(width="116px"),
            style={"description_width": "42px"},
        )
        steps = {"◀": -1, "▶": 1, "⚂": 0}
        tips = {-1: "Previous image", 1: "Next image", 0: "Any image"}
        buttons = []
        for text, way in steps.items():
            button = W.Button(
                description=text, tooltip=tips[way], layout=W.Layout(width="32px", padding="0")
            )
            button.on_click(lambda _, way=way: self.step(way))
            buttons.append(button)
        super().__init__([box, *buttons], layout=W.Layout(width="224px"))
        self.add_class("rw-picker")
        self.max = box.max
        for name in ("min", "max", "value"):
            traitlets.link((self, name), (box, name))
        for part in (box, *buttons):
            traitlets.dlink((self, "disabled"), (part, "disabled"))
        self.value = self._first(certain)

    @traitlets.validate("value")
    def _inside(self, proposal: Any) -> int:
        return int(np.clip(proposal["value"], self.min, self.max))

    @traitlets.observe("min", "max")
    def _narrowed(self, _: Any) -> None:
        self.value = int(np.clip(self.value, self.min, self.max))

    def examine(self, subject: Subject) -> None:
        """Choose among the images of this subject."""
        self._subject, self.max = subject, len(subject) - 1

    def step(self, way: int) -> None:
        """Go to the next (1), the previous (-1) or any (0) image that ``which`` admits."""
        n = self.max - self.min + 1
        here = self.value - self.min
        order = (here + way * np.arange(1, n)) % n if way else self._dice.permutation(n)
        order += self.min
        found = order[:1] if self.which.value == "all" else self._search(order)
        if len(found):
            self.value = int(found[0])

    def _search(self, order: np.ndarray) -> np.ndarray:
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            sure, right = self._look(part)
            admitted = ~right if self.which.value == "wrong" else sure < UNSURE
            if admitted.any():
                return part[admitted][:1]
        return order[:0]

    def _first(self, certain: bool) -> int:
        part = np.arange(min(CHUNK, len(self._subject)))
        sure, right = self._look(part)
        return int(np.argmax(right * sure if certain else right & (sure < CERTAIN)))

    def _look(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell how sure the model is of some images, and whether it is right."""
        few = self._subject[part]
        confidence, answer = torch.softmax(few.logits, 1).max(1)
        return confidence.numpy(), (answer == few.labels).numpy()
