"""Inspecting a `.tflite` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.emit.tflite.flatbuffer import code_name, read_model
from edgeai_converters.emit.tflite.metadata import read_metadata
from edgeai_converters.emit.tflite.schema import load_schema, numpy_type
from edgeai_converters.inspection.macs import Shape, elements, per_element
from edgeai_converters.inspection.record import (
    HeavyOperation,
    Inspection,
    count_operators,
    macs_by_name,
    mix_precisions,
    total_macs,
    unknown_macs_note,
    with_metadata,
)
from edgeai_runtime.manifest import Precision, Quantization, TensorSpec

_WEIGHT_INDEX = {
    "CONV_2D": 1,
    "CONV_3D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
    "BATCH_MATMUL": 1,
}
_DATA_INDEX = {"TRANSPOSE_CONV": 2}
_BIAS_INDEX = {"CONV_2D": 2, "CONV_3D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
_NOT_COUNTED = {"UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "SVDF", "RNN", "STABLEHLO_DOT"}
_SETTINGS = {"int32", "int64", "uint32", "bool", "string"}
"""Types of constants that are shapes, axes and indices; an int32 bias is told apart by its place."""


def inspect_tflite(path: Path) -> Inspection:
    """Say what is in a TFLite file.

    Raises:
        ModelError: empty, truncated or foreign content.
        MissingEngineError: the schema (extra `tflite`) is not installed.
    """
    content = path.read_bytes()
    model = read_model(content, where=str(path))
    graphs = [_Graph(model, graph) for graph in model.subgraphs]
    heavy = [operation for graph in graphs for operation in graph.heavy()]
    names = [name for graph in graphs for name in graph.operator_names]
    notes = []
    left_out = sorted(_NOT_COUNTED & set(names))
    if left_out:
        notes.append(f"MACs of {', '.join(left_out)} are not counted.")
    if len(graphs) > 1:
        notes.append(f"{len(graphs)} subgraphs, each counted once.")
    precision, mix = mix_precisions(heavy)
    found = Inspection(
        format="tflite",
        inputs=graphs[0].boundary(model.subgraphs[0].inputs),
        outputs=graphs[0].boundary(model.subgraphs[0].outputs),
        operators=count_operators(names),
        parameters=sum(graph.parameters() for graph in graphs),
        macs=total_macs(heavy),
        size_bytes=len(content),
        precision=precision,
        precision_mix=mix,
        notes=(*notes, *unknown_macs_note(heavy)),
        macs_by_operation={} if notes else macs_by_name(heavy, graphs[0].heavy_places()),
    )
    return with_metadata(found, read_metadata(model))


class _Graph:
    """One subgraph with the look-ups that counting needs."""

    def __init__(self, model: Any, graph: Any) -> None:
        self._buffers = model.buffers
        self._tensors = graph.tensors or []
        self._operators = graph.operators or []
        self.operator_names = [code_name(model.operatorCodes[each.opcodeIndex]) for each in self._operators]
        self._makers = {
            int(index): position for position, each in enumerate(self._operators) for index in _indices(each.outputs)
        }

    def boundary(self, indices: Any) -> tuple[TensorSpec, ...]:
        """Return the specs of the tensors `indices`."""
        return tuple(self._spec(self._tensors[index]) for index in _indices(indices))

    def heavy(self) -> list[HeavyOperation]:
        """Return the operations that multiply and accumulate."""
        found = []
        for name, operator in zip(self.operator_names, self._operators, strict=True):
            if name in _WEIGHT_INDEX:
                outputs = _indices(operator.outputs)
                macs = self._macs(name, operator)
                label = _text(self._tensors[outputs[0]].name) if outputs else ""
                precision = self._precision(name, operator)
                found.append(HeavyOperation(name=label, op_type=name, macs=macs, precision=precision))
        return found

    def heavy_places(self) -> list[str]:
        """Return what LiteRT calls the operations of `heavy()` when it reports where they run."""
        return [f"{name}:{index}" for index, name in enumerate(self.operator_names) if name in _WEIGHT_INDEX]

    def parameters(self) -> int:
        """Return the number of trained values: constants that are not shapes, axes or scalars."""
        biases = {
            self._at(operator, _BIAS_INDEX[name])
            for name, operator in zip(self.operator_names, self._operators, strict=True)
            if name in _BIAS_INDEX
        }
        count = 0
        for index, tensor in enumerate(self._tensors):
            if not self._is_constant(index) or not len(_indices(tensor.shape)):
                continue
            if index in biases or _type_name(tensor.type) not in _SETTINGS:
                count += elements(_indices(tensor.shape)) or 0
        return count

    def _macs(self, name: str, operator: Any) -> int | None:
        weight = self._shape(self._at(operator, _WEIGHT_INDEX[name]))
        data = self._shape(self._at(operator, _DATA_INDEX.get(name, 0)))
        output = self._shape(_indices(operator.outputs)[0])
        if not weight or not data or not output:
            return None
        if name == "FULLY_CONNECTED":
            return per_element(data, weight[:1])
        if name == "TRANSPOSE_CONV":
            return per_element(data, weight[:-1])
        if name == "DEPTHWISE_CONV_2D":
            return per_element(output, weight[1:3])
        if name == "CONV_3D":
            return per_element(output, weight[:4])
        if name == "BATCH_MATMUL":
            options = operator.builtinOptions
            adjoint = bool(getattr(options, "adjX", False) or getattr(options, "adjointLhs", False))
            return per_element(output, data[-2:-1] if adjoint else data[-1:])
        return per_element(output, weight[1:])

    def _precision(self, name: str, operator: Any) -> Precision:
        weight = self._stored_type(self._at(operator, _WEIGHT_INDEX[name]))
        data = self._at(operator, _DATA_INDEX.get(name, 0))
        activation = _type_name(self._tensors[data].type) if data >= 0 else "float32"
        if activation in ("int8", "uint8", "int16"):
            return "int8"
        if weight in ("int8", "uint8", "int4", "int2"):
            return "int4" if weight == "int4" else "dynamic_int8"
        return "float16" if weight == "float16" else "float32"

    def _stored_type(self, index: int) -> str:
        """The type a weight is stored in, looking through DEQUANTIZE."""
        maker = self._makers.get(index)
        if maker is not None and self.operator_names[maker] == "DEQUANTIZE":
            index = self._at(self._operators[maker], 0)
        return _type_name(self._tensors[index].type) if index >= 0 else "float32"

    def _is_constant(self, index: int) -> bool:
        buffer = self._buffers[self._tensors[index].buffer]
        return (buffer.data is not None and len(buffer.data) > 0) or buffer.offset > 1

    def _shape(self, index: int) -> Shape:
        """The shape for batch 1: the file keeps 1 where the signature has a free first dimension."""
        if index < 0:
            return None
        tensor = self._tensors[index]
        signature = _indices(tensor.shapeSignature)
        shape = _indices(tensor.shape)
        if len(signature) != len(shape):
            return shape
        return [
            None if free < 0 and axis > 0 else size
            for axis, (size, free) in enumerate(zip(shape, signature, strict=True))
        ]

    def _spec(self, tensor: Any) -> TensorSpec:
        signature = _indices(tensor.shapeSignature)
        shape = signature if len(signature) == len(_indices(tensor.shape)) else _indices(tensor.shape)
        quantization = tensor.quantization
        scales = [] if quantization is None or quantization.scale is None else list(quantization.scale)
        points = [] if quantization is None or quantization.zeroPoint is None else list(quantization.zeroPoint)
        stored = None
        if len(scales) == 1:
            stored = Quantization(scale=float(scales[0]), zero_point=int(points[0]) if points else 0)
        return TensorSpec(
            name=_text(tensor.name),
            shape=tuple(None if size < 0 else size for size in shape),
            dtype=_type_name(tensor.type),
            quantization=stored,
        )

    @staticmethod
    def _at(operator: Any, position: int) -> int:
        inputs = _indices(operator.inputs)
        return inputs[position] if position < len(inputs) else -1


def _type_name(number: int) -> str:
    known = numpy_type(number)
    if known is not None:
        return known
    names: dict[int, str] = {
        value: name.lower() for name, value in vars(load_schema().TensorType).items() if isinstance(value, int)
    }
    return names.get(number, f"type {number}")


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(each) for each in vector]


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
