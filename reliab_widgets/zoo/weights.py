"""The networks in the box: weights as safetensors, each beside a record of how it was made."""

from pathlib import Path

from torch import Tensor, nn

from ..core.randomness import own_generators
from ..ops.networks.files import facts_of, tensors
from .architectures import ARCHITECTURES
from .recipes import RECIPES

WEIGHTS = Path(__file__).parent / "weights"


def load(name: str) -> nn.Module:
    """Build the network ``name``, a key of ``RECIPES``, with its trained weights, in eval mode.

    Raises
    ------
    ValueError
        A file is missing, or is not what was shipped.
    """
    model = untrained(RECIPES[name].architecture)
    model.load_state_dict(
        tensors(name, WEIGHTS)
    )  # copies into float32, whatever the precision on disk
    return model.eval()


def record(name: str) -> dict:
    """Read how the network ``name`` was trained and what it does; the model card shows the same."""
    return facts_of(WEIGHTS / f"{name}.json")


def answers(name: str) -> dict[str, Tensor]:
    """Read the logits of the images in the box by split, if they are shipped.

    Raises
    ------
    ValueError
        A file is missing, or is not what was shipped.
    """
    return tensors(name, WEIGHTS, "logits") if "logits" in record(name) else {}


def shipped(name: str) -> bool:
    """Tell whether the network ``name`` is in the box."""
    return (WEIGHTS / f"{name}.json").exists()


def untrained(architecture: str) -> nn.Module:
    """Build ``architecture`` with the random weights that seed 0 gives, in eval mode.

    The caller's random state stays as it is.
    """
    with own_generators(seed=0):
        return ARCHITECTURES[architecture]().eval()
