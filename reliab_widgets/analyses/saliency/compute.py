"""How saliency maps are computed and judged: several baselines at once, with their controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any

import numpy as np
import torch

from ...core.analysis import analysis
from ...core.capabilities import Allowed
from ...core.engine import Progress, Tick, stream, ticking
from ...core.knobs import Auto, Choice, ClassOf, Flag, Positions, Seed, Whole
from ...core.selection import naming
from ...core.subject import Subject
from ...core.wording import problem
from ...ops.attribution import methods as of
from ...ops.attribution.baselines import (
    Baseline,
    BaselineKind,
    Baselines,
    SeveralGiven,
    made,
    training_mean,
)
from ...ops.attribution.deletion import RANDOM, Deletion, random_ranks, ranks
from ...ops.attribution.explainer import Explainer, Maps, Part
from ...ops.attribution.inner import check_layer, spatial_layers, why_no_attention
from ...ops.attribution.scores import SCORES, TARGETS, score_of, scores, targets
from ...ops.networks import untrained as twin
from ...ops.statistics.agreement import agreement
from .result import FILLS, Saliency

OWN = "own"
SIGNS = ("signed", "magnitude")
_NONE = Baseline("none", torch.zeros(1, 1, 1, 1))


def _many(subject: Subject) -> tuple[int, ...]:
    return tuple(n for n in (16, 64, 256) if n <= len(subject)) or (len(subject),)


def _all(subject: Subject) -> int:
    return len(subject)


def _ends(subject: Subject) -> int:
    return subject.images[0, 0].numel() + 1


POINTS = Whole(2, _ends, "there are no more pixels", slider=(2, 65))
LARGE = 64
"""Pixels of a side above which deletion has one fill and few points, if nobody says how many."""


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: the layer of Grad-CAM, and methods that it cannot have.

    Raises
    ------
    ValueError
        There is no network.
    """
    found = spatial_layers(subject)
    if blocked := subject.network.blocked:
        sloped = [name for name in of.KNOBS if name not in of.MASKED]
        return Allowed(refused=dict.fromkeys(sloped, f"gradients are blocked: {blocked}"))
    refused = {}
    layers: tuple[str, ...] = ()
    if found:
        layers = (check_layer(subject, None),)
    else:
        refused["gradcam"] = "no convolution or block gives a map of places"
    if why := why_no_attention(subject):
        refused |= dict.fromkeys(of.ATTENTION, f"no attention to follow: {why}")
    return Allowed(layers, refused)


