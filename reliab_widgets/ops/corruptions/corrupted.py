"""A Subject whose images are corrupted."""

from __future__ import annotations

from typing import Annotated

import torch

from ...core.analysis import checked
from ...core.knobs import Choice, Seed
from ...core.subject import Subject
from . import severities


@checked
def corrupted(
    subject: Subject, corruption: Annotated[str, Choice(severities.names()[1:])], seed: Seed = 0
) -> Subject:
    """Corrupt all images of a Subject: the result is one more Subject, for every other analysis.

    Parameters
    ----------
    subject : Subject
        Its validation images stay clean.
    corruption : str
        A kind with its severity, 1 to 5, such as ``"noise 3"`` (noise, blur, contrast; parameters
        of CIFAR-10-C).
    seed : int
        Of the noise, which an image has by its number in the set.

    Returns
    -------
    Subject
        With the same network and labels.

    Raises
    ------
    ValueError
        There is no such corruption.

    Notes
    -----
    Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and
    perturbations", arXiv 1903.12261.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> rw.corrupted(rw.demo("resnet20")[:8], "blur 2").name
    'resnet20, blur 2'
    """
    change = severities.corruption(corruption, seed)
    assert change is not None  # "clean" is not among the choices
    images = torch.cat(
        [
            change(part.clone(), numbers)
            for part, numbers in zip(
                subject.images.split(256), subject.positions.split(256), strict=True
            )
        ]
    )
    drawn = f", seed={seed}" if corruption.startswith("noise") else ""
    code = f"rw.corrupted({subject.code}, {corruption!r}{drawn})"
    return subject.replaced(images=images, name=f"{subject.name}, {corruption}", code=code)
