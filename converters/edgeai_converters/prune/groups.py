"""Channel groups: which channels of which layers can only be cut together, and which cannot be cut at all.

The dependency graph of Fang et al. 2023 (DepGraph, arXiv:2301.12900), found not between layers but between single
places of axes: place 3 of a map's channels, row 3 of the weight that makes it, column 3 of the weight that reads it,
and after a Flatten the nine columns 27 … 35. Places tied together are one channel (`axis_labels.py`, `rules.py`);
channels that lie on the same axes are one group. So residuals, concats, splits, grouped convolutions and attention
heads need no special case. The unit of a transformer's attention is the head, of a recurrent layer the hidden unit.

What is not known is protected with a reason: an operator without a rule, axes of unknown size, what the graph's
inputs and outputs show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from edgeai_converters.prune.rules import label_graph

Kind = Literal["produced", "read", "added", "factor", "state", "activation"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One axis on which a group's channels lie.

    Attributes:
        value: name of the value or constant.
        axis: the axis, from 0.
        places: per channel of the group, the places on that axis, ascending; several after a Flatten or for heads.
        kind: `produced` the weights that make the channels, `read` those that read them, `state` recurrent weights,
            which do both; `added` or `factor` a constant that is added (a bias) or otherwise combined; `activation` a
            value that flows.
    """

    value: str
    axis: int
    places: tuple[tuple[int, ...], ...]
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels that lie on the same axes; each is cut on all of them or on none.

    Attributes:
        id: name of the weight that makes the channels (with `#2` and so on, when a weight makes several groups); stable
            for a graph.
        size: number of channels.
        members: the axes, in the order of the graph.
        reason: why no channel can be cut; empty when they can.
        coupled: nodes whose other results change with a cut (a norm over the channels): for such a group even a cut of
            channels that are all zero is not exact.
    """

    id: str
    size: int
    members: tuple[Member, ...]
    reason: str = ""
    coupled: tuple[str, ...] = ()

    @property
    def prunable(self) -> bool:
        """Whether channels can be cut."""
        return not self.reason and self.size > 1

    def of_kind(self, *kinds: Kind) -> tuple[Member, ...]:
        """Return the members of some kinds."""
        return tuple(member for member in self.members if member.kind in kinds)


_Place = tuple[str, int, Kind]


def find_groups(model: ir.Model) -> tuple[ChannelGroup, ...]:
    """Return the groups of a graph, in its order: those that can be cut, and those of layers that cannot.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
    """
    channels = _channels(model)
    grouped: dict[tuple[tuple[_Place, ...], str, tuple[str, ...]], list[dict[_Place, tuple[int, ...]]]] = {}
    for places, reason, coupled in channels:
        grouped.setdefault((tuple(places), reason, coupled), []).append(places)
    taken: set[str] = set()
    groups = []
    for (axes, reason, coupled), found in grouped.items():
        if not any(kind in ("produced", "state") for _, _, kind in axes):
            continue
        found = sorted(found, key=lambda places: next(iter(places.values())))
        members = tuple(
            Member(value=value, axis=axis, places=tuple(places[value, axis, kind] for places in found), kind=kind)
            for value, axis, kind in axes
        )
        name = next(_free_names(axes, taken))
        taken.add(name)
        groups.append(ChannelGroup(id=name, size=len(found), members=members, reason=reason, coupled=coupled))
    return tuple(groups)


def prunable(groups: Iterable[ChannelGroup]) -> tuple[ChannelGroup, ...]:
    """Return the groups of which channels can be cut."""
    return tuple(group for group in groups if group.prunable)


def _free_names(axes: Iterable[_Place], taken: set[str]) -> Iterator[str]:
    stem = next(value for value, _, kind in axes if kind in ("produced", "state"))
    if stem not in taken:
        yield stem
    number = 2
    while True:
        if f"{stem}#{number}" not in taken:
            yield f"{stem}#{number}"
        number += 1


def _channels(model: ir.Model) -> list[tuple[dict[_Place, tuple[int, ...]], str, tuple[str, ...]]]:
    """Return every set of tied places as (axis → places, why it cannot be cut, nodes it is coupled by)."""
    labels = label_graph(model)
    components = labels.components()
    reasons, couplings = labels.reasons(), labels.couplings()
    order = {value: i for i, value in enumerate(_values_in_order(model))}
    found: dict[int, dict[_Place, list[int]]] = {}
    by_order = sorted(labels.labelled().items(), key=lambda item: (order[item[0][0]], item[0][1]))
    for (value, axis), ids in by_order:
        kind: Kind = labels.roles.get((value, axis), "factor") if value.const_value is not None else "activation"
        key = (str(value.name), axis, kind)
        for place, component in enumerate(components[ids].tolist()):
            found.setdefault(component, {}).setdefault(key, []).append(place)
    return [
        (
            {key: tuple(listed) for key, listed in places.items()},
            reasons.get(component, ""),
            couplings.get(component, ()),
        )
        for component, places in found.items()
    ]


def _values_in_order(model: ir.Model) -> Iterator[ir.Value]:
    """Yield the values as the graph meets them: a node's constants, then its results."""
    seen: set[ir.Value] = set()
    for value in (*model.graph.inputs, *(each for node in model.graph for each in (*node.inputs, *node.outputs))):
        if value is not None and value not in seen:
            seen.add(value)
            yield value
