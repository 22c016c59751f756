"""Operators on numbers, truths and indices as TFLite: ONNX Runtime against LiteRT, and what was written read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import pytest
from onnx import numpy_helper

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph
from edgeai_converters.emit.tflite.writer import emit_tflite, unsupported_nodes
from edgeai_converters.graph.prepare import prepare_graph

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

TOLERANCE = 2e-5  # relative to the largest output; sums are taken in another order

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)


@dataclass
class Case:
    """One operator: inputs (fed), constants by position behind them, attributes, and whether XNNPACK runs all of it."""

    name: str
    op: str
    inputs: list[Array]
    constants: list[Array | None] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    whole: bool = True
    opset: int = 18
    first: list[Array] = field(default_factory=list)  # constants before the inputs
    tolerance: float = TOLERANCE


def real(*shape: int, scale: float = 2.0) -> Array:
    return RNG.normal(0, scale, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def truth(*shape: int) -> Array:
    return RNG.random(shape) < 0.5


WIDE = np.concatenate([real(40), np.array([0, -0.0, 30, -30, 90, -90, 1e-4], np.float32)])
SEQUENCE, MAP = real(2, 5, 8), real(2, 6, 4, 5)
TOKENS = RNG.integers(0, 7, (2, 5))
CASES = [
    Case("softplus", "Softplus", [WIDE]),
    Case("mish", "Mish", [WIDE]),
    Case("gelu", "Gelu", [WIDE], opset=20),
    Case("gelu_tanh", "Gelu", [WIDE], [], {"approximate": "tanh"}, opset=20),
    Case("softsign", "Softsign", [WIDE]),
    Case("selu", "Selu", [WIDE]),
    Case("celu", "Celu", [WIDE], [], {"alpha": 0.7}),
    Case("erf", "Erf", [WIDE], whole=False),
    Case("sign", "Sign", [WIDE], whole=False),
    Case("tan", "Tan", [real(9, scale=0.5)]),
    Case("sin", "Sin", [real(9)]),
    Case("cos", "Cos", [real(9)]),
    Case("floor", "Floor", [WIDE]),
    Case("ceil", "Ceil", [WIDE]),
    Case("round", "Round", [np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.3], np.float32)]),
    Case("log", "Log", [np.abs(real(9)) + 0.1]),
    Case("reciprocal", "Reciprocal", [np.abs(real(9)) + 0.1]),
    Case("thresholded_relu", "ThresholdedRelu", [WIDE], [], {"alpha": 0.4}, whole=False),
    Case("log_softmax", "LogSoftmax", [SEQUENCE]),
    Case("log_softmax_axis_1", "LogSoftmax", [SEQUENCE * 40], [], {"axis": 1}),
    Case("hard_sigmoid", "HardSigmoid", [WIDE], [], {"alpha": 0.3}),
    Case("mod", "Mod", [RNG.integers(-9, 9, (3, 4))], [ints(3)], whole=False),
    Case("fmod", "Mod", [real(3, 4)], [np.array([0.7], np.float32)], {"fmod": 1}, whole=False),
    Case("layer_norm", "LayerNormalization", [SEQUENCE], [real(8), real(8)]),
    Case("layer_norm_two_axes", "LayerNormalization", [SEQUENCE], [real(5, 8)], {"axis": 1, "epsilon": 1e-3}),
    Case("layer_norm_bare", "LayerNormalization", [SEQUENCE], [np.ones(8, np.float32)]),
    Case("instance_norm", "InstanceNormalization", [MAP], [real(6), real(6)]),
    Case("group_norm", "GroupNormalization", [MAP], [real(6), real(6)], {"num_groups": 3}, opset=21),
    Case("lp_norm", "LpNormalization", [SEQUENCE], [], {"axis": 1}),
    Case("lp_norm_1", "LpNormalization", [SEQUENCE], [], {"p": 1}),
    Case("reduce_l1", "ReduceL1", [MAP], [ints(1, 3)]),
    Case("reduce_l2", "ReduceL2", [MAP], [ints(-1)], {"keepdims": 0}),
    Case("reduce_sum_square", "ReduceSumSquare", [MAP], [ints(2)]),
    Case("reduce_log_sum", "ReduceLogSum", [np.abs(MAP)], [ints(2)]),
    Case("reduce_log_sum_exp", "ReduceLogSumExp", [MAP * 30], [ints(1)], {"keepdims": 0}),
    Case("reduce_prod", "ReduceProd", [SEQUENCE], [ints(1)], whole=False),
    Case("reduce_min", "ReduceMin", [SEQUENCE], [ints(1)]),
    Case("equal", "Equal", [TOKENS], [ints(3)], whole=False),
    Case("greater", "Greater", [SEQUENCE, real(5, 8)], whole=False),
    Case("greater_or_equal", "GreaterOrEqual", [TOKENS, TOKENS[:1]], whole=False),
    Case("less", "Less", [SEQUENCE], [np.array(0.3, np.float32)], whole=False),
    Case("less_or_equal", "LessOrEqual", [TOKENS], [ints(3)], whole=False),
    Case("and", "And", [truth(2, 5), truth(1, 5)], whole=False),
    Case("or", "Or", [truth(2, 5), truth(2, 1)], whole=False),
    Case("xor", "Xor", [truth(2, 5), truth(2, 5)], whole=False),
    Case("not", "Not", [truth(2, 5)], whole=False),
    Case("is_nan", "IsNaN", [np.array([1, np.nan, np.inf], np.float32)], whole=False),
    Case("where", "Where", [truth(2, 5, 8), SEQUENCE, real(8)], whole=False),
    Case("where_infinite", "Where", [truth(2, 1, 8), SEQUENCE], [np.array(-np.inf, np.float32)], whole=False),
    Case("where_large", "Where", [truth(5, 8), SEQUENCE], [np.array(-3e38, np.float32)], whole=False),
    Case("where_zero", "Where", [truth(5, 1), SEQUENCE], [np.array([0], np.float32)], whole=False),
    Case("where_mask", "Where", [SEQUENCE], [np.array(-np.inf, np.float32)], first=[np.tri(5, 8) > 0]),
    Case("where_mask_large", "Where", [SEQUENCE], [np.array(-1e9, np.float32)], first=[np.tri(5, 8) > 0]),
    Case("where_integers", "Where", [truth(2, 5), TOKENS], [ints(-1)], whole=False),
    Case("embedding", "Gather", [TOKENS], first=[real(7, 4)], whole=False),
    Case("gather_values", "Gather", [SEQUENCE, ints(3, 0, 1)], [], {"axis": 1}, whole=False),
    Case("gather_matrix", "Gather", [SEQUENCE], [np.array([[0, 1], [-1, 2]], np.int64)], {"axis": 1}, whole=False),
    Case("gather_nd", "GatherND", [SEQUENCE, np.array([[0, 3], [1, 4]], np.int64)], whole=False),
    Case("scatter_nd", "ScatterND", [SEQUENCE], [np.array([[1, 2], [0, 0]], np.int64), real(2, 8)], whole=False),
    Case("scatter_one", "ScatterND", [SEQUENCE, np.array([[1, 2]], np.int64), real(1, 8)], whole=False),
    Case("one_hot", "OneHot", [TOKENS], [ints(7), np.array([0, 1], np.float32)], whole=False),
    Case("one_hot_axis_1", "OneHot", [TOKENS], [ints(7), np.array([-1, 2], np.float32)], {"axis": 1}, whole=False),
    Case("arg_max", "ArgMax", [SEQUENCE], [], {"axis": -1, "keepdims": 0}, whole=False),
    Case("arg_max_kept", "ArgMax", [MAP], [], {"axis": 1}, whole=False),
    Case("arg_min", "ArgMin", [MAP], [], {"axis": 2, "keepdims": 0}, whole=False),
    Case("top_k", "TopK", [SEQUENCE], [ints(3)], outputs=2, whole=False),
    Case("top_k_smallest", "TopK", [SEQUENCE], [ints(3)], {"axis": 1, "largest": 0}, outputs=2, whole=False),
    Case("cumsum", "CumSum", [SEQUENCE], [np.array(1, np.int64)], whole=False),
    Case("cumsum_back", "CumSum", [SEQUENCE], [np.array(2)], {"reverse": 1, "exclusive": 1}, whole=False),
    Case("expand", "Expand", [real(1, 5, 1)], [ints(2, 5, 8)], whole=False),
    Case("expand_rank", "Expand", [real(8)], [ints(2, 5, 8)], whole=False),
    Case("tile", "Tile", [SEQUENCE], [ints(2, 1, 3)], whole=False),
    Case("triangle", "Trilu", [real(2, 5, 5)], [np.array(1, np.int64)], {"upper": 0}, whole=False),
    Case("cast_to_float", "Cast", [TOKENS], [], {"to": 1}, whole=False),
    Case("cast_to_bool", "Cast", [TOKENS], [], {"to": 9}, whole=False),
    Case("cast_to_int", "Cast", [SEQUENCE], [], {"to": 6}, whole=False),
    Case("cast_of_bool", "Cast", [truth(3, 4)], [], {"to": 1}, whole=False),
    Case("integer_sum", "Add", [TOKENS], [ints(4)], whole=False),
    Case("gemm_computed", "Gemm", [real(3, 4), real(5, 4), real(5)], [], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("matmul_broadcast", "MatMul", [real(2, 3, 4, 5), real(5, 6)]),
    Case("matmul_constant_left", "MatMul", [real(2, 5, 6)], first=[real(4, 5)]),
]


def build(case: Case) -> tuple[onnx.ModelProto, dict[str, Array]]:
    feeds = {f"x{number}": array for number, array in enumerate(case.inputs)}
    constants = {f"f{number}": array for number, array in enumerate(case.first)}
    names = [*constants, *feeds]
    for number, array in enumerate(case.constants):
        names.append("" if array is None else f"c{number}")
        if array is not None:
            constants[f"c{number}"] = array
    results = [f"y{number}" for number in range(case.outputs)]
    node = oh.make_node(case.op, names, results, **case.attributes)
    inputs = [
        oh.make_tensor_value_info(name, oh.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in results]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = oh.make_graph([node], "case", inputs, outputs, initializer=tensors)
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", case.opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model), feeds


def run_onnx(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, feeds), strict=True))


def run_tflite(path: Path, feeds: dict[str, Array]) -> tuple[dict[str, Array], bool]:
    """Return the outputs, and whether XNNPACK runs the whole file as one part."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feeds[detail["name"]])
    interpreter.invoke()
    outputs = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
    operations = interpreter._get_ops_details()
    parts = [operation for operation in operations if operation["op_name"] == "DELEGATE"]
    inside = {int(index) for part in parts for index in part["outputs"]}
    ends = {detail["index"] for detail in interpreter.get_output_details()}
    begins = {detail["index"] for detail in interpreter.get_input_details()}
    fed = {int(index) for part in parts for index in part["inputs"]}
    computed = {int(i) for operation in operations if operation not in parts for i in operation["outputs"]}
    return outputs, len(parts) == 1 and ends <= inside and not (fed - begins) & (computed - inside)


