"""How a landscape is measured: surfaces coarse to fine, then the largest divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...core.analysis import analysis
from ...core.batching import threads
from ...core.capabilities import Allowed
from ...core.engine import Progress, Tick, pulse, stream, ticking
from ...core.knobs import Auto, Choice, Position, Real, Seed
from ...core.selection import choose, naming, spans
from ...core.subject import Subject
from ...core.wording import percent, problem
from ...ops.attacks import divergence
from ...ops.attacks.attack import Attack
from ...ops.attacks.knobs import Epsilon, ImagesKnob, Restarts, Steps
from ...ops.attacks.objective import loss
from ...ops.calibration.calibrators import fit_temperature
from ...ops.landscape.planes import Plane, random_signs, spanned
from ...ops.landscape.weights import Slice, slice_of
from ...ops.statistics.resampling import FEWEST
from .result import KINDS, PLANES, SPACES, TURNS, Landscape

ATTACKS = ("bim", "pgd")
POINTS = (11, 21, 41, 81)
"""Points along an axis: each holds those of the one before, so that a grid can grow."""
REACH = 16 / 255
MANY = 16
"""Images whose loss is the mean, among weights, where nobody says how many."""
FITTED = 2000
"""Validation images that a temperature is fitted on, at most."""
CUT = 0.01
"""Share of an image's numbers from which it is said that they are cut off at 0 or 1."""
BEYOND = 1.25
"""How far a plane goes that leads to another image: beyond it, in units of its distance."""

_REACH = Real(
    above=0,
    most=1,
    why="in pixel units, or among weights in lengths of the filters",
    stops=(4 / 255, 8 / 255, 16 / 255, 32 / 255, 0.5, 1.0),
)


def allowed(subject: Subject) -> Allowed:
    """Say what a Subject's network allows: what needs gradients, and what needs none.

    Raises
    ------
    ValueError
        There is no network.
    """
    network = subject.network
    if network.recorded:
        network.check_gradients()
    refused = {}
    if network.blocked:
        words = f"gradients are blocked: {network.blocked}"
        refused = dict.fromkeys(("plane='gradient'", "plane='attacks'", "ascent"), words)
    try:
        slice_of(network, 0, 0)
    except ValueError as error:
        refused["space='weights'"] = str(error).partition(". ")[0]
    return Allowed(refused=refused)


