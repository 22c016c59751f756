"""The figures of a bench document in words: units, the summary's lines, the scenarios' lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgeai.report.bench_runs import RunView, on_one_device, placement_words
from edgeai.report.wording import NOTHING, SHARE_METRICS, score_words, size_words, time_words

SCENARIO_WORDS = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}

PLAIN = frozenset({"workers", "batch", "min_ms", "max_ms"} | {f"p{share}_ms" for share in (90, 95, 97)})
"""Details of a scenario that the page leaves to the document."""

VALUE_WORDS = {
    "p90_latency_ms": "p90 latency",
    "p99_latency_ms": "p99 latency",
    "queries_per_s": "queries per second",
    "samples_per_s": "samples per second",
}


def rate_words(per_second: float | None) -> str:
    """Return `7,085/s`, `12.3/s`."""
    if per_second is None:
        return NOTHING
    return f"{per_second:,.0f}/s" if per_second >= 100 else f"{per_second:.3g}/s"


def mib_words(value: float | None) -> str:
    """Return `46.3 MiB`."""
    return NOTHING if value is None else f"{value:.4g} MiB" if value >= 1000 else f"{value:.3g} MiB"


def share_words(share: float) -> str:
    """Return `96 %`, rounded down: 100 % means all."""
    return f"{math.floor(share * 100 + 1e-9)} %"


def joule_words(joules: float | None) -> str:
    """Return `1.24 mJ`, `310 µJ`."""
    if joules is None:
        return NOTHING
    return (
        f"{joules:.3g} J" if joules >= 1 else f"{joules * 1e3:.3g} mJ" if joules >= 1e-3 else f"{joules * 1e6:.3g} µJ"
    )


def interval_words(interval: Sequence[float] | None) -> str:
    """Return `41.6 to 42 µs`, the unit once when both share it."""
    if not interval:
        return ""
    low, high = time_words(interval[0]), time_words(interval[1])
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def score_range_words(interval: Sequence[float] | None, metric: str | None) -> str:
    """Return `86.1 to 88.3 %`."""
    if not interval:
        return ""
    if metric in SHARE_METRICS:
        return f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f} %"
    return f"{interval[0]:.4g} to {interval[1]:.4g}"


def summary_row(run: RunView) -> dict[str, Any]:
    """Return the words of one line of the summary table."""
    data, latency = run.data, run.latency
    accuracy, noise, energy = data.get("accuracy") or {}, data.get("noise") or {}, data.get("energy") or {}
    memory = data.get("memory") or {}
    matched = data.get("outputs_match")
    cosine = data.get("outputs_cosine")
    return {
        "run": run,
        "placement": "" if on_one_device(data) else placement_words(data),
        "precision": data.get("precision") or "",
        "median": time_words(latency.get("median")),
        "median_ci95": interval_words(latency.get("median_ci95")),
        "p90": time_words(latency.get("p90")),
        "p99": time_words(latency.get("p99")),
        "rate": rate_words(data.get("throughput_per_s")),
        "load": time_words(data.get("load_ms")),
        "first": time_words(data.get("first_ms")),
        "memory": mib_words(memory.get("peak_mib") if memory.get("peak_mib") is not None else data.get("rss_mib")),
        "memory_kind": "peak" if memory.get("peak_mib") is not None else "growth" if data.get("rss_mib") else "",
        "size": size_words(data.get("size_bytes")),
        "outputs": "" if matched is None else "match" if matched else "differ",
        "cosine": "" if cosine is None else f"{cosine:.5g}",
        "score": score_words(accuracy.get("score"), accuracy.get("metric")),
        "score_ci95": score_range_words(accuracy.get("ci95"), accuracy.get("metric")),
        "energy": joule_words(energy.get("joules_per_call")),
        "noisy": bool(noise.get("noisy")),
        "reason": noise.get("reason") or "",
    }


def scenario_rows(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return the words of the scenarios' table, one line per run that has an outcome."""
    rows = []
    for run, outcome in [(each, outcome) for each in runs for outcome in each.outcomes]:
        metric = str(outcome.get("metric") or "")
        words = time_words if metric.endswith("_ms") else rate_words
        detail = outcome.get("detail") or {}
        rows.append(
            {
                "run": run,
                "scenario": SCENARIO_WORDS.get(str(outcome.get("scenario")), str(outcome.get("scenario"))),
                "tier": outcome.get("tier") or "",
                "metric": VALUE_WORDS.get(metric, metric.replace("_", " ")),
                "value": words(outcome.get("value")),
                "bound": words(outcome.get("bound")),
                "valid": bool(outcome.get("valid")),
                "reason": "" if outcome.get("valid") else outcome.get("reason") or "",
                "queries": "" if outcome.get("queries") is None else f"{outcome['queries']:,}",
                "seconds": "" if outcome.get("seconds") is None else time_words(outcome["seconds"] * 1000),
                "driver": outcome.get("driver") or "",
                "detail": ", ".join(_detail_words(key, value) for key, value in detail.items() if key not in PLAIN),
            }
        )
    return rows


def _detail_words(key: str, value: float) -> str:
    if key.endswith("_ms"):
        return f"{key.removesuffix('_ms').replace('_', ' ')} {time_words(value)}"
    return f"{key.replace('_', ' ')} {value:.4g}"
