"""Patterns of attention and of normalization: masks before a softmax, and what a softmax or a LayerNorm reads."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.patterns import Pattern, Planned, constant

MASK = 1e4
"""Magnitude from which a constant before a softmax is a mask: minus infinity in other words."""

LARGEST_SOFTMAX_STEP = 0.5
"""Stored step of a softmax's input from which the probabilities are off by a quarter and more."""

FEW_NORM_STEPS = 8.0
"""Stored steps that most channels of a LayerNorm's input must have."""

_ON_THE_WAY = frozenset(
    {"Add", "Sub", "Mul", "Div", "Where", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Expand"}
)
_FAR = 8


def find_masks(planned: Planned) -> list[Pattern]:
    """Find huge constants that are added before a softmax: stored in 8 bits they leave no step for the scores."""
    found: dict[str, Pattern] = {}
    for softmax in (node for node in planned.model.graph if node.op_type == "Softmax"):
        for node in _before(softmax, _FAR):
            masks = [array for value in node.inputs if (array := constant(value)) is not None and array.size]
            largest = max((float(np.abs(_finite(array)).max(initial=0.0)) for array in masks), default=0.0)
            if node.op_type not in ("Add", "Sub", "Where", "Mul") or largest < MASK:
                continue
            key = planned.keys[node]
            stored = planned.is_integer(node) or any(planned.step(value.name) for value in node.outputs)
            found[key] = Pattern(
                name="mask_constants",
                node=key,
                why=f"it puts {largest:.3g} where the softmax must see nothing"
                + ("; in 8 bits one step is then larger than all scores" if stored else ", in float: no harm in int8"),
                fix="put a mask there that is just large enough (clamp it)",
                remedy={"op": "clamp_masks"},
                harmful=stored,
            )
    return list(found.values())


def find_softmax_inputs(planned: Planned) -> list[Pattern]:
    """Find softmaxes that read values stored in steps so large that the probabilities change."""
    found = []
    for node, key in planned.keys.items():
        if node.op_type != "Softmax":
            continue
        value, factor = _scaled(node.inputs[0])
        step = planned.step(value.name if value is not None else None)
        if step is None or step * factor < LARGEST_SOFTMAX_STEP or _is_masked(planned, node):
            continue
        off = math.exp(min(step * factor / 2, 20.0)) - 1
        makers = planned.maker_keys(value)
        found.append(
            Pattern(
                name="softmax_input",
                node=makers[-1] if makers else key,
                why=f"the softmax {key!r} reads it in steps of {step * factor:.2g}: probabilities are off by up to "
                f"{min(off, 9.99):.0%}",
                fix="compute the layer before the softmax in float",
                remedy={"op": "exclude", "nodes": makers or [key]},
            )
        )
    return found


def find_layer_norm_inputs(planned: Planned) -> list[Pattern]:
    """Find LayerNorms that read stored values most channels of which have a few steps only: one outlier sets the scale.

    The normalization then blows the rounding up with the values.
    """
    found = []
    for node, key in planned.keys.items():
        if node.op_type not in ("LayerNormalization", "RMSNormalization"):
            continue
        value = node.inputs[0]
        step = planned.step(value.name if value is not None else None)
        if value is None or step is None:
            continue
        channels = planned.channels(value.name)
        if channels.size < 2 or np.median(channels) / step >= FEW_NORM_STEPS:
            continue
        makers = planned.maker_keys(value)
        found.append(
            Pattern(
                name="layer_norm_input",
                node=makers[-1] if makers else key,
                why=f"the normalization {key!r} reads it; {np.median(channels) / step:.1f} of 256 steps are left for "
                "half of its channels",
                fix="keep what it reads in float",
                remedy={"op": "exclude", "nodes": makers or [key]},
            )
        )
    return found


def _before(node: ir.Node, far: int) -> list[ir.Node]:
    """Return the nodes between a softmax and the layers before it."""
    found: list[ir.Node] = []
    for value in node.inputs:
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type in _ON_THE_WAY and far:
            found += [producer, *_before(producer, far - 1)]
    return found


def _is_masked(planned: Planned, softmax: ir.Node) -> bool:
    masked = {pattern.node for pattern in find_masks(planned)}
    return any(planned.keys[node] in masked for node in _before(softmax, _FAR))


def _scaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """Return the value before moves and multiplications with a number, and the number."""
    factor = 1.0
    for _ in range(_FAR):
        node = value.producer() if value is not None else None
        if node is None:
            break
        if node.op_type in ("Mul", "Div"):
            number = constant(node.inputs[1])
            if number is None or number.size != 1 or not number.item():
                break
            each = abs(float(number.item()))
            factor *= each if node.op_type == "Mul" else 1 / each
        elif node.op_type not in ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity"):
            break
        value = node.inputs[0]
    return value, factor


def _finite(array: np.ndarray) -> np.ndarray:
    return np.nan_to_num(array.astype(np.float64), posinf=1e38, neginf=-1e38) if array.dtype.kind == "f" else array[:0]
