"""Which operations of a LiteRT interpreter a delegate took, worked out from the interpreter's list of nodes.

LiteRT keeps the nodes that a delegate replaced in its list and appends one `DELEGATE` node per partition. The replaced
nodes are those that lie between a partition's inputs and outputs: walking from the outputs back to the inputs visits
exactly them.
"""

from __future__ import annotations

from typing import Any

from edgeai_runtime.placement import OperationPlacement

_LEFT_BEHIND = "not taken by XNNPACK; runs in LiteRT's built-in kernel"


def describe_operations(interpreter: Any, delegate: str) -> tuple[OperationPlacement, ...]:
    """Return one entry per operation of the main subgraph, in the order of the file.

    Everything here runs on the CPU: `litert:xnnpack` for operations inside a partition, `litert:cpu` (or
    `litert:reference`) for the others. When the interpreter has no list of nodes, one `unknown` operation is returned.
    """
    list_nodes = getattr(interpreter, "_get_ops_details", None)
    if list_nodes is None:
        reason = "this interpreter does not list its nodes"
        return (OperationPlacement(name="model", op_type="?", device="unknown", delegate=delegate, reason=reason),)
    nodes = list_nodes()
    partitions = [node for node in nodes if node["op_name"] == "DELEGATE"]
    real = [node for node in nodes if node["op_name"] != "DELEGATE"]
    taken = _taken_nodes(real, partitions)
    operations = []
    for node in real:
        inside = node["index"] in taken
        kernel = "litert:reference" if delegate == "litert:reference" else "litert:cpu"
        operations.append(
            OperationPlacement(
                name=f"{node['op_name']}:{node['index']}",
                op_type=node["op_name"],
                device="cpu",
                delegate="litert:xnnpack" if inside else kernel,
                reason="" if inside or delegate == "litert:reference" else _LEFT_BEHIND,
            )
        )
    return tuple(operations)


def _taken_nodes(real: list[dict[str, Any]], partitions: list[dict[str, Any]]) -> set[int]:
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
