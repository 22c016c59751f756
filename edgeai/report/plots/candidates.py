"""The candidates of a search: drop, latency and size of each, and how sure the drop is.

A candidate has the same number in both plots and in the table: its place in the document's list, from 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import element, line, svg, text
from edgeai.report.wording import MINUS, drop_range_words, drop_unit, drop_words, size_words, time_words

Candidate = Mapping[str, Any]

RIGHT = 736
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
    top, floor = 20.0, 320.0
    times = [candidate["latency_ms"]["median"] for _, candidate in numbered]
    low, high = drop_limits([candidate["drop"] for _, candidate in numbered], max_drop)
    x = Scale(low=min(times) / 1.4, high=max(times) * 1.4, start=70, end=RIGHT, logarithmic=True)
    y = Scale(low=low, high=high, start=top + 16, end=floor - 16)
    parts = _pareto_frame(x, y, top=top, floor=floor, unit=drop_unit(metric))
    if max_drop is not None:
        parts.append(line(x.start, y(max_drop), x.end, y(max_drop), "budget"))
        parts.append(text("budget", x.end - 6, y(max_drop) - 6, anchor="end", kind="budget-word"))
    front = [c for _, c in numbered if c.get("id") in (document.get("pareto") or ())]
    places = sorted((x(c["latency_ms"]["median"]), y(c["drop"])) for c in front)
    if len(places) > 1:
        parts.append(element("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in places), class_="front"))
    best = (document.get("best") or {}).get("id")
    largest = max(candidate.get("size_bytes") or 1 for _, candidate in numbered)
    spots: list[tuple[float, float]] = []
    labels: list[str] = []  # drawn after all circles, so that none is covered
    for number, candidate in sorted(numbered, key=lambda pair: -(pair[1].get("size_bytes") or 0)):
        at = (x(candidate["latency_ms"]["median"]), y(candidate["drop"]))
        radius = 5 + 17 * math.sqrt((candidate.get("size_bytes") or 0) / largest)
        parts.append(_pareto_mark(candidate, at, radius, is_best=candidate.get("id") == best, metric=metric))
        spots.append(_free_spot(at, spots))
        words = f"{number}\N{DOWNWARDS ARROW}" if candidate["drop"] > high else str(number)
        labels.append(text(words, spots[-1][0], spots[-1][1] + 4, kind="number"))
    return svg(
        [*parts, *labels],
        height=floor + 54,
        name="pareto",
        title="Drop, latency and size of every candidate",
        description="Each circle is a candidate: its median latency, its drop against the float source, its size.",
    )


def _pareto_frame(x: Scale, y: Scale, *, top: float, floor: float, unit: str) -> list[str]:
    parts = [element("rect", x=x.start, y=top, width=x.end - x.start, height=floor - top, class_="frame")]
    for tick in y.ticks():
        parts += [line(x.start, y(tick), x.end, y(tick), "grid")]
        parts += [text(_percent(tick), x.start - 8, y(tick) + 4, anchor="end")]
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), floor, "grid"), text(time_words(tick), x(tick), floor + 18)]
    middle, upright = (x.start + x.end) / 2, (top + floor) / 2
    parts.append(text("median latency of one call, left is faster", middle, floor + 44, kind="axis"))
    turned = f"rotate(-90 18 {upright:g})"
    parts.append(text(f"drop in {unit}, up is better", 18, upright, kind="axis", transform=turned))
    return parts


def _pareto_mark(candidate: Candidate, at: tuple[float, float], radius: float, *, is_best: bool, metric: str) -> str:
    words = (
        f"{candidate.get('id')}: {time_words(candidate['latency_ms']['median'])}, "
        f"drop {drop_words(candidate['drop'], metric)}, {size_words(candidate.get('size_bytes'))}, "
        f"{candidate.get('status')}"
    )
    kind = f"mark {candidate.get('format')} {candidate.get('status')}"
    circle = element("circle", cx=at[0], cy=at[1], r=radius, class_=kind)
    ring = element("circle", cx=at[0], cy=at[1], r=radius + 4, class_="best-ring") if is_best else ""
    return element("g", element("title", escape(words)), circle, ring)


def _free_spot(at: tuple[float, float], taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the place nearest to `at` (along a spiral) where a number covers no other one."""
    spot = at
    for turn in range(40):
        angle, distance = turn * 2.4, 5.0 * math.sqrt(turn)
        spot = (at[0] + distance * math.cos(angle), at[1] + distance * math.sin(angle))
        if all(abs(spot[0] - other[0]) > 15 or abs(spot[1] - other[1]) > 12 for other in taken):
            break
    return spot


def drop_plot(document: Mapping[str, Any]) -> str | None:
    """Return the 95 % interval of every candidate's drop against the budget as SVG; `None` when none was measured."""
    metric, max_drop = document.get("metric") or "top1", _max_drop(document)
    numbered = [(number, candidate) for number, candidate in _numbered(document) if candidate.get("drop_ci95")]
    if not numbered:
        return None
    row, top = 24.0, 28.0
    floor = top + row * len(numbered)
    low, high = drop_limits([v for _, c in numbered for v in (c["drop"], *c["drop_ci95"])], max_drop)
    x = Scale(low=low, high=high, start=230, end=RIGHT - 12)
    parts = []
    if max_drop is not None:
        parts.append(
            element("rect", x=x.start, y=top, width=x(max_drop) - x.start, height=floor - top, class_="within")
        )
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), floor, "grid"), text(_percent(tick), x(tick), floor + 18)]
    parts.append(line(x(0), top, x(0), floor, "zero"))
    if max_drop is not None:
        parts.append(line(x(max_drop), top - 6, x(max_drop), floor, "budget"))
        parts.append(text("budget", x(max_drop), top - 11, kind="budget-word"))
    best = (document.get("best") or {}).get("id")
    for index, (number, candidate) in enumerate(numbered):
        middle = top + row * (index + 0.5)
        parts.append(_drop_row(number, candidate, x, middle, is_best=candidate.get("id") == best, metric=metric))
    parts.append(text(f"drop in {drop_unit(metric)}, left is better", (x.start + x.end) / 2, floor + 42, kind="axis"))
    return svg(
        parts,
        height=floor + 52,
        name="drops",
        title="Drop of every candidate with its 95 % interval",
        description="Each line is the interval of one candidate's drop; the shaded part is within the budget.",
    )


def _drop_row(number: int, candidate: Candidate, x: Scale, middle: float, *, is_best: bool, metric: str) -> str:
    drop, (start, end), verdict = candidate["drop"], candidate["drop_ci95"], candidate.get("verdict")
    name = str(candidate.get("id"))
    told = f"{name}: {drop_words(drop, metric)} ({drop_range_words((start, end), metric)}), {verdict}"
    shown = f"{number}  {name if len(name) <= 28 else name[:27] + '…'}"
    marks = [
        element("title", escape(told)),
        text(shown, x.start - 10, middle + 4, anchor="end", kind="row best" if is_best else "row"),
        line(x(start), middle, x(end), middle, f"interval {verdict}"),
        element("circle", cx=x(drop), cy=middle, r=4.5, class_=f"point {verdict}"),
    ]
    if end > x.high:
        marks.append(text("\N{RIGHTWARDS ARROW}", x.end + 14, middle + 4, kind="row"))
    return element("g", *marks)
