"""What opens below the picture of a transfer analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.wording import counted
from ...ui.gallery import Framed, Gallery
from ...ui.panels.images import Images
from . import sentences
from .compute import Item, changed
from .result import Transfer

if TYPE_CHECKING:
    from .widget import TransferWidget


class Pair(Images):
    """The images of a pair: as they are and changed, with the answers of both networks."""

    name = "images of this pair"
    question = "What did the change do to these images?"
    explorer: TransferWidget

    def made(self) -> Any:
        """Return the images as they are, and below them the changed ones."""
        self.after = Gallery("image", lambda key: None)
        return W.VBox([super().made(), self.after])

    def show(self, result: Transfer) -> None:
        """Show the images that the victim gets right, those that fool it first."""
        views = self.explorer.views()
        place, kind = result.at(views["epsilon"]), views["kind"]
        row, column = result.cell(views["cell"])
        led = result.fooled(kind)[row, place, column]
        right = np.flatnonzero(result.right[column])
        rows = right[np.argsort(~led[right], kind="stable")]
        on = sentences.source(kind, result.networks[row])
        victim = result.networks[column]
        told = f"Made on {on}, shown to {victim}: {int(led.sum()):,} of {counted(len(rows))} fooled"

        def framed(some: slice) -> list[Framed]:
            those = rows[some]
            self.after.fill(self._changed(result, those, place, kind, (row, column)))
            return [_as_it_is(result, it, column, self.explorer.subject.images) for it in those]

        self.after.layout.display = "" if len(rows) else "none"
        self.fill((id(result), place, kind, row, column), told, len(rows), framed)

    def _changed(
        self, result: Transfer, rows: np.ndarray, place: int, kind: str, cell: tuple[int, int]
    ) -> list[Framed]:
        """Make the changed images once more: a result keeps answers only."""
        row, column = cell
        positions = tuple(result.index[rows].tolist())
        item = Item(kind, row, float(result.epsilons[place]), positions)
        images = changed(self.explorer.setup(), item).cpu().numpy()
        answers = result.answers[result.kinds.index(kind), :, place]
        made = []
        for image, k in zip(images, rows.tolist(), strict=True):
            here, home = (int(answers[row, it, k]) for it in (column, row))
            led = bool(result.fooled(kind)[row, place, column, k])
            victim, source = result.networks[column], result.networks[row]
            title = f"{victim}: {result.classes[here]}"
            caption = f"{source}: {result.classes[home]}"
            words = f"changed image {result.index[k]}: {title}; {caption}"
            made.append(Framed(image, short(title, 24), short(caption, 24), words, "", led))
        return made


def _as_it_is(result: Transfer, k: int, column: int, images: Any) -> Framed:
    image, name = int(result.index[k]), str(result.classes[result.truth[k]])
    caption = f"image {image}, as it is"
    words = f"image {image}: {name}, and {result.networks[column]} says so"
    return Framed(images[image].numpy(), short(name, 24), caption, words)
