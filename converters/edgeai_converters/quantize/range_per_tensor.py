"""Which range method each tensor gets: the one with which the graph's outputs come out nearest to the float graph's.

No method is the best for every tensor: an outlier may carry the answer in one and be noise in another. First the best
method for all tensors is found. Of the tensors with the largest rounding error of their own, one after the other, from
the inputs on, is then tried with other methods, and what these make of the outputs decides. Tensors that share a scale
go together. The samples are held in two halves, and another method must be better on both: on a keyword transformer
and 32 samples, choices that were better on all of them together doubled the error on others.

The cost is bounded: one run of the quantized graph over the samples for every method, and at most
`ALTERNATIVES` for each of at most `most` tensors. Nothing else than the given samples is seen: a guide, whose result
has to be judged on samples of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.inner_values import InnerValues
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.quantize.affine import activation_quantization, dequantize_array, quantize_array
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.output_error import OutputError
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.scale_groups import ScaleGroup, scale_groups
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.quantize.units import choose_units, node_keys
from edgeai_converters.spec import RangeMethod

MOST_TENSORS = 12
"""Tensors, or groups with one scale, for which other methods are tried."""

ALTERNATIVES = 3
"""Other methods tried for one tensor: those with the least rounding error of the tensor itself."""

LEAST_GAIN = 0.01
"""Share of the output error that another method must take away: less may be chance on few samples."""

SAME_SCALE = 0.1
"""Relative difference of scales below which two methods are the same for a tensor."""

Range = tuple[float, float]


def choose_ranges_per_tensor(
    model: ir.Model,
    ranges: Ranges,
    scheme: Scheme,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    excluded: Mapping[str, str] | None = None,
    most: int = MOST_TENSORS,
) -> tuple[dict[str, RangeMethod], dict[str, Range]]:
    """Return the method of every stored tensor, and the ranges to plan with.

    Args:
        model: the float graph.
        ranges: ranges of its values by the methods to choose from.
        scheme: the scheme to plan for.
        batches: input arrays by name; read once, and held: some tens of samples suffice.
        excluded: names of nodes to keep in float, with the reason.
        most: tensors for which other methods are tried at most.

    Returns:
        `{tensor: method}` for what the plan stores, but for scales that the engine fixes; and `{tensor: (low, high)}`
        for all values of the graph.
    """
    held = list(batches)
    halves = [OutputError(model, half) for half in _halves(held)]

    def output_errors(wanted: Mapping[str, Range]) -> NDArray[np.float64]:
        quantized, _ = insert_qdq(model, plan_quantization(model, wanted, scheme, excluded=excluded))
        return np.array([half.of(quantized) for half in halves])

    errors = {method: output_errors(found) for method, found in ranges.tensors.items()}
    base = min(errors, key=lambda method: float(errors[method].sum()))
    chosen, least = dict(ranges.tensors[base]), errors[base]
    groups = _stored_groups(model, chosen, scheme, excluded or {})
    choice: dict[str, RangeMethod] = {name: base for members in groups for name in members}
    local = _local_errors(model, groups, ranges, scheme, held)
    worst = sorted(groups, key=lambda members: -local[members][base])[:most]
    for members in (one for one in groups if one in worst):
        for method in _alternatives(members, base, ranges, scheme, local[members]):
            tried = chosen | {name: ranges.tensors[method][name] for name in members}
            found = output_errors(tried)
            if (found < least).all() and found.sum() < (1.0 - LEAST_GAIN) * least.sum():
                chosen, least = tried, found
                choice.update(dict.fromkeys(members, method))
    return choice, chosen


def _halves(batches: list[Mapping[str, NDArray[Any]]]) -> list[list[dict[str, NDArray[Any]]]]:
    """Return every other sample of the batches, and the rest; a batch that cannot be cut goes into both."""
    cuttable = [all(array.ndim and len(array) > 1 for array in batch.values()) for batch in batches]
    return [
        [
            {name: array[start::2] if fine else array for name, array in batch.items()}
            for batch, fine in zip(batches, cuttable, strict=True)
        ]
        for start in (0, 1)
    ]


def _stored_groups(
    model: ir.Model, ranges: Mapping[str, Range], scheme: Scheme, excluded: Mapping[str, str]
) -> list[frozenset[str]]:
    """Return the sets of stored tensors that share a scale, in the graph's order, without scales that are fixed."""
    plan = plan_quantization(model, ranges, scheme, excluded=excluded)
    left_out = {node: plan.float_nodes[key] for node, key in node_keys(model).items() if key in plan.float_nodes}
    units, _ = choose_units(model, ranges, scheme, left_out)
    groups: dict[frozenset[str], ScaleGroup] = {g.members: g for g in scale_groups(units, ranges, scheme).values()}
    stored = [members for members, group in groups.items() if not group.fixed and members & plan.activations.keys()]
    position = {name: index for index, name in enumerate(ir.convenience.create_value_mapping(model.graph))}
    return sorted(stored, key=lambda members: min(position[name] for name in members))


def _local_errors(
    model: ir.Model,
    groups: Iterable[frozenset[str]],
    ranges: Ranges,
    scheme: Scheme,
    batches: Iterable[Mapping[str, NDArray[Any]]],
) -> dict[frozenset[str], dict[RangeMethod, float]]:
    """Return, per group and method, the squared error of rounding the group's values over their square; in one pass."""
    values = ir.convenience.create_value_mapping(model.graph)
    group_of = {name: members for members in groups for name in members}
    distance: dict[frozenset[str], dict[RangeMethod, float]] = {
        members: dict.fromkeys(ranges.tensors, 0.0) for members in groups
    }
    power = dict.fromkeys(distance, 0.0)
    inner = InnerValues(model, [values[name] for name in group_of])
    for batch in batches:
        for _, name, array in inner.read(batch):
            members = group_of[name]
            power[members] += float(np.square(array, dtype=np.float64).sum())
            for method in distance[members]:
                stored = activation_quantization(*_hull(members, ranges, method), scheme.activation_dtype)
                rounded = dequantize_array(quantize_array(array, stored), stored)
                distance[members][method] += float(np.square(rounded - array).sum())
    tiny = float(np.finfo(np.float64).tiny)
    return {
        members: {method: value / max(power[members], tiny) for method, value in found.items()}
        for members, found in distance.items()
    }


def _alternatives(
    members: frozenset[str], base: RangeMethod, ranges: Ranges, scheme: Scheme, local: Mapping[RangeMethod, float]
) -> list[RangeMethod]:
    """Return the methods to try for a group, with scales that differ from the base's and from each other's."""

    def scale(method: RangeMethod) -> float:
        return activation_quantization(*_hull(members, ranges, method), scheme.activation_dtype).scale[0]

    taken = [scale(base)]
    found: list[RangeMethod] = []
    for method in sorted(local, key=lambda method: local[method]):
        own = scale(method)
        if all(abs(own / other - 1.0) > SAME_SCALE for other in taken):
            taken.append(own)
            found.append(method)
    return found[:ALTERNATIVES]


def _hull(members: Iterable[str], ranges: Ranges, method: RangeMethod) -> Range:
    found = [ranges.tensors[method][name] for name in members]
    return min(low for low, _ in found), max(high for _, high in found)
