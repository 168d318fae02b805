"""`python -m benchmarks.shipped`: compute the results that lessons load, those that are missing.

A learner waits for none of them: they lie in `notebooks/results`, and each knows the lines that
compute it, `result.source`. Delete a file to have it computed anew.
"""

from collections.abc import Callable
from pathlib import Path

import reliab_widgets as rw

HOME = Path(__file__).parents[1] / "notebooks" / "results"
RESULTS: dict[str, Callable[[rw.Subject], rw.Result]] = {
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
}


if __name__ == "__main__":
    for name, compute in RESULTS.items():
        if not (path := HOME / f"{name}.npz").exists():
            print(compute(rw.demo("resnet20")).save(path), flush=True)
