"""What opens below the picture of a saliency analysis."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as W
import numpy as np
from matplotlib.figure import Figure

from ...core.wording import counted, percent, typeset
from ...ui.panels.panel import Drawn, Panel
from .result import STEPS, Saliency
from .values import number, two

if TYPE_CHECKING:
    from ...ui.explorer import Explorer

PACE = 160
"""Milliseconds from one alpha to the next."""


class Part(Drawn):
    """A part of the result that is drawn, whose marks and handles answer."""

    part: ClassVar[str] = ""
    half, height = True, 250

    def choose(self, kind: str, key: str) -> None:
        """Answer to a click on a mark."""

    def chosen(self, result: Saliency) -> dict[str, str]:
        """Return what is chosen in it."""
        return {}

    def show(self, result: Saliency) -> None:
        """Draw a result."""
        explorer = self.explorer
        views = explorer.views() | {"part": self.part}

        def draw(figure: Figure) -> None:
            result.draw(figure, pinned=explorer.work.ghost, **views)

        self.paint(draw, self.question, self.chosen(result))


class AgreementTable(Part):
    """How far all maps agree, with each other and with their controls."""

    name, part = "agreement", "agreement"
    question = "Do other “nothings” agree?"

    def choose(self, kind: str, key: str) -> None:
        """Show the pair of a cell in the picture above."""
        first, _, second = key.partition(",")
        self.explorer.guard(lambda: self.explorer.compare(first, second))

    def chosen(self, result: Saliency) -> dict[str, str]:
        """Return the pair that is shown."""
        views = self.explorer.views()
        first, second = sorted(views["pair"])
        if views["versus"] == "untrained":
            return {"pair": f"{views['pair'][0]},untrained"}
        return {"pair": f"{first},{second}"}


class Deletion(Part):
    """The score while credited pixels are replaced."""

    name, part = "deletion", "deletion"
    question = "Do the credited pixels matter?"

    def made(self) -> Any:
        """Return what pixels are replaced by, and the curves."""
        stage = super().made()
        fill = self.explorer.controls["fill"]
        said = W.HTML('<span class="rw-muted">Drag the handle; dotted: random order.</span>')
        row = W.HBox([fill, said])
        row.add_class("rw-controls")
        return W.VBox([row, stage])


class Path(Part):
    """The way from each baseline to the image, and a handle and a button that walk it."""

    name, part = "path", "path"
    question = "What happens on the way to the image?"

    def made(self) -> Any:
        """Return a button and the curves."""
        stage = super().made()
        self.player = AlphaPlayer(self.explorer)
        said = W.HTML('<span class="rw-muted">Drag the handle; the maps above follow.</span>')
        row = W.HBox([self.player.button, self.player.play, said])
        row.add_class("rw-row")
        return W.VBox([row, stage])

    def show(self, result: Saliency) -> None:
        """Draw a result, and wait for being closed."""
        super().show(result)
        (here,) = (it for it in self.explorer.page.opened if it.name == self.name)
        here.box.layout.observe(self._put_back, "display")

    def _put_back(self, change: Any) -> None:
        """Show the maps as at the start again when the panel is closed."""
        if change["new"] == "none":
            self.explorer.settings.move("alpha", self.explorer.start["alpha"])


class Colours(Panel):
    """What the colours show, and where they end."""

    name = "colours"
    question = "What do the colours show?"
    half = True

    def made(self) -> Any:
        """Return two controls and what they mean."""
        controls = W.HBox([self.explorer.controls[name] for name in ("polarity", "clip")])
        controls.add_class("rw-controls")
        self._said = W.HTML()
        return W.VBox([controls, self._said])

    def show(self, result: Saliency) -> None:
        """Say where the colours of each map end, and how many pixels lie beyond."""
        clip = self.explorer.views()["clip"]
        rows = []
        for b, values in enumerate(result.maps[0]):
            sizes = np.abs(values)
            end = float(np.percentile(sizes, clip))
            rows.append(
                [result.called(b), f"±{number(end, sign=False)}",
                 number(float(sizes.max()), sign=False), percent((values < 0).mean(), 0)]
            )  # fmt: skip
        head = ["compared with", "colours end at", "largest", "pixels that oppose"]
        words = (
            "Blue supports the class, orange opposes it; a dot marks what opposes beyond a third "
            f"of the scale. Colours end at the {clip:g} % percentile of the magnitudes. On its own "
            "scale each map shows its pattern; on a shared one a map of little credit looks blank, "
            "and sizes can be compared."
        )
        self._said.value = f"<div>{typeset(words)}</div>{_table(head, rows)}"


class Numbers(Panel):
    """Completeness, controls, deletion and what the network says to each baseline, as a table."""

    name = "numbers"
    question = "How large is everything?"

    def show(self, result: Saliency) -> None:
        """Show a row for each baseline."""
        head = [
            "compared with", "map adds up to", "change in the score", "gap", "untrained, ρ",
            "half the steps, ρ" if result.method == "ig" else "drawn twice, ρ",
            "on “nothing” alone", "entropy, nats",
        ]  # fmt: skip
        control, ceiling = result.control(), result.ceiling()
        sums = result.maps.sum((2, 3)).mean(0)
        due = (result.scores_clean[:, None] - result.scores_baseline).mean(0)
        rows = []
        for b in range(len(result.baselines)):
            p = result.neutrality[:, b].mean(0)
            alone, entropy = "", ""
            if result.has_baseline:
                alone = f"{result.classes[int(p.argmax())]} {percent(float(p.max()), 0)}"
                entropy = f"{result.entropy[:, b].mean():.2f} of {np.log(len(p)):.2f}"
            gap = result.gaps[b]
            rows.append(
                [
                    result.called(b),
                    number(float(sums[b])),
                    number(float(due[b])) if np.isfinite(due[b]) else "",
                    percent(float(gap)) if np.isfinite(gap) else "",
                    *(two(float(it)) if np.isfinite(it) else "" for it in (control[b], ceiling[b])),
                    alone,
                    entropy,
                ]
            )
        blind = "" if result.blindest is None else result.blind_spot(result.blindest)
        n = counted(len(result.index)) + ", mean" * (len(result.index) > 1)
        words = " ".join([n, "·", blind, *(f"{note}." for note in result.notes)])
        self.body.value = f"{_table(head, rows)}<div>{html.escape(typeset(words))}</div>"


class AlphaPlayer:
    """A button that plays alpha from 0 to 1, or stops.

    Parameters
    ----------
    explorer : Explorer
        On whose page it stands.

    Attributes
    ----------
    button : ipywidgets.Button
        What is seen.
    play : ipywidgets.Play
        The clock, which is not seen.
    """

    def __init__(self, explorer: Explorer) -> None:
        self._alpha = explorer.controls["alpha"]
        self.button = W.Button(description="Play", tooltip="Play α from 0 to 1, or stop")
        self.button.layout.width = "52px"
        self.button.on_click(lambda _: explorer.guard(self._toggle))
        self.play = W.Play(
            STEPS, min=0, max=STEPS, interval=PACE, show_repeat=False,
            description="play", layout=W.Layout(display="none"),
        )  # fmt: skip
        self.play.observe(self._on_played, "value")
        self.play.observe(self._on_playing, "playing")
        self._alpha.observe(self._on_alpha, "value")

    def enable(self, why: str) -> None:
        """Let it be played, or say why it cannot be."""
        self.button.disabled = bool(why)
        self.button.tooltip = why or "Play α from 0 to 1, or stop"
        self.play.playing &= not why

    def _toggle(self) -> None:
        if not self.play.playing and self.play.value == STEPS:
            self.play.value = 0
        self.play.playing = not self.play.playing

    def _on_playing(self, change: Any) -> None:
        self.button.description = "Stop" if change["new"] else "Play"

    def _on_played(self, change: Any) -> None:
        self._alpha.value = change["new"] / STEPS

    def _on_alpha(self, change: Any) -> None:
        place = round(change["new"] * STEPS)
        if place != self.play.value:  # moved by hand
            self.play.playing = False
            self.play.value = place


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        told = (f"<{tag}>{html.escape(typeset(it))}</{tag}>" for it in cells)
        return f"<tr>{''.join(told)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
