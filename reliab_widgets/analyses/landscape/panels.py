"""What opens below the picture of a landscape analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.drawing import short
from ...core.wording import grey_levels
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from .result import KINDS, Landscape
from .sentences import nats


class Steepest(Images):
    """The images whose predictions can be moved furthest, of those that were asked for."""

    name = "steepest images"
    question = "Around which images is it steepest?"

    def choose(self, key: str) -> None:
        """Look at the surroundings of an image."""
        self.explorer.settings.move("index", int(key))

    def show(self, result: Landscape) -> None:
        """Show the images, the largest divergence first."""
        kind = "ascent" if len(result.of("ascent")) else "search"
        found = result.divergence[KINDS.index(kind)]
        order = np.argsort(-np.nan_to_num(found, nan=-1), kind="stable")[: result.known]
        if result.space == "weights" or result.n == 1:
            order = order[:0]
            told = "Choose “mean over” several images, and move the image: then they are ranked."
        else:
            within = f"±{grey_levels(result.epsilon)}"
            told = f"Largest divergence found within {within}; a click looks around an image"
        subject = self.explorer.subject

        def framed(some: slice) -> list[Framed]:
            return [
                Framed(
                    subject.images[int(result.index[k])].numpy(),
                    f"{nats(float(found[k]))} nats",
                    short(f"image {result.index[k]}, {_truth(subject, result, k)}", 24),
                    f"image {result.index[k]}: largest divergence found {found[k]:.3g} nats",
                    str(result.index[k]),
                )
                for k in order[some].tolist()
            ]

        self.fill((id(result), result.known), told, len(order), framed, str(result.image))


def _truth(subject: Any, result: Landscape, k: int) -> str:
    return str(result.classes[int(subject.labels[int(result.index[k])])])
