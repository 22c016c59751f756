"""Graphs that come already quantized: what they hold, whether a format can carry it over, and the way back to float.

Two ways lead on from such a source. *Carried over*: its scales and integers are kept (`carry_over.py` reads them from
TFLite; an ONNX file with Q and DQ nodes has them in the graph) and the emitters fold them. *Dequantized and redone*:
`dequantize` gives a float graph, from which everything is decided anew; what was rounded away does not come back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, constant_of, input_of, replace_value
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.quantize.stored_values import DEQUANTIZE, QUANTIZE, read_parameters, stored_nodes
from edgeai_runtime.manifest import Format

Form = Literal["float", "weights", "static", "operators"]

_INTEGER_OPERATORS = frozenset(
    {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
)
_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs", "Sqrt", "Exp"})
_SIX_WITHIN = 0.03
"""How near to 6 the largest number of a range is that a Clip at 6 has left: within a step of 8 bits."""
_MOVES = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Slice", "AveragePool"}
    | {"GlobalAveragePool", "GlobalMaxPool", "DequantizeLinear", "QuantizeLinear", "Gather", "Split"}
)


@dataclass(frozen=True, kw_only=True)
class QuantizedSource:
    """How a graph is quantized.

    Attributes:
        form: `float`; `weights` (integers computed in float); `static` (Q and DQ nodes on activations); `operators`
            (QLinearConv and its like).
        activations: number of activations by stored type.
        weights: number of constants by stored type.
        per_channel: some constant has a scale per channel.
        integer_boundary: inputs and outputs that are integers, with their type.
    """

    form: Form
    activations: dict[str, int] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    per_channel: bool = False
    integer_boundary: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.form == "float":
            return "not quantized"
        if self.form == "operators":
            return "quantized, in integer operators"
        parts = [f"{n} {what} in {dtype}" for what, found in self._counted() for dtype, n in sorted(found.items())]
        return f"already quantized: {', '.join(parts)}, {'per channel' if self.per_channel else 'one scale per tensor'}"

    def _counted(self) -> list[tuple[str, dict[str, int]]]:
        return [("activations", self.activations), ("constants", self.weights)]


def describe_quantization(model: ir.Model) -> QuantizedSource:
    """Return how a graph is quantized; nothing is changed."""
    activations: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    per_channel = False
    names = set()
    for node in model.graph:
        if node.op_type.startswith("QLinear") or node.op_type in _INTEGER_OPERATORS or node.op_type == "QGemm":
            return QuantizedSource(form="operators", integer_boundary=_integer_boundary(model))
    for node in stored_nodes(model, DEQUANTIZE):
        parameters, value = read_parameters(node), node.inputs[0]
        if parameters is None or value is None or value.name in names:
            continue
        names.add(value.name)
        constant = value.const_value is not None
        (weights if constant else activations)[parameters.dtype] += 1
        per_channel |= constant and len(parameters.scale) > 1
    form: Form = "static" if activations else "weights" if weights else "float"
    return QuantizedSource(
        form=form,
        activations=dict(activations),
        weights=dict(weights),
        per_channel=per_channel,
        integer_boundary=_integer_boundary(model),
    )


def _integer_boundary(model: ir.Model) -> dict[str, str]:
    found = {}
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.dtype is not None and value.dtype.name.lower() in ("int8", "uint8", "int16", "uint16"):
            found[str(value.name)] = value.dtype.name.lower()
    return found


def carry_refusal(model: ir.Model, format: Format) -> str | None:
    """Return why the integers of a graph cannot be carried over into a format, `None` when they can.

    For `openvino`, and for `onnx` on x86, give the graph to `unsign_activations` first.
    """
    form = describe_quantization(model).form
    if form == "float":
        return "the source is not quantized"
    if form == "operators":
        return "the source is written in integer operators, which only ONNX Runtime has"
    for node in stored_nodes(model, DEQUANTIZE):
        parameters = read_parameters(node)
        if parameters is None:
            return f"the scale of {node.name!r} is computed in the graph"
        stored = node.inputs[0]
        if format == "tflite" and stored is not None and stored.const_value is not None:
            rank = len(stored.const_value.shape)
            shift = 128 if parameters.dtype == "uint8" else 0
            if rank > 1 and any(point != shift for point in parameters.zero_point):
                return f"its weights {stored.name!r} have a zero point, which LiteRT's int8 kernels do not take"
        if format == "openvino" and parameters.dtype in ("int16", "uint16"):
            return "OpenVINO computes 16-bit activations in float"
    return None


def unsign_activations(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return a copy whose int8 activations are uint8: the same real numbers, every integer moved by 128.

    OpenVINO misreads signed activations, and ONNX Runtime's x86 kernels are made for unsigned ones. Integer inputs and
    outputs of the graph stay as they are.
    """
    model = model.clone()
    changed = False
    for node in stored_nodes(model, QUANTIZE):
        value, parameters = node.outputs[0], read_parameters(node)
        readers = [use.node for use in value.uses()]
        if parameters is None or parameters.dtype != "int8" or value.is_graph_output():
            continue
        if input_of(node, 2) is None or any(reader.op_type not in DEQUANTIZE for reader in readers):
            continue
        moved = np.array(parameters.zero_point[0] + 128, np.uint8)
        zero_point = add_constant(model, f"{node.name}_unsigned", moved)
        for one in (node, *readers):
            one.replace_input_with(2, zero_point)
        value.type = ir.TensorType(ir.DataType.UINT8)
        changed = True
    if changed:
        remove_dead_nodes(model)
    return model, changed


