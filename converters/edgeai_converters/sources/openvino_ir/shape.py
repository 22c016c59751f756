"""Operations that move values without computing: shapes, axes, joining, splitting, copies."""

from __future__ import annotations

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_reshape(context: ReadContext, operation: Operation) -> str:
    """`Reshape`: a zero keeps a dimension when the operation says so, else it is a size."""
    wanted = context.constant(operation, 1)
    literal = not operation.attribute("special_zero", False) and wanted is not None and bool((wanted == 0).any())
    inputs = [context.source(operation, 0), context.int64(operation, 1, rank=1)]
    return context.add("Reshape", inputs, allowzero=int(literal))


def read_squeeze(context: ReadContext, operation: Operation) -> str:
    """`Squeeze`, `Unsqueeze`."""
    source = context.source(operation, 0)
    if operation.input_count == 1:
        return context.add("Squeeze", [source])
    axes = context.constant(operation, 1)
    if operation.type == "Squeeze" and axes is not None and operation.attribute("allow_axis_skip", False):
        shape = operation.shape(0)
        kept = [int(axis) for axis in axes.reshape(-1) if shape[int(axis)] == 1]
        if any(shape[int(axis)] is None for axis in axes.reshape(-1)):
            raise UnreadableError("an axis that is removed only if its size is 1")
        return context.add("Squeeze", [source, context.integers(kept, "axes")]) if kept else source
    return context.add(operation.type, [source, context.int64(operation, 1, rank=1)])


def read_transpose(context: ReadContext, operation: Operation) -> str:
    """`Transpose`; an empty order reverses the axes."""
    order = context.known_integers(operation, 1, "the order") or [*reversed(range(operation.rank(0)))]
    return context.add("Transpose", [context.source(operation, 0)], perm=order)


def read_concat(context: ReadContext, operation: Operation) -> str:
    """`Concat`."""
    return context.add("Concat", context.sources(operation), axis=int(operation.attribute("axis")))


