"""Train the networks of the zoo: ``python -m reliab_widgets.zoo.train --help``.

After each epoch everything needed to go on is written to ``--work``; a run that was cut off goes
on from there and ends with the same weights.
"""

import argparse
import platform
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from . import cifar10
from .architectures import ARCHITECTURES
from .recipes import RECIPES, Recipe

PADDING = 4


def train(name: str, data: Path, work: Path, device: torch.device, threads: int) -> Path:
    """Train one network, or go on training it, and return the path of its checkpoint."""
    torch.set_num_threads(threads)
    recipe = RECIPES[name]
    images = cifar10.read(data, "train")
    chosen = cifar10.training_indices(images.labels)
    pixels = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.from_numpy(images.labels[chosen]).to(device)

    torch.manual_seed(recipe.seed)
    model = ARCHITECTURES[recipe.architecture]().to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.peak_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    steps = len(labels) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, recipe.epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    log: list[dict] = []

    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{name}.pt"
    if path.exists():
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        generator.set_state(saved["generator"].cpu())
        log = saved["log"]

    for epoch in range(len(log), recipe.epochs):
        start = time.perf_counter()
        loss, accuracy = _epoch(
            model, optimiser, schedule, pixels, labels, recipe, generator, f"{name} {epoch + 1}"
        )
        log.append(
            {
                "epoch": epoch + 1,
                "loss": loss,
                "accuracy": accuracy,
                "seconds": time.perf_counter() - start,
                "hardware": _hardware(device, threads),
            }
        )
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "generator": generator.get_state(),
            "log": log,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        left = (recipe.epochs - epoch - 1) * log[-1]["seconds"] / 60
        print(
            f"{name} {epoch + 1}/{recipe.epochs}: loss {loss:.4f}, "
            f"training accuracy {accuracy:.4f}, {left:.0f} min left",
            flush=True,
        )
    return path


def _epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    pixels: Tensor,
    labels: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    title: str,
) -> tuple[float, float]:
    model.train()
    order = torch.randperm(len(labels), generator=generator)
    batches = order[: len(labels) // recipe.batch * recipe.batch].view(-1, recipe.batch)
    mean = torch.tensor(cifar10.MEAN, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(cifar10.STD, device=pixels.device).view(1, 3, 1, 1)
    total = right = 0.0
    for batch in tqdm(batches, desc=title, leave=False, disable=None):
        chosen = batch.to(pixels.device)
        x = pixels[chosen]
        if recipe.augment:
            x = _augment(x, generator)
        x = ((x.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            logits = model(x)
        loss = cross_entropy(logits.float(), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.item() * len(chosen)
        right += (logits.argmax(1) == labels[chosen]).sum().item()
    return total / batches.numel(), right / batches.numel()


def _augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 4 pixels and flip half of them."""
    n, _, height, width = x.shape
    x = nn.functional.pad(x, [PADDING] * 4)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, n), generator=generator).to(x.device)
    flip = (torch.rand(n, generator=generator) < 0.5).to(x.device)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(n, device=x.device)[:, None, None]
    return x[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _hardware(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"


def main() -> None:
    """Train the networks named on the command line, by default all that are not finished."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of CIFAR-10")
    parser.add_argument("--work", type=Path, default=Path("build/zoo"), help="checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    for name in arguments.names or RECIPES:
        if name not in RECIPES:
            parser.error(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
        train(
            name,
            arguments.data,
            arguments.work,
            torch.device(arguments.device),
            arguments.threads,
        )


if __name__ == "__main__":
    main()
