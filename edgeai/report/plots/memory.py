"""Resident memory over time, one row per run, all on the same two axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import RunView
from edgeai.report.bench_words import mib_words
from edgeai.report.plots.rows import ChartRow, RowChart, axis_strip
from edgeai.report.plots.scale import Scale, linear_scale
from edgeai.report.plots.svg import area, curve, element, grid, group, line, percent, stretched, strip, text
from edgeai.report.wording import time_words

HEIGHT = 64.0
LEVELS = (("before_mib", "before"), ("loaded_mib", "loaded"), ("steady_mib", "steady"), ("peak_mib", "peak"))


def memory_chart(runs: Sequence[RunView]) -> RowChart | None:
    """Return one row per run whose memory was watched; `None` when there is none.

    A run without a curve gets a bar per level that is known.
    """
    known = [(run, memory) for run in runs if (memory := run.data.get("memory")) and _highest(memory)]
    if not known:
        return None
    y = linear_scale([_highest(memory) for _, memory in known], start=HEIGHT - 4, end=6, zero=True)
    ends = [memory["curve"][-1][0] for _, memory in known if memory.get("curve")]
    x = linear_scale(ends or [1.0], start=1, end=98, zero=True)
    rows = tuple(
        ChartRow(
            number=run.number,
            label=run.brief,
            note=f"{run.where}",
            key=run.format,
            svg=_row(run, memory, x, y),
            value=mib_words(_highest(memory)),
            detail="at most",
        )
        for run, memory in known
    )
    caption = "seconds after the begin of a process that does nothing else; height is resident memory"
    words = [(tick, time_words(tick * 1000) if tick else "0") for tick in x.ticks()] if ends else []
    return RowChart(rows=rows, axis=axis_strip(x, words, title=caption), caption=caption)


def _highest(memory: Mapping[str, Any]) -> float:
    curve_ = [mib for _, mib in memory.get("curve") or ()]
    levels = [memory.get(key) for key, _ in LEVELS]
    return max([float(value) for value in (*curve_, *levels) if value is not None], default=0.0)


def _levels(memory: Mapping[str, Any]) -> str:
    return " · ".join(f"{words} {mib_words(memory[key])}" for key, words in LEVELS[:3] if memory.get(key) is not None)


def _row(run: RunView, memory: Mapping[str, Any], x: Scale, y: Scale) -> str:
    top = y.ticks(count=3)[-1]
    parts = [
        line("0%", y(top), "100%", y(top), "grid"),
        text(mib_words(top), "100%", y(top) - 2 if y(top) > 14 else y(top) + 12, anchor="end", kind="tick faint"),
    ]
    points = [(x(at), y(mib)) for at, mib in memory.get("curve") or ()]
    if points:
        surface = area(points, floor=y.start, kind=f"hill {run.format}")
        parts += [
            *grid(x, top=0, floor=HEIGHT),
            stretched(surface, curve(points, f"line {run.format}"), height=HEIGHT),
        ]
    else:
        for index, (key, words) in enumerate(LEVELS):
            if memory.get(key) is None:
                continue
            at = y(memory[key])
            bar = element(
                "rect", x=percent(2 + 24 * index), y=at, width="18%", height=y.start - at, class_=f"hill {run.format}"
            )
            parts.append(group(f"{words} {mib_words(memory[key])}", bar))
            parts.append(text(words, percent(11 + 24 * index), y.start - 4))
    parts.append(line("0%", y.start, "100%", y.start, "base"))
    return strip(*parts, height=HEIGHT, title=f"{run.label}: {_levels(memory)}, highest {mib_words(_highest(memory))}")
