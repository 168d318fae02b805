"""Checks for the exercises of lesson 02: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import math

import checking
import numpy as np

import reliab_widgets as rw

LESSON = checking.Lesson("02_reliability")
report = LESSON.report


@LESSON.exercise("'over' or 'under'")
def overconfident(guess, result):
    """Compare a guess, "over" or "under", with mean confidence minus accuracy."""
    said = checking.name(guess, ("over", "under", "over-confident", "under-confident"))
    gap = result.metric("confidence", "before") - result.metric("accuracy", "before")
    if (gap > 0) != said.startswith("over"):
        return (
            "✗ The other way round. Its training images taught it that it is always right: what "
            "will it say about new ones?"
        )
    return f"✓ Right: confidence minus accuracy is {gap * 100:+.1f} points."


@LESSON.exercise("three numbers: how many images, the share that is right, the mean confidence")
def one_bin(answer, result, low, high):
    """Compare (count, accuracy, mean confidence) of one bin with the diagram before calibration."""
    bins = result.before
    number = int(np.argmin(abs(bins.low - low) + abs(bins.high - high)))
    count, *given = checking.several(answer, 3)
    count = checking.whole(count, 0, int(bins.count.sum()))
    if count != bins.count[number]:
        return f"✗ {count} images are not what lies above {low} and up to {high}: check < and <=."
    wanted = float(bins.accuracy[number]), float(bins.confidence[number])
    right = checking.number(given[0])
    if right > 1 and round(right) == round(wanted[0] * count) and not _near(right, wanted[0]):
        return "✗ You gave the number of right answers; the diagram shows their share."
    accuracy, confidence = (checking.share(one) for one in given)
    if _near(accuracy, wanted[1]) and _near(confidence, wanted[0]):
        return "✗ All there, in another order: the count, then the accuracy, then the confidence."
    if not _near(accuracy, wanted[0]):
        return "✗ The accuracy is the share of these images whose largest logit is at the label."
    if not _near(confidence, wanted[1]):
        return "✗ The confidence of an image is the largest entry of its softmax; average that."
    return "✓ Right: these three numbers are one point of the diagram, and its area."


@LESSON.exercise("a function that returns the mean NLL at a temperature, or the best temperature")
def temperature(answer, subject):
    """Compare a temperature, or the one at which a loss is smallest, with what `rw` fits."""
    grid = np.geomspace(0.2, 10, 400)
    found = rw.reliability(subject, method="temperature").calibrator.temperature
    if callable(answer):
        losses = [checking.number(checking.called(answer, one)) for one in grid]
        if max(losses) == min(losses):
            return "✗ Your loss is the same at every temperature: divide the logits by it."
        best = float(grid[int(np.argmin(losses))])
        if math.isclose(grid[int(np.argmax(losses))], found, rel_tol=0.05):
            return "✗ Your loss is largest where it should be smallest: mind the minus sign."
    else:
        best = checking.number(answer)
    if math.isclose(best, found, rel_tol=0.05):
        return f"✓ Right: {best:.2f}; the bounded search finds {found:.3f}."
    if math.isclose(best, 1 / found, rel_tol=0.05):
        return "✗ That is 1/T: logits are divided by T, not multiplied."
    if best <= 0:
        return f"✗ {best:g} would turn the answers round: a temperature is above 0."
    if math.isclose(best, 1, rel_tol=0.01):
        return "✗ T stayed at 1: does your loss divide the logits by T before the softmax?"
    return (
        f"✗ {best:.3g} is not within 5 % of the best one: minimise the mean NLL over the "
        "validation images, not the test images."
    )


@LESSON.exercise("the widget of the cell above")
def worse_than_nothing(widget):
    """Look whether the widget shows a calibration fitted on 50 images that harms others."""
    result, state = checking.shown(widget)
    if state["method"] != "isotonic" or state["calibration_images"] != 50:
        return "○ Choose isotonic, fitted on 50 images; then draw other images with the seed."
    before, after = result.metric("ece", "before"), result.metric("ece")
    if after <= before:
        return f"✗ Not this draw: ECE {before:.2%} before, {after:.2%} after. Try another seed."
    return f"✓ There: ECE {before:.2%} before and {after:.2%} after, on images it has not seen."


@LESSON.exercise("a number of images, such as 100")
def safe(answer, subject, draws=20):
    """Repeat isotonic regression on so many fit images, and count the draws that did harm."""
    there = len(subject.validation)
    images = checking.whole(answer, 1, there)
    if images > there // 2:
        return (
            f"✗ Of {there:,} images, draws of {images:,} are nearly the same: {draws} of them say "
            f"little more than one. Choose at most {there // 2:,}."
        )
    results = [
        rw.reliability(subject, method="isotonic", calibration_images=images, seed=seed)
        for seed in range(draws)
    ]
    harmed = sum(result.metric("ece") > result.metric("ece", "before") for result in results)
    verdict = "✓ Safe" if harmed <= draws // 20 else "✗ Not safe"
    return f"{verdict}: with {images} images the ECE got worse in {harmed} of {draws} draws."


@LESSON.exercise("two whole numbers from 3 to 100")
def bins(few, many, subject):
    """Compare the ECE of one model at two numbers of bins."""
    few, many = (checking.whole(one, 3, 100) for one in (few, many))
    if few == many:
        return f"✗ {few} bins twice: give two different numbers."
    low, high = (rw.reliability(subject, bins=n).metric("ece") for n in (few, many))
    verdict = "✓ Right" if abs(high - low) >= 0.005 else "✗ Less than half a point"
    return (
        f"{verdict}: ECE {low:.2%} with {few} bins, {high:.2%} with {many}. The model is the same."
    )


def _near(given, wanted):
    """Whether a share, or one in per cent, is that wanted to within rounding to two digits."""
    return min(abs(given - wanted), abs(given / 100 - wanted)) <= 0.00501
