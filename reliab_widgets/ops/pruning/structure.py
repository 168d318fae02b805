"""Which filters of a network can be removed, which only together, and the network without them.

The ties are found by torch-pruning's dependency graph, which also cuts. A *unit* is what can be
removed alone: one filter, or one filter of each of several layers whose outputs are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...core.network import Network
from ...core.randomness import own_generators
from ...core.subject import Subject, check_subject
from ...core.wording import problem
from .gates import Gates

STAYS = -1
"""Instead of a unit: this channel is never removed."""
_CUT = (nn.Conv2d, nn.Linear)
_SCALES = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.PReLU)
_FOUND: WeakKeyDictionary[Network, dict[tuple[int, ...], Structure]] = WeakKeyDictionary()
_CLOSE = 1e-4  # logits of the masked and of the cut network, relative to the largest


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer: what it costs, and whose outputs and inputs can go.

    Parameters
    ----------
    name : str
        Of the module.
    outputs, inputs : numpy.ndarray of int
        The unit of each output and of each input channel, or -1.
    channelwise : bool
        Whether each output sees the input of its own unit only (depthwise convolutions).
    kernel : int
        Weights for each pair of an input and an output; of a grouped convolution their mean.
    bias : bool
        Whether each output has a bias.
    places : int
        At how many places of one image it is evaluated.
    """

    name: str
    outputs: np.ndarray
    inputs: np.ndarray
    channelwise: bool
    kernel: float
    bias: bool
    places: int


@dataclass(frozen=True)
class Structure:
    """The units of a network.

    Parameters
    ----------
    layers : tuple of Layer
        All convolutions and linear layers, in the order in which they run.
    groups : tuple of tuple of str
        Names of layers that lose a filter together, in that order.
    group : numpy.ndarray of int
        (U,) the group of each unit.
    channel : numpy.ndarray of int
        (U,) its filter's number in the first layer of its group.
    scales : dict
        From the name of a batch norm to the unit of each of its channels, or -1.
    others : int
        Number of all parameters that are in no layer and no batch norm.
    tied : dict
        From the name of a layer to the reason why none of its filters can go.
    """

    layers: tuple[Layer, ...]
    groups: tuple[tuple[str, ...], ...]
    group: np.ndarray
    channel: np.ndarray
    scales: dict[str, np.ndarray]
    others: int
    tied: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.group)

    @property
    def filters(self) -> np.ndarray:
        """How many filters each unit has, (U,)."""
        return np.array([len(layers) for layers in self.groups])[self.group]

    def cost(self, removed: np.ndarray) -> tuple[int, int]:
        """Return the number of parameters and of multiply-adds for one image.

        Parameters
        ----------
        removed : numpy.ndarray of bool
            (U,).
        """
        stays = np.append(~removed, True)  # the last one is read at -1
        parameters = self.others + sum(2 * stays[units].sum() for units in self.scales.values())
        operations = 0.0
        for layer in self.layers:
            outputs = stays[layer.outputs].sum()
            pairs = outputs if layer.channelwise else outputs * stays[layer.inputs].sum()
            parameters += pairs * layer.kernel + outputs * layer.bias
            operations += pairs * layer.kernel * layer.places
        return round(float(parameters)), round(operations)

    def without(self, removed: np.ndarray) -> Structure:
        """Return the structure of the network that `cut` makes; its units keep their order.

        Parameters
        ----------
        removed : numpy.ndarray of bool
            (U,).
        """
        stays = np.append(~removed, True)  # the last one is read at -1
        number = np.append(np.cumsum(~removed) - 1, STAYS)

        def left(units: np.ndarray) -> np.ndarray:
            return number[units[stays[units]]]

        group = self.group[~removed]
        return replace(
            self,
            layers=tuple(
                replace(layer, outputs=left(layer.outputs), inputs=left(layer.inputs))
                for layer in self.layers
            ),
            group=group,
            channel=np.arange(len(group)) - np.searchsorted(group, group),
            scales={name: left(units) for name, units in self.scales.items()},
        )


def structure(subject: Subject) -> Structure:
    """Find the units of a Subject's network.

    Parameters
    ----------
    subject : Subject
        Left as it is.

    Returns
    -------
    Structure

    Raises
    ------
    ValueError, TypeError
        There is no Subject, nothing can be removed, or gradients are blocked: the ties are found by
        following them.

    Notes
    -----
    Fang et al. 2023, "DepGraph: towards any structural pruning", arXiv 2301.12900.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = structure(rw.demo("resnet20"))
    >>> len(found), found.groups[0]
    (448, ('conv1', 'layer1.0.conv2', 'layer1.1.conv2', 'layer1.2.conv2'))
    """
    check_subject(subject)
    network, size = subject.network, tuple(subject.images.shape[1:])
    known = _FOUND.setdefault(network, {})
    if size not in known:
        known[size] = _find(subject)
    return known[size]


