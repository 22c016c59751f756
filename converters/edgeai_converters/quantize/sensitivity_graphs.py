"""Graphs that a measurement of sensitivity runs: the quantized graph in pieces, and the float graph with additions.

Names of the inputs they get beside their own: `fed_name(x)` takes the float value of `x`, `change_name(x)` what is
added to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgeai_converters.quantize.plan import QuantizationPlan


def fed_name(name: str) -> str:
    """Return the name of the input that takes the float value of `name`."""
    return f"{name}/fed"


def change_name(name: str) -> str:
    """Return the name of the input that takes what is added to `name`."""
    return f"{name}/change"


def raw_names(quantized: ir.Model, plan: QuantizationPlan) -> dict[str, str]:
    """Return the name that each stored value of a quantized graph has before it is rounded."""
    found = ((_stored_name(node, plan), node.inputs[0]) for node in quantized.graph)
    return {name: str(value.name) for name, value in found if name is not None and value is not None}


def cut_at_stored_values(quantized: ir.Model, plan: QuantizationPlan, results: Sequence[str]) -> ir.Model:
    """Return the quantized graph in pieces: every Quantize of a stored value reads an input of its own.

    conv ─ x ─ Q ─ DQ ─ conv   →   conv ─ x      x (fed) ─ Q ─ DQ ─ conv

    Args:
        quantized: the graph as `insert_qdq` made it; not changed.
        plan: its plan.
        results: names of the values to hand out.
    """
    model = quantized.clone()
    values = ir.convenience.create_value_mapping(model.graph)
    wanted = [values[name] for name in results]
    for node in list(model.graph):
        name = _stored_name(node, plan)
        if name is not None:
            value = ir.Value(name=fed_name(name), type=ir.TensorType(ir.DataType.FLOAT))
            node.replace_input_with(0, value)
            model.graph.inputs.append(value)
    model.graph.outputs.clear()
    model.graph.outputs.extend(dict.fromkeys(wanted))
    RemoveUnusedNodesPass()(model)
    return model


def with_changes(model: ir.Model, results: Sequence[str], *, first: int = 0) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the end of the float graph with an input behind each named value that is added to it.

    x ─ reader   →   x ─ Add(change) ─ reader

    Args:
        model: the float graph; not changed.
        results: values made by its nodes from `first` on.
        first: position of the first node that is kept; what it and the later ones read of earlier ones is fed.

    Returns:
        The graph, and the names of the values to feed under `fed_name`.
    """
    model = model.clone()
    read = _drop_head(model, set(list(model.graph)[:first]))
    values = ir.convenience.create_value_mapping(model.graph)
    for name in results:
        value = values[name]
        producer = value.producer()
        assert producer is not None
        uses = [(node, index) for node, index in value.uses()]
        change = ir.Value(name=change_name(name), type=ir.TensorType(ir.DataType.FLOAT))
        total = ir.Value(name=f"{name}/changed", type=ir.TensorType(ir.DataType.FLOAT))
        model.graph.insert_after(producer, (ir.node("Add", [value, change], outputs=[total], name=f"{name}/add"),))
        model.graph.inputs.append(change)
        _replace(model.graph, value, total, uses)
    return model, read


def _drop_head(model: ir.Model, head: set[ir.Node]) -> tuple[str, ...]:
    """Make inputs of what the head hands to the rest, remove the head, and return the names."""
    read = []
    for value in [value for node in model.graph if node in head for value in node.outputs]:
        uses = [(node, index) for node, index in value.uses() if node not in head]
        if not uses and not value.is_graph_output():
            continue
        fed = ir.Value(name=fed_name(str(value.name)), type=value.type, shape=value.shape)
        model.graph.inputs.append(fed)
        read.append(str(value.name))
        if value.is_graph_output():  # an output cannot be an input: what cannot change any more is passed on
            same = ir.Value(name=f"{value.name}/same", type=value.type, shape=value.shape)
            model.graph.append(ir.node("Identity", [fed], outputs=[same], name=f"{value.name}/pass"))
            _replace(model.graph, value, same, [])
        _replace(model.graph, value, fed, uses)
    RemoveUnusedNodesPass()(model)
    return tuple(read)


def _replace(graph: ir.Graph, value: ir.Value, by: ir.Value, uses: Sequence[tuple[ir.Node, int]]) -> None:
    for node, index in uses:
        node.replace_input_with(index, by)
    for position, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[position] = by


def _stored_name(node: ir.Node, plan: QuantizationPlan) -> str | None:
    """Return the plan's name of the value that a Quantize node stores; `None` for other nodes."""
    if node.op_type != "QuantizeLinear" or node.name is None:
        return None
    name = node.name.removesuffix("_q")
    return name if name in plan.activations else None
