"""Whom a network is attacked by: the attack, the denoiser in the way, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.analysis import arguments, checked
from ...core.batching import threads
from ...core.engine import Progress, pulse, sweep
from ...core.knobs import Auto, Knob, Positions, Seed
from ...core.network import Network
from ...core.selection import naming, spans
from ...core.subject import Subject
from ...core.wording import grey_levels
from ..defences.denoiser import Denoise, Denoiser, safe
from .attack import Attack, Attacked
from .catalogue import METHODS
from .doubts import doubt, glimpse
from .knobs import (
    AttackMethod,
    DenoiserKnob,
    Epsilon,
    Knowledge,
    Loss,
    Restarts,
    Steps,
    StepSize,
    Target,
)


class Seen(nn.Module):
    """What an attacker sees: images in pixel units to logits, through a denoiser or not.

    A module, because attacks of other libraries ask for one; it owns no part of the network, so
    that nothing they do to a module can reach it.
    """

    def __init__(self, network: Network, denoiser: Denoiser | None = None) -> None:
        super().__init__()
        self._parts = (network, denoiser)
        # Where such libraries look for the device.
        self.device = nn.Parameter(torch.empty(0, device=network.device), requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Give (n, K) logits of (n, C, H, W) images, in one differentiable pass."""
        pulse()  # attacks of others do not, in their loops
        network, denoiser = self._parts
        return network.logits(images if denoiser is None else denoiser(images))


