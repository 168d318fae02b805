"""Which steps still hold places of the image, and how their outputs become maps.

Found by what changes: noise in the upper left of an image moves the change up along the axis of the
rows, and along no axis of channels; so channels are told from places, and class tokens from the
rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...core.network import Network
from .layers import Layer, every, observing

_EXTRA = 16  # class, register and distillation tokens, at most
_MOVED = 0.02  # of its length the change moves along an axis of places, at least
_FOUND: WeakKeyDictionary[Network, dict[tuple[int, ...], dict[str, Places]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Places:
    """Where the places of the image are in the output of a layer.

    Parameters
    ----------
    layer : Layer
        The last use, if there are several.
    axis : int
        Of the output of one image: where its rows begin, or where its tokens are.
    grid : (int, int)
        Rows and columns.
    extra : int or None
        How many tokens come before those of places; None where rows and columns have axes each.

    Examples
    --------
    >>> places = Places(Layer("block", "block", 0, "Block", (5, 8)), 0, (2, 2), 1)
    >>> places.maps(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 8, 2, 2])
    """

    layer: Layer
    axis: int
    grid: tuple[int, int]
    extra: int | None = None

    def maps(self, output: Tensor) -> Tensor:
        """Return (n, C, rows, columns) of what the layer gave for n images."""
        if self.extra is None:
            return output if self.axis == 1 else output.movedim(3, 1)
        tokens = output.movedim(1 + self.axis, 2)[:, :, self.extra :]
        return tokens.unflatten(2, self.grid)


def places(network: Network, image: Tensor) -> dict[str, Places]:
    """Return the steps that hold places, in the order in which they run, by their names.

    Parameters
    ----------
    network : Network
        Of a Subject.
    image : Tensor
        (1, C, H, W) in [0, 1].

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> found = places(subject.network, subject.images[:1])
    >>> found["layer3.2"].grid, "fc" in found
    ((8, 8), False)
    """
    known = _FOUND.setdefault(network, {})
    size = tuple(image.shape[1:])
    if size not in known:
        known[size] = _find(network, image)
    return known[size]


def _find(network: Network, image: Tensor) -> dict[str, Places]:
    modules = dict(network.model.named_modules())
    layers = [
        layer
        for layer in every(network, image)
        if len(layer.shape) in (2, 3)
        and (layer.differs or not network.gradients)  # or made of constants
        and layer.type != "Softmax"
        and (layer.type != "MultiheadAttention" or layer.module in modules)  # or lies aside
    ]
    size = tuple(image.shape[2:])
    unsure = [it for it in layers if len(it.shape) == 2 or len(_maps(it, size)) > 1]
    changes = dict(zip(unsure, _changes(network, image, unsure), strict=True)) if unsure else {}
    found: dict[str, Places | None] = {}
    grids: dict[tuple[int, int], None] = {}
    for layer in layers:
        one = _of(layer, changes.get(layer), size, list(grids))
        if one is not None and one.extra is None:
            grids[one.grid] = None
        if layer.module in found and found[layer.module] is None:
            continue  # another use of it has none
        found[layer.module] = one
    return {name: one for name, one in found.items() if one is not None}


def _of(
    layer: Layer,
    change: list[Tensor] | None,
    size: tuple[int, ...],
    grids: list[tuple[int, int]],
) -> Places | None:
    some = _maps(layer, size)
    if len(layer.shape) == 2:
        some = [
            Places(layer, axis, grid, tokens - grid[0] * grid[1])
            for axis, tokens in enumerate(layer.shape)
            for grid in _grids(tokens, grids, size)
            if grid[0] * grid[1] > 1
        ]
    if change is None or not some:
        return some[0] if some else None
    best = max(some, key=lambda one: _moved(one, change))
    silent = not any(axis.any() for axis in change)
    # Maps have the image's proportions; so many tokens may be channels as well.
    return best if silent or best.extra is None or _moved(best, change) > _MOVED else None


def _maps(layer: Layer, size: tuple[int, ...]) -> list[Places]:
    """Return how the output may be a map of an image of that size, with channels first or last."""
    if len(layer.shape) != 3:
        return []
    some = [
        Places(layer, axis, (layer.shape[axis], layer.shape[axis + 1]))
        for axis in (1, 0)
        if _fits(layer.shape[axis : axis + 2], size)
    ]
    return [one for one in some if one.grid[0] * one.grid[1] > 1]


def _fits(grid: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Tell whether this could be an image of that size, made smaller."""
    (height, width), (rows, columns) = grid, size
    if height > rows or width > columns:
        return False
    if rows == columns:
        return height == width
    return abs(height * columns - width * rows) < max(rows, columns)  # but for rounding


def _grids(
    tokens: int, seen: list[tuple[int, int]], size: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Return the grids that so many tokens may have: of maps seen before, or the largest."""
    fewest = max(1, tokens - _EXTRA)
    if known := [it for it in seen if fewest <= it[0] * it[1] <= tokens]:
        return known
    for count in range(tokens, fewest - 1, -1):
        sides = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
        if fit := [it for it in sides if _fits(it, size)]:
            return fit
    return []


def _moved(one: Places, change: list[Tensor]) -> float:
    """Return how far the change moves along rows or columns, the less, in parts of their length."""
    if one.extra is None:
        rows, columns = change[one.axis], change[one.axis + 1]
    else:
        grid = change[one.axis][:, one.extra :].unflatten(1, one.grid)
        rows, columns = grid.sum(2), grid.sum(1)
    up, down = _centres(rows)
    left, right = _centres(columns)
    return float(min(down - up, right - left))


def _centres(profile: Tensor) -> Tensor:
    places = (torch.arange(profile.shape[1], dtype=profile.dtype) + 0.5) / profile.shape[1]
    return (profile * places).sum(1) / profile.sum(1).clamp_min(1e-30)


def _changes(network: Network, image: Tensor, layers: list[Layer]) -> list[list[Tensor]]:
    """Return, for each layer and axis, (2, length): the change by noise in each of two corners."""
    generator = torch.Generator().manual_seed(20_201_103)
    noise = torch.rand(image.shape, generator=generator).to(image)
    height, width = image.shape[2] // 2, image.shape[3] // 2
    corners = (
        (slice(0, height), slice(0, width)),
        (slice(height, None), slice(width, None)),
    )
    found: list[list[Tensor]] = [
        [torch.zeros(2, length, dtype=torch.float64) for length in layer.shape] for layer in layers
    ]
    for number, corner in enumerate(corners):
        noisy = image.clone()
        noisy[..., *corner] = noise[..., *corner]

        def see(place: int, output: Tensor, number: int = number) -> None:
            if output.shape != (2, *layers[place].shape):
                return
            change = (output[1] - output[0]).detach().abs().double()
            for axis, moved in enumerate(found[place]):
                moved[number] = change.movedim(axis, 0).flatten(1).sum(1).cpu()

        with torch.inference_mode(False), torch.no_grad(), observing(network.model, layers, see):
            network.logits(torch.cat([image, noisy]))
    return found
