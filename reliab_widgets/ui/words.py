"""Pieces of HTML that all widgets show: everything that came from outside is escaped."""

from __future__ import annotations

import html
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..core.drawing import COLOURS
from ..core.wording import typeset

if TYPE_CHECKING:
    from pandas import DataFrame


def _colours(side: int) -> str:
    return ";".join(f"--rw-{name}:{pair[side]}" for name, pair in COLOURS.items())


STYLE = (
    f"<style>.rw-explorer {{{_colours(0)}}} "
    f":is([data-jp-theme-light=false], .theme-dark, .vscode-dark) .rw-explorer {{{_colours(1)}}} "
    f"{(Path(__file__).parent / 'web' / 'style.css').read_text()}</style>"
)
"""What every page of a widget looks like."""


HIDES = "hides from attacks"
"""The chip of a network whose robustness is in doubt; why, a note says."""


class Chip(NamedTuple):
    """A short fact above the picture: ``kind`` is fact, shows, verdict or warning."""

    text: str
    kind: str = "fact"


def chips(facts: list[str] | list[str | Chip]) -> str:
    """Return short facts, each in its own frame."""
    each = (Chip(fact) if isinstance(fact, str) else fact for fact in facts)
    texts = ((html.escape(typeset(it.text)), it.kind) for it in each)
    # Where the row is too short, the rest of a chip is told by its title.
    return " ".join(
        f'<span title="{text}" class="rw-chip rw-{kind}">{text}</span>' for text, kind in texts
    )


def error_card(error: BaseException) -> str:
    """Return the card for an error: what it says, and the traceback folded."""
    details = html.escape("".join(traceback.format_exception(error)))
    name = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
    return (
        f'<div class="rw-card" role="alert"><b>✖</b> {html.escape(name + str(error))}'
        f"<details><summary>Details</summary><pre>{details}</pre></details></div>"
    )


def picture(svg: str, alternative: str) -> str:
    """Return a picture with its text alternative."""
    words = html.escape(typeset(alternative))
    return f'<div class="rw-picture" role="img" aria-label="{words}">{svg}</div>'


def readout(sentence: str, more: str = "") -> str:
    """Return the finding, which a screen reader speaks when it changes.

    Its first sentence stands out, and what is said of the control is less loud. There is a line
    for more, such as what was pinned: its rest is told by its title.
    """
    first, stop, rest = html.escape(typeset(sentence)).partition(". ")
    said, *control = re.split("(?=Controls?: )", rest, maxsplit=1)
    muted = f'<span class="rw-muted">{control[0]}</span>' if control else ""
    told = html.escape(typeset(more))
    below = f' <span class="rw-more" title="{told}">{told}</span>' if more else ""
    return f'<div aria-live="polite"><b>{first}{stop}</b>{said}{muted}{below}</div>'


def table(numbers: DataFrame) -> str:
    """Return a table with its index, folded."""
    body = numbers.to_html(border=0, float_format=lambda value: f"{value:.3g}")
    body = body.replace("<th></th>", "<td></td>")  # a corner heads nothing
    return f"<details><summary>The picture in numbers</summary>{body}</details>"


def cells(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of texts.

    Examples
    --------
    >>> cells(["", "value"], [["ECE", "2.4 %"]]).count("<th>")
    1
    """

    def line(texts: list[str], tag: str) -> str:
        tags = ((tag if it else "td", it) for it in texts)  # a corner heads nothing
        each = (f"<{name}>{html.escape(typeset(it))}</{name}>" for name, it in tags)
        return f"<tr>{''.join(each)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def status(sentence: str, more: str = "") -> str:
    """Return what the widget is doing, and more where it is pointed at."""
    # Where the row is too short, the rest of the sentence is told by its title.
    told = html.escape("; ".join(filter(None, (sentence, more))))
    return f'<div role="status" title="{told}">{html.escape(sentence)}</div>'


def memory(used: int, free: int) -> str:
    """Return what this kernel takes and what the machine has left, both in bytes.

    Examples
    --------
    >>> memory(412_000_000, 1_600_000_000)
    'memory: 412 MB of 2.0 GB'
    """
    return f"memory: {used / 1e6:.0f} MB of {(used + free) / 1e9:.1f} GB" if used else ""


def duration(seconds: float) -> str:
    """Return a time span as a person would say it.

    Examples
    --------
    >>> duration(0.084), duration(2.4), duration(150)
    ('84 ms', '2 s', '2.5 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
