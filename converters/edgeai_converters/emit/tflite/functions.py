"""Functions of one value that TFLite has no operator for, or only inside others.

All are written in float, in operators that XNNPACK runs where there are such.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.elementwise import common_order
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import WriteContext

_LARGEST_EXPONENT = 20.0
"""Above, `tanh(softplus(x))` is 1 in float32; `exp` of it squared is far from overflow."""

_ERF_SLOPE = 0.3275911
_ERF_FACTORS = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error at most 1.5e-7."""


def _begin(context: WriteContext, node: ir.Node) -> tuple[Steps, int, int]:
    value = context.value(node)
    source = context.tensor(value, value.order)
    return Steps(context, context.result_name(node)), source, context.result(node, value.order)


def write_softplus(context: WriteContext, node: ir.Node) -> None:
    """Write `log(1 + exp(x))` as `max(x, 0) + log(1 + exp(-|x|))`, which does not overflow."""
    steps, source, result = _begin(context, node)
    small = steps.unary("EXP", steps.unary("NEG", steps.unary("ABS", source)))
    grown = steps.unary("LOG", steps.binary("ADD", small, steps.number(1)))
    steps.binary("ADD", steps.binary("MAXIMUM", source, steps.number(0)), grown, into=result)


def write_mish(context: WriteContext, node: ir.Node) -> None:
    """Write `x · tanh(log(1 + e))`, with `e = exp(x)`, as `x · n / (n + 2)` with `n = e · (e + 2)`."""
    steps, source, result = _begin(context, node)
    power = steps.unary("EXP", steps.binary("MINIMUM", source, steps.number(_LARGEST_EXPONENT)))
    numerator = steps.binary("MUL", power, steps.binary("ADD", power, steps.number(2)))
    gate = steps.binary("DIV", numerator, steps.binary("ADD", numerator, steps.number(2)))
    steps.binary("MUL", source, gate, into=result)


def write_swish(context: WriteContext, node: ir.Node) -> None:
    """Write `x · sigmoid(alpha · x)`."""
    steps, source, result = _begin(context, node)
    alpha = node.attributes.get_float("alpha", 1.0)
    scaled = source if alpha == 1.0 else steps.binary("MUL", source, steps.number(alpha))
    steps.binary("MUL", source, steps.unary("LOGISTIC", scaled), into=result)


def write_softsign(context: WriteContext, node: ir.Node) -> None:
    """Write `x / (1 + |x|)`."""
    steps, source, result = _begin(context, node)
    steps.binary("DIV", source, steps.binary("ADD", steps.unary("ABS", source), steps.number(1)), into=result)


def write_selu(context: WriteContext, node: ir.Node) -> None:
    """Write Selu, Celu, and Elu with a factor as `scale · (max(x, 0) + factor · elu(min(x, 0) / width))`."""
    steps, source, result = _begin(context, node)
    scale, factor, width = 1.0, node.attributes.get_float("alpha", 1.0), 1.0
    if node.op_type == "Selu":
        scale = node.attributes.get_float("gamma", 1.0507009873554805)
        factor = node.attributes.get_float("alpha", 1.6732632423543772)
    elif node.op_type == "Celu":
        width = factor
    below = steps.binary("MINIMUM", source, steps.number(0))
    if width != 1:
        below = steps.binary("MUL", below, steps.number(1 / width))
    curved = steps.binary("MUL", steps.unary("ELU", below), steps.number(scale * factor))
    above = steps.binary("MAXIMUM", source, steps.number(0))
    if scale != 1:
        above = steps.binary("MUL", above, steps.number(scale))
    steps.binary("ADD", above, curved, into=result)


