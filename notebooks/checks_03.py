"""Checks for the exercises of lesson 03: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import checking
import numpy as np
import torch

import reliab_widgets as rw

LESSON = checking.Lesson("03_propagation")
report = LESSON.report
KNOWLEDGE = ("grey-box", "white-box")


@LESSON.exercise("a number of images, such as 20, or their share, such as '20 %'")
def flipped_by_noise(guess, result):
    """Compare a guess with the number of predictions that random noise changes."""
    guess = checking.number(guess)
    guess = guess * result.n if 0 < guess < 1 else guess
    if not 0 <= guess <= result.n:
        raise checking.Unread(f"{guess:g} is not from 0 to {result.n}, the number of images.")
    flips = result.outcomes().flips
    far = guess - flips["random"]
    if abs(far) > max(2, flips["random"] / 2):
        if far < 0:
            return "✗ Too few: some images lie near enough to another class."
        return "✗ Too many: noise has no direction, and the network was trained on varied images."
    return (
        f"✓ Close: random noise changes {flips['random']} of {result.n} predictions, the attack "
        f"{flips['adversarial']}."
    )


@LESSON.exercise("a function (model, images, labels) that returns the attacked images")
def fgsm(function, subject, epsilon):
    """Run the learner's attack on three images, and compare it with `rw.attack`."""
    three = subject[:3]
    images = three.images
    given = checking.called(function, three.predict, images.clone(), three.labels)
    given = torch.tensor(checking.array(given, images.shape), dtype=images.dtype)
    right = rw.attack(three, attack="fgsm", epsilon=epsilon).images
    free = (images > epsilon) & (images < 1 - epsilon)  # where neither 0 nor 1 is in the way
    moved, wanted = (given - images)[free], (right - images)[free]
    if not moved.any():
        return "✗ The images came back as they were: return `attacked`."
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


@LESSON.exercise("the name of a layer, such as 'conv1', or its position in result.layers")
def takes_over(layer, result):
    """Compare a layer's ratio to random noise with the largest one."""
    layer = checking.name(layer, result.layers, positions=True)
    if layer == "probabilities":
        return (
            "✗ Softmax turns logits into 0 or 1: that is the answer itself. Which layer before it?"
        )
    ratio = dict(zip(result.layers, result.ratio(), strict=True))
    here = f"at {layer} the attack moves the features {ratio[layer]:.1f} times as far as noise"
    if ratio[layer] < ratio[result.strongest]:
        return f"✗ Not there: {here}; another layer has more."
    return f"✓ Right: {here}."


@LESSON.exercise("a number of grey levels, such as 8, or a fraction, such as 8/255")
def smallest(answer, subject, index):
    """Compare an epsilon, in grey levels or pixel units, with what bisection finds."""
    answer = checking.number(answer)
    answer = answer * 255 if 0 < answer < 0.2 else answer
    if not 0 < answer <= 255:
        raise checking.Unread(f"{answer:g} is no change that an image can have.")
    found = float(rw.smallest_epsilon(subject, images=[index]).epsilon[0]) * 255
    if answer > found + 1:
        return f"✗ {answer:.3g}/255 changes its prediction, but less is enough."
    if answer < found - 1:
        return f"✗ {answer:.3g}/255 is not enough for BIM with 10 steps."
    return f"✓ Right, within one grey level: bisection finds {found:.1f}/255."


@LESSON.exercise("the position of an image, such as 7, and a class, such as 'cat'")
def targeted(index, target, subject, epsilon):
    """Try to lead one image to a class: FGSM should miss it, PGD should reach it."""
    index = checking.whole(index, 0, len(subject) - 1)
    target = checking.name(target, subject.classes, positions=True)
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


@LESSON.exercise("two names, which may be the same: 'pixel' or 'guided' for each")
def denoisers(nearer, better, behind):
    """Compare two names with the pixel errors and accuracies behind each denoiser."""
    nearer, better = (checking.name(one, tuple(behind)) for one in (nearer, better))
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
        wrong.append("the predictions")
    if wrong:
        return (
            f"✗ Wrong about {' and '.join(wrong)}. Each does what it was trained for: which "
            "training knew of pixels, and which of predictions?"
        )
    return f"✓ Right: {said}."


@LESSON.exercise("'grey-box' or 'white-box'")
def broken(knowledge, subject, denoisers, **images):
    """Attack with this knowledge, and look whether a tenth is right behind any denoiser."""
    knowledge = checking.name(knowledge, KNOWLEDGE)
    left = {
        name: rw.propagation(subject, denoiser=name, knowledge=knowledge, **images).accuracy(
            "adversarial"
        )
        for name in denoisers
    }
    said = ", ".join(f"{share:.0%} right behind {name}" for name, share in left.items())
    if max(left.values()) >= 0.1:
        return f"✗ Not broken: {said}. Which attack knows that there is a denoiser?"
    return f"✓ Broken: {said}."


def _pixel_error(result, kind):
    return float(np.median(result.of(kind)[0])) * 255
