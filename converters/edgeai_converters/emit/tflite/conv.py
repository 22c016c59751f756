"""Convolutions: Conv ↔ CONV_2D, DEPTHWISE_CONV_2D; ConvTranspose ↔ TRANSPOSE_CONV."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS, Constant
from edgeai_converters.emit.tflite.layout import channels_last
from edgeai_converters.emit.tflite.padding import onnx_amounts, resolve_padding, same_amounts
from edgeai_converters.emit.tflite.quantization import (
    Array,
    Quantization,
    bias_scale,
    is_bias_scale,
    quantize_bias,
)
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext

PADDING_CODES = {"SAME": 0, "VALID": 1}


def write_conv(context: WriteContext, node: ir.Node) -> None:
    """Write a 1-D or 2-D convolution; a 1-D one works on a height of 1."""
    value, weight = context.value(node), context.constant(node, 1, "the weights")
    bias = context.optional_constant(node, 2, "the bias")
    kernel_shape = weight.shape[2:]
    if len(kernel_shape) not in (1, 2):
        raise UnwritableError(f"{len(kernel_shape)}-D convolution; only 1-D and 2-D have a kernel")
    dimensions = len(kernel_shape)
    strides = [int(s) for s in node.attributes.get_ints("strides", [1] * dimensions)]
    dilations = [int(d) for d in node.attributes.get_ints("dilations", [1] * dimensions)]
    group = node.attributes.get_int("group", 1)
    channels, outputs = value.shape[1], weight.shape[0]
    if channels is None:
        raise UnwritableError("the number of input channels is free")

    output = context.integer_output(node, value) if weight.quantization is not None else None
    integer = output is not None
    order = channels_last(value.rank)
    source = context.tensor(value, order, integer=integer)
    source, mode = _padded_source(context, node, value, source, kernel_shape, strides, dilations)
    depthwise = group == channels and group > 1
    array, axis = _kernel_layout(weight.stored, depthwise)
    weight_tensor, weight_quantization = _weight_tensor(context, weight, array, axis, integer, plain=group == 1)
    bias_tensor = write_bias(context, node, bias, outputs, value.quantization if integer else None, weight_quantization)

    fields: dict[str, object] = {
        "padding": PADDING_CODES[mode],
        "strideH": strides[0] if dimensions == 2 else 1,
        "strideW": strides[-1],
        "dilationHFactor": dilations[0] if dimensions == 2 else 1,
        "dilationWFactor": dilations[-1],
        "fusedActivationFunction": FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0),
    }
    if depthwise:
        fields["depthMultiplier"] = outputs // group
    result = context.result(node, order, output)
    if depthwise:
        context.add(
            "DEPTHWISE_CONV_2D", [source, weight_tensor, bias_tensor], [result], "DepthwiseConv2DOptions", **fields
        )
    else:
        context.add("CONV_2D", [source, weight_tensor, bias_tensor], [result], "Conv2DOptions", **fields)


def _padded_source(
    context: WriteContext,
    node: ir.Node,
    value: Value,
    source: int,
    kernel_shape: tuple[int, ...],
    strides: list[int],
    dilations: list[int],
) -> tuple[int, str]:
    extents = [(kernel - 1) * dilation + 1 for kernel, dilation in zip(kernel_shape, dilations, strict=True)]
    sizes = value.shape[2:]
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    pads = [int(p) for p in node.attributes.get_ints("pads", [])]
    try:
        amounts = [
            onnx_amounts(auto_pad, pads, size, extent, stride, axis)
            for axis, (size, extent, stride) in enumerate(zip(sizes, extents, strides, strict=True))
        ]
    except ValueError as error:
        raise UnwritableError(str(error)) from error
    outputs = context.graph_shape(node.outputs[0].name or "")[2:]
    padding = resolve_padding(sizes, outputs, amounts, extents, strides)
    if padding.explicit:
        height = ((0, 0),) if len(sizes) == 1 else ()
        source = context.padded(source, [(0, 0), *height, *padding.before, (0, 0)], value.name)
    return source, padding.mode


def _kernel_layout(weight: Array, depthwise: bool) -> tuple[Array, int]:
    """Return weights `[O, I, (kH,) kW]` as TFLite lays them, and the axis of the output channels."""
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    if depthwise:
        return weight[:, 0].transpose(1, 2, 0)[None], 3
    return weight.transpose(0, 2, 3, 1), 0


def _weight_tensor(
    context: WriteContext, weight: Constant, array: Array, axis: int, integer: bool, *, plain: bool
) -> tuple[int, Quantization | None]:
    """Return the weights' tensor and, when it holds integers, their quantization with the axis in TFLite's layout."""
    stored = weight.quantization
    if stored is None:
        return context.weights(weight, array), None
    if np.any(stored.zero_point):
        if integer:
            raise UnwritableError("int8 weights must be symmetric (zero point 0)")
        return context.file.add_constant(_real(weight, array, axis), weight.name), None
    if stored.axis not in (None, 0):
        raise UnwritableError(f"weights are quantized along axis {stored.axis}, not along the output channels")
    laid = Quantization(scale=stored.scale, zero_point=stored.zero_point, axis=None if stored.axis is None else axis)
    tensor = context.file.add_constant(array, weight.name, laid)
    if integer or plain:
        return tensor, laid
    return context.dequantized(tensor, f"{weight.name}/float"), None


def _real(weight: Constant, array: Array, axis: int) -> Array:
    assert weight.quantization is not None
    shape = [1] * array.ndim
    if weight.quantization.axis is not None:
        shape[axis] = -1
    scale, point = weight.quantization.scale.reshape(shape), weight.quantization.zero_point.reshape(shape)
    return ((array - point) * scale).astype(np.float32)


def write_bias(
    context: WriteContext,
    node: ir.Node,
    bias: Constant | None,
    outputs: int,
    activation: Quantization | None,
    weight: Quantization | None,
) -> int:
    """Return the tensor of a bias: float, or integers of scale activation × weight when `activation` is given.

    A missing bias becomes zeros, which every convolution kernel asks for.
    """
    name = bias.name if bias is not None else f"{node.outputs[0].name}/bias"
    real = np.zeros(outputs, np.float32) if bias is None else np.broadcast_to(bias.real.reshape(-1), outputs)
    if activation is None:
        if bias is not None and bias.quantization is None and real.shape == bias.shape:
            return context.weights(bias, real)
        return context.file.add_constant(real, name)
    assert weight is not None
    scale = np.broadcast_to(bias_scale(activation, weight), weight.scale.shape)
    wide = activation.dtype == "int16"
    axis = 0 if len(scale) > 1 else None
    quantization = Quantization(scale=scale, zero_point=np.zeros(len(scale), np.int64), axis=axis)
    if bias is not None and bias.quantization is not None and bias.stored.dtype == np.int32 and not wide:
        if not is_bias_scale(bias.quantization.scale, scale):
            raise UnwritableError(
                f"bias {bias.name!r} has scale {bias.quantization.scale.reshape(-1)[0]:.6g}, "
                f"not activation × weight = {scale.reshape(-1)[0]:.6g}"
            )
        return context.file.add_constant(bias.stored.reshape(-1), name, quantization)
    return context.file.add_constant(quantize_bias(real, scale, activation.dtype), name, quantization)


def read_conv(context: ReadContext, operator: Operator) -> None:
    """Read CONV_2D as Conv; groups show in the number of the filter's input channels."""
    weight = context.known(operator, 1, "the weights")
    channels = context.shape(operator.inputs[0])[3]
    group = 1 if channels is None else channels // weight.shape[3]
    _read_windowed(context, operator, weight.transpose(0, 3, 1, 2), group)


