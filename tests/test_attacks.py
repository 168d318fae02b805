"""Attacks: exact numbers on linear models, exact balls, and what foolbox finds."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import reliab_widgets as rw
from reliab_widgets.ops.attacks import objective
from reliab_widgets.ops.attacks.adversary import Seen
from reliab_widgets.ops.attacks.attack import Attack, Attacked
from reliab_widgets.ops.attacks.catalogue import METHODS, those
from reliab_widgets.ops.attacks.noise import signs

# Three classes of four pixels; the differences of its rows are known, so are its boundaries.
WEIGHT = torch.tensor([[1.0, 2, 0, -1], [0.0, 1, 1, 0], [-1.0, 0, 2, 1]])
BIAS = torch.tensor([0.5, 0.25, -0.5])
BALLS = those(lambda it: it.norm)
SLOPES = those(lambda it: it.gradients)


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ WEIGHT.T + BIAS


def pixels(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, 2, 2)


def zeros(images: Tensor) -> Tensor:
    """Gradients of exactly 0, and yet logits that require gradients."""
    return (images * 255).round().sum((1, 2, 3))[:, None] * torch.tensor(
        [1.0, -1.0]
    ) + 0 * images.sum()


def inside(images: Tensor, attacked: Tensor, epsilon: float, norm: str) -> bool:
    """In float64, without any tolerance but that of a norm's own last digit."""
    change = (attacked.double() - images.double()).flatten(1)
    if norm == "Linf":
        within = bool((change.abs() <= epsilon).all())
    else:
        within = bool((change.norm(dim=1) <= epsilon * (1 + 1e-12)).all())
    return within and bool(((attacked >= 0) & (attacked <= 1)).all())


# --- by hand ----------------------------------------------------------------------------------


def test_fgsm_on_a_linear_model() -> None:
    """Cross-entropy's gradient is W'(p - onehot): here its signs are (-, -, +, +)."""
    image, label = pixels(0.5, 0.5, 0.5, 0.5), torch.tensor([0])
    slope = WEIGHT.T @ (linear(image)[0].softmax(0) - torch.tensor([1.0, 0, 0]))
    assert slope.sign().tolist() == [-1, -1, 1, 1]
    attacked = Attack("fgsm", epsilon=0.125)(linear, image, label)
    assert attacked.images.flatten().tolist() == [0.375, 0.375, 0.625, 0.625]
    assert attacked.trajectory.shape == (2, 1, 3)
    torch.testing.assert_close(
        attacked.trajectory, torch.stack([linear(image), linear(attacked.images)])
    )


def test_the_loss_is_the_cross_entropy_of_logits() -> None:
    """A softmax taken twice would flatten this gradient and turn the sign of the second pixel."""

    def model(images: Tensor) -> Tensor:
        x, y = images.flatten(1)[:, :2].unbind(1)
        return torch.stack([4 * x + 3 * y, 6 * y + x, 5 - 9 * y], 1)

    image = pixels(0.2, 0.4, 0.5, 0.5)
    p = model(image)[0].softmax(0).tolist()
    by_hand = [4 * (p[0] - 1) + p[1], 3 * (p[0] - 1) + 6 * p[1] - 9 * p[2]]
    attacked = Attack("fgsm", epsilon=0.125)(model, image, torch.tensor([0]))
    change = (attacked.images - image).flatten()[:2]
    assert change.sign().tolist() == [math.copysign(1, it) for it in by_hand]


