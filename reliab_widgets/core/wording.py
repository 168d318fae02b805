"""Numbers, lists and errors in words, the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches
from functools import partial
from traceback import format_exception
from typing import Any

_PERCENT = re.compile(r"(?<=\d) %")
RENAMED = {
    "goal": "target",
    "threat": "knowledge",
    "shift": "corruption",
    "fit": "calibration_set",
    "fit_images": "calibration_images",
    "grey": "grey-box",
    "white": "white-box",
}
"""Words of older versions and of other libraries, which no spelling leads from."""


class Problem(str):
    """What an error says of something a user can mend: three sentences in one."""

    parts: tuple[str, str, str]


def problem(happened: str, seen: str, fix: str) -> Problem:
    """Join what happened, what was seen and how to fix it into one message.

    Examples
    --------
    >>> problem("labels are not whole numbers", "got float32", "Pass labels=labels.long()")
    'labels are not whole numbers: got float32. Pass labels=labels.long().'
    """
    joined = Problem(f"{happened}: {seen}. {fix}.")
    joined.parts = happened, seen, fix
    return joined


@contextmanager
def plainly() -> Iterator[None]:
    """Let a notebook show of an error that a user can mend what it says, not our code.

    What raised it in somebody else's code is shown as always.
    """
    try:
        yield
    except Exception as error:
        if error.args and isinstance(error.args[0], Problem):
            # IPython asks for it by this name; plain Python does not.
            error._render_traceback_ = partial(told, error)  # type: ignore[attr-defined]
        raise


def told(error: Exception) -> list[str]:
    r"""Return the lines that a notebook shows of an error whose message is a `Problem`.

    Examples
    --------
    >>> print("\n".join(told(ValueError(problem("k is too large", "got 9", "Pass k=3")))))
    ValueError: k is too large
      seen: got 9
      to do: Pass k=3
    (%debug leads to where it was raised)
    """
    happened, seen, fix = error.args[0].parts
    cause = error.__cause__
    return [
        *([] if cause is None else "".join(format_exception(cause)).splitlines()),
        f"{type(error).__name__}: {happened}",
        f"  seen: {seen}",
        f"  to do: {fix}",
        "(%debug leads to where it was raised)",
    ]


def one(noun: str) -> str:
    """Put "a" or "an" before a noun.

    Examples
    --------
    >>> one("LayerNorm"), one("ImageClassifierOutput")
    ('a LayerNorm', 'an ImageClassifierOutput')
    """
    return f"a{'n' * (noun[:1].upper() in 'AEIOU')} {noun}"


def shape(size: Iterable[int]) -> str:
    """Write a shape as people say it.

    Examples
    --------
    >>> shape((3, 32, 32))
    '3 x 32 x 32'
    """
    return " x ".join(map(str, size))


def images(numbers: Any) -> str:
    """Name one image by its number, and of several how many they are.

    Examples
    --------
    >>> images([15]), images(range(2000))
    ('image 15', '2,000 images')
    """
    return f"image {numbers[0]}" if len(numbers) == 1 else counted(len(numbers))


def counted(count: int, what: str = "image") -> str:
    """Say how many there are of something.

    Examples
    --------
    >>> counted(1), counted(2000), counted(0, "recorded answer")
    ('1 image', '2,000 images', '0 recorded answers')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in per cent, to one decimal or as many as are asked for."""
    return f"{share * 100:.{digits}f} %"


def signed(value: float, digits: int = 1) -> str:
    """Return a number whose sign is what it says, with a true minus.

    Examples
    --------
    >>> signed(-0.48, 2), signed(5, 0), signed(-0.001)
    ('−0.48', '+5', '+0.0')
    """
    return f"{value:+z.{digits}f}".replace("-", "−")


def span(low: float, high: float, digits: int = 1) -> str:
    """Return an interval of shares of 1.

    Examples
    --------
    >>> span(0.016, 0.034)
    '1.6–3.4 %'
    """
    return f"{low * 100:.{digits}f}–{percent(high, digits)}"


def typeset(words: str) -> str:
    """Return words as a page shows them: no line ends between a number and its per cent sign.

    Examples
    --------
    >>> typeset("5 % of them")
    '5\u202f% of them'
    """
    return _PERCENT.sub("\u202f%", words)


def grey_levels(epsilon: float, norm: str = "Linf") -> str:
    """Write an epsilon: in grey levels of 255 where it bounds a pixel, else as a length.

    Examples
    --------
    >>> grey_levels(8 / 255), grey_levels(0.5, "L2")
    ('8/255', '0.5 (L2)')
    """
    return f"{epsilon * 255:.3g}/255" if norm == "Linf" else f"{epsilon:.3g} ({norm})"


def named(value: Any) -> str:
    """Return what a function, module or other object is called: by its name, or its class.

    Examples
    --------
    >>> named(len), named(object())
    ('len', 'object')
    """
    for name in (getattr(value, "name", None), getattr(value, "__name__", None)):
        if isinstance(name, str) and name:
            return name
    inner = getattr(value, "func", None)  # of functools.partial
    return named(inner) if callable(inner) else type(value).__name__


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a sentence that names what ``name`` is called here or is spelt like, or nothing.

    Examples
    --------
    >>> nearest("resnet2", ("resnet20", "vgg"))
    'The nearest: resnet20. '
    >>> nearest("goal", ("attack", "target"))
    'It is called target here. '
    """
    known = list(known)
    if isinstance(name, str) and RENAMED.get(name) in known:
        return f"It is called {RENAMED[name]} here. "
    near = get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"The nearest: {', '.join(near)}. " if near else ""


def few(name: object, known: Sequence[object], most: int = 10) -> str:
    """List what is known; of many only those that ``name`` is spelt like most.

    Examples
    --------
    >>> few("c", "abc"), few("cw3", ("pgd", "cw", "cw2"), most=2)
    ("'a', 'b', 'c'", "'cw', 'cw2', ...")
    """
    if len(known) <= most:
        return ", ".join(map(repr, known))
    alike = [SequenceMatcher(None, str(name), str(it)).ratio() for it in known]
    nearest = sorted(range(len(known)), key=lambda place: -alike[place])[:most]
    return ", ".join([*(repr(known[place]) for place in sorted(nearest)), "..."])


def differing(names: Sequence[str]) -> list[str]:
    """Return what tells names apart: their parts without those that all begin with.

    Examples
    --------
    >>> differing(["net, clean", "net, attacked, BIM 8/255"]), differing(["net", "net, thin"])
    (['clean', 'attacked, BIM 8/255'], ['net', 'thin'])
    >>> differing(["net", "net"])
    ['pinned', 'now']
    """
    parts, same = [it.split(", ") for it in names], 0
    while all(len(it) > same for it in parts) and len({it[same] for it in parts}) == 1:
        same += 1
    if len(set(names)) == 1:
        return ["pinned", "now", "control"][: len(names)]
    return [", ".join(it[same:]) or ", ".join(it) for it in parts]
