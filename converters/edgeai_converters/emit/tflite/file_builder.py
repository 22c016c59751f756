"""The tables of a TFLite file while it is written: tensors, constants, operators. Knows nothing of the graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.layout import Shape
from edgeai_converters.emit.tflite.op_versions import operator_version
from edgeai_converters.emit.tflite.quantization import Array, Quantization
from edgeai_converters.emit.tflite.schema import load_schema, operator_code, tensor_type
from edgeai_converters.graph.free_names import take_name


@dataclass(kw_only=True)
class FileTensor:
    """One tensor of the file, in physical axes.

    Attributes:
        shape: sizes; `None` is a free dimension.
        dtype: numpy name of what is stored.
        quantization: of integer tensors, `axis` physical.
        data: contents of a constant.
        block_scales: number of the tensor that holds the scales of a constant in blocks; -1 without.
        variable: state that an operator reads and writes; zero after a reset.
    """

    name: str
    shape: Shape
    dtype: str
    quantization: Quantization | None = None
    data: Array | None = None
    block_scales: int = -1
    variable: bool = False


@dataclass(kw_only=True)
class FileOperator:
    """One operator: builtin name, tensor numbers (-1: left out), and the table and fields of its options."""

    name: str
    inputs: list[int]
    outputs: list[int]
    options: str = ""
    fields: dict[str, object] = field(default_factory=dict)
    version: int = 1


class FileBuilder:
    """Collects tensors and operators, then makes a `ModelT` of those that the outputs need."""

    def __init__(self) -> None:
        self.tensors: list[FileTensor] = []
        self.operators: list[FileOperator] = []
        self._constants: dict[tuple[object, ...], int] = {}
        self._producer: dict[int, FileOperator] = {}

    def add_tensor(self, name: str, shape: Shape, dtype: str, quantization: Quantization | None = None) -> int:
        """Add a tensor that is computed at run time and return its number."""
        self.tensors.append(FileTensor(name=name, shape=shape, dtype=dtype, quantization=quantization))
        return len(self.tensors) - 1

    def add_variable(self, name: str, shape: Shape, dtype: str) -> int:
        """Add a state and return its number."""
        self.tensors.append(FileTensor(name=name, shape=shape, dtype=dtype, variable=True))
        return len(self.tensors) - 1

    def add_constant(self, data: Array, name: str, quantization: Quantization | None = None) -> int:
        """Add a constant and return its number; equal constants are one tensor."""
        stored = np.ascontiguousarray(data).reshape(data.shape)
        scale = b"" if quantization is None else quantization.scale.tobytes() + quantization.zero_point.tobytes()
        axis = None if quantization is None else quantization.axis
        digest = hashlib.sha256(stored.tobytes()).digest()
        key = (digest, stored.shape, stored.dtype.name, scale, axis)
        if key not in self._constants:
            block_scales = -1
            if quantization is not None and quantization.block:
                block_scales = self.add_constant(quantization.scale.astype(np.float16), f"{name}/scales")
            self._constants[key] = len(self.tensors)
            made = FileTensor(name=name, shape=stored.shape, dtype=stored.dtype.name, data=stored)
            made.quantization, made.block_scales = quantization, block_scales
            self.tensors.append(made)
        return self._constants[key]

    def add_operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **fields: object
    ) -> None:
        """Add an operator.

        Args:
            name: builtin name, such as `CONV_2D`.
            inputs: tensor numbers, -1 for one that is left out.
            outputs: tensor numbers.
            options: its options table without the final T, such as `Conv2DOptions`; empty for none.
            fields: fields of that table.
        """
        operator = FileOperator(
            name=name, inputs=list(inputs), outputs=list(outputs), options=options, fields=dict(fields)
        )
        types = [None if index < 0 else self.tensors[index] for index in inputs]
        operator.version = operator_version(name, types, [self.tensors[i] for i in outputs], operator.fields)
        self.operators.append(operator)
        for index in outputs:
            self._producer[index] = operator

    def producer(self, tensor: int) -> FileOperator | None:
        """Return the operator that computes a tensor; `None` for inputs and constants."""
        return self._producer.get(tensor)

    def drop_unused(self, outputs: Sequence[int]) -> None:
        """Drop operators whose results nobody needs."""
        needed = set(outputs)
        kept: list[FileOperator] = []
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                needed.update(index for index in operator.inputs if index >= 0)
                kept.append(operator)
        self.operators = kept[::-1]

    def count(self, name: str) -> int:
        """Return how many operators of one kind there are."""
        return sum(operator.name == name for operator in self.operators)

    def build(self, inputs: Mapping[str, int], outputs: Mapping[str, int], *, description: str) -> Any:
        """Return the `ModelT`: one subgraph and one signature `serving_default` with the given boundary names."""
        schema = load_schema()
        self.drop_unused(list(outputs.values()))
        used = {*inputs.values(), *outputs.values()}
        used.update(index for op in self.operators for index in [*op.inputs, *op.outputs] if index >= 0)
        used.update(scales for index in tuple(used) if (scales := self.tensors[index].block_scales) >= 0)
        number = {index: position for position, index in enumerate(sorted(used))}
        number[-1] = -1

        model = schema.ModelT()
        model.version = 3
        model.description = description
        # Buffer 0 stays empty: a tensor that is not constant points at it.
        model.buffers = [schema.BufferT()]
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.tensors = [self._pack_tensor(schema, model, self.tensors[index], number) for index in sorted(used)]
        graph.inputs = np.array([number[index] for index in inputs.values()], np.int32)
        graph.outputs = np.array([number[index] for index in outputs.values()], np.int32)
        _make_names_unique(graph.tensors, first=[*graph.inputs, *graph.outputs])
        codes: dict[tuple[str, int], int] = {}
        graph.operators = []
        for operator in self.operators:
            packed = schema.OperatorT()
            packed.opcodeIndex = codes.setdefault((operator.name, operator.version), len(codes))
            packed.inputs = np.array([number[index] for index in operator.inputs], np.int32)
            packed.outputs = np.array([number[index] for index in operator.outputs], np.int32)
            if operator.options:
                options = getattr(schema, f"{operator.options}T")()
                for name, value in operator.fields.items():
                    assert hasattr(options, name), (operator.options, name)
                    setattr(options, name, value)
                packed.builtinOptionsType = getattr(schema.BuiltinOptions, operator.options)
                packed.builtinOptions = options
            graph.operators.append(packed)
        model.operatorCodes = []
        for name, version in codes:
            code = schema.OperatorCodeT()
            code.builtinCode = operator_code(name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = version
            model.operatorCodes.append(code)
        model.subgraphs = [graph]
        model.signatureDefs = [self._pack_signature(schema, inputs, outputs, number)]
        return model

    @staticmethod
    def _pack_tensor(schema: Any, model: Any, tensor: FileTensor, number: Mapping[int, int]) -> Any:
        packed = schema.TensorT()
        packed.name = tensor.name
        packed.type = tensor_type(tensor.dtype)
        packed.shape = np.array([1 if size is None else size for size in tensor.shape], np.int32)
        packed.hasRank = True
        packed.isVariable = tensor.variable
        if None in tensor.shape:
            packed.shapeSignature = np.array([-1 if size is None else size for size in tensor.shape], np.int32)
        if tensor.quantization is not None and tensor.quantization.block:
            blocks = schema.BlockwiseQuantizationT()
            blocks.scales, blocks.zeroPoints = number[tensor.block_scales], -1
            blocks.blockSize = tensor.quantization.block
            packed.quantization = schema.QuantizationParametersT()
            packed.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
            packed.quantization.details = blocks
        elif tensor.quantization is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.asarray(tensor.quantization.scale, np.float32)
            quantization.zeroPoint = np.asarray(tensor.quantization.zero_point, np.int64)
            quantization.quantizedDimension = tensor.quantization.axis or 0
            packed.quantization = quantization
        if tensor.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(_stored_bytes(tensor.data), np.uint8)
            packed.buffer = len(model.buffers)
            model.buffers.append(buffer)
        return packed

    @staticmethod
    def _pack_signature(
        schema: Any, inputs: Mapping[str, int], outputs: Mapping[str, int], number: Mapping[int, int]
    ) -> Any:
        def pack(names: Mapping[str, int]) -> list[Any]:
            maps = []
            for name, index in names.items():
                entry = schema.TensorMapT()
                entry.name = name
                entry.tensorIndex = number[index]
                maps.append(entry)
            return maps

        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.subgraphIndex = 0
        signature.inputs = pack(inputs)
        signature.outputs = pack(outputs)
        return signature


def _make_names_unique(tensors: Sequence[Any], *, first: Sequence[int]) -> None:
    """Number tensors of the same name, as tools that look tensors up by name expect; those in `first` keep theirs."""
    order = dict.fromkeys([*(int(index) for index in first), *range(len(tensors))])
    taken: set[str] = set()
    for index in order:
        tensors[index].name = take_name(tensors[index].name, taken)


def _stored_bytes(data: Array) -> bytes:
    """Return the contents of a buffer; of 4-bit integers two share a byte, the first in its low half."""
    if data.dtype.name != "int4":
        return data.tobytes()
    nibbles = data.reshape(-1).astype(np.int8).view(np.uint8) & 0x0F
    nibbles = np.append(nibbles, np.zeros(nibbles.size % 2, np.uint8))
    return bytes(nibbles[0::2] | nibbles[1::2] << 4)
