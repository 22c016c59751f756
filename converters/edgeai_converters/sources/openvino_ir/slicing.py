"""Cutting out and padding: StridedSlice, Slice, Pad, Reverse, Roll."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError
from edgeai_converters.sources.openvino_ir.recurrent import all_equal

_END = np.iinfo(np.int64).max
_START = np.iinfo(np.int64).min + 1


def read_slice(context: ReadContext, operation: Operation) -> str:
    """`Slice(data, start, stop, step[, axes])`, as in ONNX but for the order."""
    start, stop, step = (context.int64(operation, position, rank=1) for position in (1, 2, 3))
    inputs = [context.source(operation, 0), start, stop]
    if operation.input_count > 4:
        return context.add("Slice", [*inputs, context.int64(operation, 4, rank=1), step])
    count = operation.shape(1)[0]
    if count is None:
        raise UnreadableError("an unknown number of axes")
    return context.add("Slice", [*inputs, context.integers(range(count), "axes"), step])


def read_strided_slice(context: ReadContext, operation: Operation) -> str:
    """`StridedSlice` → Slice, then Squeeze of single places and Unsqueeze of new axes."""
    count = operation.shape(1)[0]
    if count is None:
        raise UnreadableError("an unknown number of axes")
    masks = {name: _mask(operation, name, count) for name in ("begin", "end", "new_axis", "shrink_axis", "ellipsis")}
    strides = context.known_integers(operation, 3, "the strides") if operation.input_count > 3 else [1] * count
    begins, ends = context.constant(operation, 1), context.constant(operation, 2)
    places = _places(masks, operation.rank(0))
    if begins is None or ends is None:
        return _slice_at_run_time(context, operation, masks, strides)
    starts, stops, steps, axes = [], [], [], []
    for i, axis in places.items():
        step, begin, end = strides[i], int(begins[i]), int(ends[i])
        if masks["shrink_axis"][i]:
            starts.append(begin)
            stops.append(begin + 1 if begin != -1 else _END)
            step = 1
        else:
            starts.append(begin if not masks["begin"][i] else (0 if step > 0 else _END))
            stops.append(end if not masks["end"][i] else (_END if step > 0 else _START))
        if (starts[-1], stops[-1], step) == (0, _END, 1):
            starts.pop(), stops.pop()
            continue
        steps.append(step)
        axes.append(axis)
    value = context.source(operation, 0)
    if axes:
        value = context.add(
            "Slice", [value, *(context.integers(each, "places") for each in (starts, stops, axes, steps))]
        )
    return _change_axes(context, masks, places, value)


def _mask(operation: Operation, name: str, count: int) -> list[bool]:
    """Return a mask; a one in `begin_mask` and `end_mask` says that the number is not used."""
    given = [bool(value) for value in operation.integers(f"{name}_mask")]
    return (given + [False] * count)[:count]


def _places(masks: dict[str, list[bool]], rank: int) -> dict[int, int]:
    """Return for each entry that cuts the axis of the data that it cuts."""
    count = len(masks["begin"])
    cutting = [i for i in range(count) if not masks["new_axis"][i] and not masks["ellipsis"][i]]
    behind = 0
    if True in masks["ellipsis"]:
        first = masks["ellipsis"].index(True)
        behind = len([i for i in cutting if i > first])
    ahead = len(cutting) - behind
    return {i: n if n < ahead else rank - len(cutting) + n for n, i in enumerate(cutting)}


def _change_axes(context: ReadContext, masks: dict[str, list[bool]], places: dict[int, int], value: str) -> str:
    gone = [axis for i, axis in places.items() if masks["shrink_axis"][i]]
    if gone:
        value = context.add("Squeeze", [value, context.integers(gone, "axes")])
    fresh = [i for i, new in enumerate(masks["new_axis"]) if new]
    if not fresh:
        return value
    if True in masks["ellipsis"] and masks["ellipsis"].index(True) < max(fresh):
        raise UnreadableError("new axes after an ellipsis")
    shrunk = [sum(masks["shrink_axis"][j] for j in range(i) if not masks["new_axis"][j]) for i in fresh]
    axes = [i - less for i, less in zip(fresh, shrunk, strict=True)]
    return context.add("Unsqueeze", [value, context.integers(axes, "axes")])


def _slice_at_run_time(
    context: ReadContext, operation: Operation, masks: dict[str, list[bool]], strides: list[int]
) -> str:
    if any(masks["new_axis"]) or any(masks["ellipsis"]):
        raise UnreadableError("new axes or an ellipsis with places that are computed")
    shrink = masks["shrink_axis"]
    begin, end = context.int64(operation, 1), context.int64(operation, 2)
    ups = np.array([stride > 0 for stride in strides])
    begin = _where(context, np.array(masks["begin"]) & ~np.array(shrink), np.where(ups, 0, _END), begin)
    end = _where(context, np.array(masks["end"]), np.where(ups, _END, _START), end)
    if any(shrink):
        after = context.add("Add", [begin, context.integers([1])])
        last = context.add("Equal", [begin, context.integers([-1])])
        after = context.add("Where", [last, context.integers([_END]), after])
        end = context.add("Where", [context.add_constant(np.array(shrink), "shrink"), after, end])
    steps = [1 if single else stride for single, stride in zip(shrink, strides, strict=True)]
    axes = context.integers(range(len(steps)), "axes")
    inputs = [context.source(operation, 0), begin, end, axes, context.integers(steps, "steps")]
    return _change_axes(context, masks, {i: i for i in range(len(steps))}, context.add("Slice", inputs))


def _where(context: ReadContext, mask: Any, chosen: Any, other: str) -> str:
    if not mask.any():
        return other
    return context.add("Where", [context.add_constant(mask, "mask"), context.integers(chosen), other])


def read_pad(context: ReadContext, operation: Operation) -> str:
    """`Pad`: constant, edge or reflect."""
    mode = str(operation.attribute("pad_mode")).lower()
    if mode not in ("constant", "edge", "reflect"):
        raise UnreadableError(f"padding of the kind {mode!r}")
    begins, ends = context.constant(operation, 1), context.constant(operation, 2)
    if begins is not None and ends is not None:
        pads = context.integers(np.concatenate([begins.reshape(-1), ends.reshape(-1)]), f"{operation.name}/pads")
    else:
        pads = context.add("Concat", [context.int64(operation, 1, rank=1), context.int64(operation, 2, rank=1)], axis=0)
    inputs = [context.source(operation, 0), pads]
    if mode == "constant" and operation.input_count > 3:
        fill = context.constant(operation, 3)
        if fill is not None:
            inputs.append(context.number(fill.reshape(()).item(), fill.dtype))
        else:
            inputs.append(context.add("Reshape", [context.source(operation, 3), context.integers([], "scalar")]))
    return context.add("Pad", inputs, mode=mode)


def read_reverse(context: ReadContext, operation: Operation) -> str:
    """`Reverse` along axes → Slice by steps of -1."""
    chosen = context.known(operation, 1, "the axes")
    axes = np.flatnonzero(chosen) if str(operation.attribute("mode")).lower() == "mask" else chosen.reshape(-1)
    count = len(axes)
    places = [context.integers(each, "places") for each in ([_END] * count, [_START] * count, axes, [-1] * count)]
    return context.add("Slice", [context.source(operation, 0), *places])


def read_roll(context: ReadContext, operation: Operation) -> str:
    """`Roll` → the last part in front of the first, per axis."""
    shifts = context.known_integers(operation, 1, "the shifts")
    axes = context.known_integers(operation, 2, "the axes")
    value, shape = context.source(operation, 0), operation.shape(0)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    for shift, axis in zip(shifts, axes, strict=True):
        size = shape[axis]
        if size is None:
            raise UnreadableError("an axis of free size")
        if shift % size == 0:
            continue
        cut = size - shift % size
        halves = [
            context.add("Slice", [value, *(context.integers([n]) for n in ends), context.integers([axis])])
            for ends in ((cut, _END), (0, cut))
        ]
        value = context.add("Concat", halves, axis=axis)
    return context.add("Identity", [value])


def read_reverse_sequence(context: ReadContext, operation: Operation) -> str:
    """`ReverseSequence` → ReverseSequence with batch and time in front; of whole sequences, Slice by a step of -1."""
    rank = operation.rank(0)
    batch, time = int(operation.attribute("batch_axis", 0)) % rank, int(operation.attribute("seq_axis", 1)) % rank
    if all_equal(context, operation.feeder(1), operation.shape(0)[time]):
        places = [context.integers([each], "places") for each in (_END, _START, time, -1)]
        return context.add("Slice", [context.source(operation, 0), *places])
    order = [batch, time, *(axis for axis in range(rank) if axis not in (batch, time))]
    value = context.transpose(context.source(operation, 0), order)
    value = context.add("ReverseSequence", [value, context.int64(operation, 1)], batch_axis=0, time_axis=1)
    return context.transpose(value, [order.index(axis) for axis in range(rank)])
