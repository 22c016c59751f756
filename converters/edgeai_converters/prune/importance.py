"""What a channel is worth: by the size of its weights, and by what it says on samples.

Importance is a number per channel, group by group; with `relative=True` (what a ranking over all layers needs) each
group is divided by its mean. BatchNormalization is folded into the weights of the graph, so its scale (Liu et al. 2017,
network slimming) is part of the weights' size and no criterion of its own. Gradients: `importance_taylor`. What the
next layer loses: `importance_reconstruction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.inner_values import InnerValues
from edgeai_converters.prune.groups import ChannelGroup, Member, prunable

Importance = dict[str, NDArray[np.float64]]
"""Group → worth of each channel, `[size]`, not negative."""


def magnitude_importance(
    model: ir.Model,
    groups: Iterable[ChannelGroup],
    *,
    norm: Literal[1, 2] = 2,
    readers: bool = True,
    relative: bool = True,
) -> Importance:
    """Return the mean norm of the channels' weights.

    The L1 norm of filters is Li et al. 2017 (arXiv:1608.08710), section 3.1; adding up over all coupled layers, makers
    and readers alike, is Fang et al. 2023 (arXiv:2301.12900), equation 4. No samples are needed.

    Args:
        model: the graph.
        groups: its groups.
        norm: 1 or 2.
        readers: also count the weights that read the channels; else only those that make them.
        relative: divide by the mean over the group.
    """
    found: Importance = {}
    kinds: tuple[Any, ...] = ("produced", "state", "read") if readers else ("produced", "state")
    for group in prunable(groups):
        total = np.zeros(group.size)
        for member in group.of_kind(*kinds):
            constant = model.graph.initializers[member.value].const_value
            if constant is not None:
                array = np.abs(np.asarray(constant.numpy(), np.float64)) ** norm
                total += add_places(member, array.sum(axis=_all_but(array.ndim, member.axis)))
        found[group.id] = total ** (1 / norm)
    return divide_by_mean(found) if relative else found


def activation_importance(
    model: ir.Model,
    groups: Iterable[ChannelGroup],
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    relative: bool = True,
) -> Importance:
    """Return the mean size of what the next layers read of each channel: `mean |x|` over samples and places.

    Mean activation of Molchanov et al. 2017 (arXiv:1611.06440), section 2.2. Holds one number per place of an axis.

    Args:
        model: the graph.
        groups: its groups.
        batches: prepared inputs by name; read once.
        relative: divide by the mean over the group.
    """
    chosen = {group.id: _read_values(model, group) for group in prunable(groups)}
    values = ir.convenience.create_value_mapping(model.graph)
    names = dict.fromkeys(member.value for members in chosen.values() for member in members)
    reader = InnerValues(model, [values[name] for name in names])
    sums: dict[tuple[str, int], NDArray[np.float64]] = {}
    counts: dict[tuple[str, int], int] = {}
    axes = {(member.value, member.axis) for members in chosen.values() for member in members}
    for batch in batches:
        for _, name, array in reader.read(batch):
            for key in (key for key in axes if key[0] == name):
                part = np.abs(array).sum(axis=_all_but(array.ndim, key[1]), dtype=np.float64)
                sums[key] = sums.get(key, np.zeros(1)) + part
                counts[key] = counts.get(key, 0) + array.size // array.shape[key[1]]
    found: Importance = {}
    for group in prunable(groups):
        total = np.zeros(group.size)
        for member in chosen[group.id]:
            key = (member.value, member.axis)
            if key in sums:
                total += add_places(member, sums[key] / max(1, counts[key]))
        found[group.id] = total
    return divide_by_mean(found) if relative else found


def _read_values(model: ir.Model, group: ChannelGroup) -> Sequence[Member]:
    """Return the activations of a group that layers with weights read; all of them when there is none."""
    weights = {member.value for member in group.of_kind("read", "state", "produced")}
    read = {
        str(value.name)
        for node in model.graph
        if any(value is not None and str(value.name) in weights for value in node.inputs)
        for value in node.inputs
        if value is not None
    }
    activations = group.of_kind("activation")
    return [member for member in activations if member.value in read] or activations


def _all_but(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(rank) if i != axis)


def add_places(member: Member, per_place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, per channel, the sum over its places on an axis."""
    return np.asarray([per_place[list(places)].sum() for places in member.places])


def divide_by_mean(importance: Importance) -> Importance:
    """Return every group's worths divided by their mean."""
    return {name: worths / (worths.mean() or 1.0) for name, worths in importance.items()}
