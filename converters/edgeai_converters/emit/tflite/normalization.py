"""Normalizations: Layer-, RMS-, Instance-, GroupNormalization, LpNormalization → products and sums; L2_NORMALIZATION.

TFLite has no operator for them. They are written in operators that XNNPACK runs, so that the graph is not cut in parts:
`MEAN SUB MUL MEAN ADD RSQRT MUL MUL ADD`, always in float.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import Permutation, Shape, identity
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


def write_layer_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write a normalization over the last axes, with a factor and a shift that may be values too."""
    value = context.value(node)
    axis = node.attributes.get_int("axis", -1) % value.rank
    if len(node.outputs) > 1 and any(output.uses() for output in node.outputs[1:]):
        raise UnwritableError("its mean and deviation are read too")
    order = value.order
    axes = set(range(axis, value.rank))
    steps = _normalized(context, node, value, order, axes, centred=True)
    _finish(context, node, steps, value.rank, order, context.operand(node, 1), context.operand(node, 2))


def write_rms_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write `x / sqrt(mean(x²) + epsilon) · scale` over the last axes."""
    value = context.value(node)
    axis = node.attributes.get_int("axis", -1) % value.rank
    order = value.order
    steps = _normalized(context, node, value, order, set(range(axis, value.rank)), centred=False)
    _finish(context, node, steps, value.rank, order, context.operand(node, 1), None)


def write_instance_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write a normalization over the map of each channel."""
    value = context.value(node)
    order = value.order
    steps = _normalized(context, node, value, order, set(range(2, value.rank)), centred=True)
    factor, shift = (
        _along_channels(context.constant(node, position, what), value.rank)
        for position, what in ((1, "the scale"), (2, "the shift"))
    )
    _finish(context, node, steps, value.rank, order, factor, shift)


def write_group_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write a normalization over groups of channels: on `[N, groups, …]`, with the graph's layout."""
    value = context.value(node)
    groups = node.attributes.get_int("num_groups")
    channels = value.shape[1]
    if channels is None or any(size is None for size in value.shape[2:]):
        raise UnwritableError("normalizes free dimensions")
    order = identity(value.rank)
    source = context.tensor(value, order)
    inner = int(np.prod([size or 1 for size in value.shape[1:]])) // groups
    flat: Shape = (value.shape[0], groups, inner)
    name = context.result_name(node)
    grouped = context.reshaped(source, flat, f"{name}/groups")
    steps = Steps(context, f"{name}/normalized")
    current = _normalize(context, steps, grouped, [2], _epsilon(node), centred=True)
    back = context.reshaped(current, value.shape, f"{name}/whole")
    scale, shift = (context.constant(node, i, what) for i, what in ((1, "the scale"), (2, "the shift")))
    if scale.shape[0] == groups != channels:  # before opset 21 one factor per group
        scale, shift = (_repeated(constant, channels // groups) for constant in (scale, shift))
    factor, offset = (_along_channels(constant, value.rank) for constant in (scale, shift))
    _finish(context, node, (steps, back), value.rank, order, factor, offset)


def write_lp_normalization(context: WriteContext, node: ir.Node) -> None:
    """Write `x / |x|` over one axis: `MUL SUM SQRT DIV`, or `ABS SUM DIV` for p = 1."""
    value = context.value(node)
    order = value.order
    axis = node.attributes.get_int("axis", -1) % value.rank
    steps = Steps(context, context.result_name(node))
    source = context.tensor(value, order)
    if node.attributes.get_int("p", 2) == 1:
        length = steps.reduce("SUM", steps.unary("ABS", source), [order.index(axis)])
    else:
        length = steps.unary("SQRT", steps.reduce("SUM", steps.binary("MUL", source, source), [order.index(axis)]))
    result = context.result(node, order)
    steps.binary("DIV", source, length, into=result)


def _epsilon(node: ir.Node) -> float:
    return node.attributes.get_float("epsilon", 1e-5)


def _normalized(
    context: WriteContext, node: ir.Node, value: Value, order: Permutation, axes: set[int], *, centred: bool
) -> tuple[Steps, int]:
    """Write everything before the factor; `axes` are logical."""
    steps = Steps(context, f"{context.result_name(node)}/normalized")
    places = [place for place, axis in enumerate(order) if axis in axes]
    source = context.tensor(value, order)
    return steps, _normalize(context, steps, source, places, _epsilon(node), centred=centred)


def _normalize(
    context: WriteContext, steps: Steps, source: int, places: Sequence[int], epsilon: float, *, centred: bool
) -> int:
    if centred:
        source = steps.binary("SUB", source, steps.reduce("MEAN", source, places))
    power = steps.reduce("MEAN", steps.binary("MUL", source, source), places)
    return steps.binary("MUL", source, steps.unary("RSQRT", steps.binary("ADD", power, steps.number(epsilon))))


def _finish(
    context: WriteContext,
    node: ir.Node,
    written: tuple[Steps, int],
    rank: int,
    order: Permutation,
    factor: Value | Constant | None,
    shift: Value | Constant | None,
) -> None:
    """Write the product with the factor and the sum with the shift, the last of them as the node's result."""
    steps, current = written
    plain = isinstance(factor, Constant) and bool(np.all(factor.real == 1))
    todo = [(name, operand) for name, operand in (("MUL", None if plain else factor), ("ADD", shift)) if operand]
    result = context.result(node, order)
    if not todo:
        context.reshaped(current, context.shape_of(result), "", into=result)
        return
    for position, (name, operand) in enumerate(todo):
        other = context.broadcast(operand, rank, order)
        last = position == len(todo) - 1
        current = steps.binary(name, current, other, into=result if last else None)


def _along_channels(constant: Constant, rank: int) -> Constant:
    return Constant(name=constant.name, stored=constant.real.reshape(-1, *[1] * (rank - 2)))


def _repeated(constant: Constant, times: int) -> Constant:
    return Constant(name=constant.name, stored=np.repeat(constant.real, times))


def read_l2_normalization(context: ReadContext, operator: Operator) -> None:
    """Read L2_NORMALIZATION over the last axis, which guards against a length of zero with 1e-6."""
    if operator.option("fusedActivationFunction", 0):
        raise UnreadableError("L2_NORMALIZATION with an activation")
    value = context.source(operator.inputs[0])
    axes = context.integers([-1], f"{context.name(operator.outputs[0])}/axis")
    power = context.add("ReduceSum", [context.add("Mul", [value, value]), axes], keepdims=1)
    length = context.add("Sqrt", [context.add("Max", [power, context.number(1e-6)])])
    context.finish(operator, context.add("Div", [value, length]))
