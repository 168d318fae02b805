"""The thing examined: a frozen model, the images and the labels it is examined on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from .analysis import checked
from .batching import Plan
from .capabilities import Report, report
from .datasets import sample
from .engine import Progress, Tick, stream, ticking
from .knobs import Auto, Own, Seed, Text, Whole
from .network import Network, Output, tensor_bytes
from .readings import check_finite
from .recorded import Recorded, check_logits
from .settings import usual
from .validation import (
    check_apart,
    check_classes,
    check_images,
    check_index,
    check_label_range,
    check_labels,
    told_apart,
)
from .wording import counted, problem, shape

Transform: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class Subject:
    """A frozen snapshot of what is examined: a model, images in pixel units, and their labels.

    The model is copied, put in eval mode and its parameters are frozen, and images and labels are
    copied: nothing that happens to the originals changes what is examined, and nothing done here
    touches them, the model's mode and hooks, or any global random generator. Everything is
    checked once, here, and `notes` says what was adapted.

    Parameters
    ----------
    model : torch.nn.Module
        Maps (n, C, H, W) images, normalised as it was trained, to (n, K) logits.
    images : array_like
        (N, C, H, W), tensor or numpy array, floats in [0, 1] (pixel units, before any
        normalisation) or uint8.
    labels : array_like of int
        (N,) class numbers from 0.
    mean, std : float or sequence of float, optional
        One number per channel, in pixel units: the model is given ``(images - mean) / std``.
    classes : sequence of str, optional
        K names.
    name : str, optional
        What to call it in tables and pictures; by default the class of the model.
    device : str or torch.device
        Where to compute; "auto" is the accelerator the model is on, else CUDA, else the CPU.
    output : str, int or callable, optional
        Which part of a dict or tuple output holds the logits, or a function that makes them.

    Raises
    ------
    TypeError, ValueError
        If something cannot be used; the message says what was seen and how to mend it.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> images = torch.full((5, 1, 2, 2), 0.5)
    >>> subject = Subject(model, images, [0, 1, 2, 0, 1], name="linear")
    >>> subject
    Subject('linear': 5 images of 1 x 2 x 2, 3 classes, on cpu)
    >>> subject.logits.shape, subject[:2].logits.shape
    (torch.Size([5, 3]), torch.Size([2, 3]))
    """

    # Read-only, all of them: see __setattr__.
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    notes: tuple[str, ...]
    validation: Subject | None
    code: str
    network: Network
    positions: Tensor
    unlabelled: frozenset[int] = frozenset()
    _evaluations: dict[Transform | None, _Evaluation]

    @checked
    def __init__(
        self,
        model: nn.Module,
        images: Any,
        labels: Any,
        *,
        mean: Any = None,
        std: Any = None,
        classes: Any = None,
        name: Annotated[str | None, Auto(Text())] = None,
        device: str | torch.device = "auto",
        output: Output = None,
    ) -> None:
        pixels, notes = check_images(images)
        numbers = check_labels(labels, len(pixels))
        network = Network(model, pixels, mean=mean, std=std, device=device, output=output)
        check_label_range(numbers, network.classes)
        names, said = told_apart(check_classes(classes, network.classes))
        given = {
            "mean": mean if mean is None else network.mean,
            "std": std if std is None else network.std,
            "classes": classes if classes is None else check_classes(classes, network.classes),
            "name": name,
            "device": None if device == "auto" else str(device),
            "output": output,
        }
        self.__dict__.update(
            images=pixels,
            labels=numbers,
            classes=names,
            name=name or type(model).__name__,
            notes=(*notes, *network.notes, *said),
            validation=None,
            code=_call("rw.Subject(model, images, labels", given),
            network=network,
            positions=torch.arange(len(pixels), device="cpu"),
            _evaluations={},
        )

    @classmethod
    @checked
    def from_dataset(
        cls,
        model: nn.Module,
        dataset: Any,
        *,
        n: Annotated[int, Whole(1, 2**31, "how many items to take")] = 512,
        seed: Seed = 0,
        transform: Annotated[Any, Auto(Own("a function of an image"))] = None,
        mean: Any = None,
        std: Any = None,
        classes: Any = None,
        name: Annotated[str | None, Auto(Text())] = None,
        device: str | torch.device = "auto",
        output: Output = None,
    ) -> Subject:
        """Take images, labels, class names and normalisation from a data set.

        Parameters
        ----------
        model : torch.nn.Module
            As for `Subject`.
        dataset : torch.utils.data.Dataset or DataLoader
            Gives (image, label) pairs; images may be tensors, arrays or PIL images. The
            ``Normalize`` of its transforms is undone, so that images are in pixel units, and
            becomes ``mean`` and ``std``.
        n : int
            How many items to take: at random, but the first n of a data set that only iterates.
        seed : int
            Of that choice, and of random transforms.
        transform : callable, optional
            Applied to each image, e.g. ``weights.transforms()`` of a torchvision model; a
            ``Normalize`` in it is undone in the same way.
        mean, std, classes, name, device, output
            As for `Subject`; what is given here goes before what the data set knows.

        Returns
        -------
        Subject
            With notes on what was taken.

        Raises
        ------
        TypeError, ValueError
            If the data set gives no (image, label) pairs or images of several sizes, and all that
            `Subject` raises.

        Examples
        --------
        >>> from torch.utils.data import TensorDataset
        >>> items = TensorDataset(torch.full((9, 1, 2, 2), 0.5), torch.arange(9) % 3)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> Subject.from_dataset(model, items, n=6)
        Subject('Sequential': 6 images of 1 x 2 x 2, 3 classes, on cpu)
        """
        taken = sample(dataset, n, seed, transform)
        given = {"transform": transform, "mean": mean, "std": std, "classes": classes}
        given |= {
            "name": name,
            "device": None if device == "auto" else str(device),
            "output": output,
        }
        if taken.mean is not None and (mean is not None or std is not None):
            seen = f"mean= or std= was given, the transforms have mean={taken.mean}"
            fix = "Leave mean= and std= away, or take Normalize out of the transforms"
            raise ValueError(problem("images are normalised twice", seen, fix))
        subject = cls(
            model,
            taken.images,
            taken.labels,
            mean=taken.mean if mean is None else mean,
            std=taken.std if std is None else std,
            classes=taken.classes if classes is None else classes,
            name=name,
            device=device,
            output=output,
        )
        return subject.replaced(
            notes=(*taken.notes, *subject.notes),
            code=_call(f"rw.Subject.from_dataset(model, dataset, n={n}, seed={seed}", given),
        )

    @classmethod
    @checked
    def from_logits(
        cls,
        logits: Any,
        labels: Any,
        *,
        classes: Any = None,
        name: Annotated[str | None, Auto(Text())] = None,
        validation: Any = None,
    ) -> Subject:
        """Take logits that were computed elsewhere, where there is no model at hand.

        Parameters
        ----------
        logits : array_like
            (N, K), tensor or numpy array.
        labels : array_like of int
            (N,) class numbers from 0.
        classes : sequence of str or dict, optional
            K names.
        name : str, optional
            What to call it in tables and pictures.
        validation : tuple of array_like, optional
            Logits (n, K) and labels (n,) of other images, for what is fitted; where there are
            none, `rw.reliability` divides the logits.

        Returns
        -------
        Subject
            For `rw.reliability` and its widget, where another calibration set is such a pair too.
            Its images are placeholders; what needs a network or images says so.

        Raises
        ------
        TypeError, ValueError
            If something cannot be used, such as probabilities instead of logits.

        Examples
        --------
        >>> subject = Subject.from_logits([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], [0, 1, 1])
        >>> subject
        Subject('logits': 3 recorded answers, 2 classes)
        """
        table = check_logits(logits)
        count = table.shape[1]
        numbers = check_labels(labels, len(table))
        check_label_range(numbers, count)
        names, said = told_apart(check_classes(classes, count))
        given = {"classes": classes if classes is None else names}
        new = object.__new__(cls)
        network = Recorded(count)
        new.__dict__.update(
            images=torch.full((1, 1, 8, 8), 0.5).expand(len(table), -1, -1, -1),
            labels=numbers,
            classes=names,
            name=name or "logits",
            notes=(*said, *network.notes),
            validation=None,
            code=_call("rw.Subject.from_logits(logits, labels", given | {"name": name}),
            network=network,
            positions=torch.arange(len(table), device="cpu"),
            _evaluations={None: _Evaluation(table)},
        )
        if validation is None:
            return new
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            seen = f"got {type(validation).__name__}"
            fix = "Pass validation=(logits, labels) of other images"
            raise TypeError(problem("validation is not a pair", seen, fix))
        fitted = cls.from_logits(*validation, classes=new.classes, name=f"{new.name} (validation)")
        code = new.code.removesuffix(")") + ", validation=validation)"
        return new.replaced(validation=fitted.on(network), code=code)

    # --- the network --------------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """The frozen copy of the network; it expects normalised images."""
        return self.network.model

    @property
    def mean(self) -> tuple[float, ...] | None:
        """What is subtracted before the model sees an image, one number per channel."""
        return self.network.mean

    @property
    def std(self) -> tuple[float, ...] | None:
        """What is divided by before the model sees an image, one number per channel."""
        return self.network.std

    @property
    def device(self) -> torch.device:
        """Where passes are computed."""
        return self.network.device

    @property
    def plan(self) -> Plan:
        """How passes of these images are run: batch, threads and memory format, probed once."""
        return self.network.plan(tuple(self.images.shape[1:]))

    @usual()
    def predict(self, images: Tensor) -> Tensor:
        """Return the logits of images, normalised on the way.

        Parameters
        ----------
        images : Tensor
            (n, C, H, W), pixel units. If they require gradients, one differentiable pass is
            made; otherwise batches of a probed size, without gradients.

        Returns
        -------
        Tensor
            (n, K) float32 on `device`. A model that ends in softmax gives log-probabilities; one
            logit z gives the two columns 0 and z.

        Raises
        ------
        ValueError
            If the images do not fit the model, or gradients are asked for and the model blocks
            them.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> subject.predict(subject.images[:2].requires_grad_()).requires_grad
        True
        """
        if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
            seen = (
                f"got {images.dtype} of {tuple(images.shape)}"
                if isinstance(images, Tensor)
                else f"got {type(images).__name__}"
            )
            fix = "Pass images= like subject.images[:1]"
            raise ValueError(problem("predict takes float tensors (n, C, H, W)", seen, fix))
        if len(images):
            self.network.accept(images.detach())
        if not (images.requires_grad and torch.is_grad_enabled()):
            return self.network.infer(images.detach())
        try:
            logits = self.network.logits(images)
        except Exception:
            self.network.check_gradients()  # what blocks them may refuse tensors that carry them
            raise
        if not logits.requires_grad:
            self.network.check_gradients()
        return logits

    @usual()
    def report(self) -> Report:
        """Say what the model allows: gradients, each analysis with its layers, batch size.

        It is tried, not guessed: one backward pass, one look for layers, and filters that are cut
        for trial. A large network takes some seconds.

        Examples
        --------
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 3)).eval()
        >>> print(Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1]).report())
        ✓ gradients
        ✓ logits
        ✓ saliency: 0
            without rollout, attention-x-gradient: no attention to follow: there is none
        ✓ reliability
        ✓ propagation: 2 layers, 0 to 2
        ✓ pruning: 0
            without 2: its outputs are the answer
        ✓ landscape
        ✓ robustness
        ✓ transfer
        ✓ universal
          31 parameters; batches of ...
        """
        from ..analyses.allowed import allowed  # here, because only they know what they need

        return report(self, allowed(self))

    # --- logits, computed once ----------------------------------------------------------------

    @property
    def logits(self) -> Tensor:
        """Logits of all images, (N, K) float32 on the CPU, computed when first asked for."""
        return self.evaluate()

    @usual()
    def evaluate(
        self,
        transform: Transform | None = None,
        *,
        executor: Any = None,
        progress: Progress = None,
    ) -> Tensor:
        """Return the logits of all images, passed through a transform first, computed once.

        What is done is kept, also when the work is cancelled or fails: the next call goes on from
        there. A slice of this Subject knows what this Subject knew.

        Parameters
        ----------
        transform : callable, optional
            ``transform(images, indices)`` gives images of the same shape, in pixel units;
            ``indices`` (n,) say which images these are, so that noise can be drawn per image. It
            must be hashable: equal ones share the result.
        executor : concurrent.futures.Executor or dask.distributed.Client, optional
            Where to run, by default here.
        progress : callable or True, optional
            Called as ``progress(done, total)``, in images; raising `Cancelled` stops.

        Returns
        -------
        Tensor
            (N, K) float32 on the CPU. It is the kept one: do not write into it.

        Raises
        ------
        ValueError
            If the model gives NaN or infinity, or the transform another shape.
        TypeError
            If the transform cannot be hashed.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> subject.evaluate() is subject.logits
        True
        """
        try:
            evaluation = self._evaluations.setdefault(transform, _Evaluation())
        except TypeError as error:
            fix = "Pass a function or a frozen dataclass with __call__"
            seen = f"got {type(transform).__name__}"
            raise TypeError(problem("transform cannot be hashed", seen, fix)) from error
        total = len(self)
        with ticking(progress) as tick, evaluation.turn(tick, total):
            tick(evaluation.done, total)
            if evaluation.done < total:
                step = 1 if total == 1 else self.plan.batch
                spans = [
                    (transform, start, min(start + step, total))
                    for start in range(evaluation.done, total, step)
                ]
                with closing(stream(_logits_of, self, spans, executor=executor)) as parts:  # type: ignore[type-var]
                    for part in parts:
                        evaluation.add(torch.from_numpy(part))
                        tick(evaluation.done, total)
            logits = evaluation.logits()
        check_finite(logits, "evaluated")
        return logits

    # --- relatives ----------------------------------------------------------------------------

    def with_images(
        self, images: Any, labels: Any = None, *, name: str | None = None, code: str | None = None
    ) -> Subject:
        """Return a Subject of the same frozen network (shared, not copied) on other images.

        Parameters
        ----------
        images : array_like
            (n, C, H, W) in [0, 1], or uint8.
        labels : array_like of int, optional
            (n,); by default those of this Subject, in their order.
        name : str, optional
            By default this Subject's.
        code : str, optional
            Source text that makes it, for "Copy code".

        Returns
        -------
        Subject
            Without a validation split: that belonged to the other images.

        Raises
        ------
        TypeError, ValueError
            As `Subject` does.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> len(subject.with_images(torch.zeros(2, 1, 2, 2), [0, 1]))
        2
        """
        pixels, notes = check_images(images)
        numbers = check_labels(self.labels if labels is None else labels, len(pixels))
        self.network.accept(pixels)
        check_label_range(numbers, self.network.classes)
        shown = "images" if labels is None else "images, labels"
        return self.replaced(
            images=pixels,
            labels=numbers,
            name=name or self.name,
            notes=(*notes, *self.network.notes),
            validation=None,
            code=code or _call(f"{self.code}.with_images({shown}", {"name": name}),
            positions=torch.arange(len(pixels), device="cpu"),
        )

    def with_validation(self, validation: Subject, *, code: str | None = None) -> Subject:
        """Return this Subject with the split that calibrators and the like are fitted on.

        Parameters
        ----------
        validation : Subject
            Other images, with as many classes. Only its images and labels count: whatever is
            fitted is fitted on the answers of this Subject's network.
        code : str, optional
            Source text that makes the whole.

        Returns
        -------
        Subject
            Shares network, images and logits with this one.

        Raises
        ------
        TypeError, ValueError
            If ``validation`` is not a Subject, has another number of classes, or an image of
            this one.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> images = torch.linspace(0, 1, 20).view(5, 1, 2, 2)
        >>> subject = Subject(model, images, [0, 1, 2, 0, 1])
        >>> len(subject[:3].with_validation(subject[3:]).validation)
        2
        """
        check_subject(validation, "validation")
        if len(validation.classes) != len(self.classes):
            seen = f"got {len(validation.classes)} and {len(self.classes)} classes"
            fix = "Pass validation= made with the same model"
            raise ValueError(problem("validation has other classes", seen, fix))
        if not self.network.recorded:
            check_apart(validation.images, self.images, "validation")
            self.network.accept(validation.images)
        code = code or f"{self.code}.with_validation({validation.code})"
        return self.replaced(validation=validation.on(self.network), code=code)

    @usual()
    def __getitem__(self, key: Any) -> Subject:
        positions = check_index(key, len(self))
        if isinstance(key, slice):
            bounds = ("" if x is None else str(x) for x in (key.start, key.stop))
            shown = ":".join(bounds) + (f":{key.step}" if key.step is not None else "")
        elif isinstance(key, int | np.integer):
            shown = str(int(key))
        else:
            shown = str(positions.tolist()) if len(positions) <= 20 else "indices"
        contiguous = isinstance(key, slice) and (key.step is None or key.step > 0)
        return self.replaced(
            images=self.images[key] if contiguous else self.images[positions],
            labels=self.labels[positions],
            code=f"{self.code}[{shown}]",
            positions=self.positions[positions],
            _evaluations={
                transform: evaluation.taken(positions)
                for transform, evaluation in list(self._evaluations.items())
            },
        )

    def true_class(self, index: int) -> str:
        """Return the name of the true class of an image, or nothing where nobody knows it.

        Examples
        --------
        >>> import reliab_widgets as rw
        >>> rw.demo("resnet20").true_class(0)
        'cat'
        """
        known = int(self.positions[index]) not in self.unlabelled
        return self.classes[int(self.labels[index])] if known else ""

    def changed(
        self, images: Tensor, name: str, code: str, positions: Any = slice(None)
    ) -> Subject:
        """Return this Subject with some of its images changed, and nothing else, unchecked.

        Parameters
        ----------
        images : Tensor
            (n, C, H, W) in [0, 1], on the CPU.
        name, code : str
            What it is called, and source text that makes it.
        positions : sequence of int, optional
            Which images they take the place of; by default of all.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> black = subject.changed(torch.zeros(1, 1, 2, 2), "one black", "...", [3])
        >>> black.images[:, 0, 0, 0].tolist()
        [0.5, 0.5, 0.5, 0.0, 0.5]
        """
        if isinstance(positions, slice):
            return self.replaced(images=images, name=name, code=code)
        every = self.images.clone()
        every[list(positions)] = images
        new = self.replaced(images=every, name=name, code=code)
        # All of them need not be read again to tell this Subject from others.
        digest = hashlib.sha256(self.fingerprint.encode() + repr(list(positions)).encode())
        digest.update(tensor_bytes(images))
        new.__dict__["fingerprint"] = digest.hexdigest()
        return new

    def replaced(self, **attributes: Any) -> Subject:
        """Return this Subject with other attributes, unchecked, for those who made them.

        Logits that were computed are kept unless network, images or positions are replaced.
        """
        new = object.__new__(type(self))
        if not attributes.keys().isdisjoint(("network", "images", "positions")):
            attributes = {"_evaluations": {}, **attributes}
        new.__dict__.update(self.__dict__, **attributes)
        if not attributes.keys() <= {"name", "code", "notes", "validation"}:
            new.__dict__.pop("fingerprint", None)
        return new

    def knowing(self, logits: Tensor) -> Subject:
        """Return this Subject with the logits of its images, so that they need not be computed.

        Parameters
        ----------
        logits : Tensor
            (N, K) float32 on the CPU, of this network; it is not checked.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> subject.knowing(torch.eye(5, 3)).logits[2]
        tensor([0., 0., 1.])
        """
        return self.replaced(_evaluations={None: _Evaluation(logits)})

    def on(self, network: Network, *, name: str | None = None, code: str | None = None) -> Subject:
        """Return the same images, and the same validation images, under another network.

        Parameters
        ----------
        network : Network
            One that takes such images and has as many classes.
        name, code : str, optional
            By default this Subject's.

        Examples
        --------
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> subject = Subject(model, torch.full((5, 1, 2, 2), 0.5), [0, 1, 2, 0, 1])
        >>> silent = subject.network.copied(lambda model: nn.init.zeros_(model[1].weight))
        >>> bool(subject.on(silent).model[1].weight.any()), bool(subject.model[1].weight.any())
        (False, True)
        """
        words = {"name": name or self.name, "code": code or self.code}
        if network.recorded != self.network.recorded:
            seen = "one of the two has logits only"
            fix = "Pass Subjects that are both made by rw.Subject, or both by from_logits"
            raise ValueError(problem("the network has no answers to these images", seen, fix))
        if network.recorded:
            return self.replaced(**words, network=network, _evaluations=self._evaluations)
        if network is self.network:
            return self if name is code is None else self.replaced(**words)
        network.accept(self.images)
        validation = None if self.validation is None else self.validation.on(network)
        return self.replaced(network=network, validation=validation, **words)

    # --- identity -----------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """Hash (sha256, hex) over all that decides a result: network, images, labels, classes."""
        digest = hashlib.sha256(self.network.digest)
        for tensor in (self.logits if self.network.recorded else self.images, self.labels):
            digest.update(tensor_bytes(tensor))
        digest.update(repr(self.classes).encode())
        # A transform may draw its noise by index, so a part is not the same as a set of its own.
        if not torch.equal(self.positions, torch.arange(len(self), device="cpu")):
            digest.update(tensor_bytes(self.positions))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        if self.network.recorded:
            many = counted(len(self), "recorded answer")
            return f"Subject({self.name!r}: {many}, {len(self.classes)} classes)"
        return (
            f"Subject({self.name!r}: {counted(len(self))} of "
            f"{shape(self.images.shape[1:])}, {len(self.classes)} classes, on {self.device})"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"a Subject is frozen: {name!r} cannot be set. Make another one with rw.Subject(...), "
            "subject.with_images(...) or subject.with_validation(...)."
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Subject is frozen: {name!r} cannot be deleted. Make another one.")

    def __getstate__(self) -> dict[str, Any]:
        if self.network.recorded:
            return self.__dict__
        # A view drags all of its storage into the pickle.
        return {**self.__dict__, "images": self.images.clone()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Evaluation:
    """The logits of the first `done` images, and the right to compute more of them."""

    def __init__(self, logits: Tensor | None = None) -> None:
        self._parts = [] if logits is None else [logits]
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        return sum(map(len, self._parts))

    @contextmanager
    def turn(self, tick: Tick, total: int) -> Iterator[None]:
        """Wait for whoever computes these logits already; who waits can be cancelled too."""
        while not self._lock.acquire(timeout=0.1):
            tick(self.done, total)
        try:
            yield
        finally:
            self._lock.release()

    def add(self, part: Tensor) -> None:
        self._parts.append(part)

    def logits(self) -> Tensor:
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    def taken(self, positions: Tensor) -> _Evaluation:
        """Return what is known of some images, up to the first that is not."""
        parts = list(self._parts)
        known = int((positions < sum(map(len, parts))).long().cumprod(0).sum())
        return _Evaluation(torch.cat(parts)[positions[:known]] if known else None)

    def __getstate__(self) -> list[Tensor]:
        return list(self._parts)

    def __setstate__(self, parts: list[Tensor]) -> None:
        self._parts, self._lock = parts, threading.Lock()


def _logits_of(subject: Subject, span: tuple[Transform | None, int, int]) -> np.ndarray:
    """Logits of a span of images, as an array, which travels between processes by plain pickle."""
    transform, start, stop = span
    images = subject.images[start:stop]
    if transform is not None:
        changed = transform(images.clone(), subject.positions[start:stop])
        if not isinstance(changed, Tensor) or changed.shape != images.shape:
            seen = (
                f"(n, C, H, W) = {tuple(images.shape)} became "
                f"{tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__}"
            )
            fix = "Pass transform= as a function (images, indices) -> images"
            raise ValueError(problem("transform must keep the shape of the images", seen, fix))
        images = changed
    # One image that cannot be answered must not take the answers of the others with it.
    return subject.network.infer(images, checked=False).cpu().numpy()


def _call(start: str, given: dict[str, Any]) -> str:
    """Write a call with the arguments that were given; what has no short source is a name."""
    for name, value in given.items():
        if value is not None:
            short = isinstance(value, str | int | float) or (
                isinstance(value, tuple) and len(value) <= 20
            )
            start += f", {name}={value!r}" if short else f", {name}={name}"
    return start + ")"


def check_subject(given: object, argument: str = "subject") -> None:
    """Refuse what is no Subject, such as the model alone.

    Raises
    ------
    TypeError
        It is something else.

    Examples
    --------
    >>> check_subject(nn.Linear(4, 3))
    Traceback (most recent call last):
    TypeError: subject is not a Subject: got Linear. Pass subject=rw.Subject(model, images, labels).
    """
    if not isinstance(given, Subject):
        fix = f"Pass {argument}=rw.Subject(model, images, labels)"
        raise TypeError(problem(f"{argument} is not a Subject", f"got {type(given).__name__}", fix))
