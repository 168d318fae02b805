"""The analyses: one folder, one function and one result each, named by one word."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

ANALYSES = {
    "saliency": "Saliency",
    "reliability": "Reliability",
    "propagation": "Propagation",
    "pruning": "Pruning",
    "landscape": "Landscape",
    "robustness": "Robustness",
    "transfer": "Transfer",
    "universal": "Universal",
}
"""The word of each analysis, and the name of its result's class."""

if TYPE_CHECKING:  # for editors; what runs is loaded when it is first used
    from .landscape.compute import Landscape as Landscape
    from .landscape.compute import landscape as landscape
    from .propagation.compute import Propagation as Propagation
    from .propagation.compute import propagation as propagation
    from .pruning.compute import Pruning as Pruning
    from .pruning.compute import pruning as pruning
    from .reliability.compute import Reliability as Reliability
    from .reliability.compute import reliability as reliability
    from .robustness.compute import Robustness as Robustness
    from .robustness.compute import robustness as robustness
    from .saliency.compute import Saliency as Saliency
    from .saliency.compute import saliency as saliency
    from .transfer.compute import Transfer as Transfer
    from .transfer.compute import transfer as transfer
    from .universal.compute import Universal as Universal
    from .universal.compute import universal as universal


def function(word: str) -> Callable[..., Any]:
    """Return the function of an analysis, by its word.

    Examples
    --------
    >>> function("reliability").__name__
    'reliability'
    """
    return getattr(import_module(f".{word}.compute", __name__), word)
