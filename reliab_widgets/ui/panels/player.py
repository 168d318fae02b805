"""Slow motion: a button that walks over places, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """A button that starts and stops slow motion, and a list of what it goes over.

    Parameters
    ----------
    explorer : Explorer
        On whose page it stands.
    walks : mapping of str to Walk
        What it can go over, by name.

    Attributes
    ----------
    widget : ipywidgets.HBox
        The two of them.
    play : ipywidgets.Play
        The clock.
    over : ipywidgets.Dropdown
        The list.
    """

    def __init__(self, explorer: Explorer, walks: Mapping[str, Walk]) -> None:
        self._explorer, self._walks, self._starting = explorer, walks, False
        self.play = W.Play(interval=PACE, layout=W.Layout(display="none"), tooltip="Slow motion")
        self.over = W.Dropdown(
            options=list(walks),
            tooltip=f"Whether slow motion goes over {' or '.join(walks)}",
            layout=W.Layout(width="74px"),
        )
        tip = f"Slow motion over {' or '.join(walks)}"
        self._button = explorer.page.button("▶ Play", tip, self._toggle)
        self.widget = W.HBox([self._button, self.over, self.play])
        self.play.observe(self._on_frame, "value")
        self.play.observe(self._on_playing, "playing")

    def _toggle(self) -> None:
        if not self.play.playing:
            walk = self._walks[self.over.value]
            self._starting = True
            try:
                self.play.max, self.play.value = walk.last(), 0
            finally:
                self._starting = False
            walk.go(0)
        self.play.playing = not self.play.playing

    def _on_playing(self, change: Any) -> None:
        self._button.description = "■ Stop" if change["new"] else "▶ Play"

    def _on_frame(self, change: Any) -> None:
        if not self._starting:
            walk = self._walks[self.over.value]
            self._explorer.guard(lambda: walk.go(change["new"]))
