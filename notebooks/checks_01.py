"""Checks for the exercises of lesson 01: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import checking
import numpy as np
from IPython.display import HTML
from scipy.ndimage import gaussian_filter

import reliab_widgets as rw
from reliab_widgets.analyses.saliency.marks import limit, part
from reliab_widgets.core import drawing
from reliab_widgets.core.style import SIGNED
from reliab_widgets.ops.attribution.baselines import baseline
from reliab_widgets.ops.statistics.agreement import TOP

LESSON = checking.Lesson("01_saliency")
report = LESSON.report
ROUNDED = 0.5 / 255  # what rounding an image to grey levels changes


@LESSON.exercise("a share from 0 to 1, or in per cent: 0.2 or '20 %'")
def black_credit(guess, result):
    """Compare a guessed share with the credit that the black pixels of an image get."""
    guess = checking.share(guess)
    black = (result.images[0] == 0).all(0)
    credit = np.abs(result.maps[0])
    shares = credit[:, black].sum(1) / credit.sum((1, 2))
    told = ", ".join(
        f"{share:.1%} with {name}"
        for name, share in zip(result.baselines, shares, strict=True)
        if name in ("black", "white")
    )
    if abs(guess - shares[result.baselines.index("black")]) < 0.005:
        return f"✓ Right: the {black.mean():.1%} black pixels get {told}."
    if abs(guess - black.mean()) < 0.005:
        return (
            "✗ That is their share of the pixels. Credit is how far a pixel moves, times how "
            "steeply the score rises with it."
        )
    return "✗ Not so. How far does a black pixel move on its way from black to the image?"


@LESSON.exercise("a function that returns the blurred image, in the shape that came in")
def blur(function, subject, index=0):
    """Compare a blur with the baseline "blur", for a narrow and a wide Gaussian."""
    image = subject.images[index]
    side = image.shape[-1]
    for sigma in (1.0, 3.0):
        answer = checking.array(checking.called(function, image.clone(), sigma), image.shape)
        wanted = baseline(f"blur:{sigma / side}", subject)(image, index)[0].numpy()
        off = np.abs(answer - wanted)
        if off.max() <= ROUNDED:
            continue
        if np.abs(answer / 255 - wanted).max() <= ROUNDED:
            return "✗ Right, but in grey levels: a baseline is in pixel units, from 0 to 1."
        inner = slice(int(4 * sigma) + 1, side - int(4 * sigma) - 1)
        if sigma == 1 and off[:, inner, inner].max() <= ROUNDED:
            return "✗ Right inside, not at the edges: there the last pixel is repeated."
        mixed = gaussian_filter(image.numpy(), sigma, mode="nearest")
        if np.abs(answer - mixed).max() <= ROUNDED:
            return "✗ Red, green and blue ran into each other: blur the rows and the columns only."
        if np.abs(answer - image.numpy()).max() <= ROUNDED:
            return "✗ This is the image itself: return what is blurred, and use sigma."
        return f"✗ Not a Gaussian of {sigma:g} pixels: off by up to {off.max():.3f}."
    return "✓ Right: the same as the baseline “blur” to within half a grey level."


@LESSON.exercise("the widget of the cell above")
def nothing_shared(widget):
    """Look whether black and white share next to none of their most important pixels."""
    result, _ = checking.shown(widget)
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


@LESSON.exercise("the widget of the cell above")
def wins(widget, name):
    """Look whether a baseline's map wins the deletion test that the widget shows."""
    result, state = checking.shown(widget)
    fill = state["fill"]
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
        for row, result, side in zip(axes, self.results, self.untrained, strict=True):
            maps = [result.maps[0, 0], result.untrained[0, 0]]
            maps = maps if side == "right" else maps[::-1]
            row[0].imshow(result.images[0].transpose(1, 2, 0))
            for place, one in zip(row[1:], maps, strict=True):
                end = limit(one, 99)
                place.imshow(part(one, sign), cmap=SIGNED, vmin=-end, vmax=end)
            titles = (result.classes[result.target[0]], "left", "right")
            for place, title in zip(row, titles, strict=True):
                place.set_title(title, fontsize=10)
                place.axis("off")
        figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, hspace=0.2, wspace=0.05)
        words = f"{len(self.results)} images, each with two maps of {sign} values, left and right"
        picture = drawing.svg(figure, f"mystery-{sign}", themed=True)
        return HTML(f'<div role="img" aria-label="{words}">{picture}</div>')


@LESSON.exercise("three words, each 'left' or 'right', from top to bottom")
def untrained(answers, mystery):
    """Compare "left" and "right", one for each pair, with the side of the untrained network."""
    count = len(mystery.untrained)
    sides = [checking.name(one, ("left", "right")) for one in checking.several(answers, count)]
    right = sum(one == side for one, side in zip(sides, mystery.untrained, strict=True))
    if right == 0:
        return (
            "✗ You chose the trained one each time. A neat outline need not be learnt: where the "
            "image has the baseline's colour, no network gives credit."
        )
    if right < count:
        return f"✗ {right} of {count} right. Look for a lattice, and for an outline cut out."
    magnitudes, signed = (
        ", ".join(f"{result.control(measure)[0]:+.2f}" for result in mystery.results)
        for measure in ("absolute", "signed")
    )
    return f"✓ All right. The two of a pair agree {magnitudes} in magnitude, {signed} with sign."
