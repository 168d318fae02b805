"""The rows of chips: which network, which images, against what, and a form for another variant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as W

from ..core.wording import problem
from ..ui.cells import close_tree
from ..ui.controls import Words, control, offer
from .bench import CLEAN, GIVEN, Bench
from .variants import KINDS, variant

ROWS = {"model": "Model", "image": "Image"}
WORDS = {
    "pruned": "prune filters",
    "denoised": "put a denoiser before it",
    "untrained": "draw the weights anew",
    "attack": "attack",
    "corrupted": "corrupt",
    "noisy": "add random signs",
}
"""What the ways to make a variant are called in the form."""
KNOBS = {
    "level": Words("Part that goes"),
    "criterion": Words("Rank filters by"),
    "denoiser": Words("Denoiser"),
    "attack": Words("Attack"),
    "epsilon": Words("Size ε", write=lambda it: f"{255 * it:g}/255 = {it:.3f}"),
    "steps": Words("Steps"),
    "corruption": Words("Corruption"),
    "seed": Words("Seed"),
}


class Chips(W.VBox):
    """Two rows of buttons, the list of what is shown behind, and the temperature.

    Parameters
    ----------
    bench : Bench
        Where variants are chosen.
    guard : callable
        Does something and shows its error.
    """

    def __init__(self, bench: Bench, guard: Callable[[Callable[[], object]], None]) -> None:
        self._bench, self._guard = bench, guard
        self._rows = {what: self._row(words) for what, words in ROWS.items()}
        self.against = W.Dropdown(
            options=[("nothing", "")],
            description="against",
            tooltip="What is shown behind as a ghost, with the difference in words",
            layout=W.Layout(width="auto"),
        )
        self.against.observe(
            lambda change: guard(lambda: bench.select(against=change["new"])), "value"
        )
        self.raw = self._button("", "Take the temperature away again", self._uncalibrate)
        self.form = Form(bench, guard, self.add)
        super().__init__([*self._rows.values(), self.form])
        bench.observe(lambda _: self.show(), ["model", "image", "against", "temperature", "unmade",
                                              "variants"])  # fmt: skip
        self.show()

    def add(self, word: str, knobs: dict[str, Any]) -> None:
        """Add a variant and choose it."""
        bench = self._bench
        made = variant(word, knobs, bench.given)
        bench.select(**{made.what: bench.add(made)})

    def show(self) -> None:
        """Let the chips say what is chosen."""
        bench = self._bench
        for what, row in self._rows.items():
            known = {it.description: it for it in row.children if isinstance(it, W.Button)}
            chips = [self._chip(what, name, known) for name in bench.named(what)]
            more = known.get("+ variant") or self._button(
                "+ variant", f"Add another variant of the {what}", partial(self.form.ask, what)
            )
            more.add_class("rw-add")
            rest: list[W.Widget] = [] if bench.given.network.recorded else [more]
            if what == "image":
                rest += [self.against, self.raw]
            row.children = [row.children[0], *chips, *rest]
        options = [("nothing", "")]
        options += [(self._called(it), it) for it in bench.rivals() if it not in self._chosen()]
        if bench.against not in [value for _, value in options]:
            options.append((self._called(bench.against), bench.against))
        offer(self.against, options, bench.against)
        raw = bench.temperature == 1
        self.raw.description = "probabilities raw" if raw else f"T = {bench.temperature:.2f}  ×"
        self.raw.disabled = raw
        (self.raw.remove_class if raw else self.raw.add_class)("rw-on")

    def _chosen(self) -> tuple[str, str]:
        return self._bench.model, self._bench.image

    def _called(self, name: str) -> str:
        return f"{self._bench.given.name} as given" if name == GIVEN else name

    def _chip(self, what: str, name: str, known: dict[str, Any]) -> W.Button:
        bench = self._bench
        text = bench.given.name if name == GIVEN else name
        chip = known.get(text) or self._button(
            text, f"Look at this {what}", lambda: bench.select(**{what: name})
        )
        reason = bench.unmade.get(name, "")
        chip.disabled = bool(reason)
        chip.tooltip = reason or f"Look at this {what}"
        chosen = name in self._chosen()
        warns = chosen and what == "image" and name != CLEAN
        for css, wanted in (("rw-on", chosen and not warns), ("rw-warns", warns)):
            (chip.add_class if wanted else chip.remove_class)(css)
        return chip

    def _uncalibrate(self) -> None:
        self._bench.select(temperature=1.0)

    def _row(self, words: str) -> W.HBox:
        label = f'<span class="rw-muted">{words}</span>'
        row = W.HBox([W.HTML(label, layout=W.Layout(flex="0 0 52px"))])
        row.add_class("rw-row")
        row.add_class("rw-variants")
        return row

    def _button(self, text: str, tip: str, act: Callable[[], object]) -> W.Button:
        button = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
        button.on_click(lambda _: self._guard(act))
        return button


class Form(W.HBox):
    """What asks for a variant: how it is made, the knobs of that, and "Add".

    Parameters
    ----------
    bench : Bench
        For which.
    guard : callable
        Does something and shows its error.
    add : callable
        ``add(word, knobs)``.
    """

    def __init__(
        self,
        bench: Bench,
        guard: Callable[[Callable[[], object]], None],
        add: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._bench, self._add = bench, add
        self.how = W.Dropdown(description="How", tooltip="How the variant is made")
        self._asked: dict[str, Any] = {}
        self.done = W.Button(description="Add", layout=W.Layout(width="auto"))
        self.done.on_click(lambda _: guard(self._finish))
        super().__init__([self.how, self.done], layout=W.Layout(display="none"))
        self.add_class("rw-controls")
        self.add_class("rw-panel")
        self.how.observe(lambda _: self._ask(), "value")

    def ask(self, what: str) -> None:
        """Ask for a variant of the network or of the images; again to close."""
        ways = [(WORDS[word], word) for word, kind in KINDS.items() if kind.what == what]
        same = self.layout.display != "none" and self.how.options == tuple(ways)
        self.layout.display = "none" if same else ""
        offer(self.how, ways, ways[0][1])
        self._ask()

    def _ask(self) -> None:
        if self.how.value is None:
            return
        for control_before in self._asked.values():
            close_tree(control_before)
        kind = KINDS[self.how.value]
        known = kind.make.knobs  # type: ignore[attr-defined]
        self._asked = {}
        for name, start in kind.asked.items():
            knob = known[name]._replace(default=start)
            made = control(knob, self._bench.given, KNOBS[name])
            if made is None:
                raise TypeError(problem("a knob has no control", f"got {name!r}", "Leave it out"))
            self._asked[name] = made
        self.children = [self.how, *self._asked.values(), self.done]

    def _finish(self) -> None:
        self._add(self.how.value, {name: it.value for name, it in self._asked.items()})
        self.layout.display = "none"
