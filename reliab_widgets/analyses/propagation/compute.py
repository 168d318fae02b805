"""How an attack's way through a network is measured: attack, then one pass with everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.analysis import analysis
from ...core.batching import threads
from ...core.capabilities import Allowed
from ...core.engine import Progress, sweep
from ...core.knobs import Seed
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.wording import problem, shape
from ...ops.attacks.adversary import Adversary, adversary
from ...ops.attacks.attack import Attack
from ...ops.attacks.doubts import doubt, glimpse
from ...ops.attacks.knobs import (
    AttackMethod,
    CorrectOnly,
    DenoiserKnob,
    Epsilon,
    ImagesKnob,
    Knowledge,
    Restarts,
    Steps,
    StepSize,
    Target,
)
from ...ops.attacks.noise import signs
from ...ops.features.distances import distances, reduced
from ...ops.features.graph import plan
from ...ops.features.layers import Layer, LayersKnob, find, observing
from .result import Channels, Propagation

MANY = 64  # images, where nobody says how many


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: the layers that are watched, and attacks.

    Raises
    ------
    ValueError
        No layer can be seen.
    """
    found, notes = find(subject.network, subject.images[:1])
    refused = dict.fromkeys(("some layers",) if notes else (), "; ".join(notes))
    if blocked := subject.network.blocked:
        refused["attacks"] = f"gradients are blocked: {blocked}"
    return Allowed(tuple(layer.name for layer in found), refused)


