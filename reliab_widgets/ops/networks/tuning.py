"""What networks are trained for, as functions, and a short training of a Subject's network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from ...core.analysis import checked
from ...core.engine import Progress, Tick, ticking
from ...core.knobs import AnotherSubject, Auto, Choice, Real, Seed, Whole
from ...core.randomness import own_generators
from ...core.subject import Subject
from ...core.validation import check_apart
from ...core.wording import problem

BATCH = 64


class Run:
    """A network in training: images (n, C, H, W) in [0, 1] in, logits (n, K) out.

    Parameters
    ----------
    model : torch.nn.Module
        What is trained.
    logits : callable
        Passes images through it, normalisation included.

    Attributes
    ----------
    model : torch.nn.Module
        What was given.
    head : torch.nn.Linear or None
        The last linear layer of the model.
    logits, features : Tensor
        What the last pass gave, and what went into ``head`` then, (n, F).

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> run = Run(model, model)
    >>> run(torch.ones(2, 1, 2, 2)).shape, run.features.shape
    (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(self, model: nn.Module, logits: Callable[[Tensor], Tensor]) -> None:
        self.model, self._logits = model, logits
        self.logits = self.features = torch.empty(0)
        heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
        self.head = heads[-1] if heads else None
        self._hook = heads[-1].register_forward_pre_hook(self._remember) if heads else None

    def __call__(self, images: Tensor) -> Tensor:
        """Pass the images through the network."""
        self.logits = self._logits(images)
        return self.logits

    def _remember(self, _head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.features = inputs[0]

    def close(self) -> None:
        """Leave the model without a hook."""
        if self._hook is not None:
            self._hook.remove()


class Batch(NamedTuple):
    """What an objective sees in one step.

    Attributes
    ----------
    images : Tensor
        (n, C, H, W) in [0, 1].
    targets : Tensor
        (n,) class indices, or numbers.
    generator : torch.Generator
        Of whatever is drawn; it lives on the CPU.
    epoch : int
        From 0.
    """

    images: Tensor
    targets: Tensor
    generator: torch.Generator
    epoch: int = 0


Objective: TypeAlias = Callable[[Run, Batch], Tensor]
"""From a network and a batch to the loss; keywords have defaults."""


def plain(run: Run, batch: Batch) -> Tensor:
    """Return the cross-entropy of the images as they are."""
    return cross_entropy(run(batch.images), batch.targets)


def squares(run: Run, batch: Batch) -> Tensor:
    """Return the mean squared error, where targets are numbers of the outputs' shape."""
    return mse_loss(run(batch.images), batch.targets)


def adversarial(
    run: Run,
    batch: Batch,
    *,
    epsilon: float = 8 / 255,
    step: float = 10 / 255,
    steps: int = 1,
    start: float | None = None,
) -> Tensor:
    """Return the cross-entropy of the images attacked, as `attacked` does it.

    One step of 1.25 epsilon from a random start is that of Wong et al. 2020, "Fast is better than
    free", arXiv 2001.03994; many small ones are that of Madry et al. 2018, arXiv 1706.06083. One
    step can end in catastrophic over-fitting, right under one step and wrong under many, so look
    at the network with more. A step of epsilon from a start in twice the ball, not brought back,
    is less prone to it: de Jorge et al. 2022, arXiv 2202.01181.
    """
    changed = attacked(run, batch, epsilon=epsilon, step=step, steps=steps, start=start)
    return cross_entropy(run(changed), batch.targets)


def noisy(run: Run, batch: Batch, *, sigma: float = 0.25) -> Tensor:
    """Return the cross-entropy of the images with Gaussian noise, not clipped.

    What randomised smoothing wants of a network: Cohen et al. 2019, arXiv 1902.02918.
    """
    noise = torch.randn(batch.images.shape, generator=batch.generator).to(batch.images.device)
    return cross_entropy(run(batch.images + sigma * noise), batch.targets)


def consistent(
    run: Run,
    batch: Batch,
    *,
    clean: float = 0.5,
    weight: float = 0.05,
    epsilon: float = 8 / 255,
    step: float = 10 / 255,
    steps: int = 1,
) -> Tensor:
    """Return cross-entropies of images and attacked images, and how far their features are apart.

    ``clean * CE(x) + (1 - clean) * CE(x*) + weight * |f(x*) - f(x)|^2`` with the features f that go
    into the last linear layer, after Dong et al. 2017, arXiv 1708.05493. No gradient goes through
    f(x): all features becoming small would bring them together too.
    """
    changed = attacked(run, batch, epsilon=epsilon, step=step, steps=steps)
    there = clean * cross_entropy(run(batch.images), batch.targets)
    features = run.features.detach()
    here = (1 - clean) * cross_entropy(run(changed), batch.targets)
    return there + here + weight * (run.features - features).square().sum(1).mean()


def attacked(
    run: Run, batch: Batch, *, epsilon: float, step: float, steps: int, start: float | None = None
) -> Tensor:
    """Climb the cross-entropy by signs of its gradient, from a random start in the ball.

    Parameters
    ----------
    run : callable
        From images to logits.
    batch : Batch
        The images to change and their true classes.
    epsilon, step : float
        Radius in the L-infinity norm and length of a step, in pixel units.
    steps : int
        How many; each is brought back into the ball and into [0, 1].
    start : float, optional
        Radius to draw the start in, by default epsilon; if given, nothing is brought back into the
        ball.

    Examples
    --------
    >>> run = Run(nn.Identity(), lambda images: images.flatten(1))
    >>> batch = Batch(torch.full((2, 3, 1, 1), 0.5), torch.tensor([0, 2]), torch.Generator())
    >>> attacked(run, batch, epsilon=0.1, step=0.2, steps=1)[0].flatten()
    tensor([0.4000, 0.6000, 0.6000])
    """
    images = batch.images
    draw = 2 * torch.rand(images.shape, generator=batch.generator).to(images.device) - 1
    if start is not None:
        epsilon = start + steps * step
    changed = (images + (epsilon if start is None else start) * draw).clamp(0, 1)
    for _ in range(steps):
        changed.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(run(changed), batch.targets), changed)
        change = changed.detach() + step * gradient.sign() - images
        changed = (images + change.clamp(-epsilon, epsilon)).clamp(0, 1)
    return changed


def half(device: torch.device) -> torch.autocast:
    """Compute in bf16 inside the block; a CPU without AVX-512 would take ten times as long."""
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.autocast(device.type, torch.bfloat16, enabled=not slow)


# Of labels that are classes; what a Subject can be tuned for.
OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "cross-entropy": plain,
    "adversarial": adversarial,
    "pgd": partial(adversarial, step=2 / 255, steps=10),
    "noise": noisy,
    "consistent": consistent,
}


