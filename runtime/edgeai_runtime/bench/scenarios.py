"""MLPerf's four scenarios around any call that answers a query: the harness knows neither model nor data.

- `single_stream`: a query of one sample, the next when it is answered; the metric is the 90th percentile of latency.
- `multi_stream`: the same with several samples per query; the 99th percentile.
- `server`: queries of one sample arrive at random (Poisson), whether or not those before are answered; latency counts
  from the arrival. The metric is the highest rate whose 99th percentile is within a bound.
- `offline`: one query with all samples; the metric is samples per second.

After Reddi et al., MLPerf Inference Benchmark (ISCA 2020), section III-C, with the percentiles of its later rules.
"""

from __future__ import annotations

import itertools
import math
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgeai_runtime.bench.percentiles import over_allowed, percentile, percentile_bound
from edgeai_runtime.bench.server import (
    MOST_RUNS,
    SHARE,
    Issue,
    OnStep,
    confirm_rate,
    search_rate,
    serve_in_full,
    work_together,
)
from edgeai_runtime.bench.tiers import Limits, get_limits
from edgeai_runtime.errors import UsageError

DEFAULT_BOUND_MS = 10.0
"""MLPerf's bound of latency for what has none of its own."""

METRICS = {
    "single_stream": ("p90_latency_ms", 0.90),
    "multi_stream": ("p99_latency_ms", SHARE),
    "server": ("queries_per_s", SHARE),
    "offline": ("samples_per_s", SHARE),
}
"""By scenario the metric, and the percentile that it is about."""

_WARM_UP_S = 0.2
_CHUNKS = 100
_MOST_OFFLINE_RUNS = 4
_MOST_SAMPLES = 10**10


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenarioResult:
    """What a scenario gave.

    Attributes:
        metric: `p90_latency_ms`, `p99_latency_ms`, `queries_per_s` or `samples_per_s`, by scenario.
        value: of the metric; 0 for a server that holds no rate.
        bound: by early stopping, the value that holds with 99 % confidence; `None` when there were too few queries.
        valid: whether the tier's least duration and number of queries were met, and in server the bound of latency.
        reason: what was run, and what is missing.
        detail: further figures by name; the search of a server as `probe_N_rate_per_s`, `probe_N_over` (queries above
            the bound), `probe_N_held` (1 or 0).
        call_ms: float64 `[queries]`: the latency of every query.
    """

    scenario: Literal["single_stream", "multi_stream", "server", "offline"]
    tier: Literal["quick", "normal", "submission"]
    metric: str
    value: float
    bound: float | None
    valid: bool
    reason: str
    queries: int
    samples: int
    seconds: float
    detail: dict[str, float] = field(default_factory=dict)
    call_ms: Any = ()


