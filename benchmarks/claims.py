"""What the papers that the analyses come from claim, and what was found here: docs/claims.md.

Each row is computed from tables in docs/findings; what decides about a claim is the function below
that stands for it. Sentences are ours, of what abstracts and author code say.
"""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reliab_widgets.ops.statistics.agreement import kendall

HOLDS, FAILS, SMALL = "holds", "does not hold", "not at this size"
Tables = Callable[[str], dict[str, pd.DataFrame]]
"""From the name of a table to its frames, by network."""


class Found(NamedTuple):
    """What was measured about a claim.

    Attributes
    ----------
    number, control : str
        What was found, and what it has to be compared with.
    verdict : str
        Of the three above, perhaps with a reason.
    """

    number: str
    control: str
    verdict: str


class Claim(NamedTuple):
    """One sentence of a paper.

    Attributes
    ----------
    paper, sentence : str
        Who claims what.
    table : str
        Of docs/findings, that decides it.
    n, split : str
        How many images of each network, and which.
    call : str
        What measures it.
    judge : callable
        From the frames of all networks to what was found.
    """

    paper: str
    sentence: str
    table: str
    n: str
    split: str
    call: str
    judge: Callable[[dict[str, pd.DataFrame]], Found]


def _range(values: list[float], digits: int = 2) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _each(frames: dict[str, pd.DataFrame], column: str, **where: Any) -> list[float]:
    """Give one number of each network: that of the row in which columns have these values."""
    return [float(_row(frame, where)[column]) for frame in frames.values()]


def _row(frame: pd.DataFrame, where: dict[str, Any]) -> Any:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame.iloc[0]


def _count(holding: list[bool], holds: str = HOLDS) -> str:
    """Say whether something is so in every network, in none, or in how many."""
    if all(holding):
        return holds
    return FAILS if not any(holding) else f"{FAILS}: in {sum(holding)} of {len(holding)} only"


def _neutral(frames: dict[str, pd.DataFrame]) -> Found:
    lowest, ceiling = _each(frames, "lowest"), _each(frames, "ceiling")
    apart = [high - low >= 0.15 for low, high in zip(lowest, ceiling, strict=True)]
    return Found(
        f"Spearman {_range(lowest)} between the two baselines that agree least",
        f"{_range(ceiling)} of a baseline with itself, masks drawn anew",
        _count(apart),
    )


def _fills(frames: dict[str, pd.DataFrame]) -> Found:
    winners = []
    for frame in frames.values():
        table = frame.set_index("baseline").filter(like="fill ").drop(columns="fill own")
        winners.append(table.idxmax().nunique())
    return Found(
        f"{min(winners)} to {max(winners)} different best baselines under 4 fills",
        "1 if the score did not matter; the same maps under every fill",
        _count([count > 1 for count in winners]),
    )


def _hyper(frames: dict[str, pd.DataFrame]) -> Found:
    lowest = [float(frame["agreement"].min()) for frame in frames.values()]
    ceiling = [float(frame["ceiling"].min()) for frame in frames.values()]
    apart = [high - low >= 0.15 for low, high in zip(lowest, ceiling, strict=True)]
    return Found(
        f"Spearman {_range(lowest)} with the setting that agrees least",
        f"{_range(ceiling)} of the same settings, masks drawn anew",
        _count(apart),
    )


def _last_layer(frames: dict[str, pd.DataFrame]) -> Found:
    rise, random = _each(frames, "rise", attack="bim"), _each(frames, "rise, random", attack="bim")
    above = [here > there for here, there in zip(rise, random, strict=True)]
    verdict = _count([value > 2 for value in rise])
    return Found(
        f"{_range(rise, 0)} times the rms distance of the last convolution",
        f"{_range(random, 0)} times for random signs",
        f"{verdict}, and nearly as much without an attack" if all(above) else verdict,
    )


def _cosine(frames: dict[str, pd.DataFrame]) -> Found:
    last = _each(frames, "cosine, probabilities", attack="bim")
    before = _each(frames, "cosine, conv", attack="bim")
    gone = [here < there / 2 for here, there in zip(last, before, strict=True)]
    return Found(
        f"cosine distance {_range(last)} of the probabilities",
        f"{_range(before)} at the last convolution",
        _count(gone),
    )


def _denoiser(name: str) -> Callable[[dict[str, pd.DataFrame]], Found]:
    def judge(frames: dict[str, pd.DataFrame]) -> Found:
        grey = {"attack": "bim", "knowledge": "grey-box"}
        noise = _each(frames, "input", denoiser=name, **grey)
        raw = _each(frames, "input", denoiser="none", **grey)
        right = _each(frames, "attacked", denoiser=name, **grey)
        clean = _each(frames, "clean", denoiser="none", **grey)
        less = [here < there for here, there in zip(noise, raw, strict=True)]
        failed = [here < there / 2 for here, there in zip(right, clean, strict=True)]
        both = [one and other for one, other in zip(less, failed, strict=True)]
        return Found(
            f"noise {_range(noise, 1)}/255, right {_range(right)}",
            f"noise {_range(raw, 1)}/255 without; right {_range(clean)} on clean images",
            _count(both),
        )

    return judge


