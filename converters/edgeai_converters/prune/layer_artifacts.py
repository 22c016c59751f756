"""Layers with weights, each written as an artifact of its own: what a table of layer timings is measured on.

Layers that differ in numbers of channels only share a signature. An artifact has one layer with random weights, batch
1, and takes and gives what the layer would be handed inside a network: maps with channels last where the engine
computes so, integers where it computes in integers. An activation behind a layer costs nothing of its own in any
engine, so it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.edit import attribute, constant_of, input_of, sole_consumer
from edgeai_converters.graph.prepare import IR_VERSION, OPSET
from edgeai_converters.graph.shapes import infer_shapes, static_shape
from edgeai_converters.prune.widths_axes import AxisWidth, GraphAxes
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.integer_boundary import BoundaryDtype, integer_boundary
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

Precision = Literal["float32", "int8"]

_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_NEUTRAL: dict[str, int | None] = {"auto_pad": None, "dilations": 1, "output_padding": 0, "pads": 0, "strides": 1}
"""Attributes of a convolution, with the number that says nothing."""

_COPIED_RECURRENT = ("direction", "linear_before_reset")
_REACH = 4.0
"""Invented ranges of activations: ±4, or 0 … 4 of what cannot be negative. Times do not depend on them."""

_NOT_NEGATIVE = frozenset({"Relu", "Clip", "Sigmoid", "Softmax", "HardSigmoid"})


@dataclass(frozen=True, kw_only=True)
class Signature:
    """All that the time of a layer depends on, but for its numbers of channels.

    Attributes:
        op: the operator.
        shape: shape of its input, 0 where the channels are.
        attributes: attributes that say how it computes, as (name, value).
        kernel: size of the kernel.
        groups: number of groups of a convolution; 0 for a depthwise one.
        multiplier: of a depthwise one, outputs per input.
        bias: whether it has one.
    """

    op: str
    shape: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...] = ()
    kernel: tuple[int, ...] = ()
    groups: int = 1
    multiplier: int = 1
    bias: bool = True

    @property
    def text(self) -> str:
        """The signature for people, also its key in a table."""
        parts = [self.op]
        if self.kernel:
            parts.append("x".join(map(str, self.kernel)))
        if self.groups != 1:
            parts.append(f"{self.groups} groups" if self.groups else f"depthwise ×{self.multiplier}")
        parts += [f"{name}={_short(value)}" for name, value in self.attributes]
        parts.append("on " + "x".join(str(size) if size else "c" for size in self.shape))
        return " ".join(parts if self.bias else [*parts, "without bias"])


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a graph.

    Attributes:
        name: name of its output.
        signature: what it has in common with layers that take as long.
        inputs: its channels in.
        outputs: its channels out; of a recurrent layer, its hidden units.
    """

    name: str
    signature: Signature
    inputs: AxisWidth
    outputs: AxisWidth


def find_layers(model: ir.Model, axes: GraphAxes) -> dict[ir.Node, Layer]:
    """Return the layers with constant weights, in the order of the graph.

    Args:
        model: the float graph with static shapes.
        axes: the axes of its values.
    """
    found = {}
    for node in model.graph:
        read = _READERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        layer = read(node, axes) if read is not None and len(node.inputs) > 1 else None
        if layer is not None:
            found[node] = layer
    return found


def layer_model(signature: Signature, inputs: int, outputs: int, *, channels_last: bool, seed: int = 0) -> ir.Model:
    """Return a graph of one layer with random weights; its input is `x`, its output `y`.

    Args:
        signature: which layer.
        inputs: its channels in; a multiple of the groups.
        outputs: its channels out.
        channels_last: a convolution takes and gives maps with channels last.
        seed: of the weights.
    """
    build = _Build(np.random.default_rng(seed))
    shape = tuple(size or inputs for size in signature.shape)
    turned = channels_last and signature.op in _CONVOLUTIONS
    rank = len(shape)
    x = ir.Value(
        name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape((1, *shape[2:], shape[1]) if turned else shape)
    )
    value = build.node("Transpose", [x], {"perm": [0, rank - 1, *range(1, rank - 1)]}) if turned else x
    value = _layer(build, signature, value, inputs, outputs)
    if turned:
        value = build.node("Transpose", [value], {"perm": [0, *range(2, rank), 1]})
    value.name, value.type = "y", ir.TensorType(ir.DataType.FLOAT)
    opsets = {"": OPSET}
    graph = ir.Graph([x], [value], nodes=build.nodes, initializers=build.constants, opset_imports=opsets, name="layer")
    model = ir.Model(graph, ir_version=IR_VERSION)
    infer_shapes(model)
    return model


def write_layer(
    signature: Signature,
    inputs: int,
    outputs: int,
    *,
    format: Format,
    precision: Precision,
    folder: Path,
    stem: str,
    seed: int = 0,
) -> Artifact:
    """Write a layer as an artifact of a format.

    Raises:
        UnsupportedOperationError: the format cannot hold it.
    """
    last = format == "tflite" or precision == "int8"
    model = layer_model(signature, inputs, outputs, channels_last=last, seed=seed)
    return emit(in_precision(model, format, precision, integers=format != "openvino"), format, folder, stem=stem)


