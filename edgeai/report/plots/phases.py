"""The way from nothing to the first answer, as stacked bars: one for a cold start, one with a compiled model kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import RunView
from edgeai.report.plots.rows import ChartRow, RowChart, axis_strip
from edgeai.report.plots.scale import Scale, linear_scale
from edgeai.report.plots.svg import element, grid, group, percent, strip
from edgeai.report.wording import time_words

HEIGHT = 24.0

PHASES = (
    ("process_start_ms", "process start"),
    ("import_ms", "import"),
    ("load_ms", "load"),
    ("compile_cold_ms", "compile"),
    ("first_ms", "first call"),
)
"""In their order; the class of each is `phase-0`, `phase-1`, …"""


def phase_chart(runs: Sequence[RunView]) -> RowChart | None:
    """Return one or two rows per run whose phases were measured; `None` when there is none."""
    bars = [
        (run, phases, kind)
        for run in runs
        if (phases := run.data.get("phases"))
        for kind in ("cold", "cached")
        if kind == "cold" or phases.get("compile_cached_ms") is not None
    ]
    if not bars:
        return None
    totals = [sum(value for _, _, value in _segments(phases, kind)) for _, phases, kind in bars]
    x = linear_scale(totals, start=1, end=98, zero=True)
    rows = tuple(_row(run, phases, kind, x) for run, phases, kind in bars)
    caption = "from the start of the process to the first answer; medians of fresh processes"
    words = [(tick, time_words(tick) if tick else "0") for tick in x.ticks()]
    return RowChart(rows=rows, axis=axis_strip(x, words, title=caption), caption=caption)


def _segments(phases: Mapping[str, Any], kind: str) -> list[tuple[int, str, float]]:
    """Return index, words and milliseconds of the phases in their order."""
    found = []
    for index, (key, words) in enumerate(PHASES):
        value = phases.get("compile_cached_ms" if key == "compile_cold_ms" and kind == "cached" else key)
        found.append((index, words, float(value or 0.0)))
    return found


def _row(run: RunView, phases: Mapping[str, Any], kind: str, x: Scale) -> ChartRow:
    parts, at = grid(x, top=0, floor=HEIGHT), 0.0
    spread, told = phases.get("spread") or {}, []
    for index, words, value in _segments(phases, kind):
        key = PHASES[index][0]
        reach = spread.get(key) or spread.get(key.removesuffix("_ms"))
        between = f" ({time_words(reach[0])} to {time_words(reach[1])})" if reach and kind == "cold" else ""
        told.append(f"{words} {time_words(value)}{between}")
        width = x(at + value) - x(at)
        bar = element("rect", x=percent(x(at)), y=3, width=percent(width), height=HEIGHT - 6, class_=f"phase-{index}")
        parts.append(group(told[-1], bar))
        at += value
    start = "cold start" if kind == "cold" else "compiled model kept"
    return ChartRow(
        number=run.number if kind == "cold" else "",
        label=run.brief if kind == "cold" else "",
        note=f"{start} · {run.where}" if kind == "cold" else start,
        key=run.format if kind == "cold" else "",
        svg=strip(*parts, height=HEIGHT, title=f"{run.label}, {start}: {', '.join(told)}"),
        value=time_words(at),
        detail=f"warm {time_words(phases.get('warm_ms'))}" if kind == "cold" else "",
    )
