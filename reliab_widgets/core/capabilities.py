"""What can be done with a model: which analyses work on it, which do not, and why."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .batching import memory_budget
from .network import Network


@dataclass(frozen=True)
class Report:
    """What a Subject's network allows.

    Attributes
    ----------
    gradients : bool
        Whether logits can be differentiated with respect to the pixels: one backward pass was made.
    blocked : str
        Why not; empty if they can.
    output : str
        What the model gives: "logits", "probabilities", "one logit" or "one probability".
    conv_layers, hookable_layers, prunable_layers : tuple of str
        Names of the two-dimensional convolutions, of all layers that run and give one tensor, and
        of those whose filters or units can be removed (all but the one that makes the logits).
    parameters : int
        How many numbers the model has learnt.
    batch, threads : int
        How many images a pass takes, on how many CPU threads.
    memory_format : str
        "contiguous" or "channels_last".
    memory_budget : int
        What a batch may take, in bytes.
    notes : tuple of str
        What was adapted.
    """

    gradients: bool
    blocked: str
    output: str
    conv_layers: tuple[str, ...]
    hookable_layers: tuple[str, ...]
    prunable_layers: tuple[str, ...]
    parameters: int
    batch: int
    threads: int
    memory_format: str
    memory_budget: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        layers = (
            ("conv layers", self.conv_layers, "no torch.nn.Conv2d runs: no class activation maps"),
            ("hookable layers", self.hookable_layers, "no named layer runs: nothing inside to see"),
            ("prunable layers", self.prunable_layers, "none but the one that makes the logits"),
        )
        blocked = f"{self.blocked}; attacks need them, most of saliency and pruning too"
        lines = [
            _line(self.gradients, "gradients", "" if self.gradients else blocked),
            _line(True, "logits", "" if self.output == "logits" else f"made from {self.output}"),
            *(_line(bool(n), word, str(len(n)) if n else reason) for word, n, reason in layers),
            f"  {self.parameters:,} parameters; batches of {self.batch}, {self.memory_format}, "
            f"{self.threads} thread{'s' * (self.threads > 1)}, at most "
            f"{self.memory_budget / 1e6:.0f} MB",
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def _line(works: bool, what: str, detail: str) -> str:
    return f"{'✓' if works else '✗'} {what}" + (f": {detail}" if detail else "")


def report(network: Network, image: Tensor, notes: tuple[str, ...]) -> Report:
    """Look at what runs when a (1, C, H, W) image passes through the network."""
    modules = dict(network.model.named_modules())
    ran = [name for name in network.trace(image) if name]
    heavy = [name for name in ran if _has_own_filters(modules[name])]
    plan = network.plan(tuple(image.shape[1:]))
    return Report(
        gradients=network.gradients,
        blocked=network.blocked,
        output=network.kind,
        conv_layers=tuple(name for name in ran if isinstance(modules[name], nn.Conv2d)),
        hookable_layers=tuple(ran),
        prunable_layers=tuple(heavy[:-1]),
        parameters=sum(parameter.numel() for parameter in network.model.parameters()),
        batch=plan.batch,
        threads=plan.threads,
        memory_format="channels_last" if plan.channels_last else "contiguous",
        memory_budget=memory_budget(network.device),
        notes=notes,
    )


def _has_own_filters(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):  # those of a depthwise convolution go with the layer before
        return not module.groups == module.in_channels > 1
    return isinstance(module, nn.Linear)
