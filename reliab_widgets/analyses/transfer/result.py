"""What a transfer analysis gives back: what every network answers to what was made on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Several, Whole
from ...core.result import Result
from ...core.wording import counted, few, nearest, problem
from ...ops.attacks.catalogue import METHODS, those
from ...ops.statistics.resampling import interval_of_mean
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

KINDS = ("alone", "ghosts", "ensemble", "ensemble of ghosts")
"""The sorts of sources: a network, its ghosts, all networks but one, the ghosts of these."""
GHOSTLY, ENSEMBLES = ("ghosts", "ensemble of ghosts"), ("ensemble", "ensemble of ghosts")
MOST = 10
"""Networks that a picture has room for."""
CELL = Several(Whole(0, lambda it: len(it.networks) - 1, "its row, its column"), least=2, most=2)


@dataclass(frozen=True, eq=False, repr=False)
class Transfer(Result):
    """What is made on each network, and what each makes of it.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    networks : tuple of str
        Names of the V networks, each of them source and victim; the subject's first.
    kinds : tuple of str
        The G sorts of sources, of ``"alone"``, ``"ghosts"``, ``"ensemble"`` (all networks but the
        one of the row) and ``"ensemble of ghosts"``.
    index, truth : numpy.ndarray
        ``(n,)``: positions in the subject, and labels.
    target : int
        The class that answers were led to, -1 for any.
    epsilons : numpy.ndarray
        ``(E,)`` sizes in pixel units, ascending.
    clean : numpy.ndarray
        ``(V, n)`` answers to the images as they are.
    noise : numpy.ndarray
        ``(E, V, n)`` answers after random noise.
    answers : numpy.ndarray
        ``(G, V, E, V, n)`` answers after an attack; the first V is the source, or the network that
        an ensemble leaves out, the second the victim.
    notes : tuple of str
        What must be known.
    """

    version: ClassVar[int] = 1

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and G > 0 and E > 0 and V > 1",
        f"set(kinds) <= set({KINDS}) and kinds[0] == 'alone' and len(set(kinds)) == G",
        "len(set(networks)) == V",
    )
    needs: ClassVar[Mapping[str, Kind]] = {"attack": Choice(those(lambda it: it.norm))}

    classes: Annotated[tuple[str, ...], Array("K")]
    networks: Annotated[tuple[str, ...], Array("V")]
    kinds: Annotated[tuple[str, ...], Array("G")]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    target: Annotated[int, Array("", int, least=-1, most="K-1")]
    epsilons: Annotated[np.ndarray, Array("E", least=0, rising=True)]
    clean: Annotated[np.ndarray, Array("V n", int, least=0, most="K-1")]
    noise: Annotated[np.ndarray, Array("E V n", int, least=0, most="K-1")]
    answers: Annotated[np.ndarray, Array("G V E V n", int, least=0, most="K-1")]
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
    def attack(self) -> str:
        """What the attack is called."""
        return METHODS[str(self.knobs["attack"])].words

    @property
    def norm(self) -> str:
        """What the sizes bound: ``"Linf"``, each pixel, or ``"L2"``, the whole change."""
        return METHODS[str(self.knobs["attack"])].norm

    @property
    def right(self) -> np.ndarray:
        """Whether a network answers rightly to an image as it is, ``(V, n)`` bool."""
        found: np.ndarray = self.clean == self.truth
        return found

    def _led(self, answers: np.ndarray) -> np.ndarray:
        """Tell where answers left the truth, or reached the target, of right images only."""
        led = answers != self.truth if self.target < 0 else answers == self.target
        found: np.ndarray = led & self.right
        return found

    def fooled(self, kind: str = "alone") -> np.ndarray:
        """Tell which images a victim got right and then wrong, ``(V, E, V, n)`` bool.

        Parameters
        ----------
        kind : str
            One of ``kinds``. With a target: and then answered that.
        """
        return self._led(self.answers[self.kinds.index(kind)])

    def home(self, kind: str = "alone") -> np.ndarray:
        """Tell which victims took part in the making (white-box), ``(V, V)`` bool."""
        own = np.eye(len(self.networks), dtype=bool)
        return ~own if kind in ENSEMBLES else own

    def share(self, kind: str, place: int) -> np.ndarray:
        """Return the share fooled, of the images that a victim gets right, ``(V, V)``.

        Parameters
        ----------
        kind : str
            One of ``kinds``, or ``"noise"``, which has no source: ``(V,)``.
        place : int
            Of the size in ``epsilons``.
        """
        led = self._led(self.noise[place]) if kind == "noise" else self.fooled(kind)[:, place]
        known = self.right.sum(1)
        return np.where(known > 0, led.sum(-1) / np.maximum(known, 1), np.nan)

    def means(self, kind: str, place: int) -> tuple[float, float]:
        """Return the mean share fooled at home, and elsewhere; NaN where no victim is right."""
        share, home = self.share(kind, place), self.home(kind)
        found = (share[home & np.isfinite(share)], share[~home & np.isfinite(share)])
        here, there = (float(it.mean()) if len(it) else float("nan") for it in found)
        return here, there

    @property
    def sources(self) -> tuple[str, ...]:
        """What the sources are called, as `difference` takes them, ``V`` for each kind."""
        return tuple(sentences.source(kind, it) for kind in self.kinds for it in self.networks)

    def difference(
        self, one: str, other: str, victim: str, epsilon: float | None = None
    ) -> tuple[float, float, float]:
        """Return by how much more of a victim's images one source fools than another.

        Parameters
        ----------
        one, other : str
            Of ``sources``, such as ``"vgg"``, ``"ghosts of vgg"``, ``"all but vgg"``.
        victim : str
            Of ``networks``.
        epsilon : float, optional
            The size, the nearest of ``epsilons``; by default the last.

        Returns
        -------
        tuple of float
            The difference, and its 95 % interval by drawing the same images for both (paired
            bootstrap); NaN of fewer than eight images.

        Raises
        ------
        ValueError
            There is no such source or victim.
        """
        column = _known(victim, self.networks, "victim")
        place, count = self.at(epsilon), len(self.networks)
        led = []
        for name in (one, other):
            kind, row = divmod(_known(name, self.sources, "source"), count)
            led.append(self.fooled(self.kinds[kind])[row, place, column])
        apart = (led[0].astype(float) - led[1])[self.right[column]]
        return (float(apart.mean()) if len(apart) else float("nan"), *interval_of_mean(apart))

    def gain(self, kind: str, place: int) -> tuple[float, float, float]:
        """Return by how much more a kind of sources fools elsewhere than networks alone do.

        Returns
        -------
        tuple of float
            The difference, the mean over images, and its 95 % interval by drawing the same images
            for both.
        """
        apart = self._abroad(kind, place) - self._abroad("alone", place)
        apart = apart[np.isfinite(apart)]
        return (float(apart.mean()) if len(apart) else float("nan"), *interval_of_mean(apart))

    def _abroad(self, kind: str, place: int) -> np.ndarray:
        """Return for each image how often it fooled victims that were not at hand, ``(n,)``."""
        home, led = self.home(kind), self.fooled(kind)[:, place]
        over = np.maximum((~home).sum(0), 1)[:, None]
        each = (led & ~home[:, :, None]).sum(0) / over  # over sources, for each victim
        known = self.right.sum(0)
        return np.where(known > 0, each.sum(0) / np.maximum(known, 1), np.nan)

    @property
    def doubt(self) -> str:
        """What speaks for a network that hides: another's attack fools it more than its own."""
        last = float(self.epsilons[-1])
        for victim in self.networks:
            for name in self.networks:
                if name != victim and self.difference(name, victim, victim, last)[1] > 0:
                    return f"hidden: what is made on {name} fools {victim} more than its own attack"
        return ""

    def at(self, epsilon: float | None) -> int:
        """Return the place of a size in ``epsilons``, the nearest one; by default the last."""
        if epsilon is None:
            return len(self.epsilons) - 1
        return int(np.abs(self.epsilons - epsilon).argmin())

    def cell(self, cell: tuple[int, ...] | None) -> tuple[int, int]:
        """Return row and column of a pair; by default from the subject to the next network."""
        return (0, 1) if cell is None else (cell[0], cell[1])

    def to_frame(self) -> DataFrame:
        """Return a row for each source, size, victim and image: before, after and fooled."""
        from pandas import DataFrame, concat

        blocks = []
        known = [("noise", "noise", self.noise)]
        for kind, group in zip(self.kinds, self.answers, strict=True):
            for name, answers in zip(self.networks, group, strict=True):
                known.append((kind, sentences.source(kind, name), answers))
        names = np.array(self.classes, dtype=object)
        for kind, source, answers in known:
            for epsilon, row in zip(self.epsilons, answers, strict=True):
                led = self._led(row)
                for place, victim in enumerate(self.networks):
                    block = {
                        "kind": kind,
                        "source": source,
                        "epsilon": epsilon,
                        "victim": victim,
                        "image": self.index,
                        "truth": names[self.truth],
                        "before": names[self.clean[place]],
                        "after": names[row[place]],
                        "fooled": led[place],
                    }
                    blocks.append(DataFrame(block))
        return concat(blocks, ignore_index=True)

    def __str__(self) -> str:
        return f"{self.subject}: {sentences.found(self, self.at(None))}"

    def reading(
        self,
        *,
        epsilon: float | None = None,
        kind: str = "alone",
        cell: tuple[int, ...] | None = None,
        **views: Any,
    ) -> str:
        """Say what a size, a kind of source and a pair show."""
        place = self.at(epsilon)
        if cell is not None:
            return sentences.of_pair(self, place, kind, self.cell(cell))
        return sentences.found(self, place, kind)

    def against(
        self, pinned: Result, *, epsilon: float | None = None, kind: str = "alone", **views: Any
    ) -> str:
        """Say how this differs from another result at the size that is looked at."""
        if not isinstance(pinned, Transfer):
            return ""
        return sentences.against(self, pinned, self.at(epsilon), kind)

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Transfer | None = None,
        epsilon: Annotated[float | None, Auto(Real(least=0))] = None,
        kind: Annotated[str, Choice(KINDS)] = "alone",
        cell: Annotated[tuple[int, ...] | None, Auto(CELL)] = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw the share fooled for each source and victim, and for one pair over the size.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Transfer, optional
            The curve of the same pair, drawn behind as a ghost.
        epsilon : float, optional
            The size whose numbers are shown, the nearest of ``epsilons``; by default the last.
        kind : str
            One of ``kinds``: ``"alone"``, ``"ghosts"``, ``"ensemble"`` or ``"ensemble of ghosts"``.
        cell : tuple of int, optional
            The pair: its row and column, counted from 0; by default from the subject's network to
            the next one.
        narrow : bool
            Whether it is 640 pixels wide instead of 880.
        """
        from .drawing import Matrix, Narrow

        _known(kind, self.kinds, "kind")
        drawing = (Narrow if narrow else Matrix).on(figure)
        drawing.show(self, pinned, self.at(epsilon), kind, self.cell(cell))


def _known(name: str, names: tuple[str, ...], what: str) -> int:
    if name not in names:
        fix = f"{nearest(name, names)}Choose from {few(name, names)}"
        raise ValueError(problem(f"there is no such {what}", f"got {name!r}", fix))
    return names.index(name)
