"""Activations."""

from __future__ import annotations

import math

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError

_LARGE = 3.0e38  # a limit beyond it is none


def read_clamp(context: ReadContext, operation: Operation) -> str:
    """`Clamp` → Relu where only zero is a limit, else Clip."""
    low, high, dtype = float(operation.attribute("min")), float(operation.attribute("max")), operation.dtype(0)
    value = context.source(operation, 0)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        ends = max(math.ceil(low), int(limits.min)), min(math.floor(high), int(limits.max))
        return context.add("Clip", [value, context.number(ends[0], dtype), context.number(ends[1], dtype)])
    if low == 0 and high > _LARGE:
        return context.add("Relu", [value])
    ends_named = [context.number(low) if low > -_LARGE else "", context.number(high) if high < _LARGE else ""]
    return context.add("Clip", [value, *ends_named])


def read_prelu(context: ReadContext, operation: Operation) -> str:
    """`PRelu`: a slope vector runs along the channels (axis 1), another one is broadcast from the right."""
    rank, shape = operation.rank(0), operation.shape(1)
    slope = context.constant(operation, 1)
    if slope is not None and slope.size == 1:
        return context.add("LeakyRelu", [context.source(operation, 0)], alpha=float(slope.reshape(())))
    name = context.source(operation, 1)
    if len(shape) == 1 and rank > 2:
        aligned = (-1, *(1 for _ in range(rank - 2)))
        name = (
            context.add_constant(slope.reshape(aligned), f"{operation.name}/slope")
            if slope is not None
            else context.reshape(name, aligned)
        )
    return context.add("PRelu", [context.source(operation, 0), name])


def read_elu(context: ReadContext, operation: Operation) -> str:
    """`Elu`."""
    return context.add("Elu", [context.source(operation, 0)], alpha=float(operation.attribute("alpha")))


def read_selu(context: ReadContext, operation: Operation) -> str:
    """`Selu`; ONNX takes its two numbers as attributes."""
    alpha, gamma = (float(context.known(operation, i, "a parameter").reshape(())) for i in (1, 2))
    return context.add("Selu", [context.source(operation, 0)], alpha=alpha, gamma=gamma)


def read_hard_sigmoid(context: ReadContext, operation: Operation) -> str:
    """`HardSigmoid`; ONNX takes its two numbers as attributes."""
    alpha, beta = (float(context.known(operation, i, "a parameter").reshape(())) for i in (1, 2))
    return context.add("HardSigmoid", [context.source(operation, 0)], alpha=alpha, beta=beta)


def read_hsigmoid(context: ReadContext, operation: Operation) -> str:
    """`HSigmoid`: min(max(x + 3, 0), 6) / 6."""
    return context.add("HardSigmoid", [context.source(operation, 0)], alpha=1 / 6, beta=0.5)


def read_swish(context: ReadContext, operation: Operation) -> str:
    """`Swish`: x · sigmoid(βx)."""
    value = inner = context.source(operation, 0)
    if operation.input_count > 1:
        beta = context.constant(operation, 1)
        if beta is None or beta.size != 1 or float(beta.reshape(())) != 1:
            inner = context.add("Mul", [value, context.source(operation, 1)])
    return context.add("Mul", [value, context.add("Sigmoid", [inner])])


def read_mish(context: ReadContext, operation: Operation) -> str:
    """`Mish`: x · tanh(softplus(x))."""
    value = context.source(operation, 0)
    return context.add("Mul", [value, context.add("Tanh", [context.add("Softplus", [value])])])


def read_gelu(context: ReadContext, operation: Operation) -> str:
    """`Gelu`, exact or by tanh, in the steps that exporters write and the simplifier knows."""
    value = context.source(operation, 0)
    mode = str(operation.attribute("approximation_mode", "ERF")).upper()
    if mode == "ERF":
        inner = context.add("Erf", [context.add("Div", [value, context.number(math.sqrt(2))])])
    elif mode == "TANH":
        cube = context.add("Mul", [context.add("Pow", [value, context.number(3)]), context.number(0.044715)])
        scaled = context.add("Mul", [context.add("Add", [value, cube]), context.number(math.sqrt(2 / math.pi))])
        inner = context.add("Tanh", [scaled])
    else:
        raise UnreadableError(f"approximation {mode!r}")
    product = context.add("Mul", [value, context.add("Add", [inner, context.number(1)])])
    return context.add("Mul", [product, context.number(0.5)])


def read_softmax(context: ReadContext, operation: Operation) -> str:
    """`Softmax`, `LogSoftmax` along one axis."""
    op_type = "LogSoftmax" if operation.type == "LogSoftmax" else "Softmax"
    return context.add(op_type, [context.source(operation, 0)], axis=int(operation.attribute("axis")))
