"""The products of a loop's body by constant matrices: what is multiplied, by what, and what is added.

MatMul(x, W)                 →  x by W
Gemm(x, W, b)                →  x by W, plus b
MatMul(Concat(x, h), W)      →  x by the upper rows of W, h by the lower
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.helper
import onnx.reference
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, constant_of, input_of
from edgeai_converters.graph.recurrent.loop import CountedLoop
from edgeai_converters.graph.recurrent.trial import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """One product: value of the body → matrix `[numbers of the value, width]`, and what is added (`None`: nothing)."""

    terms: dict[ir.Value, Array]
    bias: Array | None

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return int(next(iter(self.terms.values())).shape[1])


def find_products(loop: CountedLoop, needed: list[ir.Node], sizes: dict[ir.Value, int]) -> list[Product] | None:
    """Return the products among nodes of a body, in their order; `None` when one has another form.

    Args:
        loop: the loop.
        needed: the nodes to look at.
        sizes: numbers of values, as far as they are known; to cut the matrix of joined values.
    """
    found = []
    for node in needed:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        matrix, value = constant_in_body(input_of(node, 1), loop), node.inputs[0]
        if matrix is None or matrix.ndim != 2 or value is None:
            return None
        bias = _added(node, needed, loop)
        if node.op_type == "Gemm":
            if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
                return None
            matrix = matrix.T if attribute(node, "transB", 0) else matrix
            own = constant_in_body(input_of(node, 2), loop)
            if input_of(node, 2) is not None and (own is None or own.size != matrix.shape[1]):
                return None
            bias = bias if own is None else own.reshape(-1) + (0 if bias is None else bias)
        terms = _cut(value, matrix, sizes)
        if terms is None:
            return None
        found.append(Product(terms=terms, bias=bias))
    return found


def _cut(value: ir.Value, matrix: Array, sizes: dict[ir.Value, int]) -> dict[ir.Value, Array] | None:
    """Return the rows of a matrix by the values that they are multiplied with."""
    node = value.producer()
    if node is None or node.op_type != "Concat":
        return {value: matrix}
    parts = [part for part in node.inputs if part is not None]
    known = [sizes.get(part) for part in parts]
    missing = [place for place, size in enumerate(known) if size is None]
    if len(set(parts)) < len(parts) or len(missing) > 1 or attribute(node, "axis", 0) not in (1, -1):
        return None
    rest = matrix.shape[0] - sum(size for size in known if size is not None)
    counts = [rest if size is None else size for size in known]
    if min(counts) < 1 or sum(counts) != matrix.shape[0]:
        return None
    pieces = np.split(matrix, np.cumsum(counts)[:-1])
    return dict(zip(parts, pieces, strict=True))


def _added(node: ir.Node, needed: list[ir.Node], loop: CountedLoop) -> Array | None:
    """Return the constant vector that is added to a product, `None` without one."""
    readers = [use.node for use in node.outputs[0].uses() if use.node in needed]
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    for value in readers[0].inputs:
        array = None if value is node.outputs[0] else constant_in_body(value, loop)
        if array is not None:
            return array.reshape(-1) if array.size == max(array.shape, default=0) else array
    return None


def all_added(needed: list[ir.Node], loop: CountedLoop, width: int) -> Array:
    """Return the sum of the constant vectors that are added anywhere, by an Add or a Gemm."""
    total = np.zeros(width, np.float32)
    for node in needed:
        values = node.inputs if node.op_type == "Add" else node.inputs[2:3] if node.op_type == "Gemm" else ()
        for value in values:
            array = constant_in_body(value, loop)
            if array is not None and array.size == width:
                total = total + array.reshape(-1)
    return total


def constant_in_body(value: ir.Value | None, loop: CountedLoop) -> Array | None:
    """Return what a value of the body is at every trip, when it is made of constants only."""
    if value is None:
        return None
    array = constant_of(loop.invariants.get(value, value))
    node = value.producer()
    if array is not None or node is None or node.graph is not loop.body:
        return array
    inputs = [constant_in_body(one, loop) for one in node.inputs if one is not None]
    if not inputs or any(one is None for one in inputs):
        return None
    results = compute([node], {str(one.name): one_array for one, one_array in _named(node, inputs)}, [value])
    return None if results is None else results[0]


def _named(node: ir.Node, arrays: list[Array | None]) -> Iterable[tuple[ir.Value, Array]]:
    present = [value for value in node.inputs if value is not None]
    return ((value, array) for value, array in zip(present, arrays, strict=True) if array is not None)


def compute(nodes: list[ir.Node], inputs: dict[str, Array], outputs: list[ir.Value]) -> list[Array] | None:
    """Compute nodes by ONNX's reference implementation; `None` for what it cannot compute."""
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    ends = [onnx.helper.make_empty_tensor_value_info(str(value.name)) for value in outputs]
    try:
        graph = onnx.helper.make_graph([ir.to_proto(node) for node in nodes], "part", infos, ends)
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
        return [np.asarray(one) for one in onnx.reference.ReferenceEvaluator(proto).run(None, inputs)]
    except Exception:  # the reference implementation raises whatever a node provokes
        return None
