"""AdaRound of one layer: which weights to round up (Nagel et al. 2020, arXiv:2004.10568, equations 21 to 25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.require import require

_STRETCH = (-0.1, 1.1)
"""γ and ζ of equation 23: the sigmoid is stretched to reach 0 and 1."""

_SHARPNESS = (20.0, 2.0)
"""β of equation 24 at the start and the end: first it only polishes what is decided, then it decides."""

_WARM_UP = 0.2
"""Share of the steps without regularizer."""

_BATCH = 256
"""Rows of one step."""

_HELD_OUT = 0.2
"""Share of rows that only judge."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as a matrix product with what follows it.

    Attributes:
        wanted: rows that the float graph hands the layer, `[rows, group, K]`.
        given: the same rows, as the layers already rounded hand them over.
        weight: `[group, O, K]`.
        scale: the scale of every weight, of the same shape.
        bias: `[group · O]`, or `None`.
        limit: largest stored magnitude.
        low: lower bound of the activation behind the layer, `None` for none.
        high: upper bound, likewise.
    """

    wanted: NDArray[np.float32]
    given: NDArray[np.float32]
    weight: NDArray[Any]
    scale: NDArray[Any]
    bias: NDArray[Any] | None
    limit: int
    low: float | None = None
    high: float | None = None


def choose_rounding(
    layer: Layer, *, iterations: int, seed: int, rate: float = 1e-2, strength: float = 0.1
) -> NDArray[np.float32] | None:
    """Return the weights on their grid, `[group, O, K]`; `None` when rounding to nearest is as good.

    Args:
        layer: the layer.
        iterations: steps of Adam.
        seed: of the rows drawn for each step.
        rate: learning rate.
        strength: of the regularizer against the error, which is measured in that of rounding to nearest.
    """
    torch = require("torch", extra="torch")
    generator = torch.Generator().manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(layer.wanted))
    judges = order[: int(len(order) * _HELD_OUT)]
    learns = order[len(judges) :]
    if not len(judges) or not len(learns):
        return None
    places = layer.weight.astype(np.float64) / layer.scale
    below = torch.from_numpy(np.floor(places))
    nearest = torch.from_numpy(np.rint(places)).clamp(-layer.limit, layer.limit)
    scale = torch.from_numpy(np.ascontiguousarray(layer.scale))
    bias = None if layer.bias is None else torch.from_numpy(layer.bias.reshape(layer.weight.shape[:2]).copy())
    given = torch.from_numpy(layer.given)

    def output(rows: Any, weight: Any) -> Any:
        product = torch.matmul(rows.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)  # [rows, group, O]
        product = product if bias is None else product + bias
        return product if layer.low is None and layer.high is None else product.clamp(layer.low, layer.high)

    def error(chosen: Any, rows: Any) -> Any:
        return (output(given[rows], (scale * chosen).float()) - target[rows]).square().mean()

    with torch.no_grad():
        target = output(torch.from_numpy(layer.wanted), torch.from_numpy(layer.weight.astype(np.float32)))
        unit = float(error(nearest, learns))
    if not unit > 0.0:
        return None
    share = torch.from_numpy(places - np.floor(places)).clamp(1e-4, 1 - 1e-4)
    low, high = _STRETCH
    relaxed = (-torch.log((high - low) / (share - low) - 1)).float().requires_grad_()
    optimizer = torch.optim.Adam([relaxed], lr=rate)
    learns_at = torch.from_numpy(learns)
    below_f, scale_f = below.float(), scale.float()
    for step in range(iterations):
        rows = learns_at[torch.randint(len(learns), (_BATCH,), generator=generator)]
        up = (torch.sigmoid(relaxed) * (high - low) + low).clamp(0, 1)
        soft = scale_f * (below_f + up).clamp(-layer.limit, layer.limit)
        loss = (output(given[rows], soft) - target[rows]).square().mean() / unit
        done = (step / iterations - _WARM_UP) / (1 - _WARM_UP)
        if done > 0:
            sharpness = _SHARPNESS[1] + (_SHARPNESS[0] - _SHARPNESS[1]) * (1 - done)
            loss = loss + strength * (1 - (2 * up - 1).abs().pow(sharpness)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        up = (torch.sigmoid(relaxed) * (high - low) + low).clamp(0, 1)
        chosen = (below + (up >= 0.5).double()).clamp(-layer.limit, layer.limit)
        if float(error(chosen, judges)) >= float(error(nearest, judges)):
            return None
        found: NDArray[np.float32] = (chosen * scale).float().numpy()
        return found
