"""What is special about the widget of the saliency analysis: words, order, colours, cells."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.engine import Recent
from ...core.knobs import Choice, Knob, Several, Whole
from ...core.subject import Subject, check_subject
from ...core.wording import percent
from ...ops.attribution.baselines import BASELINES, NUMBERS
from ...ops.attribution.methods import KNOBS, WITHOUT_BASELINE
from ...ops.attribution.palette import COLOURS, hex_code, palette
from ...ops.attribution.scores import TARGETS
from ...ui.controls import Words
from ...ui.explorer import Explorer
from .compute import LARGE, saliency
from .marks import MOST
from .panels import AlphaPlayer, Credit
from .result import Saliency

PICKED = "picked colour"
"""The box for a colour picked from the image."""
HYPER = ("steps", "noise", "window", "stride", "masks", "grid", "layer")
ROUGH = {"steps": 8, "masks": 64}
"""What a preview makes do with."""
ROUGHEST = {"steps": 2, "masks": 10}
"""The same of large images, without controls: a pass takes long."""


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
    >>> widget = rw.widgets.SaliencyWidget(rw.demo("resnet20")[:20])
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
    own = (
        Knob(
            "baselines",
            Several(Choice((*BASELINES, PICKED)), 1, MOST),
            ("black", "white", "mean", "blur"),
        ),
        Knob("colour", Whole(0, COLOURS - 1, stops=tuple(range(COLOURS))), 0),
        Knob("blur", Whole(1, 25), round(100 * NUMBERS["blur"])),
    )
    words = {  # noqa: RUF012
        "method": Words(
            "Method",
            "",
            {
                "ig": "integrated gradients",
                "gradient": "gradient (no baseline)",
                "input-x-gradient": "input x gradient",
                "smoothgrad": "SmoothGrad (no baseline)",
                "expected-gradients": "expected gradients",
                "rise": "RISE",
                "gradcam": "Grad-CAM (no baseline)",
                "rollout": "attention rollout (no baseline)",
                "attention-x-gradient": "attention x gradient (no baseline)",
            },
        ),
        "baselines": Words("Baselines"),
        "target": Words("Class", "The class whose score is explained"),
        "alpha": Words("α", "Where on the way from the baseline (0) to the image (1)"),
        "fill": Words("Fill", "What deleted pixels become"),
        "fraction": Words(
            "deleted", "The share of deleted pixels whose scores are told", readout=".0%"
        ),
        "colour": Words("colour", "Which colour of the image is picked"),
        "blur": Words("blur σ, %", "Standard deviation of the blur in % of the image's side"),
        "steps": Words("steps", "Steps, or samples"),
        "noise": Words("noise", "Standard deviation in pixel units"),
        "window": Words("window", "Side in pixels"),
        "stride": Words("stride", "In pixels, from one window to the next"),
        "grid": Words("grid", "Cells along a side of RISE's masks"),
        "polarity": Words("sign", "What of the values is shown"),
        "scale": Words("scale", "", {"shared": "one for all maps", "map": "one for each map"}),
        "clip": Words("clip", "Percentile of the magnitudes at which the colours end"),
        "seed": Words("seed", "Of everything that is drawn by chance"),
        "images": Words(
            "average",
            "Agreement and deletion over many images: a job",
            {n: f"{n} images" for n in (16, 64, 256)},
            auto="this image",
        ),
    }
    front = ("index", "method", "baselines", "target", "alpha", "fill", "fraction")
    fold = ("colour", "blur", "score", *HYPER, "polarity", "scale", "clip", "seed", "images")

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        self._hidden = options.get("hide", ())
        self._palettes = Recent(16)
        self.credit = Credit()
        super().__init__(saliency, subject, {"cell": self.credit.chooser}, **options)

    def arrange(self) -> list[W.Widget]:
        """Return the usual parts; the fold takes the place of the controls in front."""
        parts, page, controls = super().arrange(), self.page, self.controls
        for name in ("method", "target", "fill", "fraction"):
            controls[name].style.description_width = "56px"
        self.player = AlphaPlayer(self, controls["alpha"])
        if "alpha" in self._hidden:
            self.player.button.layout.display = "none"
        *front, more, folded = page.side.children
        # One or the other: together they would be taller than the picture.
        page.swapped = W.VBox(
            [self.player.widget if part is controls["alpha"] else part for part in front]
        )
        page.side.children = (page.swapped, more, folded)
        folded.children = (controls["index"].which, *folded.children)
        for part in folded.children:
            part.layout.margin = "0 2px"
        page.notes.layout.height = "40px"
        page.readout.layout.max_height, page.readout.layout.overflow = "71px", "hidden auto"
        page.detail.children = (self.credit.widget,)
        return parts

    # ------------------------------------------------------------------ settings
    def adapt(self) -> None:
        """Show the settings of the chosen method; alpha moves along a path only."""
        method = self.controls["method"].value
        for name in set(HYPER) - set(self._hidden):
            self.controls[name].layout.display = "" if name in KNOBS[method] else "none"
        self.settings.enable({"alpha": method == "ig"})
        self.player.enable(not self.controls["alpha"].disabled)

    def knobs(self) -> dict[str, Any]:
        """Return the arguments for the analysis: blur and picked colour by names of baselines."""
        knobs = super().knobs()
        colour, blur = knobs.pop("colour"), knobs.pop("blur") / 100
        names = {"blur": "blur" if blur == NUMBERS["blur"] else f"blur:{blur:g}"}
        if PICKED in knobs["baselines"]:
            colours = self._palette(knobs["index"])
            names[PICKED] = colours[min(colour, len(colours) - 1)][0]
        knobs["baselines"] = tuple(names.get(name, name) for name in knobs["baselines"])
        return knobs if knobs["images"] is None else knobs | {"index": 0}

    def views(self) -> dict[str, Any]:
        """Return the arguments for the picture, which marks a preview as one."""
        return super().views() | {"preview": self.is_preview}

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same with few steps, and deletion with the chosen fill only."""
        if knobs["images"] is not None:
            return None
        fill = self.views()["fill"]
        if fill == "own" and knobs["method"] in WITHOUT_BASELINE:
            fill = "mean"
        side = min(self.subject.images.shape[2:])
        large = max(self.subject.images.shape[2:]) > LARGE
        few = {name: min(n, knobs[name]) for name, n in (ROUGHEST if large else ROUGH).items()}
        if not large:
            return knobs | few | {"fills": (fill,), "points": 9}
        window = max(knobs["window"] or 0, round(side / 3))
        few |= {"window": window, "stride": window}  # three by three
        return knobs | few | {"fills": (), "untrained": False}

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

    def help_text(self, result: Any) -> str:
        """Return what marks mean, and the notes on this picture."""
        notes = (*self.subject.notes, *(() if result is None else result.notes))
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        return f"{super().help_text(result)}<ul>{listed}</ul>"

    def shown(self, result: Any) -> None:
        """Tell the credit of the chosen cell, and offer what this image and method have."""
        views = self.views()
        self.credit.show(result, views["alpha"], views["cell"])
        colours = self._palette(int(result.index[0]))
        options = [(f"{k + 1}: {hex_code(c)}, {percent(s)}", k) for k, (c, s) in enumerate(colours)]
        with self.settings.quiet():
            for name in ("window", "stride", "layer"):
                self.controls[name].resolve(getattr(result, name) or None)
            self._offer("target", self._targets(result))
            self._offer("colour", options)

    def _palette(self, index: int) -> tuple[tuple[str, float], ...]:
        if index not in self._palettes:
            self._palettes[index] = palette(self.subject.images[index].numpy())
        return self._palettes[index]

    def _targets(self, result: Saliency) -> list[tuple[str, Any]]:
        p = result.probabilities[0]
        order = np.argsort(-p, kind="stable").tolist()
        names = (result.answer[0], result.truth[0], next(k for k in order if k != result.answer[0]))
        said = [(f"{t}: {result.classes[k]}", t) for t, k in zip(TARGETS, names, strict=True)]
        return said + [(f"{result.classes[k]} {percent(p[k])}", k) for k in order]

    def _offer(self, name: str, options: list[tuple[str, Any]]) -> None:
        control = self.controls[name]
        if tuple(options) == tuple(control.options):
            return
        value = control.value
        with control.hold_sync():
            control.options = options
            control.value = min(value, len(options) - 1) if name == "colour" else value