def _find(subject: Subject) -> Structure:
    network = subject.network
    if hasattr(network.model, "_orig_mod"):
        fix = "Pass the module that torch.compile was given as model="
        raise ValueError(problem("a compiled model cannot be cut", "got OptimizedModule", fix))
    if not network.gradients:
        seen = "the logits of images that require gradients do not require any"
        fix = "Remove what blocks them (detach, no_grad, numpy) from model="
        raise ValueError(problem("gradients are blocked, so ties cannot be found", seen, fix))
    image = subject.images[:1]
    network = subject.network.copied()  # hooks on the original would see passes of other threads
    names = {module: name for name, module in network.model.named_modules()}
    with _graph(network, network.model, image) as graph:
        found = list(graph.get_all_groups(root_module_types=_CUT))
        ties = [_tie(graph, group, names) for group in found]
    order = list(network.trace(image))
    places = _places(network, image)
    kept: list[_Tie] = []
    tied: dict[str, str] = {}
    for tie in ties:
        if reason := tie.reason(network.model):
            tied |= {name: reason for name in tie.outputs}
        else:
            kept.append(tie)
    kept.sort(key=lambda tie: min(map(order.index, tie.outputs)))
    made = _assembled(network.model, kept, tied, order, places)
    if len(made) and not _agrees(subject, made, np.ones(len(kept), dtype=bool)):
        # Something between the layers is more than the graph can see: find out whose it is.
        sound = [_agrees(subject, made, one) for one in np.eye(len(kept), dtype=bool)]
        odd = [tie for tie, good in zip(kept, sound, strict=True) if not good]
        reason = "without its filters the network does not do what it does when they are silent"
        tied |= {name: reason for tie in odd for name in tie.outputs}
        kept = [tie for tie, good in zip(kept, sound, strict=True) if good]
        made = _assembled(network.model, kept, tied, order, places)
    if not len(made):
        raise ValueError(_nothing(network.model, tied))
    return made


def cut(subject: Subject, found: Structure, removed: np.ndarray) -> Subject:
    """Return the subject with a network that has fewer filters.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    found : Structure
        Its units.
    removed : numpy.ndarray of bool
        (U,) which of them go; at least one of each group must stay.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> found = structure(subject)
    >>> smaller = cut(subject, found, found.channel < 8)
    >>> smaller.model.conv1
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """

    def change(model: nn.Module) -> None:
        modules = dict(model.named_modules())
        with _graph(subject.network, model, subject.images[:1]) as graph:
            for number, layers in enumerate(found.groups):
                channels = found.channel[removed & (found.group == number)].tolist()
                if channels:
                    root = modules[layers[0]]
                    whole = graph.get_pruner_of_module(root).prune_out_channels
                    graph.get_pruning_group(root, whole, channels).prune()
        model.requires_grad_(False)

    return subject.on(subject.network.copied(change))


def weight(model: nn.Module, name: str) -> Tensor:
    """Return the weights of a layer, detached; written into, they change the layer."""
    found = model.get_submodule(name).weight
    assert isinstance(found, Tensor)
    return found.detach()


@contextmanager
def _graph(network: Network, model: nn.Module, image: Tensor) -> Iterator[Any]:
    """Trace a model that is like the network's own; gradients are on, generators untouched."""

    def run(model: nn.Module, image: Tensor) -> Tensor:
        inputs = network.normalised(image).requires_grad_()
        return network.pick(model(inputs), len(image))

    with torch.inference_mode(False), torch.enable_grad(), own_generators():
        graph = torch_pruning.DependencyGraph()
        try:
            graph.build_dependency(model, image, forward_fn=run, verbose=False)
        except Exception as error:  # whatever a network does that the graph does not know
            seen = f"torch-pruning stopped with {type(error).__name__}: {error}"
            fix = "Pass a model= of plain modules whose forward works on tensors"
            raise ValueError(problem("ties between layers cannot be found", seen, fix)) from error
        try:
            yield graph
        finally:
            # Nodes know each other and their layers: as a ring, all would wait for the collector,
            # which counts objects and not how large they are.
            for node in graph.module2node.values():
                vars(node).clear()


@dataclass
class _Tie:
    """One group of the graph: layers by name, with the unit of each channel, from 0."""

    size: int
    outputs: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    inputs: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    scales: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def reason(self, model: nn.Module) -> str:
        """Say why it cannot be cut, or nothing."""
        if self.others:
            return f"tied to {self.others[0]}"
        if not self.inputs:
            return "its outputs are the answer"
        for name in (*self.outputs, *self.inputs):
            module = model.get_submodule(name)
            if parametrize.is_parametrized(module) or "weight" not in module._parameters:
                return f"the weights of {name} are parametrised or masked; make them plain first"
            groups = getattr(module, "groups", 1)
            if groups > 1 and not _channelwise(module):
                return f"tied to {name}, a convolution in {groups} groups"
        return ""


