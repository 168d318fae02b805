"""Checks for the exercises of lesson 01: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import numpy as np
import torch
from IPython.display import HTML
from scipy.ndimage import gaussian_filter

import reliab_widgets as rw
from reliab_widgets.analyses.saliency.marks import SIGNED
from reliab_widgets.core import drawing
from reliab_widgets.ops.attribution.baselines import baseline
from reliab_widgets.ops.statistics.agreement import TOP

OPEN = "○ Not answered yet: put your answer in place of the dots."


def black_credit(guess, result):
    """Compare a guessed share with the credit that the black pixels of an image get."""
    if guess is ...:
        return OPEN
    if not 0 <= guess <= 1:
        return f"✗ A share of the credit is a number from 0 to 1, not {guess!r}."
    black = (result.images[0] == 0).all(0)
    credit = np.abs(result.maps[0])
    shares = credit[:, black].sum(1) / credit.sum((1, 2))
    told = ", ".join(
        f"{share:.1%} with {name}"
        for name, share in zip(result.baselines, shares, strict=True)
        if name in ("black", "white")
    )
    right = abs(guess - shares[result.baselines.index("black")]) < 0.005
    verdict = "✓ Right" if right else "✗ Not so"
    return f"{verdict}: the {black.mean():.1%} black pixels get {told}."


def blur(function, subject, index=0):
    """Compare a blur with the baseline "blur", for a narrow and a wide Gaussian."""
    image = subject.images[index]
    side = image.shape[-1]
    for sigma in (1.0, 3.0):
        answer = function(image.clone(), sigma)
        if answer is ...:
            return OPEN
        if not isinstance(answer, np.ndarray | torch.Tensor):
            return f"✗ Return an array or a tensor, not {type(answer).__name__}."
        answer = torch.as_tensor(answer)
        if answer.shape != image.shape:
            return f"✗ {tuple(answer.shape)} came back, for an image {tuple(image.shape)}."
        if not answer.is_floating_point() or not answer.isfinite().all():
            return "✗ A baseline is in pixel units: numbers from 0 to 1."
        wanted = baseline(f"blur:{sigma / side}", subject)(image, index)[0]
        off = (answer - wanted).abs()
        if off.max() <= 1e-4:
            continue
        inner = slice(int(4 * sigma) + 1, side - int(4 * sigma) - 1)
        if sigma == 1 and off[:, inner, inner].max() <= 1e-4:
            return "✗ Right inside, not at the edges: there the last pixel is repeated."
        mixed = gaussian_filter(image.numpy(), sigma, mode="nearest")
        if np.allclose(answer, mixed, atol=1e-4):
            return "✗ Red, green and blue ran into each other: blur the rows and the columns only."
        if (answer - image).abs().max() <= 1e-4:
            return "✗ This is the image itself."
        return f"✗ Not a Gaussian of {sigma:g} pixels: off by up to {off.max():.3f}."
    return "✓ Right: the same as the baseline “blur” to within 1e-4."


def nothing_shared(widget):
    """Look whether black and white share next to none of their most important pixels."""
    result = widget.result
    if len(result.index) > 1 or not {"black", "white"} <= set(result.baselines):
        return "○ Tick black and white under Baselines, for one image."
    pair = result.baselines.index("black"), result.baselines.index("white")
    size = int(np.ceil(TOP * result.maps[0, 0].size))
    overlap = result.between_baselines("top")[pair]
    if not np.isfinite(overlap):
        return "✗ One of the two maps is constant: there is no top."
    shared = round(overlap * 2 * size / (1 + overlap))
    verdict = "✓ There" if shared <= 1 else "✗ Not this image"
    return f"{verdict}: image {result.index[0]}, {shared} of the {size} top pixels are shared."


def wins(widget, name):
    """Look whether a baseline's map wins the deletion test that the widget shows."""
    result, fill = widget.result, widget.state()["fill"]
    if name not in result.baselines or len(result.baselines) < 2:
        return f"○ Tick {name} and at least one other baseline."
    areas = result.areas()[0, :, result.fills.index(fill)]
    best = int(areas[:-1].argmin())
    told = ", ".join(f"{n} {area:.2f}" for n, area in zip(result.baselines, areas, strict=False))
    verdict = "✓ There" if result.baselines[best] == name else "✗ Not yet"
    return (
        f"{verdict}: pixels become {fill}, and {result.baselines[best]} wins. Areas under the "
        f"curves: {told}; random order {areas[-1]:.2f}."
    )


class Mystery:
    """Pairs of maps of one image: a trained network's and an untrained one's, in random order."""

    def __init__(self, subject, images):
        self.results = [
            rw.saliency(subject, index=index, baselines="black", fills="mean", points=2, seed=seed)
            for seed, index in enumerate(images)
        ]
        coins = np.random.default_rng(2).integers(0, 2, len(images))
        self.untrained = ["right" if coin else "left" for coin in coins]

    def show(self, sign):
        """Draw one row for each pair, as "signed" values or as their "magnitude"."""
        figure = drawing.Picture(figsize=(5.4, 1.85 * len(self.results)))
        axes = figure.subplots(len(self.results), 3, squeeze=False)
        colours = {"cmap": SIGNED, "vmin": -1, "vmax": 1}
        if sign == "magnitude":
            colours = {"cmap": "cividis", "vmin": 0, "vmax": 1}
        for row, result, side in zip(axes, self.results, self.untrained, strict=True):
            maps = [result.maps[0, 0], result.untrained[0, 0]]
            maps = maps if side == "right" else maps[::-1]
            row[0].imshow(result.images[0].transpose(1, 2, 0))
            for place, one in zip(row[1:], maps, strict=True):
                one = np.abs(one) if sign == "magnitude" else one
                place.imshow(one / np.quantile(np.abs(one), 0.99), **colours)
            titles = (result.classes[result.target[0]], "left", "right")
            for place, title in zip(row, titles, strict=True):
                place.set_title(title, fontsize=10)
                place.axis("off")
        figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, hspace=0.2, wspace=0.05)
        words = f"{len(self.results)} images, each with two maps of {sign} values, left and right"
        picture = drawing.svg(figure, f"mystery-{sign}", themed=True)
        return HTML(f'<div role="img" aria-label="{words}">{picture}</div>')


def untrained(answers, mystery):
    """Compare "left" and "right", one for each pair, with the side of the untrained network."""
    if any(answer is ... for answer in answers):
        return OPEN
    if len(answers) != len(mystery.untrained) or not set(answers) <= {"left", "right"}:
        return f"✗ Give {len(mystery.untrained)} answers, each 'left' or 'right'."
    pairs = zip(answers, mystery.untrained, strict=True)
    right, count = sum(answer == side for answer, side in pairs), len(answers)
    verdict = "✓ All right" if right == count else f"✗ {right} of {count} right"
    magnitudes, signed = (
        ", ".join(f"{result.control(measure)[0]:+.2f}" for result in mystery.results)
        for measure in ("absolute", "signed")
    )
    return f"{verdict}. The two of a pair agree {magnitudes} in magnitude, {signed} with sign."
