"""What a propagation analysis gives back: its numbers, its sentence and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Text, Whole
from ...core.result import Record, Result
from ...core.wording import grey_levels, images, nearest, percent, problem
from ...ops.attacks.catalogue import METHODS
from ...ops.calibration.metrics import softmax
from ...ops.features.plan import Plan
from .sentences import (
    CONTROL_TOO,
    FLIPPED,
    NOT_FLIPPED,
    TO_RUNNER_UP,
    TO_TARGET,
    compared,
    finding,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

METRICS = ("rms", "relative", "variance", "cosine")
VIEWS = ("ratio", "distance", "steps")
AMPLIFIED = (1, 2, 4, 8, 16, 32, 64)
RESAMPLES = 1000
NORM = Choice(("Linf", "L2", ""))


@dataclass(frozen=True, eq=False, repr=False)
class Propagation(Result):
    """How far attacked images are from clean ones, layer by layer, next to random noise.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    norm : str
        What ``epsilon`` bounds: ``"Linf"``, ``"L2"``, or ``""`` where the attack knows no bound
        (``"none"``, ``"deepfool"`` and others for the smallest change, functions).
    step_size : float
        As it was, in the units of epsilon; NaN where there are no steps.
    index, truth : numpy.ndarray
        ``(n,)``: the images' positions in the subject, and their labels.
    kinds : tuple of str
        What was compared with the clean image: ``"adversarial"`` (denoised if there is a
        denoiser) and ``"random"`` (equally large random noise, never denoised: the yardstick stays
        the same); with a denoiser also ``"undefended"`` (the attacked image, not denoised) and
        ``"clean-denoised"``. Their order is always adversarial, undefended, random,
        clean-denoised.
    layers, types, shapes : tuple of str
        ``L`` of each, in the order of execution, ``"input"`` first, ``"logits"`` and
        ``"probabilities"`` last; a second use is ``"relu (2nd use)"``; a type is ``"Conv2d"``, a
        shape ``"16 x 32 x 32"``. The first and the last two have the type ``""``.
    plan : Plan
        Where the layers between input and logits stand in the network.
    distance : numpy.ndarray
        ``(kinds, 4, L, n)`` float32, metrics in the order of ``METRICS``; from the clean image
        that did not pass through the denoiser.
    logits : numpy.ndarray
        ``(1 + kinds, n, K)`` float32, the clean images first.
    trajectory : numpy.ndarray
        ``(T + 1, n, K)`` float32: logits after 0, 1, ..., T steps of the attack, as the attacker
        sees them (``knowledge="white-box"``: behind the denoiser). A callable, and attacks by
        queries, have one step; an image that needs no more steps keeps its last row.
    pictures : numpy.ndarray
        ``(1 + kinds, C, H, W)`` float32 in [0, 1]: the first examined image, clean one first.
    doubt : str
        What speaks for a network that hides from the attack, in a sentence; or nothing.
    notes : tuple of str
        What the reader must know: the doubt, approximated gradients, layers that cannot be seen.
    """

    version: ClassVar[int] = 4

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and K > 1 and T > 0 and pictures.size > 0",
        "kinds[0] == 'adversarial' and 'random' in kinds and len(set(kinds)) == len(kinds)",
        "layers[0] == 'input' and layers[-2:] == ('logits', 'probabilities')",
        "layers[1:-2] == plan.names",
        "len(set(layers)) == len(layers)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {
        "attack": Text(),
        "epsilon": Real(least=0),
        "target": Text(),
        "denoiser": Text(),
        "steps": Whole(0, 10**9),
        "knowledge": Text(),
        "correct_only": Flag(),
    }

    classes: Annotated[tuple[str, ...], Array("K")]
    norm: Annotated[str, NORM]
    step_size: Annotated[float, Array("", least=0, nan=True)]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    kinds: Annotated[tuple[str, ...], Array("R")]
    layers: Annotated[tuple[str, ...], Array("L")]
    types: Annotated[tuple[str, ...], Array("L")]
    shapes: Annotated[tuple[str, ...], Array("L")]
    plan: Plan
    distance: Annotated[np.ndarray, Array("R 4 L n", least=0, nan=True, inf=True)]
    logits: Annotated[np.ndarray, Array("R+1 n K")]
    trajectory: Annotated[np.ndarray, Array("T n K")]
    pictures: Annotated[np.ndarray, Array("R+1 C H W", least=0, most=1)]
    doubt: str
    notes: tuple[str, ...]

    @property
    def examined(self) -> str:
        """Say which images it is about."""
        return images(self.index)

    @property
    def branches(self) -> np.ndarray:
        """Which layers are on a shortcut, or on a branch beside others, ``(L,)`` bool."""
        return np.concatenate([[False], self.plan.beside, [False, False]])

    @property
    def attack(self) -> str:
        """What attacked: a callable is known by its name."""
        return str(self.knobs["attack"])

    @property
    def epsilon(self) -> float:
        """How far the attack might go."""
        return float(self.knobs["epsilon"])

    @property
    def target(self) -> str:
        """Where it led: ``"any"``, ``"runner-up"`` or the name of a class."""
        return str(self.knobs["target"])

    @property
    def denoiser(self) -> str:
        """What stood before the network, ``"none"`` if nothing."""
        return str(self.knobs["denoiser"])

    @property
    def n(self) -> int:
        """How many images were examined."""
        return len(self.index)

    @property
    def answers(self) -> np.ndarray:
        """The classes answered, ``(1 + kinds, n)``, for the clean images first."""
        return self.logits.argmax(axis=2)

    @property
    def verdict(self) -> tuple[str, ...]:
        """One grade for each image: what became of the answer to the clean image.

        ``"not flipped"``, ``"flipped to the runner-up"``, ``"flipped to the target"`` (of a
        targeted attack) or ``"flipped"``, and ``"control flipped too: epsilon is simply large"``.
        """
        clean, attacked = self.answers[0], self.answers[1]
        control = self.answers[1 + self.kinds.index("random")]
        runner_up = _runner_up(self.logits[0])
        target = self.classes.index(self.target) if self.target in self.classes else -1
        grades = np.select(
            [attacked == clean, control != clean, attacked == target, attacked == runner_up],
            [NOT_FLIPPED, CONTROL_TOO, TO_TARGET, TO_RUNNER_UP],
            FLIPPED,
        )
        return tuple(map(str, grades))

    @property
    def strongest(self) -> str:
        """The layer inside the network at which the attack most exceeds random noise, by rms."""
        inside = [place for place, kind in enumerate(self.types) if kind]
        return self._strongest_of(inside or [len(self.layers) - 2])

    @property
    def strongest_map(self) -> str:
        """The same among the layers whose channels are maps, if there are any."""
        maps = [place for place, kind in enumerate(self.types) if kind == "Conv2d"]
        return self._strongest_of(maps) if maps else self.strongest

    def _strongest_of(self, places: list[int]) -> str:
        ratios = np.nan_to_num(self.ratio(), nan=-1)
        return self.layers[max(places, key=lambda place: ratios[place])]

    def place(self, layer: str) -> int:
        """Return where in ``layers`` a layer is; a ValueError says which there are."""
        if layer not in self.layers:
            fix = f"{nearest(layer, self.layers)}Choose layer= from {', '.join(self.layers)}"
            raise ValueError(problem("there is no such layer in the result", f"got {layer!r}", fix))
        return self.layers.index(layer)

    def of(self, kind: str, metric: str = "rms") -> np.ndarray:
        """Return the distances of one kind, ``(L, n)``."""
        values: np.ndarray = self.distance[self.kinds.index(kind), METRICS.index(metric)]
        return values

    def ratio(self, metric: str = "rms", kind: str = "adversarial") -> np.ndarray:
        """Return for each layer how much further than random noise a kind goes, ``(L,)``.

        It is the ratio of the two medians over the images; NaN where both are 0.
        """
        return _over(np.median(self.of(kind, metric), 1), np.median(self.of("random", metric), 1))

    def first(self, metric: str = "rms", kind: str = "adversarial") -> np.ndarray:
        """Return the same for the first image alone, which the pictures show, ``(L,)``."""
        return _over(self.of(kind, metric)[:, 0], self.of("random", metric)[:, 0])

    def interval(self, metric: str = "rms", kind: str = "adversarial") -> np.ndarray:
        """Return the 95 % bootstrap interval of `ratio`, ``(2, L)``: images are drawn anew."""
        pairs = zip(self.of(kind, metric), self.of("random", metric), strict=True)
        return np.array([_interval(attacked, control) for attacked, control in pairs]).T

    def to_frame(self) -> DataFrame:
        """Return every distance: columns image, kind, layer, order, type, metric, value."""
        from pandas import DataFrame

        kind, metric, order, image = (axis.ravel() for axis in np.indices(self.distance.shape))
        return DataFrame(
            {
                "image": self.index[image],
                "kind": np.array(self.kinds)[kind],
                "layer": np.array(self.layers)[order],
                "order": order,
                "type": np.array(self.types)[order],
                "metric": np.array(METRICS)[metric],
                "value": self.distance.ravel(),
            }
        )

    def summary(self) -> DataFrame:
        """Return median, quartiles and ratio to random noise for each kind, layer and metric.

        Columns: kind, layer, order, type, metric, n, median, lower, upper (quartiles over the
        images), ratio (to random, of the medians), low and high (its 95 % bootstrap interval).
        """
        from pandas import DataFrame, concat

        parts = []
        for kind in self.kinds:
            for metric in METRICS:
                with np.errstate(invalid="ignore"):  # between two infinite values lies NaN
                    quartiles = np.quantile(self.of(kind, metric), (0.5, 0.25, 0.75), axis=1)
                low, high = self.interval(metric, kind)
                parts.append(
                    DataFrame(
                        {
                            "kind": kind,
                            "layer": self.layers,
                            "order": np.arange(len(self.layers)),
                            "type": self.types,
                            "metric": metric,
                            "n": self.n,
                            "median": quartiles[0],
                            "lower": quartiles[1],
                            "upper": quartiles[2],
                            "ratio": self.ratio(metric, kind),
                            "low": low,
                            "high": high,
                        }
                    )
                )
        return concat(parts, ignore_index=True)

    def outcomes(self) -> DataFrame:
        """Return for each kind, clean first: n, accuracy, mean confidence, and flips.

        A flip is an answer that is not the one to the clean image.
        """
        from pandas import DataFrame, Index

        answers = self.answers
        return DataFrame(
            {
                "n": self.n,
                "accuracy": (answers == self.truth).mean(axis=1),
                "confidence": [softmax(logits).max(axis=1).mean() for logits in self.logits],
                "flips": (answers != answers[0]).sum(axis=1),
            },
            index=Index(("clean", *self.kinds), name="kind"),
        )

    def accuracy(self, kind: str) -> float:
        """Return the accuracy of ``"clean"`` or of one of ``kinds``, in per unit."""
        row = ("clean", *self.kinds).index(kind)
        return float((self.answers[row] == self.truth).mean())

    def settings(self) -> str:
        """Say what was done to the images, in a few words."""
        if self.denoiser == "none":
            return self.attacked()
        knowledge = self.knobs["knowledge"]
        way = "past" if knowledge == "grey-box" else "through"
        return f"{self.attacked()}, {way} the denoiser {self.denoiser} ({knowledge})"

    def attacked(self) -> str:
        """Say how the images were attacked, in a few words."""
        steps, entry = self.knobs["steps"], METHODS.get(self.attack)
        words = self.attack if entry is None else entry.words
        if self.norm:
            words += f" {grey_levels(self.epsilon, self.norm)}"
            if entry is not None and entry.counts:
                unit = {"step": ("step", "steps"), "query": ("query", "queries")}[entry.counts]
                words += f", {steps:,} {unit[steps != 1]}"
        if self.target != "any":
            words += f", towards {self.target}"
        return words

    def __str__(self) -> str:
        last = self.layers.index("logits")
        moved, control = (float(np.median(self.of(k)[last])) for k in ("adversarial", "random"))
        ratio = self.ratio()[last]
        low, high = _interval(self.of("adversarial")[last], self.of("random")[last])
        times = ""
        if ratio > 0 and np.isfinite([ratio, low, high]).all():
            between = f"; 95 % interval {low:.1f}–{high:.1f}" if self.n > 1 else ""
            times = f" ({ratio:.1f} times{between})"
        flips = (self.answers != self.answers[0]).sum(axis=1)
        whose = " of correctly classified images" if self.knobs["correct_only"] else ""
        accuracy = [percent(self.accuracy(kind)) for kind in ("clean", "adversarial")]
        words = (
            f"{self.subject} under {self.settings()}: the logits move by {moved:.3g} (rms), under "
            f"random noise of the same size by {control:.3g}{times}; {flips[1]:,} of {self.n:,} "
            f"predictions{whose} change, {flips[1 + self.kinds.index('random')]:,} under random "
            f"noise; accuracy from {accuracy[0]} to {accuracy[1]}"
        )
        if "undefended" in self.kinds:
            words += f" ({percent(self.accuracy('undefended'))} without the denoiser)"
        return f"{words}." + f" Verdict: {self.doubt}." * bool(self.doubt)

    def reading(self, **views: Any) -> str:
        """Say how far the attack moves the logits, what became of the prediction, and of others."""
        return finding(self, views.get("metric", "rms"))

    def against(self, pinned: Result, **views: Any) -> str:
        """Say how this differs from a pinned result."""
        if not isinstance(pinned, Propagation):
            return ""
        return compared(self, pinned, views.get("metric", "rms"))

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Propagation | None = None,
        view: Annotated[str, Choice(VIEWS)] = "ratio",
        metric: Annotated[str, Choice(METRICS)] = "rms",
        log: Annotated[bool, Flag()] = True,
        layer: Annotated[str | None, Auto(Text())] = None,
        amplify: Annotated[float, Real(above=0, stops=AMPLIFIED)] = 8,
        step: Annotated[int | None, Auto(Whole(0, 1000, "no attack has more"))] = None,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw the first image and how far each layer is moved, or another view of the attack.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Propagation, optional
            Drawn behind as a ghost.
        view : str
            ``"ratio"``: images, and distances divided by those of random noise; ``"distance"``: the
            distances themselves; ``"steps"``: the logits at each step of the attack.
        metric : str
            How distances are measured: ``"rms"`` (root mean square), ``"relative"`` (L2 over the
            clean features' L2), ``"variance"`` (normalised) or ``"cosine"``.
        log : bool
            Whether the axis of the distances is logarithmic; that of ratios is.
        layer : str, optional
            The layer to mark, one of ``layers``; by default the map at which the attack most
            exceeds random noise.
        amplify : float
            By how much the difference from the clean image is made visible.
        step : int, optional
            The step of the attack to mark; by default the one at which the prediction changes.
        narrow : bool
            Whether it is laid out for 640 pixels instead of 880.
        """
        marked = self.strongest_map if layer is None else self.layers[self.place(layer)]
        if view == "steps":
            from .charts import NarrowSteps, Steps

            (NarrowSteps if narrow else Steps).on(figure).show(self, step)
        elif view == "distance":
            from .charts import Distances, NarrowDistances

            kind = NarrowDistances if narrow else Distances
            kind.on(figure).show(self, pinned, metric, log, marked)
        else:
            from .drawing import Attacked, Narrow

            (Narrow if narrow else Attacked).on(figure).show(self, pinned, metric, marked, amplify)


