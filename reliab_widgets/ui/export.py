"""What a widget writes: files of what it shows, and the code that computes it again."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import warnings
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .. import __version__
from ..core import drawing
from ..core.analysis import arguments
from ..core.knobs import Place
from ..core.result import Result
from ..core.subject import Subject
from ..core.wording import named, problem

KINDS = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv",
    "json": "application/json",
}
"""What every widget can write, with its type on the web."""


def check_kind(kind: Any, known: tuple[str, ...]) -> str:
    """Refuse a kind of file that cannot be written.

    Examples
    --------
    >>> check_kind("PNG", ("PNG", "SVG"))
    'png'
    """
    if not isinstance(kind, str) or kind.upper() not in known:
        fix = f"Choose kind= from {', '.join(repr(one.lower()) for one in known)}"
        raise ValueError(problem("no such file can be written", f"got {kind!r}", fix))
    return kind.lower()


def written(content: bytes, name: str, state: dict[str, Any], kind: str, folder: Any) -> Path:
    """Write a file whose name tells widget and settings, and return its path."""
    key = hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()[:8]
    path = Path(folder) / f"{name.lower()}_{key}.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def can(result: Any, kind: str) -> bool:
    """Tell whether what an analysis gave can be written as such a file.

    Examples
    --------
    >>> can("some words", "PNG"), can("some words", "JSON")
    (False, True)
    """
    if kind in ("PNG", "SVG"):
        return isinstance(result, Result | Figure)
    return hasattr(result, "to_frame") if kind == "CSV" else True


def content(result: Any, figure: Figure, kind: str) -> bytes:
    """Return a table or a picture of what an analysis gave."""
    if kind == "csv":
        if not hasattr(result, "to_frame"):
            raise ValueError(_no_export(kind, result, "a result with a table"))
        return bytes(result.to_frame().to_csv(index=False).encode())
    shown = figure if isinstance(result, Result) else result
    if not isinstance(shown, Figure):
        raise ValueError(_no_export(kind, result, "a result or a matplotlib figure"))
    return drawing.svg(shown).encode() if kind == "svg" else drawing.png(shown)


def passport(
    analysis: Any,
    subject: Subject,
    result: Any,
    views: dict[str, Any],
    state: dict[str, Any],
    notes: str,
) -> bytes:
    """Return the settings of what is shown, its finding and the user's notes, as JSON."""
    knobs = dict(result.knobs) if isinstance(result, Result) else {}
    return json.dumps(
        {
            "reliab_widgets": __version__,
            "analysis": named(analysis),
            "subject": subject.name,
            "fingerprint": subject.fingerprint,
            "knobs": knobs | views,
            "settings": state,
            "finding": str(result),
            "notes": notes,
        },
        indent=1,
        default=named,
    ).encode()


def settings_in(path: Any, analysis: Any, subject: Subject) -> dict[str, Any]:
    """Return the settings of a widget that an exported JSON file holds, to begin with them again.

    It warns where the file is of another network or of other images.

    Raises
    ------
    ValueError
        There is no such file, it is no such file, or it is one of another analysis.
    """
    path = Path(Place().check("preset", path, None))
    fix = "Pass preset= as a JSON file that a widget of this kind exported"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        state = {name: tuples(value) for name, value in known["settings"].items()}
        made_by, mark = known["analysis"], known["fingerprint"]
    except OSError as error:
        seen = f"got {str(path)!r}: {error.strerror}"
        raise ValueError(problem("preset is no file that can be read", seen, fix)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(problem("preset has no settings", f"got {str(path)!r}", fix)) from error
    if made_by != named(analysis):
        seen = f"got settings of {made_by} for {named(analysis)}"
        raise ValueError(problem("preset is of another widget", seen, fix))
    if mark != subject.fingerprint:
        seen = (
            f"got {subject.name} ({subject.fingerprint[:8]}), not {known['subject']} ({mark[:8]})"
        )
        fix = f"Make the same Subject to see what was seen: {known['finding']}"
        words = problem("the settings are of another network or of other images", seen, fix)
        warnings.warn(words, stacklevel=4)
    return state


def tuples(value: Any) -> Any:
    """Return lists, which JSON makes of tuples, as tuples again.

    Examples
    --------
    >>> tuples([1, [2, 3]])
    (1, (2, 3))
    """
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def code_of(
    analysis: Any, subject: Subject, result: Any, knobs: dict[str, Any], views: dict[str, Any]
) -> str:
    """Return Python text that computes what is shown, without a widget.

    Parameters
    ----------
    analysis : callable
        What was called.
    subject : Subject
        What was examined.
    result : object
        What it gave.
    knobs, views : dict
        How it was called, and what is seen of the result.
    """
    if isinstance(result, Result) and result.source:
        kinds = type(result).views
        seen = {n: it for n, it in views.items() if n in kinds and it != kinds[n].default}
        shown = f"dict({', '.join(arguments(result, kinds, seen))})"
        name = named(analysis)
        ending = (
            f"shown = {shown}\nprint(result.reading(**shown))\n"
            f'result.plot(**shown).savefig("{name}.svg")\n'
            f'result.to_frame().to_csv("{name}.csv", index=False)'
        )
        return f"{result.code().rstrip()}\n{ending}\n"
    word = named(analysis)
    word = word if word.isidentifier() else "analysis"
    given = "".join(f", {name}={value!r}" for name, value in knobs.items())
    return (
        f"import reliab_widgets as rw\n\nsubject = {subject.code}\n"
        f"result = {word}(subject{given})\n"
    )


def link(path: Path) -> str:
    """Return HTML that says where a file is, with a link to download it."""
    kind = KINDS.get(path.suffix[1:], "application/octet-stream")
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'Written to {html.escape(str(path))} · <a download="{html.escape(path.name)}" '
        f'href="data:{kind};base64,{data}">download</a>'
    )


def _no_export(kind: str, result: Any, needed: str) -> str:
    return (
        f"no {kind.upper()} can be written: the analysis returned a {type(result).__name__}. "
        f"Return {needed}, or export JSON."
    )
