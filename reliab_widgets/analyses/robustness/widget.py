"""What is special about the widget of the robustness analysis: words, order, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W
import numpy as np

from ...core.subject import Subject, check_subject
from ...core.wording import counted, named
from ...ops.attacks import rows as r
from ...ui.choices import Counts, Menu
from ...ui.controls import Marked, Words, offer
from ...ui.explorer import Explorer
from ...ui.picker import Picker
from ...ui.special import UNCHANGED, Sent
from ...ui.words import Chip
from . import sentences
from .compute import MANY, allowed, robustness
from .panels import Attacks, Broken, Judgement
from .result import Robustness

if TYPE_CHECKING:
    from pandas import DataFrame

OFFERED = ("pgd", "fgsm", "bim", "mim", "apgd:margin", "deepfool", "square", "simba")
"""Attacks that answer soon; all others are knobs of `rw.robustness`."""
SIGMAS = (0.03, 0.06, 0.12, 0.25, 0.5)
STEPS = 10
"""Steps of an attack that answers soon."""
DRAWS = (100, 200, 1000, 10_000)


class RobustnessWidget(Explorer):
    """Attack images in sizes that grow: what is broken, what is proved, and what to believe.

    One attack answers soon. “Strongest of all” tries several, and tests whether the network only
    hides; with a noise σ, what can be proved of the smoothed network is drawn beside it.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"attacks"``, ``"images that broke here"``, ``"verdict"``,
        ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> few = {"attacks": ("fgsm",), "images": 16}
    >>> widget = rw.widgets.RobustnessWidget(rw.demo("resnet20"), preset=few)
    >>> widget.set(epsilon=2 / 255).result.n
    16
    >>> widget.close()
    """

    question = "How much does it take?"
    height = 344
    about = """<ul>
