"""What the operator families write with: values in whatever layout and storage they ask for.

Layout is a property of a value. An operator asks for the order of axes it needs; memory is moved only when no tensor
of the value lies that way yet, and the result is kept for the next one who asks. The same holds for int8 and float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.file_builder import FileBuilder
from edgeai_converters.emit.tflite.folding import Constant, Folding, fold
from edgeai_converters.emit.tflite.layout import (
    UNIT,
    Permutation,
    Shape,
    identity,
    lowered,
    moves_only_units,
    physical_shape,
)
from edgeai_converters.emit.tflite.quantization import Array, Quantization, choose_for_constant, quantize
from edgeai_converters.emit.tflite.schema import tensor_type


class UnwritableError(Exception):
    """A node that TFLite cannot say, with the reason; collected, so that all are reported together."""


@dataclass(kw_only=True, eq=False)
class Value:
    """A value of the graph that is computed at run time.

    Attributes:
        shape: logical sizes, `None` when free.
        dtype: numpy name in the graph.
        quantization: how its integer tensors are stored; `None` when it has none.
        tensors: its tensors by (order of axes, stored as integers); the first is the one that was computed.
        flat_order: for a flattened map that was not brought to the graph's layout: feature j in memory is feature
            `flat_order[j]` of the graph. Only dense layers, which permute their weights, read such a value.
        non_negative: known to have no negative numbers.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    quantization: Quantization | None = None
    tensors: dict[tuple[Permutation, bool], int] = field(default_factory=dict)
    flat_order: Array | None = None
    non_negative: bool = False

    @property
    def order(self) -> Permutation:
        """The order of axes it was computed in."""
        return next(iter(self.tensors))[0]

    @property
    def rank(self) -> int:
        """The number of logical axes."""
        return len(self.shape)


