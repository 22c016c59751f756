"""Transposed convolutions: ConvTranspose ↔ TRANSPOSE_CONV."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.conv import PADDING_CODES, write_bias
from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS, Constant
from edgeai_converters.emit.tflite.layout import Permutation, Shape, channels_last
from edgeai_converters.emit.tflite.padding import same_amounts
from edgeai_converters.emit.tflite.quantization import Quantization
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


def write_conv_transpose(context: WriteContext, node: ir.Node) -> None:
    """Write a transposed convolution of one group.

    TFLite knows SAME and VALID only: other paddings are computed whole (VALID) and cut, other output sizes padded.
    The kernel takes its output's shape as a tensor, which is computed when the batch is free.
    """
    value, weight = context.value(node), context.constant(node, 1, "the weights")
    bias = context.optional_constant(node, 2, "the bias")
    dimensions = len(weight.shape) - 2
    if dimensions not in (1, 2):
        raise UnwritableError(f"{dimensions}-D transposed convolution; only 1-D and 2-D have a kernel")
    if node.attributes.get_int("group", 1) != 1:
        raise UnwritableError("transposed convolution in groups")
    if any(d != 1 for d in node.attributes.get_ints("dilations", [])):
        raise UnwritableError("dilated transposed convolution")
    strides = [int(s) for s in node.attributes.get_ints("strides", [1] * dimensions)]
    kernel = weight.shape[2:]
    sizes, wanted = value.shape[2:], context.graph_shape(node.outputs[0].name or "")[2:]
    if None in sizes or None in wanted:
        raise UnwritableError("transposed convolution of a free dimension; fix the input shapes")
    full = [(size or 0) * stride - stride + extent for size, stride, extent in zip(sizes, strides, kernel, strict=True)]
    begins = _begins(node, full, wanted)

    output = context.integer_output(node, value) if weight.quantization is not None else None
    integer = output is not None
    order = channels_last(value.rank)
    source = context.tensor(value, order, integer=integer)
    tensor, quantization = _weights(context, weight, integer)
    activation = value.quantization if integer else None
    outputs = weight.shape[1]
    bias_tensor = write_bias(context, node, bias, outputs, activation, quantization)
    result = context.result(node, order, output)
    same = all(
        -(-(new or 0) // stride) == size and same_amounts(new or 0, extent, stride)[0] == begin and new <= whole
        for new, stride, size, extent, begin, whole in zip(wanted, strides, sizes, kernel, begins, full, strict=True)
        if new is not None
    )
    computed = tuple(wanted) if same else tuple(full)
    target = result
    if computed != wanted:
        shape = context.shape_of(result)
        inner = (shape[0], *((1,) if dimensions == 1 else ()), *computed, shape[3])
        target = context.scratch(result, inner, f"{value.name}/whole")
    context.add(
        "TRANSPOSE_CONV",
        [_output_shape(context, source, target), tensor, source, bias_tensor],
        [target],
        "TransposeConvOptions",
        padding=PADDING_CODES["SAME" if same else "VALID"],
        strideH=strides[0] if dimensions == 2 else 1,
        strideW=strides[-1],
        fusedActivationFunction=FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0),
    )
    if target != result:
        _cut(context, value, target, result, begins)


def _begins(node: ir.Node, full: list[int], wanted: Shape) -> list[int]:
    """Return how much is cut off at the beginning of each axis."""
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    if auto_pad == "NOTSET" and not node.attributes.get_ints("output_shape", []):
        pads = [int(p) for p in node.attributes.get_ints("pads", [0] * (2 * len(full)))]
        return pads[: len(full)]
    if auto_pad == "VALID":
        return [0] * len(full)
    total = [max(whole - (new or 0), 0) for whole, new in zip(full, wanted, strict=True)]
    return [amount // 2 if auto_pad == "SAME_UPPER" else amount - amount // 2 for amount in total]


def _weights(context: WriteContext, weight: Constant, integer: bool) -> tuple[int, Quantization | None]:
    """Return weights `[I, O, (kH,) kW]` as OHWI and, in integers, their quantization along O."""
    if not integer:
        array = weight.real if weight.real.ndim == 4 else weight.real[:, :, None, :]
        stored = Constant(name=weight.name, stored=weight.stored if weight.quantization is None else weight.real)
        return context.weights(stored, array.transpose(1, 2, 3, 0)), None
    given = weight.quantization
    assert given is not None
    if given.axis not in (None, 1) or np.any(given.zero_point):
        raise UnwritableError("int8 weights must be symmetric, per tensor or along the output channels")
    array = weight.stored if weight.stored.ndim == 4 else weight.stored[:, :, None, :]
    axis = None if given.axis is None else 0
    laid = Quantization(scale=given.scale, zero_point=given.zero_point, axis=axis)
    return context.file.add_constant(array.transpose(1, 2, 3, 0), weight.name, laid), laid


def _output_shape(context: WriteContext, source: int, target: int) -> int:
    shape = context.shape_of(target)
    name = f"{context.file.tensors[target].name}/shape"
    if shape[0] is not None:
        return context.integers([size or 0 for size in shape], name)
    whole = context.file.add_tensor(f"{name}/source", (4,), "int32")
    context.add("SHAPE", [source], [whole], "ShapeOptions", outType=2)
    batch = context.file.add_tensor(f"{name}/batch", (1,), "int32")
    begin, size = context.integers([0], f"{name}/begin"), context.integers([1], f"{name}/size")
    context.add("SLICE", [whole, begin, size], [batch], "SliceOptions")
    rest = context.integers([size or 0 for size in shape[1:]], f"{name}/rest")
    joined = context.file.add_tensor(name, (4,), "int32")
    context.add("CONCATENATION", [batch, rest], [joined], "ConcatenationOptions", axis=0, fusedActivationFunction=0)
    return joined


def _cut(context: WriteContext, value: Value, whole: int, result: int, begins: list[int]) -> None:
    """Cut (and, where the graph wants more than there is, pad) the whole result to what the graph wants."""
    order: Permutation = channels_last(value.rank)
    starts = [begins[axis - 2] if axis >= 2 else 0 for axis in order]
    wanted, have = context.shape_of(result), context.shape_of(whole)
    missing = [
        0 if new is None or old is None else max(start + new - old, 0)
        for new, old, start in zip(wanted, have, starts, strict=True)
    ]
    if any(missing):
        raise UnwritableError("output padding beyond the last stride")
    begin = context.integers(starts, f"{value.name}/cut")
    size = context.integers([-1 if new is None else new for new in wanted], f"{value.name}/kept")
    context.add("SLICE", [whole, begin, size], [result], "SliceOptions")


def read_transpose_conv(context: ReadContext, operator: Operator) -> None:
    """Read TRANSPOSE_CONV (inputs: output shape, weights OHWI, value, bias) as ConvTranspose."""
    weight = context.known(operator, 1, "the weights")
    source = operator.inputs[2]
    strides = [operator.option("strideH", 1), operator.option("strideW", 1)]
    begins, ends, more = [], [], []
    sizes, wanted = context.shape(source)[1:3], context.shape(operator.outputs[0])[1:3]
    for size, new, stride, extent in zip(sizes, wanted, strides, weight.shape[1:3], strict=True):
        if size is None or new is None:
            raise UnreadableError("transposed convolution of a free dimension")
        cut = (size - 1) * stride + extent - new
        begins.append(max(cut, 0) // 2)
        ends.append(max(cut, 0) - max(cut, 0) // 2)
        more.append(max(-cut, 0))
    name = context.name(operator.outputs[0])
    inputs = [context.channels_first(source), context.add_constant(weight.transpose(3, 0, 1, 2), f"{name}/weight")]
    if len(operator.inputs) > 3 and operator.inputs[3] >= 0:
        inputs.append(context.source(operator.inputs[3]))
    made = context.add("ConvTranspose", inputs, strides=strides, pads=[*begins, *ends], output_padding=more)
    context.finish(operator, made, channels_last=True)
