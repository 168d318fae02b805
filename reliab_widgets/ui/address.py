"""Settings in the address of a page, such as ``?tab=pruning&index=42``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .export import tuples


def address(settings: Mapping[str, Any]) -> str:
    """Return what a link to a notebook that Voila shows ends in, so that `asked` returns settings.

    Parameters
    ----------
    settings : mapping
        By knob, such as ``widget.state()``, or a part of it.

    Examples
    --------
    >>> address({"tab": "pruning", "index": 42, "model": "untrained"})
    '?tab=pruning&index=42&model=untrained'
    """
    return "?" + urlencode({name: _written(value) for name, value in settings.items()})


def asked() -> dict[str, Any]:
    """Return the settings in the address of the page, for ``preset=``; none outside of Voila.

    Examples
    --------
    >>> asked()
    {}
    """
    pairs = parse_qsl(os.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return {name: _read(text) for name, text in pairs if not name.startswith("voila-")}


def _written(value: Any) -> str:
    """Return a value as text; what would be read as something else is JSON."""
    if isinstance(value, str) and _read(value) == value:
        return value
    return json.dumps(value, default=float)


def _read(text: str) -> Any:
    try:
        return tuples(json.loads(text))
    except ValueError:
        return text
