"""The page of a widget: one idea first, everything else in panels that open on demand."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as W

from ..core.wording import typeset
from . import export, words
from .controls import AutoBox, Marked
from .picker import Picker
from .picture import Stage
from .settings import Trail

if TYPE_CHECKING:
    from .explorer import Explorer


class Page:
    """Title, chips, controls, picture, sentence and panels, one below the other.

    Parameters
    ----------
    explorer : Explorer
        Whose page it is.
    show_code : bool
        Whether its code is offered.
    opened : sequence of str
        Panels that are open at first.
    """

    classes: tuple[str, ...] = ("rw-explorer", "rw-page")

    def __init__(self, explorer: Explorer, show_code: bool, opened: Sequence[str] = ()) -> None:
        self._explorer, self._open_first = explorer, opened
        question = f'<div class="rw-title">{html.escape(typeset(explorer.question))}</div>'
        self.title = W.HTML(
            words.STYLE + explorer.work.copy.hiding + question, layout=W.Layout(flex="1 1 auto")
        )
        self.chips = W.HTML(layout=W.Layout(flex="1 1 0", min_width="0"))
        self.show_chips(explorer.chips(None))
        self.card = W.HTML()
        self.dismiss = self.button("Dismiss", "Put this away", lambda: self.show_error(None))
        self.alert = W.HBox([self.card, self.dismiss], layout=W.Layout(display="none"))
        self.alert.add_class("rw-alert")
        self.picture = Stage(explorer.height, self.choose, self.drag, self.relay)
        self.readout = W.HTML(layout=W.Layout(min_height="57px"))  # two lines, and that of a pin
        self.code = W.Textarea(
            layout=W.Layout(width="auto", height="150px", display="none"),
            tooltip="Select all and copy",
        )
        self.saved = W.HTML()
        self.help = W.HTML(explorer.about, layout=W.Layout(display="none"))
        self.help.add_class("rw-help")
        go = lambda past: explorer.guard(lambda: explorer.set(**past))  # noqa: E731
        self.trail = Trail(go, explorer.controls)
        self.notes = W.Textarea(
            description="Notes", placeholder="Yours; exported with the JSON file"
        )
        self.panels = [kind(explorer) for kind in explorer.panels]
        button = self.button
        self.pin = button("Pin", "Keep this picture as a ghost to compare with", explorer.work.pin)
        self.pin.layout.width = "54px"  # enough for "Unpin": what stands beside it stays there
        self._actions = [
            self.pin,
            button("Reset", "Go back to the settings at the start", explorer.work.reset),
            button("Code", "Show the Python text of this picture", self.toggle_code),
            button("Export", "Write a file into the folder exports", self.toggle_files),
        ]
        self._kinds = {
            kind: button(kind, f"Write {kind}", partial(self.write, kind))
            for kind in explorer.formats
        }
        self.files = W.HBox([*self._kinds.values(), self.saved], layout=W.Layout(display="none"))
        if not show_code:
            del self._actions[2]

    def button(self, text: str, tip: str, act: Any) -> W.Button:
        """Return a button whose errors are shown on the page."""
        button = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
        button.on_click(lambda _: self._explorer.guard(act))
        return button

    # ------------------------------------------------------------------ parts
    def parts(self, front: tuple[str, ...] | None, fold: tuple[str, ...]) -> list[W.Widget]:
        """Return everything from top to bottom."""
        explorer, runner = self._explorer, self._explorer.runner
        controls = explorer.controls
        seen = [name for name, control in controls.items() if not isinstance(control, Marked)]
        for name in seen:
            _label(name, explorer.controls[name])
        shown = [name for name in front or seen if name not in fold]
        front_row = W.HBox([controls[name] for name in shown])
        front_row.add_class("rw-controls")
        pickers = [it for it in explorer.controls.values() if isinstance(it, Picker)]
        more = [*(it.which for it in pickers), self.trail, self.notes]
        settings = W.HBox([*(explorer.controls[name] for name in fold), *more])
        settings.add_class("rw-controls")
        self.settings = _Opened("all settings", "All settings", settings, self._toggled)
        self.opened = [
            _Opened(panel.name, panel.question, panel.body, self._toggled) for panel in self.panels
        ]
        for panel, opened in zip(self.panels, self.opened, strict=True):
            if panel.half:
                opened.box.add_class("rw-half")
        every = [*self.opened, self.settings]
        below = W.HBox([it.box for it in every])
        below.add_class("rw-panels")
        for it in every:
            if it.name in self._open_first:
                it.toggle()
        head = [self.title]
        if explorer.about:
            head.append(self.button("?", "What the marks and colours mean", self.toggle_help))
            head[-1].add_class("rw-round")
        runner.status.layout.flex = "0 0 auto"
        gap = W.HTML(layout=W.Layout(flex="1 1 auto"))
        gap.add_class("rw-gap")
        row = [W.HTML('<span class="rw-muted">Panels</span>'), *(it.button for it in every), gap]
        parts = [
            W.HBox(head),
            W.HBox([self.chips, runner.status, runner.bar, runner.stop]),
            front_row,
            self.alert,
            W.HBox([self.picture, self.help]),
            self.readout,
            W.HBox([*row, *self._actions]),
            below,
            self.files,
            self.code,
        ]
        for part in [*parts[:2], parts[6], self.files]:
            part.add_class("rw-row")
        parts[0].add_class("rw-head")
        parts[1].add_class("rw-context")
        parts[6].add_class("rw-actions")
        parts[4].add_class("rw-stage")
        return parts

    def _toggled(self, name: str) -> None:
        """Fill a panel that was opened."""
        for panel, opened in zip(self.panels, self.opened, strict=True):
            result = self._explorer.work.result
            if panel.name == name and opened.is_open and result is not None:
                self._explorer.aside(name, partial(panel.show, result), lambda _: None)

    # ------------------------------------------------------------------ what it shows
    def say(self, sentence: str, more: str = "") -> None:
        """Show the sentence of a picture, and below it how it differs from what was pinned."""
        self.readout.value = words.readout(sentence, more)
        self._fill_help()
        self._fill_code()

    def show_panels(self, result: Any) -> None:
        """Bring the panels that are open up to date; on the worker."""
        for panel, opened in zip(self.panels, self.opened, strict=True):
            if opened.is_open:
                panel.show(result)

    def show_chips(self, chips: list[Any]) -> None:
        """Show short facts."""
        self.chips.value = words.chips(chips)

    def show_error(self, error: BaseException | None) -> None:
        """Show an error as a card over the picture, or none."""
        self.card.value = "" if error is None else words.error_card(error)
        self.alert.layout.display = "none" if error is None else ""

    def reset(self) -> None:
        """Let the panels forget what they found out."""
        for panel in self.panels:
            panel.reset()

    def show_pin(self, pinned: bool) -> None:
        """Say what the button does next."""
        self.pin.description = "Unpin" if pinned else "Pin"

    def mark_stale(self, stale: bool) -> None:
        """Dim the picture of earlier settings."""
        (self.picture.add_class if stale else self.picture.remove_class)("rw-stale")

    # ------------------------------------------------------------------ what the picture tells
    def choose(self, kind: str, key: str) -> None:
        """Answer to a click on a mark."""
        explorer = self._explorer
        if kind not in explorer.marks or explorer.controls[kind].disabled:
            explorer.repaint()  # the page has chosen it already
        else:
            explorer.guard(lambda: explorer.settings.move(kind, explorer.marks[kind](key)))

    def drag(self, name: str, value: float) -> None:
        """Answer to a handle that is being moved."""
        explorer = self._explorer
        explorer.guard(lambda: explorer.settings.move(name, value))

    def relay(self) -> None:
        """Lay the picture out anew on a page that has become narrow or wide."""
        if self._explorer.work.result is not None:
            self._explorer.repaint()

    # ------------------------------------------------------------------ buttons
    def toggle_code(self) -> None:
        """Show or hide the code of what is shown; not of what is being computed."""
        toggle(self.code)
        self._fill_code()

    def _fill_code(self) -> None:
        if self.code.layout.display != "none":
            empty = self._explorer.work.result is None
            self.code.value = "" if empty else self._explorer.work.code()

    def toggle_help(self) -> None:
        """Show or hide what marks mean, with the numbers of the picture."""
        toggle(self.help)
        self._fill_help()

    def _fill_help(self) -> None:
        if self.help.layout.display != "none":
            self.help.value = self._explorer.help_text(self._explorer.work.result)

    def toggle_files(self) -> None:
        """Show or hide the kinds of files that what is shown can be written as."""
        for kind, button in self._kinds.items():
            able = export.can(self._explorer.work.result, kind)
            button.layout.display = "" if able else "none"
        toggle(self.files)

    def write(self, kind: str) -> None:
        """Write a file of what is shown and offer it."""
        self.saved.value = export.link(self._explorer.export(kind.lower()))


class _Opened:
    """A panel on the page: a button that opens and closes it, and its box."""

    def __init__(self, name: str, question: str, body: W.Widget, toggled: Any) -> None:
        self.name, self.body, self._toggled = name, body, toggled
        self.button = W.Button(layout=W.Layout(width="auto"), tooltip=question)
        fixed = W.Layout(width="auto", flex="0 0 auto")
        close = W.Button(description="×", tooltip=f"Close {name}", layout=fixed)
        head = W.HTML(
            f'<div class="rw-heading">{html.escape(question)}</div>',
            layout=W.Layout(flex="1 1 auto"),
        )
        self.box = W.VBox([W.HBox([head, close]), body], layout=W.Layout(display="none"))
        self.box.add_class("rw-panel")
        for button in (self.button, close):
            button.on_click(lambda _: self.toggle())
        self._name()

    @property
    def is_open(self) -> bool:
        return self.box.layout.display != "none"

    def toggle(self) -> None:
        toggle(self.box)
        self._name()
        self._toggled(self.name)

    def _name(self) -> None:
        self.button.description = f"{'−' if self.is_open else '+'} {self.name}"
        (self.button.add_class if self.is_open else self.button.remove_class)("rw-on")


def _label(name: str, control: W.Widget) -> None:
    """Let a control be called something, above it."""
    inner = control.inner if isinstance(control, AutoBox) else control
    if isinstance(inner, W.Box):  # its parts have names; a tooltip would break its view
        return
    inner.description = inner.description or name.replace("_", " ")
    if not inner.tooltip:
        inner.tooltip = inner.description


def toggle(widget: W.Widget) -> bool:
    """Show a hidden widget, hide a shown one; tell whether it is shown now."""
    shown = widget.layout.display == "none"
    widget.layout.display = "" if shown else "none"
    return shown
