"""What the writer knows of the graph before it writes: constants, which nodes melt into others, who reads what.

Nothing is changed in the graph. Folded are
  Q → DQ                      into the quantization of one tensor,
  initializer → DQ, Cast      into a constant stored as int8 or float16,
  producer → Relu, Clip       into the producer's fused activation,
  MatMul → Add of a vector    into the bias of the dense layer,
  Slice → Slice               into the last one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.quantization import Array, Quantization, dequantize, quantize

FUSED_ACTIVATIONS = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
"""Activations that other operators carry out, with the schema's numbers."""

_CARRIERS = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization", "MaxPool"})
_MOVES = frozenset({"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant:
    """A value known when the file is written.

    Attributes:
        stored: float32, float16, int8, int32, int64 or bool numbers.
        quantization: what integers mean, when they stand for real numbers.
    """

    name: str
    stored: Array
    quantization: Quantization | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The logical shape."""
        return tuple(self.stored.shape)

    @property
    def real(self) -> Array:
        """The numbers it stands for: float32 for quantized and float16 storage, else as stored."""
        if self.quantization is not None:
            return dequantize(self.stored, self.quantization)
        return self.stored.astype(np.float32) if self.stored.dtype == np.float16 else self.stored


@dataclass(kw_only=True)
class Folding:
    """See the module's first lines.

    Attributes:
        constants: by value name.
        readers: nodes that read a value, by its name.
        boundary: names of the graph's outputs.
        activations: activation melted into a node: (its last value, name of the fused activation), by first output.
        biases: vector added to a MatMul's result: (the sum, name of the vector), by the MatMul's first output.
        skipped: nodes that are written by another one; identified by their first output.
    """

    constants: dict[str, Constant] = field(default_factory=dict)
    readers: dict[str, list[ir.Node]] = field(default_factory=lambda: defaultdict(list))
    boundary: set[str] = field(default_factory=set)
    activations: dict[str, tuple[str, str]] = field(default_factory=dict)
    biases: dict[str, tuple[str, str]] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def final_name(self, name: str) -> str:
        """Return the name of the value that a node's output becomes after its bias and its fused activation."""
        name = self.biases[name][0] if name in self.biases else name
        return self.activations[name][0] if name in self.activations else name

    def fused_activation(self, node: ir.Node) -> str:
        """Return the name of the activation melted into a node, `NONE` without one."""
        name = first_output(node)
        name = self.biases[name][0] if name in self.biases else name
        return self.activations[name][1] if name in self.activations else "NONE"

    def only_reader(self, name: str) -> ir.Node | None:
        """Return the single node that reads a value which nothing else needs."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.boundary else None

    def quantization_after(self, name: str) -> Quantization | None:
        """Return how a value is stored when every reader of it quantizes it in the same way; else `None`.

        Readers that only move numbers are looked through.
        """
        readers = self.readers.get(name, [])
        if not readers or name in self.boundary:
            return None
        found = []
        for reader in readers:
            if reader.op_type in _MOVES:
                found.append(self.quantization_after(first_output(reader)))
            else:
                found.append(self.parameters(reader) if reader.op_type == "QuantizeLinear" else None)
        first = found[0]
        return first if first is not None and all(first.same_as(other) for other in found) else None

    def parameters(self, node: ir.Node) -> Quantization | None:
        """Return the parameters of a QuantizeLinear or DequantizeLinear of an activation; `None` for others.

        uint8 is stored as int8 with everything moved by 128, which is the same numbers; int16 must be symmetric.
        """
        scale = self.constants.get(_input_name(node, 1))
        if scale is None or scale.stored.size != 1:
            return None
        point = self.constants.get(_input_name(node, 2))
        if point is None:
            attribute = node.attributes.get("output_dtype")
            dtype, number = "uint8" if attribute is None else ir.DataType(attribute.as_int()).numpy().name, 0
            if node.op_type == "DequantizeLinear":
                value = node.inputs[0]
                dtype = value.dtype.numpy().name if value is not None and value.dtype is not None else dtype
        else:
            dtype, number = point.stored.dtype.name, int(point.stored.reshape(-1)[0])
        if dtype not in ("int8", "uint8") and (dtype != "int16" or number):
            return None
        return Quantization(
            scale=scale.stored.astype(np.float32).reshape(1),
            zero_point=np.array([number - (128 if dtype == "uint8" else 0)], np.int64),
            dtype="int16" if dtype == "int16" else "int8",
        )


def first_output(node: ir.Node) -> str:
    """Return the name of a node's first output, which identifies the node."""
    return node.outputs[0].name or ""


def _input_name(node: ir.Node, position: int) -> str:
    value = node.inputs[position] if position < len(node.inputs) else None
    return "" if value is None else value.name or ""


def fold(graph: ir.Graph) -> Folding:
    """Find everything that melts into something else."""
    folding = Folding(boundary={value.name or "" for value in graph.outputs})
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            folding.constants[name] = Constant(name=name, stored=value.const_value.numpy())
    for node in graph:
        _fold_constant(node, folding)
    for node in graph:
        if first_output(node) not in folding.constants:
            for read in node.inputs:
                if read is not None:
                    folding.readers[read.name or ""].append(node)
    for node in graph:
        if node.op_type == "MatMul":
            _fold_bias(node, folding)
    for node in graph:
        _fuse_activation(node, folding)
        if node.op_type == "Slice":
            _chain_slices(node, folding)
    return folding


def _fold_constant(node: ir.Node, folding: Folding) -> None:
    name = first_output(node)
    if node.op_type == "Constant":
        attribute = node.attributes.get("value")
        if attribute is not None:
            folding.constants[name] = Constant(name=name, stored=attribute.as_tensor().numpy())
        elif len(node.attributes) == 1:
            value = np.asarray(next(iter(node.attributes.values())).value)
            value = value.astype(np.float32) if value.dtype == np.float64 else value
            folding.constants[name] = Constant(name=name, stored=value)
        return
    constant = folding.constants.get(_input_name(node, 0))
    if constant is None:
        return
    if node.op_type == "Identity":
        folding.constants[name] = constant
    elif node.op_type == "Cast" and constant.quantization is None:
        to = ir.DataType(node.attributes["to"].as_int()).numpy()
        # float16 storage: kept as it is stored, read as float32 where it is used.
        kept = constant.stored.dtype == np.float16 and to == np.float32
        folding.constants[name] = constant if kept else Constant(name=name, stored=constant.stored.astype(to))
    elif node.op_type == "DequantizeLinear":
        _fold_dequantize(node, constant, folding)
    elif node.op_type == "QuantizeLinear":
        parameters = folding.parameters(node)
        if parameters is not None and constant.quantization is None:
            stored = quantize(constant.real, parameters)
            folding.constants[name] = Constant(name=constant.name, stored=stored, quantization=parameters)


def _fold_dequantize(node: ir.Node, constant: Constant, folding: Folding) -> None:
    name = first_output(node)
    if constant.quantization is not None:  # QuantizeLinear of a constant has done it already
        folding.constants[name] = constant
        return
    scale = folding.constants.get(_input_name(node, 1))
    point = folding.constants.get(_input_name(node, 2))
    block = node.attributes.get_int("block_size", 0)
    if scale is None:
        return
    if block:
        if point is None:
            blocks = Quantization(
                scale=scale.stored.astype(np.float32),
                zero_point=np.zeros(1, np.int64),
                axis=node.attributes.get_int("axis", 1) % constant.stored.ndim,
                block=block,
            )
            folding.constants[name] = Constant(name=constant.name, stored=constant.stored, quantization=blocks)
        return
    scales = scale.stored.astype(np.float32).reshape(-1)
    points = np.zeros(scales.shape, np.int64) if point is None else point.stored.astype(np.int64).reshape(-1)
    stored = constant.stored
    if stored.dtype == np.uint8:
        stored = (stored.astype(np.int16) - 128).astype(np.int8)
        points = points - 128
    axis = None
    if scale.stored.ndim and len(scales) > 1:
        axis = node.attributes.get_int("axis", 1) % max(stored.ndim, 1)
    quantization = Quantization(scale=scales, zero_point=points, axis=axis)
    folding.constants[name] = Constant(name=constant.name, stored=stored, quantization=quantization)


def activation_name(node: ir.Node, folding: Folding) -> str | None:
    """Return the TFLite activation that a Relu or Clip node is, `None` when it is none of them."""
    if node.op_type == "Relu":
        return "RELU"
    if node.op_type != "Clip":
        return None
    low, high = clip_bounds(node, folding)
    if low == 0 and high == np.inf:
        return "RELU"
    return {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}.get((low, high))


def clip_bounds(node: ir.Node, folding: Folding) -> tuple[float, float]:
    """Return the bounds of a Clip node; NaN for one that is not constant."""
    bounds = []
    for position, default in ((1, -np.inf), (2, np.inf)):
        name = _input_name(node, position)
        constant = folding.constants.get(name)
        bounds.append(default if not name else float("nan") if constant is None else float(constant.real.reshape(())))
    return bounds[0], bounds[1]


def _chain_slices(node: ir.Node, folding: Folding) -> None:
    """Leave `Slice` or `Slice → Q → DQ` to the only Slice that reads it, when Q does not change the scale."""
    name = first_output(node)
    path = [node]
    reader = folding.only_reader(name)
    while reader is not None and reader.op_type in ("QuantizeLinear", "DequantizeLinear") and len(path) < 3:
        path.append(reader)
        reader = folding.only_reader(first_output(reader))
    if reader is None or reader.op_type != "Slice" or _input_name(reader, 0) != first_output(path[-1]):
        return
    if len(path) == 3:
        source = node.inputs[0]
        before = None if source is None else source.producer()
        given = folding.parameters(before) if before is not None and before.op_type == "DequantizeLinear" else None
        if given is None or not given.same_as(folding.parameters(path[1])):
            return
    elif len(path) == 2:
        return
    folding.skipped.update(first_output(skipped) for skipped in path)


def _fold_bias(node: ir.Node, folding: Folding) -> None:
    """Leave the Add of a vector, one number per column, to the product with a constant matrix before it."""
    name, weight = first_output(node), folding.constants.get(_input_name(node, 1))
    reader = folding.only_reader(name)
    if weight is None or len(weight.shape) != 2 or reader is None or reader.op_type != "Add":
        return
    other = _input_name(reader, 1 if _input_name(reader, 0) == name else 0)
    bias = folding.constants.get(other)
    if bias is None or bias.stored.size != weight.shape[1] or bias.shape[-1:] != (weight.shape[1],):
        return
    given, made = node.inputs[0], node.outputs[0]
    if given is not None and given.shape is not None and len(bias.shape) > len(given.shape):
        return
    if made.dtype not in (None, ir.DataType.FLOAT):
        return
    folding.biases[name] = (first_output(reader), other)
    folding.skipped.add(first_output(reader))


def _fuse_activation(node: ir.Node, folding: Folding) -> None:
    """Melt `node → Relu` and, when quantized in between, `node → Q → DQ → Relu → Q`.

    In the second form the first Q and DQ are left out: the fused kernel rounds once, after the activation.
    """
    name = first_output(node)
    if node.op_type not in _CARRIERS or name in folding.constants:
        return
    path: list[ir.Node] = []
    reader = folding.only_reader(name)
    while reader is not None and reader.op_type in ("QuantizeLinear", "DequantizeLinear") and len(path) < 2:
        path.append(reader)
        reader = folding.only_reader(first_output(reader))
    if reader is None or len(path) == 1:
        return
    activation = activation_name(reader, folding)
    if activation is None or (path and folding.quantization_after(first_output(reader)) is None):
        return
    folding.activations[name] = (first_output(reader), activation)
    folding.skipped.update(first_output(skipped) for skipped in [*path, reader])
