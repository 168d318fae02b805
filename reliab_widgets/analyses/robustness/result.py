"""What a robustness analysis gives back: what broke at which size, its sentence and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Whole
from ...core.result import Result
from ...core.wording import counted
from ...ops.attacks.verdict import Verdict
from ...ops.certificates.certificate import Certificate
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

UNTRIED, RIGHT, BROKEN = -1, 0, 1
"""What is known of an image after an attack."""
PARTS = ("proved", "unknown", "broken", "wrong")
"""What is known of an image at a size: `Robustness.part`."""
IMAGE = Auto(Whole(0, 10**9, "its position in the subject"))


def _attacks(result: Any) -> tuple[str, ...]:
    return ("worst", *result.attacks)


@dataclass(frozen=True, eq=False, repr=False)
class Robustness(Result):
    """What attacks of growing size do to the same images.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    index, truth : numpy.ndarray
        ``(n,)``: positions in the subject, and labels.
    attacks : tuple of str
        Names of the A attacks.
    epsilons : numpy.ndarray
        ``(E,)`` sizes in pixel units, ascending; the first is 0.
    outcome : numpy.ndarray
        ``(A, E, n)``: 1 where the prediction was wrong after an attack of at most that size, 0
        where it was right, -1 where that was not tried.
    noise : numpy.ndarray
        ``(E, n)`` bool: whether it was wrong after random noise of that size.
    verdict : Verdict
        Whether the network withstands or hides, of the right images at all sizes.
    certificate : Certificate or None
        How far the answers of the smoothed network, which is another one, are proved to hold; None
        where no proof was asked for, or it comes next.
    notes : tuple of str
        What must be known of network and attacks.
    """

    version: ClassVar[int] = 1

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and A > 0 and E > 1 and epsilons[0] == 0",
        "len(set(attacks)) == A",
        "np.all(outcome[:, 0] == noise[0])",
        "certificate is None or np.array_equal(certificate.index, index)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {"norm": Choice(("Linf", "L2"))}

    classes: Annotated[tuple[str, ...], Array("K")]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    attacks: Annotated[tuple[str, ...], Array("A")]
    epsilons: Annotated[np.ndarray, Array("E", least=0, rising=True)]
    outcome: Annotated[np.ndarray, Array("A E n", int, least=-1, most=1)]
    noise: Annotated[np.ndarray, Array("E n", bool)]
    verdict: Verdict
    certificate: Certificate | None
    notes: tuple[str, ...]

    @property
    def examined(self) -> str:
        """Say which images it is about."""
        return counted(self.n)

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.index)

    @property
    def norm(self) -> str:
        """What the sizes bound: ``"Linf"``, each pixel, or ``"L2"``, the whole change."""
        return str(self.knobs["norm"])

    @cached_property
    def broken(self) -> np.ndarray:
        """Whether any attack of at most that size broke it, ``(E, n)`` bool: the worst case."""
        any_attack = (self.outcome == BROKEN).any(0)
        # A change that is small enough for one size is small enough for all larger ones.
        worst: np.ndarray = np.logical_or.accumulate(any_attack, axis=0)
        return worst

    def accuracy(self, attack: str = "worst") -> np.ndarray:
        """Return the share of right answers at each size, ``(E,)``; NaN where not all were tried.

        Parameters
        ----------
        attack : str
            One of ``attacks``, ``"worst"`` for all of them together, or ``"noise"``.
        """
        if attack == "noise":
            return 1 - self.noise.mean(1)
        if attack == "worst":
            return np.where(self.tried.any(0), 1 - self.broken.mean(1), np.nan)
        place = self.attacks.index(attack)
        share = (self.outcome[place] == RIGHT).mean(1)
        return np.where(self.tried[place], share, np.nan)

    @cached_property
    def proved(self) -> np.ndarray:
        """How far each image's right answer is proved of the smoothed network, ``(n,)`` L2 lengths.

        It is below 0 where that network answers wrongly, or not at all, or nothing was proved.
        """
        proof = self.certificate
        if proof is None:
            return np.full(self.n, -1.0)
        return np.where(proof.answer == proof.truth, proof.radius, -1.0)

    def part(self, name: str, place: int) -> np.ndarray:
        """Tell of which images something is known at a size, ``(n,)`` bool.

        Parameters
        ----------
        name : str
            ``"wrong"`` (without any change), ``"broken"`` (by an attack of at most that size),
            ``"proved"`` (of the smoothed network: it may be broken, or wrong, in this one), or
            ``"unknown"`` (none of these).
        place : int
            Of the size in ``epsilons``.
        """
        wrong, broken = self.broken[0], self.broken[place] & ~self.broken[0]
        proved = self.proved >= self.epsilons[place]
        parts = {"wrong": wrong, "broken": broken, "proved": proved}
        return parts[name] if name in parts else ~(wrong | broken | proved)

    @cached_property
    def tried(self) -> np.ndarray:
        """Whether an attack of a size was tried on all images, ``(A, E)`` bool."""
        done: np.ndarray = (self.outcome != UNTRIED).all(2)
        return done

    @cached_property
    def smallest(self) -> np.ndarray:
        """The smallest of the sizes at which each image broke, ``(n,)``; infinite if none did."""
        first = self.broken.argmax(0)
        found: np.ndarray = np.where(self.broken.any(0), self.epsilons[first], np.inf)
        return found

    def at(self, epsilon: float | None) -> int:
        """Return the place of a size in ``epsilons``, the nearest one; by default `telling`."""
        if epsilon is None:
            return self.telling
        return int(np.abs(self.epsilons - epsilon).argmin())

    @property
    def telling(self) -> int:
        """The size at which about half of what was right is broken, or is proved no longer."""
        left = np.nan_to_num(self.accuracy(), nan=np.inf)
        if self.certificate is not None:
            left = np.array([self.part("proved", k).mean() for k in range(len(left))])
        return 1 + int(np.abs(left[1:] - left[0] / 2).argmin())

    def to_frame(self) -> DataFrame:
        """Return a row for each attack, size and image: attack, epsilon, image, truth, broken."""
        from pandas import DataFrame, concat

        blocks = []
        known = dict(zip(self.attacks, self.outcome, strict=True)) | {"noise": self.noise}
        for name, outcome in known.items():
            for epsilon, row in zip(self.epsilons, outcome, strict=True):
                if (row != UNTRIED).all():
                    block = {"image": self.index, "truth": self.truth, "broken": row == BROKEN}
                    blocks.append(DataFrame({"attack": name, "epsilon": epsilon, **block}))
        return concat(blocks, ignore_index=True)

    def __str__(self) -> str:
        return f"{self.subject}: {sentences.found(self, self.telling)}"

    def reading(self, *, epsilon: float | None = None, **views: Any) -> str:
        """Say what is known at a size."""
        return sentences.found(self, self.at(epsilon))

    def against(self, pinned: Result, *, epsilon: float | None = None, **views: Any) -> str:
        """Say how this differs from another result at the size that is looked at."""
        if not isinstance(pinned, Robustness):
            return ""
        return sentences.against(self, pinned, self.at(epsilon))

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Robustness | None = None,
        epsilon: Annotated[float | None, Auto(Real(least=0))] = None,
        attack: Annotated[str, Choice(_attacks)] = "worst",
        part: Annotated[str, Choice(PARTS)] = "broken",
        image: Annotated[int | None, IMAGE] = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw what is proved, unknown and broken over the size, and the numbers at one.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Robustness, optional
            Drawn behind as a ghost.
        epsilon : float, optional
            The size whose numbers are shown, the nearest of ``epsilons``; by default `telling`.
        attack : str
            Whose curve is drawn beside that of the worst case: ``"worst"`` for none, or one of
            ``attacks``.
        part : str
            Whose images are shown in the panel of the widget: ``"proved"``, ``"unknown"``,
            ``"broken"`` or ``"wrong"``.
        image : int, optional
            An image to mark where it breaks, by its position in the subject.
        narrow : bool
            Whether it is 640 pixels wide instead of 880.
        """
        from .drawing import Curve, Narrow

        drawing = (Narrow if narrow else Curve).on(figure)
        drawing.show(self, pinned, self.at(epsilon), attack, part, image)
