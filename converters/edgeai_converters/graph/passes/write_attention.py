"""Say ONNX's Attention in products and a Softmax, for formats that have no such operator.

Before: y, keys, values = Attention(q, k, v, mask, past keys, past values).
After:  keys = Concat(past keys, k), y = MatMul(Softmax(MatMul(q, Transpose(keys)) · scale + mask), values), by head.
Not done: grouped heads, a soft cap, the output of products, a causal mask over lengths that are not known.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, input_of, nodes, replace_node, replace_value
from edgeai_converters.graph.shapes import Dim, infer_shapes, shape_of

_Sizes = tuple[Dim, ...]


def write_attention(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace Attention nodes by what they are made of."""
    changed = False
    for node in nodes(model, "Attention"):
        if _write(model, node):
            changed = True
            infer_shapes(model)
    return model, changed


def _write(model: ir.Model, node: ir.Node) -> bool:
    stem = node.name or "attention"
    values = [node.inputs[0], node.inputs[1], node.inputs[2]]
    shapes = [shape_of(value) for value in values]
    if any(value is None or shape is None for value, shape in zip(values, shapes, strict=True)):
        return False
    flat = len(shapes[0] or ()) == 3
    heads = [attribute(node, name, None) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    if not flat:
        heads = [shape[1] for shape in shapes if shape is not None]
    supported = attribute(node, "softcap", 0.0) == 0 and len(set(heads)) == 1 and isinstance(heads[0], int)
    if not supported or len(node.outputs) > 3 or input_of(node, 6) is not None:
        return False
    if len(node.outputs) > 1 and (input_of(node, 4) is None or input_of(node, 5) is None):
        return False
    q, k, v = (_split_heads(model, node, value, heads[0]) if flat else value for value in values if value is not None)
    past = input_of(node, 4), input_of(node, 5)
    k, v = (
        value
        if old is None
        else add_node(model, node, "Concat", [old, value], name=f"{stem}_all", attributes={"axis": 2})
        for old, value in zip(past, (k, v), strict=True)
    )
    width = (shapes[0] or ())[-1]
    size = width // heads[0] if flat and isinstance(width, int) else width
    if not isinstance(size, int):
        return False
    mask = _mask(model, node, shapes[0], shapes[1], flat) if attribute(node, "is_causal", 0) else None
    if attribute(node, "is_causal", 0) and (mask is None or past[0] is not None):
        return False
    turned = add_node(model, node, "Transpose", [k], name=f"{stem}_keys", attributes={"perm": [0, 1, 3, 2]})
    factor = add_constant(
        model, f"{stem}_scale", np.array(attribute(node, "scale", None) or 1 / math.sqrt(size), np.float32)
    )
    scaled = add_node(model, node, "Mul", [q, factor], name=f"{stem}_scaled")
    weights = add_node(model, node, "MatMul", [scaled, turned], name=f"{stem}_weights")
    given = input_of(node, 3)
    if given is not None and given.dtype == ir.DataType.BOOL:
        lowest = add_constant(model, f"{stem}_lowest", np.array(-np.inf, np.float32))
        weights = add_node(model, node, "Where", [given, weights, lowest], name=f"{stem}_masked")
    elif given is not None:
        weights = add_node(model, node, "Add", [weights, given], name=f"{stem}_masked")
    if mask is not None:
        weights = add_node(model, node, "Add", [weights, mask], name=f"{stem}_causal")
    shares = add_node(model, node, "Softmax", [weights], name=f"{stem}_shares", attributes={"axis": -1})
    result = add_node(model, node, "MatMul", [shares, v], name=f"{stem}_result")
    if flat:
        result = add_node(model, node, "Transpose", [result], name=f"{stem}_joined", attributes={"perm": [0, 2, 1, 3]})
        form = add_constant(model, f"{stem}_form", np.array([0, 0, -1], np.int64))
        result = add_node(model, node, "Reshape", [result, form], name=f"{stem}_whole")
    for output, value in zip(node.outputs[1:], (k, v), strict=False):
        if (output.uses() or output.is_graph_output()) and not replace_value(model, output, value):
            return False
    result.type = node.outputs[0].type
    _replace_first(model, node, result)
    return True


def _replace_first(model: ir.Model, node: ir.Node, new: ir.Value) -> None:
    if len(node.outputs) == 1:
        replace_node(model, node, new)
        return
    replace_value(model, node.outputs[0], new)
    model.graph.remove(node, safe=True)


def _split_heads(model: ir.Model, node: ir.Node, value: ir.Value, heads: int) -> ir.Value:
    stem = node.name or "attention"
    form = add_constant(model, f"{stem}_heads", np.array([0, 0, heads, -1], np.int64))
    apart = add_node(model, node, "Reshape", [value, form], name=f"{stem}_apart")
    return add_node(model, node, "Transpose", [apart], name=f"{stem}_split", attributes={"perm": [0, 2, 1, 3]})


def _mask(
    model: ir.Model,
    node: ir.Node,
    q: tuple[int | str | None, ...] | None,
    k: tuple[int | str | None, ...] | None,
    flat: bool,
) -> ir.Value | None:
    axis = 1 if flat else 2
    if q is None or k is None or not isinstance(q[axis], int) or not isinstance(k[axis], int):
        return None
    rows, columns = q[axis], k[axis]
    array = np.where(np.tri(int(rows or 0), int(columns or 0)) > 0, np.float32(0), np.float32(-np.inf))
    return add_constant(model, f"{node.name or 'attention'}_mask", array.astype(np.float32))
