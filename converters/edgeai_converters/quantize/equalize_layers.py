"""A repair: give the channels between two layers alike ranges, by moving factors from one layer into the next.

Cross-layer equalization of Nagel et al. 2019 (arXiv:1906.04721), section 4.1, equations 9 to 11: in
`y = W2 f(W1 x + b1)` with a homogeneous `f`, dividing output channel `i` of the first layer by `s_i` and multiplying
input channel `i` of the second by it changes nothing in float, and `s_i = sqrt(r1_i / r2_i)` makes both ranges alike.

Departures. `r1` is the range of the first layer's weights in the paper, whose weights have one scale per layer. With
one scale per output channel, the activations between the layers are what suffers: given `channel_maxima`, `r1` is
their measured range, and `r2` the second layer's weights as a share of the largest of the same output channel. A
depthwise second layer has a scale for every channel: then all of the factor moves (`s_i = r1_i`). Concatenations,
pools, residual sums whose parts have no other reader, and flattening before a dense layer are passed as well.

Not done: a Clip with an upper end (ReLU6) is not homogeneous, and replacing it by a Relu, as the paper does, changes
the network: such layers are left alone. So are hard-swish, swish and squeeze-and-excite. High biases are not absorbed
(equations 12 to 15): that is exact only if the activations are normally distributed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.channel_scaling import (
    Site,
    apply_scale,
    find_sites,
    input_ranges,
    is_depthwise,
    merge,
    output_ranges,
)

PASSES = 20
"""Most passes over the graph when only weights count: pairs of layers that share one pull at each other."""

LARGEST_FACTOR = 2.0**15
"""Factors stay within this and its inverse, far from what float32 and float16 can hold."""

LEAST_SPREAD = 1.2
"""Largest over smallest factor below which a value is left as it is: less than a third of a bit to win."""


def equalize_layers(
    model: ir.Model, channel_maxima: Mapping[str, Sequence[float]] | None = None
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph whose layers hand each other channels of alike ranges.

    Postcondition: the graph computes the same in float, but for rounding. Ranges found before no longer hold: collect
    them anew.

    Args:
        model: the float graph, shapes inferred; not changed.
        channel_maxima: largest magnitude per channel of what layers read (`Ranges.channel_maxima`), for weights with
            one scale per output channel. Without it, ranges of weights alone count, as where weights have one scale
            per layer.

    Returns:
        The new graph, and whether it differs.
    """
    copy = model.clone()
    sites = [site for site in find_sites(copy) if _joins_layers(site)]
    changed = False
    if channel_maxima is not None:
        for site in sites:
            maxima = channel_maxima.get(str(site.value.name), ())
            if len(maxima) == site.leader.size:
                changed |= _equalize(copy, site, measured_factors(site, np.asarray(maxima, np.float64)))
        return (copy, True) if changed else (model, False)
    for _ in range(PASSES):
        again = False
        for site in sites:
            again |= _equalize(copy, site, weight_factors(site))
        changed |= again
        if not again:
            break
    return (copy, True) if changed else (model, False)


def weight_factors(site: Site) -> NDArray[np.float64]:
    """Return `s` of equation 11, from the weights on both sides; 1 for channels that are 0 on one side."""
    first, second = output_ranges(site), input_ranges(site, relative=False)
    return _ratio(first, second, 0.5, 0.5)


def measured_factors(site: Site, maxima: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors that balance measured activations against the readers' weights, with geometric mean 1."""
    first = merge(site, maxima)
    if all(is_depthwise(reader) for reader in site.readers):
        return _centred(_ratio(first, np.ones_like(first), 1.0, 0.0), first > 0)
    second = input_ranges(site, relative=True)
    return _centred(_ratio(first, second, 0.5, 0.5), (first > 0) & (second > 0))


def _joins_layers(site: Site) -> bool:
    return all(carrier.node.op_type not in ("LayerNormalization", "Mul") for carrier in site.carriers)


def _ratio(
    first: NDArray[np.float64], second: NDArray[np.float64], power: float, other_power: float
) -> NDArray[np.float64]:
    alive = (first > 0) & (second > 0)
    return np.where(alive, np.where(alive, first, 1.0) ** power / np.where(alive, second, 1.0) ** other_power, 1.0)


def _centred(factors: NDArray[np.float64], alive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Divide by the geometric mean, so that biases keep their size; channels that are always 0 are left alone."""
    if not alive.any():
        return np.ones_like(factors)
    return np.where(alive, factors / np.exp(np.log(factors[alive]).mean()), 1.0)


def _equalize(model: ir.Model, site: Site, factors: NDArray[np.float64]) -> bool:
    factors = np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    spread = factors.max() / factors.min()
    far = max(factors.max(), 1 / factors.min())
    if max(spread, far) < LEAST_SPREAD:
        return False
    apply_scale(model, site, factors)
    return True
