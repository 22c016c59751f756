"""How a tensor is stored in integers, and the arithmetic rules that TFLite's int8 kernels rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BIAS_SCALE_RTOL = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantization:
    """Affine storage `real = (stored - zero_point) * scale`.

    Attributes:
        scale: float32, one value or one per channel along `axis`; with `block`, an array with the axes of the tensor.
        zero_point: int64, as many as `scale`.
        axis: the channel axis in the graph's layout; `None` for per-tensor.
        dtype: what activations are stored as: int8, int16, at the boundary uint8; constants have a type of their own.
        block: of weights in blocks, the numbers along `axis` that share a scale; 0 otherwise.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int | None = None
    dtype: str = "int8"
    block: int = 0

    def same_as(self, other: Quantization | None) -> bool:
        """Tell whether both store the same real numbers as the same integers."""
        return (
            other is not None
            and self.axis == other.axis
            and self.dtype == other.dtype
            and self.block == other.block
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def per_tensor(scale: float, zero_point: int, dtype: str = "int8") -> Quantization:
    """Return the quantization of a whole tensor by one scale."""
    return Quantization(scale=np.array([scale], np.float32), zero_point=np.array([zero_point], np.int64), dtype=dtype)


def unsigned(quantization: Quantization) -> Quantization:
    """Return the uint8 form of an int8 quantization: the same numbers, every integer moved by 128."""
    return Quantization(scale=quantization.scale, zero_point=quantization.zero_point + 128, dtype="uint8")


SOFTMAX_OUTPUT = per_tensor(1 / 256, -128)
"""Output of the int8 kernels SOFTMAX and LOGISTIC, whatever the file says."""
TANH_OUTPUT = per_tensor(1 / 128, 0)
"""Output of the int8 kernel TANH, whatever the file says."""
WIDE_OUTPUT = per_tensor(1 / 32768, 0, "int16")
"""Output of the int16 kernels SOFTMAX, LOGISTIC and TANH."""


def _along_axis(vector: Array, rank: int, axis: int | None) -> Array:
    if axis is None:
        return vector.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def dequantize(stored: Array, quantization: Quantization) -> NDArray[np.float32]:
    """Return the real numbers of `stored`, float32."""
    if quantization.block:
        wide = np.repeat(quantization.scale, quantization.block, axis=quantization.axis)
        return stored.astype(np.float32) * wide
    scale = _along_axis(quantization.scale, stored.ndim, quantization.axis)
    zero_point = _along_axis(quantization.zero_point, stored.ndim, quantization.axis)
    return ((stored.astype(np.int64) - zero_point) * scale.astype(np.float64)).astype(np.float32)


def quantize(real: Array, quantization: Quantization) -> Array:
    """Return `real` in the stored type, rounded half to even and saturated."""
    scale = _along_axis(quantization.scale, real.ndim, quantization.axis)
    zero_point = _along_axis(quantization.zero_point, real.ndim, quantization.axis)
    stored = np.rint(real.astype(np.float64) / scale) + zero_point
    limits = np.iinfo(quantization.dtype)
    return np.asarray(np.clip(stored, limits.min, limits.max), quantization.dtype)


def choose_for_constant(real: Array, dtype: str = "int8") -> Quantization:
    """Return the per-tensor symmetric quantization that covers a constant which the graph left in float."""
    largest = float(np.max(np.abs(real), initial=0.0))
    return per_tensor(largest / np.iinfo(dtype).max if largest else 1.0, 0, dtype)


def bias_scale(activation: Quantization, weight: Quantization) -> NDArray[np.float32]:
    """Return the scale that an int32 bias must have: activation scale times weight scale, per channel."""
    return np.asarray(activation.scale * weight.scale, np.float32)


def is_bias_scale(scale: Array, wanted: Array) -> bool:
    """Tell whether a bias's scale keeps the rule; kernels take any scale without complaint and answer wrongly."""
    return bool(np.allclose(scale, wanted, rtol=_BIAS_SCALE_RTOL, atol=0))


WIDE_BIAS_LIMIT = 2**39
"""Largest bias of int16 kernels, which add in 48 bits or more."""


def quantize_bias(real: Array, scale: NDArray[np.float32], activation: str = "int8") -> Array:
    """Return a float bias as int32 with the given scales, saturated; as int64 beside int16 activations."""
    stored = np.rint(real.astype(np.float64) / scale.astype(np.float64))
    if activation == "int16":
        return np.clip(stored, -WIDE_BIAS_LIMIT, WIDE_BIAS_LIMIT).astype(np.int64)
    return np.clip(stored, -(2**31), 2**31 - 1).astype(np.int32)
