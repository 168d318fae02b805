"""What a saliency analysis gives back: maps, how far they agree, and how deletion judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ...core.fields import Array
from ...core.knobs import Auto, Choice, Flag, Kind, Real, Several, Text, Whole
from ...core.result import Result
from ...core.wording import images, percent
from ...ops.attribution.palette import hex_code
from ...ops.statistics.agreement import MEASURES, kendall
from . import sentences
from .values import CELLS, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

NEAR = 0.05
"""Two colours are as good as equal when no channel differs by more (pixel units)."""
FILLS = ("black", "white", "mean", "blur", "own")
POLARITIES = ("signed", "magnitude", "positive", "negative")
PARTS = ("maps", "agreement", "deletion", "path")
VERSUS = ("baseline", "untrained", "behind")
CELL = Several(Whole(1, CELLS), least=2, most=2)
STEPS = 16
"""Of the handle for alpha."""


def _last(result: Saliency) -> int:
    return len(result.baselines) - 1


PAIR = Several(Whole(0, _last, "there are no more baselines"), least=2, most=2)


def _fills(result: Saliency) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*FILLS, *result.fills)))


@dataclass(frozen=True, eq=False, repr=False)
class Saliency(Result):
    """Maps of the same images with several baselines, their agreement, and deletion curves.

    n images, B baselines, Y sets of hyper-parameters (the chosen one first), K classes, F fills,
    P points of a deletion curve, S steps of the path, U = B maps of an untrained network or, if
    none was asked for, 0; M = B Y + U maps in `compared`.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes.
    layer : str
        The layer of Grad-CAM, otherwise empty.
    window, stride : int
        Of occlusion, as they were chosen.
    index, truth, answer, target : numpy.ndarray
        ``(n,)``: position in the subject; label; answer to the clean image; explained class.
    images : numpy.ndarray
        ``(n, C, H, W)``, pixel units.
    baselines : tuple of str
        B names, ``("none",)`` for a method that has no baseline.
    baseline_images : numpy.ndarray
        ``(n, B, C, H, W)``; the mean of several samples; zeros for ``"none"``.
    hyper : tuple of str
        Y sets in words, ``"window 8, stride 4"`` for instance.
    hyper_maps : numpy.ndarray
        ``(n, Y, B, H, W)`` float32, signed, channels summed.
    untrained : numpy.ndarray
        ``(n, U, H, W)``: the same as `maps`, by the network with weights drawn anew.
    probabilities : numpy.ndarray
        ``(n, K)`` of the clean images.
    neutrality : numpy.ndarray
        ``(n, B, K)``: probabilities of the baselines (mean over several samples); NaN for "none".
    scores_clean, scores_baseline : numpy.ndarray
        ``(n,)`` and ``(n, B)``: the score of the explained class on image and baseline; NaN for
        "none".
    path, credit : numpy.ndarray
        ``(n, B, S + 1)``: score on the straight way from the baseline to the image at
        ``linspace(0, 1, S + 1)``, and the sum of the attribution accumulated so far. Only for
        integrated gradients; otherwise the last axis is empty.
    path_maps : numpy.ndarray
        ``(B, min(S, 32) + 1, H, W)`` float16: maps of the first image accumulated so far, at equal
        distances along the path, in units of ``path_scale``; see `accumulated`.
    path_scale : numpy.ndarray
        ``(B,)``: the largest magnitude of the maps along each path.
    gap : numpy.ndarray
        ``(n, B)``: sum of the map minus (score of the image - score of the baseline); NaN for
        methods whose maps need not add up to that.
    fills : tuple of str
        F names; ``"own"`` fills with the baseline of each map.
    fractions : numpy.ndarray
        ``(P,)``: share of the pixels that was replaced, from 0 to 1.
    morf, lerf : numpy.ndarray
        ``(n, B + 1, F, P)``: score while pixels are replaced, most relevant first and least
        relevant first; the last row is the mean of several random orders.
    compared : tuple of str
        M names: the B maps, the other hyper-parameter sets, the B maps of the untrained network.
    agreement : numpy.ndarray
        ``(4, n, M, M)``: in the order of ``MEASURES``: Spearman's rank correlation of the signed
        values, of the magnitudes, intersection over union of the top 10 % of the pixels, SSIM. NaN
        where a map is constant.
    convergence_size : numpy.ndarray
        ``(L,)``: numbers of masks, samples or steps.
    convergence : numpy.ndarray
        ``(n, B, L)``: Spearman's correlation between the maps of two disjoint sets of so many masks
        or samples, or, for integrated gradients, between so many steps and all.
    notes : tuple of str
        What a reader should know: where a mean was taken from, which map is zero.
    """

    version: ClassVar[int] = 3
    INCOMPLETE: ClassVar[float] = 0.2
    """Gaps above this share of the change leave too little sure to derive anything from a map."""

    facts: ClassVar[tuple[str, ...]] = (
        "n > 0 and B > 0 and Y > 0 and U in (0, B) and M == B * Y + U",
        "np.allclose(probabilities.sum(1), 1, atol=1e-3)",
        "np.array_equal(probabilities.argmax(1), answer)",
    )
    needs: ClassVar[Mapping[str, Kind]] = {"method": Text(), "score": Text()}

    classes: Annotated[tuple[str, ...], Array("K")]
    layer: str
    window: Annotated[int, Array("", int, least=0)]
    stride: Annotated[int, Array("", int, least=0)]
    index: Annotated[np.ndarray, Array("n", int, least=0)]
    truth: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    answer: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    target: Annotated[np.ndarray, Array("n", int, least=0, most="K-1")]
    images: Annotated[np.ndarray, Array("n C H W", least=0, most=1)]
    baselines: Annotated[tuple[str, ...], Array("B")]
    baseline_images: Annotated[np.ndarray, Array("n B C H W")]
    hyper: Annotated[tuple[str, ...], Array("Y")]
    hyper_maps: Annotated[np.ndarray, Array("n Y B H W")]
    untrained: Annotated[np.ndarray, Array("n U H W")]
    probabilities: Annotated[np.ndarray, Array("n K", least=0, most=1)]
    neutrality: Annotated[np.ndarray, Array("n B K", least=0, most=1, nan=True)]
    scores_clean: Annotated[np.ndarray, Array("n")]
    scores_baseline: Annotated[np.ndarray, Array("n B", nan=True)]
    path: Annotated[np.ndarray, Array("n B S")]
    credit: Annotated[np.ndarray, Array("n B S")]
    path_maps: Annotated[np.ndarray, Array("B Q H W", least=-1, most=1)]
    path_scale: Annotated[np.ndarray, Array("B", least=0)]
    gap: Annotated[np.ndarray, Array("n B", nan=True)]
    fills: Annotated[tuple[str, ...], Array("F")]
    fractions: Annotated[np.ndarray, Array("P", least=0, most=1, rising=True)]
    morf: Annotated[np.ndarray, Array("n B+1 F P")]
    lerf: Annotated[np.ndarray, Array("n B+1 F P")]
    compared: Annotated[tuple[str, ...], Array("M")]
    agreement: Annotated[np.ndarray, Array("4 n M M", least=-1, most=1, nan=True)]
    convergence_size: Annotated[np.ndarray, Array("Z", int, least=1, rising=True)]
    convergence: Annotated[np.ndarray, Array("n B Z", least=-1, most=1, nan=True)]
    notes: tuple[str, ...]

    @property
    def examined(self) -> str:
        """Say which images it is about."""
        return images(self.index)

    @property
    def method(self) -> str:
        """How the maps were made; a method of one's own by its name."""
        return str(self.knobs["method"])

    @property
    def score(self) -> str:
        """What is explained of a class: its probability, logit or log-odds."""
        return str(self.knobs["score"])

    # --- maps ---------------------------------------------------------------------------------

    @property
    def maps(self) -> np.ndarray:
        """``(n, B, H, W)``: the maps of the chosen hyper-parameters."""
        return self.hyper_maps[:, 0]

    @property
    def has_baseline(self) -> bool:
        """Whether the method compares with a baseline at all."""
        return self.baselines != ("none",)

    def called(self, baseline: int) -> str:
        """Return what to call a baseline, or the method if it has none; a colour by its hex code.

        Examples
        --------
        >>> import reliab_widgets as rw
        >>> subject = rw.demo("resnet20")
        >>> rw.saliency(subject, baselines="blur:0.2", steps=2, points=2).called(0)
        'blur 0.2'
        """
        if not self.has_baseline:
            return sentences.method(self)
        name = self.baselines[baseline]
        return hex_code(name) if name.startswith("color:") else name.replace(":", " ")

    def only(self, *baselines: int) -> Saliency:
        """Return the same of some of the baselines, by their positions.

        Examples
        --------
        >>> import reliab_widgets as rw
        >>> result = rw.saliency(rw.demo("resnet20"), steps=2, points=2)
        >>> result.only(3, 0).baselines
        ('blur', 'black')
        """
        some, count = list(baselines), len(self.baselines)
        groups = range(len(self.compared) // count)
        maps = [group * count + b for group in groups for b in some]
        parts = {
            name: getattr(self, name)[:, some]
            for name in ("baseline_images", "neutrality", "scores_baseline", "gap", "convergence")
        }
        parts |= {name: getattr(self, name)[:, some] for name in ("path", "credit")}
        parts |= {name: getattr(self, name)[:, [*some, count]] for name in ("morf", "lerf")}
        parts |= {name: getattr(self, name)[some] for name in ("path_maps", "path_scale")}
        return replace(
            self,
            baselines=tuple(self.baselines[b] for b in some),
            hyper_maps=self.hyper_maps[:, :, some],
            untrained=self.untrained[:, some if self.untrained.shape[1] else []],
            compared=tuple(self.compared[at] for at in maps),
            agreement=self.agreement[:, :, maps][..., maps],
            **parts,
        )

    def accumulated(self, baseline: int, step: int) -> np.ndarray:
        """Return the first image's map ``(H, W)`` accumulated up to a step of the path, 0 to S."""
        maps = self.path_maps[baseline].astype(np.float32) * self.path_scale[baseline]
        place = step / (self.path.shape[-1] - 1) * (len(maps) - 1)
        low = min(int(place), len(maps) - 2)
        return maps[low] + (place - low) * (maps[low + 1] - maps[low])

    @property
    def gaps(self) -> np.ndarray:
        """``(B,)``: mean gap as a share of the change in the score; NaN where nothing is due."""
        due = np.abs(self.scores_clean[:, None] - self.scores_baseline).mean(0)
        gap = np.abs(self.gap).mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(gap == 0, 0.0, gap / due)

    def incomplete(self, *baselines: int) -> bool:
        """Tell whether the map of any of these baselines misses too much of what is due."""
        return bool((self.gaps[list(baselines)] > self.INCOMPLETE).any())

    @property
    def top_probability(self) -> np.ndarray:
        """``(n, B)``: how sure the network is of some class on the baseline; 1/K is neutral."""
        return self.neutrality.max(-1)

    @property
    def entropy(self) -> np.ndarray:
        """``(n, B)``: entropy of the answer to the baseline, in nats; ln K is neutral."""
        p = self.neutrality
        return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)

    @property
    def blindest(self) -> int | None:
        """The baseline of one colour that most pixels have, None if there is none such."""
        if not self.has_baseline:
            return None
        baselines = self.baseline_images[0]
        flat = np.ptp(baselines, axis=(2, 3)).max(1) == 0
        near = (np.abs(baselines - self.images[0]).max(1) <= NEAR).mean((1, 2)) * flat
        return int(near.argmax()) if near.any() else None

    def blind_spot(self, baseline: int, image: int = 0) -> str:
        """Say how much credit goes to the pixels that have the colour of the baseline."""
        name = self.baselines[baseline]
        if not self.has_baseline:
            return f"{self.method} has no baseline."
        apart = np.abs(self.images[image] - self.baseline_images[image, baseline]).max(0)
        credit = np.abs(self.maps[image, baseline])
        total = credit.sum()
        near = apart <= NEAR
        if total == 0:
            return f"With {name}, no pixel gets any credit."
        if not near.any():
            return f"With {name}, no pixel has the baseline's colour."
        part, got = share(near.mean()), share(credit[near].sum() / total)
        same = apart == 0
        if same.any() and credit[same].sum() == 0:
            exact = "exactly 0 of the credit"
            if same.sum() == near.sum():
                return f"With {name}, the {part} {name} pixels get {exact}."
            return (
                f"With {name}, the {share(same.mean())} {name} pixels get {exact}, the "
                f"{part} nearly {name} ones {got}."
            )
        return f"With {name}, the {part} nearly {name} pixels get {got} of the credit."

    # --- agreement ----------------------------------------------------------------------------

    def agree(self, measure: str = "signed") -> np.ndarray:
        """Return the ``(M, M)`` agreement of the `compared` maps, mean over the images."""
        return _mean(self.agreement[MEASURES.index(measure)])

    def between_baselines(self, measure: str = "signed") -> np.ndarray:
        """Return the ``(B, B)`` agreement between baselines, mean over the images."""
        count = len(self.baselines)
        return self.agree(measure)[:count, :count]

    def control(self, measure: str = "signed") -> np.ndarray:
        """Return the ``(B,)`` agreement of each map with that of the untrained network, or NaN."""
        count = len(self.baselines)
        if not self.untrained.shape[1]:
            return np.full(count, np.nan)
        return np.diagonal(self.agree(measure)[:count, -count:]).copy()

    def ceiling(self) -> np.ndarray:
        """Return the ``(B,)`` noise ceiling: agreement of a map with itself, drawn twice.

        For masks and samples that is the agreement of two disjoint halves, so that all of them
        agree a little better than this; for integrated gradients, of half the steps with all. NaN
        for methods in which nothing is drawn and nothing converges.
        """
        if not self.convergence_size.size:
            return np.full(len(self.baselines), np.nan)
        return _mean(self.convergence[:, :, -1])

    def lowest(self, measure: str = "signed") -> tuple[int, int, float] | None:
        """Return the two baselines that agree least, and how much; None if there are no two."""
        table = self.between_baselines(measure)
        rows, columns = np.triu_indices(len(table), 1)
        values = table[rows, columns]
        if not np.isfinite(values).any():
            return None
        worst = int(np.nanargmin(values))
        return int(rows[worst]), int(columns[worst]), float(values[worst])

    # --- deletion -----------------------------------------------------------------------------

    def areas(self, order: str = "morf") -> np.ndarray:
        """Return the area under each deletion curve, ``(n, B + 1, F)``; order "morf" or "lerf"."""
        curves = {"morf": self.morf, "lerf": self.lerf}[order]
        return np.trapezoid(curves, self.fractions, axis=-1)

    def wins(self, order: str = "morf") -> np.ndarray:
        """Return how often each baseline's map does best under each fill, ``(F, B)``, in images.

        The best has the smallest area when the most relevant pixels go first, the largest when
        the least relevant do.
        """
        areas = self.areas(order)[:, :-1]
        best = areas.argmin(1) if order == "morf" else areas.argmax(1)
        return np.stack([(best == b).sum(0) for b in range(len(self.baselines))], axis=-1)

    def fill_disagreement(self, order: str = "morf") -> np.ndarray:
        """Return Kendall's tau ``(F, F)`` between the rankings of the maps under two fills.

        1 means that the fill does not matter; the mean over the images. NaN with one map.
        """
        areas = self.areas(order)[:, :-1]
        return _mean(np.stack([kendall(image.T) for image in areas]))

    # --- tables -------------------------------------------------------------------------------

    def to_frame(self) -> DataFrame:
        """Return every value of every map: image, method, hyper, baseline, row, col, value."""
        from pandas import DataFrame, concat

        n, sets, count, height, width = self.hyper_maps.shape
        parts = [(self.hyper_maps[:, y], self.method, self.hyper[y]) for y in range(sets)]
        if self.untrained.shape[1]:
            parts.append((self.untrained, f"{self.method}, untrained", self.hyper[0]))
        image, baseline, row, col = (it.ravel() for it in np.indices((n, count, height, width)))
        frames = [
            DataFrame(
                {
                    "image": self.index[image],
                    "method": method,
                    "hyper": hyper,
                    "baseline": np.array(self.baselines)[baseline],
                    "row": row,
                    "col": col,
                    "value": maps.ravel(),
                }
            )
            for maps, method, hyper in parts
        ]
        return concat(frames, ignore_index=True)

    def summary(self) -> DataFrame:
        """Return one row for each baseline: neutrality, completeness, control, ceiling, areas."""
        from pandas import DataFrame, Index

        columns = {
            "top probability": _mean(self.top_probability),
            "entropy": _mean(self.entropy),
            "score": _mean(self.scores_baseline),
            "gap": _mean(np.abs(self.gap)),
            "untrained, signed": self.control(),
            "untrained, absolute": self.control("absolute"),
            "ceiling": self.ceiling(),
        }
        for order in ("morf", "lerf"):
            areas = _mean(self.areas(order))
            columns |= {f"{order}, {fill}": areas[:-1, f] for f, fill in enumerate(self.fills)}
        return DataFrame(columns, index=Index(self.baselines, name="baseline"))

    def agreements(self, measure: str = "signed") -> DataFrame:
        """Return the agreement of the `compared` maps as a table, mean over the images."""
        from pandas import DataFrame

        return DataFrame(self.agree(measure), index=self.compared, columns=self.compared)

    # --- words --------------------------------------------------------------------------------

    def __str__(self) -> str:
        who = self._who()
        what = f"{self.subject}, {who}: {sentences.method(self)} ({self.hyper[0]})"
        lowest = self.lowest()
        pair = (0, 0) if lowest is None else lowest[:2]
        a, b = (self.called(at) for at in pair)
        said = self._said(pair, f"The maps against {a} and {b}")
        whole = not self.incomplete(*pair)
        return f"{what}. {said} {sentences.sums(self, tuple(dict.fromkeys(pair))) * whole}".strip()

    def _who(self) -> str:
        if len(self.index) > 1:
            return f"{len(self.index)} images"
        target, truth = self.classes[self.target[0]], self.classes[self.truth[0]]
        p = self.probabilities[0, self.target[0]]
        return f"image {self.index[0]} ({truth}), explaining {target} at {percent(p)}"

    def _said(self, pair: tuple[int, int], who: str, preview: bool = False, **views: Any) -> str:
        alone = views.get("versus") == "untrained"
        shown = tuple(dict.fromkeys(pair[:1] if alone else pair))
        if not self.hyper_maps.any() and len(self.index) > 1:
            return "Its maps are constant."
        if self.incomplete(*shown):
            return sentences.unfinished(self, shown, who, preview)
        found = sentences.finding(self, pair, who, **views)
        if "Controls: " in found:
            return found
        controls = sentences.controls(self, shown, alone)
        if preview:
            controls = controls.replace(sentences.UNASKED, "an untrained network follows")
        return f"{found} {controls}".strip()

    def pair(self, pair: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return which two maps are shown: the given ones, by default the first two."""
        return (0, min(1, len(self.baselines) - 1)) if pair is None else pair

    def reading(
        self,
        *,
        pair: tuple[int, int] | None = None,
        alpha: float = 1.0,
        versus: str = "baseline",
        preview: bool = False,
        **views: Any,
    ) -> str:
        """Say what the two maps that are shown have in common, and what the controls give."""
        if versus == "behind":
            return sentences.asked(self, self.pair(pair)[0])
        alpha = 1.0 if versus == "untrained" else alpha
        return self._said(self.pair(pair), "The two maps", preview, alpha=alpha, versus=versus)

    def against(self, pinned: Result, *, pair: tuple[int, int] | None = None, **views: Any) -> str:
        """Say how the maps that are shown differ from those of a pinned result."""
        if not isinstance(pinned, Saliency):
            return ""
        return sentences.against(self, pinned, self.pair(pair), views.get("versus", "baseline"))

    def kept(self, *, pair: tuple[int, int] | None = None, **views: Any) -> Saliency:
        """Return the maps that a picture shows, without the others."""
        return self.only(*dict.fromkeys(self.pair(pair)))

    def draw(
        self,
        figure: Figure,
        *,
        pinned: Saliency | None = None,
        control: Saliency | None = None,
        part: Annotated[str, Choice(PARTS)] = "maps",
        pair: Annotated[tuple[int, int] | None, Auto(PAIR)] = None,
        versus: Annotated[str, Choice(VERSUS)] = "baseline",
        polarity: Annotated[str, Choice(POLARITIES)] = "signed",
        scale: Annotated[str, Choice(("map", "shared"))] = "map",
        clip: Annotated[float, Real(least=0, most=100, slider=(90, 100, 0.5))] = 99,
        alpha: Annotated[float, Real(least=0, most=1, slider=(0, 1, 1 / STEPS))] = 1.0,
        fill: Annotated[str, Choice(_fills, offers=FILLS)] = "mean",
        fraction: Annotated[float, Real(least=0, most=1, slider=(0, 0.5, 0.01))] = 0.1,
        cell: Annotated[tuple[int, int] | None, Auto(CELL)] = None,
        preview: Annotated[bool, Flag()] = False,
        narrow: Annotated[bool, Flag()] = False,
    ) -> None:
        """Draw two maps of the first image and how far they agree, or another part.

        Where the maps do not add up, see `gaps`, nothing that is derived from them is drawn.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where to.
        pinned : Saliency, optional
            Drawn as a ghost.
        control : Saliency, optional
            Of a change of the same size as that from ``pinned`` to this, which means nothing; drawn
            where ``versus`` is ``"behind"``.
        part : str
            ``"maps"``; the ``"agreement"`` of all maps; their ``"deletion"`` curves; or the
            ``"path"`` from baseline to image.
        pair : tuple of int, optional
            Positions of the two baselines that are compared; by default the first two.
        versus : str
            Whether the second map is that of the second ``"baseline"``, that of the ``"untrained"``
            network with the first baseline, or that of the pinned result, ``"behind"``.
        polarity : str
            What of the values is shown: ``"signed"``, ``"magnitude"``, ``"positive"`` or
            ``"negative"``.
        scale : str
            Whether each ``"map"`` has its own colour scale, or both have a ``"shared"`` one.
        clip : float
            Percentile of the magnitudes at which colours end.
        alpha : float
            Where on the way from the baseline to the image, 0 to 1.
        fill : str
            What deleted pixels are replaced by: ``"black"``, ``"white"``, ``"mean"``, ``"blur"``,
            ``"own"`` or what else is in ``fills``; the first of these, if it was not computed.
        fraction : float
            The share of deleted pixels whose scores are told.
        cell : tuple of int, optional
            Row and column, from 1, of the pixel whose credit is told; of images of more than 32
            pixels a side, of the cell of a grid of 32. By default where the maps disagree most.
        preview : bool
            Whether it is marked as a preview.
        narrow : bool
            Whether the maps are laid out for 640 pixels instead of 880.
        """
        pair = self.pair(pair)
        if part == "agreement":
            from .table import Agreement

            Agreement.on(figure).show(self, pair, versus)
        elif part == "deletion":
            from .charts import DeletionCurves

            DeletionCurves.on(figure).show(self, pinned, pair, fill, fraction, preview)
        elif part == "path":
            from .charts import Way

            Way.on(figure).show(self, pair, alpha)
        else:
            from .columns import has_beside
            from .drawing import Look, Maps, Narrow

            if versus == "behind" and not has_beside(self, pinned, pair):
                versus = "baseline"
            control = control if has_beside(self, control, pair) else None
            alpha = alpha if versus == "baseline" else 1.0  # of the others there are no steps
            look = Look(polarity, scale, clip, alpha, cell, versus, preview)
            (Narrow if narrow else Maps).on(figure).show(self, pinned, control, pair, look)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the images, the first axis, of what is a number; NaN where none is."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
