"""Known ways in which static int8 goes wrong, found in a graph and its plan, each with its cure.

Every finder looks for one pattern and says where it is, why it hurts, and what helps: in words, and as a remedy that a
recipe can hold. The checklist is that of the troubleshooting guides of Sony's MCT, onnx2tf and ultralytics, and of
Nagel et al. 2021 (arXiv:2106.08295, section 3.6, "debugging"). A pattern is no verdict: whether it does harm is what
`measure_sensitivity` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_units import PlannedUnit, planned_units
from edgeai_converters.quantize.units import node_keys

PatternName = Literal[
    "unlike_concat",
    "swish",
    "depthwise_range",
    "unlike_channels",
    "dead_channels",
    "softmax_input",
    "layer_norm_input",
    "mask_constants",
    "saturation",
    "unlike_features",
    "constant_channel",
    "preprocessing",
]
Remedy = dict[str, Any]
"""What a recipe can do about it: `{"op": …}` with the name of a repair; `{"op": "exclude", "nodes": [...]}`;
`{"op": "preprocess", "steps": …}`. Empty where only a person can help."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern found.

    Attributes:
        name: which one.
        node: key of the operation where it is; for a graph input its name.
        why: what is the matter, with figures.
        fix: what helps, in words.
        remedy: the same for a recipe.
        harmful: false for what is worth knowing and does no harm in itself.
    """

    name: PatternName
    node: str
    why: str
    fix: str
    remedy: Remedy = field(default_factory=dict)
    harmful: bool = True


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A graph with its plan and the results of calibration, as finders look at it.

    Attributes:
        model: the float graph.
        plan: the plan.
        ranges: `(low, high)` by value.
        channel_maxima: largest magnitude per channel, by value; of what layers with weights read and answer.
        architecture: that of the machine that is to run it (`x86_64`, `aarch64`).
        isa: its instruction set flags; empty when not known.
    """

    model: ir.Model
    plan: QuantizationPlan
    ranges: Mapping[str, tuple[float, float]]
    channel_maxima: Mapping[str, Sequence[float]] = field(default_factory=dict)
    architecture: str = ""
    isa: Collection[str] = ()

    @cached_property
    def keys(self) -> dict[ir.Node, str]:
        """The key of every node."""
        return node_keys(self.model)

    @cached_property
    def units(self) -> tuple[PlannedUnit, ...]:
        """What is computed in integers."""
        return planned_units(self.model, self.plan)

    @cached_property
    def readers(self) -> dict[str, list[PlannedUnit]]:
        """The units that read a stored value, by its name."""
        found: dict[str, list[PlannedUnit]] = {}
        for unit in self.units:
            for name in unit.reads:
                found.setdefault(name, []).append(unit)
        return found

    def is_integer(self, node: ir.Node) -> bool:
        """Whether a node is computed in integers."""
        return self.keys[node] not in self.plan.float_nodes

    def step(self, name: str | None) -> float | None:
        """Return the difference of two neighbouring stored values; `None` if the value is not stored."""
        found = self.plan.activations.get(name or "")
        return None if found is None else max(found.scale)

    def width(self, name: str | None) -> float | None:
        """Return the width of the range that was seen, zero included; `None` if it is not known."""
        if name is None or name not in self.ranges:
            return None
        low, high = self.ranges[name]
        return max(high, 0.0) - min(low, 0.0)

    def channels(self, *names: str | None) -> NDArray[np.float64]:
        """Return the largest magnitude per channel of the first of the named values that it is known for."""
        known = next((self.channel_maxima[name] for name in names if name and name in self.channel_maxima), ())
        return np.asarray(known, np.float64)

    def maker_keys(self, value: ir.Value | None) -> list[str]:
        """Return the keys of the integer unit that makes a value, through moves."""
        for unit in self.units:
            if value is not None and value.name in unit.outputs:
                first = unit.nodes[0].inputs[0]
                return [*(self.maker_keys(first) if unit.moves else []), unit.key]
        return []


Finder = Callable[[Planned], list[Pattern]]


def find_patterns(planned: Planned) -> tuple[Pattern, ...]:
    """Return all patterns of a graph and its plan, those that do harm first, in the order of the finders.

    Patterns of the data (`check_inputs`) are not among them.
    """
    from edgeai_converters.quantize import patterns_attention, patterns_layers

    finders: tuple[Finder, ...] = (
        patterns_layers.find_unlike_concats,
        patterns_layers.find_unlike_channels,
        patterns_attention.find_masks,
        patterns_attention.find_softmax_inputs,
        patterns_attention.find_layer_norm_inputs,
        patterns_layers.find_swish,
        patterns_layers.find_saturation,
        patterns_layers.find_dead_channels,
    )
    found = [pattern for finder in finders for pattern in finder(planned)]
    return tuple(sorted(found, key=lambda pattern: not pattern.harmful))


def repairs_of(patterns: Iterable[Pattern]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of the repairs, and the nodes to keep in float with the reason, that patterns ask for."""
    repairs: list[str] = []
    excluded: dict[str, str] = {}
    for pattern in patterns:
        op = pattern.remedy.get("op")
        if op == "exclude":
            for node in pattern.remedy["nodes"]:
                excluded.setdefault(node, f"{pattern.name.replace('_', ' ')}: {pattern.why}")
        elif op is not None and op != "preprocess":
            repairs.append(op)
    return tuple(dict.fromkeys(repairs)), excluded


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the array of a constant value, else `None`."""
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())
