"""Before the work: what a format does not have is named, with its node and a rewrite where one is known."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from edgeai.model_diagnosis import diagnose_model
from edgeai_converters.convert.preflight import REWRITES, preflight
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify


def _graph(body: str, *, inputs: str, outputs: str) -> ir.Model:
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => ({outputs}) {{ {body} }}'
    return simplify(prepare_graph(onnx.parser.parse_model(text)))[0]


@pytest.mark.openvino
def test_openvino_names_every_node_its_reader_has_no_rule_for() -> None:
    pytest.importorskip("openvino")
    model = _graph("a = Neg(x) d = Det(a) y = Bernoulli(d)", inputs="float[2,3,3] x", outputs="float[2] y")
    found = preflight(model, "openvino")
    assert [each.operation for each in found.obstacles] == ["Det", "Bernoulli"]
    assert "rule" in found.obstacles[0].reason
    assert [each.rewrite for each in found.obstacles] == [REWRITES["Det"], REWRITES["Bernoulli"]]


@pytest.mark.openvino
def test_openvino_has_nothing_against_a_network_it_runs() -> None:
    pytest.importorskip("openvino")
    model = _graph("a = Relu(x) y = Softmax(a)", inputs="float[2,3] x", outputs="float[2,3] y")
    assert preflight(model, "openvino").obstacles == ()


@pytest.mark.litert
def test_tflite_names_the_node_and_says_what_to_do() -> None:
    pytest.importorskip("ai_edge_litert")
    model = _graph("a = Neg(x) y = Det(a)", inputs="float[2,3,3] x", outputs="float[2] y")
    found = preflight(model, "tflite")
    assert [(each.operation, each.rewrite) for each in found.obstacles] == [("Det", REWRITES["Det"])]
    assert found.transposes is None


@pytest.mark.litert
def test_transposes_and_free_dimensions_are_told() -> None:
    pytest.importorskip("ai_edge_litert")
    model = _graph("y = MaxPool<kernel_shape = [2, 2]>(x)", inputs="float[N,3,8,8] x", outputs="float[N,3,7,7] y")
    found = preflight(model, "tflite")
    assert (found.obstacles, found.transposes, found.free) == ((), 2, {"x": (0,)})


def test_a_source_that_can_not_be_read_is_one_failed_check(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"nothing")
    diagnosis = diagnose_model(path, formats=["onnx"])
    assert not diagnosis.ok
    assert [check.name for check in diagnosis.checks] == ["source"]


@pytest.mark.parametrize(("shapes", "state"), [({}, "warning"), ({"x": (1, 7)}, "ok")], ids=["free", "fixed"])
def test_a_free_axis_beside_the_batch_is_worth_a_word(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], state: str
) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N,T] x) => (float[N,T] y) { y = Relu(x) }'
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    checks = diagnose_model(path, formats=["onnx"], input_shapes=shapes).checks
    found = [check.state for check in checks if check.name == "free dimensions"]
    assert found == ([state] if state == "warning" else [])
    assert next(check.state for check in checks if check.name == "onnx") == "ok"


def test_every_rewrite_is_a_sentence_for_an_operator_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert set(REWRITES) - known == set()
    assert min(len(words) for words in REWRITES.values()) > 10