def in_precision(model: ir.Model, format: Format, precision: Precision, *, integers: bool = False) -> ir.Model:
    """Return the graph in a precision, with invented ranges: as fast as the true ones, as wrong as can be.

    Args:
        model: a float graph with static shapes; not changed.
        format: what it will be written in.
        precision: `float32` or `int8`.
        integers: int8 takes and gives integers where its plan has some.
    """
    if precision == "float32":
        return model
    if precision != "int8":
        raise UsageError(f"Layers are timed in float32 and int8. Received: {precision!r}")
    scheme = scheme_for(format, isa=isa_flags())
    ranges = _invented_ranges(model)
    plan = plan_quantization(model, ranges, scheme)
    quantized, _ = insert_qdq(model, plan)
    dtype: BoundaryDtype = "int8" if scheme.activation_dtype == "int8" else "uint8"
    names = [[str(value.name) for value in values] for values in (model.graph.inputs, model.graph.outputs)]
    takes, gives = ([name in plan.activations for name in group] for group in names)
    if integers:
        quantized, _ = integer_boundary(
            quantized,
            inputs=dtype if all(takes) else None,
            outputs=dtype if all(gives) else None,
            ranges=ranges,
        )
    return quantized


def _invented_ranges(model: ir.Model) -> dict[str, tuple[float, float]]:
    ranges = {str(value.name): (-_REACH, _REACH) for value in model.graph.inputs}
    for node in model.graph:
        for value in node.outputs:
            ranges[str(value.name)] = (0.0 if _is_not_negative(node) else -_REACH, _REACH)
    return ranges


def _is_not_negative(node: ir.Node) -> bool:
    moved = ("MaxPool", "GlobalAveragePool", "AveragePool", "Reshape", "Flatten", "Transpose", "ReduceMean", "Pad")
    while node.op_type in moved and node.inputs[0] is not None and node.inputs[0].producer() is not None:
        before = node.inputs[0].producer()
        assert before is not None
        node = before
    return node.op_type in _NOT_NEGATIVE


def _read_convolution(node: ir.Node, axes: GraphAxes) -> Layer | None:
    x, weight = node.inputs[0], static_shape(node.inputs[1])
    shape = static_shape(x)
    ins, outs = axes.axis(x, 1), axes.axis(node.outputs[0], 1)
    if constant_of(node.inputs[1]) is None or weight is None or shape is None or ins is None or outs is None:
        return None
    groups = int(attribute(node, "group", 1))
    depthwise = groups == shape[1] and groups > 1
    copied = ((name, _plain(attribute(node, name, None))) for name in _NEUTRAL if name in node.attributes)
    signature = Signature(
        op=node.op_type,
        shape=(1, 0, *shape[2:]),
        attributes=tuple((name, value) for name, value in copied if not _says_nothing(name, value)),
        kernel=weight[2:],
        groups=0 if depthwise else groups,
        multiplier=outs.whole // shape[1] if depthwise else 1,
        bias=input_of(node, 2) is not None,
    )
    return Layer(name=str(node.outputs[0].name), signature=signature, inputs=ins, outputs=outs)


def _says_nothing(name: str, value: Any) -> bool:
    return value == "NOTSET" or set(value) == {_NEUTRAL[name]}


def _read_dense(node: ir.Node, axes: GraphAxes) -> Layer | None:
    x, weight = node.inputs[0], constant_of(node.inputs[1])
    shape, ins, outs = static_shape(x), axes.axis(x, -1), axes.axis(node.outputs[0], -1)
    known = shape is not None and ins is not None and outs is not None
    if weight is None or weight.ndim != 2 or not known or attribute(node, "transA", 0):
        return None
    assert shape is not None
    assert ins is not None
    assert outs is not None
    bias = input_of(node, 2) is not None or _added_bias(node) is not None
    signature = Signature(op=node.op_type, shape=(*shape[:-1], 0), bias=bias)
    return Layer(name=str(node.outputs[0].name), signature=signature, inputs=ins, outputs=outs)


def _added_bias(node: ir.Node) -> ir.Node | None:
    """Return the Add of a vector behind a MatMul: the bias of a dense layer."""
    after = sole_consumer(node.outputs[0]) if node.op_type == "MatMul" else None
    if after is None or after.op_type != "Add":
        return None
    vector = next((array for value in after.inputs if (array := constant_of(value)) is not None), None)
    return after if vector is not None and vector.ndim == 1 else None


def folded_nodes(node: ir.Node) -> list[ir.Node]:
    """Return the nodes behind a layer that are computed in it: the bias of a MatMul, an activation."""
    found = []
    bias = _added_bias(node)
    if bias is not None:
        found.append(bias)
    after = sole_consumer((bias or node).outputs[0])
    if after is not None and after.op_type in ("Relu", "Clip"):
        found.append(after)
    return found


