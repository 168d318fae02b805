"""Tiny networks whose weights are typed in, so that expected numbers can be computed by hand.

`Brightness` is the well-behaved one; each of the others misbehaves in one way in which models of
users do.
"""

from collections import namedtuple

import torch
from torch import Tensor, nn


class Brightness(nn.Module):
    """For images of mean m in [0, 1] the logits are (2 m, 2 - 2 m, 0.5), at any size.

    The convolution gives (x, 1 - x), where x is the mean over the channels of a pixel.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 3)
        with torch.no_grad():
            self.conv.weight[0] = 1 / channels
            self.conv.weight[1] = -1 / channels
            self.conv.bias.copy_(torch.tensor([0.0, 1.0]))
            self.fc.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
            self.fc.bias.copy_(torch.tensor([0.0, 0.0, 0.5]))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


def brightness_logits(means: list[float]) -> Tensor:
    """What `Brightness` gives, by hand."""
    return torch.tensor([[2 * m, 2 - 2 * m, 0.5] for m in means])


def flat_images(means: list[float], channels: int = 1, size: int = 8) -> Tensor:
    """(N, channels, size, size) images of one grey level each."""
    return torch.tensor(means).view(-1, 1, 1, 1).expand(-1, channels, size, size).clone()


class Counting(Brightness):
    """Writes down the number of images of every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return super().forward(x)


class Wrapped(nn.Module):
    """Something done to the logits of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Brightness()
        self.eval()

    def forward(self, x: Tensor) -> object:
        return self.net(x)


class DictOutput(Wrapped):
    def forward(self, x: Tensor) -> object:
        return {"features": x, "logits": self.net(x)}


class TwoTables(Wrapped):
    """Two parts of a dict could be the logits, and neither says so."""

    def forward(self, x: Tensor) -> object:
        return {"main": self.net(x), "auxiliary": -self.net(x)}


class TupleOutput(Wrapped):
    """A feature map, then logits."""

    def forward(self, x: Tensor) -> object:
        return x, self.net(x)


Answer = namedtuple("Answer", ["scores", "features"])


class NamedOutput(Wrapped):
    def forward(self, x: Tensor) -> object:
        return Answer(self.net(x), x)


class Softmax(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.net(x).softmax(1)


class OneLogit(Wrapped):
    """z = 2 m - 1."""

    def forward(self, x: Tensor) -> object:
        return x.mean((1, 2, 3))[:, None] * 2 - 1


class OneProbability(OneLogit):
    """p = sigmoid(2 m - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Sigmoid()

    def forward(self, x: Tensor) -> object:
        return self.last(super().forward(x))


class ManySigmoids(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.net(x).sigmoid()


class Maps(Wrapped):
    """Logits for every pixel."""

    def forward(self, x: Tensor) -> object:
        return x.expand(-1, 3, -1, -1)


class Squeezed(Wrapped):
    """(3,) instead of (1, 3), of one image."""

    def forward(self, x: Tensor) -> object:
        return self.net(x).squeeze()


class NotATensor(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.net(x).detach().numpy()


class BrightIsNaN(Wrapped):
    """NaN for images whose mean is above 0.9."""

    def forward(self, x: Tensor) -> object:
        bright = x.mean((1, 2, 3))[:, None] > 0.9
        return self.net(x).masked_fill(bright, float("nan"))


class Blocked(Wrapped):
    """Lets no gradient through."""

    def forward(self, x: Tensor) -> object:
        return self.net(x.detach())


class RefusesGradients(Wrapped):
    """numpy inside forward: torch refuses tensors that require gradients."""

    def forward(self, x: Tensor) -> object:
        return self.net(torch.from_numpy(x.numpy().copy()))


class AlwaysDropout(Wrapped):
    def forward(self, x: Tensor) -> object:
        return nn.functional.dropout(self.net(x), 0.5, training=True)


class Remembers(Wrapped):
    """Every pass adds one to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, x: Tensor) -> object:
        self.passes += 1
        return self.net(x) + self.passes


class InPlace(Wrapped):
    """Changes its input."""

    def forward(self, x: Tensor) -> object:
        return self.net(x.mul_(0.5))


class Views(nn.Module):
    """`view` refuses channels_last (of several channels); fits 8 x 8 images only."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1)
        self.fc = nn.Linear(128, 3)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.01)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).view(len(x), -1))


class Hungry(Counting):
    """Says that memory ran out when a pass has more images than `most`."""

    most = 3
    words = (
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise RuntimeError(self.words)
        return super().forward(x)


class Uncopyable(Brightness):
    def __deepcopy__(self, memo: dict) -> "Uncopyable":
        raise RuntimeError("holds a lock.\nsecond line")


class Broken(Brightness):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such layer")
