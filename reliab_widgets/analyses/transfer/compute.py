"""How transfer is measured: the same images, changed for every source and shown to every victim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import analysis
from ...core.batching import threads
from ...core.capabilities import Allowed
from ...core.engine import Progress, sweep
from ...core.knobs import AnotherSubject, Auto, Choice, ClassOf, Real, Seed, Several, Whole
from ...core.randomness import drawing
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.validation import other_classes
from ...core.wording import problem, shape
from ...ops.attacks import rows as r
from ...ops.attacks.attack import Attack
from ...ops.attacks.catalogue import METHODS, those
from ...ops.attacks.doubts import ANOTHER
from ...ops.attacks.ghosts import Ghosts, shortcuts
from ...ops.attacks.knobs import MOST_STEPS, ImagesKnob, Steps
from ...ops.attacks.noise import directions, signs
from ...ops.attacks.sources import FUSED, Member, OfLosses, Source
from ...ops.defences.denoised import denoised
from .result import ENSEMBLES, GHOSTLY, KINDS, MOST, Transfer

MANY = 64
"""Images, where nobody says how many."""
BEHIND = "median"
"""The denoiser before the second network, where nobody names another network."""
SIZES = {"Linf": (2 / 255, 4 / 255, 8 / 255), "L2": (0.1, 0.2, 0.4)}
"""Epsilons, by what they bound, where nobody names some."""
ATTACKS = Choice(
    those(lambda it: it.norm), offers=("mim", "bim", "fgsm", "pgd", "pgd-l2", "apgd", "square")
)
OTHERS = Several(AnotherSubject(), least=1, most=MOST - 1, alone=True)
STRENGTH = Real(least=0, below=1, stops=(0, 0.02, 0.05, 0.1, 0.2, 0.4))


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows.

    Raises
    ------
    ValueError
        It has no gradients, or there is no network.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> allowed(rw.demo("resnet20")).refused
    {}
    """
    subject.network.check_gradients('attack="square" asks for answers only')
    return Allowed()


