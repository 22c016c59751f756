"""Writing the graph as ONNX, in the form ONNX Runtime runs best.

Float graphs, float16 storage and Quantize/Dequantize graphs are written as they are. Constants that are stored as
int8 but computed in float (weight-only) are written as Cast → Mul: ONNX Runtime computes those once, when it loads
the file (checked on its optimized graph; calls take as long as in float), while it would run DequantizeLinear at
every call. The exception are large dense layers: there it turns DequantizeLinear → MatMul into one kernel that reads
the int8 weights (MatMulNBits), measured on x86 at 0.2 to 0.7 of float's time from 256 × 256 on, no gain below, and
nearer to float than DynamicQuantizeLinear → MatMulInteger at the same speed. Weights in int4 groups go the same way.
The kernel rounds activations to 8 bits in blocks (accuracy level 4, ONNX Runtime's default for this form).
"""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.checker
import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.dynamic_lstm import write_dynamic_lstm
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    change_constant,
    constant_of,
    input_of,
    is_op,
    nodes,
    replace_node,
    sole_consumer,
)
from edgeai_converters.graph.execute import model_size
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.quantize.stored_values import boundary_quantization, with_quantization
from edgeai_runtime.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_DENSE_ELEMENTS = 65_536
"""Elements from which a dense layer's weights stay int8 while it runs; below there is nothing to gain."""

LARGEST_SINGLE_FILE = 1_900_000_000
"""Bytes of constants above which they are written beside the file (protobuf ends at 2 GiB)."""


def emit_onnx(model: ir.Model, folder: Path, *, stem: str = "model", cast_weights: bool = True) -> Artifact:
    """Write `<stem>.onnx` (and `<stem>.onnx.data` for models above 1.9 GB).

    Args:
        model: the graph; not changed.
        folder: an existing folder.
        stem: name of the file without suffix.
        cast_weights: write weight-only constants as ONNX Runtime runs them best (Cast → Mul, DynamicQuantizeLSTM)
            instead of with DequantizeLinear.

    Raises:
        ModelError: the graph is no valid ONNX; nothing is written then.
    """
    model = model.clone()
    if cast_weights:
        write_dynamic_lstm(model)
        write_weight_only(model)
    remove_dead_nodes(model)
    _drop_notes(model)
    model.producer_name = "edgeai"
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    path = folder / f"{stem}.onnx"
    meaning = boundary_quantization(model)
    files = _save(proto, path, large=model_size(model) > LARGEST_SINGLE_FILE)
    return Artifact(
        format="onnx",
        files=files,
        inputs=with_quantization(input_specs(model), meaning),
        outputs=with_quantization(output_specs(model), meaning),
        operators=dict(collections.Counter(node.op_type for node in model.graph)),
    )


def write_weight_only(model: ir.Model) -> tuple[ir.Model, bool]:
    """Write int8 constants that float layers read in the form ONNX Runtime runs best, in place.

    Before: int8 constant → DequantizeLinear → Conv / Gemm / MatMul / … with float inputs.
    After:  int8 constant → Cast (→ Sub zero point) → Mul scale → the same.
    Large weights of dense layers keep DequantizeLinear, with Gemm's transB resolved, and so do weights in groups. So do
    layers whose other input is dequantized too: engines compute those in integers.
    """
    changed = False
    kept: list[ir.Node] = []
    for node in nodes(model, "DequantizeLinear"):
        array, scale = constant_of(node.inputs[0]), constant_of(node.inputs[1])
        if array is None or scale is None or _feeds_integer_layer(node):
            continue
        zero = input_of(node, 2)
        offset = constant_of(zero)
        if zero is not None and offset is None:
            continue
        if _keep_for_dense_kernel(model, node, array, offset):
            kept.append(node)
            continue
        if attribute(node, "block_size", 0):
            continue
        stem = node.outputs[0].name or node.name or "weight"
        value = add_node(
            model, node, "Cast", node.inputs[:1], name=f"{stem}_cast", attributes={"to": ir.DataType.FLOAT}
        )
        value.type, value.shape = node.outputs[0].type, node.outputs[0].shape
        if offset is not None and offset.any():
            constant = add_constant(model, f"{stem}_zero", _along(node, array, offset.astype(np.float32)))
            value = add_node(model, node, "Sub", [value, constant], name=f"{stem}_centred", like=node.outputs[0])
        factor = add_constant(model, f"{stem}_factor", _along(node, array, scale.astype(np.float32)))
        replace_node(
            model, node, add_node(model, node, "Mul", [value, factor], name=f"{stem}_scaled", like=node.outputs[0])
        )
        changed = True
    for node in kept:
        changed |= _part_from_activations(model, node)
    return model, changed


