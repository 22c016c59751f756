"""The report's plots, drawn as inline SVG: no library, no script, colours from the page's style sheet.

Every plot has a title and a description for screen readers, and a `<title>` per mark (shown on hover). A candidate has
the same number in both plots and in the table: its place in the document's list, from 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from edgeai.report.wording import MINUS, drop_range_words, drop_unit, drop_words, size_words, time_words

Candidate = Mapping[str, Any]

WIDTH = 760
RIGHT = 736
FOCUS = 2.0
"""A plot shows drops up to this many budgets; what lies beyond is drawn at the edge with an arrow."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One axis: values `low` to `high` drawn at pixels `start` to `end`, linear or logarithmic, clipped."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self) -> list[float]:
        """Return a handful of round values within the axis."""
        return log_ticks(self.low, self.high) if self.logarithmic else nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, *, count: int = 6) -> list[float]:
    """Return about `count` round values (1, 2, 5 times a power of ten) within `[low, high]`."""
    step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values for a logarithmic axis, the finer the less it spans."""
    decades = math.log10(high / low)
    factors = (1, 1.5, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 2.5 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


def drop_limits(drops: Iterable[float], max_drop: float | None) -> tuple[float, float]:
    """Return the range of drops a plot shows: all of them, unless some lie far beyond the budget or the others."""
    known = sorted(drops)
    anchor = max_drop or max(abs(known[0]), abs(known[len(known) // 2]), 1e-3)
    low = max(min(known[0], 0.0), -FOCUS * anchor)
    high = min(max(known[-1], max_drop or 0.0), FOCUS * anchor)
    pad = 0.1 * max(high - low, 1e-4)
    return low - pad, high + pad


def element(tag: str, *children: str, **attributes: Any) -> str:
    """Return one SVG element; `_` in attribute names stands for `-`; text children must be escaped."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"' for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def _attribute(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def _text(words: str, x: float, y: float, *, anchor: str = "middle", kind: str = "tick", **attributes: Any) -> str:
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=kind, **attributes)


def _percent(drop: float) -> str:
    return f"{round(drop * 100, 3) + 0.0:g}".replace("-", MINUS)


def _svg(parts: Sequence[str], *, height: float, name: str, title: str, description: str) -> str:
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(description), id=f"{name}-description"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        class_="plot",
    )


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
        parts.append(_line(x.start, y(max_drop), x.end, y(max_drop), "budget"))
        parts.append(_text("budget", x.end - 6, y(max_drop) - 6, anchor="end", kind="budget-word"))
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
        labels.append(_text(words, spots[-1][0], spots[-1][1] + 4, kind="number"))
    return _svg(
        [*parts, *labels],
        height=floor + 54,
        name="pareto",
        title="Drop, latency and size of every candidate",
        description="Each circle is a candidate: its median latency, its drop against the float source, its size.",
    )


def _pareto_frame(x: Scale, y: Scale, *, top: float, floor: float, unit: str) -> list[str]:
    parts = [element("rect", x=x.start, y=top, width=x.end - x.start, height=floor - top, class_="frame")]
    for tick in y.ticks():
        parts += [_line(x.start, y(tick), x.end, y(tick), "grid")]
        parts += [_text(_percent(tick), x.start - 8, y(tick) + 4, anchor="end")]
    for tick in x.ticks():
        parts += [_line(x(tick), top, x(tick), floor, "grid"), _text(time_words(tick), x(tick), floor + 18)]
    middle, upright = (x.start + x.end) / 2, (top + floor) / 2
    parts.append(_text("median latency of one call, left is faster", middle, floor + 44, kind="axis"))
    turned = f"rotate(-90 18 {upright:g})"
    parts.append(_text(f"drop in {unit}, up is better", 18, upright, kind="axis", transform=turned))
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
        parts += [_line(x(tick), top, x(tick), floor, "grid"), _text(_percent(tick), x(tick), floor + 18)]
    parts.append(_line(x(0), top, x(0), floor, "zero"))
    if max_drop is not None:
        parts.append(_line(x(max_drop), top - 6, x(max_drop), floor, "budget"))
        parts.append(_text("budget", x(max_drop), top - 11, kind="budget-word"))
    best = (document.get("best") or {}).get("id")
    for index, (number, candidate) in enumerate(numbered):
        middle = top + row * (index + 0.5)
        parts.append(_drop_row(number, candidate, x, middle, is_best=candidate.get("id") == best, metric=metric))
    parts.append(_text(f"drop in {drop_unit(metric)}, left is better", (x.start + x.end) / 2, floor + 42, kind="axis"))
    return _svg(
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
        _text(shown, x.start - 10, middle + 4, anchor="end", kind="row best" if is_best else "row"),
        _line(x(start), middle, x(end), middle, f"interval {verdict}"),
        element("circle", cx=x(drop), cy=middle, r=4.5, class_=f"point {verdict}"),
    ]
    if end > x.high:
        marks.append(_text("\N{RIGHTWARDS ARROW}", x.end + 14, middle + 4, kind="row"))
    return element("g", *marks)
