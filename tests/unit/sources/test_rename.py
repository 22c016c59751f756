"""Names at the boundary are the source's; what is inside steps aside."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference

from edgeai_converters.sources.rename import rename_boundary


def _run(proto: onnx.ModelProto, **inputs: object) -> dict[str, np.ndarray]:
    onnx.checker.check_model(proto)
    outputs = onnx.reference.ReferenceEvaluator(proto).run(None, {n: np.float32(x) for n, x in inputs.items()})
    return dict(zip((value.name for value in proto.graph.output), outputs, strict=True))


def test_an_inner_value_steps_aside() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[2] a) => (float[2] c)
        { y = Neg(a) c = Exp(y) }"""
    proto = onnx.parser.parse_model(text)
    rename_boundary(proto, {"a": "x"}, ["y"])
    np.testing.assert_allclose(_run(proto, x=[0, 1])["y"], np.exp([0.0, -1.0]), rtol=1e-6)


def test_an_output_that_is_an_input_or_stands_twice_gets_a_name_of_its_own() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[2] a) => (float[2] a, float[2] b, float[2] b)
        { b = Neg(a) }"""
    proto = onnx.parser.parse_model(text)
    rename_boundary(proto, {"a": "x"}, ["same", "first", "second"])
    outputs = _run(proto, x=[1, 2])
    assert {name: list(array) for name, array in outputs.items()} == {
        "same": [1, 2],
        "first": [-1, -2],
        "second": [-1, -2],
    }


def test_a_graph_inside_follows() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (bool flag, float[2] a) => (float[2] c) {
        c = If(flag) <then_branch = t () => (float[2] p) { p = Neg(a) },
                      else_branch = e () => (float[2] q) { q = Exp(a) }> }"""
    proto = onnx.parser.parse_model(text)
    rename_boundary(proto, {"flag": "flag", "a": "x"}, ["y"])
    onnx.checker.check_model(proto)
    (outputs,) = onnx.reference.ReferenceEvaluator(proto).run(
        None, {"flag": np.array(True), "x": np.array([1, 2], np.float32)}
    )
    assert list(outputs) == [-1, -2]
