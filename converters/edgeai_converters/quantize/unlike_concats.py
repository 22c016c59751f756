"""A choice: keep concatenations in float whose inputs have unlike ranges.

A concatenation in integers gives all its inputs one scale, that of the widest. In a detector's output boxes of hundreds
of pixels stand beside scores below 1, and the scores become 0. In float each input keeps its own scale.

Where layers read the result, it would be stored with one scale right behind the concatenation: those layers are kept
in float as well, which costs speed. Equalizing such graphs first (see `equalize_layers`) often leaves nothing to keep.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from edgeai_converters.quantize.schemes import MOVES
from edgeai_converters.quantize.units import node_keys

LARGEST_RATIO = 16.0
"""Widest over narrowest input above which a concatenation stays in float: the narrowest is left 4 of 8 bits."""

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def find_unlike_concats(
    model: ir.Model, ranges: Mapping[str, tuple[float, float]], *, ratio: float = LARGEST_RATIO
) -> dict[str, str]:
    """Return the nodes to keep in float because they join values of unlike ranges, with the reason.

    The result is what `plan_quantization` takes as `excluded`.

    Args:
        model: the float graph.
        ranges: `(low, high)` by value, from one range method. Inputs of unknown range, constants and values that are
            always 0 are left out of account.
        ratio: largest allowed ratio of the inputs' magnitudes.
    """
    keys = node_keys(model)
    found: dict[str, str] = {}
    for node in model.graph:
        if node.op_type != "Concat":
            continue
        sizes = {str(value.name): _magnitude(value, ranges) for value in node.inputs if value is not None}
        sizes = {name: size for name, size in sizes.items() if size > 0}
        if len(sizes) < 2:
            continue
        wide, narrow = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        if sizes[wide] <= ratio * sizes[narrow]:
            continue
        reason = (
            f"{keys[node]!r} joins {wide!r}, up to {sizes[wide]:.3g}, with {narrow!r}, up to {sizes[narrow]:.3g}: "
            f"one scale for both leaves too little of the smaller"
        )
        found[keys[node]] = reason
        found |= {keys[reader]: reason for reader in _layers_behind(node.outputs[0])}
    return found


def _magnitude(value: ir.Value, ranges: Mapping[str, tuple[float, float]]) -> float:
    low, high = ranges.get(str(value.name), (0.0, 0.0))
    return 0.0 if value.const_value is not None else max(-low, high)


def _layers_behind(value: ir.Value) -> list[ir.Node]:
    """Return the layers that read a value, also through nodes that only move it."""
    layers: list[ir.Node] = []
    for node in value.consumers():
        if node.op_type in _LAYERS and node.inputs[0] is value:
            layers.append(node)
        elif node.op_type in MOVES and node.inputs[0] is value:
            for output in node.outputs:
                layers += _layers_behind(output)
    return layers
