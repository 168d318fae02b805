"""Which layers lose filters together, found by torch-pruning's dependency graph."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from ...core.network import Network
from ...core.randomness import own_generators
from ...core.wording import one

# It warns of long chains of operations; whether it followed them is tried afterwards.
warnings.filterwarnings("ignore", module=r"torch_pruning\.")

STAYS = -1
"""Instead of a unit: this channel is never removed."""
CUT = (nn.Conv2d, nn.Linear)
"""Layers that lose filters."""
LOST = "its channels cannot be followed"
"""How the reason begins where the graph fails."""
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
"""Norms of each channel by itself."""
JOINT = (nn.LayerNorm, nn.RMSNorm)
"""Norms of all channels of a place together."""


@dataclass(eq=False)
class Tie:
    """Layers that lose filters together, by name, with the unit of each channel from 0, or -1.

    Parameters
    ----------
    size : int
        How many units there are.
    outputs, inputs, scales : dict of numpy.ndarray of int
        Of layers that make what goes, of those that read it, and of what treats every channel by
        itself: norms and the like, and parameters of the blocks, such as tables of places.
    reason : str
        Why it cannot be cut, or nothing.
    """

    size: int
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    scales: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""


def ties(network: Network, image: Tensor) -> tuple[list[Tie], dict[str, str]]:
    """Find which layers lose filters together, as far as a graph of the operations tells.

    Parameters
    ----------
    network : Network
        Is run with gradients; hooks come and go.
    image : Tensor
        (1, C, H, W).

    Returns
    -------
    list of Tie
        In the order in which they run.
    dict
        From the name of a layer to the reason why none of its filters can go.

    Notes
    -----
    Fang et al. 2023, "DepGraph: towards any structural pruning", arXiv 2301.12900.
    """
    network = network.copied(_followable, shared=True)
    modules = dict(network.model.named_modules())
    order = [name for name in network.trace(image) if isinstance(modules[name], CUT)]
    found: list[Tie] = []
    tied: dict[str, str] = {}
    scales = scaled(network.model)
    with _graph(network, image) as graph:
        if isinstance(graph, str):
            return [], dict.fromkeys(order, f"{LOST}: {graph}")
        for name in order:
            if name in tied or any(name in tie.outputs for tie in found):
                continue
            if modules[name] not in graph.module2node:  # its outputs are not needed
                tied[name] = "no layer reads its outputs"
                continue
            tie = _tie(graph, name, modules, scales)
            reason = tie.reason or why_not(tie, modules, order)
            if reason:
                tied |= dict.fromkeys(tie.outputs, reason)
            else:
                found.append(tie)
    for table in ("outputs", "inputs", "scales"):  # a channel that two claim is neither's
        claims: dict[tuple[str, int], Tie] = {}
        for tie in found:
            for name, units in getattr(tie, table).items():
                for channel in np.flatnonzero(units >= 0).tolist():
                    other = claims.setdefault((name, channel), tie)
                    if other is not tie:
                        for one in (tie, other):
                            one.reason = f"{LOST} to {name}"
    for tie in found:
        if tie.reason:
            tied |= dict.fromkeys(tie.outputs, tie.reason)
    return [tie for tie in found if not tie.reason], tied


def scaled(model: nn.Module) -> dict[str, Any]:
    """Return what treats every channel by itself, by name: norms, slopes, and bare parameters.

    Examples
    --------
    >>> list(scaled(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.PReLU())))
    ['1', '2']
    """
    found: dict[str, Any] = {}
    widths = {width(module) for module in model.modules() if isinstance(module, CUT)}
    for name, module in model.named_modules():
        if isinstance(module, (*NORMS, nn.PReLU)) or is_joint(module):
            found[name] = module
        elif not isinstance(module, (*CUT, nn.GroupNorm)) and not _is_torchs(module):
            above = f"{name}." if name else ""
            for key, parameter in module.named_parameters(recurse=False):
                # Else it is a table of something else, or one number for all channels.
                if parameter.ndim and width(parameter) in widths:
                    found[above + key] = parameter
    return found


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.partition(".")[0] == "torch"


def is_joint(module: Any) -> bool:
    """Tell whether this is a norm of all channels of a place together."""
    return isinstance(module, JOINT) and len(module.normalized_shape) == 1


def axis(parameter: Tensor) -> int:
    """Return the axis of a bare parameter that its channels lie along: the last longer than 1.

    Examples
    --------
    >>> axis(torch.zeros(1, 17, 8)), axis(torch.zeros(8, 1, 1))
    (2, 0)
    """
    return max((n for n, length in enumerate(parameter.shape) if length > 1), default=0)


def width(module: Any, inputs: bool = False) -> int:
    """Return how many channels a layer, a norm, a PReLU or a parameter has.

    Of a parameter those are the places along its axis, see `axis`.

    Examples
    --------
    >>> width(nn.Linear(3, 5)), width(nn.Linear(3, 5), inputs=True)
    (5, 3)
    """
    if isinstance(module, Tensor):
        return module.shape[axis(module)]
    if is_joint(module):
        return int(module.normalized_shape[0])
    if isinstance(module, nn.Linear):
        return module.in_features if inputs else module.out_features
    if isinstance(module, nn.Conv2d):
        return module.in_channels if inputs else module.out_channels
    return module.num_parameters if isinstance(module, nn.PReLU) else module.num_features


def channelwise(module: nn.Module) -> bool:
    """Tell whether each output of a convolution sees one input (depthwise convolutions).

    Examples
    --------
    >>> channelwise(nn.Conv2d(4, 4, 3, groups=4)), channelwise(nn.Conv2d(4, 4, 3, groups=2))
    (True, False)
    """
    groups = getattr(module, "groups", 1)
    return groups > 1 and groups == getattr(module, "in_channels", 0) == module.out_channels


def _followable(model: nn.Module) -> None:
    """Let gradients flow to parameters that no layer has: the graph finds them by that."""
    made: dict[int, nn.Parameter] = {}
    for name, part in scaled(model).items():
        if isinstance(part, nn.Parameter):
            above, _, key = name.rpartition(".")
            own = made.setdefault(id(part), nn.Parameter(part.detach()))
            setattr(model.get_submodule(above), key, own)


@contextmanager
def _graph(network: Network, image: Tensor) -> Iterator[Any]:
    """Trace a network, or say why not; gradients are on, generators untouched."""

    def run(model: nn.Module, image: Tensor) -> list[Tensor]:
        inputs = network.normalised(image).requires_grad_()
        made: list[Tensor] = []  # heads that nobody asks for read channels too
        hooks = [
            module.register_forward_hook(lambda _m, _i, output: made.append(output))
            for module in model.modules()
            if isinstance(module, CUT)
        ]
        try:
            answer = network.pick(model(inputs), len(image))
        finally:
            for hook in hooks:
                hook.remove()
        return [answer, *(output for output in made if output.requires_grad)]

    with torch.inference_mode(False), torch.enable_grad(), own_generators():
        graph = torch_pruning.DependencyGraph()
        try:
            graph.build_dependency(
                network.model,
                image,
                forward_fn=run,
                customized_pruners={nn.RMSNorm: torch_pruning.function.LayernormPruner()},
                verbose=False,
            )
        except Exception as error:  # whatever a network does that the graph does not know
            yield f"torch-pruning stopped with {type(error).__name__}: {error}"
            return
        try:
            yield graph
        finally:
            # Nodes know each other and their layers: as a ring, all would wait for the collector,
            # which counts objects and not how large they are.
            for node in graph.module2node.values():
                vars(node).clear()


def _tie(graph: Any, root: str, modules: dict[str, nn.Module], scales: dict[str, Any]) -> Tie:
    """Return all that goes with the filters of one layer."""
    parts = modules | scales
    names = {part: name for name, part in parts.items()}
    alone = Tie(0, outputs={root: np.full(width(modules[root]), STAYS)})
    layers = [module for module in modules.values() if isinstance(module, CUT)]
    most = max(width(module, inputs) for module in layers for inputs in (False, True))
    joined = list(range(width(modules[root])))

    def unit(channel: int) -> int:
        while joined[channel] != channel:
            channel = joined[channel]
        return channel

    def join(one: int, other: int) -> None:
        a, b = unit(one), unit(other)
        joined[max(a, b)] = min(a, b)

    tables: dict[str, dict[str, dict[int, int]]] = {
        table: defaultdict(dict) for table in ("outputs", "inputs", "scales")
    }
    for node, handler, idxs in _reached(graph, modules[root], most, join):
        module = node.module
        if isinstance(module, CUT):
            reads = graph.is_in_channel_pruning_fn(handler) and not channelwise(module)
            table = "inputs" if reads else "outputs"
        elif names.get(module) in scales:
            table = "scales"
            if isinstance(module, nn.PReLU) and module.num_parameters == 1:
                continue  # one slope for all
        else:
            alone.reason = alone.reason or _tied_to(node, names)
            continue
        known, end = tables[table][names[module]], width(module, table == "inputs")
        for channel, start in idxs:
            if start is None or not 0 <= channel < end:
                alone.reason = f"{LOST} to {names[module]}"
                continue
            # What one channel depends on goes together: the factors of a product, for instance.
            join(known.setdefault(channel, start), start)
    number = {top: n for n, top in enumerate(sorted({unit(start) for start in joined}))}
    tie = Tie(len(number), reason=alone.reason)
    for table, entries in tables.items():
        for name, channels in entries.items():
            units = np.full(width(parts[name], table == "inputs"), STAYS)
            for channel, start in channels.items():
                units[channel] = number[unit(start)]
            getattr(tie, table)[name] = units
    return tie


def _reached(
    graph: Any, root: nn.Module, most: int, join: Callable[[int, int], None]
) -> Iterator[tuple[Any, Any, list[_Place]]]:
    """Follow the filters of a layer through the graph: what they reach, and how.

    Yields nodes, which side of them is meant, and pairs of a channel there and the filter that it
    comes from. A channel is followed once: filters that meet in it are joined, and from there on
    reach the same. Channels above ``most`` are none: a loop of the graph's may count up for ever.
    """
    first = [_Place(channel, channel) for channel in range(width(root))]
    cutting = graph.get_pruner_of_module(root).prune_out_channels
    stack = [(graph.module2node[root], cutting, first)]
    seen: dict[Any, dict[int, Any]] = defaultdict(dict)
    seen[root, cutting].update(first)
    while stack:
        node, side, known = stack.pop()
        yield node, side, known
        for edge in node.dependencies:
            if edge.is_triggered_by(side):
                met, new = seen[edge.target.module, edge.handler], []
                for channel, start in _mapped(edge.index_mapping, known, most):
                    if channel not in met:
                        met[channel] = start
                        new.append(_Place(channel, start))
                    elif None not in (met[channel], start):
                        join(met[channel], start)
                if new:
                    stack.append((edge.target, edge.handler, new))


def _mapped(mappings: Any, known: list[_Place], most: int) -> Iterator[_Place]:
    """Return the channels that some channels are on the other side of an edge."""
    mappings = [mapping for mapping in mappings if mapping is not None]
    there: Any = known
    for mapping in mappings:
        # One that makes many of each: in networks with windows, nearly all of them above most.
        many = 1 if getattr(mapping, "reverse", True) else getattr(mapping, "_stride", 1)
        if many > 1 and mapping is mappings[-1]:
            there = [it for it in there if it.idx * many <= most]
        there = mapping(there)
    return (it for it in there if it.idx <= most)


class _Place(NamedTuple):
    """A channel, and the filter that it comes from; named as torch-pruning's mappings expect."""

    idx: int
    root_idx: int


