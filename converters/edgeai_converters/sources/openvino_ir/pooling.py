"""Pools over windows and over whole maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, Shape, UnreadableError
from edgeai_converters.sources.openvino_ir.windows import Windows, windows_of


def read_max_pool(context: ReadContext, operation: Operation) -> list[str]:
    """`MaxPool` → MaxPool; the second output is a place in the whole value, as in ONNX."""
    attributes = _attributes(operation)
    source = [context.source(operation, 0)]
    if operation.output_count == 1 or not operation.is_used(1):
        return context.add_many("MaxPool", source, 1, **attributes)
    if int(operation.attribute("axis", 0)) != 0:
        raise UnreadableError("places counted from another axis than the first")
    value, places = context.add_many("MaxPool", source, 2, **attributes)
    return [value, context.cast(places, operation.output_dtype(1))]


def read_avg_pool(context: ReadContext, operation: Operation) -> str:
    """`AvgPool` → AveragePool, with or without the padding in the mean.

    Where padding counts, a window that reaches beyond it (rounding up) is divided by its full size all the same; where
    there is no padding at all, by what it covers.
    """
    counts = not operation.attribute("exclude-pad", True)
    attributes = _attributes(operation, padding_counts=counts)
    if any(step != 1 for step in attributes.pop("dilations")):
        raise UnreadableError("dilation")
    return context.add("AveragePool", [context.source(operation, 0)], **attributes)


def _attributes(operation: Operation, *, padding_counts: bool | None = None) -> dict[str, Any]:
    """Return kernel, steps and padding; rounding up becomes padding behind, with free sizes ONNX's `ceil_mode`."""
    kernel, sizes = operation.integers("kernel"), operation.shape(0)[2:]
    windows = windows_of(operation, kernel, sizes)
    counts = bool(padding_counts) and (any(windows.begins) or any(windows.ends) or bool(windows.auto_pad))
    more: dict[str, Any] = {} if padding_counts is None else {"count_include_pad": int(counts)}
    ceil = str(operation.attribute("rounding_type", "floor")).lower() != "floor"
    if ceil and not windows.auto_pad:
        ends = _reached_ends(windows, sizes, operation.output_shape()[2:])
        if ends is not None:
            windows = replace(windows, ends=ends)
        elif counts:
            raise UnreadableError("a mean over padding, rounded up, of a map of free size")
        else:
            more["ceil_mode"] = 1
    return {"kernel_shape": kernel, **windows.attributes, **more}


def _reached_ends(windows: Windows, sizes: Shape, results: Shape) -> tuple[int, ...] | None:
    """Return the padding behind that the windows reach; `None` when a size is free."""
    ends = []
    for i, (size, result) in enumerate(zip(sizes, results, strict=True)):
        if size is None or result is None:
            return None
        reach = (windows.kernel[i] - 1) * windows.dilations[i] + 1
        end = max((result - 1) * windows.strides[i] + reach - size - windows.begins[i], 0)
        if end >= reach:
            raise UnreadableError("a window that lies in the padding alone")
        ends.append(end)
    return tuple(ends)


def read_adaptive_pool(context: ReadContext, operation: Operation) -> list[str]:
    """`AdaptiveAvgPool`, `AdaptiveMaxPool` → a reduction or a pool, where the result's size divides the input's."""
    mean = operation.type == "AdaptiveAvgPool"
    if operation.output_count > 1 and operation.is_used(1):
        raise UnreadableError("the places of the largest values")
    wanted = context.known_integers(operation, 1, "the size of the result")
    source, sizes = context.source(operation, 0), operation.shape(0)[2:]
    if all(size == 1 for size in wanted):
        axes = context.integers(range(2, 2 + len(wanted)), f"{operation.name}/axes")
        return [context.add("ReduceMean" if mean else "ReduceMax", [source, axes], keepdims=1)]
    if any(size is None or size % result for size, result in zip(sizes, wanted, strict=True)):
        raise UnreadableError(f"maps of size {list(sizes)} do not divide into {wanted}")
    kernel = [(size or 1) // result for size, result in zip(sizes, wanted, strict=True)]
    return [context.add("AveragePool" if mean else "MaxPool", [source], kernel_shape=kernel, strides=kernel)]
