"""What a universal analysis gives back: the pattern, and what it does to images it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Choice, Flag, Kind
from ...core.result import Result
from ...core.wording import counted, problem, shape
from ...ops.statistics.resampling import interval_of_mean
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import Tensor

NORMS = ("L2", "Linf")
KINDS = ("pattern", "unclipped", "random", "shuffled")
"""What is put on the images: the pattern, clipped to [0, 1] and not; noise; its pixels shuffled."""
LOW = 0.25
"""Waves per pixel below which a frequency is low: longer than four pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class Universal(Result):
    """One pattern for all images, and what was answered to others while it grew.

    It can be called as an attack: ``rw.attack(subject, attack=result)``.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    index, truth : numpy.ndarray
        ``(n,)``: positions of the measured images in the subject, and their labels.
    target : int
        The class that all are led to, -1 for any other answer.
    unit, epsilon : float
        Mean norm of the subject's images, and the largest norm of the pattern.
    origin : str
        Whose images the pattern is made of.
    used : int
        How many.
    seen, norms : numpy.ndarray
        ``(G,)``: how many images the pattern had gone through when it was measured, counted once a
        pass, and its norm then. The first is 0.
    answers : numpy.ndarray
        ``(4, G, n)`` class numbers answered to each image with the pattern on it, in the order of
        ``KINDS``; at the first place without any.
    pattern : numpy.ndarray
        ``(C, H, W)`` float32, in pixel units.
    example : int
        Which of the measured images is drawn, by its place in ``index``.
    picture : numpy.ndarray
        ``(C, H, W)`` float32: that image.
    notes : tuple of str
        What must be known.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and K > 1 and G > 1 and pattern.size > 0 and example < n",
        "seen[0] == 0 and norms[0] == 0 and np.all(answers[:, 0] == answers[0, 0])",
        "np.all(norms <= epsilon * (1 + 1e-6))",
    )
    needs: ClassVar[Mapping[str, Kind]] = {"norm": Choice(NORMS)}

    classes: Annotated[tuple[str, ...], Array("K")]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    target: Annotated[int, Array("", int, least=-1, most="K-1")]
    unit: Annotated[float, Array("", least=0)]
    epsilon: Annotated[float, Array("", least=0)]
    origin: str
    used: Annotated[int, Array("", int, least=1)]
    seen: Annotated[np.ndarray, Array("G", int, least=0, rising=True)]
    norms: Annotated[np.ndarray, Array("G", least=0)]
    answers: Annotated[np.ndarray, Array("4 G n", int, least=0, most="K-1")]
    pattern: Annotated[np.ndarray, Array("C H W")]
    example: Annotated[int, Array("", int, least=0)]
    picture: Annotated[np.ndarray, Array("C H W", least=0, most=1)]
    notes: tuple[str, ...]

    # ------------------------------------------------------------------ as an attack
    @property
    def name(self) -> str:
        """What attacked images are called after it."""
        return f"pattern of {self.subject}"

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Put the pattern on images, clipped to [0, 1]; neither model nor labels are asked.

        Raises
        ------
        ValueError
            The images have another size.
        """
        if images.shape[1:] != self.pattern.shape:
            seen = f"{shape(self.pattern.shape)} on images of {shape(images.shape[1:])}"
            fix = "Pass attack= as a pattern made of images of that size"
            raise ValueError(problem("the pattern has another shape than the images", seen, fix))
        return (images + images.new_tensor(self.pattern.copy())).clamp(0, 1)

    # ------------------------------------------------------------------ what was found
    @property
    def examined(self) -> str:
        """Say which images it is about."""
        return f"{counted(self.n)}, the pattern of {self.used:,} others"

    @property
    def n(self) -> int:
        """Number of measured images."""
        return len(self.index)

    @property
    def norm(self) -> str:
        """What bounds the pattern: ``"L2"`` or ``"Linf"``."""
        return str(self.knobs["norm"])

    def fooled(self, kind: str = "pattern") -> np.ndarray:
        """Tell which images are answered otherwise than without anything, ``(G, n)`` bool.

        Parameters
        ----------
        kind : str
            What is put on them: ``"pattern"``, ``"unclipped"``, ``"random"`` or ``"shuffled"``.
        """
        answers = self.answers[KINDS.index(kind)]
        changed: np.ndarray = answers != answers[0]
        return changed

    def reached(self, kind: str = "pattern") -> np.ndarray:
        """Tell which images are answered by the target, ``(G, n)`` bool; see `fooled`."""
        found: np.ndarray = self.answers[KINDS.index(kind)] == self.target
        return found

    def hits(self, kind: str = "pattern") -> np.ndarray:
        """Tell for which images the pattern does what it is made for, ``(G, n)`` bool."""
        return self.fooled(kind) if self.target < 0 else self.reached(kind)

    def rate(self, kind: str = "pattern") -> np.ndarray:
        """Return the share of them while it grows, ``(G,)``: R_f, with a target R_s."""
        share: np.ndarray = self.hits(kind).mean(1)
        return share

    def interval(self, kind: str = "pattern") -> tuple[float, float]:
        """Return the 95 % interval of the last rate, by bootstrap over images."""
        return interval_of_mean(self.hits(kind)[-1])

    def gain(self, control: str = "random") -> tuple[float, float, float]:
        """Return how much higher the last rate is than a control's, with its 95 % interval.

        The same images are drawn for both.
        """
        more = self.hits()[-1].astype(float) - self.hits(control)[-1]
        return (float(more.mean()), *interval_of_mean(more))

    @cached_property
    def driven(self) -> np.ndarray:
        """The shares of the answers, ``(2, K)``: without the pattern and with it."""
        count = len(self.classes)
        rows = [np.bincount(self.answers[0, g], minlength=count) for g in (0, -1)]
        return np.array(rows) / self.n

    @cached_property
    def spectrum(self) -> np.ndarray:
        """The share of the pattern's energy at each frequency, ``(H, W)``, 0 in the middle."""
        power = (np.abs(np.fft.fft2(self.pattern.astype(float))) ** 2).sum(0)
        shifted: np.ndarray = np.fft.fftshift(power / (power.sum() or 1.0))
        return shifted

    @cached_property
    def low(self) -> tuple[float, float]:
        """The energy in low frequencies, and what it is after its pixels are shuffled."""
        axes = [np.fft.fftshift(np.fft.fftfreq(side)) for side in self.spectrum.shape]
        wave = np.hypot(axes[0][:, None], axes[1])
        inside, still = wave <= LOW, wave == 0
        rest = float(self.spectrum[~still].sum())  # spread evenly, where the mean stays
        spread = rest * float((inside & ~still).sum()) / max(1, int((~still).sum()))
        return float(self.spectrum[inside].sum()), float(self.spectrum[still].sum()) + spread

    def to_frame(self) -> DataFrame:
        """Return a row for each kind, size and image: kind, seen, norm, image, truth, answer."""
        from pandas import DataFrame, concat

        blocks = []
        for kind, rows in zip(KINDS, self.answers, strict=True):
            for seen, size, answers in zip(self.seen, self.norms, rows, strict=True):
                block = {"image": self.index, "truth": self.truth, "answer": answers}
                block["fooled"] = answers != rows[0]
                blocks.append(DataFrame({"kind": kind, "seen": seen, "norm": size, **block}))
        return concat(blocks, ignore_index=True)

    def __str__(self) -> str:
        return f"{self.subject}: {sentences.found(self)}"

    def reading(self, **views: Any) -> str:
        """Say what was found."""
        return sentences.found(self)

    def against(self, pinned: Result, **views: Any) -> str:
        """Say how this differs from another result."""
        return sentences.against(self, pinned) if isinstance(pinned, Universal) else ""

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Universal | None = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw an image, the pattern and both together, the rate, and where the answers go.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Universal, optional
            Whose rate is drawn behind as a ghost.
        narrow : bool
            Whether it is 640 pixels wide instead of 880.
        """
        from .drawing import Narrow, Wide

        (Narrow if narrow else Wide).on(figure).show(self, pinned)
