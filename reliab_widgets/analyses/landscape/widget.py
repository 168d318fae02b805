"""What is special about the widget of the landscape analysis: words, order, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import traitlets

from ...core.subject import Subject, check_subject
from ...core.wording import grey_levels
from ...ui.controls import Marked, Words
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from ...ui.special import UNCHANGED
from ...ui.words import Chip
from .compute import landscape
from .panels import Steepest
from .result import KINDS, TURNS, Landscape

if TYPE_CHECKING:
    from pandas import DataFrame

USUAL = {"input": "decision", "weights": "loss"}
"""Which surface is shown first."""


class Turned(Marked):
    """The direction of the line, in whole degrees."""

    @traitlets.validate("value")
    def _whole(self, proposal: Any) -> Any:
        value = proposal["value"]
        return value if value is None else round(value) % TURNS


class LandscapeWidget(Explorer):
    """The surface around an image: turn a line through it, and see where the prediction changes.

    Parameters
    ----------
    subject : Subject
        Whose network is examined, around one of its images.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"steepest images"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.analyses.landscape.widget import LandscapeWidget
    >>> widget = LandscapeWidget(rw.demo("resnet20")[:20], preset={"points": 11, "steps": 2})
    >>> widget.set(index=3, restarts=1).result.image
    3
    >>> widget.close()
    """

    question = "How steep is it around this image?"
    height = 362
    about = """<ul>
<li><b>Maps</b>: planes through the image (the filled circle). Colour: S, the logit of the true
class minus the largest other one. Where it is 0, the <b>dark line</b>, the prediction changes;
beyond, on the dotted side, it is wrong. The <b>thin rim</b> is what an attack of size ε may reach.
<b>Orange, dashed</b>: the path of such an attack, as far as it lies in the plane.</li>
<li><b>Left</b>: towards the sign of the gradient, or what you choose. <b>Control</b>: two random
directions. Axes say how far a pixel is moved; where a pixel would leave 0–255, it stops.</li>
<li><b>Drag the ring</b> to turn the blue line; the chart shows what is met along it, blue on the
left plane, grey on the control. <b>Diamond</b>: the nearest change of the prediction.</li>
<li><b>Largest divergence found</b>: how far the prediction can be moved within ±ε, as KL(p(x) ‖
p(x + d)), by gradient ascent from random starts. A maximum that is searched is a <b>lower
bound</b>: there may be more. <b>Squares</b> are controls: a search without gradients in as many
passes, and random noise. <b>Calibrated</b>: with logits divided by the temperature fitted on
validation images, so that a network cannot look steep or flat by the scale of its logits.</li>
<li><b>Weights</b>: the same of the network: its filters are moved in random directions of their
own length, and the loss is the mean over images.</li></ul>"""
    words = {  # noqa: RUF012
        "index": Words("Image"),
        "space": Words("Move", "What is moved", {"input": "image"}, switch=True),
        "plane": Words(
            "Plane",
            "Where the first direction of the left plane leads",
            {
                "gradient": "gradient",
                "random": "random",
                "attacks": "two attacks",
                "images": "another image",
            },
        ),
        "epsilon": Words("Size ε", "Of the attack and of the divergence", write=grey_levels),
        "images": Words(
            "Mean over",
            "On how many images the divergence, or the loss among weights, is averaged: a job",
            auto="auto",
        ),
        "attack": Words("Attack", "Whose path is drawn", {"bim": "BIM", "pgd": "PGD"}),
        "steps": Words("Steps", "Of the attack and of each ascent"),
        "restarts": Words("Restarts", "Random starts of the ascent"),
        "points": Words("Points", "Along an axis"),
        "reach": Words("Reach", "How far the plane goes", write=grey_levels),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("index", "space", "plane", "surface", "epsilon", "images")
    fold = ("attack", "steps", "restarts", "points", "reach", "seed")
    marks = {"angle": int}  # noqa: RUF012
    panels = (Steepest,)
    shares = {"index": "index", "seed": "seed"}  # noqa: RUF012

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        surfaces = W.ToggleButtons(
            options=[("decision", "decision"), ("loss", "loss")],
            description="Surface",
            tooltip="Decision: S, 0 at the boundary; loss: the cross-entropy",
        )
        controls = {
            "index": Picker(subject, certain=True),
            "surface": surfaces,
            "angle": Turned(value=0),
        }
        super().__init__(landscape, subject, controls, **options)

    # ------------------------------------------------------------------ settings
    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: among weights the loss is looked at first."""
        return {"surface": USUAL[value]} if name == "space" and value in USUAL else {}

    def adapt(self) -> None:
        """Let those knobs be moved that the space has."""
        inside = self.controls["space"].value == "input"
        names = ("plane", "epsilon", "attack", "steps", "restarts")
        self.settings.enable(dict.fromkeys(names, inside))

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture."""
        return super().views() | {"narrow": self.page.picture.live.narrow}

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[Any]:
        """Return the image, and how fine the grid is and for how many images the number is."""
        if not isinstance(result, Landscape):
            return super().chips(result)
        count = len(result.axis)
        shows = f"shows: {count} × {count} points"
        if result.space == "weights":
            shows += f", loss of {result.n} image{'s' * (result.n > 1)}"
            return [self.subject.name, Chip(shows, "shows")]
        right = result.right[0, result.middle, result.middle] > 0
        truth = (
            f"image {result.image} · true {result.classes[result.truth]} {'✓' if right else '✗'}"
        )
        if result.n > 1:
            shows += f", divergence of {result.known} of {result.n} images"
        what = [] if self.pictured == UNCHANGED else [self.pictured]
        return [self.subject.name, truth, *what, Chip(shows, "shows")]

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of the network and the plane."""
        notes = (*self.subject.notes, *result.notes)
        return " ".join((super().sentence(result), *(f"Note: {note}." for note in notes)))

    def table(self, result: Any) -> DataFrame | None:
        """Return the divergences: of the image, and their mean, median and interval."""
        from pandas import DataFrame

        if result.space == "weights":
            return None
        rows = {"image": result.own}
        if result.n > 1:
            rows |= {
                f"mean of {result.known}": [result.mean(it) for it in KINDS],
                "low": [result.interval(it)[0] for it in KINDS],
                "high": [result.interval(it)[1] for it in KINDS],
                "median": [result.median(it) for it in KINDS],
            }
        return DataFrame(rows, index=list(KINDS))

    def shown(self, result: Any) -> None:
        """Show what the analysis chose itself."""
        if self.work.shown.is_partial:
            return
        with self.settings.quiet():
            self.controls["points"].resolve(len(result.axis))
            self.controls["images"].resolve(result.n)
