"""How the latencies of each run are distributed, on one logarithmic axis, with median, p90 and p99 marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import RunView
from edgeai.report.plots.rows import ChartRow, RowChart, axis_strip
from edgeai.report.plots.scale import Scale, log_scale
from edgeai.report.plots.svg import area, grid, group, line, percent, stretched, strip
from edgeai.report.wording import time_words

HEIGHT = 44.0
FLOOR = 40.0


def distribution_chart(runs: Sequence[RunView]) -> RowChart | None:
    """Return one row per run that has a latency; `None` when there is none.

    The surface is the share of calls per width on the logarithmic axis, each run by itself as high as the row.
    """
    known = [run for run in runs if run.median]
    if not known:
        return None
    x = log_scale([value for run in known for value in _extent(run.latency)], start=1, end=98)
    rows = tuple(
        ChartRow(
            number=run.number,
            label=run.brief,
            note=run.where,
            tag=run.ran_on,
            key=run.format,
            svg=_row(run, x),
            value=time_words(run.median),
            detail=f"p99 {time_words(run.latency.get('p99'))}",
        )
        for run in known
    )
    words = [(tick, time_words(tick)) for tick in x.ticks()]
    caption = "latency of one call, logarithmic; left is faster"
    return RowChart(rows=rows, axis=axis_strip(x, words, title=caption), caption=caption)


def _extent(latency: Mapping[str, Any]) -> list[float]:
    values = [latency.get(key) for key in ("median", "p90", "p99")]
    least = latency.get("min")
    histogram = latency.get("histogram") or {}
    edges = histogram.get("edges_ms") or ()
    return [value for value in (*values, least, *edges[:1]) if value]


def _row(run: RunView, x: Scale) -> str:
    latency = run.latency
    parts = grid(x, top=0, floor=HEIGHT)
    histogram = latency.get("histogram") or {}
    outline = _outline(histogram.get("edges_ms") or (), histogram.get("counts") or (), x)
    if outline:
        parts.append(stretched(area(outline, floor=FLOOR, kind=f"hill {run.format}"), height=HEIGHT))
    else:
        first = latency.get("min") or latency["median"]
        last = latency.get("p99") or latency["median"]
        parts.append(line(percent(x(first)), FLOOR - 8, percent(x(last)), FLOOR - 8, "reach"))
    parts.append(line(percent(x.start), FLOOR, percent(x.end), FLOOR, "base"))
    for key, kind, top in (("median", "mark-median", 2.0), ("p90", "mark-p90", 16.0), ("p99", "mark-p99", 22.0)):
        value = latency.get(key)
        if value:
            place = percent(x(value))
            parts.append(group(f"{key} {time_words(value)}", line(place, top, place, FLOOR + 3, kind)))
    told = ", ".join(f"{key} {time_words(latency.get(key))}" for key in ("median", "p90", "p99"))
    return strip(*parts, height=HEIGHT, title=f"{run.label}: {told}")


def _outline(edges: Sequence[float], counts: Sequence[int], x: Scale) -> list[tuple[float, float]]:
    """Return the steps of a histogram: share of calls per width on the axis, the highest as high as the row."""
    bins = [
        (max(low, x.low), min(high, x.high), count)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=False)
        if high > x.low and low < x.high
    ]
    dense = [(low, high, count / max(math.log(high / low), 1e-9)) for low, high, count in bins if high > low]
    most = max((density for _, _, density in dense), default=0.0)
    if not most:
        return []
    steps: list[tuple[float, float]] = []
    for low, high, density in dense:
        y = FLOOR - (FLOOR - 4.0) * density / most
        steps += [(x(low), y), (x(high), y)]
    return steps
