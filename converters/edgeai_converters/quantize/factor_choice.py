"""Which factors to scale a value's channels by: those with the least rounding error that arithmetic predicts.

Moving a factor from an activation into the weights that read it makes one easier to round and the other harder. How
much of each depends on the layer, so no fixed share is right for all: on networks whose channels are alike already the
square root of equation 11 (arXiv:1906.04721) makes int8 worse. Here every share is tried on paper, value by value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.quantize.channel_scaling import Site, input_ranges, merge, reader_weights

SHARES = (0.25, 0.5, 0.75)
"""Shares of the activations' spread that are tried."""

LEAST_GAIN = 0.2
"""Share of the predicted squared error that factors must take away to be applied."""

LARGEST_FACTOR = 2.0**15
"""Factors stay within this and its inverse, far from what float32 and float16 can hold."""

_ROOT_MEAN_SQUARE = 0.25
"""Root mean square of a channel as a share of its largest magnitude: that of the usual activations, roughly."""

_ACTIVATION_LEVELS = 255
_WEIGHT_LEVELS = 127

Array = NDArray[np.float64]


def choose_factors(site: Site, maxima: Array) -> Array | None:
    """Return the factors, `[channels]`, for a site, or `None` when none is clearly better than leaving it.

    Args:
        site: the value, and who reads it.
        maxima: largest magnitude of the value per channel, `[channels]`.
    """
    activations, weights = merge(site, maxima), input_ranges(site, relative=True)
    best, least = None, (1.0 - LEAST_GAIN) * rounding_error(site, activations, np.ones_like(activations))
    for share in SHARES:
        for other_share in {1.0 - share, 0.0}:
            factors = balance(activations, weights, share, other_share)
            found = rounding_error(site, activations, factors)
            if found < least:
                best, least = factors, found
    return best


def balance(activations: Array, weights: Array, share: float, other_share: float) -> Array:
    """Return `activations^share / weights^other_share` with geometric mean 1; 1 for channels that are always 0."""
    alive = (activations > 0) & (weights > 0)
    if not alive.any():
        return np.ones_like(activations)
    factors = np.where(alive, activations, 1.0) ** share / np.where(alive, weights, 1.0) ** other_share
    factors = np.where(alive, factors / np.exp(np.log(factors[alive]).mean()), 1.0)
    return np.asarray(np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR))


def rounding_error(site: Site, maxima: Array, factors: Array) -> float:
    """Return the squared error that 8 bits make in the readers' outputs, up to a constant, once `factors` are applied.

    Of the activations, one step for all channels, through the weights; and of the weights, one step per output
    channel, through the activations.
    """
    scaled = maxima / factors
    step = float(scaled.max()) / _ACTIVATION_LEVELS
    size = np.square(scaled * _ROOT_MEAN_SQUARE)
    error = 0.0
    for weight in reader_weights(site):  # [groups, outputs, inputs, positions]
        arranged = weight * factors.reshape(weight.shape[0], 1, -1, 1)
        error += step**2 * float(np.square(arranged).sum())
        steps = np.abs(arranged).max(axis=(2, 3)) / _WEIGHT_LEVELS
        read = size.reshape(weight.shape[0], -1).sum(axis=1) * weight.shape[3]
        error += float((np.square(steps) * read[:, None]).sum())
    return error
