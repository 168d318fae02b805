"""What is special about the widget of the universal analysis: words, order, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as W

from ...core.subject import Subject, check_subject
from ...core.wording import counted, percent
from ...ui.choices import Counts
from ...ui.controls import Words
from ...ui.explorer import Explorer
from ...ui.special import Sent
from ...ui.words import Chip
from . import sentences
from .compute import Pictures, universal
from .panels import Fooled
from .result import KINDS, Universal

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 64
"""Images that are measured at first."""
MADE_OF = (50, 100, 250, 500, 1000)
"""Images that a pattern is made of: of more than the second it is a job."""


class UniversalWidget(Explorer):
    """Grow one pattern, and see how many images it fools that it was not made of.

    Parameters
    ----------
    subject : Subject
        Whose network is fooled.
    source : Subject or data set, optional
        Of whose images the pattern is made; by default the subject's own.
    **options
        See `Explorer`: ``preset``, ``hide``, ``lock``, ``panels``, ``show_code``, ``cache``,
        ``executor``. Panels: ``"images it fools"``, ``"all settings"``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> few = {"source_images": 16, "images": 16}
    >>> widget = rw.widgets.UniversalWidget(rw.demo("resnet20")[:40], preset=few)
    >>> widget.set(norm="Linf", share=0.04).result.used
    16
    >>> widget.close()
    """

    question = "Does one pattern fool it on every image?"
    height = 352
    about = """<ul>
<li><b>Images</b>: one as it is, the pattern made stronger around grey so that it can be seen, and
both together as the network sees them. <b>Spectrum</b>: the pattern's energy by frequency, long
waves in the middle; blue: more than if it were spread evenly, orange: less.</li>
<li><b>Orange triangles</b>: the share of images whose prediction the pattern changes, whatever
their label; with a target, the share that is predicted as it. The bar at the end: 95 %,
bootstrap. None of these images was used to make the pattern.</li>
<li><b>Controls, grey</b>: squares: random noise of the same norm; diamonds: the pattern's own
pixels at other places. Only what lies above both is due to the pattern.</li>
<li><b>Bars</b>: what is predicted with the pattern, black lines: without.</li>
<li><b>Size</b>: the largest norm of the pattern as a share of the mean norm of the images, over all
channels.</li></ul>"""
    words = {  # noqa: RUF012
        "target": Words(
            "Lead to", "Away from every prediction, or all to one class", {"any": "away"}
        ),
        "norm": Words(
            "Norm",
            "What bounds the pattern: its length over all pixels, or each pixel",
            {"Linf": "L∞"},
            switch=True,
        ),
        "share": Words("Size", "Of the mean norm of the images", write=lambda it: percent(it, 0)),
        "passes": Words("Passes", "How often it goes through the images that it is made of"),
        "seed": Words("Seed", "Of everything that is drawn by chance"),
    }
    front = ("target", "norm", "share", "source_images", "images")
    fold = ("passes", "seed")
    panels = (Fooled,)
    shares = {"seed": "seed"}  # noqa: RUF012

    def __init__(self, subject: Subject, *, source: Any = None, **options: Any) -> None:
        check_subject(subject)
        if source is not None:
            Pictures().check("source", source, subject)
        self._source = source
        controls = {
            "source_images": W.Dropdown(
                options=[(counted(n), n) for n in MADE_OF],
                value=MADE_OF[1],
                description="Made of",
                tooltip="Of how many images the pattern is made, at most",
            ),
            "images": Counts(
                self._most(subject),
                MANY,
                description="Measured on",
                tooltip="On how many others it is measured, drawn by the seed",
            ),
        }
        super().__init__(universal, subject, controls, **options)

    def _most(self, subject: Subject) -> int:
        """Return how many images can be measured: of its own, half are left to make it of."""
        return len(subject) if self._source is not None else max(1, len(subject) // 2)

    # ------------------------------------------------------------------ settings
    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        return super().knobs() | {"source": self._source}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture."""
        return super().views() | {"narrow": self.page.picture.live.narrow}

    def examined(self) -> None:
        """Measure no more images than another subject has."""
        with self.settings.quiet():
            self.controls["images"].limit(self._most(self.subject))

    # ------------------------------------------------------------------ what is shown
    def chips(self, result: Any) -> list[Any]:
        """Return what was measured, and which pattern is shown."""
        if not isinstance(result, Universal):
            return super().chips(result)
        shows = f"shows: {sentences.norm(result)}, made of {counted(result.used)}"
        return [self.subject.name, counted(result.n), Chip(shows, "shows")]

    def sentence(self, result: Any) -> str:
        """Return the finding, and what must be known of network and images."""
        notes = (*self.subject.notes, *result.notes)
        return " ".join((super().sentence(result), *(f"Note: {it}." for it in notes)))

    def table(self, result: Any) -> DataFrame | None:
        """Return the rates of the pattern and its controls while it grows."""
        from pandas import DataFrame

        columns = {sentences.CALLED[kind]: result.rate(kind) for kind in KINDS}
        return DataFrame(columns, index=[f"{it:,} images" for it in result.seen])

    def sends(self, result: Any) -> list[Sent]:
        """Return the images that it fools."""
        images = tuple(int(it) for it in result.index[result.hits()[-1]])
        if not images:
            return []
        return [
            Sent(f"{counted(len(images))} it fools", "images", ("fooled by one pattern", images))
        ]
