"""Convolutions, plain, grouped and transposed."""

from __future__ import annotations

from typing import Any

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, Shape, UnreadableError
from edgeai_converters.sources.openvino_ir.windows import windows_of


def read_convolution(context: ReadContext, operation: Operation) -> str:
    """`Convolution` → Conv; the weights have ONNX's order `[O, I, …]`."""
    kernel = _sizes(operation.shape(1)[2:])
    windows = windows_of(operation, kernel, operation.shape(0)[2:])
    return context.add("Conv", context.sources(operation)[:2], kernel_shape=kernel, **windows.attributes)


def read_group_convolution(context: ReadContext, operation: Operation) -> str:
    """`GroupConvolution` → Conv: weights `[G, O, I, …]` become `[G · O, I, …]`."""
    groups, outputs, *rest = _sizes(operation.shape(1))
    kernel = rest[1:]
    windows = windows_of(operation, kernel, operation.shape(0)[2:])
    weights = _merged(context, operation, (groups * outputs, *rest))
    inputs = [context.source(operation, 0), weights]
    return context.add("Conv", inputs, kernel_shape=kernel, group=groups, **windows.attributes)


def read_transposed(context: ReadContext, operation: Operation) -> str:
    """`ConvolutionBackpropData`, `GroupConvolutionBackpropData` → ConvTranspose: weights `[G · I, O, …]`."""
    shape = _sizes(operation.shape(1))
    groups = 1
    weights = context.source(operation, 1)
    if operation.type.startswith("Group"):
        groups, *shape = shape
        shape[0] *= groups
        weights = _merged(context, operation, tuple(shape))
    kernel = shape[2:]
    attributes = _transposed_padding(operation, kernel)
    inputs = [context.source(operation, 0), weights]
    return context.add("ConvTranspose", inputs, kernel_shape=kernel, group=groups, **attributes)


def _transposed_padding(operation: Operation, kernel: list[int]) -> dict[str, Any]:
    rank = len(kernel)
    strides = operation.integers("strides") or [1] * rank
    dilations = operation.integers("dilations") or [1] * rank
    begins = operation.integers("pads_begin") or [0] * rank
    ends = operation.integers("pads_end") or [0] * rank
    extra = operation.integers("output_padding") or [0] * rank
    mode = str(operation.attribute("auto_pad", "explicit")).lower()
    if mode == "valid":
        begins, ends = [0] * rank, [0] * rank
    if mode.startswith("same") or operation.input_count > 2:
        sizes, wanted = operation.shape(0)[2:], operation.output_shape()[2:]
        for i, (size, result) in enumerate(zip(sizes, wanted, strict=True)):
            if size is None or result is None:
                raise UnreadableError("the size of the result is stated, and the size of the input is free")
            full = strides[i] * (size - 1) + (kernel[i] - 1) * dilations[i] + 1
            total = full + extra[i] - result
            if not mode.startswith("same"):
                total -= begins[i] + ends[i]
                extra[i] -= total
                continue
            extra[i] += max(-total, 0)
            small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            begins[i], ends[i] = (large, small) if mode == "same_upper" else (small, large)
    if min(extra) < 0:
        ends = [end - min(more, 0) for end, more in zip(ends, extra, strict=True)]
        extra = [max(more, 0) for more in extra]
    return {
        "strides": strides,
        "dilations": dilations,
        "pads": [*begins, *ends],
        "output_padding": extra,
    }


def _merged(context: ReadContext, operation: Operation, shape: tuple[int, ...]) -> str:
    weights = context.constant(operation, 1)
    if weights is not None:
        return context.add_constant(weights.reshape(shape), f"{operation.name}/weights")
    return context.reshape(context.source(operation, 1), shape)


def _sizes(shape: Shape) -> list[int]:
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        raise UnreadableError("weights of a free size")
    return sizes
