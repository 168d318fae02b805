"""Global settings of the caller: everything works under them, with the same numbers."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import reliab_widgets as rw
from reliab_widgets import Subject


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    before = torch.get_default_device()
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(before)


@contextmanager
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def detecting() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this is slow
        mode = torch.autograd.detect_anomaly()
    with mode:
        yield


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64 by default": default_dtype,
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "deterministic algorithms": deterministic,
    "warnings are errors": warnings_are_errors,
    "anomalies are detected": detecting,
    "meta device by default": lambda: default_device("meta"),
    "numpy raises": lambda: np.errstate(all="raise"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.fixture(scope="module")
def given() -> tuple[nn.Module, torch.Tensor]:
    """A network and images, from before the settings were made."""
    generator = torch.Generator().manual_seed(0)
    layers = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)).eval()
    for it in model.parameters():
        it.data = torch.randn(it.shape, generator=generator) / max(1, it[0].numel()) ** 0.5
    return model, torch.rand(24, 3, 12, 12, generator=generator)


def everything(given: tuple[nn.Module, torch.Tensor], folder: Path) -> dict[str, Any]:
    """What every public function gives, as arrays."""
    whole = Subject(*given, [k % 3 for k in range(24)], name="small")
    small = whole[:16].with_validation(whole[16:])
    found: dict[str, Any] = {
        "logits": small.logits.numpy(),
        "predicted": small.predict(small.images[:3]).numpy(),
        "report": np.array([len(one.layers) for one in small.report().analyses.values()]),
    }
    calibrated = rw.reliability(small, method="temperature", bins=5)
    found["reliability"] = calibrated.metrics_after
    for method in ("ig", "gradcam", "occlusion", "rise", "smoothgrad", "expected-gradients"):
        few: dict[str, Any] = {"steps": 4, "masks": 20, "points": 3, "fills": "mean"}
        made = rw.saliency(small, method=method, baselines="black", score="logit", **few)
        found[method], found[f"{method}, untrained"] = made.maps, made.untrained
    spread = rw.propagation(small, images=4, steps=2, correct_only=False)
    found["propagation"] = spread.distance
    for attack in ("fgsm", "pgd", "deepfool"):
        found[attack] = rw.attack(small[:4], attack=attack, steps=3).images.numpy()
    found["universal"] = rw.universal(small, images=4, share=0.3).pattern
    found["smallest epsilon"] = rw.smallest_epsilon(small[:2], steps=2).epsilon
    spread = rw.transfer(small[:4], steps=2, ghost=0.2)
    found["transfer"] = spread.answers.astype(float)
    found["certificate"] = rw.certify(small[:2], draws=20, select=10).counts
    pruned = rw.pruning(small, levels=(0.3,), explain=1)
    found["pruning"], found["drift"] = pruned.logits, pruned.drift
    found["oracle"] = rw.oracle(small[:2]).change
    found["untrained"] = rw.untrained(small).logits.numpy()
    table = rw.grid(rw.reliability, small, bins=[3, 4], table=rw.Reliability.summary)
    found["grid"] = table["after"].to_numpy(dtype=float)
    again = rw.load(calibrated.save(folder / "result.npz"))
    found["loaded"] = again.metrics_after
    return found


@pytest.fixture(scope="module")
def usual(
    given: tuple[nn.Module, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return everything(given, tmp_path_factory.mktemp("usual"))


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_works_with_the_same_numbers(
    given: tuple[nn.Module, torch.Tensor], usual: dict[str, Any], setting: str, tmp_path: Path
) -> None:
    with SETTINGS[setting]():
        seen = everything(given, tmp_path)
    assert seen.keys() == usual.keys()
    for name, expected in usual.items():
        np.testing.assert_allclose(seen[name], expected, rtol=1e-3, atol=1e-4, err_msg=name)
