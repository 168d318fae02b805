"""A gate for every unit: how loud it is, and what the loss does when it is turned down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from ...core.readings import check_slopes
from ...core.subject import Subject
from .plain import plain_attention
from .ties import is_joint

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
        subject = plain_attention(subject)
        self._subject = subject.on(subject.network.copied(shared=True))
        # What the hooks do during a pass. They know this list and not the gates: as a ring with
        # the network, all would wait for the collector, which counts objects, not their size.
        self._now: list[_Pass] = []
        self._joint = False
        for layer in structure.layers:
            if (layer.inputs >= 0).any() and not layer.channelwise:
                units = torch.from_numpy(layer.inputs).to(subject.device)
                module = self._subject.model.get_submodule(layer.name)
                axis = 1 if isinstance(module, nn.Conv2d) else -1
                module.register_forward_pre_hook(_hook(self._now, units, axis), with_kwargs=True)
        modules = dict(self._subject.model.named_modules())
        for scale in structure.scales:
            if is_joint(modules.get(scale.name)) and (scale.units >= 0).any():
                self._joint = True
                units = torch.from_numpy(scale.units).to(subject.device)
                modules[scale.name].register_forward_hook(_joint(self._now, units))

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
            return x * _factors(scale, x, units, axis)

        try:
            return self._run(images, _Pass(see, scale))
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

        def opened() -> Tensor:
            open = torch.ones(len(images), self.units, device=slopes.device).requires_grad_()
            (made,) = torch.autograd.grad(of(self.logits(images, open)).sum(), open)
            return made

        with torch.inference_mode(False), torch.enable_grad():
            if self._joint:  # gates change what is normed, too
                slopes = opened()
                check_slopes(slopes)
                return slopes
            try:
                logits = self._run(images, _Pass(see))
            except _Divided:
                rows = []
                for alone, image in enumerate(images.split(1)):  # noqa: B007  # `see` reads it
                    rows.append(self._run(image, _Pass(see)))
                logits = torch.cat(rows)
            numbers = of(logits).sum()
            passed = True
            if inner:  # the network takes gradients itself, which gates change as well
                slopes = opened()
            else:
                numbers.backward()
        check_slopes(slopes)
        return slopes[:, : self.units]

    def _run(self, images: Tensor, now: _Pass) -> Tensor:
        self._now.append(now)
        try:
            return self._subject.network.logits(images)
        finally:
            self._now.clear()


class _Pass(NamedTuple):
    """What layers do to their inputs in a pass, and (U + 1,) or (n, U + 1) how open gates are."""

    see: See
    scale: Tensor | None = None


class _Divided(Exception):
    """A layer reads rows that are no whole images, such as windows; only one image tells whose."""


def _factors(scale: Tensor, x: Tensor, units: Tensor, axis: int) -> Tensor:
    """Return what to multiply the channels of x by; the last of a scale is read at -1."""
    factors = scale[..., units]
    if factors.ndim == 2 and len(x) != len(factors):
        raise _Divided
    shape = [len(factors) if factors.ndim == 2 else 1, *[1] * (x.ndim - 1)]
    shape[axis] = len(units)
    return factors.view(shape)


def _hook(now: list[_Pass], units: Tensor, axis: int) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not now:
            return None
        if inputs:
            return (now[0].see(inputs[0], units, axis), *inputs[1:]), named
        return (now[0].see(named["input"], units, axis),), {}

    return hook


def _joint(now: list[_Pass], units: Tensor) -> Callable[[nn.Module, Any, Any], Any]:
    """Let a norm of all channels together take no notice of those whose gates are closed."""

    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not now or now[0].scale is None:
            return None
        x = inputs[0]
        return normed(module, x, _factors(now[0].scale, x, units, channel_axis(module, x)))

    return hook


def normed(module: Any, x: Tensor, open: Tensor) -> Tensor:
    """Return what a norm of all channels together gives where some of them are closed.

    Parameters
    ----------
    module : torch.nn.LayerNorm or torch.nn.RMSNorm
        Of one axis.
    x : Tensor
        Its input.
    open : Tensor
        How open each channel is, 0 to 1: (C,), or of a shape that fits x.

    Examples
    --------
    >>> norm, x = nn.LayerNorm(3), torch.tensor([[1.0, 9.0, 3.0]])
    >>> normed(norm, x, torch.tensor([1, 0, 1])).detach()[:, [0, 2]].round()
    tensor([[-1.,  1.]])
    """
    axis = channel_axis(module, x)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    open = open.view(shape) if open.ndim == 1 else open
    count = open.sum(axis, keepdim=True)
    if isinstance(module, nn.LayerNorm):
        x = x - (x * open).sum(axis, keepdim=True) / count
    size = (x.square() * open).sum(axis, keepdim=True) / count
    x = x * (size + (torch.finfo(x.dtype).eps if module.eps is None else module.eps)).rsqrt()
    if module.weight is not None:
        x = x * module.weight.view(shape)
    bias = getattr(module, "bias", None)
    return x if bias is None else x + bias.view(shape)


def channel_axis(module: Any, x: Tensor) -> int:
    """Return where a layer reads its channels: last, or first in convolutions and some norms.

    Examples
    --------
    >>> channel_axis(nn.Linear(3, 2), torch.zeros(1, 5, 3))
    -1
    """
    if isinstance(module, nn.Conv2d):
        return 1
    if not is_joint(module):
        return -1
    own = type(module).forward not in (nn.LayerNorm.forward, nn.RMSNorm.forward)
    width = module.normalized_shape[0]
    return 1 if own and x.ndim == 4 and x.shape[1] == width != x.shape[-1] else -1
