"""Measure what the benchmark's own harness costs per query, and whether MLPerf's load generator gives the same figures.

The harness is run around a call that does nothing. What a query costs is the time between the ends of two queries less
the call itself, measured in a bare loop; what is wrongly counted as latency is the median latency of that call, with
the same taken off. Of a server it is the time from one answer to the next when queries wait already, so that no sleep
is in it. Harness and bare loop take turns, in pieces so short that others seldom interrupt them.

With `mlcommons-loadgen` installed, its figures are held against ours, as ratios with 95 % intervals: for the same
queries, timed by our clock within its callback; and for runs in turns, which also hold what the generator's own threads
take from the call that is measured. One call has a fixed work, one sleeps.

    python benchmarks/harness_overhead.py [--json FILE] [--rounds N]

Limits (the program ends with 1 when one is broken): a query costs less than 2 µs and adds less than 2 µs to a latency;
the interval of the ratio for the same queries comes within 5 % of 1.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.percentiles import percentile
from edgeai_runtime.bench.scenarios import run_scenario, run_stream
from edgeai_runtime.bench.server import serve
from edgeai_runtime.bench.statistics import median_interval
from edgeai_runtime.bench.tiers import Limits

MOST_US = 2.0
MOST_RATIO = 1.05
QUERIES = 500
VALUES = np.random.default_rng(0).normal(size=20_000)


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result there")
    parser.add_argument("--rounds", type=int, default=401, metavar="N", help="turns of each")
    options = parser.parse_args()
    overheads = measure_overheads(options.rounds)
    agreements = compare_drivers(max(6, options.rounds // 20)) if importlib.util.find_spec("mlperf_loadgen") else []
    document = {"machine": describe_machine(), "overheads": overheads, "drivers": agreements}
    print(f"{document['machine']['cpu']}, Python {document['machine']['python']}")
    for row in overheads:
        low, high = row["ci95"]
        print(f"{row['what']:55} {row['us']:6.3f} µs ({low:.3f} to {high:.3f})  {'ok' if row['ok'] else 'TOO MUCH'}")
    for row in agreements:
        low, high = row["ci95"]
        verdict = {True: "ok", False: "DIFFERENT", None: ""}[row["ok"]]
        print(f"{row['what']:55} {row['ratio']:6.3f} loadgen / ours ({low:.3f} to {high:.3f})  {verdict}")
    if not agreements:
        print("mlcommons-loadgen is not installed: the drivers were not compared")
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(row["ok"] is False for row in (*overheads, *agreements)) else 0


def nothing(_: int) -> None:
    """Answer a query at once."""


def bare_loop_us() -> float:
    """Return what a call that does nothing costs, loop included."""
    start = time.perf_counter()
    for _ in range(QUERIES):
        nothing(1)
    return (time.perf_counter() - start) / QUERIES * 1e6


def stream_us() -> tuple[float, float]:
    """Return microseconds per query of a stream, and the median latency that it reports."""
    limits = Limits(least_s=0.0, most_s=60.0, queries=QUERIES, valid_s=0.0)
    call_ms, seconds = run_stream(nothing, 1, limits, None)
    return seconds / QUERIES * 1e6, float(np.median(call_ms)) * 1e3


def server_us() -> float:
    """Return microseconds per query of a server whose queries have all come."""
    served = serve([nothing], np.full(QUERIES, 1e-9), bound_ms=1e9, most_over=QUERIES)
    return (served.latency_ms[-1] - served.latency_ms[0]) * 1e3 / QUERIES


def interleave_us() -> float:
    """Return the median latency that the loop of interleaved blocks reports, in microseconds."""
    calls = interleave({"nothing": lambda: None}, duration_s=0.0, min_rounds=5, warmup_s=0.0)["nothing"].call_ms
    return float(np.median(calls)) * 1e3


def measure_overheads(rounds: int) -> list[dict[str, Any]]:
    """Measure harness and bare loop in turns."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        bare = bare_loop_us()
        query, latency = stream_us()
        for what, value in {
            "single_stream, multi_stream: time of a query": query - bare,
            "single_stream, multi_stream: within a latency": latency - bare,
            "server: time of a query": server_us() - bare,
            "interleaved blocks: within a latency": interleave_us() - bare,
        }.items():
            found.setdefault(what, []).append(value)
    rows = []
    for what, values in found.items():
        low, high = median_interval(values)
        rows.append({"what": what, "us": float(np.median(values)), "ci95": [low, high], "ok": high < MOST_US})
    return rows


def sleeping(samples: int) -> None:
    """Answer after two milliseconds per sample, without computing."""
    time.sleep(2e-3 * samples)


def computing(samples: int) -> None:
    """Answer after some work per sample, always the same."""
    for _ in range(samples):
        np.sort(VALUES)


CALLS: dict[str, Callable[[int], None]] = {"sleeping": sleeping, "computing": computing}


def compare_drivers(rounds: int) -> list[dict[str, Any]]:
    """Drive the same calls by both drivers; return the ratios of the generator's figure to ours."""
    rows = []
    for name, call in CALLS.items():
        for what, ratio in (
            ("single_stream, the same queries", same_queries),
            ("single_stream, in turns", functools.partial(in_turns, scenario="single_stream")),
            ("offline, in turns", functools.partial(in_turns, scenario="offline")),
        ):
            ratios = [ratio(call, number) for number in range(rounds)]
            low, high = median_interval(ratios)
            row = {"what": f"{what}, {name}", "ratio": float(np.median(ratios)), "ci95": [low, high]}
            is_close = low < MOST_RATIO and high > 1 / MOST_RATIO
            rows.append({**row, "ok": is_close if ratio is same_queries else None})
    return rows


def same_queries(call: Callable[[int], None], _: int) -> float:
    """Return the generator's 90th percentile over that of the same queries by our clock, within its callback."""
    from edgeai.benchmarking.loadgen import run_loadgen

    times: list[float] = []

    def timed(samples: int) -> None:
        start = time.perf_counter()
        call(samples)
        times.append((time.perf_counter() - start) * 1e3)

    outcome = run_loadgen([timed], scenario="single_stream", tier="quick", duration_s=0.5)
    return outcome.value / percentile(times[-outcome.queries :], 0.90)


def in_turns(call: Callable[[int], None], number: int, *, scenario: str) -> float:
    """Return the generator's figure over ours, of two runs one after the other; every other time ours comes first."""
    from edgeai.benchmarking.loadgen import run_loadgen

    values: dict[str, float] = {}
    for driver in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
        if driver == "ours":
            values[driver] = run_scenario(call, scenario=scenario, tier="quick", duration_s=0.5).value
        else:
            values[driver] = run_loadgen([call], scenario=scenario, tier="quick", duration_s=0.5).value
    return values["theirs"] / values["ours"]


if __name__ == "__main__":
    sys.exit(main())
