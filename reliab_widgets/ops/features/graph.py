"""The autograd graph of a pass: which path meets most layers, and what leads around them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...core.network import Network
from .layers import Layer
from .plan import Plan
from .steps import watching

_FOUND: WeakKeyDictionary[Network, dict[Any, Plan]] = WeakKeyDictionary()


def plan(network: Network, image: Tensor, layers: Sequence[Layer]) -> Plan:
    """Pass an image (1, C, H, W) through a network and see how its layers hang together.

    Parameters
    ----------
    network : Network
        Of a Subject. One that blocks gradients shows nothing: its layers then stand in a row.
    image : Tensor
        ``(1, C, H, W)``.
    layers : sequence of Layer
        What `reliab_widgets.ops.features.layers.find` found.

    Returns
    -------
    Plan

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.features.layers import find
    >>> subject = rw.demo("resnet20")
    >>> found, _ = find(subject.network, subject.images[:1])
    >>> drawn = plan(subject.network, subject.images[:1], found)
    >>> drawn.arcs[:2].tolist(), drawn.place[drawn.beside].tolist()
    ([[1, 3], [3, 5]], [8.5, 14.5])
    """
    known = _FOUND.setdefault(network, {})
    key = (tuple(image.shape[1:]), tuple(layers))
    if key not in known:
        known[key] = _plan(network, image, layers)
    return known[key]


def _plan(network: Network, image: Tensor, layers: Sequence[Layer]) -> Plan:
    nodes: dict[tuple[str, int], Any] = {}
    slopes = network.gradients
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        watching(
            network.model,
            lambda step: nodes.setdefault((step.name, step.use), step.output.grad_fn),
            {layer.module for layer in layers},
        ),
    ):
        start = image.clone().requires_grad_(slopes)
        logits = network.logits(start)
    mine = [nodes.get((layer.module, layer.use)) for layer in layers]
    found = _Ways(logits.grad_fn, start, {it for it in mine if it is not None})
    place = np.zeros(len(layers))
    beside = np.array([node is not None and node not in found.place for node in mine], dtype=bool)
    beside |= np.array([node is None for node in mine], dtype=bool) & bool(found.place)
    place[~beside] = np.arange(1, (~beside).sum() + 1)
    where = {node: k for k, node in enumerate(mine) if node is not None}
    arcs: dict[tuple[int, int], list[int]] = {}
    for first, last, passed in found.ways():
        arcs.setdefault((first, last), []).extend(where[node] for node in passed)
    for (first, last), members in arcs.items():
        for number, k in enumerate(sorted(set(members)), 1):
            place[k] = first + 0.5 + (last - first) * number / (len(set(members)) + 1)
    for k in np.flatnonzero(beside & (place == 0)).tolist():  # what no answer reads
        place[k] = place[: k + 1].max() + 0.5
    return Plan(
        names=tuple(layer.name for layer in layers),
        sizes=np.array([_size(layer.shape) for layer in layers]).reshape(-1, 3),
        place=place,
        beside=beside,
        arcs=np.array(sorted(arcs), dtype=int).reshape(-1, 2),
    )


def _size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 3:
        first, second, third = shape
        last = first == second != third  # so channels are the last axis
        return (third, first, second) if last else (first, second, third)
    return (shape[-1], shape[0] if len(shape) == 2 else 1, 1)


class _Ways:
    """The path through an autograd graph that meets most layers, and what leads around them."""

    def __init__(self, end: Any, start: Tensor, counted: Collection[Any]) -> None:
        self._start, self._counted = start, counted
        lengths: dict[Any, int] = {}
        self._before: dict[Any, Any] = {}
        path = _longest_path(end, counted, lengths, self._before)
        self.place = {node: lengths[node] for node in path}

    def ways(self) -> list[tuple[int, int, list[Any]]]:
        """Return where each begins and ends, and the layers that it meets."""
        found = []
        for join, last in self.place.items():
            last -= join in self._counted
            for node, _ in join.next_functions:
                if node is None or node is self._before[join]:
                    continue
                begun, passed = self._followed(node)
                if begun and (passed or min(begun) < last):
                    found.append((min(begun), last, passed))
        return found

    def _followed(self, node: Any) -> tuple[list[int], list[Any]]:
        """Go back to the main path; say where it is met, and which layers are met before."""
        begun, passed, seen, stack = [], [], {node}, [node]
        while stack:
            node = stack.pop()
            if node in self.place:
                begun.append(self.place[node])
                continue
            if getattr(node, "variable", None) is self._start:
                begun.append(0)
            if node in self._counted:
                passed.append(node)
            for it, _ in node.next_functions:
                if it is not None and it not in seen:
                    seen.add(it)
                    stack.append(it)
        return begun, passed


def _longest_path(
    end: Any, counted: Collection[Any], lengths: dict[Any, int], before: dict[Any, Any]
) -> set[Any]:
    """Return the autograd nodes of the path to ``end`` that meets most of the counted ones.

    Parameters
    ----------
    end : node or None
        Where gradients come from.
    counted : collection of nodes
        What is counted.
    lengths, before : dict
        Filled: for each node the most that a path to it meets, and the node it comes from.
    """
    stack = [end] if end is not None else []
    while stack:
        node = stack[-1]
        inputs = [it for it, _ in node.next_functions if it is not None]
        waiting = [it for it in inputs if it not in lengths]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        best = max(inputs, key=lengths.__getitem__, default=None)
        before[node] = best
        lengths[node] = (0 if best is None else lengths[best]) + (node in counted)
    path = set()
    while end is not None:
        path.add(end)
        end = before[end]
    return path
