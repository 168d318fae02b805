"""The copy of a widget that a notebook keeps for readers without a kernel."""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from ..core import drawing
from ..core.wording import typeset

WAIT = 3.0
"""Seconds that showing a widget waits for its first picture, so that a kernel that ends with this
cell has shown one."""
REST = 1.0
"""Seconds without a new picture after which the copy becomes that of the last one."""


class StaticCopy:
    """Picture and sentence as an output of their own, which a page with the live widget hides.

    Bringing an output up to date draws it anew: what stands in the widget's own output would
    blink, and lose the focus.

    Parameters
    ----------
    guard : callable
        Does something and shows its error.
    """

    def __init__(self, guard: Callable[[Callable[[], object]], object]) -> None:
        self._guard, self._name = guard, f"rw-{uuid4().hex}"
        self._sentence, self._shown = "There is no picture yet.", None
        self._output: DisplayHandle | None = None
        self._timer: threading.Timer | None = None
        self.ready = threading.Event()
        """Whether there has been a picture, or an error."""
        self.hiding = (
            f"<style>.{self._name}, .jp-OutputArea-child:has(.{self._name}) {{display: none}}"
            "</style>"
        )
        """What hides it, to be put into the live widget."""

    def display_with(self, widget: Any, bundle: Any) -> None:
        """Put a widget and it into the running cell; from now on it follows the widget.

        Parameters
        ----------
        widget : ipywidgets.Widget
            Of which it is the copy.
        bundle : dict, or a tuple that begins with one
            What a page shows of the widget.
        """
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = f"Run this cell to use its {type(widget).__name__}."
        self.ready.wait(WAIT)
        display(data, raw=True)
        self._output = DisplayHandle(self._name)
        self._output.display(content(self._sentence, self._shown, self._name), raw=True)

    def follow(self, sentence: str, shown: Any) -> None:
        """Become the copy of a picture in a rest of work; what is no picture is left out."""
        self._sentence, self._shown = sentence, shown
        self.ready.set()
        if self._output is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(REST, self._guard, [self._update])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Follow nothing any more; what stands in the notebook stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._output = self._shown = None

    def _update(self) -> None:
        if self._output is not None:
            self._output.update(content(self._sentence, self._shown, self._name), raw=True)


def content(sentence: str, shown: Any, name: str) -> dict[str, str]:
    """Return a finding in words, and the picture it belongs to, as outputs of a cell.

    Examples
    --------
    >>> content("One half is right.", None, "rw-1")
    {'text/plain': 'One half is right.'}
    """
    words = typeset(sentence)
    if not isinstance(shown, Figure):
        return {"text/plain": words}
    png = base64.b64encode(drawing.png(shown, 120)).decode()
    told = html.escape(words)
    image = f'<img src="data:image/png;base64,{png}" alt="{told}" width="{drawing.WIDEST}">'
    return {
        "text/plain": words,
        "image/png": png,
        "text/html": f'<figure class="{name}">{image}<figcaption>{told}</figcaption></figure>',
    }
