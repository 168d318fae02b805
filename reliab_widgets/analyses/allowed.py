"""What a network allows each analysis: all are asked, so that a report is true."""

from __future__ import annotations

from importlib import import_module

from ..core.capabilities import Allowed
from ..core.subject import Subject
from . import ANALYSES


def allowed(subject: Subject) -> dict[str, Allowed]:
    """Ask each analysis what a Subject's network allows it.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> allowed(rw.demo("resnet20"))["saliency"].layers
    ('layer3.2',)
    """
    found = {}
    for word in ANALYSES:
        ask = import_module(f".{word}.compute", __package__).allowed
        try:
            found[word] = ask(subject)
        except (TypeError, ValueError) as error:  # what the analysis itself would say
            found[word] = Allowed(impossible=str(error))
    return found
