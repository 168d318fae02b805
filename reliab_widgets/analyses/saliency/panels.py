"""Parts of the saliency widget: what plays alpha, and what tells the credit of one cell."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np
import traitlets

from ...core.pixels import GRID, in_cells
from .marks import MARKS, OPPOSES, SUPPORTS, accumulated, number, tell
from .result import STEPS, Saliency

if TYPE_CHECKING:
    from ...ui.explorer import Explorer

PACE = 160
"""Milliseconds from one alpha to the next."""


class AlphaPlayer:
    """The slider for alpha with a button that plays it from 0 to 1, or stops.

    Parameters
    ----------
    explorer : Explorer
        On whose page it stands.
    alpha : ipywidgets.FloatSlider
        What it moves.

    Attributes
    ----------
    widget : ipywidgets.HBox
        The two of them.
    play : ipywidgets.Play
        The clock, which is not seen.
    """

    def __init__(self, explorer: Explorer, alpha: W.FloatSlider) -> None:
        self._alpha = alpha
        alpha.style.description_width = "16px"
        alpha.layout.width = "174px"
        self.button = explorer.page.button("Play", "Play α from 0 to 1, or stop", self._toggle)
        for name, value in (("width", "44px"), ("padding", "0"), ("flex", "0 0 auto")):
            setattr(self.button.layout, name, value)
        self.play = W.Play(
            STEPS, min=0, max=STEPS, interval=PACE, show_repeat=False,
            description="play", layout=W.Layout(display="none"),
        )  # fmt: skip
        self.widget = W.HBox([alpha, self.button, self.play])
        self.play.observe(self._on_played, "value")
        self.play.observe(self._on_playing, "playing")
        alpha.observe(self._on_alpha, "value")

    def enable(self, useful: bool) -> None:
        """Let it be played, or not."""
        self.button.disabled = not useful
        self.play.playing &= useful

    def _toggle(self) -> None:
        if not self.play.playing and self.play.value == STEPS:
            self.play.value = 0
        self.play.playing = not self.play.playing

    def _on_playing(self, change: Any) -> None:
        self.button.description = "Stop" if change["new"] else "Play"

    def _on_played(self, change: Any) -> None:
        self._alpha.value = change["new"] / STEPS

    def _on_alpha(self, change: Any) -> None:
        place = round(change["new"] * STEPS)
        if place != self.play.value:  # moved by hand
            self.play.playing = False
            self.play.value = place


class CellChooser(W.HBox):
    """Two sliders that choose a cell of the coarse grid on the image.

    Examples
    --------
    >>> chooser = CellChooser()
    >>> chooser.row.value = 8
    >>> chooser.value
    (8, 4)
    """

    value = traitlets.Tuple(help="Row and column, counted from 1.")
    disabled = traitlets.Bool(False, help="Whether the cell is given.")
    description = "cell"

    def __init__(self) -> None:
        self.row, self.column = (
            W.IntSlider(
                4, 1, GRID, description=name, tooltip=f"{name} of the cell whose credit is told",
                layout=W.Layout(width="140px"), style={"description_width": "26px"},
            )
            for name in ("row", "col")
        )  # fmt: skip
        super().__init__([self.row, self.column])
        self.value = (4, 4)
        self.observe(self._set, "value")
        for part in self.children:
            part.observe(self._moved, "value")
            traitlets.dlink((self, "disabled"), (part, "disabled"))

    def _moved(self, _: Any) -> None:
        self.value = (self.row.value, self.column.value)

    def _set(self, change: Any) -> None:
        row, column = change["new"]
        with self.row.hold_trait_notifications():  # not the old column with the new row
            self.row.value = row
            self.column.value = column


class Credit:
    """What every map gives to the chosen cell: numbers and bars.

    Attributes
    ----------
    chooser : CellChooser
        The control of the cell.
    widget : ipywidgets.HBox
        It, and what is told.
    """

    def __init__(self) -> None:
        self.chooser = CellChooser()
        self.told = W.HTML(layout=W.Layout(flex="1 1 auto", min_width="0"))
        self.widget = W.HBox([self.chooser, self.told])

    def show(self, result: Saliency, alpha: float, cell: tuple[int, int]) -> None:
        """Tell the credit of a cell at one place of the path."""
        names = [result.called(b) for b in range(len(result.baselines))]
        credit = in_cells(accumulated(result, alpha))
        row, column = (min(at, side) - 1 for at, side in zip(cell, credit.shape[1:], strict=True))
        most = np.abs(in_cells(result.maps[0])).max() or 1.0
        bars = [
            _bar(mark, name, value, min(abs(value) / most, 1))
            for mark, name, value in zip(MARKS, names, credit[:, row, column], strict=False)
        ]
        words = html.escape(tell(names, credit[:, row, column], row, column))
        self.told.value = (
            f'<div role="img" aria-label="{words}" title="{words}" '
            f'style="display: flex; gap: 10px; white-space: nowrap">{"".join(bars)}</div>'
        )


def _bar(mark: str, name: str, value: float, share: float) -> str:
    side, colour = ("left", SUPPORTS) if value > 0 else ("right", OPPOSES)
    return (
        f'<div style="flex: 1" title="{html.escape(name)}">{mark} {number(value)}'
        '<div style="position: relative; height: 6px; border: 1px solid #80808060">'
        f'<div style="position: absolute; {side}: 50%; width: {50 * share:.0f}%; height: 6px; '
        f'background: {colour}"></div></div></div>'
    )
