"""A run of minutes: latency over time, with clock and temperature under it where the system tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai.report.bench_runs import RunView
from edgeai.report.plots.panel import LEFT, RIGHT, Series, panel
from edgeai.report.plots.scale import Scale, linear_scale, log_scale
from edgeai.report.wording import TIMES, time_words

Points = Sequence[Mapping[str, Any]]

Places = Sequence[tuple[float, float, str]]

FAR = 8.0
"""Times the highest median that a p99 may be on one linear axis."""

LEAST_SPAN = 0.1
"""Of the highest reading: what an axis spans at least, so that a hundredth more memory does not look like a leak."""


@dataclass(frozen=True, kw_only=True)
class SustainedChart:
    """The panels of one run under each other `(words, svg)`, and the verdict."""

    run: RunView
    panels: tuple[tuple[str, str], ...]
    tone: str
    verdict: str
    reason: str


def sustained_charts(runs: Sequence[RunView]) -> list[SustainedChart]:
    """Return the charts of the runs that were sustained."""
    return [
        _chart(run, sustained)
        for run in runs
        if (sustained := run.data.get("sustained")) and (sustained.get("points") or ())
    ]


def _chart(run: RunView, sustained: Mapping[str, Any]) -> SustainedChart:
    points: Points = sustained["points"]
    x = linear_scale([point["at_s"] for point in points], start=LEFT, end=RIGHT)
    panels = [("latency: median (line) and p99 (dashed)", _latency(run, points, x))]
    panels += [
        (words, drawn)
        for key, words, unit in (
            ("clock_mhz", "clock", _clock_words),
            ("celsius", "temperature", lambda value: f"{value:.3g} °C"),
            ("rss_mib", "resident memory", lambda value: f"{value:.4g} MiB"),
        )
        if (drawn := _reading(run, points, x, key=key, words=words, unit=unit))
    ]
    drift, interval, throttled = sustained.get("drift"), sustained.get("drift_ci95"), sustained.get("throttled")
    verdict = {True: "throttled", False: "not throttled", None: "throttling unknown"}[throttled]
    if drift is not None:
        between = f" ({interval[0]:.3g} to {interval[1]:.3g})" if interval else ""
        verdict += f"; last third {drift:.3g}{TIMES} the first{between}"
    return SustainedChart(
        run=run,
        panels=tuple(panels),
        tone={True: "bad", False: "good", None: "neutral"}[throttled],
        verdict=f"{verdict}, over {time_words((sustained.get('seconds') or points[-1]['at_s']) * 1000)}",
        reason=str(sustained.get("reason") or ""),
    )


def _latency(run: RunView, points: Points, x: Scale) -> str:
    median = [(p["at_s"], p["median_ms"], "") for p in points]
    tail = [(p["at_s"], p["p99_ms"], "") for p in points if p.get("p99_ms") is not None]
    values = [value for _, value, _ in (*median, *tail)]
    if _far_apart(median, tail):
        y = log_scale(values, start=140, end=20)
    else:
        y = linear_scale(values, start=146, end=20, zero=True)
    kinds = [Series(points=tail, kind=f"{run.format} dashed", dots=False)] if tail else []
    return panel(
        [*kinds, Series(points=median, kind=run.format, dots=False)],
        x=x,
        y=y,
        x_words=_seconds,
        y_words=lambda value: time_words(value) if value else "0",
        height=146,
        title=f"{run.label}: latency over time",
    )


def _far_apart(median: Places, tail: Places) -> bool:
    """Tell whether the medians would lie on the ground below the p99s: then the axis is logarithmic."""
    highest = max(value for _, value, _ in median)
    return bool(tail) and highest > 0 and max(value for _, value, _ in tail) > FAR * highest


def _reading(
    run: RunView, points: Points, x: Scale, *, key: str, words: str, unit: Callable[[float], str]
) -> str | None:
    known = [(p["at_s"], float(p[key]), "") for p in points if p.get(key) is not None]
    if not known:
        return None
    values = [value for _, value, _ in known]
    low, high = min(values), max(values)
    around = max(LEAST_SPAN * high - (high - low), 0.0) / 2
    y = linear_scale([low - around, high + around], start=66, end=20)
    return panel(
        [Series(points=known, kind="plain", dots=False)],
        x=x,
        y=y,
        x_words=_seconds,
        y_words=unit,
        height=70,
        y_ticks=sorted({float(f"{low:.3g}"), float(f"{high:.3g}")}),
        title=f"{run.label}: {words} over time",
        bottom=False,
    )


def _seconds(value: float) -> str:
    return time_words(value * 1000) if value else "0"


def _clock_words(value: float) -> str:
    return f"{value / 1000:.3g} GHz" if value >= 1000 else f"{value:.3g} MHz"
