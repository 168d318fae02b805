"""Passes outside of batches run on as many threads as those within: on a busy machine on one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets.core import network
from reliab_widgets.core.batching import Plan

SEEN: list[int] = []


class Noting(torch.autograd.Function):
    """Hands on what it is given, and notes how many threads torch has on the way and back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        SEEN.append(torch.get_num_threads())
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        SEEN.append(torch.get_num_threads())
        return slope


class Net(nn.Module):
    """Two convolutions and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(Noting.apply(x))))
        return self.last(torch.relu(self.second(x)).mean((2, 3)))


CALLS: dict[str, Callable[[rw.Subject], object]] = {
    "saliency": lambda it: rw.saliency(it, steps=4, points=3),
    "gradcam": lambda it: rw.saliency(it, method="gradcam", points=3),
    "rise": lambda it: rw.saliency(it, method="rise", masks=8, points=3),
    "propagation": lambda it: rw.propagation(it, steps=2, correct_only=False),
    "pruning": lambda it: rw.pruning(it, levels=(0.5,), calibration_images=4),
    "oracle": lambda it: rw.oracle(it[:2]),
    "robustness": lambda it: rw.robustness(it, attacks="fgsm", epsilons=(0.1,)),
    "landscape": lambda it: rw.landscape(it, points=11, steps=1, restarts=1),
    "universal": lambda it: rw.universal(it, images=4),
    "untrained": rw.untrained,
    "reliability": rw.reliability,
    "report": lambda it: it.report(),
}


@pytest.mark.parametrize("call", CALLS)
def test_all_passes_run_on_the_threads_of_the_plan(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "probe", lambda *_: Plan(4, threads=1))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(0)
        subject = rw.Subject(Net().eval(), torch.rand(12, 3, 8, 8), torch.arange(12) % 3)
        SEEN.clear()
        CALLS[call](subject)
    finally:
        torch.set_num_threads(before)
    assert SEEN and set(SEEN) == {1}
