"""The workbench: all analyses on what is chosen once, and the story of what was done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as W

from ..cards import card
from ..core.engine import Cancelled
from ..core.subject import Subject, check_subject
from ..core.wording import plainly, problem
from ..ui import cells, worker
from ..ui.explorer import Explorer
from ..ui.special import Sent
from ..ui.static import StaticCopy
from . import files, steps
from .bench import Bench
from .chips import Chips
from .page import Page
from .photos import Photos
from .side import shown
from .story import Story
from .strip import Strip
from .tabs import TABS, Tabs
from .variants import variant

REST = 0.3
"""Seconds without a new picture after which it is told."""


class Workbench(W.VBox):
    """One network, one image, one story: all analyses on what is chosen once.

    Parameters
    ----------
    subject : Subject
        What is examined.
    models : mapping of str to Subject, optional
        Other networks with the same classes, such as another checkpoint, by their names.
    tab : str
        The analysis that is seen first, or ``"2 × 2"`` for four.
    preset : mapping, optional
        What is chosen first, as `select` takes it; also ``tab`` and settings of its widget.

    Raises
    ------
    TypeError, ValueError
        There is no Subject, or no such analysis or choice.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> bench = rw.widgets.Workbench(rw.demo("resnet20")[:40], tab="reliability")
    >>> bench.select(model="untrained").result.subject
    'resnet20, untrained'
    >>> bench.close()
    """

    _closed = True  # until it has been made

    @plainly()
    def __init__(
        self, subject: Subject, *, models: Any = None, tab: str = "saliency", preset: Any = None
    ) -> None:
        check_subject(subject)
        TABS.check("tab", tab, subject)
        _check_dict("models", models, "{'name': subject}")
        _check_dict("preset", preset, "{'index': 42}")
        self.bench = Bench(subject, models or {})
        self._copy = StaticCopy(self.guard)
        writes = {"Card": self.card, "Save": self.save}
        go_back = partial(files.choose, self)
        self.story = Story(lambda: self._page.tell(self.story))
        self._is_new, self._closed = True, False
        self.tabs = Tabs(self.bench, self.guard, self._opened, self._heard)
        acts = (self.go_on_with, go_back, self.tabs.running)
        self._page = Page(self._copy.hiding, *acts, writes)
        self.chips = Chips(self.bench, self.guard)
        photos = Photos(subject.classes, self.guard, self.photograph)
        self.strip = Strip(self.bench, self.guard, photos)
        parts = self._page.parts(self.chips, self.strip, self.tabs)
        super().__init__(parts, layout=W.Layout(width="100%"))
        for name in ("rw-explorer", "rw-page", "rw-bench"):
            self.add_class(name)
        cells.register(self)
        self.bench.observe(lambda _: self._look(), ["index", "model", "image", "temperature"])
        self.bench.observe(lambda _: self._opened(), ["against", "model", "image", "temperature"])
        try:
            files.choose(self, {"tab": tab, **(preset or {})})
        except Exception:
            self.close()
            raise

    # ------------------------------------------------------------------ what others call
    @property
    def widget(self) -> Explorer:
        """The widget of the open tab; of all, the first one."""
        return self.tabs.explorer(self.tabs.shown[0])

    @property
    def result(self) -> Any:
        """What the analysis of the open tab gave for what is chosen; waits for it."""
        return self.widget.result

    def show(self, tab: str) -> Explorer:
        """Show an analysis by its word, or four by ``"2 × 2"``, and return its widget."""
        return self.tabs.show(tab)

    def select(self, **chosen: Any) -> Workbench:
        """Choose what all analyses look at, several things at once.

        ``model``, ``image`` and ``against`` are names of chips, ``target`` is a class number;
        ``index``, ``temperature``, ``seed``.

        Raises
        ------
        TypeError, ValueError, IndexError
            There is no such thing, image or variant.
        """
        known = self.bench.state()
        for name in chosen:
            if name not in known:
                fix = f"Choose from {', '.join(known)}"
                raise TypeError(problem("a workbench shares no such thing", f"got {name}=", fix))
        self.bench.select(**chosen)
        return self

    def add(self, word: str, **knobs: Any) -> str:
        """Put a variant on a chip and return the name of that, for `select`.

        ``word`` is the function of this package that makes it: ``"pruned"``, ``"denoised"``,
        ``"untrained"``, ``"attack"``, ``"corrupted"`` or ``"noisy"``; ``knobs`` its arguments.

        Raises
        ------
        TypeError, ValueError
            There is no such word, or an argument that it cannot have.
        """
        return self.bench.add(variant(word, knobs, self.bench.given))

    def photograph(self, photo: Any, label: Any = None) -> Workbench:
        """Add a picture of one's own to the images and choose it, see `rw.photographed`."""
        self.bench.photograph(photo, label)
        self.strip.refresh()
        return self

    def link(self, widget: Explorer, follows: bool = True) -> None:
        """Let any widget look at the workbench's network and images, and follow its choices."""
        self.tabs.join(widget, follows)

    @property
    def sendable(self) -> list[str]:
        """What the open picture offers to go on with."""
        return [it.label for it in self.tabs.sends()]

    def go_on_with(self, what: str | Sent) -> Workbench:
        """Choose what the open picture offers, one of `sendable`, for all analyses."""
        every = {it.label: it for it in self.tabs.sends()}
        if isinstance(what, str) and what not in every:
            fix = f"Choose from {', '.join(map(repr, every)) or 'what another tab offers'}"
            raise ValueError(problem("the picture does not offer that", f"got {what!r}", fix))
        _, kind, value = every[what] if isinstance(what, str) else what
        if kind == "variant":
            word, knobs = value
            made = variant(word, knobs, self.bench.given)
            self.bench.select(**{made.what: self.bench.add(made)})
        elif kind == "temperature":
            self.tabs.applied()
            self.bench.select(temperature=self.bench.temperature * value)
        else:
            name, images = value
            self.strip.put(name, images)
            if self.bench.index not in images:
                self.bench.select(index=self.strip.images[0])
        return self

    def code(self) -> str:
        """Return Python text that gives every number of the story again, in a fresh process."""
        return self.story.code()

    def card(self, path: Any = "card.html", *, summary: str = "") -> Path:
        """Write what the tabs show, after ``summary`` or the story, as `rw.card` does."""
        if not self.tabs.results:
            fix = "Wait for the first picture"
            raise ValueError(problem("there is nothing to tell", "no analysis is ready", fix))
        told = summary or "\n".join(map(steps.paragraph, self.story.steps))
        return card(list(self.tabs.results.values()), path, summary=told)

    def save(self, path: Any = "lab.json") -> Path:
        """Write everything but weights and images to a file, for `load`; whole or not at all."""
        return files.write(path, self.bench.bare, files.state(self))

    @classmethod
    @plainly()
    def load(cls, path: Any, subject: Subject, *, models: Any = None) -> Workbench:
        """Return a workbench as it was saved, or one on which a widget is as it was exported.

        Parameters
        ----------
        path : str or path
            What `save` wrote, or the settings file of a widget.
        subject : Subject
            The same network and images: that they are others is said in a warning.
        models : mapping, optional
            The other networks that were handed to it.

        Raises
        ------
        TypeError, ValueError
            The file is damaged or something else.
        """
        check_subject(subject)
        told = files.read(path, subject)
        made = cls(subject, models=models)
        files.restore(made, told, path)
        return made

    def close(self) -> None:
        """Stop all work and take the workbench, with everything in it, off page and memory."""
        if not self._closed:
            self._closed = True
            for part in (self.bench, self._copy, self.tabs):
                part.close()
            cells.close_tree(self)

    # ------------------------------------------------------------------ what happens
    def guard(self, act: Any) -> None:
        """Do something for a button and show its error."""
        self._page.guard(act)

    def _look(self) -> None:
        """Show the chosen image and what is said of it, in the background."""

        def look() -> None:
            if self._closed:
                return
            try:
                self._page.side.value = shown(self.bench)
                step = steps.chosen(self.bench)
            except Cancelled:
                raise
            except Exception as error:
                self.bench.revert(error)
                raise
            self.bench.settle()
            if not self._closed:
                self.story.add(step)

        worker.submit((id(self), "side"), lambda _: self.guard(look))

    def _opened(self) -> None:
        """Show what the open tab asks, and what it offers to all others."""
        self._page.ask(*self.tabs.question)
        self._page.offer(self.tabs.sends())

    def _heard(self, word: str) -> None:
        """Take note of what an analysis has found."""
        if self._closed:
            return
        if self._is_new:  # what is not needed for a first picture comes after it
            self._is_new = False
            self._look()
            self.strip.refresh()
            self.tabs.grey()
        if word in self.tabs.shown:
            work = self.tabs.explorers[word].work
            self._copy.follow(work.said, work.figure)
        # In a rest of input: a slider must not wait for buttons, and leaves one step.
        tell = partial(self._tell, word)
        worker.put_off((id(self), word), lambda _: self.guard(tell), REST)

    def _tell(self, word: str) -> None:
        if not self._closed:
            self._page.offer(self.tabs.sends())
            if self.tabs.tells(word, self.story.last):
                explorer = self.tabs.explorers[word]
                self.story.add(steps.found(word, explorer, self.bench))

    def _ipython_display_(self) -> None:
        self.widget.page.picture.displayed()
        self._copy.display_with(self, super()._repr_mimebundle_())


def _check_dict(name: str, given: Any, example: str) -> None:
    if not (given is None or isinstance(given, Mapping)):
        seen, fix = f"got {type(given).__name__}", f"Pass {name}={example}"
        raise TypeError(problem(f"{name} is not a dict", seen, fix))
