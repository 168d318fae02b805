"""Put images and finished networks into the box: ``python -m reliab_widgets.zoo.publish --help``.

Every figure of the model card, ``README.md`` in this folder, is measured here, with the weights as
they are shipped, in float32.
"""

import argparse
import hashlib
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ..core.subject import Subject
from ..ops.attacks.adversary import attack
from ..ops.attacks.noise import signs
from ..ops.calibration import bins, calibrators
from ..ops.calibration import metrics as calibration
from . import checkpoints, datasets, demo, fashion, samples, weights
from .cifar10 import Images
from .datasets import DATA, SOURCES, WORLDS, Data
from .recipes import CLASSIFIERS, DENOISERS, NETWORKS, NUMBERS, RECIPES, Recipe, made_by
from .worlds import object as things
from .worlds import road, scenes, specks

CARD = Path(__file__).parent / "README.md"
ATTACKS = ("fgsm", "bim")
EPSILON = 8 / 255
BINS = 15
RESAMPLES = 1000
EPOCHS = 16
"""At most so many epochs are in a history."""
PAGES = (fashion, specks, road, scenes, things)
"""What is written about data in their modules belongs into the card too."""
HALF_IF_BELOW = 0.0005
"""Half precision is shipped if it changes the accuracy on the test images by less than this, or the
error by a smaller part of it."""
MARGIN = 0.8
"""What a network of a small world may leave of a linear model's error, at most."""
RIDGES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
"""Penalties of a linear model; the best one on validation images counts."""


