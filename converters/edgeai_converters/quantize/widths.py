"""Which nodes of a plan compute with 16-bit activations, and in which forms a value is stored then.

Kernels want all their activations in one width. A value that is computed in one width and read in the other is
converted in between, which engines do in one cheap operator.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgeai_converters.quantize.affine import activation_quantization
from edgeai_converters.quantize.plan import TensorQuantization
from edgeai_converters.quantize.scale_groups import ScaleGroup
from edgeai_converters.quantize.schemes import SCHEMES, Scheme
from edgeai_converters.quantize.units import Unit
from edgeai_runtime.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Forms:
    """How one value is stored.

    Attributes:
        first: as its producer stores it; where that is in float, as its readers want it.
        second: for the readers of the other width.
    """

    first: TensorQuantization
    second: TensorQuantization | None = None


def choose_wide(
    units: Sequence[Unit], keys: Mapping[ir.Node, str], wanted: Collection[str], scheme: Scheme
) -> tuple[set[ir.Node], dict[str, str]]:
    """Return the operators of units that compute in 16 bits, and for every other wanted node the reason.

    What only moves values follows the operator before it.

    Args:
        units: what is computed in integers, in the graph's order.
        keys: names of the nodes.
        wanted: names of nodes to compute in 16 bits.
        scheme: the scheme of the plan.

    Raises:
        UsageError: the engine of the scheme has no 16-bit kernels.
    """
    if not wanted:
        return set(), {}
    if scheme.wide is None:
        having = ", ".join(sorted(name for name, one in SCHEMES.items() if one.wide))
        raise UsageError(
            f"No node can have 16-bit activations in the scheme {scheme.name}: its engine has no kernels for them.",
            hint=f"Keep those nodes in float. Schemes with 16-bit nodes: {having}.",
        )
    roles = SCHEMES[scheme.wide].roles
    chosen: set[ir.Node] = set()
    computed: set[ir.Value] = set()
    reasons = dict.fromkeys(wanted, "it is computed in float")
    for unit in units:
        names = {keys[node] for node in unit.nodes}
        follows = unit.role == "same_scale" and any(value in computed for value in unit.inputs)
        if not names.intersection(wanted) and not (follows and unit.node.op_type != "Concat"):
            continue
        if unit.node.op_type not in roles:
            reasons.update(dict.fromkeys(names, f"{scheme.wide} has no 16-bit {unit.node.op_type}"))
            continue
        chosen.add(unit.node)
        computed.update(unit.outputs)
        for name in names:
            reasons.pop(name, None)
    return chosen, {name: reason for name, reason in reasons.items() if name in wanted}


def choose_forms(
    units: Sequence[Unit], wide: Collection[ir.Node], groups: Mapping[str, ScaleGroup], scheme: Scheme
) -> dict[str, Forms]:
    """Return how the values that units read and store are stored, by name.

    An anchor that may hand out float (`float_outputs`) stores its result only if a unit reads it.
    """
    read: dict[str, set[bool]] = {}
    made: dict[str, bool] = {}
    fixed: dict[str, tuple[float, float]] = {}
    optional: set[str] = set()
    for unit in units:
        is_wide = unit.node in wide
        for value in unit.inputs:
            read.setdefault(str(value.name), set()).add(is_wide)
        for value in unit.outputs:
            made[str(value.name)] = is_wide
            if unit.role == "anchor" and unit.node.op_type in scheme.float_outputs:
                optional.add(str(value.name))
            if is_wide and scheme.wide and unit.node.op_type in SCHEMES[scheme.wide].fixed:
                fixed[str(value.name)] = SCHEMES[scheme.wide].fixed[unit.node.op_type]

    def form(name: str, is_wide: bool) -> TensorQuantization:
        dtype = SCHEMES[scheme.wide].activation_dtype if is_wide and scheme.wide else scheme.activation_dtype
        low, high = fixed[name] if is_wide and name in fixed else groups[name].range
        return activation_quantization(low, high, dtype)

    found = {}
    for name in {**read, **made}:
        if name in optional and name not in read:
            continue
        widths = read.get(name, set())
        first = made.get(name, widths == {True})
        others = widths - {first}
        found[name] = Forms(first=form(name, first), second=form(name, others.pop()) if others else None)
    return found
