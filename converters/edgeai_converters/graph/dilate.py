"""Dilated convolutions, which TensorFlow writes as SpaceToBatch → Conv → BatchToSpace.

Before: SpaceToBatch(x, pads) → … Conv (stride 1, no padding along the blocks) … → BatchToSpace(·, crops)
After:  … Conv (dilations = blocks, pads = pads − crops) …
where … is Transpose, Squeeze, Unsqueeze, an activation, or a constant added per channel.

SpaceToBatch pads to a multiple of the block, and BatchToSpace crops that again: with a free length both amounts are
computed from it, and only their difference stays the same. That is tried with lengths that cover every remainder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edgeai_converters.graph.edit import attribute, constant_of
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.graph.space_to_batch import DOMAIN, TO_BATCH, TO_SPACE, blocks_of
from edgeai_runtime.errors import DataError, EngineError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Amounts = tuple[tuple[int, int], ...]
"""(begin, end) of padding per axis."""

_FIRST_LENGTH, _MOST_LENGTHS = 32, 64
_ELEMENTWISE = frozenset({"Relu", "Clip", "Elu", "Sigmoid", "Tanh", "LeakyRelu", "Identity", "Selu", "HardSwish"})


def dilate(model: ir.Model) -> bool:
    """Make dilated convolutions of what can be, in place; tell whether there were any."""
    changed = False
    for node in list(model.graph):
        blocks = blocks_of(node.op_type, TO_BATCH) if node.domain == DOMAIN else None
        if blocks is not None:
            changed |= _merge(model, node, blocks)
    return changed


def _merge(model: ir.Model, start: ir.Node, blocks: Sequence[int]) -> bool:
    found = _path(start, blocks)
    if found is None:
        return False
    conv, axes, end = found
    amounts = _amounts(model, start, end)
    if amounts is None or any(begin < 0 or after < 0 for begin, after in amounts):
        return False
    if any(blocks[axis] == 1 and amounts[axis] != (0, 0) for axis in range(len(blocks))):
        return False
    rank = len(axes) - 2
    dilations = list(attribute(conv, "dilations", (1,) * rank))
    pads = list(attribute(conv, "pads", (0,) * 2 * rank))
    for place, axis in enumerate(axes[2:]):
        if axis is not None and blocks[axis] > 1:
            dilations[place] *= blocks[axis]
            pads[place], pads[place + rank] = amounts[axis]
    conv.attributes.pop("auto_pad", None)
    conv.attributes["dilations"] = ir.AttrInt64s("dilations", dilations)
    conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
    last = end.inputs[0]
    first = start.inputs[0]
    assert first is not None
    assert last is not None
    ir.convenience.replace_all_uses_with(start.outputs[0], first)
    name = end.outputs[0].name
    ir.convenience.replace_all_uses_with(end.outputs[0], last, replace_graph_outputs=True)
    model.graph.remove([start, end], safe=False)
    last.name = name
    for value in _between(first, last):
        value.shape = None
    return True


def _path(start: ir.Node, blocks: Sequence[int]) -> tuple[ir.Node, list[int | None], ir.Node] | None:
    """Follow the value to its BatchToSpace; return the convolution, which axis each of its axes was, and the end."""
    value, axes = start.outputs[0], [*range(len(blocks))]
    tracked: list[int | None] = [*axes]
    conv: ir.Node | None = None
    at_conv: list[int | None] = []
    while True:
        uses = list(value.uses())
        if len(uses) != 1 or value.is_graph_output():
            return None
        node, position = uses[0]
        if node.domain == DOMAIN:
            matches = blocks_of(node.op_type, TO_SPACE) == tuple(blocks) and tracked == axes
            return (conv, at_conv, node) if matches and position == 0 and conv is not None else None
        if node.op_type == "Conv" and conv is None and position == 0 and _plain(node, tracked, blocks):
            conv, at_conv = node, list(tracked)
        elif not _passes(node, position, tracked, at_conv[1] if conv is not None else -1):
            return None
        value = node.outputs[0]


def _plain(node: ir.Node, tracked: Sequence[int | None], blocks: Sequence[int]) -> bool:
    """Say whether a convolution looks at the blocks one step at a time and pads nothing there."""
    rank = len(tracked) - 2
    if tracked[0] != 0 or (tracked[1] is not None and blocks[tracked[1]] != 1):
        return False
    if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    strides, pads = attribute(node, "strides", (1,) * rank), attribute(node, "pads", (0,) * 2 * rank)
    return all(
        axis is None or blocks[axis] == 1 or (strides[place] == 1 and pads[place] == pads[place + rank] == 0)
        for place, axis in enumerate(tracked[2:])
    )


def _passes(node: ir.Node, position: int, tracked: list[int | None], channels: int | None) -> bool:
    """Follow the axes through a node, in place; say whether it treats all samples alike."""
    if node.domain not in ("", "ai.onnx") or (position != 0 and node.op_type != "Add"):
        return False
    if node.op_type in _ELEMENTWISE:
        return True
    if node.op_type == "Transpose":
        order = attribute(node, "perm", tuple(reversed(range(len(tracked)))))
        tracked[:] = [tracked[axis] for axis in order]
        return True
    if node.op_type in ("Unsqueeze", "Squeeze"):
        given = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
        if given is None:
            return False
        rank = len(tracked) + (given.size if node.op_type == "Unsqueeze" else 0)
        for axis in sorted((int(axis) % rank for axis in given.reshape(-1)), reverse=node.op_type == "Squeeze"):
            if node.op_type == "Unsqueeze":
                tracked.insert(axis, None)
            elif tracked.pop(axis) is not None:
                return False
        return True
    if node.op_type == "Reshape":  # one that says the sizes again: 0 keeps a size, and -1 takes what is left
        wanted = constant_of(node.inputs[1])
        if wanted is None or attribute(node, "allowzero", 0):
            return False
        return _reshaped([int(size) for size in wanted.reshape(-1)], tracked)
    if node.op_type == "Add":
        other = constant_of(node.inputs[1 - position])
        if other is None or other.ndim > len(tracked):
            return False
        places = [len(tracked) - other.ndim + place for place, size in enumerate(other.shape) if size != 1]
        return all(tracked[place] == channels for place in places)
    return False


def _reshaped(sizes: Sequence[int], tracked: list[int | None]) -> bool:
    """Follow the axes through a Reshape that moves axes of size 1 only, in place: 0 is the old size, -1 the rest."""
    if any(size not in (-1, 0, 1) for size in sizes) or len(sizes) > len(tracked):
        return False
    taken = [tracked[place] for place, size in enumerate(sizes) if size == 0]
    rest = [axis for axis in tracked if axis is not None and axis not in taken]
    if len(rest) != sizes.count(-1):
        return False
    found = [tracked[place] if size == 0 else rest[0] if size == -1 else None for place, size in enumerate(sizes)]
    in_order = [axis for axis in found if axis is not None] == [axis for axis in tracked if axis is not None]
    tracked[:] = found
    return in_order


def _amounts(model: ir.Model, start: ir.Node, end: ir.Node) -> Amounts | None:
    """Return what the convolution must pad; `None` when the amounts do not cancel, or cannot be computed."""
    values = [*start.inputs[1:], *end.inputs[1:]]
    constants = [constant_of(value) for value in values]
    if all(constant is not None for constant in constants):
        return _difference([np.asarray(constant) for constant in constants])
    found = {_difference(arrays) for arrays in _tried(model, [value for value in values if value is not None])}
    return found.pop() if len(found) == 1 else None


def _difference(arrays: Sequence[NDArray[Any]]) -> Amounts:
    begins, ends, crops, last = (array.reshape(-1).astype(int).tolist() for array in arrays)
    return tuple((b - c, e - k) for b, e, c, k in zip(begins, ends, crops, last, strict=True))


def _tried(model: ir.Model, values: Sequence[ir.Value]) -> Iterator[list[NDArray[Any]]]:
    """Yield the values for many sizes of the free dimensions of the inputs."""
    flat = model.clone()
    common_passes.InlinePass()(flat)
    computed = [value.name or "" for value in values if constant_of(value) is None]
    runner = GraphRunner(flat, outputs=computed)
    inputs = [value for value in flat.graph.inputs if value.name not in flat.graph.initializers]
    for length in range(_FIRST_LENGTH, _FIRST_LENGTH + _MOST_LENGTHS):
        feed = {}
        for value in inputs:
            sizes = [
                size if isinstance(size, int) else (1 if place == 0 else length)
                for place, size in enumerate(shape_of(value) or ())
            ]
            feed[value.name or ""] = np.zeros(sizes, value.dtype.numpy() if value.dtype is not None else np.float32)
        try:
            outputs = runner.run(feed)
        except (DataError, EngineError, ModelError):
            continue
        yield [outputs[value.name] if value.name in outputs else np.asarray(constant_of(value)) for value in values]


def _between(first: ir.Value, last: ir.Value) -> Iterator[ir.Value]:
    """Yield the values behind `first` up to `last`: their batch is another now."""
    waiting = [last]
    while waiting:
        value = waiting.pop()
        yield value
        node = value.producer()
        source = node.inputs[0] if node is not None else None
        if source is not None and source is not first and source.producer() is not None:
            waiting.append(source)
