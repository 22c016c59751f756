"""Facts of a `.tflite` file. No engine is needed; the file is read, nothing is run."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.flatbuffer import code_name, read_model
from edgeai_converters.emit.tflite.schema import load_schema, numpy_type
from edgeai_converters.facts.tflite_values import operator_values
from edgeai_devices.memory_arena import plan_arena
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts, Role, TensorLife
from edgeai_runtime.manifest import Precision

_WEIGHTS = {
    "BATCH_MATMUL": 1,
    "CONV_2D": 1,
    "CONV_3D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 2,
    "BIDIRECTIONAL_SEQUENCE_LSTM": 2,
}
"""Operators that multiply by weights, and which input these are."""

_SAME_DATA = {"BITCAST", "EXPAND_DIMS", "RESHAPE", "SQUEEZE"}
"""Operators whose output is their first input in another shape."""

_IN_PLACE = {"ADD": 2, "DIV": 2, "MUL": 2, "SOFTMAX": 1, "SUB": 2}
"""Operators that LiteRT may let write over an input, and how many of the inputs are asked."""

_LEAST_SHARED = 8
"""LiteRT shares no memory between tensors of this many bytes or less."""


def read_tflite_facts(path: Path) -> ModelFacts:
    """Return the facts of a TFLite file.

    Raises:
        ModelError: empty, truncated or foreign content.
        MissingEngineError: the schema (extra `tflite`) is not installed.
    """
    content = path.read_bytes()
    model = read_model(content, where=str(path))
    graphs = [_Graph(model, graph) for graph in model.subgraphs]
    main = graphs[0]
    lives = main.lives()
    notes = []
    for number, graph in enumerate(graphs[1:], 1):
        size = plan_arena(graph.lives(), "litert").peak_bytes
        lives.append(TensorLife(name=f"subgraph {number}", size_bytes=size, first_step=0, last_step=main.last_step))
    if len(graphs) > 1:
        notes.append(f"{len(graphs)} subgraphs: their memory is counted as needed all at once, which is too much.")
    free = main.free_inputs()
    return ModelFacts(
        format="tflite",
        operators=tuple(operator for graph in graphs for operator in graph.operators()),
        size_bytes=len(content),
        free=tuple(text for text, _ in free),
        only_batch_is_free=bool(free) and all(only_batch for _, only_batch in free),
        tensors=tuple(lives),
        notes=tuple(notes),
    )


class _Graph:
    """One subgraph with the look-ups that facts need."""

    def __init__(self, model: Any, graph: Any) -> None:
        self._buffers = model.buffers
        self._tensors = graph.tensors or []
        self._operators = graph.operators or []
        self._names = [code_name(model.operatorCodes[each.opcodeIndex]) for each in self._operators]
        self._inputs, self._outputs = _indices(graph.inputs), _indices(graph.outputs)
        self._readers: dict[int, list[int]] = {}
        for step, operator in enumerate(self._operators):
            for index in set(_indices(operator.inputs)):
                self._readers.setdefault(index, []).append(step)
        self._makers = {
            index: step for step, operator in enumerate(self._operators) for index in _indices(operator.outputs)
        }
        self.last_step = max(0, len(self._operators) - 1)

    def free_inputs(self) -> list[tuple[str, bool]]:
        """Return the inputs with free dimensions in words, and whether only the first is free."""
        found = []
        for index in self._inputs:
            sizes = _indices(self._tensors[index].shapeSignature)
            if any(size < 0 for size in sizes):
                words = ", ".join("?" if size < 0 else str(size) for size in sizes)
                found.append((f"{_text(self._tensors[index].name)} [{words}]", all(size >= 0 for size in sizes[1:])))
        return found

    def operators(self) -> list[OperatorFacts]:
        """Return the facts of every operator, in order."""
        return [self._operator(step, name) for step, name in enumerate(self._names)]

    def lives(self) -> list[TensorLife]:
        """Return the lives of the tensors that need memory at run time."""
        found = []
        for index, tensor in enumerate(self._tensors):
            is_used = index in self._makers or index in self._readers or index in self._inputs
            if self._is_constant(index) or not is_used or _dtype(tensor) in ("string", "resource", "variant"):
                continue
            first = self._makers.get(index, 0)
            is_variable = tensor.isVariable
            role: Role = "inner"
            if is_variable or index in self._inputs or index in self._outputs:
                role = "variable" if is_variable else "input" if index in self._inputs else "output"
            found.append(
                TensorLife(
                    name=self._name(index),
                    size_bytes=self._size(index),
                    first_step=first,
                    last_step=max(first, *self._readers.get(index, [first])),
                    role=role,
                    same_data_as=self._shared(index, _SAME_DATA),
                    overwrites=self._overwritten(index),
                )
            )
        return found

    def _operator(self, step: int, name: str) -> OperatorFacts:
        operator = self._operators[step]
        inputs, outputs = _indices(operator.inputs), _indices(operator.outputs)
        there = [index for index in inputs if index >= 0]
        weight = inputs[_WEIGHTS[name]] if name in _WEIGHTS and len(inputs) > _WEIGHTS[name] else -1
        stored = self._stored(weight) if weight >= 0 else -1
        points = self._tensors[stored].quantization if stored >= 0 else None
        return OperatorFacts(
            name=name,
            label=_text(self._tensors[outputs[0]].name) if outputs else "",
            precision=self._precision(there, outputs, stored),
            is_heavy=name in _WEIGHTS,
            is_unsigned=any(_dtype(self._tensors[index]) == "uint8" for index in outputs),
            constant_weights=stored < 0 or self._is_constant(stored) or name == "BATCH_MATMUL",
            values=operator_values(
                name,
                operator.builtinOptions,
                [_indices(self._tensors[index].shape) for index in there],
                [_indices(self._tensors[index].shape) for index in outputs],
                constants={
                    position: array
                    for position, index in enumerate(there)
                    if (array := self._constant(index)) is not None
                },
                zero_points=() if points is None or points.zeroPoint is None else _indices(points.zeroPoint),
            ),
        )

    def _precision(self, inputs: list[int], outputs: list[int], weight: int) -> Precision | None:
        """How an operator computes: told by the types of its activations and of its weights as they are stored."""
        types = {_dtype(self._tensors[index]) for index in (*inputs, *outputs) if not self._is_constant(index)}
        stored = _dtype(self._tensors[weight]) if weight >= 0 else ""
        if "float32" in types or "float64" in types:
            if stored in ("int8", "uint8", "int4", "int2"):
                return "int4" if stored in ("int4", "int2") else "dynamic_int8"
            constants = {_dtype(self._tensors[index]) for index in inputs if self._is_constant(index)}
            return "float16" if stored == "float16" or "float16" in constants else "float32"
        if "float16" in types or "bfloat16" in types:
            return "float16"
        if "int16" in types:
            return "int16x8"
        return "int8" if types & {"int8", "uint8"} else None

    def _stored(self, index: int) -> int:
        """The tensor that a weight is stored in, looking through DEQUANTIZE."""
        maker = self._makers.get(index)
        if maker is not None and self._names[maker] == "DEQUANTIZE":
            inner = _indices(self._operators[maker].inputs)
            return inner[0] if inner else index
        return index

    def _shared(self, index: int, names: set[str]) -> str | None:
        step = self._makers.get(index)
        if step is None or self._names[step] not in names:
            return None
        source = _indices(self._operators[step].inputs)[0]
        return None if source < 0 or self._is_constant(source) else self._name(source)

    def _overwritten(self, index: int) -> str | None:
        """The first input that the operator may write its output over: as large, and read by nothing else."""
        step = self._makers.get(index)
        if step is None:
            return None
        for source in _indices(self._operators[step].inputs)[: _IN_PLACE.get(self._names[step], 0)]:
            if source < 0 or self._is_constant(source) or self._tensors[source].isVariable:
                continue
            size = self._size(source)
            if size == self._size(index) > _LEAST_SHARED and self._readers[source] == [step]:
                return self._name(source)
        return None

    def _name(self, index: int) -> str:
        """A name that is unique: files need not have such."""
        return f"{index}:{_text(self._tensors[index].name)}"

    def _size(self, index: int) -> int:
        """Bytes of a tensor; the file keeps 1 for a free dimension."""
        shape = _indices(self._tensors[index].shape)
        bits = _BITS.get(_dtype(self._tensors[index]), 32)
        return -(-prod(shape) * bits // 8)

    def _is_constant(self, index: int) -> bool:
        if index < 0:
            return True
        buffer = self._buffers[self._tensors[index].buffer]
        return (buffer.data is not None and len(buffer.data) > 0) or buffer.offset > 1

    def _constant(self, index: int) -> Any | None:
        """The values of a constant; `None` for what is not stored, or not in whole bytes."""
        tensor = self._tensors[index]
        dtype = numpy_type(tensor.type)
        data = self._buffers[tensor.buffer].data
        if dtype is None or data is None or not len(data):
            return None
        values = np.frombuffer(bytes(data), dtype)
        shape = _indices(tensor.shape)
        return values.reshape(shape) if values.size == prod(shape) else None


_BITS = {
    "bool": 8,
    "int4": 4,
    "int2": 2,
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "float16": 16,
    "bfloat16": 16,
    "int64": 64,
    "uint64": 64,
    "float64": 64,
    "complex64": 64,
    "complex128": 128,
}
"""Bits of an element; 32 where not said."""


def _dtype(tensor: Any) -> str:
    known = numpy_type(tensor.type)
    if known is not None:
        return known
    names = vars(load_schema().TensorType).items()
    return next((name.lower() for name, value in names if value == tensor.type), "")


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(each) for each in vector]


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
