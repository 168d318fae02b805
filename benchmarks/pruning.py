"""What pruning costs, in units of the passes that it needs."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import reliab_widgets as rw
from reliab_widgets.analyses.pruning.compute import LEVELS
from reliab_widgets.ops.pruning.gates import Gates
from reliab_widgets.ops.pruning.importance import BATCH, importance
from reliab_widgets.ops.pruning.structure import cut, structure
from reliab_widgets.ops.pruning.sweep import CONTROLS

from .measured import Measured
from .propagation import compare

RANKED = 200
REPORTED = 512
ALONE = 50  # images that units are removed on, one at a time


def measure(subject: rw.Subject) -> Iterator[Measured]:
    """Everything that this file measures, in CPU time of all threads."""
    yield from scores(subject)
    yield from oracle(subject)
    yield from sweep(subject)


def scores(subject: rw.Subject) -> Iterator[Measured]:
    """Scores of all units, against forward and backward passes down to the pixels."""
    assert subject.validation is not None
    ranked, found = subject.validation[:RANKED], structure(subject)

    def plain() -> None:
        for start in range(0, RANKED, BATCH):
            images = ranked.images[start : start + BATCH].clone().requires_grad_()
            labels = ranked.labels[start : start + BATCH]
            cross_entropy(subject.network.logits(images), labels).backward()

    yield from compare(
        f"forward and backward passes of {RANKED} images in batches of {BATCH}",
        plain,
        {
            f"Taylor scores of all {len(found)} units on them": lambda: importance(
                ranked, found, "taylor"
            )
        },
        rounds=9,
    )


def oracle(subject: rw.Subject) -> Iterator[Measured]:
    """Every unit removed alone, against running the whole network for each."""
    some, found = subject[:ALONE], structure(subject)
    gates = Gates(some, found)

    def whole() -> None:
        with torch.no_grad():
            for unit in range(len(found)):
                open = torch.ones(len(found))
                open[unit] = 0
                gates.logits(some.images, open)

    yield from compare(
        f"the whole network on {ALONE} images without each of {len(found)} units",
        whole,
        {"`rw.oracle` of the same": lambda: rw.oracle(some)},
        rounds=3,
    )


def sweep(subject: rw.Subject) -> Iterator[Measured]:
    """`rw.pruning` at nine levels, against the forward passes of the networks that it makes."""
    assert subject.validation is not None
    few = {"images": REPORTED, "calibration_images": RANKED}
    result = rw.pruning(subject, **few)
    found, ranked = structure(subject), subject.validation[:RANKED]
    reported = subject[result.index]
    networks = [
        cut(reported, found, removed).network for series in result.removed for removed in series[1:]
    ]
    batch = subject.plan.batch

    def plain() -> None:
        with torch.no_grad():
            for network in [reported.network, *networks]:
                for images in (reported.images, ranked.images):
                    for start in range(0, len(images), batch):
                        network.logits(images[start : start + batch])

    assert len(networks) == len(LEVELS) * (1 + CONTROLS)
    assert np.isfinite(result.accuracy).all()
    yield from compare(
        f"forward passes of {REPORTED} + {RANKED} images through {1 + len(networks)} networks",
        plain,
        {"`rw.pruning`, everything in it": lambda: rw.pruning(subject, **few)},
        rounds=3,
    )
