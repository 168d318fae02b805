"""The knobs of the saliency analysis."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as W
import numpy as np
from matplotlib.figure import Figure

from ...drawing import short
from ...ops.attribution.baselines import BASELINES, NUMBERS
from ...ops.attribution.foreign import spatial_layers
from ...ops.attribution.methods import KNOBS, WITHOUT_BASELINE
from ...ops.attribution.palette import palette
from ...ops.attribution.scores import SCORES
from ...ops.calibration import percent
from ...ops.pixels import GRID, in_cells
from ...result import Result
from ...subject import Subject, check_subject
from ...ui import inputs
from ...ui.choices import Choices
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from .compute import FILLS, TARGETS, saliency
from .drawing import (
    MARKS,
    MOST,
    OPPOSES,
    SUPPORTS,
    Maps,
    accumulated,
    hex_code,
    number,
    tell,
    title,
)
from .result import NEAR, Saliency

METHODS = {
    "ig": "integrated gradients",
    "gradient": "gradient (no baseline)",
    "input-x-gradient": "input x gradient",
    "smoothgrad": "SmoothGrad (no baseline)",
    "expected-gradients": "expected gradients",
    "occlusion": "occlusion",
    "rise": "RISE",
    "gradcam": "Grad-CAM (no baseline)",
}
PICKED = "picked colour"
"""The box for a colour picked from the image."""
VIEW = ("alpha", "fill", "fraction", "sign", "scale", "clip")
"""Knobs that change the drawing only."""
MADE = ("colour", "blur")
"""Knobs that are said by the names of baselines."""
HYPER = ("steps", "noise", "window", "stride", "masks", "grid", "layer")
ROUGH = {"steps": 8, "masks": 64}
"""What a preview makes do with."""
STEPS = 16
"""Of the slider for alpha."""


class SaliencyWidget(Explorer):
    """Saliency maps with several baselines side by side: change what is called "nothing".

    Parameters
    ----------
    subject : Subject
        Whose answers are explained.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``show_code``, ``cache``, ``executor``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.analyses.saliency.widget import SaliencyWidget
    >>> widget = SaliencyWidget(rw.demo("resnet20")[:20])
    >>> widget.set(baselines=("black", "white"), steps=8).result.baselines
    ('black', 'white')
    >>> widget.close()
    """

    question = "Which pixels matter, compared with which “nothing”?"
    height = 366
    about = """<ul>