@analysis
def propagation(
    subject: Subject,
    *,
    attack: AttackMethod = "bim",
    epsilon: Epsilon = 8 / 255,
    steps: Steps = 10,
    step_size: StepSize = None,
    restarts: Restarts = 1,
    target: Target = "any",
    denoiser: DenoiserKnob = "none",
    knowledge: Knowledge = "grey-box",
    layers: LayersKnob = "weight",
    images: ImagesKnob = None,
    correct_only: CorrectOnly = False,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Propagation:
    """Measure layer by layer how far an attack moves the features, next to random noise.

    Parameters
    ----------
    subject : Subject
        Whose network and images are examined.
    attack : str or callable
        ``"fgsm"``, ``"bim"``, ``"mim"``, ``"pgd"`` (random start), ``"pgd-l2"``, ``"deepfool"``,
        ``"none"``, or any other that `reliab_widgets.attack` takes; a function ``(model, images,
        labels) -> images``, of another library for instance, is given a module from images in
        [0, 1] to logits.
    epsilon : float
        Radius of the ball in pixel units, above 0: the most that a pixel may change, at most 1, or
        in L2 the norm of the whole change. Attacks for the smallest change have no ball.
    steps : int
        How many, for DeepFool the most; FGSM always has one.
    step_size : float, optional
        In the units of epsilon; by default ``1.25 epsilon / steps``, after random starts
        ``2.5 epsilon / steps``.
    restarts : int
        How many random starts PGD and APGD make; the first success or the highest loss is kept.
    target : str or int
        ``"any"`` wrong class, ``"runner-up"`` (second in the answer to the clean image), or a
        class by its name or number; images of that class are left out.
    denoiser : str or callable
        What stands before the network: ``"none"``, a name of `reliab_widgets.zoo.denoisers`, a
        module or a function of images.
    knowledge : str
        ``"grey-box"``: the attack does not know the denoiser; ``"white-box"``: it attacks through
        it.
    layers : str or sequence of str
        ``"weight"`` (every convolution and linear map, also inside of attention), ``"blocks"``,
        ``"activations"``, or names of modules; input, logits and probabilities are always there.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 64, or all there are.
        It may be fewer, where ``target`` or ``correct_only`` leaves no more.
    correct_only : bool
        Only images that the network classifies correctly.
    seed : int
        Of the images, random starts and random noise.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts batches.

    Returns
    -------
    Propagation
        Distances, logits, the attack's trajectory, and notes on what limits them.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; gradients are blocked; no layer can be seen; no image is
        left.

    Notes
    -----
    Distances are from the features of the clean image that did not pass through the denoiser. The
    control is random signs times epsilon or, where epsilon bounds no pixel, times the root mean
    square of the image's own perturbation; it never passes through the denoiser. Yoon, Kim and
    Jang 2019, arXiv 1909.09263, whose "normalized Euclidean distance" is taken to be the root mean
    square.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> result = rw.propagation(rw.demo("resnet20"), images=8)
    >>> result.layers[:2], len(result.layers), result.kinds
    (('input', 'conv1'), 25, ('adversarial', 'random'))
    """
    how = Attack(attack, epsilon, steps, step_size, restarts, target, seed)
    opponent = adversary(subject, how, denoiser, knowledge)
    found, notes = find(subject.network, subject.images[:1], layers)
    wanted = MANY if images is None else images
    index = choose(subject, wanted, correct_only=correct_only, target=target, seed=seed)
    items = [Item(positions, number == 0) for number, positions in enumerate(spans(subject, index))]
    case = Case(opponent, found)
    with naming(image=(subject[index], index)):
        parts = sweep(examine, case, items, executor=executor, progress=progress)

    logits = np.concatenate([part.logits for part in parts], axis=1)
    truth = subject.labels.numpy()[index]
    glimpsed = np.concatenate([part.glimpsed for part in parts], axis=1)
    hidden = _hidden(case, logits, truth, glimpsed)
    sizes = (
        subject.images.shape[1:],
        *(layer.shape for layer in found),
        logits.shape[2:],
        logits.shape[2:],
    )
    return Propagation(
        classes=subject.classes,
        norm=how.norm,
        step_size=how.stride * epsilon if how.norm else float("nan"),
        index=index,
        truth=truth,
        kinds=case.kinds,
        layers=("input", *(layer.name for layer in found), "logits", "probabilities"),
        types=("", *(layer.type for layer in found), "", ""),
        shapes=tuple(map(shape, sizes)),
        plan=plan(subject.network, subject.images[:1], found),
        distance=np.concatenate([part.distance for part in parts], axis=3),
        logits=logits,
        trajectory=np.concatenate([part.trajectory for part in parts], axis=1),
        pictures=parts[0].pictures,
        doubt=hidden,
        notes=(
            *notes,
            *opponent.notes,
            *_left_out(subject, wanted, target),
            *([hidden] if hidden else _doubts(case, logits, truth, glimpsed[1])),
        ),
    )


def channels(subject: Subject, result: Propagation, layer: str) -> Channels:
    """Return the feature maps of the first examined image at one layer.

    Parameters
    ----------
    subject : Subject
        The one that ``result`` was computed on.
    result : Propagation
        Whose pictures are passed through the network once more.
    layer : str
        One of ``result.layers``.

    Returns
    -------
    Channels
        The most changed channel first.

    Raises
    ------
    ValueError
        No such layer, or another subject.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> result = rw.propagation(subject, images=[0])
    >>> channels(subject, result, "conv1").clean.shape
    (16, 32, 32)
    """
    result.place(layer)
    if subject.fingerprint != result.fingerprint:
        seen = f"the result is of {result.subject}, {result.fingerprint[:12]}, the subject is "
        seen += f"{subject.name}, {subject.fingerprint[:12]}"
        fix = "Pass subject= as the one that the result was computed on"
        raise ValueError(problem("the result belongs to another subject", seen, fix))
    rows = [0, 1, 1 + result.kinds.index("random")]
    pictures = torch.from_numpy(result.pictures[rows]).to(subject.device)
    kept: list[Tensor] = []
    if layer == "input":
        kept = [pictures]
    elif layer in ("logits", "probabilities"):
        logits = torch.from_numpy(result.logits[rows, 0])
        kept = [logits if layer == "logits" else logits.softmax(1)]
    else:
        found, _ = find(subject.network, subject.images[:1], (layer,))
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            # Cloned, because an activation behind the layer may work in place.
            observing(subject.model, found[:1], lambda _, out: kept.append(out.detach().clone())),
        ):
            subject.network.logits(pictures)
    maps = kept[0].float().cpu()
    if maps.ndim != 4:
        maps = maps.flatten(1)[:, :, None, None]
    change, control = (maps[1:] - maps[:1]).square().mean((2, 3)).sqrt()
    order = change.argsort(descending=True, stable=True)
    clean, attacked, random = maps[:, order].numpy()
    return Channels(
        layer=layer,
        channel=order.numpy(),
        clean=clean,
        adversarial=attacked,
        random=random,
        change=change[order].numpy(),
        control=control[order].numpy(),
    )


