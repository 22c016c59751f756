"""From ranges and a scheme to a quantization plan. Decides, and changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.affine import activation_quantization, bias_quantization, weight_quantization
from edgeai_converters.quantize.gathered_tables import plan_tables
from edgeai_converters.quantize.plan import QuantizationPlan, QuantizedDtype, TensorQuantization
from edgeai_converters.quantize.recurrent_plan import RECURRENT, plan_recurrent_weights
from edgeai_converters.quantize.scale_groups import find_conflict, scale_groups
from edgeai_converters.quantize.schemes import SCHEMES, Scheme
from edgeai_converters.quantize.units import Unit, choose_units, node_keys
from edgeai_converters.quantize.widths import Forms, choose_forms, choose_wide


def plan_quantization(
    model: ir.Model,
    ranges: Mapping[str, tuple[float, float]],
    scheme: Scheme,
    *,
    excluded: Mapping[str, str] | None = None,
    wide: Collection[str] = (),
) -> QuantizationPlan:
    """Return which tensors of the graph are stored in integers, and how.

    Rules: Relu and Clip after an operator are folded, and only their result is stored; operators that move values
    share one scale; residual sums, concatenations and poolings between integer operators stay in integers; graph
    inputs are quantized where they are first read and graph outputs dequantized; weights are symmetric per output
    channel, biases int32 with the scale of the input times that of the weight; tables that are only gathered from
    are stored as what is gathered.

    Args:
        model: the float graph, simplified, shapes inferred.
        ranges: `(low, high)` by the name of the value, from one range method.
        scheme: what the engine wants.
        excluded: names of nodes to keep in float, with the reason.
        wide: names of nodes whose activations are stored in 16 bits, where the scheme's engine has kernels; nodes for
            which it has none stay in 8 bits and are listed in `narrow_nodes`.

    Raises:
        UsageError: nodes are wanted in 16 bits, and the scheme has none.
    """
    keys = node_keys(model)
    left_out = {node: (excluded or {})[key] for node, key in keys.items() if key in (excluded or {})}
    while True:
        units, reasons = choose_units(model, ranges, scheme, left_out)
        groups = scale_groups(units, ranges, scheme)
        conflict = find_conflict(units, groups, scheme) or _shared_constant(units)
        if conflict is None:
            break
        left_out[conflict[0]] = conflict[1]
    wide_nodes, narrow = choose_wide(units, keys, wide, scheme)
    forms = choose_forms(units, wide_nodes, groups, scheme)
    dynamic = [node for node in reasons if node.op_type in RECURRENT and keys[node] not in (excluded or {})]
    weights = _plan_weights(units, _Readings(forms, wide_nodes, scheme), scheme, keys)
    recurrent = plan_recurrent_weights(dynamic, scheme.name, taken=weights)
    tables = plan_tables(
        model,
        {name: form.first for name, form in forms.items() if form.second is None},
        integer_nodes={node for unit in units for node in unit.nodes},
        excluded={node for node, key in keys.items() if key in (excluded or {})},
    )
    return QuantizationPlan(
        scheme=scheme.name,
        activations={name: form.first for name, form in forms.items()},
        weights=weights | recurrent,
        tables=tables,
        dynamic_nodes=tuple(keys[node] for node in dynamic if any(v and v.name in recurrent for v in node.inputs)),
        float_nodes={keys[node]: reason for node, reason in reasons.items()},
        wide_nodes=tuple(keys[node] for unit in units if unit.node in wide_nodes for node in unit.nodes),
        conversions={name: form.second for name, form in forms.items() if form.second is not None},
        narrow_nodes=narrow,
    )


@dataclass(frozen=True)
class _Readings:
    """In which form units read values, and store their other constants."""

    forms: Mapping[str, Forms]
    wide: Collection[ir.Node]
    scheme: Scheme

    def dtype(self, unit: Unit) -> QuantizedDtype:
        if unit.node in self.wide and self.scheme.wide:
            return SCHEMES[self.scheme.wide].activation_dtype
        return self.scheme.activation_dtype

    def input_scale(self, unit: Unit) -> float:
        form = self.forms[str(unit.inputs[0].name)]
        chosen = form.second if form.second is not None and form.second.dtype == self.dtype(unit) else form.first
        return chosen.scale[0]

    def stores_bias(self, unit: Unit) -> bool:
        return unit.node not in self.wide or not self.scheme.wide or SCHEMES[self.scheme.wide].integer_biases


def bias_key(bias: str, node: str) -> str:
    """Return the name in `plan.weights` of a bias that several nodes share with different scales.

    A bias that one node reads, or all with the same scale, stands under its own name.
    """
    return f"{bias}@{node}"


def _plan_weights(
    units: Iterable[Unit],
    readings: _Readings,
    scheme: Scheme,
    keys: Mapping[ir.Node, str],
) -> dict[str, TensorQuantization]:
    anchors = [unit for unit in units if unit.weight is not None]
    stored: dict[str, TensorQuantization] = {}
    for unit in anchors:  # a weight that several nodes share takes the largest scale that any of them needs
        assert unit.weight is not None
        wanted = weight_quantization(
            _array(unit.weight),
            axis=unit.weight_axis,
            limit=scheme.weight_limit,
            bias=None if unit.bias is None or _has_groups(unit) else _array(unit.bias),
            input_scale=readings.input_scale(unit),
        )
        known = stored.get(str(unit.weight.name))
        scale = wanted.scale if known is None else tuple(np.maximum(wanted.scale, known.scale).tolist())
        stored[str(unit.weight.name)] = TensorQuantization(
            dtype="int8", scale=scale, zero_point=wanted.zero_point, axis=wanted.axis
        )
    for unit in anchors:
        if unit.bias is None or unit.weight is None or not readings.stores_bias(unit):
            continue
        weight = stored[str(unit.weight.name)]
        if _has_groups(unit):
            groups = _array(unit.bias).size // len(weight.scale)
            weight = TensorQuantization(dtype="int8", scale=weight.scale * groups, zero_point=(0,))
        planned = bias_quantization(weight, readings.input_scale(unit), _array(unit.bias).size)
        name = str(unit.bias.name)
        if stored.get(name, planned) != planned:
            name = bias_key(name, keys[unit.bias_add or unit.node])
        stored[name] = planned
    for unit in units:
        for constant in unit.constants:
            array = _array(constant)
            stored[str(constant.name)] = activation_quantization(
                float(array.min(initial=0.0)), float(array.max(initial=0.0)), readings.dtype(unit)
            )
    return stored


def _has_groups(unit: Unit) -> bool:
    """Tell whether a transposed convolution has groups: its weight's channel axis then repeats once per group."""
    if unit.node.op_type != "ConvTranspose" or unit.bias is None or unit.weight is None:
        return False
    return bool(_array(unit.bias).size != _array(unit.weight).shape[1])


def _shared_constant(units: Iterable[Unit]) -> tuple[ir.Node, str] | None:
    """Return a node that shares a constant with an earlier one that stores it differently."""
    axes: dict[str, int | None] = {}
    for unit in units:
        weights = [] if unit.weight is None else [(unit.weight, unit.weight_axis)]
        for value, axis in [*weights, *((constant, None) for constant in unit.constants)]:
            if axes.setdefault(str(value.name), axis) != axis:
                return unit.node, f"it shares {value.name!r} with a node that stores it along another axis"
    return None


def _array(value: ir.Value) -> NDArray[Any]:
    assert value.const_value is not None
    return value.const_value.numpy()
