"""Percentiles with MLPerf's bounds against the binomial distribution, and histograms that lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from edgeai_runtime.bench.percentiles import binomial_rank, histogram, over_allowed, percentile, percentile_bound
from edgeai_runtime.errors import UsageError

REPEATS = 3000

#: Four standard errors of a share of 3000 near 0.99.
SLACK = 0.0075


@pytest.mark.parametrize(("share", "least"), [(0.90, 64), (0.95, 130), (0.97, 219), (0.99, 662), (0.999, 6636)])
def test_fewest_queries_that_give_a_bound_are_those_of_the_rules(share: float, least: int) -> None:
    assert percentile_bound(np.arange(least - 1), share) is None
    assert percentile_bound(np.arange(least), share) == least - 1


@pytest.mark.parametrize(("share", "least"), [(0.90, 44), (0.99, 459)])
def test_fewest_queries_that_all_within_the_latency_prove_it(share: float, least: int) -> None:
    assert (over_allowed(least - 1, share), over_allowed(least, share)) == (-1, 0)


@pytest.mark.parametrize("n", [1, 63, 64, 1000, 24576, 1_000_003])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_binomial_rank_is_the_last_whose_cumulative_probability_is_within_the_tail(n: int, share: float) -> None:
    rank = binomial_rank(n, share, 0.01)

    assert binom.cdf(rank, n, share) <= 0.01 < binom.cdf(rank + 1, n, share)


@pytest.mark.parametrize(("share", "n"), [(0.90, 64), (0.90, 300), (0.99, 700)])
def test_bound_is_above_the_true_percentile_99_times_in_100(share: float, n: int) -> None:
    times = np.random.default_rng(n).exponential(size=(REPEATS, n))

    held = [percentile_bound(row, share) or 0.0 for row in times]

    assert np.mean(np.array(held) >= -np.log(1 - share)) >= 0.99 - SLACK


def test_bound_comes_close_to_the_percentile_with_many_queries() -> None:
    times = np.random.default_rng(0).exponential(size=200_000)

    assert 1.0 < (percentile_bound(times, 0.9) or 0.0) / percentile(times, 0.9) < 1.02


def test_percentile_is_the_order_statistic_that_leaves_the_rest_at_or_above() -> None:
    assert percentile(np.arange(100)[::-1], 0.90) == 90


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="no values"):
        percentile([], 0.9)


@pytest.mark.parametrize(
    "times", [[3.0], [2.0] * 50, [1.0] * 500 + [9.0], list(np.random.default_rng(1).lognormal(size=5000))]
)
def test_histogram_counts_every_call_once_between_the_least_and_the_greatest(times: list[float]) -> None:
    edges, counts = histogram(times)

    assert len(edges) == len(counts) + 1
    assert counts.sum() == len(times)
    assert (edges[0], edges[-1]) == (min(times), max(times))
    assert np.all(np.diff(edges)[:-1] > 0)


def test_last_bin_of_a_histogram_holds_what_is_above_the_99th_percentile() -> None:
    edges, counts = histogram([*np.linspace(1, 2, 990), *np.linspace(50, 90, 10)])

    assert edges[-2] < 50.1
    assert counts[-1] <= 10