def read_depthwise_conv(context: ReadContext, operator: Operator) -> None:
    """Read DEPTHWISE_CONV_2D as Conv with a group per input channel."""
    weight = context.known(operator, 1, "the weights")
    channels = context.shape(operator.inputs[0])[3]
    if channels is None:
        raise UnreadableError("the number of channels is free")
    _read_windowed(context, operator, weight[0].transpose(2, 0, 1)[:, None], channels)


def _read_windowed(context: ReadContext, operator: Operator, weight: Array, group: int) -> None:
    kernel = weight.shape[2:]
    dilations = [operator.option("dilationHFactor", 1) or 1, operator.option("dilationWFactor", 1) or 1]
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    strides = [operator.option("strideH", 1), operator.option("strideW", 1)]
    name = context.name(operator.outputs[0])
    inputs = [context.channels_first(operator.inputs[0]), context.add_constant(weight, f"{name}/weight")]
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        inputs.append(context.source(operator.inputs[2]))
    made = context.add(
        "Conv",
        inputs,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **read_padding(context, operator, extents, strides),
    )
    context.finish(operator, made, channels_last=True)


def read_padding(context: ReadContext, operator: Operator, extents: list[int], strides: list[int]) -> dict[str, Any]:
    """Return the ONNX attributes of SAME or VALID: `pads` where sizes or a stride of 1 tell them, else `auto_pad`."""
    if operator.option("padding") == PADDING_CODES["VALID"]:
        return {"pads": [0, 0, 0, 0]}
    pairs = []
    for size, extent, stride in zip(context.shape(operator.inputs[0])[1:3], extents, strides, strict=True):
        if size is None and stride > 1:
            return {"auto_pad": "SAME_UPPER"}
        pairs.append(same_amounts(extent if size is None else size, extent, stride))
    return {"pads": [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]]}