def compare(found: dict[str, Array], wanted: dict[str, Array], tolerance: float) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        finite = np.abs(array[np.isfinite(array)]) if array.dtype.kind == "f" else np.abs(array.astype(np.float64))
        scale = max(1.0, float(finite[finite < 1e8].max(initial=0.0)))
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=tolerance * scale)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_operator_answers_like_onnxruntime(case: Case, tmp_path: Path) -> None:
    model, feeds = build(case)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    found, whole = run_tflite(artifact.path, feeds)
    compare(found, run_onnx(model, feeds), case.tolerance)
    assert whole == case.whole


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_was_written_is_read_back(case: Case, tmp_path: Path) -> None:
    model, feeds = build(case)
    artifact = emit_tflite(prepare_graph(model), tmp_path)
    back = read_graph(read_model(artifact.path.read_bytes()), where="the file").proto
    compare(run_onnx(back, feeds), run_onnx(model, feeds), case.tolerance)


REFUSED = {
    "scatter to the same place": Case("", "ScatterND", [SEQUENCE], [np.array([[1, 2], [1, 2]]), real(2, 8)]),
    "scatter to computed places": Case("", "ScatterND", [SEQUENCE, np.array([[1, 2], [0, 0]]), real(2, 8)]),
    "the last of equals": Case("", "ArgMax", [SEQUENCE], [], {"select_last_index": 1}),
    "batches of indices": Case("", "GatherND", [SEQUENCE, np.array([[1], [2]])], [], {"batch_dims": 1}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_tflite_can_not_say_is_refused(why: str) -> None:
    problems = unsupported_nodes(prepare_graph(build(REFUSED[why])[0]))
    assert [problem.op_type for problem in problems] == [REFUSED[why].op]