@analysis
def landscape(
    subject: Subject,
    *,
    index: Annotated[int, Position()] = 0,
    space: Annotated[str, Choice(SPACES)] = "input",
    plane: Annotated[str, Choice(PLANES)] = "gradient",
    toward: Annotated[int | None, Auto(Position())] = None,
    reach: Annotated[float | None, Auto(_REACH)] = None,
    points: Annotated[int | None, Auto(Choice(POINTS))] = None,
    attack: Annotated[str, Choice(ATTACKS)] = "bim",
    epsilon: Epsilon = 8 / 255,
    steps: Steps = 20,
    restarts: Restarts = 3,
    images: ImagesKnob = None,
    seed: Seed = 0,
    executor: Any = None,
    progress: Progress = None,
    partial: Callable[[Landscape], object] | None = None,
) -> Landscape:
    """Look at loss and decision surface around an image, and how far its prediction can be moved.

    Parameters
    ----------
    subject : Subject
        Whose network is examined.
    index : int
        The image in the middle, by its position.
    space : str
        What is moved: ``"input"`` (the image) or ``"weights"`` (those of a copy of the network,
        along random directions normalised filter by filter; the loss is the mean over ``images``).
    plane : str
        Of the input space: ``"gradient"`` (sign of the gradient of the loss, and random signs at
        right angles to it), ``"random"`` (two random sign directions), ``"attacks"`` (BIM, and what
        PGD has besides), or ``"images"`` (towards another image, and random signs). The control is
        always another random plane, of weights too.
    toward : int, optional
        The other image of ``plane="images"``; by default the next one of another class.
    reach : float, optional
        How far the plane goes along each axis: by default 16/255 in pixel units; to the other image
        and a quarter beyond; or among weights 1, the length of each filter. A pixel of a corner is
        moved by up to twice as much.
    points : int, optional
        Points along an axis, 11, 21, 41 or 81: by default 41, among weights 21.
    attack : str
        Whose path is drawn, away from the label: ``"bim"`` or ``"pgd"`` (random start).
    epsilon : float
        The ball of the attack and of the divergence: the most that a pixel may change.
    steps : int
        Of the attack, and of each ascent.
    restarts : int
        From how many random starts the divergence is climbed; the best is kept.
    images : int or sequence of int, optional
        On how many images, drawn by ``seed``, or on which, the divergence is averaged; by default
        only that of the image is told. Among weights the loss is averaged over them, by default
        over 16.
    seed : int
        Of everything that is drawn.
    executor, progress, partial : optional
        Where to run and whom to tell, see `reliab_widgets.sweep`; progress counts batches.
        ``partial`` is called with results of coarser grids and fewer divergences, as they come.

    Returns
    -------
    Landscape
        Surfaces on the plane and on a control, the attack's path, the largest divergences found.

    Raises
    ------
    ValueError, TypeError
        A knob has a value it cannot have; two images that are the same span no plane; gradients are
        blocked that the plane needs.

    Notes
    -----
    An image must stay in [0, 1], so points of the plane are cut off there, as an attack's are: a
    plane that ended at the first pixel to reach 0 or 1 would have no extent around most
    photographs. ``clamped`` says how much is. The maximum over a ball is found by ascent and is a
    lower bound: on ``resnet20``, 16 images from 2 starts, 20 steps find 98 % of what 40 steps find
    within 2/255, and 93 % within 8/255. Larger balls want more steps. Yu et al. 2019, arXiv
    1905.04270; weights: Li et al. 2018, arXiv 1712.09913.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> result = rw.landscape(rw.demo("resnet20"), points=11, steps=3, restarts=1)
    >>> result.margin.shape, result.path.shape, result.index
    ((2, 11, 11), (4, 2), array([0]))
    """
    if toward is not None and plane != "images":
        seen, fix = f"got plane={plane!r}", "Leave one of the two out"
        raise ValueError(problem("toward goes with plane='images' only", seen, fix))
    inside, weights = space == "input", space == "weights"
    ways = [Attack(one, epsilon, steps, seed=seed) for one in (attack, *ATTACKS)]
    path_of, pair = ways[0], ways[1:]
    if subject.network.recorded or (inside and plane in ("gradient", "attacks")):
        subject.network.check_gradients("plane='random' and plane='images' work without")
    wanted = (MANY if weights else (index,)) if images is None else images
    chosen = choose(subject, wanted, seed=seed)
    around = _Around(subject, index, seed)
    other = around.other(toward) if inside and plane == "images" else -1
    length = reach
    if weights:
        surfaces: tuple[Any, ...] = tuple(slice_of(subject.network, seed, draw) for draw in (0, 1))
        path, length = around.nothing(), length or 1.0
    else:
        with naming(image=(subject[[index]], [index])):
            surfaces, path = around.planes(plane, other, path_of, pair)
        if other >= 0:
            apart = (subject.images[other] - subject.images[index]).abs().max().item()
            length = length or min(1.0, BEYOND * apart)
    axis = np.linspace(-1, 1, points or (21 if weights else 41)) * (length or REACH)
    case = Case(
        subject=subject,
        surfaces=surfaces,
        label=int(subject.labels[index]),
        images=tuple(chosen.tolist()),
        axis=axis,
        climb=Climb(epsilon, steps, restarts, seed),
    )
    grid = _Grid(case)
    batches = [] if weights else [(index,), *([] if images is None else spans(subject, chosen))]
    own = np.full(4, np.nan)
    divergences = np.full((4, len(chosen)), np.nan)
    temperature, notes, blind = np.nan, around.notes, 0

    def result() -> Landscape:
        several = own[:, None] if images is None and inside else divergences
        told = (*notes, *_doubts(case, grid, several, blind))
        return Landscape(
            classes=subject.classes,
            image=index,
            truth=case.label,
            other=other,
            picture=subject.images[index].numpy(),
            stretch=np.ones((2, TURNS)) if weights else around.stretch(surfaces),
            index=chosen,
            own=own.copy(),
            divergence=several.copy(),
            temperature=float(temperature),
            passes=0 if weights else divergence.passes(steps, restarts),
            notes=told,
            **grid.arrays(),
            **path._asdict(),
        )

    def show() -> None:
        if partial is not None:
            partial(result())

    with (
        naming(image=(subject[np.append(chosen, index)], np.append(chosen, index))),
        ticking(progress) as tick,
    ):
        work = _Counted(tick, grid.total + len(batches), executor)
        for level in range(grid.levels):
            for item, values in work.each(looked, case, grid.items(level)):
                grid.put(item, values)
            grid.level = level
            if level == 0 and batches:
                show()
                temperature, told = _temperature(subject)
                notes += told
                case = replace(case, temperature=temperature)
                for _, found in work.each(climbed, case, batches[:1]):
                    own, blind = found[:4, 0], int(found[4].sum())
            if level + 1 < grid.levels or batches[1:]:
                show()
        begin, blind = 0, blind * (not batches[1:])
        for item, found in work.each(climbed, case, batches[1:]):
            divergences[:, begin : begin + len(item)] = found[:4]
            begin, blind = begin + len(item), blind + int(found[4].sum())
            if begin < len(chosen):
                show()
    return result()


