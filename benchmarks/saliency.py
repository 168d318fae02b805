"""What saliency maps and deletion curves cost, against the passes they need and against captum."""

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

import torch
from captum.attr import IntegratedGradients, Occlusion

import reliab_widgets as rw
from reliab_widgets.analyses.saliency.compute import saliency
from reliab_widgets.core.batching import threads
from reliab_widgets.ops.attribution.baselines import baselines
from reliab_widgets.ops.attribution.deletion import RANDOM, Deletion, random_ranks
from reliab_widgets.ops.attribution.explainer import Explainer
from reliab_widgets.ops.attribution.foreign import Scored
from reliab_widgets.ops.attribution.methods import Method
from reliab_widgets.ops.attribution.scores import score_of

from .measured import Measured

TARGET = 3
BASELINES = ("black", "white", "mean", "blur")
LIVE: dict[str, Any] = {"steps": 8, "fills": ("mean",), "points": 9}
"""What the widget asks for while a slider moves."""


def measure(subject: rw.Subject) -> Iterator[Measured]:
    """Everything that this file measures, in CPU time of all threads."""
    with threads(subject.plan.threads):  # the same for everybody
        yield from occlusion(subject)
        yield from integrated_gradients(subject)
        yield from deletion(subject)
        yield from live(subject)


def explaining(subject: rw.Subject, method: Method, names: tuple[str, ...]) -> Callable[[], object]:
    """What makes the maps of the first image, without anything around it."""
    size = (subject.images.shape[2], subject.images.shape[3])
    bases = baselines(names, subject)
    explainer = Explainer(method, bases, "logit", size, subject.plan)

    def run() -> object:
        clean = float(score_of(subject, subject.images[:1], TARGET, "logit"))
        return explainer.add(
            explainer.part(subject, 0, TARGET, span, clean=clean) for span in explainer.spans
        )

    return run


def occlusion(subject: rw.Subject, rounds: int = 7) -> Iterator[Measured]:
    """One image, windows of 4 with stride 2, against captum at every batch size worth trying."""
    attribution = Occlusion(Scored(subject, "logit"))
    image = subject.images[:1]

    def captum(batch: int) -> Callable[[], object]:
        return lambda: attribution.attribute(
            image, (3, 4, 4), (3, 2, 2), 0, TARGET, perturbations_per_eval=batch
        )

    ours = explaining(subject, Method("occlusion", window=4, stride=2), ("black",))
    batches = (1, 8, 16, 32, 64, 225)
    times = in_turns([ours, *map(captum, batches)], rounds)
    yield Measured("occlusion, 225 windows", times[0])
    for batch, spent in zip(batches, times[1:], strict=True):
        yield Measured(f"the same by captum, perturbations_per_eval={batch}", spent)
    best = min(times[2:], key=lambda spent: sorted(spent)[rounds // 2])
    yield ratio("captum at its default in units of ours", times[1], times[0])
    yield ratio("captum at its best in units of ours", best, times[0])


def integrated_gradients(subject: rw.Subject, rounds: int = 5) -> Iterator[Measured]:
    """One image, four baselines, 50 steps, against its passes alone and against captum."""
    plan, count = subject.plan, 4 * 51
    attribution = IntegratedGradients(Scored(subject, "logit"))
    image = subject.images[:1]
    bases = torch.cat([one(image[0], 0) for one in baselines(BASELINES, subject)])

    def captum(batch: int | None) -> Callable[[], object]:
        return lambda: attribution.attribute(
            image.expand(4, -1, -1, -1), bases, TARGET, n_steps=51, internal_batch_size=batch
        )

    ours = explaining(subject, Method("ig", steps=50), BASELINES)
    passes = passing(subject, count)
    spent = in_turns([passes, ours, captum(None), captum(plan.batch)], rounds)
    yield Measured(f"{count} forward and backward passes in batches of {plan.batch}", spent[0])
    yield Measured("integrated gradients that need these", spent[1])
    yield ratio("the latter in units of the former", spent[1], spent[0])
    yield ratio("captum in one batch, likewise", spent[2], spent[0])
    yield ratio(f"captum with internal_batch_size={plan.batch}, likewise", spent[3], spent[0])


def deletion(subject: rw.Subject, rounds: int = 5) -> Iterator[Measured]:
    """Curves of one image: four orders, both ways, two fills, 17 points, against their passes."""
    fills = baselines(("black", "blur"), subject)
    pixels = subject.images.shape[2] * subject.images.shape[3]
    made = Deletion(fills, fills, 17, "probability", pixels, subject.plan.batch)
    orders = random_ranks(RANDOM, pixels, 0, 0)
    count = RANDOM * 2 * 2 * 15
    images = subject.images[:1].expand(count, -1, -1, -1)

    def ours() -> None:
        for span in made.spans(len(orders)):
            made.part(subject, 0, TARGET, orders, span)

    spent = in_turns([lambda: subject.predict(images), ours], rounds)
    yield Measured(f"{count} forward passes", spent[0])
    yield Measured("deletion curves that need these", spent[1])
    yield ratio("the latter in units of the former", spent[1], spent[0])


def live(subject: rw.Subject, rounds: int = 7) -> Iterator[Measured]:
    """A whole call as the widget makes it, and how much of it is not passes."""
    slopes = passing(subject, 2 * 4 * (LIVE["steps"] + 1))
    orders = len(BASELINES) + RANDOM
    count = 1 + len(BASELINES) + 1 + orders * 2 * (LIVE["points"] - 2)
    images = subject.images[:1].expand(count, -1, -1, -1)

    def passes() -> None:
        slopes()
        subject.predict(images)

    spent = in_turns([passes, lambda: saliency(subject, **LIVE)], rounds)
    yield Measured(
        f"`rw.saliency` of one image, four baselines, {LIVE['steps']} steps, with all its controls",
        spent[1],
    )
    yield ratio("that in units of its passes", spent[1], spent[0])


def passing(subject: rw.Subject, count: int) -> Callable[[], object]:
    """What makes so many forward and backward passes in plain torch, of noise around an image.

    Noise, because passes over equal images would be the quicker ones.
    """
    plan, network = subject.plan, Scored(subject, "logit")
    noise = torch.rand(count, *subject.images.shape[1:], generator=torch.Generator())
    images = torch.lerp(subject.images[:1], noise, 0.5)
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format

    def passes() -> None:
        for part in images.split(plan.batch):
            inputs = part.clone(memory_format=layout).requires_grad_()
            torch.autograd.grad(network(inputs)[:, TARGET].sum(), inputs)

    return passes


def in_turns(works: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """CPU seconds of each work in several rounds, after one to warm up."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(1 + rounds):
        for work, spent in zip(works, times, strict=True):
            begun = process_time()
            work()
            if turn:
                spent.append(process_time() - begun)
    return times


def ratio(what: str, above: list[float], below: list[float]) -> Measured:
    return Measured(what, [a / b for a, b in zip(above, below, strict=True)], unit="")
