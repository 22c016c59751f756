"""Already-quantized TFLite files as graphs with the same integers: `carry_over_tflite`.

The file's scales, zero points and stored weights become Q and DQ nodes and int8 constants, which the emitters fold:
written to TFLite again the answers are bit-equal, in ONNX Runtime and OpenVINO within a step or few of the output,
since their kernels round elsewhere. What this does not carry exactly: recurrent layers (their inner rounding has no
like in ONNX) and 16-bit activations' int64 biases (which become floats and, written to TFLite, the same integers).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.read_context import FileTensor
from edgeai_converters.emit.tflite.reader import ReadGraph, read_graph
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.plan import QuantizedDtype, TensorQuantization
from edgeai_converters.quantize.qdq_nodes import QdqWriter
from edgeai_converters.quantize.round_after_moves import round_after_moves
from edgeai_runtime.errors import ModelError

_CARRIED: dict[str, QuantizedDtype] = {"int8": "int8", "uint8": "uint8", "int16": "int16", "int32": "int32"}
_LARGEST_ROUNDING = 1e-3
"""How far, in steps, a dequantized number may lie from the integer it came from: float32 rounding."""


def carry_over_tflite(source: Path) -> ir.Model:
    """Return a quantized TFLite file as a simplified graph with its own integers.

    Inputs and outputs are float32 under the names of the file's signature; `integer_boundary` brings the file's
    integers back.

    Raises:
        ModelError: the file cannot be read.
        UnsupportedOperationError: operators that the reader does not have.
    """
    try:
        parsed = read_model(source.read_bytes(), where=str(source))
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {error.strerror or error}.") from error
    found = read_graph(parsed, where=str(source), keep_rounding=True)
    model = prepare_graph(found.proto, what=str(source))
    writer = QdqWriter(model.graph)
    _round_inputs(model, found, writer)
    for name, tensor in found.stored.items():
        value = model.graph.initializers.get(name)
        if value is not None and tensor.dtype in _CARRIED:
            _store(model, value, tensor, writer)
    writer.drop_unused()
    return round_after_moves(simplify(model)[0])[0]


def _round_inputs(model: ir.Model, found: ReadGraph, writer: QdqWriter) -> None:
    """Round the inputs that are integers in the file."""
    for value, boundary in zip(model.graph.inputs, found.inputs, strict=True):
        if boundary.quantization is None or boundary.dtype not in _CARRIED:
            continue
        readers = tuple(value.uses())
        stored = TensorQuantization(
            dtype=_CARRIED[boundary.dtype],
            scale=(float(boundary.quantization.scale[0]),),
            zero_point=(int(boundary.quantization.zero_point[0]),),
        )
        quantize, dequantize = writer.pair(value, stored)
        model.graph.insert_before(model.graph[0], (quantize, dequantize))
        for use in readers:
            use.node.replace_input_with(use.idx, dequantize.outputs[0])


def _store(model: ir.Model, value: ir.Value, tensor: FileTensor, writer: QdqWriter) -> None:
    """Give the readers of a float constant the integers it came from."""
    assert value.const_value is not None
    assert tensor.quantization is not None
    array = value.const_value.numpy()
    scale, zero = tensor.quantization.scale, tensor.quantization.zero_point
    assert tensor.data is not None
    unmoved = array.ndim == 1 and array.shape == tensor.data.shape
    axis = tensor.quantization.axis if unmoved else _axis(array, scale) if len(scale) > 1 else None
    if len(scale) > 1 and axis is None:
        return
    quantization = TensorQuantization(
        dtype=_CARRIED[tensor.dtype],
        scale=tuple(float(number) for number in scale),
        zero_point=tuple(int(number) for number in zero),
        axis=axis,
    )
    uses = [use for use in value.uses() if use.node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    if not uses:
        return
    first = next(node for node in model.graph if any(use.node is node for use in uses))
    integers = tensor.data if unmoved else _integers(array, quantization)
    stored = writer.exact_constant(value, integers, quantization, before=first)
    for use in uses:
        use.node.replace_input_with(use.idx, stored)


def _axis(array: NDArray[Any], scale: NDArray[np.float32]) -> int | None:
    """Return the axis along which the numbers of a moved constant are whole multiples of the scales."""
    for axis in (axis for axis, size in enumerate(array.shape) if size == len(scale)):
        form = [-1 if place == axis else 1 for place in range(array.ndim)]
        steps = array.astype(np.float64) / scale.astype(np.float64).reshape(form)
        if np.all(np.abs(steps - np.rint(steps)) <= _LARGEST_ROUNDING):
            return axis
    return None


def _integers(array: NDArray[Any], quantization: TensorQuantization) -> NDArray[Any]:
    form = [] if quantization.axis is None else [-1 if i == quantization.axis else 1 for i in range(array.ndim)]
    scale = np.asarray(quantization.scale, np.float64).reshape(form)
    zero = np.asarray(quantization.zero_point, np.float64).reshape(form)
    return np.asarray(np.rint(array.astype(np.float64) / scale) + zero, quantization.dtype)