def dequantize(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return a float graph that computes what a graph with Q and DQ nodes stands for, without its rounding.

    Before: x → Q → DQ → y, int8 constant → DQ → y.     After: x → y, float constant → y.
    Inputs and outputs that were integers are float32. Where saturation at zero did the work of a Relu (the zero point
    is the smallest integer and nothing before makes the value non-negative), a Relu is written, and a Clip where the
    largest integer is 6; another upper end is taken for what calibration found, not for a limit.
    """
    model = model.clone()
    changed = False
    for node in stored_nodes(model, QUANTIZE):
        parameters, source = read_parameters(node), node.inputs[0]
        if parameters is None or source is None:
            continue
        readers = [use.node for use in node.outputs[0].uses()]
        if any(reader.op_type not in DEQUANTIZE for reader in readers):
            continue
        limits = np.iinfo(parameters.dtype)
        if parameters.zero_point == (limits.min,) and _may_be_negative(source):
            largest = parameters.scale[0] * (limits.max - limits.min)
            bounds = [add_constant(model, f"{source.name}_bound", np.array(bound, np.float32)) for bound in (0, 6)]
            is_six = abs(largest - 6) < _SIX_WITHIN
            kind, inputs = ("Clip", [source, *bounds]) if is_six else ("Relu", [source])
            source = add_node(model, node, kind, inputs, name=f"{source.name}_relu", like=source)
        for reader in readers:
            replace_value(model, reader.outputs[0], source)
        if node.outputs[0].is_graph_output():
            node.outputs[0].type = source.type
            replace_value(model, node.outputs[0], source)
        changed = True
    for node in stored_nodes(model, DEQUANTIZE):
        parameters, stored = read_parameters(node), node.inputs[0]
        if parameters is None or stored is None:
            continue
        array = constant_of(stored)
        if array is not None:
            shape = [1] * array.ndim
            if parameters.axis is not None:
                shape[parameters.axis] = -1
            scale, point = (np.reshape(part, shape) for part in (parameters.scale, parameters.zero_point))
            real = ((array.astype(np.float64) - point) * scale).astype(np.float32).reshape(array.shape)
            replace_value(model, node.outputs[0], add_constant(model, f"{stored.name}_float", real))
            changed = True
        elif stored.producer() is None:  # an integer input of the graph
            stored.type = ir.TensorType(ir.DataType.FLOAT)
            replace_value(model, node.outputs[0], stored)
            changed = True
    if changed:
        remove_dead_nodes(model)
    return model, changed


def _may_be_negative(value: ir.Value) -> bool:
    node = value.producer()
    if node is None:
        return False  # an input: its range was chosen for the data
    if node.op_type in _NEVER_NEGATIVE:
        return False
    if node.op_type == "Clip":
        low = constant_of(input_of(node, 1))
        return low is None or bool(low.reshape(()) < 0)
    if node.op_type == "Concat":
        return any(one is not None and _may_be_negative(one) for one in node.inputs)
    source = node.inputs[0]
    return not (node.op_type in _MOVES and source is not None and not _may_be_negative(source))
