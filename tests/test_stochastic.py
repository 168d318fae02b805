"""Weights that are drawn: against the network without, against torch's divergence, and learnt."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import softplus

from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.networks.stochastic import (
    PRIOR,
    RHO,
    divergence,
    elbo,
    reseed,
    stochastic,
)
from reliab_widgets.ops.networks.tuning import Batch, Run, tuned
from reliab_widgets.zoo import train, weights

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def plain():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        ).eval()


@pytest.fixture
def drawn():
    return stochastic(plain(), ["0", "4"])


def spread(model, value):
    for name, parameter in model.named_parameters():
        if name.endswith(RHO):
            nn.init.constant_(parameter, value)


def test_without_spread_it_is_the_network_it_was_made_of(drawn):
    spread(drawn, -20.0)
    torch.testing.assert_close(drawn(IMAGES), plain()(IMAGES), rtol=0, atol=1e-4)


def test_a_start_of_minus_five_is_a_spread_of_seven_thousandths(drawn):
    assert softplus(drawn[0].weight_rho).unique().item() == pytest.approx(0.006715, rel=1e-3)


def test_divergence_is_that_of_torch(drawn):
    generator = torch.Generator().manual_seed(1)
    for name, parameter in drawn.named_parameters():
        if name.endswith(RHO):
            nn.init.uniform_(parameter, -6, -1, generator=generator)
    expected = 0.0
    for layer in (drawn[0], drawn[4]):
        for name in ("weight", "bias"):
            posterior = Normal(getattr(layer, name), softplus(getattr(layer, name + RHO)))
            expected += kl_divergence(posterior, Normal(0.0, PRIOR)).sum().item()
    assert divergence(drawn).item() == pytest.approx(expected, rel=1e-5)


def test_draws_have_the_mean_and_the_spread_they_should(drawn):
    spread(drawn, -3.0)
    draws = torch.stack([reseed(drawn, seed)[0].draw()[0] for seed in range(400)])
    wanted = softplus(torch.tensor(-3.0))
    z = (draws.mean(0) - drawn[0].weight) / (wanted / 20)  # of 108 weights, each 400 times
    assert z.abs().max() < 4.5
    torch.testing.assert_close(draws.std(0).mean(), wanted, rtol=0.02, atol=0)
    # Neither layers nor weight and bias share their noise.
    first, bias = drawn[4].draw()
    noise = [
        ((x - y) / wanted).flatten() for x, y in ((first, drawn[4].weight), (bias, drawn[4].bias))
    ]
    assert not torch.equal(noise[0][:3], noise[1])
    assert not torch.equal(
        ((drawn[0].draw()[0] - drawn[0].weight) / wanted).flatten()[:3], noise[0][:3]
    )


def test_a_pass_is_a_function_of_the_seed_and_leaves_global_generators_alone(drawn):
    state = torch.random.get_rng_state()
    once, again = drawn(IMAGES), drawn(IMAGES)
    assert torch.equal(once, again)
    # One draw for all images: the answer to an image does not depend on the others.
    torch.testing.assert_close(drawn(IMAGES[2:3]), once[2:3])
    assert not torch.equal(reseed(drawn, 1)(IMAGES), once)
    assert torch.equal(reseed(drawn, 0)(IMAGES), once)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_subjects_of_two_draws_differ_and_each_repeats_itself(drawn):
    labels = [0, 1, 2, 0, 1, 2]
    first = Subject(drawn, IMAGES, labels)
    assert not first.network.draws and not any("random" in note for note in first.notes)
    assert torch.equal(first.logits, first.predict(IMAGES))
    other = Subject(reseed(copy.deepcopy(drawn), 1), IMAGES, labels)
    assert other.fingerprint != first.fingerprint
    assert Subject(drawn, IMAGES, labels).fingerprint == first.fingerprint
    travelled = pickle.loads(pickle.dumps(first))
    assert torch.equal(travelled.predict(IMAGES), first.logits)


def test_names_hooks_and_state_stay(drawn):
    assert set(plain().state_dict()) < set(drawn.state_dict())
    model, seen = plain(), []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    stochastic(model, ["0"])(IMAGES)
    assert seen == [1] and isinstance(model[0], nn.Conv2d)


def test_the_bound_falls_and_batch_norms_stay(drawn):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = 0.2 * torch.rand(60, 3, 8, 8, generator=generator)
    images[torch.arange(60), labels] += 0.4  # of colours
    subject, more = (
        Subject(drawn, images[:30], labels[:30]),
        Subject(drawn, images[30:], labels[30:]),
    )
    objective = partial(elbo, images=3000)

    def bound(model):
        run = Run(model, model)
        with torch.no_grad():
            draws = [
                objective(run, Batch(images, labels, torch.Generator().manual_seed(seed)))
                for seed in range(5)
            ]
        run.close()
        return torch.stack(draws).mean().item()

    found = tuned(subject, train=more, objective=objective, epochs=200, rate=0.02)
    assert bound(found.model) < bound(drawn) - 0.5  # nats for each image
    assert (found.logits.argmax(1) == found.labels).float().mean() > 0.9
    assert torch.equal(found.model[1].running_mean, drawn[1].running_mean)
    assert not torch.equal(found.model[0].weight_rho, drawn[0].weight_rho)


def test_the_loss_by_hand():
    model = stochastic(nn.Linear(1, 2, bias=False), [""])
    model.weight.data = torch.tensor([[1.0], [0.0]])
    spread(model, -20.0)
    run = Run(model, lambda images: model(images.flatten(1)))
    batch = Batch(torch.ones(1, 1, 1, 1), torch.tensor([0]), torch.Generator())
    entropy = torch.tensor(-1.0).exp().add(1).log()
    expected = entropy + divergence(model) / 50
    assert elbo(run, batch, images=50).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("1", r"'1' is BatchNorm2d\. Choose layers= from '0', '4'"),
        ("conv1", r"got 'conv1'\. Choose layers= from '0', '4'"),
    ],
)
def test_a_layer_that_cannot_draw_is_named(layer, words):
    with pytest.raises(ValueError, match=f"only weights of Conv2d and Linear .* drawn: {words}"):
        stochastic(plain(), [layer])


def test_a_network_without_a_drawn_weight_has_no_bound():
    model = plain()
    with pytest.raises(ValueError, match=r"no weight of the network is drawn.*stochastic"):
        elbo(Run(model, model), Batch(IMAGES, torch.zeros(6).long(), torch.Generator()), images=6)


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet20-meanfield", 21), ("resnet20-meanfield-both", 22)]
)
def test_the_networks_of_the_zoo_begin_as_the_one_without_spread(name, layers):
    model = weights.untrained(name)
    assert sum(parameter.endswith("weight_rho") for parameter in model.state_dict()) == layers
    train._begin_with("resnet20", model, "cifar10")
    spread(model, -20.0)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = weights.load("resnet20")(images)
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-4)
