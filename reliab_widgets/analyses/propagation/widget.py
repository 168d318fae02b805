"""The knobs of the propagation analysis."""

from __future__ import annotations

import time
from collections import Counter
from io import BytesIO
from typing import Any

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure
from pandas import DataFrame

from ...batching import threads
from ...drawing import short
from ...engine import Tick
from ...ops.adversary import smallest_epsilon
from ...ops.attacks import NORMS, RANDOM_STARTS
from ...ops.calibration import percent, softmax
from ...ops.pixels import in_cells
from ...result import Result
from ...subject import Subject, check_subject
from ...ui import inputs, pictures
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from .compute import channels, propagation
from .drawing import Layers
from .result import CONTROL_TOO, FLIPPED, METRICS, TO_GOAL, TO_RUNNER_UP, Channels, Propagation

SIZES = {
    "Linf": tuple(n / 255 for n in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)),
    "L2": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0),
}
"""The epsilons of the slider, by norm."""
VIEWS = ("metric", "view", "log", "amplify", "layer")
"""Controls that change the picture only."""
STEPPED = ("bim", "mim", "pgd", "pgd-l2")
"""Attacks that are shown with fewer steps first, if they are slow."""
LIVE = 0.1
"""Seconds that the steps of an attack may take while a slider moves."""
GRADES = {
    TO_RUNNER_UP: "to the runner-up",
    TO_GOAL: "to the goal",
    FLIPPED: "to another class",
    CONTROL_TOO: "as under random noise",
}
"""How flips of many images are counted."""
SHOWN = 7
"""How many channels are shown."""
PACE = 800
"""Milliseconds that slow motion rests at a layer or step."""


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

    def __init__(self, subject: Subject, **options: Any) -> None:
        from ...zoo import denoisers

        check_subject(subject)
        picker = Picker(subject)
        self._which = picker.which
        self._layer: str | None = None
        self._seen: tuple[Propagation, Channels] | None = None
        self._pace: float | None = None
        self._bounds = (0.0, 1.0)
        self._extra: float | None = None
        self._learned: dict[Any, str] = {}
        some = [n for n in (16, 64) if n <= len(subject)]
        goals = [("any wrong", "any"), ("runner-up", "runner-up")]
        controls = {
            "image": picker,
            "attack": inputs.choice(
                "attack",
                [
                    ("BIM", "bim"),
                    ("FGSM (one step)", "fgsm"),
                    ("MIM (momentum)", "mim"),
                    ("PGD (random start)", "pgd"),
                    ("PGD, L2", "pgd-l2"),
                    ("DeepFool", "deepfool"),
                    ("none", "none"),
                ],
            ),
            "epsilon": W.SelectionSlider(
                options=[(_written(size), size) for size in SIZES["Linf"]],
                value=8 / 255,
                description="ε",
                tooltip="Epsilon: the most that a pixel may change; of L2 attacks, the length of "
                "the whole change. White is 255/255",
            ),
            "steps": inputs.whole("steps", 10, 1, 40, "Steps of the attack, of DeepFool at most"),
            "goal": inputs.choice(
                "goal",
                [*goals, *((name, name) for name in subject.classes)],
                "Which answer the attack wants",
            ),
            "denoiser": inputs.choice(
                "denoiser",
                [("none", ""), *((name, name) for name in denoisers())],
                "What stands before the network",
            ),
            "threat": inputs.choice(
                "threat",
                [("grey-box", "grey"), ("white-box", "white")],
                "Whether the attack knows the denoiser",
            ),
            "batch": inputs.choice(
                "images",
                [("1", 1), *((str(n), n) for n in some)],
                "How many images are attacked, from this one on",
            ),
            "metric": inputs.choice(
                "distance",
                [("rms", "rms"), ("relative L2", "relative"), *((m, m) for m in METRICS[2:])],
            ),
            "view": inputs.choice(
                "view",
                [("distance", "distance"), ("ratio", "ratio")],
                "The distance, or that divided by the distance of random noise",
            ),
            "log": inputs.choice("axis", [("log", True), ("linear", False)]),
            "amplify": inputs.choice(
                "amplify",
                [(f"×{n}", n) for n in (8, 1, 2, 4, 16, 32, 64)],
                "By how much the difference is made visible",
            ),
            "step_size": inputs.choice(
                "step size",
                [("auto", 0.0), *((_written(size), size) for size in SIZES["Linf"][:8])],
                "Of one step of the attack",
            ),
            "restarts": inputs.whole("restarts", 1, 1, 5, "Random starts of PGD"),
            "layers": inputs.choice(
                "layers",
                [
                    ("conv, linear", "weight"),
                    ("blocks", "blocks"),
                    ("activations", "activations"),
                ],
            ),
            "seed": inputs.seed(),
            "layer": W.SelectionSlider(
                options=["input", "logits"],
                description="layer",
                readout=False,
                tooltip="Layer whose channels are shown",
            ),
        }
        self._channel = _place("channel", "Rank of the channel: 1 changes most", 1, "146px", 54)
        self._step = _place("step", "Step to mark, by default the last", 0, "126px", 34)
        self._step.value = self._step.max
        self._play = W.Play(interval=PACE, layout=W.Layout(display="none"), tooltip="Slow motion")
        self._over = W.Dropdown(
            options=["layers", "steps"],
            tooltip="Whether slow motion goes over layers or steps",
            layout=W.Layout(width="74px"),
        )
        self._maps = W.HTML(layout=W.Layout(height="66px"))
        super().__init__(
            propagation,
            subject,
            controls,
            fold=(
                "threat",
                "batch",
                "metric",
                "view",
                "log",
                "amplify",
                "step_size",
                "restarts",
                "layers",
                "seed",
            ),
            **options,
        )

    def _arrange(self, fold: Any, show_code: bool) -> list[W.Widget]:
        parts = super()._arrange(fold, show_code)
        self.controls["epsilon"].add_class("rw-wide")
        layer = self.controls["layer"]
        layer.layout.width, layer.style.description_width = "190px", "38px"
        self._slow = self._button("▶ Play", "Slow motion over layers or steps", self._on_slow)
        places = W.HBox([layer, self._channel, self._slow, self._over, self._step, self._play])
        self._close_up = W.VBox([places, self._maps])
        # Where the channels are and not below each other: the widget keeps its height.
        *knobs, trail, notes = self._folded.children
        self._folded.children = knobs
        self._folded.layout.flex_flow = "row wrap"
        for knob in knobs:
            knob.layout.width, knob.style.description_width = "159px", "initial"
        self._which.layout.width, notes.layout.height = "auto", "44px"
        self._which.style.description_width = "70px"
        self._aside = W.VBox([self._which, trail, notes], layout=W.Layout(display="none"))
        # Four lines; what is said of a pin and a sweep together may be longer.
        self._readout.layout.max_height, self._readout.layout.overflow = "71px", "auto"
        self.detail.children = (self._close_up, self._folded)
        smallest = self._button(
            "Smallest ε", "Search the smallest epsilon that changes the answer", self._on_smallest
        )
        sweep = self._button("Sweep ε", "Compute every epsilon of the slider", self._on_sweep)
        buttons = W.HBox([smallest, sweep], layout=W.Layout(margin="0 0 0 40px"))
        unfolded = [c for name, c in self.controls.items() if name not in fold and c is not layer]
        self.side.children = (*unfolded, buttons, self._more, self._aside)
        self._channel.observe(lambda _: self._guard(self._show_channels), "value")
        self._step.observe(self._changed, "value")
        self._play.observe(self._on_frame, "value")
        self._play.observe(self._on_playing, "playing")
        self._adapt()
        return parts

    def _on_more(self) -> None:
        super()._on_more()
        self._aside.layout.display = self._folded.layout.display
        unfolded = self._folded.layout.display != "none"
        self._close_up.layout.display = "none" if unfolded else ""

    # ------------------------------------------------------------------ settings
    def state(self) -> dict[str, Any]:
        """Return the value of every knob; a layer that nobody chose is None."""
        return super().state() | {"layer": self._layer}

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        knobs = {name: value for name, value in self.state().items() if name not in VIEWS}
        first, count, every = knobs.pop("image"), knobs.pop("batch"), len(self.subject)
        return knobs | {
            "images": tuple((first + k) % every for k in range(count)),
            "denoiser": knobs["denoiser"] or None,
            "step_size": knobs["step_size"] or None,
        }

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same attack with fewer steps where all of them are too slow for a slider."""
        if knobs["attack"] not in STEPPED or len(knobs["images"]) > 1:
            return None
        if self._pace is None:
            self._pace = _seconds_per_step(self.subject)
        live = max(1, int(LIVE / self._pace / knobs["restarts"]))
        return knobs | {"steps": live} if live < knobs["steps"] else None

    def assign(self, name: str, value: Any) -> None:
        """Put one knob's value into its control; any epsilon becomes one of the slider."""
        if name == "layer":
            self._layer = self._known_layer(value)
            return
        if name == "epsilon":
            self._offer(float(value))
        super().assign(name, value)
        if name in ("attack", "denoiser"):
            self._adapt()

    def _known_layer(self, layer: str | None) -> str | None:
        """Return ``layer`` if the network has it, also if it is not shown at the moment."""
        modules = {name for name, _ in self.subject.model.named_modules() if name}
        ends = {"input", "logits", "probabilities"}
        if layer is not None and str(layer).split(" (")[0] not in modules | ends:
            raise ValueError("the network has no such layer")
        return layer

    def _lock(self, lock: Any) -> None:
        bounds = lock.get("epsilon")
        if isinstance(bounds, tuple):
            self._bounds = bounds
            self._offer(float(np.clip(self.controls["epsilon"].value, *bounds)))
            lock = {name: bound for name, bound in lock.items() if name != "epsilon"}
        super()._lock(lock)

    def _offer(self, epsilon: float) -> None:
        """Let the slider have this epsilon beside those usual for the attack."""
        control, (low, high) = self.controls["epsilon"], self._bounds
        if not (low <= epsilon <= high and epsilon > 0):
            raise ValueError("it is out of range")
        norm = NORMS[self.controls["attack"].value] or "Linf"
        values = {value for value in SIZES[norm] if low <= value <= high}
        if epsilon not in values:
            self._extra = epsilon
        if self._extra is not None:
            values.add(self._extra)
        offered = tuple((_written(value, norm), value) for value in sorted(values))
        if offered != control.options:
            with self.quiet(), control.hold_sync():
                control.options = offered
                control.value = epsilon

    def _adapt(self) -> None:
        """Offer the epsilons of the attack, and those knobs that it has."""
        attack = self.controls["attack"].value
        self._offer(self.controls["epsilon"].value)
        self.enable(
            {
                "epsilon": bool(NORMS[attack]),
                "steps": attack not in ("fgsm", "none"),
                "goal": attack != "none",
                "step_size": attack in STEPPED,
                "restarts": attack in RANDOM_STARTS,
                "threat": bool(self.controls["denoiser"].value),
            }
        )

    def _changed(self, change: Any) -> None:
        if not self.is_quiet:
            if change["owner"] is self.controls["layer"]:
                self._layer = change["new"]
            self._guard(self._adapt)
        super()._changed(change)

    # ------------------------------------------------------------------ buttons
    def _on_smallest(self) -> None:
        names = ("attack", "steps", "restarts", "goal", "denoiser", "threat", "seed")
        knobs = self.knobs()
        image, chosen = knobs["images"][0], {name: knobs[name] for name in names}
        limit, norm = self._limit(knobs), NORMS[knobs["attack"]]

        def search(progress: Tick) -> float:
            found = smallest_epsilon(
                self.subject,
                images=(image,),
                limit=limit,
                progress=progress,
                **self._where,
                **chosen,
            )
            return float(found.epsilon[0])

        def show(epsilon: float) -> None:
            if epsilon == 0:
                words = "No attack is needed: the clean image gets such an answer already."
            elif np.isinf(epsilon):
                words = f"No epsilon up to {_written(limit, norm)} is enough."
            else:
                words = f"The smallest epsilon seen to succeed is {_written(epsilon, norm)}."
                if knobs["step_size"]:
                    words += " It was searched with automatic step sizes."
            self._learned[self._case()] = words
            if 0 < epsilon < np.inf:
                self.set(epsilon=epsilon)
            else:
                self.refresh()

        self.run(search, show)

    def _on_sweep(self) -> None:
        knobs = self.knobs()
        if not NORMS[knobs["attack"]]:
            raise ValueError(
                f"there is no epsilon to sweep: the attack is {knobs['attack']!r}, which has none. "
                "Choose another attack."
            )
        every = [value for _, value in self.controls["epsilon"].options]

        def compute(progress: Tick) -> list[Propagation]:
            results: list[Propagation] = []
            for epsilon in every:
                # Cancel comes between the batches of each, n/N counts epsilons.
                def tick(*_: int, done: int = len(results)) -> None:
                    progress(done, len(every))

                wanted = knobs | {"epsilon": epsilon}
                results.append(
                    self._cache(propagation, self.subject, **self._where, progress=tick, **wanted)
                )
                self._refined.add(repr(sorted(wanted.items())))
            return results

        def show(results: list[Propagation]) -> None:
            lost = [(result.answers[0] != result.answers[1]).mean() >= 0.5 for result in results]
            whose = "The answer is" if results[0].n == 1 else "Half of the answers are"
            words = f"{whose} kept at all {len(every)} epsilons of the sweep."
            if any(lost):
                first = _written(every[lost.index(True)], NORMS[knobs["attack"]])
                words = f"{whose} lost from {first} on (sweep of {len(every)} epsilons)."
            self._learned[self._case()] = words
            self.refresh()

        self.run(compute, show)

    def _limit(self, knobs: dict[str, Any]) -> float:
        """Return above which epsilon nothing needs to be searched."""
        result = self._result
        told = ("attack", "epsilon", "steps", "goal", "threat")
        if (
            isinstance(result, Propagation)
            and result.index[0] == knobs["images"][0]
            and result.denoiser == (knobs["denoiser"] or "none")
            and all(getattr(result, name) == knobs[name] for name in told)
            and result.goal == "any"
            and result.answers[0, 0] == result.truth[0] != result.answers[1, 0]
        ):
            return result.epsilon
        return max(value for _, value in self.controls["epsilon"].options)

    def _case(self) -> tuple[Any, ...]:
        """Return what was found out belongs to: all knobs of the analysis but epsilon."""
        return tuple(item for item in sorted(self.knobs().items()) if item[0] != "epsilon")

    def _on_slow(self) -> None:
        play = self._play
        if not play.playing:
            layers = self._over.value == "layers"
            last = len(self.controls["layer"].options) - 1 if layers else self._step.max
            with self.quiet():
                play.max, play.value = last, 0
            self._go(0)
        play.playing = not play.playing

    def _on_playing(self, change: Any) -> None:
        self._slow.description = "■ Stop" if change["new"] else "▶ Play"

    def _on_frame(self, change: Any) -> None:
        if not self.is_quiet:
            self._guard(lambda: self._go(change["new"]))

    def _go(self, place: int) -> None:
        if self._over.value == "layers":
            self.controls["layer"].index = place
        else:
            self._step.value = place

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
        return [
            result.subject,
            image,
            said + percent(sure[answer]),
            result.settings(),
            *self.subject.notes,
            *result.notes,
        ]

    def sentence(self, result: Any) -> str:
        """Return the verdict and the numbers; for several images, those of all of them."""
        if not isinstance(result, Propagation):
            return super().sentence(result)
        words = _one(result) if result.n == 1 else _several(result)
        return " ".join(filter(None, (words, self._learned.get(self._case()))))

    def table(self, result: Any) -> DataFrame | None:
        """Return for each layer the distance under the attack, under noise, and their ratio."""
        if not isinstance(result, Propagation):
            return None
        metric = self.controls["metric"].value
        kinds = {kind: np.median(result.of(kind, metric), axis=1) for kind in result.kinds}
        return DataFrame(kinds | {"ratio": result.ratio(metric)}, index=list(result.layers))

    def content(self, result: Any, kind: str) -> bytes:
        """Return what a file holds; NPY: the images, (1 + kinds, C, H, W), the clean one first."""
        if kind != "npy":
            return super().content(result, kind)
        stream = BytesIO()
        np.save(stream, result.pictures)
        return stream.getvalue()

    def draw(self, result: Result, figure: Figure) -> None:
        """Draw, with the chosen layer marked; until one is chosen, the map of largest ratio."""
        assert isinstance(result, Propagation)
        layer, last = self.controls["layer"], len(result.trajectory) - 1
        with self.quiet():
            with layer.hold_sync():
                if layer.options != result.layers:
                    layer.options = result.layers
                layer.value = self._layer if self._layer in result.layers else result.strongest_map
            at_the_end = self._step.value == self._step.max
            self._step.max, self._step.disabled = max(last, 1), last < 1
            if at_the_end:
                self._step.value = last
        Layers.on(figure).show(
            result,
            self._pinned if isinstance(self._pinned, Propagation) else None,
            metric=self.controls["metric"].value,
            view=self.controls["view"].value,
            log=self.controls["log"].value,
            layer=layer.value,
            amplify=self.controls["amplify"].value,
            step=self._step.value if self._step.value < last else None,
        )

    def shown(self, result: Any) -> None:
        """Show the channels of the marked layer."""
        layer = self.controls["layer"].value
        if self._seen is None or self._seen[0] is not result or self._seen[1].layer != layer:
            self._seen = result, channels(self.subject, result, layer)
        with self.quiet():
            self._channel.max = max(len(self._seen[1].channel), 2)
        self._show_channels()

    def _show_channels(self) -> None:
        if self._seen is None:
            return
        result, seen = self._seen
        place = min(self._channel.value, len(seen.channel)) - 1
        names = _names(result, seen)
        clean, attacked = seen.clean[place], seen.adversarial[place]
        low, high = (float(f([f(clean), f(attacked)])) for f in (np.min, np.max))
        most = float(np.abs(seen.adversarial - seen.clean).max())
        image = f"image {result.index[0]}, {seen.layer}, {names[place]}"
        maps = [
            _map(clean, low, high, "clean", f"{image}, clean"),
            _map(attacked, low, high, "adversarial", f"{image}, adversarial"),
            _map(attacked - clean, -most, most, "difference", f"{image}, difference", signed=True),
            '<div style="display: inline-block; vertical-align: top">',
            pictures.scale(low, high, "clean and adversarial"),
            "<br>",
            pictures.scale(-most, most, "difference, all channels alike", signed=True),
            "</div>",
        ]
        for k in range(min(SHOWN, len(seen.channel))):
            title = (
                f"{seen.layer}, {names[k]}: changed by {seen.change[k]:.3g} (rms), by random noise "
                f"{seen.control[k]:.3g}; below: the mean change in % of the clean map's rms"
            )
            change = seen.adversarial[k] - seen.clean[k]
            name = short(names[k], 8)
            caption = f"{name}\n{_share(change, seen.clean[k])}"
            maps.append(_map(change, -most, most, caption, title, signed=True, side=34))
        self._maps.value = pictures.strip(maps)


