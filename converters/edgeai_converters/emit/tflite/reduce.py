"""Reductions: ReduceMean ↔ MEAN, ReduceSum ↔ SUM, ReduceMax ↔ REDUCE_MAX, …; norms and logarithms of sums."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.emit.tflite.layout import UNIT, Permutation
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import WriteContext

_NAMES = {
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}


def write_reduce(context: WriteContext, node: ir.Node) -> None:
    """Write a reduction over constant axes; REDUCE_MAX and REDUCE_MIN keep the quantization of an int8 value."""
    value = context.value(node)
    name = _NAMES[node.op_type]
    given = context.optional_constant(node, 1, "the axes")
    axes = [
        int(axis) for axis in (given.stored.reshape(-1) if given is not None else node.attributes.get_ints("axes", []))
    ]
    if not axes and node.attributes.get_int("noop_with_empty_axes", 0) != 0:
        context.define(node, value)
        return
    logical = {axis % value.rank for axis in axes} or set(range(value.rank))
    keep = bool(node.attributes.get_int("keepdims", 1))
    keeps_quantization = name in ("REDUCE_MAX", "REDUCE_MIN")
    output = value.quantization if keeps_quantization else context.integer_output(node, value)
    order = value.order
    source = context.tensor(value, order, integer=output is not None)
    # Axes the graph does not have go away with the reduced ones.
    physical = [place for place, axis in enumerate(order) if axis in logical or (axis == UNIT and not keep)]
    after = order if keep else _without(order, logical)
    result = context.result(node, after, output, non_negative=value.non_negative)
    table = context.integers(physical, f"{node.outputs[0].name}/axes")
    context.add(name, [source, table], [result], "ReducerOptions", keepDims=keep)


def write_composed_reduce(context: WriteContext, node: ir.Node) -> None:
    """Write ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp around a SUM, in float."""
    value = context.value(node)
    given = context.optional_constant(node, 1, "the axes")
    axes = [int(a) for a in (given.stored.reshape(-1) if given is not None else node.attributes.get_ints("axes", []))]
    logical = {axis % value.rank for axis in axes} or set(range(value.rank))
    order = value.order
    source = context.tensor(value, order)
    places = [place for place, axis in enumerate(order) if axis in logical]
    steps = Steps(context, context.result_name(node))
    kind = node.op_type
    largest = None
    if kind == "ReduceL1":
        source = steps.unary("ABS", source)
    elif kind in ("ReduceL2", "ReduceSumSquare"):
        source = steps.binary("MUL", source, source)
    elif kind == "ReduceLogSumExp":
        largest = steps.reduce("REDUCE_MAX", source, places)
        source = steps.unary("EXP", steps.binary("SUB", source, largest))
    total = steps.reduce("SUM", source, places)
    if kind == "ReduceL2":
        total = steps.unary("SQRT", total)
    elif kind in ("ReduceLogSum", "ReduceLogSumExp"):
        total = steps.unary("LOG", total)
    if largest is not None:
        total = steps.binary("ADD", total, largest)
    keep = bool(node.attributes.get_int("keepdims", 1))
    result = context.result(node, order if keep else _without(order, logical))
    context.reshaped(total, context.shape_of(result), context.result_name(node), into=result)


def _without(order: Permutation, gone: set[int]) -> Permutation:
    number = {axis: position for position, axis in enumerate(sorted(set(order) - gone - {UNIT}))}
    return tuple(number[axis] for axis in order if axis in number)


_READ_NAMES = {tflite: onnx for onnx, tflite in _NAMES.items()}


def read_reduce(context: ReadContext, operator: Operator) -> None:
    """Read a reduction over constant axes."""
    given = context.known(operator, 1, "the axes").reshape(-1)
    axes = context.integers(given, f"{context.name(operator.outputs[0])}/axes")
    keep = int(bool(operator.option("keepDims", False)))
    made = context.add(_READ_NAMES[operator.name], [context.source(operator.inputs[0]), axes], keepdims=keep)
    context.finish(operator, made)


def read_logical_reduce(context: ReadContext, operator: Operator) -> None:
    """Read REDUCE_ANY and REDUCE_ALL as the largest and smallest of 0 and 1."""
    given = context.known(operator, 1, "the axes").reshape(-1)
    axes = context.integers(given, f"{context.name(operator.outputs[0])}/axes")
    keep = int(bool(operator.option("keepDims", False)))
    numbers = context.add("Cast", [context.source(operator.inputs[0])], to=ir.DataType.INT32.value)
    made = context.add("ReduceMax" if operator.name == "REDUCE_ANY" else "ReduceMin", [numbers, axes], keepdims=keep)
    context.finish(operator, context.add("Cast", [made], to=ir.DataType.BOOL.value))
