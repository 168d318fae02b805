"""What opens below the picture of a reliability analysis."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.engine import Cancelled
from ...core.subject import Subject
from ...core.wording import counted, percent, typeset
from ...ops.calibration.calibrators import Temperature
from ...ops.calibration.metrics import METRICS, NAMES, value
from ...ops.corruptions import severities
from ...ui import words, worker
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from ...ui.panels.panel import Panel
from .result import Reliability

if TYPE_CHECKING:
    from ...ui.explorer import Explorer

TOLD = 4
"""So many probabilities of an image are told."""
SOON = 0.1
"""Seconds after which measuring goes on when something else came first."""


class Members(Images):
    """The images of the chosen bin, wrong ones first."""

    name = "images of a bin"
    question = "Which images are in the chosen bin?"

    def made(self) -> Any:
        """Return the images, and what is said of one that is chosen."""
        self._picked = ""
        self._said = W.HTML()
        return W.VBox([super().made(), self._said])

    def choose(self, key: str) -> None:
        """Say what the network says of an image that was chosen."""
        self._picked = key
        self.explorer.repaint()

    def reset(self) -> None:
        """Choose none."""
        self._picked = ""

    def show(self, result: Reliability) -> None:
        """Show the first images of the bin that is chosen."""
        subject = self.explorer.subject
        chosen = self.explorer.chosen(result)["bin"]
        members, told = result.members(chosen), result.describe(chosen)
        if len(members):
            told += " · wrong ones first, the most confident before others"
        else:
            told += ". No image is that sure: choose another bin."
        picked = self._picked if self._picked in map(str, result.image[members]) else ""
        self.fill(
            (result, chosen),
            told,
            len(members),
            lambda some: _framed(subject, result, members[some]),
            picked,
        )
        words = _said(subject, result, int(picked)) if picked else "Choose an image to read more."
        self._said.value = html.escape(typeset(words)) if len(members) else ""


def _corruption(result: Reliability) -> Any:
    return severities.corruption(result.knobs["corruption"], result.knobs["seed"])


def _said(subject: Subject, result: Reliability, image: int) -> str:
    """Say which probabilities an image has, the largest first."""
    logits = subject.evaluate(_corruption(result)).numpy()[[image]].astype(np.float64)
    sure = result.calibrator(logits)[0]
    truth = int(subject.labels[image])
    first = np.argsort(-sure, kind="stable")[:TOLD].tolist()
    told = [f"{result.classes[k]} {percent(sure[k])}" for k in dict.fromkeys([*first, truth])]
    return f"Image {image} is {result.classes[truth]}. The network says: {', '.join(told)}."


def _framed(subject: Any, result: Reliability, points: np.ndarray) -> list[Framed]:
    index = result.image[points]
    images, corruption = subject.images[index], _corruption(result)
    if corruption is not None:
        images = corruption(images, subject.positions[index])
    framed = []
    for point, image in zip(points, images.numpy(), strict=True):
        truth, said = (result.classes[it[point]] for it in (result.truth, result.answer))
        held, answer, wrong = ("✓ " if result.hit[point] else "✗ "), said, not result.hit[point]
        if result.label != "top":  # not being a cat is nothing wrong
            every = result.classes[point % len(result.classes)]
            held, said, wrong = "", every if result.label == "all" else result.label, False
        sure = result.confidence[point]
        told = (
            f"image {result.image[point]}: is {truth}, predicted {answer}; "
            f"confidence in {said} {percent(sure)}"
        )
        title = short(f"{held}{said} {percent(sure, 0)}", 24)
        key = str(result.image[point])
        framed.append(Framed(image, title, short(f"is {truth}", 24), told, key, wrong))
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
        """Return a button that begins or stops, and a table."""
        self._asked: list[str] = []
        self._rows: dict[str, Reliability] = {}
        self._of: dict[str, Any] = {}  # the settings of the rows
        self._table = W.HTML("Every corruption is a pass over all images; fitted on clean ones.")
        self._begin = self.button("Measure", "Evaluate every corruption, or stop", self._toggle)
        return W.VBox([self._begin, self._table], layout=W.Layout(align_items="flex-start"))

    def show(self, result: Reliability) -> None:
        """Let the rows follow the settings: logits that were measured once are kept."""
        if self._asked:
            self._later(0)

    def _toggle(self) -> None:
        if self._missing():
            self._asked = list(self._rows)
            self._tell()
        else:
            self._asked = [name for _, name in self.explorer.controls["corruption"].options]
            self.explorer.aside(self.name, lambda: self._later(0), lambda _: None)

    def _later(self, seconds: float) -> None:
        """Measure when nothing else is to be done; called on the worker."""
        worker.put_off((self.explorer.runner.owner, self.name), self._measure, seconds)

    def _missing(self) -> list[str]:
        return [name for name in self._asked if name not in self._rows]

    def _measure(self, job: worker.Job) -> None:
        explorer, knobs = self.explorer, self.explorer.knobs()
        if self._of != (of := knobs | {"corruption": None}):
            self._rows, self._of = {}, of

        def check(*_: int) -> None:
            job.check()
            if not self._missing():  # stopped
                raise Cancelled

        begun, had = time.monotonic(), len(self._rows)
        try:
            while missing := self._missing():
                done = len(self._rows) - had
                self._tell((time.monotonic() - begun) / done * len(missing) if done else 0)
                result = explorer.work.compute(check, knobs | {"corruption": missing[0]})
                self._rows[missing[0]] = result
        except Cancelled:
            if not job.cancelled:
                self._later(SOON)  # somebody else came first
                return
            self._asked = list(self._rows)
        except Exception as error:
            self._asked = list(self._rows)
            explorer.page.show_error(error)
        self._tell()

    def _tell(self, left: float = 0) -> None:
        """Show the rows that there are, of how many, and the seconds until the last."""
        missing, most = self._missing(), len(self.explorer.controls["corruption"].options)
        done = len(self._rows)
        self._begin.description = "Stop" if missing else "Measure"
        state = "measuring" if missing else "stopped" if done < most else "measured"
        told = f"{state}: {done} of {most}"
        if left >= 1:
            told += f", {words.duration(left)} left"
        if not self._rows:
            self._table.value = told
            return
        rows = [
            [
                name,
                *(percent(result.metric(it)) for it in ("accuracy", "confidence", "ece")),
                percent(result.ece_floor),
            ]
            for name, result in self._rows.items()
        ]
        head = ["images", "is right", "says", "ECE", "ECE of a perfect model"]
        one = next(iter(self._rows.values()))
        told += f" · {counted(one.n)}, {repair(self.explorer, one)}"
        self._table.value = told + words.cells(head, rows)


def repair(explorer: Explorer, result: Reliability) -> str:
    """Say in the words of the controls how the confidences were calibrated."""
    calibrator = result.calibrator
    if not isinstance(calibrator, Temperature):
        names = explorer.words["method"].options
        return "no repair" if result.method == "none" else names.get(result.method, result.method)
    how = "fitted" if result.n_fitted else "set by hand"
    return f"T = {calibrator.temperature:.2f} {how}"


def _points(gap: float) -> str:
    return f"{gap * 100:+.1f}".replace("-", "−")
