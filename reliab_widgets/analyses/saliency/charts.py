"""Two charts of a saliency analysis: deletion, and the way from baseline to image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.drawing import Handle, short
from ...core.pixels import rgb
from ...core.placing import names_aside, names_beside
from ...core.style import BLUE, GREY, INK, LINES, MUTED, PAPER, Sheet
from ...core.wording import percent, typeset
from . import sentences
from .marks import MOST
from .values import number, step, two

if TYPE_CHECKING:
    from .result import Saliency

FIRST: dict[str, Any] = {"color": INK, "lw": 2.2, "zorder": 3}
SECOND: dict[str, Any] = {**FIRST, "ls": (0, (4, 2))}
OTHER: dict[str, Any] = {"color": LINES, "lw": 1.4, "zorder": 2}
RANDOM: dict[str, Any] = {"color": GREY, "lw": 2, "ls": (0, (1, 1.6)), "zorder": 2.5}
RING: dict[str, Any] = {"ms": 18, "mfc": PAPER, "mec": BLUE, "mew": 2.2, "clip_on": False}
SMALL = 78
"""Side of the images between baseline and image."""


class DeletionCurves(Sheet):
    """The score while the most credited pixels are replaced; a handle, and its numbers."""

    width, height = 424, 250

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.unit = self.label(0, 14)
        axes = self.axes = self.chart(34, 30, 236, 162)
        axes.tick_params(axis="x", pad=10)
        self.pinned = [axes.plot([], [], color=INK, lw=1.2, zorder=1)[0] for _ in range(2)]
        self.others = [axes.plot([], [], **OTHER)[0] for _ in range(MOST)]
        (self.random,) = axes.plot([], [], **RANDOM)
        self.curves = [axes.plot([], [], **style)[0] for style in (FIRST, SECOND)]
        self.cut = axes.axvline(0, color=BLUE, lw=1.6, zorder=2.6)
        point: dict[str, Any] = {"ls": "", "ms": 8, "zorder": 4}
        self.points = [
            axes.plot([], [], "o", **point, mfc=face, mec=edge, mew=width)[0]
            for face, edge, width in ((INK, PAPER, 1), (PAPER, INK, 1.8))
        ]
        (self.square,) = axes.plot([], [], "s", **point, mfc=PAPER, mec=GREY, mew=1.6)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "zorder": 5}
        (self.ring,) = axes.plot([0], [0], "o", **RING, **foot)
        self.axis = self.label(34 + 118, 236, ha="center")
        self.at = self.text(292, 36, fontweight="bold", color=BLUE)
        self.rows = [
            (self.text(292, 62 + 22 * row, fontweight="bold"), self.label(334, 62 + 22 * row))
            for row in range(MOST + 1)
        ]
        self.notes = [self.label(292, y) for y in (180, 196, 218, 234)]
        self.reasons = [self.label(34, 90 + 19 * row) for row in range(3)]

    def show(
        self,
        result: Saliency,
        pinned: Saliency | None,
        pair: tuple[int, int],
        fill: str,
        fraction: float,
        preview: bool,
    ) -> None:
        """Move everything to the numbers of a result."""
        told = [b for b in range(len(result.baselines)) if not result.incomplete(b)]
        reason: tuple[str, ...] = ()
        if not result.fills:
            reason = ("Follows with the full map." if preview else "No deletion was computed.",)
        elif not told:
            reason = ("Not told: the maps do not add up.", "Take more steps (all settings).")
        self._clear(reason)
        if reason:
            return
        fill = fill if fill in result.fills else result.fills[0]
        f, shown = result.fills.index(fill), tuple(dict.fromkeys(pair))
        curves = result.morf[:, :, f].mean(0)
        self._show_axes(result, curves, 0.5 if fraction <= 0.5 else 1.0, fraction)
        self._show_curves(result, curves, told, shown, fraction)
        self._show_pinned(result, pinned, shown, fill)
        here = [float(np.interp(fraction, result.fractions, curve)) for curve in curves]
        self._show_rows(result, here, told, shown, fraction)
        areas = result.areas()[:, :, f].mean(0)
        best = min([*told, -1], key=lambda b: areas[b])
        name = "random order" if best == -1 else _map(result, best)
        words = ("lower: these pixels", "matter more", "falls first:", name)
        for text, word in zip(self.notes, words, strict=True):
            text.set_text(word)

    def _clear(self, reason: tuple[str, ...]) -> None:
        """Take away what the last result had; with a reason, leave nothing but that."""
        self.handles.clear()
        self.axes.set_visible(not reason)
        for line in (*self.curves, *self.others, *self.pinned, *self.points):
            line.set_data([], [])
        texts = (
            self.unit,
            self.at,
            self.axis,
            *self.notes,
            *(it for row in self.rows for it in row),
        )
        for text in texts:
            text.set_text("")
        for text, words in zip(self.reasons, [*reason, "", "", ""], strict=False):
            text.set_text(words)

    def _show_axes(
        self, result: Saliency, curves: np.ndarray, most: float, fraction: float
    ) -> None:
        low, high = _range(result, curves)
        self.axes.set(xlim=(0, most), ylim=(low, high))
        ticks = np.linspace(0, most, 6)
        words = [f"{100 * it:.0f}" for it in ticks[:-1]]
        self.axes.set_xticks(ticks, [*words, typeset(f"{100 * most:.0f} %")])
        _mark(self.axes, low, high)
        self.unit.set_text(_unit(result))
        self.axis.set_text("pixels replaced, most credited first")
        self.cut.set_xdata([fraction, fraction])
        self.ring.set_xdata([fraction])
        handle = Handle(self.axes, 0, most, fraction, 0.01)
        self.handle(self.ring, "fraction", f"{percent(fraction, 0)} of the pixels replaced", handle)

    def _show_curves(
        self,
        result: Saliency,
        curves: np.ndarray,
        told: Sequence[int],
        shown: tuple[int, ...],
        fraction: float,
    ) -> None:
        x = result.fractions
        self.random.set_data(x, curves[-1])
        self.square.set_data([fraction], [np.interp(fraction, x, curves[-1])])
        for curve, point, b in zip(self.curves, self.points, shown, strict=False):
            if b in told:
                curve.set_data(x, curves[b])
                point.set_data([fraction], [np.interp(fraction, x, curves[b])])
        rest = [b for b in told if b not in shown]
        for curve, b in zip(self.others, rest, strict=False):
            curve.set_data(x, curves[b])

    def _show_rows(
        self,
        result: Saliency,
        here: Sequence[float],
        told: Sequence[int],
        shown: tuple[int, ...],
        fraction: float,
    ) -> None:
        self.at.set_text(f"at {percent(fraction, 0)} replaced")
        lines = [(here[b], _map(result, b), INK if b in shown else MUTED)
                 for b in told]  # fmt: skip
        lines.append((here[-1], "random order", MUTED))
        lines.sort(key=lambda it: -it[0])
        for (value, name), line in zip(
            self.rows, [*lines, *[(0.0, "", MUTED)] * MOST], strict=False
        ):
            number_, words, colour = line
            value.set(text=f"{number_:.2f}".replace("-", "−") if words else "", color=colour)
            name.set(text=words, color=colour)

    def _show_pinned(
        self, result: Saliency, pinned: Saliency | None, shown: tuple[int, ...], fill: str
    ) -> None:
        if pinned is None or fill not in pinned.fills or pinned.score != result.score:
            return
        for name in ("index", "target"):
            if not np.array_equal(getattr(pinned, name), getattr(result, name)):
                return
        for line, b in zip(self.pinned, shown, strict=False):
            if result.baselines[b] in pinned.baselines:
                at = pinned.baselines.index(result.baselines[b]), pinned.fills.index(fill)
                line.set_data(pinned.fractions, pinned.morf[:, at[0], at[1]].mean(0))


class Way(Sheet):
    """The score on the way from each baseline to the image, with a handle; or how draws agree."""

    width, height = 424, 250
    place: ClassVar = (34, 30, 236, 162)
    """Left, top, width and height of the axes."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        figure.suppressComposite = True
        self.unit = self.label(0, 14)
        axes = self.axes = self.chart(*self.place)
        axes.tick_params(axis="x", pad=10)
        self.others = [axes.plot([], [], **OTHER)[0] for _ in range(MOST)]
        self.curves = [axes.plot([], [], **style)[0] for style in (FIRST, SECOND)]
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        self.called = [
            *(self.text(0, 0, fontweight="bold", **style) for _ in self.curves),
            *(self.label(0, 0, **style) for _ in self.others),
        ]
        self.cut = axes.axvline(1, color=BLUE, lw=1.6, zorder=2.6)
        foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "zorder": 5}
        (self.ring,) = axes.plot([1], [0], "o", **RING, **foot)
        self.axis = self.label(34 + 118, 236, ha="center")
        self.at = self.text(292, 14, fontweight="bold", color=BLUE)
        self.between, self.rims, self.names = [], [], []
        for row in range(2):
            y = 24 + 102 * row
            self.between.append(self.picture(292, y, SMALL, SMALL))
            self.between[row].set_gid(f"rw-smooth-{row}")
            rim = Rectangle((292, y), SMALL, SMALL, fc="none", ec=LINES, lw=1)
            self.page.add_patch(rim)
            self.rims.append(rim)
            self.names.append(
                [
                    self.label(292, y + SMALL + 14),
                    *(self.label(378, y + at) for at in (14, 50)),
                    *(self.text(378, y + at, fontweight="bold") for at in (30, 66)),
                ]
            )
        self.reasons = [self.label(34, 90 + 19 * row) for row in range(3)]

    def show(self, result: Saliency, pair: tuple[int, int], alpha: float) -> None:
        """Move everything to the numbers of a result."""
        shown = tuple(dict.fromkeys(pair))
        walks, sizes = result.path.shape[-1] > 0, result.convergence_size
        reason: tuple[str, ...] = ()
        if not walks and not sizes.size:
            name = sentences.capital(sentences.method(result))
            reason = (f"{name} walks no path", "from “nothing” to the image.")
        for text, words in zip(self.reasons, [*reason, "", ""], strict=False):
            text.set_text(words)
        self.axes.set_visible(not reason)
        for line in (*self.curves, *self.others):
            line.set_data([], [])
        for text in self.called:
            text.set_text("")
        self.unit.set_text("" if reason else _unit(result) if walks else "ρ of two draws")
        axis = "α: from “nothing” (0) to the image (1)" if walks else "drawn each time"
        self.axis.set_text("" if reason else axis)
        if walks:
            x, curves = np.linspace(0, 1, result.path.shape[-1]), result.path[0]
            self.axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
            self._show_curves(x, curves, shown, _range(result, curves))
            self._call(result, shown, alpha)
        elif not reason:
            x, curves = sizes.astype(float), result.convergence[0]
            self.axes.set_xticks(x[::2], [f"{size:,}" for size in sizes[::2]])
            low = float(np.nanmin(curves)) if np.isfinite(curves).any() else 0.0
            self._show_curves(x, curves, shown, (min(0.0, low), 1.0))
            self._call(result, shown, None)
        self._show_handle(walks, alpha)
        self._show_between(result, shown, alpha, walks)

    def _show_curves(
        self,
        x: np.ndarray,
        curves: np.ndarray,
        shown: tuple[int, ...],
        ends: tuple[float, float],
    ) -> None:
        self.axes.set(xlim=(x[0], x[-1]), ylim=ends)
        _mark(self.axes, *ends)
        for curve, b in zip(self.curves, shown, strict=False):
            curve.set_data(x, curves[b])
        rest = [b for b in range(len(curves)) if b not in shown]
        for curve, b in zip(self.others, rest, strict=False):
            curve.set_data(x, curves[b])

    def _call(self, result: Saliency, shown: tuple[int, ...], alpha: float | None) -> None:
        """Write beside each curve from which “nothing” it comes, away from the ring’s line."""
        left, top, wide, high = self.place
        (begin, end), (low, most) = self.axes.get_xlim(), self.axes.get_ylim()
        rest = [b for b in range(len(result.baselines)) if b not in shown]
        drawn = zip(self.curves, shown, strict=False), zip(self.others, rest, strict=False)
        lines = []
        for curve, b in chain(*drawn):
            x, y = (np.asarray(it, float) for it in curve.get_data())
            across, down = (x - begin) / (end - begin), (most - y) / (most - low)
            corners = np.stack([left + wide * across, top + high * down], axis=1)
            lines.append((corners, short(result.called(b), 12)))
        places = names_beside(lines, self.place)
        if alpha is not None:
            places = names_aside(lines, self.place, left + wide * alpha, places)
        texts = [*self.called[: len(shown)], *self.called[len(self.curves) :]]
        for text, (_, name), place in zip(texts, lines, places, strict=False):
            text.set(text=name if place else "", position=place or (0, 0))

    def _show_handle(self, walks: bool, alpha: float) -> None:
        self.handles.clear()
        for artist in (self.cut, self.ring):
            artist.set_visible(walks)
        self.at.set_text(f"at α = {alpha:.2f}" if walks else "")
        if walks:
            self.cut.set_xdata([alpha, alpha])
            self.ring.set_xdata([alpha])
            handle = Handle(self.axes, 0.0, 1.0, alpha, 1 / 16)
            self.handle(self.ring, "alpha", f"α = {alpha:.2f}", handle)

    def _show_between(
        self, result: Saliency, shown: tuple[int, ...], alpha: float, walks: bool
    ) -> None:
        for row, (image, rim, texts) in enumerate(
            zip(self.between, self.rims, self.names, strict=True)
        ):
            here = row < len(shown) and result.has_baseline
            image.set_visible(here)
            rim.set_visible(here)
            words = ("",) * 5
            if here:
                b, at = shown[row], alpha if walks else 0.0
                baseline = result.baseline_images[0, b]
                image.set_data(rgb(baseline + at * (result.images[0] - baseline)))
                words = (f"from {short(result.called(b), 14)}", *words[1:])
                if walks:
                    k = step(result, alpha)
                    credit = number(float(result.credit[0, b, k]))
                    words = (words[0], "score", "credit", two(float(result.path[0, b, k])), credit)
            for text, word in zip(texts, words, strict=True):
                text.set_text(word)


def _range(result: Saliency, values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the axis of scores."""
    if result.score == "probability":
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _mark(axes: Any, low: float, high: float) -> None:
    """Give the axis of scores its ends and its middle."""
    ticks = (low, (low + high) / 2, high)
    axes.set_yticks(ticks, [f"{it:.3g}".replace("-", "−") for it in ticks])


def _unit(result: Saliency) -> str:
    name = short(result.classes[result.target[0]], 12)
    return f"p({name})" if result.score == "probability" else f"{result.score} of {name}"


def _map(result: Saliency, b: int) -> str:
    name = short(result.called(b), 12)
    return name if len(name) > 8 else f"{name} map"
