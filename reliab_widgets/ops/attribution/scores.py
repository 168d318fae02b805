"""What an attribution asks of a network: the score of one class, and its gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...core.batching import Plan, in_batches
from ...core.readings import check_slopes
from ...core.subject import Subject

SCORES = ("probability", "logit", "log-odds")
TARGETS = ("predicted", "true", "runner-up")


def scores(logits: Tensor, kind: str) -> Tensor:
    """Turn logits into the scores that are explained.

    Parameters
    ----------
    logits : Tensor (n, K)
        On any device.
    kind : {"probability", "logit", "log-odds"}
        Log-odds, ``log p - log(1 - p)``, do not saturate as probabilities do.

    Returns
    -------
    Tensor (n, K)
        Differentiable.

    Examples
    --------
    >>> scores(torch.tensor([[0.0, 0.0, 0.6931]]), "log-odds").round(decimals=3)
    tensor([[-1.0990, -1.0990, -0.0000]])
    """
    if kind == "logit":
        return logits
    p = logits.softmax(1)
    if kind == "probability":
        return p
    # 1 - p loses all digits for the answer, so its rivals are summed; the others have p <= 1/2.
    top = logits.argmax(1, keepdim=True)
    rest = logits.logsumexp(1, keepdim=True) + torch.log1p(-p.scatter(1, top, 0))
    rivals = logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
    return logits - rest.scatter(1, top, rivals)


def score_of(subject: Subject, images: Tensor, target: int, kind: str) -> Tensor:
    """Return the score of one class on images (n, C, H, W): (n,) float64 on the CPU.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
    >>> torch.equal(score_of(subject, subject.images, 2, "logit"), subject.logits[:, 2].double())
    True
    """
    return scores(subject.predict(images.detach()), kind)[:, target].cpu().double()


def gradients(
    subject: Subject, images: Tensor, target: int, kind: str, plan: Plan
) -> tuple[Tensor, Tensor]:
    """Return the score of one class on images, and its gradient with respect to the pixels.

    Parameters
    ----------
    subject : Subject
        Whose network.
    images : Tensor (n, C, H, W)
        Pixel units.
    target : int
        The class.
    kind : str
        One of ``SCORES``.
    plan : Plan
        Batch, memory format and threads of a pass.

    Returns
    -------
    tuple of Tensor (n,) and Tensor (n, C, H, W)
        float64, on the CPU.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
    >>> values, slopes = gradients(subject, subject.images, 2, "logit", Plan(4))
    >>> bool((slopes[0].flatten() == subject.model[1].weight[2]).all())
    True
    """

    def run(part: Tensor, channels_last: bool) -> Tensor:
        memory = torch.channels_last if channels_last else torch.contiguous_format
        with torch.inference_mode(False), torch.enable_grad():
            inputs = part.to(subject.device).clone(memory_format=memory).requires_grad_()
            values = scores(subject.predict(inputs), kind)[:, target]
            # Not materialised, an image that the score does not depend on would be an error.
            (slopes,) = torch.autograd.grad(values.sum(), inputs, materialize_grads=True)
            check_slopes(slopes)
        return torch.cat([values.detach()[:, None], slopes.flatten(1)], 1).cpu().double()

    subject.network.check_gradients()
    rows, _ = in_batches(run, images, plan)
    return rows[:, 0], rows[:, 1:].unflatten(1, images.shape[1:])


def targets(wanted: str | int, logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return which class is explained for each image.

    Parameters
    ----------
    wanted : str or int
        One of ``TARGETS``, or the index of a class.
    logits : array (n, K)
        Of the clean images.
    truth : array (n,)
        Their labels.

    Returns
    -------
    array (n,) of int

    Examples
    --------
    >>> targets("runner-up", np.array([[1.0, 3.0, 2.0]]), np.array([0]))
    array([2])
    """
    if wanted == "predicted":
        return logits.argmax(1)
    if wanted == "true":
        return truth.copy()
    if wanted == "runner-up":
        return np.argsort(-logits, axis=1, kind="stable")[:, 1]
    return np.full(len(truth), wanted, dtype=np.int64)
