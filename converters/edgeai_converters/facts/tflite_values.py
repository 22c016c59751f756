"""What limits of devices bound, of the operators of a TFLite file: kernels, strides, channels, weights' sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from edgeai_converters.facts.kernel_sizes import kernel_sizes
from edgeai_devices.profile_rules import Property

Values = dict[Property, tuple[int, ...]]

_CONVOLUTIONS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "FULLY_CONNECTED": 0}
"""Operators with weights, and the axis of the weights that is the output's channels."""

_DATA_INPUT = {"TRANSPOSE_CONV": 2}
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")


def operator_values(
    name: str,
    options: Any,
    inputs: Sequence[Sequence[int]],
    outputs: Sequence[Sequence[int]],
    *,
    constants: Mapping[int, Any],
    zero_points: Sequence[int] = (),
) -> Values:
    """Return the properties of one operator that its shapes, options and constants tell.

    Args:
        name: the operator, as `CONV_2D`.
        options: its options of the schema's object API.
        inputs: shape of each input that is there, batch 1 where it is free; maps are NHWC.
        outputs: shape of each output.
        constants: position of an input → its array, of those that are stored.
        zero_points: of the weights.
    """
    data = inputs[_DATA_INPUT.get(name, 0)] if len(inputs) > _DATA_INPUT.get(name, 0) else ()
    activations = [shape for position, shape in enumerate(inputs) if position not in constants] + list(outputs)
    found: Values = {
        "inputs": (len(inputs),),
        "rank": tuple(len(shape) for shape in (*inputs, *outputs)),
        "dimension": tuple(size for shape in activations for size in shape),
        "batch": (data[0] if len(data) >= 4 else 1,),
        "reduced_area": (prod([1, 1, 1, *data][-3:-1]),),
    }
    if data:
        found["input_channels"] = (data[-1],)
    if outputs and outputs[0]:
        found["output_channels"] = (outputs[0][-1],)
    found |= _kernel(name, options, inputs, data)
    if name in _REDUCTIONS and 1 in constants and data:
        found["reduced_axis"] = tuple(int(data[int(axis)]) for axis in np.ravel(constants[1]))
    if name in _CONVOLUTIONS and 1 in constants:
        found["weight_sum"] = (_weight_sum(constants[1], _CONVOLUTIONS[name], zero_points),)
    return found


def _kernel(name: str, options: Any, inputs: Sequence[Sequence[int]], data: Sequence[int]) -> Values:
    """Return kernel, stride, dilation and groups of a convolution or a pooling."""
    found: Values = {}
    strides = tuple(getattr(options, key) for key in ("strideH", "strideW") if hasattr(options, key))
    if strides:
        found["stride"] = strides
    factors = [getattr(options, key) for key in ("dilationHFactor", "dilationWFactor") if hasattr(options, key)]
    dilation = (factors[0] or 1, factors[1] or 1) if len(factors) == 2 else (1, 1)
    if factors:
        found["dilation"] = dilation
    if hasattr(options, "filterHeight"):
        height, width = options.filterHeight, options.filterWidth
    elif name in _CONVOLUTIONS and len(inputs) > 1 and len(inputs[1]) == 4:
        height, width = inputs[1][1], inputs[1][2]
        depth = data[-1] if data else 0
        found["groups"] = (depth if name == "DEPTHWISE_CONV_2D" else max(1, depth // max(1, inputs[1][3])),)
    else:
        return found
    return found | kernel_sizes(height, width, dilation)


def _weight_sum(weights: Any, axis: int, zero_points: Sequence[int]) -> int:
    """The largest sum of absolute integers of one output channel; 0 for weights that are not integers."""
    if weights.dtype.kind not in "iu" or weights.size == 0:
        return 0
    by_channel = np.moveaxis(weights.astype(np.int64), axis, 0).reshape(weights.shape[axis], -1)
    points = np.asarray(zero_points if len(zero_points) == len(by_channel) else list(zero_points)[:1] or [0], np.int64)
    return int(np.abs(by_channel - points[:, None]).sum(axis=1).max())
