"""What takes time without a browser."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from time import perf_counter, process_time

import torch

import reliab_widgets as rw
from reliab_widgets.core import drawing

from .measured import Measured

IMPORT = """
from time import perf_counter
import torch
begun = perf_counter()
import reliab_widgets as rw
rw.Subject, rw.reliability
print(perf_counter() - begun)
"""


def measure(subject: rw.Subject) -> Iterator[Measured]:
    """Everything that this file measures, one after the other."""
    yield from live(subject)
    yield from forward(subject)
    yield importing()


def live(subject: rw.Subject) -> Iterator[Measured]:
    """What one step of a slider costs the kernel, in CPU time of all its threads."""
    assert len(subject.logits) == 2000
    results = [
        rw.reliability(subject, method="temperature", temperature=1 + step / 20)
        for step in range(2)
    ]
    step, result, figure = iter(range(1, 1000)), cycle(results), drawing.Picture()
    given = timed(
        lambda: rw.reliability(subject, method="temperature", temperature=1 + next(step) / 100),
        process_time,
    )
    yield Measured("compute a reliability diagram, temperature given", given)
    fitted = timed(lambda: rw.reliability(subject, method="temperature"), process_time)
    yield Measured("compute a reliability diagram, temperature fitted", fitted)

    def draw() -> None:
        next(result).draw(figure)
        drawing.svg(figure, "benchmark", themed=True)

    yield Measured("draw it and write its SVG", timed(draw, process_time))


def forward(subject: rw.Subject) -> Iterator[Measured]:
    """All images through the network, against the loop that one would write by hand."""
    batch = subject.plan.batch
    mean, std = (torch.tensor(it)[:, None, None] for it in (subject.mean, subject.std))

    def loop() -> None:
        with torch.inference_mode():
            for images in subject.images.split(batch):
                subject.model((images - mean) / std)

    def evaluate() -> None:
        subject.with_images(subject.images, subject.labels).evaluate()

    times = [(timed(loop, perf_counter, 1), timed(evaluate, perf_counter, 1)) for _ in range(7)]
    by_hand, ours = ([it for one in column for it in one] for column in zip(*times, strict=True))
    yield Measured(f"plain torch loop over 2,000 images, batches of {batch}", by_hand)
    yield Measured("`Subject.evaluate` over the same", ours)
    ratio = [a / b for a, b in zip(ours, by_hand, strict=True)]
    yield Measured("the latter in units of the former", ratio, unit="")


def importing() -> Measured:
    """What the package adds to importing torch."""
    command = [sys.executable, "-c", IMPORT]
    added = [
        float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(7)
    ]
    return Measured("import added to importing torch", added)


def timed(work: Callable[[], object], clock: Callable[[], float], times: int = 30) -> list[float]:
    """Seconds of each of several runs."""
    spent = []
    for _ in range(times):
        begun = clock()
        work()
        spent.append(clock() - begun)
    return spent