def write_erf(context: WriteContext, node: ir.Node) -> None:
    """Write the error function as `sign(x) · (1 - p(t) · exp(-x²))`, `t = 1 / (1 + 0.3275911 |x|)`; error 1.5e-7.

    Inside GELU it never comes here: the simplifier makes that a Gelu node.
    """
    steps, source, result = _begin(context, node)
    size = steps.unary("ABS", source)
    ratio = steps.binary("ADD", steps.binary("MUL", size, steps.number(_ERF_SLOPE)), steps.number(1))
    ratio = steps.binary("DIV", steps.number(1), ratio)
    sum_ = steps.binary("MUL", ratio, steps.number(_ERF_FACTORS[-1]))
    for factor in reversed(_ERF_FACTORS[:-1]):
        sum_ = steps.binary("MUL", steps.binary("ADD", sum_, steps.number(factor)), ratio)
    tail = steps.binary("MUL", sum_, steps.unary("EXP", steps.unary("NEG", steps.binary("MUL", size, size))))
    above = steps.binary("SUB", steps.number(1), tail)
    steps.binary("MUL", above, steps.unary("SIGN", source), into=result)
    context.notes.append("Erf is computed by a polynomial with an absolute error of 1.5e-7")


def write_sign(context: WriteContext, node: ir.Node) -> None:
    """Write SIGN."""
    steps, source, result = _begin(context, node)
    steps.unary("SIGN", source, into=result)


def write_tan(context: WriteContext, node: ir.Node) -> None:
    """Write `sin(x) / cos(x)`."""
    steps, source, result = _begin(context, node)
    steps.binary("DIV", steps.unary("SIN", source), steps.unary("COS", source), into=result)


def write_thresholded_relu(context: WriteContext, node: ir.Node) -> None:
    """Write `x` where it is above alpha, else 0."""
    steps, source, result = _begin(context, node)
    mask = steps.binary("GREATER", source, steps.number(node.attributes.get_float("alpha", 1.0)))
    steps.select(mask, source, steps.number(0), into=result)


def write_log_softmax(context: WriteContext, node: ir.Node) -> None:
    """Write `x - max - log(sum(exp(x - max)))`; LOG_SOFTMAX itself leaves XNNPACK."""
    value = context.value(node)
    axis = node.attributes.get_int("axis", -1) % value.rank
    steps, source, result = _begin(context, node)
    place = [value.order.index(axis)]
    lowered = steps.binary("SUB", source, steps.reduce("REDUCE_MAX", source, place))
    total = steps.unary("LOG", steps.reduce("SUM", steps.unary("EXP", lowered), place))
    steps.binary("SUB", lowered, total, into=result)


def write_modulo(context: WriteContext, node: ir.Node) -> None:
    """Write FLOOR_MOD; with `fmod` the remainder that has the sign of the dividend."""
    operands = [operand for operand in (context.operand(node, 0), context.operand(node, 1)) if operand is not None]
    rank = len(context.graph_shape(context.result_name(node)))
    order = common_order(operands, rank)
    left, right = (context.broadcast(operand, rank, order) for operand in operands)
    steps, result = Steps(context, context.result_name(node)), context.result(node, order)
    if not node.attributes.get_int("fmod", 0):
        steps.binary("FLOOR_MOD", left, right, into=result)
        return
    size = steps.binary("FLOOR_MOD", steps.unary("ABS", left), steps.unary("ABS", right))
    steps.binary("MUL", size, steps.unary("SIGN", left), into=result)


def read_sign(context: ReadContext, operator: Operator) -> None:
    """Read SIGN."""
    context.finish(operator, context.add("Sign", [context.source(operator.inputs[0])]))


def read_floor_div(context: ReadContext, operator: Operator) -> None:
    """Read FLOOR_DIV of floats as Floor of a quotient; of integers as what remains without the modulus."""
    names = [context.source(tensor) for tensor in operator.inputs]
    dtype = np.dtype(context.tensors[operator.outputs[0]].dtype)
    if dtype.kind == "f":
        context.finish(operator, context.add("Floor", [context.add("Div", names)]))
        return
    remainder = context.add("Mod", names)
    context.finish(operator, context.add("Div", [context.add("Sub", [names[0], remainder]), names[1]]))


def read_floor_mod(context: ReadContext, operator: Operator) -> None:
    """Read FLOOR_MOD as Mod, which for floats is said by Floor."""
    names = [context.source(tensor) for tensor in operator.inputs]
    if np.dtype(context.tensors[operator.outputs[0]].dtype).kind == "i":
        context.finish(operator, context.add("Mod", names))
        return
    whole = context.add("Floor", [context.add("Div", names)])
    context.finish(operator, context.add("Sub", [names[0], context.add("Mul", [whole, names[1]])]))
