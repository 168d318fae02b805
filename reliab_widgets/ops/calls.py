"""Calls as Python text: what "Copy code" shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from ..subject import Subject


def call(word: str, subject: Subject, knobs: Mapping[str, Any]) -> str:
    """Return Python text that computes a result again.

    Parameters
    ----------
    word : str
        The analysis.
    subject : Subject
        What is examined.
    knobs : mapping
        The arguments, by name.
    """
    lines = "".join(f"    {argument},\n" for argument in arguments(knobs))
    return (
        f"import reliab_widgets as rw\n\n"
        f"subject = {subject.code}  # fingerprint {subject.fingerprint[:12]}\n"
        f"result = rw.{word}(\n    subject,\n{lines})\n"
    )


def arguments(knobs: Mapping[str, Any]) -> list[str]:
    """Write knobs as arguments of a call; what has no short text is named like its knob.

    Examples
    --------
    >>> arguments({"attack": "bim", "denoiser": np.round, "images": np.arange(2)})
    ["attack='bim'", 'denoiser=denoiser', 'images=[0, 1]']
    >>> arguments({"baselines": ("black", np.zeros((3, 8, 8)))})
    ["baselines=('black', baseline,)"]
    """
    return [f"{name}={_text(name, value)}" for name, value in knobs.items()]


def _text(name: str, value: Any) -> str:
    if hasattr(value, "fingerprint"):
        return str(value.code)
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim <= 1:
        value = value.tolist()
    if isinstance(value, list | tuple) and not all(map(_is_plain, value)):
        return f"({', '.join(_text(name.removesuffix('s'), item) for item in value)},)"
    return repr(value) if _is_plain(value) or isinstance(value, list | tuple | Mapping) else name


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