def test_steps_are_as_long_as_was_said() -> None:
    """On a linear model of two classes the direction never changes."""

    def model(images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([1 - mean, mean], 1)

    image, label = pixels(0.1, 0.1, 0.1, 0.1), torch.tensor([0])

    def mean_after(attack: Attack) -> list[float]:
        return attack(model, image, label).trajectory[:, 0, 1].tolist()

    assert mean_after(Attack("bim", 0.4, 4)) == pytest.approx([0.1, 0.225, 0.35, 0.475, 0.5])
    assert mean_after(Attack("mim", 0.4, 4)) == pytest.approx([0.1, 0.225, 0.35, 0.475, 0.5])
    assert mean_after(Attack("bim", 0.4, 2, 0.1)) == pytest.approx([0.1, 0.2, 0.3])
    assert mean_after(Attack("fgsm", 0.4, 7, 0.1)) == pytest.approx([0.1, 0.5])
    # In the L2 ball all four pixels share the length: wherever it starts, each ends at half of it.
    assert mean_after(Attack("pgd-l2", 0.4, 30))[-1] == pytest.approx(0.1 + 0.4 / 2, abs=1e-3)


def test_momentum_remembers_a_slope_that_is_gone() -> None:
    """From 0.5 the slope is positive, beyond 0.6 weakly negative: only momentum goes on."""

    def model(images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        logit = torch.where(mean < 0.6, 10 * mean, 6.0 - (mean - 0.6))
        return torch.stack([torch.zeros_like(logit), logit], 1)

    image, label = pixels(0.5, 0.5, 0.5, 0.5), torch.tensor([0])
    without = Attack("bim", 0.5, 2, 0.125)(model, image, label).images
    with_momentum = Attack("mim", 0.5, 2, 0.125)(model, image, label).images
    assert without.mean() == 0.5
    # Both slopes are divided by their mean size, so the second takes away exactly the first.
    assert with_momentum.mean() == 0.625


@pytest.mark.parametrize("label", [0, 1, 2])
def test_deepfool_on_a_linear_model_is_the_distance_to_the_nearest_boundary(label: int) -> None:
    image = pixels(0.5, 0.45, 0.55, 0.4)
    # A constant that makes the label the answer, by so little that no pixel gets to 0 or 1.
    offset = (linear(image)[0].max() - linear(image)[0, label] + 0.25) * torch.eye(3)[label]
    logits = (linear(image) + offset)[0]
    gaps = [
        ((logits[label] - logits[k]) / (WEIGHT[label] - WEIGHT[k]).norm()).item()
        for k in range(3)
        if k != label
    ]
    attack = Attack("deepfool", steps=5)
    attacked = attack(lambda images: linear(images) + offset, image, torch.tensor([label]))
    assert 0 < attacked.images.min() < attacked.images.max() < 1
    assert (attacked.images - image).norm().item() == pytest.approx(1.02 * min(gaps), rel=1e-5)
    assert attacked.success.all()
    assert torch.equal(attacked.trajectory[1], attacked.trajectory[-1])  # one step was enough


def test_deepfool_leaves_an_exact_tie() -> None:
    """Where all logits are equal the first is the answer."""
    image = torch.full((1, 1, 2, 2), 0.5)
    attack = Attack("deepfool", steps=5)
    attacked = attack(lambda images: linear(images) - linear(image), image, torch.tensor([0]))
    assert attacked.success.all()
    assert attacked.trajectory[-1].argmax().item() != 0
    assert 0 < (attacked.images - image).norm() < 1e-3


def test_targeted_attacks_reach_their_class() -> None:
    image = pixels(0.6, 0.6, 0.4, 0.4)
    assert linear(image).argsort(descending=True).tolist() == [[0, 1, 2]]
    label = torch.tensor([0])
    for method in ("bim", "deepfool"):
        for target, epsilon, answer in (("runner-up", 0.3, 1), (2, 0.5, 2)):
            attacked = Attack(method, epsilon, target=target)(linear, image, label)
            assert attacked.success.item()
            assert attacked.trajectory[-1].argmax().item() == answer


@pytest.mark.parametrize(("method", "epsilon"), [("pgd", 8 / 255), ("pgd-l2", 1.0)])
def test_real_images_are_led_to_a_class(method: str, epsilon: float) -> None:
    subject = rw.demo("resnet20")[:8]
    attack = Attack(method, epsilon, target=3)
    attacked = attack(Seen(subject.network), subject.images, subject.labels)
    assert (attacked.trajectory[-1].argmax(1) == 3).all()
    assert attacked.success.all()


def test_no_attack_changes_nothing() -> None:
    image = pixels(0.1, 0.2, 0.3, 0.4)
    attacked = Attack("none")(linear, image, torch.tensor([0]))
    assert torch.equal(attacked.images, image)
    assert attacked.trajectory.shape == (1, 1, 3)


# --- balls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BALLS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(1e-3, 1), st.integers(1, 4))
def test_no_attack_leaves_its_ball(method: str, seed: int, epsilon: float, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 1, 2, 2, generator=generator)
    images[0] = images[0].round()  # at the edge of [0, 1]
    labels = torch.randint(3, (4,), generator=generator)
    attack = Attack(method, epsilon, steps, seed=seed, restarts=2)
    attacked = attack(linear, images, labels)
    assert inside(images, attacked.images, epsilon, attack.norm)


@pytest.mark.parametrize("method", BALLS)
def test_no_attack_on_real_images_leaves_its_ball(method: str) -> None:
    subject = rw.demo("resnet20")[:24]
    attack = Attack(method, 8 / 255, steps=3)
    attacked = attack(Seen(subject.network), subject.images, subject.labels)
    assert inside(subject.images, attacked.images, 8 / 255, attack.norm)
    farthest = (attacked.images - subject.images).abs().amax((1, 2, 3))
    if method in ("fgsm", "bim", "mim", "pgd", "eot-pgd"):  # and it uses what it may
        assert farthest.min().item() == pytest.approx(8 / 255, abs=1e-6)


def test_at_epsilon_one_nothing_is_left() -> None:
    subject = rw.demo("resnet20")[:32]
    attacked = Attack("pgd", 1.0)(Seen(subject.network), subject.images, subject.labels)
    assert attacked.success.all()


# --- random numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pgd", "pgd-l2"])
def test_a_random_start_depends_on_seed_and_image_alone(method: str) -> None:
    images = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels, indices = torch.zeros(5, dtype=torch.int64), torch.tensor([7, 3, 9, 1, 0])
    attack = Attack(method, 0.1, steps=1, step_size=1e-9)
    together = attack(linear, images, labels, indices).images
    alone = [
        attack(linear, images[i : i + 1], labels[:1], indices[i : i + 1]).images for i in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-7)
    other = Attack(method, 0.1, steps=1, step_size=1e-9, seed=1)(linear, images, labels, indices)
    assert (together - other.images).abs().amax((1, 2, 3)).min() > 0
    same = attack(linear, images, labels, torch.zeros(5, dtype=torch.int64)).images - images
    inner = (images > 0.1) & (images < 0.9) & (images[:1] > 0.1) & (images[:1] < 0.9)
    torch.testing.assert_close(
        same[inner], same[:1].expand(5, -1, -1, -1)[inner], atol=1e-6, rtol=0
    )


def test_starts_fill_the_ball_evenly() -> None:
    images = torch.full((400, 1, 2, 2), 0.5)
    labels = torch.zeros(400, dtype=torch.int64)
    cube = Attack("pgd", 0.25, 1, 1e-9)(linear, images, labels).images - images
    assert cube.mean().item() == pytest.approx(0, abs=0.01)
    assert cube.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.03)
    ball = (Attack("pgd-l2", 0.25, 1, 1e-9)(linear, images, labels).images - images).flatten(1)
    # Of a ball in four dimensions, half lies within 0.5 ** (1 / 4) of its radius.
    assert (ball.norm(dim=1) < 0.25 * 0.5**0.25).double().mean().item() == pytest.approx(
        0.5, abs=0.07
    )


def test_restarts_keep_the_first_success_or_the_highest_loss() -> None:
    subject = rw.demo("resnet20")[:32]
    model, images, labels = Seen(subject.network), subject.images, subject.labels

    def loss(attacked: Attacked) -> Tensor:
        return torch.nn.functional.cross_entropy(attacked.trajectory[-1], labels, reduction="none")

    one, three = (
        Attack("pgd", 1 / 255, steps=1, restarts=count)(model, images, labels) for count in (1, 3)
    )
    assert three.success.sum() > one.success.sum()
    assert (three.success | ~one.success).all()
    still = ~three.success
    assert (loss(three)[still] >= loss(one)[still]).all()
    assert torch.equal(three.images[one.success], one.images[one.success])


def test_control_noise_is_signs_of_the_size_asked_for() -> None:
    images = torch.full((3, 2, 4, 4), 0.5)
    sizes = torch.tensor([0.25, 0.125, 0.0])
    noisy = signs(images, torch.tensor([5, 6, 5]), sizes)
    change = noisy - images
    assert change.abs().amax((1, 2, 3)).tolist() == change.abs().amin((1, 2, 3)).tolist()
    assert change.abs().amax((1, 2, 3)).tolist() == sizes.tolist()
    assert 0 < (change[0] > 0).sum() < 32
    again = signs(images[:1], torch.tensor([5]), sizes[:1])
    assert torch.equal(again, noisy[:1])
    assert not torch.equal(signs(images[:1], torch.tensor([5]), sizes[:1], seed=1), again)


# --- gradients that say nothing ---------------------------------------------------------------


@pytest.mark.parametrize("method", SLOPES)
def test_gradients_of_zero_are_reported(method: str) -> None:
    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.tensor([0, 0, 1])
    attacked = Attack(method, 8 / 255)(zeros, images, labels)
    wrong_before = zeros(images).argmax(1) != labels
    # These look at no slope of what is wrong already.
    stops = method in ("deepfool", "cw") or method.startswith("apgd")
    expected = ~wrong_before if stops else torch.ones(3, dtype=torch.bool)
    assert torch.equal(attacked.blind, expected)
    assert not Attack(method)(linear, images, labels).blind.any()
    if not METHODS[method].starts:
        assert torch.equal(attacked.images, images)


@pytest.mark.parametrize("method", [*BALLS, "deepfool", "cw"])
@pytest.mark.parametrize("factor", [1 / 30, 30, 1000])
def test_the_scale_of_the_logits_hides_nothing(method: str, factor: float) -> None:
    """Of two classes only: how much each of several wrong ones counts depends on the scale."""
    images, labels = torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    usual, other = (
        Attack(method, 8 / 255)(lambda x, by=by: by * linear(x)[:, :2], images, labels)
        for by in (1, factor)
    )
    # On a sphere the best is flat: which point APGD goes back to is up to rounding.
    tolerance = 5e-4 if method == "apgd-l2" else 1e-5
    torch.testing.assert_close(other.images, usual.images, rtol=0, atol=tolerance)
    assert torch.equal(other.blind, usual.blind)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.floats(-15, 8), st.integers(0, 99))