def run_scenario(
    issue: Issue | Sequence[Issue],
    *,
    scenario: str,
    tier: str = "quick",
    latency_bound_ms: float | None = None,
    duration_s: float | None = None,
    samples_per_query: int = 8,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> ScenarioResult:
    """Run one scenario around `issue`.

    Args:
        issue: answers a query of so many samples, and returns when it is answered. Several of them are workers, each
            for a thread of its own: they share the arrivals of `server` and the samples of `offline`; the other
            scenarios use the first.
        scenario: one of `tiers.SCENARIOS`.
        tier: one of `tiers.TIERS`: least seconds and queries.
        latency_bound_ms: of `server`; 10 ms unless given.
        duration_s: run so long instead of the tier's least duration; a shorter run than the tier's is not valid.
        samples_per_query: of `multi_stream`.
        seed: of the arrivals.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: no such scenario or tier, or a number that makes no sense.
    """
    limits = get_limits(scenario, tier, duration_s)
    bound_ms = DEFAULT_BOUND_MS if latency_bound_ms is None else latency_bound_ms
    workers = [issue] if callable(issue) else list(issue)
    if not (bound_ms > 0 and samples_per_query >= 1 and workers):
        raise UsageError(
            "a scenario needs a call, a bound above 0 and samples in a query. "
            f"Received: {len(workers)} calls, {bound_ms} ms, {samples_per_query} samples"
        )
    metric, share = METRICS[scenario]
    per_query = samples_per_query if scenario == "multi_stream" else 1
    if scenario in ("single_stream", "multi_stream"):
        workers = workers[:1]
    speed = warm_up(workers, per_query)
    bound, held = None, True
    detail = {"workers": float(len(workers))}
    if scenario == "offline":
        queries, samples, seconds = 1, *run_offline(workers, speed, limits, on_step)
        value, call_ms = samples / seconds, np.array([seconds * 1e3])
    elif scenario == "server":
        rate, probes = search_rate(workers, speed, limits, bound_ms=bound_ms, seed=seed, on_step=on_step)

        def attempt(rate: float) -> tuple[bool, Any]:
            served = serve_in_full(workers, rate, limits, bound_ms=bound_ms, seed=seed)
            return served.held, served

        held, served = confirm_rate(attempt, rate or speed / 100, on_step, most=MOST_RUNS if rate else 1)
        queries = samples = len(served.latency_ms)
        value, seconds, call_ms = served.rate if held else 0.0, served.seconds, served.latency_ms
        bound = value if held and over_allowed(queries, share) >= 0 else None
        detail |= {"latency_bound_ms": bound_ms, "over": float(served.over), **probes}
    else:
        call_ms, seconds = run_stream(workers[0], per_query, limits, on_step)
        queries, samples = len(call_ms), len(call_ms) * per_query
        value, bound = percentile(call_ms, share), percentile_bound(call_ms, share)
    if scenario != "offline":
        detail |= describe_latency(call_ms)
    done, what = (samples, "samples") if scenario == "offline" else (queries, "queries")
    missing = [] if seconds >= limits.valid_s else [f"{limits.valid_s:g} s are needed"]
    missing += [] if done >= limits.queries else [f"{limits.queries} {what} are needed"]
    missing += [] if held else [f"no rate tried kept p99 within {bound_ms:g} ms"]
    return ScenarioResult(
        scenario=scenario,  # type: ignore[arg-type]  # checked above
        tier=tier,  # type: ignore[arg-type]
        metric=metric,
        value=value,
        bound=bound,
        valid=not missing,
        reason="; ".join([f"{done} {what} in {seconds:.1f} s", *missing]),
        queries=queries,
        samples=samples,
        seconds=seconds,
        detail=detail,
        call_ms=call_ms,
    )


def describe_latency(call_ms: Any) -> dict[str, float]:
    """Return mean, least, greatest and percentiles of queries' latencies, by name, in milliseconds."""
    named = {f"p{share:g}_ms": percentile(call_ms, share / 100) for share in (50, 90, 95, 97, 99, 99.9)}
    ends = {"mean_ms": float(np.mean(call_ms)), "min_ms": float(np.min(call_ms)), "max_ms": float(np.max(call_ms))}
    return ends | named


def warm_up(workers: Sequence[Issue], per_query: int) -> float:
    """Let every worker answer some queries; return how many a second all of them answer about."""
    clock = time.perf_counter
    speed = 0.0
    for issue in workers:
        times: list[float] = []
        begin = clock()
        while not times or clock() - begin < _WARM_UP_S:
            start = clock()
            issue(per_query)
            times.append(clock() - start)
        speed += 1.0 / max(float(np.median(times[len(times) // 2 :])), 1e-7)
    return speed


def run_stream(issue: Issue, per_query: int, limits: Limits, on_step: OnStep | None) -> tuple[Any, float]:
    """Issue one query after the other; return their latencies in milliseconds, float64 `[queries]`, and seconds."""
    clock, times = time.perf_counter_ns, array("q")
    add = times.append
    second = 1_000_000_000
    begin = end = clock()
    least, most = begin + int(limits.least_s * second), begin + int(limits.most_s * second)
    told = begin if on_step else most
    while (end < least or len(times) < limits.queries) and end < most:
        start = clock()
        issue(per_query)
        end = clock()
        add(end - start)
        if end > told and on_step:
            on_step((end - begin) // second, math.ceil(limits.least_s), f"{len(times)} queries")
            told = end + second
    return np.array(times, dtype=np.float64) * 1e-6, (end - begin) / second


def run_offline(workers: Sequence[Issue], speed: float, limits: Limits, on_step: OnStep | None) -> tuple[int, float]:
    """Answer one query of many samples with all workers; return samples and seconds.

    How many samples fill the least duration is estimated, and tried again with more when they were too few.
    """
    samples = limits.queries
    for _ in range(_MOST_OFFLINE_RUNS):
        samples = max(1, int(min(max(samples, 1.1 * speed * limits.least_s), speed * limits.most_s, _MOST_SAMPLES)))
        size = math.ceil(samples / (_CHUNKS * len(workers)))
        chunks = math.ceil(samples / size)
        take = itertools.count().__next__

        def work(issue: Issue, size: int = size, chunks: int = chunks, take: Any = take) -> None:
            while (number := take()) < chunks:
                issue(size)
                if on_step and issue is workers[0]:
                    on_step(number + 1, chunks, f"{chunks * size} samples")

        begin = time.perf_counter()
        work_together([lambda issue=issue: work(issue) for issue in workers])  # type: ignore[misc]
        seconds = time.perf_counter() - begin
        samples = chunks * size
        if seconds >= limits.least_s:
            break
        speed = samples / max(seconds, 1e-6)
    return samples, seconds
