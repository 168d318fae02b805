"""What an attack does to an image, and how far it moves each layer beside noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.drawing import short
from ...core.pixels import rgb
from ...core.style import BLUE, INK, LINES, MUTED, ORANGE, Sheet
from ...core.wording import differing, percent
from .course import Course, Line, height
from .sentences import NAMES, described, said, times

if TYPE_CHECKING:
    from .result import Propagation

SIDE = 150
"""Most pixels of a picture on the page."""
TOP = 22
"""Where pictures begin."""
MOST = 112
"""Most pixels of an image along a side: more are hardly seen and make the page slow."""


class Places(NamedTuple):
    """Where pictures stand.

    Parameters
    ----------
    side : int
        Pixels of a picture along its longer side.
    pitch, factor : int
        How far apart they begin, and where the factor stands.
    letters : int
        Of the name of a class below them.
    tight : bool
        Whether there is little room for words on the factor.
    """

    side: int
    pitch: int
    factor: int
    letters: int = 12
    tight: bool = False


class Attacked(Sheet):
    """The images above with one large factor; the ratio to noise over the network below."""

    height = height(276)
    places: ClassVar = {4: Places(SIDE, 166, 674), 5: Places(SIDE, 163, 812, tight=True)}
    """By the number of pictures."""
    called: ClassVar[dict[str, str]] = {}
    """Shorter words for what stands above or below a picture."""
    rows: ClassVar = ((64, 84, 100, 116), (140, 157, 173), (209, 220, 276))
    """Where the factors stand with their words; the heading of the lines, their top and bottom."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        (factor, *effect), (start, *begun), (title, top, bottom) = self.rows
        self.slots = [self._make_picture() for _ in range(5)]
        self.factor = self.text(0, factor, fontsize=34, fontweight="bold", color=ORANGE)
        self.effect = [self.text(0, y) for y in effect]
        self.start = self.text(0, start, fontsize=20, fontweight="bold", color=MUTED)
        self.begun = [self.label(0, y) for y in begun]
        self.title = self.heading(0, y=title)
        self.course = Course(self, top, bottom)

    def _make_picture(self) -> tuple[Any, ...]:
        page = self.page
        # "none" leaves the pixels to the browser: the SVG holds the image as it is.
        empty = np.zeros((1, 1, 3), np.uint8)
        image = page.imshow(empty, extent=(0, SIDE, TOP + SIDE, TOP), interpolation="none")
        page.set(xlim=(0, self.page.get_xlim()[1]), ylim=(self.height, 0), aspect="auto")
        frame = page.add_patch(
            Rectangle((0, TOP), SIDE, SIDE, facecolor="#ffffff01", edgecolor=LINES, lw=1)
        )
        mark = self.text(0, TOP + SIDE + 17, fontsize=13)
        return image, frame, self.heading(0), mark, self.text(0, TOP + SIDE + 17, fontsize=13)

    def show(
        self,
        result: Propagation,
        pinned: Propagation | None,
        metric: str,
        layer: str,
        amplify: float,
    ) -> None:
        """Move every artist to the numbers of ``result``."""
        self._show_pictures(result, amplify)
        self._show_factor(result, metric)
        self._show_lines(result, pinned, metric, layer)

    # ------------------------------------------------------------------ pictures
    def _show_pictures(self, result: Propagation, amplify: float) -> None:
        kinds = ("clean", *result.kinds)
        bare = "undefended" if "undefended" in kinds else "adversarial"
        rows = {"Clean": "clean", "": "", "Attacked": bare}
        if bare == "undefended":
            rows |= {"Behind the denoiser": "adversarial", "Same-sized noise": "random"}
        else:
            rows["Control: same-sized noise"] = "random"
        clean, attacked = result.pictures[0], result.pictures[kinds.index(bare)]
        at = self.places[len(rows)]
        for slot, (picture, (heading, kind)) in enumerate(
            zip(self.slots, [*rows.items(), *[("", "none")] * 5], strict=False)
        ):
            for artist in picture:
                artist.set_visible(kind != "none")
            if kind == "none":
                continue
            left = slot * at.pitch
            if kind:
                pixels = result.pictures[kinds.index(kind)]
                self._place(picture, left, at.side, _rgb(pixels), heading)
                self._say(picture, result, kind, heading, at.letters)
            else:
                pixels = 0.5 + amplify * (attacked - clean)
                pixels, what = _enlarged(_rgb(pixels)), f"What was added, × {amplify:g}"
                self._place(picture, left, at.side, pixels, what)
                self._say_added(picture, attacked - clean, amplify)

    def _place(
        self, picture: Any, left: float, side: float, pixels: np.ndarray, heading: str
    ) -> None:
        image, frame, title, mark, words = picture
        high, wide = (side * size / max(pixels.shape[:2]) for size in pixels.shape[:2])
        x, y = left + (side - wide) / 2, TOP + (side - high) / 2
        image.set_data(pixels)
        image.set_extent((x, x + wide, y + high, y))
        frame.set_bounds(x, y, wide, high)
        title.set(x=left, text=self._called(heading))
        mark.set(x=left, y=TOP + side + 17)
        words.set(x=left, y=TOP + side + 17)

    def _called(self, words: str) -> str:
        for long, brief in self.called.items():
            words = words.replace(long, brief)
        return words

    def _say(
        self, picture: Any, result: Propagation, kind: str, heading: str, letters: int
    ) -> None:
        _, frame, _, mark, words = picture
        name, sure = said(result, kind)
        truth = result.classes[result.truth[0]]
        right = name == truth
        colour = INK if right else ORANGE
        mark.set(text="✓" if right else "✗", color=BLUE if right else ORANGE, visible=True)
        size = 13 if letters >= 12 else 12
        words.set(x=mark.get_position()[0] + 16, fontsize=size, fontweight="bold", color=colour)
        words.set_text(f"{short(name, letters)} {percent(sure, 0)}")
        self.hover(
            frame, f"{heading or kind}: predicted {name} {percent(sure)}; the true class is {truth}"
        )

    def _say_added(self, picture: Any, added: np.ndarray, amplify: float) -> None:
        _, frame, _, mark, words = picture
        most, size = np.abs(added).max() * 255, np.sqrt(np.mean(added**2)) * 255
        mark.set_text("")
        words.set(fontsize=12, fontweight="normal", color=MUTED)
        also = f" = {most / 255:.3f}, grey 0" if self.width > Narrow.width else ""
        size_of = f"±{most:.3g}/255{also}" if most else "nothing"
        words.set_text(self._called(size_of))
        self.hover(
            frame,
            f"Attacked minus clean, times {amplify:g}; grey is no change. Largest change "
            f"{most:.3g}/255 ({most / 255:.2g}), root mean square {size:.3g}/255",
        )

    # ------------------------------------------------------------------ the factor
    def _show_factor(self, result: Propagation, metric: str) -> None:
        at = self.places[5 if "undefended" in result.kinds else 4]
        x, tight = at.factor, at.tight
        ratio = result.first(metric)
        end, start = ratio[result.layers.index("logits")], ratio[0]
        self.factor.set(x=x, text=f"{times(end)}×", fontsize=24 if tight else 34)
        self.start.set(x=x, text=f"{times(start)}×", fontsize=16 if tight else 20)
        how = "rms" if metric == "rms" else NAMES[metric]
        if tight:
            effect, begun = ("the effect", "of noise,", "at logits"), ("at the", "input")
        else:
            effect = ("the effect of the noise,", "at the logits", "")
            begun = (f"at the input ({how})", _starts(result, float(start)))
        for text, words in zip((*self.effect, *self.begun), (*effect, *begun), strict=True):
            text.set(x=x, text=words)

    # ------------------------------------------------------------------ the lines
    def _show_lines(
        self, result: Propagation, pinned: Propagation | None, metric: str, layer: str
    ) -> None:
        how = "" if metric == "rms" else f" ({NAMES[metric]})"
        left = "it still" if "undefended" in result.kinds else "the attack"
        self.title.set_text(f"How far {left} moves each layer, noise = 1{how}")
        names = differing([it.subject for it in (pinned or result, result)])
        own = _this(result) if pinned is None or names[1] == "now" else short(names[1], 16)
        lines = [_line(result, "adversarial", metric, own)]
        if "undefended" in result.kinds:
            lines.append(_line(result, "undefended", metric, "not denoised"))
            lines.append(_line(result, "clean-denoised", metric, ""))
        if pinned is not None:
            lines.append(of_pinned(result, pinned, pinned.first(metric), short(names[0], 16), True))
        band = None
        if result.n > 1:
            middle = result.ratio(metric)
            band = np.stack([_inside(it) for it in (middle, *result.interval(metric))])
            end = _inside(middle)[-1]
            lines.append(Line("median", band[0], f"{times(end)}×", f"median of {result.n}"))
            lines.append(Line("median", band[0] * 0.999, "", "images, 95 %"))
        self.course.show(
            result.plan,
            lines,
            told(result, metric),
            layer,
            log=True,
            write=lambda value: f"{value:.3g}×",
            ratios=True,
            band=band,
            begin=f"{times(float(lines[0].values[0]))}×",
        )


