"""A reliability laboratory for image classifiers that lives in a notebook.

Names are loaded when they are first used, so that a saved result can be opened and drawn where
neither torch nor ipywidgets is installed.
"""

__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .analyses import ANALYSES

if TYPE_CHECKING:
    from . import widgets as widgets
    from . import zoo as zoo
    from .analyses import *  # noqa: F403
    from .cards import card as card
    from .core import knobs as knobs
    from .core.engine import Cache as Cache
    from .core.engine import Cancelled as Cancelled
    from .core.engine import sweep as sweep
    from .core.grids import grid as grid
    from .core.photographs import photographed as photographed
    from .core.result import Result as Result
    from .core.result import load as load
    from .core.subject import Subject as Subject
    from .ops.attacks.adversary import attack as attack
    from .ops.attacks.noise import noisy as noisy
    from .ops.attacks.search import smallest_epsilon as smallest_epsilon
    from .ops.calibration.calibrated import calibrated as calibrated
    from .ops.certificates.smoothing import certify as certify
    from .ops.corruptions.corrupted import corrupted as corrupted
    from .ops.defences.denoised import denoised as denoised
    from .ops.networks.tuning import tuned as tuned
    from .ops.networks.untrained import untrained as untrained
    from .ops.pruning.oracle import oracle as oracle
    from .ops.pruning.pruned import pruned as pruned
    from .ui.explorer import Explorer as Explorer
    from .zoo import demo as demo

_HOMES = {
    "Subject": "core.subject",
    "Result": "core.result",
    "load": "core.result",
    "sweep": "core.engine",
    "grid": "core.grids",
    "Cancelled": "core.engine",
    "Cache": "core.engine",
    "Explorer": "ui.explorer",
    "attack": "ops.attacks.adversary",
    "smallest_epsilon": "ops.attacks.search",
    "certify": "ops.certificates.smoothing",
    "oracle": "ops.pruning.oracle",
    "noisy": "ops.attacks.noise",
    "corrupted": "ops.corruptions.corrupted",
    "photographed": "core.photographs",
    "calibrated": "ops.calibration.calibrated",
    "denoised": "ops.defences.denoised",
    "pruned": "ops.pruning.pruned",
    "untrained": "ops.networks.untrained",
    "tuned": "ops.networks.tuning",
    "demo": "zoo",
    "card": "cards",
}
for _word, _name in ANALYSES.items():
    _HOMES[_word] = f"analyses.{_word}.compute"
    _HOMES[_name] = f"analyses.{_word}.result"
_MODULES = {"widgets": "widgets", "knobs": "core.knobs", "zoo": "zoo"}

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
