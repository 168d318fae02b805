"""Randomised smoothing: what is proved is true, and no more is said than was seen."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core.engine import pulsing
from reliab_widgets.ops.certificates.certificate import Certificate
from reliab_widgets.ops.certificates.smoothing import Smoothed
from tests.models import flat_images


def halfspace(means: list[float], labels: list[int] | None = None) -> Subject:
    """Images of 2 x 2 pixels: a mean m is 2 m - 1 away, in L2, from where the class turns.

    The first logit is the distance along the unit vector (1, 1, 1, 1) / 2 beyond the middle, so
    that a copy under noise of deviation s is answered 0 with probability Phi((2 m - 1) / s).
    """
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.5] * 4, [0.0] * 4]))
        model[1].bias.copy_(torch.tensor([-1.0, 0.0]))
    return Subject(model, flat_images(means, size=2), labels or [0] * len(means))


# --- what is proved is true -------------------------------------------------------------------


def test_the_radius_comes_to_the_true_margin_from_below() -> None:
    """The margin of a half-space is what smoothing proves with infinitely many draws."""
    radii = [
        rw.certify(halfspace([0.625] * copies), draws=draws, alpha=0.01).radius.mean()
        for draws, copies in ((20, 30), (200, 30), (2000, 3), (10000, 1))
    ]
    assert radii == sorted(radii)
    assert 0.23 < radii[-1] < 0.25


def test_a_bound_is_wrong_no_more_often_than_alpha() -> None:
    """400 copies of an image with noise of their own: at most 5 % claim more than is true."""
    found = rw.certify(halfspace([0.625] * 400), images=400, draws=60, select=5, alpha=0.05)
    too_much = found.radius > 0.25
    assert 0 < too_much.sum() <= 33  # 99.9 % of all such experiments


def test_by_hand() -> None:
    """All copies of a white image lie on one side: p is 0.001^(1 / 100)."""
    found = rw.certify(halfspace([1.0]), draws=100, sigma=0.1)
    assert found.counts.tolist() == [[100, 0]]
    assert found.votes.tolist() == [[100, 0]]
    assert found.bound == pytest.approx(10 ** (-3 / 100))
    assert found.radius == pytest.approx(0.1 * NormalDist().inv_cdf(10 ** (-3 / 100)))
    assert found.radius == pytest.approx(found.largest)


class Folded(nn.Module):
    """A small network that is not linear, with weights drawn once."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weights in self.parameters():
                weights.copy_(torch.randn(weights.shape, generator=generator))
            self.layers[1].weight.mul_(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x - 0.5)


