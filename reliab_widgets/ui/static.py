"""The copy of a widget that a notebook keeps for readers without a kernel."""

from __future__ import annotations

import base64
import html
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from IPython.display import DisplayHandle
from matplotlib.figure import Figure

from ..core import drawing
from ..core.wording import typeset

if TYPE_CHECKING:
    from .explorer import Explorer

REST = 1.0
"""Seconds without a new picture after which the copy becomes that of the last one."""


class StaticCopy:
    """Picture and sentence as an output of their own, which a page with the live widget hides.

    Bringing an output up to date draws it anew: what stands in the widget's own output would
    blink, and lose the focus.

    Parameters
    ----------
    explorer : Explorer
        Of what.
    """

    def __init__(self, explorer: Explorer) -> None:
        self._explorer, self._name = explorer, f"rw-{uuid4().hex}"
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

    def display(self) -> None:
        """Put it into the running cell; from now on it follows the widget."""
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
        self._timer = threading.Timer(REST, self._explorer.guard, [self._update])
        self._timer.daemon = True
        self._timer.start()

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
