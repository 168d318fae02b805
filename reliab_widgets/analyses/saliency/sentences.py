"""What a saliency analysis found, in words: the finding first, then its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import percent
from ...ops.statistics.agreement import spearman
from .values import accumulated, step, two

if TYPE_CHECKING:
    from .result import Saliency

METHODS = {
    "ig": "integrated gradients",
    "input-x-gradient": "input × gradient",
    "smoothgrad": "SmoothGrad",
    "expected-gradients": "expected gradients",
    "rise": "RISE",
    "gradcam": "Grad-CAM",
    "rollout": "attention rollout",
    "attention-x-gradient": "attention × gradient",
}
"""What methods are called in words, where that is not their name."""
UNRELATED, AGREE = 0.2, 0.7
"""Correlations below the first are as good as none; from the second on maps agree."""
SCALE = ("agree", "agree only in part", "are unrelated", "contradict each other")
OF_ONE = ("agrees", "agrees only in part", "is unrelated", "contradicts it")
"""The words for all correlations of two maps, and the same said of one of them."""
UNASKED = "no untrained network was asked for"
OTHER = "same image, same network, another “nothing”"


def method(result: Saliency) -> str:
    """Return the name of the method in words."""
    return METHODS.get(result.method, result.method)


def explained(result: Saliency) -> str:
    """Return what is explained: "p(ship)", or the score of each image's class."""
    if len(result.index) > 1:
        return f"the {result.score} of the explained classes"
    name = result.classes[result.target[0]]
    return f"p({name})" if result.score == "probability" else f"the {result.score} of {name}"


def asked(result: Saliency, b: int) -> str:
    """Say what one map explains, what the image is compared with, and what the controls give."""
    against = f", compared with {result.called(b)}" * result.has_baseline
    return f"The maps explain {explained(result)}{against}. {controls(result, (b,))}".strip()


def rho(result: Saliency, pair: tuple[int, int], alpha: float = 1.0) -> float:
    """Return how far two maps agree: those of all images, or of the first on the way to it."""
    if alpha == 1 or not result.path.shape[-1]:
        return float(result.between_baselines()[pair])
    maps = accumulated(result, alpha)[list(pair)]
    return float(spearman(maps)[0, 1]) if maps.any((1, 2)).all() else float("nan")


def untrained(result: Saliency, shown: tuple[int, ...]) -> float:
    """Return the agreement with the untrained network's map that is furthest from 0, or NaN."""
    values = result.control()[list(shown)]
    known = values[np.isfinite(values)]
    return float(known[np.abs(known).argmax()]) if len(known) else float("nan")


def again(result: Saliency, shown: tuple[int, ...]) -> float:
    """Return the lowest agreement of a map with itself, by half the steps or drawn twice."""
    values = result.ceiling()[list(shown)]
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")


def word(value: float, scale: tuple[str, str, str, str] = SCALE) -> str:
    """Return the word for a correlation of two maps.

    Examples
    --------
    >>> word(0.7), word(0.2), word(-0.1), word(-0.2, OF_ONE)
    ('agree', 'agree only in part', 'are unrelated', 'contradicts it')
    """
    at = 0 if value >= AGREE else 1 if value >= UNRELATED else 2 if value > -UNRELATED else 3
    return scale[at]


def verdict(value: float, who: str) -> str:
    """Say what a correlation of two maps means.

    Examples
    --------
    >>> verdict(0.91, "The two maps")
    'The two maps agree (ρ = 0.91): here it matters little which “nothing” is meant.'
    """
    means = "here it matters little which “nothing” is meant" if value >= AGREE else OTHER
    return f"{who} {word(value)} (ρ = {two(value)}): {means}."


def unfinished(result: Saliency, shown: tuple[int, ...], who: str, preview: bool) -> str:
    """Say which maps do not add up, and what that means for all that is derived from them."""
    gaps = result.gaps[list(shown)]
    until = "ρ follows with the full map" if preview else "ρ needs more steps"
    if len(gaps) > 1 and (gaps > result.INCOMPLETE).all():
        off = " and ".join(percent(gap, 0) for gap in gaps)
        said = f"{who} do not add up: their sums miss"
    else:
        worst = int(np.nanargmax(gaps))
        off = percent(gaps[worst], 0)
        said = f"The map against {result.called(shown[worst])} does not add up: its sum misses"
    return f"{said} the change in {explained(result)} by {off}, and {until}."


