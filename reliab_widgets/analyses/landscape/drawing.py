"""Two surfaces with a line through them, what is met along the line, and the divergence below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...core.drawing import Handle, short
from ...core.pixels import rgb
from ...core.style import BLUE, GREY, INK, LINES, MUTED, ORANGE, PAPER, Coloured, Sheet
from ...core.wording import differing, grey_levels, percent, signed
from .ruler import Ruler
from .sentences import at_half, distance, nats, surface

if TYPE_CHECKING:
    from .result import Landscape

TOP = 22
"""Where maps and chart begin."""
CLIP = 99
"""Percentile at which colours end."""
DOTS = 15
"""Pixels between two dots of what is wrong."""
AHEAD = {"gradient": "gradient", "random": "random", "attacks": "BIM", "images": "image"}
"""What the first direction of a plane is called on the axis."""


class Places(NamedTuple):
    """Where things stand.

    Parameters
    ----------
    side : int
        Pixels of a map along its side.
    second : int
        Where the second map begins.
    chart, wide : int
        Where the chart begins, and how wide it is.
    ruler : int
        Where the ruler of divergences begins.
    brief : bool
        Whether there is little room for words.
    """

    side: int
    second: int
    chart: int
    wide: int
    ruler: int
    brief: bool = False


class Surfaces(Sheet):
    """The plane and its control, a line through both, and the largest divergence found."""

    height = 362
    places: ClassVar = Places(208, 232, 520, 264, 360)

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        at = self.places
        self.maps = [_Map(self, x, at.side) for x in (0, at.second)]
        bottom = TOP + at.side
        self.bar = Coloured(self, 0, bottom + 28, at.second + at.side, 6)
        self.ends = [
            self.label(x, bottom + 51, ha=side)
            for x, side in (
                (0, "left"),
                ((at.second + at.side) / 2, "center"),
                (at.second + at.side, "right"),
            )
        ]
        self.title = self.heading(at.chart - 36)
        self.axes = axes = self.chart(at.chart, TOP + 8, at.wide, at.side - 42)
        self.unit = self.label(at.chart + at.wide / 2, bottom + 8, ha="center")
        self.zero = axes.axhline(0, color=INK, lw=1.2, zorder=1)
        (self.control,) = axes.plot([], [], ":", color=GREY, lw=1.8, zorder=3)
        (self.squares,) = axes.plot([], [], "s", mfc=PAPER, mec=GREY, mew=1.2, ms=5, zorder=3)
        (self.ghost,) = axes.plot([], [], "-o", color=INK, lw=1.2, mfc=PAPER, ms=6, zorder=4)
        (self.main,) = axes.plot([], [], color=BLUE, lw=2.2, zorder=5)
        (self.change,) = axes.plot([], [], "D", color=ORANGE, mec=PAPER, mew=1, ms=8, zorder=7)
        (self.here,) = axes.plot([0], [0], "o", color=INK, mec=PAPER, mew=1, ms=7, zorder=6)
        self.names = [self.text(at.chart + at.wide + 8, 0) for _ in range(3)]
        self._make_turn(bottom)
        low = bottom + 70
        self.thumbnail = self.page.imshow(
            np.zeros((1, 1, 3), np.uint8), extent=(0, 60, low + 60, low), interpolation="none"
        )
        self.page.set(xlim=(0, self.width), ylim=(self.height, 0), aspect="auto")
        self.rim = Rectangle((0, low), 60, 60, fc="#ffffff01", ec=LINES, lw=1)
        self.page.add_patch(self.rim)
        self.question = self.heading(0, y=low + 14)
        self.number = self.text(0, low + 44, fontsize=26, fontweight="bold", color=BLUE)
        self.words = [self.label(0, y) for y in (low + 35, low + 52)]
        self.ruler = Ruler(self, at.ruler, self.width - (4 if at.brief else 44), low + 34)

    def _make_turn(self, bottom: float) -> None:
        """Make the track whose ring turns the line."""
        at = self.places
        self.turn = self.chart(at.chart, bottom + 22, at.wide, 18)
        self.turn.set(xlim=(0, 179), ylim=(-1, 1), xticks=[], yticks=[])
        self.turn.spines["bottom"].set_visible(False)
        self.turn.axhline(0, color=LINES, lw=4, solid_capstyle="round")
        (self.ring,) = self.turn.plot(
            [0], [0], "o", ms=16, mfc=PAPER, mec=BLUE, mew=2.2, clip_on=False, zorder=6
        )
        self.turned = self.label(at.chart + at.wide / 2, bottom + 58, ha="center")

    def show(
        self, result: Landscape, pinned: Landscape | None, name: str | None, angle: int
    ) -> None:
        """Move every artist to the numbers of ``result``; see `Landscape.draw`."""
        if pinned is not None and pinned.space != result.space:
            pinned = None
        shown = surface(result, name)
        values = result.surface(shown)
        limit = float(np.percentile(np.abs(values), CLIP)) or 1.0
        sign = 1 if shown == "decision" else -1
        for row, place in enumerate(self.maps):
            place.show(result, values[row], limit * sign, row, angle)
        self._show_bar(result, shown, limit)
        self._show_line(result, pinned, shown, angle)
        self._show_turn(result, angle)
        inside = result.space == "input"
        for artist in (self.thumbnail, self.rim):
            artist.set_visible(inside)
        if inside:
            self._show_image(result)
            self._show_divergence(result, pinned)
        else:
            self._show_weights(result, angle)

    # ------------------------------------------------------------------ maps
    def _show_bar(self, result: Landscape, shown: str, limit: float) -> None:
        decision, brief = shown == "decision", self.places.brief
        self.bar.show(
            np.linspace(-1 if decision else 0, 1, 64)[None] * limit, limit * (2 * decision - 1)
        )
        end = nats(limit)
        words = (f"· wrong, S = −{end}", "0: boundary", f"S = +{end}, right")
        if result.space == "weights":
            words = (f"mean S = −{end}", "0", f"mean S = +{end}")
        if not decision:
            line = "line: half are right" if result.space == "weights" else "line: boundary"
            words = ("loss 0", line, f"{end}{'' if brief else ' nats'}")
        for text, word in zip(self.ends, words, strict=True):
            text.set_text(word)

    # ------------------------------------------------------------------ the line
    def _show_line(
        self, result: Landscape, pinned: Landscape | None, shown: str, angle: int
    ) -> None:
        scale = 255.0 if result.space == "input" else 100.0
        values = result.surface(shown)
        lines = [result.along(values[row], angle, row) for row in (0, 1)]
        seen = [(self.main, lines[0]), (self.control, lines[1])]
        behind = np.empty(0), np.empty(0)
        if pinned is not None:
            far, ghost = pinned.along(pinned.surface(shown)[0], angle, 0)
            behind = far * scale, ghost
        for artist, (far, height) in seen:
            artist.set_data(far * scale, height)
        self.squares.set_data(lines[1][0][::20] * scale, lines[1][1][::20])
        self.ghost.set_data(*behind)
        self.ghost.set_markevery(20)
        every = np.concatenate([lines[0][1], lines[1][1], behind[1]])
        low, high = float(min(every.min(), 0)), float(max(every.max(), 0))
        room = max(high - low, 1e-3) * 0.06
        self.axes.set_ylim(low - room, high + room)
        rim = max(float(np.abs(line[0]).max()) for line in lines) * scale
        self.axes.set_xlim(-rim, rim)
        middle = float(lines[0][1][len(lines[0][1]) // 2])
        self.here.set_data([0], [middle])
        away = result.crossing(angle, 0)
        # On the nearer side, which may be either.
        place = away if _changes_ahead(result, angle, away) else -away
        at = np.array([] if np.isinf(away) else [place])
        self.change.set_data(at * scale, np.interp(at, *lines[0]))
        kind = "S" if shown == "decision" else "Loss"
        many = f", mean of {result.n} images" if result.space == "weights" and result.n > 1 else ""
        self.title.set_text(f"{kind} along the line{many if not self.places.brief else ''}")
        unit = (
            "distance, /255 (L∞)" if result.space == "input" else "distance, % of a filter’s length"
        )
        self.unit.set_text(unit)
        inside = result.space == "input"
        ends = [
            (AHEAD[result.plane] if inside else "this one", BLUE, float(lines[0][1][-1])),
            ("random" if inside else "another", GREY, float(lines[1][1][-1])),
        ]
        if pinned is not None:
            called = differing([it.subject for it in (pinned, result)])[0]
            most = 9 if self.places.brief else 13
            ends.append((short(called, most), INK, float(behind[1][-1])))
        self._name(ends)
        self.hover(self.main, f"{kind} along the line at {angle}°: {_met(result, away)}")

    def _name(self, ends: list[tuple[str, str, float]]) -> None:
        """Write what the lines are at their ends, so far apart that they can be read."""
        low, high = self.axes.get_ylim()
        tall = self.places.side - 42
        order = sorted(ends, key=lambda it: -it[2])
        y, last = 0.0, TOP + 8 + tall
        heights: list[float] = []
        for _, _, value in order:
            y = max(TOP + 12 + tall * (high - value) / (high - low), y + 15 if heights else 0)
            heights.append(y)
        over = max(0.0, heights[-1] - last)
        for text in self.names:
            text.set_text("")
        for text, (word, colour, _), y in zip(self.names, order, heights, strict=False):
            text.set(
                y=y - over,
                text=word,
                color=colour,
                fontweight="bold" if colour == BLUE else "normal",
            )

    def _show_turn(self, result: Landscape, angle: int) -> None:
        self.ring.set_xdata([angle])
        first = "first direction" if result.space == "weights" else AHEAD[result.plane]
        words = f"drag: line at {angle}° from the {first}"
        self.turned.set_text(words)
        self.handle(self.ring, "angle", words, Handle(self.turn, 0, 179, angle, 1))

    # ------------------------------------------------------------------ the divergence
    def _show_image(self, result: Landscape) -> None:
        self.thumbnail.set_data(rgb(result.picture))
        name = result.classes[result.truth]
        self.hover(self.rim, f"image {result.image}, true class {name}")

    def _show_divergence(self, result: Landscape, pinned: Landscape | None) -> None:
        ascent, search = (float(result.own[it]) for it in (0, 2))
        found = search if np.isnan(ascent) else ascent
        within = f"±{grey_levels(result.epsilon)}"
        brief = self.places.brief
        self.question.set(x=74, text=f"Largest divergence found{'' if brief else f', {within}'}")
        known = np.isfinite(found)
        number = nats(found).replace("below ", "<") if known else ""
        self.number.set(x=74, text=number)
        x = 74 + 17 * len(number) + 8 * known
        how = "nats, a lower bound" if known else "follows with the fine grid"
        below = f"within {within}" if brief else "KL(p(x) ‖ p(x + d)), d in the thin rim"
        for text, word in zip(self.words, (how, below), strict=True):
            text.set(x=x, text=word)
        self.ruler.show(result, pinned)

    def _show_weights(self, result: Landscape, angle: int) -> None:
        here, there = (at_half(result, angle, row) for row in (0, 1))
        middle = result.middle
        begins, right = (float(it[0, middle, middle]) for it in (result.loss, result.right))
        half = percent(result.reach / 2, 0)
        self.question.set(x=0, text=f"Loss after {half} of each filter’s length")
        self.number.set(x=0, text=nats(here))
        x = 17 * len(nats(here)) + 8
        words = (
            f"from {nats(begins)} in the middle, where {percent(right, 0)} are right",
            f"control: {nats(there)} on another random plane",
        )
        for text, word in zip(self.words, words, strict=True):
            text.set(x=x, text=word)
        self.ruler.hide()


class Narrow(Surfaces):
    """The same on a narrow page."""

    width = 640
    height = 322
    places: ClassVar = Places(168, 182, 404, 164, 300, True)


class _Map:
    """One surface with its boundary, the line, the ball and the attack's path."""

    def __init__(self, sheet: Sheet, x: float, side: float) -> None:
        self.sheet, self.x, self.side = sheet, x, side
        page = sheet.page
        self.title = sheet.heading(x)
        self.colours = Coloured(sheet, x, TOP, side, side)
        self.frame = Rectangle((x, TOP), side, side, fc="#ffffff01", ec=LINES, lw=1, zorder=3)
        page.add_patch(self.frame)
        halo = [withStroke(linewidth=4.5, foreground=PAPER)]
        (self.dots,) = page.plot([], [], ".", ms=2.5, color=INK, alpha=0.55, zorder=3)
        (self.ball,) = page.plot([], [], "-", color=MUTED, lw=1, zorder=3.5)
        (self.line,) = page.plot([], [], color=BLUE, lw=2.2, zorder=4, path_effects=halo)
        (self.path,) = page.plot([], [], "--", color=ORANGE, lw=2.2, zorder=5, path_effects=halo)
        (self.end,) = page.plot([], [], "^", color=ORANGE, mec=PAPER, mew=1, ms=9, zorder=6)
        (self.middle,) = page.plot([], [], "o", color=INK, mec=PAPER, mew=1, ms=7, zorder=6)
        for artist in (self.ball, self.line, self.path):
            artist.set_clip_path(self.frame)
        self.contour: Any = None
        self.below = [
            sheet.label(at, TOP + side + 17, ha=way)
            for at, way in ((x, "left"), (x + side / 2, "center"), (x + side, "right"))
        ]

    def show(
        self, result: Landscape, values: np.ndarray, limit: float, row: int, angle: int
    ) -> None:
        """Show a surface; rows go upwards."""
        self.colours.show(values[::-1], limit)
        self._show_boundary(result, row)
        turn = np.deg2rad(angle)
        edge = result.reach / max(abs(np.cos(turn)), abs(np.sin(turn)))
        ends = np.array([[-1, -1], [1, 1]]) * edge * (np.cos(turn), np.sin(turn))
        self.line.set_data(*self._places(result, ends))
        self.middle.set_data(*self._places(result, np.zeros((1, 2))))
        self._show_ball(result, row)
        path = result.path if row == 0 else result.path[:0]
        self.path.set_data(*self._places(result, path))
        inside = path[-1:][(np.abs(path[-1:]) <= result.reach).all(1)]
        self.end.set_data(*self._places(result, inside))
        self._say(result, row)

    def _places(self, result: Landscape, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where coordinates (n, 2) lie on the sheet."""
        count = len(result.axis)
        unit = self.side * (count - 1) / count / 2 / result.reach
        middle = np.array([self.x + self.side / 2, TOP + self.side / 2])
        x, y = (middle + points * (unit, -unit)).T
        return x, y

    def _show_boundary(self, result: Landscape, row: int) -> None:
        if self.contour is not None:
            self.contour.remove()
            self.contour = None
        values = result.boundary[row]
        if values.min() < 0 < values.max():
            x, _ = self._places(result, np.stack([result.axis, 0 * result.axis], 1))
            _, y = self._places(result, np.stack([0 * result.axis, result.axis], 1))
            self.contour = self.sheet.page.contour(
                x, y, values, [0.0], colors=[INK], linewidths=1.6, zorder=3.2
            )
        steps = np.arange(DOTS / 2, self.side, DOTS)
        cells = (steps / self.side * len(result.axis)).astype(int)
        rows, columns = np.nonzero(values[np.ix_(cells, cells)] < 0)
        self.dots.set_data(self.x + steps[columns], TOP + self.side - steps[rows])

    def _show_ball(self, result: Landscape, row: int) -> None:
        if result.space != "input":
            self.ball.set_data([], [])
            return
        way = np.deg2rad(np.arange(361))
        radius = result.epsilon / result.stretch[row][np.arange(361) % 180]
        rim = np.stack([np.cos(way), np.sin(way)], 1) * radius[:, None]
        self.ball.set_data(*self._places(result, rim))

    def _say(self, result: Landscape, row: int) -> None:
        brief, inside = self.side < 200, result.space == "input"
        plane = "random" if row else result.plane
        titles = {
            "gradient": "Towards the gradient",
            "random": "A random plane",
            "attacks": "Towards two attacks",
            "images": "Towards another image",
        }
        title, ahead = titles[plane], AHEAD[plane]
        if not inside:
            title, ahead = "A plane of weights", "random"
        if row:
            title = "Control: a random plane" if inside else "Control: another"
        self.title.set_text(title if not brief else title.replace("Control: a r", "Control: r"))
        rim = distance(result, result.reach)
        ahead += " →"
        if brief and inside:  # the unit stands once
            rim, ahead = rim.removesuffix("/255"), f"/255, {ahead}"
        for text, word in zip(self.below, (f"−{rim}", ahead, f"+{rim}"), strict=True):
            text.set_text(word)
        near = result.nearest(row)
        words = f"{title}: {_met(result, near)}, whichever way"
        if row == 0 and len(result.path):
            end = float(result.path_margin[-1])
            held = percent(float(result.held[-1]), 0)
            words += (
                f"; the attack ends at S = {signed(end, 1)}, the plane holds {held} of its length"
            )
        self.sheet.hover(self.frame, words)


def _changes_ahead(result: Landscape, angle: int, away: float) -> bool:
    """Tell whether the prediction changes in the direction of the line, not against it."""
    length, values = result.along(result.boundary[0], angle, 0)
    beyond = np.interp(away + (length[1] - length[0]), length, values)
    return bool((beyond > 0) != (values[len(values) // 2] > 0))


def _met(result: Landscape, away: float) -> str:
    what = "the prediction changes" if result.space == "input" else "half are right"
    if np.isinf(away):
        return f"no place within {distance(result, result.reach)} where {what}"
    return f"{what} {distance(result, away)} away"
