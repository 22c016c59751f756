"""Which values share one scale, because an operator between them moves values without touching them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.quantize.units import Unit


@dataclass(frozen=True, kw_only=True)
class ScaleGroup:
    """Values with one scale.

    Attributes:
        members: their names.
        range: the range they share: that of the widest members, or the one the engine fixes.
        fixed: the engine fixes the range.
    """

    members: frozenset[str]
    range: tuple[float, float]
    fixed: bool = False


def scale_groups(
    units: Sequence[Unit], ranges: Mapping[str, tuple[float, float]], scheme: Scheme
) -> dict[str, ScaleGroup]:
    """Return the group of every value that a unit reads or stores, by the value's name.

    Producers are retargeted: what enters a concatenation is stored with the concatenation's scale right away. Where a
    folded Relu lives in the stored type's lowest value (`relu_in_zero_point`), its result keeps its own scale if the
    group reaches below zero; the engine then rescales it in the concatenation.
    """
    names = {str(value.name) for unit in units for value in (*unit.inputs, *unit.outputs)}
    chains = _Sets(names)
    for unit in units:
        if unit.role == "same_scale" and unit.node.op_type != "Concat":
            chains.join([str(value.name) for value in (unit.inputs[0], *unit.outputs)])
    joined = _Sets(names)
    for members in chains.sets():
        joined.join(members)
    for unit in units:
        if unit.node.op_type == "Concat":
            joined.join([str(value.name) for value in (*unit.inputs, *unit.outputs)])
    fixed = _fixed_ranges(units, scheme)
    clamped = {str(value.name) for unit in units if unit.clamp is not None for value in unit.outputs}
    groups: dict[str, ScaleGroup] = {}
    for members in joined.sets():
        low, _ = _hull(members, ranges)
        alone = [
            chain
            for chain in {chains.root(name): chains.members(name) for name in members}.values()
            if scheme.relu_in_zero_point and low < 0.0 and chain & clamped and _hull(chain, ranges)[0] == 0.0
        ]
        for part in (*alone, members.difference(*alone)):
            bound = [fixed[name] for name in sorted(part) if name in fixed]
            group = ScaleGroup(
                members=frozenset(part),
                range=bound[0] if bound else _hull(part, ranges),
                fixed=bool(bound),
            )
            groups.update(dict.fromkeys(part, group))
    return groups


def find_conflict(
    units: Sequence[Unit], groups: Mapping[str, ScaleGroup], scheme: Scheme
) -> tuple[ir.Node, str] | None:
    """Return a concatenation that would force a fixed scale on values made by other operators, and the reason."""
    if not scheme.fixed:
        return None
    # What the engine fixes for a value: ranges, and None for a value that moves only what it does not fix.
    found: dict[str, set[tuple[float, float] | None]] = {
        name: {bound} for name, bound in _fixed_ranges(units, scheme).items()
    }
    for unit in units:
        if unit.role != "same_scale":
            continue
        values = unit.inputs if unit.node.op_type == "Concat" else unit.inputs[:1]
        sources = set().union(*(found.get(str(value.name), {None}) for value in values))
        found.update({str(value.name): sources for value in unit.outputs})
        mixed = len(sources) > 1 or sources == {None}
        if mixed and unit.node.op_type == "Concat" and groups[str(unit.outputs[0].name)].fixed:
            return unit.node, "it joins a value whose scale the engine fixes with others"
    return None


def _fixed_ranges(units: Iterable[Unit], scheme: Scheme) -> dict[str, tuple[float, float]]:
    return {
        str(value.name): scheme.fixed[unit.node.op_type]
        for unit in units
        if unit.node.op_type in scheme.fixed
        for value in unit.outputs
    }


def _hull(names: Iterable[str], ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    found = [ranges[name] for name in names]
    return min((low for low, _ in found), default=0.0), max((high for _, high in found), default=0.0)


class _Sets:
    """Disjoint sets of names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._set_of = {name: {name} for name in names}

    def join(self, names: Iterable[str]) -> None:
        merged: set[str] = set()
        for name in names:
            merged |= self._set_of[name]
        for name in merged:
            self._set_of[name] = merged

    def members(self, name: str) -> set[str]:
        return self._set_of[name]

    def root(self, name: str) -> str:
        return min(self._set_of[name])

    def sets(self) -> list[set[str]]:
        return list({min(members): members for members in self._set_of.values()}.values())
