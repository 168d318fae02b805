"""What was done on a workbench: sentences, each with the state to go back to and its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..ui.export import tuples

MOST = 60
"""So many steps are remembered."""


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Parameters
    ----------
    kind : str
        What was done, such as ``"image"`` or the word of an analysis: a step that follows one of
        its kind takes its place, so that a slider leaves one step.
    text : str
        It in a few words.
    sentence : str
        What was found, whole.
    state : dict
        What was chosen, to go back to it.
    code : str
        Source text that gives the numbers again.
    """

    kind: str
    text: str
    sentence: str
    state: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""


class Story:
    """The steps in their order.

    Parameters
    ----------
    told : callable
        Called when there is another step, or one is gone back to.

    Attributes
    ----------
    steps : list of Step
        What was done.
    here : int
        The place of the step that one is at; -1 before the first.

    Examples
    --------
    >>> story = Story()
    >>> story.add(Step("image", "chose image 3", "Image 3 is a cat.", code="subject = 3"))
    >>> story.add(Step("image", "chose image 4", "Image 4 is a dog.", code="subject = 4"))
    >>> print(story.code())
    import reliab_widgets as rw
    <BLANKLINE>
    # 1. Image 4 is a dog.
    subject = 4
    """

    def __init__(self, told: Callable[[], object] = lambda: None) -> None:
        self.steps: list[Step] = []
        self.here = -1
        self._told = told

    def add(self, step: Step) -> None:
        """Add a step, or let it take the place of the last one of its kind; none is told twice."""
        said = [(it.kind, it.sentence, it.code) for it in self.steps]
        if (step.kind, step.sentence, step.code) in said:
            here = said.index((step.kind, step.sentence, step.code))
            if here == self.here:
                return
            self.here = here
        else:
            if self.steps and self.steps[-1].kind == step.kind:
                self.steps[-1] = step
            else:
                self.steps = [*self.steps, step][-MOST:]
            self.here = len(self.steps) - 1
        self._told()

    @property
    def last(self) -> str:
        """The kind of the last step."""
        return self.steps[-1].kind if self.steps else ""

    def put(self, steps: list[Step]) -> None:
        """Tell another story."""
        self.steps = list(steps)
        self.here = len(steps) - 1
        self._told()

    def code(self) -> str:
        """Return Python text that gives every number again, in a fresh process."""
        blocks = ["import reliab_widgets as rw"]
        for number, step in enumerate(self.steps, 1):
            words = "\n".join(f"# {line}" for line in f"{number}. {step.sentence}".splitlines())
            body = "\n".join(
                line for line in step.code.splitlines() if line != "import reliab_widgets as rw"
            )
            body = f"step = {number}\n{body}" if "{step}" in body else body
            blocks.append(f"{words}\n{body.strip()}".rstrip())
        return "\n\n".join(blocks) + "\n"

    def plain(self) -> list[dict[str, Any]]:
        """Return it as JSON holds it."""
        return [
            {name: getattr(step, name) for name in ("kind", "text", "sentence", "state", "code")}
            for step in self.steps
        ]

    @staticmethod
    def read(given: Any) -> list[Step]:
        """Return the steps that `plain` gave.

        Raises
        ------
        TypeError, KeyError
            It is something else.
        """
        steps = []
        for it in given:
            state = dict(it["state"])
            if "settings" in state:
                state["settings"] = {n: tuples(value) for n, value in state["settings"].items()}
            steps.append(Step(**{**it, "state": state}))
        return [replace(it, text=str(it.text), sentence=str(it.sentence)) for it in steps]
