"""The mean and the largest magnitude of each channel of a value, over all samples and positions, in one pass.

Memory: three numbers per channel of every value that a layer with constant weights reads or answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

CHANNEL_AXES = {"Conv": 1, "ConvTranspose": 1, "Gemm": -1, "MatMul": -1}
"""Operator with weights → the channel axis of its first input, which the weights sum over, and of its output."""


class ChannelStatistics:
    """Statistics of one value, filled array by array. NaN and infinite values count as 0.

    Args:
        axis: the channel axis; the other axes are samples and positions.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._sum: NDArray[np.float64] = np.zeros(0)
        self._maximum: NDArray[np.float64] = np.zeros(0)
        self._count = 0

    def add(self, array: NDArray[Any]) -> None:
        """Take note of an array `[…]` whose `axis` is the channel."""
        if not array.size:
            return
        axis = self._axis % array.ndim
        others = tuple(i for i in range(array.ndim) if i != axis)
        maximum = np.maximum(array.max(axis=others), -array.min(axis=others))
        if not np.isfinite(maximum).all():
            array = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
            maximum = np.abs(array).max(axis=others)
        total = array.sum(axis=others, dtype=np.float64)
        self._sum = total if not self._count else self._sum + total
        self._maximum = maximum.astype(np.float64) if not self._count else np.maximum(self._maximum, maximum)
        self._count += array.size // array.shape[axis]

    @property
    def means(self) -> tuple[float, ...]:
        """The mean per channel; empty before any array."""
        return tuple(float(value) for value in self._sum / max(self._count, 1))

    @property
    def maxima(self) -> tuple[float, ...]:
        """The largest magnitude per channel; empty before any array."""
        return tuple(float(value) for value in self._maximum)


def channel_values(model: ir.Model) -> list[tuple[ir.Value, int]]:
    """Return what layers with constant weights read and answer, each once, with its channel axis.

    Where one layer answers what another reads along another axis, the reader's axis counts.
    """
    found: dict[ir.Value, int] = {}
    layers = [node for node in model.graph if node.op_type in CHANNEL_AXES and _has_constant_weight(node)]
    for node in layers:
        source = node.inputs[0]
        assert source is not None
        if source.const_value is None and source.dtype in (None, ir.DataType.FLOAT):
            found[source] = CHANNEL_AXES[node.op_type]
    for node in layers:
        found.setdefault(node.outputs[0], CHANNEL_AXES[node.op_type])
    return list(found.items())


def _has_constant_weight(node: ir.Node) -> bool:
    return node.inputs[0] is not None and node.inputs[1] is not None and node.inputs[1].const_value is not None