class WriteContext:
    """The file under construction, and the values that the nodes so far have defined.

    `shared` holds tensors that several nodes use, by what they are.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.file = FileBuilder()
        self.folding: Folding = fold(graph)
        self.notes: list[str] = []
        self.values: dict[str, Value] = {}
        self.shared: dict[tuple[object, ...], int] = {}
        self._graph_values: dict[str, ir.Value] = {value.name or "": value for value in graph.inputs}
        for node in graph:
            self._graph_values.update({value.name or "": value for value in node.outputs})

    # ---- what a node reads -------------------------------------------------------------------------------------

    def operand(self, node: ir.Node, position: int) -> Value | Constant | None:
        """Return what stands at an input of a node; `None` when it is left out."""
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is None or not value.name:
            return None
        constant = self.folding.constants.get(value.name)
        if constant is not None:
            return constant
        if value.name not in self.values:
            raise UnwritableError(f"reads {value.name!r}, which no earlier node computes")
        return self.values[value.name]

    def value(self, node: ir.Node, position: int = 0) -> Value:
        """Return an input that is computed at run time."""
        operand = self.operand(node, position)
        if not isinstance(operand, Value):
            raise UnwritableError(f"input {position} is constant; fold constants first")
        return operand

    def constant(self, node: ir.Node, position: int, what: str) -> Constant:
        """Return an input that must be constant."""
        operand = self.operand(node, position)
        if not isinstance(operand, Constant):
            raise UnwritableError(f"{what} (input {position}) must be a constant")
        return operand

    def optional_constant(self, node: ir.Node, position: int, what: str) -> Constant | None:
        """Return an input that is constant or left out."""
        return None if self.operand(node, position) is None else self.constant(node, position, what)

    def integer_output(self, node: ir.Node, *operands: Value | Constant | None) -> Quantization | None:
        """Return how a node stores its result when it is to run in integers, `None` when it is to run in float.

        A node runs in integers when everything it computes with is quantized and its result is quantized next, all to
        integers of one width.
        """
        found = self.folding.quantization_after(self.result_name(node))
        stored = [operand.quantization for operand in operands if isinstance(operand, Value)]
        if found is None or any(given is None or given.dtype != found.dtype for given in stored):
            return None
        return found

    # ---- tensors in the wanted form ----------------------------------------------------------------------------

    def tensor(self, value: Value, order: Permutation, *, integer: bool = False) -> int:
        """Return a tensor of `value` that lies in `order`, stored as integers or as in the graph."""
        assert value.flat_order is None or order == value.order, value.name
        assert not integer or value.quantization is not None, value.name
        if (order, integer) in value.tensors:
            return value.tensors[order, integer]
        if value.quantization is not None and (order, True) in value.tensors:
            made = self._converted("DEQUANTIZE", value.tensors[order, True], f"{value.name}/float", "float32", None)
        else:
            (old, stored_integer), index = next(iter(value.tensors.items()))
            made = self._moved(index, value.shape, old, order, value.name)
            if stored_integer != integer:
                value.tensors[order, stored_integer] = made
                return self.tensor(value, order, integer=integer)
        value.tensors[order, integer] = made
        return made

    def stored_as(self, value: Value, order: Permutation, quantization: Quantization) -> int:
        """Return an integer tensor of `value` with the given quantization, requantized if it has another one."""
        if quantization.same_as(value.quantization):
            return self.tensor(value, order, integer=True)
        source = self.tensor(value, order, integer=value.quantization is not None)
        return self._converted("QUANTIZE", source, f"{value.name}/requantized", quantization.dtype, quantization)

    def broadcast(
        self, operand: Value | Constant, rank: int, order: Permutation, *, integer: bool = False, dtype: str = "int8"
    ) -> int:
        """Return a tensor that broadcasts against values of `rank` axes which lie in `order`.

        A constant is stored as `dtype` when it is to be an integer.
        """
        if isinstance(operand, Value):
            return self.tensor(operand, lowered(order, rank - operand.rank), integer=integer)
        array, quantization = operand.real, None
        if integer:
            given = operand.quantization
            per_tensor = given is not None and given.axis is None and operand.stored.dtype.name == dtype
            quantization = given if per_tensor else choose_for_constant(array, dtype)
            assert quantization is not None
            array = operand.stored if per_tensor else quantize(array, quantization)
        array = arranged(array.reshape((1,) * (rank - array.ndim) + array.shape), order)
        while array.ndim > 1 and array.shape[0] == 1:
            array = array[0]
        return self.file.add_constant(array, operand.name, quantization)

    def integers(self, values: Sequence[int] | Array, name: str) -> int:
        """Return an int32 constant."""
        return self.file.add_constant(np.asarray(values, np.int32), name)

    def weights(self, constant: Constant, array: Array, quantization: Quantization | None = None) -> int:
        """Return the tensor of a float constant that was rearranged to `array`; float16 storage is kept."""
        if quantization is None and constant.stored.dtype == np.float16:
            half = self.file.add_constant(array.astype(np.float16), constant.name)
            return self._converted("DEQUANTIZE", half, f"{constant.name}/float", "float32", None)
        return self.file.add_constant(array, constant.name, quantization)

    def requantized(self, tensor: int, name: str, quantization: Quantization) -> int:
        """Return an integer tensor made at run time from another one, or from a float one."""
        return self._converted("QUANTIZE", tensor, name, quantization.dtype, quantization)

    def dequantized(self, tensor: int, name: str) -> int:
        """Return a float tensor made at run time from an integer one."""
        return self._converted("DEQUANTIZE", tensor, name, "float32", None)

    # ---- what a node computes ----------------------------------------------------------------------------------

    def result_name(self, node: ir.Node, position: int = 0) -> str:
        """Return the name of the value an output becomes, a fused activation included."""
        name = node.outputs[position].name or ""
        return self.folding.final_name(name) if position == 0 else name

    def graph_shape(self, name: str) -> Shape:
        """Return the logical shape that the graph states for a value."""
        shape = self._graph_values[name].shape
        if shape is None:
            raise UnwritableError(f"the shape of {name!r} is not known; infer shapes first")
        return tuple(size if isinstance(size, int) else None for size in shape)

    def symbols(self, name: str) -> tuple[int | str | None, ...]:
        """Return the shape of a value with the names of its free dimensions; empty when it is not known."""
        value = self._graph_values.get(name)
        if value is None or value.shape is None:
            return ()
        return tuple(size if isinstance(size, int) else size.value for size in value.shape)

    def graph_dtype(self, name: str) -> str:
        """Return the numpy name of the type that the graph states for a value."""
        dtype = self._graph_values[name].dtype
        return "float32" if dtype is None else dtype.numpy().name

    def result(
        self,
        node: ir.Node,
        order: Permutation,
        quantization: Quantization | None = None,
        *,
        position: int = 0,
        non_negative: bool = False,
    ) -> int:
        """Define an output of a node as a new tensor in the given order and return the tensor."""
        name = self.result_name(node, position)
        value = Value(name=name, shape=self.graph_shape(name), dtype=self.graph_dtype(name), quantization=quantization)
        value.non_negative = non_negative or (
            position == 0 and self.folding.fused_activation(node) in ("RELU", "RELU6")
        )
        dtype = quantization.dtype if quantization is not None else value.dtype
        index = self.file.add_tensor(name, physical_shape(value.shape, order), dtype, quantization)
        value.tensors[order, quantization is not None] = index
        self.values[name] = value
        return index

    def define(self, node: ir.Node, value: Value, *, position: int = 0) -> None:
        """Define an output of a node as a value that exists already."""
        self.values[self.result_name(node, position)] = value

    def scratch(self, like: int, shape: Shape, name: str) -> int:
        """Add a tensor stored like another one, for a step between."""
        source = self.file.tensors[like]
        return self.file.add_tensor(name, shape, source.dtype, source.quantization)

    def add(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **fields: object
    ) -> None:
        """Add an operator; see `FileBuilder.add_operator`."""
        self.file.add_operator(name, inputs, outputs, options, **fields)

    def shape_of(self, tensor: int) -> Shape:
        """Return the physical shape of a tensor."""
        return self.file.tensors[tensor].shape

    def cast_fields(self, source: int, result: int) -> dict[str, int]:
        """Return the options of a CAST between two tensors."""
        return {
            "inDataType": tensor_type(self.file.tensors[source].dtype),
            "outDataType": tensor_type(self.file.tensors[result].dtype),
        }

    # ---- moving memory -----------------------------------------------------------------------------------------

    def reshaped(self, tensor: int, shape: Shape, name: str, into: int | None = None) -> int:
        """Return `tensor` with another shape; a reshape of a reshape is one."""
        producer = self.file.producer(tensor)
        if producer is not None and producer.name == "RESHAPE":
            tensor = producer.inputs[0]
        if into is None and self.shape_of(tensor) == shape:
            return tensor
        if sum(size is None for size in shape) > 1:
            return self._with_other_units(tensor, shape, name, into)
        result = self.scratch(tensor, shape, name) if into is None else into
        wanted = [-1 if size is None else size for size in shape]
        target = self.integers(wanted, f"{name}/shape")
        self.add("RESHAPE", [tensor, target], [result], "ReshapeOptions", newShape=np.array(wanted, np.int32))
        return result

    def _with_other_units(self, tensor: int, shape: Shape, name: str, into: int | None) -> int:
        """Return `tensor`, of which several sizes are free, with other axes of size 1; no RESHAPE can say that."""
        old = self.shape_of(tensor)
        essential = [size for size in old if size != 1]
        if essential != [size for size in shape if size != 1]:
            raise UnwritableError(f"more than one free dimension in {list(shape)}; fix all but one with --shape")
        drop = [axis for axis, size in enumerate(old) if size == 1]
        adds = [axis for axis, size in enumerate(shape) if size == 1]
        steps = len(adds) + bool(drop)
        if drop:
            result = self._result(tensor, tuple(essential), name, into if steps == 1 else None)
            self.add("SQUEEZE", [tensor], [result], "SqueezeOptions", squeezeDims=np.array(drop, np.int32))
            tensor = result
        for count, axis in enumerate(adds, 1):
            grown = (*self.shape_of(tensor)[:axis], 1, *self.shape_of(tensor)[axis:])
            result = self._result(tensor, grown, name, into if count == len(adds) else None)
            place = self.integers(np.array(axis, np.int32), f"{name}/axis")
            self.add("EXPAND_DIMS", [tensor, place], [result], "ExpandDimsOptions")
            tensor = result
        return tensor

    def _result(self, like: int, shape: Shape, name: str, into: int | None) -> int:
        return self.scratch(like, shape, name) if into is None else into

    def transposed(self, tensor: int, permutation: Sequence[int], name: str) -> int:
        """Return `tensor` with its physical axes permuted."""
        shape = self.shape_of(tensor)
        result = self.scratch(tensor, tuple(shape[axis] for axis in permutation), name)
        axes = self.integers(permutation, f"{name}/permutation")
        self.add("TRANSPOSE", [tensor, axes], [result], "TransposeOptions")
        return result

    def padded(self, tensor: int, amounts: Sequence[tuple[int, int]], name: str) -> int:
        """Return `tensor` with zeros added (begin, end) per physical axis; zero is the zero point of int8 tensors."""
        if not any(amount for pair in amounts for amount in pair):
            return tensor
        shape = tuple(
            None if size is None else size + begin + end
            for size, (begin, end) in zip(self.shape_of(tensor), amounts, strict=True)
        )
        result = self.scratch(tensor, shape, f"{name}/padded")
        table = self.integers(np.array(amounts, np.int32), f"{name}/paddings")
        self.add("PAD", [tensor, table], [result], "PadOptions")
        return result

    def _moved(self, tensor: int, shape: Shape, old: Permutation, new: Permutation, name: str) -> int:
        label = f"{name}/{'x'.join('1' if axis == UNIT else str(axis) for axis in new)}"
        if moves_only_units(shape, old, new):
            return self.reshaped(tensor, physical_shape(shape, new), label)
        bare = tuple(axis for axis in old if axis != UNIT)
        wanted = tuple(axis for axis in new if axis != UNIT)
        tensor = self.reshaped(tensor, physical_shape(shape, bare), label)
        tensor = self.transposed(tensor, [bare.index(axis) for axis in wanted], label)
        return self.reshaped(tensor, physical_shape(shape, new), label)

    def _converted(self, operator: str, tensor: int, name: str, dtype: str, quantization: Quantization | None) -> int:
        result = self.file.add_tensor(name, self.shape_of(tensor), dtype, quantization)
        self.add(operator, [tensor], [result], f"{operator.capitalize()}Options")
        return result


def arranged(array: Array, order: Permutation) -> Array:
    """Return a constant with logical axes laid out in `order`."""
    moved = array.transpose([axis for axis in order if axis != UNIT])
    return moved.reshape([1 if axis == UNIT else array.shape[axis] for axis in order])


def whole(order: Permutation, rank: int) -> bool:
    """Tell whether memory in `order` lies exactly as in the graph."""
    return order == identity(rank)
