"""A result of `edgeai bench` as CSV: one line per run, every single figure a column, for spreadsheets and plots.

Units are in the names of the columns; what was not measured is empty. Lists (rounds, histograms, operations, points of
a sustained run) stay in the JSON. Comparisons stand in the line of the run that they are about (`a`). A
run with several scenarios has a line for each, and the rest of its figures in all of them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from edgeai.report.bench_runs import without_scenario

PARTS = ("latency_ms", "outcome", "phases", "memory", "sustained", "energy", "accuracy", "noise", "operators")
"""Parts of a run whose single figures get columns of their own, `part.figure`."""

_FIRST = ("label", "artifact", "format", "precision", "engine", "engine_version", "delegate", "ran_on")
_MACHINE = ("cpu", "governor", "os")


def bench_csv(document: Mapping[str, Any]) -> str:
    """Return the runs as CSV after RFC 4180, with a header; every run has the same columns.

    Args:
        document: of the schema `edgeai.bench/1`, as `read_report` or `BenchReport.to_json` return it.
    """
    against = {one["a"]: one for one in document["comparisons"]}
    machine = {f"machine.{key}": document["machine"].get(key) for key in _MACHINE}
    rows = [
        {**_cells(run), **_compared(against.get(_label(run), against.get(without_scenario(run)))), **machine}
        for run in document["runs"]
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _label(run: Mapping[str, Any]) -> str:
    return str(run["label"] or run["artifact"])


def _cells(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single figures of a run, who it is first."""
    cells = {name: run[name] for name in _FIRST}
    for name, value in run.items():
        if name in PARTS:
            cells |= _figures(value, name)
        elif name == "placement":
            cells |= {f"placement.{device}": share for device, share in value.items()}
        elif _is_single(value):
            cells.setdefault(name, value)
    return cells


def _figures(part: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return `{name.figure: value}` of a part; an interval as two columns, `.low` and `.high`."""
    cells: dict[str, Any] = {}
    for key, value in (part or {}).items():
        if key.endswith("ci95"):
            low, high = value or (None, None)
            cells |= {f"{name}.{key}.low": low, f"{name}.{key}.high": high}
        elif _is_single(value):
            cells[f"{name}.{key}"] = value
    return cells


def _compared(one: Mapping[str, Any] | None) -> dict[str, Any]:
    if one is None:
        return {}
    wanted = {key: one[key] for key in ("b", "ratio", "ci95", "verdict", "how")}
    return _figures(wanted, "compared")


def _is_single(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
