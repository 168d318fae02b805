"""The knobs of the pruning analysis: a sweep that grows, then a slider that answers at once."""

from __future__ import annotations

from typing import Any

import ipywidgets as W
import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from ...drawing import short
from ...engine import Progress, ticking
from ...ops.agreement import spearman
from ...ops.calibration import percent, softmax
from ...ops.pruning.structure import structure
from ...ops.pruning.sweep import explanation
from ...ops.untrained import untrained
from ...result import Result
from ...subject import Subject, check_subject
from ...ui import inputs, pictures
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from .compute import LEVELS, growing
from .result import Pruning

SHOWN = 5
"""How many flipped images are shown."""
VIEWS = ("level", "temperature", "image")
"""Knobs that change what is shown, not what is computed."""


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
    >>> widget = PruningWidget(rw.demo("resnet20"), preset={"images": 64, "fit_images": 50})
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
<li><b>Images</b> whose answer is another one: before → after. ✓ right, ✗ wrong: flips go both
ways.</li>
<li><b>Explanation</b> of the chosen image (integrated gradients, signed): blue speaks for the
class, orange against it. ρ is Spearman's rank correlation with the map of the whole network; the
untrained network is the control.</li>
<li><b>Temperature</b>: none, that of the whole network, or fitted again to the pruned one, on
other images than those reported.</li></ul>"""

    def __init__(self, subject: Subject, *, train: Subject | None = None, **options: Any) -> None:
        check_subject(subject)
        picker = Picker(subject)
        self._which, self._train = picker.which, train
        self._points: dict[Any, dict[Any, Any]] = {}
        self._maps: dict[Any, np.ndarray] = {}
        layers = [layer.name for layer in structure(subject).layers]
        some = [n for n in (64, 128, 256, 512, 1000) if n < len(subject)]
        most = len(subject) if subject.validation is not None else len(subject) // 2
        ranked = most if subject.validation is None else len(subject.validation)
        controls = {
            "level": W.SelectionSlider(
                options=[(f"{level:.0%}", level) for level in (0.0, *LEVELS)],
                value=0.1,
                description="remove",
                tooltip="Which part is removed; instant once it is computed",
            ),
            "criterion": inputs.choice(
                "criterion",
                [
                    ("Taylor (batches)", "taylor"),
                    ("Taylor (images)", "taylor-fg"),
                    ("Taylor, 2nd order", "taylor-so"),
                    ("weight norm", "weight"),
                    *([("batch norm", "bn-scale")] if structure(subject).scales else []),
                    ("random", "random"),
                    ("single weights", "magnitude"),
                ],
                "What goes first",
            ),
            "temperature": inputs.choice(
                "T",
                [("of the whole", "old"), ("fitted again", "refitted"), ("none", "raw")],
                "Temperature that the logits are divided by",
            ),
            "protect": inputs.choice(
                "protect",
                [("nothing", ()), ("first layer", (layers[0],))],
                "Layers that keep all their filters",
            ),
            "image": picker,
            "scope": inputs.choice("part of", [("filters", "filters"), ("multiply-adds", "flops")]),
            "images": inputs.choice(
                "reported",
                [(f"{n} images", n) for n in (*some, most)],
                "On how many images",
            ),
            "fit_images": inputs.choice(
                "ranked on",
                [(f"{n} images", n) for n in (*(n for n in (50, 200, 500) if n < ranked), ranked)],
                "How many images filters are ranked and temperatures fitted on",
            ),
            "rounds": inputs.choice(
                "rounds",
                [("1: rank once", 1), ("2", 2), ("5", 5), ("10", 10)],
                "How many times filters are ranked",
            ),
            "finetune": inputs.choice(
                "fine-tune",
                [("off", 0), *([(f"{n} batches", n) for n in (20, 50, 100, 200)] if train else [])],
                "Batches trained on after each removal, on the given training images",
            ),
            "seed": inputs.seed(),
        }
        if 256 in some:
            controls["images"].value = 256
        if ranked > 200:
            controls["fit_images"].value = 200
        self._flip = W.Dropdown(
            options=[("none", -1)],
            description="flips",
            tooltip="Take one of the images whose answer is another one",
            layout=W.Layout(width="auto"),
            style={"description_width": "70px"},
        )
        self._flip.observe(self._on_flip, "value")
        self._explained = W.HTML(layout=W.Layout(height="72px", flex="0 0 292px"))
        self._flips = W.HTML(layout=W.Layout(height="72px", flex="1 1 200px", overflow="hidden"))
        super().__init__(
            self._sweep,
            subject,
            controls,
            fold=("scope", "images", "fit_images", "rounds", "finetune", "seed"),
            **options,
        )

    def _arrange(self, fold: Any, show_code: bool) -> list[W.Widget]:
        parts = super()._arrange(fold, show_code)
        self.detail.children = (W.HBox([self._flips, self._explained]),)
        *controls, more, folded = self.side.children
        self.side.children = (*controls, self._flip, more, folded)
        self._folded.children = (*self._folded.children, self._which)
        self._which.layout.width = "auto"
        self._which.style.description_width = "70px"
        return parts

    # ------------------------------------------------------------------ settings
    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        return {name: value for name, value in self.state().items() if name not in VIEWS}

    def _changed(self, change: Any) -> None:
        views = [self.controls[name] for name in VIEWS]
        if self.is_quiet or change["owner"] not in views:
            super()._changed(change)
        elif self._result is not None:  # nothing to compute, and nothing to stop
            self._guard(lambda: self._paint(self._result))
            self._remember(self.state())

    def _on_flip(self, change: Any) -> None:
        if not self.is_quiet and change["new"] is not None and change["new"] >= 0:
            self.controls["image"].value = change["new"]

    # ------------------------------------------------------------------ the sweep
    def _sweep(
        self,
        subject: Subject,
        *,
        executor: Any = None,
        progress: Progress = None,
        **knobs: Any,
    ) -> Pruning:
        """Compute all levels; show the curve after each, and keep what was computed."""
        known = self._points.setdefault(repr(sorted(knobs.items())), {})
        options = {"explain": 0, "attacked": 0, "timed": 0, "fit": None}
        train = {"train": self._train if knobs["finetune"] else None}
        with ticking(progress) as tick:
            grown = growing(
                subject,
                levels=LEVELS,
                known=known,
                executor=executor,
                progress=tick,
                **options,
                **train,
                **knobs,
            )
            for result in grown:
                if len(result.levels) <= len(LEVELS):
                    self._error, self._result = None, result
                    self._paint(result)
        return result

    # ------------------------------------------------------------------ the picture
    def _level(self, result: Pruning) -> float:
        """Return the level of the slider, or the nearest one that is computed."""
        levels = result.levels
        return float(levels[np.abs(levels - self.controls["level"].value).argmin()])

    def chips(self, result: Any) -> list[str]:
        """Return which images are reported and ranked on, and what could not be removed."""
        if not isinstance(result, Pruning):
            return super().chips(result)
        index = int(self.controls["image"].value)
        sure = softmax(self.subject.predict(self.subject.images[index : index + 1]).cpu().numpy())[
            0
        ]
        truth, answer = (
            self.subject.classes[int(k)] for k in (self.subject.labels[index], sure.argmax())
        )
        image = f"image {index} is {truth}, says {answer} {percent(sure.max())}"
        return [self.subject.name, image, result.split, *self.subject.notes, *result.notes]

    def sentence(self, result: Any) -> str:
        """Say what the level does."""
        if not isinstance(result, Pruning):
            return super().sentence(result)
        level = self._level(result)
        words = result.describe(level)
        cost = result.multiply_adds[0, result.at(level)] / result.multiply_adds[0, 0]
        if cost < 1:
            words += f" {cost:.0%} of the multiply-adds are left."
        return words

    def table(self, result: Any) -> DataFrame | None:
        """Return the sweep: one row a level."""
        if not isinstance(result, Pruning):
            return None
        temperature = self.controls["temperature"].value
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

    def draw(self, result: Result, figure: Figure) -> None:
        """Draw, with the level of the slider marked."""
        assert isinstance(result, Pruning)
        result.draw(
            figure,
            pinned=self._pinned,
            level=self._level(result),
            temperature=self.controls["temperature"].value,
        )

    def shown(self, result: Any) -> None:
        """Show the images whose answer is another one, and the explanation of the chosen image."""
        level = self._level(result)
        self._offer_flips(result, result.at(level))
        self._flips.value = self._flip_strip(result, level)
        self._explained.value = self._explanation(result, level)

    def _offer_flips(self, result: Pruning, place: int) -> None:
        rows = np.flatnonzero(result.flipped[0, place])
        before, after = (result.logits[0, k].argmax(-1) for k in (0, place))
        options = [
            (f"{result.index[row]}: {names[0]} → {names[1]}", int(result.index[row]))
            for row in rows
            for names in [[result.classes[answers[row]] for answers in (before, after)]]
        ]
        with self.quiet():
            self._flip.options = [(f"{len(rows)} of {result.n}", -1), *options]
            index = self.controls["image"].value
            self._flip.value = index if index in result.index[rows] else -1

    def _flip_strip(self, result: Pruning, level: float) -> str:
        place = result.at(level)
        rows = np.flatnonzero(result.flipped[0, place])
        if not len(rows):
            return f"{level:.0%}: no answer is another one."
        before, after = (result.logits[0, k].argmax(-1) for k in (0, place))
        sure = result.probabilities(place).max(1)
        strip = []
        for row in rows[np.argsort(-sure[rows], kind="stable")][:SHOWN]:
            names = [result.classes[answers[row]] for answers in (before, after)]
            marks = [
                "✓" if answers[row] == result.truth[row] else "✗" for answers in (before, after)
            ]
            image = int(result.index[row])
            strip.append(
                pictures.thumbnail(
                    self.subject.images[image].numpy(),
                    f"{marks[0]}{short(names[0], 8)}\n→{marks[1]}{short(names[1], 8)}",
                    f"image {image}: is {result.classes[result.truth[row]]}, was {names[0]}, "
                    f"is now {names[1]}, {sure[row]:.0%} sure",
                    34,
                )
            )
        right = [int((answers[rows] == result.truth[rows]).sum()) for answers in (before, after)]
        words = f"{len(rows)} of {result.n} flip:<br>{right[0]} were right,<br>{right[1]} are now"
        head = f'<figure style="width: 92px; text-align: left">{words}</figure>'
        return pictures.strip([head, *strip])

    def _explanation(self, result: Pruning, level: float) -> str:
        if result.criterion == "magnitude":
            return ""
        index = int(self.controls["image"].value)
        image = self.subject.images[index : index + 1]
        target = int(self.subject.predict(image).argmax())
        name = self.subject.classes[target]
        networks = {
            "whole": ("", lambda: self.subject),
            f"{level:.0%}": ((result.source, level), lambda: result.variant(level)),
            "untrained": (
                "untrained",
                lambda: untrained(self.subject, self.controls["seed"].value),
            ),
        }
        for key, network in networks.values():
            if (key, index) not in self._maps:
                self._maps[key, index] = explanation(network(), index, target)
        maps = np.stack([self._maps[key, index] for key, _ in networks.values()])
        agreed = spearman(maps)[0]
        strip = [pictures.thumbnail(image[0].numpy(), f"image {index}", f"image {index}", 40)]
        for row, (network_name, values) in enumerate(zip(networks, maps, strict=True)):
            # One pixel in fifty may be off the scale: a few are far above all others.
            size = float(np.quantile(np.abs(values), 0.98))
            words = _agreement(agreed[row]) if row else short(name, 8)
            colours = pictures.coloured(values, -size, size, signed=True)
            title = f"image {index}, why {name}: network {network_name}, {words}"
            if not np.ptp(values):
                title += "; flat: no pixel changes what is left"
            strip.append(pictures.thumbnail(colours, f"{network_name}\n{words}", title, 40))
        strip.append(pictures.scale(-1, 1, "each map's own 98 % quantile", signed=True))
        return pictures.strip(strip)


def _agreement(rho: float) -> str:
    """Write a rank correlation; a flat map has none."""
    return f"ρ {rho:.2f}".replace("-", "−") if np.isfinite(rho) else "ρ –"
