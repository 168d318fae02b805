"""Randomised smoothing: an answer by vote over noisy copies, and a radius that is proved for it.

Cohen et al. 2019, "Certified adversarial robustness via randomized smoothing", arXiv 1902.02918.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from math import floor, log2
from typing import Annotated, Any

import numpy as np
import torch

from ...core.analysis import checked
from ...core.engine import Progress, pulse, stream
from ...core.knobs import Real, Seed, Whole
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.wording import problem
from ..attacks.balls import streams
from ..attacks.knobs import ImagesKnob
from .certificate import Certificate

ALPHA = 0.001  # how often a bound may be wrong, where nobody says
MANY = 32  # images, where nobody says how many: each is passed a thousand times
TURNS = 8  # batches to a work item, as many as a second allows where one image takes long
# From where the streams of noise are counted, for choosing and for bounding: no attack draws there.
_SELECT, _BOUND = 2**32, 2**33
_PIXELS = "the standard deviation of the noise in pixel units, such as 0.25"

SIGMA = Real(above=0, most=10, why=_PIXELS)
Sigma = Annotated[float, SIGMA]
Draws = Annotated[int, Whole(1, 10**6, "each is a pass of the network")]
Alpha = Annotated[float, Real(above=0, below=1, why="how often a bound may be wrong, 0.001")]


@dataclass(frozen=True)
class Smoothed:
    """A Subject's network under Gaussian noise.

    Parameters
    ----------
    subject : Subject
        Whose network and images.
    sigma : float
        Standard deviation of the noise, in pixel units.
    seed : int
        Of the noise; every copy of every image has a stream of its own.
    batch : int
        How many copies a pass takes.
    """

    subject: Subject
    sigma: float
    seed: int
    batch: int

    def counts(self, position: int, copies: range) -> np.ndarray:
        """Return how many of these noisy copies of an image are given each class, (K,)."""
        network, image = self.subject.network, self.subject.images[position]
        index = self.subject.positions[[position]]
        found = np.zeros(network.classes, dtype=np.int64)
        for start in range(0, len(copies), self.batch):
            pulse()
            noise = [
                streams(index, self.seed, copy)[0].standard_normal(image.shape, np.float32)
                for copy in copies[start : start + self.batch]
            ]
            noisy = image + self.sigma * torch.from_numpy(np.stack(noise))
            answers = network.infer(noisy).argmax(1).cpu().numpy()
            found += np.bincount(answers, minlength=network.classes)
        return found


@checked
def certify(
    subject: Subject,
    *,
    sigma: Sigma = 0.25,
    draws: Draws = 1000,
    select: Draws = 100,
    alpha: Alpha = ALPHA,
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
) -> Certificate:
    """Prove how far images may be moved before the smoothed network may answer otherwise.

    The smoothed network answers by vote over noisy copies of an image. Where a class wins more than
    half of all copies that could be drawn, no change of L2 length up to ``sigma`` times the normal
    quantile of its share can turn the vote. That share is bounded from below by ``draws`` copies.

    Parameters
    ----------
    subject : Subject
        Whose network is smoothed, on whose images.
    sigma : float
        Standard deviation of the noise, in pixel units: more of it can prove more and answers
        less. A network that was not trained with such noise is proved little.
    draws : int
        How many noisy copies of each image bound the share; they limit what can be proved.
    select : int
        How many other copies choose the class, before.
    alpha : float
        How often, at most, what is said of an image may be wrong.
    images : int or sequence of int, optional
        How many, drawn by ``seed``; or which, by their positions. By default 32, or all there are.
    seed : int
        Of the noise, which an image has by its number in the set, and of the draw of images.
    executor, progress : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`.

    Returns
    -------
    Certificate
        About the smoothed network, not about the network itself.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have, or so few draws can prove nothing.

    Notes
    -----
    Noise is not clipped, since the proof needs all of it: the network sees pixels outside [0, 1]. A
    denoiser in front of it does too, and clips what it gives. A network that draws random numbers
    draws the same ones in every pass; what is proved is about those.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> found = rw.certify(rw.demo("resnet20-noise"), images=[0], draws=50, select=10)
    >>> found.counts.sum(), 0 <= found.radius[0] <= found.largest
    (np.int64(50), np.True_)
    """
    check_draws(draws, alpha)
    wanted = min(MANY, len(subject)) if images is None else images
    index = choose(subject, wanted, seed=seed)
    stages = range(_SELECT, _SELECT + select), range(_BOUND, _BOUND + draws)
    batch = len(spans(subject, np.arange(max(select, draws)))[0])
    items = [
        (row, stage, int(index[row]), copies[start : start + TURNS * batch])
        for row in range(len(index))
        for stage, copies in enumerate(stages)
        for start in range(0, len(copies), TURNS * batch)
    ]
    counts = np.zeros((2, len(index), subject.network.classes), dtype=np.int64)
    smoothed = Smoothed(subject, sigma, seed, batch)
    with (
        naming(image=(subject[index], index)),
        closing(stream(_counted, smoothed, items, executor=executor, progress=progress)) as found,  # type: ignore[type-var]
    ):
        for (row, stage, *_), part in zip(items, found, strict=True):
            counts[stage, row] += part
    return Certificate(
        subject=subject.name,
        sigma=sigma,
        select=select,
        draws=draws,
        alpha=alpha,
        index=index,
        truth=subject.labels.numpy()[index],
        votes=counts[0],
        counts=counts[1],
    )


def check_draws(draws: int, alpha: float = ALPHA) -> None:
    """Refuse so few draws that nothing can be proved.

    Raises
    ------
    ValueError
        They are too few.
    """
    if alpha ** (1 / draws) <= 0.5:
        seen = f"got draws={draws} with alpha={alpha:g}"
        enough = floor(log2(1 / alpha)) + 1
        fix = f"Pass draws= as at least {enough}, better a thousand, or a larger alpha="
        happened = "so few draws can prove nothing, even if all are answered alike"
        raise ValueError(problem(happened, seen, fix))


def _counted(smoothed: Smoothed, item: tuple[int, int, int, range]) -> np.ndarray:
    return smoothed.counts(*item[2:])
