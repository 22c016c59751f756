"""What the operator families read with: operators of a TFLite file, and the ONNX nodes made of them.

Everything is brought to float: int8, uint8 and float16 constants as the real numbers they stand for, quantized
activations as floats. Spatial operators become `Transpose → operator → Transpose`; the simplifier cancels the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgeai_converters.emit.tflite.flatbuffer import code_name
from edgeai_converters.emit.tflite.layout import Shape
from edgeai_converters.emit.tflite.quantization import Array, Quantization, dequantize
from edgeai_converters.emit.tflite.schema import numpy_type, tensor_type
from edgeai_converters.graph.free_names import take_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeai_converters.emit.tflite.subgraphs import Subgraphs

TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)


class UnreadableError(Exception):
    """An operator that cannot be brought to ONNX, with the reason; collected, so that all are reported together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileTensor:
    """One tensor of the file: shape (`None`: free), stored type, what integers mean, contents of a constant.

    Constants of 4-bit integers are given as int8.
    """

    name: str
    shape: Shape
    dtype: str
    quantization: Quantization | None
    data: Array | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """One operator of the file; `options` is the schema's object, `None` without one."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any

    def option(self, field: str, default: Any = 0) -> Any:
        """Return a field of the options."""
        return getattr(self.options, field, default) if self.options is not None else default


def read_tensors(model: Any, graph: int = 0) -> list[FileTensor]:
    """Return the tensors of a subgraph, by default of the main one.

    Raises:
        UnreadableError: a tensor of a type that the graph does not have.
    """
    return [_read_tensor(model, tensor, number, graph) for number, tensor in enumerate(model.subgraphs[graph].tensors)]


def _read_tensor(model: Any, tensor: Any, number: int, graph: int) -> FileTensor:
    name = tensor.name.decode("utf-8", "replace") if isinstance(tensor.name, bytes) else tensor.name or f"t{number}"
    content = model.buffers[tensor.buffer].data
    packed = tensor.type == tensor_type("int4") and content is not None and len(content) > 0
    dtype = "int8" if packed else numpy_type(tensor.type)
    if dtype is None:
        raise UnreadableError(f"tensor {name!r} has type number {tensor.type}, which is not handled")
    shape: Shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    signature = tensor.shapeSignature
    if signature is not None and len(signature) == len(shape):
        shape = tuple(None if size < 0 else int(size) for size in signature)
    data = None
    if content is not None and len(content):
        content = np.asarray(content, np.uint8)
        sizes = [size or 0 for size in shape]
        content = _unpacked(content)[: math.prod(sizes)] if packed else content
        data = np.frombuffer(content.tobytes(), dtype).reshape(sizes)
    quantization = _read_blocks(model, tensor, graph) if packed else None
    quantization = quantization or _read_quantization(tensor)
    return FileTensor(name=name, shape=shape, dtype=dtype, quantization=quantization, data=data)


def _unpacked(content: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return 4-bit integers as int8: two from each byte, the low half first."""
    halves = np.stack([content << 4, content], axis=-1).reshape(-1).view(np.int8)
    return halves >> 4


def _read_blocks(model: Any, tensor: Any, graph: int) -> Quantization | None:
    """Return the quantization of a matrix whose numbers share a scale in blocks of the last axis."""
    details = getattr(tensor.quantization, "details", None)
    if details is None or not hasattr(details, "blockSize"):
        return None
    if details.zeroPoints >= 0:
        raise UnreadableError("a constant has zero points in blocks, which is not handled")
    scales = _read_tensor(model, model.subgraphs[graph].tensors[details.scales], details.scales, graph).data
    if scales is None:
        raise UnreadableError("the scales of a constant in blocks are no constant")
    scale = scales.astype(np.float32)
    return Quantization(scale=scale, zero_point=np.zeros(1, np.int64), axis=scale.ndim - 1, block=details.blockSize)