def test_no_attack_inside_the_radius_turns_the_vote() -> None:
    """Ascent on the margin of the mean over noise, to the very edge of what is proved."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 4, 4, generator=generator)
    model, sigma = Folded().eval(), 0.25
    labels = model(images).argmax(1)
    found = rw.certify(Subject(model, images, labels), images=40, draws=300, select=30, alpha=0.01)
    proved = torch.from_numpy(found.radius > 0)
    assert proved.sum() > 20
    answers = torch.from_numpy(found.answer)[proved]
    radius = torch.from_numpy(found.radius)[proved].float().view(-1, 1, 1, 1)
    start = images[proved]
    noise = sigma * torch.randn(500, 1, 1, 4, 4, generator=generator)

    def shares(x: Tensor) -> Tensor:
        return model((x + noise).flatten(0, 1)).view(len(noise), len(x), 3).softmax(2).mean(0)

    x, reach = start.clone(), 0.999 * radius
    for _ in range(5):
        x = x.detach().requires_grad_()
        of = shares(x)
        others = of.scatter(1, answers[:, None], 0).amax(1)
        (slope,) = torch.autograd.grad((others - of.gather(1, answers[:, None])[:, 0]).sum(), x)
        change = x.detach() - start + reach * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        x = start + change * (reach / length).clamp(max=1)
    with torch.no_grad():
        moved = model(x.detach()).argmax(1) != model(start).argmax(1)
        fresh = sigma * torch.randn(2000, 1, 1, 4, 4, generator=generator)
        votes = model((x + fresh).flatten(0, 1)).view(2000, len(x), 3).argmax(2)
    turned = votes.mode(0).values != answers
    assert moved.any()  # the network itself is not what was proved
    assert turned.sum() <= 1


def test_near_the_boundary_it_abstains() -> None:
    found = rw.certify(halfspace([0.5, 0.9, 0.1], [0, 0, 0]), draws=200)
    assert found.answer.tolist() == [-1, 0, 1]
    assert found.radius[0] == 0
    assert found.radius[1] > 0
    assert found.abstained == 1
    assert found.accuracy() == pytest.approx(1 / 3)
    assert found.accuracy(found.radius[1]) == pytest.approx(1 / 3)
    assert found.accuracy(found.radius[1] * 1.01) == 0
    assert found.median == 0
    words = str(found)
    assert (
        "not the network itself, is right on 33.3 % (n = 3; 1 wrong, 1 without an answer)" in words
    )
    assert "fewer than half" in words
    assert "sigma 0.25" in words and "200 draws" in words and "alpha = 0.001" in words
    assert f"can prove {found.largest:.2g} at most" in words


def test_the_class_is_chosen_by_other_copies_than_bound_it() -> None:
    """Bounded is the class that the first copies chose, even if the others disagree."""
    facts: dict[str, Any] = {"subject": "made up", "sigma": 1.0, "alpha": 0.001}
    found = Certificate(
        **facts,
        select=3,
        draws=100,
        index=np.array([0]),
        truth=np.array([1]),
        votes=np.array([[2, 1]]),
        counts=np.array([[1, 99]]),
    )
    assert found.answer.tolist() == [-1]
    assert found.bound[0] < 0.01


class Outside(nn.Module):
    """Tells whether any pixel is above 1."""

    def forward(self, x: Tensor) -> Tensor:
        beyond = (x > 1).flatten(1).any(1).float() + 0 * x.sum((1, 2, 3))
        return torch.stack([3 - 6 * beyond, 6 * beyond - 3], 1)


def test_noise_is_not_clipped() -> None:
    """Of white images 15 in 16 copies have a pixel above 1."""
    found = rw.certify(Subject(Outside(), torch.ones(1, 1, 2, 2), [0]), draws=1000)
    assert found.counts[0, 1] == pytest.approx(1000 * 15 / 16, abs=4 * math.sqrt(1000 * 15) / 16)


def test_a_network_trained_with_noise_is_proved_more() -> None:
    knobs: dict[str, Any] = {"images": range(10), "draws": 60, "select": 10, "alpha": 0.01}
    plain, noise = (rw.certify(rw.demo(name), **knobs) for name in ("resnet20", "resnet20-noise"))
    assert noise.accuracy() > plain.accuracy() + 0.3
    assert noise.median > plain.median == 0


# --- the same everywhere ----------------------------------------------------------------------


def test_batches_change_no_count() -> None:
    subject = halfspace([0.6, 0.5])
    copies = range(7, 40)
    one, *others = (Smoothed(subject, 0.25, 0, batch).counts(1, copies) for batch in (33, 1, 8))
    for other in others:
        np.testing.assert_array_equal(one, other)
    parts = [Smoothed(subject, 0.25, 0, 8).counts(1, it) for it in (copies[:5], copies[5:])]
    np.testing.assert_array_equal(one, sum(parts))


def test_a_slice_and_an_executor_change_no_count() -> None:
    subject = halfspace([0.5, 0.55, 0.6, 0.5])
    whole = rw.certify(subject, draws=100)
    part = rw.certify(subject[2:], draws=100)
    np.testing.assert_array_equal(part.counts, whole.counts[2:])
    with ThreadPoolExecutor(3) as executor:
        pooled = rw.certify(subject, draws=100, executor=executor)
    np.testing.assert_array_equal(pooled.counts, whole.counts)
    np.testing.assert_array_equal(pooled.votes, whole.votes)


def test_copies_are_drawn_by_the_seed_and_for_each_image() -> None:
    subject = halfspace([0.5, 0.5])
    one, same, other = (rw.certify(subject, draws=300, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.counts, same.counts)
    assert (one.counts != other.counts).any()
    assert (one.counts[0] != one.counts[1]).any()
    more = rw.certify(subject, draws=400)  # how many there are changes none of them
    assert (more.counts >= one.counts).all()
    np.testing.assert_array_equal(more.votes, one.votes)


def test_it_counts_and_stops() -> None:
    subject = halfspace([0.5, 0.6])
    ticks: list[tuple[int, int]] = []
    rw.certify(subject, draws=130, select=10, progress=lambda *tick: ticks.append(tick))
    assert ticks == [(done, 8) for done in range(9)]  # 64 copies at a time

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        rw.certify(subject, progress=stop)
    asked = []

    def beat() -> None:
        asked.append(1)
        if len(asked) == 5:
            raise rw.Cancelled

    with pulsing(beat), pytest.raises(rw.Cancelled):
        rw.certify(subject, draws=64)


def test_it_is_saved_and_is_a_table(tmp_path: Path) -> None:
    found = rw.certify(halfspace([0.7, 0.5]), draws=50)
    loaded = rw.load(found.save(tmp_path / "certificate.npz"))
    assert isinstance(loaded, Certificate)
    assert str(loaded) == repr(found)
    table = found.to_frame()
    assert table.columns.tolist() == ["image", "truth", "answer", "bound", "radius"]
    assert table.radius.tolist() == loaded.radius.tolist()


def test_images_are_chosen_as_elsewhere() -> None:
    subject = halfspace([0.6] * 40)
    assert len(rw.certify(subject, draws=10, select=1).index) == 32
    assert rw.certify(subject[:3], draws=10, select=1).index.tolist() == [0, 1, 2]
    assert rw.certify(subject, images=[5, -1], draws=10, select=1).index.tolist() == [5, 39]


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"sigma": 0}, r"sigma must be a number above 0.*got 0\. Pass sigma=.*pixel units"),
        ({"sigma": -0.25}, "sigma must be a number above 0"),
        ({"sigma": 64}, "sigma must be a number above 0 and at most 10: got 64"),
        ({"alpha": 0}, r"alpha must be a number above 0 and below 1: got 0\. Pass alpha="),
        ({"alpha": 1}, "alpha must be a number above 0 and below 1"),
        ({"select": 0}, "select must be a whole number"),
        ({"draws": 0}, "draws must be a whole number"),
        (
            {"draws": 9},
            r"so few draws can prove nothing.*: got draws=9 with alpha=0.001\. Pass draws= as at "
            "least 10, better a thousand, or a larger alpha=",
        ),
        ({"draws": 3, "alpha": 0.125}, "Pass draws= as at least 4,"),
        ({"images": 9}, r"images is more than there are: got 9, there are 2"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rw.certify(halfspace([0.6, 0.7]), **knobs)


def test_the_fewest_draws_can_prove_something() -> None:
    assert rw.certify(halfspace([1.0]), draws=10, select=1, sigma=0.1).radius[0] > 0


def test_a_negative_radius_is_refused() -> None:
    found = rw.certify(halfspace([0.7]), draws=10)
    with pytest.raises(ValueError, match=r"radius must be a number of at least 0: got -1"):
        found.accuracy(-1)
