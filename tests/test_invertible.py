"""Invertible networks: there and back, how far a branch stretches, attacks in the latent."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd.functional import jvp, vjp
from torch.nn.functional import conv2d

from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.networks.invertible import (
    BoundedConv2d,
    InvertibleBlock,
    InvertibleResNet,
    across,
    latent_adversarial,
)
from reliab_widgets.ops.networks.tuning import Batch, Run
from reliab_widgets.ops.networks.untrained import untrained
from reliab_widgets.zoo import weights

BOUND = 0.8
IMAGES = 2 * torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 1


def steep(seed=0):
    """An untrained network whose weights are far too large: every bound is needed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = InvertibleResNet(blocks=(1, 2), width=8, bound=BOUND)
    for layer in bounded(model):
        layer.weight.data *= 5
        layer.settle(60)
    return model.eval()


def bounded(model):
    return [layer for layer in model.modules() if isinstance(layer, BoundedConv2d)]


def blocks(model):
    return [block for block in model.modules() if isinstance(block, InvertibleBlock)]


def test_the_stretch_of_a_convolution_is_that_of_its_matrix():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = BoundedConv2d(2, 3, 3, side=5, bound=0.7)
    layer.weight.data *= 4
    layer.settle(300)
    # The matrix of the layer without its bias: the answers to every unit image.
    units = torch.eye(2 * 25).view(50, 2, 5, 5)
    matrix = conv2d(units, layer.bounded(), padding=1).flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(0.7, abs=1e-3)


def test_a_flat_convolution_is_left_as_it_is():
    layer = BoundedConv2d(2, 2, 1, side=4, bound=0.9)
    layer.weight.data = 0.1 * torch.eye(2).view(2, 2, 1, 1)
    layer.settle(5)
    assert torch.equal(layer.bounded(), layer.weight)


@torch.no_grad()
def test_every_image_comes_back():
    model = steep()
    found = model.inverse(model.latent(IMAGES))
    assert (found - IMAGES).abs().max() < 1e-3
    # A step more or less is the largest bound times as far away.
    gaps = [(model.inverse(model.latent(IMAGES), steps) - IMAGES).norm() for steps in (4, 8)]
    assert gaps[1] < BOUND**4 * 1.5 * gaps[0]


@torch.no_grad()
def test_every_latent_vector_has_an_image():
    model = steep()
    latent = 2 * torch.randn(4, 3072, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.latent(model.inverse(latent, 80)), latent, rtol=0, atol=1e-3)


def test_branches_stretch_no_more_than_they_may():
    model, estimates = steep(), []
    for block in blocks(model):
        block.register_forward_pre_hook(
            lambda block, inputs: estimates.append(lipschitz(block.branch, inputs[0].detach()))
        )
    model(IMAGES)
    assert len(estimates) == 3
    assert 0.05 < min(estimates) <= max(estimates) <= BOUND + 0.02


def lipschitz(branch, x, rounds=20):
    """The largest factor of the Jacobian at images x, by power iteration."""
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for _ in range(rounds):
        there = jvp(branch, x, v)[1]
        v = vjp(branch, x, there)[1]
        v = v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return jvp(branch, x, v)[1].flatten(1).norm(dim=1).max().item()


def test_the_bound_outlasts_training():
    model = steep().train()
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    labels = torch.arange(8)
    for step in range(12):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 12)
        loss = nn.functional.cross_entropy(model(IMAGES), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    each = BOUND ** (1 / 3)
    for layer in bounded(model):
        used = layer.bounded().detach()
        fresh = copy.deepcopy(layer)
        fresh.weight.data = used
        fresh.settle(200)
        stretch = conv2d(fresh.direction, used, padding=layer.padding).norm().item()
        assert stretch <= each + 0.02 / 3
    with torch.no_grad():
        assert (model.inverse(model.latent(IMAGES)) - IMAGES).abs().max() < 1e-3


def test_new_weights_are_bounded_too():
    subject = Subject(steep(), (IMAGES + 1) / 2, list(range(8)))
    model = untrained(subject).model
    with torch.no_grad():
        assert (model.inverse(model.latent(IMAGES)) - IMAGES).abs().max() < 1e-3
    assert torch.equal(pickle.loads(pickle.dumps(model))(IMAGES), model(IMAGES))


@torch.no_grad()
def test_the_attack_in_the_latent_needs_no_gradient():
    model = steep()
    logits, latent = model(IMAGES), model.latent(IMAGES)
    sources, targets = logits.argmax(1), logits.argmin(1)
    moved = across(latent, model.fc, sources, targets, margin=0.1)
    after = model.fc(moved).gather(1, torch.stack([sources, targets], 1))
    torch.testing.assert_close(after[:, 1] - after[:, 0], torch.full((8,), 0.1), rtol=0, atol=1e-4)
    # The nearest: along the difference of two rows, so any other way is longer.
    step = (moved - latent) / (moved - latent).norm(dim=1, keepdim=True)
    apart = model.fc.weight[targets] - model.fc.weight[sources]
    assert ((step * apart).sum(1) / apart.norm(dim=1) > 1 - 1e-5).all()
    # And so is the image that it leads back to.
    seen = model(model.inverse(moved)).gather(1, torch.stack([sources, targets], 1))
    assert (seen[:, 1] > seen[:, 0]).all()


def test_training_in_the_latent_stays_in_the_ball():
    model, seen = steep(), []
    run = Run(model, lambda images: model(seen.append(images) or (images - 0.5) / 0.25))
    images, labels = (IMAGES + 1) / 2, torch.arange(8)
    scale = {"mean": torch.tensor(0.5), "std": torch.tensor(0.25)}
    loss = latent_adversarial(run, Batch(images, labels, torch.Generator()), epsilon=0.05, **scale)
    clean, changed = seen
    assert torch.equal(clean, images)
    assert 0.01 < (changed - images).abs().max() <= 0.05 + 1e-6
    assert changed.min() >= 0 and changed.max() <= 1
    assert loss > nn.functional.cross_entropy(run(images), labels)
    loss.backward()
    assert model.fc.weight.grad.abs().max() > 0


def test_another_network_has_no_way_back():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    batch = Batch(IMAGES, torch.arange(8), torch.Generator())
    with pytest.raises(
        TypeError, match=r"no way back .*: got Sequential\. Use an InvertibleResNet"
    ):
        latent_adversarial(Run(model, model), batch, mean=torch.zeros(1), std=torch.ones(1))


def test_that_of_the_zoo_comes_back():
    model = weights.untrained("invertible")
    with torch.no_grad():
        assert (model.inverse(model.latent(IMAGES[:2])) - IMAGES[:2]).abs().max() < 1e-3
