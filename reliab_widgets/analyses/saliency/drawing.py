"""The picture of a saliency analysis: artists made once, moved for every new result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ...drawing import BLUE, GREEN, GREY, INK, SKY, VERMILLION, YELLOW, Drawing, plain, short
from ...ops.pixels import edges, in_cells, outline, rgb

if TYPE_CHECKING:
    from .result import Saliency

MOST = 4
"""Baselines side by side."""
MARKS = "●▲■◆"
SERIES: tuple[dict[str, Any], ...] = (
    {"color": GREEN, "marker": "o", "ls": "-"},
    {"color": "#CC79A7", "marker": "^", "ls": (0, (4, 1.5))},
    {"color": SKY, "marker": "s", "ls": (0, (5, 1.5, 1, 1.5))},
    {"color": INK, "marker": "D", "ls": (0, (9, 2))},
)
SUPPORTS, OPPOSES = BLUE, VERMILLION
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#7a3000", OPPOSES, "white", SUPPORTS, "#00304f"], N=255
)  # an odd number of colours, so that one is white
MAGNITUDE = colormaps["cividis"]

# Places are in pixels from the upper left corner of the picture, as the widget shows it.
WIDTH, HEIGHT = 654, 366
SIDE, TOP, STEP = 110, 19, 116  # of the maps, and from one to the next
SMALL, BELOW = 28, 134  # of the pictures of the baselines
CHARTS, FLOOR = 200, 329  # titles of the lower row, and axes
TABLE, CELL, ROW = (284, 228), 28, 25
COLUMNS = (0, 28, 56, 84, 119, 150)  # of the table: four baselines and, apart, two controls


class Cells(Artist):
    """Areas that are not seen and say something when pointed at, in an SVG only."""

    def __init__(self) -> None:
        super().__init__()
        self.areas: list[tuple[list[tuple[float, float, float, float]], str]] = []
        self.set_zorder(9)

    def draw(self, renderer: Any) -> None:
        """Write one path with its title for each area: boxes (x, y, x, y) and what they say."""
        if not isinstance(renderer, RendererSVG) or not self.areas:
            return
        writer, height = renderer.writer, renderer.height
        corners = np.concatenate([np.reshape(boxes, (-1, 2)) for boxes, _ in self.areas])
        points = iter(self.get_transform().transform(corners).reshape(-1, 4).round(1).tolist())
        writer.start("g", {"fill": "none", "pointer-events": "all"})
        for boxes, words in self.areas:
            lines = []
            for (left, top, right, bottom), _ in zip(points, boxes, strict=False):
                lines.append(f"M{left:g} {height - top:g}H{right:g}V{height - bottom:g}H{left:g}z")
            writer.start("path", {"d": "".join(lines)})
            writer.element("title", words)
            writer.end("path")
        writer.end("g")


class Maps(Drawing):
    """Image and maps above; below the path, the agreement, and the deletion curves."""

    size = (WIDTH / 100, HEIGHT / 100)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        figure.suppressComposite = True  # pixels stay pixels: none is blended into a larger image
        self.canvas = figure.add_axes((0, 0, 1, 1))
        self.canvas.set_axis_off()
        self.canvas.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self._make_image()
        self._make_maps()
        self._make_bar()
        self._make_table()
        self._make_charts()

    # ------------------------------------------------------------------ making
    def _text(self, x: float, y: float, words: str = "", **style: Any) -> Text:
        defaults: dict[str, Any] = {
            "fontsize": 8,
            "color": INK,
            "va": "center",
            "parse_math": False,
        }
        return self.canvas.text(x, y, words, **(defaults | style))

    def _image(self, x: float, y: float, width: float, height: float) -> AxesImage:
        image = AxesImage(
            self.canvas, extent=(x, x + width, y + height, y), interpolation="none", origin="upper"
        )
        image.set_data(np.zeros((1, 1, 4), np.uint8))
        self.canvas.add_image(image)
        return image

    def _cells(self, axes: Axes) -> Cells:
        cells = Cells()
        axes.add_artist(cells)
        return cells

    def _make_image(self) -> None:
        self.original = self._image(2, TOP, SIDE, SIDE)
        self.heading = self._text(2, 9, fontsize=9)
        self.answer, self.explained = (self._text(2, BELOW + y) for y in (7, 21))
        self.labels = [
            self._text(SIDE, BELOW + y, words, ha="right")
            for y, words in ((36, "baseline alone:"), (50, "entropy in nats:"))
        ]

    def _make_maps(self) -> None:
        self.lefts = [2 + STEP * number for number in range(MOST + 1)]
        lefts = self.lefts[1:]
        self.maps = [self._image(x, TOP, SIDE, SIDE) for x in lefts]
        self.baselines = [self._image(x, BELOW, SMALL, SMALL) for x in lefts]
        self.between = [self._image(x + SMALL + 4, BELOW, SMALL, SMALL) for x in lefts]
        self.samples = [
            self.canvas.plot([x, x + 10, x + 20], [9] * 3, lw=1.5, ms=5, markevery=[1], **style)[0]
            for x, style in zip(lefts, SERIES, strict=True)
        ]
        self.names = [self._text(x + 24, 9, fontsize=9) for x in lefts]
        places = ((2 * SMALL + 8, 7), (2 * SMALL + 8, 21), (0, 36), (0, 50))
        self.captions = [[self._text(x + dx, BELOW + y) for dx, y in places] for x in lefts]
        self.frames, self.chosen = [], []
        for x in self.lefts:
            frame = Rectangle((x, TOP), SIDE, SIDE, fc="none", ec=GREY, lw=0.6)
            mark = Rectangle((x, TOP), 0, 0, fc="none", ec="#000000", lw=1.2)
            mark.set_path_effects([withStroke(linewidth=2.6, foreground="#ffffff")])
            self.canvas.add_patch(frame)
            self.canvas.add_patch(mark)
            self.frames.append(frame)
            self.chosen.append(mark)
        self.ghosts = [LineCollection([], colors=YELLOW, lw=1.1) for _ in lefts]
        for ghost in self.ghosts:
            self.canvas.add_collection(ghost, autolim=False)
        self.grid = self._cells(self.canvas)
        self.alone = self._text(self.lefts[2], TOP + 24, va="top", linespacing=1.5)

    def _make_bar(self) -> None:
        x, height = self.lefts[-1] + SIDE + 8, SIDE - 16
        self.bar = self._image(x, TOP + 8, 10, height)
        self.ends = [
            self._text(x + 13, TOP + 8 + height * place, va=va, linespacing=1.15)
            for va, place in (("top", 0.0), ("center", 0.5), ("bottom", 1.0))
        ]
        self.unit = self._text(x - 4, BELOW, va="top", linespacing=1.25)

    def _make_table(self) -> None:
        left, top = TABLE
        self.agreement = self._text(left - 66, CHARTS, fontsize=9)
        self.table = self._image(left, top, COLUMNS[-1] + CELL, ROW * MOST)
        middles = [left + CELL / 2 + x for x in COLUMNS]
        rows = [top + ROW * (row + 0.5) for row in range(MOST)]
        self.values = [[self._text(x, y, ha="center") for x in middles] for y in rows]
        self.rows = [self._text(left - 4, y, ha="right") for y in rows]
        self.heads = [self._text(x, top - 8, ha="center") for x in middles]
        end = left + COLUMNS[-1] + CELL, top + ROW * MOST + 11
        self.controls = self._text(*end, ha="right")
        self.pairs = self._cells(self.canvas)

    def _make_charts(self) -> None:
        def chart(left: float, right: float) -> Axes:
            height = FLOOR - CHARTS - 25
            box = (left / WIDTH, 1 - FLOOR / HEIGHT, (right - left) / WIDTH, height / HEIGHT)
            axes = self.figure.add_axes(box)
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
            self.points.append(self._cells(axes))
        (self.random,) = self.deletion.plot([], [], color=GREY, lw=1.6, ls=":")
        self.here, self.cut = (
            it.axvline(1, color=INK, lw=0.9) for it in (self.path, self.deletion)
        )
        self.path_title, self.deletion_title = (self._text(x, CHARTS, fontsize=9) for x in (2, 478))
        self.position, self.verdict = (self._text(x, CHARTS + 16) for x in (38, 494))
        self.reason = self._text(38, CHARTS + 29, va="top", linespacing=1.4)
        self.remaining = [self._text(648, CHARTS + 33 + 16 * row, ha="right") for row in range(6)]

    # ------------------------------------------------------------------ showing
    def show(
        self,
        result: Saliency,
        pinned: Saliency | None,
        *,
        sign: str,
        scale: str,
        clip: float,
        alpha: float,
        fill: str,
        fraction: float,
        cell: tuple[int, int] | None = None,
        preview: bool = False,
    ) -> None:
        """Move every artist to the numbers of ``result``; see `Saliency.draw`.

        ``cell`` is the row and column of the grid to mark; a preview is marked as one.
        """
        if pinned is not None and _asked(pinned) != _asked(result):
            pinned = None  # of another image, class or score: nothing to lay behind this
        maps = accumulated(result, alpha)
        self._show_image(result, preview)
        self._show_maps(result, maps, sign, scale, clip)
        self._show_captions(result, alpha)
        self._show_grid(result, maps, cell)
        self._show_ghosts(result, pinned)
        self._show_table(result)
        self._show_path(result, pinned, alpha)
        self._show_deletion(result, pinned, fill, fraction)

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
        self.answer.set_text(f"{right} {short(result.classes[answer], 10)} {_percent(p[answer])}")
        words = "is explained"
        if answer != target:
            words = f"explained: {short(result.classes[target], 8)}"
        self.explained.set_text(words)
        for text in self.labels:
            text.set_visible(result.has_baseline)

    def _show_maps(
        self, result: Saliency, maps: np.ndarray, sign: str, scale: str, clip: float
    ) -> None:
        final, maps = _part(result.maps[0], sign), _part(maps, sign)
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
                short(title(result, b), (12 if own else 13) - len(own)) + own if here else ""
            )
            if here:
                image.set_data(colours(maps[b], limits[b] if own else shared, sign))
        low = 0 if sign == "magnitude" else -1
        bar = np.linspace(1, low, 65)[:, None]
        self.bar.set_data(colours(bar, 1.0, sign))
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
            return "so far", number(result.credit[0, b, _step(result, alpha)])
        share = abs(gap / due) if due else np.inf
        return "gap", f"{100 * share:.1f} %" if share < 9.99 else number(gap)

    def _show_grid(self, result: Saliency, maps: np.ndarray, cell: tuple[int, int] | None) -> None:
        scale = SIDE / max(maps.shape[1:])
        rows, columns = (scale * edges(side) for side in maps.shape[1:])
        credit, names = in_cells(maps), [title(result, b) for b in range(len(maps))]
        lefts = self.lefts[: len(maps) + 1]
        self.grid.areas = []
        for r, c in np.ndindex(credit.shape[1:]):
            y, bottom, x, right = TOP + rows[r], TOP + rows[r + 1], columns[c], columns[c + 1]
            boxes = [(left + x, y, left + right, bottom) for left in lefts]
            self.grid.areas.append((boxes, tell(names, credit[:, r, c], r, c)))
        for left, mark, frame in zip(self.lefts, self.chosen, self.frames, strict=True):
            mark.set_visible(cell is not None and frame.get_visible())
            if cell is not None:
                r, c = min(cell[0], len(rows) - 2), min(cell[1], len(columns) - 2)
                mark.set_xy((left + columns[c], TOP + rows[r]))
                mark.set(width=columns[c + 1] - columns[c], height=rows[r + 1] - rows[r])

    def _show_ghosts(self, result: Saliency, pinned: Saliency | None) -> None:
        for b, (left, ghost) in enumerate(zip(self.lefts[1:], self.ghosts, strict=True)):
            lines = np.empty((0, 2, 2))
            if pinned is not None and (twin := _twin(result, pinned, b)) is not None:
                magnitude = np.abs(pinned.maps[0, twin])
                top = magnitude >= np.quantile(magnitude, 0.9)
                lines = outline(top) * SIDE / max(top.shape) + (left, TOP)
            ghost.set_segments(list(lines))

    def _show_table(self, result: Saliency) -> None:
        count = len(result.baselines)
        many = f", n = {len(result.index)}" if len(result.index) > 1 else ", signed"
        self.agreement.set_text(f"agreement: Spearman{many}")
        table = np.full((MOST, MOST + 2), np.nan)
        table[:count, :count] = result.between_baselines()
        table[:count, MOST] = result.control()
        table[:count, MOST + 1] = result.ceiling()
        cells = np.zeros((MOST, COLUMNS[-1] + CELL, 4), np.uint8)
        for x, column in zip(COLUMNS, table.T, strict=True):
            cells[:, x : x + CELL] = _tinted(column)[:, None]
        self.table.set_data(cells)
        for row, texts in zip(table, self.values, strict=True):
            for value, text in zip(row, texts, strict=True):
                text.set_text("" if np.isnan(value) else _two(value))
        for b, (name, head) in enumerate(zip(self.rows, self.heads, strict=False)):
            here = b < count
            name.set_text(f"{short(title(result, b), 12)} {MARKS[b]}" if here else "")
            head.set_text(MARKS[b] if here else "")
        told = [np.isfinite(column).any() for column in table.T[MOST:]]
        for head, word, here in zip(self.heads[MOST:], ("untr.", "ceil."), told, strict=True):
            head.set_text(word if here else "")
        names = np.array(["untrained network", "noise ceiling"])
        self.controls.set_text(", ".join(names[told]))
        self._show_pairs(result)

    def _show_pairs(self, result: Saliency) -> None:
        count, (left, top) = len(result.baselines), TABLE
        tables = [result.agree(measure) for measure in ("signed", "absolute", "top", "ssim")]
        names = [title(result, b) for b in range(count)]
        self.pairs.areas = []
        for row, name in enumerate(names):
            others = [*enumerate(names), (len(tables[0]) - count + row, "the untrained network")]
            for x, (at, other) in zip((*COLUMNS[:count], COLUMNS[MOST]), others, strict=True):
                signed, absolute, shared, ssim = (table[row, at] for table in tables)
                box = (left + x, top + ROW * row, left + x + CELL, top + ROW * (row + 1))
                words = (
                    f"{name} and {other}: Spearman signed {signed:+z.2f}, magnitudes "
                    f"{absolute:+z.2f}, top 10 % shared {_percent(shared)}, SSIM {ssim:.2f}"
                )
                self.pairs.areas.append(([box], words))

    def _show_path(self, result: Saliency, pinned: Saliency | None, alpha: float) -> None:
        steps, sizes = result.path.shape[-1], result.convergence_size
        heading, position, reason, old = "path", "", "", []
        x, curves, points = np.array([0.0, 1.0]), np.empty((0, 2)), []
        if steps:
            x, curves = np.linspace(0, 1, steps), result.path[0]
            heading = f"path: {_score(result, 15)}"
            place = x[_step(result, alpha)]
            position = f"│ α = {place:.2f}"
            self.here.set_xdata([place, place])
            self.path.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            self.path.set_xlabel("α, from baseline to image")
            points = [
                f"α = {a:.2f}: "
                + ", ".join(
                    f"{title(result, b)} {curves[b, k]:.3f}, credit {result.credit[0, b, k]:+z.3f}"
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
        for text, row in zip(self.remaining, [_percent(fraction), *rows, *[""] * 4], strict=False):
            text.set_text(row.replace("-", "−"))
        self.cut.set_xdata([fraction * 100] * 2)
        self.random.set_data(x, curves[-1])
        names = [*(title(result, b) for b in range(len(maps))), "random order"]
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
            twin = _twin(result, pinned, b) if pinned is not None and old else None
            ghost.set_data(*(nothing if twin is None else old[twin]))
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


# ---------------------------------------------------------------------- numbers and words
def accumulated(result: Saliency, alpha: float) -> np.ndarray:
    """Return the first image's maps ``(B, H, W)``, accumulated up to ``alpha`` on the path.

    Methods that walk no path have their whole map at once.
    """
    if alpha == 1 or not result.path_maps.size:
        return result.maps[0]
    step = _step(result, alpha)
    return np.stack([result.accumulated(b, step) for b in range(len(result.baselines))])


def tell(names: Sequence[str], credit: np.ndarray, row: int, column: int) -> str:
    """Say what the maps give to one cell, counted from 1.

    Examples
    --------
    >>> tell(["black", "white"], np.array([0.012, -0.0041]), 2, 4)
    'row 3, col 5: black +0.012, white −0.0041'
    """
    parts = ", ".join(f"{name} {number(c)}" for name, c in zip(names, credit, strict=True))
    return f"row {row + 1}, col {column + 1}: {parts}"


def number(value: float, *, sign: bool = True) -> str:
    """Return two significant figures.

    Examples
    --------
    >>> number(0.01234), number(-32.1), number(0.00012), number(0)
    ('+0.012', '−32', '+1.2e-4', '0')
    """
    if value == 0:
        return "0"
    size = int(np.floor(np.log10(abs(value))))
    text = f"{abs(value):.{max(0, 1 - size)}f}"
    if size < -3:
        text = f"{abs(value) / 10.0**size:.1f}e{size}"
    return (("−" if value < 0 else "+") if sign else "") + text


def title(result: Saliency, b: int) -> str:
    """Return what to call baseline ``b``, or the method if it has none; a colour by its hex code.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> title(SimpleNamespace(has_baseline=True, baselines=("color:1.0,0.5,0.0",)), 0)
    '#ff8000'
    """
    if not result.has_baseline:
        return result.method
    name = result.baselines[b]
    return hex_code(name) if name.startswith("color:") else name.replace(":", " ")


def hex_code(colour: str) -> str:
    """Return ``"color:r,g,b"`` as #rrggbb."""
    channels = [round(255 * float(value)) for value in colour.removeprefix("color:").split(",")]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def colours(values: np.ndarray, limit: float, sign: str) -> np.ndarray:
    """Return a map's colours ``(H, W, 3)`` as bytes; at ``limit`` they end."""
    if sign == "magnitude":
        return MAGNITUDE(np.clip(np.abs(values) / limit, 0, 1), bytes=True)[..., :3]
    return SIGNED(np.clip(values / limit, -1, 1) / 2 + 0.5, bytes=True)[..., :3]


