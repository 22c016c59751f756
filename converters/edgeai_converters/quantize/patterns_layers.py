"""Patterns of layers and of what joins them: concatenations, swish, channels of unlike range, saturation."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.patterns import Pattern, Planned, constant
from edgeai_converters.quantize.plan_units import PlannedUnit

FEW_STEPS = 16.0
"""Stored steps that a part or a channel must have to be told from noise: 4 bits of 8."""

SWISH_STEPS = 4.0
"""Stored steps that the negative part of a swish (down to -0.28, or -0.375) must have."""

LARGE_MAGNITUDE = 1e-6
"""Magnitude below which a channel counts as always zero, as a share of the largest channel's."""

DEAD_SHARE = 0.05
"""Share of a layer's channels that must be dead to be worth a line."""

_MOVES_TO_OUTPUT = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten"})
_SWISHES = frozenset({"HardSwish", "Swish", "Gelu", "Mish"})
_GATES = frozenset({"Sigmoid", "HardSigmoid"})


def find_unlike_concats(planned: Planned) -> list[Pattern]:
    """Find concatenations in integers that join values of very different range: the small ones vanish in one scale."""
    found = []
    for node, key in planned.keys.items():
        if node.op_type != "Concat" or not planned.is_integer(node):
            continue
        step = planned.step(node.outputs[0].name)
        widths = {str(v.name): width for v in node.inputs if v is not None and (width := planned.width(v.name))}
        if step is None or len(widths) < 2:
            continue
        poor = [name for name, width in widths.items() if width / step < FEW_STEPS]
        if not poor:
            continue
        worst = min(poor, key=lambda name: widths[name])
        why = (
            f"it joins {worst!r} (range {widths[worst]:.3g}) with values of range {max(widths.values()):.3g}; in one "
            f"scale {_steps(widths[worst] / step)} left for it"
        )
        if _reaches_output(node):
            fix, op = "give out the parts as outputs of their own", "split_outputs"
        else:
            fix, op = "join them in float, so that each part keeps a scale of its own", "unlike_concats"
        found.append(Pattern(name="unlike_concat", node=key, why=why, fix=fix, remedy={"op": op}))
    return found


def find_unlike_channels(planned: Planned) -> list[Pattern]:
    """Find layers whose channels have so different ranges that one scale leaves most of them a few steps.

    In a depthwise convolution it is the rule rather than the exception, and has the name `depthwise_range`.
    """
    found = []
    for unit in planned.units:
        name = unit.outputs[0] if unit.outputs else None
        step = planned.step(name)
        channels = planned.channels(name, unit.nodes[0].outputs[0].name)
        if unit.weight is None or step is None or channels.size < 2:
            continue
        alive = channels[channels > LARGE_MAGNITUDE * channels.max()]
        if not alive.size or np.median(alive) / step >= FEW_STEPS:
            continue
        depthwise = _is_depthwise(unit)
        ratio = float(alive.max() / np.median(alive))
        why = (
            f"its largest channel is {ratio:.0f} times the median one; in one scale "
            f"{_steps(float(np.median(alive)) / step)} left for half of the channels"
        )
        if unit.op_type.startswith("Conv"):
            fix, op = "equalize its channels with those of the next layer", "equalize"
        else:
            fix, op = "move the scale of the channels into the weights (smooth)", "smooth"
        found.append(
            Pattern(
                name="depthwise_range" if depthwise else "unlike_channels",
                node=unit.key,
                why=why,
                fix=fix,
                remedy={"op": op},
            )
        )
    return found


def find_swish(planned: Planned) -> list[Pattern]:
    """Find swish-like activations with a range so wide that 8 bits do not see their small negative part."""
    found = []
    for node, key in planned.keys.items():
        gate = _gate(node)
        if gate is None and node.op_type not in _SWISHES:
            continue
        output = node.outputs[0]
        step = planned.step(output.name)
        low = -planned.ranges.get(str(output.name), (0.0, 0.0))[0]
        if step is None or low <= 0 or low / step >= SWISH_STEPS:
            continue
        parts = [planned.keys[one] for one in (gate, node) if one is not None and planned.is_integer(one)]
        nodes = [*parts, *(unit.key for unit in planned.readers.get(str(output.name), ()))]
        found.append(
            Pattern(
                name="swish",
                node=key,
                why=f"it goes down to {-low:.2g} and up to {planned.ranges[str(output.name)][1]:.3g}; "
                f"{_steps(low / step)} left for its negative part",
                fix="keep it and the layer that reads it in float",
                remedy={"op": "exclude", "nodes": nodes},
            )
        )
    return found


def find_saturation(planned: Planned) -> list[Pattern]:
    """Find layers whose sums can leave 16 bits where u8 · s8 products are added up in pairs: x86 without VNNI.

    `vpmaddubsw` adds 255 · w1 + 255 · w2 in a saturating int16: two large neighbouring weights of one sign clip.
    """
    is_u8 = any(found.dtype == "uint8" for found in planned.plan.activations.values())
    has_vnni = any("vnni" in flag or "amx_int8" in flag for flag in planned.isa)
    if planned.architecture != "x86_64" or not planned.isa or has_vnni or not is_u8:
        return []
    for unit in planned.units:
        weight = constant(unit.nodes[0].inputs[1]) if unit.weight else None
        stored = planned.plan.weights.get(unit.weight or "")
        if weight is None or stored is None:
            continue
        limit = float(np.max(np.abs(weight).max() / max(stored.scale)))
        if 2 * 255 * limit <= np.iinfo(np.int16).max:
            continue
        return [
            Pattern(
                name="saturation",
                node=unit.key,
                why="this processor has no VNNI: it adds u8 x s8 products in pairs in 16 bits, and 8-bit weights can "
                "leave them; the result is then wrong without a sign of it",
                fix="keep weights to 7 bits (compress does so for ONNX on such a machine), or write TFLite",
                remedy={},
            )
        ]
    return []


def find_dead_channels(planned: Planned) -> list[Pattern]:
    """Find layers with channels that are zero on all samples: they cost time and memory, and do no harm."""
    found = []
    for unit in planned.units:
        name = unit.outputs[0] if unit.outputs else None
        channels = planned.channels(name)
        if unit.weight is None or channels.size < 2:
            continue
        dead = int((channels <= LARGE_MAGNITUDE * channels.max()).sum())
        if dead <= DEAD_SHARE * channels.size:
            continue
        found.append(
            Pattern(
                name="dead_channels",
                node=unit.key,
                why=f"{dead} of its {channels.size} channels are zero on all samples",
                fix="prune them: they cost time and memory",
                harmful=False,
            )
        )
    return found


def _steps(count: float) -> str:
    return "less than one step is" if count < 1 else f"{count:.1f} of 256 steps are"


def _is_depthwise(unit: PlannedUnit) -> bool:
    node = unit.nodes[0]
    group = node.attributes.get("group")
    weight = constant(node.inputs[1])
    return group is not None and group.as_int() > 1 and weight is not None and weight.shape[1] == 1


def _reaches_output(node: ir.Node) -> bool:
    value = node.outputs[0]
    if value.is_graph_output():
        return True
    readers = value.consumers()
    return len(readers) == 1 and readers[0].op_type in _MOVES_TO_OUTPUT and _reaches_output(readers[0])


def _gate(node: ir.Node) -> ir.Node | None:
    """Return the sigmoid of `x · sigmoid(x)`."""
    if node.op_type != "Mul":
        return None
    for value, other in (node.inputs, reversed(node.inputs)):
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type in _GATES and producer.inputs[0] is other:
            return producer
    return None
