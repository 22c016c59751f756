"""The arithmetic of affine quantization: from ranges and weights to scales, and from real values to integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.quantize.plan import QuantizedDtype, TensorQuantization

LIMITS: dict[QuantizedDtype, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (-(2**31), 2**31 - 1),
}
"""The smallest and the largest integer of each stored type."""

BIAS_LIMIT = 2**30
"""Largest stored bias: half of int32, so that the sum of products still has room beside it."""

WEAKEST_CHANNEL = 2.0**-20
"""Least scale of a channel as a share of the strongest channel's: a dead channel gets a scale that engines accept."""


def activation_quantization(low: float, high: float, dtype: QuantizedDtype) -> TensorQuantization:
    """Return the per-tensor quantization of the range `(low, high)`, which is widened to contain zero.

    It is asymmetric, but for int16: TFLite's 16-bit kernels want zero point 0, and 16 bits have levels to spare.
    Zero is represented exactly. `scale * (largest - zero_point)` does not exceed `high` when `low` is 0, so an engine
    sees that a clip at `high` has nothing left to do.
    """
    smallest, largest = LIMITS[dtype]
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    levels = largest - smallest
    if dtype == "int16":
        reach = np.float32(max(-low, high) / largest)
        return TensorQuantization(dtype=dtype, scale=(float(reach) if reach > 0 else 1.0 / largest,), zero_point=(0,))
    scale = np.float32((high - low) / levels)
    if not scale >= np.finfo(np.float32).tiny:  # a tensor that is always zero: any scale will do
        return TensorQuantization(dtype=dtype, scale=(1.0 / levels,), zero_point=(smallest,))
    if low == 0.0 and float(scale) * levels > high:
        scale = np.nextafter(scale, np.float32(0))
    zero_point = int(np.clip(np.rint(smallest - low / float(scale)), smallest, largest))
    return TensorQuantization(dtype=dtype, scale=(float(scale),), zero_point=(zero_point,))


def real_range(quantization: TensorQuantization) -> tuple[float, float]:
    """Return the real values of the smallest and the largest stored integer of a per-tensor quantization."""
    smallest, largest = LIMITS[quantization.dtype]
    scale, zero_point = quantization.scale[0], quantization.zero_point[0]
    return (smallest - zero_point) * scale, (largest - zero_point) * scale


def weight_quantization(
    weight: NDArray[Any],
    *,
    axis: int | None,
    limit: int = 127,
    bias: NDArray[Any] | None = None,
    input_scale: float | None = None,
) -> TensorQuantization:
    """Return the symmetric int8 quantization of a weight.

    Args:
        weight: real values.
        axis: channel axis, one scale each; `None` for one scale over all.
        limit: largest stored magnitude (127, or 63 where sums of two products must fit 16 bits).
        bias: the layer's bias, `[channels]`; with `input_scale`, channels whose bias would leave int32 get a larger
            scale (their weights are far smaller than their bias and lose little).
        input_scale: scale of the layer's input.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis) if axis is not None else None
    largest = np.abs(weight).max(axis=others).astype(np.float64).reshape(-1) if weight.size else np.zeros(1)
    scale = largest / limit
    floor = max(float(scale.max()) * WEAKEST_CHANNEL, float(np.finfo(np.float32).tiny) * 2**20)
    scale = np.maximum(scale, floor)
    if bias is not None and input_scale is not None:
        needed = np.abs(bias.astype(np.float64).reshape(-1)) / (input_scale * BIAS_LIMIT)
        scale = np.maximum(scale, needed if axis is not None else needed.max(initial=0.0))
    # A scale rounded down to float32 could push the largest weight past the limit; rounding to integers absorbs that.
    return TensorQuantization(
        dtype="int8",
        scale=tuple(float(s) for s in scale.astype(np.float32)),
        zero_point=(0,) * scale.size,
        axis=axis,
    )


def bias_quantization(weight: TensorQuantization, input_scale: float, channels: int) -> TensorQuantization:
    """Return the int32 quantization of a bias, `[channels]`: its scale is the input's times the weight's, by rule."""
    scale = np.float32(input_scale) * np.asarray(weight.scale, np.float32)
    return TensorQuantization(
        dtype="int32",
        scale=tuple(float(s) for s in np.broadcast_to(scale, (channels,))),
        zero_point=(0,) * channels,
        axis=0,
    )


def quantize_array(values: NDArray[Any], quantization: TensorQuantization) -> NDArray[Any]:
    """Return the stored integers of real values: rounded half to even, saturated."""
    scale, zero_point = _broadcastable(quantization, values.ndim)
    stored = np.rint(values.astype(np.float64) / scale) + zero_point
    limit = LIMITS[quantization.dtype]
    if quantization.dtype == "int8" and not any(quantization.zero_point):
        limit = (-127, 127)  # symmetric: -128 has no counterpart, and some kernels forbid it
    return np.clip(stored, *limit).astype(quantization.dtype)


def dequantize_array(stored: NDArray[Any], quantization: TensorQuantization) -> NDArray[np.float64]:
    """Return the real values of stored integers."""
    scale, zero_point = _broadcastable(quantization, stored.ndim)
    return (stored.astype(np.float64) - zero_point) * scale


def _broadcastable(quantization: TensorQuantization, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and zero point in a shape that lines up with the channel axis of an array of this rank."""
    shape = () if quantization.axis is None else tuple(-1 if i == quantization.axis else 1 for i in range(rank))
    scale = np.asarray(quantization.scale, np.float64).reshape(shape)
    return scale, np.asarray(quantization.zero_point, np.float64).reshape(shape)