def _read_recurrent(node: ir.Node, axes: GraphAxes) -> Layer | None:
    x, recurrent = node.inputs[0], input_of(node, 2)
    shape, ins, units = static_shape(x), axes.axis(x, 2), axes.axis(recurrent, 2)
    if constant_of(node.inputs[1]) is None or constant_of(recurrent) is None:
        return None
    if shape is None or ins is None or units is None or attribute(node, "layout", 0):
        return None
    copied = {name: attribute(node, name, None) for name in _COPIED_RECURRENT if name in node.attributes}
    whole = any(value.uses() or value.is_graph_output() for value in node.outputs[:1])
    signature = Signature(
        op=node.op_type,
        shape=(shape[0], shape[1], 0),
        attributes=(*((name, _plain(value)) for name, value in copied.items()), ("sequence", int(whole))),
        bias=input_of(node, 3) is not None,
    )
    return Layer(name=str(recurrent.name if recurrent else ""), signature=signature, inputs=ins, outputs=units)


_READERS: Mapping[str, Callable[[ir.Node, GraphAxes], Layer | None]] = {
    **dict.fromkeys(_CONVOLUTIONS, _read_convolution),
    **dict.fromkeys(("Gemm", "MatMul"), _read_dense),
    **dict.fromkeys(_RECURRENT, _read_recurrent),
}


class _Build:
    """Nodes and constants of a graph that grows."""

    def __init__(self, random: np.random.Generator) -> None:
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self._random = random

    def node(
        self, op: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any], outputs: int = 1
    ) -> ir.Value:
        """Add a node; return its last output."""
        self.nodes.append(ir.node(op, inputs=inputs, attributes=dict(attributes), num_outputs=outputs))
        self.nodes[-1].name = f"n{len(self.nodes)}"
        for i, value in enumerate(self.nodes[-1].outputs):
            value.name = f"v{len(self.nodes)}_{i}"
        return self.nodes[-1].outputs[-1]

    def weights(self, *shape: int) -> ir.Value:
        """Add random weights, as large as keeps sums small."""
        fan_in = max(1, math.prod(shape[1:]))
        return self.constant((self._random.normal(size=shape) / math.sqrt(fan_in)).astype(np.float32))

    def constant(self, array: NDArray[Any]) -> ir.Value:
        """Add a constant."""
        name = f"c{len(self.constants)}"
        tensor = ir.tensor(array, name=name)
        shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
        self.constants.append(ir.Value(name=name, const_value=tensor, shape=shape, type=kind))
        return self.constants[-1]


def _layer(build: _Build, signature: Signature, x: ir.Value, inputs: int, outputs: int) -> ir.Value:
    if signature.op in _RECURRENT:
        return _recurrent(build, signature, x, inputs, outputs)
    if signature.op == "Gemm":
        given = [x, build.weights(outputs, inputs), *([build.weights(outputs)] if signature.bias else [])]
        return build.node("Gemm", given, {"transB": 1})
    if signature.op == "MatMul":
        y = build.node("MatMul", [x, build.weights(inputs, outputs)], {})
        return build.node("Add", [y, build.weights(outputs)], {}) if signature.bias else y
    groups = signature.groups or inputs
    if not signature.groups:
        outputs = inputs * signature.multiplier
    if signature.op == "Conv":
        weight = build.weights(outputs, inputs // groups, *signature.kernel)
    else:
        weight = build.weights(inputs, outputs // groups, *signature.kernel)
    given = [x, weight, *([build.weights(outputs)] if signature.bias else [])]
    attributes = {name: list(value) if isinstance(value, tuple) else value for name, value in signature.attributes}
    attributes |= {"kernel_shape": list(signature.kernel), "group": groups}
    return build.node(signature.op, given, attributes)


def _recurrent(build: _Build, signature: Signature, x: ir.Value, inputs: int, units: int) -> ir.Value:
    attributes = dict(signature.attributes)
    whole, gates = attributes.pop("sequence"), _RECURRENT[signature.op]
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    given = [x, build.weights(ways, gates * units, inputs), build.weights(ways, gates * units, units)]
    if signature.bias:
        given.append(build.weights(ways, 2 * gates * units))
    length, batch = signature.shape[0], signature.shape[1]
    value = build.node(signature.op, given, {**attributes, "hidden_size": units}, outputs=1 if whole else 2)
    if whole and ways == 1:
        return build.node("Squeeze", [value, build.constant(np.asarray([1], np.int64))], {})
    order, shape = ([0, 2, 1, 3], [length, batch, 2 * units]) if whole else ([1, 0, 2], [batch, ways * units])
    value = build.node("Transpose", [value], {"perm": order})
    return build.node("Reshape", [value, build.constant(np.asarray(shape, np.int64))], {})


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
