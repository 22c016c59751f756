"""From histogram to range: zero is always inside, and each method clips what it says."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_converters.calibrate.estimators import estimate_range, mse_range, percentile_range
from edgeai_converters.calibrate.estimators_entropy import entropy_range
from edgeai_converters.calibrate.estimators_histogram import Histogram
from edgeai_converters.spec import RANGE_METHODS, RangeMethod


def _histogram(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


def _error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255
    zero_point = np.rint(-low / scale)
    stored = np.clip(np.rint(values / scale) + zero_point, 0, 255)
    return float(np.mean(((stored - zero_point) * scale - values) ** 2))


@pytest.mark.parametrize("method", RANGE_METHODS)
@pytest.mark.parametrize("values", [[1.0, 2.0], [-3.0, -1.0], [-1.0, 4.0], [0.0, 0.0]], ids=str)
def test_every_range_contains_zero(method: RangeMethod, values: list[float]) -> None:
    low, high = estimate_range(_histogram(np.array(values)), method)
    assert low <= 0.0 <= high


@pytest.mark.parametrize("method", RANGE_METHODS)
def test_a_tensor_that_is_never_negative_keeps_zero_as_its_low_end(method: RangeMethod) -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=10000), 0)
    assert estimate_range(_histogram(values), method)[0] == 0.0


@pytest.mark.parametrize("method", RANGE_METHODS)
def test_nothing_seen_gives_an_empty_range(method: RangeMethod) -> None:
    assert estimate_range(Histogram(), method) == (0.0, 0.0)


def test_minmax_is_exact() -> None:
    assert estimate_range(_histogram(np.array([-0.1, 0.7])), "minmax") == (-0.1, 0.7)


def test_percentile_clips_a_single_outlier_in_a_hundred_thousand() -> None:
    values = np.append(np.random.default_rng(0).uniform(-1, 1, 100_000), 50.0)
    low, high = percentile_range(_histogram(values))
    assert low == pytest.approx(-1, abs=0.06)
    assert high == pytest.approx(1, abs=0.06)


def test_percentile_takes_all_of_the_rest_from_the_only_end() -> None:
    values = np.linspace(0, 1, 10_001)
    assert percentile_range(_histogram(values), 0.9)[1] == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=50_000),
        np.maximum(np.random.default_rng(1).normal(size=50_000), 0),
        np.random.default_rng(2).laplace(size=50_000),
        np.append(np.random.default_rng(3).normal(size=50_000), 40.0),
        np.random.default_rng(4).exponential(size=50_000) - 0.2,
    ],
    ids=["normal", "relu", "laplace", "outlier", "one-sided"],
)
def test_mse_is_never_worse_than_minmax_on_the_data_itself(values: np.ndarray) -> None:
    histogram = _histogram(values)
    assert _error(values, *mse_range(histogram)) <= 1.01 * _error(values, histogram.low, histogram.high)


def test_mse_clips_a_far_outlier() -> None:
    values = np.append(np.random.default_rng(3).normal(size=500_000), 40.0)
    assert mse_range(_histogram(values))[1] < 30


def test_mse_shrinks_each_end_for_itself() -> None:
    random = np.random.default_rng(5)
    values = np.concatenate([random.uniform(-1, 0, 200_000), random.exponential(size=200_000)])
    low, high = mse_range(_histogram(values))
    assert low == pytest.approx(-1, abs=0.05)
    assert high < 0.9 * values.max()


def test_mse_keeps_a_range_without_tails() -> None:
    low, high = mse_range(_histogram(np.random.default_rng(6).uniform(-1, 1, 100_000)))
    assert (low, high) == pytest.approx((-1, 1), abs=0.03)


def test_the_moving_average_of_few_samples_is_their_mean() -> None:
    histogram = _histogram(np.array([-1.0, 8.0]))
    histogram.follow(np.array([-1.0, -0.5, 0.0]), np.array([2.0, 8.0, 2.0]))
    assert estimate_range(histogram, "moving_average") == pytest.approx((-0.5, 4.0))


def test_the_moving_average_forgets_samples_of_long_ago() -> None:
    histogram = _histogram(np.array([0.0, 9.0]))
    histogram.follow(np.zeros(100), np.full(100, 9.0))
    histogram.follow(np.zeros(1000), np.full(1000, 1.0))
    assert estimate_range(histogram, "moving_average")[1] == pytest.approx(1.0, abs=0.01)


def test_the_moving_average_of_samples_that_were_not_followed_is_minmax() -> None:
    assert estimate_range(_histogram(np.array([-1.0, 3.0])), "moving_average") == (-1.0, 3.0)


def test_entropy_clips_a_far_outlier() -> None:
    values = np.append(np.random.default_rng(3).normal(size=500_000), 40.0)
    assert 3 < entropy_range(_histogram(values))[1] < 20


def test_entropy_keeps_a_range_without_tails() -> None:
    low, high = entropy_range(_histogram(np.random.default_rng(6).uniform(-1, 1, 500_000)))
    assert (low, high) == pytest.approx((-1, 1), abs=0.05)


def test_entropy_keeps_a_tensor_of_few_different_values() -> None:
    assert entropy_range(_histogram(np.array([0.1, 0.2, 50.0] * 1000))) == (0.0, 50.0)


def test_entropy_cuts_both_ends_at_the_same_magnitude() -> None:
    values = np.random.default_rng(0).laplace(size=500_000)
    histogram = _histogram(values)
    low, high = entropy_range(histogram)
    assert -low == high
    assert high < 0.98 * histogram.high
