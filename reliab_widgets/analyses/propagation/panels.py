"""A part of the propagation widget: the channels of a layer."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.pixels import in_cells
from ...core.subject import Subject
from ...ui import thumbnails
from .compute import channels
from .result import Channels, Propagation

SHOWN = 7
"""How many channels are shown."""


class ChannelMaps:
    """The channels of a layer for the first image: clean, attacked, and what the attack changed.

    Parameters
    ----------
    subject : Subject
        On which results are computed.
    guard : callable
        Does something that may fail, and shows how.

    Attributes
    ----------
    slider : ipywidgets.IntSlider
        The rank of the channel that is shown large.
    widget : ipywidgets.HTML
        The maps.
    """

    def __init__(self, subject: Subject, guard: Callable[[Callable[[], object]], None]) -> None:
        self._subject = subject
        self._seen: tuple[Propagation, Channels] | None = None
        tip = "Rank of the channel: 1 changes most"
        self.slider = W.IntSlider(1, 1, 2, description="channel", tooltip=tip)
        self.slider.layout.width, self.slider.style.description_width = "146px", "54px"
        self.widget = W.HTML(layout=W.Layout(height="66px"))
        self.slider.observe(lambda _: guard(self._draw), "value")

    def show(self, result: Propagation, layer: str) -> None:
        """Show the channels of a layer; on the worker, where they are computed."""
        if self._seen is None or self._seen[0] is not result or self._seen[1].layer != layer:
            self._seen = result, channels(self._subject, result, layer)
        self.slider.max = max(len(self._seen[1].channel), 2)
        self._draw()

    def _draw(self) -> None:
        if self._seen is None:
            return
        result, seen = self._seen
        place = min(self.slider.value, len(seen.channel)) - 1
        names = _names(result, seen)
        clean, attacked = seen.clean[place], seen.adversarial[place]
        low, high = (float(f([f(clean), f(attacked)])) for f in (np.min, np.max))
        most = float(np.abs(seen.adversarial - seen.clean).max())
        image = f"image {result.index[0]}, {seen.layer}, {names[place]}"
        maps = [
            _map(clean, low, high, "clean", f"{image}, clean"),
            _map(attacked, low, high, "adversarial", f"{image}, adversarial"),
            _map(attacked - clean, -most, most, "difference", f"{image}, difference", signed=True),
            '<div style="display: inline-block; vertical-align: top">',
            thumbnails.scale(low, high, "clean and adversarial"),
            "<br>",
            thumbnails.scale(-most, most, "difference, all channels alike", signed=True),
            "</div>",
        ]
        for k in range(min(SHOWN, len(seen.channel))):
            title = (
                f"{seen.layer}, {names[k]}: changed by {seen.change[k]:.3g} (rms), by random noise "
                f"{seen.control[k]:.3g}; below: the mean change in % of the clean map's rms"
            )
            change = seen.adversarial[k] - seen.clean[k]
            caption = f"{short(names[k], 8)}\n{_share(change, seen.clean[k])}"
            maps.append(_map(change, -most, most, caption, title, signed=True, side=34))
        self.widget.value = thumbnails.strip(maps)


def _names(result: Propagation, seen: Channels) -> list[str]:
    if seen.layer in ("logits", "probabilities"):
        return [result.classes[number] for number in seen.channel]
    if seen.layer == "input" and len(seen.channel) == 3:
        return [("red", "green", "blue")[number] for number in seen.channel]
    return [f"#{number}" for number in seen.channel]


def _share(change: np.ndarray, clean: np.ndarray) -> str:
    size = np.sqrt(np.mean(clean**2))
    return f"{change.mean() / size * 100:+z.0f} %".replace("-", "−") if size else "was 0"


def _map(
    values: np.ndarray,
    low: float,
    high: float,
    caption: str,
    title: str,
    *,
    signed: bool = False,
    side: int = 48,
) -> str:
    stride = -(-max(values.shape) // (2 * side))
    colours = thumbnails.coloured(values[::stride, ::stride], low, high, signed=signed)
    # Details on demand for the large maps: the mean of each part.
    cells = in_cells(values) / in_cells(np.ones_like(values)) if side == 48 else None
    return thumbnails.thumbnail(colours, caption, title, side, cells)