@dataclass(frozen=True, eq=False)
class Channels(Record):
    """The feature maps of the first examined image at one layer, the most changed channel first.

    Parameters
    ----------
    layer : str
        Its name in ``Propagation.layers``.
    channel : numpy.ndarray
        ``(C,)`` the channels' numbers in the network, sorted by ``change``, largest first. All
        arrays below are in this order.
    clean, adversarial, random : numpy.ndarray
        ``(C, h, w)`` float32; ``adversarial`` is denoised if there is a denoiser. A layer without
        maps has ``h = w = 1``.
    change, control : numpy.ndarray
        ``(C,)`` root mean square of ``adversarial - clean`` and of ``random - clean``.
    """

    layer: str
    channel: Annotated[np.ndarray, Array("C", int, least=0)]
    clean: Annotated[np.ndarray, Array("C h w")]
    adversarial: Annotated[np.ndarray, Array("C h w")]
    random: Annotated[np.ndarray, Array("C h w")]
    change: Annotated[np.ndarray, Array("C", least=0)]
    control: Annotated[np.ndarray, Array("C", least=0)]


def _over(attacked: np.ndarray, control: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return attacked / control


def _interval(attacked: np.ndarray, control: np.ndarray) -> tuple[float, float]:
    """Bootstrap the ratio of two medians over the same images."""
    count = len(attacked)
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    ratios = np.sort(_over(np.median(attacked[drawn], 1), np.median(control[drawn], 1)))
    low, high = (round(share * (RESAMPLES - 1)) for share in (0.025, 0.975))
    return float(ratios[low]), float(ratios[high])


def _runner_up(logits: np.ndarray) -> np.ndarray:
    return np.argsort(-logits, axis=1, kind="stable")[:, 1]
