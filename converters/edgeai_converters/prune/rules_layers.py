"""Rules of layers with weights: convolutions, dense layers, norms, recurrent layers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, input_of
from edgeai_converters.graph.shapes import static_shape
from edgeai_converters.prune.axis_labels import AxisLabels, Ids, names_of, rank_of
from edgeai_converters.prune.rules_elementwise import tie_broadcast, tie_same_axes


def tie_conv(labels: AxisLabels, node: ir.Node) -> None:
    """Conv: inputs are the weight's axis 1, outputs its axis 0 and the bias.

    A depthwise convolution hands channels through. Other groups lose the same place each, so that they stay alike.
    """
    x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
    sizes = static_shape(weight)
    inputs, outputs = labels.size(x, 1), labels.size(y, 1)
    if weight is None or sizes is None or not isinstance(inputs, int) or not isinstance(outputs, int):
        return
    where, groups = names_of(node), int(attribute(node, "group", 1))
    labels.role(weight, 0, "produced")
    labels.role(input_of(node, 2), 0, "added")
    made = _tie_outputs(labels, node, y, labels.ids(weight, 0), where)
    if groups == 1:
        labels.role(weight, 1, "read")
        _tie_known(labels, labels.ids(x, 1), labels.ids(weight, 1), where)
    elif sizes[1] == 1:
        _tie_multiples(labels, labels.ids(x, 1), made, outputs // groups, where)
    else:
        labels.role(weight, 1, "read")
        _tie_groups(labels, labels.ids(x, 1), labels.ids(weight, 1), groups, where)
        _tie_groups(labels, made, None, groups, where)
    _tie_batch(labels, x, y, where)


def tie_conv_transpose(labels: AxisLabels, node: ir.Node) -> None:
    """ConvTranspose: inputs are the weight's axis 0, outputs its axis 1; of grouped ones, depthwise only."""
    x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
    sizes = static_shape(weight)
    if weight is None or sizes is None:
        return
    where, groups = names_of(node), int(attribute(node, "group", 1))
    _tie_batch(labels, x, y, where)
    labels.role(input_of(node, 2), 0, "added")
    if groups == 1:
        labels.role(weight, 0, "read")
        labels.role(weight, 1, "produced")
        _tie_known(labels, labels.ids(x, 1), labels.ids(weight, 0), where)
        _tie_outputs(labels, node, y, labels.ids(weight, 1), where)
    elif groups == sizes[0] and sizes[1] == 1:
        labels.role(weight, 0, "produced")
        _tie_known(labels, labels.ids(x, 1), labels.ids(weight, 0), where)
        _tie_outputs(labels, node, y, labels.ids(weight, 0), where)


def tie_gemm(labels: AxisLabels, node: ir.Node) -> None:
    """Gemm: `[n, k] · [k, m] + c`, either operand perhaps transposed."""
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    rows, left = (1, 0) if attribute(node, "transA", 0) else (0, 1)
    right, columns = (1, 0) if attribute(node, "transB", 0) else (0, 1)
    if a is None or b is None:
        return
    _tie_product(labels, node, (a, rows, left), (b, right, columns), y)
    c = input_of(node, 2)
    if c is not None:
        tie_broadcast(labels, c, y, where=names_of(node))
        for axis in range(rank_of(c)):
            labels.role(c, axis, "added")


def tie_matmul(labels: AxisLabels, node: ir.Node) -> None:
    """MatMul: the last two axes are a product, the others are broadcast."""
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    if a is None or b is None or rank_of(a) < 2 or rank_of(b) < 2:
        return
    _tie_product(labels, node, (a, rank_of(a) - 2, rank_of(a) - 1), (b, rank_of(b) - 2, rank_of(b) - 1), y)
    for value in (a, b):
        tie_broadcast(labels, value, y, where=names_of(node), inner=2)


def _tie_product(
    labels: AxisLabels, node: ir.Node, a: tuple[ir.Value, int, int], b: tuple[ir.Value, int, int], y: ir.Value
) -> None:
    """Tie `a` = (value, rows, summed) and `b` = (value, summed, columns) to the product's last two axes."""
    where, last = names_of(node), rank_of(y) - 1
    if labels.size(*a[::2]) != labels.size(*b[:2]):
        return
    summed = labels.ids(a[0], a[2])
    _tie_known(labels, summed, labels.ids(b[0], b[1]), where)
    _tie_known(labels, labels.ids(a[0], a[1]), labels.ids(y, last - 1), where)
    _tie_known(labels, labels.ids(b[0], b[2]), labels.ids(y, last), where)
    for value, outer, inner in (a, (b[0], b[2], b[1])):
        if value.const_value is not None:
            labels.role(value, outer, "produced")
            labels.role(value, inner, "read")
    if a[0].const_value is None and b[0].const_value is None:
        labels.sum_over(summed, f"{where} adds its channels up")


