"""Every operator of the twin computes what ONNX Runtime computes, one node at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.train.ops.table import OPERATORS
from edgeai_converters.train.twin import make_twin, run_twin

pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

ROUNDING = 1e-5
"""Two engines that add the same float32 products in another order differ by less."""

MAPS = "float[2,4,7,6] x"


@dataclass(frozen=True)
class Case:
    """A node in ONNX text, its input, and constants: a shape is filled with seeded normals."""

    body: str
    inputs: str = MAPS
    constants: dict[str, Any] = field(default_factory=dict)
    output: str = "float"
    positive: bool = False


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


STEPS = "float[5,2,3] x"
PLAIN = {
    name: Case(f"y = {name}(x)")
    for name in (
        *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Neg", "Reciprocal", "Round", "Sign", "Sin", "Tan"),
        *("Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "Relu", "Selu"),
        *("Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
        *("Dropout", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Transpose"),
        *("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
        *("ReduceSumSquare", "ReduceLogSumExp", "LpNormalization"),
    )
}
POSITIVE = {name: Case(f"y = {name}(x)", positive=True) for name in ("Log", "Sqrt", "ReduceLogSum")}
BINARY = {
    name: Case(f"y = {name}(x, c)", constants={"c": (4, 1, 6)})
    for name in ("Add", "Div", "Max", "Mean", "Min", "Mul", "Sub", "Sum")
}
LOGIC = {
    name: Case(f"b = {name}(x, c) y = Cast <to = 1> (b)", constants={"c": (6,)})
    for name in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
} | {
    name: Case(
        f"p = Greater(x, c) q = Less(x, d) b = {name}(p, q) y = Cast <to = 1> (b)", constants={"c": (6,), "d": (1,)}
    )
    for name in ("And", "Or", "Xor")
}
LAYERS = {
    "Conv": Case("y = Conv <pads = [1, 0, 1, 2]> (x, w, b)", constants={"w": (6, 4, 3, 2), "b": (6,)}),
    "Conv strided, dilated": Case(
        "y = Conv <strides = [2, 1], dilations = [1, 2], pads = [2, 1, 2, 1]> (x, w)", constants={"w": (6, 4, 3, 3)}
    ),
    "Conv grouped": Case("y = Conv <group = 2> (x, w, b)", constants={"w": (6, 2, 3, 3), "b": (6,)}),
    "Conv depthwise, same": Case(
        'y = Conv <group = 4, auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w)', constants={"w": (8, 1, 3, 3)}
    ),
    "Conv 1-D, same lower": Case(
        'y = Conv <auto_pad = "SAME_LOWER">(x, w)', "float[2,4,9] x", constants={"w": (3, 4, 4)}
    ),
    "ConvTranspose": Case(
        "y = ConvTranspose <strides = [2, 2], pads = [1, 0, 0, 1], output_padding = [1, 0]> (x, w, b)",
        constants={"w": (4, 3, 3, 3), "b": (3,)},
    ),
    "ConvTranspose grouped": Case("y = ConvTranspose <group = 2> (x, w)", constants={"w": (4, 3, 3, 3)}),
    "ConvTranspose to a shape": Case(
        "y = ConvTranspose <strides = [2, 2], output_shape = [14, 12]> (x, w)", constants={"w": (4, 3, 3, 3)}
    ),
    "Gemm": Case(
        "y = Gemm <alpha = 0.5, beta = 2.0, transA = 1> (x, w, b)", "float[4,3] x", constants={"w": (4, 5), "b": (5,)}
    ),
    "MatMul": Case("y = MatMul(x, w)", constants={"w": (6, 5)}),
    "PRelu": Case("y = PRelu(x, w)", constants={"w": (4, 1, 1)}),
    "BatchNormalization": Case(
        "y = BatchNormalization(x, s, b, m, v)",
        constants={"s": (4,), "b": (4,), "m": (4,), "v": np.array([0.5, 1, 2, 3], np.float32)},
    ),
    "GroupNormalization": Case("y = GroupNormalization <num_groups = 2> (x, s, b)", constants={"s": (2,), "b": (2,)}),
    "InstanceNormalization": Case("y = InstanceNormalization(x, s, b)", constants={"s": (4,), "b": (4,)}),
    "LayerNormalization": Case("y = LayerNormalization <axis = 2> (x, s, b)", constants={"s": (7, 6), "b": (7, 6)}),
    "LSTM": Case(
        "y, h, c = LSTM <hidden_size = 4> (x, w, r, b)", STEPS, {"w": (1, 16, 3), "r": (1, 16, 4), "b": (1, 32)}
    ),
    "LSTM with a state and peepholes": Case(
        "y, h, c = LSTM <hidden_size = 4, clip = 0.7> (x, w, r, b, , h0, c0, p)",
        STEPS,
        {"w": (1, 16, 3), "r": (1, 16, 4), "b": (1, 32), "h0": (1, 2, 4), "c0": (1, 2, 4), "p": (1, 12)},
    ),
    "LSTM bidirectional": Case(
        'y = LSTM <hidden_size = 4, direction = "bidirectional"> (x, w, r)', STEPS, {"w": (2, 16, 3), "r": (2, 16, 4)}
    ),
    "GRU": Case("y, h = GRU <hidden_size = 4> (x, w, r, b)", STEPS, {"w": (1, 12, 3), "r": (1, 12, 4), "b": (1, 24)}),
    "GRU reset after, backwards": Case(
        'y, h = GRU <hidden_size = 4, linear_before_reset = 1, direction = "reverse"> (x, w, r, b)',
        STEPS,
        {"w": (1, 12, 3), "r": (1, 12, 4), "b": (1, 24)},
    ),
    "RNN": Case(
        'y, h = RNN <hidden_size = 4, activations = ["Relu"]> (x, w, r, b)',
        STEPS,
        {"w": (1, 4, 3), "r": (1, 4, 4), "b": (1, 8)},
    ),
    "MaxPool": Case("y = MaxPool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1]> (x)"),
    "MaxPool rounded up": Case("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)"),
    "AveragePool": Case("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)"),
    "AveragePool counting pads": Case(
        "y = AveragePool <kernel_shape = [3, 3], pads = [1, 0, 1, 1], count_include_pad = 1> (x)"
    ),
    "AveragePool rounded up": Case("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)"),
}
MOVES = {
    "Clip": Case("y = Clip(x, low, high)", constants={"low": np.float32(-0.5), "high": np.float32(0.25)}),
    "Clip above": Case("y = Clip(x, , high)", constants={"high": np.float32(0.25)}),
    "Pow": Case("y = Pow(x, c)", constants={"c": np.float32(3)}),
    "Mod": Case("y = Mod <fmod = 1> (x, c)", constants={"c": np.float32(0.3)}),
    "Gelu by tanh": Case('y = Gelu <approximate = "tanh"> (x)'),
    "IsNaN": Case("b = IsNaN(x) y = Cast <to = 1> (b)"),
    "Not": Case("p = Greater(x, c) b = Not(p) y = Cast <to = 1> (b)", constants={"c": (6,)}),
    "Where": Case("p = Greater(x, c) y = Where(p, x, c)", constants={"c": (6,)}),
    "ArgMax": Case("i = ArgMax <axis = 1> (x) y = Cast <to = 1> (i)"),
    "ArgMin": Case("i = ArgMin <axis = -1, keepdims = 0> (x) y = Cast <to = 1> (i)"),
    "CumSum": Case("y = CumSum <exclusive = 1, reverse = 1> (x, axis)", constants={"axis": np.int64(2)}),
    "ReduceMean over some axes": Case("y = ReduceMean <keepdims = 0> (x, axes)", constants={"axes": ints(-1, 1)}),
    "ReduceSum over none": Case("y = ReduceSum <noop_with_empty_axes = 1> (x)"),
    "Concat": Case("y = Concat <axis = 1> (x, c, x)", constants={"c": (2, 1, 7, 6)}),
    "Split": Case("a, b = Split <axis = 1> (x, s) y = Concat <axis = 1> (b, a)", constants={"s": ints(1, 3)}),
    "Split in parts": Case("a, b = Split <axis = 2, num_outputs = 2> (x) y = Concat <axis = 2> (b, a)"),
    "Slice": Case(
        "y = Slice(x, from, to, axes, steps)",
        constants={"from": ints(1, -5), "to": ints(2**40, -1), "axes": ints(1, -1), "steps": ints(1, 2)},
    ),
    "Slice backwards": Case(
        "y = Slice(x, from, to, axes, steps)",
        constants={"from": ints(-1, 4), "to": ints(-(2**40), 1), "axes": ints(2, 3), "steps": ints(-1, -2)},
    ),
    "Gather": Case("y = Gather <axis = 1> (x, i)", constants={"i": np.array([[2, -1], [0, 0]])}),
    "Gather one": Case("y = Gather <axis = 2> (x, i)", constants={"i": np.int64(-2)}),
    "Gather by an input": Case("y = Gather(w, x)", "int64[2,3] x", constants={"w": (5, 4)}),
    "Gather along the last axis by an input": Case(
        "y = Gather <axis = 1> (w, x)", "int64[2,3] x", constants={"w": (5, 4)}
    ),
    "Pad": Case("y = Pad(x, p, v)", constants={"p": ints(0, 0, 1, 2, 0, 1, 0, -1), "v": np.float32(0.5)}),
    "Pad reflecting": Case('y = Pad <mode = "reflect"> (x, p)', constants={"p": ints(0, 1, 2, 0, 0, 2, 1, 0)}),
    "Pad with the edge": Case(
        'y = Pad <mode = "edge"> (x, p, , axes)', constants={"p": ints(1, 2, 0, 1), "axes": ints(2, -1)}
    ),
    "DepthToSpace": Case("y = DepthToSpace <blocksize = 2> (x)"),
    "DepthToSpace by columns": Case('y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)'),
    "SpaceToDepth": Case("y = SpaceToDepth <blocksize = 2> (x)", "float[2,3,4,6] x"),
    "Trilu": Case("y = Trilu <upper = 0> (x, k)", constants={"k": np.int64(1)}),
    "Reshape": Case("y = Reshape(x, s)", constants={"s": ints(0, -1, 3)}),
    "Squeeze": Case("y = Squeeze(x, a)", "float[2,1,3,1] x", constants={"a": ints(-1)}),
    "Unsqueeze": Case("y = Unsqueeze(x, a)", constants={"a": ints(-1, 0)}),
    "Expand": Case("y = Expand(x, s)", "float[2,1,3] x", constants={"s": ints(4, 1, 5, 1)}),
    "Tile": Case("y = Tile(x, t)", "float[2,1,3] x", constants={"t": ints(1, 3, 2)}),
    "Transpose of axes": Case("y = Transpose <perm = [0, 2, 3, 1]> (x)"),
    "Flatten before the last": Case("y = Flatten <axis = -1> (x)"),
    "Shape": Case("s = Shape(x) y = Cast <to = 1> (s)"),
    "Size": Case("s = Size(x) y = Cast <to = 1> (s)"),
    "ConstantOfShape": Case("s = Shape(x) z = ConstantOfShape(s) y = Add(x, z)"),
    "Range": Case(
        "s = Shape <start = 2, end = 3> (x) n = Squeeze(s) i = Range(zero, n, one) y = Cast <to = 1> (i)",
        constants={"zero": np.int64(0), "one": np.int64(2)},
    ),
    "OneHot": Case(
        "y = OneHot <axis = 1> (x, d, v)", "int64[2,3] x", {"d": np.int64(4), "v": np.array([-1, 2], np.float32)}
    ),
    "Resize nearest": Case(
        'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , s)',
        constants={"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "Resize nearest, half pixels": Case("y = Resize(x, , , s)", constants={"s": ints(2, 4, 10, 9)}),
    "Resize linear": Case('y = Resize <mode = "linear"> (x, , , s)', constants={"s": ints(2, 4, 12, 4)}),
    "Resize linear, corners": Case(
        'y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners", axes = [2, 3]> (x, , , s)',
        constants={"s": ints(12, 9)},
    ),
    "Resize cubic": Case('y = Resize <mode = "cubic"> (x, , , s)', constants={"s": ints(2, 4, 12, 9)}),
    "QuantizeLinear, DequantizeLinear": Case(
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
        constants={"s": np.float32(0.01), "z": np.uint8(100)},
    ),
    "DequantizeLinear of a constant": Case(
        "d = DequantizeLinear <axis = 1> (w, s) y = Add(x, d)",
        constants={"w": np.arange(-21, 21, dtype=np.int8).reshape(7, 6), "s": np.arange(1, 7, dtype=np.float32)},
    ),
}
CASES = PLAIN | POSITIVE | BINARY | LOGIC | LAYERS | MOVES


def _model(case: Case) -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["" : 20]> g ({case.inputs}) => ({case.output} y) {{ {case.body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, given in case.constants.items():
        array = random.normal(size=given).astype(np.float32) if isinstance(given, tuple) else np.asarray(given)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


@pytest.mark.parametrize("name", CASES)
def test_operator_computes_what_onnx_runtime_computes(name: str) -> None:
    case = CASES[name]
    model = _model(case)
    random = np.random.default_rng(1)
    shape = [int(size) for size in model.graph.inputs[0].shape or ()]
    array = random.integers(0, 4, shape) if case.inputs.startswith("int64") else random.normal(size=shape)
    array = np.abs(array) + 0.1 if case.positive else array
    inputs = {"x": array.astype(np.int64 if case.inputs.startswith("int64") else np.float32)}
    parity = measure_parity(GraphRunner(model).run(inputs), run_twin(make_twin(model), inputs))
    assert parity.max_rel < ROUNDING


NEWER_THAN_THE_CASES = {"RMSNormalization", "Swish"}  # opset 23 and 24


def test_every_operator_of_the_table_has_a_case() -> None:
    tried = {node.op_type for case in CASES.values() for node in _model(case).graph}
    assert set(OPERATORS) - tried - NEWER_THAN_THE_CASES == set()
