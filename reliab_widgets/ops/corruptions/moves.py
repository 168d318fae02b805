"""Mirror images and small moves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Move:
    """A mirror image, or the image moved by some pixels, the pixels at its edge repeated.

    Parameters
    ----------
    flip : bool
        Mirror left and right.
    down, right : int
        Pixels.

    Examples
    --------
    >>> import torch
    >>> row = torch.tensor([[[[0.1, 0.2, 0.3]]]])
    >>> Move(right=1)(row, torch.tensor([0]))
    tensor([[[[0.1000, 0.1000, 0.2000]]]])
    """

    flip: bool = False
    down: int = 0
    right: int = 0

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        """Return the moved images, (n, C, H, W); indices do not matter."""
        if self.flip:
            images = images.flip(-1)
        reach = max(abs(self.down), abs(self.right))
        if not reach:
            return images
        height, width = images.shape[-2:]
        top, left = reach - self.down, reach - self.right
        padded = pad(images, (reach, reach, reach, reach), mode="replicate")
        return padded[..., top : top + height, left : left + width]


FLIP_AND_SHIFTS = (
    Move(flip=True),
    Move(down=2),
    Move(down=-2),
    Move(right=2),
    Move(right=-2),
)
"""The augmented copies that bin-wise scaling is fitted on, beside the images themselves."""