def _seconds_per_step(subject: Subject) -> float:
    """Time one step of an attack on one image."""
    images = subject.images[:1].clone().requires_grad_()
    with threads(subject.report().threads), torch.enable_grad():
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            torch.autograd.grad(subject.predict(images).sum(), images)
            seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _place(name: str, tip: str, low: int, width: str, label: int) -> W.IntSlider:
    """Return a slider for a place in the picture, narrow enough to stand beside others."""
    slider = inputs.whole(name, low, low, low + 1, tip)
    slider.layout.width, slider.style.description_width = width, f"{label}px"
    return slider


def _written(epsilon: float, norm: str = "Linf") -> str:
    return f"{epsilon:.2g}" if norm == "L2" else f"{epsilon * 255:.3g}/255"


def _names(result: Propagation, seen: Channels) -> list[str]:
    if seen.layer in ("logits", "probabilities"):
        return [result.classes[number] for number in seen.channel]
    if seen.layer == "input" and len(seen.channel) == 3:
        return [("red", "green", "blue")[number] for number in seen.channel]
    return [f"#{number}" for number in seen.channel]


def _share(change: np.ndarray, clean: np.ndarray) -> str:
    size = np.sqrt(np.mean(clean**2))
    return f"{change.mean() / size * 100:+z.0f} %".replace("-", "−") if size else "was 0"