def publish(name: str, data: Path, work: Path, kept: Path = checkpoints.KEPT) -> str:
    """Measure one network and write weights and record to the box; say in a line what was done."""
    recipe = RECIPES[name]
    path = checkpoints.fetch(name, work, kept)
    if not path.exists():
        return f"{name}: left out, no checkpoint {path}"
    saved = checkpoints.load(path, name)
    log = saved["log"]
    if len(log) < recipe.epochs:
        return f"{name}: left out, not finished: {len(log)} of {recipe.epochs} epochs"

    model = weights.untrained(recipe.architecture)
    # Plain (row-major) memory, as safetensors wants it.
    full = {key: tensor.contiguous() for key, tensor in saved["model"].items()}
    model.load_state_dict(full)
    if isinstance(recipe, Recipe):
        images, test = DATA[recipe.data](data), datasets.reported(recipe.data, data)
        precision, shipped = _precision(model, full, recipe, test)
        model.load_state_dict(shipped)
        measures = _does(model, recipe, images, test)
        if len(saved["history"]):
            labels = datasets.watched(images.held_out).labels
            besides = {key: value.numpy() for key, value in saved.get("objective", {}).items()}
            _write_history(name, saved["history"].numpy(), labels, besides)
    else:
        precision, shipped = "float32", full
        measures = {"denoises": {of: _denoises(model, of) for of in CLASSIFIERS}}
        test = samples.load("test")
    content = safetensors.torch.save(shipped)

    weights.WEIGHTS.mkdir(exist_ok=True)
    (weights.WEIGHTS / f"{name}.safetensors").write_bytes(content)
    record = {
        "name": name,
        "recipe": made_by(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": multiply_adds(model, test.pixels.shape[1]),
        "seconds": round(sum(epoch["seconds"] for epoch in log)),
        "hardware": list(dict.fromkeys(epoch["hardware"] for epoch in log)),
        **measures,
        "precision": precision,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "torch": torch.__version__,
        "log": [{k: v for k, v in epoch.items() if k != "hardware"} for epoch in log],
    }
    (weights.WEIGHTS / f"{name}.json").write_text(samples.as_json(record), encoding="utf-8")
    weights.load(name)  # refuses what did not survive the way to disk and back
    if isinstance(recipe, Recipe) and recipe.objective not in NUMBERS:
        write_logits(name)
    checkpoints.keep(name, work, kept)  # the box has it now
    return f"{name}: published in {precision}"


def write_logits(name: str) -> None:
    """Write what a classifier of the box says to the images of the box: nobody waits for it then.

    Of one that draws something in its passes there are no such answers.
    """
    model = weights.load(name)
    record, of = weights.record(name), datasets.source(NETWORKS[name].data)
    found = {}
    for split in samples.SPLITS:
        pixels, labels = samples.load(split, of)
        mean, std, _ = SOURCES[of]
        subject = Subject(model, samples.as_images(pixels), labels, mean=mean, std=std)
        if subject.network.draws:
            return
        found[split] = subject.logits
    content = safetensors.torch.save(found)
    (weights.WEIGHTS / f"{name}.logits.safetensors").write_bytes(content)
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = samples.as_json(record | {"logits": facts})
    (weights.WEIGHTS / f"{name}.json").write_text(text, encoding="utf-8")


def _write_history(
    name: str, outputs: np.ndarray, labels: np.ndarray, besides: dict[str, np.ndarray]
) -> None:
    """Write what the network gave during training; later epochs are farther apart than first ones.

    ``outputs`` ``(E, n, classes)`` are probabilities in 240ths, rounded down, on the n validation
    images whose ``labels`` are given, after ``epochs`` passes over the training images. What the
    objective learnt ``besides`` stands there too.
    """
    steps = np.geomspace(1, len(outputs), EPOCHS).round().astype(int) - 1
    epochs = np.unique(steps)
    path = weights.WEIGHTS / f"{name}.npz"
    path.parent.mkdir(exist_ok=True)
    found = {"epochs": epochs, "outputs": outputs[epochs], "labels": labels.astype("u1")}
    np.savez_compressed(path, **found, **besides)  # type: ignore[arg-type]  # none is a flag


def _precision(
    model: nn.Module, full: dict[str, Tensor], recipe: Recipe, test: Images
) -> tuple[str, dict[str, Tensor]]:
    """Choose half precision on disk if that changes next to nothing."""

    def quality() -> float:
        found = outputs(model, test.pixels, recipe.data)
        if recipe.objective in NUMBERS:
            return float(np.log(errors(found, test)["rmse"]))
        return float((found.argmax(1) == test.labels).mean())

    before = quality()
    half = {key: t.half() if t.is_floating_point() else t for key, t in full.items()}
    model.load_state_dict(half)
    fine = abs(quality() - before) < HALF_IF_BELOW
    return ("float16", half) if fine else ("float32", full)


def _does(model: nn.Module, recipe: Recipe, images: Data, test: Images) -> dict:
    """Measure a network; in a small world a linear model of the pixels too."""
    numbers = recipe.objective in NUMBERS
    linear = {}
    if recipe.data in WORLDS:
        guess = _linear(images, test)
        if numbers:
            linear = {"linear": errors(guess, test)}
        else:
            right = float((guess.argmax(1) == test.labels).mean())
            linear = {"linear": {"n": len(test.labels), "accuracy": right}}
    if not numbers:
        return _classifies(model, recipe.data, images, test) | linear
    results = {
        title: errors(outputs(model, part.pixels, recipe.data), part)
        for title, part in (("test", test), ("validation", images.held_out))
    }
    return {"results": results} | linear


def errors(found: np.ndarray, images: Images) -> dict:
    """Give the root of the mean squared error over images, with its standard error."""
    squares = ((found - images.labels) ** 2).reshape(len(found), -1).mean(1)
    n, rmse = len(squares), float(np.sqrt(squares.mean()))
    return {"n": n, "rmse": rmse, "rmse_se": float(squares.std(ddof=1) / n**0.5 / (2 * rmse))}


def _linear(images: Data, test: Images) -> np.ndarray:
    """Fit a linear model of the pixels to the training images and give its answers on others."""
    from sklearn.linear_model import Ridge

    def targets(part: Images) -> np.ndarray:
        if part.labels.ndim == 1:
            return np.eye(int(images.train.labels.max()) + 1)[part.labels]
        return part.labels.reshape(len(part.labels), -1)

    train, held_out, seen = (
        part.pixels.reshape(len(part.pixels), -1).astype(np.float32) / 255
        for part in (images.train, images.held_out, test)
    )
    models = [Ridge(penalty).fit(train, targets(images.train)) for penalty in RIDGES]
    wanted = targets(images.held_out)
    errors = [np.square(m.predict(held_out).reshape(wanted.shape) - wanted).mean() for m in models]
    answers = models[int(np.argmin(errors))].predict(seen)
    return answers.reshape(test.labels.shape if test.labels.ndim > 1 else (len(seen), -1))


def _classifies(model: nn.Module, of: str, images: Data, test: Images) -> dict:
    """Measure what a classifier does on every split of its data, and under attack."""
    source = datasets.source(of)
    fit_on, shipped = samples.load("validation", source), samples.load("test", source)
    temperature = calibrators.fit_temperature(outputs(model, fit_on.pixels, of), fit_on.labels)
    results = {}
    for title, part in {
        "test": test,
        "test, shipped": shipped,
        "validation": images.held_out,
    }.items():
        z = outputs(model, part.pixels, of)
        results[title] = measured(calibration.softmax(z), part.labels)
        # The temperature is fitted on some of the validation images: no figure for those.
        if title != "validation":
            results[title]["calibrated"] = measured(temperature(z), part.labels)
    seen = images.train
    probabilities = calibration.softmax(outputs(model, seen.pixels, of))
    subject = Subject(
        model,
        samples.as_images(shipped.pixels),
        shipped.labels,
        mean=images.mean,
        std=images.std,
    )
    n = len(subject)
    noisy = signs(subject.images, torch.arange(n), torch.full((n,), EPSILON))
    return {
        "training_loss": calibration.nll(probabilities, seen.labels),
        "training_accuracy": float((probabilities.argmax(1) == seen.labels).mean()),
        "temperature": temperature.temperature,
        "results": results,
        "attacked": {
            "random": _right(subject.with_images(noisy)),
            **{kind: _right(attack(subject, attack=kind, epsilon=EPSILON)) for kind in ATTACKS},
        },
    }


def _denoises(model: nn.Module, classifier: str) -> dict:
    """Measure what a denoiser does in front of a classifier that was attacked without it."""
    clean = demo(classifier)
    bim = _bim(classifier)
    found: dict[str, dict] = {}
    for title, subject in {"clean": clean, "bim": bim}.items():
        with torch.inference_mode():
            parts = [model(part) for part in subject.images.split(250)]
        after = subject.with_images(torch.cat(parts))
        for state, seen in {"before": subject, "after": after}.items():
            error = (seen.images - clean.images).square().mean((1, 2, 3))
            found[f"{title}, {state}"] = {
                **_right(seen),
                "error": float(error.mean()),
                "error_se": float(error.std() / len(error) ** 0.5),
            }
    return found


@cache
def _bim(classifier: str) -> Subject:
    return attack(demo(classifier), attack="bim", epsilon=EPSILON)


def _right(subject: Subject) -> dict:
    """Give the share of right answers with its binomial standard error."""
    share = float((subject.logits.argmax(1) == subject.labels).double().mean())
    n = len(subject)
    return {"n": n, "accuracy": share, "accuracy_se": (share * (1 - share) / n) ** 0.5}


def outputs(model: nn.Module, pixels: np.ndarray, of: str = "cifar10") -> np.ndarray:
    """Run ``model`` on uint8 images ``(N, H, W, 3)`` of some data; what it gives, as float64."""
    scale = SOURCES[datasets.source(of)]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in scale[:2])
    done: list[Tensor] = []
    with torch.inference_mode():
        batches = torch.from_numpy(pixels).permute(0, 3, 1, 2).split(250)
        for batch in tqdm(batches, desc="measuring", leave=False, disable=None):
            done.append(model((batch.float() / 255 - mean) / std))
    return torch.cat(done).double().numpy()


