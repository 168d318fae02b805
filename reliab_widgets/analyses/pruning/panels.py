"""What opens below the picture of a pruning analysis."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, NamedTuple

import ipywidgets as W
import numpy as np
from matplotlib.figure import Figure

from ...core import drawing
from ...core.engine import Recent
from ...core.subject import Subject
from ...core.wording import percent, signed, typeset
from ...ops.calibration.metrics import softmax
from ...ops.networks.untrained import untrained
from ...ops.pruning.sweep import explanation
from ...ops.statistics.agreement import spearman
from ...ui import thumbnails, words
from ...ui.gallery import Framed
from ...ui.panels.images import Images
from ...ui.panels.panel import Panel
from .charts import Confidences
from .result import TEMPERATURES, Pruning

KEPT = 64
"""How many maps are kept."""


class Changed(Images):
    """The images whose prediction changes: those of one class, or all."""

    name = "changed images"
    question = "Whose prediction changed?"

    def buttons(self) -> list[W.Button]:
        """Return a button that goes back to all classes."""
        move = self.explorer.settings.move
        return [self.button("all classes", "Images of every class", lambda: move("payer", None))]

    def choose(self, key: str) -> None:
        """Explain an image that was chosen."""
        explorer = self.explorer
        explorer.guard(lambda: explorer.settings.move("image", int(key)))

    def show(self, result: Pruning) -> None:
        """Show the first images at the level that is shown."""
        views = self.explorer.views()
        place, payer = self.explorer.place(result), views["payer"]
        rows = _changed(result, place, payer)
        before, after = (result.logits[0, k].argmax(-1) for k in (0, place))
        right = [int((answers[rows] == result.truth[rows]).sum()) for answers in (before, after)]
        whose = f"of {result.classes[payer]}" if payer is not None else "of all classes"
        told = (
            f"{percent(result.levels[place], 0)} removed, {whose}: {len(rows)} predictions changed"
        )
        if len(rows):
            told += f"; {right[0]} were right, {right[1]} are now · the surest first"
        else:
            told += ". Drag the ring to another share, or click a class."
        sure = result.probabilities(place).max(1)
        images = self.explorer.subject.images

        def framed(some: slice) -> list[Framed]:
            return [
                _framed(result, row, int(before[row]), int(after[row]), sure[row], images)
                for row in rows[some].tolist()
            ]

        self.fill((result, place, payer), told, len(rows), framed, str(views["image"]))


def _changed(result: Pruning, place: int, payer: int | None) -> np.ndarray:
    """Return the rows of images whose prediction changes, the surest now first."""
    changed = result.flipped[0, place] & (payer is None or result.truth == payer)
    rows = np.flatnonzero(changed)
    sure = result.probabilities(place).max(1)
    return rows[np.argsort(-sure[rows], kind="stable")]


def _framed(result: Pruning, row: int, before: int, after: int, sure: float, images: Any) -> Framed:
    names, truth = result.classes, int(result.truth[row])
    image = int(result.index[row])
    said = f"{names[before]} → {names[after]}"
    held = "✓" if after == truth else "✗"
    return Framed(
        images[image].numpy(),
        drawing.short(f"{held} {said}", 22),
        drawing.short(f"{percent(sure, 0)} sure, is {names[truth]}", 24),
        f"image {image}: is {names[truth]}, was {names[before]}, is now {names[after]}, "
        f"{percent(sure, 0)} sure; choose it to explain it",
        str(image),
        after != truth,
    )


class Calibration(Panel):
    """What confidences are worth, before and after."""

    name = "calibration"
    question = "Are its confidences still worth what they promise?"

    def made(self) -> Any:
        """Return a picture."""
        return W.HTML()

    def show(self, result: Pruning) -> None:
        """Draw the error over all levels and the diagram at one."""
        views = self.explorer.views()
        place = self.explorer.place(result)
        with drawing.LOCK:
            figure = Figure()
            Confidences.on(figure).show(result, place, views["temperature"], views["image"])
            drawing.readable(figure)
            svg = drawing.svg(figure, f"rw{id(self):x}", themed=True)
        ece = {it: percent(result.calibration[f"ece {it}"][0, place]) for it in TEMPERATURES}
        said = (
            f"Expected calibration error of {result.n:,} test images at "
            f"{percent(result.levels[place], 0)} removed: {ece['raw']} without a temperature, "
            f"{ece['old']} with that of the whole network, {ece['refitted']} fitted again."
        )
        self.body.value = f"<div>{html.escape(typeset(said))}</div>{words.picture(svg, said)}"


class Size(Panel):
    """What the smaller network saves."""

    name = "size and speed"
    question = "What does it save?"

    def show(self, result: Pruning) -> None:
        """Show a table of what is left, next to random removal."""
        place = self.explorer.place(result)
        rows = []
        for name, table, unit in (
            ("parameters", result.parameters, 1),
            ("multiply-adds for an image", result.multiply_adds, 1),
            ("weights on disk, kB", result.size, 1000),
        ):
            left, whole = table[0, place], table[0, 0]
            drawn = table[1:, place].mean() / whole
            rows.append(
                [
                    name,
                    f"{whole / unit:,.0f}",
                    f"{left / unit:,.0f}",
                    percent(left / whole, 0),
                    percent(drawn, 0),
                ]
            )
        guess = np.bincount(result.truth).max() / result.n
        notes = [
            f"Always naming the largest class is right on {percent(guess)} of the test images."
        ]
        if np.isfinite(result.seconds_cut[place]):
            whole, cut = (1000 * result.seconds_cut[k] for k in (0, place))
            notes.append(f"One image of 32 takes {cut:.2f} ms instead of {whole:.2f} ms.")
        notes += [f"Note: {note}." for note in result.notes]
        gone = f"{percent(result.levels[place], 0)} removed"
        head = ["", "whole", gone, "left", "left at random"]
        said = html.escape(typeset(" ".join(notes)))
        self.body.value = f"{words.cells(head, rows)}<div>{said}</div>"


class Seen(NamedTuple):
    """What a network sees in an image: its map, and its probabilities of all classes."""

    values: np.ndarray
    probabilities: np.ndarray


class Asked(NamedTuple):
    """Whose maps are to be seen: of which level of a result, of which image, why which class."""

    result: Pruning
    level: float
    image: int
    target: int


class Explanation(Panel):
    """Maps of one image under the whole network, the pruned one, and an untrained one."""

    name = "explanations"
    question = "Does it still look at the same pixels?"

    def made(self) -> Any:
        """Return the maps."""
        self._maps = Recent(KEPT)
        self._asked: Asked | None = None
        return W.HTML()

    def show(self, result: Pruning) -> None:
        """Show the maps of the image that is chosen, or compute them first."""
        views = self.explorer.views()
        image = views["image"]
        target = int(self.explorer.sure(image).argmax())
        level = float(result.levels[self.explorer.place(result)])
        if not self.tell(Asked(result, level, image, target)):
            self.explorer.aside("explanation", self.compute, lambda _: self.tell())

    def tell(self, asked: Asked | None = None) -> bool:
        """Show what is asked for, or was asked for last; False if it must be computed first."""
        self._asked = asked = asked or self._asked
        assert asked is not None
        if not asked.result.has_networks:
            without = "The weights of fine-tuned networks are not kept in a file: no map of them."
            single = "Single weights were removed, not filters: there is no smaller network."
            self.body.value = single if asked.result.criterion == "magnitude" else without
            return True
        keys = self._keys(asked)
        if not all(key in self._maps for key in keys.values()):
            # Not those of another level, or of another order of the filters.
            level = typeset(percent(asked.level, 0))
            self.body.value = f"The maps of image {asked.image} at {level} follow."
            return False
        self.body.value = self._strip(asked, {name: self._maps[keys[name]] for name in keys})
        return True

    def compute(self) -> None:
        """Explain what was asked for last; this cuts a network, and takes its time."""
        asked = self._asked
        assert asked is not None
        result, level, subject = asked.result, asked.level, self.explorer.subject
        networks: tuple[Callable[[], Subject], ...] = (
            lambda: subject,
            lambda: result.variant(level, subject),
            lambda: untrained(subject, result.knobs["seed"]),
        )
        for key, network in zip(self._keys(asked).values(), networks, strict=True):
            known = self._maps.pop(key, None)
            if known is None:
                known = _seen(network(), asked.image, asked.target)
            self._maps[key] = known  # the newest, so that the next one does not drive it out

    def _keys(self, asked: Asked) -> dict[str, tuple[Any, ...]]:
        """Return by what the map of each network is known, in the order in which they stand."""
        result, level = asked.result, asked.level
        tuned = result.source if result.knobs["finetune"] else ""
        pruned = (result.removed[0, result.at(level)].tobytes(), tuned)
        return {
            "whole network": ("whole", asked.image),
            f"{percent(level, 0)} removed": (*pruned, asked.image),
            "untrained (control)": ("untrained", result.knobs["seed"], asked.image),
        }

    def _strip(self, asked: Asked, maps: dict[str, Seen]) -> str:
        subject, image = self.explorer.subject, asked.image
        name = subject.classes[asked.target]
        agreed = spearman(np.stack([it.values for it in maps.values()]))[0]
        pixels = subject.images[image].numpy()
        strip = [thumbnails.thumbnail(pixels, f"image {image}\nwhy {name}", f"image {image}")]
        for row, (network, (values, probabilities)) in enumerate(maps.items()):
            # One pixel in fifty may be off the scale: a few are far above all others.
            size = float(np.quantile(np.abs(values), 0.98))
            said = _agreement(agreed[row]) if row else "compared with this one"
            colours = thumbnails.coloured(values, size)
            sure = _answer(subject.classes, probabilities, asked.target)
            title = f"image {image}, why {name}: {network}, says {sure}, {said}"
            if not np.ptp(values):
                title += "; flat: no pixel changes what is left"
            below, caption = thumbnails.bar(size), f"{network}\nsays {sure}\n{said}"
            strip.append(thumbnails.thumbnail(colours, caption, title, below=below))
        said = (
            f"Integrated gradients of the logit of {name}, which the whole network predicts. Blue "
            "supports it, orange opposes it; each map has its own scale, in logits a pixel, up to "
            "the 98 % quantile. ρ: Spearman's rank correlation over the pixels."
        )
        return f"{thumbnails.strip(strip)}<div class='rw-muted'>{typeset(said)}</div>"


def _seen(network: Subject, image: int, target: int) -> Seen:
    """Explain a network's logit of a class, and say how sure it is of all of them."""
    logits = network.predict(network.images[image : image + 1])
    return Seen(explanation(network, image, target), softmax(logits.cpu().numpy())[0])


def _answer(classes: tuple[str, ...], probabilities: np.ndarray, target: int) -> str:
    """Write what a network predicts, and how sure it is of the class that is explained."""
    told = dict.fromkeys((int(probabilities.argmax()), target))
    return ", ".join(
        f"{drawing.short(classes[k], 12)} {percent(probabilities[k], 0)}" for k in told
    )


def _agreement(rho: float) -> str:
    """Write a rank correlation; a flat map has none."""
    return f"ρ = {signed(rho, 2).removeprefix('+')}" if np.isfinite(rho) else "flat, no ρ"
