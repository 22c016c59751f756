"""Which operations to give back to float when static int8 loses too much, or is slower than float. Pure decisions.

Both functions return maps from node keys to reasons, as `plan_quantization` takes them in `excluded`; a search makes
the artifact of each in turn, until its search split and its latency gate are both content. The greedy order by
measured sensitivity is that of HAWQ (Dong et al. 2019, arXiv:1905.03696, section 3) with the output error in place of
the Hessian; doubling keeps the number of artifacts that have to be measured logarithmic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_units import PlannedUnit, multiplications, planned_regions, planned_units, without
from edgeai_converters.quantize.sensitivity import Sensitivity

LEAST_SHARE = 1e-4
"""Share of the squared error below which giving an operation back to float is pointless."""

SMALL_WORK = 0.02
"""Share of the multiplications below which a region does not pay for the conversions at its edge."""

_HELPS = "it shares with {!r} the value that 8 bits are too few for"

Excluded = dict[str, str]


def fallback_ladder(
    sensitivities: Iterable[Sensitivity], *, plan: QuantizationPlan, model: ir.Model
) -> tuple[Excluded, ...]:
    """Return growing maps of what to keep in float: the most sensitive unit first, then 2, 4, 8 … of them.

    A unit goes together with those that share the rounded value that its error comes from. An operation that would be
    left alone in integers between floats goes to float with its neighbours: it would only cost conversions. The last
    map still leaves a layer with weights in integers, and every map leaves other operations in integers than the one
    before.

    Args:
        sensitivities: as `measure_sensitivity` returns them for this plan, in any order.
        plan: the plan that lost too much.
        model: the float graph.
    """
    units = planned_units(model, plan)
    known = {unit.key for unit in units}
    harmful = [one for one in sensitivities if one.alone is not None and one.node in known]
    harmful.sort(key=lambda one: (-(one.alone or 0.0), one.node))
    whole = sum((one.alone or 0.0) ** 2 for one in harmful)
    harmful = [one for one in harmful if (one.alone or 0.0) ** 2 > LEAST_SHARE * whole]
    before = _lonely(units)
    shared = {one.node: shares_error(one, units) for one in harmful}
    ladder: list[Excluded] = []
    seen = [{unit.key for unit in units}]
    count = 1
    while harmful:
        excluded: Excluded = {}
        for one in harmful[:count]:
            for key in (one.node, *shared[one.node]):
                excluded.setdefault(key, _why(one, whole) if key == one.node else _HELPS.format(one.node))
        left = planned_units(model, without(model, plan, excluded))
        while more := _lonely(left) - before:
            excluded |= dict.fromkeys(sorted(more), "it would be left alone in integers between floats")
            left = planned_units(model, without(model, plan, excluded))
        if not _has_layers(left):
            break
        if (keys := {unit.key for unit in left}) not in seen:
            ladder.append(excluded)
            seen.append(keys)
        if count >= len(harmful):
            break
        count *= 2
    return tuple(ladder)


def islands_ladder(model: ir.Model, plan: QuantizationPlan) -> tuple[Excluded, ...]:
    """Return maps of what to keep in float so that fewer values are converted between integers and floats.

    In this order: without the regions that compute little; without what has no weights of its own at the edges of
    regions; only the region that computes most; layers with weights only. Maps that change nothing, or leave no layer
    with weights in integers, are not among them.

    Args:
        model: the float graph.
        plan: the plan whose artifact was slower than float.
    """
    units = planned_units(model, plan)
    regions = planned_regions(units)
    work = {unit.key: multiplications(unit) for unit in units}
    whole = sum(work.values())
    by_work = sorted(regions, key=lambda region: sum(work[unit.key] for unit in region), reverse=True)
    small = [region for region in by_work if sum(work[unit.key] for unit in region) < SMALL_WORK * whole]
    without_small = {
        unit.key: f"its region of {len(region)} operations computes little next to its conversions"
        for region in small
        for unit in region
    }
    edges = _edges(units, without_small)
    largest = {
        unit.key: "only the largest region without a break stays in integers"
        for region in by_work[1:]
        for unit in region
    }
    bare = {
        unit.key: "only layers with weights stay in integers"
        for unit in units
        if unit.weight is None and not unit.moves
    }
    ladder: list[Excluded] = []
    for excluded in (without_small, without_small | edges, largest, largest | edges, bare):
        left = planned_units(model, without(model, plan, excluded))
        if excluded and excluded not in ladder and _has_layers(left):
            ladder.append(excluded)
    return tuple(ladder)


def boundaries(units: Sequence[PlannedUnit], excluded: Collection[str] = ()) -> int:
    """Return how many values are converted between integers and floats when `excluded` keys are in float.

    A value that comes from a float node, or from outside, is quantized; one that a float node or nobody reads is
    dequantized.
    """
    kept = [unit for unit in units if unit.key not in excluded]
    nodes = {node for unit in kept for node in unit.nodes}
    made = {name for unit in kept for name in unit.outputs}
    into = {name for unit in kept for name in unit.reads if name not in made}
    out = 0
    for unit in kept:
        for value in unit.nodes[-1].outputs:
            out += value.is_graph_output() or any(node not in nodes for node in value.consumers())
    return len(into) + out


def _why(one: Sensitivity, whole: float) -> str:
    share = (one.alone or 0.0) ** 2 / whole
    return f"8 bits cost most here: alone it makes {share:.0%} of the error, and the outputs differ by {one.alone:.1%}"


def shares_error(one: Sensitivity, units: Sequence[PlannedUnit]) -> list[str]:
    """Return the units that must be in float too for a unit's error to go away.

    A value is rounded as long as its producer and one reader are in integers: an error that comes with the values read
    ends with their producers, one that is made by rounding the result ends with its readers.
    """
    makers = {name: unit for unit in units for name in unit.outputs}
    readers: dict[str, list[PlannedUnit]] = {}
    for unit in units:
        for name in unit.reads:
            readers.setdefault(name, []).append(unit)
    unit = next(unit for unit in units if unit.key == one.node)
    if one.output_rounding > max(one.input_rounding, one.weight_rounding):
        return _through_moves([reader for name in unit.outputs for reader in readers.get(name, ())], readers)
    if one.input_rounding > one.weight_rounding:
        found = []
        for name in unit.reads:
            while (maker := makers.get(name)) is not None and maker.moves:
                found.append(maker.key)
                name = maker.reads[0]
            found += [] if maker is None else [maker.key]
        return found
    return []


def _through_moves(found: Sequence[PlannedUnit], readers: Mapping[str, Sequence[PlannedUnit]]) -> list[str]:
    keys = []
    for unit in found:
        keys.append(unit.key)
        if unit.moves:
            keys += _through_moves([other for name in unit.outputs for other in readers.get(name, ())], readers)
    return keys


def _lonely(units: Sequence[PlannedUnit]) -> set[str]:
    """Return the keys of units that neither take integers from another one nor hand it any; moves do not count."""
    lonely: set[str] = set()
    for region in planned_regions(units):
        if sum(not unit.moves for unit in region) <= 1:
            lonely |= {unit.key for unit in region}
    return lonely


def _has_layers(units: Sequence[PlannedUnit]) -> bool:
    return any(unit.weight is not None for unit in units)


def _edges(units: Sequence[PlannedUnit], excluded: Collection[str]) -> Excluded:
    """Return units without weights at the edge of a region that can go to float without adding conversions."""
    gone: Excluded = {}
    reason = "at the edge of its region it adds conversions and computes little"
    count = boundaries(units, excluded)
    changed = True
    while changed:
        changed = False
        for unit in units:
            if unit.weight is not None or unit.key in gone or unit.key in excluded:
                continue
            fewer = boundaries(units, {*excluded, *gone, unit.key})
            if fewer < count:
                gone[unit.key], count, changed = reason, fewer, True
    return gone
