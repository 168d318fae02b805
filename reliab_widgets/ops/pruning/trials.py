"""Which layers lose filters together, found by trying which channels depend on which.

Slower than a graph of the operations, and blind to none of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.batching import memory_budget, out_of_memory
from ...core.network import Network
from .ties import CUT, NORMS, STAYS, Tie, channelwise, width

_ROWS = 20_000  # channels whose dependence is tried, a few seconds
_AT_ONCE = 32


class _Read(NamedTuple):
    """What a layer, a norm or the answer reads, channels first: (C, ...)."""

    table: str
    name: str
    values: Tensor


class _Made(NamedTuple):
    """The noise that a layer gave, and which axis its channels lie along."""

    name: str
    axis: int
    leaf: Tensor


def tried(network: Network, image: Tensor, order: Sequence[str], wanted: set[str]) -> list[Tie]:
    """Find which layers lose filters together, from the slopes of a pass of noise.

    What layers give is replaced by noise, so that what a channel depends on is what lies between
    it and the next layers. What one channel depends on, and what depends on one, goes together.

    Parameters
    ----------
    network : Network
        Is run with gradients; hooks come and go.
    image : Tensor
        (1, C, H, W).
    order : sequence of str
        All layers, as they run.
    wanted : set of str
        Those that are asked for; what is found goes with none but these.

    Examples
    --------
    >>> image = torch.rand(1, 1, 2, 2)
    >>> layers = nn.Conv2d(1, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 3, 4), nn.Flatten()
    >>> (tie,) = tried(Network(nn.Sequential(*layers), image), image, ["0", "2"], {"0"})
    >>> tie.outputs, tie.inputs
    ({'0': array([0, 0, 0, 0, 1, 1, 1, 1])}, {'2': array([0, 1])})
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    modules = dict(network.model.named_modules())
    try:
        made, read = _pass(network, image)
    except Exception as error:  # a network may need what its layers really give
        if out_of_memory(error):
            raise
        return []
    nodes = [("answer", "", 0)]
    first: dict[tuple[str, str], int] = {}

    def numbers(table: str, name: str, channels: np.ndarray) -> np.ndarray:
        if table == "answer":
            return 0 * channels
        if (table, name) not in first:
            first[table, name] = len(nodes)
            count = width(modules[name], table == "inputs")
            nodes.extend((table, name, channel) for channel in range(count))
        return first[table, name] + channels

    pairs = [np.zeros((2, 0), dtype=int)]
    near = [(one, layers) for one in read if (layers := _near(one, made, wanted))]
    known: dict[Any, list[tuple[np.ndarray, np.ndarray]]] = {}
    rows = {_kind(one, layers): len(one.values) for one, layers in near}
    if sum(rows.values()) > _ROWS:
        return []
    for one, layers in near:
        # Blocks of one kind are alike; whether that holds for these is tried in the end.
        if (kind := _kind(one, layers)) not in known:
            known[kind] = _dependent(one, layers)
        for (name, _, _), (channels, filters) in zip(layers, known[kind], strict=True):
            both = numbers(one.table, one.name, channels), numbers("outputs", name, filters)
            pairs.append(np.stack(both))
    for name in order:
        if channelwise(modules[name]):
            every = np.arange(width(modules[name]))
            pairs.append(np.stack([numbers(t, name, every) for t in ("inputs", "outputs")]))
    joined = np.concatenate(pairs, 1)
    graph = coo_matrix((np.ones(joined.shape[1]), tuple(joined)), (len(nodes), len(nodes)))
    _, unit = connected_components(graph, directed=False)
    units: dict[int, list[Any]] = defaultdict(list)
    for node in np.unique(joined):
        if unit[node] != unit[0]:  # what the answer depends on stays
            units[unit[node]].append(nodes[node])
    found = _ties(list(units.values()), modules, order)
    return [tie for tie in found if wanted.issuperset(tie.outputs)]


def _ties(units: list[list[Any]], modules: dict[str, Any], order: Sequence[str]) -> list[Tie]:
    """Sort units by the layers that make them."""
    together: list[tuple[set[str], list[Any]]] = []
    for unit in units:
        names = {name for table, name, _ in unit if table == "outputs"}
        if not names or not any(table == "inputs" for table, _, _ in unit):
            continue
        members = [unit]
        for one in [one for one in together if one[0] & names]:
            together.remove(one)
            names, members = names | one[0], one[1] + members
        together.append((names, members))
    found = []
    for names, members in together:
        first = min(names, key=order.index)

        def number(unit: list[Any], first: str = first) -> int:
            mine = [channel for table, name, channel in unit if (table, name) == ("outputs", first)]
            return min(mine, default=width(modules[first]))

        tie = Tie(len(members))
        for place, unit in enumerate(sorted(members, key=number)):
            for table, name, channel in unit:
                if table == "inputs" and channelwise(modules[name]):
                    continue
                nothing = np.full(width(modules[name], table == "inputs"), STAYS)
                getattr(tie, table).setdefault(name, nothing)[channel] = place
        found.append(tie)
    return sorted(found, key=lambda tie: min(map(order.index, tie.outputs)))


