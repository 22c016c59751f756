"""Layers as matrix products: rows drawn from a layer's input, and its weight as one matrix per group.

A convolution is a product of the patch around a place with the weights: `[group, K] · [group, O, K]`, with `K` the
input channels of a group times the places of the kernel and `O` the output channels of a group. Rows are drawn, not
all made: a map of 112 × 112 has twelve thousand of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """How one layer is read as a matrix product.

    Attributes:
        rows: `(input, places) → [len(places), group, K]`; a place is a share in [0, 1) of all rows of the input.
        matrix_of: the layer's weight → `[group, O, K]`.
        weight_of: such a matrix and the weight's shape → the weight.
    """

    rows: Callable[[NDArray[Any], NDArray[np.float64]], NDArray[np.float32]]
    matrix_of: Callable[[NDArray[Any]], NDArray[Any]]
    weight_of: Callable[[NDArray[Any], Sequence[int]], NDArray[Any]]


def row_reader(node: ir.Node) -> RowReader | None:
    """Return how to read a Conv, Gemm or MatMul with a constant matrix; `None` for what cannot be read so."""
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if weight is None or weight.const_value is None:
        return None
    if node.op_type == "Conv" and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET":
        return _conv_reader(node, [int(size) for size in weight.const_value.shape.numpy()])
    if node.op_type == "Gemm":
        plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        if plain and not node.attributes.get_int("transA", 0):
            return _dense_reader(turned=not node.attributes.get_int("transB", 0))
    if node.op_type == "MatMul" and len(weight.const_value.shape) == 2:
        return _dense_reader(turned=True)
    return None


def _dense_reader(*, turned: bool) -> RowReader:
    """Return the reader of a dense layer; `turned` when its weight is `[in, out]`."""

    def rows(array: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float32]:
        flat = array.reshape(-1, array.shape[-1])
        return np.asarray(flat[(places * len(flat)).astype(np.int64), None, :], np.float32)

    return RowReader(
        rows=rows,
        matrix_of=lambda weight: (weight.T if turned else weight)[None],
        weight_of=lambda matrix, shape: matrix[0].T if turned else matrix[0],
    )


def _conv_reader(node: ir.Node, shape: Sequence[int]) -> RowReader:
    rank = len(shape) - 2
    groups = int(node.attributes.get_int("group", 1))
    strides = node.attributes.get_ints("strides", (1,) * rank)
    dilations = node.attributes.get_ints("dilations", (1,) * rank)
    pads = node.attributes.get_ints("pads", (0,) * (2 * rank))
    spatial = tuple(range(2, 2 + rank))
    spans = tuple((size - 1) * step + 1 for size, step in zip(shape[2:], dilations, strict=True))

    def rows(array: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float32]:
        padded = np.pad(array, [(0, 0), (0, 0), *((pads[i], pads[rank + i]) for i in range(rank))])
        windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=spatial)
        steps = (1, 1, *strides, *dilations)
        windows = windows[tuple(slice(None, None, step) for step in steps)]
        counts = (windows.shape[0], *windows.shape[2 : 2 + rank])
        chosen = np.unravel_index((places * math.prod(counts)).astype(np.int64), counts)
        patches = windows[(chosen[0], slice(None), *chosen[1:])]  # [places, channels, *kernel]
        return np.asarray(patches.reshape(len(places), groups, -1), np.float32)

    return RowReader(
        rows=rows,
        matrix_of=lambda weight: weight.reshape(groups, shape[0] // groups, -1),
        weight_of=lambda matrix, given: matrix.reshape(given),
    )
