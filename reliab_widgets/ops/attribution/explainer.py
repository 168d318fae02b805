"""Maps of one image with many baselines: where the network is evaluated, and how that adds up.

All evaluations are cut into spans that fit the machine's batch, whatever baselines they belong to:
memory does not grow with the number of steps or masks, and any executor can compute a span.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.batching import Plan
from ...core.subject import Subject
from ..corruptions.severities import noise
from ..statistics.agreement import spearman
from .baselines import Baseline
from .foreign import foreign_map
from .methods import MASKED, Method
from .perturbation import count_windows, phi, rise_masks, windows
from .scores import gradients, score_of

_LEVELS = 5  # convergence is looked at with 1/32, 1/16 ... 1/2 of the steps or masks
_KNOTS = 32  # how many maps are kept along a path, so that memory does not grow with its steps


class Part(NamedTuple):
    """What one span of evaluations contributes to the maps of one image.

    Attributes
    ----------
    owners : numpy.ndarray
        ``(b,)``: the baselines that the span belongs to.
    totals, shares : numpy.ndarray
        ``(b, L, H, W)``: a map is one over the other; `shares` is empty where it would be 1.
    scores, credit : numpy.ndarray
        ``(r,)``: the score at each evaluation (of occlusion, its drop), and what it contributes in
        sum.
    """

    owners: np.ndarray
    totals: np.ndarray
    shares: np.ndarray
    scores: np.ndarray
    credit: np.ndarray


class Maps(NamedTuple):
    """The maps of one image.

    Attributes
    ----------
    maps : numpy.ndarray
        ``(B, H, W)`` float32, signed, channels summed.
    convergence : numpy.ndarray
        ``(B, L)``, for the sizes in `Explainer.sizes`.
    path, credit : numpy.ndarray
        ``(B, S + 1)``: the score on the way from baseline to image, and the credit accumulated so
        far; empty but for integrated gradients.
    path_maps : numpy.ndarray
        ``(B, min(S, 32) + 1, H, W)`` float32: accumulated so far at equal distances, if asked for.
    """

    maps: np.ndarray
    convergence: np.ndarray
    path: np.ndarray
    credit: np.ndarray
    path_maps: np.ndarray


@dataclass(frozen=True, eq=False)
class Explainer:
    """A method with its baselines, ready for any image of one size.

    Parameters
    ----------
    method : Method
        And its settings.
    baselines : tuple of Baseline
        B of them; for a method without, one that is not looked at.
    score : str
        One of ``scores.SCORES``.
    size : (int, int)
        Height and width of the images.
    plan : Plan
        Of the passes.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> from reliab_widgets.ops.attribution.baselines import baseline
    >>> subject = rw.demo("resnet20")[:1]
    >>> black = baseline("black", subject)
    >>> explainer = Explainer(Method("ig", steps=8), (black,), "logit", (32, 32), Plan(16))
    >>> made = explainer.add(explainer.part(subject, 0, 3, span) for span in explainer.spans)
    >>> made.maps.shape, made.path.shape
    ((1, 32, 32), (1, 9))
    """

    method: Method
    baselines: tuple[Baseline, ...]
    score: str
    size: tuple[int, int]
    plan: Plan

    def __getstate__(self) -> dict[str, Any]:
        # What can be made again, such as all masks, does not travel.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def _is_path(self) -> bool:
        return not self.method.is_foreign and self.method.name == "ig"

    @property
    def _is_masked(self) -> bool:
        return not self.method.is_foreign and self.method.name in MASKED

    # --- where the network is evaluated -------------------------------------------------------

    @cached_property
    def _places(self) -> int:
        """How many evaluations one draw of a baseline takes: steps, samples, masks, windows."""
        method = self.method
        if method.is_foreign:
            return 1
        if method.name == "ig":
            return method.steps + 1
        if method.name == "occlusion":
            return count_windows(self.size, self.method.window, self.method.stride)
        if method.name == "rise":
            return method.masks
        return method.steps if method.is_drawn else 1

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Baseline, draw of that baseline, and place of every evaluation."""
        places = np.arange(self._places)
        rows = []
        for number, baseline in enumerate(self.baselines):
            if self.method.is_drawn:  # the draws take turns: one more thing that is sampled
                draw, place = places % baseline.draws, places
            else:
                draw = np.repeat(np.arange(baseline.draws), len(places))
                place = np.tile(places, baseline.draws)
            rows.append((np.full(len(place), number), draw, place))
        owner, draw, place = (np.concatenate(column) for column in zip(*rows, strict=True))
        return owner, draw, place

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Begin and end of each span: as few as fit the batch, of equal length."""
        count = len(self._rows[0])
        batch = 1 if self.method.is_foreign else self.plan.batch
        edges = np.linspace(0, count, -(-count // batch) + 1).round().astype(int).tolist()
        return tuple(pairwise(edges))

    @cached_property
    def sizes(self) -> np.ndarray:
        """``(L,)``: how many steps, samples or masks convergence is looked at with."""
        divisors = [2**i for i in range(_LEVELS, 0, -1)]
        if self.method.is_drawn:  # two disjoint sets of this size are compared
            sizes = [self._places // divisor for divisor in divisors]
        elif self._is_path:
            steps = self.method.steps
            sizes = [steps // divisor for divisor in divisors if steps % divisor == 0]
        else:
            sizes = []
        return np.array([size for size in sizes if size > 1], dtype=np.int64)

    @cached_property
    def _weights(self) -> np.ndarray:
        """Weight of each place, in the map first, then in those that convergence compares."""
        places = self._places
        if self._is_path:
            weights = np.zeros((1 + len(self.sizes), places))
            for row, size in zip(weights, (places - 1, *self.sizes), strict=True):
                row[:: (places - 1) // size] = 1 / size
                row[[0, -1]] /= 2  # the trapezoidal rule
            return weights
        weights = np.zeros((1 + 2 * len(self.sizes), places))
        weights[0] = 1 / places
        half = places // 2
        for number, size in enumerate(self.sizes):
            weights[1 + 2 * number, :size] = 1 / size
            weights[2 + 2 * number, half : half + size] = 1 / size
        return weights

    @cached_property
    def _path_weights(self) -> np.ndarray:
        """Weight of each step in the maps accumulated so far along the path."""
        if not self._is_path:
            return np.zeros((0, self._places))
        steps = self.method.steps
        so_far = np.linspace(0, steps, min(steps, _KNOTS) + 1)[:, None]
        # Between two steps the trapezoids are shared out in proportion.
        passed = np.clip(so_far - np.arange(steps), 0, 1) / steps
        nothing = np.zeros((len(so_far), 1))
        return (np.hstack([passed, nothing]) + np.hstack([nothing, passed])) / 2

    # --- evaluating a span --------------------------------------------------------------------

    def part(
        self,
        subject: Subject,
        index: int,
        target: int,
        span: tuple[int, int],
        *,
        clean: float = np.nan,
        keep: bool = False,
    ) -> Part:
        """Evaluate one span for one image.

        Parameters
        ----------
        subject : Subject
            Whose network and images.
        index : int
            Which image.
        target : int
            The class explained.
        span : (int, int)
            One of `spans`.
        clean : float
            Score of the image, which occlusion compares with.
        keep : bool
            Whether to keep maps along the path, too.
        """
        owner, draw, place = (rows[slice(*span)] for rows in self._rows)
        image = subject.images[index]
        owners = np.unique(owner)
        made = {one: self.baselines[one](image, index) for one in owners}
        bases = torch.stack([made[one][k] for one, k in zip(owner, draw, strict=True)])
        factors = np.ones(len(place))
        if self.method.is_foreign:
            values = np.zeros(len(place))
            fields = np.stack(
                [
                    foreign_map(
                        subject, self.method, image, base, target, self.score, self.plan.batch
                    )
                    for base in bases
                ]
            )
        elif self._is_masked:
            values, fields = self._masked(subject, image, bases, target, clean, place)
            factors = values
        else:
            values, fields = self._sloped(subject, image, bases, target, place)
        weights = np.vstack([self._weights, self._path_weights] if keep else [self._weights])
        weights = weights[:, place]
        if not self.method.is_drawn:
            weights = weights / np.array([len(made[one]) for one in owner])

        def added(weights: np.ndarray) -> np.ndarray:
            mine = [owner == one for one in owners]
            return np.stack([np.tensordot(weights[:, it], fields[it], 1) for it in mine])

        return Part(
            owners,
            added(weights * factors),
            added(weights) if self._is_masked else np.zeros(0),
            values,
            fields.sum((1, 2)) * factors,
        )

    def _sloped(
        self, subject: Subject, image: Tensor, bases: Tensor, target: int, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the score of each evaluation, and its gradient times the way it stands for."""
        method = self.method
        if method.name == "smoothgrad":
            points = image + method.noise * noise(image.shape, place.tolist(), method.seed)
        elif method.name == "gradient":
            points = image.expand_as(bases)
        else:
            alphas = np.ones(1)
            if method.name == "ig":
                alphas = np.linspace(0, 1, method.steps + 1)
            elif method.name == "expected-gradients":
                alphas = np.random.default_rng(method.seed).random(method.steps)
            points = torch.lerp(
                bases, image, torch.from_numpy(alphas[place]).to(image).view(-1, 1, 1, 1)
            )
        values, slopes = gradients(subject, points, target, self.score, self.plan)
        if method.has_baseline:
            slopes = slopes * (image - bases)
        return values.numpy(), slopes.sum(1).numpy()

    def _masked(
        self,
        subject: Subject,
        image: Tensor,
        bases: Tensor,
        target: int,
        clean: float,
        place: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what each evaluation says, and how much of each pixel it says it of."""
        method = self.method
        if method.name == "occlusion":
            masks = windows(self.size, method.window, method.stride, place)
        else:
            masks = rise_masks(self.size, method.masks, method.grid, method.seed, place)
        shown = phi(image, masks, bases)
        kept = masks[:, 0].double().numpy()
        if method.name == "rise":
            return score_of(subject, shown, target, self.score).numpy(), kept
        # A window that changes nothing costs exactly nothing, however another batch may round.
        changed = (shown != image).flatten(1).any(1)
        values = np.zeros(len(place))
        if changed.any():
            asked = score_of(subject, shown[changed], target, self.score)
            values[changed.numpy()] = clean - asked.numpy()
        return values, 1 - kept

    # --- adding up ----------------------------------------------------------------------------

    def add(self, parts: Iterable[Part]) -> Maps:
        """Add up the parts of one image, one for each of `spans`, in their order."""
        count, levels = len(self.baselines), len(self._weights)
        totals = shares = np.zeros(0)
        rows: list[tuple[np.ndarray, np.ndarray]] = []
        for part in parts:
            if not rows:
                shape = (count, part.totals.shape[1], *self.size)
                totals, shares = np.zeros(shape), np.zeros(shape)
            totals[part.owners] += part.totals
            if self._is_masked:
                shares[part.owners] += part.shares
            rows.append((part.scores, part.credit))
        values, credit = (np.concatenate(column) for column in zip(*rows, strict=True))
        if self._is_masked:  # pixels that no mask concerns have no credit
            totals = np.divide(totals, shares, out=np.zeros_like(totals), where=shares > 0)
        if self._is_masked and self.method.name == "rise":
            # Centred: how much higher the score is while the pixel is kept.
            means = np.bincount(self._rows[0], values) / np.bincount(self._rows[0])
            totals[:, 0] -= means[:, None, None]
        path = accumulated = np.zeros((count, 0))
        if self._is_path:
            path, along = self._along(values), self._along(credit)
            steps = (along[:, 1:] + along[:, :-1]) / (2 * self.method.steps)
            accumulated = np.hstack([np.zeros((count, 1)), steps.cumsum(1)])
        return Maps(
            totals[:, 0].astype(np.float32),
            self._agreeing(totals[:, :levels]),
            path,
            accumulated,
            totals[:, levels:].astype(np.float32),
        )

    def _along(self, rows: np.ndarray) -> np.ndarray:
        """Sort rows by baseline and step, (B, S + 1), the mean over the draws."""
        owner, _, _ = self._rows
        each = [rows[owner == one] for one in range(len(self.baselines))]
        return np.stack([it.reshape(-1, self._places).mean(0) for it in each])

    def _agreeing(self, levels: np.ndarray) -> np.ndarray:
        """Spearman's correlation at each of `sizes`, (B, L)."""
        pairs = (
            [(0, 1 + level) for level in range(len(self.sizes))]
            if self._is_path
            else [(1 + 2 * level, 2 + 2 * level) for level in range(len(self.sizes))]
        )
        # Ties stay ties: sums of the same numbers differ in their last digits.
        tables = [spearman(maps.astype(np.float32)) for maps in levels]
        return np.array([[table[pair] for pair in pairs] for table in tables]).reshape(
            len(levels), len(pairs)
        )
