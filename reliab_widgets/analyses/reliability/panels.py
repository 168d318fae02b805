"""What opens below the picture of a reliability analysis."""

from __future__ import annotations

from typing import Any

import ipywidgets as W
import numpy as np
import torch

from ...core.drawing import short
from ...core.wording import percent
from ...ops.calibration.metrics import METRICS, NAMES, value
from ...ops.corruptions import severities
from ...ui import words
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from ...ui.panels.panel import Panel
from .result import Reliability


class Members(Images):
    """The images of the chosen bin, wrong ones first."""

    name = "images of a bin"
    question = "Which images are in the chosen bin?"

    def show(self, result: Reliability) -> None:
        """Show the first images of the bin that is chosen."""
        chosen = self.explorer.chosen(result)["bin"]
        members, told = result.members(chosen), result.describe(chosen)
        if len(members):
            told += " · wrong ones first, the most confident before others"
        else:
            told += ". No image is that sure: choose another bin."
        self.fill(
            (result, chosen),
            told,
            len(members),
            lambda some: _framed(self.explorer.subject, result, members[some]),
        )


def _framed(subject: Any, result: Reliability, points: np.ndarray) -> list[Framed]:
    images = subject.images[result.image[points]]
    corruption = severities.corruption(result.knobs["corruption"], result.knobs["seed"])
    if corruption is not None:
        images = corruption(images, torch.from_numpy(result.image[points]))
    framed = []
    for point, image in zip(points, images.numpy(), strict=True):
        truth, said = (result.classes[it[point]] for it in (result.truth, result.answer))
        held, answer, wrong = ("✓ " if result.hit[point] else "✗ "), said, not result.hit[point]
        if result.label not in ("top", "all"):
            held, said, wrong = "", result.label, False  # not being a cat is nothing wrong
        sure = result.confidence[point]
        told = (
            f"image {result.image[point]}: is {truth}, predicted {answer}; "
            f"confidence in {said} {percent(sure)}"
        )
        title = short(f"{held}{said} {percent(sure, 0)}", 24)
        framed.append(Framed(image, title, short(f"is {truth}", 24), told, warns=wrong))
    return framed


class Numbers(Panel):
    """All metrics, before and after, with their intervals."""

    name = "numbers"
    question = "How large are all the errors?"

    def show(self, result: Reliability) -> None:
        """Show a table of the metrics."""
        calibrated = result.method != "none"
        level = percent(result.knobs["interval"], 0)
        head = ["", *(("before", "after") if calibrated else ("value",)), f"{level} interval"]
        rows = []
        for k, name in enumerate(METRICS):
            before, after = (
                value(name, v[k]) for v in (result.metrics_before, result.metrics_after)
            )
            low, high = (value(name, v[k]) for v in (result.metrics_low, result.metrics_high))
            rows.append(
                [
                    NAMES[name],
                    *((before, after) if calibrated else (after,)),
                    f"{low.removesuffix(' %')}–{high}",
                ]
            )
        floor = value("ece", result.ece_floor)
        rows.append(["ECE of a perfect model", *[""] * calibrated, floor, f"at n = {result.n:,}"])
        if not np.isnan(result.ece_fit):
            fitted = value("ece", result.ece_fit)
            rows.append(["ECE on the images fitted on", *[""] * calibrated, fitted, "not held out"])
        self.body.value = words.cells(head, rows)


class PerClass(Panel):
    """For each predicted class: how sure, and how often right."""

    name = "per class"
    question = "Of which predictions is it too sure?"

    def show(self, result: Reliability) -> None:
        """Show a table, the largest gap first."""
        if result.label != "top":
            self.body.value = "Choose “predicted class” as the confidence to see it per class."
            return
        rows = []
        for number, name in enumerate(result.classes):
            mine = result.answer == number
            if mine.any():
                says, right = result.confidence[mine].mean(), result.hit[mine].mean()
                rows.append((says - right, name, int(mine.sum()), says, right))
        rows.sort(key=lambda row: -abs(row[0]))
        self.body.value = words.cells(
            ["predicted", "images", "says", "is right", "says too much, points"],
            [
                [name, f"{n:,}", percent(says), percent(right), _points(gap)]
                for gap, name, n, says, right in rows
            ],
        )


class Corruptions(Panel):
    """Accuracy and calibration of corrupted images, under the same repair; a job."""

    name = "corruptions"
    question = "Does the promise hold when the images get worse?"

    def made(self) -> Any:
        """Return a button that begins, and a table."""
        self._table = W.HTML()
        begin = self.button("Measure", "Evaluate every corruption; takes a while", self._measure)
        return W.VBox([begin, self._table])

    def show(self, result: Reliability) -> None:
        """Say what will be measured; what was measured stays, with what it was measured of."""
        if not self._table.value:
            self._table.value = "Every corruption is a pass over all images; fitted on clean ones."

    def _measure(self) -> None:
        explorer, knobs = self.explorer, self.explorer.knobs()
        names = [name for _, name in explorer.controls["corruption"].options]

        def measure(progress: Any) -> list[Reliability]:
            return explorer.work.compute_each(progress, knobs, "corruption", names)

        def show(results: list[Reliability]) -> None:
            rows = [
                [
                    str(result.knobs["corruption"]),
                    *(percent(result.metric(name)) for name in ("accuracy", "confidence", "ece")),
                    percent(result.ece_floor),
                ]
                for result in results
            ]
            head = ["images", "is right", "says", "ECE", "ECE of a perfect model"]
            n, method = results[0].n, results[0].method
            self._table.value = f"{n:,} images, repair: {method}{words.cells(head, rows)}"

        explorer.runner.run(measure, show)


def _points(gap: float) -> str:
    return f"{gap * 100:+.1f}".replace("-", "−")
