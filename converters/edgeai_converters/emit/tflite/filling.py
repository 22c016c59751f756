"""Values grown from smaller ones: Expand ↔ BROADCAST_TO, Tile ↔ TILE, Trilu, Range, ConstantOfShape; and Shape.

A value is grown along a free dimension by adding zeros that are made of another value with that dimension: a shape that
is computed at run time would make every tensor behind it dynamic, and XNNPACK would not run any of them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import Shape, identity
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.schema import tensor_type
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext

_FIX = "fix it with --shape"


def write_expand(context: WriteContext, node: ir.Node) -> None:
    """Write a broadcast to the shape that the graph infers; the shape it computes is not needed."""
    operand = context.operand(node, 0)
    if operand is None:
        raise UnwritableError("an input is missing")
    _write_grown(context, node, operand)


def write_constant_of_shape(context: WriteContext, node: ir.Node) -> None:
    """Write one number in every place of the shape that the graph infers."""
    attribute = node.attributes.get("value")
    number = np.zeros(1, np.float32) if attribute is None else attribute.as_tensor().numpy()
    _write_grown(context, node, Constant(name=f"{node.outputs[0].name}/number", stored=number.reshape(())))


def _write_grown(context: WriteContext, node: ir.Node, operand: Value | Constant) -> None:
    name = context.result_name(node)
    target = context.graph_shape(name)
    rank, order = len(target), identity(len(target))
    old: Shape = (1,) * (rank - len(operand.shape)) + tuple(operand.shape)
    source = context.broadcast(operand, rank, order)
    grown = [axis for axis in range(rank) if old[axis] == 1 and target[axis] != 1]
    free = [axis for axis in grown if target[axis] is None]
    result = context.result(node, order)
    if not grown:
        context.reshaped(source, target, name, into=result)
        return
    if None not in target:
        table = context.integers([size or 0 for size in target], f"{name}/to")
        context.add("BROADCAST_TO", [source, table], [result], "BroadcastToOptions")
        return
    steps = Steps(context, name)
    zeros = [_zeros_along(context, node, axis, rank) for axis in free]
    fixed = [target[axis] if axis in grown and axis not in free else 1 for axis in range(rank)]
    if any(size != 1 for size in fixed):
        zeros.append(context.file.add_constant(np.zeros([size or 1 for size in fixed], np.float32), f"{name}/zeros"))
    dtype = context.file.tensors[source].dtype
    if dtype == "float32":
        for position, tensor in enumerate(zeros):
            source = steps.binary("ADD", source, tensor, into=result if position == len(zeros) - 1 else None)
        return
    whole = zeros[0]
    for tensor in zeros[1:]:
        whole = steps.binary("ADD", whole, tensor)
    steps.binary("LOGICAL_OR" if dtype == "bool" else "ADD", source, steps.cast(whole, dtype), into=result)


def _zeros_along(context: WriteContext, node: ir.Node, axis: int, rank: int) -> int:
    """Return float zeros as many as a free dimension of the node's result, along `axis` of `rank`."""
    shape = node.outputs[0].shape
    wanted = None if shape is None else shape[axis]
    label = None if wanted is None or isinstance(wanted, int) else wanted.value
    for name, value in context.values.items():
        graph_shape = context.symbols(name)
        if label is None or label not in graph_shape or not value.tensors or value.flat_order is not None:
            continue
        if value.shape.count(None) != 1 and list(graph_shape).count(label) != 1:
            continue
        return _zeros_of(context, value, graph_shape.index(label), axis, rank)
    raise UnwritableError(f"no value has the free dimension {label or 'of its result'!r} by which it grows; {_FIX}")


def _zeros_of(context: WriteContext, value: Value, where: int, axis: int, rank: int) -> int:
    key = ("zeros", value.name, where, axis, rank)
    if key in context.shared:
        return context.shared[key]
    steps = Steps(context, f"{value.name}/zeros")
    order, integer = next(iter(value.tensors))
    source = value.tensors[order, integer]
    place = order.index(where)
    part = context.scratch(source, tuple(None if i == place else 1 for i in range(len(order))), f"{value.name}/one")
    ends = context.integers([0 if i == place else 1 for i in range(len(order))], "end")
    tables = [context.integers([0] * len(order), "begin"), ends, context.integers([1] * len(order), "steps")]
    # To the end of the free dimension: XNNPACK takes no SLICE with a size of -1.
    context.add("STRIDED_SLICE", [source, *tables], [part], "StridedSliceOptions", endMask=1 << place)
    part = context.reshaped(part, tuple(None if i == axis else 1 for i in range(rank)), f"{value.name}/along")
    if context.file.tensors[part].quantization is not None:
        part = context.dequantized(part, f"{value.name}/along/float")
    part = steps.cast(part, "float32")
    # Not a product with zero, which is not zero for what is infinite.
    zeros = steps.binary("MINIMUM", steps.binary("MAXIMUM", part, steps.number(0)), steps.number(0))
    context.shared[key] = zeros
    return zeros


def write_tile(context: WriteContext, node: ir.Node) -> None:
    """Write TILE with constant repeats."""
    value, repeats = context.value(node), context.constant(node, 1, "the repeats").stored.reshape(-1)
    order = value.order
    source = context.tensor(value, order)
    table = context.integers([1 if axis < 0 else int(repeats[axis]) for axis in order], f"{node.outputs[0].name}/times")
    context.add("TILE", [source, table], [context.result(node, order)], "TileOptions")


