"""What a landscape analysis found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import grey_levels, percent

if TYPE_CHECKING:
    from .result import Landscape

PLANES = {
    "gradient": "the sign of the gradient",
    "random": "a random direction",
    "attacks": "an attack",
    "images": "another image",
}
"""What the first direction of a plane leads to."""
LEAST = 1e-3
"""Nats below which it is only said that it is less."""
SEVERAL = 4.0
"""So many times nearer than in a random plane, the boundary is near in one direction only."""


def nats(value: float) -> str:
    """Write a divergence or a loss to two digits.

    Examples
    --------
    >>> nats(12.34), nats(1.234), nats(0.01234), nats(4e-7), nats(0.0)
    ('12', '1.2', '0.012', 'below 0.001', '0')
    """
    if 0 < value < LEAST:
        return f"below {LEAST:g}"
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def distance(result: Landscape, value: float) -> str:
    """Write how far away something is on the plane.

    Parameters
    ----------
    result : Landscape
        Whose.
    value : float
        In the units of ``axis``.
    """
    if result.space == "input":
        return f"{value * 255:.2g}/255" if value * 255 < 9.95 else f"{value * 255:.0f}/255"
    return percent(value, 0)


def surface(result: Landscape, name: str | None) -> str:
    """Return which surface is shown."""
    return name or ("decision" if result.space == "input" else "loss")


def finding(result: Landscape, name: str | None, angle: int) -> str:
    """Say how steep it is, and how far the prediction can be moved."""
    if result.space == "weights":
        return _of_weights(result, angle)
    return " ".join(filter(None, (_geometry(result, angle), *_divergence(result))))


def _geometry(result: Landscape, angle: int) -> str:
    here, reach = result.crossing(angle, 0), distance(result, result.reach)
    middle = result.middle
    margin = float(result.margin[0, middle, middle])
    if margin <= 0:
        away = "nowhere on the line" if np.isinf(here) else f"{distance(result, here)} away"
        return f"The prediction is wrong from the start: the true class begins {away}."
    there = result.nearest(1)
    random = "another random plane" if result.plane == "random" else "a random plane"
    if np.isinf(there):
        beside = f"in {random} nowhere within {reach}"
    else:
        beside = f"in {random} not before {distance(result, there)}"
    if np.isinf(here):
        if np.isinf(there):
            return f"Flat: along this line the prediction holds to the rim, and {beside}."
        return f"Along this line the prediction holds; {beside}."
    changes = f"the prediction changes {distance(result, here)} away, {beside}"
    if there > SEVERAL * here:
        return f"Steep this way: {changes}."
    return f"Along this line {changes}."


def _divergence(result: Landscape) -> list[str]:
    """Say what was found for the image, by whom, and for several images."""
    ascent, calibrated, search, noise = (float(it) for it in result.own)
    if np.isnan(search):
        return []
    within = f"within ±{grey_levels(result.epsilon)}"
    words = f"Largest divergence found {within}: "
    if np.isnan(ascent):
        words += f"{nats(search)} nats by random search alone, since gradients are blocked"
    else:
        words += f"{nats(ascent)} nats, a lower bound"
    if np.isfinite(calibrated):
        words += f"; calibrated {nats(calibrated)}"
    said = [f"{words}."]
    if result.n > 1:
        said.append(_several(result))
    beside = f"random noise of that size moves it by {nats(noise)}"
    if np.isfinite(ascent):
        beside = f"random search in as many passes finds {nats(search)}, "
        beside += f"noise of that size {nats(noise)}"
    return [*said, f"Control: {beside}."]


def _several(result: Landscape) -> str:
    kind = "ascent" if len(result.of("ascent")) else "search"
    if not result.known:
        return ""
    low, high = result.interval(kind)
    count = f"{result.known} of {result.n}" if result.known < result.n else f"{result.n}"
    words = f"{count} images: mean {nats(result.mean(kind))}"
    if np.isfinite(low):
        words += f" ({nats(low)}–{nats(high)}, 95 %)"
    words += f", median {nats(result.median(kind))}"
    if result.mean(kind) > 0:
        words += f", 1/mean {result.rigidity(kind):.2g}"
    return f"{words}."


def at_half(result: Landscape, angle: int, row: int) -> float:
    """Return the larger loss at half of the way to the rim, of both ways along a line."""
    length, loss = result.along(result.loss[row], angle, row)
    half = result.reach / 2
    return float(max(np.interp(it, length, loss) for it in (-half, half)))


def _of_weights(result: Landscape, angle: int) -> str:
    middle = result.middle
    begins = float(result.loss[0, middle, middle])
    here, there = (at_half(result, angle, row) for row in (0, 1))
    half = percent(result.reach / 2, 0)
    first, other = result.crossing(angle, 0), result.nearest(1)
    lost = "stays above 50 %" if np.isinf(first) else f"falls below 50 % at {percent(first, 0)}"
    beside = "nowhere" if np.isinf(other) else f"from {percent(other, 0)} on"
    return (
        f"Moved by {half} of each filter’s length along this line, the loss goes from "
        f"{nats(begins)} to {nats(here)}. The accuracy of {_images(result)} "
        f"{lost}. Control: on another random plane the loss goes to {nats(there)} on the same "
        f"line, and the accuracy falls below 50 % {beside}."
    )


def _images(result: Landscape) -> str:
    return f"image {result.index[0]}" if result.n == 1 else f"{result.n} images"


def summary(result: Landscape) -> str:
    """Say in one line what was found, with its numbers."""
    parts = finding(result, None, 0).rstrip(".").split(". ")
    about = _images(result) if result.space == "weights" else f"image {result.image}"
    return f"{result.subject}, {about}: {'; '.join(it[:1].lower() + it[1:] for it in parts)}."


def compared(result: Landscape, pinned: Landscape, angle: int) -> str:
    """Say how a result differs from a pinned one."""
    if pinned.space != result.space:
        return f"{result.versus(pinned)}: it is of the {pinned.space}, this of the {result.space}."
    if result.space == "weights":
        mine, other = (at_half(it, angle, 0) for it in (result, pinned))
        return f"{result.versus(pinned)}: the loss goes to {nats(mine)}, not {nats(other)}."
    told = []
    mine, other = result.crossing(angle, 0), pinned.crossing(angle, 0)
    away = [
        f"beyond {distance(it, it.reach)}" if np.isinf(far) else f"{distance(it, far)} away"
        for it, far in ((result, mine), (pinned, other))
    ]
    told.append(f"the prediction changes {away[0]}, not {away[1].removesuffix(' away')}")
    if pinned.epsilon == result.epsilon and np.isfinite([result.own[0], pinned.own[0]]).all():
        found = f"the largest divergence found is {nats(float(result.own[0]))} nats"
        told.append(f"{found}, not {nats(float(pinned.own[0]))}")
    same = "" if pinned.image == result.image else f" (image {pinned.image})"
    return f"{result.versus(pinned)}{same}: {'; '.join(told)}."
