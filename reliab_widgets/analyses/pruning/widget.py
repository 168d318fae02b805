"""What is special about the widget of the pruning analysis: its words, menus and panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np

from ...core.engine import Recent
from ...core.knobs import AnotherSubject
from ...core.subject import Subject, check_subject
from ...core.wording import percent
from ...ops.calibration.metrics import softmax
from ...ops.pruning.structure import structure
from ...ui.controls import Words
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from .compute import LEVELS, pruning
from .panels import Asked, Explanation, Flips
from .result import Pruning

if TYPE_CHECKING:
    from pandas import DataFrame

BATCHES = (20, 50, 100, 200)


class PruningWidget(Explorer):
    """Filters go, and the widget shows for whom: classes, answers, confidences, explanations.

    The sweep over all levels is a job whose curve grows from coarse to fine; after it, or after
    Cancel, the slider answers at once.

    Parameters
    ----------
    subject : Subject
        What is examined. Filters are ranked, and temperatures fitted, on ``subject.validation`` if
        there is one, otherwise on half of the images.
    train : Subject, optional
        Training images; with them the pruned networks can be trained a little.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``show_code``, ``cache``, ``executor``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> few = {"images": 64, "calibration_images": 50}
    >>> widget = rw.widgets.PruningWidget(rw.demo("resnet20"), preset=few)
    >>> widget.set(level=0.05).result.n
    64
    >>> widget.close()
    """

    question = "What does the average hide when the network gets thin?"
    height = 336
    about = """<ul>
