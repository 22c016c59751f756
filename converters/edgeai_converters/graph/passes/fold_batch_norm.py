"""Fold BatchNormalization into the layer before it, or write it as Mul and Add.

Before: Conv / ConvTranspose / Gemm (W, b) → BatchNormalization (γ, β, μ, σ²).
After:  the layer with W·γ/√(σ²+ε) and (b − μ)·γ/√(σ²+ε) + β.
Alone:  x → BatchNormalization → y   becomes   x → Mul → Add → y.
Computed in float64, stored in the weights' type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, constant_of, nodes, replace_node
from edgeai_converters.graph.passes.scale_layer import can_scale, scale_layer
from edgeai_converters.graph.shapes import shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fold_batch_norm(model: ir.Model) -> tuple[ir.Model, bool]:
    """Remove every BatchNormalization in inference form whose parameters are constant."""
    changed = False
    for node in nodes(model, "BatchNormalization"):
        affine = _affine(node)
        if affine is None:
            continue
        scale, shift = affine
        source = node.inputs[0]
        if source is None:
            continue
        layer = source.producer()
        if layer is not None and can_scale(layer):
            scale_layer(model, layer, scale, shift)
            replace_node(model, node, source)
            changed = True
        else:
            changed |= _write_as_mul_add(model, node, source, scale, shift)
    return model, changed


def _affine(node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return scale and shift, `[C]`, of the normalization; `None` in training form or when not constant."""
    if attribute(node, "training_mode", 0) or any(output.uses() for output in node.outputs[1:]):
        return None
    constants = [constant_of(value) for value in node.inputs[1:5]]
    arrays = [array.astype(np.float64) for array in constants if array is not None]
    if len(arrays) != 4:
        return None
    gamma, beta, mean, variance = arrays
    scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    return scale, beta - mean * scale


def _write_as_mul_add(
    model: ir.Model, node: ir.Node, source: ir.Value, scale: NDArray[Any], shift: NDArray[Any]
) -> bool:
    shape = shape_of(source)
    if shape is None or len(shape) < 2:
        return False
    dtype = source.dtype.numpy() if source.dtype is not None else np.dtype(np.float32)
    form = (-1,) + (1,) * (len(shape) - 2)
    stem = node.name or node.outputs[0].name or "batch_norm"
    factor = add_constant(model, f"{stem}_scale", scale.astype(dtype).reshape(form))
    offset = add_constant(model, f"{stem}_shift", shift.astype(dtype).reshape(form))
    product = add_node(model, node, "Mul", [source, factor], name=f"{stem}_mul", like=node.outputs[0])
    total = add_node(model, node, "Add", [product, offset], name=f"{stem}_add", like=node.outputs[0])
    replace_node(model, node, total)
    return True