@analysis
def transfer(
    subject: Subject,
    *,
    others: Annotated[Subject | Sequence[Subject] | None, Auto(OTHERS)] = None,
    attack: Annotated[str, ATTACKS] = "mim",
    epsilons: Annotated[Sequence[float] | None, Auto(r.Sizes())] = None,
    steps: Steps = 10,
    target: Annotated[str | int, ClassOf(("any",))] = "any",
    ensemble: Annotated[str, Choice(("none", *FUSED))] = "none",
    ghost: Annotated[float, STRENGTH] = 0.0,
    ghosts: Annotated[int | None, Auto(Whole(1, MOST_STEPS, "they take turns"))] = None,
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Transfer:
    """Attack every network, and show what comes of it to every other.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked; its network is the first source and the first victim.
    others : sequence of Subject, optional
        The other networks, at most nine, each source and victim, too; `rw.denoised` puts one behind
        a denoiser. Their images do not count. Where they name their classes in another order, they
        are matched by name. By default the network itself behind a median filter.
    attack : str
        One that bounds its change, as `rw.attack` has them.
    epsilons : sequence of float, optional
        Sizes in pixel units, rising; by default 2, 4 and 8/255, or L2 norms of 0.1, 0.2 and 0.4.
    steps : int
        Steps of the attack, or its queries.
    target : str or int
        ``"any"`` wrong class, or a class, by its name or number, that all answers are led to.
    ensemble : str
        With ``"logits"`` or ``"losses"``, each network is also attacked by way of all the others
        together, whose logits or losses are averaged; ``"none"`` for no ensemble.
    ghost : float
        With more than 0, ghosts are sources, too: in each step the network is eroded by that much,
        its shortcuts, or where it has none its convolutions. Around 0.1; no answer is eroded.
    ghosts : int, optional
        How many ghosts take turns; by default each step has one of its own. None of them costs a
        pass more.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 64, or all there are.
    seed : int
        Of the draw of images, of random starts, of ghosts and of the noise.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Transfer
        What every victim answers to every image, however it was changed.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; a network has other classes, other images or no
        gradients, or is called like another one; an ensemble of fewer than two.

    Notes
    -----
    How transfer grows with the number of ghosts, at equal passes, is a grid:
    ``rw.grid(rw.transfer, subject, others=[(vgg,)], ghost=[0.1], ghosts=[1, 2, 5, 10])``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> vgg = rw.demo("vgg")
    >>> result = rw.transfer(rw.demo("resnet20"), others=[vgg], attack="fgsm", images=8)
    >>> result.networks, result.share("alone", 2).shape
    (('resnet20', 'vgg'), (2, 2))
    """
    sizes = np.array(SIZES[METHODS[attack].norm] if epsilons is None else epsilons)
    made = setup(
        subject,
        others=others,
        attack=attack,
        epsilon=float(sizes[-1]),
        steps=steps,
        target=target,
        ensemble=ensemble,
        ghost=ghost,
        ghosts=ghosts,
        seed=seed,
    )
    index = choose(subject, MANY if images is None else images, target=target, seed=seed)
    cuts = spans(subject, np.arange(len(index)))
    kinds, count = made.kinds, len(made.members)
    plain = [Item("noise", 0, size, ()) for size in (0.0, *sizes.tolist())]
    crafted = [
        Item(kind, row, size, ()) for kind in kinds for row in range(count) for size in sizes
    ]
    items = [
        it._replace(positions=tuple(index[list(cut)].tolist()))
        for it in (*plain, *crafted)
        for cut in cuts
    ]
    with naming(image=(subject[index], index)):
        parts = sweep(answers, made, items, executor=executor, progress=progress)
    found = np.concatenate(parts, axis=1).reshape(count, -1, len(index)).swapaxes(0, 1)
    still = len(plain)
    return Transfer(
        classes=subject.classes,
        networks=made.names,
        kinds=kinds,
        index=index,
        truth=subject.labels.numpy()[index],
        target=target if isinstance(target, int) else -1,
        epsilons=sizes,
        clean=found[0],
        noise=found[1:still],
        answers=found[still:].reshape(len(kinds), count, len(sizes), count, len(index)),
        notes=made.notes,
    )


# --- who attacks whom -------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """Networks that attack and are attacked, and how.

    Parameters
    ----------
    subject : Subject
        Whose images.
    names : tuple of str
        What the networks are called.
    members : tuple of Member
        The networks.
    attack : Attack
        How.
    ghosts : Ghosts
        How they are eroded.
    fused : str
        What ensembles average, or ``"none"``.
    threads : int
        On how many threads a pass runs.
    notes : tuple of str
        What must be known.
    """

    subject: Subject
    names: tuple[str, ...]
    members: tuple[Member, ...]
    attack: Attack
    ghosts: Ghosts
    fused: str
    threads: int
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The sorts of sources that there are."""
        ghostly, several = self.ghosts.strength > 0, self.fused != "none"
        return tuple(
            it for it in KINDS if it not in GHOSTLY * (not ghostly) + ENSEMBLES * (not several)
        )

    def source(self, kind: str, row: int) -> Source:
        """Return what is attacked: one network, or in an ensemble all others."""
        others = tuple(it for place, it in enumerate(self.members) if place != row)
        ghosts = self.ghosts if kind in GHOSTLY else None
        if kind not in ENSEMBLES:
            return Source([self.members[row]], ghosts)
        return (OfLosses if self.fused == "losses" else Source)(others, ghosts)


def setup(
    subject: Subject,
    *,
    others: Any,
    attack: str,
    epsilon: float,
    steps: int,
    target: str | int,
    ensemble: str,
    ghost: float,
    ghosts: int | None,
    seed: int,
) -> Setup:
    """Let networks meet, as the knobs of `transfer` say; ``epsilon`` is the largest.

    Raises
    ------
    ValueError
        They cannot.
    """
    how = Attack(attack, epsilon, steps, target=target, seed=seed)
    needing = METHODS[attack].gradients
    if needing or subject.network.recorded:
        subject.network.check_gradients('attack="square" asks for answers only')
    notes: tuple[str, ...] = ()
    if others is None:
        others = (denoised(subject, BEHIND),)
        notes = ("no other network was named: it is tried on itself behind a median filter",)
    if ghost and not needing:
        fix = "Pass ghost=0, or an attack by gradients"
        seen = f"got ghost={ghost:g} with attack={attack!r}"
        raise ValueError(problem("ghosts act where slopes are asked for", seen, fix))
    if ensemble != "none" and len(others) < 2:
        fix = 'Pass two or more as others=, or ensemble="none"'
        seen = f"got {len(others)} beside {subject.name}"
        raise ValueError(problem("an ensemble needs two networks beside its victim", seen, fix))
    every = (subject, *others)
    names = [it.name for it in every]
    if twice := [it for it in names if names.count(it) > 1]:
        fix = "Pass others= that are called otherwise: subject.on(subject.network, name=...)"
        raise ValueError(problem("two of the networks are called alike", f"got {twice[0]!r}", fix))
    image, members = subject.images[:1], []
    for one in every:
        member = Member(one.network, _order(subject, one, needing))
        if ghost:
            member = replace(member, places=shortcuts(one.network, image, one.name))
        members.append(member)
    eroded = Ghosts(ghost, ghosts, seed)
    return Setup(
        subject, tuple(names), tuple(members), how, eroded, ensemble, subject.plan.threads, notes
    )


def _order(subject: Subject, other: Subject, needing: bool) -> tuple[int, ...]:
    """Return which column of another network is class 0, 1, ... here; refuse what cannot meet."""
    if other is subject:
        return ()
    name, network = other.name, other.network
    fix = "Leave it out of others="
    if network.recorded:
        seen = "it has recorded logits only"
        raise ValueError(problem(f"{name} is no network to attack", seen, fix))
    sizes = [shape(it.images.shape[1:]) for it in (other, subject)]
    if sizes[0] != sizes[1]:
        seen = f"{sizes[0]}, and those of {subject.name} are {sizes[1]}"
        fix = f"Pass others= with networks for images of {sizes[1]}"
        raise ValueError(problem(f"{name} is for images of another size", seen, fix))
    if needing and network.blocked:
        fix += ', or pass attack="square", which asks for answers only'
        seen = network.blocked
        raise ValueError(problem(f"the gradients of {name} are blocked", seen, fix))
    if differ := other_classes(other.classes, subject.classes):
        if sorted(other.classes) != sorted(subject.classes) or len(set(other.classes)) < len(
            other.classes
        ):
            fix = f"Pass others= with networks for the classes of {subject.name}"
            raise ValueError(problem(f"{name} has other classes", differ, fix))
        return tuple(other.classes.index(it) for it in subject.classes)
    return ()


# --- one work item ----------------------------------------------------------------------------


class Item(NamedTuple):
    """A batch of images, and what changes them: a kind of source and its row, or noise."""

    kind: str
    row: int
    size: float
    positions: tuple[int, ...]


def changed(made: Setup, item: Item) -> Tensor:
    """Change images as an item says."""
    subject, places = made.subject, list(item.positions)
    with torch.inference_mode(False):  # what is indexed inside could carry no gradient
        clean = subject.images[places].to(subject.device)
        numbers = subject.positions[places]
        size = torch.full((len(places),), item.size, dtype=torch.float64)
        if item.kind != "noise":
            source, labels = made.source(item.kind, item.row), subject.labels[places]
            how = replace(made.attack, epsilon=item.size)
            return how(source, clean, labels, numbers, size).images
        change = signs if made.attack.norm == "Linf" else directions
        return change(clean, numbers, size, made.attack.seed) if item.size else clean


def answers(made: Setup, item: Item) -> np.ndarray:
    """Tell what every network answers to the changed images, (V, n) classes."""
    with threads(made.threads):
        images = changed(made, item)
        with torch.no_grad(), drawing(ANOTHER):
            found = torch.stack([member(images).argmax(1) for member in made.members])
    array: np.ndarray = found.cpu().numpy().astype(np.int16)
    return array
