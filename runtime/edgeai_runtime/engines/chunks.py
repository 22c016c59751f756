"""Run a batch through an artifact whose batch dimension is baked in: in chunks of that size, results stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec


def shape_agrees(wanted: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Say whether `shape` has the rank and the fixed dimensions of `wanted`; `None` agrees with anything."""
    return len(wanted) == len(shape) and all(w is None or w == s for w, s in zip(wanted, shape, strict=True))


def shapes_agree(specs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]]) -> bool:
    """Say whether there is one shape per input and each agrees with its input's."""
    return len(specs) == len(shapes) and all(
        shape_agrees(spec.shape, shape) for spec, shape in zip(specs, shapes, strict=True)
    )


def chunk_size(batches: Sequence[Sequence[int | None]], shapes: Sequence[Sequence[int]]) -> int | None:
    """Return the artifact's own batch size when arrays of `shapes` are two or more whole batches of it, else `None`.

    Args:
        batches: the shapes the artifact takes, one per input; a free batch dimension counts as 1. All must have the
            same batch size, and agree with `shapes` in every other dimension.
        shapes: the shapes of the arrays, `[samples, …]`, all with the same number of samples.
    """
    if (
        not batches
        or len(batches) != len(shapes)
        or any(not want or not got for want, got in zip(batches, shapes, strict=False))
    ):
        return None
    batch, samples = batches[0][0] or 1, shapes[0][0]
    for want, got in zip(batches, shapes, strict=True):
        if (want[0] or 1) != batch or got[0] != samples or not shape_agrees(want[1:], got[1:]):
            return None
    return batch if samples > batch and samples % batch == 0 else None


def run_in_chunks(
    run: Callable[[Sequence[Any]], list[Any]], arrays: Sequence[Any], size: int, outputs: Sequence[TensorSpec]
) -> list[Any]:
    """Run `arrays` (`[n, …]` each) in chunks of `size` samples and join the results along axis 0.

    Raises:
        DataError: an output has no batch axis, so results of several samples cannot be joined.
    """
    parts = [run([array[start : start + size] for array in arrays]) for start in range(0, len(arrays[0]), size)]
    for spec, array in zip(outputs, parts[0], strict=False):
        if array.ndim == 0 or array.shape[0] % size:
            raise DataError(
                f"output {spec.name!r} has shape {tuple(array.shape)}, without a batch axis of {size}, so a batch of "
                f"{len(arrays[0])} cannot be run sample by sample",
                hint=f"call the model with {size} sample(s) at a time",
            )
    return [np.concatenate(column, axis=0) for column in zip(*parts, strict=False)]


def shape_error(specs: Sequence[TensorSpec], arrays: Sequence[Any], *, why: str = "") -> DataError:
    """Return the error for arrays whose number or shapes an artifact cannot take, naming the first that is wrong."""
    if len(specs) != len(arrays):
        return DataError(f"the model has {len(specs)} inputs ({_names(specs)}). Received: {len(arrays)} arrays")
    for spec, array in zip(specs, arrays, strict=False):
        shape = tuple(array.shape)
        if not shape_agrees(spec.shape, shape):
            return DataError(f"input {spec.name!r} wants shape {shape_text(spec.shape)}. Received: {shape_text(shape)}")
    received = ", ".join(f"{spec.name!r} {shape_text(array.shape)}" for spec, array in zip(specs, arrays, strict=False))
    return DataError(f"the model cannot run on these shapes: {received}{': ' + why if why else ''}")


def dtype_error(spec: TensorSpec, array: Any) -> DataError:
    """Return the error for an array whose dtype the artifact does not take."""
    return DataError(f"input {spec.name!r} wants {spec.dtype}. Received: {array.dtype}", hint="convert it with .astype")


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape as text, `n` for a free first dimension and `?` for another: `[n, 3, ?, 32]`."""
    return "[" + ", ".join(str(d) if d is not None else ("n" if i == 0 else "?") for i, d in enumerate(shape)) + "]"


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs)
