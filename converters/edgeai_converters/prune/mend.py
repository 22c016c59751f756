"""Mending what a node says in numbers of channels: sizes of a reshape or split, bounds of a slice, number of groups.

Each function reads the graph before anything is cut and gives the node new constants or attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import attribute, change_constant, constant_of, input_of
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.prune.axis_labels import rank_of
from edgeai_converters.prune.rules_moves import pad_amounts, slice_ranges, split_sizes, written_sizes

Removed = Mapping[tuple[str, int], NDArray[np.int64]]
"""(value, axis) → the places that go, ascending."""


def mend_node(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    """Let a node speak of the channels that stay; nodes that do not speak of channels are left alone."""
    mend = _MENDS.get(node.op_type)
    if mend is not None and node.domain in ("", "ai.onnx"):
        mend(model, node, removed)


def _gone(removed: Removed, value: ir.Value | None, axis: int) -> NDArray[np.int64]:
    """Return the places that go from an axis."""
    none = np.zeros(0, np.int64)
    return none if value is None else removed.get((str(value.name), axis % max(1, rank_of(value))), none)


def _mend_sizes(model: ir.Model, node: ir.Node, removed: Removed, index: int, axes: list[int]) -> None:
    """Make the positive entries of a constant with sizes of the result smaller by what goes."""
    sizes = constant_of(input_of(node, index))
    if sizes is None:
        return
    mended = sizes.copy()
    for i, axis in enumerate(axes):
        if sizes[i] > 1:
            mended[i] -= len(_gone(removed, node.outputs[0], axis))
    if not np.array_equal(mended, sizes):
        change_constant(model, node, index, mended)


def _mend_reshape(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    _mend_sizes(model, node, removed, 1, list(range(rank_of(node.outputs[0]))))


def _mend_expand(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    sizes, rank = constant_of(input_of(node, 1)), rank_of(node.outputs[0])
    if sizes is not None:
        _mend_sizes(model, node, removed, 1, list(range(rank - sizes.size, rank)))
        return
    shape = input_of(node, 1)
    concat = shape.producer() if shape is not None else None
    for axis, index in written_sizes(node).items():
        if concat is not None and len(_gone(removed, node.outputs[0], axis)):
            change_constant(model, concat, index, np.ones(1, np.int64))


def _mend_resize(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    rank = rank_of(node.outputs[0])
    _mend_sizes(model, node, removed, 3, [axis % rank for axis in attribute(node, "axes", tuple(range(rank)))])


def _mend_split(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    axis, sizes = int(attribute(node, "axis", 0)), split_sizes(node)
    if sizes is None or not len(_gone(removed, node.inputs[0], axis)):
        return
    left = [size - len(_gone(removed, value, axis)) for size, value in zip(sizes, node.outputs, strict=True)]
    array = np.asarray(left, np.int64)
    if len(node.inputs) < 2:
        node.resize_inputs(2)
    change_constant(model, node, 1, array)
    node.attributes.pop("num_outputs", None)


def _mend_slice(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    ranges = slice_ranges(node)
    starts, ends = constant_of(input_of(node, 1)), constant_of(input_of(node, 2))
    if ranges is None or starts is None or ends is None:
        return
    rank, named = rank_of(node.inputs[0]), constant_of(input_of(node, 3))
    listed = [int(axis) % rank for axis in named] if named is not None else list(range(starts.size))
    starts, ends = starts.copy(), ends.copy()
    changed = False
    for i, axis in enumerate(listed):
        gone = _gone(removed, node.inputs[0], axis)
        if axis in ranges and len(gone):
            start, stop, _ = ranges[axis]
            starts[i], ends[i] = start - int((gone < start).sum()), stop - int((gone < stop).sum())
            changed = True
    if changed:
        change_constant(model, node, 1, starts)
        change_constant(model, node, 2, ends)


def _mend_pad(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    pads, amounts = constant_of(input_of(node, 1)), pad_amounts(node)
    if pads is None or amounts is None:
        return
    mended, count = pads.copy(), len(amounts)
    for i, (axis, (before, after)) in enumerate(amounts.items()):
        gone, shape = _gone(removed, node.outputs[0], axis), shape_of(node.outputs[0])
        size = shape[axis] if shape is not None else None
        if len(gone) and isinstance(size, int):
            mended[i] -= int((gone < before).sum())
            mended[count + i] -= int((gone >= size - after).sum())
    if not np.array_equal(mended, pads):
        change_constant(model, node, 1, mended)


def _mend_gather(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    indices, axis = constant_of(input_of(node, 1)), int(attribute(node, "axis", 0))
    gone = _gone(removed, node.inputs[0], axis)
    shape = shape_of(node.inputs[0])
    if indices is None or not len(gone) or shape is None:
        return
    size = shape[axis]
    assert isinstance(size, int)
    old = np.where(indices < 0, indices + size, indices)
    kept = old[~np.isin(old, gone)] if old.ndim else old
    change_constant(model, node, 1, (kept - np.searchsorted(gone, kept)).astype(indices.dtype))


def _mend_group(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    """A depthwise convolution has as many groups as channels; other groups keep their number."""
    weight = node.inputs[1]
    shape = shape_of(weight)
    groups = int(attribute(node, "group", 1))
    channels = shape_of(node.inputs[0])
    if shape is not None and channels is not None and shape[1] == 1 and groups == channels[1] and groups > 1:
        node.attributes["group"] = ir.AttrInt64("group", groups - len(_gone(removed, node.inputs[0], 1)))


def _mend_recurrent(model: ir.Model, node: ir.Node, removed: Removed) -> None:
    recurrent = node.inputs[2]
    shape = shape_of(recurrent)
    gone = _gone(removed, recurrent, 2)
    if shape is not None and isinstance(shape[2], int) and len(gone):
        node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", shape[2] - len(gone))


_MENDS: dict[str, Callable[[ir.Model, ir.Node, Removed], None]] = {
    "Conv": _mend_group,
    "ConvTranspose": _mend_group,
    "Expand": _mend_expand,
    "GRU": _mend_recurrent,
    "Gather": _mend_gather,
    "LSTM": _mend_recurrent,
    "Pad": _mend_pad,
    "RNN": _mend_recurrent,
    "Reshape": _mend_reshape,
    "Resize": _mend_resize,
    "Slice": _mend_slice,
    "Split": _mend_split,
}
