"""A quantization plan in words: how much is in integers, what stays in float and why, and what the border costs."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from edgeai_converters.quantize.fallback import boundaries
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_units import planned_units
from edgeai_converters.quantize.units import node_keys

MOST_REASONS = 4
"""How many reasons are reported: those of most operations."""


def summarize_plan(model: ir.Model, plan: QuantizationPlan) -> tuple[str, ...]:
    """Return sentences about a plan: one of counts, then one per reason for which operations stay in float.

    Args:
        model: the float graph.
        plan: its plan.
    """
    units = planned_units(model, plan)
    types = {key: node.op_type for node, key in node_keys(model).items()}
    in_float = {key: why for key, why in plan.float_nodes.items() if key in types}
    counts = [f"{len(units)} operations in integers", f"{len(in_float)} in float"]
    if plan.wide_nodes:
        counts.append(f"{len(plan.wide_nodes)} of them with 16-bit activations")
    crossings = boundaries(units)
    told = f"{', '.join(counts)}, {crossings} value{'' if crossings == 1 else 's'} converted between them"
    by_reason: dict[str, Counter[str]] = {}
    for key, why in in_float.items():
        by_reason.setdefault(why, Counter())[types[key]] += 1
    most = sorted(by_reason.items(), key=lambda one: -one[1].total())
    lines = [f"in float: {_count(kinds)}: {why}" for why, kinds in most[:MOST_REASONS]]
    if rest := sum(kinds.total() for _, kinds in most[MOST_REASONS:]):
        lines.append(f"in float: {rest} more operations for other reasons (see the recipe)")
    return (told, *lines)


def _count(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.most_common())
