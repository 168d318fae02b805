"""Checks for the exercises of lesson 05: each takes an answer and says what it is worth.

They recompute what they compare with from the learner's own objects; no answer is stored here.
"""

import checking
import numpy as np
import torch

import reliab_widgets as rw

LESSON = checking.Lesson("05_robust_or_hidden")
report = LESSON.report
LEFT = 0.05  # a network with so many right answers left is called broken
FAR = 0.15  # how far a guessed share may be from the true one


@LESSON.exercise("'A', 'B' or 'C'")
def withstands(letter, three):
    """Compare a letter with the network of which the strongest attack leaves most."""
    letter = checking.name(letter, tuple(three))
    left = {one: float(run.accuracy()[-1]) for one, run in three.items()}
    run, most = three[letter], max(left.values())
    if left[letter] == most:
        told = ", ".join(f"{share:.0%} of {one}" for one, share in left.items())
        return (
            f"✓ Right: the strongest of {len(run.attacks)} attacks leaves {told} right "
            f"({run.epsilons[-1] * 255:g}/255, {run.n} images)."
        )
    printed = next(name for name in run.attacks if name.startswith("pgd"))
    seems = float(run.accuracy(printed)[-1])
    if seems > most:
        return (
            f"✗ So it seems: an attack leaves {seems:.0%} right. Noise of its size leaves "
            f"{run.accuracy('noise')[-1]:.0%}. Was the attack withstood, or did it do nothing?"
        )
    return f"✗ {letter} is broken by the attack in the table: {seems:.0%} are left."


@LESSON.exercise("a number of images, such as 5")
def silent(count, subject):
    """Compare a count with the number of images on which the cross-entropy has no slope."""
    count, n = checking.whole(count, 0, len(subject)), len(subject)
    flat = int(_flat(_entropy, subject).sum())
    if count == flat:
        return (
            f"✓ Right: for {flat} of {n} images the slope is exactly 0 in every pixel. An attack "
            "that follows its sign stands still there."
        )
    if count == n - flat:
        return "✗ That many have a slope. Count the others."
    return "✗ Not so: compare every slope with 0, then ask of each image whether all are."


@LESSON.exercise("a function (logits, labels) that returns one number for each image")
def scale_free(function, subject):
    """Try a loss on logits of every size: does it lead away from the label, and never drown?"""
    n, classes = 8, 5
    labels = torch.arange(n) % classes
    logits = torch.linspace(-1, 1, n * classes).view(n, classes).sin() * 3
    right = logits.scatter(1, labels[:, None], 9.0)  # all are answered rightly, by far
    best = right.scatter(1, labels[:, None], -torch.inf).argmax(1)
    slope = _slope(function, right, labels)
    own = slope.gather(1, labels[:, None])[:, 0]
    if not slope.any():
        return (
            "✗ It is the same whatever the logits are. Is the largest logit that of the label "
            "itself? Leave the label out."
        )
    if (own >= 0).any():
        return "✗ That is the wrong way: the loss must fall where the logit of the label rises."
    if (slope.gather(1, best[:, None]) <= 0).any():
        return "✗ The loss must rise with the largest of the other logits."
    drowned = int((_slope(function, 30 * right, labels) == 0).all(1).sum())
    if drowned:
        return (
            f"✗ With logits 30 times as large its slope is exactly 0 on {drowned} of {n} images: "
            "it drowns as the cross-entropy does. Subtract logits, and take no exponential."
        )
    flat, before = (int(_flat(loss, subject).sum()) for loss in (function, _entropy))
    if flat:
        return f"✗ On {flat} of {len(subject)} images it has no slope."
    return (
        f"✓ Right: there is a slope on all {len(subject)} images; the cross-entropy has none on "
        f"{before} of them."
    )


@LESSON.exercise("what rw.attack returns")
def unmasked(attacked, subject, epsilon):
    """Look whether changes of at most epsilon leave hardly a right answer."""
    images = getattr(attacked, "images", None)
    if not isinstance(images, torch.Tensor) or images.shape != subject.images.shape:
        raise checking.Unread(f"{checking.seen(attacked)} is no Subject with these images.")
    change = (images - subject.images).abs().max().item()
    if change > epsilon * 1.001:
        return f"✗ A pixel moved by {change * 255:.3g}/255, and {epsilon * 255:.3g}/255 is allowed."
    if images.min() < 0 or images.max() > 1:
        return "✗ That left [0, 1]: these are no images."
    left, noise = (
        _right(subject, images),
        _right(subject, rw.noisy(subject, epsilon=epsilon).images),
    )
    said = f"{left} of {len(subject)} still right (after noise of that size {noise})"
    if left > LEFT * len(subject):
        return f"✗ Not broken: {said}. Which loss has a slope here?"
    return f"✓ Broken: {said}."


