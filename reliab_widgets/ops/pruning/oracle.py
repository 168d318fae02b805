"""What each unit is really worth: the loss without it, one unit after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...core.analysis import checked
from ...core.batching import leaves, memory_budget, threads
from ...core.engine import Progress, sweep
from ...core.fields import Array
from ...core.knobs import Choice
from ...core.result import Record
from ...core.selection import naming
from ...core.subject import Subject
from ...core.wording import problem
from ..statistics.agreement import spearman
from .gates import normed
from .importance import BATCH
from .plain import plain_attention
from .structure import Structure, structure
from .ties import is_joint

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Oracle(Record):
    """What the loss does when each unit is removed alone.

    Parameters
    ----------
    subject, fingerprint : str
        Of the subject whose images these are.
    groups : tuple of str
        For each group of units, the first layer whose filters they are.
    group, channel : numpy.ndarray of int
        (U,) of each unit, and its filter in that layer.
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
            (U,).
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


@checked
def oracle(subject: Subject, *, executor: Any = None, progress: Progress = None) -> Oracle:
    """Remove each unit alone and measure the loss: the truth that importance scores estimate.

    It is exact, and slow: half a pass of all images for each unit. What runs before the first layer
    that reads a unit is computed once for all of its group.

    Parameters
    ----------
    subject : Subject
        Its images and labels; ``subject.validation[:200]`` takes 200 that nothing is reported on.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts groups of units
        times batches.

    Returns
    -------
    Oracle

    Raises
    ------
    ValueError, TypeError
        There is no Subject, or nothing can be removed.

    Notes
    -----
    Molchanov et al. 2019, arXiv 1906.10771; their released code adds up the size of the change for
    each mini-batch, which is ``by_batch``.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> rw.oracle(rw.demo("resnet20").validation[:2]).change.shape
    (2, 448)
    """
    found, whole = structure(subject), plain_attention(subject)
    needed = sum(subject.network.trace(subject.images[:1]).values())
    batch = max(1, min(BATCH, memory_budget(subject.device) // max(1, 3 * needed)))
    spans = [(start, start + batch) for start in range(0, len(subject), batch)]
    groups = range(len(found.groups))
    items = [(start, stop, group) for start, stop in spans for group in groups]
    case = _Case(whole, found)
    with naming(image=(subject, range(len(subject)))):
        parts = sweep(_without, case, items, executor=executor, progress=progress)
    rows = [parts[i : i + len(groups)] for i in range(0, len(parts), len(groups))]
    loss = np.concatenate([row[0][0] for row in rows])
    # Units are numbered group by group.
    without = np.concatenate([np.concatenate([part[1] for part in row], 1) for row in rows])
    return Oracle(
        subject=subject.name,
        fingerprint=subject.fingerprint,
        groups=tuple(layers[0] for layers in found.groups),
        group=found.group,
        channel=found.channel,
        loss=loss,
        change=without - loss[:, None],
    )


@dataclass(frozen=True)
class _Case:
    subject: Subject
    found: Structure


def _without(case: _Case, item: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    start, stop, group = item
    subject, found = case.subject[start:stop], case.found
    labels = subject.labels.to(subject.device)
    units = np.flatnonzero(found.group == group)
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
    replay = _Replay(subject.on(subject.network.copied(shared=True)), set(readers))
    with threads(1), torch.inference_mode(False), torch.no_grad():
        whole = cross_entropy(replay.record(subject.images), labels, reduction="none")
        losses = [
            cross_entropy(
                replay.silence({n: np.flatnonzero(i == unit) for n, i in readers.items()}),
                labels,
                reduction="none",
            )
            for unit in units
        ]
    return whole.double().cpu().numpy(), torch.stack(losses, 1).double().cpu().numpy()


class _Replay:
    """A network that answers from memory up to the first layer that reads what is changed."""

    def __init__(self, subject: Subject, readers: set[str]) -> None:
        self.network = subject.network
        self._leaves: dict[str, Any] = leaves(self.network.model)
        for module in self._leaves.values():
            # A fused transformer layer, which calls none of its parts, gives way to any hook.
            module.register_forward_pre_hook(lambda module, inputs: None)
        self._readers = readers
        self._images = torch.empty(0)
        self._calls: list[Any] = []
        self._changed: set[int] = set()
        self._first = 0

    def record(self, images: Tensor) -> Tensor:
        """Pass the images, keep what every module gives, and return the logits."""
        self._images = images
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

            def keep(name: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
                output = forward(*inputs, **options)
                changes = len(kept) in self._changed
                kept.append((name, output.clone() if changes else output, 0))
                return output

        with self._answering(keep):
            logits = self.network.logits(images)
        self._calls = [output for _, output, _ in kept]
        self._first = min(place for place, (name, _, _) in enumerate(kept) if name in self._readers)
        return logits

    def silence(self, channels: dict[str, np.ndarray]) -> Tensor:
        """Return the logits of the same images when layers cannot read some channels."""
        place = -1

        def call(name: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
            nonlocal place
            place += 1
            if place < self._first:
                known = self._calls[place]
                return known.clone() if place in self._changed else known
            if len(gone := channels.get(name, ())):
                x = inputs[0] if inputs else options.pop("input")
                module = self._leaves[name]
                if is_joint(module):
                    open = torch.ones(module.normalized_shape, device=x.device)
                    open[gone] = 0
                    return normed(module, x, open)
                x = x.clone()
                (x if isinstance(module, nn.Conv2d) else x.movedim(-1, 1))[:, gone] = 0
                inputs = (x, *inputs[1:])
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
