"""The frozen copy of a model that Subjects share, and how its answers are read."""

from __future__ import annotations

import copy
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .batching import (
    Plan,
    cores,
    in_batches,
    memory_budget,
    out_of_memory,
    probe,
    threads,
    trace,
)
from .copies import twin
from .opaque import opaque
from .randomness import Draws, draw, own_generators
from .readings import NOTES, check_finite, entries, kind, listed
from .validation import check_channels, check_device, diagnose, unexplained
from .wording import counted, one, problem

Output: TypeAlias = str | int | Callable[[Any], Tensor] | None

FEW = 4  # images looked at to understand a model's output


class Network:
    """A model copied, put in eval mode and understood: pixels in, logits out.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    images : Tensor
        (N, C, H, W) in [0, 1]; the first few are passed through to see what the model answers.
    mean, std, device, output
        As `Subject` takes them.

    Attributes
    ----------
    kind : str
        What the model gives: "logits", or a key of ``readings.NOTES``.
    classes : int
        The number of columns of the logits.
    blocked : str
        Why the logits have no gradient with respect to the images; empty if they have one.
    draws : bool
        Whether the model draws random numbers: then every pass is seeded alike.
    notes : tuple of str
        What was adapted, in plain words.
    """

    recorded = False  # whether there are only answers, see `recorded`
    front: nn.Module | None = None  # what images pass through first, in pixel units
    temperature = 1.0  # what the logits are divided by

    @torch.inference_mode(False)
    def __init__(
        self,
        model: Any,
        images: Tensor,
        *,
        mean: Any = None,
        std: Any = None,
        device: Any = "auto",
        output: Any = None,
    ) -> None:
        self.model, self._notes = _snapshot(model)
        self.device = check_device(device, self.model)
        self.model.to(self.device)
        self.mean, self.std = check_channels(mean, std, images.shape[1])
        if not (output is None or isinstance(output, str | int) or callable(output)):
            seen = f"got {type(output).__name__}"
            fix = "Pass output= as a key, a position, or a function of the model's output"
            raise TypeError(problem("output cannot pick anything", seen, fix))
        self.output: Output = output
        self.dtype = torch.float32
        self.lock = threading.RLock()
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._shapes: set[tuple[int, ...]] = {tuple(images.shape[1:])}
        self.draws = False
        self._columns = 0
        with own_generators() as draws, torch.no_grad(), threads(1):
            self._study(images[:FEW], draws)
        self.notes = tuple(self._notes)

    # --- from pixels to logits ----------------------------------------------------------------

    def logits(self, images: Tensor, channels_last: bool = False) -> Tensor:
        """Return (n, K) logits of (n, C, H, W) images in one pass, as autograd is set.

        Raises
        ------
        NonFinite
            The model gives NaN or infinity.
        """
        logits = self._pass(images, channels_last)
        check_finite(logits)
        return logits

    def _pass(self, images: Tensor, channels_last: bool) -> Tensor:
        if self.front is not None:
            images = self.front(images.to(self.device, torch.float32))
        scores = self._answers(images, channels_last)
        return scores if self.temperature == 1 else scores / self.temperature

    def _answers(self, images: Tensor, channels_last: bool) -> Tensor:
        inputs = self.normalised(images)
        if channels_last and images.shape[1] > 1:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        elif images.shape[1] == 1 or images.shape[2:] == (1, 1):
            # Strides over one channel say nothing, but convolutions take a format from them.
            inputs = inputs.clone(memory_format=torch.contiguous_format)
        with self._isolated():
            scores = self.pick(self.model(inputs), len(images)).to(self.dtype)
        if self.kind == "probabilities":
            return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()
        if self.kind in ("sigmoids", "one probability"):
            scores = scores.logit(torch.finfo(scores.dtype).eps)
        if self._columns == 1:
            return torch.cat([torch.zeros_like(scores), scores], 1)
        return scores

    def infer(self, images: Tensor, *, checked: bool = True) -> Tensor:
        """Return (n, K) logits without gradients, in batches that fit; safe from any thread.

        Parameters
        ----------
        images : Tensor
            (n, C, H, W) in pixel units.
        checked : bool
            Whether NaN or infinity is refused, as by `logits`.
        """
        size = tuple(images.shape[1:])
        if len(images) == 0:
            return torch.empty(0, self.classes, device=self.device)
        alone = len(images) == 1 and size not in self._plans
        plan = Plan(1) if alone else self.plan(size)  # one image is not worth a probe
        # Both settings belong to the thread, so they are made here and not by who asks.
        with torch.inference_mode(False), torch.no_grad():
            logits, worked = in_batches(self._pass, images, plan)
        if worked.batch < plan.batch:
            with self.lock:
                self._plans[size] = min(worked, self._plans[size], key=lambda plan: plan.batch)
        if checked:
            check_finite(logits)
        return logits

    def plan(self, size: tuple[int, ...]) -> Plan:
        """Return how to run images of this (C, H, W), probed when first asked."""
        with self.lock:
            if size not in self._plans:
                image = torch.full((1, *size), 0.5, device="cpu")

                def run(batch: int, channels_last: bool) -> Tensor:
                    return self.logits(image.expand(batch, -1, -1, -1), channels_last).cpu()

                with torch.inference_mode(False), torch.no_grad():
                    needed = image.nbytes + sum(self.trace(image).values())
                    budget, on_cpu = memory_budget(self.device), self.device.type == "cpu"
                    self._plans[size] = probe(run, needed, budget, cores(), on_cpu)
            return self._plans[size]

    def trace(self, image: Tensor) -> dict[str, int]:
        """Name the leaf modules that run on a (1, C, H, W) image, with the bytes they give."""
        with self.lock, torch.no_grad():
            return trace(self.model, lambda: self.logits(image))

    def copied(
        self, change: Callable[[nn.Module], object] = lambda model: None, *, shared: bool = False
    ) -> Network:
        """Return this network with a copy of its model, changed as told.

        Parameters
        ----------
        change : callable, optional
            Is given the copy of the model and changes it in place. Inputs and outputs must stay of
            their shapes: the copy is run and read like the original.
        shared : bool
            Whether the copy has the very parameters of the original, which saves memory; then
            ``change`` may replace parameters, but not write into them.

        Examples
        --------
        >>> network = Network(nn.Flatten(), torch.rand(1, 1, 2, 2))
        >>> network.copied().model is network.model
        False
        """
        network = object.__new__(Network)
        # The plan is shared too: what the original was probed for fits its copy.
        known = {id(one): one for one in self.model.parameters()} if shared else {}
        network.__dict__.update(self.__dict__, model=twin(self.model, known))
        network.__dict__.pop("digest", None)
        change(network.model)
        return network

    def behind(self, front: nn.Module) -> Network:
        """Return this network, with its very model, behind something that changes images first.

        Parameters
        ----------
        front : torch.nn.Module
            (n, C, H, W) in pixel units to the same; what stands before the network already comes
            after it.

        Examples
        --------
        >>> network = Network(nn.Flatten(), torch.rand(1, 1, 1, 2))
        >>> network.behind(nn.Softmax(3)).logits(torch.zeros(1, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
        """
        stages = front if self.front is None else nn.Sequential(front, self.front)
        return self._with(front=stages)

    def divided(self, temperature: float) -> Network:
        """Return this network, with its very model, with logits divided by a number above 0.

        Examples
        --------
        >>> network = Network(nn.Flatten(), torch.rand(1, 1, 1, 2))
        >>> network.divided(2).logits(torch.ones(1, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
        """
        return self._with(temperature=self.temperature * temperature)

    def _with(self, **attributes: Any) -> Network:
        network = object.__new__(Network)
        network.__dict__.update(self.__dict__, _plans={}, **attributes)
        network.__dict__.pop("digest", None)
        return network

    def doubled(self) -> Network:
        """Return this network with a copy of its model that computes in float64.

        Examples
        --------
        >>> network = Network(nn.Flatten(), torch.rand(1, 1, 2, 2))
        >>> network.doubled().logits(torch.rand(1, 1, 2, 2)).dtype
        torch.float64
        """
        network = self.copied(nn.Module.double)
        network.dtype = torch.float64
        return network

    def accept(self, images: Tensor) -> None:
        """Make sure that the model takes (n, C, H, W) images of this size."""
        size = tuple(images.shape[1:])
        if size in self._shapes:
            return
        if self.mean is not None and len(self.mean) != size[0]:
            raise ValueError(
                problem(
                    "images have another number of channels than this network's",
                    f"got {size[0]}, mean= has {len(self.mean)}",
                    f"Pass images= with {len(self.mean)} channels",
                )
            )
        with torch.no_grad(), self._isolated():
            self.pick(self._tried(images[:1]), 1)
        self._shapes.add(size)

    def normalised(self, images: Tensor) -> Tensor:
        """Return (n, C, H, W) images as the model expects them, on its device."""
        images = images.to(self.device, self.dtype)
        if self.mean is None or self.std is None:
            return images.clone()  # a model that works in place must not reach the pictures
        mean, std = (
            torch.tensor(x, dtype=self.dtype, device=self.device).view(-1, 1, 1)
            for x in (self.mean, self.std)
        )
        return (images - mean) / std

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        # Outside of batches too: on a busy machine several threads wait for each other.
        known = next(iter(self._plans.values()), Plan(1))
        with threads(known.threads), own_generators(draw()) if self.draws else nullcontext():
            yield

    # --- understanding the model --------------------------------------------------------------

    def _study(self, images: Tensor, draws: Draws) -> None:
        raw = self._tried(images[:1])
        self._choose(raw)
        alone = self.pick(raw, 1)
        scores = self.pick(self.model(self.normalised(images)), len(images))
        drawn = draws.drawn

        check_finite(scores, "tried")
        self._columns = scores.shape[1]
        end = self._differentiate(images[:1])

        def far() -> Tensor:
            inputs = 100 * self.normalised(2 * images - 1)
            return self.pick(self.model(inputs), len(images))

        self.kind = kind(scores, end, self.model, far)
        self.classes = max(2, self._columns)

        if drawn:
            self._notes.append(
                "the model draws random numbers in its forward pass; every pass is seeded alike"
            )
        if not torch.allclose(alone[0], scores[0], rtol=1e-3, atol=1e-3):
            gap = (alone[0] - scores[0]).abs().max().item()
            self._notes.append(
                f"two passes of the same image differ (by {gap:.2g}): the model draws random "
                "numbers, remembers, or looks at the rest of the batch"
            )
            drawn = True
        self.draws = drawn
        if self.kind != "logits":
            self._notes.append(NOTES[self.kind])
        elif ((scores >= 0) & (scores <= 1)).all():
            self._notes.append(
                "all outputs lie in 0-1 but do not sum to 1: taken as logits; if they are "
                "sigmoids, pass output=torch.logit"
            )

    def _tried(self, image: Tensor) -> Any:
        def run(image: Tensor) -> Any:
            return self.model(self.normalised(image))

        try:
            return run(image)
        except Exception as error:
            if out_of_memory(error):
                raise
            explained = diagnose(self.model, run, image)
            if explained is not None:
                raise explained from None  # what torch said about it would only hide it
            raise unexplained(image, error) from error

    def _choose(self, raw: Any) -> None:
        """Settle which part of a dict or tuple is meant."""
        if self.output is not None or isinstance(raw, Tensor):
            return
        parts = entries(raw)
        if not parts:
            return
        tables = [k for k, v in parts.items() if isinstance(v, Tensor) and v.ndim == 2]
        named = [key for key in ("logits", "out") if key in parts]
        if not named and len(tables) != 1:
            raise ValueError(
                problem(
                    f"the model's output is {one(type(raw).__name__)} and it is not clear which "
                    "part holds the logits",
                    f"it has {listed(parts)}",
                    "Name it, e.g. output="
                    + repr(next(iter(parts)))
                    + ", or pass output= as a function of the model's output",
                )
            )
        self.output = (named or tables)[0]
        self._notes.append(
            f"the model's output is {one(type(raw).__name__)}; {self.output!r} is used, change it "
            "with output="
        )

    def pick(self, raw: Any, count: int) -> Tensor:
        """Return what stands for the logits of so many images in an output of the model."""
        picked = raw
        if callable(self.output):
            picked = self.output(raw)
        elif self.output is not None:
            parts = entries(raw)
            keys = list(parts)
            if isinstance(self.output, int) and -len(keys) <= self.output < len(keys):
                picked = parts[keys[self.output]]
            elif self.output in parts:
                picked = parts[self.output]
            else:
                fix = "Pass one of these as output=" if keys else "Leave output= away"
                given = listed(parts) or f"one {type(raw).__name__}"
                seen = f"got output={self.output!r}, the model gives {given}"
                raise ValueError(problem("output is not part of what the model gives", seen, fix))
        if not isinstance(picked, Tensor):
            fix = "Pass output= as a key, a position, or a function that returns a tensor"
            seen = f"got {type(picked).__name__}"
            raise ValueError(problem("the model's output is not a tensor", seen, fix))
        if picked.ndim < 2 and picked.numel() == count:  # one number for each image
            picked = picked.reshape(count, 1)
        if (
            picked.ndim != 2
            or len(picked) != count
            or picked.shape[1] != (self._columns or picked.shape[1])
        ):
            fix = "Pass output= as a function that makes logits of it"
            if picked.ndim < 2:  # squeeze() takes away too much of one image
                fix = f"Pass output=lambda y: y.reshape(-1, {max(1, picked.numel() // count)})"
            elif picked.ndim == 4:
                fix = "Pass output=lambda y: y.mean((2, 3)) if it is a map of logits"
            raise ValueError(
                problem(
                    "the model's output must be logits, (N, K)",
                    f"{counted(count)} gave shape {tuple(picked.shape)}",
                    fix,
                )
            )
        return picked

    def _differentiate(self, image: Tensor) -> Any:
        """Find out whether gradients reach an image, and return the end of the graph to it."""
        self.blocked = "something in it cuts them off (detach, no_grad, numpy or argmax)"
        end = None
        with torch.enable_grad():
            try:
                pixels = image.clone().requires_grad_()
                scores = self.pick(self.model(self.normalised(pixels)), 1)
                end = scores.grad_fn
                if end is not None:
                    (found,) = torch.autograd.grad(scores.sum(), pixels, allow_unused=True)
                    if found is not None:
                        self.blocked = ""
            except Exception as error:  # what blocks gradients may refuse tensors that carry them
                told = (str(error).splitlines() or [""])[0].partition(". ")[0].rstrip(".")
                self.blocked = f"{type(error).__name__}: {told[:200]}"
        return end

    @property
    def gradients(self) -> bool:
        """Whether the logits can be differentiated with respect to the images."""
        return not self.blocked

    def check_gradients(self, why: str = "reliability works without") -> None:
        """Refuse what needs gradients where there are none.

        Parameters
        ----------
        why : str
            What they are needed for, or what works without.

        Raises
        ------
        ValueError
            There are none; it says why.
        """
        if self.blocked:
            happened = f"gradients are blocked inside {type(self.model).__name__}.forward"
            fix = f"Remove what blocks them from model=; {why}"
            raise ValueError(problem(happened, self.blocked, fix))

    # --- identity -----------------------------------------------------------------------------

    @cached_property
    def digest(self) -> bytes:
        """Hash of everything that decides the logits, but the images."""
        digest = hashlib.sha256()
        text = re.sub(r"0x[0-9a-f]+", "", repr(self.model))  # addresses change, models do not
        output = self.output
        if callable(output):
            code = getattr(output, "__code__", None)
            output = (
                f"{getattr(output, '__qualname__', type(output))} {code and code.co_code.hex()}"
            )
        words = (type(self.model).__qualname__, text, self.mean, self.std, output)
        digest.update(repr(words).encode())
        tables = [*self.model.state_dict().items(), *self.model.named_buffers()]
        if self.front is not None:
            digest.update(re.sub(r"0x[0-9a-f]+", "", repr(self.front)).encode())
            tables += [*self.front.state_dict().items(), *self.front.named_buffers()]
        if self.temperature != 1:
            digest.update(repr(self.temperature).encode())
        for name, value in tables:
            digest.update(name.encode())
            digest.update(
                tensor_bytes(value) if isinstance(value, Tensor) else repr(value).encode()
            )
        return digest.digest()

    def __getstate__(self) -> dict[str, Any]:
        # Locks cannot travel, and a plan fits only the machine that made it.
        return {k: v for k, v in self.__dict__.items() if k not in ("lock", "_plans")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock(), _plans={})


