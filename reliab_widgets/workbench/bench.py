"""What all widgets of a workbench share: variants, one image, one class, one temperature."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import traitlets

from ..core.engine import Progress, Recent
from ..core.knobs import SEED, Auto, ClassOf, Kind, Position, Real
from ..core.photographs import photographed
from ..core.subject import Subject, check_subject
from ..core.wording import problem
from ..ops.calibration.calibrated import calibrated
from ..ops.calibration.metrics import softmax
from .variants import Variant, name_beside

GIVEN, CLEAN = "as given", "clean"
"""The network and the images that the workbench was made with."""
SOME = 256
"""So many images are attacked where an analysis is about a set of them."""
START = (
    Variant("pruned", {"level": 0.1}),
    Variant("denoised", {"denoiser": "median"}),
    Variant("untrained"),
    Variant("attack", {"attack": "bim", "epsilon": 8 / 255}),
    Variant("corrupted", {"corruption": "noise 3"}),
)
"""What is offered at first."""


SHARED: Mapping[str, Kind] = {
    "index": Position(),
    "target": Auto(ClassOf()),
    "temperature": Real(above=0, why="logits are divided by it"),
    "seed": SEED,
}
"""What all widgets share beside network and images."""


class _Photo(NamedTuple):
    """A picture of one's own, its class where that is known, and what it was added to."""

    photo: Any
    label: Any
    before: Subject


class View(NamedTuple):
    """A network and images, by the names of their chips."""

    model: str = GIVEN
    image: str = CLEAN