@dataclass(frozen=True)
class Adversary:
    """An attack on a Subject's network, with all that decides what it does.

    Parameters
    ----------
    subject : Subject
        Who is attacked.
    attack : Attack
        How.
    denoiser : Denoiser, optional
        What stands before the network.
    knowledge : str
        ``"grey-box"``: the attack does not know the denoiser; ``"white-box"``: it attacks through
        it.
    threads : int
        On how many threads a pass runs.
    """

    subject: Subject
    attack: Attack
    denoiser: Denoiser | None = None
    knowledge: str = "grey-box"
    threads: int = 1

    @property
    def seen(self) -> Seen:
        """What the attack works on."""
        known = self.denoiser if self.knowledge == "white-box" else None
        return Seen(self.subject.network, known)

    @property
    def draws(self) -> bool:
        """Whether what the attack works on answers otherwise in another draw."""
        network = self.subject.network
        known = self.denoiser if self.knowledge == "white-box" else None
        parts = [network.model, *(it for it in (network.front, known) if it is not None)]
        return network.draws or any(
            getattr(it, "draws", False) for p in parts for it in p.modules()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is approximated."""
        denoiser = self.denoiser
        if denoiser is None or self.knowledge == "grey-box" or denoiser.differentiable:
            return ()
        return (
            f"the denoiser {denoiser.name} lets no gradient through: the attack takes that of the "
            "identity instead (BPDA)",
        )

    def images(self, positions: Sequence[int]) -> Tensor:
        """Return these images of the subject, on its device."""
        return self.subject.images[list(positions)].to(self.subject.device)

    def labels(self, positions: Sequence[int]) -> Tensor:
        """Return their labels, on its device."""
        return self.subject.labels[list(positions)].to(self.subject.device)

    def indices(self, positions: Sequence[int]) -> Tensor:
        """Return from what the images' random numbers are drawn: a slice draws the same."""
        return self.subject.positions[list(positions)]

    def __call__(self, positions: Sequence[int], epsilon: Tensor | None = None) -> Attacked:
        """Attack these images of the subject."""
        with torch.inference_mode(False):  # what is indexed inside could carry no gradient
            images, labels = self.images(positions), self.labels(positions)
            return self.attack(self.seen, images, labels, self.indices(positions), epsilon)


def adversary(subject: Subject, attack: Attack, denoiser: Denoise, knowledge: str) -> Adversary:
    """Set an attack on a Subject; its knobs are those of `attack`, checked.

    Raises
    ------
    ValueError
        The network blocks gradients that the attack needs; the denoiser cannot be used.
    """
    if isinstance(attack.method, str) and METHODS[attack.method].gradients:
        subject.network.check_gradients()
    threads = subject.plan.threads
    return Adversary(subject, attack, safe(denoiser, subject), knowledge, threads)


# --- for users --------------------------------------------------------------------------------


@checked
def attack(
    subject: Subject,
    *,
    attack: AttackMethod = "bim",
    epsilon: Epsilon = 8 / 255,
    steps: Steps = 10,
    step_size: StepSize = None,
    restarts: Restarts = 1,
    target: Target = "any",
    loss: Loss = "auto",
    denoiser: DenoiserKnob = "none",
    knowledge: Knowledge = "grey-box",
    seed: Seed = 0,
    images: Annotated[Sequence[int] | None, Auto(Positions())] = None,
    executor: Any = None,
    progress: Progress = None,
) -> Subject:
    """Attack images of a Subject: the result is one more Subject, for every other analysis.

    Parameters
    ----------
    subject : Subject
        Whose images are attacked; ``subject[:100]`` attacks a hundred.
    attack : str or callable
        In a ball, by gradients: ``"fgsm"``, ``"bim"``, ``"mim"``, ``"pgd"``, and
        ``"apgd"``, which sizes its own steps, each also as ``"-l2"``; ``"apgd-targeted"``, class by
        class; ``"eot-pgd"``, for networks that draw. By queries: ``"square"``, ``"simba"`` (L2),
        ``"nes"``. For the smallest change in L2: ``"deepfool"``, ``"cw"`` (Carlini and Wagner),
        ``"boundary"`` (from the answers alone; needs foolbox). ``"none"``. Or an attack of
        foolbox, or a function ``(model, images, labels) -> images``; a result of `rw.universal` is
        one: it puts its pattern on the images.
    epsilon : float
        Radius of the ball in pixel units, above 0: the most that a pixel may change, at most 1, or
        in L2 the norm of the whole change. Attacks for the smallest change have no ball.
    steps : int
        How many, for DeepFool the most, for ``"cw"`` for each of five weights (a hundred are
        enough); by queries, how many of these. FGSM always has one.
    step_size : float, optional
        In the units of epsilon; by default ``1.25 epsilon / steps``, after random starts
        ``2.5 epsilon / steps``. APGD and attacks by queries choose it themselves.
    restarts : int
        How many random starts PGD and APGD make; the first success or the highest loss is kept.
    target : str or int
        ``"any"`` wrong class, ``"runner-up"`` (second in the answer to the clean image), or a
        class by its name or number.
    loss : str
        What gradients climb: ``"auto"`` (the cross-entropy, or its logarithm where it drowns in
        rounding; the margin, for ``"apgd-targeted"``), ``"cross-entropy"``, or ``"margin"``, the
        difference-of-logits ratio of Croce and Hein 2020, which does not know the logits' scale.
    denoiser : str or callable
        What stands before the network: ``"none"``, a name of `reliab_widgets.zoo.denoisers`, a
        module or a function of images. The images given back have passed through it.
    knowledge : str
        ``"grey-box"``: the attack does not know the denoiser; ``"white-box"``: it attacks through
        it.
    seed : int
        Of random starts and other draws; each image has its own.
    images : sequence of int, optional
        Which of them, by their positions: the others stay as they are. By default all.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Subject
        With the same network, labels and validation images, which are not attacked. Where the
        attack saw signs of a network that hides from it, ``notes`` say so;
        `reliab_widgets.robustness` looks closer.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have.
    ModuleNotFoundError
        ``"boundary"`` without foolbox.

    Notes
    -----
    Attacks of other libraries are functions of the model that they are given::

        def autoattack(model, images, labels):
            return torchattacks.AutoAttack(model, eps=8 / 255, n_classes=10)(images, labels)

        rw.attack(subject, attack=autoattack)
        rw.attack(subject, attack=foolbox.attacks.LinfPGD(steps=40), epsilon=8 / 255)

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> attacked = rw.attack(rw.demo("resnet20")[:8], attack="fgsm")
    >>> attacked.name
    'resnet20, fgsm 8/255'
    """
    how = Attack(attack, epsilon, steps, step_size, restarts, target, seed, loss)
    opponent = adversary(subject, how, denoiser, knowledge)
    items = spans(subject, np.arange(len(subject)) if images is None else np.array(images))
    with naming(image=(subject, range(len(subject)))):
        pixels, glimpsed = overcome(opponent, items, executor, progress)
    name = f"{subject.name}, {how.name}"
    if how.norm:
        name += f" {grey_levels(epsilon, how.norm)}"
    if opponent.denoiser is not None:
        name += f", {opponent.denoiser.name}"
    code = _code(
        subject,
        attack=attack,
        epsilon=epsilon,
        steps=steps,
        step_size=step_size,
        restarts=restarts,
        target=target,
        loss=loss,
        denoiser=denoiser,
        knowledge=knowledge,
        seed=seed,
        images=images,
    )
    where = slice(None) if images is None else images
    changed = subject.changed(torch.from_numpy(pixels), name, code, where)
    told = doubt(how, glimpsed)
    return changed.replaced(notes=(*changed.notes, told)) if told else changed


def _code(subject: Subject, **values: Any) -> str:
    knobs: dict[str, Knob] = attack.knobs  # type: ignore[attr-defined]
    told = {name: it for name, it in values.items() if name != "images" or it is not None}
    return f"rw.attack({', '.join([subject.code, *arguments(subject, knobs, told)])})"


def overcome(
    opponent: Adversary, items: Sequence[Any], executor: Any = None, progress: Progress = None
) -> tuple[np.ndarray, np.ndarray]:
    """Attack batches of images.

    Returns
    -------
    images : numpy.ndarray
        (n, C, H, W), behind the denoiser if there is one.
    glimpsed : numpy.ndarray
        (4, n) bool, see `doubts.glimpse`.
    """
    parts = sweep(_attacked, opponent, items, executor=executor, progress=progress)
    images, glimpsed = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(glimpsed, axis=1)


def _attacked(opponent: Adversary, positions: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    with threads(opponent.threads):
        found = opponent(positions)
        images, glimpsed = found.images, glimpse(opponent, positions, found)
        if opponent.denoiser is not None:
            with torch.no_grad():
                images = opponent.denoiser(images)
    return images.cpu().numpy(), glimpsed
