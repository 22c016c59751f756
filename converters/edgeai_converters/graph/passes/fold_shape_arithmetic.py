"""Turn shapes that are computed at run time into constants, when only the batch is free.

Before: Shape → Gather/Slice/Concat/… → Reshape(x, shape).   After: Reshape(x, [-1, 64]).
A Reshape gets a constant target when at most one of its output's dimensions is unknown (written -1), or when the
unknown ones are the input's own at the same place (written 0). Shape nodes of static shapes become constants.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, attribute, constant_of, input_of, nodes, remove_node
from edgeai_converters.graph.shapes import Dim, shape_of
from edgeai_converters.graph.sizes import product, quotient

_DEPTH = 40


def fold_shape_arithmetic(model: ir.Model) -> tuple[ir.Model, bool]:
    """Make the targets of Reshape and Expand constant where the arithmetic on shapes allows it."""
    changed = False
    for node in nodes(model, "Shape"):
        dims = _dims(node.outputs[0])
        if dims is not None and all(isinstance(dim, int) for dim in dims) and not node.outputs[0].is_graph_output():
            constant = add_constant(model, f"{node.outputs[0].name}_folded", np.array(dims, np.int64))
            ir.convenience.replace_all_uses_with(node.outputs[0], constant)
            remove_node(model, node)
            changed = True
    for node in nodes(model, "Reshape"):
        target = _reshape_target(node)
        old = constant_of(node.inputs[1])
        if target is None or (old is not None and old.tolist() == target):
            continue
        shape = add_constant(model, f"{node.outputs[0].name}_shape", np.array(target, np.int64))
        node.replace_input_with(1, shape)
        node.attributes.pop("allowzero", None)
        changed = True
    return model, changed


def _reshape_target(node: ir.Node) -> list[int] | None:
    """Return the constant target of a Reshape, or `None` when it cannot be determined."""
    source, output = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    computed = _dims(node.inputs[1]) if constant_of(node.inputs[1]) is None else None
    if computed is not None and source is not None:
        computed = _resolve(computed, source)
    if computed is not None and not any(isinstance(dim, int) and dim <= 0 for dim in computed):
        if output is None or len(output) != len(computed):
            output = tuple(computed)
        output = tuple(b if isinstance(b, int) else a for a, b in zip(output, computed, strict=True))
    if output is None or 0 in output or (source is not None and 0 in source):
        return None
    free = [i for i, dim in enumerate(output) if not isinstance(dim, int)]
    if len(free) <= 1:
        return [dim if isinstance(dim, int) else -1 for dim in output]
    if source is not None and all(i < len(source) and output[i] is not None and source[i] == output[i] for i in free):
        return [dim if isinstance(dim, int) else 0 for dim in output]
    return None


def _resolve(target: list[Dim], source: tuple[Dim, ...]) -> list[Dim]:
    """Write the 0 (as in the source) and -1 (what is left) of a Reshape's target as what they stand for."""
    dims = [source[i] if dim == 0 and i < len(source) else dim for i, dim in enumerate(target)]
    if dims.count(-1) != 1:
        return dims
    left = quotient(product(source), product(dim for dim in dims if dim != -1))
    return dims if left is None else [left if dim == -1 else dim for dim in dims]


def sizes_of(value: ir.Value | None) -> list[Dim] | None:
    """Return the sizes a value holds: numbers, names of free ones, `None` for unknown; `None` alone for no sizes."""
    return _dims(value)


def _dims(value: ir.Value | None, depth: int = 0) -> list[Dim] | None:
    """Evaluate a 0-D or 1-D integer value as a list of sizes, names of free dimensions and `None` for unknown."""
    constant = constant_of(value)
    if constant is not None:
        if constant.ndim > 1 or constant.dtype.kind not in "iu":
            return None
        return [int(item) for item in constant.reshape(-1)]
    node = value.producer() if value is not None else None
    if node is None or depth > _DEPTH or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape":
        shape = shape_of(node.inputs[0])
        start, end = attribute(node, "start", 0), attribute(node, "end", None)
        return list(shape[start:end]) if shape is not None else None
    if node.op_type in ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape"):
        return _dims(node.inputs[0], depth + 1)
    if node.op_type == "Concat":
        parts = [_dims(part, depth + 1) for part in node.inputs]
        return None if any(part is None for part in parts) else [dim for part in parts for dim in (part or [])]
    if node.op_type == "Gather":
        return _gather(node, depth)
    if node.op_type == "Slice":
        return _slice(node, depth)
    if node.op_type in ("Mul", "Div", "Add", "Sub", "Max"):
        return _arithmetic(node, depth)
    if node.op_type == "ReduceProd":
        dims = _dims(node.inputs[0], depth + 1)
        return None if dims is None else [product(dims)]
    return None


def _gather(node: ir.Node, depth: int) -> list[Dim] | None:
    dims, indices = _dims(node.inputs[0], depth + 1), constant_of(node.inputs[1])
    if dims is None or indices is None or indices.ndim > 1:
        return None
    picked = [int(index) for index in indices.reshape(-1)]
    return [dims[index] for index in picked] if all(-len(dims) <= index < len(dims) for index in picked) else None


def _slice(node: ir.Node, depth: int) -> list[Dim] | None:
    dims = _dims(node.inputs[0], depth + 1)
    given = [constant_of(input_of(node, index)) for index in (1, 2, 4)]
    start, end, step = (int(array.reshape(-1)[0]) if array is not None else None for array in given)
    if dims is None or start is None or end is None or (input_of(node, 4) is not None and step is None):
        return None
    return dims[slice(start, end, step)] if (step or 1) > 0 else None


def _arithmetic(node: ir.Node, depth: int) -> list[Dim] | None:
    left, right = _dims(node.inputs[0], depth + 1), _dims(node.inputs[1], depth + 1)
    if left is None or right is None or (len(left) != len(right) and 1 not in (len(left), len(right))):
        return None
    length = max(len(left), len(right))
    left, right = (dims * length if len(dims) == 1 else dims for dims in (left, right))
    results: list[Dim] = []
    for a, b in zip(left, right, strict=True):
        if node.op_type == "Mul":
            results.append(product([a, b]))
        elif node.op_type == "Div":
            results.append(quotient(a, b))
        elif isinstance(a, int) and isinstance(b, int):
            results.append({"Add": a + b, "Sub": a - b, "Max": max(a, b)}[node.op_type])
        elif node.op_type == "Max" and (a == b or 1 in (a, b)):  # no dimension is smaller than 1
            results.append(b if a == 1 else a)
        else:
            results.append(None)
    return results
