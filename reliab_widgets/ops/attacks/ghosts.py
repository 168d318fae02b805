"""Ghosts of a network: its features eroded anew in every step that an attack climbs.

One network stands for many that are nearly alike, so that what fools it fools others, too: that is
the hope. Li et al. 2020, "Learning transferable adversarial examples via ghost networks", arXiv
1812.03413.

A network with shortcuts has each channel of each shortcut multiplied by a number from 1 - L to
1 + L. Any other loses channels behind its convolutions, each with chance L, and the rest is
enlarged by as much; the paper drops single values there. One number for a channel, shared by the
images, so that an image has the same ghosts in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...core.network import Network
from ...core.wording import problem
from ..features.steps import SUMS

CONVOLUTIONS = {F.conv2d}
DEEPER = {
    *CONVOLUTIONS,
    F.linear,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    F.multi_head_attention_forward,
    F.scaled_dot_product_attention,
}
"""Functions that make a path longer: the shortcut is the path with fewer of them."""


@dataclass(frozen=True)
class Ghosts:
    """How the ghosts of a network are made.

    Parameters
    ----------
    strength : float
        L, at least 0 and below 1; with 0 there are no ghosts.
    count : int, optional
        How many there are, which take turns; by default every step has one of its own.
    seed : int
        What they are drawn from.
    """

    strength: float
    count: int | None = None
    seed: int = 0

    def generator(self, step: int, member: int = 0) -> np.random.Generator:
        """Return what the ghost of a step is drawn from.

        Examples
        --------
        >>> ghosts = Ghosts(0.1, count=3)
        >>> float(ghosts.generator(0).random()) == float(ghosts.generator(3).random())
        True
        """
        number = step if self.count is None else step % self.count
        return np.random.default_rng((self.seed, member, number))


def shortcuts(network: Network, image: Tensor, name: str = "the network") -> tuple[int, ...]:
    """Tell for each sum of a pass which of its two parts is a shortcut.

    Parameters
    ----------
    network : Network
        Whose.
    image : Tensor
        (1, C, H, W).
    name : str
        What it is called, for the error.

    Returns
    -------
    tuple of int
        0 or 1, and -1 where neither is; empty where no sum has a shortcut, so that convolutions are
        eroded instead.

    Raises
    ------
    ValueError
        There are no convolutions either.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> shortcuts(subject.network, subject.images[:1])
    (1, 1, 1, 1, 1, 1, 1, 1, 1)
    """
    with torch.inference_mode(False), torch.enable_grad():  # as an attack runs it
        start = image.clone().requires_grad_(network.gradients)
        with _Watching(start) as seen:
            network.logits(start)
    if any(it >= 0 for it in seen.shortcuts):
        return tuple(seen.shortcuts)
    if not seen.convolutions:
        fix = "Pass ghost=0, or leave that network out"
        seen_words = "it has no shortcut and no convolution"
        raise ValueError(problem(f"{name} has nothing that ghosts erode", seen_words, fix))
    return ()


class _Watching(TorchFunctionMode):
    """Sees in one pass of this thread how many weights each tensor has gone through."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.shortcuts: list[int] = []
        self.convolutions = 0
        self._depth = {id(start): 0}
        self._kept = [start]  # so that no other tensor gets its id

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        known = self._known((*args, *(kwargs or {}).values()))
        if func in SUMS:
            self.shortcuts.append(self._shortcut(args))
        output = func(*args, **(kwargs or {}))
        self.convolutions += func in CONVOLUTIONS
        if known:
            for it in output if isinstance(output, tuple | list) else (output,):
                if isinstance(it, Tensor):
                    self._depth[id(it)] = max(known) + (func in DEEPER)
                    self._kept.append(it)
        return output

    def _known(self, given: Any) -> list[int]:
        parts = [it for one in given for it in (one if isinstance(one, tuple | list) else (one,))]
        return [self._depth[id(it)] for it in parts if id(it) in self._depth]

    def _shortcut(self, args: Any) -> int:
        depths = [self._depth.get(id(it)) for it in args[:2]]
        if None in depths or len(set(depths)) < 2 or args[0].shape != args[1].shape:
            return -1
        return 0 if depths[0] < depths[1] else 1  # type: ignore[operator]


class Eroding(TorchFunctionMode):
    """Makes what this thread's pass gives that of a ghost; the network itself is not touched.

    Parameters
    ----------
    strength : float
        Of the erosion.
    places : tuple of int
        As `shortcuts` gives them.
    generator : numpy.random.Generator
        Draws the ghost.
    """

    def __init__(
        self, strength: float, places: tuple[int, ...], generator: np.random.Generator
    ) -> None:
        super().__init__()
        self._strength, self._places, self._generator = strength, places, generator
        self._sums = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in SUMS and self._sums < len(self._places):
            place = self._places[self._sums]
            self._sums += 1
            if place >= 0 and not kwargs:  # at once, which is a pass over the features less
                return torch.addcmul(args[1 - place], args[place], self._share(args[place]))
        output = func(*args, **(kwargs or {}))
        if self._places or func not in CONVOLUTIONS:
            return output
        return output * self._share(output)

    def _share(self, features: Tensor) -> Tensor:
        """Draw what each channel is multiplied by."""
        shape, last = features.shape, features.ndim - 1
        # Images whose channels come last have two equal sides before them.
        square = features.ndim == 4 and shape[1] == shape[2] != shape[3]
        axis = last if square or features.ndim < 4 else 1
        size, strength = shape[axis], self._strength
        if self._places:
            drawn = self._generator.uniform(1 - strength, 1 + strength, size)
        else:
            drawn = (self._generator.random(size) >= strength) / (1 - strength)
        share = torch.from_numpy(drawn).to(features)
        return share.view([size if it == axis else 1 for it in range(features.ndim)])
