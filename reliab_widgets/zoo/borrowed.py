"""The networks of the zoo that are assembled from torchvision's own blocks."""

from torch import Tensor, nn
from torchvision.models.densenet import DenseNet as TorchvisionDenseNet
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv2 import MobileNetV2 as TorchvisionMobileNetV2
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from ..ops.networks.blocks import ConvNormReLU, initialise


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


class ViT(VisionTransformer):
    """A vision transformer for 32 x 32 images: 8 x 8 tokens behind a convolutional stem.

    Dosovitskiy et al. 2021, "An image is worth 16 x 16 words"; the stem, two convolutions with
    stride 2, is that of Xiao et al. 2021, "Early convolutions help transformers see better". Nine
    blocks, four heads, 112 wide.

    Examples
    --------
    >>> import torch
    >>> ViT()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            image_size=32,
            patch_size=4,
            num_layers=9,
            num_heads=4,
            hidden_dim=112,
            mlp_dim=224,
            num_classes=classes,
            conv_stem_configs=[ConvStemConfig(32, 3, 2), ConvStemConfig(64, 3, 2)],
        )
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # hooks may hold what goes in


def _inception(
    inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
) -> Inception:
    """Build an inception block; pairs are the channels before and after the wide convolution."""
    return Inception(inputs, one, *three, *five, pool, conv_block=ConvNormReLU)
