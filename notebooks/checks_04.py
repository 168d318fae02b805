"""Checks for the exercises of lesson 04: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import copy

import checking
import numpy as np
import torch

LESSON = checking.Lesson("04_pruning")
report = LESSON.report
OTHER = 0.2  # a second share of the weights
LEVEL = "one of result.levels, such as 0.02 or '2 %'"


@LESSON.exercise(LEVEL)
def cliff(guess, result):
    """Compare a guess with the first level at which less than half of the images are right."""
    guess = checking.level(guess, result.levels)
    below = result.levels[result.accuracy[0] < 0.5]
    found = below[0] if len(below) else 1.0
    here = result.accuracy[0, result.at(guess)]
    if guess == found:
        return f"✓ Right: without {guess:.0%} of the filters the accuracy is {here:.0%}."
    side = "later: it is still" if guess < found else "earlier: it is already"
    return f"✗ The cliff comes {side} {here:.0%} at {guess:.0%}."


@LESSON.exercise("a function (weights, share) that changes the tensors of a list in place")
def mask(function, subject, share):
    """Let a function silence the smallest weights of a copy, and count."""
    model = copy.deepcopy(subject.model)
    weights = _weights(model)
    # Half and half look alike: a second share tells which of the two went.
    other = [weight.detach().clone() for weight in weights]
    before = torch.cat([weight.flatten() for weight in weights]).clone()
    with torch.no_grad():
        checking.called(function, weights, share)
        checking.called(function, other, OTHER)
    after = torch.cat([weight.flatten() for weight in weights])
    silent = after == 0
    part = silent.float().mean().item()
    if torch.equal(after, before):
        return "✗ No weight changed. Change the weights in place: `weight[...] = 0`."
    if abs(part - share) > 0.01:
        return f"✗ {part:.1%} of the weights became 0, not {share:.0%}."
    second = torch.cat([weight.flatten() for weight in other]).eq(0).float().mean().item()
    if abs(second - OTHER) > 0.01:
        fix = "that belongs to what stays" if abs(second + OTHER - 1) < 0.01 else "use `share`"
        return f"✗ With share={OTHER:g}, {second:.0%} of the weights became 0: {fix}."
    if not torch.equal(after[~silent], before[~silent]):
        return "✗ Weights that stay must stay as they are."
    if before[silent].abs().max() > before[~silent].abs().min():
        layers = [(weight == 0).float().mean().item() for weight in weights]
        return (
            "✗ Some that went were larger than some that stayed. One threshold for all layers: "
            f"yours took {min(layers):.0%} to {max(layers):.0%} of a layer."
        )
    logits = torch.cat(
        [_logits(model, subject, start) for start in range(0, min(len(subject), 500), 100)]
    )
    right = (logits.argmax(1) == subject.labels[: len(logits)]).float().mean()
    return (
        f"✓ Right: {part:.1%} of the weights are 0, and {right:.1%} of {len(logits)} predictions "
        "are right."
    )


@LESSON.exercise(f"a class, such as 'cat', and {LEVEL}")
def worst_off(name, level, result, least=0.2):
    """Look whether a class is the one that lost most, and lost enough."""
    name = checking.name(name, result.classes, positions=True)
    level = checking.level(level, result.levels)
    place = result.at(level)
    lost = result.class_accuracy[0, 0] - result.class_accuracy[0, place]
    number = result.classes.index(name)
    said = f"at {level:.0%} {name} has lost {lost[number] * 100:.0f} points"
    if lost[number] < np.nanmax(lost):
        return f"✗ Another class has lost more: {said}."
    if lost[number] <= least:
        return f"✗ Not yet {least * 100:.0f} points: {said}. Remove more."
    mean = result.accuracy[0, 0] - result.accuracy[0, place]
    return f"✓ Right: {said}, the average {mean * 100:.0f}."


@LESSON.exercise(LEVEL)
def hidden_flips(level, result, points=1.0, share=0.03):
    """Look whether the accuracy hardly changes while many predictions do."""
    level = checking.level(level, result.levels)
    if level == 0:
        return "✗ At 0 nothing is removed, and nothing changes."
    place = result.at(level)
    change = (result.accuracy[0, place] - result.accuracy[0, 0]) * 100
    flips = result.flipped[0, place].mean()
    said = f"accuracy {change:+.1f} points, {flips:.1%} of the predictions change"
    if abs(change) >= points:
        return f"✗ Too much is seen: {said}."
    if flips <= share:
        return f"✗ Too little happens: {said}."
    return f"✓ There: {said}."


@LESSON.exercise("one of result.levels or extreme.levels, and then result or extreme")
def calibrated_and_useless(level, result, points=15):
    """Look whether the calibration error is no larger, and the accuracy is gone."""
    if not hasattr(result, "calibration"):
        raise checking.Unread(f"{checking.seen(result)} is neither result nor extreme.")
    level = checking.level(level, result.levels)
    if level == 0:
        return "✗ At 0 nothing is removed: this is the whole network."
    place = result.at(level)
    ece = result.calibration["ece raw"][0, [0, place]]
    change = (result.accuracy[0, place] - result.accuracy[0, 0]) * 100
    said = f"ECE {ece[0]:.1%} before, {ece[1]:.1%} now; accuracy {change:+.0f} points"
    if ece[1] > ece[0]:
        return f"✗ Confidences are worse: {said}."
    if change > -points:
        return f"✗ The network still works: {said}."
    return f"✓ There: {said}. It promises nothing, and keeps it."


def _weights(model):
    kinds = torch.nn.Conv2d, torch.nn.Linear
    return [module.weight for module in model.modules() if isinstance(module, kinds)]


def _logits(model, subject, start):
    mean, std = (torch.tensor(it).view(-1, 1, 1) for it in (subject.mean, subject.std))
    with torch.no_grad():
        return model((subject.images[start : start + 100] - mean) / std)
