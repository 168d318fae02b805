"""Robust or hidden: each test by hand-made arrays, then networks that hide in known ways."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.ops.attacks.adversary import adversary
from reliab_widgets.ops.attacks.attack import Attack
from reliab_widgets.ops.attacks.noise import signs
from reliab_widgets.ops.attacks.verdict import FEWEST, RARE, ROLES, TESTS, Verdict, verdict

N = 64


def first(k: int, after: int = 0, n: int = N) -> np.ndarray:
    """True for k images from the one numbered ``after``."""
    return (np.arange(n) >= after) & (np.arange(n) < after + k)


# By test: what makes it fire, what does not, and the sentence.
BY_HAND: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "gradients are zero": (
        {"blind": first(9)},
        {"blind": first(1)},
        "the gradient of 9 of 64 images is exactly zero",
    ),
    "the cross-entropy drowns": (
        {"drowned": first(40)},
        {"drowned": first(31), "blind": first(0)},
        "the cross-entropy of 40 of 64 images is exactly 0, and so is its slope",
    ),
    "another draw undoes the attack": (
        {"undone": first(9)},
        {"undone": first(1), "blind": first(0)},
        "the network draws, and another draw undoes the attack on 9 of 64 images",
    ),
    "one step is better than several": (
        {"one step": first(20), "several steps": first(9, after=2)},
        {"one step": first(9), "several steps": first(20)},
        "one step does more than several to 11 of 64 images (less to 0)",
    ),
    "a random start is needed": (
        {"random start": first(30), "several steps": first(20, after=12)},
        {"random start": first(30), "several steps": first(30, after=1)},
        "a random start does more to 12 of 64 images than none (less to 2)",
    ),
    "the margin is better than the cross-entropy": (
        {"margin loss": first(50), "random start": first(20)},
        {"margin loss": first(22), "random start": first(20)},
        "the loss on the margin does more than the cross-entropy to 30 of 64 images (less to 0)",
    ),
    "more steps or restarts still help": (
        {"longer": first(60), "several steps": first(40)},
        {"longer": first(42), "several steps": first(40)},
        "more steps or restarts do more to 20 of 64 images (less to 0)",
    ),
    "the black box is better than the gradient": (
        {
            "black box": first(12, after=40),
            "several steps": first(38),
            "one step": first(3, after=37),
        },
        {
            "black box": first(12, after=39),
            "several steps": first(48),
            "one step": first(3, after=47),
        },
        "the black box breaks 12 of 64 images that no gradient attack breaks",
    ),
    "noise is as good as the attack": (
        {"clean": first(0), "noise": first(9), "several steps": first(8)},
        {"clean": first(0), "noise": first(9), "several steps": first(10)},
        "noise breaks 9 of 64 images, the attack no more than 8",
    ),
    "epsilon 1 does not break all": (
        {"epsilon 1": first(60)},
        {"epsilon 1": first(63)},
        "4 of 64 images withstand even epsilon 1",
    ),
}


def given(arrays: dict[str, Any]) -> Verdict:
    broken = {role: it for role, it in arrays.items() if role in ROLES}
    return verdict(broken, *(arrays.get(it) for it in ("blind", "drowned", "undone")))


def test_every_test_is_tried_by_hand() -> None:
    assert list(BY_HAND) == list(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_it_fires_where_it_should_and_only_there(name: str) -> None:
    fires, holds, words = BY_HAND[name]
    found = given(fires)
    assert [it.name for it in found.tests if it.fired] == [name]
    assert str(found) == f"hidden: {words}"
    assert found.hidden
    quiet = given(holds)
    assert (name in quiet.names) is (name not in RARE)
    assert name not in RARE or name not in quiet.missing
    assert not quiet.hidden
    assert str(quiet).startswith("nothing hidden found (")


def test_numbers_by_hand() -> None:
    found = given({"one step": first(9, after=1), "several steps": first(2)})
    (it,) = found.tests
    assert (it.number, it.against, it.n) == (8, 1, 64)
    assert it.chance == pytest.approx(10 / 2**9)  # 8 or 9 heads of 9
    assert it.fired
    found = given({"epsilon 1": first(61)})
    assert found.chance[0] == pytest.approx(1 - sum(_binomial(k) for k in range(3)))


def _binomial(k: int) -> float:
    from math import comb

    return comb(64, k) * 0.01**k * 0.99 ** (64 - k)


def test_nothing_hides_from_an_attack_that_breaks_all() -> None:
    everything = dict.fromkeys(ROLES, first(64)) | {"clean": first(10)}
    found = verdict(everything, blind=first(0))
    assert str(found) == "nothing hidden found (8 tests)"
    assert found.n == 54
    assert found.missing == ()


def test_attacks_that_do_the_same_tell_nothing() -> None:
    same = dict.fromkeys(set(ROLES) - {"clean", "noise", "epsilon 1"}, first(30))
    assert str(verdict(same)) == "nothing hidden found (5 tests, 3 left out)"


def test_what_is_missing_is_said() -> None:
    found = verdict({"several steps": first(30), "black box": first(20), "noise": first(5)})
    assert found.names == ("the black box is better than the gradient",)
    assert len(found.missing) == 7
    assert "noise is as good as the attack" in found.missing  # without "clean"
    assert str(found) == "nothing hidden found (1 test, 7 left out)"
    assert str(verdict({"several steps": first(3)})) == "no verdict: no two attacks to compare"
    assert str(verdict({"black box": first(9)})) == "no verdict: no two attacks to compare"


def test_few_images_get_no_verdict() -> None:
    few = {"epsilon 1": first(0, n=FEWEST - 1)}
    assert str(verdict(few)) == "no verdict: 7 images are too few, 8 are needed"
    assert not verdict(few).hidden
    assert len(verdict(few).missing) == len(TESTS) - len(RARE)
    left = {"epsilon 1": first(0), "clean": first(60)}
    assert str(verdict(left)) == "no verdict: 4 images are too few, 8 are needed"
    all_of_one_mind = {"one step": first(8, n=FEWEST), "several steps": first(0, n=FEWEST)}
    assert verdict(all_of_one_mind).hidden
    assert str(verdict({})) == "no verdict: 0 images are too few, 8 are needed"


def test_the_sentence_is_one_and_the_others_are_counted() -> None:
    found = verdict({"epsilon 1": first(0), "one step": first(0)}, blind=first(64))
    assert str(found) == (
        "hidden: the gradient of 64 of 64 images is exactly zero (1 more of 2 tests say so)"
    )


def test_more_tests_ask_more_of_each() -> None:
    """Six of six are enough for one test (2^-6 < 5 %), not for one of four (> 5 % / 4)."""
    one = {"one step": first(6), "several steps": first(0)}
    assert verdict(one).hidden
    others = {"margin loss": first(0), "longer": first(0), "random start": first(0)}
    assert not verdict(one | others).hidden


def test_a_sure_trifle_is_no_matter() -> None:
    """49 of 1,000 images, all one way: beyond chance, and less than five in a hundred."""
    small = {"one step": first(49, n=1000), "several steps": first(0, n=1000)}
    assert not verdict(small).hidden
    assert verdict(small).chance[0] < 1e-4
    large = {"one step": first(50, n=1000), "several steps": first(0, n=1000)}
    assert verdict(large).hidden
    assert not verdict({"epsilon 1": first(981, n=1000)}).hidden
    assert verdict({"epsilon 1": first(980, n=1000)}).hidden


def test_images_that_were_wrong_before_are_left_out() -> None:
    clean = first(20)
    arrays = {"noise": first(29), "several steps": first(25)}
    found = verdict(arrays | {"clean": clean})
    assert (found.n, found.number.tolist(), found.against.tolist()) == (44, [9], [5])
    assert found.hidden


def test_several_epsilons_are_compared_image_by_image() -> None:
    """The better attack breaks at a smaller epsilon, though at the largest all are broken."""
    one = np.stack([first(0), first(20), first(64)])
    several = np.stack([first(0), first(4, after=16), first(64)])
    found = verdict({"one step": one, "several steps": several})
    assert (found.number.tolist(), found.against.tolist()) == ([16], [0])
    assert found.hidden
    assert not verdict({"one step": several, "several steps": one}).hidden


def test_what_breaks_breaks_at_larger_epsilons_too() -> None:
    """One step may overshoot; whoever got there once needs no luck later."""
    steps = np.stack([first(30), first(10)])
    found = verdict({"one step": np.stack([first(30), first(30)]), "several steps": steps})
    assert found.number.tolist() == [0]
    black = {"black box": np.stack([first(0), first(30)]), "several steps": steps}
    assert verdict(black).number.tolist() == [0]


def test_blind_is_who_is_blind_at_all_epsilons() -> None:
    found = verdict({}, blind=np.stack([first(64), first(3)]))
    assert found.number.tolist() == [3]


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Attacks of equal strength on 2,000 made-up networks: under 5 % are called hidden."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        share = generator.random()
        drawn = {role: generator.random(N) < share for role in set(ROLES) - {"clean", "black box"}}
        # Whoever may not be surpassed at all misses what a good attack misses.
        drawn["epsilon 1"] = generator.random(N) >= 0.01
        drawn["black box"] = drawn["several steps"] | (generator.random(N) < 0.01)
        drawn["clean"] = first(0)
        del drawn["noise"]
        alarms += verdict(drawn, blind=generator.random(N) < 0.01).hidden
    assert alarms < 100


def test_it_is_saved_and_is_a_table(tmp_path: Path) -> None:
    found = given(BY_HAND["noise is as good as the attack"][0])
    loaded = rw.load(found.save(tmp_path / "verdict.npz"))
    assert isinstance(loaded, Verdict)
    assert str(loaded) == repr(found)
    table = found.to_frame()
    assert table.columns.tolist() == ["name", "fired", "number", "against", "n", "chance"]
    assert table.name.tolist() == list(found.names)


@pytest.mark.parametrize(
    ("broken", "kind", "words"),
    [
        ({"blackbox": first(3)}, ValueError, r"nobody is known.*'blackbox'.*nearest: black box"),
        ({"noise": [1, 0]}, TypeError, r"no|not told by truth values: noise is int64 of shape"),
        ({"clean": np.zeros((2, 9), bool)}, TypeError, r"clean is bool.*\(n,\)\."),
        ({"noise": np.zeros((2, 2, 9), bool)}, TypeError, r"\(n,\) or \(E, n\)"),
        (
            {"noise": first(3), "one step": first(3, n=9)},
            ValueError,
            r"not about the same: noise \(64,\), one step \(9,\)\. Pass the same images",
        ),
        (
            {"noise": np.zeros((2, 9), bool), "one step": np.zeros((3, 9), bool)},
            ValueError,
            "not about the same",
        ),
    ],
)
def test_other_arrays_are_refused(broken: dict[str, Any], kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        verdict(broken)


# --- networks that hide -----------------------------------------------------------------------

EPSILON, FEW = 8 / 255, 12


class Scaled(nn.Module):
    """The same answers, surer."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.model(x)


