"""The networks of the zoo, in their CIFAR sizes, assembled from torchvision's own blocks."""

from torch import Tensor, nn
from torchvision.models.densenet import DenseNet as TorchvisionDenseNet
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv2 import MobileNetV2 as TorchvisionMobileNetV2
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers

from ..ops.defences.unet import UNet
from ..ops.networks.blocks import ConvNormReLU, initialise


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
        widths = [64, "M", 128, "M", 192, 192, "M", 192, 160, "M", 96, 96, "M"]
        self.features = make_layers(widths, batch_norm=True)
        self.classifier = nn.Linear(96, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, 32, 32)``."""
        return self.classifier(self.features(x).flatten(1))


class ResNet20(nn.Module):
    """ResNet-20 for 32 x 32 images: three stages of three basic blocks, 16, 32, 64 channels wide.

    He et al. 2016, "Deep residual learning for image recognition", section 4.2; shortcuts that
    change the shape are 1 x 1 convolutions with batch norm (torchvision's kind).

    Examples
    --------
    >>> import torch
    >>> ResNet20()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, stride=1)
        self.layer2 = _stage(16, 32, stride=2)
        self.layer3 = _stage(32, 64, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, H, W)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class DenseNet40(TorchvisionDenseNet):
    """DenseNet-BC for 32 x 32 images: 40 layers, growth rate 12, transitions halve the channels.

    Huang et al. 2017, "Densely connected convolutional networks", section 4.2.

    Examples
    --------
    >>> import torch
    >>> DenseNet40()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=classes
        )
        # The stem for 224 x 224 images would leave 8 x 8 of the 32 x 32 pixels.
        self.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        del self.features.norm0, self.features.relu0, self.features.pool0
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, H, W)``."""
        return self.classifier(self.avgpool(self.relu(self.features(x))).flatten(1))


class MobileNetV2(TorchvisionMobileNetV2):
    """MobileNetV2 for 32 x 32 images: half as wide, without the first two strides.

    Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.

    Examples
    --------
    >>> import torch
    >>> MobileNetV2()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            num_classes=classes,
            width_mult=0.5,
            # expansion, channels, blocks, stride
            inverted_residual_setting=[
                [1, 16, 1, 1],
                [6, 24, 2, 1],
                [6, 32, 3, 2],
                [6, 64, 4, 2],
                [6, 96, 3, 1],
                [6, 160, 3, 2],
                [6, 320, 1, 1],
            ],
            dropout=0.0,
        )
        self.features[0][0].stride = (1, 1)
        initialise(self)


class GoogLeNet(nn.Module):
    """Five inception blocks for 32 x 32 images: two at 16 x 16 and three at 8 x 8 pixels.

    Szegedy et al. 2015, "Going deeper with convolutions"; the blocks are torchvision's, which has
    a 3 x 3 convolution where the paper has a 5 x 5 one.

    Examples
    --------
    >>> import torch
    >>> GoogLeNet()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = ConvNormReLU(3, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.inception3a = _inception(64, 32, (40, 64), (12, 24), 24)
        self.inception3b = _inception(144, 48, (56, 96), (16, 32), 32)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, padding=1)
        self.inception4a = _inception(208, 64, (72, 128), (20, 40), 40)
        self.inception4b = _inception(272, 80, (96, 160), (24, 48), 48)
        self.inception4c = _inception(336, 96, (112, 192), (28, 56), 56)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(400, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)`` for normalised images ``(N, 3, H, W)``."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4c(self.inception4b(self.inception4a(x)))
        return self.fc(self.avgpool(x).flatten(1))


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


def _inception(
    inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
) -> Inception:
    """Build an inception block; pairs are the channels before and after the wide convolution."""
    return Inception(inputs, one, *three, *five, pool, conv_block=ConvNormReLU)


ARCHITECTURES = {
    "vgg": VGG11,
    "resnet20": ResNet20,
    "densenet": DenseNet40,
    "mobilenetv2": MobileNetV2,
    "googlenet": GoogLeNet,
    "unet": UNet,
}
