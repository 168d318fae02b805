"""Bounds and chances of shares: by hand, and as scipy says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from reliab_widgets.ops.statistics.proportions import at_least, lower_bound


@pytest.mark.parametrize(
    ("hits", "trials", "alpha", "bound"),
    [
        (1, 1, 0.05, 0.05),
        (1, 2, 0.19, 0.1),  # 1 - (1 - 0.1)^2 = 0.19
        (2, 2, 0.09, 0.3),
        (3, 3, 0.001, 0.1),
        (10, 10, 0.001, 0.5011872),  # 10^(-3 / 10)
        (1000, 1000, 0.001, 0.9931160),  # 10^(-3 / 1000)
        (0, 5, 0.05, 0.0),
    ],
)
def test_bounds_by_hand(hits: int, trials: int, alpha: float, bound: float) -> None:
    assert lower_bound(hits, trials, alpha) == pytest.approx(bound, abs=1e-7)


TRIALS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(TRIALS, st.sampled_from([0.001, 0.025, 0.3]))
def test_bounds_are_scipys(numbers: tuple[int, int], alpha: float) -> None:
    hits, trials = numbers
    bound = lower_bound(hits, trials, alpha)
    if hits:
        assert bound == pytest.approx(beta.ppf(alpha, hits, trials - hits + 1), abs=1e-9)
    test = binomtest(hits, trials, alternative="greater")
    exact = test.proportion_ci(1 - alpha, method="exact").low
    assert bound == pytest.approx(exact, abs=1e-9)
    # What it means: so many hits or more have the chance alpha at this share.
    assert not hits or at_least(hits, trials, float(bound)) == pytest.approx(alpha, rel=1e-6)


def test_bounds_of_arrays_are_those_of_each() -> None:
    hits = np.array([[0, 3], [5, 10]])
    each = [[lower_bound(it, 10, 0.05) for it in row] for row in hits]
    np.testing.assert_array_equal(lower_bound(hits, 10, 0.05), each)


@given(TRIALS, st.floats(0.001, 0.999))
def test_chances_are_scipys(numbers: tuple[int, int], share: float) -> None:
    hits, trials = numbers
    assert at_least(hits, trials, share) == pytest.approx(binom.sf(hits - 1, trials, share))
