"""What can be done with a model: which analyses work on it, which do not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .batching import memory_budget

if TYPE_CHECKING:
    from .subject import Subject

_NAMED = 3


@dataclass(frozen=True)
class Allowed:
    """What a network allows one analysis.

    Attributes
    ----------
    layers : tuple of str
        Names of those that it would look into or change if none are asked for, as they run.
    refused : dict
        From a method that it cannot have, or a layer that it leaves alone, to the reason.
    impossible : str
        Why it cannot be made at all; empty if it can.
    """

    layers: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    impossible: str = ""


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
    analyses : dict
        From the word of each analysis to what it is allowed.
    parameters : int
        How many numbers the model has learnt.
    batch, threads : int
        How many images a pass takes, on how many CPU threads; 0 where there is no network.
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
    analyses: Mapping[str, Allowed]
    parameters: int
    batch: int
    threads: int
    memory_format: str
    memory_budget: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        blocked = f"{self.blocked}; attacks need them, most of saliency and pruning too"
        lines = [
            _line(self.gradients, "gradients", "" if self.gradients else blocked),
            _line(True, "logits", "" if self.output == "logits" else f"made from {self.output}"),
        ]
        for word, allowed in self.analyses.items():
            works = not allowed.impossible
            lines.append(_line(works, word, allowed.impossible or _span(allowed.layers)))
            for reason in dict.fromkeys(allowed.refused.values()):
                without = [name for name, why in allowed.refused.items() if why == reason]
                lines.append(f"    without {_some(without)}: {reason}")
        if self.batch:
            lines.append(
                f"  {self.parameters:,} parameters; batches of {self.batch}, {self.memory_format}, "
                f"{self.threads} thread{'s' * (self.threads > 1)}, at most "
                f"{self.memory_budget / 1e6:.0f} MB"
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _line(works: bool, what: str, detail: str) -> str:
    return f"{'✓' if works else '✗'} {what}" + (f": {detail}" if detail else "")


def _span(layers: tuple[str, ...]) -> str:
    if len(layers) < 2:
        return "".join(layers)
    return f"{len(layers)} layers, {layers[0]} to {layers[-1]}"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def report(subject: Subject, analyses: Mapping[str, Allowed]) -> Report:
    """Say what a Subject's network allows, given what it allows each analysis."""
    network, known = subject.network, not subject.network.recorded
    plan = subject.plan if known else None
    return Report(
        gradients=network.gradients,
        blocked=network.blocked,
        output=network.kind,
        analyses=dict(analyses),
        parameters=sum(it.numel() for it in network.model.parameters()) if known else 0,
        batch=plan.batch if plan else 0,
        threads=plan.threads if plan else 0,
        memory_format="channels_last" if plan and plan.channels_last else "contiguous",
        memory_budget=memory_budget(network.device),
        notes=subject.notes,
    )
