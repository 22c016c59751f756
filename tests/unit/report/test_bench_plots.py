"""The pictures of a benchmark: marks lie where the numbers say."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from edgeai.report.bench_runs import RunView, run_views
from edgeai.report.plots.comparisons import comparison_chart
from edgeai.report.plots.distributions import distribution_chart
from edgeai.report.plots.memory import memory_chart
from edgeai.report.plots.operators import LONGEST, operator_charts
from edgeai.report.plots.pareto import run_pareto_plot
from edgeai.report.plots.phases import phase_chart
from edgeai.report.plots.scatter import NARROW, WIDE, free_spot, front_of
from edgeai.report.plots.sustained import sustained_charts
from edgeai.report.plots.sweeps import sweep_charts
from edgeai.report.plots.yardsticks import yardstick_chart


def view(**changes: Any) -> RunView:
    """Return one run; `median` sets its latency."""
    return views([changes])[0]


def views(changes: list[dict[str, Any]]) -> list[RunView]:
    runs = []
    for change in changes:
        median = change.pop("median", 1.0)
        latency = {"median": median, "p90": median * 1.2, "p99": median * 2}
        base = {"artifact": "a.onnx", "format": "onnx", "delegate": "onnxruntime:cpu", "threads": 1, "batch": 1}
        runs.append(base | {"latency_ms": latency, "throughput_per_s": 1000 / median} | change)
    return run_views({"runs": runs})


def places(svg: str, tag: str, kind: str, key: str = "cx") -> list[float]:
    """Return where the marks of a kind stand, in percent."""
    return [
        float(mark.attrib[key].rstrip("%"))
        for mark in ET.fromstring(svg).iter()
        if mark.tag.endswith(tag) and kind in mark.attrib.get("class", "").split()
    ]


def test_slower_run_has_its_median_further_right() -> None:
    chart = distribution_chart(views([{"median": 1.0}, {"median": 2.0}]))
    assert chart is not None
    fast, slow = (places(row.svg, "line", "mark-median", "x1")[0] for row in chart.rows)
    assert fast < slow


def test_marks_of_one_run_stand_in_order() -> None:
    chart = distribution_chart([view()])
    assert chart is not None
    at = [places(chart.rows[0].svg, "line", f"mark-{kind}", "x1")[0] for kind in ("median", "p90", "p99")]
    assert at == sorted(at)


def test_histogram_is_highest_where_most_calls_are() -> None:
    histogram = {"edges_ms": [0.5, 1.0, 2.0, 4.0], "counts": [1, 8, 2]}
    chart = distribution_chart([view(latency_ms={"median": 1.4, "p90": 2.0, "p99": 3.9, "histogram": histogram})])
    assert chart is not None
    hill = next(mark for mark in ET.fromstring(chart.rows[0].svg).iter() if mark.tag.endswith("polygon"))
    corners = [tuple(map(float, pair.split(","))) for pair in hill.attrib["points"].split()]
    middle = [pair for pair in corners if pair[1] == min(y for _, y in corners)]
    assert corners[0][0] < middle[0][0] < middle[1][0] < corners[-1][0]


def test_comparison_lies_left_of_one_when_faster_and_the_band_is_around_one() -> None:
    runs = views([{"label": "a"}, {"label": "b"}])
    pair = {"a": "b", "b": "a", "ratio": 0.5, "ci95": [0.45, 0.55], "verdict": "faster"}
    chart = comparison_chart([pair, pair | {"ratio": 1.5, "ci95": [1.4, 1.6], "verdict": "slower"}], runs)
    assert chart is not None
    left, right = (places(row.svg, "circle", "point")[0] for row in chart.rows)
    (one,) = set(places(chart.rows[0].svg, "line", "zero", "x1"))
    (band,), (width,) = (places(chart.rows[0].svg, "rect", "band", key) for key in ("x", "width"))
    assert left < band < one < band + width < right
    assert [row.value for row in chart.rows] == ["2× faster", "1.5× slower"]


def test_ratio_beyond_the_axis_has_an_arrow() -> None:
    pair = {"a": "x", "b": "y", "ratio": 40.0, "ci95": [30.0, 50.0], "verdict": "slower"}
    chart = comparison_chart([pair], [])
    assert chart is not None
    assert "\N{RIGHTWARDS ARROW}" in chart.rows[0].svg


def test_phases_add_up_to_the_first_answer() -> None:
    phases = {"process_start_ms": 10.0, "import_ms": 20.0, "load_ms": 5.0, "compile_cold_ms": 40.0, "first_ms": 5.0}
    chart = phase_chart([view(phases=phases | {"compile_cached_ms": 10.0, "warm_ms": 1.0})])
    assert chart is not None
    assert [row.value for row in chart.rows] == ["80 ms", "50 ms"]
    starts = places(chart.rows[0].svg, "rect", "phase-1", "x")
    widths = places(chart.rows[0].svg, "rect", "phase-0", "width")
    assert starts[0] == pytest.approx(1 + widths[0], abs=0.05)


def test_longest_operations_come_first_and_the_rest_is_one_bar() -> None:
    operators = [{"name": f"n{k}", "op": "Conv", "device": "GPU.0", "ms": float(k)} for k in range(1, LONGEST + 5)]
    (chart,) = operator_charts([view(operators={"method": "engine", "operators": operators, "sum_ms": 136.0})])
    assert chart.rows[0].note == f"n{LONGEST + 4}"
    assert len(chart.rows) == LONGEST + 1
    assert chart.rows[-1].label == "the other 4"
    assert chart.rows[-1].value == "10 ms"
    assert {row.tag for row in chart.rows} == {"gpu"}


def test_memory_rows_share_their_axis() -> None:
    runs = views([{"memory": {"peak_mib": 50.0}}, {"memory": {"peak_mib": 100.0, "curve": [[0.0, 10.0], [1.0, 90.0]]}}])
    chart = memory_chart(runs)
    assert chart is not None
    assert [row.value for row in chart.rows] == ["50 MiB", "100 MiB"]
    assert "polyline" in chart.rows[1].svg
    assert "polyline" not in chart.rows[0].svg


def test_sustained_run_shows_only_what_the_system_told() -> None:
    points = [{"at_s": float(k), "median_ms": 1.0, "p99_ms": 2.0, "clock_mhz": 3000.0 + k} for k in range(5)]
    (chart,) = sustained_charts([view(sustained={"seconds": 5.0, "points": points, "throttled": False, "drift": 1.0})])
    assert [words.split(":")[0] for words, _ in chart.panels] == ["latency", "clock"]
    assert chart.verdict.startswith("not throttled")


def test_sweep_needs_two_values_of_one_artifact_and_delegate() -> None:
    runs = views([{"threads": 1}, {"threads": 2, "median": 0.6}, {"threads": 4, "delegate": "other:cpu"}])
    (chart,) = sweep_charts(runs, "threads")
    assert len(chart.lines) == 1
    assert len(places(chart.latency, "circle", "dot")) == 2
    assert sweep_charts(runs, "batch") == []


def test_pareto_puts_the_better_score_higher_and_the_larger_error_lower() -> None:
    def heights(metric: str) -> list[float]:
        scores = [{"accuracy": {"metric": metric, "score": s}, "size_bytes": 9} for s in (0.5, 0.9)]
        return places(run_pareto_plot(views(scores)) or "", "rect", "mark", "y")

    assert heights("top1")[0] > heights("top1")[1]
    assert heights("mae")[0] < heights("mae")[1]


def test_pareto_without_accuracy_is_of_latency_and_size() -> None:
    runs = views([{"size_bytes": 100, "median": 3.0}, {"artifact": "b.onnx", "size_bytes": 1000}])
    svg = run_pareto_plot(runs)
    assert svg is not None
    assert "Latency and size" in svg
    small, large = places(svg, "rect", "mark", "y")
    assert small > large


def test_front_holds_what_nothing_beats() -> None:
    assert front_of([(1, 5), (2, 2), (3, 3), (4, 1), (2, 2)]) == [(1, 5), (2, 2), (4, 1)]


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_numbers_of_circles_at_one_place_do_not_cover_each_other(width: float) -> None:
    spots: list[tuple[float, float, float]] = []
    for index in range(20):
        spots.append(free_spot((40.0 + 0.1 * index, 100.0), spots))
    at = [(x * width / 100 + beside, y) for x, beside, y in spots]
    assert all(abs(a[0] - b[0]) > 15 or abs(a[1] - b[1]) > 12 for a, b in itertools.combinations(at, 2))


def test_yardstick_row_tells_the_share_of_calm_rounds_of_its_runs() -> None:
    disturbed = [0.05] * 40 + [0.1] * 20 + [0.05] * 40
    both = [
        {"group": 1, "name": "squares/1", "rounds_ms": [0.05] * 100},
        {"group": 1, "name": "copy/1", "rounds_ms": disturbed},
    ]
    chart = yardstick_chart(both, views([{"group": 0}, {"group": 1, "threads": 2}, {"group": 1, "threads": 4}]))
    assert chart is not None
    (row,) = chart.rows
    assert (row.label, row.value, row.detail) == ("runs 2 to 3", "78 % calm", "of 100 rounds")
    assert yardstick_chart([], views([{}])) is None


@pytest.mark.parametrize(("shape", "format_"), [("circle", "tflite"), ("rect", "onnx"), ("rect", "openvino")])
def test_formats_have_shapes_beside_their_colours(shape: str, format_: str) -> None:
    runs = views([{"size_bytes": 100, "format": format_}, {"artifact": "b", "size_bytes": 1000, "format": format_}])
    svg = run_pareto_plot(runs) or ""
    assert len(places(svg, shape, "mark", "y" if shape == "rect" else "cy")) == 2
    assert ("rotate" in svg) == (format_ == "openvino")


def test_memory_that_hardly_grows_stays_flat_in_a_sustained_run() -> None:
    points = [{"at_s": float(at), "median_ms": 1.0, "p99_ms": 1.2, "rss_mib": 80 + 0.1 * at} for at in range(11)]
    (chart,) = sustained_charts(views([{"sustained": {"seconds": 10.0, "points": points, "throttled": None}}]))
    drawn = dict(chart.panels)["resident memory"]
    (line,) = ET.fromstring(drawn).iter("polyline")
    heights = [float(pair.split(",")[1]) for pair in line.attrib["points"].split()]
    assert max(heights) - min(heights) < 8
    assert "80 MiB" in drawn
