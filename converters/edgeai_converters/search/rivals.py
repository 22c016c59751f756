"""Rival ways to a network of some cost: narrower layers, fewer blocks, weights as products. Proposals only.

A way takes the cost that is aimed at and gives the steps of a recipe, or nothing where it cannot get there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.prune.depth import plan_depth, remove_blocks
from edgeai_converters.prune.depth_blocks import find_blocks
from edgeai_converters.prune.groups import ChannelGroup, find_groups, prunable
from edgeai_converters.prune.low_rank_layers import factorable_layers
from edgeai_converters.prune.low_rank_plan import plan_low_rank
from edgeai_converters.prune.low_rank_spectrum import layer_moments
from edgeai_converters.prune.widths import Choices, WidthPlan, propose_widths, uniform_widths
from edgeai_converters.prune.widths_axes import Cost, parameter_cost
from edgeai_converters.search.reshape import SAMPLES, channel_worth
from edgeai_runtime.manifest import Step

Way = Callable[[float], "tuple[Step, ...]"]
"""Cost aimed at, as a share of the whole network's → steps; none where it cannot get there."""

MOST_GONE = 0.9
"""Share of the weights that low rank takes away at most."""

_BLOCK_SAMPLES = 64


def width_ways(
    model: ir.Model, evidence: Evidence, cost: Cost, *, name: str, seed: int, multiple_of: int = 1
) -> list[Way]:
    """Return the ways that make layers narrower: greedily by what channels are worth and cost, and all alike.

    Args:
        model: the graph as it is now.
        evidence: calibration samples.
        cost: what widths cost.
        name: what the cuts are called.
        seed: of draws.
        multiple_of: what widths are multiples of; the whole width is always allowed.
    """
    groups = prunable(find_groups(model))
    if not groups:
        return []
    worth = channel_worth(model, groups, evidence, seed=seed)
    choices = Choices(groups, worth, steps=widths_in_multiples(groups, multiple_of))

    def way(propose: Callable[..., tuple[WidthPlan, ...]]) -> Way:
        def steps(target: float) -> tuple[Step, ...]:
            plan = propose(choices, cost, targets=(target,))[0]
            return (Step(op="prune", params={"name": f"{name}{plan.origin[0]}", "widths": dict(plan.widths)}),)

        return steps

    return [way(propose_widths), way(uniform_widths)]


def widths_in_multiples(groups: Sequence[ChannelGroup], multiple_of: int) -> dict[str, tuple[int, ...]]:
    """Return the widths of groups at which their layers are multiples; groups that are too narrow for any are left out.

    A channel of several places, as a head, counts as many.
    """
    found = {}
    for group in groups:
        places = [len(each) for member in group.of_kind("produced", "state")[:1] for each in member.places]
        unit = multiple_of // math.gcd(max(places, default=1), multiple_of)
        if 1 < unit < group.size:
            found[group.id] = tuple(range(unit, group.size, unit))
    return found


def depth_ways(
    model: ir.Model,
    evidence: Evidence,
    cost_of: Callable[[ir.Model], Cost],
    *,
    name: str,
    seed: int,
    multiple_of: int = 1,
) -> list[Way]:
    """Return two ways over fewer blocks, those that are worth least: as many as are needed, and half as many.

    What blocks do not save, narrower layers do. A kernel computes 8 or 16 channels at once, so in small networks one
    block less is often better than narrower layers.

    Args:
        model: the graph as it is now.
        evidence: calibration samples.
        cost_of: shallower graph → what its widths cost, as a share of what `model` costs.
        name: what the cuts are called.
        seed: of draws.
        multiple_of: what widths are multiples of; the whole width is always allowed.
    """
    blocks = find_blocks(model)
    if not blocks:
        return []
    batches = tuple(evidence.calibration_batches(_BLOCK_SAMPLES))
    shallower: dict[int, tuple[Step, ir.Model, Cost]] = {}

    def without(count: int) -> tuple[Step, ir.Model, Cost]:
        if count not in shallower:
            gone = plan_depth(model, blocks, batches, count=count).removed
            left = remove_blocks(model, gone)[0]
            removed = Step(op="remove_blocks", params={"name": f"{name}b", "blocks": [one.id for one in gone]})
            shallower[count] = (removed, left, cost_of(left))
        return shallower[count]

    def half(target: float) -> tuple[Step, ...]:
        return narrower(without(max(1, round((1 - target) / 2 * len(blocks)))), target)

    def all_of_it(target: float) -> tuple[Step, ...]:
        count = max(1, int((1 - target) * len(blocks)))
        while count < len(blocks) and without(count)[2].predict_ratio({}) > target:
            count += 1
        return narrower(without(count), target)

    def narrower(left: tuple[Step, ir.Model, Cost], target: float) -> tuple[Step, ...]:
        removed, model, cost = left
        groups = prunable(find_groups(model))
        if cost.predict_ratio({}) <= target or not groups:
            return (removed,)
        worth = channel_worth(model, groups, evidence, seed=seed)
        choices = Choices(groups, worth, steps=widths_in_multiples(groups, multiple_of))
        plan = propose_widths(choices, cost, targets=(target,))[0]
        return (removed, Step(op="prune", params={"name": f"{name}d", "widths": dict(plan.widths)}))

    return [half, all_of_it]


def low_rank_way(model: ir.Model, evidence: Evidence, *, name: str) -> list[Way]:
    """Return the way that writes large weights as products of two smaller ones, where that can make the model smaller.

    Args:
        model: the graph as it is now.
        evidence: calibration samples.
        name: what the step is called.
    """
    layers = factorable_layers(model)
    if not layers:
        return []
    moments = layer_moments(model, evidence.calibration_batches(SAMPLES))
    total = parameter_cost(model, ()).predict({})
    own = plan_low_rank(model, share=0.0, moments=moments).parameters_before

    def steps(target: float) -> tuple[Step, ...]:
        share = (1 - target) * total / max(1, own)
        if share > MOST_GONE:
            return ()
        plan = plan_low_rank(model, share=share, moments=moments)
        return (Step(op="low_rank", params={"name": f"{name}r", "ranks": plan.ranks}),)

    return [steps]
