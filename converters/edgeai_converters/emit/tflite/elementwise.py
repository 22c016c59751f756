"""Arithmetic on two or more values with broadcasting: Add, Sub, Mul, Div, Min, Max, Pow; BatchNormalization."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS, Constant
from edgeai_converters.emit.tflite.layout import Permutation, identity, lowered
from edgeai_converters.emit.tflite.quantization import Quantization, quantize
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext

_WITH_ACTIVATION = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}
_NAMES = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Max": "MAXIMUM", "Min": "MINIMUM"}


def common_order(operands: list[Value | Constant], rank: int) -> Permutation:
    """Return the order in which the fewest operands have to be moved; the one of a wide operand."""
    wide = [operand for operand in operands if isinstance(operand, Value) and operand.rank == rank]
    if not wide:
        return identity(rank)
    candidates = {order: None for value in wide for order, _ in value.tensors}

    def misses(order: Permutation) -> int:
        return sum(
            all(have != lowered(order, rank - value.rank) for have, _ in value.tensors)
            for value in operands
            if isinstance(value, Value)
        )

    # Of equals, the one with channels last: convolutions are near.
    return min(candidates, key=lambda order: (misses(order), order == identity(rank)))


def write_binary(context: WriteContext, node: ir.Node) -> None:
    """Write ADD, SUB, MUL or DIV; a division by a constant is a product."""
    left, right = _operands(context, node)
    name = _NAMES[node.op_type]
    if name == "DIV" and isinstance(right, Constant) and right.real.dtype == np.float32 and np.all(right.real):
        name, right = "MUL", Constant(name=right.name, stored=(1 / right.real.astype(np.float64)).astype(np.float32))
    output = context.integer_output(node, left, right) if name != "DIV" else None
    rank = len(context.graph_shape(context.result_name(node)))
    order = common_order([left, right], rank)
    dtype = "int8" if output is None else output.dtype
    tensors = [
        context.broadcast(operand, rank, order, integer=output is not None, dtype=dtype) for operand in (left, right)
    ]
    result = context.result(node, order, output)
    fields: dict[str, object] = {
        "fusedActivationFunction": FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0)
    }
    if dtype == "int16" and name in ("ADD", "SUB"):
        fields["potScaleInt16"] = False  # any scales, not powers of two only
    context.add(name, tensors, [result], _WITH_ACTIVATION[name], **fields)


def _operands(context: WriteContext, node: ir.Node) -> list[Value | Constant]:
    operands = [
        operand for operand in (context.operand(node, i) for i in range(len(node.inputs))) if operand is not None
    ]
    if all(isinstance(operand, Constant) for operand in operands):
        raise UnwritableError("all inputs are constant; fold constants first")
    return operands


def write_extremum(context: WriteContext, node: ir.Node) -> None:
    """Write MAXIMUM or MINIMUM; in integers all inputs take the quantization of the result, which the kernel needs."""
    operands = _operands(context, node)
    if len(operands) == 1:
        context.define(node, context.value(node))
        return
    output = context.integer_output(node, *operands)
    rank = len(context.graph_shape(context.result_name(node)))
    order = common_order(operands, rank)
    tensors = [_with_quantization(context, operand, rank, order, output) for operand in operands]
    result = context.result(node, order, output)
    write_chain(context, _NAMES[node.op_type], tensors, result, "MaximumMinimumOptions")


def _with_quantization(
    context: WriteContext, operand: Value | Constant, rank: int, order: Permutation, output: Quantization | None
) -> int:
    if output is None:
        return context.broadcast(operand, rank, order)
    if isinstance(operand, Value):
        return context.stored_as(operand, lowered(order, rank - operand.rank), output)
    stored = Constant(name=operand.name, stored=quantize(operand.real, output), quantization=output)
    return context.broadcast(stored, rank, order, integer=True, dtype=output.dtype)


def write_chain(context: WriteContext, name: str, tensors: list[int], result: int, options: str) -> None:
    """Write a two-input operator over any number of tensors, one after the other."""
    current = tensors[0]
    for position, tensor in enumerate(tensors[1:], start=1):
        last = position == len(tensors) - 1
        step = (
            result if last else context.scratch(result, context.shape_of(result), f"{name.lower()}/{result}/{position}")
        )
        context.add(name, [current, tensor], [step], options)
        current = step


def write_power(context: WriteContext, node: ir.Node) -> None:
    """Write a power: products for 2 and 3 and SQRT for 0.5, which engines run faster than POW."""
    value, exponent = context.value(node), context.operand(node, 1)
    if not isinstance(exponent, Constant) or exponent.stored.size != 1:
        operands = _operands(context, node)
        rank = len(context.graph_shape(context.result_name(node)))
        order = common_order(operands, rank)
        tensors = [context.broadcast(operand, rank, order) for operand in operands]
        context.add("POW", tensors, [context.result(node, order)], "PowOptions")
        return
    power, order = float(exponent.real.reshape(())), value.order
    if power == 1:
        context.define(node, value)
        return
    output = context.integer_output(node, value) if power == 2 else None
    source = context.tensor(value, order, integer=output is not None)
    result = context.result(node, order, output, non_negative=power in (2, 0.5))
    if power == 2:
        context.add("MUL", [source, source], [result], "MulOptions", fusedActivationFunction=0)
    elif power == 3:
        square = context.scratch(result, context.shape_of(result), f"{value.name}/square")
        context.add("MUL", [source, source], [square], "MulOptions", fusedActivationFunction=0)
        context.add("MUL", [square, source], [result], "MulOptions", fusedActivationFunction=0)
    elif power == 0.5:
        context.add("SQRT", [source], [result])
    else:
        table = context.file.add_constant(np.array([power], np.float32), exponent.name)
        context.add("POW", [source, table], [result], "PowOptions")


def write_batch_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write a normalization that could not be folded into a convolution as a product and a sum per channel."""
    value = context.value(node)
    scale, shift, mean, variance = (
        context.constant(node, position, what).real.astype(np.float64)
        for position, what in ((1, "the scale"), (2, "the shift"), (3, "the mean"), (4, "the variance"))
    )
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    offset = shift - mean * factor
    order = value.order
    wide = (1, -1, *[1] * (value.rank - 2))
    source = context.tensor(value, order)
    terms = [
        context.broadcast(Constant(name=name, stored=array.astype(np.float32).reshape(wide)), value.rank, order)
        for name, array in ((f"{value.name}/factor", factor), (f"{value.name}/offset", offset))
    ]
    result = context.result(node, order)
    product = context.scratch(result, context.shape_of(result), f"{value.name}/scaled")
    fused = FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0)
    context.add("MUL", [source, terms[0]], [product], "MulOptions", fusedActivationFunction=0)
    context.add("ADD", [product, terms[1]], [result], "AddOptions", fusedActivationFunction=fused)


_READ_NAMES = {
    "ADD": "Add",
    "DIV": "Div",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "MUL": "Mul",
    "POW": "Pow",
    "SUB": "Sub",
}


def read_binary(context: ReadContext, operator: Operator) -> None:
    """Read arithmetic on two values."""
    made = context.add(_READ_NAMES[operator.name], [context.source(tensor) for tensor in operator.inputs])
    context.finish(operator, made)


def read_squared_difference(context: ReadContext, operator: Operator) -> None:
    """Read SQUARED_DIFFERENCE as a difference times itself."""
    difference = context.add("Sub", [context.source(tensor) for tensor in operator.inputs])
    context.finish(operator, context.add("Mul", [difference, difference]))


def read_square(context: ReadContext, operator: Operator) -> None:
    """Read SQUARE as a product."""
    value = context.source(operator.inputs[0])
    context.finish(operator, context.add("Mul", [value, value]))
