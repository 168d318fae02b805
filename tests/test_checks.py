"""The checks of the lessons take a right answer in any form, say of a wrong one what is wrong with
it, and never show a traceback."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import checking
import checks_01
import checks_02
import checks_03
import checks_04
import checks_05
import checks_10
import checks_11
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter

import reliab_widgets as rw
from reliab_widgets.ops.attacks.verdict import verdict
from reliab_widgets.ops.certificates.certificate import Certificate
from reliab_widgets.workbench.bench import GIVEN, Bench

LESSONS = (checks_01, checks_02, checks_03, checks_04, checks_05, checks_10, checks_11)
CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def _forgets() -> Iterator[None]:
    """Leave the counts of the lessons as they were."""
    kept = [(it.LESSON, copy.copy(it.LESSON.done), copy.copy(it.LESSON.attempts)) for it in LESSONS]
    yield
    for lesson, done, attempts in kept:
        lesson.done, lesson.attempts = done, attempts


@pytest.fixture(scope="module")
def subject() -> Any:
    return rw.demo("resnet20")


@pytest.fixture(scope="module")
def horse(subject: Any) -> Any:
    return rw.saliency(subject, index=198, fills=(), untrained=False)


@pytest.fixture(scope="module")
def diagram(subject: Any) -> Any:
    return rw.reliability(subject, bins=5)


@pytest.fixture
def mystery() -> Any:
    one = SimpleNamespace(control=lambda measure: [0.5])
    return SimpleNamespace(untrained=["right", "left", "left"], results=[one] * 3)


@pytest.fixture
def noise() -> Any:
    """100 images, of which noise changes 10 and the attack all."""
    flips = pd.Series({"clean": 0, "adversarial": 100, "random": 10})
    return SimpleNamespace(n=100, outcomes=lambda: SimpleNamespace(flips=flips))


@pytest.fixture
def layers() -> Any:
    return SimpleNamespace(
        layers=("input", "conv1", "fc", "probabilities"),
        ratio=lambda: [0.5, 2.0, 6.5, 300.0],
        strongest="fc",
    )


@pytest.fixture
def behind() -> dict[str, Any]:
    """Behind one denoiser the pixels are near and wrong, behind the other far and right."""

    def run(pixels: float, right: float) -> Any:
        far = {"adversarial": [[pixels / 255]], "undefended": [[4.5 / 255]]}
        return SimpleNamespace(of=far.__getitem__, accuracy=lambda kind: right)

    return {"pixel": run(3.4, 0.0), "guided": run(17.8, 0.8)}


@pytest.fixture
def pruned() -> Any:
    """Levels 0, 2 and 20 %: the accuracy stays, then falls under a half, and dogs pay."""
    levels = np.array([0, 0.02, 0.2])
    return SimpleNamespace(
        levels=levels,
        classes=CLASSES,
        accuracy=np.array([[0.9, 0.9, 0.3]]),
        class_accuracy=np.array([[[0.9, 0.9], [0.9, 0.9], [0.5, 0.1]]]),
        flipped=np.array([[[0] * 10, [1] + [0] * 9, [1] * 10]]),
        calibration={"ece raw": np.array([[0.05, 0.06, 0.01]])},
        at=lambda level: int(np.argmin(abs(levels - level))),
    )


@pytest.fixture
def three() -> dict[str, Any]:
    """One network is broken by all attacks, one by the second only, one by none."""

    def run(noise: float, *left: float) -> Any:
        shares = {"pgd": left[0], "margin": left[1], "noise": noise, "worst": min(left)}
        return SimpleNamespace(
            attacks=("pgd", "margin"),
            epsilons=np.array([0, 8 / 255]),
            n=64,
            accuracy=lambda kind="worst": np.array([0.9, shares[kind]]),
        )

    return {"A": run(0.8, 0, 0), "B": run(0.8, 0.7, 0), "C": run(0.6, 0.4, 0.39)}


@pytest.fixture(scope="module")
def loud(subject: Any) -> Any:
    """Eight images that are answered rightly, by logits 30 times as large."""
    right = (subject.logits.argmax(1) == subject.labels).nonzero().flatten()[:8]
    return subject.on(subject.network.divided(1 / 30))[right.tolist()]


@pytest.fixture(scope="module")
def judged() -> Any:
    """A verdict that fires once: the second attack breaks what the first does not."""
    broken = {"random start": np.arange(64) < 20, "margin loss": np.arange(64) < 60}
    return SimpleNamespace(verdict=verdict(broken | {"one step": np.arange(64) < 10}))


@pytest.fixture(scope="module")
def certificate(subject: Any) -> Any:
    """Of four images one is answered rightly, one wrongly, and two get no answer."""
    votes = np.array([[20, 0], [0, 20], [20, 0], [20, 0]])
    counts = np.array([[100, 0], [0, 100], [50, 50], [50, 50]])
    return Certificate("one", 0.25, 20, 100, 0.001, np.arange(4), np.zeros(4, int), votes, counts)


def forms(value: float) -> list[Any]:
    """One number in the forms in which learners have it."""
    return [
        value,
        str(value),
        f" {value} ",
        str(value).replace(".", ","),
        f"{value * 100:g} %",
        f"{value * 100:g}%",
        f"{value * 100:g}\u202f%",
        f"{value * 100:g} per cent",
        np.float32(value),
        np.array([value]),
        torch.tensor(value),
        torch.tensor([[value]], requires_grad=True),
        [value],
        (value,),
        pd.Series([value]),
        Decimal(str(value)),
        Fraction(str(value)),
        f"{Fraction(str(value))}",
    ]


@pytest.mark.parametrize("given", forms(0.25), ids=repr)
def test_a_number_is_read_in_every_form(given: Any) -> None:
    assert checking.number(given) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("given", "found"),
    [("1,000", 1000), ("1,5", 1.5), ("−0.5", -0.5), ("1e-3", 1e-3), ("8/255", 8 / 255), ("≈ 3", 3)],
)
def test_a_number_is_read_as_it_is_written(given: str, found: float) -> None:
    assert checking.number(given) == pytest.approx(found)


@pytest.mark.parametrize("given", [25, 25.0, "25", np.int64(25), torch.tensor(25)], ids=repr)
def test_what_is_above_one_can_only_be_per_cent(given: Any) -> None:
    assert checking.share(given) == 0.25
    assert checking.level(given, (0, 0.25)) == 0.25


@pytest.mark.parametrize("given", ["1", "1 %", 0.01, np.float32(0.01)])
def test_one_is_one_per_cent_among_levels(given: Any) -> None:
    assert checking.level(given, (0, 0.01, 0.5)) == 0.01


@pytest.mark.parametrize("given", ["Over", "over ", np.str_("OVER"), ["over"], "over-", ("over",)])
def test_a_name_is_read_in_every_spelling(given: Any) -> None:
    assert checking.name(given, ("over", "under")) == "over"


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(
        checking.Unread, match=r"'hores' is none of cat, horse. Did you mean 'horse'"
    ):
        checking.name("hores", ("cat", "horse"))


def test_of_many_names_a_few_are_shown() -> None:
    names = [f"layer{number}" for number in range(20)]
    with pytest.raises(checking.Unread, match=r"none of layer0, layer1, layer2, …, layer17, "):
        checking.name("conv", names)


# Lesson 01


@pytest.mark.parametrize("given", ["0", 0, 0.0, "0 %", torch.tensor(0), np.array([0.0]), [0]])
def test_black_gets_no_credit(horse: Any, given: Any) -> None:
    assert checks_01.black_credit(given, horse).startswith("✓")


@pytest.mark.parametrize("given", [0.076, 7.6, "7.6 %", "7,6%"])
def test_the_share_of_pixels_is_told_from_the_credit(horse: Any, given: Any) -> None:
    assert "share of the pixels" in checks_01.black_credit(given, horse)


def test_a_wrong_guess_is_not_told_the_answer(horse: Any) -> None:
    assert "0.0" not in checks_01.black_credit(0.5, horse)


def blurred(x: Any, sigma: float) -> Any:
    return gaussian_filter(np.asarray(x), (0, sigma, sigma), mode="nearest")


@pytest.mark.parametrize(
    "given",
    [
        blurred,
        lambda x, sigma: torch.tensor(blurred(x, sigma)).requires_grad_(),
        lambda x, sigma: blurred(x, sigma).tolist(),
        lambda x, sigma: blurred(x, sigma).astype(np.float16),
        lambda x, sigma: blurred(x, sigma).round(3),
        lambda x, sigma: (x[...], blurred(x, sigma))[1],
    ],
)
def test_a_blur_is_taken_as_array_tensor_list_or_rounded(subject: Any, given: Any) -> None:
    assert checks_01.blur(given, subject).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (lambda x, sigma: gaussian_filter(x, sigma, mode="nearest"), "ran into each other"),
        (lambda x, sigma: gaussian_filter(x, (0, sigma, sigma)), "not at the edges"),
        (lambda x, sigma: x, "the image itself"),
        (lambda x, sigma: blurred(x, sigma) * 255, "grey levels"),
        (lambda x, sigma: blurred(x, 1), "Not a Gaussian of 3 pixels"),
        (lambda x, sigma: blurred(x, sigma)[0], r"Shape (32, 32) came back"),
        (lambda x, sigma: None, "None came back"),
        (lambda x: x, "It stopped with TypeError"),
    ],
)
def test_a_wrong_blur_is_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_01.blur(given, subject)


@pytest.mark.parametrize(
    "given",
    [
        ("right", "left", "left"),
        ["Right", "LEFT", "left "],
        np.array(["right", "left", "left"]),
        "right, left, left",
        {"a": "right", "b": "left", "c": "left"},
    ],
)
def test_sides_are_taken_in_any_form(mystery: Any, given: Any) -> None:
    assert checks_01.untrained(given, mystery).startswith("✓")


def test_the_neater_map_is_told_from_the_untrained(mystery: Any) -> None:
    assert "trained one each time" in checks_01.untrained(("left", "right", "right"), mystery)
    assert "2 of 3" in checks_01.untrained(("right", "left", "right"), mystery)


# Lesson 02


@pytest.mark.parametrize("given", ["over", "Over", "overconfident", "over-confident", ["over"]])
def test_over_is_taken_in_any_spelling(given: Any) -> None:
    gap = {"confidence": 0.9, "accuracy": 0.8}
    result = SimpleNamespace(metric=lambda name, when: gap[name])
    assert checks_02.overconfident(given, result).startswith("✓")
    assert "+10" not in checks_02.overconfident("under", result)


def bin_of(diagram: Any) -> tuple[int, float, float]:
    number = int(np.argmin(abs(diagram.before.low - 0.6)))
    return tuple(
        getattr(diagram.before, it)[number].item() for it in ("count", "accuracy", "confidence")
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda n, a, c: (n, a, c),
        lambda n, a, c: (n, round(a, 2), round(c, 2)),
        lambda n, a, c: [float(n), a * 100, c * 100],
        lambda n, a, c: (n, round(a * 100), round(c * 100)),
        lambda n, a, c: (str(n), f"{a:.0%}", f"{c:.1%}"),
        lambda n, a, c: np.array([n, a, c]),
        lambda n, a, c: torch.tensor([n, a, c]),
        lambda n, a, c: (torch.tensor(n), torch.tensor(a), np.float32(c)),
        lambda n, a, c: {"count": n, "accuracy": a, "confidence": c},
    ],
)
def test_one_bin_is_taken_rounded_and_in_per_cent(diagram: Any, form: Any) -> None:
    given = form(*bin_of(diagram))
    assert checks_02.one_bin(given, diagram, 0.6, 0.8).startswith("✓")


@pytest.mark.parametrize(
    ("form", "hint"),
    [
        (lambda n, a, c: (n, round(a * n), c), "number of right answers"),
        (lambda n, a, c: (n, c, a), "another order"),
        (lambda n, a, c: (n - 1, a, c), "check < and <="),
        (lambda n, a, c: (n, a + 0.02, c), "The accuracy is"),
        (lambda n, a, c: (n, a, c + 0.02), "The confidence of an image"),
        (lambda n, a, c: (n, a), "is not 3 answers"),
        (lambda n, a, c: (n + 0.5, a, c), "no whole number"),
    ],
)
def test_a_wrong_bin_is_told_why(diagram: Any, form: Any, hint: str) -> None:
    assert hint in checks_02.one_bin(form(*bin_of(diagram)), diagram, 0.6, 0.8)


def nll(subject: Any, scale: Callable[[Any, float], Any]) -> Callable[[float], Any]:
    """A loss that scales the validation logits in some way by the temperature."""
    logits, labels = subject.validation.logits, subject.validation.labels
    return lambda T: torch.nn.functional.cross_entropy(scale(logits, T), labels)


def test_a_temperature_is_taken_as_number_and_as_loss(subject: Any) -> None:
    found = rw.reliability(subject, method="temperature").calibrator.temperature
    for given in (*forms(round(found, 2)), nll(subject, lambda z, T: z / T)):
        assert checks_02.temperature(given, subject).startswith("✓"), given


@pytest.mark.parametrize(
    ("scale", "sign", "hint"),
    [
        (lambda z, T: z * T, 1, "That is 1/T"),
        (lambda z, T: z, 1, "the same at every temperature"),
        (lambda z, T: z / T, -1, "mind the minus sign"),
    ],
)
def test_a_wrong_loss_is_told_why(subject: Any, scale: Any, sign: int, hint: str) -> None:
    loss = nll(subject, scale)
    assert hint in checks_02.temperature(lambda T: sign * loss(T), subject)


def test_a_loss_for_each_image_is_no_number(subject: Any) -> None:
    said = checks_02.temperature(lambda T: torch.zeros(2000), subject)
    assert said.startswith("✗ Tensor of shape (2000,) is no number. Answer with a function")


@pytest.mark.parametrize(
    ("given", "hint"), [(-1, "above 0"), (1, "stayed at 1"), (7, "not within")]
)
def test_a_wrong_temperature_is_told_why(subject: Any, given: float, hint: str) -> None:
    assert hint in checks_02.temperature(given, subject)


@pytest.mark.parametrize("given", [2000, "2,000", 1001, torch.tensor(1999)])
def test_one_draw_repeated_is_not_safe(subject: Any, given: Any) -> None:
    assert "say little more than one" in checks_02.safe(given, subject)


@pytest.mark.parametrize("given", [0, 10**9, 2001, -5, 0.5])
def test_no_such_number_of_images_is_said(subject: Any, given: Any) -> None:
    assert "Answer with a number of images" in checks_02.safe(given, subject)


def test_what_harms_is_not_safe(subject: Any) -> None:
    assert checks_02.safe(50, subject, draws=3).startswith("✗ Not safe: with 50 images")
    assert checks_02.safe("1000", subject, draws=2).startswith("✓ Safe")


@pytest.mark.parametrize(
    "given", [(3, 100), (100, 3), ("3", np.int64(100)), ([3], torch.tensor(100))]
)
def test_bins_are_taken_in_any_order_and_form(subject: Any, given: Any) -> None:
    assert checks_02.bins(*given, subject).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ((3, 200), "200 is not from 3 to 100"),
        ((3, 3), "different"),
        ((15, 16), "Less than half a point"),
        ((3, 4.5), "no whole number"),
    ],
)
def test_wrong_bins_are_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_02.bins(*given, subject)


# Lesson 03


@pytest.mark.parametrize("given", [10, "10", 8, 15, 0.1, "10 %", np.int64(12), torch.tensor([7])])
def test_flips_by_noise_are_guessed_in_any_form(noise: Any, given: Any) -> None:
    assert checks_03.flipped_by_noise(given, noise).startswith("✓ Close")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (0, "Too few"),
        ("0", "Too few"),
        (100, "Too many"),
        (50, "Too many"),
        (99999, "is not from 0"),
    ],
)
def test_nothing_and_all_are_not_close(noise: Any, given: Any, hint: str) -> None:
    assert hint in checks_03.flipped_by_noise(given, noise)


EPSILON = 8 / 255


def slope(model: Any, images: Any, labels: Any) -> Any:
    images = images.clone().requires_grad_()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    return images.grad


def one_step(model: Any, images: Any, labels: Any) -> Any:
    return (images + EPSILON * slope(model, images, labels).sign()).clamp(0, 1)


@pytest.mark.parametrize(
    "given",
    [
        one_step,
        lambda m, x, y: one_step(m, x[...], y),
        lambda m, x, y: one_step(m, x, y).numpy(),
        lambda m, x, y: one_step(m, x, y).double().tolist(),
    ],
)
def test_an_attack_is_taken_as_tensor_array_or_list(subject: Any, given: Any) -> None:
    assert checks_03.fgsm(given, subject, EPSILON).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (lambda m, x, y: x, "as they were"),
        (lambda m, x, y: x - EPSILON * slope(m, x, y).sign(), "downhill"),
        (lambda m, x, y: x + slope(m, x, y), "only its sign counts"),
        (lambda m, x, y: x + EPSILON * slope(m, x, y).sign(), "clip them"),
        (lambda m, x, y: x + 8 * slope(m, x, y).sign(), "should by 8"),
        (lambda m, x, y: x[0], "Shape (3, 32, 32) came back"),
        (lambda m, x, y: None, "None came back"),
        (lambda m, x, y: x * math.nan, "finite"),
        (lambda m, x, y: 1 / 0, "It stopped with ZeroDivisionError"),
    ],
)
def test_a_wrong_attack_is_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_03.fgsm(given, subject, EPSILON)


@pytest.mark.parametrize("given", ["fc", "FC", np.str_("fc"), 2, np.int64(2), torch.tensor(2)])
def test_a_layer_is_taken_by_name_and_position(layers: Any, given: Any) -> None:
    assert checks_03.takes_over(given, layers).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [("conv1", "2.0 times"), ("probabilities", "Softmax"), ("layer9", "none of"), (7, "none of")],
)
def test_a_wrong_layer_is_told_why(layers: Any, given: Any, hint: str) -> None:
    assert hint in checks_03.takes_over(given, layers)


@pytest.mark.parametrize("given", [3, 4, "3.4", "3/255", 4 / 255, np.float32(3), torch.tensor([4])])
def test_an_epsilon_is_taken_in_grey_levels_and_pixel_units(subject: Any, given: Any) -> None:
    assert checks_03.smallest(given, subject, 609).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [(8, "less is enough"), (1, "is not enough"), (0, "no change"), (300, "no change")],
)
def test_a_wrong_epsilon_is_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_03.smallest(given, subject, 609)


@pytest.mark.parametrize(
    "given", [(5, "ship"), ("5", "Ship"), (np.int64(5), 8), (torch.tensor(5), ["ship"])]
)
def test_a_target_is_taken_in_any_form(subject: Any, given: Any) -> None:
    assert checks_03.targeted(*given, subject, 2 / 255).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ((99999, "ship"), "not from 0 to 1,999"),
        ((-1, "ship"), "not from"),
        ((5, "boat"), "none of"),
    ],
)
def test_a_wrong_target_is_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_03.targeted(*given, subject, 2 / 255)


def test_denoisers_are_told_apart(behind: Any) -> None:
    assert checks_03.denoisers("Pixel", ["guided"], behind).startswith("✓")
    said = checks_03.denoisers("guided", "pixel", behind)
    assert "Wrong about the pixels and the predictions" in said
    assert "17.8" not in said
    assert "None is none of pixel, guided" in checks_03.denoisers(None, "pixel", behind)


def test_knowledge_is_taken_in_any_spelling(subject: Any) -> None:
    few = {"images": 4, "correct_only": True}
    assert checks_03.broken("White box", subject, ("pixel", "guided"), **few).startswith("✓")
    assert "Which attack knows" in checks_03.broken("grey-box", subject, ("guided",), **few)


# Lesson 04


@pytest.mark.parametrize("given", [0.2, "0.2", 20, "20 %", "20%", "1/5", np.float32(0.2), [0.2]])
def test_a_level_is_taken_in_any_form(pruned: Any, given: Any) -> None:
    assert checks_04.cliff(given, pruned).startswith("✓")


@pytest.mark.parametrize("given", [0, "0", 0.02, "2%"])
def test_a_level_before_the_cliff_is_told_so(pruned: Any, given: Any) -> None:
    assert checks_04.cliff(given, pruned).startswith("✗ The cliff comes later")


def silencing(quantile: Callable[[Any, float], Any]) -> Callable[[Any, float], None]:
    def silence(weights: Any, share: float) -> None:
        threshold = quantile(torch.cat([weight.abs().flatten() for weight in weights]), share)
        for weight in weights:
            weight[weight.abs() <= threshold] = 0

    return silence


def threshold_by_dots(weights: Any, share: float) -> None:
    threshold = torch.cat([weight.abs().flatten() for weight in weights]).quantile(share)
    for weight in weights:
        weight[...] = torch.where(weight.abs() <= threshold, 0.0, weight)


@pytest.mark.parametrize("given", [silencing(torch.quantile), threshold_by_dots])
def test_the_smallest_weights_are_silenced(subject: Any, given: Any) -> None:
    assert checks_04.mask(given, subject, 0.5).startswith("✓")


def each_layer(weights: Any, share: float) -> None:
    for weight in weights:
        weight[weight.abs() <= weight.abs().flatten().quantile(share)] = 0


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (silencing(lambda sizes, share: sizes.quantile(1 - share)), "belongs to what stays"),
        (silencing(lambda sizes, share: sizes.quantile(0.5)), "use `share`"),
        (silencing(lambda sizes, share: share), "became 0, not 50%"),
        (each_layer, "One threshold for all layers"),
        (lambda weights, share: [weight * 0 for weight in weights], "No weight changed"),
        (lambda weights, share: [weight.mul_(0) for weight in weights], "100.0%"),
    ],
)
def test_a_wrong_mask_is_told_why(subject: Any, given: Any, hint: str) -> None:
    assert hint in checks_04.mask(given, subject, 0.5)


@pytest.mark.parametrize("given", [("dog", 0.2), ("Dog", "20 %"), (1, 20), (np.int64(1), [0.2])])
def test_who_pays_is_taken_in_any_form(pruned: Any, given: Any) -> None:
    assert checks_04.worst_off(*given, pruned).startswith("✓")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (("cat", 0.2), "Another class has lost more"),
        (("dog", 0.02), "Not yet 20 points"),
        (("dgo", 0.2), "none of cat, dog"),
        (("dog", 0.3), "none of the levels 0, 0.02, 0.2"),
    ],
)
def test_a_wrong_payer_is_told_why(pruned: Any, given: Any, hint: str) -> None:
    assert hint in checks_04.worst_off(*given, pruned)


def test_hidden_flips(pruned: Any) -> None:
    assert checks_04.hidden_flips("2%", pruned).startswith("✓")
    assert "nothing changes" in checks_04.hidden_flips(0, pruned)
    assert "Too much is seen" in checks_04.hidden_flips(20, pruned)


def test_calibrated_and_useless(pruned: Any) -> None:
    assert checks_04.calibrated_and_useless("20 %", pruned).startswith("✓")
    assert "Confidences are worse" in checks_04.calibrated_and_useless(2, pruned)
    assert "neither result nor extreme" in checks_04.calibrated_and_useless(0.2, "extreme")


# Lesson 05


@pytest.mark.parametrize("given", ["C", "c", " C ", ["C"], np.str_("c")])
def test_a_network_is_taken_by_its_letter(three: Any, given: Any) -> None:
    assert checks_05.withstands(given, three).startswith("✓ Right: the strongest of 2 attacks")


def test_who_only_seems_to_withstand_is_told_from_who_is_broken(three: Any) -> None:
    said = checks_05.withstands("B", three)
    assert "So it seems: an attack leaves 70% right. Noise of its size leaves 80%" in said
    assert "C" not in said.partition(":")[2]
    assert "broken by the attack in the table: 0% are left" in checks_05.withstands("A", three)
    assert "'D' is none of A, B, C" in checks_05.withstands("D", three)


def test_images_without_a_slope_are_counted(loud: Any) -> None:
    flat = int(checks_05._flat(checks_05._entropy, loud).sum())
    assert 0 < flat < 8
    for given in (flat, str(flat), torch.tensor(flat), np.array([flat])):
        assert checks_05.silent(given, loud).startswith(f"✓ Right: for {flat} of 8 images")
    wrong = (flat + 1) if flat + 1 != 8 - flat else flat - 1
    assert checks_05.silent(wrong, loud).startswith("✗ Not so")
    assert "is not from 0 to 8" in checks_05.silent(3072, loud)
    if flat != 4:
        assert "Count the others" in checks_05.silent(8 - flat, loud)


def gap(logits: Any, labels: Any) -> Any:
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - own


def odds(logits: Any, labels: Any) -> Any:
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1) - own


def ratio(logits: Any, labels: Any) -> Any:
    spread = logits.sort(1).values
    return gap(logits, labels) / (spread[:, -1] - spread[:, -3])


@pytest.mark.parametrize("given", [gap, odds, ratio, lambda z, y: gap(z, y) * 0.1])
def test_losses_that_never_drown_are_taken(loud: Any, given: Any) -> None:
    said = checks_05.scale_free(given, loud)
    assert said.startswith("✓ Right: there is a slope on all 8 images"), said


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (lambda z, y: -gap(z, y), "wrong way"),
        (lambda z, y: z.amax(1) - z.gather(1, y[:, None])[:, 0], "Leave the label out"),
        (lambda z, y: torch.nn.functional.cross_entropy(z, y, reduction="none"), "drowns"),
        (lambda z, y: torch.nn.functional.cross_entropy(z, y), "Shape () came back"),
        (lambda z, y: -z.gather(1, y[:, None])[:, 0], "largest of the other logits"),
        (lambda z, y: gap(z, y).detach(), "no slope"),
        (lambda z, y: gap(z, y) * math.nan, "finite"),
        (lambda z, y: gap(z, y).numpy(), "It stopped with RuntimeError"),
    ],
)
def test_a_loss_that_misleads_is_told_why(loud: Any, given: Any, hint: str) -> None:
    assert hint in checks_05.scale_free(given, loud)


def test_a_network_is_broken_within_the_size_that_is_allowed(loud: Any) -> None:
    epsilon = 2 / 255
    attacked = rw.attack(loud, epsilon=epsilon, loss="margin")
    assert checks_05.unmasked(attacked, loud, epsilon).startswith("✓ Broken: 0 of 8 still right")
    for given, words in (
        (attacked, "2/255, and 1/255 is allowed"),
        (rw.attack(loud, epsilon=1 / 255, loss="cross-entropy"), "Which loss has a slope"),
        (loud, "Not broken: 8 of 8"),
        (loud.images, "is no Subject"),
        (loud[:3], "is no Subject with these images"),
    ):
        assert words in checks_05.unmasked(given, loud, 1 / 255), words


def test_a_test_of_the_verdict_is_named(judged: Any) -> None:
    name = "the margin is better than the cross-entropy"
    for given in (name, name.title(), [name]):
        said = checks_05.gives_away(given, judged)
        assert said.startswith("✓ It does: the loss on the margin does more"), said
        assert "to 40 of 64 images" in said
        assert said.endswith("Of 2 tests 1 find something.")
    assert "finds nothing (0 of 64" in checks_05.gives_away(
        "one step is better than several", judged
    )
    assert "none of one step" in checks_05.gives_away("margin", judged)


def test_what_a_smoothed_network_answers_is_guessed(certificate: Any) -> None:
    for given in (0.25, "25 %", 30, "1/4"):
        assert checks_05.smoothed(given, certificate).startswith(
            "✓ Close: it is right on 1 of 4 images, wrong on 1, and gives no answer to 2."
        )
    assert "deviation of 64 grey levels" in checks_05.smoothed(0.9, certificate)
    assert "✗ More" in checks_05.smoothed(0, certificate)


def test_a_length_is_spread_over_an_image(certificate: Any, subject: Any) -> None:
    length = certificate.largest * 255
    wanted = length / 3072**0.5
    assert checks_05.in_levels(f"{wanted:.1f}", certificate, subject).startswith("✓ Right")
    for given, hint in (
        (wanted / 255, "in pixel units"),
        (length, "the whole change"),
        (length / 32, "three numbers"),
        (length / 3072, "Squares add up"),
        (1000, "the root of the sum"),
    ):
        assert hint in checks_05.in_levels(given, certificate, subject)


@pytest.mark.parametrize(
    ("given", "said"), [("under", "✓"), ("Under-confident", "✓"), ("over", "✗ The other way")]
)
def test_the_promise_of_the_twin(given: str, said: str) -> None:
    gap = {"confidence": 0.5, "accuracy": 0.6}
    result = SimpleNamespace(metric=lambda name, when: gap[name])
    assert checks_05.promise(given, result).startswith(said)


# Lesson 10


@pytest.fixture(scope="module")
def benches() -> Any:
    """Workbenches without a page: what is chosen, and what two tabs show."""
    whole = rw.demo("vgg")  # whose temperature does not fit when it is pruned
    few = whole[:64].with_validation(whole.validation[:60])
    first = Bench(few)

    def explorer(*results: Any) -> Any:
        work = SimpleNamespace(shown=SimpleNamespace(others=results[1:]))
        return SimpleNamespace(result=results[0], state=dict, work=work)

    def maps(values: list[float], target: int) -> Any:
        return SimpleNamespace(
            maps=np.array(values).reshape(1, 1, 2, 2),
            index=np.array([7]),
            target=np.array([target]),
            control=lambda: [0.0],
        )

    def path(ratio: float, attack: str) -> Any:
        return SimpleNamespace(
            attack=attack, layers=("input", "logits"), index=[7], ratio=lambda: [1, ratio]
        )

    def make(target: int = 0, attack: str = "bim", tabs: Any = True, **chosen: Any) -> Any:
        bench = Bench(few)
        bench._networks = first._networks  # one pruned network for all
        bench.select(**chosen)
        shown = {
            "saliency": explorer(
                maps([1, 2, 3, 5], 0), maps([1, 2, 3, 4], 0), maps([4, 1, 3, 2], target)
            ),
            "propagation": explorer(*(path(it, attack) for it in (5.0, 8.0, 7.0))),
        }
        return SimpleNamespace(bench=bench, tabs=SimpleNamespace(explorers=shown if tabs else {}))

    return make


@pytest.fixture(scope="module")
def fitted(benches: Any) -> dict[str, float]:
    """The temperatures that fit the whole network and the pruned one."""
    bench = benches(model=THIN).bench
    return {"whole": checks_10._fitted(bench.given), "pruned": checks_10._fitted(bench.subject())}


THIN = "10 % pruned"
CARD = (
    "T = 1.18 fits, not 1.72. Of 512 images 27 change, e.g. some cats. The map agrees by 0.9! "
    "Random removal gives 0.5. Who pays was not measured. Ship it?"
)


def right(temperature: float, words: tuple[str, str]) -> str:
    return words[temperature > 1]


def test_a_temperature_that_was_sent_is_seen(benches: Any, fitted: Any) -> None:
    lab = benches(temperature=fitted["whole"])
    guess = right(fitted["whole"], ("below", "above"))
    assert checks_10.applied(guess, lab).startswith("✓ Right: T = ")
    assert checks_10.applied(f"{guess.upper()} 1", lab).startswith("✓")
    other = right(fitted["whole"], ("above", "below"))
    assert "other way round" in checks_10.applied(other, lab)
    assert "not what the validation" in checks_10.applied(guess, benches(temperature=9.0))


def test_what_was_not_done_yet_is_said_and_does_not_count(benches: Any, fitted: Any) -> None:
    idle, thin = benches(tabs=None), benches(model=THIN, temperature=fitted["whole"], tabs=None)
    for said, words in (
        (checks_10.applied("above", idle), "for all"),
        (checks_10.applied("above", thin), "as given"),
        (checks_10.pruned(5, idle), "row Model"),
        (checks_10.pruned(5, benches(model="untrained")), "row Model"),
        (checks_10.recalibrated("larger", idle), "row Model"),
        (checks_10.recalibrated("larger", thin), "not yet"),
        (checks_10.same_pixels(1, thin), "tab Saliency"),
        (checks_10.further("less", thin), "tab Propagation"),
        (checks_10.same_pixels(1, benches()), "row Model"),
        (checks_10.same_pixels(1, benches(model=THIN)), "list against"),
        (checks_10.same_pixels(1, benches(model=THIN, against=GIVEN, target=4)), "one class"),
        (checks_10.further("less", benches(model=THIN, against=GIVEN, attack="none")), "attack"),
    ):
        assert said.startswith("○"), said
        assert words in said
    assert not sum(checks_10.LESSON.attempts.values())


def test_changed_predictions_are_counted(benches: Any) -> None:
    lab = benches(model=THIN)
    flips = int((lab.bench.subject().logits.argmax(1) != lab.bench.given.logits.argmax(1)).sum())
    for given in (flips, str(flips), np.int64(flips), f"{flips / 64:.4f}"):
        assert checks_10.pruned(given, lab).startswith(f"✓ Close: {flips} of 64 change")
    assert "Too many" in checks_10.pruned(64, lab)
    assert "is not from 0 to 64" in checks_10.pruned(65, lab)


def test_a_pruned_network_has_a_temperature_of_its_own(benches: Any, fitted: Any) -> None:
    lab = benches(model=THIN, temperature=fitted["pruned"])
    words = ("smaller", "larger")
    told = right(fitted["pruned"] / fitted["whole"], words)
    assert checks_10.recalibrated(told, lab).startswith("✓ Right: T = ")
    (other,) = set(words) - {told}
    assert "other way round" in checks_10.recalibrated(other, lab)


def test_maps_and_paths_are_compared_with_the_whole_network(benches: Any) -> None:
    lab = benches(model=THIN, against=GIVEN)
    assert "agree by 1.00. Controls: -0.40 after" in checks_10.same_pixels("0.9", lab)
    assert "Too low" in checks_10.same_pixels(0.1, lab)
    assert "is not from -1 to 1" in checks_10.same_pixels(90, lab)
    assert checks_10.further("Less", lab).startswith("✓ Right on image 7: 5.0 times")
    assert "8.0 in the whole one" in checks_10.further("further", lab)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (CARD, "✓ A card: six sentences, 4 of them with a number"),
        (CARD.replace(" Ship it?", ""), "not six sentences: 5"),
        (CARD.replace("512", "some").replace("27", "some"), "Only 3 of six"),
        (CARD.replace("Random removal", "Another one"), "compared with what"),
        (CARD.replace(". ", ".\n\n"), "✓"),
    ],
)
def test_a_card_has_six_sentences_numbers_and_a_control(given: str, hint: str) -> None:
    assert hint in checks_10.card(given)


# Lesson 11


class Around(torch.nn.Module):
    """A network and what somebody put before and behind it."""

    def __init__(self, net: Any, before: Any = None, behind: Any = None) -> None:
        super().__init__()
        self.net, self.before, self.behind = net, before, behind

    def forward(self, images: Any) -> Any:
        answers = self.net(self.before(images) if self.before else images)
        return self.behind(answers) if self.behind else answers


@pytest.fixture(scope="module")
def brought(subject: Any) -> Callable[..., Any]:
    """Make a function that brings the network as a learner might."""
    normal = {"mean": subject.mean, "std": subject.std}

    def make(before: Any = None, behind: Any = None, **others: Any) -> Callable[[], Any]:
        given = {"images": subject.images[:16], "labels": subject.labels[:16], **normal, **others}
        return lambda: rw.Subject(Around(subject.model, before, behind), **given)

    return make


def test_networks_that_are_right_are_told_so(subject: Any, brought: Any) -> None:
    few = subject[:16]
    grey = few.images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert checks_11.channels(brought(images=grey), few).startswith("✓")
    for check in (checks_11.softmax, checks_11.dropout, checks_11.outputs, checks_11.gradients):
        assert check(brought(), few).startswith("✓"), check.__name__
    assert checks_11.stranger(brought(classes=few.classes), few).startswith("✓")


def test_networks_that_are_wrong_are_told_why(subject: Any, brought: Any) -> None:
    few = subject[:16]
    grey = few.images.mean(1, keepdim=True)
    raw = {"mean": None, "std": None}
    turned = brought(lambda x: x.flip(1), images=few.images.flip(1), classes=few.classes)
    two = brought(behind=lambda z: {"a": z.flip(1), "b": z})
    for said, words in (
        (checks_11.channels(brought(images=grey, **raw), few), "ValueError: the model wants 3 ch"),
        (checks_11.channels(brought(images=grey.expand(-1, 3, -1, -1), **raw), few), "can do"),
        (checks_11.channels(brought(), few), "not the grey images"),
        (checks_11.softmax(brought(behind=lambda z: z.softmax(1)), few), "ends in softmax"),
        (checks_11.dropout(brought(behind=torch.nn.functional.dropout), few), "still draws"),
        (checks_11.outputs(two, few), "Name it, e.g. output='a'"),
        (checks_11.outputs(brought(behind=lambda z: z.flip(1)), few), "It works, and"),
        (checks_11.gradients(brought(lambda x: x.detach()), few), "No gradient reaches"),
        (checks_11.stranger(turned, few), "blue first now"),
        (checks_11.stranger(brought(images=few.images / 2), few), "images are others"),
        (checks_11.stranger(brought(), few), "classes have no names"),
        (checks_11.stranger(lambda: few[:3], few), "3 images came back, not 16"),
        (checks_11.stranger(lambda: None, few), "None came back, and no Subject"),
    ):
        assert said.startswith("✗"), said
        assert words in said, said


# All lessons


def stop(*given: Any) -> Any:
    raise RuntimeError("no\nway")


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no words")


class Unreachable:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("nothing here")


UNREADABLE = [
    None,
    "",
    "abc",
    math.nan,
    {},
    [],
    object(),
    Unspeakable(),
    torch.zeros(2, 3),
    torch.zeros(1, device="meta"),
    torch.ones(1).to_sparse(),
    1j,
    b"0",
]
ODD = [*UNREADABLE, math.inf, -1, 10**9, 10**400, True, "0/0", "2%", "0", 99999, 200, np.zeros(0)]
ODD += [
    Unreachable(),
    stop,
    lambda: None,
    lambda *given: "x",
    lambda *given: torch.zeros(2, 3),
    [[]],
    int,
]


@pytest.fixture
def exercises(request: Any) -> dict[str, tuple[Callable[..., str], list[Any], int]]:
    """By name: the check, answered rightly, and how many of its arguments are the answer."""
    (
        subject,
        horse,
        diagram,
        mystery,
        noise,
        layers,
        behind,
        pruned,
        three,
        loud,
        judged,
        certificate,
        benches,
        fitted,
        brought,
    ) = (
        request.getfixturevalue(name)
        for name in (
            "subject",
            "horse",
            "diagram",
            "mystery",
            "noise",
            "layers",
            "behind",
            "pruned",
            "three",
            "loud",
            "judged",
            "certificate",
            "benches",
            "fitted",
            "brought",
        )
    )
    shown, sixteen = benches(model=THIN, against=GIVEN), subject[:16]
    own = benches(model=THIN, temperature=fitted["pruned"])
    few, bin_ = subject[:3], bin_of(diagram)
    rows = [
        (checks_01.black_credit, [0, horse], 1),
        (checks_01.blur, [blurred, few], 1),
        (checks_01.nothing_shared, [None], 1),
        (checks_01.wins, [None, "white"], 1),
        (checks_01.untrained, [("right", "left", "left"), mystery], 1),
        (checks_02.overconfident, ["under", diagram], 1),
        (checks_02.one_bin, [bin_, diagram, 0.6, 0.8], 1),
        (checks_02.temperature, [1.42, subject], 1),
        (checks_02.worse_than_nothing, [None], 1),
        (checks_02.safe, [1000, subject], 1),
        (checks_02.bins, [3, 100, subject], 2),
        (checks_03.flipped_by_noise, [10, noise], 1),
        (checks_03.fgsm, [one_step, few, EPSILON], 1),
        (checks_03.takes_over, ["fc", layers], 1),
        (checks_03.smallest, [3, few, 0], 1),
        (checks_03.targeted, [5, "ship", subject, 2 / 255], 2),
        (checks_03.denoisers, ["pixel", "guided", behind], 2),
        (checks_03.broken, ["white-box", few, ("pixel",)], 1),
        (checks_04.cliff, [0.2, pruned], 1),
        (checks_04.mask, [silencing(torch.quantile), few, 0.5], 1),
        (checks_04.worst_off, ["dog", 0.2, pruned], 2),
        (checks_04.hidden_flips, [0.02, pruned], 1),
        (checks_04.calibrated_and_useless, [0.2, pruned], 1),
        (checks_05.withstands, ["C", three], 1),
        (checks_05.silent, [7, loud], 1),
        (checks_05.scale_free, [gap, loud], 1),
        (checks_05.unmasked, [loud, loud, 2 / 255], 1),
        (checks_05.gives_away, [judged.verdict.names[0], judged], 1),
        (checks_05.smoothed, [0.25, certificate], 1),
        (checks_05.in_levels, [1.7, certificate, subject], 1),
        (checks_05.promise, ["under", diagram], 1),
        (checks_10.applied, ["above", benches(temperature=fitted["whole"])], 1),
        (checks_10.pruned, [10, shown], 1),
        (checks_10.recalibrated, ["larger", own], 1),
        (checks_10.same_pixels, [0.9, shown], 1),
        (checks_10.further, ["less", shown], 1),
        (checks_10.card, [CARD], 1),
        (checks_11.channels, [brought(), sixteen], 1),
        (checks_11.softmax, [brought(), sixteen], 1),
        (checks_11.dropout, [brought(), sixteen], 1),
        (checks_11.outputs, [brought(), sixteen], 1),
        (checks_11.gradients, [brought(), sixteen], 1),
        (checks_11.stranger, [brought(), sixteen], 1),
    ]
    return {check.__name__: (check, given, count) for check, given, count in rows}


NAMES = [name for lesson in LESSONS for name in lesson.LESSON.done]


def test_every_check_is_tried(exercises: Any) -> None:
    assert list(exercises) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_value_gives_a_traceback(exercises: Any, name: str) -> None:
    check, given, answers = exercises[name]
    for place in range(len(given)):
        for odd in ODD if place < answers else UNREADABLE:
            said = check(*given[:place], odd, *given[place + 1 :])
            assert said.startswith(("✓", "✗")), (odd, said)
            assert "\n" not in said
    assert check().startswith("✗")


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_is_shown_with_how_to_answer(exercises: Any, name: str) -> None:
    check, given, answers = exercises[name]
    for place in range(answers):
        for odd in UNREADABLE:
            said = check(*given[:place], odd, *given[place + 1 :])
            assert said.startswith(f"✗ {checking.seen(odd)} is n"), said
            assert "Answer with " in said


@pytest.mark.parametrize("name", NAMES)
def test_dots_are_not_answered(exercises: Any, name: str) -> None:
    check, given, answers = exercises[name]
    for place in range(answers):
        assert check(*given[:place], ..., *given[place + 1 :]) == checking.OPEN


def test_dots_are_seen_where_an_answer_is_named(subject: Any) -> None:
    assert checks_02.safe(subject=subject, answer=...) == checking.OPEN
    assert checks_02.safe(subject=subject, answer="all").startswith("✗ 'all' is no number.")


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (checks_01.blur, lambda x, sigma: ...),
        (checks_02.temperature, lambda T: ...),
        (checks_03.fgsm, lambda m, x, y: x + ...),
        (checks_04.mask, lambda weights, share: weights[0].quantile(...)),
        (checks_05.scale_free, lambda z, y: z - ...),
    ],
)
def test_a_function_with_gaps_is_not_answered(subject: Any, check: Any, given: Any) -> None:
    others = {checks_03.fgsm: [EPSILON], checks_04.mask: [0.5]}.get(check, [])
    assert check(given, subject, *others) == checking.OPEN


# The report


@pytest.fixture
def lesson() -> checking.Lesson:
    """Two exercises: the first is tried twice and done, the second is open."""
    lesson = checking.Lesson("99_all")

    @lesson.exercise("a number")
    def first(value: Any) -> str:
        return "✓ Right." if checking.number(value) == 1 else "✗ Wrong."

    @lesson.exercise("a number")
    def second(value: Any) -> str:
        return "✓ Right."

    for value in (..., 2, 1, 1, 3):
        first(value)
    second(...)
    return lesson


def test_report_says_what_is_done_and_what_is_open(lesson: Any) -> None:
    assert lesson.report().splitlines() == [
        "1 of 2 exercises are done.",
        "✓ first: 2 attempts",
        "○ second: not tried",
    ]


def test_report_is_written_for_the_teacher(lesson: Any, tmp_path: Any) -> None:
    path = tmp_path / "ada.json"
    assert f"Written to {path}." in lesson.report(path, name="Ada")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record.pop("date").startswith("20")
    assert record == {
        "lesson": "99_all",
        "learner": "Ada",
        "done": 1,
        "of": 2,
        "exercises": {
            "first": {"done": True, "attempts": 2},
            "second": {"done": False, "attempts": 0},
        },
    }


def test_a_report_is_not_written_over(lesson: Any, tmp_path: Any) -> None:
    path = tmp_path / "ada.json"
    path.write_text("mine")
    assert "stays as it is" in lesson.report(path)
    assert path.read_text() == "mine"
    lesson.report(path, replace=True)
    assert json.loads(path.read_text())["of"] == 2


@pytest.mark.parametrize("path", [3.5, object(), "no/such/folder/me.json", "a\0b", []])
def test_a_report_that_cannot_be_written_says_so(lesson: Any, path: Any) -> None:
    assert "✗ Nothing was written" in lesson.report(path)
