"""What every panel of a widget has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as W

if TYPE_CHECKING:
    from ..explorer import Explorer


class Panel:
    """A part of a widget that is opened on demand.

    Parameters
    ----------
    explorer : Explorer
        On whose page it stands.

    Attributes
    ----------
    body : ipywidgets.Widget
        What is seen of it.
    """

    name: ClassVar[str] = ""
    """On its button, and in ``panels=``."""
    question: ClassVar[str] = ""
    """Its heading."""
    half: ClassVar[bool] = False
    """Whether two such panels stand abreast where the page is wide enough."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.body = self.made()

    def made(self) -> Any:
        """Return the widget that is seen."""
        return W.HTML()

    def button(self, text: str, tip: str, act: Callable[[], object]) -> W.Button:
        """Return a button whose errors are shown on the page."""
        button = W.Button(
            description=text, tooltip=tip, layout=W.Layout(width="auto", min_width="36px")
        )
        button.on_click(lambda _: self.explorer.guard(act))
        return button

    def show(self, result: Any) -> None:
        """Show a result; called on the worker while the panel is open."""
        raise NotImplementedError
