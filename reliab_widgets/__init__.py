"""A reliability laboratory for image classifiers that lives in a notebook.

Names are loaded when they are first used, so that a saved result can be opened and drawn where
neither torch nor ipywidgets is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .analyses import ANALYSES

if TYPE_CHECKING:
    from . import widgets as widgets
    from . import zoo as zoo
    from .analyses.propagation.compute import propagation as propagation
    from .analyses.propagation.result import Propagation as Propagation
    from .analyses.pruning.compute import pruning as pruning
    from .analyses.pruning.result import Pruning as Pruning
    from .analyses.reliability.compute import reliability as reliability
    from .analyses.reliability.result import Reliability as Reliability
    from .analyses.saliency.compute import saliency as saliency
    from .analyses.saliency.result import Saliency as Saliency
    from .engine import Cache as Cache
    from .engine import Cancelled as Cancelled
    from .engine import sweep as sweep
    from .grids import grid as grid
    from .ops.adversary import attack as attack
    from .ops.adversary import smallest_epsilon as smallest_epsilon
    from .ops.pruning.oracle import oracle as oracle
    from .ops.untrained import untrained as untrained
    from .result import Result as Result
    from .result import load as load
    from .subject import Subject as Subject
    from .ui.explorer import Explorer as Explorer
    from .zoo import demo as demo

__version__ = "0.1.0"

_HOMES = {
    "Subject": "subject",
    "Result": "result",
    "load": "result",
    "sweep": "engine",
    "grid": "grids",
    "Cancelled": "engine",
    "Cache": "engine",
    "Explorer": "ui.explorer",
    "attack": "ops.adversary",
    "smallest_epsilon": "ops.adversary",
    "oracle": "ops.pruning.oracle",
    "untrained": "ops.untrained",
    "demo": "zoo",
}
for _word in ANALYSES:
    _HOMES[_word] = f"analyses.{_word}.compute"
    _HOMES[_word.title()] = f"analyses.{_word}.result"
_MODULES = ("widgets", "zoo")

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
