"""Finding the inputs and outputs of a frozen TensorFlow graph, which does not name them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import TensorSpec

_FRONT_ENDS = {
    "AudioSpectrogram",
    "DecodeBmp",
    "DecodeGif",
    "DecodeImage",
    "DecodeJpeg",
    "DecodePng",
    "DecodeWav",
    "Mfcc",
}
"""Operations that make numbers of files; no format here has them, so the graph begins behind them."""

_NO_RESULTS = {"Assert", "Const", "NoOp", "Placeholder", "Print"}
_LOOPS = {"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"}
_VARIABLES = {"Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable"}


@dataclass(frozen=True, kw_only=True)
class FrozenBoundary:
    """Where a frozen graph begins and ends.

    Attributes:
        graph_def: the graph, cut to what the outputs need.
        inputs: the inputs, named as their nodes.
        feeds: their tensors, in the same order.
        outputs: the outputs, named as their nodes (`node:1` for a second output of a node).
        fetches: their tensors, in the same order.
        notes: what was left out.
    """

    graph_def: Any
    inputs: tuple[TensorSpec, ...]
    feeds: tuple[str, ...]
    outputs: tuple[str, ...]
    fetches: tuple[str, ...]
    notes: tuple[str, ...]


def find_boundary(tensorflow: Any, graph_def: Any, *, wanted: Sequence[str], where: str) -> FrozenBoundary:
    """Find the inputs (placeholders, or nodes that are wanted) and the outputs (nodes that no other reads).

    Args:
        tensorflow: the package.
        graph_def: a `tf.compat.v1.GraphDef`.
        wanted: names of nodes to begin at, beside or instead of placeholders.
        where: the file, for messages.

    Raises:
        ModelError: the graph has variables, no inputs, or no outputs.
        UsageError: a wanted name is no node.
    """
    graph = tensorflow.Graph()
    with graph.as_default():
        tensorflow.graph_util.import_graph_def(graph_def, name="")
    operations = {operation.name: operation for operation in graph.get_operations()}
    variables = [name for name, operation in operations.items() if operation.type in _VARIABLES]
    if variables:
        raise ModelError(
            f"{where} is no frozen graph: it has {len(variables)} variables without values, such as {variables[0]!r}.",
            hint="Freeze it together with its checkpoint, or give the SavedModel folder.",
        )
    for name in wanted:
        if name not in operations:
            near = difflib.get_close_matches(name, operations, n=3) or list(operations)[:5]
            raise UsageError(f"{where} has no node named {name!r}.", hint=f"Near it: {', '.join(near)}.")
    begins, ends, notes = _begins_and_ends(operations, wanted)
    if not begins or not ends:
        raise ModelError(
            f"{where} has {'no placeholder' if not begins else 'nothing that depends on its inputs'}.",
            hint="Name the node to begin at with its shape, such as --shape NODE=1x25x10.",
        )
    feeds = [operations[name].outputs[0] for name in begins]
    fetches = [tensor for name in ends for tensor in operations[name].outputs]
    nodes = list(dict.fromkeys(tensor.op.name for tensor in fetches))
    return FrozenBoundary(
        graph_def=_cut(tensorflow, graph_def, begins, nodes),
        inputs=tuple(_spec(tensor, wanted, where) for tensor in feeds),
        feeds=tuple(tensor.name for tensor in feeds),
        outputs=tuple(tensor.name.removesuffix(":0") for tensor in fetches),
        fetches=tuple(tensor.name for tensor in fetches),
        notes=tuple(notes),
    )


def _begins_and_ends(operations: dict[str, Any], wanted: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the nodes to begin at, the nodes to end at, and notes on what is left out before."""
    begins = []
    passed: dict[str, str] = {}
    for name, operation in operations.items():
        if operation.type == "Placeholder":
            reached, seen = _behind_front_end(operation, set(wanted))
            begins.extend(reached)
            passed.update({node: " → ".join([name, *seen]) for node in reached if seen or node != name})
    begins = list(dict.fromkeys([*begins, *wanted]))
    ends = _ends(operations, begins)
    kept = [name for name in begins if _reach(operations, [name], stop=set(begins) - {name}) & set(ends)]
    notes = [f"The graph begins at {name!r}; left out before it: {passed[name]}." for name in kept if name in passed]
    return kept, ends, notes


def _behind_front_end(placeholder: Any, wanted: set[str]) -> tuple[list[str], list[str]]:
    """Follow a placeholder through decoding to the last decoder of each branch; and name the decoders passed."""
    reached: list[str] = []
    seen: list[str] = []
    waiting = [placeholder]
    while waiting:
        operation = waiting.pop(0)
        if operation.name in wanted:
            reached.append(operation.name)
            continue
        readers = [reader for tensor in operation.outputs for reader in tensor.consumers()]
        decoders = [reader for reader in readers if reader.type in _FRONT_ENDS]
        if operation is not placeholder and len(decoders) < len(readers):
            reached.append(operation.name)
            continue
        if operation is placeholder and not decoders:
            return [operation.name], []
        for reader in decoders:
            if reader.name not in seen:
                seen.append(reader.name)
                waiting.append(reader)
    return list(dict.fromkeys(reached)), [name for name in seen if name not in reached]


def _ends(operations: dict[str, Any], begins: Sequence[str]) -> list[str]:
    """Return the nodes that depend on the inputs and that no other node reads."""
    reached = _reach(operations, begins, stop=set())
    ends = [
        name
        for name, operation in operations.items()
        if name in reached
        and name not in begins
        and operation.type not in _NO_RESULTS
        and operation.outputs
        and not any(tensor.consumers() for tensor in operation.outputs)
    ]
    return [name for name in ends if operations[name].type not in _LOOPS] or ends  # counters that nothing reads


def _reach(operations: dict[str, Any], begins: Sequence[str], *, stop: set[str]) -> set[str]:
    reached = set(begins)
    waiting = list(begins)
    while waiting:
        for tensor in operations[waiting.pop()].outputs:
            for reader in tensor.consumers():
                if reader.name not in reached and reader.name not in stop:
                    reached.add(reader.name)
                    waiting.append(reader.name)
    return reached


def _cut(tensorflow: Any, graph_def: Any, begins: Sequence[str], ends: Sequence[str]) -> Any:
    """Return the graph with placeholders where it begins, and without what its ends do not need."""
    copy = tensorflow.compat.v1.GraphDef()
    copy.CopyFrom(graph_def)
    for node in copy.node:
        if node.name in begins and node.op != "Placeholder":
            node.op = "Placeholder"
            del node.input[:]
            node.attr.clear()
    return tensorflow.compat.v1.graph_util.extract_sub_graph(copy, [*ends, *begins])


def _spec(tensor: Any, wanted: Sequence[str], where: str) -> TensorSpec:
    if tensor.dtype.name in ("string", "resource", "variant"):
        raise ModelError(
            f"{where}: the input {tensor.op.name!r} is a {tensor.dtype.name}, which no format here takes.",
            hint="Name the node after the decoding with its shape, such as --shape NODE=1x25x10.",
        )
    if tensor.shape.rank is None and tensor.op.name not in wanted:
        raise ModelError(
            f"{where}: the input {tensor.op.name!r} has no shape.",
            hint=f"Give it, such as --shape {tensor.op.name}=1x224x224x3.",
        )
    shape = tuple(tensor.shape.as_list()) if tensor.shape.rank is not None else ()
    return TensorSpec(name=tensor.op.name, shape=shape, dtype=np.dtype(tensor.dtype.as_numpy_dtype).name)
