"""What every panel of a widget has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as W

from ...core import drawing
from ..picture import Stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

    def reset(self) -> None:
        """Forget what was found out besides the results; called by Reset."""


class Drawn(Panel):
    """A panel with a live picture of its own, whose marks and handles answer.

    A subclass draws in `show`, by `paint`.
    """

    height: ClassVar[int] = 0
    """Pixels kept free for the picture."""

    def made(self) -> Any:
        """Return the place of the picture."""
        self.figure = drawing.Picture()
        self.stage = Stage(self.height, self.choose, self.drag)
        return self.stage

    def choose(self, kind: str, key: str) -> None:
        """Answer to a click on a mark; by default as the picture of the widget does."""
        self.explorer.page.choose(kind, key)

    def drag(self, name: str, value: float) -> None:
        """Answer to a handle that is being moved; by default as the picture of the widget does."""
        self.explorer.page.drag(name, value)

    def paint(
        self, draw: Callable[[Figure], object], words: str, chosen: Mapping[str, Any]
    ) -> None:
        """Draw on the figure of the panel and show it.

        Parameters
        ----------
        draw : callable
            ``draw(figure)``.
        words : str
            What is seen, for those who cannot.
        chosen : mapping
            Which mark is, by kind.
        """
        page, owner = self.explorer.page, self.explorer.runner.owner
        with drawing.LOCK:
            draw(self.figure)
            drawing.readable(self.figure)
            drawn = drawing.svg(self.figure, f"{owner}-{self.name.replace(' ', '-')}", themed=True)
            handles = drawing.handles(self.figure)
        self.stage.is_live = page.picture.is_live
        self.stage.show(drawn, words, chosen, self.explorer.settings.within(handles))
