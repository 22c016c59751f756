"""What can be said of measured times: medians and percentiles with their uncertainty, and comparisons that may say no.

Intervals are distribution-free: of n values, the number below the true quantile is binomial, so two order statistics
enclose it with a known confidence (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). They hold for
any shape of distribution, which times, with their long tails, need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgeai_runtime.bench.loop import Samples
from edgeai_runtime.bench.percentiles import binomial_rank, percentile_bound
from edgeai_runtime.errors import UsageError

CONFIDENCE = 0.95


#: Two copies of one file, interleaved in one process, differ by up to 1.5 % with an interval that leaves 1 out: their
#: buffers lie at other addresses, which no number of rounds averages out. Less than this is no difference.
SAME_FILE_MARGIN = 0.02


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """The latency of one call.

    Attributes:
        median_ms, p90_ms, p99_ms: percentiles over all timed calls.
        median_ci95_ms: 95 % interval of the median, from the rounds' medians: calls within a block are not independent
            of each other, rounds nearly are.
        n: number of timed calls.
    """

    median_ms: float
    p90_ms: float
    p99_ms: float
    median_ci95_ms: tuple[float, float]
    n: int
    mean_ms: float
    min_ms: float
    max_ms: float
    p90_bound_ms: float | None
    p99_bound_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two calls that were measured together compare.

    Attributes:
        ratio: median over the rounds of a's time divided by b's.
        ci95: its 95 % interval.
        verdict: `faster` when the interval says so by more than `SAME_FILE_MARGIN`, `slower` likewise, else
            `no_difference`.
    """

    ratio: float
    ci95: tuple[float, float]
    verdict: Literal["faster", "slower", "no_difference"]


def summarize(samples: Samples) -> LatencySummary:
    """Return median and percentiles of `samples`, with the interval of the median.

    The interval is centred on the rounds' medians; it is widened to hold the reported median where the two differ.

    Raises:
        UsageError: there are no samples.
    """
    calls = np.asarray(samples.call_ms, dtype=np.float64)
    if not calls.size:
        raise UsageError("there are no times to summarize")
    median, p90, p99 = (float(value) for value in np.percentile(calls, (50, 90, 99)))
    low, high = median_interval(samples.round_ms)
    interval = (min(low, median), max(high, median))
    return LatencySummary(
        median_ms=median,
        p90_ms=p90,
        p99_ms=p99,
        median_ci95_ms=interval,
        n=int(calls.size),
        mean_ms=float(calls.mean()),
        min_ms=float(calls.min()),
        max_ms=float(calls.max()),
        p90_bound_ms=percentile_bound(calls, 0.90),
        p99_bound_ms=percentile_bound(calls, 0.99),
    )


def compare(a: Samples, b: Samples) -> Comparison:
    """Compare two calls measured together by `interleave`, round by round.

    Raises:
        UsageError: they do not have the same number of rounds, so they were not measured together.
    """
    first, second = np.asarray(a.round_ms, dtype=np.float64), np.asarray(b.round_ms, dtype=np.float64)
    if first.shape != second.shape or not first.size:
        raise UsageError(
            f"only calls timed together are compared. Received: {first.size} and {second.size} rounds",
            hint="give both to one interleave()",
        )
    ratios = first / np.maximum(second, 1e-12)
    low, high = median_interval(ratios)
    verdict: Literal["faster", "slower", "no_difference"] = "no_difference"
    if high * (1.0 + SAME_FILE_MARGIN) < 1.0:
        verdict = "faster"
    elif low > 1.0 + SAME_FILE_MARGIN:
        verdict = "slower"
    return Comparison(ratio=float(np.median(ratios)), ci95=(low, high), verdict=verdict)


def median_interval(values: Any, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the order statistics that enclose the median with at least `confidence`.

    With fewer values than that takes (6 for 95 %), the least and the greatest are returned: the widest that the values
    can say, with less confidence.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if not n:
        raise UsageError("there are no values")
    # The order statistic at r lies above the median exactly when at most r values lie below the median.
    rank = max(0, binomial_rank(n, 0.5, (1.0 - confidence) / 2.0))
    return float(ordered[rank]), float(ordered[n - 1 - rank])
