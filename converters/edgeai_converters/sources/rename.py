"""Giving the inputs and outputs of an ONNX model the names that they have in their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from edgeai_converters.graph.free_names import take_name


def rename_boundary(proto: onnx.ModelProto, inputs: Mapping[str, str], outputs: Sequence[str]) -> None:
    """Rename the inputs (old name → new name) and the outputs (by position) of a model, in place.

    An inner value that has a name which is needed steps aside. An output that is an input, a constant, or is given
    twice gets an Identity node of its own.
    """
    graph = proto.graph
    _separate_outputs(graph)
    renames = dict(inputs)
    renames.update(zip((value.name for value in graph.output), outputs, strict=True))
    fresh = set(renames.values())
    inner = [name for node in graph.node for name in node.output]
    inner += [tensor.name for tensor in graph.initializer]
    for name in inner:
        if name in fresh and name not in renames:
            renames[name] = f"{name}_inner"
    _rename(graph, renames)


def _separate_outputs(graph: onnx.GraphProto) -> None:
    taken = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for value in graph.output:
        if value.name in taken:
            own = take_name(f"{value.name}_output", taken)
            graph.node.append(onnx.helper.make_node("Identity", [value.name], [own]))
            value.name = own
        taken.add(value.name)


def _rename(graph: onnx.GraphProto, renames: Mapping[str, str]) -> None:
    """Rename the values of a graph and of the graphs inside it that read them."""
    for node in graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
        node.output[:] = [renames.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                own = {value.name for value in (*body.input, *body.initializer)}
                own.update(name for inside in body.node for name in inside.output)
                _rename(body, {old: new for old, new in renames.items() if old not in own})
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renames.get(value.name, value.name)
