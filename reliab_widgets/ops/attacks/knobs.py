"""The knobs of an attack, declared once for every function that attacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from ...core.knobs import Auto, Choice, ClassOf, Flag, Images, Real, Whole
from ..defences.denoiser import Denoise, DenoiserName
from .attack import Method
from .catalogue import LOSSES, METHODS, those

EPSILONS = {
    "Linf": tuple(n / 255 for n in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)),
    "L2": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0),
}
"""What a control offers, by the norm that epsilon bounds."""
KNOWLEDGE = ("grey-box", "white-box")
MOST_STEPS, MOST_RESTARTS = 10_000, 1000
_PIXELS = "in pixel units, 8 / 255 for eight grey levels"
_BALL = Real(above=0, why=_PIXELS, stops=EPSILONS["Linf"])
_STRIDE = Real(above=0, why="in pixel units, or None", stops=EPSILONS["Linf"][:8])

AttackMethod: TypeAlias = Annotated[
    Method,
    Choice(
        tuple(METHODS),
        own="a function of (model, images, labels)",
        offers=those(lambda it: it.live),
    ),
]
Epsilon: TypeAlias = Annotated[float, _BALL]
Steps: TypeAlias = Annotated[int, Whole(1, MOST_STEPS, slider=(1, 40))]
StepSize: TypeAlias = Annotated[float | None, Auto(_STRIDE)]
Restarts: TypeAlias = Annotated[int, Whole(1, MOST_RESTARTS, slider=(1, 5))]
Loss: TypeAlias = Annotated[str, Choice(LOSSES)]
Target: TypeAlias = Annotated[str | int, ClassOf(("any", "runner-up"))]
DenoiserKnob: TypeAlias = Annotated[Denoise, DenoiserName()]
Knowledge: TypeAlias = Annotated[str, Choice(KNOWLEDGE)]
ImagesKnob: TypeAlias = Annotated[int | Sequence[int] | None, Auto(Images(within=True))]
CorrectOnly: TypeAlias = Annotated[bool, Flag()]
