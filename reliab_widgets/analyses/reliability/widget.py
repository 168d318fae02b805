"""The knobs of the reliability analysis."""

from __future__ import annotations

import html
import math
from typing import Any

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure

from ...ops import shifts
from ...ops.calibrators import Temperature
from ...result import Result
from ...subject import Subject, check_subject
from ...ui import inputs, pictures
from ...ui.explorer import Explorer
from .compute import reliability
from .result import Reliability

SHOWN = 9
"""How many images of a bin are shown."""
STEP = 0.005
"""Of the temperature's slider, in powers of ten."""
REPAIRS = (
    ("none", "none"),
    ("temperature", "temperature"),
    ("bin-wise T", "binwise"),
    ("bin-wise T, augmented", "binwise-augmented"),
    ("histogram binning", "histogram"),
    ("isotonic", "isotonic"),
    ("base rates (cheat)", "base-rates"),
)


class ReliabilityWidget(Explorer):
    """A reliability diagram under sliders: drag T, and the points climb to the diagonal.

    Parameters
    ----------
    subject : Subject
        What is examined. A repair is fitted on ``subject.validation`` if there is one, otherwise
        on half of the images.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``show_code``, ``cache``, ``executor``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> widget = rw.widgets.ReliabilityWidget(rw.demo("resnet20")[:200])
    >>> widget.set(method="temperature", temperature=1.0).result.metric("ece") < 0.2
    True
    >>> widget.close()
    """

    question = "When it says 90 %, is it right 9 times in 10?"
    height = 324
    about = """<ul>
<li><b>Filled blue circle</b>: the images of one bin of confidence, after the repair; its area grows
with their number. The thick <b>stem</b> is the gap to the promise, the thin bar the interval of the
accuracy (Wilson).</li>
<li><b>Hollow orange circle</b>: the same before the repair. <b>Yellow diamond</b>: what you
pinned.</li>
<li><b>Dotted line</b>: perfectly calibrated. <b>Hatched</b>: no image has such a confidence.</li>
<li><b>Below</b>: number of images for each bin (root scale); dashed line: mean confidence,
solid line: share that is right. They should meet.</li>
<li><b>ECE</b>: mean gap, weighted by number. <b>MCE</b>: largest gap. <b>ACE</b>: ECE with equally
filled bins. <b>smECE</b>: ECE without bins. <b>NLL</b>, <b>Brier</b>: proper scores, which also
reward being right. "ECE if perfect": what a perfectly calibrated model would show by chance.</li>
</ul>"""

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        validation = subject.validation
        self._all = max(1, len(subject) // 2) if validation is None else len(validation)
        sizes = [n for n in (50, 100, 200, 300, 500, 1000) if n < self._all]
        # A multiple of the step, so that the arrow keys come back to 1.
        temperature = W.FloatLogSlider(
            1.0, base=10, min=-0.7, max=1, step=STEP, description="T",
            readout_format=".2f", tooltip="Temperature: the logits are divided by it",
        )  # fmt: skip
        controls = {
            "method": inputs.choice("Repair", REPAIRS, tip="How the confidences are repaired"),
            "temperature": temperature,
            "bins": inputs.whole("bins", 15, 3, 50, "Number of confidence bins"),
            "binning": inputs.choice("binning", [("equal width", "width"), ("equal mass", "mass")]),
            "label": inputs.choice(
                "class",
                [
                    ("top answer", "top"),
                    ("all, class-wise", "all"),
                    *zip(subject.classes, subject.classes, strict=True),
                ],
            ),
            "shift": inputs.choice("shift", shifts.names(), tip="Corruption of the images"),
            "fit_images": inputs.choice(
                "fitted on",
                [(f"all {self._all:,}", self._all), *((f"{n} images", n) for n in sizes)],
            ),
            "calibration_bins": inputs.whole(
                "repair bins", 10, 2, 50, "Bins of the bin-wise repairs and of histogram binning"
            ),
            "interval": inputs.choice("interval", [("95 %", 0.95), ("90 %", 0.9), ("99 %", 0.99)]),
            "seed": inputs.seed(),
        }
        self._fitted = True
        self._bin = W.IntSlider(
            0, 0, 14, description="bin", tooltip="Bin whose images are shown",
            layout=W.Layout(width="190px"),
        )  # fmt: skip
        self._bin.style.description_width = "28px"
        self._described = W.HTML(layout=W.Layout(flex="1 1 auto"))
        self._members = W.HTML(layout=W.Layout(min_height="76px"))
        self._chosen = False
        self._temperature = 1.0
        super().__init__(
            reliability,
            subject,
            controls,
            fold=("fit_images", "calibration_bins", "interval", "seed"),
            **options,
        )

    def _arrange(self, fold: Any, show_code: bool) -> list[W.Widget]:
        parts = super()._arrange(fold, show_code)
        self.detail.children = (W.HBox([self._bin, self._described]), self._members)
        fit = self._button("Fit T", "Take the T of least NLL on the images to fit on", self._on_fit)
        fit.layout.margin = "0 0 6px 88px"
        self.side.children = (*self.side.children[:2], fit, *self.side.children[2:])
        self._bin.observe(self._on_bin, "value")
        return parts

    def _on_fit(self) -> None:
        self.set(method="temperature", temperature=None)

    def state(self) -> dict[str, Any]:
        """Return the value of every knob: a fitted temperature and all fit images are None."""
        state = super().state()
        given = state["method"] == "temperature" and not self._fitted
        # A drop-down list that is given None shows nothing at all: "all" is a number there.
        few = state["fit_images"] != self._all
        return state | {
            "temperature": self._temperature if given else None,
            "fit_images": state["fit_images"] if few else None,
        }

    def assign(self, name: str, value: Any) -> None:
        """Put one knob's value into its control; a temperature brings its repair with it."""
        if name == "fit_images":
            super().assign(name, self._all if value is None else value)
        elif name != "temperature":
            super().assign(name, value)
        elif value is None:
            self._fitted = True
        else:
            super().assign("method", "temperature")
            self._fitted = False
            self._temperature = value
            super().assign(name, value)

    def _changed(self, change: Any) -> None:
        if change["owner"] is self.controls["temperature"]:
            # The front end sends back whatever it is told to show, rounded to its step.
            if abs(math.log10(change["new"] / self._temperature)) < 0.51 * STEP:
                return
            if not self.is_quiet:
                self._assign({"temperature": change["new"]})
        super()._changed(change)

    def _on_reset(self) -> None:
        self._chosen = False
        super()._on_reset()

    def _on_bin(self, change: Any) -> None:
        if not self.is_quiet:
            self._chosen = True
        self._changed(change)

    def chips(self, result: Any) -> list[str]:
        """Return which images are reported and fitted on, and what the fit has to say."""
        if not isinstance(result, Reliability):
            return super().chips(result)
        notes = (*self.subject.notes, *result.calibrator.notes)
        return [self.subject.name, result.split, f"images: {result.shift}", *notes]

    def draw(self, result: Result, figure: Figure) -> None:
        """Draw, with the chosen bin marked; until one is chosen, the one that costs most."""
        assert isinstance(result, Reliability)
        if self._bin.value >= result.after.count.size or not self._chosen:
            gaps = np.abs(result.after.accuracy - result.after.confidence) * result.after.count
            with self.quiet():
                self._bin.max = result.after.count.size - 1
                self._bin.value = int(np.nanargmax(gaps))
        result.draw(figure, pinned=self._pinned, selected=self._bin.value)

    def shown(self, result: Any) -> None:
        """Show the fitted temperature and the images of the bin."""
        calibrator = result.calibrator
        if self._fitted:
            fitted = calibrator.temperature if isinstance(calibrator, Temperature) else 1.0
            self._temperature = float(np.clip(fitted, 0.2, 10))
            with self.quiet():
                self.controls["temperature"].value = self._temperature
        with self.quiet():
            self._bin.max = result.after.count.size - 1
        self._described.value = html.escape(result.describe(self._bin.value))
        self._members.value = self._strip(result)

    def _strip(self, result: Reliability) -> str:
        members = result.members(self._bin.value)
        if not len(members):
            return "Nothing to show here: choose another bin, or fewer of them."
        first = members[:SHOWN]
        images = self.subject.images[result.image[first]]
        corruption = shifts.shift(result.shift, self.controls["seed"].value)
        if corruption is not None:
            images = corruption(images, torch.from_numpy(result.image[first]))
        strip = []
        for point, image in zip(first, images.numpy(), strict=True):
            truth, answer = (
                result.classes[result.truth[point]],
                result.classes[result.answer[point]],
            )
            held = "✓ " if result.hit[point] else "✗ "
            said = answer
            if result.label not in ("top", "all"):
                held, said = "", result.label  # not being a cat is nothing wrong
            sure = result.confidence[point]
            strip.append(
                pictures.thumbnail(
                    image,
                    f"{held}{said} {sure:.0%}\nis {truth}",
                    f"image {result.image[point]}: is {truth}, answered {answer}; "
                    f"confidence in {said} {sure:.1%}",
                )
            )
        return pictures.strip(strip)
