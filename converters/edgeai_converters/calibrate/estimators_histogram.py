"""A histogram that is filled in one pass over data whose range is not known beforehand.

Memory is fixed: `2 * SIDE` counters. The bins are anchored at zero, and when a value falls outside, the bin width is
doubled and neighbouring bins are merged, which is exact because the old edges contain the new ones. The side that
reaches further keeps at least `SIDE / 2` bins in use, eight times finer than an 8-bit quantizer over the same range.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 2048
"""Bins on each side of zero."""

FOLLOWED = 100
"""Samples that the moving average of the extremes looks back on: the constant 0.01 of the usual observers."""


class Histogram:
    """Counts of real values, with the exact smallest and largest value, and zeros counted apart.

    Zeros are apart because every quantizer here represents zero exactly: half of a ReLU's outputs have no error.

    Attributes:
        low: smallest finite value seen; 0.0 before any.
        high: largest finite value seen; 0.0 before any.
        zeros: how many values were exactly zero.
        counts: `[2 * SIDE]`; bin `i` holds values in `[(i - SIDE) * width, (i - SIDE + 1) * width)`.
        width: width of a bin; 0.0 before any value but zero.
        unusable: how many values were NaN or infinite; they are not counted anywhere else.
        followed: how many samples the moving averages have seen.
        average_low: moving average of the samples' smallest values; 0.0 before any.
        average_high: moving average of the samples' largest values; 0.0 before any.
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0
        self.zeros = 0
        self.counts: NDArray[np.int64] = np.zeros(2 * SIDE, np.int64)
        self.width = 0.0
        self.unusable = 0
        self.followed = 0
        self.average_low = 0.0
        self.average_high = 0.0
        self._empty = True

    @property
    def total(self) -> int:
        """How many finite values were counted."""
        return int(self.counts.sum()) + self.zeros

    def widen(self, low: float, high: float) -> None:
        """Take note of the exact smallest and largest value of data of which only a part is counted by `add`."""
        self.low = low if self._empty else min(self.low, low)
        self.high = high if self._empty else max(self.high, high)
        self._empty = False

    def follow(self, lows: NDArray[Any], highs: NDArray[Any]) -> None:
        """Take the smallest and largest value of each of some samples, both `[n]`, into the moving averages.

        Exponential, as in Jacob et al. 2018 (arXiv:1712.05877), section 3.1, but sample by sample, so that it does not
        depend on the size of the batches; the first `FOLLOWED` samples count alike, so none is favoured as the first.
        """
        for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
            self.followed += 1
            share = 1.0 / min(self.followed, FOLLOWED)
            self.average_low += share * (low - self.average_low)
            self.average_high += share * (high - self.average_high)

    def add(self, values: NDArray[Any]) -> None:
        """Count the values of an array of any shape and real dtype."""
        flat = np.ravel(values).astype(np.float64)
        finite = np.isfinite(flat)
        if not finite.all():
            self.unusable += int(flat.size - finite.sum())
            flat = flat[finite]
        if not flat.size:
            return
        self.widen(float(flat.min()), float(flat.max()))
        nonzero = flat[flat != 0]
        self.zeros += int(flat.size - nonzero.size)
        if not nonzero.size:
            return
        self._reach(float(np.abs(nonzero).max()))
        # `floor` keeps -0.5 * width in bin -1; the clip catches what rounding puts outside.
        index = np.clip(np.floor(nonzero / self.width), -SIDE, SIDE - 1).astype(np.int64) + SIDE
        self.counts += np.bincount(index, minlength=2 * SIDE)

    def bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centres of the bins in use and their counts; zeros are not among them."""
        used = np.flatnonzero(self.counts)
        return (used - SIDE + 0.5).astype(np.float64) * self.width, self.counts[used].astype(np.float64)

    def quantile(self, share: float) -> float:
        """Return the value below which `share` (0 to 1) of all values lie, to within one bin."""
        edges = np.arange(-SIDE, SIDE + 1) * self.width
        below = np.concatenate(([0], np.cumsum(self.counts))).astype(np.float64)
        below[SIDE + 1 :] += self.zeros  # zeros lie between the last negative and the first positive bin
        wanted = share * self.total
        if below[SIDE] <= wanted <= below[SIDE] + self.zeros:
            value = 0.0
        else:
            right = int(np.clip(np.searchsorted(below, wanted, side="left"), 1, 2 * SIDE))
            start = below[right - 1] + (self.zeros if right - 1 == SIDE else 0)
            inside = (wanted - start) / max(below[right] - start, 1.0)
            value = float(edges[right - 1] + np.clip(inside, 0.0, 1.0) * self.width)
        return min(max(value, self.low), self.high)

    def _reach(self, largest: float) -> None:
        """Widen the bins, if needed, until `largest` (above 0) fits."""
        if self.width == 0.0:
            self.width = max(largest * (1 + 1e-9) / SIDE, float(np.finfo(np.float32).tiny))
        doublings = max(0, math.ceil(math.log2(largest / (self.width * SIDE))))
        for _ in range(min(doublings, SIDE.bit_length())):
            self._halve_resolution()
        if doublings > SIDE.bit_length():  # what is there already is one bin on each side; the rest needs no merging
            self.width *= 2.0 ** (doublings - SIDE.bit_length())

    def _halve_resolution(self) -> None:
        merged = self.counts.reshape(SIDE, 2).sum(axis=1)
        self.counts[:] = 0
        self.counts[SIDE // 2 : SIDE // 2 + SIDE] = merged
        self.width *= 2.0
