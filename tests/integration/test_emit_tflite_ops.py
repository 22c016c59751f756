"""Every operator of the TFLite table, one at a time: ONNX Runtime against LiteRT, in both layouts, float and int8."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import pytest
from onnx import TensorProto, numpy_helper

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.prepare import prepare_graph

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

FLOAT_TOLERANCE = 2e-5  # relative to the largest output; sums are taken in another order
INT8_STEPS = 1  # integer kernels round in another place than Q → DQ does

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(7)


@dataclass
class Case:
    """One operator: its type, input shapes (graph layout), constants behind them, attributes."""

    name: str
    op: str
    shapes: list[tuple[int, ...]]
    constants: list[Array | None] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    positive: bool = False
    transposes: int = 0  # with channels-last inputs and outputs
    then: str = ""  # an activation behind it
    outputs: int = 1
    steps: int = INT8_STEPS


def weights(*shape: int) -> Array:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


MAP = (2, 6, 9, 8)
CONV = weights(4, 6, 3, 3)
SPATIAL = [
    Case("conv_valid", "Conv", [MAP], [CONV]),
    Case("conv_bias_relu", "Conv", [MAP], [CONV, weights(4)], {"pads": [1, 1, 1, 1]}, then="Relu"),
    Case("conv_stride_pad_11", "Conv", [(2, 6, 8, 8)], [CONV, weights(4)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("conv_same_upper", "Conv", [MAP], [CONV], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("conv_same_lower", "Conv", [MAP], [CONV], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("conv_dilated", "Conv", [MAP], [CONV], {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    Case("conv_asymmetric", "Conv", [MAP], [weights(4, 6, 2, 5)], {"pads": [0, 3, 1, 1], "strides": [1, 2]}),
    Case("conv_groups", "Conv", [MAP], [weights(8, 3, 3, 3), weights(8)], {"group": 2}),
    Case("conv_depthwise", "Conv", [MAP], [weights(6, 1, 3, 3), weights(6)], {"group": 6, "pads": [1, 1, 1, 1]}),
    Case("conv_depthwise_x2", "Conv", [MAP], [weights(12, 1, 3, 3)], {"group": 6, "strides": [2, 2]}),
    Case("conv_depthwise_dilated", "Conv", [MAP], [weights(6, 1, 3, 3)], {"group": 6, "dilations": [2, 2]}),
    Case("conv_1d", "Conv", [(2, 6, 20)], [weights(4, 6, 5), weights(4)], {"pads": [2, 2], "strides": [2]}),
    Case("conv_1d_depthwise", "Conv", [(2, 6, 20)], [weights(6, 1, 3)], {"group": 6, "pads": [1, 1]}),
    Case("deconv", "ConvTranspose", [MAP], [weights(6, 4, 3, 3), weights(4)], {"strides": [2, 2]}),
    Case("deconv_pads", "ConvTranspose", [MAP], [weights(6, 4, 4, 4)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("deconv_cut", "ConvTranspose", [MAP], [weights(6, 4, 3, 3)], {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    Case(
        "deconv_output_padding",
        "ConvTranspose",
        [MAP],
        [weights(6, 4, 3, 3)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    Case("max_pool", "MaxPool", [MAP], [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("max_pool_pad", "MaxPool", [MAP], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("max_pool_ceil", "MaxPool", [MAP], [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("average_pool", "AveragePool", [MAP], [], {"kernel_shape": [3, 2], "strides": [2, 2]}),
    Case("average_pool_whole", "AveragePool", [MAP], [], {"kernel_shape": [9, 8]}),
    Case(
        "average_pool_pad", "AveragePool", [MAP], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    ),
    Case(
        "average_pool_include_pad",
        "AveragePool",
        [MAP],
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    Case("average_pool_ceil", "AveragePool", [MAP], [], {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("global_average_pool", "GlobalAveragePool", [MAP]),
    Case("global_max_pool", "GlobalMaxPool", [MAP]),
    Case("add", "Add", [MAP, MAP]),
    Case("add_relu", "Add", [MAP, MAP], then="Relu"),
    Case("add_channel", "Add", [MAP], [weights(6, 1, 1)]),
    Case("mul_gate", "Mul", [MAP, (2, 6, 1, 1)]),
    Case("mul_scalar", "Mul", [MAP], [np.array(0.3, np.float32)]),
    Case("sub", "Sub", [MAP, MAP]),
    Case("div_constant", "Div", [MAP], [np.abs(weights(1, 6, 1, 1)) + 1]),
    Case("div", "Div", [MAP, MAP], positive=True),
    Case("maximum", "Max", [MAP, MAP, MAP]),
    Case("minimum", "Min", [MAP, MAP]),
    Case("pow_2", "Pow", [MAP], [np.array(2, np.float32)]),
    Case("pow_3", "Pow", [MAP], [np.array(3, np.float32)]),
    Case("pow_half", "Pow", [MAP], [np.array(0.5, np.float32)], positive=True),
    Case("batch_norm", "BatchNormalization", [MAP], [weights(6), weights(6), weights(6), np.abs(weights(6)) + 0.5]),
    Case("relu", "Relu", [MAP]),
    Case("relu6", "Clip", [MAP], [np.array(0, np.float32), np.array(6, np.float32)]),
    Case("clip", "Clip", [MAP], [np.array(-0.3, np.float32), np.array(0.7, np.float32)]),
    Case("leaky_relu", "LeakyRelu", [MAP], [], {"alpha": 0.2}),
    Case("prelu", "PRelu", [MAP], [np.abs(weights(6, 1, 1))]),
    Case("prelu_one", "PRelu", [MAP], [np.array([0.25], np.float32)]),
    Case("elu", "Elu", [MAP]),
    Case("sigmoid", "Sigmoid", [MAP]),
    Case("tanh", "Tanh", [MAP]),
    Case("hard_swish", "HardSwish", [MAP]),
    Case("hard_sigmoid", "HardSigmoid", [MAP], [], {"alpha": 1 / 6, "beta": 0.5}),
    Case("hard_sigmoid_default", "HardSigmoid", [MAP]),
    Case("sqrt", "Sqrt", [MAP], positive=True),
    Case("exp", "Exp", [MAP]),
    Case("abs", "Abs", [MAP]),
    Case("neg", "Neg", [MAP]),
    Case("softmax_channels", "Softmax", [MAP], [], {"axis": 1}, steps=2),
    Case("reduce_mean_spatial", "ReduceMean", [MAP], [ints(2, 3)]),
    Case("reduce_sum_channels", "ReduceSum", [MAP], [ints(1)]),
    Case("reduce_max_width", "ReduceMax", [MAP], [ints(-1)]),
    Case("concat", "Concat", [MAP, MAP], [], {"axis": 1}),
    Case("concat_height", "Concat", [MAP, MAP], [], {"axis": -2}),
    Case("pad", "Pad", [MAP], [ints(0, 0, 1, 2, 0, 1, 0, 3)]),
    Case("pad_value", "Pad", [MAP], [ints(0, 0, 1, 2, 0, 0, 0, 3), np.array(1.5, np.float32)]),
    Case("pad_reflect", "Pad", [MAP], [ints(0, 0, 1, 2, 0, 0, 2, 3)], {"mode": "reflect"}),
    Case("slice", "Slice", [MAP], [ints(1, 2), ints(4, -1), ints(1, 3)]),
    Case("slice_strided", "Slice", [MAP], [ints(0, 1), ints(99, 7), ints(2, 3), ints(2, 2)]),
    Case("slice_reversed", "Slice", [MAP], [ints(-1), ints(-99), ints(3), ints(-1)]),
    Case("split", "Split", [MAP], [], {"axis": 1, "num_outputs": 2}, outputs=2),
    Case("split_uneven", "Split", [MAP], [ints(1, 5)], {"axis": 1}, outputs=2),
    Case("gather_row", "Gather", [MAP], [ints(3, 0, 5)], {"axis": 1}),
    Case("depth_to_space", "DepthToSpace", [(2, 8, 3, 4)], [], {"blocksize": 2}),
    Case("pixel_shuffle", "DepthToSpace", [(2, 8, 3, 4)], [], {"blocksize": 2, "mode": "CRD"}, transposes=1),
    Case("space_to_depth", "SpaceToDepth", [(2, 2, 6, 4)], [], {"blocksize": 2}),
    Case(
        "resize_nearest",
        "Resize",
        [MAP],
        [None, np.array([1, 1, 2, 2], np.float32)],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    Case("resize_nearest_half", "Resize", [MAP], [None, np.array([1, 1, 3, 2], np.float32)], {"mode": "nearest"}),
    Case("resize_bilinear", "Resize", [MAP], [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    Case(
        "resize_bilinear_corners",
        "Resize",
        [MAP],
        [None, None, ints(2, 6, 17, 15)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
]
PLAIN = [
    Case("gemm", "Gemm", [(3, 10)], [weights(5, 10), weights(5)], {"transB": 1}),
    Case("gemm_alpha", "Gemm", [(3, 10)], [weights(10, 5), weights(1, 5)], {"alpha": 0.5, "beta": 2.0}),
    Case("gemm_relu", "Gemm", [(3, 10)], [weights(5, 10), weights(5)], {"transB": 1}, then="Relu"),
    Case("gemm_no_bias", "Gemm", [(3, 10)], [weights(10, 5)]),
    Case("matmul", "MatMul", [(3, 10)], [weights(10, 5)]),
    Case("matmul_3d", "MatMul", [(2, 4, 10)], [weights(10, 5)]),
    Case("matmul_dynamic", "MatMul", [(2, 3, 4, 5), (2, 3, 5, 6)]),
    Case("softmax", "Softmax", [(3, 10)], steps=2),
    Case("softmax_axis_1", "Softmax", [(3, 4, 10)], [], {"axis": 1}, steps=2),
    Case("reduce_mean_flat", "ReduceMean", [MAP], [ints(1, 2)], {"keepdims": 0}),
    Case("reduce_mean_all", "ReduceMean", [(3, 4, 5)]),
    Case("reshape", "Reshape", [MAP], [ints(2, 6, 72)]),
    Case("reshape_merge", "Reshape", [MAP], [ints(12, -1)]),
    Case("flatten", "Flatten", [MAP]),
    Case("squeeze", "Squeeze", [(2, 6, 1, 8)], [ints(2)]),
    Case("unsqueeze", "Unsqueeze", [(2, 6)], [ints(2, 3)]),
    Case("transpose", "Transpose", [(2, 3, 4, 5)], [], {"perm": [0, 3, 1, 2]}),
    Case("gather_one", "Gather", [(2, 6, 5)], [np.array(3, np.int64)], {"axis": 1}),
    Case("broadcast_rank", "Add", [(2, 6, 5), (6, 5)]),
    Case("identity", "Identity", [(2, 5)]),
    Case("max_pool_1d", "MaxPool", [(2, 6, 20)], [], {"kernel_shape": [2], "strides": [2]}),
]

IN_FLOAT = {
    "average_pool_pad",
    "average_pool_ceil",
    "div",
    "pow_3",
    "pow_half",
    "batch_norm",
    "clip",
    "prelu",
    "hard_swish",
}
IN_FLOAT |= {"hard_sigmoid", "hard_sigmoid_default", "sqrt", "exp", "abs", "neg", "gemm_alpha"}
"""Cases that the writer keeps in float between DEQUANTIZE and QUANTIZE, whatever the graph says."""


def build(case: Case, *, channels_last: bool = False) -> onnx.ModelProto:
    """Return the case as a model; with `channels_last`, maps at its inputs and outputs are NHWC (NWC)."""
    nodes, inputs, names, initializers = [], [], [], []
    rank = len(case.shapes[0])
    turned = channels_last and case in SPATIAL
    for number, shape in enumerate(case.shapes):
        name = f"x{number}"
        stated = (shape[0], *shape[2:], shape[1]) if turned else shape
        inputs.append(oh.make_tensor_value_info(name, TensorProto.FLOAT, stated))
        if turned:
            nodes.append(oh.make_node("Transpose", [name], [f"{name}_nchw"], perm=[0, rank - 1, *range(1, rank - 1)]))
            name = f"{name}_nchw"
        names.append(name)
    for number, array in enumerate(case.constants):
        names.append("" if array is None else f"c{number}")
        if array is not None:
            initializers.append(numpy_helper.from_array(array, f"c{number}"))
    results = [f"r{number}" for number in range(case.outputs)]
    nodes.append(oh.make_node(case.op, names, results, name="the_node", **case.attributes))
    if case.then:
        nodes.append(oh.make_node(case.then, [results[0]], ["activated"]))
        results = ["activated"]
    outputs = []
    for number, result in enumerate(results):
        options = {"perm": [0, *range(2, rank), 1]} if turned else {}
        nodes.append(oh.make_node("Transpose" if turned else "Identity", [result], [f"y{number}"], **options))
        outputs.append(oh.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, None))
    graph = oh.make_graph(nodes, "case", inputs, outputs, initializer=initializers)
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10)


def draw(model: onnx.ModelProto, *, positive: bool) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    arrays = {}
    for value in model.graph.input:
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        array = rng.normal(0, 2, shape).astype(np.float32)
        arrays[value.name] = np.abs(array) + np.float32(0.1) if positive else array
    return arrays


def run_onnx(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, feeds), strict=True))


def run_tflite(path: Path, feeds: dict[str, Array]) -> tuple[dict[str, Array], list[str]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feeds[detail["name"]])
    interpreter.invoke()
    outputs = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
    return outputs, [operation["op_name"] for operation in interpreter._get_ops_details()]


def add_rounding(model: onnx.ModelProto, case: Case) -> tuple[onnx.ModelProto, dict[str, float]]:
    """Return the model with Q → DQ on every input and output and int8 weights; and the steps of its outputs."""
    feeds = draw(model, positive=case.positive)
    answers = run_onnx(model, feeds)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    nodes = list(graph.node)
    del graph.node[:]
    keeps = case.op in {"MaxPool", "GlobalMaxPool", "ReduceMax", "Concat", "Pad", "Slice", "Split", "Gather", "Resize"}
    keeps |= case.op in {"DepthToSpace", "SpaceToDepth", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}
    keeps |= case.op == "Identity"
    pool = np.concatenate([array.reshape(-1) for array in feeds.values()])
    steps = {}

    def parameters(name: str, low: float, high: float) -> list[str]:
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / 255 or 1.0)
        point = np.int8(np.clip(round(-128 - low / scale), -128, 127))
        graph.initializer.append(numpy_helper.from_array(np.array(scale), f"{name}_scale"))
        graph.initializer.append(numpy_helper.from_array(np.array(point), f"{name}_point"))
        steps[name] = float(scale)
        return [f"{name}_scale", f"{name}_point"]

    def rounding(name: str, result: str, low: float, high: float) -> list[onnx.NodeProto]:
        given = parameters(result, low, high)
        return [
            oh.make_node("QuantizeLinear", [name, *given], [f"{result}_q"]),
            oh.make_node("DequantizeLinear", [f"{result}_q", *given], [result]),
        ]

    for value in graph.input:
        array = pool if keeps else feeds[value.name]
        graph.node.extend(rounding(value.name, f"{value.name}_r", float(array.min()), float(array.max())))
    for node in nodes:
        node.input[:] = [f"{name}_r" if name in feeds else name for name in node.input]
        if node.name == "the_node":
            _store_weights(graph, node, case, steps)
        graph.node.append(node)
    for value in graph.output:
        producer = next(node for node in graph.node if value.name in node.output)
        producer.output[:] = [f"{value.name}_raw"]
        array = pool if keeps else answers[value.name]
        graph.node.extend(rounding(f"{value.name}_raw", value.name, float(array.min()), float(array.max())))
    return made, steps


def _store_weights(graph: onnx.GraphProto, node: onnx.NodeProto, case: Case, steps: dict[str, float]) -> None:
    """Make a layer's weights int8, one scale per output channel, and its bias int32."""
    if case.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or not case.constants:
        return
    axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0 if case.attributes.get("transB") else 1, "MatMul": 1}[case.op]
    array = case.constants[0]
    assert array is not None
    other = tuple(i for i in range(array.ndim) if i != axis)
    scale = (np.abs(array).max(axis=other) / 127).astype(np.float32)
    wide = scale.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
    stored = [("w", np.rint(array / wide).astype(np.int8), scale, axis)]
    if len(case.constants) > 1 and case.attributes.get("alpha", 1.0) == 1.0:
        bias = case.constants[1]
        assert bias is not None
        bias_scale = np.float32(steps["x0_r"]) * scale
        stored.append(("b", np.rint(bias / bias_scale).astype(np.int32), bias_scale, 0))
    for position, (name, numbers, scales, along) in enumerate(stored, start=1):
        graph.initializer.append(numpy_helper.from_array(numbers, name))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
        graph.node.append(oh.make_node("DequantizeLinear", [name, f"{name}_scale"], [f"{name}_real"], axis=along))
        node.input[position] = f"{name}_real"


