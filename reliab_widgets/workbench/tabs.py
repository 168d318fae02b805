"""The analyses of a workbench: a widget each, made when its tab is first opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

import ipywidgets as W

from ..analyses import ANALYSES
from ..core.knobs import Choice
from ..core.result import Result
from ..ui import worker
from ..ui.explorer import Explorer
from ..ui.special import Sent
from .bench import Bench
from .links import Link

ALL, MOST = "2 × 2", 4
"""The tab of several analyses at once, and how many: those that were opened last."""
TITLE = "One model, one image, one story"
TABS = Choice((*ANALYSES, ALL), what="tab")


class Tabs(W.VBox):
    """Tabs, and below them the widgets of those that are open.

    Parameters
    ----------
    bench : Bench
        What they look at.
    guard : callable
        Does something and shows its error.
    opened : callable
        Called when another tab is shown.
    heard : callable
        ``heard(word)`` after each picture of an analysis.

    Attributes
    ----------
    explorers : dict
        The widgets that were made, by the words of their analyses.
    results : dict
        What they found last, by the same.
    running : ipywidgets.Widget
        What the open one is doing, to be shown somewhere else.
    """

    def __init__(
        self,
        bench: Bench,
        guard: Callable[[Callable[[], object]], None],
        opened: Callable[[], object],
        heard: Callable[[str], object],
    ) -> None:
        self._bench, self._guard, self._opened, self._heard = bench, guard, opened, heard
        self.explorers: dict[str, Explorer] = {}
        self.results: dict[str, Result] = {}
        self._links: dict[int, Link] = {}
        self._told: dict[str, Result] = {}
        self._last: list[str] = []  # the tabs that were opened, the last one first
        self.tab = next(iter(ANALYSES))
        self._buttons = {word: self._button(word) for word in (*ANALYSES, ALL)}
        tip = "Whether what is open follows image, class and seed of the workbench"
        self._linked = self._toggle(True, "linked", tip, self._follow)
        tip = "Controls and panels of what is open, and pins, code and files of it"
        more = self._toggle(False, "controls", tip, self._unfold)
        *each, every = self._buttons.values()
        gap = W.HTML(layout=W.Layout(flex="1 1 auto"))
        row = W.HBox([*each, gap, more, self._linked, every])
        row.add_class("rw-tabs")
        self.running = W.HBox()
        self.running.add_class("rw-running")
        self._body = W.Box(layout=W.Layout(width="100%"))
        self._body.add_class("rw-body")
        self._unfold(False)
        super().__init__([row, self._body], layout=W.Layout(width="100%"))

    @property
    def question(self) -> tuple[str, str]:
        """The question of what is open, and what its marks mean."""
        if self.tab == ALL:
            return TITLE, ""
        kind = self.explorer(self.tab)
        rival = self._links[id(kind)].rival
        return f"What changes against “{rival}”?" if rival else kind.question, kind.about

    @property
    def shown(self) -> list[str]:
        """The words of the analyses that are seen."""
        if self.tab != ALL:
            return [self.tab]
        able = [word for word in ANALYSES if not self._buttons[word].disabled]
        last = [word for word in self._last if word in able]
        some = [*last, *(word for word in able if word not in last)][:MOST]
        return [word for word in able if word in some]

    def show(self, tab: str) -> Explorer:
        """Show an analysis, or all, and return the first widget that is seen."""
        self.tab = TABS.check("tab", tab, None)
        if tab != ALL:
            self._last = [tab, *(it for it in self._last if it != tab)]
        seen = [self.explorer(word) for word in self.shown]
        for word, explorer in self.explorers.items():
            self._links[id(explorer)].see(word in self.shown)
        self._body.children = seen
        one = seen[0].runner
        self.running.children = () if tab == ALL else (one.bar, one.stop, one.status)
        (self._body.add_class if tab == ALL else self._body.remove_class)("rw-four")
        self._linked.value = all(self._links[id(it)].follows for it in seen)
        for word, button in self._buttons.items():
            (button.add_class if word == tab else button.remove_class)("rw-on")
        self._opened()
        return seen[0]

    def explorer(self, word: str) -> Explorer:
        """Return the widget of an analysis; it is made when it is first asked for."""
        if word not in self.explorers:
            kind = getattr(import_module("..widgets", __package__), f"{ANALYSES[word]}Widget")
            bench, shared = self._bench, kind.shares
            preset = {shared["seed"]: bench.seed} if "seed" in shared else {}
            hidden = [shared["index"]] if "index" in shared else []
            if hidden and bench.is_chosen:
                preset[hidden[0]] = bench.index
            made: Explorer = kind(bench.given, preset=preset, hide=hidden)
            if hidden and not bench.is_chosen:
                bench.select(index=made.state()[hidden[0]])
            self.explorers[word] = made
            self.join(made)
            made.work.heard.append(lambda: self._keep(word))
        return self.explorers[word]

    def join(self, widget: Explorer, follows: bool = True) -> None:
        """Let a widget follow the choice of image, class and seed, or have its own."""
        if id(widget) in self._links:
            self._links[id(widget)].follow(follows)
        else:
            self._links[id(widget)] = Link(self._bench, widget)

    def sends(self) -> list[Sent]:
        """Return what the pictures that are seen offer to go on with."""
        seen = [self.explorers[word] for word in self.shown if word in self.explorers]
        shown = [(it, self._links[id(it)].result) for it in seen]
        return [sent for it, found in shown if found is not None for sent in it.sends(found)]

    def applied(self) -> None:
        """Let no widget apply once more what is handed to all of them now."""
        for explorer in self.explorers.values():
            explorer.settings.assign(explorer.settings.unlocked(explorer.applied))

    def tells(self, word: str, last: str) -> bool:
        """Tell whether what an analysis shows is a step of the story; ``last`` is the last one's.

        A picture that is painted again, because something else was chosen, is none.
        """
        result = self.results.get(word)
        if result is None or result is not self.explorers[word].work.result:
            return False
        is_new, self._told[word] = result is not self._told.get(word), result
        return is_new or last == word

    def grey(self) -> None:
        """Grey the tabs of what the network cannot have, with the reason; in the background."""

        def look(word: str) -> None:
            ask = import_module(f"..analyses.{word}.compute", __package__).allowed
            try:
                why = ask(self._bench.given).impossible
            except (TypeError, ValueError) as error:  # what the analysis itself would say
                why = str(error)
            if why:
                self._buttons[word].disabled, self._buttons[word].tooltip = True, why

        def work(word: str, _: worker.Job) -> None:
            self._guard(lambda: look(word))

        for word in ANALYSES:
            worker.submit((id(self), word), partial(work, word))

    def close(self) -> None:
        """Close all widgets that were made here; others go their ways."""
        for link in self._links.values():
            link.close()
        for explorer in self.explorers.values():
            explorer.close()
        super().close()

    def _unfold(self, more: bool) -> None:
        (self._body.remove_class if more else self._body.add_class)("rw-folded")

    def _follow(self, follows: bool) -> None:
        self._linked.description = "linked" if follows else "on its own"
        for word in self.shown:
            link = self._links[id(self.explorer(word))]
            if link.follows != follows:
                link.follow(follows)

    def _keep(self, word: str) -> None:
        work = self.explorers[word].work
        if not work.shown.is_partial and isinstance(work.result, Result):
            self.results[word] = work.result
        self._heard(word)

    def _toggle(
        self, value: bool, text: str, tip: str, act: Callable[[bool], None]
    ) -> W.ToggleButton:
        made = W.ToggleButton(value, description=text, tooltip=tip, layout=W.Layout(width="auto"))
        made.observe(lambda change: self._guard(lambda: act(change["new"])), "value")
        return made

    def _button(self, word: str) -> W.Button:
        text = word if word == ALL else ANALYSES[word]
        button = W.Button(description=text, tooltip=f"Show {text}", layout=W.Layout(width="auto"))
        button.on_click(lambda _: self._guard(lambda: self.show(word)))
        return button