def _step(result: Saliency, alpha: float) -> int:
    return round(alpha * (result.path.shape[-1] - 1))


def _asked(result: Saliency) -> tuple[Any, ...]:
    return result.index[0], result.target[0], result.score, result.images.shape[2:]


def _twin(result: Saliency, pinned: Saliency, b: int) -> int | None:
    """Return which of the pinned baselines is the same as baseline ``b``."""
    names = [title(pinned, k) for k in range(len(pinned.baselines))]
    if b >= len(result.baselines) or title(result, b) not in names:
        return None
    return names.index(title(result, b))


def _neutrality(result: Saliency, b: int) -> tuple[str, str]:
    p = result.neutrality[0, b]
    answer = f"{short(result.classes[p.argmax()], 12)} {_percent(p.max())}"
    return answer, f"{result.entropy[0, b]:.2f} of {np.log(len(p)):.2f}"


def _score(result: Saliency, most: int) -> str:
    name = "p" if result.score == "probability" else result.score
    return f"{name}({short(result.classes[result.target[0]], most - len(name))})"


def _part(values: np.ndarray, sign: str) -> np.ndarray:
    if sign == "positive":
        return np.maximum(values, 0)
    return np.minimum(values, 0) if sign == "negative" else values


def _limit(values: np.ndarray, clip: float) -> float:
    return float(np.percentile(np.abs(values), clip)) or float(np.abs(values).max()) or 1.0


def _framed(image: np.ndarray) -> np.ndarray:
    # A white baseline would not be seen on a white page.
    pixels = rgb(image)
    times = -(-SMALL // min(pixels.shape[:2]))  # one pixel of the frame is no more on the page
    pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    return np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=128)


def _tinted(values: np.ndarray) -> np.ndarray:
    # Thin colours, through which the page is seen: its own text stays readable on them.
    known = np.nan_to_num(np.clip(values, -1, 1))[:, None]
    tint = np.where(known < 0, *(255 * np.array(to_rgb(it)) for it in (OPPOSES, SUPPORTS)))
    return np.concatenate([tint, np.abs(known) * 95], axis=1).astype(np.uint8)


def _two(value: float) -> str:
    text = f"{abs(value):.2f}".removeprefix("0")
    return ("−" if value < 0 and text != ".00" else "") + ("1" if text == "1.00" else text)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
