"""Recognise LayerNormalization that was written out.

Before: m = mean(x), d = x - m, v = mean(d · d), y = d / sqrt(v + ε) (· scale) (+ shift)              (PyTorch)
        or r = scale / sqrt(v + ε), y = x · r + (shift - m · r)                                       (TensorFlow)
After:  y = LayerNormalization(x, scale, shift), over the last axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    axes_of,
    constant_of,
    is_op,
    nodes,
    replace_node,
    sole_consumer,
)
from edgeai_converters.graph.shapes import shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class _Deviation:
    """`1 / sqrt(mean((x - mean(x))²) + epsilon)`, with what it is made of."""

    x: ir.Value
    mean: ir.Value
    epsilon: float
    sizes: tuple[int, ...]


def fuse_layer_norm(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace written-out normalizations over the last axes by LayerNormalization."""
    changed = False
    for node in nodes(model, "Sqrt"):
        if node.graph is None:
            continue
        changed |= _fuse(model, node)
    return model, changed


def _fuse(model: ir.Model, root: ir.Node) -> bool:
    found = _deviation(root)
    if found is None:
        return False
    for use in tuple(root.outputs[0].uses()):
        reader = use.node
        if is_op(reader, "Div") and reader.inputs[1] is root.outputs[0] and _is_centred(reader.inputs[0], found):
            return _write(model, found, reader)
        if is_op(reader, "Reciprocal") and _fuse_inverse(model, found, reader.outputs[0]):
            return True
        if is_op(reader, "Div") and reader.inputs[1] is root.outputs[0]:
            one = constant_of(reader.inputs[0])
            if (
                one is not None
                and one.size == 1
                and float(one.reshape(())) == 1
                and _fuse_inverse(model, found, reader.outputs[0])
            ):
                return True
    return False


def _fuse_inverse(model: ir.Model, found: _Deviation, inverse: ir.Value) -> bool:
    scale: NDArray[Any] | None = None
    for use in tuple(inverse.uses()):
        reader = use.node
        if not is_op(reader, "Mul"):
            continue
        other = reader.inputs[1] if reader.inputs[0] is inverse else reader.inputs[0]
        if _is_centred(other, found):
            return _write(model, found, reader)
        scale = _vector(constant_of(other), found)
        if scale is not None and _fuse_affine(model, found, reader.outputs[0], scale):
            return True
    return _fuse_affine(model, found, inverse, None)


def _fuse_affine(model: ir.Model, found: _Deviation, factor: ir.Value, scale: NDArray[Any] | None) -> bool:
    """Look for `x · factor + (shift - mean · factor)`."""
    ends = [_other_product(use.node, factor, found.x) for use in tuple(factor.uses())]
    products = [node for node in ends if node is not None]
    if len(products) != 1:
        return False
    total = sole_consumer(products[0].outputs[0])
    if total is None or not is_op(total, "Add"):
        return False
    rest = total.inputs[1] if total.inputs[0] is products[0].outputs[0] else total.inputs[0]
    known, shift = _shift_without_mean(rest, factor, found)
    if not known:
        return False
    last = total
    if shift is None:
        last, shift = _with_constant_sum(total, found)
    _replace(model, found, last, scale, shift)
    return True


def _shift_without_mean(rest: ir.Value | None, factor: ir.Value, found: _Deviation) -> tuple[bool, NDArray[Any] | None]:
    """Tell whether `rest` is `shift - mean · factor`, and return the shift if there is one."""
    node = _producer(rest, "Sub", "Add", "Mul", "Neg")
    if node is None:
        return False, None
    if node.op_type == "Sub":
        shift = _vector(constant_of(node.inputs[0]), found)
        return shift is not None and _is_product(node.inputs[1], factor, found.mean), shift
    if node.op_type == "Add":
        for index in (0, 1):
            shift = _vector(constant_of(node.inputs[index]), found)
            if shift is not None:
                return _shift_without_mean(node.inputs[1 - index], factor, found)[0], shift
        return False, None
    if node.op_type == "Neg":
        return _is_product(node.inputs[0], factor, found.mean), None
    for index in (0, 1):
        minus = _producer(node.inputs[index], "Neg")
        if minus is not None and minus.inputs[0] is found.mean and node.inputs[1 - index] is factor:
            return True, None
    return False, None


def _with_constant_sum(last: ir.Node, found: _Deviation) -> tuple[ir.Node, NDArray[Any] | None]:
    reader = sole_consumer(last.outputs[0])
    if reader is None or not is_op(reader, "Add"):
        return last, None
    vector = _vector(constant_of(reader.inputs[1] if reader.inputs[0] is last.outputs[0] else reader.inputs[0]), found)
    return (last, None) if vector is None else (reader, vector)


