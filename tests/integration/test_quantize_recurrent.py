"""Recurrent layers in static int8: in integers where the engine can, else with int8 weights and a reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.quantize import recurrent_plan
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.recurrent_plan import RECURRENT, lower_recurrent
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.openvino]

STEPS, FEATURES, HIDDEN = 7, 8, 64
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
MOST_RELATIVE_ERROR = 0.06
"""Seven steps in 8 bits, each on the rounded state of the one before; the outputs are states."""
SCHEME: dict[Format, str] = {"tflite": "tflite-int8", "onnx": "onnx-u8s8", "openvino": "openvino-u8s8"}


def recurrent(kind: str, *, count: int = 1, last: bool = True, initial: bool = False) -> ir.Model:
    random = np.random.default_rng(3)
    rows = GATES[kind] * HIDDEN
    constants = {
        "W": random.normal(0, 0.35, (count, rows, FEATURES)),
        "R": random.normal(0, 0.12, (count, rows, HIDDEN)),
        "B": random.normal(0, 0.2, (count, 2 * rows)),
        "h0": random.uniform(-0.5, 0.5, (count, 1, HIDDEN)),
        "dense": random.normal(0, 0.2, (HIDDEN, 5)),
    }
    more = ["", "h0"] if initial else []
    direction = "bidirectional" if count == 2 else "forward"
    nodes = [
        oh.make_node("Transpose", ["x"], ["time"], perm=[1, 0, 2]),
        oh.make_node(
            kind,
            ["time", "W", "R", "B", *more],
            ["states", "last"],
            name="cell",
            hidden_size=HIDDEN,
            direction=direction,
        ),
    ]
    if last:
        nodes += [
            oh.make_node("Squeeze", ["last", "axis"], ["flat"]),
            oh.make_node("Gemm", ["flat", "dense"], ["y"], name="head"),
        ]
    output = oh.make_tensor_value_info("y" if last else "states", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([0], np.int64), "axis"))
    graph = oh.make_graph(
        nodes, "g", [oh.make_tensor_value_info("x", TensorProto.FLOAT, [1, STEPS, FEATURES])], [output], initializers
    )
    proto = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10)
    proto.graph.output[0].CopyFrom(onnx.shape_inference.infer_shapes(proto).graph.output[0])
    return prepare_graph(proto)


def samples(n: int = 24) -> NDArray[np.float32]:
    return np.random.default_rng(4).uniform(-1, 1, (n, STEPS, FEATURES)).astype(np.float32)


def quantized(model: ir.Model, format: Format) -> tuple[ir.Model, QuantizationPlan]:
    lowered, _ = lower_recurrent(model, format)
    batches = ({"x": sample[None]} for sample in samples())
    ranges = collect_ranges(lowered, batches, methods=("minmax",)).tensors["minmax"]
    plan = plan_quantization(lowered, ranges, SCHEMES[SCHEME[format]])
    return insert_qdq(lowered, plan)[0], plan


def error_of(model: ir.Model, path: Path) -> float:
    wanted = [next(iter(GraphRunner(model).run({"x": sample[None]}).values())) for sample in samples()]
    with load(path, threads=1) as loaded:
        found = [loaded.run_raw([sample[None]])[0] for sample in samples()]
    return float(np.linalg.norm(np.subtract(found, wanted)) / np.linalg.norm(wanted))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("count", [1, 2])
def test_in_litert_a_recurrent_layer_runs_in_integers(kind: str, count: int, tmp_path: Path) -> None:
    model = recurrent(kind, count=count, last=count == 1)
    graph, plan = quantized(model, "tflite")
    assert not plan.float_nodes
    artifact = emit(graph, "tflite", tmp_path)
    assert artifact.operators["QUANTIZE"] == 1
    assert artifact.operators["DEQUANTIZE"] == 1
    assert error_of(model, artifact.path) < MOST_RELATIVE_ERROR


@pytest.mark.parametrize("options", [{}, {"initial": True}, {"count": 2, "last": False}], ids=str)
def test_onnx_runtime_runs_an_lstm_with_int8_weights(options: dict[str, Any], tmp_path: Path) -> None:
    model = recurrent("LSTM", **options)
    graph, plan = quantized(model, "onnx")
    artifact = emit(graph, "onnx", tmp_path)
    assert artifact.operators["DynamicQuantizeLSTM"] == 1
    assert "LSTM" not in artifact.operators
    assert plan.dynamic_nodes == ("cell",)
    assert "DynamicQuantizeLSTM" in plan.float_nodes["cell"]
    assert error_of(model, artifact.path) < MOST_RELATIVE_ERROR


def test_a_small_lstm_is_faster_in_float_and_the_plan_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_converters.emit.dynamic_lstm.LEAST_HIDDEN", HIDDEN + 1)
    monkeypatch.setattr(recurrent_plan, "LEAST_HIDDEN", HIDDEN + 1)
    model = recurrent("LSTM")
    graph, plan = quantized(model, "onnx")
    artifact = emit(graph, "onnx", tmp_path)
    assert artifact.operators["LSTM"] == 1
    assert "computed in float" in plan.float_nodes["cell"]
    assert error_of(model, artifact.path) < MOST_RELATIVE_ERROR


@pytest.mark.parametrize(
    ("format", "kind", "why"),
    [
        ("onnx", "GRU", "weights are stored in int8"),
        ("onnx", "RNN", "weights are stored in int8"),
        ("openvino", "LSTM", "one scale"),
        ("openvino", "GRU", "one scale"),
        ("openvino", "RNN", "one scale"),
    ],
)
def test_where_no_kernel_is_right_and_fast_the_plan_says_why(
    format: Format, kind: str, why: str, tmp_path: Path
) -> None:
    model = recurrent(kind)
    graph, plan = quantized(model, format)
    assert ("R" in plan.weights) is (format == "onnx")
    assert why in plan.float_nodes["cell"]
    assert "head" not in plan.float_nodes
    assert error_of(model, emit(graph, format, tmp_path).path) < MOST_RELATIVE_ERROR


def test_a_long_lstm_is_left_to_litert_with_int8_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent_plan, "MOST_COPIED", 1000)
    monkeypatch.setattr("edgeai_converters.emit.tflite.lowering.MOST_COPIED", 1000)
    model = recurrent("LSTM")
    graph, plan = quantized(model, "tflite")
    assert "copy 0 MB of weights" in plan.float_nodes["cell"]
    artifact = emit(graph, "tflite", tmp_path)
    assert artifact.operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert error_of(model, artifact.path) < MOST_RELATIVE_ERROR


def test_without_lowering_the_weights_are_int8_still_and_the_plan_says_so(tmp_path: Path) -> None:
    model = recurrent("GRU")
    batches = ({"x": sample[None]} for sample in samples())
    ranges = collect_ranges(model, batches, methods=("minmax",)).tensors["minmax"]
    plan = plan_quantization(model, ranges, SCHEMES["tflite-int8"])
    assert "not written step by step" in plan.float_nodes["cell"]
    assert error_of(model, emit(insert_qdq(model, plan)[0], "tflite", tmp_path).path) < MOST_RELATIVE_ERROR


def test_a_layer_can_be_kept_in_float() -> None:
    model = recurrent("LSTM")
    ranges = collect_ranges(model, [{"x": samples()[:1]}], methods=("minmax",)).tensors["minmax"]
    plan = plan_quantization(model, ranges, SCHEMES["onnx-u8s8"], excluded={"cell": "too sensitive"})
    assert plan.float_nodes["cell"] == "too sensitive"
    assert not plan.dynamic_nodes
    assert "R" not in plan.weights


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_other_formats_keep_their_recurrent_operators(format: Format) -> None:
    model = recurrent("GRU")
    assert lower_recurrent(model, format) == (model, False)


def test_lowering_leaves_the_given_model_alone() -> None:
    model = recurrent("GRU")
    lowered, changed = lower_recurrent(model, "tflite")
    assert changed
    assert Counter(node.op_type for node in model.graph)["GRU"] == 1
    assert not RECURRENT & {node.op_type for node in lowered.graph}
