"""What following an attack through the layers costs, in units of the passes that it needs."""

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

import numpy as np
import torch
from captum.attr import LayerActivation

import reliab_widgets as rw
from reliab_widgets.analyses.propagation import compute
from reliab_widgets.core.selection import spans
from reliab_widgets.ops.attacks.adversary import Adversary, Seen
from reliab_widgets.ops.attacks.attack import Attack
from reliab_widgets.ops.attacks.noise import signs
from reliab_widgets.ops.features.layers import find

from .measured import Measured

IMAGES = 64
STEPS = 10


def measure(subject: rw.Subject) -> Iterator[Measured]:
    """Everything that this file measures, in CPU time of all threads."""
    subject = subject[:IMAGES]
    yield from layers(subject)
    yield from whole(subject)
    yield from deepfool(subject)


def layers(subject: rw.Subject) -> Iterator[Measured]:
    """Distances at every layer, against plain passes of the same images in the same batches."""
    network = subject.network
    found, _ = find(network, subject.images[:1])
    case = compute.Case(Adversary(subject, Attack()), found)
    noisy = signs(subject.images, torch.arange(IMAGES), torch.full((IMAGES,), 8 / 255))
    versions = torch.stack([subject.images, noisy, noisy])
    stacks = [versions[:, list(span)] for span in spans(subject, np.arange(IMAGES))]
    modules = [subject.model.get_submodule(layer.module) for layer in found]
    kept = LayerActivation(subject.model, modules)

    def plain() -> None:
        for stack in stacks:
            network.logits(stack.flatten(0, 1))

    def measured() -> None:
        for stack in stacks:
            compute.measure(case, stack)

    def by_captum() -> None:
        for stack in stacks:
            kept.attribute(stack.flatten(0, 1))

    with torch.no_grad():
        yield from compare(
            f"plain forward passes of {len(versions)} x {IMAGES} images",
            plain,
            {
                f"the same with all distances at {len(found)} layers": measured,
                "the same by captum, which keeps the features and compares nothing": by_captum,
            },
            rounds=15,
        )


def whole(subject: rw.Subject) -> Iterator[Measured]:
    """`rw.propagation` against the forward and backward passes of its attack alone."""
    images, labels = subject.images, subject.labels

    def plain() -> None:
        for span in spans(subject, np.arange(IMAGES)):
            for _ in range(STEPS):
                some = images[list(span)].requires_grad_()
                loss = torch.nn.functional.cross_entropy(subject.predict(some), labels[list(span)])
                torch.autograd.grad(loss, some)

    others: dict[str, Callable[[], object]] = {
        "`rw.propagation` over the same, everything in it": lambda: rw.propagation(
            subject, images=IMAGES, steps=STEPS
        )
    }
    if foolbox := _foolbox():
        attack = foolbox.attacks.LinfBasicIterativeAttack(steps=STEPS)
        model = foolbox.PyTorchModel(Seen(subject.network), bounds=(0, 1), device="cpu")
        others["the attack alone by foolbox, in one batch"] = lambda: attack(
            model, images, labels, epsilons=8 / 255
        )
    batch = len(spans(subject, np.arange(IMAGES))[0])
    what = f"{STEPS} forward and backward passes of {IMAGES} images, in its batches of {batch}"
    yield from compare(what, plain, others, rounds=7)


def deepfool(subject: rw.Subject) -> Iterator[Measured]:
    """DeepFool, against foolbox."""
    foolbox = _foolbox()
    if foolbox is None:
        return
    attack = foolbox.attacks.L2DeepFoolAttack(steps=50)
    model = foolbox.PyTorchModel(Seen(subject.network), bounds=(0, 1), device="cpu")
    yield from compare(
        f"DeepFool of {IMAGES} images by foolbox",
        lambda: attack(model, subject.images, subject.labels, epsilons=None),
        {'`rw.attack(attack="deepfool")`': lambda: rw.attack(subject, attack="deepfool", steps=50)},
        rounds=3,
    )


def compare(
    base: str, work: Callable[[], object], others: dict[str, Callable[[], object]], rounds: int
) -> Iterator[Measured]:
    """Run things in turns, and tell the time of the others in units of the first one's."""
    every = {base: work} | others
    times = [{what: timed(it) for what, it in every.items()} for _ in range(1 + rounds)][1:]
    yield Measured(base, [turn[base] for turn in times])
    for what in others:
        yield Measured(what, [turn[what] for turn in times])
        ratio = [turn[what] / turn[base] for turn in times]
        yield Measured(f"the latter in units of “{base}”", ratio, unit="")


def timed(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def _foolbox() -> Any:
    try:
        import foolbox
    except ImportError:  # a second opinion, which nothing here needs
        return None
    return foolbox
