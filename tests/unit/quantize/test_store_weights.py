"""Weight storage: which constants become float16 or int8 in which format, and which stay."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.manifest import FORMATS, Format

Build = Callable[..., ir.Model]

IMAGE = "float[N,32,8,8] x"


def _types(model: ir.Model) -> set[str]:
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return {value.dtype.name for value in model.graph.initializers.values() if value.dtype is not None}


def _conv(build: Build, weight: tuple[int, ...] | np.ndarray = (32, 32, 1, 1), group: int = 1) -> ir.Model:
    return build(f"y = Conv <group = {group}> (x, w, b)", inputs=IMAGE, outputs="float[N,32,8,8] y", w=weight, b=(32,))


def test_a_large_weight_is_stored_as_float16_behind_a_cast(build: Build) -> None:
    model, changed = store_float16(_conv(build))
    assert changed
    assert _types(model) == {"FLOAT16", "FLOAT"}
    assert [node.op_type for node in model.graph] == ["Cast", "Conv"]


def test_a_float16_weight_is_the_nearest_to_the_original(build: Build) -> None:
    source = _conv(build)
    stored = store_float16(source)[0].graph.initializers["w_float16"].const_value
    original = source.graph.initializers["w"].const_value
    assert stored is not None
    assert original is not None
    np.testing.assert_array_equal(stored.numpy(), original.numpy().astype(np.float16))


@pytest.mark.parametrize("value", [70000.0, np.inf, np.nan, 1e-6], ids=str)
def test_a_weight_that_float16_can_not_hold_stays_and_the_log_says_so(
    build: Build, caplog: pytest.LogCaptureFixture, value: float
) -> None:
    weight = np.full((32, 32, 1, 1), min(value, 1e-6) if value < 1 else 0.0, np.float32)
    weight[0, 0] = value
    with caplog.at_level(logging.WARNING):
        model, changed = store_float16(_conv(build, weight))
    assert not changed
    assert _types(model) == {"FLOAT"}
    assert "w stays float32" in caplog.text


def test_small_constants_stay_float32(build: Build) -> None:
    model = build("y = Add(x, w)", inputs="float[4] x", outputs="float[4] y", w=(4,))
    assert store_float16(model)[1] is False


@pytest.mark.parametrize("format", FORMATS)
def test_a_large_weight_is_stored_as_int8_per_channel(build: Build, format: Format) -> None:
    model, changed = store_int8_weights(_conv(build), format=format)
    assert changed
    assert _types(model) == {"INT8", "FLOAT"}
    scale = model.graph.initializers["w_scale"].const_value
    assert scale is not None
    assert tuple(scale.shape) == (32,)


@pytest.mark.parametrize("format", FORMATS)
def test_a_small_weight_stays_float32(build: Build, format: Format) -> None:
    model = build("y = Conv(x, w)", inputs=IMAGE, outputs="float[N,4,8,8] y", w=(4, 32, 1, 1))
    assert store_int8_weights(model, format=format)[1] is False


@pytest.mark.parametrize(
    ("format", "size", "stored"),
    [("tflite", 5, True), ("onnx", 5, False), ("openvino", 5, False), ("onnx", 7, True), ("tflite", 3, False)],
)
def test_from_which_size_a_depthwise_weight_is_stored_as_int8(
    build: Build, format: Format, size: int, stored: bool
) -> None:
    output = f"float[N,32,{9 - size},{9 - size}] y"
    model = build("y = Conv <group = 32> (x, w)", inputs=IMAGE, outputs=output, w=(32, 1, size, size))
    assert store_int8_weights(model, format=format)[1] is stored


@pytest.mark.parametrize(
    ("body", "shape", "axis"),
    [
        ("y = Gemm(x, w)", (32, 64), 1),
        ("y = Gemm <transB = 1> (x, w)", (64, 32), 0),
        ("y = MatMul(x, w)", (32, 64), 1),
    ],
)
def test_dense_weights_are_scaled_per_output(build: Build, body: str, shape: tuple[int, int], axis: int) -> None:
    model = build(body, inputs="float[N,32] x", outputs="float[N,64] y", w=shape)
    stored, _ = store_int8_weights(model, format="onnx")
    dequantize = next(node for node in stored.graph if node.op_type == "DequantizeLinear")
    assert dequantize.attributes["axis"].as_int() == axis
    assert stored.graph.initializers["w_scale"].const_value.size == 64  # type: ignore[union-attr]


@pytest.mark.parametrize("format", FORMATS)
def test_the_source_graph_is_not_changed(build: Build, format: Format) -> None:
    model = _conv(build)
    before = ir.to_proto(model).SerializeToString()
    store_int8_weights(model, format=format)
    store_float16(model)
    assert ir.to_proto(model).SerializeToString() == before
