"""The channels of a layer: clean, attacked and under noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from ...core.drawing import short
from ...core.style import (
    BLUE,
    BLUE_TINT,
    GREY,
    INK,
    LINES,
    ORANGE,
    ORANGE_TINT,
    PAPER,
    SIGNED,
    SIGNED_DARK,
    WIDTH,
    Sheet,
)

if TYPE_CHECKING:
    from .result import Channels

SIDE = 150
SHOWN = 8
"""How many channels are listed."""


class Maps(Sheet):
    """One channel of a layer, clean, attacked, under noise; and those that change most."""

    height = 262

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.title, self.detail = self.heading(0), self.label(0, 33)
        self.slots = []
        names = ("Clean", "Attacked", "Same-sized noise")
        for left, name in zip((0, 166, 332), names, strict=True):
            heading = self.heading(left, name, 60)
            image = self._pair((left, left + SIDE, 68 + SIDE, 68))
            frame = self.page.add_patch(
                Rectangle((left, 68), SIDE, SIDE, facecolor="#ffffff01", edgecolor=LINES, lw=1)
            )
            self.slots.append((heading, image, frame, self.text(left + 75, 150, ha="center")))
        _colour(self._pair((0, SIDE, 233, 226)), np.linspace(0, 1, 150)[None])
        self.page.set(xlim=(0, WIDTH), ylim=(self.height, 0), aspect="auto")
        self.scale = [
            self.label(x, 250, ha=side)
            for x, side in ((0, "left"), (75, "center"), (SIDE, "right"))
        ]
        self.about = self.label(166, 238)
        self.heading(520, "Channels that change most", 60)
        self.text(WIDTH - 66, 60, "▲ attack", color=ORANGE, ha="right", fontweight="bold")
        self.text(WIDTH, 60, "□ noise", color=GREY, ha="right", fontweight="bold")
        self.foot = self.label(600, 250)
        self.rows = [self._make_row(80 + 19.5 * k) for k in range(SHOWN)]

    def _pair(self, box: tuple[float, float, float, float]) -> tuple[AxesImage, AxesImage]:
        """Make a place for pixels, as on a white page and as on a dark one."""
        empty = np.zeros((1, 1, 3), np.uint8)
        light, dark = (self.page.imshow(empty, extent=box, interpolation="none") for _ in range(2))
        self.twin(light, dark)
        return light, dark

    def _make_row(self, y: float) -> tuple[Any, ...]:
        page = self.page
        row = page.add_patch(Rectangle((514, y - 9.5), WIDTH - 514, 19, color=BLUE_TINT, lw=0))
        track = page.add_patch(Rectangle((600, y - 2.5), 0, 5, color=ORANGE_TINT, lw=0))
        (noise,) = page.plot([], [], "s", ms=7, mfc=PAPER, mec=GREY, mew=1.4, zorder=3)
        (attack,) = page.plot([], [], "^", ms=10, color=ORANGE, mec=PAPER, mew=1, zorder=4)
        target = page.add_patch(
            Rectangle((514, y - 9.5), WIDTH - 514, 19, facecolor=PAPER, alpha=0.004, lw=0, zorder=9)
        )
        name, value = self.text(520, y + 4), self.label(0, y + 4)
        return row, track, noise, attack, target, name, value

    def show(
        self, seen: Channels, names: Sequence[str], chosen: int, told: tuple[str, str]
    ) -> None:
        """Draw the channel at a place of the order, and the first places."""
        self.title.set_text(told[0])
        self.detail.set_text(told[1])
        maps = [it[chosen] for it in (seen.clean, seen.adversarial, seen.random)]
        sizes = np.abs(np.stack(maps))
        sizes = sizes[np.isfinite(sizes)]
        most = float(np.quantile(sizes, 0.99)) if len(sizes) else 0.0
        for (_, image, frame, text), values in zip(self.slots, maps, strict=True):
            shares = 0.5 + values / (2 * most) if most else np.full(values.shape, 0.5)
            by = max(1, SIDE // max(values.shape))
            _colour(image, np.clip(shares, 0, 1).repeat(by, axis=0).repeat(by, axis=1))
            alone = values.size == 1
            text.set_text(f"{values.item():.3g}".replace("-", "−") if alone else "")
            dark = alone and abs(values.item()) > 0.6 * most
            text.set(color=PAPER if dark else "#1f2934", fontsize=16)
            self.hover(frame, f"{seen.layer}, {names[chosen]}: mean {values.mean():.3g}")
        ends = (f"−{most:.2g}", "0", f"+{most:.2g}")
        for text, words in zip(self.scale, ends, strict=True):
            text.set_text(words)
        self.about.set_text(f"{_channel(names[chosen])}, one scale for the three, feature units")
        self.foot.set_text("change from clean, rms in feature units")
        self._list(seen, names, chosen)

    def _list(self, seen: Channels, names: Sequence[str], chosen: int) -> None:
        count = len(names)
        first = min(max(chosen - SHOWN + 1, 0), max(count - SHOWN, 0))
        top = max(float(seen.change.max()), float(seen.control.max()), 1e-12)
        for k, (row, track, noise, attack, target, name, value) in enumerate(self.rows):
            rank = first + k
            for artist in (row, track, noise, attack, target, name, value):
                artist.set_visible(rank < count)
            if rank >= count:
                continue
            row.set_visible(rank == chosen)
            y = 80 + 19.5 * k
            change, control = float(seen.change[rank]), float(seen.control[rank])
            x, at = (600 + 216 * it / top for it in (change, control))
            track.set_width(x - 600)
            noise.set_data([at], [y])
            attack.set_data([x], [y])
            name.set(text=short(names[rank], 10), fontweight="bold" if rank == chosen else "normal")
            name.set_color(BLUE if rank == chosen else INK)
            value.set(x=max(x, at) + 12, text=f"{change:.2g}")
            words = (
                f"{_channel(names[rank])}: changed by {change:.3g} (rms), by noise {control:.3g}"
            )
            self.hover(target, words, f"channel:{rank}")


def _colour(pair: tuple[AxesImage, AxesImage], shares: np.ndarray) -> None:
    """Paint shares of the scale, (H, W) from 0 to 1."""
    for image, colours in zip(pair, (SIGNED, SIGNED_DARK), strict=True):
        image.set_data((colours(shares)[..., :3] * 255).round().astype(np.uint8))


def _channel(name: str) -> str:
    return f"channel {name}" if name.isdigit() else name