# --- one work item ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What all work items share; sent to a cluster once."""

    opponent: Adversary
    layers: tuple[Layer, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is compared with the clean images, in the order of `Propagation`."""
        if self.opponent.denoiser is None:
            return ("adversarial", "random")
        return ("adversarial", "undefended", "random", "clean-denoised")


class Item(NamedTuple):
    """A batch of images; the first brings the pictures."""

    positions: tuple[int, ...]
    first: bool


class Part(NamedTuple):
    """The arrays of one batch, as in `Propagation`; no pictures but of the first."""

    distance: np.ndarray
    logits: np.ndarray
    trajectory: np.ndarray
    glimpsed: np.ndarray
    pictures: np.ndarray


def examine(case: Case, item: Item) -> Part:
    """Attack a batch and measure it; processes and clusters find this by its name."""
    opponent = case.opponent
    with threads(opponent.threads), torch.inference_mode(False):
        clean, indices = opponent.images(item.positions), opponent.indices(item.positions)
        attacked = opponent(item.positions)
        glimpsed = glimpse(opponent, item.positions, attacked)
        with torch.no_grad():
            noisy = signs(
                clean, indices, _size(opponent, clean, attacked.images), opponent.attack.seed
            )
            versions = {"adversarial": attacked.images, "random": noisy}
            if opponent.denoiser is not None:
                versions["undefended"] = attacked.images
                both = opponent.denoiser(torch.cat([attacked.images, clean]))
                versions["adversarial"], versions["clean-denoised"] = both.chunk(2)
            stacked = torch.stack([clean, *(versions[kind] for kind in case.kinds)])
            distance, logits = measure(case, stacked)
    return Part(
        distance=distance.numpy(),
        logits=logits.cpu().numpy(),
        trajectory=attacked.trajectory.cpu().numpy(),
        glimpsed=glimpsed,
        pictures=stacked[:, 0 if item.first else slice(0)].cpu().numpy(),
    )


def _size(opponent: Adversary, clean: Tensor, attacked: Tensor) -> Tensor:
    if opponent.attack.norm == "Linf" or opponent.attack.method == "none":
        return torch.full((len(clean),), opponent.attack.epsilon, dtype=torch.float64)
    return (attacked - clean).square().mean((1, 2, 3)).sqrt().cpu().double()


def measure(case: Case, images: Tensor) -> tuple[Tensor, Tensor]:
    """Pass (1 + kinds, n, C, H, W) images at once; reduce each layer as soon as it is there."""
    versions, count = images.shape[:2]
    network = case.opponent.subject.network
    # A layer that runs for some images only stays NaN for the others.
    numbers = images.new_full((len(case.layers) + 3, 3, versions, count), torch.nan)
    sizes = torch.ones(len(numbers))

    def see(place: int, output: Tensor) -> None:
        output = output.detach()  # a network may take gradients in its forward
        wide = output.float() if output.itemsize < 4 else output  # 16 bits cannot add up
        numbers[place] = reduced(wide.unflatten(0, (versions, count)))
        sizes[place] = output[0].numel()

    see(0, images.flatten(0, 1))
    with observing(network.model, case.layers, lambda place, output: see(1 + place, output)):
        logits = network.logits(images.flatten(0, 1))
    see(-2, logits)
    see(-1, logits.softmax(1))
    return distances(numbers, sizes), logits.unflatten(0, (versions, count))


# --- what the reader must know ----------------------------------------------------------------


def _left_out(subject: Subject, wanted: Any, target: str | int) -> list[str]:
    """Say that images are left out of those that were asked for, if any are."""
    asked = range(len(subject)) if isinstance(wanted, int | np.integer) else list(wanted)
    if not isinstance(target, int) or target not in subject.labels.numpy()[asked]:
        return []
    name = subject.classes[target]
    return [f"images of the class {name} are left out: they are at the target already"]


def _hidden(case: Case, logits: np.ndarray, truth: np.ndarray, glimpsed: np.ndarray) -> str:
    """Say what speaks for a network that hides, by attack and noise together; or nothing."""
    opponent, wrong = case.opponent, logits.argmax(2) != truth
    known: dict[str, np.ndarray] = {}
    if _comparable(case):
        kinds = ("clean", *case.kinds)
        roles = {"clean": "clean", "noise": "random", "several steps": _bare(case)}
        known = {role: wrong[kinds.index(kind)] for role, kind in roles.items()}
    return doubt(opponent.attack, glimpsed, known)


def _comparable(case: Case) -> bool:
    """Tell whether noise and attack want the same, of the same network."""
    attack = case.opponent.attack
    aims = attack.target == "any" and attack.method != "none"
    return aims and case.opponent.knowledge == "grey-box"


def _bare(case: Case) -> str:
    return "undefended" if "undefended" in case.kinds else "adversarial"


def _doubts(case: Case, logits: np.ndarray, truth: np.ndarray, blind: np.ndarray) -> list[str]:
    """Say where the attack may have been too weak, though images are too few for a verdict."""
    notes = []
    if blind.any():
        notes.append(
            f"for {blind.sum():,} of {len(blind):,} images every gradient is exactly 0 and the "
            "attack could not move: masked gradients, not robustness"
        )
    kinds = ("clean", *case.kinds)
    right = (logits.argmax(2) == truth).mean(axis=1)
    attacked, noisy = right[kinds.index(_bare(case))], right[kinds.index("random")]
    if _comparable(case) and noisy < attacked:
        notes.append(
            f"random noise of the same size does more harm than the attack (accuracy {noisy:.1%} "
            f"against {attacked:.1%}): a sign of masked gradients or of too few steps"
        )
    return notes
