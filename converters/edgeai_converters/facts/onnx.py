"""Facts of an `.onnx` file. Memory is planned as ONNX Runtime would: what it computes between Dequantize and Quantize
nodes in integers has no float tensors of its own."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.facts.onnx_values import operator_values
from edgeai_converters.graph.shapes import static_shape
from edgeai_converters.inspection.onnx import heavy_operation, infer_shapes_for_one, read_onnx
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts, Role, TensorLife
from edgeai_runtime.manifest import Precision

_SAME_DATA = {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
_IN_PLACE = {
    **dict.fromkeys(("Add", "Div", "Max", "Min", "Mul", "Sub"), 2),
    **dict.fromkeys(("Abs", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish"), 1),
    **dict.fromkeys(("LeakyRelu", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Tanh"), 1),
}
"""Operators that ONNX Runtime may let write over an input, and how many of the inputs are asked."""

_NOT_COMPUTED = {"Constant"}


def read_onnx_facts(path: Path) -> ModelFacts:
    """Return the facts of an ONNX file, for batch 1 where the batch is free.

    Raises:
        ModelError: empty, damaged or foreign content, or an external file that is missing.
    """
    model = read_onnx(path)
    free = list(_free_inputs(model))
    notes = [note for note in infer_shapes_for_one(model) if "inferred" in note]
    graph = _Graph(model.graph)
    unknown = graph.unknown_shape()
    if any(attribute.type == ir.AttributeType.GRAPH for node in model.graph for attribute in node.attributes.values()):
        notes.append("What the bodies of loops and branches need is not in the plan of the memory.")
    files = {path, *(path.parent / str(each.location) for each in _external(model))}
    return ModelFacts(
        format="onnx",
        operators=tuple(_operator(node) for node in model.graph.all_nodes() if node.op_type not in _NOT_COMPUTED),
        size_bytes=sum(file.stat().st_size for file in files),
        free=tuple(text for text, _ in free),
        only_batch_is_free=bool(free) and all(only_batch for _, only_batch in free),
        tensors=() if unknown else tuple(graph.lives()),
        unplanned=f"the shape of {unknown!r} is not known" if unknown else "",
        notes=tuple(notes),
    )


def _external(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            yield value.const_value


def _free_inputs(model: ir.Model) -> Iterator[tuple[str, bool]]:
    """Yield the inputs with free dimensions in words, and whether only the first is free."""
    for value in model.graph.inputs:
        dims = [size if isinstance(size, int) and size > 0 else "?" for size in value.shape or ()]
        if "?" in dims:
            yield f"{value.name} [{', '.join(map(str, dims))}]", "?" not in dims[1:]


def _operator(node: ir.Node) -> OperatorFacts:
    heavy = heavy_operation(node)
    weight = node.inputs[1] if heavy is not None and len(node.inputs) > 1 else None
    return OperatorFacts(
        name=node.op_type,
        label=(node.outputs[0].name if node.outputs else node.name) or "",
        precision=heavy.precision if heavy is not None else _precision(node),
        is_heavy=heavy is not None,
        constant_weights=weight is None or _is_constant(weight) or node.op_type == "MatMul",
        values=operator_values(node),
    )


def _precision(node: ir.Node) -> Precision | None:
    """How an operator without weights computes; between Dequantize and Quantize nodes in integers."""
    activations = [value for value in node.inputs if value is not None and not _is_constant(value)]
    if node.op_type in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"):
        return "int8"
    makers = [value.producer() for value in activations]
    if makers and all(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers):
        return "int8"
    types = {value.dtype for value in (*activations, *node.outputs)}
    if ir.DataType.FLOAT in types or ir.DataType.DOUBLE in types:
        return "float32"
    if types & {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}:
        return "float16"
    return "int8" if types & {ir.DataType.INT8, ir.DataType.UINT8} else None


def _is_constant(value: ir.Value) -> bool:
    """Whether a value depends on no input: stored, or made of what is stored."""
    if value.const_value is not None or value.is_initializer():
        return True
    maker = value.producer()
    if maker is None:
        return False
    return all(each is None or _is_constant(each) for each in maker.inputs)


class _Graph:
    """The main graph with the look-ups that the lives of its values need."""

    def __init__(self, graph: ir.Graph) -> None:
        self._inputs = [value for value in graph.inputs if not value.is_initializer()]
        self._outputs = set(graph.outputs)
        self._nodes = [node for node in graph if not all(_is_constant(value) for value in node.outputs)]
        self._steps = {node: step for step, node in enumerate(self._nodes)}
        self._values = [*self._inputs, *(value for node in self._nodes for value in node.outputs if value.name)]
        self._fused = {node for node in self._nodes if self._is_fused(node)}

    def unknown_shape(self) -> str:
        """Return the name of the first value whose size is not known; empty when all are."""
        return next((value.name or "" for value in self._values if _size(value) is None), "")

    def lives(self) -> Iterator[TensorLife]:
        """Yield the lives of the values; all sizes are known."""
        for value in self._values:
            maker = value.producer()
            first = self._steps[maker] if maker is not None else 0
            # A loop's body reads from inside: the step is that of the node that holds the body.
            read = [self._steps.get(use.node, len(self._nodes) - 1) for use in value.uses()]
            role: Role = "output" if value in self._outputs else "input" if maker is None else "inner"
            joined = self._joined(value) if role == "inner" else None
            yield TensorLife(
                name=value.name or "",
                size_bytes=0 if joined else _size(value) or 0,
                first_step=first,
                last_step=max([first, *read]),
                role=role,
                same_data_as=joined or self._shared(value),
                overwrites=self._overwritten(value),
            )

    def _is_fused(self, node: ir.Node) -> bool:
        """Whether it is computed in integers: everything comes out of Dequantize nodes and goes into Quantize nodes."""
        data = [value for value in node.inputs if value is not None and not _is_constant(value)]
        makers = [value.producer() for value in data]
        comes = bool(makers) and all(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)
        return comes and all(self._goes_to(value, "QuantizeLinear") for value in node.outputs)

    def _goes_to(self, value: ir.Value, name: str) -> bool:
        uses = list(value.uses())
        return value not in self._outputs and bool(uses) and all(use.node.op_type == name for use in uses)

    def _joined(self, value: ir.Value) -> str | None:
        """Return the quantized value that a float one exists as where an operator is computed in integers."""
        maker = value.producer()
        if maker in self._fused:
            return next((use.node.outputs[0].name for use in value.uses()), None)
        is_read_in_integers = all(use.node in self._fused for use in value.uses())
        if maker is not None and maker.op_type == "DequantizeLinear" and is_read_in_integers:
            source = maker.inputs[0]
            return source.name if source is not None else None
        return None

    def _shared(self, value: ir.Value) -> str | None:
        maker = value.producer()
        if maker is None or maker.op_type not in _SAME_DATA:
            return None
        source = maker.inputs[0]
        return None if source is None or _is_constant(source) else source.name

    def _overwritten(self, value: ir.Value) -> str | None:
        maker = value.producer()
        if maker is None:
            return None
        for source in maker.inputs[: _IN_PLACE.get(maker.op_type, 0)]:
            if source is None or _is_constant(source) or source.producer() is None:
                continue
            if _size(source) == _size(value) and {use.node for use in source.uses()} == {maker}:
                return source.name
        return None


def _size(value: ir.Value) -> int | None:
    shape = static_shape(value)
    if shape is None or value.dtype is None:
        return None
    return -(-prod(shape) * value.dtype.bitwidth // 8)
