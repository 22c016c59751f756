"""A repair: split layers whose output channels mean different things into one layer for each part.

    x ── Conv (boxes and scores) ── y      →      x ─┬─ Conv (boxes) ──┬─ Concat ── y
                                                     └─ Conv (scores) ─┘

One scale for boxes of hundreds of pixels and scores below 1 leaves nothing of the scores. After the split each part has
a scale of its own; the concatenation is found by `find_unlike_concats` in the new graph, once its ranges are collected,
and stays in float. Where only slices along the parts read the result there is no concatenation, and no slices either.

Parts are found from what reads the result (Slice and Split along the channels), or, for results that reach an output
of the graph, from the channels themselves: runs of neighbouring channels of alike size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    constant_of,
    input_of,
    nodes,
    remove_node,
    replace_node,
    replace_value,
)
from edgeai_converters.graph.shapes import shape_of

LARGEST_RATIO = 16.0
"""Largest over smallest channel, or part, above which a layer is split: the smallest is left 4 of 8 bits."""

MOST_PARTS = 4
"""More parts are no parts: channels of mixed sizes, as where boxes and scores alternate, are not split."""

_MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def split_outputs(
    model: ir.Model, channel_maxima: Mapping[str, Sequence[float]], *, ratio: float = LARGEST_RATIO
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph where layers with parts of unlike ranges are split into one layer per part.

    Postcondition: the graph computes the same in float. Ranges found before do not cover the new values.

    Args:
        model: the float graph, shapes inferred; not changed.
        channel_maxima: largest magnitude per channel of what layers answer (`Ranges.channel_maxima`).
        ratio: largest allowed ratio between parts.

    Returns:
        The new graph, and whether it differs.
    """
    copy = model.clone()
    changed = False
    for node in nodes(copy, "Conv", "Gemm", "MatMul"):
        maxima = np.asarray(channel_maxima.get(str(node.outputs[0].name), ()), np.float64)
        if maxima.size < 2 or maxima.size != _channels(node):
            continue
        bounds = _bounds_of_readers(node, maxima.size) or _bounds_at_output(node, maxima, ratio)
        if bounds is None or not _is_unlike(maxima, bounds, ratio):
            continue
        _split(copy, node, bounds)
        changed = True
    return (copy, True) if changed else (model, False)


def _channels(node: ir.Node) -> int | None:
    """Return the number of output channels of a layer that can be split, else `None`."""
    weight, bias = constant_of(input_of(node, 1)), input_of(node, 2)
    if weight is None or (bias is not None and constant_of(bias) is None):
        return None
    if node.op_type == "Conv":
        return int(weight.shape[0]) if int(attribute(node, "group", 1)) == 1 else None
    if weight.ndim != 2 or (node.op_type == "MatMul" and len(node.inputs) != 2):
        return None
    return int(weight.shape[_axis_of_weight(node)])


def _axis_of_weight(node: ir.Node) -> int:
    return 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1


def _axis(node: ir.Node) -> int:
    return 1 if node.op_type in ("Conv", "Gemm") else len(shape_of(node.outputs[0]) or ()) - 1


def _is_unlike(maxima: np.ndarray, bounds: Sequence[int], ratio: float) -> bool:
    parts = [float(maxima[a:b].max()) for a, b in pairwise(bounds)]
    alive = [part for part in parts if part > 0]
    return 1 < len(parts) <= MOST_PARTS and len(alive) > 1 and max(alive) > ratio * min(alive)


def _bounds_of_readers(node: ir.Node, channels: int) -> tuple[int, ...] | None:
    """Return where Slices and Splits along the channels cut the result, when nothing else reads it."""
    value = node.outputs[0]
    if value.is_graph_output() or not value.uses():
        return None
    cuts = {0, channels}
    for reader in value.consumers():
        ranges = _cut_by(reader, _axis(node), channels)
        if ranges is None:
            return None
        cuts.update(bound for start_stop in ranges for bound in start_stop)
    return tuple(sorted(cuts)) if len(cuts) > 2 else None


