"""Which directions of a layer's output matter, from its weight alone or from what it computes on samples.

Without samples the directions `U` are the left singular vectors of `W`. With samples they are the principal directions
of the responses `y = W·x`: the best `W' = U·Uᵀ·W` of a rank minimizes `E‖W·x − W'·x‖²`, not `‖W − W'‖²` (Zhang et al.
2015, arXiv:1505.06798, section 2.1, for convolutions; Chen et al. 2021, DRONE, NeurIPS, for dense layers; the same
optimum by whitening the inputs: ASVD, arXiv:2312.05821, and SVD-LLM, arXiv:2403.07378). The second moments of the
outputs say it where there are fewer outputs than inputs, those of the inputs where it is the other way round. A layer
with a bias keeps the mean of its outputs exactly, and only what varies around it needs rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.inner_values import InnerValues
from edgeai_converters.prune.low_rank_layers import LEAST_ELEMENTS, FactorableLayer, factorable_layers
from edgeai_runtime.errors import DataError

_WEIGHT_SHARE = {"dense": 0.01, "convolution": 0.01, "embedding": 0.1, "recurrent": 0.01}
"""How much the weights count beside the samples: directions that few samples happen to leave out are not worthless.
More for embeddings, because samples show a part of the vocabulary only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """First and second moments of what a layer gives or reads.

    Attributes:
        mean: `[n]`.
        second: mean of the outer products, `[n, n]`.
        rows: how many rows they were taken over.
    """

    mean: NDArray[np.float64]
    second: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """The directions of a layer's output, most important first.

    Attributes:
        basis: orthonormal columns, `[outputs, full rank]`.
        energy: what each adds to the mean square of the output, `[full rank]`, descending.
        mean: mean of the output with its bias, `[outputs]`, when it is kept by the bias; else `None`.
    """

    basis: NDArray[np.float64]
    energy: NDArray[np.float64]
    mean: NDArray[np.float64] | None

    def errors(self) -> NDArray[np.float64]:
        """Return the relative error of the output at ranks 0 … full rank: `√(lost energy / energy)`."""
        total = float(self.energy.sum())
        lost = np.concatenate([np.cumsum(self.energy[::-1])[::-1], [0.0]])
        return np.sqrt(np.clip(lost / total, 0, 1)) if total > 0 else np.zeros(len(self.energy) + 1)


def layer_moments(
    model: ir.Model, batches: Iterable[Mapping[str, NDArray[Any]]], *, least_elements: int = LEAST_ELEMENTS
) -> dict[str, Moments]:
    """Return weight → moments of what its layer gives or reads, for the layers of `factorable_layers`.

    Holds an `[n, n]` matrix per layer, n the smaller side of a dense layer, the outputs of a convolution.

    Args:
        model: the float graph; not changed.
        batches: prepared inputs by name; read once.
        least_elements: smaller weights are left out.

    Raises:
        DataError: there is no batch.
    """
    layers = factorable_layers(model, least_elements=least_elements)
    values = ir.convenience.create_value_mapping(model.graph)
    names = dict.fromkeys(name for layer in layers for name in layer.watched)
    reader = InnerValues(model, [values[name] for name in names])
    watching: dict[str, list[FactorableLayer]] = {}
    for layer in layers:
        for name in layer.watched:
            watching.setdefault(name, []).append(layer)
    found = {layer.name: (np.zeros(_moment_size(layer)), np.zeros((_moment_size(layer),) * 2), 0) for layer in layers}
    for batch in batches:
        for _, name, array in reader.read(batch):
            for layer in watching[name]:
                rows = layer.rows(array)
                mean, second, count = found[layer.name]
                found[layer.name] = (mean + rows.sum(axis=0), second + rows.T @ rows, count + len(rows))
    if any(count == 0 for _, _, count in found.values()):
        raise DataError("There are no calibration samples.", hint="Give at least one batch.")
    return {
        name: Moments(mean=mean / count, second=second / count, rows=count)
        for name, (mean, second, count) in found.items()
    }


def _moment_size(layer: FactorableLayer) -> int:
    return layer.outputs if layer.side == "output" else layer.inputs


def spectrum_of(layer: FactorableLayer, moments: Moments | None = None) -> Spectrum:
    """Return the directions of a layer's output, by its moments or by its weight alone."""
    matrix, bias = layer.matrix, layer.bias
    if moments is None:
        basis, energy = _directions(matrix, None)
        return Spectrum(basis=basis, energy=energy, mean=None)
    second, mean = moments.second, None
    if bias is not None:
        second = second - np.outer(moments.mean, moments.mean)
        mean = moments.mean if layer.side == "output" else matrix @ moments.mean + bias
    share = _WEIGHT_SHARE[layer.kind]
    if layer.side == "input":
        size = len(second)
        basis, energy = _directions(matrix, second + share * float(np.trace(second)) / size * np.eye(size))
    else:
        own = matrix @ matrix.T
        basis, energy = _eigen(second + share * float(np.trace(second)) / max(float(np.trace(own)), 1e-30) * own)
        basis, energy = basis[:, : layer.full_rank], energy[: layer.full_rank]
    return Spectrum(basis=basis, energy=energy, mean=mean)


def _directions(
    matrix: NDArray[np.float64], second: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the principal directions of `matrix · x` for inputs with such second moments (all alike for `None`)."""
    if second is None and matrix.shape[0] <= matrix.shape[1]:
        return _eigen(matrix @ matrix.T)
    if second is not None:
        vectors, values = _eigen(second)
        matrix = matrix @ (vectors * np.sqrt(values))
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left), np.square(singular)


def _eigen(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvectors as columns and eigenvalues of a symmetric matrix, the largest first."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors[:, ::-1]), np.clip(values[::-1], 0, None)
