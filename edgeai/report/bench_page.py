"""The HTML report of `bench`: what the template `bench.html.j2` shows of its document.

A document may hold one run or fifty, and every optional part of a run may be missing: what is not there has no section.
Words are made in `bench_words.py` and `bench_findings.py`, plots in `plots/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from markupsafe import Markup

from edgeai.report.bench_findings import findings, noise_rows
from edgeai.report.bench_runs import RunView, run_views, short_names, shorten
from edgeai.report.bench_words import joule_words, scenario_rows, summary_row
from edgeai.report.page import fact_groups, fill_page
from edgeai.report.plots.comparisons import comparison_chart
from edgeai.report.plots.distributions import distribution_chart
from edgeai.report.plots.memory import memory_chart
from edgeai.report.plots.operators import operator_charts
from edgeai.report.plots.pareto import run_pareto_plot
from edgeai.report.plots.phases import PHASES, phase_chart
from edgeai.report.plots.rows import RowChart
from edgeai.report.plots.sustained import sustained_charts
from edgeai.report.plots.sweeps import sweep_charts
from edgeai.report.plots.yardsticks import yardstick_chart
from edgeai.report.wording import METRIC_WORDS, NOTHING
from edgeai_runtime.delegates.table import DELEGATES

CONTENTS = (
    ("rows", "summary", "Summary"),
    ("skipped", "skipped", "Not measured"),
    ("pareto", "pareto", "Trade-off"),
    ("comparisons", "comparisons", "Compared"),
    ("distributions", "distributions", "Distributions"),
    ("scenarios", "scenarios", "Scenarios"),
    ("phases", "phases", "Start"),
    ("threads", "sweep-threads", "Threads"),
    ("batch", "sweep-batch", "Batches"),
    ("operators", "operators", "Operations"),
    ("memory", "memory", "Memory"),
    ("energy", "energy", "Energy"),
    ("sustained", "sustained", "Sustained"),
    ("quiet", "quiet", "Quietness"),
    ("facts", "basis", "Basis"),
)
"""What must be there for a section to be, the section's anchor, and its name in the page's contents."""

TITLE_NAMES = 3
"""As many artifacts are named in the title; more are counted."""


def render_bench_report(document: Mapping[str, Any]) -> str:
    """Return the report page for the JSON document of `bench`.

    Args:
        document: what `edgeai bench --json` prints (`edgeai.benchmarking.result.BenchReport`). Every optional part may
            be missing or `None`; keys beyond the documented ones are ignored.

    Returns:
        A whole HTML page as text, without script, that loads nothing; every value of the document is escaped.
    """
    runs = run_views(document)
    rows = [summary_row(run) for run in runs]
    pareto = run_pareto_plot(runs)
    sweeps = _sweeps(runs)
    has_score = any((run.data.get("accuracy") or {}).get("score") is not None for run in runs)
    values = {
        "title": _title(runs),
        "machine": str((document.get("machine") or {}).get("cpu") or ""),
        "created": _moment(str(document.get("created") or "")),
        "headlines": findings(document, runs),
        "rows": rows,
        "columns": {
            "size": any(row["size"] != NOTHING for row in rows),
            "outputs": any(row["outputs"] for row in rows),
            "score": has_score,
            "memory": any(row["memory"] != NOTHING for row in rows),
            "energy": any(row["energy"] != NOTHING for row in rows),
        },
        "metric": _metric(runs),
        "formats": sorted({run.format for run in runs}),
        "pareto": Markup(pareto) if pareto else None,
        "pareto_scored": sum((run.data.get("accuracy") or {}).get("score") is not None for run in runs) >= 2,
        "distributions": _safe(distribution_chart(runs)),
        "comparisons": _safe(comparison_chart(document.get("comparisons") or (), runs)),
        "scenarios": scenario_rows(runs),
        "phases": _safe(phase_chart(runs)),
        "phase_names": [words for _, words in PHASES],
        "sweeps": sweeps,
        "quiet": _safe(yardstick_chart(document.get("yardsticks") or (), runs)),
        "memory": _safe(memory_chart(runs)),
        "sustained": sustained_charts(runs),
        "operators": [
            replace(chart, rows=tuple(replace(row, svg=Markup(row.svg)) for row in chart.rows))
            for chart in operator_charts(runs)
        ],
        "energy": _energy(runs),
        "noise": noise_rows(runs),
        "skipped": _skipped(document),
        "absent": [name for name, _ in _skipped(document) if name in DELEGATES],
        "facts": _facts(document),
    }
    there = {key for key, value in values.items() if value} | {sweep["over"] for sweep in sweeps}
    contents = [(anchor, words) for key, anchor, words in CONTENTS if key in there]
    return fill_page("bench.html.j2", contents=contents, **values)


def _metric(runs: Sequence[RunView]) -> str:
    """Return the name of the first score as the head of a column: `top-1 accuracy`."""
    known = [str(accuracy.get("metric") or "") for run in runs if (accuracy := run.data.get("accuracy"))]
    name = METRIC_WORDS.get(known[0], known[0]) if known else ""
    return name[:1].upper() + name[1:]


def _moment(created: str) -> str:
    """Return `2026-05-04 10:20 UTC` of a moment as ISO 8601 writes it in UTC; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)", created)
    return f"{found[1]} {found[2]} UTC" if found else created


def _sweeps(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    overs: tuple[Literal["threads", "batch"], ...] = ("threads", "batch")
    return [{"over": over, "charts": charts} for over in overs if (charts := sweep_charts(runs, over))]


def _title(runs: Sequence[RunView]) -> str:
    names = list(dict.fromkeys(run.brief for run in runs))
    if not names:
        return "Nothing measured"
    if len(names) <= TITLE_NAMES:
        return ", ".join(names)
    return f"{len(runs)} runs of {len(names)} artifacts"


def _safe(chart: RowChart | None) -> RowChart | None:
    """Return the chart with its drawings marked as markup; they were escaped where they were made."""
    if chart is None:
        return None
    rows = tuple(replace(row, svg=Markup(row.svg)) for row in chart.rows)
    return replace(chart, rows=rows, axis=Markup(chart.axis))


def _energy(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return the words on the energy of the runs for which it was asked, those with the same words together."""
    rows: dict[str, dict[str, Any]] = {}
    for row in [
        {
            "runs": [run],
            "joules": joule_words(energy.get("joules_per_call")),
            "idle": _watts(energy.get("idle_watts")),
            "busy": _watts(energy.get("busy_watts")),
            "meter": energy.get("meter") or "unknown",
            "reason": energy.get("reason") or "",
        }
        for run in runs
        if (energy := run.data.get("energy"))
    ]:
        same = repr({**row, "runs": None})
        rows[same] = {**row, "runs": [*rows.get(same, {"runs": []})["runs"], *row["runs"]]}
    return list(rows.values())


def _watts(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g} W"


def _skipped(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    skipped = document.get("skipped") or ()
    names = short_names([str(each.get("artifact")) for each in skipped])
    return [(shorten(str(each.get("artifact")), names), str(each.get("reason") or "")) for each in skipped]


def _facts(document: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return titled lists of what the result rests on: machine, versions, what was asked for."""
    groups: list[tuple[str, Mapping[str, Any]]] = [
        ("Machine", document.get("machine") or {}),
        ("Versions", document.get("tools") or {}),
        ("Asked for", document.get("settings") or {}),
        ("File", {"created": document.get("created") or None, "schema": document.get("schema")}),
    ]
    return fact_groups(groups)