@analysis
def saliency(
    subject: Subject,
    *,
    index: Annotated[int | Sequence[int], Positions()] = 0,
    images: Annotated[int | None, Auto(Whole(1, _all, "that many are drawn", stops=_many))] = None,
    method: of.MethodGiven = "ig",
    baselines: SeveralGiven = ("black", "white", "mean", "blur"),
    target: Annotated[str | int, ClassOf(TARGETS)] = "predicted",
    score: Annotated[str, Choice(SCORES)] = "probability",
    sign: Annotated[str, Choice(SIGNS)] = "signed",
    steps: of.Steps = 32,
    masks: of.Masks = 400,
    grid: of.Grid = 4,
    window: of.Window = None,
    stride: of.Stride = None,
    noise: of.Noise = 0.15,
    layer: of.LayerGiven = None,
    hyper: of.Hyper = None,
    fills: Annotated[Any, Auto(Baselines(BaselineKind((OWN,))))] = None,
    points: Annotated[int | None, Auto(POINTS)] = None,
    untrained: Annotated[bool, Flag()] = True,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Saliency:
    """Explain images with several baselines at once, and measure how far the maps agree.

    Parameters
    ----------
    subject : Subject
        Whose answers are explained.
    index : int or sequence of int
        Which images.
    images : int, optional
        Instead of ``index``: that many images, drawn by ``seed``.
    method : str, captum.attr.Attribution or callable
        ``"ig"`` (integrated gradients), ``"gradient"``, ``"input-x-gradient"`` (the gradient times
        the difference from the baseline), ``"smoothgrad"``, ``"expected-gradients"``,
        ``"occlusion"``, ``"rise"`` or ``"gradcam"``; of networks in which every token looks at all
        others ``"rollout"`` (the same for every class) and ``"attention-x-gradient"``; or an
        attribution of captum, whose network is replaced by the subject's; or a function ``(model,
        images, target, baseline) -> map``, where model maps (n, C, H, W) in pixel units to scores
        (n, K). ``"gradient"``, ``"smoothgrad"`` and the three before captum's have no baseline and
        give one map.
    baselines : str, array_like, or sequence of these
        What a pixel is compared with, see `reliab_widgets.ops.attribution.baselines.baseline`:
        ``"black"``, ``"white"``, ``"mean"``, ``"image-mean"``, ``"blur:0.1"``, ``"noise:0.5"``,
        ``"uniform"``, ``"max-distance"``, ``"training:8"``, ``"color:r,g,b"``, or an image in
        pixel units.
    target : str or int
        The class whose score is explained: ``"predicted"``, ``"true"``, ``"runner-up"``, or one
        class by its name or index. It is fixed on the clean image.
    score : str
        ``"probability"``, ``"logit"`` or ``"log-odds"``.
    sign : str
        Whether deletion takes the most positive pixels first (``"signed"``) or the ones of largest
        ``"magnitude"``.
    steps : int
        Of the path of integrated gradients, or samples of SmoothGrad and expected gradients.
    masks, grid : int
        Of RISE: how many masks, of how many cells along a side.
    window, stride : int, optional
        Of occlusion, in pixels; by default a quarter of the image's side, and half of that.
    noise : float
        Of SmoothGrad: standard deviation in pixel units.
    layer : str, optional
        Of Grad-CAM, by default the last one with a spatial map.
    hyper : dict, optional
        Other values of these settings to compare with, one at a time:
        ``{"window": (4, 16), "stride": (2,)}``.
    fills : str or sequence, optional
        What deletion replaces pixels by: baselines, or ``"own"`` for the baseline of each map; none
        leaves deletion out. By default black, white, mean, blur and own; mean for large images, of
        more than 64 pixels a side.
    points : int, optional
        Of the deletion curves, both ends included. By default 17, for large images 9.
    untrained : bool
        Whether an untrained network is explained beside, as control.
    seed : int
        Of drawn images, masks, noise, random orders and the untrained network.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Saliency
        Maps, agreement, and if asked for deletion curves and the same maps by an untrained network.

    Raises
    ------
    TypeError, ValueError
        There is no Subject, a knob has a value it cannot have, the network blocks gradients that
        the method needs, or the score does not depend on the image at all.

    Notes
    -----
    Sensitivity to the baseline: Brunke et al. 2020, arXiv 2101.10977; Sturmfels et al. 2020, doi
    10.23915/distill.00022. Integrated gradients: Sundararajan et al. 2017, arXiv 1703.01365, by the
    trapezoidal rule, so that the ends of the path belong to it. Expected gradients: Erion et al.
    2021, arXiv 1906.10670. SmoothGrad: Smilkov et al. 2017, arXiv 1706.03825. Occlusion: Zeiler and
    Fergus 2014. RISE: Petsiuk et al. 2018, arXiv 1806.07421, divided by what the masks really kept
    of each pixel, less the mean score. Grad-CAM: Selvaraju et al. 2017, without its ReLU. Deletion:
    Samek et al. 2017, arXiv 1509.06321. Untrained control: Adebayo et al. 2018, arXiv 1810.03292.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> result = rw.saliency(rw.demo("resnet20"), baselines=("black", "white"), steps=8, points=3)
    >>> result.maps.shape, result.compared
    ((1, 2, 32, 32), ('black', 'white', 'black, untrained', 'white, untrained'))
    """
    chosen = _chosen(subject, index, images, seed)
    explained = of.methods(
        method,
        subject,
        hyper,
        steps=steps,
        masks=masks,
        grid=grid,
        window=window,
        stride=stride,
        noise=noise,
        layer=layer,
        seed=seed,
    )
    compared = made(baselines, subject, seed) if explained[0].has_baseline else (_NONE,)
    height, width = size = (subject.images.shape[2], subject.images.shape[3])
    large = max(size) > LARGE
    fills = (("mean",) if large else FILLS) if fills is None else fills
    points = min(9 if large else 17, height * width + 1) if points is None else points
    filled = _filled(fills, subject, seed, explained[0].has_baseline)
    plan = subject.plan
    work = _Work(
        subject,
        tuple(Explainer(one, compared, score, size, plan) for one in explained),
        Deletion(filled, compared, points, score, height * width, plan.batch),
    )
    spans = sum(len(one.spans) for one in work.explainers)
    steps_each = 1 + spans + len(work.deletion.spans(work.orders)) + 1
    if untrained:
        steps_each += 1 + len(work.explainers[0].spans)
    total = len(chosen) * steps_each
    with ticking(progress) as tick, naming(image=(subject[chosen], chosen)):
        stages = _Stages(executor, tick, total)
        ask = _Questions(stages, work, chosen, target, score)
        found = _explained(stages, work, ask, ask.clean.tolist(), keep=True)
        maps = np.stack([[one.maps for one in image] for image in found])
        _check_zero(maps, ask, subject, score)
        control_maps = np.zeros((len(chosen), 0, *size), np.float32)
        if untrained:
            control_maps = _untrained(stages, work, ask, seed)
        morf, lerf = _deleted(stages, work, ask, maps[:, 0], sign, seed)
        pages = [
            np.concatenate([*mine, other]) for mine, other in zip(maps, control_maps, strict=True)
        ]
        agreed = np.stack([agreement(page) for page in stages.each(pages)], axis=1)
    first = [image[0] for image in found]
    names = tuple(one.name for one in compared)
    path_maps = first[0].path_maps
    scale = np.abs(path_maps).max((1, 2, 3), initial=0)
    path_maps = path_maps / np.where(scale > 0, scale, 1)[:, None, None, None]
    gap = np.full((len(chosen), len(compared)), np.nan)
    if first[0].path.size:
        gap = maps[:, 0].sum((2, 3), dtype=np.float64) - (ask.clean[:, None] - ask.scores_baseline)
    return Saliency(
        classes=subject.classes,
        layer=explained[0].layer,
        window=explained[0].window,
        stride=explained[0].stride,
        index=chosen,
        truth=ask.truth,
        answer=ask.answer,
        target=ask.target,
        images=subject.images[torch.from_numpy(chosen)].numpy(),
        baselines=names,
        baseline_images=ask.baseline_images,
        hyper=tuple(one.words for one in explained),
        hyper_maps=maps,
        untrained=control_maps,
        probabilities=ask.probabilities,
        neutrality=ask.neutrality,
        scores_clean=ask.clean,
        scores_baseline=ask.scores_baseline,
        path=np.stack([one.path for one in first]),
        credit=np.stack([one.credit for one in first]),
        path_maps=path_maps.astype(np.float16),
        path_scale=scale,
        gap=gap,
        fills=tuple(OWN if one is None else one.name for one in filled),
        fractions=work.deletion.fractions,
        morf=morf,
        lerf=lerf,
        compared=_compared(names, explained, untrained),
        agreement=agreed,
        convergence_size=work.explainers[0].sizes,
        convergence=np.stack([one.convergence for one in first]),
        notes=(
            *_sources(subject, explained[0], (*compared, *filled)),
            *_zeros(maps[:, 0], control_maps, names),
        ),
    )


# --- the stages -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Work:
    """What all items of a stage need, so that an item is a few numbers: it travels once."""

    subject: Subject
    explainers: tuple[Explainer, ...]
    deletion: Deletion
    ranks: np.ndarray | None = None

    @property
    def orders(self) -> int:
        """In how many orders the pixels of an image are deleted."""
        return len(self.deletion.baselines) + RANDOM

    def logits(self, index: int) -> np.ndarray:
        """Ask about an image, its baselines, and all that deletion can make of it in the end."""
        image = self.subject.images[index]
        bases = [one(image, index) for one in self.deletion.baselines]
        ends = self.deletion.replacements(self.subject, index)
        return self.subject.predict(torch.cat([image[None], *bases, ends])).cpu().numpy()

    def clean(self, item: tuple[int, int]) -> float:
        """Score an image as it is."""
        index, target = item
        images = self.subject.images[index : index + 1]
        return float(score_of(self.subject, images, target, self.deletion.score))

    def part(self, item: tuple[int, int, int, float, tuple[int, int], bool]) -> Part:
        """Evaluate one span of one explainer for one image."""
        number, index, target, clean, span, keep = item
        explainer = self.explainers[number]
        return explainer.part(self.subject, index, target, span, clean=clean, keep=keep)

    def deleted(self, item: tuple[int, int, int, tuple[int, int]]) -> np.ndarray:
        """Evaluate one span of deletion for one image."""
        place, index, target, span = item
        assert self.ranks is not None
        return self.deletion.part(self.subject, index, target, self.ranks[place], span)


class _Stages:
    """Stages of work that are watched as one."""

    def __init__(self, executor: Any, tick: Tick, total: int) -> None:
        self._executor, self._tick, self._total = executor, tick, total
        self._done = 0

    def run(self, fn: Callable[[_Work, Any], Any], work: _Work, items: list[Any]) -> Iterator[Any]:
        """Yield what ``fn`` makes of each item, on the executor."""
        before = self._done
        self._done += len(items)

        def watch(done: int, _: int) -> None:
            self._tick(before + done, self._total)

        yield from stream(fn, work, items, executor=self._executor, progress=watch)

    def each(self, items: Any) -> Iterator[Any]:
        """Yield the items themselves, to be worked on here."""
        for item in items:
            yield item
            self._done += 1
            self._tick(self._done, self._total)


class _Questions:
    """What is asked about each image, and how the network answers to its baselines."""

    def __init__(
        self, stages: _Stages, work: _Work, chosen: np.ndarray, target: str | int, score: str
    ) -> None:
        subject, baselines = work.subject, work.deletion.baselines
        logits = np.stack(list(stages.run(_Work.logits, work, chosen.tolist())))
        of_image = logits[:, 0]
        self.index = chosen
        self.truth = subject.labels.numpy()[chosen]
        self.answer = of_image.argmax(1)
        self.target = targets(target, of_image, self.truth)
        every = torch.from_numpy(logits).softmax(-1).double().numpy()
        # The scores as the other stages compute them: in float32, so that differences can be 0.
        asked = np.stack(
            [
                scores(torch.from_numpy(rows), score)[:, which].double().numpy()
                for rows, which in zip(logits, self.target, strict=True)
            ]
        )
        draws = [one.draws for one in baselines]
        begins = 1 + np.cumsum([0, *draws[:-1]])
        counts, last = np.array(draws), 1 + sum(draws)
        self.probabilities = every[:, 0]
        self.clean = asked[:, 0]
        self.neutrality = np.add.reduceat(every[:, :last], begins, axis=1) / counts[:, None]
        self.scores_baseline = np.add.reduceat(asked[:, :last], begins, axis=1) / counts
        self.ends = asked[:, last:]
        if baselines == (_NONE,):
            self.neutrality = np.full_like(self.neutrality, np.nan)
            self.scores_baseline = np.full_like(self.scores_baseline, np.nan)
        self.baseline_images = np.stack(
            [
                np.stack([one(subject.images[index], index).mean(0).numpy() for one in baselines])
                for index in chosen.tolist()
            ]
        )

    @property
    def each(self) -> list[tuple[int, int, int]]:
        """Place, index and target of each image."""
        pairs = zip(self.index.tolist(), self.target.tolist(), strict=True)
        return [(place, *pair) for place, pair in enumerate(pairs)]


def _explained(
    stages: _Stages, work: _Work, ask: _Questions, clean: Sequence[float], keep: bool = False
) -> list[list[Maps]]:
    """Return the maps of each image by each explainer, and if asked some of them along the path.

    ``clean`` has the score of each image by the network that is explained.
    """
    items = [
        (number, index, target, clean[place], span, keep and place == number == 0)
        for place, index, target in ask.each
        for number, explainer in enumerate(work.explainers)
        for span in explainer.spans
    ]
    with closing(stages.run(_Work.part, work, items)) as parts:  # type: ignore[type-var]
        return [
            [explainer.add(islice(parts, len(explainer.spans))) for explainer in work.explainers]
            for _ in ask.index
        ]


def _untrained(stages: _Stages, work: _Work, ask: _Questions, seed: int) -> np.ndarray:
    """Return the maps of each image by the network with weights drawn anew, (n, B, H, W)."""
    bare = twin.untrained(work.subject, seed)
    work = replace(work, subject=bare, explainers=work.explainers[:1])
    clean = list(stages.run(_Work.clean, work, [(index, target) for _, index, target in ask.each]))
    maps = np.stack([image[0].maps for image in _explained(stages, work, ask, clean)])
    return maps if twin.has_signal(bare) else np.zeros_like(maps)  # what is left is rounding


def _deleted(
    stages: _Stages, work: _Work, ask: _Questions, maps: np.ndarray, sign: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """MoRF and LeRF of each image, (n, B + 1, F, P)."""
    deletion, count = work.deletion, maps.shape[1]
    relevance = maps if sign == "signed" else np.abs(maps)
    orders = [
        np.concatenate(
            [ranks(relevance[place], seed), random_ranks(RANDOM, deletion.pixels, seed, index)]
        )
        for place, index, _ in ask.each
    ]
    spans = deletion.spans(work.orders)
    items = [(*which, span) for which in ask.each for span in spans]
    curves = []
    work = replace(work, ranks=np.stack(orders))
    with closing(stages.run(_Work.deleted, work, items)) as parts:  # type: ignore[type-var]
        for clean, ends in zip(ask.clean, ask.ends, strict=True):
            mine = islice(parts, len(spans))
            both = np.stack(deletion.curves(mine, work.orders, clean, ends))
            control = both[:, count:].mean(1, keepdims=True)
            curves.append(np.concatenate([both[:, :count], control], axis=1))
    morf, lerf = np.stack(curves, axis=1)
    return morf, lerf


# --- what was asked for -----------------------------------------------------------------------


def _chosen(subject: Subject, index: Any, images: int | None, seed: int) -> np.ndarray:
    if images is None:
        return np.array(index)
    if index != (0,):
        seen = f"got index={list(index)} and images={images}"
        raise ValueError(problem("images are chosen twice", seen, "Leave one of the two out"))
    drawn = np.random.default_rng(seed).choice(len(subject), images, replace=False)
    return np.sort(drawn)


def _filled(
    fills: tuple[Any, ...], subject: Subject, seed: int, has_baseline: bool
) -> tuple[Baseline | None, ...]:
    """Return what deletion replaces pixels by; None is the own baseline of each map."""
    own = [isinstance(one, str) and one == OWN for one in fills]
    others = [one for one, is_own in zip(fills, own, strict=True) if not is_own]
    if fills and not others and not has_baseline:
        fix = "Pass fills= as baselines such as 'mean': a method without baseline has no own one"
        raise ValueError(problem("fills cannot replace pixels", f"got {fills!r}", fix))
    found = iter(made(others, subject, seed))
    return tuple(None if is_own else next(found) for is_own in own if has_baseline or not is_own)


# --- what is said about it --------------------------------------------------------------------


def _sources(subject: Subject, method: of.Method, given: Iterable[Baseline | None]) -> list[str]:
    """Return notes on where the values of baselines were taken from."""
    names = {one.name.partition(":")[0] for one in given if one is not None}
    notes = []
    if not method.has_baseline:
        notes.append(f"{method.name} looks at the image alone: no baseline, one map")
    if "mean" in names:
        mean, where = training_mean(subject)
        shown = ", ".join(f"{value:.2f}" for value in mean.tolist())
        notes.append(f"mean is ({shown}), from {where}")
        if subject.mean is None and subject.validation is None:
            notes.append(
                "if these images are not typical, of one class for instance, give the mean of the "
                "training images as a colour"
            )
    if "training" in names and subject.validation is None:
        notes.append(
            "training draws from the images examined, for there are no validation images: an image "
            "may be its own baseline"
        )
    return notes


def _check_zero(maps: np.ndarray, ask: _Questions, subject: Subject, score: str) -> None:
    if len(maps) > 1 or maps.any():
        return
    index, target = int(ask.index[0]), int(ask.target[0])
    seen = f"the {score} of {subject.classes[target]}, {ask.clean[0]:.6g}, does not change"
    fix = "Try score='log-odds', which does not saturate, or another image or target"
    if (ask.baseline_images[0] == subject.images[index].numpy()).all():
        fix = "Choose baselines= that differ from the image: nothing was replaced"
    raise ValueError(problem(f"the map of image {index} is zero everywhere", seen, fix))


def _zeros(maps: np.ndarray, control: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Return notes on maps in which there is nothing to compare."""
    notes = []
    for number, name in enumerate(names):
        zero = int((~maps[:, number].any((1, 2))).sum())
        if zero:
            which = "the map" if len(maps) == 1 else f"{zero} of {len(maps)} maps"
            notes.append(f"{which} with {name}: zero everywhere")
        flat = int((np.ptp(control[:, number : number + 1], axis=(2, 3)) == 0).sum())
        if flat:
            which = "map" if len(maps) == 1 else f"{flat} of {len(maps)} maps"
            notes.append(f"{which} of the untrained network with {name}: constant, no control")
    return notes


def _compared(
    names: tuple[str, ...], methods: tuple[of.Method, ...], control: bool
) -> tuple[str, ...]:
    others = [f"{name}, {method.words}" for method in methods[1:] for name in names]
    return (*names, *others, *(f"{name}, untrained" for name in names if control))
