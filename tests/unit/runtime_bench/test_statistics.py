"""What the statistics of the bench promise, on drawn times whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_runtime.bench.loop import Samples
from edgeai_runtime.bench.statistics import compare, median_interval, summarize
from edgeai_runtime.errors import UsageError

REPEATS = 2000

#: The interval is exact or wider for independent values; 1 % is four standard errors of a share of 2000 near 0.95.
SLACK = 0.01


@pytest.mark.parametrize("rounds", [6, 15, 40, 200])
def test_median_interval_covers_the_median_of_long_tailed_times_at_least_95_times_in_100(rounds: int) -> None:
    times = np.random.default_rng(rounds).lognormal(sigma=1.0, size=(REPEATS, rounds))

    intervals = np.array([median_interval(row) for row in times])

    covered = np.mean((intervals[:, 0] <= 1.0) & (intervals[:, 1] >= 1.0))
    assert covered >= 0.95 - SLACK


def test_median_interval_is_no_wider_than_it_must_be() -> None:
    times = np.random.default_rng(1).lognormal(sigma=1.0, size=(REPEATS, 200))

    intervals = np.array([median_interval(row) for row in times])

    assert np.mean((intervals[:, 0] <= 1.0) & (intervals[:, 1] >= 1.0)) <= 0.98


@pytest.mark.parametrize(("count", "ranks"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (20, (5, 14))])
def test_median_interval_uses_the_order_statistics_of_the_textbook_table(count: int, ranks: tuple[int, int]) -> None:
    values = np.random.default_rng(0).permutation(count).astype(float)

    assert median_interval(values) == ranks


def _drifting(seed: int, *, factor: float = 1.0, rounds: int = 40) -> tuple[Samples, Samples]:
    """Return two calls measured together on a machine that slows by half and has spikes; a takes `factor` times b."""
    generator = np.random.default_rng(seed)
    drift = np.linspace(1.0, 1.5, rounds) * (1 + 0.1 * np.sin(np.arange(rounds)))
    pair = []
    for speed in (factor, 1.0):
        noise = generator.lognormal(sigma=0.05, size=rounds)
        spikes = np.where(generator.random(rounds) < 0.05, 3.0, 1.0)
        times = speed * drift * noise * spikes
        pair.append(Samples(call_ms=times, round_ms=times))
    return pair[0], pair[1]


def test_a_call_compared_with_itself_is_no_different_for_nine_seeds_in_ten() -> None:
    verdicts = [compare(*_drifting(seed)).verdict for seed in range(300)]

    assert verdicts.count("no_difference") >= 270


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.1, "slower")])
def test_a_tenth_of_difference_is_found_under_drift_and_spikes(factor: float, verdict: str) -> None:
    verdicts = [compare(*_drifting(seed, factor=factor)).verdict for seed in range(100)]

    assert verdicts.count(verdict) >= 99


def test_the_interval_of_a_ratio_encloses_the_ratio() -> None:
    result = compare(*_drifting(3, factor=0.7))

    assert result.ci95[0] <= result.ratio <= result.ci95[1]
    assert result.ratio == pytest.approx(0.7, rel=0.05)


def test_summary_gives_percentiles_of_calls_and_an_interval_around_the_median() -> None:
    calls = np.arange(1.0, 1001.0)
    summary = summarize(Samples(call_ms=calls, round_ms=np.full(20, 700.0)))

    assert summary.median_ms == pytest.approx(500.5)
    assert summary.p90_ms == pytest.approx(900.1)
    assert summary.p99_ms == pytest.approx(990.01)
    assert summary.median_ci95_ms == (pytest.approx(500.5), 700.0)
    assert summary.n == 1000


def test_calls_of_different_measurements_are_not_compared() -> None:
    a, _ = _drifting(0, rounds=20)
    b, _ = _drifting(0, rounds=21)

    with pytest.raises(UsageError, match="20 and 21 rounds"):
        compare(a, b)
