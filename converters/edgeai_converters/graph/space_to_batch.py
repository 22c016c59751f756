"""SpaceToBatch and BatchToSpace, which ONNX does not have, as functions of the model; TensorFlow dilates with them.

A reader adds a node of the domain `edgeai` and, when all nodes are there, the functions by `add_functions`: any engine
of ONNX runs that. `graph/dilate.py` makes dilated convolutions of pairs; `prepare_graph` inlines what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import onnx.helper

DOMAIN = "edgeai"
TO_BATCH, TO_SPACE = "SpaceToBatch", "BatchToSpace"
_OPSET = 18


def op_type(kind: str, blocks: Sequence[int]) -> str:
    """Return the operator's name for blocks, one per axis; the batch axis has the block 1.

    Inputs: the value, amounts at the begin of each axis, amounts at the end (int64 vectors): padding by zeros before
    SpaceToBatch, cropping after BatchToSpace.

    >>> op_type(TO_BATCH, (1, 2, 1))
    'SpaceToBatch_1_2_1'
    """
    return "_".join([kind, *(str(block) for block in blocks)])


def blocks_of(name: str, kind: str) -> tuple[int, ...] | None:
    """Return the blocks of an operator's name; `None` for another kind.

    >>> blocks_of("SpaceToBatch_1_2_1", TO_BATCH)
    (1, 2, 1)
    """
    head, *sizes = name.split("_")
    return tuple(int(size) for size in sizes) if head == kind else None


def add_functions(model: onnx.ModelProto) -> None:
    """Add the functions that the nodes of the model call, in place."""
    names = sorted({node.op_type for node in _all_nodes(model.graph) if node.domain == DOMAIN})
    for name in names:
        to_batch, to_space = blocks_of(name, TO_BATCH), blocks_of(name, TO_SPACE)
        if to_batch is not None:
            model.functions.append(_function(name, _to_batch(to_batch)))
        elif to_space is not None:
            model.functions.append(_function(name, _to_space(to_space)))
    if names and DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def _function(name: str, nodes: list[onnx.NodeProto]) -> onnx.FunctionProto:
    opsets = [onnx.helper.make_opsetid("", _OPSET)]
    return onnx.helper.make_function(DOMAIN, name, ["x", "begins", "ends"], ["y"], nodes, opsets)


class _Body:
    """The nodes of a function."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def integers(self, values: Sequence[int]) -> str:
        return self.add("Constant", [], value_ints=list(values))

    def sizes(self, value: str, rank: int) -> list[str]:
        """Return the size of each axis, as vectors of one."""
        return [self.add("Shape", [value], start=axis, end=axis + 1) for axis in range(rank)]

    def by_block(self, kind: str, sizes: Sequence[str], blocks: Sequence[int]) -> list[str]:
        """Return the sizes, times or by their blocks."""
        pairs = zip(sizes, blocks, strict=True)
        return [size if block == 1 else self.add(kind, [size, self.integers([block])]) for size, block in pairs]


def _to_batch(blocks: Sequence[int]) -> list[onnx.NodeProto]:
    body = _Body()
    whole = body.add("Pad", ["x", body.add("Concat", ["begins", "ends"], axis=0)])
    sizes = body.sizes(whole, len(blocks))
    counts = body.by_block("Div", sizes, blocks)
    parts: list[str] = []
    inner, outer = [], []
    for count, block in zip(counts, blocks, strict=True):
        outer.append(len(parts))
        parts.append(count)
        if block > 1:
            inner.append(len(parts))
            parts.append(body.integers([block]))
    split = body.add("Reshape", [whole, body.add("Concat", parts, axis=0)])
    moved = body.add("Transpose", [split], perm=[*inner, *outer])
    shape = body.add("Concat", [body.integers([-1]), *counts[1:]], axis=0)
    body.add("Reshape", [moved, shape], "y")
    return body.nodes


def _to_space(blocks: Sequence[int]) -> list[onnx.NodeProto]:
    body = _Body()
    sizes = body.sizes("x", len(blocks))
    inner = [block for block in blocks if block > 1]
    split = body.add("Reshape", ["x", body.add("Concat", [body.integers([*inner, -1]), *sizes[1:]], axis=0)])
    order, number = [], 0
    for axis, block in enumerate(blocks):
        order.append(len(inner) + axis)
        if block > 1:
            order.append(number)
            number += 1
    moved = body.add("Transpose", [split], perm=order)
    grown = body.by_block("Mul", sizes, blocks)
    whole = body.add("Reshape", [moved, body.add("Concat", [body.integers([-1]), *grown[1:]], axis=0)])
    stops = body.add("Sub", [body.add("Shape", [whole]), "ends"])
    body.add("Slice", [whole, "begins", stops, body.integers(range(len(blocks)))], "y")
    return body.nodes
