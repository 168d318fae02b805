"""What is special about the widget of the propagation analysis: words, order, panels."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure

from ...core.batching import threads
from ...core.knobs import Choice, Knob
from ...core.subject import Subject, check_subject
from ...core.wording import grey_levels
from ...ops.attacks.catalogue import METHODS
from ...ops.attacks.knobs import EPSILONS
from ...ui.controls import AutoBox, Words, offer
from ...ui.explorer import Explorer
from ...ui.panels.epsilon import StepSizes, written
from ...ui.panels.layers import LayerMark
from ...ui.picker import Picker
from ...ui.special import Sent
from ...ui.words import HIDES, Chip
from .compute import propagation
from .panels import ChannelMaps, Far, StepByStep, Sweep
from .result import Propagation
from .sentences import NAMES, said

if TYPE_CHECKING:
    from pandas import DataFrame

SOME = (1, 16, 64)
"""How many images may be attacked together."""
LIVE = 0.1
"""Seconds that the steps of an attack may take while a slider moves.

Of resnet20 that is 8 of 10 steps: of 120 predictions 2 are others than those of all steps. With 4
steps 5 would be, for 60 ms less, and with 2 steps 17.
"""


WIDTHS = {"attack": 116, "target": 146, "denoiser": 110}
"""Pixels of lists: all six controls stand in one row."""


class PropagationWidget(Explorer):
    """Attack an image and see at which layer a whisper becomes a shout.

    Parameters
    ----------
    subject : Subject
        Whose network is attacked, one of its images at a time or some together.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"channels"``, ``"attack step by step"``, ``"ε sweep"``,
        ``"distances"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> widget = rw.widgets.PropagationWidget(rw.demo("resnet20"))
    >>> widget.set(attack="fgsm", epsilon=2 / 255, image=7).result.index
    array([7])
    >>> widget.close()
    """

    question = "Same-sized noise: why does one kind change the prediction?"
    formats = (*Explorer.formats, "NPY")
    height = 366
    about = """<ul>
