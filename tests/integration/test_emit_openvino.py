"""The OpenVINO emitter: what is written runs in OpenVINO as the graph does, and integers stay integers in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.openvino import emit_openvino
from edgeai_converters.graph.boundary import draw_inputs, input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.errors import UnsupportedOperationError
from edgeai_runtime.loading import load

pytestmark = pytest.mark.openvino
pytest.importorskip("openvino")

_WEIGHTS = 32 * 32 * 9 + 32 * 10


@pytest.fixture
def model() -> ir.Model:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,32,8,8] pixels) => (float[N,10] scores) {
        c = Conv<pads = [1, 1, 1, 1]>(pixels, w, b) r = Relu(c) p = GlobalAveragePool(r)
        f = Reshape(p, t) scores = Gemm(f, k, m) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (32, 32, 3, 3), "b": (32,), "k": (32, 10), "m": (10,)}.items():
        array = random.normal(size=shape).astype(np.float32) / 10
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 32], np.int64), "t"))
    return prepare_graph(proto)


def _quantized(model: ir.Model, scheme: str) -> ir.Model:
    inputs = draw_inputs(input_specs(model), n=8, seed=0)
    ranges = collect_ranges(model, [inputs], methods=("minmax",)).tensors["minmax"]
    return insert_qdq(model, plan_quantization(model, ranges, SCHEMES[scheme]))[0]


def _stored(model: ir.Model, precision: str) -> ir.Model:
    match precision:
        case "float16":
            return store_float16(model)[0]
        case "dynamic_int8":
            return store_int8_weights(model, format="openvino")[0]
        case "int8":
            return _quantized(model, "openvino-u8s8")
        case _:
            return model


@pytest.mark.parametrize(
    ("precision", "bytes_per_weight", "difference"),
    [("float32", 4, 1e-5), ("float16", 2, 1e-3), ("dynamic_int8", 1, 1e-2), ("int8", 1, 0.05)],
)
def test_every_precision_runs_and_takes_the_bytes_it_should(
    model: ir.Model, tmp_path: Path, precision: str, bytes_per_weight: int, difference: float
) -> None:
    stored = _stored(model, precision)
    artifact = emit_openvino(stored, tmp_path, stem="net")
    assert [file.name for file in artifact.files] == ["net.xml", "net.bin"]
    assert (tmp_path / "net.bin").stat().st_size < _WEIGHTS * bytes_per_weight + 1500
    inputs = draw_inputs(input_specs(model), n=4, seed=0)
    expected = GraphRunner(stored).run(inputs)["scores"]
    with load(artifact.path, isolate=False, threads=1) as loaded:
        assert [spec.name for spec in (*loaded.inputs, *loaded.outputs)] == ["pixels", "scores"]
        (got,) = loaded.run_raw([inputs["pixels"]])
    assert np.abs(got - expected).max() / np.abs(expected).max() < difference


def test_no_shape_arithmetic_is_left(model: ir.Model, tmp_path: Path) -> None:
    artifact = emit_openvino(model, tmp_path)
    assert not {"ShapeOf", "Broadcast", "Range"} & set(artifact.operators)


def test_the_same_graph_gives_the_same_bytes(model: ir.Model, tmp_path: Path) -> None:
    stored = _stored(model, "int8")
    first = emit_openvino(stored, tmp_path).path.read_bytes()
    assert emit_openvino(stored, tmp_path).path.read_bytes() == first


def test_signed_activations_are_written_as_the_same_unsigned_numbers(model: ir.Model, tmp_path: Path) -> None:
    signed = _quantized(model, "onnx-s8s8")
    inputs = draw_inputs(input_specs(model), n=4, seed=0)
    expected = GraphRunner(signed).run(inputs)["scores"]
    with load(emit_openvino(signed, tmp_path).path, isolate=False, threads=1) as loaded:
        (got,) = loaded.run_raw([inputs["pixels"]])
    assert np.abs(got - expected).max() / np.abs(expected).max() < 0.05


def test_signed_integers_that_leave_the_graph_are_refused(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,4] x) => (int8[N,4] y)
        <float s = {0.1}, int8 z = {3}> { y = QuantizeLinear(x, s, z) }"""
    with pytest.raises(UnsupportedOperationError, match="misreads signed 8-bit"):
        emit_openvino(prepare_graph(onnx.parser.parse_model(text)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_operation_openvino_does_not_read_is_told(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,4,4] x) => (float[N] z)
        { z = Det(x) }"""
    with pytest.raises(UnsupportedOperationError, match=r"cannot read the graph.*Det"):
        emit_openvino(prepare_graph(onnx.parser.parse_model(text)), tmp_path)
    assert list(tmp_path.iterdir()) == []
