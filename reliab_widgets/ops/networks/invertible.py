"""Networks that lose nothing: every latent vector leads back to an image.

Behrmann et al. 2019, "Invertible residual networks", arXiv 1811.00995: a block is x + g(x), and g
shortens every difference, so that x is the one fixed point of y - g(x). Adversarial examples made
through the inverse: Bai, Bagchi and Inouye 2020, arXiv 2012.13111.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, cross_entropy

from ...core.wording import problem
from .tuning import Batch, Run, half

SIDE = 32  # pixels of an image
STEPS = 40
"""Of the fixed point; an error becomes ``bound`` times as large in each, at most."""
FIRST = 50  # rounds of power iteration on new weights; in training each step adds one


class BoundedConv2d(nn.Conv2d):
    """A convolution that makes no difference of two images more than ``bound`` times as long.

    Weights are divided by the largest factor by which they stretch an image, found by power
    iteration, where that exceeds the bound (Gouk et al. 2021, arXiv 1804.04368). torch's
    ``spectral_norm`` looks at the kernel as a flat matrix, which may stretch an image as many times
    more as its side has pixels.

    Parameters
    ----------
    inputs, outputs, kernel : int
        Channels, and the odd side of the kernel; maps keep their size.
    side : int
        Of the maps.
    bound : float
        The largest factor.

    Examples
    --------
    >>> layer = BoundedConv2d(2, 3, 1, side=4, bound=0.5).eval()
    >>> one, other = torch.rand(2, 1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> bool((layer(one) - layer(other)).norm() <= 0.5 * (one - other).norm())
    True
    """

    direction: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, side: int, bound: float) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.bound, self.margin = bound, kernel // 2
        start = torch.randn(1, inputs, side, side, generator=torch.Generator().manual_seed(0))
        self.register_buffer("direction", start)
        self.settle(FIRST)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the bounded weights."""
        if self.training:
            self.settle(1)
        return self._conv_forward(x, self.bounded(), self.bias)

    def bounded(self) -> Tensor:
        """Return the weights that are used."""
        with torch.autocast(self.weight.device.type, enabled=False):
            stretch = conv2d(self.direction, self.weight, padding=self.margin).norm()
        return self.weight * (self.bound / stretch).clamp(max=1)

    @torch.no_grad()
    def settle(self, rounds: int) -> None:
        """Turn ``direction`` towards the image that is stretched most, by power iteration."""
        with torch.autocast(self.weight.device.type, enabled=False):
            for _ in range(rounds):
                there = conv2d(self.direction, self.weight, padding=self.margin)
                back = conv_transpose2d(there, self.weight, padding=self.margin)
                if length := back.norm():  # weights that are all 0 stretch nothing
                    self.direction.copy_(back / length)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        if hasattr(self, "direction"):  # not yet when the layer is being made
            self.settle(FIRST)


class MaxMin(nn.Module):
    """Sort channels by twos, one from either half, the larger value first.

    It lengthens no difference and, unlike ELU or ReLU, shortens next to none, which is what a
    bounded network lacks: Anil, Lucas and Grosse 2019, arXiv 1811.05381.

    Examples
    --------
    >>> MaxMin()(torch.tensor([[1.0, 2.0, 3.0, 0.0]]))
    tensor([[3., 2., 1., 0.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Give (n, C, ...) for (n, C, ...), C even."""
        one, other = x.chunk(2, 1)
        return torch.cat([torch.maximum(one, other), torch.minimum(one, other)], 1)


class InvertibleBlock(nn.Module):
    """``x + branch(x)``, whose branch shortens every difference at least to ``bound``.

    Parameters
    ----------
    channels, width, side : int
        Channels of x and inside, both even; pixels along a side.
    bound : float
        Below 1.
    """

    def __init__(self, channels: int, width: int, side: int, bound: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in (
            (channels, width, 3),
            (width, width, 1),
            (width, channels, 3),
        ):
            layers += [MaxMin(), BoundedConv2d(inputs, outputs, kernel, side, bound ** (1 / 3))]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Give y ``(n, channels, side, side)``."""
        return x + self.branch(x)

    def inverse(self, y: Tensor, steps: int) -> Tensor:
        """Give x, as near as so many steps to the fixed point come."""
        x = y
        for _ in range(steps):
            x = y - self.branch(x)
        return x


class InvertibleResNet(nn.Module):
    """An invertible residual network with a linear layer on the whole latent vector.

    Channels become four times as many where the side is halved, so that nothing is lost.

    Parameters
    ----------
    classes : int
        Number of logits.
    blocks : tuple of int
        How many for each size of maps; the side is halved before each group.
    width : int
        Channels inside a branch.
    bound : float
        The largest factor of a branch, below 1.

    Examples
    --------
    >>> model = InvertibleResNet(blocks=(1, 1), width=4).eval()
    >>> images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> bool((model.inverse(model.latent(images)) - images).abs().max() < 1e-4)
    True
    """

    def __init__(
        self,
        classes: int = 10,
        blocks: tuple[int, ...] = (3, 3),
        width: int = 32,
        bound: float = 0.9,
    ) -> None:
        super().__init__()
        channels, side = 3, SIDE
        self.stages = nn.Sequential()
        for count in blocks:
            channels, side = 4 * channels, side // 2
            self.stages.append(
                nn.Sequential(
                    nn.PixelUnshuffle(2),
                    *(InvertibleBlock(channels, width, side, bound) for _ in range(count)),
                )
            )
        self.fc = nn.Linear(channels * side**2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(n, classes)`` for normalised images ``(n, 3, 32, 32)``."""
        return self.fc(self.latent(x))

    def latent(self, x: Tensor) -> Tensor:
        """Give latent vectors ``(n, 3072)`` of normalised images."""
        return self.stages(x).flatten(1)

    def inverse(self, latent: Tensor, steps: int = STEPS) -> Tensor:
        """Give the normalised images ``(n, 3, 32, 32)`` of latent vectors, as `latent` takes them.

        Images of latents that are those of no image in [0, 1] may be outside of it.
        """
        side = SIDE // 2 ** len(self.stages)
        x = latent.view(len(latent), -1, side, side)
        for stage in reversed(list(self.stages)):
            for block in reversed(list(stage.children())):
                if isinstance(block, InvertibleBlock):
                    x = block.inverse(x, steps)
            x = nn.functional.pixel_shuffle(x, 2)
        return x


def across(
    latent: Tensor, head: nn.Linear, sources: Tensor, targets: Tensor, margin: float = 0.0
) -> Tensor:
    """Return the nearest latent vectors at which a target has a larger logit than the source.

    No gradient is needed: the boundary between two classes of a linear layer is a plane.

    Parameters
    ----------
    latent : Tensor
        (n, F), what goes into ``head``.
    head : torch.nn.Linear
        From latent vectors to logits.
    sources, targets : Tensor
        (n,) classes.
    margin : float
        By how much the logit is larger.

    Examples
    --------
    >>> head = nn.Linear(2, 2, bias=False)
    >>> head.weight.data = torch.eye(2)
    >>> across(torch.tensor([[3.0, 1.0]]), head, torch.tensor([0]), torch.tensor([1])).detach()
    tensor([[2., 2.]])
    """
    apart = head.weight[targets] - head.weight[sources]
    gap = (latent * apart).sum(1)
    if head.bias is not None:
        gap = gap + head.bias[targets] - head.bias[sources]
    return latent + ((margin - gap) / apart.square().sum(1))[:, None] * apart


def latent_adversarial(
    run: Run,
    batch: Batch,
    *,
    mean: Tensor,
    std: Tensor,
    epsilon: float = 8 / 255,
    margin: float = 20.0,
    steps: int = 4,
) -> Tensor:
    """Return the cross-entropy of images that were changed where the classes are decided.

    Each latent vector is led over the boundary to the class that comes next, by ``margin``, then
    back to an image by ``steps`` of the inverse; the change is clipped to ``epsilon`` in the
    L-infinity norm, in pixel units, and the image to [0, 1]. A large margin makes the clipped
    change as large as it may be, and few steps are enough for it. ``mean`` and ``std`` (C, 1, 1)
    are those of the network's input.
    """
    model, head = run.model, run.head
    if not isinstance(model, InvertibleResNet) or head is None:
        seen = f"got {type(model).__name__}"
        raise TypeError(problem("no way back from the latent", seen, "Use an InvertibleResNet"))
    with torch.no_grad(), half(batch.images.device):
        others = run(batch.images).scatter(1, batch.targets[:, None], -torch.inf).argmax(1)
        moved = across(run.features, head, batch.targets, others, margin)
        there = model.inverse(moved, steps) * std + mean
        change = (there - batch.images).clamp(-epsilon, epsilon)
    return cross_entropy(run((batch.images + change).clamp(0, 1)), batch.targets)
