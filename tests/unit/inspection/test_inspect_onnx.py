"""Inspecting ONNX files in every precision that the house writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeai_converters.inspection.onnx import inspect_onnx
from edgeai_runtime.errors import ModelError

Save = Callable[..., Path]
WEIGHT = np.ones((8, 3, 3, 3), np.float32)
BIAS = np.zeros(8, np.float32)
SHAPE = ("batch", 3, 10, 10)
PARAMETERS = WEIGHT.size + BIAS.size
MACS = 8 * 8 * 8 * 27


def _conv(data: str = "x", weight: str = "w", bias: str = "b", output: str = "y") -> onnx.NodeProto:
    return helper.make_node("Conv", [data, weight, bias], [output], kernel_shape=[3, 3])


def test_a_float_convolution_is_counted_for_batch_one(save_onnx: Save) -> None:
    found = inspect_onnx(save_onnx([_conv()], {"w": WEIGHT, "b": BIAS}, shape=SHAPE))
    assert (found.parameters, found.macs, found.precision) == (PARAMETERS, MACS, "float32")
    assert found.operators == {"Conv": 1}
    assert found.inputs[0].shape == (None, 3, 10, 10)
    assert found.notes == ()


def test_float16_storage_is_told_by_the_constant_behind_the_cast(save_onnx: Save) -> None:
    nodes = [
        helper.make_node("Cast", ["w16"], ["w"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["b16"], ["b"], to=onnx.TensorProto.FLOAT),
        _conv(),
    ]
    constants = {"w16": WEIGHT.astype(np.float16), "b16": BIAS.astype(np.float16)}
    found = inspect_onnx(save_onnx(nodes, constants, shape=SHAPE))
    assert (found.parameters, found.macs, found.precision) == (PARAMETERS, MACS, "float16")


def test_int8_weights_with_float_activations_are_dynamic_int8(save_onnx: Save) -> None:
    nodes = [helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["w"], axis=0), _conv()]
    constants = {"wq": WEIGHT.astype(np.int8), "s": np.ones(8, np.float32), "z": np.zeros(8, np.int8), "b": BIAS}
    found = inspect_onnx(save_onnx(nodes, constants, shape=SHAPE))
    assert (found.parameters, found.macs, found.precision) == (PARAMETERS, MACS, "dynamic_int8")


def test_int8_weights_scaled_by_a_multiplication_count_without_the_scale(save_onnx: Save) -> None:
    nodes = [
        helper.make_node("Cast", ["wq"], ["wf"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["wf", "s"], ["w"]),
        _conv(),
    ]
    constants = {"wq": WEIGHT.astype(np.int8), "s": np.ones((8, 1, 1, 1), np.float32), "b": BIAS}
    found = inspect_onnx(save_onnx(nodes, constants, shape=SHAPE))
    assert (found.parameters, found.precision) == (PARAMETERS, "dynamic_int8")


def test_quantize_and_dequantize_around_both_sides_are_int8(save_onnx: Save) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "s"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["bq", "s"], ["b"], axis=0),
        _conv(data="xd"),
    ]
    constants = {
        "sx": np.array(0.1, np.float32),
        "zx": np.array(128, np.uint8),
        "wq": WEIGHT.astype(np.int8),
        "bq": BIAS.astype(np.int32),
        "s": np.ones(8, np.float32),
    }
    found = inspect_onnx(save_onnx(nodes, constants, shape=SHAPE))
    assert (found.parameters, found.macs, found.precision) == (PARAMETERS, MACS, "int8")


def test_a_dynamically_quantized_product_is_dynamic_int8(save_onnx: Save) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "s", "z"]),
        helper.make_node("MatMulInteger", ["xq", "w", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    found = inspect_onnx(save_onnx(nodes, {"w": np.ones((6, 4), np.int8)}, shape=("batch", 6)))
    assert (found.parameters, found.macs, found.precision) == (24, 24, "dynamic_int8")


def test_different_precisions_are_mixed_with_their_shares_of_the_macs(save_onnx: Save) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["wq", "s"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]
    constants = {
        "wq": np.ones((6, 6), np.int8),
        "s": np.array(1, np.float32),
        "v": np.ones((6, 2), np.float32),
    }
    found = inspect_onnx(save_onnx(nodes, constants, shape=("batch", 6)))
    assert found.precision == "mixed"
    assert found.precision_mix == {"dynamic_int8": 0.75, "float32": 0.25}


@pytest.mark.parametrize(
    ("node", "weight", "shape", "macs"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], group=3), (3, 1, 3, 3), (1, 3, 10, 10), 3 * 8 * 8 * 9),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), (3, 5, 2, 2), (1, 3, 4, 4), 48 * 20),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), (4, 6), (1, 6), 24),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), (6, 4), (6, 1), 24),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (6, 4), (1, 5, 6), 120),
    ],
)
def test_every_heavy_operator_is_counted(
    save_onnx: Save, node: onnx.NodeProto, weight: tuple[int, ...], shape: tuple[int, ...], macs: int
) -> None:
    found = inspect_onnx(save_onnx([node], {"w": np.ones(weight, np.float32)}, shape=shape))
    assert found.macs == macs


def test_a_free_dimension_beside_the_batch_makes_macs_unknown_and_says_where(save_onnx: Save) -> None:
    found = inspect_onnx(save_onnx([_conv()], {"w": WEIGHT, "b": BIAS}, shape=("batch", 3, "h", "w")))
    assert found.macs is None
    assert "MACs are unknown: 1 operation" in found.notes[0]


def test_shapes_and_settings_are_no_parameters(save_onnx: Save) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["h"]), helper.make_node("Clip", ["h", "low"], ["y"])]
    constants = {"shape": np.array([1, -1], np.int64), "low": np.array(0, np.float32)}
    assert inspect_onnx(save_onnx(nodes, constants, shape=(1, 4))).parameters == 0


def test_weights_in_an_external_file_count_in_the_size(save_onnx: Save, tmp_path: Path) -> None:
    path = save_onnx([_conv()], {"w": WEIGHT, "b": BIAS}, shape=SHAPE)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.data", size_threshold=0)
    found = inspect_onnx(path)
    assert found.size_bytes == path.stat().st_size + (tmp_path / "model.data").stat().st_size
    assert found.parameters == PARAMETERS


def test_a_missing_external_file_is_named(save_onnx: Save, tmp_path: Path) -> None:
    path = save_onnx([_conv()], {"w": WEIGHT, "b": BIAS}, shape=SHAPE)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.data", size_threshold=0)
    (tmp_path / "model.data").unlink()
    with pytest.raises(ModelError, match=r"model\.data"):
        inspect_onnx(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"plain words, no model", b"\x08\x0a\x12\x00"])
def test_what_is_no_model_is_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        inspect_onnx(path)


def test_a_truncated_model_is_an_error(save_onnx: Save) -> None:
    path = save_onnx([_conv()], {"w": WEIGHT, "b": BIAS}, shape=SHAPE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"damaged|cut short"):
        inspect_onnx(path)
