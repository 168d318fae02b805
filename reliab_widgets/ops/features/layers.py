"""The layers that run inside a network: which there are, in what order, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...core.batching import out_of_memory
from ...core.knobs import Choice, Fact, Several, Text
from ...core.network import Network
from ...core.wording import problem
from .rows import WHOLE, Rows, whose
from .steps import FUNCTIONS, WEIGHTS, Inside, Step, watching

GROUPS = ("weight", "blocks", "activations")
_OTHER = 20_201_103  # seeds an image that nobody has
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_FOUND: WeakKeyDictionary[Network, dict[Any, Any]] = WeakKeyDictionary()


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
    """One use of one module, or of a function with weights, in a forward pass.

    Parameters
    ----------
    name : str
        The module's name; of a second use ``"relu (2nd use)"``.
    module : str
        Its name in the network; of a function that of the weights which it applies; inside of
        `nn.MultiheadAttention` ``"attention.q"``, ``.k``, ``.v`` and ``.out_proj``.
    use : int
        Which use of the module this is, from 0.
    type : str
        Its class, ``"Conv2d"``, or the function, ``"linear"``.
    shape : tuple of int
        Of its output, for one image.
    differs : bool
        Whether gradients lead from it to the image.
    rows : Rows
        Which rows of its output belong to which image.

    Examples
    --------
    >>> Layer("fc", "fc", 0, "Linear", (10,)).differs
    True
    """

    name: str
    module: str
    use: int
    type: str
    shape: tuple[int, ...]
    differs: bool = True
    rows: Rows = WHOLE


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
        ``"weight"`` (every Conv2d and Linear, those that are functions and those inside of
        attention, too); ``"blocks"`` (modules made of others, the outermost that hold no row of
        blocks themselves, and the Conv2d and Linear outside of them);
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
    >>> len(found), found[0].name, found[0].shape
    (22, 'conv1', (16, 32, 32))
    """
    # A slider asks again and again, and what runs does not change.
    wanted = layers if isinstance(layers, str) else tuple(layers)
    known = _FOUND.setdefault(network, {})
    key = (tuple(image.shape[1:]), wanted)
    if key not in known:
        known[key] = _find(network, image, wanted)
    return known[key]


def every(network: Network, image: Tensor) -> tuple[Layer, ...]:
    """Pass an image (1, C, H, W) and list every step, whatever it is.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> [layer.name for layer in every(subject.network, subject.images[:1])][:3]
    ['conv1', 'bn1', 'relu']
    """
    return _looked(network, image)[0]


def attends(network: Network, image: Tensor) -> bool:
    """Tell whether any step computes attention on an image (1, C, H, W).

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> attends(subject.network, subject.images[:1])
    False
    """
    return bool(_looked(network, image)[2].attends)


def _looked(network: Network, image: Tensor) -> tuple[tuple[Layer, ...], tuple[str, ...], Inside]:
    known = _FOUND.setdefault(network, {})
    key = tuple(image.shape[1:])
    if key not in known:
        runs, notes, inside = _run(network, image)
        seen = tuple(
            Layer(
                name=_name(ran.module, ran.use),
                module=ran.module,
                use=ran.use,
                type=ran.type,
                shape=ran.shape,
                differs=ran.differs,
                rows=ran.rows,
            )
            for ran in runs
        )
        known[key] = seen, notes, inside
    return known[key]


