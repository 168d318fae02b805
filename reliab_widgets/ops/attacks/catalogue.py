"""The attacks there are: one table, for all that names, checks, offers or runs them.

Left out is JSMA (Papernot et al. 2016, arXiv 1511.07528). It bounds how many pixels change, which
no ball here does, and for each step it ranks pairs of pixels by the slopes of every class: of a
32 x 32 x 3 image 4.7 million pairs, for a change that ``"simba"`` and ``"cw"`` find more cheaply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LOSSES = ("auto", "cross-entropy", "margin")
"""What an attack may be told to climb."""


@dataclass(frozen=True)
class Entry:
    """What is known of an attack.

    Parameters
    ----------
    words : str
        What people call it; its norm is said beside it.
    hint : str
        What tells it from its neighbours.
    norm : str
        What epsilon bounds: ``"Linf"``, ``"L2"``, or ``""`` where the attack looks for the smallest
        change by itself.
    counts : str
        What ``steps`` counts: ``"step"``, ``"query"``, or ``""`` where there is nothing to count.
    sized : bool
        Whether the size of a step can be chosen.
    starts : bool
        Whether it begins at random, and so may begin several times.
    gradients : bool
        Whether it needs the network's gradients.
    loss : str
        What it climbs under ``loss="auto"``, a key of ``objective.RISES``; ``""`` where no loss
        can be chosen.
    live : bool
        Whether widgets offer it: it answers while a slider moves.
    """

    words: str
    norm: str = ""
    hint: str = ""
    counts: str = "step"
    sized: bool = False
    starts: bool = False
    gradients: bool = True
    loss: str = "auto"
    live: bool = False

    @property
    def label(self) -> str:
        """What a list calls it.

        Examples
        --------
        >>> METHODS["pgd"].label, METHODS["pgd-l2"].label, METHODS["bim"].label
        ('PGD (random start)', 'PGD, L2', 'BIM')
        """
        if self.norm == "L2":
            return f"{self.words}, L2"
        return f"{self.words} ({self.hint})" if self.hint else self.words


METHODS = {
    "bim": Entry("BIM", "Linf", sized=True, live=True),
    "fgsm": Entry("FGSM", "Linf", "one step", counts="", live=True),
    "mim": Entry("MIM", "Linf", "momentum", sized=True, live=True),
    "pgd": Entry("PGD", "Linf", "random start", sized=True, starts=True, live=True),
    "pgd-l2": Entry("PGD", "L2", "random start", sized=True, starts=True, live=True),
    "deepfool": Entry("DeepFool", loss="", live=True),
    "none": Entry("no attack", counts="", gradients=False, loss="", live=True),
    "fgsm-l2": Entry("FGSM", "L2", "one step", counts=""),
    "bim-l2": Entry("BIM", "L2", sized=True),
    "mim-l2": Entry("MIM", "L2", "momentum", sized=True),
    "apgd": Entry("APGD", "Linf", "sizes its steps", starts=True),
    "apgd-l2": Entry("APGD", "L2", "sizes its steps", starts=True),
    "apgd-targeted": Entry("APGD", "Linf", "class by class", starts=True, loss="margin"),
    "eot-pgd": Entry("EOT-PGD", "Linf", "over several draws", sized=True, starts=True),
    "cw": Entry("Carlini-Wagner", loss=""),
    "square": Entry("Square", "Linf", "queries", "query", gradients=False, loss="difference"),
    "simba": Entry("SimBA", "L2", "queries", "query", gradients=False, loss="odds"),
    "nes": Entry("NES", "Linf", "queries", "query", gradients=False, loss="odds"),
    "boundary": Entry("Boundary attack", hint="answers only", gradients=False, loss=""),
}
"""By the name that users pass; those that widgets offer come first, in their order."""


def those(wanted: Callable[[Entry], object]) -> tuple[str, ...]:
    """Return the names of attacks that are wanted.

    Examples
    --------
    >>> those(lambda it: it.norm == "L2" and not it.gradients)
    ('simba',)
    """
    return tuple(name for name, entry in METHODS.items() if wanted(entry))
