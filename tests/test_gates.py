"""Class-specific gates: the loss by hand, and what training makes of gates and units."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.networks.gates import Gated
from reliab_widgets.ops.networks.tuning import Batch, Run, tuned


def images_of(n, seed):
    """Images 1 x 2 x 2 of four classes: one bright pixel each, on noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    images = 0.3 * torch.rand(n, 4, generator=generator)
    images[torch.arange(n), labels] += 0.4
    return images.view(n, 1, 2, 2), labels


@pytest.fixture(scope="module")
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 4))
    return Subject(model, *images_of(40, seed=0))


def test_only_the_last_epoch_of_a_cycle_is_gated(subject):
    run = Run(subject.model, subject.model)
    images, labels = images_of(8, seed=1)
    objective = Gated(12, 4)
    losses = [
        objective(run, Batch(images, labels, torch.Generator(), epoch)).item() for epoch in range(6)
    ]
    plain = cross_entropy(subject.model(images), labels).item()
    assert losses[:2] == losses[3:5] == [plain] * 2
    assert losses[2] == losses[5] != plain
    run.close()


def test_the_gated_loss_by_hand():
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = torch.eye(2)
    run = Run(model, lambda images: model(images.flatten(1)))
    objective = Gated(2, 2, budget=0.25, weight=0.1)
    objective.gate.data = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    batch = Batch(
        torch.tensor([[2.0, 1.0]]).view(1, 2, 1, 1), torch.tensor([0]), torch.Generator(), 2
    )
    # Class 0 sees the first unit only: logits 2 and 0. Gates sum to 2.5, 1 is free.
    expected = torch.tensor(-2.0).exp().add(1).log() + 0.1 * 1.5
    assert objective(run, batch).item() == pytest.approx(expected.item())


def test_gates_close_and_units_come_to_stand_for_classes(subject):
    objective = Gated(12, 4, budget=0.3, weight=0.05)
    train = Subject(subject.model, *images_of(400, seed=2))
    found = tuned(subject, train=train, objective=objective, epochs=30, rate=0.05)
    objective.normalise()
    gate = objective.gate.detach()
    assert gate.min() >= 0 and gate.max() <= 1
    torch.testing.assert_close(gate.max(1).values, torch.ones(12))
    # Of units that say nothing all gates are alike, and the widest is 1.
    features = found.model[:3](found.images)
    assert gate[features.std(0) > 0.05].mean() < 0.5
    assert (found.logits.argmax(1) == found.labels).float().mean() > 0.95