@LESSON.exercise("the name of one of the tests")
def gives_away(test, result):
    """Look whether a test of the verdict found that something is hidden."""
    verdict = result.verdict
    found = verdict.tests[verdict.names.index(checking.name(test, verdict.names))]
    if not found.fired:
        return (
            f"✗ This one finds nothing ({found.number} of {found.n} images). Which attack broke "
            "this network, and which did not?"
        )
    fired = sum(one.fired for one in verdict.tests)
    return f"✓ It does: {found}. Of {len(verdict.tests)} tests {fired} find something."


@LESSON.exercise("a share from 0 to 1, or in per cent: 0.2 or '20 %'")
def smoothed(guess, certificate):
    """Compare a guess with the share of images that a smoothed network answers rightly."""
    guess, found = checking.share(guess), certificate.accuracy()
    n, none = len(certificate.index), certificate.abstained
    if abs(guess - found) > FAR:
        if guess > found:
            return (
                f"✗ Fewer. The noise has a standard deviation of {certificate.sigma * 255:.0f} "
                "grey levels. Has this network ever seen such images?"
            )
        return "✗ More: with this noise an image can still be recognised."
    return (
        f"✓ Close: it is right on {round(found * n)} of {n} images, wrong on "
        f"{n - none - round(found * n)}, and gives no answer to {none}."
    )


@LESSON.exercise("a number of grey levels, such as 2.5")
def in_levels(answer, certificate, subject):
    """Compare grey levels with the largest provable radius, spread evenly over an image."""
    answer, values = checking.number(answer), subject.images[0].numel()
    length, pixels = certificate.largest * 255, subject.images[0, 0].numel()
    wanted = length / values**0.5
    if np.isclose(answer, wanted, rtol=0.05):
        return (
            f"✓ Right: {wanted:.2g} of 255 grey levels, if every number of the image moves alike. "
            f"{certificate.draws} draws prove no more, whatever the network."
        )
    for other, hint in (
        (wanted / 255, "Right, but in pixel units: a grey level is 1/255"),
        (length, "That is the length of the whole change: say how far each of its numbers goes"),
        (length / pixels**0.5, "A pixel has three numbers, one for each colour"),
        (length / values, "Squares add up to the square of the length, not the sizes to it"),
    ):
        if np.isclose(answer, other, rtol=0.02):
            return f"✗ {hint}."
    return "✗ Not so: the length is the root of the sum of the squares of all numbers."


@LESSON.exercise("'over' or 'under'")
def promise(guess, result):
    """Compare a guess, "over" or "under", with mean confidence minus accuracy."""
    said = checking.name(guess, ("over", "under", "over-confident", "under-confident"))
    gap = result.metric("confidence", "before") - result.metric("accuracy", "before")
    if (gap > 0) != said.startswith("over"):
        return (
            "✗ The other way round. Its training images were attacked, and it was wrong on many "
            "of them to the end: what does that teach about being sure?"
        )
    return f"✓ Right: confidence minus accuracy is {gap * 100:+.1f} points."


def _entropy(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def _slope(loss, at, labels):
    """Return the slope of a learner's loss where logits are given, in their shape."""
    at = at.clone().requires_grad_()
    given = checking.called(loss, at, labels)
    checking.array(given, labels.shape)
    if not (isinstance(given, torch.Tensor) and given.requires_grad):
        raise checking.Unread("It has no slope: compute with the logits as they come in.")
    (slope,) = torch.autograd.grad(given.sum(), at)
    checking.array(slope, at.shape)
    return slope


def _flat(loss, subject):
    """Tell for which images a loss has a slope of exactly 0 in every pixel."""
    images = subject.images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(subject.predict(images), subject.labels).sum(), images)
    return (slope == 0).flatten(1).all(1)


def _right(subject, images):
    return int((subject.predict(images).argmax(1) == subject.labels).sum())