def _binwise(method: str) -> Callable[[dict[str, pd.DataFrame]], Found]:
    def judge(frames: dict[str, pd.DataFrame]) -> Found:
        ece = _each(frames, "ece", method=method)
        one = _each(frames, "ece", method="temperature")
        floor = _each(frames, "floor", method=method)
        better = [here < there for here, there in zip(ece, one, strict=True)]
        gain = [100 * (there - here) for here, there in zip(ece, one, strict=True)]
        noise = [100 * value for value in floor]
        small = f"{SMALL}: better in {sum(better)} of {len(better)}"
        return Found(
            f"ECE lower by {_range(gain)} points than with one temperature",
            f"{_range(noise)} points would a perfectly calibrated network show",
            small if any(better) and max(map(abs, gain)) < 2 * max(noise) else _count(better),
        )

    return judge


def _oracle(frames: dict[str, pd.DataFrame]) -> Found:
    rank = _each(frames, "by batch", criterion="taylor")
    random = [abs(value) for value in _each(frames, "by batch", criterion="random")]
    return Found(
        f"Spearman {_range(rank)} with the size of the change, batch by batch",
        f"at most {max(random):.2f} of random scores",
        _count([value > 0.93 for value in rank]),
    )


def _free(frames: dict[str, pd.DataFrame]) -> Found:
    lost, random = [], []
    for frame in frames.values():
        first, last = frame.iloc[0], frame.iloc[-1]
        lost.append(100 * float(first["taylor"] - last["taylor"]))
        random.append(100 * float(first["random"] - last["random"]))
    return Found(
        f"{_range(lost, 1)} points of accuracy lost at 40 % fewer multiply-adds",
        f"{_range(random, 1)} points when removed at random, trained alike",
        HOLDS if max(lost) < 0.5 else f"{SMALL}: 160 short steps, small networks",
    )


def _rankings(frames: dict[str, pd.DataFrame], column: str) -> np.ndarray:
    """Give the numbers of a column: one row for each setting, one column for each network."""
    return np.array([frame[column].to_numpy(float) for frame in frames.values()]).T


def _between(rows: np.ndarray) -> list[float]:
    """Give Kendall's tau of each pair of settings: whether they rank the networks alike."""
    return list(kendall(rows)[np.triu_indices(len(rows), 1)])


def _ranks_alike(frames: dict[str, pd.DataFrame]) -> Found:
    divergence, attacked = (_rankings(frames, it) for it in ("divergence", "attacked"))
    calibrated = _rankings(frames, "calibrated")
    pairs = list(zip(-divergence, attacked, strict=True))
    found = [float(kendall(np.array(pair))[0, 1]) for pair in pairs]
    after = [
        float(kendall(np.array(pair))[0, 1]) for pair in zip(-calibrated, attacked, strict=True)
    ]
    control = _between(attacked)
    return Found(
        f"Kendall's tau {_range(found)} with the ranking by accuracy under PGD; calibrated "
        f"{_range(after)}",
        f"{_range(control)} between rankings by that accuracy, other steps and images",
        _count([tau >= min(control) for tau in found]),
    )


def _same_settings(frames: dict[str, pd.DataFrame]) -> Found:
    found, control = (_between(_rankings(frames, column)) for column in ("divergence", "attacked"))
    return Found(
        f"Kendall's tau {_range(found)} between rankings under 3 numbers of steps x 2 draws",
        f"{_range(control)} of the accuracy under PGD",
        HOLDS if min(found) >= 0.8 and min(found) >= min(control) else FAILS,
    )


def _faster(frames: dict[str, pd.DataFrame]) -> Found:
    mine, attack = (_rankings(frames, it).sum(1) for it in ("seconds", "seconds, attack"))
    ratio = list(mine / attack)
    return Found(
        f"{_range(ratio, 1)} times the processor's seconds of PGD on the same images, from two "
        "starts and with its controls",
        "1: PGD of as many steps, from one start",
        _count([it < 1 for it in ratio]),
    )


