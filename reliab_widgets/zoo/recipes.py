"""What is in the zoo: one row a network, its architecture and how it was trained."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Recipe:
    """Training on one cycle: the rate rises for a fifth of the steps, then falls.

    Parameters
    ----------
    architecture : str
        A name in ``architectures.ARCHITECTURES``.
    epochs, batch, seed : int
        Passes over the training images, images a step, seed of weights and shuffling.
    small : int
        Passes of these, the first ones, that see crops of 24 x 24 pixels: half the time, while
        the rate is still too high for details to matter.
    peak_rate, weight_decay : float
        Highest learning rate; L2 penalty on all parameters.
    augment : bool
        Random crops, those of 32 x 32 pixels out of 4 black pixels of padding, and random
        horizontal flips.
    objective : str
        A name in ``ops.networks.tuning.OBJECTIVES``, "gated", "mean-field" or "latent"; one of
        ``NUMBERS`` where targets are numbers.
    settings : dict
        Its keywords.
    data : str
        A name in ``datasets.DATA``.
    start : str, optional
        The network whose weights are the first ones, its last layer only if it has the same data;
        by default they are drawn.
    optimiser : {"sgd", "adamw"}
        SGD has Nesterov momentum 0.9.
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
    data: str = "cifar10"
    start: str | None = None
    optimiser: str = "sgd"
    hours: float = field(default=0.0, kw_only=True)
    megabytes: float = field(default=0.0, kw_only=True)


