"""Which cell made which widget: running a cell again closes what it made before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import ipywidgets as W

_open: WeakSet[W.Widget] = WeakSet()
_made: dict[str, tuple[str, WeakSet[W.Widget]]] = {}


def register(widget: W.Widget) -> None:
    """Note the running cell as the maker of ``widget``, and close what its last run made."""
    _open.add(widget)
    cell, run = _running_cell()
    if cell is None:
        return
    last_run, widgets = _made.get(cell, (run, WeakSet()))
    if last_run != run:
        for old in list(widgets):
            old.close()
        widgets = WeakSet()
    widgets.add(widget)
    _made[cell] = (run, widgets)


def _running_cell() -> tuple[str | None, str]:
    try:
        from IPython.core.getipython import get_ipython

        message: Any = get_ipython().get_parent()  # type: ignore[union-attr]
        return message["metadata"].get("cellId"), message["header"]["msg_id"]
    except (ImportError, AttributeError, KeyError, TypeError):
        return None, ""  # not in a notebook


def close_tree(widget: W.Widget) -> None:
    """Close a registered widget and all it keeps alive, but no part that another one shows.

    A slider made in one cell may stand under the widgets of two others.
    """
    _open.discard(widget)
    shared = {part for other in _open for part in _tree(other)}
    for part in list(_tree(widget)):
        if part not in shared:
            W.Widget.close(part)


def _tree(widget: W.Widget) -> Iterator[W.Widget]:
    """Yield a widget, its children, and the layout and style of each."""
    yield widget
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, W.Widget):
            yield part
    for child in getattr(widget, "children", ()):
        yield from _tree(child)
