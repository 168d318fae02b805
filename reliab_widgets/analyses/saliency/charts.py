"""The two charts of the picture: the way from baseline to image, and deletion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...core.drawing import GREY, INK, YELLOW, plain, short
from .marks import (
    HEIGHT,
    LOWER,
    MARKS,
    SERIES,
    WIDTH,
    Canvas,
    cells_on,
    percent,
    step,
    twin,
)

if TYPE_CHECKING:
    from .result import Saliency

FLOOR = 329
"""Where the axes begin."""


class Charts:
    """The path, or how two draws agree, and the deletion curves.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where its axes are.
    canvas : Canvas
        Where its texts are.
    """

    def __init__(self, figure: Figure, canvas: Canvas) -> None:
        def chart(left: float, right: float) -> Axes:
            height = FLOOR - LOWER - 25
            box = (left / WIDTH, 1 - FLOOR / HEIGHT, (right - left) / WIDTH, height / HEIGHT)
            axes = figure.add_axes(box)
            plain(axes)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            return axes

        self.path, self.deletion = chart(38, 190), chart(494, 600)
        self.deletion.set_xlim(0, 100)
        self.deletion.set_xticks([0, 50, 100])
        self.deletion.set_xlabel("% deleted, ┄ random")
        self.lines, self.pinned, self.points = [], [], []
        for axes in (self.path, self.deletion):
            ghost: dict[str, Any] = {"color": YELLOW, "lw": 3, "alpha": 0.5}
            self.pinned.append([axes.plot([], [], **ghost)[0] for _ in SERIES])
            self.lines.append([axes.plot([], [], lw=1.5, ms=4, **style)[0] for style in SERIES])
            self.points.append(cells_on(axes))
        (self.random,) = self.deletion.plot([], [], color=GREY, lw=1.6, ls=":")
        self.here, self.cut = (
            it.axvline(1, color=INK, lw=0.9) for it in (self.path, self.deletion)
        )
        self.path_title, self.deletion_title = (canvas.text(x, LOWER, fontsize=9) for x in (2, 478))
        self.position, self.verdict = (canvas.text(x, LOWER + 16) for x in (38, 494))
        self.reason = canvas.text(38, LOWER + 29, va="top", linespacing=1.4)
        self.remaining = [canvas.text(648, LOWER + 33 + 16 * row, ha="right") for row in range(6)]

    def show(
        self, result: Saliency, pinned: Saliency | None, alpha: float, fill: str, fraction: float
    ) -> None:
        """Move everything to the numbers of a result."""
        self._show_path(result, pinned, alpha)
        self._show_deletion(result, pinned, fill, fraction)

    def _show_path(self, result: Saliency, pinned: Saliency | None, alpha: float) -> None:
        steps, sizes = result.path.shape[-1], result.convergence_size
        heading, position, reason, old = "path", "", "", []
        x, curves, points = np.array([0.0, 1.0]), np.empty((0, 2)), []
        if steps:
            x, curves = np.linspace(0, 1, steps), result.path[0]
            heading = f"path: {_score(result, 15)}"
            place = x[step(result, alpha)]
            position = f"│ α = {place:.2f}"
            self.here.set_xdata([place, place])
            self.path.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            self.path.set_xlabel("α, from baseline to image")
            points = [
                f"α = {a:.2f}: "
                + ", ".join(
                    f"{result.called(b)} {curves[b, k]:.3f}, credit {result.credit[0, b, k]:+z.3f}"
                    for b in range(len(curves))
                )
                for k, a in enumerate(x)
            ]
            if pinned is not None and pinned.path.shape[-1]:
                old = [(np.linspace(0, 1, pinned.path.shape[-1]), it) for it in pinned.path[0]]
        elif sizes.size > 1:
            x, curves = np.log2(sizes), np.nanmean(result.convergence, axis=0)
            heading = "two draws agree (Spearman)"
            self.path.set_xticks(x[::2], [f"{size}" for size in sizes[::2]])
            self.path.set_xlabel("drawn each time")
        else:
            walks = "walks no path\nfrom baseline to image:\nnothing to show here"
            reason = f"{result.method} {walks}"
        self.path.set_visible(not reason)
        self.here.set_visible(bool(position))
        for text, words in (
            (self.path_title, heading), (self.position, position), (self.reason, reason),
        ):  # fmt: skip
            text.set_text(words)
        self.path.set_xlim(x[0], x[-1])
        self._plot(0, result, x, curves, pinned, old, points)

    def _show_deletion(
        self, result: Saliency, pinned: Saliency | None, fill: str, fraction: float
    ) -> None:
        self.deletion.set_visible(bool(result.fills))
        for text in (self.deletion_title, self.verdict, *self.remaining):
            text.set_visible(bool(result.fills))
        if not result.fills:
            self.points[1].areas = []
            return
        fill = fill if fill in result.fills else result.fills[0]
        f, x = result.fills.index(fill), result.fractions * 100
        curves = result.morf[:, :, f].mean(0)
        *maps, random = result.areas()[:, :, f].mean(0)
        best = MARKS[int(np.argmin(maps))] if min(maps) < random else "┄"
        self.deletion_title.set_text(f"deletion: {_score(result, 12)}")
        self.verdict.set_text(f"fill {fill}; falls first: {best}")
        left = [float(np.interp(fraction, result.fractions, curve)) for curve in curves]
        marks = [*MARKS[: len(maps)], "┄"]
        digits = 2 if max(map(abs, left)) < 10 else 1
        rows = [f"{mark} {value:.{digits}f}" for mark, value in zip(marks, left, strict=True)]
        for text, row in zip(self.remaining, [percent(fraction), *rows, *[""] * 4], strict=False):
            text.set_text(row.replace("-", "−"))
        self.cut.set_xdata([fraction * 100] * 2)
        self.random.set_data(x, curves[-1])
        names = [*(result.called(b) for b in range(len(maps))), "random order"]
        points = [
            f"{share:.0f} % deleted: "
            + ", ".join(f"{name} {curves[b, k]:.3f}" for b, name in enumerate(names))
            for k, share in enumerate(x)
        ]
        old = []
        if pinned is not None and fill in pinned.fills:
            before = pinned.morf[:, :, pinned.fills.index(fill)].mean(0)
            old = [(pinned.fractions * 100, curve) for curve in before]
        self._plot(1, result, x, curves, pinned, old, points)

    def _plot(
        self,
        chart: int,
        result: Saliency,
        x: np.ndarray,
        curves: np.ndarray,
        pinned: Saliency | None,
        old: Sequence[tuple[np.ndarray, np.ndarray]],
        points: Sequence[str],
    ) -> None:
        """Move the lines of the path (0) or of deletion (1) and what their points say."""
        nothing: tuple[list[float], list[float]] = ([], [])
        count = len(result.baselines)
        for b, (line, ghost) in enumerate(zip(self.lines[chart], self.pinned[chart], strict=True)):
            line.set_data(*((x, curves[b]) if b < min(count, len(curves)) else nothing))
            line.set_markevery((len(x) * b // 16, max(len(x) // 4, 1)))
            same = twin(result, pinned, b) if pinned is not None and old else None
            ghost.set_data(*(nothing if same is None else old[same]))
        known = curves[np.isfinite(curves)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        if result.score == "probability" and points:
            low, high = 0.0, 1.0
        margin = 0.06 * (high - low) or 0.1
        low, high = low - margin, high + margin
        (self.path, self.deletion)[chart].set_ylim(low, high)
        sides = [x[0], *(x[1:] + x[:-1]) / 2, x[-1]]
        self.points[chart].areas = [
            ([(sides[k], high, sides[k + 1], low)], words) for k, words in enumerate(points)
        ]


def _score(result: Saliency, most: int) -> str:
    name = "p" if result.score == "probability" else result.score
    return f"{name}({short(result.classes[result.target[0]], most - len(name))})"
