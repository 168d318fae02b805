"""The layers that run inside a network: which there are, in what order, and what they give."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...core.knobs import Choice, Fact, Several, Text
from ...core.network import Network
from ...core.wording import problem

GROUPS = ("weight", "blocks", "activations")
_WEIGHT = (nn.Conv2d, nn.Linear)
_FUNCTIONS = (nn.functional.conv2d, nn.functional.linear)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_FOUND: WeakKeyDictionary[Network, dict[Any, Any]] = WeakKeyDictionary()
_CHECKED = 2  # images passed to look for layers, so that what has no row per image stands out


class NoLayer(ValueError):
    """None of a group of layers runs."""


@dataclass(frozen=True)
class LayerNames(Choice):
    """A group of layers, or names of some; whether they run is told by `find`.

    Examples
    --------
    >>> LayerNames().check("layers", ["conv1", "fc"], None)
    ('conv1', 'fc')
    """

    values: Fact = GROUPS

    def check(self, name: str, value: Any, about: Any) -> str | tuple[str, ...]:
        """Return a text or a tuple of texts."""
        names: tuple[str, ...] = Several(Text(), alone=True).check(name, value, about)
        return names[0] if isinstance(value, str) else names


LayersKnob: TypeAlias = Annotated[str | Sequence[str], LayerNames()]


@dataclass(frozen=True)
class Layer:
    """One use of one module in a forward pass.

    Parameters
    ----------
    name : str
        The module's name; of a second use ``"relu (2nd use)"``.
    module : str
        Its name in the network.
    use : int
        Which use of the module this is, from 0.
    type : str
        Its class, ``"Conv2d"``.
    shape : tuple of int
        Of its output, for one image.
    branch : bool
        Whether it lies on a shortcut or a branch: not on the longest path through the network.
    differs : bool
        Whether gradients lead from it to the image.

    Examples
    --------
    >>> Layer("fc", "fc", 0, "Linear", (10,)).branch
    False
    """

    name: str
    module: str
    use: int
    type: str
    shape: tuple[int, ...]
    branch: bool = False
    differs: bool = True


def find(
    network: Network, image: Tensor, layers: str | Sequence[str] = "weight"
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Pass an image through a network and list its layers in the order in which they run.

    Parameters
    ----------
    network : Network
        The network of a Subject.
    image : Tensor
        (1, C, H, W).
    layers : str or sequence of str
        ``"weight"`` (every Conv2d and Linear); ``"blocks"`` (modules made of others, the outermost
        that are no plain containers, and the Conv2d and Linear outside of them);
        ``"activations"``; or names of modules, or of single uses.

    Returns
    -------
    tuple of Layer
        Those asked for.
    tuple of str
        Notes on what cannot be seen.

    Raises
    ------
    ValueError
        No such layer runs; `NoLayer` if there are none of this group.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> found, notes = find(subject.network, subject.images[:1])
    >>> len(found), found[0].name, found[0].shape, [it.name for it in found if it.branch]
    (22, 'conv1', (16, 32, 32), ['layer2.0.downsample.0', 'layer3.0.downsample.0'])
    """
    # A slider asks again and again, and what runs does not change.
    wanted = layers if isinstance(layers, str) else tuple(layers)
    known = _FOUND.setdefault(network, {})
    key = (tuple(image.shape[1:]), wanted)
    if key not in known:
        known[key] = _find(network, image, wanted)
    return known[key]