def _read_quantization(tensor: Any) -> Quantization | None:
    given = tensor.quantization
    if given is None or given.scale is None or not len(given.scale):
        return None
    scale = np.asarray(given.scale, np.float32)
    zeros = given.zeroPoint
    zero_point = np.zeros(len(scale), np.int64) if zeros is None or not len(zeros) else np.asarray(zeros, np.int64)
    axis = _channel_axis(tensor) if len(scale) > 1 else None
    return Quantization(scale=scale, zero_point=np.broadcast_to(zero_point, scale.shape), axis=axis)


def _channel_axis(tensor: Any) -> int:
    """Return the axis of per-channel scales; some old converters gave a bias the axis of its weights."""
    count, stated = len(tensor.quantization.scale), int(tensor.quantization.quantizedDimension)
    sizes = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    if stated < len(sizes) and sizes[stated] == count:
        return stated
    if count not in sizes:
        raise UnreadableError(f"a tensor of shape {sizes} has {count} scales along axis {stated}")
    return sizes.index(count)


def wrong_axes(model: Any) -> list[str]:
    """Return the names of tensors whose channel axis does not fit their scales: LiteRT refuses to load them."""
    wrong = []
    for tensor in model.subgraphs[0].tensors:
        given = tensor.quantization
        if given is None or given.scale is None or len(given.scale) < 2:
            continue
        if _channel_axis(tensor) != given.quantizedDimension:
            wrong.append(tensor.name.decode(errors="replace") if tensor.name else "unnamed")
    return wrong


def read_operators(model: Any, graph: int = 0) -> list[Operator]:
    """Return the operators of a subgraph, by default of the main one, in the order they run."""
    return [
        Operator(
            name=code_name(model.operatorCodes[operator.opcodeIndex]),
            inputs=tuple(int(index) for index in operator.inputs) if operator.inputs is not None else (),
            outputs=tuple(int(index) for index in operator.outputs) if operator.outputs is not None else (),
            options=operator.builtinOptions,
        )
        for operator in model.subgraphs[graph].operators or []
    ]


