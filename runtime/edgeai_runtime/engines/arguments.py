"""Check and shape what a caller gives to a model: names, ranks, shapes and dtypes, with errors that name the tensor.

Casts that are made without asking: a float array of another width, or an integer or boolean array, to the float dtype
that the model wants; and plain Python numbers and lists, which have no dtype of their own. Everything else is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeai_runtime.engines.chunks import shape_agrees, shape_text
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec


def by_input(x: Any, specs: Sequence[TensorSpec]) -> list[Any]:
    """Return one value per input, in order, from a single array or a mapping of input names to arrays.

    Raises:
        DataError: an input is missing, unknown, or one array was given to a model with several inputs.
    """
    names = [spec.name for spec in specs]
    if not isinstance(x, Mapping):
        if len(specs) != 1:
            raise DataError(
                f"the model has {len(specs)} inputs: {', '.join(names)}. Received: one {type(x).__name__}",
                hint="give a dict of arrays by input name",
            )
        return [x]
    for name in x:
        if name not in names:
            import difflib

            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise DataError(f"the model has no input {name!r}; its inputs: {', '.join(names)}", hint=hint)
    missing = [name for name in names if name not in x]
    if missing:
        raise DataError(f"the inputs {', '.join(missing)} are missing. Received: {', '.join(map(str, x))}")
    return [x[name] for name in names]


def as_array(spec: TensorSpec, value: Any) -> Any:
    """Return `value` as an array; a list that is no rectangle is an error.

    Raises:
        DataError: there is no array in it.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, Warning) as error:  # numpy before 1.24 warns, which may be an error, too
        raise DataError(f"input {spec.name!r} cannot be made an array: {error}") from error
    if array.dtype == object:
        raise DataError(f"input {spec.name!r} wants numbers of {spec.dtype}. Received: {type(value).__name__}")
    has_own_dtype = hasattr(value, "__array__") or hasattr(value, "__array_interface__") or hasattr(value, "dtype")
    wanted = np.dtype(spec.dtype)
    if not has_own_dtype and array.dtype.kind in "iub" and wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if array.min() >= limits.min and array.max() <= limits.max:
            return array.astype(wanted)
    return array


def checked(spec: TensorSpec, array: Any) -> Any:
    """Return `array` with the dtype of `spec`, after checking rank and shape; multiples of a fixed batch are good.

    Raises:
        DataError: wrong rank, shape or dtype; names the tensor, what it wants and what came.
    """
    wanted = np.dtype(spec.dtype)
    if not shape_agrees(spec.shape, array.shape) and not _is_whole_batches(spec.shape, array.shape):
        raise DataError(
            f"input {spec.name!r} wants shape {shape_text(spec.shape)}"
            f"{f' ({spec.layout})' if spec.layout else ''}. Received: {shape_text(array.shape)}",
            hint=_shape_hint(spec, array),
        )
    if 0 in array.shape and 0 not in spec.shape:
        raise DataError(f"input {spec.name!r} is empty. Received: {shape_text(array.shape)}")
    if array.dtype == wanted:
        return array
    if wanted.kind == "f" and array.dtype.kind in "fiub":
        return array.astype(wanted)
    hint = f"convert it with .astype({spec.dtype!r})"
    if spec.quantization is not None and array.dtype.kind == "f":
        scale, zero_point = spec.quantization.scale, spec.quantization.zero_point
        hint = f"quantize it: round(x / {scale:.8g}) + {zero_point}, as {spec.dtype}"
    raise DataError(f"input {spec.name!r} wants {spec.dtype}. Received: {array.dtype}", hint=hint)


def _is_whole_batches(wanted: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Say whether only the batch differs, and is a multiple of the fixed one: sessions run that in chunks."""
    if len(wanted) != len(shape) or not wanted or not wanted[0] or not shape_agrees(wanted[1:], shape[1:]):
        return False
    return shape[0] > 0 and shape[0] % wanted[0] == 0


def _shape_hint(spec: TensorSpec, array: Any) -> str:
    if array.ndim == len(spec.shape) == 4:
        for axes, words in (((0, 2, 3, 1), "NCHW to NHWC"), ((0, 3, 1, 2), "NHWC to NCHW")):
            if shape_agrees(spec.shape, [array.shape[axis] for axis in axes]):
                return f"the layout differs: transpose it with .transpose{axes} ({words})"
    return ""
