"""Embeddings in int8, in every engine: a quarter of the bytes, the same answers within the scale."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.recurrent_plan import lower_recurrent
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import FORMATS, Format

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.openvino]

WORDS, WIDTH, LENGTH, HIDDEN = 1500, 32, 6, 8
NETWORKS = {
    "dense": "e = Gather(table, words) h = MatMul(e, w) r = Relu(h) y = MatMul(r, w2)",
    "recurrent": "e = Gather(table, words) t = Transpose <perm = [1, 0, 2]> (e)"
    f" s, last = LSTM <hidden_size = {HIDDEN}> (t, W, R) y = MatMul(last, head)",
    "norm": "e = Gather(table, words) p = Add(e, places) n = LayerNormalization(p, ones) y = MatMul(n, w)",
}
OUTPUTS = {"dense": "float[1,6,2] y", "recurrent": "float[1,1,3] y", "norm": "float[1,6,24] y"}
SCHEME: dict[Format, str] = {"tflite": "tflite-int8", "onnx": "onnx-u8s8", "openvino": "openvino-u8s8"}
MOST_RELATIVE_ERROR = 0.04
Precision = Literal["dynamic", "static"]


def _network(name: str, *, outlier: bool = False) -> ir.Model:
    random = np.random.default_rng(0)
    table = random.normal(0, 1, (WORDS, WIDTH))
    table[3] *= 200 if outlier else 1
    constants = {
        "table": table,
        "w": random.normal(0, 0.2, (WIDTH, 24)),
        "w2": random.normal(0, 0.2, (24, 2)),
        "W": random.normal(0, 0.2, (1, 4 * HIDDEN, WIDTH)),
        "R": random.normal(0, 0.2, (1, 4 * HIDDEN, HIDDEN)),
        "head": random.normal(0, 0.4, (HIDDEN, 3)),
        "places": random.normal(0, 0.3, (1, LENGTH, WIDTH)),
        "ones": np.ones(WIDTH),
    }
    boundary = f"g (int64[1,{LENGTH}] words) => ({OUTPUTS[name]})"
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {boundary} {{ {NETWORKS[name]} }}')
    used = {each for node in proto.graph.node for each in node.input}
    for constant in used & constants.keys():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(constants[constant].astype(np.float32), constant))
    return prepare_graph(proto)


def _samples() -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, WORDS, (24, 1, LENGTH))


def _quantized(model: ir.Model, format: Format, precision: Precision) -> ir.Model:
    if precision == "dynamic":
        return store_int8_weights(model, format=format)[0]
    lowered, _ = lower_recurrent(model, format)
    batches = ({"words": sample} for sample in _samples())
    ranges = collect_ranges(lowered, batches, methods=("minmax",)).tensors["minmax"]
    return insert_qdq(lowered, plan_quantization(lowered, ranges, SCHEMES[SCHEME[format]]))[0]


def _error_of(model: ir.Model, path: Path) -> float:
    runner = GraphRunner(model)
    wanted = [runner.run({"words": sample})["y"] for sample in _samples()]
    with load(path, threads=1) as loaded:
        found = [loaded.run_raw([sample])[0] for sample in _samples()]
    return float(np.linalg.norm(np.subtract(found, wanted)) / np.linalg.norm(wanted))


def _written(model: ir.Model, format: Format, folder: Path) -> tuple[Artifact, int]:
    folder.mkdir()
    artifact = emit(model, format, folder)
    return artifact, sum(file.stat().st_size for file in artifact.files)


@pytest.mark.parametrize("precision", ["dynamic", "static"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("format", FORMATS)
def test_the_table_takes_a_quarter_and_the_answers_stay(
    format: Format, network: str, precision: Precision, tmp_path: Path
) -> None:
    model = _network(network)
    _, whole = _written(model, format, tmp_path / "float")
    artifact, size = _written(_quantized(model, format, precision), format, tmp_path / "int8")
    assert whole - size > 0.9 * 3 * WORDS * WIDTH
    assert _error_of(model, artifact.path) < MOST_RELATIVE_ERROR


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_with_an_outlying_row_is_stored_with_a_scale_per_row(format: Format, tmp_path: Path) -> None:
    model = _network("norm", outlier=True)
    _, whole = _written(model, format, tmp_path / "float")
    artifact, size = _written(_quantized(model, format, "dynamic"), format, tmp_path / "int8")
    assert whole - size > 0.8 * 3 * WORDS * WIDTH
    assert _error_of(model, artifact.path) < MOST_RELATIVE_ERROR


@pytest.mark.parametrize("precision", ["dynamic", "static"])
def test_in_litert_a_table_and_its_rows_have_one_quantization(precision: Precision, tmp_path: Path) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    artifact = emit(_quantized(_network("dense"), "tflite", precision), "tflite", tmp_path)
    loaded = interpreter.Interpreter(str(artifact.path))
    integers = [tensor for tensor in loaded.get_tensor_details() if tensor["dtype"] is np.int8]
    tensors = {tuple(tensor["shape"]): tensor for tensor in integers}
    table, rows = tensors[WORDS, WIDTH], tensors[1, LENGTH, WIDTH]
    assert table["quantization"] == rows["quantization"]
    assert table["quantization"][0] > 0


def test_onnx_runtime_keeps_the_table_when_it_loads_the_file(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    artifact = emit(_quantized(_network("norm"), "onnx", "dynamic"), "onnx", tmp_path)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    runtime.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(tmp_path / "optimized.onnx")
    table = next(one for one in loaded.graph.initializer if list(one.dims) == [WORDS, WIDTH])
    assert table.data_type == onnx.TensorProto.INT8


def test_openvino_keeps_the_table_when_it_loads_the_file(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    artifact = emit(_quantized(_network("norm"), "openvino", "dynamic"), "openvino", tmp_path)
    compiled = openvino.Core().compile_model(str(artifact.path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    constants = [
        operation.get_rt_info()["outputPrecisions"].value
        for operation in compiled.get_runtime_model().get_ops()
        if list(operation.get_output_partial_shape(0).to_shape() if operation.get_output_size() else ())
        == [WORDS, WIDTH]
    ]
    assert constants == ["i8"]
