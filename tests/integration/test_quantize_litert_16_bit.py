"""16-bit activations in LiteRT: every operator of the scheme, whole networks, and single layers inside an int8 plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.litert

LARGEST_WEIGHT_ERROR = 0.02
"""Weights have 8 bits still: half a step of 1/127 per weight. Without weights, activations alone are some 1e-4."""
LARGEST_ACTIVATION_ERROR = 5e-4

IMAGE, MAP = (1, 4, 8, 8), "float[1,4,8,8]"
CASES: dict[str, tuple[str, str, dict[str, tuple[int, ...] | NDArray[Any]]]] = {
    "Conv": ("y = Conv(s, w, b)", "float[1,6,8,8] y", {"w": (6, 4, 1, 1), "b": (6,)}),
    "Conv and Relu": ("c = Conv(s, w, b) y = Relu(c)", "float[1,6,8,8] y", {"w": (6, 4, 1, 1), "b": (6,)}),
    "Conv and Clip": ("c = Conv(s, w, b) y = Clip(c, n, m)", "float[1,6,8,8] y", {
        "w": (6, 4, 1, 1), "b": (6,), "n": np.float32(0), "m": np.float32(6)}),
    "depthwise": ("y = Conv <group = 4, pads = [1, 1, 1, 1]> (s, w)", f"{MAP} y", {"w": (4, 1, 3, 3)}),
    "ConvTranspose": ("y = ConvTranspose <strides = [2, 2]> (s, w, b)", "float[1,6,16,16] y", {
        "w": (4, 6, 2, 2), "b": (6,)}),
    "Gemm": ("f = Flatten(s) y = Gemm(f, w, b)", "float[1,5] y", {"w": (256, 5), "b": (5,)}),
    "MatMul and Add": ("m = MatMul(s, w) y = Add(m, b)", "float[1,4,8,5] y", {"w": (8, 5), "b": (5,)}),
    "Add": ("t = Conv(s, first) y = Add(s, t)", f"{MAP} y", {}),
    "Sub": ("t = Sigmoid(s) y = Sub(s, t)", f"{MAP} y", {}),
    "Mul": ("t = Conv(s, first) y = Mul(s, t)", f"{MAP} y", {}),
    "Mul by a constant": ("y = Mul(s, k)", f"{MAP} y", {"k": (1, 4, 1, 1)}),
    "Sigmoid": ("y = Sigmoid(s)", f"{MAP} y", {}),
    "Tanh": ("y = Tanh(s)", f"{MAP} y", {}),
    "Softmax": ("y = Softmax(s)", f"{MAP} y", {}),
    "LeakyRelu": ("y = LeakyRelu <alpha = 0.1> (s)", f"{MAP} y", {}),
    "GlobalAveragePool": ("y = GlobalAveragePool(s)", "float[1,4,1,1] y", {}),
    "AveragePool": ("y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (s)", "float[1,4,4,4] y", {}),
    "ReduceMean": ("y = ReduceMean(s, axes)", "float[1,4,1,8] y", {"axes": np.array([2])}),
    "Concat": ("y = Concat <axis = 1> (s, x)", "float[1,8,8,8] y", {}),
    "MaxPool": ("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)", "float[1,4,4,4] y", {}),
    "MaxPool with pads": ("y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (s)",
                          "float[1,4,4,4] y", {}),
    "Pad": ("y = Pad(s, pads)", "float[1,4,10,10] y", {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    "Resize": ('y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (s, , k)',
               "float[1,4,16,16] y", {"k": np.array([1, 1, 2, 2], np.float32)}),
    "Slice": ("y = Slice(s, n, m, axes)", "float[1,4,4,8] y", {
        "n": np.array([2]), "m": np.array([6]), "axes": np.array([2])}),
    "Slice with steps": ("y = Slice(s, n, m, axes, steps)", "float[1,4,4,4] y", {
        "n": np.array([0, 0]), "m": np.array([8, 8]), "axes": np.array([2, 3]), "steps": np.array([2, 2])}),
    "Split": ("y, z = Split <axis = 1, num_outputs = 2> (s)", "float[1,2,8,8] y, float[1,2,8,8] z", {}),
    "Transpose": ("y = Transpose <perm = [0, 2, 1, 3]> (s)", "float[1,8,4,8] y", {}),
    "Gather": ("y = Gather <axis = 1> (s, i)", "float[1,3,8,8] y", {"i": np.array([3, 0, 2])}),
}  # fmt: skip


def _model(body: str, outputs: str, constants: dict[str, Any], inputs: str = f"{MAP} x") -> ir.Model:
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 18]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for name, given in constants.items():
        array = random.normal(size=given).astype(np.float32) if isinstance(given, tuple) else np.asarray(given)
        if isinstance(given, tuple):
            array /= np.float32(np.sqrt(max(array[0].size, 1)))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples(n: int = 16) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(n, *IMAGE[1:])).astype(np.float32)


def _ranges(model: ir.Model) -> dict[str, tuple[float, float]]:
    return dict(collect_ranges(model, ({"x": x[None]} for x in _samples()), methods=("minmax",)).tensors["minmax"])


def _run(path: Path) -> tuple[dict[str, NDArray[np.float32]], Counter[str]]:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    found: dict[str, list[NDArray[np.float32]]] = {}
    for sample in _samples():
        for name, array in runner(x=sample[None]).items():
            found.setdefault(name, []).append(array)
    details = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    operators = Counter(
        f"{op['op_name']} {np.dtype(details[op['outputs'][0]]).name}" for op in interpreter._get_ops_details()
    )
    return {name: np.concatenate(arrays) for name, arrays in found.items()}, operators


def _error(model: ir.Model, found: dict[str, NDArray[np.float32]]) -> float:
    wanted = GraphRunner(model).run({"x": _samples()})
    return max(float(np.linalg.norm(found[name] - wanted[name]) / np.linalg.norm(wanted[name])) for name in wanted)


@pytest.mark.parametrize("case", CASES)
def test_an_operator_with_16_bit_activations_runs_right_in_integers(case: str, tmp_path: Path) -> None:
    body, outputs, constants = CASES[case]
    model = _model(
        f"s = Conv(x, first) {body}", outputs, {"first": np.eye(4, dtype=np.float32)[:, :, None, None]} | constants
    )
    plan = plan_quantization(model, _ranges(model), SCHEMES["tflite-int16x8"])
    assert not plan.float_nodes
    found, operators = _run(emit_tflite(insert_qdq(model, plan)[0], tmp_path).path)
    has_weights = any(isinstance(given, tuple) for given in constants.values()) and case != "Mul by a constant"
    assert _error(model, found) < (LARGEST_WEIGHT_ERROR if has_weights else LARGEST_ACTIVATION_ERROR)
    floats = [name for name in operators if name.endswith("float32") and not name.startswith("DEQUANTIZE")]
    assert not floats


NETWORK = "a = Conv(x, w) r = Relu(a) b = Conv(r, v) s = Sigmoid(b) m = Mul(b, s) c = Conv(m, u) y = Add(c, r)"
WEIGHTS: dict[str, Any] = {"w": (4, 4, 1, 1), "v": (4, 4, 1, 1), "u": (4, 4, 1, 1)}


def test_single_layers_of_an_int8_plan_compute_in_16_bits(tmp_path: Path) -> None:
    model = _model(NETWORK, f"{MAP} y", WEIGHTS)
    ranges = _ranges(model)
    plan = plan_quantization(model, ranges, SCHEMES["tflite-int8"], wide=("b", "s", "m"))
    assert not plan.narrow_nodes
    assert set(plan.wide_nodes) == {"b", "s", "m"}
    found, operators = _run(emit_tflite(insert_qdq(model, plan)[0], tmp_path).path)
    # the input and r are read in 8 bits and in 16 bits, m in 8
    assert operators["CONV_2D int16"] == 1
    assert operators["LOGISTIC int16"] == operators["MUL int16"] == 1
    assert not any("float32" in name and "DEQUANTIZE" not in name and "DELEGATE" not in name for name in operators)
    graph = GraphRunner(insert_qdq(model, plan)[0]).run({"x": _samples()})
    step = plan.activations["y"].scale[0]
    assert np.abs(found["y"] - graph["y"]).max() <= 2.01 * step


def test_16_bits_where_8_are_too_few_bring_the_accuracy_back(tmp_path: Path) -> None:
    # One channel is 300 times the others: in 8 bits the others are two steps.
    body = "h = Mul(x, big) a = Conv(h, w) c = Mul(a, small) y = Conv(c, v)"
    size = np.array([300, 1, 1, 1], np.float32).reshape(1, 4, 1, 1)
    eye = np.eye(4, dtype=np.float32)[:, :, None, None]
    model = _model(f"e = Conv(x, v) {body.replace('(x, big)', '(e, big)')}", f"{MAP} y",
                   {"big": size, "small": 1 / size, "w": eye, "v": eye})  # fmt: skip
    ranges = _ranges(model)
    errors = {}
    for label, wide in (("narrow", ()), ("wide", ("h", "a", "c"))):
        plan = plan_quantization(model, ranges, SCHEMES["tflite-int8"], wide=wide)
        errors[label] = _error(model, _run(emit_tflite(insert_qdq(model, plan)[0], tmp_path, stem=label).path)[0])
    assert errors["narrow"] > 0.3
    assert errors["wide"] < errors["narrow"] / 10


def test_a_node_without_a_16_bit_kernel_stays_in_8_bits_and_says_so() -> None:
    model = _model("c = Conv(x, w) y = Elu(c)", f"{MAP} y", {"w": (4, 4, 1, 1)})
    plan = plan_quantization(model, _ranges(model), SCHEMES["tflite-int8"], wide=("c", "y"))
    assert plan.wide_nodes == ("c",)
    assert "16-bit Elu" in plan.narrow_nodes["y"]


def test_one_scale_for_all_channels_is_written_and_computed(tmp_path: Path) -> None:
    model = _model("c = Conv(x, w, b) y = ConvTranspose(c, v, d)", "float[1,6,8,8] y",
                   {"w": (4, 4, 1, 1), "b": (4,), "v": (4, 6, 1, 1), "d": (6,)})  # fmt: skip
    plan = plan_quantization(model, _ranges(model), SCHEMES["tflite-int8-per-tensor"])
    path = emit_tflite(insert_qdq(model, plan)[0], tmp_path).path
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    stored = litert.Interpreter(str(path)).get_tensor_details()
    assert all(len(tensor["quantization_parameters"]["scales"]) <= 1 for tensor in stored)
    assert _error(model, _run(path)[0]) < LARGEST_WEIGHT_ERROR
