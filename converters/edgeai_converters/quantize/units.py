"""Which nodes of a graph are computed in integers, and what belongs to each: the first half of planning.

A *unit* is an operator together with what the engine computes in the same step: the bias added after a MatMul and a
clamp (Relu, Clip) on its result. Between the parts of a unit there is no Quantize.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.recurrent_plan import RECURRENT, float_reason
from edgeai_converters.quantize.schemes import Role, Scheme

CONSTANTS_ARE_PARAMETERS = frozenset({"Clip", "Pad", "Resize"})
"""Operators whose floating-point constants are settings, not data, even if a layer shares the constant."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An operator computed in integers, with the nodes folded into it.

    Attributes:
        node: the operator.
        role: its role in the scheme.
        bias_add: the Add of a constant vector that follows a MatMul.
        clamp: the Relu or Clip folded in.
        inputs: its floating-point inputs that are not constants.
        outputs: what it stores: the outputs of its last node.
        weight: the constant of an anchor, with one scale per channel along `weight_axis`; with one scale for `None`.
        bias: the constant stored as int32, of an anchor.
        constants: other floating-point constants, stored per tensor like activations.
    """

    node: ir.Node
    role: Role
    bias_add: ir.Node | None = None
    clamp: ir.Node | None = None
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    weight: ir.Value | None = None
    weight_axis: int | None = None
    bias: ir.Value | None = None
    constants: tuple[ir.Value, ...] = ()

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All nodes of the unit."""
        return tuple(node for node in (self.node, self.bias_add, self.clamp) if node is not None)


def node_keys(model: ir.Model) -> dict[ir.Node, str]:
    """Return a name for every node: its own, or that of its first output if it has none or shares it."""
    keys: dict[ir.Node, str] = {}
    taken: set[str] = set()
    for node in model.graph:
        key = node.name or ""
        if not key or key in taken:
            key = next((str(value.name) for value in node.outputs if value.name), f"{node.op_type}_{len(keys)}")
        taken.add(key)
        keys[node] = key
    return keys


def choose_units(
    model: ir.Model,
    ranges: Collection[str],
    scheme: Scheme,
    excluded: Mapping[ir.Node, str],
) -> tuple[list[Unit], dict[ir.Node, str]]:
    """Return the units in the graph's order, and for every other node why it stays in float.

    Args:
        model: the float graph, sorted.
        ranges: names of values whose range is known.
        scheme: what the engine computes in integers.
        excluded: nodes that must stay in float, with the reason.
    """
    candidates: dict[ir.Node, Unit] = {}
    reasons: dict[ir.Node, str] = {}
    for node in model.graph:
        found = excluded.get(node) or _describe(node, ranges, scheme)
        if isinstance(found, Unit):
            candidates[node] = found
        else:
            reasons[node] = found
    chosen = _follow(candidates, scheme)
    units = [unit for node, unit in candidates.items() if node in chosen]
    inside = {node for unit in units for node in unit.nodes}
    for node in candidates:
        if node not in inside:
            reasons[node] = "its neighbours are in float: quantizing it alone would only add conversions"
    return units, {node: reason for node, reason in reasons.items() if node not in inside}


def _follow(candidates: Mapping[ir.Node, Unit], scheme: Scheme) -> set[ir.Node]:
    """Return the nodes to quantize: all anchors, and what lies between them and the floats without a gap."""
    chosen = {node for node, unit in candidates.items() if unit.role == "anchor"}
    # What a layer reads is stored in any case: whatever else reads it finds integers too.
    stored: set[ir.Value] = {value for node in chosen for value in candidates[node].inputs}
    for node, unit in candidates.items():
        arrived = [value in stored for value in unit.inputs]
        if (unit.role == "follower" and arrived and all(arrived)) or (unit.role == "same_scale" and any(arrived)):
            chosen.add(node)
        if node in chosen:
            optional = node.op_type in scheme.float_outputs
            stored.update(v for v in unit.outputs if not optional or _read_by_anchor(v, candidates))
    # Moves before the first anchor (a Pad on the graph's input) move integers as well as floats, and less of them.
    for node in reversed(list(candidates)):
        unit = candidates[node]
        if unit.role == "same_scale" and node not in chosen:
            readers = [use.node for value in unit.outputs for use in value.uses()]
            if readers and all(r in chosen for r in readers) and not any(v.is_graph_output() for v in unit.outputs):
                chosen.add(node)
    return chosen


def _read_by_anchor(value: ir.Value, candidates: Mapping[ir.Node, Unit]) -> bool:
    return any(use.node in candidates and candidates[use.node].role == "anchor" for use in value.uses())


