"""How two groups of values that are not paired compare: the later windows of a run against the earlier ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MOST_VALUES = 200
"""Of a group; longer ones are put together in as many bins, so that the table of pairs stays small."""

_Z = 1.959964
"""Of the normal distribution, for 95 %."""


def ratio_of_groups(later: Sequence[float], earlier: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median ratio of a value of `later` to one of `earlier`, and its 95 % interval.

    Hodges and Lehmann's estimate on logarithms: the median over all pairs; the interval are order statistics of the
    pairs, by the distribution of Mann and Whitney's U (Hollander, Wolfe, Chicken: Nonparametric Statistical Methods,
    3rd ed., section 4.3; normal approximation). With few values (under 4 each) it is the range of the pairs, which is
    less than 95 %.

    Neighbouring windows are alike, so that the interval is narrower than it would be for independent ones.
    """
    top, bottom = _binned(later), _binned(earlier)
    ratios = np.sort((top[:, None] / np.maximum(bottom[None, :], 1e-12)).ravel())
    m, n = len(top), len(bottom)
    rank = math.floor(m * n / 2 - _Z * math.sqrt(m * n * (m + n + 1) / 12))
    rank = max(0, min(rank, (m * n - 1) // 2))
    return float(np.median(ratios)), (float(ratios[rank]), float(ratios[m * n - 1 - rank]))


def _binned(values: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    if len(array) <= MOST_VALUES:
        return array
    return np.array([np.median(part) for part in np.array_split(array, MOST_VALUES)])