def measured(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Give accuracy, ECE and NLL; standard errors are binomial (accuracy) and bootstrap (ECE)."""
    n = len(labels)
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    edges = bins.edges(confidence, BINS, "width")
    accuracy = float(hit.mean())
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        draw = generator.integers(n, size=n)
        resampled.append(calibration.ece(confidence[draw], hit[draw], edges))
    return {
        "n": n,
        "accuracy": accuracy,
        "accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / n)),
        "ece": float(calibration.ece(confidence, hit, edges)),
        "ece_se": float(np.std(resampled, ddof=1)),
        "nll": float(calibration.nll(probabilities, labels)),
    }


def multiply_adds(model: nn.Module, side: int = 32) -> int:
    """Count the multiply-adds of convolutions and linear layers for one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two operations


def card() -> str:
    """Write the model card from the records in the box."""
    networks = [weights.record(name) for name in NETWORKS if weights.shipped(name)]
    records = [r for r in networks if "temperature" in r]
    trained = [
        [
            f"`{r['name']}`",
            r["recipe"]["architecture"],
            f"{r['parameters']:,}",
            f"{r['multiply_adds'] / 1e6:.1f} M",
            r["recipe"]["epochs"],
            r["recipe"]["small"],
            r["recipe"]["batch"],
            r["recipe"]["peak_rate"],
            r["recipe"]["weight_decay"],
            "crop and flip" if r["recipe"]["augment"] else "none",
            _learnt(made_by(Recipe("")) | r["recipe"]),
            r["recipe"]["seed"],
            f"{r['seconds'] / 60:.0f} min",
            "; ".join(r["hardware"]),
            f"{r['training_loss']:.4f}" if "temperature" in r else "–",
            f"{r['training_accuracy']:.2%}" if "temperature" in r else "–",
        ]
        for r in networks
    ]
    measures = [
        [
            f"`{r['name']}`",
            images,
            f"{raw['n']:,}",
            _percent(raw, "accuracy"),
            _percent(raw, "ece"),
            _percent(raw["calibrated"], "ece") if "calibrated" in raw else "–",
            f"{raw['nll']:.4f}",
            f"{raw['calibrated']['nll']:.4f}" if "calibrated" in raw else "–",
        ]
        for r in records
        for images, raw in r["results"].items()
    ]
    attacked = [
        [
            f"`{r['name']}`",
            f"{r['attacked']['bim']['n']:,}",
            _percent(r["results"]["test, shipped"], "accuracy"),
            *(_percent(r["attacked"][kind], "accuracy") for kind in ("random", *ATTACKS)),
        ]
        for r in records
    ]
    worlds = [
        [
            f"`{r['name']}`",
            r["recipe"]["data"],
            f"{r['linear']['n']:,}",
            "RMSE" if "rmse" in r["linear"] else "wrong",
            f"{left(r['results']['test']):.4f}",
            f"{left(r['linear']):.4f}",
            f"{left(r['results']['test']) / left(r['linear']):.0%}",
        ]
        for r in networks
        if "linear" in r
    ]
    hardened = [f"`{r['name']}`" for r in records if _attacked(r["recipe"])]
    whole = [r["results"]["test"]["accuracy"] for r in records if r["name"] in CLASSIFIERS]
    cleaners = [weights.record(name) for name in DENOISERS if weights.shipped(name)]
    learnt = [
        [
            f"`{r['name']}`",
            r["recipe"]["guide"] or "–",
            f"{r['parameters']:,}",
            f"{r['multiply_adds'] / 1e6:.1f} M",
            f"{r['recipe']['images']:,}",
            r["recipe"]["epochs"],
            r["recipe"]["batch"],
            r["recipe"]["peak_rate"],
            r["recipe"]["seed"],
            f"{r['seconds'] / 60:.0f} min",
            "; ".join(r["hardware"]),
        ]
        for r in cleaners
    ]
    denoised = [
        [
            f"`{r['name']}`",
            f"`{of}`",
            f"{found['bim, after']['n']:,}",
            *(f"{1e4 * found[key]['error']:.2f}" for key in ("bim, before", "bim, after")),
            *(
                _percent(found[key], "accuracy")
                for key in ("clean, before", "clean, after", "bim, before", "bim, after")
            ),
        ]
        for r in cleaners
        for of, found in r["denoises"].items()
    ]
    files = [
        [
            f"`{r['name']}`",
            r["precision"],
            f"{r['bytes']:,}",
            f"{r['temperature']:.4f}" if "temperature" in r else "–",
            f"`{r['sha256']}`",
        ]
        for r in (*networks, *cleaners)
    ]
    return _CARD.format(
        origin=samples.ORIGIN,
        citation=samples.CITATION,
        terms=samples.TERMS,
        bins=BINS,
        resamples=RESAMPLES,
        points=100 * HALF_IF_BELOW,
        trained=_rows(trained),
        measures=_rows(measures),
        average=_AVERAGE.format(len(whole), 100 * np.mean(whole)) if whole else "",
        attacked=_rows(attacked),
        hardened=f"Trained on attacked images: {', '.join(hardened)}; the others were not"
        if hardened
        else "None of them was trained to withstand attacks",
        box=_box(),
        worlds=_WORLDS.format(rows=_rows(worlds), margin=MARGIN) if worlds else "",
        denoisers=_DENOISERS.format(learnt=_rows(learnt), denoised=_rows(denoised))
        if cleaners
        else "",
        files=_rows(files),
        pages="\n".join(f"## {_page(module)}" for module in PAGES),
    )


def left(figures: dict) -> float:
    """Give the error of a network or of a linear model, whatever it is measured by."""
    return figures["rmse"] if "rmse" in figures else 1 - figures["accuracy"]


def _attacked(recipe: dict) -> bool:
    return "epsilon" in recipe.get("settings", {})


def _box() -> str:
    """Say which weights are in the box, and what the others cost."""
    there = [f"`{name}`" for name in RECIPES if weights.shipped(name)]
    missing = [
        f"`{name}` ({recipe.hours:g} h)"
        for name, recipe in RECIPES.items()
        if not weights.shipped(name)
    ]
    text = f"Weights of {len(there)} of {len(RECIPES)} recipes are here: {', '.join(there)}."
    text += " Further seeds and subsets are in a clone of the repository, not in the wheel."
    if missing:
        text += (
            f"\n\nNot here, and trained by `make zoo MODEL=NAME`, with hours of one core: "
            f"{', '.join(missing)}."
        )
    return text


def _page(module: ModuleType) -> str:
    """Give a heading and the text of a module's docstring, in Markdown."""
    heading, text = str(module.__doc__).replace("``", "`").split(": ", 1)
    return f"{heading}\n\n{text[0].upper()}{text[1:]}"


_CARD = """\
# The zoo: model card

Written by `python -m reliab_widgets.zoo.publish` from the records in `weights/`: change it there.
For teaching and for trying methods. Nothing here is fit to decide anything about the world.

## In the box

{box}

Images: 2,000 + 2,000 of CIFAR-10 and 1,000 + 1,000 of Fashion-MNIST, for validation and for test;
the whole data sets are not here (`make data` fetches them). Images of the small worlds (specks,
road, scenes, object) are drawn when they are asked for.

`rw.demo(NAME)` gives a classifier with its images, `rw.zoo.network(NAME)` any network alone: those
that give numbers are no Subjects yet. Networks named `meanfield` draw their weights; all figures
are those of one draw, seed 0. What a training recorded of its outputs lies in `weights/NAME.npz`;
the first seven trainings recorded none.

## Data

CIFAR-10: 60,000 colour photographs of 32 × 32 pixels in 10 classes.

- Origin: <{origin}>
- Citation: {citation}
- Terms: {terms}

| split | images | which | used for |
|---|--:|---|---|
| training | 45,000 | of each class, the first 4,500 in the order of the training file | training |
| validation | 5,000 | of each class, the last 500 in that order | fitting, as of temperatures |
| test | 10,000 | the test file | reporting |

Shipped are the first 200 of each class of the validation and of the test images, lossless, in
`data/validation.webp` and `data/test.webp`. `data/cifar10.json` has their labels and their places
in the original files. No network is trained on a validation or test image.

## Training

SGD with Nesterov momentum 0.9, or AdamW where it is named, on one cycle: the learning rate rises to
its peak in the first fifth of the steps, then falls to almost zero. No label smoothing, bf16
autocast.
Augmentation means random crops out of 4 black pixels of padding, and random horizontal flips. The
first epochs of some networks, the small ones, see random crops of 24 x 24 pixels without padding,
which takes half the time. `make zoo` repeats it all.

Normalisation with the channel means and deviations of the training file is not part of the
networks: the Subject does it. The final loss and accuracy are those of the shipped weights on all
training images without augmentation, batch norm in eval mode; what each epoch gave is in
`weights/NAME.json`.

| network | architecture | parameters | multiply-adds | epochs | small | batch | peak rate \
| weight decay | augmentation | objective | seed | time | hardware | final training loss \
| final training accuracy |
|---|---|--:|--:|--:|--:|--:|--:|--:|---|---|--:|--:|---|--:|--:|
{trained}

`NAME-untrained` has the weights that an architecture is given before training, with seed 0.

## What they do

Value ± standard error: binomial for the accuracy, from {resamples:,} bootstrap resamples for the
ECE (expected calibration error of the top label, {bins} bins of equal width). The temperature was
fitted on the 2,000 shipped validation images, so validation images have no figures with it.

| network | images | n | accuracy % | ECE % | ECE %, temperature | NLL | NLL, temperature |
|---|---|--:|--:|--:|--:|--:|--:|
{measures}
{average}
## Under attack

Share that is right, % ± binomial standard error, on the shipped test images, each attack with
epsilon 8/255 in the L-infinity norm against the classifier itself: FGSM, and BIM with 10 steps of
1/255. The control is noise of the same size: every channel of every pixel is changed by 8/255, up
or down by chance.

| network | n | as it is | random noise | FGSM | BIM |
|---|--:|--:|--:|--:|--:|
{attacked}

{hardened}. These attacks are weak ones: what is left is no robustness.

{worlds}{denoisers}{pages}
## Filters

`rw.zoo.denoiser` has some that learnt nothing: `median` (3 × 3), `gaussian` (0.5 pixels), `jpeg`
(quality 75), `bits` (4 bits), `tv` (total variation, weight 0.05).

## Files

Half precision on disk where that changes the accuracy on the 10,000 test images by less than
{points:g} points, always float32 in memory.

| network | on disk | bytes | temperature | sha256 |
|---|---|--:|--:|---|
{files}
"""

_AVERAGE = """
The {} that were trained to be good are right on {:.2f} % of the 10,000 test images, on average.
"""

_WORLDS = """\
## In small worlds

The error on test images of a world, drawn with another seed than those trained on, beside that of
a linear model of the pixels: ridge regression on the same training images, the penalty chosen on
validation images. RMSE is in the unit of the target (steering; metres; shares of the side), wrong
is the share of wrong answers. A network has learnt something if at most {margin:.0%} of the linear
model's error is left.

| network | world | n | error | network | linear model | left |
|---|---|--:|---|--:|--:|--:|
{rows}

"""

_DENOISERS = """\
## Denoisers

U-Nets with three scales that are put in front of a classifier. Trained by Adam on one cycle with
training images, as they are and attacked: each of the five classifiers was attacked with FGSM and
with BIM, a third of the images with epsilon 4/255, 8/255, 12/255. `pixel` learnt to come near the
clean image (mean squared error of the pixels), `guided` to give its classifier the logits of the
clean image (L1 distance; Liao et al. 2018, arXiv 1712.02976).

| denoiser | guide | parameters | multiply-adds | training images | epochs | batch | peak rate \
| seed | time | hardware |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|
{learnt}

Shipped test images; BIM, 10 steps, 8/255, against the classifier without the denoiser (grey box).
Error: mean squared difference from the clean image, all pixels, in units of 1/10,000, before and
behind the denoiser. Right: % ± binomial standard error. Whoever attacks through the denoiser gets
past it: `rw.propagation(subject, denoiser="guided", knowledge="white-box")` shows it.

| denoiser | classifier | n | error before | after | right, clean | clean, denoised | BIM \
| BIM, denoised |
|---|---|--:|--:|--:|--:|--:|--:|--:|
{denoised}

"""


def _learnt(recipe: dict) -> str:
    """Say what a network learnt, on which data, and where it began."""
    settings = ", ".join(f"{key} {value:.4g}" for key, value in recipe["settings"].items())
    words = recipe["objective"] + (f" ({settings})" if settings else "")
    if recipe["optimiser"] != "sgd":
        words += ", AdamW"
    if recipe["data"] != "cifar10":
        words += f" on {recipe['data']}"
    return words + (f", from `{recipe['start']}`" if recipe["start"] else "")


def _rows(rows: list[list]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _percent(figures: dict, key: str) -> str:
    return f"{100 * figures[key]:.2f} ± {100 * figures[f'{key}_se']:.2f}"


def main() -> None:
    """Write images, finished networks and the model card into the package."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=checkpoints.WORK, help="checkpoints")
    parser.add_argument("--images", action="store_true", help="write the images anew")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in RECIPES:
            parser.error(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    for of in samples.SHEETS:
        if arguments.images or not (samples.DATA / f"{of}.json").exists():
            samples.write(arguments.data, of)
            print(f"images of {of} written to {samples.DATA}")
    for name in arguments.names or RECIPES:
        try:
            print(publish(name, arguments.data, arguments.work), flush=True)
        except checkpoints.Refused as error:
            print(f"{name}: left out. {error}", flush=True)
    CARD.write_text(card(), encoding="utf-8")
    print(f"model card written to {CARD}")


if __name__ == "__main__":
    main()
