"""The attacks of an analysis, as its user names them: "pgd", or "pgd:margin" with its own loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...core.knobs import Choice, Kind, Real, Several
from ...core.wording import named, problem
from .attack import Attack, Method
from .catalogue import LOSSES, METHODS

_L2 = "-l2"
FAMILIES = tuple(dict.fromkeys(it.removesuffix(_L2) for it in METHODS if it != "none"))
"""What attacks are called here, where another knob says the norm."""
NEEDING = tuple(it for it in FAMILIES if METHODS[it].gradients)
"""Those that need the network's gradients."""
PGD = "pgd"
"""The attack that is tried again, harder, with what withstands."""
USUAL = {
    "Linf": ("fgsm", "bim", "pgd", "apgd:margin", "square"),
    "L2": ("fgsm", "bim", "pgd", "apgd:margin", "simba"),
}
"""Cheap ones of every sort, so that a verdict finds with what to compare."""
SIZES = {
    "Linf": tuple(n / 255 for n in (0.5, 1, 2, 4, 8, 16)),
    "L2": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
}
"""Epsilons, by what they bound."""
LONGER = 4
"""So many times the steps, to see whether more of them would help."""
PROVABLE = (0.5, 1, 1.5, 2, 3, 6)
"""Epsilons beside a proof, in standard deviations of its noise: it reaches two or three."""

_SIZE = Real(least=0, why="in pixel units, 8 / 255 for eight grey levels")


@dataclass(frozen=True)
class _Named(Choice):
    """An attack, with a loss of its own after a colon."""

    def check(self, name: str, value: Any, about: Any) -> Any:
        """Return what was passed, if both parts are known."""
        word, colon, loss = value.partition(":") if isinstance(value, str) else (value, "", "")
        found = super().check(name, word, about)
        if colon:
            Choice(LOSSES, what="loss").check(name, loss, about)
        return value if colon else found


_ATTACK = _Named(FAMILIES, own="a function of (model, images, labels)", what="attack")


@dataclass(frozen=True)
class Attacks(Several):
    """Names of attacks, or functions of the user's, each once.

    Examples
    --------
    >>> Attacks().check("attacks", ["fgsm", "pgd:margin", "fgsm"], None)
    ('fgsm', 'pgd:margin')
    """

    kind: Kind = _ATTACK
    least: int = 1
    alone: bool = True

    def check(self, name: str, value: Any, about: Any) -> tuple[Any, ...]:
        """Return the attacks, without repetitions."""
        return tuple(dict.fromkeys(super().check(name, value, about)))


@dataclass(frozen=True)
class Sizes(Several):
    """Epsilons, rising, without the 0 that is always there.

    Examples
    --------
    >>> Sizes().check("epsilons", [0, 0.1, 0.5], None)
    (0.1, 0.5)
    """

    kind: Kind = _SIZE
    least: int = 1
    alone: bool = True

    def check(self, name: str, value: Any, about: Any) -> tuple[float, ...]:
        """Return the sizes above 0."""
        found = super().check(name, value, about)
        if list(found) != sorted(set(found)):
            fix = f"Pass {name}={tuple(sorted(set(found)))}"
            raise ValueError(problem(f"{name} do not rise", f"got {found}", fix))
        return tuple(it for it in found if it) or found


class Row(NamedTuple):
    """An attack of the list.

    Parameters
    ----------
    name : str
        What it is called in results.
    method : str or callable
        A key of ``METHODS``, or the user's own.
    loss : str
        What it climbs.
    """

    name: str
    method: Method
    loss: str = "auto"

    @property
    def is_black(self) -> bool:
        """Whether it asks for answers alone."""
        return isinstance(self.method, str) and not METHODS[self.method].gradients

    @property
    def norm(self) -> str:
        """What its size bounds, or nothing where it looks for the smallest change itself."""
        return Attack(self.method).norm

    @property
    def role(self) -> str:
        """Whom a verdict takes it for, or nothing."""
        word = self.method.removesuffix(_L2) if isinstance(self.method, str) else ""
        if self.is_black:
            return "black box"
        if self.loss == "margin" or word == "apgd-targeted":
            return "margin loss"
        roles = {"fgsm": "one step", "bim": "several steps", "mim": "several steps"}
        return roles.get(word, "random start" if word in ("pgd", "apgd", "eot-pgd") else "")


def sizes(given: Sequence[float] | None, norm: str, sigma: float | None = None) -> np.ndarray:
    """Return the sizes, rising from 0; by default those that a proof with that noise may reach.

    Raises
    ------
    ValueError
        A pixel can change by 1 at most.

    Examples
    --------
    >>> sizes((0.1, 0.2), "Linf")
    array([0. , 0.1, 0.2])
    """
    usual = SIZES[norm] if sigma is None else tuple(sigma * k for k in PROVABLE)
    found = usual if given is None else given
    if norm == "Linf" and max(found) > 1:
        fix = 'Pass epsilons= in pixel units, 8 / 255 for eight grey levels, or norm="L2"'
        seen = f"got {max(found):g}"
        raise ValueError(problem("an epsilon is more than the range of a pixel", seen, fix))
    return np.array([0.0, *found])


def rows(attacks: Sequence[Any], norm: str) -> tuple[Row, ...]:
    """Return the attacks of a list, in a norm.

    Raises
    ------
    ValueError
        One of them bounds no change in that norm.

    Examples
    --------
    >>> [it.method for it in rows(("fgsm", "pgd:margin"), "L2")]
    ['fgsm-l2', 'pgd-l2']
    """
    found = []
    for one in attacks:
        if not isinstance(one, str):
            found.append(Row(named(one), one))
            continue
        word, _, loss = one.partition(":")
        known_as = method(word, norm)
        if not known_as:
            known = [it for it in FAMILIES if method(it, norm)]
            fix = f"Choose attacks= from {', '.join(map(repr, known))}, or another norm="
            seen = f"got {one!r} with norm={norm!r}"
            raise ValueError(problem("this attack bounds no change in that norm", seen, fix))
        found.append(Row(one, known_as, loss or "auto"))
    return tuple(found)


def method(word: str, norm: str) -> str:
    """Return the attack of that name in a norm, or nothing.

    Examples
    --------
    >>> method("pgd", "L2"), method("square", "L2")
    ('pgd-l2', '')
    """
    names = (word + _L2, word) if norm == "L2" else (word,)
    return next((it for it in names if it in METHODS and METHODS[it].norm in (norm, "")), "")
