"""The arithmetic of scales: zero is exact, nothing overflows, every channel has a usable scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_converters.quantize.affine import (
    BIAS_LIMIT,
    activation_quantization,
    bias_quantization,
    quantize_array,
    real_range,
    weight_quantization,
)
from edgeai_converters.quantize.plan import QuantizedDtype

_REALS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(_REALS, _REALS, st.sampled_from(["int8", "uint8"]))
def test_the_stored_range_covers_the_real_one_to_within_a_step(a: float, b: float, dtype: QuantizedDtype) -> None:
    low, high = min(a, b), max(a, b)
    found = activation_quantization(low, high, dtype)
    covered = real_range(found)
    assert covered[0] <= min(low, 0.0) + found.scale[0]
    assert covered[1] >= max(high, 0.0) - found.scale[0]


@given(_REALS, _REALS, st.sampled_from(["int8", "uint8"]))
def test_zero_is_represented_exactly(a: float, b: float, dtype: QuantizedDtype) -> None:
    found = activation_quantization(min(a, b), max(a, b), dtype)
    stored = quantize_array(np.zeros(1), found)
    assert stored[0] == found.zero_point[0]


@pytest.mark.parametrize(("dtype", "smallest"), [("int8", -128), ("uint8", 0)])
def test_a_range_from_zero_has_its_zero_point_at_the_lowest_value(dtype: QuantizedDtype, smallest: int) -> None:
    assert activation_quantization(0.0, 6.0, dtype).zero_point == (smallest,)


@pytest.mark.parametrize("high", [6.0, 1.0, 3.3, 0.1, 7.7])
def test_the_largest_stored_value_does_not_exceed_a_clip(high: float) -> None:
    assert np.float32(activation_quantization(0.0, high, "uint8").scale[0]) * np.float64(255) <= high


def test_a_tensor_that_is_always_zero_gets_a_scale() -> None:
    assert activation_quantization(0.0, 0.0, "uint8").scale[0] > 0


@pytest.mark.parametrize(("low", "high", "zero_point"), [(0.0, 255 / 256, -128), (-1.0, 127 / 128, 0)])
def test_the_fixed_ranges_of_logistic_and_tanh_give_their_exact_scales(
    low: float, high: float, zero_point: int
) -> None:
    found = activation_quantization(low, high, "int8")
    assert found.zero_point == (zero_point,)
    assert found.scale[0] == {-128: 1 / 256, 0: 1 / 128}[zero_point]


@pytest.mark.parametrize(("axis", "channels"), [(0, 4), (1, 3)])
def test_per_channel_scale_has_one_value_per_channel(axis: int, channels: int) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 2))
    assert len(weight_quantization(weight, axis=axis).scale) == channels


@pytest.mark.parametrize("limit", [127, 63])
def test_stored_weights_use_the_limit_and_stay_within(limit: int) -> None:
    weight = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    stored = quantize_array(weight, weight_quantization(weight, axis=0, limit=limit))
    assert (np.abs(stored).max(axis=1) == limit).all()


def test_a_dead_channel_gets_a_small_scale_above_zero() -> None:
    weight = np.ones((2, 3), np.float32)
    weight[1] = 0
    scale = weight_quantization(weight, axis=0).scale
    assert 0 < scale[1] < scale[0]


def test_a_weight_that_is_all_zero_gets_a_scale_above_zero() -> None:
    assert min(weight_quantization(np.zeros((2, 3), np.float32), axis=0).scale) > 0


def test_a_bias_that_would_overflow_raises_the_scale_of_its_channel_only() -> None:
    weight = np.array([[1.0, 1.0], [1e-5, 1e-5]], np.float32)
    bias = np.array([1.0, 1e4], np.float32)
    plain = weight_quantization(weight, axis=0)
    guarded = weight_quantization(weight, axis=0, bias=bias, input_scale=1e-3)
    assert guarded.scale[0] == plain.scale[0]
    stored = quantize_array(bias, bias_quantization(guarded, 1e-3, 2))
    assert abs(int(stored[1])) <= BIAS_LIMIT * 1.001
    assert stored[1] * bias_quantization(guarded, 1e-3, 2).scale[1] == pytest.approx(1e4, rel=1e-5)


def test_the_bias_scale_is_input_times_weight_in_float32() -> None:
    weight = weight_quantization(np.array([[0.3], [0.7]], np.float32), axis=0)
    found = bias_quantization(weight, 0.1, 2)
    assert found.scale == tuple(float(np.float32(0.1) * np.float32(s)) for s in weight.scale)
    assert found.dtype == "int32"


def test_rounding_is_half_to_even_and_saturates() -> None:
    quantization = activation_quantization(-128.0, 127.0, "int8")
    stored = quantize_array(np.array([0.5, 1.5, -2.5, 500.0, -500.0]), quantization)
    np.testing.assert_array_equal(stored, [0, 2, -2, 127, -127])
