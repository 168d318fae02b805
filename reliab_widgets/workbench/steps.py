"""What becomes a step of the story: a choice with what the network says, and a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..analyses import ANALYSES
from ..core.analysis import arguments
from ..core.result import BEHIND, Result
from ..core.wording import percent
from ..ui.explorer import Explorer
from .bench import CLEAN, GIVEN, Bench
from .story import Step


def chosen(bench: Bench) -> Step:
    """Return the step of what is chosen: what the network says of the image.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> chosen(Bench(rw.demo("resnet20")[:4])).text
    'image 0: cat 100 %'
    """
    p, classes, subject = (
        bench.probabilities(),
        bench.given.classes,
        bench.subject(index=bench.index),
    )
    said = f"{classes[int(p.argmax())]} {percent(p.max(), 0)}"
    what = [it for it in bench.chosen if it not in (GIVEN, CLEAN)]
    if bench.temperature != 1:
        what.append(f"T = {bench.temperature:.2f}")
    text = ", ".join([f"image {bench.index}", *what])
    truth = bench.given.true_class(bench.index)
    truth = f"true {truth}" if truth else "its true class is not known"
    sentence = f"{subject.name} says of image {bench.index}: {said} ({truth})."
    code = (
        f"subject = {subject.code}\n"
        f"p = subject.predict(subject.images[{bench.index}:{bench.index + 1}]).softmax(1)[0]\n"
        'print(subject.classes[p.argmax()], f"{p.max():.1%}")'
    )
    return Step("chosen", f"{text}: {said}", sentence, bench.state(), code)


def found(word: str, explorer: Explorer, bench: Bench) -> Step:
    """Return the step of what an analysis has found."""
    work = explorer.work
    state = {**bench.state(), "tab": word, "settings": explorer.state()}
    index: Sequence[int] = getattr(work.result, "index", ())
    of = f" of image {int(index[0])}" if len(index) == 1 else ""
    text = f"{ANALYSES[word].lower()}{of}: {work.said.partition('. ')[0]}"
    code = computed(word, work.result, work.shown.others, explorer.views())
    return Step(word, text, work.said, state, code)


def paragraph(step: Step) -> str:
    """Return what was found, with what it was found of.

    Examples
    --------
    >>> paragraph(Step("saliency", "saliency of image 3: The maps agree", "The maps agree. n = 1."))
    'Saliency of image 3: The maps agree. n = 1.'
    """
    if step.kind == "chosen":
        return step.sentence
    return f"{step.text.partition(': ')[0].capitalize()}: {step.sentence}"


def computed(word: str, result: Result, others: Sequence[Result], views: Mapping[str, Any]) -> str:
    """Return source text that computes a result and those shown behind, and tells and writes it.

    It prints what they say, and writes picture and numbers to files named after ``step``, which
    the text does not set.

    Parameters
    ----------
    word : str
        The analysis.
    result : Result
        What is seen.
    others : sequence of Result
        What is shown behind, and the control of the difference.
    views : mapping
        What of it is seen.
    """
    kinds = type(result).views
    seen = {n: it for n, it in views.items() if n in kinds and it != kinds[n].default}
    lines = [result.code().rstrip(), f"shown = dict({', '.join(arguments(result, kinds, seen))})"]
    lines.append("print(result.reading(**shown))")
    behind = ""
    for at, other in zip(BEHIND, others, strict=False):
        lines.append(other.code().rstrip().replace("\nresult = ", f"\n{at} = "))
        compared = "result" if at == "pinned" else "control"
        lines.append(f"print({compared}.against(pinned, **shown))")
        behind += f"{at}={at}, "
    lines.append(f'result.plot({behind}**shown).savefig(f"{{step}}_{word}.svg")')
    lines.append(f'result.to_frame().to_csv(f"{{step}}_{word}.csv", index=False)')
    return "\n".join(lines)
