"""A Subject whose network stands behind a denoiser."""

from __future__ import annotations

from typing import Annotated

from ...core.analysis import arguments, checked
from ...core.subject import Subject
from ...core.wording import problem
from .denoiser import Denoise, DenoiserName, safe


@checked
def denoised(subject: Subject, denoiser: Annotated[Denoise, DenoiserName()]) -> Subject:
    """Put a denoiser before the network: the result is one more Subject, for every other analysis.

    Parameters
    ----------
    subject : Subject
        Its images stay as they are.
    denoiser : str or callable
        A name of `reliab_widgets.zoo.denoisers`, a module or a function of images in [0, 1]. Where
        it lets no gradient through, that of the identity is taken (BPDA).

    Returns
    -------
    Subject
        The same images under denoiser and network together: an attack on it knows both.

    Raises
    ------
    ValueError, TypeError
        There is no such denoiser, or it does not keep the shape of the images.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> rw.denoised(rw.demo("resnet20")[:8], "median").name
    'resnet20, behind median'
    """
    front = safe(denoiser, subject)
    if front is None:
        fix = "Pass denoiser= as a name, a module or a function of images"
        raise ValueError(problem("there is no denoiser to put before it", "got 'none'", fix))
    knobs = denoised.knobs  # type: ignore[attr-defined]
    (given,) = arguments(subject, knobs, {"denoiser": denoiser})
    name = f"{subject.name}, behind {front.name}"
    code = f"rw.denoised({subject.code}, {given})"
    return subject.on(subject.network.behind(front), name=name, code=code)
