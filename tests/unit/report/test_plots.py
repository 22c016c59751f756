"""The plots: well-formed SVG whose marks lie where the numbers say."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from edgeai.report.plots.candidates import drop_limits, drop_plot, pareto_plot
from edgeai.report.plots.scale import Scale, log_ticks, nice_ticks


def _circles(svg: str | None, kind: str) -> dict[str, tuple[float, float, float]]:
    """Return centre and radius (of a square: its width) of the marks of a kind, by the candidate's id."""
    assert svg is not None
    found = {}
    for group in ET.fromstring(svg).iter("g"):
        title = group.find("title")
        circle = next((each for each in group if each.tag in ("circle", "rect")), None)
        if title is not None and circle is not None and kind in circle.attrib["class"]:
            keys = ("cx", "cy", "r") if circle.tag == "circle" else ("x", "y", "width")
            places = [float(circle.attrib[key].rstrip("%")) for key in keys]
            found[str(title.text).split(":")[0]] = tuple(places)
    return found  # type: ignore[return-value]


def test_faster_candidate_is_further_left(document: dict[str, Any]) -> None:
    marks = _circles(pareto_plot(document), "mark")
    assert marks["tflite-int8"][0] < marks["onnx-int8"][0] < marks["onnx-dynamic_int8"][0]


def test_smaller_drop_is_further_up(document: dict[str, Any]) -> None:
    marks = _circles(pareto_plot(document), "mark")
    assert marks["onnx-float32"][1] < marks["tflite-int8"][1] < marks["onnx-int8"][1]


def test_smaller_artifact_has_the_smaller_circle(document: dict[str, Any]) -> None:
    marks = _circles(pareto_plot(document), "mark")
    assert marks["tflite-int8"][2] < marks["tflite-float16"][2] < marks["tflite-float32"][2]


@pytest.mark.parametrize("plot", [pareto_plot, drop_plot])
def test_candidate_far_off_stays_inside_the_picture(document: dict[str, Any], plot: Any) -> None:
    svg = plot(document)
    root = ET.fromstring(svg)
    width, height = 100.0, float(root.attrib["height"])
    x, y, _ = _circles(svg, "mark" if plot is pareto_plot else "point")["openvino-int8"]
    assert 0 <= x <= width
    assert 0 <= y <= height


@pytest.mark.parametrize("plot", [pareto_plot, drop_plot])
def test_candidate_that_failed_is_left_out(document: dict[str, Any], plot: Any) -> None:
    assert "openvino-float16" not in plot(document)


@pytest.mark.parametrize("plot", [pareto_plot, drop_plot])
def test_plot_of_nothing_is_none(document: dict[str, Any], plot: Any) -> None:
    document["candidates"] = []
    assert plot(document) is None


@pytest.mark.parametrize("plot", [pareto_plot, drop_plot])
def test_one_candidate_without_a_budget_is_drawn(document: dict[str, Any], plot: Any) -> None:
    document |= {"candidates": [document["candidates"][4]], "budget": None, "pareto": []}
    ET.fromstring(plot(document))


@pytest.mark.parametrize("plot", [pareto_plot, drop_plot])
def test_budget_of_zero_is_drawn(document: dict[str, Any], plot: Any) -> None:
    document["budget"]["max_drop"] = 0.0
    ET.fromstring(plot(document))


def test_numbers_of_candidates_at_one_place_do_not_cover_each_other(document: dict[str, Any]) -> None:
    document["candidates"] = [document["candidates"][4] | {"id": str(index)} for index in range(6)]
    svg = ET.fromstring(pareto_plot(document) or "")
    numbers = [text for text in svg.iter("text") if text.attrib["class"] == "number"]
    spots = [(float(text.attrib["dx"]), float(text.attrib["y"])) for text in numbers]
    assert len(spots) == 6
    assert all(abs(a[0] - b[0]) > 15 or abs(a[1] - b[1]) > 12 for a, b in itertools.combinations(spots, 2))


def test_scale_maps_its_ends_and_clips() -> None:
    scale = Scale(low=1, high=100, start=10, end=30, logarithmic=True)
    assert [scale(value) for value in (0.5, 1, 10, 100, 1000)] == pytest.approx([10, 10, 20, 30, 30])


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.03), (0.0, 1e-4), (-5.0, 900.0)])
def test_ticks_are_inside_and_a_handful(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 9
    assert low - 1e-12 <= min(ticks) <= max(ticks) <= high + 1e-12


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.2), (0.01, 3.0), (0.001, 1e4)])
def test_log_ticks_are_inside_and_a_handful(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 10
    assert low <= min(ticks) <= max(ticks) <= high


def test_far_drop_does_not_stretch_the_axis() -> None:
    assert drop_limits([0.0, 0.001, 0.6], 0.01)[1] < 0.03
