"""What the planner decides on small graphs: which values are stored, with whose scale, and what stays in float."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import bias_key, plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES, Scheme

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]

IMAGE = "float[N,4,8,8] x"
TFLITE, ONNX, OPENVINO = SCHEMES["tflite-int8"], SCHEMES["onnx-u8s8"], SCHEMES["openvino-u8s8"]
each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
CPU_SCHEMES = {name: one for name, one in SCHEMES.items() if one.activation_dtype != "int16" and "htp" not in name}
each_cpu_scheme = pytest.mark.parametrize("scheme", CPU_SCHEMES.values(), ids=CPU_SCHEMES)
LEVELS = {"int8": 255, "uint8": 255, "int16": 65534, "uint16": 65535}


@each_scheme
def test_only_the_result_of_a_relu_behind_a_convolution_is_stored(
    build: Build, ranges_of: RangesOf, scheme: Scheme
) -> None:
    model = build("c = Conv(x, w, b) y = Relu(c)", inputs=IMAGE, outputs="float[N,6,8,8] y", w=(6, 4, 1, 1), b=(6,))
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert set(plan.activations) == {"x", "y"}
    assert set(plan.weights) == ({"w", "b"} if scheme.integer_biases else {"w"})
    assert not plan.float_nodes


@each_scheme
def test_a_residual_sum_with_its_relu_stays_in_integers(build: Build, ranges_of: RangesOf, scheme: Scheme) -> None:
    model = build(
        "c = Conv(x, w) d = Conv(c, w) s = Add(c, d) y = Relu(s)",
        inputs=IMAGE,
        outputs="float[N,4,8,8] y",
        w=(4, 4, 1, 1),
    )
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert set(plan.activations) == {"x", "c", "d", "y"}


def test_a_result_that_is_read_before_its_relu_is_stored_too(build: Build, ranges_of: RangesOf) -> None:
    model = build("c = Conv(x, w) r = Relu(c) y = Add(c, r)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    plan = plan_quantization(model, ranges_of(model), TFLITE)
    assert "c" in plan.activations
    assert any("RELU" in reason for reason in plan.float_nodes.values())


@pytest.mark.parametrize("scheme", [TFLITE, ONNX, OPENVINO, SCHEMES["onnx-htp-u16"]])
def test_weights_have_one_scale_per_output_channel_and_biases_the_product_of_both(
    build: Build, ranges_of: RangesOf, scheme: Scheme
) -> None:
    model = build("y = Conv(x, w, b)", inputs=IMAGE, outputs="float[N,6,8,8] y", w=(6, 4, 1, 1), b=(6,))
    plan = plan_quantization(model, ranges_of(model), scheme)
    weight, bias = plan.weights["w"], plan.weights["b"]
    assert (weight.axis, len(weight.scale), set(weight.zero_point)) == (0, 6, {0})
    product = np.float32(plan.activations["x"].scale[0]) * np.asarray(weight.scale, np.float32)
    np.testing.assert_array_equal(np.asarray(bias.scale, np.float32), product)


@pytest.mark.parametrize(
    ("body", "shape", "axis"),
    [
        ("y = Gemm(x, w)", (4, 6), 1),
        ("y = Gemm <transB = 1> (x, w)", (6, 4), 0),
        ("y = MatMul(x, w)", (4, 6), 1),
    ],
)
def test_dense_weights_are_scaled_along_the_output_axis(
    build: Build, ranges_of: RangesOf, body: str, shape: tuple[int, int], axis: int
) -> None:
    model = build(body, inputs="float[N,4] x", outputs="float[N,6] y", w=shape)
    weight = plan_quantization(model, ranges_of(model), TFLITE).weights["w"]
    assert (weight.axis, len(weight.scale)) == (axis, 6)


def test_a_transposed_convolution_is_scaled_along_axis_one(build: Build, ranges_of: RangesOf) -> None:
    model = build("y = ConvTranspose(x, w, b)", inputs=IMAGE, outputs="float[N,3,8,8] y", w=(4, 3, 1, 1), b=(3,))
    plan = plan_quantization(model, ranges_of(model), TFLITE)
    assert (plan.weights["w"].axis, len(plan.weights["w"].scale)) == (1, 3)
    assert plan_quantization(model, ranges_of(model), ONNX).activations == {}


def test_groups_of_a_transposed_convolution_repeat_the_scales_in_the_bias(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "y = ConvTranspose <group = 2> (x, w, b)", inputs=IMAGE, outputs="float[N,6,8,8] y", w=(4, 3, 1, 1), b=(6,)
    )
    plan = plan_quantization(model, ranges_of(model), TFLITE)
    assert plan.weights["b"].scale[:3] == plan.weights["b"].scale[3:]


@each_scheme
@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("c = Conv(x, w) y = MaxPool <kernel_shape = [2, 2]> (c)", "float[N,4,7,7] y"),
        ("c = Conv(x, w) y = Transpose <perm = [0, 2, 3, 1]> (c)", "float[N,8,8,4] y"),
        ("c = Conv(x, w) y = Pad(c, pads)", "float[N,4,10,10] y"),
        ("c = Conv(x, w) y = Flatten(c)", "float[N,256] y"),
    ],
    ids=["MaxPool", "Transpose", "Pad", "Flatten"],
)
def test_what_moves_values_shares_one_scale(
    build: Build, ranges_of: RangesOf, scheme: Scheme, body: str, outputs: str
) -> None:
    model = build(body, inputs=IMAGE, outputs=outputs, w=(4, 4, 1, 1), pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    plan = plan_quantization(model, ranges_of(model, c=(-1.0, 2.0), y=(-1.0, 1.5)), scheme)
    assert plan.activations["c"] == plan.activations["y"]


@each_scheme
def test_a_concatenation_gives_its_scale_to_what_it_joins(build: Build, ranges_of: RangesOf, scheme: Scheme) -> None:
    model = build(
        "c = Conv(x, w) d = Conv(x, v) y = Concat <axis = 1> (c, d)",
        inputs=IMAGE,
        outputs="float[N,8,8,8] y",
        w=(4, 4, 1, 1),
        v=(4, 4, 1, 1),
    )
    plan = plan_quantization(model, ranges_of(model, c=(-2.0, 1.0), d=(-1.0, 3.0), y=(-2.0, 3.0)), scheme)
    assert plan.activations["c"] == plan.activations["d"] == plan.activations["y"]
    span = 6 if scheme.activation_dtype == "int16" else 5  # int16 is symmetric
    assert plan.activations["c"].scale[0] == pytest.approx(span / LEVELS[scheme.activation_dtype])


def _joined_relu(build: Build) -> ir.Model:
    return build(
        "a = Conv(x, w) r = Relu(a) d = Conv(x, v) y = Concat <axis = 1> (r, d)",
        inputs=IMAGE,
        outputs="float[N,8,8,8] y",
        w=(4, 4, 1, 1),
        v=(4, 4, 1, 1),
    )


def test_a_relu_that_lives_in_the_zero_point_keeps_its_own_scale(build: Build, ranges_of: RangesOf) -> None:
    model = _joined_relu(build)
    plan = plan_quantization(model, ranges_of(model, r=(0.0, 1.0), d=(-1.0, 3.0), y=(-1.0, 3.0)), ONNX)
    assert plan.activations["r"].zero_point == (0,)
    assert plan.activations["d"] == plan.activations["y"] != plan.activations["r"]


def test_where_the_activation_is_written_out_a_relu_shares_the_joint_scale(build: Build, ranges_of: RangesOf) -> None:
    model = _joined_relu(build)
    plan = plan_quantization(model, ranges_of(model, r=(0.0, 1.0), d=(-1.0, 3.0), y=(-1.0, 3.0)), TFLITE)
    assert plan.activations["d"] == plan.activations["y"] == plan.activations["r"]


@pytest.mark.parametrize(
    ("scheme", "op", "scale", "zero_point"),
    [
        ("tflite-int8", "Sigmoid", 1 / 256, -128),
        ("tflite-int8", "Tanh", 1 / 128, 0),
        ("tflite-int16x8", "Sigmoid", 1 / 32768, 0),
        ("tflite-int16x8", "Tanh", 1 / 32768, 0),
        ("tflite-int16x8", "Softmax", 1 / 32768, 0),
        ("onnx-htp-u16", "Sigmoid", 1 / 65536, 0),
        ("onnx-htp-u16", "Tanh", 1 / 32768, 32768),
    ],
)
def test_an_engine_fixes_the_scale_of_saturating_functions(
    build: Build, ranges_of: RangesOf, scheme: str, op: str, scale: float, zero_point: int
) -> None:
    model = build(f"c = Conv(x, w) y = {op}(c)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    found = plan_quantization(model, ranges_of(model, y=(0.2, 0.4)), SCHEMES[scheme]).activations["y"]
    assert (found.scale, found.zero_point) == ((scale,), (zero_point,))


def test_a_fixed_scale_is_never_forced_on_another_value(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "c = Conv(x, w) d = Sigmoid(c) y = Concat <axis = 1> (c, d)",
        inputs=IMAGE,
        outputs="float[N,8,8,8] y",
        w=(4, 4, 1, 1),
    )
    plan = plan_quantization(model, ranges_of(model, c=(-8.0, 8.0)), TFLITE)
    assert plan.activations["c"].scale[0] == pytest.approx(16 / 255)
    assert any("fixes" in reason for reason in plan.float_nodes.values())


@each_cpu_scheme
def test_softmax_stays_in_float_with_a_reason(build: Build, ranges_of: RangesOf, scheme: Scheme) -> None:
    model = build("g = Gemm(x, w) y = Softmax(g)", inputs="float[N,4] x", outputs="float[N,6] y", w=(4, 6))
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert "y" not in plan.activations
    assert "Softmax" in next(iter(plan.float_nodes.values()))


@pytest.mark.parametrize(("scheme", "stored"), [(TFLITE, True), (ONNX, False), (OPENVINO, False)])
def test_logits_are_rounded_only_where_the_engine_insists(
    build: Build, ranges_of: RangesOf, scheme: Scheme, stored: bool
) -> None:
    model = build("y = Gemm(x, w)", inputs="float[N,4] x", outputs="float[N,6] y", w=(4, 6))
    assert ("y" in plan_quantization(model, ranges_of(model), scheme).activations) is stored


@each_scheme
def test_the_result_of_a_dense_layer_is_stored_when_another_reads_it(
    build: Build, ranges_of: RangesOf, scheme: Scheme
) -> None:
    model = build(
        "h = Gemm(x, w) r = Relu(h) y = Gemm(r, v)", inputs="float[N,4] x", outputs="float[N,3] y", w=(4, 6), v=(6, 3)
    )
    assert {"x", "r"} <= set(plan_quantization(model, ranges_of(model), scheme).activations)


def test_an_island_alone_among_floats_is_not_quantized(build: Build, ranges_of: RangesOf) -> None:
    model = build("e = Exp(x) s = Add(e, e) y = Exp(s)", inputs=IMAGE, outputs="float[N,4,8,8] y")
    plan = plan_quantization(model, ranges_of(model), TFLITE)
    assert not plan.activations
    assert len(plan.float_nodes) == 3


@each_scheme
def test_a_pad_on_the_input_of_a_convolution_moves_integers(build: Build, ranges_of: RangesOf, scheme: Scheme) -> None:
    model = build(
        "p = Pad(x, pads) y = Conv(p, w)",
        inputs=IMAGE,
        outputs="float[N,4,10,10] y",
        w=(4, 4, 1, 1),
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    )
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert plan.activations["x"] == plan.activations["p"]


def test_a_product_of_two_activations_stays_in_float(build: Build, ranges_of: RangesOf) -> None:
    model = build("y = MatMul(x, z)", inputs="float[3,4] x, float[4,5] z", outputs="float[3,5] y")
    assert "product" in next(iter(plan_quantization(model, ranges_of(model), ONNX).float_nodes.values()))


@pytest.mark.parametrize(("scheme", "stored"), [(TFLITE, {"w", "b"}), (ONNX, {"w"}), (OPENVINO, {"w"})])
def test_the_bias_added_after_a_matmul_belongs_to_it(
    build: Build, ranges_of: RangesOf, scheme: Scheme, stored: set[str]
) -> None:
    model = build("m = MatMul(x, w) y = Add(m, b)", inputs="float[N,7,4] x", outputs="float[N,7,6] y", w=(4, 6), b=(6,))
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert set(plan.weights) == stored
    assert "m" not in plan.activations
    assert not plan.float_nodes


def test_layers_that_share_weights_share_their_scales_but_not_the_bias(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "c = Conv(x, w, b) y = Conv(c, w, b)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1), b=(4,)
    )
    plan = plan_quantization(model, ranges_of(model, c=(-3.0, 3.0)), TFLITE)
    biases = [found for name, found in plan.weights.items() if name.startswith("b")]
    assert len(biases) == 2
    assert biases[0] != biases[1]
    assert bias_key("b", "y") in plan.weights


def test_a_weight_used_along_two_axes_is_quantized_once(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "h = Gemm(x, w) y = Gemm <transB = 1> (h, w)", inputs="float[N,4] x", outputs="float[N,4] y", w=(4, 4)
    )
    plan = plan_quantization(model, ranges_of(model), TFLITE)
    assert "another axis" in next(iter(plan.float_nodes.values()))


def test_a_value_without_a_range_keeps_its_node_in_float(build: Build, ranges_of: RangesOf) -> None:
    model = build("y = Conv(x, w)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    plan = plan_quantization(model, {"x": (-1.0, 1.0)}, TFLITE)
    assert "'y'" in next(iter(plan.float_nodes.values()))


def test_nodes_can_be_excluded_by_name(build: Build, ranges_of: RangesOf) -> None:
    model = build("y = Conv(x, w)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    plan = plan_quantization(model, ranges_of(model), TFLITE, excluded={"y": "too sensitive"})
    assert plan == QuantizationPlan(scheme="tflite-int8", float_nodes={"y": "too sensitive"})


@each_cpu_scheme
def test_every_node_is_either_integer_or_has_a_reason(build: Build, ranges_of: RangesOf, scheme: Scheme) -> None:
    model = build(
        "c = Conv(x, w) h = HardSwish(c) a = AveragePool <kernel_shape = [2, 2]> (h) g = GlobalAveragePool(a) "
        "f = Flatten(g) y = Softmax(f)",
        inputs=IMAGE,
        outputs="float[N,4] y",
        w=(4, 4, 1, 1),
    )
    plan = plan_quantization(model, ranges_of(model), scheme)
    assert {"h", "y"} <= set(plan.float_nodes)
    assert "c" not in plan.float_nodes
    assert all(plan.float_nodes.values())
