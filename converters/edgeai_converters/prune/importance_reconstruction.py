"""What a channel is worth: the error that is left when the layers that read it are fitted to do without it.

Channel selection by reconstruction: He et al. 2017 (arXiv:1707.06168), equation 1, and Luo et al. 2017 (ThiNet,
arXiv:1707.06342), equation 6, choose the channels whose removal changes the next layer's output least. Their searches
(LASSO; greedy without refitting) are replaced by one that is exact per step: with `H = (XᵀX)⁻¹` the smallest error
after removing the columns of channel `c` and fitting the rest anew is `w_c · (H_cc)⁻¹ · w_cᵀ` (block form of optimal
brain surgeon, Hassibi & Stork 1993, equation 5). The cheapest goes, weights and `H` are updated, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.prune.groups import ChannelGroup, prunable
from edgeai_converters.prune.importance import Importance
from edgeai_converters.prune.reader_layers import NormalEquations, ReaderLayer, draw_places, reader_layers

LARGEST_REFIT = 1536
"""Columns of a layer up to which the rest is fitted anew after each removal; beyond, all are judged at once."""

_DAMPING = 1e-4


@dataclass
class _Problem:
    """A layer's error as a function of its channels: inverse `[K, K]`, weights `[K, O]`, columns per channel."""

    inverse: NDArray[np.float64]
    weights: NDArray[np.float64]
    columns: list[NDArray[np.int64]]
    energy: float

    def costs(self, channels: Iterable[int]) -> NDArray[np.float64]:
        """Return the share of the layer's output that is lost with each channel."""
        return np.asarray([self._cost(self.columns[channel]) for channel in channels])

    def _cost(self, columns: NDArray[np.int64]) -> float:
        if not columns.size:
            return 0.0
        block, weights = self.inverse[np.ix_(columns, columns)], self.weights[columns]
        return float((weights * np.linalg.solve(block, weights)).sum()) / self.energy

    def remove(self, channel: int) -> None:
        """Fit the rest anew without a channel."""
        columns = self.columns[channel]
        if columns.size:
            rows = self.inverse[:, columns]
            gain = np.linalg.solve(self.inverse[np.ix_(columns, columns)], np.hstack([rows.T, self.weights[columns]]))
            size = len(self.inverse)
            self.weights = self.weights - rows @ gain[:, size:]
            self.inverse = self.inverse - rows @ gain[:, :size]


def reconstruction_importance(
    model: ir.Model,
    groups: Iterable[ChannelGroup],
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    seed: int = 0,
) -> Importance:
    """Return, per channel, the share of the readers' outputs that is lost when it goes as the next cheapest one.

    The order of removal is in the numbers: they do not fall along it. Shares of a layer's own output, they can be
    compared between groups. Groups that no convolution without groups, Gemm or MatMul reads are left out. Holds the
    sums `[K, K]` of all layers, and one batch.

    Args:
        model: the graph.
        groups: its groups.
        batches: prepared inputs by name; read once.
        seed: of the places of maps that are drawn.
    """
    layers = {layer.weight: layer for layer in reader_layers(model) if layer.groups == 1}
    wanted = prunable(groups)
    used = {member.value for group in wanted for member in group.of_kind("read")}
    equations = _gather(model, [layer for name, layer in layers.items() if name in used], batches, seed)
    found: Importance = {}
    for group in wanted:
        problems = [
            _problem(model, layers[member.value], equations[member.value], member.axis, member.places)
            for member in group.of_kind("read")
            if member.value in equations
        ]
        if problems:
            found[group.id] = _eliminate(problems, group.size)
    return found


def _gather(
    model: ir.Model, layers: list[ReaderLayer], batches: Iterable[Mapping[str, NDArray[Any]]], seed: int
) -> dict[str, NormalEquations]:
    equations = {layer.weight: NormalEquations() for layer in layers}
    if not layers:
        return equations
    runner = GraphRunner(model, outputs=list(dict.fromkeys(layer.source for layer in layers)))
    random = np.random.default_rng(seed)
    for batch in batches:
        values = runner.run(batch)
        places = draw_places(random, len(next(iter(batch.values()))))
        for layer in layers:
            rows = layer.input_rows(values[layer.source], places)
            equations[layer.weight].add(rows, np.zeros((*rows.shape[:2], 0)))
    return equations


def _problem(
    model: ir.Model, layer: ReaderLayer, equations: NormalEquations, axis: int, places: tuple[tuple[int, ...], ...]
) -> _Problem:
    constant = model.graph.initializers[layer.weight].const_value
    assert constant is not None
    array = np.asarray(constant.numpy(), np.float64)
    weights = layer.reader.matrix_of(array)[0].T  # [K, O]
    size = len(weights)
    squares = equations.inputs[0]
    mean = squares[:size, size] / squares[size, size]  # the bias takes the mean
    matrix = squares[:size, :size] / squares[size, size] - np.outer(mean, mean)
    energy = float(((matrix @ weights) * weights).sum()) or 1.0
    matrix[np.diag_indices(size)] += _DAMPING * (np.trace(matrix) / size or 1.0)
    per_channel = size // array.shape[axis]
    columns = [
        np.concatenate([np.arange(place * per_channel, (place + 1) * per_channel) for place in listed])
        for listed in places
    ]
    return _Problem(
        inverse=np.linalg.inv(matrix), weights=weights, columns=[c.astype(np.int64) for c in columns], energy=energy
    )


def _eliminate(problems: list[_Problem], size: int) -> NDArray[np.float64]:
    """Remove channel after channel and return what each cost, never less than the one before it."""
    everything = list(range(size))
    if max(len(problem.inverse) for problem in problems) > LARGEST_REFIT:
        return np.asarray(sum(problem.costs(everything) for problem in problems))
    worth = np.zeros(size)
    left, spent = everything, 0.0
    while len(left) > 1:
        costs = np.asarray(sum(problem.costs(left) for problem in problems))
        cheapest = int(np.argmin(costs))
        channel = left[cheapest]
        spent = max(spent, float(costs[cheapest]))
        worth[channel] = spent
        for problem in problems:
            problem.remove(channel)
        left = [each for each in left if each != channel]
    worth[left[0]] = 2 * max(spent, 1e-12)  # the last one never goes
    return worth
