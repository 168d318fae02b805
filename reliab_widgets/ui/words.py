"""Pieces of HTML that all widgets show: everything that came from outside is escaped."""

from __future__ import annotations

import html
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

STYLE = """<style>
.rw-explorer {max-width: 880px; color: var(--jp-content-font-color1, #212223)}
.rw-explorer .widget-html-content {line-height: 1.35; font-size: 13px}
.rw-explorer .rw-title {font-size: 14px; font-weight: 600}
.rw-explorer .rw-chip {display: inline-block; padding: 0 8px; margin: 0 4px 2px 0;
  border: 1px solid var(--jp-border-color1, #bdbdbd); border-radius: 9px; font-size: 12px}
.rw-explorer .rw-picture svg {width: 100%; height: auto; display: block}
.rw-stale {opacity: .5; outline: 1px dashed #808080}
.rw-explorer :focus-visible, .rw-explorer .noUi-handle:focus {outline: 2px solid #E69F00 !important;
  outline-offset: 1px}
.rw-over {position: absolute; z-index: 9; overflow: visible}
.rw-card {border: 2px solid #D55E00; border-radius: 4px; padding: 4px 10px; max-width: 640px;
  background: var(--jp-layout-color1, white)}
.rw-card pre {max-height: 200px; overflow: auto}
.rw-explorer .widget-readout {min-width: 40px}
.rw-explorer .rw-wide .widget-readout {min-width: 52px}
.rw-explorer select {text-overflow: ellipsis; font-size: 12px}
.rw-strip, .rw-explorer [role=status] {white-space: nowrap; overflow: hidden}
.rw-explorer table {border-collapse: collapse; font-size: 12px}
.rw-explorer td, .rw-explorer th {padding: 1px 8px; text-align: right}
.rw-cells {position: absolute; inset: 0; display: grid; grid-template-columns: repeat(8, 1fr)}
.rw-explorer figure {display: inline-block; margin: 0 6px 0 0; text-align: center; font-size: 11px}
.rw-explorer figure img {display: block; margin: auto; image-rendering: pixelated}
.rw-explorer textarea {font-family: var(--jp-code-font-family, monospace); font-size: 12px}
</style>"""


def chips(words: list[str]) -> str:
    """Return short facts, each in its own frame."""
    return " ".join(f'<span class="rw-chip">{html.escape(word)}</span>' for word in words)


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
    return f'<div class="rw-picture" role="img" aria-label="{html.escape(alternative)}">{svg}</div>'


def readout(sentence: str) -> str:
    """Return the finding, which a screen reader speaks when it changes."""
    return f'<div aria-live="polite">{html.escape(sentence)}</div>'


def table(numbers: DataFrame) -> str:
    """Return a table with its index, folded."""
    body = numbers.to_html(border=0, float_format=lambda value: f"{value:.3g}")
    return f"<details><summary>The picture in numbers</summary>{body}</details>"


def status(sentence: str) -> str:
    """Return what the widget is doing."""
    return f'<div role="status">{html.escape(sentence)}</div>'


def memory(used: int, free: int) -> str:
    """Return what this kernel takes and what the machine has left, both in bytes.

    Examples
    --------
    >>> memory(412_000_000, 1_600_000_000)
    ' · 412 MB of 2.0 GB'
    """
    return f" · {used / 1e6:.0f} MB of {(used + free) / 1e9:.1f} GB" if used else ""


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