def finding(
    result: Saliency, pair: tuple[int, int], who: str, alpha: float = 1.0, versus: str = "baseline"
) -> str:
    """Say how far two maps agree, or what there is if there are no two."""
    a, b = pair
    many = f"Over {len(result.index)} images: " * (len(result.index) > 1)
    if versus == "untrained":
        value = float(result.control()[a])
        if np.isnan(value):
            return "The untrained network's map is constant: it controls nothing."
        learned = ": this shows little of what was learned" if value >= UNRELATED else ""
        return (
            f"{many}The maps of the trained and the untrained network {word(value)} "
            f"(ρ = {two(value)}){learned}."
        )
    if a == b:
        if result.has_baseline:
            return f"One map, against {result.called(a)}: choose another “nothing” to compare with."
        return f"{capital(method(result))} compares with no “nothing”: one map."
    value = rho(result, pair, alpha)
    if result.path.shape[-1] and alpha < 1:
        return _on_the_way(result, pair, alpha, value)
    if np.isnan(value):
        return f"{who} cannot be compared: one of them is constant."
    twice = again(result, pair)
    if twice < AGREE:  # NaN, where it was not drawn twice, tells nothing
        noun = "masks" if result.method == "rise" else "steps or samples"
        return (
            f"{many}It is too noisy to tell whether they agree (ρ = {two(value)}): the same drawn "
            f"twice gives maps as different as ρ = {two(twice)}. Take more {noun}."
        )
    overlap = float(result.between_baselines("top")[a, b])  # of the union of both
    top = f" They share {percent(in_common(overlap))} of their top 10 %, by chance 10 %."
    alone = len(result.index) == 1 and bool(np.isfinite(overlap))
    return f"{many}{verdict(value, who)}{top * alone}"


def alike(result: Saliency, pair: tuple[int, int]) -> str:
    """Say how much two maps agree in other ways than by Spearman's correlation."""
    absolute, overlap, ssim = (
        float(result.between_baselines(it)[pair]) for it in ("absolute", "top", "ssim")
    )
    shared = percent(in_common(overlap))
    return f"of magnitudes {two(absolute)}, top 10 % shared {shared}, SSIM {two(ssim)}"


def in_common(overlap: float) -> float:
    """Return which part of two equally large sets is in both, from their overlap over their union.

    Examples
    --------
    >>> round(in_common(1 / 203) * 102, 6)  # of 102 and 102 pixels one is in both
    1.0
    """
    return 2 * overlap / (1 + overlap)


def _on_the_way(result: Saliency, pair: tuple[int, int], alpha: float, value: float) -> str:
    at = step(result, alpha)
    due = result.scores_clean[0] - result.scores_baseline[0, list(pair)]
    held = result.credit[0, list(pair), at]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [percent(float(it), 0) if np.isfinite(it) else "none" for it in held / due]
    ways = f"{parts[0]} and {parts[1]} of the change in {explained(result)}"
    so_far = "" if np.isnan(value) else f" So far ρ = {two(value)}."
    return (
        f"At α = {alpha:.2f} on the way from “nothing” to the image the two maps hold {ways}."
        f"{so_far} Controls are told of the whole way, at α = 1."
    )


def controls(result: Saliency, shown: tuple[int, ...], told: bool = False) -> str:
    """Say what an untrained network gives, and what half the steps give.

    ``told`` if the finding is what the untrained network gives.
    """
    parts = []
    known = untrained(result, shown)
    if told:
        pass
    elif np.isfinite(known):
        parts.append(f"an untrained network's map {word(known, OF_ONE)} ({two(known)})")
    elif not result.untrained.shape[1]:
        parts.append(UNASKED)
    elif result.hyper_maps.any():
        parts.append("none by an untrained network, whose maps are constant")
    twice = again(result, shown)
    if np.isfinite(twice):
        how = "maps of half the steps" if result.method == "ig" else _draws(result)
        parts.append(f"{how} {word(twice)} ({two(twice)})")
    return f"Controls: {', '.join(parts)}." if parts else ""


def sums(result: Saliency, shown: tuple[int, ...]) -> str:
    """Say how far maps add up to the change in the score, if that is known."""
    gaps = result.gaps[list(shown)]
    noun = "The map adds" if len(gaps) == 1 else "The maps add"
    within = " and ".join(percent(gap) for gap in gaps)
    return f"{noun} up within {within}." if np.isfinite(gaps).all() else ""


