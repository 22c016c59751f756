"""Inputs to measure on, and whether outputs agree: what `edgeai.bench` needs beside the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

_TO_OTHER_LAYOUT = ((0, 2, 3, 1), (0, 3, 1, 2))
"""NCHW → NHWC and back."""


def samples_of(inputs: Any, specs: Sequence[TensorSpec], batch: int) -> dict[str, Any]:
    """Return `{input name: [batch, …]}` of one array, or of a dict of arrays by name; few samples are repeated."""
    if isinstance(inputs, Mapping):
        return {name: _cycled(np.asarray(array), batch) for name, array in inputs.items()}
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise DataError(f"The model has {len(specs)} inputs and one array was given.", hint=f"Name them: {names}.")
    array = np.asarray(inputs)
    return {specs[0].name: _cycled(array if array.ndim == len(specs[0].shape) else array[None], batch)}


def _cycled(array: Any, batch: int) -> Any:
    return array[:batch] if len(array) >= batch else np.take(array, np.arange(batch) % len(array), axis=0)


def draw(specs: Sequence[TensorSpec], batch: int) -> list[Any]:
    """Draw `batch` samples per input; free dimensions beyond the batch get 16.

    Raises:
        DataError: an input takes another number of samples, and no other.
    """
    from edgeai_converters.graph.boundary import draw_inputs

    arrays = []
    for number, spec in enumerate(specs):
        fixed = spec.shape[0] if spec.shape else None
        if fixed is not None and batch not in (1, fixed):
            raise DataError(f"The input {spec.name} takes {fixed} at a time. Received: a batch of {batch}")
        arrays.append(draw_inputs([spec], n=fixed or batch, seed=number)[spec.name])
    return arrays


def golden_inputs(path: Path) -> dict[str, Any] | None:
    """Return a bundle's recorded inputs, or `None` when it has none."""
    from edgeai_runtime.bundle import open_bundle

    try:
        return open_bundle(path).golden_inputs()
    except BundleError:
        return None


def stage_inputs(path: Path, batch: int) -> list[Any] | None:
    """Return recorded samples per input of a pipeline's first stage; `None` for what is no pipeline or has none."""
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.device_cli_inputs import recorded_stage_inputs

    return recorded_stage_inputs(open_bundle(path), batch)


def golden_match(model: Model, path: Path) -> bool | None:
    """Say whether a variant's golden outputs come back within its tolerance; `None` when none are recorded."""
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.selfcheck import compare_golden

    if model.variant is None or model.manifest is None or not model.manifest.golden:
        return None
    return compare_golden(open_bundle(path), model)[0]


def fit_arrays(
    given_specs: Sequence[TensorSpec], arrays: Sequence[Any], specs: Sequence[TensorSpec]
) -> list[Any] | None:
    """Turn arrays made for one artifact into those of another: layout by shape, dtype by quantization.

    Returns:
        One array per spec, or `None` when the artifacts do not take the same thing.
    """
    if len(given_specs) != len(specs):
        return None
    fitted = []
    for given, array, spec in zip(given_specs, arrays, specs, strict=True):
        value = _permuted(_dequantized(given, array), spec.shape)
        if value is None:
            return None
        converted = _quantized(spec, value)
        if converted is None:
            return None
        fitted.append(converted)
    return fitted


def real_values(specs: Sequence[TensorSpec], arrays: Sequence[Any]) -> list[Any]:
    """Return outputs as real numbers: integers with a scale are dequantized."""
    return [_dequantized(spec, array) for spec, array in zip(specs, arrays, strict=True)]


def smallest_cosine(expected: Sequence[Any], got: Sequence[Any]) -> float | None:
    """Return the smallest cosine similarity over outputs of equal sizes; `None` when they cannot be compared.

    Two outputs of zeros only are alike (1.0); not-a-number anywhere is as bad as can be (-1.0).
    """
    if len(expected) != len(got):
        return None
    cosines = []
    for left, right in zip(expected, got, strict=True):
        a, b = np.asarray(left, np.float64).ravel(), np.asarray(right, np.float64).ravel()
        if a.size != b.size or not a.size:
            return None
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        value = float(a @ b) / norm if norm else float(np.array_equal(a, b))
        cosines.append(value if np.isfinite(value) else -1.0)
    return min(cosines, default=None)


def _dequantized(spec: TensorSpec, array: Any) -> Any:
    if spec.quantization is None or array.dtype.kind not in "iu":
        return array
    return (array.astype(np.float32) - spec.quantization.zero_point) * np.float32(spec.quantization.scale)


def _quantized(spec: TensorSpec, value: Any) -> Any | None:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == value.dtype.kind or (dtype.kind == "f" and value.dtype.kind in "iu"):
        return value.astype(dtype)
    if spec.quantization is None or dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    stored = np.round(value / spec.quantization.scale) + spec.quantization.zero_point
    return np.clip(stored, limits.min, limits.max).astype(dtype)


def _permuted(array: Any, shape: Sequence[int | None]) -> Any | None:
    if _fits(array.shape, shape):
        return array
    if array.ndim == 4:
        for order in _TO_OTHER_LAYOUT:
            if _fits(array.transpose(order).shape, shape):
                return np.ascontiguousarray(array.transpose(order))
    return None


def _fits(given: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(given) == len(wanted) and all(w is None or g == w for g, w in zip(given, wanted, strict=True))
