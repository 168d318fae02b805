"""What a reliability analysis gives back: its numbers, its sentence and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Flag, Kind, Real, Text, Whole
from ...core.result import Result
from ...ops.calibration.bins import Bins
from ...ops.calibration.calibrators import Calibrator, Temperature
from ...ops.calibration.metrics import METRICS, NAMES, value
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Result):
    """Reliability before and after a calibration, on images that it was not fitted on.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    n, n_fitted : int
        How many images are reported on, and fitted on.
    split : str
        Which images are reported on and which were fitted on, in words.
    before, after : Bins
        The two diagrams.
    metrics_before, metrics_after, metrics_low, metrics_high : numpy.ndarray
        ``(8,)``, in the order of ``METRICS``; low and high bound ``metrics_after`` (bootstrap over
        the reported images, the calibration held fixed).
    ece_floor : float
        Mean ECE that a perfectly calibrated model would show on as many images.
    ece_fit : float
        ECE on the images fitted on, NaN if none were.
    calibrator : Calibrator
        Maps logits ``(N, K)`` to probabilities ``(N, K)``.
    image, truth, answer, confidence, hit : numpy.ndarray
        One entry for every point that was binned: the image's index in the subject, its label,
        the answer after it, the confidence in per unit and whether it held.
    curve_temperature, curve_nll, curve_ece : numpy.ndarray
        NLL (nats) and ECE of the reported images at other temperatures.
    """

    version: ClassVar[int] = 2

    facts: ClassVar[tuple[str, ...]] = (
        "len(image) == n * (K if knobs['label'] == 'all' else 1)",
        "before.count.sum() == len(image) and after.count.sum() == len(image)",
        "calibrator.classes in (0, len(classes))",
        "knobs['label'] in ('top', 'all', *classes)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {
        "label": Text(),
        "method": Text(),
        "corruption": Text(),
        "interval": Real(above=0, below=1),
    }

    classes: Annotated[tuple[str, ...], Array("K")]
    n: Annotated[int, Array("", int, least=1)]
    n_fitted: Annotated[int, Array("", int, least=0)]
    split: str
    before: Bins
    after: Bins
    metrics_before: Annotated[np.ndarray, Array("8", least=0, nan=True, inf=True)]
    metrics_after: Annotated[np.ndarray, Array("8", least=0, nan=True, inf=True)]
    metrics_low: Annotated[np.ndarray, Array("8", least=0, most="metrics_high", nan=True, inf=True)]
    metrics_high: Annotated[np.ndarray, Array("8", least=0, nan=True, inf=True)]
    ece_floor: Annotated[float, Array("", least=0, most=1)]
    ece_fit: Annotated[float, Array("", least=0, most=1, nan=True)]
    calibrator: Calibrator
    image: Annotated[np.ndarray, Array("P", int, least=0)]
    truth: Annotated[np.ndarray, Array("P", int, least=0, most="K-1")]
    answer: Annotated[np.ndarray, Array("P", int, least=0, most="K-1")]
    confidence: Annotated[np.ndarray, Array("P", least=0, most=1)]
    hit: Annotated[np.ndarray, Array("P", bool)]
    curve_temperature: Annotated[np.ndarray, Array("C", least=0, rising=True)]
    curve_nll: Annotated[np.ndarray, Array("C", least=0, inf=True)]
    curve_ece: Annotated[np.ndarray, Array("C", least=0, most=1)]

    @property
    def examined(self) -> str:
        """Say which images it is about, and what was fitted on which others."""
        return self.split

    @property
    def label(self) -> str:
        """Whose confidence is judged: ``"top"``, ``"all"`` or the name of a class."""
        return str(self.knobs["label"])

    @property
    def method(self) -> str:
        """How the confidences were calibrated."""
        return str(self.knobs["method"])

    @property
    def costliest(self) -> int:
        """The bin whose gap costs most: the largest, times the number of its images."""
        gaps = np.abs(self.after.accuracy - self.after.confidence) * self.after.count
        return int(np.nanargmax(gaps))

    @property
    def turning(self) -> float:
        """The temperature at which the loss of the reported images is least: nothing is fitted.

        Of the parabola through the lowest point of the curve and its neighbours.
        """
        x, y = np.log(self.curve_temperature), self.curve_nll
        k = int(np.argmin(y))
        if not 0 < k < len(y) - 1 or not np.isfinite(y[k - 1 : k + 2]).all():
            return float(self.curve_temperature[k])
        bend, slope, _ = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
        return float(np.exp(x[k] - slope / (2 * bend))) if bend > 0 else float(np.exp(x[k]))

    def metric(self, name: str, state: str = "after") -> float:
        """Return one metric by its name in ``METRICS``, ``"before"`` or ``"after"`` calibration."""
        values = {"before": self.metrics_before, "after": self.metrics_after}[state]
        return float(values[METRICS.index(name)])

    def summary(self) -> DataFrame:
        """Return the metrics: columns before, after, low and high (of after), and ECE's floor."""
        from pandas import DataFrame, Index

        floor = [self.ece_floor if name == "ece" else np.nan for name in METRICS]
        return DataFrame(
            {
                "before": self.metrics_before,
                "after": self.metrics_after,
                "low": self.metrics_low,
                "high": self.metrics_high,
                "floor": floor,
            },
            index=Index(METRICS, name="metric"),
        )

    def to_frame(self) -> DataFrame:
        """Return both diagrams: one row for every state and bin, empty bins included."""
        from pandas import DataFrame, concat

        frames = []
        for state, bins in (("before", self.before), ("after", self.after)):
            frames.append(
                DataFrame(
                    {
                        "state": state,
                        "bin": np.arange(len(bins.count)),
                        "low": bins.low,
                        "high": bins.high,
                        "count": bins.count,
                        "confidence": bins.confidence,
                        "accuracy": bins.accuracy,
                        "accuracy_low": bins.accuracy_low,
                        "accuracy_high": bins.accuracy_high,
                    }
                )
            )
        return concat(frames, ignore_index=True)

    def members(self, number: int) -> np.ndarray:
        """Return positions of the points in bin ``number`` of the diagram after calibration.

        Wrong ones come first, the most confident of them before all others; they index ``image``,
        ``truth``, ``answer``, ``confidence`` and ``hit``.
        """
        low, high = self.after.low[number], self.after.high[number]
        above = self.confidence >= low if number == 0 else self.confidence > low
        inside = np.flatnonzero(above & (self.confidence <= high))
        return inside[np.lexsort((-self.confidence[inside], self.hit[inside]))]

    def describe(self, number: int) -> str:
        """Say what lies in bin ``number`` of the diagram after calibration."""
        return sentences.described(self, number)

    def __str__(self) -> str:
        told = sentences.reading(self)  # of a repair it names no network
        return told if self.method == "none" else f"{self.subject}: {told}"

    def reading(self, *, bin: int | None = None, **views: Any) -> str:
        """Say what was found, and what lies in a bin that was chosen."""
        return sentences.reading(self, bin)

    def against(self, pinned: Result, **views: Any) -> str:
        """Say how this differs from a pinned result."""
        if not isinstance(pinned, Reliability):
            return ""
        names = ("accuracy", "ece", "nll")
        told = [(it, value(it, self.metric(it)), value(it, pinned.metric(it))) for it in names]
        parts = [f"{NAMES[it]} {mine} instead of {its}" for it, mine, its in told if mine != its]
        return f"{self.versus(pinned)}: {', '.join(parts) or 'no difference'}."

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Reliability | None = None,
        bin: Annotated[int | None, Auto(Whole(0, lambda r: len(r.after.count) - 1))] = None,
        best: Annotated[float | None, Auto(Real(above=0))] = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw the diagram, the counts, four numbers and the loss over temperatures.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Reliability, optional
            Drawn behind as a ghost.
        bin : int, optional
            The bin to mark; by default the costliest.
        best : float, optional
            The temperature fitted on other images; by default the one of this result, if any.
        narrow : bool
            Whether it is 640 pixels wide instead of 880.
        """
        from .drawing import Diagram, Narrow

        if best is None and self.n_fitted and isinstance(self.calibrator, Temperature):
            best = self.calibrator.temperature
        chosen = self.costliest if bin is None else bin
        (Narrow if narrow else Diagram).on(figure).show(self, pinned, chosen, best)