def tensor_bytes(tensor: Tensor) -> bytes:
    """Return a tensor's kind, shape and values as bytes, whatever its memory format and device."""
    values = tensor.detach().cpu()
    if values.is_quantized:
        values = values.dequantize()
    values = values.to_dense().contiguous().flatten().view(torch.uint8)
    kind = f"{tensor.dtype} {tuple(tensor.shape)}"
    return kind.encode() + values.numpy().tobytes()


def _snapshot(model: Any) -> tuple[nn.Module, list[str]]:
    """Copy a model into eval mode without gradients, and say in words what was changed."""
    model, wrappers = _unwrapped(model)
    notes = [f"{wrapper} was taken off: the network inside is used" for wrapper in wrappers]
    if not isinstance(model, nn.Module):
        raise TypeError(
            problem(
                "model is not a torch.nn.Module",
                f"got {type(model).__name__}",
                "Pass model= as a Module whose forward maps (N, C, H, W) images to (N, K) logits",
            )
        )
    _check_made(model)
    # What pruning and weight norm derive from parameters is no leaf, and torch copies only leaves.
    derived = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    scripted = opaque(model)
    if scripted:
        notes.append("TorchScript in the model runs, but its layers cannot be seen or changed")
    try:
        copied = copy.deepcopy(model, {**derived, **scripted})
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ValueError(
            problem(
                "the model cannot be copied",
                f"copy.deepcopy gave {type(error).__name__}: {first_line}",
                "Pass model= without attributes that cannot be copied (open files, locks, "
                "graphs), or write its __deepcopy__",
            )
        ) from error
    if inside := list(_unwrap_children(copied)):
        notes.append(f"taken off, the layers inside are used: {', '.join(inside)}")
    # A frozen script has no such attribute.
    if any(getattr(module, "training", False) for module in model.modules()):
        notes.append("the model was in train mode; the copy is evaluated in eval mode")
    floats = {t.dtype for t in [*copied.parameters(), *copied.buffers()] if t.is_floating_point()}
    if floats - {torch.float32}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in floats))
        notes.append(f"weights of {names} are evaluated in float32")
        copied.float()
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in copied.modules())
    if hooks:
        notes.append(f"{hooks} forward hook{'s' * (hooks > 1)} of the model run in its copy too")
    copied.eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return copied, notes


