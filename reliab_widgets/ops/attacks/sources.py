"""What an attack is made on, where it is meant for others: a network, its ghosts, an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...core.engine import pulse
from ...core.network import Network
from .ghosts import Eroding, Ghosts

FUSED = ("logits", "losses")
"""What an ensemble takes the mean of: Dong et al. 2018, arXiv 1710.06081, section 3.3."""


@dataclass(frozen=True)
class Member:
    """A network among others that name their classes in another order, perhaps.

    Parameters
    ----------
    network : Network
        Pixels in, logits out.
    order : tuple of int
        Which column is class 0, 1, ... of all; empty where that is their order.
    places : tuple of int
        Where it has shortcuts, see `ghosts.shortcuts`.
    """

    network: Network
    order: tuple[int, ...] = ()
    places: tuple[int, ...] = ()

    def __call__(self, images: Tensor) -> Tensor:
        """Give (n, K) logits in the common order, on the device of the images."""
        logits = self.network.logits(images).to(images.device)
        return logits[:, list(self.order)] if self.order else logits


class Source(nn.Module):
    """One network or several, with ghosts or without, as one model for an attack to climb.

    Ghosts are there only where a slope is asked for: whoever asks for answers gets those of the
    network itself.

    Parameters
    ----------
    members : sequence of Member
        Whose logits are averaged.
    ghosts : Ghosts, optional
        How each is eroded in every pass with a slope.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")[:2]
    >>> source = Source([Member(subject.network)], Ghosts(0.3))
    >>> torch.equal(source(subject.images), subject.network.logits(subject.images))
    True
    >>> images = subject.images.clone().requires_grad_()
    >>> torch.equal(source(images), subject.network.logits(images))
    False
    """

    def __init__(self, members: Sequence[Member], ghosts: Ghosts | None = None) -> None:
        super().__init__()
        # No parts of it, so that nothing done to a module can reach them.
        self._members, self._ghosts = tuple(members), ghosts or Ghosts(0)
        self._steps = 0
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Give (n, K) logits of (n, C, H, W) images, the mean of all members."""
        parts = self._parts(images)
        return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)

    def _parts(self, images: Tensor) -> list[Tensor]:
        pulse()
        if not (self._ghosts.strength and torch.is_grad_enabled() and images.requires_grad):
            return [member(images) for member in self._members]
        step, self._steps = self._steps, self._steps + 1
        found = []
        for number, member in enumerate(self._members):
            drawn = self._ghosts.generator(step, number)
            with Eroding(self._ghosts.strength, member.places, drawn):
                found.append(member(images))
        return found


class OfLosses(Source):
    """The same, where the mean of the members' losses is climbed."""

    def each(self, images: Tensor) -> Tensor:
        """Give the logits of each member, (M, n, K)."""
        return torch.stack(self._parts(images))
