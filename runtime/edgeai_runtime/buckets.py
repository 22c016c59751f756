"""Shape buckets: arrays of any length for artifacts and hardware that take a few lengths only.

A bundle whose model gives the same answers when an input is padded may say so, in `metadata.buckets`:

    {"x": {"axis": 1, "sizes": [32, 64, 128], "pad": 0, "outputs": {"y": 1}}}

The input `x` is padded with `pad` along axis 1 to the next of `sizes`, and what belongs to the padding is cut from axis
1 of the output `y`. An artifact with a fixed length has one size, its own. Whether padding changes the answers is the
model's affair (a mask may be another input, padded too): nothing is padded that the bundle does not name.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai_runtime.engines.boundary import Run
from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.manifest import TensorSpec


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    place: int
    axis: int
    sizes: tuple[int, ...]
    pad: float
    cuts: tuple[tuple[int, int], ...]  # output and axis


def bucketed(run: Run, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], said: Any) -> Run:
    """Return a function that pads arrays to the next bucket, calls `run`, and cuts its results.

    Args:
        run: takes arrays as in `inputs` and gives arrays as in `outputs`.
        inputs: the manifest's inputs; a padded axis is free there.
        outputs: the manifest's outputs.
        said: `metadata.buckets`.

    Raises:
        BundleError: `said` makes no sense for these tensors.
    """
    if not isinstance(said, Mapping):
        raise BundleError(f"metadata.buckets is an object by name of input. Received: {said!r}")
    buckets = [_read(name, one, inputs, outputs) for name, one in said.items()]

    def run_padded(arrays: Sequence[Any]) -> list[Any]:
        ready, cuts = list(arrays), []
        for bucket in buckets:
            array = ready[bucket.place]
            length = array.shape[bucket.axis]
            at = bisect.bisect_left(bucket.sizes, length)
            if at == len(bucket.sizes):
                raise DataError(
                    f"input {inputs[bucket.place].name!r} is at most {bucket.sizes[-1]} long on axis {bucket.axis}. "
                    f"Received: {length}",
                    hint="give it in parts, or convert the model with a larger bucket",
                )
            if bucket.sizes[at] != length:
                widths = [(0, bucket.sizes[at] - length if axis == bucket.axis else 0) for axis in range(array.ndim)]
                ready[bucket.place] = np.pad(array, widths, constant_values=array.dtype.type(bucket.pad))
                cuts += [(place, axis, length) for place, axis in bucket.cuts]
        results = run(ready)
        for place, axis, length in cuts:
            results[place] = results[place][(slice(None),) * axis + (slice(length),)]
        return results

    return run_padded


def _read(name: str, said: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> _Bucket:
    where = f"metadata.buckets of {name!r}"
    names, out_names = [spec.name for spec in inputs], [spec.name for spec in outputs]
    if not isinstance(said, Mapping) or name not in names or set(said) - {"axis", "sizes", "pad", "outputs"}:
        raise BundleError(f"{where}: an input's axis, sizes, pad and outputs. Received: {said!r}")
    axis, sizes, cuts = said.get("axis"), said.get("sizes"), said.get("outputs", {})
    shape = inputs[names.index(name)].shape
    if not isinstance(axis, int) or not 0 < axis < len(shape) or shape[axis] is not None:
        raise BundleError(f"{where}: axis is a free one that is not the batch. Received: {axis!r} of {shape}")
    if not isinstance(sizes, (list, tuple)) or not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise BundleError(f"{where}: sizes are lengths, 1 or more. Received: {sizes!r}")
    if not isinstance(cuts, Mapping) or not all(
        out in out_names and type(at) is int and 0 < at < len(outputs[out_names.index(out)].shape)
        for out, at in cuts.items()
    ):
        raise BundleError(f"{where}: outputs are axes by name of output, not the batch. Received: {cuts!r}")
    pad = said.get("pad", 0)
    if not isinstance(pad, (int, float)):
        raise BundleError(f"{where}: pad is a number. Received: {pad!r}")
    places = tuple((out_names.index(out), at) for out, at in cuts.items())
    return _Bucket(place=names.index(name), axis=axis, sizes=tuple(sorted(sizes)), pad=pad, cuts=places)
