"""An OpenVINO model as an ONNX model: `read_graph`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.helper

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.graph.space_to_batch import add_functions
from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.folding import fold, read_constant
from edgeai_converters.sources.openvino_ir.op_table import READERS
from edgeai_converters.sources.openvino_ir.operation import (
    SMALL_TYPES,
    Key,
    Operation,
    Shape,
    UnreadableError,
    graph_dtype,
    key_of,
    partial_shape,
)
from edgeai_runtime.errors import ModelError, UnsupportedOperationError

OPSET = 18


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """One input or output of the model.

    Attributes:
        name: as OpenVINO's port has it; without one, the name of the operation.
        shape: `None` is a free dimension.
        dtype: numpy name in the graph.
        stored: OpenVINO's type.
        layout: as the model notes it (`NCHW`), empty when it does not.
    """

    name: str
    shape: Shape
    dtype: str
    stored: str
    layout: str


@dataclass(frozen=True, kw_only=True)
class ReadGraph:
    """What `read_graph` gives back.

    Attributes:
        proto: the ONNX model, opset 18, floats in float32.
        inputs: in the model's order.
        outputs: in the model's order.
        weights: how float constants are stored, other than in float32 (`i8`, `f16`, …).
    """

    proto: onnx.ModelProto
    inputs: tuple[Boundary, ...]
    outputs: tuple[Boundary, ...]
    weights: tuple[str, ...]


def read_graph(model: Any, *, where: str) -> ReadGraph:
    """Bring an OpenVINO model to ONNX.

    Args:
        model: `openvino.Model`; not changed.
        where: what to call it in errors.

    Raises:
        UnsupportedOperationError: operations that cannot be read, all of them with their names.
        ModelError: inputs or outputs that the graph cannot hold.
    """
    inputs, outputs = _boundaries(model, where)
    context = ReadContext([each.name for each in (*inputs, *outputs)], lambda inside, node: _read(inside, node, {}))
    wanted: dict[Key, str] = {}
    for port, boundary in zip(model.outputs, outputs, strict=True):
        wanted.setdefault(key_of(port.get_node().input_value(0)), boundary.name)
    for port, boundary in zip(model.inputs, inputs, strict=True):
        context.bind(key_of(port.get_node().output(0)), boundary.name)
    operations = model.get_ordered_ops()
    problems: list[str] = []
    for node in operations:
        if node.get_type_name() not in ("Parameter", "Result"):
            problem = _read(context, node, wanted)
            if problem:
                problems.append(problem)
    if problems:
        count = sum(node.get_type_name() not in ("Parameter", "Result", "Constant") for node in operations)
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise UnsupportedOperationError(
            f"{len(problems)} of {count} operations of {where} cannot be read:\n{listed}",
            hint="Convert the model that it was made from (ONNX, PyTorch, Keras) instead.",
        )
    _name_outputs(context, model, outputs)
    weights = tuple(sorted({stored for node in operations if (stored := _small_weights(node))}))
    return ReadGraph(proto=_proto(context, model, inputs, outputs), inputs=inputs, outputs=outputs, weights=weights)


def _read(context: ReadContext, node: Any, wanted: dict[Key, str]) -> str:
    """Read one operation; return what stands in the way, if anything does."""
    operation = Operation.of(node)
    try:
        if operation.type == "Constant":
            context.set_constant(key_of(node.output(0)), read_constant(node))
            return ""
        folded = fold(context, operation)
        if folded is not None:
            for position, array in enumerate(folded):
                context.set_constant(key_of(node.output(position)), array)
            return ""
        reader = READERS.get(operation.type)
        if reader is None:
            raise UnreadableError("there is no such operation in the table")
        first = len(context.nodes)
        values = reader(context, operation)
        context.finish(operation, [values] if isinstance(values, str) else values, first, wanted)
    except UnreadableError as error:
        for position in range(operation.output_count):  # so that what follows is not blamed
            context.bind(key_of(node.output(position)), "unread")
        return f"{operation.type} {operation.name!r}: {error}"
    return ""


def _boundaries(model: Any, where: str) -> tuple[tuple[Boundary, ...], tuple[Boundary, ...]]:
    taken: set[str] = set()

    def boundary(port: Any, fallback: str, layout: str) -> Boundary:
        name = str(port.get_any_name()) if port.get_names() else fallback
        fresh = take_name(name, taken)
        stored = str(port.get_element_type().get_type_name())
        try:
            shape, dtype = partial_shape(port.get_partial_shape()), graph_dtype(stored).name
        except UnreadableError as error:
            raise ModelError(
                f"{where}: {name!r} cannot be an input or output of the graph: {error}.",
                hint="Give inputs of known rank; text must be prepared outside of the model.",
            ) from error
        return Boundary(name=fresh, shape=shape, dtype=dtype, stored=stored, layout=layout)

    inputs = tuple(
        boundary(port, str(port.get_node().get_friendly_name()), _layout(port.get_node())) for port in model.inputs
    )
    outputs = tuple(
        boundary(port, str(port.get_node().input_value(0).get_node().get_friendly_name()), _layout(port.get_node()))
        for port in model.outputs
    )
    return inputs, outputs


def _layout(node: Any) -> str:
    """Return a layout of single letters (`[N,C,H,W]` → `NCHW`), empty for any other."""
    text = str(node.get_layout().to_string()).strip("[]").replace(",", "").upper()
    return text if text.isalpha() else ""


def _small_weights(node: Any) -> str:
    """Return how a Constant that becomes floats is stored, empty for other nodes."""
    if node.get_type_name() != "Constant":
        return ""
    stored = str(node.get_output_element_type(0).get_type_name())
    if stored not in SMALL_TYPES:
        return ""
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    floats = ("f32", "f16", "bf16")
    converted = any(
        reader.get_type_name() == "Convert" and reader.get_output_element_type(0).get_type_name() in floats
        for reader in readers
    )
    return stored if converted or stored in ("f16", "bf16") else ""


def _name_outputs(context: ReadContext, model: Any, outputs: tuple[Boundary, ...]) -> None:
    """Give the outputs their names where no node has: inputs passed on, constants, values read twice."""
    made = {name for node in context.nodes for name in node.output}
    for port, boundary in zip(model.outputs, outputs, strict=True):
        if boundary.name not in made:
            value = context.name_at(port.get_node().input_value(0))
            context.nodes.append(onnx.helper.make_node("Identity", [value], [boundary.name], name=boundary.name))


def _proto(
    context: ReadContext, model: Any, inputs: tuple[Boundary, ...], outputs: tuple[Boundary, ...]
) -> onnx.ModelProto:
    used = _read_names(context.nodes)
    graph = onnx.helper.make_graph(
        context.nodes,
        str(model.get_friendly_name()) or "model",
        [_value_info(each) for each in inputs],
        [_value_info(each) for each in outputs],
        initializer=[tensor for name, tensor in context.initializers.items() if name in used],
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    proto = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10, producer_name="edgeai")
    add_functions(proto)
    return proto


def _read_names(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names that nodes read, those in their bodies too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                names |= _read_names(attribute.g.node)
    return names


def _value_info(boundary: Boundary) -> onnx.ValueInfoProto:
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(boundary.dtype))
    return onnx.helper.make_tensor_value_info(boundary.name, element, list(boundary.shape))
