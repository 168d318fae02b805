"""A gate for every unit: how loud it is, and what the loss does when it is turned down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from ...core.readings import check_slopes
from ...core.subject import Subject

if TYPE_CHECKING:
    from .structure import Structure


See: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]


class Gates:
    """A copy of a Subject's network in which every unit has a gate where others read it.

    A closed gate does to the logits what removing the unit does: what a layer cannot read is gone,
    whatever batch norm or activation lies between.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    structure : Structure
        Its units.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.pruning.structure import structure
    >>> subject = rw.demo("resnet20")[:2]
    >>> gates = Gates(subject, structure(subject))
    >>> torch.allclose(gates.logits(subject.images, torch.ones(448)), subject.logits, atol=1e-5)
    True
    """

    def __init__(self, subject: Subject, structure: Structure) -> None:
        self.units = len(structure)
        self._subject = subject.on(subject.network.copied(shared=True))
        # What the hooks do during a pass. They know this list and not the gates: as a ring with
        # the network, all would wait for the collector, which counts objects, not their size.
        self._see: list[See] = []
        for layer in structure.layers:
            if (layer.inputs >= 0).any() and not layer.channelwise:
                units = torch.from_numpy(layer.inputs).to(subject.device)
                module = self._subject.model.get_submodule(layer.name)
                axis = 1 if isinstance(module, nn.Conv2d) else -1
                module.register_forward_pre_hook(_hook(self._see, units, axis), with_kwargs=True)

    def logits(self, images: Tensor, open: Tensor) -> Tensor:
        """Return the logits with every gate as open as told, as autograd is set.

        Parameters
        ----------
        images : Tensor
            (n, C, H, W) in [0, 1].
        open : Tensor
            (U,) or, for each image its own, (n, U): 0 is closed, 1 is open.
        """
        open = open.to(self._subject.device)
        scale = torch.cat([open, open.new_ones(*open.shape[:-1], 1)], -1)  # the last stays open

        def see(x: Tensor, units: Tensor, axis: int) -> Tensor:
            factors = scale[..., units]
            if factors.ndim == 2 and len(x) != len(factors):
                raise _Divided
            shape = [len(factors) if factors.ndim == 2 else 1, *[1] * (x.ndim - 1)]
            shape[axis] = len(units)
            return x * factors.view(shape)

        try:
            return self._run(images, see)
        except _Divided:
            pairs = zip(images.split(1), open, strict=True)
            return torch.cat([self.logits(*pair) for pair in pairs])

    def slopes(self, images: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the derivative of a number of each image with respect to each gate, (n, U).

        Parameters
        ----------
        images : Tensor
            (n, C, H, W) in [0, 1].
        of : callable
            Makes the numbers (n,), such as losses, from the logits (n, K).
        """
        slopes = torch.zeros(len(images), self.units + 1, device=self._subject.device)
        passed = inner = False
        alone: int | None = None  # the image that is passed by itself

        def see(x: Tensor, units: Tensor, axis: int) -> Tensor:
            mine = alone
            if mine is None and len(x) != len(images):
                raise _Divided
            x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            value = x.detach()  # a hook that knew x would keep it for ever

            def back(gradient: Tensor) -> None:
                nonlocal inner
                if not passed:
                    inner = True
                    return
                felt = (gradient * value).movedim(axis, 1).unsqueeze(-1).flatten(2).sum(2)
                felt = felt.to(slopes.dtype)  # under autocast gradients have 16 bits
                columns = units % (self.units + 1)  # -1 is the last one
                if mine is None:
                    slopes.index_add_(1, columns, felt)
                else:
                    slopes[mine].index_add_(0, columns, felt.sum(0))

            x.register_hook(back)
            return x

        with torch.inference_mode(False), torch.enable_grad():
            try:
                logits = self._run(images, see)
            except _Divided:
                rows = []
                for alone, image in enumerate(images.split(1)):  # noqa: B007  # `see` reads it
                    rows.append(self._run(image, see))
                logits = torch.cat(rows)
            numbers = of(logits).sum()
            passed = True
            if inner:  # the network takes gradients itself, which gates change as well
                open = torch.ones(len(images), self.units, device=slopes.device).requires_grad_()
                numbers = of(self.logits(images, open)).sum()
                (slopes,) = torch.autograd.grad(numbers, open)
            else:
                numbers.backward()
        check_slopes(slopes)
        return slopes[:, : self.units]

    def _run(self, images: Tensor, see: See) -> Tensor:
        self._see.append(see)
        try:
            return self._subject.network.logits(images)
        finally:
            self._see.clear()


class _Divided(Exception):
    """A layer reads rows that are no whole images, such as windows; only one image tells whose."""


def _hook(see: list[See], units: Tensor, axis: int) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not see:
            return None
        if inputs:
            return (see[0](inputs[0], units, axis), *inputs[1:]), named
        return (see[0](named["input"], units, axis),), {}

    return hook
