"""What is special about the widget of the reliability analysis: words, order, panels."""

from __future__ import annotations

from typing import Any

from ...core.subject import Subject, check_subject
from ...core.wording import counted
from ...ops.calibration.calibrators import Temperature
from ...ui.controls import Words
from ...ui.explorer import Explorer
from ...ui.special import UNCHANGED, Sent
from ...ui.words import Chip
from .compute import reliability
from .panels import Corruptions, Members, Numbers, PerClass, repair
from .result import Reliability
from .sentences import reach


class ReliabilityWidget(Explorer):
    """A reliability diagram under sliders: drag T, and the points climb to the diagonal.

    Parameters
    ----------
    subject : Subject
        What is examined. A calibration is fitted on ``subject.validation`` if there is one,
        otherwise on half of the images.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"images of a bin"``, ``"numbers"``, ``"per class"``,
        ``"corruptions"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> widget = rw.widgets.ReliabilityWidget(rw.demo("resnet20")[:200])
    >>> widget.set(method="temperature", temperature=1.0).result.metric("ece") < 0.2
    True
    >>> widget.close()
    """

    question = "When it says 90 %, is it right 9 times in 10?"
    height = 338
    about = """<ul>
<li><b>Grey boxes</b>: where 95 % of a perfectly calibrated model's points lie, at as many images.
<b>Blue circle</b>: the images of one bin of confidence, inside its box; its area grows with their
number. <b>Orange diamond</b>: outside. The <b>stem</b> is the gap to the promise.</li>
<li><b>Hollow circle</b>: before the repair. <b>Hollow diamond</b>: what you pinned.</li>
<li><b>Bars</b>: images for each bin. <b>Click a bin</b>, or go to it with Tab and the arrow keys:
the panel “images of a bin” shows its images.</li>
<li><b>Drag the ring</b> under the curve: T divides all logits, which changes no prediction. The
triangle is the T fitted on other images than those evaluated, always clean ones: <b>click</b> it or
its words to take it. Before that it is hollow, where the loss of these images is least.</li>
<li><b>ECE</b>: mean gap, weighted by number. <b>NLL</b>: mean of −log of the probability of the
true class. Intervals: bootstrap over the images. <b>Perfect model</b>: the ECE that a perfectly
calibrated model shows by chance.</li>
</ul>"""
    words = {  # noqa: RUF012
        "corruption": Words("Corruption", "Of the evaluated images", {"clean": "none"}),
        "label": Words("Confidence of", "", {"top": "predicted class", "all": "all classes"}),
        "method": Words(
            "Repair",
            "How the confidences are calibrated",
            {
                "binwise": "bin-wise T",
                "binwise-augmented": "bin-wise T, augmented",
                "histogram": "histogram binning",
                "isotonic": "isotonic regression",
                "base-rates": "base rates (a cheat)",
            },
        ),
        "bins": Words("Bins", "Number of confidence bins"),
        "binning": Words("Bins of equal", "", {"mass": "count"}, switch=True),
        "calibration_images": Words("Fitted on", "How many images are fitted on", auto="all"),
        "calibration_bins": Words(
            "Fitted bins", "Bins of the bin-wise calibrations and of histogram binning"
        ),
        "interval": Words("Interval", "Level of the intervals", write=lambda it: f"{it * 100:g} %"),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("corruption", "label", "method", "bins", "binning")
    fold = ("calibration_images", "calibration_bins", "interval", "seed")
    marks = {"bin": int, "temperature": float, "method": str}  # noqa: RUF012
    panels = (Members, Numbers, PerClass, Corruptions)
    shares = {"seed": "seed"}  # noqa: RUF012
    makes = ("corrupted",)
    applied = {"method": "none"}  # noqa: RUF012

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        self._best: float | None = None
        super().__init__(reliability, subject, **options)

    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: a temperature has its own method."""
        if name == "temperature" and value is not None:
            return {"method": "temperature"}
        return {"temperature": None} if name == "method" else {}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: a bin that it has, the T once fitted."""
        views = super().views() | {"narrow": self.page.picture.live.narrow}
        result = self.work.result
        if result is not None and (views["bin"] or 0) >= len(result.after.count):
            views["bin"] = None
        return views if self._best is None else views | {"best": self._best}

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return the bin that is chosen: by default that whose gap costs most."""
        return {"bin": result.costliest} | super().chosen(result)

    def chips(self, result: Any) -> list[Any]:
        """Return which images are evaluated and what is shown of them."""
        if not isinstance(result, Reliability):
            return super().chips(result)
        corruption, variant = result.knobs["corruption"], self.pictured != UNCHANGED
        images = [self.pictured] if variant else []
        images += [] if variant and corruption == "clean" else [f"{corruption} images"]
        shows = f"shows: {', '.join(images)}, {repair(self, result)}"
        return [self.subject.name, result.split, Chip(shows, "shows")]

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of the model and the repair."""
        notes = (*self.subject.notes, *result.calibrator.notes)
        return " ".join((super().sentence(result), *(f"Note: {note}." for note in notes)))

    def sends(self, result: Any) -> list[Sent]:
        """Return the temperature that was fitted or chosen, and the images of the bin."""
        kept = []
        factor = getattr(result.calibrator, "temperature", 1.0)
        if abs(factor - 1) >= 0.005:  # else it is what is there already
            kept.append(Sent(f"apply T = {factor:.2f}", "temperature", factor))
        bin = int(self.chosen(result)["bin"])
        images = tuple(int(it) for it in dict.fromkeys(result.image[result.members(bin)].tolist()))
        if images:
            name = f"of the bin {reach(result, bin)}"
            kept.append(Sent(f"{counted(len(images))} of the bin", "images", (name, images)))
        return kept

    def examined(self) -> None:
        """Forget the temperature of an earlier network."""
        self._best = None

    def shown(self, result: Any) -> None:
        """Remember the temperature that was fitted, so that a hand can be compared with it."""
        calibrator = result.calibrator
        if result.n_fitted and isinstance(calibrator, Temperature):
            self._best = calibrator.temperature
        with self.settings.quiet():
            if (self.controls["bin"].value or 0) >= len(result.after.count):
                self.controls["bin"].value = None
            self.controls["calibration_images"].resolve(result.n_fitted or None)
