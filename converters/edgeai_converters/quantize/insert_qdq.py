"""The pass that carries out a quantization plan in standard ONNX nodes.

x ── Conv ── Relu ── y         x ─ Q ─ DQ ── Conv ── Relu ─ Q ─ DQ ── y
      │                   →                   │
      w (float)                    w (int8) ─ DQ

A value that layers of 8 and of 16 bits read has two such pairs: the second behind the first, or behind the float.
A table that is gathered from is stored as integers before the Gather, see `gathered_tables.py`.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.quantize.gathered_tables import gather_integers
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.planner import bias_key
from edgeai_converters.quantize.qdq_nodes import QdqWriter
from edgeai_converters.quantize.units import CONSTANTS_ARE_PARAMETERS, node_keys
from edgeai_runtime.errors import UsageError


def insert_qdq(model: ir.Model, plan: QuantizationPlan) -> tuple[ir.Model, bool]:
    """Return a copy of the graph with Quantize/Dequantize nodes and integer constants as planned.

    Precondition: the plan was made for this graph. Postcondition: names of inputs and outputs are the same; every
    activation of the plan has one Quantize and one Dequantize node; integer nodes read dequantized values only.

    Args:
        model: the float graph; not changed.
        plan: what to store how.

    Returns:
        The new graph, and whether it differs.

    Raises:
        UsageError: the plan names a value that the graph does not have.
    """
    if not plan.activations and not plan.weights:
        return model, False
    model = model.clone()
    keys = node_keys(model)
    nodes = list(model.graph)
    values = ir.convenience.create_value_mapping(model.graph)
    unknown = [name for name in plan.activations if name not in values]
    if unknown:
        raise UsageError(f"The plan names a value that the graph does not have: {unknown[0]!r}.")
    integer_nodes = {node for node, key in keys.items() if key not in plan.float_nodes}
    done = _gather_from_tables(model, plan, values)
    writer = QdqWriter(model.graph)
    for node in nodes:
        if node in integer_nodes or keys[node] in plan.dynamic_nodes:
            _read_stored_constants(writer, node, keys[node], plan)
    wide = {node for node, key in keys.items() if key in plan.wide_nodes}
    for name, quantization in plan.activations.items():
        if name in done:
            continue
        other = plan.conversions.get(name)
        stored = _store(writer, values[name], quantization, integer_nodes)
        if other is not None:
            readers = wide if _is_wide(other) else integer_nodes - wide
            _convert(writer, values[name], stored, other, readers)
    writer.drop_unused()
    return model, True


def _gather_from_tables(model: ir.Model, plan: QuantizationPlan, values: dict[str, ir.Value]) -> set[str]:
    """Store tables as integers, note what is gathered in `values`, and return what is stored as planned already."""
    done: set[str] = set()

    def dequantizes(node: ir.Node, quantization: TensorQuantization) -> bool:
        name = str(node.outputs[0].name)
        if plan.activations.get(name) != quantization:
            return plan.scheme.startswith("tflite")
        done.add(name)
        return True

    values.update(gather_integers(model, plan.tables, dequantizes=dequantizes))
    return done


def _read_stored_constants(writer: QdqWriter, node: ir.Node, key: str, plan: QuantizationPlan) -> None:
    if node.op_type in CONSTANTS_ARE_PARAMETERS:
        return
    for index, value in enumerate(node.inputs):
        if value is None or value.const_value is None or value.name is None:
            continue
        name = bias_key(value.name, key)
        quantization = plan.weights.get(name) or plan.weights.get(value.name)
        if quantization is not None:
            stored_name = name if name in plan.weights else value.name
            node.replace_input_with(index, writer.stored_constant(value, stored_name, quantization, before=node))


def _is_wide(quantization: TensorQuantization) -> bool:
    return quantization.dtype in ("int16", "uint16")


def _convert(
    writer: QdqWriter, value: ir.Value, stored: ir.Value, quantization: TensorQuantization, readers: set[ir.Node]
) -> None:
    """Give some readers of a stored value another form of it, made from the float if there is one."""
    producer = stored.producer()
    assert producer is not None
    if value.producer() is None:  # an input of the graph
        quantize, dequantize = writer.pair(value, quantization)
    else:
        quantize, dequantize = writer.pair(stored, quantization)
    writer.graph.insert_after(producer, (quantize, dequantize))
    for node, index in tuple(stored.uses()):
        if node in readers:
            node.replace_input_with(index, dequantize.outputs[0])


def _store(
    writer: QdqWriter, value: ir.Value, quantization: TensorQuantization, integer_nodes: set[ir.Node]
) -> ir.Value:
    """Put Q and DQ behind a value, return what DQ gives. Floats that read a float producer keep it unrounded."""
    producer = value.producer()
    readers = list(value.uses())
    keeps_floats = producer is None or producer not in integer_nodes
    quantize, dequantize = writer.pair(value, quantization)
    if producer is None:
        writer.graph.insert_before(writer.graph[0], (quantize, dequantize))
    else:
        writer.graph.insert_after(producer, (quantize, dequantize))
    result = dequantize.outputs[0]
    for node, index in readers:
        if node in integer_nodes or not keeps_floats:
            node.replace_input_with(index, result)
    if value.is_graph_output() and not keeps_floats:
        outputs = writer.graph.outputs
        name = value.name
        for position, output in enumerate(outputs):
            if output is value:
                outputs[position] = result
        value.name = writer.free_name(f"{name}_float")
        result.name = name
    return result
