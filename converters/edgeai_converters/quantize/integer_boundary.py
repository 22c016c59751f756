"""Integer inputs and outputs on request: no conversion at the boundary of a quantized graph.

x (float) ── Q ── DQ ── …  ── Q ── DQ ── y (float)       →       x (int8) ── DQ ── …  ── Q ── y (int8)

A device that has sensor bytes anyway saves the way over float, and some accelerators take integers only. The scale and
the zero point are those of the plan; emitters write them into the specs of the artifact. Written for TFLite and ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.quantize.affine import activation_quantization
from edgeai_converters.quantize.plan import TensorQuantization
from edgeai_converters.quantize.qdq_nodes import QdqWriter
from edgeai_converters.quantize.stored_values import DEQUANTIZE, QUANTIZE, read_parameters
from edgeai_runtime.errors import UsageError

BoundaryDtype = Literal["int8", "uint8", "int16", "uint16"]

_FIXED = {"Softmax": (0.0, 255 / 256), "Sigmoid": (0.0, 255 / 256)}
"""Ranges of outputs that are known without calibration; TFLite's kernels have just these in 8 bits."""


def integer_boundary(
    model: ir.Model,
    *,
    inputs: BoundaryDtype | None = "int8",
    outputs: BoundaryDtype | None = "int8",
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[ir.Model, bool]:
    """Return a copy of a quantized graph whose float32 inputs and outputs are integers, and whether any became one.

    Names, shapes and order stay. int8 and uint8 differ by 128 in every integer and mean the same. Values that the plan
    did not store get a scale from `ranges`; a layer that was kept in float reads the rounded input then.

    Args:
        model: a graph with Q and DQ nodes; not changed.
        inputs: the stored type of inputs; `None` leaves them alone.
        outputs: the stored type of outputs; `None` leaves them alone.
        ranges: `(low, high)` by name, for inputs and outputs that the plan keeps in float.

    Raises:
        UsageError: the scale of an input or output is not known, or it is stored in another width.
    """
    model = model.clone()
    writer = QdqWriter(model.graph)
    changed = False
    for place, value in enumerate(tuple(model.graph.inputs)):
        if inputs is not None and value.dtype == ir.DataType.FLOAT:
            _store_input(model, place, value, inputs, ranges or {}, writer)
            changed = True
    for place, value in enumerate(tuple(model.graph.outputs)):
        if outputs is not None and value.dtype in (None, ir.DataType.FLOAT):
            _store_output(model, place, value, outputs, ranges or {}, writer)
            changed = True
    if changed:
        remove_dead_nodes(model)
    return model, changed


def _store_input(
    model: ir.Model,
    place: int,
    value: ir.Value,
    dtype: BoundaryDtype,
    ranges: Mapping[str, tuple[float, float]],
    writer: QdqWriter,
) -> None:
    name = str(value.name)
    rounding = [use.node for use in value.uses() if use.node.op_type in QUANTIZE]
    known = {node: found for node in rounding if (found := read_parameters(node)) is not None}
    stored = _in_type(next(iter(known.values()), None), dtype, name, ranges)
    value.name = writer.free_name(f"{name}_float")
    given = ir.Value(name=name, shape=value.shape, type=ir.TensorType(ir.DataType[dtype.upper()]))
    model.graph.inputs[place] = given
    for node, found in known.items():
        if found == stored:
            ir.convenience.replace_all_uses_with(node.outputs[0], given)
    dequantize = writer.dequantized(given, stored)
    if value.uses():
        model.graph.insert_before(model.graph[0], dequantize)
        ir.convenience.replace_all_uses_with(value, dequantize.outputs[0])


def _store_output(
    model: ir.Model,
    place: int,
    value: ir.Value,
    dtype: BoundaryDtype,
    ranges: Mapping[str, tuple[float, float]],
    writer: QdqWriter,
) -> None:
    name, node = str(value.name), value.producer()
    found = read_parameters(node) if node is not None and node.op_type in DEQUANTIZE else None
    bounds = dict(ranges)
    if node is not None and node.op_type in _FIXED and name not in bounds:
        bounds[name] = _FIXED[node.op_type]
    stored = _in_type(found, dtype, name, bounds)
    value.name = writer.free_name(f"{name}_float")
    integers = node.inputs[0] if found == stored and node is not None else None
    if integers is None or integers.is_graph_input() or integers.is_graph_output() or integers.const_value is not None:
        quantize, unread = writer.pair(value, stored)
        unread.replace_input_with(0, None)
        model.graph.append(quantize)
        integers = quantize.outputs[0]
    integers.name = name
    model.graph.outputs[place] = integers


def _in_type(
    found: TensorQuantization | None, dtype: BoundaryDtype, name: str, ranges: Mapping[str, tuple[float, float]]
) -> TensorQuantization:
    """Return how a value is stored in `dtype`: as the plan does, moved by half the width, or by its range."""
    if found is None:
        if name not in ranges:
            raise UsageError(
                f"{name!r} cannot be an integer: what computes with it is in float, and its range is not known.",
                hint="Give its range, or leave it in float.",
            )
        return activation_quantization(*ranges[name], dtype)
    if np.dtype(found.dtype).itemsize != np.dtype(dtype).itemsize:
        raise UsageError(
            f"{name!r} cannot be {dtype}: it is stored as {found.dtype}.", hint="Take that type at the boundary."
        )
    shift = int(np.iinfo(dtype).min) - int(np.iinfo(found.dtype).min)
    if dtype == "int16" and found.zero_point[0] + shift:
        raise UsageError(f"{name!r} cannot be int16, which is symmetric: it is stored as {found.dtype}.")
    return TensorQuantization(dtype=dtype, scale=found.scale, zero_point=(found.zero_point[0] + shift,))
