"""A repair: give the channels between two layers alike ranges, by moving factors from one layer into the next.

Cross-layer equalization of Nagel et al. 2019 (arXiv:1906.04721), section 4.1, equations 9 to 11: in
`y = W2 f(W1 x + b1)` with a homogeneous `f`, dividing output channel `i` of the first layer by `s_i` and multiplying
input channel `i` of the second by it changes nothing in float, and `s_i = sqrt(r1_i / r2_i)` makes both ranges alike.

Departures. `r1` is the range of the first layer's weights in the paper, whose weights have one scale per layer. With
one scale per output channel, the activations between the layers are what suffers: given `channel_maxima`, `r1` is
their measured range, `r2` the second layer's weights as a share of the largest of the same output channel, and how
much is moved is chosen value by value (see `factor_choice`): all of it before a depthwise layer, nothing where
channels are alike. Concatenations, pools, residual sums whose parts have no other reader, and flattening before a
dense layer are passed as well.

Not done: a Clip with an upper end (ReLU6) is not homogeneous, and replacing it by a Relu, as the paper does, changes
the network: such layers are left alone. So are hard-swish, swish and squeeze-and-excite. High biases are not absorbed
(equations 12 to 15): that is exact only if the activations are normally distributed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.channel_scaling import Site, apply_scale, find_sites, input_ranges, output_ranges
from edgeai_converters.quantize.factor_choice import LARGEST_FACTOR, choose_factors

PASSES = 20
"""Most passes over the graph when only weights count: pairs of layers that share one pull at each other."""

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
            if len(maxima) != site.leader.size:
                continue
            factors = choose_factors(site, np.asarray(maxima, np.float64))
            if factors is not None:
                apply_scale(copy, site, factors)
                changed = True
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
    alive = (first > 0) & (second > 0)
    return np.where(alive, np.sqrt(np.where(alive, first, 1.0) / np.where(alive, second, 1.0)), 1.0)


def _joins_layers(site: Site) -> bool:
    return all(carrier.node.op_type not in ("LayerNormalization", "Mul") for carrier in site.carriers)


def _equalize(model: ir.Model, site: Site, factors: NDArray[np.float64]) -> bool:
    factors = np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    spread = factors.max() / factors.min()
    far = max(factors.max(), 1 / factors.min())
    if max(spread, far) < LEAST_SPREAD:
        return False
    apply_scale(model, site, factors)
    return True
