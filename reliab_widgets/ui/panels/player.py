"""Slow motion: a button that walks over places, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as W

if TYPE_CHECKING:
    from ..explorer import Explorer

PACE = 800
"""Milliseconds that slow motion rests at a place."""


class Walk(NamedTuple):
    """Where slow motion may go: which place is the last, and what goes to one."""

    last: Callable[[], int]
    go: Callable[[int], object]


class Player:
    """A button that starts and stops slow motion.

    Parameters
    ----------
    explorer : Explorer
        On whose page it stands.
    walk : Walk
        What it goes over.
    tip : str
        What it is.

    Attributes
    ----------
    widget : ipywidgets.HBox
        The button.
    play : ipywidgets.Play
        The clock.
    """

    def __init__(self, explorer: Explorer, walk: Walk, tip: str) -> None:
        self._explorer, self._walk, self._starting = explorer, walk, False
        self.play = W.Play(interval=PACE, layout=W.Layout(display="none"), tooltip=tip)
        self._button = W.Button(
            description="▶ Play", tooltip=tip, layout=W.Layout(width="auto", min_width="64px")
        )
        self._button.on_click(lambda _: explorer.guard(self._toggle))
        self.widget = W.HBox([self._button, self.play])
        self.widget.add_class("rw-row")
        self.play.observe(self._on_frame, "value")
        self.play.observe(self._on_playing, "playing")

    def _toggle(self) -> None:
        if not self.play.playing:
            self._starting = True
            try:
                self.play.max, self.play.value = self._walk.last(), 0
            finally:
                self._starting = False
            self._walk.go(0)
        self.play.playing = not self.play.playing

    def _on_playing(self, change: Any) -> None:
        self._button.description = "■ Stop" if change["new"] else "▶ Play"

    def _on_frame(self, change: Any) -> None:
        if not self._starting:
            self._explorer.guard(lambda: self._walk.go(change["new"]))
