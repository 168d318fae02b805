"""Checks for the exercises of lesson 11: each calls a learner's function and looks at its Subject.

They compare with the answers of the lesson's own network; no answer is stored here.
"""

import checking
import torch

import reliab_widgets as rw

LESSON = checking.Lesson("11_bring_your_own_model")
report = LESSON.report
HOW = "a function without arguments that returns rw.Subject(...)"


@LESSON.exercise(HOW)
def channels(bring, few):
    """Look whether grey images reached a network that wants three channels."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    grey = few.images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    if not torch.allclose(made.images, grey, atol=1e-4):
        return "✗ It works, but these are not the grey images: each channel should hold the same."
    return _same(made, few.with_images(grey)) or f"✓ Right: {_accuracy(made)}."


@LESSON.exercise(HOW)
def softmax(bring, few):
    """Look whether a network gives logits, and the same ones as without a softmax."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    if made.network.kind != "logits":
        return "✗ Still a note: " + " · ".join(made.notes)
    return _same(made, few) or "✓ Right: these are the logits that the network was trained with."


@LESSON.exercise(HOW)
def dropout(bring, few):
    """Look whether a network gives one image one answer."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    if made.network.draws:
        return f"✗ It still draws random numbers, {_accuracy(made)}. What switches them off?"
    return _same(made, few) or f"✓ Right: two passes agree, {_accuracy(made)}."


@LESSON.exercise(HOW)
def outputs(bring, few):
    """Look whether the part of the output that was named holds the logits."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    return _same(made, few) or f"✓ Right: {made.network.output!r} it is, {_accuracy(made)}."


@LESSON.exercise(HOW)
def gradients(bring, few):
    """Look whether gradients reach the image."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    if not made.network.gradients:
        return f"✗ No gradient reaches the image: {made.network.blocked}."
    if wrong := _same(made, few):
        return wrong
    slope = rw.saliency(made, index=0, method="gradient", fills=(), untrained=False).maps
    return f"✓ Right: the gradient at image 0 is up to {abs(slope).max():.2g} per pixel."


@LESSON.exercise(HOW)
def stranger(bring, few):
    """Look whether a stranger's network is right, on images that are still pictures."""
    made = _made(bring, few)
    if isinstance(made, str):
        return made
    if torch.allclose(made.images, few.images.flip(1), atol=1e-4):
        return "✗ The pictures are blue first now: let the network turn them, not the images."
    if not torch.allclose(made.images, few.images, atol=1e-4):
        return "✗ The images are others: hand over images, red first and from 0 to 1."
    if made.classes != few.classes:
        return "✗ It works, but its classes have no names: pass classes=subject.classes."
    return _same(made, few) or f"✓ Right: {_accuracy(made)}, as its author says."


def _made(bring, few):
    """Return the Subject that a function makes, or what stopped it, whole."""
    if not callable(bring):
        raise checking.Unread(f"{checking.seen(bring)} is no function.")
    if not isinstance(few, rw.Subject):
        raise checking.Unread(f"{checking.seen(few)} is no Subject.")
    try:
        made = bring()
    except Exception as error:  # the error is what is to be read
        return f"✗ {type(error).__name__}: {' '.join(str(error).split())}"
    if not isinstance(made, rw.Subject):
        raise checking.Unread(f"{checking.seen(made)} came back, and no Subject.")
    if len(made) != len(few):
        return f"✗ {len(made)} images came back, not {len(few)}."
    return made


def _same(made, wanted):
    """Say that a network's answers are not those that are wanted; nothing if they are."""
    if made.logits.shape == wanted.logits.shape:
        gap = (made.logits.softmax(1) - wanted.logits.softmax(1)).abs().max()
        if gap < 0.01:
            return ""
    return f"✗ It works, and {_accuracy(made)}; the network can do {_accuracy(wanted)}."


def _accuracy(made):
    right = int((made.logits.argmax(1) == made.labels).sum())
    return f"{right} of {len(made)} images right"
