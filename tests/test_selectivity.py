"""Depth-selective units: the measure by hand, and a training that raises it."""

import numpy as np
import pytest
import torch
from torch import nn

from reliab_widgets.ops.networks.selectivity import (
    responses,
    selective,
    selectivity,
    thresholds,
)
from reliab_widgets.ops.networks.tuning import Batch, Run


def test_ranges_grow_by_the_same_factor():
    edges = thresholds(16)
    assert len(edges) == 17
    assert (edges.diff() > 0).all()
    assert edges[[0, 1, -1]].tolist() == pytest.approx([0, 1, 10])
    # With the nearest depth 1 there is no shift: each edge is 10^(1/15) times the one before.
    np.testing.assert_allclose(edges[2:] / edges[1:-1], 10 ** (1 / 15), rtol=1e-5)


def test_a_unit_of_one_range_has_selectivity_1_and_a_constant_one_0():
    edges = thresholds(4)
    depth = torch.linspace(0.5, 9.9, 400).view(1, 1, 20, 20)
    which = torch.bucketize(depth, edges[1:-1])
    maps = torch.cat([(which == 2) * -3.0, torch.full_like(depth, 0.7)], 1)
    found, counts = responses(maps, depth, edges)
    assert counts.sum() == 400
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0, 3, 0]))
    torch.testing.assert_close(found[1], torch.full((4,), 0.7))
    seen = selectivity(found, counts, torch.tensor([2, 1]))
    torch.testing.assert_close(seen, torch.tensor([1.0, 0.0]))
    assert selectivity(found, counts, torch.tensor([3, 1]))[0] == -1


def test_a_range_without_pixels_counts_for_nothing():
    found, counts = responses(torch.ones(1, 2, 3, 3), torch.full((1, 1, 3, 3), 5.0), thresholds(4))
    assert (counts > 0).sum() == 1
    here = int(counts.argmax())
    seen = selectivity(found, counts, torch.tensor([here, (here + 1) % 4]))
    assert seen.tolist() == [1, 0]


def test_small_maps_are_enlarged():
    found, _ = responses(torch.full((1, 1, 2, 2), 2.0), torch.rand(1, 1, 8, 8) * 9, thresholds(4))
    assert set(found.flatten().tolist()) <= {0.0, 2.0}


def test_training_for_it_makes_units_selective():
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    # One layer knows depths above and below a limit; ranges take two.
    model = nn.Sequential(
        nn.Conv2d(1, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    torch.random.set_rng_state(torch_state)
    run = Run(model, model)
    depth = torch.linspace(1, 9.9, 256).view(1, 1, 16, 16)
    batch = Batch((depth - 5) / 5, depth, torch.Generator())
    chosen = torch.arange(16) * 4 // 16

    def seen():
        found, counts = responses(model[:4](batch.images), depth, thresholds(4))
        return selectivity(found, counts, chosen).mean().item()

    before = seen()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(100):
        optimiser.zero_grad()
        selective(run, batch, weight=5.0, bins=4).backward()
        optimiser.step()
    assert seen() > before + 0.2
    assert not any(module._forward_hooks for module in model.modules())
