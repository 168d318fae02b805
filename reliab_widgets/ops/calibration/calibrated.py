"""A Subject whose network says its confidences at another temperature."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ...core.analysis import checked
from ...core.knobs import Auto, Real
from ...core.subject import Subject
from ...core.wording import problem
from .calibrators import fit_temperature

TEMPERATURE = Real(least=0.05, most=20, why="1 changes nothing")


@checked
def calibrated(
    subject: Subject, temperature: Annotated[float | None, Auto(TEMPERATURE)] = None
) -> Subject:
    """Divide the logits by a temperature: the result is one more Subject, for every other analysis.

    No prediction changes, all probabilities do.

    Parameters
    ----------
    subject : Subject
        Whose network is calibrated.
    temperature : float, optional
        By default the one with the least negative log-likelihood on ``subject.validation``.

    Returns
    -------
    Subject
        The same images under the same network with divided logits.

    Raises
    ------
    ValueError
        The temperature is out of range; none is given and there are no images to fit it on.

    Notes
    -----
    Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> rw.calibrated(rw.demo("resnet20")[:8], 2.0).name
    'resnet20, T = 2.00'
    """
    if temperature is None:
        temperature = _fitted(subject)
    name, code = f"T = {temperature:.2f}", f"rw.calibrated({subject.code}, {temperature!r})"
    if subject.network.recorded:
        return subject.replaced(name=f"{subject.name}, {name}", code=code).knowing(
            subject.logits / temperature
        )
    return subject.on(
        subject.network.divided(temperature), name=f"{subject.name}, {name}", code=code
    )


def _fitted(subject: Subject) -> float:
    fitted = subject.validation
    if fitted is None:
        seen = f"{subject.name} has no validation images"
        fix = "Pass temperature=, or give them with subject.with_validation(...)"
        raise ValueError(problem("no temperature can be fitted", seen, fix))
    logits = fitted.logits.numpy().astype(np.float64)
    return fit_temperature(logits, fitted.labels.numpy()).temperature
