"""Inspecting an `.onnx` file: plain, QDQ, QLinear and weight-only models alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.inspection.macs import Shape, per_element, recurrent
from edgeai_converters.inspection.record import (
    HeavyOperation,
    Inspection,
    count_operators,
    macs_by_name,
    mix_precisions,
    total_macs,
    unknown_macs_note,
    with_metadata,
)
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Precision

_CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = {
    "MatMul": 1,
    "Gemm": 1,
    "FusedMatMul": 1,
    "FusedGemm": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "QLinearMatMul": 3,
    "QGemm": 3,
}
_RECURRENT = {"LSTM", "GRU", "RNN"}
"""Heavy operations; the number is the position of the weight among the inputs. The data is input 0 everywhere."""

_INTEGER = {"ConvInteger", "QLinearConv", "MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul", "QGemm"}
_NOT_COUNTED = {"Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention", "DeformConv", "MatMulNBits"}
_PASS_THROUGH = {"Cast", "DequantizeLinear", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
"""What may stand between a stored weight and the operation that uses it."""

_QUANTIZATION_INPUTS = {
    "QuantizeLinear": {1, 2},
    "DequantizeLinear": {1, 2},
    "QLinearConv": {1, 2, 4, 5, 6, 7},
    "QLinearMatMul": {1, 2, 4, 5, 6, 7},
    "QGemm": {1, 2, 4, 5, 7, 8},
    "ConvInteger": {2, 3},
    "MatMulInteger": {2, 3},
    "MatMulIntegerToFloat": {2, 3, 4, 5},
    "DynamicQuantizeMatMul": {2, 3},
    "Resize": {1, 2, 3},
    "Clip": {1, 2},
    "Pad": {1, 2, 3},
}
"""Inputs that are scales, zero points or settings: no trained values."""

_INT32_BIAS = {"DequantizeLinear": 0, "QLinearConv": 8, "QGemm": 6}


def inspect_onnx(path: Path) -> Inspection:
    """Say what is in an ONNX file; weights in external files are counted, not read.

    Raises:
        ModelError: empty, damaged or foreign content, or an external file that is missing.
    """
    model = read_onnx(path)
    inputs, outputs = input_specs(model), output_specs(model)
    notes = infer_shapes_for_one(model)
    nodes = list(model.graph.all_nodes())
    heavy = [operation for node in nodes if (operation := heavy_operation(node)) is not None]
    precision, mix = mix_precisions(heavy)
    left_out = sorted({node.op_type for node in nodes if node.op_type in _NOT_COUNTED})
    if left_out:
        notes.append(f"MACs of {', '.join(left_out)} are not counted.")
    found = Inspection(
        format="onnx",
        inputs=inputs,
        outputs=outputs,
        operators=count_operators(node.op_type for node in nodes),
        parameters=sum(_constants(model, nodes)),
        macs=total_macs(heavy),
        size_bytes=sum(file.stat().st_size for file in {path, *_external_files(model, path)}),
        precision=precision,
        precision_mix=mix,
        notes=(*notes, *unknown_macs_note(heavy)),
        macs_by_operation={} if left_out else macs_by_name(heavy, [operation.name for operation in heavy]),
    )
    return with_metadata(found, model.metadata_props)


def read_onnx(path: Path) -> ir.Model:
    """Read an ONNX file; weights in external files stay there.

    Raises:
        ModelError: empty, damaged or foreign content, or an external file that is missing.
    """
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty.", hint="Copy or download it again.")
    try:
        model = ir.load(path)
        empty = not len(model.graph) and not model.graph.outputs
    except Exception as error:  # protobuf and onnx-ir have no common error
        raise ModelError(f"{path} is no ONNX model, or it is damaged: {error}", hint="Copy it again.") from error
    if empty:
        raise ModelError(f"{path} holds no graph: it is no ONNX model, or it is cut short.", hint="Copy it again.")
    for file in _external_files(model, path):
        if not file.is_file():
            raise ModelError(
                f"{path} keeps weights in {file.name}, which is missing.", hint=f"Put it into {file.parent}."
            )
    return model


def _external_files(model: ir.Model, path: Path) -> set[Path]:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return {path.parent / str(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}


def infer_shapes_for_one(model: ir.Model) -> list[str]:
    """Set a free first dimension to 1 everywhere and infer all shapes, in place; return notes."""
    notes = []
    batch_names = set()
    for value in model.graph.inputs:
        if not value.shape:
            continue
        first = value.shape[0]
        if not isinstance(first, int) or first <= 0:
            batch_names.add(None if isinstance(first, int) else first.value)
            value.shape = ir.Shape([1, *list(value.shape)[1:]])
        elif first > 1 and len(value.shape) > 1:
            notes.append(f"The first dimension of {value.name!r} is fixed to {first}: MACs are for that many at once.")
    for value in (output for node in model.graph.all_nodes() for output in node.outputs):
        # What the file says helps where inference knows no rule (operators of a vendor), once the batch is put in.
        if value.shape is not None:
            dims = [size if isinstance(size, int) else size.value for size in value.shape]
            value.shape = ir.Shape([1 if axis == 0 and size in batch_names else size for axis, size in enumerate(dims)])
    inference = common_passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    try:
        inference(model)
    except Exception as error:  # inference is a help here; what it cannot do is reported as unknown MACs
        notes.append(f"Shapes could not be inferred: {error}")
    return notes


def heavy_operation(node: ir.Node) -> HeavyOperation | None:
    """Return what a node multiplies and accumulates, or `None` when it is no such operation."""
    if node.op_type in _CONVOLUTIONS:
        weight = _input(node, _CONVOLUTIONS[node.op_type])
        macs = per_element(_shape(node.outputs[0]), _rest(_shape(weight)))
    elif node.op_type == "ConvTranspose":
        weight = _input(node, 1)
        macs = per_element(_shape(_input(node, 0)), _rest(_shape(weight)))
    elif node.op_type in _PRODUCTS:
        weight = _input(node, _PRODUCTS[node.op_type])
        macs = per_element(_shape(node.outputs[0]), _inner(node))
    elif node.op_type in _RECURRENT:
        weight = _input(node, 1)
        sequence = _shape(_input(node, 0))
        macs = recurrent(None if sequence is None else sequence[:2], _shape(weight), _shape(_input(node, 2)))
    else:
        return None
    return HeavyOperation(name=node.name or "", op_type=node.op_type, macs=macs, precision=_precision(node, weight))


def _inner(node: ir.Node) -> Shape:
    """The dimension a matrix product sums over, `[K]`."""
    left = _shape(_input(node, 0))
    if not left:
        return None
    transposed = node.attributes.get_int("transA", 0) if node.op_type in ("Gemm", "FusedGemm", "QGemm") else 0
    return left[0:1] if transposed else left[-1:]


def _precision(node: ir.Node, weight: ir.Value | None) -> Precision:
    if node.op_type == "DynamicQuantizeMatMul":
        return "dynamic_int8"
    data = _input(node, 0)
    maker = data.producer() if data is not None else None
    if node.op_type in _INTEGER:
        return "dynamic_int8" if maker is not None and maker.op_type == "DynamicQuantizeLinear" else "int8"
    quantized = maker is not None and maker.op_type == "DequantizeLinear"
    stored = _stored_type(weight)
    if stored is None:  # both sides are computed: attention
        return "int8" if quantized else _float_word(data)
    if stored.bitwidth <= 8:
        return "int8" if quantized else "int4" if stored.bitwidth == 4 else "dynamic_int8"
    return "float16" if stored in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) else "float32"


def _float_word(value: ir.Value | None) -> Precision:
    return "float16" if value is not None and value.dtype == ir.DataType.FLOAT16 else "float32"


def _stored_type(value: ir.Value | None) -> ir.DataType | None:
    """The narrowest type of the constants a weight is made of; `None` when it depends on data."""
    if value is None:
        return None
    constant = _constant(value)
    if constant is not None:
        return constant.dtype
    maker = value.producer()
    if maker is None or maker.op_type not in _PASS_THROUGH or not maker.inputs:
        return None
    # Scales are float32 and stand in later inputs; the first one carries the stored values.
    sides = maker.inputs if maker.op_type in ("Mul", "Sub") else maker.inputs[:1]
    types = [_stored_type(side) for side in sides]
    found = [each for each in types if each is not None]
    return min(found, key=lambda each: each.bitwidth) if len(found) == len(types) else None


def _constants(model: ir.Model, nodes: list[ir.Node]) -> Iterator[int]:
    """Yield the number of elements of every trained constant."""
    values = list(model.graph.initializers.values())
    values += [node.outputs[0] for node in nodes if node.op_type == "Constant" and node.outputs]
    for value in values:
        tensor = _constant(value)
        if tensor is not None and tensor.shape and _is_trained(value, tensor):
            yield tensor.size


def _is_trained(value: ir.Value, tensor: ir.TensorProtocol) -> bool:
    uses = list(value.uses())
    if tensor.dtype == ir.DataType.INT32:
        return any(_INT32_BIAS.get(use.node.op_type) == use.idx for use in uses)
    if tensor.dtype.bitwidth > 8 and not tensor.dtype.is_floating_point():
        return False
    if tensor.dtype == ir.DataType.BOOL:
        return False
    return not uses or any(not _is_setting(use.node, use.idx) for use in uses)


def _is_setting(node: ir.Node, index: int) -> bool:
    if index in _QUANTIZATION_INPUTS.get(node.op_type, ()):
        return True
    if node.op_type not in ("Mul", "Sub") or len(node.inputs) != 2:
        return False
    # int8 constant → Cast → Mul(scale): the scale of weights that are only stored in int8.
    other = _input(node, 1 - index)
    maker = other.producer() if other is not None else None
    while maker is not None and maker.op_type in ("Sub", "Cast") and maker.inputs:
        source = maker.inputs[0]
        constant = _constant(source) if source is not None else None
        if constant is not None:
            return constant.dtype.bitwidth <= 8
        maker = source.producer() if source is not None else None
    return False


def _constant(value: ir.Value) -> ir.TensorProtocol | None:
    if value.const_value is not None:
        return value.const_value
    maker = value.producer()
    if maker is None or maker.op_type != "Constant":
        return None
    attribute = maker.attributes.get("value")
    return attribute.as_tensor() if attribute is not None else None


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _shape(value: ir.Value | None) -> Shape:
    if value is None:
        return None
    if value.shape is None:
        constant = _constant(value)
        return None if constant is None else tuple(int(size) for size in constant.shape.numpy())
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _rest(shape: Shape) -> Shape:
    return None if not shape else shape[1:]
