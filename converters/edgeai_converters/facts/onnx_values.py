"""What limits of devices bound, of the nodes of an ONNX graph: kernels, strides, channels. Maps are NCHW."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from edgeai_converters.facts.kernel_sizes import kernel_sizes
from edgeai_converters.graph.shapes import static_shape
from edgeai_devices.profile_rules import Property

_CONVOLUTIONS = {"Conv": 1, "ConvTranspose": 1, "QLinearConv": 3, "ConvInteger": 1}
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")


def operator_values(node: ir.Node) -> dict[Property, tuple[int, ...]]:
    """Return the properties of one node that its shapes and attributes tell; what is not known is left out."""
    inputs = [value for value in node.inputs if value is not None]
    activations = [value for value in inputs if value.const_value is None] + list(node.outputs)
    shapes = [shape for value in activations if (shape := static_shape(value)) is not None]
    data = static_shape(inputs[0]) if inputs else None
    found: dict[Property, tuple[int, ...]] = {
        "inputs": (len(inputs),),
        "rank": tuple(len(shape) for shape in shapes),
        "dimension": tuple(size for shape in shapes for size in shape),
    }
    if data:
        found["batch"] = (data[0] if len(data) >= 4 else 1,)
        found["reduced_area"] = (prod(data[2:]) if len(data) >= 3 else 1,)
        found["input_channels"] = (data[1] if len(data) >= 3 else data[-1],)
    made = static_shape(node.outputs[0]) if node.outputs else None
    if made:
        found["output_channels"] = (made[1] if len(made) >= 3 else made[-1],)
    if node.op_type in _REDUCTIONS and data:
        found["reduced_axis"] = tuple(data[axis] for axis in _axes(node, len(data)))
    return found | _kernel(node)


def _kernel(node: ir.Node) -> dict[Property, tuple[int, ...]]:
    """Return kernel, stride, dilation and groups of a convolution or a pooling over height and width."""
    kernel = tuple(node.attributes.get_ints("kernel_shape", ()))
    position = _CONVOLUTIONS.get(node.op_type)
    if not kernel and position is not None and len(node.inputs) > position:
        kernel = (static_shape(node.inputs[position]) or ())[2:]
    if not kernel:
        return {}
    strides = tuple(node.attributes.get_ints("strides", ())) or (1,) * len(kernel)
    dilations = tuple(node.attributes.get_ints("dilations", ())) or (1,) * len(kernel)
    found: dict[Property, tuple[int, ...]] = {"stride": strides, "dilation": dilations}
    if position is not None:
        found["groups"] = (node.attributes.get_int("group", 1),)
    height, width = (kernel[0], kernel[1]) if len(kernel) > 1 else (1, kernel[0])
    steps = (dilations[0], dilations[1]) if len(dilations) > 1 else (1, dilations[0])
    return found | kernel_sizes(height, width, steps)


def _axes(node: ir.Node, rank: int) -> tuple[int, ...]:
    given = tuple(node.attributes.get_ints("axes", ()))
    stored = node.inputs[1] if len(node.inputs) > 1 else None
    if stored is not None and stored.const_value is not None:
        given = tuple(int(axis) for axis in np.ravel(stored.const_value.numpy()))
    return given or tuple(range(rank))
