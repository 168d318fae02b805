"""Random numbers of our own for code of others; no other thread can tell."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Draws(TorchDispatchMode):
    """What draws by chance in this thread gets a generator of ours from torch's dispatcher.

    Parameters
    ----------
    seed : int
        Of all generators.

    Attributes
    ----------
    drawn : bool
        Whether anything was drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.drawn = False
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}
        self._python = random.Random(seed)
        self._numpy = np.random.RandomState(seed % 2**32)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler: 1.6 s and 150 MB, for nothing

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _draws(func):
            return func(*args, **kwargs)
        names = (it.name for it in func._schema.arguments)
        given = dict(zip(names, args, strict=False)) | kwargs  # some generators come by position
        if given.get("generator") is not None:
            return func(*args, **kwargs)
        self.drawn = True
        device = next(
            (it.device for it in given.values() if isinstance(it, Tensor)),
            torch.device(given.get("device") or "cpu"),
        )
        if device.type == "meta":
            return func(*args, **kwargs)
        own = self._generator(device)
        if func.overloadpacket in _WITHOUT:
            return _WITHOUT[func.overloadpacket](own, **given)
        return func.overloadpacket(**given | {"generator": own})

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def instead(self, module: ModuleType, name: str) -> Callable[..., Any]:
        """Return what to call in this thread for a function of ``random``, numpy or torch."""
        self.drawn |= "seed" not in name and "state" not in name
        if module is random:
            return getattr(self._python, name)
        if module is np.random:
            return getattr(self._numpy, name)
        if name == "manual_seed":
            return self._reseed
        return getattr(self._generator(torch.device("cpu")), name.replace("_rng_", "_"))

    def _reseed(self, seed: int) -> torch.Generator:
        self._seed = int(seed)
        self._generators.clear()
        return self._generator(torch.device("cpu"))


@functools.cache
def _draws(func: Any) -> bool:
    """Tell whether an operation of torch draws: then one of its forms takes a generator."""
    packet = func.overloadpacket
    if packet in _WITHOUT:
        return True
    schemas = (getattr(packet, name)._schema for name in packet.overloads())
    return any(it.name == "generator" for schema in schemas for it in schema.arguments)


def _dropped(
    generator: torch.Generator, input: Tensor, p: float, train: bool | None
) -> tuple[Tensor, Tensor]:
    if train is False or p == 0:
        return input.clone(), torch.ones_like(input, dtype=torch.bool)
    kept = torch.empty_like(input, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    return input * kept / max(1 - p, torch.finfo(torch.float32).tiny), kept


def _like(fill: str) -> Callable[..., Tensor]:
    def drawn(
        generator: torch.Generator, self: Tensor, *, low: int = 0, high: int = 0, **form: Any
    ) -> Tensor:
        bounds = (low, high) if fill == "random_" else ()
        made: Tensor = getattr(torch.empty_like(self, **form), fill)(*bounds, generator=generator)
        return made

    return drawn


# What takes no generator, in older versions of torch or at all: dropout of GPUs.
_WITHOUT: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_dropout: _dropped,
    torch.ops.aten.rand_like: _like("uniform_"),
    torch.ops.aten.randn_like: _like("normal_"),
    torch.ops.aten.randint_like: _like("random_"),
}


# Generators of Python and numpy have no dispatcher, and torch.manual_seed does not pass by that of
# torch: while any thread is inside, these functions ask which thread calls, and the other threads
# get what they always get.
_here = threading.local()
_lock = threading.Lock()
_inside = 0
_replaced: list[tuple[ModuleType, str, Any, Any]] = []
_SEEDS = ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state")
_NAMES: list[tuple[ModuleType, tuple[str, ...]]] = [
    (random, tuple(dir(random.Random))),
    (np.random, tuple(dir(np.random.RandomState))),
    (torch, _SEEDS),
    (torch.random, _SEEDS),
]


_DRAW: ContextVar[int] = ContextVar("draw", default=0)


@contextmanager
def drawing(number: int) -> Iterator[None]:
    """Let networks and denoisers that draw make another draw meanwhile, in this thread.

    By default every pass draws alike, so that an answer is one; that draw is number 0.

    Examples
    --------
    >>> with drawing(3):
    ...     draw()
    3
    """
    token = _DRAW.set(number)
    try:
        yield
    finally:
        _DRAW.reset(token)


def draw() -> int:
    """Return which draw is made, 0 unless `drawing` says otherwise."""
    return _DRAW.get()


@contextmanager
def own_generators(seed: int = 0) -> Iterator[Draws]:
    """Let what draws from global random generators, in this thread, draw from some of our own.

    For code of others: data sets with random transforms, networks with dropout that is always on.
    The global generators of Python, numpy and torch are neither read nor changed, so that other
    threads draw what they would have drawn. Two things are out of reach: functions that somebody
    imported by name (``from random import random``), and attention with dropout on a GPU.

    Parameters
    ----------
    seed : int
        Of all of them.

    Yields
    ------
    Draws
        Says whether anything was drawn.

    Examples
    --------
    >>> with own_generators(seed=1):
    ...     first = torch.rand(1)
    >>> with own_generators(seed=1) as draws:
    ...     torch.equal(torch.rand(1), first)
    True
    >>> draws.drawn
    True
    """
    before = getattr(_here, "draws", None)
    with _replacing(), Draws(seed) as draws:
        _here.draws = draws
        try:
            yield draws
        finally:
            _here.draws = before


@contextmanager
def _replacing() -> Iterator[None]:
    global _inside
    with _lock:
        if _inside == 0:
            _replaced[:] = [it for module, names in _NAMES for it in _replacements(module, names)]
            for module, name, _, ours in _replaced:
                setattr(module, name, ours)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for module, name, theirs, ours in _replaced:
                    if getattr(module, name) is ours:  # nobody else has replaced it since
                        setattr(module, name, theirs)


def _replacements(
    module: ModuleType, names: tuple[str, ...]
) -> Iterator[tuple[ModuleType, str, Any, Any]]:
    for name in names:
        theirs = getattr(module, name, None)
        if name.startswith("_") or not callable(theirs):
            continue

        def ours(*args: Any, theirs: Any = theirs, name: str = name, **kwargs: Any) -> Any:
            draws = getattr(_here, "draws", None)
            return (theirs if draws is None else draws.instead(module, name))(*args, **kwargs)

        yield module, name, theirs, functools.wraps(theirs)(ours)
