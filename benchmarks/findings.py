"""`make findings`: measure the classifiers; docs/findings.md and docs/claims.md tell of it.

The lessons show two small networks, so that they stay quick; what they say about the five rests on
these tables. Each table of each network is kept as soon as it is there, in docs/findings.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import reliab_widgets as rw
from benchmarks import claims
from reliab_widgets.zoo import cifar10, samples

HOME = Path(__file__).parents[1] / "docs"
ATTACKS: dict[str, dict[str, Any]] = {
    "fgsm": {},
    "bim": {},
    "mim": {},
    "pgd": {},
    "pgd-l2": {"epsilon": 0.5},
    "deepfool": {"steps": 50},
}
NEUTRAL = ("black", "white", "mean", "blur", "uniform")
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
THINNER = (0.1, 0.2, 0.3, 0.4)

Rows = Iterable[dict[str, Any]]


def attacks(subject: rw.Subject, data: Path) -> Rows:
    """Attacks of 8/255 (pgd-l2: 0.5 in all), 10 steps, on 128 test images; nothing in front.

    Accuracies of the clean images, of random signs of the same size and of the attacked images;
    how often the rms distance at the last Linear layer is that of the random signs, with its 95 %
    interval; how often it is that at the last convolution, for the attack and for the random signs;
    the cosine distances of the attacked images.
    """
    for attack, knobs in ATTACKS.items():
        result = rw.propagation(subject, attack=attack, images=128, **knobs)
        conv, linear = _last(result, "Conv2d"), _last(result, "Linear")
        last = result.layers.index("probabilities")
        adversarial, random = _medians(result, "adversarial"), _medians(result, "random")
        cosine = _medians(result, "adversarial", "cosine")
        low, high = result.interval()[:, linear]
        yield {
            "attack": attack,
            "clean": result.accuracy("clean"),
            "random": result.accuracy("random"),
            "attacked": result.accuracy("adversarial"),
            "ratio": result.ratio()[linear],
            "low": low,
            "high": high,
            "rise": adversarial[linear] / adversarial[conv],
            "rise, random": random[linear] / random[conv],
            "cosine, conv": cosine[conv],
            "cosine, Linear": cosine[linear],
            "cosine, probabilities": cosine[last],
        }


def denoisers(subject: rw.Subject, data: Path) -> Rows:
    """What a denoiser in front of the classifier gives back: 128 test images, 8/255, 10 steps.

    The attack sees the classifier only (grey-box) or the denoiser too (white-box). Accuracies of
    clean and of attacked images behind the denoiser, and of random signs without it; medians of
    the distances of the attacked images from the clean ones: rms at the input in 1/255, relative
    at the last convolution and the last Linear layer, and cosine there and of the probabilities.
    """
    settings = [(attack, "none", "grey-box") for attack in ("fgsm", "bim", "mim")]
    for name in ("pixel", "guided"):
        settings += [(attack, name, "grey-box") for attack in ("fgsm", "bim", "mim")]
        settings += [("bim", name, "white-box")]
    for attack, denoiser, knowledge in settings:
        result = rw.propagation(
            subject, attack=attack, denoiser=denoiser, knowledge=knowledge, images=128
        )
        conv, linear = _last(result, "Conv2d"), _last(result, "Linear")
        relative = _medians(result, "adversarial", "relative")
        cosine = _medians(result, "adversarial", "cosine")
        yield {
            "attack": attack,
            "denoiser": denoiser,
            "knowledge": knowledge,
            "clean": result.accuracy("clean" if denoiser == "none" else "clean-denoised"),
            "attacked": result.accuracy("adversarial"),
            "random": result.accuracy("random"),
            "input": 255 * _medians(result, "adversarial")[0],
            "relative, conv": relative[conv],
            "relative, Linear": relative[linear],
            "cosine, conv": cosine[conv],
            "cosine, Linear": cosine[linear],
            "cosine, probabilities": cosine[result.layers.index("probabilities")],
        }


def masks(subject: rw.Subject, data: Path) -> Rows:
    """RISE with 3,200 masks, five baselines, the first 3 test images that are answered right.

    Spearman's correlation of two halves, drawn apart, of 100, 400 and 1,600 masks (mean over
    baselines; "ceiling": of the baseline that agrees least with itself, 1,600); the two baselines
    that agree least.
    """
    found = subject[:60]
    right = np.flatnonzero(found.logits.argmax(1).numpy() == found.labels.numpy())[:3]
    result = rw.saliency(
        found, index=right.tolist(), method="rise", masks=3200, baselines=NEUTRAL, points=2
    )
    agreed = result.convergence.mean(axis=(0, 1))
    sizes = {f"{size} masks": agreed[i] for i, size in enumerate(result.convergence_size)}
    first, second, lowest = _lowest(result)
    ceiling = result.ceiling().min()
    yield {
        **sizes,
        "ceiling": ceiling,
        "lowest": lowest,
        "between": f"{first}, {second}",
        "below": ceiling - lowest,
    }


def gradients(subject: rw.Subject, data: Path) -> Rows:
    """Integrated gradients, 16 steps, 64 test images, the same images for all.

    For each baseline Spearman's correlation with the map of an untrained network, signed and of
    magnitudes; the completeness gap (mean size, of the score's change); for how many of 64 images
    its map is the best under each fill (deletion, most relevant pixels first).
    """
    result = rw.saliency(subject, images=64, steps=16, points=9)
    signed, size = result.control(), result.control("absolute")
    wins, gap = result.wins(), np.abs(result.gap).mean(0)
    for number, name in enumerate(result.baselines):
        yield {
            "baseline": name,
            "untrained, signed": signed[number],
            "untrained, magnitude": size[number],
            "gap": gap[number],
            **{f"fill {fill}": wins[row, number] for row, fill in enumerate(result.fills)},
        }


def settings(subject: rw.Subject, data: Path) -> Rows:
    """Other settings of two methods against the usual ones, the first 3 test images answered right.

    Spearman's correlation of maps with baseline "mean": RISE with 1,600 masks (of a grid of 4 x 4)
    and with other grids; occlusion (window 8, stride 4) with other windows and strides. Ceiling: of
    two halves of the masks, or 1 where nothing is drawn.
    """
    found = subject[:60]
    right = np.flatnonzero(found.logits.argmax(1).numpy() == found.labels.numpy())[:3].tolist()
    for method, others in (
        ("rise", {"grid": (2, 8), "masks": (100, 400)}),
        ("occlusion", {"window": (4, 16), "stride": (2, 8)}),
    ):
        result = rw.saliency(
            found,
            index=right,
            method=method,
            masks=1600,
            baselines=("mean",),
            hyper=others,
            points=2,
        )
        ceiling = float(np.nan_to_num(result.ceiling()[0], nan=1.0))
        for place, words in enumerate(result.hyper[1:], 1):
            yield {
                "method": method,
                "setting": words,
                "agreement": result.agree()[0, place],
                "ceiling": ceiling,
            }


def calibrations(subject: rw.Subject, data: Path) -> Rows:
    """Temperatures fitted on 2,000 validation images, reported on 2,000 test images.

    None, one, one for each of 10 bins of the confidence, and these fitted on mirrored and shifted
    images too. ECE (15 bins of equal width) with its 95 % interval; the mean ECE that a perfectly
    calibrated network would show; NLL in nats.
    """
    for method in ("none", "temperature", "binwise", "binwise-augmented"):
        result = rw.reliability(subject, method=method)
        summary = result.summary()
        yield {
            "method": method,
            **{key: summary.loc["ece", of] for key, of in (("ece", "after"), ("low", "low"))},
            "high": summary.loc["ece", "high"],
            "floor": result.ece_floor,
            "nll": summary.loc["nll", "after"],
        }


def oracle(subject: rw.Subject, data: Path) -> Rows:
    """Scores of filters against what their removal does to the loss of validation images.

    Spearman's correlation with the oracle: mean over batches of 50 of the size of the change, mean
    over images of its square; of all filters, and of the layer in the middle.
    """
    assert subject.validation is not None
    ranked = subject.validation[: 400 if _cheap(subject) else 100]
    truth = rw.oracle(ranked)
    for criterion in ("taylor", "taylor-fg", "taylor-so", "weight", "bn-scale", "random"):
        result = rw.pruning(
            subject, criterion=criterion, levels=(0.1,), calibration_set=ranked, images=1
        )
        scores = result.importance(truth)["score"]
        row: dict[str, Any] = {
            "criterion": criterion,
            "images": len(ranked),
            "filters": len(scores),
        }
        for measure in ("batch", "image"):
            table = truth.agreement(scores, measure)["spearman"]
            row |= {f"by {measure}": table["all"]}
            row |= {f"by {measure}, layer": table.drop("all").median()}
        yield row | {"helps": (truth.change.mean(0) < 0).mean()}


def removal(subject: rw.Subject, data: Path) -> Rows:
    """Filters removed at once, without training, ranked on 500 validation images; 512 test images.

    Accuracies by Taylor scores, by the norm of the weights and at random (mean of 5); what the
    Taylor row hides: multiply-adds left, answers that flip, and the class that loses most.
    """
    result = rw.pruning(subject, levels=LEVELS)
    weight = rw.pruning(subject, criterion="weight", levels=LEVELS)
    for level, part in enumerate(result.levels):
        classes = result.class_accuracy[0, level] - result.class_accuracy[0, 0]
        yield {
            "removed": part,
            "taylor": result.accuracy[0, level],
            "weight": weight.accuracy[0, level],
            "random": result.accuracy[1:, level].mean(),
            "multiply-adds": result.multiply_adds[0, level] / result.multiply_adds[0, 0],
            "flips": result.flipped[0, level].mean(),
            "worst class": result.classes[int(np.nanargmin(classes))],
            "its change": np.nanmin(classes),
        }


def temperatures(subject: rw.Subject, data: Path) -> Rows:
    """Calibration after removal by Taylor scores: 500 validation images to fit, 2,000 test images.

    ECE (15 bins of equal width) and NLL in nats with no temperature, with the one fitted on the
    whole network, and with one fitted again.
    """
    result = rw.pruning(subject, levels=LEVELS, images=len(subject))
    found = result.calibration
    for level, part in enumerate(result.levels):
        yield {
            "removed": part,
            "accuracy": result.accuracy[0, level],
            **{name: found[name][0, level] for name in found if not name.startswith("confidence")},
            "temperature": result.temperatures[0, level],
        }


def tuning(subject: rw.Subject, data: Path) -> Rows:
    """Multiply-adds that go with a short training after each step: 2,000 test images.

    A tenth of the multiply-adds at a time, ranked again each time, then 40 batches of 64 training
    images. Accuracies by Taylor scores and at random (mean, lowest and highest of 5), with the
    same training.
    """
    images = cifar10.read(data, "train")
    chosen = cifar10.training_indices(images.labels)[:2560]
    train = rw.Subject(
        subject.model,
        samples.as_images(images.pixels[chosen]),
        images.labels[chosen],
        mean=subject.mean,
        std=subject.std,
    )
    result = rw.pruning(
        subject,
        levels=THINNER,
        scope="flops",
        rounds=len(THINNER),
        finetune=40,
        train=train,
        images=len(subject),
        calibration_images=200,
    )
    for level, part in enumerate(result.levels):
        yield {
            "removed": part,
            "multiply-adds": result.multiply_adds[0, level] / result.multiply_adds[0, 0],
            "parameters": result.parameters[0, level] / result.parameters[0, 0],
            "taylor": result.accuracy[0, level],
            "random": result.accuracy[1:, level].mean(),
            "lowest": result.accuracy[1:, level].min(),
            "highest": result.accuracy[1:, level].max(),
        }


def robustness(subject: rw.Subject, data: Path) -> Rows:
    """Attacks of growing size on the same 32 test images: what stays right.

    Each number of a pixel may change by so much; 20 steps, or 300 queries of the black box.
    "worst": under the best of all attacks; "noise": random signs of the same size. "verdict": what
    speaks for an attack that was misled, of eight tests on who broke which image, all together at
    5 %.
    """
    sizes = tuple(size / 255 for size in (0.5, 1, 2, 4, 8))
    result = rw.robustness(subject, epsilons=sizes, images=32)
    fired = "; ".join(test.name for test in result.verdict.tests if test.fired) or "none"
    for attack in ("noise", *result.attacks, "worst"):
        left = dict(zip(result.epsilons, result.accuracy(attack), strict=True))
        yield {
            "attack": attack,
            **{f"{255 * size:g}/255": share for size, share in left.items()},
            "verdict": fired,
        }


def landscapes(subject: rw.Subject, data: Path) -> Rows:
    """The largest divergence found within 1/255, and accuracy under PGD: 24 test images, two draws.

    Mean of KL(p(x) || p(x + d)) in nats from 2 starts, with its 95 % interval; with logits divided
    by the temperature fitted on validation images; by a random search of as many passes, which
    needs no gradient. Accuracy left by PGD of the same size on the same images. Seconds of the
    processor for each, the divergence with its controls.
    """
    for seed in (0, 1):
        for steps in (5, 10, 20):
            begun = time.process_time()
            found = rw.landscape(
                subject, points=11, epsilon=1 / 255, steps=steps, restarts=2, images=24, seed=seed
            )
            between = time.process_time()
            attacked = rw.robustness(
                subject, attacks="pgd", epsilons=(1 / 255,), steps=steps, thorough=False,
                images=found.index.tolist(), seed=seed,
            )  # fmt: skip
            low, high = found.interval()
            yield {
                "draw": seed,
                "steps": steps,
                "divergence": found.mean(),
                "low": low,
                "high": high,
                "calibrated": found.mean("calibrated"),
                "search": found.mean("search"),
                "clean": attacked.accuracy("pgd")[0],
                "attacked": attacked.accuracy("pgd")[1],
                "seconds": between - begun,
                "seconds, attack": time.process_time() - between,
            }


TABLES: dict[str, Callable[[rw.Subject, Path], Rows]] = {
    table.__name__: table
    for table in (
        attacks, denoisers, masks, gradients, settings, calibrations, oracle, removal,
        temperatures, tuning, robustness, landscapes,
    )
}  # fmt: skip
BESIDES = {
    "attacks": ("vit",),
    "gradients": ("vit",),
    "robustness": ("vit", "resnet20-robust", "resnet20-noise"),
    "landscapes": ("vit", "resnet20-robust", "resnet20-noise"),
    "calibrations": ("vgg-overfit", "resnet20-overfit", "vit"),
}
"""Networks that a table is about, beside the five classifiers."""


def main() -> None:
    """Measure what is asked for, or what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; by default all")
    parser.add_argument("--networks", nargs="*", help="by default those that a table is about")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where CIFAR-10 is")
    chosen = parser.parse_args()
    for table in chosen.tables or TABLES:
        for name in chosen.networks or _networks(table):
            kept = HOME / "findings" / f"{table}-{name}.csv"
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                frame = pd.DataFrame(TABLES[table](rw.demo(name), chosen.data))
                frame.to_csv(kept, index=False, float_format="%.4g")
                claims.note(kept.parent, kept.name, TABLES[table])
                print(kept.name, flush=True)
    (HOME / "findings.md").write_text(page(), encoding="utf-8")
    (HOME / "claims.md").write_text(claims.page(kept_of), encoding="utf-8")


def kept_of(table: str) -> dict[str, pd.DataFrame]:
    """Read what is kept of a table, by network."""
    return {
        network: pd.read_csv(kept, keep_default_na=False)
        for network in _networks(table)
        if (kept := HOME / "findings" / f"{table}-{network}.csv").exists()
    }


def stale() -> list[str]:
    """Name files of findings that other code measured than what stands here now."""
    known = claims.measured_by(HOME / "findings")
    now = {name: claims.fingerprint(table) for name, table in TABLES.items()}
    files = sorted((HOME / "findings").glob("*.csv"))
    return [file.name for file in files if known.get(file.name) != now.get(file.name.split("-")[0])]


def page() -> str:
    """All tables that are kept, below one another, each with what its function says of it."""
    text = [
        "# What was measured on the classifiers\n",
        "Written by `make findings`; the numbers are in `findings/`, one file for each table and "
        "network. Accuracies and shares are in per unit.\n",
    ]
    for name, table in TABLES.items():
        parts = kept_of(name)
        if parts:
            said = "\n".join(line.strip() for line in (table.__doc__ or "").splitlines())
            text += [f"## {name.capitalize()}\n", said, _markdown(parts)]
    return "\n".join(text)


def _networks(table: str) -> tuple[str, ...]:
    return (*rw.zoo.classifiers(), *BESIDES.get(table, ()))


def _markdown(parts: dict[str, pd.DataFrame]) -> str:
    columns = ["network", *next(iter(parts.values())).columns]
    rows = [columns, ["---"] * len(columns)]
    for network, frame in parts.items():
        rows += [[network, *map(_shown, row)] for row in frame.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _last(result: Any, kind: str) -> int:
    return int(np.flatnonzero(np.array(result.types) == kind)[-1])


def _medians(result: Any, kind: str, metric: str = "rms") -> np.ndarray:
    return np.median(result.of(kind, metric), axis=1)


def _lowest(result: Any) -> tuple[str, str, float]:
    found = result.lowest()
    assert found is not None
    return result.baselines[found[0]], result.baselines[found[1]], found[2]


def _cheap(subject: rw.Subject) -> bool:
    """Whether the oracle takes minutes, not an hour: the network is narrow."""
    widths = [m.out_channels for m in subject.model.modules() if isinstance(m, torch.nn.Conv2d)]
    return sum(widths) < 1000


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
