"""Choosing by numbers that are computed: Gather ↔ GATHER, GatherND, ScatterND, OneHot, ArgMax, TopK, CumSum.

TFLite counts from the front only: a negative index, which ONNX counts from the end, is an error when the file runs.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import UNIT, Permutation, identity
from edgeai_converters.emit.tflite.quantization import Quantization
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.schema import tensor_type
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


def write_gather_by_value(context: WriteContext, node: ir.Node) -> None:
    """Write GATHER by indices that are computed, from a value or from a constant table (an embedding)."""
    data, indices = context.operand(node, 0), context.operand(node, 1)
    if data is None or indices is None:
        raise UnwritableError("an input is missing")
    axis = node.attributes.get_int("axis", 0) % len(data.shape)
    if isinstance(indices, Constant):
        size = data.shape[axis]
        if size is None and np.any(indices.stored < 0):
            raise UnwritableError("selects from the end of a free dimension; fix it with --shape")
        wrapped = np.where(indices.stored < 0, indices.stored + (size or 0), indices.stored)
        indices = Constant(name=indices.name, stored=wrapped)
    stored = None
    if isinstance(data, Value):
        source = context.tensor(data, identity(data.rank))
    else:
        source, stored = _table(context, node, data)
    places = _index_tensor(context, indices)
    order = identity(len(data.shape) - 1 + len(indices.shape))
    result = context.result(node, order, stored)
    context.add("GATHER", [source, places], [result], "GatherOptions", axis=axis, batchDims=0)


def _table(context: WriteContext, node: ir.Node, data: Constant) -> tuple[int, Quantization | None]:
    """Return the tensor of a table, and what its integers mean: DequantizeLinear behind the Gather tells."""
    reader = context.folding.only_reader(context.result_name(node))
    if reader is None or reader.op_type != "DequantizeLinear" or data.stored.dtype not in (np.int8, np.uint8):
        return context.weights(data, data.real), None
    stored = context.folding.parameters(reader)
    if stored is None:
        raise UnwritableError("the gathered values are not dequantized with one constant scale")
    shift = 128 if data.stored.dtype == np.uint8 else 0
    array = (data.stored.astype(np.int16) - shift).astype(np.int8)
    return context.weights(data, array, stored), stored


def write_gather_nd(context: WriteContext, node: ir.Node) -> None:
    """Write GATHER_ND."""
    if node.attributes.get_int("batch_dims", 0):
        raise UnwritableError("batch_dims other than 0")
    data, indices = context.value(node), context.operand(node, 1)
    assert indices is not None
    places = _index_tensor(context, indices)
    source = context.tensor(data, identity(data.rank))
    order = identity(len(context.graph_shape(context.result_name(node))))
    context.add("GATHER_ND", [source, places], [context.result(node, order)], "GatherNdOptions")


def write_scatter_nd(context: WriteContext, node: ir.Node) -> None:
    """Write new numbers into a value: `SCATTER_ND` of the numbers and of ones, and a choice between old and new.

    SCATTER_ND adds up what goes to the same place, where ONNX keeps one: places must be constant and all different, or
    there must be one.
    """
    if node.attributes.get_string("reduction", "none") != "none":
        raise UnwritableError("a reduction other than none")
    data, indices, updates = (context.operand(node, position) for position in range(3))
    if data is None or indices is None or updates is None:
        raise UnwritableError("an input is missing")
    if any(size is None for size in (*data.shape, *updates.shape)):
        raise UnwritableError("writes into a value with free dimensions; fix them with --shape")
    shape = tuple(size or 0 for size in data.shape)
    if isinstance(indices, Constant):
        places = indices.stored.reshape(-1, indices.shape[-1])
        if len(np.unique(places, axis=0)) < len(places):
            raise UnwritableError("writes to the same place twice")
    elif any(size != 1 for size in indices.shape[:-1]):
        raise UnwritableError("writes to several places that are computed, which may be the same")
    rank, order = len(shape), identity(len(shape))
    steps = Steps(context, context.result_name(node))
    places_tensor = steps.cast(_index_tensor(context, indices), "int32")  # the kernel wants the type of the shape
    size = context.integers(shape, f"{context.result_name(node)}/shape")
    old = context.broadcast(data, rank, order)
    new = context.broadcast(updates, len(updates.shape), identity(len(updates.shape)))
    if context.shape_of(new) != updates.shape:  # a constant loses its leading ones
        new = context.reshaped(new, updates.shape, f"{context.result_name(node)}/updates")
    dtype = context.graph_dtype(context.result_name(node))
    if dtype not in ("float32", "int32", "int64"):
        raise UnwritableError(f"scatters {dtype}")
    spread = context.file.add_tensor(f"{context.result_name(node)}/spread", shape, dtype)
    context.add("SCATTER_ND", [places_tensor, new, size], [spread], "ScatterNdOptions")
    mask = _scattered_mask(context, indices, places_tensor, size, shape, updates.shape, context.result_name(node))
    steps.select(mask, spread, old, into=context.result(node, order))


def _scattered_mask(
    context: WriteContext,
    indices: Value | Constant,
    places: int,
    size: int,
    shape: tuple[int, ...],
    updates: tuple[int | None, ...],
    name: str,
) -> int:
    """Return a bool tensor that is true where something was written."""
    if isinstance(indices, Constant):
        array = np.zeros(shape, np.bool_)
        array[tuple(np.moveaxis(indices.stored, -1, 0))] = True
        return context.file.add_constant(array, f"{name}/mask")
    ones = context.file.add_constant(np.ones([extent or 0 for extent in updates], np.float32), f"{name}/ones")
    spread = context.file.add_tensor(f"{name}/written", shape, "float32")
    context.add("SCATTER_ND", [places, ones, size], [spread], "ScatterNdOptions")
    steps = Steps(context, name)
    return steps.binary("GREATER", spread, steps.number(0.5))


def write_one_hot(context: WriteContext, node: ir.Node) -> None:
    """Write ONE_HOT with a constant depth and constant values."""
    indices, depth = context.value(node), int(context.constant(node, 1, "the depth").real.reshape(-1)[0])
    off, on = context.constant(node, 2, "the values").real.reshape(-1)
    order = identity(indices.rank + 1)
    axis = node.attributes.get_int("axis", -1) % (indices.rank + 1)
    dtype = context.graph_dtype(context.result_name(node))
    if dtype not in ("float32", "int32", "int64", "bool"):
        raise UnwritableError(f"one-hot of type {dtype}")
    inputs = [
        _index_tensor(context, indices),
        context.integers(np.array(depth), "depth"),
        context.file.add_constant(np.array(on, dtype), "on"),
        context.file.add_constant(np.array(off, dtype), "off"),
    ]
    last = -1 if axis == indices.rank else axis
    context.add("ONE_HOT", inputs, [context.result(node, order)], "OneHotOptions", axis=last)


def write_arg_extremum(context: WriteContext, node: ir.Node) -> None:
    """Write ARG_MAX or ARG_MIN, which give the first place."""
    value = context.value(node)
    axis = node.attributes.get_int("axis", 0) % value.rank
    if node.attributes.get_int("select_last_index", 0):
        raise UnwritableError("asks for the last of equal numbers")
    order = value.order if UNIT not in value.order else identity(value.rank)
    source = context.tensor(value, order)
    place = order.index(axis)
    shape = tuple(size for i, size in enumerate(context.shape_of(source)) if i != place)
    name, table = context.result_name(node), context.integers(np.array(place), f"{context.result_name(node)}/axis")
    result = _kept_or_dropped(context, node, order, axis)
    target = result
    if node.attributes.get_int("keepdims", 1):
        target = context.file.add_tensor(f"{name}/flat", shape, "int64")
    kind = "ArgMax" if node.op_type == "ArgMax" else "ArgMin"
    operator = "ARG_MAX" if kind == "ArgMax" else "ARG_MIN"
    context.add(operator, [source, table], [target], f"{kind}Options", outputType=tensor_type("int64"))
    if target != result:
        context.reshaped(target, context.shape_of(result), name, into=result)


def _kept_or_dropped(context: WriteContext, node: ir.Node, order: Permutation, axis: int) -> int:
    if node.attributes.get_int("keepdims", 1):
        return context.result(node, order)
    return context.result(node, tuple(a - (a > axis) for a in order if a != axis))


def write_top_k(context: WriteContext, node: ir.Node) -> None:
    """Write TOPK_V2, for which the axis must lie last; the smallest are the largest of the negated."""
    value, count = context.value(node), int(context.constant(node, 1, "k").stored.reshape(-1)[0])
    axis = node.attributes.get_int("axis", -1) % value.rank
    order = (*(a for a in range(value.rank) if a != axis), axis)
    smallest = not node.attributes.get_int("largest", 1)
    steps = Steps(context, context.result_name(node))
    source = context.tensor(value, order)
    source = steps.unary("NEG", source) if smallest else source
    dtype = value.dtype
    values, places = (context.result(node, order, position=position) for position in range(2))
    shape = context.shape_of(values)
    best = context.file.add_tensor(f"{context.result_name(node)}/best", shape, dtype) if smallest else values
    found = context.file.add_tensor(f"{context.result_name(node)}/places", shape, "int32")
    table = context.integers(np.array(count), f"{context.result_name(node)}/k")
    context.add("TOPK_V2", [source, table], [best, found], "TopKV2Options")
    if smallest:
        steps.unary("NEG", best, into=values)
    steps.cast(found, "int64", into=places)


def write_cumulative_sum(context: WriteContext, node: ir.Node) -> None:
    """Write CUMSUM along a constant axis."""
    value, given = context.value(node), context.constant(node, 1, "the axis")
    axis = int(given.stored.reshape(-1)[0]) % value.rank
    order = value.order
    source = context.tensor(value, order)
    table = context.integers(np.array(order.index(axis)), f"{context.result_name(node)}/axis")
    fields = {key: bool(node.attributes.get_int(key, 0)) for key in ("exclusive", "reverse")}
    context.add("CUMSUM", [source, table], [context.result(node, order)], "CumsumOptions", **fields)


def _index_tensor(context: WriteContext, indices: Value | Constant) -> int:
    """Return indices as int32 or int64, whichever they are."""
    if isinstance(indices, Constant):
        if np.any(indices.stored < 0):
            raise UnwritableError("negative indices")
        return context.file.add_constant(indices.stored.astype(np.int32), indices.name)
    tensor = context.tensor(indices, identity(indices.rank))
    if indices.dtype not in ("int32", "int64"):
        return Steps(context, indices.name).cast(tensor, "int32")
    return tensor


def read_gather_nd(context: ReadContext, operator: Operator) -> None:
    """Read GATHER_ND."""
    data, indices = (context.source(tensor) for tensor in operator.inputs)
    wide = context.add("Cast", [indices], to=ir.DataType.INT64.value)
    context.finish(operator, context.add("GatherND", [data, wide]))


def read_one_hot(context: ReadContext, operator: Operator) -> None:
    """Read ONE_HOT."""
    indices, depth, on, off = operator.inputs
    axes = context.integers([0], f"{context.name(operator.outputs[0])}/axis")
    parts = [context.add("Unsqueeze", [context.source(tensor), axes]) for tensor in (off, on)]
    values = context.add("Concat", parts, axis=0)
    inputs = [context.source(indices), context.source(depth), values]
    context.finish(operator, context.add("OneHot", inputs, axis=int(operator.option("axis", -1))))


def read_arg_extremum(context: ReadContext, operator: Operator) -> None:
    """Read ARG_MAX and ARG_MIN."""
    axis = int(context.known(operator, 1, "the axis").reshape(-1)[0])
    op_type = "ArgMax" if operator.name == "ARG_MAX" else "ArgMin"
    made = context.add(op_type, [context.source(operator.inputs[0])], axis=axis, keepdims=0)
    dtype = np.dtype(context.tensors[operator.outputs[0]].dtype)
    if dtype != np.int64:
        made = context.add("Cast", [made], to=ir.DataType.from_numpy(dtype).value)
    context.finish(operator, made)


def read_top_k(context: ReadContext, operator: Operator) -> None:
    """Read TOPK_V2, whose places are int32."""
    count = int(context.known(operator, 1, "k").reshape(-1)[0])
    name = context.name(operator.outputs[0])
    values, places = context.unique(f"{name}/values"), context.unique(f"{name}/places")
    inputs = [context.source(operator.inputs[0]), context.integers([count], f"{name}/k")]
    context.add_many("TopK", inputs, [values, places], axis=-1)
    context.finish(operator, values)
    context.finish(operator, context.add("Cast", [places], to=ir.DataType.INT32.value), position=1)


def read_cumulative_sum(context: ReadContext, operator: Operator) -> None:
    """Read CUMSUM."""
    axis = context.known(operator, 1, "the axis").reshape(-1)
    inputs = [
        context.source(operator.inputs[0]),
        context.integers(axis[0], f"{context.name(operator.outputs[0])}/axis"),
    ]
    exclusive, backwards = (int(bool(operator.option(key, False))) for key in ("exclusive", "reverse"))
    context.finish(operator, context.add("CumSum", inputs, exclusive=exclusive, reverse=backwards))


def read_embedding_lookup(context: ReadContext, operator: Operator) -> None:
    """Read EMBEDDING_LOOKUP (inputs: indices, table) as Gather."""
    indices, table = (context.source(tensor) for tensor in operator.inputs)
    context.finish(operator, context.add("Gather", [table, indices], axis=0))


def read_scatter_nd(context: ReadContext, operator: Operator) -> None:
    """Read SCATTER_ND as ScatterND into zeros, adding up what goes to the same place."""
    shape = context.known(operator, 2, "the shape").reshape(-1)
    dtype = np.dtype(context.tensors[operator.outputs[0]].dtype)
    if dtype.kind not in "fi":
        raise UnreadableError(f"SCATTER_ND of {dtype}")
    name = context.name(operator.outputs[0])
    zeros = context.add_constant(np.zeros([int(size) for size in shape], dtype), f"{name}/zeros")
    indices = context.add("Cast", [context.source(operator.inputs[0])], to=ir.DataType.INT64.value)
    updates = context.source(operator.inputs[1])
    context.finish(operator, context.add("ScatterND", [zeros, indices, updates], reduction="add"))
