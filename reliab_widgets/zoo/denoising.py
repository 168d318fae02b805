"""How the denoisers are trained: on training images that every classifier was attacked with."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from ..core.subject import Subject
from ..ops.networks.tuning import half
from . import cifar10, samples, weights
from .cifar10 import Images
from .recipes import CLASSIFIERS, DenoiserRecipe

BATCH = 100


class Denoising:
    """One network's task: bring attacked images back to the clean ones, by Adam."""

    objective = None  # it learns nothing beside the network

    def __init__(
        self,
        model: nn.Module,
        recipe: DenoiserRecipe,
        images: Images,
        device: torch.device,
        work: Path,
    ) -> None:
        per_class = slice(None, recipe.images // 10)
        first = cifar10.of_each_class(images.labels, per_class)
        clean, labels = samples.as_images(images.pixels[first]), images.labels[first]
        self._model = model
        self._clean = clean.to(device)
        self._pairs = torch.cat(
            [clean.half(), *(attacked(name, clean, labels, recipe, work) for name in CLASSIFIERS)]
        ).to(device)
        self.items = len(self._pairs)
        self.optimiser = torch.optim.Adam(model.parameters(), lr=recipe.peak_rate)
        self._guide = None
        if recipe.guide is not None:
            self._guide = Guide(recipe.guide).to(device)
            with torch.no_grad():
                parts = [self._guide(part) for part in self._clean.split(BATCH)]
            self._logits = torch.cat(parts)

    def step(
        self, batch: Tensor, generator: torch.Generator, epoch: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Give the loss of a batch, and what to write into the log."""
        x, which = self._pairs[batch].float(), batch % len(self._clean)
        clean = self._clean[which]
        with half(x.device):
            denoised = self._model(x.contiguous(memory_format=torch.channels_last)).float()
            pixels = mse_loss(denoised, clean)
            if self._guide is None:
                return pixels, {"loss": pixels.item(), "pixels": pixels.item()}
            loss = l1_loss(self._guide(denoised).float(), self._logits[which])
        return loss, {"loss": loss.item(), "pixels": pixels.item()}

    def look(self) -> tuple[dict[str, float], list[Tensor]]:
        """Measure nothing besides."""
        return {}, []


class Guide(nn.Module):
    """A classifier of the zoo with its normalisation, frozen: pixels in [0, 1] to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = weights.load(name).requires_grad_(False)
        self.register_buffer("mean", torch.tensor(cifar10.MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(cifar10.STD).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, 10)`` for images ``(N, 3, 32, 32)`` in [0, 1]."""
        return self.model((x - self.mean) / self.std)


def attacked(
    name: str, clean: Tensor, labels: np.ndarray, recipe: DenoiserRecipe, work: Path
) -> Tensor:
    """Attack the classifier ``name``; ``(attacks * N, 3, 32, 32)`` in half precision, kept on disk.

    A third of the images is attacked with each epsilon: image i with number i modulo 3.
    """
    from ..ops.attacks.adversary import attack

    path = work / f"attacked-{name}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    subject = Subject(weights.load(name), clean, labels, mean=cifar10.MEAN, std=cifar10.STD)
    turns = len(recipe.epsilons)
    done = []
    for kind in recipe.attacks:
        out = torch.empty_like(clean)
        for turn, epsilon in enumerate(recipe.epsilons):
            changed = attack(subject[turn::turns], attack=kind, epsilon=epsilon, progress=True)
            out[turn::turns] = changed.images
        done.append(out.half())
    work.mkdir(parents=True, exist_ok=True)
    torch.save(torch.cat(done), path)
    return torch.cat(done)