def _cut_by(reader: ir.Node, axis: int, channels: int) -> list[tuple[int, int]] | None:
    """Return `(start, stop)` of each output of a Slice or Split along the axis; `None` for anything else."""
    rank = len(shape_of(reader.inputs[0]) or ())
    if reader.op_type == "Split" and attribute(reader, "axis", 0) % max(rank, 1) == axis:
        sizes = [shape[axis] if (shape := shape_of(output)) else None for output in reader.outputs]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) != len(sizes) or sum(known) != channels:
            return None
        ends = np.cumsum(known).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))
    if reader.op_type != "Slice" or input_of(reader, 3) is None:
        return None
    settings = [constant_of(input_of(reader, i)) for i in (1, 2, 3)]
    steps = constant_of(input_of(reader, 4)) if input_of(reader, 4) is not None else np.ones(1, np.int64)
    if steps is None or (steps != 1).any() or any(one is None or one.size != 1 for one in settings):
        return None
    start, stop, along = (int(one.reshape(-1)[0]) for one in settings if one is not None)
    if along % max(rank, 1) != axis:
        return None
    start, stop, _ = slice(start, stop).indices(channels)
    return [(start, stop)] if start < stop else None


def _bounds_at_output(node: ir.Node, maxima: np.ndarray, ratio: float) -> tuple[int, ...] | None:
    """Return the runs of channels of alike size in a result that reaches an output of the graph unchanged."""
    value = node.outputs[0]
    while not value.is_graph_output():
        readers = value.consumers()
        if len(readers) != 1 or next(iter(readers)).op_type not in _MOVES:
            return None
        value = next(iter(readers)).outputs[0]
    bounds = [0]
    low = high = 0.0
    for index, size in enumerate(maxima.tolist()):
        if size <= 0:
            continue  # a dead channel fits anywhere
        if high and max(high, size) > ratio * min(low, size):
            bounds.append(index)
            low = high = size
        else:
            low, high = (min(low, size), max(high, size)) if high else (size, size)
    return (*bounds, maxima.size) if len(bounds) > 1 else None


def _split(model: ir.Model, node: ir.Node, bounds: Sequence[int]) -> None:
    value, axis = node.outputs[0], _axis(node)
    parts = [_part(model, node, a, b) for a, b in pairwise(bounds)]
    where = {(a, b): part for (a, b), part in zip(pairwise(bounds), parts, strict=True)}
    for reader in list(value.consumers()):
        cut = _cut_by(reader, axis, bounds[-1])
        if cut is not None and all(one in where for one in cut):
            done = [replace_value(model, output, where[one]) for output, one in zip(reader.outputs, cut, strict=True)]
            if all(done):
                remove_node(model, reader)
    if not value.uses() and not value.is_graph_output():
        remove_node(model, node)
        return
    joined = add_node(model, node, "Concat", parts, name=f"{node.name or value.name}_parts", attributes={"axis": axis})
    joined.shape, joined.type = value.shape, value.type
    replace_node(model, node, joined)


def _part(model: ir.Model, node: ir.Node, start: int, stop: int) -> ir.Value:
    """Add the layer that computes the channels from `start` to `stop`, and return its result."""
    value, stem = node.outputs[0], f"{node.name or node.outputs[0].name}_{start}"
    inputs = list(node.inputs)
    for index, along in ((1, _axis_of_weight(node)), (2, -1)):
        array = constant_of(input_of(node, index))
        if array is None:
            continue
        wanted = slice(start, stop)
        cut = array[wanted] if along == 0 else array[..., wanted]
        if index == 2 and array.size == 1:
            cut = array
        inputs[index] = add_constant(model, f"{stem}_{'weight' if index == 1 else 'bias'}", cut)
    settings = {name: one.value for name, one in node.attributes.items()}
    part = add_node(model, node, node.op_type, inputs, name=stem, attributes=settings)
    shape = shape_of(value)
    assert shape is not None
    axis = _axis(node)
    part.shape = ir.Shape([stop - start if i == axis else size for i, size in enumerate(shape)])
    part.type = value.type
    return part