class Narrow(Attacked):
    """The same on a narrow page, with smaller pictures and fewer words."""

    width, height = 640, height(252)
    places: ClassVar = {4: Places(120, 130, 524, 7, True), 5: Places(104, 112, 568, 5, True)}
    called: ClassVar[dict[str, str]] = {
        "What was added": "Added",
        "Behind the denoiser": "Denoised",
        "Control: same-sized noise": "Control: noise",
        "Same-sized noise": "Noise",
    }
    rows: ClassVar = ((48, 66, 82, 98), (124, 141, 157), (187, 198, 252))


def told(result: Propagation, metric: str) -> dict[str, str]:
    """Return what is said of each layer that can be chosen, by its name."""
    ratio = result.first(metric)
    values = {kind: result.of(kind, metric)[:, 0] for kind in ("adversarial", "random")}
    words = {}
    for k, name in enumerate(result.layers):
        if name == "probabilities":
            continue
        far = f"attack {values['adversarial'][k]:.3g}, noise {values['random'][k]:.3g}"
        far += f" ({NAMES[metric]})"
        if np.isfinite(ratio[k]):
            far = f"{times(ratio[k])} times as far as noise; {far}"
        words[name] = f"{name}, {described(result, name)}: {far}"
    return words


def of_pinned(
    result: Propagation, pinned: Propagation, values: np.ndarray, words: str, ratio: bool
) -> Line:
    """Return the line of a pinned result, at the layers of the same name."""
    there = dict(zip(pinned.layers, values, strict=True))
    drawn = np.array([there.get(name, np.nan) for name in result.layers])
    end = f"{times(there['logits'])}×" if ratio else ""
    return Line("pinned", _inside(drawn), end, words)


def _line(result: Propagation, kind: str, metric: str, words: str) -> Line:
    values = _inside(result.first(metric, kind))
    return Line(kind, values, f"{times(values[-1])}×" if words else "", words)


def _inside(values: np.ndarray) -> np.ndarray:
    """Return those that are drawn: the probabilities stand nowhere in the network."""
    return np.where(np.isfinite(values), values, np.nan)[:-1]


def _this(result: Propagation) -> str:
    return "denoised" if "undefended" in result.kinds else "this image"


def _starts(result: Propagation, ratio: float) -> str:
    """Say in what attack and noise are equal."""
    if not np.isfinite(ratio) or not ratio:
        return "" if ratio else "nothing was added"
    return f"the {'size ε' if result.norm == 'Linf' else 'length'} is the same"


def _rgb(image: np.ndarray) -> np.ndarray:
    stride = -(-max(image.shape[1:]) // MOST)
    return rgb(image[:, ::stride, ::stride])


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Return few pixels as large ones: a browser would blur them."""
    by = max(1, 2 * SIDE // max(pixels.shape[:2]))
    return pixels.repeat(by, axis=0).repeat(by, axis=1)
