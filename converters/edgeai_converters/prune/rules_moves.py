"""Rules of operators that move, join and cut values without computing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, axes_of, constant_of, input_of, is_op, sole_consumer
from edgeai_converters.graph.shapes import shape_of, static_shape
from edgeai_converters.prune.axis_labels import AxisLabels, names_of, rank_of
from edgeai_converters.prune.rules_elementwise import tie_same_axes


def tie_concat(labels: AxisLabels, node: ir.Node) -> None:
    """Concat: each part is a stretch of the result."""
    y = node.outputs[0]
    rank, where = rank_of(y), names_of(node)
    if not rank:
        return
    along, start = int(attribute(node, "axis", 0)) % rank, 0
    joined = labels.ids(y, along)
    for value in node.inputs:
        size = labels.size(value, along)
        for axis in range(rank):
            ids = labels.ids(value, axis)
            if axis != along and ids is not None:
                labels.tie(ids, labels.ids(y, axis), where=where)
        if not isinstance(size, int) or joined is None:
            labels.protect(joined, f"{where} joins parts of unknown size")
            return
        part = labels.ids(value, along)
        if part is None:
            labels.protect(joined[start : start + size], f"{where} joins a part that has one channel")
        else:
            labels.tie(part, joined[start : start + size], where=where)
        start += size


def split_sizes(node: ir.Node) -> list[int] | None:
    """Return the sizes of a Split's parts, `None` when they are not known."""
    x = node.inputs[0]
    shape = shape_of(x)
    if shape is None:
        return None
    sizes = [AxisLabels.size(value, int(attribute(node, "axis", 0))) for value in node.outputs]
    known = [size for size in sizes if isinstance(size, int)]
    return known if len(known) == len(sizes) else None


def tie_split(labels: AxisLabels, node: ir.Node) -> None:
    """Split: each result is a stretch of the input."""
    x, sizes = node.inputs[0], split_sizes(node)
    rank, where = rank_of(x), names_of(node)
    if sizes is None or (input_of(node, 1) is not None and constant_of(input_of(node, 1)) is None):
        return
    along, start = int(attribute(node, "axis", 0)) % rank, 0
    whole = labels.ids(x, along)
    for output, size in zip(node.outputs, sizes, strict=True):
        for axis in range(rank):
            ids = labels.ids(output, axis)
            if axis != along and ids is not None:
                labels.tie(ids, labels.ids(x, axis), where=where)
        if whole is not None:
            part = labels.ids(output, along)
            if part is None:
                labels.protect(whole[start : start + size], f"{where} takes one channel of it")
            else:
                labels.tie(whole[start : start + size], part, where=where)
        start += size


def slice_ranges(node: ir.Node) -> dict[int, tuple[int, int, int]] | None:
    """Return a Slice's axis → (start, stop, step) as Python's `range` takes them; `None` when not known."""
    starts, ends = constant_of(input_of(node, 1)), constant_of(input_of(node, 2))
    shape = shape_of(node.inputs[0])
    if starts is None or ends is None or shape is None:
        return None
    axes, steps = constant_of(input_of(node, 3)), constant_of(input_of(node, 4))
    if (axes is None and input_of(node, 3) is not None) or (steps is None and input_of(node, 4) is not None):
        return None
    found: dict[int, tuple[int, int, int]] = {}
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        axis = (int(axes[i]) if axes is not None else i) % len(shape)
        size, step = shape[axis], int(steps[i]) if steps is not None else 1
        if isinstance(size, int):
            found[axis] = slice(start, None if step < 0 and end < -size else end, step).indices(size)
    return found


def tie_slice(labels: AxisLabels, node: ir.Node) -> None:
    """Slice: the result is some places of the input; along channels with a step of 1."""
    x, y, ranges = node.inputs[0], node.outputs[0], slice_ranges(node)
    where = names_of(node)
    if ranges is None:
        return
    named = constant_of(input_of(node, 3))
    touched = {int(a) % rank_of(x) for a in named} if named is not None else set(range(len(ranges)))
    for axis in range(rank_of(x)):
        ids = labels.ids(x, axis)
        if axis not in touched:
            if ids is not None:
                labels.tie(ids, labels.ids(y, axis), where=where)
            continue
        if ids is None or axis not in ranges:
            continue
        start, stop, step = ranges[axis]
        if step != 1:
            labels.protect(ids, f"{where} takes every {step}th place of it")
        elif stop - start < 2:
            labels.protect(ids[start:stop], f"{where} takes one place of it")
        else:
            labels.tie(ids[start:stop], labels.ids(y, axis), where=where)


def pad_amounts(node: ir.Node) -> dict[int, tuple[int, int]] | None:
    """Return a Pad's axis → (before, after); `None` when not known."""
    pads, axes = constant_of(input_of(node, 1)), constant_of(input_of(node, 3))
    if pads is None or (axes is None and input_of(node, 3) is not None):
        return None
    rank = rank_of(node.inputs[0])
    listed = [int(axis) % rank for axis in axes] if axes is not None else list(range(rank))
    count = len(listed)
    return {axis: (int(pads[i]), int(pads[count + i])) for i, axis in enumerate(listed)}


