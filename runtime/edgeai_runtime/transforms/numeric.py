"""Operations on values: cast, scale, normalize, dequantize. Shapes stay as they are.

Arithmetic is in float32; float64 input stays float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError


def cast(array: Any, *, dtype: str) -> Any:
    """Convert the values to `dtype`; integers saturate, fractions are cut off towards zero.

    To round instead, add a half before (`scale:1,0.5`). [n, …] → the same shape.

    Raises:
        DataError: NaN, which no integer can hold.
    """
    target = np.dtype(dtype)
    if array.dtype == target:
        return array
    if target.kind not in "iu" or array.dtype.kind == "b":
        with np.errstate(over="ignore"):  # float32 → float16 beyond its range is infinity
            return array.astype(target)
    limits = np.iinfo(target)
    if array.dtype.kind in "iu":
        own = np.iinfo(array.dtype)
        low, high = max(own.min, limits.min), min(own.max, limits.max)
        return array.astype(target) if (low, high) == (own.min, own.max) else np.clip(array, low, high).astype(target)
    wide = np.trunc(array.astype(np.float64))
    if np.isnan(wide).any():
        raise DataError(f"cast: the values have NaN, which {dtype} cannot hold", hint="Check what produced them.")
    top = wide >= float(limits.max)  # float(2**63 - 1) is 2**63: such values must not reach astype
    result = np.where(top, 0.0, np.maximum(wide, float(limits.min))).astype(target)
    result[top] = limits.max
    return result


def scale(array: Any, *, factor: float, offset: float) -> Any:
    """Return `array * factor + offset`. [n, …] any numbers → the same shape, float32."""
    values = as_float(array)
    result = values * values.dtype.type(factor)
    return result + values.dtype.type(offset) if offset else result


def normalize(array: Any, *, mean: Any, std: Any, axis: int) -> Any:
    """Return `(array - mean) / std`, with one value or one per channel along `axis`. [n, …] → the same shape, float32.

    Raises:
        DataError: the list has not one value per channel.
    """
    values = as_float(array)
    return (values - _per_channel(mean, "mean", values, axis)) / _per_channel(std, "std", values, axis)


def dequantize(array: Any, *, scale: float, zero_point: int) -> Any:
    """Return `(array - zero_point) * scale`. [n, …] integers → the same shape, float32."""
    values = as_float(array)
    return (values - values.dtype.type(zero_point)) * values.dtype.type(scale)


def as_float(array: Any) -> Any:
    """Return float32 and float64 as they are, anything else as float32."""
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _per_channel(value: Any, name: str, array: Any, axis: int) -> Any:
    """Return a number, or a list as an array that lies along `axis` of `array`."""
    if not isinstance(value, (list, tuple)):
        return array.dtype.type(value)
    channels = array.shape[checked_axis("normalize", array, axis)]
    if len(value) not in (1, channels):
        raise DataError(
            f"normalize: {name} has {len(value)} values for the {channels} channels on axis {axis} of {array.shape}",
            hint="Give one value, or one per channel; `axis` says where the channels are (NCHW: 1).",
        )
    shape = [1] * array.ndim
    shape[axis] = len(value)
    return np.asarray(value, dtype=array.dtype).reshape(shape)


def checked_axis(operation: str, array: Any, axis: int) -> int:
    """Return `axis` from the front, which must be one of the array's and not that of the samples.

    Raises:
        DataError: the array has no such axis.
    """
    position: int = axis + array.ndim if axis < 0 else axis
    if not 0 < position < array.ndim:
        raise DataError(
            f"{operation}: there is no axis {axis} behind the samples' in an array of shape {array.shape}",
            hint="Arrays have the samples first: [n, …].",
        )
    return position
