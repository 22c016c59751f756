"""Reductions: ReduceMean ↔ MEAN, ReduceSum ↔ SUM, ReduceMax ↔ REDUCE_MAX, ReduceMin ↔ REDUCE_MIN."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.emit.tflite.layout import UNIT, Permutation
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import WriteContext

_NAMES = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


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
