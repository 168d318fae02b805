"""Checks for the exercises of lesson 03: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import numpy as np
import torch

import reliab_widgets as rw

OPEN = "○ Not answered yet: put your answer in place of the dots."


def flipped_by_noise(guess, result):
    """Compare a guess with the number of answers that random noise changes."""
    if guess is ...:
        return OPEN
    if not 0 <= guess <= result.n:
        return f"✗ There are {result.n} images: guess a number from 0 to {result.n}."
    flips = result.outcomes().flips
    far = guess - flips["random"]
    verdict = "✓ Close" if abs(far) <= 10 else f"✗ Too {'many' if far > 0 else 'few'}"
    return (
        f"{verdict}: random noise flips {flips['random']} of {result.n} answers, the attack "
        f"{flips['adversarial']}."
    )


def fgsm(function, subject, epsilon):
    """Run the learner's attack on three images, and compare it with `rw.attack`."""
    if ... in function.__code__.co_consts:
        return OPEN
    three = subject[:3]
    images = three.images
    try:
        given = function(three.predict, images.clone(), three.labels)
    except Exception as error:  # whatever a learner's function raises is a hint to the learner
        return f"✗ It stopped with {type(error).__name__}: {error}"
    if not isinstance(given, torch.Tensor) or given.shape != images.shape:
        return f"✗ Return images of the shape that came in, {tuple(images.shape)}."
    given = given.detach()
    right = rw.attack(three, attack="fgsm", epsilon=epsilon).images
    free = (images > epsilon) & (images < 1 - epsilon)  # where neither 0 nor 1 is in the way
    moved, wanted = (given - images)[free], (right - images)[free]
    if not torch.allclose(moved.abs(), wanted.abs(), atol=1e-4):
        return (
            f"✗ A pixel moves by {moved.abs().mean() * 255:.3g} grey levels on average; every "
            f"one should by {epsilon * 255:.3g}: of the slope only its sign counts."
        )
    alike = (moved.sign() == wanted.sign()).float().mean()
    if alike < 0.01:
        return "✗ That is downhill: the loss gets smaller. Go with the slope, not against it."
    if alike < 0.99:
        return (
            f"✗ Only {alike:.0%} of the pixels go the right way: take the loss of the logits that "
            "the model gives for these images, at these labels."
        )
    outside = int(((given < 0) | (given > 1)).sum())
    if outside:
        return f"✗ The direction is right, but {outside} pixels left [0, 1]: clip them."
    if not torch.allclose(given, right, atol=1e-4):
        return "✗ The direction is right. Clip to [0, 1] after the step, and nothing else."
    before, after = (
        ", ".join(subject.classes[answer] for answer in subject.predict(it).argmax(1))
        for it in (images, given)
    )
    return f"✓ Right: it is what rw.attack makes. Answers before: {before}; after: {after}."


def takes_over(layer, result):
    """Compare a layer's ratio to random noise with the largest one."""
    if layer is ...:
        return OPEN
    if layer not in result.layers:
        return f"✗ {layer!r} is none of {', '.join(result.layers)}."
    if layer == "probabilities":
        return (
            "✗ Softmax turns logits into 0 or 1: that is the answer itself. Which layer before it?"
        )
    ratio = dict(zip(result.layers, result.ratio(), strict=True))
    here = f"at {layer} the attack moves the features {ratio[layer]:.1f} times as far as noise"
    if ratio[layer] < ratio[result.strongest]:
        return f"✗ Not there: {here}; another layer has more."
    return f"✓ Right: {here}."


def smallest(answer, subject, index):
    """Compare an epsilon, in grey levels, with what bisection finds for one image."""
    if answer is ...:
        return OPEN
    if 0 < answer < 0.2:
        return "✗ Answer in grey levels: 8 for 8/255."
    found = float(rw.smallest_epsilon(subject, images=[index]).epsilon[0]) * 255
    if answer > found + 1:
        return f"✗ {answer}/255 flips it, but less is enough."
    if answer < found - 1:
        return f"✗ {answer}/255 is not enough for BIM with 10 steps."
    return f"✓ Right, within one grey level: bisection finds {found:.1f}/255."


def targeted(index, target, subject, epsilon):
    """Try to lead one image to a class: FGSM should miss it, PGD should reach it."""
    if index is ... or target is ...:
        return OPEN
    if target not in subject.classes:
        return f"✗ {target!r} is none of {', '.join(subject.classes)}."
    one = subject[[index]]
    clean = subject.classes[one.logits.argmax()]
    if clean == target:
        return f"✗ Image {index} is called {target} without any attack: choose another one."
    fgsm, pgd = (
        subject.classes[rw.attack(one, attack=name, target=target, epsilon=epsilon).logits.argmax()]
        for name in ("fgsm", "pgd")
    )
    said = f"image {index}, {clean}: FGSM makes it {fgsm}, PGD {pgd}"
    if fgsm == target:
        return f"✗ One step is enough here ({said}). Choose another image or another target."
    if pgd != target:
        return f"✗ Ten steps are not enough either ({said}). Choose another image or target."
    return f"✓ There: {said}."


def denoisers(nearer, better, behind):
    """Compare two names with the pixel errors and accuracies behind each denoiser."""
    if nearer is ... or better is ...:
        return OPEN
    for name in (nearer, better):
        if name not in behind:
            return f"✗ {name!r} is none of {', '.join(behind)}."
    error = {name: _pixel_error(result, "adversarial") for name, result in behind.items()}
    share = {name: result.accuracy("adversarial") for name, result in behind.items()}
    said = "; ".join(
        f"behind {name} {error[name]:.1f} grey levels and {share[name]:.0%} right"
        for name in behind
    )
    said += f" (without {_pixel_error(next(iter(behind.values())), 'undefended'):.1f})"
    wrong = []
    if nearer != min(error, key=error.__getitem__):
        wrong.append("the pixels")
    if better != max(share, key=share.__getitem__):
        wrong.append("the answers")
    return f"✗ Wrong about {' and '.join(wrong)}: {said}." if wrong else f"✓ Right: {said}."


def broken(results):
    """Look whether no denoiser is left with a tenth of the answers."""
    if results is ...:
        return OPEN
    left = {name: result.accuracy("adversarial") for name, result in results.items()}
    said = ", ".join(f"{share:.0%} right behind {name}" for name, share in left.items())
    if max(left.values()) >= 0.1:
        return f"✗ Not broken: {said}. Which attack knows that there is a denoiser?"
    return f"✓ Broken: {said}."


def _pixel_error(result, kind):
    return float(np.median(result.of(kind)[0])) * 255
