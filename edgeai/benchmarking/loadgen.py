"""The scenarios driven by MLPerf's own load generator (`mlcommons-loadgen`, extra `loadgen`) in place of ours.

It issues the queries, takes the times and judges the run (`loadgen_session.py`); what is here makes its settings and
reads its log. Of a server it judges rates; the one to begin with is looked for with our own arrivals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from edgeai.benchmarking.loadgen_session import Issue, run_session
from edgeai.benchmarking.result import ScenarioOutcome
from edgeai_converters.require import require
from edgeai_runtime.bench.scenarios import DEFAULT_BOUND_MS, METRICS, warm_up
from edgeai_runtime.bench.server import MOST_RUNS, confirm_rate, search_rate
from edgeai_runtime.bench.tiers import Limits, get_limits
from edgeai_runtime.errors import EngineError, UsageError

_NAMES = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
_SHARES = (50, 90, 95, 97, 99, 99.9)
_MOST_RUNS = 4
"""Attempts to fill the least duration: how many queries that takes is estimated, and then known from the last one."""
_OWN_SPARE, _SPARE = 2.0, 1.5
"""The generator makes so many times the queries that it is told to expect; what is wanted."""
_BYTES_PER_QUERY = 400
"""It makes them all before it begins: 340 bytes each were seen, with what it notes of them."""


def run_loadgen(
    workers: Sequence[Issue],
    *,
    scenario: str,
    tier: str,
    latency_bound_ms: float | None = None,
    duration_s: float | None = None,
    samples_per_query: int = 8,
    seed: int = 0,
    on_step: Callable[[int, int, str], None] | None = None,
) -> ScenarioOutcome:
    """Run one scenario by MLPerf's load generator; the arguments are those of `bench.scenarios.run_scenario`.

    Raises:
        MissingEngineError: `mlcommons-loadgen` is not installed.
        UsageError: no such scenario or tier, or a number that makes no sense.
        EngineError: the queries do not fit into the memory.
    """
    loadgen = require("mlperf_loadgen", extra="loadgen")
    limits = get_limits(scenario, tier, duration_s)
    bound_ms = DEFAULT_BOUND_MS if latency_bound_ms is None else latency_bound_ms
    if not (bound_ms > 0 and samples_per_query >= 1):
        raise UsageError(
            f"a bound is above 0, and a query has samples. Received: {bound_ms} ms, {samples_per_query} samples"
        )
    chosen = list(workers) if scenario in ("server", "offline") else list(workers[:1])
    size = samples_per_query if scenario == "multi_stream" else 1
    batch = getattr(chosen[0], "batch", 1) if scenario == "offline" else 1
    speed = warm_up(chosen, max(size, batch)) * batch
    settings = _settings(loadgen, scenario, limits, speed, bound_ms, size, seed)
    detail: dict[str, float] = {"workers": float(len(chosen))}
    found = True
    if scenario == "server":
        rate, probes = search_rate(chosen, speed, limits, bound_ms=bound_ms, seed=seed, on_step=on_step)
        detail |= {"latency_bound_ms": bound_ms, **probes}
        found = rate > 0
        if not found:  # a few queries, for their latencies: the generator would go on to the end of a whole run
            rate, settings.min_duration_ms, settings.min_query_count = speed / 2, 1, 10

        def attempt(rate: float) -> tuple[bool, dict[str, Any]]:
            settings.server_target_qps = rate
            # Such a backlog makes latencies of ten bounds: the attempt has failed, and need not go on.
            settings.server_max_async_queries = max(64, math.ceil(10 * bound_ms * 1e-3 * rate))
            _require_memory(rate * limits.least_s)
            log = run_session(loadgen, settings, chosen, batch, on_step)
            return log["result_validity"] == "VALID", log

        _, log = confirm_rate(attempt, rate, most=MOST_RUNS if found else 1)
    else:
        for _ in range(_MOST_RUNS):
            _require_memory(speed * limits.least_s * _SPARE)
            log = run_session(loadgen, settings, chosen, batch, on_step)
            if log["result_min_duration_met"]:
                break
            mean_ns = log["result_mean_query_latency_ns" if scenario == "multi_stream" else "result_mean_latency_ns"]
            speed = float(log["result_samples_per_second"]) if scenario == "offline" else 1e9 / mean_ns
            _expect(settings, 1.1 * speed)
    return _outcome(log, scenario, tier, limits, size, detail, found)


def _require_memory(queries: float) -> None:
    import psutil

    needed, free = queries * _BYTES_PER_QUERY, psutil.virtual_memory().available
    if needed > free:
        raise EngineError(
            f"MLPerf's load generator makes all queries before it begins: {queries:.3g} of them take about "
            f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free.",
            hint='The driver "edgeai" has no such limit; a lower tier is shorter.',
        )


def _expect(settings: Any, speed: float) -> None:
    """Have as many queries made as are needed at `speed`, and some more."""
    settings.single_stream_expected_latency_ns = round(_OWN_SPARE / _SPARE * 1e9 / speed)
    settings.multi_stream_expected_latency_ns = settings.single_stream_expected_latency_ns
    settings.offline_expected_qps = 1.1 * speed


def _settings(loadgen: Any, scenario: str, limits: Limits, speed: float, bound_ms: float, size: int, seed: int) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _NAMES[scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = round(limits.least_s * 1e3)
    settings.max_duration_ms = round(limits.most_s * 1e3)
    settings.min_query_count = limits.queries
    if scenario == "offline":  # one query, which no longest duration ends
        settings.min_query_count = max(1, min(limits.queries, int(speed * limits.most_s)))
    _expect(settings, speed)
    settings.single_stream_target_latency_percentile = METRICS["single_stream"][1]
    settings.multi_stream_target_latency_percentile = METRICS["multi_stream"][1]
    settings.multi_stream_samples_per_query = size
    settings.server_target_latency_percentile = METRICS["server"][1]
    settings.server_target_latency_ns = round(bound_ms * 1e6)
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = seed
    return settings


def _outcome(
    log: dict[str, Any],
    scenario: Any,
    tier: Any,
    limits: Limits,
    size: int,
    detail: dict[str, float],
    found: bool,
) -> ScenarioOutcome:
    queries = int(log["result_query_count"])
    per_query = "_per_query" if scenario == "multi_stream" else ""
    if scenario != "offline":
        named = {f"p{share:g}_ms": log[f"result_{share:.2f}_percentile{per_query}_latency_ns"] for share in _SHARES}
        detail |= {name: value * 1e-6 for name, value in named.items()}
    valid = log["result_validity"] == "VALID"
    bound: float | None = None
    samples = queries * size
    if scenario == "server":
        valid = valid and found
        value = float(log["result_completed_samples_per_sec"]) if valid else 0.0
        bound = value if valid else None
        seconds = (queries - 1) / float(log["result_scheduled_samples_per_sec"])
        detail["over"] = float(log["result_overlatency_query_count"])
    elif scenario == "offline":
        value = float(log["result_samples_per_second"])
        seconds = log["result_max_latency_ns"] * 1e-9
        samples = round(value * seconds)
        valid = valid and samples >= limits.queries
    else:
        value = detail["p90_ms" if scenario == "single_stream" else "p99_ms"]
        key = "early_stopping_latency_ss" if scenario == "single_stream" else "early_stopping_latency_ms"
        bound = log[key] * 1e-6 if log.get("early_stopping_met") else None
        if discarded := re.search(r"discard (\d+) highest", str(log.get("early_stopping_result"))):
            detail["queries_discarded"] = float(discarded.group(1))
        seconds = queries / float(log["result_qps_with_loadgen_overhead"]) if scenario == "single_stream" else 0.0
        seconds = seconds or queries * log["result_mean_query_latency_ns"] * 1e-9
    what = f"{samples} samples" if scenario == "offline" else f"{queries} queries"
    words = [f"{what} in {seconds:.1f} s"]
    if seconds < limits.valid_s and limits.least_s < limits.valid_s:
        words, valid = [*words, f"{limits.valid_s:g} s are needed"], False
    if scenario == "offline" and samples < limits.queries:
        words.append(f"{limits.queries} samples are needed")
    if not found:
        words.append(f"no rate tried kept p99 within {detail['latency_bound_ms']:g} ms")
    elif log["result_validity"] != "VALID":
        words += [" ".join(str(log.get(key) or "").replace("*", "").split()) for key in _WHY]
    return ScenarioOutcome(
        scenario=scenario,
        tier=tier,
        metric=METRICS[scenario][0],
        value=value,
        bound=bound,
        valid=valid,
        reason="; ".join(word for word in words if word),
        queries=queries,
        samples=samples,
        seconds=seconds,
        driver="loadgen",
        detail=detail,
    )


_WHY = ("result_invalid_reason", "early_stopping_result")
"""What the log says of a run that is not valid."""
