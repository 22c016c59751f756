"""Move Transposes towards the outputs until they meet their inverse and both vanish.

Before: Transpose(p) → Transpose(q).               After: Transpose(p∘q), or nothing when it is the identity.
Before: Transpose(p) → Relu, or Q and DQ of one scale.   After: Relu → Transpose(p).
Before: Transpose(p) → Add ← constant or Transpose(p).   After: Add → Transpose(p).
Before: Transpose(p) → Pad / Softmax / ReduceMean / Concat.   After: the same along permuted axes → Transpose.
A move never makes more Transposes than there were: only values that are read once are moved past. The elements and
their order at every output of the graph are what they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    axes_of,
    change_constant,
    constant_of,
    input_of,
    is_op,
    nodes,
    replace_node,
    sole_consumer,
)
from edgeai_converters.graph.shapes import shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Order = tuple[int, ...]

_UNARY = frozenset(
    {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus"}
    | {"Softsign", "Gelu", "Mish", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Floor"}
    | {"Ceil", "Round", "Reciprocal", "Sign", "Clip", "Cast", "Identity", "Dropout", "ThresholdedRelu"}
)
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu"})
_REDUCE = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"})


def sink_transposes(model: ir.Model) -> tuple[ir.Model, bool]:
    """Move Transposes down, merge those that meet, and drop those that do nothing."""
    changed = False
    for node in nodes(model, "Transpose"):
        order = _order(node)
        if order is None or node.graph is None:
            continue
        if _merge_into_next(node, order):
            changed = True
            continue
        consumer = sole_consumer(node.outputs[0])
        if consumer is None or consumer.domain != "" or len(consumer.outputs) != 1:
            continue
        changed |= _move_past(model, node, order, consumer)
    return model, changed


def _order(node: ir.Node) -> Order | None:
    order = attribute(node, "perm", None)
    if order is None:
        shape = shape_of(node.inputs[0])
        order = tuple(reversed(range(len(shape)))) if shape is not None else None
    return tuple(order) if order is not None else None


def _inverse(order: Order) -> Order:
    return tuple(int(axis) for axis in np.argsort(order))


def _merge_into_next(node: ir.Node, order: Order) -> bool:
    """Let every Transpose that reads this one read its input, with the composed order."""
    merged = False
    for use in tuple(node.outputs[0].uses()):
        after = use.node
        second = _order(after) if is_op(after, "Transpose") else None
        if second is None:
            continue
        after.attributes["perm"] = ir.AttrInt64s("perm", [order[axis] for axis in second])
        after.replace_input_with(0, node.inputs[0])
        merged = True
    if merged and not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
        assert node.graph is not None
        node.graph.remove(node, safe=True)
    return merged


def _move_past(model: ir.Model, node: ir.Node, order: Order, consumer: ir.Node) -> bool:
    kind = consumer.op_type
    if kind in _UNARY or (kind in _ROUNDING and _is_one_number(consumer.inputs[1])):
        if consumer.inputs[0] is not node.outputs[0]:
            return False
        _reorder(model, consumer, [node], order)
        return True
    if kind in _BINARY:
        return _move_past_binary(model, node, order, consumer)
    if kind == "Concat":
        return _move_past_concat(model, order, consumer)
    if kind == "Softmax":
        axis = attribute(consumer, "axis", -1) % len(order)
        consumer.attributes["axis"] = ir.AttrInt64("axis", order[axis])
        _reorder(model, consumer, [node], order)
        return True
    if kind == "Pad":
        return _move_past_pad(model, node, order, consumer)
    if kind in _REDUCE:
        return _move_past_reduction(model, node, order, consumer)
    return False


def _is_one_number(scale: ir.Value | None) -> bool:
    array = constant_of(scale)
    return array is not None and array.size == 1


def _reorder(model: ir.Model, consumer: ir.Node, transposes: list[ir.Node], order: Order) -> None:
    """Feed the consumer what the Transposes read, and put one Transpose behind it."""
    for transpose in transposes:
        for use in tuple(transpose.outputs[0].uses()):
            use.node.replace_input_with(use.idx, transpose.inputs[0])
        model.graph.remove(transpose, safe=True)
    _transpose_result(model, consumer, order)


def _transpose_result(model: ir.Model, consumer: ir.Node, order: Order) -> None:
    """Put a Transpose behind the only output of a node; it takes over the readers and the name."""
    old = consumer.outputs[0]
    shape = shape_of(old)
    name = old.name
    twin = ir.node(consumer.op_type, consumer.inputs, _attributes(consumer), name=consumer.name)
    model.graph.insert_before(consumer, twin)
    twin.outputs[0].name = f"{name}_before_transpose"
    twin.outputs[0].type = old.type
    if shape is not None:
        twin.outputs[0].shape = ir.Shape([shape[axis] for axis in _inverse(order)])
    result = add_node(
        model, consumer, "Transpose", [twin.outputs[0]], name=f"{name}_transpose", attributes={"perm": order}, like=old
    )
    replace_node(model, consumer, result)


def _attributes(node: ir.Node) -> dict[str, Any]:
    """Return the attributes of a node for making another one."""
    return dict(node.attributes)


def _move_past_binary(model: ir.Model, node: ir.Node, order: Order, consumer: ir.Node) -> bool:
    index = 0 if consumer.inputs[0] is node.outputs[0] else 1
    other = consumer.inputs[1 - index]
    if other is node.outputs[0] or other is None:
        return False
    constant = constant_of(other)
    if constant is not None:
        if constant.ndim > len(order) or (consumer.op_type == "PRelu" and index != 0):
            return False
        change_constant(model, consumer, 1 - index, _permute_constant(constant, order))
        _reorder(model, consumer, [node], order)
        return True
    twin = other.producer()
    if twin is None or not is_op(twin, "Transpose") or _order(twin) != order or sole_consumer(other) is not consumer:
        return False
    _reorder(model, consumer, [node, twin], order)
    return True


def _permute_constant(constant: NDArray[Any], order: Order) -> NDArray[Any]:
    """Return a constant that broadcasts against the untransposed value as `constant` did against the transposed."""
    if constant.size == 1:
        return constant
    full = constant.reshape((1,) * (len(order) - constant.ndim) + constant.shape)
    return np.ascontiguousarray(full.transpose(_inverse(order)))


def _move_past_concat(model: ir.Model, order: Order, consumer: ir.Node) -> bool:
    transposes = []
    for value in consumer.inputs:
        producer = value.producer() if value is not None else None
        if value is None or producer is None or not is_op(producer, "Transpose") or _order(producer) != order:
            return False
        if sole_consumer(value) is not consumer or producer in transposes:
            return False
        transposes.append(producer)
    axis = attribute(consumer, "axis", 0) % len(order)
    consumer.attributes["axis"] = ir.AttrInt64("axis", order[axis])
    _reorder(model, consumer, transposes, order)
    return True


def _move_past_pad(model: ir.Model, node: ir.Node, order: Order, consumer: ir.Node) -> bool:
    pads = constant_of(consumer.inputs[1])
    if pads is None or input_of(consumer, 3) is not None:
        return False
    inverse = _inverse(order)
    permuted = pads.reshape(2, -1)[:, list(inverse)].reshape(-1)
    change_constant(model, consumer, 1, permuted)
    _reorder(model, consumer, [node], order)
    return True


def _move_past_reduction(model: ir.Model, node: ir.Node, order: Order, consumer: ir.Node) -> bool:
    axes = axes_of(consumer)
    if not axes or consumer.inputs[0] is not node.outputs[0]:
        return False
    rank = len(order)
    reduced = {order[axis % rank] for axis in axes}
    value = add_constant(model, f"{consumer.name or 'reduce'}_axes", np.array(sorted(reduced), np.int64))
    consumer.replace_input_with(1, value)
    if attribute(consumer, "keepdims", 1):
        _reorder(model, consumer, [node], order)
        return True
    kept = [axis for axis in order if axis not in reduced]  # source axes, in the order of the result
    rank_of = {axis: i for i, axis in enumerate(sorted(kept))}
    _reorder(model, consumer, [node], tuple(rank_of[axis] for axis in kept))
    return True
