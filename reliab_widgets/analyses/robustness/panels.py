"""What opens below the picture of a robustness analysis."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as W
import numpy as np

from ...core.drawing import short
from ...core.wording import counted, typeset
from ...ops.attacks.verdict import ROLES
from ...ui import words
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from ...ui.panels.panel import Drawn, Panel
from . import sentences
from .charts import Bars, NarrowBars
from .result import Robustness

RAN = {
    "gradients are zero": "slopes of every attack that needs them",
    "one step is better than several": "one step, and several",
    "a random start is needed": "from the image, and from a random point",
    "the margin is better than the cross-entropy": "the margin, and the cross-entropy",
    "more steps or restarts still help": ROLES["longer"],
    "the black box is better than the gradient": ROLES["black box"],
    "noise is as good as the attack": ROLES["noise"],
    "epsilon 1 does not break all": ROLES["epsilon 1"],
    "the cross-entropy drowns": "the cross-entropy of every image",
    "another draw undoes the attack": "the attacked images in another draw",
}
"""What is held against each other, or what was run."""
LEFT_OUT = "“Strongest of all” runs what is missing"


class Attacks(Drawn):
    """What each attack leaves right at the size; a click draws its curve."""

    name = "attacks"
    question = "Which attack breaks most at this size?"
    height = 86

    def show(self, result: Robustness) -> None:
        """Draw a bar for each attack."""
        views = self.explorer.views()
        place, chosen = result.at(views["epsilon"]), views["attack"]
        bars = NarrowBars if views["narrow"] else Bars
        self.paint(
            lambda figure: bars.on(figure).show(result, place, chosen),
            sentences.of_size(result, place),
            {"attack": chosen},
        )


class Broken(Images):
    """The images of the part that is chosen: at first those that broke at the size."""

    name = "images that broke here"
    question = "Which images are these?"

    def made(self) -> Any:
        """Return the images, and what is said of the one that is chosen."""
        self._story = W.HTML()
        return W.VBox([super().made(), self._story])

    def choose(self, key: str) -> None:
        """Say of an image which attack broke it when, and hand it to a workbench."""
        explorer = self.explorer
        explorer.guard(lambda: explorer.settings.move("image", int(key)))

    def show(self, result: Robustness) -> None:
        """Show the images, those that took least first."""
        views = self.explorer.views()
        place, part = result.at(views["epsilon"]), views["part"]
        first = result.proved if part == "proved" else -result.smallest
        those = np.flatnonzero(result.part(part, place))
        rows = those[np.argsort(-first[those], kind="stable")]
        called = {"unknown": "still right", "wrong": "wrong without any change"}.get(part, part)
        if part == "unknown" and result.certificate is not None:
            called = "neither proved nor broken"
        told = f"{called} at {sentences.size(result, place)}: {counted(len(rows))}"
        if not len(rows):
            told += ". Move the ring, or click another number beside the picture"
        images = self.explorer.subject.images

        def framed(some: slice) -> list[Framed]:
            return [_framed(result, int(row), images) for row in rows[some]]

        chosen = str(views["image"])
        self.fill((id(result), place, part), told, len(rows), framed, chosen)
        story = sentences.of_image(result, views["image"]) if len(rows) else ""
        self._story.value = html.escape(typeset(story or "Click an image for its story."))


def _framed(result: Robustness, row: int, images: Any) -> Framed:
    image, far = int(result.index[row]), float(result.smallest[row])
    name = str(result.classes[result.truth[row]])
    if np.isinf(far):
        title = f"✓ up to {sentences.size(result, len(result.epsilons) - 1)}"
    else:
        title = f"✗ at {sentences.written(result, far)}" if far else "✗ without any change"
    radius = float(result.proved[row])
    caption = f"image {image}, {name}"
    if radius > 0:
        caption = f"{short(name, 10)}, proved to {radius:.2g}"
    story = sentences.of_image(result, image)
    key, warns = str(image), bool(np.isfinite(far))
    return Framed(images[image].numpy(), short(title, 24), short(caption, 24), story, key, warns)


class Judgement(Panel):
    """The tests of the verdict: what was run, and the numbers."""

    name = "verdict"
    question = "Does the network withstand attacks, or hide from them?"

    def show(self, result: Robustness) -> None:
        """Show a row for each test that was made, and which were not."""
        found = result.verdict
        rows = [
            [
                "✗" if test.fired else "✓",
                sentences.assured(test),
                RAN[test.name],
                sentences.counts(test),
                f"{test.chance:.2g}",
            ]
            for test in found.tests
        ]
        head = ["", "test", "what was run", f"images of {found.n}", "p by chance"]
        said = [f"{str(found)[0].upper()}{str(found)[1:]}."]
        if found.missing:
            missing = ", ".join(sentences.ASSURED[name] for name in found.missing)
            said.append(f"Left out: {missing}. {LEFT_OUT}.")
        table = words.cells(head, rows) if rows else ""
        self.body.value = f"{table}<div>{html.escape(typeset(' '.join(said)))}</div>"