<li><b>Above</b>: the clean image, what the attack added (amplified; grey is nothing), the attacked
image, and the control: random noise of the same size ε. ✓ the true class, ✗ another one.</li>
<li><b>Below</b>: how far the attack moves each layer, divided by how far the noise does: at 1
(dotted) they do the same. <b>Orange triangles</b>: attacked (and denoised, if there is a
denoiser). <b>Blue pentagons</b>: not denoised. <b>Thin grey line</b>: clean, but denoised.
<b>Hollow rings</b>: what you pinned. <b>Pale band</b>: the median of several images, and its 95 %
bootstrap interval.</li>
<li><b>Click a layer</b>, or walk to it with Tab and the arrow keys: the panel “channels” shows its
maps. A mark that stands aside is a layer beside the main path, such as a shortcut.</li>
<li>Compare with the control, not one layer with another: layers have scales of their own.
<b>Grey-box</b>: the attack does not know the denoiser; <b>white-box</b>: it attacks through
it.</li></ul>"""
    words = {  # noqa: RUF012
        "attack": Words(
            "Attack",
            options={name: it.label for name, it in METHODS.items()},
        ),
        "epsilon": Words(
            "Size ε",
            "Epsilon: the most that a pixel may change; of L2 attacks, the length of the whole "
            "change. White is 255/255",
            write=grey_levels,
        ),
        "steps": Words("Steps", "Steps of the attack, of DeepFool at most"),
        "target": Words(
            "Goal",
            "Which class the attack wants",
            {"any": "any wrong class", "runner-up": "the runner-up"},
        ),
        "denoiser": Words("Denoiser", "What stands before the network"),
        "batch": Words("Images", "How many images are attacked, from this one on"),
        "knowledge": Words("Attacker", "Whether the attack knows the denoiser", switch=True),
        "metric": Words("Distance", options=NAMES),
        "log": Words("Logarithmic axis"),
        "amplify": Words(
            "Amplify", "By how much the added noise is made visible", write="× {:g}".format
        ),
        "restarts": Words("Restarts", "Random starts of PGD"),
        "layers": Words("Layers", options={"weight": "convolutions, linear maps"}),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    own = (Knob("batch", Choice(lambda subject: [n for n in SOME if n <= len(subject)]), 1),)
    front = ("image", "attack", "epsilon", "steps", "target", "denoiser")
    fold = (
        "knowledge",
        "batch",
        "restarts",
        "layers",
        "step_size",
        "metric",
        "log",
        "amplify",
        "seed",
    )
    marks = {"layer": str, "step": int}  # noqa: RUF012
    panels = (ChannelMaps, StepByStep, Sweep, Far)
    shares = {"index": "image", "seed": "seed"}  # noqa: RUF012
    makes = ("attack",)

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        self._picker = Picker(subject, certain=True)
        self._norm = "Linf"
        self.pace: float | None = None
        sizes = StepSizes(description="Step size", tooltip="Of one step of the attack")
        controls = {
            "image": self._picker,
            "step_size": AutoBox(sizes),
            "layer": LayerMark(subject),
        }
        self._goals: tuple[tuple[str, Any], ...] = ()
        super().__init__(propagation, subject, controls, **options)

    def arrange(self) -> list[W.Widget]:
        """Return the usual parts, so wide that six controls stand in one row."""
        parts = super().arrange()
        self.controls["epsilon"].add_class("rw-wide")
        self.controls["steps"].add_class("rw-short")
        for name, pixels in WIDTHS.items():
            self.controls[name].layout.width = f"{pixels}px"
        return parts

    # ------------------------------------------------------------------ settings
    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis: the images are some from one on."""
        knobs = super().knobs()
        first, count, every = knobs.pop("image"), knobs.pop("batch"), len(self.subject)
        return knobs | {"images": tuple((first + k) % every for k in range(count))}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: no layer or step that it has not."""
        views = super().views() | {"narrow": self.page.picture.live.narrow}
        result = self.work.result
        if result is not None and views["layer"] not in result.layers:
            views["layer"] = None
        if result is not None and (views["step"] or 0) >= len(result.trajectory):
            views["step"] = None
        return views

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return the layer that is chosen: by default the map at which noise is most exceeded."""
        return {"layer": result.strongest_map} | super().chosen(result)

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same attack with fewer steps where all of them are too slow for a slider."""
        if not METHODS[knobs["attack"]].sized or len(knobs["images"]) > 1:
            return None
        if self.pace is None:
            self.pace = _seconds_per_step(self.subject)
        live = max(1, int(LIVE / self.pace / knobs["restarts"]))
        return knobs | {"steps": live} if live < knobs["steps"] else None

    def adapt(self) -> None:
        """Offer the epsilons of the attack, those knobs that it has, and goals to be reached."""
        self._offer_goals()
        attack, size = self.controls["attack"].value, self.controls["step_size"]
        entry = METHODS[attack]
        norm = entry.norm or "Linf"
        if norm != self._norm:
            self._norm = size.inner.norm = norm
            with self.settings.quiet():
                self.controls["epsilon"].offer(EPSILONS[norm], written(norm))
                size.show(size.inner.usual[0] if size.value is None else size.value)
        self.settings.enable(
            {
                "epsilon": bool(entry.norm),
                "steps": bool(entry.counts),
                "target": attack != "none",
                "step_size": entry.sized,
                "restarts": entry.starts,
                "knowledge": self.controls["denoiser"].value != "none",
            }
        )

    def _offer_goals(self) -> None:
        """Offer no class as a goal that one image has already, but for the one that is chosen."""
        goal = self.controls["target"]
        self._goals = self._goals or tuple(goal.options)
        one = self.controls["batch"].value == 1
        truth = int(self.subject.labels[self.controls["image"].value]) if one else None
        left = [it for it in self._goals if it[1] != truth or it[1] == goal.value]
        with self.settings.quiet():
            offer(goal, left, goal.value)

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[Any]:
        """Return the image, what became of its prediction, and what is shown."""
        if not isinstance(result, Propagation):
            return super().chips(result)
        first, truth = result.index[0], result.classes[result.truth[0]]
        before, after = (said(result, kind)[0] for kind in ("clean", "adversarial"))
        image = f"image {first} · true {truth} "
        image += "✓" if before == truth else f"✗ (predicted {before})"
        if not self.subject.true_class(int(first)):
            image = f"image {first} · class not known (predicted {before})"
        if before == after:
            became: str | Chip = f"stays: {before}"
        else:
            became = Chip(f"changed: {before} → {after}", "warning")
        shows = Chip(f"shows: {result.attacked()}", "shows")
        if self.is_preview:
            wanted = self.controls["steps"].value
            shows = Chip(f"≈ preview: {result.attacked()} of {wanted}", "warning")
        chips = [self.subject.name, image, became, shows]
        if result.doubt:
            chips.insert(3, Chip(HIDES, "warning"))
        return [*chips, f"{result.n} images from {first} on"] if result.n > 1 else chips

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of network and attack."""
        notes = (*self.subject.notes, *result.notes)
        return " ".join((super().sentence(result), *(f"Note: {note}." for note in notes)))

    def table(self, result: Any) -> DataFrame | None:
        """Return for each layer the distance under the attack, under noise, and their ratio."""
        from pandas import DataFrame

        metric = self.views()["metric"]
        kinds = {kind: np.median(result.of(kind, metric), axis=1) for kind in result.kinds}
        return DataFrame(kinds | {"ratio": result.ratio(metric)}, index=list(result.layers))

    def content(self, result: Any, figure: Figure, kind: str) -> bytes:
        """Return what a file holds; NPY: the images, (1 + kinds, C, H, W), the clean one first."""
        if kind != "npy":
            return super().content(result, figure, kind)
        stream = BytesIO()
        np.save(stream, result.pictures)
        return stream.getvalue()

    def sends(self, result: Any) -> list[Sent]:
        """Return the attacked image, as the attack that makes it."""
        names = ("attack", "epsilon", "steps", "step_size", "restarts", "target", "seed")
        how = {name: result.knobs[name] for name in names}
        if how["attack"] == "none" or not isinstance(how["attack"], str):
            return []
        return [Sent("attacked image", "variant", ("attack", how))]

    def examined(self) -> None:
        """Forget how long a step takes, and which layers there are."""
        self.pace = None
        self.controls["layer"].examine(self.subject)

    def shown(self, result: Any) -> None:
        """Show the step size that the attack chose."""
        size = self.controls["step_size"]
        with self.settings.quiet():
            if np.isfinite(result.step_size):
                size.resolve(size.inner.near(result.step_size))


def _seconds_per_step(subject: Subject) -> float:
    """Time one step of an attack on one image."""
    images = subject.images[:1].clone().requires_grad_()
    with threads(subject.plan.threads), torch.enable_grad():
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            torch.autograd.grad(subject.predict(images).sum(), images)
            seconds.append(time.perf_counter() - begun)
    return min(seconds)
