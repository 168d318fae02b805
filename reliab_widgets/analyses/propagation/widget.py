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
from ...core.wording import grey_levels, percent
from ...ops.attacks.gradient import NORMS, RANDOM_STARTS
from ...ops.attacks.knobs import EPSILONS
from ...ops.calibration.metrics import softmax
from ...ui.controls import AutoBox, Words
from ...ui.explorer import Explorer
from ...ui.panels.epsilon import Searches, StepSizes, written
from ...ui.panels.layers import LayerSlider
from ...ui.panels.player import Player, Walk
from ...ui.picker import Picker
from .compute import propagation
from .panels import ChannelMaps
from .result import Propagation

if TYPE_CHECKING:
    from pandas import DataFrame

STEPPED = ("bim", "mim", "pgd", "pgd-l2")
"""Attacks that are shown with fewer steps first, if they are slow."""
SOME = (1, 16, 64)
"""How many images may be attacked together."""
FOLDED = {
    "knowledge": 178,
    "batch": 130,
    "metric": 169,
    "view": 159,
    "log": 125,
    "amplify": 140,
    "step_size": 205,
    "restarts": 166,
    "layers": 190,
    "seed": 159,
}
"""Knobs under "More" and their widths in pixels: four stand side by side."""
LIVE = 0.1
"""Seconds that the steps of an attack may take while a slider moves."""


