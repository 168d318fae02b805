"""What is in the zoo: one row a network, its architecture and how it was trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum 0.9 on one cycle: the rate rises for a fifth, then falls.

    Parameters
    ----------
    architecture : str
        A name in ``architectures.ARCHITECTURES``.
    epochs, batch, seed : int
        Passes over the 45,000 training images, images a step, seed of weights and shuffling.
    peak_rate, weight_decay : float
        Highest learning rate; L2 penalty on all parameters.
    augment : bool
        Random crops out of 4 black pixels of padding, and random horizontal flips.
    """

    architecture: str
    epochs: int = 60
    batch: int = 128
    peak_rate: float = 0.2
    weight_decay: float = 5e-4
    augment: bool = True
    seed: int = 0


RECIPES = {
    "resnet20": Recipe("resnet20"),
    "resnet20-overfit": Recipe(
        "resnet20", epochs=70, peak_rate=0.1, weight_decay=0.0, augment=False
    ),
}
