"""Distances between features: numbers worked out by hand, and what holds for all features."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn.functional import cosine_similarity

from reliab_widgets.ops.features.distances import distances, reduced

RMS, RELATIVE, VARIANCE, COSINE = range(4)


def between(clean: Tensor, changed: Tensor) -> Tensor:
    """The four distances of one pair of images' features."""
    numbers = reduced(torch.stack([clean, changed])[:, None])
    return distances(numbers[None], torch.tensor([clean.numel()]))[0, :, 0, 0]


def test_by_hand() -> None:
    # The difference is (1, 1, 1, 1): length 2; the clean one has length sqrt(30), mean 2.5 and
    # variance 1.25, and so has the changed one, whose length is sqrt(54); a . b = 40.
    clean, changed = torch.tensor([1.0, 2, 3, 4]), torch.tensor([2.0, 3, 4, 5])
    expected = [1, 2 / math.sqrt(30), 0, 1 - 40 / math.sqrt(30 * 54)]
    assert between(clean, changed).tolist() == pytest.approx(expected, abs=1e-7)
    # Now it is (0, 0, 0, 4), of variance 3; the changed one has variance 7.25.
    found = between(clean, torch.tensor([1.0, 2, 3, 8]))
    assert found[RMS] == 2
    assert found[VARIANCE] == pytest.approx(3 / (2 * (1.25 + 7.25)))


def test_what_is_zero() -> None:
    zero, one = torch.zeros(3), torch.ones(3)
    assert between(zero, zero).tolist() == [0, 0, 0, 0]
    assert between(zero, one).tolist() == [1, math.inf, 0, 1]
    assert between(one, zero).tolist() == [1, 1, 0, 1]


def test_opposite_features_are_as_far_as_can_be() -> None:
    clean = torch.tensor([1.0, -1, 2])
    assert between(clean, -clean)[COSINE] == pytest.approx(2)
    assert between(clean, -clean)[VARIANCE] == 1


def test_layers_and_versions_stay_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [torch.rand(3, 5, *size, generator=generator) for size in ((2, 4, 4), (7,))]
    numbers = torch.stack([reduced(layer) for layer in layers])
    found = distances(numbers, torch.tensor([32, 7]))
    assert found.shape == (2, 4, 2, 5)
    for version in (1, 2):
        for place, layer in enumerate(layers):
            for image in range(5):
                torch.testing.assert_close(
                    found[version - 1, :, place, image],
                    between(layer[0, image], layer[version, image]),
                )


finite = arrays(np.float32, 6, elements=st.floats(-100, 100, width=32))


@given(finite, finite)
def test_against_numpy_and_torch(clean: np.ndarray, changed: np.ndarray) -> None:
    a, b = changed.astype(np.float64), clean.astype(np.float64)
    found = between(torch.from_numpy(clean), torch.from_numpy(changed))
    assert found[RMS] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)), rel=1e-5, abs=1e-12)
    if np.linalg.norm(b) > 1e-20:  # what is less than float32 can square is lost
        expected = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert found[RELATIVE] == pytest.approx(expected, rel=1e-5, abs=1e-12)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) > 1e-3:
        cosine = cosine_similarity(torch.from_numpy(a), torch.from_numpy(b), dim=0).item()
        # Rounding grows with how unequal the lengths are.
        error = 1e-6 * max(lengths) / min(lengths)
        assert found[COSINE] == pytest.approx(1 - cosine, abs=error)
    if min(np.var(a), np.var(b), np.var(a - b)) > 1e-2:
        expected = 0.5 * np.var(a - b) / (np.var(a) + np.var(b))
        assert found[VARIANCE] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert 0 <= found[VARIANCE] <= 1
    assert 0 <= found[COSINE] <= 2


@given(finite)
def test_the_same_is_at_distance_zero(features: np.ndarray) -> None:
    same = torch.from_numpy(features)
    assert between(same, same.clone()).tolist() == [0, 0, 0, 0]


def test_small_cosine_distances_are_not_lost_in_rounding() -> None:
    clean = torch.ones(10_000)
    changed = clean.clone()
    changed[0] += 1e-3  # one minus a float32 cosine would be 0 or 1e-7
    assert between(clean, changed)[COSINE] == pytest.approx(0.5 * 1e-6 / 10_000, rel=1e-2)
