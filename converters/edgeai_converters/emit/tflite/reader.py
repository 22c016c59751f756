"""A TFLite file as a float ONNX model: `read_graph`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.helper

from edgeai_converters.emit.tflite.op_table import READERS
from edgeai_converters.emit.tflite.quantization import Quantization
from edgeai_converters.emit.tflite.read_context import (
    FileTensor,
    ReadContext,
    UnreadableError,
    read_operators,
    read_tensors,
)
from edgeai_converters.emit.tflite.subgraphs import Subgraphs, read_all
from edgeai_converters.graph.space_to_batch import add_functions
from edgeai_runtime.errors import ModelError, UnsupportedOperationError

OPSET = 18


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """One input or output of the file: its name in the graph, and how the file stores it.

    Attributes:
        dtype: numpy name of what the file holds.
        graph_dtype: numpy name in the graph: float32 for quantized integers.
        quantization: what integers mean.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    graph_dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True, kw_only=True)
class ReadGraph:
    """What `read_graph` gives back.

    Attributes:
        proto: the float ONNX model, opset 18.
        inputs: in the file's order.
        outputs: in the file's order.
        quantized: whether activations are stored in integers.
        stored: tensors of the file with the integers that initializers stand for, moved or not, by initializer.
        weights: how constants were stored, other than float32: `int8`, `uint8`, `float16`.
    """

    proto: onnx.ModelProto
    inputs: tuple[Boundary, ...]
    outputs: tuple[Boundary, ...]
    quantized: bool
    weights: tuple[str, ...]
    stored: Mapping[str, FileTensor] = field(default_factory=dict)


def read_graph(model: Any, *, where: str, keep_rounding: bool = False) -> ReadGraph:
    """Bring the main subgraph of a TFLite model to ONNX, everything in float, maps in the file's NHWC layout.

    Args:
        model: the schema's object tree, from `flatbuffer.read_model`.
        where: what to call the file in errors.
        keep_rounding: round quantized activations as the file does; to hold the reader against the file.

    Raises:
        UnsupportedOperationError: operators that the table does not have, all of them.
        ModelError: tensors that the graph cannot hold.
    """
    graph = model.subgraphs[0]
    try:
        tensors = read_tensors(model)
    except (UnreadableError, ValueError) as error:
        raise ModelError(f"{where} cannot be read: {error}.", hint="Convert the model again.") from error
    inputs = [int(index) for index in graph.inputs] if graph.inputs is not None else []
    outputs = [int(index) for index in graph.outputs] if graph.outputs is not None else []
    names = _boundary_names(model, tensors, inputs, outputs)
    context = ReadContext(tensors, names, keep_rounding=keep_rounding, subgraphs=Subgraphs(model, READERS))
    problems = read_all(context, read_operators(model), READERS)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise UnsupportedOperationError(
            f"{len(problems)} of {len(graph.operators or [])} operators of {where} cannot be read:\n{listed}",
            hint="Convert the model from its source (Keras, PyTorch, ONNX) instead of from TFLite.",
        )
    ends = [_boundary(context, index) for index in inputs], [_boundary(context, index) for index in outputs]
    return ReadGraph(
        proto=_proto(context, *ends),
        inputs=tuple(ends[0]),
        outputs=tuple(ends[1]),
        quantized=any(_is_quantized(tensor) and tensor.data is None for tensor in tensors),
        weights=tuple(sorted({tensor.dtype for tensor in tensors if _is_compressed(tensor)})),
        stored={name: tensors[index] for name, index in context.origins.items()},
    )


def _is_quantized(tensor: FileTensor) -> bool:
    return tensor.quantization is not None and np.dtype(tensor.dtype).kind in "iu"


def _is_compressed(tensor: FileTensor) -> bool:
    return tensor.data is not None and (
        tensor.dtype == "float16" or (_is_quantized(tensor) and tensor.dtype in ("int8", "uint8"))
    )


def _boundary_names(model: Any, tensors: list[FileTensor], inputs: list[int], outputs: list[int]) -> dict[int, str]:
    """Return the names of inputs and outputs: the signature's where there is one, else the tensors' own."""
    names: dict[int, str] = {}
    signatures = [entry for entry in model.signatureDefs or [] if entry.subgraphIndex == 0]
    for entry in [*(signatures[0].inputs or []), *(signatures[0].outputs or [])] if signatures else []:
        names[int(entry.tensorIndex)] = entry.name.decode() if isinstance(entry.name, bytes) else str(entry.name)
    for index in [*inputs, *outputs]:
        names.setdefault(index, tensors[index].name)
    found: dict[int, str] = {}
    for index in dict.fromkeys([*inputs, *outputs]):
        name, count = names[index], 0
        while name in found.values():
            count += 1
            name = f"{names[index]}_{count}"
        found[index] = name
    return found


def _boundary(context: ReadContext, index: int) -> Boundary:
    tensor = context.tensors[index]
    quantized = _is_quantized(tensor)
    return Boundary(
        name=context.name(index),
        shape=tensor.shape,
        dtype=tensor.dtype,
        graph_dtype="float32" if quantized else tensor.dtype,
        quantization=tensor.quantization if quantized else None,
    )


def _proto(context: ReadContext, inputs: list[Boundary], outputs: list[Boundary]) -> onnx.ModelProto:
    def info(boundary: Boundary) -> onnx.ValueInfoProto:
        dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(boundary.graph_dtype))
        shape = ["batch" if size is None and axis == 0 else size for axis, size in enumerate(boundary.shape)]
        return onnx.helper.make_tensor_value_info(boundary.name, dtype, shape)

    graph = onnx.helper.make_graph(
        context.nodes,
        "tflite",
        [info(boundary) for boundary in inputs],
        [info(boundary) for boundary in outputs],
        initializer=list(context.initializers.values()),
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    proto = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10, producer_name="edgeai")
    add_functions(proto)
    return proto
