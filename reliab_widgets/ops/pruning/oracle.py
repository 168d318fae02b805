"""What each unit is really worth: the loss without it, one unit after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...core.analysis import checked
from ...core.batching import leaves, memory_budget, threads
from ...core.engine import Progress, pulse, sweep
from ...core.fields import Array
from ...core.knobs import Auto, Choice, Seed, Several, Text, Whole
from ...core.result import Record
from ...core.selection import naming
from ...core.subject import Subject
from ...core.wording import problem
from ..statistics.agreement import spearman
from .gates import channel_axis, normed
from .importance import BATCH
from .plain import plain_attention
from .structure import Structure, structure
from .ties import is_joint

if TYPE_CHECKING:
    from pandas import DataFrame

_PART = 64  # units that are removed before progress is told, or the most passes of copies
_PASSES = 4, 20  # the fewest and the most of copies: to remember what comes before costs another


@dataclass(frozen=True, eq=False)
class Oracle(Record):
    """What the loss does when each unit is removed alone.

    Parameters
    ----------
    subject, fingerprint : str
        Of the subject whose images these are.
    groups : tuple of str
        For each group of units, the first layer whose filters they are.
    group, channel, unit : numpy.ndarray of int
        (U,) of each unit, its filter in that layer, and its number among all of the network.
    total : int
        How many units the network has.
    loss : numpy.ndarray
        (N,) cross-entropy of each image in nats, with all units.
    change : numpy.ndarray
        (N, U) how much it grows without the unit.
    """

    facts: ClassVar[tuple[str, ...]] = ("G == len(set(group))",)

    subject: str
    fingerprint: str
    groups: Annotated[tuple[str, ...], Array("G")]
    group: Annotated[np.ndarray, Array("U", int, least=0, most="G-1")]
    channel: Annotated[np.ndarray, Array("U", int, least=0)]
    unit: Annotated[np.ndarray, Array("U", int, least=0, most="total-1")]
    total: int
    loss: Annotated[np.ndarray, Array("N", least=0)]
    change: Annotated[np.ndarray, Array("N U")]

    @property
    def by_batch(self) -> np.ndarray:
        """Mean over batches of 50 images of the size of the change of their mean loss, (U,)."""
        starts = range(0, len(self.change), BATCH)
        return np.mean([np.abs(self.change[s : s + BATCH].mean(0)) for s in starts], axis=0)

    @property
    def by_image(self) -> np.ndarray:
        """Mean over images of the squared change of the loss, (U,)."""
        return np.square(self.change).mean(0)

    @property
    def by_set(self) -> np.ndarray:
        """Squared change of the mean loss of all images, (U,)."""
        return np.square(self.change.mean(0))

    def to_frame(self) -> DataFrame:
        """Return one row a unit: layer, filter, change (of the mean loss), batch, image, set."""
        from pandas import DataFrame

        return DataFrame(
            {
                "layer": np.array(self.groups)[self.group],
                "filter": self.channel,
                "change": self.change.mean(0),
                "batch": self.by_batch,
                "image": self.by_image,
                "set": self.by_set,
            }
        )

    def agreement(self, scores: np.ndarray, measure: str = "batch") -> DataFrame:
        """Return Spearman's rank correlation of scores with the oracle, globally and by layer.

        Parameters
        ----------
        scores : array_like
            (U,), or of all units of the network where this is a sample of them.
        measure : str
            ``"batch"``, ``"image"`` or ``"set"``, see `to_frame`.

        Returns
        -------
        pandas.DataFrame
            Rows ``"all"`` and each layer; columns spearman, n. NaN where all scores are equal.
        """
        from pandas import DataFrame

        measure = Choice(("batch", "image", "set")).check("measure", measure, None)
        truth = getattr(self, f"by_{measure}")
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape == (self.total,):
            scores = scores[self.unit]
        if scores.shape != truth.shape:
            seen = f"got shape {scores.shape} for {len(truth)} units"
            raise ValueError(
                problem("scores do not fit the oracle", seen, "Pass one for each unit")
            )
        parts = {"all": np.ones(len(truth), dtype=bool)}
        parts |= {name: self.group == number for number, name in enumerate(self.groups)}
        rows = {
            name: (spearman(np.stack([scores[part], truth[part]]))[0, 1], int(part.sum()))
            for name, part in parts.items()
        }
        return DataFrame.from_dict(rows, orient="index", columns=["spearman", "n"])


def _most(subject: Subject) -> int:
    return int(np.bincount(structure(subject).group).max())


@checked
def oracle(
    subject: Subject,
    *,
    layers: Annotated[Sequence[str] | None, Auto(Several(Text()))] = None,
    units: Annotated[int | None, Auto(Whole(1, _most, "the largest group has so many"))] = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Oracle:
    """Remove each unit alone and measure the loss: the truth that importance scores estimate.

    It is exact, and slow: half a pass of all images for each unit. What runs before the first layer
    that reads a unit is computed once for some of its group, and where there are few images, a pass
    takes copies of them, each without another unit. Of a large network take some: ``units=16``.

    Parameters
    ----------
    subject : Subject
        Its images and labels; ``subject.validation[:200]`` takes 200 that nothing is reported on.
    layers : sequence of str, optional
        Names of layers whose units are removed, by default of all.
    units : int, optional
        How many of each group are removed, drawn by ``seed``; by default all.
    seed : int
        Of the drawn units.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts batches times
        parts of groups of units.

    Returns
    -------
    Oracle

    Raises
    ------
    ValueError, TypeError
        There is no Subject, no such layer, or nothing can be removed.

    Notes
    -----
    Molchanov et al. 2019, arXiv 1906.10771; their released code adds up the size of the change for
    each mini-batch, which is ``by_batch``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> images = rw.demo("resnet20").validation[:2]
    >>> rw.oracle(images).change.shape, rw.oracle(images, layers=["conv1"], units=3).change.shape
    ((2, 448), (2, 3))
    """
    found, whole = structure(subject), plain_attention(subject)
    chosen = [
        some if units is None else _drawn(some, units, [seed, number])
        for number, some in _grouped(found, layers).items()
    ]
    needed = sum(subject.network.trace(subject.images[:1]).values())
    batch = max(1, min(BATCH, memory_budget(subject.device) // max(1, 3 * needed)))
    spans = [(start, start + batch) for start in range(0, len(subject), batch)]
    size = max(_PART, _PASSES[1] * (batch // len(subject)))
    parts = [tuple(some[at : at + size]) for some in chosen for at in range(0, len(some), size)]
    items = [(start, stop, part) for start, stop in spans for part in parts]
    with naming(image=(subject, range(len(subject)))):
        case = _Case(whole, found, batch)
        losses = sweep(_without, case, items, executor=executor, progress=progress)
    rows = [losses[i : i + len(parts)] for i in range(0, len(losses), len(parts))]
    loss = np.concatenate([row[0][0] for row in rows])
    without = np.concatenate([np.concatenate([part[1] for part in row], 1) for row in rows])
    unit = np.concatenate(chosen)
    names = [layers[0] for layers in found.groups]
    return Oracle(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        groups=tuple(names[found.group[some[0]]] for some in chosen),
        group=np.repeat(np.arange(len(chosen)), [len(some) for some in chosen]),
        channel=found.channel[unit],
        unit=unit,
        total=len(found),
        loss=loss,
        change=without - loss[:, None],
    )


def _drawn(some: np.ndarray, count: int, seed: list[int]) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(some)[:count])


def _grouped(found: Structure, layers: Sequence[str] | None) -> dict[int, np.ndarray]:
    """Return the units of each group that loses filters of one of these layers."""
    known = {name for names in found.groups for name in names}
    if unknown := set(layers or ()) - known:
        seen = f"got {min(unknown)!r}"
        if why := found.tied.get(min(unknown)):
            seen += f": {why}"
        fix = f"Choose layers= from {', '.join(sorted(known))}"
        raise ValueError(problem("no filter of this layer can be removed", seen, fix))
    return {
        number: np.flatnonzero(found.group == number)
        for number, names in enumerate(found.groups)
        if layers is None or set(layers) & set(names)
    }


@dataclass(frozen=True)
class _Case:
    subject: Subject
    found: Structure
    batch: int


def _without(case: _Case, item: tuple[int, int, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    start, stop, units = item
    subject, found = case.subject[start:stop], case.found
    labels = subject.labels.to(subject.device)
    readers = {
        layer.name: layer.inputs
        for layer in found.layers
        if not layer.channelwise and np.isin(layer.inputs, units).any()
    }
    modules = dict(subject.model.named_modules())
    readers |= {
        scale.name: scale.units
        for scale in found.scales
        if is_joint(modules.get(scale.name)) and np.isin(scale.units, units).any()
    }
    replay = _Replay(subject.on(subject.network.copied(shared=True)), readers)
    passes = max(_PASSES[0], math.ceil(len(units) / max(1, case.batch // len(subject))))
    copies = math.ceil(len(units) / passes)
    with threads(1), torch.inference_mode(False), torch.no_grad():
        try:
            logits = replay.record(subject.images, copies)
        except _Mixed:
            copies = 1
            logits = replay.record(subject.images, copies)
        whole = cross_entropy(logits, labels, reduction="none")
        losses = []
        for at in range(0, len(units), copies):
            logits = replay.silence(np.resize(units[at : at + copies], copies))
            losses.append(cross_entropy(logits, labels.repeat(copies), reduction="none"))
            pulse()
    without = torch.cat(losses).view(-1, len(subject))[: len(units)].T
    return whole.double().cpu().numpy(), without.double().cpu().numpy()


class _Mixed(Exception):
    """A layer reads rows of which one cannot tell to which copy of the images they belong."""


class _Replay:
    """A network that answers from memory up to the first layer that reads what is changed.

    It is told, for each layer that reads, which unit each of its inputs is a channel of.
    """

    def __init__(self, subject: Subject, readers: dict[str, np.ndarray]) -> None:
        self.network = subject.network
        self._leaves: dict[str, Any] = leaves(self.network.model)
        for module in self._leaves.values():
            # A fused transformer layer, which calls none of its parts, gives way to any hook.
            module.register_forward_pre_hook(lambda module, inputs: None)
        self._readers = readers
        self._images = torch.empty(0)
        self._copies = 1
        self._calls: list[Any] = []
        self._changed: set[int] = set()

    def record(self, images: Tensor, copies: int) -> Tensor:
        """Pass copies of the images, keep what every module gives, and return the logits of one."""
        self._images, self._copies = images.repeat(copies, 1, 1, 1), copies
        kept: list[tuple[str, Any, int]] = []

        def call(name: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
            output = forward(*inputs, **options)
            kept.append((name, output, output._version if isinstance(output, Tensor) else 0))
            return output

        with self._answering(call):
            self.network.logits(images[:1])
            # What a later step changes in place must be kept, and handed out, as a copy.
            self._changed = {
                place
                for place, (_, output, version) in enumerate(kept)
                if isinstance(output, Tensor) and output._version != version
            }
            kept.clear()

            met = False

            def keep(name: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
                nonlocal met
                if name in self._readers:
                    met = True  # what comes later is computed anew
                    self._check(inputs[0] if inputs else options["input"])
                output = forward(*inputs, **options)
                if not met:
                    changes = len(kept) in self._changed
                    kept.append((name, output.clone() if changes else output, 0))
                return output

        with self._answering(keep):
            logits = self.network.logits(self._images)
        self._calls = [output for _, output, _ in kept]
        return logits[: len(images)]

    def _check(self, x: Tensor) -> None:
        """Refuse rows of which the first are not those of the first copy, and so on."""
        if len(x) % self._copies:
            raise _Mixed
        first, *others = x.chunk(self._copies)
        close = 1e-5 * float(first.abs().max())
        if any(not torch.allclose(first, other, rtol=0, atol=close) for other in others):
            raise _Mixed

    def silence(self, units: np.ndarray) -> Tensor:
        """Return the logits of each copy when no layer can read one unit, each copy its own."""
        place = -1
        gone = {
            name: torch.from_numpy(units[:, None] == inputs).to(self._images.device)
            for name, inputs in self._readers.items()
        }

        def call(name: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
            nonlocal place
            place += 1
            if place < len(self._calls):
                known = self._calls[place]
                return known.clone() if place in self._changed else known
            if name in gone:
                x = inputs[0] if inputs else options.pop("input")
                module = self._leaves[name]
                axis = channel_axis(module, x)
                rows = 1 if self._copies == 1 else len(x)
                closed = gone[name].repeat_interleave(rows // self._copies or 1, 0)
                shape = [rows, *[1] * (x.ndim - 1)]
                shape[axis] = x.shape[axis]
                closed = closed.view(shape)
                if is_joint(module):
                    return normed(module, x, (~closed).float())
                inputs = (x.masked_fill(closed, 0), *inputs[1:])
            return forward(*inputs, **options)

        with self._answering(call):
            return self.network.logits(self._images)

    @contextmanager
    def _answering(self, call: Callable[..., Any]) -> Iterator[None]:
        """Let ``call(name, forward, *inputs)`` answer for every leaf."""

        def put(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *inputs, **options: call(name, forward, *inputs, **options)

        own = {name: dict(module.__dict__) for name, module in self._leaves.items()}
        for name, module in self._leaves.items():
            module.forward = put(name, module.forward)
        try:
            yield
        finally:
            for name, module in self._leaves.items():
                del module.forward
                if "forward" in own[name]:
                    module.forward = own[name]["forward"]
