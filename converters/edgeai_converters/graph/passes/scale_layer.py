"""Multiply the output channels of a layer with constant weights, and add to them, by changing its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_constant,
    attribute,
    change_constant,
    constant_of,
    input_of,
    is_op,
    sole_consumer,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def can_scale(layer: ir.Node) -> bool:
    """Tell whether the layer is a Conv, ConvTranspose or Gemm with constant weights whose output is read once."""
    if not is_op(layer, "Conv", "ConvTranspose", "Gemm") or sole_consumer(layer.outputs[0]) is None:
        return False
    if layer.op_type == "Gemm" and (attribute(layer, "alpha", 1.0) != 1.0 or attribute(layer, "beta", 1.0) != 1.0):
        return False
    if constant_of(layer.inputs[1]) is None:
        return False
    bias = input_of(layer, 2)
    if bias is None:
        return True
    array = constant_of(bias)
    return array is not None and array.size in (1, output_channels(layer))


def output_channels(layer: ir.Node) -> int:
    """Return the number of output channels of a layer with constant weights."""
    weight = constant_of(layer.inputs[1])
    assert weight is not None
    if layer.op_type == "ConvTranspose":
        return int(weight.shape[1]) * int(attribute(layer, "group", 1))
    if layer.op_type == "Gemm":
        return int(weight.shape[0] if attribute(layer, "transB", 0) else weight.shape[1])
    return int(weight.shape[0])


def scale_layer(
    model: ir.Model, layer: ir.Node, scale: NDArray[np.float64] | None, shift: NDArray[np.float64] | None
) -> None:
    """Change the layer so that it answers `scale * y + shift` per output channel, both `[C]`.

    Precondition: `can_scale(layer)`. The bias is one value per channel afterwards.
    """
    weight = constant_of(layer.inputs[1])
    assert weight is not None
    channels = output_channels(layer)
    if scale is not None:
        scaled = weight.astype(np.float64) * _along_output(layer, weight, scale)
        change_constant(model, layer, 1, scaled.astype(weight.dtype))
    old = constant_of(input_of(layer, 2))
    bias = np.zeros(channels) if old is None else np.broadcast_to(old.reshape(-1), (channels,)).astype(np.float64)
    bias = bias * (scale if scale is not None else 1.0) + (shift if shift is not None else 0.0)
    if old is not None:
        change_constant(model, layer, 2, bias.astype(weight.dtype))
        return
    if len(layer.inputs) < 3:
        layer.resize_inputs(3)
    layer.replace_input_with(
        2, add_constant(model, f"{layer.name or layer.outputs[0].name}_bias", bias.astype(weight.dtype))
    )


def _along_output(layer: ir.Node, weight: NDArray[np.generic], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `scale` in a form that broadcasts over the output channels of the weight."""
    if layer.op_type == "Gemm":
        return scale[:, None] if attribute(layer, "transB", 0) else scale[None, :]
    rest = (1,) * (weight.ndim - 2)
    if layer.op_type == "ConvTranspose":
        groups = int(attribute(layer, "group", 1))
        per_group = weight.shape[0] // groups
        return np.repeat(scale.reshape(groups, -1), per_group, axis=0).reshape(weight.shape[0], weight.shape[1], *rest)
    return scale.reshape(-1, 1, *rest)
