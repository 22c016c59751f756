"""Weights that take only a few values, so that files pack better: k-means in one dimension, per weight.

S. Han, H. Mao, W. Dally: Deep Compression (2016), arXiv:1510.00149, section 3, without the code book: the values stay
where they are, and whatever packs the file finds them (`weight_values.packed_size`).

The levels are the best there are, not Lloyd's local optimum: in one dimension clusters are intervals, and dynamic
programming finds them (Wang & Song 2011, Ckmeans.1d.dp). Float weights are first counted in a fine histogram.

Where: on the quantized graph, int8 weights become a few integers, and are written as they are. Clusters of float
weights do not survive later quantization with a scale per channel, which rounds every channel on another grid; cluster
before it only for float files.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.prune.weight_values import LEAST_ELEMENTS, weight_constants
from edgeai_runtime.errors import UsageError

_BINS = 512
"""Bins of a float weight's histogram. Values of a bin go to one level; the levels are means of the values."""

_PINNED = 1e6
"""Weight of the zeros, as a multiple of all others together: the level they get is zero."""


def cluster_weights(
    model: ir.Model, *, clusters: int = 16, keep_zeros: bool = True, least_elements: int = LEAST_ELEMENTS
) -> tuple[ir.Model, bool]:
    """Return a copy of the graph whose weights take at most so many values each, and whether any was changed.

    Args:
        model: the float graph, or a quantized one; not changed. Int8 weights stay int8, scales stay.
        clusters: values of a weight, 2 or more.
        keep_zeros: weights that have zeros keep them: one level is zero.
        least_elements: smaller weights stay.

    Raises:
        UsageError: fewer than two clusters.
    """
    if clusters < 2:
        raise UsageError(f"A weight needs two clusters or more. Received: {clusters}.")
    model = model.clone()
    changed = False
    for value in weight_constants(model, least_elements=least_elements):
        assert value.const_value is not None
        array = value.const_value.numpy()
        clustered = cluster_values(array, clusters=clusters, keep_zeros=keep_zeros)
        if not np.array_equal(array, clustered):
            value.const_value = ir.tensor(clustered, name=value.name)
            changed = True
    return model, changed


def cluster_values(array: NDArray[np.generic], *, clusters: int, keep_zeros: bool = True) -> NDArray[np.generic]:
    """Return an array whose values are replaced by the nearest of the best levels, of the same type."""
    flat = np.asarray(array, np.float64).reshape(-1)
    points, places, counts = _histogram(flat, exact=array.dtype.kind == "i")
    if len(points) <= clusters:
        return array
    weights = counts.astype(np.float64)
    zero = np.flatnonzero(points == 0)
    if keep_zeros and len(zero):
        weights[zero] = _PINNED * weights.sum()
    found = best_levels(points, weights, clusters)
    if keep_zeros and len(zero):
        found[found == found[zero[0]]] = 0.0
    spread = found[places].reshape(array.shape)
    return np.ascontiguousarray(np.rint(spread) if array.dtype.kind == "i" else spread).astype(array.dtype)


def best_levels(points: NDArray[np.float64], weights: NDArray[np.float64], clusters: int) -> NDArray[np.float64]:
    """Return the level of every point, so that the weighted sum of squared distances is least.

    Args:
        points: ascending, `[n]`.
        weights: positive, `[n]`.
        clusters: number of levels, at most n.
    """
    n = len(points)
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    first = np.concatenate([[0.0], np.cumsum(weights * points)])
    second = np.concatenate([[0.0], np.cumsum(weights * points**2)])
    # cost[i, j]: what points i … j - 1 lose as one cluster; nothing can be one that ends before it begins.
    masses, firsts = mass[None, :] - mass[:, None], first[None, :] - first[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = second[None, :] - second[:, None] - firsts**2 / masses
    cost[np.tril_indices(n + 1)] = np.inf
    cost = np.maximum(cost, 0.0)
    best, begins = cost[0], []
    for _ in range(clusters - 1):
        through = best[:, None] + cost
        begin = through.argmin(axis=0)
        best = through[begin, np.arange(n + 1)]
        begins.append(begin)
    levels = np.empty(n)
    end = n
    for begin in (*reversed(begins), np.zeros(n + 1, np.int64)):
        start = int(begin[end])
        levels[start:end] = (first[end] - first[start]) / (mass[end] - mass[start])
        end = start
    return levels


def _histogram(
    flat: NDArray[np.float64], *, exact: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return points in ascending order, the point of every value, and the values of each point; zero is one itself."""
    keys = flat
    if not exact:
        low, high = float(flat.min()), float(flat.max())
        keys = np.floor((flat - low) / max((high - low) / _BINS, 1e-300))
        at_zero = keys == np.floor((0.0 - low) / max((high - low) / _BINS, 1e-300))
        keys = keys + at_zero * np.sign(flat) * 0.25
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    points = np.bincount(places, weights=flat) / counts
    return points, places, counts
