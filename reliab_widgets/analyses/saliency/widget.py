"""What is special about the widget of the saliency analysis: words, order, what goes together."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from ...core.drawing import short
from ...core.engine import Recent
from ...core.knobs import Choice, Knob, Several, Whole
from ...core.subject import Subject, check_subject
from ...core.wording import percent
from ...ops.attribution.baselines import BASELINES, NUMBERS
from ...ops.attribution.inner import spatial_layers
from ...ops.attribution.methods import KNOBS, SETTINGS, WITHOUT_BASELINE
from ...ops.attribution.palette import COLOURS, hex_code, palette
from ...ops.attribution.scores import TARGETS
from ...ui.controls import AutoBox, Words, offer
from ...ui.explorer import Explorer
from ...ui.words import Chip
from .columns import has_beside
from .compute import LARGE, saliency
from .panels import AgreementTable, Colours, Deletion, Numbers, Path
from .result import Saliency
from .sentences import METHODS, capital
from .values import place

MOST = 4
"""Baselines that are computed together."""
PICKED = "picked colour"
"""The name of a colour picked from the image."""
SHOWN = ("first", "second")
"""The knobs that say which two of the baselines are shown."""
HYPER = ("steps", "noise", "window", "stride", "masks", "grid", "layer")
ROUGH = {"steps": 32, "masks": 64}
"""What a preview makes do with: so many steps that most maps add up."""
ROUGHEST = {"steps": 2, "masks": 10}
"""The same of large images, of the two that are shown, without controls: a pass takes long."""

OF_METHODS = {
    "steps": Words("Steps", "Steps, or samples"),
    "masks": Words("Masks", "Masks of RISE"),
    "noise": Words("Noise", "Standard deviation in pixel units"),
    "window": Words("Window", "Side in pixels"),
    "stride": Words("Stride", "In pixels, from one window to the next"),
    "grid": Words("Grid", "Cells along a side of RISE's masks"),
    "layer": Words("Layer", "Of Grad-CAM"),
}
"""What the settings of single methods are called."""

OWN = (
    Knob("first", Choice((*BASELINES, PICKED)), "black"),
    Knob("second", Choice((*BASELINES, PICKED)), "white"),
    Knob(
        "baselines",
        Several(Choice((*BASELINES, PICKED)), 1, MOST),
        ("black", "white", "mean", "blur"),
    ),
    Knob("steps", SETTINGS["steps"], 64),
    Knob("colour", Whole(0, COLOURS - 1, stops=tuple(range(COLOURS))), 0),
    Knob("blur", Whole(1, 25), round(100 * NUMBERS["blur"])),
)
"""Knobs of the widget alone: which two maps are shown, and how “nothings” are made."""


class SaliencyWidget(Explorer):
    """Two saliency maps side by side: change what is called "nothing", and see if they agree.

    Parameters
    ----------
    subject : Subject
        Whose answers are explained.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"agreement"``, ``"deletion"``, ``"path"``, ``"colours"``,
        ``"numbers"``, ``"all settings"``. Knobs of the widget alone: ``first`` and ``second``, the
        two of the ``baselines`` that are shown.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> widget = rw.widgets.SaliencyWidget(rw.demo("resnet20")[:20])
    >>> widget.set(baselines=("black", "white"), steps=8).result.baselines
    ('black', 'white')
    >>> widget.close()
    """

    question = "Which pixels matter, compared with which “nothing”?"
    height = 284
    about = """<ul>
