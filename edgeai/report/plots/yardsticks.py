"""How quiet the machine was: how much the yardsticks of each group of runs were slowed down, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.benchmarking.yardstick import CALM, calm_rounds, slowness, undisturbed_ms
from edgeai.report.bench_runs import RunView
from edgeai.report.bench_words import share_words
from edgeai.report.plots.rows import ChartRow, RowChart, axis_strip
from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import curve, element, line, percent, stretched, strip, text
from edgeai.report.wording import TIMES

HEIGHT = 40.0
MOST = 2.0
"""Times the undisturbed time; slower rounds are drawn there."""

POINTS = 300
"""A curve has about as many at most; of more rounds the slowest of each stretch is drawn."""


def yardstick_chart(yardsticks: Sequence[Mapping[str, Any]], runs: Sequence[RunView]) -> RowChart | None:
    """Return one row per group of runs that a yardstick was called with; `None` when there is none."""
    groups: dict[Any, dict[str, list[float]]] = {}
    for each in yardsticks:
        if each.get("rounds_ms"):
            groups.setdefault(each.get("group") or 0, {})[str(each.get("name"))] = list(each["rounds_ms"])
    if not groups:
        return None
    x = Scale(low=0.0, high=1.0, start=1, end=98)
    rows = tuple(
        _row(rounds, [run for run in runs if (run.data.get("group") or 0) == group]) for group, rounds in groups.items()
    )
    caption = (
        f"rounds in their order; height is the slower yardstick's time over that undisturbed, up to {MOST:g}{TIMES}"
    )
    return RowChart(
        rows=rows, axis=axis_strip(x, [(0.0, "first round"), (1.0, "last round")], title=caption), caption=caption
    )


def _row(rounds_ms: Mapping[str, Sequence[float]], runs: Sequence[RunView]) -> ChartRow:
    slow = slowness(rounds_ms, {name: undisturbed_ms(rounds) for name, rounds in rounds_ms.items()})
    calm = float(calm_rounds(slow).mean())
    y = Scale(low=0.9, high=MOST, start=HEIGHT - 2, end=4)
    every = -(-len(slow) // POINTS)
    slowest = [float(max(slow[start : start + every])) for start in range(0, len(slow), every)]
    last = max(len(slowest) - 1, 1)
    points = [(1 + 97 * index / last, y(value)) for index, value in enumerate(slowest)]
    value, detail = f"{share_words(calm)} calm", f"of {len(slow):,} rounds"
    where = _runs_words(runs)
    parts = [
        element("rect", x="0%", y=y(CALM), width="100%", height=y.start - y(CALM), class_="band"),
        line("0%", y(1.0), "100%", y(1.0), "grid"),
        stretched(curve(points, "line plain"), height=HEIGHT),
        text(f"{MOST:g}{TIMES}", percent(100), 12, anchor="end", kind="tick faint"),
    ]
    title = f"{where}: {value} {detail}"
    return ChartRow(
        label=where,
        svg=strip(*parts, height=HEIGHT, title=title),
        value=value,
        detail=detail,
    )


def _runs_words(runs: Sequence[RunView]) -> str:
    """Return `run 3`, `runs 1 to 4`, or `7 runs from 2 on` where others lie between them."""
    numbers = sorted(int(run.number) for run in runs)
    if not numbers:
        return "no run"
    if len(numbers) == 1:
        return f"run {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"runs {numbers[0]} to {numbers[-1]}"
    return f"runs {', '.join(map(str, numbers))}" if len(numbers) <= 8 else f"{len(numbers)} runs from {numbers[0]} on"