def _find(
    network: Network, image: Tensor, layers: str | tuple[str, ...]
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    modules = dict(network.model.named_modules())
    seen, notes, inside = _looked(network, image)
    if isinstance(layers, str) and layers in GROUPS:
        if layers == "weight":
            found = tuple(it for it in seen if _weighs(modules.get(it.module)))
        else:
            chosen = (
                _blocks(network.model, inside)
                if layers == "blocks"
                else {name for name, module in modules.items() if _activates(module)}
            )
            found = tuple(layer for layer in seen if layer.module in chosen)
        if not found:
            raise _nothing(network, layers, seen)
    else:
        found = _named((layers,) if isinstance(layers, str) else layers, seen)
    return found, notes if layers == "weight" else ()


def _not_seen(names: list[str], one: str, many: str) -> tuple[str, ...]:
    if not names:
        return ()
    first = f"{names[0]}{' and others' * (len(names) > 1)}"
    return (f"{len(names)} layer{f's {many}' if len(names) > 1 else f' {one}'}: {first}",)


def _weighs(module: nn.Module | None) -> bool:
    """Tell whether a step applies weights: such a module, or (None) a function."""
    return module is None or isinstance(module, WEIGHTS)


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
        Given the layer's place in ``layers`` and its output, (n, ...), one row for each image.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> layer = Layer("1", "1", 0, "Linear", (2,))
    >>> with observing(model, [layer], lambda place, output: print(place, output.shape)):
    ...     _ = model(torch.zeros(3, 1, 2, 2))
    0 torch.Size([3, 2])
    """
    places = {(layer.module, layer.use): place for place, layer in enumerate(layers)}

    def pass_on(step: Step) -> None:
        place = places.get((step.name, step.use))
        if place is not None:
            see(place, layers[place].rows.by_image(step.output))

    functions = any(layer.type in FUNCTIONS for layer in layers)
    with watching(model, pass_on, {layer.module for layer in layers}, functions=functions):
        yield


# --- looking once -----------------------------------------------------------------------------


class _Ran(NamedTuple):
    """A step, whether gradients lead from it to the image, and whose rows its output has."""

    module: str
    use: int
    type: str
    shape: tuple[int, ...]
    differs: bool
    rows: Rows


def _run(network: Network, image: Tensor) -> tuple[list[_Ran], tuple[str, ...], Inside]:
    """Give what ran, notes on what is not seen, and who does what."""
    other = torch.rand(image.shape, generator=torch.Generator().manual_seed(_OTHER)).to(image)
    try:
        return _run_on(network, torch.cat([image, other, image]))  # what `whose` tells apart
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    return _run_on(network, image)


def _run_on(network: Network, images: Tensor) -> tuple[list[_Ran], tuple[str, ...], Inside]:
    modules = dict(network.model.named_modules())
    runs: list[_Ran] = []
    mixed: dict[str, None] = {}
    blind: dict[str, None] = {}
    slopes = network.gradients

    def see(step: Step) -> None:
        weighs = _weighs(modules.get(step.name))
        rows = whose(step.output, len(images)) if step.output.ndim > 1 else None
        if rows is not None:
            seen = tuple(rows.by_image(step.output).shape[1:])
            differs = step.output.grad_fn is not None
            runs.append(_Ran(step.name, step.use, step.type, seen, differs, rows))
        elif weighs:
            tied = step.output.requires_grad or not slopes
            (mixed if tied else blind).setdefault(step.name)

    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        watching(network.model, see) as inside,
    ):
        network.logits(images.clone().requires_grad_(slopes))
    whose_rows = "rows of which it cannot be told whose images they are"
    notes = (
        *_not_seen(list(mixed), f"gives {whose_rows}", f"give {whose_rows}"),
        *_not_seen(list(blind), "sees no image", "see no image"),
    )
    return runs, notes, inside


def _blocks(model: nn.Module, inside: Inside) -> set[str]:
    """Return the outermost modules made of others that hold no row of blocks themselves."""
    root, prefix = model, ""
    while len(children := list(root.named_children())) == 1:  # a wrapper is no block
        prefix, root = f"{prefix}{children[0][0]}.", children[0][1]

    def holds_many(name: str) -> bool:
        attends, adds = (
            sum(it == name or it.startswith(f"{name}.") for it in some) for some in inside
        )
        return attends > 1 or (not attends and adds > 1)

    blocks = set()
    stack = [(prefix + name, child) for name, child in root.named_children()]
    while stack:
        name, module = stack.pop()
        if type(module) in _CONTAINERS or holds_many(name):
            stack.extend((f"{name}.{key}", child) for key, child in module.named_children())
        elif any(module.children()) or isinstance(module, WEIGHTS):
            blocks.add(name)
    return blocks


def _activates(module: nn.Module) -> bool:
    inside = type(module).__module__ == nn.ReLU.__module__
    return inside and not isinstance(module, nn.MultiheadAttention)


def _named(names: tuple[str, ...], seen: Sequence[Layer]) -> tuple[Layer, ...]:
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


def _nothing(network: Network, layers: str, seen: Sequence[Layer]) -> NoLayer:
    others = list(dict.fromkeys(layer.module for layer in seen))[:40]
    what = "Conv2d or Linear" if layers == "weight" else layers.removesuffix("s")
    return NoLayer(
        problem(
            f"layers={layers!r} finds nothing in {type(network.model).__name__}",
            f"no {what} module runs in its forward",
            f"Pass layers= as names of steps that run: {', '.join(others)}"
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