def write_trilu(context: WriteContext, node: ir.Node) -> None:
    """Write the upper or lower triangle of the last two axes as a choice by a constant mask."""
    value, given = context.value(node), context.optional_constant(node, 1, "k")
    k = 0 if given is None or given.stored.size == 0 else int(given.stored.reshape(-1)[0])
    rows, columns = value.shape[-2:]
    if rows is None or columns is None:
        raise UnwritableError(f"the triangle of a free dimension; {_FIX}")
    whole = np.ones((rows, columns), np.bool_)
    mask = np.triu(whole, k) if node.attributes.get_int("upper", 1) else np.tril(whole, k)
    order = identity(value.rank)
    source = context.tensor(value, order)
    steps, result = Steps(context, context.result_name(node)), context.result(node, order)
    condition = context.file.add_constant(mask, f"{context.result_name(node)}/mask")
    if value.dtype == "bool":
        steps.binary("LOGICAL_AND", source, condition, into=result)
    else:
        steps.select(condition, source, steps.number(0, value.dtype), into=result)


def write_shape(context: WriteContext, node: ir.Node) -> None:
    """Write SHAPE; most of them are not needed in the end, since shapes are taken from what the graph infers."""
    value = context.value(node)
    first, last = node.attributes.get_int("start", 0), node.attributes.get_int("end", value.rank)
    first, last = (number + value.rank if number < 0 else number for number in (first, last))
    source = (
        context.tensor(value, identity(value.rank)) if value.flat_order is None else next(iter(value.tensors.values()))
    )
    result = context.result(node, identity(1))
    whole = (first, min(last, value.rank)) == (0, value.rank)
    target = result if whole else context.file.add_tensor(f"{value.name}/sizes", (value.rank,), "int64")
    context.add("SHAPE", [source], [target], "ShapeOptions", outType=tensor_type("int64"))
    if not whole:
        inputs = [target, context.integers([first], "begin"), context.integers([min(last, value.rank) - first], "size")]
        context.add("SLICE", inputs, [result], "SliceOptions")


def write_range(context: WriteContext, node: ir.Node) -> None:
    """Refuse a range of a length that is not known: with a known one, constants fold it."""
    raise UnwritableError(f"a range whose limits are computed from a free dimension; {_FIX}")


def read_broadcast_to(context: ReadContext, operator: Operator) -> None:
    """Read BROADCAST_TO as Expand."""
    target = _sizes(context, operator, 1, "shape")
    context.finish(operator, context.add("Expand", [context.source(operator.inputs[0]), target]))


def read_tile(context: ReadContext, operator: Operator) -> None:
    """Read TILE."""
    repeats = _sizes(context, operator, 1, "repeats")
    context.finish(operator, context.add("Tile", [context.source(operator.inputs[0]), repeats]))


def _sizes(context: ReadContext, operator: Operator, position: int, what: str) -> str:
    """Return a vector of sizes as int64, known or computed."""
    known = context.constant(operator.inputs[position])
    if known is None:
        return context.add("Cast", [context.source(operator.inputs[position])], to=ir.DataType.INT64.value)
    return context.integers(known.reshape(-1), f"{context.name(operator.outputs[0])}/{what}")


def read_fill(context: ReadContext, operator: Operator) -> None:
    """Read FILL of a known shape and number as a constant, else as Expand."""
    shape = context.constant(operator.inputs[0])
    number = context.constant(operator.inputs[1])
    if shape is None or number is None:
        inputs = [context.source(operator.inputs[1]), _sizes(context, operator, 0, "shape")]
        context.finish(operator, context.add("Expand", inputs))
        return
    context.set_constant(operator.outputs[0], np.full([int(size) for size in shape.reshape(-1)], number.reshape(())))


def read_like(context: ReadContext, operator: Operator) -> None:
    """Read ZEROS_LIKE as a product with zero."""
    dtype = np.dtype(context.tensors[operator.outputs[0]].dtype)
    zero = context.add_constant(np.zeros((), dtype), f"{context.name(operator.outputs[0])}/zero")
    context.finish(operator, context.add("Mul", [context.source(operator.inputs[0]), zero]))


def read_range(context: ReadContext, operator: Operator) -> None:
    """Read RANGE between constants as a constant."""
    start, limit, step = (context.known(operator, i, what) for i, what in enumerate(("start", "limit", "step")))
    dtype = context.tensors[operator.outputs[0]].dtype
    values = np.arange(start.reshape(-1)[0], limit.reshape(-1)[0], step.reshape(-1)[0], dtype=dtype)
    context.set_constant(operator.outputs[0], values)


def read_unpack(context: ReadContext, operator: Operator) -> None:
    """Read UNPACK as one Gather per part."""
    axis = int(operator.option("axis"))
    for position, tensor in enumerate(operator.outputs):
        index = context.add_constant(np.array(position, np.int64), f"{context.name(tensor)}/index")
        context.finish(
            operator, context.add("Gather", [context.source(operator.inputs[0]), index], axis=axis), position=position
        )
