"""Universal perturbations: what the pattern must be, what its controls are, what is counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.universal.compute import _crafted
from reliab_widgets.analyses.universal.result import KINDS, Universal
from reliab_widgets.core.known import known_by
from reliab_widgets.core.validation import pictures
from reliab_widgets.ops.attacks.universal import grown, length, like, shuffled

SIGNS = torch.tensor([1.0, -1, -1, 1, 1, 1, -1, 1, -1]).view(1, 3, 3)


class Linear(nn.Module):
    """Two classes: the second is answered where the sum of pixels times SIGNS is above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        slope = (images * SIGNS).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(slope), slope], 1)


def at(margins: Tensor) -> Tensor:
    """Images that `Linear` answers by these logits."""
    return 0.5 + (margins.view(-1, 1, 1, 1) - 0.5) * SIGNS / 9  # the signs sum to 1


def below(most: float, n: int = 32) -> Tensor:
    """Images answered by the first class, by margins from nearly 0 up to ``most``."""
    return at(-torch.linspace(most / n, most, n))


@pytest.mark.parametrize(("norm", "radius"), [("Linf", 0.1), ("L2", 0.3)])
def test_of_a_linear_network_it_is_the_pattern_known_by_hand(norm: str, radius: float) -> None:
    """All must go up: the best pattern is the sign of the weights, in both norms."""
    reach = 9 * radius if norm == "Linf" else 3 * radius  # what a whole pattern adds to the margin
    images = below(0.95 * reach)
    answers = Linear()(images).argmax(1)
    assert not answers.any()
    *_, pattern = grown(Linear(), images, answers, norm=norm, radius=radius, passes=9)
    assert torch.equal(pattern.sign(), SIGNS)
    assert torch.allclose(pattern.abs(), pattern.abs()[0, 0, 0])
    assert 0.95 * radius <= length(pattern, norm) <= radius * (1 + 1e-6)
    assert Linear()(images + pattern).argmax(1).all()


@pytest.mark.parametrize(("norm", "radius"), [("Linf", 0.02), ("L2", 0.1)])
def test_it_never_leaves_its_ball(norm: str, radius: float) -> None:
    """Half of the images are further away than any pattern of that size leads."""
    images = below(2 * (9 * radius if norm == "Linf" else 3 * radius))
    answers = Linear()(images).argmax(1)
    sizes = [
        length(it, norm)
        for it in grown(Linear(), images, answers, norm=norm, radius=radius, passes=9)
    ]
    assert len(sizes) == 9 * len(images)
    assert 0.99 * radius < sizes[-1]
    assert max(sizes) <= radius * (1 + 1e-6)


def test_with_a_target_all_are_led_to_it() -> None:
    images = at(torch.linspace(-0.5, 0.5, 32))
    answers = Linear()(images).argmax(1)
    assert sorted(answers.tolist()) == [0] * 16 + [1] * 16
    given: dict[str, Any] = {"norm": "Linf", "radius": 0.1, "passes": 5}
    for target in (0, 1):
        *_, pattern = grown(Linear(), images, answers, target=target, **given)
        assert (Linear()(images + pattern).argmax(1) == target).all()


def test_an_image_takes_two_passes_at_most() -> None:
    passes: list[int] = []

    def model(images: Tensor) -> Tensor:
        passes.append(len(images))
        return Linear()(images)

    images = below(0.9)
    answers = Linear()(images).argmax(1)
    list(grown(model, images, answers, norm="Linf", radius=0.1, passes=3))
    assert set(passes) == {1}
    assert len(passes) <= 2 * 3 * len(images)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_controls_have_the_norm_of_the_pattern(norm: str) -> None:
    pattern = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    for control in (like(pattern, norm), shuffled(pattern)):
        assert length(control, norm) == pytest.approx(length(pattern, norm), rel=1e-6)
        assert not torch.equal(control, pattern)


def test_a_shuffled_copy_has_the_same_pixels() -> None:
    pattern = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    mine, other = (sorted(it.flatten(1).T.tolist()) for it in (pattern, shuffled(pattern)))
    assert mine == other


def test_its_seed_repeats_it_and_another_does_not() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 5)).eval()
    images = torch.rand(30, 3, 3, 3)
    answers = model(images).argmax(1)

    def last(seed: int) -> Tensor:
        *_, pattern = grown(model, images, answers, norm="L2", radius=0.3, seed=seed)
        return pattern

    assert torch.equal(last(0), last(0))
    assert not torch.equal(last(0), last(1))
    assert torch.equal(like(last(0), "L2", 3), like(last(0), "L2", 3))
    assert not torch.equal(shuffled(last(0), 3), shuffled(last(0), 4))


