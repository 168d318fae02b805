"""The picture of a saliency analysis: artists made once, moved for every new result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...core.drawing import GREY, YELLOW, Drawing, short
from ...core.pixels import edges, in_cells, outline, rgb
from .charts import Charts
from .marks import (
    HEIGHT,
    MOST,
    SERIES,
    WIDTH,
    Canvas,
    accumulated,
    colours,
    number,
    percent,
    step,
    tell,
    twin,
)
from .table import Table

if TYPE_CHECKING:
    from .result import Saliency

SIDE, TOP, STEP = 110, 19, 116
"""Of the maps, and from one to the next."""
SMALL, BELOW = 28, 134
"""Of the pictures of the baselines."""


class Maps(Drawing):
    """Image and maps above; below the path, the agreement, and the deletion curves."""

    size = (WIDTH / 100, HEIGHT / 100)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        figure.suppressComposite = True  # pixels stay pixels: none is blended into a larger image
        self.canvas = Canvas(figure)
        self._make_image()
        self._make_maps()
        self._make_bar()
        self.table = Table(self.canvas)
        self.charts = Charts(figure, self.canvas)

    def _make_image(self) -> None:
        self.original = self.canvas.image(2, TOP, SIDE, SIDE)
        self.heading = self.canvas.text(2, 9, fontsize=9)
        self.answer, self.explained = (self.canvas.text(2, BELOW + y) for y in (7, 21))
        self.labels = [
            self.canvas.text(SIDE, BELOW + y, words, ha="right")
            for y, words in ((36, "baseline alone:"), (50, "entropy in nats:"))
        ]

    def _make_maps(self) -> None:
        self.lefts = [2 + STEP * number for number in range(MOST + 1)]
        lefts = self.lefts[1:]
        self.maps = [self.canvas.image(x, TOP, SIDE, SIDE) for x in lefts]
        self.baselines = [self.canvas.image(x, BELOW, SMALL, SMALL) for x in lefts]
        self.between = [self.canvas.image(x + SMALL + 4, BELOW, SMALL, SMALL) for x in lefts]
        self.samples = [
            self.canvas.axes.plot(
                [x, x + 10, x + 20], [9] * 3, lw=1.5, ms=5, markevery=[1], **style
            )[0]
            for x, style in zip(lefts, SERIES, strict=True)
        ]
        self.names = [self.canvas.text(x + 24, 9, fontsize=9) for x in lefts]
        places = ((2 * SMALL + 8, 7), (2 * SMALL + 8, 21), (0, 36), (0, 50))
        self.captions = [[self.canvas.text(x + dx, BELOW + y) for dx, y in places] for x in lefts]
        self.frames, self.chosen = [], []
        for x in self.lefts:
            frame = Rectangle((x, TOP), SIDE, SIDE, fc="none", ec=GREY, lw=0.6)
            mark = Rectangle((x, TOP), 0, 0, fc="none", ec="#000000", lw=1.2)
            mark.set_path_effects([withStroke(linewidth=2.6, foreground="#ffffff")])
            self.canvas.axes.add_patch(frame)
            self.canvas.axes.add_patch(mark)
            self.frames.append(frame)
            self.chosen.append(mark)
        self.ghosts = [LineCollection([], colors=YELLOW, lw=1.1) for _ in lefts]
        for ghost in self.ghosts:
            self.canvas.axes.add_collection(ghost, autolim=False)
        self.grid = self.canvas.cells()
        self.alone = self.canvas.text(self.lefts[2], TOP + 24, va="top", linespacing=1.5)

    def _make_bar(self) -> None:
        x, height = self.lefts[-1] + SIDE + 8, SIDE - 16
        self.bar = self.canvas.image(x, TOP + 8, 10, height)
        self.ends = [
            self.canvas.text(x + 13, TOP + 8 + height * place, va=va, linespacing=1.15)
            for va, place in (("top", 0.0), ("center", 0.5), ("bottom", 1.0))
        ]
        self.unit = self.canvas.text(x - 4, BELOW, va="top", linespacing=1.25)

    def show(
        self,
        result: Saliency,
        pinned: Saliency | None,
        *,
        polarity: str,
        scale: str,
        clip: float,
        alpha: float,
        fill: str,
        fraction: float,
        cell: tuple[int, int] | None,
        preview: bool,
    ) -> None:
        """Move every artist to the numbers of ``result``; see `Saliency.draw`."""
        if pinned is not None and _asked(pinned) != _asked(result):
            pinned = None  # of another image, class or score: nothing to lay behind this
        maps = accumulated(result, alpha)
        self._show_image(result, preview)
        self._show_maps(result, maps, polarity, scale, clip)
        self._show_captions(result, alpha)
        self._show_grid(result, maps, cell)
        self._show_ghosts(result, pinned)
        self.table.show(result)
        self.charts.show(result, pinned, alpha, fill, fraction)

    def _show_image(self, result: Saliency, preview: bool) -> None:
        height, width = result.images.shape[2:]
        for x, image, frame in zip(
            self.lefts, (self.original, *self.maps), self.frames, strict=True
        ):
            scale = SIDE / max(height, width)
            image.set_extent((x, x + scale * width, TOP + scale * height, TOP))
            frame.set(width=scale * width, height=scale * height)
        self.original.set_data(rgb(result.images[0]))
        many = f" (1 of {len(result.index)})" if len(result.index) > 1 else ""
        self.heading.set_text(f"{'≈ ' * preview}image {result.index[0]}{many}")
        p, answer, target = (it[0] for it in (result.probabilities, result.answer, result.target))
        right = "✓" if answer == result.truth[0] else "✗"
        self.answer.set_text(f"{right} {short(result.classes[answer], 10)} {percent(p[answer])}")
        words = "is explained"
        if answer != target:
            words = f"explained: {short(result.classes[target], 8)}"
        self.explained.set_text(words)
        for text in self.labels:
            text.set_visible(result.has_baseline)

    def _show_maps(
        self, result: Saliency, maps: np.ndarray, polarity: str, scale: str, clip: float
    ) -> None:
        final, maps = _part(result.maps[0], polarity), _part(maps, polarity)
        limits = [_limit(values, clip) for values in final]
        shared = _limit(final, clip)
        for b, (image, name) in enumerate(zip(self.maps, self.names, strict=True)):
            here = b < len(maps)
            image.set_visible(here)
            self.frames[b + 1].set_visible(here)
            own = ""
            if here and scale == "map":
                own = " ±" + number(limits[b], sign=False).removeprefix("0")
            name.set_text(
                short(result.called(b), (12 if own else 13) - len(own)) + own if here else ""
            )
            if here:
                image.set_data(colours(maps[b], limits[b] if own else shared, polarity))
        low = 0 if polarity == "magnitude" else -1
        bar = np.linspace(1, low, 65)[:, None]
        self.bar.set_data(colours(bar, 1.0, polarity))
        ends = (bar[0, 0], bar[32, 0], bar[-1, 0])
        words = [number(end * shared) for end in ends]
        if scale != "shared":
            words = [{1.0: "+own", 0.5: "½ own", 0.0: "0"}.get(end, "−own") for end in ends]
        if low:
            words = [f"{words[0]}\nsupports", "0", f"opposes\n{words[2]}"]
        for text, word in zip(self.ends, words, strict=True):
            text.set_text(word)
        unit = "prob." if result.score == "probability" else result.score
        kind = "one scale" if scale == "shared" else "own scales"
        self.unit.set_text(f"credit in\n{unit}\n{kind}\nclip {clip:g} %")

    def _show_captions(self, result: Saliency, alpha: float) -> None:
        given, image = result.has_baseline, result.images[0]
        walks = result.path.shape[-1] > 0 and alpha < 1
        for b, texts in enumerate(self.captions):
            here = b < len(result.baselines)
            self.samples[b].set_visible(here)
            self.baselines[b].set_visible(here and given)
            self.between[b].set_visible(here and given and walks)
            words = ["", "", "", ""]
            if here and given:
                baseline = result.baseline_images[0, b]
                self.baselines[b].set_data(_framed(baseline))
                self.between[b].set_data(_framed(baseline + alpha * (image - baseline)))
                words = [*self._sums(result, b, alpha), *_neutrality(result, b)]
            for text, word in zip(texts, words, strict=True):
                text.set_text(word)
        self.alone.set_text(
            "" if given else f"{result.method} compares with nothing:\nno baseline, so one map"
        )

    def _sums(self, result: Saliency, b: int, alpha: float) -> tuple[str, str]:
        gap = float(result.gap[0, b])
        if np.isnan(gap):
            return "", ""
        due = float(result.scores_clean[0] - result.scores_baseline[0, b])
        self.hover(
            self.captions[b][0],
            f"sum of the map {due + gap:.3f}, score of the image minus score of the baseline "
            f"{due:.3f}",
        )
        if alpha < 1:
            return "so far", number(result.credit[0, b, step(result, alpha)])
        share = abs(gap / due) if due else np.inf
        return "gap", f"{100 * share:.1f} %" if share < 9.99 else number(gap)

    def _show_grid(self, result: Saliency, maps: np.ndarray, cell: tuple[int, int] | None) -> None:
        scale = SIDE / max(maps.shape[1:])
        rows, columns = (scale * edges(side) for side in maps.shape[1:])
        credit, names = in_cells(maps), [result.called(b) for b in range(len(maps))]
        lefts = self.lefts[: len(maps) + 1]
        self.grid.areas = []
        for r, c in np.ndindex(credit.shape[1:]):
            y, bottom, x, right = TOP + rows[r], TOP + rows[r + 1], columns[c], columns[c + 1]
            boxes = [(left + x, y, left + right, bottom) for left in lefts]
            self.grid.areas.append((boxes, tell(names, credit[:, r, c], r, c)))
        for left, mark, frame in zip(self.lefts, self.chosen, self.frames, strict=True):
            mark.set_visible(cell is not None and frame.get_visible())
            if cell is not None:
                r, c = min(cell[0], len(rows) - 1) - 1, min(cell[1], len(columns) - 1) - 1
                mark.set_xy((left + columns[c], TOP + rows[r]))
                mark.set(width=columns[c + 1] - columns[c], height=rows[r + 1] - rows[r])

    def _show_ghosts(self, result: Saliency, pinned: Saliency | None) -> None:
        for b, (left, ghost) in enumerate(zip(self.lefts[1:], self.ghosts, strict=True)):
            lines = np.empty((0, 2, 2))
            if pinned is not None and (same := twin(result, pinned, b)) is not None:
                magnitude = np.abs(pinned.maps[0, same])
                top = magnitude >= np.quantile(magnitude, 0.9)
                lines = outline(top) * SIDE / max(top.shape) + (left, TOP)
            ghost.set_segments(list(lines))


def _asked(result: Saliency) -> tuple[Any, ...]:
    return result.index[0], result.target[0], result.score, result.images.shape[2:]


def _neutrality(result: Saliency, b: int) -> tuple[str, str]:
    p = result.neutrality[0, b]
    answer = f"{short(result.classes[p.argmax()], 12)} {percent(p.max())}"
    return answer, f"{result.entropy[0, b]:.2f} of {np.log(len(p)):.2f}"


def _part(values: np.ndarray, polarity: str) -> np.ndarray:
    if polarity == "positive":
        return np.maximum(values, 0)
    return np.minimum(values, 0) if polarity == "negative" else values


def _limit(values: np.ndarray, clip: float) -> float:
    return float(np.percentile(np.abs(values), clip)) or float(np.abs(values).max()) or 1.0


def _framed(image: np.ndarray) -> np.ndarray:
    # A white baseline would not be seen on a white page.
    pixels = rgb(image)
    times = -(-SMALL // min(pixels.shape[:2]))  # one pixel of the frame is no more on the page
    pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    return np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=128)