@checked
def tuned(
    subject: Subject,
    *,
    train: Annotated[Subject, AnotherSubject()],
    objective: Annotated[Any, Choice(tuple(OBJECTIVES), own="a function (run, batch)")] = (
        "cross-entropy"
    ),
    epochs: Annotated[int, Whole(1, 1_000)] = 1,
    steps: Annotated[int | None, Auto(Whole(1, 10**6))] = None,
    rate: Annotated[float, Real(above=0, below=100, why="0.01 is usual")] = 0.01,
    seed: Seed = 0,
    progress: Progress = None,
) -> Subject:
    """Return the subject with its network trained a little, by SGD with Nesterov momentum.

    Parameters
    ----------
    subject : Subject
        Left as it is.
    train : Subject
        Whose images and labels are trained on, none of them the subject's own.
    objective : str or callable
        A name in ``OBJECTIVES``, or ``objective(run, batch)`` that gives the loss: ``run(images)``
        are logits, ``run.features`` what went into the last linear layer; ``batch`` has
        ``images``, ``targets``, ``generator`` and ``epoch``. ``functools.partial`` sets keywords
        of ours. The parameters of an objective that is a module are trained too, at ten times the
        rate.
    epochs : int
        How often every image is seen, in batches of 64; what does not fill one is left out.
    steps : int, optional
        That many batches instead.
    rate : float
        Learning rate at the beginning; it falls to 0 by half a cosine.
    seed : int
        Of the order of the images, and of what objective and network draw.
    progress : callable or True, optional
        Called as ``progress(done, total)`` with every step; raising `Cancelled` from it ends the
        training, and nothing has changed.

    Returns
    -------
    Subject
        With the same images and a network of its own.

    Raises
    ------
    TypeError, ValueError
        An argument cannot be used, or the loss became infinite.

    Notes
    -----
    Momentum 0.9, no weight decay (that of Molchanov et al. 2019), no augmentation, batch norms and
    dropout in train mode.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> subject = rw.demo("resnet20")
    >>> robuster = tuned(subject[:100], train=subject.validation[:64], objective="adversarial")
    >>> robuster.logits.shape, bool((robuster.logits == subject[:100].logits).any())
    (torch.Size([100, 10]), False)
    """
    own = callable(objective)
    loss_of = objective if own else OBJECTIVES[objective]
    name = (getattr(objective, "__name__", "objective")) if own else repr(objective)
    _check(subject, train)
    count = epochs * (len(train) // min(BATCH, len(train))) if steps is None else steps
    how = f"epochs={epochs}" if steps is None else f"steps={steps}"
    code = (
        f"rw.tuned({subject.code}, train={train.code}, objective={name}, {how}, rate={rate!r}, "
        f"seed={seed})"
    )
    with ticking(progress) as tick:
        return trained(subject, train, loss_of, count, rate, seed, tick, code)


def trained(
    subject: Subject,
    train: Subject,
    objective: Objective,
    steps: int,
    rate: float,
    seed: int,
    tick: Tick,
    code: str,
) -> Subject:
    """Do what `tuned` says, with arguments that were checked."""
    generator = torch.Generator().manual_seed(seed)
    size = min(BATCH, len(train))
    each = len(train) // size
    orders = [
        torch.randperm(len(train), generator=generator)[: each * size].view(-1, size)
        for _ in range(-(-steps // each))
    ]
    new = subject.on(subject.network.copied(), code=code)
    network, model = new.network, new.model
    alike, network.draws = network.draws, False  # what is drawn differs from step to step
    model.train().requires_grad_(True)
    run = Run(model, network.logits)
    optimiser = torch.optim.SGD(groups(model, objective, rate), rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.inference_mode(False), torch.enable_grad():
        for step, chosen in enumerate(torch.cat(orders)[:steps]):
            tick(step, steps)
            images, labels = (
                part[chosen].to(network.device) for part in (train.images, train.labels)
            )
            with own_generators(seed + step):
                loss = objective(run, Batch(images, labels, generator, step // each))
                _check_loss(loss, step, rate)
                optimiser.zero_grad()
                loss.backward()
            optimiser.step()
            schedule.step()
    tick(steps, steps)
    run.close()
    network.draws = alike
    model.zero_grad()
    model.eval().requires_grad_(False)
    return new


def groups(model: nn.Module, objective: object, rate: float) -> list[dict[str, Any]]:
    """Give what an optimiser trains: a model, and the objective if that has parameters.

    Examples
    --------
    >>> [group["lr"] for group in groups(nn.Linear(1, 1), nn.Linear(1, 1), 0.1)]
    [0.1, 1.0]
    """
    found: list[dict[str, Any]] = [{"params": list(model.parameters()), "lr": rate}]
    if isinstance(objective, nn.Module):
        own = list(objective.parameters())
        found.append({"params": own, "lr": 10 * rate, "weight_decay": 0.0})
    return found


def _check(subject: Subject, train: Subject) -> None:
    size, wanted = train.images.shape[1:], subject.images.shape[1:]
    if size != wanted or len(train.classes) != len(subject.classes):
        seen = (
            f"train has {tuple(size)} and {len(train.classes)} classes, the subject "
            f"{tuple(wanted)} and {len(subject.classes)}"
        )
        fix = "Pass train= with images and classes like the subject's"
        raise ValueError(problem("the network cannot be trained on these images", seen, fix))
    check_apart(train.images, subject.images, "train")


def _check_loss(loss: Any, step: int, rate: float) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        seen = f"got {tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__}"
        fix = "Let objective= return one number that depends on run(batch.images)"
        raise TypeError(problem("the objective gave no loss", seen, fix))
    if not loss.isfinite():
        seen = f"the loss is {loss.item()} in step {step + 1}"
        raise ValueError(problem("the training diverged", seen, f"Pass rate= below {rate:g}"))
