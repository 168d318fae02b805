"""What a landscape analysis gives back: its numbers, its sentence and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Text, Whole
from ...core.result import Result
from ...core.wording import images
from ...ops.statistics.resampling import interval_of_mean
from .sentences import compared, finding, summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

SPACES = ("input", "weights")
PLANES = ("gradient", "random", "attacks", "images")
SURFACES = ("decision", "loss")
KINDS = ("ascent", "calibrated", "search", "noise")
ALONG = 161
"""Points of a line through the plane."""
TURNS = 180
"""Directions of a line, in whole degrees."""


@dataclass(frozen=True, eq=False, repr=False)
class Landscape(Result):
    """Surfaces around an image, or around the weights of a network, and the largest divergence.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    image, truth : int
        The position of the image in the middle, and its label.
    other : int
        The position of the image that ``plane="images"`` leads to; -1 for other planes.
    picture : numpy.ndarray
        ``(C, H, W)`` float32 in [0, 1]: the image.
    axis : numpy.ndarray
        ``(P,)`` the coordinates of the grid on both axes. In the input space a step of 1 changes
        one pixel by 1 and none by more; among weights it has the length of each filter.
    loss, margin : numpy.ndarray
        ``(2, P, P)`` cross-entropy, and the decision surface S: the logit of the label minus the
        largest other one, for the plane that was asked for and for the control, another random
        plane. Rows go along the second direction. Among weights both are means over the images.
    right : numpy.ndarray
        ``(2, P, P)`` 1 where the prediction is the label, else 0; among weights the share of
        the images.
    clamped : numpy.ndarray
        ``(2, P, P)`` which share of the image's numbers was cut off at 0 or 1.
    stretch : numpy.ndarray
        ``(2, 180)`` how far a step of length 1 at each whole degree moves a pixel at most.
    path, held, path_margin : numpy.ndarray
        ``(T, 2)`` where the attack's images of 0, 1, ... steps fall on the plane; ``(T,)`` the
        share of the length of their change that lies in it, and their own S. T is 0 without
        gradients.
    index : numpy.ndarray
        ``(n,)`` positions of the images that divergences or, among weights, losses are means of.
    own, divergence : numpy.ndarray
        ``(4,)`` of the image and ``(4, n)`` of those images: the largest divergence found, in
        nats, in the order of ``KINDS``: by ascent; by ascent with logits divided by
        ``temperature``; by a search without gradients in as many passes; and that of random signs
        times epsilon. NaN where it is not known yet or cannot be.
    temperature : float
        Fitted on the validation images; NaN where there are none.
    passes : int
        So many passes did ascent and search have for each image.
    notes : tuple of str
        What the reader must know.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and K > 1 and P > 2 and picture.size > 0",
        "np.all(np.diff(axis) > 0)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {
        "space": Choice(SPACES),
        "plane": Choice(PLANES),
        "epsilon": Real(above=0),
        "attack": Text(),
    }

    classes: Annotated[tuple[str, ...], Array("K")]
    image: Annotated[int, Array("", int, least=0)]
    truth: Annotated[int, Array("", int, least=0, most="K-1")]
    other: Annotated[int, Array("", int, least=-1)]
    picture: Annotated[np.ndarray, Array("C H W", least=0, most=1)]
    axis: Annotated[np.ndarray, Array("P", rising=True)]
    loss: Annotated[np.ndarray, Array("2 P P", least=0)]
    margin: Annotated[np.ndarray, Array("2 P P")]
    right: Annotated[np.ndarray, Array("2 P P", least=0, most=1)]
    clamped: Annotated[np.ndarray, Array("2 P P", least=0, most=1)]
    stretch: Annotated[np.ndarray, Array("2 180", least=0)]
    path: Annotated[np.ndarray, Array("T 2")]
    held: Annotated[np.ndarray, Array("T", least=0, most=1)]
    path_margin: Annotated[np.ndarray, Array("T")]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    own: Annotated[np.ndarray, Array("4", least=0, nan=True)]
    divergence: Annotated[np.ndarray, Array("4 n", least=0, nan=True)]
    temperature: Annotated[float, Array("", least=0, nan=True)]
    passes: Annotated[int, Array("", int, least=0)]
    notes: tuple[str, ...]

    # ------------------------------------------------------------------ what it is about
    @property
    def examined(self) -> str:
        """Say which images it is about."""
        if self.space == "weights":
            return images(self.index)
        several = f"; {images(self.index)} for the divergence" if self.n > 1 else ""
        return f"image {self.image}{several}"

    @property
    def space(self) -> str:
        """What is moved: ``"input"`` or ``"weights"``."""
        return str(self.knobs["space"])

    @property
    def plane(self) -> str:
        """Which plane was asked for."""
        return str(self.knobs["plane"])

    @property
    def epsilon(self) -> float:
        """The ball of the divergence and of the attack."""
        return float(self.knobs["epsilon"])

    @property
    def reach(self) -> float:
        """How far the plane goes."""
        return float(self.axis[-1])

    @property
    def n(self) -> int:
        """How many images the divergence or, among weights, the loss is the mean of."""
        return len(self.index)

    # ------------------------------------------------------------------ the divergence
    @property
    def known(self) -> int:
        """For how many of the images the divergence is known already."""
        return int(np.isfinite(self.divergence[KINDS.index("search")]).sum())

    def of(self, kind: str) -> np.ndarray:
        """Return the divergences of one kind that are known."""
        values = self.divergence[KINDS.index(kind)]
        return values[np.isfinite(values)]

    def mean(self, kind: str = "ascent") -> float:
        """Return the mean over the images; NaN where none is known."""
        values = self.of(kind)
        return float(values.mean()) if len(values) else float("nan")

    def median(self, kind: str = "ascent") -> float:
        """Return the median over the images; NaN where none is known."""
        values = self.of(kind)
        return float(np.median(values)) if len(values) else float("nan")

    def interval(self, kind: str = "ascent") -> tuple[float, float]:
        """Return the 95 % bootstrap interval of the mean; NaN of fewer than 8 images."""
        return interval_of_mean(self.of(kind))

    def rigidity(self, kind: str = "ascent") -> float:
        """Return 1 over the mean, the robustness of Yu et al.; infinite where the mean is 0.

        The mean is taken first: images that hardly move at all would rule a mean of inverses.
        """
        mean = self.mean(kind)
        return float("inf") if mean == 0 else 1 / mean

    # ------------------------------------------------------------------ the surfaces
    def surface(self, name: str) -> np.ndarray:
        """Return ``"decision"`` or ``"loss"``, ``(2, P, P)``."""
        return self.margin if name == "decision" else self.loss

    @property
    def boundary(self) -> np.ndarray:
        """What is 0 where the prediction changes or, among weights, where half are right."""
        return self.margin if self.space == "input" else self.right - 0.5

    @property
    def middle(self) -> int:
        """Where in ``axis`` the image itself is."""
        return len(self.axis) // 2

    def along(self, values: np.ndarray, angle: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Read values off the grid along a line through the middle.

        Parameters
        ----------
        values : array (P, P)
            Of a surface.
        angle : int
            Degrees from the first direction to the second.
        row : int
            0 for the plane that was asked for, 1 for the control.

        Returns
        -------
        length, values : array (161,)
            The former in units of ``axis``: in the input space the most that a pixel has changed.
        """
        turn = np.deg2rad(angle)
        across, up = np.cos(turn), np.sin(turn)
        edge = self.reach / max(abs(across), abs(up))
        t = np.linspace(-edge, edge, ALONG)
        return t * self.stretch[row, angle], _between(self.axis, values, t * across, t * up)

    def crossing(self, angle: int, row: int) -> float:
        """Return how far away along a line the prediction changes first; infinite for nowhere."""
        return _crossing(*self.along(self.boundary[row], angle, row))

    def nearest(self, row: int) -> float:
        """Return the same for the nearest place of the plane, whichever way it lies."""
        return self._nearest[row]

    @cached_property
    def _nearest(self) -> list[float]:
        every = range(0, TURNS, 3)
        return [min(self.crossing(angle, row) for angle in every) for row in (0, 1)]

    # ------------------------------------------------------------------ as text and table
    def to_frame(self) -> DataFrame:
        """Return every point of both surfaces.

        Columns: surface ("plane" or "control"), first, second (coordinates), loss, margin, right,
        clamped.
        """
        from pandas import DataFrame

        which, second, first = (axis.ravel() for axis in np.indices(self.loss.shape))
        names = ("loss", "margin", "right", "clamped")
        return DataFrame(
            {
                "surface": np.array(["plane", "control"])[which],
                "first": self.axis[first],
                "second": self.axis[second],
                **{name: getattr(self, name).ravel() for name in names},
            }
        )

    def divergences(self) -> DataFrame:
        """Return one row for each image: image, and the divergences by ``KINDS``."""
        from pandas import DataFrame

        return DataFrame({"image": self.index, **dict(zip(KINDS, self.divergence, strict=True))})

    def __str__(self) -> str:
        return summary(self)

    def reading(self, **views: Any) -> str:
        """Say how steep it is along the line, and how far the prediction can be moved."""
        return finding(self, views.get("surface"), views.get("angle", 0))

    def against(self, pinned: Result, **views: Any) -> str:
        """Say how this differs from a pinned result."""
        return (
            compared(self, pinned, views.get("angle", 0)) if isinstance(pinned, Landscape) else ""
        )

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Landscape | None = None,
        surface: Annotated[str | None, Auto(Choice(SURFACES))] = None,
        angle: Annotated[int, Whole(0, TURNS - 1, "a line has no other direction")] = 0,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw both surfaces, a line through them, and the largest divergence found.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Landscape, optional
            Drawn behind as a ghost.
        surface : str, optional
            ``"decision"``: S, 0 at the boundary; ``"loss"``: the cross-entropy. By default the
            former in the input space, the latter among weights.
        angle : int
            Of the line, in degrees from the first direction to the second.
        narrow : bool
            Whether it is laid out for 640 pixels instead of 880.
        """
        from .drawing import Narrow, Surfaces

        (Narrow if narrow else Surfaces).on(figure).show(self, pinned, surface, angle)


def _between(axis: np.ndarray, values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Interpolate between the four nearest points of a grid."""
    step, last = axis[1] - axis[0], len(axis) - 1
    across, up = (np.clip((it - axis[0]) / step, 0, last) for it in (x, y))
    left, below = (np.minimum(it.astype(int), last - 1) for it in (across, up))
    u, v = across - left, up - below
    corners = (values[below + j, left + i] for j in (0, 1) for i in (0, 1))
    weights = ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)
    return np.asarray(sum(w * it for w, it in zip(weights, corners, strict=True)))


def _crossing(length: np.ndarray, values: np.ndarray) -> float:
    """Return the smallest distance at which values have another sign than in the middle."""
    middle = len(values) // 2
    begins = values[middle] > 0
    found = np.inf
    for side in (slice(middle, None), slice(middle, None, -1)):
        far, here = np.abs(length[side]), values[side]
        other = np.flatnonzero((here > 0) != begins)
        if len(other):
            k = other[0]
            share = here[k - 1] / (here[k - 1] - here[k]) if here[k - 1] != here[k] else 0.0
            found = min(found, float(far[k - 1] + share * (far[k] - far[k - 1])))
    return found
