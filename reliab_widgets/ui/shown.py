"""What the picture of a widget shows, and the chips that say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.wording import differing
from .special import UNCHANGED
from .words import Chip


@dataclass
class Shown:
    """A result and the settings that it belongs to.

    Parameters
    ----------
    result : object
        What the analysis gave; None before the first picture.
    state : dict
        The settings, by knob; the views in it follow the controls.
    less : dict
        Those settings of a preview that are rougher than asked for.
    is_preview : bool
        Whether it was computed with rougher settings than asked for.
    is_partial : bool
        Whether it has less in it than what was asked for: a preview, or a sweep that grows.
    others : tuple
        What the analysis gave for other networks or other images.
    """

    result: Any = None
    state: dict[str, Any] = field(default_factory=dict)
    less: dict[str, Any] = field(default_factory=dict)
    is_preview: bool = False
    is_partial: bool = False
    others: tuple[Any, ...] = ()

    @property
    def other(self) -> Any:
        """What is shown behind; None for nothing."""
        return self.others[0] if self.others else None

    @property
    def control(self) -> Any:
        """What a change of the same size as that from what is behind gives, if that is known."""
        return self.others[1] if len(self.others) > 1 else None

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting with which it was computed and drawn."""
        return self.state | self.less


def of_images(sentence: str, pictured: str) -> str:
    """Return a finding that says of which variant of the images it is: a saved one has no chips.

    Examples
    --------
    >>> of_images("It is right on 3 % of them.", "noise 3")
    'It is right on 3 % of them. Images: noise 3.'
    """
    if pictured == UNCHANGED or pictured in sentence:
        return sentence
    return f"{sentence} Images: {pictured}."


def compared(
    sentence: str, result: Any, ghost: Any, control: Any, views: dict[str, Any], pinned: bool
) -> tuple[str, str]:
    """Return a finding, and how it differs from what is shown behind; a control differs by chance.

    What was pinned is told apart, as less than the finding.

    Parameters
    ----------
    sentence : str
        The finding.
    result, ghost : Result
        What is shown, and what behind it.
    control : Result, optional
        What a change of the same size that means nothing gives.
    views : dict
        What is seen of them.
    pinned : bool
        Whether what is behind was pinned on the way; otherwise the difference is the question, and
        is told first.
    """
    said = [result.against(ghost, **views)]
    if control is not None:
        head, _, words = control.against(ghost, **views).partition(": ")
        name = differing([ghost.subject, control.subject])[1]
        said.append(f"Control, {name}: {words or head}")
    return (sentence, " ".join(said)) if pinned else (" ".join([*said, sentence]), "")


def told(chips: list[Any], differs: str, stopped: bool, partial: bool) -> list[Any]:
    """Return chips that say what the picture shows where that is not what the controls say.

    Parameters
    ----------
    chips : list
        Facts about the picture.
    differs : str
        The settings of the picture that are others than those of the controls.
    stopped : bool
        Whether the work for the settings that were asked for was stopped.
    partial : bool
        Whether the picture has less in it than was asked for.

    Examples
    --------
    >>> told([Chip("shows: 8 steps", "shows")], "", stopped=True, partial=True)[0].text
    'cancelled: shows 8 steps'
    """
    if not any(map(_shows, chips)):
        said = "cancelled" if stopped else differs and f"picture: {differs}"
        return [*chips, Chip(said, "warning")] if said else chips
    if stopped and partial:
        return [_cancelled(it) if _shows(it) else it for it in chips]
    if differs:  # they say already what the picture shows: not what the controls say
        return [it._replace(kind="warning") if _shows(it) else it for it in chips]
    return chips


def _cancelled(chip: Chip) -> Chip:
    return Chip(f"cancelled: {chip.text.replace(': ', ' ', 1)}", "warning")


def _shows(chip: Any) -> bool:
    return isinstance(chip, Chip) and chip.kind == "shows"
