"""Accuracy, latency and size of the runs of a benchmark; latency and size where no accuracy was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeai.report.bench_runs import RunView
from edgeai.report.plots.scale import linear_scale, log_scale
from edgeai.report.plots.scatter import Axis, Mark, front_of, scatter
from edgeai.report.wording import ERROR_METRICS, SHARE_METRICS, metric_words, score_words, size_words, time_words

TOP, FLOOR = 28.0, 330.0
SAME_RADIUS = 9.0


def run_pareto_plot(runs: Sequence[RunView]) -> str | None:
    """Return the plot over all runs of one sample per call; `None` when fewer than two have what it takes."""
    single = [run for run in runs if run.median and (run.data.get("batch") or 1) == 1]
    scored = [run for run in single if (run.data.get("accuracy") or {}).get("score") is not None]
    if len(scored) >= 2:
        return _scored(scored)
    sized = [run for run in single if run.data.get("size_bytes")]
    return _sized(sized) if len(sized) >= 2 and len({run.name for run in sized}) > 1 else None


def _latency_axis(runs: Sequence[RunView]) -> Axis:
    scale = log_scale([run.median or 0.0 for run in runs], start=15, end=95)
    return Axis(
        scale=scale,
        ticks=[(tick, time_words(tick)) for tick in scale.ticks()],
        caption="median latency of one call, left is faster",
    )


def _scored(runs: Sequence[RunView]) -> str:
    metric = str(runs[0].data["accuracy"].get("metric") or "")
    runs = [run for run in runs if str(run.data["accuracy"].get("metric") or "") == metric]
    lower_is_better = metric in ERROR_METRICS
    scores = [float(run.data["accuracy"]["score"]) for run in runs]
    ends = (TOP + 24, FLOOR - 24) if lower_is_better else (FLOOR - 24, TOP + 24)
    scale = linear_scale(scores, start=ends[0], end=ends[1])
    most = 1.0 if metric in SHARE_METRICS else math.inf
    ticks = [(tick, _score_tick(tick, metric)) for tick in scale.ticks(count=5) if tick <= most + 1e-9]
    largest = max(run.data.get("size_bytes") or 1 for run in runs)
    marks = [
        _mark(run, score, 5 + 15 * math.sqrt((run.data.get("size_bytes") or 0) / largest), score_words(score, metric))
        for run, score in zip(runs, scores, strict=True)
    ]
    sign = 1 if lower_is_better else -1
    front = [(a, sign * b) for a, b in front_of([(mark.x, sign * mark.y) for mark in marks])]
    return scatter(
        marks,
        x=_latency_axis(runs),
        y=Axis(scale=scale, ticks=ticks, caption=f"{metric_words(metric)}, up is better"),
        front=front,
        top=TOP,
        floor=FLOOR,
        title="Accuracy, latency and size of every run",
    )


def _score_tick(value: float, metric: str) -> str:
    return f"{round(value * 100, 3):g} %" if metric in SHARE_METRICS else f"{value:.4g}"


def _sized(runs: Sequence[RunView]) -> str:
    scale = log_scale([run.data["size_bytes"] for run in runs], start=FLOOR - 24, end=TOP + 24)
    marks = [_mark(run, float(run.data["size_bytes"]), SAME_RADIUS, "") for run in runs]
    return scatter(
        marks,
        x=_latency_axis(runs),
        y=Axis(
            scale=scale, ticks=[(tick, size_words(tick)) for tick in scale.ticks()], caption="size, down is smaller"
        ),
        front=front_of([(mark.x, mark.y) for mark in marks]),
        top=TOP,
        floor=FLOOR,
        title="Latency and size of every run",
    )


def _mark(run: RunView, y: float, radius: float, score: str) -> Mark:
    parts = [f"{run.number} {run.label}: {time_words(run.median)} on {run.ran_on}", score]
    parts.append(size_words(run.data["size_bytes"]) if run.data.get("size_bytes") else "")
    return Mark(
        number=run.number,
        x=run.median or 1.0,
        y=y,
        radius=radius,
        kind=run.format,
        words=", ".join(part for part in parts if part),
    )
