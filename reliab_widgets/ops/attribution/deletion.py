"""Deletion: how the score falls while the pixels that a map calls relevant are replaced.

MoRF replaces the most relevant first, LeRF the least relevant first. What the pixels are replaced
by is one more baseline, and the outcome depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from ...core.subject import Subject
from .baselines import Baseline
from .scores import score_of

RANDOM = 4
"""How many random orders the control is the mean of."""


def ranks(maps: np.ndarray, seed: int) -> np.ndarray:
    """Return the place of each pixel in the order of relevance, for each map, 0 first.

    Parameters
    ----------
    maps : array (R, H, W)
        The largest value is the most relevant.
    seed : int
        Equal values, such as the zeros of a flat region, come in random order.

    Returns
    -------
    array (R, H * W) of int

    Examples
    --------
    >>> ranks(np.array([[[0.5, -1.0], [2.0, 1.0]]]), seed=0)
    array([[2, 3, 0, 1]], dtype=uint8)
    """
    flat = maps.reshape(len(maps), -1)
    tie = np.random.default_rng(seed).random(flat.shape[1])
    order = np.stack([np.lexsort((tie, -row)) for row in flat])
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(flat.shape[1])[None], axis=1)
    return _compact(places)


def random_ranks(count: int, pixels: int, seed: int, index: int) -> np.ndarray:
    """Return random orders (count, pixels) of one image, for the control."""
    generator = np.random.default_rng([seed, index])
    return _compact(np.stack([generator.permutation(pixels) for _ in range(count)]))


def _compact(places: np.ndarray) -> np.ndarray:
    # Those of all images are held at once.
    return places.astype(np.min_scalar_type(places.shape[1]))


@dataclass(frozen=True, eq=False)
class Deletion:
    """How deletion curves are made: of which orders, with which fills, at how many points.

    Parameters
    ----------
    fills : tuple of Baseline or None
        F of them: what deleted pixels become; the mean where one has several draws. None is the
        own baseline of each map.
    baselines : tuple of Baseline
        Those of the B maps; random orders take them in turns where they are asked for.
    points : int
        P: the shares ``linspace(0, 1, P)`` of the pixels are deleted.
    score : str
        One of ``scores.SCORES``.
    pixels : int
        H * W.
    batch : int
        Images of a pass.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.attribution.baselines import baseline
    >>> subject = rw.demo("resnet20")[:1]
    >>> black = baseline("black", subject)
    >>> deletion = Deletion((black,), (black,), 3, "probability", 32 * 32, 64)
    >>> orders = ranks(subject.images.numpy().sum(1), seed=0)
    >>> parts = [deletion.part(subject, 0, 3, orders, span) for span in deletion.spans(1)]
    >>> morf, lerf = deletion.curves(parts, 1, clean=1.0, ends=np.zeros(1))
    >>> morf.shape, morf[0, 0, [0, -1]]
    ((1, 1, 3), array([1., 0.]))
    """

    fills: tuple[Baseline | None, ...]
    baselines: tuple[Baseline, ...]
    points: int
    score: str
    pixels: int
    batch: int

    @cached_property
    def fractions(self) -> np.ndarray:
        """``(P,)``: the shares of deleted pixels."""
        return np.linspace(0, 1, self.points)

    def replacements(self, subject: Subject, index: int) -> torch.Tensor:
        """Return all that the pixels of an image may become, (U, C, H, W); see `_slots`."""
        image = subject.images[index]
        made = []
        for fill in self.fills:
            each = self.baselines if fill is None else (fill,)
            made += [one(image, index).mean(0) for one in each]
        return torch.stack(made) if made else image.new_zeros((0, *image.shape))

    def _slots(self, orders: int) -> np.ndarray:
        """Which of the replacements each order takes for each fill, (R, F)."""
        slots, start = [], 0
        for fill in self.fills:
            choices = len(self.baselines) if fill is None else 1
            slots.append(start + np.arange(orders) % choices)
            start += choices
        return np.array(slots, dtype=np.int64).reshape(-1, orders).T

    def spans(self, orders: int) -> tuple[tuple[int, int], ...]:
        """Begin and end of each span of the evaluations that so many orders take."""
        count = orders * 2 * len(self.fills) * (self.points - 2)
        edges = np.linspace(0, count, -(-count // self.batch) + 1).round().astype(int).tolist()
        return tuple(pairwise(edges))

    def part(
        self, subject: Subject, index: int, target: int, orders: np.ndarray, span: tuple[int, int]
    ) -> np.ndarray:
        """Return the scores (r,) of one span of one image, given its orders (R, H * W)."""
        shape = (len(orders), 2, len(self.fills), self.points - 2)
        order, least, fill, point = np.unravel_index(np.arange(*span), shape)
        image = subject.images[index]
        counts = (self.fractions[1:-1] * self.pixels).round()[point][:, None]
        places = orders[order]
        gone = np.where(least[:, None] == 1, places >= self.pixels - counts, places < counts)
        masks = torch.from_numpy(gone).view(-1, 1, *image.shape[1:])
        slots = torch.from_numpy(self._slots(len(orders))[order, fill])
        deleted = torch.where(masks, self.replacements(subject, index)[slots], image)
        return score_of(subject, deleted, target, self.score).numpy()

    def curves(
        self, parts: Iterable[np.ndarray], orders: int, clean: float, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put the scores of one image together: MoRF and LeRF, (R, F, P) each.

        Parameters
        ----------
        parts : iterable of numpy.ndarray
            One for each of `spans`, in their order.
        orders : int
            R.
        clean : float
            Score of the image.
        ends : numpy.ndarray
            (U,): scores of the `replacements`.
        """
        inside = np.concatenate([np.zeros(0), *parts])
        inside = inside.reshape(orders, 2, len(self.fills), self.points - 2)
        first = np.full((orders, len(self.fills), 1), clean)
        last = ends[self._slots(orders)][:, :, None]
        morf, lerf = (np.concatenate([first, inside[:, it], last], axis=2) for it in (0, 1))
        return morf, lerf