def test_where_the_loss_is_small_its_logarithm_leads_the_same_way(
    classes: int, against: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, classes, generator=generator, dtype=torch.float64)
    label = torch.tensor([0])
    logits[0, 0] += objective.odds(logits, label)[0] - against  # the odds are as asked for
    slopes = []
    for rise in (objective.loss, partial(cross_entropy, reduction="none")):
        at = logits.clone().requires_grad_()
        args = (label, None) if rise is objective.loss else (label,)
        (slope,) = torch.autograd.grad(rise(at, *args).sum(), at)
        slopes.append(slope[0] / slope.norm())
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("factor", [30, 1000])
def test_a_scaled_copy_needs_the_same_epsilon(factor: float) -> None:
    demo = rw.demo("resnet20")[:16]

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = demo.model

        def forward(self, x: Tensor) -> Tensor:
            return factor * self.inner(x)

    copy = rw.Subject(Scaled(), demo.images, demo.labels, mean=demo.mean, std=demo.std)
    usual, scaled = (rw.smallest_epsilon(it, attack="pgd") for it in (demo, copy))
    off = np.abs(np.log(scaled.epsilon / usual.epsilon))
    assert np.nanmedian(off) < np.log(1.1)
    assert abs(np.log(scaled.median / usual.median)) < np.log(1.1)