def check_float(path: Path, model: onnx.ModelProto, case: Case) -> list[str]:
    feeds = draw(model, positive=case.positive)
    wanted = run_onnx(model, feeds)
    found, operators = run_tflite(path, feeds)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=0, atol=FLOAT_TOLERANCE * max(1.0, np.abs(array).max()))
    return operators


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", SPATIAL + PLAIN, ids=ids(SPATIAL + PLAIN))
def test_float_operator_answers_like_onnxruntime(case: Case, tmp_path: Path) -> None:
    model = build(case)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    check_float(artifact.path, model, case)


@pytest.mark.parametrize("case", SPATIAL, ids=ids(SPATIAL))
def test_channels_last_boundary_needs_no_transpose(case: Case, tmp_path: Path) -> None:
    model = build(case, channels_last=True)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    assert artifact.operators.get("TRANSPOSE", 0) == case.transposes
    check_float(artifact.path, model, case)


@pytest.mark.parametrize("case", SPATIAL + PLAIN, ids=ids(SPATIAL + PLAIN))
def test_int8_operator_answers_like_the_graph_with_rounding(case: Case, tmp_path: Path) -> None:
    model, steps = add_rounding(build(case, channels_last=True), case)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    feeds = draw(model, positive=case.positive)
    wanted = run_onnx(model, feeds)
    found, _ = run_tflite(artifact.path, feeds)
    assert (artifact.operators["DEQUANTIZE"] > case.outputs) == (case.name in IN_FLOAT)
    for name, array in wanted.items():
        difference = np.abs(found[name] - array).max() / steps[name]
        assert difference <= case.steps + 0.01


@pytest.mark.parametrize("case", SPATIAL + PLAIN, ids=ids(SPATIAL + PLAIN))
def test_reading_back_what_was_written_answers_the_same(case: Case, tmp_path: Path) -> None:
    model = build(case, channels_last=True)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    back = read_graph(read_model(artifact.path.read_bytes()), where="the file").proto
    feeds = draw(model, positive=case.positive)
    wanted, found = run_onnx(model, feeds), run_onnx(back, feeds)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=FLOAT_TOLERANCE * max(1.0, np.abs(array).max()))
