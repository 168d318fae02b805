"""Whether a network withstands an attack, or only hides from it: named tests, each with its number.

After Athalye et al. 2018, "Obfuscated gradients give a false sense of security", arXiv 1802.00420,
and Carlini et al. 2019, "On evaluating adversarial robustness", arXiv 1902.06705. The tests look at
nothing but which attack broke which image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from ...core.fields import Array
from ...core.knobs import Choice, Several, Whole
from ...core.result import Record
from ...core.wording import nearest, problem
from ..statistics.proportions import at_least

if TYPE_CHECKING:
    from pandas import DataFrame

ROLES = {
    "clean": "no change at all",
    "noise": "random changes of the attack's size",
    "one step": "one step along the gradient of the cross-entropy",
    "several steps": "several such steps, from the image itself",
    "random start": "several such steps, from a random point",
    "margin loss": "several steps along a margin of the logits",
    "longer": "the strongest of several steps or random start, with more steps or restarts",
    "black box": "answers alone, without gradients",
    "epsilon 1": "several steps, with pixels free to take any value",
}
"""Whom the tests know, and what each is."""

TESTS = {
    "gradients are zero": "the gradient of {number} of {n} images is exactly zero",
    "the cross-entropy drowns": (
        "the cross-entropy of {number} of {n} images is exactly 0, and so is its slope"
    ),
    "another draw undoes the attack": (
        "the network draws, and another draw undoes the attack on {number} of {n} images"
    ),
    "one step is better than several": (
        "one step does more than several to {number} of {n} images (less to {against})"
    ),
    "a random start is needed": (
        "a random start does more to {number} of {n} images than none (less to {against})"
    ),
    "the margin is better than the cross-entropy": (
        "the loss on the margin does more than the cross-entropy to {number} of {n} images "
        "(less to {against})"
    ),
    "more steps or restarts still help": (
        "more steps or restarts do more to {number} of {n} images (less to {against})"
    ),
    "the black box is better than the gradient": (
        "the black box breaks {number} of {n} images that no gradient attack breaks"
    ),
    "noise is as good as the attack": (
        "noise breaks {number} of {n} images, the attack no more than {against}"
    ),
    "epsilon 1 does not break all": "{number} of {n} images withstand even epsilon 1",
}
"""All there are, with what each says where it fires."""

RARE = ("the cross-entropy drowns", "another draw undoes the attack")
"""Told only where they fire: of most networks there is no reason to ask."""

LEVEL = 0.05
"""How often, at most, any of the tests fires by chance: each has its part of it."""
AHEAD = 0.05
"""By how large a share of the images an attack must be ahead of another: on a network that learnt
to withstand attacks the best loss is ahead by about three in a hundred, and that hides nothing."""
LEAST = 0.02
"""On how large a share there must be what should not be there at all, however sure it is."""
MOST = 0.5
"""Share of the images from which on what befalls some images of any sure network is no accident."""
SLACK = 0.01
"""Share of the images that a good attack may miss: so near to the best it is asked to come."""
FEWEST = 8
"""Images: of fewer, not even all of one mind would be beyond chance (2 ** -8 < LEVEL / 8)."""

_REPEATED = ("several steps", "random start")
_ONCE = ("clean", "epsilon 1", "drowned", "undone")  # of no epsilon, or of their own


class Finding(NamedTuple):
    """What a test found.

    Parameters
    ----------
    name : str
        What it says where it fires.
    fired : bool
        Whether it does.
    number : int
        On how many images.
    against : int
        How many it is compared with: images of the reverse, or as many as may be.
    n : int
        Of how many.
    chance : float
        How likely so large a number is where nothing is hidden.
    """

    name: str
    fired: bool
    number: int
    against: int
    n: int
    chance: float

    def __str__(self) -> str:
        return TESTS[self.name].format(number=self.number, against=self.against, n=self.n)


@dataclass(frozen=True, eq=False, repr=False)
class Verdict(Record):
    """What tells a network that withstands attacks from one that hides from them.

    Parameters
    ----------
    n : int
        Number of images that the tests are about.
    names : tuple of str
        (T,) the tests that were made.
    missing : tuple of str
        Those for which something was missing.
    fired : numpy.ndarray
        (T,) which found that something is hidden.
    number, against : numpy.ndarray
        (T,) numbers of images, and what they are compared with, as `Finding` has them.
    chance : numpy.ndarray
        (T,) how likely so large a number is where nothing is hidden.
    """

    facts: ClassVar[tuple[str, ...]] = ("len(names) == len(number)",)

    n: Annotated[int, Whole(0, 2**31)]
    names: Annotated[tuple[str, ...], Several(Choice(tuple(TESTS)))]
    missing: Annotated[tuple[str, ...], Several(Choice(tuple(TESTS)))]
    fired: Annotated[np.ndarray, Array("T", bool)]
    number: Annotated[np.ndarray, Array("T", int, least=0, most="n")]
    against: Annotated[np.ndarray, Array("T", int, least=0, most="n")]
    chance: Annotated[np.ndarray, Array("T", least=0, most=1)]

    @property
    def hidden(self) -> bool:
        """Whether any test fired: then what an attack found is too good to be true."""
        return bool(self.fired.any())

    @property
    def tests(self) -> list[Finding]:
        """What each test found."""
        found = zip(self.names, self.fired, self.number, self.against, self.chance, strict=True)
        return [
            Finding(name, bool(fired), int(number), int(against), self.n, float(chance))
            for name, fired, number, against, chance in found
        ]

    def to_frame(self) -> DataFrame:
        """Return one row for each test that was made."""
        from pandas import DataFrame

        return DataFrame(self.tests, columns=Finding._fields)

    def __str__(self) -> str:
        if self.hidden:
            first, *others = (str(test) for test in self.tests if test.fired)
            more = f" ({len(others)} more of {len(self.names)} tests say so)" if others else ""
            return f"hidden: {first}{more}"
        if self.n < FEWEST:
            return f"no verdict: {self.n} images are too few, {FEWEST} are needed"
        if not self.names:
            return "no verdict: no two attacks to compare"
        told = f"{len(self.names)} test{'s' * (len(self.names) > 1)}"
        left = f", {len(self.missing)} left out" if self.missing else ""
        return f"nothing hidden found ({told}{left})"

    def __repr__(self) -> str:
        return str(self)


def verdict(
    broken: Mapping[str, Any], blind: Any = None, drowned: Any = None, undone: Any = None
) -> Verdict:
    """Tell by which attack broke which image whether a network hides from attacks.

    Parameters
    ----------
    broken : mapping from str to array of bool
        From who attacked, one of `ROLES`, to which images were not answered rightly then: (n,), or
        (E, n) for as many epsilons, rising. Where several play a role, the best for each image:
        ``a | b``. With ``"clean"``, tests are about the images that are right before.
    blind : array of bool, optional
        (n,) or (E, n): where an attack found every gradient exactly zero.
    drowned : array of bool, optional
        (n,): where the cross-entropy is exactly 0, so that nothing can climb it.
    undone : array of bool, optional
        (n,): of a network that draws, where an attack succeeded in its own draw and in no other.

    Returns
    -------
    Verdict
        Of the tests for which all is there.

    Raises
    ------
    ValueError, TypeError
        A role is not known, or an array is not one of truth values of the same images.

    Notes
    -----
    What breaks an image at one epsilon counts as breaking it at all larger ones.

    Where one attack is compared with another, it must be better (break more, or at a smaller
    epsilon) on more images than it is worse, by `AHEAD` of all images, and beyond chance by the
    exact sign test: for one epsilon, McNemar's test. Where something should not be there at all, it
    must be there on at least `LEAST` of the images, and on more than `SLACK` of them beyond chance
    by the exact binomial test; the cross-entropy drowns if it does for `MOST`. All tests together
    fire by chance with `LEVEL` at most.

    Examples
    --------
    >>> several = np.arange(64) < 30
    >>> print(verdict({"one step": np.arange(64) < 20, "several steps": several}))
    nothing hidden found (1 test, 7 left out)
    >>> print(verdict({"several steps": several, "black box": np.arange(64) < 42}))
    hidden: the black box breaks 12 of 64 images that no gradient attack breaks
    """
    seen = {"blind": blind, "drowned": drowned, "undone": undone}
    rows = _checked(broken, {name: it for name, it in seen.items() if it is not None})
    clean = rows.pop("clean", None)
    if clean is not None:
        rows = {role: those[:, ~clean[0]] for role, those in rows.items()}
    n = next((those.shape[1] for those in rows.values()), 0)
    found = _found(rows, answered=clean is not None) if n >= FEWEST else {}
    made = {name: it for name, it in found.items() if it is not None}
    level = LEVEL / max(1, len(made))
    fired = {name: it.enough and it.chance <= level for name, it in made.items()}
    made = {name: it for name, it in made.items() if fired[name] or name not in RARE}
    return Verdict(
        n=n,
        names=tuple(made),
        missing=tuple(name for name in TESTS if name not in (*made, *RARE)),
        fired=np.array([fired[name] for name in made], dtype=bool),
        number=np.array([it.number for it in made.values()], dtype=int),
        against=np.array([it.against for it in made.values()], dtype=int),
        chance=np.array([it.chance for it in made.values()], dtype=float),
    )


class _Counts(NamedTuple):
    number: int
    against: int
    enough: bool
    chance: float


def _found(rows: Mapping[str, np.ndarray], answered: bool) -> dict[str, _Counts | None]:
    """Return the numbers of each test, None where something is missing.

    Parameters
    ----------
    rows : mapping
        By role (E, n) or (1, n) bool, never falling along E.
    answered : bool
        Whether all images were right before.
    """
    repeated = [rows[role] for role in _REPEATED if role in rows]
    strongest = max(repeated, key=np.sum, default=None)
    white = [
        rows[role] for role in (*_REPEATED, "one step", "margin loss", "longer") if role in rows
    ]
    only_black = only_noise = survivors = None
    if "black box" in rows and white:
        only_black = _there(rows["black box"] & ~np.logical_or.reduce(white))
    # Images that were wrong before are broken by both, which would be no sign.
    if answered and "noise" in rows and strongest is not None:
        noise, there = rows["noise"], _there(rows["noise"])
        as_good = noise.sum() >= strongest.sum() and not strongest.all()
        against = int(strongest.any(axis=0).sum())
        only_noise = there._replace(against=against, enough=there.enough and bool(as_good))
    if "epsilon 1" in rows:
        survivors = _there(~rows["epsilon 1"])
    drowned = _there(rows["drowned"], MOST) if "drowned" in rows else None
    return {
        "gradients are zero": _there(rows["blind"]) if "blind" in rows else None,
        "the cross-entropy drowns": drowned,
        "another draw undoes the attack": _there(rows["undone"]) if "undone" in rows else None,
        "one step is better than several": _better(rows.get("one step"), strongest),
        "a random start is needed": _better(rows.get("random start"), rows.get("several steps")),
        "the margin is better than the cross-entropy": _better(rows.get("margin loss"), strongest),
        "more steps or restarts still help": _better(rows.get("longer"), strongest),
        "the black box is better than the gradient": only_black,
        "noise is as good as the attack": only_noise,
        "epsilon 1 does not break all": survivors,
    }


def _better(one: np.ndarray | None, other: np.ndarray | None) -> _Counts | None:
    """Compare two attacks by the exact sign test over images."""
    if one is None or other is None:
        return None
    ahead = one.sum(axis=0) - other.sum(axis=0)
    more, less = int((ahead > 0).sum()), int((ahead < 0).sum())
    enough = more - less >= AHEAD * len(ahead)
    return _Counts(more, less, enough, at_least(more, more + less, 0.5))


def _there(those: np.ndarray, least: float = LEAST) -> _Counts:
    """Count what should not be there on more than a slack of the images."""
    number, n = int(those.any(axis=0).sum()), those.shape[1]
    return _Counts(number, int(SLACK * n), number >= least * n, at_least(number, n, SLACK))


def _checked(broken: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return (E, n) arrays by role, never falling along E; E is 1 of what knows no epsilon."""
    for role in broken:
        if role not in ROLES:
            fix = f"{nearest(role, ROLES)}Name who attacked as {', '.join(map(repr, ROLES))}"
            raise ValueError(problem("nobody is known by this name", f"got {role!r}", fix))
    rows: dict[str, np.ndarray] = {}
    given = {**broken, **seen}
    for role, value in given.items():
        array = np.asarray(value)
        if array.dtype != bool or array.ndim not in (1, 2 - (role in _ONCE)):
            what = f"{role} is {array.dtype} of shape {array.shape}"
            fix = "Pass arrays of True and False, (n,)" + " or (E, n)" * (role not in _ONCE)
            raise TypeError(problem("what was broken is not told by truth values", what, fix))
        row = np.atleast_2d(array)
        rows[role] = np.logical_or.accumulate(row, axis=0)
        if role == "blind":  # there was a slope at some epsilon, then it can be found
            rows[role] = np.logical_and.reduce(row, axis=0)[None]
    counts = {those.shape[1] for those in rows.values()}
    epsilons = {len(those) for role, those in rows.items() if role not in (*_ONCE, "blind")}
    if len(counts) > 1 or len(epsilons) > 1:
        what = ", ".join(f"{role} {np.shape(value)}" for role, value in given.items())
        fix = "Pass the same images, at the same epsilons, for each"
        raise ValueError(problem("the arrays are not about the same", what, fix))
    return rows