class Bench(traitlets.HasTraits):
    """The selection of a workbench; whoever changes it is told of it by all others.

    Parameters
    ----------
    subject : Subject
        What is examined.
    models : mapping of str to Subject
        Other networks with the same classes, by the names on their chips.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> bench = Bench(rw.demo("resnet20")[:20])
    >>> bench.select(image="noise 3")
    >>> bench.subject().name
    'resnet20, noise 3'
    """

    model = traitlets.Unicode(GIVEN, help="Which network, by the name of its chip.")
    image = traitlets.Unicode(CLEAN, help="Which images, by the name of their chip.")
    against = traitlets.Unicode("", help="What is shown behind; empty for nothing.")
    index = traitlets.Int(0, help="The image that is looked at.")
    target = traitlets.Int(None, allow_none=True, help="The class that is looked at.")
    temperature = traitlets.Float(1.0, help="What all logits are divided by.")
    seed = traitlets.Int(0, help="Of everything that is drawn by chance.")
    variants = traitlets.Dict(help="Recipes, by the names of their chips.")
    unmade = traitlets.Dict(help="Why variants cannot be made, by the names of their chips.")

    def __init__(self, subject: Subject, models: Mapping[str, Subject] = {}) -> None:
        check_subject(subject)
        super().__init__()
        self.given = subject
        self.photos: list[_Photo] = []
        self._networks: Recent = Recent(1)
        self._pictures: Recent = Recent(2)
        self._lock = threading.RLock()
        self._controls: dict[str, Variant] = {}  # of what is compared; not offered
        every = list(START) if not subject.network.recorded else []
        self.settle()
        self.is_chosen = False  # whether somebody has chosen an image
        for name, other in models.items():
            check_subject(other, f"models[{name!r}]")
            every.append(Variant("another", {"name": name}, other))
        self.variants = {it.name: it for it in every}

    # ------------------------------------------------------------------ choosing
    def named(self, what: str) -> list[str]:
        """Return the names of what a ``"model"`` or an ``"image"`` can be, the first as given."""
        first = GIVEN if what == "model" else CLEAN
        return [first, *(name for name, it in self.variants.items() if it.what == what)]

    def add(self, variant: Variant) -> str:
        """Put a variant on the bench and return the name on its chip."""
        name = name_beside(variant, self.variants)
        self.variants = {**self.variants, name: variant}
        return name

    def select(self, **traits: Any) -> None:
        """Change what is looked at, several things at once.

        Raises
        ------
        TypeError, ValueError, IndexError
            There is no such image, class or variant.
        """
        for name, what in (("model", "model"), ("image", "image")):
            if name in traits and traits[name] not in self.named(what):
                self._refuse(name, traits[name], self.named(what))
        if traits.get("against") and traits["against"] not in self.rivals():
            self._refuse("against", traits["against"], self.rivals())
        traits |= {n: SHARED[n].check(n, it, self.given) for n, it in traits.items() if n in SHARED}
        view = {name: traits.get(name, getattr(self, name)) for name in ("model", "image")}
        if traits.get("against", self.against) in view.values():
            traits["against"] = ""  # nothing is shown behind itself
        self.is_chosen |= "index" in traits
        with self.hold_trait_notifications():
            for name, value in traits.items():
                setattr(self, name, value)

    def rivals(self) -> list[str]:
        """Return what can be shown behind: all variants of networks and images."""
        return [*self.named("model"), *self.named("image")]

    @staticmethod
    def _refuse(name: str, value: Any, known: Sequence[str]) -> None:
        fix = f"Choose {name}= from {', '.join(map(repr, known))}"
        raise ValueError(problem("there is no such variant", f"got {value!r}", fix))

    def state(self) -> dict[str, Any]:
        """Return what is chosen, as `select` takes it."""
        names = ("model", "image", "against", "index", "target", "temperature", "seed")
        return {name: getattr(self, name) for name in names}

    def settle(self) -> None:
        """Remember what is chosen as something that could be made."""
        self._good = self.state()

    def revert(self, error: Exception) -> None:
        """Go back to what could be made; for what cannot, `unmade` has the reason."""
        for what in ("model", "image"):
            if (name := getattr(self, what)) != self._good[what]:
                self.unmade = {**self.unmade, name: str(error)}
        self.select(**{name: self._good[name] for name in ("model", "image", "against")})

    # ------------------------------------------------------------------ making
    @property
    def chosen(self) -> View:
        """The network and the images that are chosen."""
        return View(self.model, self.image)

    @property
    def is_plain(self) -> bool:
        """Whether network and images are as they were given, and nothing is shown behind."""
        return (*self.chosen, self.temperature, self.against) == (GIVEN, CLEAN, 1, "")

    def key(self, view: View, index: int | None) -> tuple[Any, ...]:
        """Return what decides the subject of an analysis of one image, or of all of them."""
        alone = index is not None and view.image != CLEAN and self._recipe(view.image).kind.single
        place = (index,) if alone else ()
        return (id(self.given), view, self.temperature, self.against, *place)

    def subject(
        self, view: View | None = None, index: int | None = None, progress: Progress = None
    ) -> Subject:
        """Return what is examined: chosen images under a chosen network.

        Parameters
        ----------
        view : View, optional
            Which; by default what is chosen.
        index : int, optional
            The image that is looked at, where it is one: then others need not be made. Otherwise
            some are enough where making them takes long.
        progress : callable, optional
            As `reliab_widgets.sweep` takes it.
        """
        model, image = view or self.chosen
        with self._lock:
            made = self._pictured(image, index, progress)
            if model != GIVEN:
                network = self._network(model)
                code = f"{made.code}.on({network.code}.network)"
                notes = tuple(dict.fromkeys((*made.notes, *network.notes)))
                made = made.on(network.network, code=code).replaced(notes=notes)
        told = [self.given.name, *(it for it in (model, image) if it not in (GIVEN, CLEAN))]
        if made.name != (name := ", ".join(told)):
            made = made.replaced(name=name, code=f"{made.code}.replaced(name={name!r})")
        return made if self.temperature == 1 else calibrated(made, self.temperature)

    def others(
        self, view: View, index: int | None, progress: Progress = None
    ) -> tuple[Subject, ...]:
        """Return what is shown behind: the other variant, and the control of the chosen one."""
        rival = self.against
        if not rival or rival in view:
            return ()
        what = "model" if rival in self.named("model") else "image"
        views = [view._replace(**{what: rival})]
        own = self.variants.get(getattr(view, what))
        if own is not None and own.control is not None and rival in (GIVEN, CLEAN):
            self._controls[own.control.name] = own.control
            views.append(view._replace(**{what: own.control.name}))
        made = [self.subject(it, index, progress) for it in views]
        if rival in (GIVEN, CLEAN):  # told apart by what they are, not by what they are not
            name = f"{made[0].name}, {rival}"
            made[0] = made[0].replaced(name=name, code=f"{made[0].code}.replaced(name={name!r})")
        return tuple(made)

    def _recipe(self, name: str) -> Variant:
        return self.variants.get(name) or self._controls[name]

    def _network(self, name: str) -> Subject:
        if name not in self._networks:
            self._networks[name] = self._recipe(name)(self.given)
        return self._networks[name]

    def _pictured(self, name: str, index: int | None, progress: Progress) -> Subject:
        if name == CLEAN:
            return self.given
        recipe = self._recipe(name)
        images = None if index is None or not recipe.kind.single else [index]
        key = (name, *(images or ()))
        if key not in self._pictures:
            of = self.given if images or not recipe.kind.single else self.given[:SOME]
            self._pictures[key] = recipe(of, images, progress)
        return self._pictures[key]

    # ------------------------------------------------------------------ looking
    def probabilities(self, *, before: bool = False) -> np.ndarray:
        """Return what the chosen network says of the chosen image, (K,).

        Parameters
        ----------
        before : bool
            Of the network and the images as given instead, at no temperature.
        """
        some = self.given if before else self.subject(index=self.index)
        logits = some[[self.index]].logits.numpy().astype(np.float64)
        probabilities: np.ndarray = softmax(logits)[0]
        return probabilities

    def everything(self, progress: Progress = None) -> np.ndarray:
        """Return what the chosen network says of all clean images, (N, K) probabilities."""
        found = self.subject(View(self.model), progress=progress).evaluate(progress=progress)
        probabilities: np.ndarray = softmax(found.numpy().astype(np.float64))
        return probabilities

    def pixels(self) -> np.ndarray:
        """Return the chosen image as it is looked at, (C, H, W) in [0, 1]."""
        image: np.ndarray = self._shown().images[self.index].numpy()
        return image

    def _shown(self) -> Subject:
        with self._lock:
            return self._pictured(self.image, self.index, None)

    @property
    def bare(self) -> Subject:
        """What is examined, without photographs."""
        return self.photos[0].before if self.photos else self.given

    def photograph(self, photo: Any, label: Any = None) -> None:
        """Add a picture to the images and look at it; the last one once more gets another class."""
        again = bool(self.photos) and self.photos[-1].photo == photo
        before = self.photos[-1].before if again else self.given
        made = photographed(before, photo, label)
        self.photos = [*self.photos[: len(self.photos) - again], _Photo(photo, label, before)]
        with self._lock:
            self.given = made
            self._networks.clear()
            self._pictures.clear()
        last, same = len(made) - 1, self.index == len(made) - 1
        self.select(index=last, image=CLEAN)
        if same:  # the number is the same, its class is another
            told = {"name": "index", "old": last, "new": last, "owner": self, "type": "change"}
            self.notify_change(traitlets.Bunch(told))

    def close(self) -> None:
        """Tell nobody any more, and let go of what was made."""
        self.unobserve_all()
        with self._lock:
            self._networks.clear()
            self._pictures.clear()