class ReadContext:
    """The ONNX nodes made so far; of a subgraph, its own.

    Args:
        tensors: the tensors of the file.
        names: boundary names by tensor number, where they are not the tensors' own.
        keep_rounding: round quantized activations as the file does, with Q and DQ nodes.
        subgraphs: the other subgraphs of the file: bodies of loops, branches.
    """

    def __init__(
        self,
        tensors: Sequence[FileTensor],
        names: dict[int, str],
        *,
        keep_rounding: bool = False,
        subgraphs: Subgraphs | None = None,
    ) -> None:
        self.tensors = tensors
        self.subgraphs = subgraphs
        self._keep_rounding = keep_rounding
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.origins: dict[str, int] = {}
        """The tensor whose integers an initializer stands for, moved or not."""
        self._real: dict[int, tuple[Array, int]] = {}  # by identity; held, so that none is used twice
        self._constants: dict[int, Array] = {}
        self._names: dict[int, str] = dict(names)
        self._taken = set(names.values())
        for number, tensor in enumerate(tensors):
            if number not in self._names:
                self._names[number] = self.unique(tensor.name)

    def inner(self, tensors: Sequence[FileTensor], names: dict[int, str]) -> ReadContext:
        """Return a context for a subgraph: nodes of its own; constants and names are shared with this one."""
        context = ReadContext([], {}, keep_rounding=self._keep_rounding, subgraphs=self.subgraphs)
        context.tensors, context.initializers, context._taken = tensors, self.initializers, self._taken
        context._names = dict(names)
        for number, tensor in enumerate(tensors):
            if number not in names:
                context._names[number] = self.unique(tensor.name)
        return context

    def unique(self, stem: str) -> str:
        """Return a name that no value has yet, and take it."""
        return take_name(stem, self._taken)

    def name(self, tensor: int) -> str:
        """Return the name of a tensor's value in the graph."""
        return self._names[tensor]

    def shape(self, tensor: int) -> Shape:
        """Return the shape of a tensor, in the file's layout."""
        return self.tensors[tensor].shape

    def constant(self, tensor: int) -> Array | None:
        """Return the numbers a constant stands for, floats as float32; `None` for what is computed at run time."""
        if tensor in self._constants:
            return self._constants[tensor]
        stored = self.tensors[tensor]
        if stored.data is None:
            return None
        if stored.quantization is not None and stored.data.dtype.kind in "iu":
            value = dequantize(stored.data, stored.quantization)
            self._real[id(value)] = (value, tensor)
            return value
        return stored.data.astype(np.float32) if stored.data.dtype == np.float16 else stored.data

    def known(self, operator: Operator, position: int, what: str) -> Array:
        """Return an input that must be a constant."""
        value = self.constant(operator.inputs[position])
        if value is None:
            raise UnreadableError(f"{what} (input {position}) must be a constant")
        return value

    def set_constant(self, tensor: int, value: Array) -> None:
        """Note the value of an operator's result that does not depend on the inputs."""
        self._constants[tensor] = value

    def source(self, tensor: int) -> str:
        """Return the ONNX name of an input, a constant included; empty for one that is left out."""
        if tensor < 0:
            return ""
        value = self.constant(tensor)
        return self.name(tensor) if value is None else self.add_constant(value, self.name(tensor), once=True)

    def add_constant(self, value: Array, name: str, *, once: bool = False) -> str:
        """Add an initializer and return its name."""
        if once and name in self.initializers:
            return name
        name = name if once else self.unique(name)
        found = self._real.get(id(value)) or self._real.get(id(value.base))
        if found is not None:
            self.origins[name] = found[1]
        self.initializers[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return name

    def add(self, op_type: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name; the name is made when it is not given."""
        output = output or self.unique(f"{inputs[0] or 'value'}/{op_type}")
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def add_many(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node of several outputs, which are named."""
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), list(outputs), name=outputs[0], **attributes))

    def channels_first(self, tensor: int) -> str:
        """Return a 4-D input as `[N, C, H, W]`."""
        return self.add("Transpose", [self.source(tensor)], perm=TO_NCHW)

    def finish(self, operator: Operator, value: str, *, channels_last: bool = False, position: int = 0) -> None:
        """Make `value` an output of the operator: fused activation first, then the file's layout."""
        fused = operator.option("fusedActivationFunction", 0)
        steps: list[tuple[str, list[str], dict[str, Any]]] = []
        if fused:
            steps.append(self.activation(fused))
        if channels_last:
            steps.append(("Transpose", [], {"perm": TO_NHWC}))
        steps.extend(self._rounding(operator.outputs[position]))
        steps = steps or [("Identity", [], {})]
        for number, (op_type, more, attributes) in enumerate(steps):
            last = number == len(steps) - 1
            output = self.name(operator.outputs[position]) if last else ""
            value = self.add(op_type, [value, *more], output, **attributes)

    def _rounding(self, tensor: int) -> list[tuple[str, list[str], dict[str, Any]]]:
        stored = self.tensors[tensor]
        if not self._keep_rounding or stored.quantization is None or stored.dtype not in ("int8", "uint8"):
            return []
        name = self.name(tensor)
        parameters = [
            self.add_constant(stored.quantization.scale.reshape(()), f"{name}/scale"),
            self.add_constant(stored.quantization.zero_point.astype(stored.dtype).reshape(()), f"{name}/zero_point"),
        ]
        return [("QuantizeLinear", parameters, {}), ("DequantizeLinear", parameters, {})]

    def activation(self, fused: int) -> tuple[str, list[str], dict[str, Any]]:
        """Return the node of a fused activation: type, further inputs, attributes."""
        if fused == 1:
            return "Relu", [], {}
        if fused in (2, 3):
            low, high = (-1.0, 1.0) if fused == 2 else (0.0, 6.0)
            return "Clip", [self.number(low), self.number(high)], {}
        if fused == 4:
            return "Tanh", [], {}
        raise UnreadableError(f"fused activation number {fused}")

    def number(self, value: float) -> str:
        """Return the name of a float32 scalar constant."""
        return self.add_constant(np.array(value, np.float32), f"number_{value:g}", once=True)

    def integers(self, values: Sequence[int] | Array, name: str) -> str:
        """Return the name of an int64 constant."""
        return self.add_constant(np.asarray(values, np.int64), name)
