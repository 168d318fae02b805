"""``reliab-widgets doctor``: what this machine can do, tried out."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version

from ..analyses import ANALYSES, function

PACKAGES = ("torch", "torchvision", "captum", "ipywidgets", "anywidget", "matplotlib", "jupyterlab")
IMAGES = 32
"""How many images each analysis gets."""


def doctor() -> int:
    """Print what there is and try every analysis; 0 if all is well, otherwise 1."""
    well = [_packages(), _machine(), *(_tried(word) for word in ANALYSES)]
    print("all is well" if all(well) else "something is missing: see the lines with ✗")
    return 0 if all(well) else 1


def _say(works: bool, words: str) -> bool:
    print(f"{'✓' if works else '✗'} {words}", flush=True)
    return works


def _packages() -> bool:
    found, missing = [f"Python {platform.python_version()}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    _say(True, ", ".join(found))
    if missing:
        return _say(
            False, f'not installed: {", ".join(missing)}; pip install "reliab-widgets[lab]"'
        )
    return True


def _machine() -> bool:
    from ..core.batching import cores, memory
    from ..zoo import demo

    begun = time.perf_counter()
    plan = demo("resnet20")[:IMAGES].plan
    used, free = memory()
    return _say(
        free == 0 or free > 1e9,
        f"{cores()} core{'s' * (cores() > 1)}; {used / 1e9:.1f} GB in use by Python with torch, "
        f"{free / 1e9:.1f} GB free; batches of {plan.batch} on {plan.threads} "
        f"{'threads' if plan.threads > 1 else 'thread'}, found in "
        f"{time.perf_counter() - begun:.1f} s",
    )


def _tried(word: str) -> bool:
    from ..core.batching import memory
    from ..zoo import demo

    begun = time.perf_counter()
    try:
        result = function(word)(demo("resnet20")[:IMAGES])
        result.plot()
    except Exception as error:  # whatever it is, the others are tried too
        return _say(False, f"{word}: {type(error).__name__}: {error}")
    took, used = time.perf_counter() - begun, memory()[0]
    return _say(True, f"{word}: {took:.1f} s, then {used / 1e9:.2f} GB in use")
