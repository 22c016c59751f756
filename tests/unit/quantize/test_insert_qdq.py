"""The pass that writes a plan into a graph: where the nodes are, and what keeps its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_runtime.errors import UsageError

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]

IMAGE = "float[N,4,8,8] x"


def _quantized(model: ir.Model, ranges: dict[str, tuple[float, float]], scheme: str = "tflite-int8") -> ir.Model:
    quantized, changed = insert_qdq(model, plan_quantization(model, ranges, SCHEMES[scheme]))
    assert changed
    onnx.checker.check_model(ir.to_proto(quantized), full_check=True)
    return quantized


def _node(model: ir.Model, op: str) -> ir.Node:
    return next(node for node in model.graph if node.op_type == op)


def _producer(node: ir.Node, index: int = 0) -> ir.Node:
    value = node.inputs[index]
    assert value is not None
    found = value.producer()
    assert found is not None
    return found


@pytest.fixture
def conv_relu(build: Build) -> ir.Model:
    return build("c = Conv(x, w, b) y = Relu(c)", inputs=IMAGE, outputs="float[N,6,8,8] y", w=(6, 4, 1, 1), b=(6,))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_convolution_reads_dequantized_input_weight_and_bias(
    conv_relu: ir.Model, ranges_of: RangesOf, scheme: str
) -> None:
    conv = _node(_quantized(conv_relu, ranges_of(conv_relu), scheme), "Conv")
    count = 3 if SCHEMES[scheme].integer_biases else 2
    stored = [_producer(conv, index).inputs[0] for index in range(count)]
    assert all(_producer(conv, index).op_type == "DequantizeLinear" for index in range(count))
    activation = SCHEMES[scheme].activation_dtype.upper()
    found = [value.dtype.name for value in stored if value is not None and value.dtype]
    assert found == [activation, "INT8", "INT32"][:count]


def test_nothing_stands_between_a_convolution_and_its_relu(conv_relu: ir.Model, ranges_of: RangesOf) -> None:
    assert _producer(_node(_quantized(conv_relu, ranges_of(conv_relu)), "Relu")).op_type == "Conv"


def test_names_of_inputs_and_outputs_stay(conv_relu: ir.Model, ranges_of: RangesOf) -> None:
    quantized = _quantized(conv_relu, ranges_of(conv_relu))
    assert [value.name for value in quantized.graph.inputs] == ["x"]
    assert [value.name for value in quantized.graph.outputs] == ["y"]
    assert quantized.graph.outputs[0].producer().op_type == "DequantizeLinear"  # type: ignore[union-attr]


def test_the_float_constants_are_gone(conv_relu: ir.Model, ranges_of: RangesOf) -> None:
    initializers = _quantized(conv_relu, ranges_of(conv_relu)).graph.initializers
    assert not {"w", "b"} & set(initializers)


def test_the_graph_given_is_not_changed(conv_relu: ir.Model, ranges_of: RangesOf) -> None:
    before = ir.to_proto(conv_relu).SerializeToString()
    _quantized(conv_relu, ranges_of(conv_relu))
    assert ir.to_proto(conv_relu).SerializeToString() == before


def test_an_empty_plan_changes_nothing(conv_relu: ir.Model) -> None:
    assert insert_qdq(conv_relu, QuantizationPlan(scheme="tflite-int8")) == (conv_relu, False)


def test_a_plan_for_another_graph_is_refused(conv_relu: ir.Model) -> None:
    quantization = TensorQuantization(dtype="int8", scale=(1.0,), zero_point=(0,))
    plan = QuantizationPlan(scheme="tflite-int8", activations={"elsewhere": quantization})
    with pytest.raises(UsageError, match="elsewhere"):
        insert_qdq(conv_relu, plan)


def test_stored_weights_are_the_rounded_ones(conv_relu: ir.Model, ranges_of: RangesOf) -> None:
    dequantize = _producer(_node(_quantized(conv_relu, ranges_of(conv_relu)), "Conv"), 1)
    stored, scale, _ = (value.const_value.numpy() for value in dequantize.inputs)  # type: ignore[union-attr]
    original = conv_relu.graph.initializers["w"].const_value
    assert original is not None
    error = np.abs(stored * scale.reshape(-1, 1, 1, 1) - original.numpy())
    assert (error.max(axis=(1, 2, 3)) <= scale / 2 * 1.0001).all()


def test_a_float_reader_of_an_integer_producer_reads_the_dequantized_value(build: Build, ranges_of: RangesOf) -> None:
    model = build("c = Conv(x, w) y = HardSwish(c)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    assert _producer(_node(_quantized(model, ranges_of(model)), "HardSwish")).op_type == "DequantizeLinear"


def test_a_float_reader_of_a_float_producer_keeps_the_unrounded_value(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "h = HardSwish(x) c = Conv(h, w) s = Softmax(h)",
        inputs=IMAGE,
        outputs="float[N,4,8,8] c, float[N,4,8,8] s",
        w=(4, 4, 1, 1),
    )
    quantized = _quantized(model, ranges_of(model))
    assert _producer(_node(quantized, "Softmax")).op_type == "HardSwish"
    assert _producer(_node(quantized, "Conv")).op_type == "DequantizeLinear"


def test_an_output_that_is_read_inside_keeps_its_name_and_both_read_the_rounded_value(
    build: Build, ranges_of: RangesOf
) -> None:
    model = build(
        "c = Conv(x, w) y = Conv(c, w)",
        inputs=IMAGE,
        outputs="float[N,4,8,8] c, float[N,4,8,8] y",
        w=(4, 4, 1, 1),
    )
    quantized = _quantized(model, ranges_of(model))
    assert [value.name for value in quantized.graph.outputs] == ["c", "y"]
    second = [node for node in quantized.graph if node.op_type == "Conv"][1]
    assert second.inputs[0] is quantized.graph.outputs[0]


def test_a_shared_weight_is_stored_once(build: Build, ranges_of: RangesOf) -> None:
    model = build("c = Conv(x, w) y = Conv(c, w)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    counts = Counter(node.op_type for node in _quantized(model, ranges_of(model)).graph)
    assert counts["DequantizeLinear"] == 4


def test_a_shared_bias_is_stored_once_per_scale(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "c = Conv(x, w, b) y = Conv(c, w, b)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 4, 1, 1), b=(4,)
    )
    quantized = _quantized(model, ranges_of(model, c=(-3.0, 3.0)))
    first, second = (_producer(node, 2) for node in quantized.graph if node.op_type == "Conv")
    assert first is not second


def test_names_that_are_taken_are_not_taken_again(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "x_quantized = Conv(x, w) y = Conv(x_quantized, w)",
        inputs=IMAGE,
        outputs="float[N,4,8,8] y",
        w=(4, 4, 1, 1),
    )
    names = [value.name for node in _quantized(model, ranges_of(model)).graph for value in node.outputs]
    assert len(names) == len(set(names))


def test_the_pad_value_stays_a_plain_constant_even_if_a_sum_shares_it(build: Build, ranges_of: RangesOf) -> None:
    model = build(
        "c = Conv(x, w) p = Pad(c, pads, zero) y = Add(p, zero)",
        inputs=IMAGE,
        outputs="float[N,4,10,10] y",
        w=(4, 4, 1, 1),
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        zero=np.zeros((), np.float32),
    )
    value = _node(_quantized(model, ranges_of(model)), "Pad").inputs[2]
    assert value is not None
    assert value.const_value is not None
