"""The rule of Reshape and Flatten: which axes are the same, and which one of several carries the channels.

The shapes are cut into the smallest stretches with equal products. A stretch of one axis on both sides is that axis.
Where several axes meet one, one of them carries the channels: the first that nothing else has protected, when all
other nodes have spoken (so a map's height does not, nor the tokens; of heads × size of a head, the heads do, and the
size of a head is protected).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import constant_of, input_of, is_op
from edgeai_converters.graph.shapes import Dim, shape_of
from edgeai_converters.graph.sizes import product, quotient
from edgeai_converters.prune.axis_labels import AxisLabels, names_of

Stretch = tuple[tuple[int, ...], tuple[int, ...]]


def stretches(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> list[Stretch] | None:
    """Return which axes of the two shapes hold the same elements, in order; axes of size 1 are left out.

    >>> stretches(("n", 4, 3, 3), ("n", 36))
    [((0,), (0,)), ((1, 2, 3), (1,))]
    """
    left = [axis for axis, size in enumerate(before) if size != 1]
    right = [axis for axis, size in enumerate(after) if size != 1]
    found: list[Stretch] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first, second = [left[i]], [right[j]]
        i, j = i + 1, j + 1
        while (a := product(before[axis] for axis in first)) != (b := product(after[axis] for axis in second)):
            if a is None or b is None:
                return None
            if quotient(a, b) is not None and j < len(right):
                second.append(right[j])
                j += 1
            elif i < len(left):
                first.append(left[i])
                i += 1
            elif j < len(right):
                second.append(right[j])
                j += 1
            else:
                return None
        found.append((tuple(first), tuple(second)))
    return found if i == len(left) and j == len(right) else None


def tie_reshape(labels: AxisLabels, node: ir.Node) -> None:
    """Tie the stretches of a Reshape to a constant shape, or of a Flatten."""
    x, y = node.inputs[0], node.outputs[0]
    before, after = shape_of(x), shape_of(y)
    if x is None or before is None or after is None:
        return
    if is_op(node, "Reshape") and constant_of(input_of(node, 1)) is None:
        return
    found = stretches(before, after)
    if found is None:
        return
    for left, right in found:
        ids = [labels.ids(x, axis) for axis in left], [labels.ids(y, axis) for axis in right]
        if len(left) == len(right) == 1:
            if ids[0][0] is not None or ids[1][0] is not None:
                labels.tie(ids[0][0], ids[1][0], where=names_of(node))
        elif 1 in (len(left), len(right)) and all(each is not None for side in ids for each in side):
            one, many = ((x, left[0]), (y, right)) if len(left) == 1 else ((y, right[0]), (x, left))
            labels.later.append(partial(_tie_carrier, labels, one, many, names_of(node)))
        else:
            for each in (*ids[0], *ids[1]):
                labels.protect(each, f"{names_of(node)} mixes it with another axis")


def _tie_carrier(
    labels: AxisLabels, one: tuple[ir.Value, int], many: tuple[ir.Value, tuple[int, ...]], where: str
) -> None:
    """Choose the axis of `many` that carries channels, protect the others, tie it to the joint axis."""
    joint = labels.ids(*one)
    parts = [labels.ids(many[0], axis) for axis in many[1]]
    assert joint is not None
    known = [part for part in parts if part is not None]
    free = [i for i, part in enumerate(known) if not labels.is_protected(part)]
    if not free or labels.is_protected(joint):
        for ids in (joint, *known):
            labels.protect(ids, f"{where} mixes it with protected places")
        return
    places = np.indices([part.size for part in known]).reshape(len(known), -1)
    for i, part in enumerate(known):
        if i != free[0]:
            labels.protect(part, f"{where} mixes it with channels")
    labels.tie(joint, known[free[0]][places[free[0]]], where=where)