class Quantised(nn.Module):
    """Sees 16 values of each pixel, so that the slope is 0 wherever there is one."""

    def __init__(self, model: nn.Module, mean: Any, std: Any) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(((x * 15).round() / 15 - self.mean) / self.std)


def quantised(subject: Subject) -> Subject:
    model = Quantised(subject.model, subject.mean, subject.std)
    return Subject(model, subject.images, subject.labels, name="quantised")


def scaled(subject: Subject, factor: float) -> Subject:
    return Subject(
        Scaled(subject.model, factor),
        subject.images,
        subject.labels,
        mean=subject.mean,
        std=subject.std,
        name=f"times {factor:g}",
    )


def search(subject: Subject, epsilon: float, queries: int) -> np.ndarray:
    """A random search for squares of the ball's edge that lower the margin, without gradients."""
    generator = torch.Generator().manual_seed(0)
    images, labels = subject.images, subject.labels
    n, channels, side, _ = images.shape

    def margin(x: Tensor) -> Tensor:
        logits = subject.predict(x)
        own = logits.gather(1, labels[:, None])[:, 0]
        return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)

    stripes = torch.randint(2, (n, channels, 1, side), generator=generator) * 2.0 - 1
    best = (images + epsilon * stripes).clamp(0, 1)
    lowest = torch.minimum(margin(best), margin(images))
    for query in range(queries):
        size = max(1, int(side * 0.5 * (1 - query / queries)))
        row, column = (
            int(torch.randint(side - size + 1, (), generator=generator)) for _ in range(2)
        )
        tried = best.clone()
        where = (slice(None), slice(None), slice(row, row + size), slice(column, column + size))
        to = torch.randint(2, (n, channels, 1, 1), generator=generator) * 2.0 - 1
        tried[where] = (images[where] + epsilon * to).clamp(0, 1)
        now = margin(tried)
        better = now < lowest
        best[better], lowest = tried[better], torch.minimum(now, lowest)
    return (lowest < 0).numpy()


