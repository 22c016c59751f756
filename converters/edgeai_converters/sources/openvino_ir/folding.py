"""Working out what does not depend on the inputs: compressed weights, and arithmetic on known shapes.

Weights stored as `Constant → Convert (→ Subtract → Multiply → Reshape)` become the numbers that they stand for, in
float32 throughout, as the CPU plugin computes them.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 1 << 28  # elements of a result that is still worked out
_NATIVE = ("f32", "f16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "boolean")


def read_constant(node: Any) -> NDArray[Any]:
    """Return the array of a Constant; half and smaller floats and 4-bit integers as float32."""
    stored = str(node.get_output_element_type(0).get_type_name())
    shape = tuple(node.get_output_shape(0))
    if stored in _NATIVE:
        array = np.array(node.data).reshape(shape)
        return array.astype(np.float32) if array.dtype == np.float16 else array
    if stored == "string":
        raise UnreadableError("constants of type string")
    return np.array(node.get_data(dtype=np.float32)).reshape(shape)


def fold(context: ReadContext, operation: Operation) -> list[NDArray[Any]] | None:
    """Return the outputs of an operation that does not depend on the inputs, else `None`."""
    if operation.type == "ShapeOf":
        return _fold_shape(operation)
    if operation.type == "Gather":
        found = _fold_one_dimension(context, operation)
        if found is not None:
            return found
    arrays = [context.constant(operation, position) for position in range(operation.input_count)]
    known = [array for array in arrays if array is not None]
    if not known or len(known) < len(arrays) or operation.type in ("RandomUniform", "Multinomial"):
        return None
    shapes = [operation.node.get_output_partial_shape(i) for i in range(operation.output_count)]
    if any(shape.is_dynamic or np.prod(list(shape.to_shape()), dtype=float) > _LARGEST for shape in shapes):
        return None
    own = _fold_here(operation, known, tuple(shapes[0].to_shape()))
    return [own] if own is not None else _evaluate(operation, known)


def _fold_shape(operation: Operation) -> list[NDArray[Any]] | None:
    shape = operation.node.get_input_partial_shape(0)
    return None if shape.is_dynamic else [np.array(list(shape.to_shape()), operation.output_dtype())]


def _fold_one_dimension(context: ReadContext, operation: Operation) -> list[NDArray[Any]] | None:
    """Fold the choice of known dimensions from a shape of which others are free."""
    indices, sizes = context.constant(operation, 1), _chosen_sizes(context, operation)
    if indices is None or sizes is None or None in sizes:
        return None
    return [np.array(sizes, operation.output_dtype()).reshape(indices.shape)]


def _chosen_sizes(context: ReadContext, operation: Operation) -> Sequence[int | None] | None:
    """Return the numbers that an operation takes from a shape, free ones as `None`; `None` for another operation."""
    if operation.type == "ShapeOf":
        return None if operation.node.get_input_partial_shape(0).rank.is_dynamic else operation.shape(0)
    if operation.type == "Convert":
        return _chosen_sizes(context, Operation.of(operation.feeder(0).get_node()))
    if operation.type != "Gather" or operation.attribute("batch_dims", 0):
        return None
    indices, axis = context.constant(operation, 1), context.constant(operation, 2)
    if indices is None or axis is None or axis.any():
        return None
    sizes = _chosen_sizes(context, Operation.of(operation.feeder(0).get_node()))
    return None if sizes is None else [sizes[int(index)] for index in indices.reshape(-1)]


def _fold_here(operation: Operation, arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Do in float32 what weights are unpacked with; OpenVINO's own evaluation would round to half precision."""
    kind, first = operation.type, arrays[0]
    if kind == "Convert":
        wanted = operation.output_dtype()
        return first != 0 if wanted == np.bool_ else first.astype(wanted)
    if kind in ("Reshape", "Squeeze", "Unsqueeze"):
        return first.reshape(shape)
    if kind == "Transpose":
        return first.transpose([int(axis) for axis in arrays[1]] if arrays[1].size else None)
    if operation.output_dtype() != np.float32:
        return None
    if kind == "FakeQuantize":
        return fake_quantize(first, arrays[1:], int(operation.attribute("levels")))
    functions: dict[str, Any] = {
        "Add": np.add,
        "Subtract": np.subtract,
        "Multiply": np.multiply,
        "Divide": np.divide,
    }
    if kind not in functions or operation.attribute("auto_broadcast", "numpy") not in ("numpy", "none"):
        return None
    return np.asarray(functions[kind](first.astype(np.float32), arrays[1].astype(np.float32)), np.float32)


def fake_quantize(values: NDArray[Any], ranges: Sequence[NDArray[Any]], levels: int) -> NDArray[Any]:
    """Return what FakeQuantize makes of constants.

    Args:
        values: float32.
        ranges: input low and high, output low and high; each broadcasts to the values.
        levels: number of steps.
    """
    low, high, out_low, out_high = (np.asarray(each, np.float32) for each in ranges)
    span = np.where(high == low, np.float32(1), high - low)
    steps = np.rint((values - low) / span * np.float32(levels - 1))
    inside = steps / np.float32(levels - 1) * (out_high - out_low) + out_low
    clipped = np.where(values > np.maximum(low, high), out_high, inside)
    return np.asarray(np.where(values <= np.minimum(low, high), out_low, clipped), np.float32)


def _evaluate(operation: Operation, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]] | None:
    openvino = importlib.import_module("openvino")
    node = operation.node
    inputs = []
    for position, array in enumerate(arrays):
        stored = operation.stored_type(position)
        if stored not in _NATIVE:
            return None
        wanted = np.dtype(np.float16) if stored == "f16" else operation.dtype(position)
        inputs.append(openvino.Tensor(np.array(array, dtype=wanted, order="C")))
    outputs = [
        openvino.Tensor(node.get_output_element_type(i), node.get_output_shape(i))
        for i in range(operation.output_count)
    ]
    try:
        if not node.evaluate(outputs, inputs):
            return None
    except RuntimeError:  # OpenVINO has no evaluation of this operation; it is read as any other then
        return None
    return [np.array(output.data).astype(operation.output_dtype(i)) for i, output in enumerate(outputs)]
