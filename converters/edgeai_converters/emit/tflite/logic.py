"""Comparisons, logic and choices: Equal, Less, And, Not, Where, … ↔ EQUAL, LESS, LOGICAL_AND, …, SELECT_V2."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.elementwise import common_order
from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import Permutation
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext

_COMPARISONS = {
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
    "Xor": "NOT_EQUAL",
}


def write_comparison(context: WriteContext, node: ir.Node) -> None:
    """Write a comparison or a logical operator on two values."""
    operands = [context.operand(node, 0), context.operand(node, 1)]
    known = [operand for operand in operands if operand is not None]
    rank = len(context.graph_shape(context.result_name(node)))
    order = common_order(known, rank)
    left, right = (context.broadcast(operand, rank, order) for operand in known)
    steps = Steps(context, context.result_name(node))
    steps.binary(_COMPARISONS[node.op_type], left, right, into=context.result(node, order))


def write_not(context: WriteContext, node: ir.Node) -> None:
    """Write LOGICAL_NOT."""
    value = context.value(node)
    source = context.tensor(value, value.order)
    Steps(context, "").unary("LOGICAL_NOT", source, into=context.result(node, value.order))


def write_is_nan(context: WriteContext, node: ir.Node) -> None:
    """Write `x ≠ x`, which is true for what is not a number."""
    value = context.value(node)
    source = context.tensor(value, value.order)
    Steps(context, "").binary("NOT_EQUAL", source, source, into=context.result(node, value.order))


def write_where(context: WriteContext, node: ir.Node) -> None:
    """Write SELECT_V2; masking a float value with one number becomes a product and a sum.

    XNNPACK does not run SELECT_V2. The mask is brought to numbers once (0 and the number, 1 and 0) and shared by all
    layers; what is done per layer then stays delegated. Exact for finite values.
    """
    condition, yes, no = (context.operand(node, position) for position in range(3))
    if condition is None or yes is None or no is None:
        raise UnwritableError("an input is missing")
    rank = len(context.graph_shape(context.result_name(node)))
    order = common_order([condition, yes, no], rank)
    steps = Steps(context, context.result_name(node))
    floating = context.graph_dtype(context.result_name(node)) == "float32"
    for value, fill, chosen in ((yes, no, True), (no, yes, False)):
        if floating and isinstance(value, Value) and isinstance(fill, Constant) and fill.stored.size == 1:
            number = float(fill.real.reshape(-1)[0])
            _write_masked(context, node, steps, condition, value, number, rank, order, chosen=chosen)
            return
    tensors = [context.broadcast(operand, rank, order) for operand in (condition, yes, no)]
    steps.select(tensors[0], tensors[1], tensors[2], into=context.result(node, order))


def _write_masked(
    context: WriteContext,
    node: ir.Node,
    steps: Steps,
    condition: Value | Constant,
    value: Value,
    fill: float,
    rank: int,
    order: Permutation,
    *,
    chosen: bool,
) -> None:
    """Write `value` where the condition is `chosen`, else `fill`."""
    source = context.broadcast(value, rank, order)
    if fill != 0:
        there = _numbers(context, steps, condition, rank, order, 0.0 if chosen else fill, fill if chosen else 0.0)
    if not np.isneginf(fill) and not np.isposinf(fill):
        kept = _numbers(context, steps, condition, rank, order, float(chosen), float(not chosen))
        if fill == 0:
            steps.binary("MUL", source, kept, into=context.result(node, order))
            return
        source = steps.binary("MUL", source, kept)
    steps.binary("ADD", source, there, into=context.result(node, order))


def _numbers(
    context: WriteContext,
    steps: Steps,
    condition: Value | Constant,
    rank: int,
    order: Permutation,
    yes: float,
    no: float,
) -> int:
    """Return a float tensor of one number where the condition holds and another where it does not."""
    if isinstance(condition, Constant):
        array = np.where(condition.stored.astype(bool), np.float32(yes), np.float32(no)).astype(np.float32)
        return context.broadcast(Constant(name=f"{condition.name}/{yes:g}/{no:g}", stored=array), rank, order)
    mask = context.broadcast(condition, rank, order)
    key = ("numbers", mask, yes, no)
    if key not in context.shared:
        context.shared[key] = steps.select(mask, steps.number(yes), steps.number(no))
    return context.shared[key]


_READ_NAMES = {tflite: onnx for onnx, tflite in _COMPARISONS.items() if onnx != "Xor"}


def read_comparison(context: ReadContext, operator: Operator) -> None:
    """Read a comparison or a logical operator on two values."""
    made = context.add(_READ_NAMES[operator.name], [context.source(tensor) for tensor in operator.inputs])
    context.finish(operator, made)


def read_not_equal(context: ReadContext, operator: Operator) -> None:
    """Read NOT_EQUAL as Equal and Not."""
    made = context.add("Equal", [context.source(tensor) for tensor in operator.inputs])
    context.finish(operator, context.add("Not", [made]))


def read_not(context: ReadContext, operator: Operator) -> None:
    """Read LOGICAL_NOT."""
    context.finish(operator, context.add("Not", [context.source(operator.inputs[0])]))


def read_select(context: ReadContext, operator: Operator) -> None:
    """Read SELECT and SELECT_V2 as Where.

    The condition of SELECT may be a vector along the first axis; SELECT_V2 broadcasts like Where.
    """
    names = [context.source(tensor) for tensor in operator.inputs]
    rank, wide = len(context.shape(operator.inputs[0])), len(context.shape(operator.inputs[1]))
    if operator.name == "SELECT" and rank == 1 and wide > 1:
        axes = context.integers(list(range(1, wide)), f"{context.name(operator.outputs[0])}/axes")
        names[0] = context.add("Unsqueeze", [names[0], axes])
    context.finish(operator, context.add("Where", names))
