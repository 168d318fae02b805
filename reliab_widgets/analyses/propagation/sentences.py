"""What a propagation analysis found, in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import counted, percent
from ...ops.calibration.metrics import softmax

if TYPE_CHECKING:
    from .result import Propagation

NAMES = {
    "rms": "root mean square",
    "relative": "relative L2",
    "variance": "normalised variance",
    "cosine": "cosine distance",
}
"""How the metrics are called in pictures and sentences."""
NOT_FLIPPED = "not flipped"
TO_RUNNER_UP = "flipped to the runner-up"
TO_TARGET = "flipped to the target"
FLIPPED = "flipped"
CONTROL_TOO = "control flipped too: epsilon is simply large"
GRADES = {
    TO_RUNNER_UP: "to the runner-up",
    TO_TARGET: "to the target",
    FLIPPED: "to another class",
    CONTROL_TOO: "as under random noise",
}
"""How flips of many images are counted."""
SHOUT = 2.0
"""From how many times the effect of noise on an attack that changes the prediction shouts."""
KINDS = {"Conv2d": "convolution", "Linear": "linear map", "LayerNorm": "normalisation"}


def times(ratio: float) -> str:
    """Write a ratio to two digits, or whole.

    Examples
    --------
    >>> times(19.4), times(5.46), times(0.68), times(0.012), times(float("inf"))
    ('19', '5.5', '0.7', '0.012', '∞')
    >>> times(0.0)
    '0'
    """
    if np.isnan(ratio):
        return "?"
    if np.isinf(ratio):
        return "∞"
    if ratio >= 9.95:
        return f"{ratio:,.0f}"
    return f"{ratio:.1f}" if ratio >= 0.095 else f"{ratio:.2g}"


def said(result: Propagation, kind: str) -> tuple[str, float]:
    """Return what the first image is taken for, and how surely; kind: clean, or one of its."""
    row = ("clean", *result.kinds).index(kind)
    sure = softmax(result.logits[row, :1])[0]
    return result.classes[int(sure.argmax())], float(sure.max())


def finding(result: Propagation, metric: str) -> str:
    """Say how far the attack moves the logits, what it changes, what noise does, and of others."""
    if result.n > 1:  # what became of the first stands below its pictures
        return f"{_moved(result, metric)} {several(result, metric)}"
    return f"{_moved(result, metric)} {_changed(result)} Control: {_control(result)}"


def _moved(result: Propagation, metric: str) -> str:
    if result.attack == "none":
        return "Nothing was attacked, and nothing added."
    last = result.layers.index("logits")
    ratio = float(result.first(metric)[last])
    by = "" if metric == "rms" else f" ({NAMES[metric]})"
    who = "the attack" if result.denoiser == "none" else "what is left of the attack"
    if np.isnan(ratio):
        return f"{_upper(who)} does not move the logits, nor does noise of the same size."
    if np.isinf(ratio):
        return f"{_upper(who)} moves the logits, noise of the same size does not."
    far = f"{who} moves the logits {times(ratio)} times as far as noise of the same size{by}"
    clean, attacked = result.answers[:2, 0]
    begun = float(result.first(metric)[0])
    if attacked != clean and ratio >= SHOUT * max(begun, 1) and result.verdict[0] != CONTROL_TOO:
        return f"A whisper becomes a shout: {far}."
    if attacked == clean and clean != result.truth[0]:
        return f"The prediction was wrong before, and stays; {far}."
    if attacked == clean and ratio >= SHOUT:
        return f"The prediction holds, although {far}."
    return f"{_upper(far)}."


def _changed(result: Propagation) -> str:
    before, sure = said(result, "clean")
    after, how_sure = said(result, "adversarial")
    were, are = f"{before} {percent(sure, 0)}", f"{after} {percent(how_sure, 0)}"
    grade = result.verdict[0]
    if before == after:
        words = f"The prediction stays: {were}, then {percent(how_sure, 0)}"
    else:
        to = {TO_RUNNER_UP: " to the runner-up", TO_TARGET: " to the target"}.get(grade, "")
        words = f"The prediction changes{to}: {were} becomes {are}"
    if "undefended" in result.kinds:
        bare, how = said(result, "undefended")
        words += f"; without the denoiser {bare} {percent(how, 0)}"
    if grade == CONTROL_TOO:
        words += ". Noise changes it too: ε is simply large"
    return f"{words}."


def _control(result: Propagation) -> str:
    before, _ = said(result, "clean")
    noisy, sure = said(result, "random")
    does = f"leaves {noisy} at" if noisy == before else f"makes it {noisy}"
    return f"the noise {does} {percent(sure, 0)}."


def several(result: Propagation, metric: str) -> str:
    """Say what became of all the images: factor with interval, changes, accuracy."""
    last = result.layers.index("logits")
    flips = (result.answers != result.answers[0]).sum(axis=1)
    ratio, (low, high) = result.ratio(metric)[last], result.interval(metric)[:, last]
    factor = ""
    if np.isfinite([ratio, low, high]).all():
        factor = f" the factor is {times(ratio)} ({times(low)}–{times(high)});"
    accuracy = [percent(result.accuracy(kind), 0) for kind in ("clean", "adversarial")]
    words = f"In {result.n} images{factor} {flips[1]} of {result.n} predictions change, "
    words += f"{flips[1 + result.kinds.index('random')]} under noise (control); "
    words += f"accuracy {accuracy[0]} to {accuracy[1]}"
    if "undefended" in result.kinds:
        words += f", without the denoiser {percent(result.accuracy('undefended'), 0)}"
    return f"{words}."


def grades(result: Propagation) -> str:
    """Count what became of the predictions.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> grades(rw.propagation(rw.demo("resnet20"), images=[0], epsilon=1e-6))
    'Of 1 image 0 predictions change.'
    """
    counts = Counter(result.verdict)
    some = ", ".join(f"{counts[grade]} {word}" for grade, word in GRADES.items() if counts[grade])
    changed = int((result.answers[1] != result.answers[0]).sum())
    words = f"Of {counted(result.n)} {changed} predictions change"
    return f"{words}: {some}." if some else f"{words}."


def compared(result: Propagation, pinned: Propagation, metric: str) -> str:
    """Say how a result differs from a pinned one; of other images only that they are others."""
    same = np.array_equal(result.index, pinned.index)
    mine, other = (float(it.first(metric)[it.layers.index("logits")]) for it in (result, pinned))
    alike = same and pinned.settings() == result.settings() and pinned.subject != result.subject
    case = "" if alike else f" ({_case(pinned, same)})"
    words = (
        f"{result.versus(pinned)}{case}: the attack moves the logits {times(mine)} times as far as "
        f"noise, not {times(other)}"
    )
    was, now = said(pinned, "adversarial")[0], said(result, "adversarial")[0]
    if same:
        words += f"; both say {now}" if was == now else f"; it says {now}, not {was}"
    return f"{words}."


def _case(result: Propagation, same: bool) -> str:
    return result.settings() if same else f"image {result.index[0]}, {result.settings()}"


def described(result: Propagation, layer: str) -> str:
    """Say where a layer stands and what it gives: "last convolution of stage 3, 64 maps of 8 × 8".

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> described(rw.propagation(rw.demo("resnet20"), images=[0]), "layer3.2.conv2")
    'last convolution of stage 3, 64 maps of 8 × 8'
    """
    if layer not in result.plan.names:
        values = f"{len(result.classes)} values"
        return {"input": "the image itself", "logits": f"the logits, {values}"}.get(
            layer, f"the probabilities, {values}"
        )
    plan = result.plan
    k = plan.names.index(layer)
    kind = KINDS.get(result.types[k + 1], result.types[k + 1])
    channels, rows, columns = plan.sizes[k]
    gives = f"{channels:,} values"
    if columns > 1:
        gives = f"{channels:,} maps of {rows} × {columns}"
    elif rows > 1:
        gives = f"{rows:,} tokens of {gives}"
    if plan.beside[k]:
        return f"{kind} beside the main path, {gives}"
    for stage in plan.stages:
        if stage.first <= plan.place[k] <= stage.last and stage.last > stage.first:
            of = [
                j
                for j, place in enumerate(plan.place)
                if not plan.beside[j]
                and stage.first <= place <= stage.last
                and result.types[j + 1] == result.types[k + 1]
            ]
            which = _ordinal(of.index(k), len(of))
            return f"{which}{kind} of {stage.title}, {gives}"
    return f"{kind}, {gives}"


def _ordinal(place: int, count: int) -> str:
    if count == 1:
        return ""
    if place == count - 1:
        return "last "
    names = ("first ", "second ", "third ")
    return names[place] if place < len(names) else f"{place + 1}th "


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
