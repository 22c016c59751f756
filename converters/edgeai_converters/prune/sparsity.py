"""Zeros among the weights: the smallest ones, or those that samples say are lost best, with others making up for it.

Zeros make no CPU kernel of this project faster (measured: dense and sparse layers take the same time); what they give
is smaller packed files (`weight_values.packed_size`) and, where a compiler packs weights for its hardware, less flash.
They stay zero when the weights are quantized, since weights are quantized symmetrically.

Without samples: by magnitude. With samples: E. Frantar, D. Alistarh: SparseGPT (2023), arXiv:2301.00774, algorithm 1. A
layer's inputs give the Hessian of its squared output error; columns are gone through in turn, and what the zeros of
one lose is made up for by the columns behind it. Departure: layers are done in the order of the graph, each with the
inputs that the layers before it, done already, give it. Every layer gets the same share: one ranking over all layers
would empty some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import scipy.linalg
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.reader_layers import ReaderLayer, draw_places, reader_layers
from edgeai_converters.prune.weight_values import LEAST_ELEMENTS, weight_constants
from edgeai_runtime.errors import DataError, UsageError

Batches = Sequence[Mapping[str, NDArray[Any]]]

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a share of its mean, as in the paper."""

_COLUMNS = 128
"""Columns among which the zeros of a share are chosen together (the paper's block size)."""


