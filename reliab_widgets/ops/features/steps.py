"""The steps of a forward pass: modules, and functions that apply weights, whoever calls them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

WEIGHTS = (nn.Conv2d, nn.Linear)
PARTS = ("q", "k", "v", "out_proj")
"""What `nn.MultiheadAttention` computes inside: queries, keys, values and output."""
_APPLIED = {F.conv2d: "conv2d", F.linear: "linear"}
FUNCTIONS = (*_APPLIED.values(), "matmul")
"""The types of steps that are no modules."""
_PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__}
SUMS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__, Tensor.__radd__}
_FUSED = {F.multi_head_attention_forward, F.scaled_dot_product_attention}
SOFTMAX = {torch.softmax, F.softmax, Tensor.softmax}


class Step(NamedTuple):
    """One use of a module or a function in a pass.

    Attributes
    ----------
    name : str
        The module's; of a function that of the weights which it applies, or ``"block.linear()"``.
    use : int
        Which use of this name, from 0.
    type : str
        The class of the module, or the name of the function.
    output : Tensor
        The first tensor that it returned.
    """

    name: str
    use: int
    type: str
    output: Tensor


class Inside(NamedTuple):
    """The modules that did something themselves, not by their children.

    Attributes
    ----------
    attends : set of str
        Those that computed attention.
    adds : set of str
        Those that added two tensors of one shape, as shortcuts do.
    """

    attends: set[str]
    adds: set[str]


@contextmanager
def watching(
    model: nn.Module,
    see: Callable[[Step], None],
    only: Collection[str] | None = None,
    *,
    functions: bool = True,
) -> Iterator[Inside]:
    """Let ``see(step)`` be called after each step of one forward pass of this thread.

    Parameters
    ----------
    model : torch.nn.Module
        Without the hooks again afterwards.
    see : callable
        Given the steps in their order. A later step may change an output in place.
    only : collection of str, optional
        The names of the steps wanted; all by default.
    functions : bool
        Whether functions are wanted; every operation is looked at, which takes time.

    Yields
    ------
    Inside
        Filled while the pass runs, if all steps are wanted.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> with watching(model, lambda step: print(step.name, step.type)):
    ...     _ = model(torch.zeros(3, 1, 2, 2))
    0 Flatten
    1 Linear
    """
    modules = {name: module for name, module in model.named_modules() if name}
    uses: Counter[str] = Counter()
    me = threading.get_ident()
    running: list[tuple[str, nn.Module]] = [("", model)]

    def mine(name: str) -> bool:
        # A hook belongs to the module, not to the thread that asked for it.
        return threading.get_ident() == me and (only is None or name in only)

    def note(name: str, kind: str, output: Any) -> None:
        tensor = _tensor(output)
        use = uses[name]
        uses[name] += 1
        if tensor is not None:
            see(Step(name, use, kind, tensor))

    def ran(name: str, module: nn.Module, output: Any) -> None:
        if mine(name):
            note(name, type(module).__name__, output)

    def attended(name: str, module: Any, args: Any, given: Any, output: Any) -> None:
        wanted = [part for part in PARTS if mine(f"{name}.{part}")]
        if wanted:
            for part, tensor in zip(PARTS, (*projected(module, args, given), output), strict=True):
                if part in wanted:
                    note(f"{name}.{part}", type(module).__name__, tensor)

    def noted(name: str, kind: str, output: Any) -> None:
        if mine(name):
            note(name, kind, output)

    called = _Functions(model, running, noted)
    handles = []
    for name, module in modules.items():
        if isinstance(module, nn.MultiheadAttention):
            handles.append(
                module.register_forward_hook(
                    lambda m, a, k, out, name=name: attended(name, m, a, k, out), with_kwargs=True
                )
            )
        if only is None or name in only:
            handles.append(
                module.register_forward_hook(lambda m, _, out, name=name: ran(name, m, out))
            )
    if functions:
        for name, module in modules.items():
            handles += _followed(name, module, running, me)
    try:
        with called if functions else nullcontext():
            yield called.inside
    finally:
        for handle in handles:
            handle.remove()


def projected(module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Tensor, ...]:
    """Return the queries, keys and values of an `nn.MultiheadAttention`, as its inputs lie.

    Examples
    --------
    >>> module = nn.MultiheadAttention(4, 2)
    >>> [tuple(it.shape) for it in projected(module, (torch.zeros(3, 1, 4),) * 3, {})]
    [(3, 1, 4), (3, 1, 4), (3, 1, 4)]
    """
    inputs = [*args[:3], *(given[it] for it in ("query", "key", "value")[len(args) :])]
    if module.in_proj_weight is None:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    else:
        weights = list(module.in_proj_weight.chunk(3))
    bias = module.in_proj_bias
    biases = [None] * 3 if bias is None else list(bias.chunk(3))
    return tuple(F.linear(*it) for it in zip(inputs, weights, biases, strict=True))


def _tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a step gave: blocks may return more than one thing."""
    while not isinstance(output, Tensor):
        values = list(output.values()) if isinstance(output, dict) else output
        if not isinstance(values, tuple | list) or not values:
            return None
        output = values[0]
    return output


def _followed(
    name: str, module: nn.Module, running: list[tuple[str, nn.Module]], me: int
) -> list[Any]:
    def enter(*_: Any) -> None:
        if threading.get_ident() == me:
            running.append((name, module))

    def leave(*_: Any) -> None:
        if threading.get_ident() == me and running[-1][1] is module:
            running.pop()

    return [
        module.register_forward_pre_hook(enter, prepend=True),
        module.register_forward_hook(leave, always_call=True),
    ]


class _Functions(TorchFunctionMode):
    """Sees what is called in this thread while modules run."""

    def __init__(
        self,
        model: nn.Module,
        running: list[tuple[str, nn.Module]],
        note: Callable[[str, str, Any], None],
    ) -> None:
        super().__init__()
        self._owners = {id(weight): name for name, weight in model.named_parameters()}
        self._running, self._note = running, note
        self.inside = Inside(set(), set())

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name, module = self._running[-1]
        if func in _FUSED or (func in SOFTMAX and output.ndim > 2 and output.shape[-1] > 1):
            self.inside.attends.add(name)
        elif func in SUMS:
            if all(isinstance(it, Tensor) and it.shape == output.shape for it in args[:2]):
                self.inside.adds.add(name)
        elif not isinstance(module, (*WEIGHTS, nn.MultiheadAttention)):
            self._weigh(func, args, kwargs or {}, output, name)
        return output

    def _weigh(self, func: Any, args: Any, kwargs: dict[str, Any], output: Any, name: str) -> None:
        if func in _APPLIED:
            weight = kwargs["weight"] if len(args) < 2 else args[1]
            owner = self._owner(weight)
            above = f"{name}." if name else ""
            self._note(owner or f"{above}{_APPLIED[func]}()", _APPLIED[func], output)
        elif func in _PRODUCTS:
            owners = [it for it in map(self._owner, args) if it]
            if owners and output.ndim > 1:
                self._note(owners[0], "matmul", output)

    def _owner(self, weight: Any) -> str | None:
        """Return the name of the weights that a tensor is, or is a part of."""
        for one in (weight, getattr(weight, "_base", None)):
            if (name := self._owners.get(id(one))) is not None:
                return name.removesuffix(".weight")
        return None