def _pass(network: Network, image: Tensor) -> tuple[list[_Made], list[_Read]]:
    """Return the noise that layers gave, with its channels' axis, and what was read."""
    generator = torch.Generator().manual_seed(0)
    made: list[_Made] = []
    read: list[_Read] = []

    def noise(name: str, axis: int) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            leaf = (
                torch.randn(output.shape, generator=generator, dtype=torch.float32)
                .to(output)
                .requires_grad_()
            )
            made.append(_Made(name, axis % leaf.ndim, leaf))
            return leaf.clone()  # what follows may work in place

        return hook

    def note(table: str, name: str, axis: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            x = inputs[0] if inputs else named["input"]
            read.append(_Read(table, name, x.clone().movedim(axis, 0)))

        return hook

    hooks = []
    for name, module in network.model.named_modules():
        axis = -1 if isinstance(module, nn.Linear) else 1
        if isinstance(module, CUT):
            hooks.append(module.register_forward_hook(noise(name, axis)))
        if isinstance(module, (*CUT, *NORMS)) or (
            isinstance(module, nn.PReLU) and module.num_parameters > 1
        ):
            table = "inputs" if isinstance(module, CUT) else "scales"
            hooks.append(
                module.register_forward_pre_hook(note(table, name, axis), with_kwargs=True)
            )
    try:
        with torch.inference_mode(False), torch.enable_grad():
            answer = network.logits(image)
            read.append(_Read("answer", "", answer.movedim(1, 0)))
    finally:
        for handle in hooks:
            handle.remove()
    return made, [one for one in read if one.values.requires_grad]


def _near(one: _Read, made: list[_Made], wanted: set[str]) -> list[_Made]:
    """Return what something read depends on, or nothing if that is nothing wanted."""
    leaves = [leaf for _, _, leaf in made]
    with torch.enable_grad():
        end = _weighted(one.values).sum()
    touched = torch.autograd.grad(end, leaves, retain_graph=True, allow_unused=True)
    near = [it for it, slope in zip(made, touched, strict=True) if slope is not None]
    return near if wanted.intersection(it.name for it in near) else []


def _kind(one: _Read, near: list[_Made]) -> Any:
    """Return what blocks that are alike have in common."""
    shapes = [(it.axis, tuple(it.leaf.shape), re.sub(r"\d+", "", it.name)) for it in near]
    return one.table, re.sub(r"\d+", "", one.name), tuple(one.values.shape), tuple(shapes)


def _weighted(values: Tensor) -> Tensor:
    """Add up each channel, weighted at random, so that slopes of places do not cancel."""
    generator = torch.Generator().manual_seed(1)
    rows = values.flatten(1)
    weights = torch.randn(rows.shape, generator=generator, dtype=torch.float32)
    return (rows * weights.to(rows)).sum(1)


def _dependent(one: _Read, near: list[_Made]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each layer near, pairs of a channel that was read and a filter it depends on."""
    with torch.enable_grad():
        sums = _weighted(one.values)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in near]
    needed = 64 * sum(it.leaf.nbytes for it in near)  # weights of attention among them
    step = max(1, min(_AT_ONCE, memory_budget(sums.device) // max(1, needed)))
    for start in (0, *range(1, len(sums), step)):
        picked = torch.eye(len(sums))[start : start + step if start else 1].to(sums)
        slopes = torch.autograd.grad(
            sums, [it.leaf for it in near], picked, retain_graph=True, is_grads_batched=True
        )
        felt = [
            slope.movedim(1 + it.axis, 1).flatten(2).any(2)
            for it, slope in zip(near, slopes, strict=True)
        ]
        if not start and all(bool(them.all()) for them in felt):
            # One channel depends on all filters: they go all together, whatever others depend on.
            return [_all_together(len(sums), them.shape[1]) for them in felt]
        for pairs, them in zip(found, felt, strict=True):
            rows, filters = them.nonzero().cpu().numpy().T
            pairs.append((start + rows, filters))
    both = [zip(*pairs, strict=True) for pairs in found]
    return [(np.concatenate(channels), np.concatenate(filters)) for channels, filters in both]


def _all_together(channels: int, filters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs that join all channels and all filters.

    Examples
    --------
    >>> _all_together(2, 3)
    (array([0, 0, 0, 0, 1]), array([0, 1, 2, 0, 0]))
    """
    pairs = [(0, it) for it in range(filters)] + [(it, 0) for it in range(channels)]
    first, second = np.array(pairs).T
    return first, second
