"""How saliency maps are computed and judged: several baselines at once, with their controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import torch

from ...batching import Plan
from ...engine import Progress, Tick, stream, ticking
from ...ops.agreement import agreement
from ...ops.attribution.baselines import Baseline, several, training_mean
from ...ops.attribution.baselines import baselines as baselines_of
from ...ops.attribution.deletion import RANDOM, Deletion, random_ranks, ranks
from ...ops.attribution.explainer import Explainer, Maps, Part
from ...ops.attribution.methods import Method, methods
from ...ops.attribution.scores import SCORES, scores, targets
from ...ops.attribution.scores import TARGETS as TARGETS
from ...ops.calls import call
from ...ops.untrained import untrained
from ...subject import Subject, check_subject
from ...validation import check_choice, check_index, check_whole, problem
from .result import Saliency

FILLS = ("black", "white", "mean", "blur", "own")
SIGNS = ("signed", "magnitude")
_NONE = Baseline("none", torch.zeros(1, 1, 1, 1))


def saliency(
    subject: Subject,
    *,
    index: Any = 0,
    images: int | None = None,
    method: Any = "ig",
    baselines: Any = ("black", "white", "mean", "blur"),
    target: str | int = "predicted",
    score: str = "probability",
    sign: str = "signed",
    steps: int = 32,
    masks: int = 400,
    grid: int = 4,
    window: int | None = None,
    stride: int | None = None,
    noise: float = 0.15,
    layer: str | None = None,
    hyper: Mapping[str, Any] | None = None,
    fills: Any = FILLS,
    points: int = 17,
    seed: int = 0,
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
        ``"occlusion"``, ``"rise"`` or ``"gradcam"``; or an attribution of captum, whose network is
        replaced by the subject's; or a function ``(model, images, target, baseline) -> map``, where
        model maps (n, C, H, W) in pixel units to scores (n, K). ``"gradient"``, ``"smoothgrad"``
        and ``"gradcam"`` have no baseline and give one map.
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
    fills : str or sequence
        What deletion replaces pixels by: baselines, or ``"own"`` for the baseline of each map.
    points : int
        Of the deletion curves, both ends included.
    seed : int
        Of drawn images, masks, noise, random orders and the untrained network.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Saliency
        Maps, agreement, deletion curves, and the same maps by an untrained network.

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
    check_subject(subject)
    chosen = _chosen(subject, index, images, seed)
    check_choice("score", score, SCORES)
    check_choice("sign", sign, SIGNS)
    height, width = subject.images.shape[2:]
    check_whole("seed", seed, 0, 2**32 - 1)
    check_whole("points", points, 2, height * width + 1, "there are no more pixels")
    settings = {
        "steps": steps,
        "masks": masks,
        "grid": grid,
        "window": window,
        "stride": stride,
        "noise": noise,
        "layer": layer,
    }
    explained = methods(method, subject, hyper, seed=seed, **settings)
    has_baseline = explained[0].has_baseline
    compared = baselines_of(baselines, subject, seed) if has_baseline else (_NONE,)
    filled = _fills(fills, subject, seed, has_baseline)
    source = call(
        "saliency",
        subject,
        {
            "index": index,
            "images": images,
            "method": method,
            "baselines": baselines,
            "target": target,
            "score": score,
            "sign": sign,
            **settings,
            "hyper": hyper,
            "fills": fills,
            "points": points,
            "seed": seed,
        },
    )

    report = subject.report()
    plan = Plan(report.batch, report.memory_format == "channels_last", report.threads)
    size = (height, width)
    explainers = [Explainer(one, compared, score, size, plan) for one in explained]
    deletion = Deletion(tuple(filled), compared, points, score, height * width, plan.batch)
    control = untrained(subject, seed)
    orders = len(compared) + RANDOM
    spans = sum(len(one.spans) for one in (*explainers, explainers[0]))
    total = len(chosen) * (1 + spans + len(deletion.spans(orders)) + 1)
    with ticking(progress) as tick:
        stages = _Stages(executor, tick, total)
        ask = _Questions(stages, subject, chosen, compared, deletion, target, score)
        made = _explained(stages, subject, ask, explainers, keep=True)
        maps = np.stack([[one.maps for one in image] for image in made])
        _check_zero(maps, ask, subject, score)
        drawn_anew = _explained(stages, control, ask, explainers[:1])
        control_maps = np.stack([image[0].maps for image in drawn_anew])
        morf, lerf = _deleted(stages, subject, ask, deletion, maps[:, 0], sign, seed)
        pages = np.concatenate([maps, control_maps[:, None]], axis=1)
        agreed = np.stack(
            [agreement(page.reshape(-1, *size)) for page in stages.each(pages)], axis=1
        )
    first = [image[0] for image in made]
    names = tuple(one.name for one in compared)
    path_maps = first[0].path_maps
    scale = np.abs(path_maps).max((1, 2, 3), initial=0)
    path_maps = path_maps / np.where(scale > 0, scale, 1)[:, None, None, None]
    gap = np.full((len(chosen), len(compared)), np.nan)
    if first[0].path.size:
        gap = maps[:, 0].sum((2, 3), dtype=np.float64) - (ask.clean[:, None] - ask.scores_baseline)
    return Saliency(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        source=source,
        classes=subject.classes,
        method=explained[0].name,
        score=score,
        sign=sign,
        layer=explained[0].layer,
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
        fills=tuple("own" if one is None else one.name for one in filled),
        fractions=deletion.fractions,
        morf=morf,
        lerf=lerf,
        compared=_compared(names, explained),
        agreement=agreed,
        convergence_size=explainers[0].sizes,
        convergence=np.stack([one.convergence for one in first]),
        notes=(
            *_sources(subject, explained[0], (*compared, *filled)),
            *_zeros(maps[:, 0], control_maps, names),
        ),
    )


# --- the stages -------------------------------------------------------------------------------


class _Stages:
    """Stages of work that are watched as one."""

    def __init__(self, executor: Any, tick: Tick, total: int) -> None:
        self._executor, self._tick, self._total = executor, tick, total
        self._done = 0

    def run(
        self, fn: Callable[[Subject, Any], Any], subject: Subject, items: list[Any]
    ) -> Iterator[Any]:
        """Yield what ``fn`` makes of each item, on the executor."""
        before = self._done
        self._done += len(items)

        def watch(done: int, _: int) -> None:
            self._tick(before + done, self._total)

        yield from stream(fn, subject, items, executor=self._executor, progress=watch)

    def each(self, items: Any) -> Iterator[Any]:
        """Yield the items themselves, to be worked on here."""
        for item in items:
            yield item
            self._done += 1
            self._tick(self._done, self._total)


class _Questions:
    """What is asked about each image, and how the network answers to its baselines."""

    def __init__(
        self,
        stages: _Stages,
        subject: Subject,
        chosen: np.ndarray,
        baselines: tuple[Baseline, ...],
        deletion: Deletion,
        target: str | int,
        score: str,
    ) -> None:
        items = [(baselines, deletion, index) for index in chosen.tolist()]
        logits = np.stack(list(stages.run(_references, subject, items)))
        of_image = logits[:, 0]
        self.index = chosen
        self.truth = subject.labels.numpy()[chosen]
        self.answer = of_image.argmax(1)
        self.target = targets(target, of_image, self.truth, subject.classes)
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


def _references(subject: Subject, item: tuple[tuple[Baseline, ...], Deletion, int]) -> np.ndarray:
    """Logits of an image, of its baselines, and of all that deletion can make of it in the end."""
    baselines, deletion, index = item
    image = subject.images[index]
    bases = [one(image, index) for one in baselines]
    shown = torch.cat([image[None], *bases, deletion.replacements(subject, index)])
    return subject.predict(shown).cpu().numpy()


def _explained(
    stages: _Stages,
    subject: Subject,
    ask: _Questions,
    explainers: list[Explainer],
    keep: bool = False,
) -> list[list[Maps]]:
    """Return the maps of each image by each explainer, and if asked some of them along the path."""
    items = [
        (explainer, index, target, span, keep and not position and explainer is explainers[0])
        for position, (index, target) in enumerate(
            zip(ask.index.tolist(), ask.target.tolist(), strict=True)
        )
        for explainer in explainers
        for span in explainer.spans
    ]
    with closing(stages.run(_part, subject, items)) as parts:  # type: ignore[type-var]
        return [
            [explainer.add(islice(parts, len(explainer.spans))) for explainer in explainers]
            for _ in ask.index
        ]


def _part(subject: Subject, item: tuple[Explainer, int, int, tuple[int, int], bool]) -> Part:
    explainer, index, target, span, keep = item
    return explainer.part(subject, index, target, span, keep=keep)


def _deleted(
    stages: _Stages,
    subject: Subject,
    ask: _Questions,
    deletion: Deletion,
    maps: np.ndarray,
    sign: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """MoRF and LeRF of each image, (n, B + 1, F, P)."""
    items, count = [], maps.shape[1]
    for index, target, image in zip(ask.index.tolist(), ask.target.tolist(), maps, strict=True):
        relevance = image if sign == "signed" else np.abs(image)
        orders = np.concatenate(
            [ranks(relevance, seed), random_ranks(RANDOM, deletion.pixels, seed, index)]
        )
        items += [(deletion, index, target, orders, span) for span in deletion.spans(len(orders))]
    spans = deletion.spans(count + RANDOM)
    curves = []
    with closing(stages.run(_deletion, subject, items)) as parts:  # type: ignore[type-var]
        for clean, ends in zip(ask.clean, ask.ends, strict=True):
            mine = islice(parts, len(spans))
            both = np.stack(deletion.curves(mine, count + RANDOM, clean, ends))
            control = both[:, count:].mean(1, keepdims=True)
            curves.append(np.concatenate([both[:, :count], control], axis=1))
    morf, lerf = np.stack(curves, axis=1)
    return morf, lerf


def _deletion(
    subject: Subject, item: tuple[Deletion, int, int, np.ndarray, tuple[int, int]]
) -> np.ndarray:
    deletion, index, target, orders, span = item
    return deletion.part(subject, index, target, orders, span)


# --- what was asked for -----------------------------------------------------------------------


def _chosen(subject: Subject, index: Any, images: int | None, seed: int) -> np.ndarray:
    if images is None:
        return check_index(index, len(subject)).numpy()
    if not (isinstance(index, int) and index == 0):
        seen = f"got index={index!r} and images={images!r}"
        raise ValueError(problem("images are chosen twice", seen, "Leave one of the two out"))
    check_whole("images", images, 1, len(subject), "that many are drawn")
    drawn = np.random.default_rng(seed).choice(len(subject), images, replace=False)
    return np.sort(drawn)


def _fills(given: Any, subject: Subject, seed: int, has_baseline: bool) -> list[Baseline | None]:
    """Return what deletion replaces pixels by; None is the own baseline of each map."""
    named = [isinstance(one, str) and one == "own" for one in several(given)]
    others = [one for one, own in zip(several(given), named, strict=True) if not own]
    made = iter(baselines_of(others, subject, seed) if others else ())
    found = [None if own else next(made) for own in named]
    if not has_baseline:
        found = [one for one in found if one is not None]
    if not found or found.count(None) > 1:
        fix = "Pass fills= as baselines such as 'mean'"
        if not has_baseline:
            fix += ": a method without baseline has no own one"
        raise ValueError(problem("fills cannot replace pixels", f"got {given!r}", fix))
    return found


# --- what is said about it --------------------------------------------------------------------


def _sources(subject: Subject, method: Method, given: Iterable[Baseline | None]) -> list[str]:
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
        flat = int((np.ptp(control[:, number], axis=(1, 2)) == 0).sum())
        if flat:
            which = "map" if len(maps) == 1 else f"{flat} of {len(maps)} maps"
            notes.append(f"{which} of the untrained network with {name}: constant, no control")
    return notes


def _compared(names: tuple[str, ...], methods: tuple[Method, ...]) -> tuple[str, ...]:
    others = [f"{name}, {method.words}" for method in methods[1:] for name in names]
    return (*names, *others, *(f"{name}, untrained" for name in names))
