"""Cast, scale, normalize, dequantize."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import apply_steps


def run(operation: str, array: Any, **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array)


@pytest.mark.parametrize(
    ("values", "source", "target", "expected"),
    [
        ([-1.9, -0.5, 0.5, 1.9], "float32", "int8", [-1, 0, 0, 1]),
        ([-300, 300, np.inf, -np.inf], "float32", "int8", [-128, 127, 127, -128]),
        ([-1, 255.9, 256, 1e30], "float64", "uint8", [0, 255, 255, 255]),
        ([1e30, -1e30, 2**31, 5], "float32", "int32", [2**31 - 1, -(2**31), 2**31 - 1, 5]),
        ([1e30, -1e30, 2**63, 2**62], "float64", "int64", [2**63 - 1, -(2**63), 2**63 - 1, 2**62]),
        ([1e30, -1e30, 2**64, 3], "float64", "uint64", [2**64 - 1, 0, 2**64 - 1, 3]),
        ([-200, 200, 5, 0], "int16", "int8", [-128, 127, 5, 0]),
        ([-1, 200, 5, 0], "int16", "uint64", [0, 200, 5, 0]),
        ([2**64 - 1, 5, 0, 1], "uint64", "int64", [2**63 - 1, 5, 0, 1]),
        ([0, 200, 255, 1], "uint8", "int32", [0, 200, 255, 1]),
        ([0, 2, -1, 0], "int8", "bool", [False, True, True, False]),
        ([0, 1, 1, 0], "bool", "uint8", [0, 1, 1, 0]),
        ([0, 1e10, 1, 0], "float32", "float16", [0, np.inf, 1, 0]),
    ],
)
def test_cast_saturates_and_cuts_fractions_off(values: Any, source: str, target: str, expected: Any) -> None:
    result = run("cast", np.array([values], source), dtype=target)
    assert result.dtype == target
    np.testing.assert_array_equal(result, np.array([expected], target))


def test_cast_to_an_integer_refuses_nan() -> None:
    with pytest.raises(DataError, match="NaN, which int8 cannot hold"):
        run("cast", np.array([[1, np.nan]]), dtype="int8")


def test_scale_multiplies_and_then_adds() -> None:
    result = run("scale", np.array([[0, 255]], np.uint8), factor=1 / 127.5, offset=-1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[-1, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", "f4"), ("float16", "f4"), ("float32", "f4"), ("float64", "f8")]
)
@pytest.mark.parametrize(
    ("operation", "params"),
    [("scale", {"factor": 2}), ("normalize", {"mean": 1, "std": 2}), ("dequantize", {"scale": 2}), ("softmax", {})],
)
def test_arithmetic_is_in_float32_unless_the_values_are_float64(
    operation: str, params: dict[str, Any], dtype: str, expected: str
) -> None:
    assert run(operation, np.ones((2, 3), dtype), **params).dtype == expected


def test_normalize_takes_one_value_per_channel_on_the_last_axis() -> None:
    array = np.array([[[[10, 20]]]], np.uint8)
    np.testing.assert_array_equal(run("normalize", array, mean=[4, 8], std=[2, 3]), [[[[3, 4]]]])


def test_normalize_takes_the_axis_of_the_channels() -> None:
    array = np.array([[[[10]], [[20]]]], np.float32)
    np.testing.assert_array_equal(run("normalize", array, mean=[4, 8], std=[2, 3], axis=1), [[[[3]], [[4]]]])


@pytest.mark.parametrize("mean", [[4], 4])
def test_normalize_takes_one_value_for_all(mean: Any) -> None:
    np.testing.assert_array_equal(run("normalize", np.array([[10, 20]]), mean=mean, std=2), [[3, 8]])


def test_normalize_refuses_a_list_that_does_not_fit_the_channels() -> None:
    with pytest.raises(DataError, match="std has 3 values for the 2 channels"):
        run("normalize", np.zeros((1, 2)), mean=0, std=[1, 1, 1])


def test_normalize_refuses_an_axis_that_is_not_there() -> None:
    with pytest.raises(DataError, match="no axis 3"):
        run("normalize", np.zeros((1, 2)), mean=[0, 0], std=1, axis=3)


def test_dequantize_takes_the_zero_point_off_first() -> None:
    result = run("dequantize", np.array([[-128, 127]], np.int8), scale=0.5, zero_point=-128)
    np.testing.assert_array_equal(result, [[0, 127.5]])