# --- functions of the user --------------------------------------------------------------------


def test_a_function_attacks_with_its_own_noise_and_leaves_the_generators_alone() -> None:
    def noise(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        images += 0.25 * torch.rand_like(images).round()
        return images.clamp(0, 1)

    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.tensor([0, 0, 1])
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (Attack(noise)(linear, images, labels) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert (images == 0.5).all()
    assert first.images.max() == 0.75
    assert first.trajectory.shape == (2, 3, 3)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda model, images, labels: images[:, :, :1], r"shape.*made \(3, 1, 1, 2\)"),
        (lambda model, images, labels: None, "shape.*made NoneType"),
        (lambda model, images, labels: images + 1, r"left \[0, 1\].*gave 1.5 to 1.5"),
        (lambda model, images, labels: images * torch.nan, r"left \[0, 1\]"),
    ],
)
def test_a_function_that_breaks_the_rules_is_named(function: Callable, words: str) -> None:
    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match=words) as caught:
        Attack(function)(linear, images, labels)
    assert "attack=" in str(caught.value)


def test_a_function_has_its_own_target() -> None:
    with pytest.raises(ValueError, match=r"cannot be given a target: got target=1.*target="):
        Attack(lambda model, images, labels: images, target=1)


# --- second opinion ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foolbox() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports names that scipy will drop
        import foolbox

    return foolbox


