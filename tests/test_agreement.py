"""How far maps agree: by hand, and as scipy and scikit-image say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr
from skimage.metrics import structural_similarity

from reliab_widgets.ops.statistics.agreement import (
    MEASURES,
    agreement,
    kendall,
    spearman,
    ssim,
    top_overlap,
)

MAPS = np.random.default_rng(0).normal(size=(4, 16, 12))
# Few different values, so that many are equal.
TIED = arrays(float, (3, 5, 4), elements=st.integers(-2, 2).map(float))


@given(TIED)
def test_spearman_is_scipys_with_ties(maps: np.ndarray) -> None:
    if (np.ptp(maps, axis=(1, 2)) == 0).any():
        return
    expected = spearmanr(maps.reshape(3, -1), axis=1).statistic
    np.testing.assert_allclose(spearman(maps), expected, atol=1e-12)


def test_spearman_of_a_constant_map_is_nan_and_of_others_a_number() -> None:
    maps = np.stack([np.zeros((2, 2)), np.arange(4.0).reshape(2, 2), -np.eye(2)])
    table = spearman(maps)
    assert np.isnan(table[0]).all() and np.isnan(table[:, 0]).all()
    assert np.isfinite(table[1:, 1:]).all()


def test_top_overlap_by_hand() -> None:
    # Of 20 pixels the top 10 % are two: 18, 19 against 19, 0; one of three is shared.
    one = np.arange(20.0)
    other = np.where(np.arange(20) == 0, 99.0, one)
    assert top_overlap(np.stack([one, other]))[0, 1] == pytest.approx(1 / 3)
    # Rounded up: of 21 pixels three are the top.
    assert top_overlap(np.stack([np.arange(21.0), -np.arange(21.0)]))[0, 0] == 1
    half = top_overlap(np.array([[4.0, 3, 2, 1], [1.0, 4, 3, 2]]), share=0.5)
    assert half[0, 1] == pytest.approx(1 / 3)


def test_top_overlap_of_random_maps_is_what_chance_gives() -> None:
    maps = np.random.default_rng(1).normal(size=(60, 40, 25))
    shared = top_overlap(maps)[np.triu_indices(60, 1)]
    assert shared.mean() == pytest.approx(0.1 / 1.9, abs=0.003)


def test_ssim_is_that_of_scikit_image() -> None:
    unit = 0.5 + MAPS / np.abs(MAPS).max(axis=(1, 2), keepdims=True) / 2
    for i, j in ((0, 1), (1, 3)):
        _, full = structural_similarity(
            unit[i],
            unit[j],
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # scikit-image leaves the border out of its mean; here it counts, for maps are small.
        assert ssim(MAPS)[i, j] == pytest.approx(full.mean(), abs=1e-12)


def test_ssim_works_on_maps_smaller_than_its_window() -> None:
    maps = MAPS[:, :3, :4]
    np.testing.assert_allclose(np.diagonal(ssim(maps)), 1)
    assert np.abs(ssim(maps)).max() <= 1 + 1e-12


@given(arrays(float, (3, 6), elements=st.integers(-3, 3).map(float)))
def test_kendall_is_scipys_with_ties(values: np.ndarray) -> None:
    table = kendall(values)
    for i in range(3):
        for j in range(3):
            expected = kendalltau(values[i], values[j]).statistic
            np.testing.assert_allclose(table[i, j], expected, atol=1e-12)


def test_agreement_is_symmetric_blind_to_scale_and_in_order() -> None:
    tables = agreement(MAPS)
    assert tables.shape == (len(MEASURES), 4, 4)
    np.testing.assert_array_equal(tables, tables.swapaxes(1, 2))
    np.testing.assert_allclose(tables[:, range(4), range(4)], 1)
    np.testing.assert_allclose(agreement(MAPS * 1000), tables, atol=1e-9)
    opposite = agreement(np.stack([MAPS[0], -MAPS[0]]))[:, 0, 1]
    assert opposite[MEASURES.index("signed")] == pytest.approx(-1)
    assert opposite[MEASURES.index("absolute")] == pytest.approx(1)
    assert opposite[MEASURES.index("top")] == 0
    assert opposite[MEASURES.index("ssim")] < 0
