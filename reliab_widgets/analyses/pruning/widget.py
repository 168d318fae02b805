"""What is special about the widget of the pruning analysis: its words, menus and panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np

from ...core.engine import Recent
from ...core.knobs import AnotherSubject
from ...core.subject import Subject, check_subject
from ...core.wording import percent
from ...ops.calibration.metrics import softmax
from ...ops.pruning.importance import CRITERIA
from ...ops.pruning.structure import structure
from ...ui.controls import Marked, Words, offer, place
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from ...ui.special import Sent
from ...ui.words import HIDES, Chip
from .compute import LEVELS, WEIGHTS, pruning
from .panels import Calibration, Changed, Explanation, Size
from .result import Pruning

if TYPE_CHECKING:
    from pandas import DataFrame

BATCHES = (20, 50, 100, 200)
LARGE, FEW = 64, 8
"""Of images with more pixels a side a preview shows so many."""


class PruningWidget(Explorer):
    """Filters go, and the widget shows for whom: classes, answers, confidences, explanations.

    The sweep over all levels is a job whose curve grows from coarse to fine; after it, or after
    Cancel, the slider answers at once.

    Parameters
    ----------
    subject : Subject
        What is examined. Filters are ranked, and temperatures fitted, on ``subject.validation`` if
        there is one, otherwise on half of the images.
    train : Subject, optional
        Training images; with them the pruned networks can be trained a little.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"changed images"``, ``"calibration"``, ``"size and speed"``,
        ``"explanations"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> few = {"images": 16, "calibration_images": 20}
    >>> widget = rw.widgets.PruningWidget(rw.demo("resnet20"), preset=few)
    >>> widget.set(level=0.05).result.n
    16
    >>> widget.close()
    """

    question = "What does the average hide when the network gets thin?"
    height = 356
    about = """<ul>
