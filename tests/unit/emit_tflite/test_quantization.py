"""Integer storage: the arithmetic and the rules of TFLite's kernels."""

from __future__ import annotations

import numpy as np

from edgeai_converters.emit.tflite.quantization import (
    SOFTMAX_OUTPUT,
    Quantization,
    bias_scale,
    choose_for_constant,
    dequantize,
    is_bias_scale,
    per_tensor,
    quantize,
    quantize_bias,
)


def test_per_channel_numbers_use_the_scale_of_their_channel() -> None:
    quantization = Quantization(scale=np.array([0.5, 2], np.float32), zero_point=np.zeros(2, np.int64), axis=1)
    real = dequantize(np.array([[2, 3], [4, 5]], np.int8), quantization)
    assert np.array_equal(real, np.array([[1, 6], [2, 10]], np.float32))
    assert np.array_equal(quantize(real, quantization), [[2, 3], [4, 5]])


def test_quantizing_saturates_and_rounds_half_to_even() -> None:
    assert quantize(np.array([-999.0, 0.5, 1.5, 999.0]), per_tensor(1.0, 0)).tolist() == [-128, 0, 2, 127]


def test_same_quantization_is_by_value() -> None:
    assert SOFTMAX_OUTPUT.same_as(per_tensor(1 / 256, -128))
    assert not SOFTMAX_OUTPUT.same_as(per_tensor(1 / 256, -127))
    assert not SOFTMAX_OUTPUT.same_as(None)


def test_constant_of_zeros_gets_a_usable_scale() -> None:
    assert choose_for_constant(np.zeros(3, np.float32)).scale[0] == 1.0
    assert quantize(np.array([-2.0, 2.0]), choose_for_constant(np.array([-2.0, 2.0]))).tolist() == [-127, 127]


def test_bias_scale_is_activation_times_weight_and_a_wrong_one_is_seen() -> None:
    weight = Quantization(scale=np.array([0.1, 0.2], np.float32), zero_point=np.zeros(2, np.int64), axis=0)
    scale = bias_scale(per_tensor(0.5, 3), weight)
    assert np.allclose(scale, [0.05, 0.1])
    assert is_bias_scale(scale * np.float32(1 + 1e-6), scale)
    assert not is_bias_scale(scale * np.float32(1.1), scale)
    assert quantize_bias(np.array([1.0, 1.0]), scale).tolist() == [20, 10]
