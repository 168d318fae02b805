"""One self-contained page of several results, to be read, printed and handed on."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import __version__
from .core.archive import replacing
from .core.knobs import Place, Text
from .core.result import Result
from .core.wording import problem, typeset

MOST_ROWS = 200
"""Rows of a table that a page shows; its code gives all."""

STYLE = """
:root {color-scheme: light}
body {max-width: 880px; margin: 24px auto; padding: 0 16px; background: #fff; color: #1f2933;
  font: 15px/1.5 system-ui, sans-serif}
h1 {font-size: 24px; margin: 0 0 4px} h2 {font-size: 18px; margin: 40px 0 4px}
.muted {color: #5a6672} figure {margin: 12px 0} figure svg {width: 100%; height: auto}
table {border-collapse: collapse; font-size: 13px}
th, td {padding: 2px 10px 2px 0; text-align: left; vertical-align: top}
td.number {text-align: right; font-variant-numeric: tabular-nums}
thead th {border-bottom: 1px solid #c6ccd2}
pre {white-space: pre-wrap; background: #f5f7f9; padding: 8px 12px; font-size: 12px}
details {margin: 6px 0} summary {cursor: pointer}
.wide {overflow-x: auto}
@media print {
  body {margin: 0; max-width: none} section {break-inside: avoid-page} h2 {break-after: avoid}
  figure {break-inside: avoid}
  details::details-content {content-visibility: visible; display: block}
}
"""


def card(
    results: Result | Iterable[Result], path: str | os.PathLike[str], *, summary: str = ""
) -> Path:
    """Write the reliability card of one or several results: one page that asks for nothing else.

    Each result has its finding with its control, the images it is about, its picture with a text
    alternative, its settings, its table and the code that computes it again. There is no score
    over all of them: what is weighed against what depends on the use.

    Parameters
    ----------
    results : Result or iterable of Result
        In the order in which they are told.
    path : str or path
        A file that ends in ``.html``; one already there is replaced, a folder not yet there is
        made.
    summary : str
        Your own words, put first; each line is a paragraph.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    TypeError
        Something among the results is none.
    ValueError
        There is no result, or the name is not that of a page.
    OSError
        The file cannot be written; what was there before is as it was.

    References
    ----------
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019.

    Examples
    --------
    >>> import tempfile
    >>> import reliab_widgets as rw
    >>> result = rw.reliability(rw.demo("resnet20")[:200])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = card(result, Path(folder) / "card.html", summary="It promises too much.")
    ...     path.name, path.read_text().count("<figure")
    ('card.html', 1)
    """
    path = check_path(path)
    told = _checked(results)
    page = _page(told, Text().check("summary", summary, None)).encode()
    try:
        with replacing(path) as file:
            file.write(page)
    except OSError as error:
        fix = "Pass path= in a folder that you may write to; the results are as they were"
        seen = f"got {error.strerror or error} for {str(path)!r}"
        raise OSError(problem("the card cannot be written", seen, fix)) from error
    return path


def check_path(path: str | os.PathLike[str]) -> Path:
    """Refuse a path that is not that of a page.

    Examples
    --------
    >>> check_path("card.html").name
    'card.html'
    """
    path = Path(Place().check("path", path, None))
    if path.suffix.lower() not in (".html", ".htm"):
        fix = f"Pass path={str(path.with_suffix('.html'))!r}"
        raise ValueError(problem("a card is a page", f"got path={str(path)!r}", fix))
    return path


def _checked(results: Any) -> list[Result]:
    fix = "Pass results= as one result of an analysis, or several in a list"
    if isinstance(results, Result):
        return [results]
    if not isinstance(results, Iterable):
        raise TypeError(problem("results are none", f"got {type(results).__name__}", fix))
    told = list(results)
    for place, result in enumerate(told):
        if not isinstance(result, Result):
            seen = f"got {type(result).__name__} at place {place}"
            raise TypeError(problem("not everything is a result", seen, fix))
    if not told:
        raise ValueError(problem("a card tells of results", "got none", fix))
    return told


def _page(results: list[Result], summary: str) -> str:
    subjects = dict.fromkeys((it.subject, it.fingerprint) for it in results)
    names = ", ".join(dict.fromkeys(name for name, _ in subjects))
    own = "".join(f"<p>{_words(line)}</p>" for line in summary.splitlines() if line.strip())
    known = "".join(
        f"<tr><td>{_words(name)}</td><td><code>{html.escape(mark[:16])}</code></td></tr>"
        for name, mark in subjects
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reliability card: {_words(names)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Reliability card: {_words(names)}</h1>
<p class="muted">Written by reliab_widgets {__version__}. Each finding stands with its number of
images and its control. There is no score over all of them: what is weighed against what depends on
the use.</p>
{own}
{"".join(_section(number, result) for number, result in enumerate(results, 1))}
<section>
<h2>What was examined</h2>
<table><thead><tr><th>network and images</th><th>fingerprint of both</th></tr></thead>
<tbody>{known}</tbody></table>
</section>
</body>
</html>
"""


def _section(number: int, result: Result) -> str:
    from .core.drawing import svg

    first, stop, rest = str(result).partition(". ")
    picture = svg(result.plot(), f"result{number}")
    knobs = "".join(
        f"<tr><td>{_words(name)}</td><td>{_words(_plain(value))}</td></tr>"
        for name, value in result.knobs.items()
    )
    about = f"{type(result).__name__} of {result.subject}"
    return f"""<section>
<h2>{number}. {_words(about)}</h2>
<p class="muted">{_words(result.examined)}</p>
<p><b>{_words(first + stop)}</b>{_words(rest)}</p>
<figure role="img" aria-label="{_words(str(result))}">{picture}</figure>
<details><summary>Settings</summary><table><tbody>{knobs}</tbody></table></details>
{_table(result)}
<details><summary>The code that computes it again</summary>
<pre>{html.escape(result.code())}</pre></details>
</section>
"""


def _table(result: Result) -> str:
    frame = result.to_frame()
    rows, head = len(frame), "".join(f"<th>{_words(name)}</th>" for name in frame.columns)
    body = []
    for row in frame.head(MOST_ROWS).itertuples(index=False):
        cells = ((_plain(it), isinstance(it, float | int)) for it in row)
        body.append(
            "".join(
                f"<td{' class=number' if is_number else ''}>{_words(text)}</td>"
                for text, is_number in cells
            )
        )
    lines = "".join(f"<tr>{cells}</tr>" for cells in body)
    cut = f", the first {MOST_ROWS} of {rows:,} rows" if rows > MOST_ROWS else f", {rows:,} rows"
    return (
        f'<details><summary>The numbers{cut}</summary><div class="wide">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></details>"
    )


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _words(text: object) -> str:
    return html.escape(typeset(str(text)))