<li><b>Maps</b>: how much each pixel adds to the score of the explained class, against the baseline
above it. Blue supports, orange opposes, white is 0; the bar has the numbers. Point at a map: the
credit of that cell with every baseline.</li>
<li><b>Below each map</b>: its baseline (and, while α is below 1, the image between the two); the
<b>gap</b> between the sum of the map and what it should add up to, the score of the image less that
of the baseline; what the network says to the baseline alone, and how unsure it is of that. No
baseline is neutral.</li>
<li><b>Path</b>: the score on the straight way from the baseline to the image; α moves along it.
</li>
<li><b>Agreement</b>: rank correlation of the maps. <b>untr.</b>: with the map of the same network
with weights drawn anew, which knows nothing. <b>ceil.</b>: with itself, drawn twice or with half of
the steps: no two maps can be expected to agree better.</li>
<li><b>Deletion</b>: the score while the most relevant pixels are replaced by the fill; a good map
falls early. Grey dots: the mean of random orders. Change the fill, and the winner changes.</li>
<li><b>≈</b>: a preview with few steps; the full picture follows when you rest. <b>Yellow</b>: what
you pinned, the tenth of its pixels with the largest magnitude.</li>
</ul>"""

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        picker = Picker(subject)
        side = min(subject.images.shape[2:])
        layers = list(spatial_layers(subject))
        many = [n for n in (16, 64, 256) if n <= len(subject)]
        # Values that stand for "not given", which no control can hold.
        self._auto: dict[str, Any] = {
            "images": 0,
            "window": max(1, round(side / 4)),
            "stride": 0,
            "layer": layers[-1] if layers else "none",
        }
        controls = {
            "index": picker,
            "method": inputs.choice("Method", [(METHODS[name], name) for name in KNOBS]),
            "baselines": Choices(
                "Baselines", (*BASELINES, PICKED), ("black", "white", "mean", "blur"), most=MOST
            ),
            "target": inputs.choice("Class", TARGETS, "The class whose score is explained"),
            "alpha": W.FloatSlider(
                1.0, min=0, max=1, step=1 / STEPS, description="α", readout_format=".2f",
                tooltip="Where on the way from the baseline (0) to the image (1)",
            ),
            "fill": inputs.choice("Fill", FILLS, "What deleted pixels become"),
            "fraction": W.FloatSlider(
                0.1, min=0, max=0.5, step=0.01, description="deleted", readout_format=".0%",
                tooltip="The share of deleted pixels whose scores are told",
            ),
            "colour": inputs.choice("colour", [("1", 0)], "Which colour of the image is picked"),
            "blur": inputs.whole(
                "blur σ, %", 10, 1, 25, "Standard deviation of the blur in % of the image's side"
            ),
            "score": inputs.choice("score", SCORES),
            "steps": inputs.choice("steps", [8, 16, 32, 64, 128, 256], "Steps, or samples"),
            "noise": inputs.choice(
                "noise", [0.05, 0.1, 0.15, 0.25, 0.5, 1.0], "Standard deviation in pixel units"
            ),
            "window": inputs.whole("window", self._auto["window"], 1, side, "Side in pixels"),
            "stride": inputs.whole("stride", 0, 0, side, "In pixels; 0 is half a window"),
            "masks": inputs.choice("masks", [100, 400, 1600, 4000]),
            "grid": inputs.whole("grid", 4, 2, 16, "Cells along a side of RISE's masks"),
            "layer": inputs.choice("layer", layers or ["none"]),
            "sign": inputs.choice("sign", ["signed", "magnitude", "positive", "negative"]),
            "scale": inputs.choice(
                "scale", [("one for all maps", "shared"), ("one for each map", "map")]
            ),
            "clip": W.FloatSlider(
                99, min=90, max=100, step=0.5, description="clip", readout_format=".1f",
                tooltip="Percentile of the magnitudes at which the colours end",
            ),
            "seed": inputs.seed(),
            "images": inputs.choice(
                "average", [("this image", 0), *((f"{n} images", n) for n in many)],
                "Agreement and deletion over many images: a job",
            ),
        }  # fmt: skip
        controls["fill"].value = "mean"
        controls["steps"].value = 32
        controls["masks"].value = 400
        controls["noise"].value = 0.15
        controls["layer"].value = self._auto["layer"]
        controls["target"].options = [*TARGETS, *subject.classes]
        controls["target"].value = "predicted"
        self._hide = tuple(options.get("hide", ()))
        self._palettes: dict[int, tuple[tuple[str, float], ...]] = {}
        self._row, self._column = (
            W.IntSlider(
                4, 1, GRID, description=name, tooltip=f"{name} of the cell whose credit is told",
                layout=W.Layout(width="140px"), style={"description_width": "26px"},
            )
            for name in ("row", "col")
        )  # fmt: skip
        self._told = W.HTML(layout=W.Layout(flex="1 1 auto", min_width="0"))
        self._play = W.Play(
            STEPS, min=0, max=STEPS, interval=160, show_repeat=False,
            description="play", layout=W.Layout(display="none"),
        )  # fmt: skip
        super().__init__(
            saliency,
            subject,
            controls,
            fold=("colour", "blur", "score", *HYPER, "sign", "scale", "clip", "seed", "images"),
            **options,
        )

    # ------------------------------------------------------------------ parts
    def _arrange(self, fold: Any, show_code: bool) -> list[W.Widget]:
        parts = super()._arrange(fold, show_code)
        alpha, picker = self.controls["alpha"], self.controls["index"]
        self._run = self._button("Play", "Play α from 0 to 1, or stop", self._on_run)
        for name, value in (("width", "44px"), ("padding", "0"), ("flex", "0 0 auto")):
            setattr(self._run.layout, name, value)
        for name in ("method", "target", "fill", "fraction"):
            self.controls[name].style.description_width = "56px"
        if "alpha" in self._hide:
            self._run.layout.display = "none"
        alpha.style.description_width = "16px"
        alpha.layout.width = "174px"
        front = [
            W.HBox([alpha, self._run, self._play]) if part is alpha else part
            for part in self.side.children[:-2]
        ]
        # One or the other: together they would be taller than the picture.
        self._front = W.VBox(front)
        self._folded.children = (picker.which, *self._folded.children)
        for part in self._folded.children:
            part.layout.margin = "0 2px"
        self.notes.layout.height = "40px"
        self._readout.layout.max_height, self._readout.layout.overflow = "71px", "hidden auto"
        self.side.children = (self._front, self._more, self._folded)
        self.detail.children = (W.HBox([self._row, self._column, self._told]),)
        for part in (self._row, self._column):
            part.observe(self._changed, "value")
        self._play.observe(self._on_played, "value")
        self._play.observe(self._on_playing, "playing")
        alpha.observe(self._on_alpha, "value")
        return parts

    def _on_more(self) -> None:
        super()._on_more()
        opened = self._folded.layout.display != "none"
        self._front.layout.display = "none" if opened else ""
        self._more.description = "◂ Back" if opened else "▸ More"

    def _on_run(self) -> None:
        if not self._play.playing and self._play.value == STEPS:
            self._play.value = 0
        self._play.playing = not self._play.playing

    def _on_playing(self, change: Any) -> None:
        self._run.description = "Stop" if change["new"] else "Play"

    def _on_played(self, change: Any) -> None:
        self.controls["alpha"].value = change["new"] / STEPS

    def _on_alpha(self, change: Any) -> None:
        place = round(change["new"] * STEPS)
        if place != self._play.value:  # moved by hand
            self._play.playing = False
            self._play.value = place

    # ------------------------------------------------------------------ settings
    def state(self) -> dict[str, Any]:
        """Return the value of every knob; None is what the analysis chooses by itself."""
        state = super().state()
        return state | {n: None for n, value in self._auto.items() if state[n] == value}

    def assign(self, name: str, value: Any) -> None:
        """Put one knob's value into its control."""
        if value is None and name in self._auto:
            value = self._auto[name]
        if name == "baselines":
            self.controls[name].value = value  # which may come in any order
        else:
            super().assign(name, value)

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis: without what only the drawing takes."""
        state = self.state()
        said = {PICKED: self._colour, "blur": self._blur}
        baselines = tuple(said[name]() if name in said else name for name in state["baselines"])
        knobs = {n: value for n, value in state.items() if n not in (*VIEW, *MADE)}
        knobs["baselines"] = baselines
        if knobs["images"] is not None:
            knobs["index"] = 0
        return knobs

    def _blur(self) -> str:
        deviation = self.controls["blur"].value / 100
        return "blur" if deviation == NUMBERS["blur"] else f"blur:{deviation:g}"

    def _colour(self) -> str:
        colours = self._palette(self.controls["index"].value)
        return colours[min(self.controls["colour"].value, len(colours) - 1)][0]

    def _palette(self, index: int) -> tuple[tuple[str, float], ...]:
        if index not in self._palettes:
            self._palettes = {index: palette(self.subject.images[index].numpy())}
        return self._palettes[index]

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same with few steps, and deletion with the chosen fill only."""
        if knobs["images"] is not None:
            return None
        fill = self.controls["fill"].value
        if fill == "own" and knobs["method"] in WITHOUT_BASELINE:
            fill = "mean"
        few = {name: min(most, knobs[name]) for name, most in ROUGH.items()}
        return knobs | few | {"fills": (fill,), "points": 9}

    def _remember(self, state: dict[str, Any]) -> None:
        super()._remember({n: v for n, v in state.items() if n not in ("alpha", "fraction")})

    # ------------------------------------------------------------------ picture and words
    def chips(self, result: Any) -> list[str]:
        """Return which image it is, and what the network says to it."""
        if not isinstance(result, Saliency):
            return super().chips(result)
        answer, truth = int(result.answer[0]), int(result.truth[0])
        p = result.probabilities[0, answer]
        chips = [
            f"image {result.index[0]}" if len(result.index) == 1 else f"{len(result.index)} images",
            f"true {short(result.classes[truth], 14)}",
            f"predicted {short(result.classes[answer], 14)} {percent(p)}",
        ]
        return [self.subject.name, *chips]

    def draw(self, result: Result, figure: Figure) -> None:
        """Draw as the view knobs say, with the chosen cell marked."""
        assert isinstance(result, Saliency)
        view = {name: self.controls[name].value for name in VIEW}
        ghost = self._pinned if isinstance(self._pinned, Saliency) else None
        cell = (self._row.value - 1, self._column.value - 1)
        Maps.on(figure).show(result, ghost, **view, cell=cell, preview=self.is_preview)

    def sentence(self, result: Any) -> str:
        """Return the finding, and what the blindest baseline does not see."""
        b = blindest(result)
        words = f"{'≈ ' * self.is_preview}{result} {'' if b is None else result.blind_spot(b)}"
        for name in result.baselines:
            if name.startswith("color:"):
                words = words.replace(name, hex_code(name))
        return words.strip()

    def shown(self, result: Any) -> None:
        """Tell the credit of the chosen cell, and offer what this image and method have."""
        self._told.value = self._credit(result)
        for name in set(HYPER) - set(self._hide):
            wanted = name in KNOBS[result.method]
            self.controls[name].layout.display = "" if wanted else "none"
        self.enable({"alpha": result.path.shape[-1] > 0})
        self._run.disabled = self.controls["alpha"].disabled
        self._play.playing &= not self._run.disabled
        notes = (*self.subject.notes, *result.notes)
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        self._help.value = f"{self.about}<ul>{listed}</ul>"
        self._offer("target", self._targets(result))
        colours = self._palette(int(result.index[0]))
        self._offer(
            "colour",
            [(f"{k + 1}: {hex_code(c)}, {percent(s)}", k) for k, (c, s) in enumerate(colours)],
        )

    def _targets(self, result: Saliency) -> list[tuple[str, str]]:
        p = result.probabilities[0]
        order = np.argsort(-p, kind="stable")
        names = (result.answer[0], result.truth[0], order[order != result.answer[0]][0])
        said = [(f"{t}: {result.classes[k]}", t) for t, k in zip(TARGETS, names, strict=True)]
        return said + [(f"{result.classes[k]} {percent(p[k])}", result.classes[k]) for k in order]

    def _offer(self, name: str, options: list[tuple[str, Any]]) -> None:
        control = self.controls[name]
        if tuple(options) == tuple(control.options):
            return
        value = control.value
        with self.quiet(), control.hold_sync():
            control.options = options
            control.value = min(value, len(options) - 1) if name == "colour" else value

    def _credit(self, result: Saliency) -> str:
        row, column = self._row.value - 1, self._column.value - 1
        names = [title(result, b) for b in range(len(result.baselines))]
        credit = in_cells(accumulated(result, self.controls["alpha"].value))
        height, width = credit.shape[1:]
        row, column = min(row, height - 1), min(column, width - 1)
        most = np.abs(in_cells(result.maps[0])).max() or 1.0
        bars = []
        for mark, name, value in zip(MARKS, names, credit[:, row, column], strict=False):
            share = min(abs(value) / most, 1) * 50
            side, colour = ("left", SUPPORTS) if value > 0 else ("right", OPPOSES)
            bars.append(
                f'<div style="flex: 1" title="{html.escape(name)}">{mark} {number(value)}'
                '<div style="position: relative; height: 6px; border: 1px solid #80808060">'
                f'<div style="position: absolute; {side}: 50%; width: {share:.0f}%; height: 6px; '
                f'background: {colour}"></div></div></div>'
            )
        words = html.escape(tell(names, credit[:, row, column], row, column))
        return (
            f'<div role="img" aria-label="{words}" title="{words}" '
            f'style="display: flex; gap: 10px; white-space: nowrap">{"".join(bars)}</div>'
        )


def blindest(result: Saliency) -> int | None:
    """Return the baseline of one colour that most pixels have, None if there is none such."""
    if not result.has_baseline:
        return None
    baselines = result.baseline_images[0]
    flat = np.ptp(baselines, axis=(2, 3)).max(1) == 0
    near = (np.abs(baselines - result.images[0]).max(1) <= NEAR).mean((1, 2)) * flat
    return int(near.argmax()) if near.any() else None
