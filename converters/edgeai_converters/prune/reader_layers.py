"""Layers that read channels, seen as matrix products: rows of their inputs, rows of their outputs, normal equations.

A layer is `Y = X · Wᵀ + b` with the rows `X [n, K]` its input patches. Rows are drawn at random places of every batch,
and only the sums `XᵀX [K, K]` and `XᵀY [K, O]` are kept, per group of the layer: memory does not grow with samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import attribute, constant_of, input_of
from edgeai_converters.quantize.layer_rows import RowReader, row_reader

ROWS_PER_SAMPLE = 16
"""Places of a map that are drawn from each sample; neighbours say much the same."""


@dataclass(frozen=True, kw_only=True)
class ReaderLayer:
    """A Conv, Gemm or MatMul with a constant matrix.

    Attributes:
        node: the node.
        weight: name of its weight.
        groups: number of groups of a convolution, else 1.
        reader: how its input is drawn as rows.
    """

    node: ir.Node
    weight: str
    groups: int
    reader: RowReader

    @property
    def source(self) -> str:
        """Name of its input."""
        return str(self.node.inputs[0].name) if self.node.inputs[0] is not None else ""

    @property
    def output(self) -> str:
        """Name of its output, which also names the layer: it stays the same when channels are cut."""
        return str(self.node.outputs[0].name)

    @property
    def bias(self) -> NDArray[Any] | None:
        """Its bias of one number per output, if it has one."""
        return constant_of(input_of(self.node, 2))

    def input_rows(self, array: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return rows of an input, `[n, groups, K]`; a place is a share in [0, 1) of all rows."""
        return self.reader.rows(array, places)

    def output_rows(self, array: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same rows of an output, `[n, groups, O]`."""
        last = np.moveaxis(array, 1, -1) if self.node.op_type == "Conv" else array
        flat = last.reshape(-1, last.shape[-1])
        rows = flat[(places * len(flat)).astype(np.int64)]
        return np.asarray(rows.reshape(len(places), self.groups, -1), np.float64)


def reader_layers(model: ir.Model) -> Iterator[ReaderLayer]:
    """Yield the layers in the order of the graph; those whose weight or bias several nodes share are left out."""
    for node in model.graph:
        reader = row_reader(node) if node.domain in ("", "ai.onnx") else None
        weight = node.inputs[1] if len(node.inputs) > 1 else None
        if reader is None or weight is None or len(weight.uses()) != 1 or node.inputs[0] is None:
            continue
        bias = input_of(node, 2)
        if bias is not None and (constant_of(bias) is None or len(bias.uses()) != 1 or len(bias.shape or ()) != 1):
            continue
        groups = int(attribute(node, "group", 1)) if node.op_type == "Conv" else 1
        yield ReaderLayer(node=node, weight=str(weight.name), groups=groups, reader=reader)


class NormalEquations:
    """The sums of a least-squares problem with a constant column, gathered rows by rows.

    Products of one batch are made in float32, which the inputs are in, and added up in float64.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.inputs: NDArray[np.float64] = np.zeros((0, 0, 0))
        self.products: NDArray[np.float64] = np.zeros((0, 0, 0))
        self.energy = 0.0

    def add(self, rows: NDArray[Any], wanted: NDArray[Any]) -> None:
        """Add rows `[n, groups, K]` with what is wanted of them, `[n, groups, O]`."""
        ones = np.ones((*rows.shape[:2], 1), np.float32)
        inputs = np.concatenate([np.asarray(rows, np.float32), ones], axis=2)
        by_group = np.ascontiguousarray(np.moveaxis(inputs, 0, 1))  # [groups, n, K]
        turned = np.swapaxes(by_group, 1, 2)
        squares = turned @ by_group
        products = turned @ np.moveaxis(np.asarray(wanted, np.float32), 0, 1)
        if self.rows == 0:
            self.inputs, self.products = np.zeros(squares.shape), np.zeros(products.shape)
        self.inputs += squares
        self.products += products
        self.energy += float(np.square(wanted, dtype=np.float64).sum())
        self.rows += len(rows)

    def solve(
        self, start: NDArray[Any], *, constant: NDArray[Any] | None, damping: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the weights `[groups, O, K]` and constants `[groups, O]` that fit best.

        Args:
            start: the weights that the solution is drawn to, `[groups, O, K]`.
            constant: the constants that it is drawn to, `[groups, O]`; `None` when the layer has none.
            damping: weight of being drawn there, as a share of the mean square of an input.
        """
        size = start.shape[2]
        known = size if constant is None else size + 1
        matrix = self.inputs[:, :known, :known].copy()
        inner = np.arange(size)
        strength = damping * matrix[:, inner, inner].mean(axis=1) + 1e-12 * max(1, self.rows)
        matrix[:, inner, inner] += strength[:, None]
        if constant is not None:
            matrix[:, size, size] += 1e-9 * self.rows
        right = self.products[:, :known].copy()
        right[:, :size] += strength[:, None, None] * np.moveaxis(np.asarray(start, np.float64), 2, 1)
        if constant is not None:
            right[:, size] += 1e-9 * self.rows * constant
        found: NDArray[np.float64] = np.asarray(np.linalg.solve(matrix, right), np.float64)
        weights = np.moveaxis(found[:, :size], 1, 2)
        return weights, None if constant is None else found[:, size]


def draw_places(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return places for `n` samples."""
    return random.random(n * ROWS_PER_SAMPLE)
