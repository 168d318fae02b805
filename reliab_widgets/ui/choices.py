"""The controls that choose of a list: several, or one that may be None."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as W
import traitlets

from ..core.wording import counted

COUNTS = (16, 64, 256, 1000)
"""Numbers of images that are offered, besides all."""


class Choices(W.VBox):
    """Boxes to tick, in two columns: at least one, at most a few.

    Parameters
    ----------
    label : str
        What is chosen.
    options : sequence of str
        All there is.
    value : sequence of str
        What is ticked at first.
    least, most : int
        How many boxes must and may be ticked; while as many as may are, the others are locked.

    Examples
    --------
    >>> choices = Choices("fruit", ["apple", "pear", "plum"], ["pear"], most=2)
    >>> choices.value = ["plum", "apple"]
    >>> choices.value
    ('apple', 'plum')
    """

    value = traitlets.Tuple(help="What is ticked, in the order of the options.")
    disabled = traitlets.Bool(False, help="Whether the choice is given.")

    def __init__(
        self, label: str, options: Sequence[str], value: Sequence[str], *, least: int = 1, most: int
    ) -> None:
        self.options, self.least, self.most = tuple(options), least, most
        self._showing = False
        self._boxes = {
            name: W.Checkbox(
                description=name,
                tooltip=f"{label}: {name}",
                indent=False,
                layout=W.Layout(width="auto", height="20px", margin="0"),
            )
            for name in options
        }
        self.description = label
        head = W.HTML(
            html.escape(f"{label}, {least} to {most}"),
            layout=W.Layout(height="20px", margin="0 2px"),
        )
        grid = W.GridBox(
            list(self._boxes.values()),
            layout=W.Layout(
                grid_template_columns="92px 120px", margin="0 0 4px 8px", overflow="visible"
            ),
        )
        super().__init__([head, grid], layout=W.Layout(width="226px", flex="0 0 auto"))
        for box in self._boxes.values():
            box.observe(self._ticked, "value")
        self.observe(self._show, ["value", "disabled"])
        self.value = tuple(value)

    @traitlets.validate("value")
    def _possible(self, proposal: Any) -> tuple[str, ...]:
        given = tuple(proposal["value"])
        if not set(given) <= set(self.options) or not self.least <= len(set(given)) <= self.most:
            raise traitlets.TraitError(f"it is not {self.least} to {self.most} of its options")
        return tuple(name for name in self.options if name in given)

    def _ticked(self, _: Any) -> None:
        if self._showing:
            return
        now = [name for name, box in self._boxes.items() if box.value]
        if self.least <= len(now) <= self.most:
            self.value = tuple(now)
        else:  # the last one cannot be taken away
            self._show()

    def _show(self, _: Any = None) -> None:
        full = len(self.value) >= self.most
        self._showing = True
        for name, box in self._boxes.items():
            box.value = name in self.value
            box.disabled = self.disabled or (full and not box.value)
        self._showing = False


class Menu(W.Dropdown):
    """A list in which None is a choice like any other; that of ipywidgets shows nothing then.

    Examples
    --------
    >>> menu = Menu(options=[("no proof", None), ("0.1", 0.1)])
    >>> menu.value = 0.1
    >>> menu.value = None
    >>> menu.label
    'no proof'
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**({"index": 0} | named))

    @traitlets.observe("value")
    def _propagate_value(self, change: Any) -> None:
        values = [value for _, value in self._options_full]
        if change["new"] in values:
            self.index = values.index(change["new"])


def counts(most: int) -> tuple[int, ...]:
    """Return how many images a control offers to draw, where there are so many.

    Examples
    --------
    >>> counts(100)
    (16, 64, 100)
    """
    return (*(n for n in COUNTS if n < most), most)


class Counts(W.Dropdown):
    """How many images: a few numbers of them, and all there are.

    Parameters
    ----------
    most : int
        How many there are.
    value : int
        What is chosen at first, if there are so many.
    **named
        As ``ipywidgets.Dropdown`` has them.

    Examples
    --------
    >>> menu = Counts(2000, 64)
    >>> menu.limit(50)
    >>> menu.options, menu.value
    ((('16 images', 16), ('50 images', 50)), 50)
    """

    def __init__(self, most: int, value: int, **named: Any) -> None:
        value = min(value, most)
        super().__init__(options=_offered(most, value), value=value, **named)

    def limit(self, most: int) -> None:
        """Offer no more than there are of another Subject."""
        value = min(self.value, most)
        offered = _offered(most, value)
        with self.hold_sync():
            self.options = offered
            self.index = [n for _, n in offered].index(value)


def _offered(most: int, value: int) -> tuple[tuple[str, int], ...]:
    return tuple((counted(n), n) for n in sorted({*counts(most), value}))