def _find(
    network: Network, image: Tensor, layers: str | tuple[str, ...]
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    modules = dict(network.model.named_modules())
    runs, parts, functional, path = _run(network, image)
    hidden = [n for n, it in modules.items() if isinstance(it, nn.MultiheadAttention)]
    seen = [
        Layer(
            name=_name(ran.module, ran.use),
            module=ran.module,
            use=ran.use,
            type=type(modules[ran.module]).__name__,
            shape=ran.shape,
            branch=bool(path) and ran.node not in path,
            differs=ran.node is not None,
        )
        for ran in runs
    ]
    if isinstance(layers, str) and layers in GROUPS:
        chosen = {
            "weight": lambda: {n for n, m in modules.items() if isinstance(m, _WEIGHT)},
            "blocks": lambda: _blocks(network.model),
            "activations": lambda: {n for n, m in modules.items() if _activates(m)},
        }[layers]()
        found = tuple(layer for layer in seen if layer.module in chosen)
        if not found:
            raise _nothing(network, layers, seen, functional)
    else:
        found = _named((layers,) if isinstance(layers, str) else layers, seen)
    notes: tuple[str, ...] = ()
    if functional and layers == "weight":
        notes = (
            f"{functional} convolution{'s' * (functional > 1)} or linear maps are function calls "
            "inside forward and cannot be seen; make them modules to see them",
        )
    if hidden and layers == "weight":
        notes += (
            f"queries, keys, values and output of {len(hidden)} torch.nn.MultiheadAttention are "
            f"computed inside and cannot be seen: {_first(hidden)}",
        )
    if parts and layers == "weight":
        notes += (
            f"{len(parts)} layer{'s give' if len(parts) > 1 else ' gives'} rows that are no whole "
            f"images, such as windows, and cannot be seen: {_first(parts)}",
        )
    return found, notes


def _first(names: Sequence[str]) -> str:
    return names[0] + " and others" * (len(names) > 1)


@contextmanager
def observing(
    model: nn.Module, layers: Sequence[Layer], see: Callable[[int, Tensor], None]
) -> Iterator[None]:
    """Let ``see(place, output)`` be called when ``layers[place]`` gives its output.

    For one forward pass, of this thread: passes of other threads through the same model are not
    seen. A later module may change ``output`` in place, so what is kept must be cloned.

    Parameters
    ----------
    model : torch.nn.Module
        Without the hooks again afterwards.
    layers : sequence of Layer
        What `find` found in this model.
    see : callable
        Given the layer's place in ``layers`` and its output, (n, ...).

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> layer = Layer("1", "1", 0, "Linear", (2,))
    >>> with observing(model, [layer], lambda place, output: print(place, output.shape)):
    ...     _ = model(torch.zeros(3, 1, 2, 2))
    0 torch.Size([3, 2])
    """
    places = {(layer.module, layer.use): place for place, layer in enumerate(layers)}
    names = {layer.module for layer in layers}

    def pass_on(name: str, use: int, output: Any) -> None:
        place = places.get((name, use))
        if place is not None:
            see(place, output.detach())  # a network may take gradients in its forward

    with _hooked({n: m for n, m in model.named_modules() if n in names}, pass_on):
        yield


@contextmanager
def _hooked(modules: dict[str, nn.Module], see: Callable[[str, int, Any], None]) -> Iterator[None]:
    """Call ``see(name, use, output)`` after each use of these modules by this thread."""
    uses: Counter[str] = Counter()
    me = threading.get_ident()

    def note(name: str, output: Any) -> None:
        # A hook belongs to the module, not to the thread that asked for it.
        if threading.get_ident() == me:
            use = uses[name]
            uses[name] += 1
            see(name, use, output)

    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- looking once -----------------------------------------------------------------------------


class _Ran(NamedTuple):
    """A use of a module, and the autograd node that made its output."""

    module: str
    use: int
    shape: tuple[int, ...]
    node: Any


def _run(network: Network, image: Tensor) -> tuple[list[_Ran], list[str], int, set[Any]]:
    """Give what ran, what ran on parts of images, how many functions, and the longest path."""
    modules = {name: module for name, module in network.model.named_modules() if name}
    heavy = {name for name, module in modules.items() if isinstance(module, _WEIGHT)}
    runs: list[_Ran] = []
    parts: list[str] = []
    calls = _Calls()

    def see(name: str, use: int, output: Any) -> None:
        calls.inside += name in heavy
        if isinstance(output, Tensor) and output.ndim > 1 and len(output) == _CHECKED:
            runs.append(_Ran(name, use, tuple(output.shape[1:]), output.grad_fn))
        elif name in heavy and name not in parts:
            parts.append(name)

    images = image.expand(_CHECKED, -1, -1, -1).clone()
    with torch.inference_mode(False), torch.enable_grad(), _hooked(modules, see), calls:
        logits = network.logits(images.requires_grad_(network.gradients))
    nodes = {ran.node for ran in runs if ran.module in heavy and ran.node is not None}
    return runs, parts, max(0, calls.all - calls.inside), _longest_path(logits.grad_fn, nodes)


class _Calls(TorchFunctionMode):
    """Counts convolutions and linear maps, whoever calls for them, and those inside modules."""

    def __init__(self) -> None:
        super().__init__()
        self.all = self.inside = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.all += func in _FUNCTIONS
        return func(*args, **(kwargs or {}))


def _longest_path(end: Any, counted: set[Any]) -> set[Any]:
    """Return the autograd nodes of the path to ``end`` that meets most of the counted ones."""
    lengths: dict[Any, int] = {}
    before: dict[Any, Any] = {}
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


def _blocks(model: nn.Module) -> set[str]:
    root, prefix = model, ""
    while len(children := list(root.named_children())) == 1:  # a wrapper is no block
        prefix, root = f"{prefix}{children[0][0]}.", children[0][1]
    blocks = set()
    stack = [(prefix + name, child) for name, child in root.named_children()]
    while stack:
        name, module = stack.pop()
        if type(module) in _CONTAINERS:
            stack.extend((f"{name}.{key}", child) for key, child in module.named_children())
        elif any(module.children()) or isinstance(module, _WEIGHT):
            blocks.add(name)
    return blocks


def _activates(module: nn.Module) -> bool:
    inside = type(module).__module__ == nn.ReLU.__module__
    return inside and not isinstance(module, nn.MultiheadAttention)


def _named(names: tuple[str, ...], seen: list[Layer]) -> tuple[Layer, ...]:
    known = {layer.module for layer in seen} | {layer.name for layer in seen}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        shown = list(dict.fromkeys(layer.module for layer in seen))
        more = f" and {len(shown) - 40} more" if len(shown) > 40 else ""
        raise ValueError(
            problem(
                "layers that do not run cannot be seen",
                f"got layers={', '.join(map(repr, unknown)) or '()'}",
                f"Choose layers= from {', '.join(map(repr, GROUPS))}, or of the modules that run: "
                f"{', '.join(shown[:40]) or 'none'}{more}",
            )
        )
    return tuple(layer for layer in seen if layer.module in names or layer.name in names)


def _nothing(network: Network, layers: str, seen: list[Layer], functional: int) -> NoLayer:
    others = list(dict.fromkeys(layer.module for layer in seen))[:40]
    what = "Conv2d or Linear" if layers == "weight" else layers.removesuffix("s")
    calls = f"; {functional} convolutions or linear maps are function calls" if functional else ""
    return NoLayer(
        problem(
            f"layers={layers!r} finds nothing in {type(network.model).__name__}",
            f"no {what} module runs in its forward{calls}",
            f"Pass layers= as names of modules that run: {', '.join(others)}"
            if others
            else "Make the steps of forward modules; only input and logits can be seen like this",
        )
    )


def _name(module: str, use: int) -> str:
    if use == 0:
        return module
    number = use + 1
    teen = number % 100 // 10 == 1
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{module} ({number}{ending} use)"
