"""What a widget says of itself, and nothing of how it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from matplotlib.figure import Figure

from ..core.result import Result
from ..core.wording import counted
from . import export, words
from .controls import Words

if TYPE_CHECKING:
    import ipywidgets as W
    from pandas import DataFrame

    from ..core.knobs import Knob
    from ..core.subject import Subject
    from .panels.panel import Panel
    from .settings import Settings

UNCHANGED = "clean image"
"""What of an image is looked at, where it is no variant."""


class Sent(NamedTuple):
    """Something found in one widget that others can go on with.

    Attributes
    ----------
    label : str
        On its button.
    kind : str
        ``"variant"``, ``"temperature"`` or ``"images"``.
    value : object
        The word and the arguments of what makes a variant; a factor of the temperature; the name
        and the positions of images.
    """

    label: str
    kind: str
    value: Any


class Special:
    """What subclasses of `Explorer` change: words, order, what goes together, further parts."""

    question: ClassVar[str] = ""
    """The headline: one question that the picture answers."""
    height: ClassVar[int] = 0
    """Pixels kept free for the picture, so that the page does not jump when it arrives."""
    about: ClassVar[str] = ""
    """What marks and colours mean, as HTML; shown on request."""
    formats: ClassVar[tuple[str, ...]] = ("PNG", "SVG", "CSV", "JSON")
    """What `export` can write, without the dot."""
    words: ClassVar[Mapping[str, Words]] = {}
    """What knobs are called."""
    front: ClassVar[tuple[str, ...] | None] = None
    """Knobs whose controls are seen at once, in their order; by default all there are."""
    fold: ClassVar[tuple[str, ...]] = ()
    """Knobs that stand under "More"; what is in neither has no control."""
    marks: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    """Knobs that are chosen in the picture by a click on a mark, with what reads its key."""
    own: ClassVar[tuple[Knob, ...]] = ()
    """Knobs of the widget alone, of which `knobs` makes arguments."""

    shares: ClassVar[Mapping[str, str]] = {}
    """What it has in common with other widgets of a workbench: "index", "target" and "seed", with
    the knobs that they are."""
    makes: ClassVar[tuple[str, ...]] = ()
    """Variants of networks and images that it makes itself: its settings follow them."""
    alike: ClassVar[Mapping[str, Any]] = {}
    """Settings under which two variants of an image answer the same question."""

    facing: ClassVar[Mapping[str, Any]] = {}
    """Settings that show another variant beside this one."""

    applied: ClassVar[Mapping[str, Any]] = {}
    """Settings after the temperature that they made was handed to all widgets."""

    pictured = UNCHANGED
    """What of an image is looked at, in words."""

    analysis: Any
    subject: Subject
    settings: Settings
    page: Any
    view_knobs: Mapping[str, Knob]

    panels: ClassVar[tuple[type[Panel], ...]] = ()
    """What opens on demand, in the order of its buttons."""

    def arrange(self) -> list[W.Widget]:
        """Return the parts of the page, from top to bottom."""
        return self.page.parts(self.front, self.fold)

    def implied(self, name: str, value: Any) -> dict[str, Any]:
        """Return other knobs that go with a value, so that no two contradict each other."""
        return {}

    def adapt(self) -> None:
        """Let those controls be moved that would change something."""

    def knobs(self) -> dict[str, Any]:
        """Return the keyword arguments for the analysis."""
        return {n: v for n, v in self.settings.state().items() if n not in self.view_knobs}

    def views(self) -> dict[str, Any]:
        """Return the keyword arguments for the picture."""
        return {n: v for n, v in self.settings.state().items() if n in self.view_knobs}

    def chosen(self, result: Any) -> dict[str, Any]:
        """Return which mark of the picture is chosen, by knob."""
        views = self.views()
        return {name: views[name] for name in self.marks if views.get(name) is not None}

    def preview(self, knobs: dict[str, Any]) -> dict[str, Any] | None:
        """Return knobs that answer at once, shown until ``knobs`` are computed in a rest of input.

        None, if ``knobs`` themselves are quick enough.
        """
        return None

    def missing(self, result: Any) -> Any:
        """Return what a result that grows has not yet of what is to be seen; it comes next.

        As long as it is missing an earlier picture stays. None, if nothing is.
        """
        return None

    def sentence(self, result: Any) -> str:
        """Return the finding in words."""
        return result.reading(**self.views()) if isinstance(result, Result) else str(result)

    def chips(self, result: Any) -> list[Any]:
        """Return the context of the picture, a few words each."""
        subject = self.subject
        return [subject.name, counted(len(subject)), *subject.notes]

    def table(self, result: Any) -> DataFrame | None:
        """Return the numbers of the picture, for those who cannot see it; shown by "?"."""
        return None

    def help_text(self, result: Any) -> str:
        """Return what marks mean, and the numbers of the picture."""
        numbers = None if result is None else self.table(result)
        return self.about + ("" if numbers is None else words.table(numbers))

    def content(self, result: Any, figure: Figure, kind: str) -> bytes:
        """Return what a file of this kind holds."""
        if kind != "json":
            return export.content(result, figure, kind)
        own = isinstance(result, Result) and result.source
        knobs = {**(result.knobs if own else self.knobs()), **self.views()}
        notes = self.page.notes.value
        state = self.settings.state()
        return export.passport(self.analysis, self.subject, result, knobs, state, notes)

    def sends(self, result: Any) -> list[Sent]:
        """Return what of the picture other widgets of a workbench can go on with."""
        return []

    def examined(self) -> None:
        """Forget what was found out about an earlier subject."""

    def shown(self, result: Any) -> None:
        """Bring further parts of the widget up to date with a new picture; on the worker."""