<li><b>Maps</b>: how much each pixel adds to the score of the explained class, compared with the
“nothing” above it. Blue supports, orange opposes and carries a dot beyond a third of the scale. The
numbers below the bar end the scale at the 99th percentile: credit beyond has the same colour.</li>
<li><b>Ring</b>: the pixel whose credit is told below both maps. Click another one in any of the
three pictures, or go there with Tab and the arrow keys; first where the maps disagree most.</li>
<li><b>Ruler</b>: Spearman’s rank correlation ρ of the two maps. <b>Squares</b> are controls: half
the steps (or masks drawn twice) should give the same map, a network with weights drawn anew an
unrelated one. Click its square to see that map. <b>Hollow ring</b>: what you pinned; its outline in
the maps is the tenth of its pixels with the largest magnitude. Click the ring to see its map
beside this one.</li>
<li><b>Gap</b>: what the sum of a map misses of the change in the score from “nothing” to image.
Above 20 % nothing that is derived from the map is told: take more steps.</li>
<li><b>≈ preview</b>: few steps; the full map follows when you rest. No “nothing” is neutral.</li>
</ul>"""
    own = OWN
    words = {  # noqa: RUF012
        "index": Words("Image"),
        "target": Words("Explain", "The class whose score is explained"),
        "method": Words("Method", "", {name: METHODS.get(name, name) for name in KNOBS}),
        "first": Words("“Nothing” 1", "What the first map compares the image with"),
        "second": Words("“Nothing” 2", "What the second map compares the image with"),
        "scale": Words(
            "Colour scale", "Whether both maps have one scale", {"map": "own"}, switch=True
        ),
        "baselines": Words("“Nothings” computed"),
        "fill": Words("Replaced by", "What deleted pixels become"),
        "colour": Words("Picked colour", "Which colour of the image is picked"),
        "blur": Words("Blur σ, %", "Standard deviation of the blur in % of the image's side"),
        "score": Words("Score", "What of the class is explained"),
        **OF_METHODS,
        "polarity": Words("Shows", "What of the values is shown"),
        "clip": Words("Clip", "Percentile of the magnitudes at which the colours end"),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
        "images": Words(
            "Average over",
            "Agreement and deletion over many images: a job",
            {n: f"{n} images" for n in (16, 64, 256)},
            auto="this image",
        ),
    }
    front = ("index", "target", "method", "first", "second", "scale")
    fold = ("baselines", "colour", "blur", "score", *HYPER, "polarity", "clip", "fill", "seed",
            "images")  # fmt: skip
    marks = {  # noqa: RUF012
        "cell": lambda key: tuple(1 + int(it) for it in key.split(",")),
        "versus": str,
        "alpha": float,
        "fraction": float,
    }
    panels = (AgreementTable, Deletion, Path, Colours, Numbers)
    shares = {"index": "index", "target": "target", "seed": "seed"}  # noqa: RUF012
    facing = {"versus": "behind"}  # noqa: RUF012
    alike = {"target": "true", "score": "logit"}  # noqa: RUF012 (an attack leaves no probability)

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        self._hidden = options.get("hide", ())
        self._palettes = Recent(16)
        super().__init__(saliency, subject, **options)

    # ------------------------------------------------------------------ settings
    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: what is shown is computed, and two maps are two."""
        if name == "baselines" and isinstance(value, tuple | list) and value:
            first, second = (self.controls[it].value for it in SHOWN)
            if first not in value:
                first = next((it for it in value if it != second), value[0])
            if second not in value or second == first:
                second = next((it for it in value if it != first), first)
            return {"first": first, "second": second}
        if name not in SHOWN:
            return {}
        other = SHOWN[1 - SHOWN.index(name)]
        beside, known = self.controls[other].value, self.controls["baselines"].value
        implied: dict[str, Any] = {}
        if name == "second" or self.controls["versus"].value == "untrained":
            implied["versus"] = "baseline"  # else it would not be seen
        if beside == value:
            beside = next(it for it in (*known, *BASELINES) if it != value)
            implied[other] = beside
        if not {value, beside} <= set(known):
            spare = (it for it in known if it not in (value, beside))
            implied["baselines"] = (value, beside, *spare)[:MOST]
        return implied

    def adapt(self) -> None:
        """Show the settings of the chosen method, and say why others cannot be moved."""
        method = self.controls["method"].value
        for name in set(HYPER) - set(self._hidden):
            self.controls[name].layout.display = "" if name in KNOBS[method] else "none"
        name = capital(METHODS.get(method, method))
        alone = f"{name} compares with no “nothing”" if method in WITHOUT_BASELINE else ""
        straight = "" if method == "ig" else f"{name} walks no path from “nothing” to the image"
        self.settings.enable(
            {"alpha": not straight, **dict.fromkeys((*SHOWN, "baselines"), not alone)}
        )
        for which in SHOWN:
            self.controls[which].tooltip = alone or self.words[which].tip
        given = self.controls["baselines"]
        if given.disabled and not alone:  # a teacher's choice
            with self.settings.quiet():
                for which in SHOWN:
                    control = self.controls[which]
                    offer(control, [(it, it) for it in given.value], control.value)
        if self.controls["alpha"].disabled and not straight:
            straight = "α is given"
        (path,) = (it for it in self.page.panels if isinstance(it, Path))
        path.player.enable(straight)

    def knobs(self) -> dict[str, Any]:
        """Return the arguments for the analysis: blur and picked colour by names of baselines."""
        knobs = super().knobs()
        colour, blur = knobs.pop("colour"), knobs.pop("blur") / 100
        for name in SHOWN:
            del knobs[name]
        names = {"blur": "blur" if blur == NUMBERS["blur"] else f"blur:{blur:g}"}
        if PICKED in knobs["baselines"]:
            colours = self._palette(knobs["index"])
            names[PICKED] = colours[min(colour, len(colours) - 1)][0]
        knobs["baselines"] = tuple(names.get(name, name) for name in knobs["baselines"])
        return knobs if knobs["images"] is None else knobs | {"index": 0}

    def views(self) -> dict[str, Any]:
        """Return the arguments for the picture: which maps it shows, and whether of a preview."""
        told = {"preview": self.is_preview, "narrow": self.page.picture.live.narrow}
        views, result = super().views() | told, self.work.result
        if isinstance(result, Saliency):
            named = [_name(it) for it in result.baselines]
            wanted = [self.controls[name].value for name in SHOWN]
            usual = result.pair()
            views["pair"] = tuple(
                named.index(name) if name in named else usual[at] for at, name in enumerate(wanted)
            )
            if not _can_show(views["versus"], result, self.work.ghost, views["pair"]):
                views["versus"] = "baseline"
        return views

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return the pixel whose credit is told, and which control is shown."""
        views = self.views()
        row, column = place(result, views["pair"], views["cell"])
        return {"cell": f"{row},{column}", "versus": views["versus"]}

    def compare(self, first: str, second: str) -> None:
        """Show a cell of the table of agreement: two maps by their places, or the control."""
        named = [_name(it) for it in self.work.result.baselines]
        if second == "untrained":
            self.set(first=named[int(first)], versus="untrained")
        else:
            self.set(first=named[int(first)], second=named[int(second)], versus="baseline")

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same of the pair that is shown, with few steps and the chosen fill at most."""
        if knobs["images"] is not None:
            return None
        side = min(self.subject.images.shape[2:])
        large = max(self.subject.images.shape[2:]) > LARGE
        few = {name: min(n, knobs[name]) for name, n in (ROUGHEST if large else ROUGH).items()}
        names = dict(zip(self.controls["baselines"].value, knobs["baselines"], strict=True))
        wanted = [names[it] for name in SHOWN if (it := self.controls[name].value) in names]
        few["baselines"] = tuple(dict.fromkeys(wanted)) or knobs["baselines"][:2]
        if large:
            window = max(knobs["window"] or 0, round(side / 3))  # three by three
            return (
                knobs | few | {"window": window, "stride": window, "fills": (), "untrained": False}
            )
        fill = self.views()["fill"]
        if fill == "own" and knobs["method"] in WITHOUT_BASELINE:
            fill = "mean"
        deletes = any(it.is_open for it in self.page.opened if it.name == Deletion.name)
        control = self.views()["versus"] == "untrained"  # else it comes with the full maps
        return knobs | few | {"fills": (fill,) * deletes, "points": 9, "untrained": control}

    # ------------------------------------------------------------------ picture and words
    def chips(self, result: Any) -> list[Any]:
        """Return which image it is, and what the maps that are shown were made with."""
        if not isinstance(result, Saliency):
            return super().chips(result)
        which, made = _who(result, self.subject), result.hyper[0]
        views = self.views()
        gaps = result.gaps[list(views["pair"])]
        gap = f"gap {percent(float(np.nanmax(gaps)), 0)}" if np.isfinite(gaps).any() else ""
        if self.is_preview:
            words = ", ".join(it for it in (f"≈ preview: {made}", gap) if it)
            return [self.subject.name, which, Chip(words, "warning")]
        if views["versus"] == "untrained":
            made += ", untrained network beside"
        chips = [self.subject.name, which, Chip(f"shows: {self.pictured}, {made}", "shows")]
        if result.path.shape[-1] and views["alpha"] < 1 and views["versus"] == "baseline":
            chips.append(Chip(f"not the whole map: α = {views['alpha']:.2f}", "warning"))
        few = result.incomplete(*views["pair"])
        return [*chips, Chip(f"{gap}: take more steps", "warning")] if few else chips

    def help_text(self, result: Any) -> str:
        """Return what marks mean, and the notes on this picture."""
        notes = (*self.subject.notes, *(() if result is None else result.notes))
        return f"{super().help_text(result)}<ul>{''.join(map(_item, notes))}</ul>"

    def examined(self) -> None:
        """Forget the colours of earlier images, and layers that there are no longer."""
        self._palettes = Recent(16)
        with self.settings.quiet():
            _offer_layers(self.controls["layer"], [*spatial_layers(self.subject)])

    def shown(self, result: Any) -> None:
        """Offer what this image and method have."""
        colours = self._palette(int(result.index[0]))
        options = [(f"{k + 1}: {hex_code(c)}, {percent(s)}", k) for k, (c, s) in enumerate(colours)]
        with self.settings.quiet():
            for name in ("window", "stride", "layer"):
                self.controls[name].resolve(getattr(result, name) or None)
            offer(self.controls["target"], _targets(result), self.controls["target"].value)
            colour = self.controls["colour"]
            offer(colour, options, min(colour.value, len(options) - 1))

    def _palette(self, index: int) -> Any:
        if index not in self._palettes:
            self._palettes[index] = palette(self.subject.images[index].numpy())
        return self._palettes[index]


