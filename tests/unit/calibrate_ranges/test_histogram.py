"""The one-pass histogram: exact extremes, exact counts, fixed memory, whatever the order of the data."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_converters.calibrate.estimators_histogram import SIDE, Histogram


def _filled(*arrays: np.ndarray) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.add(array)
    return histogram


def test_extremes_are_exact() -> None:
    histogram = _filled(np.array([0.3, -1.7]), np.array([[2.25]]))
    assert (histogram.low, histogram.high) == (-1.7, 2.25)


def test_every_value_is_counted_once_however_often_the_range_grows() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(size=1000) * 10.0**exponent for exponent in range(-3, 4)]
    assert _filled(*parts).total == 7000


def test_memory_does_not_grow_with_the_data() -> None:
    histogram = _filled(*(np.random.default_rng(seed).normal(size=5000) * 2.0**seed for seed in range(20)))
    assert histogram.counts.size == 2 * SIDE


def test_growing_gives_the_same_counts_as_bins_that_were_wide_from_the_start() -> None:
    random = np.random.default_rng(1)
    small, large = random.uniform(-1, 1, 3000), np.array([64.0])
    grown = _filled(np.array([1.0]), small, large)
    wide = _filled(large, small, np.array([1.0]))
    assert grown.width == wide.width
    np.testing.assert_array_equal(grown.counts, wide.counts)


def test_zeros_are_counted_apart() -> None:
    histogram = _filled(np.array([0.0, 0.0, 1.0]))
    assert histogram.zeros == 2
    assert histogram.counts.sum() == 1


def test_values_of_both_signs_lie_on_their_side_of_zero() -> None:
    centres, counts = _filled(np.array([-1.0, -0.25, 0.5])).bins()
    assert counts[centres < 0].sum() == 2
    assert counts[centres > 0].sum() == 1


def test_nan_and_infinity_are_counted_as_unusable_only() -> None:
    histogram = _filled(np.array([np.nan, np.inf, -np.inf, 1.0]))
    assert (histogram.unusable, histogram.total, histogram.high) == (3, 1, 1.0)


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1.0, 1e30])
def test_a_first_value_of_any_size_can_be_followed_by_one(factor: float) -> None:
    histogram = _filled(np.array([factor]), np.array([1.0]))
    assert histogram.total == 2
    assert histogram.width * SIDE >= max(factor, 1.0) * (1 - 1e-9)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_are_within_a_bin_of_numpys(share: float) -> None:
    values = np.random.default_rng(2).normal(size=20000)
    histogram = _filled(values)
    assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), abs=2 * histogram.width)


def test_a_quantile_inside_the_zeros_is_zero() -> None:
    assert _filled(np.concatenate([np.zeros(80), np.linspace(0.1, 1, 20)])).quantile(0.5) == 0.0


def test_quantiles_above_a_mass_of_zeros_are_right() -> None:
    values = np.concatenate([np.zeros(9000), np.linspace(0.001, 1, 1000)])
    assert _filled(values).quantile(0.95) == pytest.approx(0.5, abs=0.01)
