"""What each unit is worth: scores by gradients, by weights, and by nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...core.batching import memory_budget, threads
from ...core.engine import Progress, sweep, ticking
from ...core.wording import problem
from .gates import Gates
from .plain import plain_attention
from .structure import Structure, weight

if TYPE_CHECKING:
    from ...core.subject import Subject

CRITERIA = ("taylor", "taylor-fg", "taylor-so", "weight", "bn-scale", "random")
BATCH = 50
"""Images whose mean gradient is squared."""

Criterion: TypeAlias = str | Callable[["Subject"], Mapping[str, Any]]


def importance(
    subject: Subject,
    found: Structure,
    criterion: Criterion,
    *,
    seed: int = 0,
    executor: Any = None,
    progress: Progress = None,
) -> np.ndarray:
    """Score every unit: what has the lowest score goes first.

    Parameters
    ----------
    subject : Subject
        Its images and labels are those that gradients are taken on.
    found : Structure
        Its units.
    criterion : str or callable
        ``"taylor"``: the squared change of the mean loss of 50 images that closing the unit's gate
        would make to first order, averaged over such batches; ``"taylor-fg"``: the same of single
        images; ``"taylor-so"``: to second order; ``"weight"``: L2 norm of a filter's weights, root
        mean square over the filters of a unit; ``"bn-scale"``: mean size of the batch norms'
        factors; ``"random"``. Or a function of the Subject that gives, for the name of at least one
        layer of each group, an array of scores, one for each filter; those of one unit are
        averaged.
    seed : int
        Of ``"random"``.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts batches.

    Returns
    -------
    numpy.ndarray
        (U,) float64.

    Raises
    ------
    ValueError
        There is no such criterion; no batch norm follows a layer; a function's scores do not fit.

    Notes
    -----
    Molchanov et al. 2019, "Importance estimation for neural network pruning", arXiv 1906.10771;
    the mean of squares over batches is that of their released code, where the square of the mean
    over all images would vanish near a minimum. The gate of a unit of several filters closes them
    together. The second derivative is the Gauss-Newton one, exact where the logits are piecewise
    linear in a gate, as they are in a network of ReLUs. Batch norm factors: Liu et al. 2017,
    "Learning efficient convolutional networks through network slimming".

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.pruning.structure import structure
    >>> subject = rw.demo("resnet20")
    >>> importance(subject.validation[:50], structure(subject), "taylor").shape
    (448,)
    """
    if callable(criterion):
        return _given(criterion(subject), found)
    if criterion not in CRITERIA:
        known = ", ".join(map(repr, CRITERIA))
        fix = f"Choose criterion= from {known}, or pass a function of a Subject"
        raise ValueError(problem("there is no such criterion", f"got {criterion!r}", fix))
    if criterion == "random":
        return np.random.default_rng(seed).random(len(found))
    subject = plain_attention(subject)
    if criterion == "weight":
        return _weights(subject, found)
    if criterion == "bn-scale":
        return _scales(subject, found)
    case = _Case(subject, found, second=criterion == "taylor-so")
    spans = [(start, start + BATCH) for start in range(0, len(subject), BATCH)]
    with ticking(progress) as tick:
        done = 0

        def told(now: int, total: int) -> None:
            nonlocal done
            done = now
            tick(now, total)

        def beat() -> None:
            tick(done, len(spans))  # so that Cancel need not wait for a whole batch

        measure = partial(_slopes, beat=beat) if executor is None else _slopes
        slopes = sweep(measure, case, spans, executor=executor, progress=told)
    if criterion == "taylor-fg":
        return np.square(np.concatenate(slopes)).mean(0)
    return np.mean([np.square(part.mean(0)) for part in slopes], axis=0)


@dataclass(frozen=True)
class _Case:
    """What all batches share; sent to a cluster once."""

    subject: Subject
    found: Structure
    second: bool


def _slopes(
    case: _Case, span: tuple[int, int], beat: Callable[[], None] | None = None
) -> np.ndarray:
    """Return by how much closing each gate changes each image's loss, as far as derivatives tell.

    Of a mean of images the change is the mean of these.
    """
    subject = case.subject[slice(*span)]
    gates = Gates(subject, case.found)
    network = subject.network
    needed = sum(network.trace(subject.images[:1]).values())
    step = max(1, min(BATCH, memory_budget(subject.device) // max(1, 3 * needed)))
    parts = []
    with threads(1):
        for start in range(0, len(subject), step):
            images = subject.images[start : start + step]
            labels = subject.labels[start : start + step].to(subject.device)

            def loss(logits: Tensor, labels: Tensor = labels) -> Tensor:
                return cross_entropy(logits, labels, reduction="none")

            change = -gates.slopes(images, loss).double()
            if case.second:
                change += 0.5 * _curvature(gates, images, network.classes, beat)
            parts.append(change.cpu())
    return torch.cat(parts).numpy()


def _curvature(
    gates: Gates, images: Tensor, classes: int, beat: Callable[[], None] | None
) -> Tensor:
    """Return the Gauss-Newton second derivative of each image's loss for each gate, (n, U)."""
    p = gates.logits(images, torch.ones(gates.units)).detach().double().softmax(1)
    mean = square = torch.zeros(())
    for k in range(classes):
        if beat is not None:
            beat()
        slope = gates.slopes(images, lambda logits, k=k: logits[:, k]).double()  # type: ignore[misc]
        mean = mean + p[:, k, None] * slope
        square = square + p[:, k, None] * slope.square()
    return square - mean.square()


def _weights(subject: Subject, found: Structure) -> np.ndarray:
    total = np.zeros(len(found))
    for layer in found.layers:
        norms = weight(subject.model, layer.name).double().flatten(1).square().sum(1).cpu().numpy()
        goes = layer.outputs >= 0
        np.add.at(total, layer.outputs[goes], norms[goes])
    return np.sqrt(total / found.filters)


def _scales(subject: Subject, found: Structure) -> np.ndarray:
    total, count = np.zeros(len(found)), np.zeros(len(found))
    for norm in (scale for scale in found.scales if scale.norm):
        factors = weight(subject.model, norm.name).double().abs().cpu().numpy()
        goes = norm.units >= 0
        np.add.at(total, norm.units[goes], factors[goes])
        np.add.at(count, norm.units[goes], 1)
    if (count == 0).any():
        layer = found.groups[found.group[count == 0][0]][0]
        fix = 'Pass criterion="weight" or "taylor" instead'
        seen = f"no batch norm follows {layer}"
        raise ValueError(problem('criterion="bn-scale" needs a batch norm', seen, fix))
    return total / count


def _given(scores: Mapping[str, Any], found: Structure) -> np.ndarray:
    total, count = np.zeros(len(found)), np.zeros(len(found))
    for layer in found.layers:
        if layer.name not in scores:
            continue
        values = np.asarray(scores[layer.name], dtype=np.float64)
        if values.shape != layer.outputs.shape or not np.isfinite(values).all():
            seen = f"got shape {values.shape} for {layer.name}, which has {len(layer.outputs)}"
            fix = "Let criterion= give one finite number for each filter of a layer"
            raise ValueError(problem("the scores do not fit the layer", seen, fix))
        goes = layer.outputs >= 0
        np.add.at(total, layer.outputs[goes], values[goes])
        np.add.at(count, layer.outputs[goes], 1)
    if (count == 0).any():
        missing = found.groups[found.group[count == 0][0]]
        seen = f"got none for {' or '.join(missing)}"
        fix = "Let criterion= give an array for one layer of each group"
        raise ValueError(problem("the scores leave filters out", seen, fix))
    return total / count
