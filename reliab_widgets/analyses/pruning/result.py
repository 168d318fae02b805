"""What a pruning analysis gives back: its numbers, its sentence, and the pruned networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Text, Whole
from ...core.result import Result
from ...ops.calibration.metrics import METRICS as CALIBRATION
from ...ops.calibration.metrics import measure, softmax, tempered
from ...ops.features.plan import Plan
from ...ops.pruning.measures import ATTACKS, BINS, TEMPERATURES
from . import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import nn

    from ...core.subject import Subject
    from ...ops.pruning.oracle import Oracle

LEVEL = Auto(Real(least=0, below=1, why="one of the computed levels"))
TEMPERATURE = Choice(TEMPERATURES, offers=("old", "refitted", "raw"))
IMAGE = Auto(Whole(0, 10**9, "its position in the subject"))


@dataclass(frozen=True, eq=False, repr=False)
class Pruning(Result):
    """Networks with fewer and fewer filters, and as many removed at random.

    Arrays with an axis ``S`` have the criterion first and the random controls after it; with an
    axis ``L`` the whole network first.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    split : str
        Which images were reported, ranked and fitted on, in words.
    index, truth : numpy.ndarray
        ``(n,)``: the reported images' positions in the subject, and their labels.
    levels : numpy.ndarray
        ``(L,)`` the parts asked for, ascending; the first is 0.
    logits : numpy.ndarray
        ``(S, L, n, K)`` float32.
    temperatures : numpy.ndarray
        ``(S, L)`` fitted on the calibration images.
    groups : tuple of tuple of str
        Layers that lose filters together.
    group, channel : numpy.ndarray
        ``(U,)``: the group of each unit, and its filter in the group's first layer.
    scores : numpy.ndarray
        ``(U,)`` importance in the whole network.
    removed : numpy.ndarray
        ``(S, L, U)`` bool.
    layers : tuple of str
        All D convolutions and linear layers, in the order in which they run.
    plan : Plan
        Where layers stand in the network.
    left : numpy.ndarray
        ``(S, L, D)`` filters left in each; of ``"magnitude"`` its weights.
    parameters, multiply_adds, size : numpy.ndarray
        ``(S, L)``: multiply-adds for one image; bytes of the weights on disk.
    seconds_masked, seconds_cut : numpy.ndarray
        ``(L,)`` for one image in a batch of 32: filters silent, filters gone; NaN if not timed.
    gap : numpy.ndarray
        ``(L,)`` the largest difference of a logit between the two; NaN with ``finetune``.
    drift : numpy.ndarray
        ``(L, E)`` Spearman's rank correlation of each explained image's signed map with that of
        the whole network.
    drift_untrained : numpy.ndarray
        ``(E,)`` the same of a network of other, random weights.
    robust : numpy.ndarray
        ``(L, A)`` accuracy under each of ``ATTACKS``, or ``(L, 0)``.
    notes : tuple of str
        What could not be removed, and why.
    """

    version: ClassVar[int] = 3

    facts: ClassVar[tuple[str, ...]] = (
        "G == len(set(group))",
        "n > 0 and L > 0 and S > 0 and levels[0] == 0",
        "len(set(layers)) == len(layers) and all(groups)",
        "set(layer for group in groups for layer in group) <= set(layers)",
        f"A in (0, {len(ATTACKS)})",
        "set(plan.names) <= set(layers)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {
        "criterion": Text(),
        "scope": Choice(("filters", "flops")),
        "rounds": Whole(1, 100),
        "finetune": Whole(0, 10**9),
        "attacked": Whole(0, 10**9),
        "seed": Whole(0, 2**32 - 1),
    }

    classes: Annotated[tuple[str, ...], Array("K")]
    split: str
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    levels: Annotated[np.ndarray, Array("L", least=0, most=1, rising=True)]
    logits: Annotated[np.ndarray, Array("S L n K")]
    temperatures: Annotated[np.ndarray, Array("S L", least=1e-3)]
    groups: Annotated[tuple[tuple[str, ...], ...], Array("G")]
    group: Annotated[np.ndarray, Array("U", int, least=0, most="G-1")]
    channel: Annotated[np.ndarray, Array("U", int, least=0)]
    scores: Annotated[np.ndarray, Array("U", inf=True)]
    removed: Annotated[np.ndarray, Array("S L U", bool)]
    layers: Annotated[tuple[str, ...], Array("D")]
    plan: Plan
    left: Annotated[np.ndarray, Array("S L D", int, least=0)]
    parameters: Annotated[np.ndarray, Array("S L", int, least=0)]
    multiply_adds: Annotated[np.ndarray, Array("S L", int, least=0)]
    size: Annotated[np.ndarray, Array("S L", int, least=0)]
    seconds_masked: Annotated[np.ndarray, Array("L", least=0, nan=True)]
    seconds_cut: Annotated[np.ndarray, Array("L", least=0, nan=True)]
    gap: Annotated[np.ndarray, Array("L", least=0, nan=True)]
    drift: Annotated[np.ndarray, Array("L E", least=-1, most=1, nan=True)]
    drift_untrained: Annotated[np.ndarray, Array("E", least=-1, most=1, nan=True)]
    robust: Annotated[np.ndarray, Array("L A", least=0, most=1)]
    notes: tuple[str, ...]

    @property
    def examined(self) -> str:
        """Say which images it is about, and what was fitted on which others."""
        return self.split

    def remember(self, subject: Subject, tuned: Sequence[Subject | None] | None) -> None:
        """Let `variant` find the networks here: they are no fields, neither saved nor compared.

        Parameters
        ----------
        subject : Subject
            What was examined.
        tuned : sequence of Subject, optional
            With the fine-tuned network of each level, if there are such.
        """
        object.__setattr__(self, "_subject", subject)
        object.__setattr__(self, "_tuned", tuned)

    def __getstate__(self) -> dict[str, Any]:
        # The subject stays where it is: a result that travels is numbers only.
        return {k: v for k, v in self.__dict__.items() if k not in ("_subject", "_tuned")}

    @property
    def criterion(self) -> str:
        """What went first; a function by its name."""
        return str(self.knobs["criterion"])

    @property
    def n(self) -> int:
        """Number of reported images."""
        return len(self.index)

    @cached_property
    def hit(self) -> np.ndarray:
        """Whether each answer is right, ``(S, L, n)``."""
        answers: np.ndarray = self.logits.argmax(-1)
        return answers == self.truth

    @cached_property
    def accuracy(self) -> np.ndarray:
        """Share of right answers, ``(S, L)``."""
        shares: np.ndarray = self.hit.mean(-1)
        return shares

    @cached_property
    def class_accuracy(self) -> np.ndarray:
        """The same for the images of each class, ``(S, L, K)``; NaN where there are none."""
        count = np.bincount(self.truth, minlength=len(self.classes))
        ones = self.truth[:, None] == np.arange(len(self.classes))
        with np.errstate(invalid="ignore"):
            shares: np.ndarray = (self.hit.astype(np.float64) @ ones) / count
        return shares

    @property
    def worst(self) -> np.ndarray:
        """Accuracy of the class that is worst off, ``(S, L)``."""
        worst: np.ndarray = np.nanmin(self.class_accuracy, axis=-1)
        return worst

    @cached_property
    def flipped(self) -> np.ndarray:
        """Whether each prediction differs from that of the whole network, ``(S, L, n)``."""
        answers = self.logits.argmax(-1)
        other: np.ndarray = answers != answers[:1, :1]
        return other

    def at(self, level: float) -> int:
        """Return the place of a level in ``levels``.

        Raises
        ------
        ValueError
            It was not computed.
        """
        place = self.place_of(level)
        if place is None:
            known = ", ".join(f"{x:g}" for x in self.levels)
            raise ValueError(
                f"level {level!r} was not computed: there are {known}. Choose one of these, or "
                "call rw.pruning with it in levels=."
            )
        return place

    @property
    def asked(self) -> tuple[float, ...]:
        """The levels asked for, ascending from 0; more than ``levels`` while a sweep grows."""
        return tuple(sorted({0.0, *map(float, self.knobs["levels"])}))

    @property
    def total(self) -> int:
        """How many filters, weights or multiply-adds there are, of which levels are parts."""
        if self.unit == "multiply-adds":
            return int(self.multiply_adds[0, 0])
        if self.criterion == "magnitude":
            return int(self.left[0, 0].sum())
        # Filters that go together are one unit of ``group``, and as many filters as layers.
        can = np.isin(self.layers, [name for group in self.groups for name in group])
        return int(self.left[0, 0, can].sum())

    @staticmethod
    def largest(values: np.ndarray) -> list[int]:
        """Return where the largest value stands, and what is equal to it in whole per cent."""
        order = np.argsort(-values, kind="stable").tolist()  # what is not known comes last
        return [k for k in order if np.rint(100 * values[k]) == np.rint(100 * values[order[0]])]

    def losers(self, place: int) -> list[int]:
        """Return the classes that lose most at a level, equal in whole points, the worst first."""
        lost = self.class_accuracy[0, 0] - self.class_accuracy[0, place]
        return self.largest(lost)

    def loser(self, place: int) -> int:
        """Return the class that loses most at a level, by its place in ``levels``."""
        return self.losers(place)[0]

    def hurts(self, place: int) -> bool:
        """Tell whether any class loses a whole point at a level."""
        lost = self.class_accuracy[0, 0] - self.class_accuracy[0, place]
        return bool(np.rint(100 * np.nanmax(lost)) > 0)

    def pays(self, number: int, place: int) -> bool:
        """Tell whether a class loses more than the average does, by more than a point."""
        change = self.class_accuracy[0, place, number] - self.class_accuracy[0, 0, number]
        average = self.accuracy[0, place] - self.accuracy[0, 0]
        return bool(change < min(average, 0) - 0.01)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of ``levels`` at all levels asked for, NaN where they are not computed.

        A line through them joins neighbours only: between others nothing was measured.
        """
        asked = np.array(self.asked)
        there = np.full(len(asked), np.nan)
        there[np.abs(asked[:, None] - self.levels).argmin(0)] = values
        return there

    def nearest(self, level: float) -> float:
        """Return the level asked for that is nearest to one, be it computed or not."""
        return min(self.asked, key=lambda one: abs(one - level))

    def probabilities(self, place: int, temperature: str = "raw", series: int = 0) -> np.ndarray:
        """Return the class probabilities at a level, ``(n, K)``, under one of ``TEMPERATURES``."""
        logits = self.logits[series, place].astype(np.float64)
        divisor = {
            "raw": 1.0,
            "old": self.temperatures[series, 0],
            "refitted": self.temperatures[series, place],
        }[temperature]
        return softmax(logits) if divisor == 1.0 else tempered(logits, divisor)

    @cached_property
    def calibration(self) -> dict[str, np.ndarray]:
        """Confidence, ECE and NLL ``(S, L)`` under each of ``TEMPERATURES``: ``"ece raw"`` etc."""
        table = np.array(
            [
                [
                    [
                        measure(
                            self.probabilities(place, temperature, series),
                            self.truth,
                            "top",
                            bins=BINS,
                            binning="width",
                        )
                        for place in range(len(self.levels))
                    ]
                    for series in range(len(self.logits))
                ]
                for temperature in TEMPERATURES
            ]
        )
        return {
            f"{name} {temperature}": table[row, :, :, CALIBRATION.index(name)]
            for row, temperature in enumerate(TEMPERATURES)
            for name in ("confidence", "ece", "nll")
        }

    def to_frame(self) -> DataFrame:
        """Return every figure: columns criterion, level, round, class, metric, value, low, high.

        ``class`` is ``"all"`` for figures over all classes. ``low`` and ``high`` are the 95 %
        interval over images (Wilson for shares, bootstrap for ECE and NLL); of ``"random"`` the
        value is the mean of the draws, and they are its smallest and its largest. Time is in
        seconds for one image, size in bytes.
        """
        from .table import frame

        return frame(self)

    def importance(self, oracle: Oracle | None = None) -> DataFrame:
        """Return one row a unit: layer, filter, group, score and, if given, the oracle's.

        Parameters
        ----------
        oracle : Oracle, optional
            Of the same network, see `reliab_widgets.oracle`; its mean over batches is shown, and
            NaN for units that it has not removed.
        """
        from pandas import DataFrame

        names = [" + ".join(layers) for layers in self.groups]
        table = {
            "layer": np.array([layers[0] for layers in self.groups])[self.group],
            "filter": self.channel,
            "group": np.array(names)[self.group],
            "score": self.scores,
        }
        if oracle is not None:
            own = list(zip(table["layer"], self.channel, strict=True))
            names = np.array(oracle.groups)[oracle.group]
            known = dict(zip(zip(names, oracle.channel, strict=True), oracle.by_batch, strict=True))
            if not set(known) <= set(own):
                raise ValueError(
                    f"oracle is of another network: it has units of {', '.join(oracle.groups[:3])} "
                    f"that are not among the {len(self.group):,} here. Compute it with rw.oracle "
                    "of the same subject."
                )
            table["oracle"] = np.array([known.get(unit, np.nan) for unit in own])
        return DataFrame(table)

    def flips(self, level: float) -> DataFrame:
        """Return the images whose prediction changes: image, truth, before, after, confidence.

        Parameters
        ----------
        level : float
            One of ``levels``.
        """
        from pandas import DataFrame

        place = self.at(level)
        rows = np.flatnonzero(self.flipped[0, place])
        names = np.array(self.classes)
        return DataFrame(
            {
                "image": self.index[rows],
                "truth": names[self.truth[rows]],
                "before": names[self.logits[0, 0, rows].argmax(1)],
                "after": names[self.logits[0, place, rows].argmax(1)],
                "confidence": self.probabilities(place)[rows].max(1),
            }
        )

    def variant(self, level: float, subject: Subject | None = None) -> Subject:
        """Return the subject with the network of a level: for every other analysis.

        Parameters
        ----------
        level : float
            One of ``levels``.
        subject : Subject, optional
            The one that was examined; needed where this result was loaded from a file.

        Raises
        ------
        ValueError
            The level was not computed; no subject is known, or another one is given; the weights
            of a fine-tuned network are not in the file.
        """
        place = self.at(level)
        known = self.__dict__.get("_subject")
        subject = known if subject is None else subject
        if subject is None:
            raise ValueError(
                "this result was loaded and has numbers only, no network. Pass subject= as the one "
                "that it was computed on."
            )
        if subject.fingerprint != self.fingerprint:
            raise ValueError(
                f"subject is not the one that was examined: got {subject.name}, "
                f"{subject.fingerprint[:12]}, this result is of {self.subject}, "
                f"{self.fingerprint[:12]}. Pass that one."
            )
        if place == 0:
            return subject
        if not self.has_networks:
            raise ValueError(_NO_NETWORK[self.criterion == "magnitude"])
        name, code = f"{self.subject}, {self.levels[place]:.0%} pruned", f"result.variant({level})"
        if self.knobs["finetune"]:
            return subject.on(self.__dict__["_tuned"][place].network, name=name, code=code)
        from ...ops.pruning.structure import cut, structure

        cut_off = cut(subject, structure(subject), self.removed[0, place])
        return cut_off.replaced(name=name, code=code)

    @property
    def has_networks(self) -> bool:
        """Whether `variant` can make the smaller networks, if it is given the subject."""
        if self.criterion == "magnitude":
            return False
        return not self.knobs["finetune"] or self.__dict__.get("_tuned") is not None

    def model(self, level: float, subject: Subject | None = None) -> nn.Module:
        """Return the smaller network of a level, see `variant`."""
        return self.variant(level, subject).model

    @property
    def unit(self) -> str:
        """What levels are parts of."""
        if self.criterion == "magnitude":
            return "weights"
        return {"filters": "filters", "flops": "multiply-adds"}[self.knobs["scope"]]

    @property
    def telling(self) -> int:
        """Place of the highest level that costs at most ten points, or of the lowest above 0."""
        fine = np.flatnonzero(self.accuracy[0] >= self.accuracy[0, 0] - 0.1)
        return max(int(fine[-1]), min(1, len(self.levels) - 1))

    def __str__(self) -> str:
        return sentences.summary(self)

    def reading(self, *, level: float | None = None, payer: int | None = None, **views: Any) -> str:
        """Say what a level costs, and whom; by default the one that tells most."""
        return sentences.reading(self, level, payer)

    def against(self, pinned: Result, *, level: float | None = None, **views: Any) -> str:
        """Say how this differs from a pinned result, by default at the highest level they share."""
        return sentences.against(self, pinned, level) if isinstance(pinned, Pruning) else ""

    def place_of(self, level: float) -> int | None:
        """Return the place of a level in ``levels``, None if it was not computed."""
        place = int(np.abs(self.levels - level).argmin())
        return place if abs(self.levels[place] - level) < 1e-6 else None

    def waits_for(self, level: float) -> bool:
        """Tell whether a level is asked for but not computed yet."""
        return self.place_of(level) is None and self.nearest(level) == level

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Pruning | None = None,
        level: Annotated[float | None, LEVEL] = None,
        temperature: Annotated[str, TEMPERATURE] = "old",
        image: Annotated[int | None, IMAGE] = None,
        layer: Annotated[str | None, Auto(Text())] = None,
        payer: Annotated[int | None, Auto(Whole(0, lambda r: len(r.classes) - 1))] = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw the sweep, what each class pays, and what was removed in each layer.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Pruning, optional
            Drawn behind as a ghost.
        level : float, optional
            The level whose classes and layers are shown; by default the highest that costs at most
            ten points.
        temperature : str
            For the panels of the widget: ``"raw"`` (none), ``"old"`` (that of the whole network)
            or ``"refitted"`` (to the pruned one).
        image : int, optional
            For the panels of the widget: a reported image.
        layer : str, optional
            The layer to mark, one of ``layers``.
        payer : int, optional
            The class to mark, by its number.
        narrow : bool
            Whether it is laid out for 640 pixels instead of 880.
        """
        from .drawing import Narrow, Sweep

        if level is None:
            level = float(self.levels[self.telling])
        elif not self.waits_for(level):
            level = float(self.levels[self.at(level)])
        (Narrow if narrow else Sweep).on(figure).show(self, pinned, level, layer, payer)


_NO_NETWORK = {
    True: "single weights were removed, not filters: there is no smaller network. Choose "
    'criterion="weight" or "taylor" to have one.',
    False: "the weights of fine-tuned networks are not kept in a file. Run result.code() again.",
}
