"""GPTQ: rounding the weights of dense layers to a grid so that what the layers compute changes least.

E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh: GPTQ (2022), arXiv:2210.17323, algorithm 1. A layer's inputs over the
calibration samples give the Hessian H = 2 X Xᵀ of its squared output error. Columns are rounded in turn; the error of
each is made up for by the columns not yet rounded, by rows of the Cholesky factor of H⁻¹ (equation 4).

    W (float32)   →   W' (float32, on the grid of `integer_groups.py`), which `store_int4_weights` stores exactly

Departures. Scales are chosen per group when its first column is reached, by least squares instead of min-max. Where the
result is no better than rounding to nearest, measured by the same Hessian, rounding to nearest is kept.

Why not a library: ONNX Runtime's GPTQ needs neural_compressor and writes an operator of its own, NNCF's writes OpenVINO
models, ai-edge-quantizer's TFLite. Here the graph is rounded once, whatever the format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import scipy.linalg

from edgeai_converters.graph.edit import change_constant
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.dense_weights import DenseWeight, dense_weights
from edgeai_converters.quantize.integer_groups import GroupedWeight, group_scales, group_weights, round_to_groups
from edgeai_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_ELEMENTS = 1024
"""Smaller weights stay as they are."""

MEMORY_BYTES = 256 * 2**20
"""Largest sum of the Hessians that are gathered in one pass over the samples; one layer may exceed it."""


def gptq_weights(
    model: ir.Model,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    bits: int = 4,
    group: int = 32,
    damping: float = 0.01,
    columns: int = 128,
    least_elements: int = LEAST_ELEMENTS,
    memory_bytes: int = MEMORY_BYTES,
    on_step: Callable[[int, int, str], None] | None = None,
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph whose dense weights lie on the grid, and whether any was changed.

    Layers are gathered in graph order, as many at once as fit `memory_bytes`; each round runs the graph with the
    weights of earlier rounds rounded already, so that later layers make up for earlier ones too.

    Args:
        model: the float graph; not changed.
        batches: prepared inputs by name; gone through once per round. One batch is held at a time, and a Hessian of
            float64 `[inputs, inputs]` for each layer of a round.
        bits: of a weight; `store_int4_weights` takes 4.
        group: inputs of an output channel that share a scale, 0 for all of them; layers whose inputs make no whole
            groups stay float.
        damping: added to the Hessian's diagonal, as a share of its mean.
        columns: columns between two updates of all that follow; made a multiple or a divisor of the group.
        least_elements: smaller weights stay float.
        memory_bytes: see above.
        on_step: called with (layers done, layers, name of the weight).

    Raises:
        DataError: there is no batch, or `batches` can be gone through only once and several rounds are needed.
    """
    model = model.clone()
    weights = tuple(dense_weights(model, least_elements=least_elements, group=group))
    done = 0
    for part in _rounds(weights, memory_bytes):
        hessians = _hessians(model, part, batches)
        for weight in part:
            hessian = hessians.pop(str(weight.value.name))
            rounded = gptq_round(weight.matrix, hessian, bits=bits, group=group, damping=damping, columns=columns)
            change_constant(model, weight.nodes[0], 1, weight.laid(rounded.real))
            done += 1
            if on_step is not None:
                on_step(done, len(weights), str(weight.value.name))
    return model, bool(weights)


