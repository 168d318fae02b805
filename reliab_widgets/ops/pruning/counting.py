"""What a network computes for one image: at how many places, and with how many multiply-adds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ...core.network import Network
from .ties import CUT


def places(network: Network, image: Tensor) -> dict[str, int]:
    """Count at how many places of an image each layer is evaluated, all its uses together.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> places(Network(model, torch.rand(1, 1, 4, 4)), torch.rand(1, 1, 4, 4))
    {'0': 16}
    """
    found: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            width = output.shape[1] if isinstance(module, nn.Conv2d) else output.shape[-1]
            found[name] = found.get(name, 0) + output.numel() // width

        return hook

    with network.lock, torch.inference_mode(False), torch.no_grad():
        hooks = [
            module.register_forward_hook(note(name))
            for name, module in network.model.named_modules()
            if isinstance(module, CUT)
        ]
        try:
            network.logits(image)
        finally:
            for hook in hooks:
                hook.remove()
    return found


def operations(network: Network, image: Tensor) -> int:
    """Count the multiply-adds of a (1, C, H, W) image, those of attention and functions too.

    Examples
    --------
    >>> network = Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.rand(1, 1, 2, 2))
    >>> operations(network, torch.rand(1, 1, 2, 2))
    12
    """
    counter = _Counter()
    # With gradients every fused operation falls apart into those that have a formula.
    with torch.inference_mode(False), torch.enable_grad(), counter:
        network.logits(image.clone().requires_grad_())
    return counter.total // 2


class _Counter(TorchDispatchMode):
    """Counts what torch has a formula for, in this thread; a multiply-add counts two."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler: 2 s and 150 MB, for nothing

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if str(packet).endswith("flash_attention_for_cpu"):  # torch has the formula for GPUs only
            q, k, v = (it.shape for it in args[:3])
            self.total += 2 * q[:3].numel() * k[2] * (q[3] + v[3])
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=output)
        return output
