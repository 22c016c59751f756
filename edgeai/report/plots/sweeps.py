"""The same artifact with more threads, or with larger batches: latency and throughput as lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeai.report.bench_runs import RunView
from edgeai.report.bench_words import interval_words, rate_words
from edgeai.report.plots.panel import LEFT, RIGHT, Series, panel
from edgeai.report.plots.scale import Scale, log_scale
from edgeai.report.wording import time_words

HEIGHT = 170.0
COLOURS = 6
"""Lines that are told apart by colour; further ones begin again with another dash."""


@dataclass(frozen=True, kw_only=True)
class SweepChart:
    """Both panels of one artifact (of all when `name` is empty), and their lines `(colour class, words)`."""

    name: str
    latency: str
    throughput: str
    lines: tuple[tuple[str, str], ...]


def sweep_charts(runs: Sequence[RunView], over: Literal["threads", "batch"]) -> list[SweepChart]:
    """Return the charts of what was measured with more than one number of threads, or size of batches.

    All lines are in one chart as long as their colours differ, else each artifact has a chart of its own.
    """
    lines: dict[tuple[str, str], list[RunView]] = defaultdict(list)
    for run in runs:
        if run.median and run.data.get(over):
            lines[run.brief, _line_words(run, over)].append(run)
    swept = {key: each for key, each in lines.items() if len({run.data[over] for run in each}) > 1}
    if not swept:
        return []
    names = list(dict.fromkeys(name for name, _ in swept))
    if len(swept) <= COLOURS and len(names) > 1:
        return [_chart("", {f"{name}, {words}": each for (name, words), each in swept.items()}, over)]
    return [_chart(name, {words: each for (own, words), each in swept.items() if own == name}, over) for name in names]


def _line_words(run: RunView, over: str) -> str:
    """Return what two runs of one line have in common beside the artifact."""
    data, parts = run.data, [str(run.data.get("delegate") or run.data.get("engine") or "")]
    if over == "threads":
        parts.append(f"batch {data['batch']}" if (data.get("batch") or 1) > 1 else "")
    else:
        threads = data.get("threads") or 1
        parts.append(f"{threads} threads" if threads > 1 else "1 thread")
    scenario = data.get("scenario") or "single_stream"
    parts.append("" if scenario == "single_stream" else str(scenario).replace("_", " "))
    return ", ".join(part for part in parts if part)


def _chart(name: str, lines: dict[str, list[RunView]], over: str) -> SweepChart:
    kinds = {
        words: f"series-{index % COLOURS}{' dashed' if index >= COLOURS else ''}" for index, words in enumerate(lines)
    }
    ordered = {words: sorted(each, key=lambda run: run.data[over]) for words, each in lines.items()}
    values = sorted({int(run.data[over]) for each in ordered.values() for run in each})
    x = Scale(low=values[0], high=values[-1], start=LEFT + 2, end=RIGHT - 2, logarithmic=values[0] > 0)

    def count(value: float) -> str:
        if value != values[0]:
            return f"{value:g}"
        return f"batch {value:g}" if over == "batch" else f"{value:g} thread{'s' if value > 1 else ''}"

    def told(run: RunView) -> str:
        number = run.data[over]
        count = f"{number} thread{'s' if number > 1 else ''}" if over == "threads" else f"batch {number}"
        middle = f"{time_words(run.median)} ({interval_words(run.latency.get('median_ci95'))})"
        return f"{run.number} {run.label}, {count}: {middle}, {rate_words(run.data.get('throughput_per_s'))}"

    def drawn(value: Callable[[RunView], float | None], words: Callable[[float], str], title: str) -> str:
        series = [
            Series(kind=kinds[line], points=[(run.data[over], at, told(run)) for run in each if (at := value(run))])
            for line, each in ordered.items()
        ]
        y = log_scale([point[1] for each in series for point in each.points], start=HEIGHT - 8, end=22)
        return panel(
            series,
            x=x,
            y=y,
            x_words=count,
            y_words=words,
            height=HEIGHT,
            title=f"{name} {title} by {over}".strip(),
            x_ticks=values,
        )

    return SweepChart(
        name=name,
        latency=drawn(lambda run: run.median, time_words, "median latency"),
        throughput=drawn(lambda run: run.data.get("throughput_per_s"), rate_words, "throughput"),
        lines=tuple((kinds[words], words) for words in lines),
    )
