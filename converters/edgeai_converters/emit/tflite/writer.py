"""The graph as a `.tflite` file: `emit_tflite`, and what cannot be written: `unsupported_nodes`."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.tflite.flatbuffer import write_model
from edgeai_converters.emit.tflite.folding import first_output
from edgeai_converters.emit.tflite.layout import Shape, identity, physical_shape
from edgeai_converters.emit.tflite.lowering import lower
from edgeai_converters.emit.tflite.metadata import add_metadata
from edgeai_converters.emit.tflite.op_table import WRITERS
from edgeai_converters.emit.tflite.quantization import unsigned
from edgeai_converters.emit.tflite.schema import NUMPY_TYPES
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext
from edgeai_runtime.errors import ModelError, OutputError, UnsupportedOperationError
from edgeai_runtime.manifest import Quantization, TensorSpec


@dataclass(frozen=True, kw_only=True)
class UnsupportedNode:
    """A node that TFLite cannot say: its operator, its name (or its first output's) and the reason."""

    op_type: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.name!r}: {self.reason}"


def unsupported_nodes(model: ir.Model) -> list[UnsupportedNode]:
    """Return every node of a simplified graph that `emit_tflite` could not write; nothing is written."""
    return _write_graph(lower(model).graph)[1]


def emit_tflite(model: ir.Model, folder: Path, *, stem: str = "model") -> Artifact:
    """Write a graph as `<folder>/<stem>.tflite`.

    Inside, maps lie channels-last. The boundary keeps the names, order, layout and types of the graph: an
    `[N, C, H, W]` input is transposed once. Quantization is read from the graph's own Q and DQ nodes, see `folding.py`.

    Args:
        model: simplified graph with inferred shapes, opset 18 or newer; not changed.
        folder: made when missing; an existing file of that name is replaced whole.
        stem: name of the file without suffix.

    Raises:
        UnsupportedOperationError: nodes that TFLite cannot say, all of them; nothing was written.
        ModelError: a boundary that TFLite cannot say.
        OutputError: the file cannot be written.
        MissingEngineError: the flatbuffer schema is not installed.
    """
    context, problems = _write_graph(lower(model).graph)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise UnsupportedOperationError(
            f"{len(problems)} of {len(model.graph)} nodes cannot be written to TFLite:\n{listed}",
            hint="Simplify the graph and fix its input shapes first, or choose another format (onnx, openvino).",
        )
    inputs = _inputs(context)
    outputs = _outputs(context)
    built = context.file.build(inputs, outputs, description="written by edgeai")
    add_metadata(built, model.metadata_props)
    content = write_model(built)
    path = _write_file(folder, f"{stem}.tflite", content)
    counts = Counter(operator.name for operator in context.file.operators)
    return Artifact(
        format="tflite",
        files=(path,),
        inputs=tuple(_spec(context, name, index) for name, index in inputs.items()),
        outputs=tuple(_spec(context, name, index) for name, index in outputs.items()),
        operators=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        notes=(_transpose_note(counts["TRANSPOSE"]), *context.notes),
    )


def _transpose_note(count: int) -> str:
    return "no transposes" if count == 0 else f"{count} transpose{'s' if count > 1 else ''} between layouts"


def _write_graph(graph: ir.Graph) -> tuple[WriteContext, list[UnsupportedNode]]:
    context = WriteContext(graph)
    problems: list[UnsupportedNode] = []
    unknown: set[str] = set()
    for value in graph.inputs:
        name = value.name or ""
        if name in context.folding.constants:
            continue
        shape, dtype = context.graph_shape(name), context.graph_dtype(name)
        if dtype not in NUMPY_TYPES.values():
            raise ModelError(f"Input {name!r} has type {dtype}, which TFLite does not have.")
        order = identity(len(shape))
        index = context.file.add_tensor(name, shape, dtype)
        context.values[name] = Value(name=name, shape=shape, dtype=dtype, tensors={(order, False): index})
    for node in graph:
        if first_output(node) in context.folding.constants or first_output(node) in context.folding.skipped:
            continue
        if any(value is not None and value.name in unknown for value in node.inputs):
            unknown.update(value.name or "" for value in node.outputs)
            continue
        write = WRITERS.get(node.op_type) if node.domain in ("", "ai.onnx") or _stores(node) else None
        try:
            if write is None:
                raise UnwritableError("there is no such operator in the table")
            write(context, node)
        except UnwritableError as error:
            problems.append(
                UnsupportedNode(op_type=node.op_type, name=node.name or first_output(node), reason=str(error))
            )
            _stand_in(context, node, unknown)
    return context, problems


def _stores(node: ir.Node) -> bool:
    """Tell whether it is ONNX Runtime's own form of a Q or DQ node, which has 16 bits before opset 21."""
    return node.domain == "com.microsoft" and node.op_type in ("QuantizeLinear", "DequantizeLinear")


def _stand_in(context: WriteContext, node: ir.Node, unknown: set[str]) -> None:
    """Define the outputs of a node that was not written, so that the nodes behind it are looked at too."""
    for position in range(len(node.outputs)):
        name = context.result_name(node, position)
        try:
            shape = context.graph_shape(name)
        except UnwritableError:
            unknown.add(name)
            continue
        order = identity(len(shape))
        quantization = context.folding.quantization_after(name)
        index = context.file.add_tensor(name, physical_shape(shape, order), context.graph_dtype(name), quantization)
        value = Value(name=name, shape=shape, dtype=context.graph_dtype(name), quantization=quantization)
        value.tensors[order, quantization is not None] = index
        context.values[name] = value


def _inputs(context: WriteContext) -> dict[str, int]:
    names = [value.name or "" for value in context.graph.inputs]
    return {
        name: next(iter(context.values[name].tensors.values()))
        for name in names
        if name not in context.folding.constants
    }


def _outputs(context: WriteContext) -> dict[str, int]:
    """Bring every output to the graph's own layout and type, each in a tensor of its own."""
    found: dict[str, int] = {}
    taken = set(_inputs(context).values())
    for graph_value in context.graph.outputs:
        name = graph_value.name or ""
        if name not in context.values:
            raise ModelError(f"Output {name!r} of the graph is a constant.", hint="Remove that output.")
        value = context.values[name]
        integer = context.graph_dtype(name) in ("int8", "uint8", "int16") and value.quantization is not None
        tensor = context.tensor(value, identity(value.rank), integer=integer)
        if integer and context.graph_dtype(name) == "uint8" and value.quantization is not None:
            tensor = context.requantized(tensor, f"{name}/uint8", unsigned(value.quantization))
        if tensor in taken:
            copy = context.scratch(tensor, context.shape_of(tensor), name)
            zeros = np.zeros((len(context.shape_of(tensor)), 2), np.int32)
            table = context.integers(zeros, f"{name}/paddings")
            context.add("PAD", [tensor, table], [copy], "PadOptions")
            tensor = copy
        context.file.tensors[tensor].name = name
        taken.add(tensor)
        found[name] = tensor
    return found


def _spec(context: WriteContext, name: str, tensor: int) -> TensorSpec:
    stored = context.file.tensors[tensor]
    shape: Shape = stored.shape
    quantization = None
    if stored.quantization is not None:
        quantization = Quantization(
            scale=float(stored.quantization.scale[0]), zero_point=int(stored.quantization.zero_point[0])
        )
    return TensorSpec(name=name, shape=shape, dtype=stored.dtype, quantization=quantization)


def _write_file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    beside = folder / f".{name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"{path} ({len(content)} bytes) cannot be written: {error}.") from error
    return path
