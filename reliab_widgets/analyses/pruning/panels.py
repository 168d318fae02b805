"""What stands below the picture of a pruning analysis: images that flip, and an explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.engine import Recent
from ...core.subject import Subject
from ...ops.networks.untrained import untrained
from ...ops.pruning.sweep import explanation
from ...ops.statistics.agreement import spearman
from ...ui import thumbnails
from .result import Pruning

SHOWN = 5
"""How many flipped images are shown."""
KEPT = 64
"""How many maps are kept."""


class Flips:
    """Images whose prediction changes: a strip of them, and a menu that takes one.

    Parameters
    ----------
    subject : Subject
        Whose images they are.
    choose : callable
        Called with the image that is taken.
    """

    def __init__(self, subject: Subject, choose: Callable[[int], object]) -> None:
        self._subject, self._choose = subject, choose
        self._image = -1
        self.menu = W.Dropdown(
            options=[("none", -1)],
            description="flips",
            tooltip="Take one of the images whose prediction changes",
            layout=W.Layout(width="auto"),
            style={"description_width": "70px"},
        )
        self.menu.observe(self._taken, "value")
        self.widget = W.HTML(layout=W.Layout(height="72px", flex="1 1 200px", overflow="hidden"))

    def show(self, result: Pruning, level: float, image: int) -> None:
        """Show what flips at a level, and whether the chosen image does."""
        place = result.at(level)
        rows = np.flatnonzero(result.flipped[0, place])
        before, after = (result.logits[0, k].argmax(-1) for k in (0, place))
        options = [(f"{len(rows)} of {result.n}", -1)]
        for row in rows:
            names = [result.classes[answers[row]] for answers in (before, after)]
            options.append((f"{result.index[row]}: {' → '.join(names)}", int(result.index[row])))
        self._image = image
        self.menu.options = options
        self.menu.value = image if image in result.index[rows] else -1
        self.widget.value = (
            self._strip(result, place, rows, before, after)
            if len(rows)
            else f"{level:.0%}: no prediction changes."
        )

    def _taken(self, change: Any) -> None:
        # What the menu is told to show is the chosen image already.
        if change["new"] not in (None, -1, self._image):
            self._choose(change["new"])

    def _strip(
        self,
        result: Pruning,
        place: int,
        rows: np.ndarray,
        before: np.ndarray,
        after: np.ndarray,
    ) -> str:
        sure = result.probabilities(place).max(1)
        strip = []
        for row in rows[np.argsort(-sure[rows], kind="stable")][:SHOWN]:
            names = [result.classes[answers[row]] for answers in (before, after)]
            marks = [
                "✓" if answers[row] == result.truth[row] else "✗" for answers in (before, after)
            ]
            image = int(result.index[row])
            strip.append(
                thumbnails.thumbnail(
                    self._subject.images[image].numpy(),
                    f"{marks[0]}{short(names[0], 8)}\n→{marks[1]}{short(names[1], 8)}",
                    f"image {image}: is {result.classes[result.truth[row]]}, was {names[0]}, "
                    f"is now {names[1]}, {sure[row]:.0%} sure",
                    34,
                )
            )
        right = [int((answers[rows] == result.truth[rows]).sum()) for answers in (before, after)]
        words = f"{len(rows)} of {result.n} flip:<br>{right[0]} were right,<br>{right[1]} are now"
        head = f'<figure style="width: 92px; text-align: left">{words}</figure>'
        return thumbnails.strip([head, *strip])


class Asked(NamedTuple):
    """Whose maps are to be seen: of which level of a result, of which image, why which class."""

    result: Pruning
    level: float
    image: int
    target: int


class Explanation:
    """Maps of one image under the whole network, the pruned one, and an untrained one.

    Parameters
    ----------
    subject : Subject
        With the whole network.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._maps = Recent(KEPT)
        self._asked: Asked | None = None
        self.widget = W.HTML(layout=W.Layout(height="72px", flex="0 0 292px"))

    def show(self, asked: Asked | None = None) -> bool:
        """Show what is asked for, or was asked for last; False if it must be computed first."""
        self._asked = asked = asked or self._asked
        assert asked is not None
        if not asked.result.has_networks:
            without = "The weights of fine-tuned networks are not kept in a file: no map of them."
            self.widget.value = "" if asked.result.criterion == "magnitude" else without
            return True
        keys = self._keys(asked)
        if not all(key in self._maps for key in keys.values()):
            # Not those of another level, or of another order of the filters.
            self.widget.value = f"The maps of image {asked.image} at {asked.level:.0%} follow."
            return False
        self.widget.value = self._strip(asked, {name: self._maps[keys[name]] for name in keys})
        return True

    def compute(self) -> None:
        """Explain what was asked for last; this cuts a network, and takes its time."""
        asked = self._asked
        assert asked is not None
        result, level = asked.result, asked.level
        networks: tuple[Callable[[], Subject], ...] = (
            lambda: self._subject,
            lambda: result.variant(level, self._subject),
            lambda: untrained(self._subject, result.knobs["seed"]),
        )
        for key, network in zip(self._keys(asked).values(), networks, strict=True):
            known = self._maps.pop(key, None)
            if known is None:
                known = explanation(network(), asked.image, asked.target)
            self._maps[key] = known  # the newest, so that the next one does not drive it out

    def _keys(self, asked: Asked) -> dict[str, tuple[Any, ...]]:
        """Return by what the map of each network is known, in the order in which they stand."""
        result, level = asked.result, asked.level
        tuned = result.source if result.knobs["finetune"] else ""
        pruned = (result.removed[0, result.at(level)].tobytes(), tuned)
        return {
            "whole": ("whole", asked.image),
            f"{level:.0%}": (*pruned, asked.image),
            "untrained": ("untrained", result.knobs["seed"], asked.image),
        }

    def _strip(self, asked: Asked, maps: dict[str, np.ndarray]) -> str:
        image, name = asked.image, self._subject.classes[asked.target]
        agreed = spearman(np.stack(list(maps.values())))[0]
        pixels = self._subject.images[image].numpy()
        strip = [thumbnails.thumbnail(pixels, f"image {image}", f"image {image}", 40)]
        for row, (network, values) in enumerate(maps.items()):
            # One pixel in fifty may be off the scale: a few are far above all others.
            size = float(np.quantile(np.abs(values), 0.98))
            words = _agreement(agreed[row]) if row else short(name, 8)
            colours = thumbnails.coloured(values, -size, size, signed=True)
            title = f"image {image}, why {name}: network {network}, {words}"
            if not np.ptp(values):
                title += "; flat: no pixel changes what is left"
            strip.append(thumbnails.thumbnail(colours, f"{network}\n{words}", title, 40))
        strip.append(thumbnails.scale(-1, 1, "each map's own 98 % quantile", signed=True))
        return thumbnails.strip(strip)


def _agreement(rho: float) -> str:
    """Write a rank correlation; a flat map has none."""
    return f"ρ {rho:.2f}".replace("-", "−") if np.isfinite(rho) else "ρ –"
