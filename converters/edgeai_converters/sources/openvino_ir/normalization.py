"""Normalizations, written in the steps that the simplifier recognizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_batch_norm(context: ReadContext, operation: Operation) -> str:
    """`BatchNormInference`; the first operation set had the data in the middle."""
    inputs = context.sources(operation)
    if operation.version == "opset1":
        gamma, beta, data, mean, variance = inputs
        inputs = [data, gamma, beta, mean, variance]
    return context.add("BatchNormalization", inputs, epsilon=float(operation.attribute("epsilon")))


def read_mvn(context: ReadContext, operation: Operation) -> str:
    """`MVN` → (x - mean) / sqrt(variance + ε), or / (sqrt(variance) + ε)."""
    rank = operation.rank(0)
    if operation.input_count > 1:
        axes = context.known_integers(operation, 1, "the axes")
    else:
        axes = operation.integers("reduction_axes") or [
            *range(1 if operation.attribute("across_channels") else 2, rank)
        ]
    named = context.integers(sorted(axis % rank for axis in axes), f"{operation.name}/axes")
    value = context.source(operation, 0)
    centred = context.add("Sub", [value, context.add("ReduceMean", [value, named], keepdims=1)])
    if not operation.attribute("normalize_variance", True):
        return centred
    epsilon = context.number(float(operation.attribute("eps")))
    squares = context.add("Mul", [centred, centred])
    variance = context.add("ReduceMean", [squares, named], keepdims=1)
    if "inside" in str(operation.attribute("eps_mode", "inside_sqrt")).lower():
        deviation = context.add("Sqrt", [context.add("Add", [variance, epsilon])])
    else:
        deviation = context.add("Add", [context.add("Sqrt", [variance]), epsilon])
    return context.add("Div", [centred, deviation])


def read_normalize_l2(context: ReadContext, operation: Operation) -> str:
    """`NormalizeL2` → x / sqrt(Σx² + ε), or / sqrt(max(Σx², ε))."""
    value = context.source(operation, 0)
    axes = context.known(operation, 1, "the axes")
    squares = context.add("Mul", [value, value])
    if axes.size:
        squares = context.add("ReduceSum", [squares, context.int64(operation, 1, rank=1)], keepdims=1)
    together = "Max" if str(operation.attribute("eps_mode")).lower() == "max" else "Add"
    length = context.add(together, [squares, context.number(float(operation.attribute("eps")))])
    return context.add("Div", [value, context.add("Sqrt", [length])])


def read_group_norm(context: ReadContext, operation: Operation) -> str:
    """`GroupNormalization(x, scale, bias)`: mean and variance over the channels of a group and all places."""
    shape, groups = operation.shape(0), int(operation.attribute("num_groups"))
    channels = shape[1]
    if channels is None:
        raise UnreadableError("a free number of channels")
    value = context.source(operation, 0)
    grouped = context.reshape(value, [0, groups, -1])
    axes = context.integers([2], f"{operation.name}/axes")
    centred = context.add("Sub", [grouped, context.add("ReduceMean", [grouped, axes], keepdims=1)])
    variance = context.add("ReduceMean", [context.add("Mul", [centred, centred]), axes], keepdims=1)
    epsilon = context.number(float(operation.attribute("epsilon")))
    deviation = context.add("Sqrt", [context.add("Add", [variance, epsilon])])
    normal = context.add("Div", [centred, deviation])
    if shape.count(None) <= 1:
        back = context.reshape(normal, [-1 if size is None else size for size in shape])
    else:
        back = context.add("Reshape", [normal, context.add("Shape", [value])])
    aligned = [channels, *(1 for _ in shape[2:])]
    scaled = context.add("Mul", [back, _aligned(context, operation, 1, aligned)])
    return context.add("Add", [scaled, _aligned(context, operation, 2, aligned)])


def _aligned(context: ReadContext, operation: Operation, position: int, shape: list[int]) -> str:
    constant: Any = context.constant(operation, position)
    if constant is None:
        return context.reshape(context.source(operation, position), shape)
    return context.add_constant(np.asarray(constant).reshape(shape), f"{operation.name}/vector{position}")


def read_lrn(context: ReadContext, operation: Operation) -> str:
    """`LRN` across channels."""
    if context.known_integers(operation, 1, "the axes") != [1]:
        raise UnreadableError("along other axes than the channels")
    names = {"alpha": "alpha", "beta": "beta", "bias": "bias"}
    attributes = {name: float(operation.attribute(field)) for name, field in names.items()}
    return context.add("LRN", [context.source(operation, 0)], size=int(operation.attribute("size")), **attributes)
