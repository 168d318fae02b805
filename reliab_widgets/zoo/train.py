"""Train the networks of the zoo: ``python -m reliab_widgets.zoo.train --help``.

After each epoch everything needed to go on is written to ``--work``; a run that was cut off goes
on from there and ends with the same weights.
"""

import argparse
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..ops.networks.gates import Gated
from ..ops.networks.invertible import latent_adversarial
from ..ops.networks.selectivity import selective
from ..ops.networks.stochastic import RHO, elbo
from ..ops.networks.tuning import OBJECTIVES, Batch, Run, attacked, groups, half, squares
from . import checkpoints, weights
from .architectures import ARCHITECTURES
from .cifar10 import Images
from .datasets import DATA, Data, source, watched
from .denoising import Denoising
from .recipes import RECIPES, Recipe

SHIFTS = 9  # places for a crop, down and across
SMALL = 24
ATTACKED, STEPS = 200, 10
"""Validation images that an adversarial training is attacked on after each epoch, and how long."""
LEVELS = 240
"""Of recorded probabilities; 2, 3, 4, 5, 6, 8, 10, 12, 15, ... bins of equal width are exact."""


class Diverged(ArithmeticError):
    """A training whose loss is no number any more."""


def train(
    name: str,
    data: Path,
    work: Path,
    device: torch.device,
    threads: int,
    kept: Path = checkpoints.KEPT,
) -> Path:
    """Train one network, or go on training it, and return the path of its checkpoint.

    Raises
    ------
    OSError
        The data set is not there, or the disk does not take a checkpoint.
    checkpoints.Refused
        There is a checkpoint that cannot be gone on from.
    Diverged
        The loss became infinite; the checkpoint is that of the epoch before.
    """
    torch.set_num_threads(threads)
    recipe = RECIPES[name]
    images = DATA[recipe.data](data)
    torch.manual_seed(recipe.seed)
    model = ARCHITECTURES[recipe.architecture]()
    if isinstance(recipe, Recipe) and recipe.start is not None:
        _begin_with(recipe.start, model, recipe.data)
    model = model.to(device).to(memory_format=torch.channels_last)
    task: _Task | Denoising
    if isinstance(recipe, Recipe):
        task = _Task(model, recipe, images, device)
    else:
        task = Denoising(model, recipe, images.train, device, work)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        task.optimiser,
        [group["lr"] for group in task.optimiser.param_groups],
        recipe.epochs * (task.items // recipe.batch),
        pct_start=0.2,
        cycle_momentum=False,
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    log: list[dict] = []
    history: list[Tensor] = []

    # What an objective learns beside the network.
    learnt = task.objective if isinstance(task.objective, nn.Module) else nn.Module()

    def keep() -> None:
        state = {
            "objective": learnt.state_dict(),
            "model": model.state_dict(),
            "optimiser": task.optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "generator": generator.get_state(),
            "random": torch.get_rng_state(),
            "log": log,
            "history": torch.stack(history) if history else torch.empty(0),
        }
        checkpoints.save(path, name, state)

    path = checkpoints.fetch(name, work, kept)
    if path.exists():
        saved = checkpoints.load(path, name)
        if len(saved["log"]) == recipe.epochs:
            return path
        model.load_state_dict(saved["model"])
        learnt.load_state_dict(saved.get("objective", {}))
        task.optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        generator.set_state(saved["generator"])
        torch.set_rng_state(saved["random"])
        log, history = saved["log"], list(saved["history"])
    else:
        history += task.look()[1]
        keep()  # a disk that is full says so now, not after an epoch

    # A training may be stopped for a while, which its own time does not count.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for epoch in range(len(log), recipe.epochs):
        start = clock()
        model.train()
        order = torch.randperm(task.items, generator=generator)
        batches = order[: task.items // recipe.batch * recipe.batch].view(-1, recipe.batch)
        totals: dict[str, float] = {}
        for batch in tqdm(batches, desc=f"{name} {epoch + 1}", leave=False, disable=None):
            loss, measured = task.step(batch.to(device), generator, epoch)
            if not loss.isfinite():
                raise Diverged(
                    f"The training of {name} diverged in epoch {epoch + 1}: its loss is "
                    f"{loss.item()}. Lower peak_rate in its recipe and move {path} away."
                )
            task.optimiser.zero_grad()
            loss.backward()
            task.optimiser.step()
            schedule.step()
            for key, value in measured.items():
                totals[key] = totals.get(key, 0.0) + value / len(batches)
        measured, outputs = task.look()
        totals |= measured
        history += outputs
        log.append(
            {
                "epoch": epoch + 1,
                **totals,
                "seconds": clock() - start,
                "hardware": _hardware(device, threads),
            }
        )
        keep()
        left = (recipe.epochs - epoch - 1) * log[-1]["seconds"] / 60
        words = ", ".join(f"{key} {value:.5f}" for key, value in totals.items())
        print(f"{name} {epoch + 1}/{recipe.epochs}: {words}, {left:.0f} min left", flush=True)
    return path


_OBJECTIVES: dict[str, Callable[..., Any]] = {
    **OBJECTIVES,
    "squares": squares,
    "selective": selective,
    "gated": Gated,
    "mean-field": elbo,
    "latent": latent_adversarial,
}


class _Task:
    """An objective on training images, augmented if the recipe says so."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        data: Data,
        device: torch.device,
    ) -> None:
        if device.type == "cpu":
            _spare_strided_depthwise(model)
        self._model, self._recipe = model, recipe
        self._pixels, self._labels = _on(device, data.train)
        self._classes = self._labels.ndim == 1
        self._watched = _on(device, watched(data.held_out))
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, -1, 1, 1) for values in data[2:]
        )
        self._run = Run(model, self._logits)
        self.items = len(data.train.labels)
        rate, decay = recipe.peak_rate, recipe.weight_decay
        self.objective = self._objective(device)
        trained = groups(model, self.objective, rate)
        self.optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adamw":
            self.optimiser = torch.optim.AdamW(trained, rate, weight_decay=decay)
        else:
            self.optimiser = torch.optim.SGD(
                trained, rate, momentum=0.9, nesterov=True, weight_decay=decay
            )

    def step(
        self, batch: Tensor, generator: torch.Generator, epoch: int
    ) -> tuple[Tensor, dict[str, float]]:
        x, labels = self._pixels[batch], self._labels[batch]
        if self._recipe.augment:
            x = _augment(x, SMALL if epoch < self._recipe.small else x.shape[-1], generator)
        loss = self.objective(self._run, Batch(x.float() / 255, labels, generator, epoch))
        measured = {"loss": loss.item()}
        if self._classes:
            measured["accuracy"] = _right(self._run.logits, labels)
        return loss, measured

    def look(self) -> tuple[dict[str, float], list[Tensor]]:
        """Measure the network on validation images and give its probabilities, one byte each.

        What is measured is the share of right answers, or the root of the mean squared error.
        """
        self._model.eval()
        pixels, labels = self._watched
        with torch.no_grad():
            logits = torch.cat([self._run(part.float() / 255) for part in pixels.split(250)])
        if not self._classes:
            return {"validation": (logits - labels).square().mean().sqrt().item()}, []
        measured = {"validation": _right(logits, labels)}
        epsilon = self._recipe.settings.get("epsilon")
        if epsilon is not None:  # one step may fool the network's training, many do not
            few = Batch(pixels[:ATTACKED].float() / 255, labels[:ATTACKED], torch.Generator())
            found = attacked(self._run, few, epsilon=epsilon, step=epsilon / 4, steps=STEPS)
            with torch.no_grad():
                measured["attacked"] = _right(self._run(found), few.targets)
        levels = (logits.softmax(1) * LEVELS).floor().clamp(max=LEVELS - 1)
        return measured, [levels.byte().cpu()]

    def _objective(self, device: torch.device) -> Callable[[Run, Batch], Tensor]:
        recipe, head = self._recipe, self._run.head
        made = _OBJECTIVES[recipe.objective]
        if recipe.objective == "gated" and head is not None:
            return made(head.in_features, head.out_features, **recipe.settings).to(device)
        known: dict[str, dict[str, Any]] = {
            "mean-field": {"images": self.items},
            "latent": {"mean": self._mean[0], "std": self._std[0]},
        }
        return partial(made, **recipe.settings, **known.get(recipe.objective, {}))

    def _logits(self, images: Tensor) -> Tensor:
        x = (images - self._mean) / self._std
        with half(x.device):
            return self._model(x.contiguous(memory_format=torch.channels_last)).float()


def _begin_with(start: str, model: nn.Module, data: str) -> None:
    """Take the weights of a finished network; other data get a last layer of their own."""
    if not weights.shipped(start):
        raise checkpoints.Refused(
            f"A training that begins with {start} cannot begin: {start} is not in the box. "
            f"`make zoo MODEL={start}` trains and publishes it."
        )
    state = weights.load(start).state_dict()
    if source(data) != source(RECIPES[start].data):
        head = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
        state |= {k: v for k, v in model.state_dict().items() if k.startswith(f"{head}.")}
    new = {name for name in model.state_dict() if name.endswith(RHO)}  # there is no spread yet
    model.load_state_dict({name: model.state_dict()[name] for name in new} | state)


def _right(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()


def _on(device: torch.device, images: Images) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2).contiguous()
    return pixels.to(device), torch.from_numpy(images.labels).to(device)


def _augment(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut a square out of each image, padded where it must be, and flip half of the squares."""
    n, _, height, _ = x.shape
    x = nn.functional.pad(x, [(side + SHIFTS - 1 - height) // 2] * 4)
    top, left = torch.randint(0, SHIFTS, (2, n), generator=generator).to(x.device)
    flip = (torch.rand(n, generator=generator) < 0.5).to(x.device)
    rows = top[:, None] + torch.arange(side, device=x.device)
    columns = left[:, None] + torch.arange(side, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(n, device=x.device)[:, None, None]
    return x[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _spare_strided_depthwise(model: nn.Module) -> None:
    """Keep strided depthwise convolutions out of autocast.

    On a CPU their bf16 backward pass takes 10 to 50 times as long as the one in float32, and a
    third of an epoch of MobileNetV2.
    """

    def float32(convolution: nn.Conv2d) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                return nn.Conv2d.forward(convolution, x.float())

        return forward

    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.stride) > 1:
            module.forward = float32(module)  # type: ignore[method-assign, assignment]


def _hardware(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"


def main() -> None:
    """Train the networks named on the command line, by default all that are not in the box."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=checkpoints.WORK, help="checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    for name in arguments.names or [name for name in RECIPES if not weights.shipped(name)]:
        if name not in RECIPES:
            parser.error(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
        device = torch.device(arguments.device)
        try:
            train(name, arguments.data, arguments.work, device, arguments.threads)
        except (OSError, checkpoints.Refused, Diverged) as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
