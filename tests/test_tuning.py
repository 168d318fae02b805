"""A Subject's network trained further: for what, how it is stopped, and what stays as it is."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import reliab_widgets as rw
from reliab_widgets.core.engine import Cancelled
from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.networks import tuning
from reliab_widgets.ops.networks.tuning import OBJECTIVES, Batch, Run, attacked, tuned


def blobs(n, seed=0):
    """Images of 3 x 4 x 4 whose class, of two, is the brighter half."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.4 + 0.2 * torch.rand(n, 3, 4, 4, generator=generator)
    labels = torch.arange(n) % 2
    images[labels == 0, :, :2] += 0.1
    images[labels == 1, :, 2:] += 0.1
    return images, labels


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(6 * 16, 2)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).relu().flatten(1)))


@pytest.fixture(scope="module")
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
    return Subject(model, *blobs(40), mean=0.5, std=0.1)


@pytest.fixture(scope="module")
def train(subject):
    return Subject(subject.model, *blobs(200, seed=1), mean=0.5, std=0.1)


def loss(subject):
    return cross_entropy(subject.logits, subject.labels).item()


def accuracy(subject):
    return (subject.logits.argmax(1) == subject.labels).float().mean().item()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_the_classes(subject, train, objective):
    if objective == "noise":  # 0.25 is much for images whose classes differ by 0.1
        objective = partial(OBJECTIVES["noise"], sigma=0.05)
    found = tuned(subject, train=train, objective=objective, epochs=10)
    assert loss(found) < 0.5 * loss(subject)
    assert accuracy(found) > 0.95


def test_what_was_given_stays_as_it_is(subject, train):
    before = copy.deepcopy(subject.model.state_dict())
    state = torch.random.get_rng_state()
    found = tuned(subject, train=train)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert found.model is not subject.model
    for model in (subject.model, found.model):
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
        assert not any(module._forward_pre_hooks for module in model.modules())
    assert found.fingerprint != subject.fingerprint


def test_the_seed_decides(subject, train):
    first, again, other = (
        tuned(subject, train=train, objective="adversarial", seed=seed).logits for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_code_says_what_was_done(subject, train):
    found = tuned(subject, train=train, objective="pgd", steps=2, rate=0.02, seed=3)
    how = "objective='pgd', steps=2, rate=0.02, seed=3"
    assert found.code == f"rw.tuned({subject.code}, train={train.code}, {how})"


def test_every_step_is_told_and_can_be_the_last(subject, train):
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        tuned(subject, train=train, progress=progress, epochs=2)
    assert seen == [(0, 6), (1, 6), (2, 6)]  # 200 images are three batches of 64
    seen.clear()
    tuned(subject, train=train, progress=lambda *ticks: seen.append(ticks))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_own_objective_sees_logits_and_features(subject, train):
    seen = []

    def objective(run, batch):
        logits = run(batch.images)
        seen.append((tuple(logits.shape), tuple(run.features.shape), len(batch.targets)))
        return cross_entropy(logits, batch.targets)

    tuned(subject, train=train, objective=objective)
    assert seen == [((64, 2), (64, 96), 64)] * 3


def test_networks_that_always_draw_draw_anew_in_each_step(train):
    class Noisy(Net):
        def forward(self, x):
            return super().forward(x + 0.1 * torch.randn_like(x))

    noisy = Subject(Noisy(), *blobs(40), mean=0.5, std=0.1)
    images = train.images[:2]
    seen = []

    def objective(run, batch):
        with torch.no_grad():
            seen.append(run(images).clone())
        return cross_entropy(run(batch.images), batch.targets)

    found = tuned(noisy, train=train, objective=objective, rate=1e-12)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)
    assert torch.equal(found.predict(images), found.predict(images))  # and alike again after


# Objectives by hand


def batch_of(images, targets, seed=0):
    return Batch(images, torch.tensor(targets), torch.Generator().manual_seed(seed))


def linear(weights):
    """Two logits, w x and -w x, of images of three numbers."""
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = torch.stack([torch.tensor(weights), -torch.tensor(weights)])
    return Run(model, lambda images: model(images.flatten(1)))