def _check_made(model: nn.Module) -> None:
    """Refuse a model that has never seen an image, or whose weights have no values."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            seen = f"{name} gets its shape from a first batch"
            fix = "Pass one through the model, model(images[:1]), and train it or load its weights"
        elif tensor.is_meta:
            seen = f"{name} is on torch's meta device"
            fix = (
                "Make the model without device='meta', or call model.to_empty(device='cpu') and "
                "load its weights"
            )
        else:
            continue
        raise ValueError(problem("the model has weights without values", seen, fix))


def _unwrapped(model: Any) -> tuple[Any, list[str]]:
    """Return what is inside of compiled and parallel models, and what was around it."""
    wrappers: list[str] = []
    while True:
        if isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model, wrapper = model._orig_mod, "torch.compile"
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model, wrapper = model.module, type(model).__name__
        else:
            return model, wrappers
        wrappers.append(wrapper)


def _unwrap_children(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Take the same off all parts of a model, and say of which."""
    for name, child in list(module._modules.items()):  # one that has two names, twice
        if child is None:
            continue
        inner, wrappers = _unwrapped(child)
        if wrappers:
            setattr(module, name, inner)
        yield from (f"{wrapper} of {prefix}{name}" for wrapper in wrappers)
        yield from _unwrap_children(inner, f"{prefix}{name}.")
