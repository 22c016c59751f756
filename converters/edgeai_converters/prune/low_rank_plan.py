"""The decision which weights become products of two, and of which rank. Data in, data out.

Ranks are weighed over all layers together: what a layer loses is the relative error of its own output, what it costs
are the weights of both factors. No layer gets a rank at which it would be larger than it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.prune.low_rank_layers import LEAST_ELEMENTS, FactorableLayer, LowRankKind, factorable_layers
from edgeai_converters.prune.low_rank_spectrum import Moments, spectrum_of
from edgeai_runtime.errors import UsageError

FLOOR = 0.1
"""Share of its full rank that a layer keeps at least, unless ranks are given: none is emptied."""


@dataclass(frozen=True, kw_only=True)
class LowRankLayer:
    """A weight that becomes a product.

    Attributes:
        weight: name of the weight.
        kind: of its layer.
        rank: columns of the first factor.
        full_rank: the largest its matrix can have.
        error: relative error of the layer's output, in [0, 1]: on the samples, or of the weight when there were none.
        parameters_before, parameters_after: weights of the layer.
    """

    weight: str
    kind: LowRankKind
    rank: int
    full_rank: int
    error: float
    parameters_before: int
    parameters_after: int


@dataclass(frozen=True, kw_only=True)
class LowRankPlan:
    """Which weights become products.

    Attributes:
        layers: those that do.
        aware: whether samples decided; then `factorise` needs the same moments.
        parameters_before: weights of all layers that could become products.
    """

    layers: tuple[LowRankLayer, ...]
    aware: bool
    parameters_before: int

    @property
    def parameters_after(self) -> int:
        """Weights of the same layers afterwards."""
        return self.parameters_before - sum(each.parameters_before - each.parameters_after for each in self.layers)

    @property
    def ranks(self) -> dict[str, int]:
        """Weight → rank."""
        return {each.weight: each.rank for each in self.layers}

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self) | {"layers": [asdict(each) for each in self.layers]}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> LowRankPlan:
        """Return the plan that `to_json` wrote."""
        return LowRankPlan(
            layers=tuple(LowRankLayer(**each) for each in document["layers"]),
            aware=bool(document["aware"]),
            parameters_before=int(document["parameters_before"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Choice:
    """The ranks one layer may have; the first choice is to leave it whole.

    Attributes:
        layer: the layer.
        ranks, errors, parameters: of each choice; rank 0 stands for whole.
    """

    layer: FactorableLayer
    ranks: NDArray[np.int64]
    errors: NDArray[np.float64]
    parameters: NDArray[np.int64]


def plan_low_rank(
    model: ir.Model,
    *,
    share: float | None = None,
    rank: int | Mapping[str, int] | None = None,
    energy: float | None = None,
    moments: Mapping[str, Moments] | None = None,
    least_elements: int = LEAST_ELEMENTS,
    multiple_of: int = 1,
    floor: float = FLOOR,
) -> LowRankPlan:
    """Decide which weights become products, by exactly one of `share`, `rank` and `energy`.

    Args:
        model: the float graph, simplified; not changed.
        share: share of the weights of all layers that could become products which goes, in [0, 1).
        rank: the rank of all layers, or weight → rank; layers it would make larger are left whole.
        energy: share of the mean square of each layer's output that is kept, in (0, 1].
        moments: weight → moments of `layer_moments`; without them only the weights decide.
        least_elements: smaller weights are left whole.
        multiple_of: ranks are multiples of this (the full rank is never needed).
        floor: share of its full rank that a layer keeps at least; not when ranks are given.

    Raises:
        UsageError: none or several of the three, a value outside of its range, an unknown weight, one without moments,
            or the share cannot be reached.
    """
    if sum(each is not None for each in (share, rank, energy)) != 1:
        raise UsageError("Say one of: the share of weights that goes, the rank, or the energy that stays.")
    if share is not None and not 0 <= share < 1:
        raise UsageError(f"The share of weights that goes lies in [0, 1). Received: {share}.")
    if energy is not None and not 0 < energy <= 1:
        raise UsageError(f"The energy that stays lies in (0, 1]. Received: {energy}.")
    layers = factorable_layers(model, least_elements=least_elements)
    unseen = [layer.name for layer in layers if moments is not None and layer.name not in moments]
    if unseen:
        raise UsageError(f"There are no moments of {unseen[0]!r}.", hint="Gather them with the same least_elements.")
    if isinstance(rank, Mapping):
        unknown = sorted(set(rank) - {layer.name for layer in layers})
        if unknown:
            names = ", ".join(layer.name for layer in layers) or "none"
            raise UsageError(f"The weight {unknown[0]!r} cannot become a product.", hint=f"Those that can: {names}.")
    choices = [
        _choices(layer, moments, multiple_of=multiple_of, floor=0.0 if rank is not None else floor) for layer in layers
    ]
    if share is not None:
        chosen = _by_share(choices, share)
    elif energy is not None:
        chosen = [_by_energy(choice, energy) for choice in choices]
    else:
        assert rank is not None
        chosen = [
            _by_rank(choice, rank.get(choice.layer.name, 0) if isinstance(rank, Mapping) else rank)
            for choice in choices
        ]
    return LowRankPlan(
        layers=tuple(_planned(choice, place) for choice, place in zip(choices, chosen, strict=True) if place),
        aware=moments is not None,
        parameters_before=sum(layer.parameters for layer in layers),
    )


def _choices(
    layer: FactorableLayer, moments: Mapping[str, Moments] | None, *, multiple_of: int, floor: float
) -> _Choice:
    errors = spectrum_of(layer, moments[layer.name] if moments is not None else None).errors()
    least = max(1, math.ceil(floor * layer.full_rank))
    first = -(-least // multiple_of) * multiple_of
    ranks = np.arange(first, layer.largest_rank + 1, multiple_of)
    return _Choice(
        layer=layer,
        ranks=np.concatenate([[0], ranks]),
        errors=np.concatenate([[0.0], errors[ranks]]),
        parameters=np.concatenate([[layer.parameters], layer.parameters_at(1) * ranks]),
    )


def _by_rank(choice: _Choice, rank: int) -> int:
    """Return the place of the least allowed rank that is not below `rank`; 0 when there is none."""
    if rank < 1:
        return 0
    found = np.flatnonzero(choice.ranks >= rank)
    return int(found[0]) if len(found) else 0


def _by_energy(choice: _Choice, energy: float) -> int:
    found = np.flatnonzero(np.square(choice.errors[1:]) <= 1 - energy + 1e-12)
    return int(found[0]) + 1 if len(found) else 0


def _by_share(choices: Sequence[_Choice], share: float) -> list[int]:
    """Return the choices with the least sum of squared errors that need no more weights than asked for.

    A price per weight is found by bisection (every layer takes what is cheapest at that price), then what is left of
    the budget is given out where it helps most.
    """
    before = sum(int(choice.parameters[0]) for choice in choices)
    budget = before - math.ceil(share * before)
    smallest = sum(int(choice.parameters.min()) for choice in choices)
    if smallest > budget:
        most = 1 - smallest / before if before else 0.0
        raise UsageError(
            f"Products can take away {most:.0%} of the weights at most. Received: {share:.0%}.",
            hint="Ask for less, or for a lower floor.",
        )
    low, high = 0.0, 1.0  # the price of one weight; at 1 no error is worth a weight
    for _ in range(60):
        price = (low + high) / 2
        found = [_cheapest(choice, price) for choice in choices]
        if _total(choices, found) > budget:
            low = price
        else:
            high = price
    found = [_cheapest(choice, high) for choice in choices]
    while (better := _best_step(choices, found, budget)) is not None:
        found[better[0]] = better[1]
    return found


def _cheapest(choice: _Choice, price: float) -> int:
    return int(np.argmin(np.square(choice.errors) + price * choice.parameters))


def _total(choices: Sequence[_Choice], places: Sequence[int]) -> int:
    return sum(int(choice.parameters[place]) for choice, place in zip(choices, places, strict=True))


def _best_step(choices: Sequence[_Choice], places: Sequence[int], budget: int) -> tuple[int, int] | None:
    """Return (layer, choice) that lowers the error most per weight and fits the budget; `None` when nothing does."""
    left = budget - _total(choices, places)
    best, gain = None, 0.0
    for i, (choice, place) in enumerate(zip(choices, places, strict=True)):
        more = choice.parameters - choice.parameters[place]
        better = np.square(choice.errors[place]) - np.square(choice.errors)
        worth = np.where((more > 0) & (more <= left) & (better > 0), better / np.maximum(more, 1), 0.0)
        if worth.max() > gain:
            best, gain = (i, int(worth.argmax())), float(worth.max())
    return best


def _planned(choice: _Choice, place: int) -> LowRankLayer:
    layer = choice.layer
    return LowRankLayer(
        weight=layer.name,
        kind=layer.kind,
        rank=int(choice.ranks[place]),
        full_rank=layer.full_rank,
        error=float(choice.errors[place]),
        parameters_before=layer.parameters,
        parameters_after=int(choice.parameters[place]),
    )
