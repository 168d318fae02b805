"""Blocks that networks of ours are made of."""

from __future__ import annotations

from torch import nn


class ConvNormReLU(nn.Sequential):
    """Convolution, batch norm and ReLU as modules, all of which hooks can see."""

    def __init__(self, inputs: int, outputs: int, **convolution: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, bias=False, **convolution),  # type: ignore[arg-type]
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


def initialise(model: nn.Module) -> None:
    """Draw convolutions by He's rule and make every ReLU keep its input, which hooks may hold."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