# --- the analysis -----------------------------------------------------------------------------


def examined(n: int = 60, seed: int = 0) -> Subject:
    """Images on both sides of the line, nine pixels each."""
    drawn = torch.rand(n, generator=torch.Generator().manual_seed(seed)) - 0.5
    images = at(drawn)
    return Subject(
        Linear(), images, Linear()(images).argmax(1), classes=("low", "high"), name="by hand"
    )


QUICK: dict[str, Any] = {"source_images": 30, "images": 20, "passes": 2}


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_rates_are_counted_by_hand(norm: str) -> None:
    subject = examined()
    result = rw.universal(subject, norm=norm, share=0.2, target="high", **QUICK)
    images = subject.images[result.index.tolist()]
    clean = (images * SIGNS).sum((1, 2, 3)) > 0
    free = images + torch.tensor(result.pattern.copy())
    for kind, given in (("pattern", free.clamp(0, 1)), ("unclipped", free)):
        high = ((given * SIGNS).sum((1, 2, 3)) > 0).numpy()
        assert result.reached(kind)[-1].tolist() == high.tolist()
        assert result.fooled(kind)[-1].tolist() == (high != clean.numpy()).tolist()
        assert result.rate(kind)[-1] == high.mean()
    assert result.rate()[0] == clean.float().mean()
    assert result.rate()[-1] > result.rate("random")[-1]
    away = rw.universal(subject, norm=norm, share=0.2, **QUICK)
    assert np.array_equal(away.rate(), away.fooled().mean(1))


@pytest.mark.parametrize(("norm", "order"), [("L2", 2), ("Linf", np.inf)])
def test_its_size_is_a_share_of_the_mean_norm_of_all_channels(norm: str, order: float) -> None:
    subject = examined()
    sizes = np.linalg.norm(subject.images.flatten(1).double().numpy(), ord=order, axis=1)
    result = rw.universal(subject, norm=norm, share=0.1, **QUICK)
    assert result.unit == pytest.approx(sizes.mean())
    assert result.epsilon == pytest.approx(0.1 * sizes.mean())
    assert (result.norms <= result.epsilon * (1 + 1e-6)).all()
    reached = np.linalg.norm(result.pattern.astype(float).ravel(), ord=order)
    assert result.norms[-1] == pytest.approx(reached)
    assert rw.universal(subject, norm=norm, epsilon=0.05, **QUICK).epsilon == 0.05


def test_no_picture_is_both_used_and_measured() -> None:
    """Not by its number, nor as a copy of another, nor in somebody else's hands."""
    half = examined(30)
    twice = half.with_images(torch.cat([half.images] * 2), torch.cat([half.labels] * 2))
    measured = twice[:10]
    for source in (None, half, TensorDataset(half.images, half.labels)):
        crafted, notes = _crafted(twice, measured, source, 60, 0)
        assert not set(pictures(crafted.images)) & set(pictures(measured.images))
        assert len(crafted) == (40 if source is None else 20)
        assert notes == ("10 images of the source left out: measured too",)
    assert _crafted(twice, measured, examined(9, seed=1), 60, 0)[1] == ()
    assert len(_crafted(twice, measured, None, 7, 0)[0]) == 7


def test_a_source_may_be_a_data_set_or_another_subject() -> None:
    subject, other = examined(), examined(40, seed=1)
    result = rw.universal(subject, source=other, **QUICK)
    assert (result.origin, result.used) == ("by hand", 30)
    assert "source=" in result.code()
    items = TensorDataset(other.images, other.labels)
    assert rw.universal(subject, source=items, **QUICK).origin == "TensorDataset"
    assert rw.universal(subject, source=items, images=60).n == 60


def test_it_grows_and_says_so() -> None:
    grew: list[Universal] = []
    result = rw.universal(examined(), partial=grew.append, **QUICK)
    assert [len(it.seen) for it in (*grew, result)] == [2, 3, 4, 5, 6, 7]
    assert result.seen.tolist() == [0, 4, 8, 15, 30, 45, 60]
    assert result.answers.shape == (len(KINDS), 7, 20)
    assert str(grew[0])
    sentence = str(result)
    assert "of 20 images it never saw" in sentence
    assert "Control: random noise of that norm" in sentence
    assert "shuffled" in sentence and "without clipping" in sentence


