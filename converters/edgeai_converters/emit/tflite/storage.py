"""How numbers are stored: QuantizeLinear ↔ QUANTIZE, DequantizeLinear ↔ DEQUANTIZE, Cast ↔ CAST; Identity, Dropout."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.layout import identity
from edgeai_converters.emit.tflite.quantization import unsigned
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.schema import NUMPY_TYPES, tensor_type
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


def write_identity(context: WriteContext, node: ir.Node) -> None:
    """Write nothing: the result is the value."""
    context.define(node, context.value(node))


def write_quantize(context: WriteContext, node: ir.Node) -> None:
    """Give a value its int8 form; nothing is written when the node before has computed it so."""
    value, wanted = context.value(node), context.folding.parameters(node)
    if wanted is None:
        raise UnwritableError(
            "activations are quantized per tensor to int8, uint8 or symmetric int16, with constant parameters only"
        )
    if wanted.same_as(value.quantization):
        context.define(node, value)
        return
    order = value.order
    tensor = context.stored_as(value, order, wanted)
    made = Value(
        name=context.result_name(node),
        shape=value.shape,
        dtype="float32",
        quantization=wanted,
        tensors={(order, True): tensor},
        flat_order=value.flat_order,
        non_negative=value.non_negative,
    )
    context.define(node, made)


def write_dequantize(context: WriteContext, node: ir.Node) -> None:
    """Write nothing: who needs floats asks for them."""
    value = context.value(node)
    if value.quantization is None:
        parameters = context.folding.parameters(node)
        order = identity(value.rank)
        integers = value.dtype in ("int8", "uint8", "int16")
        if parameters is None or not integers or (order, False) not in value.tensors:
            raise UnwritableError("dequantizes a value that no QuantizeLinear made")
        # An integer input of the graph: its tensor gets its meaning here.
        index = value.tensors[order, False]
        if value.dtype == "uint8":
            context.file.tensors[index].quantization = unsigned(parameters)
            index = context.requantized(index, f"{value.name}/int8", parameters)
        else:
            context.file.tensors[index].quantization = parameters
        value = Value(name=value.name, shape=value.shape, quantization=parameters, tensors={(order, True): index})
    context.define(node, value)


def write_cast(context: WriteContext, node: ir.Node) -> None:
    """Write CAST between numbers; a cast to the same type is nothing."""
    value = context.value(node)
    to = ir.DataType(node.attributes.get_int("to")).numpy().name
    if to == value.dtype:
        context.define(node, value)
        return
    if to not in NUMPY_TYPES.values() or value.dtype not in NUMPY_TYPES.values():
        raise UnwritableError(f"cast from {value.dtype} to {to}")
    order = value.order
    source = context.tensor(value, order)
    result = context.result(node, order)
    context.add(
        "CAST", [source], [result], "CastOptions", inDataType=tensor_type(value.dtype), outDataType=tensor_type(to)
    )


def read_storage(context: ReadContext, operator: Operator) -> None:
    """Read QUANTIZE and DEQUANTIZE: nothing, since the graph is in float."""
    value = context.constant(operator.inputs[0])
    if value is not None:
        context.set_constant(operator.outputs[0], value.astype(np.float32))
        return
    context.finish(operator, context.source(operator.inputs[0]))


def read_cast(context: ReadContext, operator: Operator) -> None:
    """Read CAST."""
    to = ir.DataType.from_numpy(np.dtype(context.tensors[operator.outputs[0]].dtype)).value
    context.finish(operator, context.add("Cast", [context.source(operator.inputs[0])], to=to))
