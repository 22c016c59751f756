"""The grid of group-wise weights: small integers that share one scale per group of inputs of an output channel.

One function chooses the scales, whoever asks: storing weights, or rounding them better first (`gptq.py`). It finds the
grid of weights again that lie on one already, so that those are stored exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

LEAST_SCALE = 2.0**-14
"""Smallest scale, also of a group of zeros: the smallest number that float16 holds with all its digits."""

_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Shares of the range that are tried: cutting off the outermost weights can cost less than coarse steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedWeight:
    """A matrix in groups.

    Attributes:
        integers: int8 `[outputs, inputs]`, within `-2^(bits-1) … 2^(bits-1) - 1`.
        scales: float32 `[outputs, inputs / group]`, positive, with 8 significant bits (bfloat16) and not below
            `LEAST_SCALE`, so that every engine's kind of scale holds them exactly.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def real(self) -> NDArray[np.float32]:
        """The weights it stands for, float32 `[outputs, inputs]`; exact, since both factors are short."""
        group = self.integers.shape[1] // self.scales.shape[1]
        return self.integers.astype(np.float32) * np.repeat(self.scales, group, axis=1)


def group_weights(matrix: NDArray[np.float32], *, group: int, bits: int = 4) -> GroupedWeight:
    """Return the nearest point of a grid with the scales that lose least, in the sum of squares, of those tried.

    Args:
        matrix: `[outputs, inputs]`.
        group: inputs that share a scale; a divisor of the number of inputs.
        bits: of an integer, 2 to 8.
    """
    outputs, inputs = matrix.shape
    assert inputs % group == 0, (inputs, group)
    scales = group_scales(matrix.reshape(-1, group), bits=bits).reshape(outputs, -1)
    return round_to_groups(matrix, scales, bits=bits)


def round_to_groups(matrix: NDArray[np.float32], scales: NDArray[np.float32], *, bits: int = 4) -> GroupedWeight:
    """Return the nearest point of the grid with the given scales, `[outputs, groups]`."""
    levels = 2 ** (bits - 1)
    wide = np.repeat(scales, matrix.shape[1] // scales.shape[1], axis=1)
    integers = np.clip(np.rint(matrix / wide), -levels, levels - 1).astype(np.int8)
    return GroupedWeight(integers=integers, scales=scales)


def group_scales(rows: NDArray[np.float32], *, bits: int = 4) -> NDArray[np.float32]:
    """Return a scale `[rows]` for each row of weights.

    Tried are the largest magnitude over each integer it could stand for, which finds the scale of weights on a grid,
    and then smaller ones that clip. Of equal ones the largest is taken.
    """
    levels = 2 ** (bits - 1)
    largest = np.abs(rows).max(axis=1)
    steps = [largest / integer for integer in range(1, levels + 1)] if bits <= 4 else [largest / levels]
    steps += [largest * (share / (levels - 1)) for share in _SHARES]
    best = np.full(len(rows), LEAST_SCALE, np.float32)
    least = np.full(len(rows), np.inf)
    for step in steps:
        scale = _short(step)
        error = rows - np.clip(np.rint(rows / scale[:, None]), -levels, levels - 1) * scale[:, None]
        loss = np.einsum("ij,ij->i", error, error, dtype=np.float64)
        better = loss < least
        best[better], least[better] = scale[better], loss[better]
    return best


def _short(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(scale.astype(ml_dtypes.bfloat16).astype(np.float32), np.float32(LEAST_SCALE))
