"""A panel of images, some at a time."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable
from typing import Any

import ipywidgets as W

from ...core.wording import typeset
from ..gallery import MOST, Framed, Gallery
from .panel import Panel


class Images(Panel):
    """A row of images with what is said of them, and two buttons for those before and after."""

    def made(self) -> Any:
        """Return what is said, the buttons, and the images."""
        self._of: Hashable = None
        self._first, self._count, self._told, self._chosen = 0, 0, "", ""
        self._framed: Callable[[slice], list[Framed]] = lambda _: []
        self.said = W.HTML(layout=W.Layout(flex="1 1 auto"))
        self.gallery = Gallery("image", self.choose)
        back = self.button("◀", "Images before", lambda: self._turn(-MOST))
        on = self.button("▶", "Further images", lambda: self._turn(MOST))
        return W.VBox([W.HBox([self.said, *self.buttons(), back, on]), self.gallery])

    def buttons(self) -> list[W.Button]:
        """Return further buttons."""
        return []

    def choose(self, key: str) -> None:
        """Answer to a click on an image that has a key."""

    def fill(
        self,
        of: Hashable,
        told: str,
        count: int,
        framed: Callable[[slice], list[Framed]],
        chosen: str = "",
    ) -> None:
        """Show images: the first, if they are of something else than before.

        Parameters
        ----------
        of : hashable
            What they are of.
        told : str
            What is said of them all.
        count : int
            How many there are.
        framed : callable
            Gives some of them.
        chosen : str
            The key of the framed one.
        """
        if of != self._of:
            self._first = 0
        self._of, self._told, self._count = of, told, count
        self._framed, self._chosen = framed, chosen
        self._draw()

    def _turn(self, way: int) -> None:
        self._first = min(max(self._first + way, 0), max(self._count - 1, 0) // MOST * MOST)
        self._draw()

    def _draw(self) -> None:
        last = min(self._first + MOST, self._count)
        part = f" · {self._first + 1}–{last} of {self._count:,}" if self._count else ""
        self.said.value = html.escape(typeset(self._told + part))
        self.gallery.layout.display = "" if self._count else "none"
        if self._count:
            self.gallery.fill(self._framed(slice(self._first, last)), self._chosen)
