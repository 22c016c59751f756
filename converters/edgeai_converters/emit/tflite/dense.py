"""Matrix products: Gemm, MatMul ↔ FULLY_CONNECTED, BATCH_MATMUL."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.conv import write_bias
from edgeai_converters.emit.tflite.folding import FUSED_ACTIVATIONS, Constant, first_output
from edgeai_converters.emit.tflite.layout import UNIT, Permutation, identity
from edgeai_converters.emit.tflite.quantization import Array, Quantization
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.steps import Steps
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext


def write_gemm(context: WriteContext, node: ir.Node) -> None:
    """Write `alpha · A · B + beta · C` as one FULLY_CONNECTED, or in steps when B is computed."""
    value, weight = context.value(node), context.operand(node, 1)
    if not isinstance(weight, Constant):
        _write_computed_gemm(context, node)
        return
    bias = context.optional_constant(node, 2, "the added C")
    if node.attributes.get_int("transA", 0):
        raise UnwritableError("transA=1")
    transposed = bool(node.attributes.get_int("transB", 0))
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    outputs = weight.shape[0 if transposed else 1]
    if bias is not None and bias.stored.size not in (1, outputs):
        raise UnwritableError(f"C of shape {list(bias.shape)} is not one value per output")
    if alpha != 1.0:
        weight = Constant(name=weight.name, stored=(weight.real * alpha).astype(np.float32))
    if bias is not None and beta != 1.0:
        bias = Constant(name=bias.name, stored=(bias.real * beta).astype(np.float32))
    _write_fully_connected(context, node, value, weight, bias, transposed=transposed)


def _write_computed_gemm(context: WriteContext, node: ir.Node) -> None:
    """Write a Gemm of two computed matrices as BATCH_MATMUL, and its factors and sum as operators of their own."""
    left, right, added = context.value(node, 0), context.value(node, 1), context.operand(node, 2)
    steps, order = Steps(context, context.result_name(node)), identity(2)
    tensors = [context.tensor(operand, order) for operand in (left, right)]
    swapped = [bool(node.attributes.get_int(name, 0)) for name in ("transA", "transB")]
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    fused = FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0)
    result = context.result(node, order)
    plain = alpha == 1.0 and added is None and not fused
    product = result if plain else context.scratch(result, context.shape_of(result), f"{node.outputs[0].name}/product")
    context.add("BATCH_MATMUL", tensors, [product], "BatchMatMulOptions", adjX=swapped[0], adjY=swapped[1])
    if plain:
        return
    if alpha != 1.0:
        product = steps.binary("MUL", product, steps.number(alpha))
    other = steps.number(0) if added is None else context.broadcast(added, 2, order)
    if added is not None and beta != 1.0:
        other = steps.binary("MUL", other, steps.number(beta))
    context.add("ADD", [product, other], [result], "AddOptions", fusedActivationFunction=fused)


def write_matmul(context: WriteContext, node: ir.Node) -> None:
    """Write a matrix product: FULLY_CONNECTED by a constant matrix (with the vector added behind) or BATCH_MATMUL."""
    right = context.operand(node, 1)
    if isinstance(right, Constant) and len(right.shape) == 2:
        _, added = context.folding.biases.get(first_output(node), ("", ""))
        bias = context.folding.constants.get(added)
        _write_fully_connected(context, node, context.value(node), right, bias, transposed=False)
        return
    left = context.operand(node, 0)
    if left is None or right is None:
        raise UnwritableError("an input is missing")
    rank = max(len(left.shape), len(right.shape))
    if min(len(left.shape), len(right.shape)) < 2 or rank > 5:
        raise UnwritableError(f"product of ranks {len(left.shape)} and {len(right.shape)}")
    output = context.integer_output(node, left, right)
    integer = output is not None
    tensors, adjoint = [], []
    for operand in (left, right):
        tensor, swapped = _matrix_operand(context, operand, integer)
        tensors.append(tensor)
        adjoint.append(swapped)
    result = context.result(node, identity(rank), output)
    context.add("BATCH_MATMUL", tensors, [result], "BatchMatMulOptions", adjX=adjoint[0], adjY=adjoint[1])


def _matrix_operand(context: WriteContext, operand: Value | Constant, integer: bool) -> tuple[int, bool]:
    """Return the operand's tensor and whether its last two axes lie swapped, which the kernel undoes for free."""
    rank = len(operand.shape)
    plain = identity(rank)
    swapped: Permutation = (*plain[:-2], rank - 1, rank - 2)
    orders = {order for order, _ in operand.tensors} if isinstance(operand, Value) else set()
    if isinstance(operand, Value) and swapped in orders and plain not in orders:
        return context.tensor(operand, swapped, integer=integer), True
    return context.broadcast(operand, rank, plain, integer=integer), False


