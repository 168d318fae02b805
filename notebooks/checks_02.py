"""Checks for the exercises of lesson 02: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import math

import numpy as np

import reliab_widgets as rw

OPEN = "○ Not answered yet: put your answer in place of the dots."


def overconfident(guess, result):
    """Compare a guess, "over" or "under", with mean confidence minus accuracy."""
    if guess is ...:
        return OPEN
    gap = result.metric("confidence", "before") - result.metric("accuracy", "before")
    truth = "over" if gap > 0 else "under"
    if guess not in ("over", "under"):
        return f"✗ Answer 'over' or 'under', not {guess!r}."
    verdict = "✓ Right" if guess == truth else "✗ The other way round"
    return f"{verdict}: confidence minus accuracy is {gap * 100:+.1f} points."


def one_bin(answer, result, low, high):
    """Compare (count, accuracy, mean confidence) of one bin with the diagram before calibration."""
    if answer is ...:
        return OPEN
    bins = result.before
    number = int(np.argmin(abs(bins.low - low) + abs(bins.high - high)))
    count, accuracy, confidence = (float(value) for value in answer)
    if count != bins.count[number]:
        return (
            f"✗ {count:.0f} images are not what lies above {low} and up to {high}: check < and <=."
        )
    if math.isclose(accuracy, bins.accuracy[number] * count):
        return "✗ You gave the number of right answers; the diagram shows their share."
    if not math.isclose(accuracy, bins.accuracy[number], abs_tol=1e-6):
        return "✗ The accuracy is the share of these images whose largest logit is at the label."
    if not math.isclose(confidence, bins.confidence[number], abs_tol=1e-6):
        return "✗ The confidence of an image is the largest entry of its softmax; average that."
    return "✓ Right: these three numbers are one point of the diagram, and its area."


def temperature(answer, subject):
    """Compare a temperature with the one that `rw.reliability` fits."""
    if answer is ...:
        return OPEN
    found = rw.reliability(subject, method="temperature").calibrator.temperature
    if math.isclose(answer, found, rel_tol=0.05):
        return f"✓ Right: {answer:.2f}; the bounded search finds {found:.3f}."
    if math.isclose(answer, 1 / found, rel_tol=0.05):
        return "✗ That is 1/T: logits are divided by T, not multiplied."
    if math.isclose(answer, 1, rel_tol=0.01):
        return "✗ T stayed at 1: does your loss divide the logits by T before the softmax?"
    return (
        "✗ Not within 5 %: minimise the mean NLL over the validation images, not the test images."
    )


def worse_than_nothing(widget):
    """Look whether the widget shows a calibration fitted on 50 images that harms others."""
    result, state = widget.result, widget.state()
    if state["method"] != "isotonic" or state["calibration_images"] != 50:
        return "○ Choose isotonic, fitted on 50 images; then draw other images with the seed."
    before, after = result.metric("ece", "before"), result.metric("ece")
    if after <= before:
        return f"✗ Not this draw: ECE {before:.2%} before, {after:.2%} after. Try another seed."
    return f"✓ There: ECE {before:.2%} before and {after:.2%} after, on images it has not seen."


def safe(answer, subject, draws=20):
    """Repeat isotonic regression on so many fit images, and count the draws that did harm."""
    if answer is ...:
        return OPEN
    if not 1 <= answer <= len(subject.validation):
        return f"✗ There are {len(subject.validation):,} images to fit on; choose up to that many."
    results = [
        rw.reliability(subject, method="isotonic", calibration_images=int(answer), seed=seed)
        for seed in range(draws)
    ]
    harmed = sum(result.metric("ece") > result.metric("ece", "before") for result in results)
    verdict = "✓ Safe" if harmed <= draws // 20 else "✗ Not safe"
    return f"{verdict}: with {answer} images the ECE got worse in {harmed} of {draws} draws."


def bins(few, many, subject):
    """Compare the ECE of one model at two numbers of bins."""
    if few is ... or many is ...:
        return OPEN
    low, high = (rw.reliability(subject, bins=n).metric("ece") for n in (few, many))
    verdict = "✓ Right" if abs(high - low) >= 0.005 else "✗ Less than half a point"
    return (
        f"{verdict}: ECE {low:.2%} with {few} bins, {high:.2%} with {many}. The model is the same."
    )
