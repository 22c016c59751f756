"""The pass that cuts channels out of a graph, and the one that only makes them zero.

Before: conv1 makes 64 channels, conv2 reads them. After: conv1 makes those that stay, conv2 reads those; constants
are smaller, Reshape, Split, Slice and the like speak of the new sizes. No masks are left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.shapes import infer_shapes, shape_of
from edgeai_converters.prune.groups import ChannelGroup, find_groups
from edgeai_converters.prune.mend import Removed, mend_node
from edgeai_runtime.errors import ModelError, UsageError

Cut = Mapping[str, Collection[int]]
"""Id of a group → its channels that go."""


def slice_channels(model: ir.Model, cut: Cut, *, groups: Iterable[ChannelGroup] | None = None) -> tuple[ir.Model, bool]:
    """Return a smaller graph without the channels, and whether anything was cut.

    Exact: when the channels were zero, the outputs stay the same to rounding; except for groups with
    `coupled` nodes, whose norms see fewer channels. Names of values, inputs and outputs stay.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
        cut: which channels of which groups.
        groups: the groups of this very graph, when they are known already.

    Raises:
        UsageError: no such group or channel, a group that cannot be cut, or nothing would be left.
        ModelError: a shape did not come out as foreseen (a fault of a rule; nothing is returned then).
    """
    removed = places_of(cut, find_groups(model) if groups is None else groups)
    if not removed:
        return model, False
    model = model.clone()
    expected = _expected_shapes(model, removed)
    for node in tuple(model.graph):
        mend_node(model, node, removed)
    for (name, axis), places in removed.items():
        value = model.graph.initializers.get(name)
        if value is not None and value.const_value is not None:
            array = np.delete(value.const_value.numpy(), places, axis)
            value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)
            value.shape = ir.Shape(array.shape)
    for node in model.graph:
        for output in node.outputs:
            if any((str(output.name), axis) in removed for axis in range(len(output.shape or ()))):
                output.shape = ir.Shape(expected[str(output.name)])
    infer_shapes(model)
    _check_shapes(model, expected)
    return model, True


def places_of(cut: Cut, groups: Iterable[ChannelGroup]) -> Removed:
    """Return (value, axis) → the places that a cut takes away, ascending.

    Raises:
        UsageError: as `slice_channels`.
    """
    known = {group.id: group for group in groups}
    found: dict[tuple[str, int], set[int]] = {}
    for name, channels in cut.items():
        group = known.get(name)
        if group is None:
            raise UsageError(f"There is no channel group {name!r}.", hint=f"Groups: {', '.join(known) or 'none'}.")
        if not channels:
            continue
        wrong = [channel for channel in channels if not 0 <= channel < group.size]
        if wrong:
            raise UsageError(f"Group {name!r} has the channels 0 … {group.size - 1}. Received: {wrong[0]}.")
        if group.reason:
            raise UsageError(f"The channels of {name!r} cannot be cut: {group.reason}.")
        if len(set(channels)) >= group.size:
            raise UsageError(f"No channel of {name!r} would be left of {group.size}.")
        for member in group.members:
            places = found.setdefault((member.value, member.axis), set())
            for channel in channels:
                places.update(member.places[channel])
    return {key: np.asarray(sorted(places), np.int64) for key, places in found.items()}


def _expected_shapes(model: ir.Model, removed: Removed) -> dict[str, tuple[int | str | None, ...]]:
    """Return the shape that every value of known rank should have afterwards."""
    expected: dict[str, tuple[int | str | None, ...]] = {}
    for node in model.graph:
        for value in (*node.inputs, *node.outputs):
            shape = shape_of(value)
            if value is None or shape is None:
                continue
            name = str(value.name)
            gone: list[NDArray[np.int64] | None] = [removed.get((name, axis)) for axis in range(len(shape))]
            expected[name] = tuple(
                size - len(places) if isinstance(size, int) and places is not None else size
                for size, places in zip(shape, gone, strict=True)
            )
    return expected


def _check_shapes(model: ir.Model, expected: Mapping[str, tuple[int | str | None, ...]]) -> None:
    for node in model.graph:
        for value in node.outputs:
            shape, wanted = shape_of(value), expected.get(str(value.name))
            if shape is None or wanted is None:
                continue
            sizes = zip(shape, wanted, strict=False)
            known = all(a == b for a, b in sizes if isinstance(a, int) and isinstance(b, int))
            if len(shape) != len(wanted) or not known:
                raise ModelError(
                    f"Cutting channels gave {value.name!r} of {node.op_type} {node.name!r} the shape {list(shape)},"
                    f" not {list(wanted)}.",
                    hint="This is a fault of the channel rules; leave the group out of the cut.",
                )
