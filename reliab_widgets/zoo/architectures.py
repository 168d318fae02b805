"""The networks of the zoo, in their CIFAR sizes; `borrowed` has those of torchvision's blocks."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from torch import Tensor, nn

from ..ops.defences.unet import UNet
from ..ops.networks.blocks import ConvNormReLU, initialise
from ..ops.networks.invertible import InvertibleResNet
from ..ops.networks.stochastic import stochastic


class VGG11(nn.Module):
    """VGG-11 with batch norm for 32 x 32 images, at most 192 channels wide, one linear layer.

    Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image
    recognition", configuration A.

    Examples
    --------
    >>> import torch
    >>> VGG11()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        # The last two see 2 x 2 places: channels do more before them.
        layers: list[nn.Module] = []
        inputs = 3
        for stage in ([64], [128], [192, 192], [192, 160], [96, 96]):
            for outputs in stage:
                convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(96, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, 32, 32)``."""
        return self.classifier(self.features(x).flatten(1))


class ResNet20(nn.Module):
    """ResNet-20 for 32 x 32 images: three stages of three basic blocks, 16, 32, 64 channels wide.

    He et al. 2016, "Deep residual learning for image recognition", section 4.2; shortcuts that
    change the shape are 1 x 1 convolutions with batch norm. Modules are named as in torchvision.

    Parameters
    ----------
    classes : int
        Number of logits.
    dropout : float
        Share of channels dropped behind each stage while training.

    Examples
    --------
    >>> import torch
    >>> ResNet20()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, stride=1)
        self.layer2 = _stage(16, 32, stride=2)
        self.layer3 = _stage(32, 64, stride=2)
        if dropout:  # modules of the stages, so that the others need no new weights or hooks
            for stage in (self.layer1, self.layer2, self.layer3):
                stage.append(nn.Dropout2d(dropout))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, H, W)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class MobileNet(nn.Module):
    """MobileNet for 32 x 32 images: a quarter as wide, without the first two strides.

    Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision
    applications", arXiv 1704.04861, table 1. Dilated as in Wang et al. 2020 (Computational
    Intelligence and Neuroscience, 8817849), who do not say where: one depthwise convolution sees
    farther with the same weights.

    Parameters
    ----------
    classes : int
        Number of logits.
    dilated : int
        Which depthwise convolution takes every second pixel of 5 x 5; 0 for none.

    Examples
    --------
    >>> import torch
    >>> MobileNet(dilated=2)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10, dilated: int = 0) -> None:
        super().__init__()
        blocks = [(16, 1), (32, 1), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5]
        self.features = nn.Sequential(ConvNormReLU(3, 8, kernel_size=3, padding=1))
        inputs = 8
        for place, (outputs, stride) in enumerate([*blocks, (256, 2), (256, 1)], 1):
            spread = 2 if place == dilated else 1
            self.features += nn.Sequential(
                ConvNormReLU(
                    inputs,
                    inputs,
                    kernel_size=3,
                    stride=stride,
                    padding=spread,
                    dilation=spread,
                    groups=inputs,
                ),
                ConvNormReLU(inputs, outputs, kernel_size=1),
            )
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                # What goes out of one channel goes into one: the rule above takes it for all.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, H, W)``."""
        return self.fc(self.avgpool(self.features(x)).flatten(1))


