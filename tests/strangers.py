"""Networks as strangers write them: what they do to channels is more than one layer after another.

All of them take (n, 3, 8, 8) images to 4 logits; `first` makes 8 channels, `second` reads what has
become of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune


class Between(nn.Module):
    """A convolution, a function of its channels, a convolution, and a linear layer."""

    def __init__(self, between: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.between = between
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(width, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.between(self.first(x))).relu().mean((2, 3)))


def gated(x: Tensor) -> Tensor:
    values, gates = x.chunk(2, 1)
    return values * gates.sigmoid()


def split(x: Tensor) -> Tensor:
    a, b = torch.split(x, [4, x.shape[1] - 4], 1)
    return a.relu() + b.tanh()


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def in_heads(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    heads = x.view(n, 2, c // 2, h * w)
    return (heads.softmax(2) * heads).reshape(n, c, h, w)


def unbound(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    a, b = x.view(n, 2, c // 2, h, w).unbind(1)
    return a * b.sigmoid()


def interleaved(x: Tensor) -> Tensor:
    return x[:, ::2].relu() * x[:, 1::2]


def permuted(x: Tensor) -> Tensor:
    return torch.index_select(x, 1, torch.arange(x.shape[1] - 1, -1, -1))


BETWEEN: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "chunk": (gated, 4),
    "split": (split, 4),
    "glu": (lambda x: F.glu(x, 1), 4),
    "unbind": (unbound, 4),
    "interleaved": (interleaved, 4),
    "pixel shuffle": (lambda x: F.pixel_shuffle(x, 2), 2),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 2), 32),
    "channel shuffle": (shuffled, 8),
    "heads": (in_heads, 8),
    "flip": (lambda x: x.flip(1), 8),
    "roll": (lambda x: x.roll(1, 1), 8),
    "index select": (permuted, 8),
    "first channel": (lambda x: x + x[:, :1], 8),
    "last channel": (lambda x: x * x[:, -1:].sigmoid(), 8),
    "spatial attention": (lambda x: x * x.mean(1, keepdim=True).sigmoid(), 8),
    "softmax of channels": (lambda x: x.softmax(1), 8),
    "unit length": (lambda x: F.normalize(x, dim=1), 8),
    "group norm": (lambda x: F.group_norm(x, 2), 8),
    "padded": (lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)), 12),
    "repeated": (lambda x: x.repeat(1, 2, 1, 1), 16),
    "twice": (lambda x: torch.cat([x, x.relu()], 1), 16),
    "maxout": (lambda x: torch.maximum(*x.chunk(2, 1)), 4),
    "relu": (torch.relu, 8),
}
"""What may stand between two convolutions, and how many channels it leaves."""


class PaddedShortcut(nn.Module):
    """The shortcut of CIFAR's ResNets: the missing channels are zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = self.second(x) + F.pad(x, (0, 0, 0, 0, 2, 2))
        return self.fc(x.relu().mean((2, 3)))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.down, self.up = (
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 3, 1),
            nn.Conv2d(3, 8, 1),
        )
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.fc(x.mean((2, 3)))


class TwoOutputs(nn.Module):
    """A block that gives two tensors, and a second head whose answer nobody wants."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x), self.b(x)

    def __init__(self) -> None:
        super().__init__()
        self.block, self.fc, self.other = self.Block(), nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        a, b = self.block(x)
        features = (a.relu() * b.sigmoid()).mean((2, 3))
        return {"logits": self.fc(features), "other": self.other(features)}


class Tied(nn.Module):
    """Two layers with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second, self.third = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.third.weight = self.second.weight
        self.fourth, self.fc = nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.third(self.second(self.first(x).relu()).relu()).relu()
        return self.fc(self.fourth(x).relu().mean((2, 3)))


class Twice(nn.Module):
    """One layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.fc(self.again(self.again(x).relu()).relu().mean((2, 3)))


class Attention(nn.Module):
    """One head written by hand: what is multiplied are no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.out, self.fc = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        weights = (self.q(x) @ self.k(x).transpose(1, 2)).softmax(2)
        return self.fc(self.out(weights @ self.v(x)).relu().mean(1))


class ByFunction(nn.Module):
    """A convolution that is no module, between two that are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(6, 7, 3)
        self.kernel = nn.Parameter(torch.randn(6, 8, 1, 1))
        self.fc = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(self.first(x).relu(), self.kernel).relu()
        return self.fc(self.second(input=x).relu().mean((2, 3)))


class SameConv(nn.Conv2d):
    """A convolution that pads by a module of its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)
        self.pad = nn.ZeroPad2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.pad(x), self.weight, self.bias)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


class InBFloat16(nn.Module):
    """Autocast inside forward."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x)


class Differentiating(nn.Module):
    """Takes a gradient in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            z = x if x.requires_grad else x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.conv(z).tanh().sum(), z, create_graph=True)
        return self.fc(self.conv(x + slope).relu().mean((2, 3)))


class ChannelsLast(nn.Module):
    """A block of linear layers on (n, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 12, 2, stride=2), nn.Linear(12, 4)
        self.block = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 12), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Windows(nn.Module):
    """Passes parts of an image as if they were images, as windows of attention are."""

    def __init__(self, image_first: bool) -> None:
        super().__init__()
        self.first, self.image_first = nn.Conv2d(3, 6, 3, padding=1), image_first
        self.inner = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).flatten(2).unflatten(2, (4, -1))  # (n, C, 4 windows, places)
        parts = x.permute((0, 2, 3, 1) if self.image_first else (2, 0, 3, 1))
        seen = self.inner(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
        return self.last(seen.mean((1 if self.image_first else 0, 2)))


def chain(*, last: nn.Module | None = None) -> nn.Sequential:
    """Two convolutions and a linear layer, all modules."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU() if last is None else last,
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


class OnlyTrained(nn.Module):
    """Gives one answer to all images as soon as its weights are drawn anew."""

    def __init__(self) -> None:
        super().__init__()
        self.net = draw(chain())
        nn.init.constant_(self.net[6].bias, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * float(self.net[6].bias[0] == 7)


def orthogonal() -> nn.Module:
    model = chain()
    parametrizations.orthogonal(model[2])
    return model


def weight_normed() -> nn.Module:
    model = chain()
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[2])
    return model


def masked() -> nn.Module:
    model = chain()
    prune.l1_unstructured(model[2], "weight", 0.5)
    nn.utils.spectral_norm(model[0])
    return model


def transposed() -> nn.Module:
    model = chain()
    model[2].weight = nn.Parameter(model[2].weight.detach().permute(1, 0, 2, 3))
    return model


def draw(model: nn.Module) -> nn.Module:
    """Return the model in eval mode, with weights and statistics that let all channels matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and "parametrizations" not in name:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return model.eval()
