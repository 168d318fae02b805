"""`python -m benchmarks.shipped`: compute the results that lessons load, those that are missing.

A learner waits for none of them: they lie in `notebooks/results`, and each knows the lines that
compute it, `result.source`; of certificates `proved` does. Delete a file to have it computed anew.
"""

from collections.abc import Callable
from pathlib import Path

import reliab_widgets as rw
from reliab_widgets.core.result import Record

HOME = Path(__file__).parents[1] / "notebooks" / "results"


def louder(subject: rw.Subject) -> rw.Subject:
    """Multiply the logits by 30: the same answers, and nothing left of the usual loss."""
    code = f"{subject.code}.on({subject.code}.network.divided(1 / 30))"
    return subject.on(subject.network.divided(1 / 30), name=f"{subject.name} x 30", code=code)


def withstood(subject: rw.Subject) -> Record:
    """Attack along the cross-entropy as it is, and in two ways that it cannot mislead."""
    usual = [f"{attack}:cross-entropy" for attack in ("fgsm", "bim", "pgd")]
    return rw.robustness(
        subject,
        attacks=(*usual, "pgd:margin", "square"),
        epsilons=(1 / 255, 2 / 255, 4 / 255, 8 / 255),
        steps=10,
        queries=100,
        images=64,
    )


def steep(subject: rw.Subject) -> Record:
    """Look around one image that all three networks get right."""
    return rw.landscape(subject, index=2, points=21, steps=10, restarts=1, epsilon=2 / 255)


def proved(name: str) -> Record:
    """Smooth a network, and prove what 500 draws can."""
    return rw.certify(rw.demo(name), images=32, draws=500, select=50)


RESULTS: dict[str, Callable[[rw.Subject], Record]] = {
    "attacked": lambda subject: rw.propagation(subject, images=100, correct_only=True),
    "behind-pixel": lambda subject: rw.propagation(
        subject, denoiser="pixel", images=100, correct_only=True
    ),
    "behind-guided": lambda subject: rw.propagation(
        subject, denoiser="guided", images=100, correct_only=True
    ),
    "pruned": lambda subject: rw.pruning(
        subject,
        levels=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
        images=256,
        calibration_images=200,
        explain=4,
    ),
    "network-A": withstood,
    "network-B": lambda subject: withstood(louder(subject)),
    "network-C": lambda subject: withstood(rw.demo("resnet20-robust")),
    "steep-A": steep,
    "steep-B": lambda subject: steep(louder(subject)),
    "steep-C": lambda subject: steep(rw.demo("resnet20-robust")),
    "proved-plain": lambda subject: proved("resnet20"),
    "proved-noise": lambda subject: proved("resnet20-noise"),
}


if __name__ == "__main__":
    for name, compute in RESULTS.items():
        if not (path := HOME / f"{name}.npz").exists():
            print(compute(rw.demo("resnet20")).save(path), flush=True)
