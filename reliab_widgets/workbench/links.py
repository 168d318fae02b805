"""One widget and the selection of its workbench: what one changes, the other follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..core.engine import Cancelled, Tick
from ..ui import worker
from ..ui.explorer import Explorer
from ..ui.picker import Picker
from ..ui.special import UNCHANGED
from .bench import CLEAN, GIVEN, Bench, View
from .variants import Variant

SELECTION = ("index", "target", "seed")
_HERE = threading.local()


@contextmanager
def telling() -> Iterator[None]:
    """Let what this thread does to widgets meanwhile not be told back."""
    before, _HERE.telling = is_telling(), True
    try:
        yield
    finally:
        _HERE.telling = before


def is_telling() -> bool:
    """Tell whether this thread is putting the selection into widgets."""
    return getattr(_HERE, "telling", False)


class Link:
    """A widget that looks at what the bench has chosen, and chooses for all others.

    Parameters
    ----------
    bench : Bench
        The shared selection.
    explorer : Explorer
        The widget.

    Attributes
    ----------
    follows : bool
        Whether image, class and seed are shared; the network always is.
    is_seen : bool
        Whether somebody sees the widget: what nobody sees is not computed.
    """

    def __init__(self, bench: Bench, explorer: Explorer) -> None:
        self.bench, self.explorer = bench, explorer
        self.follows, self.is_seen, self._rests = True, True, False
        shared = {n: k for n, k in explorer.shares.items() if k in explorer.controls}
        self.knobs = shared
        about_one = shared.get("index")
        self._picks = None if about_one in explorer.view_knobs else about_one
        self._key = bench.key(View(), self._index) if bench.is_plain else None
        self._imposed: dict[str, Any] = {}
        self._before: dict[str, Any] = {}  # what these settings were
        explorer.work.prepare = self._prepare
        bench.observe(self._selected)
        for name, knob in shared.items():
            explorer.controls[knob].observe(
                lambda change, name=name: self._moved(name, change["new"]), "value"
            )
        if self._key is None:
            explorer.refresh()

    def follow(self, follows: bool) -> None:
        """Share image, class and seed from now on, or have them for oneself."""
        self.follows = follows
        if "index" in self.knobs:  # what the row of images chooses needs no control of its own
            picker = self.explorer.controls[self.knobs["index"]]
            picker.layout.display = "none" if follows else ""
        if follows:
            self.explorer.guard(lambda: self._follow(SELECTION))

    def see(self, is_seen: bool) -> None:
        """Let what nobody sees rest, and go on with what was chosen meanwhile once it is seen."""
        explorer, was_seen, self.is_seen = self.explorer, self.is_seen, is_seen
        if was_seen and not is_seen:  # else who is seen would wait for it
            self._rests = worker.busy(explorer.runner.owner)
            explorer.runner.cancel()
        elif is_seen and not was_seen:
            go_on = explorer.refresh if self._rests else partial(self._follow, SELECTION)
            explorer.guard(go_on)

    def close(self) -> None:
        """Let widget and bench go their ways."""
        self.bench.unobserve(self._selected)
        self.explorer.work.prepare = lambda tick: False
        self.follows = False

    # ------------------------------------------------------------------ bench to widget
    def _selected(self, change: Any) -> None:
        if self.is_seen and change["name"] not in ("variants", "unmade"):
            self.explorer.guard(lambda: self._follow((change["name"],)))

    def _wanted(self, names: Any) -> dict[str, Any]:
        """Return the knobs that the selection sets, as far as the widget can have them."""
        found: dict[str, Any] = {}
        for name in names:
            knob, value = self.knobs.get(name), getattr(self.bench, name, None)
            if not self.follows or knob is None or value is None:
                continue
            if name == "index" and value >= len(self.explorer.subject):
                continue  # an analysis of a set that does not hold it
            if self.explorer.controls[knob].value != value:
                found[knob] = value
        return self.explorer.settings.unlocked(found)

    def _follow(self, names: Any) -> None:
        explorer, bench = self.explorer, self.bench
        if bench.key(self._view, self._index) != self._key or self._imposing != self._imposed:
            explorer.page.mark_stale(True)  # from now on it is of something else
            explorer.runner.say(f"○ making {', '.join(bench.chosen)}")
            explorer.refresh()  # which asks for the subject first
        elif wanted := self._wanted(names):
            with telling():
                explorer.set(**wanted)

    @property
    def _index(self) -> int | None:
        """The one image that the widget looks at, None where it looks at many."""
        if not self._picks or self.follows:
            return self.bench.index if self._picks else None
        return int(self.explorer.controls[self._picks].value)

    @property
    def rival(self) -> str:
        """What is shown behind, or nothing: no widget shows behind what it looks at itself."""
        return "" if self.bench.against in self._view else self.bench.against

    @property
    def result(self) -> Any:
        """What the widget found of what is chosen now, or nothing yet."""
        explorer, key = self.explorer, self.bench.key(self._view, self._index)
        found = explorer.work.result
        named = getattr(found, "subject", "") == explorer.subject.name
        return found if named and key == self._key and self._imposing == self._imposed else None

    @property
    def _own(self) -> list[Variant]:
        """The chosen variants that the widget makes itself."""
        known = self.bench.variants
        every = [known[it] for it in self.bench.chosen if it in known]
        return [it for it in every if it.word in self.explorer.makes]

    @property
    def _view(self) -> View:
        """What the widget looks at: what it makes itself is not made for it."""
        model, image = self.bench.chosen
        own = {it.what for it in self._own}
        return View(GIVEN if "model" in own else model, CLEAN if "image" in own else image)

    @property
    def _imposing(self) -> dict[str, Any]:
        """The settings that the chosen variants mean to the widget."""
        told = {n: value for it in self._own for n, value in it.knobs.items()}
        told |= self.explorer.facing if self.bench.against else {}
        told |= self.explorer.alike if CLEAN == self.bench.against != self._view.image else {}
        controls, unlocked = self.explorer.controls, self.explorer.settings.unlocked
        return unlocked({n: value for n, value in told.items() if n in controls})

    def _prepare(self, tick: Tick) -> bool:
        """Let the widget look at what is chosen; tell whether that is something else."""
        explorer, bench, view = self.explorer, self.bench, self._view
        key, imposing = bench.key(view, self._index), self._imposing
        if key == self._key and imposing == self._imposed:
            return False
        wanted: dict[str, Any] = {}
        if key != self._key:
            explorer.runner.say(f"○ making {', '.join(it for it in bench.chosen)}")
            try:
                subject = bench.subject(view, self._index, tick)
                others = bench.others(view, self._index, tick)
            except Cancelled:
                raise
            except Exception as error:
                bench.revert(error)
                raise
            self._key = key
            explorer.subject, explorer.work.others = subject, others
            for control in explorer.controls.values():
                if isinstance(control, Picker):
                    control.examine(subject)
            explorer.pictured = UNCHANGED if view.image == CLEAN else view.image
            explorer.page.reset()
            explorer.examined()
        wanted |= self._before | self._wanted(SELECTION)
        state = explorer.state() | wanted
        self._before = {name: state[name] for name in imposing}
        self._imposed = imposing
        with telling():
            explorer.settings.assign(wanted | imposing)
            explorer.adapt()
        return True

    # ------------------------------------------------------------------ widget to bench
    def _moved(self, name: str, value: Any) -> None:
        if is_telling() or not self.follows:
            return
        if isinstance(value, int) and not isinstance(value, bool):
            self.bench.select(**{name: value})
