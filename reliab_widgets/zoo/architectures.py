"""The networks of the zoo, in their CIFAR sizes, assembled from torchvision's own blocks."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


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


def initialise(model: nn.Module) -> None:
    """Draw convolutions by He's rule and make every ReLU keep its input, which hooks may hold."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False


ARCHITECTURES = {"resnet20": ResNet20}
