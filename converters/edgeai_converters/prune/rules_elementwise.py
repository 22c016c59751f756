"""Rules of operators that compute place by place, with broadcasting, and of those that work along some axes only."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, axes_of, constant_of, input_of
from edgeai_converters.prune.axis_labels import AxisLabels, Ids, Role, names_of, rank_of

_ROLES: dict[str, Role] = {"Add": "added", "Sub": "added", "Sum": "added"}

_KEEPS_ZERO = """
    Abs Add Cast Ceil Celu Clip Dropout Elu Erf Floor Gelu HardSwish Identity LeakyRelu Max Mean Min Mish Mul Neg PRelu
    Relu Round Selu Sign Sin Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Trilu
"""
_MOVES_ZERO = """
    And Cos Div Equal Exp Greater GreaterOrEqual HardSigmoid IsNaN Less LessOrEqual Log Mod Not Or Pow Reciprocal
    Sigmoid Softplus Where Xor
"""
ZERO_STAYS_ZERO = frozenset(_KEEPS_ZERO.split())
"""Functions of which a channel that is zero comes out as zero (constants of the channel are cut with it)."""

ELEMENTWISE = ZERO_STAYS_ZERO | frozenset(_MOVES_ZERO.split())


def tie_elementwise(labels: AxisLabels, node: ir.Node) -> None:
    """Tie the axes of all operands to those of the results, aligned at the last axis."""
    for output in node.outputs:
        for value in node.inputs:
            if value is None or rank_of(value) == 0:
                continue
            tie_broadcast(labels, value, output, where=names_of(node))
            if value.const_value is not None:
                for axis in range(rank_of(value)):
                    labels.role(value, axis, _ROLES.get(node.op_type, "factor"))
        for axis in range(rank_of(output)):
            if not _keeps_zero(node, axis, output):
                labels.lift(labels.ids(output, axis))


def tie_broadcast(labels: AxisLabels, value: ir.Value, output: ir.Value, *, where: str, inner: int = 0) -> None:
    """Tie an operand's axes to those of the result it is broadcast to, but not the last `inner` ones."""
    shift = rank_of(output) - rank_of(value)
    for axis in range(rank_of(value) - inner):
        if labels.size(value, axis) == 1:
            continue
        labels.tie(
            labels.ids(value, axis), labels.ids(output, axis + shift) if axis + shift >= 0 else None, where=where
        )


def _keeps_zero(node: ir.Node, axis: int, output: ir.Value) -> bool:
    """Whether a channel along `axis` that is zero comes out as zero."""
    if node.op_type not in ZERO_STAYS_ZERO:
        return False
    if node.op_type == "Clip":
        bounds = [(input_of(node, i), constant_of(input_of(node, i))) for i in (1, 2)]
        if any(value is not None and array is None for value, array in bounds):
            return False
        low, high = (array for _, array in bounds)
        return (low is None or not (low > 0).any()) and (high is None or not (high < 0).any())
    if node.op_type in ("Add", "Sub", "Sum", "Max", "Min", "Mean"):
        return not any(_is_spread(value, axis, output) for value in node.inputs)
    return True


def _is_spread(value: ir.Value | None, axis: int, output: ir.Value) -> bool:
    """Whether an operand is spread over an axis of the result and not zero: a cut would not take it along."""
    array = constant_of(value)
    if value is None or (array is not None and not array.any()):
        return False
    place = axis - rank_of(output) + rank_of(value)
    return place < 0 or (AxisLabels.size(value, place) == 1 and AxisLabels.size(output, axis) != 1)


def tie_same_axes(labels: AxisLabels, node: ir.Node, *, but: tuple[int, ...] = ()) -> None:
    """Tie the axes of the first input to those of the first output, except those that the operator works along."""
    x, y = node.inputs[0], node.outputs[0]
    rank = rank_of(y)
    along = {axis % rank for axis in but} if rank else set()
    if x is None or rank_of(x) != rank:
        return
    for axis in range(rank):
        ids = labels.ids(x, axis)
        if axis in along:
            labels.protect(ids, f"{names_of(node)} works along it")
            labels.protect(labels.ids(y, axis), f"{names_of(node)} works along it")
        else:
            _tie_if_labelled(labels, ids, y, axis, names_of(node))


def _tie_if_labelled(labels: AxisLabels, ids: Ids | None, y: ir.Value, axis: int, where: str) -> None:
    other = labels.ids(y, axis)
    if ids is not None or other is not None:
        labels.tie(ids, other, where=where)


def tie_along_one(labels: AxisLabels, node: ir.Node) -> None:
    """Softmax and its kind: everything but the axis."""
    default = 1 if node.op_type == "Hardmax" else -1
    tie_same_axes(labels, node, but=(int(attribute(node, "axis", default)),))
    for axis in range(rank_of(node.outputs[0])):
        labels.lift(labels.ids(node.outputs[0], axis))


def tie_cumulative(labels: AxisLabels, node: ir.Node) -> None:
    """CumSum: everything but the axis, which is an input."""
    axis = constant_of(input_of(node, 1))
    if axis is not None:
        tie_same_axes(labels, node, but=(int(axis.reshape(-1)[0]),))


def tie_pool(labels: AxisLabels, node: ir.Node) -> None:
    """Pools: batch and channels pass, the places of the map do not."""
    if len(node.outputs) > 1:  # where the largest values were: counted over all channels
        return
    tie_same_axes(labels, node, but=tuple(range(2, rank_of(node.outputs[0]))))


def tie_reduction(labels: AxisLabels, node: ir.Node) -> None:
    """Reductions: axes that stay are tied; a sum over channels asks that removed ones are zero, a mean protects."""
    x, y = node.inputs[0], node.outputs[0]
    axes, rank = axes_of(node), rank_of(x)
    if x is None or axes is None:
        return
    if not axes and bool(attribute(node, "noop_with_empty_axes", 0)):
        return
    gone = {axis % rank for axis in axes} if axes else set(range(rank))
    kept = bool(attribute(node, "keepdims", 1))
    place = 0
    for axis in range(rank):
        ids = labels.ids(x, axis)
        if axis in gone:
            if node.op_type in ("ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"):
                labels.sum_over(ids, f"{names_of(node)} adds its channels up")
            else:
                labels.protect(ids, f"{names_of(node)} is taken over it")
            place += int(kept)
            continue
        if ids is not None:
            labels.tie(ids, labels.ids(y, place), where=names_of(node))
        place += 1


def tie_resize(labels: AxisLabels, node: ir.Node) -> None:
    """Resize: axes that keep their size are tied."""
    x, y = node.inputs[0], node.outputs[0]
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return
    if attribute(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return
    rank = rank_of(x)
    axes = attribute(node, "axes", tuple(range(rank)))
    scales, sizes = input_of(node, 2), input_of(node, 3)
    given = constant_of(scales)
    if given is not None and given.size == 0:
        given = None
    if given is None and constant_of(sizes) is None:
        return
    resized = {axis % rank for i, axis in enumerate(axes) if given is not None and float(given[i]) != 1.0}
    for axis in range(rank):
        ids = labels.ids(x, axis)
        if axis not in resized and ids is not None and labels.size(x, axis) == labels.size(y, axis):
            labels.tie(ids, labels.ids(y, axis), where=names_of(node))
