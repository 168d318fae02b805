"""What a robustness analysis gives back: what broke at which size, its sentence and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real
from ...core.result import Result
from ...core.wording import counted
from ...ops.attacks.verdict import Verdict
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

UNTRIED, RIGHT, BROKEN = -1, 0, 1
"""What is known of an image after an attack."""


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
    notes : tuple of str
        What must be known of network and attacks.
    """

    version: ClassVar[int] = 1

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and A > 0 and E > 1 and epsilons[0] == 0",
        "len(set(attacks)) == A",
        "np.all(outcome[:, 0] == noise[0])",
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
    notes: tuple[str, ...]

    @property
    def doubt(self) -> str:
        """What speaks for a network that hides, or nothing: `rw.grid` has it in a column."""
        return str(self.verdict) if self.verdict.hidden else ""

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
        """The size at which the worst case has broken about half of what was right."""
        accuracy = np.nan_to_num(self.accuracy(), nan=np.inf)
        return 1 + int(np.abs(accuracy[1:] - accuracy[0] / 2).argmin())

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
        return sentences.found(self, self.telling)

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
            Whose curve is drawn beside that of the worst case.
        narrow : bool
            Whether it is 640 pixels wide instead of 880.
        """
        from .drawing import Curve, Narrow

        (Narrow if narrow else Curve).on(figure).show(self, pinned, self.at(epsilon), attack)
