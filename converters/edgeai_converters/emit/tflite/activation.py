"""Functions of one value, number by number, and Softmax; Relu and Clip where no other operator carries them out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS, Constant, activation_name, clip_bounds
from edgeai_converters.emit.tflite.layout import UNIT
from edgeai_converters.emit.tflite.quantization import (
    SOFTMAX_OUTPUT,
    TANH_OUTPUT,
    WIDE_OUTPUT,
    Quantization,
    per_tensor,
)
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import UnwritableError, WriteContext

_FLOAT_ONLY = {
    "Sqrt": ("SQRT", ""),
    "Exp": ("EXP", "ExpOptions"),
    "Log": ("LOG", ""),
    "Neg": ("NEG", "NegOptions"),
    "Abs": ("ABS", "AbsOptions"),
    "Floor": ("FLOOR", ""),
    "Ceil": ("CEIL", ""),
    "Round": ("ROUND", ""),
    "Sin": ("SIN", ""),
    "Cos": ("COS", "CosOptions"),
    "HardSwish": ("HARD_SWISH", "HardSwishOptions"),
    "Gelu": ("GELU", "GeluOptions"),
}
"""Written in float whatever the graph says: their int8 kernels are missing, or break up what XNNPACK runs."""

_INTEGER_TOO = {
    "Sigmoid": ("LOGISTIC", "", SOFTMAX_OUTPUT),
    "Tanh": ("TANH", "", TANH_OUTPUT),
    "Elu": ("ELU", "", None),
    "LeakyRelu": ("LEAKY_RELU", "LeakyReluOptions", None),
}
"""Operator, options table, and the output quantization that the int8 kernel has built in."""


def write_unary(context: WriteContext, node: ir.Node) -> None:
    """Write a function that keeps the layout of its value."""
    value, order = context.value(node), context.value(node).order
    fields: dict[str, object] = {}
    if node.op_type in _FLOAT_ONLY:
        name, options = _FLOAT_ONLY[node.op_type]
        if name == "GELU":
            fields["approximate"] = node.attributes.get_string("approximate", "none") == "tanh"
        source = context.tensor(value, order)
        result = context.result(node, order, non_negative=name in ("SQRT", "EXP", "ABS"))
        context.add(name, [source], [result], options, **fields)
        return
    name, options, built_in = _INTEGER_TOO[node.op_type]
    output = context.integer_output(node, value)
    if name == "ELU" and node.attributes.get_float("alpha", 1.0) != 1.0:
        raise UnwritableError("Elu with alpha other than 1")
    if name == "LEAKY_RELU":
        fields["alpha"] = node.attributes.get_float("alpha", 0.01)
    source = context.tensor(value, order, integer=output is not None)
    result = context.result(node, order, _built_in(built_in, output))
    context.add(name, [source], [result], options, **fields)


def _built_in(narrow: Quantization | None, wanted: Quantization | None) -> Quantization | None:
    """Return how a kernel stores its result, which the graph wants as `wanted`; `narrow` is what its int8 form does."""
    if wanted is None or narrow is None:
        return wanted
    return WIDE_OUTPUT if wanted.dtype == "int16" else narrow


def write_softmax(context: WriteContext, node: ir.Node) -> None:
    """Write SOFTMAX, for which the axis must lie last."""
    value = context.value(node)
    axis = node.attributes.get_int("axis", -1) % value.rank
    rest = [a for a in range(value.rank) if a != axis]
    order = value.order if value.order[-1] == axis and UNIT not in value.order else (*rest, axis)
    output = _built_in(SOFTMAX_OUTPUT, context.integer_output(node, value))
    source = context.tensor(value, order, integer=output is not None)
    result = context.result(node, order, output, non_negative=True)
    context.add("SOFTMAX", [source], [result], "SoftmaxOptions", beta=1.0)


def write_clip(context: WriteContext, node: ir.Node) -> None:
    """Write Relu or Clip that could not be fused.

    XNNPACK refuses the int8 kernels of RELU and RELU6, but takes an ADD of zero that carries the activation.
    """
    value, order = context.value(node), context.value(node).order
    name = activation_name(node, context.folding)
    low, high = (0.0, np.inf) if node.op_type == "Relu" else clip_bounds(node, context.folding)
    if np.isnan(low) or np.isnan(high):
        raise UnwritableError("the bounds of Clip must be constants")
    output = context.integer_output(node, value) if name else None
    if output is not None:
        assert name is not None
        source = context.tensor(value, order, integer=True)
        zero = context.file.add_constant(
            np.zeros(1, output.dtype), f"{value.name}/zero", per_tensor(1.0, 0, output.dtype)
        )
        result = context.result(node, order, output, non_negative=low >= 0)
        fused = FUSED_ACTIVATIONS[name]
        power = output.dtype != "int16"
        context.add("ADD", [source, zero], [result], "AddOptions", fusedActivationFunction=fused, potScaleInt16=power)
        return
    source = context.tensor(value, order)
    if name:
        context.add(name, [source], [context.result(node, order, non_negative=low >= 0)])
        return
    steps = [("MAXIMUM", low), ("MINIMUM", high)]
    steps = [(operator, bound) for operator, bound in steps if np.isfinite(bound)]
    if not steps:
        context.define(node, value)
        return
    result = context.result(node, order, non_negative=low >= 0)
    for position, (operator, bound) in enumerate(steps):
        last = position == len(steps) - 1
        target = result if last else context.scratch(result, context.shape_of(result), f"{value.name}/clipped")
        limit = context.file.add_constant(np.array([bound], np.float32), f"{value.name}/{operator.lower()}")
        context.add(operator, [source, limit], [target], "MaximumMinimumOptions")
        source = target


def write_prelu(context: WriteContext, node: ir.Node) -> None:
    """Write PRELU, or LEAKY_RELU when there is one slope."""
    value, slope = context.value(node), context.constant(node, 1, "the slope")
    order = value.order
    if slope.stored.size == 1:
        output = context.integer_output(node, value)
        source = context.tensor(value, order, integer=output is not None)
        alpha = float(slope.real.reshape(()))
        context.add("LEAKY_RELU", [source], [context.result(node, order, output)], "LeakyReluOptions", alpha=alpha)
        return
    wide = Constant(name=slope.name, stored=slope.real.reshape((1,) * (value.rank - slope.real.ndim) + slope.shape))
    source = context.tensor(value, order)
    # The kernel wants the slope without the batch axis.
    laid = context.broadcast(wide, value.rank, order)
    context.add("PRELU", [source, laid], [context.result(node, order)])


def write_hard_sigmoid(context: WriteContext, node: ir.Node) -> None:
    """Write `clip(a·x + b, 0, 1)` as `relu6(6a·x + 6b) / 6`, which needs no clipping operators."""
    value, order = context.value(node), context.value(node).order
    alpha = 6 * node.attributes.get_float("alpha", 0.2)
    beta = 6 * node.attributes.get_float("beta", 0.5)
    current = context.tensor(value, order)
    result = context.result(node, order, non_negative=True)
    steps = [("MUL", alpha, 0), ("ADD", beta, FUSED_ACTIVATIONS["RELU6"]), ("MUL", 1 / 6, 0)]
    if abs(alpha - 1) < 1e-6:
        steps = steps[1:]
    for position, (operator, number, fused) in enumerate(steps):
        last = position == len(steps) - 1
        target = result if last else context.scratch(result, context.shape_of(result), f"{value.name}/gate/{position}")
        constant = context.file.add_constant(np.array([number], np.float32), f"{value.name}/gate")
        options = "MulOptions" if operator == "MUL" else "AddOptions"
        context.add(operator, [current, constant], [target], options, fusedActivationFunction=fused)
        current = target


def write_reciprocal(context: WriteContext, node: ir.Node) -> None:
    """Write `1 / x` as a DIV; behind a square root as RSQRT."""
    value, order = context.value(node), context.value(node).order
    one = context.file.add_constant(np.ones(1, np.float32), "one")
    source = context.tensor(value, order)
    producer = context.file.producer(source)
    if producer is not None and producer.name == "SQRT":
        context.add("RSQRT", producer.inputs, [context.result(node, order, non_negative=True)])
        return
    context.add("DIV", [one, source], [context.result(node, order)], "DivOptions", fusedActivationFunction=0)


_READ_NAMES = {
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "ELU": "Elu",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "HARD_SWISH": "HardSwish",
    "LOG": "Log",
    "LOGISTIC": "Sigmoid",
    "LOG_SOFTMAX": "LogSoftmax",
    "NEG": "Neg",
    "RELU": "Relu",
    "ROUND": "Round",
    "SIN": "Sin",
    "SQRT": "Sqrt",
    "TANH": "Tanh",
}


def read_unary(context: ReadContext, operator: Operator) -> None:
    """Read a function of one value without parameters."""
    context.finish(operator, context.add(_READ_NAMES[operator.name], [context.source(operator.inputs[0])]))


def read_rsqrt(context: ReadContext, operator: Operator) -> None:
    """Read RSQRT as 1 / Sqrt."""
    root = context.add("Sqrt", [context.source(operator.inputs[0])])
    context.finish(operator, context.add("Reciprocal", [root]))


def read_clip(context: ReadContext, operator: Operator) -> None:
    """Read RELU6, RELU_N1_TO_1 and RELU_0_TO_1 as Clip."""
    low, high = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}[operator.name]
    inputs = [context.source(operator.inputs[0]), context.number(low), context.number(high)]
    context.finish(operator, context.add("Clip", inputs))


def read_leaky_relu(context: ReadContext, operator: Operator) -> None:
    """Read LEAKY_RELU."""
    made = context.add("LeakyRelu", [context.source(operator.inputs[0])], alpha=float(operator.option("alpha", 0.0)))
    context.finish(operator, made)


def read_prelu(context: ReadContext, operator: Operator) -> None:
    """Read PRELU."""
    context.finish(operator, context.add("PRelu", [context.source(tensor) for tensor in operator.inputs]))


def read_softmax(context: ReadContext, operator: Operator) -> None:
    """Read SOFTMAX over the last axis; `beta` multiplies its input."""
    value, beta = context.source(operator.inputs[0]), float(operator.option("beta", 1.0))
    if beta != 1.0:
        value = context.add("Mul", [value, context.number(beta)])
    context.finish(operator, context.add("Softmax", [value], axis=-1))


def read_gelu(context: ReadContext, operator: Operator) -> None:
    """Read GELU by its formula, since opset 18 has no such operator."""
    value = context.source(operator.inputs[0])
    if operator.option("approximate", False):
        cube = context.add("Mul", [value, context.add("Mul", [value, value])])
        inner = context.add("Add", [value, context.add("Mul", [cube, context.number(0.044715)])])
        gate = context.add("Tanh", [context.add("Mul", [inner, context.number(float(np.sqrt(2 / np.pi)))])])
    else:
        gate = context.add("Erf", [context.add("Mul", [value, context.number(float(np.sqrt(0.5)))])])
    half = context.add("Mul", [value, context.number(0.5)])
    context.finish(operator, context.add("Mul", [half, context.add("Add", [gate, context.number(1.0)])]))