def _map(
    values: np.ndarray,
    low: float,
    high: float,
    caption: str,
    title: str,
    *,
    signed: bool = False,
    side: int = 48,
) -> str:
    stride = -(-max(values.shape) // (2 * side))
    colours = pictures.coloured(values[::stride, ::stride], low, high, signed=signed)
    # Details on demand for the large maps: the mean of each part.
    cells = in_cells(values) / in_cells(np.ones_like(values)) if side == 48 else None
    return pictures.thumbnail(colours, caption, title, side, cells)


def _one(result: Propagation) -> str:
    """Say what became of one image."""
    rows = {kind: 1 + place for place, kind in enumerate(result.kinds)}
    answers = [result.classes[answer] for answer in result.answers[:, 0]]
    sure = softmax(result.logits[:, 0]).max(axis=1)
    control = answers[rows["random"]]
    grade = result.verdict[0]
    said = [f"{answers[row]} {sure[row] * 100:.0f} %" for row in (0, 1)]
    words = [f"{grade[0].upper()}{grade[1:]} ({' → '.join(said)})."]
    if "undefended" in rows:
        words.append(f"Without the denoiser: {answers[rows['undefended']]}.")
    last = result.layers.index("logits")
    ratio = result.ratio()[last]
    attacked, noise = result.of("adversarial")[:, 0], result.of("random")[:, 0]
    words.append(
        f"The input moves by {attacked[0]:.2g} (rms), under random noise by {noise[0]:.2g}; the "
        f"logits by {attacked[last]:.3g} and {noise[last]:.3g}"
        + (f", {ratio:.1f} times as far." if 0 < ratio < np.inf else ".")
    )
    kept = control == answers[0]
    words.append(f"Random noise {'keeps the answer' if kept else f'makes it {control}'}.")
    return " ".join(words)


def _several(result: Propagation) -> str:
    """Say what became of many images."""
    answers = result.answers
    flips = (answers != answers[0]).sum(axis=1)
    counts = Counter(result.verdict)
    grades = ", ".join(f"{counts[grade]} {word}" for grade, word in GRADES.items() if counts[grade])
    words = f"{flips[1]} of {result.n} answers change"
    words += f" ({grades})" if grades else ""
    words += f", {flips[1 + result.kinds.index('random')]} under random noise. Accuracy "
    words += f"{percent(result.accuracy('clean'))} → {percent(result.accuracy('adversarial'))}"
    if "undefended" in result.kinds:
        words += f" ({percent(result.accuracy('undefended'))} without the denoiser)"
    last = result.layers.index("logits")
    words += f". The logits move by {np.median(result.of('adversarial')[last]):.3g} (rms)"
    ratio, (low, high) = result.ratio()[last], result.interval()[:, last]
    if np.isfinite([ratio, low, high]).all():
        words += f", {ratio:.1f} times random noise (95 % interval {low:.1f}–{high:.1f})"
    return f"{words}."
