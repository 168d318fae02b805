"""The chosen image, large, and what the network says of it."""

from __future__ import annotations

import html

import numpy as np

from ..core.wording import percent, typeset
from ..ui.thumbnails import uri
from .bench import Bench

SIDE = 168
"""Pixels of the image."""
BARS = 3
"""Classes that are shown."""


def shown(bench: Bench) -> str:
    """Return image and prediction as HTML; the ticks are the probabilities before the variant.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> "Image 0" in shown(Bench(rw.demo("resnet20")[:4]))
    True
    """
    classes = bench.given.classes
    truth, true = int(bench.given.labels[bench.index]), bench.given.true_class(bench.index)
    p, before = bench.probabilities(), bench.probabilities(before=True)
    answer, first = int(p.argmax()), int(before.argmax())
    changed = bench.subject(index=bench.index).name != bench.given.name and not bench.is_plain
    right = answer == truth or not true
    mark = f"{'✓' if right else '✗'} " * bool(true)
    said = (
        f'<b class="{"" if right else "rw-bad"}">{mark}'
        f"{html.escape(classes[answer])} {percent(p[answer], 0)}</b>"
    )
    about = f"true {true}" if true else "true class not known"
    if changed:
        said += f" · before: {html.escape(classes[first])} {percent(before[first], 0)}"
    name = f"Image {bench.index} · {about}"
    rows = []
    order = list(dict.fromkeys([*np.argsort(-p, kind="stable")[:BARS].tolist(), truth]))[:4]
    for k in order:
        colour = "orange" if k == answer and not right else "blue"
        tick = f'<i style="left: {100 * before[k]:.1f}%"></i>' if changed else ""
        rows.append(
            f"<tr><td>{html.escape(classes[k])}</td><td><div class='rw-bar'>"
            f'<span style="width: {100 * p[k]:.1f}%; background: var(--rw-{colour})"></span>{tick}'
            f"</div></td><td>{percent(p[k], 0)}</td></tr>"
        )
    notes = ["tick: before"] if changed else []
    recipe = bench.variants.get(bench.image)
    if recipe is not None and recipe.size:
        notes.append(f"{recipe.size} of white")
    if bench.temperature != 1:
        notes.append(f"calibrated, T = {bench.temperature:.2f}")
    legend = f'<div class="rw-muted">{" · ".join(notes)}</div>' if notes else ""
    body = (
        f'<div class="rw-side"><img src="{uri(bench.pixels())}" alt="{html.escape(name)}" '
        f'width="{SIDE}">'
        f"<div><b>Image {bench.index}</b> · {html.escape(about)}</div>"
        f"<div>{said}</div><table>{''.join(rows)}</table>{legend}</div>"
    )
    return typeset(body)
