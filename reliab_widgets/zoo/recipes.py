"""What is in the zoo: one row a network, its architecture and how it was trained."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum 0.9 on one cycle: the rate rises for a fifth, then falls.

    Parameters
    ----------
    architecture : str
        A name in ``architectures.ARCHITECTURES``.
    epochs, batch, seed : int
        Passes over the 45,000 training images, images a step, seed of weights and shuffling.
    small : int
        Passes of these, the first ones, that see crops of 24 x 24 pixels: half the time, while
        the rate is still too high for details to matter.
    peak_rate, weight_decay : float
        Highest learning rate; L2 penalty on all parameters.
    augment : bool
        Random crops, those of 32 x 32 pixels out of 4 black pixels of padding, and random
        horizontal flips.
    objective : str
        A name in ``ops.networks.tuning.OBJECTIVES``.
    settings : dict
        Its keywords.
    hours, megabytes : float
        What the training takes on one core and the weights on disk, about; known before, and no
        part of what makes the network.
    """

    architecture: str
    epochs: int = 60
    small: int = 0
    batch: int = 128
    peak_rate: float = 0.2
    weight_decay: float = 5e-4
    augment: bool = True
    seed: int = 0
    objective: str = "cross-entropy"
    settings: dict[str, float] = field(default_factory=dict)
    hours: float = field(default=0.0, kw_only=True)
    megabytes: float = field(default=0.0, kw_only=True)


CLASSIFIERS = ("vgg", "resnet20", "densenet", "mobilenetv2", "googlenet")
NETWORKS = {
    "vgg": Recipe("vgg", epochs=80),
    "resnet20": Recipe("resnet20"),
    "densenet": Recipe("densenet", epochs=36, small=24),
    "mobilenetv2": Recipe("mobilenetv2", epochs=40, small=24, weight_decay=1e-4),
    "googlenet": Recipe("googlenet", epochs=60, small=44),
    "vgg-overfit": Recipe("vgg", epochs=20, peak_rate=0.1, weight_decay=0.0, augment=False),
    "resnet20-overfit": Recipe(
        "resnet20", epochs=70, peak_rate=0.1, weight_decay=0.0, augment=False
    ),
    # A network this small learns attacked images slowly and does not over-fit: little decay.
    "resnet20-robust": Recipe(
        "resnet20",
        epochs=30,
        small=22,
        weight_decay=2e-4,
        objective="adversarial",
        settings={"epsilon": 8 / 255, "step": 10 / 255, "steps": 1},
        hours=2.5,
        megabytes=0.6,
    ),
}


@dataclass(frozen=True)
class DenoiserRecipe:
    """Adam on one cycle, on pairs of a training image and the same image attacked.

    Every classifier is attacked with every attack; a third of the images with each epsilon. The
    images themselves are among the inputs too: what is clean should stay as it is.

    Parameters
    ----------
    guide : str, optional
        The loss is the L1 distance between the logits this classifier gives for the denoised and
        for the clean image; without a guide it is the mean squared difference of the pixels.
    images : int
        Training images, as many of each class: the first ones in file order.
    attacks : tuple of str
        Of ten steps where there are steps.
    epsilons : tuple of float
        Radii in pixel units, in the L-infinity norm.
    epochs, batch, seed : int
        Passes over all pairs, pairs a step, seed of weights and shuffling.
    peak_rate : float
        Highest learning rate.
    """

    guide: str | None = None
    architecture: str = "unet"
    images: int = 2000
    attacks: tuple[str, ...] = ("fgsm", "bim")
    epsilons: tuple[float, ...] = (4 / 255, 8 / 255, 12 / 255)
    epochs: int = 12
    batch: int = 64
    peak_rate: float = 4e-3
    seed: int = 0


DENOISERS = {
    "pixel": DenoiserRecipe(),
    "guided": DenoiserRecipe(guide="resnet20"),
}
RECIPES: dict[str, Recipe | DenoiserRecipe] = {**NETWORKS, **DENOISERS}


def made_by(recipe: Recipe | DenoiserRecipe) -> dict:
    """Give what of a recipe decides the weights, for records and checkpoints.

    Examples
    --------
    >>> made_by(NETWORKS["resnet20"])["epochs"]
    60
    """
    return {k: v for k, v in asdict(recipe).items() if k not in ("hours", "megabytes")}
