"""Checks for the exercises of lesson 10: each takes a guess and the learner's workbench.

They recompute what they compare with from what is chosen on it; no answer is stored here.
"""

import re

import checking
import numpy as np

import reliab_widgets as rw
from reliab_widgets.ops.statistics.agreement import spearman

LESSON = checking.Lesson("10_one_model_four_questions")
report = LESSON.report
GIVEN, CLEAN = "as given", "clean"  # the workbench's names of what it was made with
CONTROLS = r"random|untrained|noise|control|chance|perfectly calibrated|whole network"


@LESSON.exercise("'above' or 'below', and lab")
def applied(guess, lab):
    """Look whether the temperature of the whole network was sent to all analyses."""
    guess = checking.name(guess, ("above", "below", "above 1", "below 1"))
    bench = _bench(lab)
    if bench.model != GIVEN or bench.temperature == 1:
        return "○ Noted. Now the workbench: the network as given, and its temperature for all."
    fitted = _fitted(bench.given)
    if not _near(bench.temperature, fitted):
        return f"✗ T = {bench.temperature:.2f} is not what the validation images ask for."
    if (fitted > 1) != guess.startswith("above"):
        return "✗ The other way round: how sure are networks, and how often are they right?"
    before, after = (_ece(bench.given, it) for it in (1, fitted))
    return f"✓ Right: T = {fitted:.2f} takes the ECE from {before:.1%} to {after:.1%}."


@LESSON.exercise("a number of images, such as 50, or their share, such as '10 %', and lab")
def pruned(guess, lab):
    """Compare a guess with the number of predictions that the chosen pruned network changes."""
    guess = checking.number(guess)
    bench = _bench(lab)
    count = len(bench.given)
    guess = guess * count if 0 < guess < 1 else guess
    if not 0 <= guess <= count:
        raise checking.Unread(f"{guess:g} is not from 0 to {count}, the number of images.")
    thin = _thin(bench)
    if thin is None:
        return "○ Noted. Now choose 10 % pruned in the row Model of the workbench."
    answers, before = (it.logits.argmax(1) for it in (thin, bench.given))
    flips = int((answers != before).sum())
    points = (answers == thin.labels).float().mean() - (before == thin.labels).float().mean()
    if abs(guess - flips) > max(5, flips / 2):
        return f"✗ Too {'few' if guess < flips else 'many'}: changes go in both directions."
    return f"✓ Close: {flips} of {count} change, and the accuracy by {points * 100:+.1f} points."


@LESSON.exercise("'larger' or 'smaller', and lab")
def recalibrated(guess, lab):
    """Look whether the pruned network has a temperature of its own."""
    guess = checking.name(guess, ("larger", "smaller"))
    bench = _bench(lab)
    thin = _thin(bench)
    if thin is None:
        return "○ Noted. First choose 10 % pruned in the row Model of the workbench."
    old, own = _fitted(bench.given), _fitted(thin)
    if not _near(bench.temperature, own):
        return f"○ Noted. T = {bench.temperature:.2f} is not yet what this network asks for."
    if (own > old) != (guess == "larger"):
        return "✗ The other way round: is the pruned network now too modest, or too sure?"
    told = ", ".join(
        f"{_ece(thin, it):.1%} with {what}"
        for what, it in (("none", 1), ("the old one", old), ("its own", own))
    )
    return f"✓ Right: T = {own:.2f}, not {old:.2f}. ECE {told}."


@LESSON.exercise("a rank correlation from -1 to 1, such as 0.5, and lab")
def same_pixels(guess, lab):
    """Compare a guess with how far the maps of the pruned and the whole network agree."""
    guess = checking.number(guess)
    if not -1 <= guess <= 1:
        raise checking.Unread(f"{guess:g} is not from -1 to 1.")
    found = _shown(lab, "saliency")
    if isinstance(found, str):
        return found
    thin, whole, chance = found
    if len({it.target[0].item() for it in found}) > 1:
        return "○ They explain several classes. Choose true under Explain: one class for all."
    near, control = (_alike(it.maps[0, 0], whole.maps[0, 0]) for it in (thin, chance))
    nothing = whole.control()[0]
    if abs(guess - near) > 0.2:
        return f"✗ Too {'low' if guess < near else 'high'}: what does the control say?"
    return (
        f"✓ Close: on image {thin.index[0]} the maps agree by {near:.2f}. Controls: {control:.2f} "
        f"after random removal, {nothing:.2f} for an untrained network."
    )


