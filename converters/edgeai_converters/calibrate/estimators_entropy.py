"""The range that loses the least information: the entropy (KL divergence) method of TensorRT.

Migacz 2017, "8-bit inference with TensorRT", the algorithm of the slide "Entropy calibration: pseudocode"; the
smoothing of empty bins is MXNet's. Departures: a threshold cuts both ends of an asymmetric range of 255 levels where
TensorRT quantizes magnitudes to 128; and some tens of thresholds are tried, not one per bin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.estimators_histogram import SIDE, Histogram

LEVELS = 255
"""Steps of an 8-bit quantizer."""

TRIED = 64
"""Thresholds tried, evenly spread from the narrowest (one bin a level) to the largest magnitude."""

_SMOOTH = 1e-4
"""Count given to a bin that is empty in one distribution and not in the other."""


def entropy_range(histogram: Histogram) -> tuple[float, float]:
    """Return the range whose quantized distribution has the smallest KL divergence from the histogram's.

    Zeros play no part: every quantizer here represents them exactly. A tensor with few different values (fewer bins in
    use than levels) keeps its full range.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    used = np.flatnonzero(histogram.counts)
    if used.size < LEVELS:
        return low, high
    below, above = max(SIDE - int(used[0]), 0), max(int(used[-1]) - SIDE + 1, 0)
    counts = histogram.counts[SIDE - below : SIDE + above].astype(np.float64)
    best, least = 0, np.inf
    for threshold in np.unique(np.linspace(LEVELS // 2, max(below, above), TRIED).round().astype(int))[::-1]:
        inside = slice(below - min(below, int(threshold)), below + min(above, int(threshold)))
        divergence = _divergence(counts, inside)
        if divergence < least:  # the wider range wins a draw
            best, least = int(threshold), divergence
    return max(low, -best * histogram.width), min(high, best * histogram.width)


def _divergence(counts: NDArray[np.float64], inside: slice) -> float:
    """Return KL(P ‖ Q) of the bins `inside`: P with what lies outside put on its ends, Q after quantization."""
    kept = counts[inside]
    if kept.size < LEVELS:
        return float("inf")
    wanted = kept.copy()
    wanted[0] += counts[: inside.start].sum()
    wanted[-1] += counts[inside.stop :].sum()
    # Q: the bins of one level share the level's count evenly, but only those that hold anything in P.
    level = np.arange(kept.size) * LEVELS // kept.size
    in_use = wanted > 0
    members = np.bincount(level, weights=in_use, minlength=LEVELS)
    mass = np.bincount(level, weights=kept, minlength=LEVELS)
    found = np.where(in_use, (mass / np.maximum(members, 1.0))[level], 0.0)
    p, q = _smooth(wanted), _smooth(found)
    if p is None or q is None:
        return float("inf")
    return float(np.sum(p * np.log(p / q)))


def _smooth(counts: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return shares that sum to 1 and are nowhere 0, or `None` when there is nothing to share."""
    total = counts.sum()
    if total <= 0:
        return None
    empty = counts <= 0
    taken = _SMOOTH * empty.sum() / max(int((~empty).sum()), 1)
    smoothed = np.where(empty, _SMOOTH, np.maximum(counts - taken, _SMOOTH))
    return np.asarray(smoothed / smoothed.sum())
