"""Give channels wildly different scales without changing what a network computes.

Convolutions with a ReLU between them compute the same when a channel is made s times larger before the ReLU and its
weights s times smaller after it, for any s > 0 (Nagel et al. 2019, arXiv:1906.04721, section 4.1, backwards). Folding
BatchNorm does this to real MobileNets: figure 2 there shows weight ranges two orders of magnitude apart. Small networks
trained for a minute come out tamer, so the spread is put in by hand here; that is all that is artificial about it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def fold_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """Return the network, in evaluation mode, with each BatchNorm folded into the convolution before it."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


def spread_channels(network: nn.Sequential, *, orders: float, seed: int) -> None:
    """Multiply every channel between two layers by a drawn factor, in place.

    Args:
        network: convolutions (plain, or depthwise with one filter per channel), ReLU, pooling and dense layers, in a
            row; BatchNorm is folded. The last layer's outputs keep their scale.
        orders: the factors' logarithms are uniform over this many orders of magnitude.
        seed: of the drawing.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for before, after in itertools.pairwise(layers):
            channels = len(before.weight)
            factor = 10 ** (orders * (torch.rand(channels, generator=generator) - 0.5))
            before.weight.mul_(_along(factor, before.weight, axis=0))
            if before.bias is not None:
                before.bias.mul_(factor)
            depthwise = isinstance(after, nn.Conv2d) and after.groups == channels
            after.weight.div_(_along(factor, after.weight, axis=0 if depthwise else 1))


def _along(factor: Tensor, weight: Tensor, *, axis: int) -> Tensor:
    return factor.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
