"""Taking parts: Slice ↔ SLICE, STRIDED_SLICE; Split ↔ SPLIT; Gather ↔ GATHER."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import Constant, first_output
from edgeai_converters.emit.tflite.indexing import write_gather_by_value
from edgeai_converters.emit.tflite.layout import UNIT, Permutation, channels_last, physical_axis, physical_shape
from edgeai_converters.emit.tflite.quantization import Quantization, per_tensor
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext

MOST_SPLIT = 4
"""Parts up to which XNNPACK takes a SPLIT."""

_Range = tuple[int, int | None, int]
"""Start (not negative), number of elements (`None`: to the end of a free dimension), step."""


def write_slice(context: WriteContext, node: ir.Node) -> None:
    """Write one Slice, together with the Slices that feed only it.

    Steps along height and width become a depthwise convolution with one weight of 1 per channel: bit-exact, and
    unlike STRIDED_SLICE with steps it does not leave XNNPACK.
    """
    chain = [node]
    while (producer := _skipped_producer(context, chain[0])) is not None:
        chain.insert(0, producer)
    value = context.value(chain[0])
    ranges: list[_Range] = [(0, size, 1) for size in value.shape]
    for part in chain:
        _narrow(context, part, ranges)
    order = value.order
    integer = value.quantization is not None
    steps = {axis: step for axis, (_, _, step) in enumerate(ranges) if step != 1}
    if (
        steps
        and all(step > 0 and axis >= 2 for axis, step in steps.items())
        and value.rank in (3, 4)
        and value.dtype == "float32"
    ):
        order = channels_last(value.rank)
        source = context.tensor(value, order, integer=integer)
        _write_strided(context, node, value, source, ranges, order)
        return
    source = context.tensor(value, order, integer=integer)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    physical: list[_Range] = [(0, 1, 1) if axis == UNIT else ranges[axis] for axis in order]
    if not steps:
        _add_slice(context, source, result, physical)
        return
    name = f"{node.outputs[0].name}"
    begins = [start for start, _, _ in physical]
    ends = [start + (count or 0) * step for start, count, step in physical]
    begin_mask = 0
    end_mask = sum(1 << place for place, (_, count, step) in enumerate(physical) if count is None or ends[place] < 0)
    tensors = [
        context.integers(begins, f"{name}/begin"),
        context.integers(ends, f"{name}/end"),
        context.integers([step for _, _, step in physical], f"{name}/steps"),
    ]
    context.add(
        "STRIDED_SLICE", [source, *tensors], [result], "StridedSliceOptions", beginMask=begin_mask, endMask=end_mask
    )


def _skipped_producer(context: WriteContext, node: ir.Node) -> ir.Node | None:
    """Return the Slice before a Slice when it is left to this one to write."""
    read = node.inputs[0]
    producer = None if read is None else read.producer()
    while producer is not None and first_output(producer) in context.folding.skipped:
        if producer.op_type == "Slice":
            return producer
        read = producer.inputs[0] if producer.op_type in ("QuantizeLinear", "DequantizeLinear") else None
        producer = None if read is None else read.producer()
    return None


def _narrow(context: WriteContext, node: ir.Node, ranges: list[_Range]) -> None:
    """Apply one Slice node to the ranges so far."""
    starts, ends = (
        context.constant(node, i, what).stored.reshape(-1) for i, what in ((1, "the starts"), (2, "the ends"))
    )
    axes, steps = (context.optional_constant(node, i, what) for i, what in ((3, "the axes"), (4, "the steps")))
    for position in range(len(starts)):
        axis = int(axes.stored.reshape(-1)[position]) % len(ranges) if axes is not None else position
        step = int(steps.stored.reshape(-1)[position]) if steps is not None else 1
        start, count, old_step = ranges[axis]
        begin, end = int(starts[position]), int(ends[position])
        if count is None:
            if begin < 0 or end < 2**31 - 1 or step < 1 or old_step != 1:
                raise UnwritableError("slices a free dimension not only at its beginning")
            ranges[axis] = (start + begin, None, step)
            continue
        taken = range(count)[slice(begin, end if step > 0 or end >= -count else None, step)]
        ranges[axis] = (start + taken.start * old_step, len(taken), step * old_step)


def _add_slice(context: WriteContext, source: int, result: int, physical: Sequence[_Range]) -> None:
    """Add SLICE; with a free size STRIDED_SLICE to the end, which XNNPACK takes while it refuses SLICE's size -1."""
    begin = context.integers([start for start, _, _ in physical], "begin")
    if all(count is not None for _, count, _ in physical):
        size = context.integers([count or 0 for _, count, _ in physical], "size")
        context.add("SLICE", [source, begin, size], [result], "SliceOptions")
        return
    end = context.integers([start + (count or 0) for start, count, _ in physical], "end")
    steps = context.integers([1] * len(physical), "steps")
    mask = sum(1 << place for place, (_, count, _) in enumerate(physical) if count is None)
    context.add(
        "STRIDED_SLICE", [source, begin, end, steps], [result], "StridedSliceOptions", beginMask=0, endMask=mask
    )