# --- what is around an image ------------------------------------------------------------------


class Path(NamedTuple):
    """The way of an attack, as in `Landscape`."""

    path: np.ndarray
    held: np.ndarray
    path_margin: np.ndarray


@dataclass
class _Around:
    """An image, and what directions lead away from it."""

    subject: Subject
    index: int
    seed: int
    notes: tuple[str, ...] = ()

    def other(self, toward: int | None) -> int:
        """Return the image that a plane leads to: one that is not the same."""
        subject, labels = self.subject, self.subject.labels.numpy()
        if toward is None:
            order = (self.index + 1 + np.arange(len(subject) - 1)) % len(subject)
            others = order[labels[order] != labels[self.index]]
            if not len(order):
                seen, fix = "the subject has one image", "Choose another plane="
                raise ValueError(problem("plane='images' needs another image", seen, fix))
            toward = int(others[0] if len(others) else order[0])
        if torch.equal(subject.images[toward], subject.images[self.index]):
            seen = f"got image {self.index} and image {toward}, which are the same picture"
            fix = "Pass toward= another image"
            raise ValueError(problem("two equal images span no plane", seen, fix))
        return toward

    def planes(
        self, plane: str, other: int, path_of: Attack, pair: Sequence[Attack]
    ) -> tuple[tuple[Plane, Plane], Path]:
        """Return the plane that is asked for with a random one, and an attack's path on it."""
        network, where = self.subject.network, [self.index]
        with threads(self.subject.plan.threads), torch.inference_mode(False):
            image = self.subject.images[where].to(self.subject.device)
            middle = image[0]

            def signs(draw: int) -> Tensor:
                return random_signs(
                    middle, int(self.subject.positions[self.index]), self.seed, draw
                )

            if plane == "gradient":
                slope = self._slope(image)
                if not slope.any():
                    self.notes += (
                        "every gradient is exactly 0 here: the first direction is a random one",
                    )
                    slope = signs(4)
                made = spanned(middle, slope.sign(), signs(0), "the gradient and random signs")
            elif plane == "attacks":
                bim, pgd = (self._way(one, image)[0][-1] - middle for one in pair)
                made = spanned(middle, bim, pgd, "what BIM and PGD add")
            elif plane == "images":
                target = self.subject.images[other].to(middle)
                made = spanned(middle, target - middle, signs(0), "an image and random signs")
            else:
                made = spanned(middle, signs(0), signs(1), "random signs")
            control = spanned(middle, signs(2), signs(3), "random signs")
            path = self.nothing()
            if network.gradients:
                images, margin = self._way(path_of, image)
                places, held = made.coordinates(images)
                path = Path(*(it.cpu().numpy() for it in (places, held, margin)))
        return (made, control), path

    def nothing(self) -> Path:
        """Return a path without steps."""
        return Path(np.empty((0, 2), np.float32), *(np.empty(0, np.float32) for _ in range(2)))

    def stretch(self, surfaces: Sequence[Plane]) -> np.ndarray:
        """Return how far each direction moves a pixel, (2, 180)."""
        if not hasattr(self, "_stretch"):
            self._stretch = np.stack([it.stretch() for it in surfaces])
        return self._stretch

    def _labels(self) -> Tensor:
        return self.subject.labels[[self.index]].to(self.subject.device)

    def _slope(self, image: Tensor) -> Tensor:
        with torch.enable_grad():
            pixels = image.clone().requires_grad_()
            logits = self.subject.network.logits(pixels)
            (slope,) = torch.autograd.grad(loss(logits, self._labels(), None).sum(), pixels)
        return slope[0]

    def _way(self, attack: Attack, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images (T, C, H, W) of an attack's steps, and S of each."""
        network, seen = self.subject.network, []

        def watched(images: Tensor) -> Tensor:
            seen.append(images.detach()[0])
            return network.logits(images)

        indices = self.subject.positions[[self.index]]
        found = attack(watched, image, self._labels(), indices)
        margin = _margin(found.trajectory[:, 0], self._labels().expand(len(found.trajectory)))
        return torch.stack(seen), margin


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Give S: the logit of the label minus the largest other one, (n,).

    Examples
    --------
    >>> _margin(torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0]]), torch.tensor([0, 1]))
    tensor([ 2., -2.])
    """
    true = logits.gather(1, labels[:, None])[:, 0]
    return true - logits.scatter(1, labels[:, None], -torch.inf).max(1).values


# --- work items -------------------------------------------------------------------------------


class Climb(NamedTuple):
    """How a divergence is climbed."""

    epsilon: float
    steps: int
    restarts: int
    seed: int


@dataclass(frozen=True)
class Case:
    """What all work items share; sent to a cluster once."""

    subject: Subject
    surfaces: tuple[Any, ...]
    label: int
    images: tuple[int, ...]
    axis: np.ndarray
    climb: Climb
    temperature: float = float("nan")


class Item(NamedTuple):
    """Some points of one surface, by their numbers: row by row."""

    row: int
    points: tuple[int, ...]


def looked(case: Case, item: Item) -> np.ndarray:
    """Return loss, S, whether it is right, and the share cut off, (4, points).

    Processes and clusters find this by its name.
    """
    surface, count = case.surfaces[item.row], len(case.axis)
    second, first = np.divmod(np.array(item.points), count)
    with threads(case.subject.plan.threads), torch.inference_mode(False), torch.no_grad():
        if isinstance(surface, Slice):
            return _of_weights(case, surface, case.axis[first], case.axis[second])
        a, b = (torch.from_numpy(case.axis[it]) for it in (first, second))
        images, clamped = surface.points(a, b)
        labels = torch.full((len(a),), case.label, device=images.device)
        seen = _seen(case.subject.network.logits(images), labels)
        return torch.cat([seen, clamped[None]]).cpu().numpy()


def _seen(logits: Tensor, labels: Tensor) -> Tensor:
    whole = cross_entropy(logits, labels, reduction="none")
    right = (logits.argmax(1) == labels).to(logits)
    return torch.stack([whole, _margin(logits, labels), right])


def _of_weights(case: Case, surface: Slice, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    subject, moving = case.subject, surface.copied()
    batches = [list(it) for it in spans(subject, np.array(case.images))]
    found = np.zeros((4, len(first)), np.float32)
    for k, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        network = moving.to(a, b)
        parts = []
        for batch in batches:
            pulse()
            logits = network.logits(subject.images[batch].to(subject.device))
            parts.append(_seen(logits, subject.labels[batch].to(logits.device)))
        found[:3, k] = torch.cat(parts, 1).double().mean(1).cpu().numpy()
    return found


def climbed(case: Case, positions: tuple[int, ...]) -> np.ndarray:
    """Return the largest divergences found of some images, and which were blind, (5, n)."""
    subject, how, where = case.subject, case.climb, list(positions)
    found = np.full((5, len(where)), np.nan, np.float32)
    found[4] = 0
    with threads(subject.plan.threads), torch.inference_mode(False):
        images, numbers = subject.images[where].to(subject.device), subject.positions[where]
        passes = divergence.passes(how.steps, how.restarts)
        search = divergence.searched(
            subject.network.logits,
            images,
            numbers,
            epsilon=how.epsilon,
            passes=passes,
            seed=how.seed,
        )
        found[2], found[3] = search.largest.cpu().numpy(), search.first.cpu().numpy()
        if subject.network.gradients:
            known = {"raw": 1.0, "calibrated": case.temperature}
            for row, temperature in enumerate(known.values()):
                if np.isnan(temperature):
                    continue
                climbing = divergence.ascended(
                    subject.network.divided(temperature).logits,
                    images,
                    numbers,
                    **how._asdict(),
                )
                found[row] = climbing.largest.cpu().numpy()
                if row == 0:
                    found[4] = climbing.blind.cpu().numpy()
    return found


# --- grids that grow --------------------------------------------------------------------------


class _Grid:
    """Two surfaces that become finer: each level has every second point of the next."""

    def __init__(self, case: Case) -> None:
        self._case, self._count = case, len(case.axis)
        self.levels, self.level = 1 + POINTS.index(self._count), 0
        self._values = np.full((4, 2, self._count**2), np.nan, np.float32)
        self._items = [self._new(level) for level in range(self.levels)]
        self.total = sum(map(len, self._items))

    def items(self, level: int) -> list[Item]:
        """Return what a level has besides those before it."""
        return self._items[level]

    def put(self, item: Item, seen: np.ndarray) -> None:
        """Keep what was seen of some points."""
        self._values[:, item.row, list(item.points)] = seen

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of `Landscape`, as fine as they are known."""
        stride = self._stride(self.level)
        shape = (4, 2, self._count, self._count)
        values = self._values.reshape(shape)[:, :, ::stride, ::stride].copy()
        names = ("loss", "margin", "right", "clamped")
        return {"axis": self._case.axis[::stride], **dict(zip(names, values, strict=True))}

    def _stride(self, level: int) -> int:
        return int(2 ** (self.levels - 1 - level))

    def _new(self, level: int) -> list[Item]:
        every = np.arange(self._count**2).reshape(self._count, self._count)
        here = self._stride(level)
        wanted = np.setdiff1d(
            every[::here, ::here], every[:: 2 * here, :: 2 * here] if level else every[:0]
        )
        subject = self._case.subject
        cuts = spans(subject, np.arange(len(wanted)))
        return [Item(row, tuple(wanted[list(cut)].tolist())) for row in (0, 1) for cut in cuts]


