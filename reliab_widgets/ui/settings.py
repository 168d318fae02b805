"""The settings of a widget: its controls, read and set as if by hand, locked and put back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as W
from traitlets import TraitError

from ..core.knobs import Knob, refuse_unknown
from ..core.wording import Problem, problem
from . import controls as c

TRAIL = 20
"""How many settings the trail remembers."""


class Settings:
    """Controls by knob; a change by hand is told, one by code is not.

    Parameters
    ----------
    knobs : mapping of str to Knob
        What has a kind, of the analysis and of its picture.
    controls : mapping of str to ipywidgets.Widget or Marked
        One with a ``value`` for each.
    about : callable
        Gives for a knob what its kind asks about; None where that is not known yet.
    changed : callable
        Called with the name of a knob that was changed by hand.
    implied : callable
        ``implied(name, value)`` gives other knobs that such a value sets, by name.
    """

    def __init__(
        self,
        knobs: Mapping[str, Knob],
        controls: Mapping[str, W.Widget | c.Marked],
        about: Callable[[str], Any],
        changed: Callable[[str], None],
        implied: Callable[[str, Any], dict[str, Any]],
    ) -> None:
        self.controls: dict[str, Any] = dict(controls)
        self._knobs, self._about, self._implied = knobs, about, implied
        self._changed = changed
        self._here = threading.local()
        self._held: dict[str, Any] = {}
        self._narrowed: set[str] = set()
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self._moved(name, change["new"]), "value")

    def state(self) -> dict[str, Any]:
        """Return the value of every control."""
        return {name: control.value for name, control in self.controls.items()}

    # ------------------------------------------------------------------ setting
    def assign(self, given: Mapping[str, Any]) -> None:
        """Put values into controls, all of them or none.

        Raises
        ------
        TypeError
            There is no such knob.
        ValueError
            A knob is locked or cannot have that value.
        """
        refuse_unknown(self.controls, given, "this widget")
        before, name, value = self.state(), "", None
        with self.quiet():
            try:
                wanted = dict(given)
                for name, value in given.items():
                    for other, implied in self._implied(name, value).items():
                        wanted.setdefault(other, implied)
                for name, value in wanted.items():
                    self._assign(name, value)
            except (TraitError, ValueError, TypeError) as error:
                for known, old in before.items():
                    c.place(self.controls[known], old, widen=True)
                if name in self._knobs and not isinstance(error, TraitError | _OutOfRange):
                    raise  # the kind has said it all
                fix = f"It takes {c.range_of(self.controls[name])}"
                raise ValueError(problem(f"{name} cannot be {value!r}", str(error), fix)) from None

    def _assign(self, name: str, value: Any) -> None:
        about = self._about(name)
        if name in self._knobs:
            try:
                value = self._knobs[name].kind.check(name, value, about)
            except (AttributeError, TypeError) as error:
                # Before the first picture a view may ask for what is not known yet.
                if about is not None or isinstance(error.args[0], Problem):
                    raise
        if name in self._held and value != self._held[name]:
            raise _OutOfRange("it is locked")
        try:
            c.place(
                self.controls[name],
                value,
                widen=name in self._knobs and name not in self._narrowed,
            )
        except ValueError as error:
            raise _OutOfRange(str(error)) from None

    def unlocked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return of some settings those that no teacher has locked."""
        return {name: value for name, value in given.items() if name not in self._held}

    def lock(self, bounds: Mapping[str, Any]) -> None:
        """Narrow sliders to (lowest, highest) pairs; set and hold whatever else is given."""
        for name, bound in bounds.items():
            control = self.controls[name]
            if isinstance(bound, tuple) and len(bound) == 2 and c.has_range(control):
                with self.quiet():
                    c.narrow(control, *bound)
                self._narrowed.add(name)
            else:
                self.assign({name: bound})
                self._held[name] = control.value
                control.disabled = True

    def enable(self, useful: Mapping[str, bool]) -> None:
        """Let knobs be moved if that would change something and no teacher has locked them."""
        for name, wanted in useful.items():
            self.controls[name].disabled = not wanted or name in self._held

    def move(self, name: str, value: Any) -> None:
        """Set a knob as if its control was moved; a locked one stays."""
        if name in self._held:
            return
        if self.controls[name].value == value:
            self._moved(name, value)  # chosen again: what goes with it counts all the same
        else:
            c.place(self.controls[name], value, widen=True)

    def within(self, handles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return those handles that may be moved, as far as they may."""
        free = {}
        for name, handle in handles.items():
            control = self.controls.get(name)
            if control is not None and not control.disabled:
                bounds = getattr(control, "bounds", ())
                free[name] = {**handle, **dict(zip(("least", "most"), bounds, strict=False))}
        return free

    # ------------------------------------------------------------------ by hand or not
    @property
    def is_quiet(self) -> bool:
        """Whether this thread sets controls without wanting an answer."""
        return getattr(self._here, "quiet", False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let controls be set without an answer to each change.

        Only changes made by this thread are quiet: somebody may be moving a slider meanwhile.
        """
        before = self.is_quiet
        self._here.quiet = True
        try:
            yield
        finally:
            self._here.quiet = before

    def _moved(self, name: str, value: Any) -> None:
        if self.is_quiet:
            return
        with self.quiet():
            for other, implied in self._implied(name, value).items():
                if other not in self._held:
                    c.place(self.controls[other], implied, widen=True)
        self._changed(name)


class _OutOfRange(ValueError):
    """A value that the knob may have, but not in this widget."""


class Trail(W.Dropdown):
    """Earlier settings, the newest first.

    Parameters
    ----------
    go : callable
        Called with the settings that are chosen.
    controls : mapping of str to ipywidgets.Widget
        What settings are called by.
    """

    def __init__(
        self, go: Callable[[dict[str, Any]], None], controls: Mapping[str, Any] = {}
    ) -> None:
        super().__init__(
            options=[("no earlier settings", -1)],
            description="Trail",
            tooltip="Go back to earlier settings",
            layout=W.Layout(width="auto"),
        )
        self._go, self._controls, self._past, self._filling = go, controls, [], False
        self.observe(self._chosen, "value")

    _past: list[dict[str, Any]]

    def remember(self, state: dict[str, Any], start: dict[str, Any]) -> None:
        """Add settings; what differs from ``start`` names them."""
        if self._past and self._past[-1] == state:
            return
        self._past = [*(past for past in self._past if past != state), state][-TRAIL:]
        texts = [
            (said(past, start, self._controls) or "as at the start", n)
            for n, past in enumerate(self._past)
        ]
        self._filling = True
        try:
            self.options = texts[::-1]
        finally:
            self._filling = False

    def _chosen(self, change: Any) -> None:
        if not self._filling and change["new"] is not None and change["new"] >= 0:
            self._go(self._past[change["new"]])


def said(
    state: Mapping[str, Any], start: Mapping[str, Any], controls: Mapping[str, Any] = {}
) -> str:
    """Say in which settings two states differ, with the values of the first.

    Settings and values are called what their controls call them.

    Examples
    --------
    >>> said({"bins": 5, "seed": 0}, {"bins": 15, "seed": 0})
    'bins 5'
    >>> menu = W.Dropdown(options=[("no", 0), ("20 batches", 20)], description="Fine-tune")
    >>> said({"finetune": 20}, {"finetune": 0}, {"finetune": menu})
    'fine-tune 20 batches'
    """
    return ", ".join(
        f"{_called(controls.get(name), name)} {_told(controls.get(name), value)}"
        for name, value in state.items()
        if value != start.get(name, value)
    )


def _called(control: Any, name: str) -> str:
    words = getattr(getattr(control, "inner", control), "description", "") or ""
    words = words or name.replace("_", " ")
    return words[0].lower() + words[1:] if words[1:2].islower() else words


def _told(control: Any, value: Any) -> str:
    options = getattr(control, "options", ())
    for option in options if isinstance(options, tuple) else ():
        if isinstance(option, tuple) and option[1:] == (value,):
            return str(option[0])
    if value is None:
        return "auto"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
