"""How an attack's way through a network is measured: attack, then one pass with everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...batching import threads
from ...engine import Progress, sweep
from ...ops import adversary, attacks
from ...ops.adversary import Adversary, Denoise
from ...ops.attacks import Method
from ...ops.calls import call
from ...ops.distances import distances, reduced
from ...ops.layers import Layer, find, observing
from ...validation import problem, shape
from .result import Channels, Propagation

if TYPE_CHECKING:
    from ...subject import Subject


def propagation(
    subject: Subject,
    *,
    attack: Method = "bim",
    epsilon: float = 8 / 255,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    goal: str | int = "any",
    denoiser: Denoise = None,
    threat: str = "grey",
    layers: str | Sequence[str] = "weight",
    images: int | Sequence[int] = 64,
    correct_only: bool = False,
    seed: int = 0,
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
        ``"none"``, or a function ``(model, images, labels) -> images``, of another library for
        instance; the model it is given is a module from images in [0, 1] to logits.
    epsilon : float
        Radius of the ball in pixel units, above 0 and at most 1: the most that a pixel may change,
        for ``"pgd-l2"`` the L2 norm of the whole change. ``"deepfool"`` has no ball.
    steps : int
        How many, for DeepFool the most; ``"fgsm"`` always has one.
    step_size : float, optional
        In pixel units; by default ``1.25 epsilon / steps``, for PGD ``2.5 epsilon / steps``.
    restarts : int
        How many random starts PGD makes; the first success or the highest loss is kept.
    goal : str or int
        ``"any"`` wrong class, ``"runner-up"`` (second in the answer to the clean image), or a
        class by its name or number; images of that class are left out.
    denoiser : str, callable or None
        What stands before the network: a name of `reliab_widgets.zoo.denoisers`, a module or a
        function of images.
    threat : str
        ``"grey"``: the attack does not know the denoiser; ``"white"``: it attacks through it.
    layers : str or sequence of str
        ``"weight"`` (every Conv2d and Linear), ``"blocks"``, ``"activations"``, or names of
        modules; input, logits and probabilities are always there.
    images : int or sequence of int
        At most how many, drawn by ``seed``; or which, by their positions.
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
    knobs: dict[str, Any] = {
        "attack": attack,
        "epsilon": epsilon,
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "goal": goal,
        "denoiser": denoiser,
        "threat": threat,
        "seed": seed,
    }
    opponent = adversary.adversary(subject, **knobs)
    goal = opponent.attack.goal
    found, notes = find(subject._network, subject.images[:1], layers)
    index = adversary.choose(subject, images, correct_only=correct_only, goal=goal, seed=seed)
    items = [
        _Item(positions, number == 0)
        for number, positions in enumerate(adversary.spans(subject, index))
    ]
    case = _Case(opponent, found)
    parts = sweep(_examine, case, items, executor=executor, progress=progress)  # type: ignore[arg-type]

    distance = np.concatenate([part.distance for part in parts], axis=3)
    logits = np.concatenate([part.logits for part in parts], axis=1)
    truth = subject.labels.numpy()[index]
    blind = np.concatenate([part.blind for part in parts])
    step_size = opponent.attack.stride * epsilon if opponent.attack.norm else float("nan")
    knobs |= {"layers": layers, "images": images, "correct_only": correct_only}
    return Propagation(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        source=call("propagation", subject, knobs),
        classes=subject.classes,
        attack=opponent.attack.name,
        denoiser="none" if opponent.denoiser is None else opponent.denoiser.name,
        threat=threat,
        goal=goal if isinstance(goal, str) else subject.classes[goal],
        norm=opponent.attack.norm,
        epsilon=float(epsilon),
        step_size=step_size,
        steps=int(steps),
        restarts=int(restarts),
        correct_only=bool(correct_only),
        index=index,
        truth=truth,
        kinds=case.kinds,
        layers=("input", *(layer.name for layer in found), "logits", "probabilities"),
        types=("", *(layer.type for layer in found), "", ""),
        shapes=tuple(
            shape(size)
            for size in (
                subject.images.shape[1:],
                *(layer.shape for layer in found),
                logits.shape[2:],
                logits.shape[2:],
            )
        ),
        branches=np.array([False, *(layer.branch for layer in found), False, False]),
        distance=distance,
        logits=logits,
        trajectory=np.concatenate([part.trajectory for part in parts], axis=1),
        pictures=parts[0].pictures,
        notes=(*notes, *opponent.notes, *_doubts(case, logits, truth, blind)),
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
    if layer not in result.layers:
        fix = f"Choose layer= from {', '.join(result.layers)}"
        raise ValueError(problem("there is no such layer in the result", f"got {layer!r}", fix))
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
        found, _ = find(subject._network, subject.images[:1], (layer,))
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            # Cloned, because an activation behind the layer may work in place.
            observing(subject.model, found[:1], lambda _, output: kept.append(output.clone())),
        ):
            subject._network.logits(pictures)
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
class _Case:
    """What all work items share; sent to a cluster once."""

    opponent: Adversary
    layers: tuple[Layer, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        if self.opponent.denoiser is None:
            return ("adversarial", "random")
        return ("adversarial", "undefended", "random", "clean-denoised")


class _Item(NamedTuple):
    positions: tuple[int, ...]
    first: bool


class _Part(NamedTuple):
    """The arrays of one batch, as in `Propagation`; no pictures but of the first."""

    distance: np.ndarray
    logits: np.ndarray
    trajectory: np.ndarray
    blind: np.ndarray
    pictures: np.ndarray


def _examine(case: _Case, item: _Item) -> _Part:
    opponent = case.opponent
    with threads(opponent.threads), torch.inference_mode(False):
        clean, indices = opponent.images(item.positions), opponent.indices(item.positions)
        attacked = opponent(item.positions)
        with torch.no_grad():
            noisy = attacks.signs(
                clean, indices, _size(opponent, clean, attacked.images), opponent.attack.seed
            )
            versions = {"adversarial": attacked.images, "random": noisy}
            if opponent.denoiser is not None:
                versions["undefended"] = attacked.images
                both = opponent.denoiser(torch.cat([attacked.images, clean]))
                versions["adversarial"], versions["clean-denoised"] = both.chunk(2)
            stacked = torch.stack([clean, *(versions[kind] for kind in case.kinds)])
            distance, logits = _measure(case, stacked)
    return _Part(
        distance=distance.numpy(),
        logits=logits.cpu().numpy(),
        trajectory=attacked.trajectory.cpu().numpy(),
        blind=attacked.blind.cpu().numpy(),
        pictures=stacked[:, 0 if item.first else slice(0)].cpu().numpy(),
    )


def _size(opponent: Adversary, clean: Tensor, attacked: Tensor) -> Tensor:
    if opponent.attack.norm == "Linf" or opponent.attack.method == "none":
        return torch.full((len(clean),), opponent.attack.epsilon, dtype=torch.float64)
    return (attacked - clean).square().mean((1, 2, 3)).sqrt().cpu().double()


def _measure(case: _Case, images: Tensor) -> tuple[Tensor, Tensor]:
    """Pass (1 + kinds, n, C, H, W) images at once; reduce each layer as soon as it is there."""
    versions, count = images.shape[:2]
    network = case.opponent.subject._network
    # A layer that runs for some images only stays NaN for the others.
    numbers = images.new_full((len(case.layers) + 3, 3, versions, count), torch.nan)
    sizes = torch.ones(len(numbers))

    def see(place: int, output: Tensor) -> None:
        numbers[place] = reduced(output.unflatten(0, (versions, count)))
        sizes[place] = output[0].numel()

    see(0, images.flatten(0, 1))
    with observing(network.model, case.layers, lambda place, output: see(1 + place, output)):
        logits = network.logits(images.flatten(0, 1))
    see(-2, logits)
    see(-1, logits.softmax(1))
    return distances(numbers, sizes), logits.unflatten(0, (versions, count))


# --- what the reader must know ----------------------------------------------------------------


def _doubts(case: _Case, logits: np.ndarray, truth: np.ndarray, blind: np.ndarray) -> list[str]:
    """Say where the attack may have been too weak for its result to mean anything."""
    notes = []
    goal = case.opponent.attack.goal
    if isinstance(goal, int):
        name = case.opponent.subject.classes[goal]
        notes.append(f"images of the class {name} are left out: they are at the goal already")
    if blind.any():
        notes.append(
            f"for {blind.sum():,} of {len(blind):,} images every gradient is exactly 0 and the "
            "attack could not move: gradient masking or a saturated softmax, not robustness"
        )
    kinds = ("clean", *case.kinds)
    right = (logits.argmax(2) == truth).mean(axis=1)
    bare = "undefended" if "undefended" in kinds else "adversarial"
    attacked, noisy = right[kinds.index(bare)], right[kinds.index("random")]
    aims = goal == "any" and case.opponent.attack.method != "none"
    if aims and case.opponent.threat == "grey" and noisy < attacked:
        notes.append(
            f"random noise of the same size does more harm than the attack (accuracy {noisy:.1%} "
            f"against {attacked:.1%}): a sign of masked gradients or of too few steps"
        )
    return notes
