"""Small steps of editing the graph that the passes are made of: reading constants and attributes, replacing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.free_names import take_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


def nodes(model: ir.Model, *op_types: str) -> Iterator[ir.Node]:
    """Yield the nodes of the main graph with one of the operator types (default domain), from a snapshot."""
    for node in tuple(model.graph):
        if node.domain in ("", "ai.onnx") and node.op_type in op_types and node.graph is not None:
            yield node


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Tell whether `node` is an operator of the default domain of one of the types."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Return the input, or `None` when it is absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the array of a constant value, else `None`. Graph inputs with a default are no constants."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Return the value of an attribute, as Python data (sequences as tuples)."""
    found = node.attributes.get(name)
    if found is None:
        return default
    return tuple(found.value) if isinstance(found.value, (list, tuple)) else found.value


def axes_of(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes of a reduction, Squeeze or Unsqueeze; `()` when none are given, `None` when not constant."""
    value = input_of(node, 1)
    if value is None:
        return ()
    array = constant_of(value)
    return tuple(int(axis) for axis in array.reshape(-1)) if array is not None else None


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads `value`, if it is read exactly once and is no output of the graph."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def add_constant(model: ir.Model, stem: str, array: NDArray[Any]) -> ir.Value:
    """Register `array` as a constant of the graph under a name that begins with `stem`, and return its value."""
    name = unique_name(model, stem)
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    model.graph.register_initializer(value)
    return value


def change_constant(model: ir.Model, node: ir.Node, index: int, array: NDArray[Any]) -> None:
    """Give the node `array` for its constant input `index`; other readers of the old constant keep it."""
    value = node.inputs[index]
    if value is not None and len(value.uses()) == 1 and value.is_initializer() and not value.is_graph_output():
        value.const_value = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=value.name)
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(value.const_value.dtype)
        return
    stem = value.name if value is not None and value.name else f"{node.name}_constant"
    node.replace_input_with(index, add_constant(model, stem, array))


def add_node(
    model: ir.Model,
    before: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    *,
    name: str,
    attributes: Mapping[str, Any] | None = None,
    like: ir.Value | None = None,
) -> ir.Value:
    """Insert a node before another and return its only output, named after the node.

    Args:
        model: the graph.
        before: the node to insert before.
        op_type: the operator, of the default domain.
        inputs: its inputs.
        name: stem of the names of the node and its output.
        attributes: its attributes.
        like: a value whose type and shape the output has.
    """
    name = unique_name(model, name)
    node = ir.node(op_type, inputs, attributes, name=name)
    output = node.outputs[0]
    output.name = name
    if like is not None:
        output.shape, output.type = like.shape, like.type
    model.graph.insert_before(before, node)
    return output


def unique_name(model: ir.Model, stem: str) -> str:
    """Return `stem`, or `stem_<i>` when a value or node of the graph has that name already."""
    names = [value.name for node in model.graph for value in node.outputs]
    names += [node.name for node in model.graph]
    names += [value.name for value in model.graph.inputs]
    return take_name(stem, {name for name in (*names, *model.graph.initializers) if name})


def replace_value(model: ir.Model, old: ir.Value, new: ir.Value) -> bool:
    """Let everything that reads `old` read `new`; an output of the graph keeps its name.

    Returns:
        Whether it was done. It is refused when `old` is an output and `new` cannot take its name: an input, a
        constant, or another output.
    """
    if old.is_graph_output():
        if new.is_graph_input() or new.is_graph_output() or new.const_value is not None:
            return False
        name = old.name
        old.name = unique_name(model, f"{name}_replaced")
        new.name = name
        for i, output in enumerate(model.graph.outputs):
            if output is old:
                model.graph.outputs[i] = new
    ir.convenience.replace_all_uses_with(old, new)
    return True


def remove_node(model: ir.Model, node: ir.Node) -> None:
    """Remove a node whose outputs nothing reads."""
    model.graph.remove(node, safe=True)


def bypass(model: ir.Model, node: ir.Node, index: int = 0) -> bool:
    """Replace the node's first output by its input `index` and remove the node; tell whether it was possible."""
    source = node.inputs[index]
    if source is None or not replace_value(model, node.outputs[0], source):
        return False
    remove_node(model, node)
    return True


def replace_node(model: ir.Model, node: ir.Node, new: ir.Value) -> None:
    """Replace the node's only output by `new`, made by a node just added, and remove the node.

    The new value takes the name of the old one, so that reports speak of the source's names.
    """
    old = node.outputs[0]
    name = old.name
    if not old.is_graph_output():
        ir.convenience.replace_all_uses_with(old, new)
        remove_node(model, node)
        new.name = name
    else:
        replace_value(model, old, new)
        remove_node(model, node)


def channel_vector(array: NDArray[Any], rank: int, channels: int, axis: int = 1) -> NDArray[Any] | None:
    """Return a constant that broadcasts along one axis as a vector `[channels]`, else `None`.

    Args:
        array: the constant, broadcast to a value of `rank` dimensions from the right.
        rank: rank of the other operand.
        channels: size of the axis.
        axis: the axis that may differ from 1.
    """
    if array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for i, size in enumerate(shape) if i != axis) or shape[axis] not in (1, channels):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,)).copy()