def _describe(node: ir.Node, ranges: Collection[str], scheme: Scheme) -> Unit | str:
    """Return the unit that the node would be the operator of, or why it cannot be quantized."""
    role = scheme.roles.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if node.op_type in RECURRENT and node.domain == "":
        return float_reason(node, scheme.name)
    if role is None:
        return scheme.float_reasons.get(node.op_type, f"{scheme.name} has no integer {node.op_type}")
    product = node.op_type == "MatMul" and scheme.computed_products and not _is_constant(node.inputs[1])
    if not product and (refusal := _REFUSALS.get(node.op_type, _nothing)(node)) is not None:
        return refusal
    weight, weight_axis, bias = _parameters(node, scheme) if role == "anchor" else (None, None, None)
    last = node
    bias_add = _bias_add(node) if node.op_type == "MatMul" else None
    if bias_add is not None:
        last = bias_add
        if scheme.integer_biases and scheme.integer_bias_adds:
            bias = next(value for value in bias_add.inputs if value is not None and value.const_value is not None)
    clamp = _clamp(last, scheme) if node.op_type in scheme.folds else None
    last = clamp or last
    floats = [v for v in node.inputs if v is not None and v.name and v.dtype in (None, ir.DataType.FLOAT)]
    moves = role == "same_scale"
    inputs = tuple(v for v in floats if v.const_value is None)
    whole = moves or weight is not None or node.op_type in CONSTANTS_ARE_PARAMETERS
    constants = () if whole else tuple(v for v in floats if v.const_value is not None)
    outputs = tuple(v for v in last.outputs if v.name)
    if not inputs or (moves and node.op_type != "Concat" and node.inputs[0] not in inputs):
        return "it reads no floating-point value"
    if node.op_type == "Concat" and len(inputs) != len(node.inputs):
        return "it joins a constant"
    if any(v.dtype not in (None, ir.DataType.FLOAT) for v in outputs):
        return "its output is no float32"
    missing = [v.name for v in (*inputs, *outputs) if v.name not in ranges]
    if missing:
        return f"the range of {missing[0]!r} is not known"
    return Unit(
        node=node,
        role=role,
        bias_add=bias_add,
        clamp=clamp,
        inputs=inputs,
        outputs=outputs,
        weight=weight,
        weight_axis=weight_axis,
        bias=bias,
        constants=constants,
    )


def _parameters(node: ir.Node, scheme: Scheme) -> tuple[ir.Value | None, int | None, ir.Value | None]:
    """Return the weight of an anchor, its output channel axis if that has scales of its own, and its bias."""
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        return None, None, None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(node.op_type)
    if axis is None:  # Gemm
        axis = 0 if _integer(node, "transB", 0) else 1
    return weight, axis if node.op_type in scheme.per_channel else None, bias if scheme.integer_biases else None


def _single_reader(value: ir.Value) -> ir.Node | None:
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def _bias_add(node: ir.Node) -> ir.Node | None:
    """Return the node that adds a constant vector, one value per column, to a MatMul's result."""
    reader = _single_reader(node.outputs[0])
    if reader is None or reader.op_type != "Add":
        return None
    other = next((v for v in reader.inputs if v is not node.outputs[0]), None)
    weight = node.inputs[1]
    if other is None or other.const_value is None or weight is None or weight.const_value is None:
        return None
    return reader if tuple(other.const_value.shape) == (weight.const_value.shape[-1],) else None


def _clamp(node: ir.Node, scheme: Scheme) -> ir.Node | None:
    """Return the Relu or Clip that is the only reader of the node's result, if the scheme folds it."""
    reader = _single_reader(node.outputs[0])
    if reader is None or reader.op_type not in scheme.folded or reader.inputs[0] is not node.outputs[0]:
        return None
    if reader.op_type == "Clip" and any(v is not None and v.const_value is None for v in reader.inputs[1:]):
        return None
    return reader


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _number(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def _word(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def _nothing(node: ir.Node) -> str | None:
    return None


def _refuse_convolution(node: ir.Node) -> str | None:
    if not _is_constant(node.inputs[1]):
        return "its weights are computed in the graph"
    if len(node.inputs) > 2 and node.inputs[2] is not None and not _is_constant(node.inputs[2]):
        return "its bias is computed in the graph"
    return None


def _refuse_gemm(node: ir.Node) -> str | None:
    if (refusal := _refuse_convolution(node)) is not None:
        return refusal
    if _integer(node, "transA", 0) or _number(node, "alpha", 1.0) != 1.0 or _number(node, "beta", 1.0) != 1.0:
        return "it transposes or scales (transA, alpha, beta)"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and bias.const_value is not None and len(bias.const_value.shape) != 1:
        return "its bias is no vector"
    return None


def _refuse_matmul(node: ir.Node) -> str | None:
    right = node.inputs[1]
    if right is None or right.const_value is None:
        return "both sides are computed in the graph: products of activations lose accuracy in 8 bits"
    if len(right.const_value.shape) != 2:
        return "its weights are no matrix"
    return None


def _refuse_pad(node: ir.Node) -> str | None:
    if _word(node, "mode", "constant") != "constant" or len(node.inputs) < 3 or node.inputs[2] is None:
        return None
    value = node.inputs[2].const_value
    if value is None or np.any(value.numpy() != 0):
        return "it pads with another value than 0"
    return None


def _refuse_resize(node: ir.Node) -> str | None:
    return "cubic interpolation leaves the range" if _word(node, "mode", "nearest") == "cubic" else None


_REFUSALS: dict[str, Callable[[ir.Node], str | None]] = {
    "Conv": _refuse_convolution,
    "ConvTranspose": _refuse_convolution,
    "Gemm": _refuse_gemm,
    "MatMul": _refuse_matmul,
    "Pad": _refuse_pad,
    "Resize": _refuse_resize,
}
"""Operator → why this node cannot be quantized, or `None`."""
