"""Versions of operators: the lowest that says what we write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgeai_converters.emit.tflite.op_versions import operator_version
from edgeai_converters.emit.tflite.quantization import Quantization, per_tensor


@dataclass
class Tensor:
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    quantization: Quantization | None = None


CHANNELS = Quantization(scale=np.ones(2, np.float32), zero_point=np.zeros(2, np.int64), axis=0)
FLOAT_MAP, INT8_MAP = Tensor((1, 8, 8, 4)), Tensor((1, 8, 8, 4), "int8", per_tensor(1.0, 0))
FLOAT_FILTER, INT8_FILTER = Tensor((2, 3, 3, 4)), Tensor((2, 3, 3, 4), "int8", CHANNELS)
GROUPED = Tensor((2, 3, 3, 2))
FLOAT_ROW, INT8_ROW = Tensor((1, 4)), Tensor((1, 4), "int8", per_tensor(1.0, 0))
FLOAT_MATRIX, INT8_MATRIX = Tensor((2, 4)), Tensor((2, 4), "int8", CHANNELS)


@pytest.mark.parametrize(
    ("name", "inputs", "fields", "version"),
    [
        ("CONV_2D", [FLOAT_MAP, FLOAT_FILTER, FLOAT_ROW], {}, 1),
        ("CONV_2D", [INT8_MAP, INT8_FILTER, FLOAT_ROW], {}, 3),
        ("CONV_2D", [FLOAT_MAP, INT8_FILTER, FLOAT_ROW], {}, 5),
        ("CONV_2D", [FLOAT_MAP, GROUPED, FLOAT_ROW], {}, 6),
        ("DEPTHWISE_CONV_2D", [FLOAT_MAP, FLOAT_FILTER, FLOAT_ROW], {"dilationWFactor": 2}, 2),
        ("DEPTHWISE_CONV_2D", [INT8_MAP, INT8_FILTER, FLOAT_ROW], {}, 3),
        ("FULLY_CONNECTED", [FLOAT_ROW, FLOAT_MATRIX, FLOAT_ROW], {}, 1),
        ("FULLY_CONNECTED", [INT8_ROW, INT8_MATRIX, FLOAT_ROW], {}, 4),
        ("FULLY_CONNECTED", [FLOAT_ROW, FLOAT_MATRIX, FLOAT_ROW], {"keepNumDims": True}, 5),
        ("FULLY_CONNECTED", [FLOAT_ROW, FLOAT_MATRIX, None], {}, 6),
        ("FULLY_CONNECTED", [FLOAT_ROW, INT8_MATRIX, FLOAT_ROW], {}, 12),
        ("ADD", [FLOAT_MAP, FLOAT_MAP], {}, 1),
        ("ADD", [INT8_MAP, INT8_MAP], {}, 2),
        ("RESHAPE", [INT8_MAP], {}, 1),
        ("LEAKY_RELU", [INT8_MAP], {}, 1),
        ("DEQUANTIZE", [INT8_MAP], {}, 2),
        ("DEQUANTIZE", [Tensor((4,), "float16")], {}, 3),
        ("DEQUANTIZE", [INT8_FILTER], {}, 5),
        ("RESIZE_BILINEAR", [FLOAT_MAP], {"halfPixelCenters": True}, 3),
        ("TRANSPOSE", [Tensor((1, 2, 3, 4, 5))], {}, 4),
        ("SPLIT", [Tensor((), "int32"), INT8_MAP], {}, 2),
    ],
)
def test_version_is_the_lowest_that_has_the_feature(
    name: str, inputs: list[Tensor | None], fields: dict[str, object], version: int
) -> None:
    assert operator_version(name, inputs, [FLOAT_MAP], fields) == version


def test_int8_product_that_is_scaled_up_needs_version_3() -> None:
    small = Tensor((1,), "int8", per_tensor(0.5, 0))
    assert operator_version("MUL", [INT8_MAP, INT8_MAP], [small], {}) == 3
    assert operator_version("MUL", [small, small], [INT8_MAP], {}) == 2
