"""Operations on images and their axes: resize, crop, pad, channels, layout, expand.

Images are batches [n, H, W, C] (NHWC) or [n, C, H, W] (NCHW). Results are contiguous, as engines want them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError
from edgeai_runtime.transforms.numeric import checked_axis

IMAGE_LAYOUTS = ("NHWC", "NCHW")


def resize(array: Any, *, height: int, width: int, method: str, layout: str, fit: str) -> Any:
    """Resize images to `height` × `width`.

    Pixel centres are at halves and edges are clamped: ONNX `Resize` with `half_pixel`. `bilinear` has no antialiasing,
    which PIL and torchvision put into theirs when they shrink: that is `antialias`, a triangle as wide as the shrinking
    (TensorFlow `antialias=True`, ONNX `antialias=1`; PIL rounds 8-bit images between the axes, and may be 1 off).
    Both compute in float32 and round integers to the nearest, halves to even. `nearest` takes the pixel that the
    centre falls into, the later one on a border (ONNX `round_prefer_ceil`, PIL `NEAREST`).

    `fit=inside` keeps the proportions: the largest size that fits into `height` × `width`, sides rounded to the
    nearest, halves up; `pad` makes it whole (letterbox).

    [n, H, W, C] or [n, C, H, W] of any numbers → the same with new H and W and the same dtype.

    Raises:
        DataError: not four axes, or an image without pixels.
    """
    vertical, horizontal = _image_axes("resize", array, layout)
    one_way = {"nearest": _nearest, "bilinear": _bilinear, "antialias": _antialias}[method]
    dtype = array.dtype
    if fit == "inside":
        old = array.shape[vertical], array.shape[horizontal]
        share = min(height / old[0], width / old[1])
        height, width = (max(1, int(size * share + 0.5)) for size in old)
    if (array.shape[vertical], array.shape[horizontal]) == (height, width):
        return array
    values = array if method == "nearest" or dtype == np.float64 else array.astype(np.float32)
    values = one_way(one_way(values, vertical, height), horizontal, width)
    if values.dtype != dtype:
        values = np.rint(values).astype(dtype) if dtype.kind in "iu" else values.astype(dtype)
    return np.ascontiguousarray(values)


def crop(array: Any, *, height: int, width: int, layout: str) -> Any:
    """Cut the middle `height` × `width` out of images; an odd pixel is dropped at the bottom or right.

    [n, H, W, C] or [n, C, H, W] of any dtype → the same with new H and W.

    Raises:
        DataError: not four axes, or images smaller than the cut.
    """
    vertical, horizontal = _image_axes("crop", array, layout)
    cut = [slice(None)] * array.ndim
    for axis, size in ((vertical, height), (horizontal, width)):
        if array.shape[axis] < size:
            raise DataError(
                f"crop: {height}×{width} cannot be cut out of images of "
                f"{array.shape[vertical]}×{array.shape[horizontal]}",
                hint="Resize before, or crop less.",
            )
        start = (array.shape[axis] - size) // 2
        cut[axis] = slice(start, start + size)
    return np.ascontiguousarray(array[tuple(cut)])


def pad(array: Any, *, height: int, width: int, value: float, layout: str, place: str) -> Any:
    """Put images into larger ones of `height` × `width` filled with `value`, in the middle or at the top left.

    In the middle, an odd pixel is added at the bottom or right. [n, H, W, C] or [n, C, H, W] of any dtype → the same
    with new H and W.

    Raises:
        DataError: not four axes, or images larger than that.
    """
    added = [(0, 0)] * array.ndim
    for axis, size in zip(_image_axes("pad", array, layout), (height, width), strict=True):
        missing = size - array.shape[axis]
        if missing < 0:
            raise DataError(
                f"pad: an image of shape {array.shape[1:]} does not fit into {height}×{width}",
                hint="Put resize:…,fit=inside before it.",
            )
        before = missing // 2 if place == "middle" else 0
        added[axis] = (before, missing - before)
    return np.pad(array, added, constant_values=value)


def expand(array: Any, *, axis: int) -> Any:
    """Add an axis of one entry at `axis` of the result, such as the channel of grey images. [n, …] → [n, …, 1]."""
    if not 0 < (position := axis + array.ndim + 1 if axis < 0 else axis) <= array.ndim:
        raise DataError(f"expand: an axis cannot be put at {axis} of an array of shape {array.shape}")
    return np.expand_dims(array, position)


def channels(array: Any, *, order: Any, axis: int) -> Any:
    """Reorder, pick or repeat channels: `[2,1,0]` is RGB ↔ BGR, `[0,0,0]` grey → three. [n, …] → [n, …], same dtype.

    Raises:
        DataError: a channel that is not there.
    """
    position = checked_axis("channels", array, axis)
    if max(order) >= array.shape[position]:
        raise DataError(
            f"channels: order {list(order)} names a channel that the {array.shape[position]} on axis {axis} of "
            f"{array.shape} do not have",
            hint="`axis` says where the channels are (NCHW: 1).",
        )
    return np.ascontiguousarray(np.take(array, order, axis=position))


def layout(array: Any, *, source: str, target: str) -> Any:
    """Move axes from the order `source` to the order `target`, such as NHWC → NCHW. Same dtype.

    Raises:
        DataError: the array has another number of axes.
    """
    if array.ndim != len(source):
        raise DataError(
            f"layout: {source} has {len(source)} axes, the array has shape {array.shape}",
            hint="Arrays have the samples first: [n, …].",
        )
    return np.ascontiguousarray(array.transpose([source.index(letter) for letter in target]))


def check_layouts(values: Any) -> str:
    """Check `from` and `to` against each other: the same letters, and the samples stay first."""
    source, target = values["from"], values["to"]
    if sorted(source) != sorted(target):
        return f"the same letters in `from` and `to`. Received: {source} and {target}"
    return "" if source[0] == target[0] else f"the samples' axis to stay first. Received: {source} and {target}"


def _image_axes(operation: str, array: Any, layout: str) -> tuple[int, int]:
    if array.ndim != 4:
        raise DataError(
            f"{operation}: images are {layout} with four axes, the array has shape {array.shape}",
            hint="Arrays have the samples first and the channels too: [n, H, W, 1] for grey images.",
        )
    axes = layout.index("H"), layout.index("W")
    if 0 in (array.shape[axes[0]], array.shape[axes[1]]):
        raise DataError(f"{operation}: the images have no pixels: shape {array.shape}")
    return axes


def _nearest(array: Any, axis: int, size: int) -> Any:
    old = array.shape[axis]
    return np.take(array, (2 * np.arange(size) + 1) * old // (2 * size), axis=axis)


def _antialias(array: Any, axis: int, size: int) -> Any:
    old = array.shape[axis]
    if old <= size:
        return _bilinear(array, axis, size)
    ratio = old / size
    centres = (np.arange(size) + 0.5) * ratio
    weights = np.maximum(0, 1 - np.abs((np.arange(old) + 0.5 - centres[:, np.newaxis]) / ratio))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.moveaxis(array, axis, -1) @ weights.T.astype(array.dtype), -1, axis)


def _bilinear(array: Any, axis: int, size: int) -> Any:
    old = array.shape[axis]
    if old == size:
        return array
    centres = np.clip((np.arange(size) + 0.5) * (old / size) - 0.5, 0, old - 1)
    low = centres.astype(np.intp)
    shape = [1] * array.ndim
    shape[axis] = size
    share = (centres - low).astype(array.dtype).reshape(shape)
    first, second = np.take(array, low, axis=axis), np.take(array, np.minimum(low + 1, old - 1), axis=axis)
    return first * (1 - share) + second * share