def _write_strided(
    context: WriteContext, node: ir.Node, value: Value, source: int, ranges: list[_Range], order: Permutation
) -> None:
    whole = True
    physical: list[_Range] = []
    for axis in order:
        if axis == UNIT:
            physical.append((0, 1, 1))
            continue
        start, count, step = ranges[axis]
        extent = None if count is None else (count - 1) * step + 1
        size = value.shape[axis]
        # A window of 1 reads nothing behind its last place: only a cut that changes the number of places matters.
        harmless = start == 0 and (extent is None or (size is not None and -(-size // step) == count))
        whole &= harmless
        physical.append((0, None if size is None else size, 1) if harmless else (start, extent, 1))
    if not whole:
        shape = tuple(count for _, count, _ in physical)
        part = context.scratch(source, shape, f"{value.name}/part")
        _add_slice(context, source, part, physical)
        source = part
    channels = context.shape_of(source)[3]
    if channels is None:
        raise UnwritableError("the number of channels is free")
    integer = value.quantization is not None
    wide = value.quantization is not None and value.quantization.dtype == "int16"
    name = f"{node.outputs[0].name}/ones"
    one = per_tensor(1.0, 0) if integer else None
    kernel = context.file.add_constant(np.ones((1, 1, 1, channels), np.int8 if integer else np.float32), name, one)
    bias_quantization = None
    if value.quantization is not None:
        bias_quantization = Quantization(scale=value.quantization.scale, zero_point=np.zeros(1, np.int64))
    zeros = np.zeros(channels, np.int64 if wide else np.int32 if integer else np.float32)
    bias = context.file.add_constant(zeros, f"{name}/bias", bias_quantization)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    steps = [1 if axis == UNIT else ranges[axis][2] for axis in order]
    context.add(
        "DEPTHWISE_CONV_2D",
        [source, kernel, bias],
        [result],
        "DepthwiseConv2DOptions",
        padding=1,
        strideH=steps[1],
        strideW=steps[2],
        depthMultiplier=1,
        fusedActivationFunction=0,
    )


def write_split(context: WriteContext, node: ir.Node) -> None:
    """Write SPLIT for equal parts, else one SLICE per part; parts keep the quantization of an int8 value.

    More parts than XNNPACK splits into are slices too.
    """
    value = context.value(node)
    axis = node.attributes.get_int("axis", 0) % value.rank
    names = [output.name or "" for output in node.outputs]
    sizes = [context.graph_shape(name)[axis] for name in names]
    if any(size is None for size in sizes):
        raise UnwritableError("splits a free dimension")
    order = value.order
    source = context.tensor(value, order, integer=value.quantization is not None)
    results = [
        context.result(node, order, value.quantization, position=i, non_negative=value.non_negative)
        for i in range(len(names))
    ]
    place = physical_axis(order, axis)
    if len(set(sizes)) == 1 and len(sizes) <= MOST_SPLIT:
        table = context.integers(np.array(place), f"{names[0]}/axis")
        context.add("SPLIT", [table, source], results, "SplitOptions", numSplits=len(results))
        return
    start = 0
    for size, result in zip(sizes, results, strict=True):
        assert size is not None
        ranges: list[_Range] = [(0, whole, 1) for whole in context.shape_of(source)]
        ranges[place] = (start, size, 1)
        _add_slice(context, source, result, ranges)
        start += size


def write_gather(context: WriteContext, node: ir.Node) -> None:
    """Write a selection by constant indices; one index, or indices in a row, are a SLICE."""
    given = context.operand(node, 1)
    if not isinstance(given, Constant) or len(given.shape) > 1:
        write_gather_by_value(context, node)
        return
    value = context.value(node)
    axis = node.attributes.get_int("axis", 0) % value.rank
    size = value.shape[axis]
    if size is None and np.any(given.stored < 0):
        raise UnwritableError("selects from the end of a free dimension; fix it with --shape")
    indices = given.stored.astype(np.int64) % size if size is not None else given.stored.astype(np.int64)
    order = value.order
    integer = value.quantization is not None
    source = context.tensor(value, order, integer=integer)
    place = physical_axis(order, axis)
    flat = indices.reshape(-1)
    part_shape = tuple(len(flat) if i == place else s for i, s in enumerate(context.shape_of(source)))
    if len(flat) and np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat))):
        part = context.scratch(source, part_shape, f"{node.outputs[0].name}/part")
        ranges: list[_Range] = [(0, whole, 1) for whole in context.shape_of(source)]
        ranges[place] = (int(flat[0]), len(flat), 1)
        _add_slice(context, source, part, ranges)
    else:
        part = context.scratch(source, part_shape, f"{node.outputs[0].name}/part")
        table = context.integers(flat, f"{node.outputs[0].name}/indices")
        context.add("GATHER", [source, table], [part], "GatherOptions", axis=place, batchDims=0)
    shape = context.graph_shape(context.result_name(node))
    after = order
    if indices.ndim == 0:
        after = tuple(a - (a > axis) if a != UNIT else UNIT for a in order if a != axis)
        part = context.reshaped(part, physical_shape(shape, after), context.result_name(node))
    made = Value(
        name=context.result_name(node),
        shape=shape,
        dtype=value.dtype,
        quantization=value.quantization,
        tensors={(after, integer): part},
        non_negative=value.non_negative,
    )
    context.define(node, made)