def tie_pad(labels: AxisLabels, node: ir.Node) -> None:
    """Pad with a constant: the input is the middle of the result; the rim along channels is cut by padding less."""
    x, y, amounts = node.inputs[0], node.outputs[0], pad_amounts(node)
    where = names_of(node)
    if amounts is None or rank_of(x) != rank_of(y):
        return
    for axis in range(rank_of(x)):
        before, after = amounts.get(axis, (0, 0))
        inner, outer = labels.ids(x, axis), labels.ids(y, axis)
        if outer is None:
            continue
        size = outer.size - before - after
        if (before, after) == (0, 0):
            labels.tie(inner, outer, where=where)
        elif attribute(node, "mode", "constant") != "constant" or min(before, after) < 0 or inner is None:
            labels.protect(outer, f"{where} repeats places of it")
            labels.protect(inner, f"{where} repeats places of it")
        else:
            labels.tie(inner, outer[before : before + size], where=where)
            if input_of(node, 2) is not None and (constant_of(input_of(node, 2)) != np.float32(0)):
                labels.lift(outer)


def tie_transpose(labels: AxisLabels, node: ir.Node) -> None:
    """Transpose: axes in another order."""
    x, y = node.inputs[0], node.outputs[0]
    order = attribute(node, "perm", tuple(reversed(range(rank_of(x)))))
    for axis, source in enumerate(order):
        ids = labels.ids(x, source)
        if ids is not None:
            labels.tie(ids, labels.ids(y, axis), where=names_of(node))


def tie_squeeze(labels: AxisLabels, node: ir.Node) -> None:
    """Squeeze and Unsqueeze: axes of size 1 go or come."""
    grows = node.op_type == "Unsqueeze"
    longer, shorter = (node.outputs[0], node.inputs[0]) if grows else (node.inputs[0], node.outputs[0])
    axes, rank = axes_of(node), rank_of(longer)
    if axes is None or longer is None:
        return
    gone = {axis % rank for axis in axes} if axes else {i for i in range(rank) if labels.size(longer, i) == 1}
    kept = [axis for axis in range(rank) if axis not in gone]
    if len(kept) != rank_of(shorter):
        return
    for place, axis in enumerate(kept):
        ids = labels.ids(longer, axis)
        if ids is not None:
            labels.tie(ids, labels.ids(shorter, place), where=names_of(node))


def tie_gather(labels: AxisLabels, node: ir.Node) -> None:
    """Gather: rows of a table (embeddings) keep their columns; constant indices along channels choose channels."""
    x, indices, y = node.inputs[0], node.inputs[1], node.outputs[0]
    where, rank, more = names_of(node), rank_of(x), rank_of(indices)
    if x is None or not rank or rank_of(y) != rank + more - 1:
        return
    along = int(attribute(node, "axis", 0)) % rank
    for axis in range(rank):
        ids = labels.ids(x, axis)
        if axis == along:
            chosen = constant_of(indices)
            if ids is not None and chosen is not None and chosen.ndim == 1 and chosen.size > 1:
                labels.tie(ids[chosen], labels.ids(y, axis), where=where)
            else:
                labels.protect(ids, f"{where} looks places of it up")
            continue
        if ids is not None:
            labels.tie(ids, labels.ids(y, axis if axis < along else axis + more - 1), where=where)
            if x.const_value is not None:
                labels.role(x, axis, "produced")


def tie_expand(labels: AxisLabels, node: ir.Node) -> None:
    """Expand to a constant shape: like broadcasting; copies along a new axis of channels are cut by making fewer.

    To a shape put together at run time (`[batch, 1, 64]`): axes that the input has and whose size is written in the
    shape as a number, which the mending replaces by 1, "as the input".
    """
    x, y = node.inputs[0], node.outputs[0]
    fixed = constant_of(input_of(node, 1)) is not None
    if x is None or not (fixed or written_sizes(node)):
        return
    shift = rank_of(y) - rank_of(x)
    for axis in range(rank_of(y)):
        outer = labels.ids(y, axis)
        inner = labels.ids(x, axis - shift) if axis >= shift else None
        if inner is not None and (fixed or axis in written_sizes(node)):
            labels.tie(inner, outer, where=names_of(node))
        elif not fixed:
            labels.protect(outer, f"{names_of(node)} makes it to a size of run time")
            labels.protect(inner, f"{names_of(node)} makes it to a size of run time")


def written_sizes(node: ir.Node) -> dict[int, int]:
    """Return an Expand's axis → which input of the Concat that makes its shape is the size, a constant number."""
    shape = input_of(node, 1)
    concat = shape.producer() if shape is not None else None
    if shape is None or not is_op(concat, "Concat") or concat is None or sole_consumer(shape) is None:
        return {}
    if any(AxisLabels.size(part, 0) != 1 for part in concat.inputs):
        return {}
    return {i: i for i, part in enumerate(concat.inputs) if constant_of(part) is not None}


def tie_tile(labels: AxisLabels, node: ir.Node) -> None:
    """Tile: axes that are not repeated."""
    repeats = constant_of(input_of(node, 1))
    if repeats is not None:
        tie_same_axes(labels, node, but=tuple(i for i, times in enumerate(repeats) if times != 1))


def tie_depth_to_space(labels: AxisLabels, node: ir.Node) -> None:
    """DepthToSpace and SpaceToDepth: a channel of the wide side is all its blocks of the deep side."""
    gathers = node.op_type == "SpaceToDepth"
    deep, wide = (node.outputs[0], node.inputs[0]) if gathers else (node.inputs[0], node.outputs[0])
    blocks = int(attribute(node, "blocksize", 1)) ** 2
    deep_ids, wide_ids = labels.ids(deep, 1), labels.ids(wide, 1)
    if deep_ids is None or wide_ids is None or static_shape(deep) == ():
        return
    crd = node.op_type == "DepthToSpace" and attribute(node, "mode", "DCR") == "CRD"
    labels.tie(deep_ids, np.repeat(wide_ids, blocks) if crd else np.tile(wide_ids, blocks), where=names_of(node))
