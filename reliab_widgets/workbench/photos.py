"""A learner's own photograph: the file is kept beside the notebook, its class may be told later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as W

UNKNOWN = -1  # of a list: None shows nothing
PHOTOS = Path("photos")
"""Where pictures that are uploaded are kept, so that the code of the story finds them."""


class Photos(W.HBox):
    """A button that takes a picture, and a list of what it shows.

    Parameters
    ----------
    classes : sequence of str
        Names of what it may show.
    guard : callable
        Does something and shows its error.
    photograph : callable
        Given the file of a picture, and the number of its class if that is known.
    """

    def __init__(
        self,
        classes: Sequence[str],
        guard: Callable[[Callable[[], object]], None],
        photograph: Callable[[Path, int | None], object],
    ) -> None:
        self._photograph = photograph
        self._last: Path | None = None
        self.upload = W.FileUpload(
            accept="image/*",
            description="Your photo",
            tooltip="Add a picture of your own to the images",
        )
        self.upload.observe(lambda change: guard(lambda: self._take(change["new"])), "value")
        known = [("its class: not known", UNKNOWN), *((name, k) for k, name in enumerate(classes))]
        self.label = W.Dropdown(
            options=known,
            tooltip="The true class of your photo",
            layout=W.Layout(width="182px"),
        )
        self.label.observe(lambda _: guard(self._relabel), "value")
        super().__init__([self.upload, self.label])

    def _take(self, files: Any) -> None:
        for file in files:
            content = bytes(file["content"])
            path = _free(PHOTOS / Path(file["name"]).name, content)  # a page knows no folders
            PHOTOS.mkdir(exist_ok=True)
            path.write_bytes(content)
            self._last = None  # until it has been read
            self._photograph(path, self._class)
            self._last = path
        self.upload.value = ()

    def _relabel(self) -> None:
        if self._last is not None:
            self._photograph(self._last, self._class)

    @property
    def _class(self) -> int | None:
        return None if self.label.value == UNKNOWN else self.label.value


def _free(path: Path, content: bytes) -> Path:
    """Return a path at which no other file is: what is there already is not written over."""
    number, free = 2, path
    while free.exists() and free.read_bytes() != content:
        free, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return free
