"""The graph that quantization-aware training trains: rounded as the engine will round, with float weights underneath.

x ── Conv ── Relu ── y         x ─ Q ─ DQ ── Conv ── Relu ─ Q ─ DQ ── y
      │                   →                   │
      w (float)                  w (float) ─ RoundWeight

Quantize and Dequantize stand where `insert_qdq` puts them. RoundWeight rounds a weight to the grid that the planner
would give it as it is now, so a plan made of the trained weights rounds them in the same way. Biases stay in float:
their int32 steps are far below one step of any output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.affine import dequantize_array, quantize_array
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.units import node_keys
from edgeai_converters.train.ops.table import HOUSE_DOMAIN
from edgeai_converters.train.parameters import trained_constants

_ANCHORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class FakeQuantized:
    """A graph with rounding in it.

    Attributes:
        model: the graph: for the twin only, no engine knows RoundWeight.
        trained: names of the constants to train, those of the float graph.
        scales: name of an activation of the plan → name of the constant that is its scale; activations that must have
            one scale share it. Those whose range the engine fixes are left out.
    """

    model: ir.Model
    trained: tuple[str, ...]
    scales: dict[str, str]


def fake_quantize(model: ir.Model, plan: QuantizationPlan) -> FakeQuantized:
    """Return the graph with the plan's rounding in it; `model` is not changed."""
    trained = trained_constants(model)
    made = model.clone()
    limit = weight_limit(model, plan)
    for node, key in node_keys(made).items():
        if key not in plan.float_nodes:
            _round_constants(made, node, key, plan, limit, trained)
    made, _ = insert_qdq(made, replace(plan, weights={}, tables={}))
    kept = tuple(name for name in trained if name in made.graph.initializers)
    return FakeQuantized(model=made, trained=kept, scales=_share_scales(model, made, plan))


def weight_limit(model: ir.Model, plan: QuantizationPlan) -> int:
    """Return the largest stored magnitude that the plan's weights were scaled to."""
    limits = [1]
    for name, stored in plan.weights.items():
        value = model.graph.initializers.get(name)
        if stored.dtype != "int32" and value is not None and value.const_value is not None and stored.axis is not None:
            weight = value.const_value.numpy()
            limits.append(int(np.rint(np.abs(weight / _spread(stored, weight.ndim)).max(initial=0.0))))
    return min(max(limits), 127)


def _round_constants(
    model: ir.Model, node: ir.Node, key: str, plan: QuantizationPlan, limit: int, trained: list[str]
) -> None:
    """Put RoundWeight behind the weight of a node, and round its other constants once and for all."""
    if node.op_type in ("Clip", "Pad", "Resize"):  # their constants are settings
        return
    for index, value in enumerate(node.inputs):
        if value is None or value.const_value is None or value.name is None:
            continue
        stored = plan.weights.get(value.name)
        if stored is None or stored.dtype == "int32":
            continue
        if index == 1 and node.op_type in _ANCHORS:
            node.replace_input_with(index, _rounded(model, value, stored, limit, before=node, key=f"{key}_{index}"))
        elif value.name not in trained:
            grid = dequantize_array(quantize_array(value.const_value.numpy(), stored), stored).astype(np.float32)
            value.const_value = ir.tensor(grid, name=value.name)


def _rounded(
    model: ir.Model, value: ir.Value, stored: TensorQuantization, limit: int, *, before: ir.Node, key: str
) -> ir.Value:
    assert value.const_value is not None
    weight = value.const_value.numpy()
    axes = tuple(i for i in range(weight.ndim) if i != stored.axis) if stored.axis is not None else None
    usual = np.abs(weight).max(axis=axes).reshape(-1) / limit
    # Where the plan gave a channel more than its weights need (it is dead, or its bias is large), it keeps that.
    least = np.where(np.asarray(stored.scale) > 1.001 * usual, np.asarray(stored.scale), 0.0)
    attributes: dict[str, int | list[float]] = {"limit": limit, "least": [float(item) for item in least]}
    if stored.axis is not None:
        attributes["axis"] = stored.axis
    node = ir.node("RoundWeight", [value], attributes, domain=HOUSE_DOMAIN, name=f"round_weight_{key}")
    node.outputs[0].name = f"{value.name}_rounded_for_{key}"
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    model.graph.insert_before(before, node)
    return node.outputs[0]


def _share_scales(model: ir.Model, made: ir.Model, plan: QuantizationPlan) -> dict[str, str]:
    """Let the Q/DQ nodes of values with one scale read one constant; return its name by value."""
    roots = _groups(model, plan)
    scales: dict[str, ir.Value] = {}
    names: dict[str, str] = {}
    for node in list(made.graph):
        name = (node.name or "").removesuffix("_q")
        if node.op_type != "QuantizeLinear" or name not in roots:
            continue
        scale = node.inputs[1]
        assert scale is not None
        shared = scales.setdefault(roots[name], scale)
        for one in (node, *(use.node for use in node.outputs[0].uses())):
            one.replace_input_with(1, shared)
        names[name] = str(shared.name)
    return names


def _groups(model: ir.Model, plan: QuantizationPlan) -> dict[str, str]:
    """Return the value that stands for the group of each activation, by name; none for those of a fixed range."""
    scheme = SCHEMES[plan.scheme]
    root = {name: name for name in plan.activations}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    fixed: set[str] = set()
    for node in model.graph:
        names = [str(value.name) for value in (*node.inputs, *node.outputs) if value is not None]
        names = [name for name in names if name in root]
        if scheme.roles.get(node.op_type) == "same_scale" and names:
            like: Mapping[TensorQuantization, str] = {plan.activations[name]: name for name in reversed(names)}
            for name in names:
                root[find(name)] = find(like[plan.activations[name]])
        if node.op_type in scheme.fixed:
            fixed.update(str(value.name) for value in node.outputs if value.name in root)
    bound = {find(name) for name in fixed}
    return {name: find(name) for name in plan.activations if find(name) not in bound}


def _spread(stored: TensorQuantization, rank: int) -> np.ndarray:
    shape = () if stored.axis is None else tuple(-1 if i == stored.axis else 1 for i in range(rank))
    return np.asarray(stored.scale, np.float64).reshape(shape)