<li><b>Accuracy</b>: <b>blue circles</b>: all test images, those that filters are not ranked on,
with their 95 % intervals (CI). <b>Orange, dashed</b>: the class that loses most at the share you
look at, or the one that you chose. Only levels that are neighbours are joined. <b>Grey, dotted</b>:
the control, as many removed at random, five times; the band is their range. <b>Hollow
circles</b>: what you pinned. <b>Drag the ring</b>, or click a share.</li>
<li><b>Who pays</b>: each class before (hollow) and after (filled); the square is random removal.
Orange: it loses more than the average. <b>Click a class</b> for its numbers and its curve, and its
images in the panel “changed images”.</li>
<li><b>Where the filters went</b>: the layers in a row, arcs are ways around them. Some filters can
only go together, some not at all. <b>Click a layer</b> to read its numbers; “Protect” then offers
it.</li>
<li><b>Temperature</b>, for the panel “calibration”: none, that of the whole network, or fitted
again to the pruned one, on other images than those reported.</li></ul>"""

    words = {  # noqa: RUF012
        "criterion": Words(
            "Rank filters by",
            "What goes first",
            {
                "taylor": "Taylor",
                "taylor-fg": "Taylor, per image",
                "taylor-so": "Taylor, 2nd order",
                "weight": "weight norm",
                "bn-scale": "batch norm scale",
                "magnitude": "single weights",
            },
        ),
        "temperature": Words(
            "Temperature",
            "What the logits are divided by in the panel “calibration”",
            {"old": "of the whole network", "refitted": "fitted again", "raw": "none"},
        ),
        "scope": Words("Remove a share of", "", options={"flops": "multiply-adds"}, switch=True),
        "rounds": Words("Rounds", "How many times filters are ranked", {1: "1: rank once"}),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("criterion", "scope", "protect", "finetune", "temperature")
    fold = ("image", "images", "calibration_images", "rounds", "seed")
    marks = {"level": float, "payer": int, "layer": str}  # noqa: RUF012
    panels = (Changed, Calibration, Size, Explanation)
    shares = {"index": "image", "target": "payer", "seed": "seed"}  # noqa: RUF012
    makes = ("pruned",)

    def __init__(self, subject: Subject, *, train: Subject | None = None, **options: Any) -> None:
        check_subject(subject)
        if train is not None:
            AnotherSubject().check("train", train, subject)
        self._train = train
        self._first = structure(subject).layers[0].name
        self._answers = Recent(32)
        super().__init__(pruning, subject, self._menus(subject), **options)

    def _menus(self, subject: Subject) -> dict[str, W.Widget]:
        """Return the controls whose values the kinds do not know."""
        most = len(subject) if subject.validation is not None else len(subject) // 2
        some = [n for n in (64, 128, 256, 512, 1000) if n < most]
        ranked = most if subject.validation is None else len(subject.validation)
        few = [n for n in (50, 200, 500) if n < ranked]
        return {
            "level": Marked(value=0.1),
            "protect": W.Dropdown(
                options=self._protected(None),
                description="Protect",
                tooltip="Layers that keep all their filters; click a layer to be offered it",
            ),
            "image": Picker(subject),
            "images": W.Dropdown(
                options=[(f"{n} images", n) for n in (*some, most)],
                value=min(256 if len(subject) > 256 else 64, most),
                description="Evaluated on",
                tooltip="On how many images",
            ),
            "calibration_images": W.Dropdown(
                options=[(f"{n} images", n) for n in (*few, ranked)],
                value=200 if 200 in few else (*few, ranked)[0],
                description="Ranked on",
                tooltip="How many images filters are ranked and temperatures fitted on",
            ),
            "finetune": W.Dropdown(
                options=[("no", 0), *((f"{n} batches", n) for n in BATCHES if self._train)],
                description="Fine-tune",
                tooltip="Batches trained on after each removal, on the given training images"
                if self._train
                else "Pass train= (a Subject of training images) to the widget to choose this",
                disabled=self._train is None,
            ),
        }

    def _protected(self, layer: str | None) -> list[tuple[str, tuple[str, ...]]]:
        """Return what can be protected: nothing, the first layer, the one that is chosen."""
        offers: list[tuple[str, tuple[str, ...]]] = [
            ("nothing", ()),
            ("the first layer", (self._first,)),
        ]
        return offers + ([(layer, (layer,))] if layer not in (None, self._first) else [])

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis: of single weights far more can go."""
        knobs = super().knobs()
        far = {"levels": WEIGHTS} if knobs["criterion"] == "magnitude" else {}
        return knobs | far | {"train": self._train if knobs["finetune"] else None}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: the level is one that is asked for."""
        views = super().views() | {"narrow": self.page.picture.live.narrow}
        result = self.work.result
        if isinstance(result, Pruning):
            views["level"] = self._level(result)
        return views

    def _level(self, result: Pruning) -> float:
        asked = self.controls["level"].value
        return float(result.levels[result.telling]) if asked is None else result.nearest(asked)

    def place(self, result: Pruning) -> int:
        """Return the place of the level shown; of the nearest where it is not computed yet."""
        return int(np.abs(result.levels - self._level(result)).argmin())

    def missing(self, result: Any) -> float | None:
        """Return the level of the ring as long as it is not computed."""
        level = self._level(result)
        return level if result.waits_for(level) else None

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same for a few images and one level, where images are large."""
        reported = knobs["images"] if isinstance(knobs["images"], int) else FEW
        if max(self.subject.images.shape[2:]) <= LARGE or reported <= FEW or knobs["finetune"]:
            return None
        few = min(FEW, knobs["calibration_images"])
        level = self.controls["level"].value or 0.1
        levels = (min(knobs.get("levels", LEVELS), key=lambda one: abs(one - level)),)
        return knobs | {"images": FEW, "calibration_images": few, "levels": levels}

    def chips(self, result: Any) -> list[Any]:
        """Return what is evaluated, how many predictions changed, and what is shown."""
        if not isinstance(result, Pruning):
            return super().chips(result)
        level, place = self._level(result), result.place_of(self._level(result))
        done, asked = len(result.levels), len(result.asked)
        shown = "the whole network" if place is None else f"{percent(level, 0)} removed"
        shows = Chip(f"shows: {shown}, {done} of {asked} levels", "shows")
        if self.is_preview:
            few = f"≈ preview: {result.n} of {self.knobs()['images']:,} test images"
            return [self.subject.name, *self.subject.notes, Chip(few, "warning")]
        chips: list[Any] = [
            self.subject.name,
            f"{result.n:,} test images",
            *self.subject.notes,
            shows,
            *([Chip(HIDES, "warning")] if result.doubt else []),
        ]
        changed = 0 if place is None else int(result.flipped[0, place].sum())
        if changed:  # last: beside a long status there is no room for it
            chips.append(Chip(f"{changed:,} changed", "warning"))
        return chips

    def sure(self, index: int) -> np.ndarray:
        """Return what the whole network says of an image, as probabilities."""
        if index not in self._answers:
            logits = self.subject.predict(self.subject.images[index : index + 1])
            self._answers[index] = softmax(logits.cpu().numpy())[0]
        probabilities: np.ndarray = self._answers[index]
        return probabilities

    def table(self, result: Any) -> DataFrame | None:
        """Return the sweep: one row a level."""
        from pandas import DataFrame

        if not isinstance(result, Pruning):
            return None
        temperature = self.views()["temperature"]
        return DataFrame(
            {
                "accuracy": result.accuracy[0],
                "random removal": result.accuracy[1:].mean(0),
                "worst class": result.worst[0],
                "predictions changed": result.flipped[0].mean(-1),
                "ECE": result.calibration[f"ece {temperature}"][0],
                "multiply-adds": result.multiply_adds[0] / result.multiply_adds[0, 0],
            },
            index=[percent(level, 0) for level in result.levels],
        )

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return what is chosen; the level as its mark is called."""
        chosen = super().chosen(result)
        return chosen | {"level": f"{self.views()['level']:.6g}"}

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of the sweep."""
        notes = (*result.notes, *filter(None, [result.doubt]))
        return " ".join((super().sentence(result), *(f"Note: {it}." for it in notes)))

    def sends(self, result: Any) -> list[Sent]:
        """Return the pruned network, and the images whose prediction it changes."""
        return _sent(result, result.place_of(self._level(result)))

    def examined(self) -> None:
        """Forget what the earlier network said, and its layers."""
        self._answers = Recent(32)
        self._first = structure(self.subject).layers[0].name
        names = {layer.name for layer in structure(self.subject).layers}
        most = len(self.subject) // (1 + (self.subject.validation is None))
        with self.settings.quiet():
            if self.controls["images"].value > most:
                place(self.controls["images"], most, widen=True)
            if not names.issuperset(self.controls["protect"].value):
                self.controls["protect"].value = ()
            if self.controls["layer"].value not in names:
                self.controls["layer"].value = None

    def shown(self, result: Any) -> None:
        """Offer to protect the layer that is chosen."""
        protect = self.controls["protect"]
        offers = self._protected(self.views()["layer"])
        if protect.value not in [value for _, value in offers]:
            offers.append((", ".join(protect.value), protect.value))
        with self.settings.quiet():
            offer(protect, offers, protect.value)


def _sent(result: Pruning, place: int | None) -> list[Sent]:
    if not place:
        return []
    knobs, level = result.knobs, float(result.levels[place])
    kept, share = [], percent(level, 0)
    if knobs["criterion"] in CRITERIA and not knobs["finetune"] and knobs["rounds"] == 1:
        names = ("criterion", "scope", "protect", "calibration_images", "seed")
        how = {"level": level} | {name: knobs[name] for name in names}
        kept.append(Sent(f"network, {share} pruned", "variant", ("pruned", how)))
    changed = tuple(int(it) for it in result.index[result.flipped[0, place]])
    if changed:
        images = (f"changed by {share} pruning", changed)
        kept.append(Sent(f"{len(changed):,} changed images", "images", images))
    return kept
