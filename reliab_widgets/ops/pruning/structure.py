"""Which filters of a network can be removed, which only together, and the network without them.

A *unit* is what can be removed alone: one filter, or one filter of each of several layers whose
outputs are added, or several of one layer where their outputs are multiplied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ...core.batching import memory_budget, out_of_memory, threads
from ...core.network import Network
from ...core.subject import Subject, check_subject
from ...core.wording import problem
from .counting import operations, places
from .gates import Gates
from .plain import plain_attention, plain_weights
from .ties import (
    CUT,
    LOST,
    NORMS,
    STAYS,
    Tie,
    axis,
    channelwise,
    is_joint,
    scaled,
    ties,
    why_not,
    width,
)
from .trials import tried

_FOUND: WeakKeyDictionary[Network, dict[tuple[int, ...], Structure]] = WeakKeyDictionary()
_CLOSE = 1e-5  # logits of the masked and of the cut network, relative to the largest
_ROUNDED = 1e-4  # the same where it cannot be tried in float64
_FAR = 1e-2  # no rounding
NEEDED = "which filters go together is found by gradients, whatever ranks them"
_ODD = "cutting its filters gives other logits than silencing them"
_IDLE = "it does not run as a layer of its own, though others may use its weights"
_TRIED = 2  # images for which they are compared
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")
_WIDTHS = ("hidden_dim", "embed_dim")
_ALL_HEADS = ("attn_dim", "all_head_size", "inner_dim")  # the channels of all heads together


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
class Scale:
    """What treats every channel by itself: a norm, a PReLU, or a parameter such as places.

    Parameters
    ----------
    name : str
        Of the module or the parameter.
    units : numpy.ndarray of int
        The unit of each of its channels, or -1.
    parameters : int
        How many it has for each channel.
    norm : bool
        Whether it is a batch norm with a factor for each channel.
    """

    name: str
    units: np.ndarray
    parameters: int
    norm: bool


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
        (U,) the number of its (first) filter in the first layer of its group.
    scales : tuple of Scale
        What treats every channel by itself: norms, and parameters that no layer has.
    others : int
        Number of all parameters that are in none of them.
    products : numpy.ndarray
        (U + 1,) multiply-adds outside of all layers that each unit takes with it, and of the rest.
    spare : int
        Number of parameters that parametrised weights have beyond their own number; the first cut
        makes weights plain.
    tied : dict
        From the name of a layer to the reason why none of its filters can go.
    """

    layers: tuple[Layer, ...]
    groups: tuple[tuple[str, ...], ...]
    group: np.ndarray
    channel: np.ndarray
    scales: tuple[Scale, ...]
    others: int
    products: np.ndarray
    spare: int = 0
    tied: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.group)

    @property
    def filters(self) -> np.ndarray:
        """How many filters each unit has, (U,)."""
        made = np.concatenate([layer.outputs[layer.outputs >= 0] for layer in self.layers])
        return np.bincount(made, minlength=len(self))

    def cost(self, removed: np.ndarray) -> tuple[int, int]:
        """Return the number of parameters and of multiply-adds for one image.

        Parameters
        ----------
        removed : numpy.ndarray of bool
            (U,).
        """
        stays = np.append(~removed, True)  # the last one is read at -1
        parameters = self.others + self.spare * (not removed.any())
        parameters += sum(one.parameters * stays[one.units].sum() for one in self.scales)
        operations = self.products[stays].sum()
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

        layers = tuple(
            replace(layer, outputs=left(layer.outputs), inputs=left(layer.inputs))
            for layer in self.layers
        )
        return replace(
            self,
            layers=layers,
            group=self.group[~removed],
            channel=_first_filters(layers, self.groups),
            scales=tuple(replace(one, units=left(one.units)) for one in self.scales),
            products=self.products[stays],
            spare=self.spare * (not removed.any()),
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
    subject = plain_attention(subject)
    network, size = subject.network, tuple(subject.images.shape[1:])
    known = _FOUND.setdefault(network, {})
    if size not in known:
        with threads(subject.plan.threads):
            known[size] = _find(subject)
    return known[size]


def _find(subject: Subject) -> Structure:
    network = subject.network
    network.check_gradients(NEEDED)
    image = subject.images[:1]
    # Hooks on the original would see passes of other threads.
    bare = network.copied(plain_weights, shared=True)
    frame = _Frame(network, bare, image)
    kept, tied = ties(bare, image)
    for tie in _odd(subject, bare, frame, kept):  # the graph has not seen all that lies between
        kept.remove(tie)
        tied |= dict.fromkeys(tie.outputs, _ODD)
    lost = {name for name, reason in tied.items() if reason.startswith((LOST, _ODD))}
    modules = dict(bare.model.named_modules())
    again = [
        tie
        for tie in (tried(bare, image, frame.order, lost) if lost else ())
        if not why_not(tie, modules, frame.order)
    ]
    for tie in _odd(subject, bare, frame, again):
        again.remove(tie)
        tied |= dict.fromkeys(tie.outputs, _ODD)
    kept += again
    kept.sort(key=lambda tie: min(map(frame.order.index, tie.outputs)))
    tied = {name: why for name, why in tied.items() if not any(name in t.outputs for t in kept)}
    idle = (n for n, it in modules.items() if isinstance(it, CUT) and n not in frame.order)
    tied |= dict.fromkeys(idle, _IDLE)
    made = frame.filled(kept, tied)
    if not len(made):
        raise ValueError(_nothing(network.model, tied))
    return _counted(bare, made, image)


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
    subject = plain_attention(subject)
    network = _cut(subject.network, found, removed)
    whole = {id(parameter) for parameter in subject.model.parameters()}
    own: dict[int, nn.Parameter] = {}  # what has lost nothing must not be the subject's either
    for module in network.model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in whole:
                copied = nn.Parameter(parameter.detach().clone())
                module._parameters[name] = own.setdefault(id(parameter), copied)
    network.model.requires_grad_(False)
    return subject.on(network)


def _cut(network: Network, found: Structure, removed: np.ndarray) -> Network:
    """Return a network with fewer filters; what has lost nothing are the very parameters given."""
    stays = torch.from_numpy(np.append(~removed, True)).to(network.device)

    def change(model: nn.Module) -> None:
        if removed.any():
            plain_weights(model)
        for layer in found.layers:
            _narrow(
                model.get_submodule(layer.name),
                stays[layer.outputs],
                None if layer.channelwise else stays[layer.inputs],
            )
        for scale in found.scales:
            _narrow_scale(model, scale.name, stays[scale.units])
        _recount(model, found, stays)

    return network.copied(change, shared=True)


def weight(model: nn.Module, name: str) -> Tensor:
    """Return the weights of a layer, detached; written into, they change the layer."""
    found = model.get_submodule(name).weight
    assert isinstance(found, Tensor)
    return found.detach()


def _narrow(module: Any, outputs: Tensor, inputs: Tensor | None) -> None:
    """Take the channels away that do not stay."""
    if outputs.all() and (inputs is None or inputs.all()):
        return
    rows = outputs.nonzero()[:, 0]
    for name, value in module.named_parameters(recurse=False):
        left = value.detach()
        if value.ndim > 1 and inputs is not None:  # both at once: one copy, not two
            left = left[rows[:, None], inputs.nonzero()[:, 0]]
        else:
            left = left[rows]
        setattr(module, name, nn.Parameter(left, requires_grad=False))
    for name, value in module.named_buffers(recurse=False):
        if value.ndim:  # one number counts batches
            setattr(module, name, value[rows])
    after = int(outputs.sum())
    before = after if inputs is None else int(inputs.sum())
    sizes = {"out_channels": after, "out_features": after, "in_features": before}
    sizes |= {"in_channels": before, "num_features": after, "num_parameters": after}
    if is_joint(module):
        module.normalized_shape = (after,)
    for name, size in sizes.items():
        if hasattr(module, name):
            setattr(module, name, size)
    if inputs is None and hasattr(module, "groups"):
        module.groups = after


def _narrow_scale(model: nn.Module, name: str, units: Tensor) -> None:
    """Take the channels of a norm or of a bare parameter away that do not stay."""
    above, _, key = name.rpartition(".")
    parent: Any = model.get_submodule(above)
    part = getattr(parent, key)
    if isinstance(part, nn.Module):
        _narrow(part, units, None)
    elif not units.all():
        left = part.detach().index_select(axis(part), units.nonzero()[:, 0])
        setattr(parent, key, nn.Parameter(left, requires_grad=False))


def _recount(model: nn.Module, found: Structure, stays: Tensor) -> None:
    """Tell modules that know numbers of channels or heads of their own how many are left."""
    done = set()
    for layer in found.layers:
        above = layer.name.rpartition(".")[0]
        parent, known = model.get_submodule(above), vars(model.get_submodule(above))
        units = np.unique(layer.outputs[layer.outputs >= 0])
        before, after = len(units), int(stays[units].sum())
        if before == after:
            continue
        if len(units) == len(layer.outputs):
            for key in _WIDTHS:
                if known.get(key) == before:
                    setattr(parent, key, after)
        elif above not in done and any(known.get(key) == before for key in _HEADS):
            done.add(above)
            for key in (*_HEADS, *_ALL_HEADS):
                value = known.get(key)
                if isinstance(value, int) and (key in _ALL_HEADS or value == before):
                    setattr(parent, key, value * after // before)


# --- from ties to units -----------------------------------------------------------------------


def _first_filters(layers: Sequence[Layer], groups: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the number of each unit's first filter in the first layer of its group."""
    outputs = {layer.name: layer.outputs for layer in layers}
    firsts = [np.unique(outputs[names[0]], return_index=True) for names in groups]
    some = [places[units >= 0] for units, places in firsts]
    return np.concatenate([*some, np.arange(0)])


class _Frame:
    """A network of which nothing can be removed, to be filled with ties."""

    def __init__(self, network: Network, bare: Network, image: Tensor) -> None:
        modules = dict(bare.model.named_modules())
        evaluated = places(bare, image)
        self._spare = _parameters(network.model) - _parameters(bare.model)
        self.order = [name for name in bare.trace(image) if isinstance(modules[name], CUT)]
        self._layers = [_layer(name, modules[name], evaluated[name]) for name in self.order]
        self._scales = [
            Scale(
                name=name,
                units=np.full(width(part), STAYS),
                parameters=(part.numel() if isinstance(part, Tensor) else _parameters(part))
                // width(part),
                norm=isinstance(part, NORMS) and part.weight is not None,
            )
            for name, part in scaled(bare.model).items()
        ]
        nothing = Structure(
            layers=tuple(self._layers),
            groups=(),
            group=np.arange(0),
            channel=np.arange(0),
            scales=tuple(self._scales),
            others=0,
            products=np.zeros(1),
        )
        # Weights that two layers share count once: what is left over may be negative.
        self._others = _parameters(bare.model) - nothing.cost(np.zeros(0, dtype=bool))[0]

    def filled(self, some: Sequence[Tie], tied: dict[str, str]) -> Structure:
        """Return the structure in which these can go."""
        start = np.cumsum([0, *(tie.size for tie in some)])

        def units(table: str, name: str, before: np.ndarray) -> np.ndarray:
            after = before.copy()
            for tie, first in zip(some, start, strict=False):
                if name in (channels := getattr(tie, table)):
                    goes = channels[name] >= 0
                    after[goes] = first + channels[name][goes]
            return after

        layers = tuple(
            replace(
                layer,
                outputs=units("outputs", layer.name, layer.outputs),
                inputs=units("inputs", layer.name, layer.inputs),
            )
            for layer in self._layers
        )
        groups = tuple(tuple(sorted(tie.outputs, key=self.order.index)) for tie in some)
        return Structure(
            layers=layers,
            groups=groups,
            group=np.repeat(np.arange(len(some)), [tie.size for tie in some]),
            channel=_first_filters(layers, groups),
            scales=tuple(replace(s, units=units("scales", s.name, s.units)) for s in self._scales),
            others=self._others,
            products=np.zeros(start[-1] + 1),
            spare=self._spare,
            tied=tied,
        )


def _layer(name: str, module: Any, evaluated: int) -> Layer:
    outputs, inputs = width(module), width(module, inputs=True)
    pairs = outputs if channelwise(module) else outputs * inputs
    return Layer(
        name=name,
        outputs=np.full(outputs, STAYS),
        inputs=np.full(inputs, STAYS),
        channelwise=channelwise(module),
        kernel=module.weight.numel() / pairs,
        bias=module.bias is not None,
        places=evaluated,
    )


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- what is cut is what is silenced ----------------------------------------------------------


def _odd(subject: Subject, bare: Network, frame: _Frame, some: list[Tie]) -> list[Tie]:
    """Return those where cutting does not do what silencing does, whichever units are cut."""
    found = frame.filled(some, {})
    kinds: dict[str, list[int]] = {}
    for number, group in enumerate(found.groups):
        kinds.setdefault(_kind(group), []).append(number)
    sound = cache(_Trial(subject, bare, found).sound)
    alike = {tuple(it) for kind, it in kinds.items() if kind[-1] != "#"}
    order = tuple(kinds[kind] for kind in sorted(kinds))
    return [some[number] for number in _faulty(sound, [*map(tuple, order)], alike)]


def _kind(group: tuple[str, ...]) -> str:
    """Return what layers of one name in several blocks have in common."""
    return re.sub(r"\d+", "#", group[0])


def _faulty(
    sound: Callable[[tuple[int, ...]], bool],
    kinds: list[tuple[int, ...]],
    alike: Collection[tuple[int, ...]] = (),
) -> tuple[int, ...]:
    """Return those with which it is not sound, looked for by halves of kinds, then within them."""
    some = tuple(number for kind in kinds for number in kind)
    if not some or sound(some):
        return ()
    if len(some) == 1:
        return some
    if len(kinds) == 1:
        ends = (some[0], some[len(some) // 2], some[-1])
        if some in alike and not any(sound((number,)) for number in ends):
            return some  # blocks that are alike
        kinds = [(number,) for number in some]
    half = len(kinds) // 2
    first, second = (_faulty(sound, part, alike) for part in (kinds[:half], kinds[half:]))
    if not first and not second:  # only together
        return tuple(number for kind in kinds[half:] for number in kind)
    left = [tuple(it for it in kind if it not in first and it not in second) for kind in kinds]
    return first + second + _faulty(sound, [it for it in left if it])


def _drawn(found: Structure) -> Iterator[np.ndarray]:
    """Draw about half the units of each group, and the others; then an odd number."""
    generator = np.random.default_rng(0)
    for odd in (0, 1):  # a view in two or four parts would fit an even number by chance
        first, second = np.zeros((2, len(found)), dtype=bool)
        for number in range(len(found.groups)):
            units = generator.permutation(np.flatnonzero(found.group == number))
            count = min(len(units) // 2 | odd, len(units) - 1)
            first[units[:count]], second[units[count:]] = True, True
        yield from (first, second)


class _Trial:
    """Compares the network without some units with the one in which they are silent.

    Parameters
    ----------
    subject : Subject
        In which they are silent.
    bare : Network
        Its network with plain weights, of which they are cut.
    found : Structure
        All that are tried.
    """

    def __init__(self, subject: Subject, bare: Network, found: Structure) -> None:
        self._subject, self._bare, self._found = subject, bare, found
        self._drawn = list(_drawn(found))

    def sound(self, groups: tuple[int, ...]) -> bool:
        """Tell whether units of these groups may go, whichever they are."""
        tried = np.isin(self._found.group, groups)
        return all(self._agrees(removed & tried) for removed in self._drawn)

    def _agrees(self, removed: np.ndarray) -> bool:
        try:
            smaller = _cut(self._bare, self._found, removed)
            gap = self._gap(self._silent, smaller, removed)
        except Exception as error:  # whatever a network does that cannot have fewer channels
            if out_of_memory(error):
                raise
            return False
        if _parameters(smaller.model) != self._found.cost(removed)[0]:
            return False
        if gap <= _CLOSE or gap > _FAR:
            return gap <= _CLOSE
        # A fault, or rounding? Two copies in float64 tell, if there is room for them.
        needed = 8 * (_parameters(self._bare.model) + _parameters(smaller.model))
        if needed > memory_budget(self._bare.device):
            return gap <= _ROUNDED
        try:
            return self._gap(self._silent_in_float64, smaller.doubled(), removed) <= _CLOSE
        except Exception as error:  # it insists on float32
            if out_of_memory(error):
                raise
            return gap <= _ROUNDED

    @cached_property
    def _silent(self) -> Gates:
        return Gates(self._subject, self._found)

    @cached_property
    def _silent_in_float64(self) -> Gates:
        return Gates(self._subject.on(self._subject.network.doubled()), self._found)

    def _gap(self, silent: Gates, smaller: Network, removed: np.ndarray) -> float:
        images = self._subject.images[:_TRIED]
        open = torch.from_numpy(1.0 - removed).float()
        with torch.inference_mode(False), torch.no_grad():
            masked = silent.logits(images, open)
            gap = (masked - smaller.logits(images)).abs().max()
        return float(gap / masked.abs().max().clamp_min(1))


def _counted(bare: Network, found: Structure, image: Tensor) -> Structure:
    """Return the structure with the multiply-adds that lie outside of its layers."""
    products = np.zeros(len(found) + 1)

    def rest(removed: np.ndarray) -> int:
        return operations(_cut(bare, found, removed), image) - found.cost(removed)[1]

    products[-1] = whole = rest(np.zeros(len(found), dtype=bool))
    some = next(_drawn(found))
    if whole and rest(some) != whole:
        known: dict[Any, float] = {}
        layers = {layer.name: layer for layer in found.layers}
        for number, names in enumerate(found.groups):
            one = some & (found.group == number)
            first = layers[names[0]]
            size = first.places, len(first.outputs), len(first.inputs)
            kind = _kind(names), int(one.sum()), size  # blocks of one kind and size need as many
            if kind not in known:
                known[kind] = (whole - rest(one)) / one.sum()
            products[:-1][found.group == number] = known[kind]
        products[-1] -= products[:-1].sum()
    return replace(found, products=products)


def _nothing(model: nn.Module, tied: dict[str, str]) -> str:
    if not tied:
        kinds = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
        seen = f"found {', '.join(kinds) or 'no modules'}"
        fix = "Pass a model= with nn.Conv2d or nn.Linear modules whose outputs others read"
        return problem("there is no prunable layer", seen, fix)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(tied.items())[:3])
    fix = "Pass a model= in which a convolution or a linear layer feeds another"
    return problem("no layer can lose a filter", reasons, fix)
