"""Huge mask constants before a softmax: a repair of the constants, and the choice to keep them out of 8 bits.

Attention masks add -1e9, -3.4e38 or -inf to scores that must not count. In float16 the larger ones are infinite, and
a range that holds them leaves nothing of the scores in 8 bits.

`clamp_masks` replaces them by the nearest value after which float32 softmax still gives exactly 0: with scores in
`[low, high]`, masked ones must lie `UNDERFLOW` below the others. That helps float16 and histograms; an 8-bit range of
more than a hundred is still no good for scores. `find_masks` therefore names the nodes to keep in float in any case: a
smaller constant would change the float graph, which a repair must not do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import change_constant, constant_of, nodes
from edgeai_converters.quantize.units import node_keys

HUGE = -1000.0
"""Constants at or below this are masks, not scores."""

UNDERFLOW = 104.0
"""`exp(-104)` is 0 in float32, even as a subnormal number."""

_BETWEEN = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})
_SCORES_OF_WHERE = {1: 2, 2: 1}


def clamp_masks(model: ir.Model, ranges: Mapping[str, tuple[float, float]]) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph whose masks are as small as float softmax allows.

    Postcondition: on inputs whose scores stay within `ranges` the graph computes the same. Left alone: constants that
    mask all of a row, whose softmax depends on what is lost by adding a huge number; masks computed from an input.

    Args:
        model: the float graph; not changed.
        ranges: smallest and largest score by value: those of min-max.

    Returns:
        The new graph, and whether it differs.
    """
    copy = model.clone()
    changed = False
    for node, index, array in _masks(copy):
        scores = node.inputs[_SCORES_OF_WHERE[index] if node.op_type == "Where" else 1 - index]
        if scores is None or scores.name not in ranges:
            continue
        masked = array <= HUGE
        if node.op_type == "Add" and (array.ndim == 0 or masked.all(axis=-1).any()):
            continue
        low, high = ranges[str(scores.name)]
        spared = array[~masked]
        if node.op_type == "Add":  # scores of the kept ones reach down to low + their own constant
            least = low + float(spared.min())
            value = least - UNDERFLOW - high
        else:
            value = low - UNDERFLOW
        if not np.isfinite(value) or value <= float(array[masked].max()):
            continue
        change_constant(copy, node, index, np.where(masked, np.asarray(value, array.dtype), array))
        changed = True
    return (copy, True) if changed else (model, False)


def find_masks(model: ir.Model) -> dict[str, str]:
    """Return the nodes that mask scores before a softmax with huge constants, to be kept in float, with the reason.

    The result is what `plan_quantization` takes as `excluded`. Masks that are computed from an input are found when
    they are multiplied by a huge constant on the way.
    """
    keys = node_keys(model)
    found = {
        keys[node]: f"it masks scores before a softmax with {float(array.min()):.3g}: 8 bits would hold the mask alone"
        for node, _, array in _masks(model)
    }
    for node in nodes(model, "Mul"):
        huge = next((a for a in map(constant_of, node.inputs) if a is not None and _is_huge(a)), None)
        readers = [use.node for use in node.outputs[0].uses()]
        if huge is None or not any(one.op_type == "Add" and _reaches_softmax(one.outputs[0]) for one in readers):
            continue
        for one in (node, *readers):
            found[keys[one]] = f"it masks scores before a softmax with {float(huge.min()):.3g} times a mask"
    return found


def _masks(model: ir.Model) -> list[tuple[ir.Node, int, NDArray[Any]]]:
    """Return nodes that put a huge constant on scores before a softmax, with the constant and its position."""
    found = []
    for node in nodes(model, "Add", "Where"):
        for index in (0, 1) if node.op_type == "Add" else (1, 2):
            array = constant_of(node.inputs[index])
            if array is not None and _is_huge(array) and _reaches_softmax(node.outputs[0]):
                found.append((node, index, array))
                break
    return found


def _is_huge(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" and array.size > 0 and bool((array <= HUGE).any())


def _reaches_softmax(value: ir.Value) -> bool:
    """Tell whether only softmaxes read the value, perhaps through nodes that move it."""
    readers = [use.node for use in value.uses()]
    return (
        bool(readers)
        and not value.is_graph_output()
        and all(
            one.op_type == "Softmax" or (one.op_type in _BETWEEN and _reaches_softmax(one.outputs[0]))
            for one in readers
        )
    )
