"""A result of `edgeai bench` as Markdown: for the summary of a CI job, a pull request, a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import RunView, by_label, device_words, run_views, short_names, shorten
from edgeai.report.bench_words import share_words
from edgeai.report.wording import NOTHING, ratio_words, score_words, size_words, time_words

_VERDICTS = {"faster": "faster", "slower": "slower", "no_difference": "no difference"}


def bench_markdown(document: Mapping[str, Any]) -> str:
    """Return the runs, comparisons and what they rest on, as GitHub's Markdown; parts not measured are left out.

    Args:
        document: of the schema `edgeai.bench/1`, as `read_report` or `BenchReport.to_json` return it.
    """
    views = run_views(document)
    names = short_names([run["artifact"] for run in document["runs"]])
    parts = [
        "# Benchmark",
        _facts(document),
        _table(_RUNS, [_run_cells(view) for view in views]),
        *_section("Comparisons", _COMPARISONS, _comparisons(document, views, names)),
        *_section("Scenarios", _SCENARIOS, [_scenario_cells(view, one) for view in views for one in view.outcomes]),
        *_section("Quietness", _QUIET, [_quiet_cells(view) for view in views if view.data["noise"]]),
        *_section("Phases", _PHASES, [_phase_cells(view) for view in views if view.data["phases"]]),
        *_section("Memory", _MEMORY, [_memory_cells(view) for view in views if view.data["memory"]]),
        *_section("Sustained", _SUSTAINED, [_sustained_cells(view) for view in views if view.data["sustained"]]),
        *_section("Energy", _ENERGY, [_energy_cells(view) for view in views if view.data["energy"]]),
        *_remarks(document, views, names),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_RUNS = ("run", "ran on", "threads", "batch", "median", "95 %", "p90", "p99", "per second", "size", "outputs", "score")
_COMPARISONS = ("run", "against", "time ratio", "95 %", "verdict", "note")
_SCENARIOS = ("run", "scenario", "tier", "metric", "value", "bound (99 %)", "valid")
_QUIET = ("run", "quiet", "calm rounds", "median within", "load of others", "measured again")
_PHASES = ("run", "process", "import", "load", "compile, cold", "compile, cached", "first call", "warm call")
_MEMORY = ("run", "before", "loaded", "steady", "peak")
_SUSTAINED = ("run", "lasted", "drift", "95 %", "throttled", "verdict")
_ENERGY = ("run", "meter", "per call", "idle", "busy")

_TEXT_COLUMNS = {
    *("run", "ran on", "against", "verdict", "note", "scenario", "tier", "metric", "meter", "outputs", "quiet"),
}


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", _table(heads, rows)] if rows else []


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table without the columns in which no row says anything."""
    kept = [place for place in range(len(heads)) if any(row[place] not in ("", NOTHING) for row in rows)]
    lines = [
        [heads[place] for place in kept],
        ["---" if heads[place] in _TEXT_COLUMNS else "---:" for place in kept],
        *([_escaped(row[place]) for place in kept] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Return text that stays in its cell and is taken literally."""
    for mark in ("\\", "|", "*", "_", "`", "[", "]", "<"):
        text = text.replace(mark, "&lt;" if mark == "<" else f"\\{mark}")
    return " ".join(text.split())


def _facts(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    told = [machine.get("cpu", "unknown processor")]
    told += [f"{key} {machine[key]}" for key in ("cores", "governor", "load", "os") if key in machine]
    tools = [f"{name} {version}" for name, version in (document["tools"] or {}).items()]
    return "  \n".join(_escaped(line) for line in (", ".join(told), ", ".join(tools), document["created"]) if line)


def _run_cells(view: RunView) -> tuple[str, ...]:
    run = view.data
    latency, accuracy = run["latency_ms"], run["accuracy"]
    low, high = latency["median_ci95"]
    return (
        view.label,
        f"{device_words(run)} ({run['delegate']})",
        str(run["threads"]),
        str(run["batch"]),
        time_words(latency["median"]),
        f"{time_words(low)} to {time_words(high)}",
        time_words(latency["p90"]),
        time_words(latency["p99"]),
        f"{run['throughput_per_s']:.4g}",
        size_words(run["size_bytes"]),
        {True: "match", False: "DIFFER", None: NOTHING}[run["outputs_match"]],
        NOTHING if accuracy is None else f"{score_words(accuracy['score'], accuracy['metric'])} {accuracy['metric']}",
    )


def _comparisons(document: Mapping[str, Any], views: Sequence[RunView], names: Mapping[str, str]) -> list[list[str]]:
    known = by_label(views)
    rows = []
    for one in document["comparisons"]:
        a, b = (known[one[side]].label if one[side] in known else shorten(one[side], names) for side in "ab")
        low, high = one["ci95"]
        b += " (old result)" if one["how"] == "stored" else ""
        ratio, interval = f"{one['ratio']:.3f}", f"{low:.3f} to {high:.3f}"
        rows.append([a, b, ratio, interval, _VERDICTS[one["verdict"]], one["note"]])
    return rows


def _scenario_cells(view: RunView, outcome: Mapping[str, Any]) -> tuple[str, ...]:
    words = time_words if outcome["metric"].endswith("_ms") else lambda value: f"{value:.4g}"
    return (
        view.label,
        outcome["scenario"],
        outcome["tier"],
        outcome["metric"],
        words(outcome["value"]),
        NOTHING if outcome["bound"] is None else words(outcome["bound"]),
        "yes" if outcome["valid"] else f"no: {outcome['reason']}",
    )


def _quiet_cells(view: RunView) -> tuple[str, ...]:
    noise = view.data["noise"]
    calm, load, again = noise.get("calm"), noise["load"], noise["repeats"]
    return (
        view.label,
        "NOISY" if noise["noisy"] else "quiet",
        NOTHING if calm is None else share_words(calm),
        f"±{noise['spread'] * 100:.2g} %",
        NOTHING if load is None else f"{load:.2g} cores",
        str(again) if again else NOTHING,
    )


def _phase_cells(view: RunView) -> tuple[str, ...]:
    keys = ("process_start", "import", "load", "compile_cold", "compile_cached", "first", "warm")
    return (view.label, *(time_words(view.data["phases"][f"{key}_ms"]) for key in keys))


def _memory_cells(view: RunView) -> tuple[str, ...]:
    values = (view.data["memory"][f"{key}_mib"] for key in ("before", "loaded", "steady", "peak"))
    told = (NOTHING if value is None else f"{value:.1f} MiB" for value in values)
    return (view.label, *told)


def _sustained_cells(view: RunView) -> tuple[str, ...]:
    sustained = view.data["sustained"]
    low, high = sustained["drift_ci95"]
    throttled = {True: "yes", False: "no", None: "unknown"}[sustained["throttled"]]
    return (
        view.label,
        time_words(sustained["seconds"] * 1e3),
        ratio_words(sustained["drift"]),
        f"{low:.3f} to {high:.3f}",
        throttled,
        sustained["reason"],
    )


def _energy_cells(view: RunView) -> tuple[str, ...]:
    energy = view.data["energy"]
    joules = NOTHING if energy["joules_per_call"] is None else f"{energy['joules_per_call'] * 1e3:.3g} mJ"
    watts = (NOTHING if energy[key] is None else f"{energy[key]:.3g} W" for key in ("idle_watts", "busy_watts"))
    return (view.label, energy["meter"], joules, *watts)


def _remarks(document: Mapping[str, Any], views: Sequence[RunView], names: Mapping[str, str]) -> list[str]:
    lines = [
        f"- noisy: {_escaped(view.label)}: {_escaped(view.data['noise']['reason'])}"
        for view in views
        if view.data["noise"] and view.data["noise"]["noisy"]
    ]
    lines += [
        f"- not measured: {_escaped(shorten(one['artifact'], names))}: {_escaped(one['reason'])}"
        for one in document["skipped"]
    ]
    return ["## Remarks", "\n".join(lines)] if lines else []
