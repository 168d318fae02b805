"""The page of a widget in the older style: controls beside the picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as W

from . import words
from .controls import AutoBox
from .page import Page, toggle
from .picture import Stage
from .settings import Trail

if TYPE_CHECKING:
    from .explorer import Explorer


class Dashboard(Page):
    """Title, chips, controls, picture, sentence, status and buttons.

    Parameters
    ----------
    explorer : Explorer
        Whose page it is.
    show_code : bool
        Whether "Copy code" is offered.
    opened : sequence of str
        Nothing: there are no panels.
    """

    classes: tuple[str, ...] = ("rw-explorer",)

    def __init__(self, explorer: Explorer, show_code: bool, opened: Sequence[str] = ()) -> None:
        self._explorer, self._show_code = explorer, show_code
        self.title = W.HTML(
            words.STYLE + f'<div class="rw-title">{html.escape(explorer.question)}</div>',
            layout=W.Layout(width="auto"),
        )
        self.chips = W.HTML(words.chips(explorer.chips(None)), layout=W.Layout(width="auto"))
        self.card = W.HTML(layout=W.Layout(display="none"))
        self.card.add_class("rw-over")
        self.picture = Stage(explorer.height, explorer.work.choose, explorer.work.drag)
        self.detail = W.VBox()
        self.readout = W.HTML(layout=W.Layout(min_height="53px", margin="0 2px"))
        self.code = W.Textarea(
            description="Code",
            layout=W.Layout(width="auto", height="150px", display="none"),
            tooltip="Select all and copy",
        )
        self.saved = W.HTML()
        self.help = W.HTML(explorer.about, layout=W.Layout(display="none"))
        self.trail = Trail(lambda past: explorer.guard(lambda: explorer.set(**past)))
        self.notes = W.Textarea(
            description="Notes",
            placeholder="Yours; exported with the JSON file",
            layout=W.Layout(width="auto", height="60px"),
        )
        self.format = W.Dropdown(
            options=explorer.formats,
            description="as",
            layout=W.Layout(width="104px"),
            style={"description_width": "18px"},
            tooltip="File format",
        )
        self.swapped: W.Widget | None = None  # makes room for the fold where both are too tall
        button = self.button
        self.more = button("▸ More", "Further knobs, the trail and notes", self.toggle_fold)
        self.pin = button("Pin", "Keep this picture as a ghost to compare with", explorer.work.pin)

    # ------------------------------------------------------------------ parts
    def parts(self, front: tuple[str, ...] | None, fold: tuple[str, ...]) -> list[W.Widget]:
        """Return everything from top to bottom."""
        controls = self._explorer.controls
        for name in set(controls) - set(self._explorer.marks):
            _describe(name, controls[name])
        names = tuple(n for n in controls if n not in fold) if front is None else front
        folded = [controls[name] for name in fold if name in controls]
        self.folded = W.VBox([*folded, self.trail, self.notes], layout=W.Layout(display="none"))
        self.side = W.VBox(
            [*(controls[name] for name in names if name in controls), self.more, self.folded],
            layout=W.Layout(width="226px", flex="0 0 auto"),
        )
        runner = self._explorer.runner
        return [
            W.HBox([self.title, self.chips], layout=W.Layout(flex_flow="row wrap")),
            W.HBox(
                [
                    self.side,
                    W.VBox(
                        [self.card, self.picture, self.detail],
                        layout=W.Layout(flex="1 1 420px", min_width="0"),
                    ),
                ],
                layout=W.Layout(flex_flow="row wrap"),
            ),
            self.readout,
            W.HBox(
                [runner.status, runner.bar, runner.stop, *self._buttons()],
                layout=W.Layout(flex_flow="row wrap", align_items="center"),
            ),
            self.saved,
            self.help,
            self.code,
        ]

    def _buttons(self) -> list[W.Widget]:
        button, explorer = self.button, self._explorer
        actions = [
            self.pin,
            button("Reset", "Go back to the settings at the start", explorer.work.reset),
            button("Export", "Write a file", lambda: self.write(self.format.value)),
            self.format,
        ]
        if self._show_code:
            tip = "Show the Python text of this picture"
            actions.insert(2, button("Copy code", tip, self.toggle_code))
        if explorer.about:
            tip = "What the marks and colours mean"
            actions.append(button("Help", tip, self.toggle_help))
        return actions

    # ------------------------------------------------------------------ what it shows
    def show_panels(self, result: Any) -> None:
        """There are none."""

    def show_error(self, error: BaseException | None) -> None:
        """Show an error as a card over the picture, or none."""
        if error is not None:
            self.card.value = words.error_card(error)
        self.card.layout.display = "none" if error is None else ""

    # ------------------------------------------------------------------ buttons
    def toggle_fold(self) -> None:
        """Show or hide what stands under "More"."""
        opened, instead = toggle(self.folded), self.swapped is not None
        self.more.description = ("◂ Back" if instead else "▾ More") if opened else "▸ More"
        if self.swapped is not None:
            toggle(self.swapped)


def _describe(name: str, control: W.Widget) -> None:
    control.layout.width = control.layout.width or "auto"
    if isinstance(control, AutoBox):
        control = control.inner
    if isinstance(control, W.Box):  # its parts have names; a tooltip would break its view
        return
    control.description = control.description or name.replace("_", " ")
    control.style.description_width = "70px"
    if not control.tooltip:
        control.tooltip = control.description
