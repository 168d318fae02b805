"""The picture of a widget: what matplotlib drew, whose marks can be chosen and handles dragged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as W
import traitlets

from ..core.wording import typeset
from . import words

_WEB = Path(__file__).parent / "web"
_SCRIPTS = ("sanitise", "geometry", "tip", "controls", "picture")
PATIENCE = 15.0
"""Seconds that a page has to load the live picture."""
NOT_LOADED = (
    "Marks cannot be chosen here: this page did not load anywidget. Install it where JupyterLab "
    "itself runs (pip install anywidget), and load the page again."
)


class LivePicture(anywidget.AnyWidget):
    """An SVG whose marks are chosen by mouse and keyboard.

    The drawing names them, see `reliab_widgets.core.drawing.Drawing`: ``"bin:3"`` is a mark,
    ``"handle:alpha"`` is dragged.

    Examples
    --------
    >>> picture = LivePicture()
    >>> picture.selected = {"bin": "3"}
    >>> picture.close()
    """

    _esm = "\n".join((_WEB / f"{n}.js").read_text() for n in _SCRIPTS)

    svg = traitlets.Unicode(help="What is drawn.").tag(sync=True)
    alt = traitlets.Unicode(help="It in words.").tag(sync=True)
    selected = traitlets.Dict(help="What is chosen: key of a mark by kind.").tag(sync=True)
    handles = traitlets.Dict(help="Where handles lie and what they stand for.").tag(sync=True)
    grids = traitlets.Dict(help="Cells that are chosen like marks, by kind.").tag(sync=True)
    dragged = traitlets.Dict(help="Name and value of the handle last moved.").tag(sync=True)
    narrow = traitlets.Bool(False, help="Whether less than 700 pixels are there for it.").tag(
        sync=True
    )
    alive = traitlets.Bool(False, help="Whether a page shows it.").tag(sync=True)


class Stage(W.VBox):
    """A live picture, or the same as plain HTML on a page that cannot load it.

    Parameters
    ----------
    height : int
        Pixels that are kept for it.
    chosen : callable
        ``chosen(kind, key)`` when a mark was chosen.
    dragged : callable
        ``dragged(name, value)`` when a handle was moved.
    narrowed : callable, optional
        ``narrowed()`` when the page has become narrow or wide.
    """

    def __init__(
        self,
        height: int,
        chosen: Callable[[str, str], object],
        dragged: Callable[[str, float], object],
        narrowed: Callable[[], object] = lambda: None,
    ) -> None:
        self._chosen, self._dragged = chosen, dragged
        self._here = threading.local()
        self._timer: threading.Timer | None = None
        self.live = LivePicture(layout=W.Layout(width="100%", display="none"))
        self.plain = W.HTML("The first picture is being computed.")
        self.is_live, self._drawn = True, ""
        layout = W.Layout(width="100%", min_height=f"{height}px", overflow="visible")
        super().__init__([self.live, self.plain], layout=layout)
        self.live.observe(self._on_selected, "selected")
        self.live.observe(self._on_dragged, "dragged")
        self.live.observe(self._on_alive, "alive")
        self.live.observe(lambda _: narrowed(), "narrow")

    def show(
        self,
        svg: str,
        alternative: str,
        chosen: Mapping[str, Any] = {},
        handles: Mapping[str, Mapping[str, Any]] = {},
        grids: Mapping[str, Mapping[str, Any]] = {},
    ) -> None:
        """Show a drawing, what is chosen in it, and where its handles and grids are."""
        self._here.telling = True
        try:
            with self.live.hold_sync():
                self.live.svg, self.live.alt = svg, typeset(alternative)
                self.live.selected = {kind: str(value) for kind, value in chosen.items()}
                self.live.handles, self.live.grids = dict(handles), dict(grids)
        finally:
            self._here.telling = False
        self._drawn = words.picture(svg, alternative)
        self.layout.min_height = None  # it has a height of its own, less on a narrow page
        self._turn(self.is_live)

    def show_html(self, content: str, alternative: str) -> None:
        """Show something that is no drawing."""
        self._drawn = ""
        self.plain.value = words.picture(content, alternative)
        self._turn(False)

    def displayed(self) -> None:
        """Look whether the page that it is shown on has loaded it."""
        if self._timer is None and not self.live.alive:
            self._timer = threading.Timer(PATIENCE, self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        if not self.live.alive and self.live.comm is not None:  # nor closed meanwhile
            self.is_live = False
            self._turn(False)

    def _on_alive(self, _: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.is_live = True
        self._turn(True)

    def _turn(self, live: bool) -> None:
        if not self._drawn:
            live = False
        elif live:
            self.plain.value = ""
        else:
            self.plain.value = f"{self._drawn}<div>{NOT_LOADED}</div>"
        self.live.layout.display = "" if live else "none"
        self.plain.layout.display = "none" if live else ""

    def _on_selected(self, change: Any) -> None:
        if not getattr(self._here, "telling", False):
            for kind, key in change["new"].items():
                if change["old"].get(kind) != key:
                    self._chosen(kind, key)

    def _on_dragged(self, change: Any) -> None:
        self._dragged(change["new"]["name"], change["new"]["value"])