def read_split(context: ReadContext, operation: Operation) -> list[str]:
    """`Split` into equal parts."""
    (axis,) = context.known_integers(operation, 1, "the axis")
    source, size, count = context.source(operation, 0), operation.shape(0)[axis], operation.output_count
    if size is None:
        return context.add_many("Split", [source], count, axis=axis, num_outputs=count)
    return context.add_many("Split", [source, context.integers([size // count] * count, "parts")], count, axis=axis)


def read_variadic_split(context: ReadContext, operation: Operation) -> list[str]:
    """`VariadicSplit` into parts of given sizes, of which one may be what is left."""
    (axis,) = context.known_integers(operation, 1, "the axis")
    sizes = context.known_integers(operation, 2, "the sizes of the parts")
    source, total = context.source(operation, 0), operation.shape(0)[axis]
    if -1 in sizes and total is not None:
        sizes[sizes.index(-1)] = total - sum(size for size in sizes if size != -1)
    if -1 not in sizes:
        return context.add_many("Split", [source, context.integers(sizes, "parts")], len(sizes), axis=axis)
    rest, parts = sizes.index(-1), []
    for i in range(len(sizes)):  # before the part of unknown size counted from the start, behind it from the end
        start = sum(sizes[:i]) if i <= rest else -sum(sizes[i:])
        end = sum(sizes[: i + 1]) if i < rest else (-sum(sizes[i + 1 :]) or np.iinfo(np.int64).max)
        places = [context.integers([place], "place") for place in (start, end, axis)]
        parts.append(context.add("Slice", [source, *places]))
    return parts


def read_tile(context: ReadContext, operation: Operation) -> str:
    """`Tile`; the shorter of shape and repeats is filled up with ones on the left."""
    repeats, rank = context.known_integers(operation, 1, "the repeats"), operation.rank(0)
    source = context.source(operation, 0)
    if len(repeats) > rank:
        axes = context.integers(range(len(repeats) - rank), "axes")
        source = context.add("Unsqueeze", [source, axes])
    repeats = [1] * (rank - len(repeats)) + repeats
    return context.add("Tile", [source, context.integers(repeats, "repeats")])


def read_broadcast(context: ReadContext, operation: Operation) -> str:
    """`Broadcast` → Expand; with an explicit mapping the axes are put in their places first."""
    source = context.source(operation, 0)
    mode = str(operation.attribute("mode", "numpy")).lower()
    if mode == "explicit" and operation.input_count > 2:
        places = context.known_integers(operation, 2, "the places of the axes")
        missing = [axis for axis in range(len(operation.output_shape())) if axis not in places]
        if places != sorted(places):
            raise UnreadableError("axes in another order")
        if missing and operation.rank(0) > 0:
            source = context.add("Unsqueeze", [source, context.integers(missing, "axes")])
    elif mode not in ("numpy", "bidirectional"):
        raise UnreadableError(f"broadcasting of the kind {mode!r}")
    return context.add("Expand", [source, context.int64(operation, 1, rank=1)])


def read_shape_of(context: ReadContext, operation: Operation) -> str:
    """`ShapeOf`."""
    return context.cast_result(context.add("Shape", [context.source(operation, 0)]), np.int64, operation)


def read_range(context: ReadContext, operation: Operation) -> str:
    """`Range`: ONNX wants its three numbers in the type of the result."""
    wanted = operation.output_dtype()
    ends = []
    for position in range(3):
        constant = context.constant(operation, position)
        if constant is not None:
            ends.append(context.number(constant.reshape(()).item(), wanted))
            continue
        value = context.source(operation, position)
        value = value if operation.dtype(position) == wanted else context.cast(value, wanted)
        ends.append(context.add("Reshape", [value, context.integers([], "scalar")]))
    return context.add("Range", ends)


def read_depth_to_space(context: ReadContext, operation: Operation) -> str:
    """`DepthToSpace` of maps."""
    if operation.rank(0) != 4:
        raise UnreadableError(f"values of rank {operation.rank(0)}")
    mode = "DCR" if str(operation.attribute("mode")).lower() == "blocks_first" else "CRD"
    size = int(operation.attribute("block_size"))
    return context.add("DepthToSpace", [context.source(operation, 0)], blocksize=size, mode=mode)


def read_space_to_depth(context: ReadContext, operation: Operation) -> str:
    """`SpaceToDepth` of maps; ONNX has only `blocks_first`, the other order is written out."""
    if operation.rank(0) != 4:
        raise UnreadableError(f"values of rank {operation.rank(0)}")
    size, source = int(operation.attribute("block_size")), context.source(operation, 0)
    if str(operation.attribute("mode")).lower() == "blocks_first":
        return context.add("SpaceToDepth", [source], blocksize=size)
    batch, *rest = operation.shape(0)
    channels, height, width = (dim or 0 for dim in rest)
    if 0 in (channels, height, width):
        raise UnreadableError("maps of a free size")
    blocks = context.reshape(source, [batch or -1, channels, height // size, size, width // size, size])
    order = context.transpose(blocks, [0, 1, 3, 5, 2, 4])
    return context.reshape(order, [batch or -1, channels * size * size, height // size, width // size])


def read_shuffle_channels(context: ReadContext, operation: Operation) -> str:
    """`ShuffleChannels` → Reshape, Transpose, Reshape."""
    shape, group = operation.shape(0), int(operation.attribute("group"))
    axis = int(operation.attribute("axis")) % len(shape)
    size = shape[axis]
    free = [i for i, dim in enumerate(shape) if dim is None]
    if size is None or len(free) > 1:
        raise UnreadableError("free dimensions")
    known = [-1 if dim is None else dim for dim in shape]
    parts = context.reshape(context.source(operation, 0), [*known[:axis], group, size // group, *known[axis + 1 :]])
    rank = len(shape) + 1
    order = [*range(axis), axis + 1, axis, *range(axis + 2, rank)]
    return context.reshape(context.transpose(parts, order), known)
