"""Tables that are only gathered from (embeddings), stored as integers: the gather picks integers, floats come after.

    table (float32) ── Gather     →     table (int8) ── Gather ── DequantizeLinear       one scale, TFLite
                                        table (int8) ── Gather ── Cast ── Mul            one scale, ONNX and OpenVINO
                                        the same, with Mul by Gather(scales, indices)    one scale per row

In this order no engine expands the table when it loads the model, and only the rows that are read are made float.
ONNX Runtime takes a DequantizeLinear beside a layer for one of integers, so what stays in float is not written with it.
A table whose one scale would ruin a row has a scale per row. Not done: tables that something else reads too (tied
embeddings), other axes than the first, and constant indices, whose rows are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import add_constant, add_node, attribute, constant_of, replace_node
from edgeai_converters.quantize.affine import dequantize_array, quantize_array, weight_quantization
from edgeai_converters.quantize.plan import TensorQuantization
from edgeai_runtime.manifest import Format

LEAST_ELEMENTS = 4096
"""Smaller tables stay float32: they save less than 12 kB, and what is gathered costs a conversion."""

MOST_ROW_ERROR = 0.05
"""Largest rounding error of a row as a share of the row, of root mean squares: normal numbers lose 0.01."""

_EMPTY_ROW = 1e-6
"""Rows smaller than this share of the largest are taken for zeros (the row of a padding word)."""


def gathered_tables(model: ir.Model) -> dict[ir.Value, tuple[ir.Node, ...]]:
    """Return the large float32 constants that only Gathers along the first axis read, and those Gathers."""
    return {
        value: tuple(use.node for use in value.uses())
        for value in model.graph.initializers.values()
        if _is_table(value)
        and value.uses()
        and all(use.node.graph is model.graph and _picks_rows(use.node, use.idx) for use in value.uses())
    }


def _is_table(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or value.is_graph_input() or value.is_graph_output():
        return False
    return tensor.dtype == ir.DataType.FLOAT and len(tensor.shape) > 1 and tensor.size >= LEAST_ELEMENTS


def _picks_rows(node: ir.Node, index: int) -> bool:
    if node.op_type != "Gather" or node.domain not in ("", "ai.onnx") or index != 0 or attribute(node, "axis", 0) != 0:
        return False
    return constant_of(node.inputs[1]) is None


def table_quantization(table: NDArray[Any]) -> TensorQuantization | None:
    """Return the symmetric int8 quantization of a table: one scale if every row bears it, else one per row.

    Args:
        table: `[rows, …]` real values.

    Returns:
        `None` when even with a scale of its own a row loses more than `MOST_ROW_ERROR`.
    """
    if not np.isfinite(table).all():
        return None
    for axis in (None, 0):
        quantization = weight_quantization(table, axis=axis)
        if _largest_row_error(table, quantization) <= MOST_ROW_ERROR:
            return quantization
    return None


def _largest_row_error(table: NDArray[Any], quantization: TensorQuantization) -> float:
    rows = table.reshape(len(table), -1).astype(np.float64)
    error = dequantize_array(quantize_array(table, quantization), quantization).reshape(rows.shape) - rows
    sizes = np.sqrt((rows**2).mean(axis=1))
    filled = sizes > _EMPTY_ROW * sizes.max(initial=0.0)
    return float((np.sqrt((error**2).mean(axis=1))[filled] / sizes[filled]).max(initial=0.0))


def plan_tables(
    model: ir.Model,
    activations: Mapping[str, TensorQuantization],
    *,
    integer_nodes: Collection[ir.Node],
    excluded: Collection[ir.Node],
) -> dict[str, TensorQuantization]:
    """Return how a static plan stores tables, by name.

    Where only integer operators read what is gathered, the table takes its quantization: rounding before the Gather
    gives the same integers as rounding behind it. Other tables have scales of their own.

    Args:
        model: the float graph.
        activations: how activations are stored, without those that are stored in two forms.
        integer_nodes: nodes computed in integers.
        excluded: Gathers that are to stay in float.
    """
    found: dict[str, TensorQuantization] = {}
    for table, gathers in gathered_tables(model).items():
        if any(node in excluded for node in gathers):
            continue
        wanted = [_read_as(node.outputs[0], activations, integer_nodes) for node in gathers]
        quantization = wanted[0]
        if quantization is None or any(other != quantization for other in wanted):
            quantization = table_quantization(_array(table))
        if quantization is not None:
            found[str(table.name)] = quantization
    return found


def _read_as(
    value: ir.Value, activations: Mapping[str, TensorQuantization], integer_nodes: Collection[ir.Node]
) -> TensorQuantization | None:
    """Return the 8-bit quantization in which all readers take a value, `None` when one of them takes another form."""
    quantization = activations.get(str(value.name))
    if quantization is None or quantization.dtype not in ("int8", "uint8") or value.is_graph_output():
        return None
    return quantization if all(use.node in integer_nodes for use in value.uses()) else None


def gather_integers(
    model: ir.Model,
    tables: Mapping[str, TensorQuantization],
    *,
    dequantizes: Callable[[ir.Node, TensorQuantization], bool],
) -> dict[str, ir.Value]:
    """Store tables as integers, in place, and return what is gathered, as floats, by name.

    Args:
        model: the graph.
        tables: how to store them, by name; one scale, or one per row, which must be symmetric.
        dequantizes: whether what a Gather picks is made float by DequantizeLinear, else by Cast and Mul.
    """
    gathered: dict[str, ir.Value] = {}
    for table, gathers in gathered_tables(model).items():
        quantization = tables.get(str(table.name))
        if quantization is None:
            continue
        stored = add_constant(model, f"{table.name}_quantized", quantize_array(_array(table), quantization))
        parameters = _parameters(model, table, quantization)
        for node in gathers:
            name = str(node.outputs[0].name)
            one_scale = quantization.axis is None
            write = _dequantized if one_scale and dequantizes(node, quantization) else _scaled
            gathered[name] = write(model, node, stored, parameters)
            replace_node(model, node, gathered[name])
        del model.graph.initializers[str(table.name)]
    return gathered


def _parameters(model: ir.Model, table: ir.Value, quantization: TensorQuantization) -> tuple[ir.Value, ir.Value]:
    rank = len(_array(table).shape)
    shape = () if quantization.axis is None else (-1, *(1 for _ in range(rank - 1)))
    scale = np.asarray(quantization.scale, np.float32).reshape(shape)
    point = np.asarray(quantization.zero_point, quantization.dtype).reshape(shape)
    return add_constant(model, f"{table.name}_scale", scale), add_constant(model, f"{table.name}_zero_point", point)


def _picked(model: ir.Model, node: ir.Node, table: ir.Value, name: str) -> ir.Value:
    """Return rows of another table, picked by the indices of a Gather."""
    value = add_node(model, node, "Gather", [table, node.inputs[1]], name=name, attributes={"axis": 0})
    tensor, indices = table.const_value, node.inputs[1]
    assert tensor is not None
    value.type = ir.TensorType(tensor.dtype)
    if indices is not None and indices.shape is not None:
        value.shape = ir.Shape([*indices.shape, *tensor.numpy().shape[1:]])
    return value


def _dequantized(model: ir.Model, node: ir.Node, stored: ir.Value, parameters: Iterable[ir.Value]) -> ir.Value:
    name = node.outputs[0].name
    rows = _picked(model, node, stored, f"{name}_quantized")
    return add_node(
        model, node, "DequantizeLinear", [rows, *parameters], name=f"{name}_dequantized", like=node.outputs[0]
    )


def _scaled(model: ir.Model, node: ir.Node, stored: ir.Value, parameters: tuple[ir.Value, ir.Value]) -> ir.Value:
    scale, result = parameters[0], node.outputs[0]
    rows = _picked(model, node, stored, f"{result.name}_quantized")
    real = add_node(
        model, node, "Cast", [rows], name=f"{result.name}_cast", attributes={"to": ir.DataType.FLOAT}, like=result
    )
    if scale.const_value is not None and scale.const_value.size > 1:
        scale = _picked(model, node, scale, f"{result.name}_scale")
    return add_node(model, node, "Mul", [real, scale], name=f"{result.name}_scaled", like=result)


def store_tables(model: ir.Model, *, format: Format) -> bool:
    """Store the tables of a float graph as int8, in place, and tell whether there was any.

    Args:
        model: the graph.
        format: the format it will be emitted in.
    """
    found = {str(table.name): table_quantization(_array(table)) for table in gathered_tables(model)}
    tables = {name: quantization for name, quantization in found.items() if quantization is not None}
    gather_integers(model, tables, dequantizes=lambda node, quantization: format == "tflite")
    return bool(tables)


def _array(table: ir.Value) -> NDArray[Any]:
    assert table.const_value is not None
    return table.const_value.numpy()
