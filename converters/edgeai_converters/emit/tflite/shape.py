"""Operators that only look at memory in another way: Reshape, Flatten, Squeeze, Unsqueeze ↔ RESHAPE; Transpose."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import first_output
from edgeai_converters.emit.tflite.layout import (
    UNIT,
    Permutation,
    Shape,
    align_reshape,
    identity,
    physical_shape,
    transposed,
)
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import Value, WriteContext


def write_transpose(context: WriteContext, node: ir.Node) -> None:
    """Write nothing: the same memory is read with other names of its axes. Who cannot read it so, moves it."""
    value = context.value(node)
    permutation = node.attributes.get_ints("perm", list(range(value.rank))[::-1])
    shape = tuple(value.shape[axis] for axis in permutation)
    tensors = {(transposed(order, permutation), integer): index for (order, integer), index in value.tensors.items()}
    name = context.result_name(node)
    context.define(
        node,
        Value(
            name=name,
            shape=shape,
            dtype=value.dtype,
            quantization=value.quantization,
            tensors=tensors,
            non_negative=value.non_negative,
        ),
    )


def write_reshape(context: WriteContext, node: ir.Node) -> None:
    """Write any change of shape; the shape that the graph infers is what counts, not the one it computes.

    Axes that are neither merged nor split keep their order in memory. A map that is flattened for dense layers only
    is not brought to the graph's layout: the dense layers permute their weights instead.
    """
    value = context.value(node)
    shape = _free_once(value.shape, context.graph_shape(context.result_name(node)))
    integer = value.quantization is not None
    groups = align_reshape(value.shape, shape)
    if value.flat_order is not None:
        source, order, after = context.tensor(value, value.order, integer=integer), value.order, identity(len(shape))
    elif groups is None:
        order, after = identity(value.rank), identity(len(shape))
        source = context.tensor(value, order, integer=integer)
    else:
        flat_order = _flat_order(value, groups) if groups else None
        if flat_order is not None and _only_dense_readers(context, first_output(node)):
            source = context.tensor(value, value.order, integer=integer)
            _define(context, node, value, source, identity(len(shape)), shape).flat_order = flat_order
            return
        order, after = _orders(value, groups, len(shape))
        source = context.tensor(value, order, integer=integer)
    _define(context, node, value, source, after, shape)


def _define(context: WriteContext, node: ir.Node, value: Value, source: int, after: Permutation, shape: Shape) -> Value:
    name = context.result_name(node)
    tensor = context.reshaped(source, physical_shape(shape, after), name)
    made = Value(
        name=name,
        shape=shape,
        dtype=value.dtype,
        quantization=value.quantization,
        tensors={(after, value.quantization is not None): tensor},
        non_negative=value.non_negative,
    )
    context.define(node, made)
    return made


def _free_once(old: Shape, new: Shape) -> Shape:
    """Replace free sizes of `new` that can be computed from known ones."""
    if new.count(None) == 1 and None not in old:
        rest = int(np.prod([size for size in new if size is not None]))
        total = int(np.prod([size for size in old if size is not None]))
        return tuple(total // max(rest, 1) if size is None else size for size in new)
    return new


def _orders(value: Value, groups: list[tuple[list[int], list[int]]], rank: int) -> tuple[Permutation, Permutation]:
    """Return the order to read the value in, and the order of axes that the reshaped memory then has.

    Inside a group the axes must lie as in the graph; whole groups stay where they are.
    """
    present = [axis for axis in value.order if axis != UNIT]
    by_place = sorted(groups, key=lambda group: present.index(group[0][0]))
    grouped = [axis for old, _ in by_place for axis in old]
    units = [axis for axis in present if axis not in grouped]
    target = (*units, *grouped)
    if [axis for axis in present if axis in grouped] == grouped:
        target = value.order
    new = [axis for _, axes in by_place for axis in axes]
    return target, _with_units(new, rank)


def _with_units(essential: list[int], rank: int) -> Permutation:
    """Put axes of size 1 where they lie in the graph, behind the axis that they follow there."""
    order = list(essential)
    for axis in range(rank):
        if axis not in order:
            order.insert(0 if axis == 0 else order.index(axis - 1) + 1, axis)
    return tuple(order)


def _flat_order(value: Value, groups: list[tuple[list[int], list[int]]]) -> np.ndarray | None:
    """Return which feature of the graph each feature in memory is, for a map flattened to `[N, features]`."""
    merged = groups[-1][0]
    if len(groups) > 2 or len(groups[-1][1]) != 1 or (len(groups) == 2 and groups[0] != ([0], [0])):
        return None
    order = [axis for axis in value.order if axis in merged]
    behind = [axis for axis in value.order if axis != UNIT and value.shape[axis] != 1]
    if order == merged or behind[-len(merged) :] != order:
        return None
    sizes = [size for axis in merged if (size := value.shape[axis]) is not None]
    if len(sizes) < len(merged):
        return None
    numbers = np.arange(int(np.prod(sizes))).reshape(sizes)
    return numbers.transpose([merged.index(axis) for axis in order]).reshape(-1)


def _only_dense_readers(context: WriteContext, name: str) -> bool:
    readers = context.folding.readers.get(name, [])
    if not readers or name in context.folding.boundary:
        return False
    for reader in readers:
        if reader.op_type in ("QuantizeLinear", "DequantizeLinear", "Identity"):
            if not _only_dense_readers(context, first_output(reader)):
                return False
            continue
        weight = context.folding.constants.get(_read_name(reader, 1))
        dense = reader.op_type in ("Gemm", "MatMul") and not reader.attributes.get_int("transA", 0)
        if not dense or weight is None or len(weight.shape) != 2 or _read_name(reader, 0) != name:
            return False
    return True


def _read_name(node: ir.Node, position: int) -> str:
    value = node.inputs[position] if position < len(node.inputs) else None
    return "" if value is None else value.name or ""


def read_reshape(context: ReadContext, operator: Operator) -> None:
    """Read RESHAPE, SQUEEZE and EXPAND_DIMS as Reshape to the shape that the file states for the result.

    A free dimension of the result is -1; with more than one the shape that the file computes is read too.
    """
    shape = context.shape(operator.outputs[0])
    wanted = [-1 if size is None else size for size in shape]
    given = context.constant(operator.inputs[1]) if operator.name == "RESHAPE" and len(operator.inputs) > 1 else None
    computed = operator.name == "RESHAPE" and len(operator.inputs) > 1 and given is None
    if computed and (wanted.count(-1) > 1 or not shape):
        target = context.add("Cast", [context.source(operator.inputs[1])], to=ir.DataType.INT64.value)
        context.finish(operator, context.add("Reshape", [context.source(operator.inputs[0]), target]))
        return
    old = context.shape(operator.inputs[0])
    if wanted.count(-1) > 1 or _units_only(operator):
        axes = _unit_axes(context, operator, old)
        if axes is None and wanted.count(-1) > 1:
            raise UnreadableError(f"reshape to more than one free dimension: {wanted}")
        if axes is not None and context.constant(operator.inputs[0]) is None:
            kind = "Unsqueeze" if operator.name == "EXPAND_DIMS" else "Squeeze"
            target = context.integers(axes, f"{context.name(operator.outputs[0])}/axes")
            context.finish(operator, context.add(kind, [context.source(operator.inputs[0]), target]))
            return
    if given is not None and given.size == len(wanted):
        wanted = [int(size) for size in given.reshape(-1)]
    if -1 not in wanted and old and old[0] is None:
        wanted[0] = -1
    source = context.constant(operator.inputs[0])
    if source is not None and -1 not in wanted:
        context.set_constant(operator.outputs[0], source.reshape(wanted))
        return
    target = context.integers(wanted, f"{context.name(operator.outputs[0])}/shape")
    context.finish(operator, context.add("Reshape", [context.source(operator.inputs[0]), target]))


def _units_only(operator: Operator) -> bool:
    return operator.name in ("EXPAND_DIMS", "SQUEEZE")


def _unit_axes(context: ReadContext, operator: Operator, old: Shape) -> list[int] | None:
    """Return the axes that EXPAND_DIMS adds or SQUEEZE drops, where the file states them."""
    if operator.name == "EXPAND_DIMS":
        axis = context.constant(operator.inputs[1])
        return None if axis is None else [int(axis.reshape(-1)[0])]
    if operator.name == "SQUEEZE":
        stated = operator.option("squeezeDims", None)
        if stated is not None and len(stated):
            return [int(axis) for axis in stated]
        return [axis for axis, size in enumerate(old) if size == 1]
    return None


def read_transpose(context: ReadContext, operator: Operator) -> None:
    """Read TRANSPOSE."""
    axes = [int(axis) for axis in context.known(operator, 1, "the permutation").reshape(-1)]
    context.finish(operator, context.add("Transpose", [context.source(operator.inputs[0])], perm=axes))


def read_shape(context: ReadContext, operator: Operator) -> None:
    """Read SHAPE as a constant, or as Shape when a dimension is free."""
    shape = context.shape(operator.inputs[0])
    dtype = np.dtype(context.tensors[operator.outputs[0]].dtype)
    if None not in shape:
        context.set_constant(operator.outputs[0], np.array(shape, dtype))
        return
    sizes = context.add("Shape", [context.source(operator.inputs[0])])
    context.finish(operator, context.add("Cast", [sizes], to=ir.DataType.from_numpy(dtype).value))
