"""The networks in the box: weights as safetensors, each beside a record of how it was made."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from .architectures import ARCHITECTURES
from .recipes import RECIPES
from .samples import damaged, facts_of

WEIGHTS = Path(__file__).parent / "weights"


def load(name: str) -> nn.Module:
    """Build the network ``name``, a key of ``RECIPES``, with its trained weights, in eval mode.

    Raises
    ------
    ValueError
        A file is missing, or is not what was shipped.
    """
    path = WEIGHTS / f"{name}.safetensors"
    expected = record(name)["sha256"]
    try:
        content = path.read_bytes()
        seen = hashlib.sha256(content).hexdigest()
        if seen != expected:
            raise damaged(path, f"its sha256 is {seen}, expected {expected}")
        tensors = safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise damaged(path, str(error)) from error
    model = untrained(RECIPES[name].architecture)
    model.load_state_dict(tensors)  # copies into float32, whatever the precision on disk
    return model.eval()


def record(name: str) -> dict:
    """Read how the network ``name`` was trained and what it does; the model card shows the same."""
    return facts_of(WEIGHTS / f"{name}.json")


def shipped(name: str) -> bool:
    """Tell whether the network ``name`` is in the box."""
    return (WEIGHTS / f"{name}.json").exists()


def untrained(architecture: str) -> nn.Module:
    """Build ``architecture`` with the random weights that seed 0 gives, in eval mode.

    The caller's random state stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        # Unlike torch.manual_seed, this leaves the generators of GPUs alone.
        torch.default_generator.manual_seed(0)
        return ARCHITECTURES[architecture]().eval()