NUMBERS = ("squares", "selective")
"""Objectives whose targets are numbers and not classes."""
CLASSIFIERS = ("vgg", "resnet20", "densenet", "mobilenetv2", "googlenet")
NETWORKS = {
    "vgg": Recipe("vgg", epochs=80, hours=1.4, megabytes=3.0),
    "resnet20": Recipe("resnet20", hours=1.4, megabytes=0.6),
    "densenet": Recipe("densenet", epochs=36, small=24, hours=1.4, megabytes=0.4),
    "mobilenetv2": Recipe(
        "mobilenetv2", epochs=40, small=24, weight_decay=1e-4, hours=1.3, megabytes=1.5
    ),
    "googlenet": Recipe("googlenet", epochs=60, small=44, hours=1.5, megabytes=1.6),
    "vgg-overfit": Recipe(
        "vgg",
        epochs=20,
        peak_rate=0.1,
        weight_decay=0.0,
        augment=False,
        hours=1.1,
        megabytes=3.0,
    ),
    "resnet20-overfit": Recipe(
        "resnet20",
        epochs=70,
        peak_rate=0.1,
        weight_decay=0.0,
        augment=False,
        hours=1.9,
        megabytes=0.6,
    ),
    # A network this small learns attacked images slowly and does not over-fit: little decay. With
    # a start inside the ball, steps of 10/255 and peak rate 0.2 it over-fitted catastrophically in
    # the second epoch: of 200 validation images, 24 % right under one step and 5 % under ten.
    "resnet20-robust": Recipe(
        "resnet20",
        epochs=30,
        small=22,
        peak_rate=0.1,
        weight_decay=2e-4,
        objective="adversarial",
        settings={"epsilon": 8 / 255, "step": 8 / 255, "steps": 1, "start": 16 / 255},
        hours=2.5,
        megabytes=0.6,
    ),
    "resnet20-noise": Recipe(
        "resnet20",
        epochs=5,
        peak_rate=0.05,
        objective="noise",
        settings={"sigma": 0.25},
        start="resnet20",
        hours=0.4,
        megabytes=0.6,
    ),
    "resnet20-dropout": Recipe(
        "resnet20-dropout", epochs=5, peak_rate=0.05, start="resnet20", hours=0.4, megabytes=0.6
    ),
    "vit": Recipe(
        "vit",
        epochs=80,
        peak_rate=1e-3,
        weight_decay=0.05,
        optimiser="adamw",
        hours=20,
        megabytes=1.9,
    ),
    "fashion": Recipe(
        "resnet20",
        epochs=5,
        peak_rate=0.1,
        data="fashion",
        start="resnet20",
        hours=0.5,
        megabytes=0.6,
    ),
    "fashion-densenet": Recipe(
        "densenet",
        epochs=4,
        peak_rate=0.1,
        data="fashion",
        start="densenet",
        hours=1.2,
        megabytes=0.4,
    ),
    "fashion-scratch": Recipe("resnet20", epochs=8, data="fashion", hours=0.8, megabytes=0.6),
    # Two that began with the same weights and were trained alike, but for what they learnt.
    "resnet20-consistent": Recipe(
        "resnet20",
        epochs=10,
        peak_rate=0.05,
        objective="consistent",
        settings={"clean": 0.5, "weight": 0.05, "epsilon": 8 / 255, "step": 10 / 255, "steps": 1},
        start="resnet20",
        hours=1.8,
        megabytes=0.6,
    ),
    "resnet20-consistent-plain": Recipe(
        "resnet20", epochs=10, peak_rate=0.05, start="resnet20", hours=0.7, megabytes=0.6
    ),
    "resnet20-gated": Recipe(
        "resnet20",
        epochs=15,
        peak_rate=0.05,
        objective="gated",
        settings={"every": 3, "budget": 0.2, "weight": 1e-3},
        start="resnet20",
        hours=1.1,
        megabytes=0.6,
    ),
    "resnet20-gated-plain": Recipe(
        "resnet20", epochs=15, peak_rate=0.05, start="resnet20", hours=1.1, megabytes=0.6
    ),
    # The spread of a weight grows for thousands of steps: the rate is Adam's, which are all alike.
    **{
        name: Recipe(
            name,
            epochs=5,
            peak_rate=1e-3,
            weight_decay=0.0,
            optimiser="adamw",
            objective="mean-field",
            start="resnet20",
            hours=0.2,
            megabytes=1.1,
        )
        for name in ("resnet20-meanfield", "resnet20-meanfield-both")
    },
    "invertible": Recipe(
        "invertible",
        epochs=40,
        peak_rate=3e-3,
        weight_decay=0.01,
        optimiser="adamw",
        hours=0.9,
        megabytes=0.5,
    ),
    # A step of the first takes four times as long as a plain one, of the second 2.5 times.
    **{
        f"invertible-{kind}": Recipe(
            "invertible",
            epochs=6,
            peak_rate=1e-3,
            weight_decay=0.01,
            optimiser="adamw",
            objective=objective,
            settings=settings,
            start="invertible",
            hours=hours,
            megabytes=0.5,
        )
        for kind, objective, settings, hours in (
            ("pgd", "adversarial", {"epsilon": 8 / 255, "step": 4 / 255, "steps": 3}, 0.5),
            ("latent", "latent", {"epsilon": 8 / 255, "margin": 20.0, "steps": 4}, 0.35),
        )
    },
    # Outputs of these are studied: no augmentation, so that what is learnt is learnt by heart.
    **{
        f"subset-{kind}": Recipe(
            "resnet20",
            epochs=20,
            peak_rate=0.1,
            augment=False,
            data=data,
            start=start,
            hours=0.15,
            megabytes=0.6,
        )
        for kind, data, start in (
            ("balanced", "cifar10-balanced", None),
            ("unbalanced", "cifar10-unbalanced", None),
            ("transfer", "cifar10-balanced", "fashion-scratch"),
        )
    },
    **{
        f"{architecture}-seed{seed}" if seed else architecture: Recipe(
            architecture, epochs=15, small=9, seed=seed, hours=0.4, megabytes=0.5
        )
        for architecture in ("mobilenet", *(f"mobilenet-dilated-{place}" for place in (1, 2, 3)))
        for seed in (0, 1, 2)
    },
    **{
        name: Recipe(
            name,
            epochs=12,
            peak_rate=2e-3,
            weight_decay=0.01,
            augment=False,
            optimiser="adamw",
            objective="cross-entropy" if data == "specks" else "squares",
            data=data,
            hours=0.1,
            megabytes=0.3,
        )
        for name, data in (
            ("specks", "specks"),
            ("steering", "road"),
            ("steering-wide", "road"),
            ("steering-narrow", "road"),
            ("detector", "object"),
        )
    },
    **{
        f"{architecture}{world}{objective}": Recipe(
            architecture,
            epochs=30,
            batch=32,
            peak_rate=3e-3,
            weight_decay=0.01,
            augment=False,
            optimiser="adamw",
            objective=objective.strip("-") or "squares",
            settings={"weight": 0.1, "bins": 16} if objective else {},
            data="scenes" + world,
            hours=0.1,
            megabytes=0.1,
        )
        for architecture in ("depth", "depth-skips")
        for world in ("", "-street")
        for objective in ("", "-selective")
    },
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
    data, hours, megabytes
        As in `Recipe`.
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
    data: str = "cifar10"
    hours: float = field(default=0.0, kw_only=True)
    megabytes: float = field(default=0.0, kw_only=True)


DENOISERS = {
    "pixel": DenoiserRecipe(hours=0.1, megabytes=0.5),
    "guided": DenoiserRecipe(guide="resnet20", hours=0.1, megabytes=0.5),
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
