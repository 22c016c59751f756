"""From a histogram of a tensor's values to the range that an 8-bit quantizer should cover.

Every range contains zero, since zero is what padding writes and must be represented exactly; a tensor that is never
negative keeps 0.0 as its low end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.estimators_entropy import entropy_range
from edgeai_converters.calibrate.estimators_histogram import Histogram
from edgeai_converters.spec import RangeMethod

PERCENTILE = 0.9999
"""Share of a tensor's values that the percentile range covers; the rest, split over both ends, is clipped."""

LEVELS = 255
"""Steps of an 8-bit quantizer."""

_SHRINKS = np.linspace(1.0, 0.2, 41)
"""Shares of the full range that the first pass of the MSE search tries; clipping harder never won on real tensors."""


def estimate_range(histogram: Histogram, method: RangeMethod) -> tuple[float, float]:
    """Return the range `(low, high)`, `low <= 0 <= high`, of a tensor by one method.

    Example:
        >>> histogram = Histogram()
        >>> histogram.add(np.array([0.0, 0.5, 2.0]))
        >>> estimate_range(histogram, "minmax")
        (0.0, 2.0)
    """
    return _ESTIMATORS[method](histogram)


def minmax_range(histogram: Histogram) -> tuple[float, float]:
    """Return the smallest and the largest value seen."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile_range(histogram: Histogram, share: float = PERCENTILE) -> tuple[float, float]:
    """Return the range that holds `share` of the values; each end loses half of the rest if it has a tail.

    A tensor on one side of zero loses all of the rest at its far end.
    """
    low, high = minmax_range(histogram)
    if histogram.total == 0:
        return low, high
    rest = 1.0 - share
    if low == 0.0:
        return 0.0, max(histogram.quantile(share), 0.0)
    if high == 0.0:
        return min(histogram.quantile(rest), 0.0), 0.0
    return min(histogram.quantile(rest / 2), 0.0), max(histogram.quantile(1.0 - rest / 2), 0.0)


def mse_range(histogram: Histogram, levels: int = LEVELS) -> tuple[float, float]:
    """Return the range with the smallest expected squared error of quantizing the histogram to `levels` steps.

    The trade of clipping error against rounding error as in Banner et al. 2019 (arXiv:1810.05723), section 3, and
    Choukroun et al. 2019 (arXiv:1902.06822), but summed over the measured histogram, bin by bin, instead of over a
    fitted Gaussian or Laplacian; and each end is searched for itself, since activations are not symmetric. First both
    ends shrink together, then each alone around the best, then finer.
    """
    low, high = minmax_range(histogram)
    centres, counts = histogram.bins()
    if not centres.size or high == low:
        return low, high
    best = (1.0, 1.0)
    best = _search(centres, counts, low, high, levels, [(s, s) for s in _SHRINKS], best)
    for step in (0.1, 0.02):
        nudges = [n * step for n in range(-4, 5)]
        if low < 0.0:
            best = _search(centres, counts, low, high, levels, [(best[0] + n, best[1]) for n in nudges], best)
        if high > 0.0:
            best = _search(centres, counts, low, high, levels, [(best[0], best[1] + n) for n in nudges], best)
    return float(low * best[0]), float(high * best[1])


def moving_average_range(histogram: Histogram) -> tuple[float, float]:
    """Return the moving average of the samples' smallest and largest values: single odd samples weigh little.

    Jacob et al. 2018 (arXiv:1712.05877), section 3.1. Where no samples were followed, the smallest and largest value.
    """
    if not histogram.followed:
        return minmax_range(histogram)
    return min(histogram.average_low, 0.0), max(histogram.average_high, 0.0)


def _search(
    centres: NDArray[np.float64],
    counts: NDArray[np.float64],
    low: float,
    high: float,
    levels: int,
    shrinks: list[tuple[float, float]],
    best: tuple[float, float],
) -> tuple[float, float]:
    """Return the pair of shrinks (of the low and the high end, in (0, 1]) with the smallest error, `best` included."""
    tried = {best, *((a, b) for a, b in shrinks if 0.0 < a <= 1.0 and 0.0 < b <= 1.0)}
    # The larger range wins a draw: what was not seen in calibration is then clipped less.
    ordered = sorted(tried, reverse=True)
    return min(ordered, key=lambda pair: _squared_error(centres, counts, low * pair[0], high * pair[1], levels))


def _squared_error(
    centres: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float, levels: int
) -> float:
    """Return the sum of squared errors of quantizing all counted values with the range `(low, high)`."""
    scale = (high - low) / levels
    zero_point = np.rint(-low / scale)
    stored = np.clip(np.rint(centres / scale) + zero_point, 0, levels)
    error = (stored - zero_point) * scale - centres
    return float(np.dot(counts, error * error))


_ESTIMATORS: dict[RangeMethod, Callable[[Histogram], tuple[float, float]]] = {
    "minmax": minmax_range,
    "percentile": percentile_range,
    "mse": mse_range,
    "moving_average": moving_average_range,
    "entropy": entropy_range,
}
