"""What a robustness analysis says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import counted, grey_levels, percent, signed
from ...ops.attacks.catalogue import METHODS
from ...ops.attacks.doubts import USED
from ...ops.attacks.verdict import Finding

if TYPE_CHECKING:
    from .result import Robustness


def size(result: Robustness, place: int) -> str:
    """Write a size: in grey levels, or as a length.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> size(SimpleNamespace(epsilons=[0, 4 / 255], norm="Linf"), 1)
    '4/255'
    """
    return written(result, float(result.epsilons[place]))


def written(result: Robustness, epsilon: float) -> str:
    """Write any size, in the norm of a result."""
    return grey_levels(epsilon, result.norm)


def called(attack: str) -> str:
    """Return what people call an attack.

    Examples
    --------
    >>> called("pgd"), called("apgd:margin"), called("mine"), called("worst")
    ('PGD', 'APGD on the margin', 'mine', 'the strongest')
    """
    if attack == "worst":
        return "the strongest"
    word, _, loss = attack.partition(":")
    entry = METHODS.get(word) or METHODS.get(f"{word}-l2")
    name = attack if entry is None else entry.words
    return f"{name} on the {loss}" if entry is not None and loss else name


def attackers(result: Robustness) -> str:
    """Say whose worst case it is."""
    many = len(result.attacks)
    return f"the strongest of {many} attacks" if many > 1 else called(result.attacks[0])


def awaits_proof(result: Robustness) -> bool:
    """Tell whether a proof was asked for that is not there yet."""
    return result.certificate is None and result.knobs.get("sigma") is not None


def found(result: Robustness, place: int) -> str:
    """Say what is proved, unknown and broken at a size, and what noise of that size does."""
    worst, noise = result.accuracy(), result.accuracy("noise")
    here, before = size(result, place), percent(worst[0], 0)
    control = f"Control: random noise of the same size leaves {percent(noise[place], 0)} right"
    who = f"{counted(result.n)}; broken is a lower bound"
    if result.certificate is not None and not np.isnan(worst[place]):
        return f"{_proved(result, place)} {control} ({who}). {_judgement(result)}"
    if not place:
        return f"Without any change {before} of the predictions are right ({who})."
    if np.isnan(worst[place]):
        return f"Changes of {here} come next. Without any change {before} are right ({who})."
    told = f"With changes of at most {here} {attackers(result)} leaves {percent(worst[place], 0)} "
    told += f"of the predictions right, of {before} without any. "
    if awaits_proof(result):
        told += "The proof comes next. "
    return f"{told}{control} ({who}). {_judgement(result)}"


def _judgement(result: Robustness) -> str:
    words = f"{result.verdict}{_used(result)}"
    return f"Verdict: {words}." if result.verdict.names else f"{words[0].upper()}{words[1:]}."


def _used(result: Robustness) -> str:
    """Say what was climbed by attacks whose loss drowns, as `doubt` does."""
    fired = {test.name for test in result.verdict.tests if test.fired}
    if "the cross-entropy drowns" not in fired:
        return ""
    told = {}
    for attack in result.attacks:
        word, _, loss = attack.partition(":")
        loss = loss or (METHODS[word].loss if word in METHODS else "")
        if loss in USED:
            told[loss] = USED[loss].replace('loss="auto"', f'"{word}" alone')
    return "".join(f"; {it}" for it in told.values())


def _proved(result: Robustness, place: int) -> str:
    """Say how the images part, and of which network each part is true."""
    proof = result.certificate
    assert proof is not None
    parts = ("proved", "broken", "wrong", "unknown")
    safe, lost, wrong, unknown = (percent(result.part(it, place).mean(), 0) for it in parts)
    words = (
        f"At a change of {size(result, place)}, {safe} of the images are proved safe, {lost} are "
        f"broken, {wrong} were wrong before, and nothing is known of {unknown}."
    )
    reach = float(result.proved.max())
    words += f" No proof reaches beyond {reach:.2g}." if reach > 0 else " Nothing is proved."
    words += (
        f" Two networks: proved is of {proof.subject} smoothed by noise, broken of "
        f"{proof.subject} itself"
    )
    both = int((result.part("proved", place) & result.broken[place]).sum())
    if both:
        words += f"; {counted(both)} {'is' if both == 1 else 'are'} proved there and lost here"
    return f"{words}."


def of_proof(result: Robustness) -> tuple[str, ...]:
    """Say in three lines what was proved, of which network, and what that costs."""
    proof = result.certificate
    if proof is None:
        return ("It comes when the attacks are done.", "", "") if awaits_proof(result) else ()
    plain = percent(result.accuracy()[0], 0)
    return (
        f"σ = {proof.sigma:g}, {proof.draws:,} draws, {percent(1 - proof.alpha, 1)} sure.",
        f"Right on {percent(proof.accuracy(), 0)} without change (itself: {plain}),",
        f"and abstains on {proof.abstained} of {result.n}.",
    )


def against(result: Robustness, pinned: Robustness, place: int) -> str:
    """Say how much more, or less, is left right at a size than with another network."""
    epsilon = float(result.epsilons[place])
    there = pinned.at(epsilon)
    if result.norm != pinned.norm or not np.isclose(pinned.epsilons[there], epsilon):
        return f"{result.versus(pinned)}: it was not tried at {size(result, place)}."
    mine, its = result.accuracy()[place], pinned.accuracy()[there]
    if np.isnan(mine):
        return f"{result.versus(pinned)}: that comes next."
    points = signed((mine - its) * 100, 0)
    words = f"{percent(mine, 0)} instead of {percent(its, 0)} right at {size(result, place)}"
    start = f"{percent(result.accuracy()[0], 0)} instead of {percent(pinned.accuracy()[0], 0)}"
    return f"{result.versus(pinned)}: {words} ({points} points), {start} without any change."


def of_size(result: Robustness, place: int) -> str:
    """Say of each attack what it leaves right at a size."""
    known = {name: result.accuracy(name)[place] for name in (*result.attacks, "noise")}
    told = [
        f"{called(name)} {percent(share, 0)}" for name, share in known.items() if share == share
    ]
    words = f"{size(result, place)}, right after: {', '.join(told)}"
    if result.certificate is not None:
        words += f"; proved: {percent(result.part('proved', place).mean(), 0)}"
    return words


def of_image(result: Robustness, image: int) -> str:
    """Say at which size each attack broke an image, or nothing where it was not attacked."""
    rows = np.flatnonzero(result.index == image)
    if not len(rows):
        return ""
    row, last = int(rows[0]), size(result, len(result.epsilons) - 1)
    name = f"Image {image}, {result.classes[result.truth[row]]}"
    if result.noise[0, row]:
        return f"{name}: wrong without any change."
    outcomes = dict(zip(result.attacks, result.outcome, strict=True)) | {"noise": result.noise}
    told = []
    for attack, outcome in outcomes.items():
        hit = np.flatnonzero(outcome[:, row] == 1)
        what = f"broken at {size(result, int(hit[0]))}" if len(hit) else f"right up to {last}"
        told.append(f"{called(attack)}: {what}")
    radius = float(result.proved[row])
    if result.certificate is not None:
        proof = f"proved up to {radius:.2g}" if radius > 0 else "nothing proved"
        told.append(f"smoothed network: {proof}")
    return f"{name}. {'; '.join(told)}."


ASSURED = {
    "gradients are zero": "gradients are not zero",
    "one step is better than several": "several steps beat one",
    "a random start is needed": "no random start is needed",
    "the margin is better than the cross-entropy": "the margin loss is no stronger",
    "more steps or restarts still help": "more steps add little",
    "the black box is better than the gradient": "a black box is no better",
    "noise is as good as the attack": "noise breaks less",
    "epsilon 1 does not break all": "without a bound all break",
    "the cross-entropy drowns": "the cross-entropy has a slope",
    "another draw undoes the attack": "another draw undoes nothing",
}
"""What a test of the verdict assures where it does not fire."""
SHORT = {
    "the margin is better than the cross-entropy": "the margin loss is stronger",
    "the black box is better than the gradient": "a black box is better",
}
"""What a test is called where it fires, beside its numbers: its name would reach them."""
COMPARES = (
    "one step is better than several",
    "a random start is needed",
    "the margin is better than the cross-entropy",
    "noise is as good as the attack",
)
"""Tests that hold two attacks against each other: two numbers of images."""


def assured(test: Finding) -> str:
    """Say what a test of the verdict found, in a few words.

    Examples
    --------
    >>> assured(Finding("gradients are zero", False, 0, 0, 64, 1.0))
    'gradients are not zero'
    """
    return SHORT.get(test.name, test.name) if test.fired else ASSURED[test.name]


def counts(test: Finding) -> str:
    """Write the numbers of a test, that of its suspicion first where it fires.

    Examples
    --------
    >>> counts(Finding("one step is better than several", False, 3, 25, 56, 1.0))
    '25 vs 3'
    >>> counts(Finding("gradients are zero", True, 12, 0, 56, 0.0))
    '12 of 56'
    """
    if test.name not in COMPARES:
        return f"{test.number} of {test.n}"
    pair = (test.number, test.against)
    return " vs ".join(map(str, pair if test.fired else pair[::-1]))


def judged(result: Robustness) -> str:
    """Say of how many images the verdict is, or why there is none."""
    found = result.verdict
    if not found.names:
        return str(found)
    return f"images for and against, of {found.n} right ones"


def chip(result: Robustness) -> str:
    """Say the verdict in a few words."""
    found = result.verdict
    if found.hidden:
        return f"verdict: hidden ({int(found.fired.sum())} of {len(found.names)} tests)"
    if not found.names:
        return str(found).partition(":")[0]
    tests = f"{len(found.names)} test{'s' * (len(found.names) > 1)}"
    return f"verdict: nothing hidden found ({tests})"
