"""What a transfer analysis says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.wording import counted, grey_levels, percent, signed

if TYPE_CHECKING:
    from .result import Transfer

WEAK = 0.5
"""An attack that fools less than this share at home says little of others."""
WORDS = {
    "alone": "one network",
    "ghosts": "the ghosts of one network",
    "ensemble": "all networks but one",
    "ensemble of ghosts": "the ghosts of all networks but one",
}
"""What changes are made on."""


def source(kind: str, network: str) -> str:
    """Return what a source is called.

    Examples
    --------
    >>> source("ghosts", "vgg"), source("ensemble of ghosts", "vgg")
    ('ghosts of vgg', 'ghosts of all but vgg')
    """
    ghosts = "ghosts of " if "ghosts" in kind else ""
    return f"{ghosts}{'all but ' if 'ensemble' in kind else ''}{network}"


def size(result: Transfer, place: int) -> str:
    """Write a size: in grey levels, or as a length.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> size(SimpleNamespace(epsilons=[4 / 255], norm="Linf"), 0)
    '4/255'
    """
    return grey_levels(float(result.epsilons[place]), result.norm)


def share(value: float) -> str:
    """Write a share of images, or that there is none.

    Examples
    --------
    >>> share(0.41), share(float("nan"))
    ('41 %', '–')
    """
    return percent(value, 0) if value == value else "–"


def what(result: Transfer) -> str:
    """Say what fooled means here."""
    return "fool" if result.target < 0 else f"lead to {result.classes[result.target]}"


def found(result: Transfer, place: int, kind: str = "alone") -> str:
    """Say how much works at home and elsewhere, and what noise of that size does."""
    home, abroad = result.means(kind, place)
    noise = result.share("noise", place)
    known = noise[np.isfinite(noise)]
    control = share(float(known.mean()) if len(known) else float("nan"))
    pairs = int((~result.home(kind)).sum())
    told = (
        f"Changes of {size(result, place)} made on {WORDS[kind]} {what(result)} {share(abroad)} of "
        f"the images elsewhere, of {share(home)} at home. "
    )
    told += f"Elsewhere is the mean of {pairs} pairs, each of the images that the victim gets right"
    if home < WEAK:
        told += "; at home the attack is weak, which says little of others"
    told += f". {compared(result, place, kind)}"
    return f"{told}Control: random noise of the same size, {control} ({counted(result.n)})."


def compared(result: Transfer, place: int, kind: str) -> str:
    """Say how far another kind of source than networks alone carries, with its interval."""
    kinds = [it for it in result.kinds[1:] if kind in ("alone", it)]
    told = []
    for one in kinds:
        apart, low, high = result.gain(one, place)
        if np.isnan(low):
            continue
        verb = "carries further" if low > 0 else "carries less far" if high < 0 else "is no gain"
        name = one[0].upper() + one[1:]
        interval = f"{signed(100 * low, 0)} to {signed(100 * high, 0)}"
        told.append(f"{name}: {verb}, {signed(100 * apart, 0)} points (95 %: {interval}).")
    return "".join(f"{it} " for it in told)


def of_pair(result: Transfer, place: int, kind: str, cell: tuple[int, int]) -> str:
    """Say of a pair what works, what does that was made on the victim itself, and what noise does.

    The share is of the images that the victim gets right.
    """
    row, column = cell
    victim, right = result.networks[column], int(result.right[column].sum())
    fool = f"fool {victim}"
    if result.target >= 0:
        fool = f"lead {victim} to {result.classes[result.target]}"
    here = share(float(result.share(kind, place)[row, column]))
    told = (
        f"Made on {source(kind, result.networks[row])}, changes of {size(result, place)} {fool} on "
        f"{here} of the {counted(right)} that it gets right"
    )
    if (kind, row) != ("alone", column):
        own = share(float(result.share("alone", place)[column, column]))
        told += f", and on {own} where they are made on {victim} itself"
    noise = share(float(result.share("noise", place)[column]))
    return f"{told}. Control: random noise of the same size, {noise}."


def of_cell(result: Transfer, place: int, kind: str, row: int, column: int) -> str:
    """Say what a cell of the matrix holds."""
    led = result.fooled(kind)[row, place, column]
    home = " (white-box)" if result.home(kind)[row, column] else ""
    here = share(float(result.share(kind, place)[row, column]))
    right = int(result.right[column].sum())
    return (
        f"made on {source(kind, result.networks[row])}, shown to {result.networks[column]}{home}: "
        f"{here}, {int(led.sum())} of {counted(right)}; click for them"
    )


def against(result: Transfer, pinned: Transfer, place: int, kind: str) -> str:
    """Say how much more, or less, works elsewhere than in another result."""
    epsilon = float(result.epsilons[place])
    there = pinned.at(epsilon)
    comparable = result.norm == pinned.norm and np.isclose(pinned.epsilons[there], epsilon)
    if not comparable or kind not in pinned.kinds:
        return f"{result.versus(pinned)}: it was not tried like this."
    mine, its = result.means(kind, place)[1], pinned.means(kind, there)[1]
    return (
        f"{result.versus(pinned)}: {share(mine)} instead of {share(its)} elsewhere at "
        f"{size(result, place)} ({signed(100 * np.nan_to_num(mine - its), 0)} points)."
    )
