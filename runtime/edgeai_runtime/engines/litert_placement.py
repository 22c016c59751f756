"""Which operations of a LiteRT interpreter each delegate took, worked out from the interpreter's list of nodes.

LiteRT keeps the nodes that a delegate replaced in its list and appends one `DELEGATE` node per partition, without the
delegate's name: the caller's own delegate comes first, XNNPACK after it. The replaced nodes are those that lie between
a partition's inputs and outputs: walking from the outputs back to the inputs visits exactly them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai_runtime.engines.litert_source import list_nodes
from edgeai_runtime.placement import Device, OperationPlacement

_Node = Mapping[str, Any]


def describe_operations(
    interpreter: Any, delegate: str, device: Device = "cpu", foreign_partitions: int = 0
) -> tuple[OperationPlacement, ...]:
    """Return one entry per operation of the main subgraph, in the order of the file.

    Args:
        interpreter: with its tensors allocated.
        delegate: the delegate in use.
        device: what its partitions run on.
        foreign_partitions: how many partitions belong to a delegate that is not XNNPACK.

    Returns:
        `delegate` on `device` for operations in those partitions; on the CPU, `litert:xnnpack` for operations in the
        others, `litert:cpu` (or `litert:reference`) for the rest. When the interpreter has no list of nodes, one
        `unknown` operation.
    """
    nodes = list_nodes(interpreter)
    if not nodes:
        return (unknown_model(delegate, "this interpreter does not list its nodes"),)
    partitions = [node for node in nodes if node["op_name"] == "DELEGATE"]
    real = [node for node in nodes if node["op_name"] != "DELEGATE"]
    foreign = _taken_nodes(real, partitions[:foreign_partitions])
    xnnpack = _taken_nodes(real, partitions[foreign_partitions:])
    operations = []
    for node in real:
        where: tuple[Device, str, str]
        if node["index"] in foreign:
            where = (device, delegate, "")
        elif node["index"] in xnnpack:
            where = ("cpu", "litert:xnnpack", f"not taken by {delegate}" if foreign_partitions else "")
        elif delegate == "litert:reference":
            where = ("cpu", delegate, "")
        else:
            left = f"{delegate} or XNNPACK" if foreign_partitions else "XNNPACK"
            where = ("cpu", "litert:cpu", f"not taken by {left}; runs in LiteRT's built-in kernel")
        operations.append(place(node, *where))
    return tuple(operations)


def place(node: _Node, device: Device, delegate: str, reason: str = "", kernel: str = "") -> OperationPlacement:
    """Return the entry of one node of an interpreter's list."""
    name = f"{node['op_name']}:{node['index']}"
    return OperationPlacement(
        name=name, op_type=node["op_name"], device=device, delegate=delegate, reason=reason, kernel=kernel
    )


def unknown_model(delegate: str, reason: str, count: int = 1) -> OperationPlacement:
    """Return the entry of a whole model of which nobody tells where it runs."""
    return OperationPlacement(
        name="model", op_type="?", device="unknown", delegate=delegate, count=max(count, 1), reason=reason
    )


def _taken_nodes(real: Sequence[_Node], partitions: Sequence[_Node]) -> set[int]:
    producers = {int(tensor): node for node in real for tensor in node["outputs"]}
    taken: set[int] = set()
    for partition in partitions:
        inputs = {int(tensor) for tensor in partition["inputs"]}
        waiting = [int(tensor) for tensor in partition["outputs"]]
        while waiting:
            tensor = waiting.pop()
            node = producers.get(tensor)
            if tensor in inputs or node is None or node["index"] in taken:
                continue
            taken.add(node["index"])
            waiting.extend(int(source) for source in node["inputs"])
    return taken