def test_intervals_are_of_the_same_images() -> None:
    result = rw.universal(examined(), share=0.2, target="high", **QUICK)
    low, high = result.interval()
    assert low <= result.rate()[-1] <= high
    more, least, most = result.gain()
    assert more == pytest.approx(result.rate()[-1] - result.rate("random")[-1])
    assert least <= more <= most
    assert result.driven.sum(1).tolist() == pytest.approx([1, 1])
    assert result.driven[1, 1] == result.rate()[-1]


def test_the_spectrum_of_even_and_of_alternating_pixels() -> None:
    result = rw.universal(examined(), **QUICK)
    still = replace(result, pattern=np.full((1, 4, 4), 0.5, np.float32))
    assert still.low == pytest.approx((1, 1))
    stripes = replace(result, pattern=np.tile(np.array([1, -1], np.float32), (1, 4, 2)))
    assert stripes.low[0] == pytest.approx(0)
    assert 0.2 < stripes.low[1] < 0.6
    nothing = replace(result, pattern=np.zeros((1, 3, 3), np.float32))
    assert nothing.low == pytest.approx((0, 0))
    assert nothing.plot().axes


def test_a_pattern_that_stays_0_says_so() -> None:
    result = rw.universal(examined(), epsilon=1e-6, **QUICK)
    assert result.norms[-1] == result.rate()[-1] == 0
    assert "the pattern is 0: pass a larger share=" in result.notes[-1]
    assert "No more than noise" in str(result)


def test_what_cannot_be_is_refused_by_its_name() -> None:
    subject = examined()
    small = Subject(Linear(), at(torch.ones(3))[:, :, :, :], [0, 1, 1])
    with pytest.raises(ValueError, match=r"no such target: got 'cat'.*'low', 'high'"):
        rw.universal(subject, target="cat")
    with pytest.raises(ValueError, match=r"^no image is left to make a pattern of: all 60 images"):
        rw.universal(subject, images=60)
    with pytest.raises(ValueError, match=r"of source= are measured.*Pass fewer images="):
        rw.universal(subject, source=subject[:9], images=60)
    with pytest.raises(
        ValueError, match=r"source have another size: got|1 x 8 x 8 instead of 1 x 3 x 3"
    ):
        rw.universal(subject, source=TensorDataset(torch.rand(4, 1, 8, 8), torch.zeros(4)))
    with pytest.raises(ValueError, match=r"^source has no images: there are only logits"):
        rw.universal(subject, source=Subject.from_logits(np.eye(2) * 9, [0, 1]))
    with pytest.raises(TypeError, match=r"^source has no images: got Tensor"):
        rw.universal(subject, source=small.images)
    with pytest.raises(ValueError, match=r"larger than the images: got epsilon=9"):
        rw.universal(subject, epsilon=9)


# --- as an attack -----------------------------------------------------------------------------


def test_a_pattern_is_an_attack(tmp_path: Path) -> None:
    subject = examined()
    result = rw.universal(subject, share=0.2, target="high", **QUICK)
    result = Universal.load(result.save(tmp_path / "pattern.npz"))
    attacked = rw.attack(subject, attack=result)
    assert attacked.name == "by hand, pattern of by hand"
    pattern = torch.tensor(result.pattern.copy())
    assert torch.equal(attacked.images, (subject.images + pattern).clamp(0, 1))
    answers = attacked.logits.argmax(1).numpy()
    assert np.array_equal(answers[result.index], result.answers[0, -1])
    assert rw.reliability(attacked).subject == attacked.name


def test_a_pattern_of_another_shape_is_refused() -> None:
    result = rw.universal(examined(), **QUICK)
    larger = rw.demo("resnet20")[:4]
    seen = "1 x 3 x 3 on images of 3 x 32 x 32"
    with pytest.raises(ValueError, match=f"another shape than the images: {seen}. Pass attack="):
        rw.attack(larger, attack=result)


def test_a_cache_tells_two_patterns_of_one_subject_apart() -> None:
    subject = examined()
    one, other = (rw.universal(subject, share=share, **QUICK) for share in (0.1, 0.2))
    assert one.fingerprint == other.fingerprint
    assert known_by(one) != known_by(other)
    assert known_by(one) == known_by(rw.universal(subject, share=0.1, **QUICK))
    cache = rw.Cache()
    assert cache(rw.attack, subject, attack=one) is not cache(rw.attack, subject, attack=other)
