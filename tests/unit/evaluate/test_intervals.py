"""The intervals of the certificate agree with published examples and cover what they promise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import optimize, stats

from edgeai_converters.evaluate.intervals import bootstrap_interval, tango_interval, wilson_interval

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("lost", "gained", "n", "low", "high"),
    [
        # Tango (1998), section 6: the data of Karacan et al. on sleeping difficulties, as published.
        (9, 3, 32, -0.027, 0.390),
        # Fagerland, Lydersen & Laake (2014), Statistics in Medicine 33:2850: airway hyper-responsiveness.
        (1, 7, 21, -0.517, -0.026),
    ],
)
def test_the_paired_interval_gives_the_published_bounds(
    lost: int, gained: int, n: int, low: float, high: float
) -> None:
    assert tango_interval(lost, gained, n) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(("lost", "gained", "n"), [(9, 3, 32), (40, 20, 160), (5, 0, 25), (0, 7, 400), (12, 9, 2500)])
def test_the_bounds_solve_the_score_equation_with_a_likelihood_maximised_numerically(
    lost: int, gained: int, n: int
) -> None:
    def score(drop: float) -> float:
        def loss(gain: float) -> float:
            cells = ((lost, gain + drop), (gained, gain), (n - lost - gained, 1 - 2 * gain - drop))
            return -sum(count * math.log(max(share, 1e-300)) for count, share in cells if count)

        bounds = (max(0.0, -drop), (1 - drop) / 2)
        gain = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        return float((lost - gained - n * drop) / math.sqrt(n * (2 * gain + drop - drop**2)))

    low, high = tango_interval(lost, gained, n)
    assert score(low) == pytest.approx(Z, abs=1e-3)
    assert score(high) == pytest.approx(-Z, abs=1e-3)


@pytest.mark.parametrize("n", [1, 20, 500, 10**6])
def test_without_a_discordant_pair_the_bounds_are_known_in_closed_form(n: int) -> None:
    bound = Z**2 / (n + Z**2)
    assert tango_interval(0, 0, n) == pytest.approx((-bound, bound), rel=1e-6)


@pytest.mark.parametrize("n", [1, 10, 50])
def test_all_pairs_lost_reach_one_and_no_further(n: int) -> None:
    low, high = tango_interval(n, 0, n)
    assert high == 1.0
    assert low == pytest.approx((n - Z**2) / (n + Z**2), abs=1e-6)


@pytest.mark.parametrize(("lost", "gained", "n"), list(product([0, 1, 6, 40], [0, 1, 6, 40], [80, 3000])))
def test_the_interval_holds_the_point_and_mirrors_when_the_models_are_swapped(lost: int, gained: int, n: int) -> None:
    low, high = tango_interval(lost, gained, n)
    assert -1 <= low <= (lost - gained) / n <= high <= 1
    assert tango_interval(gained, lost, n) == pytest.approx((-high, -low), abs=1e-12)


def test_a_table_that_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="do not make a table"):
        tango_interval(8, 3, 10)


@pytest.mark.parametrize(
    ("p_lost", "p_gained", "n"), [(0.02, 0.01, 150), (0.05, 0.05, 80), (0.01, 0.0, 300), (0.1, 0.02, 60)]
)
def test_the_paired_interval_covers_the_true_drop_as_often_as_promised(p_lost: float, p_gained: float, n: int) -> None:
    """Exact coverage by summing over all tables that matter, not by drawing."""
    drop = p_lost - p_gained
    covered = missed_above = total = 0.0
    for lost in range(int(stats.binom.ppf(1 - 1e-7, n, p_lost)) + 1):
        for gained in range(int(stats.binom.ppf(1 - 1e-7, n, p_gained)) + 1):
            chance = stats.multinomial.pmf(
                [lost, gained, n - lost - gained], n, [p_lost, p_gained, 1 - p_lost - p_gained]
            )
            if chance < 1e-12:
                continue
            low, high = tango_interval(lost, gained, n)
            total += chance
            covered += chance * (low <= drop <= high)
            missed_above += chance * (high < drop)
    assert total == pytest.approx(1, abs=1e-4)
    assert 0.93 <= covered <= 1
    # What a false `certified` rests on: the upper bound below the truth. Nominally 0.025.
    assert missed_above <= 0.05


def test_the_interval_of_a_proportion_agrees_with_scipy() -> None:
    for count, n in ((0, 30), (3, 200), (200, 200), (57, 100)):
        expected = stats.binomtest(count, n).proportion_ci(method="wilson")
        assert wilson_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_bootstrap_agrees_with_scipys_bca_where_bias_and_skew_matter() -> None:
    """The variance of skewed data: the plain percentile interval is off by more than the tolerance here."""
    data = np.random.default_rng(5).exponential(size=15)

    def variance(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        return np.asarray(weights @ data**2 / total - (weights @ data / total) ** 2)

    low, high = bootstrap_interval(variance, 15, seed=0, resamples=20000)
    bca, percentile = (
        stats.bootstrap(
            (data,), np.var, n_resamples=20000, method=method, rng=np.random.default_rng(1)
        ).confidence_interval
        for method in ("BCa", "percentile")
    )
    tolerance = 0.05 * (bca.high - bca.low)
    assert abs(low - bca.low) < tolerance
    assert abs(high - bca.high) < tolerance
    assert abs(percentile.high - bca.high) > 2 * tolerance


def test_the_bootstrap_covers_the_true_mean_as_often_as_promised() -> None:
    """400 data sets of 60 differences with a fixed seed: at 95 % the count is within 0.92 … 0.98 (about 3 sigma)."""
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        data = random.normal(0.1, 1, size=60)
        low, high = bootstrap_interval(lambda weights, d=data: weights @ d / 60, 60, seed=0, resamples=1000)  # type: ignore[misc]
        covered += low <= 0.1 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_bootstrap_is_the_same_each_time() -> None:
    data = np.random.default_rng(3).normal(size=50)

    def mean(weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ data / weights.sum(axis=1))

    assert bootstrap_interval(mean, 50, seed=5) == bootstrap_interval(mean, 50, seed=5)


def test_the_bootstrap_of_equal_values_is_a_point() -> None:
    assert bootstrap_interval(lambda weights: np.zeros(len(weights)), 50, seed=0) == (0.0, 0.0)


def test_the_bootstrap_of_many_samples_stays_small_in_memory_and_near_the_normal_interval() -> None:
    data = np.random.default_rng(3).normal(size=30000)
    low, high = bootstrap_interval(lambda weights: weights @ data / weights.sum(axis=1), 30000, seed=0, resamples=2000)
    half = Z * data.std() / math.sqrt(30000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
