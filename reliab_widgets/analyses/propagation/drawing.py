"""The picture of a propagation analysis: artists made once, moved for every new result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ...core.drawing import BLUE, GREEN, GREY, INK, VERMILLION, YELLOW, Drawing, plain, short
from ...core.wording import percent
from ...ops.calibration.metrics import softmax

if TYPE_CHECKING:
    from .result import Propagation

SLOTS = 5
SIDE = 112
"""Most pixels that a picture shows along a side: more are not seen and make the page slow."""
LETTER = 4.7
"""Points that a letter of the smallest text takes, on average."""
LINES: dict[str, dict[str, Any]] = {
    "adversarial": {"color": VERMILLION, "ls": "--", "marker": "^", "ms": 4, "lw": 1.5},
    "undefended": {"color": VERMILLION, "ls": ":", "marker": "v", "ms": 3, "alpha": 0.6},
    "random": {"color": GREY, "ls": ":", "marker": "s", "ms": 3, "lw": 1.5},
    "clean-denoised": {"color": GREEN, "ls": "-", "marker": "o", "ms": 2.5, "lw": 1},
    "pinned": {"color": YELLOW, "ls": "-", "marker": "D", "ms": 2.5, "lw": 0.8},
}
WORDS = {
    "adversarial": "adversarial",
    "random": "random noise",
    "clean-denoised": "clean, denoised",
    "pinned": "pinned",
    "branches": "shortcut or branch",
}
DENOISED = {"adversarial": "denoised", "undefended": "adversarial"}
UNITS = {
    "rms": "rms, feature units",
    "relative": "relative L2",
    "variance": "share of variance",
    "cosine": "cosine distance",
}


class Layers(Drawing):
    """The pictures and the steps of the attack above, the distances over the layers below."""

    size = (6.6, 2.82)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self._make_pictures(figure)
        self._make_steps(figure.add_axes((0.757, 0.69, 0.233, 0.24)))
        self._make_chart(figure.add_axes((0.082, 0.082, 0.908, 0.405)))

    def _make_pictures(self, figure: Figure) -> None:
        self.slots = []
        for slot in range(SLOTS):
            axes = figure.add_axes((0.008 + 0.135 * slot, 0.695, 0.109, 0.248))
            axes.set_axis_off()
            axes.set(xlim=(0, 1), ylim=(1, 0))
            # "none" leaves the pixels to the browser: the SVG holds the image as it is.
            image = axes.imshow(
                np.zeros((1, 1, 3), np.uint8), extent=(0, 1, 1, 0), interpolation="none"
            )
            frame = Rectangle((0, 0), 1, 1, facecolor="#ffffff01", edgecolor=GREY, lw=0.6)
            frame.set_clip_on(False)
            axes.add_patch(frame)
            style: dict[str, Any] = {
                "ha": "center",
                "fontsize": 8,
                "color": INK,
                "parse_math": False,
            }
            title = axes.text(0.5, -0.06, "", va="bottom", **style)
            words = axes.text(0.5, 1.08, "", va="top", linespacing=1.1, **style)
            self.slots.append((axes, image, frame, title, words))

    def _make_steps(self, axes: Axes) -> None:
        plain(axes)
        self.steps_title = axes.set_title("", loc="left", fontsize=8, color=INK, parse_math=False)
        axes.set_xlabel("step of the attack", fontsize=8)
        axes.xaxis.set_label_coords(0.5, -15 / 52)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_ylabel("logit", fontsize=8)
        self.crossing = axes.axvline(0, color=INK, lw=1, ls=":")
        self.step = axes.axvline(0, color=YELLOW, lw=5, alpha=0.4)
        (self.true,) = axes.plot([], [], color=BLUE, marker="o", ms=3, lw=1.3)
        (self.other,) = axes.plot([], [], color=VERMILLION, marker="^", ms=3.5, lw=1.3, ls="--")
        style: dict[str, Any] = {"fontsize": 8, "color": INK, "parse_math": False}
        self.ends = [axes.text(0, 0, "", va=side, **style) for side in ("top", "bottom")]
        self.steps_axes = axes
        self.stops: list[Rectangle] = []

    def _make_chart(self, axes: Axes) -> None:
        plain(axes)
        self.title = axes.set_title("", loc="left", fontsize=9, color=INK, parse_math=False)
        self.chosen = axes.set_title(
            "", loc="right", y=1.0, fontsize=8, color=INK, parse_math=False
        )
        self.band = Rectangle((-0.5, 0), 1, 1, color=YELLOW, alpha=0.3, lw=0)
        self.band.set_transform(axes.get_xaxis_transform())
        axes.add_patch(self.band)
        self.spread = {
            kind: PolyCollection([], facecolor=LINES[kind]["color"], alpha=0.18, lw=0)
            for kind in ("random", "adversarial")
        }
        for collection in self.spread.values():
            axes.add_collection(collection)
        self.lines = {}
        for kind, style in reversed(LINES.items()):
            (self.lines[kind],) = axes.plot([], [], **style)
        # Below the axis, where no curve runs.
        (self.branches,) = axes.plot([], [], ls="", marker="o", ms=3, mfc="none", color=INK)
        self.branches.set(transform=axes.get_xaxis_transform(), clip_on=False)
        for kind in ("undefended", "pinned", "clean-denoised"):
            self.lines[kind].set_markerfacecolor("none")
        self.axes = axes
        self.logarithmic = False
        self.listed: tuple[str, ...] = ()
        self.targets: list[Rectangle] = []

    def show(
        self,
        result: Propagation,
        pinned: Propagation | None = None,
        *,
        metric: str = "rms",
        view: str = "distance",
        log: bool = False,
        layer: str | None = None,
        amplify: float = 8,
        step: int | None = None,
    ) -> None:
        """Move every artist to the numbers of ``result``."""
        self._show_pictures(result, amplify)
        self._show_steps(result, step)
        self._show_chart(result, pinned, metric, view, log, layer)

    def _show_pictures(self, result: Propagation, amplify: float) -> None:
        clean, attacked = result.pictures[0], result.pictures[1]
        rows = {"clean": 0, "adversarial": 1}
        if "undefended" in result.kinds:
            rows["adversarial"] = 1 + result.kinds.index("undefended")
            rows["denoised"] = 1
            attacked = result.pictures[rows["adversarial"]]
        rows["random noise"] = 1 + result.kinds.index("random")
        noise = attacked - clean
        most = np.abs(noise).max()
        pictures = {name: result.pictures[row] for name, row in rows.items()}
        pictures = {
            "clean": pictures.pop("clean"),
            f"difference ×{amplify:g}": 0.5 + amplify * noise,
            **pictures,
        }
        truth = result.truth[0]
        for slot, (axes, image, frame, title, words) in enumerate(self.slots):
            axes.set_visible(slot < len(pictures))
            if slot >= len(pictures):
                continue
            name, pixels = list(pictures.items())[slot]
            image.set_data(_rgb(pixels))
            wide, high = (size / max(pixels.shape[1:]) for size in pixels.shape[:0:-1])
            left, top = (1 - wide) / 2, (1 - high) / 2
            image.set_extent((left, left + wide, top + high, top))
            frame.set_bounds(left, top, wide, high)
            title.set_text(name)
            if name not in rows:
                size = np.sqrt(np.mean(noise**2))
                words.set_text(f"±{most * 255:.3g}/255\n= ±{most:.3g}")
                self.hover(
                    frame,
                    f"adversarial − clean, times {amplify:g}; grey is no change. Largest change "
                    f"{most * 255:.3g}/255, root mean square {size * 255:.3g}/255",
                )
                continue
            sure = softmax(result.logits[rows[name], :1])[0]
            answer = int(sure.argmax())
            mark = "✓" if answer == truth else "✗"
            said = result.classes[answer]
            words.set_text(f"{mark} {short(said, 12)}\n{sure[answer] * 100:.0f} %")
            self.hover(
                frame,
                f"{name}: {said} {percent(sure[answer])}; true class {result.classes[truth]} "
                f"{percent(sure[truth])}",
            )

    def _show_steps(self, result: Propagation, step: int | None) -> None:
        truth, logits = int(result.truth[0]), result.trajectory[:, 0]
        others = np.delete(logits, truth, axis=1)
        true, other = logits[:, truth], others.max(axis=1)
        rival = int(np.delete(np.arange(logits.shape[1]), truth)[others[-1].argmax()])
        last = len(logits) - 1
        low, high = min(true.min(), other.min()), max(true.max(), other.max())
        room = max(high - low, 1e-3) * 0.4
        around = 0.03 * last or 0.5
        self.steps_axes.set_xlim(-around, last + around)
        apart = next(size for size in (1, 2, 5, 10, 20, last) if last <= 4 * size)
        self.steps_axes.set_xticks(range(0, last + 1, apart))
        self.steps_axes.set_ylim(low - room, high + room)
        # The names stand where the curves are further apart.
        end = last * int(abs(true[-1] - other[-1]) > abs(true[0] - other[0]))
        ends = [(true[end], f"● {short(result.classes[truth], 12)}")]
        ends.append((other[end], f"▲ {short(result.classes[rival], 12)}"))
        for text, way, (value, name) in zip(self.ends, (-1, 1), sorted(ends), strict=True):
            text.set(x=end, y=value + way * room * 0.2, text=name, ha="right" if end else "left")
        for line, values in ((self.true, true), (self.other, other)):
            line.set_data(np.arange(last + 1), values)
        crossed = np.flatnonzero(true < other)
        at = int(crossed[0]) if len(crossed) else -1
        self.crossing.set_visible(at > 0)
        self.crossing.set_xdata([at, at])
        words = {-1: "The answer holds", 0: "Wrong from the start"}.get(at, f"Lost at step {at}")
        here = min(step or 0, last)
        self.step.set_visible(step is not None)
        self.step.set_xdata([here, here])
        if step is not None:
            words = f"Step {here}: {true[here]:.3g} against {other[here]:.3g}"
        elif result.n > 1:
            words = f"Image {result.index[0]}: {words}"
        self.steps_title.set_text(words)
        self._hover_steps(result, truth, true, other)

    def _hover_steps(
        self, result: Propagation, truth: int, true: np.ndarray, other: np.ndarray
    ) -> None:
        while len(self.stops) < len(true):
            self.stops.append(_target(self.steps_axes))
        for number, patch in enumerate(self.stops):
            patch.set_visible(number < len(true))
            if number < len(true):
                patch.set_x(number - 0.5)
                self.hover(
                    patch,
                    f"step {number}: logit of {result.classes[truth]} {true[number]:.3g}, "
                    f"strongest other {other[number]:.3g}",
                )

    def _show_chart(
        self,
        result: Propagation,
        pinned: Propagation | None,
        metric: str,
        view: str,
        log: bool,
        layer: str | None,
    ) -> None:
        count = len(result.layers)
        ratios = view == "ratio"
        curves = {
            kind: (np.arange(count), _curve(result, kind, metric, ratios)) for kind in result.kinds
        }
        if pinned is not None:
            places = [
                result.layers.index(it) if it in result.layers else -1 for it in pinned.layers
            ]
            known = np.array(places) >= 0
            curve = _curve(pinned, "adversarial", metric, ratios)
            curves["pinned"] = (np.array(places)[known], curve[known])
        for kind, line in self.lines.items():
            line.set_data(*curves.get(kind, ([], [])))
        bands = {}
        for kind, collection in self.spread.items():
            if result.n > 1 and not (ratios and kind == "random"):
                bands[kind] = _band(result, kind, metric, ratios)
            collection.set_verts([_around(*bands[kind])] if kind in bands else [])
        beside = np.flatnonzero(result.branches)
        self.branches.set_data(beside, np.full(len(beside), -0.035))
        rows = self._legend(tuple(curves), bool(len(beside)))
        spans = [curve for _, curve in curves.values()] + list(bands.values())
        if ratios:
            # Random noise may leave the probabilities as they are: any ratio is possible there.
            spans = [span[..., :-1] for span in spans]
        self._scale(spans, log, rows)

        chosen = result.layers.index(layer) if layer in result.layers else None
        self.band.set_visible(chosen is not None)
        self.band.set_x((chosen or 0) - 0.5)
        self.axes.set_xlim(-0.7, count - 0.3)
        self.axes.set_ylabel("times random noise" if ratios else UNITS[metric], fontsize=8)
        self.title.set_text(f"Distance from clean ({result.n} image{'s' * (result.n != 1)})")
        self._name_layers(result, chosen)
        self._hover_layers(result, metric, chosen)

    def _scale(self, curves: list[np.ndarray], log: bool, rows: int) -> None:
        """Fit the axis to the curves and leave room for the rows of the legend above them."""
        values = np.concatenate([np.ravel(curve) for curve in curves])
        values = values[np.isfinite(values)]
        above = values[values > 0]
        log = log and len(above) > 0
        if log != self.logarithmic:
            self.axes.set_yscale("log" if log else "linear")
            self.logarithmic = log
        room = 1 / (0.95 - 0.15 * rows)
        if log:
            low = above.min() / 1.4
            high = low * (above.max() / low) ** room
            self.axes.yaxis.set_major_locator(LogLocator(10, (1, 3) if high < 99 * low else (1,)))
            self.axes.yaxis.set_minor_locator(NullLocator())
        else:
            low, high = 0.0, max(values.max(initial=0) * room, 1e-6)
            self.axes.yaxis.set_major_locator(MaxNLocator(4))
        self.axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        self.axes.set_ylim(low, high)

    def _legend(self, kinds: tuple[str, ...], branches: bool) -> int:
        shown = (*kinds, "branches") if branches else kinds
        if shown != self.listed:
            self.listed = shown
            # As the pictures above are called.
            words = WORDS | (DENOISED if "undefended" in kinds else {})
            self.axes.legend(
                [self.branches if kind == "branches" else self.lines[kind] for kind in shown],
                [words[kind] for kind in shown],
                loc="upper left",
                ncols=3,
                fontsize=8,
                frameon=False,
                labelcolor=INK,
                borderpad=0,
                columnspacing=1.2,
                handlelength=2.4,
            )
        return -(-len(shown) // 3)

    def _name_layers(self, result: Propagation, chosen: int | None) -> None:
        """Write as many names as have room, the chosen one and both ends before all others."""
        count = len(result.layers)
        step = self.axes.bbox.width / self.axes.figure.dpi * 72 / (count + 0.4)
        wanted = [*([] if chosen is None else [chosen]), 0, count - 2, count - 1]
        halves = (np.arange(1, 2**k, 2) / 2**k for k in range(1, 7))
        wanted += [round(part * (count - 2)) for half in halves for part in half]
        taken: dict[int, float] = {}
        for place in dict.fromkeys(wanted):
            half = (len(_within(result.layers[place])) * LETTER + 8) / 2
            if all(abs(place - other) * step >= half + room for other, room in taken.items()):
                taken[place] = half
        places = sorted(taken)
        names = [_within(result.layers[place]) for place in places]
        self.axes.set_xticks(places, names, parse_math=False)

    def _hover_layers(self, result: Propagation, metric: str, chosen: int | None) -> None:
        medians = {kind: np.median(result.of(kind, metric), axis=1) for kind in result.kinds}
        ratio = result.ratio(metric)
        while len(self.targets) < len(result.layers):
            self.targets.append(_target(self.axes))
        for place, patch in enumerate(self.targets):
            patch.set_visible(place < len(result.layers))
            if place >= len(result.layers):
                continue
            patch.set_x(place - 0.5)
            values = ", ".join(f"{kind} {median[place]:.3g}" for kind, median in medians.items())
            times = f", {ratio[place]:.3g} times random" if np.isfinite(ratio[place]) else ""
            about = " ".join(filter(None, (result.types[place], result.shapes[place])))
            beside = " (shortcut or branch)" if result.branches[place] else ""
            self.hover(patch, f"{result.layers[place]}{beside}, {about}: {values}{times}")
        self.chosen.set_text("")
        if chosen is not None:
            attacked, control = medians["adversarial"][chosen], medians["random"][chosen]
            words = f"{_within(result.layers[chosen], 24)}: {attacked:.3g}, random {control:.3g}"
            if np.isfinite(ratio[chosen]):
                words += f", ratio {ratio[chosen]:.3g}"
            self.chosen.set_text(words)


def _target(axes: Axes) -> Rectangle:
    # Almost transparent, because what is not painted cannot be pointed at.
    patch = Rectangle((0, 0), 1, 1, facecolor="white", alpha=0.004, lw=0, zorder=9)
    patch.set_transform(axes.get_xaxis_transform())
    axes.add_patch(patch)
    return patch


def _curve(result: Propagation, kind: str, metric: str, ratios: bool) -> np.ndarray:
    values = result.of(kind, metric)
    curve = result.ratio(metric, kind) if ratios else np.median(values, axis=1)
    return np.where(np.isfinite(curve), curve, np.nan)


def _band(result: Propagation, kind: str, metric: str, ratios: bool) -> np.ndarray:
    if ratios:
        return result.interval(metric, kind)
    with np.errstate(invalid="ignore"):  # between two infinite values lies NaN
        return np.quantile(result.of(kind, metric), (0.25, 0.75), axis=1)


def _around(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    there = np.stack([places, low[places]], axis=1)
    return np.concatenate([there, np.stack([places, high[places]], axis=1)[::-1]])


def _rgb(image: np.ndarray) -> np.ndarray:
    stride = -(-max(image.shape[1:]) // SIDE)
    image = image[:, ::stride, ::stride]
    if len(image) != 3:
        image = image.mean(axis=0, keepdims=True).repeat(3, axis=0)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def _within(name: str, letters: int = 16) -> str:
    half = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[: letters - 1 - half]}…{name[-half:]}"
