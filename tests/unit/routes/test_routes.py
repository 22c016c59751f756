"""The graph of routes as data: what leads where, in which order, and what is missing for it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

import edgeai_converters.routes as routes
from edgeai_converters.convert.gates import TOLERANCES
from edgeai_converters.routes import GRAPH, SIMPLE, STEPS, Route, Step, routes_for
from edgeai_converters.sources.table import SOURCES
from edgeai_converters.tools.table import TOOLS
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, Format

_FIDELITIES = ("exact", "rewritten", "guessed")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_has_a_route_to_every_format_and_ours_comes_first(kind: str, format: Format) -> None:
    found = routes_for(kind, format)
    assert found[0].steps[-1].tool == "edgeai"
    assert [step.end for step in found[0].steps] == [GRAPH, SIMPLE, format]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", SOURCES)
def test_routes_are_paths_from_the_source_to_the_format(kind: str, format: Format) -> None:
    for route in routes_for(kind, format):
        places = [route.steps[0].start, *(step.end for step in route.steps)]
        assert [step.start for step in route.steps] == places[:-1]
        assert (places[0], places[-1]) == (kind, format)
        assert len(set(places[1:])) == len(places) - 1


@pytest.mark.parametrize("kind", SOURCES)
def test_exact_comes_before_rewritten_before_guessed_and_the_cheaper_first(kind: str) -> None:
    order = [(_FIDELITIES.index(route.fidelity), route.cost_s) for route in routes_for(kind, "tflite")]
    assert order == sorted(order)


def test_a_route_is_as_faithful_as_its_worst_step_and_costs_their_sum() -> None:
    steps = (Step(start="onnx", end=GRAPH, cost_s=2), Step(start=GRAPH, end="tflite", cost_s=3, fidelity="guessed"))
    route = Route(kind="onnx", format="tflite", steps=steps)
    assert (route.fidelity, route.cost_s) == ("guessed", 5)


def test_a_tool_is_offered_only_for_precisions_it_writes() -> None:
    tools = {route.steps[-1].tool for route in routes_for("torch", "tflite", precision="dynamic_int8")}
    assert tools == {"edgeai"}


def test_a_new_step_makes_new_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Step(start="onnx", end="tflite", tool="mine", cost_s=0.1)
    monkeypatch.setattr(routes, "STEPS", (*STEPS, own))
    assert [route.steps[-1].tool for route in routes_for("onnx", "tflite")] == ["mine", "edgeai", "onnx2tf"]
    onward = [route.names for route in routes_for("onnx", "openvino")]
    assert ("onnx", "mine", "openvino reader") in onward


def test_what_is_not_installed_is_listed_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path))
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx2tf" else find_spec(name))
    (route,) = [route for route in routes_for("onnx", "tflite") if route.steps[-1].tool == "onnx2tf"]
    assert "onnx2tf" in route.missing
    assert route.install == "edgeai tools install onnx2tf"
    assert "needs onnx2tf" in route.state
    assert route.to_json()["steps"][-1]["runs_in"] == "nowhere"
    assert route.to_json()["steps"][-1]["missing"] == list(routes.missing_packages(route.steps[-1]))


def test_a_tool_in_its_managed_environment_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx2tf" else find_spec(name))
    monkeypatch.setattr(routes, "find_interpreter", lambda name: Path("/managed") / name)
    (route,) = [route for route in routes_for("onnx", "tflite") if route.steps[-1].tool == "onnx2tf"]
    assert route.missing == ()
    assert route.state == "ready, onnx2tf in an environment of its own"
    assert route.to_json()["steps"][-1]["runs_in"] == "managed"


@pytest.mark.parametrize(("kind", "format"), [("caffe", "onnx"), ("onnx", "coreml")])
def test_an_unknown_end_is_wrong_usage(kind: str, format: Format) -> None:
    with pytest.raises(UsageError, match="no route"):
        routes_for(kind, format)


@pytest.mark.parametrize("step", [step for step in STEPS if step.tool in TOOLS], ids=lambda step: step.tool)
def test_every_other_tool_says_what_it_needs_and_has_a_task(step: Step) -> None:
    assert step.packages
    assert step.install == f"edgeai tools install {step.tool}" or step.install.startswith("pip install")
    assert step.fidelity != "exact"
    module, _, function = TOOLS[step.tool].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_step_to_a_format_is_ours_or_in_the_table_of_tools() -> None:
    tools = {step.tool for step in STEPS if step.end in FORMATS}
    assert tools == {"edgeai", *TOOLS}


def test_tolerances_grow_with_what_is_rounded_and_say_why() -> None:
    ordered = [TOLERANCES[precision] for precision in ("float32", "float16", "dynamic_int8")]
    assert [each.max_rel for each in ordered] == sorted(each.max_rel for each in ordered)
    assert all(len(each.reason) > 40 for each in ordered)
