"""The scenarios driven by MLPerf's own load generator (`mlcommons-loadgen`, extra `loadgen`) in place of ours.

It issues the queries, takes the times and judges the run; what is here hands its queries to the calls that ours would
make, and reads its log. Of a server it judges rates; the one to begin with is looked for with our own arrivals.
"""

from __future__ import annotations

import json
import math
import queue
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeai.benchmarking.result import ScenarioOutcome
from edgeai_converters.require import require
from edgeai_runtime.bench.scenarios import DEFAULT_BOUND_MS, METRICS, warm_up
from edgeai_runtime.bench.server import MOST_RUNS, confirm_rate, search_rate, work_together
from edgeai_runtime.bench.tiers import Limits, get_limits

Issue = Callable[[int], object]

_NAMES = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
_SHARES = (50, 90, 95, 97, 99, 99.9)
_MOST_OFFLINE_RUNS = 4
"""Attempts to fill the least duration: how many samples that takes is estimated, and then known from the last one."""
_CHUNK = 64
"""Samples of offline that a worker takes at once."""


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
        UsageError: no such scenario or tier.
    """
    loadgen = require("mlperf_loadgen", extra="loadgen")
    limits = get_limits(scenario, tier, duration_s)
    bound_ms = DEFAULT_BOUND_MS if latency_bound_ms is None else latency_bound_ms
    chosen = list(workers) if scenario in ("server", "offline") else list(workers[:1])
    size = samples_per_query if scenario == "multi_stream" else 1
    speed = warm_up(chosen, size)
    settings = _settings(loadgen, scenario, limits, speed, bound_ms, size, seed)
    detail: dict[str, float] = {"workers": float(len(chosen))}
    if scenario == "server":
        rate, probes = search_rate(chosen, speed, limits, bound_ms=bound_ms, seed=seed, on_step=on_step)
        detail |= {"latency_bound_ms": bound_ms, **probes}

        def attempt(rate: float) -> tuple[bool, dict[str, Any]]:
            settings.server_target_qps = rate
            # Such a backlog makes latencies of ten bounds: the attempt has failed, and need not go on.
            settings.server_max_async_queries = max(64, math.ceil(10 * bound_ms * 1e-3 * rate))
            log = _run(loadgen, settings, chosen)
            return log["result_validity"] == "VALID", log

        _, log = confirm_rate(attempt, rate or speed / 100, most=MOST_RUNS if rate else 1)
    else:
        for _ in range(_MOST_OFFLINE_RUNS):
            log = _run(loadgen, settings, chosen)
            if scenario != "offline" or log["result_min_duration_met"]:
                break
            settings.offline_expected_qps = 1.2 * float(log["result_samples_per_second"])
    return _outcome(log, scenario, tier, limits, size, detail)


def _settings(loadgen: Any, scenario: str, limits: Limits, speed: float, bound_ms: float, size: int, seed: int) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _NAMES[scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = round(limits.least_s * 1e3)
    settings.max_duration_ms = round(limits.most_s * 1e3)
    settings.min_query_count = limits.queries
    # It makes as many queries as these tell before it begins: rather too many than a run that is too short.
    settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = round(0.5e9 / speed)
    settings.offline_expected_qps = 1.1 * speed
    settings.single_stream_target_latency_percentile = METRICS["single_stream"][1]
    settings.multi_stream_target_latency_percentile = METRICS["multi_stream"][1]
    settings.multi_stream_samples_per_query = size
    settings.server_target_latency_percentile = METRICS["server"][1]
    settings.server_target_latency_ns = round(bound_ms * 1e6)
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = seed
    return settings


def _run(loadgen: Any, settings: Any, workers: Sequence[Issue]) -> dict[str, Any]:
    """Make one run and return what its log says, by key.

    It runs in a thread, so that an interruption is heard. The generator cannot be stopped, and leaving the process
    while it runs aborts the process: after an error its queries are answered at once, without the model, until it has
    no more; those of a server are left lying until there are too many for it to go on.
    """
    errors: list[BaseException] = []
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()

    def answer(issue: Issue, samples: Sequence[Any]) -> None:
        try:
            if not errors:
                issue(len(samples))
        except BaseException as error:  # must not come into the generator's code
            errors.append(error)
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])

    def serve(issue: Issue) -> None:
        while (samples := waiting.get()) is not None:
            count = -1
            while errors and not given_up.is_set() and count != (count := waiting.qsize()):
                time.sleep(0.5 + 10.0 / settings.server_target_qps)
            if errors:
                given_up.set()
            answer(issue, samples)

    def take(samples: Sequence[Any]) -> None:
        if settings.scenario == loadgen.TestScenario.Server:
            waiting.put(list(samples))
        elif settings.scenario == loadgen.TestScenario.Offline:
            chunks = iter([samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)])
            lock = threading.Lock()

            def share(issue: Issue) -> None:
                while True:
                    with lock:
                        chunk = next(chunks, None)
                    if chunk is None:
                        return
                    answer(issue, chunk)

            work_together([lambda _, issue=issue: share(issue) for issue in workers])  # type: ignore[misc]
        else:
            answer(workers[0], samples)

    servers = [threading.Thread(target=serve, args=(issue,), daemon=True) for issue in workers]
    with tempfile.TemporaryDirectory() as folder:
        ended = threading.Event()  # and no join: after an interruption that returns although the thread runs
        arguments = (loadgen, settings, take, folder, ended)
        thread = threading.Thread(target=_start, args=arguments, daemon=True)
        for each in (*servers, thread):
            each.start()
        try:
            ended.wait()
        except BaseException as error:
            errors.append(error)
            ended.wait()
            raise
        finally:
            for _ in servers:
                waiting.put(None)
        if errors:
            raise errors[0]
        return _read_log(Path(folder) / "mlperf_log_detail.txt")


def _start(loadgen: Any, settings: Any, take: Callable[[Sequence[Any]], None], folder: str, ended: Any) -> None:
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    system = loadgen.ConstructSUT(take, lambda: None)
    samples = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    try:
        # The audit file is read from the current folder unless another is named.
        loadgen.StartTestWithLogSettings(system, samples, settings, logs, str(Path(folder) / "audit.config"))
    finally:
        loadgen.DestroyQSL(samples)
        loadgen.DestroySUT(system)
        ended.set()


def _read_log(path: Path) -> dict[str, Any]:
    mark = ":::MLLOG"
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line[len(mark) :]) for line in lines if line.startswith(mark)]
    return {entry["key"]: entry["value"] for entry in entries}


def _outcome(
    log: dict[str, Any], scenario: Any, tier: Any, limits: Limits, size: int, detail: dict[str, float]
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
        rate = float(log["result_scheduled_samples_per_sec"])
        value = rate if valid else 0.0
        bound = value if valid else None
        seconds = queries / rate
        detail["over"] = float(log["result_overlatency_query_count"])
    elif scenario == "offline":
        value = float(log["result_samples_per_second"])
        seconds = log["result_max_latency_ns"] * 1e-9
        samples = round(value * seconds)
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
    if log["result_validity"] != "VALID":
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