def _tie(graph: Any, group: Any, names: dict[nn.Module, str]) -> _Tie:
    tie = _Tie(len(group[0].idxs))
    for item in group:
        module, handler = item.dep.target.module, item.dep.handler
        kind = item.dep.target.type.name
        pairs = (list(item.idxs), list(item.root_idxs))
        if isinstance(module, _CUT):
            reads = graph.is_in_channel_pruning_fn(handler) and not _channelwise(module)
            (tie.inputs if reads else tie.outputs)[names[module]] = pairs
        elif isinstance(module, _SCALES):
            tie.scales[names[module]] = pairs
        elif kind == "OUTPUT":
            tie.others.append("the answer")
        elif isinstance(module, nn.Parameter):
            tie.others.append("a parameter outside of all layers")
        elif module in names:
            tie.others.append(f"{names[module]}, {_article(type(module).__name__)}")
    return tie


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def _channelwise(module: nn.Module) -> bool:
    groups = getattr(module, "groups", 1)
    return groups > 1 and groups == getattr(module, "in_channels", 0) == module.out_channels


def _places(network: Network, image: Tensor) -> dict[str, int]:
    """Count at how many places of an image each layer is evaluated, all its uses together."""
    places: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            width = output.shape[1] if isinstance(module, nn.Conv2d) else output.shape[-1]
            places[name] = places.get(name, 0) + output.numel() // width

        return hook

    with network.lock, torch.inference_mode(False), torch.no_grad():
        hooks = [
            module.register_forward_hook(note(name))
            for name, module in network.model.named_modules()
            if isinstance(module, _CUT)
        ]
        try:
            network.logits(image)
        finally:
            for hook in hooks:
                hook.remove()
    return places


def _assembled(
    model: nn.Module,
    ties: Sequence[_Tie],
    tied: dict[str, str],
    order: list[str],
    places: dict[str, int],
) -> Structure:
    modules = dict(model.named_modules())
    cuts = [name for name in order if isinstance(modules[name], _CUT)]
    norms = [n for n, m in modules.items() if isinstance(m, _SCALES) and m.weight is not None]
    outputs = {name: np.full(_width(modules[name]), STAYS) for name in cuts}
    inputs = {name: np.full(_width(modules[name], inputs=True), STAYS) for name in cuts}
    scales = {name: np.full(len(modules[name].weight), STAYS) for name in norms}
    start = 0
    for tie in ties:
        for table, entries in ((outputs, tie.outputs), (inputs, tie.inputs), (scales, tie.scales)):
            for name, (channels, units) in entries.items():
                if name in table:  # an affine-free norm has nothing to lose
                    table[name][channels] = start + np.array(units)
        start += tie.size
    layers = tuple(
        Layer(
            name=name,
            outputs=outputs[name],
            inputs=inputs[name],
            channelwise=_channelwise(modules[name]),
            kernel=modules[name].weight.numel() / len(outputs[name])
            if _channelwise(modules[name])
            else modules[name].weight.numel() / len(outputs[name]) / len(inputs[name]),
            bias=modules[name].bias is not None,
            places=places[name],
        )
        for name in cuts
    )
    sizes = [tie.size for tie in ties]
    counted = {id(p) for name in (*cuts, *norms) for p in modules[name].parameters(recurse=False)}
    return Structure(
        layers=layers,
        groups=tuple(tuple(sorted(tie.outputs, key=order.index)) for tie in ties),
        group=np.repeat(np.arange(len(ties)), sizes),
        channel=np.concatenate([np.arange(size) for size in sizes] or [np.arange(0)]),
        scales=scales,
        others=sum(p.numel() for p in model.parameters() if id(p) not in counted),
        tied=tied,
    )


def _width(module: Any, inputs: bool = False) -> int:
    if isinstance(module, nn.Linear):
        return module.in_features if inputs else module.out_features
    return module.in_channels if inputs else module.out_channels


def _agrees(subject: Subject, found: Structure, groups: np.ndarray) -> bool:
    """Tell whether cutting half of some groups does what silencing them does."""
    removed = groups[found.group] & (found.channel % 2 == 1)
    images = subject.images[:2]
    silent = torch.from_numpy(1.0 - removed).float()
    with torch.no_grad():
        masked = Gates(subject, found).logits(images, silent)
        try:
            cutting = cut(subject, found, removed).network.logits(images)
        except (RuntimeError, ValueError, AttributeError, TypeError, IndexError):
            return False  # the graph took something for what it is not
    scale = masked.abs().max().clamp_min(1)
    return bool((masked - cutting).abs().max() <= _CLOSE * scale)


def _nothing(model: nn.Module, tied: dict[str, str]) -> str:
    if not tied:
        kinds = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
        seen = f"found {', '.join(kinds) or 'no modules'}"
        fix = "Pass a model= with nn.Conv2d or nn.Linear modules whose outputs others read"
        return problem("there is no prunable layer", seen, fix)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(tied.items())[:3])
    fix = "Pass a model= in which a convolution or a linear layer feeds another"
    return problem("no layer can lose a filter", reasons, fix)
