"""Int4 weights in their engines: the answers are right, the file is small, and a kernel for int4 computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.emit.openvino import emit_openvino
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.inspection.onnx import inspect_onnx
from edgeai_converters.inspection.openvino import inspect_openvino
from edgeai_converters.inspection.tflite import inspect_tflite
from edgeai_converters.quantize.gptq import gptq_weights
from edgeai_converters.quantize.store_int4_weights import store_int4_weights
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.sources.tflite import import_tflite
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Format

INPUTS, HIDDEN, ROWS = 512, 1024, 6

# The kernels round activations to 8 bits, each time a dense layer reads them: half a percent each.
MOST_ACTIVATION_ERROR = 0.02

# 4.5 bits a weight (5 where scales are float32) instead of 32, and everything else of the file.
MOST_SIZE = 0.17

NETWORK = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[N,{ROWS},{INPUTS}] x) => (float[N,{ROWS},{INPUTS}] y)
{{
    a = MatMul(x, w1)
    ab = Add(a, b1)
    r = Relu(ab)
    c = MatMul(r, w2)
    cc = Clip(c, zero, six)
    y = MatMul(cc, w3)
}}"""
GEMMS = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[N,{INPUTS}] x) => (float[N,{INPUTS}] y)
{{
    a = Gemm <transB = 1> (x, v1, b1)
    r = Relu(a)
    y = Gemm <transB = 1> (r, v2, b2)
}}"""
DELEGATES = {"onnx": "onnxruntime:cpu", "openvino": "openvino:cpu", "tflite": "litert:xnnpack"}
ENGINES = {"onnx": "onnxruntime", "openvino": "openvino", "tflite": "litert"}
EMIT: dict[Format, Callable[..., Any]] = {"onnx": emit_onnx, "openvino": emit_openvino, "tflite": emit_tflite}
FORMATS = [
    pytest.param("onnx", marks=pytest.mark.onnxruntime),
    pytest.param("openvino", marks=pytest.mark.openvino),
    pytest.param("tflite", marks=pytest.mark.litert),
]


def _network(text: str) -> ir.Model:
    random = np.random.default_rng(0)
    shapes = {"w1": (INPUTS, HIDDEN), "w2": (HIDDEN, INPUTS), "w3": (INPUTS, INPUTS)}
    shapes |= {"v1": (HIDDEN, INPUTS), "v2": (INPUTS, HIDDEN)}
    arrays: dict[str, Any] = {"zero": np.float32(0), "six": np.float32(6)}
    arrays |= {name: random.normal(size=shape) / np.sqrt(INPUTS) for name, shape in shapes.items()}
    arrays |= {"b1": random.normal(size=HIDDEN), "b2": random.normal(size=INPUTS)}
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array, np.float32), name)
        for name, array in arrays.items()
        if name in read
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples(model: ir.Model, n: int = 2) -> NDArray[np.float32]:
    shape = (n, *(int(size) for size in model.graph.inputs[0].shape or () if isinstance(size, int)))
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def _open(format: Format, path: Path, delegate: str | None = None) -> Session:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino", "tflite": "ai_edge_litert"}[format])
    return get_engine(ENGINES[format]).open(path, delegate=delegate or DELEGATES[format], threads=1, options={})


def _error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", [NETWORK, GEMMS], ids=["products", "gemms"])
@pytest.mark.parametrize("group", [0, 32, 128])
def test_the_engine_answers_as_the_graph_with_int4_weights(
    tmp_path: Path, format: Format, text: str, group: int
) -> None:
    model = _network(text)
    stored, changed = store_int4_weights(model, format=format, group=group)
    x = _samples(model)
    wanted = GraphRunner(stored).run({"x": x})["y"]
    artifact = EMIT[format](stored, tmp_path)
    assert changed
    assert _error(_open(format, artifact.path).run([x])[0], wanted) < MOST_ACTIVATION_ERROR
    assert _error(GraphRunner(model).run({"x": x})["y"], wanted) > MOST_ACTIVATION_ERROR  # int4 is seen at all


@pytest.mark.parametrize("format", FORMATS)
def test_the_file_holds_four_bits_a_weight(tmp_path: Path, format: Format) -> None:
    model = _network(NETWORK)
    files = EMIT[format](store_int4_weights(model, format=format)[0], tmp_path).files
    floats = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    assert sum(file.stat().st_size for file in files) < MOST_SIZE * floats


@pytest.mark.parametrize("format", FORMATS)
def test_inspecting_the_file_says_int4(tmp_path: Path, format: Format) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino", "tflite": "ai_edge_litert"}[format])
    path = EMIT[format](store_int4_weights(_network(GEMMS), format=format)[0], tmp_path).path
    inspect = {"onnx": inspect_onnx, "openvino": inspect_openvino, "tflite": inspect_tflite}[format]
    assert inspect(path).precision == "int4"


@pytest.mark.onnxruntime
@pytest.mark.parametrize("text", [NETWORK, GEMMS], ids=["products", "gemms"])
@pytest.mark.parametrize("store", [store_int4_weights, store_int8_weights], ids=["int4", "int8"])
def test_onnx_runtime_multiplies_in_its_narrow_kernel_also_before_an_activation(
    tmp_path: Path, text: str, store: Callable[..., tuple[ir.Model, bool]]
) -> None:
    ort = pytest.importorskip("onnxruntime")
    path = emit_onnx(store(_network(text), format="onnx")[0], tmp_path).path
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    left = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert "DequantizeLinear" not in left
    assert left.count("MatMulNBits") >= 2


@pytest.mark.openvino
def test_openvino_keeps_the_weights_narrow_while_it_runs(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    path = emit_openvino(store_int4_weights(_network(GEMMS), format="openvino")[0], tmp_path).path
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    nodes = {str(node.get_rt_info()["layerType"].value): node for node in compiled.get_runtime_model().get_ops()}
    weights = nodes["FullyConnected"].input(1).get_element_type().get_type_name()
    assert weights in ("i4", "u4")


@pytest.mark.litert
def test_xnnpack_takes_every_int4_layer(tmp_path: Path) -> None:
    session = _open("tflite", emit_tflite(store_int4_weights(_network(GEMMS), format="tflite")[0], tmp_path).path)
    assert {(o.op_type, o.delegate) for o in session.placement().operations} == {("FULLY_CONNECTED", "litert:xnnpack")}


@pytest.mark.litert
def test_without_xnnpack_litert_is_right_only_with_a_scale_per_channel(tmp_path: Path) -> None:
    model = _network(GEMMS)
    x = _samples(model)
    errors = {}
    for group in (0, 32):
        stored = store_int4_weights(model, format="tflite", group=group)[0]
        session = _open("tflite", emit_tflite(stored, tmp_path, stem=f"g{group}").path, "litert:reference")
        errors[group] = _error(session.run([x])[0], GraphRunner(stored).run({"x": x})["y"])
    assert errors[0] < MOST_ACTIVATION_ERROR
    assert errors[32] > 10 * MOST_ACTIVATION_ERROR  # when this fails, the limit in INT4_SUPPORT can go


@pytest.mark.litert
@pytest.mark.parametrize("group", [0, 32])
def test_a_tflite_file_with_int4_weights_is_read_back(tmp_path: Path, group: int) -> None:
    stored = store_int4_weights(_network(GEMMS), format="tflite", group=group)[0]
    x = _samples(stored)
    read = import_tflite(emit_tflite(stored, tmp_path).path, workdir=tmp_path).model
    np.testing.assert_allclose(
        next(iter(GraphRunner(read).run({"x": x}).values())),
        GraphRunner(stored).run({"x": x})["y"],
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.onnxruntime
def test_gptq_computes_nearer_to_float_than_rounding_to_nearest_and_is_stored_exactly() -> None:
    model = _network(NETWORK)
    random = np.random.default_rng(2)
    mix = random.normal(size=(16, INPUTS)).astype(np.float32)  # inputs that hang together

    def draw() -> dict[str, NDArray[Any]]:
        return {
            "x": (random.normal(size=(32, ROWS, 16)) @ mix + random.normal(size=(32, ROWS, INPUTS)) / 4).astype("f4")
        }

    rounded, changed = gptq_weights(model, [draw() for _ in range(8)])
    fresh = draw()
    wanted = GraphRunner(model).run(fresh)["y"]
    nearest = store_int4_weights(model, format="onnx")[0]
    stored = store_int4_weights(rounded, format="onnx")[0]
    answers = {name: GraphRunner(each).run(fresh)["y"] for name, each in (("ours", stored), ("nearest", nearest))}
    assert changed
    assert _error(answers["ours"], wanted) < 0.6 * _error(answers["nearest"], wanted)
    np.testing.assert_allclose(answers["ours"], GraphRunner(rounded).run(fresh)["y"], rtol=1e-4, atol=1e-4)


@pytest.mark.onnxruntime
def test_gptq_in_several_rounds_needs_batches_that_can_be_gone_through_again() -> None:
    model = _network(GEMMS)
    batches = [{"x": _samples(model, 16)}]
    assert gptq_weights(model, iter(batches))[1]
    assert gptq_weights(model, batches, memory_bytes=1)[1]
    with pytest.raises(DataError, match="no calibration samples"):
        gptq_weights(model, iter(batches), memory_bytes=1)
