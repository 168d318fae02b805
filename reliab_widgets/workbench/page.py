"""What stands around the analyses of a workbench: head, images, what goes on, the story."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as W

from ..core.engine import Cancelled
from ..core.wording import typeset
from ..ui import words
from ..ui.controls import offer
from ..ui.page import toggle
from ..ui.special import Sent
from .story import Step, Story

ABOUT = """<ul>
<li><b>Model, Image</b>: variants. Every analysis below looks at the chosen ones; “against” shows
another one behind, with the difference in words and, where there is one, its control.</li>
<li><b>Row of images</b>: the chosen image is that of all analyses. Click one, or walk with Tab and
the arrow keys. <b>Show</b> chooses which ones stand there; analyses of many images look at all of
them, since images that were chosen by their answers say nothing of the others. A photograph of your
own comes in below it.</li>
<li><b>Tabs</b>: one analysis each; <b>controls</b> has its settings and panels, and pins, code and
files of it.
<b>Go on with</b> sends what a picture shows to all others: the attacked image, the pruned network,
the temperature, the images of a bin.</li>
<li><b>Story</b>: what you did, each step with its number. Click a step to go back to it; the code
of the story gives all numbers again.</li></ul>"""
SHORT = 44
"""Letters of a step that are shown; the rest is told when it is pointed at."""
SENT = 8
"""Things to go on with that are offered at most."""
LAST = 3
"""Steps that are shown."""


class Page:
    """The parts of a workbench's page.

    Parameters
    ----------
    hiding : str
        HTML that hides what stands for the workbench where there is no kernel.
    go_on, go_back : callable
        Given what to go on with, and what was chosen at the step to go back to.
    running : ipywidgets.Widget
        What stands beside the title.
    write : mapping
        What the buttons beside the story do, by their texts; each returns the file it wrote.
    """

    def __init__(
        self,
        hiding: str,
        go_on: Callable[[Sent], object],
        go_back: Callable[[Any], object],
        running: W.Widget,
        write: Mapping[str, Callable[[], Path]],
    ) -> None:
        self._go_on, self._go_back = go_on, go_back
        self.side = W.HTML(layout=W.Layout(flex="0 0 196px"))
        self._sent = W.HBox([W.HTML('<span class="rw-muted">Go on with</span>')])
        self._earlier = W.Dropdown(tooltip="Go back to any step", layout=W.Layout(width="112px"))
        self._earlier.observe(lambda change: self.guard(lambda: self._back(change["new"])), "value")
        self._steps = W.HBox([self._earlier], layout=W.Layout(flex="1 1 0"))
        self._told: list[Step] = []
        for row, most in ((self._sent, SENT), (self._steps, LAST)):
            each = [self._button("", "", partial(self._press, row, k)) for k in range(most)]
            row.children = [*row.children, *each]
        self._acts: dict[int, list[Callable[[], object]]] = {}
        self._story_told = Story()
        self._card, self._saved = W.HTML(), W.HTML()
        self._alert = W.HBox([self._card, self._button("Dismiss", "Put this away", self.calm)])
        self._alert.layout.display = "none"
        self._alert.add_class("rw-alert")
        self._help = W.HTML(layout=W.Layout(display="none"))
        self._help.add_class("rw-help")
        self._code = W.Textarea(
            layout=W.Layout(width="auto", height="180px", display="none"),
            tooltip="Select all and copy",
        )
        self._style = words.STYLE + hiding
        self._title = W.HTML(layout=W.Layout(flex="1 1 auto"))
        about = self._button("?", "What is where", lambda: toggle(self._help))
        about.add_class("rw-round")
        self._head = W.HBox([self._title, running, about])
        actions = [
            self._button("Code", "Show Python text that gives all numbers again",
                         self._toggle_code),
            *(self._button(text, f"{text}: write a file", partial(self._write, act))
              for text, act in write.items()),
        ]  # fmt: skip
        muted = W.HTML('<span class="rw-muted">Story</span>')
        self._story = W.HBox([muted, self._steps, *actions])
        for row in (self._head, self._sent, self._story):
            row.add_class("rw-row")
        self._story.add_class("rw-story")

    def parts(self, chips: W.Widget, strip: W.Widget, tabs: W.Widget) -> list[W.Widget]:
        """Return everything from top to bottom."""
        left = W.VBox([self.side, self._sent], layout=W.Layout(flex="0 0 196px"))
        left.add_class("rw-left")
        tabs.layout.flex = "1 1 560px"
        tabs.add_class("rw-right")
        main = W.HBox([left, tabs])
        main.add_class("rw-main")
        below = [self._story, self._saved, self._code]
        return [self._head, self._help, chips, self._alert, strip, main, *below]

    def ask(self, question: str, about: str) -> None:
        """Show the question of what is open, and under "?" what its marks mean."""
        self._title.value = (
            f'{self._style}<div class="rw-title">{html.escape(typeset(question))}</div>'
        )
        self._help.value = ABOUT + about

    def offer(self, found: Sequence[Sent]) -> None:
        """Offer what the open pictures show to all other analyses."""
        tip = "Let all analyses go on with it"
        self._fill(self._sent, [(it.label, tip, partial(self._go_on, it)) for it in found])
        self._sent.layout.visibility = "visible" if found else "hidden"  # its place is kept

    def tell(self, story: Story) -> None:
        """Show the last steps of the story, or those around the one gone back to, and its code."""
        numbered = [*enumerate(story.steps, 1)]
        first = max(0, min(story.here - 1, len(numbered) - LAST))
        shown = []
        for number, step in numbered[first : first + LAST]:
            text = step.text if len(step.text) <= SHORT else f"{step.text[:SHORT].rstrip()}…"
            words = typeset(f"{number} {text}")
            shown.append((words, step.sentence, partial(self._go_back, step.state)))
        self._fill(self._steps, shown)
        for place, button in enumerate(self._steps.children[1:], first):
            (button.add_class if place == story.here else button.remove_class)("rw-on")
        every = [(f"{number} {step.text}", number) for number, step in enumerate(story.steps, 1)]
        self._told = []  # what is offered is not chosen
        offer(self._earlier, [("all steps", 0), *every], 0)
        self._told = story.steps
        self._write_code(story)

    def _fill(self, row: W.HBox, wanted: Sequence[tuple[str, str, Callable[[], object]]]) -> None:
        """Let the buttons of a row, after its first part, be these."""
        buttons = row.children[1:]
        self._acts[id(row)] = [act for *_, act in wanted]
        for button, (text, tip, _) in zip(buttons, wanted, strict=False):
            button.description, button.tooltip, button.layout.display = text, tip, ""
        for button in buttons[len(wanted) :]:
            button.layout.display = "none"

    def _press(self, row: W.HBox, place: int) -> None:
        self._acts[id(row)][place]()

    def _toggle_code(self) -> None:
        toggle(self._code)
        self._write_code(self._story_told)

    def _write_code(self, story: Story) -> None:
        self._story_told = story
        if self._code.layout.display != "none":
            self._code.value = story.code()

    def guard(self, act: Callable[[], object]) -> None:
        """Do something for a button: an exception in a callback is shown nowhere by Jupyter."""
        try:
            act()
        except Cancelled:
            return  # somebody asked for something newer
        except Exception as error:
            self._card.value = words.error_card(error)
            self._alert.layout.display = ""

    def _back(self, number: int | None) -> None:
        if number and self._told:
            step = self._told[number - 1]
            self._earlier.value = 0
            self._go_back(step.state)

    def calm(self) -> None:
        """Put an error away."""
        self._alert.layout.display = "none"

    def _write(self, act: Callable[[], Path]) -> None:
        self._saved.value = f"Written to {html.escape(str(act()))}"

    def _button(self, text: str, tip: str, act: Callable[[], object]) -> W.Button:
        button = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
        button.on_click(lambda _: self.guard(act))
        return button