def sparsify(
    model: ir.Model,
    *,
    share: float | None = None,
    pattern: tuple[int, int] | None = None,
    batches: Batches | None = None,
    damping: float = DAMPING,
    least_elements: int = LEAST_ELEMENTS,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph with zeros among its weights, and whether any was changed.

    Holds the Hessian of one layer at a time, `[K, K]` with K its inputs times the places of a kernel; runs the graph
    once per layer and batch.

    Args:
        model: the float graph; not changed.
        share: share of each weight that becomes zero, in (0, 1).
        pattern: `(n, m)`: of m neighbours along a layer's inputs, n stay; instead of `share`. Weights whose inputs make
            no whole groups stay.
        batches: prepared inputs by name; without them, and for recurrent layers and tables, magnitude decides.
        damping: see `DAMPING`.
        least_elements: smaller weights stay.
        seed: of the places of maps that are drawn.
        on_step: called after each layer that samples decide.

    Raises:
        UsageError: none or both of `share` and `pattern`, or values outside of their range.
        DataError: there is no batch.
    """
    if (share is None) == (pattern is None):
        raise UsageError("Say either what share of the weights becomes zero, or the pattern.")
    if share is not None and not 0 < share < 1:
        raise UsageError(f"The share of zeros lies between 0 and 1. Received: {share}.")
    if pattern is not None and not 0 < pattern[0] < pattern[1]:
        raise UsageError(f"Of m neighbours n stay, with 0 < n < m. Received: {pattern}.")
    if batches is not None and not batches:
        raise DataError("There are no calibration samples.", hint="Give at least one batch.")
    model = model.clone()
    chosen = {str(value.name): value for value in weight_constants(model, least_elements=least_elements)}
    layers = [layer for layer in reader_layers(model) if layer.weight in chosen]
    done: set[str] = set()
    for number, layer in enumerate(layers):
        value = chosen[layer.weight]
        assert value.const_value is not None
        old = value.const_value.numpy()
        matrices = np.asarray(layer.reader.matrix_of(old), np.float64)
        if pattern is not None and matrices.shape[2] % pattern[1]:
            done.add(layer.weight)
            continue
        hessians = _hessians(model, layer, batches, seed) if batches is not None else [None] * len(matrices)
        zeroed = [
            sparse_matrix(matrix, hessian, share=share, pattern=pattern, damping=damping)
            for matrix, hessian in zip(matrices, hessians, strict=True)
        ]
        array = layer.reader.weight_of(np.stack(zeroed), old.shape).astype(old.dtype)
        value.const_value = ir.tensor(np.ascontiguousarray(array), name=layer.weight)
        done.add(layer.weight)
        if on_step is not None:
            on_step(number + 1, len(layers), layer.weight)
    for name, value in chosen.items():
        assert value.const_value is not None
        array = value.const_value.numpy()
        if name not in done and share is not None and array.dtype == np.float32:
            zeroed_flat = sparse_matrix(array.reshape(1, -1).astype(np.float64), None, share=share, pattern=None)
            value.const_value = ir.tensor(zeroed_flat.reshape(array.shape).astype(array.dtype), name=name)
    return model, bool(chosen)


def sparse_matrix(
    matrix: NDArray[np.float64],
    hessian: NDArray[np.float64] | None,
    *,
    share: float | None,
    pattern: tuple[int, int] | None,
    damping: float = DAMPING,
) -> NDArray[np.float64]:
    """Return a layer's weights with zeros, `[outputs, inputs]`.

    Args:
        matrix: the weights.
        hessian: mean of the outer products of inputs, `[inputs, inputs]`; `None` for magnitude alone.
        share: share of zeros.
        pattern: `(n, m)` instead.
        damping: see `DAMPING`.
    """
    factor = _inverse_factor(hessian, damping) if hessian is not None else None
    if factor is None:
        return np.where(_to_zero(np.abs(matrix), share, pattern), 0.0, matrix)
    left = matrix.copy()
    inputs = matrix.shape[1]
    columns = pattern[1] if pattern is not None else min(_COLUMNS, inputs)
    for start in range(0, inputs, columns):
        stop = min(start + columns, inputs)
        # Salience of a weight: what the output loses without it, once the weights behind it make up for it.
        salience = np.abs(left[:, start:stop]) / np.diag(factor)[start:stop]
        zero = _to_zero(salience, share, pattern)
        for column in range(start, stop):
            error = np.where(zero[:, column - start], left[:, column], 0.0) / factor[column, column]
            left[:, column:] -= np.outer(error, factor[column, column:])
            left[zero[:, column - start], column] = 0.0
    return left


def _to_zero(salience: NDArray[np.float64], share: float | None, pattern: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Return which weights of a block become zero: the least salient ones."""
    if pattern is not None:
        groups = salience.reshape(len(salience), -1, pattern[1])
        order = np.argsort(groups, axis=2, kind="stable")
        found = np.zeros(groups.shape, np.bool_)
        np.put_along_axis(found, order[:, :, : pattern[1] - pattern[0]], True, axis=2)
        return found.reshape(salience.shape)
    assert share is not None
    flat = np.zeros(salience.size, np.bool_)
    flat[np.argsort(salience, axis=None, kind="stable")[: round(share * salience.size)]] = True
    return flat.reshape(salience.shape)


def _hessians(model: ir.Model, layer: ReaderLayer, batches: Batches, seed: int) -> list[NDArray[np.float64]]:
    """Return the mean outer products of a layer's inputs, one per group."""
    random = np.random.default_rng(seed)
    given = {str(value.name) for value in model.graph.inputs}
    runner = GraphRunner(model, outputs=[layer.source]) if layer.source not in given else None
    total: list[NDArray[np.float64]] = []
    rows = 0
    for batch in batches:
        values = runner.run(batch) if runner is not None else batch
        places = draw_places(random, len(next(iter(batch.values()))))
        found = np.asarray(layer.input_rows(values[layer.source], places), np.float64)
        products = [found[:, group].T @ found[:, group] for group in range(found.shape[1])]
        total = [a + b for a, b in zip(total, products, strict=True)] if total else products
        rows += len(found)
    return [each / rows for each in total]


def _inverse_factor(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64] | None:
    """Return the upper Cholesky factor of the inverse of the damped Hessian; `None` when the samples say nothing."""
    mean = float(np.diag(hessian).mean())
    if not np.isfinite(mean) or mean <= 0:
        return None
    damped = hessian + damping * mean * np.eye(len(hessian))
    inverse = scipy.linalg.cho_solve((scipy.linalg.cholesky(damped, lower=True), True), np.eye(len(damped)))
    return np.asarray(scipy.linalg.cholesky(inverse, lower=False))
