"""What goes with the slider of epsilon: step sizes, the smallest that is enough, a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as W
import numpy as np

from ...core.engine import Recent, Tick
from ...core.result import Result
from ...core.wording import grey_levels
from ...ops.attacks.gradient import NORMS
from ...ops.attacks.knobs import EPSILONS
from ...ops.attacks.search import smallest_epsilon
from ..controls import offer
from ..explorer import Explorer


def written(norm: str) -> Callable[[float], str]:
    """Return what writes an epsilon: in grey levels, or where it is a length as a plain number."""
    return grey_levels if norm == "Linf" else "{:.3g}".format


class StepSizes(W.Dropdown):
    """A list of step sizes in the units of the norm that epsilon bounds; it can take any other."""

    options: Any

    def __init__(self, **named: Any) -> None:
        self.norm = "Linf"
        super().__init__(options=self._texts(self.usual[0]), **named)

    @property
    def usual(self) -> tuple[float, ...]:
        """The sizes that are offered."""
        return EPSILONS[self.norm][:8]

    def take(self, size: float) -> None:
        """Choose a size, whichever it is."""
        offer(self, self._texts(size), size)

    def near(self, size: float) -> float:
        """Return the offered size that a computed one is, but for rounding; or that itself."""
        return next((one for one in self.usual if np.isclose(one, size)), size)

    def _texts(self, size: float) -> list[tuple[str, float]]:
        write = written(self.norm)
        return [(write(one), one) for one in sorted({*self.usual, size})]


class Searches:
    """Two buttons: the smallest epsilon that is enough, and a sweep over all of the slider.

    What they find out is told of the settings that they began with, whatever is chosen meanwhile.

    Parameters
    ----------
    explorer : Explorer
        A widget of an analysis that has the knobs of an attack and ``images``, positions.
    lost : callable
        ``lost(result)``: whether the attack changed the answer, or half of the answers.
    enough : callable
        ``enough(result)``: whether its epsilon was seen to change the first image's answer from
        the right one, so that nothing above needs to be searched.
    executor : optional
        Where the search runs.

    Attributes
    ----------
    widget : ipywidgets.HBox
        The buttons.
    """

    def __init__(
        self,
        explorer: Explorer,
        lost: Callable[[Any], bool],
        enough: Callable[[Any], bool],
        executor: Any = None,
    ) -> None:
        self._explorer, self._executor = explorer, executor
        self._lost, self._enough = lost, enough
        self._found: Recent = Recent(50)
        tip = "Search the smallest epsilon that changes the answer"
        smallest = explorer.page.button("Smallest ε", tip, self._on_smallest)
        sweep = explorer.page.button(
            "Sweep ε", "Compute every epsilon of the slider", self._on_sweep
        )
        self.widget = W.HBox([smallest, sweep], layout=W.Layout(margin="0 0 0 40px"))

    def say(self, result: Result) -> str:
        """Return what was found out about settings like those of this result, but for epsilon."""
        return str(self._found.get(_case(result.knobs), ""))

    def _on_smallest(self) -> None:
        explorer, knobs = self._explorer, self._explorer.knobs()
        names = ("attack", "steps", "restarts", "target", "denoiser", "knowledge", "seed")
        asked = {name: knobs[name] for name in names}
        limit, norm = self._limit(knobs), NORMS[knobs["attack"]]

        def search(progress: Tick) -> float:
            found = smallest_epsilon(
                explorer.subject,
                images=knobs["images"][:1],
                limit=limit,
                executor=self._executor,
                progress=progress,
                **asked,
            )
            return float(found.epsilon[0])

        def show(epsilon: float) -> None:
            if epsilon == 0:
                words = "No attack is needed: the clean image gets such an answer already."
            elif np.isinf(epsilon):
                words = f"No epsilon up to {grey_levels(limit, norm)} is enough."
            else:
                size = grey_levels(epsilon, norm)
                words = f"The smallest epsilon seen to succeed is {size}."
                if knobs["step_size"]:
                    words += " It was searched with automatic step sizes."
            self._found[self._asked(knobs)] = words
            still = self._asked(explorer.knobs()) == self._asked(knobs)
            if still and 0 < epsilon < np.inf:
                explorer.set(epsilon=epsilon)
            else:
                explorer.refresh()

        explorer.runner.run(search, show)

    def _on_sweep(self) -> None:
        explorer, knobs = self._explorer, self._explorer.knobs()
        norm = NORMS[knobs["attack"]]
        if not norm:
            raise ValueError(
                f"there is no epsilon to sweep: the attack is {knobs['attack']!r}, which has none. "
                "Choose another attack."
            )
        every = explorer.controls["epsilon"].stops

        def compute(progress: Tick) -> list[Result]:
            return explorer.work.compute_each(progress, knobs, "epsilon", every)

        def show(results: list[Result]) -> None:
            lost = list(map(self._lost, results))
            whose = "The answer is" if len(knobs["images"]) == 1 else "Half of the answers are"
            words = f"{whose} kept at all {len(every)} epsilons of the sweep."
            if any(lost):
                first = grey_levels(every[lost.index(True)], norm)
                words = f"{whose} lost from {first} on (sweep of {len(every)} epsilons)."
            self._found[self._asked(knobs)] = words
            explorer.refresh()

        explorer.runner.run(compute, show)

    def _limit(self, knobs: Mapping[str, Any]) -> float:
        """Return above which epsilon nothing needs to be searched."""
        result = self._explorer.work.result
        told = ("attack", "epsilon", "steps", "target", "denoiser", "knowledge")
        if (
            isinstance(result, Result)
            and result.knobs["images"][0] == knobs["images"][0]
            and all(result.knobs[name] == knobs[name] for name in told)
            and self._enough(result)
        ):
            return float(result.knobs["epsilon"])
        return max(self._explorer.controls["epsilon"].stops)

    def _asked(self, knobs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the settings but epsilon, in the plain values that a result will have."""
        subject, known = self._explorer.subject, self._explorer.analysis.knobs
        return _case({n: known[n].kind.plain(value, subject) for n, value in knobs.items()})


def _case(plain: Mapping[str, Any]) -> tuple[Any, ...]:
    # What the widget has no control for stays as it is by default.
    odd = ("epsilon", "correct_only")
    return tuple((name, plain[name]) for name in sorted(plain) if name not in odd)