def _tied_to(node: Any, names: dict[nn.Module, str]) -> str:
    if node.type.name == "OUTPUT":
        return "tied to the answer"
    if isinstance(node.module, nn.Parameter):
        return "tied to a parameter outside of all layers"
    if node.module not in names:
        return ""
    return f"tied to {names[node.module]}, {one(type(node.module).__name__)}"


def why_not(tie: Tie, modules: dict[str, nn.Module], order: list[str]) -> str:
    """Say why something cannot be cut, or nothing."""
    if not tie.inputs:
        last = order[-1] in tie.outputs
        return "its outputs are the answer" if last else "no layer reads its outputs"
    for name in (*tie.outputs, *tie.inputs):
        if name not in order:
            return f"tied to {name}, which does not run as a module"
        groups = getattr(modules[name], "groups", 1)
        if groups > 1 and not channelwise(modules[name]):
            return f"tied to {name}, a convolution in {groups} groups"
    owners: dict[int, str] = {}
    for name, module in modules.items():
        for parameter in module.parameters(recurse=False):
            other = owners.setdefault(id(parameter), name)
            if other != name and {other, name} & {*tie.outputs, *tie.inputs, *tie.scales}:
                return f"{name} and {other} share their weights"
    if tie.size == 1:
        return "its filters only go all together"
    return ""
