"""What LiteRT's XNNPACK takes of each operator that our writer emits, in float and in int8, one operator at a time.

Every operator that XNNPACK leaves behind splits the network and sends its tensors to slower kernels, so the writer's
choices (which form, what stays in float) lean on this table. It is pinned exactly: an engine that takes more or less
than stated here is news, and the writer should follow it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import pytest
from onnx import TensorProto, numpy_helper

from edgeai_converters.emit.tflite.op_table import WRITERS
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.prepare import prepare_graph

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert]

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(5)
SCALE = np.float32(0.05)  # of every tensor: operators that hand values on need the same scale on both sides
MAP = (1, 6, 8, 8)
ROWS = (3, 10)
TOKENS = (1, 4, 10)
NOTHING = ""
FLOAT, BOOL, INT32, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator and what the engine leaves to its own kernels.

    Attributes:
        name: what is special; the operator's own name comes before it.
        op: the ONNX operator.
        shapes: shapes of its inputs.
        constants: the constants behind them; the first of a layer becomes int8.
        attributes: its attributes.
        outputs: how many outputs it has.
        dtype: the type of its inputs.
        result: the type of its (last) output.
        float_left: TFLite operators that XNNPACK does not take of the float file, in order, separated by spaces.
        int8_left: likewise of the int8 file; `None` where the operator has no int8 form.
    """

    op: str
    name: str = ""
    shapes: tuple[tuple[int, ...], ...] = (ROWS,)
    constants: tuple[Array | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    dtype: int = TensorProto.FLOAT
    result: int = TensorProto.FLOAT
    float_left: str = NOTHING
    int8_left: str | None = NOTHING


def weights(*shape: int) -> Array:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def both(*, left: str, **about: Any) -> Case:
    """Return a case of which the same is left behind in float and in int8."""
    return Case(float_left=left, int8_left=left, **about)


def window(size: int, stride: int, **more: Any) -> dict[str, Any]:
    return {"kernel_shape": [size, size], "strides": [stride, stride], **more}


PADS = [1, 1, 1, 1]
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
CONV, DEPTHWISE = (weights(4, 6, 3, 3),), (weights(6, 1, 3, 3),)
DOUBLED = (None, floats(1, 1, 2, 2))
CASES = [
    # convolutions
    Case(op="Conv", shapes=(MAP,), constants=CONV),
    Case(op="Conv", name="pads", shapes=(MAP,), constants=CONV, attributes={"pads": PADS}),
    Case(op="Conv", name="stride_2_pads", shapes=(MAP,), constants=CONV, attributes={"pads": PADS, "strides": [2, 2]}),
    Case(op="Conv", name="groups", shapes=(MAP,), constants=(weights(8, 3, 3, 3),), attributes={"group": 2}),
    Case(op="Conv", name="depthwise", shapes=(MAP,), constants=DEPTHWISE, attributes={"group": 6}),
    Case(op="Conv", name="dilated", shapes=(MAP,), constants=DEPTHWISE, attributes={"group": 6, "dilations": [2, 2]}),
    Case(op="Conv", name="one_axis", shapes=((1, 6, 20),), constants=(weights(4, 6, 5),)),
    Case(op="ConvTranspose", shapes=(MAP,), constants=(weights(6, 4, 3, 3),), attributes={"strides": [2, 2]}),
    # dense layers
    Case(op="Gemm", constants=(weights(5, 10),), attributes={"transB": 1}),
    Case(op="MatMul", constants=(weights(10, 5),)),
    Case(op="MatMul", name="rank_3", shapes=(TOKENS,), constants=(weights(10, 5),)),
    Case(op="MatMul", name="two_values", shapes=((1, 3, 4, 5), (1, 3, 5, 6))),
    # pooling
    Case(op="AveragePool", shapes=(MAP,), attributes=window(2, 2)),
    Case(op="AveragePool", name="pads", shapes=(MAP,), attributes=window(3, 2, pads=PADS)),
    Case(op="AveragePool", name="whole_map", shapes=(MAP,), attributes=window(8, 8)),
    Case(op="GlobalAveragePool", shapes=(MAP,)),
    Case(op="GlobalMaxPool", shapes=(MAP,)),
    Case(op="MaxPool", shapes=(MAP,), attributes=window(2, 2)),
    both(op="MaxPool", name="pads", shapes=(MAP,), attributes=window(3, 2, pads=PADS), left="PADV2"),
    # arithmetic
    Case(op="Add", shapes=(ROWS, ROWS)),
    Case(op="Add", name="broadcast", shapes=(TOKENS, (4, 1))),
    Case(op="BatchNormalization", shapes=(MAP,), constants=(weights(6), weights(6), weights(6), abs(weights(6)) + 1)),
    Case(op="Div", shapes=(ROWS, ROWS)),
    Case(op="Max", shapes=(ROWS, ROWS), int8_left="MAXIMUM"),
    Case(op="Min", shapes=(ROWS, ROWS), int8_left="MINIMUM"),
    Case(op="Mul", shapes=(ROWS, ROWS)),
    Case(op="Pow", name="two", constants=(np.array(2, np.float32),)),
    Case(op="Pow", name="three", constants=(np.array(3, np.float32),)),
    Case(op="Pow", name="half", constants=(np.array(0.5, np.float32),)),
    Case(op="Sub", shapes=(ROWS, ROWS)),
    # activations
    Case(op="Clip", name="zero_to_six", constants=(np.array(0, np.float32), np.array(6, np.float32))),
    Case(op="Clip", name="any", constants=(np.array(-2, np.float32), np.array(3, np.float32))),
    *(Case(op=op) for op in ("Abs", "Ceil", "Cos", "Elu", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu")),
    *(Case(op=op) for op in ("Log", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sin", "Sqrt", "Tanh")),
    Case(op="Gelu"),
    Case(op="Gelu", name="tanh", attributes={"approximate": "tanh"}),
    Case(op="PRelu", shapes=(MAP,), constants=(abs(weights(6, 1, 1)),)),
    Case(op="Softmax", int8_left="SOFTMAX"),
    *(Case(op=op) for op in ("Celu", "LogSoftmax", "Mish", "Selu", "Softplus", "Softsign", "Swish", "Tan")),
    *(Case(op=op, float_left="SIGN", int8_left="SIGN") for op in ("Erf", "Sign")),
    both(op="ThresholdedRelu", left="GREATER SELECT_V2"),
    both(op="Mod", shapes=(ROWS, ROWS), attributes={"fmod": 1}, left="FLOOR_MOD SIGN"),
    # normalizations
    Case(
        op="GroupNormalization", shapes=(MAP,), constants=(weights(6), weights(6)), attributes={"num_groups": 2},
        int8_left=None,
    ),
    Case(op="InstanceNormalization", shapes=(MAP,), constants=(weights(6), weights(6))),
    Case(op="LayerNormalization", shapes=(TOKENS,), constants=(weights(10), weights(10))),
    Case(op="LpNormalization"),
    Case(op="RMSNormalization", shapes=(TOKENS,), constants=(weights(10),)),
    # reductions
    Case(op="ReduceMean", shapes=(TOKENS,), constants=(ints(2),)),
    Case(op="ReduceMean", name="map", shapes=(MAP,), constants=(ints(2, 3),)),
    *(
        Case(op=op, shapes=(TOKENS,), constants=(ints(2),))
        for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMin")
    ),
    *(Case(op=op, shapes=(TOKENS,), constants=(ints(2),)) for op in ("ReduceSum", "ReduceSumSquare")),
    both(op="ReduceProd", shapes=(TOKENS,), constants=(ints(2),), left="REDUCE_PROD"),
    # shapes
    Case(op="Flatten", shapes=(TOKENS,)),
    Case(op="Reshape", shapes=(TOKENS,), constants=(ints(2, 20),)),
    Case(op="Squeeze", shapes=(TOKENS,), constants=(ints(0),)),
    Case(op="Transpose", shapes=(TOKENS,), attributes={"perm": [0, 2, 1]}),
    Case(op="Unsqueeze", constants=(ints(1),)),
    # values grown from others
    both(op="Expand", shapes=((3, 1),), constants=(ints(3, 10),), left="BROADCAST_TO"),
    both(op="Tile", constants=(ints(2, 1),), left="TILE"),
    both(op="Trilu", shapes=((4, 4),), left="SELECT_V2"),
    # parts
    Case(op="Concat", shapes=(ROWS, ROWS), attributes={"axis": 1}),
    both(op="CumSum", constants=(np.array(1, np.int64),), left="CUMSUM"),
    Case(op="Gather", name="one", shapes=(TOKENS,), constants=(np.array(2, np.int64),), attributes={"axis": 1}),
    both(op="Gather", name="several", shapes=(TOKENS,), constants=(ints(1, 0),), attributes={"axis": 1}, left="GATHER"),
    both(op="GatherND", shapes=(TOKENS,), constants=(np.array([[0, 2], [0, 1]], np.int64),), left="GATHER_ND"),
    Case(op="Pad", constants=(ints(0, 1, 0, 2),)),
    both(op="Pad", name="value", constants=(ints(0, 1, 0, 2), np.array(1, np.float32)), left="PADV2"),
    both(op="Pad", name="reflect", constants=(ints(0, 1, 0, 2),), attributes={"mode": "reflect"}, left="MIRROR_PAD"),
    Case(op="Slice", constants=(ints(1), ints(7), ints(1))),
    both(op="Slice", name="stride_2", constants=(ints(0), ints(10), ints(1), ints(2)), left="STRIDED_SLICE"),
    Case(op="Slice", name="stride_2_map", shapes=(MAP,), constants=(ints(0, 0), ints(8, 8), ints(2, 3), ints(2, 2))),
    Case(op="Split", outputs=2, constants=(ints(5, 5),), attributes={"axis": 1}),
    Case(op="Split", name="uneven", outputs=2, constants=(ints(3, 7),), attributes={"axis": 1}),
    both(op="ArgMax", attributes={"axis": 1}, result=INT64, left="ARG_MAX RESHAPE"),
    both(op="ArgMin", attributes={"axis": 1}, result=INT64, left="ARG_MIN RESHAPE"),
    Case(op="TopK", constants=(ints(3),), outputs=2, result=INT64, float_left="TOPK_V2 CAST", int8_left=None),
    both(op="ScatterND", constants=(np.array([[1]], np.int64), weights(1, 10)), left="SCATTER_ND SELECT_V2"),
    Case(
        op="OneHot", shapes=((3,),), dtype=INT64, constants=(np.array(5, np.int64), floats(0, 1)),
        float_left="ONE_HOT", int8_left=None,
    ),
    # comparisons and choices: no int8 forms
    *(
        Case(op=op, shapes=(ROWS, ROWS), dtype=dtype, result=BOOL, float_left=left, int8_left=None)
        for op, dtype, left in (
            ("And", BOOL, "LOGICAL_AND"), ("Equal", FLOAT, "EQUAL"), ("Greater", FLOAT, "GREATER"),
            ("GreaterOrEqual", FLOAT, "GREATER_EQUAL"), ("Less", FLOAT, "LESS"), ("LessOrEqual", FLOAT, "LESS_EQUAL"),
            ("Or", BOOL, "LOGICAL_OR"), ("Xor", BOOL, "NOT_EQUAL"),
        )
    ),
    Case(op="IsNaN", result=BOOL, float_left="NOT_EQUAL", int8_left=None),
    Case(op="Not", dtype=BOOL, result=BOOL, float_left="LOGICAL_NOT", int8_left=None),
    Case(op="Where", shapes=(ROWS, ROWS), float_left="SELECT_V2", int8_left=None),
    # recurrent layers, as they are unrolled
    *(
        Case(
            op=op, shapes=((3, 1, 5),), constants=(weights(1, n, 5), weights(1, n, 4)), attributes={"hidden_size": 4},
            int8_left=None,
        )
        for op, n in (("LSTM", 16), ("GRU", 12), ("RNN", 4))
    ),
    # storage
    Case(op="Cast", attributes={"to": INT32}, result=INT32, float_left="CAST", int8_left=None),
    # sizes of maps
    Case(op="DepthToSpace", shapes=((1, 8, 4, 4),), attributes={"blocksize": 2, "mode": "DCR"}),
    Case(op="SpaceToDepth", shapes=(MAP,), attributes={"blocksize": 2}),
    Case(op="Resize", name="bilinear", shapes=(MAP,), constants=DOUBLED, attributes={"mode": "linear"}),
    Case(op="Resize", name="nearest", shapes=(MAP,), constants=DOUBLED, attributes=NEAREST),
]  # fmt: skip
LAYERS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
"""Operators with weights → the axis of their output channels."""


def build(case: Case, *, int8: bool) -> onnx.ModelProto:
    """Return the case as a model; in int8, every value has the same scale and weights one per output channel."""
    inputs = [oh.make_tensor_value_info(f"x{i}", case.dtype, shape) for i, shape in enumerate(case.shapes)]
    initializers = [numpy_helper.from_array(np.array(SCALE), "scale"), numpy_helper.from_array(np.int8([0])[0], "zero")]
    nodes = []

    def rounded(name: str, result: str) -> str:
        nodes.append(oh.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{result}_q"]))
        nodes.append(oh.make_node("DequantizeLinear", [f"{result}_q", "scale", "zero"], [result]))
        return result

    if case.op == "Where":
        initializers.append(numpy_helper.from_array(np.arange(30).reshape(ROWS) % 2 == 0, "choice"))
    names = [rounded(value.name, f"{value.name}_r") if int8 else value.name for value in inputs]
    for number, array in enumerate(case.constants):
        if array is None:
            names.append("")
            continue
        names.append(f"c{number}")
        if int8 and number == 0 and case.op in LAYERS:
            nodes.append(oh.make_node("DequantizeLinear", ["w", "w_scale"], ["c0"], axis=LAYERS[case.op]))
            scales = np.full(array.shape[LAYERS[case.op]], 0.01, np.float32)
            stored = np.clip(np.rint(array / 0.01), -127, 127).astype(np.int8)
            initializers += [numpy_helper.from_array(stored, "w"), numpy_helper.from_array(scales, "w_scale")]
        else:
            initializers.append(numpy_helper.from_array(array, f"c{number}"))
    if case.op == "Where":
        names.insert(0, "choice")
    results = [f"y{i}" for i in range(case.outputs)]
    raw = [f"{name}_raw" for name in results] if int8 and case.result == FLOAT else results
    nodes.append(oh.make_node(case.op, names, raw, name="the_node", **case.attributes))
    if int8 and case.result == FLOAT:
        for name in results:
            rounded(f"{name}_raw", name)
    told = case.shapes[0] if case.op == "GroupNormalization" else None  # which ONNX infers no shape of
    types = [FLOAT] * (case.outputs - 1) + [case.result]
    outputs = [oh.make_tensor_value_info(name, kind, told) for name, kind in zip(results, types, strict=True)]
    graph = oh.make_graph(nodes, "case", inputs, outputs, initializer=initializers)
    opset = {"RMSNormalization": 23, "Swish": 24}.get(case.op, 21)
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=10)


def left_behind(path: Path) -> str:
    """Return the operators of a file that LiteRT runs with its own kernels, since XNNPACK does not take them.

    The interpreter lists the file's operators and, behind them, one DELEGATE for each part that XNNPACK took. A part
    reaches from the DELEGATE's outputs back to its inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    own = [operator for operator in operators if operator["op_name"] != "DELEGATE"]
    producer = {int(tensor): number for number, operator in enumerate(own) for tensor in operator["outputs"]}
    taken = set()
    for part in operators:
        if part["op_name"] != "DELEGATE":
            continue
        border = {int(tensor) for tensor in part["inputs"]}
        queue = deque(int(tensor) for tensor in part["outputs"])
        while queue:
            number = producer.get(queue.popleft())
            if number is None or number in taken:
                continue
            taken.add(number)
            queue.extend(int(tensor) for tensor in own[number]["inputs"] if int(tensor) not in border)
    return " ".join(operator["op_name"] for number, operator in enumerate(own) if number not in taken)


def label(case: Case) -> str:
    return f"{case.op}-{case.name}" if case.name else case.op


@pytest.mark.parametrize("case", CASES, ids=label)
def test_xnnpack_takes_of_the_float_operator_what_is_stated(case: Case, tmp_path: Path) -> None:
    artifact = emit_tflite(prepare_graph(build(case, int8=False)), tmp_path)
    assert left_behind(artifact.path) == case.float_left


@pytest.mark.parametrize("case", [case for case in CASES if case.int8_left is not None], ids=label)
def test_xnnpack_takes_of_the_int8_operator_what_is_stated(case: Case, tmp_path: Path) -> None:
    artifact = emit_tflite(prepare_graph(build(case, int8=True)), tmp_path)
    assert left_behind(artifact.path) == case.int8_left


# Constants and names, of which nothing is left in a file, and the storage that every int8 case has.
NO_OPERATOR = {"ConstantOfShape", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear", "Range", "Shape"}
# Loops and branches are written out, or refused with a reason.
NO_OPERATOR |= {"If", "Loop", "Scan"}


def test_every_operator_of_the_writer_is_stated_here() -> None:
    assert sorted(set(WRITERS) - {case.op for case in CASES} - NO_OPERATOR) == []
