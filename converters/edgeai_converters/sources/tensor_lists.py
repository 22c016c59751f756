"""TensorFlow's lists of tensors in what tf2onnx wrote: it leaves them in the loops of graphs with old control flow.

TensorListReserve(shape, n)     →  zeros [n, 1, …]
TensorListSetItem(list, i, x)   →  ScatterND(Expand(list to x's shape), i, x)
TensorListGetItem(list, i)      →  Gather(list, i)
TensorListStack, …FromTensor    →  the list itself, which is a tensor here
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgeai_runtime.errors import UnsupportedOperationError

_LISTS = ("TensorListReserve", "TensorListSetItem", "TensorListGetItem", "TensorListStack", "TensorListFromTensor")


def write_tensor_lists(proto: onnx.ModelProto) -> bool:
    """Replace operators on lists by operators on tensors, in place; tell whether there were any.

    Raises:
        UnsupportedOperationError: a list of tensors of unknown rank.
    """
    graphs = list(_graphs(proto.graph))
    if not any(node.op_type in _LISTS for graph in graphs for node in graph.node):
        return False
    constants = {tensor.name: tensor for graph in graphs for tensor in graph.initializer}
    for graph in reversed(graphs):  # inner ones first: nodes are copied with their bodies
        nodes = [made for node in graph.node for made in _replaced(node, constants, proto.graph)]
        del graph.node[:]
        graph.node.extend(nodes)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.HasField("tensor_type") and not value.type.tensor_type.elem_type:
                value.ClearField("type")  # a list; it has the type of what it is given outside
    return True


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _replaced(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    if node.op_type not in _LISTS:
        return [node]
    name = node.output[0]

    def constant(label: str, values: object, dtype: type = np.int64) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), f"{name}/{label}"))
        return f"{name}/{label}"

    def make(op_type: str, inputs: list[str], label: str = "", **attributes: Any) -> onnx.NodeProto:
        output = f"{name}/{label}" if label else name
        return onnx.helper.make_node(op_type, inputs, [output], output, **attributes)

    if node.op_type == "TensorListReserve":
        element = constants.get(node.input[0])
        if element is None or len(element.dims) != 1:
            raise UnsupportedOperationError(
                f"{node.name!r} (TensorListReserve) makes a list of tensors whose rank is not known.",
                hint="Save the model as a SavedModel or a .keras file and give that.",
            )
        dtype = next((each.i for each in node.attribute if each.name == "element_dtype"), onnx.TensorProto.FLOAT)
        zero = onnx.helper.make_tensor("zero", int(dtype), [1], np.zeros(1))
        return [
            make("Reshape", [node.input[1], constant("row", [1])], "count"),
            make("Cast", [f"{name}/count"], "rows", to=onnx.TensorProto.INT64),
            make("Concat", [f"{name}/rows", constant("ones", [1] * int(element.dims[0]))], "shape", axis=0),
            onnx.helper.make_node("ConstantOfShape", [f"{name}/shape"], [name], name, value=zero),
        ]
    if node.op_type == "TensorListSetItem":
        values, index, item = node.input[:3]
        return [
            onnx.helper.make_node("Shape", [values], [f"{name}/rows"], f"{name}/rows", start=0, end=1),
            make("Shape", [item], "row"),
            make("Concat", [f"{name}/rows", f"{name}/row"], "shape", axis=0),
            make("Expand", [values, f"{name}/shape"], "wide"),
            make("Cast", [index], "index", to=onnx.TensorProto.INT64),
            make("Reshape", [f"{name}/index", constant("one", [1, 1])], "place"),
            make("Unsqueeze", [item, constant("first", [0])], "update"),
            make("ScatterND", [f"{name}/wide", f"{name}/place", f"{name}/update"]),
        ]
    if node.op_type == "TensorListGetItem":
        return [make("Gather", list(node.input[:2]), axis=0)]
    return [make("Identity", [node.input[0]])]
