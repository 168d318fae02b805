"""Attacks on Subjects: what stands in the way, which images, how small an epsilon is enough."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core.selection import choose, spans
from reliab_widgets.ops.attacks.adversary import Seen
from reliab_widgets.ops.attacks.search import SmallestEpsilon
from reliab_widgets.ops.defences.denoiser import Denoiser
from tests.models import AlwaysDropout, Blocked, Brightness, RefusesGradients, flat_images
from tests.test_attacks import inside


def bright(means: list[float], labels: list[int] | None = None) -> Subject:
    """Grey images; the answer is 0 above 0.5, else 1: logits are (2 m, 2 - 2 m, 0.5)."""
    if labels is None:
        labels = [0 if mean > 0.5 else 1 for mean in means]
    return Subject(Brightness(), flat_images(means), labels, classes=["bright", "dark", "grey"])


def darken(images: Tensor) -> Tensor:
    return images - 0.1


def halve(images: Tensor) -> Tensor:
    return images[:, :, ::2]


def grain(images: Tensor) -> Tensor:
    return (images + 0.01 * torch.randn_like(images)).clamp(0, 1)


# --- rw.attack --------------------------------------------------------------------------------


def test_the_attacked_subject_is_a_variant_of_the_first() -> None:
    subject = rw.demo("resnet20")[:20]
    attacked = rw.attack(subject, epsilon=4 / 255, steps=3)
    assert attacked.name == "resnet20, bim 4/255"
    assert inside(subject.images, attacked.images, 4 / 255, "Linf")
    assert torch.equal(attacked.labels, subject.labels)
    assert attacked.model is subject.model
    assert attacked.validation is subject.validation
    assert attacked.fingerprint != subject.fingerprint

    def accuracy(of: Subject) -> float:
        return (of.logits.argmax(1) == of.labels).double().mean().item()

    assert accuracy(attacked) < accuracy(subject) - 0.5
    assert "20 images" in str(rw.reliability(attacked))


def test_its_code_makes_it_again() -> None:
    subject = rw.demo("resnet20")[:9]
    attacked = rw.attack(subject, attack="pgd", steps=2, denoiser="bits", knowledge="white-box")
    again = eval(attacked.code, {"rw": rw})
    assert again.fingerprint == attacked.fingerprint


def test_executors_change_no_number_and_ticks_count_batches() -> None:
    subject = rw.demo("resnet20")[:20]
    knobs: dict[str, Any] = {"attack": "pgd", "steps": 2}
    ticks: list[tuple[int, int]] = []
    inline = rw.attack(subject, progress=lambda *tick: ticks.append(tick), **knobs)
    assert ticks == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with ThreadPoolExecutor(3) as executor:
        pooled = rw.attack(subject, executor=executor, **knobs)
    assert torch.equal(inline.images, pooled.images)


def test_a_slice_is_attacked_like_the_whole() -> None:
    subject = rw.demo("resnet20")[:16]
    whole = rw.attack(subject, attack="pgd", steps=1)
    part = rw.attack(subject[8:], attack="pgd", steps=1)
    assert torch.equal(part.images, whole.images[8:])


def test_a_random_network_is_attacked_alike_every_time() -> None:
    subject = Subject(AlwaysDropout(), flat_images([0.3, 0.7]), [1, 0])
    state = torch.get_rng_state()
    one, two = (rw.attack(subject, steps=2).images for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)


def test_attacks_work_inside_inference_mode() -> None:
    subject = bright([0.45])
    with torch.inference_mode():
        attacked = rw.attack(subject, attack="fgsm", epsilon=0.125)
    assert attacked.images.unique().tolist() == pytest.approx([0.575])


def test_an_attack_of_another_library_is_called_with_a_module() -> None:
    given: list[object] = []

    def other(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        assert not model.training
        given.append((next(model.parameters()).device, model(images).shape))
        model.double().train().to("cpu")  # whatever it does to the module, the network stays
        return images

    subject = bright([0.45])
    before = subject.logits.clone()
    rw.attack(subject, attack=other)
    assert given == [(torch.device("cpu"), (1, 3))]
    assert torch.equal(subject.with_images(subject.images).logits, before)
    assert not subject.model.training


@pytest.mark.parametrize("model", [Blocked(), RefusesGradients()])
def test_blocked_gradients_stop_what_needs_them_only(model: nn.Module) -> None:
    subject = Subject(model, flat_images([0.3, 0.7]), [1, 0])
    with pytest.raises(ValueError, match=r"gradients are blocked.*model="):
        rw.attack(subject)
    assert len(rw.attack(subject, attack="none")) == 2
    assert len(rw.attack(subject, attack=lambda model, images, labels: 1 - images)) == 2


# --- denoisers --------------------------------------------------------------------------------


def test_grey_and_white_box_by_hand() -> None:
    """0.62 is bright; 0.1 darker it still is, but the attack through the denoiser needs less."""
    subject = bright([0.62])
    knobs: dict[str, Any] = {"attack": "fgsm", "epsilon": 0.03125, "denoiser": darken}
    for knowledge in ("grey-box", "white-box"):
        attacked = rw.attack(subject, knowledge=knowledge, **knobs)
        assert attacked.images.unique().tolist() == pytest.approx([0.62 - 0.03125 - 0.1])
        assert attacked.name == "Brightness, fgsm 7.97/255, darken"

    seen = Seen(subject.network, Denoiser(darken, subject))
    torch.testing.assert_close(seen(subject.images), torch.tensor([[1.04, 0.96, 0.5]]))


def test_a_denoiser_is_copied_frozen_and_in_eval_mode() -> None:
    given = nn.Sequential(nn.BatchNorm2d(1, momentum=1.0), nn.Dropout(0.9)).train()
    subject = bright([0.3, 0.7])
    kept = {name: value.clone() for name, value in given.state_dict().items()}
    attacked = rw.attack(subject, denoiser=given, knowledge="white-box", steps=2)
    assert given.training
    assert all(torch.equal(value, kept[name]) for name, value in given.state_dict().items())
    assert all(it.requires_grad and it.grad is None for it in given.parameters())
    # Running mean 0 and variance 1 change (almost) nothing, and nothing is dropped.
    assert inside(subject.images, attacked.images, 8 / 255 + 1e-4, "Linf")


def test_what_cannot_be_differentiated_is_passed_by_as_the_identity() -> None:
    """Rounding to tenths has no slope; taken for the identity, the attack goes straight on."""

    def tenths(images: Tensor) -> Tensor:
        return (images * 10).round() / 10

    subject = bright([0.56])
    wrapped = Denoiser(tenths, subject)
    assert not wrapped.differentiable
    attacked = rw.attack(
        subject, attack="fgsm", epsilon=0.125, denoiser=tenths, knowledge="white-box"
    )
    assert attacked.images.unique().tolist() == pytest.approx([0.4])  # 0.435 rounded
    assert Denoiser(darken, subject).differentiable
    assert not Denoiser(lambda images: torch.from_numpy(images.numpy()), subject).differentiable


def test_a_denoiser_that_draws_is_repeatable_and_draws_from_nobody() -> None:
    subject = bright([0.3, 0.7])
    state = torch.get_rng_state()
    one, two = (
        rw.attack(subject, denoiser=grain, knowledge="white-box", steps=2) for _ in range(2)
    )
    assert torch.equal(one.images, two.images)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_denoisers_output_is_clipped() -> None:
    assert rw.attack(bright([0.05]), attack="none", denoiser=darken).images.unique().item() == 0


def test_an_adversary_travels() -> None:
    subject = bright([0.3])
    wrapped = Denoiser(nn.AvgPool2d(3, 1, 1), subject)
    assert pickle.loads(pickle.dumps(wrapped)).name == "AvgPool2d"


@pytest.mark.parametrize(
    ("denoiser", "kind", "words"),
    [
        (
            halve,
            ValueError,
            r"keep the shape.*halve made \(1, 1, 4, 8\) of \(1, 1, 8, 8\).*denoiser=",
        ),
        (lambda images: None, ValueError, "keep the shape.*NoneType"),
        (3, ValueError, "no such denoiser: got 3.*denoiser=.*a module or function of images"),
        ("magic", ValueError, "no such denoiser: got 'magic'.*'none'.*'median'"),
    ],
)
def test_what_is_no_denoiser_is_refused(denoiser: Any, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        rw.attack(bright([0.3]), denoiser=denoiser)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"knowledge": "black-box"}, "no such knowledge: got 'black-box'.*knowledge="),
        ({"knowledge": "white"}, "It is called white-box here"),
        ({"target": "cat"}, "no such target: got 'cat'.*'bright', 'dark', 'grey'.*0 to 2"),
        ({"target": 3}, "no such target: got 3"),
        ({"target": True}, "no such target: got True"),
        (
            {"attack": "pdg"},
            r"The nearest: .*pgd.*Choose attack= from .*'pgd', .*\.\.\., or pass a",
        ),
        ({"attack": "apgd-targeted", "target": 1}, r'class has no target: got target=1.*"apgd"'),
        ({"loss": "dlr"}, "no such loss: got 'dlr'.*loss=.*'auto', 'cross-entropy', 'margin'"),
        ({"epsilon": "big"}, "epsilon must be"),
        ({"epsilon": 0}, "epsilon must be a number above 0.*epsilon="),
        ({"epsilon": 8}, "epsilon is more than the range of a pixel: got 8 .*8 / 255"),
        ({"epsilon": math.nan}, "epsilon must be"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"restarts": True}, "restarts must be a whole number"),
        ({"step_size": -1.0}, "step_size must be a number above 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"attack": lambda m, x, y: x, "target": 1}, "cannot be given a target"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rw.attack(bright([0.3]), **knobs)


@pytest.mark.parametrize(("old", "new"), [("goal", "target"), ("threat", "knowledge")])
def test_old_names_lead_to_the_new_ones(old: str, new: str) -> None:
    with pytest.raises(TypeError, match=rf"attack has no knob {old!r}.*It is called {new} here"):
        rw.attack(bright([0.3]), **{old: "any"})


def test_no_denoiser_may_be_none() -> None:
    subject = bright([0.45, 0.6])
    one, other = (rw.attack(subject, denoiser=it) for it in (None, "none"))
    assert one.fingerprint == other.fingerprint
    assert one.code == other.code


def test_a_euclidean_epsilon_is_written_as_a_length() -> None:
    """Half a unit of length is no 128 grey levels of a pixel."""
    attacked = rw.attack(bright([0.45]), attack="pgd-l2", epsilon=0.5)
    assert attacked.name == "Brightness, pgd-l2 0.5 (L2)"
    found = rw.smallest_epsilon(bright([0.45, 0.53, 0.8], [1, 0, 1]), attack="pgd-l2", limit=0.8)
    words = str(found)
    assert "255" not in words
    assert f"is {found.median:.3g} (L2) (n = 3; found from " in words
    assert "0 withstand 0.8 (L2)" in words
    held = rw.smallest_epsilon(bright([0.1]), attack="pgd-l2", limit=0.5)
    assert "is above 0.5 (L2) (n = 1;" in str(held)


# --- which images -----------------------------------------------------------------------------


def test_images_are_drawn_or_named() -> None:
    subject = bright([0.1, 0.2, 0.6, 0.7, 0.8], [1, 0, 0, 1, 0])  # 1 and 3 are wrong
    keep: dict[str, Any] = {"correct_only": False, "target": "any"}
    assert choose(subject, 99, seed=0, **keep).tolist() == [0, 1, 2, 3, 4]
    drawn = [choose(subject, 2, seed=seed, **keep).tolist() for seed in range(20)]
    assert all(a < b for a, b in drawn)
    assert {image for pair in drawn for image in pair} == set(range(5))
    assert choose(subject, [3, -1, 3], seed=0, **keep).tolist() == [3, 4, 3]
    right: dict[str, Any] = {"correct_only": True, "target": "any", "seed": 1}
    assert choose(subject, 99, **right).tolist() == [0, 2, 4]
    assert choose(subject, 3, **right).tolist() == [0, 2, 4]
    assert choose(subject, [4, 3, 2], **right).tolist() == [4, 2]
    assert choose(subject, 99, correct_only=False, target=1, seed=0).tolist() == [1, 2, 4]


def test_no_image_left_is_said() -> None:
    subject = bright([0.1, 0.2], [0, 0])
    with pytest.raises(ValueError, match=r"all 2 are misclassified.*correct_only=False"):
        choose(subject, 5, correct_only=True, target="any", seed=0)
    with pytest.raises(ValueError, match=r"all of them are of the class bright.*target="):
        choose(subject, 5, correct_only=False, target=0, seed=0)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (0, "images is no number of images: got 0"),
        (10**9, r"images is more than there are: got 1,000,000,000, there are 2\. Pass images="),
        (True, "images chooses no images: got True"),
        (2.5, "images chooses no images: got 2.5"),
        ([2], "a position in images is out of range: got 2, there are 2 images"),
    ],
)
def test_images_that_are_not_there_are_refused(images: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=words):
        rw.smallest_epsilon(bright([0.1, 0.2]), images=images)


def test_only_true_is_true() -> None:
    with pytest.raises(TypeError, match="correct_only must be True or False: got 'no'"):
        rw.smallest_epsilon(bright([0.1]), correct_only="no")  # type: ignore[arg-type]


def test_items_hold_every_image_once() -> None:
    items = spans(bright([0.1]), np.arange(21)[::-1])
    assert [image for item in items for image in item] == list(range(20, -1, -1))
    assert max(map(len, items)) == 8


def test_large_images_go_by_fewer() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3)
    )
    large = Subject(model, torch.zeros(5, 1, 256, 256), [0, 1, 2, 0, 1])  # 17 MB of features each
    assert list(map(len, spans(large, np.arange(5)))) == [3, 2]


# --- the smallest epsilon ---------------------------------------------------------------------


def test_the_smallest_epsilon_by_hand() -> None:
    """A grey image turns where its mean crosses 0.5."""
    means = [0.45, 0.53, 0.1, 0.8]
    found = rw.smallest_epsilon(bright(means, [1, 0, 1, 1]), attack="fgsm", limit=0.125)
    assert found.index.tolist() == [0, 1, 2, 3]
    assert found.resolution == pytest.approx(2 ** (8 / 64))
    for image, distance in ((0, 0.05), (1, 0.03)):
        assert distance <= found.epsilon[image] <= distance * found.resolution
    assert found.epsilon[2] == math.inf  # 0.4 away
    assert found.epsilon[3] == 0  # wrong before any attack
    assert found.median == pytest.approx(np.median(found.epsilon))
    assert found.to_frame().columns.tolist() == ["image", "truth", "epsilon"]
    words = str(found)
    assert "n = 4" in words
    assert "1 need none, 1 withstand 31.9/255" in words
    assert "nan" not in words


def test_the_smallest_epsilon_behind_a_denoiser() -> None:
    """Whatever is 0.1 darker turns to dark 0.1 sooner."""
    found = rw.smallest_epsilon(bright([0.65, 0.58]), attack="fgsm", limit=0.125, denoiser=darken)
    assert 0.05 <= found.epsilon[0] <= 0.05 * found.resolution
    assert found.epsilon[1] == 0


def test_what_was_found_was_seen_to_succeed() -> None:
    subject = rw.demo("resnet20")
    found = rw.smallest_epsilon(subject, images=8, steps=2)
    assert np.isfinite(found.epsilon).all()
    tried = 8 * np.log2(found.epsilon[found.epsilon > 0] / found.limit)
    np.testing.assert_allclose(tried, np.round(tried), atol=1e-9)
    for image, epsilon in zip(found.index, found.epsilon, strict=True):
        if epsilon > 0:
            attacked = rw.attack(subject[[int(image)]], epsilon=epsilon, steps=2)
            assert attacked.logits.argmax(1) != attacked.labels


def test_it_is_saved_and_ticks_and_runs_anywhere(tmp_path: Path) -> None:
    subject = bright([0.45, 0.53, 0.1, 0.8] * 5)
    ticks: list[tuple[int, int]] = []
    found = rw.smallest_epsilon(subject, progress=lambda *tick: ticks.append(tick))
    loaded = rw.load(found.save(tmp_path / "epsilon.npz"))
    assert isinstance(loaded, SmallestEpsilon)
    assert str(loaded) == str(found)
    assert ticks[0] == (0, 140)
    assert ticks[-1] == (140, 140)
    assert {total for _, total in ticks} == {140}
    assert ticks == sorted(ticks)
    with ThreadPoolExecutor(3) as executor:
        pooled = rw.smallest_epsilon(subject, executor=executor)
    np.testing.assert_array_equal(pooled.epsilon, found.epsilon)


@pytest.mark.parametrize("method", ["deepfool", "none", lambda model, images, labels: images])
def test_without_a_ball_there_is_no_epsilon(method: Any) -> None:
    with pytest.raises(ValueError, match=r"no epsilon to search.*attack="):
        rw.smallest_epsilon(bright([0.3]), attack=method)


def test_its_limit_is_checked_by_its_own_name() -> None:
    with pytest.raises(ValueError, match=r"limit is more than the range.*32.*limit="):
        rw.smallest_epsilon(bright([0.3]), limit=32)