def _can_show(versus: str, result: Saliency, behind: Any, pair: tuple[int, int]) -> bool:
    """Tell whether there is the map that is to stand beside the first one."""
    if versus == "untrained":
        return bool(result.untrained.shape[1])
    return versus == "baseline" or has_beside(result, behind, pair)


def _name(baseline: str) -> str:
    """Return what the widget calls a baseline of a result."""
    name = baseline.partition(":")[0]
    return PICKED if name == "color" else name


def _who(result: Saliency, subject: Subject) -> str:
    """Return which image it is of how many, its class, and whether the answer is right."""
    right = result.answer == result.truth
    if len(right) > 1:
        return f"{len(right)} images · right about {right.sum()}"
    index, truth = int(result.index[0]), subject.true_class(int(result.index[0]))
    told = f"true {short(truth, 14)} {'✓' if right[0] else '✗'}" if truth else "class not known"
    return f"image {index} of {len(subject):,} · {told}"


def _targets(result: Saliency) -> list[tuple[str, Any]]:
    """Return which classes can be explained: by their part, then by probability."""
    p = result.probabilities[0]
    order = np.argsort(-p, kind="stable").tolist()
    names = (result.answer[0], result.truth[0], next(k for k in order if k != result.answer[0]))
    said = [(f"{result.classes[k]} ({t})", t) for t, k in zip(TARGETS, names, strict=True)]
    return said + [(f"{result.classes[k]} {percent(p[k])}", k) for k in order]


def _offer_layers(control: Any, layers: list[str]) -> None:
    if layers and isinstance(control, AutoBox):
        if control.value not in layers:
            control.value = None
        offer(control.inner, [(it, it) for it in layers], control.value or layers[-1])


def _item(note: str) -> str:
    return f"<li>{html.escape(note)}</li>"