def _keep_for_dense_kernel(
    model: ir.Model, node: ir.Node, array: NDArray[np.generic], offset: NDArray[np.generic] | None
) -> bool:
    """Tell whether the constant is a weight that ONNX Runtime multiplies in int8, and bring it to the form it knows.

    Before: W [M, K] → DequantizeLinear(axis=0) → Gemm(transB=1).   After: Wᵀ [K, M] → DequantizeLinear(axis=1) → Gemm.
    """
    readers = tuple(node.outputs[0].uses())
    if array.ndim != 2 or array.size < LEAST_DENSE_ELEMENTS or (offset is not None and offset.any()):
        return False
    if not readers or not all(is_op(use.node, "Gemm", "MatMul") and use.idx == 1 for use in readers):
        return False
    transposed = [bool(attribute(use.node, "transB", 0)) for use in readers]
    if len(set(transposed)) != 1 or any(attribute(use.node, "transA", 0) for use in readers):
        return False
    if transposed[0]:
        axis = int(attribute(node, "axis", 1)) % 2
        change_constant(model, node, 0, np.ascontiguousarray(array.T))
        scale = constant_of(node.inputs[1])
        if scale is not None and scale.ndim == 2:
            change_constant(model, node, 1, np.ascontiguousarray(scale.T))
        node.attributes["axis"] = ir.AttrInt64("axis", 1 - axis)
        node.outputs[0].shape = ir.Shape(array.T.shape)
        for use in readers:
            use.node.attributes.pop("transB")
    return True


def _part_from_activations(model: ir.Model, node: ir.Node) -> bool:
    """Write the activations right behind a dense layer in another form of the same, so that its kernel is used.

    Before: DequantizeLinear → MatMul → Relu or Clip.   After: DequantizeLinear → MatMul → Max with 0, or Max → Min.
    ONNX Runtime takes such a Relu for one that a QuantizeLinear behind it makes needless, finds none, and then runs
    DequantizeLinear at every call (seen in 1.31: seven times float's time).
    """
    changed = False
    for layer in node.outputs[0].consumers():
        reader = sole_consumer(layer.outputs[0])
        if reader is None or not is_op(reader, "Relu", "Clip") or reader.inputs[0] is not layer.outputs[0]:
            continue
        value, stem = layer.outputs[0], reader.outputs[0].name or "activation"
        low, high = input_of(reader, 1), input_of(reader, 2)
        if is_op(reader, "Relu"):
            low = add_constant(model, f"{stem}_zero", np.array(0, np.float32))
        for op_type, bound in (("Max", low), ("Min", high)):
            if bound is not None:
                value = add_node(
                    model, reader, op_type, [value, bound], name=f"{stem}_{op_type.lower()}", like=reader.outputs[0]
                )
        if value is not layer.outputs[0]:
            replace_node(model, reader, value)
            changed = True
    return changed


def _feeds_integer_layer(node: ir.Node) -> bool:
    """Tell whether some reader of the dequantized constant has a dequantized activation beside it."""
    for reader in node.outputs[0].consumers():
        for value in reader.inputs:
            producer = value.producer() if value is not None and value is not node.outputs[0] else None
            if producer is None or producer.op_type != "DequantizeLinear":
                continue
            if constant_of(producer.inputs[0]) is None:
                return True
    return False


def _along(node: ir.Node, array: NDArray[np.generic], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scales or zero points in a form that broadcasts over the constant along the node's axis."""
    if values.size == 1:
        return values.reshape(())
    form = [1] * array.ndim
    form[int(attribute(node, "axis", 1))] = -1
    return values.reshape(form)


def _drop_notes(model: ir.Model) -> None:
    """Drop what exporters note about where nodes come from; it can be larger than the weights."""
    model.graph.metadata_props.clear()
    model.graph.doc_string = None
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None


def _save(proto: onnx.ModelProto, path: Path, *, large: bool) -> tuple[Path, ...]:
    """Check and write the model beside its final place, then move it there."""
    beside = path.with_name(f".{path.name}.part")
    data = path.with_name(f"{path.name}.data")
    try:
        if large:
            data.unlink(missing_ok=True)
            onnx.save(proto, beside, save_as_external_data=True, location=data.name, convert_attribute=False)
        else:
            beside.write_bytes(proto.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(beside))
        beside.replace(path)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"The graph for {path.name} is no valid ONNX: {str(error).strip().splitlines()[0]}",
            hint="This is a fault of edgeai; please report it with the model's operators.",
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return (path, data) if large else (path,)