def test_a_long_step_ends_at_the_corner_of_the_ball():
    run = linear([1.0, -2.0, 3.0])
    images = torch.full((1, 3, 1, 1), 0.5)
    found = attacked(run, batch_of(images, [0]), epsilon=0.1, step=0.2, steps=1)
    # The loss of class 0 grows where w x falls: against the signs of w.
    torch.testing.assert_close(found.flatten(), torch.tensor([0.4, 0.6, 0.4]))
    found = attacked(run, batch_of(images, [1]), epsilon=0.7, step=1.4, steps=1)
    assert found.flatten().tolist() == [1, 0, 1]  # images end at 0 and 1


def test_short_steps_add_up_from_a_random_start():
    run = linear([1.0, -2.0, 3.0])
    images = torch.full((500, 3, 1, 1), 0.5)
    start = attacked(run, batch_of(images, [0] * 500), epsilon=0.1, step=0.01, steps=0) - images
    assert start.abs().max() <= 0.1 + 1e-6 and start.std() == pytest.approx(0.2 / 12**0.5, rel=0.05)
    found = attacked(run, batch_of(images, [0] * 500), epsilon=0.1, step=0.01, steps=3) - images
    moved = torch.tensor([-0.03, 0.03, -0.03]).view(3, 1, 1)
    torch.testing.assert_close(found, (start + moved).clamp(-0.1, 0.1))


def test_a_wide_start_is_not_brought_back():
    run = linear([1.0, -2.0, 3.0])
    images = torch.full((500, 3, 1, 1), 0.5)
    batch = batch_of(images, [0] * 500)
    found = attacked(run, batch, epsilon=0.1, step=0.1, steps=1, start=0.2) - images
    assert found.abs().max() == pytest.approx(0.3, abs=0.01)
    moved = torch.tensor([-0.1, 0.1, -0.1]).view(3, 1, 1)
    assert (found - moved).abs().max() <= 0.2 + 1e-6


def test_the_adversarial_loss_is_that_of_the_corner():
    run = linear([1.0, -2.0, 3.0])
    images = torch.full((1, 3, 1, 1), 0.5)
    seen = tuning.adversarial(run, batch_of(images, [0]), epsilon=0.1, step=0.2)
    there = 0.4 - 1.2 + 1.2
    assert seen.item() == pytest.approx(torch.tensor(-2 * there).exp().add(1).log().item())


def test_noise_is_of_the_size_that_was_asked_for():
    seen = []
    run = Run(nn.Identity(), lambda images: seen.append(images) or images.flatten(1))
    images = torch.full((400, 3, 4, 4), 0.5)
    tuning.noisy(run, batch_of(images, [0] * 400), sigma=0.25)
    assert (seen[0] - 0.5).std().item() == pytest.approx(0.25, rel=0.02)
    assert seen[0].max() > 1


def test_the_consistent_loss_is_the_sum_of_its_parts():
    run = linear([1.0, -2.0, 3.0])
    images = torch.full((1, 3, 1, 1), 0.5)
    where = {"epsilon": 0.1, "step": 0.2}
    batch = batch_of(images, [0])
    clean, attacked = tuning.plain(run, batch), tuning.adversarial(run, batch, **where)
    seen = tuning.consistent(run, batch, clean=0.25, weight=2.0, **where)
    # Features are the three numbers themselves, each 0.1 away.
    assert seen.item() == pytest.approx((0.25 * clean + 0.75 * attacked + 2 * 0.03).item())


# What is refused


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"objective": "robust"}, "no such objective: got 'robust'. Choose objective= from"),
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"rate": 0}, "rate must be a number above 0 and below 100: got 0. Pass rate="),
        ({"rate": True}, "rate must be a number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"objective": lambda run, batch: 1.0}, "gave no loss: got float. Let objective="),
        ({"objective": lambda run, batch: run(batch.images)}, r"gave no loss: got \(64, 2\)"),
        (
            {"objective": lambda run, batch: run(batch.images).sum() * float("inf")},
            r"training diverged: the loss is -?inf in step 1\. Pass rate= below 0\.01",
        ),
    ],
)
def test_wrong_values_are_refused(subject, train, knobs, words):
    with pytest.raises((TypeError, ValueError), match=words):
        tuned(subject, **{"train": train, **knobs})


def test_wrong_images_are_refused(subject, train):
    with pytest.raises(ValueError, match="share 40 of 40"):
        tuned(subject, train=subject)
    with pytest.raises(TypeError, match="train is not a Subject"):
        tuned(subject, train=train.images)
    with pytest.raises(ValueError, match=r"train has \(3, 32, 32\) and 10 classes.*train="):
        tuned(subject, train=rw.demo(n=5))
