"""Pooling windows: MaxPool ↔ MAX_POOL_2D, AveragePool ↔ AVERAGE_POOL_2D; global pools ↔ MEAN, REDUCE_MAX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.conv import PADDING_CODES, read_padding
from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS
from edgeai_converters.emit.tflite.layout import Permutation, channels_last
from edgeai_converters.emit.tflite.padding import Padding, onnx_amounts, resolve_padding
from edgeai_converters.emit.tflite.quantization import Array, Quantization
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


@dataclass(frozen=True, kw_only=True)
class _Window:
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    outputs: tuple[int | None, ...]
    padding: Padding

    @property
    def fields(self) -> dict[str, object]:
        two = len(self.kernel) == 2
        return {
            "padding": PADDING_CODES[self.padding.mode],
            "strideH": self.strides[0] if two else 1,
            "strideW": self.strides[-1],
            "filterHeight": self.kernel[0] if two else 1,
            "filterWidth": self.kernel[-1],
        }

    def amounts(self) -> list[tuple[int, int]]:
        """The explicit padding per physical axis (N, H, W, C)."""
        return [(0, 0), *(((0, 0),) if len(self.kernel) == 1 else ()), *self.padding.before, (0, 0)]


def _window(context: WriteContext, node: ir.Node, value: Value) -> _Window:
    kernel = tuple(int(k) for k in node.attributes.get_ints("kernel_shape"))
    if len(kernel) not in (1, 2):
        raise UnwritableError(f"{len(kernel)}-D pooling; only 1-D and 2-D have a kernel")
    if any(d != 1 for d in node.attributes.get_ints("dilations", [])):
        raise UnwritableError("dilated pooling")
    strides = tuple(int(s) for s in node.attributes.get_ints("strides", [1] * len(kernel)))
    given = [int(p) for p in node.attributes.get_ints("pads", [])]
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    sizes = value.shape[2:]
    outputs = context.graph_shape(node.outputs[0].name or "")[2:]
    try:
        pads = tuple(
            onnx_amounts(auto_pad, given, size, extent, stride, axis)
            for axis, (size, extent, stride) in enumerate(zip(sizes, kernel, strides, strict=True))
        )
    except ValueError as error:
        raise UnwritableError(str(error)) from error
    padding = resolve_padding(sizes, outputs, pads, kernel, strides)
    return _Window(kernel=kernel, strides=strides, pads=pads, outputs=outputs, padding=padding)


def write_max_pool(context: WriteContext, node: ir.Node) -> None:
    """Write MAX_POOL_2D; on int8 values it keeps their quantization."""
    value = context.value(node)
    if len(node.outputs) > 1 and context.folding.readers.get(node.outputs[1].name or ""):
        raise UnwritableError("the indices of MaxPool are used")
    window = _window(context, node, value)
    integer = value.quantization is not None
    order = channels_last(value.rank)
    source = context.tensor(value, order, integer=integer)
    if window.padding.explicit:
        if value.non_negative:
            source = context.padded(source, window.amounts(), value.name)
        else:
            source = _padded_with_lowest(context, source, window.amounts(), value)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    fused = FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0)
    context.add("MAX_POOL_2D", [source], [result], "Pool2DOptions", **window.fields, fusedActivationFunction=fused)


def _padded_with_lowest(context: WriteContext, source: int, amounts: list[tuple[int, int]], value: Value) -> int:
    shape = tuple(
        None if size is None else size + begin + end
        for size, (begin, end) in zip(context.shape_of(source), amounts, strict=True)
    )
    result = context.scratch(source, shape, f"{value.name}/padded")
    table = context.integers(np.array(amounts, np.int32), f"{value.name}/paddings")
    if value.quantization is not None:
        dtype = value.quantization.dtype
        number = np.array([np.iinfo(dtype).min], dtype)
        lowest = context.file.add_constant(number, f"{value.name}/lowest", value.quantization)
    else:
        lowest = context.file.add_constant(np.array([np.finfo(np.float32).min], np.float32), f"{value.name}/lowest")
    context.add("PADV2", [source, table, lowest], [result], "PadV2Options")
    return result


def write_average_pool(context: WriteContext, node: ir.Node) -> None:
    """Write an average pool; where TFLite divides by another count than the graph, a constant map corrects it.

    In integers, XNNPACK has no AVERAGE_POOL_2D: a depthwise convolution with equal weights does the same work, and a
    window over the whole map is a MEAN. A pool whose windows hang over the edge stays in float.
    """
    value = context.value(node)
    window = _window(context, node, value)
    order = channels_last(value.rank)
    correction = _correction(value, window, bool(node.attributes.get_int("count_include_pad", 0)))
    output = None if correction is not None else context.integer_output(node, value)
    if output is not None and (
        (output.dtype == "int8" and window.padding.mode == "SAME")
        or (output.dtype == "int16" and not output.same_as(value.quantization))  # the kernel keeps the scale
    ):
        output = None
    source = context.tensor(value, order, integer=output is not None)
    if window.kernel == value.shape[2:] and not any(p for pair in window.pads for p in pair):
        _write_whole_mean(context, node, source, order, output)
        return
    source = context.padded(source, window.amounts(), value.name)
    if output is not None and output.dtype == "int8":
        _write_int8_average(context, node, source, order, output, window)
        return
    pooled = result = context.result(node, order, output, non_negative=value.non_negative)
    if correction is not None:
        pooled = context.scratch(result, context.shape_of(result), f"{value.name}/pooled")
    context.add("AVERAGE_POOL_2D", [source], [pooled], "Pool2DOptions", **window.fields, fusedActivationFunction=0)
    if correction is not None:
        factor = context.file.add_constant(correction, f"{value.name}/count")
        context.add("MUL", [pooled, factor], [result], "MulOptions", fusedActivationFunction=0)


def _correction(value: Value, window: _Window, include_pad: bool) -> Array | None:
    """Return what a TFLite average must be multiplied with, `[1, H, W, 1]`, or `None` when it is right already.

    The graph divides by the places of the window inside the map, or inside the padded map with `count_include_pad`.
    """
    sizes = value.shape[2:]
    if any(size is None for size in [*sizes, *window.outputs]):
        if window.padding.mode == "VALID" and not window.padding.explicit:
            return None
        raise UnwritableError("padded average pool on a free dimension")
    same = window.padding.mode == "SAME"
    factors = []
    for axis, size in enumerate(sizes):
        output, (begin, end) = window.outputs[axis], window.pads[axis]
        assert size is not None
        assert output is not None
        starts = np.arange(output) * window.strides[axis] - begin
        ends = starts + window.kernel[axis]
        inside = np.minimum(ends, size) - np.maximum(starts, 0)
        wanted = np.minimum(ends, size + end) - np.maximum(starts, -begin) if include_pad else inside
        given = inside if same else np.full(output, window.kernel[axis])
        factors.append(given / wanted)
    full = np.array(factors[0])[:, None] * (np.array(factors[1]) if len(factors) == 2 else np.ones(1))[None, :]
    full = full if len(factors) == 2 else full.T
    return None if np.allclose(full, 1.0, rtol=0, atol=1e-12) else full[None, :, :, None].astype(np.float32)


def _write_whole_mean(
    context: WriteContext, node: ir.Node, source: int, order: Permutation, output: Quantization | None
) -> None:
    result = context.result(node, order, output)
    axes = context.integers([1, 2], f"{node.outputs[0].name}/axes")
    context.add("MEAN", [source, axes], [result], "ReducerOptions", keepDims=True)


def _write_int8_average(
    context: WriteContext, node: ir.Node, source: int, order: Permutation, output: Quantization, window: _Window
) -> None:
    channels = context.shape_of(source)[3]
    if channels is None:
        raise UnwritableError("the number of channels is free")
    height, width = (1, *window.kernel) if len(window.kernel) == 1 else window.kernel
    activation = context.file.tensors[source].quantization
    assert activation is not None
    scale = np.float32(1.0 / (height * width * 127))
    weight_quantization = Quantization(scale=np.array([scale]), zero_point=np.zeros(1, np.int64))
    name = f"{node.outputs[0].name}/average"
    weight = context.file.add_constant(np.full((1, height, width, channels), 127, np.int8), name, weight_quantization)
    bias = context.file.add_constant(
        np.zeros(channels, np.int32),
        f"{name}/bias",
        Quantization(scale=activation.scale * scale, zero_point=np.zeros(1, np.int64)),
    )
    result = context.result(node, order, output)
    context.add(
        "DEPTHWISE_CONV_2D",
        [source, weight, bias],
        [result],
        "DepthwiseConv2DOptions",
        padding=PADDING_CODES["VALID"],
        strideH=window.fields["strideH"],
        strideW=window.fields["strideW"],
        depthMultiplier=1,
    )


def write_global_average_pool(context: WriteContext, node: ir.Node) -> None:
    """Write MEAN over all spatial axes."""
    value = context.value(node)
    output = context.integer_output(node, value)
    order = value.order
    source = context.tensor(value, order, integer=output is not None)
    result = context.result(node, order, output, non_negative=value.non_negative)
    axes = context.integers(_spatial_axes(order), f"{value.name}/axes")
    context.add("MEAN", [source, axes], [result], "ReducerOptions", keepDims=True)


def write_global_max_pool(context: WriteContext, node: ir.Node) -> None:
    """Write REDUCE_MAX over all spatial axes; on int8 values it keeps their quantization."""
    value = context.value(node)
    order = value.order
    source = context.tensor(value, order, integer=value.quantization is not None)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    axes = context.integers(_spatial_axes(order), f"{value.name}/axes")
    context.add("REDUCE_MAX", [source, axes], [result], "ReducerOptions", keepDims=True)


def _spatial_axes(order: Permutation) -> list[int]:
    return [position for position, axis in enumerate(order) if axis not in (0, 1)]


def read_pool(context: ReadContext, operator: Operator) -> None:
    """Read MAX_POOL_2D and AVERAGE_POOL_2D; the average leaves padded places out, as ONNX does by default."""
    kernel = [operator.option("filterHeight"), operator.option("filterWidth")]
    strides = [operator.option("strideH", 1), operator.option("strideW", 1)]
    made = context.add(
        "MaxPool" if operator.name == "MAX_POOL_2D" else "AveragePool",
        [context.channels_first(operator.inputs[0])],
        kernel_shape=kernel,
        strides=strides,
        **read_padding(context, operator, kernel, strides),
    )
    context.finish(operator, made, channels_last=True)