def _is_product(value: ir.Value | None, factor: ir.Value, other: ir.Value) -> bool:
    node = _producer(value, "Mul")
    return node is not None and _other_product(node, factor, other) is not None


def _other_product(node: ir.Node, factor: ir.Value, other: ir.Value) -> ir.Node | None:
    if is_op(node, "Mul") and set(node.inputs) == {factor, other}:
        return node
    return None


def _write(model: ir.Model, found: _Deviation, normalized: ir.Node) -> bool:
    """Take the scale and the shift behind the normalized value with it, if they are there."""
    last, scale, shift = normalized, None, None
    for op_type in ("Mul", "Add"):
        reader = sole_consumer(last.outputs[0])
        if reader is None or not is_op(reader, op_type):
            continue
        other = reader.inputs[1] if reader.inputs[0] is last.outputs[0] else reader.inputs[0]
        vector = _vector(constant_of(other), found)
        if vector is None:
            break
        last = reader
        scale, shift = (vector, shift) if op_type == "Mul" else (scale, vector)
    _replace(model, found, last, scale, shift)
    return True


def _replace(
    model: ir.Model, found: _Deviation, last: ir.Node, scale: NDArray[Any] | None, shift: NDArray[Any] | None
) -> None:
    stem = last.name or "layer_norm"
    scale = np.ones(found.sizes, np.float32) if scale is None else scale
    inputs = [found.x, add_constant(model, f"{stem}_scale", scale)]
    if shift is not None:
        inputs.append(add_constant(model, f"{stem}_shift", shift))
    attributes = {"axis": -len(found.sizes), "epsilon": found.epsilon}
    made = add_node(model, last, "LayerNormalization", inputs, name=stem, attributes=attributes, like=last.outputs[0])
    replace_node(model, last, made)


def _deviation(root: ir.Node) -> _Deviation | None:
    """Return what `sqrt(mean((x - mean(x))²) + epsilon)` is made of, when the node is such a root."""
    total = _producer(root.inputs[0], "Add")
    if total is None:
        return None
    for index in (0, 1):
        epsilon, variance = constant_of(total.inputs[1 - index]), total.inputs[index]
        if epsilon is None or epsilon.size != 1 or variance is None:
            continue
        squared = _mean_of(variance)
        difference = _squared(squared[0]) if squared is not None else None
        minus = _producer(difference, "Sub")
        if squared is None or minus is None:
            continue
        for x, mean in ((minus.inputs[0], minus.inputs[1]), (minus.inputs[1], minus.inputs[0])):
            averaged = _mean_of(mean)
            if x is None or mean is None or averaged is None or averaged[0] is not x or averaged[1] != squared[1]:
                continue
            if x.dtype in (None, ir.DataType.FLOAT):
                return _Deviation(x=x, mean=mean, epsilon=float(epsilon.reshape(())), sizes=squared[1])
    return None


def _mean_of(value: ir.Value | None) -> tuple[ir.Value, tuple[int, ...]] | None:
    """Return what is averaged over the last axes, and the sizes of these axes."""
    node = _producer(value, "ReduceMean", "GlobalAveragePool")
    source = node.inputs[0] if node is not None else None
    shape = shape_of(source)
    if node is None or source is None or shape is None:
        return None
    if node.op_type == "GlobalAveragePool":
        axes: tuple[int, ...] | None = tuple(range(2, len(shape)))
    else:
        axes = axes_of(node)
        if not attribute(node, "keepdims", 1):
            return None
    if not axes:
        return None
    last = tuple(sorted(axis % len(shape) for axis in axes))
    sizes = tuple(size for size in shape[last[0] :] if isinstance(size, int))
    if last != tuple(range(last[0], len(shape))) or len(sizes) != len(last):
        return None
    return source, sizes


def _squared(value: ir.Value | None) -> ir.Value | None:
    node = _producer(value, "Mul", "Pow")
    if node is None:
        return None
    if node.op_type == "Mul":
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    power = constant_of(node.inputs[1])
    return node.inputs[0] if power is not None and power.size == 1 and float(power.reshape(())) == 2 else None


def _is_centred(value: ir.Value | None, found: _Deviation) -> bool:
    node = _producer(value, "Sub")
    return node is not None and node.inputs[0] is found.x and node.inputs[1] is found.mean


def _vector(array: NDArray[Any] | None, found: _Deviation) -> NDArray[Any] | None:
    """Return a constant as an array over the normalized axes, when it differs along no other."""
    if array is None or array.dtype != np.float32:
        return None
    count = len(found.sizes)
    if array.ndim > count and any(size != 1 for size in array.shape[:-count]):
        return None
    try:
        return np.ascontiguousarray(
            np.broadcast_to(array.reshape(array.shape[-count:] if array.ndim > count else array.shape), found.sizes)
        )
    except ValueError:
        return None


def _producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if is_op(node, *op_types) else None
