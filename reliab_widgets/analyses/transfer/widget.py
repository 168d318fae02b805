"""What is special about the widget of the transfer analysis: words, order, panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as W

from ...core.subject import Subject, check_subject
from ...core.wording import counted
from ...ui.choices import Counts
from ...ui.controls import Marked, Words
from ...ui.explorer import Explorer
from ...ui.special import UNCHANGED, Sent
from ...ui.words import Chip
from . import sentences
from .compute import OTHERS, Setup, setup, transfer
from .panels import Pair
from .result import Transfer

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 16
"""Images at first: an answer comes soon."""
STEPS = 5


class TransferWidget(Explorer):
    """Attack every network, and show what comes of it to every other.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked, and the first network.
    others : sequence of Subject, optional
        The other networks, as `reliab_widgets.transfer` takes them; by default the network itself
        behind a median filter.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"images of this pair"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> few = {"attack": "fgsm", "images": 8}
    >>> widget = rw.widgets.TransferWidget(rw.demo("resnet20")[:8], [rw.demo("vgg")], preset=few)
    >>> widget.result.networks
    ('resnet20', 'vgg')
    >>> widget.close()
    """

    question = "Made here, does it work there?"
    height = 344
    about = """<ul>
<li><b>Rows</b>: the network that changes were made on. <b>Columns</b>: whom they were shown to.
Each number is the share of images that this network gets right as they are, and wrong when changed;
<b>n</b> is how many it gets right.</li>
<li><b>Framed</b>: at home, the network took part in the making (white-box). An attack that is weak
at home says nothing of transfer. <b>Grey</b>: the control, random noise of the same size.</li>
<li><b>Click a number</b>: that pair over the size, and its images in the panel. <b>Drag the
ring</b>: the size of the change; nothing is computed anew.</li>
<li><b>Ghosts</b>: in every step the network is eroded anew, as if it were many.
<b>All but one</b>: all other networks are attacked together. What each wins over networks alone
stands in the sentence, with its interval.</li></ul>"""
    words = {  # noqa: RUF012
        "attack": Words(
            "Attack",
            "How changes are made",
            {
                "mim": "MIM (momentum)",
                "bim": "BIM",
                "fgsm": "FGSM (one step)",
                "pgd": "PGD (random start)",
                "pgd-l2": "PGD, L2",
                "apgd": "APGD (sizes its steps)",
                "square": "Square (answers only)",
            },
        ),
        "ensemble": Words(
            "All but one",
            "Whether all other networks are attacked together, too, and what is averaged",
            {"none": "no", "logits": "mean logits", "losses": "mean losses"},
        ),
        "ghost": Words("Ghosts", "How strongly the network is eroded in every step", {0: "none"}),
        "ghosts": Words("Ghosts take turns", "How many; auto: another one in each step"),
        "kind": Words(
            "Rows are",
            "What changes are made on",
            {
                "alone": "networks",
                "ghosts": "their ghosts",
                "ensemble": "all but one",
                "ensemble of ghosts": "ghosts of all but one",
            },
        ),
        "target": Words("Target", "The class that answers are led to", {"any": "any wrong class"}),
        "steps": Words("Steps", "Of the attack"),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("attack", "ghost", "ensemble", "kind", "images")
    fold = ("steps", "ghosts", "target", "seed")
    marks = {"epsilon": float, "cell": lambda key: tuple(map(int, key.split(",")))}  # noqa: RUF012
    panels = (Pair,)
    shares = {"seed": "seed"}  # noqa: RUF012

    def __init__(
        self, subject: Subject, others: Subject | Sequence[Subject] | None = None, **options: Any
    ) -> None:
        check_subject(subject)
        self.others = None if others is None else OTHERS.check("others", others, subject)
        kinds = self.words["kind"].options
        controls = {
            "images": Counts(
                len(subject),
                MANY,
                description="Images",
                tooltip="How many are attacked, drawn by the seed",
            ),
            "steps": W.IntSlider(
                STEPS, 1, 40, description="Steps", tooltip=self.words["steps"].tip
            ),
            "kind": W.Dropdown(
                options=[(name, kind) for kind, name in kinds.items()],
                description="Rows are",
                tooltip=self.words["kind"].tip,
            ),
            "epsilon": Marked(value=None),
            "cell": Marked(value=None),
        }
        super().__init__(transfer, subject, controls, **options)

    # ------------------------------------------------------------------ settings
    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return what goes with a value: what is asked for is seen, what is not there is not."""
        if name == "attack":
            changes: dict[str, Any] = {"epsilon": None}
            return changes | ({"ghost": 0.0, "ghosts": None} if value == "square" else {})
        if name == "ghost":
            return {"kind": "ghosts" if value else "alone"}
        if name == "ensemble":
            return {"kind": "alone" if value == "none" else "ensemble"}
        return {}

    def adapt(self) -> None:
        """Let those knobs be moved that the attack and the number of networks allow."""
        state = self.settings.state()
        self.settings.enable(
            {
                "ghost": state["attack"] != "square",
                "ghosts": state["ghost"] > 0,
                "ensemble": self.others is not None and len(self.others) > 1,
                "kind": state["ghost"] > 0 or state["ensemble"] != "none",
            }
        )

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis, the other networks among them."""
        return {"others": self.others} | super().knobs()

    def setup(self) -> Setup:
        """Return the networks and the attack that the settings say, to change images with."""
        knobs = {n: it for n, it in self.knobs().items() if n != "images"}
        return setup(self.subject, epsilon=1.0, **knobs)

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture: no kind or pair that it has not."""
        views = super().views() | {"narrow": self.page.picture.live.narrow}
        result = self.work.result
        if isinstance(result, Transfer):
            if views["kind"] not in result.kinds:
                views["kind"] = "alone"
            if views["cell"] is not None and max(views["cell"]) >= len(result.networks):
                views["cell"] = None
        return views

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return what is chosen, as its mark is called."""
        views = self.views()
        row, column = result.cell(views["cell"])
        place = result.at(views["epsilon"])
        return {"cell": f"{row},{column}", "epsilon": f"{result.epsilons[place]:.6g}"}

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[Any]:
        """Return what was attacked, how, and whether that can be believed."""
        if not isinstance(result, Transfer):
            return super().chips(result)
        what = "" if self.pictured == UNCHANGED else f"{self.pictured}, "
        shows = Chip(f"shows: {what}{result.attack}, {len(result.networks)} networks", "shows")
        told = [self.subject.name, counted(result.n), shows]
        return [*told, Chip("a network hides", "warning")] if result.doubt else told

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of networks and attack."""
        notes = (*self.subject.notes, *result.notes, *filter(None, [result.doubt]))
        return " ".join((super().sentence(result), *(f"Note: {it}." for it in notes)))

    def table(self, result: Any) -> DataFrame | None:
        """Return the matrix at the size, noise last."""
        from pandas import DataFrame

        if not isinstance(result, Transfer):
            return None
        views = self.views()
        place, kind = result.at(views["epsilon"]), views["kind"]
        rows = [*result.share(kind, place), result.share("noise", place)]
        names = [*(sentences.source(kind, it) for it in result.networks), "random noise"]
        return DataFrame(rows, index=names, columns=list(result.networks))

    def sends(self, result: Any) -> list[Sent]:
        """Return the images of the pair that fooled the victim."""
        views = self.views()
        row, column = result.cell(views["cell"])
        led = result.fooled(views["kind"])[row, result.at(views["epsilon"]), column]
        images = tuple(int(it) for it in result.index[led])
        if not images:
            return []
        name = f"{result.networks[row]} to {result.networks[column]}"
        return [Sent(f"{len(images):,} images that travel", "images", (name, images))]

    def examined(self) -> None:
        """Take no more images than there are."""
        with self.settings.quiet():
            self.controls["images"].limit(len(self.subject))