class PropagationWidget(Explorer):
    """Attack an image and see at which layer a whisper becomes a shout.

    Parameters
    ----------
    subject : Subject
        Whose network is attacked, one of its images at a time or some together.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``show_code``, ``cache``, ``executor``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> widget = PropagationWidget(rw.demo("resnet20"))
    >>> widget.set(attack="fgsm", epsilon=2 / 255, image=7).result.index
    array([7])
    >>> widget.close()
    """

    question = "Where does a whisper become a shout?"
    formats = (*Explorer.formats, "NPY")
    height = 275
    about = """<ul>
<li><b>Above</b>: the clean image, what the attack added (amplified; grey is nothing), the image
attacked, denoised if there is a denoiser, and under equally large random noise. ✓ the true class,
✗ another one. <b>Right</b>: the logits of the true class (blue circles) and of the strongest other
one (orange triangles) at each step of the attack; dotted line: the step at which the answer is
lost.</li>
<li><b>Below</b>: how far each layer's features are from those of the clean image. <b>Orange
triangles, dashed</b>: attacked (and denoised). <b>Pale triangles</b>: attacked, not denoised.
<b>Grey squares, dotted</b>: random noise of the same size, the control. <b>Green circles</b>:
clean, but denoised. <b>Yellow diamonds</b>: what you pinned. Bands: quartiles over the images,
of a ratio its 95 % interval. Small rings below the axis: layers on a shortcut or on a branch beside
others.</li>
<li><b>Channels</b> of the chosen layer, the most changed first: blue is more than on the clean
image, orange is less.</li>
<li>Compare with the control, not one layer with another: layers have scales of their own.
<b>Grey-box</b>: the attack does not know the denoiser; <b>white-box</b>: it attacks through
it.</li></ul>"""
    words = {  # noqa: RUF012
        "attack": Words(
            options={
                "bim": "BIM",
                "fgsm": "FGSM (one step)",
                "mim": "MIM (momentum)",
                "pgd": "PGD (random start)",
                "pgd-l2": "PGD, L2",
                "deepfool": "DeepFool",
            }
        ),
        "epsilon": Words(
            "ε",
            "Epsilon: the most that a pixel may change; of L2 attacks, the length of the whole "
            "change. White is 255/255",
            write=grey_levels,
        ),
        "steps": Words(tip="Steps of the attack, of DeepFool at most"),
        "target": Words(tip="Which answer the attack wants", options={"any": "any wrong"}),
        "batch": Words("images", "How many images are attacked, from this one on"),
        "log": Words("axis", options={True: "log", False: "linear"}),
        "denoiser": Words(tip="What stands before the network"),
        "knowledge": Words(tip="Whether the attack knows the denoiser"),
        "metric": Words("distance", options={"relative": "relative L2"}),
        "view": Words(tip="The distance, or that divided by the distance of random noise"),
        "amplify": Words(tip="By how much the difference is made visible", write="×{:g}".format),
        "restarts": Words(tip="Random starts of PGD"),
        "layers": Words(options={"weight": "conv, linear"}),
        "seed": Words(tip="Of everything that is drawn by chance"),
    }
    own = (
        Knob("batch", Choice(lambda subject: [n for n in SOME if n <= len(subject)]), 1),
        Knob("log", Choice((True, False)), True),
    )
    front = ("image", "attack", "epsilon", "steps", "target", "denoiser")
    fold = tuple(FOLDED)
    panels = None

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        self._picker = Picker(subject)
        self._executor = options.get("executor")
        self._norm = "Linf"
        self.pace: float | None = None
        layer = LayerSlider(subject, description="layer", tooltip="Layer whose channels are shown")
        step = W.IntSlider(0, 0, 1, description="step", tooltip="Step to mark")
        sizes = StepSizes(description="step size", tooltip="Of one step of the attack")
        controls = {
            "image": self._picker,
            "step_size": AutoBox(sizes),
            "layer": AutoBox(layer),
            "step": AutoBox(step, word="last"),
        }
        super().__init__(propagation, subject, controls, **options)

    def arrange(self) -> list[W.Widget]:
        """Return the usual parts; knobs under "More" stand where the channels are."""
        parts = super().arrange()
        self.controls["epsilon"].add_class("rw-wide")
        self._searches = Searches(self, _lost, _enough, self._executor)
        self._channels = ChannelMaps(self.subject, self.guard)
        layer, step = self.controls["layer"], self.controls["step"]
        walks = {
            "layers": Walk(lambda: len(layer.inner.options) - 1, self._to_layer),
            "steps": Walk(lambda: int(step.inner.max), self._to_step),
        }
        self._player = Player(self, walks)
        for control, width, label in ((layer, "190px", "38px"), (step, "164px", "34px")):
            control.layout.width, control.inner.style.description_width = width, label
        places = W.HBox([layer, self._channels.slider, self._player.widget, step])
        self._close_up = W.VBox([places, self._channels.widget])
        # Not below each other: the widget keeps its height.
        folded, side, readout = self.page.folded, self.page.side, self.page.readout
        *knobs, trail, notes = folded.children
        folded.children = knobs
        folded.layout.flex_flow = "row wrap"
        for knob, pixels in zip(knobs, FOLDED.values(), strict=True):
            inner = knob.inner if isinstance(knob, AutoBox) else knob
            knob.layout.width, inner.style.description_width = f"{pixels}px", "initial"
        which = self._picker.which
        which.layout.width, notes.layout.height = "auto", "44px"
        which.style.description_width = "70px"
        self._aside = W.VBox([which, trail, notes], layout=W.Layout(display="none"))
        # Four lines; what is said of a pin and a sweep together may be longer.
        readout.layout.max_height, readout.layout.overflow = "71px", "auto"
        self.page.detail.children = (self._close_up, folded)
        *front, more, _ = side.children
        side.children = (*front, self._searches.widget, more, self._aside)
        folded.layout.observe(self._unfolded, "display")
        return parts

    def _unfolded(self, change: Any) -> None:
        self._aside.layout.display = change["new"]
        self._close_up.layout.display = "" if change["new"] == "none" else "none"

    def _to_layer(self, place: int) -> None:
        self.controls["layer"].value = self.controls["layer"].inner.options[place]

    def _to_step(self, place: int) -> None:
        step = self.controls["step"]
        step.value = None if place == step.inner.max else place

    # ------------------------------------------------------------------ settings
    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis: the images are some from one on."""
        knobs = super().knobs()
        first, count, every = knobs.pop("image"), knobs.pop("batch"), len(self.subject)
        return knobs | {"images": tuple((first + k) % every for k in range(count))}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: no layer or step that it has not."""
        views, result = super().views(), self.work.result
        if result is not None and views["layer"] not in result.layers:
            views["layer"] = None
        if result is not None and (views["step"] or 0) >= len(result.trajectory):
            views["step"] = None
        return views

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same attack with fewer steps where all of them are too slow for a slider."""
        if knobs["attack"] not in STEPPED or len(knobs["images"]) > 1:
            return None
        if self.pace is None:
            self.pace = _seconds_per_step(self.subject)
        live = max(1, int(LIVE / self.pace / knobs["restarts"]))
        return knobs | {"steps": live} if live < knobs["steps"] else None

    def adapt(self) -> None:
        """Offer the epsilons of the attack, and those knobs that it has."""
        attack, size = self.controls["attack"].value, self.controls["step_size"]
        norm = NORMS[attack] or "Linf"
        if norm != self._norm:
            self._norm = size.inner.norm = norm
            with self.settings.quiet():
                self.controls["epsilon"].offer(EPSILONS[norm], written(norm))
                size.show(size.inner.usual[0] if size.value is None else size.value)
        self.settings.enable(
            {
                "epsilon": bool(NORMS[attack]),
                "steps": attack not in ("fgsm", "none"),
                "target": attack != "none",
                "step_size": attack in STEPPED,
                "restarts": attack in RANDOM_STARTS,
                "knowledge": self.controls["denoiser"].value != "none",
            }
        )

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[str]:
        """Return the image with its answer, what was done to it, and what must be known."""
        if not isinstance(result, Propagation):
            return super().chips(result)
        sure = softmax(result.logits[0, :1])[0]
        answer = int(sure.argmax())
        first = result.index[0]
        image = f"image {first}" if result.n == 1 else f"{result.n} images from {first} on"
        said = f"is {result.classes[result.truth[0]]}, says {result.classes[answer]} "
        if result.n > 1:
            said = f"the first {said}"
        said += percent(sure[answer])
        return [result.subject, image, said, result.settings(), *self.subject.notes, *result.notes]

    def sentence(self, result: Any) -> str:
        """Return the verdict and the numbers, and what was found out about such settings."""
        return " ".join(filter(None, (super().sentence(result), self._searches.say(result))))

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

    def shown(self, result: Any) -> None:
        """Show what the result chose, and the channels of the marked layer."""
        views, last = self.views(), len(result.trajectory) - 1
        marked = views["layer"] or result.strongest_map
        layer, step, size = (self.controls[name] for name in ("layer", "step", "step_size"))
        with self.settings.quiet():
            layer.inner.offered = result.layers
            layer.show(marked)
            step.inner.max = max(last, step.inner.max)
            step.resolve(last)
            step.inner.max = max(last, 1, step.value or 0)
            if np.isfinite(result.step_size):
                size.resolve(size.inner.near(result.step_size))
        self.settings.enable({"step": last > 0})
        self._channels.show(result, marked)


def _lost(result: Propagation) -> bool:
    """Tell whether half of the predictions change."""
    return bool((result.answers[0] != result.answers[1]).mean() >= 0.5)


def _enough(result: Propagation) -> bool:
    """Tell whether the first prediction was right and changes."""
    clean, attacked = result.answers[:2, 0]
    return bool(result.target == "any" and clean == result.truth[0] != attacked)


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
