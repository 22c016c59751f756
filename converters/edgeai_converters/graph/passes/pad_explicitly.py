"""Say padding once, in numbers, at the layer that uses it.

Before: Conv / pool with auto_pad SAME or VALID and known sizes, or stride 1.   After: pads, auto_pad gone.
Before: Pad by zeros on spatial axes → Conv, or → AveragePool without pads of its own.   After: pads of the layer
(AveragePool then counts the padding: count_include_pad = 1, which is the same mean).
Not done: MaxPool (its padding is −∞), padding of batch or channels, negative pads.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, bypass, constant_of, input_of, is_op, nodes, sole_consumer
from edgeai_converters.graph.shapes import shape_of


def pad_explicitly(model: ir.Model) -> tuple[ir.Model, bool]:
    """Resolve auto_pad and merge zero padding into the layer behind it."""
    changed = False
    for node in nodes(model, "Conv", "MaxPool", "AveragePool"):
        changed |= _resolve_auto_pad(node)
    for node in nodes(model, "Pad"):
        changed |= _merge(model, node)
    return model, changed


def _resolve_auto_pad(node: ir.Node) -> bool:
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode == "NOTSET":
        return False
    shape, kernel = shape_of(node.inputs[0]), _kernel(node)
    if shape is None or kernel is None:
        return False
    rank = len(kernel)
    strides = attribute(node, "strides", (1,) * rank)
    dilations = attribute(node, "dilations", (1,) * rank)
    begins, ends = [], []
    for i, size in enumerate(shape[2:]):
        if mode == "VALID":
            total = 0
        elif not isinstance(size, int) and strides[i] == 1:
            total = (kernel[i] - 1) * dilations[i]  # whatever the size is
        elif not isinstance(size, int):
            return False
        else:
            total = max((math.ceil(size / strides[i]) - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode != "SAME_LOWER" else large)
        ends.append(large if mode != "SAME_LOWER" else small)
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*begins, *ends])
    return True


def _kernel(node: ir.Node) -> tuple[int, ...] | None:
    given = attribute(node, "kernel_shape", None)
    if given is not None:
        return tuple(given)
    weight = shape_of(input_of(node, 1)) if node.op_type == "Conv" else None
    sizes = tuple(size for size in weight[2:] if isinstance(size, int)) if weight is not None else ()
    return sizes or None


def _merge(model: ir.Model, pad: ir.Node) -> bool:
    layer = sole_consumer(pad.outputs[0])
    pads = _spatial_pads(pad)
    if layer is None or pads is None or not is_op(layer, "Conv", "AveragePool"):
        return False
    if layer.inputs[0] is not pad.outputs[0] or attribute(layer, "auto_pad", "NOTSET") != "NOTSET":
        return False
    own = attribute(layer, "pads", (0,) * len(pads))
    if len(own) != len(pads):
        return False
    if layer.op_type == "AveragePool":
        if (any(own) and not attribute(layer, "count_include_pad", 0)) or attribute(layer, "ceil_mode", 0):
            return False
        layer.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    layer.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, pads, strict=True)])
    return bypass(model, pad)


def _spatial_pads(pad: ir.Node) -> list[int] | None:
    """Return begins and ends of the spatial axes when the node pads nothing else, and with zeros; else `None`."""
    if attribute(pad, "mode", "constant") != "constant" or input_of(pad, 3) is not None:
        return None
    if input_of(pad, 2) is not None:
        filling = constant_of(pad.inputs[2])
        if filling is None or filling.any():
            return None
    array = constant_of(pad.inputs[1])
    if array is None or (array < 0).any() or array.size < 6:
        return None
    half = array.size // 2
    begins, ends = array[:half].tolist(), array[half:].tolist()
    return None if any(begins[:2] + ends[:2]) else [*begins[2:], *ends[2:]]
