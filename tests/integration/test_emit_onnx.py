"""The ONNX emitter: what is written runs in ONNX Runtime as the graph does, in the form the engine runs best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.graph.boundary import draw_inputs, input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights

pytestmark = pytest.mark.onnxruntime


@pytest.fixture
def model() -> ir.Model:
    """Return Conv → pool → Gemm with 16 × 16 × 3 × 3 and 256 × 300 weights, the second transposed as PyTorch has it."""
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,16,8,8] x) => (float[N,300] z) {
        c = Conv<pads = [1, 1, 1, 1]>(x, w, b) r = Relu(c) p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(r)
        f = Flatten(p) z = Gemm<transB = 1>(f, k, m) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (16, 16, 3, 3), "b": (16,), "k": (300, 256), "m": (300,)}.items():
        array = random.normal(size=shape).astype(np.float32) / 10
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return prepare_graph(proto)


def _optimized(path: Path, tmp_path: Path) -> Counter[str]:
    """Return the operators that ONNX Runtime is left with after its optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


def _difference(model: ir.Model, path: Path) -> float:
    inputs = draw_inputs(input_specs(model), n=4, seed=0)
    expected, got = GraphRunner(model).run(inputs)["z"], GraphRunner(path).run(inputs)["z"]
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def test_a_float_graph_is_written_as_it_is(model: ir.Model, tmp_path: Path) -> None:
    artifact = emit_onnx(model, tmp_path, stem="net")
    assert artifact.files == (tmp_path / "net.onnx",)
    assert artifact.operators == {"Conv": 1, "Relu": 1, "AveragePool": 1, "Flatten": 1, "Gemm": 1}
    assert [(spec.name, spec.shape) for spec in artifact.outputs] == [("z", (None, 300))]
    assert _difference(model, artifact.path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]


def test_the_same_graph_gives_the_same_bytes(model: ir.Model, tmp_path: Path) -> None:
    first = emit_onnx(model, tmp_path).path.read_bytes()
    assert emit_onnx(model, tmp_path).path.read_bytes() == first


@pytest.mark.parametrize(
    ("store", "share"),
    [(lambda m: store_float16(m), 0.55), (lambda m: store_int8_weights(m, format="onnx"), 0.32)],
    ids=["float16", "int8"],
)
def test_stored_weights_are_small_in_the_file_and_cost_nothing_when_run(
    model: ir.Model, tmp_path: Path, store: Callable[[ir.Model], Any], share: float
) -> None:
    whole = emit_onnx(model, tmp_path, stem="float").size_bytes
    stored, changed = store(model)
    artifact = emit_onnx(stored, tmp_path)
    assert changed
    assert artifact.size_bytes < share * whole
    left = _optimized(artifact.path, tmp_path)
    assert not {"Cast", "Mul", "DequantizeLinear"} & set(left)
    assert _difference(stored, artifact.path) < 0.02


def test_large_dense_weights_are_multiplied_in_int8(model: ir.Model, tmp_path: Path) -> None:
    artifact = emit_onnx(store_int8_weights(model, format="onnx")[0], tmp_path)
    assert artifact.operators["DequantizeLinear"] == 1
    assert _optimized(artifact.path, tmp_path)["MatMulNBits"] == 1


def test_a_quantized_layer_keeps_its_quantize_and_dequantize_nodes(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,4,5,5] x) => (float[N,4,5,5] z) {
        q = QuantizeLinear(x, s, o) d = DequantizeLinear(q, s, o) w = DequantizeLinear<axis = 0>(k, t)
        c = Conv(d, w) e = QuantizeLinear(c, s, o) z = DequantizeLinear(e, s, o) }"""
    proto = onnx.parser.parse_model(text)
    constants = {
        "s": np.array(0.1, np.float32),
        "o": np.array(128, np.uint8),
        "t": np.full(4, 0.01, np.float32),
        "k": np.random.default_rng(0).integers(-127, 127, (4, 4, 1, 1)).astype(np.int8),
    }
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    artifact = emit_onnx(prepare_graph(proto), tmp_path)
    assert artifact.operators == {"QuantizeLinear": 2, "DequantizeLinear": 3, "Conv": 1}


def test_an_invalid_graph_is_not_written(model: ir.Model, tmp_path: Path) -> None:
    from edgeai_runtime.errors import ModelError

    next(iter(model.graph)).op_type = "Konv"
    with pytest.raises(ModelError, match="no valid ONNX"):
        emit_onnx(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
