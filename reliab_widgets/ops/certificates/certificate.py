"""How far a smoothed network's answers are proved to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Real, Whole
from ...core.result import Record
from ...core.wording import percent
from ..statistics.proportions import lower_bound

if TYPE_CHECKING:
    from pandas import DataFrame

ABSTAINS = -1
"""The answer where no class is proved to be chosen by more than half of all draws."""


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Record):
    """For each image how far it may be moved before the smoothed network may answer otherwise.

    What is proved is about the *smoothed* network: it gives the class that the network gives to
    most noisy copies of an image. Each statement about an image is wrong with probability
    ``alpha`` at most.

    Parameters
    ----------
    subject : str
        Name of what was smoothed.
    sigma : float
        Standard deviation of the noise, in pixel units.
    select, draws : int
        How many noisy copies chose the class, and how many others bounded its share.
    alpha : float
        How often a bound may be wrong.
    index, truth : numpy.ndarray
        (n,) positions in the subject, and labels.
    votes, counts : numpy.ndarray
        (n, K) how many of the ``select``, and of the ``draws`` copies, were given each class.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "np.all(votes.sum(axis=1) == select)",
        "np.all(counts.sum(axis=1) == draws)",
    )

    subject: str
    sigma: Annotated[float, Real(above=0)]
    select: Annotated[int, Whole(1, 2**31)]
    draws: Annotated[int, Whole(1, 2**31)]
    alpha: Annotated[float, Real(above=0, below=1)]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K - 1")]
    votes: Annotated[np.ndarray, Array("n K", int, least=0)]
    counts: Annotated[np.ndarray, Array("n K", int, least=0)]

    @property
    def bound(self) -> np.ndarray:
        """(n,) share of all noisy copies that are given the chosen class, at least."""
        hits = np.take_along_axis(self.counts, self._chosen[:, None], axis=1)[:, 0]
        return lower_bound(hits, self.draws, self.alpha)

    @property
    def answer(self) -> np.ndarray:
        """(n,) classes that the smoothed network gives, -1 where it abstains."""
        return np.where(self.bound > 0.5, self._chosen, ABSTAINS)

    @property
    def radius(self) -> np.ndarray:
        """(n,) the L2 length, in pixel units, of changes that the answer is proved to withstand.

        It is 0 where the smoothed network abstains.
        """
        return self._radius(self.bound)

    @property
    def largest(self) -> float:
        """The largest radius that so many draws can prove: that of copies answered all alike."""
        return float(self._radius(self.alpha ** (1 / self.draws)))

    @property
    def abstained(self) -> int:
        """How many images it gives no answer to."""
        return int((self.answer == ABSTAINS).sum())

    @property
    def median(self) -> float:
        """Median radius, where images that are answered wrongly or not at all count as 0."""
        return float(np.median(self._right))

    def accuracy(self, radius: float = 0.0) -> float:
        """Return the certified accuracy: the share proved right under all changes so long.

        Parameters
        ----------
        radius : float
            An L2 length in pixel units; 0 gives the share that the smoothed network answers
            rightly, its clean accuracy.
        """
        radius = Real(least=0, why="an L2 length in pixel units").check("radius", radius, None)
        return float(np.mean((self.answer == self.truth) & (self.radius >= radius)))

    def to_frame(self) -> DataFrame:
        """Return one row for each image: image, truth, answer, bound, radius."""
        from pandas import DataFrame

        columns = {"image": self.index, "truth": self.truth, "answer": self.answer}
        return DataFrame({**columns, "bound": self.bound, "radius": self.radius})

    def __str__(self) -> str:
        n, right, none = len(self.index), self.accuracy(), self.abstained
        wrong = n - none - round(right * n)
        proved = (
            f"half of them are proved right up to an L2 change of {self.median:.2g}"
            if self.median > 0
            else "fewer than half of them are proved right under any change"
        )
        return (
            f"{self.subject} smoothed by noise of sigma {self.sigma:g}, not the network itself, is "
            f"right on {percent(right)} (n = {n:,}; {wrong:,} wrong, {none:,} without an answer); "
            f"{proved} ({self.draws:,} draws each, which can prove {self.largest:.2g} at most; "
            f"alpha = {self.alpha:g})."
        )

    def __repr__(self) -> str:
        return str(self)

    @property
    def _chosen(self) -> np.ndarray:
        return self.votes.argmax(axis=1)

    @property
    def _right(self) -> np.ndarray:
        return np.where(self.answer == self.truth, self.radius, 0.0)

    def _radius(self, bound: np.ndarray | float) -> np.ndarray:
        from scipy.special import ndtri

        return self.sigma * ndtri(np.maximum(bound, 0.5))