class Small(nn.Module):
    """Three convolutions and a linear layer, for the small worlds.

    Parameters
    ----------
    outputs : int
        Classes or numbers.
    width : int
        Channels of the first convolution; the others have twice and four times as many.
    pooled : bool
        Whether the linear layer sees means over all places, so that it matters what is there and
        not where.

    Examples
    --------
    >>> import torch
    >>> Small(3)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3])
    """

    def __init__(self, outputs: int, width: int = 16, pooled: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvNormReLU(3, width, kernel_size=3, padding=1),
            ConvNormReLU(width, 2 * width, kernel_size=3, padding=1, stride=2),
            ConvNormReLU(2 * width, 4 * width, kernel_size=3, padding=1, stride=2),
        )
        side = 1 if pooled else 8
        self.pool = nn.AdaptiveAvgPool2d(side)
        self.fc = nn.Linear(4 * width * side**2, outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give outputs ``(N, outputs)`` for normalised images ``(N, 3, H, W)``."""
        return self.fc(self.pool(self.features(x)).flatten(1))


class Depth(nn.Module):
    """An encoder and decoder that give the depth of every pixel, in metres.

    Parameters
    ----------
    skips : bool
        Whether the decoder sees the encoder's maps of the same size too.

    Examples
    --------
    >>> import torch
    >>> Depth()(torch.zeros(2, 3, 48, 48)).shape
    torch.Size([2, 1, 48, 48])
    """

    def __init__(self, skips: bool = False) -> None:
        super().__init__()
        self.skips = skips
        self.large = ConvNormReLU(3, 16, kernel_size=3, padding=1)
        self.middle = ConvNormReLU(16, 32, kernel_size=3, padding=1, stride=2)
        self.small = ConvNormReLU(32, 32, kernel_size=3, padding=1, stride=2)
        # Where the floor meets a thing is far from where the thing ends.
        self.wide = ConvNormReLU(32, 32, kernel_size=3, padding=2, dilation=2)
        self.up1 = ConvNormReLU(64 if skips else 32, 32, kernel_size=3, padding=1)
        self.up2 = ConvNormReLU(48 if skips else 32, 16, kernel_size=3, padding=1)
        self.out = nn.Conv2d(16, 1, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        initialise(self)
        self.out.bias = nn.Parameter(torch.tensor([5.0]))  # metres: the middle of what is seen

    def forward(self, x: Tensor) -> Tensor:
        """Give depth ``(N, 1, H, W)`` for normalised images ``(N, 3, H, W)``."""
        large = self.large(x)
        middle = self.middle(large)
        x = self.enlarge(self.wide(self.small(middle)))
        x = self.enlarge(self.up1(torch.cat([x, middle], 1) if self.skips else x))
        return self.out(self.up2(torch.cat([x, large], 1) if self.skips else x))


def _mean_field(head: bool) -> nn.Module:
    """Build a ResNet-20 whose convolutions draw their weights, and the last layer too if asked."""
    model = ResNet20()
    drawn = (nn.Conv2d, nn.Linear) if head else nn.Conv2d
    return stochastic(model, [name for name, m in model.named_modules() if isinstance(m, drawn)])


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut.

    Parameters
    ----------
    inputs, outputs, stride : int
        Channels, and the step of the first convolution.
    downsample : torch.nn.Module, optional
        What makes the shortcut fit.

    Examples
    --------
    >>> import torch
    >>> BasicBlock(4, 4)(torch.zeros(2, 4, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Give maps ``(N, outputs, H / stride, W / stride)``."""
        made = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(made + (x if self.downsample is None else self.downsample(x)))


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )
    return nn.Sequential(
        BasicBlock(inputs, outputs, stride, downsample),
        BasicBlock(outputs, outputs),
        BasicBlock(outputs, outputs),
    )


def _borrowed(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        # torchvision takes seconds to load, which the networks of ours do not need.
        made: nn.Module = getattr(import_module(".borrowed", __package__), name)()
        return made

    return make


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "vgg": VGG11,
    "resnet20": ResNet20,
    "densenet": _borrowed("DenseNet40"),
    "mobilenetv2": _borrowed("MobileNetV2"),
    "googlenet": _borrowed("GoogLeNet"),
    "vit": _borrowed("ViT"),
    "resnet20-dropout": partial(ResNet20, dropout=0.1),
    "resnet20-meanfield": partial(_mean_field, head=False),
    "resnet20-meanfield-both": partial(_mean_field, head=True),
    "invertible": InvertibleResNet,
    "mobilenet": MobileNet,
    **{f"mobilenet-dilated-{place}": partial(MobileNet, dilated=place) for place in (1, 2, 3)},
    "specks": partial(Small, 3),
    "steering": partial(Small, 1, pooled=False),
    "steering-wide": partial(Small, 1, width=32, pooled=False),
    "steering-narrow": partial(Small, 1, width=8, pooled=False),
    "detector": partial(Small, 4, pooled=False),
    "depth": Depth,
    "depth-skips": partial(Depth, skips=True),
    "unet": UNet,
}