def read_slice(context: ReadContext, operator: Operator) -> None:
    """Read SLICE; a size of -1 goes to the end."""
    if any(context.constant(operator.inputs[position]) is None for position in (1, 2)):
        _read_computed_slice(context, operator)
        return
    begins = [int(begin) for begin in context.known(operator, 1, "the begin").reshape(-1)]
    sizes = [int(size) for size in context.known(operator, 2, "the size").reshape(-1)]
    ends = [2**31 - 1 if size < 0 else begin + size for begin, size in zip(begins, sizes, strict=True)]
    _read_range(context, operator, begins, ends, [1] * len(begins))


def _read_computed_slice(context: ReadContext, operator: Operator) -> None:
    """Read SLICE whose places are computed: to `begin + size`, to the end where the size is negative."""
    name = context.name(operator.outputs[0])
    begin, size = (
        context.add("Cast", [context.source(operator.inputs[position])], to=onnx.TensorProto.INT64)
        for position in (1, 2)
    )
    to_end = context.add("Less", [size, context.integers(np.array(0), f"{name}/zero")])
    stop = context.add("Add", [begin, size])
    stop = context.add("Where", [to_end, context.integers(np.array(2**31 - 1), f"{name}/end"), stop])
    axes = context.integers(list(range(len(context.shape(operator.inputs[0])))), f"{name}/axes")
    context.finish(operator, context.add("Slice", [context.source(operator.inputs[0]), begin, stop, axes]))


