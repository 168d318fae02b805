"""The network of the trained denoisers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.blocks import ConvNormReLU, initialise


class UNet(nn.Module):
    """A denoiser for images with sides divisible by 4: adds what it predicts to the image.

    Three scales, 16, 32, 64 channels wide, joined by concatenation (Ronneberger et al. 2015,
    "U-Net"); the output layer begins at zero, so that an untrained U-Net changes nothing (Liao et
    al. 2018, arXiv 1712.02976).

    Examples
    --------
    >>> import torch
    >>> images = torch.rand(2, 3, 32, 32)
    >>> torch.equal(UNet().eval()(images), images)
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = _twice(3, 16), _twice(16, 32), _twice(32, 64)
        self.up2, self.up1 = _twice(64 + 32, 32), _twice(32 + 16, 16)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.out = nn.Conv2d(16, 3, 1, bias=False)
        initialise(self)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Clean images ``(N, 3, H, W)`` in [0, 1]."""
        first = self.down1(x)
        second = self.down2(self.pool(first))
        third = self.bottom(self.pool(second))
        second = self.up2(torch.cat([self.enlarge(third), second], 1))
        first = self.up1(torch.cat([self.enlarge(second), first], 1))
        return (x + self.out(first)).clamp(0, 1)


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormReLU(inputs, outputs, kernel_size=3, padding=1),
        ConvNormReLU(outputs, outputs, kernel_size=3, padding=1),
    )