<li><b>Above</b>: <b>blue circles</b>: accuracy, with its 95 % interval. <b>Orange crosses</b>:
accuracy of the class that is worst off. <b>Green diamonds</b>: expected calibration error (ECE),
with the temperature that is chosen. <b>Grey, dashed</b>: the control, as many filters removed at
random, five times; the band is their range. <b>Dotted</b>: always naming the largest class.
<b>Yellow diamonds</b>: what you pinned; the yellow bar marks the level.</li>
<li><b>Below, at that level</b>: the change of each class in points of accuracy; the share of the
filters that each layer really lost (some can only go together); what confidences are worth: grey
rings before, blue diamonds after, dotted line: a kept promise.</li>
<li><b>Images</b> whose prediction changes: before → after. ✓ right, ✗ wrong: flips go both
ways.</li>
<li><b>Explanation</b> of the chosen image (integrated gradients, signed): blue speaks for the
class, orange against it. ρ is Spearman's rank correlation with the map of the whole network; the
untrained network is the control.</li>
<li><b>Temperature</b>: none, that of the whole network, or fitted again to the pruned one, on
other images than those reported.</li></ul>"""

    words = {  # noqa: RUF012
        "criterion": Words(
            "criterion",
            "What goes first",
            {
                "taylor": "Taylor (batches)",
                "taylor-fg": "Taylor (images)",
                "taylor-so": "Taylor, 2nd order",
                "weight": "weight norm",
                "bn-scale": "batch norm",
                "magnitude": "single weights",
            },
        ),
        "temperature": Words(
            "T",
            "Temperature that the logits are divided by",
            {"old": "of the whole", "refitted": "fitted again", "raw": "none"},
        ),
        "scope": Words("part of", options={"flops": "multiply-adds"}),
        "rounds": Words("rounds", "How many times filters are ranked", {1: "1: rank once"}),
        "seed": Words("seed", "Of everything that is drawn by chance"),
    }
    front = ("level", "criterion", "temperature", "protect", "image")
    fold = ("scope", "images", "calibration_images", "rounds", "finetune", "seed")

    def __init__(self, subject: Subject, *, train: Subject | None = None, **options: Any) -> None:
        check_subject(subject)
        if train is not None:
            AnotherSubject().check("train", train, subject)
        self._train = train
        self._picker = Picker(subject)
        self._flips = Flips(subject, lambda image: self._picker.set_trait("value", image))
        self._explanation = Explanation(subject)
        self._answers = Recent(32)
        super().__init__(pruning, subject, self._menus(subject), **options)

    def _menus(self, subject: Subject) -> dict[str, W.Widget]:
        """Return the controls whose values the kinds do not know."""
        first = structure(subject).layers[0].name
        most = len(subject) if subject.validation is not None else len(subject) // 2
        some = [n for n in (64, 128, 256, 512, 1000) if n < most]
        ranked = most if subject.validation is None else len(subject.validation)
        few = [n for n in (50, 200, 500) if n < ranked]
        return {
            "level": W.SelectionSlider(
                options=[(f"{level:.0%}", level) for level in (0.0, *LEVELS)],
                value=0.1,
                description="remove",
                tooltip="Which part is removed; instant once it is computed",
            ),
            "protect": W.Dropdown(
                options=[("nothing", ()), ("first layer", (first,))],
                description="protect",
                tooltip="Layers that keep all their filters",
            ),
            "image": self._picker,
            "images": W.Dropdown(
                options=[(f"{n} images", n) for n in (*some, most)],
                value=min(256 if len(subject) > 256 else 64, most),
                description="reported",
                tooltip="On how many images",
            ),
            "calibration_images": W.Dropdown(
                options=[(f"{n} images", n) for n in (*few, ranked)],
                value=200 if 200 in few else (*few, ranked)[0],
                description="ranked on",
                tooltip="How many images filters are ranked and temperatures fitted on",
            ),
            "finetune": W.Dropdown(
                options=[("off", 0), *((f"{n} batches", n) for n in BATCHES if self._train)],
                description="fine-tune",
                tooltip="Batches trained on after each removal, on the given training images",
            ),
        }

    def arrange(self) -> list[W.Widget]:
        """Return the usual parts, with the images that flip and the explanation."""
        parts = super().arrange()
        self.page.detail.children = (W.HBox([self._flips.widget, self._explanation.widget]),)
        *controls, more, folded = self.page.side.children
        self.page.side.children = (*controls, self._flips.menu, more, folded)
        which = self._picker.which
        which.layout.width = "auto"
        which.style.description_width = "70px"
        self.page.folded.children = (*self.page.folded.children, which)
        return parts

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        knobs = super().knobs()
        return knobs | {"train": self._train if knobs["finetune"] else None}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: the level is one that is computed."""
        views, result = super().views(), self.work.result
        if isinstance(result, Pruning):
            views["level"] = result.nearest(views["level"])
        return views

    def chips(self, result: Any) -> list[str]:
        """Return which images are reported and ranked on, and what could not be removed."""
        if not isinstance(result, Pruning):
            return super().chips(result)
        index = self.views()["image"]
        sure = self._sure(index)
        truth, answer = (
            self.subject.classes[int(k)] for k in (self.subject.labels[index], sure.argmax())
        )
        image = f"image {index} is {truth}, says {answer} {percent(sure.max())}"
        return [self.subject.name, image, result.split, *self.subject.notes, *result.notes]

    def _sure(self, index: int) -> np.ndarray:
        """Return what the whole network says of an image, as probabilities."""
        if index not in self._answers:
            logits = self.subject.predict(self.subject.images[index : index + 1])
            self._answers[index] = softmax(logits.cpu().numpy())[0]
        probabilities: np.ndarray = self._answers[index]
        return probabilities

    def table(self, result: Any) -> DataFrame | None:
        """Return the sweep: one row a level."""
        from pandas import DataFrame

        if not isinstance(result, Pruning):
            return None
        temperature = self.views()["temperature"]
        return DataFrame(
            {
                "accuracy": result.accuracy[0],
                "random removal": result.accuracy[1:].mean(0),
                "worst class": result.worst[0],
                "other answers": result.flipped[0].mean(-1),
                "ECE": result.calibration[f"ece {temperature}"][0],
                "multiply-adds": result.multiply_adds[0] / result.multiply_adds[0, 0],
            },
            index=[f"{level:.0%}" for level in result.levels],
        )

    def shown(self, result: Any) -> None:
        """Show the images whose prediction changes, and the explanation of the chosen image."""
        views = self.views()
        level, image = views["level"], views["image"]
        self._flips.show(result, level, image)
        asked = Asked(result, level, image, int(self._sure(image).argmax()))
        if not self._explanation.show(asked):
            panel = self._explanation
            self.aside("explanation", panel.compute, lambda _: panel.show())
