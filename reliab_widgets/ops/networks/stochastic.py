"""Weights that are drawn: a mean and a spread for each, learnt together.

Mean-field Gaussian posteriors: Blundell et al. 2015, "Weight uncertainty in neural networks", arXiv
1505.05424. All weights are drawn once for a pass and not anew for each image (as the local
reparameterisation does), so that every draw is a network that can be attacked and verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, softplus
from torch.nn.modules.batchnorm import _BatchNorm

from ...core.randomness import draw
from ...core.wording import problem
from .tuning import Batch, Run

PRIOR = 0.1
"""Standard deviation of a weight before anything was seen; its mean is 0."""
START = -5.0
"""A spread is the softplus of what is learnt, which begins here: 0.0067."""
RHO = "_rho"
"""How the state calls what a spread is the softplus of: ``weight_rho`` beside ``weight``."""
PLACES = 4096  # layers that a seed has numbers for


class _Drawn(nn.Module):
    """A layer whose weight and bias are drawn in every pass, alike for the same seed."""

    draws = True
    seed: int
    place: int

    def draw(self) -> tuple[Tensor, Tensor | None]:
        seed = (self.seed + draw()) * PLACES + self.place
        generator = torch.Generator().manual_seed(seed)
        drawn = [
            mean
            + spread
            * torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
            for mean, spread in self.posterior()
        ]
        return drawn[0], drawn[1] if len(drawn) > 1 else None

    def posterior(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Give means and standard deviations of the weight and, if there is one, the bias."""
        for name in ("weight", "bias"):
            if (mean := getattr(self, name)) is not None:
                yield mean, softplus(getattr(self, name + RHO))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, seed={self.seed}"  # a Subject's fingerprint knows the draw


class DrawnConv2d(_Drawn, nn.Conv2d):
    """A convolution that `stochastic` made."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with weights of this pass."""
        return self._conv_forward(x, *self.draw())


class DrawnLinear(_Drawn, nn.Linear):
    """A linear layer that `stochastic` made."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply with weights of this pass."""
        return linear(x, *self.draw())


_KINDS = {nn.Conv2d: DrawnConv2d, nn.Linear: DrawnLinear}


def stochastic(model: nn.Module, layers: Iterable[str], seed: int = 0) -> nn.Module:
    """Let layers of a model draw their weights, in place; weights there are become the means.

    Parameters
    ----------
    model : torch.nn.Module
        Keeps its names, hooks and state; each layer gets ``weight_rho`` and, where it has a
        bias, ``bias_rho`` besides.
    layers : iterable of str
        Names of convolutions and linear layers.
    seed : int
        Of the draws, as in `reseed`.

    Returns
    -------
    torch.nn.Module
        The model.

    Raises
    ------
    ValueError
        There is no such layer, or its weights cannot be drawn.

    Examples
    --------
    >>> model = stochastic(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), ["1"])
    >>> images = torch.ones(1, 1, 2, 2)
    >>> torch.equal(model(images), model(images))
    True
    >>> torch.equal(model(images), reseed(model, 1)(images))
    False
    """
    chosen = list(layers)
    there = dict(model.named_modules())
    for name in chosen:
        if type(there.get(name)) not in _KINDS:
            seen = f"{name!r} is {type(there[name]).__name__}" if name in there else f"got {name!r}"
            could = [known for known, module in there.items() if type(module) in _KINDS]
            fix = f"Choose layers= from {', '.join(map(repr, could)) or 'another model'}"
            raise ValueError(
                problem("only weights of Conv2d and Linear layers can be drawn", seen, fix)
            )
    for place, name in enumerate(chosen):
        layer = there[name]
        for key, value in list(layer.named_parameters(recurse=False)):
            layer.register_parameter(key + RHO, nn.Parameter(torch.full_like(value, START)))
        layer.place = place
        layer.__class__ = _KINDS[type(layer)]  # what holds it, and its hooks, stay as they are
    return reseed(model, seed)


def reseed(model: nn.Module, seed: int) -> nn.Module:
    """Choose the draw that passes of a model use from now on, in place, and return the model.

    A pass is a function of the images and the seed: the same on every machine, and global
    generators have no part in it.
    """
    for layer in _drawn(model):
        layer.seed = seed
    return model


def divergence(model: nn.Module, prior: float = PRIOR) -> Tensor:
    """Return the Kullback-Leibler divergence of all weights that are drawn from the prior, in nats.

    Examples
    --------
    >>> model = stochastic(nn.Linear(1, 1, bias=False), [""])
    >>> _ = model.weight.data.fill_(0.1)
    >>> _ = model.weight_rho.data.copy_(torch.tensor(0.1).expm1().log())
    >>> round(divergence(model).item(), 4)  # one standard deviation away: 1/2
    0.5
    """
    total = torch.zeros(())
    for layer in _drawn(model):
        for mean, spread in layer.posterior():
            apart = (spread.square() + mean.square()) / (2 * prior**2)
            total = total.to(mean.device) + (apart - (spread / prior).log() - 0.5).sum()
    return total


def elbo(run: Run, batch: Batch, *, images: int, prior: float = PRIOR) -> Tensor:
    """Return the cross-entropy of one draw and the divergence from the prior, for each image.

    What is minimised is the negative evidence lower bound, divided by the number of training
    ``images``. Each step draws anew; batch norms keep their statistics, which would be those of
    draws.
    """
    if not any(_drawn(run.model)):
        fix = "Make layers stochastic first, by ops.networks.stochastic.stochastic"
        raise ValueError(problem("no weight of the network is drawn", "got none", fix))
    for module in run.model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    reseed(run.model, int(torch.randint(2**31, (), generator=batch.generator)))
    loss = cross_entropy(run(batch.images), batch.targets)
    return loss + divergence(run.model, prior) / images


def _drawn(model: nn.Module) -> Iterator[_Drawn]:
    return (module for module in model.modules() if isinstance(module, _Drawn))
