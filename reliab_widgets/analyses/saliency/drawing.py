"""The picture of a saliency analysis: image, two maps, and how far they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...core.drawing import Grid, short
from ...core.pixels import edges, in_cells, outline, rgb
from ...core.style import BLUE, INK, LINES, MUTED, ORANGE, PAPER, Coloured, Sheet
from ...core.wording import counted, differing, percent
from . import sentences
from .columns import Column, asked, beside, has_beside, of_nothings
from .marks import OPPOSES, Lines, boxes, limit, part
from .ruler import Level, Reading, Ruler
from .values import CELLS, number, place, step, two

if TYPE_CHECKING:
    from .result import Saliency

SIDE, TOP = 200, 24
"""Of image and maps."""
RING = 10
"""Pixels that the ring on a cell takes at least."""
NOTHING_YET = ("At α = 0 nothing has been", "added yet. Drag α in the", "panel “path”.")
"""What stands on a map that is empty because nothing is accumulated."""


class Look(NamedTuple):
    """How the maps are shown; see `Saliency.draw`."""

    polarity: str
    scale: str
    clip: float
    alpha: float
    cell: tuple[int, int] | None
    versus: str
    preview: bool


class Maps(Sheet):
    """Image, two maps with their scales and the credit of one pixel, and the ruler."""

    height = 284
    lefts: ClassVar[tuple[int, int, int]] = (0, 222, 444)
    ruler_kind: ClassVar[type[Ruler]] = Ruler

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        figure.suppressComposite = True  # pixels stay pixels: none is blended into a larger image
        self.original = self.picture(0, TOP, SIDE, SIDE)
        self.original.set_gid("rw-smooth")
        self.name = self.heading(0, "The image")
        self.answer = self.text(0, 253, fontweight="bold")
        self.other = self.label(SIDE, 253, ha="right")
        self.unit = self.label(0, 272)
        self.columns = [_Column(self, x) for x in self.lefts]
        self.frames: list[Rectangle] = []
        self.rings: list[Rectangle] = []
        self.targets: list[Rectangle] = []
        for x in self.lefts:
            frame = Rectangle((x, TOP), SIDE, SIDE, fc="none", ec=LINES, lw=1, zorder=2)
            ring = Rectangle((x, TOP), 0, 0, fc="none", ec="#000000", lw=2, zorder=8)
            ring.set_path_effects([withStroke(linewidth=5, foreground="#ffffff")])
            # Almost transparent, because what is not painted cannot be pointed at.
            target = Rectangle((x, TOP), SIDE, SIDE, fc=PAPER, alpha=0.004, lw=0, zorder=9)
            for patches, patch in (
                (self.frames, frame), (self.rings, ring), (self.targets, target),
            ):  # fmt: skip
                self.page.add_patch(patch)
                patches.append(patch)
        self.ruler = self.ruler_kind(self)

    def show(
        self,
        result: Saliency,
        pinned: Saliency | None,
        control: Saliency | None,
        pair: tuple[int, int],
        look: Look,
    ) -> None:
        """Move every artist to the numbers of ``result``; see `Saliency.draw`."""
        if pinned is not None and asked(pinned) != asked(result):
            pinned = None  # of another image, class or score: nothing to lay behind this
        if look.versus == "behind" and pinned is not None:
            seen = beside(result, pinned, control, pair)
        else:
            seen = of_nothings(result, pinned, pair, look.versus, look.alpha)
        alone = len(seen) < len(self.columns)
        self._show_image(result, alone)
        limits = [limit(part(it.whole, look.polarity), look.clip) for it in seen]
        if look.scale == "shared":
            limits = [max(limits)] * len(limits)
        places = self.columns[alone:]
        for column in self.columns:
            column.hide()
        for column, it, end in zip(places, seen, limits, strict=False):
            column.show(it, end, look.polarity)
            column.say(NOTHING_YET if _begins(result, look) else ())
        if len(seen) == 1:
            places[1].say(_why_alone(result), inset=0)
        self._show_cells(result, seen, pair, look, alone)
        if look.versus == "behind" and pinned is not None:
            self._show_likeness(result, pinned, control, pair, look)
        else:
            shown = tuple(dict.fromkeys(pair if look.versus == "baseline" else pair[:1]))
            self._show_ruler(result, pinned, pair, shown, look)

    def _show_image(self, result: Saliency, seen: bool) -> None:
        """Show the image in the first column, unless a map stands there."""
        for artist in (self.original, self.name, self.answer, self.other, self.unit):
            artist.set_visible(seen)
        height, width = result.images.shape[2:]
        scale = SIDE / max(height, width)
        self.original.set_data(rgb(result.images[0]))
        self.original.set_extent((0, scale * width, TOP + scale * height, TOP))
        for patch in (*self.frames, *self.targets):
            patch.set(width=scale * width, height=scale * height)
        for column in self.columns:
            column.resize(scale * width, scale * height)
        p, target = result.probabilities[0], int(result.target[0])
        order = [k for k in np.argsort(-p, kind="stable").tolist() if k != target]
        self.answer.set_text(f"{short(result.classes[target], 14)} {percent(p[target], 0)}")
        self.other.set_text(f"{short(result.classes[order[0]], 12)} {percent(p[order[0]], 0)}")
        many = f" · 1 of {len(result.index)}" * (len(result.index) > 1)
        self.unit.set_text(f"colour: credit {_unit(result)}{many}")

    def _show_cells(
        self,
        result: Saliency,
        seen: list[Column],
        pair: tuple[int, int],
        look: Look,
        alone: bool,
    ) -> None:
        row, column = place(result, pair, look.cell)
        height, width = result.images.shape[2:]
        scale = SIDE / max(height, width)
        (box,) = boxes(np.array([[row, column]]), (height, width), scale)
        middle, size = box.mean(0), np.maximum(box[1] - box[0] + 3, RING)
        credit = [in_cells(it.values, CELLS) for it in seen]
        open_ = [not it.gap > result.INCOMPLETE for it in seen]
        rows, columns = len(edges(height, CELLS)) - 1, len(edges(width, CELLS)) - 1
        texts = [
            f"row {r + 1}, column {c + 1}: "
            + ", ".join(
                f"{it.called} {number(float(values[r, c])) if told else 'not told'}"
                for it, values, told in zip(seen, credit, open_, strict=True)
            )
            for r, c in np.ndindex(rows, columns)
        ]
        here = alone + len(seen)
        for at, (left, ring, target) in enumerate(
            zip(self.lefts, self.rings, self.targets, strict=True)
        ):
            for artist in (ring, target, self.frames[at]):
                artist.set_visible(at < here)
            ring.set_xy((left + middle[0] - size[0] / 2, TOP + middle[1] - size[1] / 2))
            ring.set(width=size[0], height=size[1])
        places = list(zip(self.targets, self.rings, strict=True))[:here]
        self.grid("cell", Grid(rows, columns, row, column, texts), places)
        what = "this pixel" if max(height, width) <= CELLS else "this cell"
        supported = short(result.classes[result.target[0]], 10)
        for at, values in enumerate(credit):
            value = float(values[row, column])
            means = "supports" if value > 0 else "opposes"
            said = f"{number(value)} {means}" if value else "0"
            if value and len(said) + len(supported) < 19:
                said += f" {supported}"
            if not open_[at]:
                said = f"not told, gap {percent(seen[at].gap, 0)}"
            self.columns[alone + at].tell(what, said, (0.0 if not open_[at] else value))

    def _show_ruler(
        self,
        result: Saliency,
        pinned: Saliency | None,
        pair: tuple[int, int],
        shown: tuple[int, ...],
        look: Look,
    ) -> None:
        whole = look.alpha == 1 or not result.path.shape[-1]
        readings, a, b = [], *pair
        names = f"{result.called(a)} and {result.called(b)}"
        if a != b:
            value = sentences.rho(result, pair, look.alpha)
            text = f"{names}: ρ = {two(value)}"
            if whole:
                text += f", {sentences.alike(result, pair)}"
            kind = "main" if look.versus == "baseline" else "control"
            name = names if len(names) < 16 and kind == "main" else "the two maps"
            readings.append(Reading(value, name, kind, text, "versus:baseline"))
        if whole:
            value = sentences.untrained(result, shown)
            kind = "control" if look.versus == "baseline" else "main"
            text = f"with the map of the untrained network: ρ = {two(value)}; shows it"
            readings.append(Reading(value, "untrained net", kind, text, "versus:untrained"))
            value = sentences.again(result, shown)
            name = "half the steps" if result.method == "ig" else "drawn twice"
            readings.append(Reading(value, name, "control", f"{name}: ρ = {two(value)}"))
        if pinned is not None and whole:
            mark = "versus:behind" if has_beside(result, pinned, pair) else ""
            readings.append(_pinned(result, pinned, pair, look.versus)._replace(mark=mark))
        n, pixels = len(result.index), result.maps[0, 0].size
        marks = (
            "□ control" if pinned is None or not whole else f"□ control, ○ {result.beside(pinned)}"
        )
        notes = (
            f"Spearman’s ρ over {pixels:,} pixels",
            short(f"{counted(n)}{', mean' * (n > 1)}; {marks}", 34),
        )
        heading = "Do the two maps agree?" if a != b else "The map and its controls"
        self.ruler.show(heading, readings, notes, _withheld(result, shown, look))

    def _show_likeness(
        self,
        result: Saliency,
        pinned: Saliency,
        control: Saliency | None,
        pair: tuple[int, int],
        look: Look,
    ) -> None:
        """Show how far the map agrees with that behind, beside the control and the untrained."""
        baseline = result.baselines[pair[0]]
        every = [pinned, result, *([] if control is None else [control])]
        names = differing([it.subject for it in every])

        def reading(other: Saliency, name: str, kind: str) -> Reading:
            value = sentences.likeness(other, pinned, baseline)
            text = f"{name}, with the map of {names[0]}: ρ = {two(value)}"
            return Reading(value, short(name, 16), kind, text)

        readings = [reading(result, names[1], "main")]
        if control is not None:
            readings.append(reading(control, names[2], "control")._replace(name="control"))
        value = sentences.untrained(result, pair[:1])
        text = f"with the map of the untrained network: ρ = {two(value)}; shows it"
        readings.append(Reading(value, "untrained net", "control", text, "versus:untrained"))
        n, pixels = len(result.index), result.maps[0, 0].size
        count = "mean of " * (n > 1) + counted(n)
        against = f", from {result.called(pair[0])}" * result.has_baseline
        notes = (
            short(f"ρ over {pixels:,} pixels, {count}", 34),
            short(f"{_unit(result)}{against}", 34),
        )
        why = _withheld(result, pair[:1], look) or _withheld(
            pinned, _places(pinned, baseline), look
        )
        self.ruler.show(f"Like that of {short(names[0], 12)}?", readings, notes, why)


class Narrow(Maps):
    """The same on a narrow page, with the ruler below."""

    width, height = 640, 368
    lefts = (0, 220, 440)
    ruler_kind = Level


class _Column:
    """One map: its heading, its scale, and the credit of one pixel."""

    def __init__(self, sheet: Sheet, x: float) -> None:
        self.x = x
        self.swatch = sheet.picture(x, 3, 12, 12)
        self.rim = Rectangle((x, 3), 12, 12, fc="none", ec=MUTED, lw=1)
        sheet.page.add_patch(self.rim)
        self.name = sheet.heading(x)
        self.map = Coloured(sheet, x, TOP, SIDE, SIDE)
        self.bar = Coloured(sheet, x, 232, SIDE, 6)
        self.ends = [
            sheet.label(x + at * SIDE, 253, ha=side) for at, side in ((0.0, "left"), (1.0, "right"))
        ]
        self.what = sheet.label(x, 272)
        self.said = sheet.text(x + 62, 272, fontweight="bold")
        self.dots = Lines(sheet, fc=PAPER, lw=0, zorder=3)
        self.ghost = Lines(sheet, fc="none", ec=INK, lw=1.2, zorder=4)
        self.alone = [sheet.label(x, 100 + 19 * row) for row in range(3)]
        self._size = (float(SIDE), float(SIDE))

    def resize(self, width: float, height: float) -> None:
        """Take the form of another image."""
        self._size = (width, height)
        for image in (self.map.light, self.map.dark):
            image.set_extent((self.x, self.x + width, TOP + height, TOP))

    def _see(self, here: bool) -> None:
        for artist in (
            self.swatch, self.rim, self.name, self.map.light, self.bar.light, *self.ends,
            self.what, self.said, self.dots.patch,
        ):  # fmt: skip
            artist.set_visible(here)

    def hide(self) -> None:
        """Leave the place free."""
        self._see(False)
        self.outline(None)
        self.say(())

    def say(self, why: tuple[str, ...], inset: float = 12) -> None:
        """Say in its place why nothing is seen."""
        for text, words in zip(self.alone, [*why, *[""] * 3], strict=False):
            text.set(x=self.x + inset, text=words)

    def show(self, column: Column, limit: float, polarity: str) -> None:
        """Show a map whose colours end at ``limit``."""
        values, swatch = column.values, column.swatch
        self.outline(column.top)
        self._see(True)
        shown = part(values, polarity)
        self.map.show(shown, limit)
        low = 0 if polarity == "magnitude" else -1
        self.bar.show(np.linspace(low, 1, 64)[None], 1.0)
        end = number(limit, sign=False)
        words = (f"· opposes −{end}", f"+{end} supports")
        if len(end) > 4:
            words = (f"· −{end}", f"+{end}")
        if low == 0:
            words = ("0", f"{end} either way")
        for text, word in zip(self.ends, words, strict=True):
            text.set_text(word)
        for artist in (self.swatch, self.rim):
            artist.set_visible(swatch is not None)
        if swatch is not None:
            self.swatch.set_data(swatch)
        self.name.set(text=column.heading, x=self.x + (19 if swatch is not None else 0))
        cells = in_cells(shown, CELLS) / in_cells(np.ones_like(shown), CELLS)
        odd = cells < -OPPOSES * limit
        scale = self._size[0] / values.shape[1]
        ends = boxes(np.argwhere(odd), (values.shape[0], values.shape[1]), scale)
        middle, reach = ends.mean(1), np.ptp(ends, axis=1) / 10
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        self.dots.show(middle[:, None] + signs * reach[:, None] + (self.x, TOP))

    def tell(self, what: str, said: str, value: float) -> None:
        """Tell the credit of one pixel."""
        self.what.set_text(what)
        colour = MUTED if value == 0 else BLUE if value > 0 else ORANGE
        self.said.set(text=said, color=colour)

    def outline(self, inside: np.ndarray | None) -> None:
        """Draw the rim of what was pinned, or nothing."""
        lines = np.empty((0, 2, 2))
        if inside is not None:
            lines = outline(inside) * self._size[0] / inside.shape[1] + (self.x, TOP)
        self.ghost.show(lines)


def _unit(result: Saliency) -> str:
    """Return in what a map counts: only where it adds up to the change in the score, in that."""
    name = short(result.classes[result.target[0]], 12)
    unit = f"p({name})" if result.score == "probability" else f"{result.score} of {name}"
    return f"in {unit}" if np.isfinite(result.gaps).all() else f"for {unit}, relative"


def _places(result: Saliency, baseline: str) -> tuple[int, ...]:
    return (result.baselines.index(baseline),)


def _pinned(result: Saliency, pinned: Saliency, pair: tuple[int, int], versus: str) -> Reading:
    """Return how far the pinned maps agree, and what they are where they are not these."""
    there = sentences.twins(result, pinned, pair)
    value = float("nan") if pinned.incomplete(*there) else sentences.told_of(pinned, there, versus)
    said = result.beside(pinned)
    if pinned.subject == result.subject:
        other, *_ = sentences.other_than(result, pinned, pair).split(", ")
        said = other.replace(" and ", ", ") or said
    return Reading(value, short(said, 16), "pinned", "")


def _withheld(result: Saliency, shown: tuple[int, ...], look: Look) -> tuple[str, ...]:
    """Say why the ruler is not drawn, a line each."""
    if not result.incomplete(*shown):
        return ("Nothing to compare", "at α = 0.") if _begins(result, look) else ()
    gaps = " and ".join(percent(gap, 0) for gap in result.gaps[list(shown)])
    way = "Follows with the full map." if look.preview else "Take more steps (all settings)."
    maps = "maps do" if len(shown) > 1 else "map does"
    return ("Not told:", f"the {maps} not add up,", f"gap {gaps}.", way)


def _begins(result: Saliency, look: Look) -> bool:
    """Tell whether the maps are those at the beginning of the path, where all credit is 0."""
    return bool(result.path.shape[-1]) and step(result, look.alpha) == 0


def _why_alone(result: Saliency) -> tuple[str, ...]:
    if result.has_baseline:
        return ("Both “nothings” are the same:", "choose another one.")
    return (
        f"{sentences.capital(sentences.method(result))} compares",
        "with no “nothing”:",
        "one map.",
    )