def tie_layer_norm(labels: AxisLabels, node: ir.Node) -> None:
    """Norms over the last axis: a cut changes mean and spread of what stays (not exact, said in the group)."""
    x, y = node.inputs[0], node.outputs[0]
    if int(attribute(node, "axis", -1)) % max(1, rank_of(x)) != rank_of(x) - 1:
        return
    tie_same_axes(labels, node)
    ids = labels.ids(y, -1)
    labels.couple(ids, node.name or "")
    labels.lift(ids)
    for i in (1, 2):
        vector = input_of(node, i)
        if vector is not None and labels.size(vector, 0) != 1:
            labels.role(vector, 0, "factor" if i == 1 else "added")
            _tie_known(labels, labels.ids(vector, 0), ids, names_of(node))


def tie_channel_norm(labels: AxisLabels, node: ir.Node) -> None:
    """BatchNormalization (of inference) and InstanceNormalization: every channel by itself."""
    if len(node.outputs) > 1:
        return
    x, y = node.inputs[0], node.outputs[0]
    but = tuple(range(2, rank_of(x))) if node.op_type == "InstanceNormalization" else ()
    tie_same_axes(labels, node, but=but)
    ids = labels.ids(y, 1)
    labels.lift(ids)
    for i in range(4):  # scale, shift, mean, variance
        vector = input_of(node, i + 1)
        if vector is not None and ids is not None:
            labels.role(vector, 0, "added" if i == 1 else "factor")
            _tie_known(labels, labels.ids(vector, 0), ids, names_of(node))


def tie_recurrent(labels: AxisLabels, node: ir.Node) -> None:
    """LSTM, GRU, RNN: a hidden unit is its rows in every gate, and its column in the recurrent weights.

    Both directions lose the same units, for they share one `hidden_size`.
    """
    where = names_of(node)
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[node.op_type]
    x, weight, recurrent = node.inputs[:3]
    bias, states = input_of(node, 3), (input_of(node, 5), input_of(node, 6))
    peepholes = input_of(node, 7)
    if weight is None or recurrent is None or recurrent.const_value is None or input_of(node, 4) is not None:
        return
    if bool(attribute(node, "layout", 0)):
        return
    units = labels.ids(recurrent, 2)
    if units is None:
        return
    labels.role(weight, 1, "produced")
    labels.role(weight, 2, "read")
    labels.role(recurrent, 1, "state")
    labels.role(recurrent, 2, "state")
    _tie_known(labels, labels.ids(x, 2), labels.ids(weight, 2), where)
    for value, copies, axis in ((weight, gates, 1), (recurrent, gates, 1), (bias, 2 * gates, 1), (peepholes, 3, 1)):
        ids = labels.ids(value, axis) if value is not None else None
        if ids is not None and ids.size == copies * units.size:
            labels.tie(ids, np.tile(units, copies), where=where)
        if value in (bias, peepholes):
            labels.role(value, 1, "added")
    for value in (*states, *node.outputs):
        if value is not None and rank_of(value):
            _tie_known(labels, labels.ids(value, -1), units, where)
            labels.role(value, -1, "added")


def _tie_known(labels: AxisLabels, a: Ids | None, b: Ids | None, where: str) -> None:
    """Tie two axes; axes of size 1 on both sides have nothing to tie."""
    if a is not None or b is not None:
        labels.tie(a, b, where=where)


def _tie_outputs(labels: AxisLabels, node: ir.Node, y: ir.Value, made: Ids | None, where: str) -> Ids | None:
    _tie_known(labels, labels.ids(y, 1), made, where)
    bias = input_of(node, 2)
    if bias is not None:
        _tie_known(labels, labels.ids(bias, 0), made, where)
    return made


def _tie_multiples(labels: AxisLabels, inputs: Ids | None, made: Ids | None, times: int, where: str) -> None:
    """Tie each input channel to the `times` output channels that a depthwise convolution makes of it."""
    if inputs is None or made is None:
        labels.protect(inputs if inputs is not None else made, f"{where} makes it of one channel")
        return
    labels.tie(np.repeat(inputs, times), made, where=where)


def _tie_groups(labels: AxisLabels, channels: Ids | None, within: Ids | None, groups: int, where: str) -> None:
    """Tie the channels at the same place of every group together, and to the weight's axis inside a group."""
    if channels is None:
        return
    table = channels.reshape(groups, -1)
    partner = within if within is not None else table[0]
    labels.tie(table.reshape(-1), np.tile(partner, groups), where=where)


def _tie_batch(labels: AxisLabels, x: ir.Value | None, y: ir.Value, where: str) -> None:
    _tie_known(labels, labels.ids(x, 0), labels.ids(y, 0), where)