@LESSON.exercise("'further' or 'less', and lab")
def further(guess, lab):
    """Compare a guess with how far an attack moves the logits of both networks."""
    guess = checking.name(guess, ("further", "less", "less far"))
    found = _shown(lab, "propagation")
    if isinstance(found, str):
        return found
    if found[0].attack == "none":
        return "○ Nothing is attacked: choose an attack."
    thin, whole, chance = (it.ratio()[it.layers.index("logits")] for it in found)
    told = f"{thin:.1f} times as far as noise in the pruned network, {whole:.1f} in the whole one"
    if (thin > whole) != (guess == "further"):
        return f"✗ The other way round on this image: {told}."
    return f"✓ Right on image {found[0].index[0]}: {told}. Control, random removal: {chance:.1f}."


@LESSON.exercise("six sentences, four of them with a number and one with a control")
def card(text):
    """Count sentences, numbers and controls of a learner's reliability card."""
    if not isinstance(text, str):
        raise checking.Unread(f"{checking.seen(text)} is no text.")
    words = " ".join(text.split())
    sentences = [it for it in re.split(r"(?<=[.!?]) (?![a-z])", words) if it]
    if len(sentences) != 6:
        raise checking.Unread(f"{checking.seen(text)} is not six sentences: {len(sentences)}.")
    numbers = sum(bool(re.search(r"\d", it)) for it in sentences)
    if numbers < 4:
        return f"✗ Only {numbers} of six sentences have a number: say how much, and of how many."
    if not re.search(CONTROLS, words, re.IGNORECASE):
        return "✗ No sentence names a control: compared with what?"
    return f"✓ A card: six sentences, {numbers} of them with a number, and a control."


def _bench(lab):
    if not (hasattr(lab, "bench") and hasattr(lab, "tabs")):
        raise checking.Unread(f"{checking.seen(lab)} is no workbench.")
    return lab.bench


def _thin(bench):
    """Return the pruned network that is chosen, on clean images; None if it is another."""
    variant = bench.variants.get(bench.model)
    if variant is None or variant.word != "pruned":
        return None
    knobs = variant.knobs
    if abs(knobs["level"] - 0.1) > 0.001 or knobs.get("criterion") == "random":
        return None
    return bench.subject(bench.chosen._replace(image=CLEAN))


def _fitted(subject):
    """Return the temperature that fits a network, whatever it is divided by already."""
    return rw.calibrated(subject).network.temperature


def _ece(subject, temperature):
    """Return the ECE with the logits divided by so much in all."""
    factor = temperature / subject.network.temperature
    result = rw.reliability(subject, method="temperature", temperature=factor)
    return result.metric("ece")


def _near(found, wanted):
    return abs(np.log(found / wanted)) < 0.02


def _shown(lab, word):
    """Return what a tab shows of the pruned, the whole and the randomly pruned network."""
    bench = _bench(lab)
    explorer = lab.tabs.explorers.get(word)
    if explorer is None:
        return f"○ Noted. Now open the tab {word.title()} of the workbench."
    if _thin(bench) is None or bench.image != CLEAN:
        return "○ Noted. On the workbench choose 10 % pruned in the row Model, and clean images."
    if bench.against != GIVEN:
        return "○ Noted. On the workbench choose the network as given in the list against."
    result, _ = checking.shown(explorer)
    return (result, *explorer.work.shown.others)


def _alike(one, other):
    return float(spearman(np.stack([one, other]))[0, 1])