class _Counted:
    """Work whose parts are counted over several sweeps."""

    def __init__(self, tick: Tick, total: int, executor: Any) -> None:
        self._tick, self._total, self._executor, self._done = tick, total, executor, 0
        tick(0, total)

    def each(
        self, fn: Callable[[Case, Any], np.ndarray], case: Case, items: Sequence[Any]
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield each item with what came of it."""
        # Closing cancels what is left in the queue of an executor.
        with closing(stream(fn, case, items, executor=self._executor)) as found:  # type: ignore[type-var]
            for item, value in zip(items, found, strict=True):
                self._done += 1
                yield item, value
                self._tick(self._done, self._total)


# --- what the reader must know ----------------------------------------------------------------


def _temperature(subject: Subject) -> tuple[float, tuple[str, ...]]:
    """Fit a temperature on validation images; NaN, and why, where there are none."""
    if subject.validation is None:
        return float("nan"), (
            "no calibrated form: the subject has no validation images to fit a temperature on",
        )
    fitted = subject.validation[:FITTED]
    logits = fitted.evaluate(progress=lambda *_: pulse()).numpy().astype(np.float64)
    found = fit_temperature(logits, fitted.labels.numpy())
    return found.temperature, found.notes


def _doubts(case: Case, grid: _Grid, found: np.ndarray, blind: int) -> Iterator[str]:
    """Say what limits the numbers."""
    cut = grid.arrays()["clamped"]
    if cut[0].mean() > CUT:
        yield (
            f"no pixel leaves 0–255: over the plane {percent(float(cut[0].mean()))} of the image's "
            f"numbers are cut off on average, {percent(float(cut[0].max()))} at most"
        )
    if blind:
        yield (
            f"for {blind:,} image{'s' * (blind > 1)} every gradient is exactly 0: masked "
            "gradients, not robustness"
        )
    ascent, search = found[KINDS.index("ascent")], found[KINDS.index("search")]
    more = int((search > ascent).sum())
    if more:
        yield (
            f"for {more:,} of {len(ascent):,} images random search finds more than the ascent: "
            "gradients mislead here"
        )
    if not isinstance(case.surfaces[0], Slice):
        if not case.subject.network.gradients:
            yield (
                "gradients are blocked: no ascent and no attack, the divergence is what random "
                "search finds"
            )
        if 1 < found.shape[1] < FEWEST:
            yield f"{found.shape[1]} images are too few for an interval, which needs {FEWEST}"
