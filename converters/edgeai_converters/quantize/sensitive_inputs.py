"""A repair: keep the first layers in float where 8 bits are too few for the graph's input.

Features such as cepstral coefficients put channels of very different size into one tensor; one scale for all of them
rounds the small ones away, and no range method helps. On a keyword transformer the input alone made 98 % of the error
of the whole quantized graph, and keeping one small layer in float brought the accuracy back. Images do not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.quantize.units import node_keys

LEAST_ERROR = 0.02
"""Relative output error of the whole plan below which there is nothing to repair."""

LARGE_SHARE = 0.5
"""Share of the whole plan's squared error from which an input is called the cause."""


def find_sensitive_inputs(
    model: ir.Model,
    ranges: Mapping[str, tuple[float, float]],
    scheme: Scheme,
    batches: Iterable[Mapping[str, NDArray[Any]]],
) -> dict[str, str]:
    """Return the nodes to keep in float because 8 bits are too few for the graph input they read, with the reason.

    The result is what `plan_quantization` takes as `excluded`. An input is the cause when storing it alone in 8 bits
    makes at least `LARGE_SHARE` of the squared output error of the whole plan.

    Args:
        model: the float graph.
        ranges: `(low, high)` by value, from one range method.
        scheme: the scheme to plan for.
        batches: input arrays by name; read once, and held: some tens of samples suffice.
    """
    plan = plan_quantization(model, ranges, scheme)
    inputs = [value for value in model.graph.inputs if value.name in plan.activations]
    if not inputs:
        return {}
    held = list(batches)
    wanted = _run(model, held)
    whole = _squared_error(wanted, _run(insert_qdq(model, plan)[0], held))
    if whole < LEAST_ERROR**2:
        return {}
    keys = node_keys(model)
    found: dict[str, str] = {}
    for value in inputs:
        name = str(value.name)
        alone = _squared_error(wanted, _run(insert_qdq(model, _only(plan, name))[0], held))
        if alone >= LARGE_SHARE * whole:
            share = min(alone / whole, 1.0)
            reason = f"8 bits are too few for the graph's input {name!r}, which alone makes {share:.0%} of the error"
            found |= {keys[node]: reason for node in _integer_readers(value, scheme, keys, plan.float_nodes)}
    return found


def _integer_readers(
    value: ir.Value, scheme: Scheme, keys: Mapping[ir.Node, str], float_nodes: Mapping[str, str]
) -> list[ir.Node]:
    """Return the integer nodes that read the value, also through nodes that only move it."""
    readers = []
    for node in value.consumers():
        if node in keys and keys[node] not in float_nodes:
            readers.append(node)
            if scheme.roles.get(node.op_type) == "same_scale":
                for output in node.outputs:
                    readers += _integer_readers(output, scheme, keys, float_nodes)
    return readers


def _only(plan: QuantizationPlan, name: str) -> QuantizationPlan:
    return replace(plan, activations={name: plan.activations[name]}, weights={})


def _run(model: ir.Model, batches: Iterable[Mapping[str, NDArray[Any]]]) -> list[dict[str, NDArray[Any]]]:
    runner = GraphRunner(model)
    return [runner.run(batch) for batch in batches]


def _squared_error(wanted: list[dict[str, NDArray[Any]]], found: list[dict[str, NDArray[Any]]]) -> float:
    """Return the squared difference over the squared float output, averaged over the outputs."""
    shares = []
    for name in wanted[0]:
        power = sum(float(np.square(one[name], dtype=np.float64).sum()) for one in wanted)
        distance = sum(
            float(np.square(a[name].astype(np.float64) - b[name]).sum()) for a, b in zip(wanted, found, strict=True)
        )
        shares.append(distance / max(power, float(np.finfo(np.float64).tiny)))
    return float(np.mean(shares))
