"""Layers whose weight can be written as the product of two smaller ones, all seen as one matrix `W [outputs, inputs]`.

| kind | operator | outputs × inputs of the matrix |
|---|---|---|
| dense | Gemm, MatMul | as they are |
| convolution | Conv without groups | channels × (channels · places of the kernel) |
| embedding | Gather of rows of a table | width × rows: what the table gives for a row chosen by one |
| recurrent | LSTM, GRU, RNN: what reads the input | (directions · gates · hidden units) × inputs |

Not here: the recurrent matrices R, which work inside the operator, state after state; ONNX has no projected state, so
two factors would need the loop written out, which is larger. Hidden units are cut instead (`groups.py`). Depthwise and
grouped convolutions have nothing to share. A table that is both looked up and multiplied by is left whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import attribute, constant_of, input_of, nodes
from edgeai_converters.quantize.dense_weights import dense_weights

LowRankKind = Literal["dense", "convolution", "embedding", "recurrent"]

LEAST_ELEMENTS = 1024
"""Smaller weights stay whole: little is saved, and each costs a layer more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FactorableLayer:
    """A weight that can be written as a product.

    Attributes:
        name: of the weight.
        kind: see above.
        value: the constant.
        nodes: the nodes that read it.
        matrix: the weight as `[outputs, inputs]`, float64.
        watched: names of the values whose second moments say what the layer is used for.
        side: whether these are what the layer gives (with its bias) or what it reads.
    """

    name: str
    kind: LowRankKind
    value: ir.Value
    nodes: tuple[ir.Node, ...]
    matrix: NDArray[np.float64]
    watched: tuple[str, ...]
    side: Literal["output", "input"]

    @property
    def outputs(self) -> int:
        """Rows of the matrix."""
        return int(self.matrix.shape[0])

    @property
    def inputs(self) -> int:
        """Columns of the matrix."""
        return int(self.matrix.shape[1])

    @property
    def full_rank(self) -> int:
        """The largest rank the matrix can have."""
        return min(self.outputs, self.inputs)

    @property
    def parameters(self) -> int:
        """Its weights, without a bias."""
        return self.outputs * self.inputs

    @property
    def largest_rank(self) -> int:
        """The largest rank at which both factors together have fewer weights; 0 when there is none."""
        return (self.parameters - 1) // (self.outputs + self.inputs)

    def parameters_at(self, rank: int) -> int:
        """The weights of both factors."""
        return rank * (self.outputs + self.inputs)

    @property
    def bias(self) -> NDArray[np.float64] | None:
        """The bias of a Gemm or Conv that reads the weight alone, `[outputs]`; `None` for others."""
        if len(self.nodes) != 1 or self.nodes[0].op_type not in ("Gemm", "Conv"):
            return None
        array = constant_of(input_of(self.nodes[0], 2))
        if array is None or array.size != self.outputs or array.shape[-1] != self.outputs:
            return None
        return array.reshape(-1).astype(np.float64)

    def rows(self, array: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return a watched value as rows, `[n, outputs]` or `[n, inputs]`."""
        last = np.moveaxis(array, 1, -1) if self.kind == "convolution" else array
        return last.reshape(-1, last.shape[-1]).astype(np.float64)


def factorable_layers(model: ir.Model, *, least_elements: int = LEAST_ELEMENTS) -> tuple[FactorableLayer, ...]:
    """Return the layers of a float graph that get smaller at some rank, in the order of the graph by kind.

    Args:
        model: the float graph, simplified.
        least_elements: weights with fewer elements are left out.
    """
    found = (
        *_dense(model, least_elements),
        *_convolutions(model, least_elements),
        *_embeddings(model, least_elements),
        *_recurrent(model, least_elements),
    )
    return tuple(layer for layer in found if layer.largest_rank >= 1)


def _dense(model: ir.Model, least_elements: int) -> Iterator[FactorableLayer]:
    for weight in dense_weights(model, least_elements=least_elements, group=0):
        matrix = weight.matrix.astype(np.float64)
        side: Literal["output", "input"] = "output" if matrix.shape[0] <= matrix.shape[1] else "input"
        values = [node.outputs[0] if side == "output" else node.inputs[0] for node in weight.nodes]
        yield FactorableLayer(
            name=str(weight.value.name),
            kind="dense",
            value=weight.value,
            nodes=weight.nodes,
            matrix=matrix,
            watched=tuple(dict.fromkeys(str(value.name) for value in values if value is not None)),
            side=side,
        )


def _convolutions(model: ir.Model, least_elements: int) -> Iterator[FactorableLayer]:
    for value, readers, array in _weights(model, ("Conv",), 1, least_elements):
        if all(int(attribute(node, "group", 1)) == 1 for node in readers):
            yield FactorableLayer(
                name=str(value.name),
                kind="convolution",
                value=value,
                nodes=readers,
                matrix=array.reshape(array.shape[0], -1),
                watched=tuple(str(node.outputs[0].name) for node in readers),
                side="output",
            )


def _embeddings(model: ir.Model, least_elements: int) -> Iterator[FactorableLayer]:
    for value, readers, array in _weights(model, ("Gather",), 0, least_elements):
        if array.ndim == 2 and all(int(attribute(node, "axis", 0)) in (0, -2) for node in readers):
            yield FactorableLayer(
                name=str(value.name),
                kind="embedding",
                value=value,
                nodes=readers,
                matrix=array.T,
                watched=tuple(str(node.outputs[0].name) for node in readers),
                side="output",
            )


def _recurrent(model: ir.Model, least_elements: int) -> Iterator[FactorableLayer]:
    for value, readers, array in _weights(model, ("LSTM", "GRU", "RNN"), 1, least_elements):
        if readers[0].inputs[0] is not None and len(readers) == 1:
            yield FactorableLayer(
                name=str(value.name),
                kind="recurrent",
                value=value,
                nodes=readers,
                matrix=array.reshape(-1, array.shape[2]),
                watched=(str(readers[0].inputs[0].name),),
                side="input",
            )


def _weights(
    model: ir.Model, op_types: tuple[str, ...], index: int, least_elements: int
) -> Iterator[tuple[ir.Value, tuple[ir.Node, ...], NDArray[np.float64]]]:
    """Yield finite float32 constants that only nodes of some types read, all of them as the same input."""
    seen: set[ir.Value] = set()
    for node in nodes(model, *op_types):
        value = input_of(node, index)
        array = constant_of(value)
        if value is None or array is None or value in seen:
            continue
        seen.add(value)
        only = all(use.idx == index and use.node.op_type in op_types for use in value.uses())
        if not only or array.dtype != np.float32 or array.size < least_elements or value.is_graph_output():
            continue
        if bool(np.isfinite(array).all()):
            yield value, tuple(dict.fromkeys(use.node for use in value.uses())), array.astype(np.float64)