def gptq_round(
    matrix: NDArray[np.float32],
    hessian: NDArray[np.float64],
    *,
    bits: int = 4,
    group: int = 32,
    damping: float = 0.01,
    columns: int = 128,
) -> GroupedWeight:
    """Return the rounded weights of one layer.

    Args:
        matrix: `[outputs, inputs]`.
        hessian: `[inputs, inputs]`, of the sum of squared output errors.
        bits: of an integer.
        group: inputs that share a scale, 0 for all.
        damping: see `gptq_weights`.
        columns: see `gptq_weights`.
    """
    group = group or matrix.shape[1]
    nearest = group_weights(matrix, group=group, bits=bits)
    factor = _inverse_factor(hessian, damping)
    if factor is None:
        return nearest
    outputs, inputs = matrix.shape
    columns = columns // group * group if columns >= group else math.gcd(columns, group)
    left = matrix.astype(np.float64)
    integers = np.empty((outputs, inputs), np.int8)
    scales = np.empty((outputs, inputs // group), np.float32)
    for start in range(0, inputs, columns):
        stop = min(start + columns, inputs)
        errors = np.empty((outputs, stop - start))
        for column in range(start, stop):
            if column % group == 0:
                scales[:, column // group] = group_scales(
                    left[:, column : column + group].astype(np.float32), bits=bits
                )
            scale = scales[:, column // group : column // group + 1]
            rounded = round_to_groups(left[:, column : column + 1].astype(np.float32), scale, bits=bits)
            integers[:, column] = rounded.integers[:, 0]
            error = (left[:, column] - rounded.real[:, 0]) / factor[column, column]
            left[:, column:stop] -= np.outer(error, factor[column, column:stop])
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    found = GroupedWeight(integers=integers, scales=scales)
    return found if _loss(matrix, found, hessian) < _loss(matrix, nearest, hessian) else nearest


def _inverse_factor(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64] | None:
    """Return the upper Cholesky factor of the inverse of the damped Hessian; `None` when the samples say nothing."""
    diagonal = np.diag(hessian)
    mean = float(diagonal.mean())
    if not np.isfinite(mean) or mean <= 0:
        return None
    damped = hessian.copy()
    # An input that is always zero has no error to speak of; any positive number keeps the matrix regular.
    damped[np.diag_indices_from(damped)] += np.where(diagonal > 0, damping * mean, mean)
    try:
        inverse = scipy.linalg.cho_solve((scipy.linalg.cholesky(damped, lower=True), True), np.eye(len(damped)))
        return np.asarray(scipy.linalg.cholesky(inverse, lower=False))
    except np.linalg.LinAlgError:
        return None


def _loss(matrix: NDArray[np.float32], rounded: GroupedWeight, hessian: NDArray[np.float64]) -> float:
    error = matrix.astype(np.float64) - rounded.real
    return float(np.sum((error @ hessian) * error))


def _rounds(weights: Sequence[DenseWeight], memory_bytes: int) -> Iterator[list[DenseWeight]]:
    part: list[DenseWeight] = []
    held = 0
    for weight in weights:
        size = 8 * weight.inputs**2
        if part and held + size > memory_bytes:
            yield part
            part, held = [], 0
        part.append(weight)
        held += size
    if part:
        yield part


def _hessians(
    model: ir.Model, weights: Sequence[DenseWeight], batches: Iterable[Mapping[str, NDArray[Any]]]
) -> dict[str, NDArray[np.float64]]:
    """Return for each weight 2 Σ x xᵀ over the inputs x of the layers that read it."""
    inputs = {str(w.value.name): [str(v.name) for n in w.nodes if (v := n.inputs[0]) is not None] for w in weights}
    given = {str(value.name) for value in model.graph.inputs}
    wanted = dict.fromkeys(name for names in inputs.values() for name in names)
    inner = [name for name in wanted if name not in given]
    runner = GraphRunner(model, outputs=inner) if inner else None
    found = {str(w.value.name): np.zeros((w.inputs, w.inputs)) for w in weights}
    seen = False
    for batch in batches:
        seen = True
        values = {**batch, **(runner.run(batch) if runner is not None else {})}
        products = {name: _gram(np.asarray(values[name])) for name in wanted}
        for weight, names in inputs.items():
            for name in names:
                found[weight] += products[name]
    if not seen:
        raise DataError("There are no calibration samples.", hint="Give a list of batches, not an iterator that ends.")
    return found


def _gram(values: NDArray[Any]) -> NDArray[np.float64]:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float32)
    return 2.0 * (rows.T @ rows).astype(np.float64)
