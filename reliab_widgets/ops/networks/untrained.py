"""The control of every explanation: the same network with weights drawn anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...core.analysis import checked
from ...core.knobs import Seed
from ...core.randomness import own_generators
from ...core.subject import Subject

_FEW = 8  # images that statistics are measured on
_ROUNDING = 1e-6  # of the largest value: below, there is no difference to enlarge
_SIGNAL = 1e-3  # of the largest logit: by how much images must differ


@checked
def untrained(subject: Subject, seed: Seed = 0) -> Subject:
    """Return the subject with a copy of its network whose weights were drawn anew.

    An explanation that looks the same for a network which has learnt nothing says nothing about
    what the other one has learnt.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    seed : int
        Of the weights.

    Returns
    -------
    Subject
        The same images, labels and validation images, another network.

    Raises
    ------
    TypeError, ValueError
        There is no Subject, or the seed cannot be one.

    Notes
    -----
    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292. Every module that has
    ``reset_parameters`` is reset, batch normalisation with its statistics; parameters that this
    leaves as they are (a module's own, masked or parametrised ones) are shuffled among themselves.

    The answers of a deep network drawn like this may not depend on the image any more, and then its
    maps are no control. So the statistics of its batch norms are measured on a few images; if that
    is not enough, its layers are scaled, one after the other, until their outputs for these images
    have mean 0 and variance 1 (Kraehenbuehl et al. 2016, "Data-dependent initializations of
    convolutional neural networks", arXiv 1511.06856). `has_signal` tells whether it helped.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1], name="linear")
    >>> untrained(subject).name
    'linear (untrained)'
    >>> torch.equal(untrained(subject).logits, untrained(subject, seed=1).logits)
    False
    """

    def draw(model: nn.Module) -> None:
        device = next(model.parameters(), torch.empty(0)).device
        model.cpu()  # the same weights whatever the device
        generator = torch.Generator().manual_seed(seed)
        same: dict[int, Tensor] = {}
        with own_generators(seed), torch.no_grad():
            for module in model.modules():
                before = [(one, one.clone()) for one in module.parameters(recurse=False)]
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
                same |= {id(one): one for one, value in before if torch.equal(one, value)}
            for parameter in same.values():
                _shuffle(parameter, generator)
        model.to(device)

    name = f"{subject.name} (untrained)"
    network = subject.network.copied(draw)
    made = subject.on(network, name=name, code=f"rw.untrained({subject.code}, seed={seed})")
    for mend in (_measure_norms, _scale_layers):
        if has_signal(made):
            break
        mend(made, _some(subject, seed))
    return made


def has_signal(subject: Subject) -> bool:
    """Tell whether a network's logits depend on the image, by more than rounding hides.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> has_signal(rw.untrained(rw.demo("resnet20")))
    True
    """
    with torch.inference_mode(False), torch.no_grad():
        logits = subject.network.logits(_some(subject, 0)).double()
    return bool((logits - logits.mean(0)).abs().max() > _SIGNAL * logits.abs().max())


def _some(subject: Subject, seed: int) -> Tensor:
    """Return a few images and, as those may be alike, at least two of noise."""
    images = subject.images[: _FEW - 2]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(
        _FEW - len(images), *images.shape[1:], generator=generator, dtype=torch.float32
    )
    return torch.cat([images, noise.to(images)])


def _measure_norms(subject: Subject, images: Tensor) -> None:
    """Measure the statistics of all batch norms on these images."""
    norms = [
        module
        for module in subject.model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    momenta = [module.momentum for module in norms]
    try:
        for module in norms:
            module.reset_running_stats()
            module.momentum = 1.0  # what one batch says
            module.train()
        with torch.no_grad():
            subject.network.logits(images)
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
            module.eval()


def _scale_layers(subject: Subject, images: Tensor) -> None:
    """Let what every convolution and linear layer gives have mean 0 and variance 1."""

    def scale(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        axis = 1 if isinstance(module, nn.Conv2d) else -1
        columns = output.movedim(axis, 0).flatten(1)
        mean, spread = columns.mean(1), columns.std(1)
        spread = torch.where(spread > _ROUNDING * columns.abs().amax(1), spread, 1.0)
        weight, bias = module.weight, module.bias
        if parametrize.is_parametrized(module) or not isinstance(weight, nn.Parameter):
            return output
        weight.div_(spread.view(-1, *[1] * (weight.ndim - 1)))
        if isinstance(bias, nn.Parameter):
            bias.sub_(mean).div_(spread)
            output = output - _along(mean, output.ndim, axis)
        return output / _along(spread, output.ndim, axis)

    handles = [
        module.register_forward_hook(scale)
        for module in subject.model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.no_grad():
            subject.network.logits(images)
    finally:
        for handle in handles:
            handle.remove()


def _along(values: Tensor, ndim: int, axis: int) -> Tensor:
    shape = [1] * ndim
    shape[axis] = -1
    return values.view(shape)


def _shuffle(parameter: Tensor, generator: torch.Generator) -> None:
    order = torch.randperm(parameter.numel(), generator=generator)
    parameter.copy_(parameter.flatten()[order].view_as(parameter))