def plain_ascent(subject: Subject, epsilon: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """PGD on the cross-entropy as everybody writes it, and where every slope was 0."""
    images, labels = subject.images, subject.labels
    x, blind = images.clone(), torch.ones(len(images), dtype=torch.bool)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(subject.predict(x), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
        blind &= ~slope.flatten(1).any(1)
        stride = epsilon if steps == 1 else 1.25 * epsilon / steps
        x = x.detach() + stride * slope.sign()
        x = torch.minimum(torch.maximum(x, images - epsilon), images + epsilon).clamp(0, 1)
    return (subject.predict(x.detach()).argmax(1) != labels).numpy(), blind.numpy()


def examined(subject: Subject, own: bool = True, queries: int = 40) -> Verdict:
    """The verdict on a network, by our attacks or by the cross-entropy as everybody writes it."""
    where = range(len(subject))

    def by(method: str, epsilon: float = EPSILON, steps: int = 10) -> tuple[np.ndarray, np.ndarray]:
        if not own:
            return plain_ascent(subject, epsilon, 1 if method == "fgsm" else steps)
        found = adversary(subject, Attack(method, epsilon, steps), None, "grey-box")(where)
        return found.success.numpy(), found.blind.numpy()

    noisy = signs(subject.images, subject.positions, torch.full((len(subject),), EPSILON))
    several, blind = by("bim")
    broken = {
        "clean": (subject.logits.argmax(1) != subject.labels).numpy(),
        "noise": (subject.predict(noisy).argmax(1) != subject.labels).numpy(),
        "one step": by("fgsm")[0],
        "several steps": several,
        "longer": by("bim", steps=20)[0],
        "black box": search(subject, EPSILON, queries),
        "epsilon 1": by("bim", epsilon=1)[0],
    }
    if own:
        broken["random start"] = by("pgd")[0]
    return verdict(broken, blind)


@pytest.fixture(scope="module")
def plain() -> Subject:
    return rw.demo("resnet20")[:FEW]


def test_a_plain_network_hides_nothing(plain: Subject) -> None:
    found = examined(plain)
    assert str(found) == "nothing hidden found (7 tests, 1 left out)"


@pytest.mark.parametrize("factor", [30, 1000])
def test_a_scale_hides_nothing_from_our_attacks(plain: Subject, factor: float) -> None:
    assert not examined(scaled(plain, factor)).hidden


def test_a_scale_is_seen_through_where_the_loss_drowns(plain: Subject) -> None:
    found = examined(scaled(plain, 1000), own=False)
    fired = [it.name for it in found.tests if it.fired]
    assert "gradients are zero" in fired
    assert "the black box is better than the gradient" in fired


def test_a_quantised_input_hides(plain: Subject) -> None:
    found = examined(quantised(plain))
    fired = [it.name for it in found.tests if it.fired]
    assert {"gradients are zero", "epsilon 1 does not break all"} <= set(fired)
    assert "the black box is better than the gradient" in fired
