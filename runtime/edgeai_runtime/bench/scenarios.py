"""MLPerf's four scenarios around any call that answers a query: the harness knows neither model nor data.

- `single_stream`: a query of one sample, the next when it is answered; the metric is the 90th percentile of latency.
- `multi_stream`: the same with several samples per query; the 99th percentile.
- `server`: queries of one sample arrive at random, whether or not those before are answered; the metric is the highest
  rate whose 99th percentile is within a bound.
- `offline`: one query with all samples; the metric is samples per second.

After Reddi et al., MLPerf Inference Benchmark (ISCA 2020), section III-C, with the percentiles of its later rules.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

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
_CHUNKS = 500
_MOST_OFFLINE_RUNS = 4
_MOST_SAMPLES = 10**10


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenarioResult:
    """What a scenario gave.

    Attributes:
        value: of the metric; 0 for a server that holds no rate.
        bound: the value that holds with 99 % confidence (early stopping); `None` for too few queries.
        valid: whether the tier's least duration and number of queries were met, and in server the bound of latency.
        reason: what was run, and what is missing.
        detail: further figures by name, of a server also its search.
        call_ms: float64 `[queries]`.
    """

    scenario: Any
    tier: Any
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
        issue: answers a query of so many samples, and returns when it is answered. Several are workers, each in a
            thread of its own: they share the arrivals of `server` and the samples of `offline`, in multiples of their
            attribute `batch` if they have it; the other scenarios use the first.
        scenario, tier: of `tiers.SCENARIOS` and `tiers.TIERS`.
        latency_bound_ms: of `server`; 10 ms unless given.
        duration_s: run so long instead; shorter than the tier's least duration is not valid.
        samples_per_query: of `multi_stream`.
        seed: of the arrivals.
        on_step: called about once a second with (seconds done, seconds in all, label).

    Raises:
        UsageError: a scenario, a tier or a number that makes no sense.
    """
    limits = get_limits(scenario, tier, duration_s)
    bound_ms = DEFAULT_BOUND_MS if latency_bound_ms is None else latency_bound_ms
    workers = [issue] if callable(issue) else list(issue)
    if not (bound_ms > 0 and samples_per_query >= 1 and workers):
        raise UsageError(
            f"a scenario needs a call, a bound above 0 and samples in a query. Received: {bound_ms} ms, "
            f"{samples_per_query} samples"
        )
    metric, share = METRICS[scenario]
    per_query = samples_per_query if scenario == "multi_stream" else 1
    if scenario in ("single_stream", "multi_stream"):
        workers = workers[:1]
    batch = getattr(workers[0], "batch", 1) if scenario == "offline" else 1
    speed = warm_up(workers, max(per_query, batch)) * batch
    bound, held = None, True
    detail = {"workers": float(len(workers))}
    if scenario == "offline":
        queries, samples, seconds = 1, *run_offline(workers, speed, limits, on_step, batch)
        value, call_ms = samples / seconds, np.array([seconds * 1e3])
    elif scenario == "server":
        rate, probes = search_rate(workers, speed, limits, bound_ms=bound_ms, seed=seed, on_step=on_step)

        def attempt(rate: float) -> tuple[bool, Any]:
            served = serve_in_full(workers, rate, limits, bound_ms=bound_ms, seed=seed, on_step=on_step)
            return served.held, served

        held, served = confirm_rate(attempt, rate or speed / 100, most=MOST_RUNS if rate else 1)
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
    missing = [f"{limits.valid_s:g} s are needed"] * (seconds < limits.valid_s)
    missing += [f"{limits.queries} {what} are needed"] * (done < limits.queries)
    missing = missing if held else [f"no rate tried kept p99 within {bound_ms:g} ms"]
    return ScenarioResult(
        scenario=scenario,
        tier=tier,
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
    ordered = np.sort(call_ms)  # once: there may be millions
    named = {f"p{share:g}_ms": float(ordered[int(len(ordered) * share / 100)]) for share in (50, 90, 95, 97, 99, 99.9)}
    ends = {"mean_ms": float(np.mean(call_ms)), "min_ms": float(ordered[0]), "max_ms": float(ordered[-1])}
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
    """Issue one query after the other; return their milliseconds, float64 `[queries]`, and the seconds of all."""
    clock, times = time.perf_counter_ns, array("q")
    add = times.append
    second = 1_000_000_000
    begin = start = end = clock()
    least, most = begin + int(limits.least_s * second), begin + int(limits.most_s * second)
    told = begin if on_step else most
    while (start < least or len(times) < limits.queries) and end < most:
        start = clock()
        issue(per_query)
        end = clock()
        add(end - start)
        if end > told and on_step:
            lasts = (end - begin) / second * limits.queries / len(times)
            on_step(
                (end - begin) // second,
                math.ceil(min(max(lasts, limits.least_s), limits.most_s)),
                f"{len(times)} queries",
            )
            told = end + second
    return np.frombuffer(times, dtype=np.int64) * 1e-6, (end - begin) / second


def run_offline(
    workers: Sequence[Issue], speed: float, limits: Limits, on_step: OnStep | None, batch: int = 1
) -> tuple[int, float]:
    """Answer one query of many samples with all workers, and again with more when it was too short.

    Returns the samples of the last, and its seconds.
    """
    samples = limits.queries
    for _ in range(_MOST_OFFLINE_RUNS):
        samples = max(1, int(min(max(samples, 1.1 * speed * limits.least_s), speed * limits.most_s, _MOST_SAMPLES)))
        size = batch * math.ceil(samples / (_CHUNKS * len(workers) * batch))
        chunks = math.ceil(samples / size)
        seconds = _answer_chunks(workers, chunks, size, on_step)
        samples = chunks * size
        if seconds >= limits.least_s:
            break
        speed = samples / max(seconds, 1e-6)
    return samples, seconds


def _answer_chunks(workers: Sequence[Issue], chunks: int, size: int, on_step: OnStep | None) -> float:
    clock, take = time.perf_counter, itertools.count().__next__
    begin = clock()

    def work(issue: Issue, stop: threading.Event) -> None:
        told = 0.0 if on_step and issue is workers[0] else math.inf
        while not stop.is_set() and (number := take()) < chunks:
            issue(size)
            if (lasted := clock() - begin) > told and on_step:
                told = lasted + 1.0
                on_step(int(lasted), math.ceil(lasted * chunks / (number + 1)), f"{chunks * size} samples")

    work_together([partial(work, issue) for issue in workers])
    return clock() - begin
