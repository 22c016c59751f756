"""Percentiles as MLPerf means them, with the bounds of its early stopping, and histograms.

A percentile is an order statistic: of n sorted values the one at `floor(n * share)`. Its upper bound is one too (MLPerf
Inference Rules, appendix "Early Stopping", with tolerance 0): of n queries t may be over the latency when
`P(Binomial(n, 1 - share) <= t) < 1 - confidence`, and the t-th greatest latency is the bound. Queries are taken for
independent of each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeai_runtime.errors import UsageError

BOUND_CONFIDENCE = 0.99
_BINS = 40


def percentile(values: Any, share: float) -> float:
    """Return the order statistic at `floor(n * share)`, `share` below 1.

    Raises:
        UsageError: there are no values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.size:
        raise UsageError("there are no values")
    return float(ordered[int(len(ordered) * share)])


def binomial_rank(n: int, share: float, tail: float) -> int:
    """Return the greatest r with P(Binomial(n, share) <= r) <= tail, for a tail below 1/2; -1 when there is none."""
    counts = np.arange(1, int(n * share) + 1)
    first = n * math.log1p(-share)
    steps = np.log((n - counts + 1) / counts) + math.log(share / (1.0 - share))
    terms = np.exp(first + np.concatenate(([0.0], np.cumsum(steps))))
    return int(np.searchsorted(np.cumsum(terms), tail, side="right")) - 1


def over_allowed(n: int, share: float, confidence: float = BOUND_CONFIDENCE) -> int:
    """Return how many of n queries may be over a latency that holds for `share` of all; -1 when n are too few."""
    return binomial_rank(n, 1.0 - share, 1.0 - confidence)


def percentile_bound(values: Any, share: float, confidence: float = BOUND_CONFIDENCE) -> float | None:
    """Return the upper bound of a percentile by early stopping; `None` for too few values (below 64 for p90)."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    allowed = over_allowed(len(ordered), share, confidence)
    return float(ordered[-allowed]) if allowed > 0 else None


def histogram(call_ms: Any) -> tuple[Any, Any]:
    """Return the edges of bins and how many calls fell into each: one edge more than counts.

    Bins grow by one factor up to the 99th percentile; the last holds all above. Equal times make one bin.

    Raises:
        UsageError: there are no times.
    """
    calls = np.asarray(call_ms, dtype=np.float64)
    high = percentile(calls, 0.99)
    low, most = float(calls.min()), float(calls.max())
    edges = np.geomspace(low, high, _BINS + 1) if high > low > 0 else np.array([low])
    if most > high or len(edges) == 1:
        edges = np.append(edges, most)
    return edges, np.histogram(calls, edges)[0]
