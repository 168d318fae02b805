"""What is special about the widget of the reliability analysis: words, order, images of a bin."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as W
import torch

from ...core.subject import Subject, check_subject
from ...ops.calibration.calibrators import Temperature
from ...ops.corruptions import severities
from ...ui import pictures
from ...ui.controls import AutoBox, Words
from ...ui.explorer import Explorer
from .compute import reliability
from .result import Reliability

SHOWN = 9
"""How many images of a bin are shown."""


class ReliabilityWidget(Explorer):
    """A reliability diagram under sliders: drag T, and the points climb to the diagonal.

    Parameters
    ----------
    subject : Subject
        What is examined. A calibration is fitted on ``subject.validation`` if there is one,
        otherwise on half of the images.
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
<li><b>Filled blue circle</b>: the images of one bin of confidence, after calibration; its area
grows with their number. The thick <b>stem</b> is the gap to the promise, the thin bar the interval
of the accuracy (Wilson).</li>
<li><b>Hollow orange circle</b>: the same before calibration. <b>Yellow diamond</b>: what you
pinned.</li>
<li><b>Dotted line</b>: perfectly calibrated. <b>Hatched</b>: no image has such a confidence.</li>
<li><b>Below</b>: number of images for each bin (root scale); dashed line: mean confidence,
solid line: share that is right. They should meet.</li>
<li><b>ECE</b>: mean gap, weighted by number. <b>MCE</b>: largest gap. <b>ACE</b>: ECE with equally
filled bins. <b>smECE</b>: ECE without bins. <b>NLL</b>, <b>Brier</b>: proper scores, which also
reward being right. "ECE if perfect": what a perfectly calibrated model would show by chance.</li>
</ul>"""
    words = {  # noqa: RUF012
        "method": Words(
            "Calibrate",
            "How the confidences are calibrated",
            {
                "binwise": "bin-wise T",
                "binwise-augmented": "bin-wise T, augm.",
                "histogram": "histogram binning",
                "base-rates": "base rates (cheat)",
            },
        ),
        "temperature": Words("T", "Temperature: the logits are divided by it", auto="fit"),
        "bins": Words("bins", "Number of confidence bins"),
        "binning": Words("binning", "", {"width": "equal width", "mass": "equal mass"}),
        "label": Words("class", "", {"top": "top answer", "all": "all, class-wise"}),
        "corruption": Words("corruption", "Corruption of the reported images"),
        "calibration_images": Words("fitted on", "How many images are fitted on", auto="all"),
        "calibration_bins": Words(
            "fitted bins", "Bins of the bin-wise calibrations and of histogram binning"
        ),
        "interval": Words("interval", "Level of the intervals", write=lambda it: f"{it * 100:g} %"),
        "seed": Words("seed", "Of everything that is drawn by chance"),
    }
    front = ("method", "temperature", "bins", "binning", "label", "corruption")
    fold = ("calibration_images", "calibration_bins", "interval", "seed")

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        bins = W.IntSlider(0, 0, 14, description="bin", tooltip="Bin whose images are shown")
        self._bin = AutoBox(bins, word="worst")
        self._described = W.HTML(layout=W.Layout(flex="1 1 auto"))
        self._members = W.HTML(layout=W.Layout(min_height="76px"))
        super().__init__(reliability, subject, {"bin": self._bin}, **options)

    def arrange(self) -> list[W.Widget]:
        """Return the usual parts, and the images of a bin below the picture."""
        parts = super().arrange()
        self._bin.inner.style.description_width = "28px"
        self._bin.layout.width = "230px"
        self.page.detail.children = (W.HBox([self._bin, self._described]), self._members)
        return parts

    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: a temperature has its own method."""
        if name == "temperature" and value is not None:
            return {"method": "temperature"}
        if name == "method" and value != "temperature":
            return {"temperature": None}
        return {}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: no bin that it has not."""
        views, result = super().views(), self.work.result
        if result is not None and (views["bin"] or 0) >= len(result.after.count):
            views["bin"] = None
        return views

    def chips(self, result: Any) -> list[str]:
        """Return which images are reported and fitted on, and what the fit has to say."""
        if not isinstance(result, Reliability):
            return super().chips(result)
        notes = (*self.subject.notes, *result.calibrator.notes)
        return [self.subject.name, result.split, f"images: {result.knobs['corruption']}", *notes]

    def shown(self, result: Any) -> None:
        """Show the fitted temperature and the images of the bin."""
        calibrator = result.calibrator
        fitted = calibrator.temperature if isinstance(calibrator, Temperature) else 1.0
        with self.settings.quiet():
            self.controls["temperature"].resolve(min(max(fitted, 0.2), 10.0))
            self.controls["calibration_images"].resolve(result.n_fitted or None)
            self._bin.reach(len(result.after.count) - 1)
            self._bin.resolve(result.costliest)
        number = self._bin.inner.value
        self._described.value = html.escape(result.describe(number))
        self._members.value = self._strip(result, number)

    def _strip(self, result: Reliability, number: int) -> str:
        members = result.members(number)
        if not len(members):
            return "Nothing to show here: choose another bin, or fewer of them."
        first = members[:SHOWN]
        images = self.subject.images[result.image[first]]
        corruption = severities.corruption(result.knobs["corruption"], result.knobs["seed"])
        if corruption is not None:
            images = corruption(images, torch.from_numpy(result.image[first]))
        strip = []
        for point, image in zip(first, images.numpy(), strict=True):
            truth, said = (result.classes[it[point]] for it in (result.truth, result.answer))
            held, answer = "✓ " if result.hit[point] else "✗ ", said
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
