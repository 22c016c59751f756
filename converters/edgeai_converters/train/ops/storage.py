"""Quantized storage: QuantizeLinear and DequantizeLinear, with gradients that pass the rounding straight through.

The stored integers are held in floating point. Rounding is half to even, as in every engine. The gradient is that of
LSQ (Esser et al. 2020, arXiv:1902.08153, equations 3 and 5): rounding counts as identity, what saturates hands no
gradient to its input, and the scale, when it is a parameter, gets `round(x / s) - x / s` inside and the limit outside.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from edgeai_converters.train.ops.view import NodeView, Run, Tensor

_LIMITS = {
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (-32768, 32767),
    "UINT16": (0, 65535),
}


def quantize_linear(view: NodeView) -> Run:
    """QuantizeLinear: `clip(round(x / scale) + zero_point)`, in the type of the zero point."""
    stored = view.node.inputs[2] if view.has(2) else None
    dtype = stored.dtype if stored is not None else ir.DataType(view.integer("output_dtype", 0) or ir.DataType.UINT8)
    if dtype is None or dtype.name not in _LIMITS:
        raise view.unsupported(f"it stores {dtype}")
    if view.integer("block_size", 0):
        raise view.unsupported("scales per block")
    low, high = _LIMITS[dtype.name]
    axis = view.integer("axis", 1)

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        zero = _aligned(zero_point, x, axis)
        places = x / _aligned(scale, x, axis)
        return view.torch.clamp(round_straight_through(places) + zero, low, high)

    return run


def dequantize_linear(view: NodeView) -> Run:
    """DequantizeLinear: `(stored - zero_point) · scale`."""
    axis = view.integer("axis", 1)
    if view.integer("block_size", 0):
        raise view.unsupported("scales per block")

    def run(stored: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        return (stored.to(scale.dtype) - _aligned(zero_point, stored, axis)) * _aligned(scale, stored, axis)

    return run


def round_weight(view: NodeView) -> Run:
    """RoundWeight, our own: a weight rounded to the symmetric grid that the planner gives it as it is now.

    The scale of a channel is its largest magnitude by `limit`, but not below `least`; nothing saturates, so the
    gradient is that of the weight itself.
    """
    torch = view.torch
    limit, axis = view.integer("limit", 127), view.node.attributes.get_int("axis", None)
    least = torch.tensor(view.node.attributes.get_floats("least", (0.0,)), dtype=torch.float32)

    def run(weight: Tensor) -> Tensor:
        value = weight.detach()
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        others = [i for i in range(value.ndim) if i != axis]
        largest = value.abs().amax(others, keepdim=True) if others else value.abs()
        scale = torch.maximum((largest.double() / limit).float(), least.to(value.device).reshape(shape)).double()
        scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
        stored = (value.double() / scale).round().clamp(-limit, limit)
        return weight + ((stored * scale).float() - value)

    return run


def round_straight_through(x: Tensor) -> Tensor:
    """Return `x` rounded half to even; the gradient passes as if it were not."""
    return x + (x.round() - x).detach()


def _aligned(parameter: Any, x: Tensor, axis: int) -> Any:
    """Return a scale or zero point in a shape that lines up with the channel axis of `x`."""
    if parameter is None:
        return 0.0
    if not parameter.is_floating_point():
        parameter = parameter.float()
    if parameter.ndim == 0 or x.ndim == 0:
        return parameter
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
