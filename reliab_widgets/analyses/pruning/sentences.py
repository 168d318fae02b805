"""What a pruning analysis says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import percent, signed, span
from ...ops.calibration.bins import wilson

if TYPE_CHECKING:
    from .result import Pruning


DECIDING = ("criterion", "scope", "rounds", "protect", "calibration_images", "finetune", "seed")
"""The knobs that decide which network stands at a level."""
GUESSED = 1.2
"""Up to this multiple of the accuracy of a guess nothing has been learned that can be lost."""


def summary(result: Pruning) -> str:
    """Say in one sentence what the level that tells most costs."""
    place = result.telling
    level, accuracy = result.levels[place], result.accuracy
    losers = result.losers(place)
    change = result.class_accuracy[0, place, losers[0]] - result.class_accuracy[0, 0, losers[0]]
    drawn = accuracy[1:, place]
    return (
        f"{result.subject} without {level:.0%} of its {result.unit} ({result.criterion}): accuracy "
        f"{percent(accuracy[0, 0])} becomes {percent(accuracy[0, place])} "
        f"({_points((accuracy[0, place] - accuracy[0, 0]) * 100)}), of {named(result, losers)} "
        f"{_points(change * 100)}; {percent(result.flipped[0, place].mean())} of {result.n:,} "
        f"predictions change; as many removed at random leave {percent(drawn.min())} to "
        f"{percent(drawn.max())} ({len(drawn)} draws)."
        + f" Verdict: {result.doubt}."
        * bool(result.doubt)
    )


def doubted(result: Pruning, place: int) -> str:
    """Say what speaks for a network at a level that hides from attacks."""
    which = f"without {percent(result.levels[place], 0)} of its {result.unit}"
    return f"{which if place else 'the whole network'}: {result.doubts[place]}"


def of_level(result: Pruning, level: float) -> str:
    """Say what a level does, in short."""
    if result.waits_for(level):
        return f"{percent(level, 0)} removed: not computed yet"
    place = result.at(level)
    share = f"{percent(level, 0)} removed: accuracy {percent(result.accuracy[0, place])}"
    if place == 0:
        return share
    losers = result.losers(place)
    change = result.class_accuracy[0, place, losers[0]] - result.class_accuracy[0, 0, losers[0]]
    return (
        f"{share}, {named(result, losers)} {_points(change * 100)}; "
        f"random removal {percent(result.accuracy[1:, place].mean())} ({draws(result)})"
    )


def draws(result: Pruning) -> str:
    """Say of how many random removals a number of the control is."""
    count = len(result.logits) - 1
    return f"mean of {count} draws" if count > 1 else "1 draw so far"


def reading(result: Pruning, level: float | None = None, payer: int | None = None) -> str:
    """Say what a level costs, and whom, or one class; by default the level that tells most."""
    done, asked = len(result.levels), len(result.asked)
    if level is not None and result.waits_for(level):
        return (
            f"{_whole(result)}. Next {percent(level, 0)} of the {result.unit} are removed and the "
            f"images evaluated again: {done} of {asked} levels so far."
        )
    place = result.telling if level is None else result.at(level)
    if place == 0:
        so_far = f" yet ({done} of {asked} levels are computed)" if done < asked else ""
        return f"Nothing is removed{so_far}: {_whole(result)}."
    drawn = result.accuracy[1:, place]
    changed = int(result.flipped[0, place].sum())
    if payer is not None:  # more would be too much for the lines that the page keeps free
        what = f"{percent(result.levels[place], 0)} of the {result.unit}"
        average = (result.accuracy[0, place] - result.accuracy[0, 0]) * 100
        return f"{_cost(what, average)}. {of_class(result, payer, place)}."
    return (
        f"{_finding(result, place)}. Control: random removal leaves {percent(drawn.mean())} "
        f"({draws(result)}) instead of {percent(result.accuracy[0, place])}. "
        f"{changed:,} of {result.n:,} predictions change."
    )


def _cost(what: str, average: float) -> str:
    if average > -0.05:
        return f"{what} cost no accuracy on average"
    return f"{what} cost {-average:.1f} points of accuracy on average"


def _whole(result: Pruning) -> str:
    """Say how good the whole network is."""
    accuracy = result.class_accuracy[0, 0]
    weakest = result.largest(1 - accuracy)
    said = (
        f"{result.subject} is right on {percent(result.accuracy[0, 0])} of {result.n:,} test images"
    )
    if len(weakest) == np.isfinite(accuracy).sum():
        return said
    return f"{said}, least on {named(result, weakest)} ({percent(accuracy[weakest[0]])})"


def _finding(result: Pruning, place: int) -> str:
    change = (result.class_accuracy[0, place] - result.class_accuracy[0, 0]) * 100
    average = (result.accuracy[0, place] - result.accuracy[0, 0]) * 100
    losers = result.losers(place)
    # Classes without images come last.
    order = np.argsort(np.nan_to_num(change, nan=np.inf), kind="stable")
    second = order[min(len(losers), len(order) - 1)]
    what = f"{percent(result.levels[place], 0)} of the {result.unit}"
    worst, name = change[losers[0]], named(result, losers)
    most = f"{name}, which {'loses' if len(losers) == 1 else 'lose'} most"
    if len(losers) == np.isfinite(change).sum():
        most = "every class"
    whole, chance = result.accuracy[0, 0], 1 / len(result.classes)
    if whole <= GUESSED * chance:
        return (
            f"There is nothing to lose: the whole network is right on {percent(whole)} of the "
            f"images, guessing would be on {percent(chance)}; without {what} it is "
            f"{percent(result.accuracy[0, place])}"
        )
    if average > -1 and worst > -5:
        return (
            f"Nobody pays much yet: without {what} accuracy changes by {_points(average)}, "
            f"that of {most}, by {_points(worst)}"
        )
    cost = _cost(what, average)
    if worst > 2 * average - 5:
        return f"{cost}, and {-worst:.0f} points for {most}"
    more = ""
    if len(losers) == 1 and change[second] < average:
        whole = np.rint(change)
        alike = [int(k) for k in order[1:] if whole[k] == whole[second]]
        more = f" and {-change[second]:.0f} for {named(result, alike)}"
    return f"The average hides who pays: {cost}, but {-worst:.0f} points for {name}{more}"


def named(result: Pruning, classes: list[int]) -> str:
    """Name classes that are equal in something: all of two or three, otherwise the first."""
    names = [result.classes[k] for k in classes]
    if len(names) > 3:
        return f"{names[0]} and {len(names) - 1} other classes"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def of_class(result: Pruning, number: int, place: int) -> str:
    """Say what a level does to the images of a class, with intervals of 95 %."""
    mine = result.truth == number
    before, after = (result.hit[0, where, mine] for where in (0, place))
    name = result.classes[number]
    if not mine.any():
        return f"{name}: no test images"
    drawn = result.class_accuracy[1:, place, number].mean()
    change = round((after.mean() - before.mean()) * 100)
    points = f"{signed(change, 0)} points" if change else "no change"
    return (
        f"{name}, {mine.sum():,} test images: {percent(before.mean(), 0)} right before, "
        f"{percent(after.mean(), 0)} after ({points}; 95 % interval "
        f"{span(*wilson(after), digits=0)}), {percent(drawn, 0)} after random removal"
    )


def of_layer(result: Pruning, layer: str, place: int) -> str:
    """Say what a layer loses at a level, and at random."""
    spot = result.layers.index(layer)
    whole, left = result.left[0, 0, spot], result.left[0, place, spot]
    drawn = 1 - result.left[1:, place, spot].mean() / whole
    what = "weights" if result.criterion == "magnitude" else "filters"
    return (
        f"{layer}: {whole - left:,} of {whole:,} {what} removed "
        f"({percent(1 - left / whole, 0)}), at random {percent(drawn, 0)} ({draws(result)})"
    )


def against(result: Pruning, pinned: Pruning, level: float | None = None) -> str:
    """Say how this differs from a pinned result, by default at the highest level they share."""
    level = float(result.levels[result.telling]) if level is None else level
    if result.waits_for(level):
        return ""
    there, here = pinned.place_of(level), result.at(level)
    if there is None:
        return f"{result.versus(pinned)}: it has no {percent(level, 0)}."
    if (pinned.fingerprint, pinned.knobs) == (result.fingerprint, result.knobs):
        return "The pin is this same sweep: change a setting to compare with it."
    mine, other = result.accuracy[0, here], pinned.accuracy[0, there]
    said = f"accuracy {percent(mine)} instead of {percent(other)} ({_points(100 * (mine - other))})"
    if mine == other:
        said = f"the same accuracy, {percent(mine)}"
    before, after = pinned.class_accuracy[0, there], result.class_accuracy[0, here]
    if (gaps := np.nan_to_num(np.abs(after - before))).max() >= 0.01:
        k = int(gaps.argmax())
        shares = f"{percent(after[k], 0)} instead of {percent(before[k], 0)}"
        said += f", most for {result.classes[k]}: {shares}"
    if np.array_equal(result.index, pinned.index):
        answers = (it.logits[0, k].argmax(-1) for it, k in ((result, here), (pinned, there)))
        said += f"; {np.not_equal(*answers).sum():,} of {result.n:,} predictions differ"
    else:
        said += f"; the pin is of {pinned.n:,} other test images"
    return f"{result.versus(pinned)}{_apart(result, pinned)}, at {percent(level, 0)}: {said}."


def _apart(result: Pruning, pinned: Pruning) -> str:
    """Say with which settings a pinned result was made, where these are others."""
    other = [
        f"{name.replace('_', ' ')} {'by default' if value is None else value}"
        for name, value in pinned.knobs.items()
        if name in DECIDING and value != result.knobs.get(name)
    ]
    return f" ({', '.join(other)})" if other else ""


def _points(change: float) -> str:
    return f"{signed(change)} points"
