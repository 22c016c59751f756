"""Runs compared: the ratio of their times with its 95 % interval, and the band in which no difference is claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import RunView, by_label, shorten
from edgeai.report.plots.rows import ChartRow, RowChart, axis_strip
from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import element, grid, line, percent, strip, text
from edgeai.report.wording import TIMES, ratio_range_words, ratio_words
from edgeai_runtime.bench.statistics import SAME_FILE_MARGIN

HEIGHT = 30.0
LEAST, MOST = 1.12, 16.0
"""The axis reaches at least and at most this ratio, to both sides of 1."""

TICKS = {
    1.3: (0.8, 0.9, 1.0, 1.1, 1.25),
    3.1: (1 / 3, 0.5, 2 / 3, 1.0, 1.5, 2.0, 3.0),
    MOST: (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}


def comparison_chart(comparisons: Sequence[Mapping[str, Any]], runs: Sequence[RunView]) -> RowChart | None:
    """Return one row per comparison; `None` when there is none."""
    known = [each for each in comparisons if each.get("ratio")]
    if not known:
        return None
    extremes = [abs(math.log(value)) for each in known for value in (each["ratio"], *(each.get("ci95") or ())) if value]
    limit = min(max(math.exp(1.1 * max(extremes)), LEAST), MOST)
    x = Scale(low=1 / limit, high=limit, start=2, end=98, logarithmic=True)
    ticks = [tick for tick in next(TICKS[key] for key in TICKS if limit <= key) if 1 / limit <= tick <= limit]
    names = by_label(runs)
    bases = {str(each.get("b")) for each in known if each.get("how") != "stored"}
    base = bases.pop() if len(bases) == 1 else None
    rows = tuple(_row(each, x, ticks, names, base=base) for each in known)
    caption = f"time over that of {_name(base, names) if base else 'the other'}, logarithmic; left of 1 is faster"
    words = [(tick, f"{tick:.2g}{TIMES}") for tick in ticks]
    return RowChart(rows=rows, axis=axis_strip(x, words, title=caption), caption=caption)


def _row(
    each: Mapping[str, Any], x: Scale, ticks: Sequence[float], names: Mapping[str, RunView], *, base: str | None
) -> ChartRow:
    ratio, verdict = float(each["ratio"]), str(each.get("verdict") or "no_difference")
    low, high = each.get("ci95") or (ratio, ratio)
    a, b = (str(each.get(key)) for key in ("a", "b"))
    usual = b == base and each.get("how") != "stored"
    first = names.get(a)
    a, b = _name(a, names), _name(b, names)
    margin = 1 + SAME_FILE_MARGIN
    band = element(
        "rect", x=percent(x(1 / margin)), y=0, width=percent(x(margin) - x(1 / margin)), height=HEIGHT, class_="band"
    )
    middle = HEIGHT / 2
    parts = [
        band,
        *grid(x, top=0, floor=HEIGHT, ticks=ticks),
        line(percent(x(1)), 0, percent(x(1)), HEIGHT, "zero"),
        line(percent(x(low)), middle, percent(x(high)), middle, f"interval {verdict}"),
        element("circle", cx=percent(x(ratio)), cy=middle, r=5, class_=f"point {verdict}"),
    ]
    if high > x.high:
        parts.append(text("\N{RIGHTWARDS ARROW}", "100%", middle + 4, anchor="end"))
    if low < x.low:
        parts.append(text("\N{LEFTWARDS ARROW}", "0%", middle + 4, anchor="start"))
    value = verdict_words(ratio, verdict)
    interval = ratio_range_words((low, high))
    apart = "" if each.get("how") != "stored" else "two files, made at different times"
    notes = [first.where if first else "", "" if usual else f"against {b}", apart, str(each.get("note") or "")]
    return ChartRow(
        number=first.number if first else "",
        label=first.brief if first else a,
        tag=first.ran_on if first else "",
        note=" · ".join(note for note in notes if note),
        svg=strip(*parts, height=HEIGHT, title=f"{a} against {b}: {value}, {interval}"),
        value=value,
        detail=interval,
    )


def verdict_words(ratio: float, verdict: str) -> str:
    """Return `1.62× faster`, `2.1× slower` or `no difference`."""
    if verdict == "faster":
        return f"{ratio_words(1 / ratio)} faster"
    return f"{ratio_words(ratio)} slower" if verdict == "slower" else "no difference"


def _name(label: str, names: Mapping[str, RunView]) -> str:
    run = names.get(label)
    if run is not None:
        return f"{run.number} {run.brief}"
    return shorten(label, {str(known.data.get("artifact")): known.name for known in names.values()})
