"""What a quantization plan computes in integers, read back from the plan: units, and the regions that they form.

A *unit* is a chain of integer nodes with nothing stored between them (an operator, the bias added to it, the clamp
folded in). A *region* is a set of units that hand integers to each other; its edge is where Quantize and Dequantize
nodes stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.schemes import MOVES, SCHEMES
from edgeai_converters.quantize.units import choose_units, node_keys


@dataclass(frozen=True, kw_only=True)
class PlannedUnit:
    """Nodes that are computed in integers in one step.

    Attributes:
        key: the key of the operator, as `plan_quantization` takes it in `excluded`.
        nodes: the operator and what is folded into it, in order.
        reads: names of the stored values it reads; constants are not among them.
    """

    key: str
    nodes: tuple[ir.Node, ...]
    reads: tuple[str, ...]

    @property
    def op_type(self) -> str:
        """The operator's type."""
        return self.nodes[0].op_type

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the values it hands out."""
        return tuple(str(value.name) for value in self.nodes[-1].outputs if value.name)

    @property
    def moves(self) -> bool:
        """Whether it only moves values, in the scale they already have."""
        return self.op_type in MOVES

    @property
    def weight(self) -> str | None:
        """Name of the constant that its operator multiplies with, when it has one in second place."""
        if self.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            return None
        value = self.nodes[0].inputs[1]
        return str(value.name) if value is not None and value.const_value is not None else None


def planned_units(model: ir.Model, plan: QuantizationPlan) -> tuple[PlannedUnit, ...]:
    """Return the units of a plan, in the graph's order.

    Args:
        model: the float graph that the plan was made for.
        plan: the plan.
    """
    keys = node_keys(model)
    units: list[PlannedUnit] = []
    inside: set[ir.Node] = set()
    for node, key in keys.items():
        if key in plan.float_nodes or node in inside:
            continue
        reads = tuple(
            str(value.name)
            for value in node.inputs
            if value is not None and value.const_value is None and value.name in plan.activations
        )
        if not reads:
            continue
        chain = [node]
        while (following := _follower(chain[-1], plan, keys)) is not None:
            chain.append(following)
        inside.update(chain)
        units.append(PlannedUnit(key=key, nodes=tuple(chain), reads=tuple(dict.fromkeys(reads))))
    return tuple(units)


def without(model: ir.Model, plan: QuantizationPlan, excluded: Mapping[str, str]) -> QuantizationPlan:
    """Return what would be left of a plan if more nodes were in float: its nodes and activations, without weights.

    What only follows integers goes to float with them, by the rules that the plan was made by.

    Args:
        model: the float graph that the plan was made for.
        plan: the plan.
        excluded: keys of more nodes to keep in float, with the reason.
    """
    keys = node_keys(model)
    in_float = {**plan.float_nodes, **excluded}
    names = set(ir.convenience.create_value_mapping(model.graph))
    given = {node: in_float[key] for node, key in keys.items() if key in in_float}
    units, reasons = choose_units(model, names, SCHEMES[plan.scheme], given)
    stored = {value.name for unit in units for value in (*unit.inputs, *unit.outputs)}
    return QuantizationPlan(
        scheme=plan.scheme,
        activations={name: found for name, found in plan.activations.items() if name in stored},
        float_nodes={keys[node]: reason for node, reason in reasons.items()},
    )


def planned_regions(units: Sequence[PlannedUnit]) -> tuple[tuple[PlannedUnit, ...], ...]:
    """Return the units in groups that hand integers to each other, each in the graph's order."""
    producers = {name: unit.key for unit in units for name in unit.outputs}
    group = {unit.key: unit.key for unit in units}

    def root(key: str) -> str:
        while group[key] != key:
            group[key] = group[group[key]]
            key = group[key]
        return key

    for unit in units:
        for name in unit.reads:
            if name in producers:
                group[root(unit.key)] = root(producers[name])
    found: dict[str, list[PlannedUnit]] = {}
    for unit in units:
        found.setdefault(root(unit.key), []).append(unit)
    return tuple(tuple(members) for members in found.values())


def multiplications(unit: PlannedUnit) -> int:
    """Return the products that a unit's layer computes for one sample; 0 without weights or with unknown shapes."""
    if unit.weight is None:
        return 0
    node = unit.nodes[0]
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    kernel = weight.const_value.numpy().shape
    spread = node.inputs[0] if node.op_type == "ConvTranspose" else node.outputs[0]
    if spread is None or spread.shape is None:
        return 0
    elements = prod(size for size in spread.shape.dims[1:] if isinstance(size, int))
    each = prod(kernel[1:]) if node.op_type.startswith("Conv") else _depth(node, kernel)
    return elements * each


def _depth(node: ir.Node, kernel: Sequence[int]) -> int:
    """Return how many products a dense layer adds up for one value."""
    transposed = node.attributes.get("transB")
    return kernel[1] if transposed is not None and transposed.as_int() else kernel[0]


def _follower(node: ir.Node, plan: QuantizationPlan, keys: Mapping[ir.Node, str]) -> ir.Node | None:
    """Return the integer node that takes this node's result in without storing it."""
    value = node.outputs[0]
    uses = value.uses()
    if value.name in plan.activations or len(uses) != 1 or value.is_graph_output():
        return None
    reader = next(iter(uses)).node
    return reader if reader in keys and keys[reader] not in plan.float_nodes else None
