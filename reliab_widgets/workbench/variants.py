"""What network and images can become on a workbench, each as a small recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.drawing import short
from ..core.engine import Progress
from ..core.knobs import checked_knobs, refuse_unknown
from ..core.subject import Subject
from ..core.validation import other_classes
from ..core.wording import grey_levels, percent, problem
from ..ops.attacks.adversary import attack
from ..ops.attacks.catalogue import METHODS
from ..ops.attacks.noise import noisy
from ..ops.corruptions.corrupted import corrupted
from ..ops.defences.denoised import denoised
from ..ops.networks.untrained import untrained
from ..ops.pruning.pruned import pruned


class Kind(NamedTuple):
    """One way in which networks or images change.

    Attributes
    ----------
    what : str
        ``"model"`` or ``"image"``.
    make : callable
        ``make(subject, **knobs) -> Subject``.
    name : callable
        What is written on the chip, from the knobs.
    asked : mapping
        The knobs that somebody who adds one is asked for, with where they begin; others keep their
        defaults.
    single : bool
        Whether it takes ``images=``, the only ones that are changed.
    """

    what: str
    make: Callable[..., Subject]
    name: Callable[[Mapping[str, Any]], str]
    asked: Mapping[str, Any]
    single: bool = False


def _pruned(knobs: Mapping[str, Any]) -> str:
    by = {"taylor": "", "random": " at random"}.get(knobs["criterion"], f" by {knobs['criterion']}")
    return f"{percent(knobs['level'], 0)} pruned{by}"


def _attacked(knobs: Mapping[str, Any]) -> str:
    entry = METHODS[knobs["attack"]]
    size = f" {grey_levels(knobs['epsilon'], entry.norm)}" if entry.norm else ""
    return f"attacked, {entry.words}{size}"


KINDS = {
    "pruned": Kind("model", pruned, _pruned, {"level": 0.3, "criterion": "taylor"}),
    "denoised": Kind(
        "model", denoised, lambda it: f"behind “{it['denoiser']}”", {"denoiser": "median"}
    ),
    "untrained": Kind("model", untrained, lambda it: "untrained", {"seed": 1}),
    "attack": Kind(
        "image", attack, _attacked, {"attack": "bim", "epsilon": 4 / 255, "steps": 10}, True
    ),
    "corrupted": Kind(
        "image", corrupted, lambda it: str(it["corruption"]), {"corruption": "blur 3"}
    ),
    "noisy": Kind(
        "image",
        noisy,
        lambda it: f"random signs {grey_levels(it['epsilon'])}",
        {"epsilon": 8 / 255},
        True,
    ),
}
"""By the word of the function that makes it."""


@dataclass(frozen=True)
class Variant:
    """A recipe: the word of a function of this package, and its arguments.

    Parameters
    ----------
    word : str
        A key of `KINDS`, or ``"another"``: a network that was handed to the workbench.
    knobs : dict
        Arguments, of which others are as usual; they can be written as JSON.
    given : Subject, optional
        The other network's.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> Variant("pruned", {"level": 0.1}).name
    '10 % pruned'
    """

    word: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    given: Subject | None = field(default=None, compare=False)

    @property
    def kind(self) -> Kind:
        """How it is made."""
        if self.word == "another":
            return Kind("model", self._another, lambda it: str(it["name"]), {})
        return KINDS[self.word]

    @property
    def what(self) -> str:
        """Whether it is another ``"model"`` or another ``"image"``."""
        return self.kind.what

    @property
    def name(self) -> str:
        """What is written on its chip."""
        return self.kind.name(self.every)

    @property
    def every(self) -> dict[str, Any]:
        """All arguments, those that are as usual among them."""
        known = getattr(self.kind.make, "knobs", {})
        return {name: knob.default for name, knob in known.items()} | dict(self.knobs)

    @property
    def size(self) -> str:
        """How far it takes a pixel, of 255 levels and of 1; empty where nothing bounds that.

        Examples
        --------
        >>> Variant("attack", {"epsilon": 4 / 255}).size
        'ε = 4/255 = 0.016'
        """
        every = self.every
        is_bound = self.word == "noisy" or METHODS[every.get("attack", "none")].norm == "Linf"
        epsilon = every["epsilon"] if is_bound else 0
        return f"ε = {grey_levels(epsilon)} = {epsilon:.3f}" if epsilon else ""

    @property
    def control(self) -> Variant | None:
        """A change of the same size that means nothing; None if there is none."""
        if self.word == "pruned" and self.knobs.get("criterion") != "random":
            return Variant("pruned", {**self.knobs, "criterion": "random"})
        epsilon = self.knobs.get("epsilon", 8 / 255)
        if self.word == "attack" and METHODS[self.knobs.get("attack", "bim")].norm == "Linf":
            return Variant("noisy", {"epsilon": epsilon, "seed": self.knobs.get("seed", 0)})
        return None

    def __call__(
        self, subject: Subject, images: Sequence[int] | None = None, progress: Progress = None
    ) -> Subject:
        """Return the subject as the recipe says.

        Parameters
        ----------
        subject : Subject
            Left as it is.
        images : sequence of int, optional
            Which images are looked at: where others need not be made, they are not.
        progress : callable, optional
            As `reliab_widgets.sweep` takes it.
        """
        handed: dict[str, Any] = {}
        if self.kind.single:
            handed["images"] = images
        if self.word == "attack":
            handed["progress"] = progress
        return self.kind.make(subject, **self.knobs, **handed)

    def _another(self, subject: Subject, name: str) -> Subject:
        if self.given is None:
            fix = f"Pass models={{{name!r}: subject}} to the workbench"
            raise ValueError(problem("this network is not at hand", f"got {name!r}", fix))
        if differ := other_classes(self.given.classes, subject.classes):
            seen = f"of {self.given.name}, {differ}"
            fix = f"Pass models= with networks for the classes of {subject.name}"
            raise ValueError(problem(f"{name} has other classes", seen, fix))
        return subject.on(self.given.network, name=name, code=self.given.code)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"word": self.word, "knobs": dict(self.knobs)}


def name_beside(variant: Variant, known: Mapping[str, Variant]) -> str:
    """Return the name on the chip of a recipe: no other recipe has it.

    Examples
    --------
    >>> first = Variant("pruned", {"level": 0.1})
    >>> name_beside(Variant("pruned", {"level": 0.1, "seed": 3}), {first.name: first})
    '10 % pruned, seed 3'
    """
    name, number = variant.name, 2
    other = known.get(name)
    if other is not None and other != variant:  # the same words for another recipe
        told = [f"{n.replace('_', ' ')} {it}" for n, it in variant.every.items()
                if other.every.get(n) != it]  # fmt: skip
        name = f"{name}, {short(', '.join(told), 30)}"
    while known.get(name, variant) != variant:
        name, number = f"{variant.name} ({number})", number + 1
    return name


def variant(word: Any, knobs: Any, about: Subject) -> Variant:
    """Return a recipe whose word and arguments have been looked at.

    Raises
    ------
    TypeError, ValueError
        There is no such word, or an argument that it cannot have.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> variant("attack", {"attack": "fgsm", "epsilon": 4 / 255}, rw.demo("resnet20")).name
    'attacked, FGSM 4/255'
    """
    if word not in KINDS:
        known = ", ".join(map(repr, KINDS))
        fix = f"Use one of {known}"
        raise ValueError(problem("there is no such variant", f"got {word!r}", fix))
    known_knobs = getattr(KINDS[word].make, "knobs", {})
    refuse_unknown(known_knobs, knobs, word)
    every = {name: knob for name, knob in known_knobs.items() if name in knobs}
    values = checked_knobs(every, dict(knobs), about, word)
    return Variant(word, values)