_BRUNKE, _YOON = "Brunke et al. 2020", "Yoon et al. 2019"
_JI, _MOLCHANOV, _YU = "Ji et al. 2019", "Molchanov et al. 2019", "Yu et al. 2019"
_PSI = "rw.landscape(subject, epsilon=1 / 255, images=24).mean()"
_BIM = 'rw.propagation(subject, attack="bim", images=128)'
CLAIMS = (
    Claim(
        _BRUNKE,
        "Baselines that could all be called neutral give different maps.",
        "masks",
        "3",
        "test",
        'rw.saliency(subject, method="rise", masks=3200, baselines=...).lowest()',
        _neutral,
    ),
    Claim(
        _BRUNKE,
        "The baseline that a score fills with decides which map is the best.",
        "gradients",
        "64",
        "test",
        "rw.saliency(subject, images=64, fills=...).wins()",
        _fills,
    ),
    Claim(
        _BRUNKE,
        "Settings of a method change its maps.",
        "settings",
        "3",
        "test",
        'rw.saliency(subject, method="rise", hyper={"grid": (2, 8)})',
        _hyper,
    ),
    Claim(
        _YOON,
        "The distance from the clean image rises sharply at the last linear layer.",
        "attacks",
        "128",
        "test",
        _BIM,
        _last_layer,
    ),
    Claim(
        _YOON,
        "The cosine distance disappears at the last layer.",
        "attacks",
        "128",
        "test",
        _BIM,
        _cosine,
    ),
    *(
        Claim(
            _YOON,
            f"A denoiser lessens the noise and does not bring the accuracy back ({kind}).",
            "denoisers",
            "128",
            "test",
            f'rw.propagation(subject, attack="bim", denoiser="{name}", images=128)',
            _denoiser(name),
        )
        for name, kind in (("pixel", "trained on pixels"), ("guided", "trained on logits"))
    ),
    *(
        Claim(
            _JI,
            f"{words} improve on one temperature, consistently.",
            "calibrations",
            "2,000",
            "fitted on validation, test",
            f'rw.reliability(subject, method="{method}")',
            _binwise(method),
        )
        for words, method in (
            ("Temperatures for each bin", "binwise"),
            ("Those fitted on augmented images", "binwise-augmented"),
        )
    ),
    Claim(
        _MOLCHANOV,
        "Taylor scores correlate with the true change of the loss by more than 93 %.",
        "oracle",
        "100 or 400",
        "validation",
        "rw.pruning(subject).importance(rw.oracle(subject.validation[:400]))",
        _oracle,
    ),
    Claim(
        _MOLCHANOV,
        "40 % of the multiply-adds can go and the accuracy stays (-0.02 points).",
        "tuning",
        "2,000",
        "test",
        'rw.pruning(subject, levels=(0.4,), scope="flops", rounds=4, finetune=40, train=...)',
        _free,
    ),
    *(
        Claim(_YU, sentence, "landscapes", "2 x 24", "test", _PSI, judge)
        for sentence, judge in (
            (
                "The largest divergence ranks networks of all structures as attacks do.",
                _ranks_alike,
            ),
            ("It does not depend on the settings of a test, as attacks do.", _same_settings),
            ("It is faster than attacks.", _faster),
        )
    ),
)


def page(tables: Tables) -> str:
    """Write the table of all claims; what was not measured yet is said."""
    rows = []
    for claim in CLAIMS:
        frames = tables(claim.table)
        found = claim.judge(frames) if frames else Found("not measured yet", "", "–")
        call = f"`{claim.call}`"
        of = f"[{claim.table}](findings.md#{claim.table})" if frames else claim.table
        n = f"{claim.n} x {len(frames)}" if frames else ""
        rows.append([claim.paper, claim.sentence, found.number, n, claim.split])
        rows[-1] += [found.control, f"**{found.verdict}**", call, of]
    heads = ["paper", "claim", "found here", "n", "split", "control", "verdict"]
    heads += ["measured by", "table"]
    lines = [heads, ["---"] * len(heads), *rows]
    return _HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)


_HEAD = """\
# What papers claim, and what was found here

Written by `make findings` from the tables in `findings/`. Claims are in our words, after abstracts
and author code; networks are those of the zoo, 32 x 32 pixels, so a verdict is about this size.
"n" is images x networks, a range is that over networks. "Not at this size" means that the
difference is within what chance shows here, or that our training is far from the paper's.

"""


def fingerprint(function: Callable[..., object]) -> str:
    """Hash what a function does: its source without comments, docstring and layout.

    What it calls is not in it.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    body = tree.body[0]
    assert isinstance(body, ast.FunctionDef)
    if ast.get_docstring(body) is not None:
        del body.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def measured_by(folder: Path) -> dict[str, str]:
    """Read the fingerprint that each file of findings was measured with, by file name."""
    path = folder / "measured_by.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def note(folder: Path, file: str, function: Callable[..., object]) -> None:
    """Write down what code a file of findings was measured with."""
    known = measured_by(folder) | {file: fingerprint(function)}
    text = json.dumps(dict(sorted(known.items())), indent=0) + "\n"
    (folder / "measured_by.json").write_text(text, encoding="utf-8")