def twins(result: Saliency, pinned: Saliency, pair: tuple[int, int]) -> tuple[int, int]:
    """Return which maps of a pinned result are compared with a pair: the same, or its own pair."""
    names = [result.baselines[b] for b in pair]
    if not set(names) <= set(pinned.baselines):
        return pinned.pair()
    first, second = (pinned.baselines.index(name) for name in names)
    return first, second


def other_than(result: Saliency, pinned: Saliency, pair: tuple[int, int]) -> str:
    """Return what a pinned picture shows that this one does not: its “nothings”, its method."""
    there, parts = twins(result, pinned, pair), []
    if {pinned.baselines[b] for b in there} != {result.baselines[b] for b in pair}:
        parts.append(" and ".join(dict.fromkeys(pinned.called(b) for b in there)))
    if method(pinned) != method(result):
        parts.append(method(pinned))
    return ", ".join(dict.fromkeys(parts))


def against(
    result: Saliency, pinned: Saliency, pair: tuple[int, int], versus: str = "baseline"
) -> str:
    """Say how the maps that are shown differ from those that were pinned."""
    head = result.versus(pinned)
    for name, what in (("index", "other images"), ("target", "another class")):
        if not np.array_equal(getattr(result, name), getattr(pinned, name)):
            return f"{head}: nothing to compare, it shows {what}."
    if result.score != pinned.score:
        return f"{head}: nothing to compare, it explains the {pinned.score}."
    if versus == "behind":
        return _beside(head, result, pinned, result.baselines[pair[0]])
    there = twins(result, pinned, pair)
    if result.incomplete(*pair) or pinned.incomplete(*there):
        return f"{head}: nothing to compare, for maps do not add up."
    other = other_than(result, pinned, pair)
    head += f" ({other})" if other else ""
    known, parts = False, []
    mine, its = told_of(result, pair, versus), told_of(pinned, there, versus)
    if np.isfinite([mine, its]).all():
        known = True
        if two(mine) != two(its):
            parts.append(f"ρ = {two(mine)} instead of {two(its)}")
    for b in dict.fromkeys(pair if versus == "baseline" else pair[:1]):
        same = [at for at in there if pinned.baselines[at] == result.baselines[b]]
        if not same or result.images.shape != pinned.images.shape:
            continue
        known, value = True, _alike(result.maps[:, b], pinned.maps[:, same[0]])
        if value < 0.9995:
            parts.append(f"the maps against {result.called(b)} {word(value)} ({two(value)})")
    if not known:
        return f"{head}: nothing to compare, it has other “nothings”."
    return f"{head}: {', '.join(parts) or 'no difference'}."


def _beside(head: str, result: Saliency, pinned: Saliency, baseline: str) -> str:
    """Say how far the maps against one baseline agree."""
    if baseline not in pinned.baselines:
        return f"{head}: nothing to compare, it has other “nothings”."
    if any(it.incomplete(it.baselines.index(baseline)) for it in (result, pinned)):
        return f"{head}: nothing to compare, for maps do not add up."
    value = likeness(result, pinned, baseline)
    return f"{head}: the maps {word(value)} (ρ = {two(value)})."


def likeness(result: Saliency, pinned: Saliency, baseline: str) -> float:
    """Return how far the maps of two results against one baseline agree; NaN if they cannot."""
    if not np.array_equal(result.index, pinned.index):
        return float("nan")
    maps = [it.maps[:, it.baselines.index(baseline)] for it in (result, pinned)]
    return _alike(*maps)


def _alike(mine: np.ndarray, its: np.ndarray) -> float:
    """Return the mean agreement of maps ``(n, H, W)`` of the same images; NaN if all are flat."""
    values = np.array([spearman(np.stack(pair))[0, 1] for pair in zip(mine, its, strict=True)])
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def told_of(result: Saliency, pair: tuple[int, int], versus: str) -> float:
    """Return the correlation that a picture of a pair is about."""
    if versus == "untrained":
        return float(result.control()[pair[0]])
    return float(result.between_baselines()[pair]) if pair[0] != pair[1] else float("nan")


def _draws(result: Saliency) -> str:
    noun = {"rise": "masks"}.get(result.method, "samples")
    return f"two sets of {result.convergence_size[-1]} {noun}"


def capital(words: str) -> str:
    """Begin with a capital letter; the others stay."""
    return words[:1].upper() + words[1:]
