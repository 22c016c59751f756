"""Arithmetic on sizes: what a graph computes from shapes, held in NumPy arrays of Python integers, not in tensors.

So a free batch stays free when the twin is exported, and a Reshape gets sizes it can use. `Shape` starts it; an
operator of `HOST_OPERATORS` goes on with it when all that it reads are sizes or constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.train.ops.view import NodeView, Run, Tensor

Sizes = NDArray[Any]
"""An array (dtype object) of Python integers, or of PyTorch's symbolic ones while it exports."""


def shape(view: NodeView) -> Run:
    """Shape: the sizes of a tensor, or of some of its axes."""
    start, end = view.integer("start", 0), view.node.attributes.get_int("end", None)

    def run(x: Tensor) -> Sizes:
        return _sizes(list(x.shape)[start:end])

    return run


def size(view: NodeView) -> Run:
    """Size: how many values a tensor has."""

    def run(x: Tensor) -> Sizes:
        count: Any = 1
        for one in x.shape:
            count = count * one
        found = np.empty((), object)
        found[()] = count
        return found

    return run


def can_cast(node: ir.Node) -> bool:
    """Tell whether a Cast of sizes stays one: to integers."""
    return ir.DataType(node.attributes.get_int("to", 1)).is_integer()


def _sizes(items: list[Any]) -> Sizes:
    found = np.empty(len(items), object)
    found[:] = items
    return found


def _slice(view: NodeView, *given: Any) -> Sizes:
    data, starts, ends = given[:3]
    step = int(given[4].reshape(-1)[0]) if len(given) > 4 and given[4] is not None else 1
    return data[int(starts.reshape(-1)[0]) : int(ends.reshape(-1)[0]) : step]  # type: ignore[no-any-return]


HOST_OPERATORS: dict[str, Callable[..., Sizes]] = {
    "Add": lambda view, a, b: np.asarray(a + b, object),
    "Sub": lambda view, a, b: np.asarray(a - b, object),
    "Mul": lambda view, a, b: np.asarray(a * b, object),
    "Div": lambda view, a, b: np.asarray(a // b, object),
    "Cast": lambda view, a: a,
    "Identity": lambda view, a: a,
    "Concat": lambda view, *parts: np.concatenate([np.asarray(part, object).reshape(-1) for part in parts]),
    "Gather": lambda view, a, indices: np.asarray(a[indices.astype(np.int64)], object),
    "Slice": _slice,
    "Squeeze": lambda view, a, *_: np.asarray(a, object).reshape(()),
    "Unsqueeze": lambda view, a, *_: np.asarray(a, object).reshape(-1),
    "Reshape": lambda view, a, *_: np.asarray(a, object).reshape(-1),
}
"""Operator → what it does with sizes: the view, then sizes and constant arrays in the order of the inputs."""

READS_SIZES: dict[str, frozenset[int]] = {
    "ConstantOfShape": frozenset({0}),
    "Expand": frozenset({1}),
    "Range": frozenset({0, 1, 2}),
    "Reshape": frozenset({1}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Tile": frozenset({1}),
}
"""Operator → inputs at which it takes sizes as they are; everywhere else they become tensors."""