<li><b>Orange triangles</b>: what stays right after changes of at most that size, with 95 %
intervals. Above them, <b>hatched</b>: broken, which is a <b>lower bound</b>, since a better attack
may break more. <b>Squares, dotted</b>: the control, random noise of the same size.
<b>Dashed grey</b>: the attack chosen in the panel. <b>Hollow</b>: pinned, or another network.</li>
<li><b>Drag the ring</b>, or click in the chart: the size. Click a number, such as “broken”, for its
images in the panel “images that broke here”; a click on one tells what broke it.</li>
<li><b>Can the attacks be believed?</b> A weak attack makes any network look robust. ✗ speaks for
gradients that hide. Two numbers: on how many images the one, and the other, did more.</li>
<li><b>Proved (blue, L2 only)</b>: no change so small, by whatever attack, can change the prediction
of the <b>smoothed</b> network, which votes over noisy copies of an image. That is another network
than the one attacked: its own clean accuracy is written beside it, and it may abstain. A network
that was not trained with such noise is proved little: compare resnet20-noise.</li></ul>"""
    words = {  # noqa: RUF012
        "norm": Words(
            "Norm",
            "What the size bounds: each pixel, or the length of the whole change",
            {"Linf": "L∞"},
            switch=True,
        ),
        "denoiser": Words("Denoiser", "What stands before the network"),
        "steps": Words("Steps", "Of those attacks that make several"),
        "restarts": Words("Restarts", "Random starts of PGD and APGD"),
        "queries": Words("Queries", "That a black box may ask for, for each image"),
        "thorough": Words("Test the attacks", "Attack once more, harder: two tests of the verdict"),
        "knowledge": Words("Attacker", "Whether the attack knows the denoiser", switch=True),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("attacks", "norm", "sigma", "images", "denoiser")
    fold = ("steps", "restarts", "queries", "thorough", "draws", "knowledge", "image", "seed")
    marks = {"epsilon": float, "attack": str, "part": str}  # noqa: RUF012
    panels = (Attacks, Broken, Judgement)
    shares = {"index": "image", "seed": "seed"}  # noqa: RUF012

    def __init__(self, subject: Subject, **options: Any) -> None:
        check_subject(subject)
        controls = {
            "attacks": Menu(
                options=_offered(subject, "Linf"),
                description="Attack",
                tooltip="One that answers soon, or several, tested whether they can be believed",
            ),
            "sigma": Menu(
                options=[("no proof", None), *((f"{it:g}", it) for it in SIGMAS)],
                description="Noise σ of the proof",
                tooltip="Prove of the network, smoothed by such noise, what no attack can change: "
                "a job; in L2",
            ),
            "images": Counts(
                len(subject),
                MANY,
                description="Images",
                tooltip="How many are attacked, drawn by the seed",
            ),
            "steps": W.IntSlider(
                STEPS, 1, 40, description="Steps", tooltip=self.words["steps"].tip
            ),
            "thorough": W.Checkbox(
                False,
                indent=False,
                description="Test the attacks",
                tooltip=self.words["thorough"].tip,
            ),
            "draws": W.Dropdown(
                options=[(f"{n:,}", n) for n in DRAWS],
                value=DRAWS[1],
                description="Draws of the proof",
                tooltip="Noisy copies of each image: more of them prove more",
            ),
            "image": Picker(subject),
            "epsilon": Marked(value=None),
        }
        super().__init__(robustness, subject, controls, **options)

    # ------------------------------------------------------------------ settings
    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: proofs are in L2, several attacks are tested."""
        if name == "sigma":
            return {"epsilon": None} | ({} if value is None else self._with_norm("L2"))
        if name == "norm":
            proof = {"sigma": None} if value == "Linf" else {}
            return self._with_norm(value) | proof
        return {"thorough": value is None, "attack": "worst"} if name == "attacks" else {}

    def _with_norm(self, norm: str) -> dict[str, Any]:
        """Return a norm, with an attack that bounds it, and no size of another one."""
        changes: dict[str, Any] = {"norm": norm}
        if norm != self.controls["norm"].value:
            changes["epsilon"] = None
        known = [it for _, it in _offered(self.subject, norm)]
        chosen = self.controls["attacks"].value
        ours = chosen in [(it,) for it in OFFERED]
        return changes | ({"attacks": known[0]} if ours and chosen not in known else {})

    def adapt(self) -> None:
        """Offer the attacks of the norm, and let those knobs be moved that it has."""
        controls = self.controls
        offers, chosen = _offered(self.subject, controls["norm"].value), controls["attacks"].value
        if chosen not in [value for _, value in offers]:
            offers.append(
                (
                    ", ".join(
                        sentences.called(it if isinstance(it, str) else named(it)) for it in chosen
                    ),
                    chosen,
                )
            )
        with self.settings.quiet():
            offer(controls["attacks"], offers, chosen)
        try:
            rows = None if chosen is None else r.rows(chosen, controls["norm"].value)
        except ValueError:  # the analysis says what is wrong with them
            rows = None
        self.settings.enable(
            {
                "steps": rows is None or any(not it.is_black for it in rows),
                "restarts": rows is None or any(it.role == "random start" for it in rows),
                "queries": rows is None or any(it.is_black for it in rows),
                "draws": controls["sigma"].value is not None,
                "knowledge": controls["denoiser"].value != "none",
            }
        )

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: no attack or part that it has not."""
        views = super().views() | {"narrow": self.page.picture.live.narrow}
        result = self.work.result
        if isinstance(result, Robustness):
            if views["attack"] not in ("worst", *result.attacks):
                views["attack"] = "worst"
            if views["part"] == "proved" and result.certificate is None:
                views["part"] = "broken"
        return views

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return what is chosen; the size as its mark is called."""
        place = result.at(self.views()["epsilon"])
        return super().chosen(result) | {"epsilon": f"{result.epsilons[place]:.6g}"}

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[Any]:
        """Return what was attacked, how, and whether that can be believed."""
        if not isinstance(result, Robustness):
            return super().chips(result)
        many = len(result.attacks)
        by = f"{many} attacks" if many > 1 else sentences.called(result.attacks[0])
        what = "" if self.pictured == UNCHANGED else f"{self.pictured}, "
        shows = Chip(
            f"shows: {what}{by}, {self.words['norm'].options.get(result.norm, 'L2')}", "shows"
        )
        hidden = result.verdict.hidden
        verdict = Chip(sentences.chip(result), "warning" if hidden else "verdict")
        if not result.verdict.names:
            verdict = Chip(sentences.chip(result))
        return [self.subject.name, counted(result.n), shows, verdict]

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of network and attacks."""
        notes = (*self.subject.notes, *result.notes)
        return " ".join((super().sentence(result), *(f"Note: {it}." for it in notes)))

    def table(self, result: Any) -> DataFrame | None:
        """Return what each attack leaves right at each size, and what is proved."""
        from pandas import DataFrame

        if not isinstance(result, Robustness):
            return None
        columns = {sentences.called(it): result.accuracy(it) for it in ("worst", *result.attacks)}
        columns["random noise"] = result.accuracy("noise")
        sizes = range(len(result.epsilons))
        if result.certificate is not None:
            proved = [float(result.part("proved", k).mean()) for k in sizes]
            columns["proved (smoothed)"] = np.array(proved)
        return DataFrame(columns, index=[sentences.size(result, k) for k in sizes])

    def sends(self, result: Any) -> list[Sent]:
        """Return the images that broke at the size."""
        place = result.at(self.views()["epsilon"])
        images = tuple(int(it) for it in result.index[result.part("broken", place)])
        if not images:
            return []
        name = f"broken at {sentences.size(result, place)}"
        return [Sent(f"{len(images):,} broken images", "images", (name, images))]

    def examined(self) -> None:
        """Offer the attacks that another network allows, on no more images than there are."""
        with self.settings.quiet():
            self.controls["images"].limit(len(self.subject))


def _offered(subject: Subject, norm: str) -> list[tuple[str, Any]]:
    """Return the attacks that a network allows in a norm, and all of them together."""
    refused = allowed(subject).refused
    known = [it for it in OFFERED if r.method(it.partition(":")[0], norm)]
    able = [it for it in known if it.partition(":")[0] not in refused]
    return [*((sentences.called(it), (it,)) for it in able), ("Strongest of all", None)]
