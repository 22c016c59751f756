"""Loops and branches: WHILE → Loop, IF → If; and what is said of those that cannot be written.

TensorFlow's converter writes recurrent layers as WHILE, with the condition and the body in subgraphs. The simplifier
turns a loop whose trips are known into a recurrent layer or writes it out (`passes/unroll_loop.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx_ir as ir

from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.subgraphs import Subgraphs
from edgeai_converters.emit.tflite.write_context import UnwritableError, WriteContext

DType = np.dtype[Any]

_BOOL: DType = np.dtype(np.bool_)
_INT64: DType = np.dtype(np.int64)


def read_while(context: ReadContext, operator: Operator) -> None:
    """Read WHILE: the condition is tested before the loop, and at the end of every trip.

    What the body gives on unchanged is not carried: the body reads the value outside.
    """
    condition, body = (int(operator.option(f"{word}SubgraphIndex")) for word in ("cond", "body"))
    subgraphs = _subgraphs(context)
    inputs, outputs = subgraphs.boundary(body)
    if len(outputs) != len(operator.inputs):
        raise UnreadableError(f"its body gives {len(outputs)} values for {len(operator.inputs)} that it is given")
    name = context.name(operator.outputs[0])
    outer = [context.source(tensor) for tensor in operator.inputs]
    kept = [start == end for start, end in zip(inputs, outputs, strict=True)]
    constants = {
        place: value
        for place, tensor in enumerate(operator.inputs)
        if kept[place] and (value := context.constant(tensor)) is not None
    }
    before, (goes_on,) = subgraphs.read(context, condition, outer)
    context.nodes.extend(before.nodes)
    starts = [
        value if kept[place] else context.unique(f"{name}/carried{place}/start") for place, value in enumerate(outer)
    ]
    inner, ends = subgraphs.read(context, body, starts, constants)
    after, (again,) = subgraphs.read(inner, condition, [ends[i] if not kept[i] else outer[i] for i in range(len(ends))])
    changed = [place for place in range(len(outer)) if not kept[place]]
    nodes = [*inner.nodes, *after.nodes]
    results = [again, *(ends[place] for place in changed)]
    infos = [
        _info(context.unique(f"{name}/trip"), _INT64, ()),
        _info(context.unique(f"{name}/goes_on"), _BOOL, ()),
    ]
    infos.extend(_info(starts[place], _dtype(context, operator.inputs[place]), None) for place in changed)
    types = [_BOOL, *(_dtype(context, operator.inputs[place]) for place in changed)]
    graph = _graph(context, f"{name}/body", nodes, infos, results, types)
    targets = [context.name(operator.outputs[place]) for place in changed]
    context.nodes.append(
        onnx.helper.make_node("Loop", ["", goes_on, *(outer[place] for place in changed)], targets, name, body=graph)
    )
    for place, source in enumerate(outer):
        if kept[place]:
            context.add("Identity", [source], context.name(operator.outputs[place]))


def read_if(context: ReadContext, operator: Operator) -> None:
    """Read IF: both branches read the values outside."""
    subgraphs = _subgraphs(context)
    outer = [context.source(tensor) for tensor in operator.inputs]
    name = context.name(operator.outputs[0])
    graphs = {}
    for word in ("then", "else"):
        inner, ends = subgraphs.read(context, int(operator.option(f"{word}SubgraphIndex")), outer[1:])
        types = [_dtype(context, tensor) for tensor in operator.outputs]
        graphs[f"{word}_branch"] = _graph(context, f"{name}/{word}", inner.nodes, [], ends, types)
    targets = [context.name(tensor) for tensor in operator.outputs]
    context.nodes.append(onnx.helper.make_node("If", [outer[0]], targets, name, **graphs))


def refuse_loop(context: WriteContext, node: ir.Node) -> None:
    """Say why a Loop or Scan was not written out."""
    raise UnwritableError(
        "a loop that was not written out: its number of trips is not known (fix the length of the sequence with "
        "--shape), or written out it would be too large"
    )


def refuse_branch(context: WriteContext, node: ir.Node) -> None:
    """Say why an If was not resolved."""
    raise UnwritableError("a branch whose condition is only known when the model runs")


def _subgraphs(context: ReadContext) -> Subgraphs:
    assert context.subgraphs is not None
    return context.subgraphs


def _dtype(context: ReadContext, tensor: int) -> DType:
    """Return the type that a tensor has in the graph: quantized integers are floats."""
    stored = context.tensors[tensor]
    floats = stored.quantization is not None or stored.dtype == "float16"
    return np.dtype(np.float32 if floats else stored.dtype)


def _info(name: str, dtype: DType, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)


def _graph(
    context: ReadContext,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    results: Sequence[str],
    types: Sequence[DType],
) -> onnx.GraphProto:
    """Return a graph whose outputs are values of its own: what is passed through goes through an Identity."""
    ends = [context.unique(f"{name}/result{place}") for place in range(len(results))]
    copies = [onnx.helper.make_node("Identity", [value], [end], end) for value, end in zip(results, ends, strict=True)]
    infos = [_info(end, dtype, None) for end, dtype in zip(ends, types, strict=True)]
    return onnx.helper.make_graph([*nodes, *copies], name, inputs, infos)
