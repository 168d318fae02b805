"""The control of each kind of knob, with the words that a widget has for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as W
import traitlets

from ..core import knobs as k
from .choices import Choices, counts
from .picker import Picker

MENU = 8
"""Numbers to choose from stand in a list; more of them on a slider."""


@dataclass(frozen=True)
class Words:
    """What a widget calls a knob.

    Parameters
    ----------
    label, tip : str
        Beside the control, and when pointed at.
    options : mapping
        What values are called; values that are not named are called by themselves.
    auto : str
        What the box for "auto" is called.
    write : callable
        Writes a number that is one of several.
    readout : str
        Format of a slider's number.
    switch : bool
        Whether the values stand side by side instead of in a list.
    """

    label: str = ""
    tip: str = ""
    options: Mapping[Any, str] = field(default_factory=dict)
    auto: str = "auto"
    write: Callable[[float], str] = "{:.3g}".format
    readout: str = ""
    switch: bool = False


def control(knob: k.Knob, about: Any, words: Words = Words()) -> W.Widget | None:
    """Return the control for a knob of this kind, at its default; None if it needs none.

    Examples
    --------
    >>> slider = control(k.Knob("bins", k.Whole(1, 100, slider=(3, 50)), 15), None)
    >>> slider.value, slider.max, slider.description
    (15, 50, 'bins')
    """
    kind, value = knob.kind, knob.default
    label = words.label or knob.name.replace("_", " ")
    named: dict[str, Any] = {"description": label, "tooltip": words.tip or label}
    if isinstance(kind, k.Auto):
        return _auto(knob, about, words)
    if isinstance(kind, k.Flag):
        return W.Checkbox(value, indent=False, **named)
    if isinstance(kind, k.Whole):
        return _whole(kind, value, about, named, words)
    if isinstance(kind, k.Real):
        return _real(kind, value, about, named, words)
    if isinstance(kind, k.Choice):
        offered = k.told(kind.values if kind.offers is None else kind.offers, about)
        return _dropdown(offered, value, named, words)
    if isinstance(kind, k.ClassOf):
        classes = {number: name for number, name in enumerate(about.classes)}
        options = Words(options={**classes, **words.options})
        return _dropdown((*kind.words, *classes), value, named, options)
    if isinstance(kind, k.Several) and isinstance(kind.kind, k.Choice):
        offered = k.told(kind.kind.offers or kind.kind.values, about)
        return Choices(label, offered, value, least=kind.least, most=kind.most or len(offered))
    if isinstance(kind, k.Positions):
        return Picker(about)
    if isinstance(kind, k.Images) and isinstance(value, int):
        return _dropdown(sorted({*counts(len(about)), value}), value, named, words)
    return None


def _auto(knob: k.Knob, about: Any, words: Words) -> W.Widget | None:
    kind = knob.kind.kind  # type: ignore[attr-defined]
    start = _first(kind, about) if knob.default is None else knob.default
    if start is None:
        return None
    inner = control(k.Knob(knob.name, kind, start), about, words)
    return None if inner is None else AutoBox(inner, auto=knob.default is None, word=words.auto)


def _first(kind: k.Kind, about: Any) -> Any:
    """Return where a control begins that nobody has set."""
    if isinstance(kind, k.Real) and kind.log:
        return 1.0
    if isinstance(kind, k.Whole):
        return (k.told(kind.stops, about) or [k.told(kind.least, about)])[-1]
    if isinstance(kind, k.Real):
        return (k.told(kind.stops, about) or k.told(kind.slider, about) or [None])[0]
    if isinstance(kind, k.Choice):
        return k.told(kind.values if kind.offers is None else kind.offers, about)[0]
    return counts(len(about))[-1] if isinstance(kind, k.Images) else None


def _whole(kind: k.Whole, value: int, about: Any, named: dict[str, Any], words: Words) -> W.Widget:
    stops = k.told(kind.stops, about)
    if stops is not None:
        return _dropdown(sorted({*stops, value}), value, named, words)
    low, high = k.told(kind.slider, about) or (k.told(kind.least, about), k.told(kind.most, about))
    if high - low > 200:
        return W.BoundedIntText(value, low, high, **named)
    return W.IntSlider(value, min(low, value), max(high, value), **named)


def _real(kind: k.Real, value: float, about: Any, named: dict[str, Any], words: Words) -> W.Widget:
    stops, slider = k.told(kind.stops, about), k.told(kind.slider, about)
    if stops is not None and len(stops) > MENU:
        return Stops(stops, value, write=words.write, **named)
    if stops is not None:
        texts = {one: words.write(one) for one in (*stops, value)} | {**words.options}
        return _dropdown(sorted({*stops, value}), value, named, Words(options=texts))
    if slider is None:
        return W.FloatText(value, **named)
    low, high, step = slider
    if kind.log:
        low, high = math.log10(low), math.log10(high)
        return W.FloatLogSlider(value, min=low, max=high, step=step, readout_format=".2f", **named)
    form = words.readout or (".2f" if step < 0.1 else ".1f")
    return W.FloatSlider(value, min=low, max=high, step=step, readout_format=form, **named)


def _dropdown(offered: Iterable[Any], value: Any, named: dict[str, Any], words: Words) -> W.Widget:
    offered = list(offered)
    if value not in offered:
        offered.append(value)
    texts = [(words.options.get(one, str(one)), one) for one in offered]
    if words.switch:
        return W.ToggleButtons(options=texts, value=value, **named)
    return W.Dropdown(options=texts, value=value, **named)


class Marked(traitlets.HasTraits):
    """The value of a knob that is chosen in the picture, where it has marks, and has no control.

    Examples
    --------
    >>> Marked(value=3).value
    3
    """

    value = traitlets.Any(None, help="Which mark is chosen; None for the analysis's own choice.")
    disabled = traitlets.Bool(False, help="Whether the choice is given.")
    bounds = traitlets.Tuple(help="Lowest and highest value, where these are given.")

    def take(self, value: Any) -> None:
        """Choose a value inside the bounds."""
        if self.bounds and value is not None and not self.bounds[0] <= value <= self.bounds[1]:
            raise ValueError("it is out of range")
        self.value = value


class AutoBox(W.HBox):
    """A control with a box to tick: then the value is None, and the control shows what is chosen.

    Parameters
    ----------
    inner : ipywidgets.Widget
        The control; touched, it unticks the box.
    auto : bool
        Whether the box is ticked at first.
    word : str
        What it is called.

    Examples
    --------
    >>> box = AutoBox(W.IntSlider(3, 1, 9))
    >>> box.value
    >>> box.inner.value = 4
    >>> box.value
    4
    """

    value = traitlets.Any(None, allow_none=True, help="The value, None for auto.")
    disabled = traitlets.Bool(False, help="Whether it can be moved.")

    def __init__(self, inner: W.Widget, *, auto: bool = True, word: str = "auto") -> None:
        self.inner = inner
        self.box = W.ToggleButton(
            auto,
            description=word,
            tooltip=f"{inner.description}: chosen by the analysis",
            layout=W.Layout(
                width="auto", height="22px", margin="3px 0 0 0", padding="0 4px", flex="0 0 auto"
            ),
        )
        self._showing = False
        self._known: Any = None
        inner.layout.flex = "1 0 auto"  # else what is beside it lies over it
        inner.layout.width = "auto"
        inner.layout.min_width = "0"
        super().__init__([inner, self.box])
        self.value = None if auto else inner.value
        inner.observe(self._moved, "value")
        self.box.observe(self._ticked, "value")
        self.observe(self._set, "value")
        for part in (inner, self.box):
            traitlets.dlink((self, "disabled"), (part, "disabled"))

    @property
    def description(self) -> str:
        """What the control is called."""
        return str(self.inner.description)

    def resolve(self, value: Any) -> None:
        """Show what "auto" came to; the value stays None."""
        if self.value is None and value is not None:
            self.show(value)

    def show(self, value: Any, *, widen: bool = True) -> None:
        """Show a value in the control; that of the knob stays."""
        self._showing = True
        try:
            place(self.inner, value, widen=widen)
            self._known = self.inner.value
        finally:
            self._showing = False

    def _moved(self, change: Any) -> None:
        if not self._showing and not self._echo(change["new"]):
            self._known = None  # moved by hand: whatever comes next is no echo
            self.value = change["new"]

    def _echo(self, value: Any) -> bool:
        """Tell whether the front end sends back what it was told to show, rounded to its step."""
        known, step = self._known, getattr(self.inner, "step", None)
        if known is None or not isinstance(value, float) or not step:
            return False
        if isinstance(self.inner, W.FloatLogSlider):
            return abs(math.log(value / known, self.inner.base)) < 0.51 * step
        return abs(value - known) < 0.51 * step

    def _ticked(self, change: Any) -> None:
        if not self._showing:
            self.value = None if change["new"] else self.inner.value

    def _set(self, change: Any) -> None:
        self._showing = True
        try:
            self.box.value = change["new"] is None
        finally:
            self._showing = False
        if change["new"] is not None and self.inner.value != change["new"]:
            self.show(change["new"])


class Stops(W.SelectionSlider):
    """A slider over chosen numbers; any other becomes one of them when it is set.

    Parameters
    ----------
    values : sequence of float
        Where it stops.
    value : float
        Where it begins.
    write : callable
        Writes a number.
    **named
        Of `ipywidgets.SelectionSlider`.

    Examples
    --------
    >>> stops = Stops((1.0, 2.0), 2.0)
    >>> stops.take(1.5)
    >>> stops.options
    (('1', 1.0), ('1.5', 1.5), ('2', 2.0))
    """

    options: Any

    def __init__(
        self,
        values: Iterable[float],
        value: float,
        write: Callable[[float], str] = "{:.3g}".format,
        **named: Any,
    ) -> None:
        self._values, self._write = tuple(values), write
        self._bounds = (-math.inf, math.inf)
        super().__init__(options=self._offered(value), value=value, **named)
        self.add_class("rw-stops")  # whose number cannot be typed

    @property
    def stops(self) -> tuple[float, ...]:
        """Where it stops now."""
        return tuple(value for _, value in self.options)

    def take(self, value: float) -> None:
        """Go to a value, wherever it is."""
        if value not in self.stops:
            low, high = self._bounds
            if not low <= value <= high:
                raise ValueError("it is out of range")
            self._show(value)
        self.value = value

    def offer(self, values: Iterable[float], write: Callable[[float], str]) -> None:
        """Stop elsewhere and write differently; the value stays."""
        self._values, self._write = tuple(values), write
        self._show(self.value)

    def limit(self, low: float, high: float) -> None:
        """Stop within these bounds only."""
        self._bounds = (low, high)
        self._show(min(max(self.value, low), high))

    def _show(self, value: float) -> None:
        count = len(self.options)
        offer(self, self._offered(value), value)
        if len(self.options) != count:
            # The page keeps the old end of the range until it makes the slider anew.
            self.orientation = "vertical"
            self.orientation = "horizontal"

    def _offered(self, value: float) -> tuple[tuple[str, float], ...]:
        low, high = self._bounds
        values = {one for one in (*self._values, value) if low <= one <= high}
        return tuple((self._write(one), one) for one in sorted(values))


def offer(control: Any, options: Iterable[Any], value: Any) -> None:
    """Let a selection have these options, with one of them chosen."""
    options = tuple(options)
    if tuple(control.options) != options:
        with control.hold_sync():
            control.options = options
            control.value = value
    control.value = value


def place(control: W.Widget | Marked, value: Any, *, widen: bool = False) -> None:
    """Put a value into a control.

    Parameters
    ----------
    control : ipywidgets.Widget
        Any with a value.
    value : object
        In the knob's normal form.
    widen : bool
        Whether a slider that offers less may be widened.

    Raises
    ------
    ValueError
        The control cannot have it.
    """
    if isinstance(control, AutoBox):
        if value is not None:
            control.show(value, widen=widen)
        control.value = value
        return
    target = control
    if hasattr(target, "take"):
        target.take(value)
    elif isinstance(target, Picker):  # there are no more images than it offers
        (value,) = _several(value)
    elif widen and value is not None:
        _widen(target, value)
    control.value = value
    seen = control.value
    if seen != value and set(_several(seen)) != set(_several(value)):
        raise ValueError("it is out of range")


def _widen(control: W.Widget, value: Any) -> None:
    if isinstance(control, W.FloatLogSlider):
        exponent = math.log(value, control.base)
        control.min = min(control.min, exponent - 1e-9)
        control.max = max(control.max, exponent + 1e-9)
    elif isinstance(control, W.Dropdown):
        if value not in [option[1] for option in control.options]:
            control.options = [*control.options, (str(value), value)]
    elif hasattr(control, "max") and isinstance(value, int | float):
        control.min, control.max = min(control.min, value), max(control.max, value)


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def narrow(control: W.Widget, low: Any, high: Any) -> None:
    """Let a control offer values from ``low`` to ``high`` only."""
    if isinstance(control, AutoBox):
        control = control.inner
    if isinstance(control, Stops):
        control.limit(low, high)
        return
    if isinstance(control, Marked):
        control.bounds = (low, high)
        return
    if isinstance(control, W.FloatLogSlider):  # has exponents for its bounds
        low, high = (math.log(value, control.base) for value in (low, high))
        low, high = low - 1e-9, high + 1e-9  # so that the bounds themselves are inside
    with control.hold_trait_notifications():
        control.min, control.max = low, high


def has_range(control: W.Widget) -> bool:
    """Tell whether a control can be narrowed."""
    inner = control.inner if isinstance(control, AutoBox) else control
    return isinstance(inner, Stops | Marked) or hasattr(inner, "max")


def range_of(control: W.Widget) -> str:
    """Say what a control takes."""
    inner = control.inner if isinstance(control, AutoBox) else control
    auto = ", or None" if isinstance(control, AutoBox) else ""
    if hasattr(inner, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in inner.options]
        return "one of " + ", ".join(map(repr, values)) + auto
    if isinstance(inner, Marked):
        low_high = "{:.3g} to {:.3g}".format(*inner.bounds) if inner.bounds else ""
        return low_high or "what can be chosen in the picture, or None"
    if isinstance(inner, W.FloatLogSlider):
        return f"{inner.base**inner.min:.3g} to {inner.base**inner.max:.3g}{auto}"
    if hasattr(inner, "max"):
        return f"{inner.min} to {inner.max}{auto}"
    return f"values of a {type(inner).__name__}{auto}"