def _write_fully_connected(
    context: WriteContext,
    node: ir.Node,
    value: Value,
    weight: Constant,
    bias: Constant | None,
    *,
    transposed: bool,
) -> None:
    """Write a dense layer on the last axis; the other axes may lie in any order."""
    if value.flat_order is not None and weight.quantization is not None and weight.quantization.block:
        # The features of a flattened map lie in another order, which tears the blocks apart.
        weight = Constant(name=weight.name, stored=weight.real)
    blocks = weight.quantization is not None and weight.quantization.block
    output = context.integer_output(node, value) if weight.quantization is not None and not blocks else None
    integer = output is not None
    last = value.rank - 1
    order = value.order if value.order[-1] == last and UNIT not in value.order else identity(value.rank)
    source = context.tensor(value, order, integer=integer)
    matrix = weight.stored if transposed else weight.stored.T
    if value.flat_order is not None:
        matrix = matrix[:, value.flat_order]
    tensor, quantization = _matrix_tensor(context, weight, matrix, 0 if transposed else 1, integer)
    bias_tensor = -1
    if bias is not None or integer:
        activation = value.quantization if integer else None
        bias_tensor = write_bias(context, node, bias, matrix.shape[0], activation, quantization)
    result = context.result(node, order, output)
    context.add(
        "FULLY_CONNECTED",
        [source, tensor, bias_tensor],
        [result],
        "FullyConnectedOptions",
        fusedActivationFunction=FUSED_ACTIVATIONS.get(context.folding.fused_activation(node), 0),
        keepNumDims=value.rank > 2,
    )


def _matrix_tensor(
    context: WriteContext, weight: Constant, matrix: Array, channel_axis: int, integer: bool
) -> tuple[int, Quantization | None]:
    """Return the tensor of weights `[out, in]` and, when it holds integers, their quantization."""
    stored = weight.quantization
    if stored is None:
        return context.weights(weight, matrix), None
    if stored.block:
        return _blocks_tensor(context, weight, channel_axis), None
    if np.any(stored.zero_point):
        if integer:
            raise UnwritableError("int8 weights must be symmetric (zero point 0)")
        raise UnwritableError("weight-only int8 must be symmetric (zero point 0)")
    if stored.axis not in (None, channel_axis):
        raise UnwritableError(f"weights are quantized along axis {stored.axis}, not along the outputs")
    laid = Quantization(scale=stored.scale, zero_point=stored.zero_point, axis=None if stored.axis is None else 0)
    return context.file.add_constant(matrix, weight.name, laid), laid


def _blocks_tensor(context: WriteContext, weight: Constant, channel_axis: int) -> int:
    """Return the tensor of 4-bit weights `[out, in]` with a scale per block of inputs."""
    stored = weight.quantization
    assert stored is not None
    if stored.axis == channel_axis or weight.stored.dtype.name != "int4":
        raise UnwritableError("weights in blocks must be int4, in blocks of inputs")
    matrix = weight.stored if channel_axis == 0 else weight.stored.T
    scale = stored.scale if channel_axis == 0 else stored.scale.T
    laid = Quantization(scale=scale, zero_point=stored.zero_point, axis=1, block=stored.block)
    return context.file.add_constant(matrix, weight.name, laid)


def read_fully_connected(context: ReadContext, operator: Operator) -> None:
    """Read FULLY_CONNECTED: Gemm on 2-D values, MatMul and Add on the last axis of others."""
    source = operator.inputs[0]
    value, rank = context.source(source), len(context.shape(source))
    weight = context.constant(operator.inputs[1])
    bias = context.source(operator.inputs[2]) if len(operator.inputs) > 2 else ""
    name = context.name(operator.outputs[0])
    features = context.shape(operator.inputs[1])[1]
    if rank != 2 and not operator.option("keepNumDims", False):
        shape = context.integers([-1, features or 0], f"{name}/shape")
        value, rank = context.add("Reshape", [value, shape]), 2
    if rank == 2:
        matrix = context.source(operator.inputs[1])
        made = context.add("Gemm", [value, matrix, bias] if bias else [value, matrix], transB=1)
    else:
        if weight is None:
            matrix = context.add("Transpose", [context.source(operator.inputs[1])], perm=(1, 0))
        else:
            matrix = context.add_constant(weight.T, f"{name}/weight")
        made = context.add("MatMul", [value, matrix])
        made = context.add("Add", [made, bias]) if bias else made
    context.finish(operator, made)


def read_batch_matmul(context: ReadContext, operator: Operator) -> None:
    """Read BATCH_MATMUL as MatMul."""
    names = []
    for tensor, swapped in zip(operator.inputs, (operator.option("adjX"), operator.option("adjY")), strict=True):
        rank = len(context.shape(tensor))
        name = context.source(tensor)
        order = (*range(rank - 2), rank - 1, rank - 2)
        names.append(context.add("Transpose", [name], perm=order) if swapped else name)
    context.finish(operator, context.add("MatMul", names))
