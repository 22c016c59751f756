"""The candidates of a search: drop, latency and size of each, and how sure the drop is.

A candidate has the same number in both plots and in the table: its place in the document's list, from 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from edgeai.report.plots.scale import Scale, log_scale
from edgeai.report.plots.scatter import Axis, Mark, scatter
from edgeai.report.plots.svg import element, grid, line, percent, strip, text, tick_words
from edgeai.report.wording import MINUS, drop_range_words, drop_unit, drop_words, size_words, time_words

Candidate = Mapping[str, Any]

ROW = 36.0
"""Pixels per candidate: its name above its interval, so that neither is cut on a phone."""

TOP, FLOOR = 28.0, 340.0
FOCUS = 2.0
"""A plot shows drops up to this many budgets; what lies beyond is drawn at the edge with an arrow."""


def drop_limits(drops: Iterable[float], max_drop: float | None) -> tuple[float, float]:
    """Return the range of drops a plot shows: all of them, unless some lie far beyond the budget or the others."""
    known = sorted(drops)
    anchor = max_drop or max(abs(known[0]), abs(known[len(known) // 2]), 1e-3)
    low = max(min(known[0], 0.0), -FOCUS * anchor)
    high = min(max(known[-1], max_drop or 0.0), FOCUS * anchor)
    pad = 0.1 * max(high - low, 1e-4)
    return low - pad, high + pad


def _percent(drop: float) -> str:
    return f"{round(drop * 100, 3) + 0.0:g}".replace("-", MINUS)


def _numbered(document: Mapping[str, Any]) -> list[tuple[int, Candidate]]:
    return [
        (number, candidate)
        for number, candidate in enumerate(document.get("candidates") or (), start=1)
        if candidate.get("drop") is not None
    ]


def _max_drop(document: Mapping[str, Any]) -> float | None:
    limit: float | None = (document.get("budget") or {}).get("max_drop")
    return limit


def pareto_plot(document: Mapping[str, Any]) -> str | None:
    """Return drop against latency (logarithmic), areas by size, as SVG; `None` when no candidate has both.

    Up and left is better. The line joins the Pareto front; the dashed line is the budget.
    """
    metric, max_drop = document.get("metric") or "top1", _max_drop(document)
    numbered = [(n, c) for n, c in _numbered(document) if (c.get("latency_ms") or {}).get("median")]
    if not numbered:
        return None
    x = log_scale([candidate["latency_ms"]["median"] for _, candidate in numbered], start=15, end=95)
    low, high = drop_limits([candidate["drop"] for _, candidate in numbered], max_drop)
    y = Scale(low=low, high=high, start=TOP + 22, end=FLOOR - 22)
    best = (document.get("best") or {}).get("id")
    largest = max(candidate.get("size_bytes") or 1 for _, candidate in numbered)
    return scatter(
        [_mark(number, c, largest, high, is_best=c.get("id") == best, metric=metric) for number, c in numbered],
        x=Axis(
            scale=x,
            ticks=[(tick, time_words(tick)) for tick in x.ticks()],
            caption="median latency of one call, left is faster",
        ),
        y=Axis(
            scale=y,
            ticks=[(tick, _percent(tick)) for tick in y.ticks()],
            caption=f"drop in {drop_unit(metric)}, up is better",
        ),
        front=[
            (c["latency_ms"]["median"], c["drop"]) for _, c in numbered if c.get("id") in (document.get("pareto") or ())
        ],
        top=TOP,
        floor=FLOOR,
        title="Drop, latency and size of every candidate",
        under=[] if max_drop is None else _budget(y(max_drop)),
    )


def _budget(y: float) -> list[str]:
    words = text("budget", "100%", y - 6, anchor="end", kind="budget-word", dx=-6)
    return [line("0%", y, "100%", y, "budget"), words]


def _mark(number: int, candidate: Candidate, largest: float, high: float, *, is_best: bool, metric: str) -> Mark:
    median, size = candidate["latency_ms"]["median"], candidate.get("size_bytes")
    words = f"{candidate.get('id')}: {time_words(median)}, drop {drop_words(candidate['drop'], metric)}"
    return Mark(
        number=f"{number}\N{DOWNWARDS ARROW}" if candidate["drop"] > high else str(number),
        x=median,
        y=candidate["drop"],
        radius=5 + 17 * math.sqrt((size or 0) / largest),
        kind=f"{candidate.get('format')} {candidate.get('status')}",
        words=f"{words}, {size_words(size)}, {candidate.get('status')}",
        ringed=is_best,
    )


def drop_plot(document: Mapping[str, Any]) -> str | None:
    """Return the 95 % interval of every candidate's drop against the budget as SVG; `None` when none was measured."""
    metric, max_drop = document.get("metric") or "top1", _max_drop(document)
    numbered = [(number, candidate) for number, candidate in _numbered(document) if candidate.get("drop_ci95")]
    if not numbered:
        return None
    top = 28.0
    floor = top + ROW * len(numbered)
    low, high = drop_limits([v for _, c in numbered for v in (c["drop"], *c["drop_ci95"])], max_drop)
    x = Scale(low=low, high=high, start=2, end=95)
    parts = []
    if max_drop is not None:
        wide = percent(x(max_drop))
        parts.append(element("rect", x="0%", y=top, width=wide, height=floor - top, class_="within"))
    parts += grid(x, top=top, floor=floor)
    parts += tick_words(x, [(tick, _percent(tick)) for tick in x.ticks()], y=floor + 18)
    parts.append(line(percent(x(0)), top, percent(x(0)), floor, "zero"))
    if max_drop is not None:
        parts.append(line(percent(x(max_drop)), top - 6, percent(x(max_drop)), floor, "budget"))
        parts.append(text("budget", percent(x(max_drop)), top - 11, kind="budget-word"))
    best = (document.get("best") or {}).get("id")
    for index, (number, candidate) in enumerate(numbered):
        middle = top + ROW * (index + 0.7)
        parts.append(_drop_row(number, candidate, x, middle, is_best=candidate.get("id") == best, metric=metric))
    parts.append(text(f"drop in {drop_unit(metric)}, left is better", "50%", floor + 42, kind="axis"))
    return strip(*parts, height=floor + 52, title="Drop of every candidate with its 95 % interval")


def _drop_row(number: int, candidate: Candidate, x: Scale, middle: float, *, is_best: bool, metric: str) -> str:
    drop, (start, end), verdict = candidate["drop"], candidate["drop_ci95"], candidate.get("verdict")
    name = str(candidate.get("id"))
    told = f"{name}: {drop_words(drop, metric)} ({drop_range_words((start, end), metric)}), {verdict}"
    shown = f"{number}  {name if len(name) <= 40 else name[:39] + '…'}"
    marks = [
        element("title", escape(told)),
        text(shown, "0%", middle - 10, anchor="start", kind="row best" if is_best else "row", dx=4),
        line(percent(x(start)), middle, percent(x(end)), middle, f"interval {verdict}"),
        element("circle", cx=percent(x(drop)), cy=middle, r=4.5, class_=f"point {verdict}"),
    ]
    if end > x.high:
        marks.append(text("\N{RIGHTWARDS ARROW}", "100%", middle + 4, anchor="end", kind="row"))
    return element("g", *marks)