def read_reverse(context: ReadContext, operator: Operator) -> None:
    """Read REVERSE_V2 as Slice by steps of -1."""
    rank = len(context.shape(operator.inputs[0]))
    axes = [int(axis) % rank for axis in context.known(operator, 1, "the axes").reshape(-1)]
    count = len(axes)
    _read_range(context, operator, [-1] * count, [-(2**31)] * count, [-1] * count, axes=axes)


def read_strided_slice(context: ReadContext, operator: Operator) -> None:
    """Read STRIDED_SLICE with masks for begin, end and axes that go away."""
    if operator.option("ellipsisMask") or operator.option("newAxisMask") or operator.option("offset", False):
        raise UnreadableError("STRIDED_SLICE with an ellipsis, new axes or offsets")
    begins, ends, steps = (
        [int(number) for number in context.known(operator, position, what).reshape(-1)]
        for position, what in ((1, "the begin"), (2, "the end"), (3, "the steps"))
    )
    begin_mask, end_mask, shrink = (operator.option(mask) for mask in ("beginMask", "endMask", "shrinkAxisMask"))
    for axis, step in enumerate(steps):
        if shrink >> axis & 1:
            ends[axis] = begins[axis] + 1 if begins[axis] != -1 else 2**31 - 1
            continue
        if begin_mask >> axis & 1:
            begins[axis] = 0 if step > 0 else 2**31 - 1
        if end_mask >> axis & 1:
            ends[axis] = 2**31 - 1 if step > 0 else -(2**31)
    source = context.constant(operator.inputs[0])
    gone = tuple(axis for axis in range(len(steps)) if shrink >> axis & 1)
    if source is not None:
        limits = [end if end > -(2**31) else None for end in ends]
        cut = source[tuple(slice(*limit) for limit in zip(begins, limits, steps, strict=True))]
        context.set_constant(operator.outputs[0], cut.squeeze(gone))
        return
    _read_range(context, operator, begins, ends, steps, gone)


def _read_range(
    context: ReadContext,
    operator: Operator,
    begins: list[int],
    ends: list[int],
    steps: list[int],
    gone: tuple[int, ...] = (),
    *,
    axes: list[int] | None = None,
) -> None:
    name, axes = context.name(operator.outputs[0]), list(range(len(begins))) if axes is None else axes
    tables = [
        context.integers(numbers, f"{name}/{label}")
        for label, numbers in (("starts", begins), ("ends", ends), ("axes", axes), ("steps", steps))
    ]
    made = context.add("Slice", [context.source(operator.inputs[0]), *tables])
    if gone:
        made = context.add("Squeeze", [made, context.integers(gone, f"{name}/gone")])
    context.finish(operator, made)


def read_split(context: ReadContext, operator: Operator) -> None:
    """Read SPLIT (inputs: axis, value) and SPLIT_V (value, sizes, axis)."""
    varied = operator.name == "SPLIT_V"
    value = operator.inputs[0 if varied else 1]
    axis = int(context.known(operator, 2 if varied else 0, "the axis").reshape(()))
    sizes = [context.shape(tensor)[axis] for tensor in operator.outputs]
    if any(size is None for size in sizes):
        raise UnreadableError("splits a free dimension")
    start = 0
    for position, size in enumerate(sizes):
        assert size is not None
        name = context.name(operator.outputs[position])
        tables = [
            context.integers([number], f"{name}/{label}")
            for label, number in (("start", start), ("end", start + size), ("axis", axis))
        ]
        context.finish(operator, context.add("Slice", [context.source(value), *tables]), position=position)
        start += size


def read_gather(context: ReadContext, operator: Operator) -> None:
    """Read GATHER without batch dimensions."""
    if operator.option("batchDims", 0):
        raise UnreadableError("GATHER with batch dimensions")
    names = [context.source(tensor) for tensor in operator.inputs]
    context.finish(operator, context.add("Gather", names, axis=int(operator.option("axis"))))