def test_foolbox_finds_the_same_accuracy(foolbox: ModuleType) -> None:
    """Equal settings, too weak to fool everything: of a hundred images within one."""
    subject = rw.demo("resnet20")[:100]
    model, images, labels = Seen(subject.network), subject.images, subject.labels
    outside = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    ours = {
        "fgsm": Attack("fgsm", 2 / 255),
        "fgsm-l2": Attack("fgsm-l2", 0.2),
        "bim": Attack("bim", 1 / 255, 3, 0.5 / 255),
        "pgd": Attack("pgd", 1 / 255, 3, 0.5 / 255),
        "pgd-l2": Attack("pgd-l2", 0.1, 3, 0.05),
    }
    theirs = foolbox.attacks
    peers = {
        "fgsm": theirs.LinfFastGradientAttack(),
        "fgsm-l2": theirs.L2FastGradientAttack(),
        "bim": theirs.LinfBasicIterativeAttack(abs_stepsize=0.5 / 255, steps=3),
        "pgd": theirs.LinfPGD(abs_stepsize=0.5 / 255, steps=3),
        "pgd-l2": theirs.L2PGD(abs_stepsize=0.05, steps=3),
    }
    for name, attack in ours.items():
        success = attack(model, images, labels).success
        _, _, peer = peers[name](outside, images, labels, epsilons=attack.epsilon)
        assert 10 < success.sum() < 90, name
        assert abs(int(success.sum()) - int(peer.sum())) <= 1, name


def test_foolbox_finds_the_same_deepfool_distances(foolbox: ModuleType) -> None:
    subject = rw.demo("resnet20")[:8]
    model, images, labels = Seen(subject.network), subject.images, subject.labels
    outside = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    ours = Attack("deepfool", steps=50)(model, images, labels)
    theirs, _, _ = foolbox.attacks.L2DeepFoolAttack(steps=50)(
        outside, images, labels, epsilons=None
    )
    assert ours.success.all()
    sizes = [(it - images).flatten(1).norm(dim=1) for it in (ours.images, theirs)]
    # Ours goes 2 % beyond the boundary, theirs 2 % of the last step and a constant.
    assert (sizes[0] / sizes[1]).median().item() == pytest.approx(1.01, abs=0.02)
