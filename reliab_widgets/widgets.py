"""The widgets, one for each analysis and a workbench for all, loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .analyses import ANALYSES

if TYPE_CHECKING:
    from .analyses.landscape.widget import LandscapeWidget as LandscapeWidget
    from .analyses.propagation.widget import PropagationWidget as PropagationWidget
    from .analyses.pruning.widget import PruningWidget as PruningWidget
    from .analyses.reliability.widget import ReliabilityWidget as ReliabilityWidget
    from .analyses.robustness.widget import RobustnessWidget as RobustnessWidget
    from .analyses.saliency.widget import SaliencyWidget as SaliencyWidget
    from .analyses.transfer.widget import TransferWidget as TransferWidget
    from .analyses.universal.widget import UniversalWidget as UniversalWidget
    from .ui.address import address as address
    from .ui.address import asked as asked
    from .workbench.widget import Workbench as Workbench

_HOMES = {f"{name}Widget": f".analyses.{word}.widget" for word, name in ANALYSES.items()}
_HOMES |= {"Workbench": ".workbench.widget", "address": ".ui.address", "asked": ".ui.address"}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
