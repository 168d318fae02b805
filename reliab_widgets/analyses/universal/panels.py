"""What opens below the picture of a universal analysis."""

from __future__ import annotations

import numpy as np

from ...core.drawing import short
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from .result import Universal


class Fooled(Images):
    """The images for which the pattern does what it is made for, with the pattern on them."""

    name = "images it fools"
    question = "Which images does it fool?"

    def show(self, result: Universal) -> None:
        """Show them, those first that noise of that norm leaves as they are."""
        mine, noise = (result.hits(it)[-1] for it in ("pattern", "random"))
        rows = np.flatnonzero(mine)
        rows = rows[np.argsort(noise[rows], kind="stable")]
        told = f"With the pattern on them: {len(rows):,} of {result.n:,} measured"
        subject = self.explorer.subject

        def framed(some: slice) -> list[Framed]:
            return [_framed(result, int(row), subject.images) for row in rows[some]]

        self.fill(id(result), told, len(rows), framed)


def _framed(result: Universal, row: int, images: object) -> Framed:
    index = int(result.index[row])
    before, after = (str(result.classes[it]) for it in result.answers[0, [0, -1], row])
    image = images[index].numpy() + result.pattern  # type: ignore[index]
    title, caption = short(f"{before} → {after}", 22), f"image {index}"
    return Framed(image, title, caption, f"{caption}: {before} becomes {after}", "", True)
