"""Whose rows a step gives: an image may be one row, or many, such as windows, or lie elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

_SAME = 1e-3  # of the difference between two images is no difference


class Rows(NamedTuple):
    """Where along an axis of an output the images lie.

    Attributes
    ----------
    axis : int
        0, or 1 where sequences come first.
    before, after : int
        How many rows of the axis belong to an image: it has (before, images, after).

    Examples
    --------
    >>> import torch
    >>> windows = torch.arange(6)[:, None]  # three of the first image, three of the second
    >>> Rows(0, 1, 3).by_image(windows)[..., 0]
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """

    axis: int
    before: int
    after: int

    def by_image(self, output: Tensor) -> Tensor:
        """Return a view or copy with one row for each image."""
        if self.axis:
            output = output.movedim(self.axis, 0)
        if self.before == self.after == 1:
            return output
        return output.unflatten(0, (self.before, -1, self.after)).movedim(1, 0).flatten(1, 2)


WHOLE = Rows(0, 1, 1)


def whose(output: Tensor, images: int = 3) -> Rows | None:
    """Tell which rows belong to which image, from three of which the first and the last are equal.

    Parameters
    ----------
    output : Tensor
        Of a step, of at least two axes.
    images : int
        3, or 1 where there is no memory for more.

    Returns
    -------
    Rows or None
        None where it cannot be told.

    Examples
    --------
    >>> import torch
    >>> whose(torch.tensor([[1.0], [2.0], [1.0]])), whose(torch.tensor([[1.0, 2.0, 1.0]] * 5))
    (Rows(axis=0, before=1, after=1), Rows(axis=1, before=1, after=1))
    """
    if images == 1:
        return WHOLE if len(output) == 1 else None
    values = output.detach()
    for axis in (0, 1):
        size = values.shape[axis]
        if size % 3:
            continue
        for after in sorted({size // 3, 1}):
            before = size // 3 // after
            first, second, third = (
                values.movedim(axis, 0).unflatten(0, (before, 3, after)).unbind(1)
            )
            same, other = ((it - first).abs().double().mean() for it in (third, second))
            if other > 0 and same <= _SAME * other:
                return Rows(axis, before, after)
    return WHOLE if len(values) == 3 else None  # what is the same for every image, such as places
